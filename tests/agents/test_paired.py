"""A sale and its twin meet the same people; what is left of a reward is what decisions changed."""

import numpy as np
import pytest
from stable_baselines3.common.base_class import BaseAlgorithm

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
from tests.worlds import make_scenario

SALES = 40
STEERED = ActionConfig(around_run_out=2, scaler_targets=(0.5, 0.7, 0.9), every=2, per_product=False)
FLAT = ActionConfig(per_product=False, flat=True)


def batches(action: ActionConfig) -> tuple[PairedSales, SaleBatch]:
    """Sales with and without twins, opened on the same seeds."""
    both = tuple(
        kind(make_scenario().plan(), SALES, action=action, reward=RewardConfig(), domain=TRAINING_DOMAIN)
        for kind in (PairedSales, SaleBatch)
    )
    for batch in both:
        batch.seed(consecutive_seeds(7, SALES), episodes=3)
        batch.observe()
    assert isinstance(both[0], PairedSales)
    return both[0], both[1]


def decisions(batch: SaleBatch) -> int:
    return batch.plan.ticks // batch.codec.config.every


@pytest.mark.parametrize("action", [STEERED, FLAT, ActionConfig()])
def test_who_runs_a_sale_as_usual_earns_just_what_its_twin_earns_in_every_sale(action: ActionConfig) -> None:
    """Through three sales a row: twins open with their sales."""
    paired, plain = batches(action)
    usual = np.repeat(paired.codec.usual[None], SALES, axis=0)
    for _ in range(3):
        for _ in range(decisions(paired)):
            reward, closed = paired.step(usual)
            raw, _ = plain.step(usual)
            np.testing.assert_array_equal(reward, 0.0)
            assert raw.any()
        assert closed.all()
        for batch in (paired, plain):
            batch.open(closed)
            batch.observe()


def test_a_paired_reward_is_the_reward_less_that_of_the_same_sale_run_as_usual() -> None:
    paired, plain = batches(STEERED)
    _, usual = batches(STEERED)
    rng = np.random.default_rng(0)
    for _ in range(decisions(paired)):
        actions = rng.integers(paired.codec.sizes, size=(SALES, paired.codec.sizes.size))
        expected = plain.step(actions)[0] - usual.step(np.repeat(usual.codec.usual[None], SALES, axis=0))[0]
        np.testing.assert_array_equal(paired.step(actions)[0], expected)
        np.testing.assert_array_equal(paired.seen(), plain.seen())


def test_pairing_takes_most_of_the_chance_out_of_a_return() -> None:
    """Nearly as usual, but for one decision in ten."""
    paired, plain = batches(STEERED)
    rng = np.random.default_rng(1)
    returns = np.zeros((2, SALES))
    for _ in range(decisions(paired)):
        drawn = rng.integers(paired.codec.sizes, size=(SALES, paired.codec.sizes.size))
        actions = np.where(rng.random((SALES, 1)) < 0.1, drawn, paired.codec.usual)
        returns += [batch.step(actions)[0] for batch in (paired, plain)]
    assert returns[0].std() < 0.5 * returns[1].std()


def test_a_sale_that_can_be_closed_early_has_no_twin() -> None:
    with pytest.raises(InputError, match="no twin of its length; leave close out"):
        batches(ActionConfig(timing=("hold", "close")))


def first_choices(plan: Plan, head_start: float) -> float:
    """Share of a new policy's decisions that are the usual ones, over heads."""
    model = make_model(plan, PPOConfig(head_start=head_start), seed=0, scale=1.0)
    seen = sales_in(model).observe()
    chosen = np.concatenate([model.predict(seen, deterministic=False)[0] for _ in range(3)])
    return float((chosen == sales_in(model).codec.usual).mean())


def test_a_new_policy_leans_towards_the_usual_action_as_far_as_it_is_told() -> None:
    """With a lead of 2 one of five is chosen e²/(e² + 4) = .65 of the time; of fewer, more often."""
    plan = make_scenario().plan()
    without, leaning, sure = (first_choices(plan, lead) for lead in (0.0, 2.0, 20.0))
    assert 0.1 < without < 0.4
    assert 0.6 < leaning < 0.85
    assert sure > 0.999


def test_only_assisted_agents_learn_from_pairs() -> None:
    plan, reference = make_scenario().plan(), REFERENCE_SALES["g1"]().plan()
    for config in (PPOConfig(), DQNConfig()):
        assert isinstance(training_sales(plan, config), PairedSales)
        assert not isinstance(training_sales(reference, config), PairedSales)
    assert not isinstance(training_sales(plan, PPOConfig(paired=False)), PairedSales)
    assert not isinstance(training_sales(plan, PPOConfig(assisted=False)), PairedSales)


def training_sales(plan: Plan, config: PPOConfig | DQNConfig) -> SaleBatch:
    return sales_in(make_model(plan, config, seed=0, scale=1.0))


def sales_in(model: BaseAlgorithm) -> SaleBatch:
    env = model.get_env()
    assert isinstance(env, FlashSaleVecEnv)
    return env.sales
