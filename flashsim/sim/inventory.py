"""Stock: waves of release, carts that hold units, payment, and what comes back.

Every planned unit is in exactly one place: not yet released, available, in a cart, or sold. Requests are filled in
order of arrival while units are available; a filled request is a cart. With probability 1 - ``payment_failure`` it is
paid ``payment_delay`` ticks later at the price it was opened at, else its unit comes back after ``cart_timeout`` ticks.
No cart that opens in an outage of the payment service will be paid. When the sale closes, carts that would be paid are
paid at once, and the units of the others come back.

A supplier may hold further lots: each, when ordered, adds ``lot_units`` to what is planned and puts them on sale
``lead_time`` ticks later; a lot that has not arrived when the sale closes is left over, like any other unit.

Source: conservation of units; outcomes are drawn when a cart opens, which is the same law as drawing them later.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from flashsim.sim.arrays import allocate
from flashsim.sim.cache import compiled, compiled_inside
from flashsim.sim.parameters import arguments_type, check_range, check_whole
from flashsim.sim.samplers import Workspace, write_binomial
from flashsim.sim.streams import PAYMENT, write_uniforms


@dataclass(frozen=True)
class StockParams:
    """Carts and payment."""

    payment_delay: int = 2
    """Ticks from opening a cart to its payment; an assumption: checkout takes one to three minutes."""
    payment_failure: float = 0.06
    """Share of carts that are never paid; an assumption. (Carts here are reservations at checkout, not wish lists.)"""
    cart_timeout: int = 10
    """Ticks after which an unpaid unit is on sale again; ten minutes is a common reservation time."""
    lots: int = 0
    """Further lots that can be ordered from the supplier during the sale."""
    lot_share: float = 0.25
    """Units of a lot, as a share of each product's planned stock."""
    lead_time: int = 15
    """Ticks from the order of a lot until its units are on sale."""

    def __post_init__(self) -> None:
        check_whole("payment_delay", self.payment_delay, 0, 1000)
        check_whole("cart_timeout", self.cart_timeout, 0, 1000)
        check_range("payment_failure", self.payment_failure, 0.0, 1.0)
        check_whole("lots", self.lots, 0, 1000)
        check_range("lot_share", self.lot_share, 0.0, 1e6)
        check_whole("lead_time", self.lead_time, 0, 1000)


StockArguments = arguments_type(StockParams, __name__)


class StockState(NamedTuple):
    """Where the units of one tile are."""

    unreleased: NDArray[np.int64]  # product, lane; units
    available: NDArray[np.int64]  # product, lane; units
    in_carts: NDArray[np.int64]  # product, lane; units
    sold: NDArray[np.int64]  # product, lane; units
    next_wave: NDArray[np.int64]  # lane; index of the wave to be released next
    lots_left: NDArray[np.int64]  # lane; lots that can still be ordered
    coming: NDArray[np.int64]  # tick modulo (lead_time + 1), lane; lots that go on sale then
    paying: NDArray[np.int64]  # tick modulo (payment_delay + 1), product, lane; units
    paying_value: NDArray[np.float64]  # likewise; currency
    expiring: NDArray[np.int64]  # tick modulo (cart_timeout + 1), product, lane; units


class StockFlow(NamedTuple):
    """What this part makes in a tick."""

    released: NDArray[np.int64]  # product, lane; units put on sale
    ordered: NDArray[np.int64]  # product, lane; units ordered from the supplier
    expired: NDArray[np.int64]  # product, lane; units back from carts
    opening: NDArray[np.int64]  # product, lane; units available when requests arrive
    reserved: NDArray[np.int64]  # product, lane; units into carts
    paid: NDArray[np.int64]  # product, lane; units
    revenue: NDArray[np.float64]  # product, lane; currency received
    leftover: NDArray[np.int64]  # product, lane; units unsold at the close, else 0
    early_releases: NDArray[np.int64]  # lane; waves released before they were due
    infeasible: NDArray[np.int64]  # lane; releases ordered when no wave is left, lots beyond the supplier's
    # Scratch of lots
    lots_ordered: NDArray[np.int64]  # lane
    lots_arrived: NDArray[np.int64]  # lane
    # Scratch of carts: places in StockState.paying and expiring, by tick
    paid_now: NDArray[np.int64]  # lane; of carts that are paid in this tick
    paid_later: NDArray[np.int64]  # lane; of carts that open in this tick and will be paid
    expired_now: NDArray[np.int64]  # lane; of carts whose time is out in this tick
    expired_later: NDArray[np.int64]  # lane; of carts that open in this tick and will not be paid
    pay_chance: NDArray[np.float64]  # lane; that a cart that opens will be paid
    will_pay: NDArray[np.int64]  # lane; units of a product into carts that will be paid


