"""What happens to rows of sales and traffic that keep their schema: missing days are added, times are sorted, and
days on which a product was not on sale leave.

:mod:`flashsim.data.shop_tables` states the rules; the account counts each row that is dropped, changed or added.
"""

from typing import Final, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from flashsim.data.clean import RowAccount
from flashsim.errors import InputError

FLAGS: Final = ("promotion", "stock_out")
SLOWEST_USUAL_RESPONSE_S: Final = 30.0
"""A median response time above this must be in another unit than seconds."""
MOST_ADDED: Final = 20
"""Days without a sale that a table may gain, as a multiple of its rows, before products that hardly sold leave it."""
FEWEST_SALE_DAYS: Final = 10
"""They are products that were sold on fewer days: their level would be known to a third at best."""
MOST_NAMED: Final = 10
MOST_MINUTES: Final = 60.0
"""Most minutes between two rows of traffic with which the hours of the day can still be learned."""
SMALLEST_CHANCE: Final = 1e-6
NEAR_DAYS: Final = 28
FEWEST_NEAR_DAYS: Final = 14
"""With fewer days before or after, that side tells nothing."""


def finish_sales(
    sales: pd.DataFrame,
    *,
    lost: pd.DataFrame,
    account: RowAccount,
    notes: list[str],
    open_days: pd.DatetimeIndex | None = None,
) -> pd.DataFrame:
    """Add days without a sale, put sell-outs into one column ``sold_out``, and drop rows that say nothing about
    demand.

    ``open_days`` are the days on which the shop may have sold; None: those on which any product has a row.
    """
    sales = sales.sort_values(["product_id", "date"], kind="stable")
    known = sales.groupby("product_id")["price"].ffill()
    lacks = sales["price"].isna()
    account.change("sales_data", "no price on a day without a sale, the last one taken", (lacks & known.notna()).sum())
    if (lacks & known.isna()).any():
        account.drop("sales_data", "no sale and no price before the product's first one", (lacks & known.isna()).sum())
    sales = sales.assign(price=known)[known.notna()]
    sales = _without_sparse(sales, account=account, notes=notes, open_days=open_days)
    sales = _with_days_without_sale(sales, lost=lost, account=account, notes=notes, open_days=open_days)
    sold_out = sales["stock_out"] if "stock_out" in sales.columns else pd.Series(data=False, index=sales.index)
    if "stock" in sales.columns:
        sold_out = sold_out | (sales["sales"] >= sales["stock"])
    empty = sold_out & (sales["sales"] == 0.0)
    if empty.any():
        account.drop("sales_data", "sold out all day: says nothing of demand", empty.sum())
    sales = sales.assign(sold_out=sold_out)[~empty]
    if not len(sales):
        raise InputError(
            "sales_data: every row was sold out all day, so nothing tells demand; check stock_out and stock"
        )
    return _without_off_sale(sales, account=account, notes=notes)


def _with_days_without_sale(
    sales: pd.DataFrame,
    *,
    lost: pd.DataFrame,
    account: RowAccount,
    notes: list[str],
    open_days: pd.DatetimeIndex | None,
) -> pd.DataFrame:
    """Add to ``sales`` the days that have no row; ``lost`` holds date and product of the quarantined rows."""
    days, spans = _days_on_sale(sales, open_days), _spans(sales)
    places = days.searchsorted(spans["max"]) - days.searchsorted(spans["min"]) + 1
    absent = int((places - spans["nunique"]).sum())
    if absent == 0:
        return sales
    if (sales["sales"] == 0.0).any():
        notes.append(
            f"sales_data: {absent} days of a product between its first and last have no row; as others tell days "
            "without a sale, nothing is assumed of them."
        )
        return sales
    grids = [
        rows.set_index("date").reindex(days[(days >= rows["date"].min()) & (days <= rows["date"].max())])
        for _, rows in sales.groupby("product_id", sort=False)
    ]
    filled = pd.concat([grid.assign(product_id=grid["product_id"].ffill()) for grid in grids]).rename_axis("date")
    filled = filled.reset_index()
    filled = filled[~(filled["sales"].isna() & _may_be_lost(filled, lost))].reset_index(drop=True)
    is_new = filled["sales"].isna()
    for column in filled.columns.difference(["sales", *FLAGS, "stock"]):
        filled[column] = filled.groupby("product_id")[column].ffill()
    filled["sales"] = filled["sales"].fillna(0.0)
    for flag in set(FLAGS) & set(filled.columns):
        filled[flag] = filled[flag].where(~is_new, other=False).astype(bool)
    account.add("sales_data", "a day without a row, taken as no sale at the price before", is_new.sum())
    return filled


