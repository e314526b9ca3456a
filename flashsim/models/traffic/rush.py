"""The ramp and decay of a rush: how visits rise above the ordinary level, hold, and fall back.

    import numpy as np
    from flashsim.models.traffic.rush import fit_rushes
    rushes = fit_rushes(series.visits).model              # or load_shipped().rush, fitted elsewhere
    print(rushes.sentences())
    rushes.typical.multiplier([-30.0, 0.0, 60.0, 240.0])  # visits over the ordinary, minutes from the start of the top
    rushes.draw(np.random.default_rng(0))                 # another rush of the same kind

With t in minutes from the start of the top,

    multiplier(t) = 1 + A s(t),   s = exp(t / ramp) before the top, 1 for hold minutes, exp(-(t - hold) / decay) after

A rush is a period of at least ``LEAST_MINUTES`` in which the 5-minute median is at least ``LEAST_MULTIPLIER`` times the
ordinary level. The ordinary level is a level (median of the day around the minute) times a profile of the day (median
over days). Each is computed without the other, and both are computed again without the rushes of a first pass. Two
rushes less than ``MERGE_MINUTES`` apart count as one; a rush beside an outage is left out. Each rush is fitted by least
squares of the log multiplier, over its own minutes and ``MARGIN_MINUTES`` on either side if no other rush lies there.
The model keeps the mean and covariance, over rushes, of the logarithms of (A, ramp, hold + 1, decay).

Rival shapes are fitted the same way and judged by the sum of squares with a penalty for parameters (BIC): a shape
without a hold, the difference of two exponentials that starts at an onset, and a power law in place of the exponential
decay.

Source: Crane & Sornette (2008), PNAS 105(41), 15649-15653 (power-law relaxation, the rival); Schwarz (1978), Ann.
Statist. 6 (BIC). Left out: what caused a rush, and the fall below the ordinary level that may follow it.
"""

from collections.abc import Callable
from dataclasses import astuple, dataclass
from typing import Any, Final, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy import optimize

from flashsim.data.traffic import MINUTES_A_DAY
from flashsim.errors import InputError
from flashsim.models.traffic.forecast import carry_forward, learnable_visits

Array = NDArray[np.float64]
LEAST_MULTIPLIER: Final = 2.0
LEAST_MINUTES: Final = 10
MERGE_MINUTES: Final = 60
MARGIN_MINUTES: Final = 120
OUTAGE: Final = 0.2
"""A period that falls below this share of the ordinary level contains an outage; its rush is left out."""
LEAST_RUSHES: Final = 3
"""The model needs this many rushes to describe how they differ."""
LONGEST_MINUTES: Final = 1440.0
"""Upper limit of every time of a shape."""
PARAMETERS: Final = ("amplitude", "ramp_minutes", "hold_minutes", "decay_minutes")


@dataclass(frozen=True)
class Rush:
    """One rush on top of the ordinary level."""

    amplitude: float
    """Extra visits at the top, as a multiple of the ordinary level; 1."""
    ramp_minutes: float
    """Time in which the extra visits grow by a factor e before the top."""
    hold_minutes: float
    """How long the top lasts."""
    decay_minutes: float
    """Time in which the extra visits fall by a factor e after the top."""

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if not (np.isfinite(value) and (value > 0.0 or (name == "hold_minutes" and value == 0.0))):
                raise InputError(f"{name} must be > 0, got {value}; correct the rush")

    def multiplier(self, minutes: ArrayLike) -> Array:
        """Visits over the ordinary level at ``minutes`` from the start of the top; >= 1."""
        return _plateau(
            [np.log(self.amplitude), np.log(self.ramp_minutes), self.hold_minutes, np.log(self.decay_minutes)], minutes
        )

    @property
    def extra_minutes(self) -> float:
        """Extra visits of the whole rush, in minutes of ordinary visits."""
        return self.amplitude * (self.ramp_minutes + self.hold_minutes + self.decay_minutes)


@dataclass(frozen=True)
class RushModel:
    """How rushes of one site differ: logarithms of (amplitude, ramp, hold + 1, decay) are jointly normal."""

    mean: Array  # 4; of the logarithms
    covariance: Array  # 4, 4
    rushes: int
    """Number of rushes in the fit."""

    def __post_init__(self) -> None:
        shapes = (np.shape(self.mean), np.shape(self.covariance))
        if shapes != ((4,), (4, 4)) or not (np.isfinite(self.mean).all() and np.isfinite(self.covariance).all()):
            raise InputError(
                f"mean and covariance: expected finite (4,) and (4, 4), got {shapes}; fit the rushes again"
            )

    @property
    def typical(self) -> Rush:
        """The rush at the mean of the logarithms."""
        return _as_rush(self.mean)

    def draw(self, generator: np.random.Generator) -> Rush:
        """Draw another rush of the same kind; its times are limited to a day."""
        return _as_rush(generator.multivariate_normal(self.mean, self.covariance, method="eigh"))

    def sentences(self) -> tuple[str, ...]:
        """The typical rush and the spread, in words."""
        rush, spread = self.typical, np.exp(np.sqrt(np.diag(self.covariance)))
        values = zip(PARAMETERS, astuple(rush), spread, strict=True)
        return tuple(
            f"{name}: {value:.3g}, ×/÷ {factor:.2f} over {self.rushes} rushes" for name, value, factor in values
        )


