"""Baselines that compute: they equal theory where there is one, know what learners know, and are made by name."""

from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.bandits import BANDITS, bandit_rule, learn_bandit
from flashsim.envs.actions import ActionConfig
from flashsim.envs.reward import RewardConfig
from flashsim.envs.vector import SaleBatch
from flashsim.errors import InputError
from flashsim.evaluation.limits.exact import exact_value
from flashsim.evaluation.rollout import play
from flashsim.planning import (
    BASELINES,
    DEFAULT_FIELD,
    Field,
    Workers,
    best_operations,
    check_field,
    search_fixed,
    search_teams,
    two_teams,
    two_teams_exactly,
    without_capacity,
)
from flashsim.reference import REFERENCE_SALES, fluid_value, j1, menu_sale, solve
from flashsim.rules import (
    FluidProgram,
    Operations,
    fitted_programs,
    fixed,
    fluid_lp,
    fluid_programs,
    list_price,
    optimal,
    priced_by_programs,
    reference_of,
    run_out_price,
)
from flashsim.scenarios.compiled import CompiledSale
from flashsim.sim.servers import ServerParams
from flashsim.sim.streams import TRAINING_DOMAIN
from tests.worlds import make_scenario, make_world, without_frailty

SCHEDULED = Operations(target=1.0, scaler="scheduled")
EXACT = 1e-4  # what is known has four decimals, and rates are rounded to 32 bits


@pytest.mark.parametrize(
    ("name", "optimum"),
    [
        ("g0", 7.0019),
        ("g1", 3400.4231),
        ("g3", 3144.4961),
        ("j1", 184.6421),
        ("j1_lag1", 183.4590),
        ("j1_lag2", 160.4452),
    ],
)
def test_the_fitted_program_earns_the_optimum_of_a_reference_sale(name: str, optimum: float) -> None:
    sale = REFERENCE_SALES[name]()
    assert exact_value(sale, optimal(sale.compile())) == pytest.approx(optimum, abs=EXACT)
    assert solve(reference_of(sale.compile())).value == pytest.approx(solve(sale).value, rel=1e-12)


@pytest.mark.parametrize(("lag", "truth"), [(0, 178.1571), (1, 173.0329), (2, 147.6743)])
def test_two_teams_earn_what_is_known(lag: int, truth: float) -> None:
    assert exact_value(j1(lag), two_teams_exactly(j1(lag).compile())) == pytest.approx(truth, abs=EXACT)


@pytest.mark.parametrize(("name", "value", "index"), [("g1", 3194.2282, 2), ("g3", 2837.0719, 1)])
def test_the_search_finds_the_best_held_price_of_a_reference_sale(name: str, value: float, index: int) -> None:
    sale = REFERENCE_SALES[name]()
    found = search_fixed(sale.compile(), ticks=100_000, seed=0, sales=512, operations=[SCHEDULED])
    assert found.price_index == (index,)
    held = fixed(sale.compile(), found.price_index, operations=SCHEDULED)
    assert exact_value(sale, held) == pytest.approx(value, abs=EXACT)


@pytest.mark.parametrize("name", ["g0", "g1", "g3"])
def test_the_fluid_program_has_the_value_of_the_fluid_bound(name: str) -> None:
    sale = REFERENCE_SALES[name]()
    (program,) = fluid_programs(sale.compile(), visit_cost=0.0)
    assert program.value(float(sale.stock)) == pytest.approx(fluid_value(sale), rel=1e-7)


@given(
    rates=st.integers(1, 5).flatmap(
        lambda ticks: st.lists(st.lists(st.floats(0.01, 6.0), min_size=3, max_size=3), min_size=ticks, max_size=ticks)
    ),
    prices=st.lists(st.floats(0.1, 20.0), min_size=3, max_size=3),
    stock=st.integers(0, 20),
)
@settings(max_examples=40)
def test_the_greedy_solution_is_that_of_a_solver_of_linear_programs(
    rates: list[list[float]], prices: list[float], stock: int
) -> None:
    sale = menu_sale(rates=rates, prices=prices, stock=stock)
    program = FluidProgram(sale.rates, sale.prices)
    assert program.value(float(stock)) == pytest.approx(fluid_value(sale), rel=1e-6, abs=1e-6)
    more = menu_sale(rates=rates, prices=prices, stock=stock + 1)
    at = np.zeros(1, np.int64), np.array([stock + 0.5])
    gain = fluid_value(more) - fluid_value(sale)
    low, high = (program.shadow_price(at[0], at[1] + step)[0] for step in (0.5, -0.5))
    assert low - 1e-5 <= gain <= high + 1e-5 or gain == pytest.approx(program.shadow_price(*at)[0], abs=1e-5)


