"""Expected units of a product on a day, given its offer: a negative-binomial log-linear model per product group.

    y ~ NB(mean mu, variance clumping·mu + alpha·mu²)
    ln mu(p, w, j) = a_p + b_p·depth + c_p·display + e_p·mailer + week(g, w) + weekday(g, j)     p a product of group g

Slopes borrow strength: (b, c, e)_p ~ N(group slope, sd²), group slope ~ N(overall slope, sd²). A group with few
promotions therefore falls back to the overall response and does not run away. These standard deviations are estimated
(EM on the penalized likelihood, Laplace approximation). Week effects follow a random walk, so they take up season and
not promotions. The depth slope is kept >= 0: a deeper discount never lowers demand. The effects of future weeks are
unknown; there a filter that has seen only the past gives the level of each product. A separate estimate gives how units
spread over the hours of a day (:mod:`flashsim.models.customers.segments`).

On held-out weeks a straight line in depth was as good as a hinge at 20 or 30 %, a step at 8 % or -ln(1 - depth).

Left out: effects of one product's offer on another, lagged effects (pulled-forward demand), and instruments. Prices are
not random, and some confounding of depth with unrecorded support remains in b.

Source: Hilbe (2011), Negative Binomial Regression, ch. 8 (NB2 score and weights); Breslow & Clayton (1993), JASA 88,
"Approximate inference in generalized linear mixed models" (penalized quasi-likelihood and its variance updates); Smith
(1979), JRSS B 41, "A generalization of the Bayesian steady forecasting model" (gamma-Poisson level filter).
"""

from dataclasses import dataclass, replace
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from flashsim.errors import InputError

COVARIATES: Final = ("depth", "display", "mailer")
DEPTH, DISPLAY, MAILER = range(3)
WEEK_STEP_SD: Final = 0.03
"""Standard deviation of the change of a group's week effect from one week to the next, log scale.

Seasons move slowly; promotions change from week to week. Week effects that may jump (independent from week to week)
absorb what a promotion takes from the rest of its own group. The slopes of the promoted products then come out too
steep: for milk by a third. Errors on weeks 22 to 37 of Complete Journey hardly depend on this value.
"""
WEEK_SD: Final = 0.3
"""Prior standard deviation of a group's week effect itself, log scale."""
WEEKDAY_SD: Final = 0.5
"""Prior standard deviation of a group's weekday effects, log scale: wide."""
ALPHA_LIMITS: Final = (1e-3, 3.0)
"""Limits of the dispersion that weighs the fit."""
WARM_UP_WEEKS: Final = 8
"""The level filter sees this many weeks before its errors count for the dispersion."""
MAX_STEP: Final = 1.0
"""Largest Newton step, log scale."""


class DemandTable(NamedTuple):
    """The data of a fit."""

    units: NDArray[np.float64]  # product, week, day; units
    exposure: NDArray[np.float64]  # product, week, day; 1 where the product was on sale, else 0
    covariates: NDArray[np.float64]  # product, week, covariate; shares
    group_of: NDArray[np.intp]  # product; group index
    week_weight: NDArray[np.float64]  # week; how often the week counts (1, or a bootstrap count)
    clumping: NDArray[np.float64]  # product; >= 1, variance of a count over its mean when alpha is 0


@dataclass(frozen=True)
class DemandModel:
    """Fitted effects, all on the log scale."""

    group_of: NDArray[np.intp]  # product
    intercept: NDArray[np.float64]  # product
    slopes: NDArray[np.float64]  # product, covariate
    slope_variance: NDArray[np.float64]  # product, covariate; Laplace approximation
    group_slopes: NDArray[np.float64]  # group, covariate
    overall_slopes: NDArray[np.float64]  # covariate
    week_effect: NDArray[np.float64]  # group, week
    weekday_effect: NDArray[np.float64]  # group, day; Monday first
    alpha: NDArray[np.float64]  # product; dispersion in sample, used as weight
    slope_sd: NDArray[np.float64]  # covariate; products around their group
    group_slope_sd: NDArray[np.float64]  # covariate; groups around the overall slope

    def expected_units(self, covariates: NDArray[np.float64]) -> NDArray[np.float64]:
        """Mean units (product, week, day) of an average week at ``covariates`` (product, week, covariate)."""
        weekly = self.intercept[:, None] + np.einsum("pwk,pk->pw", covariates, self.slopes)
        return np.exp(weekly[:, :, None] + self.weekday_effect[self.group_of][:, None, :])

    def fitted_units(self, covariates: NDArray[np.float64]) -> NDArray[np.float64]:
        """Mean units (product, week, day) of the weeks of the fit."""
        return self.expected_units(covariates) * np.exp(self.week_effect)[self.group_of][:, :, None]