class RushFit(NamedTuple):
    """Rushes found in a series, fitted one by one."""

    model: RushModel
    start: NDArray[np.intp]  # rush; minute in which it rises above LEAST_MULTIPLIER
    end: NDArray[np.intp]  # rush; minute in which it falls below again
    rushes: tuple[Rush, ...]
    root_mean_square: Array  # rush; of log data over log fit
    information: dict[str, float]  # BIC of each shape over all rushes; the smallest is best


def fit_rushes(visits: ArrayLike) -> RushFit:
    """Find and fit the rushes of ``visits`` (minute,); InputError when there are fewer than ``LEAST_RUSHES``."""
    known = learnable_visits(visits)
    ratio = multiplier_of(known)
    found = find_rushes(ratio)
    around = [_stretch(ratio, found, place) for place in range(len(found))]
    whole = [place for place, (_, values) in enumerate(around) if values.min() >= np.log(OUTAGE)]
    spans, stretches = [found[place] for place in whole], [around[place] for place in whole]
    if len(spans) < LEAST_RUSHES:
        raise InputError(
            f"{len(spans)} rushes of {LEAST_MULTIPLIER:g} times the ordinary were found, at least {LEAST_RUSHES} are "
            "needed to say how they differ; bring more days or use the shipped parameters"
        )
    fits = {name: [_fit_shape(name, *stretch) for stretch in stretches] for name in SHAPES}
    minutes = sum(values.size for _, values in stretches)
    information = {
        name: float(
            minutes * np.log(sum(squares for _, squares in each) / minutes)
            + np.log(minutes) * len(each) * len(SHAPES[name].lower)
        )
        for name, each in fits.items()
    }
    best = [parameters for parameters, _ in fits["hold and decay"]]
    rushes = tuple(Rush(*map(float, (np.exp(p[1]), np.exp(p[2]), p[3], np.exp(p[4])))) for p in best)
    logs = np.log([[r.amplitude, r.ramp_minutes, r.hold_minutes + 1.0, r.decay_minutes] for r in rushes])
    model = RushModel(logs.mean(axis=0), np.cov(logs, rowvar=False), len(rushes))
    errors = [np.sqrt(squares / v.size) for (_, squares), (_, v) in zip(fits["hold and decay"], stretches, strict=True)]
    start, end = np.array(spans, dtype=np.intp).T
    return RushFit(model, start, end, rushes, np.array(errors), information)


