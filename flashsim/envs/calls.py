"""Planned calls: orders whose time is set before the sale begins.

    push      in the middle of equal parts of the sale, as many as the budget allows
    reorder   all lots of the supplier, at the opening
    release   the next wave, ahead of its time, where a product that has more to come is nearly sold out

A call is due by what is observed, so one that did not go out at its time goes out later. Waves that are not called for
are released by the sale itself, as planned.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from flashsim.envs.dashboard import Dashboard
from flashsim.sim.cache import compiled, compiled_inline
from flashsim.sim.state import HOLD, PUSH, RELEASE, REORDER

CALLS = ("push", "reorder", "release")
PLANNED: Final = -1
"""Stands for the order that is due, beside HOLD and the others."""
NEARLY_SOLD_OUT = 0.03
"""Share of all units of a product, lots included; an assumption: some minutes of a rush."""


class CallRule(NamedTuple):
    """What is called for, and the columns of the observation that show when it is due."""

    budget: int  # pushes; 0: none is called for
    lots: bool
    waves: bool
    time_left: int
    pushes_left: int
    lots_left: int
    waves_left: int
    stock: NDArray[np.int64]  # product
    available: NDArray[np.int64]  # product


class PlannedCalls:
    """Orders that are due."""

    def __init__(self, dashboard: Dashboard, calls: Sequence[str]) -> None:
        """``calls``: any of push, reorder and release; those that can do nothing in the sale are never due."""
        tables, shown = dashboard.sale.tables, dashboard.columns
        self.budget = int(tables.traffic.push_budget) if "push" in calls else 0
        self.lots = bool("reorder" in calls and tables.stock.lots > 0)
        self.waves = bool("release" in calls and tables.wave_tick.shape[0] > 1)
        self._rule = CallRule(
            budget=self.budget,
            lots=self.lots,
            waves=self.waves,
            time_left=shown["time_left"],
            pushes_left=shown.get("pushes_left", -1),
            lots_left=shown.get("lots_left", -1),
            waves_left=shown.get("waves_left", -1),
            stock=dashboard.of_products("stock"),
            available=dashboard.of_products("available"),
        )

    def order(self, observation: NDArray[np.float32]) -> NDArray[np.int64]:
        """The order that is due, (sale,): PUSH before REORDER before RELEASE, else HOLD."""
        orders = np.full(len(observation), PLANNED, np.int64)
        self.fill_in(orders, observation)
        return orders

    def fill_in(self, orders: NDArray[np.int64], observation: NDArray[np.float32]) -> None:
        """Write the order that is due where ``orders`` (sale,) say PLANNED."""
        _write_due(self._rule, observation, orders)


@compiled
def _write_due(rule: CallRule, observation: NDArray[np.float32], orders: NDArray[np.int64]) -> None:
    """Write the order that is due where ``orders`` (sale,) say PLANNED."""
    for row in range(orders.shape[0]):
        if orders[row] == PLANNED:
            seen = observation[row]
            if rule.budget and _push_is_due(rule, seen):
                orders[row] = PUSH
            elif rule.lots and seen[rule.lots_left] > 0.0:
                orders[row] = REORDER
            elif rule.waves and _is_short(rule, seen):
                orders[row] = RELEASE
            else:
                orders[row] = HOLD


@compiled_inline
def _push_is_due(rule: CallRule, seen: NDArray[np.float32]) -> bool:
    """Whether a push is left and the middle of its part of the sale has come."""
    left = np.float64(seen[rule.pushes_left]) * rule.budget
    due = (rule.budget - left + 0.5) / rule.budget
    return bool(1.0 - np.float64(seen[rule.time_left]) >= due - 1e-6 and left > 0.5)


@compiled_inline
def _is_short(rule: CallRule, seen: NDArray[np.float32]) -> bool:
    """Whether a wave is left and some product of it nearly sold out."""
    is_short = False
    for product in range(rule.stock.shape[0]):
        available = np.float64(seen[rule.available[product]])
        has_more = np.float64(seen[rule.stock[product]]) > available
        is_short |= bool(has_more and available < NEARLY_SOLD_OUT)
    return bool(is_short and seen[rule.waves_left] > 0.0)
