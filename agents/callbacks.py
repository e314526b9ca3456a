"""What happens beside learning: business quantities in TensorBoard, the entropy schedule, keeping the best network."""

from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from stable_baselines3.common.callbacks import BaseCallback

from agents.export import network_policy
from agents.lagrangian import Spread
from flashsim.envs.reward import ConstraintConfig, RewardConfig
from flashsim.envs.sb3 import FlashSaleVecEnv
from flashsim.envs.spaces import ActionConfig
from flashsim.envs.vector import SaleBatch
from flashsim.errors import InputError
from flashsim.evaluation.rollout import play
from flashsim.plan import Plan
from flashsim.sim.streams import TRAINING_DOMAIN

PARTS_OF_SALE = 4  # depth and servers are shown for each quarter of the sale


@dataclass(frozen=True)
class CurvePoint:
    """One evaluation of greedy play during training."""

    steps: int
    """Env steps trained."""
    profit: float
    """Mean profit of a sale, currency."""
    standard_error: float
    reward: float | None = None
    """Mean reward of a sale, where that is not its profit."""
    excess: Mapping[str, float] = field(default_factory=dict)
    """Constraint -> mean excess of a sale; at most 0 where the mark is kept."""
    multipliers: Mapping[str, float] = field(default_factory=dict)
    """Constraint -> what training charged for a unit of excess, currency."""

    def row(self) -> dict[str, float]:
        """As a flat row of numbers, without those that this training has not."""
        row: dict[str, float] = {"steps": self.steps, "profit": self.profit, "standard_error": self.standard_error}
        row |= {} if self.reward is None else {"reward": self.reward}
        row |= {f"{name}_excess": value for name, value in self.excess.items()}
        return row | {f"{name}_multiplier": value for name, value in self.multipliers.items()}


