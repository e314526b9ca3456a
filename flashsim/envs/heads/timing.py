"""What happens now: hold, release the next wave, push, order a lot from the supplier, close, or do what is planned."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from flashsim.envs.calls import CALLS, PLANNED, PlannedCalls
from flashsim.envs.dashboard import Dashboard
from flashsim.envs.heads.head import Head, HeadConfig, Rows, Target, check_names, nearest
from flashsim.errors import InputError
from flashsim.scenarios.compiled import CompiledSale
from flashsim.sim.state import CLOSE, HOLD, PUSH, RELEASE, REORDER, Decisions, SaleState

TIMING: Final = {
    "hold": HOLD,
    "planned": PLANNED,
    "release": RELEASE,
    "push": PUSH,
    "reorder": REORDER,
    "close": CLOSE,
}
_LEFT: Final = {RELEASE: "waves_left", PUSH: "pushes_left", REORDER: "lots_left"}
"""Orders that can run out -> the feature that is 0 then."""


@dataclass(frozen=True)
class TimingConfig(HeadConfig):
    """What the timing head can order."""

    timing: tuple[str, ...] = ("hold", "release", "push", "reorder")
    """What the timing head can order: hold, release the next wave, push, reorder a lot from the supplier, close; and
    planned, the call that is due of those in ``planned_calls``."""
    planned_calls: tuple[str, ...] = ()
    """Any of push, in the middle of equal parts of the sale, reorder, for all lots at the opening, and release, for
    waves when a product is nearly sold out."""


class Timing(Head):
    """One order, in the first tick of a decision; planned calls go out in any. Hold without it, or what is planned.

    Orders that can do nothing in the sale (a push without a budget, say) are left out of its choices.
    """

    name, decision = "timing", "timing"

    def __init__(self, sale: CompiledSale, config: TimingConfig, dashboard: Dashboard) -> None:
        super().__init__(sale, config, dashboard)
        self._calls = PlannedCalls(dashboard, config.planned_calls)
        orders = [TIMING[name] for name in config.timing if self._can_happen(TIMING[name])]
        self._orders = np.array(orders, np.int64)
        self._is_planned = PLANNED in orders
        self._limited = {order: choice for choice, order in enumerate(orders) if order in _LEFT}
        self.sizes = (len(orders),)

    @staticmethod
    def check(config: TimingConfig, *, every: int) -> None:
        if every > 1 and "close" in config.timing:
            raise InputError(f"action every: a decision that can close the sale stands for 1 tick, got {every}")
        check_names("timing", config.timing, tuple(TIMING))
        check_names("planned_calls", config.planned_calls, CALLS, may_be_empty=True)

    @property
    def reads_observation(self) -> bool:
        return self._is_planned

    def meaning(self) -> Any:
        """Names of the orders."""
        names = {number: name for name, number in TIMING.items()}
        return [names[int(order)] for order in self._orders]

    def default(self, sales: int) -> NDArray[np.int64]:
        return np.full(sales, HOLD, np.int64)

    def decode(
        self,
        chosen: NDArray[np.int64] | None,
        observation: NDArray[np.float32],
        decided: Mapping[str, NDArray[Any]],
        *,
        is_first: bool,
    ) -> NDArray[np.int64]:
        if chosen is None:
            return self._calls.order(observation) if self._is_planned else self.default(len(observation))
        orders = self._orders[chosen[:, 0]]
        if not is_first:
            orders[orders != PLANNED] = HOLD
        if self._is_planned:
            self._calls.fill_in(orders, observation)
        return orders

    def encode(self, decisions: Decisions) -> NDArray[np.int64]:
        return nearest(self._orders, decisions.timing)[:, None]

    def encode_steered(
        self, decisions: Decisions, observation: NDArray[np.float32], *, target: Target
    ) -> NDArray[np.int64]:
        """Planned wherever the call that is due is what ``decisions`` order."""
        choices = super().encode_steered(decisions, observation, target=target)
        if self._is_planned:
            place = int(np.flatnonzero(self._orders == PLANNED)[0])
            choices[decisions.timing == self._calls.order(observation)] = place
        return choices

    def feasible(self, state: SaleState, rows: Rows) -> NDArray[np.bool_] | None:
        """An order is feasible while some of what it uses up is left."""
        if not self._limited:
            return None
        next_wave = rows(state.stock.next_wave)
        feasible = np.ones((next_wave.size, self._orders.size), np.bool_)
        if RELEASE in self._limited:
            np.less(next_wave, self.sale.tables.wave_tick.shape[0], out=feasible[:, self._limited[RELEASE]])
        if PUSH in self._limited:
            np.greater(rows(state.traffic.pushes_left), 0, out=feasible[:, self._limited[PUSH]])
        if REORDER in self._limited:
            np.greater(rows(state.stock.lots_left), 0, out=feasible[:, self._limited[REORDER]])
        return feasible

    def rails(self) -> list[dict[str, Any]]:
        (rails,) = super().rails()
        return [rails | {"spent": {_LEFT[order]: choice for order, choice in self._limited.items()}}]

    def _can_happen(self, order: int) -> bool:
        """Whether an order can ever do something in this sale."""
        tables = self.sale.tables
        possible = {
            RELEASE: tables.wave_tick.shape[0] > 1,
            PUSH: tables.traffic.push_budget > 0,
            REORDER: tables.stock.lots > 0,
            PLANNED: self._calls.budget > 0 or self._calls.lots or self._calls.waves,
        }
        return possible.get(order, True)
