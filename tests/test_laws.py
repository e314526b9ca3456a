"""Laws that every sale obeys in every tick, whatever its World, scenario and orders."""

from copy import deepcopy
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from flashsim.envs.reward import RewardConfig
from flashsim.envs.spaces import ActionConfig
from flashsim.envs.vector import SaleBatch
from flashsim.scenarios import Scenario
from flashsim.sim.engine import Batch
from flashsim.sim.ledger import Ledger
from flashsim.sim.servers import ServerParams
from flashsim.sim.traffic import TrafficParams
from tests.random_sales import SEEDS, random_actions, scenarios
from tests.worlds import make_scenario, make_world, without_limits

SALES = 20
EVERY_ORDER = ActionConfig(timing=("hold", "release", "push", "close"))


def rows(batch: Batch) -> Ledger:
    """The ledger with the sale as first axis."""
    fields: list[NDArray[Any]] = [batch.rows(field).copy() for field in batch.ledger]
    return Ledger(*fields)


def assert_units_are_conserved(batch: Batch, ledger: Ledger) -> None:
    stock = batch.state.stock
    places = [batch.rows(place) for place in (stock.unreleased, stock.available, stock.in_carts, stock.sold)]
    planned = batch.tables.wave_units.sum(axis=0)
    np.testing.assert_array_equal(np.sum(places, axis=0), np.broadcast_to(planned, places[0].shape))
    assert min(place.min() for place in places) >= 0
    np.testing.assert_array_equal(ledger.reserved, np.minimum(ledger.requests, ledger.opening))
    np.testing.assert_array_equal(ledger.in_carts, places[2])
    closed = ledger.is_closed
    np.testing.assert_array_equal(ledger.leftover[closed], (places[0] + places[1])[closed])
    assert not ledger.in_carts[closed].any()
    assert not ledger.leftover[~closed].any()


def assert_people_are_conserved(ledger: Ledger, backlog_before: NDArray[np.int64]) -> None:
    came = ledger.exogenous_visitors + ledger.attracted_visitors
    gone = ledger.served + ledger.errors + ledger.abandoned
    np.testing.assert_array_equal(backlog_before + came, gone + ledger.backlog)
    assert (ledger.requests.sum(axis=1) <= ledger.served).all()
    assert not ledger.backlog[ledger.is_closed].any()


