"""Stretches in which a product was surely not on sale: an export of sales shows an empty shelf as days without a sale.

    q = share of days with a sale in the four weeks before the stretch, or after it, whichever is smaller
    a stretch of n days without a sale is one if (1 - q)^n < ``SMALLEST_CHANCE``

q counts days, not units, so that a product that sells much, but on few days, keeps its days without a sale. Nothing is
assumed of such days: a sold-out shelf, a product taken off and a closed shop look the same.
"""

from typing import Final, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from flashsim.data.clean import RowAccount

SMALLEST_CHANCE: Final = 1e-6
NEAR_DAYS: Final = 28
FEWEST_NEAR_DAYS: Final = 14
"""With fewer days before or after, that side tells nothing."""
MOST_NAMED: Final = 8


class _Stretch(NamedTuple):
    product: str
    first: pd.Timestamp
    days: int


def without_off_sale(sales: pd.DataFrame, *, account: RowAccount, notes: list[str]) -> pd.DataFrame:
    """``sales`` (date, product_id, sales; sorted by product and date) without the days on which a product was surely
    not on sale; those, and products that ended, are told."""
    last = sales["date"].max()
    off = np.zeros(len(sales), dtype=bool)
    quiet: list[_Stretch] = []
    ended: list[_Stretch] = []
    dates, sold = sales["date"].to_numpy(), sales["sales"].to_numpy(dtype=np.float64) > 0.0
    for product, rows in sales.groupby("product_id", sort=False).indices.items():
        for first, stop in _stretches(sold[rows]):
            off[rows[first:stop]] = True
            quiet.append(_Stretch(str(product), pd.Timestamp(dates[rows[first]]), stop - first))
        days = (last - pd.Timestamp(dates[rows[-1]])).days
        if _is_sure(_share(sold[rows][-NEAR_DAYS:]), days):
            ended.append(_Stretch(str(product), pd.Timestamp(dates[rows[-1]]), days))
    if quiet:
        account.drop(
            "sales_data", "no sale where one was all but sure: not on sale, sold out or closed", int(off.sum())
        )
        notes.append(
            f"sales_data: {len(quiet)} stretches without a sale of products that sold nearly every day before and "
            f"after are taken as days on which they were not on sale: {_named(quiet, 'days from')}."
        )
    if ended:
        notes.append(
            f"sales_data: {len(ended)} products have no row in the last days, though they sold nearly every day: "
            f"{_named(ended, 'days after')}; their levels are those of their own last weeks."
        )
    return sales[~off]


def _named(stretches: list[_Stretch], words: str) -> str:
    named = ", ".join(f"{one.product[:40]} ({one.days} {words} {one.first.date()})" for one in stretches[:MOST_NAMED])
    return named + (f" and {len(stretches) - MOST_NAMED} more" if len(stretches) > MOST_NAMED else "")


def _stretches(sold: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """(first, one past the last) of each stretch of a product's days in which it was surely not on sale."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], ~sold, [False]]).astype(np.int8)))
    found = []
    for first, stop in edges.reshape(-1, 2):
        before, after = sold[max(first - NEAR_DAYS, 0) : first], sold[stop : stop + NEAR_DAYS]
        sides = [_share(side) for side in (before, after) if side.size >= FEWEST_NEAR_DAYS]
        if sides and _is_sure(min(sides), int(stop - first)):
            found.append((int(first), int(stop)))
    return found


def _share(sold: NDArray[np.bool_]) -> float:
    """Share of days with a sale, drawn a little towards a half: no share is known to be 1."""
    return float((sold.sum() + 0.5) / (sold.size + 1.0)) if sold.size >= FEWEST_NEAR_DAYS else 0.0


def _is_sure(share: float, days: int) -> bool:
    return (1.0 - share) ** days < SMALLEST_CHANCE
