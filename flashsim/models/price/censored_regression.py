"""Coefficients of a censored count regression for many products that borrow strength from each other.

    ln rate = design·coefficients_p + sigma_p·e      units Poisson, cut off by the stock
    (slopes, ln sigma)_p ~ N(center, spread²)        levels of products are free

with the likelihood of :mod:`flashsim.models.price.censored_counts`.

Penalized Newton steps with the exact second derivatives fit each product. EM fits center and spread, so a product with
few rows or with one price falls back to the estimate of the others. A single product has no others: maximum likelihood
fits it, with wide priors only on sigma and on the covariates. The columns of the design are level, log price,
covariates and control, in this order.

Source: Breslow & Clayton (1993), JASA 88 (penalized likelihood and its variance updates); Terza (1985), Economics
Letters 18 (the likelihood); Levenberg (1944), Quarterly of Applied Mathematics 2 (damped steps).
"""

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from flashsim.models.price.censored_counts import log_likelihood

COVARIATE_SD: Final = 10.0
"""Prior standard deviation of the effect of one standard deviation of a covariate; it decides between collinear
covariates."""
SIGMA_PRIOR: Final = (-1.2, 1.5)
"""Prior mean and standard deviation of ln sigma: sigma between .02 and 6."""
TAU_LIMITS: Final = (np.log(0.02), np.log(3.0))
SMALLEST_SPREAD: Final = 0.02
"""Least difference between products; it keeps EM from freezing."""
EM_STEPS: Final = 12
LARGEST_STEP: Final = 1.0
"""Largest Newton step, log scale."""


class Counts(NamedTuple):
    """Rows of one product."""

    units: NDArray[np.float64]  # row; the stock where sold out
    is_sold_out: NDArray[np.bool_]  # row
    design: NDArray[np.float64]  # row, coefficient; the level first


class Prior(NamedTuple):
    """Normal prior of (coefficients, ln sigma); precision 0 means free."""

    mean: NDArray[np.float64]
    precision: NDArray[np.float64]


class Fit(NamedTuple):
    """Effects of one product: the coefficients, then ln sigma."""

    effects: NDArray[np.float64]  # effect
    covariance: NDArray[np.float64]  # effect, effect; inverse of the curvature at the peak
    objective: float  # penalized log-likelihood


def fit_products(products: list[Counts], *, held_at_zero: NDArray[np.bool_]) -> list[Fit]:
    """Fit every product. Effects (product, effect) marked in ``held_at_zero`` stay 0."""
    size = products[0].design.shape[1] + 1
    free = np.zeros(size)
    free[2:-2] = COVARIATE_SD**-2
    free[-1] = SIGMA_PRIOR[1] ** -2
    center = np.zeros(size)
    center[-1] = SIGMA_PRIOR[0]
    if len(products) == 1:
        return [fit_product(products[0], Prior(center, free), start=None, held=held_at_zero[0])]
    spread = np.ones(size)
    fits: list[Fit | None] = [None] * len(products)
    done: list[Fit] = []
    for step in range(EM_STEPS):
        precision = spread**-2.0
        precision[0] = 0.0
        prior = Prior(center, precision if step else np.maximum(free, 1e-2 * (np.arange(size) > 0)))
        done = [
            fit_product(
                counts, prior, start=None if fit is None else fit.effects, held=held, iterations=40 if step < 2 else 4
            )
            for counts, fit, held in zip(products, fits, held_at_zero, strict=True)
        ]
        fits = list(done)
        effects = np.stack([fit.effects for fit in done])
        variance = np.stack([np.diagonal(fit.covariance) for fit in done])
        center, spread = _pool(effects, variance, is_free=~held_at_zero, first=step == 0)
    return done


