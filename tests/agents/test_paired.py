"""A sale and its twin meet the same people; what is left of a reward is what decisions changed."""

import numpy as np
import pytest
from stable_baselines3.common.base_class import BaseAlgorithm

from agents.baselines import Operations, RulePolicy, run_out_price
from agents.learners import make_model
from agents.paired import PairedSales
from agents.settings import DQNConfig, PPOConfig
from flashsim.envs.reward import RewardConfig
from flashsim.envs.sb3 import FlashSaleVecEnv
from flashsim.envs.spaces import ActionConfig
from flashsim.envs.vector import SaleBatch, consecutive_seeds
from flashsim.errors import InputError
from flashsim.plan import Plan
from flashsim.reference import REFERENCE_SALES
from flashsim.sim.streams import TRAINING_DOMAIN
from tests.agents.test_head_start import rule_of_two
from tests.worlds import make_scenario

SALES = 40
STEERED = ActionConfig(around_run_out=2, scaler_targets=(0.5, 0.7, 0.9), every=2, per_product=False)


def a_rule() -> RulePolicy:
    return run_out_price(make_scenario().plan(), Operations(0.7, pushes=True))


def opened(kind: type[SaleBatch], action: ActionConfig) -> SaleBatch:
    """Sales with or without twins, opened on the same seeds."""
    shared = {"action": action, "reward": RewardConfig(), "domain": TRAINING_DOMAIN}
    more = {"usual": a_rule()} if kind is PairedSales else {}
    batch = kind(make_scenario().plan(), SALES, **shared, **more)  # type: ignore[arg-type]
    batch.seed(consecutive_seeds(7, SALES), episodes=3)
    batch.observe()
    return batch


def test_who_runs_a_sale_by_the_rule_earns_just_what_its_twin_earns_in_every_tick() -> None:
    """Through three sales a row: twins open with their sales."""
    rule = a_rule()
    action = ActionConfig(**rule.action)
    paired, plain = opened(PairedSales, action), opened(SaleBatch, action)
    for _ in range(3):
        for _ in range(paired.plan.ticks):
            orders = rule.act(plain.seen())
            reward, closed = paired.step(orders)
            raw, _ = plain.step(orders)
            np.testing.assert_array_equal(reward, 0.0)
            assert raw.any()
        assert closed.all()
        for batch in (paired, plain):
            batch.open(closed)
            batch.observe()


def test_a_paired_reward_is_the_reward_less_that_of_the_same_sale_run_by_the_rule() -> None:
    rule = a_rule()
    paired, plain, ruled = opened(PairedSales, STEERED), opened(SaleBatch, STEERED), opened(SaleBatch, as_of(rule))
    rng = np.random.default_rng(0)
    for _ in range(paired.plan.ticks // STEERED.every):
        actions = rng.integers(paired.codec.sizes, size=(SALES, paired.codec.sizes.size))
        expected = plain.step(actions)[0]
        for _ in range(STEERED.every):
            expected -= ruled.step(rule.act(ruled.seen()))[0]
        np.testing.assert_array_equal(paired.step(actions)[0], expected)
        np.testing.assert_array_equal(paired.seen(), plain.seen())


def as_of(rule: RulePolicy) -> ActionConfig:
    return ActionConfig(**rule.action)


def test_pairing_takes_most_of_the_chance_out_of_a_return() -> None:
    """Of a policy that is nearly the rule: one price step in ten is another."""
    paired, plain = opened(PairedSales, STEERED), opened(SaleBatch, STEERED)
    rng = np.random.default_rng(1)
    returns = np.zeros((2, SALES))
    for _ in range(paired.plan.ticks // STEERED.every):
        actions = np.tile([2, 0, 1], (SALES, 1))
        actions[:, 0] = np.where(rng.random(SALES) < 0.1, rng.integers(5, size=SALES), 2)
        returns += [batch.step(actions)[0] for batch in (paired, plain)]
    assert returns[0].std() < 0.5 * returns[1].std()


def test_a_sale_that_can_be_closed_early_has_no_twin() -> None:
    with pytest.raises(InputError, match="no twin of its length; leave close out"):
        opened(PairedSales, ActionConfig(timing=("hold", "close")))


def test_only_assisted_agents_learn_from_pairs() -> None:
    plan, reference = make_scenario().plan(), REFERENCE_SALES["g1"]().plan()
    for config in (PPOConfig(), DQNConfig()):
        assert isinstance(training_sales(plan, config), PairedSales)
        assert not isinstance(training_sales(reference, config), PairedSales)
    assert not isinstance(training_sales(plan, PPOConfig(paired=False)), PairedSales)
    assert not isinstance(training_sales(plan, PPOConfig(assisted=False)), PairedSales)


def training_sales(plan: Plan, config: PPOConfig | DQNConfig) -> SaleBatch:
    return sales_in(
        make_model(plan, config, seed=0, scale=1.0, rule=rule_of_two() if config.is_assisted(plan) else None)
    )


def sales_in(model: BaseAlgorithm) -> SaleBatch:
    env = model.get_env()
    assert isinstance(env, FlashSaleVecEnv)
    return env.sales
