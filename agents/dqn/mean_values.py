"""DQN of Stable-Baselines3 with the loss of a mean.

Stable-Baselines3 minimizes Huber's loss of δ = r + γ·max_a' Q⁻(s', a') - Q(s, a): δ²/2 up to |δ| = 1 and |δ| - 1/2
beyond. What minimizes it is no mean where errors are skewed: the sale of one of a few units, which is rare and worth
much, counts as if it were worth less, and values along a hundred ticks add these shortfalls up. The square δ² is
minimized by the mean, which the equation of optimality is about.

Source: Mnih et al. (2015), Nature 518; Huber (1964), Annals of Mathematical Statistics 35(1), for what his loss
estimates.
"""

import numpy as np
import torch
from stable_baselines3 import DQN
from torch.nn import functional


class MeanDQN(DQN):
    """DQN; with ``squares_errors`` its values are means. A zip that it saved is one of its parent's."""

    squares_errors = False

    def train(self, gradient_steps: int, batch_size: int = 100) -> None:
        """Update the network with ``gradient_steps`` batches of the memory."""
        if not self.squares_errors:
            super().train(gradient_steps, batch_size)
            return
        assert self.replay_buffer is not None
        self.policy.set_training_mode(True)
        self._update_learning_rate(self.policy.optimizer)
        losses = []
        for _ in range(gradient_steps):
            batch = self.replay_buffer.sample(batch_size)
            discounts = self.gamma if batch.discounts is None else batch.discounts  # the latter of several rewards
            with torch.no_grad():
                following = self.q_net_target(batch.next_observations).max(dim=1, keepdim=True).values
                wanted = batch.rewards + (1.0 - batch.dones) * discounts * following
            value = self.q_net(batch.observations).gather(1, batch.actions.long())
            loss = functional.mse_loss(value, wanted)
            self.policy.optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            torch.nn.utils.clip_grad_norm_(self.policy.parameters(), self.max_grad_norm)
            self.policy.optimizer.step()
            losses.append(loss.item())
        self._n_updates += gradient_steps
        self.logger.record("train/n_updates", self._n_updates, exclude="tensorboard")
        self.logger.record("train/loss", np.mean(losses))
