"""Statistics against theory: coverage in simulated worlds, textbook formulas, hand-computed corrections."""

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats as distributions

from flashsim.errors import InputError
from flashsim.evaluation.stats import (
    bootstrap_means,
    cvar_scores,
    difference_of_means,
    equal_member_means,
    holm,
    improvement_scores,
    minimum_detectable_effect,
    ratio_scores,
    within_member_intervals,
)

MEMBERS = np.repeat(np.arange(8), 50)


def worlds(*, between: float, within: float, datasets: int, seed: int) -> NDArray[np.float64]:
    """(sale, dataset) independent data sets of mean 0: normal worlds of normal sales."""
    generator = np.random.default_rng(seed)
    centers = generator.normal(0.0, between, size=(8, datasets)) if between else np.zeros((8, datasets))
    return np.asarray(centers[MEMBERS] + generator.normal(0.0, within, size=(MEMBERS.size, datasets)))


@pytest.mark.parametrize(
    ("between", "least", "most"),
    [
        pytest.param(5.0, 0.925, 0.965, id="worlds differ much"),
        pytest.param(0.3, 0.925, 0.965, id="worlds differ as much as one finds"),
        pytest.param(0.0, 0.945, 0.995, id="worlds do not differ"),
    ],
)
def test_interval_covers_what_it_claims_with_eight_members(between: float, least: float, most: float) -> None:
    result = bootstrap_means(worlds(between=between, within=1.0, datasets=1500, seed=3), MEMBERS, resamples=1000)
    low, high = result.interval(0.95)
    assert least <= ((low <= 0.0) & (high >= 0.0)).mean() <= most


def test_interval_that_ignores_members_would_not_cover() -> None:
    scores = worlds(between=1.0, within=1.0, datasets=800, seed=4)
    alone = bootstrap_means(scores, np.arange(MEMBERS.size), resamples=400)  # every sale its own world
    low, high = alone.interval(0.95)
    assert ((low <= 0.0) & (high >= 0.0)).mean() < 0.5


def test_the_difference_of_means_that_share_no_member_is_welchs() -> None:
    """One sale a member: the two-sample interval of scipy."""
    rng = np.random.default_rng(3)
    one, other = rng.normal(2.0, 3.0, 9), rng.normal(1.0, 0.5, 5)
    means = [bootstrap_means(values[:, None], np.arange(values.size), resamples=100) for values in (one, other)]
    difference, low, high = difference_of_means(*means, confidence=0.9)
    expected = distributions.ttest_ind(one, other, equal_var=False).confidence_interval(0.9)
    assert difference[0] == pytest.approx(one.mean() - other.mean())
    assert (low[0], high[0]) == pytest.approx((expected.low, expected.high))
    still = bootstrap_means(np.ones((4, 1)), np.arange(4), resamples=100)
    assert [values[0] for values in difference_of_means(still, still, confidence=0.9)] == [0.0, 0.0, 0.0]


def test_p_value_rejects_at_its_level_and_agrees_with_the_interval() -> None:
    result = bootstrap_means(worlds(between=1.0, within=1.0, datasets=1500, seed=5), MEMBERS, resamples=1000)
    rejected = result.p_value() < 0.05
    low, high = result.interval(0.95)
    outside = (low > 0.0) | (high < 0.0)
    assert 0.035 <= rejected.mean() <= 0.075
    assert (rejected == outside).mean() > 0.99  # they can differ only in the interpolation of one resample


def test_bootstrap_variance_is_the_unbiased_variance_of_the_design() -> None:
    scores = worlds(between=0.7, within=2.0, datasets=4000, seed=6)
    truth = np.sqrt((0.7**2 + 2.0**2 / 50) / 8)
    result = bootstrap_means(scores, MEMBERS, resamples=100)
    assert np.sqrt((result.standard_error**2).mean()) == pytest.approx(truth, rel=0.03)
    one = bootstrap_means(scores[:, :1], MEMBERS, resamples=20_000)
    middle = slice(3_000, 17_000)  # where Student's and the normal quantile are nearly proportional
    normal = distributions.norm.ppf((np.arange(20_000) + 0.5) / 20_000)
    student = distributions.t.ppf((np.arange(20_000) + 0.5) / 20_000, 7)
    slope = (one.draws[middle, 0] @ student[middle]) / (student[middle] @ student[middle])
    assert slope == pytest.approx(one.standard_error[0], rel=0.05)
    assert one.draws[middle, 0].std() > one.standard_error[0] * normal[middle].std()


def test_interval_of_many_members_is_the_normal_interval() -> None:
    generator = np.random.default_rng(8)
    scores = generator.normal(3.0, 1.0, size=(600, 1))
    low, high = bootstrap_means(scores, np.arange(600), resamples=10_000).interval(0.95)
    error = scores.std(ddof=1) / np.sqrt(600)
    assert (high - low)[0] == pytest.approx(2 * 1.96 * error, rel=0.04)


