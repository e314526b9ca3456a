"""Laws that every sale obeys in every tick, whatever its World, scenario and orders."""

from copy import deepcopy
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from flashsim.envs.actions import ActionConfig
from flashsim.envs.reward import RewardConfig
from flashsim.envs.vector import SaleBatch
from flashsim.scenarios import Scenario
from flashsim.sim.choice import ChoiceParams
from flashsim.sim.engine import Batch
from flashsim.sim.failures import POOL_FAILS
from flashsim.sim.ledger import Ledger
from flashsim.sim.servers import ServerParams
from flashsim.sim.traffic import TrafficParams
from flashsim.sim.waiting_room import OPEN
from tests.random_sales import (
    OUTAGE,
    SALES,
    SEEDS,
    busy_orders,
    choices,
    quiet_orders,
    random_actions,
    run,
    scenarios,
    with_all_parts,
)
from tests.worlds import make_scenario, make_world, without_limits

EVERY_ORDER = ActionConfig(timing=("hold", "release", "push", "reorder", "close"))


def rows(batch: Batch) -> Ledger:
    """The ledger with the sale as first axis."""
    fields: list[NDArray[Any]] = [batch.rows(field).copy() for field in batch.ledger]
    return Ledger(*fields)


def assert_units_are_conserved(batch: Batch, ledger: Ledger, ordered: NDArray[np.int64]) -> None:
    """``ordered`` (sale, product): units ordered from the supplier so far."""
    stock = batch.state.stock
    places = [batch.rows(place) for place in (stock.unreleased, stock.available, stock.in_carts, stock.sold)]
    np.testing.assert_array_equal(batch.tables.wave_units.sum(axis=0), batch.tables.planned)
    np.testing.assert_array_equal(np.sum(places, axis=0), batch.tables.planned + ordered)
    assert min(place.min() for place in places) >= 0
    np.testing.assert_array_equal(ledger.reserved, np.minimum(ledger.requests, ledger.opening))
    np.testing.assert_array_equal(ledger.in_carts, places[2])
    closed = ledger.is_closed
    np.testing.assert_array_equal(ledger.leftover[closed], (places[0] + places[1])[closed])
    assert not ledger.in_carts[closed].any()
    assert not ledger.leftover[~closed].any()


def outside(batch: Batch) -> NDArray[np.int64]:
    """People who left without a purchase and of whom some may come back (sale,)."""
    choice = batch.state.choice
    return np.asarray(batch.rows(choice.departed + choice.watching).sum(axis=1))


def assert_people_are_conserved(before: Ledger | None, ledger: Ledger, *, limit: int) -> None:
    """``before`` is the ledger of the tick before; None: the sale has just opened. Retries come from ``retrying``."""
    waiting, retrying = np.zeros((2, SALES), np.int64)
    if before is not None:
        waiting, retrying = before.room + before.backlog, before.retrying
    came = ledger.exogenous_visitors + ledger.attracted_visitors + ledger.returning_visitors
    gone = ledger.served + ledger.abandoned + ledger.given_up
    stay = ledger.room + ledger.backlog + ledger.retrying
    np.testing.assert_array_equal(waiting + retrying + came, gone + stay)
    newly_retrying = ledger.retrying + ledger.retries - retrying
    np.testing.assert_array_equal(ledger.errors, ledger.given_up + newly_retrying)
    assert (ledger.retries <= retrying).all()
    assert (ledger.dismissed <= ledger.abandoned).all()
    assert not ledger.dismissed[~ledger.is_closed].any()
    assert (ledger.buyers.sum(axis=1) <= ledger.served).all()
    assert ((ledger.requests >= ledger.buyers) & (ledger.requests <= limit * ledger.buyers)).all()
    assert not stay[ledger.is_closed].any()


