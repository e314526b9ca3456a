"""Orders as a shop's table of daily sales: read, checked for units that change, spread where rows are weeks, and
told."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from flashsim.data.clean import RowAccount
from flashsim.data.exports.steps import spread_over_days
from flashsim.data.orders.books import TABLE, shop_currency
from flashsim.data.orders.daily import OrderSums, Task, sum_orders
from flashsim.data.orders.presets import CURRENCIES, TIME_ZONES
from flashsim.data.orders.values import Zones
from flashsim.data.quarantine import Quarantine, QuarantinedCell
from flashsim.data.shop_days import finish_sales
from flashsim.data.shop_folder import ShopMapping
from flashsim.data.unit_changes import changed_units
from flashsim.errors import InputError


class Books(NamedTuple):
    """What happens to rows is entered here."""

    account: RowAccount
    quarantine: Quarantine
    notes: list[str]
    most_quarantined: float  # share of the lines
    quarantine_file: Path


class OrderTables(NamedTuple):
    """The tables that orders make."""

    mapping: ShopMapping  # with the currency of the orders
    sales: pd.DataFrame
    purchases: pd.DataFrame | None
    sha256: str


def read_orders(
    paths: Sequence[Path],
    mapping: ShopMapping,
    books: Books,
    *,
    scratch: Path,
    known_price: Mapping[str, float] | None,
    progress: Callable[[str, int, int], None] | None,
) -> OrderTables:
    """Sum the order lines of ``paths`` to daily sales; InputError when they cannot be used."""
    spelled = mapping.of(TABLE)
    preset = spelled.orders.preset or ""
    zone = mapping.time_zone if "time_zone" in mapping.stated else TIME_ZONES.get(preset, mapping.time_zone)
    task = Task(
        scratch,
        mapping.format_of(TABLE),
        spelled.orders,
        dict(spelled.columns),
        dict(spelled.scale),
        Zones(zone, mapping.stamps or zone),
        progress if progress is not None else _silent,
    )
    sums = sum_orders(paths, task, account=books.account)
    books.notes.extend(sums.notes)
    _quarantine(sums, books, what=str(paths[0]))
    stated = mapping.currency if "currency" in mapping.stated else None
    currency, note = shop_currency(
        sums.currency, stated=stated, default=CURRENCIES.get(preset, mapping.currency), what=paths[0].name
    )
    books.notes.extend([f"{note}."] * (note is not None))
    sales = _sales(sums, books, known_price=known_price, what=paths[0].name)
    sales, note = spread_over_days(
        sales, steps=spelled.steps, what=paths[0].name, column=spelled.columns.get("date", "date"), table=TABLE
    )
    books.notes.extend([] if note is None else [note])
    days = None if note is not None else sums.open_days
    lost = pd.DataFrame({"date": pd.Series(dtype="datetime64[ns]"), "product_id": pd.Series(dtype=str)})
    books.account.read["sales_data"] = len(sales)
    sales = finish_sales(sales, lost=lost, account=books.account, notes=books.notes, open_days=days)
    books.notes.append(f"sales_data was summed from the order lines of {paths[0].name}.")
    facts: dict[str, Any] = {"currency": currency, "time_zone": zone}
    told = ShopMapping(**{**vars(mapping), **facts})
    return OrderTables(told, sales.reset_index(drop=True), sums.purchases, sums.sha256)


def _silent(stage: str, done: int, total: int) -> None:
    """Show no progress."""


def _quarantine(sums: OrderSums, books: Books, *, what: str) -> None:
    """Enter the lines that are set apart; InputError, with an example, when they are too many."""
    books.quarantine.cells.extend(QuarantinedCell(TABLE, *cell) for cell in sums.set_apart)
    if sums.set_apart_rows <= books.most_quarantined * sums.rows:
        return
    books.quarantine.write(books.quarantine_file)
    example = sums.set_apart[0]
    raise InputError(
        f"{what}: {sums.set_apart_rows} of {sums.rows} lines ({sums.set_apart_rows / sums.rows:.1%}) cannot be "
        f"used, at most "
        f"{books.most_quarantined:.1%} may; for instance column {example.column!r}, {example.value[:40]!r} in row "
        f"{example.row}: {example.reason}; mend the table (such rows are in {books.quarantine_file}), state how it is "
        "written (orders: {format: …}), or raise data.most_quarantined"
    )


def _sales(sums: OrderSums, books: Books, *, known_price: Mapping[str, float] | None, what: str) -> pd.DataFrame:
    """Daily sales without days whose price or quantity is in another unit."""
    broken = changed_units(sums.sales, known_price=known_price)
    if not broken:
        return sums.sales
    rows = {int(str(cell.row)) for cell in broken}
    books.quarantine.cells.extend(
        QuarantinedCell(
            "sales_data",
            what,
            0,
            cell.column,
            str(sums.sales.at[int(str(cell.row)), cell.column]),
            f"{str(sums.sales.at[int(str(cell.row)), 'date'])[:10]}: {cell.reason}",
        )
        for cell in broken
    )
    if len(rows) > books.most_quarantined * len(sums.sales):
        books.quarantine.write(books.quarantine_file)
        raise InputError(
            f"{what}: {len(rows)} of {len(sums.sales)} days of a product cannot be used: {broken[0].reason}; mend "
            f"the export, "
            "or raise data.most_quarantined"
        )
    books.notes.append(f"{what}: {len(rows)} days of a product are set apart: {broken[0].reason}.")
    return sums.sales.drop(index=list(rows)).reset_index(drop=True)
