"""What playing a policy through many sales leaves behind: the input of KPIs, statistics and reports."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Rollout:
    """One policy played through many sales; row i of every array is the same sale for every policy."""

    policy: str
    """Display name."""
    seeds: NDArray[np.int64]
    """(sale,) the seed of the sale."""
    members: NDArray[np.int64]
    """(sale,) the world member that the sale drew."""
    totals: dict[str, NDArray[np.float64]]
    """Ledger name -> (sale,), summed over the sale except where noted."""
    products: dict[str, NDArray[np.float64]]
    """Name -> (sale, product), summed over the sale."""
    profile: dict[str, NDArray[np.float64]]
    """Name -> (tick,) mean over the sales; "depth" -> (tick, product)."""
    steps: int
    """Simulated env steps spent by this evaluation."""
