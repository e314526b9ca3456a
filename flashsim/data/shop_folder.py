"""A shop's own folder of tables, and the mapping that names its files and columns.

    mapping.yaml                                    FOLDER/
      name: Corner shop                               sales_data.csv       day,sku,qty,unit_price,promo,oos
      time_zone: Europe/Berlin                        visits.parquet       minute,visits
      currency: EUR
      sales_data:
        columns: {date: day, product_id: sku, sales: qty, price: unit_price, promotion: promo, stock_out: oos}
        scale: {price: 0.01}                          # cents in the file
      traffic_data: {file: visits.parquet, columns: {date: minute}}

There are four tables, and any of them may be missing: ``sales_data`` (one row a product and day), ``traffic_data`` (one
row a minute, or another tick of at most an hour), ``user_behavior`` (one row an event) and ``support_tickets``. A file
has the name of its table and ends in .csv (UTF-8, commas, a header) or .parquet, unless ``file`` gives another name.
``columns`` maps the names used here to the file's own names. Stamps without a zone are local time of ``time_zone``, or
of ``stamps`` if that is given; stamps with a zone are converted. Every cell is read as text, so that a message can show
an unusable cell as it is written. Rows are numbered like in a spreadsheet: the header is row 1.
"""

import csv
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, NamedTuple
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import pandas as pd
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

from flashsim.errors import InputError
from flashsim.files import is_file, is_folder, sha256
from flashsim.settings import nearest
from flashsim.shown import brief

COLUMNS: Final[Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]]] = {
    "sales_data": (
        ("date", "product_id", "sales", "price"),
        (
            *("promotion", "stock_out", "stock", "list_price", "unit_cost", "instrument"),
            *("product_name", "product_group"),
        ),
    ),
    "traffic_data": (("date", "visits"), ("clicks", "response_time_s")),
    "user_behavior": (("user_id", "timestamp", "item_id", "behavior"), ()),
    "support_tickets": (("text", "intent"), ("timestamp",)),
}
"""Columns of each table: the needed ones, then the optional ones."""
SUFFIXES: Final = (".csv", ".parquet")
MOST_COLUMNS: Final = 1000
"""A file with more is no table of a shop, and its reading would take minutes."""
FIRST_ROW: Final = 2
"""Number of the first row of data: the header is row 1."""


@dataclass(frozen=True)
class TableMapping:
    """How the file and columns of one table are named."""

    file: str | None = None
    """Name of the file within the folder; None: the table's own name with .csv or .parquet."""
    columns: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    """Name used here -> name in the file, where they differ."""
    scale: Mapping[str, float] = field(default_factory=lambda: MappingProxyType({}))
    """Factor of a column of numbers, such as .01 for a price in cents."""
    values: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    """Only user_behavior: word in the file -> behavior, such as pv: view."""
    servers: int | None = None
    """Only traffic_data: number of servers that answered; with response times it shows how fast they are."""


@dataclass(frozen=True)
class ShopMapping:
    """How a shop's tables are named and what their values mean."""

    name: str = "own shop"
    """What the shop is called in reports."""
    time_zone: str = "UTC"
    """IANA zone of the shop, in which its days and hours count."""
    stamps: str | None = None
    """IANA zone of stamps without a zone; None: ``time_zone``."""
    currency: str = "USD"
    """ISO 4217 code of prices and costs."""
    tables: Mapping[str, TableMapping] = field(default_factory=lambda: MappingProxyType({}))
    """The mapping of each table."""

    def __post_init__(self) -> None:
        """Check the zones."""
        for zone in (self.time_zone, self.stamps or "UTC"):
            try:
                ZoneInfo(zone)
            except (ZoneInfoNotFoundError, ValueError, OSError) as error:
                raise InputError(
                    f"unknown time zone {brief(zone)} in the mapping; use an IANA name such as 'Asia/Shanghai'"
                ) from error

    def of(self, table: str) -> TableMapping:
        """The mapping of ``table``."""
        return self.tables.get(table, TableMapping())


def read_mapping(raw: object, *, source: str) -> ShopMapping:
    """Read the mapping from the content of a YAML file. InputError names an unknown key with the nearest known one."""
    if raw is None:
        return ShopMapping()
    facts = _object(raw, what=source)
    known = ("name", "time_zone", "stamps", "currency")
    _check_keys(facts, (*known, *COLUMNS), what=source)
    tables = {table: _table_mapping(facts[table], table, source=source) for table in COLUMNS if table in facts}
    texts = {key: _text(facts[key], what=f"{source}: {key}") for key in known if facts.get(key) is not None}
    return ShopMapping(**texts, tables=tables)


