"""Counts that vary more than Poisson and that the stock cuts off: log-likelihood and its derivatives.

    demand | e ~ Poisson(exp(eta + sigma·e)),  e ~ N(0, 1)
    on the shelf:  P(units)        = ∫ Poisson(units; exp(eta + sigma·e)) phi(e) de
    sold out:      P(demand >= n)  = ∫ P(Poisson(exp(eta + sigma·e)) >= n) phi(e) de

A sell-out says only that demand was at least the stock. e holds what the covariates do not explain. Without e, a shelf
that runs empty on good days would make demand look smaller and steadier than it is.

Integrals are sums over equal steps (trapezoidal rule, whose error falls exponentially for such integrands). For each
row the steps cover the range of e that matters: around the peak for counts that were seen, from the step on for
sell-outs.

Left out: any other law of e, stock that depends on e, and days on which the stock is unknown.

Source: Terza (1985), Economics Letters 18, "A Tobit-type estimator for the censored Poisson regression model";
Aitchison & Ho (1989), Biometrika 76, "The multivariate Poisson-log normal distribution"; Trefethen & Weideman (2014),
SIAM Review 56, "The exponentially convergent trapezoidal rule".
"""

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammainc, gammaln, ndtri, pdtr

REACH: Final = 6.5
"""The integral ignores e beyond this many standard deviations."""
PEAK_NODES: Final = 25
"""Nodes around a peak; they lie about half a standard deviation of the posterior apart."""
STEP_NODES: Final = (41, 241)
"""Smallest and largest number of nodes for sell-outs."""
NODES_A_WIDTH: Final = 0.8
"""Nodes for each standard deviation of the Poisson step, log scale."""
NEWTON_STEPS: Final = 8
QUANTILE_NODES: Final = 61


class Derivatives(NamedTuple):
    """Log-likelihood by row, with its derivatives to the location eta and to tau = ln sigma."""

    value: NDArray[np.float64]
    d_eta: NDArray[np.float64]
    d_tau: NDArray[np.float64]
    d_eta_eta: NDArray[np.float64]
    d_eta_tau: NDArray[np.float64]
    d_tau_tau: NDArray[np.float64]


def log_likelihood(
    units: NDArray[np.float64], sold_out: NDArray[np.bool_], *, eta: NDArray[np.float64], sigma: float
) -> Derivatives:
    """Log-likelihood of each row and its derivatives. All arrays are (row,); ``units`` is the stock where sold out."""
    out = np.empty((6, units.size))
    seen = ~sold_out
    if seen.any():
        out[:, seen] = _of_counts(units[seen], eta[seen], sigma)
    if sold_out.any():
        out[:, sold_out] = _of_sell_outs(units[sold_out], eta[sold_out], sigma)
    return Derivatives(*out)


def count_quantiles_of_lognormal_rate(
    location: NDArray[np.float64], spread: NDArray[np.float64], *, levels: tuple[float, ...]
) -> NDArray[np.float64]:
    """Quantiles (level, row) of a Poisson count whose log rate is normal with ``location`` and ``spread`` (row,)."""
    nodes = np.linspace(-REACH, REACH, QUANTILE_NODES)
    weight = np.exp(-0.5 * nodes**2)
    weight /= weight.sum()
    rate = np.exp(np.minimum(location[:, None] + spread[:, None] * nodes, 50.0))

    def reaches(count: NDArray[np.float64], level: float) -> NDArray[np.bool_]:
        held: NDArray[np.bool_] = pdtr(count[:, None], rate) @ weight >= level
        return held

    out = np.empty((len(levels), location.size))
    for i, level in enumerate(levels):
        guess = np.exp(np.minimum(location + spread * ndtri(level), 50.0))
        margin = 6.0 * np.sqrt(guess) + 12.0
        low, high = (
            np.floor(np.maximum(guess - margin, -1.0)),
            np.ceil(guess + margin),
        )  # low: not reached, high: reached
        low = np.where(reaches(low, level), -1.0, low)
        while (high - low > 1.0).any():
            middle = np.floor(0.5 * (low + high))
            enough = reaches(middle, level)
            low, high = np.where(enough, low, middle), np.where(enough, middle, high)
        out[i] = high
    return out


