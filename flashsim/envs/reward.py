"""Rewards: weighted ledgers. The simulator states facts; here they are judged.

The reward of a tick is a weighted sum of amounts of the ledger, plus, where their weights are not zero, two rates; that
of a decision is the sum over its ticks, so that a sale is worth the same however often it is decided on:

    conversion            c_t = units paid_t / visits served_t
    revenue conversion    g_t - g_t-1 with g_t = revenue_t / visitors_t

The second is the difference of revenue conversion rates of the Tmall experiment, where t is a day and here a tick.
Undiscounted, it telescopes: a whole sale is worth the rate at its end less that at its start. Discount (gamma < 1) to
value what lies between. Source: Liu et al. (2019), arXiv:1912.02572, who found that it trains better than revenue.

Constraints are marks that a sale shall keep: their excess is negative where there is room, and its sum over ticks and
sales is at most 0 just where all visits or all revenue taken together keep the mark.

    latency   visits slower than the mark - 5 % of those answered        (95th percentile of latency)
    errors    errors - mark · (served + abandoned + errors)
    margin    mark · revenue - (revenue - cost of goods + salvage)

What is bounded is defined in :mod:`flashsim.envs.quantities`, once for constraints, costs and KPIs.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flashsim.envs.quantities import (
    ERROR_SHARE,
    GROSS_MARGIN,
    MONEY_TERMS,
    Amounts,
    AmountsOfTick,
    Quantity,
    Waits,
    amount,
    answered_visits,
    slow_visits_excess,
    visitors,
)
from flashsim.errors import InputError, LearningError
from flashsim.sim.cache import compiled
from flashsim.sim.ledger import Ledger
from flashsim.sim.parameters import arguments_type, check_range

COSTS: Mapping[str, Quantity] = {"latency_p95_s": amount("latency_p95_s"), "error_share": ERROR_SHARE}
"""The entries of ``info["cost"]`` that are always there; constraints add theirs."""


@dataclass(frozen=True)
class RewardConfig:
    """Weight of each amount of the ledger in the reward, 1/currency, and of two rates. The default is profit."""

    revenue: float = MONEY_TERMS["revenue"]
    goods_cost: float = MONEY_TERMS["goods_cost"]
    """Cost of units sold and, at the close, of those left over: they were bought for the sale."""
    server_cost: float = MONEY_TERMS["server_cost"]
    penalty: float = MONEY_TERMS["penalty"]
    salvage: float = MONEY_TERMS["salvage"]
    conversion: float = 0.0
    """Of units paid over visits served in a tick."""
    revenue_conversion_gain: float = 0.0
    """Of revenue a visitor, 1/currency, in a tick less that in the tick before; at first 0."""

    def __post_init__(self) -> None:
        for field in fields(self):
            if not np.isfinite(getattr(self, field.name)):
                raise InputError(f"reward {field.name} must be a finite number, got {getattr(self, field.name)!r}")


RewardConfigArguments = arguments_type(RewardConfig, __name__)


@dataclass(frozen=True)
class ConstraintConfig:
    """Marks that sales shall keep on the whole; null: not asked for."""

    latency_p95_s: float | None = None
    """Seconds within which 95 % of the visits are to be answered."""
    error_share: float | None = None
    """Visits that may end in an error, share."""
    margin: float | None = None
    """Gross margin to be left of the revenue, goods left over and their salvage included, share."""

    def __post_init__(self) -> None:
        if self.latency_p95_s is not None:
            check_range("constraints latency_p95_s", self.latency_p95_s, 1e-6, 1e6)
        if self.error_share is not None:
            check_range("constraints error_share", self.error_share, 0.0, 1.0)
        if self.margin is not None:
            check_range("constraints margin", self.margin, -1e6, 1.0)

    @property
    def names(self) -> tuple[str, ...]:
        """The constraints that are asked for, in order."""
        return tuple(field.name for field in fields(self) if getattr(self, field.name) is not None)

    def excess(self, ledger: Ledger, rows: Any, *, unloaded_latency_s: float) -> NDArray[np.float64]:
        """What a tick adds to each constraint, (constraint, sale); at most 0 in all where the mark is kept."""
        found, amounts = [], AmountsOfTick(ledger, rows)
        answered = answered_visits(amounts)
        if self.latency_p95_s is not None:
            longest_wait = self.latency_p95_s - unloaded_latency_s
            found.append(slow_visits_excess(Waits.of_tick(ledger, rows), answered, most_s=longest_wait))
        if self.error_share is not None:
            found.append(ERROR_SHARE.excess(amounts, most=self.error_share))
        if self.margin is not None:
            found.append(GROSS_MARGIN.shortfall(amounts, least=self.margin))
        return np.array(found).reshape(len(found), answered.size)


@compiled
def write_reward(weights: Any, ledger: Ledger, out: NDArray[np.float64]) -> None:
    """Write the weighted amounts of a tick to ``out`` (lane); ``weights`` are the RewardConfig as numbers."""
    for lane in range(out.shape[0]):
        out[lane] = weights.salvage * ledger.salvage[lane]
        out[lane] += weights.server_cost * ledger.server_cost[lane]
        out[lane] += weights.penalty * ledger.penalty[lane]
    for product in range(ledger.revenue.shape[0]):
        for lane in range(out.shape[0]):
            sold, bought = ledger.revenue[product, lane], ledger.goods_cost[product, lane]
            out[lane] += weights.revenue * sold + weights.goods_cost * bought


class RateRewards:
    """The part of the reward that is no weighted sum of amounts, of ``sales`` sales."""

    def __init__(self, config: RewardConfig, sales: int) -> None:
        self.config = config
        self._before = np.full(sales, np.nan)  # revenue a visitor in the last tick; NaN where there was none

    def open(self, rows: NDArray[np.bool_]) -> None:
        """Forget what came before in ``rows`` (sale,)."""
        self._before[rows] = np.nan

    def of_tick(self, ledger: Ledger, rows: Any) -> NDArray[np.float64]:
        """Reward (sale,) of the tick whose facts are in ``ledger``."""
        amounts = AmountsOfTick(ledger, rows)
        rate = amounts["revenue"] / np.maximum(visitors(amounts), 1.0)
        gain = np.where(np.isnan(self._before), 0.0, rate - self._before)
        self._before[:] = rate
        conversion = amounts["paid"] / np.maximum(amounts["served"], 1.0)
        return self.config.conversion * conversion + self.config.revenue_conversion_gain * gain


def check_rewards(rewards: NDArray[np.floating[Any]]) -> None:
    """LearningError unless all ``rewards`` (sale,) are finite: one NaN would make every weight of a network NaN."""
    if not np.isfinite(rewards).all():
        row = int(np.flatnonzero(~np.isfinite(rewards))[0])
        raise LearningError(
            f"reward: expected finite numbers, got {rewards[row]} for sale {row} of the batch; "
            "mend the sale or the weights of its reward"
        )


def constraint_costs(amounts: Amounts) -> dict[str, NDArray[np.float64]]:
    """Costs of a tick by name, (sale,): 95th percentile of latency (seconds), share of visits lost to errors.

    For a share of more than one tick, add up the counts in the ledger and take ``ERROR_SHARE`` of the sums: the shares
    of the ticks themselves do not add up.
    """
    return {name: np.array(cost(amounts), np.float64) for name, cost in COSTS.items()}
