"""Forecasts of traffic are calibrated, causal and monotone, and beat what needs no model on days held out."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flashsim.data.traffic import MinuteSeries
from flashsim.errors import InputError
from flashsim.models.forecasting.validation import QUANTILE_LEVELS
from flashsim.models.traffic.forecast import TrafficForecaster, fit_forecaster, least_absolute, weighted_quantiles
from flashsim.models.traffic.scores import pinball_losses, score_forecast
from tests.data.world_cup import needs_world_cup, read_world_cup
from tests.models.traffic.made_traffic import make_visits


@pytest.fixture(scope="module")
def visits() -> Any:
    return make_visits()


@pytest.fixture(scope="module")
def model(visits: Any) -> TrafficForecaster:
    return fit_forecaster(visits[: 4 * 1440])


@pytest.fixture(scope="module")
def world_cup() -> MinuteSeries:
    return read_world_cup()


def test_quantiles_cover_what_they_claim_on_later_days(visits: Any, model: TrafficForecaster) -> None:
    """4 SE of a share over 2 days, with errors that hang together for the horizon."""
    for horizon in (1, 10, 25):
        forecast = model.forecast_each(visits, horizon=horizon)[4 * 1440 :]
        share = (visits[4 * 1440 :, None] <= forecast).mean(axis=0)
        effective = 2 * 1440 / (1 + horizon)
        levels = np.asarray(QUANTILE_LEVELS)
        assert (np.abs(share - levels) < 4.0 * np.sqrt(levels * (1 - levels) / effective) + 0.02).all(), horizon


def test_the_loss_on_poisson_minutes_is_near_its_floor(visits: Any, model: TrafficForecaster) -> None:
    """The quantiles of Poisson noise around the true rate are the best forecast there is: no model is below it."""
    later = np.arange(4 * 1440, 6 * 1440)
    rate = 400.0 * (1.0 + 0.5 * np.sin(2 * np.pi * later / 1440))
    generator = np.random.default_rng(9)
    draws = np.quantile(generator.poisson(rate[:, None], (later.size, 400)), QUANTILE_LEVELS, axis=1).T
    floor = pinball_losses(visits[later], draws).mean()
    for horizon in (1, 10):
        loss = pinball_losses(visits[later], model.forecast_each(visits, horizon=horizon)[later]).mean()
        assert 0.98 * floor < loss < 1.35 * floor


def test_a_forecast_knows_nothing_of_what_comes_later(visits: Any, model: TrafficForecaster) -> None:
    changed = visits.copy()
    changed[5 * 1440 :] = 1e6
    for horizon in (1, 10, 60):
        known = slice(0, 5 * 1440 + horizon)
        before, after = (model.forecast_each(v, horizon=horizon)[known] for v in (visits, changed))
        np.testing.assert_array_equal(before, after)


def test_one_forecast_equals_the_same_among_all(visits: Any, model: TrafficForecaster) -> None:
    at = 5 * 1440 + 77
    now = model.forecast(visits[:at], horizons=(1, 7, 60))
    for row, horizon in enumerate((1, 7, 60)):
        among = model.forecast_each(visits, horizon=horizon)[at - 1 + horizon]
        assert now[row] == pytest.approx(among, rel=1e-6)


@settings(max_examples=25)
@given(seed=st.integers(0, 10_000), horizon=st.integers(1, 60), missing=st.floats(0.0, 0.9))
def test_quantiles_never_cross_and_are_finite_whatever_comes(
    model: TrafficForecaster, seed: int, horizon: int, missing: float
) -> None:
    generator = np.random.default_rng(seed)
    wild = np.floor(np.exp(generator.uniform(0.0, 12.0, 200)))
    wild[generator.random(200) < missing] = np.nan
    wild[generator.random(200) < 0.2] = 0.0
    wild[-60] = 1.0
    quantiles = model.forecast(wild, horizons=(horizon,))[0]
    assert np.isfinite(quantiles).all()
    assert (quantiles >= 0.0).all()
    assert (np.diff(quantiles) >= 0.0).all()


def test_missing_minutes_hardly_move_a_forecast(visits: Any, model: TrafficForecaster) -> None:
    holes = visits.copy()
    holes[np.random.default_rng(0).random(visits.size) < 0.05] = np.nan
    full, gappy = (model.forecast_each(v, horizon=10)[1440:, 9] for v in (visits, holes))
    assert np.median(np.abs(gappy / full - 1.0)) < 0.02
    assert np.isfinite(fit_forecaster(holes).quantiles).all()


def test_after_an_hour_without_counts_there_is_no_forecast(visits: Any, model: TrafficForecaster) -> None:
    silent = visits[:3000].copy()
    silent[2000:2100] = np.nan
    each = model.forecast_each(silent, horizon=10)
    assert np.isfinite(each[2000:2069]).all()
    assert np.isnan(each[2069:2110]).all()
    assert np.isfinite(each[2110:]).all()
    with pytest.raises(InputError, match="visits of the last 60 minutes are all missing"):
        model.forecast(silent[:2060], horizons=(1,))


def test_equal_data_give_equal_models(visits: Any) -> None:
    one, two = (fit_forecaster(visits[: 3 * 1440]) for _ in range(2))
    for name in ("coefficients", "scale", "quantiles"):
        np.testing.assert_array_equal(getattr(one, name), getattr(two, name))


def test_least_absolute_deviations_find_a_line_through_outliers() -> None:
    generator = np.random.default_rng(0)
    X = np.column_stack([np.ones(3000), generator.normal(size=3000)])
    y = X @ [1.0, -2.0] + generator.laplace(0.0, 0.1, 3000)
    y[:300] += 50.0
    assert least_absolute(X, y, weight=np.ones(3000)) == pytest.approx([1.0, -2.0], abs=0.05)


def test_weighted_quantiles_count_each_weight() -> None:
    values = np.random.default_rng(0).normal(size=2001)
    assert weighted_quantiles(values, np.ones(2001)) == pytest.approx(np.quantile(values, QUANTILE_LEVELS), abs=0.02)
    twice = weighted_quantiles(np.repeat(values, 2), np.ones(4002))
    assert weighted_quantiles(values, np.full(2001, 2.0)) == pytest.approx(twice, abs=5e-3)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda v, _: fit_forecaster(v[:1440]), "at least 4320 minutes in a row"),
        (lambda v, _: fit_forecaster(np.zeros(5 * 1440)), "all visits are 0"),
        (lambda v, _: fit_forecaster(np.full(5 * 1440, np.nan)), r"all visits are missing \(NaN\)"),
        (lambda v, _: fit_forecaster(np.where(np.arange(v.size) == 9, -1.0, v)), "must be >= 0, got -1.0 in minute 9"),
        (lambda v, _: fit_forecaster(v, memory_days=0.0), "memory_days must be > 0"),
        (lambda v, m: m.forecast(v[:30], horizons=(1,)), "at least 60 minutes"),
        (lambda v, m: m.forecast(v, horizons=(61,)), "horizon must be 1 to 60 minutes, got 61"),
        (lambda v, m: m.forecast(v, horizons=(0,)), "horizon must be 1 to 60 minutes, got 0"),
        (lambda v, m: score_forecast(v, start=100, horizon=1, model=m), "start must leave days on both sides"),
        (lambda v, m: TrafficForecaster(m.coefficients[:2], m.scale, m.quantiles), "coefficients: expected finite"),
        (lambda v, m: TrafficForecaster(m.coefficients, m.scale, m.quantiles[:, ::-1]), "quantiles must not fall"),
    ],
)
def test_what_cannot_be_used_is_refused(
    visits: Any, model: TrafficForecaster, call: Callable[[Any, TrafficForecaster], Any], words: str
) -> None:
    with pytest.raises(InputError, match=words):
        call(visits, model)


def test_pinball_losses_are_those_of_a_hand_calculation() -> None:
    """The mean over symmetric levels of the loss of a point is half its absolute error."""
    assert pinball_losses(np.array([3.0, 1.0]), np.full((2, len(QUANTILE_LEVELS)), 2.0)) == pytest.approx([0.5, 0.5])


def test_a_model_saves_nothing_against_itself() -> None:
    """On a constant series persistence is exact, and no model can do better."""
    constant = np.full(5 * 1440, 50.0)
    scores = score_forecast(constant, start=4 * 1440, horizon=10)
    assert scores.pinball["persistence"] == 0.0
    assert scores.pinball["model"] < 1.0
    assert scores.improvement["persistence"].value <= 0.0


@needs_world_cup
def test_ten_minutes_ahead_beats_persistence_and_seasonal_naive_on_the_last_five_days(world_cup: MinuteSeries) -> None:
    scores = score_forecast(world_cup.visits, start=world_cup.index_of("1998-06-11"), horizon=10)
    naive = min(("persistence", "yesterday", "last week"), key=lambda name: scores.pinball[name])
    gain = scores.improvement[naive]
    assert gain.low > 0.0
    assert gain.value >= 0.15
    dressed = min((name for name in scores.pinball if "dressed" in name), key=lambda name: scores.pinball[name])
    assert scores.improvement[dressed].low > 0.0
    assert 0.87 <= scores.coverage <= 0.94
    assert scores.minutes == 5 * 1440
    assert len(scores.sentences()) == 7
