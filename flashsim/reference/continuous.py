"""Dynamic pricing in continuous time: demand λ(p) = a·e^(-p), n units, horizon t. With μ = a·t/e

    J*(n, t) = ln Σ_{i=0..n} μ^i / i!              p*(n, t) = 1 + J*(n, t) - J*(n-1, t)
    fluid bound = p°·min(n, a·t·e^(-p°)),          p° = max(1, ln(a·t/n))

A menu sale tends to this optimum as its periods become shorter and its menu of prices longer. Source: Gallego & van
Ryzin (1994), Management Science 40(8), section 2.3.
"""

from typing import NamedTuple

import numpy as np
from scipy import optimize, special, stats

from flashsim.errors import InputError


class FixedPrice(NamedTuple):
    """The best single price for the whole sale."""

    value: float
    """Expected revenue at this price."""
    price: float


def optimal_value(stock: int, *, horizon: float, scale: float) -> float:
    """J*: the largest expected revenue; ``scale`` is a."""
    _check(stock, horizon, scale)
    units = np.arange(stock + 1)
    mean = scale * horizon / np.e
    return float(special.logsumexp(units * np.log(mean) - special.gammaln(units + 1.0)))


def optimal_price(stock: int, *, horizon: float, scale: float) -> float:
    """p*: the optimal price with ``stock`` units (at least 1) and the time ``horizon`` before the end."""
    if stock < 1:
        raise InputError(f"stock must be at least 1 for there to be a price, got {stock!r}")
    fewer = optimal_value(stock - 1, horizon=horizon, scale=scale)
    return 1.0 + optimal_value(stock, horizon=horizon, scale=scale) - fewer


def fluid_bound(stock: int, *, horizon: float, scale: float) -> float:
    """Revenue if demand were equal to its mean: no policy earns more."""
    _check(stock, horizon, scale)
    if stock == 0:
        return 0.0
    price = max(1.0, float(np.log(scale * horizon / stock)))
    return price * min(float(stock), scale * horizon * float(np.exp(-price)))


def best_fixed_price(stock: int, *, horizon: float, scale: float) -> FixedPrice:
    """The best single price: max over p of p·E[min(Poisson(a·t·e^(-p)), n)], to about 1e-7."""
    _check(stock, horizon, scale)
    units = np.arange(stock)

    def loss(price: float) -> float:
        return -price * float(stats.poisson.sf(units, scale * horizon * np.exp(-price)).sum())

    grid = np.linspace(0.0, 5.0 + max(1.0, float(np.log(scale * horizon))), 500)
    start = int(np.argmin([loss(price) for price in grid]))
    around = (grid[max(0, start - 1)], grid[min(grid.size - 1, start + 1)])
    best = optimize.minimize_scalar(loss, bounds=around, method="bounded", options={"xatol": 1e-9})
    return FixedPrice(-float(best.fun), float(best.x))


def _check(stock: int, horizon: float, scale: float) -> None:
    if isinstance(stock, bool) or not isinstance(stock, int | np.integer) or stock < 0:
        raise InputError(f"stock must be a whole number of units, at least 0, got {stock!r}")
    for name, value in (("horizon", horizon), ("scale", scale)):
        if not 0.0 < value < np.inf:
            raise InputError(f"{name} must be a finite number above 0, got {value!r}")
