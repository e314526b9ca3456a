"""Tables whose rows are weeks or months: told apart from days, and spread over their days.

Rows are weeks if all dates of the table lie whole weeks apart, months if all lie on the first or the last day of a
month, one or more months apart, in ``FEWEST_DATES`` dates or more. The units of such a row are divided among its days
as evenly as whole units allow, so that none is lost; price and other facts hold on each of them. How days of a week
differ is then unknown. A date that is a Saturday or Sunday, and one whose column is called an end, is the last day of
its week, else its first.

    steps: detect   (the default) as above, with a note
    steps: refuse   weeks and months are refused
    steps: day      a row is a day, whatever the dates look like: a market on Saturdays
    steps: week, month   a row is one, whatever the dates look like
"""

from typing import Final

import numpy as np
import pandas as pd

from flashsim.errors import InputError

STEPS: Final = ("detect", "refuse", "day", "week", "month")
FEWEST_DATES: Final = 4
DAYS_A_WEEK: Final = 7


def step_of(days: pd.Series) -> str:
    """``day``, ``week`` or ``month``: how far the distinct ``days`` of a table are apart."""
    seen = pd.DatetimeIndex(np.sort(days.dropna().unique()))
    if len(seen) < FEWEST_DATES:
        return "day"
    if (np.diff(seen) / np.timedelta64(1, "D") % DAYS_A_WEEK == 0).all():
        return "week"
    if seen.is_month_start.all() or seen.is_month_end.all():
        return "month"
    return "day"


def spread_over_days(
    sales: pd.DataFrame, *, steps: str, what: str, column: str, table: str
) -> tuple[pd.DataFrame, str | None]:
    """``sales`` (date, sales, …) with one row a day, labelled by the rows that they came from, and a note; unchanged
    and None where rows are days.

    InputError where rows are weeks or months and ``steps`` refuses them. ``column`` is the file's name of the date.
    """
    step = step_of(sales["date"]) if steps in ("detect", "refuse") else steps
    if step == "day":
        return sales, None
    dates = sales["date"].sort_values()
    example = f"{dates.iloc[0].date()}, {dates.drop_duplicates().iloc[1].date()}" if dates.nunique() > 1 else ""
    if steps == "refuse":
        raise InputError(
            f"{what}: its rows are {step}s ({example}, …), not days, and the mapping refuses them; bring daily "
            f"rows, or "
            f"write {table}: {{steps: {step}}} to spread each over its days"
        )
    first, length = _spans(sales["date"], step, column=column)
    counts = length.to_numpy(dtype=np.int64)
    place = np.repeat(np.arange(len(sales)), counts)
    offset = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    spread = sales.iloc[place].copy()
    spread["date"] = (first.iloc[place] + pd.to_timedelta(offset, unit="D")).to_numpy()
    for name in {"sales", "stock"} & set(spread.columns):
        total = sales[name].to_numpy(dtype=np.float64)[place]
        spread[name] = np.floor(total * (offset + 1) / counts[place]) - np.floor(total * offset / counts[place])
    note = (
        f"{what}: rows are {step}s ({example}, …), not days; the units of each were divided among its days "
        f"({'7' if step == 'week' else '28 to 31'}), so how days of a {step} differ is not known; write {table}: "
        "{steps: day} if each row is a single day"
    )
    return spread, note


def _spans(dates: pd.Series, step: str, *, column: str) -> tuple[pd.Series, pd.Series]:
    """First day and number of days of the week or month of each date."""
    if step == "week":
        is_end = any(word in column.casefold() for word in ("end", "ende", "bis", "截止", "结束"))
        is_end = is_end or bool((dates.dt.day_of_week >= 5).all())
        first = dates - pd.Timedelta(days=DAYS_A_WEEK - 1) if is_end else dates
        return first, pd.Series(DAYS_A_WEEK, index=dates.index)
    first = dates.dt.to_period("M").dt.start_time
    return first, dates.dt.days_in_month
