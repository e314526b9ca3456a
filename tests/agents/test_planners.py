"""The planner improves on its rule, nears the optimum as its budget grows, and imagines no sale that is played."""

import numpy as np
import pytest

from agents.baselines import Operations, RulePolicy, run_out_price
from agents.callbacks import lead_over
from agents.head_start import InOwnActions
from agents.imagined_sales import IMAGINED_SEED, imagine
from agents.planners import LEAST_SCENARIOS, MARGIN, Planner, check_budget
from flashsim.envs.reward import RewardConfig
from flashsim.envs.spaces import ActionCodec, ActionConfig
from flashsim.envs.vector import SaleBatch, consecutive_seeds
from flashsim.errors import InputError
from flashsim.evaluation.exact import exact_value
from flashsim.evaluation.rollout import Rollout, play
from flashsim.plan import Plan
from flashsim.reference import evaluate_exactly, hold, menu_sale, solve
from flashsim.scenarios import Failures, Outage
from flashsim.sim.streams import EVALUATION_DOMAIN, TRAINING_DOMAIN
from flashsim.sim.traffic import TrafficParams
from tests.worlds import make_scenario, make_world

SCHEDULED = Operations(scaler="scheduled")
LEAST = 7 * 8 * LEAST_SCENARIOS
"""Ticks of the small sale; the rule's action, and one other head at a time: 2 prices, 3 calls, 1 utilization."""


def test_more_budget_brings_the_planner_nearer_to_the_optimum() -> None:
    """Of a sale where the best held price earns 94.4 %."""
    sale = menu_sale(rates=np.tile([1.0, 1.6, 2.4], (8, 1)), prices=[10.0, 8.0, 6.0], stock=10)
    optimum, rule = solve(sale).value, run_out_price(sale.plan(), SCHEDULED)
    held = max(evaluate_exactly(sale, hold(sale, k)) for k in range(3))
    small, large = (exact_value(sale, Planner(sale.plan(), rule, budget)) for budget in (200, 10_000))
    assert held < small < large <= optimum
    assert exact_value(sale, rule) < large
    assert large > 0.999 * optimum


def small_scenario() -> Plan:
    return make_scenario(make_world(products=2), ticks=8, waves=((0, 0.5), (4, 0.5))).plan()


def play_small(operations: Operations, *, budget: int, sales: int) -> tuple[Rollout, Rollout]:
    """The rule and its planner on the same sales."""
    plan = small_scenario()
    rule = run_out_price(plan, operations)
    return tuple(play(plan, policy, sales=sales, seed=0) for policy in (rule, Planner(plan, rule, budget)))  # type: ignore[return-value]


def test_a_planner_earns_no_less_than_its_rule() -> None:
    lead, error = lead_over(*play_small(Operations(0.6, pushes=True), budget=2 * LEAST, sales=96), kpi="profit")
    assert error > 0.0
    assert lead > -2.0 * error


def test_a_planner_mends_a_bad_rule() -> None:
    """One that keeps far too many servers and sends no push."""
    rule, planner = play_small(Operations(0.2), budget=2 * LEAST, sales=96)
    gain = planner.totals["profit"] - rule.totals["profit"]
    assert gain.mean() > 3.0 * gain.std(ddof=1) / np.sqrt(gain.size)


def first_actions(planner: Planner, *, sales: int) -> tuple[np.ndarray, np.ndarray]:
    """What the planner and its rule do in the middle of some sales."""
    plan, config = planner.plan, ActionConfig(**planner.action)
    batch = SaleBatch(plan, sales, action=config, reward=RewardConfig(), domain=EVALUATION_DOMAIN)
    batch.seed(consecutive_seeds(0, sales))
    batch.observe()
    rule = InOwnActions(plan, planner.rule, config)
    for _ in range(3):
        batch.step(rule.act(batch.seen()))
    seen = batch.seen()
    return planner.act(seen), rule.act(seen)


def test_heads_leave_the_rule_one_by_one() -> None:
    planner = Planner(small_scenario(), run_out_price(small_scenario(), Operations(0.2)), 4 * LEAST)
    chosen, usual = first_actions(planner, sales=64)
    differs = chosen != usual
    assert differs[:, :2].any(axis=0).all()  # prices and calls
    assert (differs.sum(axis=1) == 1).any()
    assert len(np.unique(differs, axis=0)) > 2


def test_a_margin_that_nothing_passes_leaves_the_rule(monkeypatch: pytest.MonkeyPatch) -> None:
    """The neutral plan is among the candidates."""
    monkeypatch.setattr("agents.planners.MARGIN", 1e9 * MARGIN)
    planner = Planner(small_scenario(), run_out_price(small_scenario(), Operations(0.2, pushes=True)), LEAST)
    np.testing.assert_array_equal(*first_actions(planner, sales=16))


def small_planner(plan: Plan, *, budget: int = LEAST) -> Planner:
    return Planner(plan, rule_of(plan), budget)


def rule_of(plan: Plan) -> RulePolicy:
    return run_out_price(plan, Operations(pushes=True))


