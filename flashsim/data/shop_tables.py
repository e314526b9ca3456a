"""A shop's own tables, checked row by row; the account counts every row that is dropped, changed or added.

What happens to                                              outcome

    a cell that breaks the schema                            its row is quarantined (:mod:`flashsim.data.quarantine`)
    stamps of several zones, skipped hours, outliers         :mod:`flashsim.data.stamps`
    prices or quantities in another unit                     quarantined (:mod:`flashsim.data.unit_changes`)
    a row, event or minute that comes twice, all equal       dropped
    a day and product, or a minute, twice with other values  the later one is quarantined
    stamps of traffic that run backwards                     sorted, and counted as changed
    minutes of traffic that are missing                      counted and noted; nothing replaces them
    an empty promotion or stock_out                          taken as no, and counted as changed
    a day without a sale and without a price                 the product's last price, counted as changed
    a day between a product's first and last on which        if no row of the table has sales of 0, the shop does not
    other products have a row and this one has none          write days without a sale: they are added, with 0 sales;
                                                             otherwise, or where a quarantined row may belong to that
                                                             day, nothing is known about it

A share of quarantined rows above ``most_quarantined`` stops the run.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
import pandas as pd
import pandera.pandas as pa

from flashsim.data.clean import RowAccount
from flashsim.data.quarantine import Quarantine
from flashsim.data.schemas import SALES_DATA, SUPPORT_TICKETS, USER_BEHAVIOR, BrokenCell, broken_cells
from flashsim.data.shop_days import FLAGS, finish_sales, finish_traffic
from flashsim.data.shop_folder import NUMBERS, RawTable, ShopMapping, read_folder
from flashsim.data.stamps import read_stamps
from flashsim.data.traffic import OPTIONAL_COLUMNS, TRAFFIC
from flashsim.data.unit_changes import changed_units
from flashsim.errors import InputError

SCHEMAS: Final[Mapping[str, pa.DataFrameSchema]] = {
    "sales_data": SALES_DATA,
    "traffic_data": TRAFFIC.add_columns(OPTIONAL_COLUMNS),
    "user_behavior": USER_BEHAVIOR,
    "support_tickets": SUPPORT_TICKETS,
}
STAMPS: Final = ("date", "timestamp")
YES: Final = ("1", "1.0", "true", "t", "yes", "y", "是")
NO: Final = ("0", "0.0", "false", "f", "no", "n", "否")
EMPTY: Final = ("", "na", "n/a", "nan", "nat", "null", "none")
"""What people write into an empty cell of numbers."""


class Twice(NamedTuple):
    """A key that must not come twice."""

    key: tuple[str, ...]
    """Columns that name a row."""
    words: str
    """Advice for a row that repeats the key with other values."""


KEYS: Final[Mapping[str, Twice]] = {
    "sales_data": Twice(("date", "product_id"), "add them up to one row a product and day"),
    "traffic_data": Twice(("date",), "a clock that was set back, or two sources: merge them"),
}


@dataclass(frozen=True)
class CheckedTables:
    """The checked tables of a shop, ready to learn from; None for a table that the shop does not have."""

    mapping: ShopMapping
    account: RowAccount
    quarantine: Quarantine
    checksums: Mapping[str, str]
    """SHA-256 of each file, by table."""
    files: Mapping[str, str]
    """Name of each file, by table."""
    sales: pd.DataFrame | None = None
    traffic: pd.DataFrame | None = None
    behavior: pd.DataFrame | None = None
    tickets: pd.DataFrame | None = None
    notes: list[str] = field(default_factory=list)
    """What a reader should know about the tables, one sentence each."""

    @property
    def tables(self) -> dict[str, pd.DataFrame]:
        """The tables that the shop has, by name."""
        held = zip(SCHEMAS, (self.sales, self.traffic, self.behavior, self.tickets), strict=True)
        return {name: table for name, table in held if table is not None}

    def days(self, table: str) -> int:
        """Days on which ``table`` has rows."""
        return int(self._stamps(table).dt.normalize().nunique())

    def spans(self) -> dict[str, list[str]]:
        """First and last day of each table whose rows have a date."""
        dated = {name: self._stamps(name) for name, table in self.tables.items() if {*STAMPS} & set(table.columns)}
        return {
            name: [stamps.min().date().isoformat(), stamps.max().date().isoformat()] for name, stamps in dated.items()
        }

    def _stamps(self, table: str) -> pd.Series:
        held = self.tables[table]
        return held[next(name for name in STAMPS if name in held.columns)]


def read_shop_tables(
    folder: Path,
    mapping: ShopMapping,
    *,
    most_quarantined: float,
    quarantine_file: Path,
    known_price: Mapping[str, float] | None = None,
) -> CheckedTables:
    """Read and check the tables of ``folder``; quarantined rows go to ``quarantine_file``, even when a table is
    refused.

    ``known_price`` is the price of products that are already known. InputError when a table cannot be used.
    """
    if not 0.0 <= most_quarantined <= 1.0:
        raise InputError(f"data.most_quarantined must be a share from 0 to 1, got {most_quarantined}; correct it")
    raws = read_folder(Path(folder), mapping)
    shop = CheckedTables(
        mapping,
        RowAccount(),
        Quarantine(),
        checksums={name: raw.checksum() for name, raw in raws.items()},
        files={name: raw.path.name for name, raw in raws.items()},
    )
    cleaned = {}
    for name, raw in raws.items():
        reader = _Reader(raw, shop, most_quarantined=most_quarantined, quarantine_file=quarantine_file)
        table = reader.checked()
        if name == "sales_data":
            table = reader.without(table, changed_units(table, known_price=known_price))
            table = finish_sales(table, lost=reader.lost(table), account=shop.account, notes=shop.notes)
        elif name == "traffic_data":
            table = finish_traffic(table, account=shop.account, notes=shop.notes)
        elif name == "support_tickets":
            shop.notes.append(
                f"support_tickets: {len(table)} tickets of {table['intent'].nunique()} intents were checked and "
                "counted; nothing is learned from them yet."
            )
        cleaned[name] = table.reset_index(drop=True)
    shop.quarantine.write(quarantine_file)
    sales, traffic, behavior, tickets = (cleaned.get(name) for name in SCHEMAS)
    return replace(shop, sales=sales, traffic=traffic, behavior=behavior, tickets=tickets)


@dataclass(frozen=True)
class _Reader:
    """Reads one table and enters what happens into ``shop``."""

    raw: RawTable
    shop: CheckedTables
    most_quarantined: float
    quarantine_file: Path

    def checked(self) -> pd.DataFrame:
        """The rows that keep the schema, with the right types, each once, labelled by their number in the file."""
        raw, account = self.raw, self.shop.account
        account.read[raw.name] = raw.rows
        if raw.blank:
            account.drop(raw.name, "an empty line", raw.blank)
        if raw.ignored:
            self.shop.notes.append(f"{raw.path.name}: nothing reads the column(s) {', '.join(raw.ignored)}.")
        self.shop.quarantine.take_ragged(raw, account=account)
        typed, reasons, happens_twice = self._typed()
        broken = [BrokenCell(row, column, reason) for (row, column), reason in reasons.items()]
        schema = SCHEMAS[raw.name]
        schema = schema.remove_columns([column for column in schema.columns if column not in typed.columns])
        known = {(cell.row, cell.column) for cell in broken}
        more = broken_cells(typed, schema) + (_contradictions(typed) if raw.name == "sales_data" else [])
        broken += [cell for cell in more if (cell.row, cell.column) not in known]
        typed = self.without(typed, broken)
        typed = self._without_repeats(typed, twice=set(typed.index.intersection(happens_twice)))
        if not len(typed):
            raise InputError(f"{raw.path}: no row can be used, see {self.quarantine_file}; mend the table")
        return typed

    def without(self, table: pd.DataFrame, broken: list[BrokenCell]) -> pd.DataFrame:
        """Remove and quarantine the rows of ``broken``. InputError when they are too many."""
        rows = self.shop.quarantine.take(self.raw, broken, account=self.shop.account)
        self.shop.quarantine.refuse_many(self.raw, most=self.most_quarantined, file=self.quarantine_file)
        return table.drop(index=list(rows)) if rows else table

    def lost(self, table: pd.DataFrame) -> pd.DataFrame:
        """Date and product, as far as readable, of the rows of sales_data that ``table`` lacks."""
        cells = self.raw.cells.drop(index=table.index)
        zones = self.shop.mapping.time_zone, self.shop.mapping.stamps or self.shop.mapping.time_zone
        dates = read_stamps(cells["date"], time_zone=zones[0], naive_zone=zones[1]).local.dt.normalize()
        return pd.DataFrame({"date": dates, "product_id": cells["product_id"]})

    def _typed(self) -> tuple[pd.DataFrame, dict[tuple[int, str], str], pd.Index]:
        """Columns with the right types; reasons for the cells that do not convert; rows in an hour that happens
        twice."""
        raw, mapping = self.raw, self.shop.mapping
        spelled = mapping.of(raw.name)
        columns: dict[str, pd.Series] = {}
        reasons: dict[tuple[int, str], str] = {}
        happens_twice = raw.cells.index[:0]
        for column, text in raw.cells.items():
            name = str(column)
            if name in STAMPS:
                stamps = read_stamps(text, time_zone=mapping.time_zone, naive_zone=mapping.stamps or mapping.time_zone)
                is_day = raw.name == "sales_data"
                columns[name] = stamps.local.dt.normalize() if is_day else stamps.local
                happens_twice = happens_twice if is_day else text.index[stamps.happens_twice]
                reasons |= {(int(str(row)), name): why for row, why in stamps.reasons[stamps.reasons != ""].items()}
            elif name in NUMBERS[raw.name]:
                columns[name], wrong = _numbers(text, scale=spelled.scale.get(name, 1.0))
                reasons |= {(row, name): "is not a number" for row in wrong}
            elif name in FLAGS:
                lower = text.str.lower()
                columns[name] = lower.isin(YES)
                blank = lower.isin(EMPTY)
                self.shop.account.change(raw.name, f"empty {name}, taken as no", blank.sum())
                wrong = text.index[~lower.isin((*YES, *NO)) & ~blank]
                reasons |= {(row, name): "expected 1 or 0, yes or no" for row in wrong}
            else:
                columns[name] = text.replace(dict(spelled.values)) if name == "behavior" else text
        return pd.DataFrame(columns, index=raw.cells.index), reasons, happens_twice

    def _without_repeats(self, table: pd.DataFrame, *, twice: set[int]) -> pd.DataFrame:
        """Keep each row once; rows in an hour that happens ``twice`` may come again."""
        may_come_again = table.index.isin(list(twice)) | ("timestamp" not in table.columns and "date" not in table)
        again = table.duplicated().to_numpy() & ~may_come_again
        if again.any():
            self.shop.account.drop(self.raw.name, "repeats another row in every column", again.sum())
        table = table[~again]
        if self.raw.name not in KEYS:
            return table
        key, advice = KEYS[self.raw.name]
        clash = table.duplicated(list(key)).to_numpy() & ~table.index.isin(list(twice))
        if not clash.any():
            return table
        row = table.index.to_series()
        first = row.groupby([table[column] for column in key]).transform("first")
        words = "repeats " + " and ".join(key) + " of row {} with other values: " + advice
        return self.without(table, [BrokenCell(row, key[-1], words.format(first[row])) for row in table.index[clash]])


def _numbers(text: pd.Series, *, scale: float) -> tuple[pd.Series, pd.Index]:
    """Numbers, NaN where empty or wrong; and the rows that are wrong."""
    filled = ~text.str.lower().isin(EMPTY)
    numbers = pd.to_numeric(text.where(filled), errors="coerce").astype(np.float64)
    return numbers * scale, text.index[(numbers.isna() & filled).to_numpy()]


def _contradictions(sales: pd.DataFrame) -> list[BrokenCell]:
    """Cells that contradict another cell of their row."""
    free = sales.index[(sales["price"].isna() & (sales["sales"] > 0.0)).to_numpy()]
    broken = [BrokenCell(row, "price", "is empty on a day with sales") for row in free]
    if "stock" in sales.columns:
        above = sales.index[(sales["sales"] > sales["stock"]).to_numpy()]
        broken += [BrokenCell(row, "sales", "is more than the stock of the row") for row in above]
    return broken
