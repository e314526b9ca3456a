"""How good a forecast of traffic is: pinball loss on held-out minutes, against forecasts that need no model.

    from flashsim.models.traffic.scores import score_forecast
    scores = score_forecast(series.visits, start=series.index_of("1998-06-11"), horizon=10)
    print(scores.sentences())

Everything is fitted on the minutes before ``start`` and scored on the minutes from ``start`` on. The rivals know the
same minutes:

    persistence   the last minute known stays         yesterday, last week   the same minute a day, a week before

Each rival appears as a point forecast (every quantile is that point) and *dressed* with the quantiles of its own log
errors over the week before ``start``. A point is a poor distribution, so the dressed rivals are harder to beat.
Improvements are 1 - loss / loss of the rival over the same minutes, with intervals from a circular bootstrap of blocks
of 4 hours.

Source: Künsch (1989), Ann. Statist. 17, and Politis & Romano (1992) (blocks). Left out: week-long blocks, because five
days contain none; so the intervals do not include a change from one week to the next.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from flashsim.data.traffic import MINUTES_A_DAY
from flashsim.errors import InputError
from flashsim.models.forecasting.validation import QUANTILE_LEVELS, Interval, block_resamples, bootstrap_interval
from flashsim.models.traffic.forecast import MEMORY_DAYS, TrafficForecaster, carry_forward, fit_forecaster

Array = NDArray[np.float64]
BIN_MINUTES: Final = 30
DRESSED_ON_DAYS: Final = 7
BLOCK_BINS: Final = 8
"""Blocks of 4 hours: longer than a rush's ramp, and enough of them in five days."""
RIVALS: Final = {"persistence": 0, "yesterday": MINUTES_A_DAY, "last week": 7 * MINUTES_A_DAY}
"""How many minutes before the target the rival looks; at least the horizon."""


@dataclass(frozen=True)
class TrafficScores:
    """Losses over the same held-out minutes."""

    horizon: int
    """Minutes ahead."""
    minutes: int
    """Held-out minutes scored."""
    pinball: dict[str, float]
    """Mean pinball loss in visits, of "model" and of each rival."""
    improvement: dict[str, Interval]
    """Share of each rival's loss that the model avoids, with a 90 % interval."""
    coverage: float
    """Share of held-out minutes within the 5 % and 95 % quantiles; 0.9 is right."""

    def sentences(self) -> tuple[str, ...]:
        """The scores in words."""
        lines = [
            f"{self.horizon} minutes ahead over {self.minutes} held-out minutes: mean pinball loss "
            f"{self.pinball['model']:.1f} visits, 90 % intervals cover {self.coverage:.1%}"
        ]
        for name, gain in self.improvement.items():
            lines.append(
                f"{name}: loss {self.pinball[name]:.1f}, the model saves {gain.value:.1%} "
                f"[{gain.low:.1%}, {gain.high:.1%}]"
            )
        return tuple(lines)


def score_forecast(
    visits: Array,
    *,
    start: int,
    horizon: int,
    model: TrafficForecaster | None = None,
    memory_days: float = MEMORY_DAYS,
    seed: int = 0,
) -> TrafficScores:
    """Score ``model`` (fitted on the minutes before ``start`` when None) on the minutes from ``start`` on."""
    if not 2 * MINUTES_A_DAY <= start < visits.size - BIN_MINUTES * BLOCK_BINS:
        raise InputError(f"start must leave days on both sides, got minute {start} of {visits.size}; choose another")
    model = model or fit_forecaster(visits[:start], memory_days=memory_days)
    return score_quantiles(
        visits, model.forecast_each(visits, horizon=horizon), start=start, horizon=horizon, seed=seed
    )


