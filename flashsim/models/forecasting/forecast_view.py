"""What a forecaster may see at an origin: sales so far, the offers of the coming weeks, and what they usually bring.

A forecaster turns a view into mean units of the weeks from the origin on. For each of these weeks it may use the sales
of all weeks before it (a shop forecasts every Sunday), but its parameters come from the weeks before the origin alone.
``expected`` is the demand model (:mod:`flashsim.models.demand.negative_binomial`) at an average level of the product:
what the offer and the weekday bring. A forecaster that uses it only has to say how far above or below this the product
runs.
"""

from collections.abc import Callable
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from flashsim.data.panel import Panel
from flashsim.models.demand.negative_binomial import filter_levels, fit_demand
from flashsim.models.forecasting.backtest import covariates, sold_table

LEVEL_MEMORY: Final = 0.7
LEVEL_PRIOR_UNITS: Final = 10.0
"""Settings of the level filter; as good as any on weeks 20 to 35 of Complete Journey, none of which is scored."""


class ForecastView(NamedTuple):
    """Weeks 0 … stop of all products; the weeks from ``origin`` on are forecast, one after the other."""

    origin: int
    units: NDArray[np.float64]  # product, week, period; units
    expected: NDArray[np.float64]  # product, week, period; 0 where a product was not on sale
    offers: NDArray[np.float64]  # product, week, covariate (depth, display, mailer)
    group_of: NDArray[np.intp]  # product

    @property
    def stop(self) -> int:
        """One past the last week."""
        return int(self.units.shape[1])

    def weekly(self) -> "ForecastView":
        """The same with one period a week."""
        return self._replace(
            units=self.units.sum(axis=2, keepdims=True), expected=self.expected.sum(axis=2, keepdims=True)
        )


Forecaster = Callable[[ForecastView], NDArray[np.float64]]
"""Mean units (product, week from the origin on, period)."""


def view_at(panel: Panel, *, origin: int, stop: int) -> ForecastView:
    """Fit the demand model on the weeks before ``origin`` and lay out what is known there; periods are days.

    A product that never sold before the origin has an expectation of 0.
    """
    sold: NDArray[np.bool_] = panel.units[:, :origin].sum(axis=(1, 2)) > 0
    offers = covariates(panel, known_weeks=origin)[:, :stop]
    table = sold_table(panel, origin=origin, sold=sold)
    model = fit_demand(table)
    expected = np.zeros((panel.n_products, stop, panel.units.shape[2]))
    expected[sold] = model.expected_units(offers[sold]) * panel.is_open[:stop]
    expected[sold, :origin] *= table.exposure
    return ForecastView(origin, panel.units[:, :stop], expected, offers, panel.group_of)


def leveled(view: ForecastView) -> NDArray[np.float64]:
    """Forecast with the demand model and the level of each product from the filter: the model that the others are
    compared with."""
    return (view.expected * product_levels(view)[:, :, None])[:, view.origin :]


def product_levels(view: ForecastView) -> NDArray[np.float64]:
    """Level (product, week) from the weeks before each week."""
    return filter_levels(view.units, view.expected, memory=LEVEL_MEMORY, prior_units=LEVEL_PRIOR_UNITS)
