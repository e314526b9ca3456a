"""Forecast distributions of counts, their scores cell by cell, and intervals over products and weeks.

    RMSSE   = mean over products of sqrt(mean (y - mean forecast)² / mean squared change from last week to this, before
              the scored weeks)
    CRPS    = sum over k >= 0 of (F(k) - 1{y <= k})²                                    for a distribution on counts
            = E|X - y| - E|X - X'| / 2                                                  for a sample
    PIT     = F(y - 1) + V·(F(y) - F(y - 1)),  V uniform: uniform when the forecast is right, though counts are discrete

A closed 90 % interval of a small count always covers more than 90 %. The share of PIT values in [.05, .95] covers
exactly 90 % when the forecast is right. :mod:`flashsim.models.forecasting.validation` defines WAPE and pinball loss.

Intervals draw products *and* weeks with replacement. The weight of a cell is the number of times that its product was
drawn, times that of its week: the errors of a product are alike in all weeks, those of a week in all products. This is
conservative.

Source: Gneiting & Raftery (2007), JASA 102 (CRPS); Czado, Gneiting & Held (2009), Biometrics 65 (randomized PIT of
counts); Hyndman & Koehler (2006), International Journal of Forecasting 22, and the M5 competition (RMSSE); Owen (2007),
Annals of Applied Statistics 1, "The pigeonhole bootstrap".
"""

from typing import Final, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from flashsim.models.forecasting.validation import (
    INTERVAL,
    MEDIAN,
    QUANTILE_LEVELS,
    Interval,
    bootstrap_interval,
    count_quantiles,
)

CELLS_A_BLOCK: Final = 4_000
"""Limits the memory that CRPS needs."""
SMALLEST_MEAN: Final = 1e-6


