"""The ledger: the facts of one tick. Nothing else leaves the simulated sale; rewards and reports are opinions of it."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from flashsim.sim import choice, inventory, servers, traffic
from flashsim.sim.cache import compiled


class Ledger(NamedTuple):
    """Facts of one tick. Visits and units are counts, money is in the World's currency."""

    exogenous_visitors: NDArray[np.int64]  # lane
    attracted_visitors: NDArray[np.int64]  # lane
    served: NDArray[np.int64]  # lane; visits answered in time
    errors: NDArray[np.int64]  # lane; visits timed out
    abandoned: NDArray[np.int64]  # lane; visits that gave up waiting
    backlog: NDArray[np.int64]  # lane; visits carried over to the next tick
    servers: NDArray[np.int64]  # lane; in force
    servers_billed: NDArray[np.int64]  # lane
    lost_to_capacity: NDArray[np.int64]  # lane; errors + abandoned, in hard_cap mode units
    utilization: NDArray[np.float64]  # lane; 0 .. 1
    wait_s: NDArray[np.float64]  # lane; mean wait were there no time-outs, seconds
    latency_mean_s: NDArray[np.float64]  # lane; until answered or timed out, seconds
    latency_p95_s: NDArray[np.float64]  # lane; seconds
    server_cost: NDArray[np.float64]  # lane; currency
    penalty: NDArray[np.float64]  # lane; currency
    salvage: NDArray[np.float64]  # lane; currency, at the close
    pushes: NDArray[np.float64]  # lane
    early_releases: NDArray[np.float64]  # lane
    projected: NDArray[np.float64]  # lane; orders that were not feasible and were brought to the nearest feasible one
    is_closed: NDArray[np.bool_]  # lane; the sale ended with this tick
    menu: NDArray[np.int64]  # product, lane; index of the price in force
    requests: NDArray[np.int64]  # product, lane; units asked for
    opening: NDArray[np.int64]  # product, lane; units available when they were asked for
    reserved: NDArray[np.int64]  # product, lane; units into carts
    paid: NDArray[np.int64]  # product, lane; units
    expired: NDArray[np.int64]  # product, lane; units back from carts
    released: NDArray[np.int64]  # product, lane; units put on sale
    in_carts: NDArray[np.int64]  # product, lane; at the end of the tick
    leftover: NDArray[np.int64]  # product, lane; units unsold, at the close
    revenue: NDArray[np.float64]  # product, lane; currency
    discount_given: NDArray[np.float64]  # product, lane; list value of what was paid less revenue
    goods_cost: NDArray[np.float64]  # product, lane; currency; of the units paid, at the close also of those left over


PRODUCT_FIELDS = Ledger._fields[Ledger._fields.index("menu") :]
_REALS = ("utilization", "wait_s", "latency_mean_s", "latency_p95_s", "server_cost", "penalty", "salvage", "pushes")
_REAL_FIELDS = (*_REALS, "early_releases", "projected", "revenue", "discount_given", "goods_cost")


def make_ledger(tiles: int, lanes: int, *, products: int) -> Ledger:
    """Allocate the ledger of ``tiles`` tiles (first axis)."""
    kinds: dict[str, Any] = dict.fromkeys(_REAL_FIELDS, np.float64) | {"is_closed": np.bool_}
    shapes: dict[str, tuple[int, ...]] = dict.fromkeys(PRODUCT_FIELDS, (tiles, products, lanes))
    arrays: list[NDArray[Any]] = [
        np.zeros(shapes.get(name, (tiles, lanes)), kinds.get(name, np.int64)) for name in Ledger._fields
    ]
    return Ledger(*arrays)