class DisplayContrast(NamedTuple):
    """What a display does, from stores that differ in the same week: see :mod:`flashsim.models.demand.display`."""

    effect: float
    """Log scale."""
    spread: float
    """Standard deviation of products and groups around the effect."""


def fit_demand(
    table: DemandTable,
    *,
    display: DisplayContrast | None = None,
    start: DemandModel | None = None,
    iterations: int = 40,
    tolerance: float = 1e-4,
) -> DemandModel:
    """Fit by penalized Newton steps.

    Over time, displays come with deep discounts, and a fit on totals assigns to displays what discounts did.
    ``display`` holds the prior of the display slopes at a cleaner estimate. With ``start`` the fit begins there and
    keeps its standard deviations, dispersion and overall slopes (members of an ensemble may do this); without it, the
    fit estimates them. InputError when shapes disagree or a value is out of range.
    """
    _check(table)
    model = _initial(table) if start is None else start
    for iteration in range(iterations):
        model, step = _newton_step(table, model)
        if start is None and iteration >= 2:
            model = _update_spread(table, model, display)
        if step < tolerance and iteration >= 2:
            break
    return model


def filter_levels(
    units: NDArray[np.float64], expected: NDArray[np.float64], *, memory: float = 0.7, prior_units: float = 10.0
) -> NDArray[np.float64]:
    """Level (product, week) that multiplies ``expected``, from the weeks before each week alone.

    ``units`` and ``expected`` are (product, week, day); expected is 0 where a product was not on sale. Evidence fades
    by ``memory`` a week; ``prior_units`` expected units pull the level towards 1. Source: Smith (1979).
    """
    seen, expected_week = np.where(expected > 0.0, units, 0.0).sum(axis=2), expected.sum(axis=2)
    levels = np.ones(seen.shape)
    sold = predicted = np.zeros(len(units))
    for week in range(seen.shape[1]):
        levels[:, week] = (sold + prior_units) / (predicted + prior_units)
        sold = memory * sold + seen[:, week]
        predicted = memory * predicted + expected_week[:, week]
    return levels


def _check(table: DemandTable) -> None:
    products, weeks, _ = table.units.shape
    expected = {
        "exposure": table.units.shape,
        "covariates": (products, weeks, len(COVARIATES)),
        "group_of": (products,),
        "week_weight": (weeks,),
        "clumping": (products,),
    }
    for name, shape in expected.items():
        if getattr(table, name).shape != shape:
            raise InputError(f"{name}: expected {shape}, got {getattr(table, name).shape}")
    for name in ("units", "exposure", "covariates", "week_weight"):
        values = getattr(table, name)
        if not (np.isfinite(values).all() and (values >= 0.0).all()):
            raise InputError(f"{name}: expected finite values >= 0, got {values[~(values >= 0.0)][:1].tolist()}")
    never = np.flatnonzero(~table.exposure.any(axis=(1, 2)))
    if never.size:
        raise InputError(f"product {never[0]} (counted from 0) is never on sale; leave it out")


def _initial(table: DemandTable) -> DemandModel:
    products, weeks, days = table.units.shape
    groups, covariates = int(table.group_of.max()) + 1, len(COVARIATES)
    counted = table.exposure * table.week_weight[:, None]
    sold = (table.units * counted).sum(axis=(1, 2)) + 0.5
    return DemandModel(
        group_of=table.group_of,
        intercept=np.log(sold / np.maximum(counted.sum(axis=(1, 2)), 1.0)),
        slopes=np.zeros((products, covariates)),
        slope_variance=np.zeros((products, covariates)),
        group_slopes=np.zeros((groups, covariates)),
        overall_slopes=np.zeros(covariates),
        week_effect=np.zeros((groups, weeks)),
        weekday_effect=np.zeros((groups, days)),
        alpha=np.full(products, 0.3),
        slope_sd=np.full(covariates, 0.7),
        group_slope_sd=np.full(covariates, 0.7),
    )


