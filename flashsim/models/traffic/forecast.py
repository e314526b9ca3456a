"""How many visits the next 1 to 60 minutes bring: quantiles, from the minutes so far.

    from pathlib import Path
    from flashsim.data.traffic import read_traffic, visits_by_minute
    from flashsim.models.traffic.forecast import fit_forecaster
    from flashsim.models.traffic.world_cup import load_shipped
    series = visits_by_minute(read_traffic(Path("traffic_data.csv")))
    model = fit_forecaster(series.visits)                          # or load_shipped().forecaster, fitted elsewhere
    model.forecast(series.visits, horizons=(5, 10, 60))            # (horizon, level): QUANTILE_LEVELS of visits

With l_k the log of (1 +) the mean of the last k minutes, and p the log of (1 +) the mean of the 21 minutes around a
minute, one day ago,

    log(1 + visits[t+h]) = l_5 + b0 + b1 (l_1 - l_3) + b2 (l_3 - l_10) + b3 (l_10 - l_20) + b4 (l_20 - l_60)
                               + b5 (p[t+h-1440] - p[t-1440]) + s[t, h] Z_h
    log s[t, h]          = c0 + c1 log v[t] + c2 log w[t, h]

v: root mean square of the last 30 steps of l_5; w: mean absolute change of l_5 over h minutes, half-life 20. All terms
are ratios, so a model fitted on one site also forecasts another site of a different size; it reads the noise of minutes
from v and w. b minimizes weighted absolute deviations, c is least squares on log deviations, and Z_h has the weighted
empirical quantiles of the residuals; so quantiles never cross. A minute weighs as much as it has visits, times 1/2 for
every ``memory_days`` of age, because a wrong forecast costs most in a rush, and because sites change. The model is
fitted at ``HORIZONS`` and interpolated between them. A missing minute takes the value of the last known minute, for one
hour at most, and is never a target.

A shop with less than about 100 visits a minute should fit the model on its own table, because b1 then must allow for
counting noise. Fitted once, the model loses its lead over persistence within weeks on a growing site, and its intervals
are too narrow on a smaller one: follow a site with ``online.py``.

Source: Koenker & Bassett (1978), Econometrica 46 (absolute deviations); Gneiting & Raftery (2007), JASA 102 (pinball
loss as the score). Left out: the calendar of planned sales (``rush.py``), weekdays, causes.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from flashsim.data.traffic import LEAST_DAYS, MINUTES_A_DAY
from flashsim.errors import InputError
from flashsim.models.forecasting.validation import QUANTILE_LEVELS

Array = NDArray[np.float64]
HORIZONS: Final = (1, 2, 3, 5, 10, 15, 20, 30, 45, 60)
"""Minutes ahead at which a model is fitted."""
FEATURES: Final = ("constant", "1 - 3", "3 - 10", "10 - 20", "20 - 60", "same time yesterday")
"""What multiplies b0 … b5."""
LEAST_HISTORY: Final = 60
"""The first forecast needs this many minutes of history."""
MOST_STALE: Final = 60
"""The last known minute may replace this many missing minutes; after that there is no forecast."""
MEMORY_DAYS: Final = 2.0
"""Half-life of a minute's weight; chosen from 2, 4, 8 and no forgetting on the World Cup's 1998-06-05 to 06-10."""
SMALLEST_DEVIATION: Final = 0.01
"""Smaller deviations of log visits count as equal to this one."""


@dataclass(frozen=True)
class TrafficForecaster:
    """Fitted coefficients, one row a horizon of ``HORIZONS``."""

    coefficients: Array  # horizon, feature; b
    scale: Array  # horizon, 3; c
    quantiles: Array  # horizon, level; of Z

    def __post_init__(self) -> None:
        shapes = {"coefficients": len(FEATURES), "scale": 3, "quantiles": len(QUANTILE_LEVELS)}
        for name, columns in shapes.items():
            array, expected = getattr(self, name), (len(HORIZONS), columns)
            if array.shape != expected or not np.isfinite(array).all():
                raise InputError(f"{name}: expected finite {expected}, got shape {array.shape}; fit the model again")
        if (np.diff(self.quantiles, axis=1) < 0.0).any():
            raise InputError("quantiles must not fall from level to level; fit the model again")

    def forecast(self, visits: ArrayLike, *, horizons: Sequence[int]) -> Array:
        """(horizon, level) quantiles of the visits ``horizons`` minutes after the last of ``visits`` (minute,)."""
        recent = checked_visits(visits, least=LEAST_HISTORY)[-2 * MINUTES_A_DAY :]
        if not is_fresh(recent)[-1]:
            raise InputError(
                f"visits of the last {MOST_STALE} minutes are all missing (NaN), so there is nothing to forecast from; "
                "wait until counts come in again"
            )
        state = describe(recent)
        return np.stack([self.predict(state, horizon=h, made=slice(-1, None)).quantiles()[0] for h in horizons])

    def forecast_each(self, visits: ArrayLike, *, horizon: int) -> Array:
        """(minute, level) quantiles of each minute's visits, forecast ``horizon`` minutes before; NaN where unknown."""
        known = checked_visits(visits, least=LEAST_HISTORY + horizon)
        out = np.full((known.size, len(QUANTILE_LEVELS)), np.nan)
        made = slice(LEAST_HISTORY - 1, known.size - horizon)
        quantiles = self.predict(describe(known), horizon=horizon, made=made).quantiles()
        out[LEAST_HISTORY - 1 + horizon :] = np.where(is_fresh(known)[made, None], quantiles, np.nan)
        return out

    def predict(self, state: "TrafficState", *, horizon: int, made: slice) -> "LogForecasts":
        """Forecasts of log(1 + visits) ``horizon`` minutes after each of the minutes ``made``."""
        if not 1 <= horizon <= HORIZONS[-1]:
            raise InputError(f"horizon must be 1 to {HORIZONS[-1]} minutes, got {horizon}; forecast within the hour")
        b, c, z = (_between(rows, horizon) for rows in (self.coefficients, self.scale, self.quantiles))
        center = state.level[made] + state.features(horizon)[made] @ b
        return LogForecasts(center, np.exp(np.clip(state.volatility(horizon)[made] @ c, -8.0, 2.0)), z)


