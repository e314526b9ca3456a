"""Visits and response times by the minute: a shop's `traffic_data`, checked and put on a clock without gaps.

    from pathlib import Path
    from flashsim.data.traffic import read_traffic, visits_by_minute
    series = visits_by_minute(read_traffic(Path("traffic_data.csv")))
    series.visits, series.account.sentences()

The table has one row a minute: date (a stamp without a zone, best in UTC), visits, and optionally clicks and
response_time_s (mean seconds from request to answer). ``columns`` maps other spellings. What happens to

    a minute without a row          kept as missing (NaN) and counted; refused above ``MOST_MISSING`` of all minutes
    visits that are empty (NaN)     the same
    a minute twice, equal values    merged and counted
    a minute twice, other values    refused: as after clocks went back; give UTC stamps or merge them yourself
    stamps that run backwards       refused, for the same reason (a clock that jumps forward leaves missing minutes)
    negative, infinite visits       refused
    nothing but zeros               refused
    fewer than ``LEAST_DAYS`` days  refused, because a profile of the day needs some days

Rows are counted from 0. Left out: visits by source or page, and ticks other than a minute.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
import pandas as pd
import pandera.pandas as pa
from numpy.typing import NDArray

from flashsim.data.schemas import validate
from flashsim.errors import InputError
from flashsim.files import is_file

LEAST_DAYS: Final = 3.0
"""A series must span this many days before anything is fitted on it."""
MOST_MISSING: Final = 0.2
"""Largest share of missing minutes."""
MINUTES_A_DAY: Final = 1440

TRAFFIC: Final = pa.DataFrameSchema(
    {
        "date": pa.Column("datetime64[ns]", description="start of the tick, without a zone; UTC is best"),
        "visits": pa.Column(float, [pa.Check.ge(0.0), pa.Check.lt(1e12)], nullable=True, description="in the tick"),
    },
    name="traffic_data",
)
OPTIONAL_COLUMNS: Final = {
    "clicks": pa.Column(float, [pa.Check.ge(0.0), pa.Check.lt(1e12)], nullable=True, description="in the tick"),
    "response_time_s": pa.Column(
        float, [pa.Check.ge(0.0), pa.Check.lt(1e6)], nullable=True, description="mean, from request to answer"
    ),
}
WORLD_CUP_COLUMNS: Final = {"date": "period", "visits": "count"}
"""Names in the table of requests of the 1998 World Cup site."""


@dataclass(frozen=True)
class TrafficAccount:
    """What was read and what happened to it; every row that leaves has an entry."""

    rows: int
    """Rows of the table."""
    minutes: int
    """Minutes of the series, from the first stamp to the last."""
    merged: int
    """Rows that repeated another row exactly."""
    absent: int
    """Minutes without a row."""
    empty: int
    """Minutes whose row holds no number of visits."""
    longest_gap_minutes: int
    """Largest number of missing minutes in a row."""

    def sentences(self) -> tuple[str, ...]:
        """The same in words."""
        return (
            f"{self.rows} rows read, {self.minutes} minutes from the first to the last",
            f"{self.merged} rows repeated another exactly and were merged",
            f"{self.absent + self.empty} minutes are missing ({self.absent} without a row, {self.empty} empty), "
            f"at most {self.longest_gap_minutes} in a row",
        )


class MinuteSeries(NamedTuple):
    """Visits of consecutive minutes."""

    start: pd.Timestamp  # first minute
    visits: NDArray[np.float64]  # minute; NaN where missing
    account: TrafficAccount

    def index_of(self, stamp: str | pd.Timestamp) -> int:
        """Position of a minute in the series. InputError when it lies outside."""
        place = int((pd.Timestamp(stamp) - self.start) / pd.Timedelta(minutes=1))
        if not 0 <= place < self.visits.size:
            last = self.start + pd.Timedelta(minutes=self.visits.size - 1)
            raise InputError(f"{stamp} is outside the series, which runs from {self.start} to {last}; choose within")
        return place


def read_traffic(path: Path, *, columns: Mapping[str, str] | None = None) -> pd.DataFrame:
    """Read the table from a CSV or Parquet file; ``columns`` maps the names used here to the file's own names.

    InputError when the file cannot be read, or a row breaks the schema.
    """
    path = Path(path)
    if not is_file(path):
        raise InputError(f"{path} does not exist; check the path")
    names = dict(columns or {})
    try:
        raw = pd.read_parquet(path) if path.suffix == ".parquet" else pd.read_csv(path)
    except (OSError, ValueError, UnicodeDecodeError) as error:
        raise InputError(f"{path} cannot be read as a table ({str(error).splitlines()[0]}); restore it") from error
    absent = [name for name in names.values() if name not in raw.columns]
    if absent:
        raise InputError(f"{path} has no column {absent[0]!r}, it has {list(map(str, raw.columns))}; correct the names")
    return checked_traffic(raw.rename(columns={theirs: ours for ours, theirs in names.items()}), source=str(path))


def checked_traffic(table: pd.DataFrame, *, source: str = "traffic_data") -> pd.DataFrame:
    """Check ``table`` and return its known columns as numbers and stamps. InputError names what breaks the schema."""
    if len(table) == 0:
        raise InputError(f"{source} is empty; bring at least {LEAST_DAYS:g} days of minutes")
    extra = {name: column for name, column in OPTIONAL_COLUMNS.items() if name in table.columns}
    changed = {name: _numbers(table[name], name, source=source) for name in ("visits", *extra) if name in table}
    if "date" in table.columns:
        changed["date"] = _stamps(table["date"], source=source)
    return validate(table.assign(**changed), TRAFFIC.add_columns(extra), source=source)


def visits_by_minute(table: pd.DataFrame, *, least_days: float = LEAST_DAYS) -> MinuteSeries:
    """Visits of a checked table on consecutive minutes; the module's docstring lists the outcomes."""
    table = checked_traffic(table)
    stamps = table["date"].dt.floor("min")
    _refuse_backwards(stamps)
    minute = ((stamps - stamps.iloc[0]) / pd.Timedelta(minutes=1)).to_numpy().astype(np.int64)
    merged = table.loc[~_exact_repeats(minute, table["visits"].to_numpy()), "visits"].to_numpy(np.float64)
    places, size = np.unique(minute), int(minute[-1]) + 1
    if size < least_days * MINUTES_A_DAY:
        raise InputError(
            f"the table spans {size / MINUTES_A_DAY:.2f} days, at least {least_days:g} are needed to fit; bring more"
        )
    step = float(np.median(np.diff(places)))
    if step != 1.0:
        raise InputError(f"rows are {step:g} minutes apart, expected one row a minute; bring the finer table")
    absent, empty = size - places.size, int(np.isnan(merged).sum())
    if absent + empty > MOST_MISSING * size:
        raise InputError(
            f"{(absent + empty) / size:.0%} of the minutes are missing, at most {MOST_MISSING:.0%} may be; "
            "bring a fuller table"
        )
    visits = np.full(size, np.nan)
    visits[places] = merged
    if not (merged > 0.0).any():
        raise InputError("all visits are 0, so there is nothing to learn; check that the right column is read")
    account = TrafficAccount(
        rows=len(table),
        minutes=size,
        merged=len(table) - places.size,
        absent=absent,
        empty=empty,
        longest_gap_minutes=_longest_run(np.isnan(visits)),
    )
    return MinuteSeries(stamps.iloc[0], visits, account)


