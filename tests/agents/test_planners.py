"""The planner nears the optimum as its budget grows, and imagines no sale that is played."""

import numpy as np
import pytest

from agents.planners import IMAGINED_SEED, Planner, imagine
from flashsim.envs.reward import RewardConfig
from flashsim.envs.spaces import ActionConfig
from flashsim.envs.vector import SaleBatch, consecutive_seeds
from flashsim.errors import InputError
from flashsim.evaluation.exact import exact_value
from flashsim.evaluation.rollout import play
from flashsim.plan import Plan
from flashsim.reference import evaluate_exactly, hold, j1, menu_sale, solve
from flashsim.scenarios import Failures, Outage
from flashsim.sim.streams import EVALUATION_DOMAIN, TRAINING_DOMAIN
from tests.worlds import make_scenario, make_world


def test_more_budget_brings_the_planner_nearer_to_the_optimum() -> None:
    """Of a sale where the best held price earns 94.4 %."""
    sale = menu_sale(rates=np.tile([1.0, 1.6, 2.4], (8, 1)), prices=[10.0, 8.0, 6.0], stock=10)
    optimum = solve(sale).value
    held = max(evaluate_exactly(sale, hold(sale, k)) for k in range(3))
    small, large = (exact_value(sale, Planner(sale.plan(), budget)) for budget in (50, 10_000))
    assert held < small < large <= optimum
    assert large > 0.985 * optimum


def small_scenario() -> Plan:
    return make_scenario(make_world(products=2), ticks=8, waves=((0, 0.5), (4, 0.5))).plan()


def test_a_decision_depends_on_what_is_seen_alone() -> None:
    plan = small_scenario()
    planner = Planner(plan, 64)
    batch = SaleBatch(plan, 5, action=ActionConfig(**planner.action), reward=RewardConfig(), domain=EVALUATION_DOMAIN)
    batch.seed(consecutive_seeds(0, 5))
    seen = batch.observe()
    for _ in range(3):
        batch.step(planner.act(seen))
        seen = batch.seen()
    whole = planner.act(seen)
    np.testing.assert_array_equal(planner.act(seen[::-1])[::-1], whole)
    np.testing.assert_array_equal(np.concatenate([planner.act(row[None]) for row in seen]), whole)


def test_what_is_imagined_looks_as_what_is_seen_but_is_another_sale() -> None:
    """Of what the operator sees, all that concerns stock, servers, budgets and learned levels is set as seen."""
    plan = small_scenario()
    action = ActionConfig()
    real = SaleBatch(plan, 6, action=action, reward=RewardConfig(), domain=EVALUATION_DOMAIN)
    real.seed(consecutive_seeds(0, 6))
    real.observe()
    for _ in range(5):
        real.step(np.tile(real.codec.sizes // 2, (6, 1)))
    seen = real.seen()
    dream = SaleBatch(
        plan.with_members(plan.training_members), 6, action=action, reward=RewardConfig(), domain=TRAINING_DOMAIN
    )
    dream.seed(consecutive_seeds(IMAGINED_SEED, 6))
    imagine(dream, seen, 5)
    columns = dream.codec.dashboard.columns
    names = [
        "time_left",
        "servers_ordered",
        "servers_in_0",
        "pushes_left",
        "goodwill",
        "waves_left",
        "level",
        "backlog",
    ]
    names += [f"product_{p}_{what}" for p in range(2) for what in ("stock", "available", "level", "menu", "run_out")]
    shown = dream.observe()
    for name in names:
        np.testing.assert_allclose(shown[:, columns[name]], seen[:, columns[name]], atol=0.02, err_msg=name)
    rows = dream.batch.rows
    assert not set(rows(dream.batch.state.key).tolist()) & set(real.batch.rows(real.batch.state.key).tolist())
    assert set(rows(dream.batch.state.member).tolist()) <= set(plan.training_members)
    assert not np.isclose(rows(dream.batch.state.frailty), real.batch.rows(real.batch.state.frailty)).any()


def test_a_planner_plays_whole_sales() -> None:
    plan = small_scenario()
    assert np.isfinite(play(plan, Planner(plan, 64), sales=4, seed=0).totals["profit"]).all()
    sale = j1(2)
    assert exact_value(sale, Planner(sale.plan(), 1)) <= solve(sale).value


def test_a_planner_plays_on_when_its_screen_freezes_between_two_decisions() -> None:
    failures = Failures(feed=Outage(3, 4))
    plan = make_scenario(make_world(products=2), ticks=24, waves=((0, 1.0),), failures=failures).plan()
    planner = Planner(plan, 200)
    assert ActionConfig(**planner.action).every == 2
    assert (play(plan, planner, sales=3, seed=0).totals["ticks"] == 24).all()


def test_a_budget_of_nothing_is_refused() -> None:
    with pytest.raises(InputError, match="planner budget must be"):
        Planner(small_scenario(), 0)
