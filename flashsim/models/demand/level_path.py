"""Daily demand of one product: a level that moves from week to week, and what prices and weekdays do around it.

    D(t) ~ negative binomial of mean mu(t) and variance mu(t) + alpha·mu(t)²;   sold out: D(t) >= units(t)
    ln mu(t) = u(t) + weekday(t) + season(t) + slope·ln(price(t) / list price) + x(t)·effects + Σ_j kappa_j·step_j(t)
    u(t)     between knots a week or more apart, a random walk: u(k + 1) - u(k) ~ N(0, q²·weeks)

The level u takes growth, fashion and shifts of demand; the slope is told by prices that leave it and come back. Where a
price changed for good, demand may have changed on that day for a reason of its own: step_j is 1 from that day on, and
kappa_j has the standard deviation ``STEP_SLOPE`` times the change of the log price. One change within a trend therefore
tells next to nothing of the slope.

The mode is found by Newton steps, with the conditional mean and variance of demand on days that sold out (EM, and
Louis' formula for what they tell). The walk's step q is averaged over ``WALKS`` by the Laplace approximation of their
likelihood; alpha follows from the moments of what is left. The variance of the slope is the larger one of the model's
and of blocks of two weeks (sandwich), as errors within weeks may move together, and as wide as the t distribution of
so many blocks asks.

Source: West & Harrison (1997), Bayesian Forecasting and Dynamic Models; Durbin & Koopman (2012), Time Series Analysis
by State Space Methods, ch. 9 (mode of a non-Gaussian state space by Newton steps); Louis (1982), JRSS B 44; Huber
(1967) (sandwich). Left out: weekly patterns that change, and promotions that are remembered.
"""

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import betainc, gammaln, ndtri, stdtrit

from flashsim.models.demand.negative_binomial import WEEK_STEP_SD
from flashsim.season import REFERENCE_DAYS, WAVES, season_terms

Array = NDArray[np.float64]
DAYS_OF_WEEK: Final = 7
WALKS: Final = (0.01, 0.025, 0.06, 0.15, 0.4)
"""Standard deviation of the log level's move in a week."""
WALK_PRIOR: Final = (WEEK_STEP_SD, 0.8)
"""Median, and standard deviation of the log, of those moves: a product moves about as its group does."""
MOST_KNOTS: Final = 60
"""A longer table has its knots farther apart than a week."""
WEEKDAY_SD: Final = 0.4
"""Prior standard deviation of weekday effects, log scale; as that of a promotion beyond its price."""
EFFECT_SD: Final = 0.5
SEASON_SD: Final = 0.3
SEASON_DAYS: Final = 364
"""A table of fewer days tells no season."""
RECENT, SLOPE = 0, 1
"""Places in the mean of a fit."""
STEP_SLOPE: Final = 3.0
"""What else may come with a change of price for good, as a slope; published elasticities differ by 2.2."""
SLOPE_PRIOR: Final = (-2.6, 5.0)
"""Wide prior of the slope while one product is fitted; it is taken out again (:mod:`pooled_slopes`)."""
CONTROL_SD: Final = 5.0
BLOCK_DAYS: Final = 14
LARGEST_ALPHA: Final = 5.0
STEPS: Final = 25
SMALLEST: Final = 1e-6


class DayCounts(NamedTuple):
    """The days of one product, in order."""

    day: NDArray[np.intp]  # row; days since the first one of the table
    weekday: NDArray[np.intp]  # row; 0 Monday
    year_day: Array  # row; day of the year
    units: Array  # row
    sold_out: NDArray[np.bool_]  # row; demand was units or more
    log_ratio: Array  # row; ln(price / list price)
    effects: Array  # row, effect; promotion beyond the price, control
    effect_sd: Array  # effect; prior standard deviation
    steps: tuple[tuple[int, float], ...]  # (row, change of the log price) of each change for good

    @property
    def is_recent(self) -> NDArray[np.bool_]:
        """Rows of the last four weeks of the product."""
        out: NDArray[np.bool_] = self.day > self.day[-1] - REFERENCE_DAYS
        return out


class PathFit(NamedTuple):
    """The fitted product; moments are over the walks."""

    expected: Array  # row; mean demand
    completed: Array  # row; units, or the mean of demand where sold out
    alpha: float
    walk: float  # move of the log level in a week, standard deviation
    mean: Array  # recent, slope, effects …, weekdays (7), season (4); recent: mean of ln mu over the last four weeks
    covariance: Array  # the same twice
    slope: float  # what the data alone tell: the wide prior is taken out
    slope_error: float  # infinite where they tell nothing

    def part(self, values: Array, name: str) -> Array:
        """The slice of a vector such as ``mean``: effects, weekday or season."""
        effects = self.mean.size - 2 - DAYS_OF_WEEK - WAVES
        start, size = {
            "effects": (2, effects),
            "weekday": (2 + effects, DAYS_OF_WEEK),
            "season": (2 + effects + DAYS_OF_WEEK, WAVES),
        }[name]
        return values[..., start : start + size]


