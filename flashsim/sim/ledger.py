"""The ledger: the facts of one tick. Nothing else leaves the simulated sale; rewards and reports are opinions of it."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from flashsim.sim import choice, inventory, servers, traffic, waiting_room
from flashsim.sim.arrays import allocate
from flashsim.sim.cache import compiled_inside
from flashsim.sim.queue_flow import QueueFlow, QueueState


class Ledger(NamedTuple):
    """Facts of one tick. Visits and units are counts, money is in the World's currency.

    Everybody is accounted for: exogenous, attracted and returning visitors are served, abandoned, given_up, or still
    somewhere (room, backlog, retrying).
    """

    exogenous_visitors: NDArray[np.int64]  # lane; people who come anyway
    attracted_visitors: NDArray[np.int64]  # lane; people who come for the offer
    returning_visitors: NDArray[np.int64]  # lane; people who left before and come back for a deeper discount
    retries: NDArray[np.int64]  # lane; visits that failed before and try again
    served: NDArray[np.int64]  # lane; visits answered in time
    errors: NDArray[np.int64]  # lane; visits refused or timed out
    abandoned: NDArray[np.int64]  # lane; visits that gave up waiting, and those dismissed
    dismissed: NDArray[np.int64]  # lane; visits that still waited when the sale closed; a part of abandoned
    given_up: NDArray[np.int64]  # lane; visits that failed and will not try again
    room: NDArray[np.int64]  # lane; people in the waiting room at the end of the tick
    backlog: NDArray[np.int64]  # lane; visits carried over to the next tick
    retrying: NDArray[np.int64]  # lane; visits that failed and will try again
    servers: NDArray[np.int64]  # lane; in force
    servers_billed: NDArray[np.int64]  # lane
    lost_to_capacity: NDArray[np.int64]  # lane; given_up + abandoned, in hard_cap mode units
    load: NDArray[np.float64]  # lane; visits over capacity
    utilization: NDArray[np.float64]  # lane; 0 .. 1
    health: NDArray[np.float64]  # lane; factor on the capacity in force in this tick, 0 .. 1
    wait_chance: NDArray[np.float64]  # lane; a visit waits floor + exponential tail with this chance, else the floor
    wait_floor_s: NDArray[np.float64]  # lane; seconds
    wait_tail_s: NDArray[np.float64]  # lane; mean of the tail, seconds
    latency_mean_s: NDArray[np.float64]  # lane; until answered or timed out, seconds
    latency_p50_s: NDArray[np.float64]  # lane; seconds
    latency_p95_s: NDArray[np.float64]  # lane; seconds
    latency_p99_s: NDArray[np.float64]  # lane; seconds
    server_cost: NDArray[np.float64]  # lane; currency
    penalty: NDArray[np.float64]  # lane; currency
    salvage: NDArray[np.float64]  # lane; currency, at the close
    pushes: NDArray[np.float64]  # lane
    early_releases: NDArray[np.float64]  # lane
    projected: NDArray[np.float64]  # lane; orders that were not feasible and were brought to the nearest feasible one
    is_closed: NDArray[np.bool_]  # lane; the sale ended with this tick
    price_index: NDArray[np.int64]  # product, lane; index of the price in force
    buyers: NDArray[np.int64]  # product, lane; people who ask for it
    requests: NDArray[np.int64]  # product, lane; units asked for
    missed_requests: NDArray[
        np.float64
    ]  # product, lane; expected units that are not asked for as products are sold out
    opening: NDArray[np.int64]  # product, lane; units available when they were asked for
    reserved: NDArray[np.int64]  # product, lane; units into carts
    paid: NDArray[np.int64]  # product, lane; units
    expired: NDArray[np.int64]  # product, lane; units back from carts
    released: NDArray[np.int64]  # product, lane; units put on sale
    ordered: NDArray[np.int64]  # product, lane; units ordered from the supplier
    in_carts: NDArray[np.int64]  # product, lane; at the end of the tick
    leftover: NDArray[np.int64]  # product, lane; units unsold, at the close
    revenue: NDArray[np.float64]  # product, lane; currency
    discount_given: NDArray[np.float64]  # product, lane; list value of what was paid less revenue
    goods_cost: NDArray[np.float64]  # product, lane; currency; of the units paid, at the close also of those left over


FIRST_OF_PRODUCTS = "price_index"
PRODUCT_FIELDS = Ledger._fields[Ledger._fields.index(FIRST_OF_PRODUCTS) :]
_LN_2, _LN_20, _LN_100 = 0.6931471805599453, 2.995732273553991, 4.605170185988092


def make_ledger(tiles: int, lanes: int, *, products: int) -> Ledger:
    """Allocate the ledger of ``tiles`` tiles (first axis)."""
    return allocate(Ledger, (tiles, lanes), **dict.fromkeys(PRODUCT_FIELDS, (tiles, products, lanes)))


@compiled_inside
def ledger_tile(ledger: Ledger, tile: int) -> Ledger:
    """View of one tile."""
    return Ledger(
        ledger.exogenous_visitors[tile],
        ledger.attracted_visitors[tile],
        ledger.returning_visitors[tile],
        ledger.retries[tile],
        ledger.served[tile],
        ledger.errors[tile],
        ledger.abandoned[tile],
        ledger.dismissed[tile],
        ledger.given_up[tile],
        ledger.room[tile],
        ledger.backlog[tile],
        ledger.retrying[tile],
        ledger.servers[tile],
        ledger.servers_billed[tile],
        ledger.lost_to_capacity[tile],
        ledger.load[tile],
        ledger.utilization[tile],
        ledger.health[tile],
        ledger.wait_chance[tile],
        ledger.wait_floor_s[tile],
        ledger.wait_tail_s[tile],
        ledger.latency_mean_s[tile],
        ledger.latency_p50_s[tile],
        ledger.latency_p95_s[tile],
        ledger.latency_p99_s[tile],
        ledger.server_cost[tile],
        ledger.penalty[tile],
        ledger.salvage[tile],
        ledger.pushes[tile],
        ledger.early_releases[tile],
        ledger.projected[tile],
        ledger.is_closed[tile],
        ledger.price_index[tile],
        ledger.buyers[tile],
        ledger.requests[tile],
        ledger.missed_requests[tile],
        ledger.opening[tile],
        ledger.reserved[tile],
        ledger.paid[tile],
        ledger.expired[tile],
        ledger.released[tile],
        ledger.ordered[tile],
        ledger.in_carts[tile],
        ledger.leftover[tile],
        ledger.revenue[tile],
        ledger.discount_given[tile],
        ledger.goods_cost[tile],
    )


@compiled_inside
def _book_people(counts: NDArray[np.int64], out: NDArray[np.int64]) -> None:
    """Write the sum over segments of ``counts`` (segment, lane) to ``out`` (lane)."""
    for lane in range(out.shape[0]):
        out[lane] = 0
    for segment in range(counts.shape[0]):
        for lane in range(out.shape[0]):
            out[lane] += counts[segment, lane]


@compiled_inside
def book_orders(
    traffic_flow: traffic.TrafficFlow, server_flow: servers.ServerFlow, stock_flow: inventory.StockFlow, ledger: Ledger
) -> None:
    """Write what was ordered: pushes and early releases that took place, and how many orders were not feasible."""
    for lane in range(ledger.projected.shape[0]):
        ledger.pushes[lane] = np.float64(traffic_flow.pushes[lane])
        ledger.early_releases[lane] = np.float64(stock_flow.early_releases[lane])
        infeasible = stock_flow.infeasible[lane] + traffic_flow.infeasible[lane] + server_flow.infeasible[lane]
        ledger.projected[lane] = np.float64(infeasible)


@compiled_inside
def book_visits(
    params: servers.ServerParams,
    traffic_flow: traffic.TrafficFlow,
    choice_flow: choice.ChoiceFlow,
    room_state: waiting_room.RoomState,
    room_flow: waiting_room.RoomFlow,
    server_state: servers.ServerState,
    server_flow: servers.ServerFlow,
    queue_state: QueueState,
    queue_flow: QueueFlow,
    ledger: Ledger,
) -> None:
    """Write who came, who was served, who left and who still waits, and what the servers did and cost."""
    _book_people(traffic_flow.exogenous, ledger.exogenous_visitors)
    _book_people(traffic_flow.attracted, ledger.attracted_visitors)
    _book_people(choice_flow.returning, ledger.returning_visitors)
    _book_people(queue_flow.retries, ledger.retries)
    _book_people(queue_flow.served, ledger.served)
    _book_people(room_state.room, ledger.room)
    _book_people(queue_state.backlog, ledger.backlog)
    _book_people(queue_state.retrying, ledger.retrying)
    for lane in range(ledger.served.shape[0]):
        ledger.errors[lane] = queue_flow.errors[lane]
        ledger.abandoned[lane] = queue_flow.abandoned[lane] + room_flow.abandoned[lane]
        ledger.dismissed[lane] = queue_flow.dismissed[lane] + room_flow.dismissed[lane]
        ledger.given_up[lane] = queue_flow.given_up[lane]
        ledger.servers[lane], ledger.servers_billed[lane] = server_flow.in_force[lane], server_flow.billed[lane]
        ledger.load[lane] = queue_flow.load[lane]
        ledger.utilization[lane] = min(1.0, queue_flow.load[lane])
        ledger.health[lane] = server_state.health[lane]
        ledger.server_cost[lane] = params.cost * np.float64(server_flow.billed[lane])


@compiled_inside
def book_latency(params: servers.ServerParams, flow: QueueFlow, ledger: Ledger) -> None:
    """Write how long visits took: mean and percentiles, cut at the time-out."""
    unloaded, longest = params.unloaded_latency_s, params.timeout_s
    for lane in range(ledger.served.shape[0]):
        floor, tail, log_chance = flow.wait_floor_s[lane], flow.wait_tail_s[lane], flow.log_wait_chance[lane]
        ledger.wait_chance[lane] = flow.wait_chance[lane]
        ledger.wait_floor_s[lane], ledger.wait_tail_s[lane] = floor, tail
        ledger.latency_mean_s[lane] = unloaded + flow.endured_s[lane]
        ledger.latency_p50_s[lane] = min(longest, unloaded + floor + tail * max(0.0, log_chance + _LN_2))
        ledger.latency_p95_s[lane] = min(longest, unloaded + floor + tail * max(0.0, log_chance + _LN_20))
        ledger.latency_p99_s[lane] = min(longest, unloaded + floor + tail * max(0.0, log_chance + _LN_100))


@compiled_inside
def _book_counts(counts: NDArray[np.int64], out: NDArray[np.int64]) -> None:
    """Copy ``counts`` (product, lane) to ``out``: one array at a time, for a loop over many is not vectorized."""
    for product in range(counts.shape[0]):
        for lane in range(counts.shape[1]):
            out[product, lane] = counts[product, lane]


@compiled_inside
def book_units(
    list_price: NDArray[np.float64],
    unit_cost: NDArray[np.float64],
    salvage_value: NDArray[np.float64],
    price_index: NDArray[np.int64],
    choice_flow: choice.ChoiceFlow,
    stock_state: inventory.StockState,
    stock_flow: inventory.StockFlow,
    ledger: Ledger,
) -> None:
    """Write what was asked for, where the units are, and the money that they bring; prices and values (product)."""
    _book_counts(price_index, ledger.price_index)
    _book_counts(choice_flow.buyers, ledger.buyers)
    _book_counts(choice_flow.requests, ledger.requests)
    _book_counts(stock_flow.opening, ledger.opening)
    _book_counts(stock_flow.reserved, ledger.reserved)
    _book_counts(stock_flow.paid, ledger.paid)
    _book_counts(stock_flow.expired, ledger.expired)
    _book_counts(stock_flow.released, ledger.released)
    _book_counts(stock_flow.ordered, ledger.ordered)
    _book_counts(stock_state.in_carts, ledger.in_carts)
    _book_counts(stock_flow.leftover, ledger.leftover)
    products, lanes = ledger.requests.shape
    for product in range(products):
        for lane in range(lanes):
            ledger.missed_requests[product, lane] = choice_flow.missed_requests[product, lane]
    for lane in range(lanes):
        ledger.salvage[lane] = 0.0
    for product in range(products):
        for lane in range(lanes):
            paid, revenue = stock_flow.paid[product, lane], stock_flow.revenue[product, lane]
            ledger.revenue[product, lane] = revenue
            ledger.discount_given[product, lane] = np.float64(paid) * list_price[product] - revenue
            bought = np.float64(paid + stock_flow.leftover[product, lane])
            ledger.goods_cost[product, lane] = bought * unit_cost[product]
            ledger.salvage[lane] += np.float64(stock_flow.leftover[product, lane]) * salvage_value[product]


@compiled_inside
def book_losses(params: servers.ServerParams, ledger: Ledger) -> None:
    """Write what was lost to capacity: people who gave up, in hard_cap mode units (one product, all visitors buy).

    Comes after visits and units are booked.
    """
    for lane in range(ledger.penalty.shape[0]):
        lost = ledger.given_up[lane] + ledger.abandoned[lane]
        if params.hard_cap:
            came = ledger.exogenous_visitors[lane] + ledger.attracted_visitors[lane]
            lost = min(came, ledger.opening[0, lane]) - ledger.reserved[0, lane]
        ledger.lost_to_capacity[lane] = lost
        ledger.penalty[lane] = params.penalty * np.float64(lost)
