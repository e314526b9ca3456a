"""An assisted agent starts where a good team stands, and learns from there."""

import functools
from copy import deepcopy
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from gymnasium import spaces
from stable_baselines3 import PPO

from agents.dqn.settings import DQNConfig
from agents.export import network_policy
from agents.learners import learner_of
from agents.ppo.settings import MaskablePPOConfig, PPOConfig, TensorPPOConfig
from agents.start.imitation import InOwnActions, starting_rule, steering
from agents.training import make_model, train
from flashsim.envs.actions import ActionCodec, ActionConfig
from flashsim.envs.reward import RewardConfig
from flashsim.envs.vector import SaleBatch, consecutive_seeds
from flashsim.planning import SEARCH_SEED, Field, best_operations
from flashsim.reference import REFERENCE_SALES
from flashsim.rules import Operations, RulePolicy, run_out_price
from flashsim.scenarios.compiled import CompiledSale
from flashsim.sim.state import PUSH
from flashsim.sim.streams import TRAINING_DOMAIN
from flashsim.sim.traffic import TrafficParams
from tests.worlds import make_scenario

SALES = 100
STEERED = ActionConfig(around_run_out=2, scaler_targets=(0.3, 0.5, 0.8), per_product=False)


def sale_of_two() -> CompiledSale:
    return make_scenario().compile()


@functools.cache
def rule_of_two() -> RulePolicy:
    """How agents would run that plan before they learn."""
    return starting_rule(sale_of_two())


def test_the_rule_is_the_run_out_price_with_the_operations_that_suit_it_best() -> None:
    sale = sale_of_two()
    rule = starting_rule(sale)
    assert rule.operations == best_operations(sale, run_out_price, seed=SEARCH_SEED)
    assert rule.operations == Field(sale, ticks=1, seed=SEARCH_SEED).run_out_price.operations
    assert rule.name == "run-out price"


@pytest.mark.parametrize("operations", [Operations(0.5, pushes=True), Operations(0.8, opening_ticks=3)])
@pytest.mark.parametrize("per_product", [True, False])
@pytest.mark.parametrize("flat", [True, False])
def test_a_rule_in_the_agents_actions_does_what_the_rule_does(
    operations: Operations, *, per_product: bool, flat: bool
) -> None:
    """Step by step where both can decide in each tick; at the opening a step down is as near as it comes."""
    sale = sale_of_two()
    rule = run_out_price(sale, operations)
    own = replace(STEERED, per_product=per_product, flat=flat)
    player = InOwnActions(sale, rule, own)
    batch = SaleBatch(sale, SALES, action=own, reward=RewardConfig(), domain=TRAINING_DOMAIN)
    batch.seed(consecutive_seeds(3, SALES))
    theirs = ActionCodec(sale, ActionConfig(**rule.action))
    seen = batch.observe()
    for tick in range(sale.ticks):
        wanted = theirs.decode(rule.act(seen), seen)
        done = batch.codec.decode(batch.codec.check(player.act(seen), SALES), seen)
        if tick >= operations.opening_ticks:
            for one, other in zip(done, wanted, strict=True):
                np.testing.assert_array_equal(one, other)
        else:
            assert (done.price_index <= np.maximum(0, batch.codec.dashboard.run_out(seen) - 2)).all()
        batch.step(player.act(seen))
        seen = batch.seen()