class LogForecasts(NamedTuple):
    """Forecasts of log(1 + visits): quantile k of a minute is ``center + spread * z[k]``."""

    center: Array  # minute; log(1 + visits)
    spread: Array  # minute; s
    z: Array  # level; quantiles of Z

    def quantiles(self, *, widen: float = 1.0) -> Array:
        """(minute, level) visits; every spread is multiplied by ``widen``."""
        logs = self.center[:, None] + widen * self.spread[:, None] * self.z
        return np.maximum(np.expm1(np.minimum(logs, 40.0)), 0.0)


class TrafficState(NamedTuple):
    """What is known at each minute."""

    level: Array  # minute; l_5
    contrasts: Array  # minute, 4; b1 … b4
    smooth: Array  # minute; p, around the minute itself
    turbulence: Array  # minute; v

    def features(self, horizon: int) -> Array:
        """(minute, feature) for visits ``horizon`` minutes later; yesterday's term counts from the second day on."""
        change = _shift(self.smooth, MINUTES_A_DAY - horizon) - _shift(self.smooth, MINUTES_A_DAY)
        ones = np.ones(self.level.size)
        return np.column_stack([ones, self.contrasts, np.nan_to_num(change)])

    def volatility(self, horizon: int) -> Array:
        """(minute, 3): 1, log v, log w."""
        change = pd.Series(np.abs(self.level - _shift(self.level, horizon))).ewm(halflife=20.0).mean()
        moved = np.nan_to_num(change.to_numpy(), nan=SMALLEST_DEVIATION)
        return np.column_stack([np.ones(self.level.size), np.log(self.turbulence), np.log(moved + 1e-3)])


def describe(visits: Array) -> TrafficState:
    """State at each minute of ``visits`` (minute,; NaN: missing), from that minute and those before."""
    series = pd.Series(carry_forward(visits))
    logs = {k: np.log1p(series.rolling(k, min_periods=1).mean().to_numpy()) for k in (1, 3, 5, 10, 20, 60)}
    contrasts = np.column_stack([logs[1] - logs[3], logs[3] - logs[10], logs[10] - logs[20], logs[20] - logs[60]])
    steps = pd.Series(np.diff(logs[5], prepend=logs[5][0]) ** 2).rolling(30, min_periods=1).mean().to_numpy()
    smooth = np.log1p(series.rolling(21, center=True, min_periods=1).mean().to_numpy())
    return TrafficState(logs[5], contrasts, smooth, np.sqrt(np.maximum(steps, 0.0) + 1e-6))


def carry_forward(visits: Array) -> Array:
    """Fill missing minutes with the last known value; minutes before the first known one take its value."""
    return np.asarray(pd.Series(visits).ffill().bfill(), dtype=np.float64)


def is_fresh(visits: Array) -> NDArray[np.bool_]:
    """Minutes at which at least one of the last ``MOST_STALE`` minutes is known."""
    known = pd.Series(np.isfinite(visits).astype(np.float64)).rolling(MOST_STALE, min_periods=1).max()
    return np.asarray(known > 0.0, dtype=np.bool_)


