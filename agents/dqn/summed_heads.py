"""Values of whole actions as sums of values of their parts, so that what is learned of one part serves all actions.

A flat menu of 5 prices, 5 utilizations and 4 caps of admission has 100 actions, and a Q-network learns each alone. Here

    Q(s, a) = Σ_h Q_h(s, a_h)    with h the heads that the action is made of,

14 values to learn. It is the last layer of a stock Q-network with its weights written as a product: during training the
layer is *parametrized*, and afterwards it is an ordinary one again. Left out: what two parts do only together.

Source: Tavakoli, Pardo & Kormushev (2018), "Action branching architectures", AAAI, arXiv:1711.08946; the sum as in
Sunehag et al. (2018), "Value-decomposition networks", arXiv:1706.05296.
"""

from collections.abc import Sequence

import numpy as np
import torch
from stable_baselines3 import DQN
from torch.nn.utils import parametrize


class _Summed(torch.nn.Module):
    """Rows of whole actions from rows of choices."""

    parts: torch.Tensor
    inverse: torch.Tensor

    def __init__(self, sizes: Sequence[int]) -> None:
        super().__init__()
        chosen = np.unravel_index(np.arange(int(np.prod(sizes))), tuple(sizes))
        parts = np.concatenate([np.eye(size)[column] for size, column in zip(sizes, chosen, strict=True)], axis=1)
        self.register_buffer("parts", torch.tensor(parts, dtype=torch.float32), persistent=False)  # action, choice
        self.register_buffer("inverse", torch.linalg.pinv(self.parts), persistent=False)

    def forward(self, choices: torch.Tensor) -> torch.Tensor:
        """Weights (action, …) of weights (choice, …)."""
        return self.parts @ choices

    def right_inverse(self, actions: torch.Tensor) -> torch.Tensor:
        """The choices whose sums are nearest to ``actions`` (action, …)."""
        return self.inverse @ actions


def sum_heads(model: DQN, sizes: Sequence[int]) -> None:
    """Let ``model``, fresh, learn a value for each choice of each head, of ``sizes``, instead of each whole action."""
    for network in (model.q_net, model.q_net_target):
        for name in ("weight", "bias"):
            parametrize.register_parametrization(network.q_net[-1], name, _Summed(sizes).to(model.device))
    _renew_optimizer(model)


def stock_again(model: DQN) -> None:
    """Make ``model`` a stock one again, with the same values; its optimizer forgets.

    SB3 is left to choose the class of its memory, for it warns of the one that it chose when it loads the model again.
    """
    for network in (model.q_net, model.q_net_target):
        for name in ("weight", "bias"):
            if parametrize.is_parametrized(network.q_net[-1], name):
                parametrize.remove_parametrizations(network.q_net[-1], name)
    _renew_optimizer(model)
    model.replay_buffer_class = None


def _renew_optimizer(model: DQN) -> None:
    policy = model.policy
    policy.optimizer = policy.optimizer_class(policy.q_net.parameters(), lr=model.lr_schedule(1.0))  # type: ignore[call-arg]
