"""Rules that an operator has anyway, and that an agent may steer: run-out price and target tracking.

    run-out index   the menu index at which a product's stock lasts just to the end, by forecast and learned level
    tracking        servers = ⌈max(visits now, visits forecast when an order comes into force) / (μ · target)⌉

Both read the observation only. Source: Gallego & van Ryzin (1994), Management Science 40(8), for the run-out price;
target tracking is what cloud providers offer.
"""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from flashsim.errors import InputError
from flashsim.plan import Plan


class Dashboard:
    """Reads named features back from observations."""

    def __init__(self, plan: Plan, columns: Mapping[str, int]) -> None:
        """``columns`` tells where each feature stands."""
        self.plan, self.columns = plan, columns
        self._run_out = [columns[f"product_{product}_run_out"] for product in range(plan.products)]

    def share(self, observation: NDArray[np.float32], name: str) -> NDArray[np.float64]:
        """A feature that is a share, (sale,)."""
        return observation[:, self.columns[name]].astype(np.float64)

    def ratio(self, observation: NDArray[np.float32], name: str) -> NDArray[np.float64]:
        """A feature that is shown as x/(1+x), as x, (sale,)."""
        shown = np.minimum(self.share(observation, name), 1.0 - 1e-6)
        return shown / (1.0 - shown)

    def run_out(self, observation: NDArray[np.float32]) -> NDArray[np.int64]:
        """Menu index (sale, product) nearest to that at which the stock lasts just to the end."""
        place = observation[:, self._run_out].astype(np.float64)
        return np.rint(place * (self.plan.menu - 1)).astype(np.int64)


class TargetTracking:
    """Orders servers for visits at a target utilization, as far ahead as they take to boot."""

    def __init__(self, dashboard: Dashboard) -> None:
        self.plan, self.dashboard = dashboard.plan, dashboard
        if self.plan.is_reference:
            raise InputError(
                f"action scaler_targets: the reference sale {self.plan.name!r} shows no past visits to track; "
                "leave them out"
            )
        lag = self.plan.tables.servers.lag
        self.ahead = next((ahead for ahead in self.plan.lookahead if ahead >= lag), self.plan.lookahead[-1])
        self._loads = [f"load_in_{self.ahead}_at_{k}" for k in range(self.plan.menu)]

    def change(
        self, observation: NDArray[np.float32], menu: NDArray[np.int64], target: NDArray[np.float64]
    ) -> NDArray[np.int64]:
        """Servers more or fewer (sale,), given the menu indices (sale, product) about to be set and targets (sale,)."""
        board, servers = self.dashboard, self.plan.tables.servers
        ordered = np.rint(board.share(observation, "servers_ordered") * servers.max_servers)
        now = board.ratio(observation, "load") * np.maximum(1.0, ordered)
        level = np.rint(menu.mean(axis=1)).astype(np.int64)
        loads = np.stack([board.ratio(observation, name) for name in self._loads], axis=1)
        ahead = np.take_along_axis(loads, level[:, None], axis=1)[:, 0] * self._in_force(observation, self.ahead)
        wanted = np.ceil(np.maximum(now, ahead) / target)
        wanted = np.clip(wanted, servers.min_servers, servers.max_servers)
        return (wanted - ordered).astype(np.int64)

    def _in_force(self, observation: NDArray[np.float32], ahead: int) -> NDArray[np.float64]:
        return self.dashboard.share(observation, f"servers_in_{ahead}") * self.plan.tables.servers.max_servers