class _Mode(NamedTuple):
    theta: Array
    inverse: Array  # inverse of the curvature
    mean: Array  # row
    score: Array  # row
    completed: Array  # row
    alpha: float
    evidence: float


def fit_path(counts: DayCounts) -> PathFit:
    """Fit one product; needs a day with a sale."""
    design, prior_mean, precision, knots = _lay_out(counts)
    theta, alpha = prior_mean.copy(), 0.1
    theta[:knots] = np.log(counts.units.mean() + 0.05)
    modes = []
    for walk in WALKS:
        whole = precision + _walk_precision(knots, _spacing(counts) / DAYS_OF_WEEK, walk, precision.shape[0])
        mode = _find_mode(counts, design, prior_mean, whole, theta, alpha)
        theta, alpha = mode.theta, mode.alpha
        modes.append(mode)
    prior = -0.5 * (np.log(np.array(WALKS) / WALK_PRIOR[0]) / WALK_PRIOR[1]) ** 2
    evidence = np.array([mode.evidence for mode in modes]) + prior
    weight = np.exp(evidence - evidence.max())
    weight /= weight.sum()
    told = np.zeros((2 + counts.effects.shape[1] + DAYS_OF_WEEK + WAVES, design.shape[1]))
    told[RECENT] = design[counts.is_recent].mean(axis=0)
    told[SLOPE:, knots : knots + told.shape[0] - 1] = np.eye(told.shape[0] - 1)
    means = np.stack([told @ mode.theta for mode in modes])
    mean = weight @ means
    around = means - mean
    covariances = np.stack([_robust(told, mode, design, counts.day) for mode in modes])
    covariance = np.einsum("w,wij->ij", weight, covariances) + np.einsum("w,wi,wj->ij", weight, around, around)
    slope, error = _without_prior(mean[SLOPE], covariance[SLOPE, SLOPE])
    return PathFit(
        expected=weight @ np.stack([mode.mean for mode in modes]),
        completed=weight @ np.stack([mode.completed for mode in modes]),
        alpha=float(weight @ [mode.alpha for mode in modes]),
        walk=float(np.exp(weight @ np.log(WALKS))),
        mean=mean,
        covariance=covariance,
        slope=slope,
        slope_error=error,
    )


class Truncated(NamedTuple):
    """Demand, given that it is the units sold or more."""

    mean: Array
    variance: Array
    log_chance: Array  # of that


def demand_above(units: Array, mean: Array, alpha: Array | float) -> Truncated:
    """Moments of a negative binomial of ``mean`` and variance mean + alpha·mean², given that it is ``units`` or more.

    E[D·(D - 1) … | D >= n] come from size-biased laws: sizes r + 1 and r + 2 in place of r = 1 / alpha.
    """
    size = 1.0 / np.maximum(alpha, 1e-9)
    share = mean / (size + mean)
    at_least = np.maximum(_chance_of_more(units - 1.0, size, share), 1e-300)
    once = mean * _chance_of_more(units - 2.0, size + 1.0, share) / at_least
    twice = mean**2 * (1.0 + 1.0 / size) * _chance_of_more(units - 3.0, size + 2.0, share) / at_least
    is_far = at_least < 1e-12
    above = np.maximum(np.where(is_far, units, once), units)
    variance = np.where(is_far, 0.0, np.maximum(twice + once - once**2, 0.0))
    return Truncated(above, variance, np.log(at_least))


def _chance_of_more(count: Array, size: Array | float, share: Array) -> Array:
    """P(D > count) of a negative binomial of ``size``; ``share`` is its mean over size + mean."""
    chance: Array = np.where(count < 0.0, 1.0, betainc(np.maximum(count, 0.0) + 1.0, size, share))
    return chance


