"""A lasting change of a site's level, found within hours: a CUSUM of hourly visits over what level and hour expect.

    from flashsim.models.traffic.drift import LevelChart
    chart = LevelChart()
    changes = [chart.observe(mean) for mean in series.visits[:10080].reshape(-1, 60).mean(axis=1)]
    print([(hour, change.factor) for hour, change in enumerate(changes) if change])

With m_k the mean visits a minute of hour k, and i = k mod 24,

    e_k = log(1 + m_k) - season_i - level_{k-1}
    level_k = level_{k-1} + a e_k,   season_i <- season_i + c (1 - a) e_k   (e_k cut at delta / 2)
    S_k = max(0, S_{k-1} + min(delta (e_k - delta / 2) / v_k, B / 2.5)),   a warning where S_k >= B

and the same with -e_k for falls. The season removes the shape of the day; the level, with a half-life of 4 hours,
removes growth, weekends and anything else that takes many hours. v_k = sigma^2 (1 + rho) / (1 - rho) + 1 / (30 (1 +
m_k)) holds the variance and the correlation of neighboring e of the last week (each cut at delta), and counting; so
neither restless nor small sites warn more often. delta = log 2.5: the chart is made to find a change to 2/5, or to 2.5
times; smaller lasting changes are left to refits. The cap makes a warning need at least three hours, so a burst of an
hour or two gives none. After a warning the new level is taken for granted.

False alarms: if e were independent and normal, a one-sided chart with the threshold B would wait exp(B) hours or more
on average (Lorden 1971). B = log(2 * 24 * 60) is that bound for one false alarm in 60 days, both sides together. Made
sites with weekends at 0.6 and hourly noise of a deviation up to 0.4 and a correlation of 0.5 to 0.9 stay below it (at
most 0.4 in 60 days); without rho it was 10. On the World Cup's 46 days the chart warns once, on the first evening of
matches. A day of matches, or an outage of some hours and its end, are lasting changes to this chart.

Found: put at 60 random minutes of the World Cup's 10 May to 7 June, all changes to 0.03, 0.1, 10 and 30 times within 3
hours after the one they fall in; of those to 0.3 and 3.3 times 83 % and 88 % within a day; to a half or double few.

Source: Page (1954), Biometrika 41 (CUSUM); Lorden (1971), Ann. Math. Statist. 42 (mean time to a false alarm); Winters
(1960), Management Science 6, with errors cut as in Gelper, Fried & Croux (2010), J. Forecasting 29 (level and season);
Johnson & Bagshaw (1974), Technometrics 16 (CUSUM of correlated values: the variance of sums).
Left out: changes that grow over days (they are no error of a forecast that is refitted daily), weekdays, and changes of
the shape of the day. A chart of today's hours over yesterday's was tried first: each change that it missed came back as
a warning of the opposite kind every day for a week.
"""

from dataclasses import asdict, dataclass, field
from typing import Any, Final, NamedTuple, Self

import numpy as np

HOURS_A_DAY: Final = 24
DELTA: Final = float(np.log(2.5))
"""Change of log visits that the chart is made to find."""
THRESHOLD: Final = float(np.log(2 * 24 * 60))
"""B: by Lorden's bound one false alarm in 60 days, with a chart for rises and one for falls."""
MOST_EVIDENCE: Final = THRESHOLD / 2.5
"""An hour adds no more, so that a warning needs three hours."""
LEVEL_GAIN: Final = 1.0 - 0.5 ** (1.0 / 4.0)
"""a: half-life 4 hours. On the World Cup, half-lives of 2 to 4 hours with a delta of log 2, log 2.5 or log 3 gave at
most one warning in the 14 days before 1 June and found every change to a tenth."""
SEASON_GAIN: Final = 0.3
"""c: a season remembers about three days."""
ERROR_HOURS: Final = 7 * HOURS_A_DAY
"""The deviation of e is that of so many hours."""
MOST_CORRELATION: Final = 0.5
"""More correlation of neighboring e does not count: a cap of 0.8 lowers false alarms no further and finds fewer
changes."""
PRIOR_DEVIATION: Final = 0.35
"""Deviation of e until a day of errors is known."""
SMALLEST_DEVIATION: Final = 0.15
"""Deviations of e below it count as equal to it: half a day of calm must not make the next breeze a change."""


class LevelChange(NamedTuple):
    """A lasting change of level, at the moment when it is found."""

    hours_ago: int
    """The change began within the first of these last hours."""
    factor: float
    """Level after the change over the level before it."""


