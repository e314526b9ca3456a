"""Naive forecasts; each is a distribution made from past sales alone, one week at a time.

A point forecast is a distribution with one value. *Empirical* rivals also carry the spread of past sales; they are the
fairer rivals for pinball loss and CRPS. All of them know the sales up to the Sunday before the forecast week.

Source: Hyndman & Athanasopoulos (2021), Forecasting: Principles and Practice, 3rd ed., section 5.2.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from flashsim.models.forecasting.scoring import Sample

SEASON_WEEKS: Final = 4
"""Shoppers' month: a year of data holds no yearly season to repeat."""


def _before(units: NDArray[np.float64], *, weeks: range, memory: int) -> NDArray[np.float64]:
    """The ``memory`` weeks before each of ``weeks``; (draw, product, week, period)."""
    return np.stack([units[:, weeks.start - lag : weeks.stop - lag] for lag in range(1, memory + 1)])


def last_value(units: NDArray[np.float64], *, weeks: range) -> Sample:
    """The same period of the week before (daily: lag 7)."""
    return Sample(_before(units, weeks=weeks, memory=1))


def seasonal_naive(units: NDArray[np.float64], *, weeks: range) -> Sample:
    """The same period of four weeks before."""
    return Sample(units[None, :, weeks.start - SEASON_WEEKS : weeks.stop - SEASON_WEEKS])


def mean_8(units: NDArray[np.float64], *, weeks: range) -> Sample:
    """Mean of the same period in the 8 weeks before."""
    return Sample(_before(units, weeks=weeks, memory=8).mean(axis=0, keepdims=True))


def median_13(units: NDArray[np.float64], *, weeks: range) -> Sample:
    """Median of the same period in the 13 weeks before."""
    return Sample(np.median(_before(units, weeks=weeks, memory=13), axis=0, keepdims=True))


def empirical_13(units: NDArray[np.float64], *, weeks: range) -> Sample:
    """Distribution of the same period in the 13 weeks before."""
    return Sample(_before(units, weeks=weeks, memory=13))


def median_56_days(units: NDArray[np.float64], *, weeks: range) -> Sample:
    """Median of all 56 days before, for every day of the week."""
    return Sample(np.median(_all_days(units, weeks=weeks), axis=0, keepdims=True))


def empirical_56_days(units: NDArray[np.float64], *, weeks: range) -> Sample:
    """Distribution of all 56 days before, for every day of the week."""
    return Sample(_all_days(units, weeks=weeks))


def _all_days(units: NDArray[np.float64], *, weeks: range) -> NDArray[np.float64]:
    """All days of the 8 weeks before, as draws for each period."""
    past = np.moveaxis(_before(units, weeks=weeks, memory=8), 3, 1)  # week back, day, product, week
    draws = past.reshape(-1, *past.shape[2:])
    return np.broadcast_to(draws[..., None], (*draws.shape, units.shape[2]))
