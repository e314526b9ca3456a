"""What every action head is: its choices, what they mean, which are feasible, and what a decision is without it.

A head sets one field of ``Decisions``. It has one or more columns in an action (the discount head may have one for each
product), and each column has a number of choices. ``ActionCodec`` puts the heads together.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from flashsim.envs.dashboard import Dashboard
from flashsim.errors import InputError
from flashsim.scenarios.compiled import CompiledSale
from flashsim.sim.state import Decisions, SaleState

Rows = Callable[[NDArray[Any]], NDArray[Any]]
"""Turns a field of the state into rows, (sale, …)."""
Target = float | NDArray[np.float64]
"""Utilization at which a scaler aims: one for all, or (sale,)."""


@dataclass(frozen=True)
class HeadConfig:
    """What all heads read; the config of a head adds fields of its own."""

    heads: tuple[str, ...] = ()
    """Those that the agent decides; for the others their defaults hold."""


class Head(ABC):
    """One thing that an agent decides."""

    name: ClassVar[str]
    """In ``ActionConfig.heads`` and in the card of a policy."""
    decision: ClassVar[str]
    """The field of ``Decisions`` that it sets."""
    acts_before_opening: ClassVar[bool] = False
    """Whether it decides before the doors open; for other heads their default holds until then."""
    sizes: tuple[int, ...]
    """Choices of each of its columns."""

    def __init__(self, sale: CompiledSale, config: Any, dashboard: Dashboard) -> None:
        """InputError when ``config``, an ``ActionConfig``, does not fit ``sale``."""
        self.sale, self.config, self.dashboard = sale, config, dashboard

    @staticmethod
    @abstractmethod
    def check(config: Any, *, every: int) -> None:
        """InputError when its fields of ``config`` fit no sale, for decisions that stand for ``every`` ticks."""

    @property
    def is_used(self) -> bool:
        """Whether it is in the action: it was chosen, and there is something to choose."""
        return self.name in self.config.heads and max(self.sizes) > 1

    @property
    def reads_observation(self) -> bool:
        """Whether the meaning of a choice depends on what is seen."""
        return False

    @abstractmethod
    def meaning(self) -> Any:
        """What its choices stand for, as JSON: a policy made for other choices would decide other things."""

    @abstractmethod
    def default(self, sales: int) -> NDArray[Any]:
        """The decision (sale, …) that leaves all as it is."""

    @abstractmethod
    def decode(
        self,
        chosen: NDArray[np.int64] | None,
        observation: NDArray[np.float32],
        decided: Mapping[str, NDArray[Any]],
        *,
        is_first: bool,
    ) -> NDArray[Any]:
        """The decision (sale, …) for choices (sale, column), or for None, where the head is not in the action.

        ``decided``: what the heads before it decide, by field of ``Decisions``. ``is_first``: in the first tick of a
        decision.
        """

    def keep_guard_rails(self, decision: NDArray[Any], observation: NDArray[np.float32]) -> NDArray[Any]:
        """The decision nearest to ``decision`` that keeps to its guard-rails; it has none by default."""
        return decision

    @abstractmethod
    def encode(self, decisions: Decisions) -> NDArray[np.int64]:
        """Choices (sale, column) nearest to ``decisions``."""

    def encode_steered(
        self,
        decisions: Decisions,
        observation: NDArray[np.float32],
        *,
        target: Target,
    ) -> NDArray[np.int64]:
        """The same at ``observation``, for heads whose choices steer a rule; ``target``: utilization of a scaler."""
        return self.encode(decisions)

    def feasible(self, state: SaleState, rows: Rows) -> NDArray[np.bool_] | None:
        """Which choices (sale, those of all columns in a row) are feasible now; None: those that are ``allowed``."""
        return None

    def allowed(self) -> NDArray[np.bool_]:
        """Which choices, those of all columns in a row, guard-rails allow whatever is observed."""
        return np.ones(sum(self.sizes), np.bool_)

    def usual_choice(self) -> NDArray[np.int64]:
        """The choices (column,) that leave all as it is."""
        usual = {head: np.zeros(1, np.int64) for head in Decisions._fields}
        return self.encode(Decisions(**usual | {self.decision: self.default(1)}))[0]

    def rails(self) -> list[dict[str, Any]]:
        """What rules choices out, of each column, as JSON: arguments of ``policies.guardrails.HeadRails``."""
        if self.acts_before_opening or not self.sale.pre_opening:
            return [{"choices": size} for size in self.sizes]
        usual = zip(self.sizes, self.usual_choice().tolist(), strict=True)
        return [{"choices": size, "only": {"to_opening": choice}} for size, choice in usual]


def nearest(choices: NDArray[Any], wanted: NDArray[Any]) -> NDArray[np.int64]:
    """Index of the choice nearest to each of ``wanted``, the first of equals."""
    return np.abs(choices[None, :] - wanted[:, None]).argmin(axis=1)


def check_names(field: str, chosen: Sequence[str], known: Sequence[str], *, may_be_empty: bool = False) -> None:
    """InputError unless ``chosen`` are different names of ``known``."""
    for name in chosen:
        if name not in known:
            raise InputError(f"action {field}: unknown {name!r}; choose from {', '.join(known)}")
    if len(set(chosen)) < len(chosen) or not (chosen or may_be_empty):
        raise InputError(f"action {field}: expected different names, at least one, got {chosen!r}")