def test_members_weigh_equally_whatever_their_sales() -> None:
    scores = np.array([[1.0], [1.0], [1.0], [1.0], [5.0], [5.0]])
    assert equal_member_means(scores, [0, 0, 0, 0, 1, 1])[0] == 3.0
    assert bootstrap_means(scores, [0, 0, 0, 0, 1, 1], resamples=100).mean[0] == 3.0


def test_differences_between_worlds_widen_the_interval() -> None:
    noise = np.random.default_rng(9).normal(size=(MEMBERS.size, 1))
    shift = np.linspace(-2.0, 2.0, 8)[MEMBERS][:, None]
    widths = []
    for scores in (noise, noise + shift):
        low, high = bootstrap_means(scores, MEMBERS, resamples=2000).interval(0.95)
        widths.append((high - low)[0])
    assert widths[1] > 3.0 * widths[0]


def test_pairing_narrows_the_interval_under_common_noise() -> None:
    generator = np.random.default_rng(10)
    common = generator.normal(0.0, 10.0, size=MEMBERS.size)
    one, other = common + generator.normal(size=MEMBERS.size), common + generator.normal(size=MEMBERS.size)
    paired = bootstrap_means((one - other)[:, None], MEMBERS, resamples=2000).standard_error[0]
    alone = bootstrap_means(np.stack([one, other], axis=1), MEMBERS, resamples=2000).standard_error
    assert paired < 0.3 * np.hypot(*alone)


@pytest.mark.parametrize("same", [0.0, 50.0, -0.1])
def test_the_same_in_all_sales_has_no_width_and_is_claimed_unless_it_is_zero(same: float) -> None:
    result = bootstrap_means(np.full((MEMBERS.size, 1), same), MEMBERS, resamples=500)
    low, high = result.interval(0.95)
    assert (low[0], high[0]) == pytest.approx((same, same), rel=1e-12)
    assert result.p_value()[0] == (1.0 if same == 0.0 else pytest.approx(2.0 / 501.0))
    few = bootstrap_means(np.full((20, 1), same), np.arange(20) % 7, resamples=500)
    assert few.p_value()[0] == 1.0


def test_equal_seeds_agree_and_columns_do_not_depend_on_their_neighbors() -> None:
    scores = worlds(between=1.0, within=1.0, datasets=6, seed=11)
    whole = bootstrap_means(scores, MEMBERS, resamples=600, seed=5)
    again = bootstrap_means(scores, MEMBERS, resamples=600, seed=5)
    part = bootstrap_means(scores[:, 2:3], MEMBERS, resamples=600, seed=5)
    other = bootstrap_means(scores, MEMBERS, resamples=600, seed=6)
    assert np.array_equal(whole.draws, again.draws)
    assert np.array_equal(whole.draws[:, 2:3], part.draws)
    assert not np.array_equal(whole.draws, other.draws)


@given(
    effect=st.floats(-1e6, 1e6),
    scale=st.floats(0.01, 1e4),
    sizes=st.lists(st.integers(1, 9), min_size=2, max_size=9),
)
@settings(max_examples=40, deadline=None)
def test_interval_moves_with_a_shift_and_stretches_with_the_unit(effect: float, scale: float, sizes: list[int]) -> None:
    members = np.repeat(np.arange(len(sizes)), sizes)
    scores = np.random.default_rng(12).normal(size=(members.size, 1))
    plain = np.array(bootstrap_means(scores, members, resamples=200).interval(0.9))
    moved = np.array(bootstrap_means(effect + scale * scores, members, resamples=200).interval(0.9))
    finite = np.isfinite(plain)
    tolerance = 1e-9 * (abs(effect) + scale * np.abs(plain[finite]).max(initial=0.0) + 1.0)
    assert np.array_equal(moved[~finite], plain[~finite])
    assert np.allclose(moved[finite], effect + scale * plain[finite], rtol=1e-6, atol=tolerance)


def test_single_member_falls_back_to_its_sales() -> None:
    scores = np.random.default_rng(13).normal(size=(200, 1))
    result = bootstrap_means(scores, np.zeros(200), resamples=4000)
    assert result.degrees_of_freedom == 199
    assert result.standard_error[0] == pytest.approx(scores.std(ddof=1) / np.sqrt(200), rel=1e-12)


def test_thousand_sales_of_ten_policies_take_seconds() -> None:
    generator = np.random.default_rng(14)
    scores, members = generator.normal(size=(1000, 250)), generator.integers(8, size=1000)
    start = time.perf_counter()
    bootstrap_means(scores, members, resamples=10_000).interval(0.95)
    assert time.perf_counter() - start < 15.0  # about 1 s when nothing else runs


