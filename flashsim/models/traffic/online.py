"""Forecasts of traffic that keep up with a site: counts come in minute by minute, and the model follows them.

    from flashsim.models.traffic.online import OnlineForecaster
    from flashsim.models.traffic.world_cup import load_shipped
    online = OnlineForecaster(load_shipped().forecaster, history=series.visits[:-90])
    for minute_count in series.visits[-90:]:
        online.observe(minute_count)                               # nan: the minute is missing
    online.forecast(10)                                            # (level,): QUANTILE_LEVELS of visits in 10 minutes
    print([warning.sentence() for warning in online.drift])        # lasting changes of the last day; empty: none
    again = OnlineForecaster.from_state(online.to_state())         # plain numbers, as JSON has them

Three clocks turn in it:

    each hour    the errors of two days, or since the last change, widen or narrow the spread of each horizon
                 (``spread.py``), and visits are compared with what level and hour of the day let expect (``drift.py``)
    each day     the model is fitted again on the last ``KEEP_DAYS`` days, once there are ``LEAST_DAYS``, at most
                 ``MOST_MISSING`` of them missing and not all 0; until then the given model stays, widened
    a change     when a lasting change of level is found, all counts before it are rescaled to the new level, and the
                 model is fitted again at once

Rescaling keeps the noise of counting right. To a share f < 1, visits are thinned: each old visit stays with probability
f, which turns Poisson visits into Poisson visits, and any others into what a site with that share would have counted.
To f > 1 counts are multiplied; they keep too much noise, so a minute weighs in a fit as much as was really counted. An
old day is thinned by its own random numbers, so two forecasters with equal counts agree. Changes beyond
``MOST_RESCALED`` either way are outages or their ends: they warn, and rescale nothing.

A fit takes about half a second, an hour's end and a forecast some milliseconds. Source: Lewis & Shedler (1979), Naval
Research Logistics Quarterly 26 (thinning); what is cited in ``drift.py`` and ``spread.py``. Left out: stamps (the
caller sends one value a minute, nan when there is none), a calendar of sales, and changes of level within one horizon
of the forecast.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from numbers import Real
from typing import Any, Final, Self

import numpy as np
from numpy.typing import ArrayLike

from flashsim.data.traffic import LEAST_DAYS, MINUTES_A_DAY, MOST_MISSING
from flashsim.errors import InputError
from flashsim.models.forecasting.validation import QUANTILE_LEVELS
from flashsim.models.traffic.drift import LevelChart
from flashsim.models.traffic.forecast import (
    HORIZONS,
    LEAST_HISTORY,
    MOST_STALE,
    Array,
    TrafficForecaster,
    TrafficState,
    carry_forward,
    checked_visits,
    describe,
    fit_forecaster,
    is_fresh,
)
from flashsim.models.traffic.spread import WINDOW_MINUTES, log_widths

FORMAT: Final = 1
KEEP_DAYS: Final = 8
"""Days of counts that a refit learns from: with a half-life of 2 days, older ones would weigh 6 % together."""
HOUR: Final = 60
LEAST_KNOWN: Final = 30
"""An hour with fewer known minutes tells nothing about the level."""
MOST_COUNT: Final = 1e12
"""Visits in a minute; as in the table of traffic."""
MOST_RESCALED: Final = 100.0
SPREAD_WARNING: Final = 2.0
"""Warn when intervals must be this many times as wide, or as narrow, as the model says."""
SPREAD_CALM: Final = 1.5
"""Another warning of the spread needs a return within this factor first."""
MOST_WARNINGS: Final = 100
"""Warnings that are kept."""
THINNING_SEED: Final = 1998


@dataclass(frozen=True)
class DriftWarning:
    """What was found, when, and how large it is."""

    kind: str
    """"level": visits changed lastingly; "spread": intervals of the model no longer fit."""
    found: int
    """Minutes observed when it was found."""
    began: int
    """Minutes observed when the change began; for a spread, when it was found."""
    factor: float
    """Level after over level before, or the median multiplier of the spread over horizons."""

    def sentence(self) -> str:
        """The warning in words."""
        if self.kind == "level":
            return f"since minute {self.began} visits are {self.factor:.3g} times what they were"
        return f"intervals must be {self.factor:.3g} times as wide as the model says, found in minute {self.found}"


class OnlineForecaster:
    """A forecaster that follows one site."""

    def __init__(self, model: TrafficForecaster, *, history: ArrayLike = ()) -> None:
        """Begin with a fitted ``model`` and, if there are any, counts of the minutes before now (minute,; nan:
        missing). The last ``KEEP_DAYS`` days of them are learned from: by a refit if they suffice for one."""
        self.model = model
        self.log_width: Array = np.zeros(len(HORIZONS))  # horizon; log w of spread.py
        self.minutes = 0  # observed so far
        self.warnings: list[DriftWarning] = []  # oldest first
        self._counts: list[float] = []  # the last minutes, from a whole day on; nan: missing
        self._changes: list[tuple[int, float]] = []  # minute from which a level holds, factor
        self._chart = LevelChart()
        self._is_spread_off = False
        past = np.asarray(history, dtype=np.float64)
        if past.size:
            past = checked_visits(past, least=1)[-KEEP_DAYS * MINUTES_A_DAY :]
        for count in past.tolist():
            self._add(count)
        if past.size:
            self._follow(is_due=True)

    @property
    def drift(self) -> tuple[DriftWarning, ...]:
        """Warnings of the last 24 hours, oldest first."""
        return tuple(warning for warning in self.warnings if self.minutes - warning.found < MINUTES_A_DAY)

    def observe(self, minute_count: float) -> None:
        """Learn the visits of the next minute; nan when they are missing. InputError when it is no count."""
        if isinstance(minute_count, bool | np.bool_) or not isinstance(minute_count, Real):
            raise InputError(f"minute_count must be a number of visits or nan, got {minute_count!r}; send the count")
        count = float(minute_count)
        if not (np.isnan(count) or 0.0 <= count < MOST_COUNT):
            raise InputError(f"minute_count must be 0 to {MOST_COUNT:g} or nan (missing), got {count}; send the count")
        is_changed = self._add(count)
        if self.minutes % HOUR == 0:
            self._follow(is_due=is_changed or self.minutes % MINUTES_A_DAY == 0)

    def forecast(self, ahead: int) -> Array:
        """(level,) quantiles of the visits ``ahead`` minutes after the last one observed; 1 to 60."""
        recent = self.recent()
        if recent.size < LEAST_HISTORY:
            raise InputError(f"{recent.size} minutes were observed, a forecast needs {LEAST_HISTORY}; observe more")
        if not is_fresh(recent)[-1]:
            raise InputError(
                f"visits of the last {MOST_STALE} minutes are all missing; wait until counts come in again"
            )
        return self.forecasts_after(describe(recent), ahead=ahead, minutes=1)[0]

    def forecasts_after(self, state: TrafficState, *, ahead: int, minutes: int) -> Array:
        """(minute, level) forecasts made at the last ``minutes`` of ``state``, with the model of now."""
        forecast = self.model.predict(state, horizon=ahead, made=slice(state.level.size - minutes, None))
        return forecast.quantiles(widen=float(np.exp(np.interp(ahead, HORIZONS, self.log_width))))

    def recent(self, *, days: int = 2) -> Array:
        """(minute,) the last days of counts at the present level: what forecasts are made from."""
        counts = np.array(self._counts)
        first = max(counts.size - days * MINUTES_A_DAY, 0) // MINUTES_A_DAY * MINUTES_A_DAY
        factor = self._factors()
        for start in range(first, counts.size, MINUTES_A_DAY):
            of_day = slice(start, start + MINUTES_A_DAY)
            day = (self.minutes - counts.size + start) // MINUTES_A_DAY
            counts[of_day] = rescale(counts[of_day], factor[of_day], day=day)
        return counts[max(counts.size - days * MINUTES_A_DAY, 0) :]

    def _factors(self) -> Array:
        """(minute,) present level over the level of each kept minute; 1 beyond MOST_RESCALED."""
        minute = np.arange(self.minutes - len(self._counts), self.minutes)
        log_factor = np.zeros(minute.size)
        for began, factor in self._changes:
            log_factor += np.where(minute < began, np.log(factor), 0.0)
        return np.where(np.abs(log_factor) <= np.log(MOST_RESCALED), np.exp(log_factor), 1.0)

    def _add(self, count: float) -> bool:
        """Add a minute; at the end of an hour, whether a lasting change of level is found."""
        self._counts.append(count)
        self.minutes += 1
        if len(self._counts) > (KEEP_DAYS + 1) * MINUTES_A_DAY:
            self._forget_a_day()
        if self.minutes % HOUR:
            return False
        hour = np.array(self._counts[-HOUR:])
        known = hour[np.isfinite(hour)]
        change = self._chart.observe(float(known.mean()) if known.size >= LEAST_KNOWN else float("nan"))
        if change is None:
            return False
        began = self.minutes - self._minutes_since(change.hours_ago)
        self._changes.append((began, change.factor))
        self._warn(DriftWarning("level", self.minutes, began, change.factor))
        return True

    def _follow(self, *, is_due: bool) -> None:
        """Fit again when that ``is_due`` and the counts suffice; then learn how wide intervals must be."""
        if is_due and self._is_learnable():
            self.model = fit_forecaster(self.recent(days=KEEP_DAYS + 1), counted=np.array(self._counts))
        unchanged = self.minutes - self._changes[-1][0] if self._changes else WINDOW_MINUTES
        self.log_width = log_widths(self.model, self.recent(days=3), minutes=unchanged)
        self._watch_spread()

    def _minutes_since(self, hours: int) -> int:
        """Minutes since the change within the first of the last ``hours``: the split that fits the logs best."""
        logs = np.log1p(carry_forward(np.array(self._counts[-(hours + 1) * HOUR :])))
        places = np.arange(HOUR // 2, min(5 * HOUR // 2, logs.size - HOUR // 2))
        window = logs[: 3 * HOUR]
        losses = [place * window[:place].var() + (window.size - place) * window[place:].var() for place in places]
        return int(logs.size - places[int(np.argmin(losses))])

    def _is_learnable(self) -> bool:
        counts = np.array(self._counts)
        missing = np.isnan(counts).mean()
        return bool(counts.size >= LEAST_DAYS * MINUTES_A_DAY and missing <= MOST_MISSING and np.nanmax(counts) > 0.0)

    def _watch_spread(self) -> None:
        middle = float(np.median(self.log_width))
        if abs(middle) >= np.log(SPREAD_WARNING) and not self._is_spread_off:
            self._is_spread_off = True
            self._warn(DriftWarning("spread", self.minutes, self.minutes, float(np.exp(middle))))
        elif abs(middle) <= np.log(SPREAD_CALM):
            self._is_spread_off = False

    def _warn(self, warning: DriftWarning) -> None:
        self.warnings = [*self.warnings[1 - MOST_WARNINGS :], warning]

    def _forget_a_day(self) -> None:
        self._counts = self._counts[MINUTES_A_DAY:]
        first = self.minutes - len(self._counts)
        self._changes = [change for change in self._changes if change[0] > first]

    def to_state(self) -> dict[str, Any]:
        """All that the forecaster knows, as plain numbers that JSON can hold; None for missing minutes."""
        return {
            "format": FORMAT,
            "model": {name: array.tolist() for name, array in vars(self.model).items()},
            "log_width": self.log_width.tolist(),
            "minutes": self.minutes,
            "counts": [None if np.isnan(count) else count for count in self._counts],
            "changes": [list(change) for change in self._changes],
            "warnings": [asdict(warning) for warning in self.warnings],
            "is_spread_off": self._is_spread_off,
            "chart": self._chart.to_state(),
        }

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> Self:
        """The forecaster of :meth:`to_state`. InputError when the state is of another kind."""
        if not isinstance(state, Mapping) or state.get("format") != FORMAT:
            raise InputError(f"this is no state of an online forecaster of format {FORMAT}; begin a new one")
        try:
            arrays = [np.asarray(state["model"][name], float) for name in ("coefficients", "scale", "quantiles")]
            made = cls(TrafficForecaster(*arrays))
            made.log_width = np.asarray(state["log_width"], dtype=np.float64)
            made.minutes = int(state["minutes"])
            made._counts = [float("nan") if count is None else float(count) for count in state["counts"]]
            made._changes = [(int(began), float(factor)) for began, factor in state["changes"]]
            made.warnings = [DriftWarning(**warning) for warning in state["warnings"]]
            if made.log_width.shape != (len(HORIZONS),) or (made.minutes - len(made._counts)) % MINUTES_A_DAY:
                raise ValueError("widths or counts of another length")
            made._is_spread_off, made._chart = bool(state["is_spread_off"]), LevelChart.from_state(state["chart"])
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(f"the state lacks an entry or holds another kind of it ({error}); begin anew") from error
        return made


def rescale(visits: Array, factor: Array, *, day: int) -> Array:
    """(minute,) ``visits`` as they were at ``factor`` (minute,) times their level: thinned below 1, multiplied above.

    ``day`` chooses the random numbers.
    """
    thinned = np.isfinite(visits) & (factor < 1.0)
    out = visits * np.maximum(factor, 1.0)
    generator = np.random.default_rng((THINNING_SEED, day))
    out[thinned] = generator.binomial(np.rint(visits[thinned]).astype(np.int64), factor[thinned])
    return out


def forecast_online(online: OnlineForecaster, visits: Array, *, horizons: Sequence[int]) -> dict[int, Array]:
    """By horizon, (minute, level) forecasts of each of ``visits`` (minute,), made that many minutes before.

    ``online`` observes them and stands at a whole hour. Forecasts equal those of ``forecast`` minute by minute; the
    first ones, made before ``visits``, and those within an hour of silence are NaN.
    """
    if online.minutes % HOUR or not visits.size:
        raise InputError(f"online has observed {online.minutes} minutes; begin at a whole hour, with some visits")
    out = {horizon: np.full((visits.size, len(QUANTILE_LEVELS)), np.nan) for horizon in horizons}
    for start in range(0, visits.size, HOUR):
        hour = visits[start : start + HOUR]
        known = np.concatenate([online.recent(), hour])
        able = is_fresh(known)[-hour.size :] & (np.arange(known.size)[-hour.size :] >= LEAST_HISTORY - 1)
        state = describe(known)
        for horizon, rows in out.items():
            made = online.forecasts_after(state, ahead=horizon, minutes=hour.size)
            target = rows[start + horizon : start + horizon + hour.size]
            target[:] = np.where(able[:, None], made, np.nan)[: len(target)]
        for count in hour.tolist():
            online.observe(count)
    return out
