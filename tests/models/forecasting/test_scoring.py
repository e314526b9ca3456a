"""Scores are what their formulas say, and intervals over products and weeks hold what they promise."""

import numpy as np
import pytest
from scipy import stats

from flashsim.models.forecasting import naive as rivals
from flashsim.models.forecasting.scoring import (
    NegativeBinomial,
    Sample,
    coverage,
    coverage_by_volume,
    pit_distance,
    reduction,
    score_forecast,
    two_way_resamples,
)

ALL = np.ones((1, 1, 1), dtype=bool)


def negative_binomial(mean: np.ndarray, alpha: float = 0.0) -> NegativeBinomial:
    return NegativeBinomial(mean, np.full(mean.shape[:2], alpha), np.ones(len(mean)))


@pytest.mark.parametrize(
    ("rate", "crps"), [(1.0, 0.5238), (4.0, 1.1103), (10.0, 1.7729), (25.0, 2.8139), (100.0, 5.6384)]
)
def test_expected_crps_of_a_known_poisson_rate_is_the_floor(rate: float, crps: float) -> None:
    """Averaged over every possible count with its probability."""
    counts = np.arange(int(rate + 12.0 * np.sqrt(rate) + 12.0), dtype=np.float64)[:, None, None]
    found = negative_binomial(np.full(counts.shape, rate)).crps(counts)
    assert (found * stats.poisson.pmf(counts, rate)).sum() == pytest.approx(crps, abs=1e-4)


def test_crps_of_poisson_4_at_7_is_the_published_one() -> None:
    found = negative_binomial(np.full((1, 1, 1), 4.0)).crps(np.full((1, 1, 1), 7.0))
    assert found.item() == pytest.approx(2.059224, abs=1e-6)


def test_crps_of_a_large_sample_is_that_of_its_law_and_of_a_point_the_error() -> None:
    generator = np.random.default_rng(0)
    actual = np.array([[[3.0]], [[9.0]]])
    law = NegativeBinomial(np.full((2, 1, 1), 5.0), np.full((2, 1), 0.3), np.ones(2))
    draws = generator.negative_binomial(1.0 / 0.3, 1.0 / 2.5, size=(40_000, 2, 1, 1)).astype(float)
    assert Sample(draws).crps(actual) == pytest.approx(law.crps(actual), rel=0.02)
    assert Sample(actual[None] + 2.0).crps(actual) == pytest.approx(np.full((2, 1, 1), 2.0))


def test_pit_of_the_right_law_is_uniform_though_counts_are_small() -> None:
    generator = np.random.default_rng(1)
    mean = generator.gamma(1.0, 1.5, (200, 40, 1))
    actual = generator.poisson(mean).astype(float)
    everything = np.ones(mean.shape, dtype=bool)
    right = score_forecast(
        negative_binomial(mean), actual, scored=everything, past=actual, generator=np.random.default_rng(2)
    )
    assert pit_distance(right.pit) < 1.63 / np.sqrt(mean.size)  # 1 % point of Kolmogorov and Smirnov
    assert coverage(right.pit) == pytest.approx(0.9, abs=4.0 * np.sqrt(0.09 / mean.size))
    for low, high, share in coverage_by_volume(right.pit, mean.ravel()):
        assert low <= high
        assert share == pytest.approx(0.9, abs=4.0 * np.sqrt(0.27 / mean.size))
    sure = score_forecast(
        Sample(mean[None]), actual, scored=everything, past=actual, generator=np.random.default_rng(2)
    )
    assert coverage(sure.pit) < 0.5


def test_scores_of_a_point_are_those_of_a_hand_calculation() -> None:
    actual = np.array([[[3.0], [1.0]]])
    past = np.array([[[1.0], [3.0], [1.0]]])  # changes by 2 each week
    scores = score_forecast(
        Sample(np.full((1, 1, 2, 1), 2.0)),
        actual,
        scored=np.ones(actual.shape, dtype=bool),
        past=past,
        generator=np.random.default_rng(0),
    )
    assert scores.wape() == pytest.approx(2.0 / 4.0)
    assert scores.mean_pinball() == pytest.approx(0.5)
    assert scores.mean_crps() == pytest.approx(1.0)
    assert scores.rmsse == pytest.approx(0.5)


def test_cells_that_are_not_scored_count_nowhere() -> None:
    actual = np.array([[[3.0], [900.0]]])
    scored = np.array([[[True], [False]]])
    scores = score_forecast(
        Sample(np.full((1, 1, 2, 1), 2.0)),
        actual,
        scored=scored,
        past=np.array([[[1.0], [3.0]]]),
        generator=np.random.default_rng(0),
    )
    assert scores.actual.tolist() == [[3.0, 0.0]]
    assert scores.cells.tolist() == [[1.0, 0.0]]
    assert scores.pit.shape == (1,)
    assert scores.rmsse == pytest.approx(0.5)


def test_two_way_intervals_cover_where_errors_share_products_and_weeks() -> None:
    """Losses with a product part and a week part: intervals of single cells would be far too narrow."""
    generator = np.random.default_rng(3)
    inside = 0
    for _ in range(60):
        shared = 1.0 + 0.3 * generator.standard_normal((40, 1)) + 0.3 * generator.standard_normal((1, 16))
        mine = np.maximum(0.9 * np.ones((40, 16)) + 0.5 * (shared - 1.0), 0.05)
        found = reduction(mine, np.ones((40, 16)), drawn=two_way_resamples(40, 16, resamples=300, generator=generator))
        inside += found.low <= 0.1 <= found.high
    assert 45 <= inside <= 60


def test_equal_losses_are_no_reduction_and_half_the_losses_half() -> None:
    losses = np.random.default_rng(4).gamma(1.0, 1.0, (30, 16))
    drawn = two_way_resamples(30, 16, resamples=200, generator=np.random.default_rng(5))
    assert reduction(losses, losses, drawn=drawn) == pytest.approx((0.0, 0.0, 0.0))
    assert reduction(0.5 * losses, losses, drawn=drawn) == pytest.approx((0.5, 0.5, 0.5))


def test_rivals_repeat_what_they_say_and_see_the_past_alone() -> None:
    units = np.arange(2 * 20 * 7, dtype=float).reshape(2, 20, 7)
    weeks = range(16, 20)
    assert (rivals.last_value(units, weeks=weeks).draws[0] == units[:, 15:19]).all()
    assert (rivals.seasonal_naive(units, weeks=weeks).draws[0] == units[:, 12:16]).all()
    assert rivals.mean_8(units, weeks=weeks).draws[0, 1, 0] == pytest.approx(units[1, 8:16].mean(axis=0))
    assert rivals.median_13(units, weeks=weeks).draws[0, 0, 3] == pytest.approx(units[0, 6:19].mean(axis=0))
    assert rivals.median_56_days(units, weeks=weeks).draws[0, 0, 0].tolist() == [np.median(units[0, 8:16])] * 7
    changed = units.copy()
    changed[:, 19] = -1.0
    for rival in (rivals.last_value, rivals.mean_8, rivals.empirical_13, rivals.empirical_56_days):
        np.testing.assert_array_equal(rival(units, weeks=weeks).draws, rival(changed, weeks=weeks).draws)