def assert_money_adds_up(batch: Batch, ledger: Ledger, reward: NDArray[np.float64]) -> None:
    tables = batch.tables
    np.testing.assert_allclose(ledger.revenue + ledger.discount_given, ledger.paid * tables.list_price, rtol=1e-12)
    np.testing.assert_allclose(ledger.goods_cost, (ledger.paid + ledger.leftover) * tables.unit_cost, rtol=1e-12)
    np.testing.assert_allclose(ledger.salvage, ledger.leftover @ tables.salvage_value, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(ledger.server_cost, ledger.servers_billed * tables.servers.cost, rtol=1e-12)
    np.testing.assert_array_equal(ledger.lost_to_capacity, ledger.given_up + ledger.abandoned)
    np.testing.assert_allclose(ledger.penalty, ledger.lost_to_capacity * tables.servers.penalty, rtol=1e-12)
    profit = (ledger.revenue - ledger.goods_cost).sum(axis=1) - ledger.server_cost - ledger.penalty + ledger.salvage
    np.testing.assert_allclose(reward, profit, rtol=1e-12, atol=1e-9)


def assert_possible(batch: Batch, ledger: Ledger) -> None:
    """Finite everywhere, and negative nowhere but where money and what substitution brings can be."""
    for name, field in ledger._asdict().items():
        assert np.isfinite(field).all(), name
        if name not in ("salvage", "missed_requests"):
            assert (field >= -1e-9).all(), name
    servers, failures = batch.tables.servers, batch.tables.failures
    availability = failures.pool_left if failures.ticks[POOL_FAILS] else 1.0
    assert (ledger.servers >= np.floor(availability * servers.min_servers)).all()
    assert (ledger.servers <= servers.max_servers).all()
    assert (ledger.servers_billed >= ledger.servers).all()
    assert ((ledger.health > 0.0) & (ledger.health <= 1.0)).all()
    assert ((ledger.wait_chance >= 0.0) & (ledger.wait_chance <= 1.0)).all()
    np.testing.assert_array_equal(ledger.utilization, np.minimum(1.0, ledger.load))
    assert (ledger.latency_mean_s >= servers.unloaded_latency_s).all()
    assert (ledger.latency_mean_s <= servers.timeout_s * (1.0 + 1e-12)).all()
    assert (ledger.latency_p50_s >= servers.unloaded_latency_s).all()
    assert (ledger.latency_p50_s <= ledger.latency_p95_s).all()
    assert (ledger.latency_p95_s <= ledger.latency_p99_s).all()
    assert (ledger.latency_p99_s <= servers.timeout_s).all()


def assert_is_observation(observation: NDArray[np.float32], sales: int) -> None:
    assert observation.shape[0] == sales
    assert np.isfinite(observation).all()
    assert ((observation >= 0.0) & (observation <= 1.0)).all(), (observation.min(), observation.max())


@given(scenario=scenarios(), seed=SEEDS, domain=st.sampled_from([0, 1]))
@settings(max_examples=60)
def test_units_people_and_money_are_conserved_in_every_tick(scenario: Scenario, seed: int, domain: int) -> None:
    """60 random sales plans, 20 sales each: 1 200 sales."""
    sales = SaleBatch(scenario.compile(), SALES, action=EVERY_ORDER, reward=RewardConfig(), domain=domain)
    sales.seed(np.uint64(seed) + np.arange(SALES, dtype=np.uint64))
    batch, generator = sales.batch, np.random.default_rng(seed)
    paid, ordered = np.zeros((2, SALES, sales.sale.products), np.int64)
    left = outside(batch)
    before: Ledger | None = None
    assert_is_observation(sales.observe(), SALES)
    for _ in range(2 * sales.sale.ticks):
        reward, closed = sales.step(random_actions(sales.codec.sizes, SALES, generator))
        ledger = rows(batch)
        paid += ledger.paid
        ordered += ledger.ordered
        np.testing.assert_array_equal(paid, batch.rows(batch.state.stock.sold))
        assert_units_are_conserved(batch, ledger, ordered)
        assert_people_are_conserved(before, ledger, limit=scenario.choice.limit)
        lost = left - ledger.returning_visitors + ledger.served - ledger.buyers.sum(axis=1) - outside(batch)
        assert (lost >= 0).all(), "some of those who left do not watch, nobody comes from nowhere"
        assert_money_adds_up(batch, ledger, reward)
        assert_possible(batch, ledger)
        assert_is_observation(sales.observe(), SALES)
        paid[closed], ordered[closed] = 0, 0
        before = ledger
        sales.open(closed)
        left = outside(batch)


@given(
    scenario=scenarios(),
    weights=st.tuples(*[st.floats(-5.0, 5.0)] * 5),
    seed=SEEDS,
)
@settings(max_examples=20)
def test_the_reward_is_the_weighted_ledger(scenario: Scenario, weights: tuple[float, ...], seed: int) -> None:
    sales = SaleBatch(scenario.compile(), 5, action=EVERY_ORDER, reward=RewardConfig(*weights), domain=0)
    sales.seed(np.arange(5, dtype=np.uint64))
    reward, _ = sales.step(random_actions(sales.codec.sizes, 5, np.random.default_rng(seed)))
    ledger = rows(sales.batch)
    money = [ledger.revenue.sum(axis=1), ledger.goods_cost.sum(axis=1), ledger.server_cost, ledger.penalty]
    expected = sum(weight * amount for weight, amount in zip(weights, [*money, ledger.salvage], strict=True))
    np.testing.assert_allclose(reward, expected, rtol=1e-9, atol=1e-9)


def started(scenario: Scenario, seed: int, ticks: int) -> Batch:
    """A batch of SALES sales after ``ticks`` ticks of random orders; the next tick's hold all but the prices."""
    batch = Batch(scenario.compile().tables, SALES, domain=0)
    batch.fill(batch.seed, np.arange(seed, seed + SALES, dtype=np.uint64))
    batch.open(np.ones(SALES, np.bool_))
    generator = np.random.default_rng(seed)
    price_index = batch.tables.rate.shape[3]
    for _ in range(ticks):
        batch.fill(batch.decisions.price_index, generator.integers(0, price_index, (SALES, batch.products)))
        batch.fill(batch.decisions.change, generator.integers(-2, 3, SALES))
        batch.fill(batch.decisions.timing, generator.integers(0, 3, SALES))
        batch.fill(batch.decisions.cap, generator.choice(scenario.admission_caps, SALES))
        batch.step()
    batch.decisions.change[:], batch.decisions.timing[:], batch.decisions.cap[:] = 0, 0, OPEN
    return batch


@given(
    seed=st.integers(0, 2**40),
    ticks=st.integers(0, 10),
    more=st.integers(1, 30),
    service_rate=st.floats(1.0, 100.0),
    population=st.sampled_from([0.2, 1.0, 30.0]),
    queue_limit=st.sampled_from([0, 3, 40]),
    collapse_load=st.sampled_from([0.0, 1.5]),
)
@settings(max_examples=300)
def test_more_servers_never_raise_latency(
    seed: int, ticks: int, more: int, service_rate: float, population: float, queue_limit: int, collapse_load: float
) -> None:
    """In one tick, from the same state and arrivals, without caps, for they follow the servers."""
    servers = ServerParams(
        service_rate=service_rate,
        start_servers=3,
        min_servers=0,
        max_servers=40,
        lag=0,
        queue_limit=queue_limit,
        retry_share=0.6,
        collapse_load=collapse_load,
    )
    scenario = make_scenario(make_world(population=population), servers=servers, admission_caps=(OPEN, 1.0))
    few = started(scenario, seed, ticks)
    many = deepcopy(few)
    many.decisions.change[:] = more
    few.step()
    many.step()
    for name in (*ARRIVALS, "retries"):
        np.testing.assert_array_equal(getattr(many.ledger, name), getattr(few.ledger, name), err_msg=name)
    for name in ("latency_mean_s", "latency_p50_s", "latency_p95_s", "latency_p99_s", "utilization", "wait_floor_s"):
        assert (getattr(many.ledger, name) <= getattr(few.ledger, name) * (1.0 + 1e-12)).all(), name
    if not queue_limit:  # else there is more room to wait
        assert (many.ledger.backlog <= few.ledger.backlog).all()
    assert (many.state.servers.health >= few.state.servers.health).all()


@given(
    seed=st.integers(0, 2**40),
    ticks=st.integers(0, 10),
    product=st.integers(0, 2),
    deeper=st.integers(1, 5),
    conversion=st.floats(0.01, 0.95),
    traffic_share=st.floats(0.0, 1.0),
    population=st.sampled_from([0.2, 1.0, 30.0]),
    choice=choices(),
)
@settings(max_examples=300)
def test_a_deeper_discount_never_lowers_the_requests_for_its_product(
    seed: int,
    ticks: int,
    product: int,
    deeper: int,
    conversion: float,
    traffic_share: float,
    population: float,
    choice: ChoiceParams,
) -> None:
    """Without congestion: the people that a discount attracts may keep others from being served in time."""
    world = make_world(
        population=population, conversion_at_list=np.full(3, conversion), traffic_share=np.full(3, traffic_share)
    )
    traffic = TrafficParams(push_budget=1)
    servers = ServerParams(service_rate=1e5, start_servers=1000, max_servers=1000, unloaded_latency_s=0.0)
    listed = started(without_limits(world, traffic=traffic, servers=servers, choice=choice), seed, ticks)
    reduced = deepcopy(listed)
    price_index = np.minimum(listed.decisions.price_index[:, product] + deeper, 5)
    reduced.decisions.price_index[:, product] = price_index
    listed.step()
    reduced.step()
    assert (reduced.ledger.requests[:, product] >= listed.ledger.requests[:, product]).all()
    np.testing.assert_array_equal(reduced.ledger.exogenous_visitors, listed.ledger.exogenous_visitors)
    assert (reduced.ledger.attracted_visitors >= listed.ledger.attracted_visitors).all()


ARRIVALS = ("exogenous_visitors", "attracted_visitors", "returning_visitors")
QUEUE = ("load", "utilization", "wait_chance", "wait_floor_s", "wait_tail_s", "latency_mean_s")
CARTS = ("reserved", "paid", "expired", "in_carts", "leftover", "revenue", "discount_given", "goods_cost", "salvage")
PARTS: dict[str, tuple[str, dict[str, Any], tuple[str, ...]]] = {
    "goodwill": ("traffic", {"goodwill_share": 0.0}, QUEUE),  # the 32-bit rounding of rates makes uplifts differ
    "pushes": ("traffic", {"push_budget": 0}, ()),
    "patience in the room": ("room", {"room_patience": 1e9}, ()),
    "retries": ("servers", {"retry_share": 0.0}, ()),
    "queue limit": ("servers", {"queue_limit": 0}, ()),
    "collapse": ("servers", {"collapse_load": 0.0}, ()),
    "drain": ("servers", {"drain_ticks": 0}, ()),
    "watchers": ("choice", {"watch_share": 0.0}, ()),
    "reference price": ("choice", {"reference_gain": 0.0, "reference_loss": 0.0}, ()),
    "scarcity": ("choice", {"scarcity_cue": 0.0}, ()),
    "several units": ("choice", {}, ("requests", "released", "opening", *CARTS)),
    "lots": ("carts", {"lots": 0}, ()),
    "payment failure": ("carts", {"payment_failure": 0.0}, ("opening", *CARTS)),
    "lost servers": ("failures", {"pool": None}, ("servers", *QUEUE)),
    "payment outage": ("failures", {"payment": None}, ("opening", *CARTS)),
    "frozen feed": ("failures", {"feed": None}, ()),
}
"""Each part: where it is, what switches it off, and what it reaches in a quiet sale with ample servers and stock."""


def switched(scenario: Scenario, section: str, changes: dict[str, Any]) -> Scenario:
    changed: dict[str, Any] = {section: replace(getattr(scenario, section), **changes)}
    return replace(scenario, **changed)


def assert_same(first: dict[str, NDArray[Any]], second: dict[str, NDArray[Any]], *, but: Any = ()) -> None:
    for name in set(first) - set(but):
        np.testing.assert_array_equal(first[name], second[name], err_msg=name)


@pytest.mark.parametrize("part", list(PARTS))
def test_a_part_that_is_switched_off_changes_no_draw_of_another(part: str) -> None:
    """Bit for bit: in a quiet sale all that it cannot reach, in a busy one at least those who come anyway."""
    section, off, reached = PARTS[part]
    pool = ServerParams(
        start_servers=600, max_servers=600, drain_ticks=2, queue_limit=30, retry_share=0.5, collapse_load=1.5
    )
    quiet, one_unit = with_all_parts(servers=pool, stock_cover=5000.0), part == "several units"
    on = run(quiet, quiet_orders())
    assert_same(on, run(switched(quiet, section, off), quiet_orders(), one_unit=one_unit), but=reached)
    busy = run(with_all_parts(), busy_orders())
    without = run(switched(with_all_parts(), section, off), busy_orders(), one_unit=one_unit)
    np.testing.assert_array_equal(busy["exogenous_visitors"], without["exogenous_visitors"])
    if part not in ("goodwill", "pushes"):
        np.testing.assert_array_equal(busy["attracted_visitors"], without["attracted_visitors"])
    if section == "failures":
        assert_same(*({name: path[: OUTAGE.start] for name, path in sale.items()} for sale in (busy, without)))
    moved = [name for name in busy if (busy[name] != without[name]).any()]
    assert bool(moved) == (part != "frozen feed"), "the part does nothing where it could"


def test_sharing_and_a_rush_change_nothing_before_they_can() -> None:
    """Sharing brings nobody in the first tick, and nobody where nobody comes; a rush nobody before it."""
    shared, alone = (
        run(switched(with_all_parts(), "traffic", {"sharing_ratio": ratio}), busy_orders()) for ratio in (0.4, 0.0)
    )
    assert_same(*({name: path[:1] for name, path in sale.items()} for sale in (shared, alone)))
    assert (shared["exogenous_visitors"] != alone["exogenous_visitors"]).any()
    calm = run(switched(with_all_parts(), "failures", {"traffic": None}), busy_orders())
    assert_same(*({name: path[: OUTAGE.start] for name, path in sale.items()} for sale in (shared, calm)))
    rush = shared["exogenous_visitors"][OUTAGE.start].mean() / calm["exogenous_visitors"][OUTAGE.start].mean()
    assert 7.0 < rush < 10.5  # sharing has its share in both


def test_those_who_come_anyway_are_the_same_under_every_policy() -> None:
    """Common random numbers: exogenous visitors depend on the sale alone."""
    sale = make_scenario(servers=ServerParams(start_servers=1, max_servers=12)).compile()
    seen = []
    for policy_seed in (1, 2):
        sales = SaleBatch(sale, SALES, action=ActionConfig(), reward=RewardConfig(), domain=0)
        sales.seed(np.arange(SALES, dtype=np.uint64))
        generator = np.random.default_rng(policy_seed)
        path = []
        for _ in range(sale.ticks):
            sales.step(random_actions(sales.codec.sizes, SALES, generator))
            path.append(sales.batch.rows(sales.batch.ledger.exogenous_visitors).copy())
        seen.append(np.array(path))
    np.testing.assert_array_equal(seen[0], seen[1])
    assert seen[0].any()
