"""Counts drawn from uniforms have the distribution that they claim, and never fall when their rate rises."""

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import special, stats

from flashsim.sim.samplers import EXACT_MEAN, gamma_factor
from tests.sim.draws import binomial_counts, exponentials, logarithms, normals, poisson_counts, uniforms

Counts = Callable[[NDArray[np.float64]], NDArray[np.int64]]

MEANS = [0.01, 0.5, 3.0, 12.0, 19.99, 20.0, 20.001, 20.5, 22.0, 23.99, 24.01, 30.0, 60.0, 100.0, 1e3, 1e4, 1e5, 1e6]
TRIALS = [
    (1, 0.3),
    (5, 0.5),
    (20, 0.9),
    (40, 0.5),
    (41, 0.5),
    (42, 0.49),
    (50, 0.5),
    (60, 0.6),
    (100, 0.05),
    (100, 0.2),
    (100, 0.21),
    (100, 0.25),
    (200, 0.105),
    (1000, 0.02),
    (1000, 0.021),
    (1000, 0.999),
    (10_000, 0.3),
    (100_000, 1e-4),
    (1_000_000, 2.1e-5),
    (1_000_000, 0.5),
]


def distribution_function(counts: Counts, values: NDArray[np.int64]) -> NDArray[np.float64]:
    """P(count <= value) of a count that never falls with its uniform: where it passes the value, by bisection."""
    low, high = np.zeros(values.size), np.ones(values.size)
    for _ in range(54):
        middle = (low + high) / 2.0
        is_below = counts(middle) <= values
        low, high = np.where(is_below, middle, low), np.where(is_below, high, middle)
    return low


def support(law: Any, at_most: int = 3000) -> NDArray[np.int64]:
    """Counts that matter, all of them if there are not too many."""
    low, high = int(law.ppf(1e-12)), int(law.ppf(1.0 - 1e-12))
    return np.unique(np.linspace(low, high, min(high - low + 1, at_most)).astype(np.int64))


@pytest.mark.parametrize("mean", MEANS)
def test_poisson_counts_have_their_distribution(mean: float) -> None:
    law = stats.poisson(mean)
    values = support(law)
    seen = distribution_function(lambda u: poisson_counts(mean, u), values)
    allowed = 1e-12 if mean <= EXACT_MEAN else 1e-5
    assert np.abs(seen - law.cdf(values)).max() < allowed


@pytest.mark.parametrize(("trials", "chance"), TRIALS)
def test_binomial_counts_have_their_distribution(trials: int, chance: float) -> None:
    law = stats.binom(trials, chance)
    values = support(law)
    seen = distribution_function(lambda u: binomial_counts(trials, chance, u), values)
    allowed = 1e-10 if trials * min(chance, 1.0 - chance) <= EXACT_MEAN else 1e-5
    assert np.abs(seen - law.cdf(values)).max() < allowed


@pytest.mark.parametrize("mean", [0.1, 5.0, 20.0, 20.01, 23.0, 40.0, 500.0, 1e5, 1e6])
def test_the_mean_of_poisson_counts_is_their_rate(mean: float) -> None:
    spread = 13.0 * np.sqrt(mean) + 30.0
    values = np.arange(max(0, int(mean - spread)), int(mean + spread))
    seen = distribution_function(lambda u: poisson_counts(mean, u), values)
    assert values[0] + (1.0 - seen).sum() == pytest.approx(mean, rel=1e-4)


@pytest.mark.parametrize(("trials", "chance"), [(10, 0.37), (41, 0.5), (300, 0.07), (5000, 0.8), (1_000_000, 0.9)])
def test_the_mean_of_binomial_counts_is_trials_times_chance(trials: int, chance: float) -> None:
    mean, spread = trials * chance, 13.0 * np.sqrt(trials * chance * (1.0 - chance)) + 30.0
    values = np.arange(max(0, int(mean - spread)), min(trials, int(mean + spread)) + 1)
    seen = distribution_function(lambda u: binomial_counts(trials, chance, u), values)
    assert values[0] + (1.0 - seen).sum() == pytest.approx(mean, rel=1e-4)


