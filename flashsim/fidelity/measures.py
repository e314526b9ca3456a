"""What a card compares: statistics of held-out weeks, as they happened and as a World simulates them.

With y the units of a product on a day, s simulated ones of mean m and variance v, and z = (y - m)/√v:

    level         Σ y / Σ m
    distribution  mean over products of sup_k |F_y(k) - F_s(k)|         (two-sample Kolmogorov-Smirnov distance)
    PIT           sup |share of randomized PIT values below u - u|,  and the share inside [.05, .95] (coverage)
    dispersion    mean of z², which is 1 when the simulated spread is right
    response      b in  E[y of a week] = e^{a_p}·m·e^{(b-1)·u},  u the World's log uplift at the depth of the week: the
                  response that happened as a multiple of the World's (1 when right, 0 when discounts do nothing)
    sign          share of products whose own b is above 0
    correlation   (1 + (P-1)·r_y) / (1 + (P-1)·r_s),  r = Σ_d Σ_{p≠q} z_p z_q / ((P-1) Σ_d Σ_p z_p²): how much more the
                  total of P products swings than the simulated total, their own spreads aside
    hours         ½ Σ_h |share of units in hour h - the simulated share|            (total variation distance)
    burstiness    Fano factor of hourly counts of all products, given the day's total n and the mean profile π:
                  F = Σ (n_h - n·π_h)² / Σ n·π_h·(1 - π_h),  over the simulated one

The last three concern the products that are sold together, for they depend on how many these are; the others concern
each product, and take all that were modelled. Dispersion and coverage are taken over all product-days and over the
third with the largest simulated means: small counts vary by chance whatever the World says, a shop sells more than a
panel. Each measure is a function of a set of weeks, so that a bootstrap over blocks of weeks gives its interval; the
simulated side is held fixed, for it has many draws.

Source: Smirnov (1948), Ann. Math. Statist. 19; Czado, Gneiting & Held (2009), Biometrics 65 (randomized PIT); Cox
(1958), Biometrika 45, "Two further applications of a model for binary regression" (calibration slope); McCullagh &
Nelder (1989), Generalized Linear Models, ch. 9 (quasi-likelihood); Fano (1947), Physical Review 72.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from flashsim.data.panel import DAYS_OF_WEEK
from flashsim.fidelity.held_out import HeldOut, log_uplift
from flashsim.models.forecasting.scoring import Sample
from flashsim.models.forecasting.validation import INTERVAL
from flashsim.world import World

VARIED_DEPTH = 0.03
"""A product whose weekly depth has a smaller standard deviation tells nothing of its response."""
LARGEST_SLOPE = 5.0
"""A response is looked for up to so many times the World's, either sign."""
MOST_COUNTS = 1024
"""Distributions of larger counts are compared at so many quantiles of the simulation, and at all that happened."""
BUSIEST = 1.0 / 3.0
"""Share of product-days that count as busy."""
SMALLEST = 1e-9

Weeks = NDArray[np.intp]
"""Indices of weeks, possibly repeated."""


class Cells(NamedTuple):
    """Every product-day of the held-out weeks; days that are not counted are 0 everywhere."""

    counted: NDArray[np.float64]  # product, week, day; 1 or 0
    busy: NDArray[np.float64]  # product, week, day; 1 in the third with the largest simulated means
    happened: NDArray[np.float64]  # product, week, day; units
    mean: NDArray[np.float64]  # product, week, day; simulated
    variance: NDArray[np.float64]  # product, week, day; simulated
    z: NDArray[np.float64]  # product, week, day; (happened - mean) / standard deviation
    pit: NDArray[np.float64]  # product, week, day; randomized
    gap: NDArray[np.float64]  # product, week, count; sum over days of 1{y <= k} - share of draws <= k
    log_uplift: NDArray[np.float64]  # product, week
    varied: NDArray[np.bool_]  # product; depth varied in these weeks

    def of(self, product: int) -> "Cells":
        """One product alone."""
        one = slice(product, product + 1)
        return Cells(
            counted=self.counted[one],
            busy=self.busy[one],
            happened=self.happened[one],
            mean=self.mean[one],
            variance=self.variance[one],
            z=self.z[one],
            pit=self.pit[one],
            gap=self.gap[one],
            log_uplift=self.log_uplift[one],
            varied=self.varied[one],
        )


class Together(NamedTuple):
    """The products that are sold together: how their days and hours go."""

    z: NDArray[np.float64]  # product, week, day
    simulated_correlation: float
    hours: NDArray[np.float64]  # week, day, hour; units of all of them
    simulated_profile: NDArray[np.float64]  # hour; share of units
    simulated_fano: float


