"""The books of order lines: which are set apart, left out and netted, and which stores and currencies are taken."""

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Final, NamedTuple

from flashsim.data.clean import RowAccount
from flashsim.data.exports.numbers import SHARED_SIGNS
from flashsim.data.exports.tables import FIRST_ROW
from flashsim.data.orders.columns import OrderColumns
from flashsim.data.orders.judging import QUARANTINED, REASONS
from flashsim.data.orders.lines import Lines
from flashsim.data.orders.options import ALL, NUMBER_COLUMNS, OrderOptions
from flashsim.data.orders.refunds import Netted
from flashsim.data.orders.values import Meanings
from flashsim.errors import InputError
from flashsim.shown import brief

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

TABLE: Final = "orders"
MOST_SET_APART: Final = 50_000
"""Quarantined lines that are written down one by one."""


class SetApart(NamedTuple):
    """A cell for which a line cannot be used."""

    file: str
    row: int
    column: str
    value: str
    reason: str


def choose(
    database: "DuckDBPyConnection", columns: OrderColumns, meanings: Meanings, options: OrderOptions, *, what: str
) -> tuple[str | None, OrderOptions]:
    """The currency that the export names, and the options; InputError where several stores or currencies are there and
    nothing says what to do with them."""
    stores = _values(database, columns, "store")
    unknown = [name for name in options.stores if name != ALL and name not in stores]
    if unknown:
        raise InputError(f"{what}: orders.stores names {brief(unknown[0])}, the file has {_named(stores)}; correct it")
    if len(stores) > 1 and not options.stores:
        raise InputError(
            f"{what} holds orders of {len(stores)} stores ({_named(stores)}); say in the mapping which to take: "
            f"orders: "
            "{stores: NAME}, or {stores: all} to add them up"
        )
    currencies = sorted({code.upper() for code in _values(database, columns, "currency")})
    taken = [code for code in currencies if code in options.currencies or code in options.rates]
    missing = [code for code in options.currencies if code not in currencies]
    if missing and currencies:
        raise InputError(f"{what}: orders.currencies names {missing[0]}, the file has {_named(currencies)}; correct it")
    if len(currencies) > 1 and not taken:
        raise InputError(
            f"{what} holds amounts in {len(currencies)} currencies ({_named(currencies)}); say in the mapping "
            f"which to take: "
            f"orders: {{currencies: {currencies[0]}}}, or convert them: {{rates: {{{currencies[1]}: 1.1}}}}"
        )
    bases = [code for code in currencies if code not in options.rates and (code in taken or not options.currencies)]
    if len(bases) > 1:
        raise InputError(
            f"{what}: amounts in {_named(bases)} cannot be added up; give a rate for all but one of them in the "
            f"mapping: "
            f"orders: {{rates: {{{bases[1]}: 1.1}}}}"
        )
    base = bases[0] if bases else (meanings.numbers.currency if not currencies else None)
    return base, replace(options, currencies=tuple(bases) if options.currencies else ())


def shop_currency(found: str | None, *, stated: str | None, default: str, what: str) -> tuple[str, str | None]:
    """The currency of the shop, and a note where it is not stated; InputError where the file names another one than
    the mapping."""
    known = stated or default
    if found is None:
        return known, None
    fits = SHARED_SIGNS.get(found, (found,))
    if stated is not None:
        if stated.upper() not in fits:
            raise InputError(
                f"{what}: its amounts are in {found}, the mapping says currency: {stated}; correct the mapping, "
                f"or convert "
                f"them: orders: {{rates: {{{found}: 1.1}}}}"
            )
        return stated, None
    taken = known if known in fits else fits[0]
    return taken, f"{what}: currency {taken}" + (f", for its sign {found}" if found != taken else "")


def _values(database: "DuckDBPyConnection", columns: OrderColumns, name: str) -> list[str]:
    if name not in columns.place:
        return []
    found = database.execute(f"SELECT DISTINCT {name} FROM lines WHERE {name} IS NOT NULL LIMIT 10000").fetchall()
    return sorted(text for (text,) in found)


def _named(names: Sequence[str]) -> str:
    return ", ".join(name[:40] for name in names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "")


