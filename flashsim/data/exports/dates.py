"""Dates as people write them, as 2026-11-11T20:00: the order of day, month and year is a fact of a whole column.

    05/01/2026  5.1.26 8:15  1/5/2026 8:15 PM    the order in which *every* date of the column exists: 13/01 settles it
    5 Jan 2026  Jan 5, 2026  5. Januar 2026      by the name of the month
    2026年1月5日 20:15                            year, month, day
    2026-W02  2026-01  2026年1月                  a week from its Monday, a month from its first day
    46027  46027.84                              days as Excel counts them, where most cells are so

A column whose dates can all be read in two orders is asked for: nothing guesses. ``format: {date: "%d/%m/%Y"}`` states
how dates are written, in the signs of strptime; where it is no more than an order of day, month and year, a time of day
may follow. Cells that do not fit stay as they are, and are set apart where they are read (:mod:`flashsim.data.stamps`).
"""

import re
from typing import Final, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from flashsim.errors import InputError

MONTHS: Final = {
    **{
        name: number
        for number, name in enumerate(
            ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"], start=1
        )
    },
    "mär": 3,
    "mrz": 3,
    "mai": 5,
    "okt": 10,
    "dez": 12,
    "fév": 2,
    "avr": 4,
    "aoû": 8,
    "déc": 12,
    "ene": 1,
    "abr": 4,
    "ago": 8,
    "dic": 12,
    "gen": 1,
    "mag": 5,
    "giu": 6,
    "lug": 7,
    "set": 9,
    "ott": 10,
    "fev": 2,
}
"""The first three letters of a month, in English, German, French, Spanish, Italian and Portuguese."""
ORDERS: Final = {"dmy": "day/month/year", "mdy": "month/day/year", "ymd": "year/month/day"}
_SHORT: Final = r"^([0-9]{1,2})[-/.]([0-9]{1,2})[-/.]([0-9]{4}|[0-9]{2})(?:(?:T|,?\s+)(.*))?$"
_CHINESE: Final = r"^([0-9]{4})年([0-9]{1,2})月(?:([0-9]{1,2})[日号])?\s*(.*)$"
_NAMED: Final = (
    r"^(?:[^\W0-9]{2,10}\.?,?\s+)?([0-9]{1,2})(?:st|nd|rd|th|\.)?[\s-]+(?:de\s+)?([^\W0-9]{3,10})\.?,?[\s-]+(?:de\s+)?([0-9]{4})"
    r"(?:(?:T|,?\s+)(.*))?$"
)
_NAMED_FIRST: Final = (
    r"^(?:[^\W0-9]{2,10}\.?,?\s+)?([^\W0-9]{3,10})\.?\s+([0-9]{1,2})(?:st|nd|rd|th)?,?\s+([0-9]{4})"
    r"(?:(?:T|,?\s+)(.*))?$"
)
_CLOCK: Final = (
    r"^(?:at\s+|um\s+)?([上下]午)?\s*([0-9]{1,2})(?:[:时.h]([0-9]{2}))?(?:[:分]([0-9]{2})(?:[.,][0-9]+)?)?[分秒]?\s*([AaPp]\.?[Mm]\.?)?"
    r"\s*(?:Uhr)?\s*(Z|UTC|GMT|[+-][0-9]{2}:?[0-9]{2})?$"
)
_WEEK: Final = r"^([0-9]{4})-?W([0-9]{1,2})$"
_MONTH: Final = r"^([0-9]{4})[-/]([0-9]{1,2})$"
_SERIAL: Final = r"^[345][0-9]{4}(?:\.[0-9]+)?$"
_ISO: Final = r"^[0-9]{4}(?:([-/.])[0-9]{1,2}\1[0-9]{1,2}|[0-9]{4})(?:[T ].*)?$"
MOST_YEARS: Final = 12
"""Most different years of a column; a place with more different numbers holds no years."""
MOST_CONTRADICTING: Final = 0.05
"""Largest share of dates that exist in one order alone and contradict the order of the others."""


