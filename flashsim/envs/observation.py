"""What an operator sees: features from the public state, the ledger and the forecast, never from the drawn world.

What is learned during the sale stands in the operator's memory (``flashsim.envs.operator_memory``). Ratios without a
bound are shown as x/(1+x). The table of ``flashsim.envs.features`` gives the columns their names and numbers.

The features follow the finding that stock against future demand matters more than the algorithm (see the table in the
README).
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from flashsim.envs.features import ObservationColumns, observation_columns
from flashsim.envs.operator_memory import (
    LearningScratch,
    OperatorMemory,
    forecast_row,
    forget,
    learned_level,
    make_learning_scratch,
    memory_tile,
    remember,
)
from flashsim.envs.reward import write_reward
from flashsim.scenarios.compiled import CompiledSale, Forecast
from flashsim.sim.cache import compiled, compiled_inline, compiled_inside
from flashsim.sim.failures import FEED_FREEZES, is_failing
from flashsim.sim.ledger import Ledger, ledger_tile
from flashsim.sim.sale import step_sale
from flashsim.sim.servers import level_at
from flashsim.sim.state import Decisions, SaleState, SaleTables, Scratch, decisions_tile, sale_tile

_LINE = 16  # float32 in a line of the cache


class OperatorView(NamedTuple):
    """What an operator knows of a sale before it begins, and where each feature of it is shown."""

    tables: SaleTables
    forecast: Forecast
    lookahead: NDArray[np.int64]  # ticks
    has_past: bool  # whether the operator remembers; a reference sale shows its state alone
    columns: ObservationColumns


class ObservationScratch(NamedTuple):
    """What one thread needs to observe a tile."""

    columns: NDArray[np.float32]  # column, lane and padding; the observation
    level: NDArray[np.float64]  # lane; learned level of demand over the forecast, all products
    product_level: NDArray[np.float64]  # lane; that of one product
    capacity: NDArray[np.float64]  # lane; visits that servers in force some ticks ahead can do in a tick
    stock: NDArray[np.float64]  # lane; units
    demand_before: NDArray[np.float64]  # lane; demand at the price index before
    run_out: NDArray[np.float64]  # lane; price index
    ahead: NDArray[np.float64]  # lane; what the forecast says of units or visitors
    place: NDArray[np.int64]  # lane; where that stands in the flat forecast
    learning: LearningScratch


def view_of(sale: CompiledSale) -> OperatorView:
    """What an operator knows of ``sale``."""
    lookahead = np.array(sale.lookahead, np.int64)
    return OperatorView(sale.tables, sale.forecast, lookahead, not sale.is_reference, observation_columns(sale))


def make_observation_scratch(columns: int, lanes: int) -> ObservationScratch:
    """Allocate what observing a tile needs."""
    lines = -(-lanes // _LINE) // 2 * 2 + 1  # odd: a power of two apart, all columns would share few sets of the cache
    return ObservationScratch(
        columns=np.zeros((columns, lines * _LINE), np.float32),
        level=np.zeros(lanes),
        product_level=np.zeros(lanes),
        capacity=np.zeros(lanes),
        stock=np.zeros(lanes),
        demand_before=np.zeros(lanes),
        run_out=np.zeros(lanes),
        ahead=np.zeros(lanes),
        place=np.zeros(lanes, np.int64),
        learning=make_learning_scratch(lanes),
    )


@compiled_inline
def _bounded(x: float) -> float:
    """x >= 0 shown in [0, 1)."""
    return x / (1.0 + x)


@compiled_inside
def observe(
    view: OperatorView,
    state: SaleState,
    memory: OperatorMemory,
    scratch: ObservationScratch,
    out: NDArray[np.float32],
) -> None:
    """Write the observation of a tile to ``out`` (lane, column); a row stays as it is while its screen is frozen."""
    for lane in range(scratch.level.shape[0]):
        scratch.level[lane] = learned_level(
            view.forecast.common_variance, memory.visitors_seen[lane], memory.visitors_expected[lane]
        )
    _observe_sale(view.tables, state, view.columns.sale, scratch.columns)
    if view.has_past:
        _observe_past(view.tables, state, memory, view.columns.sale, scratch)
    for place in range(view.lookahead.shape[0]):
        _observe_ahead(view, state, place, scratch)
    for product in range(view.tables.rate.shape[2]):
        _observe_product(view, state, memory, product, scratch)
    _show(view.tables, state, scratch.columns, out)


@compiled_inline
def _observe_sale(tables: SaleTables, state: SaleState, columns: Any, out: NDArray[np.float32]) -> None:
    """Time and servers; ``columns``: SaleColumns."""
    ticks, most = tables.rate.shape[0], np.float64(max(1, tables.servers.max_servers))
    for lane in range(state.tick.shape[0]):
        out[columns.time_left, lane] = np.float32(1.0 - np.float64(max(state.tick[lane], 0)) / np.float64(ticks))
        out[columns.servers_ordered, lane] = np.float32(np.float64(state.servers.ordered[lane]) / most)
    if tables.pre_opening > 0:
        for lane in range(state.tick.shape[0]):
            to_come = np.float64(max(-state.tick[lane], 0))
            out[columns.to_opening, lane] = np.float32(to_come / np.float64(tables.pre_opening))


@compiled_inline
def _observe_past(
    tables: SaleTables, state: SaleState, memory: OperatorMemory, columns: Any, scratch: ObservationScratch
) -> None:
    """Level, load of the last tick, pushes and supply; ``columns``: SaleColumns."""
    level, out = scratch.level, scratch.columns
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
        out[columns.level, lane] = np.float32(_bounded(level[lane]))
        out[columns.load, lane] = np.float32(_bounded(memory.load[lane]))
        out[columns.utilization, lane] = np.float32(memory.utilization[lane])
        out[columns.latency, lane] = np.float32(min(1.0, memory.latency_s[lane] / tables.servers.timeout_s))
        out[columns.backlog, lane] = np.float32(_bounded(np.float64(waiting) / capacity))
        out[columns.room, lane] = np.float32(_bounded(np.float64(in_room) / capacity))
        out[columns.pushes_left, lane] = np.float32(np.float64(state.traffic.pushes_left[lane]) / budget)
        out[columns.goodwill, lane] = np.float32(state.traffic.push_goodwill[lane])
        out[columns.waves_left, lane] = np.float32(1.0 - np.float64(state.stock.next_wave[lane]) / waves)
        out[columns.lots_left, lane] = np.float32(np.float64(state.stock.lots_left[lane]) / lots)
        out[columns.lots_coming, lane] = np.float32(np.float64(coming) / lots)


@compiled_inline
def _observe_ahead(view: OperatorView, state: SaleState, place: int, scratch: ObservationScratch) -> None:
    """Servers, load and visitors at lookahead ``place``, load and visitors for each price index."""
    level, capacity, out = scratch.level, scratch.capacity, scratch.columns
    servers, columns, ahead = view.tables.servers, view.columns.ahead, view.lookahead[place]
    ticks, price_levels = view.tables.rate.shape[0], view.tables.rate.shape[3]
    most = np.float64(max(1, servers.max_servers))
    usual = max(view.forecast.visitors[0, 0], 1e-9)
    visitors_ahead = view.forecast.visitors.flat
    first = place * columns.repeat
    for lane in range(level.shape[0]):
        now = state.tick[lane]
        in_force = np.float64(
            level_at(state.servers.orders, state.servers.ordered[lane], lane, now, now + ahead, servers.lag)
        )
        scratch.place[lane] = forecast_row(min(now + ahead, ticks), ticks) * price_levels
        capacity[lane] = max(servers.service_rate * in_force, 1e-9)
        out[first + columns.servers, lane] = np.float32(in_force / most)
    for index in range(price_levels):
        at_price = first + index * columns.next_price
        for lane in range(level.shape[0]):
            scratch.ahead[lane] = visitors_ahead[scratch.place[lane] + index]
        for lane in range(level.shape[0]):
            visitors = scratch.ahead[lane] * level[lane]
            out[at_price + columns.load, lane] = np.float32(visitors / (capacity[lane] + visitors))
            out[at_price + columns.visitors, lane] = np.float32(visitors / (usual + visitors))


@compiled_inline
def _observe_product(
    view: OperatorView, state: SaleState, memory: OperatorMemory, product: int, scratch: ObservationScratch
) -> None:
    """Cover and run-out price, stock, and what was learned of a product."""
    tables, columns, stock, out = view.tables, view.columns.product, scratch.stock, scratch.columns
    ticks, price_levels = tables.rate.shape[0], tables.rate.shape[3]
    planned = np.float64(max(1, tables.planned[product] + tables.stock.lots * tables.lot_units[product]))
    first = product * columns.repeat
    for lane in range(stock.shape[0]):
        scratch.product_level[lane] = scratch.level[lane] * learned_level(
            view.forecast.product_variance[product],
            memory.requests_seen[product, lane],
            memory.requests_expected[product, lane],
        )
        units = state.stock.available[product, lane] + state.stock.unreleased[product, lane]
        stock[lane] = np.float64(units)
    _observe_cover(view.forecast.future_units, state.tick, product, columns, scratch)
    for lane in range(stock.shape[0]):
        available = np.float64(state.stock.available[product, lane])
        out[first + columns.stock, lane] = np.float32(stock[lane] / planned)
        out[first + columns.available, lane] = np.float32(available / planned)
    if view.has_past:
        most = np.float64(max(1, price_levels - 1))
        for lane in range(stock.shape[0]):
            ahead = memory.pace[product, lane] * np.float64(ticks - min(max(state.tick[lane], 0), ticks))
            out[first + columns.level, lane] = np.float32(_bounded(scratch.product_level[lane]))
            out[first + columns.pace, lane] = np.float32(_bounded(stock[lane] / max(ahead, 1e-3)))
            out[first + columns.price, lane] = np.float32(np.float64(memory.price_index[product, lane]) / most)


@compiled_inline
def _observe_cover(
    future: NDArray[np.float64], tick: NDArray[np.int64], product: int, columns: Any, scratch: ObservationScratch
) -> None:
    """Stock over future demand for each price index, and the index at which it runs out just at the end.

    ``future`` (tick, product, price); ``columns``: ProductColumns.
    """
    ticks, products, price_levels = future.shape
    before, run_out, stock, out = scratch.demand_before, scratch.run_out, scratch.stock, scratch.columns
    flat, first = future.flat, product * columns.repeat
    for lane in range(stock.shape[0]):
        before[lane], run_out[lane] = -1.0, np.float64(price_levels - 1)
        scratch.place[lane] = (min(max(tick[lane], 0), ticks - 1) * products + product) * price_levels
    for index in range(price_levels):
        cover = first + columns.cover + index * columns.next_price
        for lane in range(stock.shape[0]):
            scratch.ahead[lane] = flat[scratch.place[lane] + index]
        for lane in range(stock.shape[0]):
            demand = max(scratch.ahead[lane] * scratch.product_level[lane], 1e-9)
            out[cover, lane] = np.float32(stock[lane] / (demand + stock[lane]))
            step = 0.0 if index == 0 else (stock[lane] - before[lane]) / max(demand - before[lane], 1e-9)
            is_met = (demand >= stock[lane]) & (before[lane] < stock[lane])
            met = min(run_out[lane], np.float64(max(0, index - 1)) + step)
            run_out[lane] = met if is_met else run_out[lane]
            before[lane] = demand
    for lane in range(stock.shape[0]):
        out[first + columns.run_out, lane] = np.float32(run_out[lane] / np.float64(max(1, price_levels - 1)))


@compiled
def observe_tiles(
    view: OperatorView,
    state: SaleState,
    memory: OperatorMemory,
    scratch: ObservationScratch,
    out: NDArray[np.float32],
    first: int,
    last: int,
) -> None:
    """Write the observations of the tiles first .. last - 1 to ``out`` (tile · lanes + lane, column)."""
    lanes = state.tick.shape[1]
    for tile in range(first, last):
        rows = out[tile * lanes : (tile + 1) * lanes]
        observe(view, sale_tile(state, tile), memory_tile(memory, tile), scratch, rows)


@compiled_inline
def _show(tables: SaleTables, state: SaleState, columns: NDArray[np.float32], out: NDArray[np.float32]) -> None:
    """Copy ``columns`` (column, lane) to ``out`` (lane, column) where the screen is not frozen, row by row."""
    for lane in range(out.shape[0]):
        if not is_failing(tables.failures, state.failures, FEED_FREEZES, lane, state.tick[lane] - 1):
            for column in range(out.shape[1]):
                out[lane, column] = columns[column, lane]


@compiled
def pass_tick(
    view: OperatorView,
    weights: Any,
    decisions: Decisions,
    state: SaleState,
    ledger: Ledger,
    memory: OperatorMemory,
    scratch: Scratch,
    observation_scratch: ObservationScratch,
    reward: NDArray[np.float64],
    out: NDArray[np.float32],
    first: int,
    last: int,
) -> None:
    """Step the tiles first .. last - 1, then learn from their ledgers; writes ``reward`` (tile, lane) and ``out``."""
    lanes = state.tick.shape[1]
    for tile in range(first, last):
        tile_state, tile_ledger = sale_tile(state, tile), ledger_tile(ledger, tile)
        tile_memory = memory_tile(memory, tile)
        step_sale(view.tables, tile_state, decisions_tile(decisions, tile), tile_ledger, scratch)
        if view.has_past:
            remember(
                view.tables,
                view.forecast,
                tile_state,
                tile_ledger,
                tile_memory,
                observation_scratch.learning,
            )
        write_reward(weights, tile_ledger, reward[tile])
        rows = out[tile * lanes : (tile + 1) * lanes]
        observe(view, tile_state, tile_memory, observation_scratch, rows)


@compiled
def forget_tiles(memory: OperatorMemory, opening: NDArray[np.bool_], unloaded_latency_s: float) -> None:
    """Start afresh where ``opening`` (tile, lane) is set."""
    for tile in range(opening.shape[0]):
        forget(memory_tile(memory, tile), opening[tile], unloaded_latency_s)
