"""The demand model on weeks that it has not seen: rolling origin, against lag 7 and the median of 56 days.

At each origin the model is fitted on the weeks before it, then it forecasts the next weeks one by one. Its level filter
and both naive rivals know the sales up to the Sunday before the forecast week, nothing later. The promotion plan of the
week (depth, display, mailer) counts as known, because a shop knows its own plan. The plan's depth is measured on the
lines of that week; this is the only thing that the forecast sees of its future.

A product is scored at an origin if it sold in the 8 weeks before. Days without a sale count as 0.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from flashsim.data.panel import Panel, impute_depth, on_sale
from flashsim.models.demand.dispersion import estimate_dispersion
from flashsim.models.demand.negative_binomial import WARM_UP_WEEKS, DemandModel, DemandTable, filter_levels, fit_demand
from flashsim.models.forecasting.validation import (
    QUANTILE_LEVELS,
    Interval,
    Losses,
    block_resamples,
    count_quantiles,
    improvement,
    lag_seven,
    losses,
    poisson_floor,
    recent_quantiles,
    repeat_as_quantiles,
    score_intervals,
)

RECENT_WEEKS: Final = 8
"""A product without a sale in this many weeks is no longer forecast."""


@dataclass(frozen=True)
class Backtest:
    """Scores of a rolling-origin comparison."""

    weeks: tuple[int, int]
    """First and one past the last scored week of the panel."""
    origins: tuple[int, ...]
    """Panel weeks at which the model was fitted again."""
    scores: dict[str, tuple[Interval, Interval]]
    """(WAPE, mean pinball loss) by forecast."""
    reductions: dict[str, tuple[Interval, Interval]]
    """Relative reduction (WAPE, pinball loss) of the model against each rival."""
    floor: tuple[float, float]
    """(WAPE, mean pinball loss) of a perfect forecast if counts were Poisson with the model's means."""
    scored_product_days: int
    """Product-days scored."""
    scored_units: float
    """Units sold on them."""

    def better_naive(self) -> tuple[Interval, Interval]:
        """Reduction against the better of lag 7 and the 56-day median, in WAPE and in pinball loss."""
        wape = min((LAG, MEDIAN_56), key=lambda rival: self.scores[rival][0].value)
        pinball = min((LAG, MEDIAN_56), key=lambda rival: self.scores[rival][1].value)
        return self.reductions[wape][0], self.reductions[pinball][1]


MODEL: Final = "negative-binomial model"
LAG: Final = "lag 7"
MEDIAN_56: Final = "56-day median"
QUANTILES_56: Final = "56-day quantiles"


def demand_table(panel: Panel, *, weeks: int) -> DemandTable:
    """The first ``weeks`` weeks of the panel as a table, without any knowledge of later weeks."""
    units = panel.units[:, :weeks]
    return DemandTable(
        units=units,
        exposure=on_sale(units, panel.is_open[:weeks]),
        covariates=covariates(panel, known_weeks=weeks)[:, :weeks],
        group_of=panel.group_of,
        week_weight=np.ones(weeks),
        clumping=panel.clumping,
    )


def sold_table(panel: Panel, *, origin: int, sold: NDArray[np.bool_]) -> DemandTable:
    """The weeks before the ``origin`` of the products already ``sold`` there; groups are numbered without gaps."""
    table = demand_table(panel, weeks=origin)
    return DemandTable(
        table.units[sold],
        table.exposure[sold],
        table.covariates[sold],
        np.unique(table.group_of[sold], return_inverse=True)[1].astype(np.intp),
        table.week_weight,
        panel.clumping[sold],
    )


def covariates(panel: Panel, *, known_weeks: int) -> NDArray[np.float64]:
    """Offer of every week (product, week, covariate). Unknown depths are imputed from the first ``known_weeks``
    alone."""
    return np.stack([impute_depth(panel, known_weeks=known_weeks), panel.display, panel.mailer], axis=2)


