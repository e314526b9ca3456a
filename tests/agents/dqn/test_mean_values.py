"""Values of a DQN are means, also where what is earned is rare; one that starts at a rule learns as it did."""

import numpy as np
import pytest
import torch

from agents.dqn.mean_values import MeanDQN
from agents.dqn.settings import DQNConfig
from agents.settings import Device
from agents.training import make_model, train
from flashsim.envs.reward import RewardConfig
from flashsim.envs.vector import SaleBatch, consecutive_seeds
from flashsim.reference import menu_sale
from flashsim.sim.streams import TRAINING_DOMAIN

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
    assert (plain.squares_errors, plain.target_share) == (None, None)
    assert (steered.squares_errors, steered.target_share) == (False, 0.02)
    own = DQNConfig(squares_errors=True, target_share=0.5).starting_at_rule()
    assert (own.squares_errors, own.target_share) == (True, 0.5)
    model = make_model(menu_sale(rates=[RATES], prices=PRICES, stock=1).compile(), plain, seed=0, scale=1.0)
    assert isinstance(model, MeanDQN)
    assert (model.squares_errors, model.tau) == (True, 0.1)