def multiplier_of(visits: Array) -> Array:
    """(minute,) 5-minute median of ``visits`` over the ordinary level, in two passes: the second excludes rushes from
    it."""
    logs = np.log1p(np.asarray(pd.Series(carry_forward(visits)).rolling(5, center=True, min_periods=1).median()))
    ratio: Array = np.exp(logs - _ordinary(logs))
    quiet = logs.copy()
    for start, end in find_rushes(ratio):
        quiet[max(0, start - MARGIN_MINUTES // 2) : end + MARGIN_MINUTES // 2] = np.nan
    return np.asarray(np.exp(logs - _ordinary(quiet)), dtype=np.float64)


def _ordinary(logs: Array) -> Array:
    """(minute,) level plus daily profile of log visits (minute,; NaN: left out); each is computed without the other."""
    minute = np.arange(logs.size) % MINUTES_A_DAY
    profile = np.zeros(MINUTES_A_DAY)
    level = np.zeros(logs.size)
    for _ in range(3):
        rolling = pd.Series(logs - profile[minute]).rolling(MINUTES_A_DAY, center=True, min_periods=MINUTES_A_DAY // 4)
        level = rolling.median().interpolate(limit_direction="both").to_numpy()
        typical = pd.Series(logs - level).groupby(minute).median().interpolate(limit_direction="both")
        smooth = pd.Series(np.tile(typical.to_numpy(), 3)).rolling(61, center=True, min_periods=1).mean().to_numpy()
        profile = smooth[MINUTES_A_DAY : 2 * MINUTES_A_DAY]
    return np.asarray(level + profile[minute], dtype=np.float64)


def find_rushes(ratio: Array) -> list[tuple[int, int]]:
    """(first minute, first minute after) of each rush, ascending."""
    above = np.concatenate([[False], ratio >= LEAST_MULTIPLIER, [False]]).astype(np.int8)
    edges = np.flatnonzero(np.diff(above))
    spans: list[tuple[int, int]] = []
    for start, end in zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True):
        if spans and start - spans[-1][1] < MERGE_MINUTES:
            spans[-1] = (spans[-1][0], end)
        else:
            spans.append((start, end))
    return [span for span in spans if span[1] - span[0] >= LEAST_MINUTES]


class Shape(NamedTuple):
    """A shape of a rush: bounds of its parameters, and the curve from parameters and minutes."""

    lower: tuple[float, ...]
    upper: tuple[float, ...]
    curve: Callable[[Array, Array], Array]


def _plateau(parameters: ArrayLike, minutes: ArrayLike) -> Array:
    a, ramp, hold, decay = np.asarray(parameters, dtype=np.float64)
    t = np.asarray(minutes, dtype=np.float64)
    return 1.0 + np.exp(a + np.minimum(t, 0.0) / np.exp(ramp) - np.maximum(t - hold, 0.0) / np.exp(decay))


def _power(parameters: Array, t: Array) -> Array:
    a, ramp, scale, exponent = parameters
    return 1.0 + np.exp(a + np.minimum(t, 0.0) / np.exp(ramp) - exponent * np.log1p(np.maximum(t, 0.0) / np.exp(scale)))


def _bateman(parameters: Array, t: Array) -> Array:
    a, ramp, decay = parameters
    since = np.maximum(t, 0.0)
    return 1.0 + np.exp(a) * -np.expm1(-since / np.exp(ramp)) * np.exp(-since / np.exp(decay))


_T: Final = float(np.log(LONGEST_MINUTES))
_FAR: Final = LONGEST_MINUTES
SHAPES: Final[dict[str, Shape]] = {
    "hold and decay": Shape((-_FAR, -3.0, 0.0, 0.0, 0.0), (_FAR, 6.0, _T, _FAR, _T), _plateau),
    "decay at once": Shape(
        (-_FAR, -3.0, 0.0, 0.0), (_FAR, 6.0, _T, _T), lambda p, t: _plateau([p[0], p[1], 0.0, p[2]], t)
    ),
    "power law": Shape((-_FAR, -3.0, 0.0, 0.0, 0.1), (_FAR, 6.0, _T, _T, 10.0), _power),
    "two exponentials": Shape((-_FAR, -3.0, 0.0, 0.0), (_FAR, 6.0, _T, _T), _bateman),
}
"""Parameters of each shape: position of the top (or onset) in minutes, log amplitude, then those of the curve."""


def _fit_shape(name: str, minutes: Array, log_ratio: Array) -> tuple[Array, float]:
    """(parameters, sum of squares) of the best fit from several starts."""
    shape = SHAPES[name]

    def residuals(parameters: Array) -> Array:
        return np.log(shape.curve(parameters[1:], minutes - parameters[0])) - log_ratio

    top = float(np.log(max(np.exp(log_ratio.max()) - 1.0, 0.1)))
    length = float(minutes[-1] - 2.0 * MARGIN_MINUTES) if minutes[-1] > 2.5 * MARGIN_MINUTES else minutes[-1] / 3.0
    found: list[Any] = []
    for place, hold in ((0.0, 0.7), (float(minutes[int(log_ratio.argmax())]), 0.1)):
        middle = {
            "hold and decay": (place, top, 2.5, hold * length, 3.5),
            "decay at once": (place, top, 2.5, np.log(1.0 + hold * length)),
            "power law": (place, top, 2.5, np.log(1.0 + hold * length), 1.5),
            "two exponentials": (place - 20.0, top + 0.5, 2.5, np.log(1.0 + hold * length)),
        }[name]
        inside = np.clip(middle, np.add(shape.lower, 1e-6), np.subtract(shape.upper, 1e-6))
        found.append(optimize.least_squares(residuals, inside, bounds=(shape.lower, shape.upper), max_nfev=200))
    best = min(found, key=lambda result: result.cost)
    return best.x, 2.0 * float(best.cost)


def _stretch(ratio: Array, spans: list[tuple[int, int]], place: int) -> tuple[Array, Array]:
    """(minutes from the rush's start, log ratio) of a rush and its margins, up to halfway to its neighbors."""
    start, end = spans[place]
    low = max(0, start - MARGIN_MINUTES, (spans[place - 1][1] + start) // 2 if place else 0)
    high = min(ratio.size, end + MARGIN_MINUTES)
    if place + 1 < len(spans):
        high = min(high, (end + spans[place + 1][0]) // 2)
    return np.arange(low, high, dtype=np.float64) - start, np.log(ratio[low:high])


def _as_rush(logs: Array) -> Rush:
    amplitude, ramp, hold, decay = np.exp(logs)
    times = np.clip([ramp, hold - 1.0, decay], [1e-3, 0.0, 1e-3], LONGEST_MINUTES)
    return Rush(float(amplitude), *map(float, times))
