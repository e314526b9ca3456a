"""Response surfaces: a learned model as a table over discount depths and hours of the day, and how the table is read.

``table[..., depth, hour]`` is the mean rate over an hour. Between its nodes it is read

    in depth   by the monotone cubic through the nodes: it never falls where the table does not
    in time    by the derivative of the periodic quintic spline through the cumulative rate, so every hour keeps its
               mean; an hour that would fall below zero is pulled to its mean until it does not

Where the curve of a deeper discount would still fall below that of a shallower one, it is kept at the shallower one.
The simulated sale reads a World in this way. :func:`tabulate` measures in the same way how far the table is from its
model: at random depths and minutes, the largest

    |table - model| / max(model, 5 % of the cell's peak)

must stay within ``LARGEST_ERROR``, or no table is made. No table follows a model of steps, such as trees:
:class:`SmoothedSteps` sorts its values by depth (rearrangement, which brings them no farther from any rising truth),
averages them twice over a window, and reports what this loses.

Source: Fritsch & Butland (1984), SIAM J. Sci. Stat. Comput. 5(2), 300-304 (monotone cubic); Zhang & Shu (2010), J.
Comput. Phys. 229, 3091-3120 (limiter that keeps means); Chernozhukov, Fernandez-Val & Galichon (2009), Biometrika
96(3), 559-575 (rearrangement). Left out: changes within an hour, beyond what the hours around it show.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.interpolate import BSpline, PchipInterpolator, make_interp_spline

from flashsim.errors import InputError

Array = NDArray[np.float64]
ResponseModel = Callable[[Array, Array], Array]
"""Rates (..., depth, minute), 1/minute, at depths (depth,) and minutes of the day (minute,), from any model."""

HOURS_OF_DAY: Final = 24
MINUTES_OF_DAY: Final = 1440.0
LARGEST_ERROR: Final = 0.01
"""Largest allowed error of a table."""
FLOOR: Final = 0.05
"""Where a rate is below this share of its cell's peak, errors are relative to that share."""
PROBES: Final = 40
"""Number of random depths, and of random minutes, at which a table is compared with its model."""
FINE_STEP: Final = 0.0025
"""Step of depth at which a model of steps is evaluated."""
SAMPLES_AN_HOUR: Final = 12
"""Number of points in an hour at which the curve is checked for values below zero."""


class Table(NamedTuple):
    """A model's values, and how far the values read between them are from the model."""

    values: Array  # ..., depth, hour; 1/minute
    error: float  # largest relative error at the probes


def read_surface(table: ArrayLike, depth_grid: ArrayLike, *, depths: ArrayLike, minutes: ArrayLike) -> Array:
    """Read rates (..., depth, minute) at ``depths`` (ascending) and ``minutes`` of the day (any real).

    InputError when depths descend or leave the grid.
    """
    values, grid = np.asarray(table, dtype=np.float64), np.asarray(depth_grid, dtype=np.float64)
    wanted = np.asarray(depths, dtype=np.float64)
    if not (wanted.size and (np.diff(wanted) >= 0.0).all() and wanted[0] >= grid[0] and wanted[-1] <= grid[-1]):
        raise InputError(f"depths must ascend within {grid[0]:g} … {grid[-1]:g}, got {wanted.tolist()}; correct them")
    at_depth = np.moveaxis(read_depths(np.moveaxis(values, -2, -1), grid, wanted), -1, -2)
    return np.asarray(np.maximum.accumulate(read_day(at_depth, minutes), axis=-2))


def read_depths(values: Array, depth_grid: Array, depths: Array) -> Array:
    """Read ``values`` (..., grid) at ``depths`` (depth,) within the grid, by the monotone cubic; a single depth holds
    for all."""
    if depth_grid.size == 1:
        return np.repeat(values, depths.size, axis=-1)
    return np.asarray(PchipInterpolator(depth_grid, values, axis=-1)(depths))