def run_backtest(
    panel: Panel,
    *,
    first_week: int,
    horizon: int,
    resamples: int,
    generator: np.random.Generator,
    fit: Callable[[DemandTable], DemandModel] = fit_demand,
    progress: Callable[[str, int, int], None] | None = None,
) -> Backtest:
    """Fit at ``first_week`` and every ``horizon`` weeks after it, and score all weeks from there to the panel's end."""
    origins = tuple(range(first_week, panel.n_weeks, horizon))
    scored = np.zeros((panel.n_products, panel.n_weeks, panel.units.shape[2]), dtype=bool)
    mean = np.zeros(scored.shape)
    quantiles = np.zeros((len(QUANTILE_LEVELS), *scored.shape))
    for i, origin in enumerate(origins):
        stop = min(origin + horizon, panel.n_weeks)
        recent: NDArray[np.bool_] = panel.units[:, origin - RECENT_WEEKS : origin].sum(axis=(1, 2)) > 0
        scored[:, origin:stop] = recent[:, None, None] & panel.is_open[origin:stop]
        sold: NDArray[np.bool_] = panel.units[:, :origin].sum(axis=(1, 2)) > 0
        mean[sold, origin:stop], quantiles[:, sold, origin:stop] = forecast_units(
            panel, fit, origin=origin, stop=stop, sold=sold
        )
        if progress is not None:
            progress("scoring on later weeks", i + 1, len(origins))
    weeks = range(first_week, panel.n_weeks)
    window = slice(first_week, panel.n_weeks)
    actual, counted = panel.units[:, window], scored[:, window]
    results: dict[str, Losses] = {
        MODEL: losses(actual, quantiles[:, :, window], scored=counted),
        LAG: losses(actual, repeat_as_quantiles(lag_seven(panel.units, weeks=weeks)), scored=counted),
        MEDIAN_56: losses(
            actual,
            repeat_as_quantiles(recent_quantiles(panel.units, weeks=weeks, levels=(0.5,))[0]),
            scored=counted,
        ),
        QUANTILES_56: losses(
            actual, recent_quantiles(panel.units, weeks=weeks, levels=QUANTILE_LEVELS), scored=counted
        ),
    }
    drawn = block_resamples(len(weeks), resamples=resamples, generator=generator)
    return Backtest(
        weeks=(first_week, panel.n_weeks),
        origins=origins,
        scores={name: score_intervals(result, resamples=drawn) for name, result in results.items()},
        reductions={
            name: improvement(results[MODEL], result, resamples=drawn)
            for name, result in results.items()
            if name != MODEL
        },
        floor=poisson_floor(mean[:, window], scored=counted),
        scored_product_days=int(counted.sum()),
        scored_units=float(actual[counted].sum()),
    )


def forecast_units(
    panel: Panel,
    fit: Callable[[DemandTable], DemandModel],
    *,
    origin: int,
    stop: int,
    sold: NDArray[np.bool_],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Means and quantiles for weeks origin … stop, for the products already ``sold`` at the origin."""
    table = sold_table(panel, origin=origin, sold=sold)
    model = fit(table)
    offers = covariates(panel, known_weeks=origin)[sold][:, :stop]
    expected = model.expected_units(offers) * panel.is_open[:stop]
    expected[:, :origin] *= table.exposure
    levels = filter_levels(panel.units[sold][:, :stop], expected)
    mean = expected * levels[:, :, None]
    days = slice(WARM_UP_WEEKS * expected.shape[2], origin * expected.shape[2])
    dispersion = estimate_dispersion(
        panel.units[sold][:, :stop].reshape(len(mean), -1)[:, days],
        mean.reshape(len(mean), -1)[:, days],
        clumping=table.clumping,
    )
    future = mean[:, origin:]
    return future, count_quantiles(
        future, alpha=dispersion.alpha[:, None, None], clumping=table.clumping[:, None, None]
    )
