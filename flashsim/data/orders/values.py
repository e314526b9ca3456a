"""What the cells of order lines mean: stamps on the shop's clock, numbers, words of status and kind, currencies.

Each column is read by its *distinct* cells: few, whatever the number of lines, and so read by what reads all other
tables (:mod:`flashsim.data.exports`, :mod:`flashsim.data.stamps`). Cells that are plain numbers the database reads
itself.
"""

import re
from typing import TYPE_CHECKING, Final, NamedTuple

import pandas as pd

from flashsim.data.exports.dates import detect_dates, to_iso
from flashsim.data.exports.formats import Format
from flashsim.data.exports.numbers import NO, YES, NumberFormat, detect_numbers, read_numbers
from flashsim.data.orders.columns import OrderColumns
from flashsim.data.orders.options import NUMBER_COLUMNS, OrderOptions
from flashsim.data.orders.presets import (
    CANCELLED,
    NO_PRODUCT,
    NOT_SOLD_IN,
    OPEN,
    REFUND_KINDS,
    REFUNDED,
    SALE_KINDS,
    TEST,
    TEST_KINDS,
)
from flashsim.data.stamps import read_stamps
from flashsim.errors import InputError
from flashsim.shown import brief

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

MOST_DISTINCT: Final = 2_000_000
"""Different cells of a column that are looked at one by one; of stamps and words more are refused."""
_PLAIN: Final = {".": r"[+-]?[0-9]+(\.[0-9]*)?", ",": r"[+-]?[0-9]+(,[0-9]*)?"}
WORD_COLUMNS: Final = ("status", "kind", "cancelled", "test", "product_id", "product_name")
WORDS: Final = {
    **dict.fromkeys(CANCELLED, "cancelled"),
    **dict.fromkeys(REFUNDED, "refunded"),
    **dict.fromkeys(OPEN, "open"),
}


class Zones(NamedTuple):
    """Clocks of the shop and of stamps without a zone."""

    shop: str
    naive: str


class Meanings(NamedTuple):
    """What was found; the tables ``stamps``, ``words`` and ``numbers_NAME`` of the database hold the cells' values."""

    numbers: NumberFormat
    told: tuple[str, ...]
    has_clock: bool  # stamps have a time of day
    sold_words: tuple[str, ...]  # of status and kind, unknown, taken as a sale
    open_words: tuple[str, ...]  # of status, ordered but not paid yet, taken as a sale
    lost_words: tuple[str, ...]  # of status, with which nothing was sold


def read_meanings(
    database: "DuckDBPyConnection",
    columns: OrderColumns,
    *,
    style: Format,
    zones: Zones,
    options: OrderOptions,
    what: str,
) -> Meanings:
    """Read what the distinct cells of the table ``lines`` mean; InputError where dates or numbers are unclear."""
    stamps = pd.Series(_distinct(database, "date", what=what), dtype=str)
    dates = detect_dates(stamps, stated=style.date, what=what, key="orders")
    read = read_stamps(to_iso(stamps, dates), time_zone=zones.shop, naive_zone=zones.naive)
    meaning = pd.DataFrame({"text": stamps, "local": read.local, "reason": read.reasons})
    _enter(database, "stamps", meaning)
    with_clock = (read.local != read.local.dt.normalize()) & read.local.notna()
    has_clock = bool(with_clock.sum() > 0.5 * read.local.notna().sum())
    numbers = _read_numbers(database, columns, style=style, what=what)
    words = _read_words(database, columns, options, what=what)
    return Meanings(numbers, (*dates.told, *numbers.told), has_clock, *words)


def _distinct(database: "DuckDBPyConnection", column: str, *, what: str, where: str = "true") -> list[str]:
    found = database.execute(
        f"SELECT DISTINCT {column} FROM lines WHERE {column} IS NOT NULL AND {where} LIMIT {MOST_DISTINCT + 1}"
    ).fetchall()
    if len(found) > MOST_DISTINCT:
        raise InputError(f"{what}: column {column} has more than {MOST_DISTINCT:,} different cells; check the mapping")
    return sorted(text for (text,) in found)


def _enter(database: "DuckDBPyConnection", name: str, table: pd.DataFrame) -> None:
    """Make the table ``name`` of a DataFrame."""
    database.register("given", table)
    database.execute(f"CREATE OR REPLACE TABLE {name} AS SELECT * FROM given")
    database.unregister("given")


