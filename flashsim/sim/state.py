"""What a tile of planned sales is made of: tables, state, decisions and scratch, each part's in its place."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from flashsim.sim import choice, failures, inventory, queue_flow, servers, traffic, waiting_room
from flashsim.sim.arrays import allocate
from flashsim.sim.cache import compiled_inside
from flashsim.sim.samplers import Workspace, make_workspace

HOLD, RELEASE, PUSH, CLOSE, REORDER = range(5)  # what the timing head can order


class SaleTables(NamedTuple):
    """All numbers of one planned sale, compiled from a scenario; shared by every sale of a batch."""

    rate: NDArray[np.float32]  # tick, segment, product, price, member; expected units a tick
    price: NDArray[np.float64]  # product, price; currency a unit
    depth: NDArray[np.float64]  # product, price; discount on the list price, share
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
    planned: NDArray[np.int64]  # product; units of all waves
    lot_units: NDArray[np.int64]  # product; units of a lot that can be ordered
    pre_opening: int  # ticks before the doors open, in which only servers are ordered
    failures: failures.FailureArguments
    traffic: traffic.TrafficParams  # this and those below as arguments: tuples of plain numbers, see parameters
    room: waiting_room.WaitingRoomParams
    servers: servers.ServerParams
    choice: choice.ChoiceParams
    stock: inventory.StockParams


class SaleState(NamedTuple):
    """Everything a tile of sales remembers from tick to tick."""

    key: NDArray[np.uint64]  # lane
    tick: NDArray[np.int64]  # lane
    member: NDArray[np.int64]  # lane
    frailty: NDArray[np.float64]  # product, lane; common times own factor
    failures: failures.FailureState
    traffic: traffic.TrafficState
    room: waiting_room.RoomState
    servers: servers.ServerState
    queue: queue_flow.QueueState
    choice: choice.ChoiceState
    stock: inventory.StockState


class Decisions(NamedTuple):
    """What is decided in a tick. Axes are those of the simulated sale; at its borders (actions, rules) the sale comes
    first instead of the lane last."""

    price_index: NDArray[np.int64]  # product, lane; index into the price menu
    timing: NDArray[np.int64]  # lane; HOLD, RELEASE, PUSH, CLOSE or REORDER
    change: NDArray[np.int64]  # lane; servers more (or fewer)
    cap: NDArray[np.float64]  # lane; visits let in, as a multiple of what servers in force can do; infinite: all


class TimingOrders(NamedTuple):
    """What the timing head orders in a tick, at most one of these."""

    releases: NDArray[np.bool_]  # lane; the next wave before it is due
    pushes: NDArray[np.bool_]  # lane; a push notification
    closes: NDArray[np.bool_]  # lane; the end of the sale
    reorders: NDArray[np.bool_]  # lane; a lot from the supplier


class Scratch(NamedTuple):
    """Flows of the parts and workspace; one a thread, for no memory lasts beyond a tick."""

    failures: failures.FailureFlow
    traffic: traffic.TrafficFlow
    room: waiting_room.RoomFlow
    servers: servers.ServerFlow
    queue: queue_flow.QueueFlow
    choice: choice.ChoiceFlow
    stock: inventory.StockFlow
    timing: TimingOrders
    keys: NDArray[np.uint64]  # lane; key of the tick
    work: Workspace


def make_state(tables: SaleTables, tiles: int, lanes: int) -> SaleState:
    """Allocate the state of ``tiles`` tiles (first axis)."""
    segments, products = tables.rate.shape[1:3]
    return SaleState(
        np.zeros((tiles, lanes), np.uint64),
        np.zeros((tiles, lanes), np.int64),
        np.zeros((tiles, lanes), np.int64),
        np.ones((tiles, products, lanes)),
        failures.make_failure_state(tiles, lanes),
        traffic.make_traffic_state(tiles, lanes, segments=segments),
        waiting_room.make_room_state(tiles, lanes, segments=segments),
        servers.make_server_state(tiles, lanes, tables.servers),
        queue_flow.make_queue_state(tiles, lanes, segments=segments),
        choice.make_choice_state(tiles, lanes, segments=segments, products=products),
        inventory.make_stock_state(tiles, lanes, tables.stock, products),
    )


def make_decisions(products: int, tiles: int, lanes: int) -> Decisions:
    """Allocate decisions (list price, hold, no change, no cap) of ``tiles`` tiles (first axis)."""
    lane = (tiles, lanes)
    price_index = np.zeros((tiles, products, lanes), np.int64)
    return Decisions(price_index, np.zeros(lane, np.int64), np.zeros(lane, np.int64), np.full(lane, waiting_room.OPEN))


@compiled_inside
def decisions_tile(decisions: Decisions, tile: int) -> Decisions:
    """View of one tile."""
    return Decisions(decisions.price_index[tile], decisions.timing[tile], decisions.change[tile], decisions.cap[tile])


@compiled_inside
def hold_before_opening(tick: NDArray[np.int64], decisions: Decisions) -> None:
    """Where ``tick`` (lane) is before the opening, let ``decisions`` order servers alone."""
    for lane in range(tick.shape[0]):
        if tick[lane] < 0:
            decisions.price_index[:, lane] = 0
            decisions.timing[lane] = HOLD
            decisions.cap[lane] = waiting_room.OPEN


@compiled_inside
def read_timing(timing: NDArray[np.int64], orders: TimingOrders) -> None:
    """Write ``orders`` from ``timing`` (lane)."""
    for lane in range(timing.shape[0]):
        orders.releases[lane] = timing[lane] == RELEASE
        orders.pushes[lane] = timing[lane] == PUSH
        orders.closes[lane] = timing[lane] == CLOSE
        orders.reorders[lane] = timing[lane] == REORDER


def make_scratch(tables: SaleTables, lanes: int) -> Scratch:
    """Allocate what one thread needs beside state and ledger."""
    segments, products = tables.rate.shape[1:3]
    return Scratch(
        failures.make_failure_flow(lanes),
        traffic.make_traffic_flow(segments, products, lanes),
        waiting_room.make_room_flow(segments, lanes),
        servers.make_server_flow(lanes),
        queue_flow.make_queue_flow(segments, lanes),
        choice.make_choice_flow(segments, products, lanes),
        inventory.make_stock_flow(products, lanes),
        allocate(TimingOrders, (lanes,)),
        np.zeros(lanes, np.uint64),
        make_workspace(lanes),
    )


@compiled_inside
def sale_tile(state: SaleState, tile: int) -> SaleState:
    """View of one tile."""
    return SaleState(
        state.key[tile],
        state.tick[tile],
        state.member[tile],
        state.frailty[tile],
        failures.failure_tile(state.failures, tile),
        traffic.traffic_tile(state.traffic, tile),
        waiting_room.room_tile(state.room, tile),
        servers.server_tile(state.servers, tile),
        queue_flow.queue_tile(state.queue, tile),
        choice.choice_tile(state.choice, tile),
        inventory.stock_tile(state.stock, tile),
    )
