"""Members of an ensemble: the demand model, fitted again and again to data that could have been observed just as well.

Each member draws the households of the panel with replacement, and blocks of weeks with replacement. Households alone
understate the uncertainty, because all of them met the same few promotions. A household that is drawn twice counts
twice in the units; a block that is drawn twice counts twice in the likelihood.

Dispersions are measured around the one-week-ahead forecasts of the model that was fitted to the original data, with
blocks repeated as drawn. Drawing households twice would add variance that does not exist.

Source: Efron & Tibshirani (1993), An Introduction to the Bootstrap, ch. 8 (units of resampling).
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from flashsim.data.panel import DAYS_OF_WEEK, Panel, SaleLines
from flashsim.models.customers.segments import SegmentShares, fit_shares, hour_profiles
from flashsim.models.demand.dispersion import Dispersion, estimate_dispersion
from flashsim.models.demand.negative_binomial import (
    DEPTH,
    WARM_UP_WEEKS,
    DemandModel,
    DemandTable,
    DisplayContrast,
    filter_levels,
    fit_demand,
)
from flashsim.surface import HOURS_OF_DAY


@dataclass(frozen=True)
class Member:
    """One plausible world of demand."""

    model: DemandModel
    units_per_day: NDArray[np.float64]  # product; units on an average day at list price, without display or mailer
    shares: SegmentShares
    hour_profile: NDArray[np.float64]  # group, segment, hour; adds up to 1 over hours
    dispersion: Dispersion

    def daily_units(self, depth: NDArray[np.float64]) -> NDArray[np.float64]:
        """Units on an average day (product, depth) at each of ``depth``."""
        return self.units_per_day[:, None] * np.exp(self.model.slopes[:, DEPTH, None] * depth)


@dataclass(frozen=True)
class Observations:
    """The data from which members are drawn."""

    panel: Panel
    table: DemandTable
    lines: SaleLines
    segment: NDArray[np.intp]  # line; index into segment_names
    segment_names: tuple[str, ...]
    households: int


def fit_member(
    seen: Observations,
    *,
    household_weight: NDArray[np.float64],
    week_weight: NDArray[np.float64],
    start: DemandModel | None,
    display: DisplayContrast | None,
    ahead: NDArray[np.float64],
) -> Member:
    """Fit one member to households and weeks counted ``household_weight`` and ``week_weight`` times.

    ``ahead`` (product, week, day) are one-week-ahead forecasts for the original data; the dispersion uses them. With
    ``start`` the fit keeps the spread of slopes from there; without it, the fit estimates the spread again.
    """
    lines, panel = seen.lines, seen.panel
    weight = lines.units * household_weight[lines.household]
    units = _sum_cells(weight, (lines.product, lines.week, lines.day), panel.units.shape)
    table = seen.table._replace(units=units, week_weight=week_weight)
    model = fit_demand(table, display=display, start=start, iterations=12 if start is not None else 40)

    repeated = weight * week_weight[lines.week]
    by_segment = _sum_cells(
        repeated, (lines.product, lines.week, seen.segment), (panel.n_products, panel.n_weeks, len(seen.segment_names))
    )
    by_hour = _sum_cells(
        repeated,
        (panel.group_of[lines.product], seen.segment, lines.hour),
        (len(panel.groups), len(seen.segment_names), HOURS_OF_DAY),
    )
    days = slice(WARM_UP_WEEKS * DAYS_OF_WEEK, None)
    return Member(
        model=model,
        units_per_day=_average_day(table, model),
        shares=fit_shares(by_segment, table.covariates[:, :, DEPTH], clumping=panel.clumping),
        hour_profile=hour_profiles(by_hour),
        dispersion=estimate_dispersion(
            panel.units.reshape(panel.n_products, -1)[:, days],
            ahead.reshape(panel.n_products, -1)[:, days],
            clumping=panel.clumping,
            day_weight=np.repeat(week_weight, DAYS_OF_WEEK)[days],
        ),
    )


def fit_ensemble(
    seen: Observations,
    *,
    members: int,
    block_weeks: int,
    display: DisplayContrast | None,
    estimate_spread: bool,
    generator: np.random.Generator,
    progress: Callable[[str, int, int], None],
) -> tuple[Member, tuple[Member, ...]]:
    """Fit the model to the original data, and fit ``members`` bootstrap members.

    ``estimate_spread`` estimates the spread of slopes in each member anew; otherwise members keep that of the original
    fit.
    """
    panel = seen.panel
    center = fit_demand(seen.table, display=display)
    expected = center.expected_units(seen.table.covariates) * seen.table.exposure
    ahead = expected * filter_levels(panel.units, expected)[:, :, None]
    blocks = -(-panel.n_weeks // block_weeks)
    block_of_week = np.arange(panel.n_weeks) // block_weeks
    fits = []
    once = (np.ones(seen.households), np.ones(panel.n_weeks))
    draws = [once] + [
        (
            generator.multinomial(seen.households, np.full(seen.households, 1.0 / seen.households)).astype(float),
            generator.multinomial(blocks, np.full(blocks, 1.0 / blocks)).astype(float)[block_of_week],
        )
        for _ in range(members)
    ]
    for i, (household_weight, week_weight) in enumerate(draws):
        fits.append(
            fit_member(
                seen,
                household_weight=household_weight,
                week_weight=week_weight,
                start=None if estimate_spread and i > 0 else center,
                display=display,
                ahead=ahead,
            )
        )
        progress("fitting the ensemble", i + 1, len(draws))
    return fits[0], tuple(fits[1:])


def _average_day(table: DemandTable, model: DemandModel) -> NDArray[np.float64]:
    """Units (product) on an average day at list price without display or mailer, scaled to the units actually sold."""
    repeat = table.week_weight[:, None]
    fitted = (model.fitted_units(table.covariates) * table.exposure * repeat).sum(axis=(1, 2))
    sold = (table.units * table.exposure * repeat).sum(axis=(1, 2))
    scale = np.where(sold > 0.0, sold, 0.5) / np.maximum(fitted, 1e-12)
    weeks = (np.exp(model.week_effect) @ table.week_weight) / table.week_weight.sum()
    weekdays = np.exp(model.weekday_effect).mean(axis=1)
    average: NDArray[np.float64] = scale * np.exp(model.intercept) * (weeks * weekdays)[model.group_of]
    return average


def _sum_cells(
    values: NDArray[np.float64], place: tuple[NDArray[np.intp], ...], shape: tuple[int, ...]
) -> NDArray[np.float64]:
    sums = np.bincount(np.ravel_multi_index(place, shape), values, minlength=int(np.prod(shape)))
    return sums.reshape(shape).astype(np.float64)