def _read_numbers(database: "DuckDBPyConnection", columns: OrderColumns, *, style: Format, what: str) -> NumberFormat:
    """How numbers are written; enters tables of the cells that the database does not read itself."""
    there = [name for name in NUMBER_COLUMNS if name in columns.place]
    cells = {}
    for name in there:
        odd = f"NOT regexp_full_match({name}, '{_PLAIN['.']}')"
        few = database.execute(f"SELECT DISTINCT {name} FROM lines WHERE {odd} LIMIT {MOST_DISTINCT}").fetchall()
        plain = database.execute(
            f"SELECT DISTINCT {name} FROM (SELECT {name} FROM lines WHERE NOT ({odd}) AND contains({name}, '.') "
            f"LIMIT 100000)"
        ).fetchall()
        cells[name] = pd.Series(sorted(text for (text,) in (*few, *plain)), dtype=str)
    shown = {columns.name[name]: column for name, column in cells.items()}
    found = detect_numbers(
        shown, decimal=style.decimal, what=what, key="orders", strict="currency" not in columns.place
    )
    for name in there:
        odd = f"NOT regexp_full_match({name}, '{_PLAIN[found.decimal]}')"
        text = pd.Series(_distinct(database, name, what=what, where=odd), dtype=str)
        values, is_wrong = read_numbers(text, found)
        _enter(database, f"numbers_{name}", pd.DataFrame({"text": text, "value": values, "is_wrong": is_wrong}))
    return found


def number_of(name: str, columns: OrderColumns, found: NumberFormat) -> str:
    """The expression of a number of a line, NULL where it is empty or wrong; ``n_NAME`` is its joined table."""
    if name not in columns.place:
        return "NULL::DOUBLE"
    text = f"l.{name}" if found.decimal == "." else f"replace(l.{name}, ',', '.')"
    return (
        f"CASE WHEN regexp_full_match(l.{name}, '{_PLAIN[found.decimal]}') THEN TRY_CAST({text} AS DOUBLE) "
        f"ELSE n_{name}.value END"
    )


class _StatusWords(NamedTuple):
    sold: tuple[str, ...]  # unknown
    open: tuple[str, ...]
    lost: tuple[str, ...]


def _read_words(
    database: "DuckDBPyConnection", columns: OrderColumns, options: OrderOptions, *, what: str
) -> _StatusWords:
    """Enter what words of status, kind, cancelled and test mean; returns those that a reader must know of."""
    rows: list[tuple[str, str, str]] = []
    told: dict[str, list[str]] = {"unknown": [], "open": [], "cancelled": []}
    lost = {**dict.fromkeys(NOT_SOLD_IN.get(options.preset or "", ()), "cancelled")}
    lost |= dict.fromkeys(map(_plain_word, options.not_sold), "cancelled")
    missing = set(map(_plain_word, options.not_sold))
    for column in ("status", "kind", "cancelled", "test"):
        if column not in columns.place:
            continue
        for text in _distinct(database, column, what=what):
            word = _plain_word(text)
            meaning = lost.get(word) if column == "status" else None
            meaning = meaning or _meaning(column, word) or "unknown"
            missing -= {word} if column == "status" else set()
            if meaning in told and column in ("status", "kind"):
                told[meaning].append(text)
            rows.append((column, text, "sale" if meaning in ("open", "unknown") else meaning))
    if missing:
        raise InputError(f"{what}: orders.not_sold names {brief(min(missing))}, which no status is; correct it")
    for column, known in (("product_id", _NOT_SOLD), ("product_name", _NOT_SOLD[:1])):
        if column in columns.place:
            for text in _distinct(database, column, what=what):
                rows += [(column, text, meaning) for meaning, named in known if re.fullmatch(named, text.casefold())]
    _enter(database, "words", pd.DataFrame(rows, columns=["column", "text", "meaning"], dtype=str))
    return _StatusWords(*(tuple(words) for words in told.values()))


def _plain_word(text: str) -> str:
    return re.sub(r"[\s_-]+", " ", text.casefold()).strip().removeprefix("wc ")


def _meaning(column: str, word: str) -> str | None:
    """What a word means; None where it is not known."""
    if column == "cancelled":
        return "sale" if word in NO or word in ("0000 00 00 00:00:00", "null") else "cancelled"
    if column == "test":
        return "test" if word in YES else "sale"
    if word in TEST_KINDS:
        return "test"
    if column == "kind":
        if re.fullmatch(NO_PRODUCT, word):
            return "no product"
        if word in REFUND_KINDS or word in ("cancellation", "cancel", *CANCELLED):
            return "refund"
        return "sale" if word in SALE_KINDS else None
    return WORDS.get(word, "sale" if word in SOLD_WORDS else None)


_NOT_SOLD: Final = (("no product", NO_PRODUCT), ("test", TEST))
SOLD_WORDS: Final = (
    *("paid", "partially paid", "partially refunded", "completed", "complete", "processing", "fulfilled", "shipped"),
    *("delivered", "closed", "ok", "done", "success", "sold", "bezahlt", "versandt", "abgeschlossen", "open"),
    *(
        "交易成功",
        "已完成",
        "已发货",
        "已付款",
        "买家已付款",
        "卖家已发货",
        "等待卖家发货",
        "等待买家确认收货",
        "没有退款",
        "无退款",
    ),
)
"""Words of a status with which something was bought."""
