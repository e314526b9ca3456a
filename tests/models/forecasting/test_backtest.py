"""A forecast sees the weeks before it and the plan of its own, nothing else."""

import dataclasses
from datetime import date

import numpy as np
import pytest

from flashsim.data.panel import Panel
from flashsim.models.demand.negative_binomial import fit_demand
from flashsim.models.forecasting.backtest import LAG, MEDIAN_56, MODEL, demand_table, forecast_units, run_backtest
from tests.models.demand.test_negative_binomial import make_table

ORIGIN = 36


@pytest.fixture(scope="module")
def panel() -> Panel:
    table, _ = make_table(seed=11, alpha=0.1)
    products, weeks, _ = table.units.shape
    return Panel(
        product_ids=tuple(range(products)),
        product_names=tuple(f"thing {i}" for i in range(products)),
        groups=("a", "b", "c"),
        group_of=table.group_of,
        first_monday=date(2017, 1, 2),
        units=table.units,
        is_open=np.ones((weeks, 7), dtype=bool),
        depth=table.covariates[:, :, 0],
        display=table.covariates[:, :, 1],
        mailer=table.covariates[:, :, 2],
        list_price=np.ones(products),
        clumping=np.ones(products),
    )


def forecast(panel: Panel) -> tuple[np.ndarray, np.ndarray]:
    everything = np.ones(panel.n_products, dtype=bool)
    return forecast_units(panel, fit_demand, origin=ORIGIN, stop=ORIGIN + 4, sold=everything)


@pytest.mark.parametrize("week", [0, 1, 3])
def test_a_week_is_forecast_without_its_own_sales_or_later_ones(panel: Panel, week: int) -> None:
    units = panel.units.copy()
    units[:, ORIGIN + week :] = 500.0
    mean, quantiles = forecast(panel)
    changed_mean, changed_quantiles = forecast(dataclasses.replace(panel, units=units))
    np.testing.assert_array_equal(mean[:, : week + 1], changed_mean[:, : week + 1])
    np.testing.assert_array_equal(quantiles[:, :, : week + 1], changed_quantiles[:, :, : week + 1])


def test_a_planned_discount_raises_the_forecast(panel: Panel) -> None:
    sale = panel.depth.copy()
    sale[:, ORIGIN:] = 0.0
    deeper = sale.copy()
    deeper[:, ORIGIN:] = 0.4
    covered = np.zeros(panel.depth.shape)
    panel = dataclasses.replace(panel, display=covered, mailer=covered)
    shallow, _ = forecast(dataclasses.replace(panel, depth=sale))
    deep, _ = forecast(dataclasses.replace(panel, depth=deeper))
    assert (deep > 1.2 * shallow).all()


def test_the_table_of_the_first_weeks_knows_nothing_of_later_ones(panel: Panel) -> None:
    units, depth = panel.units.copy(), panel.depth.copy()
    units[:, 20:], depth[:, 20:] = 0.0, np.nan
    first = demand_table(panel, weeks=20)
    second = demand_table(dataclasses.replace(panel, units=units, depth=depth), weeks=20)
    for before, after in zip(first, second, strict=True):
        np.testing.assert_array_equal(before, after)


def test_the_model_beats_naive_forecasts_where_its_assumptions_hold(panel: Panel) -> None:
    reported: list[tuple[str, int, int]] = []
    result = run_backtest(
        panel,
        first_week=ORIGIN,
        horizon=6,
        resamples=200,
        generator=np.random.default_rng(0),
        progress=lambda *step: reported.append(step),
    )
    assert result.origins == (36, 42)
    assert reported[-1][1:] == (2, 2)
    assert result.scored_product_days == panel.n_products * 12 * 7
    assert result.scored_units == panel.units[:, ORIGIN:].sum()
    wape, pinball = result.better_naive()
    assert wape.low > 0.1
    assert pinball.low > 0.1
    assert result.scores[MODEL][0].value > result.floor[0]
    assert result.scores[MODEL][1].value < min(result.scores[name][1].value for name in (LAG, MEDIAN_56))


def test_a_product_gone_for_eight_weeks_is_not_scored(panel: Panel) -> None:
    units = panel.units.copy()
    units[0, ORIGIN - 8 :] = 0.0
    result = run_backtest(
        dataclasses.replace(panel, units=units),
        first_week=ORIGIN,
        horizon=12,
        resamples=50,
        generator=np.random.default_rng(0),
    )
    assert result.scored_product_days == (panel.n_products - 1) * 12 * 7
