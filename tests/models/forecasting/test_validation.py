"""Scores are what their formulas say, intervals respect weeks, and nothing beats the Poisson floor."""

import numpy as np
import pytest
from scipy import stats

from flashsim.errors import InputError
from flashsim.models.forecasting.validation import (
    MEDIAN,
    QUANTILE_LEVELS,
    block_resamples,
    count_quantiles,
    improvement,
    lag_seven,
    losses,
    poisson_floor,
    recent_quantiles,
    repeat_as_quantiles,
    score_intervals,
)

EVERYTHING = np.ones((1, 1, 2), dtype=bool)


def test_losses_are_those_of_a_hand_calculation() -> None:
    """y = 3, 1 against 2, 2: |e| = 1, 1; the mean pinball loss of a point over symmetric levels is |e| / 2."""
    actual, point = np.array([[[3.0, 1.0]]]), np.array([[[2.0, 2.0]]])
    result = losses(actual, repeat_as_quantiles(point), scored=EVERYTHING)
    assert result.wape() == pytest.approx(2.0 / 4.0)
    assert result.mean_pinball() == pytest.approx(0.5)
    half = losses(actual, repeat_as_quantiles(point), scored=np.array([[[True, False]]]))
    assert half.wape() == pytest.approx(1.0 / 3.0)
    assert half.cells.tolist() == [1.0]
    with pytest.raises(InputError, match="quantiles: expected"):
        losses(actual, point, scored=EVERYTHING)


def test_quantiles_of_counts_are_poisson_without_dispersion_and_wider_with_it() -> None:
    mean = np.array([0.5, 4.0, 60.0])
    plain = count_quantiles(mean, alpha=np.zeros(3), clumping=np.ones(3))
    assert plain == pytest.approx(np.stack([stats.poisson.ppf(level, mean) for level in QUANTILE_LEVELS]))
    wide = count_quantiles(mean, alpha=np.full(3, 0.3), clumping=np.full(3, 2.0))
    spread = (wide[-1] - wide[0]) / np.maximum(plain[-1] - plain[0], 1.0)
    assert (spread[1:] > 1.3).all()


def test_the_variance_of_the_forecast_distribution_is_the_stated_one() -> None:
    mean, alpha, clumping = 12.0, 0.2, 2.5
    dispersion = alpha + (clumping - 1.0) / mean
    assert stats.nbinom.var(1.0 / dispersion, 1.0 / (1.0 + dispersion * mean)) == pytest.approx(
        clumping * mean + alpha * mean**2
    )
    quantiles = count_quantiles(np.array([mean]), alpha=np.array([alpha]), clumping=np.array([clumping]))
    assert quantiles[MEDIAN] == stats.nbinom.median(1.0 / dispersion, 1.0 / (1.0 + dispersion * mean))


@pytest.mark.parametrize(
    ("rate", "wape"), [(1.0, 0.7358), (4.0, 0.3907), (10.0, 0.2502), (25.0, 0.1590), (100.0, 0.0797)]
)
def test_the_floor_is_that_of_a_perfectly_known_poisson_rate(rate: float, wape: float) -> None:
    """Mean absolute deviations of the Poisson distribution over its mean, to four digits."""
    mean = np.full((1, 1, 2), rate)
    assert poisson_floor(mean, scored=EVERYTHING)[0] == pytest.approx(wape, abs=1e-4)


def test_knowing_the_true_rate_scores_at_the_floor_and_not_below() -> None:
    generator = np.random.default_rng(0)
    mean = generator.gamma(1.0, 4.0, (50, 40, 7))
    everything = np.ones(mean.shape, dtype=bool)
    units = generator.poisson(mean).astype(float)
    oracle = losses(
        units, count_quantiles(mean, alpha=np.zeros(mean.shape), clumping=np.ones(mean.shape)), scored=everything
    )
    floor = poisson_floor(mean, scored=everything)
    assert oracle.wape() == pytest.approx(floor[0], rel=0.02)
    assert oracle.mean_pinball() == pytest.approx(floor[1], rel=0.02)


def test_naive_forecasts_see_the_weeks_before_alone() -> None:
    units = np.arange(2 * 12 * 7, dtype=float).reshape(2, 12, 7)
    weeks = range(9, 12)
    assert (lag_seven(units, weeks=weeks) == units[:, 8:11]).all()
    median = recent_quantiles(units, weeks=weeks, levels=(0.5,))[0]
    assert median[0, 0].tolist() == [np.median(units[0, 1:9])] * 7
    changed = units.copy()
    changed[:, 11] = -1.0
    assert (recent_quantiles(changed, weeks=weeks, levels=(0.5,))[0] == median).all()


def test_blocks_keep_neighboring_weeks_together_and_wrap_around() -> None:
    drawn = block_resamples(9, resamples=500, generator=np.random.default_rng(0), block_weeks=3)
    assert drawn.shape == (500, 9)
    blocks = drawn.reshape(500, 3, 3)
    assert ((np.diff(blocks, axis=2) % 9) == 1).all()
    assert np.bincount(drawn.ravel(), minlength=9) == pytest.approx(np.full(9, 500), rel=0.15)


def test_an_interval_covers_its_estimate_and_pairs_by_week() -> None:
    generator = np.random.default_rng(1)
    shape = (20, 16, 7)
    everything = np.ones(shape, dtype=bool)
    week = generator.gamma(2.0, 1.0, (1, 16, 1))
    actual = generator.poisson(20.0 * week * np.ones(shape)).astype(float)
    good = losses(actual, repeat_as_quantiles(0.9 * actual), scored=everything)
    bad = losses(actual, repeat_as_quantiles(0.8 * actual), scored=everything)
    drawn = block_resamples(16, resamples=400, generator=generator)
    wape, pinball = improvement(good, bad, resamples=drawn)
    assert wape == pytest.approx((0.5, 0.5, 0.5))  # week by week half the error: no spread is left
    assert pinball.low <= pinball.value <= pinball.high
    score, _ = score_intervals(good, resamples=drawn)
    assert score.value == pytest.approx(0.1)
