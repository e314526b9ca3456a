"""Rules that order servers for a target utilization; an agent may steer them by naming the target.

    tracking    servers = ⌈max(visits now, visits forecast when an order comes into force) / (μ · target)⌉
    scheduled   servers = ⌈visits that the forecast, at the level learned so far, has in the tick in which an order
                comes into force / (μ · target)⌉, whatever comes now

Both read the observation only. Source: target tracking and scheduled scaling are what cloud providers offer.
"""

import numpy as np
from numpy.typing import NDArray

from flashsim.envs.dashboard import Dashboard
from flashsim.errors import InputError

MOST_UTILIZATION = 2.0
"""That a scaler can aim at; above 1, part of a rush is never served."""


class TargetTracking:
    """Orders servers for visits at a target utilization, as far ahead as they take to boot."""

    def __init__(self, dashboard: Dashboard) -> None:
        self.sale, self.dashboard = dashboard.sale, dashboard
        if self.sale.is_reference:
            raise InputError(
                f"action scaler_targets: the reference sale {self.sale.name!r} shows no past visits to track; "
                "leave them out"
            )
        lag = self.sale.tables.servers.lag
        self.ahead = next((ahead for ahead in self.sale.lookahead if ahead >= lag), self.sale.lookahead[-1])
        self._loads = [f"load_in_{self.ahead}_at_{k}" for k in range(self.sale.price_levels)]

    def change(
        self, observation: NDArray[np.float32], price_index: NDArray[np.int64], target: NDArray[np.float64]
    ) -> NDArray[np.int64]:
        """Servers more or fewer (sale,), at the price indices (sale, product) about to be set and targets (sale,)."""
        board, servers = self.dashboard, self.sale.tables.servers
        ordered = np.rint(board.share(observation, "servers_ordered") * servers.max_servers)
        now = board.ratio(observation, "load") * np.maximum(1.0, ordered)
        level = np.rint(price_index.mean(axis=1)).astype(np.int64)
        loads = np.stack([board.ratio(observation, name) for name in self._loads], axis=1)
        ahead = np.take_along_axis(loads, level[:, None], axis=1)[:, 0] * self._in_force(observation, self.ahead)
        wanted = np.ceil(np.maximum(now, ahead) / target)
        wanted = np.clip(wanted, servers.min_servers, servers.max_servers)
        return (wanted - ordered).astype(np.int64)

    def _in_force(self, observation: NDArray[np.float32], ahead: int) -> NDArray[np.float64]:
        return self.dashboard.share(observation, f"servers_in_{ahead}") * self.sale.tables.servers.max_servers


class Scheduled:
    """Orders servers for the visits of one tick of the forecast: that in which an order comes into force."""

    def __init__(self, dashboard: Dashboard) -> None:
        self.sale, self.dashboard = dashboard.sale, dashboard

    def change(
        self, observation: NDArray[np.float32], price_index: NDArray[np.int64], target: NDArray[np.float64]
    ) -> NDArray[np.int64]:
        """Servers more or fewer (sale,), at the price indices (sale, product) about to be set and targets (sale,)."""
        sale, servers = self.sale, self.sale.tables.servers
        then = np.minimum(self.dashboard.tick(observation) + servers.lag, sale.ticks - 1)
        visitors = sale.forecast.visitors[then, np.rint(price_index.mean(axis=1)).astype(np.int64)]
        if not sale.is_reference:
            visitors = visitors * self.dashboard.ratio(observation, "level")
        wanted = np.ceil(visitors / (servers.service_rate * target) - 1e-9)
        ordered = np.rint(self.dashboard.share(observation, "servers_ordered") * servers.max_servers)
        return (np.clip(wanted, servers.min_servers, servers.max_servers) - ordered).astype(np.int64)


SCALERS: dict[str, type[TargetTracking] | type[Scheduled]] = {"tracking": TargetTracking, "scheduled": Scheduled}
