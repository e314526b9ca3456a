"""Prices and quantities whose unit changes: cents among euros, grams after kilograms.

A price counts as written in another unit if it is at least ``PRICE_FACTOR`` times the product's usual price, or at most
that fraction of it. No offer is 97 % deep, and no shop raises a price thirty times; even with a deep offer, cents are
still forty times the euros. A quantity varies by chance and with offers, so a single day never counts as another unit.
A product's sales count as such where they *stay* ``QUANTITY_FACTOR`` times as large, or as small, from one day on, with
at least ``LEAST_DAYS`` days with a sale on either side, at about the same price.

Such rows are never converted, because only the shop knows which of the two units it meant.
"""

from collections.abc import Mapping
from typing import Final, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from flashsim.data.schemas import BrokenCell

PRICE_FACTOR: Final = 30.0
QUANTITY_FACTOR: Final = 30.0
LEAST_DAYS: Final = 7


def changed_units(sales: pd.DataFrame, *, known_price: Mapping[str, float] | None = None) -> list[BrokenCell]:
    """Cells of price and sales in another unit than the rest of their product; ``known_price`` holds prices known
    before."""
    broken: list[BrokenCell] = []
    for product, rows in sales.groupby("product_id", sort=False):
        median = float(rows["price"].quantile(0.5, interpolation="lower"))
        reference = (known_price or {}).get(str(product), median)
        prices = rows["price"].to_numpy(dtype=np.float64)
        with np.errstate(invalid="ignore"):
            odd = (prices >= PRICE_FACTOR * reference) | (prices <= reference / PRICE_FACTOR)
        broken += [
            BrokenCell(
                row,
                "price",
                f"is {_times(price / reference)} the usual price of {product}, {reference:g}: "
                "another unit, such as cents?",
            )
            for row, price in zip(rows.index[odd], prices[odd], strict=True)
        ]
        broken += _quantity_steps(str(product), rows[~odd].sort_values("date"))
    return broken


class _Step(NamedTuple):
    at: int  # first sale of the second stretch
    log_factor: float


def _quantity_steps(product: str, rows: pd.DataFrame) -> list[BrokenCell]:
    sold = rows[rows["sales"] > 0.0]
    units = sold["sales"].to_numpy(dtype=np.float64)
    step = _largest_step(units)
    if step is None:
        return []
    before, after = sold.iloc[: step.at], sold.iloc[step.at :]
    if not 0.5 < after["price"].median() / before["price"].median() < 2.0:
        return []
    day = after["date"].iloc[0].date()
    odd, words = (before, "before") if len(before) < len(after) else (after, "from")
    factor = step.log_factor if words == "from" else -step.log_factor
    much = f"{_times(np.exp(factor))} as large {words} {day} as otherwise"
    reason = f"sales of {product} are {much}: another unit, such as grams?"
    return [BrokenCell(row, "sales", reason) for row in odd.index]


def _largest_step(units: NDArray[np.float64]) -> _Step | None:
    """Where sales step up or down and stay there; even the nearest values of the two periods must lie apart."""
    best: _Step | None = None
    if units.size < 2 * LEAST_DAYS or units.max() < QUANTITY_FACTOR * units.min():
        return None
    logs = np.log(units)
    means = np.cumsum(logs)
    places = np.arange(LEAST_DAYS, units.size - LEAST_DAYS + 1)
    rise = (means[-1] - means[places - 1]) / (units.size - places) - means[places - 1] / places
    at = int(places[np.abs(rise).argmax()])
    factor = float(np.median(logs[at:]) - np.median(logs[:at]))
    low, high = (logs[:at], logs[at:]) if factor > 0.0 else (logs[at:], logs[:at])
    is_apart = np.quantile(high, 0.1) > np.quantile(low, 0.9)
    if abs(factor) >= np.log(QUANTITY_FACTOR) and is_apart:
        best = _Step(at, factor)
    return best


def _times(ratio: float) -> str:
    return f"{ratio:.3g} times" if ratio >= 1.0 else f"1/{1.0 / ratio:.3g} of"