def _table_mapping(raw: object, table: str, *, source: str) -> TableMapping:
    facts = _object(raw, what=f"{source}: {table}")
    needed, optional = COLUMNS[table]
    special = {"user_behavior": ("values",), "traffic_data": ("servers",)}.get(table, ())
    _check_keys(facts, ("file", "columns", "scale", *special), what=f"{source}: {table}")
    columns = _object(facts.get("columns") or {}, what=f"{source}: {table}.columns")
    _check_keys(columns, (*needed, *optional), what=f"{source}: {table}.columns")
    scale = _object(facts.get("scale") or {}, what=f"{source}: {table}.scale")
    _check_keys(scale, NUMBERS[table], what=f"{source}: {table}.scale")
    for column, factor in scale.items():
        if isinstance(factor, bool) or not isinstance(factor, int | float) or not 0.0 < factor < float("inf"):
            raise InputError(
                f"{source}: {table}.scale.{column}: expected a number above 0, got {brief(factor)}; correct it"
            )
    servers = facts.get("servers")
    if servers is not None and (isinstance(servers, bool) or not isinstance(servers, int) or servers < 1):
        raise InputError(
            f"{source}: {table}.servers: expected a whole number from 1 on, got {brief(servers)}; correct it"
        )
    values = _object(facts.get("values") or {}, what=f"{source}: {table}.values")
    return TableMapping(
        file=None if facts.get("file") is None else _text(facts["file"], what=f"{source}: {table}.file"),
        columns={ours: _text(theirs, what=f"{source}: {table}.columns.{ours}") for ours, theirs in columns.items()},
        scale={column: float(factor) for column, factor in scale.items()},
        values={theirs: str(ours) for theirs, ours in values.items()},
        servers=servers,
    )


NUMBERS: Final[Mapping[str, tuple[str, ...]]] = {
    "sales_data": ("sales", "price", "stock", "list_price", "unit_cost", "instrument"),
    "traffic_data": ("visits", "clicks", "response_time_s"),
    "user_behavior": (),
    "support_tickets": (),
}
"""Columns that hold numbers."""


class RawTable(NamedTuple):
    """A table as written: text, one column for each name used here."""

    name: str  # of the table
    path: Path
    cells: pd.DataFrame  # text, "" where empty; the index is the row number of a spreadsheet
    ragged: dict[int, tuple[str, str]]  # row number: the row as written, its error
    blank: int  # empty lines
    ignored: tuple[str, ...]  # columns that nothing reads

    @property
    def rows(self) -> int:
        """Rows of data in the file."""
        return len(self.cells) + len(self.ragged) + self.blank

    def checksum(self) -> str:
        """SHA-256 of the file."""
        return sha256(self.path)


def read_folder(folder: Path, mapping: ShopMapping) -> dict[str, RawTable]:
    """Read every table that ``folder`` holds. InputError when it holds none, or when one cannot be read."""
    if not is_folder(folder):
        raise InputError(f"data.folder: the folder {folder} does not exist; check the path")
    found = {}
    for table in COLUMNS:
        path = _find(folder, table, mapping.of(table))
        if path is not None:
            found[table] = _read(path, table, mapping.of(table))
    if not found:
        seen = sorted(path.name for path in folder.iterdir())[:8]
        wanted = ", ".join(f"{table}.csv" for table in COLUMNS)
        raise InputError(
            f"{folder} holds none of {wanted} (or .parquet), it holds {seen}; rename a file, or name it in a mapping "
            "file: sales_data: {file: NAME}, given as data.mapping=FILE"
        )
    return found


def _find(folder: Path, table: str, mapping: TableMapping) -> Path | None:
    if mapping.file is not None:
        path = folder / mapping.file
        if not is_file(path):
            raise InputError(f"{path}, which the mapping names for {table}, does not exist; correct the name")
        if path.suffix.lower() not in SUFFIXES:
            raise InputError(f"{path} must be a .csv or .parquet file; save it as one of them")
        return path
    paths = [folder / f"{table}{suffix}" for suffix in SUFFIXES if is_file(folder / f"{table}{suffix}")]
    if len(paths) > 1:
        raise InputError(f"{folder} holds {paths[0].name} and {paths[1].name}; keep one, or name it in the mapping")
    return paths[0] if paths else None


def _read(path: Path, table: str, mapping: TableMapping) -> RawTable:
    is_csv = path.suffix.lower() == ".csv"
    cells, ragged = _read_csv(path) if is_csv else (_read_parquet(path), {})
    needed, optional = COLUMNS[table]
    names = {ours: mapping.columns.get(ours, ours) for ours in (*needed, *optional)}
    for ours, theirs in names.items():
        if theirs not in cells.columns and (ours in needed or ours in mapping.columns):
            raise InputError(_missing(path, table, ours=ours, theirs=theirs, present=list(cells.columns)))
    ignored = tuple(column for column in cells.columns if column not in names.values())
    blank = (cells == "").all(axis=1) if is_csv else pd.Series(data=False, index=cells.index)
    kept = pd.DataFrame({ours: cells[theirs] for ours, theirs in names.items() if theirs in cells.columns})
    return RawTable(table, path, kept[~blank], ragged, int(blank.sum()), ignored)