class DateFormat(NamedTuple):
    """How a column writes dates."""

    order: str | None = None  # of dmy, mdy, ymd; None: no date of the column needs one
    stated: str | None = None  # in the signs of strptime
    is_serial: bool = False
    told: tuple[str, ...] = ()


def check_date_format(stated: str, *, what: str) -> str:
    """A format as a mapping states it; InputError unless it can tell a day."""
    try:
        moment = pd.Timestamp(2026, 11, 12, 20, 30)
        again = pd.to_datetime(moment.strftime(stated), format=stated)
    except (ValueError, re.error) as error:
        raise InputError(
            f"{what}: {stated!r} is no format of dates ({error}); write for instance '%d/%m/%Y'"
        ) from error
    if again.normalize().tz_localize(None) != moment.normalize():
        raise InputError(f"{what}: {stated!r} does not tell day, month and year; write for instance '%d/%m/%Y'")
    return stated


def detect_dates(cells: pd.Series, *, stated: str | None, what: str, key: str) -> DateFormat:
    """How the distinct ``cells`` of a column write dates; InputError, which names ``key``, where nothing decides."""
    if stated is not None:
        short = re.fullmatch(r"%([dmyY])([-/.])%([dmyY])\2%([dmyY])", stated)
        order = "" if short is None else (short[1] + short[3] + short[4]).lower()
        return DateFormat(order) if order in ORDERS and order != "ymd" else DateFormat(stated=stated)
    filled = cells[cells != ""]
    if len(filled) and filled.str.fullmatch(_SERIAL).mean() > 0.5:
        return DateFormat(is_serial=True, told=("dates are Excel's numbers of days",))
    parts = filled.str.extract(_SHORT).dropna(subset=[0])
    if not len(parts) or filled.str.match(_ISO).sum() > len(parts):
        return DateFormat()
    first, second, third = (parts[place].astype(int) for place in range(3))
    may_be_years = (parts[2].str.len() == 2).to_numpy() & (first.nunique() <= MOST_YEARS)
    readable = {
        "dmy": (first <= 31) & (second <= 12) & (first >= 1) & (second >= 1),
        "mdy": (first <= 12) & (second <= 31) & (first >= 1) & (second >= 1),
        "ymd": pd.Series(may_be_years, index=first.index)
        & (second <= 12)
        & (third <= 31)
        & (third >= 1)
        & (second >= 1),
    }
    any_order = readable["dmy"] | readable["mdy"] | readable["ymd"]
    if not any_order.any():
        return DateFormat()
    misses = {order: int((any_order & ~reads).sum()) for order, reads in readable.items()}
    alone = max(misses.values())
    fits = [order for order, count in misses.items() if count <= MOST_CONTRADICTING * alone]
    example = filled.loc[parts.index[0]]
    if len(fits) == 1:
        settling = filled.loc[first.index[_settles(readable, fits[0])][:1]]
        return DateFormat(fits[0], told=(f"dates are {ORDERS[fits[0]]} ({', '.join(settling)} has no other reading)",))
    if not fits:
        raise InputError(
            f"{what}: some dates exist as day/month alone and others as month/day alone; bring the column written one "
            "way, or split the file"
        )
    ways = " and ".join(ORDERS[order] for order in fits)
    codes = " or ".join(f"'{_code(order, example)}'" for order in fits)
    raise InputError(
        f"{what}: every date, such as {example!r}, can be read as {ways}; state which in the mapping: "
        f"{key}: {{format: {{date: {codes}}}}}"
    )


def _code(order: str, example: str) -> str:
    """The order in the signs of strptime, spelled like ``example``."""
    year, mark = ("%Y" if re.search("[0-9]{4}", example) else "%y"), re.sub("[0-9]", "", example)[0]
    return mark.join(f"%{sign}" if sign != "y" else year for sign in order)


