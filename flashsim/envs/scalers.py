"""Scalers: rules that order servers for a target utilization. An agent may steer them by choosing the target.

    tracking    servers = ⌈max(visits now, visits forecast for the tick in which an order takes effect) / (μ · target)⌉
    scheduled   servers = ⌈visits that the forecast, times the level learned so far, has in the tick in which an order
                takes effect / (μ · target)⌉, whatever comes now

Before the opening both look at the forecast alone, at the tick in which an order takes effect, or at the first of the
sale. Both read the observation only. Source: target tracking and scheduled scaling are what cloud providers offer.
"""

import numpy as np
from numpy.typing import NDArray

from flashsim.envs.dashboard import Dashboard
from flashsim.errors import InputError

MOST_UTILIZATION = 2.0
"""The largest target of a scaler; above 1, part of a rush is never served."""


def forecast_visitors(
    dashboard: Dashboard, observation: NDArray[np.float32], price_index: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Visitors (sale,) that the forecast has in the tick in which an order takes effect, at price indices
    (sale, product); in the first tick of the sale where it takes effect before the opening."""
    sale = dashboard.sale
    then = dashboard.tick(observation) - dashboard.until_opening(observation) + sale.tables.servers.lag
    at_price = np.rint(price_index.mean(axis=1)).astype(np.int64)
    return np.asarray(sale.forecast.visitors[np.clip(then, 0, sale.ticks - 1), at_price])


class TargetTracking:
    """Orders servers for the visits now, or those forecast for the tick in which an order takes effect, if more."""

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
        dashboard, servers = self.dashboard, self.sale.tables.servers
        ordered = dashboard.servers_ordered(observation)
        visits_now = dashboard.ratio(observation, "load") * np.maximum(1.0, ordered)
        mean_index = np.rint(price_index.mean(axis=1)).astype(np.int64)
        loads = np.stack([dashboard.ratio(observation, name) for name in self._loads], axis=1)
        in_force = dashboard.share(observation, f"servers_in_{self.ahead}") * servers.max_servers
        visits_ahead = np.take_along_axis(loads, mean_index[:, None], axis=1)[:, 0] * in_force
        before = dashboard.until_opening(observation) > 0  # nothing can be seen yet
        opening = forecast_visitors(dashboard, observation, price_index) / servers.service_rate
        wanted = np.ceil(np.where(before, opening, np.maximum(visits_now, visits_ahead)) / target)
        return (np.clip(wanted, servers.min_servers, servers.max_servers) - ordered).astype(np.int64)


class Scheduled:
    """Orders servers for the visits that the forecast has in the tick in which an order takes effect."""

    def __init__(self, dashboard: Dashboard) -> None:
        self.sale, self.dashboard = dashboard.sale, dashboard

    def change(
        self, observation: NDArray[np.float32], price_index: NDArray[np.int64], target: NDArray[np.float64]
    ) -> NDArray[np.int64]:
        """Servers more or fewer (sale,), at the price indices (sale, product) about to be set and targets (sale,)."""
        sale, servers = self.sale, self.sale.tables.servers
        visitors = forecast_visitors(self.dashboard, observation, price_index)
        if not sale.is_reference:
            visitors = visitors * self.dashboard.ratio(observation, "level")
        wanted = np.ceil(visitors / (servers.service_rate * target) - 1e-9)
        ordered = self.dashboard.servers_ordered(observation)
        return (np.clip(wanted, servers.min_servers, servers.max_servers) - ordered).astype(np.int64)


SCALERS: dict[str, type[TargetTracking] | type[Scheduled]] = {"tracking": TargetTracking, "scheduled": Scheduled}
