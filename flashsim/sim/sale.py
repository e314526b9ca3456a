"""The story of a simulated sale: how it opens, and what happens in one tick. The only place where the parts meet.

Read :func:`step_sale` from top to bottom: each numbered comment says what the phase reads and what it makes; the
functions below it, in the same order, call the parts. All arithmetic is in the parts, a file each. ``tables`` holds the
numbers of the sale, ``state`` what it remembers from tick to tick, ``scratch`` what the parts make for each other
within a tick; each part finds its own under its name. Every function works on a tile: many sales side by side, a lane
each.
"""

import numpy as np
from numpy.typing import NDArray

from flashsim.sim import (
    choice,
    clock,
    failures,
    frailties,
    inventory,
    queue_flow,
    queueing,
    servers,
    streams,
    traffic,
    waiting_room,
)
from flashsim.sim.cache import compiled_inline, compiled_inside
from flashsim.sim.ledger import Ledger, book_latency, book_losses, book_orders, book_units, book_visits
from flashsim.sim.state import Decisions, SaleState, SaleTables, Scratch, hold_before_opening, read_timing


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
    """Start a sale in every lane of ``opening``: its key, what it draws (member, frailties, when things fail), and
    every part as it is before the first tick."""
    streams.write_sale_keys(seed, domain, episode, opening, state.key)
    clock.start_clock(opening, state.tick)
    streams.write_tick_keys(state.key, state.tick, scratch.keys)
    frailties.draw_member(tables.members, opening, scratch.keys, state.member, scratch.work)
    frailties.draw_frailties(
        tables.common_variance,
        tables.product_variance,
        opening,
        state.member,
        scratch.keys,
        state.frailty,
        scratch.work,
    )
    failures.draw_failures(tables.failures, state.failures, opening, tables.rate.shape[0], scratch.keys)
    traffic.clear_traffic(tables.traffic, state.traffic, opening)
    waiting_room.clear_room(state.room, opening)
    servers.clear_servers(tables.servers, state.servers, opening)
    queue_flow.clear_queue(state.queue, opening)
    choice.clear_choice(state.choice, opening)
    inventory.clear_stock(tables.stock, state.stock, tables.planned, opening)
    clock.go_back(tables.pre_opening, opening, state.tick)


@compiled_inline
def step_sale(tables: SaleTables, state: SaleState, decisions: Decisions, ledger: Ledger, scratch: Scratch) -> None:
    """Let one tick pass in every lane: ``decisions`` take effect, people come, are served, choose and buy.

    Writes ``state`` and ``ledger``. A lane must not be stepped beyond the tick in which its ledger says is_closed.
    Before the opening, in ticks below 0, nobody is to be expected: servers are ordered, boot and are paid, and no other
    part has anything to do. Of ``decisions`` only the change of servers counts then; the others are set to hold.
    """
    streams.write_tick_keys(state.key, state.tick, scratch.keys)
    hold_before_opening(state.tick, decisions)

    # 1 Failures. Reads when things fail in this sale; makes what works in this tick, and the factor on demand.
    failures.write_availability(tables.failures, state.failures, state.tick, scratch.failures)

    # 2 Offer. Reads the decisions; makes units on sale, pushes, servers in force, and the discounts that people see.
    _make_offer(tables, state, decisions, scratch)

    # 3 Demand. Reads the prices; makes the expected units of the offer, and the people who come, new and again.
    _draw_demand(tables, state, decisions, scratch)

    # 4 Waiting room. Reads who comes and the cap; makes who is let in, and who abandons in the room.
    _admit(tables, state, decisions, scratch)

    # 5 Servers. Reads who is let in and the capacity; makes who is served, how fast, who fails, abandons, tries again.
    _serve(tables, state, scratch)

    # 6 Choice. Reads who is served and the units that are on sale; makes what these people ask for.
    _choose(tables, state, scratch)

    # 7 Stock. Reads what is asked for; makes carts, which hold the units, and payments.
    _fulfill(tables, state, decisions, scratch)

    # 8 Close. At the last tick or when ordered: carts are settled, and those who wait leave.
    _close(tables, state, ledger, scratch)

    # 9 Ledger. Reads all that was made; makes the facts of this tick. Then the pool wears and the clock goes on.
    _book(tables, state, decisions, ledger, scratch)
    servers.wear(tables.servers, state.servers, scratch.queue.load)
    clock.advance_clock(state.tick)


