"""Order lines to units and unit prices by product and day, and to purchases by the hour; all that happens is counted.

    units(product, day)    = units sold less units that came back          over the stores that are taken
    price(product, day)    = what they earned / units                      a unit, after discounts
    list price             = the commonest of the day, where a column tells it

A day between the shop's first and last on which nothing was sold at all is a day without a sale, unless the shop was
closed: then it is not known. It was closed on weekdays on which it never sold in ``FEWEST_WEEKS`` weeks, and in
stretches of ``LONGEST_QUIET_DAYS`` days or more in which more than ``SURELY_CLOSED`` lines were due.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np
import pandas as pd

from flashsim.data.clean import RowAccount
from flashsim.data.exports.formats import Format
from flashsim.data.exports.snapshot import take_snapshot
from flashsim.data.orders.books import SetApart, choose, count_lines, refund_notes, set_apart, told_reasons
from flashsim.data.orders.columns import OrderColumns
from flashsim.data.orders.judging import fill_orders, judge_lines
from flashsim.data.orders.lines import Export, exact_sum, locate, open_database, read_lines
from flashsim.data.orders.options import OrderOptions
from flashsim.data.orders.refunds import net_refunds, take_off_loose
from flashsim.data.orders.values import Meanings, Zones, read_meanings
from flashsim.errors import InputError

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

MOST_PURCHASES: Final = 1_000_000
"""Lines of purchases that are kept one by one: those of a part of the customers where there are more."""
FEWEST_WEEKS: Final = 4
LONGEST_QUIET_DAYS: Final = 7
SURELY_CLOSED: Final = 20.0
Report = Callable[[str, int, int], None]


@dataclass(frozen=True)
class OrderSums:
    """What order lines tell."""

    sales: pd.DataFrame
    """date, product_id, sales, price, and list_price, product_name, product_group where the export has them."""
    purchases: pd.DataFrame | None
    """user_id, timestamp, item_id, behavior; None where stamps have no time of day."""
    open_days: pd.DatetimeIndex
    """Days on which the shop may have sold."""
    currency: str | None
    """ISO 4217 code, where the export names one."""
    rows: int
    set_apart: tuple[SetApart, ...]
    set_apart_rows: int
    sha256: str
    notes: tuple[str, ...]


class Task(NamedTuple):
    """How the files are read."""

    scratch: Path  # folder of copies
    style: Format
    options: OrderOptions
    mapped: dict[str, str]  # name used here: name in the file
    scale: dict[str, float]
    zones: Zones
    report: Report


def sum_orders(paths: Sequence[Path], task: Task, *, account: RowAccount) -> OrderSums:
    """Read and sum the order lines of ``paths``; InputError when they cannot be used."""
    exports = [_export(path, task) for path in paths]
    what = str(paths[0]) if len(paths) == 1 else f"{paths[0]} and {len(paths) - 1} more"
    with open_database(task.scratch) as database:
        task.report("reading order lines", 0, _STAGES)
        lines = read_lines(database, exports, options=task.options, mapped=task.mapped)
        task.report("reading order lines", 1, _STAGES)
        fill_orders(database, lines.columns)
        meanings = read_meanings(
            database, lines.columns, style=task.style, zones=task.zones, options=task.options, what=what
        )
        currency, options = choose(database, lines.columns, meanings, task.options, what=what)
        ids = "order_id" in lines.columns.place
        keep = options.repeats == "keep" or (options.repeats is None and not meanings.has_clock and not ids)
        amounts = judge_lines(
            database, lines.columns, meanings, options, scale=task.scale, keep_repeats=keep, what=what
        )
        task.report("judging order lines", 2, _STAGES)
        cells, bad = set_apart(database, lines, [path.name for path in paths])
        notes = count_lines(database, lines, account, bad=bad, has_clock=meanings.has_clock, keep_repeats=keep)
        notes += amounts.notes
        netted = net_refunds(database, of_orders="refunded_amount" in amounts.of_order)
        task.report("netting refunds", 3, _STAGES)
        daily, missing = take_off_loose(_by_store(database), netted.loose)
        notes += refund_notes(netted, missing, account)
        sales = _across_stores(daily, lines.columns)
        purchases = _purchases(database, lines.columns, notes) if meanings.has_clock else None
        open_days = _open_days(database, notes)
        task.report("summing order lines", _STAGES, _STAGES)
    if not len(sales):
        raise InputError(f"{what}: no line is a sale: {told_reasons(account)}; check the mapping, or the preset")
    detected = [*exports[0].told, *lines.columns.told, *meanings.told]
    if detected:
        notes.insert(0, f"{paths[0].name}: detected {'; '.join(detected)}.")
    notes += _told_words(meanings, paths[0].name)
    digest = "+".join(export.snapshot.sha256 for export in exports)
    return OrderSums(
        sales, purchases, open_days, currency, lines.rows + len(lines.rejected), cells, bad, digest, tuple(notes)
    )


def _told_words(meanings: Meanings, name: str) -> list[str]:
    """How words of a status were taken."""
    shown = {
        kind: ", ".join(word[:40] for word in words[:8])
        for kind, words in meanings._asdict().items()
        if "words" in kind
    }
    notes = []
    if meanings.sold_words:
        notes.append(f"{name}: lines of status or kind {shown['sold_words']} were taken as sales.")
    if meanings.open_words:
        notes.append(
            f"{name}: orders of status {shown['open_words']} are not paid yet and were taken as sales; orders: "
            f"{{not_sold: [{meanings.open_words[0]}]}} leaves such out."
        )
    if meanings.lost_words:
        notes.append(f"{name}: orders of status {shown['lost_words']} were left out as cancelled.")
    return notes


def _export(path: Path, task: Task) -> Export:
    snapshot = take_snapshot(
        path,
        task.scratch,
        encoding=task.style.encoding,
        sheet=task.style.sheet,
        report=lambda done, total: task.report(f"reading {path.name}", done, total),
    )
    return locate(snapshot, separator=task.style.separator, preset=task.options.preset, mapped=task.mapped)


def _by_store(database: "DuckDBPyConnection") -> pd.DataFrame:
    """Units and earnings by product, store and day, sorted."""
    return database.execute(
        "SELECT product_id, store, date_trunc('day', stamp)::TIMESTAMP_NS AS date, "
        f"{exact_sum('units')} AS units, {exact_sum('amount')} AS amount, quantile_disc(list_price, 0.5) AS "
        f"list_price, "
        "arg_max(product_name, line) AS product_name, arg_max(product_group, line) AS product_group "
        "FROM sold GROUP BY ALL ORDER BY product_id, store, date"
    ).df()


def _across_stores(daily: pd.DataFrame, columns: OrderColumns) -> pd.DataFrame:
    """One row a product and day with a sale, all stores together."""
    daily = daily[daily["units"] > UNIT_ROUNDING]
    sums = daily.groupby(["product_id", "date"], sort=True).agg(
        sales=("units", "sum"),
        amount=("amount", "sum"),
        list_price=("list_price", "max"),
        product_name=("product_name", "last"),
        product_group=("product_group", "last"),
    )
    table = sums.reset_index()
    table["price"] = table["amount"] / table["sales"]
    shown = [name for name in ("list_price", "product_name", "product_group") if name in columns.place]
    for name in shown[:]:
        if name != "list_price":
            table[name] = table[name].fillna("").astype(str)
    return table[["date", "product_id", "sales", "price", *shown]]


def _purchases(database: "DuckDBPyConnection", columns: OrderColumns, notes: list[str]) -> pd.DataFrame:
    """Purchases one by one, by customer, product and hour; of a part of the customers where there are too many."""
    by_customer = "customer" in columns.place
    total = (database.execute("SELECT count(*) FROM sold WHERE units > 0.0").fetchone() or (0,))[0]
    parts = max(-(-total // MOST_PURCHASES), 1)
    who = "coalesce(customer, key)" if by_customer else "key"
    if parts > 1:
        of_whom = "customers" if by_customer else "orders"
        notes.append(
            f"orders: hours and segments are learned from every {parts}th of the {of_whom}, by first purchase."
        )
    found = database.execute(
        f"WITH bought AS (SELECT {who} AS who, line, stamp, product_id FROM sold WHERE units > 0.0), people AS "
        f"(SELECT who, "
        "row_number() OVER (ORDER BY min(line)) AS number FROM bought GROUP BY who) "
        f"SELECT {'who' if by_customer else '0::UBIGINT'} AS customer, date_trunc('hour', stamp) AS timestamp, "
        f"product_id "
        f"FROM bought JOIN people USING (who) WHERE number % {parts} = {parts - 1} ORDER BY line"
    ).df()
    number = pd.factorize(found["customer"].astype("UInt64").astype(object))[
        0
    ]  # by first purchase; the hash goes no further
    return pd.DataFrame(
        {
            "user_id": number.astype(str),
            "timestamp": found["timestamp"].astype("datetime64[ns]"),
            "item_id": found["product_id"].astype(str),
            "behavior": "buy",
        }
    )


def _open_days(database: "DuckDBPyConnection", notes: list[str]) -> pd.DatetimeIndex:
    """Days on which the shop may have sold: all between the first and the last, but those on which it was closed."""
    found = database.execute(
        "SELECT date_trunc('day', stamp)::TIMESTAMP_NS AS day, count(*) AS lines FROM sold GROUP BY ALL ORDER BY day"
    ).df()
    seen = pd.DatetimeIndex(found["day"])
    if not len(seen):
        return seen
    every = pd.date_range(seen[0], seen[-1])
    quiet = every.difference(seen)
    weekdays = every.day_of_week
    never = [day for day in range(7) if (weekdays == day).sum() >= FEWEST_WEEKS and not (seen.day_of_week == day).any()]
    closed = quiet[quiet.day_of_week.isin(never)]
    due = float(found["lines"].sum()) / len(seen)
    run = np.cumsum(np.diff(quiet, prepend=quiet[:1]) > np.timedelta64(1, "D"))
    length = np.bincount(run)[run] if len(quiet) else run
    long = quiet[(length >= LONGEST_QUIET_DAYS) & (length * due > SURELY_CLOSED)]
    if len(closed):
        names = ", ".join(_WEEKDAYS[day] for day in never)
        notes.append(f"orders: nothing was ever sold on {names}: the shop is taken as closed then.")
    if len(long):
        notes.append(
            f"orders: nothing was sold on {len(long)} days, in stretches of {LONGEST_QUIET_DAYS} or more, the first "
            f"{long[0].date()}: the shop was closed or the export lacks them; nothing is assumed of them."
        )
    return every.difference(closed).difference(long)


_STAGES: Final = 4
UNIT_ROUNDING: Final = 1e-9
_WEEKDAYS: Final = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