moderate = st.floats(1e-9, 1.0 - 1e-9)
"""Uniforms at which breaches of monotonicity by rounding cannot be met."""
near_the_switches = st.one_of(st.floats(0.0, 60.0), st.floats(19.9, 20.1), st.floats(23.9, 24.1), st.floats(0.0, 1e6))


@given(first=near_the_switches, second=near_the_switches, uniform=moderate)
def test_a_poisson_count_never_falls_when_its_rate_rises(first: float, second: float, uniform: float) -> None:
    low, high = poisson_counts(sorted([first, second]), uniform)
    assert low <= high


@given(
    trials=st.one_of(st.integers(0, 60), st.integers(0, 100_000)),
    means=st.tuples(near_the_switches, near_the_switches),
    is_mirrored=st.booleans(),
    uniform=moderate,
)
def test_a_binomial_count_never_falls_when_its_chance_rises(
    trials: int, means: tuple[float, float], is_mirrored: bool, uniform: float
) -> None:
    chances = np.clip(np.array(means) / max(trials, 1), 0.0, 1.0)
    low, high = binomial_counts(trials, np.sort(1.0 - chances if is_mirrored else chances), uniform)
    assert low <= high


@given(
    trials=st.integers(0, 5000), more=st.integers(0, 100), chance=st.floats(0.0, 1.0), uniform=st.floats(1e-4, 0.9999)
)
def test_a_binomial_count_never_falls_with_more_trials(trials: int, more: int, chance: float, uniform: float) -> None:
    low, high = binomial_counts([trials, trials + more], chance, uniform)
    assert low <= high


@pytest.mark.parametrize("chance", [0.01, 0.05, 0.1, 0.2, 0.4, 0.5, 0.7, 0.95])
def test_with_one_trial_more_a_binomial_count_falls_with_probability_below_2e_8(chance: float) -> None:
    switch = int(EXACT_MEAN / min(chance, 1.0 - chance))
    values = np.arange(switch + 5)
    functions = [
        distribution_function(lambda u, n=trials: binomial_counts(n, chance, u), values)  # type: ignore[misc]
        for trials in range(switch - 1, switch + 5)
    ]
    falls = [np.maximum(0.0, after - before).sum() for before, after in pairwise(functions)]
    assert max(falls) < 2e-8


@given(trials=st.integers(0, 10**9), uniform=st.floats(2.0**-53, 1.0 - 2.0**-53))
def test_binomial_counts_are_exact_at_chances_0_and_1(trials: int, uniform: float) -> None:
    assert binomial_counts(trials, [-0.5, 0.0, 1.0, 1.5], uniform).tolist() == [0, 0, trials, trials]


@given(trials=st.integers(0, 10**6), chance=st.floats(0.0, 1.0), uniform=st.floats(2.0**-53, 1.0 - 2.0**-53))
def test_binomial_counts_lie_between_0_and_their_trials(trials: int, chance: float, uniform: float) -> None:
    assert 0 <= binomial_counts(trials, chance, uniform)[0] <= trials


@pytest.mark.parametrize("uniform", [2.0**-53, 1.0 - 2.0**-53])
def test_the_most_extreme_uniforms_give_counts_that_are_extreme_but_possible(uniform: float) -> None:
    """Rounded sums of probabilities may stay below the largest uniform; the walk must not run away then."""
    means = np.linspace(0.001, 40.0, 500)
    counts = poisson_counts(means, uniform)
    assert (stats.poisson.sf(counts - 1, means) > 1e-19).all()
    for trials in (41, 100, 1000, 100_000):
        drawn = binomial_counts(trials, means / trials, uniform)
        assert (stats.binom.sf(drawn - 1, trials, means / trials) > 1e-19).all()


