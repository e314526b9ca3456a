"""What the operator learns during the sale, from the ledger alone.

The level of demand is learned as a gamma-Poisson update: with prior variance v, n people seen and m expected,

    level = (1/v + n) / (1/v + m)

first for all products from visitors, then for each product from its requests.

Source: conjugate gamma-Poisson learning as in Aviv & Pazgal (2005), Management Science 51(9).
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from flashsim.scenarios.compiled import Forecast
from flashsim.sim.cache import compiled_inline, compiled_inside
from flashsim.sim.ledger import Ledger
from flashsim.sim.samplers import write_exp, write_log
from flashsim.sim.state import SaleState, SaleTables
from flashsim.sim.traffic import follow_goodwill

PACE_MEMORY = 0.8  # weight of the past in the smoothed rate of requests


class OperatorMemory(NamedTuple):
    """What the operator has learned during the sale."""

    visitors_seen: NDArray[np.float64]  # lane
    visitors_expected: NDArray[np.float64]  # lane
    requests_seen: NDArray[np.float64]  # product, lane
    requests_expected: NDArray[np.float64]  # product, lane
    pace: NDArray[np.float64]  # product, lane; smoothed units a tick
    goodwill: NDArray[np.float64]  # lane; forecast of the goodwill of offers, log uplift of visitors
    load: NDArray[np.float64]  # lane; visits last tick over what the servers ordered can do
    utilization: NDArray[np.float64]  # lane
    latency_s: NDArray[np.float64]  # lane
    price_index: NDArray[np.int64]  # product, lane; last price index


class LearningScratch(NamedTuple):
    """What one thread needs to learn from the ledger of a tile."""

    offer: NDArray[np.float64]  # lane; units of the offer over those at list price, by forecast
    uplift: NDArray[np.float64]  # lane; log uplift of units
    visitor_uplift: NDArray[np.float64]  # lane; what of it comes as visitors
    goodwill_shift: NDArray[np.float64]  # lane; what goodwill adds to it
    log_attracted: NDArray[np.float64]  # lane; both together
    attracted: NDArray[np.float64]  # lane; visitors over those at list price, by forecast
    expected: NDArray[np.float64]  # lane; units of one product, by forecast
    level: NDArray[np.float64]  # lane; learned level of demand over the forecast, all products
    pushed: NDArray[np.float64]  # lane; factor by which pushes raise visitors
    served: NDArray[np.float64]  # lane; share of the visits


def make_memory(tiles: int, products: int, lanes: int) -> OperatorMemory:
    """Allocate the memory of ``tiles`` tiles (first axis)."""
    shapes = dict.fromkeys(("requests_seen", "requests_expected", "pace", "price_index"), (tiles, products, lanes))
    arrays: list[NDArray[Any]] = [
        np.zeros(shapes.get(name, (tiles, lanes)), np.int64 if name == "price_index" else np.float64)
        for name in OperatorMemory._fields
    ]
    return OperatorMemory(*arrays)


def make_learning_scratch(lanes: int) -> LearningScratch:
    """Allocate the scratch of a tile."""
    return LearningScratch(*(np.zeros(lanes) for _ in LearningScratch._fields))


@compiled_inside
def memory_tile(memory: OperatorMemory, tile: int) -> OperatorMemory:
    """View of one tile."""
    return OperatorMemory(
        memory.visitors_seen[tile],
        memory.visitors_expected[tile],
        memory.requests_seen[tile],
        memory.requests_expected[tile],
        memory.pace[tile],
        memory.goodwill[tile],
        memory.load[tile],
        memory.utilization[tile],
        memory.latency_s[tile],
        memory.price_index[tile],
    )


@compiled_inside
def forget(memory: OperatorMemory, opening: NDArray[np.bool_], unloaded_latency_s: float) -> None:
    """Start afresh in every lane of ``opening``."""
    products, lanes = memory.pace.shape
    for lane in range(lanes):
        if opening[lane]:
            memory.visitors_seen[lane] = 0.0
            memory.visitors_expected[lane] = 0.0
            memory.load[lane] = 0.0
            memory.utilization[lane] = 0.0
            memory.latency_s[lane] = unloaded_latency_s
            for product in range(products):
                memory.requests_seen[product, lane] = 0.0
                memory.requests_expected[product, lane] = 0.0
                memory.pace[product, lane] = 0.0
                memory.price_index[product, lane] = 0


@compiled_inside
def remember(
    tables: SaleTables,
    forecast: Forecast,
    state: SaleState,
    ledger: Ledger,
    memory: OperatorMemory,
    scratch: LearningScratch,
) -> None:
    """Learn from the ledger of the tick just past (state.tick has moved on); writes ``memory``."""
    _learn_of_visitors(tables, forecast, state, ledger, memory, scratch)
    products, lanes = memory.pace.shape
    ticks = tables.rate.shape[0]
    for product in range(products):
        for lane in range(lanes):
            tick = forecast_row(state.tick[lane] - 1, ticks)
            scratch.expected[lane] = forecast.units[tick, product, ledger.price_index[product, lane]]
        for lane in range(lanes):
            memory.price_index[product, lane] = ledger.price_index[product, lane]
            requested = np.float64(ledger.requests[product, lane])
            memory.pace[product, lane] = PACE_MEMORY * memory.pace[product, lane] + (1.0 - PACE_MEMORY) * requested
            is_seen = ledger.opening[product, lane] > ledger.requests[product, lane]
            expected = scratch.expected[lane] * scratch.level[lane] * scratch.served[lane] * scratch.pushed[lane]
            memory.requests_seen[product, lane] += requested if is_seen else 0.0
            memory.requests_expected[product, lane] += expected if is_seen else 0.0


@compiled_inline
def _learn_of_visitors(
    tables: SaleTables,
    forecast: Forecast,
    state: SaleState,
    ledger: Ledger,
    memory: OperatorMemory,
    scratch: LearningScratch,
) -> None:
    """Learn the level of all products and how the last tick went; writes ``memory`` and all of ``scratch``."""
    products, lanes = memory.pace.shape
    ticks = tables.rate.shape[0]
    for lane in range(lanes):
        tick = forecast_row(state.tick[lane] - 1, ticks)
        offer, listed = 0.0, 0.0
        for product in range(products):
            offer += forecast.units[tick, product, ledger.price_index[product, lane]]
            listed += forecast.units[tick, product, 0]
        scratch.offer[lane] = offer / listed if (listed > 0.0) & (offer > 0.0) else 1.0
    write_log(scratch.offer, scratch.uplift)
    for lane in range(lanes):
        scratch.visitor_uplift[lane] = forecast.traffic_share * scratch.uplift[lane]
    follow_goodwill(tables.traffic, 1, state.tick, scratch.visitor_uplift, memory.goodwill, scratch.goodwill_shift)
    for lane in range(lanes):
        scratch.log_attracted[lane] = scratch.visitor_uplift[lane] + scratch.goodwill_shift[lane]
    write_exp(scratch.log_attracted, scratch.attracted)
    for lane in range(lanes):
        tick = forecast_row(state.tick[lane] - 1, ticks)
        came = np.float64(ledger.exogenous_visitors[lane] + ledger.attracted_visitors[lane])
        visits = came + np.float64(ledger.returning_visitors[lane] + ledger.retries[lane])
        pushed = 1.0 + tables.traffic.push_uplift * state.traffic.push_goodwill[lane]
        memory.visitors_seen[lane] += came
        memory.visitors_expected[lane] += forecast.visitors[tick, 0] * scratch.attracted[lane] * pushed
        capacity = tables.servers.service_rate * np.float64(max(1, state.servers.ordered[lane]))
        memory.load[lane] = visits / capacity
        memory.utilization[lane] = ledger.utilization[lane]
        memory.latency_s[lane] = ledger.latency_mean_s[lane]
        scratch.level[lane] = learned_level(
            forecast.common_variance, memory.visitors_seen[lane], memory.visitors_expected[lane]
        )
        scratch.pushed[lane] = pushed
        scratch.served[lane] = min(1.0, np.float64(ledger.served[lane]) / max(visits, 1.0))


@compiled_inline
def forecast_row(tick: int, ticks: int) -> int:
    """Row of the forecast for ``tick``; before the opening its last one, in which nobody is expected."""
    return tick if tick >= 0 else ticks


@compiled_inline
def learned_level(variance: float, seen: float, expected: float) -> float:
    """Posterior mean of a gamma level with prior mean 1."""
    return (1.0 + variance * seen) / (1.0 + variance * expected)
