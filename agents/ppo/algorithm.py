"""PPO on batches of sales, with and without masks: its records.

Whole sales are its rollouts, all of one size, and the training ends with the first that reaches the steps asked for.
Where rollouts of the size set would be fewer than four, or play over 2 % too much, they are smaller: up to half, such
that they play least too much. Rounding up a rollout to minibatches of one size adds fewer sales than it has of them.
Beside the policy it learns the multipliers of constraints.

Source: Schulman et al. (2017), arXiv:1707.06347.
"""

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from gymnasium import spaces
from stable_baselines3.common.callbacks import BaseCallback

from agents.learner import GreedyNetwork, Learner
from agents.ppo.entropy import EntropySchedule
from agents.ppo.lagrangian import Lagrangian
from agents.ppo.maskable_ppo import MaskablePPO
from agents.ppo.settings import FEWEST_ROLLOUTS, PPOConfig
from agents.ppo.tensor_ppo import TensorPPO
from agents.start.imitation import Demonstration, choices_loss, fit
from agents.start.reward_scale import Spread
from flashsim.envs.sb3 import FlashSaleVecEnv
from flashsim.errors import InputError
from flashsim.scenarios.compiled import CompiledSale

_MOST_EXCESS = 0.02  # share of the steps that rollouts of the size set may play beyond them


class PPO(TensorPPO):
    """What ``agent=ppo`` trains; a class of its own, for a learner is found by the name of that of its model."""


def _sales_at_once(config: PPOConfig, sale: CompiledSale) -> int:
    """They are a rollout. InputError when the steps are too few for four."""
    decisions, (steps, parts) = sale.all_ticks // config.action(sale).every, config.rollout()
    unit = parts // math.gcd(parts, decisions)  # sales that give every minibatch as many decisions
    least = FEWEST_ROLLOUTS * 2 * unit * decisions  # two decisions a minibatch, for a mean and a spread of advantages
    if config.steps < least:
        raise InputError(
            f"steps must be at least {least} for {config.name} on {sale.name!r}, got {config.steps}: it learns "
            f"from {FEWEST_ROLLOUTS} rollouts of at least {2 * unit} sales of {decisions} decisions; raise it"
        )
    sales = parts * max(1, round(steps / (decisions * parts)))
    rollouts = math.ceil(config.steps / (sales * decisions))
    excess = rollouts * sales * decisions - config.steps
    if rollouts >= FEWEST_ROLLOUTS and excess <= _MOST_EXCESS * config.steps:
        return sales

    def fitted(rollouts: int) -> int:
        return unit * math.ceil(config.steps / (rollouts * decisions * unit))

    fewest = max(rollouts, FEWEST_ROLLOUTS)
    return fitted(min(range(fewest, 2 * fewest), key=lambda count: count * fitted(count)))


def _arguments(config: PPOConfig, env: FlashSaleVecEnv) -> dict[str, Any]:
    decisions = env.sales.sale.all_ticks // env.sales.codec.config.every
    _, parts = config.rollout()
    return {
        "n_steps": decisions,
        "batch_size": env.num_envs * decisions // parts,
        "n_epochs": config.epochs,
        "gae_lambda": config.gae_lambda,
        "clip_range": config.clip_range,
        "ent_coef": config.entropy,
        "policy_kwargs": {"net_arch": {"pi": list(config.layers), "vf": list(config.layers)}},
    }


def _first_layers(model: PPO | MaskablePPO) -> Sequence[torch.nn.Linear]:
    parts = model.policy.mlp_extractor
    return [parts.policy_net[0], parts.value_net[0]]  # type: ignore[list-item]


def _network(model: PPO | MaskablePPO) -> GreedyNetwork:
    return GreedyNetwork([*model.policy.mlp_extractor.policy_net, model.policy.action_net])


def _start(model: PPO | MaskablePPO, shown: Demonstration[PPOConfig]) -> None:
    """Let the policy choose as the rule with the probability ``head_start``, head by head."""
    share = shown.config.head_start
    if not share:
        return
    space = model.action_space
    assert isinstance(space, spaces.MultiDiscrete | spaces.Discrete)
    sizes = [int(size) for size in space.nvec] if isinstance(space, spaces.MultiDiscrete) else [int(space.n)]
    network = torch.nn.Sequential(model.policy.mlp_extractor.policy_net, model.policy.action_net)
    fit(network, shown, loss=choices_loss(sizes, share=share))


def _schedules(config: PPOConfig, spread: Spread) -> list[BaseCallback]:
    entropy = EntropySchedule(config.entropy, until=config.entropy_until)
    has_bounds = bool(config.constraints.names)
    return [entropy, Lagrangian(spread, rate=config.multiplier_rate)] if has_bounds else [entropy]


PPO_LEARNER: Learner[Any, Any] = Learner(
    algorithm=PPO,
    arguments=_arguments,
    sales_at_once=_sales_at_once,
    first_layers=_first_layers,
    network=_network,
    start=_start,
    constraints=lambda config: config.constraints,
    schedules=_schedules,
)
TENSOR_PPO_LEARNER: Learner[Any, Any] = replace(PPO_LEARNER, algorithm=TensorPPO)
MASKABLE_PPO_LEARNER: Learner[Any, Any] = replace(
    PPO_LEARNER, algorithm=MaskablePPO, network=lambda model: _network(model)._replace(is_masked=True)
)
