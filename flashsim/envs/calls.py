"""Calls that are known before the sale: all lots at the opening, pushes in the middle of equal parts of the sale.

They read the observation only, so that a call that did not go out at its time goes out later. Waves are released as
planned by the sale itself.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from flashsim.envs.dashboard import Dashboard
from flashsim.sim.state import HOLD, PUSH, REORDER

CALLS = ("push", "reorder")


class PlannedCalls:
    """Orders that are due."""

    def __init__(self, dashboard: Dashboard, calls: Sequence[str]) -> None:
        """``calls``: push, for the budgeted pushes, and reorder, for the supplier's lots; either, both or none."""
        tables = dashboard.plan.tables
        self.dashboard = dashboard
        self.budget = tables.traffic.push_budget if "push" in calls else 0
        self.lots = "reorder" in calls and tables.stock.lots > 0

    def order(self, observation: NDArray[np.float32]) -> NDArray[np.int64]:
        """PUSH, which goes first, REORDER or HOLD (sale,)."""
        board = self.dashboard
        order = np.full(observation.shape[0], HOLD, np.int64)
        if self.lots:
            order[board.share(observation, "lots_left") > 0.0] = REORDER
        if self.budget:
            past = 1.0 - board.share(observation, "time_left")
            left = board.share(observation, "pushes_left") * self.budget
            due = (self.budget - left + 0.5) / self.budget
            order[(past >= due - 1e-6) & (left > 0.5)] = PUSH
        return order
