"""A rollout that stays on the device: what a batch of sales showed, what was done, and what it was worth.

One row is what one vector step brings in: observations, rewards and ends of all sales, side by side in one vector, so
that a step costs one copy. Row t holds what was seen before decision t; rewards and ends in row t + 1 are its outcome.
With δ_t = r_t + γ·V(s_t+1)·(1 - end_t) - V(s_t),

    A_t = δ_t + γ·λ·(1 - end_t)·A_t+1,   R_t = A_t + V(s_t)

summed in the order in which Stable-Baselines3 does, so that both agree to the last bit.

Source: Schulman et al. (2016), arXiv:1506.02438, equation 16.
"""

from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray


class Samples(NamedTuple):
    """Decisions in the order sale by sale, as Stable-Baselines3 flattens them, or a selection of them."""

    observations: torch.Tensor  # decision, feature
    actions: torch.Tensor  # decision, head; or decision, if flat
    log_probs: torch.Tensor  # decision; under the policy that acted
    values: torch.Tensor  # decision; expected then
    advantages: torch.Tensor  # decision
    returns: torch.Tensor  # decision; what the value shall become


class TensorRollout:
    """Storage of ``steps`` vector steps of ``sales`` sales on ``device``, and the buffers on the host to reach it."""

    def __init__(
        self, steps: int, sales: int, *, features: int, action_shape: tuple[int, ...], device: torch.device
    ) -> None:
        self.steps, self.sales, self.features, self.device = steps, sales, features, device
        is_pinned = device.type == "cuda"
        self._rows = torch.zeros((steps + 1, sales * (features + 2)), device=device)
        self._incoming = torch.zeros(sales * (features + 2), pin_memory=is_pinned)
        self._outgoing = torch.zeros((sales, *action_shape), dtype=torch.int64, pin_memory=is_pinned)
        self._actions = torch.zeros((steps, sales, *action_shape), dtype=torch.int64, device=device)
        self._values = torch.zeros((steps, sales), device=device)
        self._log_probs = torch.zeros((steps, sales), device=device)
        self._last = 0  # the row last received

    def receive(
        self, row: int, observation: NDArray[np.float32], *, reward: NDArray[np.float32], closed: NDArray[np.bool_]
    ) -> None:
        """Copy what a vector step showed to row ``row``: one copy to the device."""
        incoming = self._incoming.numpy()
        seen = self.sales * self.features
        incoming[:seen] = observation.reshape(-1)
        incoming[seen : seen + self.sales] = reward
        incoming[seen + self.sales :] = closed
        # The buffer is written again only after the next actions came out, which this copy precedes on the device.
        self._rows[row].copy_(self._incoming, non_blocking=True)
        self._last = row

    def decide(
        self, row: int, actions: torch.Tensor, *, values: torch.Tensor, log_probs: torch.Tensor
    ) -> NDArray[np.int64]:
        """Keep decision ``row`` and give its actions to the host: one copy from the device."""
        self._actions[row] = actions
        self._values[row] = values.flatten()
        self._log_probs[row] = log_probs
        self._outgoing.copy_(actions)
        orders: NDArray[Any] = self._outgoing.numpy()
        return orders

    def begin_again(self) -> None:
        """What was seen last is what the next rollout begins with."""
        if self._last:
            self._rows[0].copy_(self._rows[self._last])
            self._last = 0

    def observation(self, row: int) -> torch.Tensor:
        """Observations (sale, feature) before decision ``row``."""
        return self._rows[row, : self.sales * self.features].view(self.sales, self.features)

    def outcome(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Rewards and ends (1 or 0) of every decision, each (step, sale)."""
        seen = self.sales * self.features
        return self._rows[1:, seen : seen + self.sales], self._rows[1:, seen + self.sales :]

    def advantages(self, last_values: torch.Tensor, *, gamma: float, gae_lambda: float) -> torch.Tensor:
        """Generalized advantages (step, sale); ``last_values`` (sale,) are of what was seen last."""
        rewards, ends = self.outcome()
        goes_on = 1.0 - ends
        advantages = torch.empty_like(self._values)
        following, carried = last_values.flatten(), torch.zeros_like(self._values[0])
        for step in reversed(range(self.steps)):
            surprise = rewards[step] + gamma * following * goes_on[step] - self._values[step]
            carried = surprise + gamma * gae_lambda * goes_on[step] * carried
            advantages[step] = carried
            following = self._values[step]
        return advantages

    def samples(self, advantages: torch.Tensor) -> Samples:
        """All decisions, with their ``advantages`` (step, sale)."""
        seen = self.sales * self.features
        observations = self._rows[:-1, :seen].view(self.steps, self.sales, self.features)
        columns = (observations, self._actions, self._log_probs, self._values, advantages, advantages + self._values)
        return Samples(*(column.transpose(0, 1).flatten(0, 1) for column in columns))
