"""What fails on purpose: nobody has forecast it, and nobody can know when it comes."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from flashsim.envs.actions import ActionConfig
from flashsim.envs.reward import RewardConfig
from flashsim.envs.vector import SaleBatch
from flashsim.scenarios import Failures, Outage, flaky_platform
from flashsim.scenarios.compiled import CompiledSale
from flashsim.sim.failures import KINDS, fails_at
from flashsim.world import shipped_world
from tests.random_sales import random_actions
from tests.worlds import make_scenario, make_world

WRONG = Failures(
    pool=Outage(3, 4), pool_lost=0.5, payment=Outage(5, 3), traffic=Outage(8, 2), feed=Outage(0, 2), traffic_factor=10.0
)


def test_nobody_has_forecast_what_fails() -> None:
    plain, wrong = make_scenario().compile(), make_scenario(failures=WRONG).compile()
    for name, field in plain.forecast._asdict().items():
        np.testing.assert_array_equal(field, getattr(wrong.forecast, name), err_msg=name)
    np.testing.assert_array_equal(plain.stock, wrong.stock)
    np.testing.assert_array_equal(plain.tables.rate, wrong.tables.rate)


def test_a_surge_brings_a_multiple_of_the_people() -> None:
    """Ten times as many in its two ticks, within four standard errors, and the same people to the last before it."""
    plain, wrong = (
        played(make_scenario(failures=failures).compile(), sales=2_000)
        for failures in (Failures(), Failures(traffic=WRONG.traffic, traffic_factor=10.0))
    )
    usual, surge = (path["exogenous_visitors"].astype(np.float64) for path in (plain, wrong))
    np.testing.assert_array_equal(usual[:8], surge[:8])
    excess = (surge[8:10] - 10.0 * usual[8:10]).sum(axis=0)
    assert abs(excess.mean()) < 4.0 * excess.std() / np.sqrt(2_000)
    assert surge[8:10].mean() > 5.0 * usual[8:10].mean()


def test_half_the_pool_is_lost_while_it_lasts_and_paid_all_the_same() -> None:
    sales = SaleBatch(
        make_scenario(failures=WRONG).compile(), 2, action=ActionConfig(), reward=RewardConfig(), domain=0
    )
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
        SaleBatch(make_scenario(failures=failures).compile(), 5, action=ActionConfig(), reward=RewardConfig(), domain=0)
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
MOST = 2_000  # sales that are played


def drawn(sale: CompiledSale, *, sales: int) -> dict[str, NDArray[np.bool_]]:
    """Whether each tick is in each kind of failure (tick, sale), in sales from seed 0 on."""
    batch = SaleBatch(sale, sales, action=ActionConfig(), reward=RewardConfig(), domain=0)
    batch.seed(np.arange(sales, dtype=np.uint64))
    failures, starts = sale.tables.failures, batch.batch.rows(batch.batch.state.failures.start)
    ticks = np.arange(sale.ticks)[:, None]
    return {name: fails_at(failures, starts, kind=kind, tick=ticks) for kind, name in enumerate(KINDS)}


def test_a_failure_of_any_time_is_whole_and_comes_at_all_times() -> None:
    """In 4 000 sales each possible start comes as often as any other, within four standard errors."""
    for kind, fails in drawn(sale_of(ANY_TIME), sales=4_000).items():
        lasts = getattr(ANY_TIME, kind).ticks
        first, places = fails.argmax(axis=0), 20 - lasts + 1
        np.testing.assert_array_equal(fails, np.isin(np.arange(20)[:, None] - first, np.arange(lasts)))
        often = np.bincount(first, minlength=places)
        assert often.size == places
        assert np.abs(often / 4_000 * places - 1.0).max() < 4.0 * np.sqrt(places / 4_000)


def test_each_kind_of_failure_has_times_of_its_own_and_so_has_each_sale_of_a_member() -> None:
    any_time = Outage(None, 3)
    sale = sale_of(Failures(pool=any_time, payment=any_time, traffic=any_time, feed=any_time)).with_members((1,))
    first = np.array([fails.argmax(axis=0) for fails in drawn(sale, sales=4_000).values()])
    together = np.corrcoef(np.concatenate([first[:, 1:], first[:, :-1]]))
    assert np.abs(together[~np.eye(8, dtype=bool)]).max() < 4.0 / np.sqrt(4_000)


def test_a_failure_with_a_start_comes_then_in_every_sale() -> None:
    for kind, fails in drawn(sale_of(WRONG), sales=50).items():
        outage = getattr(WRONG, kind)
        np.testing.assert_array_equal(fails.any(axis=1), fails.all(axis=1))
        np.testing.assert_array_equal(np.flatnonzero(fails[:, 0]), outage.start + np.arange(outage.ticks))


def test_a_failure_as_long_as_the_sale_starts_with_it() -> None:
    assert drawn(sale_of(Failures(pool=Outage(None, 20))), sales=50)["pool"].all()


def sale_of(failures: Failures) -> CompiledSale:
    """On three members, none held out."""
    return make_scenario(make_world(population=5.0), failures=failures).compile().with_members((0, 1, 2))


def played(sale: CompiledSale, *, sales: int) -> dict[str, NDArray[np.generic]]:
    """Observations, rewards and the ledger (tick, sale, …) under orders of each sale's own."""
    batch = SaleBatch(sale, sales, action=ActionConfig(), reward=RewardConfig(), domain=0)
    batch.seed(np.arange(sales, dtype=np.uint64))
    record: dict[str, list[NDArray[np.generic]]] = {"seen": [batch.observe().copy()]}
    orders = random_actions(batch.codec.sizes, MOST * sale.ticks, np.random.default_rng(0))
    orders = orders.reshape(sale.ticks, MOST, -1)
    for tick in range(sale.ticks):
        record.setdefault("reward", []).append(batch.step(orders[tick, :sales])[0])
        record["seen"].append(batch.seen().copy())
        for name, field in batch.batch.ledger._asdict().items():
            record.setdefault(name, []).append(batch.batch.rows(field).copy())
    return {name: np.array(path) for name, path in record.items()}