def test_a_decision_depends_on_what_is_seen_alone() -> None:
    plan = small_scenario()
    planner = small_planner(plan)
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


def test_imagined_sales_bring_as_many_visitors_as_real_ones() -> None:
    """Whatever the member's conversion: what visitors and requests tell together is what is imagined."""
    world = make_world(products=2, members=5, conversion_at_list=np.array([0.04, 0.07, 0.12, 0.2, 0.1]))
    plan = make_scenario(world, ticks=24).plan()
    plan = plan.with_members(plan.training_members)
    sales, scenarios, half = 96, 8, 12
    real, dream = (
        SaleBatch(plan, count, action=ActionConfig(), reward=RewardConfig(), domain=TRAINING_DOMAIN)
        for count in (sales, sales * scenarios)
    )
    came: dict[int, list[np.ndarray]] = {real.sales: [], dream.sales: []}

    def count(batch: SaleBatch, _reward: np.ndarray, _closed: np.ndarray) -> None:
        came[batch.sales].append(batch.batch.rows(batch.batch.ledger.exogenous_visitors).copy())

    real.seed(consecutive_seeds(0, sales))
    real.observe()
    idle = np.zeros((1, real.codec.sizes.size), np.int64)
    for _ in range(half):
        real.step(np.repeat(idle, sales, axis=0))
    dream.seed(np.tile(consecutive_seeds(IMAGINED_SEED, scenarios), sales))
    imagine(dream, np.repeat(real.seen(), scenarios, axis=0), half)
    dream.observe()
    for batch in (real, dream):
        batch.listeners.append(count)
        for _ in range(half):
            batch.step(np.repeat(idle, batch.sales, axis=0))
    told, met = (np.sum(came[batch.sales], axis=0) for batch in (dream, real))
    told = told.reshape(sales, scenarios).mean(axis=1)
    assert np.corrcoef(told, met)[0, 1] > 0.95
    assert abs(told.mean() / met.mean() - 1.0) < 0.1


def test_a_planner_plays_whole_sales() -> None:
    plan = small_scenario()
    assert np.isfinite(play(plan, small_planner(plan), sales=4, seed=0).totals["profit"]).all()


def test_a_planner_plays_on_when_its_screen_freezes_between_two_decisions() -> None:
    failures = Failures(feed=Outage(3, 4))
    plan = make_scenario(make_world(products=2), ticks=24, waves=((0, 1.0),), failures=failures).plan()
    planner = small_planner(plan, budget=3 * LEAST)
    assert ActionConfig(**planner.action).every == 2
    assert (play(plan, planner, sales=3, seed=0).totals["ticks"] == 24).all()


def test_candidates_meet_the_same_imagined_sales_whatever_their_screens_do() -> None:
    """The same first action earns the same again, though another was tried in between."""
    failures = Failures(pool=Outage(None, 4), payment=Outage(None, 4), traffic=Outage(None, 2), feed=Outage(None, 6))
    plan = make_scenario(make_world(products=2), ticks=24, waves=((0, 1.0),), failures=failures).plan()
    planner = small_planner(plan, budget=3 * LEAST)
    batch = SaleBatch(plan, 40, action=ActionConfig(**planner.action), reward=RewardConfig(), domain=0)
    batch.seed(consecutive_seeds(0, 40))
    batch.observe()
    hold = np.zeros((40, batch.codec.sizes.size), np.int64)
    for _ in range(4):
        batch.step(hold)
    earned = planner._rollouts(batch.seen(), 8, 6)
    first = earned(hold)
    other = earned(batch.codec.sizes - 1 + hold)
    assert (other != first).any()
    np.testing.assert_array_equal(earned(hold), first)


def test_early_waves_count_where_there_is_nothing_else_to_call_for() -> None:
    """No push, no lots: whatever the rule, each candidate that its planner has gets its scenarios."""
    plan = make_scenario(
        make_world(products=2), ticks=8, waves=((0, 0.5), (4, 0.5)), traffic=TrafficParams(push_budget=0)
    ).plan()
    rule = run_out_price(plan, Operations(early_waves=True))
    budget = next(budget for budget in range(8, 10_000, 8) if is_enough(plan, budget))
    codec = ActionCodec(plan, ActionConfig(**Planner(plan, rule, budget).action))
    assert budget == LEAST_SCENARIOS * (1 + int((codec.sizes - 1).sum())) * plan.ticks


def is_enough(plan: Plan, budget: int) -> bool:
    try:
        check_budget(plan, budget)
    except InputError:
        return False
    return True


@pytest.mark.parametrize("budget", [0, LEAST - 1])
def test_a_budget_that_compares_nothing_is_refused(budget: int) -> None:
    plan = small_scenario()
    with pytest.raises(InputError, match="planner budget") as refusal:
        small_planner(plan, budget=budget)
    assert str(budget) in str(refusal.value)
    if budget:
        assert str(LEAST) in str(refusal.value)
    check_budget(plan, LEAST)
