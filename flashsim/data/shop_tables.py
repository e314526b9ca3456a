"""A shop's own tables, checked row by row; the account counts every row that is dropped, changed or added.

What happens to                                              outcome

    a cell that breaks the schema                            its row is quarantined (:mod:`flashsim.data.quarantine`)
    stamps of several zones, skipped hours, outliers         :mod:`flashsim.data.stamps`
    prices or quantities in another unit                     quarantined (:mod:`flashsim.data.unit_changes`)
    a row that equals another in every column of the file    dropped
    rows that are weeks or months                            spread over their days (:mod:`flashsim.data.exports.steps`)
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

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final, NamedTuple

import pandas as pd
import pandera.pandas as pa

from flashsim.data.clean import RowAccount
from flashsim.data.exports.dates import to_iso
from flashsim.data.exports.numbers import EMPTY, NO, YES, read_numbers
from flashsim.data.exports.snapshot import scratch_folder
from flashsim.data.exports.steps import spread_over_days
from flashsim.data.orders.books import shop_currency
from flashsim.data.orders.checked import Books, OrderTables, read_orders
from flashsim.data.quarantine import Quarantine
from flashsim.data.schemas import EVENTS, SALES_DATA, SUPPORT_TICKETS, USER_BEHAVIOR, BrokenCell, broken_cells
from flashsim.data.shop_days import FLAGS, finish_sales, finish_traffic
from flashsim.data.shop_folder import NUMBERS, STAMPS, RawTable, ShopMapping, find_orders, read_folder, refuse_nothing
from flashsim.data.stamps import read_stamps
from flashsim.data.traffic import OPTIONAL_COLUMNS, TRAFFIC
from flashsim.data.unit_changes import changed_units
from flashsim.errors import InputError

SCHEMAS: Final[Mapping[str, pa.DataFrameSchema]] = {
    "sales_data": SALES_DATA,
    "traffic_data": TRAFFIC.add_columns(OPTIONAL_COLUMNS),
    "user_behavior": USER_BEHAVIOR,
    "support_tickets": SUPPORT_TICKETS,
    "events": EVENTS,
}


class Limits(NamedTuple):
    """How much may be set apart, and where it is written down."""

    most: float  # share of a table's rows
    file: Path


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
    events: pd.DataFrame | None = None
    purchases: pd.DataFrame | None = None
    """Purchases in the orders, like those of user_behavior."""
    notes: list[str] = field(default_factory=list)
    """What a reader should know about the tables, one sentence each."""

    @property
    def tables(self) -> dict[str, pd.DataFrame]:
        """The tables that the shop has, by name."""
        held = zip(SCHEMAS, (self.sales, self.traffic, self.behavior, self.tickets, self.events), strict=True)
        return {name: table for name, table in held if table is not None}

    @property
    def bought(self) -> tuple[pd.DataFrame, str] | None:
        """Who bought what when, and the table that tells it; None where none does."""
        if self.behavior is not None:
            return self.behavior, "user_behavior"
        return None if self.purchases is None else (self.purchases, "orders")

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
    progress: Callable[[str, int, int], None] | None = None,
) -> CheckedTables:
    """Read and check the tables of ``folder``; quarantined rows go to ``quarantine_file``, even when a table is
    refused.

    ``known_price`` is the price of products that are already known; ``progress`` is told a stage, and how much of it is
    done. InputError when a table cannot be used.
    """
    if not 0.0 <= most_quarantined <= 1.0:
        raise InputError(f"data.most_quarantined must be a share from 0 to 1, got {most_quarantined}; correct it")
    folder = Path(folder)
    paths = find_orders(folder, mapping)
    with scratch_folder() as scratch:
        raws = read_folder(folder, mapping, scratch=scratch)
        shop = CheckedTables(
            mapping,
            RowAccount(),
            Quarantine(),
            checksums={name: raw.sha256 for name, raw in raws.items()},
            files={name: raw.path.name for name, raw in raws.items()},
        )
        if not raws and not paths:
            raise refuse_nothing(folder)
        limits = Limits(most_quarantined, quarantine_file)
        if paths:
            _refuse_both(paths, raws)
            books = Books(shop.account, shop.quarantine, shop.notes, *limits)
            made = read_orders(paths, mapping, books, scratch=scratch, known_price=known_price, progress=progress)
            shop = _with_orders(shop, made, paths)
    cleaned = {}
    for done, (name, raw) in enumerate(raws.items(), start=1):
        cleaned[name] = _cleaned(raw, shop, limits, known_price=known_price)
        if progress is not None:
            progress("checking tables", done, len(raws))
    if "sales_data" in raws:
        shop = _with_currency(shop, raws["sales_data"])
    shop.quarantine.write(quarantine_file)
    sales, traffic, behavior, tickets, events = (cleaned.get(name) for name in SCHEMAS)
    sales = shop.sales if sales is None else sales
    return replace(shop, sales=sales, traffic=traffic, behavior=behavior, tickets=tickets, events=events)


def _cleaned(
    raw: RawTable, shop: CheckedTables, limits: Limits, *, known_price: Mapping[str, float] | None
) -> pd.DataFrame:
    """The rows of a table that can be used, with its days and ticks in order; what happens is entered into ``shop``."""
    name, mapping = raw.name, shop.mapping
    reader = _Reader(raw, shop, limits)
    table = reader.checked()
    if name == "sales_data":
        table = reader.without(table, changed_units(table, known_price=known_price))
        column = mapping.of(name).columns.get("date", "date")
        table, note = spread_over_days(
            table, steps=mapping.of(name).steps, what=raw.path.name, column=column, table=name
        )
        shop.notes.extend([] if note is None else [note])
        shop.account.add(name, "days of a row that is a week or a month", len(table) - len(table.index.unique()))
        table = finish_sales(table, lost=reader.lost(table), account=shop.account, notes=shop.notes)
    elif name == "traffic_data":
        table = finish_traffic(table, account=shop.account, notes=shop.notes)
    elif name == "events":
        shop.notes.append(_told_of_events(table))
    elif name == "support_tickets":
        shop.notes.append(
            f"support_tickets: {len(table)} tickets of {table['intent'].nunique()} intents were checked and "
            "counted; nothing is learned from them yet."
        )
    return table.reset_index(drop=True)


def _told_of_events(events: pd.DataFrame) -> str:
    """What past flash sales tell, in a sentence."""
    out = (events["units_sold"] >= events["units_offered"]).sum()
    return (
        f"events: {len(events)} products of {events['opening'].nunique()} past flash sales were checked, {out} of "
        f"them sold "
        f"out, {events['units_sold'].sum() / max(events['units_offered'].sum(), 1.0):.0%} of what was offered was "
        f"sold; "
        "nothing is learned from them yet."
    )


def _refuse_both(paths: list[Path], raws: Mapping[str, RawTable]) -> None:
    if "sales_data" in raws:
        raise InputError(
            f"{paths[0]} and {raws['sales_data'].path} both tell what was sold; keep one of them in the folder"
        )


def _with_orders(shop: CheckedTables, made: OrderTables, paths: list[Path]) -> CheckedTables:
    """``shop`` with the daily sales and the purchases that its orders tell."""
    files = ", ".join(path.name for path in paths)
    return replace(
        shop,
        mapping=made.mapping,
        sales=made.sales,
        purchases=made.purchases,
        files={"sales_data": files, "orders": files, **shop.files},
        checksums={"sales_data": made.sha256, "orders": made.sha256, **shop.checksums},
    )


def _with_currency(shop: CheckedTables, raw: RawTable) -> CheckedTables:
    """``shop`` in the currency that the cells of sales_data name, if they name one."""
    stated = shop.mapping.currency if "currency" in shop.mapping.stated else None
    found = raw.style.numbers.currency
    currency, note = shop_currency(found, stated=stated, default=shop.mapping.currency, what=raw.path.name)
    shop.notes.extend([f"{note}."] * (note is not None))
    return replace(shop, mapping=replace(shop.mapping, currency=currency))


@dataclass(frozen=True)
class _Reader:
    """Reads one table and enters what happens into ``shop``."""

    raw: RawTable
    shop: CheckedTables
    limits: Limits

    def checked(self) -> pd.DataFrame:
        """The rows that keep the schema, with the right types, each once, labelled by their number in the file."""
        raw, account = self.raw, self.shop.account
        account.read[raw.name] = raw.rows
        if raw.blank:
            account.drop(raw.name, "an empty line", raw.blank)
        if raw.ignored:
            self.shop.notes.append(f"{raw.path.name}: nothing reads the column(s) {', '.join(raw.ignored)}.")
        if raw.style.told:
            self.shop.notes.append(f"{raw.path.name}: detected {'; '.join(raw.style.told)}.")
        self.shop.quarantine.take_ragged(raw, account=account)
        typed, reasons, happens_twice = self._typed()
        broken = [BrokenCell(row, column, reason) for (row, column), reason in reasons.items()]
        schema = SCHEMAS[raw.name]
        schema = schema.remove_columns([column for column in schema.columns if column not in typed.columns])
        known = {(cell.row, cell.column) for cell in broken}
        more = broken_cells(typed, schema) + (CONTRADICTIONS.get(raw.name, _none)(typed))
        broken += [cell for cell in more if (cell.row, cell.column) not in known]
        typed = self.without(typed, broken)
        typed = self._without_repeats(typed, twice=set(typed.index.intersection(happens_twice)))
        if not len(typed):
            raise InputError(f"{raw.path}: no row can be used, see {self.limits.file}; mend the table")
        return typed

    def without(self, table: pd.DataFrame, broken: list[BrokenCell]) -> pd.DataFrame:
        """Remove and quarantine the rows of ``broken``. InputError when they are too many."""
        rows = self.shop.quarantine.take(self.raw, broken, account=self.shop.account)
        self.shop.quarantine.refuse_many(self.raw, most=self.limits.most, file=self.limits.file)
        return table.drop(index=list(rows)) if rows else table

    def lost(self, table: pd.DataFrame) -> pd.DataFrame:
        """Date and product, as far as readable, of the rows of sales_data that ``table`` lacks."""
        cells = self.raw.cells.drop(index=table.index)
        zones = self.shop.mapping.time_zone, self.shop.mapping.stamps or self.shop.mapping.time_zone
        dates = read_stamps(
            to_iso(cells["date"], self.raw.style.dates), time_zone=zones[0], naive_zone=zones[1]
        ).local.dt.normalize()
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
            if name in (*STAMPS, "sell_out"):
                iso = to_iso(text, raw.style.dates)
                stamps = read_stamps(iso, time_zone=mapping.time_zone, naive_zone=mapping.stamps or mapping.time_zone)
                is_day = raw.name == "sales_data"
                columns[name] = stamps.local.dt.normalize() if is_day else stamps.local
                happens_twice = happens_twice if is_day else text.index[stamps.happens_twice]
                why = stamps.reasons.where((text != "") | (name != "sell_out"), "")
                reasons |= {(int(str(row)), name): words for row, words in why[why != ""].items()}
            elif name in NUMBERS[raw.name]:
                numbers, is_wrong = read_numbers(text, raw.style.numbers)
                columns[name] = numbers * spelled.scale.get(name, 1.0)
                reasons |= {(int(str(row)), name): "is not a number" for row in text.index[is_wrong]}
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
        may_come_again = table.index.isin(list(twice)) | (not set(STAMPS) & set(table.columns))
        again = self.raw.style.repeats.loc[table.index].to_numpy(dtype=bool) & ~may_come_again
        if again.any():
            self.shop.account.drop(self.raw.name, "repeats another row in every column of the file", again.sum())
        table = table[~again]
        if self.raw.name not in KEYS:
            return table
        key, advice = KEYS[self.raw.name]
        clash = table.duplicated(list(key)).to_numpy() & ~table.index.isin(list(twice))
        if not clash.any():
            return table
        self._refuse_order_lines(clash.sum())
        row = table.index.to_series()
        first = row.groupby([table[column] for column in key]).transform("first")
        words = "repeats " + " and ".join(key) + " of row {} with other values: " + advice
        return self.without(table, [BrokenCell(row, key[-1], words.format(first[row])) for row in table.index[clash]])

    def _refuse_order_lines(self, clashes: int) -> None:
        """InputError where so many rows share product and day that they are order lines, not totals of days."""
        if self.raw.name == "sales_data" and clashes > self.limits.most * self.raw.rows:
            raise InputError(
                f"{self.raw.path}: {clashes} of {self.raw.rows} rows share their product and day with another "
                f"row, so they "
                "look like order lines, not totals of days; write orders: instead of sales_data: in the mapping "
                "(columns "
                "date, product_id, quantity, price), and they are added up"
            )


def _contradictions(sales: pd.DataFrame) -> list[BrokenCell]:
    """Cells that contradict another cell of their row."""
    free = sales.index[(sales["price"].isna() & (sales["sales"] > 0.0)).to_numpy()]
    broken = [BrokenCell(row, "price", "is empty on a day with sales") for row in free]
    if "stock" in sales.columns:
        above = sales.index[(sales["sales"] > sales["stock"]).to_numpy()]
        broken += [BrokenCell(row, "sales", "is more than the stock of the row") for row in above]
    return broken


def _contradicting_events(events: pd.DataFrame) -> list[BrokenCell]:
    """Cells of past sales that contradict another cell of their row."""
    above = events.index[(events["units_sold"] > events["units_offered"]).to_numpy()]
    broken = [BrokenCell(row, "units_sold", "is more than the units offered") for row in above]
    if "sell_out" in events.columns:
        early = events.index[(events["sell_out"] < events["opening"]).to_numpy()]
        broken += [BrokenCell(row, "sell_out", "is before the opening") for row in early]
        left = events["sell_out"].notna() & (events["units_sold"] < events["units_offered"])
        broken += [BrokenCell(row, "sell_out", "is told of a sale that did not sell out") for row in events.index[left]]
    return broken


def _none(table: pd.DataFrame) -> list[BrokenCell]:  # noqa: ARG001  (of the kind of the others)
    return []


CONTRADICTIONS: Final = {"sales_data": _contradictions, "events": _contradicting_events}
"""Finds the cells of a table that contradict another cell of their row."""
