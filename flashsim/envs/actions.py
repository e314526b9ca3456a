"""What an agent does: what its actions stand for, which are feasible, and the space of them.

An action is what its heads make of it (``flashsim.envs.heads``); nothing here knows one of them by name.
"""

from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from flashsim.envs.dashboard import Dashboard
from flashsim.envs.heads import HEADS, Head, HeadConfigs
from flashsim.envs.heads.head import Rows, Target, check_names
from flashsim.errors import InputError
from flashsim.scenarios.compiled import CompiledSale
from flashsim.sim.parameters import check_whole
from flashsim.sim.state import Decisions, SaleState


@dataclass(frozen=True)
class ActionConfig(HeadConfigs):
    """Which decisions an agent takes, and how its heads name them.

    Heads left out: list price, waves as planned, servers as they are or tracked, and the first of the sale's admission
    caps.
    """

    heads: tuple[str, ...] = tuple(HEADS)
    """Which heads there are, of those in ``flashsim.envs.heads``."""
    every: int = 1
    """Ticks for which a decision stands. Pushes, releases and changes of servers happen in the first of them; prices
    around the run-out price, servers at a target and planned calls follow what is seen each tick."""
    flat: bool = False
    """True: one Discrete over all combinations (for DQN, with per_product=False); False: MultiDiscrete."""

    def __post_init__(self) -> None:
        for field in fields(self):
            if isinstance(field.default, tuple):
                object.__setattr__(self, field.name, tuple(getattr(self, field.name)))  # JSON has lists
        check_whole("action every", self.every, 1, 100_000)
        check_names("heads", self.heads, tuple(HEADS))
        for head in HEADS.values():
            head.check(self, every=self.every)


