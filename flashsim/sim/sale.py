"""One tick of a tile of sales, as a story. The only place where the parts of the simulator meet.

Parts still to come have their place here: automated buyers between traffic and servers, support after stock, memory
over several sales at the end.
"""

import numpy as np
from numpy.typing import NDArray

from flashsim.sim import choice, failures, inventory, queueing, servers, streams, traffic, waiting_room
from flashsim.sim.cache import compiled_inline, compiled_inside
from flashsim.sim.ledger import Ledger, book_latency, book_units, book_visits
from flashsim.sim.samplers import gamma_factor, write_normal
from flashsim.sim.state import CLOSE, PUSH, RELEASE, REORDER, Decisions, SaleState, SaleTables, Scratch


@compiled_inside
def open_sales(
    tables: SaleTables,
    state: SaleState,
    opening: NDArray[np.bool_],
    seed: NDArray[np.uint64],
    domain: np.uint64,
    episode: NDArray[np.uint64],
    scratch: Scratch,
) -> None:
    """Start a sale in every lane of ``opening``: its key, what it draws (world member, frailties, when things fail),
    full stock."""
    work = scratch.work
    products, lanes = state.frailty.shape
    for lane in range(lanes):
        if opening[lane]:
            state.key[lane] = streams.sale_key(seed[lane], domain, episode[lane])
            state.tick[lane] = 0
    streams.write_tick_keys(state.key, state.tick, scratch.keys)
    streams.write_uniforms(scratch.keys, streams.MEMBER, streams.ONLY, work.uniform)
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
    failures.draw_failures(tables.failures, state.failures, opening, tables.rate.shape[0], scratch.keys)
    _clear(tables, state, opening)


@compiled_inline
def _clear(tables: SaleTables, state: SaleState, opening: NDArray[np.bool_]) -> None:
    """Set every part to the start of a sale in every lane of ``opening``."""
    traffic.clear_traffic(tables.traffic, state.traffic, opening)
    waiting_room.clear_room(state.room, opening)
    servers.clear_servers(tables.servers, state.servers, opening)
    queueing.clear_queue(state.queue, opening)
    choice.clear_choice(state.choice, opening)
    inventory.clear_stock(tables.stock, state.stock, tables.planned, opening)


@compiled_inline
def step_sale(tables: SaleTables, state: SaleState, decisions: Decisions, ledger: Ledger, scratch: Scratch) -> None:
    """Let one tick pass in every lane: ``decisions`` take effect, people come, are served, choose and buy.

    Writes ``state`` and ``ledger``. A lane must not be stepped beyond the tick in which its ledger says is_closed.
    """
    flow, doors, pool, queue, works = scratch.traffic, scratch.room, scratch.servers, scratch.queue, scratch.failures
    asked, units, keys, work = scratch.choice, scratch.stock, scratch.keys, scratch.work
    tick, price_index, stock, rules = state.tick, decisions.price_index, state.stock, tables.servers
    depth, planned, member = tables.depth, tables.planned, state.member
    streams.write_tick_keys(state.key, tick, keys)

    # 0 failures: what works in this tick, and by what factor demand is another than forecast
    failures.write_what_works(tables.failures, state.failures, tick, works)

    # 1 offer: stock is released, pushes are sent, servers are ordered; the prices of this tick are decisions.menu
    _count_infeasible(decisions.timing, state, tables.wave_tick.shape[0], ledger.projected)
    _carry_out(tables, state, decisions, ledger, scratch)

    # 2 traffic: expected units of the offer, then the people who come, by segment; some come back for a better offer
    rates, shares = tables.conversion, tables.traffic_share
    traffic.write_expected_units(tables.rate, tick, price_index, member, state.frailty, works.demand_factor, flow)
    traffic.arrive(tables.traffic, rates, shares, member, tick, state.traffic, keys, flow, work)
    choice.come_back(tables.choice, depth, price_index, tick, state.choice, keys, asked, work)

    # 4 waiting room (3, automated buyers, is to come before it): who of those at the doors, old and new, is let in
    queueing.return_retries(rules, state.queue, keys, queue, work)
    _gather(flow, asked.returning, queue.retries, doors)
    waiting_room.admit(tables.room, state.room, decisions.cap, pool.capacity, keys, doors, work)

    # 5 servers: who is answered, how fast, who fails, gives up or will try again
    inside, expected = doors.entering, doors.expected
    if rules.hard_cap:
        queueing.serve_hard_cap(rules, pool.in_force, inside, queue)
    else:
        queueing.serve(rules, state.queue, pool.in_force, pool.capacity, inside, expected, keys, queue, work)

    # 6 choice: what those served ask for, of the units on sale
    mean, served, fit, people = flow.visitors_mean, queue.served, queue.attraction, state.choice
    inventory.return_expired(stock, tick, units)
    left, likes, goods = stock.available, tables.choice, flow.units
    choice.choose(likes, depth, price_index, tick, planned, goods, mean, served, left, fit, keys, people, asked, work)

    # 7 stock: carts and payments
    wanted, price = asked.requests, tables.price
    inventory.fulfill(tables.stock, works.payments_up, stock, tick, wanted, price, price_index, keys, units, work)

    # 8 support and 9 memory over several sales: their places are here

    # Close: at the last tick or on order, carts are settled and those who wait leave
    _write_closed(tables.rate.shape[0], tick, decisions.timing, ledger.is_closed)
    if np.any(ledger.is_closed):
        inventory.settle(stock, ledger.is_closed, units)
        waiting_room.close_room(state.room, ledger.is_closed, doors)
        queueing.dismiss(state.queue, ledger.is_closed, queue)

    # Ledger: the facts of this tick; then the pool wears and time goes on
    _book(tables, state, price_index, ledger, scratch)
    servers.wear(rules, state.servers, queue.load)
    for lane in range(tick.shape[0]):
        tick[lane] += 1


