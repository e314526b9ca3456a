"""Fits find the published parameters and simulated ones; expectations are those of their definitions."""

from collections.abc import Callable
from datetime import date
from typing import Any

import numpy as np
import pytest
from scipy import integrate

from flashsim.data.purchases import PurchaseHistory, read_cdnow, summarize_purchases
from flashsim.errors import InputError
from flashsim.models.customers.retention import BgNbd, GammaGamma, fit_bg_nbd, fit_gamma_gamma

PUBLISHED = BgNbd(r=0.243, alpha=4.414, a=0.793, b=2.426)


@pytest.fixture(scope="module")
def cdnow() -> PurchaseHistory:
    return summarize_purchases(read_cdnow("sample"), end=date(1997, 9, 30))


def simulate_customers(
    model: BgNbd, *, customers: int, age: float, horizon: float = 0.0, seed: int = 0
) -> tuple[Any, Any, Any, Any]:
    """x and t_x up to ``age``, whether still active then, and purchases in the horizon after it."""
    generator = np.random.default_rng(seed)
    rate = generator.gamma(model.r, 1.0 / model.alpha, customers)
    leaves = generator.beta(model.a, model.b, customers)
    x, t_x, after = np.zeros(customers), np.zeros(customers), np.zeros(customers)
    clock, active, alive = np.zeros(customers), np.ones(customers, dtype=bool), np.ones(customers, dtype=bool)
    while active.any():
        clock = np.where(active, clock + generator.exponential(1.0, customers) / np.maximum(rate, 1e-300), clock)
        active &= clock <= age + horizon
        before = active & (clock <= age)
        x[before] += 1
        t_x[before] = clock[before]
        after[active & ~before] += 1
        gone = active & (generator.random(customers) < leaves)
        alive &= ~(gone & before)
        active &= ~gone
    return x, t_x, alive, after


def test_the_published_fit_is_reproduced_to_three_digits(cdnow: PurchaseHistory) -> None:
    """Fader, Hardie & Lee (2005), table 2: log-likelihood -9582.4."""
    fit = fit_bg_nbd(cdnow.frequency, recency=cdnow.recency_weeks, age=cdnow.age_weeks)
    model = fit.model
    assert (model.r, model.a, model.b) == pytest.approx((0.243, 0.793, 2.426), abs=5.1e-4)
    assert model.alpha == pytest.approx(4.414, abs=5.1e-4)
    assert fit.log_likelihood == pytest.approx(-9582.4, abs=0.05)
    assert fit.customers == 2357
    assert model.expected_purchases_of_new(39.0) == pytest.approx(1.19672, abs=5e-3)
    assert model.expected_purchases_of_new(78.0) == pytest.approx(1.86052, abs=5e-3)
    assert model.probability_alive(2, recency=30.43, age=38.86)[0] == pytest.approx(0.72658, abs=5e-4)
    assert model.expected_purchases(2, recency=30.43, age=38.86, horizon=39.0)[0] == pytest.approx(1.2260, abs=5e-4)


@pytest.mark.parametrize("a", [300.0, 1e4, 1e6])
def test_customers_who_leave_alike_have_the_expectation_of_a_constant_chance(a: float) -> None:
    """With p constant, later purchases of a rate l are (1 - exp(-p l t))/p; its mean over l is a closed form."""
    model, chance = BgNbd(r=0.8, alpha=5.0, a=a, b=4.0 * a), 0.2
    for horizon in (1.0, 10.0, 100.0):
        truth = (1.0 - (1.0 + chance * horizon / model.alpha) ** -model.r) / chance
        assert model.expected_purchases_of_new(horizon) == pytest.approx(truth, rel=3.0 / a + 1e-6)


def test_expectations_at_the_published_parameters_are_exact() -> None:
    assert PUBLISHED.expected_purchases_of_new(39.0) == pytest.approx(1.19672, abs=5e-6)
    assert PUBLISHED.expected_purchases_of_new(78.0) == pytest.approx(1.86052, abs=5e-6)
    assert PUBLISHED.probability_alive(2, recency=30.43, age=38.86)[0] == pytest.approx(0.72658, abs=6e-6)
    assert PUBLISHED.expected_purchases(2, recency=30.43, age=38.86, horizon=39.0)[0] == pytest.approx(1.226, abs=5e-5)


