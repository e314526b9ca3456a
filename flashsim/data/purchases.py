"""Who bought when: CDNOW's purchases, and any shop's, as the three numbers that repeat-purchase models need.

    from datetime import date
    from flashsim.data.purchases import read_cdnow, summarize_purchases
    history = summarize_purchases(read_cdnow("sample"), end=date(1997, 9, 30))
    history.frequency, history.recency_weeks, history.age_weeks, history.mean_spend

Conventions, for each customer with a purchase up to the end of observation:

    x    frequency: days with a purchase after the first such day; several purchases of one day are one
    t_x  recency:   weeks from the first to the last such day; 0 where x = 0
    T    age:       weeks from the first such day to the end of observation
    mean spend      value of the x later days over x; 0 where x = 0 (the first day often differs: offers, sign-up)

CDNOW: the 23,570 customers who first bought from this music shop in January to March 1997, followed to June 1998
("master"), and one tenth of them (2,357), which most of the literature fits ("sample"). The text files come with the
package ``lifetimes``; its folder is looked up, but the package is never imported. Some orders have value 0.

Source: Fader & Hardie (2001), Interfaces 31(3), S94-S107 (the data); Fader, Hardie & Lee (2005), Marketing Science
24(2), 275-284 (the conventions). Left out: returns, and what was bought.
"""

import importlib.util
from datetime import date
from pathlib import Path
from typing import Final, Literal, NamedTuple

import numpy as np
import pandas as pd
import pandera.pandas as pa
from numpy.typing import NDArray

from flashsim.data.schemas import validate
from flashsim.errors import InputError
from flashsim.files import is_file

CDNOW_NOTICE: Final = "CDNOW purchases, Fader & Hardie (2001), Interfaces 31(3), as the package lifetimes carries them."
DAYS_IN_WEEK: Final = 7.0

PURCHASES: Final = pa.DataFrameSchema(
    {
        "customer_id": pa.Column(int, pa.Check.ge(0), description="customer"),
        "date": pa.Column("datetime64[ns]", description="day of the purchase"),
        "units": pa.Column(int, pa.Check.ge(0), description="units bought"),
        "value": pa.Column(float, [pa.Check.ge(0.0), pa.Check.lt(1e9)], description="value in one currency"),
    },
    name="purchases",
)

_PACKAGE: Final = "lifetimes"
_FILES: Final = {"sample": "CDNOW_sample.txt", "master": "CDNOW_master.txt"}
_COLUMNS: Final = {
    "sample": ("master_id", "customer_id", "date", "units", "value"),
    "master": ("customer_id", "date", "units", "value"),
}


class PurchaseHistory(NamedTuple):
    """One entry a customer, in the order of ``customer_ids``."""

    customer_ids: NDArray[np.int64]  # customer; sorted
    frequency: NDArray[np.int64]  # customer; x, later days with a purchase
    recency_weeks: NDArray[np.float64]  # customer; t_x
    age_weeks: NDArray[np.float64]  # customer; T
    mean_spend: NDArray[np.float64]  # customer; value of a later day, 0 where there is none

    @property
    def spends_again(self) -> NDArray[np.bool_]:
        """Customers with a later purchase of positive mean value: only they show how much customers spend."""
        return (self.frequency > 0) & (self.mean_spend > 0.0)


def read_cdnow(part: Literal["sample", "master"], *, folder: Path | None = None) -> pd.DataFrame:
    """Read purchases of CDNOW (customer_id, date, units, value in USD), one row an order.

    They come from the package ``lifetimes``, or from ``folder`` with files of the same names. InputError when there are
    none.
    """
    if part not in _FILES:
        raise InputError(f"CDNOW has the parts {', '.join(_FILES)}, got {part!r}; name one of them")
    path = (_package_folder() if folder is None else Path(folder)) / _FILES[part]
    if not is_file(path):
        raise InputError(f"{path} is missing; expected CDNOW's text file there, as in the package {_PACKAGE}")
    names = _COLUMNS[part]
    try:
        rows = np.loadtxt(path, skiprows=1 if part == "master" else 0, ndmin=2)
        days = pd.to_datetime(pd.Series(rows[:, names.index("date")].astype(np.int64).astype(str)), format="%Y%m%d")
        days = days.astype("datetime64[ns]")
    except (ValueError, IndexError) as error:
        raise InputError(f"{path} is not CDNOW's table ({str(error).splitlines()[0]}); restore it") from error
    if rows.shape[1] != len(names):
        raise InputError(f"{path} has {rows.shape[1]} columns, expected {len(names)} ({', '.join(names)}); restore it")
    table = pd.DataFrame(
        {
            "customer_id": rows[:, names.index("customer_id")].astype(np.int64),
            "date": days,
            "units": rows[:, names.index("units")].astype(np.int64),
            "value": rows[:, names.index("value")],
        }
    )
    return validate(table, PURCHASES, source=str(path))


def summarize_purchases(purchases: pd.DataFrame, *, end: date | None = None) -> PurchaseHistory:
    """Compute x, t_x, T and mean spend of each customer who bought up to ``end`` (None: the last day of the table).

    purchases: customer_id, date, units, value, in any order. InputError when the table is empty or breaks its schema,
    or when nobody bought up to ``end``.
    """
    if len(purchases) == 0:
        raise InputError("the table of purchases is empty; bring at least one row a customer")
    stamped = purchases.assign(date=_days(purchases)) if "date" in purchases.columns else purchases
    table = validate(stamped, PURCHASES, source="purchases")
    last = table["date"].max() if end is None else pd.Timestamp(end)
    table = table[table["date"] <= last]
    if table.empty:
        raise InputError(f"nobody bought up to {last:%Y-%m-%d}; move the end of observation after the first purchase")
    daily = table.groupby(["customer_id", "date"], sort=True)["value"].sum().reset_index()
    first = daily.groupby("customer_id")["date"].transform("min")
    later = daily.assign(later=daily["date"] > first)
    later["later_value"] = later["value"].where(later["later"], 0.0)
    customers = later.groupby("customer_id").agg(
        first=("date", "min"), last=("date", "max"), x=("later", "sum"), value=("later_value", "sum")
    )
    x = customers["x"].to_numpy(np.int64)
    return PurchaseHistory(
        customer_ids=customers.index.to_numpy(np.int64),
        frequency=x,
        recency_weeks=_weeks(customers["last"] - customers["first"]),
        age_weeks=_weeks(last - customers["first"]),
        mean_spend=customers["value"].to_numpy(np.float64) / np.maximum(x, 1),
    )


def _package_folder() -> Path:
    spec = importlib.util.find_spec(_PACKAGE)
    if spec is None or spec.origin is None:
        raise InputError(f"the package {_PACKAGE} is not installed; run: pip install 'lifetimes>=0.11.3'")
    return Path(spec.origin).parent / "datasets"


def _days(purchases: pd.DataFrame) -> pd.Series:
    stamps = purchases["date"]
    if not pd.api.types.is_datetime64_dtype(stamps):
        raise InputError(f"purchases: column 'date' holds {stamps.dtype}, expected dates without a zone; convert it")
    return stamps.dt.normalize().astype("datetime64[ns]")


def _weeks(spans: "pd.Series[pd.Timedelta]") -> NDArray[np.float64]:
    return spans.dt.days.to_numpy(np.float64) / DAYS_IN_WEEK