class ActionCodec:
    """Translates actions of a space to decisions, and back.

    Heads that can do nothing in the sale (one with a single choice, say) are left out of the space.
    """

    LARGEST_MENU = 10_000

    def __init__(self, sale: CompiledSale, config: ActionConfig) -> None:
        self.sale, self.config = sale, config
        for ticks, what in ((sale.ticks, "ticks"), (sale.pre_opening, "ticks before the opening")):
            if ticks % config.every:
                raise InputError(
                    f"action every: {config.every} ticks do not divide the {ticks} {what} of {sale.name!r}; "
                    "choose a divisor"
                )
        self.dashboard = Dashboard(sale)
        self._heads = tuple(head(sale, config, self.dashboard) for head in HEADS.values())
        self._used = tuple(head for head in self._heads if head.is_used)
        if not self._used:
            raise InputError(f"action: heads {config.heads!r} leave nothing to decide in {sale.name!r}; choose others")
        self.sizes = np.array([size for head in self._used for size in head.sizes], np.int64)
        columns = _slices(self._used, [len(head.sizes) for head in self._used])
        self._columns = tuple((head, columns.get(head.name)) for head in self._heads)
        self._choices = _slices(self._used, [sum(head.sizes) for head in self._used])
        self._allowed = np.concatenate([head.allowed() for head in self._used])
        self._before_opening = np.concatenate([_choices_before_opening(head) for head in self._used])
        self.space: spaces.Space[Any]
        if config.flat:
            count = int(np.prod(self.sizes, dtype=np.float64))
            if count > self.LARGEST_MENU:
                raise InputError(
                    f"action: a flat menu would hold {count} actions, more than {self.LARGEST_MENU}; "
                    "set per_product=False or leave out heads"
                )
            self._flat_actions = np.stack(np.unravel_index(np.arange(count), self.sizes), axis=1)
            starts = np.concatenate([[0], np.cumsum(self.sizes[:-1])])
            self._choices_of_flat = (starts + self._flat_actions).T  # column, flat action; place in a mask
            self.space = spaces.Discrete(count)
            self._limit = np.array(count, np.uint64)
        else:
            self.space = spaces.MultiDiscrete(self.sizes)
            self._limit = self.sizes.astype(np.uint64)

    @property
    def head_sizes(self) -> tuple[int, ...]:
        """Choices of each column of an action; one number if it is flat."""
        return (len(self._flat_actions),) if self.config.flat else tuple(int(size) for size in self.sizes)

    @property
    def reads_observation(self) -> bool:
        """Whether the meaning of an action depends on what is seen."""
        return any(head.reads_observation for head in self._heads)

    def check(self, actions: NDArray[Any], sales: int) -> NDArray[np.int64]:
        """``actions`` (sale, …) as integers; InputError when shape, kind or range do not fit."""
        expected = (sales,) if self.config.flat else (sales, self.sizes.size)
        array = np.asarray(actions)
        if array.shape != expected:
            raise InputError(f"action: expected shape {expected}, got {array.shape}")
        if array.dtype.kind not in "iu":
            raise InputError(f"action: expected whole numbers, got {array.dtype} such as {array.flat[0]!r}")
        whole = array.astype(np.int64, copy=False)
        outside = whole.view(np.uint64) >= self._limit  # negative numbers become the largest
        if np.count_nonzero(outside):  # for few sales much quicker than any()
            largest = (self._limit - np.uint64(1)).tolist()
            raise InputError(f"action: expected numbers from 0 to {largest}, got {whole[outside][0]}")
        return whole

    def defaults(self, sales: int) -> Decisions:
        """Decisions (sale, …) that leave all as it is: list price, hold, the servers there are, the first cap."""
        return Decisions(**{head.decision: head.default(sales) for head in self._heads})

    def decode(
        self, actions: NDArray[np.int64], observation: NDArray[np.float32], *, is_first: bool = True
    ) -> Decisions:
        """What checked ``actions``, taken at ``observation``, decide; ``is_first``: in the first tick of a decision."""
        choices = self._flat_actions[actions] if self.config.flat else actions
        decided: dict[str, NDArray[Any]] = {}
        for head, columns in self._columns:
            chosen = None if columns is None else choices[:, columns]
            decided[head.decision] = head.decode(chosen, observation, decided, is_first=is_first)
        for head in self._heads:  # in a second round: what a head sees of the others are their choices, not yet cut
            decided[head.decision] = head.keep_guard_rails(decided[head.decision], observation)
        return Decisions(**decided)

    def encode(self, decisions: Decisions) -> NDArray[np.int64]:
        """Action whose decoding is nearest to ``decisions`` (heads left out are dropped)."""
        return self._joined([head.encode(decisions) for head in self._used])

    def encode_steered(
        self, decisions: Decisions, observation: NDArray[np.float32], *, target: Target
    ) -> NDArray[np.int64]:
        """The same at ``observation``, where heads may steer a rule: around the run-out price, planned calls, and a
        scaler whose utilization shall be nearest to ``target``."""
        return self._joined([head.encode_steered(decisions, observation, target=target) for head in self._used])

    def _joined(self, choices: list[NDArray[np.int64]]) -> NDArray[np.int64]:
        """An action of the choices (sale, column) of each head."""
        columns = np.concatenate(choices, axis=1)
        return np.asarray(np.ravel_multi_index(tuple(columns.T), tuple(self.sizes))) if self.config.flat else columns

    def masks(self, state: SaleState, rows: Rows) -> NDArray[np.bool_]:
        """Feasible choices (sale, sum of head sizes or flat action) in ``state``: others are projected when taken."""
        masks = self._allowed[None].repeat(len(rows(state.tick)), axis=0)
        for head in self._used:
            feasible = head.feasible(state, rows)
            if feasible is not None:
                masks[:, self._choices[head.name]] = feasible
        if self.sale.pre_opening:
            masks[rows(state.tick) < 0] &= self._before_opening
        if not self.config.flat:
            return masks
        return np.logical_and.reduce([masks[:, choice] for choice in self._choices_of_flat])

    def meanings(self) -> dict[str, Any]:
        """What the choices of the heads stand for, as JSON: a policy made for others would decide other things."""
        return {head.name: head.meaning() for head in self._used}

    def rails(self, *, is_masked: bool) -> dict[str, Any]:
        """What a policy of such actions needs to keep to the guard-rails, as JSON: arguments of
        ``policies.guardrails.Rails``; masked: also to what is feasible."""
        return {"columns": [column for head in self._used for column in head.rails()], "is_masked": is_masked}


def _choices_before_opening(head: Head) -> NDArray[np.bool_]:
    """Which choices, those of all columns in a row, ``head`` has before the doors open."""
    if head.acts_before_opening:
        return np.ones(sum(head.sizes), np.bool_)
    columns = zip(head.sizes, head.usual_choice(), strict=True)
    return np.concatenate([np.arange(size) == choice for size, choice in columns])


def _slices(heads: tuple[Head, ...], lengths: list[int]) -> dict[str, slice]:
    """Where the part of each head stands, by name, where parts of ``lengths`` stand in a row."""
    ends = np.cumsum(lengths)
    return {head.name: slice(end - length, end) for head, length, end in zip(heads, lengths, ends, strict=True)}
