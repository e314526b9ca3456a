"""Scalers: rules that order servers for a target utilization. An agent may steer them by choosing the target.

    tracking    servers = ⌈max(visits now, visits forecast for the tick in which an order takes effect) / (μ · target)⌉
    scheduled   servers = ⌈visits that the forecast, times the level learned so far, has in the tick in which an order
                takes effect / (μ · target)⌉, whatever comes now

Before the opening both look at the forecast alone, at the tick in which an order takes effect, or at the first of the
sale. Both read the observation only. Source: target tracking and scheduled scaling are what cloud providers offer.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from flashsim.envs.dashboard import Dashboard, read_count, read_ratio, read_tick, read_tick_of_effect
from flashsim.errors import InputError
from flashsim.sim.cache import compiled, compiled_inline

MOST_UTILIZATION = 2.0
"""The largest target of a scaler; above 1, part of a rush is never served."""


class Pool(NamedTuple):
    """The servers that a scaler orders, and where the observation shows them."""

    ordered: int  # column
    least: int  # servers
    most: int  # servers
    changes: NDArray[np.int64]  # choice; servers more or fewer

    @classmethod
    def of(cls, dashboard: Dashboard) -> "Pool":
        """That of the sale of ``dashboard``."""
        sale = dashboard.sale
        servers, changes = sale.tables.servers, np.array(sale.server_changes, np.int64)
        return cls(dashboard.columns["servers_ordered"], int(servers.min_servers), int(servers.max_servers), changes)


class TrackingRule(NamedTuple):
    """Columns of the observation that target tracking reads."""

    load: int
    servers_ahead: int
    loads_ahead: NDArray[np.int64]  # price


class ScheduledRule(NamedTuple):
    """What scheduled scaling reads beside the servers."""

    time_left: int  # column
    ticks: int  # of the sale
    level: int  # column; -1: the sale shows none
    lag: int  # ticks
    service_rate: float  # visits a server does in a tick
    visitors: NDArray[np.float64]  # tick and the end, price; forecast
    to_opening: int  # column; -1: the sale has no time before its opening
    pre_opening: int  # ticks of it

    @classmethod
    def of(cls, dashboard: Dashboard) -> "ScheduledRule":
        """That of the sale of ``dashboard``."""
        sale, shown = dashboard.sale, dashboard.columns
        return cls(
            time_left=shown["time_left"],
            ticks=sale.ticks,
            level=-1 if sale.is_reference else shown["level"],
            lag=int(sale.tables.servers.lag),
            service_rate=float(sale.tables.servers.service_rate),
            visitors=np.array(sale.forecast.visitors, np.float64, order="C"),
            to_opening=shown.get("to_opening", -1),
            pre_opening=sale.pre_opening,
        )


class TargetTracking:
    """Orders servers for the visits now, or those forecast for the tick in which an order takes effect, if more."""

    def __init__(self, dashboard: Dashboard) -> None:
        sale, shown = dashboard.sale, dashboard.columns
        if sale.is_reference:
            raise InputError(
                f"action scaler_targets: the reference sale {sale.name!r} shows no past visits to track; leave them out"
            )
        lag = sale.tables.servers.lag
        ahead = next((ahead for ahead in sale.lookahead if ahead >= lag), sale.lookahead[-1])
        loads = np.array([shown[f"load_in_{ahead}_at_{k}"] for k in range(sale.price_levels)], np.int64)
        self._rule = TrackingRule(shown["load"], shown[f"servers_in_{ahead}"], loads)
        self._pool, self._before = Pool.of(dashboard), ScheduledRule.of(dashboard)

    def change(
        self, observation: NDArray[np.float32], price_index: NDArray[np.int64], target: NDArray[np.float64]
    ) -> NDArray[np.int64]:
        """Servers more or fewer (sale,), as near to what is wanted as the menu of changes has it.

        At the price indices (sale, product) about to be set and targets (sale,).
        """
        change = np.empty(len(observation), np.int64)
        _track(self._rule, self._pool, observation, price_index, target, change)
        if self._before.pre_opening:
            is_before = observation[:, self._before.to_opening] > 0.0
            if np.count_nonzero(is_before):
                planned = np.empty_like(change)
                _schedule(self._before, self._pool, observation, price_index, target, planned)
                np.copyto(change, planned, where=is_before)
        return change


class Scheduled:
    """Orders servers for the visits that the forecast has in the tick in which an order takes effect."""

    def __init__(self, dashboard: Dashboard) -> None:
        self._rule, self._pool = ScheduledRule.of(dashboard), Pool.of(dashboard)

    def change(
        self, observation: NDArray[np.float32], price_index: NDArray[np.int64], target: NDArray[np.float64]
    ) -> NDArray[np.int64]:
        """As that of :class:`TargetTracking`."""
        change = np.empty(len(observation), np.int64)
        _schedule(self._rule, self._pool, observation, price_index, target, change)
        return change


def forecast_visitors(
    dashboard: Dashboard, observation: NDArray[np.float32], price_index: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Visitors (sale,) that the forecast has in the tick in which an order takes effect, at price indices
    (sale, product); in the first tick of the sale where it takes effect before the opening."""
    at_price = np.rint(price_index.mean(axis=1)).astype(np.int64)
    return np.asarray(dashboard.sale.forecast.visitors[dashboard.tick_of_effect(observation), at_price])