@compiled_inline
def _make_offer(tables: SaleTables, state: SaleState, decisions: Decisions, scratch: Scratch) -> None:
    """Phase 2: waves and lots go on sale, pushes and servers are ordered, as far as that is feasible."""
    read_timing(decisions.timing, scratch.timing)
    inventory.release(
        state.stock,
        state.tick,
        tables.wave_tick,
        tables.wave_units,
        scratch.timing.releases,
        scratch.stock,
    )
    inventory.replenish(
        tables.stock,
        state.stock,
        state.tick,
        tables.lot_units,
        scratch.timing.reorders,
        scratch.stock,
    )
    traffic.push(tables.traffic, state.traffic, scratch.timing.pushes, scratch.traffic)
    servers.order(
        tables.servers,
        state.servers,
        scratch.failures.pool_availability,
        state.tick,
        decisions.change,
        scratch.servers,
    )
    choice.show_offer(tables.depth, decisions.price_index, scratch.choice)


@compiled_inline
def _draw_demand(tables: SaleTables, state: SaleState, decisions: Decisions, scratch: Scratch) -> None:
    """Phase 3: expected units by price, frailty and surge; visitors who are new, come back or try again."""
    traffic.write_expected_units(
        tables.rate,
        state.tick,
        decisions.price_index,
        state.member,
        state.frailty,
        scratch.failures.demand_factor,
        scratch.traffic,
    )
    traffic.arrive(
        tables.traffic,
        state.traffic,
        tables.conversion,
        tables.traffic_share,
        state.member,
        state.tick,
        scratch.keys,
        scratch.traffic,
        scratch.work,
    )
    choice.come_back(tables.choice, state.choice, state.tick, scratch.keys, scratch.choice, scratch.work)
    queueing.return_retries(tables.servers, state.queue, scratch.keys, scratch.queue, scratch.work)


@compiled_inline
def _admit(tables: SaleTables, state: SaleState, decisions: Decisions, scratch: Scratch) -> None:
    """Phase 4: everybody comes to the waiting room, and as many as the cap allows go on to the servers."""
    waiting_room.gather(
        scratch.traffic.exogenous,
        scratch.traffic.attracted,
        scratch.choice.returning,
        scratch.queue.retries,
        scratch.traffic.expected,
        scratch.room,
    )
    waiting_room.admit(
        tables.room,
        state.room,
        decisions.cap,
        scratch.servers.capacity,
        scratch.keys,
        scratch.room,
        scratch.work,
    )


@compiled_inline
def _serve(tables: SaleTables, state: SaleState, scratch: Scratch) -> None:
    """Phase 5: the servers answer the backlog and those let in."""
    queueing.serve(
        tables.servers,
        state.queue,
        scratch.servers.in_force,
        scratch.servers.capacity,
        scratch.room.entering,
        scratch.room.expected_entries,
        scratch.keys,
        scratch.queue,
        scratch.work,
    )


@compiled_inline
def _choose(tables: SaleTables, state: SaleState, scratch: Scratch) -> None:
    """Phase 6: units come back from carts whose time is out; then those served choose a product, or leave."""
    inventory.return_expired(state.stock, state.tick, scratch.stock)
    choice.choose(
        tables.choice,
        state.choice,
        state.tick,
        tables.planned,
        scratch.traffic.units,
        scratch.traffic.visitors_mean,
        scratch.queue.served,
        scratch.queue.latency_factor,
        state.stock.available,
        scratch.keys,
        scratch.choice,
        scratch.work,
    )


@compiled_inline
def _fulfill(tables: SaleTables, state: SaleState, decisions: Decisions, scratch: Scratch) -> None:
    """Phase 7: units go into carts while there are any, and carts that are due are paid."""
    inventory.fulfill(
        tables.stock,
        state.stock,
        state.tick,
        scratch.choice.requests,
        tables.price,
        decisions.price_index,
        scratch.failures.payment_availability,
        scratch.keys,
        scratch.stock,
        scratch.work,
    )


@compiled_inline
def _close(tables: SaleTables, state: SaleState, ledger: Ledger, scratch: Scratch) -> None:
    """Phase 8: in the sales that end with this tick."""
    clock.write_closed(tables.rate.shape[0], state.tick, scratch.timing.closes, ledger.is_closed)
    if np.any(ledger.is_closed):
        inventory.settle(state.stock, ledger.is_closed, scratch.stock)
        waiting_room.close_room(state.room, ledger.is_closed, scratch.room)
        queue_flow.dismiss(state.queue, ledger.is_closed, scratch.queue)


@compiled_inline
def _book(tables: SaleTables, state: SaleState, decisions: Decisions, ledger: Ledger, scratch: Scratch) -> None:
    """Phase 9: write the ledger."""
    book_orders(scratch.traffic, scratch.servers, scratch.stock, ledger)
    book_visits(
        tables.servers,
        scratch.traffic,
        scratch.choice,
        state.room,
        scratch.room,
        state.servers,
        scratch.servers,
        state.queue,
        scratch.queue,
        ledger,
    )
    book_latency(tables.servers, scratch.queue, ledger)
    book_units(
        tables.list_price,
        tables.unit_cost,
        tables.salvage_value,
        decisions.price_index,
        scratch.choice,
        state.stock,
        scratch.stock,
        ledger,
    )
    book_losses(tables.servers, ledger)
