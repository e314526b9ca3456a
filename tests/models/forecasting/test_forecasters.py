"""Learned forecasters see the past alone, follow a planned discount, and repeat themselves."""

from collections.abc import Callable
from datetime import date

import numpy as np
import pytest

from flashsim.data.panel import Panel
from flashsim.errors import InputError
from flashsim.models.forecasting.boosting import BoostedTrees
from flashsim.models.forecasting.forecast_view import Forecaster, ForecastView, leveled, view_at
from flashsim.models.forecasting.recurrent import RecurrentForecaster
from tests.models.demand.test_negative_binomial import make_table

ORIGIN = 40
FORECASTERS: dict[str, Callable[[], Forecaster]] = {
    "level filter": lambda: leveled,
    "boosted": lambda: BoostedTrees(trees=30, bags=1, rows_a_leaf=10),
    "boosted, raw lags": lambda: BoostedTrees(trees=30, bags=1, rows_a_leaf=10, deflates=False),
    "gru": lambda: RecurrentForecaster(epochs=3, batch=6),
    "lstm": lambda: RecurrentForecaster(cell="lstm", epochs=3, batch=6),
}


def make_panel(*, drift: float = 0.0) -> Panel:
    table, _ = make_table(seed=21, alpha=0.05)
    products, weeks, _ = table.units.shape
    units = np.round(table.units * np.exp(drift * np.arange(weeks))[None, :, None])
    return Panel(
        product_ids=tuple(range(products)),
        product_names=tuple(f"thing {i}" for i in range(products)),
        groups=("a", "b", "c"),
        group_of=table.group_of,
        first_monday=date(2017, 1, 2),
        units=units,
        is_open=np.ones((weeks, 7), dtype=bool),
        depth=table.covariates[:, :, 0],
        display=table.covariates[:, :, 1],
        mailer=table.covariates[:, :, 2],
        list_price=np.ones(products),
        clumping=np.ones(products),
    )


@pytest.fixture(scope="module")
def view() -> ForecastView:
    return view_at(make_panel(), origin=ORIGIN, stop=ORIGIN + 4)


@pytest.fixture(params=FORECASTERS)
def forecaster(request: pytest.FixtureRequest) -> Forecaster:
    return FORECASTERS[request.param]()


@pytest.mark.parametrize("is_weekly", [False, True])
def test_a_week_is_forecast_without_its_own_sales_or_later_ones(
    forecaster: Forecaster, view: ForecastView, is_weekly: bool
) -> None:
    seen = view.weekly() if is_weekly else view
    units = seen.units.copy()
    units[:, ORIGIN + 1 :] = 500.0
    first, second = forecaster(seen), forecaster(seen._replace(units=units))
    assert first.shape == (len(units), 4, units.shape[2])
    np.testing.assert_allclose(first[:, :2], second[:, :2], rtol=1e-6)
    assert not np.allclose(first[:, 2], second[:, 2])


def test_forecasts_are_near_the_truth_and_the_same_again(forecaster: Forecaster, view: ForecastView) -> None:
    seen = view.weekly()
    mean = forecaster(seen)
    np.testing.assert_array_equal(mean, forecaster(seen))
    actual = seen.units[:, ORIGIN:]
    error = np.abs(mean - actual).sum() / actual.sum()
    naive = np.abs(seen.units[:, ORIGIN - 1 : -1] - actual).sum() / actual.sum()
    assert error < 0.8 * naive


def test_a_view_of_an_origin_knows_nothing_of_later_sales() -> None:
    panel = make_panel()
    panel.units[:, ORIGIN:] = 0.0
    changed = view_at(panel, origin=ORIGIN, stop=ORIGIN + 4)
    original = view_at(make_panel(), origin=ORIGIN, stop=ORIGIN + 4)
    np.testing.assert_array_equal(changed.expected, original.expected)
    np.testing.assert_array_equal(changed.offers, original.offers)


def test_what_is_not_on_sale_is_forecast_to_sell_nothing(forecaster: Forecaster, view: ForecastView) -> None:
    expected = view.expected.copy()
    expected[0, ORIGIN + 1] = 0.0
    assert (forecaster(view._replace(expected=expected))[0, 1] == 0.0).all()


def test_settings_that_cannot_be_used_are_refused() -> None:
    with pytest.raises(InputError, match="cell must be one of gru, lstm"):
        RecurrentForecaster(cell="rnn")
    with pytest.raises(InputError, match="hidden, epochs and batch"):
        RecurrentForecaster(epochs=0)


def test_half_precision_gives_nearly_the_same_forecast(view: ForecastView) -> None:
    seen = view.weekly()
    full = RecurrentForecaster(epochs=2)(seen)
    half = RecurrentForecaster(epochs=2, mixed_precision=True)(seen)
    np.testing.assert_allclose(half, full, rtol=0.05)


@pytest.mark.gpu
def test_a_gpu_gives_nearly_the_same_forecast(view: ForecastView) -> None:
    seen = view.weekly()
    np.testing.assert_allclose(
        RecurrentForecaster(epochs=2, device="cuda")(seen), RecurrentForecaster(epochs=2)(seen), rtol=0.05
    )
