"""Random sales for tests of laws: any World, scenario and orders that the borders let through; one with all parts."""

from dataclasses import replace
from typing import Any

import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray

from flashsim.scenarios import Calendar, Failures, Outage, Rush, Scenario
from flashsim.sim.choice import ChoiceArguments, ChoiceParams
from flashsim.sim.engine import Batch
from flashsim.sim.inventory import StockParams
from flashsim.sim.ledger import Ledger
from flashsim.sim.parameters import as_arguments
from flashsim.sim.servers import ServerParams
from flashsim.sim.state import PUSH, RELEASE, REORDER, Decisions, make_decisions
from flashsim.sim.traffic import TrafficParams
from flashsim.sim.waiting_room import OPEN, WaitingRoomParams
from tests.worlds import make_scenario, make_world

SALES, PRODUCTS, TICKS = 20, 3, 14
OUTAGE = Outage(4, 2)
"""When everything fails in a sale with all parts."""
SEEDS = st.integers(0, 2**62)
_SHARES = st.floats(0.0, 1.0)


@st.composite
def worlds(draw: st.DrawFn, *, is_small: bool = False) -> Any:
    """Some members, segments and products; strong and weak demand, with and without frailty, some without demand."""
    members, segments, products = draw(st.integers(1, 3)), draw(st.integers(1, 3)), draw(st.integers(1, 4))
    world = make_world(products=products, segments=segments, members=members)
    rates = world.units_per_minute * draw(st.sampled_from([0.01, 1.0] if is_small else [0.01, 1.0, 20.0]))
    if draw(st.booleans()):
        rates[:, 0, 0] = 0.0
    return make_world(
        products=products,
        segments=segments,
        members=members,
        units_per_minute=rates,
        population=draw(st.sampled_from([0.1, 1.0] if is_small else [0.1, 1.0, 10.0])),
        conversion_at_list=np.full(members, draw(st.floats(0.1 if is_small else 0.01, 0.99))),
        traffic_share=np.full(members, draw(_SHARES)),
        frailty_common_variance=np.full(members, draw(st.sampled_from([0.0, 0.1, 1.0]))),
        frailty_product_variance=np.full((members, products), draw(st.sampled_from([0.0, 0.3, 1.0]))),
    )


@st.composite
def waves(draw: st.DrawFn, ticks: int) -> tuple[tuple[int, float], ...]:
    """One to three releases at ascending ticks."""
    at = sorted(draw(st.lists(st.integers(0, ticks - 1), min_size=1, max_size=3)))
    return tuple((tick, 1.0 / len(at)) for tick in at)


@st.composite
def pools(draw: st.DrawFn, *, is_exact: bool) -> ServerParams:
    """Any pool of servers; small and simulated event by event where ``is_exact``."""
    most = draw(st.integers(1, 30))
    return ServerParams(
        service_rate=draw(st.floats(0.5, 60.0)),
        min_servers=draw(st.integers(0, 1)),
        start_servers=draw(st.integers(1, most)),
        max_servers=most,
        lag=draw(st.integers(0, 4)),
        drain_ticks=draw(st.integers(0, 3)),
        pays_while_booting=draw(st.booleans()),
        unloaded_latency_s=draw(st.floats(0.0, 2.0)),
        timeout_s=draw(st.floats(2.1, 60.0)),
        patience_ticks=draw(st.floats(0.5, 20.0)),
        latency_sensitivity=draw(_SHARES),
        queue_limit=draw(st.sampled_from([0, 1, 7, 40])),
        retry_share=draw(st.sampled_from([0.0, 0.5, 1.0])),
        retry_delay=draw(st.floats(0.1, 5.0)),
        collapse_load=draw(st.sampled_from([0.0, 1.0, 2.5])),
        collapsed_health=draw(st.floats(0.01, 1.0)),
        recovery=draw(_SHARES),
        is_event_by_event=is_exact,
    )


@st.composite
def traffics(draw: st.DrawFn) -> TrafficParams:
    """Any traffic, with and without goodwill, sharing and pushes."""
    return TrafficParams(
        push_budget=draw(st.integers(0, 2)),
        push_uplift=draw(st.floats(0.0, 3.0)),
        push_half_life=draw(st.floats(0.5, 20.0)),
        goodwill_share=draw(st.sampled_from([0.0, 0.3, 1.0])),
        goodwill_half_life=draw(st.floats(0.5, 20.0)),
        sharing_ratio=draw(st.sampled_from([0.0, 0.2, 0.9])),
        sharing_delay=draw(st.floats(0.1, 20.0)),
        sharing_is_learned=draw(st.booleans()),
        highest_conversion=draw(st.floats(0.2, 1.0)),
    )


@st.composite
def choices(draw: st.DrawFn) -> ChoiceParams:
    """Any choice, with and without memory, scarcity, watchers and several units."""
    return ChoiceParams(
        reference_gain=draw(st.sampled_from([0.0, 1.0, 5.0])),
        reference_loss=draw(st.sampled_from([0.0, 2.0, 10.0])),
        reference_half_life=draw(st.floats(0.5, 20.0)),
        scarcity_cue=draw(st.sampled_from([0.0, 0.2, 3.0])),
        scarcity_threshold=draw(_SHARES),
        watch_share=draw(st.sampled_from([0.0, 0.1, 1.0])),
        watch_response=draw(st.floats(0.0, 50.0)),
        another_unit=draw(st.sampled_from([0.0, 0.3, 0.9])),
        limit=draw(st.integers(1, 5)),
    )


