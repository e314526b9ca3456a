"""Who comes back, how often and for how much: BG/NBD and Gamma-Gamma by maximum likelihood.

    from datetime import date
    from flashsim.data.purchases import read_cdnow, summarize_purchases
    from flashsim.models.customers.retention import fit_bg_nbd, fit_gamma_gamma
    history = summarize_purchases(read_cdnow("sample"), end=date(1997, 9, 30))
    buying = fit_bg_nbd(history.frequency, recency=history.recency_weeks, age=history.age_weeks)
    print(buying.model, buying.standard_error)                       # r .243, alpha 4.414, a .793, b 2.426
    buying.model.probability_alive(2, recency=30.43, age=38.86)      # .727
    again = history.spends_again
    spending = fit_gamma_gamma(history.frequency[again], mean_spend=history.mean_spend[again])
    spending.model.expected_spend(2, mean_spend=35.0)

Conventions: x counts the purchases after the first one. The first purchase starts a customer's clock. t_x is the time
of the last purchase (0 where x = 0) and T the time observed, 0 <= t_x <= T, in any one unit of time.

**BG/NBD.** While active a customer buys as a Poisson process of rate lambda ~ Gamma(r, rate alpha). After each later
purchase the customer leaves for good with probability p ~ Beta(a, b). With B the beta function,

    L = B(a, b+x)/B(a, b) · G(r+x) alpha^r / (G(r) (alpha+T)^(r+x))
      + [x > 0] · B(a+1, b+x-1)/B(a, b) · G(r+x) alpha^r / (G(r) (alpha+t_x)^(r+x))

In this model a customer who never bought again never had an occasion to leave: P(alive) = 1 at x = 0. Expected
purchases in the next t use Euler's transformation of the paper's 2F1. It neither overflows nor cancels for large x. It
does overflow where all customers leave with almost the same probability (a in the hundreds); there Euler's integral
replaces it.

**Gamma-Gamma.** The spends of a customer are Gamma(p, rate nu), nu ~ Gamma(q, rate gamma), independent of how often the
customer buys. With z the mean of x spends, E[spend | x, z] = p (gamma + x z) / (p x + q - 1).

The fits maximize over the logarithms of the parameters with exact gradients. Standard errors come from the observed
information (differences of the gradient at the optimum) by the delta method.

Source: Fader, Hardie & Lee (2005), Marketing Science 24(2), 275-284, equations 3, 9 and 10; Fader & Hardie (2013), "The
Gamma-Gamma model of monetary value". Left out: covariates, seasons, and any link between spend and frequency.
"""

from collections.abc import Callable
from dataclasses import astuple, dataclass
from typing import Final, Generic, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import optimize, special

from flashsim.errors import InputError

Array = NDArray[np.float64]
LARGEST_LOG: Final = 14.0
"""A parameter that reaches exp(±14) (with time or spend scaled by its mean) is not identified."""