@dataclass
class Side:
    """The CUSUM of one side, and what it knows of the change that it suspects."""

    statistic: float = 0.0
    """S; 0 while nothing is suspected."""
    hours: int = 0
    """Hours since the suspected change began, with that hour and with unknown hours."""
    known: int = 0
    """Known hours after the one in which it began."""
    base: float = 0.0
    """Level just before it began."""
    total: float = 0.0
    """Sum over the known hours of log visits less their season."""

    def add(self, evidence: float, *, log_level: float, base: float) -> None:
        """Add the evidence of an hour with ``log_level`` (log visits less season), before which the level was
        ``base``."""
        before, self.statistic = self.statistic, max(0.0, self.statistic + min(evidence, MOST_EVIDENCE))
        if self.statistic == 0.0:
            self.hours = self.known = 0
        elif before == 0.0:
            self.hours, self.known, self.base, self.total = 1, 0, base, 0.0
        else:
            self.hours, self.known, self.total = self.hours + 1, self.known + 1, self.total + log_level

    def skip(self) -> None:
        """Let an unknown hour pass."""
        self.hours += self.statistic > 0.0


@dataclass
class LevelChart:
    """The chart of a site; call :meth:`observe` once an hour."""

    hours: int = 0
    """Hours observed."""
    season: list[float] = field(default_factory=lambda: [float("nan")] * HOURS_A_DAY)
    """By hour of the day, counted from the first hour observed; NaN: not yet known."""
    level: float = 0.0
    """Log visits over their season."""
    errors: list[float] = field(default_factory=list)
    """e of the last ``ERROR_HOURS`` known hours."""
    up: Side = field(default_factory=Side)
    down: Side = field(default_factory=Side)

    def observe(self, mean_visits: float) -> LevelChange | None:
        """Learn the mean visits a minute of the next hour (NaN: unknown); return the change that it reveals."""
        log_mean, hour = float(np.log1p(mean_visits)), self.hours % HOURS_A_DAY
        self.hours += 1
        log_level = log_mean - self.season[hour]
        if np.isnan(log_level):
            if np.isfinite(log_mean):
                self.season[hour] = log_mean - self.level
            self.up.skip()
            self.down.skip()
            return None
        error = log_level - self.level
        variance = self._deviation() ** 2 + 2.0 * np.exp(-log_mean) / 60.0
        for side, sign in ((self.up, 1.0), (self.down, -1.0)):
            evidence = float(DELTA * (sign * error - DELTA / 2.0) / variance)
            side.add(evidence, log_level=log_level, base=self.level)
        self.season[hour] += SEASON_GAIN * (1.0 - LEVEL_GAIN) * float(np.clip(error, -DELTA / 2.0, DELTA / 2.0))
        self.level += LEVEL_GAIN * error
        self.errors = [*self.errors[1 - ERROR_HOURS :], error]
        suspect = max(self.up, self.down, key=lambda side: side.statistic)
        return self._accept(suspect) if suspect.statistic >= THRESHOLD else None

    def _accept(self, side: Side) -> LevelChange:
        """Take the level since the change for granted, and begin anew."""
        change = LevelChange(side.hours, float(np.exp(side.total / side.known - side.base)))
        self.level = side.total / side.known
        self.errors = self.errors[: max(len(self.errors) - side.known - 1, 0)]
        self.up, self.down = Side(), Side()
        return change

    def _deviation(self) -> float:
        if len(self.errors) < HOURS_A_DAY:
            return PRIOR_DEVIATION
        errors = np.clip(self.errors, -DELTA, DELTA)
        errors -= errors.mean()
        square = float(np.mean(errors**2))
        lagged = float(np.mean(errors[1:] * errors[:-1])) / max(square, 1e-12)
        rho = min(max(lagged, 0.0), MOST_CORRELATION)
        return max(np.sqrt(square * (1.0 + rho) / (1.0 - rho)), SMALLEST_DEVIATION)

    def to_state(self) -> dict[str, Any]:
        """Plain numbers, with None for NaN."""
        return {**asdict(self), "season": [None if np.isnan(hour) else hour for hour in self.season]}

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> Self:
        """The chart of :meth:`to_state`."""
        return cls(
            hours=int(state["hours"]),
            season=[float("nan") if hour is None else float(hour) for hour in state["season"]],
            level=float(state["level"]),
            errors=[float(error) for error in state["errors"]],
            up=Side(**state["up"]),
            down=Side(**state["down"]),
        )
