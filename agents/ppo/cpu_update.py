"""The update of PPO on the cpu: networks and Adam of torch, seen as plain arrays by the compiled one.

Weights, gradients and moments lie in the vectors of :class:`~agents.flat_adam.FlatAdam`, and numpy sees the same
memory: what compiled code writes is there for torch, checkpoints and exports without a copy.
"""

from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from numpy.typing import NDArray
from sb3_contrib.common.maskable.policies import MaskableActorCriticPolicy
from stable_baselines3.common.policies import ActorCriticPolicy
from stable_baselines3.common.torch_layers import FlattenExtractor

from agents.compiled import ppo_update
from agents.flat_adam import FlatAdam
from agents.plain_layers import are_plain, network_of, settings_of, shown_to, weights_of
from agents.ppo.tensor_rollout import Samples

FEASIBLE = np.zeros((0, 0), np.bool_)
"""No masks: every choice is feasible."""


class CpuUpdate:
    """Learns rollouts with the networks of ``policy``, whose weights ``optimizer`` holds; see :func:`can_be_fused`."""

    def __init__(self, policy: ActorCriticPolicy | MaskableActorCriticPolicy, optimizer: FlatAdam) -> None:
        self.optimizer = optimizer
        space, parts = policy.action_space, policy.mlp_extractor
        sizes = space.nvec if isinstance(space, spaces.MultiDiscrete) else [space.n]  # type: ignore[attr-defined]
        self.heads = np.array(sizes, np.int64)
        own = optimizer.param_groups[0]["params"]
        layers = [*parts.policy_net, policy.action_net]
        self.policy = network_of(layers, own, is_rectified=False)
        self.value = network_of([*parts.value_net, policy.value_net], own, is_rectified=False)
        self.weights = weights_of(optimizer)
        self.scratch = ppo_update.make_scratch(self.policy, self.value, self.weights.values.dtype)
        self._first = layers[0]

    def learn(
        self,
        samples: Samples,
        order: NDArray[np.int64],
        *,
        batch_size: int,
        max_grad_norm: float,
        masks: NDArray[np.bool_] = FEASIBLE,
        **settings: Any,
    ) -> NDArray[np.float64]:
        """A step of Adam for each minibatch of each epoch of ``order`` (epoch, decision), by ``settings`` of the loss.

        Returns sums over minibatches of what is measured (``ppo_update.MEASURED``): of the divergence those of the
        last epoch, and the loss of the last minibatch, alone.
        """
        columns = {name: column.numpy() for name, column in samples._asdict().items() if name != "values"}
        columns["actions"] = columns["actions"].reshape(len(columns["returns"]), -1)
        measured = np.zeros(ppo_update.MEASURED)
        self.optimizer.updates = ppo_update.learn(
            self.policy,
            self.value,
            self.heads,
            self.weights,
            ppo_update.Decisions(**columns, masks=masks),
            order,
            batch_size,
            shown_to(self._first),
            ppo_update.LossSettings(**settings),
            settings_of(self.optimizer, max_grad_norm=max_grad_norm),
            self.optimizer.updates,
            self.scratch,
            np.zeros(2),
            measured,
        )
        return measured


def can_be_fused(policy: ActorCriticPolicy | MaskableActorCriticPolicy) -> bool:
    """Whether the compiled update knows the networks of ``policy``: on the cpu, linear layers with tanh between them,
    those of policy and value apart."""
    if policy.device.type != "cpu" or type(policy.features_extractor) is not FlattenExtractor:
        return False
    if not isinstance(policy.action_space, spaces.Discrete | spaces.MultiDiscrete):
        return False
    parts = policy.mlp_extractor
    networks = ([*parts.policy_net, policy.action_net], [*parts.value_net, policy.value_net])
    return all(are_plain(network, torch.nn.Tanh) for network in networks)
