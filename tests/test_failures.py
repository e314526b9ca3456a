"""What fails on purpose: nobody has forecast it, and nobody can know when it comes."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from flashsim.envs.reward import RewardConfig
from flashsim.envs.spaces import ActionConfig
from flashsim.envs.vector import SaleBatch
from flashsim.plan import Plan
from flashsim.scenarios import Failures, Outage, flaky_platform
from flashsim.world import World, shipped_world
from tests.random_sales import random_actions
from tests.worlds import make_scenario, make_world

WRONG = Failures(
    pool=Outage(3, 4), pool_lost=0.5, payment=Outage(5, 3), traffic=Outage(8, 2), feed=Outage(0, 2), traffic_factor=10.0
)


def test_nobody_has_forecast_what_fails() -> None:
    plain, wrong = make_scenario().plan(), make_scenario(failures=WRONG).plan()
    for name, field in plain.forecast._asdict().items():
        np.testing.assert_array_equal(field, getattr(wrong.forecast, name), err_msg=name)
    np.testing.assert_array_equal(plain.stock, wrong.stock)
    ratio = wrong.tables.rate / plain.tables.rate
    np.testing.assert_allclose(ratio[8:10], 10.0, rtol=1e-6)
    np.testing.assert_array_equal(np.delete(ratio, [8, 9], axis=0), 1.0)


def test_half_the_pool_is_lost_while_it_lasts_and_paid_all_the_same() -> None:
    sales = SaleBatch(make_scenario(failures=WRONG).plan(), 2, action=ActionConfig(), reward=RewardConfig(), domain=0)
    sales.seed(np.arange(2, dtype=np.uint64))
    in_force, billed = [], []
    for _ in range(9):
        sales.step(np.tile([0, 0, 0, 0, 2], (2, 1)))
        in_force.append(int(sales.batch.rows(sales.batch.ledger.servers)[0]))
        billed.append(int(sales.batch.rows(sales.batch.ledger.servers_billed)[0]))
    assert in_force == [6, 6, 6, 3, 3, 3, 3, 6, 6]
    assert billed == [6] * 9


@pytest.mark.parametrize(("start", "ticks"), [(0, 3), (4, 5), (17, 9)])
def test_a_frozen_screen_shows_what_it_showed_before_and_then_the_truth_again(start: int, ticks: int) -> None:
    frozen, clear = (
        SaleBatch(make_scenario(failures=failures).plan(), 5, action=ActionConfig(), reward=RewardConfig(), domain=0)
        for failures in (Failures(feed=Outage(start, ticks)), Failures())
    )
    generator = np.random.default_rng(0)
    for sales in (frozen, clear):
        sales.seed(np.arange(5, dtype=np.uint64))
    shown, truth = [frozen.observe()], [clear.observe()]
    for _ in range(20):
        actions = random_actions(clear.codec.sizes, 5, generator)
        assert all((frozen.step(actions)[0] == clear.step(actions)[0]).tolist())
        shown.append(frozen.observe())
        truth.append(clear.observe())
    last = min(start + ticks, 20)
    for tick in range(21):  # observation ``tick`` follows tick - 1
        known = start if start < tick <= last else tick
        np.testing.assert_array_equal(shown[tick], truth[known])
    frozen.seed(np.arange(5, dtype=np.uint64))
    np.testing.assert_array_equal(frozen.observe(), truth[0])


ANY_TIME = Failures(pool=Outage(None, 4), payment=Outage(None, 3), traffic=Outage(None, 2), feed=Outage(None, 5))
KINDS = ("pool", "payment", "traffic", "feed")


def failing(failures: Failures, *, ticks: int = 20, members: int = 40) -> dict[str, NDArray[np.bool_]]:
    """Whether each tick is in each kind of failure (tick, member)."""
    return {
        "pool": failures.servers_up(ticks, members) < 1.0,
        "payment": failures.payments_up(ticks, members) < 1.0,
        "traffic": failures.demand(ticks, members) > 1.0,
        "feed": failures.is_frozen(ticks, members),
    }


def test_a_failure_of_any_time_is_whole_and_comes_at_all_times() -> None:
    """In 4 000 members each possible start comes as often as any other, within four standard errors."""
    for kind, fails in failing(ANY_TIME, members=4_000).items():
        lasts = getattr(ANY_TIME, kind).ticks
        first, places = fails.argmax(axis=0), 20 - lasts + 1
        np.testing.assert_array_equal(fails, np.isin(np.arange(20)[:, None] - first, np.arange(lasts)))
        often = np.bincount(first, minlength=places)
        assert often.size == places
        assert np.abs(often / 4_000 * places - 1.0).max() < 4.0 * np.sqrt(places / 4_000)


def test_each_kind_of_failure_has_times_of_its_own() -> None:
    any_time = Outage(None, 3)
    alike = Failures(pool=any_time, payment=any_time, traffic=any_time, feed=any_time)
    first = np.array([fails.argmax(axis=0) for fails in failing(alike, members=4_000).values()])
    together = np.corrcoef(first)
    assert np.abs(together[~np.eye(4, dtype=bool)]).max() < 4.0 / np.sqrt(4_000)


def test_more_members_move_no_failure() -> None:
    few, many = failing(ANY_TIME, members=3), failing(ANY_TIME, members=40)
    for kind in KINDS:
        np.testing.assert_array_equal(few[kind], many[kind][:, :3])


def test_a_failure_with_a_start_comes_then_in_every_member() -> None:
    for kind, fails in failing(WRONG).items():
        outage = getattr(WRONG, kind)
        np.testing.assert_array_equal(fails.any(axis=1), fails.all(axis=1))
        np.testing.assert_array_equal(np.flatnonzero(fails[:, 0]), outage.start + np.arange(outage.ticks))


def test_a_failure_as_long_as_the_sale_starts_with_it() -> None:
    assert failing(Failures(pool=Outage(None, 20)))["pool"].all()


def plan_of(failures: Failures) -> Plan:
    """On three members, none held out."""
    return make_scenario(make_world(population=5.0), failures=failures).plan().with_members((0, 1, 2))


def played(plan: Plan, *, sales: int) -> tuple[dict[str, NDArray[np.generic]], NDArray[np.int64]]:
    """Observations, rewards and the ledger (tick, sale, …) under orders of each sale's own, and its member."""
    batch = SaleBatch(plan, sales, action=ActionConfig(), reward=RewardConfig(), domain=0)
    batch.seed(np.arange(sales, dtype=np.uint64))
    record: dict[str, list[NDArray[np.generic]]] = {"seen": [batch.observe().copy()]}
    members = batch.batch.rows(batch.batch.state.member).copy()
    orders = random_actions(batch.codec.sizes, 130 * plan.ticks, np.random.default_rng(0)).reshape(plan.ticks, 130, -1)
    for tick in range(plan.ticks):
        record.setdefault("reward", []).append(batch.step(orders[tick, :sales])[0])
        record["seen"].append(batch.seen().copy())
        for name, field in batch.batch.ledger._asdict().items():
            record.setdefault(name, []).append(batch.batch.rows(field).copy())
    return {name: np.array(path) for name, path in record.items()}, members