def make_stock_state(tiles: int, lanes: int, params: StockParams, products: int) -> StockState:
    """Allocate the state of ``tiles`` tiles (first axis)."""
    by_product = dict.fromkeys(("unreleased", "available", "in_carts", "sold"), (tiles, products, lanes))
    paying = (tiles, params.payment_delay + 1, products, lanes)
    return allocate(
        StockState,
        (tiles, lanes),
        coming=(tiles, params.lead_time + 1, lanes),
        paying=paying,
        paying_value=paying,
        expiring=(tiles, params.cart_timeout + 1, products, lanes),
        **by_product,
    )


def make_stock_flow(products: int, lanes: int) -> StockFlow:
    """Allocate the flow of one tile."""
    names = ("released", "ordered", "expired", "opening", "reserved", "paid", "revenue", "leftover")
    return allocate(StockFlow, (lanes,), **dict.fromkeys(names, (products, lanes)))


@compiled_inside
def stock_tile(state: StockState, tile: int) -> StockState:
    """View of one tile."""
    return StockState(
        state.unreleased[tile],
        state.available[tile],
        state.in_carts[tile],
        state.sold[tile],
        state.next_wave[tile],
        state.lots_left[tile],
        state.coming[tile],
        state.paying[tile],
        state.paying_value[tile],
        state.expiring[tile],
    )


@compiled_inside
def clear_stock(params: StockParams, state: StockState, planned: NDArray[np.int64], opening: NDArray[np.bool_]) -> None:
    """Put ``planned`` (product; units) into stock, unreleased, in every lane of ``opening``."""
    products, lanes = state.available.shape
    for lane in range(lanes):
        if opening[lane]:
            state.next_wave[lane] = 0
            state.lots_left[lane] = params.lots
            state.coming[:, lane] = 0
            for product in range(products):
                state.unreleased[product, lane] = planned[product]
                state.available[product, lane] = 0
                state.in_carts[product, lane] = 0
                state.sold[product, lane] = 0
                state.paying[:, product, lane] = 0
                state.paying_value[:, product, lane] = 0.0
                state.expiring[:, product, lane] = 0


@compiled
def release(
    state: StockState,
    tick: NDArray[np.int64],
    wave_tick: NDArray[np.int64],
    wave_units: NDArray[np.int64],
    wanted: NDArray[np.bool_],
    flow: StockFlow,
) -> None:
    """Put the next wave on sale where it is due (``wave_tick``) or ``wanted`` (lane); ``wave_units`` (wave, product).

    Writes state.unreleased, available and next_wave; flow.released, early_releases and infeasible.
    """
    products, lanes = state.available.shape
    waves = wave_tick.shape[0]
    for lane in range(lanes):
        flow.early_releases[lane] = 0
        for product in range(products):
            flow.released[product, lane] = 0
        wave = state.next_wave[lane]
        flow.infeasible[lane] = np.int64(wanted[lane] and wave >= waves)
        if wave < waves:
            is_due = tick[lane] >= wave_tick[wave]
            if is_due or wanted[lane]:
                flow.early_releases[lane] = 0 if is_due else 1
                state.next_wave[lane] = wave + 1
                for product in range(products):
                    units = wave_units[wave, product]
                    flow.released[product, lane] = units
                    state.unreleased[product, lane] -= units
                    state.available[product, lane] += units


@compiled
def replenish(
    params: StockParams,
    state: StockState,
    tick: NDArray[np.int64],
    lot_units: NDArray[np.int64],
    wanted: NDArray[np.bool_],
    flow: StockFlow,
) -> None:
    """Order a lot where ``wanted`` (lane) and one is left; put lots that arrive on sale. ``lot_units`` (product).

    Comes after :func:`release`: adds to flow.released and infeasible, writes flow.ordered and ``state``.
    """
    products, lanes = state.available.shape
    ring = state.coming.shape[0]
    for lane in range(lanes):
        flow.infeasible[lane] += np.int64(wanted[lane] and state.lots_left[lane] <= 0)
    if params.lots == 0:
        for product in range(products):
            for lane in range(lanes):
                flow.ordered[product, lane] = 0
        return
    for lane in range(lanes):
        lots = 1 if wanted[lane] and state.lots_left[lane] > 0 else 0
        state.lots_left[lane] -= lots
        state.coming[(tick[lane] + params.lead_time) % ring, lane] += lots
        flow.lots_ordered[lane] = lots
        flow.lots_arrived[lane] = state.coming[tick[lane] % ring, lane]
        state.coming[tick[lane] % ring, lane] = 0
    for product in range(products):
        for lane in range(lanes):
            ordered = flow.lots_ordered[lane] * lot_units[product]
            arrived = flow.lots_arrived[lane] * lot_units[product]
            flow.ordered[product, lane] = ordered
            state.unreleased[product, lane] += ordered - arrived
            state.available[product, lane] += arrived
            flow.released[product, lane] += arrived