def _newton_step(table: DemandTable, model: DemandModel) -> tuple[DemandModel, float]:
    """Take one penalized Newton step; return the model and the largest change.

    The effects of different products meet only in the effects that their group shares (group slopes, weeks, weekdays).
    So the blocks of the products are eliminated first (Schur complement).
    """
    system = _newton_system(table, model)
    inverse_product = np.linalg.inv(system.product)
    carried = inverse_product @ system.cross
    variance = np.diagonal(inverse_product, axis1=1, axis2=2).copy()
    product_step = np.einsum("pkl,pl->pk", inverse_product, system.product_gradient)
    shared_step = np.zeros(system.shared_gradient.shape)
    for group in range(len(shared_step)):
        members = np.flatnonzero(model.group_of == group)
        back = carried[members]
        eliminated = np.einsum("pks,pkt->st", system.cross[members], back)
        inverse = np.linalg.inv(system.shared[group] - eliminated)
        gradient = system.shared_gradient[group] - np.einsum("pks,pk->s", back, system.product_gradient[members])
        shared_step[group] = np.clip(inverse @ gradient, -MAX_STEP, MAX_STEP)
        variance[members] += ((back @ inverse) * back).sum(axis=2)
        product_step[members] -= back @ shared_step[group]
    product_step = np.clip(product_step, -MAX_STEP, MAX_STEP)
    slopes = model.slopes + product_step[:, 1:]
    slopes[:, DEPTH] = np.maximum(slopes[:, DEPTH], 0.0)
    edges = np.cumsum((model.slopes.shape[1], model.week_effect.shape[1]))
    group_step, week_step, weekday_step = np.split(shared_step, edges, axis=1)
    moved = replace(
        model,
        intercept=model.intercept + product_step[:, 0],
        slopes=slopes,
        slope_variance=variance[:, 1:],
        group_slopes=model.group_slopes + group_step,
        week_effect=model.week_effect + week_step,
        weekday_effect=model.weekday_effect + weekday_step,
    )
    return moved, float(max(np.abs(product_step).max(), np.abs(shared_step).max()))


class _NewtonSystem(NamedTuple):
    """Second and first derivatives of the penalized log-likelihood, with signs such that step = inverse @ gradient."""

    product: NDArray[np.float64]  # product, effect, effect; effects: intercept, slopes
    cross: NDArray[np.float64]  # product, effect, shared effect; shared: group slopes, weeks, weekdays
    shared: NDArray[np.float64]  # group, shared effect, shared effect
    product_gradient: NDArray[np.float64]  # product, effect
    shared_gradient: NDArray[np.float64]  # group, shared effect