def lay_out(world: World, held: HeldOut, simulated: NDArray[np.int32], *, generator: np.random.Generator) -> Cells:
    """Lay out ``held`` beside ``simulated`` (draw, product, day); ``generator`` randomizes PIT."""
    shape = (world.n_products, held.n_weeks, DAYS_OF_WEEK)
    happened = held.units.sum(axis=2) * held.counted
    units = simulated * held.counted
    mean, variance = units.mean(axis=0), units.var(axis=0)
    below, up_to = Sample(units.astype(np.float64)).distribution(happened)
    counts = [_counts(units[:, product], happened[product]) for product in range(world.n_products)]
    gap = np.zeros((world.n_products, held.n_weeks, max(reach.size for reach in counts)))
    for product, reach in enumerate(counts):
        share = (units[:, product, :, None] <= reach).mean(axis=0)
        difference = ((happened[product, :, None] <= reach) - share) * held.counted[product, :, None]
        gap[product, :, : reach.size] = difference.reshape(held.n_weeks, DAYS_OF_WEEK, -1).sum(axis=1)
    threshold = np.quantile(mean[held.counted], 1.0 - BUSIEST)
    return Cells(
        counted=held.counted.astype(np.float64).reshape(shape),
        busy=(held.counted & (mean >= threshold)).astype(np.float64).reshape(shape),
        happened=happened.astype(np.float64).reshape(shape),
        mean=mean.reshape(shape),
        variance=variance.reshape(shape),
        z=_standardized(happened, mean, variance).reshape(shape),
        pit=(below + generator.random(happened.shape) * (up_to - below)).reshape(shape),
        gap=gap,
        log_uplift=_weekly_uplift(world, held, mean),
        varied=held.offers.depth.std(axis=1) >= VARIED_DEPTH,
    )


def lay_out_together(
    cells: Cells, held: HeldOut, days: NDArray[np.int32], hours: NDArray[np.int32], *, products: NDArray[np.intp]
) -> Together:
    """The ``products`` of ``cells``, beside simulated ``days`` (draw, product, day) and ``hours`` (draw, day, hour)."""
    mean, variance = (part[products].reshape(len(products), -1) for part in (cells.mean, cells.variance))
    units = days[:, products] * held.counted[products]
    actual = (held.units[products] * held.counted[products][:, :, None]).sum(axis=0)
    return Together(
        z=cells.z[products],
        simulated_correlation=correlation(_standardized(units, mean, variance)),
        hours=actual.astype(np.float64).reshape(held.n_weeks, DAYS_OF_WEEK, -1),
        simulated_profile=_shares(hours.sum(axis=(0, 1))),
        simulated_fano=float(np.mean([fano(draw) for draw in hours.astype(np.float64)])),
    )


def level(cells: Cells, weeks: Weeks) -> float:
    """Units that happened over those simulated."""
    return _ratio(cells.happened[:, weeks].sum(), cells.mean[:, weeks].sum())


def distribution(cells: Cells, weeks: Weeks) -> float:
    """Mean over products of the Kolmogorov-Smirnov distance between daily units that happened and simulated ones."""
    size = cells.counted[:, weeks].sum(axis=(1, 2))
    distance = np.abs(cells.gap[:, weeks].sum(axis=1)).max(axis=1) / np.maximum(size, 1.0)
    return _ratio(distance.sum(), (size > 0.0).sum())


def pit_uniformity(cells: Cells, weeks: Weeks) -> float:
    """Kolmogorov-Smirnov distance of randomized PIT values from the uniform distribution."""
    pit = np.sort(cells.pit[:, weeks][cells.counted[:, weeks] > 0.0])
    if not pit.size:
        return 1.0
    rank = np.arange(pit.size + 1) / pit.size
    return float(max((rank[1:] - pit).max(), (pit - rank[:-1]).max()))


def interval_coverage(cells: Cells, weeks: Weeks) -> float:
    """Share of randomized PIT values inside the central 90 %."""
    return _covered(cells, cells.counted, weeks)


def busy_coverage(cells: Cells, weeks: Weeks) -> float:
    """The same over the busiest third of product-days."""
    return _covered(cells, cells.busy, weeks)


def dispersion(cells: Cells, weeks: Weeks) -> float:
    """Variance around the simulated means over the simulated variance, product-days weighted alike."""
    return _ratio((cells.z[:, weeks] ** 2).sum(), cells.counted[:, weeks].sum())


def busy_dispersion(cells: Cells, weeks: Weeks) -> float:
    """The same over the busiest third of product-days."""
    return _ratio((cells.z[:, weeks] ** 2 * cells.busy[:, weeks]).sum(), cells.busy[:, weeks].sum())


def response(cells: Cells, weeks: Weeks) -> float:
    """Discount response that happened as a multiple of the World's."""
    return float(_responses(cells, weeks, np.zeros(int(cells.varied.sum()), dtype=np.intp))[0])


def right_signs(cells: Cells, weeks: Weeks) -> float:
    """Share of products whose own discounts raised their sales, of those whose depth varied."""
    return float((_responses(cells, weeks, np.arange(int(cells.varied.sum()))) > 0.0).mean())


def joint_swing(together: Together, weeks: Weeks) -> float:
    """Variance of a day's total over the simulated one, both over what independent products would have."""
    others = len(together.z) - 1
    happened = 1.0 + others * days_correlation(together, weeks)
    return _ratio(max(happened, 0.0), 1.0 + others * together.simulated_correlation)


