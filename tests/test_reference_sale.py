"""The simulator against the slow reference: equal in distribution where chance rules, and exactly without it."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from flashsim.reference import joint_sale
from flashsim.scenarios import Calendar, Failures, Outage, Rush, Scenario
from flashsim.scenarios.compiled import CompiledSale
from flashsim.sim.choice import ChoiceParams
from flashsim.sim.engine import Batch
from flashsim.sim.inventory import StockParams
from flashsim.sim.ledger import Ledger
from flashsim.sim.servers import ServerParams
from flashsim.sim.state import CLOSE, HOLD, PUSH, RELEASE, REORDER, SaleTables
from flashsim.sim.traffic import TrafficParams
from flashsim.sim.waiting_room import OPEN, WaitingRoomParams
from flashsim.world import World
from tests.reference_queue import expected_of, health_after, waits_of_tick
from tests.reference_sale import Decision, play
from tests.worlds import make_scenario, make_world, without_frailty

TICKS = 12
SLOW_SALES, FAST_SALES = 300, 6_000

Record = dict[str, NDArray[np.float64]]
"""Each entry of the ledger by name, (sale, tick) or (sale, tick, product)."""


def played_fast(tables: SaleTables, schedule: Sequence[Decision], *, sales: int) -> Record:
    """Ledgers of the simulator under fixed orders, until the sales close."""
    batch = Batch(tables, sales, domain=0)
    batch.fill(batch.seed, np.arange(sales, dtype=np.uint64))
    batch.open(np.ones(sales, np.bool_))
    record: dict[str, list[NDArray[np.float64]]] = {name: [] for name in Ledger._fields}
    for orders in schedule:
        batch.fill(batch.decisions.price_index, np.tile(np.array(orders.price_index), (sales, 1)))
        for name in ("timing", "change", "cap"):
            getattr(batch.decisions, name)[:] = getattr(orders, name)
        batch.step()
        for name, field in batch.ledger._asdict().items():
            record[name].append(batch.rows(field).astype(np.float64))
        if batch.ledger.is_closed.any():
            break
    return {name: np.stack(path, axis=1) for name, path in record.items()}


@cache
def played_slowly(case: str, *, sales: int) -> Record:
    """Likewise, of the reference, in one of ``CASES``."""
    make, orders = CASES[case]
    tables = make().tables
    paths = [play(tables, orders, seed=sale) for sale in range(sales)]
    return {name: np.stack([path[name] for path in paths]) for name in Ledger._fields}


def small_world(*, has_frailty: bool = False) -> World:
    """Two members, segments and products; some ten visitors a tick, of whom a third buys at list price."""
    world = make_world(products=2, segments=2, members=2, population=3.0, conversion_at_list=np.array([0.25, 0.35]))
    return world if has_frailty else without_frailty(world)


def sale_of(scenario: Scenario) -> CompiledSale:
    """Its plan on both members of the small World."""
    return scenario.compile().with_members((0, 1))


DEPTHS = [(1, 0), (1, 2), (4, 3), (0, 0), (2, 2), (5, 5), (3, 0), (0, 1), (5, 4), (5, 5), (1, 1), (0, 0)]
TIMING = {0: REORDER, 1: PUSH, 2: RELEASE, 4: PUSH, 5: REORDER, 6: PUSH, 7: RELEASE, 8: REORDER}
CHANGES = [0, 1, -1, 2, 0, -3, 5, 0, -2, 1, -9, 3]
CAPS = [OPEN, 0.6, 0.7, 0.8, 0.8, 1.5, OPEN, 0.5, 0.5, 1.0, OPEN, 1.0]


def schedule(*, has_timing: bool = True, has_caps: bool = True, last: int = TICKS) -> list[Decision]:
    """Orders for every tick; the sale closes after tick ``last``."""
    rows = []
    for tick in range(TICKS):
        timing = TIMING.get(tick, HOLD) if has_timing else HOLD
        rows.append(
            Decision(DEPTHS[tick], CLOSE if tick == last else timing, CHANGES[tick], CAPS[tick] if has_caps else OPEN)
        )
    return rows


CROWDED = ServerParams(
    service_rate=4.0,
    start_servers=3,
    max_servers=6,
    lag=1,
    drain_ticks=2,
    timeout_s=60.0,
    latency_sensitivity=0.01,
    queue_limit=3,
    retry_share=0.5,
    retry_delay=1.5,
    collapse_load=1.4,
    collapsed_health=0.6,
    recovery=0.3,
)


def everything(*, has_frailty: bool) -> Scenario:
    """Every part is on, and everything that can fail does."""
    return make_scenario(
        small_world(has_frailty=has_frailty),
        ticks=TICKS,
        calendar=Calendar(0.7, (Rush(0, 1.0, 2.0), Rush(6, 1.0, 1.0))),
        stock_cover=0.8,
        waves=((0, 0.4), (3, 0.3), (9, 0.3)),
        traffic=TrafficParams(push_budget=2, push_half_life=2.0, goodwill_half_life=2.0, sharing_ratio=0.4),
        room=WaitingRoomParams(2.0),
        servers=CROWDED,
        choice=ChoiceParams(
            reference_half_life=3.0,
            scarcity_cue=0.5,
            scarcity_threshold=0.5,
            watch_share=0.4,
            another_unit=0.4,
            limit=3,
        ),
        carts=StockParams(payment_delay=2, payment_failure=0.2, cart_timeout=3, lots=2, lot_share=0.2, lead_time=4),
        failures=Failures(pool=Outage(4, 2), payment=Outage(7, 2), traffic=Outage(9, 1), traffic_factor=2.0),
    )


def no_frills(**changes: Any) -> Scenario:
    """No queue limit, no retries, no collapse; ``changes`` replace fields."""
    servers = replace(
        CROWDED, queue_limit=0, retry_share=0.0, collapse_load=0.0, drain_ticks=0, pays_while_booting=False
    )
    fields: dict[str, Any] = {"servers": servers, "room": WaitingRoomParams(), "failures": Failures()}
    return replace(everything(has_frailty=False), **(fields | changes))


def talk_of_the_town() -> Scenario:
    """Sharing comes on top, goodwill is all, conversion meets its cap; everything in stock happens at once."""
    return no_frills(
        traffic=TrafficParams(
            push_budget=3,
            push_uplift=1.0,
            goodwill_share=1.0,
            goodwill_half_life=3.0,
            sharing_ratio=0.6,
            sharing_delay=1.5,
            sharing_is_learned=False,
            highest_conversion=0.4,
        ),
        carts=StockParams(payment_delay=0, payment_failure=0.3, cart_timeout=0, lots=3, lead_time=0),
        choice=ChoiceParams(watch_share=1.0, watch_response=3.0, another_unit=0.7, limit=2, scarcity_threshold=0.0),
        waves=((0, 0.2), (0, 0.3), (2, 0.5)),
    )


def fading_news() -> Scenario:
    """Offers become worse, so that more friends come than are usual; the whole pool fails, so caps let nobody in."""
    return no_frills(
        traffic=TrafficParams(sharing_ratio=0.8, sharing_delay=2.0, goodwill_share=0.5, goodwill_half_life=1.0),
        failures=Failures(pool=Outage(5, 2), pool_lost=1.0, traffic=Outage(2, 2), traffic_factor=3.0),
    )


def any_time() -> CompiledSale:
    """Everything fails at any time, another in each sale."""
    failures = Failures(
        pool=Outage(None, 2), payment=Outage(None, 2), traffic=Outage(None, 1), traffic_factor=2.0, feed=Outage(None, 3)
    )
    return sale_of(replace(everything(has_frailty=False), failures=failures))


def event_by_event() -> Scenario:
    """Services one after another, few in a tick; servers are lost while they are busy."""
    servers = replace(
        CROWDED, service_rate=3.0, start_servers=4, is_event_by_event=True, queue_limit=2, patience_ticks=0.7
    )
    return no_frills(servers=servers, failures=Failures(pool=Outage(6, 2)))


def solvable() -> CompiledSale:
    """A reference sale: prices and servers, at most a fixed number served."""
    rates = np.outer(np.linspace(4.0, 9.0, TICKS), [1.0, 1.6, 2.5, 3.0, 3.5, 4.0])
    return joint_sale(
        rates=rates,
        prices=[9.0, 8.0, 7.0, 6.0, 5.0, 4.0],
        stock=60,
        max_servers=6,
        mu=2.5,
        start_servers=2,
        server_cost=0.3,
        penalty=1.5,
        step=9,
        lag=1,
        salvage=2.0,
    ).compile()


def one_product(orders: list[Decision]) -> list[Decision]:
    """The same for the first product alone, without caps."""
    return [each._replace(price_index=each.price_index[:1], cap=OPEN) for each in orders]


FALLING = [orders._replace(price_index=(5 - tick // 2, max(0, 5 - tick))) for tick, orders in enumerate(schedule())]
ANY_TIME = "everything, failing at any time"
CASES: dict[str, tuple[Callable[[], CompiledSale], list[Decision]]] = {
    "everything": (lambda: sale_of(everything(has_frailty=False)), schedule()),
    "everything, with frailty": (lambda: sale_of(everything(has_frailty=True)), schedule()),
    "everything, closed early": (lambda: sale_of(everything(has_frailty=False)), schedule(last=8)),
    ANY_TIME: (any_time, schedule()),
    "talk of the town": (lambda: sale_of(talk_of_the_town()), schedule(has_caps=False)),
    "fading news": (lambda: sale_of(fading_news()), FALLING),
    "event by event": (lambda: sale_of(event_by_event()), schedule(has_caps=False)),
    "solvable": (solvable, one_product(schedule(has_timing=False))),
}
FIXED = (
    "price_index",
    "servers",
    "servers_billed",
    "server_cost",
    "pushes",
    "early_releases",
    "projected",
    "is_closed",
)


def columns_of(record: Record) -> dict[str, NDArray[np.float64]]:
    """What is compared (sale,), by name: totals of a sale, and every third tick of it."""
    columns = {}
    for name, path in record.items():
        for product in range(path.shape[2] if path.ndim == 3 else 1):
            each = path[:, :, product] if path.ndim == 3 else path
            label = f"{name} {product}" if path.ndim == 3 else name
            columns[f"{label}, total"] = each.sum(axis=1)
            columns |= {f"{label}, tick {tick}": each[:, tick] for tick in (*range(0, each.shape[1], 3), -1)}
    return columns


def distance(first: NDArray[np.float64], second: NDArray[np.float64]) -> float:
    """Difference of means in standard errors, if both samples come from one distribution.

    Below 1e-6 it is that of the simulator's normal distribution function, good to 1e-7.
    """
    difference = abs(first.mean() - second.mean())
    error = float(np.concatenate([first, second]).std() * np.sqrt(1.0 / len(first) + 1.0 / len(second)))
    return 0.0 if difference <= 1e-6 * max(1.0, abs(first.mean())) else difference / max(error, 1e-300)


def chance_of_both(first: NDArray[np.float64], second: NDArray[np.float64]) -> float:
    """p of the chi-square test on shares of the bins between octiles of both samples together.

    Edges lie a little above the octiles, so that many sales of one value share a bin however that value was rounded.
    """
    both = np.concatenate([first, second])
    octiles = np.unique(np.quantile(both, np.arange(1, 8) / 8.0, method="lower"))
    places = np.searchsorted(octiles + 1e-3 * both.std(), both)
    counts = np.array([np.bincount(part, minlength=octiles.size + 1) for part in np.split(places, [len(first)])])
    counts = counts[:, counts.sum(axis=0) > 0]
    return float(stats.chi2_contingency(counts, correction=False).pvalue) if counts.shape[1] > 1 else 1.0


def disagreements(fast: Record, slow: Record) -> list[str]:
    """Where two samples of sales differ more than chance explains: means by standard errors, totals by distribution."""
    first, second = columns_of(fast), columns_of(slow)
    found = [
        f"{name}: {first[name].mean():.6g} against {second[name].mean():.6g}, {z:.1f} standard errors"
        for name in first
        if (z := distance(first[name], second[name])) > 4.5
    ]
    totals = [name for name in first if name.endswith("total")]
    chances = {name: chance_of_both(first[name], second[name]) * len(totals) for name in totals}
    return found + [f"{name}: distributions differ, p = {p:.1e}" for name, p in chances.items() if p < 1e-4]


def assert_agreement(case: str, *, slow_sales: int, fast_sales: int) -> None:
    """AssertionError with all that differs between both simulators in a case."""
    make, orders = CASES[case]
    fast, slow = played_fast(make().tables, orders, sales=fast_sales), played_slowly(case, sales=slow_sales)
    assert not disagreements(fast, slow)
    for name in FIXED if case != ANY_TIME else set(FIXED) - {"servers"}:
        np.testing.assert_array_equal(slow[name], np.broadcast_to(fast[name][:1], slow[name].shape), err_msg=name)
        np.testing.assert_array_equal(fast[name], np.broadcast_to(fast[name][:1], fast[name].shape), err_msg=name)
    if case.startswith("everything"):
        assert all(slow[name].any() for name in Ledger._fields)


@pytest.mark.parametrize("case", CASES)
def test_the_simulator_agrees_with_the_slow_reference(case: str) -> None:
    """Every quantity of the ledger: means within 4.5 standard errors, distributions by chi-square (Bonferroni)."""
    assert_agreement(case, slow_sales=SLOW_SALES, fast_sales=FAST_SALES)


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_the_simulator_agrees_with_the_slow_reference_on_many_sales(case: str) -> None:
    assert_agreement(case, slow_sales=4_000, fast_sales=50_000)


CHANGES_OF_A_SALE = [
    ("everything", "traffic", {"sharing_ratio": 0.0}),
    ("everything", "traffic", {"goodwill_share": 0.9}),
    ("everything", "traffic", {"push_uplift": 0.6}),
    ("fading news", "room", {"room_patience": 2.0}),
    ("everything", "servers", {"retry_share": 0.9}),
    ("everything", "servers", {"retry_delay": 0.3}),
    ("everything", "servers", {"patience_ticks": 0.5}),
    ("everything", "servers", {"queue_limit": 1}),
    ("everything", "servers", {"collapsed_health": 0.3}),
    ("everything", "servers", {"drain_ticks": 1}),
    ("everything", "choice", {"watch_share": 0.3}),
    ("everything", "choice", {"reference_loss": 20.0}),
    ("everything", "choice", {"scarcity_cue": 3.0}),
    ("everything", "choice", {"another_unit": 0.1}),
    ("everything", "stock", {"payment_failure": 0.1}),
    ("everything", "stock", {"cart_timeout": 2}),
    (ANY_TIME, "failures", {"start": np.array([4, 7, 9, -1])}),
    ("event by event", "servers", {"queue_limit": 1}),
    ("event by event", "servers", {"patience_ticks": 1.5}),
    ("event by event", "servers", {"is_event_by_event": False}),
]


@pytest.mark.parametrize(("case", "part", "changes"), CHANGES_OF_A_SALE, ids=str)
def test_a_sale_with_another_parameter_is_told_apart(case: str, part: str, changes: dict[str, Any]) -> None:
    """The comparison can fail: it sees each of these changes of one side."""
    make, orders = CASES[case]
    tables = make().tables
    changed = tables._replace(**{part: getattr(tables, part)._replace(**changes)})
    fast = played_fast(changed, orders, sales=1_500)
    assert disagreements(fast, played_slowly(case, sales=SLOW_SALES))


def silent_world() -> World:
    """A World in which nobody wants anything."""
    world = small_world()
    return replace(world, units_per_minute=np.zeros_like(world.units_per_minute))


QUIET: list[dict[str, Any]] = [
    {},
    {"servers": replace(CROWDED, lag=0, drain_ticks=0, min_servers=0, start_servers=0)},
    {"servers": replace(CROWDED, lag=3, drain_ticks=4, cost=0.7, max_servers=9)},
    {"servers": replace(CROWDED, lag=2, drain_ticks=1, pays_while_booting=False)},
    {"servers": replace(CROWDED, lag=20, is_event_by_event=True)},
    {"servers": replace(CROWDED, hard_cap=True, pays_while_booting=False)},
    {"waves": ((2, 0.5), (2, 0.25), (11, 0.25)), "carts": StockParams(lots=4, lot_share=0.7, lead_time=0)},
    {"carts": StockParams(lots=1, lot_share=0.1, lead_time=11), "salvage_share": -0.5, "stock_units": 7},
    {"failures": Failures(pool=Outage(3, 6), pool_lost=0.3), "traffic": TrafficParams(push_budget=0)},
]


@pytest.mark.parametrize("changes", QUIET, ids=[", ".join(changes) or "as it is" for changes in QUIET])
def test_where_nobody_comes_both_are_equal(changes: dict[str, Any]) -> None:
    """Servers, billing, lag, drain, costs, waves, lots, leftovers and what is projected, under any orders."""
    fields: dict[str, Any] = {"world": silent_world(), "stock_units": 11}
    tables = replace(everything(has_frailty=False), **(fields | changes)).compile().tables
    generator = np.random.default_rng(0)
    for _ in range(10):
        price_index = generator.integers(0, 6, (TICKS, 2))
        timing = generator.choice([HOLD, RELEASE, PUSH, REORDER, CLOSE], TICKS, p=[0.3, 0.2, 0.2, 0.25, 0.05])
        change, cap = generator.integers(-4, 5, TICKS), generator.choice([0.5, 1.0, OPEN], TICKS)
        orders = [
            Decision((int(first), int(second)), int(timing[tick]), int(change[tick]), float(cap[tick]))
            for tick, (first, second) in enumerate(price_index)
        ]
        fast, slow = played_fast(tables, orders, sales=1), play(tables, orders, seed=0)
        for name in Ledger._fields:
            np.testing.assert_allclose(fast[name][0], slow[name], rtol=1e-12, atol=1e-7, err_msg=name)


@pytest.mark.parametrize("scenario", [everything(has_frailty=True), talk_of_the_town(), fading_news()], ids=range(3))
def test_health_and_waits_follow_from_the_people_of_the_tick(scenario: Scenario) -> None:
    """Exactly, without caps and queue limit: the chance to wait shows what the tick expected."""
    servers = replace(scenario.servers, queue_limit=0)
    tables = replace(scenario, servers=servers).compile().tables
    fast = played_fast(tables, schedule(has_caps=False), sales=100)
    for sale in range(100):
        facts, before = {name: path[sale] for name, path in fast.items()}, 0
        for tick in range(TICKS - 1):  # at the close those who wait leave
            names = ("exogenous_visitors", "attracted_visitors", "returning_visitors", "retries")
            came = sum(facts[name][tick] for name in names)
            queue = 0.5 * (before + facts["backlog"][tick])
            pool, health = int(facts["servers"][tick]), facts["health"][tick]
            capacity = servers.service_rate * pool * health
            expected = expected_of(servers, pool, capacity, facts["wait_chance"][tick])
            waits = waits_of_tick(servers, pool, capacity, expected=expected, queue=queue, visits=before + int(came))
            seen = [facts[name][tick] for name in ("wait_chance", "wait_floor_s", "wait_tail_s")]
            np.testing.assert_allclose(seen, waits, rtol=1e-5, atol=1e-6)
            longest = servers.timeout_s - servers.unloaded_latency_s
            endured = facts["latency_mean_s"][tick] - servers.unloaded_latency_s
            np.testing.assert_allclose(endured, waits.endured(longest), rtol=1e-5, atol=1e-5)
            load = (before + came) / max(capacity, 1e-9)
            np.testing.assert_allclose(facts["load"][tick], load, rtol=1e-12)
            np.testing.assert_allclose(facts["health"][tick + 1], health_after(servers, health, load), rtol=1e-12)
            before = int(facts["backlog"][tick])