def test_a_sale_fails_when_its_member_says_and_as_if_that_had_been_planned() -> None:
    """Bit for bit the sale of a scenario with those starts, in a batch in which the others fail at other times."""
    mixed, members = played(plan_of(ANY_TIME), sales=130)
    fails = failing(ANY_TIME, members=3)
    for member in range(3):
        starts = {kind: int(fails[kind][:, member].argmax()) for kind in KINDS}
        fixed = replace(ANY_TIME, **{kind: replace(getattr(ANY_TIME, kind), start=starts[kind]) for kind in KINDS})
        alike, _ = played(plan_of(fixed), sales=130)
        own = members == member
        assert own.any()
        for name, path in mixed.items():
            np.testing.assert_array_equal(path[:, own], alike[name][:, own], err_msg=name)
        assert (mixed["reward"][:, ~own] != alike["reward"][:, ~own]).any()


@pytest.mark.parametrize("sales", [1, 64, 129])
def test_a_batch_of_any_size_fails_alike(sales: int) -> None:
    whole, part = played(plan_of(ANY_TIME), sales=130)[0], played(plan_of(ANY_TIME), sales=sales)[0]
    for name, path in part.items():
        np.testing.assert_array_equal(path, whole[name][:, :sales], err_msg=name)


def test_nothing_tells_of_a_failure_before_it_starts() -> None:
    """What is seen, up to the first tick that fails, is what is seen on a day on which nothing does."""
    bad, members = played(plan_of(ANY_TIME), sales=130)
    good, _ = played(plan_of(Failures()), sales=130)
    first = np.min([fails.argmax(axis=0) for fails in failing(ANY_TIME, members=3).values()], axis=0)[members]
    for sale in range(130):
        np.testing.assert_array_equal(bad["seen"][: first[sale] + 1, sale], good["seen"][: first[sale] + 1, sale])
    assert len(set(first)) > 1
    assert (bad["seen"] != good["seen"]).any()


@pytest.mark.parametrize("world", [shipped_world(), make_world(products=8, members=20)], ids=["shipped", "twenty"])
def test_no_held_out_day_of_the_flaky_platform_has_the_times_of_a_training_day(world: World) -> None:
    """On each pair of days at least one thing fails ten minutes earlier or later."""
    scenario = flaky_platform(world)
    times = np.array([fails.argmax(axis=0) for fails in failing(scenario.failures, ticks=120, members=20).values()]).T
    trained, judged = times[list(world.training_members)], times[list(world.heldout_members)]
    assert len(np.unique(times, axis=0)) == 20
    for day in judged:
        assert (np.abs(trained - day).max(axis=1) >= 10).all()