@st.composite
def carts(draw: st.DrawFn, ticks: int) -> StockParams:
    """Any carts, and lots that can arrive."""
    return StockParams(
        payment_delay=draw(st.integers(0, 4)),
        payment_failure=draw(_SHARES),
        cart_timeout=draw(st.integers(0, 6)),
        lots=draw(st.integers(0, 2)),
        lot_share=draw(st.floats(0.0, 2.0)),
        lead_time=draw(st.integers(0, min(5, ticks - 1))),
    )


@st.composite
def failures(draw: st.DrawFn, ticks: int, *, worst_rush: float) -> Failures:
    """Any failures, each at any time or not at all."""
    outages = st.none() | st.builds(Outage, st.none() | st.integers(0, ticks - 1), st.integers(1, ticks))
    return Failures(
        pool=draw(outages),
        pool_lost=draw(_SHARES),
        payment=draw(outages),
        traffic=draw(outages),
        traffic_factor=draw(st.floats(0.0, worst_rush)),
        feed=draw(outages),
    )


@st.composite
def scenarios(draw: st.DrawFn) -> Scenario:
    """Any sale of at most 15 ticks."""
    ticks, is_exact = draw(st.integers(1, 15)), draw(st.sampled_from([False, False, False, True]))
    rushes = st.builds(Rush, st.integers(0, ticks - 1), st.floats(0.0, 5.0), st.floats(0.1, 10.0))
    return make_scenario(
        draw(worlds(is_small=is_exact)),
        ticks=ticks,
        calendar=Calendar(draw(st.sampled_from([0.0, 1.0, 3.0])), tuple(draw(st.lists(rushes, max_size=2)))),
        waves=draw(waves(ticks)),
        stock_cover=draw(st.sampled_from([0.0, 0.3, 1.0, 3.0])),
        stock_units=draw(st.sampled_from([None, None, 0, 7])),
        salvage_share=draw(st.floats(-1.0, 1.0)),
        start_minute=draw(st.integers(0, 1439)),
        weekday=draw(st.integers(0, 6)),
        servers=draw(pools(is_exact=is_exact)),
        room=WaitingRoomParams(room_patience=draw(st.floats(0.1, 20.0))),
        traffic=draw(traffics()),
        choice=draw(choices()),
        carts=draw(carts(ticks)),
        failures=draw(failures(ticks, worst_rush=2.0 if is_exact else 10.0)),
        admission_caps=draw(st.sampled_from([(OPEN,), (OPEN, 1.0, 0.5), (0.3,), (0.7, 1.5, OPEN)])),
    )


def random_actions(sizes: NDArray[np.int64], sales: int, generator: np.random.Generator) -> NDArray[np.int64]:
    """Any orders, feasible or not."""
    return generator.integers(0, sizes, size=(sales, sizes.size))


def busy_orders() -> Decisions:
    """Anything, closing aside."""
    draw, shape = np.random.default_rng(0), (TICKS, SALES)
    timing = draw.choice([0, 0, RELEASE, PUSH, REORDER], shape)
    cap = draw.choice([OPEN, 1.0, 0.6], shape)
    price_index, change = draw.integers(0, 6, (*shape, PRODUCTS)), draw.integers(-1, 2, shape)
    return make_decisions(PRODUCTS, *shape)._replace(price_index=price_index, timing=timing, change=change, cap=cap)


def quiet_orders() -> Decisions:
    """Each sale at depths of its own throughout, all people let in, nothing ordered."""
    draw = np.random.default_rng(1)
    price_index = np.tile(draw.integers(0, 6, (SALES, PRODUCTS)), (TICKS, 1, 1))
    return make_decisions(PRODUCTS, TICKS, SALES)._replace(price_index=price_index)


def run(scenario: Scenario, orders: Decisions, *, one_unit: bool = False) -> dict[str, NDArray[Any]]:
    """The ledger, (tick, sale, …); with ``one_unit`` buyers want one unit, and as many come as before."""
    tables = scenario.compile().tables
    if one_unit:
        tables = tables._replace(choice=as_arguments(replace(scenario.choice, another_unit=0.0), ChoiceArguments))
    batch = Batch(tables, SALES, domain=0)
    batch.fill(batch.seed, np.arange(SALES, dtype=np.uint64))
    batch.open(np.ones(SALES, np.bool_))
    paths: dict[str, list[NDArray[Any]]] = {name: [] for name in Ledger._fields}
    for tick in range(TICKS):
        for name, given_now in orders._asdict().items():
            batch.fill(getattr(batch.decisions, name), given_now[tick])
        batch.step()
        for name, field in batch.ledger._asdict().items():
            paths[name].append(batch.rows(field).copy())
    return {name: np.array(path) for name, path in paths.items()}


def with_all_parts(**changes: Any) -> Scenario:
    """Small servers and stock, every part on."""
    fields: dict[str, Any] = {
        "ticks": TICKS + 1,
        "stock_cover": 0.7,
        "servers": ServerParams(
            start_servers=12, max_servers=20, lag=1, drain_ticks=2, queue_limit=30, retry_share=0.5, collapse_load=1.5
        ),
        "traffic": TrafficParams(goodwill_share=0.5, sharing_ratio=0.4),
        "choice": ChoiceParams(watch_share=0.3, another_unit=0.3, limit=3, scarcity_threshold=0.5),
        "carts": StockParams(payment_failure=0.3, cart_timeout=3, lots=2, lead_time=2),
        "failures": Failures(pool=OUTAGE, payment=OUTAGE, traffic=OUTAGE, feed=OUTAGE),
    }
    world = make_world(population=8.0, conversion_at_list=np.full(3, 0.4))
    return make_scenario(world, **(fields | changes))