def assert_money_adds_up(batch: Batch, ledger: Ledger, reward: NDArray[np.float64]) -> None:
    tables = batch.tables
    np.testing.assert_allclose(ledger.revenue + ledger.discount_given, ledger.paid * tables.list_price, rtol=1e-12)
    np.testing.assert_allclose(ledger.goods_cost, (ledger.paid + ledger.leftover) * tables.unit_cost, rtol=1e-12)
    np.testing.assert_allclose(ledger.salvage, ledger.leftover @ tables.salvage_value, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(ledger.server_cost, ledger.servers_billed * tables.servers.cost, rtol=1e-12)
    lost = ledger.errors + ledger.abandoned
    np.testing.assert_allclose(ledger.penalty, lost * tables.servers.penalty, rtol=1e-12)
    profit = (ledger.revenue - ledger.goods_cost).sum(axis=1) - ledger.server_cost - ledger.penalty + ledger.salvage
    np.testing.assert_allclose(reward, profit, rtol=1e-12, atol=1e-9)


def assert_possible(batch: Batch, ledger: Ledger) -> None:
    """Finite everywhere, and negative nowhere but where money can be."""
    for name, field in ledger._asdict().items():
        assert np.isfinite(field).all(), name
        if name != "salvage":
            assert (field >= -1e-9).all(), name
    servers = batch.tables.servers
    assert ((ledger.servers >= servers.min_servers) & (ledger.servers <= servers.max_servers)).all()
    assert (ledger.servers_billed >= ledger.servers).all()
    assert (ledger.utilization <= 1.0).all()
    assert (ledger.latency_p95_s >= ledger.latency_mean_s).all()
    assert (ledger.latency_mean_s >= servers.unloaded_latency_s).all()


def assert_is_observation(observation: NDArray[np.float32], sales: int) -> None:
    assert observation.shape[0] == sales
    assert np.isfinite(observation).all()
    assert ((observation >= 0.0) & (observation <= 1.0)).all(), (observation.min(), observation.max())


@given(scenario=scenarios(), seed=SEEDS, domain=st.sampled_from([0, 1]))
@settings(max_examples=60)
def test_units_people_and_money_are_conserved_in_every_tick(scenario: Scenario, seed: int, domain: int) -> None:
    """60 random sales plans, 20 sales each: 1 200 sales."""
    sales = SaleBatch(scenario.plan(), SALES, action=EVERY_ORDER, reward=RewardConfig(), domain=domain)
    sales.seed(np.uint64(seed) + np.arange(SALES, dtype=np.uint64))
    batch, generator = sales.batch, np.random.default_rng(seed)
    backlog, paid = np.zeros(SALES, np.int64), np.zeros((SALES, sales.plan.products), np.int64)
    assert_is_observation(sales.observe(), SALES)
    for _ in range(2 * sales.plan.ticks):
        reward, closed = sales.step(random_actions(sales.codec.sizes, SALES, generator))
        ledger = rows(batch)
        paid += ledger.paid
        np.testing.assert_array_equal(paid, batch.rows(batch.state.stock.sold))
        assert_units_are_conserved(batch, ledger)
        assert_people_are_conserved(ledger, backlog)
        assert_money_adds_up(batch, ledger, reward)
        assert_possible(batch, ledger)
        assert_is_observation(sales.observe(), SALES)
        backlog = ledger.backlog
        paid[closed] = 0
        sales.open(closed)


@given(
    scenario=scenarios(),
    weights=st.tuples(*[st.floats(-5.0, 5.0)] * 5),
    seed=SEEDS,
)
@settings(max_examples=20)
def test_the_reward_is_the_weighted_ledger(scenario: Scenario, weights: tuple[float, ...], seed: int) -> None:
    sales = SaleBatch(scenario.plan(), 5, action=EVERY_ORDER, reward=RewardConfig(*weights), domain=0)
    sales.seed(np.arange(5, dtype=np.uint64))
    reward, _ = sales.step(random_actions(sales.codec.sizes, 5, np.random.default_rng(seed)))
    ledger = rows(sales.batch)
    money = [ledger.revenue.sum(axis=1), ledger.goods_cost.sum(axis=1), ledger.server_cost, ledger.penalty]
    expected = sum(weight * amount for weight, amount in zip(weights, [*money, ledger.salvage], strict=True))
    np.testing.assert_allclose(reward, expected, rtol=1e-9, atol=1e-9)


def started(scenario: Scenario, seed: int, ticks: int) -> Batch:
    """A batch of SALES sales after ``ticks`` ticks of random orders."""
    batch = Batch(scenario.plan().tables, SALES, domain=0)
    batch.fill(batch.seed, np.arange(seed, seed + SALES, dtype=np.uint64))
    batch.open(np.ones(SALES, np.bool_))
    generator = np.random.default_rng(seed)
    menu = batch.tables.rate.shape[3]
    for _ in range(ticks):
        batch.fill(batch.decisions.menu, generator.integers(0, menu, (SALES, batch.products)))
        batch.fill(batch.decisions.change, generator.integers(-2, 3, SALES))
        batch.fill(batch.decisions.timing, generator.integers(0, 3, SALES))
        batch.step()
    batch.decisions.change[:] = 0
    batch.decisions.timing[:] = 0
    return batch


@given(
    seed=st.integers(0, 2**40),
    ticks=st.integers(0, 10),
    more=st.integers(1, 30),
    service_rate=st.floats(1.0, 100.0),
    population=st.sampled_from([0.2, 1.0, 30.0]),
)
@settings(max_examples=300)
def test_more_servers_never_raise_latency(
    seed: int, ticks: int, more: int, service_rate: float, population: float
) -> None:
    servers = ServerParams(service_rate=service_rate, start_servers=3, min_servers=0, max_servers=40, lag=0)
    few = started(make_scenario(make_world(population=population), servers=servers), seed, ticks)
    many = deepcopy(few)
    many.decisions.change[:] = more
    few.step()
    many.step()
    for ledger in (few.ledger, many.ledger):
        np.testing.assert_array_equal(ledger.exogenous_visitors, few.ledger.exogenous_visitors)
        np.testing.assert_array_equal(ledger.attracted_visitors, few.ledger.attracted_visitors)
    assert (many.ledger.latency_mean_s <= few.ledger.latency_mean_s).all()
    assert (many.ledger.latency_p95_s <= few.ledger.latency_p95_s).all()
    assert (many.ledger.utilization <= few.ledger.utilization).all()
    assert (many.ledger.backlog <= few.ledger.backlog).all()


@given(
    seed=st.integers(0, 2**40),
    ticks=st.integers(0, 10),
    product=st.integers(0, 2),
    deeper=st.integers(1, 5),
    conversion=st.floats(0.01, 0.95),
    traffic_share=st.floats(0.0, 1.0),
    population=st.sampled_from([0.2, 1.0, 30.0]),
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
) -> None:
    """Without congestion: the people that a discount attracts may keep others from being served in time."""
    world = make_world(
        population=population, conversion_at_list=np.full(3, conversion), traffic_share=np.full(3, traffic_share)
    )
    traffic = TrafficParams(push_budget=1)
    servers = ServerParams(service_rate=1e5, start_servers=1000, max_servers=1000, unloaded_latency_s=0.0)
    listed = started(without_limits(world, traffic=traffic, servers=servers), seed, ticks)
    reduced = deepcopy(listed)
    menu = np.minimum(listed.decisions.menu[:, product] + deeper, 5)
    reduced.decisions.menu[:, product] = menu
    listed.step()
    reduced.step()
    assert (reduced.ledger.requests[:, product] >= listed.ledger.requests[:, product]).all()
    np.testing.assert_array_equal(reduced.ledger.exogenous_visitors, listed.ledger.exogenous_visitors)
    assert (reduced.ledger.attracted_visitors >= listed.ledger.attracted_visitors).all()


def test_those_who_come_anyway_are_the_same_under_every_policy() -> None:
    """Common random numbers: exogenous visitors depend on the sale alone."""
    plan = make_scenario(servers=ServerParams(start_servers=1, max_servers=12)).plan()
    seen = []
    for policy_seed in (1, 2):
        sales = SaleBatch(plan, SALES, action=ActionConfig(), reward=RewardConfig(), domain=0)
        sales.seed(np.arange(SALES, dtype=np.uint64))
        generator = np.random.default_rng(policy_seed)
        path = []
        for _ in range(plan.ticks):
            sales.step(random_actions(sales.codec.sizes, SALES, generator))
            path.append(sales.batch.rows(sales.batch.ledger.exogenous_visitors).copy())
        seen.append(np.array(path))
    np.testing.assert_array_equal(seen[0], seen[1])
    assert seen[0].any()