def _settles(readable: dict[str, pd.Series], order: str) -> NDArray[np.bool_]:
    others = [reads.to_numpy() for name, reads in readable.items() if name != order]
    return np.asarray(readable[order].to_numpy() & ~np.logical_or.reduce(others), dtype=bool)


def to_iso(cells: pd.Series, style: DateFormat) -> pd.Series:
    """Cells as 2026-11-11T20:00:00 with their zone, if they have one; those that do not fit stay as they are."""
    if style.stated is not None:
        return _by_format(cells, style.stated)
    out = cells.copy()
    if style.is_serial:
        days = pd.to_numeric(cells.where(cells.str.fullmatch(_SERIAL)), errors="coerce")
        moment = pd.Timestamp(1899, 12, 30) + pd.to_timedelta((days * 86_400).round(), unit="s")
        return out.where(days.isna(), moment.dt.strftime("%Y-%m-%dT%H:%M:%S"))
    odd = cells[~cells.str.match(_ISO) & (cells != "")]
    if not len(odd):
        return out
    if style.order is not None:
        parts = odd.str.extract(_SHORT).dropna(subset=[0])
        place = [style.order.index(sign) for sign in "ymd"]
        out.update(_written(parts[place[0]], parts[place[1]], parts[place[2]], parts[3]))
    parts = odd.str.extract(_CHINESE).dropna(subset=[0])
    out.update(_written(parts[0], parts[1], parts[2].fillna("1"), parts[3]))
    for pattern, (day, month) in ((_NAMED, (0, 1)), (_NAMED_FIRST, (1, 0))):
        parts = odd.str.extract(pattern).dropna(subset=[0])
        number = parts[month].str.lower().str[:3].map(MONTHS)
        parts = parts[number.notna()]
        out.update(_written(parts[2], number.dropna().astype(int).astype(str), parts[day], parts[3]))
    parts = odd.str.extract(_MONTH).dropna(subset=[0])
    out.update(parts[0] + "-" + parts[1].str.zfill(2) + "-01")
    parts = odd.str.extract(_WEEK).dropna(subset=[0])
    monday = pd.to_datetime(parts[0] + "-" + parts[1] + "-1", format="%G-%V-%u", errors="coerce")
    out.update(monday.dropna().dt.strftime("%Y-%m-%d"))
    return out


def _by_format(cells: pd.Series, stated: str) -> pd.Series:
    with_zone = "%z" in stated
    read = pd.to_datetime(cells, format=stated, errors="coerce", utc=with_zone)
    has_clock = any(sign in stated for sign in ("%H", "%I", "%T", "%X", "%c", "%R"))
    text = read.dt.strftime("%Y-%m-%dT%H:%M:%S" if has_clock else "%Y-%m-%d") + ("Z" if with_zone else "")
    return cells.where(read.isna(), text)


def _written(year: pd.Series, month: pd.Series, day: pd.Series, clock: pd.Series) -> pd.Series:
    """ISO text of the parts; rows whose clock is not one are left out."""
    year = year.where(year.str.len() == 4, "20" + year)
    iso = year + "-" + month.str.zfill(2) + "-" + day.str.zfill(2)
    text = clock.fillna("").str.strip()
    parts = text.str.extract(_CLOCK)
    is_clock = (text == "") | parts[1].notna()
    parts, text, iso = parts[is_clock].fillna(""), text[is_clock], iso[is_clock]
    hour = pd.to_numeric(parts[1], errors="coerce").fillna(0).astype(int)
    is_late = parts[4].str.lower().str.startswith("p") | (parts[0] == "下午")
    is_half = (parts[4] != "") | (parts[0] != "")
    hour = hour.where(~is_half, hour % 12 + 12 * is_late.astype(int))
    zone = parts[5].replace({"UTC": "Z", "GMT": "Z"})
    minutes, seconds = (parts[place].where(parts[place] != "", "00") for place in (2, 3))
    full = iso + "T" + hour.astype(str).str.zfill(2) + ":" + minutes + ":" + seconds + zone
    return full.where(text != "", iso)