def days_correlation(together: Together, weeks: Weeks) -> float:
    """Mean correlation between products of what days sell beyond their simulated means."""
    return correlation(together.z[:, weeks].reshape(1, len(together.z), -1))


def correlation(z: NDArray[np.float64]) -> float:
    """Mean correlation between the products of ``z`` (draw, product, day)."""
    own = (z**2).sum(axis=1)
    return _ratio((z.sum(axis=1) ** 2 - own).sum(), (z.shape[1] - 1) * own.sum())


def hour_shape(together: Together, weeks: Weeks) -> float:
    """Share of units that would have to move to another hour for the profiles to agree."""
    profile = _shares(together.hours[weeks].sum(axis=(0, 1)))
    return float(0.5 * np.abs(profile - together.simulated_profile).sum())


def burstiness(together: Together, weeks: Weeks) -> float:
    """Fano factor of hourly counts given the day over the simulated one."""
    return _ratio(hourly_fano(together, weeks), together.simulated_fano)


def hourly_fano(together: Together, weeks: Weeks) -> float:
    """Fano factor of the hourly counts that happened."""
    return fano(together.hours[weeks].reshape(-1, together.hours.shape[2]))


def fano(hours: NDArray[np.float64]) -> float:
    """Fano factor of counts (day, hour) around the mean profile, given the totals of days."""
    profile, total = _shares(hours.sum(axis=0)), hours.sum(axis=1, keepdims=True)
    return _ratio(((hours - total * profile) ** 2).sum(), (total * profile * (1.0 - profile)).sum())


def _counts(simulated: NDArray[np.integer], happened: NDArray[np.integer]) -> NDArray[np.integer]:
    """The counts at which the distributions of one product are compared."""
    most = max(int(simulated.max()), int(happened.max()))
    if most < MOST_COUNTS:
        return np.arange(most + 1)
    quantiles = np.quantile(simulated, np.linspace(0.0, 1.0, MOST_COUNTS)).astype(np.int64)
    return np.unique(np.concatenate([quantiles, happened]))


def _weekly_uplift(world: World, held: HeldOut, mean: NDArray[np.float64]) -> NDArray[np.float64]:
    """Log uplift (product, week); of days it is their mean, weighted by what is simulated on them (product, day)."""
    uplift = log_uplift(world, held.offers)
    if held.days_an_offer > 1:
        return uplift
    shape = (world.n_products, held.n_weeks, DAYS_OF_WEEK)
    weighted = (uplift * mean).reshape(shape).sum(axis=2)
    weekly: NDArray[np.float64] = weighted / np.maximum(mean.reshape(shape).sum(axis=2), SMALLEST)
    return weekly


def _ratio(above: float, below: float) -> float:
    return float(above / max(float(below), SMALLEST))


def _shares(counts: NDArray[np.generic]) -> NDArray[np.float64]:
    values = np.asarray(counts, dtype=np.float64)
    return values / max(values.sum(), SMALLEST)


def _standardized(
    units: NDArray[np.integer], mean: NDArray[np.float64], variance: NDArray[np.float64]
) -> NDArray[np.float64]:
    """(units - mean) over the standard deviation; units that could not happen lie one unit's spread a unit away."""
    return (units - mean) / np.sqrt(np.where(variance > 0.0, variance, 1.0))


def _covered(cells: Cells, where: NDArray[np.float64], weeks: Weeks) -> float:
    low, high = INTERVAL
    inside = (cells.pit >= low) & (cells.pit <= high)
    return _ratio((inside * where)[:, weeks].sum(), where[:, weeks].sum())


def _responses(cells: Cells, weeks: Weeks, pool: NDArray[np.intp]) -> NDArray[np.float64]:
    """b of each pool of the products whose depth varied (``pool``: product -> pool).

    Newton steps of the quasi-likelihood with the effects of products profiled out.
    """
    varied = np.flatnonzero(cells.varied)
    units, mean, variance = (
        part[varied][:, weeks].sum(axis=2) for part in (cells.happened, cells.mean, cells.variance)
    )
    uplift = cells.log_uplift[varied][:, weeks]
    scale = np.maximum(variance / np.maximum(mean, SMALLEST), SMALLEST)
    sold = (units / scale).sum(axis=1)
    slope = np.ones(int(pool.max()) + 1)
    for _ in range(30):
        fitted = mean * np.exp((slope[pool][:, None] - 1.0) * uplift)
        fitted *= (sold / np.maximum((fitted / scale).sum(axis=1), SMALLEST))[:, None]
        weight = fitted / scale
        spread = uplift - ((weight * uplift).sum(axis=1) / np.maximum(weight.sum(axis=1), SMALLEST))[:, None]
        gradient = np.bincount(pool, ((units - fitted) / scale * spread).sum(axis=1))
        step = gradient / np.maximum(np.bincount(pool, (weight * spread**2).sum(axis=1)), SMALLEST)
        slope = np.clip(slope + np.clip(step, -0.5, 0.5), -LARGEST_SLOPE, LARGEST_SLOPE)
        if np.abs(step).max() < 1e-3:
            break
    return slope
