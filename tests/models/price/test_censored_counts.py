"""Integrals over the unexplained are those of a brute-force sum, and their derivatives are derivatives."""

import numpy as np
import pytest
from scipy import stats

from flashsim.models.price.censored_counts import count_quantiles_of_lognormal_rate, log_likelihood

UNITS = np.array([0.0, 1.0, 5.0, 30.0, 300.0, 20.0, 3.0, 900.0])
SOLD_OUT = np.array([False] * 5 + [True] * 3)
ETA = np.array([1.0, 1.0, 2.5, 3.0, 5.5, 3.0, 4.0, 6.5])


@pytest.mark.parametrize("sigma", [0.05, 0.3, 0.8])
def test_likelihoods_are_those_of_a_fine_sum(sigma: float) -> None:
    e = np.linspace(-9.0, 9.0, 40_001)
    rate = np.exp(ETA[:, None] + sigma * e)
    mass = np.where(
        SOLD_OUT[:, None], stats.poisson.sf(UNITS[:, None] - 1.0, rate), stats.poisson.pmf(UNITS[:, None], rate)
    )
    expected = np.log((mass * stats.norm.pdf(e)).sum(axis=1) * (e[1] - e[0]))
    found = log_likelihood(UNITS, SOLD_OUT, eta=ETA, sigma=sigma).value
    near = expected > -200.0  # beyond, the reach of e does not count
    assert found[near] == pytest.approx(expected[near], abs=1e-4)


@pytest.mark.parametrize("sigma", [0.05, 0.3, 0.8])
def test_derivatives_are_those_of_finite_differences(sigma: float) -> None:
    h = 1e-4
    eta = np.where(UNITS == 900.0, 6.7, ETA)

    def value(d_eta: float, d_tau: float) -> np.ndarray:
        return log_likelihood(UNITS, SOLD_OUT, eta=eta + d_eta, sigma=sigma * np.exp(d_tau)).value

    exact = log_likelihood(UNITS, SOLD_OUT, eta=eta, sigma=sigma)
    assert exact.d_eta == pytest.approx((value(h, 0) - value(-h, 0)) / (2 * h), rel=1e-3, abs=1e-4)
    assert exact.d_tau == pytest.approx((value(0, h) - value(0, -h)) / (2 * h), rel=1e-3, abs=1e-4)
    across = (value(h, h) - value(h, -h) - value(-h, h) + value(-h, -h)) / (4 * h**2)
    assert exact.d_eta_tau == pytest.approx(across, rel=1e-2, abs=1e-3)


def test_a_sell_out_counts_as_all_the_demand_it_may_have_been() -> None:
    """P(demand >= n) = 1 - sum of P(demand = k) below n."""
    n = 12
    below = log_likelihood(
        np.arange(n, dtype=np.float64), np.zeros(n, dtype=bool), eta=np.full(n, 2.3), sigma=0.5
    ).value
    sold_out = log_likelihood(np.array([n * 1.0]), np.array([True]), eta=np.array([2.3]), sigma=0.5).value
    assert np.exp(sold_out[0]) == pytest.approx(1.0 - np.exp(below).sum(), abs=1e-8)


def test_quantiles_of_counts_are_those_of_draws() -> None:
    generator = np.random.default_rng(0)
    location, spread = np.array([0.0, 3.0, 6.0]), np.array([0.5, 0.4, 1e-6])
    drawn = generator.poisson(np.exp(location + spread * generator.standard_normal((200_000, 3))))
    for level, found in zip(
        (0.05, 0.5, 0.95), count_quantiles_of_lognormal_rate(location, spread, levels=(0.05, 0.5, 0.95)), strict=True
    ):
        assert ((drawn <= found).mean(axis=0) >= level - 0.004).all()
        assert ((drawn <= found - 1.0).mean(axis=0) <= level + 0.004).all()
