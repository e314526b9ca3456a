"""Maskable PPO of sb3-contrib, whose update on the cpu is the compiled one; a zip that it saved is one of its parent's.

At equal seeds it draws the same minibatches as its parent, and does the same arithmetic but for rounding.

Source: Huang & Ontañón (2022), arXiv:2006.14171.
"""

import numpy as np
import sb3_contrib
import torch
from stable_baselines3.common.utils import explained_variance

from agents.flat_adam import FlatAdam
from agents.ppo.cpu_update import CpuUpdate, can_be_fused
from agents.ppo.tensor_ppo import MEASURED, counted
from agents.ppo.tensor_rollout import Samples


class MaskablePPO(sb3_contrib.MaskablePPO):
    """Arguments as for ``sb3_contrib.MaskablePPO``."""

    fused: CpuUpdate | None = None

    def _setup_model(self) -> None:
        super()._setup_model()
        if can_be_fused(self.policy) and self.target_kl is None and self.clip_range_vf is None:
            optimizer = FlatAdam.in_place_of(self.policy.optimizer, self.policy.parameters())
            self.policy.optimizer = optimizer
            self.fused = CpuUpdate(self.policy, optimizer)

    def _excluded_save_params(self) -> list[str]:
        return [*super()._excluded_save_params(), "fused"]

    def train(self) -> None:
        """Update the policy with the rollout, and record what was measured."""
        if self.fused is None:
            super().train()
            return
        self.policy.set_training_mode(True)
        self._update_learning_rate(self.policy.optimizer)
        samples, masks = self._samples()
        many = len(samples.returns)
        batch_size = many if self.batch_size is None else self.batch_size
        clip_range = self.clip_range(self._current_progress_remaining)  # type: ignore[operator]
        sums = self.fused.learn(
            samples,
            np.stack([np.random.permutation(many) for _ in range(self.n_epochs)]),  # noqa: NPY002  (as its parent)
            batch_size=batch_size,
            max_grad_norm=self.max_grad_norm,
            masks=masks,
            clip_range=clip_range,
            ent_coef=self.ent_coef,
            vf_coef=self.vf_coef,
            normalizes=self.normalize_advantage,
        )
        self._n_updates += self.n_epochs
        batches = -(-many // batch_size)
        for name, total, count in zip(MEASURED, sums, counted(batches, self.n_epochs), strict=False):
            self.logger.record(f"train/{name}", total / count)
        explained = explained_variance(samples.values.numpy(), samples.returns.numpy())
        self.logger.record("train/explained_variance", explained)
        self.logger.record("train/n_updates", self._n_updates, exclude="tensorboard")
        self.logger.record("train/clip_range", clip_range)

    def _samples(self) -> tuple[Samples, np.ndarray]:
        """All decisions of the rollout, sale by sale, and which choices were feasible then."""
        buffer = self.rollout_buffer
        names = ("observations", "actions", "log_probs", "values", "advantages", "returns", "action_masks")
        columns = {name: buffer.swap_and_flatten(getattr(buffer, name)) for name in names}
        masks = columns.pop("action_masks").astype(np.bool_)
        columns["actions"] = columns["actions"].astype(np.int64)
        for name in ("log_probs", "values", "advantages", "returns"):
            columns[name] = columns[name].reshape(-1)
        return Samples(**{name: torch.from_numpy(column) for name, column in columns.items()}), masks
