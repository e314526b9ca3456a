"""When the levels of a World hold, and how they move from there: the season of a year, and drift.

    demand on day d = demand at the level of the World · exp(season_p(d) - season_p(as_of))
    season_p(d)     = sum of two waves, of a year and of half a year, with coefficients for each product
    variance of its log level, d days from as_of = drift_p·d

``as_of`` is the last day of data; its season is the mean of the four weeks up to it. Left out: holidays, which move in
the year and last a day, and growth, which nobody knows to go on.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from flashsim.errors import InputError
from flashsim.shown import brief

Array = NDArray[np.float64]
YEAR_DAYS: Final = 365.25
WAVES: Final = 4
REFERENCE_DAYS: Final = 28
"""The level of a World is that of the last four weeks of data."""
FARTHEST_DAYS: Final = 366
"""No sale is planned farther from the last day of data."""
EARLIEST, LATEST = "1900-01-01", "2999-12-31"
"""Days beyond are typing errors."""
_LARGEST: Final = 20.0


def season_terms(year_day: Array) -> Array:
    """Waves (…, 4) of a year and of half a year at days of the year."""
    angle = 2.0 * np.pi * np.asarray(year_day, dtype=np.float64)[..., None] / YEAR_DAYS
    return np.concatenate([np.cos(angle), np.sin(angle), np.cos(2.0 * angle), np.sin(2.0 * angle)], axis=-1)


@dataclass(frozen=True)
class LevelDays:
    """The days of a World's levels; InputError when a value is outside its range."""

    as_of: str
    """Last day of data, as 2026-12-31."""
    season: tuple[tuple[float, ...], ...]
    """Product: coefficients of the waves, log scale; none for a product whose table is shorter than a year."""
    drift: tuple[float, ...]
    """Product: variance by which the log level moves a day."""

    def __post_init__(self) -> None:
        """Check what a file may hold."""
        read_day(self.as_of, "level_days.as_of")
        if len(self.season) != len(self.drift):
            raise InputError(f"level_days: {len(self.season)} seasons and {len(self.drift)} drifts; give one a product")
        for waves in self.season:
            if len(waves) not in (0, WAVES) or not all(_is_number(value, -_LARGEST, _LARGEST) for value in waves):
                raise InputError(f"level_days.season: expected {WAVES} numbers or none a product, got {brief(waves)}")
        for value in self.drift:
            if not _is_number(value, 0.0, _LARGEST):
                raise InputError(f"level_days.drift: expected numbers from 0 to {_LARGEST:g}, got {brief(value)}")

    @classmethod
    def from_json(cls, content: Any) -> "LevelDays | None":
        """Read what :meth:`as_json` wrote, None for None; InputError for anything else."""
        if content is None:
            return None
        if not isinstance(content, Mapping) or set(content) != {"as_of", "season", "drift"}:
            raise InputError("level_days: expected as_of, season and drift; calibrate again")
        season, drift = content["season"], content["drift"]
        if not isinstance(season, list) or not isinstance(drift, list) or not all(isinstance(w, list) for w in season):
            raise InputError("level_days: season and drift must be lists; calibrate again")
        return cls(content["as_of"], tuple(tuple(waves) for waves in season), tuple(drift))

    def check_products(self, count: int) -> None:
        """InputError unless it is of ``count`` products."""
        if len(self.drift) != count:
            raise InputError(f"level_days: expected {count} products, got {len(self.drift)}")

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        return {"as_of": self.as_of, "season": [list(waves) for waves in self.season], "drift": list(self.drift)}

    def factor(self, day: date) -> Array:
        """Demand on ``day`` over that at the level of the World (product,), weekday apart."""
        last = read_day(self.as_of, "level_days.as_of")
        days = np.array([_year_day(last - timedelta(days=back)) for back in range(REFERENCE_DAYS)], dtype=np.float64)
        here, then = season_terms(np.array(float(_year_day(day)))), season_terms(days)
        return np.array(
            [np.exp(here @ w) / np.exp(then @ w).mean() if len(w) else 1.0 for w in map(np.array, self.season)]
        )

    def variance(self, day: date) -> Array:
        """Variance that the log level has gained until ``day`` (product,)."""
        ahead = max((day - read_day(self.as_of, "level_days.as_of")).days, 0)
        return np.array(self.drift) * ahead

    def moved_to(self, day: date) -> tuple["LevelDays", Array]:
        """The same season and drift from another last day of data, and the season then over that now (product,)."""
        moved = LevelDays(day.isoformat(), self.season, self.drift)
        return moved, self.factor(day) / moved.factor(day)


def last_day(record: Mapping[str, Any], table: str) -> date | None:
    """Last day of ``table`` that a World has learned from, updates among them, where its record says so."""
    spans = [record.get("data", {}).get("spans", {})] + [update["spans"] for update in record.get("updates", [])]
    last = [date.fromisoformat(span[table][1]) for span in spans if table in span]
    if not last and table == "sales_data" and "last_day" in record.get("panel", {}):
        last = [date.fromisoformat(record["panel"]["last_day"])]
    return max(last, default=None)


def read_day(text: object, name: str) -> date:
    """A day written as 2026-12-31; InputError, which calls it ``name``, otherwise."""
    try:
        if isinstance(text, str) and len(text) == len("2026-12-31") and EARLIEST <= text <= LATEST:
            return date.fromisoformat(text)
    except ValueError:
        pass
    raise InputError(f"{name} must be a day such as 2026-12-31, got {brief(text)}; write year-month-day")


def _year_day(day: date) -> int:
    return day.timetuple().tm_yday


def _is_number(value: object, low: float, high: float) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and low <= value <= high
