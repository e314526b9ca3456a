"""Values of a DQN are means, also where what is earned is rare, and an average of its networks is played.

One that starts at a rule learns and plays as it did.
"""

import io
from typing import Any

import numpy as np
import pytest
import torch
from stable_baselines3 import DQN
from stable_baselines3.common.callbacks import BaseCallback

from agents.dqn.mean_values import MeanDQN, played
from agents.dqn.settings import DQNConfig
from agents.settings import Device
from agents.training import make_model, train
from flashsim.envs.reward import RewardConfig
from flashsim.envs.vector import SaleBatch, consecutive_seeds
from flashsim.reference import menu_sale
from flashsim.sim.streams import TRAINING_DOMAIN
from tests.agents.tiny import OFF_POLICY, dqn, train_small
from tests.made_policies import random_observations

RATES, PRICES = (0.1, 0.15), (10.0, 8.0)


@pytest.mark.parametrize("squares_errors", [None, False])
def test_a_value_is_what_is_earned_on_average_and_huber_falls_short(squares_errors: bool | None) -> None:
    """One tick, one unit, a buyer in one sale of ten: by Huber's loss it would be worth a third."""
    sale = menu_sale(rates=[RATES], prices=PRICES, stock=1).compile()
    config = DQNConfig(
        steps=40_000,
        learning_starts=1_000,
        exploration_final=1.0,
        evaluations=1,
        evaluation_sales=2,
        layers=(16,),
        device=Device.cpu,
        squares_errors=squares_errors,
    )
    result = train(sale, config, seed=0)
    assert isinstance(result.model, MeanDQN)
    batch = SaleBatch(sale, 1, action=config.action(sale), reward=RewardConfig(), domain=TRAINING_DOMAIN)
    batch.seed(consecutive_seeds(0, 1))
    with torch.no_grad():
        values = result.model.q_net(torch.from_numpy(batch.observe()))[0].numpy() * result.reward_scale
    means = -np.expm1(-np.array(RATES)) * PRICES
    if squares_errors is None:
        np.testing.assert_allclose(values, means, rtol=0.15)
    else:
        assert (values < 0.6 * means).all()


def test_an_agent_that_starts_at_a_rule_learns_by_hubers_loss_from_a_slow_target() -> None:
    plain, steered = DQNConfig(), DQNConfig().starting_at_rule()
    assert (plain.squares_errors, plain.target_share, plain.average_share) == (None, None, None)
    assert (steered.squares_errors, steered.target_share, steered.average_share) == (False, 0.02, 1.0)
    own = DQNConfig(squares_errors=True, target_share=0.5, average_share=0.1).starting_at_rule()
    assert (own.squares_errors, own.target_share, own.average_share) == (True, 0.5, 0.1)
    model = make_model(menu_sale(rates=[RATES], prices=PRICES, stock=1).compile(), plain, seed=0, scale=1.0)
    assert isinstance(model, MeanDQN)
    assert (model.squares_errors, model.tau) == (True, 0.1)


class Networks(BaseCallback):
    """Remembers the weights after each vector step that learned, and what was played then."""

    def __init__(self) -> None:
        super().__init__()
        self.learned: list[torch.Tensor] = []
        self.played: list[torch.Tensor] = []

    def _on_step(self) -> bool:
        return True

    def _on_rollout_start(self) -> None:
        assert isinstance(self.model, MeanDQN)
        if self.model._n_updates:
            for kept, network in ((self.learned, self.model.q_net), (self.played, played(self.model))):
                kept.append(torch.cat([weights.detach().reshape(-1) for weights in network.parameters()]).clone())


def _networks(**changes: Any) -> Networks:
    sale = menu_sale(rates=[RATES] * 5, prices=PRICES, stock=2).compile()
    config = DQNConfig(**(OFF_POLICY | {"device": Device.cpu, "layers": (8,)} | changes))
    seen = Networks()
    make_model(sale, config, seed=0, scale=1.0).learn(config.steps, callback=seen)
    return seen


def test_what_is_played_is_the_average_of_what_was_learned() -> None:
    """A plain mean of the first twenty networks, for at .05 the first one would weigh too much; then a moving one."""
    seen = _networks(average_share=0.05)
    average = torch.zeros_like(seen.learned[0])
    for number, (learned, shown) in enumerate(zip(seen.learned, seen.played, strict=True), start=1):
        average += max(0.05, 1.0 / number) * (learned - average)
        torch.testing.assert_close(shown, average, rtol=1e-4, atol=1e-6)
    assert len(seen.learned) > 100
    assert (seen.played[-1] - seen.learned[-1]).abs().max() > 1e-3


def test_an_average_changes_nothing_of_what_is_learned() -> None:
    plain, averaged = _networks(average_share=1.0), _networks(average_share=0.05)
    assert all(torch.equal(one, other) for one, other in zip(plain.learned, averaged.learned, strict=True))
    assert all(torch.equal(*both) for both in zip(plain.learned, plain.played, strict=True))


def test_greedy_play_of_the_average_is_what_is_measured() -> None:
    averaged, plain = (train_small(dqn(assisted=False, average_share=share), seed=0) for share in (0.05, 1.0))
    assert averaged.curve != plain.curve


@pytest.mark.parametrize("assisted", [False, True])
def test_the_zip_of_an_average_is_a_stock_one_with_the_values_of_the_exported_policy(assisted: bool) -> None:
    result = train_small(dqn(assisted=assisted, average_share=0.05), seed=0)
    packed = io.BytesIO()
    result.model.save(packed)
    stock = DQN.load(packed, device="cpu")
    seen = random_observations(result.sale, 500)
    with torch.no_grad():
        values = stock.q_net.q_net(torch.from_numpy(seen)).numpy()
    np.testing.assert_allclose(values, result.policy().outputs(seen), rtol=1e-4, atol=1e-4)