def test_holm_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.5, 0.9]) == pytest.approx([1.0, 1.0])


@given(st.lists(st.floats(0.0, 1.0), min_size=1, max_size=12))
def test_holm_lies_between_no_correction_and_bonferroni(p_values: list[float]) -> None:
    given_p = np.array(p_values)
    adjusted = holm(given_p)
    assert (adjusted >= given_p).all()
    assert (adjusted <= np.minimum(1.0, given_p * given_p.size) + 1e-15).all()


def test_minimum_detectable_effect_is_its_formula() -> None:
    assert minimum_detectable_effect(1.0, 10**7) == pytest.approx(1.959964 + 0.841621, abs=1e-5)
    cost = 1.0 + 16.0 / 20**2  # of asking Johnson's t, too
    assert minimum_detectable_effect(2.0, 19) == pytest.approx(2.0 * cost * (2.093024 + 0.860951), abs=1e-5)


@pytest.mark.parametrize("alpha", [0.05, 0.01])
def test_effect_of_detectable_size_is_found_four_times_in_five(alpha: float) -> None:
    members, repetitions = np.repeat(np.arange(20), 2), 5_000
    effect = float(minimum_detectable_effect(np.sqrt((1.0 + 1.0 / 2) / 20), 19, alpha=alpha))
    generator = np.random.default_rng(15)
    scores = generator.normal(effect, 1.0, (20, repetitions))[members]
    scores += generator.normal(size=(members.size, repetitions))
    found = bootstrap_means(scores, members, resamples=800).p_value() < alpha
    assert found.mean() == pytest.approx(0.8, abs=0.02)


def test_probability_of_improvement_counts_ties_half() -> None:
    assert improvement_scores([2.0, -1.0, 0.0, 3.0]).mean() == 0.625


def test_cvar_is_the_mean_of_the_worst_share() -> None:
    values = np.arange(1.0, 21.0)[:, None]
    assert cvar_scores(values, members=np.zeros(20), share=0.1).mean() == pytest.approx(1.5)
    assert cvar_scores(values, members=np.zeros(20), share=0.125).mean() == pytest.approx((1 + 2 + 0.5 * 3) / 2.5)
    normal = np.random.default_rng(16).normal(size=(40_000, 1))
    truth = -distributions.norm.pdf(distributions.norm.ppf(0.1)) / 0.1
    scores = cvar_scores(normal, members=np.zeros(40_000), share=0.1)
    assert abs(scores.mean() - truth) < 4.0 * scores.std() / np.sqrt(40_000)


def test_ratio_scores_average_to_the_ratio_of_means() -> None:
    generator = np.random.default_rng(17)
    bottom = generator.gamma(9.0, size=400)
    top = 1.3 * bottom + generator.normal(0.0, 0.1, size=400)
    scores = ratio_scores(top, bottom, members=MEMBERS)
    assert scores.mean() == pytest.approx(top.mean() / bottom.mean(), rel=1e-12)
    assert scores.std() < 0.1 * bottom.std()


def test_within_member_interval_is_students() -> None:
    scores = np.array([[1.0], [2.0], [3.0], [7.0], [7.5]])
    low, high = within_member_intervals(scores, [0, 0, 0, 1, 1])
    half = distributions.t.ppf(0.975, 2) * 1.0 / np.sqrt(3)
    assert (low[0, 0], high[0, 0]) == pytest.approx((2.0 - half, 2.0 + half))


@pytest.mark.parametrize(
    ("scores", "members", "resamples", "words"),
    [
        (np.zeros(5), np.zeros(5), 100, "expected \\(sale, column\\)"),
        (np.zeros((5, 1)), np.zeros(4), 100, "expected \\(sale, column\\)"),
        (np.full((5, 1), np.nan), np.zeros(5), 100, "not finite"),
        (np.zeros((1, 1)), np.zeros(1), 100, "at least 2 sales"),
        (np.zeros((5, 1)), np.zeros(5), 10, "at least 100, got 10"),
    ],
)
def test_unusable_input_is_refused(
    scores: NDArray[np.float64], members: NDArray[np.float64], resamples: int, words: str
) -> None:
    with pytest.raises(InputError, match=words):
        bootstrap_means(scores, members, resamples=resamples)


def test_unusable_levels_are_refused() -> None:
    with pytest.raises(InputError, match="confidence must lie between 0 and 1, got 95"):
        bootstrap_means(np.zeros((4, 1)), np.zeros(4), resamples=100).interval(95)
    with pytest.raises(InputError, match="p-values"):
        holm([0.1, 1.2])
    with pytest.raises(InputError, match="must be positive"):
        ratio_scores([1.0, 2.0], [-1.0, -2.0], members=[0, 1])
