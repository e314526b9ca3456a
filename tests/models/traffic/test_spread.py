"""Widths follow the noise of a site: one minute in ten is missed, whatever the model thought."""

import numpy as np
import pytest

from flashsim.models.traffic.forecast import HORIZONS, TrafficForecaster, describe, fit_forecaster
from flashsim.models.traffic.spread import MOST, log_widths
from tests.models.traffic.made_traffic import make_visits


@pytest.fixture(scope="module")
def model() -> TrafficForecaster:
    return fit_forecaster(make_visits(days=4))


def with_spread(model: TrafficForecaster, factor: float) -> TrafficForecaster:
    """The model with its spread multiplied."""
    return TrafficForecaster(model.coefficients, model.scale + np.array([np.log(factor), 0.0, 0.0]), model.quantiles)


def test_a_model_on_its_own_site_keeps_its_spread(model: TrafficForecaster) -> None:
    widths = np.exp(log_widths(model, make_visits(days=6)))
    assert widths == pytest.approx(np.ones(len(HORIZONS)), abs=0.2)


@pytest.mark.parametrize("factor", [0.2, 0.5, 3.0])
def test_a_wrong_spread_is_undone_exactly(model: TrafficForecaster, factor: float) -> None:
    visits = make_visits(days=5)
    wrong = log_widths(with_spread(model, factor), visits)
    assert wrong + np.log(factor) == pytest.approx(log_widths(model, visits), abs=1e-9)


@pytest.mark.parametrize("noise", ["heavy tails", "two kinds of days"])
def test_one_minute_in_ten_is_missed_on_counts_that_no_model_describes(model: TrafficForecaster, noise: str) -> None:
    """Widths from the minutes before an hour, intervals of its minutes, hour after hour of 8 days."""
    generator, minutes = np.random.default_rng(1), 10 * 1440
    scale = np.where(np.arange(minutes) // 1440 % 2, 0.5, 0.05) if noise == "two kinds of days" else 0.1
    visits = np.floor(500.0 * np.exp(np.clip(scale * generator.standard_t(2.0, minutes), -4.0, 4.0)))
    inside = []
    for hour in range(2 * 1440, minutes - 60, 60):
        width = np.exp(log_widths(model, visits[max(hour - 3 * 1440, 0) : hour])[0])
        known = visits[hour - 2 * 1440 : hour + 60]
        forecast = model.predict(describe(known), horizon=1, made=slice(known.size - 61, known.size - 1))
        quantiles = forecast.quantiles(widen=float(width))
        inside.append(((known[-60:] >= quantiles[:, 0]) & (known[-60:] <= quantiles[:, -1])).mean())
    assert np.mean(inside) == pytest.approx(0.9, abs=0.03)


def test_too_few_errors_keep_the_spread_of_the_model(model: TrafficForecaster) -> None:
    visits = make_visits(days=4)
    np.testing.assert_array_equal(log_widths(model, visits[:50]), np.zeros(len(HORIZONS)))
    recent = log_widths(model, visits, minutes=100)
    assert (recent[np.array(HORIZONS) > 40] == 0.0).all()
    assert (recent[np.array(HORIZONS) < 40] != 0.0).all()
    visits[-2900:] = np.nan
    np.testing.assert_array_equal(log_widths(model, visits), np.zeros(len(HORIZONS)))


def test_widths_stay_within_their_limits_on_a_site_without_noise(model: TrafficForecaster) -> None:
    assert (np.abs(log_widths(model, np.full(4000, 300.0))) <= MOST).all()
    assert (np.abs(log_widths(with_spread(model, 1e-3), make_visits(days=4))) <= MOST).all()
