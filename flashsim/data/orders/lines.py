"""Order lines in a database of our own, in the folder of the copies: read once, in bounded memory.

Only what is needed is kept. A customer becomes a number by a keyed hash while the line is read; the key is drawn for
this run and kept nowhere. An order's number becomes a hash, and so does the whole row, by which repeats are found.
Stamps are cut to five minutes, so that few different ones remain. The order and the customer 0 are tests.

The database reads nothing but the copies: it knows no extensions, no network and no file outside their folder, and its
settings are locked. No name from a file or a mapping is part of a statement.
"""

import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from flashsim.data.exports.layout import MOST_COLUMNS, clean_name, first_line, read_layout
from flashsim.data.exports.snapshot import Snapshot
from flashsim.data.exports.tables import FIRST_ROW
from flashsim.data.orders.columns import OrderColumns, find_columns, wanted_names
from flashsim.data.orders.options import ORDER_COLUMNS, OrderOptions
from flashsim.data.orders.presets import TEST
from flashsim.errors import InputError

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

MEMORY: Final = "900MB"
MOST_SPILLED: Final = "12GB"
MOST_REJECTED: Final = 100_000
"""Rows that are not shaped like the header, of which more are not listed."""
MOST_OTHER_LINES: Final = 200_000
"""Lines that are no rows, blank or within cells; with more of them, and than there are rows, the file is no table."""
HASHED: Final = ("order_id", "customer")


_BLANK: Final = " \t\r\n\u00a0\ufeff\u200e\u200f"


class Export(NamedTuple):
    """One copied file and where its cells are."""

    snapshot: Snapshot
    header: tuple[str, ...]
    separator: str | None  # None: Parquet
    lines_before: int
    told: tuple[str, ...]


class Lines(NamedTuple):
    """The order lines of all files, in table ``lines`` of the database, numbered from 0 in their order."""

    columns: OrderColumns
    rows: int
    first: tuple[int, ...]  # file; number of its first line
    rejected: pd.DataFrame  # file, row, text, reason: rows that are not shaped like the header


@contextmanager
def open_database(scratch: Path) -> Iterator["DuckDBPyConnection"]:
    """A database that sees ``scratch`` alone."""
    try:
        import duckdb  # noqa: PLC0415 (only who brings orders needs it)
    except ImportError as error:
        raise InputError(
            "orders are read by the package duckdb, which is missing; pip install 'flashsim[data]'"
        ) from error
    settings: dict[str, str | bool | int | float | list[str]] = {
        "memory_limit": MEMORY,
        "max_temp_directory_size": MOST_SPILLED,
        "temp_directory": str(scratch / "spilled"),
        "threads": "2",
        "autoinstall_known_extensions": "false",
        "autoload_known_extensions": "false",
        "allow_community_extensions": "false",
        "extension_directory": str(scratch / "none"),
    }
    database = duckdb.connect(str(scratch / "orders.db"), config=settings)
    try:
        database.execute(f"SET allowed_directories = [{quoted(str(scratch) + '/')}]")
        database.execute("SET enable_external_access = false")
        database.execute("SET lock_configuration = true")
        yield database
    except duckdb.OutOfMemoryException as error:
        raise InputError(
            f"the orders need more than {MEMORY} of memory and {MOST_SPILLED} of disk; split the file by year"
        ) from error
    except duckdb.IOException as error:
        raise InputError(
            f"the orders cannot be read ({first_line(error)}); free some space where temporary files go, or set TMPDIR"
        ) from error
    finally:
        database.close()


def quoted(text: str) -> str:
    """A text as SQL writes it."""
    return "'" + text.replace("'", "''") + "'"


def exact_sum(column: str, *, where: str = "true") -> str:
    """The expression of a sum to four decimals, which is the same in whatever order the rows come."""
    return f"(coalesce(sum(CAST(round({column} * 10000.0) AS HUGEINT)) FILTER ({where}), 0)::DOUBLE / 10000.0)"