@pytest.mark.parametrize(("name", "share"), [("g1", 0.995), ("g3", 0.99)])
def test_a_fluid_program_solved_anew_is_near_the_optimum(name: str, share: float) -> None:
    """And beats the best path announced beforehand (98.0 and 98.7 %)."""
    sale = REFERENCE_SALES[name]()
    assert share * solve(sale).value < exact_value(sale, fluid_lp(sale.compile(), SCHEDULED)) <= solve(sale).value


@pytest.mark.parametrize("name", ["LinUCB", "Thompson sampling"])
def test_a_bandit_learns_more_than_a_held_price_earns(name: Any) -> None:
    reference = REFERENCE_SALES["g1"]()
    sale = reference.compile()
    learned = [learn_bandit(sale, name, sales=256, seed=seed, operations=SCHEDULED) for seed in (0, 0, 1)]
    np.testing.assert_array_equal(learned[0].response, learned[1].response)
    assert not np.array_equal(learned[0].response, learned[2].response)
    assert 3194.2282 < exact_value(reference, bandit_rule(sale, learned[0], SCHEDULED)) <= 3400.4232


def one_product() -> CompiledSale:
    return make_scenario(make_world(products=1, population=4.0), stock_cover=2.0).compile()


def test_a_scheduled_scaler_has_its_servers_in_force_when_the_visitors_come() -> None:
    """As many as the forecast needs at its target, from the first tick in which an order can be in force."""
    world = without_frailty(make_world(products=1, population=400.0, members=2))
    servers = ServerParams(start_servers=20, max_servers=400, lag=4, service_rate=200.0)
    changes = tuple(range(-200, 201))
    sale = make_scenario(world, ticks=30, waves=((0, 1.0),), stock_cover=50.0, servers=servers, server_changes=changes)
    made = sale.compile()
    rollout = play(made, fixed(made, (2,), operations=Operations(target=0.5, scaler="scheduled")), sales=200, seed=0)
    needed = made.forecast.visitors[:-1, 2] / (200.0 * 0.5)
    np.testing.assert_allclose(rollout.profile["servers_online"][4:], needed[4:], rtol=0.15, atol=1.0)


def test_without_capacity_nobody_is_lost_and_servers_cost_nothing() -> None:
    sale = without_capacity(one_product())
    totals = play(sale, list_price(sale), sales=20, seed=0).totals
    for name in ("server_cost", "penalty", "abandoned", "errors"):
        assert not totals[name].any()


def test_the_price_team_takes_what_earns_most_where_capacity_is_no_matter() -> None:
    sale = one_product()
    rules: dict[str, Any] = {"list price": list_price, "run-out price": run_out_price}
    found = search_teams(sale, rules, seed=3, sales=64)
    blind = without_capacity(sale).with_members(sale.training_members)
    profit = {
        (name, pushes): play(blind, rule(blind, Operations(pushes=pushes)), sales=64, seed=3, domain=TRAINING_DOMAIN)
        .totals["profit"]
        .mean()
        for name, rule in rules.items()
        for pushes in (False, True)
    }
    assert (found.rule, found.operations.pushes) == max(profit, key=lambda offer: profit[offer])
    assert found.operations.opening_ticks == 0
    policy = two_teams(sale, rules, found)
    assert policy.name == "two teams"
    seen = SaleBatch(sale, 4, action=ActionConfig(), reward=RewardConfig(), domain=TRAINING_DOMAIN)
    seen.seed(np.arange(4, dtype=np.uint64))
    given = rules[found.rule](sale, found.operations)
    np.testing.assert_array_equal(policy.act(seen.observe()), given.act(seen.observe()))


def computed_rules(sale: CompiledSale) -> dict[str, Any]:
    programs = fitted_programs(sale)
    learned = learn_bandit(sale, "LinUCB", sales=16, seed=0, batch=16)
    return {
        "fluid LP": fluid_lp,
        "fitted DP": lambda sale, how: priced_by_programs(sale, programs, how),
        "LinUCB": lambda sale, how: bandit_rule(sale, learned, how),
    }


