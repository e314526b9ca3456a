"""A demand model moved to another platform with few data of its own, against a model trained there from scratch.

At an origin the target platform knows its last k weeks. There are five ways to forecast the weeks after it, by product
and day:

    last weeks    mean of the k weeks: no model
    scratch       the demand model, fitted to the k weeks alone
    moved         the source platform's model: responses and weekdays stay, the k weeks set the levels
    trained on    one fit to the source's weeks and the k weeks together: the source's weeks are scaled to the levels of
                  the target, responses are shared
    all weeks     the demand model, fitted to everything that the target has seen, of which the k weeks are a part

The source knows all its weeks before the origin. In all ways the levels follow the same filter from the k weeks on, and
no way sees a later week. Moved levels:  r_p = (sold_p + prior) / (expected_p + prior / R),  R = Σ sold / Σ expected.

Losses are paired by product and week; intervals come from the two-way bootstrap of
:mod:`flashsim.models.forecasting.scoring`.

Source: Pan & Yang (2010), IEEE Trans. Knowledge and Data Engineering 22(10), "A survey on transfer learning" (instance
and parameter transfer). Left out: products that the source does not sell, and responses that differ between platforms
by more than the fit to both can follow.
"""

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from flashsim.data.panel import Panel
from flashsim.errors import InputError
from flashsim.models.demand.dispersion import estimate_dispersion
from flashsim.models.demand.negative_binomial import DemandModel, DemandTable, filter_levels, fit_demand
from flashsim.models.forecasting.backtest import covariates, demand_table
from flashsim.models.forecasting.scoring import NegativeBinomial, reduction, score_forecast, two_way_resamples
from flashsim.models.forecasting.validation import Interval

PRIOR_UNITS: Final = 10.0
"""This many expected units pull the level of a product towards that of its platform."""
WAYS: Final = ("last weeks", "scratch", "moved", "trained on", "all weeks")
AGAINST: Final = "scratch"


class TransferRow(NamedTuple):
    """One way of forecasting with a number of known weeks."""

    weeks: int
    way: str
    wape: float
    pinball: float
    wape_reduction: Interval  # against training from scratch, paired
    pinball_reduction: Interval


class _Known(NamedTuple):
    """What is known at an origin."""

    source: Panel
    target: Panel
    origin: int
    first: int  # first week that the target knows
    stop: int
    source_model: DemandModel  # fitted to all weeks of the source before the origin


def compare_transfer(
    source: Panel,
    target: Panel,
    *,
    weeks: Sequence[int] = (2, 4, 8),
    origins: Sequence[int],
    horizon: int = 4,
    resamples: int = 2000,
    generator: np.random.Generator,
) -> list[TransferRow]:
    """Compare the losses of every way with each number of known ``weeks``; panels hold the same products and weeks.

    InputError when they do not, or when an origin leaves too few weeks before or after it.
    """
    if source.product_ids != target.product_ids or source.n_weeks != target.n_weeks:
        raise InputError(
            f"source and target: expected the same products and weeks, got {source.n_products} products in "
            f"{source.n_weeks} weeks and {target.n_products} in {target.n_weeks}"
        )
    for origin in origins:
        if not max(weeks) <= origin <= target.n_weeks - horizon:
            raise InputError(f"origins: expected {max(weeks)} … {target.n_weeks - horizon}, got {origin}")
    drawn = two_way_resamples(target.n_products, horizon * len(origins), resamples=resamples, generator=generator)
    models = {origin: fit_demand(_source_table(source, origin)) for origin in origins}
    longest = {"all weeks": _losses(source, target, "all weeks", max(origins), horizon, models)}
    rows = []
    for count in weeks:
        losses = {way: _losses(source, target, way, count, horizon, models) for way in WAYS if way not in longest}
        losses |= longest
        rows += [
            TransferRow(
                count,
                way,
                float(mine.absolute.sum() / mine.actual.sum()),
                float(mine.pinball.sum() / mine.cells.sum()),
                reduction(mine.absolute, losses[AGAINST].absolute, drawn=drawn),
                reduction(mine.pinball, losses[AGAINST].pinball, drawn=drawn),
            )
            for way, mine in losses.items()
        ]
    return rows


class _Losses(NamedTuple):
    """Sums (product, scored week)."""

    absolute: NDArray[np.float64]
    pinball: NDArray[np.float64]
    actual: NDArray[np.float64]
    cells: NDArray[np.float64]


def _losses(
    source: Panel, target: Panel, way: str, count: int, horizon: int, models: dict[int, DemandModel]
) -> _Losses:
    """Losses of a ``way`` that knows the last ``count`` weeks; ``models`` of the source by origin."""
    parts = []
    for origin, model in models.items():
        known = _Known(source, target, origin, max(origin - count, 0), origin + horizon, model)
        mean, alpha = _FORECASTS[way](known)
        actual = target.units[:, origin : origin + horizon]
        scored = np.broadcast_to(target.is_open[origin : origin + horizon], actual.shape)
        forecast = NegativeBinomial(mean, np.repeat(alpha[:, None], horizon, axis=1), target.clumping)
        past = target.units[:, :origin]
        scores = score_forecast(forecast, actual, scored=scored, past=past, generator=np.random.default_rng(origin))
        parts.append((scores.absolute, scores.pinball, scores.actual, scores.cells))
    return _Losses(*(np.concatenate(column, axis=1) for column in zip(*parts, strict=True)))


