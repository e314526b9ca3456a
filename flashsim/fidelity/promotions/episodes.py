"""A past promotion, its plan, and what was predicted of it before its first day.

    y = ln((units + 1/2) / (expected + 1/2))            units sold, over those expected without the promotion

An episode is a product that is ``LEAST_DEPTH`` or more below its usual price for at most ``LONGEST_DAYS`` days, and of
which ``FEWEST_EXPECTED`` units or more were expected without it. The usual price is the one reached on a quarter of the
last eight weeks. The *plan* of an episode is what the shop decides itself: product, days, prices, displays, mailers. A
prediction rests on the plan and on rows before the first day; nothing else of the future enters, neither the choice of
products nor list prices, priors and settings.
"""

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
LEAST_DEPTH: Final = 0.1
LONGEST_DAYS: Final = 28
FEWEST_EXPECTED: Final = 10.0
USUAL_DAYS: Final = 56
USUAL_QUANTILE: Final = 0.75
"""The usual price is this quantile of the prices of the last ``USUAL_DAYS`` days."""
DRAWS: Final = 1000
"""Outcomes that the model draws of each episode; a quantile of .05 then rests on fifty."""


class Prediction(NamedTuple):
    """What is known of an episode before its first day."""

    product_id: str
    category: str
    start: int
    """First day, counted from the first one of the table."""
    stop: int
    """The day after its last one."""
    depth: float
    """Mean share below the usual price."""
    expected: float
    """Units expected without the promotion."""
    draws: Array
    """Draws of y by the model (draw,)."""


class Outcome(NamedTuple):
    """What happened to a prediction."""

    predicted: Prediction
    units: float

    @property
    def log_ratio(self) -> float:
        """y of the units sold."""
        return float(log_ratio(np.array(self.units), self.predicted.expected))


def log_ratio(units: Array, expected: float) -> Array:
    """y of ``units``."""
    ratio: Array = np.log((units + 0.5) / (expected + 0.5))
    return ratio


def draw_units(mean: Array, *, alpha: Array | float, clumping: float, generator: np.random.Generator) -> Array:
    """Units (draw,) with variance clumping·mean + alpha·mean² around each ``mean`` (draw,)."""
    safe = np.maximum(mean, 1e-9)
    dispersion = np.maximum(alpha + (clumping - 1.0) / safe, 1e-9)
    rate = np.minimum(safe * generator.gamma(1.0 / dispersion, dispersion), 1e12)
    return generator.poisson(rate).astype(np.float64)


def episode_length(below: NDArray[np.bool_], *, longest: int) -> int | None:
    """Steps of an episode that begins at the first of ``below`` (step,); None where it is longer than ``longest``, or
    the table ends before it does."""
    over = np.flatnonzero(~below)
    return int(over[0]) if over.size and over[0] <= longest else None