def _lay_out(counts: DayCounts) -> tuple[Array, Array, Array, int]:
    """Design (row, effect), prior mean and precision without the walk's, number of knots.

    Effects: knots, slope, effects, weekdays, season, steps.
    """
    spacing, span = _spacing(counts), int(counts.day[-1] - counts.day[0])
    knots = max(span // spacing + 2, 2)
    place = (counts.day - counts.day[0]) / spacing
    level = np.maximum(1.0 - np.abs(place[:, None] - np.arange(knots)), 0.0)
    weekday = (counts.weekday[:, None] == np.arange(DAYS_OF_WEEK)).astype(np.float64)
    season = season_terms(counts.year_day) * (span + 1 >= SEASON_DAYS)
    since = np.stack([np.arange(counts.units.size) >= row for row, _ in counts.steps], axis=1) if counts.steps else None
    columns = [level, counts.log_ratio[:, None], counts.effects, weekday, season]
    sd: list[Array] = [
        np.full(knots, 10.0),
        np.array([SLOPE_PRIOR[1]]),
        counts.effect_sd,
        np.full(DAYS_OF_WEEK, WEEKDAY_SD),
        np.full(WAVES, SEASON_SD),
    ]
    if since is not None:
        columns.append(since.astype(np.float64))
        sd.append(np.array([STEP_SLOPE * abs(change) for _, change in counts.steps]))
    design = np.concatenate(columns, axis=1)
    prior_mean = np.zeros(design.shape[1])
    prior_mean[knots] = SLOPE_PRIOR[0]
    return design, prior_mean, np.diag(np.concatenate(sd) ** -2.0), knots


def _spacing(counts: DayCounts) -> int:
    span = int(counts.day[-1] - counts.day[0])
    return max(DAYS_OF_WEEK, -(-span // MOST_KNOTS))


def _walk_precision(knots: int, weeks: float, walk: float, size: int) -> Array:
    out = np.zeros((size, size))
    step = np.arange(knots - 1)
    one = 1.0 / (walk**2 * weeks)
    out[step, step] += one
    out[step + 1, step + 1] += one
    out[step, step + 1] -= one
    out[step + 1, step] -= one
    return out


def _find_mode(
    counts: DayCounts, design: Array, prior_mean: Array, precision: Array, theta: Array, alpha: float
) -> _Mode:
    n = counts.units.size
    for step in range(STEPS):
        mean, score, weight, completed, second = _rows(counts, design @ theta, alpha)
        told = (design.T * weight) @ design
        inverse = np.linalg.inv(told + precision)
        move = np.clip(inverse @ (design.T @ score - precision @ (theta - prior_mean)), -1.0, 1.0)
        theta = theta + move
        used = float((inverse * told).sum())
        left = float((second - mean).sum()) if n <= used + 1 else float((second * n / (n - used) - mean).sum())
        moment = float(np.clip(left / max(float((mean**2).sum()), SMALLEST), 0.0, LARGEST_ALPHA))
        alpha = moment if step else 0.5 * (alpha + moment)
        if step >= 2 and np.abs(move).max() < 1e-3:
            break
    mean, score, weight, completed, _ = _rows(counts, design @ theta, alpha)
    curvature = (design.T * weight) @ design + precision
    gap = theta - prior_mean
    evidence = _log_likelihood(counts, mean, alpha) - 0.5 * float(gap @ precision @ gap)
    evidence += 0.5 * float(np.linalg.slogdet(precision)[1] - np.linalg.slogdet(curvature)[1])
    return _Mode(theta, np.asarray(np.linalg.inv(curvature), np.float64), mean, score, completed, alpha, evidence)


def _log_likelihood(counts: DayCounts, mean: Array, alpha: float) -> float:
    """Of the units seen, and of demand above those sold out."""
    out, size = counts.sold_out, 1.0 / max(alpha, 1e-9)
    seen, expected = counts.units[~out], mean[~out]
    value = float(
        (gammaln(seen + size) - gammaln(size) - gammaln(seen + 1.0)).sum()
        + (size * np.log(size / (size + expected)) + seen * np.log(expected / (size + expected))).sum()
    )
    return value + float(demand_above(counts.units[out], mean[out], alpha).log_chance.sum()) if out.any() else value


def _rows(counts: DayCounts, eta: Array, alpha: float) -> tuple[Array, Array, Array, Array, Array]:
    """By row: mean, score and information of the log mean, completed demand, its squared distance from the mean."""
    mean = np.exp(np.clip(eta, -12.0, 20.0))
    ratio = 1.0 + alpha * mean
    completed, information = counts.units.copy(), mean / ratio
    second = (counts.units - mean) ** 2
    out = counts.sold_out
    if out.any():
        above = demand_above(counts.units[out], mean[out], alpha)
        completed[out] = above.mean
        lost = above.variance / (mean[out] * ratio[out])
        information[out] *= np.clip(1.0 - lost, 0.02, 1.0)
        second[out] = above.variance + (above.mean - mean[out]) ** 2
    return mean, (completed - mean) / ratio, information, completed, second


def _robust(told: Array, mode: _Mode, design: Array, day: NDArray[np.intp]) -> Array:
    """Covariance of the effects ``told`` (effect, theta), each variance at least that of blocks of two weeks;
    correlations are kept."""
    covariance = told @ mode.inverse @ told.T
    block = (day - day[0]) // BLOCK_DAYS
    influence = (design @ mode.inverse @ told.T) * mode.score[:, None]
    sandwich = np.stack([(np.bincount(block, column) ** 2).sum() for column in influence.T])
    variance = np.maximum(np.diagonal(covariance), 1e-12)
    few = stdtrit(max(int(block[-1]), 2), 0.95) / ndtri(0.95)
    scale = few * np.sqrt(np.maximum(sandwich / variance, 1.0))
    robust: Array = covariance * scale[:, None] * scale
    return robust


def _without_prior(mean: float, variance: float) -> tuple[float, float]:
    """Slope and standard error that the data tell without ``SLOPE_PRIOR``."""
    told = 1.0 / variance - SLOPE_PRIOR[1] ** -2
    if told < 1e-3:
        return SLOPE_PRIOR[0], np.inf
    slope = (mean / variance - SLOPE_PRIOR[0] * SLOPE_PRIOR[1] ** -2) / told
    return float(slope), float(told**-0.5)
