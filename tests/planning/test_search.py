"""Baselines do what their names say, keep within their budgets, and are searched as thoroughly as promised."""

import os
import sys
import threading
from collections.abc import Callable
from dataclasses import astuple, replace
from functools import partial
from itertools import product
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from flashsim.envs.actions import ActionCodec, ActionConfig
from flashsim.envs.dashboard import Dashboard
from flashsim.envs.reward import RewardConfig
from flashsim.envs.vector import SaleBatch, consecutive_seeds
from flashsim.evaluation.rollout import play
from flashsim.planning import best_fixed, best_operations, search_fixed
from flashsim.planning.search import Trials, Workers
from flashsim.rules import (
    LADDER,
    Operations,
    RulePolicy,
    fixed,
    human_team,
    ladder,
    list_price,
    operations_of,
    run_out_price,
)
from flashsim.rules.rules import TARGETS
from flashsim.scenarios.compiled import CompiledSale
from flashsim.sim.inventory import StockParams
from flashsim.sim.servers import ServerParams
from flashsim.sim.streams import EVALUATION_DOMAIN, TRAINING_DOMAIN
from flashsim.sim.traffic import TrafficParams
from tests.worlds import DEPTH_GRID, make_scenario, make_world, without_frailty

SOME = [Operations(target) for target in (0.5, 0.7, 0.9)]
FREE = ServerParams(service_rate=1e4, start_servers=1, max_servers=2, cost=0.0, penalty=0.0)


def ticks_of(sale: CompiledSale, policy: RulePolicy, *, sales: int = 20) -> dict[str, NDArray[Any]]:
    """What ``policy`` does in each tick: entries of the ledger, lots left and doors as (tick, sale, …)."""
    action = ActionConfig(**policy.action)
    batch = SaleBatch(sale, sales, action=action, reward=RewardConfig(), domain=EVALUATION_DOMAIN)
    batch.seed(consecutive_seeds(0, sales))
    names = ("price_index", "pushes", "utilization", "servers", "projected")
    record: dict[str, list[NDArray[Any]]] = {name: [] for name in (*names, "lots_left", "cap")}
    for _ in range(sale.ticks):
        batch.step(policy.act(batch.observe()))
        for name in names:
            record[name].append(batch.batch.rows(getattr(batch.batch.ledger, name)).copy())
        record["lots_left"].append(batch.batch.rows(batch.batch.state.stock.lots_left).copy())
        record["cap"].append(batch.batch.rows(batch.batch.decisions.cap).copy())
    return {name: np.array(values) for name, values in record.items()}


@pytest.mark.parametrize("price_index", [(0, 0, 0), (5, 0, 3), (2, 2, 2)])
def test_a_fixed_policy_holds_its_depths_in_every_tick(price_index: tuple[int, ...]) -> None:
    sale = make_scenario().compile()
    seen = ticks_of(sale, fixed(sale, price_index, operations=Operations()))["price_index"]
    np.testing.assert_array_equal(seen, np.broadcast_to(price_index, seen.shape))


def test_the_list_price_is_no_discount() -> None:
    sale = make_scenario().compile()
    assert (ticks_of(sale, list_price(sale))["price_index"] == 0).all()