@dataclass(frozen=True)
class BgNbd:
    """Repeat purchases of customers who leave without notice."""

    r: float
    """Shape of the purchase rate over customers; 1."""
    alpha: float
    """Rate parameter of the purchase rate; the unit of time."""
    a: float
    """First parameter of the probability of leaving after a purchase; 1."""
    b: float
    """Second parameter of the same probability; 1."""

    def __post_init__(self) -> None:
        _check_positive(self)

    def log_likelihood(self, frequency: ArrayLike, *, recency: ArrayLike, age: ArrayLike) -> Array:
        """(customer,) log-likelihood of x purchases, the last at t_x, in T."""
        x, t_x, T = _checked_history(frequency, recency=recency, age=age)
        return _bg_nbd_terms(np.log(astuple(self)), x, t_x=t_x, T=T)[0]

    def probability_alive(self, frequency: ArrayLike, *, recency: ArrayLike, age: ArrayLike) -> Array:
        """(customer,) probability that the customer has not left by T."""
        x, t_x, T = _checked_history(frequency, recency=recency, age=age)
        log_odds = (self.r + x) * np.log((self.alpha + T) / (self.alpha + t_x)) + np.log(self.a)
        log_odds = log_odds - np.log(np.where(x > 0, self.b + x - 1.0, 1.0))
        return np.where(x > 0, special.expit(-log_odds), 1.0)

    def expected_purchases(self, frequency: ArrayLike, *, recency: ArrayLike, age: ArrayLike, horizon: float) -> Array:
        """(customer,) expected purchases in (T, T + horizon], given x, t_x and T."""
        x, t_x, T = _checked_history(frequency, recency=recency, age=age)
        alive = self.probability_alive(x, recency=t_x, age=T)
        return alive * self._purchases_if_alive(x, T=T, horizon=_checked_horizon(horizon))

    def expected_purchases_of_new(self, horizon: float) -> float:
        """Expected later purchases of a customer in the ``horizon`` after the first purchase, E[X(t)]."""
        return float(self._purchases_if_alive(np.zeros(1), T=np.zeros(1), horizon=_checked_horizon(horizon))[0])

    def _purchases_if_alive(self, x: Array, *, T: Array, horizon: float) -> Array:
        """Expected purchases in the horizon if the customer is active at T; a = 1 is a removable singularity."""
        if abs(self.a - 1.0) < 1e-6:
            around = [BgNbd(self.r, self.alpha, a, self.b) for a in (1.0 - 1e-5, 1.0 + 1e-5)]
            return np.mean([model._purchases_if_alive(x, T=T, horizon=horizon) for model in around], axis=0)
        z = horizon / (self.alpha + T + horizon)
        c = self.a + self.b + x - 1.0
        with np.errstate(over="ignore", invalid="ignore"):  # where a is large: Euler's integral below replaces it
            curve = (1.0 - z) ** (self.a - 1.0) * special.hyp2f1(self.a + self.b - 1.0 - self.r, self.a - 1.0, c, z)
        if self.a > 1.0 and not np.isfinite(curve).all():
            places, weights = np.polynomial.legendre.leggauss(64)
            share = special.betaincinv(self.a - 1.0, self.b + x[:, None], (places + 1.0) / 2.0)
            spread = (1.0 + share * (z / (1.0 - z))[:, None]) ** -(self.r + x)[:, None]
            curve = np.where(np.isfinite(curve), curve, spread @ (weights / 2.0))
        return c / (self.a - 1.0) * (1.0 - curve)


@dataclass(frozen=True)
class GammaGamma:
    """Mean spend of customers who buy again."""

    p: float
    """Shape of a single spend; 1."""
    q: float
    """Shape of the scale over customers; 1. The mean over customers exists only for q > 1."""
    gamma: float
    """Rate parameter of the scale; currency."""

    def __post_init__(self) -> None:
        _check_positive(self)

    def log_likelihood(self, frequency: ArrayLike, *, mean_spend: ArrayLike) -> Array:
        """(customer,) log density of the mean of x spends."""
        x, z = _checked_spend(frequency, mean_spend=mean_spend)
        return _gamma_gamma_terms(np.log(astuple(self)), x, z=z)[0]

    def mean_spend_of_new(self) -> float:
        """Mean spend over all customers. InputError where it does not exist."""
        if self.q <= 1.0:
            raise InputError(f"the mean spend exists for q > 1 only, got q = {self.q:.3g}; check spends for outliers")
        return self.p * self.gamma / (self.q - 1.0)

    def expected_spend(self, frequency: ArrayLike, *, mean_spend: ArrayLike) -> Array:
        """(customer,) expected value of a purchase, given x >= 1 purchases with this mean."""
        x, z = _checked_spend(frequency, mean_spend=mean_spend)
        if self.q <= 1.0 and bool((self.p * x + self.q <= 1.0).any()):
            raise InputError(f"q = {self.q:.3g} is too small for a mean; check spends for outliers")
        return self.p * (self.gamma + x * z) / (self.p * x + self.q - 1.0)


Model = TypeVar("Model", BgNbd, GammaGamma)


@dataclass(frozen=True)
class RetentionFit(Generic[Model]):
    """A fitted model and its standard errors."""

    model: Model
    """The estimates."""
    standard_error: Model
    """Standard error of each parameter, under the parameter's name."""
    log_likelihood: float
    """Sum over customers."""
    customers: int
    """Number of customers in the fit."""


