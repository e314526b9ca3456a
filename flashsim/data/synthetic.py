"""Sales with known demand: prices that react to demand, and shelves that run empty.

    ln rate(i)  = level(p) + elasticity(p)·ln(price(i) / reference_price) + covariate_effect·x(i) + u(i),   u ~ N(0, s²)
    ln price(i) = ln reference_price + instrument_strength·z(i) + kappa·u(i) + price_noise·N(0, 1)
    demand(i) ~ Poisson(rate(i)),   units(i) = min(demand(i), stock(i))

``z`` moves the price and nothing else: an instrument. With kappa > 0 the seller sees the shock u and raises the price
when demand is high. A regression of units on prices then finds a response that is too flat, or has the wrong sign.
Stock is set without knowledge of u, around a level at which the wanted share of rows sells out.

Source: Berry (1994), RAND Journal of Economics 25, "Estimating discrete-choice models of product differentiation"
(prices that react to unobserved demand); Terza (1985), Economics Letters 18 (censored counts).
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.special import digamma, polygamma

from flashsim.errors import InputError

FIRST_DAY: Final = "2020-01-01"
STOCK_SD: Final = 0.3
"""Standard deviation of the log of the planned stock, from row to row."""


@dataclass(frozen=True)
class PricedSales:
    """The truth behind a table of sales. The defaults are the hardest case: prices react and shelves run empty."""

    elasticity: float = -2.0
    """Change of log demand per unit of log price; below 0."""
    elasticity_spread: float = 0.0
    """Products lie evenly within this distance of ``elasticity`` on either side."""
    level: float = 3.0
    """Log units a day at the reference price, without covariate and shock."""
    level_spread: float = 0.0
    """Products lie evenly within this distance of ``level`` on either side, in a different order."""
    covariate_effect: float = 0.4
    """Effect of one standard deviation of the covariate x on log demand."""
    kappa: float = 0.4
    """Share of a demand shock that the seller puts into the log price."""
    shock_sd: float = 0.4
    """Standard deviation of u, log scale."""
    instrument_strength: float = 0.15
    """Effect of one standard deviation of the instrument on the log price."""
    price_noise: float = 0.05
    """Standard deviation of all other changes of the log price."""
    sold_out_share: float = 0.47
    """Share of rows in which demand reaches the stock; 0: no stock column."""
    products: int = 1
    """Number of products, each with the same number of rows."""
    reference_price: float = 50.0
    """Price around which the seller varies it; currency/unit."""
    shock: str = "normal"
    """Distribution of u, with mean 0: normal, or gamma (log of a gamma variable, skewed to the left)."""

    def __post_init__(self) -> None:
        """Check values that would otherwise fail later, with a less clear message."""
        if not self.elasticity + self.elasticity_spread < 0.0:
            raise InputError(f"elasticity must stay below 0, got {self.elasticity} ± {self.elasticity_spread}")
        for name in ("shock_sd", "price_noise", "kappa", "instrument_strength"):
            if getattr(self, name) < 0.0:
                raise InputError(f"{name} must be >= 0, got {getattr(self, name)}")
        if not 0.0 <= self.sold_out_share < 1.0:
            raise InputError(f"sold_out_share must be in [0, 1), got {self.sold_out_share}")
        if self.products < 1 or self.reference_price <= 0.0 or self.shock not in ("normal", "gamma"):
            raise InputError(
                f"products, reference_price and shock: expected >= 1, > 0 and normal or gamma, got "
                f"{self.products}, {self.reference_price} and {self.shock!r}"
            )

    @property
    def elasticities(self) -> NDArray[np.float64]:
        """Elasticity of each product."""
        return self.elasticity + self.elasticity_spread * self._places()

    @property
    def levels(self) -> NDArray[np.float64]:
        """Log units of each product at the reference price."""
        return self.level + self.level_spread * np.roll(self._places(), self.products // 2)

    def mean_demand(
        self, price: NDArray[np.float64], *, product: NDArray[np.intp], x: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Expected demand at prices that *we* set, given x but not u; arrays of one element a row."""
        location = self.levels[product] + self.elasticities[product] * np.log(price / self.reference_price)
        return np.exp(location + self.covariate_effect * x) * self._mean_exponential_shock()

    def _places(self) -> NDArray[np.float64]:
        return np.linspace(-1.0, 1.0, self.products) if self.products > 1 else np.zeros(1)

    def _mean_exponential_shock(self) -> float:
        """E[exp u]."""
        if self.shock == "normal" or self.shock_sd == 0.0:
            return float(np.exp(self.shock_sd**2 / 2.0))
        shape = _gamma_shape(self.shock_sd)
        return float(shape / np.exp(digamma(shape)))


def draw_sales(truth: PricedSales, rows: int, *, generator: np.random.Generator) -> pd.DataFrame:
    """Draw about ``rows`` rows: date, product_id, units, price, instrument, x, and stock where shelves run empty."""
    days = max(rows // truth.products, 1)
    product = np.repeat(np.arange(truth.products), days)
    size = product.size
    x, z, noise = generator.standard_normal((3, size))
    u = _draw_shocks(truth, size, generator)
    log_price = truth.instrument_strength * z + truth.kappa * u + truth.price_noise * noise
    log_rate = truth.levels[product] + truth.elasticities[product] * log_price + truth.covariate_effect * x + u
    demand = generator.poisson(np.exp(log_rate))
    table = pd.DataFrame(
        {
            "date": pd.Timestamp(FIRST_DAY) + pd.to_timedelta(np.tile(np.arange(days), truth.products), unit="D"),
            "product_id": product,
            "units": demand,
            "price": truth.reference_price * np.exp(log_price),
            "instrument": z,
            "x": x,
        }
    )
    if truth.sold_out_share > 0.0:
        planned = np.exp(truth.levels[product] + STOCK_SD * generator.standard_normal(size))
        stock = _stock_for(demand, planned=planned, sold_out_share=truth.sold_out_share)
        table = table.assign(units=np.minimum(demand, stock), stock=stock)
    return table


def _draw_shocks(truth: PricedSales, size: int, generator: np.random.Generator) -> NDArray[np.float64]:
    if truth.shock == "normal" or truth.shock_sd == 0.0:
        return truth.shock_sd * generator.standard_normal(size)
    shape = _gamma_shape(truth.shock_sd)
    drawn: NDArray[np.float64] = np.log(generator.gamma(shape, size=size)) - digamma(shape)
    return drawn


def _gamma_shape(shock_sd: float) -> float:
    """Shape of the gamma variable whose logarithm has the standard deviation ``shock_sd``."""
    return float(brentq(lambda shape: polygamma(1, shape) - shock_sd**2, 1e-2, 1e8))


def _stock_for(demand: NDArray[np.int64], *, planned: NDArray[np.float64], sold_out_share: float) -> NDArray[np.int64]:
    """Whole stocks proportional to ``planned`` (independent of u), at which the wanted share of rows sells out."""
    low, high = -10.0, 10.0
    for _ in range(50):
        middle = 0.5 * (low + high)
        sold_out = (demand >= np.ceil(planned * np.exp(middle))).mean()
        low, high = (middle, high) if sold_out > sold_out_share else (low, middle)
    stock: NDArray[np.int64] = np.ceil(planned * np.exp(high)).astype(np.int64)
    return stock
