"""Before the doors open servers can be ordered, and nothing else happens."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from flashsim.envs.actions import ActionConfig
from flashsim.envs.reward import RewardConfig
from flashsim.envs.vector import SaleBatch, consecutive_seeds
from flashsim.errors import InputError
from flashsim.evaluation.limits.exact import exact_value
from flashsim.evaluation.rollout import play
from flashsim.reference import JointSale, solve
from flashsim.reference.named import REFERENCE_SALES
from flashsim.reference.sales import joint_sale
from flashsim.rules import human_team, list_price, optimal, run_out_price
from flashsim.scenarios import SCENARIOS, scenario_named
from flashsim.scenarios.compiled import CompiledSale
from flashsim.sim.streams import TRAINING_DOMAIN
from flashsim.world import World, shipped_world

SALES = 40
PAID = ("server_cost", "servers_billed")


@pytest.fixture(scope="module")
def world() -> World:
    return shipped_world()


def opened(sale: CompiledSale, action: ActionConfig | None = None) -> SaleBatch:
    batch = SaleBatch(
        sale, SALES, action=action or ActionConfig(), reward=RewardConfig(), domain=TRAINING_DOMAIN, threads=1
    )
    batch.seed(consecutive_seeds(3, SALES))
    batch.observe()
    return batch


def ledger_of(batch: SaleBatch) -> dict[str, NDArray[np.float64]]:
    return {name: batch.batch.rows(getattr(batch.batch.ledger, name)).copy() for name in batch.batch.ledger._fields}


def nothing_ordered(batch: SaleBatch) -> NDArray[np.int64]:
    return batch.codec.encode(batch.codec.defaults(SALES))


def columns_of_heads(batch: SaleBatch) -> dict[str, slice]:
    return {head.name: columns for head, columns in batch.codec._columns if columns is not None}


def without(sale: CompiledSale) -> CompiledSale:
    return replace(sale, tables=sale.tables._replace(pre_opening=0))


@pytest.mark.parametrize("name", SCENARIOS)
def test_a_sale_before_which_nothing_is_ordered_is_the_sale_without_that_time(world: World, name: str) -> None:
    sale = scenario_named(name, world).compile()
    assert sale.pre_opening > 0
    with_time, plain = opened(sale), opened(without(sale))
    for _ in range(sale.pre_opening):
        reward, closed = with_time.step(nothing_ordered(with_time))
        facts = ledger_of(with_time)
        assert not closed.any()
        np.testing.assert_allclose(reward, -facts["server_cost"])
        assert facts["exogenous_visitors"].sum() == facts["revenue"].sum() == facts["served"].sum() == 0
    columns = [place for place, name in enumerate(with_time.codec.dashboard.columns) if name != "to_opening"]
    rng = np.random.default_rng(1)
    for _ in range(sale.ticks):
        np.testing.assert_array_equal(with_time.seen()[:, columns], plain.seen())
        actions = (rng.random((SALES, plain.codec.sizes.size)) * plain.codec.sizes).astype(np.int64)
        rewards = with_time.step(actions)[0], plain.step(actions)[0]
        np.testing.assert_array_equal(*rewards)
        one, other = ledger_of(with_time), ledger_of(plain)
        for fact, values in one.items():
            np.testing.assert_array_equal(values, other[fact], err_msg=fact)
    assert ledger_of(with_time)["is_closed"].all()


def test_until_the_doors_open_the_servers_alone_are_decided(world: World) -> None:
    sale = scenario_named("shopping_festival", world).compile()
    quiet, loud = opened(sale), opened(sale)
    rng = np.random.default_rng(2)
    for tick in range(sale.pre_opening + 10):
        actions = nothing_ordered(quiet)
        noisy = (rng.random(actions.shape) * quiet.codec.sizes).astype(np.int64)
        column = columns_of_heads(quiet)["capacity"]
        actions[:, column] = noisy[:, column]
        quiet.step(actions)
        loud.step(noisy if tick < sale.pre_opening else actions)
        one, other = ledger_of(quiet), ledger_of(loud)
        for fact, values in one.items():
            np.testing.assert_array_equal(values, other[fact], err_msg=fact)
    assert len(np.unique(one["servers"])) > 1


def test_masks_and_rails_leave_the_capacity_head_alone_to_choose(world: World) -> None:
    sale = scenario_named("grocery_evening", world).compile()
    batch = opened(sale)
    masks, sizes = batch.masks(), batch.codec.sizes
    starts = np.concatenate([[0], np.cumsum(sizes)])
    for head, columns in columns_of_heads(batch).items():
        for column in range(columns.start, columns.stop):
            free = masks[:, starts[column] : starts[column + 1]].sum(axis=1)
            assert (free > 1).all() if head == "capacity" else (free == 1).all()
    for _ in range(sale.pre_opening):
        batch.step(nothing_ordered(batch))
    assert batch.masks().sum() > masks.sum()


@pytest.mark.parametrize("rule", [human_team, run_out_price, list_price])
def test_rules_stand_ready_when_the_doors_open(world: World, rule: object) -> None:
    """Without people to be seen they do not scale down in an empty shop, but for those who are expected."""
    sale = scenario_named("grocery_evening", world).compile()
    ready, late = (play(one, rule(one), sales=SALES, seed=0) for one in (sale, without(sale)))  # type: ignore[operator]
    start = int(sale.tables.servers.start_servers)
    assert ready.profile["servers_online"][0] > start
    opening = slice(0, int(sale.tables.servers.lag) + 2)
    assert ready.profile["errors"][opening].sum() < 0.7 * late.profile["errors"][opening].sum()
    assert ready.profile["servers_online"].size == sale.ticks


def test_profit_pays_for_servers_before_the_opening_and_means_are_of_the_sale(world: World) -> None:
    sale = scenario_named("grocery_evening", world).compile()
    with_time, plain = (play(one, list_price(one), sales=SALES, seed=0) for one in (sale, without(sale)))
    assert (with_time.totals["ticks"] == sale.ticks).all()
    assert (with_time.totals["server_cost"] > plain.totals["server_cost"]).all()
    assert with_time.totals["utilization"].max() <= 1.0
    np.testing.assert_allclose(with_time.totals["profit"], with_time.totals["reward"], rtol=1e-9)


@pytest.mark.parametrize(
    ("name", "by_opening"),
    [
        ("j1_lag1", [148.2024, 183.4590, 183.7611, 180.3494, 172.9721]),
        ("j1_lag2", [111.5134, 160.4452, 183.1326, 176.3085, 168.3491]),
    ],
)
def test_every_opening_of_an_exact_sale_is_reached_before_it(name: str, by_opening: list[float]) -> None:
    """The published optimum by opening servers, less what it costs to come to them from none, a server a tick."""
    given = REFERENCE_SALES[name]()
    assert isinstance(given, JointSale)
    found = [solve(replace(given, start_servers=servers)).value for servers in range(given.max_servers + 1)]
    np.testing.assert_allclose(found, by_opening, atol=5e-5)
    ticks = given.lag + given.max_servers
    closed = replace(given, start_servers=0, pre_opening=ticks)
    value = solve(closed).value
    rates = np.concatenate([np.zeros((ticks, given.prices.size)), given.rates])
    assert value == pytest.approx(solve(replace(closed, pre_opening=0, rates=rates)).value, rel=1e-12)
    ramps = given.server_cost * np.arange(given.max_servers + 1) * np.arange(-1, given.max_servers) / 2.0
    assert value >= (np.array(by_opening) - ramps).max() - 5e-5
    assert value > by_opening[0] + 30.0


@pytest.mark.parametrize("name", ["j1_lag1", "j1_lag2"])
def test_the_engine_plays_the_optimum_with_time_before_the_opening(name: str) -> None:
    given = REFERENCE_SALES[name]()
    assert isinstance(given, JointSale)
    reference = replace(given, pre_opening=given.lag + given.max_servers)
    sale = reference.compile()
    policy = optimal(sale)
    value = solve(reference).value
    assert exact_value(reference, policy) == pytest.approx(value, rel=1e-9)
    earned = play(sale, policy, sales=4_000, seed=0).totals["profit"]
    error = earned.std(ddof=1) / np.sqrt(earned.size)
    assert abs(earned.mean() - value) < 4.0 * error


@pytest.mark.parametrize("ticks", [1, 14])
def test_too_few_ticks_for_the_quota_are_refused_with_how_many_it_takes(world: World, ticks: int) -> None:
    with pytest.raises(InputError, match=rf"pre_opening: {ticks} ticks before the opening are too few.*takes 15"):
        scenario_named("grocery_evening", world, pre_opening=ticks)
    assert scenario_named("grocery_evening", world, pre_opening=15).compile().pre_opening == 15
    assert scenario_named("grocery_evening", world, pre_opening=0).compile().pre_opening == 0


def test_a_reference_sale_refuses_too_few_ticks_too() -> None:
    with pytest.raises(InputError, match="pre_opening: 1 ticks before the opening are too few"):
        joint_sale(
            rates=[[1.0]],
            prices=[1.0],
            stock=1,
            max_servers=4,
            mu=1.0,
            start_servers=0,
            server_cost=0.0,
            penalty=0.0,
            step=1,
            lag=1,
            pre_opening=1,
        )


def test_time_before_the_opening_follows_the_servers_unless_it_is_told(world: World) -> None:
    usual = scenario_named("grocery_evening", world)
    slow = scenario_named("grocery_evening", world, servers={"lag": 12})
    assert (usual.ticks_before_opening, slow.ticks_before_opening) == (20, 30)


def test_decisions_begin_anew_with_the_opening(world: World) -> None:
    sale = scenario_named("grocery_evening", world, pre_opening=16).compile()
    with pytest.raises(InputError, match="every: 5 ticks do not divide the 16 ticks before the opening"):
        opened(sale, ActionConfig(every=5))
    assert opened(sale, ActionConfig(every=4)).sale.all_ticks == 136
