"""What moved the price: the part that is as good as random, and the part that may have followed demand.

With an instrument z (a cost, a tax, a random price test), product by product:

    ln price = level + f(z) + covariates + v        f a polynomial, its degree chosen by BIC

f(z) is as good as random, v is not: where the seller foresaw demand, v contains it. The *control function* puts v
beside the price in the demand equation, so that f(z) alone determines the price's own coefficient. The first-stage F
statistic decides how far this can be trusted. Below 10 the instrument hardly moves the price, and the data say nothing
about the response.

Without an instrument the price is split into two parts. One part is what all days of a product's week share (and its
covariates explain); it may follow seasons and campaigns. The rest is *assumed* to be as good as random. Prices that
follow demand from day to day still bias the response, and no calculation can reveal this.

Left out: instruments that also move demand (no data can reveal this either); several instruments at once.

Source: Petrin & Train (2010), Journal of Marketing Research 47, "A control function approach to endogeneity in consumer
choice models"; Wooldridge (2015), Journal of Human Resources 50, "Control function methods in applied econometrics";
Staiger & Stock (1997), Econometrica 65 (F < 10); Mundlak (1978), Econometrica 46, "On the pooling of time series and
cross section data" (group means as controls); Robinson (1988), Econometrica 56 (partialling out).
"""

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from flashsim.models.price.sales_table import SalesTable

WEAK_F: Final = 10.0
"""An instrument with a smaller F is weak (Staiger & Stock 1997)."""
PRODUCT_F: Final = 100.0
"""From this F on a product uses its own first stage; below it, all products share one."""
HIGHEST_DEGREE: Final = 3
FEWEST_DISTINCT: Final = 8
"""An instrument needs this many distinct values for a curve."""
LEAST_REST: Final = 0.1
"""Without an instrument: week effects are used if at least this share of a product's price variance lies within
weeks."""


class PriceControl(NamedTuple):
    """The split of log prices, one element a row, and the strength of the part that is as good as random."""

    control: NDArray[np.float64]  # row; what may have followed demand
    strength: NDArray[np.float64]  # product; first-stage F times its degrees of freedom; inf without an instrument
    first_stage_f: NDArray[np.float64]  # product; NaN without an instrument
    basis: str  # in words


def control_price(table: SalesTable) -> PriceControl:
    """Split the log prices of ``table``."""
    return _by_instrument(table) if table.instrument is not None else _by_weeks(table)


def _by_instrument(table: SalesTable) -> PriceControl:
    products = len(table.product_ids)
    everything = np.ones(table.units.size, dtype=bool)
    shared = _first_stage(table, everything)
    control = shared.residual.copy()
    strength, first_stage_f = np.full(products, shared.strength), np.full(products, shared.f)
    if products > 1:
        for product in range(products):
            rows = table.product == product
            if rows.sum() < 8 * (2 + HIGHEST_DEGREE + table.covariates.shape[1]):
                continue
            stage = _first_stage(table, rows)
            if stage.f >= PRODUCT_F:
                control[rows], strength[product], first_stage_f[product] = stage.residual, stage.strength, stage.f
    return PriceControl(control, strength, first_stage_f, "instrument")


class _FirstStage(NamedTuple):
    residual: NDArray[np.float64]
    strength: float
    f: float


def _first_stage(table: SalesTable, rows: NDArray[np.bool_]) -> _FirstStage:
    """Regress log prices on the instrument, covariates and product levels by least squares; the F statistic is
    robust."""
    assert table.instrument is not None
    product, log_price = table.product[rows], table.log_price[rows]
    z = table.instrument[rows]
    spread = z.std()
    if spread == 0.0 or log_price.std() == 0.0:
        return _FirstStage(log_price - _means(log_price, product), 0.0, 0.0)
    z = (z - z.mean()) / spread
    others = _without_means(table.covariates[rows], product)
    target = _without_means(log_price[:, None], product)[:, 0]
    highest = HIGHEST_DEGREE if np.unique(z).size >= FEWEST_DISTINCT else 1
    fits = []
    for degree in range(1, highest + 1):
        powers = _without_means(np.stack([z**power for power in range(1, degree + 1)], axis=1), product)
        design = np.concatenate([powers, others], axis=1)
        coefficients = np.linalg.lstsq(design, target, rcond=None)[0]
        residual = target - design @ coefficients
        bic = target.size * np.log(max(float(residual @ residual), 1e-300)) + degree * np.log(target.size)
        fits.append((bic, degree, design, coefficients, residual))
    _, degree, design, coefficients, residual = min(fits, key=lambda fit: fit[0])
    freedom = max(target.size - design.shape[1] - np.unique(product).size, 1)
    bread = np.linalg.pinv(design.T @ design)
    variance = bread @ (design.T * residual**2) @ design @ bread * (target.size / freedom)
    wald = float(coefficients[:degree] @ np.linalg.pinv(variance[:degree, :degree]) @ coefficients[:degree])
    return _FirstStage(residual, wald, wald / degree)


def _by_weeks(table: SalesTable) -> PriceControl:
    """Control: the part of the price that a product's week shares; 0 for products whose prices hardly move within
    weeks."""
    products = len(table.product_ids)
    others = _without_means(table.covariates, table.product)
    within = _without_means(table.log_price[:, None], table.product)[:, 0]
    if others.shape[1]:
        within = within - others @ np.linalg.lstsq(others, within, rcond=None)[0]
    cell = np.unique(np.stack([table.product, table.week]), axis=1, return_inverse=True)[1].ravel()
    shared = _means(within, cell)
    rest, total = (np.bincount(table.product, values**2, minlength=products) for values in (within - shared, within))
    moves_within = rest > LEAST_REST * np.maximum(total, 1e-300)
    control = np.where(moves_within[table.product], shared, 0.0)
    words = "product and week effects" if moves_within.any() else "product effects"
    return PriceControl(control, np.full(products, np.inf), np.full(products, np.nan), words)


def _means(values: NDArray[np.float64], cell: NDArray[np.intp]) -> NDArray[np.float64]:
    """Mean of the cell that each element is in."""
    count = np.maximum(np.bincount(cell), 1)
    means: NDArray[np.float64] = (np.bincount(cell, values) / count)[cell]
    return means


def _without_means(columns: NDArray[np.float64], cell: NDArray[np.intp]) -> NDArray[np.float64]:
    """Columns (row, column) minus the means of their cells."""
    if not columns.shape[1]:
        return columns
    return columns - np.stack([_means(column, cell) for column in columns.T], axis=1)