@pytest.mark.parametrize("config", [PPOConfig(), TensorPPOConfig(), MaskablePPOConfig()])
def test_a_first_policy_plays_the_rule(config: PPOConfig) -> None:
    """Greedily in nearly every decision, and in training with the probability of its settings, head by head."""
    sale = sale_of_two()
    rule = rule_of_two()
    action = steering(config, rule).action(sale)
    model = make_model(sale, config, seed=0, scale=1.0, rule=rule)
    policy = network_policy(learner_of(config).network(model), sale, name="start", action={**vars(action)}, training={})
    player = InOwnActions(sale, rule, action)
    batch = SaleBatch(sale, SALES, action=action, reward=RewardConfig(), domain=TRAINING_DOMAIN)
    batch.seed(consecutive_seeds(11, SALES))
    seen, same, drawn = batch.observe(), [], []
    for _ in range(sale.ticks // action.every):
        chosen = player.act(seen)
        same.append(policy.act(seen) == chosen)
        drawn.append(model.predict(seen, deterministic=False)[0] == chosen)
        batch.step(chosen)
        seen = batch.seen()
    assert np.mean(same) > 0.97
    assert np.mean(drawn) == pytest.approx(config.head_start, abs=0.06)


def test_a_first_policy_is_fitted_to_as_many_minibatches_as_was_asked() -> None:
    """The first step of Adam moves a weight by its rate, a second one further."""

    def first(**changes: Any) -> torch.Tensor:
        model: Any = make_model(sale_of_two(), PPOConfig(**changes), seed=0, scale=1.0, rule=rule_of_two())
        weights: torch.Tensor = model.policy.action_net.weight
        return weights.detach().clone()

    begun = first(head_start=0.0)
    assert float((first(imitation_updates=1) - begun).abs().max()) == pytest.approx(2e-3, rel=1e-3)
    assert float((first(imitation_updates=2) - begun).abs().max()) > 3e-3


SHORT: dict[str, Any] = {
    "steps": 2_000,
    "rollout_steps": 1_000,
    "batch_size": 500,
    "evaluations": 2,
    "evaluation_sales": 16,
    "imitation_updates": 50,
}


@pytest.mark.parametrize("kind", [PPOConfig, TensorPPOConfig])
def test_a_policy_that_began_as_a_rule_learns_on(kind: type[PPOConfig]) -> None:
    model = make_model(sale_of_two(), kind(**SHORT), seed=0, scale=1.0, rule=rule_of_two())
    begun = deepcopy(model.policy.state_dict())
    model.learn(2_000)
    for name, values in model.policy.state_dict().items():
        assert float((values - begun[name]).abs().max()) > 1e-4, name


def test_the_rule_is_measured_before_the_agent_learns_and_kept_if_nothing_is_better() -> None:
    sale = sale_of_two()
    trained = train(sale, PPOConfig(**SHORT, learning_rate=1e-7), seed=0)  # it learns, but nothing to act on
    assert trained.curve[0].steps == 0
    assert {point.profit for point in trained.curve} == {trained.curve[0].profit}


def test_an_agent_sets_utilizations_around_that_of_its_rule() -> None:
    sale = sale_of_two()
    target = rule_of_two().operations.target
    config = train(sale, PPOConfig(**SHORT), seed=0).config
    assert len(config.scaler_targets) == 5
    assert config.scaler_targets[2] == target
    assert config.scaler_targets == tuple(sorted(config.scaler_targets))
    most = run_out_price(sale, Operations(2.0, pushes=True, opening_ticks=4, scaler="scheduled"))
    steered = steering(DQNConfig(), most)
    assert isinstance(steered, DQNConfig)
    assert (steered.scaler, steered.scaler_targets) == ("scheduled", (1.3333, 1.6667, 2.0))
    assert (steered.opening_ticks, steered.planned_calls) == (4, ("push",))
    assert (steered.n_steps, steered.exploration_initial) == (6, 0.3)
    own = DQNConfig(
        opening_ticks=0,
        planned_calls=(),
        scaler="tracking",
        scaler_targets=(0.5,),
        n_steps=1,
        exploration_initial=0.0,
        target_share=0.1,
        squares_errors=True,
        average_share=0.5,
    )
    assert steering(own, most) == own


def test_an_agent_leaves_calls_and_utilization_to_its_rule_where_it_lacks_the_heads() -> None:
    """It orders the servers and sends the pushes that the rule does at the prices that the rule takes."""
    sale = replace(make_scenario(), traffic=TrafficParams(push_budget=1)).compile()
    rule = run_out_price(sale, Operations(0.9, pushes=True, opening_ticks=4))
    action = steering(PPOConfig(heads=("discount",), decide_every=1), rule).action(sale)
    codec, theirs = ActionCodec(sale, action), ActionCodec(sale, ActionConfig(**rule.action))
    assert tuple(codec.meanings()) == ("discount",)
    player, batch = InOwnActions(sale, rule, action), sales_of(sale, action)
    pushed = 0
    for _ in range(sale.ticks):
        seen = batch.seen()
        own, rules = codec.decode(player.act(seen), seen), theirs.decode(rule.act(seen), seen)
        np.testing.assert_array_equal(own.change, rules.change)
        np.testing.assert_array_equal(own.timing, rules.timing)
        pushed += int((own.timing == PUSH).sum())
        batch.step(player.act(seen))
    assert pushed == SALES


def sales_of(sale: CompiledSale, action: ActionConfig) -> SaleBatch:
    batch = SaleBatch(sale, SALES, action=action, reward=RewardConfig(), domain=TRAINING_DOMAIN)
    batch.seed(consecutive_seeds(0, SALES))
    batch.observe()
    return batch


def test_ppo_updates_twice_as_often_where_twins_take_the_chance_out_of_its_sales() -> None:
    """Whole sales, in eight minibatches of one size."""
    for sale, rule, steps in ((sale_of_two(), rule_of_two(), 8_192), (REFERENCE_SALES["g1"]().compile(), None, 16_384)):
        model = make_model(sale, PPOConfig(), seed=0, scale=1.0, rule=rule)
        assert isinstance(model, PPO)
        size = model.n_envs * model.n_steps
        assert size == pytest.approx(steps, rel=0.1)
        assert size == 8 * model.batch_size
    alone = steering(PPOConfig(paired=False), rule_of_two())
    assert isinstance(alone, PPOConfig)
    assert alone.rollout_steps is None
    own = steering(PPOConfig(rollout_steps=1_000), rule_of_two())
    assert isinstance(own, PPOConfig)
    assert own.rollout_steps == 1_000


def test_without_a_head_start_the_first_policy_is_that_of_chance() -> None:
    model = make_model(sale_of_two(), PPOConfig(head_start=0.0), seed=0, scale=1.0, rule=rule_of_two())
    env = model.get_env()
    assert env is not None
    seen = SaleBatch.observe(env.sales)  # type: ignore[attr-defined]
    first = np.concatenate([model.predict(seen, deterministic=False)[0] for _ in range(20)])[:, 0]
    assert isinstance(model.action_space, spaces.MultiDiscrete)
    choices = int(model.action_space.nvec[0])
    shares = np.bincount(first, minlength=choices) / first.size
    assert shares == pytest.approx(np.full(choices, 1.0 / choices), abs=0.02)
