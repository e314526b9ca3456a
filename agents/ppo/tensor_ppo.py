"""PPO of Stable-Baselines3 with its rollouts on the device: the same algorithm and checkpoint, without the traffic.

A vector step makes one copy of actions out and one of observations, rewards and ends in, and runs no Python for each
sale. On the cpu the update is one call of compiled code (``agents.compiled.ppo_update``) if that knows the networks.
Elsewhere torch makes it (advantages, minibatches, losses, sums for the log), and asks the device for nothing: it runs
the same with every tensor on ``meta``. What it measured is read once an iteration, when the log is written.

At equal seeds it draws the same actions and the same minibatches as its parent, and does the same arithmetic but for
rounding. A zip that it saved is one of its parent's: ``PPO.load`` reads it where this module does not exist.

Left out: early stopping at a KL divergence (it would read a value in each minibatch), state-dependent exploration,
continuous actions, and envs other than batches of sales, whose episodes are never cut short.

Source: Schulman et al. (2017), arXiv:1707.06347, equations 7 and 9; Stable-Baselines3's ``PPO.train``.
"""

import numpy as np
import torch
from gymnasium import spaces
from numpy.typing import NDArray
from stable_baselines3 import PPO
from stable_baselines3.common.buffers import RolloutBuffer
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.vec_env.base_vec_env import VecEnv
from torch.nn import functional

from agents.flat_adam import FlatAdam
from agents.ppo.cpu_update import CpuUpdate, can_be_fused
from agents.ppo.tensor_rollout import Samples, TensorRollout
from flashsim.envs.reward import check_rewards
from flashsim.envs.sb3 import FlashSaleVecEnv
from flashsim.errors import InputError

MEASURED = (
    "policy_gradient_loss",
    "value_loss",
    "entropy_loss",
    "clip_fraction",
    "approx_kl",
    "loss",
    "explained_variance",
)


def counted(batches: int, epochs: int) -> list[int]:
    """How many minibatches each sum of ``MEASURED`` but the last is of, with ``batches`` in an epoch: the divergence is
    that of the last epoch, the loss that of the last minibatch."""
    counts = [batches * epochs] * (len(MEASURED) - 1)
    counts[MEASURED.index("approx_kl")], counts[MEASURED.index("loss")] = batches, 1
    return counts