def read_day(hours: ArrayLike, minutes: ArrayLike) -> Array:
    """Rates (..., minute) >= 0 at ``minutes`` of the day, from means over its hours (..., hour); the means are kept."""
    means = np.ascontiguousarray(hours, dtype=np.float64)
    place = (np.asarray(minutes, dtype=np.float64) % MINUTES_OF_DAY) / 60.0
    touched, hour = np.unique(np.minimum(place.astype(np.intp), HOURS_OF_DAY - 1), return_inverse=True)
    samples = touched[:, None] + (np.arange(SAMPLES_AN_HOUR) + 0.5) / SAMPLES_AN_HOUR
    mean = means[..., touched]
    lowest = _weighted(means, _weights(samples.ravel())).reshape(*mean.shape, SAMPLES_AN_HOUR).min(axis=-1)
    kept = np.divide(mean, mean - lowest, out=np.ones_like(mean), where=lowest < 0.0)
    curve = _weighted(means, _weights(place)) - mean[..., hour]
    return np.maximum(mean[..., hour] + kept[..., hour] * curve, 0.0)


def tabulate(model: ResponseModel, depth_grid: ArrayLike, *, generator: np.random.Generator) -> Table:
    """Make the table of ``model`` on ``depth_grid``; means over an hour use four Gauss nodes.

    ``generator`` draws the probes. InputError where the table differs from the model by more than ``LARGEST_ERROR``, as
    it does for a model that falls with depth.
    """
    grid = np.asarray(depth_grid, dtype=np.float64)
    places, weights = np.polynomial.legendre.leggauss(4)
    minutes = (60.0 * (np.arange(HOURS_OF_DAY)[:, None] + (places + 1.0) / 2.0)).ravel()
    nodes = model(grid, minutes)
    means = nodes.reshape(*nodes.shape[:-1], HOURS_OF_DAY, places.size) @ (weights / 2.0)
    values = np.maximum.accumulate(means, axis=-2)
    depths = np.sort(generator.uniform(grid[0], grid[-1], PROBES))
    minutes = generator.uniform(0.0, MINUTES_OF_DAY, PROBES)
    truth = model(depths, minutes)
    seen = read_surface(values, grid, depths=depths, minutes=minutes)
    errors = relative(seen - truth, truth, peak=values.max(axis=(-2, -1), keepdims=True))
    worst = np.unravel_index(int(errors.argmax()), errors.shape)
    if errors[worst] > LARGEST_ERROR:
        minute = int(minutes[worst[-1]])
        raise InputError(
            f"a table on {grid.size} depths strays from its model by {errors[worst]:.1%} of max(rate, {FLOOR:.0%} of "
            f"the peak) at depth {depths[worst[-2]]:.3f}, {minute // 60:02}:{minute % 60:02}; at most "
            f"{LARGEST_ERROR:.0%} is allowed: use a finer grid, or smooth a model of steps first"
        )
    return Table(values, float(errors[worst]))


def tabulate_daily(model: Callable[[Array], Array], depth_grid: ArrayLike, *, generator: np.random.Generator) -> Table:
    """The same of a model (..., depth) whose depths and hours are factors: the table (..., depth) of its days.

    The hours multiply table and model alike, so the error at any minute is at most that of the day.
    """
    grid = np.asarray(depth_grid, dtype=np.float64)
    values = np.maximum.accumulate(model(grid), axis=-1)
    depths = np.sort(generator.uniform(grid[0], grid[-1], PROBES))
    truth = model(depths)
    seen = np.maximum.accumulate(read_depths(values, grid, depths), axis=-1)
    errors = relative(seen - truth, truth, peak=values.max(axis=-1, keepdims=True))
    worst = np.unravel_index(int(errors.argmax()), errors.shape)
    if errors[worst] > LARGEST_ERROR:
        raise InputError(
            f"a table on {grid.size} depths strays from its model by {errors[worst]:.1%} at depth "
            f"{depths[worst[-1]]:.3f}; at most {LARGEST_ERROR:.0%} is allowed: use a finer grid"
        )
    return Table(values, float(errors[worst]))


def between(values: Array, nodes: Array, places: Array) -> Array:
    """Interpolate ``values`` (..., node) at ``places`` (place,) linearly between ``nodes``; constant beyond them."""
    place = np.interp(places, nodes, np.arange(nodes.size))
    low = np.minimum(place.astype(np.intp), nodes.size - 2)
    part = place - low
    return np.asarray(values[..., low] * (1.0 - part) + values[..., low + 1] * part)


