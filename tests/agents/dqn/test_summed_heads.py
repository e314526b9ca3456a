"""Values of whole actions are sums of values of their parts while a network learns, and plain values afterwards."""

from typing import Any

import numpy as np
import pytest
import torch
from stable_baselines3 import DQN

from agents.dqn.settings import DQNConfig
from agents.dqn.summed_heads import stock_again, sum_heads
from agents.start.imitation import InOwnActions, steering
from agents.training import make_model, train
from flashsim.envs.actions import ActionConfig
from flashsim.envs.sb3 import make_sb3
from tests.agents.start.test_imitation import rule_of_two, sale_of_two

SIZES = (6, 3, 5)
SHORT: dict[str, Any] = {"steps": 2_000, "sales": 32, "learning_starts": 64, "buffer": 2_000, "evaluations": 2}
SHORT |= {"imitation_updates": 50}


def a_network() -> DQN:
    env = make_sb3(sale_of_two(), num_envs=2, seed=0, action=ActionConfig(per_product=False, flat=True))
    assert tuple(env.sales.codec.sizes) == SIZES
    return DQN("MlpPolicy", env, buffer_size=10, seed=0)


def values(model: DQN) -> torch.Tensor:
    """(observation, action)."""
    width = model.observation_space.shape[0]  # type: ignore[index]
    seen = torch.randn(50, width, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        return model.q_net.q_net(seen).reshape(50, *SIZES)


def test_a_value_is_the_sum_of_those_of_its_parts() -> None:
    """So the mixed difference of any two heads is 0, and learning keeps it there."""
    model = a_network()
    assert values(model).diff(dim=1).diff(dim=2).abs().max() > 1e-2
    sum_heads(model, SIZES)
    for _ in range(2):
        q = values(model)
        for one, other in ((1, 2), (1, 3), (2, 3)):
            assert q.diff(dim=one).diff(dim=other).abs().max() < 1e-5
            assert q.diff(dim=one).abs().max() > 1e-3
        loss = (model.q_net.q_net(torch.ones(8, model.observation_space.shape[0])) ** 2).sum()  # type: ignore[index]
        model.policy.optimizer.zero_grad()
        loss.backward()
        model.policy.optimizer.step()


def test_a_network_that_is_made_whole_is_a_stock_one_with_the_same_values() -> None:
    model = a_network()
    names = list(model.policy.state_dict())
    sum_heads(model, SIZES)
    assert list(model.policy.state_dict()) != names
    before = values(model)
    stock_again(model)
    assert sorted(model.policy.state_dict()) == sorted(names)
    torch.testing.assert_close(values(model), before, rtol=0.0, atol=0.0)
    assert {id(p) for group in model.policy.optimizer.param_groups for p in group["params"]} == {
        id(p) for p in model.q_net.parameters()
    }
    stock_again(model)  # once more changes nothing
    torch.testing.assert_close(values(model), before, rtol=0.0, atol=0.0)


@pytest.mark.parametrize("summed", [True, False])
def test_first_values_prefer_what_the_rule_does(summed: bool) -> None:
    """In nearly every decision, and what differs in a head more is a margin worse."""
    sale = sale_of_two()
    rule = rule_of_two()
    config = steering(DQNConfig(summed=summed, margin=0.5), rule)
    model = make_model(sale, config, seed=0, scale=1.0, rule=rule)
    assert isinstance(model, DQN)
    env = make_sb3(sale, num_envs=100, seed=9, action=config.action(sale), members=sale.training_members)
    seen, same = env.reset(), []
    player = InOwnActions(sale, rule, config.action(sale))
    for _ in range(sale.ticks // config.action(sale).every):
        chosen = player.act(seen)
        with torch.no_grad():
            q = model.q_net.q_net(torch.from_numpy(seen)).numpy()
        same.append(q.argmax(axis=1) == chosen)
        assert np.median(np.take_along_axis(q, chosen[:, None], axis=1)) == pytest.approx(0.0, abs=0.1)
        assert np.median(q.min(axis=1)) == pytest.approx(-0.5 * len(env.sales.codec.sizes), abs=0.2)
        env.step_async(chosen)
        seen = env.step_wait()[0]
    assert np.mean(same) > 0.95


def test_training_ends_with_a_stock_network() -> None:
    trained = train(sale_of_two(), DQNConfig(**SHORT, evaluation_sales=16), seed=0)
    assert isinstance(trained.model, DQN)
    assert not any("parametrizations" in name for name in trained.model.policy.state_dict())