def test_the_published_gamma_gamma_is_reproduced(cdnow: PurchaseHistory) -> None:
    """Fader & Hardie (2013): p = 6.25, q = 3.74, gamma = 15.44 on the 946 who bought again."""
    again = cdnow.spends_again
    fit = fit_gamma_gamma(cdnow.frequency[again], mean_spend=cdnow.mean_spend[again])
    assert fit.customers == 946
    assert (fit.model.p, fit.model.q, fit.model.gamma) == pytest.approx((6.25, 3.74, 15.44), abs=6e-3)
    assert fit.model.mean_spend_of_new() == pytest.approx(cdnow.mean_spend[again].mean(), rel=0.05)


@pytest.mark.parametrize("truth", [PUBLISHED, BgNbd(r=1.5, alpha=8.0, a=2.0, b=6.0)])
def test_simulated_customers_give_their_parameters_back(truth: BgNbd) -> None:
    x, t_x, alive, after = simulate_customers(truth, customers=20_000, age=60.0, horizon=40.0)
    fit = fit_bg_nbd(x, recency=t_x, age=np.full(x.size, 60.0))
    for name, value in vars(truth).items():
        error = (getattr(fit.model, name) - value) / getattr(fit.standard_error, name)
        assert abs(error) < 4.0, name
    probability = truth.probability_alive(x, recency=t_x, age=np.full(x.size, 60.0))
    assert alive.mean() == pytest.approx(probability.mean(), abs=4 * 0.5 / np.sqrt(x.size))
    expected = truth.expected_purchases(x, recency=t_x, age=np.full(x.size, 60.0), horizon=40.0)
    for group in (x == 0, (x > 0) & (x < 4), x >= 4):
        error = after[group] - expected[group]
        assert abs(error.mean()) < 4.0 * error.std() / np.sqrt(group.sum())


def test_standard_errors_are_those_of_repeated_fits() -> None:
    fits = []
    for seed in range(30):
        x, t_x, _, _ = simulate_customers(PUBLISHED, customers=4_000, age=40.0, seed=seed)
        fits.append(fit_bg_nbd(x, recency=t_x, age=np.full(x.size, 40.0)))
    for name in ("r", "alpha"):
        spread = np.std([getattr(fit.model, name) for fit in fits], ddof=1)
        claimed = np.mean([getattr(fit.standard_error, name) for fit in fits])
        assert claimed == pytest.approx(spread, rel=4.0 / np.sqrt(2 * 29))  # 4 SE of a standard deviation


def test_the_likelihood_is_a_density_over_all_histories() -> None:
    """P(x = 0) and the integral over t_x for x = 1, against simulated shares."""
    age = 20.0
    x, _, _, _ = simulate_customers(PUBLISHED, customers=200_000, age=age)

    def density(t_x: float) -> float:
        return float(np.exp(PUBLISHED.log_likelihood(1, recency=t_x, age=age))[0])

    never = float(np.exp(PUBLISHED.log_likelihood(0, recency=0.0, age=age))[0])
    once = integrate.quad(density, 1e-12, age)[0]
    for share, probability in (((x == 0).mean(), never), ((x == 1).mean(), once)):
        assert share == pytest.approx(probability, abs=4 * np.sqrt(probability / x.size))


def test_large_counts_and_long_times_stay_finite() -> None:
    x, T = np.array([0.0, 1.0, 500.0, 5000.0]), np.full(4, 1e5)
    t_x = np.array([0.0, 1e-3, 9.9e4, 1e5])
    assert np.isfinite(PUBLISHED.log_likelihood(x, recency=t_x, age=T)).all()
    alive = PUBLISHED.probability_alive(x, recency=t_x, age=T)
    assert ((alive >= 0.0) & (alive <= 1.0)).all()
    expected = PUBLISHED.expected_purchases(x, recency=t_x, age=T, horizon=1e4)
    assert np.isfinite(expected).all()
    assert (expected >= 0.0).all()


def test_expectations_pass_smoothly_through_a_equal_to_one() -> None:
    below, at, above = (BgNbd(0.3, 5.0, a, 2.0).expected_purchases_of_new(50.0) for a in (0.999, 1.0, 1.001))
    assert at == pytest.approx((below + above) / 2.0, rel=1e-6)


def test_time_and_money_may_come_in_any_unit(cdnow: PurchaseHistory) -> None:
    weeks = fit_bg_nbd(cdnow.frequency, recency=cdnow.recency_weeks, age=cdnow.age_weeks)
    days = fit_bg_nbd(cdnow.frequency, recency=7 * cdnow.recency_weeks, age=7 * cdnow.age_weeks)
    assert days.model.alpha == pytest.approx(7 * weeks.model.alpha, rel=1e-4)
    assert days.model.r == pytest.approx(weeks.model.r, rel=1e-4)
    for fit, scale in ((weeks, 1.0), (days, 7.0)):
        by_hand = fit.model.log_likelihood(
            cdnow.frequency, recency=scale * cdnow.recency_weeks, age=scale * cdnow.age_weeks
        )
        assert fit.log_likelihood == pytest.approx(by_hand.sum(), rel=1e-9)


