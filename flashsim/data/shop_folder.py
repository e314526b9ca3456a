"""A shop's own folder of tables, and the mapping that names its files and columns.

    mapping.yaml                                    FOLDER/
      name: Corner shop                               sales_data.csv       day,sku,qty,unit_price,promo,oos
      time_zone: Europe/Berlin                        visits.parquet       minute,visits
      currency: EUR
      sales_data:
        columns: {date: day, product_id: sku, sales: qty, price: unit_price, promotion: promo, stock_out: oos}
        scale: {price: 0.01}                          # cents in the file
      traffic_data: {file: visits.parquet, columns: {date: minute}}

There are six tables, and any of them may be missing: ``orders`` (one row an order line, :mod:`flashsim.data.orders`),
``sales_data`` (one row a product and day) instead of it, ``traffic_data`` (one row a minute, or another tick of at most
an hour), ``user_behavior`` (one row an event), ``support_tickets`` and ``events`` (one row a product of a past flash
sale). A file has the name of its table and one of the endings ``SUFFIXES``, unless ``file`` gives another name.
``columns`` maps the names used here to the file's own names. Stamps without a zone are local time of ``time_zone``, or
of ``stamps`` if that is given; stamps with a zone are converted. Separator, encoding, decimal mark and order of dates
are detected and told, or stated by ``format`` (:mod:`flashsim.data.exports`). Rows are numbered like in a spreadsheet:
the header is row 1.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, NamedTuple
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import pandas as pd

from flashsim.data.exports.dates import DateFormat, detect_dates
from flashsim.data.exports.formats import FORMAT_KEYS, Format, read_format
from flashsim.data.exports.layout import some
from flashsim.data.exports.numbers import NumberFormat, detect_numbers
from flashsim.data.exports.snapshot import SUFFIXES, check_inside, ending, take_snapshot
from flashsim.data.exports.steps import STEPS
from flashsim.data.exports.tables import read_cells
from flashsim.data.orders.options import NUMBER_COLUMNS, OPTION_KEYS, ORDER_COLUMNS, OrderOptions, read_options
from flashsim.errors import InputError
from flashsim.files import is_file, is_folder
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
    "events": (
        ("product_id", "opening", "units_offered", "units_sold", "price"),
        ("list_price", "sell_out", "visitors"),
    ),
}
"""Columns of each table: the needed ones, then the optional ones."""
ORDERS: Final = "orders"
STAMPS: Final = ("date", "timestamp", "opening")
"""Columns that say when, of which a table has one at most."""


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
    format: Format = field(default_factory=Format)
    """How the file is written, where that is not to be detected."""
    steps: str = STEPS[0]
    """Only sales_data and orders: how far apart rows are (:mod:`flashsim.data.exports.steps`)."""
    orders: OrderOptions = field(default_factory=OrderOptions)
    """Only orders."""


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
    format: Format = field(default_factory=Format)
    """How all files are written, where a table does not say otherwise."""
    stated: frozenset[str] = frozenset()
    """Names of the fields that were given."""
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

    def with_orders(self, *, preset: str | None, stores: str | None, currency: str | None) -> "ShopMapping":
        """The same mapping, with what is given of how orders are read."""
        given = {
            "preset": preset,
            "stores": None if stores is None else (stores,),
            "currencies": None if currency is None else (currency.upper(),),
        }
        changes: dict[str, Any] = {key: value for key, value in given.items() if value is not None}
        if not changes:
            return self
        table = self.of(ORDERS)
        return replace(self, tables={**self.tables, ORDERS: replace(table, orders=replace(table.orders, **changes))})

    def format_of(self, table: str) -> Format:
        """How the file of ``table`` is written."""
        return self.of(table).format.over(self.format)


def read_mapping(raw: object, *, source: str) -> ShopMapping:
    """Read the mapping from the content of a YAML file. InputError names an unknown key with the nearest known one."""
    if raw is None:
        return ShopMapping()
    facts = _object(raw, what=source)
    known = ("name", "time_zone", "stamps", "currency")
    _check_keys(facts, (*known, "format", ORDERS, *COLUMNS), what=source)
    tables = {
        table: _table_mapping(facts[table], table, source=source) for table in (ORDERS, *COLUMNS) if table in facts
    }
    texts = {key: _text(facts[key], what=f"{source}: {key}") for key in known if facts.get(key) is not None}
    style = _format(facts.get("format"), what=f"{source}: format")
    return ShopMapping(**texts, format=style, stated=frozenset(texts), tables=tables)


def _format(raw: object, *, what: str) -> Format:
    facts = _object(raw or {}, what=what)
    _check_keys(facts, FORMAT_KEYS, what=what)
    return read_format(facts, what=what)


def _table_mapping(raw: object, table: str, *, source: str) -> TableMapping:
    facts = _object(raw, what=f"{source}: {table}")
    needed, optional = COLUMNS.get(table, ((), ORDER_COLUMNS))
    _check_keys(facts, ("file", "columns", "scale", "format", *_SPECIAL.get(table, ())), what=f"{source}: {table}")
    columns = _object(facts.get("columns") or {}, what=f"{source}: {table}.columns")
    if table == ORDERS and "sales" in columns:  # as a mapping of sales_data calls it
        columns = {"quantity" if ours == "sales" else ours: theirs for ours, theirs in columns.items()}
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
    steps = facts.get("steps", STEPS[0])
    if steps not in STEPS:
        raise InputError(f"{source}: {table}.steps: expected one of {', '.join(STEPS)}, got {brief(steps)}; correct it")
    return TableMapping(
        file=None if facts.get("file") is None else _text(facts["file"], what=f"{source}: {table}.file"),
        columns={ours: _text(theirs, what=f"{source}: {table}.columns.{ours}") for ours, theirs in columns.items()},
        scale={column: float(factor) for column, factor in scale.items()},
        values={theirs: str(ours) for theirs, ours in values.items()},
        servers=servers,
        format=_format(facts.get("format"), what=f"{source}: {table}.format"),
        steps=str(steps),
        orders=read_options({key: facts[key] for key in OPTION_KEYS if key in facts}, what=f"{source}: {table}"),
    )


_SPECIAL: Final[Mapping[str, tuple[str, ...]]] = {
    "user_behavior": ("values",),
    "traffic_data": ("servers",),
    "sales_data": ("steps",),
    ORDERS: ("steps", *OPTION_KEYS),
}
"""Keys that one table alone has."""
NUMBERS: Final[Mapping[str, tuple[str, ...]]] = {
    "sales_data": ("sales", "price", "stock", "list_price", "unit_cost", "instrument"),
    "traffic_data": ("visits", "clicks", "response_time_s"),
    "user_behavior": (),
    "support_tickets": (),
    "events": ("units_offered", "units_sold", "price", "list_price", "visitors"),
    ORDERS: NUMBER_COLUMNS,
}
"""Columns that hold numbers."""


class Style(NamedTuple):
    """How the file of a table writes its cells, and which rows it holds twice."""

    numbers: NumberFormat
    dates: DateFormat
    told: tuple[str, ...]  # what was detected, a phrase each
    repeats: pd.Series  # by row: whether it equals an earlier one in every column of the file


class RawTable(NamedTuple):
    """A table as written: text, one column for each name used here."""

    name: str  # of the table
    path: Path
    cells: pd.DataFrame  # text, "" where empty; the index is the row number of a spreadsheet
    ragged: dict[int, tuple[str, str]]  # row number: the row as written, its error
    blank: int  # empty lines
    ignored: tuple[str, ...]  # columns that nothing reads
    sha256: str  # of the file
    style: Style

    @property
    def rows(self) -> int:
        """Rows of data in the file."""
        return len(self.cells) + len(self.ragged) + self.blank


def read_folder(folder: Path, mapping: ShopMapping, *, scratch: Path) -> dict[str, RawTable]:
    """Read every table that ``folder`` holds, but for its orders; copies go to ``scratch``. InputError when one cannot
    be read."""
    found = {}
    for table in COLUMNS:
        path = _find(folder, table, mapping.of(table))
        if path is not None:
            found[table] = _read(path, table, mapping, scratch=scratch)
    return found


def find_orders(folder: Path, mapping: ShopMapping) -> list[Path]:
    """The files of order lines in ``folder``, by name; none where it has none.

    InputError when the folder does not exist, and when it is unclear which files they are.
    """
    if not is_folder(folder):
        raise InputError(f"data.folder: the folder {folder} does not exist; check the path")
    spelled = mapping.of(ORDERS)
    if spelled.file is not None and "*" in spelled.file:
        paths = sorted(path for path in folder.iterdir() if fnmatchcase(path.name, spelled.file) and is_file(path))
        if not paths:
            raise InputError(f"{folder} holds no file {brief(spelled.file)}, which the mapping names for orders")
        for path in paths:
            check_inside(path, folder)
            _check_ending(path)
        return paths
    taken = {mapping.of(table).file for table in COLUMNS}
    found = _find(folder, ORDERS, spelled)
    if found is not None and found.name not in taken:
        return [found]
    if ORDERS not in mapping.tables:
        return []
    others = [
        path
        for path in sorted(folder.iterdir())
        if ending(path) and is_file(path) and path.name not in taken and path.name.split(".")[0] not in COLUMNS
    ]
    if len(others) == 1:
        check_inside(others[0], folder)
        return others
    seen = some([path.name for path in others]) if others else "none that ends in " + ", ".join(SUFFIXES)
    raise InputError(
        f"{folder}: of which file are the orders? It holds {seen}; name it in the mapping: orders: {{file: "
        f"NAME}}, where "
        "'orders_*.csv' means all such files"
    )


def refuse_nothing(folder: Path) -> InputError:
    """What to say of a folder that holds no table."""
    seen = sorted(path.name for path in folder.iterdir())[:8]
    wanted = ", ".join(f"{table}.csv" for table in (ORDERS, *COLUMNS))
    return InputError(
        f"{folder} holds none of {wanted} (or {', '.join(SUFFIXES[1:])}), it holds {seen}; rename a file, or name "
        f"it in a "
        "mapping file: orders: {file: NAME}, given as data.mapping=FILE, or choose data.preset=shopify"
    )


def _find(folder: Path, table: str, mapping: TableMapping) -> Path | None:
    if mapping.file is not None:
        path = folder / mapping.file
        check_inside(path, folder)
        if not is_file(path):
            raise InputError(f"{path}, which the mapping names for {table}, does not exist; correct the name")
        _check_ending(path)
        return path
    paths = [folder / f"{table}{suffix}" for suffix in SUFFIXES if is_file(folder / f"{table}{suffix}")]
    if len(paths) > 1:
        raise InputError(f"{folder} holds {paths[0].name} and {paths[1].name}; keep one, or name it in the mapping")
    for path in paths:
        check_inside(path, folder)
    return paths[0] if paths else None


def _check_ending(path: Path) -> None:
    if not ending(path):
        raise InputError(f"{path} must end in {', '.join(SUFFIXES)}; save it as one of them")


def _read(path: Path, table: str, mapping: ShopMapping, *, scratch: Path) -> RawTable:
    """The cells of a table's file, and how it writes numbers and dates."""
    spelled, style = mapping.of(table), mapping.format_of(table)
    needed, optional = COLUMNS[table]
    names = {ours: spelled.columns.get(ours, ours) for ours in (*needed, *optional)}
    snapshot = take_snapshot(path, scratch, encoding=style.encoding, sheet=style.sheet)
    cells = read_cells(snapshot, separator=style.separator, wanted=tuple(names.values()))
    text = cells.text
    for ours, theirs in names.items():
        if theirs not in text.columns and (ours in needed or ours in spelled.columns):
            raise InputError(_missing(path, table, ours=ours, theirs=theirs, present=list(text.columns)))
    ignored = tuple(column for column in text.columns if column not in names.values())
    blank = pd.Series(data=False, index=text.index) if snapshot.is_parquet else (text == "").all(axis=1)
    kept = pd.DataFrame({ours: text[theirs] for ours, theirs in names.items() if theirs in text.columns})[~blank]
    numbers = detect_numbers(
        {names[ours]: pd.Series(kept[ours].unique()) for ours in kept.columns if ours in NUMBERS[table]},
        decimal=style.decimal,
        what=str(path),
        key=table,
    )
    dated = next((kept[column] for column in STAMPS if column in kept.columns), pd.Series(dtype=str))
    dates = detect_dates(pd.Series(dated.unique(), dtype=str), stated=style.date, what=str(path), key=table)
    told = (*cells.told, *numbers.told, *dates.told)
    repeats = pd.Series(cells.repeats, index=text.index)[~blank]
    style_found = Style(numbers, dates, told, repeats)
    return RawTable(table, path, kept, cells.ragged, int(blank.sum()), ignored, snapshot.sha256, style_found)


def _missing(path: Path, table: str, *, ours: str, theirs: str, present: list[str]) -> str:
    hint = nearest(theirs, present, cutoff=0.75) or "YOUR_NAME"
    return (
        f"{path}: column {theirs!r} is missing, the table has {some(present)}; say which one it is in a mapping file: "
        f"{table}: {{columns: {{{ours}: {hint}}}}}, given as data.mapping=FILE"
    )


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