@compiled
def return_expired(state: StockState, tick: NDArray[np.int64], flow: StockFlow) -> None:
    """Put the units of carts whose time is out on sale again; writes ``state``, flow.expired and flow.opening."""
    products, lanes = state.available.shape
    ring = state.expiring.shape[0]
    for lane in range(lanes):
        flow.expired_now[lane] = tick[lane] % ring
    for product in range(products):
        for lane in range(lanes):
            flow.expired[product, lane] = state.expiring[flow.expired_now[lane], product, lane]
            state.expiring[flow.expired_now[lane], product, lane] = 0
        for lane in range(lanes):
            expired = flow.expired[product, lane]
            state.in_carts[product, lane] -= expired
            state.available[product, lane] += expired
            flow.opening[product, lane] = state.available[product, lane]


@compiled
def fulfill(
    params: StockParams,
    state: StockState,
    tick: NDArray[np.int64],
    requests: NDArray[np.int64],
    price: NDArray[np.float64],
    price_index: NDArray[np.int64],
    payment_availability: NDArray[np.float64],
    keys: NDArray[np.uint64],
    flow: StockFlow,
    work: Workspace,
) -> None:
    """Fill ``requests`` (product, lane; units), draw which of them will be paid, book what is due.

    ``price`` (product, price), ``payment_availability`` (lane; share of payments that can be made). Writes
    state.available, in_carts, sold, paying, paying_value and expiring; flow.reserved, paid, revenue and leftover.
    """
    products, lanes = requests.shape
    payment_ring, expiry_ring = state.paying.shape[0], state.expiring.shape[0]
    for lane in range(lanes):
        flow.pay_chance[lane] = (1.0 - params.payment_failure) * payment_availability[lane]
        flow.paid_now[lane] = tick[lane] % payment_ring
        flow.paid_later[lane] = (tick[lane] + params.payment_delay) % payment_ring
        flow.expired_later[lane] = (tick[lane] + params.cart_timeout) % expiry_ring
    for product in range(products):
        for lane in range(lanes):
            reserved = min(requests[product, lane], state.available[product, lane])
            flow.reserved[product, lane] = reserved
            state.available[product, lane] -= reserved
        write_uniforms(keys, PAYMENT, product, work.uniform)
        write_binomial(flow.reserved[product], flow.pay_chance, work.uniform, flow.will_pay, work)
        for lane in range(lanes):
            will_pay, now, later = flow.will_pay[lane], flow.paid_now[lane], flow.paid_later[lane]
            value = np.float64(will_pay) * price[product, price_index[product, lane]]
            state.paying[later, product, lane] = will_pay
            state.paying_value[later, product, lane] = value
            state.expiring[flow.expired_later[lane], product, lane] = flow.reserved[product, lane] - will_pay
            flow.paid[product, lane] = state.paying[now, product, lane]
            flow.revenue[product, lane] = state.paying_value[now, product, lane]
            state.paying[now, product, lane] = 0
            state.paying_value[now, product, lane] = 0.0
        for lane in range(lanes):
            paid = flow.paid[product, lane]
            state.in_carts[product, lane] += flow.reserved[product, lane] - paid
            state.sold[product, lane] += paid
            flow.leftover[product, lane] = 0


@compiled
def settle(state: StockState, closing: NDArray[np.bool_], flow: StockFlow) -> None:
    """Where the sale closes: pay the carts that would be paid later; all other units are left over."""
    products, lanes = state.available.shape
    for product in range(products):
        for lane in range(lanes):
            if closing[lane]:
                for slot in range(state.paying.shape[0]):
                    paid = state.paying[slot, product, lane]
                    flow.paid[product, lane] += paid
                    flow.revenue[product, lane] += state.paying_value[slot, product, lane]
                    state.sold[product, lane] += paid
                    state.in_carts[product, lane] -= paid
                    state.paying[slot, product, lane] = 0
                    state.paying_value[slot, product, lane] = 0.0
                for slot in range(state.expiring.shape[0]):
                    flow.expired[product, lane] += state.expiring[slot, product, lane]
                    state.available[product, lane] += state.expiring[slot, product, lane]
                    state.in_carts[product, lane] -= state.expiring[slot, product, lane]
                    state.expiring[slot, product, lane] = 0
                flow.leftover[product, lane] = state.available[product, lane] + state.unreleased[product, lane]
