"""Agents that see less: an ablation of the observation.

The columns that an agent shall not see get the weight 0 in the first layer of each of its networks, and a gradient of 0
for the whole training. That is the same training as on observations in which they are 0, and it needs nothing where the
networks are used: a bundle, its ONNX or SB3's zip take whole observations and cannot tell what the hidden columns hold.

What carries out a choice is no part of the network: the run-out price and the scaler of an assisted agent read all.
"""

from collections.abc import Sequence

import torch

from flashsim.envs.features import feature_set, observation_table
from flashsim.scenarios.compiled import CompiledSale


def show_only(first_layers: Sequence[torch.nn.Linear], sale: CompiledSale, chosen: str) -> None:
    """Let networks, fresh or not, that begin with ``first_layers`` see the feature set ``chosen`` alone."""
    table = observation_table(sale)
    seen = set(feature_set(table, chosen))
    if len(seen) == len(table):
        return
    device = first_layers[0].weight.device
    shown = torch.tensor([float(feature.name in seen) for feature in table], device=device)
    for layer in first_layers:
        layer.register_buffer("shown", shown, persistent=False)  # for an update without torch (agents.ppo.cpu_update)
        with torch.no_grad():
            layer.weight.mul_(shown)
        if layer.weight.requires_grad:
            layer.weight.register_hook(lambda gradient: gradient * shown)  # type: ignore[no-untyped-call]