def _missing(path: Path, table: str, *, ours: str, theirs: str, present: list[str]) -> str:
    hint = nearest(theirs, present, cutoff=0.75) or "YOUR_NAME"
    return (
        f"{path}: column {theirs!r} is missing, the table has {_some(present)}; say which one it is in a mapping file: "
        f"{table}: {{columns: {{{ours}: {hint}}}}}, given as data.mapping=FILE"
    )


def _read_csv(path: Path) -> tuple[pd.DataFrame, dict[int, tuple[str, str]]]:
    """Cells as text by row number, and the rows with too many or too few fields."""
    header = _header(path)
    ragged: dict[int, tuple[str, str]] = {}

    def keep_apart(row: Any) -> str:
        ragged[row.number] = (row.text, f"has {row.actual_columns} fields, the header has {row.expected_columns}")
        return "skip"

    try:
        read = pa_csv.read_csv(
            path,
            read_options=pa_csv.ReadOptions(use_threads=False, column_names=header, skip_rows=1),
            parse_options=pa_csv.ParseOptions(
                invalid_row_handler=keep_apart, newlines_in_values=True, ignore_empty_lines=False
            ),
            convert_options=pa_csv.ConvertOptions(column_types=dict.fromkeys(header, pa.string())),
        )
    except (OSError, ValueError, pa.ArrowException) as error:
        raise InputError(f"{path} cannot be read as a table ({_first_line(error)}); restore it") from error
    cells = read.to_pandas().astype(object).fillna("").astype(str)
    numbers = [number for number in range(FIRST_ROW, FIRST_ROW + len(cells) + len(ragged)) if number not in ragged]
    cells.index = pd.Index(numbers)
    if not len(cells):
        raise InputError(f"{path} has a header and no row that can be read; bring some rows")
    return cells.apply(lambda column: column.str.strip()), ragged


def _header(path: Path) -> list[str]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            header = [name.strip() for name in next(csv.reader(stream), [])]
            for _ in stream:
                pass
    except (OSError, csv.Error) as error:
        raise InputError(f"cannot read {path} ({error}); check the file") from error
    except UnicodeDecodeError as error:
        raise InputError(
            f"{path} is not UTF-8 (byte {error.object[error.start]:#x}); save it as UTF-8, in Excel as 'CSV UTF-8'"
        ) from error
    if not header or header == [""]:
        raise InputError(f"{path} is empty; it needs a header and rows")
    if len(header) == 1 and any(mark in header[0] for mark in ";\t|"):
        raise InputError(f"{path} is not separated by commas, its header is {brief(header[0])}; save it with commas")
    if len(header) > MOST_COLUMNS:
        raise InputError(f"{path} has {len(header):,} columns, at most {MOST_COLUMNS} are read; leave the others out")
    repeated = [name for name, times in Counter(header).items() if times > 1]
    if repeated:
        raise InputError(f"{path}: the header names {brief(repeated[0])} twice; rename one of the columns")
    return header


def _some(names: Sequence[str]) -> str:
    """The names of columns as a sentence tells them, the first ones of many."""
    return f"{list(names[:12])}" + (f" and {len(names) - 12} more" if len(names) > 12 else "")


def _read_parquet(path: Path) -> pd.DataFrame:
    try:
        table = pq.read_table(path).to_pandas()
    except (OSError, ValueError, pa.ArrowException) as error:
        raise InputError(f"{path} is not a Parquet file ({_first_line(error)}); restore it") from error
    if len(table.columns) > MOST_COLUMNS:
        raise InputError(
            f"{path} has {len(table.columns):,} columns, at most {MOST_COLUMNS} are read; leave others out"
        )
    if not len(table):
        raise InputError(f"{path} has no rows; bring some")
    cells = pd.DataFrame(
        {str(name): column.astype(object).where(column.notna(), "").astype(str) for name, column in table.items()}
    )
    cells.index = pd.RangeIndex(FIRST_ROW, FIRST_ROW + len(cells))
    return cells


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:200]


def _kind(raw: object) -> str:
    """What stands where keys are due; never the content, for the file may be another than was meant."""
    kinds = {
        str: "text",
        list: "a list",
        int: "a number",
        float: "a number",
        bool: "true or false",
        type(None): "nothing",
    }
    return kinds.get(type(raw), type(raw).__name__)


def _object(raw: object, *, what: str) -> dict[str, Any]:
    if not isinstance(raw, Mapping):
        raise InputError(
            f"{what}: expected keys and values, got {_kind(raw)}; write for instance columns: {{date: day}}"
        )
    return {str(key): value for key, value in raw.items()}


def _check_keys(facts: Mapping[str, Any], known: tuple[str, ...], *, what: str) -> None:
    for key in facts:
        if key not in known:
            near = nearest(key, known)
            hint = f"did you mean {near!r}?" if near else f"known are {', '.join(known)}"
            raise InputError(f"{what}: there is no key {brief(key)}; {hint}")


def _text(value: object, *, what: str) -> str:
    if not isinstance(value, str) or not value.strip():
        raise InputError(f"{what}: expected a text, got {brief(value)}; correct it")
    return value
