"""Traffic made with a known shape: a daily wave, noise of a known size, and rushes of known parameters."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from flashsim.models.traffic.rush import Rush


def make_visits(
    *, days: int = 6, level: float = 400.0, seed: int = 0, rushes: Sequence[tuple[int, Rush]] = ()
) -> NDArray[np.float64]:
    """Poisson visits of ``days`` days; each rush starts its top at the minute given."""
    minutes = np.arange(days * 1440)
    rate = level * (1.0 + 0.5 * np.sin(2 * np.pi * minutes / 1440))
    for start, rush in rushes:
        rate *= rush.multiplier(minutes - start)
    return np.random.default_rng(seed).poisson(rate).astype(np.float64)
