"""Agents that see less: an ablation of the observation.

The columns that an agent shall not see get the weight 0 in the first layer of each of its networks, and a gradient of 0
for the whole training. That is the same training as on observations in which they are 0, and it needs nothing where the
networks are used: a bundle, its ONNX or SB3's zip take whole observations and cannot tell what the hidden columns hold.

What carries out a choice is no part of the network: the run-out price and the scaler of an assisted agent read all.
"""

import torch
from stable_baselines3 import DQN
from stable_baselines3.common.base_class import BaseAlgorithm

from flashsim.envs.features import feature_set, observation_table
from flashsim.scenarios.compiled import CompiledSale


def show_only(model: BaseAlgorithm, sale: CompiledSale, chosen: str) -> None:
    """Let the networks of ``model``, fresh or not, see the feature set ``chosen`` alone (see ``envs.features``)."""
    table = observation_table(sale)
    seen = set(feature_set(table, chosen))
    if len(seen) == len(table):
        return
    shown = torch.tensor([float(feature.name in seen) for feature in table], device=model.device)
    for layer in _first_layers(model):
        with torch.no_grad():
            layer.weight.mul_(shown)
        if layer.weight.requires_grad:
            layer.weight.register_hook(lambda gradient: gradient * shown)  # type: ignore[no-untyped-call]


def _first_layers(model: BaseAlgorithm) -> list[torch.nn.Linear]:
    if isinstance(model, DQN):
        return [model.q_net.q_net[0], model.q_net_target.q_net[0]]  # type: ignore[list-item]
    parts = model.policy.mlp_extractor
    return [parts.policy_net[0], parts.value_net[0]]  # type: ignore[union-attr, index, list-item]
