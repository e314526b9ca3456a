"""What happens beside learning: business quantities in TensorBoard, a check of rewards, keeping the best network."""

from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from stable_baselines3.common.callbacks import BaseCallback

from agents.export import network_policy
from agents.learner import GreedyNetwork
from agents.start.paired_rewards import PairedSales
from agents.start.reward_scale import Spread
from flashsim.envs.actions import ActionConfig
from flashsim.envs.quantities import ERROR_SHARE, MONEY_TERMS
from flashsim.envs.reward import ConstraintConfig, RewardConfig, check_rewards
from flashsim.envs.sb3 import FlashSaleVecEnv
from flashsim.envs.vector import SaleBatch
from flashsim.evaluation.evidence.standing import guardrail_excess, lead_over
from flashsim.evaluation.rollout import Rollout, play
from flashsim.policies.bundle import Policy
from flashsim.scenarios.compiled import CompiledSale
from flashsim.sim.streams import TRAINING_DOMAIN

PARTS_OF_SALE = 4  # depth and servers are shown for each quarter of the sale
_SUMMED = (
    *MONEY_TERMS,
    *("ordered", "paid", "served", "errors", "abandoned"),
)


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
    lead: float | None = None
    """Mean reward of a sale above that of its twin: the same sale run by the rule at which an assisted agent starts."""
    lead_error: float | None = None
    """Its standard error over world members."""
    excess: Mapping[str, float] = field(default_factory=dict)
    """Constraint -> mean excess of a sale; at most 0 where the constraint is met."""
    multipliers: Mapping[str, float] = field(default_factory=dict)
    """Constraint -> what training charged for a unit of excess, currency."""
    guardrail_excess: float | None = None
    """By how much the outer ends of the guardrails' intervals lie beyond their limits, in limits; 0: all are kept."""

    def row(self) -> dict[str, float]:
        """As a flat row of numbers, without those that this training has not."""
        row: dict[str, float] = {"steps": self.steps, "profit": self.profit, "standard_error": self.standard_error}
        row |= {} if self.reward is None else {"reward": self.reward}
        row |= (
            {} if self.lead is None or self.lead_error is None else {"lead": self.lead, "lead_error": self.lead_error}
        )
        row |= {f"{name}_excess": value for name, value in self.excess.items()}
        row |= {} if self.guardrail_excess is None else {"guardrail_excess": self.guardrail_excess}
        return row | {f"{name}_multiplier": value for name, value in self.multipliers.items()}