def locate(snapshot: Snapshot, *, separator: str | None, preset: str | None, mapped: dict[str, str]) -> Export:
    """Where the cells of a copied file are; InputError when it is no table."""
    if not snapshot.is_parquet:
        layout = read_layout(snapshot, separator=separator, wanted=wanted_names(preset, mapped))
        told = (*snapshot.told, *layout.told)
        return Export(snapshot, layout.header, layout.separator, layout.lines_before, told)
    try:
        names = pq.ParquetFile(snapshot.path).schema_arrow.names
    except (OSError, ValueError, NotImplementedError, pa.ArrowException) as error:
        words = first_line(error, snapshot.path)
        raise InputError(f"{snapshot.original} is not a Parquet file ({words}); restore it") from error
    if len(names) > MOST_COLUMNS:
        raise InputError(
            f"{snapshot.original} has {len(names):,} columns, at most {MOST_COLUMNS} are read; leave others out"
        )
    return Export(snapshot, tuple(clean_name(name) for name in names), None, 0, snapshot.told)


def read_lines(
    database: "DuckDBPyConnection", exports: Sequence[Export], *, options: OrderOptions, mapped: dict[str, str]
) -> Lines:
    """Read the lines of all files into the table ``lines``; InputError when they cannot be read, or differ."""
    import duckdb  # noqa: PLC0415 (open_database has said so if it is missing)

    first = exports[0]
    for other in exports[1:]:
        if other.header != first.header:
            raise InputError(
                f"{other.snapshot.original} has other columns than {first.snapshot.original}; bring files of one export"
            )
    columns = find_columns(first.header, preset=options.preset, mapped=mapped, path=first.snapshot.original)
    key = secrets.token_hex(32)
    kept = [f"{_kept(ours, columns, key=key)} AS {ours}" for ours in ORDER_COLUMNS]
    places = range(len(first.header))
    whole = f"hash({', '.join(f'c{place}' for place in places)})"
    starts, rejected = [0], []
    for number, export in enumerate(exports):
        try:
            stored = None if _all_fit(database, export) else number
            select = f"SELECT {', '.join(kept)}, {whole} AS whole FROM {_source(export, stored)}"
            database.execute(f"{'INSERT INTO lines' if number else 'CREATE TABLE lines AS'} {select}")
            rejected.append(_rejected(database, export, stored, file=number))
        except (duckdb.OutOfMemoryException, duckdb.IOException):
            raise
        except duckdb.Error as error:
            words = first_line(error, export.snapshot.path)
            raise InputError(f"{export.snapshot.original} cannot be read as a table ({words}); restore it") from error
        starts.append(_count(database))
    if starts[-1] == 0:
        raise InputError(f"{first.snapshot.original} has a header and no row that can be read; bring some rows")
    return Lines(columns, starts[-1], tuple(starts[:-1]), pd.concat(rejected, ignore_index=True))


def _kept(ours: str, columns: OrderColumns, *, key: str) -> str:
    """The expression of a column as it is kept; NULL where the file does not have it."""
    if ours not in columns.place:
        return "NULL::UBIGINT" if ours in HASHED else "NULL::VARCHAR"
    text = _trimmed(f"CAST(c{columns.place[ours]} AS VARCHAR)")
    if ours in HASHED:
        hashed = f"hash({text})" if ours == "order_id" else f"hash(sha256({quoted(key)} || {text}))"
        may_be_test = f"lower(left({text}, 1)) IN ('t', '测')"
        is_test = f"CASE WHEN {may_be_test} THEN regexp_full_match(lower({text}), {quoted(TEST)}) ELSE false END"
        return f"CASE WHEN {text} IS NULL THEN NULL WHEN {is_test} THEN 0::UBIGINT ELSE {hashed} END"
    if ours == "date":
        return _to_five_minutes(text)
    if ours == "product_id" and columns.instead is not None:
        return f"coalesce({text}, {_trimmed(f'CAST(c{columns.instead} AS VARCHAR)')})"
    return text


