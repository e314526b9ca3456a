"""The update of PPO on the cpu: networks and Adam of torch, seen as plain arrays by the compiled one.

Weights, gradients and moments lie in the vectors of :class:`~agents.ppo.flat_adam.FlatAdam`, and numpy sees the same
memory: what compiled code writes is there for torch, checkpoints and exports without a copy.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from numpy.typing import NDArray
from stable_baselines3.common.policies import ActorCriticPolicy
from stable_baselines3.common.torch_layers import FlattenExtractor

from agents.compiled import ppo_update
from agents.compiled.networks import AdamSettings, Network, Weights
from agents.ppo.flat_adam import FlatAdam
from agents.ppo.tensor_rollout import Samples

FEASIBLE = np.zeros((0, 0), np.bool_)
"""No masks: every choice is feasible."""


class CpuUpdate:
    """Learns rollouts with the networks of ``policy``, whose weights ``optimizer`` holds; see :func:`can_be_fused`."""

    def __init__(self, policy: ActorCriticPolicy, optimizer: FlatAdam) -> None:
        self.optimizer = optimizer
        space, parts = policy.action_space, policy.mlp_extractor
        sizes = space.nvec if isinstance(space, spaces.MultiDiscrete) else [space.n]  # type: ignore[attr-defined]
        self.heads = np.array(sizes, np.int64)
        place, self._places = 0, {}
        for parameter in optimizer.param_groups[0]["params"]:
            self._places[parameter] = place
            place += parameter.numel()
        self.policy = self._network([*parts.policy_net, policy.action_net])
        self.value = self._network([*parts.value_net, policy.value_net])
        vectors = (optimizer.values, optimizer.gradient, optimizer.mean, optimizer.square)
        self.weights = Weights(*(vector.numpy() for vector in vectors))
        self.scratch = ppo_update.make_scratch(self.policy, self.value, self.weights.values.dtype)
        self._first = next(module for module in (*parts.policy_net, policy.action_net) if is_linear(module))

    def _network(self, modules: Sequence[torch.nn.Module]) -> Network:
        layers = [module for module in modules if isinstance(module, torch.nn.Linear)]
        return Network(
            np.array([layers[0].in_features, *(layer.out_features for layer in layers)], np.int64),
            np.array([self._places[layer.weight] for layer in layers], np.int64),
            np.array([self._places[layer.bias] for layer in layers], np.int64),
            is_rectified=False,
        )

    def shown(self) -> NDArray[np.floating]:
        """1 for each feature that the networks see, else 0 (``agents.feature_sets.show_only``)."""
        shown = getattr(self._first, "shown", None)
        width = (self.policy.widths[0],)
        return np.ones(width, self.weights.values.dtype) if shown is None else np.asarray(shown.numpy())

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
        group = self.optimizer.param_groups[0]
        first, second = group["betas"]
        adam = AdamSettings(group["lr"], first, second, group["eps"], max_grad_norm)
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
            self.shown(),
            ppo_update.LossSettings(**settings),
            adam,
            self.optimizer.updates,
            self.scratch,
            np.zeros(2),
            measured,
        )
        return measured


def is_linear(module: torch.nn.Module) -> bool:
    """Whether ``module`` is a linear layer with a bias."""
    return isinstance(module, torch.nn.Linear) and module.bias is not None


def can_be_fused(policy: ActorCriticPolicy) -> bool:
    """Whether the compiled update knows the networks of ``policy``: on the cpu, linear layers with tanh between them,
    those of policy and value apart."""
    if policy.device.type != "cpu" or type(policy.features_extractor) is not FlattenExtractor:
        return False
    if not isinstance(policy.action_space, spaces.Discrete | spaces.MultiDiscrete):
        return False
    parts = policy.mlp_extractor
    kinds: list[Callable[[torch.nn.Module], bool]] = [is_linear, lambda module: type(module) is torch.nn.Tanh]
    return all(
        len(network) % 2 == 0 and all(kinds[place % 2](module) for place, module in enumerate(network))
        for network in (parts.policy_net, parts.value_net)
    )