def fit_bg_nbd(frequency: ArrayLike, *, recency: ArrayLike, age: ArrayLike) -> RetentionFit[BgNbd]:
    """Fit BG/NBD to x, t_x and T (customer,) by maximum likelihood.

    InputError on bad values, when nobody bought again, or when the data do not identify a parameter.
    """
    x, t_x, T = _checked_history(frequency, recency=recency, age=age)
    if not (x > 0).any():
        raise InputError(f"none of {x.size} customers bought again; repeat buying needs some that did")
    unit = float(T.mean())

    def terms(log_parameters: Array) -> tuple[Array, Array]:
        return _bg_nbd_terms(log_parameters, x, t_x=t_x / unit, T=T / unit)

    logs, errors, likelihood = _maximize(terms, np.log([0.5, 0.5, 1.0, 2.0]), names=("r", "alpha", "a", "b"))
    scale = np.exp(logs) * np.array([1.0, unit, 1.0, 1.0])
    return RetentionFit(
        BgNbd(*map(float, scale)),
        BgNbd(*map(float, scale * errors)),
        likelihood - float(np.log(unit) * x.sum()),
        x.size,
    )


def fit_gamma_gamma(frequency: ArrayLike, *, mean_spend: ArrayLike) -> RetentionFit[GammaGamma]:
    """Fit Gamma-Gamma to x >= 1 and the mean spend > 0 (customer,) by maximum likelihood; InputError as above."""
    x, z = _checked_spend(frequency, mean_spend=mean_spend)
    unit = float(z.mean())

    def terms(log_parameters: Array) -> tuple[Array, Array]:
        return _gamma_gamma_terms(log_parameters, x, z=z / unit)

    logs, errors, likelihood = _maximize(terms, np.log([4.0, 3.0, 1.0]), names=("p", "q", "gamma"))
    scale = np.exp(logs) * np.array([1.0, 1.0, unit])
    return RetentionFit(
        GammaGamma(*map(float, scale)),
        GammaGamma(*map(float, scale * errors)),
        likelihood - float(np.log(unit)) * x.size,
        x.size,
    )


def _bg_nbd_terms(logs: Array, x: Array, *, t_x: Array, T: Array) -> tuple[Array, Array]:
    """Log-likelihood (customer,) and its gradient (customer, 4) with respect to the logarithms of r, alpha, a, b."""
    r, alpha, a, b = np.exp(logs)
    again = x > 0
    stays = -(r + x) * np.log(alpha + T)
    beyond = np.where(again, b + x - 1.0, 1.0)
    leaves = np.where(again, logs[2] - np.log(beyond) - (r + x) * np.log(alpha + t_x), -np.inf)
    either = np.logaddexp(stays, leaves)
    value = special.gammaln(r + x) - special.gammaln(r) + r * logs[1] + either
    value += special.betaln(a, b + x) - special.betaln(a, b)
    w = np.exp(leaves - either)  # posterior probability of having left
    by_r = special.digamma(r + x) - special.digamma(r) + logs[1]
    by_r -= (1.0 - w) * np.log(alpha + T) + w * np.log(alpha + t_x)
    by_alpha = r / alpha - (r + x) * ((1.0 - w) / (alpha + T) + w / (alpha + t_x))
    both = special.digamma(a + b) - special.digamma(a + b + x)
    by_a = both + w / a
    by_b = both + special.digamma(b + x) - special.digamma(b) - w / beyond
    return value, np.stack([by_r * r, by_alpha * alpha, by_a * a, by_b * b], axis=1)


def _gamma_gamma_terms(logs: Array, x: Array, *, z: Array) -> tuple[Array, Array]:
    """Log density (customer,) and its gradient (customer, 3) with respect to the logarithms of p, q, gamma."""
    p, q, gamma = np.exp(logs)
    total = np.log(gamma + x * z)
    value = -special.betaln(p * x, q) + q * logs[2] + p * x * np.log(x * z) - np.log(z) - (p * x + q) * total
    joint = special.digamma(p * x + q)
    by_p = x * (joint - special.digamma(p * x) + np.log(x * z) - total)
    by_q = joint - special.digamma(q) + logs[2] - total
    by_gamma = q / gamma - (p * x + q) / (gamma + x * z)
    return value, np.stack([by_p * p, by_q * q, by_gamma * gamma], axis=1)


