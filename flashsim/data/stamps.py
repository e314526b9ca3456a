"""Dates and stamps as people write them, on the shop's own clock.

    2026-11-11   2026/11/1   2026-11-11 20:00   2026-11-11T20:00:00Z   2026-11-11 20:00:00+08:00   1794398400 (epoch)

Years come first: 03/04/2026 could mean two days. What happens to

    a stamp with a zone, an epoch        converted to the shop's zone, with daylight saving
    a stamp without one                  taken as local time of the zone that the mapping names
    a column with both                   the rarer form is quarantined, because it is unclear which clock it meant
    an hour that the spring skips        quarantined: no clock of that zone ever showed it
    an hour that the autumn repeats      kept, both times: it is the same hour of the day
    a year that no shop has seen         quarantined (``FIRST_YEAR``, ``LAST_YEAR``)
    a stamp far from all others          quarantined: a clock that jumped, or a typing error (``LONGEST_SILENCE_DAYS``)

Left out: leap seconds, and clocks that are wrong by less than that.
"""

from typing import Final, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

LONGEST_SILENCE_DAYS: Final = 400
"""A stamp separated by more empty days than this from most rows of the table does not belong to it."""
FIRST_YEAR: Final = 1900
LAST_YEAR: Final = 2199
"""No shop sold in other years; stamps that count nanoseconds end in 2262."""
EXAMPLE: Final = "write 2026-11-11 or 2026-11-11 20:00:00"


_WRITTEN: Final = r"^([0-9]{4})[-/.]?([0-9]{1,2})[-/.]?([0-9]{1,2})(?:[T ]+(.*?))?\s*(Z|[+-][0-9]{2}:?[0-9]{2})?$"
_LAST_SECOND: Final = pd.Timestamp(LAST_YEAR + 1, 1, 1).timestamp()


class Stamps(NamedTuple):
    """A column of stamps on the shop's clock."""

    local: pd.Series  # datetime64[ns], without a zone; NaT where unusable
    reasons: pd.Series  # text; why it is unusable, "" where it is usable
    happens_twice: NDArray[np.bool_]  # in the hour that the autumn repeats


def read_stamps(text: pd.Series, *, time_zone: str, naive_zone: str) -> Stamps:
    """Read stamps from ``text`` on the clock of ``time_zone``; stamps without a zone are in ``naive_zone``."""
    reasons = pd.Series("", index=text.index, dtype=object)
    epoch = text.str.fullmatch(r"[0-9]{9,10}|[0-9]{12,13}").to_numpy(dtype=bool)
    parts = text.str.extract(_WRITTEN).fillna("")
    date = parts[0] + "-" + parts[1].str.zfill(2) + "-" + parts[2].str.zfill(2)
    has_zone = (parts[4] != "").to_numpy()
    year = pd.to_numeric(parts[0]).to_numpy(np.float64)
    outside = ~epoch & ((year < FIRST_YEAR) | (year > LAST_YEAR))
    reasons[outside] = f"lies outside the years {FIRST_YEAR} to {LAST_YEAR}"
    is_written = ~epoch & ~outside & (parts[0] != "").to_numpy()
    local = pd.Series(pd.NaT, index=text.index, dtype="datetime64[ns]")

    aware, naive = is_written & has_zone, is_written & ~has_zone
    if aware.any() and naive.any():
        rare, words = (naive, "has no time zone") if naive.sum() <= aware.sum() else (aware, "has a time zone")
        reasons[rare] = f"{words}, unlike most rows: write all of them one way"
        aware, naive = aware & ~rare, naive & ~rare
    clock = date + parts[3].where(parts[3] == "", "T" + parts[3])
    local[aware] = _to_local(_parse(clock[aware] + parts[4][aware], utc=True), time_zone)
    local[epoch] = _to_local(_from_epoch(text[epoch]), time_zone)
    if naive.any():
        written = _parse(clock[naive], utc=False)
        has_clock = (parts[3][naive] != "").to_numpy()
        missing, twice = _odd_hours(written, naive_zone)
        skipped = missing & has_clock
        reasons.iloc[np.flatnonzero(naive)[skipped]] = f"does not exist in {naive_zone}: clocks went forward there"
        written = written.mask(skipped)
        if naive_zone != time_zone:
            moved = _to_local(written.dt.tz_localize(naive_zone, ambiguous=twice, nonexistent="NaT"), time_zone)
            written = moved.where(has_clock, written)  # a day without a clock is the shop's own day
        local[naive] = written
    local = local.astype("datetime64[ns]")
    reasons[(text == "").to_numpy()] = "is empty"
    unread = (local.isna() & (reasons == "")).to_numpy()
    reasons[unread] = f"is not a date that can be read: {EXAMPLE}"
    return _without_strays(Stamps(local, reasons, _odd_hours(local, time_zone)[1]))


def _parse(text: pd.Series, *, utc: bool) -> pd.Series:
    return pd.Series(pd.to_datetime(text, format="ISO8601", errors="coerce", utc=utc), index=text.index)


def _from_epoch(text: pd.Series) -> pd.Series:
    seconds = text.astype(np.float64)
    seconds = seconds.where(seconds < 1e11, seconds / 1e3)
    seconds = seconds.where(seconds < _LAST_SECOND)
    return pd.to_datetime(seconds, unit="s", utc=True)


def _to_local(stamps: pd.Series, time_zone: str) -> pd.Series:
    return stamps.dt.tz_convert(time_zone).dt.tz_localize(None).astype("datetime64[ns]")


def _odd_hours(stamps: pd.Series, zone: str) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Stamps that the zone's clocks skipped, and stamps that they showed twice."""
    read = stamps.notna().to_numpy()
    first, second = (
        stamps.dt.tz_localize(zone, nonexistent="NaT", ambiguous=np.full(len(stamps), is_summer))
        for is_summer in (True, False)
    )
    missing = first.isna().to_numpy() & read
    twice = (first != second).to_numpy() & read & ~missing
    return missing, twice


def _without_strays(stamps: Stamps) -> Stamps:
    """Give a reason to the stamps that lie far from most rows of the table."""
    days = stamps.local.dt.normalize()
    seen = np.sort(days.dropna().unique())
    if seen.size < 2:
        return stamps
    silences = np.diff(seen) / np.timedelta64(1, "D")
    era = np.concatenate([[0], np.cumsum(silences > LONGEST_SILENCE_DAYS)])
    if era[-1] == 0:
        return stamps
    of_row = np.where(days.notna(), era[np.searchsorted(seen, days.fillna(seen[0]))], -1)
    bulk = np.bincount(of_row[of_row >= 0]).argmax()
    stray = (of_row >= 0) & (of_row != bulk)
    low, high = seen[era == bulk][[0, -1]]
    reasons, local = stamps.reasons.copy(), stamps.local.copy()
    reasons[stray] = (
        f"lies more than {LONGEST_SILENCE_DAYS} days from the other rows ({str(low)[:10]} to {str(high)[:10]}): "
        "a clock that jumped, or a typing error"
    )
    local[stray] = pd.NaT
    return Stamps(local, reasons, stamps.happens_twice)