def _of_counts(units: NDArray[np.float64], eta: NDArray[np.float64], sigma: float) -> NDArray[np.float64]:
    e = np.clip((np.log(units + 0.5) - eta) / sigma, -REACH, REACH)
    for _ in range(NEWTON_STEPS):  # the log of the integrand is concave in e
        rate = np.exp(np.clip(eta + sigma * e, -50.0, 50.0))
        step = (sigma * (units - rate) - e) / (sigma**2 * rate + 1.0)
        e += np.clip(step, -1.0, 1.0)
    width = 1.0 / np.sqrt(sigma**2 * np.exp(eta + sigma * e) + 1.0)
    unit_nodes = np.linspace(-REACH, REACH, PEAK_NODES)
    nodes = e[:, None] + width[:, None] * unit_nodes
    log_rate = eta[:, None] + sigma * nodes
    rate = np.exp(np.minimum(log_rate, 50.0))
    log_mass = units[:, None] * log_rate - rate - gammaln(units + 1.0)[:, None]
    spacing = width * (unit_nodes[1] - unit_nodes[0])
    return _integrate(log_mass, nodes, spacing, score=units[:, None] - rate, curvature=-rate, sigma=sigma)


def _of_sell_outs(stock: NDArray[np.float64], eta: NDArray[np.float64], sigma: float) -> NDArray[np.float64]:
    step_at = (np.log(stock) - eta) / sigma
    step_width = 1.0 / (sigma * np.sqrt(stock))
    low = np.clip(step_at - REACH * step_width, -REACH, REACH - 1.0)
    widest = float(((REACH - low) / step_width).max())
    nodes_needed = int(np.clip(np.ceil(NODES_A_WIDTH * widest), *STEP_NODES))
    high = np.maximum(REACH, step_at + REACH * step_width)
    nodes = low[:, None] + (high - low)[:, None] * np.linspace(0.0, 1.0, nodes_needed)
    log_rate = eta[:, None] + sigma * nodes
    rate = np.exp(np.minimum(log_rate, 50.0))
    survival = np.maximum(gammainc(stock[:, None], rate), 1e-290)
    log_density = stock[:, None] * log_rate - rate - gammaln(stock)[:, None]
    score = np.exp(np.minimum(log_density - np.log(survival), 30.0))
    curvature = score * (stock[:, None] - rate - score)
    spacing = (high - low) / (nodes_needed - 1)
    return _integrate(np.log(survival), nodes, spacing, score=score, curvature=curvature, sigma=sigma)


def _integrate(
    log_mass: NDArray[np.float64],
    nodes: NDArray[np.float64],
    spacing: NDArray[np.float64],
    *,
    score: NDArray[np.float64],
    curvature: NDArray[np.float64],
    sigma: float,
) -> NDArray[np.float64]:
    """Rows of :class:`Derivatives`; ``score`` and ``curvature`` are derivatives of ``log_mass`` to the log rate."""
    log_weight = log_mass - 0.5 * nodes**2
    top = log_weight.max(axis=1)
    weight = np.exp(log_weight - top[:, None])
    total = weight.sum(axis=1)
    weight /= total[:, None]
    value = top + np.log(total * spacing / np.sqrt(2.0 * np.pi))
    moved = sigma * nodes  # derivative of the log rate to tau
    second = weight * (score**2 + curvature)
    first = weight * score
    d_eta, d_tau = first.sum(axis=1), (first * moved).sum(axis=1)
    return np.stack(
        [
            value,
            d_eta,
            d_tau,
            second.sum(axis=1) - d_eta**2,
            (second * moved).sum(axis=1) - d_eta * d_tau,
            (second * moved**2 + first * moved).sum(axis=1) - d_tau**2,
        ]
    )