@pytest.mark.parametrize("ticks", [3, 20, 21, 120])
def test_the_ladder_climbs_by_thirds(ticks: int) -> None:
    depths = (0.0, 0.1, 0.15, 0.3, 0.45)
    sale = make_scenario(make_world(products=2), depths=depths, ticks=ticks, waves=((0, 1.0),)).compile()
    seen = np.array(depths)[ticks_of(sale, ladder(sale), sales=2)["price_index"]]
    third = [LADDER[min(2, 3 * tick // ticks)] for tick in range(ticks)]
    np.testing.assert_array_equal(seen, np.broadcast_to(np.array(third)[:, None, None], seen.shape))


def test_the_ladder_takes_the_nearest_depths_of_the_menu() -> None:
    sale = make_scenario(depths=(0.0, 0.2, 0.4)).compile()
    assert np.unique(ticks_of(sale, ladder(sale))["price_index"]).tolist() == [1, 2]


def mean_index(sale: CompiledSale) -> float:
    return float(ticks_of(sale, run_out_price(sale), sales=50)["price_index"].mean())


def test_the_run_out_price_falls_with_the_stock() -> None:
    """Scarce goods keep their price, ample ones get cheap, and in between it lies between."""
    plans = [make_scenario(stock_cover=cover).compile() for cover in (0.2, 1.5, 2.5, 30.0)]
    means = [mean_index(sale) for sale in plans]
    assert means == sorted(means)
    assert means[0] < 0.2
    assert means[-1] == plans[-1].price_levels - 1
    assert 0.5 < means[1] < means[2] < plans[2].price_levels - 1.5


def test_the_run_out_price_sells_what_there_is() -> None:
    """Where the evening is as strong as expected, little is left and little is asked for in vain."""
    world = without_frailty(make_world(products=2, population=20.0, members=2, traffic_share=np.array([0.3, 0.7])))
    sale = make_scenario(world, stock_cover=2.5, ticks=60, waves=((0, 1.0),), servers=FREE).compile()
    sale = sale.with_members(sale.training_members)
    rollout = play(sale, run_out_price(sale), sales=50, seed=0)
    assert (rollout.products["leftover"] / sale.stock).mean() < 0.05
    assert (rollout.products["units_refused"] / sale.stock).mean() < 0.05
    assert (play(sale, list_price(sale), sales=50, seed=0).products["leftover"] / sale.stock).mean() > 0.3


@pytest.mark.parametrize("target", [0.5, 0.7, 0.9])
@pytest.mark.parametrize("lag", [0, 3])
def test_target_tracking_holds_its_target(target: float, lag: int) -> None:
    """In a world as expected, from the moment when its first orders are in force; one server is a few per cent."""
    world = without_frailty(make_world(products=2, population=400.0, members=2))
    servers = ServerParams(start_servers=20, max_servers=400, min_servers=1, lag=lag, service_rate=200.0)
    changes = tuple(range(-200, 201))
    sale = make_scenario(
        world, ticks=40, waves=((0, 1.0),), stock_cover=50.0, servers=servers, server_changes=changes
    ).compile()
    sale = sale.with_members(sale.training_members)
    for depth in (0, 3):
        rule = fixed(sale, (depth, depth), operations=Operations(target=target))
        seen = ticks_of(sale, rule)
        settled = seen["utilization"][lag + 2 :]
        assert settled.mean() == pytest.approx(target, abs=0.06)
        assert (np.abs(settled - target) < 0.15).mean() > 0.95
        assert (seen["projected"] == 0).all()


def test_the_human_team_takes_a_step_of_servers_at_its_marks() -> None:
    """Up above, down below, else none; what it ordered is what the server ledger shows after the lag."""
    sale = make_scenario().compile()
    team = human_team(sale)
    codec, board = ActionCodec(sale, ActionConfig(**team.action)), Dashboard(sale)
    batch = SaleBatch(sale, 50, action=ActionConfig(**team.action), reward=RewardConfig(), domain=TRAINING_DOMAIN)
    batch.seed(consecutive_seeds(0, 50))
    seen, met = batch.observe(), set()
    for _ in range(sale.ticks):
        busy, change = board.share(seen, "utilization"), codec.decode(team.act(seen), seen).change
        up, down = min(c for c in sale.server_changes if c > 0), max(c for c in sale.server_changes if c < 0)
        np.testing.assert_array_equal(change, np.where(busy > 0.7, up, np.where(busy < 0.3, down, 0)))
        met |= set(change.tolist())
        batch.step(team.act(seen))
        seen = batch.seen()
    assert {0, down} <= met or {0, up} <= met
    np.testing.assert_array_equal(ticks_of(sale, team)["price_index"], ticks_of(sale, ladder(sale))["price_index"])


def test_target_tracking_keeps_within_the_limits_on_servers() -> None:
    servers = ServerParams(start_servers=3, min_servers=2, max_servers=5, service_rate=5.0)
    sale = make_scenario(make_world(products=2, population=20.0), servers=servers).compile()
    seen = ticks_of(sale, list_price(sale, Operations(target=0.5)))
    assert seen["servers"].max() <= 5
    assert seen["servers"].min() >= 2
    assert (seen["projected"] == 0).all()


@pytest.mark.parametrize("budget", [0, 1, 2, 5])
def test_pushes_are_sent_in_the_middle_of_equal_parts_and_never_beyond_the_budget(budget: int) -> None:
    sale = make_scenario(traffic=TrafficParams(push_budget=budget)).compile()
    seen = ticks_of(sale, ladder(sale, Operations(pushes=True)))
    when = [int(np.ceil((part + 0.5) / budget * sale.ticks - 1e-6)) for part in range(budget)]
    expected = np.zeros(sale.ticks)
    expected[when] = 1.0
    np.testing.assert_array_equal(seen["pushes"], np.tile(expected[:, None], (1, 20)))
    assert (seen["projected"] == 0).all()


def test_without_pushes_none_is_sent() -> None:
    sale = make_scenario().compile()
    assert (ticks_of(sale, ladder(sale))["pushes"] == 0).all()


def one_product() -> CompiledSale:
    return make_scenario(make_world(products=1, population=4.0), stock_cover=2.0).compile()


def training_profit(sale: CompiledSale, policy: RulePolicy, *, sales: int = 128, seed: int = 11) -> float:
    trained_on = sale.with_members(sale.training_members)
    return float(play(trained_on, policy, sales=sales, seed=seed, domain=TRAINING_DOMAIN).totals["profit"].mean())


def test_the_search_finds_the_best_depth_and_operations_of_one_product() -> None:
    """Against every depth with all operations, on the same sales of the training members; eight need no heat, and all
    are neighbours that differ in their scaler alone."""
    sale = one_product()
    some = [how for how in operations_of(sale) if not how.calls and how.opening_ticks == 0][6:14]
    assert {how.scaler for how in some} == {"tracking", "scheduled"}
    found = search_fixed(sale, ticks=1, seed=11, operations=some)
    profit = {
        (k, how): training_profit(sale, fixed(sale, (k,), operations=how))
        for k, how in product(range(sale.price_levels), some)
    }
    best = max(profit, key=profit.__getitem__)
    assert (found.price_index[0], found.operations) == best
    # Operations at list price meet eight times the sales, and the best of them plays against the others again.
    assert found.ticks == (len(profit) + 7 * len(some) + 1) * 128 * sale.ticks
    assert best_fixed(sale, found).name == "best fixed"
    assert training_profit(sale, best_fixed(sale, found)) == profit[best]


def two_unlike_products() -> CompiledSale:
    """Goods are paid for and worth nothing when left over, servers are free and stock is ample: profit is revenue.

    Discounts do nothing for the second product; the first sells (1 - d)·e^(4 d) times its list revenue, rising in d.
    """
    world = make_world(products=2, population=20.0)
    response = np.stack([np.exp(4.0 * DEPTH_GRID), np.ones_like(DEPTH_GRID)])
    rates = np.broadcast_to(0.5 * response[None, None, :, :, None], world.units_per_minute.shape)
    world = replace(world, units_per_minute=rates.astype(np.float32))
    scenario = make_scenario(
        world, depths=(0.0, 0.25, 0.5), stock_cover=20.0, salvage_share=0.0, servers=FREE, ticks=10, waves=((0, 1.0),)
    )
    return replace(scenario, traffic=TrafficParams(push_budget=0)).compile()


def test_the_search_finds_a_depth_for_each_product() -> None:
    sale = two_unlike_products()
    ticks: list[int] = []
    found = search_fixed(sale, ticks=150_000, seed=3, sales=32, trials=Trials(sale, seed=3, progress=ticks.append))
    assert found.price_index == (2, 0)
    assert found.ticks >= 150_000
    assert sum(ticks) == found.ticks


def test_a_search_with_one_seed_has_one_result() -> None:
    sale = one_product()
    one, other = (search_fixed(sale, ticks=20_000, seed=5, sales=16, operations=SOME) for _ in range(2))
    assert one == other


@pytest.mark.parametrize("rule", [ladder, run_out_price, list_price])
def test_the_operations_found_are_the_best_of_those_that_reach_the_final(
    rule: Callable[[CompiledSale, Operations], RulePolicy],
) -> None:
    """Heats on a 128th, a 32nd and an eighth of the sales leave one in eight, at least eight; all meet the same."""
    sale = one_product()
    remaining = operations_of(sale)
    for sales in (1, 4, 16, 128):
        profit = {how: training_profit(sale, rule(sale, how), sales=sales) for how in remaining}
        remaining = sorted(remaining, key=lambda how: -profit[how])[: max(8, len(remaining) // 8)]
    assert best_operations(sale, rule, seed=11, sales=128) == remaining[0]


CAPS = (float("inf"), 1.0)


def with_doors_and_lots() -> CompiledSale:
    return make_scenario(admission_caps=CAPS, carts=StockParams(lots=2, lot_share=0.2, lead_time=2)).compile()


def test_operations_are_all_that_the_sale_allows() -> None:
    sale = with_doors_and_lots()
    lag = int(sale.tables.servers.lag)
    calls = (False, True)
    every = set(product(TARGETS, calls, {0, lag, lag + 2}, ("tracking", "scheduled"), (0, 1), calls, calls))
    found = [astuple(how) for how in operations_of(sale)]
    assert set(found) == every
    assert len(found) == len(every)
    quiet = make_scenario(traffic=TrafficParams(push_budget=0), waves=((0, 1.0),)).compile()
    assert {(how.calls, how.cap_index) for how in operations_of(quiet)} == {((), 0)}


def test_a_rule_holds_its_doors_and_orders_all_lots_at_the_opening() -> None:
    sale = with_doors_and_lots()
    seen = ticks_of(sale, ladder(sale, Operations(cap_index=1, lots=True, pushes=True)))
    assert (seen["lots_left"][:3] == np.array([1, 0, 0])[:, None]).all()
    assert (seen["cap"] == CAPS[1]).all()
    assert seen["pushes"].sum(axis=0).min() > 0
    assert (seen["projected"] == 0).all()


def test_baselines_are_searched_on_training_members_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: set[int] = set()
    domains: set[int] = set()
    original = SaleBatch.seed

    def seed(self: SaleBatch, seeds: NDArray[np.uint64], episodes: int = 0) -> None:
        original(self, seeds, episodes)
        drawn.update(self.batch.rows(self.batch.state.member).tolist())
        domains.add(int(self.batch.domain))

    monkeypatch.setattr(SaleBatch, "seed", seed)
    sale = one_product()
    search_fixed(sale, ticks=1, seed=0, sales=16, operations=SOME)
    best_operations(sale, ladder, seed=0, sales=64, operations=SOME)
    assert drawn == set(sale.training_members)
    assert domains == {TRAINING_DOMAIN}


def test_a_rule_reads_the_observation_alone() -> None:
    """The same observation gets the same orders, in any batch and at any time."""
    sale = make_scenario().compile()
    rng = np.random.default_rng(0)
    width = SaleBatch(sale, 1, action=ActionConfig(), reward=RewardConfig(), domain=0).observation_space.shape[0]
    seen = rng.random((200, width), dtype=np.float32)
    for rule in (ladder, run_out_price, list_price):
        policy = rule(sale, Operations(pushes=True))
        whole = policy.act(seen)
        np.testing.assert_array_equal(policy.act(seen[::-1])[::-1], whole)
        np.testing.assert_array_equal(np.concatenate([policy.act(row[None]) for row in seen]), whole)


def test_a_rule_waits_at_list_price_while_servers_boot() -> None:
    sale = make_scenario().compile()
    seen = ticks_of(sale, fixed(sale, (2,) * sale.products, operations=Operations(opening_ticks=3)))["price_index"]
    assert not seen[:3].any()
    assert (seen[3:] == 2).all()


def rewards_alone(sale: CompiledSale, rule: RulePolicy, *, sales: int, seed: int) -> float:
    """Mean sum of rewards on the training members, of a batch that ``rule`` has for itself."""
    trained_on, action = sale.with_members(sale.training_members), ActionConfig(**rule.action)
    batch = SaleBatch(trained_on, sales, action=action, reward=RewardConfig(), domain=TRAINING_DOMAIN)
    batch.seed(consecutive_seeds(seed, sales))
    batch.observe()
    total = np.zeros(sales)
    for _ in range(sale.ticks):
        total += batch.step(rule.act(batch.seen()))[0]
    return float(total.mean())


def test_rules_side_by_side_earn_what_each_earns_alone_to_the_last_bit() -> None:
    """Whatever scalers, targets, calls, openings, caps and prices stand beside it, on any number of threads."""
    sale = with_doors_and_lots()
    offers = operations_of(sale)[::7]
    assert {how.scaler for how in offers} == {"tracking", "scheduled"}
    rules = [ladder(sale, how) for how in offers]
    rules += [fixed(sale, (k, 0, 5), operations=how) for k, how in enumerate(offers[:5])]
    rules += [human_team(sale), run_out_price(sale, offers[-1])]
    alone = [rewards_alone(sale, rule, sales=21, seed=11) for rule in rules]
    for threads in (1, 2, 5):
        trials = Trials(sale, seed=11, workers=partial(Workers, threads, is_patient=threads == 5))
        assert trials.profits(rules, sales=21) == alone
        assert trials.ticks == len(rules) * 21 * sale.ticks


def test_a_heat_too_large_for_one_batch_is_played_in_several(monkeypatch: pytest.MonkeyPatch) -> None:
    sale = one_product()
    rules = [fixed(sale, (k,), operations=how) for k in range(3) for how in SOME]
    whole = Trials(sale, seed=3).profits(rules, sales=16)
    monkeypatch.setattr("flashsim.planning.search.MOST_ROWS", 40)
    assert Trials(sale, seed=3).profits(rules, sales=16) == whole


def test_a_longer_trial_plays_the_new_sales_alone_and_earns_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """Equal prices with equal operations are one rule, whoever made them; ticks count as if all had been played."""
    sale, played = one_product(), []
    original = SaleBatch.seed

    def seed(self: SaleBatch, seeds: NDArray[np.uint64], episodes: int = 0) -> None:
        original(self, seeds, episodes)
        played.append(seeds.size)

    monkeypatch.setattr(SaleBatch, "seed", seed)
    trials = Trials(sale, seed=3)
    for sales, expected in ((8, 3 * 8), (20, 3 * 12), (16, 0)):
        played.clear()
        rules = [fixed(sale, (k,), operations=SOME[0]) for k in range(3)]
        earned = trials.profits([*rules, rules[1]], sales=sales)
        assert sum(played) == expected
        assert earned == Trials(sale, seed=3).profits([*rules, rules[1]], sales=sales)
        assert earned[3] == earned[1]
    assert trials.ticks == 4 * (8 + 20 + 16) * sale.ticks
    assert trials.profits([], sales=4) == []


@pytest.mark.parametrize("workers", [Workers(1), Workers(2, is_patient=True)])
def test_a_search_that_was_stopped_keeps_nothing_half_played(workers: Workers) -> None:
    sale = one_product()
    rules = [fixed(sale, (k,), operations=how) for k in range(3) for how in SOME]
    told: list[int] = []

    def progress(ticks: int) -> None:
        told.append(ticks)
        if len(told) == 9:
            raise KeyboardInterrupt

    trials = Trials(sale, seed=3, progress=progress, workers=partial(Workers, *workers))
    with pytest.raises(KeyboardInterrupt):
        trials.profits(rules, sales=16)
    assert trials.profits(rules, sales=16) == Trials(sale, seed=3).profits(rules, sales=16)


@pytest.mark.skipif(sys.platform != "linux", reason="threads have priorities of their own on Linux alone")
def test_only_those_who_play_patiently_yield_their_cores() -> None:
    sale, found, own = one_product(), {}, os.getpriority(os.PRIO_PROCESS, threading.get_native_id())
    for is_patient in (True, False):
        seen: list[int] = []

        def progress(_ticks: int, seen: list[int] = seen) -> None:
            seen.append(os.getpriority(os.PRIO_PROCESS, threading.get_native_id()))

        workers = partial(Workers, 2, is_patient=is_patient)
        Trials(sale, seed=3, progress=progress, workers=workers).profits([list_price(sale)], sales=4)
        found[is_patient] = max(seen)
    assert found == {True: max(10, own), False: own}