def fit_forecaster(
    visits: ArrayLike, *, memory_days: float = MEMORY_DAYS, counted: ArrayLike | None = None
) -> TrafficForecaster:
    """Fit on visits of consecutive minutes (minute,; NaN: missing). InputError when they are too few or all zero.

    A minute weighs as much as it has visits, or as it has in ``counted`` (minute,): those really counted, where
    ``visits`` are counts rescaled to another level.
    """
    if not memory_days > 0.0:
        raise InputError(f"memory_days must be > 0, got {memory_days}; 2 is usual")
    known = learnable_visits(visits)
    state, age = describe(known), np.arange(known.size)[::-1] / MINUTES_A_DAY
    weighed = known if counted is None else checked_visits(counted, least=1)
    if weighed.size != known.size:
        raise InputError(f"counted: expected the {known.size} minutes of visits, got {weighed.size}; bring all")
    weight = (1.0 + carry_forward(weighed)) * 0.5 ** (age / memory_days)
    fitted = [_fit_horizon(state, known, weight, horizon=horizon) for horizon in HORIZONS]
    return TrafficForecaster(*(np.stack(rows) for rows in zip(*fitted, strict=True)))


def checked_visits(visits: ArrayLike, *, least: int) -> Array:
    """Check visits (minute,): >= 0 or NaN, and at least ``least`` of them; else InputError."""
    known = np.asarray(visits, dtype=np.float64)
    if known.ndim != 1 or known.size < least:
        raise InputError(f"visits: expected at least {least} minutes in a row, got shape {known.shape}; bring more")
    bad = np.isinf(known) | (known < 0.0)
    if bad.any():
        minute = int(bad.argmax())
        raise InputError(f"visits must be >= 0, got {known[minute]} in minute {minute}; correct the table")
    if np.isnan(known).all():
        raise InputError("all visits are missing (NaN); check that the right column is read")
    return known


def learnable_visits(visits: ArrayLike) -> Array:
    """Check visits (minute,) that a model is fitted on: at least ``LEAST_DAYS`` days, not all zero; else InputError."""
    known = checked_visits(visits, least=int(LEAST_DAYS * MINUTES_A_DAY))
    if not np.nanmax(known) > 0.0:
        raise InputError("all visits are 0, so there is nothing to learn; check that the right column is read")
    return known


def _fit_horizon(state: TrafficState, visits: Array, weight: Array, *, horizon: int) -> tuple[Array, Array, Array]:
    """(b, c, quantiles of Z) from the second day on."""
    made = np.arange(MINUTES_A_DAY, visits.size - horizon)
    made = made[np.isfinite(visits[made + horizon]) & is_fresh(visits)[made]]
    if made.size < MINUTES_A_DAY:
        raise InputError(f"{made.size} minutes after the first day can be learned from, too few; bring a fuller table")
    X, V = state.features(horizon)[made], state.volatility(horizon)[made]
    change = np.log1p(visits[made + horizon]) - state.level[made]
    w = weight[made + horizon] / weight[made + horizon].mean()
    b = least_absolute(X, change, weight=w)
    error = change - X @ b
    target = np.log(np.abs(error) + SMALLEST_DEVIATION)
    c = np.linalg.solve(V.T @ (V * w[:, None]) + 1e-6 * w.size * np.eye(3), V.T @ (w * target))
    z = error / np.exp(np.clip(V @ c, -8.0, 2.0))
    return b, c, weighted_quantiles(z, w)


def least_absolute(X: Array, y: Array, *, weight: Array, iterations: int = 25) -> Array:
    """Coefficients of the least weighted absolute deviations, by reweighted least squares with a tiny ridge."""
    ridge = 1e-6 * y.size * np.eye(X.shape[1])
    b: Array = np.zeros(X.shape[1])
    for _ in range(iterations):
        k = weight / np.maximum(np.abs(y - X @ b), SMALLEST_DEVIATION)
        b = np.asarray(np.linalg.solve(X.T @ (X * k[:, None]) + ridge, X.T @ (k * y)), dtype=np.float64)
    return b


def weighted_quantiles(values: Array, weight: Array) -> Array:
    """(level,) quantiles of weighted values."""
    order = np.argsort(values, kind="stable")
    cumulative = np.cumsum(weight[order])
    middle = (cumulative - 0.5 * weight[order]) / cumulative[-1]
    return np.interp(QUANTILE_LEVELS, middle, values[order])


def _between(rows: Array, horizon: int) -> Array:
    return np.array([np.interp(horizon, HORIZONS, column) for column in rows.T])


def _shift(values: Array, minutes: int) -> Array:
    """Values ``minutes`` earlier, NaN where there are none."""
    out = np.full(values.size, np.nan)
    out[minutes:] = values[: max(values.size - minutes, 0)]
    return out