class CountForecast(Protocol):
    """A distribution of each cell (product, week, period)."""

    def mean(self) -> NDArray[np.float64]:
        """Mean of each cell."""

    def quantiles(self) -> NDArray[np.float64]:
        """Quantiles (level, product, week, period) at the levels of the scores."""

    def crps(self, actual: NDArray[np.float64]) -> NDArray[np.float64]:
        """CRPS of each cell; units."""

    def distribution(self, actual: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """P(X < actual) and P(X <= actual) of each cell."""


class NegativeBinomial(NamedTuple):
    """Variance clumping·mean + alpha·mean²."""

    expected: NDArray[np.float64]  # product, week, period
    alpha: NDArray[np.float64]  # product, week
    clumping: NDArray[np.float64]  # product

    def mean(self) -> NDArray[np.float64]:
        """Mean of each cell."""
        return self.expected

    def quantiles(self) -> NDArray[np.float64]:
        """Exact quantiles."""
        return count_quantiles(self.expected, alpha=self.alpha[:, :, None], clumping=self.clumping[:, None, None])

    def crps(self, actual: NDArray[np.float64]) -> NDArray[np.float64]:
        """Sum of the definition, up to where the distribution and the count both end."""
        size, success = self._parameters()
        spread = np.sqrt(self.clumping[:, None, None] * self.expected + self.alpha[:, :, None] * self.expected**2)
        reach = np.ceil(np.maximum(self.expected + 12.0 * spread + 12.0, actual + 1.0)).ravel()
        out = np.empty(actual.size)
        order = np.argsort(reach, kind="stable")
        for cells in np.array_split(order, max(1, -(-actual.size // CELLS_A_BLOCK))):
            counts = np.arange(reach[cells].max())[:, None]
            cumulative = stats.nbinom.cdf(counts, size.ravel()[cells], success.ravel()[cells])
            out[cells] = ((cumulative - (actual.ravel()[cells] <= counts)) ** 2).sum(axis=0)
        return out.reshape(actual.shape)

    def distribution(self, actual: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """P(X < actual) and P(X <= actual)."""
        size, success = self._parameters()
        return stats.nbinom.cdf(actual - 1.0, size, success), stats.nbinom.cdf(actual, size, success)

    def _parameters(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        mean = np.maximum(self.expected, SMALLEST_MEAN)
        dispersion = self.alpha[:, :, None] + (self.clumping[:, None, None] - 1.0) / mean
        size = 1.0 / np.maximum(dispersion, 1e-9)
        return size, size / (size + mean)


class Sample(NamedTuple):
    """Equally likely values; a single value is a point forecast."""

    draws: NDArray[np.float64]  # draw, product, week, period

    def mean(self) -> NDArray[np.float64]:
        """Mean of the draws."""
        mean: NDArray[np.float64] = self.draws.mean(axis=0)
        return mean

    def quantiles(self) -> NDArray[np.float64]:
        """Quantiles of the draws, interpolated."""
        quantiles: NDArray[np.float64] = np.quantile(self.draws, QUANTILE_LEVELS, axis=0)
        return quantiles

    def crps(self, actual: NDArray[np.float64]) -> NDArray[np.float64]:
        """E|X - y| - E|X - X'| / 2 over the draws."""
        ordered, count = np.sort(self.draws, axis=0), len(self.draws)
        rank = (2.0 * np.arange(1, count + 1) - count - 1.0)[:, None, None, None]
        spread = 2.0 * (rank * ordered).sum(axis=0) / count**2
        crps: NDArray[np.float64] = np.abs(self.draws - actual).mean(axis=0) - 0.5 * spread
        return crps

    def distribution(self, actual: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Shares of draws below and up to the actual value."""
        return (self.draws < actual).mean(axis=0), (self.draws <= actual).mean(axis=0)


class Scores(NamedTuple):
    """Sums over the periods of a week; cells that are not scored count as 0."""

    absolute: NDArray[np.float64]  # product, week; |y - median|
    pinball: NDArray[np.float64]  # product, week
    crps: NDArray[np.float64]  # product, week
    actual: NDArray[np.float64]  # product, week
    cells: NDArray[np.float64]  # product, week; scored cells
    rmsse: float
    pit: NDArray[np.float64]  # scored cell

    def wape(self) -> float:
        """Weighted absolute percentage error."""
        return float(self.absolute.sum() / self.actual.sum())

    def mean_pinball(self) -> float:
        """Units a cell."""
        return float(self.pinball.sum() / self.cells.sum())

    def mean_crps(self) -> float:
        """Units a cell."""
        return float(self.crps.sum() / self.cells.sum())


def score_forecast(
    forecast: CountForecast,
    actual: NDArray[np.float64],
    *,
    scored: NDArray[np.bool_],
    past: NDArray[np.float64],
    generator: np.random.Generator,
) -> Scores:
    """Scores of a forecast of ``actual`` (product, week, period) in ``scored`` cells; ``past`` weeks scale RMSSE."""
    quantiles = forecast.quantiles()
    pinball = np.zeros(actual.shape)
    for level, quantile in zip(QUANTILE_LEVELS, quantiles, strict=True):
        error = actual - quantile
        pinball += np.maximum(level * error, (level - 1.0) * error) / len(QUANTILE_LEVELS)
    below, up_to = forecast.distribution(actual)
    pit = below + generator.random(actual.shape) * (up_to - below)

    def by_week(values: NDArray[np.float64]) -> NDArray[np.float64]:
        total: NDArray[np.float64] = np.where(scored, values, 0.0).sum(axis=2)
        return total

    return Scores(
        absolute=by_week(np.abs(actual - quantiles[MEDIAN])),
        pinball=by_week(pinball),
        crps=by_week(forecast.crps(actual)),
        actual=by_week(actual),
        cells=scored.sum(axis=2).astype(np.float64),
        rmsse=_rmsse(forecast.mean(), actual, scored=scored, past=past),
        pit=pit[scored],
    )


def _rmsse(
    mean: NDArray[np.float64], actual: NDArray[np.float64], *, scored: NDArray[np.bool_], past: NDArray[np.float64]
) -> float:
    """Mean over products that are scored and whose past changed at least once."""
    change = (np.diff(past, axis=1) ** 2).mean(axis=(1, 2))
    count = scored.sum(axis=(1, 2))
    squared = np.where(scored, (actual - mean) ** 2, 0.0).sum(axis=(1, 2)) / np.maximum(count, 1)
    counted = (count > 0) & (change > 0.0)
    return float(np.sqrt(squared[counted] / change[counted]).mean())


def coverage(pit: NDArray[np.float64]) -> float:
    """Share of randomized PIT values inside the central 90 %."""
    low, high = INTERVAL
    return float(((pit >= low) & (pit <= high)).mean())


def coverage_by_volume(
    pit: NDArray[np.float64], volume: NDArray[np.float64], *, parts: int = 3
) -> list[tuple[float, float, float]]:
    """(smallest volume, largest volume, coverage) of equal parts of the cells, by the ``volume`` of their product."""
    order = np.argsort(volume, kind="stable")
    return [
        (float(volume[part].min()), float(volume[part].max()), coverage(pit[part]))
        for part in np.array_split(order, parts)
    ]


def pit_distance(pit: NDArray[np.float64]) -> float:
    """Kolmogorov-Smirnov distance of PIT values from the uniform distribution."""
    return float(stats.kstest(pit, "uniform").statistic)


class TwoWayResamples(NamedTuple):
    """How often each product and each week was drawn; see :func:`two_way_resamples`."""

    product: NDArray[np.float64]  # resample, product
    week: NDArray[np.float64]  # resample, week

    def totals(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Total of ``values`` (product, week) in each resample."""
        totals: NDArray[np.float64] = ((self.product @ values) * self.week).sum(axis=1)
        return totals


def two_way_resamples(products: int, weeks: int, *, resamples: int, generator: np.random.Generator) -> TwoWayResamples:
    """Draw products and weeks, each with replacement and independently. Source: Owen (2007)."""
    return TwoWayResamples(
        generator.multinomial(products, np.full(products, 1.0 / products), size=resamples).astype(np.float64),
        generator.multinomial(weeks, np.full(weeks, 1.0 / weeks), size=resamples).astype(np.float64),
    )


def reduction(mine: NDArray[np.float64], theirs: NDArray[np.float64], *, drawn: TwoWayResamples) -> Interval:
    """Relative reduction of a loss (product, week) against a rival's, paired by cell."""
    ratios = 1.0 - drawn.totals(mine) / drawn.totals(theirs)
    return bootstrap_interval(1.0 - mine.sum() / theirs.sum(), ratios)
