"""The update of a Q-network on the cpu: networks and Adam of torch, seen as plain arrays by the compiled one.

All weights lie in the vectors of :class:`~agents.flat_adam.FlatAdam`, those of the target network in one of their own;
numpy sees the same memory.
"""

import numpy as np
import torch
from stable_baselines3.common.type_aliases import ReplayBufferSamples
from stable_baselines3.dqn.policies import DQNPolicy, QNetwork

from agents.compiled import q_update
from agents.flat_adam import FlatAdam, flattened
from agents.plain_layers import are_plain, network_of, settings_of, shown_to, weights_of


class CpuUpdate:
    """Takes over weights and optimizer of ``policy``, whose networks :func:`can_be_fused`."""

    def __init__(self, policy: DQNPolicy) -> None:
        own = list(policy.q_net.parameters())
        self.optimizer = FlatAdam.in_place_of(policy.optimizer, own)
        policy.optimizer = self.optimizer
        self.target = flattened(list(policy.q_net_target.parameters())).numpy()
        self.layers = list(policy.q_net.q_net)
        self.network = network_of(self.layers, own, is_rectified=True)
        self.weights = weights_of(self.optimizer)
        self.scratch = q_update.make_scratch(self.network, self.weights.values.dtype)

    def learn(self, batch: ReplayBufferSamples, *, gamma: float, squares_errors: bool, max_grad_norm: float) -> float:
        """One step of Adam; returns the loss before."""
        rewards = batch.rewards.numpy().reshape(-1)
        discounts = torch.full_like(batch.rewards, gamma) if batch.discounts is None else batch.discounts
        self.optimizer.updates += 1
        loss: float = q_update.learn(
            self.network,
            self.weights,
            self.target,
            q_update.Transitions(
                batch.observations.numpy(),
                batch.actions.numpy().astype(np.int64).reshape(-1),
                batch.next_observations.numpy(),
                batch.dones.numpy().astype(np.float32).reshape(-1),
                rewards,
                discounts.numpy().reshape(-1),
            ),
            np.arange(len(rewards)),
            shown_to(self.layers[0]),
            squares_errors,
            settings_of(self.optimizer, max_grad_norm=max_grad_norm),
            self.optimizer.updates,
            self.scratch,
        )
        return loss


def can_be_fused(network: QNetwork) -> bool:
    """Whether the compiled update knows ``network``: on the cpu, linear layers with rectifiers between them."""
    return network.device.type == "cpu" and are_plain(list(network.q_net), torch.nn.ReLU)
