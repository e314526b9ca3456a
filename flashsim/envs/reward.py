"""Rewards: weighted ledgers. The simulator states facts; here they are judged."""

from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flashsim.errors import InputError
from flashsim.sim.cache import compiled
from flashsim.sim.ledger import Ledger
from flashsim.sim.parameters import arguments_type

CONSTRAINTS = ("latency_p95_s", "error_share")
"""Names of the entries of ``info["cost"]``: costs that safe-RL methods may bound."""


@dataclass(frozen=True)
class RewardConfig:
    """Weight of each amount of the ledger in the reward of a tick, 1/currency. The default is profit."""

    revenue: float = 1.0
    goods_cost: float = -1.0
    """Cost of units sold and, at the close, of those left over: they were bought for the sale."""
    server_cost: float = -1.0
    penalty: float = -1.0
    salvage: float = 1.0

    def __post_init__(self) -> None:
        for field in fields(self):
            if not np.isfinite(getattr(self, field.name)):
                raise InputError(f"reward {field.name} must be a finite number, got {getattr(self, field.name)!r}")


RewardConfigArguments = arguments_type(RewardConfig, __name__)


@compiled
def write_reward(weights: Any, ledger: Ledger, out: NDArray[np.float64]) -> None:
    """Write the reward of a tick to ``out`` (lane); ``weights`` are the RewardConfig as numbers."""
    for lane in range(out.shape[0]):
        out[lane] = weights.salvage * ledger.salvage[lane]
        out[lane] += weights.server_cost * ledger.server_cost[lane]
        out[lane] += weights.penalty * ledger.penalty[lane]
    for product in range(ledger.revenue.shape[0]):
        for lane in range(out.shape[0]):
            sold, bought = ledger.revenue[product, lane], ledger.goods_cost[product, lane]
            out[lane] += weights.revenue * sold + weights.goods_cost * bought


def constraint_costs(ledger: Ledger, rows: Any) -> dict[str, NDArray[np.float64]]:
    """Costs of a tick by name, (sale,): 95th percentile of latency (seconds), share of visits lost to errors."""
    answered = rows(ledger.served) + rows(ledger.errors)
    share = rows(ledger.errors) / np.maximum(answered, 1)
    return dict(zip(CONSTRAINTS, (rows(ledger.latency_p95_s).copy(), share), strict=True))
