"""The fitted effects of a price response: how they are estimated from a split of prices, and what follows from them.

:mod:`flashsim.models.price.price_response` describes the model. This file lays out the design (level, centered log
price, standardized covariates, control), fits it, and keeps what a prediction needs.
"""

from dataclasses import dataclass, fields
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import norm

from flashsim.errors import InputError
from flashsim.models.price.censored_regression import Counts, fit_products
from flashsim.models.price.price_control import WEAK_F, PriceControl
from flashsim.models.price.sales_table import SalesTable, numbers

PUBLISHED_SPREAD: Final = 2.21
"""Standard deviation of 1,851 published elasticities (Bijmolt et al. 2005); no estimate counts as less certain than
this."""
CONFIDENCE: Final = 0.9
SLOPE: Final = 1
"""Position of the elasticity among the effects. The level comes before it; covariates, control and ln sigma after
it."""
CONTROL: Final = -2
TAU: Final = -1


@dataclass(frozen=True)
class FittedResponse:
    """Arrays of a fitted response; effects are level, elasticity, covariates, control, ln sigma."""

    product_ids: tuple[str, ...]
    covariate_names: tuple[str, ...]
    basis: str
    """instrument, product and week effects, or product effects."""
    sold_out_share: float
    effects: NDArray[np.float64]  # product, effect
    covariance: NDArray[np.float64]  # product, effect, effect; of the estimate
    slope_error: NDArray[np.float64]  # product; standard error of the elasticity given the control
    strength: NDArray[np.float64]  # product; first-stage F times its degrees of freedom
    first_stage_f: NDArray[np.float64]  # product; NaN without an instrument
    mean_log_price: NDArray[np.float64]  # product
    price_range: NDArray[np.float64]  # product, (low, high); log scale
    smearing: NDArray[np.float64]  # product; mean of exp(rho·control), and what keeps the total of a product
    control_variance: NDArray[np.float64]  # product; variance of rho·control
    covariate_mean: NDArray[np.float64]  # covariate
    covariate_sd: NDArray[np.float64]  # covariate

    def arrays(self) -> dict[str, NDArray[np.float64]]:
        """Every array by its name."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: value for name, value in values.items() if isinstance(value, np.ndarray)}

    def lay_out(self, table: pd.DataFrame) -> tuple[NDArray[np.intp], NDArray[np.float64], NDArray[np.float64]]:
        """Product, log price and design (row, coefficient) of a table to be forecast; the control is 0."""
        for column in ("product_id", "price", *self.covariate_names):
            if column not in table.columns:
                raise InputError(f"column {column!r} is missing, the model was fitted with it; add it to the table")
        place = {name: i for i, name in enumerate(self.product_ids)}
        names = table["product_id"].astype(str)
        unknown = [name for name in names.unique() if name not in place]
        if unknown:
            raise InputError(f"product {unknown[0]!r} was not in the table of the fit; fit with it or leave it out")
        product = np.array([place[name] for name in names], dtype=np.intp)
        log_price: NDArray[np.float64] = np.log(numbers(table, "price", above=0.0))
        columns = [np.ones(len(table)), log_price - self.mean_log_price[product]]
        for name, mean, sd in zip(self.covariate_names, self.covariate_mean, self.covariate_sd, strict=True):
            columns.append((numbers(table, name) - mean) / sd)
        return product, log_price, np.stack([*columns, np.zeros(len(table))], axis=1)

    def mean(self, product: NDArray[np.intp], design: NDArray[np.float64]) -> NDArray[np.float64]:
        """Expected demand of the rows of :meth:`lay_out`."""
        effects = self.effects[product]
        location = (design * effects[:, :-1]).sum(axis=1)
        expected: NDArray[np.float64] = np.exp(location + 0.5 * np.exp(2.0 * effects[:, TAU])) * self.smearing[product]
        return expected

    def intervals(self, *, confidence: float) -> NDArray[np.float64]:
        """Bounds (product, (low, high)) of the elasticities."""
        c = float(norm.ppf(0.5 + 0.5 * confidence))
        rho = self.effects[:, CONTROL]
        return np.array(
            [
                fieller_interval(slope, error, rho=r, strength=strength, c=c)
                for slope, error, r, strength in zip(
                    self.effects[:, SLOPE], self.slope_error, rho, self.strength, strict=True
                )
            ]
        )


def fieller_interval(slope: float, error: float, *, rho: float, strength: float, c: float) -> tuple[float, float]:
    """All b with (slope - b)² <= c²·[error² + (slope + rho - b)² / strength]; the whole line when strength <= c².

    Source: Fieller (1954); Anderson & Rubin (1949).
    """
    k = c**2 / strength if strength > 0.0 else np.inf
    if k >= 1.0:
        return -np.inf, np.inf
    root = np.sqrt((k * rho) ** 2 + (1.0 - k) * ((c * error) ** 2 + k * rho**2))
    return float(slope - (k * rho + root) / (1.0 - k)), float(slope - (k * rho - root) / (1.0 - k))


def fit_response(sales: SalesTable, control: PriceControl) -> FittedResponse:
    """Fit the demand equation with the control in it. Elasticities above 0 are set to 0, and the rest is fitted
    again."""
    products = len(sales.product_ids)
    mean, sd = sales.covariates.mean(axis=0), sales.covariates.std(axis=0)
    sd = np.where(sd > 0.0, sd, 1.0)
    mean_log_price = np.bincount(sales.product, sales.log_price) / np.bincount(sales.product)
    design = np.column_stack(
        [
            np.ones(sales.units.size),
            sales.log_price - mean_log_price[sales.product],
            (sales.covariates - mean) / sd,
            control.control,
        ]
    )
    rows = [sales.product == product for product in range(products)]
    counts = [Counts(sales.units[here], sales.is_sold_out[here], design[here]) for here in rows]
    held = np.zeros((products, design.shape[1] + 1), dtype=bool)
    held[:, CONTROL] = [float(np.abs(control.control[here]).max()) < 1e-9 for here in rows]
    held[:, SLOPE + 1 : CONTROL] = sales.covariates.std(axis=0) == 0.0
    fits = fit_products(counts, held_at_zero=held)
    rising = np.array([fit.effects[SLOPE] > 0.0 for fit in fits])
    if rising.any():
        held[rising, SLOPE] = True
        fits = fit_products(counts, held_at_zero=held)
    effects = np.stack([fit.effects for fit in fits])
    shift = [effects[p, CONTROL] * control.control[rows[p]] for p in range(products)]
    kept = [_kept_total(count, effects[p]) for p, count in enumerate(counts)]
    fitted = FittedResponse(
        product_ids=sales.product_ids,
        covariate_names=sales.covariate_names,
        basis=control.basis,
        sold_out_share=float(sales.is_sold_out.mean()),
        effects=effects,
        covariance=np.stack([fit.covariance for fit in fits]),
        slope_error=np.sqrt(np.array([fit.covariance[SLOPE, SLOPE] for fit in fits])),
        strength=control.strength,
        first_stage_f=control.first_stage_f,
        mean_log_price=mean_log_price,
        price_range=np.array([(sales.log_price[here].min(), sales.log_price[here].max()) for here in rows]),
        smearing=np.array([kept[p] * np.exp(values).mean() for p, values in enumerate(shift)]),
        control_variance=np.array([values.var() for values in shift]),
        covariate_mean=mean,
        covariate_sd=sd,
    )
    return _with_all_uncertainty(fitted)


def _kept_total(counts: Counts, effects: NDArray[np.float64]) -> float:
    """What makes the fitted means of a product add up to its units; 1 where days sold out.

    The mean of a lognormal law rests on its tail, which counts that vary in another way do not have: with gamma factors
    of variance 4 it is three times theirs (Duan 1983 replaces it by what was seen, too).
    """
    if counts.is_sold_out.any():
        return 1.0
    rate = np.exp(np.clip(counts.design @ effects[:-1] + 0.5 * np.exp(2.0 * effects[TAU]), -40.0, 40.0))
    return float(counts.units.sum() / rate.sum())


def _with_all_uncertainty(fitted: FittedResponse) -> FittedResponse:
    """Add the uncertainty of the first stage to the variances of elasticities, up to the spread of published
    elasticities."""
    low, high = fitted.intervals(confidence=CONFIDENCE).T
    width = np.minimum((high - low) / (2.0 * norm.ppf(0.5 + 0.5 * CONFIDENCE)), PUBLISHED_SPREAD)
    covariance = fitted.covariance.copy()
    covariance[:, SLOPE, SLOPE] = np.maximum(covariance[:, SLOPE, SLOPE], width**2)
    values: dict[str, Any] = {field.name: getattr(fitted, field.name) for field in fields(fitted)}
    return FittedResponse(**(values | {"covariance": covariance}))


def explain(fitted: FittedResponse) -> tuple[str, ...]:
    """What the response rests on and what is wrong with it, one sentence each."""
    words = list(basis_words(fitted.basis, fitted.first_stage_f, fitted.product_ids))
    flat = fitted.effects[:, SLOPE] == 0.0
    if flat.any():
        names = ", ".join(np.array(fitted.product_ids)[flat][:5])
        words.append(
            f"Sales rose with the price of products {names}; their response is set to 0 and must not be trusted."
        )
    if fitted.sold_out_share > 0.8:
        words.append(
            f"{fitted.sold_out_share:.0%} of the rows are sold out: "
            "how far demand went beyond the stock rests on the assumed law."
        )
    return tuple(words)


def basis_words(basis: str, first_stage_f: NDArray[np.float64], product_ids: tuple[str, ...]) -> tuple[str, ...]:
    """What moved the prices, and how far that can be trusted; ``first_stage_f`` is by product."""
    words = []
    if basis == "instrument":
        weak = first_stage_f < WEAK_F
        least = float(first_stage_f.min())
        if weak.any():
            names = ", ".join(np.array(product_ids)[weak][:5])
            words.append(
                f"The instrument hardly moves the price (first-stage F {least:.1f}, at least {WEAK_F:g} is needed; "
                f"products {names}): these data do not tell the response to price. "
                "Find a stronger instrument or test prices at random."
            )
        else:
            words.append(
                f"The response rests on the instrument (first-stage F {least:.0f}), which is taken to move demand "
                "through the price alone; no data can check that."
            )
    else:
        words.append(
            f"There is no instrument: the response rests on {basis}, and prices that follow demand within "
            "them still bias it, mostly towards too flat a response. Bring an instrument or test prices at random."
        )
    return tuple(words)