class TensorPPO(PPO):
    """PPO on a :class:`FlashSaleVecEnv`; arguments as for ``stable_baselines3.PPO``."""

    def _setup_model(self) -> None:
        if self.target_kl is not None or self.use_sde or self.clip_range_vf is not None:
            raise InputError("TensorPPO: target_kl, use_sde and clip_range_vf are not supported; leave them out")
        super()._setup_model()
        if not isinstance(self.action_space, spaces.Discrete | spaces.MultiDiscrete):
            raise InputError(f"TensorPPO: expected Discrete or MultiDiscrete actions, got {self.action_space}")
        assert self.observation_space.shape is not None
        assert self.action_space.shape is not None
        self.rollout = TensorRollout(
            self.n_steps,
            self.n_envs,
            features=int(np.prod(self.observation_space.shape)),
            action_shape=self.action_space.shape,
            device=self.device,
        )
        optimizer = FlatAdam.in_place_of(self.policy.optimizer, self.policy.parameters())
        self.policy.optimizer = optimizer
        self.fused = CpuUpdate(self.policy, optimizer) if can_be_fused(self.policy) else None
        self.order = torch.zeros((self.n_epochs, self.n_steps * self.n_envs), dtype=torch.int64, device=self.device)
        self.measured: torch.Tensor | None = None
        self.returns, self.lengths = np.zeros(self.n_envs), np.zeros(self.n_envs, np.int64)

    def _maybe_recommend_cpu(self, mlp_class_name: str = "ActorCriticPolicy") -> None:
        """Nothing: the advice to stay on the cpu is for rollouts that do."""

    def _excluded_save_params(self) -> list[str]:
        own = ["rollout", "order", "fused", "measured", "returns", "lengths", "_last_obs", "_last_episode_starts"]
        return [*super()._excluded_save_params(), *own]

    def collect_rollouts(
        self, env: VecEnv, callback: BaseCallback, rollout_buffer: RolloutBuffer, n_rollout_steps: int
    ) -> bool:
        """Play ``n_rollout_steps`` vector steps; False when the callback ends the training."""
        if not isinstance(env, FlashSaleVecEnv):
            raise InputError(f"TensorPPO: expected a batch of sales from make_sb3, got {type(env).__name__}")
        self.policy.set_training_mode(False)
        rollout = self.rollout
        if isinstance(self._last_obs, np.ndarray):  # fresh from env.reset()
            nothing = np.zeros(self.n_envs, np.float32)
            rollout.receive(0, self._last_obs, reward=nothing, closed=np.ones(self.n_envs, np.bool_))
            self.returns[:], self.lengths[:] = 0.0, 0
        rollout.begin_again()
        callback.on_rollout_start()
        for step in range(n_rollout_steps):
            with torch.no_grad():
                actions, values, log_probs = self.policy(rollout.observation(step))
            orders = rollout.decide(step, actions, values=values, log_probs=log_probs)
            observation, reward, closed = self._pass_tick(env, orders)
            rollout.receive(step + 1, observation, reward=reward, closed=closed)
            self._last_obs = rollout.observation(step + 1)  # type: ignore[assignment]
            self.num_timesteps += env.num_envs
            callback.update_locals(locals())
            if not callback.on_step():
                return False
        # Drawn as its parent does, but before the update, which then finds them on the device.
        self.order.copy_(torch.from_numpy(np.stack([np.random.permutation(self.order.shape[1]) for _ in self.order])))  # noqa: NPY002
        callback.on_rollout_end()
        return True

    def _pass_tick(
        self, env: FlashSaleVecEnv, orders: NDArray[np.int64]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.bool_]]:
        """Let one decision pass and restart the sales that ended; InputError on a reward that is no number."""
        reward, closed = env.sales.step(orders)
        check_rewards(reward)
        self.returns += reward
        self.lengths += 1
        observation = env.sales.seen()
        if closed.any():
            assert self.ep_info_buffer is not None
            self.ep_info_buffer.append({"r": self.returns[closed].mean(), "l": self.lengths[closed].mean()})
            self.returns[closed], self.lengths[closed] = 0.0, 0
            env.sales.open(closed)
            observation = env.sales.observe()
        return observation, (reward / env.reward_scale).astype(np.float32), closed

    def train(self) -> None:
        """Update the policy with the rollout; nothing is read from the device."""
        self.policy.set_training_mode(True)
        self._update_learning_rate(self.policy.optimizer)
        with torch.no_grad():
            last_values = self.policy.predict_values(self.rollout.observation(self.n_steps))
            advantages = self.rollout.advantages(last_values, gamma=self.gamma, gae_lambda=self.gae_lambda)
        samples = self.rollout.samples(advantages)
        learn = self._learn if self.fused is None else self._learn_fused
        self.measured = self._means(learn(samples), samples)
        self._n_updates += self.n_epochs

    def _learn_fused(self, samples: Samples) -> torch.Tensor:
        """All minibatches in one call; as :meth:`_learn`."""
        assert self.fused is not None
        measured = self.fused.learn(
            samples,
            self.order.numpy(),
            batch_size=self.batch_size,
            clip_range=self.clip_range(self._current_progress_remaining),  # type: ignore[operator]
            ent_coef=self.ent_coef,
            vf_coef=self.vf_coef,
            max_grad_norm=self.max_grad_norm,
            normalizes=self.normalize_advantage,
        )
        return torch.from_numpy(measured)

    def _learn(self, samples: Samples) -> torch.Tensor:
        """Learn minibatch by minibatch; the sums of ``MEASURED`` but the last, of the loss that of the last one."""
        sums = torch.zeros(len(MEASURED) - 1, device=self.device)
        for order in self.order:
            sums[MEASURED.index("approx_kl")].zero_()  # its parent shows that of the last epoch alone
            shuffled = Samples(*(column[order] for column in samples))
            for batch in zip(*(torch.split(column, self.batch_size) for column in shuffled), strict=True):
                found = self._update(Samples(*batch))
                sums += found
        sums[MEASURED.index("loss")].copy_(found[MEASURED.index("loss")])
        return sums

    def _update(self, batch: Samples) -> torch.Tensor:
        """One step of the optimizer; the quantities of ``MEASURED`` but the last."""
        clip_range = self.clip_range(self._current_progress_remaining)  # type: ignore[operator]
        values, log_prob, entropy = self.policy.evaluate_actions(batch.observations, batch.actions)
        assert entropy is not None
        advantages = batch.advantages
        if self.normalize_advantage and len(advantages) > 1:
            advantages = (advantages - advantages.mean()) / (advantages.std() + 1e-8)
        log_ratio = log_prob - batch.log_probs
        ratio = torch.exp(log_ratio)
        clipped = torch.clamp(ratio, 1.0 - clip_range, 1.0 + clip_range)
        policy_loss = -torch.min(advantages * ratio, advantages * clipped).mean()
        value_loss = functional.mse_loss(batch.returns, values.flatten())
        entropy_loss = -entropy.mean()
        loss = policy_loss + self.ent_coef * entropy_loss + self.vf_coef * value_loss
        optimizer = self.policy.optimizer
        assert isinstance(optimizer, FlatAdam)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.clip(self.max_grad_norm)
        optimizer.step()
        with torch.no_grad():
            clip_fraction = ((ratio - 1.0).abs() > clip_range).float().mean()
            divergence = ((ratio - 1.0) - log_ratio).mean()
            return torch.stack([policy_loss, value_loss, entropy_loss, clip_fraction, divergence, loss]).detach()

    def _means(self, sums: torch.Tensor, samples: Samples) -> torch.Tensor:
        """What the log shows of an update, in the order of ``MEASURED``."""
        batches = -(-len(samples.returns) // self.batch_size)  # of an epoch
        means = [total / count for total, count in zip(sums, counted(batches, self.n_epochs), strict=True)]
        spread = samples.returns.var()
        unexplained = (samples.returns - samples.values).var()
        explained = torch.where(spread > 0.0, 1.0 - unexplained / spread, torch.full_like(spread, torch.nan))
        return torch.stack([*means, explained])

    def dump_logs(self, iteration: int = 0) -> None:
        """Read what the last update measured, and write the log."""
        if self.measured is not None:
            for name, value in zip(MEASURED, self.measured.tolist(), strict=True):
                self.logger.record(f"train/{name}", value)
            self.logger.record("train/n_updates", self._n_updates, exclude="tensorboard")
            self.logger.record("train/clip_range", self.clip_range(self._current_progress_remaining))  # type: ignore[operator]
            self.measured = None
        super().dump_logs(iteration)
