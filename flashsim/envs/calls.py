"""Planned calls: orders whose time is set before the sale begins.

    push      in the middle of equal parts of the sale, as many as the budget allows
    reorder   all lots of the supplier, at the opening
    release   the next wave, ahead of its time, where a product that has more to come is nearly sold out

A call is due by what is observed, so one that did not go out at its time goes out later. Waves that are not called for
are released by the sale itself, as planned.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from flashsim.envs.dashboard import Dashboard
from flashsim.sim.state import HOLD, PUSH, RELEASE, REORDER

CALLS = ("push", "reorder", "release")
NEARLY_SOLD_OUT = 0.03
"""Share of all units of a product, lots included; an assumption: some minutes of a rush."""


class PlannedCalls:
    """Orders that are due."""

    def __init__(self, dashboard: Dashboard, calls: Sequence[str]) -> None:
        """``calls``: any of push, reorder and release; those that can do nothing in the sale are never due."""
        tables = dashboard.sale.tables
        self.dashboard = dashboard
        self.budget = tables.traffic.push_budget if "push" in calls else 0
        self.lots = "reorder" in calls and tables.stock.lots > 0
        self.waves = "release" in calls and tables.wave_tick.shape[0] > 1

    def order(self, observation: NDArray[np.float32]) -> NDArray[np.int64]:
        """The order that is due, (sale,): PUSH before REORDER before RELEASE, else HOLD."""
        share = self.dashboard.share
        order = np.full(observation.shape[0], HOLD, np.int64)
        if self.waves:
            order[self._is_short(observation)] = RELEASE
        if self.lots:
            order[share(observation, "lots_left") > 0.0] = REORDER
        if self.budget:
            past = 1.0 - share(observation, "time_left")
            left = share(observation, "pushes_left") * self.budget
            due = (self.budget - left + 0.5) / self.budget
            order[(past >= due - 1e-6) & (left > 0.5)] = PUSH
        return order

    def _is_short(self, observation: NDArray[np.float32]) -> NDArray[np.bool_]:
        """Whether a wave is left and some product of it nearly sold out (sale,)."""
        share = self.dashboard.share
        is_short = np.zeros(observation.shape[0], np.bool_)
        for product in range(self.dashboard.sale.products):
            available = share(observation, f"product_{product}_available")
            has_more = share(observation, f"product_{product}_stock") > available
            is_short |= has_more & (available < NEARLY_SOLD_OUT)
        return is_short & (share(observation, "waves_left") > 0.0)