def _newton_system(table: DemandTable, model: DemandModel) -> _NewtonSystem:
    mean = model.fitted_units(table.covariates) * table.exposure
    variance_ratio = table.clumping[:, None, None] + model.alpha[:, None, None] * mean
    repeat = table.week_weight[:, None]
    weight = mean / variance_ratio * repeat
    score = np.where(table.exposure > 0.0, table.units - mean, 0.0) / variance_ratio * repeat
    weekly_weight, weekly_score = weight.sum(axis=2), score.sum(axis=2)
    design = np.concatenate([np.ones((*table.covariates.shape[:2], 1)), table.covariates], axis=2)
    precision, group_precision = 1.0 / model.slope_sd**2, 1.0 / model.group_slope_sd**2
    slopes = np.arange(1, design.shape[2])
    deviation = (model.slopes - model.group_slopes[model.group_of]) * precision

    weighted = design * weekly_weight[:, :, None]
    product = np.swapaxes(weighted, 1, 2) @ design
    product[:, slopes, slopes] += precision
    product[:, 0, 0] += 1e-6  # keeps a product without a sale in a bootstrap member in place
    product_gradient = np.einsum("pwk,pw->pk", design, weekly_score)
    product_gradient[:, 1:] -= deviation

    to_group = np.zeros((len(design), design.shape[2], len(precision)))
    to_group[:, slopes, slopes - 1] = -precision
    cross = np.concatenate([to_group, np.swapaxes(weighted, 1, 2), np.swapaxes(design, 1, 2) @ weight], axis=2)
    at_bound = (model.slopes[:, DEPTH] <= 0.0) & (product_gradient[:, 1 + DEPTH] < 0.0)
    product[at_bound, 1 + DEPTH, :] = 0.0
    product[at_bound, :, 1 + DEPTH] = 0.0
    product[at_bound, 1 + DEPTH, 1 + DEPTH] = 1.0
    cross[at_bound, 1 + DEPTH, :] = 0.0
    product_gradient[at_bound, 1 + DEPTH] = 0.0

    groups, weeks, days = len(model.group_slopes), weight.shape[1], weight.shape[2]
    group_weight, group_score, pull = (
        np.stack([values[model.group_of == group].sum(axis=0) for group in range(groups)])
        for values in (weight, score, deviation)
    )
    count = np.bincount(model.group_of, minlength=groups)[:, None]
    slope, week = np.arange(len(precision)), len(precision) + np.arange(weeks)
    weekday = len(precision) + weeks + np.arange(days)
    shared = np.zeros((groups, weekday[-1] + 1, weekday[-1] + 1))
    shared[:, slope, slope] = count * precision + group_precision
    smoothness = _week_precision(weeks)
    shared[:, week[:, None], week] = smoothness
    shared[:, week, week] += group_weight.sum(axis=2)
    shared[:, weekday, weekday] = group_weight.sum(axis=1) + 1.0 / WEEKDAY_SD**2
    shared[:, week[:, None], weekday] = group_weight
    shared[:, weekday[:, None], week] = np.swapaxes(group_weight, 1, 2)
    shared_gradient = np.concatenate(
        [
            pull - (model.group_slopes - model.overall_slopes) * group_precision,
            group_score.sum(axis=2) - model.week_effect @ smoothness,
            group_score.sum(axis=1) - model.weekday_effect / WEEKDAY_SD**2,
        ],
        axis=1,
    )
    return _NewtonSystem(product, cross, shared, product_gradient, shared_gradient)


def _week_precision(weeks: int) -> NDArray[np.float64]:
    """Prior precision (week, week) of a group's week effects: a random walk that a weak prior ties to 0."""
    precision = np.eye(weeks) / WEEK_SD**2
    step = np.arange(weeks - 1)
    precision[step, step] += 1.0 / WEEK_STEP_SD**2
    precision[step + 1, step + 1] += 1.0 / WEEK_STEP_SD**2
    precision[step, step + 1] = precision[step + 1, step] = -1.0 / WEEK_STEP_SD**2
    return precision


def _update_spread(table: DemandTable, model: DemandModel, display: DisplayContrast | None) -> DemandModel:
    """EM update of the standard deviations, of the overall slopes, and of the dispersion that weighs the fit."""
    deviation = model.slopes - model.group_slopes[model.group_of]
    slope_sd = np.sqrt((deviation**2 + model.slope_variance).mean(axis=0))
    count = np.bincount(model.group_of)[:, None]
    overall = model.group_slopes.mean(axis=0)
    group_variance = 1.0 / (count / model.slope_sd**2 + 1.0 / model.group_slope_sd**2)
    group_slope_sd = np.sqrt(((model.group_slopes - overall) ** 2 + group_variance).mean(axis=0))
    mean = model.fitted_units(table.covariates) * table.exposure
    repeat = table.week_weight[:, None]
    residual = np.where(table.exposure > 0.0, table.units - mean, 0.0)
    moment = ((residual**2 - table.clumping[:, None, None] * mean) * repeat).sum(axis=(1, 2))
    alpha = np.clip(moment / np.maximum((mean**2 * repeat).sum(axis=(1, 2)), 1e-300), *ALPHA_LIMITS)
    spread = replace(model, overall_slopes=overall, slope_sd=slope_sd, group_slope_sd=group_slope_sd, alpha=alpha)
    return spread if display is None else _with_display(spread, display)


def _with_display(model: DemandModel, display: DisplayContrast) -> DemandModel:
    """Hold the prior of display slopes at the contrast between stores of the same week."""
    overall, slope_sd, group_sd = model.overall_slopes.copy(), model.slope_sd.copy(), model.group_slope_sd.copy()
    overall[DISPLAY], slope_sd[DISPLAY], group_sd[DISPLAY] = display.effect, display.spread, display.spread
    return replace(model, overall_slopes=overall, slope_sd=slope_sd, group_slope_sd=group_sd)