def score_quantiles(
    visits: Array, quantiles: Array, *, start: int, horizon: int, seed: int = 0, is_redressed: bool = False
) -> TrafficScores:
    """Score ``quantiles`` (minute, level) of ``visits`` (minute,), forecast ``horizon`` minutes before, from ``start``.

    With ``is_redressed``, persistence is also dressed anew each day, with its errors of the week before that day: a
    fair rival of a forecaster that is fitted again each day.
    """
    forecasts = {"model": quantiles}
    for name, lag in RIVALS.items():
        if max(lag, horizon) < start:
            point = _lagged(visits, max(lag, horizon))
            forecasts[name] = np.repeat(point[:, None], len(QUANTILE_LEVELS), axis=1)
            forecasts[f"{name}, dressed"] = _dress(point, visits, start=start)
    if is_redressed:
        forecasts["persistence, dressed daily"] = _dress_daily(_lagged(visits, horizon), visits, start=start)
    scored = np.isfinite(visits) & (np.arange(visits.size) >= start)
    for forecast in forecasts.values():
        scored &= np.isfinite(forecast).all(axis=1)
    losses = {name: pinball_losses(visits[scored], forecast[scored]) for name, forecast in forecasts.items()}
    bins = (np.flatnonzero(scored) - start) // BIN_MINUTES
    sums = {name: np.asarray(np.bincount(bins, loss), dtype=np.float64) for name, loss in losses.items()}
    drawn = block_resamples(
        sums["model"].size, resamples=2000, generator=np.random.default_rng(seed), block_weeks=BLOCK_BINS
    )
    mine, inside = forecasts["model"][scored], visits[scored]
    return TrafficScores(
        horizon=horizon,
        minutes=int(scored.sum()),
        pinball={name: float(loss.mean()) for name, loss in losses.items()},
        improvement={name: _saving(sums["model"], sums[name], drawn) for name in losses if name != "model"},
        coverage=float(((inside >= mine[:, 0]) & (inside <= mine[:, -1])).mean()),
    )


def pinball_losses(actual: Array, quantiles: Array) -> Array:
    """(minute,) mean over levels of the pinball loss of ``quantiles`` (minute, level)."""
    error = actual[:, None] - quantiles
    levels = np.asarray(QUANTILE_LEVELS)
    losses: Array = np.maximum(levels * error, (levels - 1.0) * error).mean(axis=1)
    return losses


def _lagged(visits: Array, lag: int) -> Array:
    out = np.full(visits.size, np.nan)
    out[lag:] = carry_forward(visits)[:-lag]
    return out


def _dress(point: Array, visits: Array, *, start: int) -> Array:
    """(minute, level): the point, moved by the quantiles of its log errors in the week before ``start``."""
    first = max(start - DRESSED_ON_DAYS * MINUTES_A_DAY, 0)
    error = np.log1p(visits[first:start]) - np.log1p(point[first:start])
    moves = np.quantile(error[np.isfinite(error)], QUANTILE_LEVELS)
    return np.expm1(np.log1p(point)[:, None] + moves)


def _dress_daily(point: Array, visits: Array, *, start: int) -> Array:
    """(minute, level): as :func:`_dress`, anew for each day from ``start`` on; NaN before."""
    out = np.full((visits.size, len(QUANTILE_LEVELS)), np.nan)
    for day in range(start, visits.size, MINUTES_A_DAY):
        last = day + MINUTES_A_DAY
        out[day:last] = _dress(point[:last], visits[:last], start=day)[day:]
    return out


def _saving(mine: Array, theirs: Array, drawn: NDArray[np.intp]) -> Interval:
    resampled = _saved(mine[drawn].sum(axis=1), theirs[drawn].sum(axis=1))
    return bootstrap_interval(float(_saved(mine.sum(), theirs.sum())), resampled)


def _saved(mine: Array, theirs: Array) -> Array:
    """1 - mine / theirs. Against a rival without error there is nothing to save, and any loss is infinitely worse."""
    ratio: Array = np.divide(mine, theirs, out=np.where(mine > 0.0, np.inf, 1.0), where=theirs > 0.0)
    return 1.0 - ratio