def relative(difference: Array, truth: Array, *, peak: Array) -> Array:
    """|difference| over max(truth, ``FLOOR`` of the peak); 0 for a cell that never sells."""
    size: Array = np.abs(difference) / np.maximum(np.maximum(truth, FLOOR * peak), np.finfo(np.float64).tiny)
    return size


@dataclass(frozen=True)
class SmoothedSteps:
    """A model of steps, smoothed so that it rises with depth; itself a ResponseModel."""

    model: ResponseModel
    """The model of steps."""
    deepest: float
    """Largest depth at which it is evaluated."""
    window: float = 0.15
    """Width in depth of the window of both averages: three steps of a grid of .05, wide enough that jumps to double
    pass."""

    def __post_init__(self) -> None:
        if not 0.0 < self.deepest < 1.0:
            raise InputError(f"deepest must lie between 0 and 1, got {self.deepest}; give the deepest discount asked")
        if not FINE_STEP <= self.window <= self.deepest / 2.0:
            raise InputError(f"window must lie from {FINE_STEP} to half of deepest, got {self.window}; correct it")

    def __call__(self, depths: Array, minutes: Array) -> Array:
        """Smooth rates (..., depth, minute)."""
        fine = self._fine()
        smooth = np.sort(self.model(fine, minutes), axis=-2)
        for _ in range(2):
            smooth = _running_mean(smooth, round(self.window / FINE_STEP / 2.0))
        return np.moveaxis(between(np.moveaxis(smooth, -2, -1), fine, depths), -1, -2)

    def loss(self, *, generator: np.random.Generator) -> tuple[float, float]:
        """(mean, largest) relative difference between the smooth rates and those of the steps, at random minutes."""
        fine, minutes = self._fine(), generator.uniform(0.0, MINUTES_OF_DAY, PROBES)
        steps = self.model(fine, minutes)
        lost = relative(self(fine, minutes) - steps, steps, peak=steps.max(axis=(-2, -1), keepdims=True))
        return float(lost.mean()), float(lost.max())

    def _fine(self) -> Array:
        return np.linspace(0.0, self.deepest, round(self.deepest / FINE_STEP) + 1)


def _weighted(means: Array, weights: Array) -> Array:
    """Sums (..., place) of ``means`` (..., hour) by ``weights`` (place, hour), each in one fixed order: a matrix
    product would add in another order with other products or threads."""
    return np.asarray(np.einsum("...h,ph->...p", means, weights, optimize=False))


def _weights(hour: Array) -> Array:
    """Weights (place, hour) of the hourly means in the rate at ``hour`` (place,), hours from midnight."""
    return np.asarray(_hour_curve()(hour) + 1.0 / HOURS_OF_DAY)


@cache
def _hour_curve() -> BSpline:
    """Derivative, by hour, of the splines through the cumulative rates of one hour each, less what all have: the same
    in every call, and half of the time of a calibration when it was made anew."""
    edges = np.arange(HOURS_OF_DAY + 1.0)
    one_each = np.eye(HOURS_OF_DAY)
    cumulative = np.concatenate([np.zeros((1, HOURS_OF_DAY)), np.cumsum(one_each, axis=0)])
    around = cumulative - edges[:, None] / HOURS_OF_DAY
    around[-1] = around[0]  # equal except for rounding; a periodic spline needs exact equality
    return make_interp_spline(edges, around, k=5, bc_type="periodic").derivative()


def _running_mean(values: Array, half: int) -> Array:
    """Means over ``half`` neighbors on either side along the second last axis; beyond the ends the trends continue."""
    width = [(0, 0)] * (values.ndim - 2) + [(half + 1, half), (0, 0)]
    total = np.cumsum(np.pad(values, width, mode="reflect", reflect_type="odd"), axis=-2)
    size = 2 * half + 1
    return np.maximum((total[..., size:, :] - total[..., :-size, :]) / size, 0.0)
