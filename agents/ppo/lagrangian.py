"""Constraints by Lagrange multipliers: what a sale is charged for each unit of excess, learned beside the policy.

With r the reward of a sale and e_k the excess of constraint k (``reward.ConstraintConfig``; kept when its mean is at
most 0), the policy ascends and the multipliers descend on

    L(π, λ) = E[r] - Σ_k λ_k E[e_k],    λ_k ← max(0, λ_k + α · s_r/s_k · mean(e_k)/s_k)

where s_r and s_k are the spreads of r and e_k under a random policy, so that the rate α has no unit and λ_k is in
currency a unit of excess: the shadow price of a visit that is too slow, of an error, of a missing margin. The mean is
that of one rollout, and the charge is part of the reward that the policy learns from.

Left out: a value function for each constraint, and averaging of the policies that the saddle point may need: the
network that is kept is one that meets the constraints in greedy play, if any does.

Source: Altman (1999), Constrained Markov Decision Processes; Tessler, Mankowitz & Mannor (2019), arXiv:1805.11074.
"""

import numpy as np
from numpy.typing import NDArray
from stable_baselines3.common.callbacks import BaseCallback

from agents.start.reward_scale import Spread
from flashsim.envs.sb3 import FlashSaleVecEnv
from flashsim.envs.vector import SaleBatch


def ascend(
    multipliers: NDArray[np.float64], excess: NDArray[np.float64], *, spread: Spread, rate: float
) -> NDArray[np.float64]:
    """The multipliers (constraint,) after a rollout in which a sale had ``excess`` (constraint,) on average."""
    return np.maximum(0.0, multipliers + rate * spread.reward / spread.excess * (excess / spread.excess))


class Lagrangian(BaseCallback):
    """Moves the multipliers of a batch of sales after each rollout, and logs them."""

    def __init__(self, spread: Spread, *, rate: float) -> None:
        super().__init__()
        self.spread, self.rate = spread, rate
        self._sum, self._sales = np.zeros_like(spread.excess), 0

    def _batch(self) -> SaleBatch:
        assert isinstance(self.training_env, FlashSaleVecEnv)
        return self.training_env.sales

    def _on_training_start(self) -> None:
        self._batch().listeners.append(self._add)

    def _on_training_end(self) -> None:
        self._batch().listeners.remove(self._add)

    def _add(self, sales: SaleBatch, _reward: NDArray[np.float64], closed: NDArray[np.bool_]) -> None:
        self._sum += sales.excess.sum(axis=1)
        self._sales += int(closed.sum())

    def _on_step(self) -> bool:
        return True

    def _on_rollout_end(self) -> None:
        sales = self._batch()
        excess = self._sum / max(1, self._sales)
        sales.multipliers[:] = ascend(sales.multipliers, excess, spread=self.spread, rate=self.rate)
        for name, multiplier, mean in zip(sales.constraints.names, sales.multipliers, excess, strict=True):
            self.logger.record(f"constraints/{name}_multiplier", float(multiplier))
            self.logger.record(f"constraints/{name}_excess", float(mean))
        self._sum[:], self._sales = 0.0, 0
