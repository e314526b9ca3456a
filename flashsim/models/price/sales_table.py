"""The table that a demand model learns from.

Columns: ``date``, ``product_id``, ``units`` sold, ``price`` a unit; optional ``stock`` (units available; empty:
plenty), ``instrument`` (moves the price and nothing else, such as a cost). Every further column is a covariate (a
number). A row is one product on one day or in one week. Units equal to the stock are a sell-out: demand was that many
units or more.
"""

from typing import Any, Final, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from flashsim.errors import InputError

NEEDED: Final = ("date", "product_id", "units", "price")
OPTIONAL: Final = ("stock", "instrument")
QUANTILES: Final = (0.05, 0.25, 0.5, 0.75, 0.95)


class SalesTable(NamedTuple):
    """A checked table as arrays, one element for each row."""

    product_ids: tuple[str, ...]  # as text, in order of appearance
    product: NDArray[np.intp]  # row; index into product_ids
    week: NDArray[np.int64]  # row; weeks since the first Monday of 1970
    units: NDArray[np.float64]
    is_sold_out: NDArray[np.bool_]
    log_price: NDArray[np.float64]
    instrument: NDArray[np.float64] | None
    covariate_names: tuple[str, ...]
    covariates: NDArray[np.float64]  # row, covariate

    def where(self, rows: NDArray[np.bool_]) -> "SalesTable":
        """Keep the rows for which ``rows`` holds."""
        return self._replace(
            product=self.product[rows],
            week=self.week[rows],
            units=self.units[rows],
            is_sold_out=self.is_sold_out[rows],
            log_price=self.log_price[rows],
            instrument=None if self.instrument is None else self.instrument[rows],
            covariates=self.covariates[rows],
        )


def read_sales(table: pd.DataFrame) -> SalesTable:
    """Check ``table`` and lay it out. InputError names the first column, value and row that cannot be used.

    Rows with a stock of 0 say nothing about demand and are left out.
    """
    for column in NEEDED:
        if column not in table.columns:
            raise InputError(f"column {column!r} is missing, the table has {list(map(str, table.columns))}; add it")
    if not len(table):
        raise InputError("the table of sales has no rows; bring some")
    units = numbers(table, "units", low=0.0)
    if (units != np.round(units)).any():
        row = int((units != np.round(units)).argmax())
        raise InputError(f"column 'units' holds {units[row]} in row {row}, expected whole units; round or rescale them")
    stock = (
        numbers(table, "stock", low=0.0, may_be_empty=True) if "stock" in table.columns else np.full(len(table), np.inf)
    )
    stock = np.where(np.isnan(stock), np.inf, stock)
    if (units > stock).any():
        row = int((units > stock).argmax())
        raise InputError(f"row {row} sold {units[row]:g} units of a stock of {stock[row]:g}; correct one of them")
    names, covariates = read_covariates(table)
    ids, product = np.unique(table["product_id"].astype(str).to_numpy(dtype=object), return_inverse=True)
    read = SalesTable(
        product_ids=tuple(map(str, ids)),
        product=product.astype(np.intp),
        week=_weeks(table["date"]),
        units=units,
        is_sold_out=units >= stock,
        log_price=np.log(numbers(table, "price", above=0.0)),
        instrument=numbers(table, "instrument") if "instrument" in table.columns else None,
        covariate_names=names,
        covariates=covariates,
    )
    return read.where(stock > 0.0)


def read_covariates(table: pd.DataFrame) -> tuple[tuple[str, ...], NDArray[np.float64]]:
    """Names and values (row, covariate) of the columns without another role."""
    names = tuple(str(column) for column in table.columns if column not in (*NEEDED, *OPTIONAL))
    if not names:
        return (), np.zeros((len(table), 0))
    return names, np.stack([numbers(table, name) for name in names], axis=1)


def numbers(
    table: pd.DataFrame,
    column: str,
    *,
    low: float = -np.inf,
    above: float = -np.inf,
    may_be_empty: bool = False,
) -> NDArray[np.float64]:
    """A column as floats within its limits. InputError shows the first value outside them."""
    held: Any = table[column]
    if not (pd.api.types.is_numeric_dtype(held) or pd.api.types.is_bool_dtype(held)):
        raise InputError(f"column {column!r} holds {held.iloc[0]!r} in row 0, expected numbers; convert it")
    values = held.to_numpy(dtype=np.float64, na_value=np.nan)
    good = (np.isfinite(values) & (values >= low) & (values > above)) | (may_be_empty & np.isnan(values))
    if not good.all():
        row = int((~good).argmax())
        wanted = f"> {above:g}" if above > -np.inf else (f">= {low:g}" if low > -np.inf else "a finite number")
        raise InputError(
            f"column {column!r} holds {values[row]} in row {row}, expected {wanted}; correct or drop the row"
        )
    return values


def _weeks(dates: pd.Series) -> NDArray[np.int64]:
    """Number of the Monday-to-Sunday week of each date."""
    try:
        days = pd.to_datetime(dates).to_numpy().astype("datetime64[D]")
    except (ValueError, TypeError) as error:
        raise InputError(f"column 'date' cannot be read as dates ({error}); write them as 2024-12-31") from error
    if np.isnat(days).any():
        raise InputError(f"column 'date' is empty in row {int(np.isnat(days).argmax())}; correct or drop the row")
    return (days.astype(np.int64) + 3) // 7
