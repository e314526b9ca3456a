"""DQN of Stable-Baselines3 with the loss of a mean, and an average of its networks to play with.

Stable-Baselines3 minimizes Huber's loss of δ = r + γ·max_a' Q⁻(s', a') - Q(s, a): δ²/2 up to |δ| = 1 and |δ| - 1/2
beyond. What minimizes it is no mean where errors are skewed: the sale of one of a few units, which is rare and worth
much, counts as if it were worth less, and values along a hundred ticks add these shortfalls up. The square δ² is
minimized by the mean, which the equation of optimality is about.

Every update moves the network by what a few hundred transitions happened to earn. Where actions differ by little, that
decides which of them is greedy, and networks that follow each other earn amounts that wander. Their average, over many
updates, does not. It is played, kept and exported; the network itself explores and learns as it would without.

Source: Mnih et al. (2015), Nature 518; Huber (1964), Annals of Mathematical Statistics 35(1), for what his loss
estimates; Polyak & Juditsky (1992), SIAM Journal on Control and Optimization 30(4), for averages of what is learned.
"""

from copy import deepcopy

import numpy as np
import torch
from stable_baselines3 import DQN
from stable_baselines3.common.type_aliases import ReplayBufferSamples
from stable_baselines3.common.utils import polyak_update
from stable_baselines3.dqn.policies import QNetwork
from torch.nn import functional

from agents.dqn.cpu_update import CpuUpdate, can_be_fused


def played(model: DQN) -> QNetwork:
    """The network by whose values greedy play goes: the average, if ``model`` keeps one."""
    network: QNetwork = getattr(model.policy, "average", model.q_net)
    return network


class MeanDQN(DQN):
    """DQN; with ``squares_errors`` its values are means. A zip of it, after :meth:`play_plainly`, is its parent's."""

    squares_errors = False
    average_share = 1.0
    fused: CpuUpdate | None = None

    def _excluded_save_params(self) -> list[str]:
        return [*super()._excluded_save_params(), "fused"]

    def fuse(self) -> None:
        """Let compiled code make the updates, if it knows the network; else torch goes on with them."""
        if can_be_fused(self.q_net):
            self.fused = CpuUpdate(self.policy)

    def play_average(self, share: float) -> None:
        """Keep an average of the network, which each vector step moves towards it by ``share``.

        As a part of the policy it is in the weights that a checkpoint holds and that are kept of a training.
        """
        self.average_share = share
        self.policy.average = deepcopy(self.q_net).requires_grad_(requires_grad=False)

    def play_plainly(self) -> None:
        """Let the network be what is played, and keep no average any more."""
        average = played(self)
        if average is not self.q_net:
            self.q_net.load_state_dict(average.state_dict())
            del self.policy.average

    def train(self, gradient_steps: int, batch_size: int = 100) -> None:
        """Update the network with ``gradient_steps`` batches of the memory, and the average with the network."""
        if self.squares_errors or self.fused is not None:
            self._train_here(gradient_steps, batch_size)
        else:
            super().train(gradient_steps, batch_size)
        average = played(self)
        if average is not self.q_net:
            share = max(self.average_share, gradient_steps / self._n_updates)  # the first is the network itself
            polyak_update(self.q_net.parameters(), average.parameters(), share)

    def _train_here(self, gradient_steps: int, batch_size: int) -> None:
        assert self.replay_buffer is not None
        self.policy.set_training_mode(True)
        self._update_learning_rate(self.policy.optimizer)
        descend = self._descend if self.fused is None else self._descend_fused
        losses = [descend(self.replay_buffer.sample(batch_size)) for _ in range(gradient_steps)]
        self._n_updates += gradient_steps
        self.logger.record("train/n_updates", self._n_updates, exclude="tensorboard")
        self.logger.record("train/loss", np.mean(losses))

    def _descend_fused(self, batch: ReplayBufferSamples) -> float:
        """One step by compiled code, on either loss."""
        assert self.fused is not None
        return self.fused.learn(
            batch, gamma=self.gamma, squares_errors=self.squares_errors, max_grad_norm=self.max_grad_norm
        )

    def _descend(self, batch: ReplayBufferSamples) -> float:
        """One step of the optimizer on mean squares, by torch; returns the loss before."""
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
        return loss.item()
