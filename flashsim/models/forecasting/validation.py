"""How good a forecast of counts is: scores, naive rivals, and intervals that respect weeks.

    WAPE          = sum |y - median forecast| / sum y                       (the median minimizes it)
    pinball loss  = mean over quantile levels q of max(q·(y - f_q), (q - 1)·(y - f_q))

The days of one week share its promotions and weather. So intervals resample blocks of weeks, never days or products.

Source: Koenker & Bassett (1978), Econometrica 46, "Regression quantiles" (pinball loss); Künsch (1989), Ann. Statist.
17, "The jackknife and the bootstrap for general stationary observations" (blocks); Politis & Romano (1992), "A circular
block-resampling procedure for stationary data" (the blocks wrap around).
"""

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from flashsim.errors import InputError

QUANTILE_LEVELS: Final = tuple(round(0.05 * i, 2) for i in range(1, 20))
"""0.05, 0.10, … 0.95."""
MEDIAN: Final = QUANTILE_LEVELS.index(0.5)
INTERVAL: Final = (0.05, 0.95)
"""Intervals cover 90 %."""


class Losses(NamedTuple):
    """Sums by week; scores and their intervals follow from them."""

    absolute: NDArray[np.float64]  # week; sum of |y - median|
    pinball: NDArray[np.float64]  # week; sum over cells of the mean pinball loss over quantile levels
    actual: NDArray[np.float64]  # week; sum of y
    cells: NDArray[np.float64]  # week; product-days scored

    def wape(self) -> float:
        """Weighted absolute percentage error over all weeks."""
        return float(self.absolute.sum() / self.actual.sum())

    def mean_pinball(self) -> float:
        """Mean pinball loss over all weeks; units."""
        return float(self.pinball.sum() / self.cells.sum())


class Interval(NamedTuple):
    """An estimate with its 90 % bootstrap interval."""

    value: float
    low: float
    high: float


def bootstrap_interval(value: float, resampled: NDArray[np.float64]) -> Interval:
    """The interval of ``value`` from its ``resampled`` values (resample,)."""
    low, high = np.quantile(resampled, INTERVAL)
    return Interval(float(value), float(low), float(high))


def losses(actual: NDArray[np.float64], quantiles: NDArray[np.float64], *, scored: NDArray[np.bool_]) -> Losses:
    """Losses by week of ``quantiles`` (level, product, week, day) against ``actual`` (product, week, day)."""
    expected = (len(QUANTILE_LEVELS), *actual.shape)
    if quantiles.shape != expected:
        raise InputError(f"quantiles: expected {expected}, got {quantiles.shape}")
    pinball = np.zeros(actual.shape)
    for level, forecast in zip(QUANTILE_LEVELS, quantiles, strict=True):
        error = actual - forecast
        pinball += np.maximum(level * error, (level - 1.0) * error)
    by_week = (0, 2)
    return Losses(
        absolute=np.where(scored, np.abs(actual - quantiles[MEDIAN]), 0.0).sum(axis=by_week),
        pinball=np.where(scored, pinball / len(QUANTILE_LEVELS), 0.0).sum(axis=by_week),
        actual=np.where(scored, actual, 0.0).sum(axis=by_week),
        cells=scored.sum(axis=by_week).astype(np.float64),
    )