def _last_weeks(known: _Known) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The mean of the known weeks, the same for all days."""
    seen = known.target.units[:, known.first : known.origin]
    mean = seen.mean(axis=(1, 2))[:, None, None]
    alpha = _alpha(known, np.broadcast_to(mean, seen.shape))
    return np.broadcast_to(mean, (len(mean), known.stop - known.origin, seen.shape[2])).copy(), alpha


def _scratch(known: _Known) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The demand model of the known weeks."""
    return _follow(known, fit_demand(_target_table(known)))


def _moved(known: _Known) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The source's model with the levels of the known weeks."""
    return _follow(known, known.source_model, ratio=True)


def _trained_on(known: _Known) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """One fit to the source's weeks, scaled to the target's levels, and the known weeks."""
    source_table, target_table = _source_table(known.source, known.origin), _target_table(known)
    ratio = _level_ratio(known, known.source_model)
    both = DemandTable(
        units=np.concatenate([source_table.units, target_table.units], axis=1),
        exposure=np.concatenate([source_table.exposure / ratio[:, None, None], target_table.exposure], axis=1),
        covariates=np.concatenate([source_table.covariates, target_table.covariates], axis=1),
        group_of=target_table.group_of,
        week_weight=np.ones(source_table.units.shape[1] + target_table.units.shape[1]),
        clumping=target_table.clumping,
    )
    return _follow(known, fit_demand(both))


_FORECASTS: Final[dict[str, Callable[[_Known], tuple[NDArray[np.float64], NDArray[np.float64]]]]] = {
    "last weeks": _last_weeks,
    "scratch": _scratch,
    "moved": _moved,
    "trained on": _trained_on,
    "all weeks": _scratch,
}


def _follow(
    known: _Known, model: DemandModel, *, ratio: bool = False
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Means (product, week from the origin, day) at levels that the filter takes from the known weeks, and alpha."""
    target, weeks = known.target, slice(known.first, known.stop)
    offers = covariates(target, known_weeks=known.origin)[:, weeks]
    expected = model.expected_units(offers) * target.is_open[weeks]
    if ratio:
        expected *= _level_ratio(known, model)[:, None, None]
    mean = expected * filter_levels(target.units[:, weeks], expected)[:, :, None]
    seen = known.origin - known.first
    return mean[:, seen:], _alpha(known, mean[:, :seen])


def _level_ratio(known: _Known, model: DemandModel) -> NDArray[np.float64]:
    """Level (product) of the target divided by that of ``model``, from the known weeks."""
    target, weeks = known.target, slice(known.first, known.origin)
    offers = covariates(target, known_weeks=known.origin)[:, weeks]
    expected = (model.expected_units(offers) * target.is_open[weeks]).sum(axis=(1, 2))
    sold = target.units[:, weeks].sum(axis=(1, 2))
    overall = max(float(sold.sum()), 1.0) / max(float(expected.sum()), 1e-9)
    ratio: NDArray[np.float64] = (sold + PRIOR_UNITS) / (expected + PRIOR_UNITS / overall)
    return ratio


def _alpha(known: _Known, mean: NDArray[np.float64]) -> NDArray[np.float64]:
    """Dispersion (product) of the known weeks around ``mean`` (product, week, day)."""
    seen = known.target.units[:, known.first : known.origin]
    flat = len(seen)
    found = estimate_dispersion(seen.reshape(flat, -1), mean.reshape(flat, -1), clumping=known.target.clumping)
    return found.alpha


def _target_table(known: _Known) -> DemandTable:
    """The known weeks of the target as a table; a product is on sale on every open day of them."""
    weeks = slice(known.first, known.origin)
    units = known.target.units[:, weeks]
    return DemandTable(
        units=units,
        exposure=np.broadcast_to(known.target.is_open[weeks], units.shape).astype(np.float64),
        covariates=covariates(known.target, known_weeks=known.origin)[:, weeks],
        group_of=known.target.group_of,
        week_weight=np.ones(known.origin - known.first),
        clumping=known.target.clumping,
    )


def _source_table(source: Panel, origin: int) -> DemandTable:
    """All weeks of the source before the origin as a table; products that had not sold there count as on sale."""
    table = demand_table(source, weeks=origin)
    unsold = np.logical_not(table.exposure.any(axis=(1, 2)))
    opened = source.is_open[:origin].astype(np.float64)
    return table._replace(exposure=np.where(unsold[:, None, None], opened, table.exposure))