def fit_product(
    counts: Counts, prior: Prior, *, start: NDArray[np.float64] | None, held: NDArray[np.bool_], iterations: int = 40
) -> Fit:
    """Fit one product by penalized maximum likelihood with damped Newton steps; ``held`` effects stay at 0."""
    effects = _first_guess(counts, prior) if start is None else start.copy()
    effects[held] = 0.0
    value, gradient, curvature = _objective(counts, prior, effects)
    damping = 1e-6
    moving = ~held
    for _ in range(iterations):
        hessian = curvature[np.ix_(moving, moving)]
        scale = np.abs(np.diagonal(hessian)) + 1e-8
        step = np.zeros(effects.size)
        step[moving] = _solve_uphill(hessian + damping * np.diag(scale), gradient[moving])
        step = np.clip(step, -LARGEST_STEP, LARGEST_STEP)
        trial = effects + step
        trial[-1] = np.clip(trial[-1], *TAU_LIMITS)
        new_value, new_gradient, new_curvature = _objective(counts, prior, trial)
        if new_value >= value - 1e-9:
            moved = float(np.abs(trial - effects).max())
            effects, value, gradient, curvature = trial, new_value, new_gradient, new_curvature
            damping = max(damping * 0.1, 1e-9)
            if moved < 1e-5:
                break
        else:
            damping = max(damping * 20.0, 1e-3)
            if damping > 1e8:
                break
    covariance = np.zeros((effects.size, effects.size))
    covariance[np.ix_(moving, moving)] = _inverse_of_peak(curvature[np.ix_(moving, moving)])
    return Fit(effects, covariance, value)


def _objective(
    counts: Counts, prior: Prior, effects: NDArray[np.float64]
) -> tuple[float, NDArray[np.float64], NDArray[np.float64]]:
    """Penalized log-likelihood, its gradient, and minus its second derivatives."""
    eta = np.clip(counts.design @ effects[:-1], -40.0, 40.0)
    rows = log_likelihood(counts.units, counts.is_sold_out, eta=eta, sigma=float(np.exp(effects[-1])))
    deviation = effects - prior.mean
    value = float(rows.value.sum() - 0.5 * (prior.precision * deviation**2).sum())
    gradient = np.append(counts.design.T @ rows.d_eta, rows.d_tau.sum()) - prior.precision * deviation
    curvature = np.diag(prior.precision)
    curvature[:-1, :-1] -= (counts.design.T * rows.d_eta_eta) @ counts.design
    across = counts.design.T @ rows.d_eta_tau
    curvature[:-1, -1] -= across
    curvature[-1, :-1] -= across
    curvature[-1, -1] -= rows.d_tau_tau.sum()
    return value, gradient, curvature


def _first_guess(counts: Counts, prior: Prior) -> NDArray[np.float64]:
    guess = prior.mean.copy()
    guess[0] = np.log(counts.units.mean() + 0.5)
    guess[-1] = np.log(0.4)
    return guess


def _solve_uphill(curvature: NDArray[np.float64], gradient: NDArray[np.float64]) -> NDArray[np.float64]:
    """Newton step where the surface is concave; elsewhere along its eigenvectors with the size of the curvature."""
    values, vectors = np.linalg.eigh(curvature)
    size = np.maximum(np.abs(values), 1e-8 * max(np.abs(values).max(), 1e-8))
    step: NDArray[np.float64] = vectors @ ((vectors.T @ gradient) / size)
    return step


def _inverse_of_peak(curvature: NDArray[np.float64]) -> NDArray[np.float64]:
    values, vectors = np.linalg.eigh(curvature)
    inverse: NDArray[np.float64] = (vectors / np.maximum(values, 1e-8)) @ vectors.T
    return inverse


def _pool(
    effects: NDArray[np.float64], variance: NDArray[np.float64], *, is_free: NDArray[np.bool_], first: bool
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """EM update of center and spread over products. The ``first`` weighs by precision, because effects are not pooled
    yet."""
    weight = is_free / (variance + (1e-2 if first else np.inf)) if first else is_free.astype(np.float64)
    total = np.maximum(weight.sum(axis=0), 1e-12)
    center = (weight * effects).sum(axis=0) / total
    second = (effects - center) ** 2 + (0.0 if first else variance)
    spread = np.sqrt((weight * second).sum(axis=0) / total)
    return center, np.maximum(spread, SMALLEST_SPREAD)