def test_computed_baselines_read_the_observation_alone() -> None:
    """Any observation gets orders, the same in any batch and at any time."""
    sale = make_scenario().compile()
    width = SaleBatch(sale, 1, action=ActionConfig(), reward=RewardConfig(), domain=0).observation_space.shape[0]
    seen = np.random.default_rng(0).random((60, width), dtype=np.float32)
    for rule in computed_rules(sale).values():
        for scaler in ("tracking", "scheduled"):
            policy = rule(sale, Operations(pushes=True, scaler=scaler))
            whole = policy.act(seen)
            np.testing.assert_array_equal(policy.act(seen[::-1])[::-1], whole)
            np.testing.assert_array_equal(np.concatenate([policy.act(row[None]) for row in seen]), whole)


def mean_depth(sale: CompiledSale, policy: Any) -> float:
    return float(play(sale, policy, sales=30, seed=0).products["depth"].mean())


@pytest.mark.parametrize("rule", ["fluid LP", "fitted DP"])
def test_computed_prices_fall_with_the_stock(rule: str) -> None:
    depths = []
    for cover in (0.3, 2.0, 8.0):
        sale = make_scenario(make_world(products=1, population=4.0), stock_cover=cover, salvage_share=0.0).compile()
        depths.append(mean_depth(sale, computed_rules(sale)[rule](sale, Operations())))
    assert depths == sorted(depths)
    assert depths[0] < 0.02 < depths[1] < depths[2]


@pytest.mark.slow
def test_the_field_makes_every_baseline_under_its_name() -> None:
    scenario = make_scenario(make_world(products=1, population=1.0), ticks=6, waves=((0, 1.0),))
    sale = replace(scenario, depths=(0.0, 0.3)).compile()
    ticks: list[int] = []
    known = BASELINES | BANDITS
    field = Field(sale, ticks=1, seed=0, known=known, progress=ticks.append)
    policies = field.make(tuple(known))
    assert [policy.name for policy in policies] == list(known)
    assert set(field.facts) == set(known)
    assert set(DEFAULT_FIELD) <= set(known)
    assert sum(ticks) > 0


def test_a_search_says_beforehand_how_far_it_goes() -> None:
    """Progress ends where it was planned to end, whatever a search takes, and with any number of threads."""
    sale = replace(make_scenario(make_world(products=1, population=1.0), ticks=6, waves=((0, 1.0),)), depths=(0.0, 0.3))
    names = ("best fixed", "ladder 15/30/45", "human team", "run-out price", "list price")
    found = []
    for threads in (1, 3):
        ticks: list[int] = []
        field = Field(
            sale.compile(),
            ticks=1_000_000,
            seed=0,
            progress=ticks.append,
            workers=partial(Workers, threads, is_patient=threads == 3),
        )
        planned, _ = field.planned_ticks(names), field.run_out_price
        assert 0 < sum(ticks) < planned
        field.make(names)
        assert sum(ticks) == planned
        found.append(field.facts)
    assert found[0] == found[1]


@pytest.mark.slow
def test_what_two_teams_take_is_planned_too() -> None:
    scenario = make_scenario(make_world(products=1, population=1.0), ticks=6, waves=((0, 1.0),))
    ticks: list[int] = []
    field = Field(replace(scenario, depths=(0.0, 0.3)).compile(), ticks=1, seed=0, progress=ticks.append)
    names = ("best fixed", "two teams", "scheduled scaler")
    field.make(names)
    assert sum(ticks) == field.planned_ticks(names)
    best, planned_ahead = (field.facts[name]["operations"] for name in ("best fixed", "scheduled scaler"))
    assert {**planned_ahead, "target": None, "scaler": None} == {**best, "target": None, "scaler": None}


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (("best fixed", "fluid"), "unknown name 'fluid'; did you mean 'fluid LP'"),
        (("fluid LP",), "with 'best fixed' among them"),
        (("best fixed", "best fixed"), "expected different names"),
    ],
)
def test_an_unknown_field_is_refused_in_words(names: tuple[str, ...], words: str) -> None:
    with pytest.raises(InputError, match=words):
        check_field(names, BASELINES)


def test_searches_choose_among_what_they_are_given() -> None:
    sale = one_product()
    given = [Operations(target=0.9), Operations(target=0.3, scaler="scheduled")]
    assert best_operations(sale, list_price, seed=0, sales=16, operations=given) in given
    assert search_fixed(sale, ticks=1, seed=0, sales=16, operations=given[:1]).operations == given[0]
