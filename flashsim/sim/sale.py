"""One tick of a tile of sales, as a story. The only place where the parts of the simulator meet.

Parts still to come have their place here: automated buyers between traffic and servers, support after stock, memory
over several sales at the end.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from flashsim.sim import choice, inventory, servers, streams, traffic
from flashsim.sim.cache import compiled
from flashsim.sim.ledger import Ledger, book_units, book_visits
from flashsim.sim.samplers import Workspace, gamma_factor, make_workspace, write_normal

HOLD, RELEASE, PUSH, CLOSE = range(4)  # what the timing head can order


class SaleTables(NamedTuple):
    """All numbers of one planned sale, compiled from a scenario; shared by every sale of a batch."""

    rate: NDArray[np.float32]  # tick, segment, product, menu, member; expected units a tick
    price: NDArray[np.float64]  # product, menu; currency a unit
    list_price: NDArray[np.float64]  # product; currency a unit
    unit_cost: NDArray[np.float64]  # product; currency a unit
    salvage_value: NDArray[np.float64]  # product; currency a unit left, may be negative (disposal)
    conversion: NDArray[np.float64]  # member; conversion at list price
    traffic_share: NDArray[np.float64]  # member; share of the uplift that comes as visitors
    common_variance: NDArray[np.float64]  # member; of the frailty shared by all products
    product_variance: NDArray[np.float64]  # member, product
    members: NDArray[np.int64]  # those a sale may draw
    wave_tick: NDArray[np.int64]  # wave; planned tick of release
    wave_units: NDArray[np.int64]  # wave, product; units
    traffic: Any  # TrafficArguments
    servers: Any  # ServerArguments
    stock: Any  # StockArguments


class SaleState(NamedTuple):
    """Everything a tile of sales remembers from tick to tick."""

    key: NDArray[np.uint64]  # lane
    tick: NDArray[np.int64]  # lane
    member: NDArray[np.int64]  # lane
    frailty: NDArray[np.float64]  # product, lane; common times own factor
    traffic: traffic.TrafficState
    servers: servers.ServerState
    stock: inventory.StockState


class Decisions(NamedTuple):
    """What is ordered in a tick."""

    menu: NDArray[np.int64]  # product, lane; index into the price menu
    timing: NDArray[np.int64]  # lane; HOLD, RELEASE, PUSH or CLOSE
    change: NDArray[np.int64]  # lane; servers more (or fewer)


class Scratch(NamedTuple):
    """Flows of the parts and workspace; one a thread, for no memory lasts beyond a tick."""

    traffic: traffic.TrafficFlow
    servers: servers.ServerFlow
    choice: choice.ChoiceFlow
    stock: inventory.StockFlow
    keys: NDArray[np.uint64]  # lane; key of the tick
    is_wanted: NDArray[np.bool_]  # lane
    work: Workspace


def make_state(tables: SaleTables, tiles: int, lanes: int) -> SaleState:
    """Allocate the state of ``tiles`` tiles (first axis)."""
    segments, products = tables.rate.shape[1:3]
    return SaleState(
        np.zeros((tiles, lanes), np.uint64),
        np.zeros((tiles, lanes), np.int64),
        np.zeros((tiles, lanes), np.int64),
        np.ones((tiles, products, lanes)),
        traffic.make_traffic_state(tiles, lanes),
        servers.make_server_state(tiles, lanes, lag=tables.servers.lag, segments=segments),
        inventory.make_stock_state(tiles, lanes, tables.stock, products),
    )


def make_decisions(products: int, tiles: int, lanes: int) -> Decisions:
    """Allocate decisions (list price, hold, no change) of ``tiles`` tiles (first axis)."""
    lane = (tiles, lanes)
    return Decisions(np.zeros((tiles, products, lanes), np.int64), np.zeros(lane, np.int64), np.zeros(lane, np.int64))


def make_scratch(tables: SaleTables, lanes: int) -> Scratch:
    """Allocate what one thread needs beside state and ledger."""
    segments, products = tables.rate.shape[1:3]
    return Scratch(
        traffic.make_traffic_flow(segments, products, lanes),
        servers.make_server_flow(segments, lanes),
        choice.make_choice_flow(products, lanes),
        inventory.make_stock_flow(products, lanes),
        np.zeros(lanes, np.uint64),
        np.zeros(lanes, np.bool_),
        make_workspace(lanes),
    )


@compiled
def sale_tile(state: SaleState, tile: int) -> SaleState:
    """View of one tile."""
    return SaleState(
        state.key[tile],
        state.tick[tile],
        state.member[tile],
        state.frailty[tile],
        traffic.traffic_tile(state.traffic, tile),
        servers.server_tile(state.servers, tile),
        inventory.stock_tile(state.stock, tile),
    )


@compiled
def open_sales(
    tables: SaleTables,
    state: SaleState,
    opening: NDArray[np.bool_],
    seed: NDArray[np.uint64],
    domain: np.uint64,
    episode: NDArray[np.uint64],
    scratch: Scratch,
) -> None:
    """Start a sale in every lane of ``opening``: its key, the world member and frailties that it draws, full stock."""
    work = scratch.work
    products, lanes = state.frailty.shape
    for lane in range(lanes):
        if opening[lane]:
            state.key[lane] = streams.sale_key(seed[lane], domain, episode[lane])
            state.tick[lane] = 0
    streams.write_tick_keys(state.key, state.tick, scratch.keys)
    streams.write_uniforms(scratch.keys, streams.MEMBER, 0, work.uniform)
    for lane in range(lanes):
        if opening[lane]:
            place = np.int64(work.uniform[lane] * np.float64(tables.members.shape[0]))
            state.member[lane] = tables.members[place]
    for product in range(-1, products):
        stream = streams.COMMON_FRAILTY if product < 0 else streams.PRODUCT_FRAILTY
        streams.write_uniforms(scratch.keys, stream, max(product, 0), work.uniform)
        write_normal(work.uniform, work.normal, work)
        for lane in range(lanes):
            member = state.member[lane]
            if opening[lane] and product < 0:
                common = gamma_factor(work.normal[lane], tables.common_variance[member])
                for other in range(products):
                    state.frailty[other, lane] = common
            elif opening[lane]:
                state.frailty[product, lane] *= gamma_factor(
                    work.normal[lane], tables.product_variance[member, product]
                )
    _clear(tables, state, opening)


@compiled
def _clear(tables: SaleTables, state: SaleState, opening: NDArray[np.bool_]) -> None:
    """Set traffic, servers and stock to the start of a sale in every lane of ``opening``."""
    products, lanes = state.frailty.shape
    for lane in range(lanes):
        if opening[lane]:
            state.traffic.goodwill[lane] = 0.0
            state.traffic.pushes_left[lane] = tables.traffic.push_budget
            state.servers.ordered[lane] = tables.servers.start_servers
            state.servers.levels[:, lane] = tables.servers.start_servers
            state.servers.backlog[:, lane] = 0
            state.stock.next_wave[lane] = 0
            for product in range(products):
                state.stock.unreleased[product, lane] = tables.wave_units[:, product].sum()
                state.stock.available[product, lane] = 0
                state.stock.in_carts[product, lane] = 0
                state.stock.sold[product, lane] = 0
                state.stock.paying[:, product, lane] = 0
                state.stock.paying_value[:, product, lane] = 0.0
                state.stock.expiring[:, product, lane] = 0


@compiled
def step_sale(tables: SaleTables, state: SaleState, decisions: Decisions, ledger: Ledger, scratch: Scratch) -> None:
    """Let one tick pass in every lane: ``decisions`` take effect, people come, are served, choose and buy.

    Writes ``state`` and ``ledger``. A lane must not be stepped beyond the tick in which its ledger says is_closed.
    """
    flow, pool, asked, units = scratch.traffic, scratch.servers, scratch.choice, scratch.stock
    keys, work = scratch.keys, scratch.work
    streams.write_tick_keys(state.key, state.tick, keys)

    # 1 offer: stock is released, pushes are sent, servers are ordered; the prices of this tick are decisions.menu
    _count_infeasible(decisions.timing, state, tables.wave_tick.shape[0], ledger.projected)
    _carry_out(tables, state, decisions, ledger, scratch)

    # 2 traffic: expected units of the offer, then the people who come, by segment
    traffic.write_expected_units(tables.rate, state.tick, decisions.menu, state.member, state.frailty, flow)
    traffic.arrive(
        tables.traffic,
        tables.conversion,
        tables.traffic_share,
        state.member,
        state.traffic.goodwill,
        keys,
        flow,
        work,
    )

    # 3 servers: who is answered, how fast, who gives up
    if tables.servers.hard_cap:
        servers.serve_hard_cap(tables.servers, flow.exogenous, flow.attracted, pool)
    else:
        servers.serve(tables.servers, state.servers, flow.exogenous, flow.attracted, keys, pool, work)

    # 4 choice and stock: requests of those served, carts, payments
    inventory.return_expired(state.stock, state.tick, units)
    choice.choose(
        flow.units, flow.visitors_mean, pool.served, state.stock.available, pool.attraction, keys, asked, work
    )
    inventory.fulfill(
        tables.stock, state.stock, state.tick, asked.requests, tables.price, decisions.menu, keys, units, work
    )

    # 5 close: at the last tick or on order, carts are settled and waiting visitors leave
    _write_closed(tables.rate.shape[0], state.tick, decisions.timing, ledger.is_closed)
    inventory.settle(state.stock, ledger.is_closed, units)
    servers.dismiss(state.servers, ledger.is_closed, pool)

    # 6 ledger: the facts of this tick; then time goes on
    book_visits(tables.servers, state.servers.backlog, flow, pool, units, ledger)
    book_units(
        tables.list_price,
        tables.unit_cost,
        tables.salvage_value,
        decisions.menu,
        state.stock.in_carts,
        asked,
        units,
        ledger,
    )
    for lane in range(state.tick.shape[0]):
        state.tick[lane] += 1


@compiled
def _carry_out(tables: SaleTables, state: SaleState, decisions: Decisions, ledger: Ledger, scratch: Scratch) -> None:
    """Release stock, send pushes and order servers as far as that is feasible."""
    wanted = scratch.is_wanted
    _write_wanted(decisions.timing, RELEASE, wanted)
    inventory.release(
        state.stock, state.tick, tables.wave_tick, tables.wave_units, wanted, scratch.stock, ledger.early_releases
    )
    _write_wanted(decisions.timing, PUSH, wanted)
    traffic.push(tables.traffic, state.traffic, wanted, ledger.pushes)
    servers.order(tables.servers, state.servers, state.tick, decisions.change, scratch.servers, ledger.projected)


@compiled
def _write_wanted(timing: NDArray[np.int64], order: int, out: NDArray[np.bool_]) -> None:
    for lane in range(out.shape[0]):
        out[lane] = timing[lane] == order


@compiled
def _count_infeasible(timing: NDArray[np.int64], state: SaleState, waves: int, projected: NDArray[np.float64]) -> None:
    """Start ``projected`` with the releases that are ordered when no wave is left, the pushes without a budget."""
    for lane in range(timing.shape[0]):
        no_release = timing[lane] == RELEASE and state.stock.next_wave[lane] >= waves
        no_push = timing[lane] == PUSH and state.traffic.pushes_left[lane] <= 0
        projected[lane] = 1.0 if no_release or no_push else 0.0


@compiled
def _write_closed(ticks: int, tick: NDArray[np.int64], timing: NDArray[np.int64], out: NDArray[np.bool_]) -> None:
    for lane in range(out.shape[0]):
        out[lane] = tick[lane] + 1 >= ticks or timing[lane] == CLOSE
