"""DQN of Stable-Baselines3, on many sales at once: its record.

Source: Mnih et al. (2015), Nature 518.
"""

from collections.abc import Sequence
from typing import Any

import torch
from stable_baselines3 import DQN
from torch.nn import functional

from agents.dqn.mean_values import MeanDQN, played
from agents.dqn.replay_memory import REPLAY_MEMORY
from agents.dqn.settings import AVERAGE_SHARE, TARGET_SHARE, DQNConfig, QLearningConfig
from agents.dqn.summed_heads import stock_again, sum_heads
from agents.learner import GreedyNetwork, Learner
from agents.start.imitation import Demonstration, first_values, fit
from flashsim.envs.sb3 import FlashSaleVecEnv


def q_learning_arguments(config: QLearningConfig, _env: FlashSaleVecEnv) -> dict[str, Any]:
    """What an algorithm with a replay memory is made with."""
    return {
        "buffer_size": config.buffer,
        "learning_starts": config.learning_starts,
        "batch_size": config.batch_size,
        "train_freq": 1,
        "gradient_steps": config.gradient_steps,
        "n_steps": 1 if config.n_steps is None else config.n_steps,
        "target_update_interval": config.target_interval * config.sales,
        "tau": TARGET_SHARE if config.target_share is None else config.target_share,
        "exploration_fraction": config.exploration_until,
        "exploration_initial_eps": 1.0 if config.exploration_initial is None else config.exploration_initial,
        "exploration_final_eps": config.exploration_final,
        "policy_kwargs": {"net_arch": list(config.layers)},
    }


def _first_layers(model: DQN) -> Sequence[torch.nn.Linear]:
    return [model.q_net.q_net[0], model.q_net_target.q_net[0]]  # type: ignore[list-item]


def _prepare(model: MeanDQN, config: DQNConfig) -> None:
    """Choose the loss and what is played; let an assisted agent learn sums of values of heads."""
    model.squares_errors = config.squares_errors is not False
    env = model.get_env()
    assert isinstance(env, FlashSaleVecEnv)
    if config.summed and config.is_assisted(env.sales.sale):
        sum_heads(model, env.sales.codec.sizes.tolist())
    model.fuse()
    share = AVERAGE_SHARE if config.average_share is None else config.average_share
    if share < 1.0:
        model.play_average(share)


def _start(model: DQN, shown: Demonstration[DQNConfig]) -> None:
    """Let the rule's choice have the value 0, and others a ``margin`` less for each head that differs from it."""
    margin = shown.config.margin
    if not margin:
        return
    values = first_values(shown, margin=margin, device=model.device)
    network = model.q_net.q_net
    fit(network, shown, loss=lambda outputs, chosen: functional.mse_loss(outputs, values[chosen[:, 0]]))
    for follower in {model.q_net_target, played(model)} - {model.q_net}:
        follower.load_state_dict(model.q_net.state_dict())


def _finish(model: MeanDQN) -> None:
    """Make ``model`` a stock one that plays what was kept."""
    model.play_plainly()
    stock_again(model)


DQN_LEARNER: Learner[DQNConfig, MeanDQN] = Learner(
    algorithm=MeanDQN,
    arguments=q_learning_arguments,
    sales_at_once=lambda config, _sale: config.sales,
    first_layers=_first_layers,
    network=lambda model: GreedyNetwork(list(played(model).q_net)),
    start=_start,
    prepare=_prepare,
    finish=_finish,
    scales_by_lead=True,
    log_interval=lambda config: config.sales,
    extras=REPLAY_MEMORY,
)