def test_a_sale_fails_when_it_has_drawn_and_as_if_that_had_been_planned() -> None:
    """Bit for bit the sale of a scenario with those starts, in a batch in which the others fail at other times."""
    mixed = played(sale_of(ANY_TIME), sales=130)
    fails = drawn(sale_of(ANY_TIME), sales=130)
    for sale in (0, 1, 64, 129):
        starts = {kind: int(fails[kind][:, sale].argmax()) for kind in KINDS}
        fixed = replace(ANY_TIME, **{kind: replace(getattr(ANY_TIME, kind), start=starts[kind]) for kind in KINDS})
        alike = played(sale_of(fixed), sales=130)
        for name, path in mixed.items():
            np.testing.assert_array_equal(path[:, sale], alike[name][:, sale], err_msg=name)
        assert (mixed["reward"] != alike["reward"]).any()


@pytest.mark.parametrize("sales", [1, 64, 129])
def test_a_batch_of_any_size_fails_alike(sales: int) -> None:
    whole, part = played(sale_of(ANY_TIME), sales=130), played(sale_of(ANY_TIME), sales=sales)
    for name, path in part.items():
        np.testing.assert_array_equal(path, whole[name][:, :sales], err_msg=name)


def test_nothing_tells_of_a_failure_before_it_starts() -> None:
    """What is seen, up to the first tick that fails, is what is seen on a day on which nothing does."""
    bad = played(sale_of(ANY_TIME), sales=130)
    good = played(sale_of(Failures()), sales=130)
    first = np.min([fails.argmax(axis=0) for fails in drawn(sale_of(ANY_TIME), sales=130).values()], axis=0)
    for sale in range(130):
        np.testing.assert_array_equal(bad["seen"][: first[sale] + 1, sale], good["seen"][: first[sale] + 1, sale])
    assert len(set(first)) > 1
    assert (bad["seen"] != good["seen"]).any()


def test_days_of_the_flaky_platform_fail_at_times_of_their_own() -> None:
    """Of two days of one member hardly any are alike: at least one thing fails ten minutes earlier or later."""
    sale = flaky_platform(shipped_world()).compile()
    sale = sale.with_members(sale.heldout_members[:1])
    times = np.array([fails.argmax(axis=0) for fails in drawn(sale, sales=200).values()]).T
    apart = np.abs(times[:, None] - times).max(axis=2)[~np.eye(200, dtype=bool)]
    assert (apart >= 10).mean() > 0.99