def chi_square(counts: NDArray[np.int64], law: Any) -> float:
    """p-value of Pearson's test on cells that are expected at least ten times."""
    edges = np.unique(law.ppf(np.linspace(0.0, 1.0, 42)[1:-1]).astype(np.int64))
    expected = np.diff(np.concatenate([[0.0], law.cdf(edges), [1.0]])) * counts.size
    observed = np.bincount(np.searchsorted(edges, counts), minlength=expected.size)
    is_rare = expected < 10.0
    expected = np.append(expected[~is_rare], expected[is_rare].sum())
    observed = np.append(observed[~is_rare], observed[is_rare].sum())
    keep = expected > 0.0
    return float(stats.chisquare(observed[keep], expected[keep], sum_check=False).pvalue)


@pytest.mark.parametrize("mean", [2.5, 19.0, 22.0, 200.0])
def test_drawn_poisson_counts_pass_chi_square(mean: float) -> None:
    draws = uniforms(np.arange(100_000), stream=4)
    assert chi_square(poisson_counts(mean, draws), stats.poisson(mean)) > 1e-4


@pytest.mark.slow
@pytest.mark.parametrize("mean", MEANS)
def test_a_million_drawn_poisson_counts_pass_chi_square(mean: float) -> None:
    draws = uniforms(7, tick=np.arange(1_000_000), stream=4)
    assert chi_square(poisson_counts(mean, draws), stats.poisson(mean)) > 1e-4 / (len(MEANS) + len(TRIALS))


@pytest.mark.slow
@pytest.mark.parametrize(("trials", "chance"), TRIALS)
def test_a_million_drawn_binomial_counts_pass_chi_square(trials: int, chance: float) -> None:
    draws = uniforms(8, tick=np.arange(1_000_000), stream=10)
    law = stats.binom(trials, chance)
    assert chi_square(binomial_counts(trials, chance, draws), law) > 1e-4 / (len(MEANS) + len(TRIALS))


def test_exponentials_are_exact_to_1e_15_and_exp_0_is_1() -> None:
    x = np.concatenate([np.linspace(-700.0, 700.0, 20_001), np.linspace(-1.0, 1.0, 20_001)])
    assert np.abs(exponentials(x) / np.exp(x) - 1.0).max() < 1e-15
    assert exponentials(np.zeros(1))[0] == 1.0
    assert np.isfinite(exponentials(np.array([-1e9, 1e9]))).all()


def test_logarithms_are_exact_to_1e_15() -> None:
    x = np.concatenate([np.geomspace(1e-300, 1e300, 20_001), np.linspace(0.5, 2.0, 20_001)])
    truth = np.log(x)
    assert (np.abs(logarithms(x) - truth) <= 1e-15 * np.maximum(1.0, np.abs(truth))).all()
    assert logarithms(np.ones(1))[0] == 0.0


def test_normal_quantiles_are_exact_to_1e_14() -> None:
    u = np.concatenate([np.geomspace(2.0**-53, 0.5, 5001), np.linspace(0.0, 1.0, 5003)[1:-1]])
    truth = special.ndtri(u)
    assert (np.abs(normals(u) - truth) <= 1e-14 * np.maximum(1.0, np.abs(truth))).all()


@pytest.mark.parametrize("variance", [0.0, 0.05, 0.3, 1.0])
def test_frailty_factors_have_mean_1_and_their_variance(variance: float) -> None:
    """Quadrature over the normal quantile: no Monte Carlo error."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(80)
    weights = weights / weights.sum()
    factors = np.array([gamma_factor(node, variance) for node in nodes])
    mean = weights @ factors
    assert mean == pytest.approx(1.0, abs=2e-3)
    assert weights @ (factors - mean) ** 2 == pytest.approx(variance, rel=0.02, abs=1e-12)
    assert (factors >= 0.0).all()