@compiled
def ledger_tile(ledger: Ledger, tile: int) -> Ledger:
    """View of one tile."""
    return Ledger(
        ledger.exogenous_visitors[tile],
        ledger.attracted_visitors[tile],
        ledger.served[tile],
        ledger.errors[tile],
        ledger.abandoned[tile],
        ledger.backlog[tile],
        ledger.servers[tile],
        ledger.servers_billed[tile],
        ledger.lost_to_capacity[tile],
        ledger.utilization[tile],
        ledger.wait_s[tile],
        ledger.latency_mean_s[tile],
        ledger.latency_p95_s[tile],
        ledger.server_cost[tile],
        ledger.penalty[tile],
        ledger.salvage[tile],
        ledger.pushes[tile],
        ledger.early_releases[tile],
        ledger.projected[tile],
        ledger.is_closed[tile],
        ledger.menu[tile],
        ledger.requests[tile],
        ledger.opening[tile],
        ledger.reserved[tile],
        ledger.paid[tile],
        ledger.expired[tile],
        ledger.released[tile],
        ledger.in_carts[tile],
        ledger.leftover[tile],
        ledger.revenue[tile],
        ledger.discount_given[tile],
        ledger.goods_cost[tile],
    )


@compiled
def book_visits(
    params: Any,
    backlog: NDArray[np.int64],
    flow: traffic.TrafficFlow,
    pool: servers.ServerFlow,
    units: inventory.StockFlow,
    ledger: Ledger,
) -> None:
    """Write what the ledger says of people and servers; ``params`` are ServerArguments, backlog (segment, lane)."""
    segments, lanes = pool.served.shape
    for lane in range(lanes):
        exogenous, attracted, served, carried = 0, 0, 0, 0
        for segment in range(segments):
            exogenous += flow.exogenous[segment, lane]
            attracted += flow.attracted[segment, lane]
            served += pool.served[segment, lane]
            carried += backlog[segment, lane]
        lost = pool.errors[lane] + pool.abandoned[lane]
        if params.hard_cap:  # one product, every visitor a buyer
            lost = min(exogenous + attracted, units.opening[0, lane]) - units.reserved[0, lane]
        ledger.exogenous_visitors[lane], ledger.attracted_visitors[lane] = exogenous, attracted
        ledger.served[lane], ledger.errors[lane] = served, pool.errors[lane]
        ledger.abandoned[lane], ledger.backlog[lane] = pool.abandoned[lane], carried
        ledger.servers[lane], ledger.servers_billed[lane] = pool.in_force[lane], pool.billed[lane]
        ledger.lost_to_capacity[lane] = lost
        ledger.utilization[lane] = pool.utilization[lane]
        ledger.wait_s[lane] = pool.wait_s[lane]
        ledger.latency_mean_s[lane] = params.unloaded_latency_s + pool.endured_s[lane]
        ledger.latency_p95_s[lane] = min(
            params.timeout_s, params.unloaded_latency_s + pool.wait_s[lane] * servers.LN_20
        )
        ledger.server_cost[lane] = params.cost * np.float64(pool.billed[lane])
        ledger.penalty[lane] = params.penalty * np.float64(lost)


@compiled
def book_units(
    list_price: NDArray[np.float64],
    unit_cost: NDArray[np.float64],
    salvage_value: NDArray[np.float64],
    menu: NDArray[np.int64],
    in_carts: NDArray[np.int64],
    asked: choice.ChoiceFlow,
    units: inventory.StockFlow,
    ledger: Ledger,
) -> None:
    """Write what the ledger says of units and the money they bring; prices (product), counts (product, lane)."""
    products, lanes = asked.requests.shape
    for lane in range(lanes):
        ledger.salvage[lane] = 0.0
    for product in range(products):
        for lane in range(lanes):
            paid, revenue = units.paid[product, lane], units.revenue[product, lane]
            ledger.menu[product, lane] = menu[product, lane]
            ledger.requests[product, lane] = asked.requests[product, lane]
            ledger.opening[product, lane] = units.opening[product, lane]
            ledger.reserved[product, lane] = units.reserved[product, lane]
            ledger.paid[product, lane] = paid
            ledger.expired[product, lane] = units.expired[product, lane]
            ledger.released[product, lane] = units.released[product, lane]
            ledger.in_carts[product, lane] = in_carts[product, lane]
            ledger.leftover[product, lane] = units.leftover[product, lane]
            ledger.revenue[product, lane] = revenue
            ledger.discount_given[product, lane] = np.float64(paid) * list_price[product] - revenue
            bought = np.float64(paid + units.leftover[product, lane])
            ledger.goods_cost[product, lane] = bought * unit_cost[product]
            ledger.salvage[lane] += np.float64(units.leftover[product, lane]) * salvage_value[product]