def set_apart(database: "DuckDBPyConnection", lines: Lines, files: Sequence[str]) -> tuple[tuple[SetApart, ...], int]:
    """The cells for which lines cannot be used, up to ``MOST_SET_APART`` of them, and the number of such lines."""
    columns = lines.columns
    shown = ("date", "product_id", *(name for name in NUMBER_COLUMNS if name in columns.place))
    checks = ", ".join(
        f"coalesce((SELECT is_wrong FROM numbers_{name} n WHERE n.text = l.{name}), false)"
        for name in NUMBER_COLUMNS
        if name in columns.place
    )
    rows = database.execute(
        f"SELECT l.rowid, s.reason, {', '.join(f'l.{name}' for name in shown)}{', ' if checks else ''}{checks} "
        "FROM lines l JOIN judged j ON j.line = l.rowid AND j.why = 'quarantined' LEFT JOIN stamps s ON l.date = "
        "s.text "
        f"ORDER BY l.rowid LIMIT {MOST_SET_APART}"
    ).fetchall()
    cells = [_cell(row, shown, lines, files) for row in rows]
    cells += [
        SetApart(files[int(file)], int(row), "(whole row)", str(text), str(reason))
        for file, row, text, reason in lines.rejected.itertuples(index=False)
    ]
    count = database.execute("SELECT count(*) FROM judged WHERE why = 'quarantined'").fetchone() or (0,)
    return tuple(cells), int(count[0]) + len(lines.rejected)


def _cell(row: tuple[object, ...], shown: tuple[str, ...], lines: Lines, files: Sequence[str]) -> SetApart:
    line, reason, *rest = row
    values = dict(zip(shown, rest[: len(shown)], strict=True))
    wrong = [name for name, is_wrong in zip(shown[2:], rest[len(shown) :], strict=True) if is_wrong]
    number = int(str(line))
    file = max(place for place, first in enumerate(lines.first) if first <= number)
    if values["date"] is None or reason:
        column, words = "date", str(reason or "is empty")
    elif values["product_id"] is None:
        column, words = "product_id", "is empty"
    elif wrong:
        column, words = wrong[0], "is not a number"
    else:
        empty = [name for name in ("quantity", "total", "price") if name in values and values[name] is None]
        column, words = (empty[0], "is empty") if empty else ("quantity", "is larger than any order")
    before = int((lines.rejected["row"] <= number - lines.first[file] + FIRST_ROW).sum()) if len(lines.rejected) else 0
    text = "" if values.get(column) is None else str(values[column])
    name = lines.columns.name.get(column, column)
    return SetApart(files[file], number - lines.first[file] + FIRST_ROW + before, name, text, words)


def count_lines(
    database: "DuckDBPyConnection", lines: Lines, account: RowAccount, *, bad: int, has_clock: bool, keep_repeats: bool
) -> list[str]:
    """Enter what became of the lines; a note where lines that look alike were kept."""
    account.read[TABLE] = lines.rows + len(lines.rejected)
    if bad:
        account.drop(TABLE, QUARANTINED, bad)
    found = dict(database.execute("SELECT why, count(*) FROM judged WHERE why IS NOT NULL GROUP BY why").fetchall())
    for why, words in REASONS.items():
        if why in found:
            account.drop(TABLE, words, found[why])
    if not keep_repeats:
        return []
    row = database.execute("SELECT count(*) - count(DISTINCT whole) FROM judged WHERE why IS NULL").fetchone()
    if row is None or not row[0]:
        return []
    why = "" if has_clock else ", for no order number and no time of day tells lines apart"
    return [
        f"orders: {row[0]} lines that equal another in every column were kept{why}; orders: {{repeats: drop}} "
        f"drops them"
    ]


def refund_notes(netted: Netted, missing: float, account: RowAccount) -> list[str]:
    """Enter and tell what refunds took off."""
    if netted.lines:
        account.drop(TABLE, "a refund, taken off what was sold", netted.lines)
    loose = float(netted.loose["units"].sum())
    if not netted.lines and netted.units == 0.0 and netted.money == 0.0:
        return []
    words = f"orders: refunds took off {netted.units + loose - missing:g} units and {netted.money:,.2f} of earnings"
    if loose:
        words += (
            f"; {loose - missing:g} of these units came back without an order of the file, from the latest sales before"
        )
    if missing:
        words += f"; {missing:g} more units came back whose sale the file does not hold"
    return [words + "."]


def told_reasons(account: RowAccount) -> str:
    """What became of the lines, in a clause."""
    parts = [f"{rows} {reason}" for (table, reason), rows in account.dropped.items() if table == TABLE]
    return f"of {account.read[TABLE]} lines " + ("; ".join(parts) if parts else "none has units and a price")
