"""A sale and its twin meet the same people; what is left of a reward is what decisions changed."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from stable_baselines3.common.base_class import BaseAlgorithm

from agents.dqn.settings import DQNConfig
from agents.ppo.settings import PPOConfig
from agents.start.paired_rewards import PairedSales, rule_limits
from agents.training import make_model
from flashsim.envs.actions import ActionConfig
from flashsim.envs.reward import RewardConfig
from flashsim.envs.sb3 import FlashSaleVecEnv
from flashsim.envs.vector import SaleBatch, consecutive_seeds
from flashsim.errors import InputError
from flashsim.reference import REFERENCE_SALES
from flashsim.rules import Operations, RulePolicy, list_price, run_out_price
from flashsim.scenarios.compiled import CompiledSale
from flashsim.sim.streams import TRAINING_DOMAIN
from tests.agents.start.test_imitation import rule_of_two
from tests.worlds import make_scenario

SALES = 40
STEERED = ActionConfig(around_run_out=2, scaler_targets=(0.5, 0.7, 0.9), every=2, per_product=False)


def a_rule() -> RulePolicy:
    return run_out_price(make_scenario().compile(), Operations(0.7, pushes=True))


def opened(kind: type[SaleBatch], action: ActionConfig, limits: NDArray[np.float64] | None = None) -> SaleBatch:
    """Sales with or without twins, opened on the same seeds."""
    shared = {"action": action, "reward": RewardConfig(), "domain": TRAINING_DOMAIN}
    more = {"rule": a_rule(), "limits": limits} if kind is PairedSales else {}
    batch = kind(make_scenario().compile(), SALES, **shared, **more)  # type: ignore[arg-type]
    batch.seed(consecutive_seeds(7, SALES), episodes=3)
    batch.observe()
    return batch


@pytest.mark.parametrize("rates", ["conversion", "revenue_conversion_gain"])
def test_a_rate_is_worth_the_same_to_a_sale_and_its_twin_however_often_they_are_decided_on(rates: str) -> None:
    """One offer all along: the rule decides in every tick, the learner in every second."""
    sale, reward = make_scenario().compile(), RewardConfig(**{rates: 1.0})
    held = list_price(sale, Operations(0.7))
    own = replace(as_of(held), every=2)
    shared: dict[str, Any] = {"reward": reward, "domain": TRAINING_DOMAIN}
    paired = PairedSales(sale, SALES, rule=held, action=own, **shared)
    paired.seed(consecutive_seeds(7, SALES))
    paired.observe()
    for _ in range(sale.ticks // 2):
        np.testing.assert_allclose(paired.step(held.act(paired.seen()))[0], 0.0, atol=1e-9)


def test_who_runs_a_sale_by_the_rule_earns_just_what_its_twin_earns_in_every_tick() -> None:
    """Through three sales a row: twins open with their sales."""
    rule = a_rule()
    action = ActionConfig(**rule.action)
    paired, plain = opened(PairedSales, action), opened(SaleBatch, action)
    for _ in range(3):
        for _ in range(paired.sale.ticks):
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
    for _ in range(paired.sale.ticks // STEERED.every):
        actions = rng.integers(paired.codec.sizes, size=(SALES, paired.codec.sizes.size))
        expected = plain.step(actions)[0]
        for _ in range(STEERED.every):
            expected -= ruled.step(rule.act(ruled.seen()))[0]
        np.testing.assert_array_equal(paired.step(actions)[0], expected)
        np.testing.assert_array_equal(paired.seen(), plain.seen())


def baselines(actions_seed: int, limits: NDArray[np.float64] | None) -> NDArray[np.float64]:
    """What is taken off the rewards of random play, (decision, sale)."""
    paired, plain = opened(PairedSales, STEERED, limits), opened(SaleBatch, STEERED)
    rng = np.random.default_rng(actions_seed)
    taken = []
    for _ in range(paired.sale.ticks // STEERED.every):
        actions = rng.integers(paired.codec.sizes, size=(SALES, paired.codec.sizes.size))
        taken.append(plain.step(actions)[0] - paired.step(actions)[0])
    return np.array(taken)


def test_what_is_taken_off_is_cut_and_does_not_depend_on_what_the_learner_does() -> None:
    """So that the gradient keeps its mean; a twin beyond the limits, here narrow ones, moves no reward further."""
    sale, rule = make_scenario().compile(), a_rule()
    limits = 0.5 * rule_limits(sale, rule, reward=RewardConfig(), seed=11)
    assert limits.shape == (2, sale.ticks)
    cut = baselines(0, limits)
    np.testing.assert_allclose(cut, baselines(1, limits), rtol=0.0, atol=1e-9)
    low, high = limits.reshape(2, -1, STEERED.every).sum(axis=2)
    assert (low[:, None] - 1e-9 <= cut).all()
    assert (cut <= high[:, None] + 1e-9).all()
    whole = baselines(0, None)
    assert (whole > high[:, None]).any()
    assert (whole < low[:, None]).any()
    assert 0.1 < (np.abs(cut - whole) < 1e-9).mean() < 0.9


def test_one_sale_in_a_hundred_earns_less_in_a_tick_than_the_lower_limit_and_one_more_than_the_upper() -> None:
    """Sales of other seeds than those that set the limits."""
    sale, rule = make_scenario().compile(), a_rule()
    low, high = rule_limits(sale, rule, reward=RewardConfig(), seed=11)
    batch = SaleBatch(sale, 2_000, action=as_of(rule), reward=RewardConfig(), domain=TRAINING_DOMAIN)
    batch.seed(consecutive_seeds(10_000, 2_000))
    batch.observe()
    earned = np.array([batch.step(rule.act(batch.seen()))[0] for _ in range(sale.ticks)])
    assert (earned < low[:, None]).mean() == pytest.approx(0.01, abs=0.003)
    assert (earned > high[:, None]).mean() == pytest.approx(0.01, abs=0.003)


def as_of(rule: RulePolicy) -> ActionConfig:
    return ActionConfig(**rule.action)


def test_pairing_takes_most_of_the_chance_out_of_a_return() -> None:
    """Of a policy that is nearly the rule: one price step in ten is another."""
    paired, plain = opened(PairedSales, STEERED), opened(SaleBatch, STEERED)
    rng = np.random.default_rng(1)
    returns = np.zeros((2, SALES))
    for _ in range(paired.sale.ticks // STEERED.every):
        actions = np.tile([2, 0, 1], (SALES, 1))
        actions[:, 0] = np.where(rng.random(SALES) < 0.1, rng.integers(5, size=SALES), 2)
        returns += [batch.step(actions)[0] for batch in (paired, plain)]
    assert returns[0].std() < 0.5 * returns[1].std()


def test_a_sale_that_can_be_closed_early_has_no_twin() -> None:
    with pytest.raises(InputError, match="no twin of its length; leave close out"):
        opened(PairedSales, ActionConfig(timing=("hold", "close")))


def test_only_assisted_agents_learn_from_pairs() -> None:
    sale, reference = make_scenario().compile(), REFERENCE_SALES["g1"]().compile()
    for config in (PPOConfig(imitation_updates=1), DQNConfig(imitation_updates=1)):
        assert isinstance(training_sales(sale, config), PairedSales)
        assert not isinstance(training_sales(reference, config), PairedSales)
    assert not isinstance(training_sales(sale, PPOConfig(paired=False)), PairedSales)
    assert not isinstance(training_sales(sale, PPOConfig(assisted=False)), PairedSales)


def training_sales(sale: CompiledSale, config: PPOConfig | DQNConfig) -> SaleBatch:
    return sales_in(
        make_model(sale, config, seed=0, scale=1.0, rule=rule_of_two() if config.is_assisted(sale) else None)
    )


def sales_in(model: BaseAlgorithm) -> SaleBatch:
    env = model.get_env()
    assert isinstance(env, FlashSaleVecEnv)
    return env.sales