class SaleMetrics(BaseCallback):
    """Adds up the ledger between two dumps of the logger and records it per sale, beside SB3's own quantities.

    ``slow_tick_latency_p95_s``: 95 % of the visits of a tick are served within it, but in one slow tick of twenty.
    """

    def __init__(self, sale: CompiledSale, progress: Callable[[int], object]) -> None:
        super().__init__()
        self.sale, self.progress = sale, progress
        self._clear()

    def _clear(self) -> None:
        self._sums: dict[str, float] = dict.fromkeys(_SUMMED, 0.0)
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
        tick = np.where(closed, self.sale.ticks, rows(batch.state.tick)) - 1
        is_open = tick >= 0
        part = np.minimum(tick * PARTS_OF_SALE // self.sale.ticks, PARTS_OF_SALE - 1)[is_open]
        depth = np.take_along_axis(self.sale.depths[None], rows(ledger.price_index)[..., None], axis=2)[..., 0].mean(
            axis=1
        )
        for table, values in ((self._depth, depth), (self._servers, rows(ledger.servers))):
            table[:, 0] += np.bincount(part, weights=values[is_open], minlength=PARTS_OF_SALE)
            table[:, 1] += np.bincount(part, minlength=PARTS_OF_SALE)

    def _on_step(self) -> bool:
        self.progress(self._env().num_envs)
        if self._sales >= self._env().num_envs:
            self._record()
            self._clear()
        return True

    def _record(self) -> None:
        sums, sales = self._sums, max(self._sales, 1)
        record = self.logger.record
        record("sale/profit", sum(sign * sums[name] for name, sign in MONEY_TERMS.items()) / sales)
        for name in MONEY_TERMS:
            record(f"sale/{name}", sums[name] / sales)
        stock = self._sales * int(self.sale.stock.sum()) + sums["ordered"]
        record("sale/sell_through", sums["paid"] / max(1.0, stock))
        finished = {name: np.array([sums[name]]) for name in ("errors", "abandoned", "served")}
        record("service/error_share", float(ERROR_SHARE(finished)[0]))
        record("service/abandoned_per_sale", sums["abandoned"] / sales)
        record("service/slow_tick_latency_p95_s", float(np.quantile(np.concatenate(self._latencies), 0.95)))
        record("service/infeasible_share", self._unfeasible / max(1, self._ticks))
        for part in range(PARTS_OF_SALE):
            for name, table in (("depth", self._depth), ("servers", self._servers)):
                if table[part, 1]:
                    record(f"{name}/quarter_{part + 1}", float(table[part, 0] / table[part, 1]))


class FiniteRewards(BaseCallback):
    """Ends a training with a sentence before it learns from a reward that is no number."""

    def _on_training_start(self) -> None:
        for batch in self._batches():
            batch.listeners.append(self._check)

    def _on_training_end(self) -> None:
        for batch in self._batches():
            batch.listeners.remove(self._check)

    def _batches(self) -> list[SaleBatch]:
        """The sales, and their twins if they have any."""
        assert isinstance(self.training_env, FlashSaleVecEnv)
        sales = self.training_env.sales
        return [sales, sales.twins] if isinstance(sales, PairedSales) else [sales]

    def _check(self, _sales: SaleBatch, reward: NDArray[np.float64], _closed: NDArray[np.bool_]) -> None:
        check_rewards(reward)

    def _on_step(self) -> bool:
        return True


class BestNetwork(BaseCallback):
    """Measures greedy play on separate training sales now and then, and keeps the network that earned most.

    An agent that starts at a rule is measured before it learns, too, and by its lead over the rule: the network is kept
    whose lead less its standard error over world members is largest, for what one member gives, other worlds need not.
    Under constraints, a network that meets them goes before one that does not, and less excess before more, each
    divided by its ``spread``. Then guardrails count in the same way.

    Source: the rule of one standard error, Breiman et al. (1984), Classification and Regression Trees, section 3.4.3.
    """

    def __init__(
        self,
        sale: CompiledSale,
        action: ActionConfig,
        *,
        every: int,
        sales: int,
        seed: int,
        spread: Spread,
        reward: RewardConfig,
        constraints: ConstraintConfig,
        network: Callable[[Any], GreedyNetwork],
        guardrails: Mapping[str, float],
        rule: Policy | None = None,
    ) -> None:
        """``network`` takes the greedy policy out of the model, ``rule`` is that to lead."""
        super().__init__()
        self.guardrails = guardrails
        self.spread, self.reward, self.constraints = spread, reward, constraints
        self.sale, self.action = sale.with_members(sale.training_members), asdict(action)
        self.every, self.sales, self.first_seed = every, sales, seed
        self.curve: list[CurvePoint] = []
        self.best: dict[str, Any] = {}
        """Weights of the network that is kept; none before the first evaluation."""
        self.network, self.next = network, every if rule is None else 0
        self.twins = None if rule is None else self._play(rule)

    def _on_step(self) -> bool:
        return True

    def _on_rollout_start(self) -> None:
        if self.num_timesteps >= self.next:
            self.measure()
            self.next += self.every

    def measure(self) -> None:
        """Play greedily; remember the network if it is the best so far."""
        network = self.network(self.model)
        rollout = self._play(network_policy(network, self.sale, name="candidate", action=self.action, training={}))
        totals, names = rollout.totals, self.constraints.names
        profit, error = float(totals["profit"].mean()), float(totals["profit"].std(ddof=1) / np.sqrt(self.sales))
        is_profit = self.reward == RewardConfig()
        reward = None if is_profit else float(totals["reward"].mean())
        lead, unsure = None, None
        if self.twins is not None:
            lead, unsure = lead_over(self.twins, rollout, kpi="profit" if is_profit else "reward")
        excess = {name: float(totals[f"{name}_excess"].mean()) for name in names}
        multipliers = dict(zip(names, self._multipliers(), strict=True))
        beyond = guardrail_excess(rollout, self.guardrails) if self.guardrails else None
        point = CurvePoint(self.num_timesteps, profit, error, reward, lead, unsure, excess, multipliers, beyond)
        if not self.curve or self._standing(point) > self._standing(self.kept):
            self.best = deepcopy(self.model.policy.state_dict())
        self.curve.append(point)
        hidden = ("steps", "standard_error", "lead_error")
        shown = {f"greedy/{name}": value for name, value in point.row().items() if name not in hidden}
        for writer in self.logger.output_formats:  # now: with the rest they would be shown a rollout late
            writer.write(shown, dict.fromkeys(shown, ()), self.num_timesteps)

    def _standing(self, point: CurvePoint) -> tuple[float, float, float]:
        """Excess over constraints and guardrails, the less the larger, and worth."""
        spreads = zip(point.excess.values(), self.spread.excess, strict=True)
        too_much = sum(max(0.0, value / spread) for value, spread in spreads)
        worth = point.profit if point.reward is None else point.reward
        cautious = worth if point.lead is None or point.lead_error is None else point.lead - point.lead_error
        return -too_much, -(point.guardrail_excess or 0.0), cautious

    @property
    def kept(self) -> CurvePoint:
        """The evaluation of the network that is kept: of those of largest standing the first."""
        return max(self.curve, key=self._standing)

    def _play(self, policy: Policy) -> Rollout:
        return play(
            self.sale,
            policy,
            sales=self.sales,
            seed=self.first_seed,
            domain=TRAINING_DOMAIN,
            reward=self.reward,
            constraints=self.constraints,
        )

    def _multipliers(self) -> list[float]:
        assert isinstance(self.training_env, FlashSaleVecEnv)
        multipliers: list[float] = self.training_env.sales.multipliers.tolist()
        return multipliers

    def restore(self) -> None:
        """Measure once more and give the model its best network."""
        self.measure()
        self.model.policy.load_state_dict(self.best)