class SaleMetrics(BaseCallback):
    """Adds up the ledger between two dumps of the logger and records it per sale, beside SB3's own quantities."""

    def __init__(self, plan: Plan, progress: Callable[[int], object]) -> None:
        super().__init__()
        self.plan, self.progress = plan, progress
        self._clear()

    def _clear(self) -> None:
        self._sums: dict[str, float] = dict.fromkeys(
            ("revenue", "goods_cost", "server_cost", "penalty", "salvage", "paid", "served", "errors", "abandoned"), 0.0
        )
        self._sales, self._ticks, self._unfeasible = 0, 0, 0.0
        self._latencies: list[Any] = []
        self._depth = np.zeros((PARTS_OF_SALE, 2))
        self._servers = np.zeros((PARTS_OF_SALE, 2))

    def _on_training_start(self) -> None:
        self._env().sales.listeners.append(self._add)

    def _on_training_end(self) -> None:
        self._env().sales.listeners.remove(self._add)

    def _env(self) -> FlashSaleVecEnv:
        assert isinstance(self.training_env, FlashSaleVecEnv)
        return self.training_env

    def _add(self, sales: SaleBatch, _reward: NDArray[np.float64], closed: NDArray[np.bool_]) -> None:
        """Add the ledger of one tick."""
        batch = sales.batch
        ledger, rows = batch.ledger, batch.rows
        for name in self._sums:
            self._sums[name] += float(rows(getattr(ledger, name)).sum())
        self._sales += int(closed.sum())
        self._ticks += closed.size
        self._unfeasible += float(rows(ledger.projected).sum())
        self._latencies.append(rows(ledger.latency_p95_s).copy())
        tick = np.where(closed, self.plan.ticks, rows(batch.state.tick)) - 1
        part = np.minimum(tick * PARTS_OF_SALE // self.plan.ticks, PARTS_OF_SALE - 1)
        depth = np.take_along_axis(self.plan.depths[None], rows(ledger.menu)[..., None], axis=2)[..., 0].mean(axis=1)
        for table, values in ((self._depth, depth), (self._servers, rows(ledger.servers))):
            table[:, 0] += np.bincount(part, weights=values, minlength=PARTS_OF_SALE)
            table[:, 1] += np.bincount(part, minlength=PARTS_OF_SALE)

    def _on_step(self) -> bool:
        self.progress(self._env().num_envs)
        if self._sales >= self._env().num_envs:
            self._record()
            self._clear()
        return True

    def _record(self) -> None:
        sums, sales = self._sums, max(self._sales, 1)
        profit = sums["revenue"] - sums["goods_cost"] - sums["server_cost"] - sums["penalty"] + sums["salvage"]
        record = self.logger.record
        record("sale/profit", profit / sales)
        for name in ("revenue", "goods_cost", "server_cost", "penalty", "salvage"):
            record(f"sale/{name}", sums[name] / sales)
        record("sale/sell_through", sums["paid"] / max(1, self._sales * int(self.plan.stock.sum())))
        record("service/error_share", sums["errors"] / max(1.0, sums["errors"] + sums["served"]))
        record("service/abandoned_per_sale", sums["abandoned"] / sales)
        record("service/latency_p95_s", float(np.quantile(np.concatenate(self._latencies), 0.95)))
        record("service/infeasible_share", self._unfeasible / max(1, self._ticks))
        for part in range(PARTS_OF_SALE):
            for name, table in (("depth", self._depth), ("servers", self._servers)):
                if table[part, 1]:
                    record(f"{name}/quarter_{part + 1}", float(table[part, 0] / table[part, 1]))


def check_rewards(rewards: NDArray[np.floating[Any]]) -> None:
    """InputError unless all ``rewards`` (sale,) are finite: one NaN would make every weight of a network NaN."""
    if not np.isfinite(rewards).all():
        row = int(np.flatnonzero(~np.isfinite(rewards))[0])
        raise InputError(
            f"reward: expected finite numbers, got {rewards[row]} for sale {row} of the batch; "
            "mend the sale or the weights of its reward"
        )


class FiniteRewards(BaseCallback):
    """Ends a training with a sentence before it learns from a reward that is no number."""

    def _on_training_start(self) -> None:
        self._batch().listeners.append(self._check)

    def _on_training_end(self) -> None:
        self._batch().listeners.remove(self._check)

    def _batch(self) -> SaleBatch:
        assert isinstance(self.training_env, FlashSaleVecEnv)
        return self.training_env.sales

    def _check(self, _sales: SaleBatch, reward: NDArray[np.float64], _closed: NDArray[np.bool_]) -> None:
        check_rewards(reward)

    def _on_step(self) -> bool:
        return True


class EntropySchedule(BaseCallback):
    """Lets PPO's entropy bonus fall linearly to 0 at ``until`` of the training."""

    def __init__(self, start: float, *, until: float) -> None:
        super().__init__()
        self.start, self.until = start, until

    def _on_rollout_start(self) -> None:
        done = 1.0 - self.model._current_progress_remaining
        self.model.ent_coef = self.start * max(0.0, 1.0 - done / self.until)  # type: ignore[attr-defined]

    def _on_step(self) -> bool:
        return True


class BestNetwork(BaseCallback):
    """Measures greedy play on separate training sales now and then, and keeps the network that earned most.

    Under constraints, one that keeps them goes before one that does not, and less excess before more; ``spread`` tells
    how much is much.
    """

    def __init__(
        self,
        plan: Plan,
        action: ActionConfig,
        *,
        every: int,
        sales: int,
        seed: int,
        spread: Spread,
        reward: RewardConfig,
        constraints: ConstraintConfig,
        from_start: bool = False,
    ) -> None:
        """``from_start``: the network is measured before it learns, too."""
        super().__init__()
        self.spread, self.reward, self.constraints = spread, reward, constraints
        self.plan, self.action = plan.with_members(plan.training_members), asdict(action)
        self.every, self.sales, self.first_seed = every, sales, seed
        self.curve: list[CurvePoint] = []
        self.best: tuple[tuple[float, float], dict[str, Any]] | None = None
        """Excess, the less the larger, and worth of the best network, and its weights."""
        self.next = 0 if from_start else every

    def _on_step(self) -> bool:
        return True

    def _on_rollout_start(self) -> None:
        if self.num_timesteps >= self.next:
            self.measure()
            self.next += self.every

    def measure(self) -> None:
        """Play greedily; remember the network if it is the best so far."""
        policy = network_policy(self.model, self.plan, name="candidate", action=self.action, training={})
        totals = play(
            self.plan,
            policy,
            sales=self.sales,
            seed=self.first_seed,
            domain=TRAINING_DOMAIN,
            reward=self.reward,
            constraints=self.constraints,
        ).totals
        names = self.constraints.names
        profit, error = float(totals["profit"].mean()), float(totals["profit"].std(ddof=1) / np.sqrt(self.sales))
        reward = None if self.reward == RewardConfig() else float(totals["reward"].mean())
        excess = {name: float(totals[f"{name}_excess"].mean()) for name in names}
        multipliers = dict(zip(names, self._multipliers(), strict=True))
        point = CurvePoint(self.num_timesteps, profit, error, reward, excess, multipliers)
        self.curve.append(point)
        for name, value in point.row().items():
            if name not in ("steps", "standard_error"):
                self.logger.record(f"greedy/{name}", value)
        too_much = sum(
            max(0.0, value / spread) for value, spread in zip(excess.values(), self.spread.excess, strict=True)
        )
        standing = (-too_much, profit if reward is None else reward)
        if self.best is None or standing > self.best[0]:
            self.best = (standing, deepcopy(self.model.policy.state_dict()))

    def _multipliers(self) -> list[float]:
        assert isinstance(self.training_env, FlashSaleVecEnv)
        multipliers: list[float] = self.training_env.sales.multipliers.tolist()
        return multipliers

    def restore(self) -> None:
        """Measure once more and give the model its best network."""
        self.measure()
        assert self.best is not None
        self.model.policy.load_state_dict(self.best[1])