def count_quantiles(
    mean: NDArray[np.float64], *, alpha: NDArray[np.float64], clumping: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Quantiles (level, …) of a negative binomial with variance clumping·mean + alpha·mean²; all shapes broadcast."""
    safe = np.maximum(mean, 1e-9)
    dispersion = np.maximum(alpha + (clumping - 1.0) / safe, 1e-9)
    size = 1.0 / dispersion
    success = size / (size + safe)
    return np.stack([stats.nbinom.ppf(level, size, success) for level in QUANTILE_LEVELS])


def repeat_as_quantiles(point: NDArray[np.float64]) -> NDArray[np.float64]:
    """A point forecast as a degenerate distribution: every quantile is the point."""
    return np.broadcast_to(point, (len(QUANTILE_LEVELS), *point.shape))


def lag_seven(units: NDArray[np.float64], *, weeks: range) -> NDArray[np.float64]:
    """The same weekday of the week before, for each of ``weeks``; (product, week, day)."""
    return units[:, weeks.start - 1 : weeks.stop - 1]


def recent_quantiles(
    units: NDArray[np.float64], *, weeks: range, levels: tuple[float, ...], memory_weeks: int = 8
) -> NDArray[np.float64]:
    """Empirical quantiles (level, product, week, day) of the 56 days before each of ``weeks``, the same for all its
    days."""
    products, _, days = units.shape
    out = np.zeros((len(levels), products, len(weeks), days))
    for i, week in enumerate(weeks):
        window = units[:, week - memory_weeks : week].reshape(products, -1)
        out[:, :, i, :] = np.quantile(window, levels, axis=1)[:, :, None]
    return out


def poisson_floor(mean: NDArray[np.float64], *, scored: NDArray[np.bool_]) -> tuple[float, float]:
    """(WAPE, mean pinball loss) of the true distribution if counts were Poisson with exactly ``mean``.

    No forecast can be better when counts vary at least as much as Poisson, so a score below it is a leak.
    """
    rate = np.maximum(mean[scored], 1e-9)
    support = np.arange(int(np.ceil(rate.max() + 12.0 * np.sqrt(rate.max()) + 12.0)))
    absolute = pinball = 0.0
    for block in np.array_split(np.sort(rate), max(1, rate.size // 2000)):
        counts = support[: int(np.ceil(block[-1] + 12.0 * np.sqrt(block[-1]) + 12.0))]
        mass = stats.poisson.pmf(counts[:, None], block)
        cumulative = np.cumsum(mass, axis=0)
        for level in QUANTILE_LEVELS:
            forecast = (cumulative < level).sum(axis=0)
            error = counts[:, None] - forecast
            pinball += float((mass * np.maximum(level * error, (level - 1.0) * error)).sum())
            if level == QUANTILE_LEVELS[MEDIAN]:
                absolute += float((mass * np.abs(error)).sum())
    return absolute / float(rate.sum()), pinball / len(QUANTILE_LEVELS) / rate.size


def block_resamples(
    weeks: int, *, resamples: int, generator: np.random.Generator, block_weeks: int = 2
) -> NDArray[np.intp]:
    """Draw indices (resample, week) of circular blocks of ``block_weeks`` weeks with replacement."""
    blocks = -(-weeks // block_weeks)
    starts = generator.integers(weeks, size=(resamples, blocks))
    indices = (starts[:, :, None] + np.arange(block_weeks)) % weeks
    return indices.reshape(resamples, -1)[:, :weeks].astype(np.intp)


def improvement(model: Losses, rival: Losses, *, resamples: NDArray[np.intp]) -> tuple[Interval, Interval]:
    """Relative reduction (WAPE, pinball loss) of ``model`` against ``rival``, paired by week, with intervals."""

    def reduction(mine: NDArray[np.float64], theirs: NDArray[np.float64]) -> Interval:
        drawn = 1.0 - mine[resamples].sum(axis=1) / theirs[resamples].sum(axis=1)
        return bootstrap_interval(1.0 - mine.sum() / theirs.sum(), drawn)

    return reduction(model.absolute, rival.absolute), reduction(model.pinball, rival.pinball)


def score_intervals(scored: Losses, *, resamples: NDArray[np.intp]) -> tuple[Interval, Interval]:
    """(WAPE, mean pinball loss) with intervals."""
    pairs = ((scored.absolute, scored.actual), (scored.pinball, scored.cells))
    intervals = []
    for numerator, denominator in pairs:
        drawn = numerator[resamples].sum(axis=1) / denominator[resamples].sum(axis=1)
        intervals.append(bootstrap_interval(numerator.sum() / denominator.sum(), drawn))
    return intervals[0], intervals[1]
