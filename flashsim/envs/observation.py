"""What an operator sees: features from the public state, the ledger and the forecast, never from the drawn world.

The level of demand is learned as a gamma-Poisson update: with prior variance v, n people seen and m expected,

    level = (1/v + n) / (1/v + m)

first for all products from visitors, then for each product from its requests. Ratios without a bound are shown as
x/(1+x). The columns are named by ``spaces.observation_table``; a test holds the two together.

Source: conjugate gamma-Poisson learning as in Aviv & Pazgal (2005), Management Science 51(9). The features follow the
finding that stock against future demand matters more than the algorithm (see the table in the README).
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from flashsim.envs.reward import write_reward
from flashsim.scenarios.compiled import Forecast
from flashsim.sim.cache import compiled, compiled_inline, compiled_inside
from flashsim.sim.failures import FEED_FREEZES, is_failing
from flashsim.sim.ledger import Ledger, ledger_tile
from flashsim.sim.sale import step_sale
from flashsim.sim.samplers import write_exp, write_log
from flashsim.sim.servers import level_at
from flashsim.sim.state import Decisions, SaleState, SaleTables, Scratch, decisions_tile, sale_tile
from flashsim.sim.traffic import follow_goodwill

_LINE = 16  # float32 in a line of the cache
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


class Sight(NamedTuple):
    """What one thread needs to observe a tile."""

    columns: NDArray[np.float32]  # column, lane and padding; the observation
    level: NDArray[np.float64]  # lane; scratch: learned level of demand over the forecast, all products
    own: NDArray[np.float64]  # lane; scratch: that of one product
    stock: NDArray[np.float64]  # lane; scratch: units
    before: NDArray[np.float64]  # lane; scratch: demand at the price index before
    run_out: NDArray[np.float64]  # lane; scratch
    ahead: NDArray[np.float64]  # lane; scratch: what the forecast says of units or visitors
    uplift_ratio: NDArray[np.float64]  # lane; scratch: forecast units of the offer over those at list price
    uplift: NDArray[np.float64]  # lane; scratch: its logarithm
    visitor_uplift: NDArray[np.float64]  # lane; scratch: what of it comes as visitors
    goodwill_shift: NDArray[np.float64]  # lane; scratch: what goodwill adds to it
    log_visitor_factor: NDArray[np.float64]  # lane; scratch: both together
    visitor_factor: NDArray[np.float64]  # lane; scratch: visitors of the offer over those at list price
    pushed: NDArray[np.float64]  # lane; scratch: visitors with the goodwill of pushes over those without
    answered: NDArray[np.float64]  # lane; scratch: share of visits that were answered in time
    place: NDArray[np.int64]  # lane; scratch: where that stands in the flat forecast


def make_sight(columns: int, lanes: int) -> Sight:
    """Allocate the sight of a tile."""
    lines = -(-lanes // _LINE) // 2 * 2 + 1  # odd: a power of two apart, all columns would share few sets of the cache
    arrays: list[Any] = [np.zeros((columns, lines * _LINE), np.float32), *(np.zeros(lanes) for _ in range(14))]
    return Sight(*(arrays + [np.zeros(lanes, np.int64)]))  # noqa: RUF005  (mypy counts starred arguments)


def make_memory(tiles: int, products: int, lanes: int) -> OperatorMemory:
    """Allocate the memory of ``tiles`` tiles (first axis)."""
    shapes = dict.fromkeys(("requests_seen", "requests_expected", "pace", "price_index"), (tiles, products, lanes))
    arrays: list[NDArray[Any]] = [
        np.zeros(shapes.get(name, (tiles, lanes)), np.int64 if name == "price_index" else np.float64)
        for name in OperatorMemory._fields
    ]
    return OperatorMemory(*arrays)


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
    tables: SaleTables, forecast: Forecast, state: SaleState, ledger: Ledger, memory: OperatorMemory, sight: Sight
) -> None:
    """Learn from the ledger of the tick just past (state.tick has moved on); writes ``memory``."""
    products, lanes = memory.pace.shape
    for lane in range(lanes):
        tick = state.tick[lane] - 1
        offer, listed = 0.0, 0.0
        for product in range(products):
            offer += forecast.units[tick, product, ledger.price_index[product, lane]]
            listed += forecast.units[tick, product, 0]
        sight.uplift_ratio[lane] = offer / listed if (listed > 0.0) & (offer > 0.0) else 1.0
    write_log(sight.uplift_ratio, sight.uplift)
    for lane in range(lanes):
        sight.visitor_uplift[lane] = forecast.traffic_share * sight.uplift[lane]
    follow_goodwill(tables.traffic, 1, state.tick, sight.visitor_uplift, memory.goodwill, sight.goodwill_shift)
    for lane in range(lanes):
        sight.log_visitor_factor[lane] = sight.visitor_uplift[lane] + sight.goodwill_shift[lane]
    write_exp(sight.log_visitor_factor, sight.visitor_factor)
    for lane in range(lanes):
        tick = state.tick[lane] - 1
        came = np.float64(ledger.exogenous_visitors[lane] + ledger.attracted_visitors[lane])
        visits = came + np.float64(ledger.returning_visitors[lane] + ledger.retries[lane])
        pushed = 1.0 + tables.traffic.push_uplift * state.traffic.push_goodwill[lane]
        memory.visitors_seen[lane] += came
        memory.visitors_expected[lane] += forecast.visitors[tick, 0] * sight.visitor_factor[lane] * pushed
        capacity = tables.servers.service_rate * np.float64(max(1, state.servers.ordered[lane]))
        memory.load[lane] = visits / capacity
        memory.utilization[lane] = ledger.utilization[lane]
        memory.latency_s[lane] = ledger.latency_mean_s[lane]
        sight.level[lane] = _level(forecast.common_variance, memory.visitors_seen[lane], memory.visitors_expected[lane])
        sight.pushed[lane] = pushed
        sight.answered[lane] = min(1.0, np.float64(ledger.served[lane]) / max(visits, 1.0))
    for product in range(products):
        for lane in range(lanes):
            sight.ahead[lane] = forecast.units[state.tick[lane] - 1, product, ledger.price_index[product, lane]]
        for lane in range(lanes):
            memory.price_index[product, lane] = ledger.price_index[product, lane]
            requests = np.float64(ledger.requests[product, lane])
            memory.pace[product, lane] = PACE_MEMORY * memory.pace[product, lane] + (1.0 - PACE_MEMORY) * requests
            is_seen = ledger.opening[product, lane] > ledger.requests[product, lane]
            expected = sight.ahead[lane] * sight.level[lane] * sight.answered[lane] * sight.pushed[lane]
            memory.requests_seen[product, lane] += requests if is_seen else 0.0
            memory.requests_expected[product, lane] += expected if is_seen else 0.0


@compiled_inline
def _level(variance: float, seen: float, expected: float) -> float:
    """Posterior mean of a gamma level with prior mean 1."""
    return (1.0 + variance * seen) / (1.0 + variance * expected)


@compiled_inline
def _bounded(x: float) -> float:
    """x >= 0 shown in [0, 1)."""
    return x / (1.0 + x)


@compiled_inline
def observe(
    tables: SaleTables,
    forecast: Forecast,
    lookahead: NDArray[np.int64],
    has_past: bool,
    state: SaleState,
    memory: OperatorMemory,
    sight: Sight,
) -> None:
    """Write sight.columns (column, lane), in the order of ``spaces.observation_table``."""
    ticks, products, price_levels = tables.rate.shape[0], tables.rate.shape[2], tables.rate.shape[3]
    level, own, stock, out = sight.level, sight.own, sight.stock, sight.columns
    for lane in range(level.shape[0]):
        level[lane] = _level(forecast.common_variance, memory.visitors_seen[lane], memory.visitors_expected[lane])
    column = _observe_sale(tables, state, memory, has_past, level, out)
    column = _observe_ahead(tables, forecast, lookahead, state, column, sight)
    for product in range(products):
        planned = np.float64(max(1, tables.planned[product] + tables.stock.lots * tables.lot_units[product]))
        variance = forecast.product_variance[product]
        for lane in range(level.shape[0]):
            own[lane] = level[lane] * _level(
                variance, memory.requests_seen[product, lane], memory.requests_expected[product, lane]
            )
            units = state.stock.available[product, lane] + state.stock.unreleased[product, lane]
            stock[lane] = np.float64(units)
        column = _observe_cover(forecast.future_units, state.tick, product, column, sight)
        for lane in range(level.shape[0]):
            out[column, lane] = np.float32(stock[lane] / planned)
            out[column + 1, lane] = np.float32(np.float64(state.stock.available[product, lane]) / planned)
        column += 2
        if has_past:
            for lane in range(level.shape[0]):
                ahead = memory.pace[product, lane] * np.float64(ticks - min(state.tick[lane], ticks))
                out[column, lane] = np.float32(_bounded(own[lane]))
                out[column + 1, lane] = np.float32(_bounded(stock[lane] / max(ahead, 1e-3)))
                out[column + 2, lane] = np.float32(
                    np.float64(memory.price_index[product, lane]) / np.float64(max(1, price_levels - 1))
                )
            column += 3


@compiled_inline
def _observe_sale(
    tables: SaleTables,
    state: SaleState,
    memory: OperatorMemory,
    has_past: bool,
    level: NDArray[np.float64],
    out: NDArray[np.float32],
) -> int:
    """Time, servers, visitors; returns the next column."""
    ticks = tables.rate.shape[0]
    most = np.float64(max(1, tables.servers.max_servers))
    for lane in range(level.shape[0]):
        out[0, lane] = np.float32(1.0 - np.float64(state.tick[lane]) / np.float64(ticks))
        out[1, lane] = np.float32(np.float64(state.servers.ordered[lane]) / most)
    if not has_past:
        return 2
    budget = np.float64(max(1, tables.traffic.push_budget))
    waves = np.float64(tables.wave_tick.shape[0])
    lots = np.float64(max(1, tables.stock.lots))
    for lane in range(level.shape[0]):
        waiting, in_room, coming = 0, 0, 0
        for segment in range(state.queue.backlog.shape[0]):
            waiting += state.queue.backlog[segment, lane]
            in_room += state.room.room[segment, lane]
        for slot in range(state.stock.coming.shape[0]):
            coming += state.stock.coming[slot, lane]
        capacity = tables.servers.service_rate * np.float64(max(1, state.servers.ordered[lane]))
        out[2, lane] = np.float32(_bounded(level[lane]))
        out[3, lane] = np.float32(_bounded(memory.load[lane]))
        out[4, lane] = np.float32(memory.utilization[lane])
        out[5, lane] = np.float32(min(1.0, memory.latency_s[lane] / tables.servers.timeout_s))
        out[6, lane] = np.float32(_bounded(np.float64(waiting) / capacity))
        out[7, lane] = np.float32(_bounded(np.float64(in_room) / capacity))
        out[8, lane] = np.float32(np.float64(state.traffic.pushes_left[lane]) / budget)
        out[9, lane] = np.float32(state.traffic.push_goodwill[lane])
        out[10, lane] = np.float32(1.0 - np.float64(state.stock.next_wave[lane]) / waves)
        out[11, lane] = np.float32(np.float64(state.stock.lots_left[lane]) / lots)
        out[12, lane] = np.float32(np.float64(coming) / lots)
    return 13


@compiled_inline
def _observe_ahead(
    tables: SaleTables,
    forecast: Forecast,
    lookahead: NDArray[np.int64],
    state: SaleState,
    column: int,
    sight: Sight,
) -> int:
    """Servers, demand and load some ticks ahead, demand and load for each price index; returns the next column."""
    level, out = sight.level, sight.columns
    ticks, price_levels = tables.rate.shape[0], tables.rate.shape[3]
    most = np.float64(max(1, tables.servers.max_servers))
    usual = max(forecast.visitors[0, 0], 1e-9)
    visitors_ahead = forecast.visitors.flat
    for ahead in lookahead:
        for lane in range(level.shape[0]):
            now = state.tick[lane]
            in_force = np.float64(
                level_at(state.servers.orders, state.servers.ordered[lane], lane, now, now + ahead, tables.servers.lag)
            )
            sight.place[lane] = min(now + ahead, ticks) * price_levels
            sight.own[lane] = max(tables.servers.service_rate * in_force, 1e-9)
            out[column, lane] = np.float32(in_force / most)
        for index in range(price_levels):
            for lane in range(level.shape[0]):
                sight.ahead[lane] = visitors_ahead[sight.place[lane] + index]
            for lane in range(level.shape[0]):
                visitors = sight.ahead[lane] * level[lane]
                out[column + 1 + 2 * index, lane] = np.float32(visitors / (sight.own[lane] + visitors))
                out[column + 2 + 2 * index, lane] = np.float32(visitors / (usual + visitors))
        column += 1 + 2 * price_levels
    return column


@compiled_inline
def _observe_cover(
    future: NDArray[np.float64], tick: NDArray[np.int64], product: int, column: int, sight: Sight
) -> int:
    """Stock over future demand for each price index, and the index at which it runs out just at the end; next column.

    ``future`` (tick, product, price).
    """
    ticks, products, price_levels = future.shape
    before, run_out, stock, own, out = sight.before, sight.run_out, sight.stock, sight.own, sight.columns
    flat = future.flat
    for lane in range(stock.shape[0]):
        before[lane], run_out[lane] = -1.0, np.float64(price_levels - 1)
        sight.place[lane] = (min(tick[lane], ticks - 1) * products + product) * price_levels
    for index in range(price_levels):
        for lane in range(stock.shape[0]):
            sight.ahead[lane] = flat[sight.place[lane] + index]
        for lane in range(stock.shape[0]):
            demand = max(sight.ahead[lane] * own[lane], 1e-9)
            out[column + index, lane] = np.float32(stock[lane] / (demand + stock[lane]))
            step = 0.0 if index == 0 else (stock[lane] - before[lane]) / max(demand - before[lane], 1e-9)
            is_met = (demand >= stock[lane]) & (before[lane] < stock[lane])
            met = min(run_out[lane], np.float64(max(0, index - 1)) + step)
            run_out[lane] = met if is_met else run_out[lane]
            before[lane] = demand
    for lane in range(stock.shape[0]):
        out[column + price_levels, lane] = np.float32(run_out[lane] / np.float64(max(1, price_levels - 1)))
    return column + price_levels + 1


@compiled
def observe_tiles(
    tables: SaleTables,
    forecast: Forecast,
    lookahead: NDArray[np.int64],
    has_past: bool,
    state: SaleState,
    memory: OperatorMemory,
    sight: Sight,
    out: NDArray[np.float32],
    first: int,
    last: int,
) -> None:
    """Write the observations of the tiles first .. last - 1 to ``out`` (tile · lanes + lane, column).

    A row stays as it is while the screen of its sale is frozen.
    """
    lanes = state.tick.shape[1]
    for tile in range(first, last):
        sale = sale_tile(state, tile)
        observe(tables, forecast, lookahead, has_past, sale, memory_tile(memory, tile), sight)
        _show(tables, sale, sight.columns, out[tile * lanes : (tile + 1) * lanes])


@compiled_inline
def _show(tables: SaleTables, state: SaleState, columns: NDArray[np.float32], out: NDArray[np.float32]) -> None:
    """Copy ``columns`` (column, lane) to ``out`` (lane, column) where the screen is not frozen, row by row."""
    for lane in range(out.shape[0]):
        if not is_failing(tables.failures, state.failures, FEED_FREEZES, lane, state.tick[lane] - 1):
            for column in range(out.shape[1]):
                out[lane, column] = columns[column, lane]


@compiled
def pass_tick(
    tables: SaleTables,
    forecast: Forecast,
    lookahead: NDArray[np.int64],
    has_past: bool,
    weights: Any,
    decisions: Decisions,
    state: SaleState,
    ledger: Ledger,
    memory: OperatorMemory,
    scratch: Scratch,
    sight: Sight,
    reward: NDArray[np.float64],
    out: NDArray[np.float32],
    first: int,
    last: int,
) -> None:
    """Step the tiles first .. last - 1, then learn from their ledgers; writes ``reward`` (tile, lane) and ``out``."""
    for tile in range(first, last):
        orders = decisions_tile(decisions, tile)
        sale, facts = sale_tile(state, tile), ledger_tile(ledger, tile)
        step_sale(tables, sale, orders, facts, scratch)
        if has_past:
            remember(tables, forecast, sale, facts, memory_tile(memory, tile), sight)
        write_reward(weights, facts, reward[tile])
        observe_tiles(tables, forecast, lookahead, has_past, state, memory, sight, out, tile, tile + 1)


@compiled
def forget_tiles(memory: OperatorMemory, opening: NDArray[np.bool_], unloaded_latency_s: float) -> None:
    """Start afresh where ``opening`` (tile, lane) is set."""
    for tile in range(opening.shape[0]):
        forget(memory_tile(memory, tile), opening[tile], unloaded_latency_s)