def _maximize(
    terms: Callable[[Array], tuple[Array, Array]], start: Array, *, names: tuple[str, ...]
) -> tuple[Array, Array, float]:
    """Log-parameters with the largest likelihood, their standard errors, and that log-likelihood."""
    size = terms(start)[0].size

    def loss(logs: Array) -> tuple[float, Array]:
        value, gradient = terms(logs)
        return -float(value.sum()) / size, -gradient.sum(axis=0) / size

    bounds = [(-LARGEST_LOG, LARGEST_LOG)] * start.size
    options = {"maxiter": 2000, "ftol": 1e-15, "gtol": 1e-10}
    found = optimize.minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds, options=options)
    step = 1e-5
    rows = [
        (loss(found.x + step * axis)[1] - loss(found.x - step * axis)[1]) / (2.0 * step) for axis in np.eye(start.size)
    ]
    information = size * (np.array(rows) + np.array(rows).T) / 2.0
    eigenvalues, vectors = np.linalg.eigh(information)
    edge = np.abs(found.x) > LARGEST_LOG - 1e-3
    if edge.any() or eigenvalues[0] <= 1e-8 * eigenvalues[-1]:
        weakest = int(np.argmax(edge)) if edge.any() else int(np.argmax(np.abs(vectors[:, 0])))
        raise InputError(
            f"{size} customers do not identify {names[weakest]}: its likelihood is flat at "
            f"{np.exp(found.x[weakest]):.3g} (in units of the mean); bring more customers or a longer time"
        )
    errors = np.sqrt(np.diag(np.linalg.inv(information)))
    return np.asarray(found.x), errors, -float(found.fun) * size


def _checked_history(frequency: ArrayLike, *, recency: ArrayLike, age: ArrayLike) -> tuple[Array, Array, Array]:
    columns = {"x (frequency)": frequency, "t_x (recency)": recency, "T (age)": age}
    x, t_x, T = _checked_columns(columns)
    _refuse((x < 0) | (x != np.floor(x)), x, "x (frequency) counts later purchases, so it must be 0, 1, 2, …")
    _refuse(t_x < 0, t_x, "t_x (recency) must be >= 0")
    _refuse(T < 0, T, "T (age) must be >= 0")
    _refuse(t_x > T, t_x, "t_x (recency) must not lie after T (age)")
    _refuse((x == 0) & (t_x > 0), t_x, "t_x (recency) must be 0 where x = 0, for nothing was bought after the start")
    _refuse((x > 0) & (t_x == 0), x, "x (frequency) must be 0 where t_x = 0; merge purchases made at one time")
    return x, t_x, T


def _checked_spend(frequency: ArrayLike, *, mean_spend: ArrayLike) -> tuple[Array, Array]:
    x, z = _checked_columns({"x (frequency)": frequency, "mean spend": mean_spend})
    _refuse((x < 1) | (x != np.floor(x)), x, "x (frequency) must be 1, 2, …: leave out those who never bought again")
    _refuse(z <= 0, z, "mean spend must be > 0: leave out customers who never paid")
    return x, z


def _checked_columns(columns: dict[str, ArrayLike]) -> list[Array]:
    """Check that the columns are finite vectors of one length; else InputError."""
    arrays = [np.atleast_1d(np.asarray(values, dtype=np.float64)) for values in columns.values()]
    sizes = {name: array.shape for name, array in zip(columns, arrays, strict=True)}
    if len(set(sizes.values())) > 1 or arrays[0].ndim != 1:
        raise InputError(f"expected columns of one length, got {sizes}; give one value a customer")
    if arrays[0].size == 0:
        raise InputError("there is no customer in the columns given; bring at least one")
    for name, array in zip(columns, arrays, strict=True):
        _refuse(~np.isfinite(array), array, f"{name} must be finite")
    return arrays


def _refuse(bad: NDArray[np.bool_], values: Array, rule: str) -> None:
    if bad.any():
        row = int(bad.argmax())
        raise InputError(f"{rule}; got {values[row]:g} for customer {row} (counted from 0), correct the table")


def _checked_horizon(horizon: float) -> float:
    if not (np.isfinite(horizon) and horizon >= 0.0):
        raise InputError(f"the horizon must be a time >= 0, got {horizon}; give it in the unit of T")
    return float(horizon)


def _check_positive(model: BgNbd | GammaGamma) -> None:
    for name, value in vars(model).items():
        if not (np.isfinite(value) and value > 0.0):
            raise InputError(f"{name} must be > 0, got {value}; fit the model again or correct it")
