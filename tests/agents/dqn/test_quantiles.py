"""QR-DQN: greedy in the mean of its quantiles, as a plain network too, and it starts at its rule."""

from typing import Any

import numpy as np
import pytest
import torch
from sb3_contrib import QRDQN

from agents.dqn.settings import QRDQNConfig
from agents.export import network_policy
from agents.learners import learner_of
from agents.start.imitation import InOwnActions, steering
from agents.training import make_model
from flashsim.envs.sb3 import make_sb3
from flashsim.errors import InputError
from tests.agents.start.test_imitation import rule_of_two, sale_of_two
from tests.agents.tiny import qrdqn, small_sale
from tests.made_policies import random_observations


def test_outputs_of_the_policy_are_means_over_quantiles() -> None:
    sale, config = small_sale(), qrdqn(quantiles=7, assisted=False)
    model = make_model(sale, config, seed=0, scale=1.0)
    assert isinstance(model, QRDQN)
    before = torch.get_rng_state()
    network = learner_of(config).network(model)
    assert torch.equal(torch.get_rng_state(), before)  # evaluations draw no numbers from a training
    policy = network_policy(network, sale, name="start", action={**vars(config.action(sale))}, training={})
    seen = random_observations(sale, 300)
    with torch.no_grad():
        quantiles = model.quantile_net(torch.from_numpy(seen)).numpy()
    assert quantiles.shape == (300, 7, policy.outputs(seen).shape[1])
    assert quantiles.std(axis=1).min() > 1e-4
    np.testing.assert_allclose(policy.outputs(seen), quantiles.mean(axis=1), rtol=1e-4, atol=1e-5)


def test_all_quantiles_prefer_what_the_rule_does() -> None:
    sale, rule = sale_of_two(), rule_of_two()
    config = steering(QRDQNConfig(quantiles=3, margin=0.5), rule)
    model: Any = make_model(sale, config, seed=0, scale=1.0, rule=rule)
    env = make_sb3(sale, num_envs=100, seed=9, action=config.action(sale), members=sale.training_members)
    seen = env.reset()
    chosen = InOwnActions(sale, rule, config.action(sale)).act(seen)
    for network in (model.quantile_net, model.quantile_net_target):
        with torch.no_grad():
            quantiles = network(torch.from_numpy(seen)).numpy()
        assert (quantiles.argmax(axis=2) == chosen[:, None]).mean() > 0.95
        assert np.median(quantiles.max(axis=2)) == pytest.approx(0.0, abs=0.1)
        assert np.median(quantiles.min(axis=2)) == pytest.approx(-0.5 * len(env.sales.codec.sizes), abs=0.2)


def test_no_quantiles_are_refused() -> None:
    with pytest.raises(InputError, match="quantiles must be between 1 and"):
        QRDQNConfig(quantiles=0)