def test_simulated_spends_give_their_parameters_back_and_shrink_to_the_mean() -> None:
    generator, truth = np.random.default_rng(0), GammaGamma(p=5.0, q=4.0, gamma=20.0)
    x = generator.integers(1, 12, 8_000).astype(float)
    scale = generator.gamma(truth.q, 1.0 / truth.gamma, x.size)
    spend = generator.gamma(truth.p * x, 1.0 / (scale * x))
    fit = fit_gamma_gamma(x, mean_spend=spend)
    for name, value in vars(truth).items():
        assert abs(getattr(fit.model, name) - value) < 4.0 * getattr(fit.standard_error, name), name
    assert fit.log_likelihood == pytest.approx(fit.model.log_likelihood(x, mean_spend=spend).sum(), rel=1e-9)
    few, many = truth.expected_spend([1, 1000], mean_spend=[100.0, 100.0])
    assert truth.mean_spend_of_new() < few < many < 100.0 * 1.01


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"frequency": [1, -2]}, r"x \(frequency\) counts .* got -2 for customer 1"),
        ({"frequency": [1, 1.5]}, r"x \(frequency\) counts .* got 1.5"),
        ({"recency": [3.0, 11.0]}, r"t_x \(recency\) must not lie after T .* got 11"),
        ({"recency": [3.0, -1.0]}, "must be >= 0; got -1"),
        ({"frequency": [1, 0]}, "must be 0 where x = 0, .* got 4 for customer 1"),
        ({"recency": [3.0, 0.0]}, "must be 0 where t_x = 0"),
        ({"age": [10.0, np.nan]}, r"T \(age\) must be finite; got nan for customer 1"),
        ({"recency": [np.inf, 1.0]}, r"t_x \(recency\) must be finite"),
        ({"age": [10.0, -1.0]}, r"T \(age\) must be >= 0"),
        ({"age": [10.0]}, "expected columns of one length"),
        ({"frequency": [], "recency": [], "age": []}, "there is no customer"),
        ({"frequency": [0, 0], "recency": [0.0, 0.0]}, "none of 2 customers bought again"),
    ],
)
def test_bad_histories_are_refused_with_the_value_seen(change: dict[str, Any], words: str) -> None:
    columns: dict[str, Any] = {"frequency": [1, 2], "recency": [3.0, 4.0], "age": [10.0, 10.0], **change}
    frequency = columns.pop("frequency")
    with pytest.raises(InputError, match=words):
        fit_bg_nbd(frequency, **columns)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: fit_gamma_gamma([0, 2], mean_spend=[1.0, 2.0]), "leave out those who never bought again"),
        (lambda: fit_gamma_gamma([1, 2], mean_spend=[1.0, 0.0]), "mean spend must be > 0"),
        (lambda: fit_gamma_gamma([1, 2], mean_spend=[1.0, np.nan]), "mean spend must be finite"),
        (lambda: fit_gamma_gamma(np.full(50, 3), mean_spend=np.full(50, 7.0)), "do not identify"),
        (lambda: GammaGamma(2.0, 0.9, 3.0).mean_spend_of_new(), "exists for q > 1 only"),
        (lambda: BgNbd(0.0, 1.0, 1.0, 1.0), "r must be > 0, got 0"),
        (lambda: PUBLISHED.expected_purchases_of_new(-1.0), "horizon must be a time >= 0, got -1"),
        (lambda: PUBLISHED.expected_purchases(1, recency=1.0, age=2.0, horizon=np.nan), "horizon .* got nan"),
    ],
)
def test_what_cannot_be_known_is_refused(call: Callable[[], Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        call()


def test_customers_who_never_leave_leave_two_parameters_unknown() -> None:
    """Poisson buyers of one rate: neither leaving nor spread over customers can be told."""
    generator = np.random.default_rng(0)
    times = np.cumsum(generator.exponential(2.0, (400, 60)), axis=1)
    x = (times < 40.0).sum(axis=1)
    t_x = np.where(x > 0, np.take_along_axis(times, np.maximum(x - 1, 0)[:, None], axis=1)[:, 0], 0.0)
    with pytest.raises(InputError, match="do not identify"):
        fit_bg_nbd(x, recency=t_x, age=np.full(400, 40.0))
