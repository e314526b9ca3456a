"""What happens to rows of sales and traffic that keep their schema: missing days are added, times are sorted.

:mod:`flashsim.data.shop_tables` states the rules; the account counts each row that is dropped, changed or added.
"""

from typing import Final

import numpy as np
import pandas as pd

from flashsim.data.clean import RowAccount
from flashsim.data.off_sale import without_off_sale
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
    return without_off_sale(sales, account=account, notes=notes)


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