SCALERS: dict[str, type[TargetTracking] | type[Scheduled]] = {"tracking": TargetTracking, "scheduled": Scheduled}


@compiled
def _track(
    rule: TrackingRule,
    pool: Pool,
    observation: NDArray[np.float32],
    price_index: NDArray[np.int64],
    target: NDArray[np.float64],
    change: NDArray[np.int64],
) -> None:
    """Write ``change`` (sale,)."""
    for row in range(change.shape[0]):
        seen = observation[row]
        ordered = read_count(np.float64(seen[pool.ordered]), pool.most)
        load_ahead = read_ratio(np.float64(seen[rule.loads_ahead[_mean_index(price_index[row])]]))
        visits_ahead = load_ahead * (np.float64(seen[rule.servers_ahead]) * pool.most)
        visits = max(read_ratio(np.float64(seen[rule.load])) * max(1.0, ordered), visits_ahead)
        change[row] = _nearest_change(pool, np.ceil(visits / target[row]), ordered)


@compiled
def _schedule(
    rule: ScheduledRule,
    pool: Pool,
    observation: NDArray[np.float32],
    price_index: NDArray[np.int64],
    target: NDArray[np.float64],
    change: NDArray[np.int64],
) -> None:
    """Write ``change`` (sale,)."""
    for row in range(change.shape[0]):
        seen = observation[row]
        until = 0.0
        if rule.to_opening >= 0:
            until = read_count(np.float64(seen[rule.to_opening]), rule.pre_opening)
        tick = read_tick(np.float64(seen[rule.time_left]), rule.ticks)
        then = int(read_tick_of_effect(tick, until, rule.lag, rule.ticks))
        visits = rule.visitors[then, _mean_index(price_index[row])]
        if rule.level >= 0:
            visits *= read_ratio(np.float64(seen[rule.level]))
        wanted = np.ceil(visits / (rule.service_rate * target[row]) - 1e-9)
        change[row] = _nearest_change(pool, wanted, read_count(np.float64(seen[pool.ordered]), pool.most))


@compiled_inline
def _mean_index(price_index: NDArray[np.int64]) -> int:
    """The price index nearest to the mean of ``price_index`` (product,)."""
    total = 0
    for product in range(price_index.shape[0]):
        total += price_index[product]
    return int(np.rint(total / price_index.shape[0]))


@compiled_inline
def _nearest_change(pool: Pool, wanted: float, ordered: float) -> int:
    """Of the changes of the pool, the first of those nearest to what brings ``wanted`` servers, where it may."""
    missing = np.int64(min(max(wanted, np.float64(pool.least)), np.float64(pool.most)) - ordered)
    best = 0
    for choice in range(1, pool.changes.shape[0]):
        if abs(pool.changes[choice] - missing) < abs(pool.changes[best] - missing):
            best = choice
    return int(pool.changes[best])