def _numbers(column: pd.Series, name: str, *, source: str) -> pd.Series:
    try:
        return pd.to_numeric(column).astype(np.float64)
    except (ValueError, TypeError, OverflowError) as error:
        raise InputError(f"{source}: column {name!r} is not numeric ({error}); correct the table") from error


def _stamps(column: pd.Series, *, source: str) -> pd.Series:
    try:
        stamps = pd.to_datetime(column)
    except (ValueError, TypeError) as error:
        raise InputError(
            f"{source}: column 'date' does not hold stamps ({error}); write 2026-11-11 20:00:00"
        ) from error
    if not pd.api.types.is_datetime64_dtype(stamps):
        raise InputError(f"{source}: column 'date' holds {stamps.dtype}; give stamps in UTC without a zone")
    try:
        return stamps.astype("datetime64[ns]")
    except pd.errors.OutOfBoundsDatetime as error:
        raise InputError(
            f"{source}: column 'date' holds a stamp that no shop has seen ({error}); correct it"
        ) from error


def _refuse_backwards(stamps: pd.Series) -> None:
    back = (stamps.diff() < pd.Timedelta(0)).to_numpy()
    if back.any():
        row = int(back.argmax())
        raise InputError(
            f"the clock jumps back in row {row}, from {stamps.iloc[row - 1]} to {stamps.iloc[row]}; "
            "give stamps in UTC, in order"
        )


def _exact_repeats(minute: NDArray[np.int64], visits: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Rows (sorted by minute) that repeat the row before. InputError where only the minute is the same."""
    again = np.diff(minute, prepend=minute[0] - 1) == 0
    before = np.roll(visits, 1)
    same = (visits == before) | (np.isnan(visits) & np.isnan(before))
    bad = again & ~same
    if bad.any():
        row = int(bad.argmax())
        raise InputError(
            f"row {row} repeats the minute of the row before with {visits[row]:g} visits instead of {before[row]:g}; "
            "merge the two, or give stamps in UTC"
        )
    return again


def _longest_run(flags: NDArray[np.bool_]) -> int:
    edges = np.flatnonzero(np.diff(np.concatenate([[False], flags, [False]]).astype(np.int8)))
    return int((edges[1::2] - edges[::2]).max()) if edges.size else 0