def _trimmed(cell: str) -> str:
    """A cell without blanks around it and without the sign by which spreadsheets keep long numbers; NULL if empty.

    Most cells need neither, and to look at their first and last letter is quick.
    """
    is_plain = f"unicode({cell}) > 32 AND unicode(right({cell}, 1)) BETWEEN 33 AND 126"
    bare = f"CASE WHEN {is_plain} THEN {cell} ELSE trim({cell}, {quoted(_BLANK)}) END"
    kept_long = '="%"'
    return f"nullif(CASE WHEN {cell} LIKE {quoted(kept_long)} THEN ({cell})[3:-2] ELSE {bare} END, '')"


def _to_five_minutes(text: str) -> str:
    """A stamp to five minutes, as it is written otherwise; an epoch likewise."""
    cut = f"regexp_replace({text}, '(\\d:\\d\\d):\\d\\d([.,]\\d+)?', '\\1:00')"
    cut = f"regexp_replace(regexp_replace({cut}, '(\\d:\\d)[0-4]', '\\10'), '(\\d:\\d)[5-9]', '\\15')"
    seconds = f"(CASE WHEN length({text}) > 10 THEN {text}::BIGINT // 1000 ELSE {text}::BIGINT END)"
    return (
        f"CASE WHEN regexp_full_match({text}, '\\d{{9,10}}|\\d{{12,13}}') THEN ({seconds} // 300 * 300)::VARCHAR "
        f"ELSE {cut} END"
    )


def _all_fit(database: "DuckDBPyConnection", export: Export) -> bool:
    """Whether every line is a row like the header; InputError where very few are.

    To set a row apart takes the database long, so a file that is no table must not come to that.
    """
    if export.separator is None:
        return True
    row = database.execute(f"SELECT count(*) FROM {_source(export, None)}").fetchone()
    kept = 0 if row is None else int(row[0])
    others = export.snapshot.lines - export.lines_before - kept
    if others > max(kept, MOST_OTHER_LINES):
        raise InputError(
            f"{export.snapshot.original}: {others:,} of {export.snapshot.lines:,} lines are no rows like the header; "
            "export it anew as CSV, without line breaks within cells"
        )
    return others == 0 and export.snapshot.lines > 0


def _source(export: Export, stored: int | None) -> str:
    """What is read, as SQL; rows that do not fit are left out, and listed in ``rejected_STORED`` if that is given."""
    path = quoted(str(export.snapshot.path))
    if export.separator is None:
        names = pq.ParquetFile(export.snapshot.path).schema_arrow.names
        inner = ", ".join(f'"{name.replace(chr(34), chr(34) * 2)}" AS c{place}' for place, name in enumerate(names))
        return f"(SELECT {inner} FROM read_parquet({path}))"
    columns = ", ".join(f"'c{place}': 'VARCHAR'" for place in range(len(export.header)))
    listed = (
        ""
        if stored is None
        else f"store_rejects=true, rejects_table='rejected_{stored}', rejects_scan='scan_{stored}', "
        f"rejects_limit={MOST_REJECTED}, "
    )
    return (
        f"read_csv({path}, delim={quoted(export.separator)}, quote='\"', escape='\"', header=false, "
        f"skip={export.lines_before}, auto_detect=false, columns={{{columns}}}, ignore_errors=true, {listed}"
        "strict_mode=true, null_padding=false)"
    )


def _rejected(database: "DuckDBPyConnection", export: Export, stored: int | None, *, file: int) -> pd.DataFrame:
    """Rows that are not shaped like the header."""
    empty = pd.DataFrame({"file": [], "row": [], "text": [], "reason": []})
    if export.separator is None or stored is None:
        return empty
    rows: Any = database.execute(
        f"SELECT DISTINCT ON (line) line, left(csv_line, 200), error_type FROM rejected_{stored} ORDER BY line"
    ).fetchall()
    records = [
        {
            "file": file,
            "row": int(line) - export.lines_before + FIRST_ROW - 1,
            "text": text or "",
            "reason": f"is not a row like the header ({str(kind).lower()})",
        }
        for line, text, kind in rows
    ]
    return pd.DataFrame(records) if records else empty


def _count(database: "DuckDBPyConnection") -> int:
    row = database.execute("SELECT count(*) FROM lines").fetchone()
    return 0 if row is None else int(row[0])