def _days_on_sale(sales: pd.DataFrame, open_days: pd.DatetimeIndex | None) -> pd.DatetimeIndex:
    """Days on which the shop may have sold, in order."""
    seen = pd.DatetimeIndex(np.sort(sales["date"].unique()))
    return seen if open_days is None else seen.union(open_days)


def _spans(sales: pd.DataFrame) -> pd.DataFrame:
    """First and last day of each product, and on how many days it has a row."""
    return sales.groupby("product_id")["date"].agg(["min", "max", "nunique"])


def _without_sparse(
    sales: pd.DataFrame, *, account: RowAccount, notes: list[str], open_days: pd.DatetimeIndex | None
) -> pd.DataFrame:
    """``sales`` without the products that hardly sold, where their days without a sale would swell the table."""
    if (sales["sales"] == 0.0).any():
        return sales  # no day is added
    days, spans = _days_on_sale(sales, open_days), _spans(sales)
    places = days.searchsorted(spans["max"]) - days.searchsorted(spans["min"]) + 1
    sparse = spans.index[spans["nunique"] < FEWEST_SALE_DAYS]
    if places.sum() <= MOST_ADDED * len(sales) or not 0 < len(sparse) < len(spans):
        return sales
    rows = sales["product_id"].isin(sparse)
    account.drop(
        "sales_data", f"of products sold on fewer than {FEWEST_SALE_DAYS} days, in a table of many", rows.sum()
    )
    named = ", ".join(map(str, sparse[:MOST_NAMED]))
    more = f" and {len(sparse) - MOST_NAMED} more" if len(sparse) > MOST_NAMED else ""
    notes.append(
        f"sales_data: {len(sparse)} products sold on fewer than {FEWEST_SALE_DAYS} days, left out: {named}{more}."
    )
    return sales[~rows]


def _may_be_lost(days: pd.DataFrame, lost: pd.DataFrame) -> pd.Series:
    """Whether a quarantined row may belong to the day and product; an unreadable half of its key matches any."""
    whole = lost[lost["date"].notna() & (lost["product_id"] != "")]
    named = pd.MultiIndex.from_frame(days[["date", "product_id"]]).isin(pd.MultiIndex.from_frame(whole))
    undated, unnamed = lost.loc[lost["date"].isna(), "product_id"], lost.loc[lost["product_id"] == "", "date"]
    return days["product_id"].isin(undated) | days["date"].isin(unnamed.dropna()) | named


class _Stretch(NamedTuple):
    product: str
    first: pd.Timestamp
    days: int


def _without_off_sale(sales: pd.DataFrame, *, account: RowAccount, notes: list[str]) -> pd.DataFrame:
    """``sales`` (date, product_id, sales; sorted by product and date) without the days on which a product was surely
    not on sale; those, and products that ended, are told.

    A stretch of n days without a sale is one if (1 - q)^n < ``SMALLEST_CHANCE``, q the share of days with a sale in the
    four weeks before the stretch, or after it, whichever is smaller. q counts days, not units: a product that sells
    much, but on few days, keeps its days without a sale. An empty shelf, a product taken off and a closed shop look the
    same, so nothing is assumed of such days.
    """
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


def finish_traffic(traffic: pd.DataFrame, *, account: RowAccount, notes: list[str]) -> pd.DataFrame:
    """Sort rows by time. InputError when they are too far apart or response times are not in seconds."""
    back = int((traffic["date"].diff() < pd.Timedelta(0)).sum())
    account.change("traffic_data", "the clock runs backwards before this row, sorted", back)
    traffic = traffic.sort_values("date", kind="stable")
    minutes = traffic["date"].diff().dt.total_seconds() / 60.0
    steps = minutes[minutes > 0.0]
    tick = float(steps.median()) if len(steps) else MOST_MINUTES
    if tick > MOST_MINUTES:
        raise InputError(
            f"traffic_data: rows are {tick:g} minutes apart, {MOST_MINUTES:g} at most are needed to tell the hours "
            "of the day; bring the finer table or leave it out"
        )
    gaps = steps[steps > 1.5 * tick]
    if len(gaps):
        missing = int((gaps / tick).round().sum()) - len(gaps)
        notes.append(
            f"traffic_data: {missing} ticks of {tick:g} minutes are missing in {len(gaps)} gaps, the longest "
            f"{gaps.max() / 60.0:.3g} hours; nothing is assumed of them."
        )
    slow = traffic["response_time_s"].median() if "response_time_s" in traffic.columns else 0.0
    if slow > SLOWEST_USUAL_RESPONSE_S:
        raise InputError(
            f"traffic_data: the median response time is {slow:g} s, which looks like milliseconds; put "
            "scale: {response_time_s: 0.001} into the mapping"
        )
    return traffic