@compiled_inline
def _book(
    tables: SaleTables, state: SaleState, price_index: NDArray[np.int64], ledger: Ledger, scratch: Scratch
) -> None:
    """Write the ledger."""
    rules, queue, health, come = tables.servers, scratch.queue, state.servers.health, scratch.choice.returning
    flow, doors, pool = scratch.traffic, scratch.room, scratch.servers
    book_visits(rules, state.queue, state.room, health, flow, doors, pool, queue, come, ledger)
    book_latency(rules, queue, ledger)
    prices, costs, salvage, carts = tables.list_price, tables.unit_cost, tables.salvage_value, state.stock.in_carts
    book_units(prices, costs, salvage, price_index, carts, scratch.choice, scratch.stock, ledger)
    _book_losses(tables, ledger)


@compiled_inline
def _book_losses(tables: SaleTables, ledger: Ledger) -> None:
    """Write what was lost to capacity: people who gave up, in hard_cap mode units (one product, all visitors buy)."""
    for lane in range(ledger.penalty.shape[0]):
        lost = ledger.given_up[lane] + ledger.abandoned[lane]
        if tables.servers.hard_cap:
            came = ledger.exogenous_visitors[lane] + ledger.attracted_visitors[lane]
            lost = min(came, ledger.opening[0, lane]) - ledger.reserved[0, lane]
        ledger.lost_to_capacity[lane] = lost
        ledger.penalty[lane] = tables.servers.penalty * np.float64(lost)


@compiled_inside
def _gather(
    flow: traffic.TrafficFlow,
    returning: NDArray[np.int64],
    retries: NDArray[np.int64],
    doors: waiting_room.RoomFlow,
) -> None:
    """Write doors.arriving, everybody who comes to the doors, and doors.expected, how many were to be expected."""
    segments, lanes = returning.shape
    for lane in range(lanes):
        doors.expected[lane] = flow.expected[lane]
    for segment in range(segments):
        for lane in range(lanes):
            again = returning[segment, lane] + retries[segment, lane]
            new = flow.exogenous[segment, lane] + flow.attracted[segment, lane]
            doors.arriving[segment, lane] = new + again
            doors.expected[lane] += np.float64(again)


@compiled_inline
def _carry_out(tables: SaleTables, state: SaleState, decisions: Decisions, ledger: Ledger, scratch: Scratch) -> None:
    """Release and order stock, send pushes and order servers as far as that is feasible."""
    wanted = scratch.is_wanted
    _write_wanted(decisions.timing, RELEASE, wanted)
    inventory.release(
        state.stock, state.tick, tables.wave_tick, tables.wave_units, wanted, scratch.stock, ledger.early_releases
    )
    _write_wanted(decisions.timing, REORDER, wanted)
    inventory.replenish(tables.stock, state.stock, state.tick, tables.lot_units, wanted, scratch.stock)
    _write_wanted(decisions.timing, PUSH, wanted)
    traffic.push(tables.traffic, state.traffic, wanted, ledger.pushes)
    servers.order(
        tables.servers,
        state.servers,
        scratch.failures.servers_up,
        state.tick,
        decisions.change,
        scratch.servers,
        ledger.projected,
    )


@compiled_inside
def _write_wanted(timing: NDArray[np.int64], order: int, out: NDArray[np.bool_]) -> None:
    for lane in range(out.shape[0]):
        out[lane] = timing[lane] == order


@compiled_inline
def _count_infeasible(timing: NDArray[np.int64], state: SaleState, waves: int, projected: NDArray[np.float64]) -> None:
    """Start ``projected`` with releases ordered when no wave is left, and pushes and lots beyond their budget."""
    for lane in range(timing.shape[0]):
        no_release = timing[lane] == RELEASE and state.stock.next_wave[lane] >= waves
        no_push = timing[lane] == PUSH and state.traffic.pushes_left[lane] <= 0
        no_lot = timing[lane] == REORDER and state.stock.lots_left[lane] <= 0
        projected[lane] = 1.0 if no_release or no_push or no_lot else 0.0


@compiled_inside
def _write_closed(ticks: int, tick: NDArray[np.int64], timing: NDArray[np.int64], out: NDArray[np.bool_]) -> None:
    for lane in range(out.shape[0]):
        out[lane] = tick[lane] + 1 >= ticks or timing[lane] == CLOSE
