"""Followed online, forecasts keep their coverage and their lead when a site's level changes."""

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from flashsim.errors import InputError
from flashsim.models.traffic.forecast import TrafficForecaster, fit_forecaster
from flashsim.models.traffic.online import OnlineForecaster, forecast_online, rescale
from flashsim.models.traffic.world_cup import load_shipped
from tests.data.world_cup import needs_world_cup, read_world_cup
from tests.models.traffic.followed_traffic import DAY, HORIZONS, RIVALS, Followed, follow, make_step, thin
from tests.models.traffic.made_traffic import make_visits

Array = NDArray[np.float64]
CHANGED = 7 * DAY + 700
"""The middle of the eighth day."""


@pytest.fixture(scope="module")
def model() -> TrafficForecaster:
    return fit_forecaster(make_visits(days=4))


def assert_good(followed: Followed, *, least: float = 0.0) -> None:
    for horizon, score in followed.scores.items():
        assert 0.85 <= score.coverage <= 0.95, (horizon, score.coverage)
        for rival in RIVALS:
            assert score.improvement[rival].value >= least, (horizon, rival, score.improvement[rival])


@pytest.mark.parametrize("factor", [0.03, 0.1, 0.3, 3.0, 30.0])
def test_a_change_of_level_in_the_middle_of_a_day_is_found_and_forecasts_stay_good(factor: float) -> None:
    followed = follow(make_step(factor, minute=CHANGED), start=7 * DAY)
    assert_good(followed)
    (warning,) = followed.levels()
    assert warning.began == pytest.approx(700, abs=3)
    assert 700 < warning.found <= 700 + 5 * 60
    assert warning.factor == pytest.approx(factor, rel=0.2)
    for covered in followed.covered.values():
        assert (covered[1:] > 0.84).all()


def test_an_unchanged_site_gives_no_warning() -> None:
    followed = follow(make_step(1.0, minute=CHANGED), start=7 * DAY, horizons=(1, 60))
    assert_good(followed)
    assert followed.warnings == []


@pytest.mark.parametrize("silent", [20, 300, 1500])
def test_a_gap_of_missing_minutes_is_no_change_and_forecasts_come_back_after_it(silent: int) -> None:
    visits = make_step(1.0, minute=CHANGED)
    visits[CHANGED : CHANGED + silent] = np.nan
    followed = follow(visits, start=7 * DAY, horizons=(1, 10))
    assert_good(followed)
    assert followed.warnings == []
    assert np.isfinite(followed.online.forecast(10)).all()


def test_a_change_inside_a_gap_is_found_after_it() -> None:
    visits = make_step(0.1, minute=CHANGED)
    visits[CHANGED - 100 : CHANGED + 100] = np.nan
    followed = follow(visits, start=7 * DAY, horizons=(10,))
    assert_good(followed)
    (warning,) = followed.levels()
    assert warning.found <= 800 + 5 * 60


def test_an_outage_and_its_end_warn_and_leave_the_model_of_the_site() -> None:
    visits = make_step(1.0, minute=CHANGED)
    visits[CHANGED : CHANGED + 360] = 0.0
    followed = follow(visits, start=7 * DAY, horizons=(1, 10))
    down, up = followed.levels()
    assert down.factor < 0.01
    assert up.factor > 100.0
    assert (down.began, up.began) == pytest.approx((700, 1060), abs=3)
    for covered in followed.covered.values():
        assert (covered[2:] > 0.84).all()


@pytest.mark.parametrize("level", [3.0, 40.0, 2000.0])
def test_a_model_of_another_site_is_widened_at_once_and_refitted_after_three_days(level: float) -> None:
    """The shipped model on sites that are nothing like the World Cup's, without any history."""
    shipped = load_shipped().forecaster
    visits = make_visits(days=6, level=level, seed=4)
    online = OnlineForecaster(shipped)
    quantiles = forecast_online(online, visits, horizons=(1, 10, 60))
    assert online.model is not shipped
    for horizon, forecast in quantiles.items():
        inside = (visits >= forecast[:, 0]) & (visits <= forecast[:, -1])
        for hours, least, most in (
            (slice(12, 24), 0.75, 1.0),
            (slice(24, 72), 0.85, 0.99),
            (slice(72, None), 0.85, 0.96),
        ):
            share = inside.reshape(-1, 60)[hours].mean()
            assert least <= share <= most, (horizon, hours, share)


def test_forecasts_of_a_whole_day_are_those_made_minute_by_minute(model: TrafficForecaster) -> None:
    """Across an hour's end, a refit at a day's end and a change; with missing minutes and one silent hour."""
    visits = make_step(0.1, minute=3 * DAY + 130, days=5, level=300.0)
    visits[3 * DAY + 400 : 3 * DAY + 475] = np.nan
    one, many = (OnlineForecaster(model, history=visits[: 3 * DAY]) for _ in range(2))
    later = visits[3 * DAY : 4 * DAY + 90]
    quantiles = forecast_online(many, later, horizons=(1, 17, 60))
    for minute, count in enumerate(later.tolist()):
        one.observe(count)
        for horizon in (1, 17, 60):
            if minute % 37 or minute + horizon >= later.size or minute % 60 == 59:
                continue
            expected = quantiles[horizon][minute + horizon]
            if np.isnan(expected).all():
                with pytest.raises(InputError, match="all missing"):
                    one.forecast(horizon)
            else:
                np.testing.assert_allclose(one.forecast(horizon), expected, rtol=1e-6)
    np.testing.assert_array_equal(one.log_width, many.log_width)
    assert len(one.drift) == 1


def test_a_forecaster_goes_on_from_its_state(model: TrafficForecaster) -> None:
    visits = make_step(0.2, minute=4 * DAY + 10, days=6)
    visits[4 * DAY + 500] = np.nan
    whole = OnlineForecaster(model, history=visits[: 4 * DAY])
    for count in visits[4 * DAY : 4 * DAY + 655].tolist():
        whole.observe(count)
    half = OnlineForecaster.from_state(json.loads(json.dumps(whole.to_state(), allow_nan=False)))
    for count in visits[4 * DAY + 655 : 5 * DAY + 100].tolist():
        whole.observe(count)
        half.observe(count)
    assert half.to_state() == whole.to_state()
    assert half.drift == whole.drift
    assert "0.2" in whole.drift[0].sentence()
    np.testing.assert_array_equal(half.forecast(10), whole.forecast(10))


def test_memory_is_bounded(model: TrafficForecaster) -> None:
    online = OnlineForecaster(model)
    for count in make_visits(days=11, level=20.0).tolist():
        online.observe(count)
    assert len(online.to_state()["counts"]) <= 9 * DAY
    assert online.recent(days=20).size <= 9 * DAY


def test_thinning_keeps_poisson_noise_and_multiplying_keeps_the_mean() -> None:
    visits = np.random.default_rng(0).poisson(400.0, DAY).astype(np.float64)
    visits[7] = np.nan
    thinned = rescale(visits, np.full(DAY, 0.1), day=3)
    assert np.isnan(thinned[7])
    assert np.nanmean(thinned) == pytest.approx(40.0, abs=4.0 * np.sqrt(40.0 / DAY))
    assert np.nanvar(thinned) / np.nanmean(thinned) == pytest.approx(1.0, abs=4.0 * np.sqrt(2.0 / DAY))
    np.testing.assert_array_equal(thinned, rescale(visits, np.full(DAY, 0.1), day=3))
    np.testing.assert_array_equal(rescale(visits, np.full(DAY, 3.0), day=3), 3.0 * visits)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda o: o.observe(-1.0), "minute_count must be 0 to 1e"),
        (lambda o: o.observe(float("inf")), "minute_count must be 0 to 1e"),
        (lambda o: o.observe("12"), "must be a number of visits or nan, got '12'"),
        (lambda o: o.observe(None), "must be a number of visits or nan, got None"),
        (lambda o: o.observe(np.True_), "must be a number of visits or nan, got np.True_"),
        (lambda o: o.forecast(0), "horizon must be 1 to 60 minutes, got 0"),
        (lambda o: o.forecast(61), "horizon must be 1 to 60 minutes, got 61"),
        (lambda o: OnlineForecaster(o.model).forecast(1), "0 minutes were observed, a forecast needs 60"),
        (lambda o: OnlineForecaster(o.model, history=[1.0, -2.0]), "visits must be >= 0, got -2.0 in minute 1"),
        (lambda o: forecast_online(o, np.ones(10), horizons=(1,)), "begin at a whole hour"),
        (lambda _: OnlineForecaster.from_state({}), "no state of an online forecaster of format 1"),
        (lambda o: OnlineForecaster.from_state({**o.to_state(), "log_width": [0.0]}), "of another length"),
        (lambda o: OnlineForecaster.from_state({**o.to_state(), "counts": "abc"}), "begin anew"),
        (lambda o: OnlineForecaster.from_state({"format": 1}), "lacks an entry"),
        (lambda _: fit_forecaster(make_visits(), counted=np.ones(9)), "counted: expected the 8640 minutes"),
    ],
)
def test_what_cannot_be_used_is_refused(
    model: TrafficForecaster, call: Callable[[OnlineForecaster], Any], words: str
) -> None:
    online = OnlineForecaster(model, history=make_visits(days=1)[:130])
    before = online.to_state()
    with pytest.raises(InputError, match=words):
        call(online)
    assert online.to_state() == before


@pytest.fixture(scope="module")
def world_cup() -> Array:
    return read_world_cup().visits


@needs_world_cup
def test_the_world_cup_thinned_to_a_tenth_for_its_last_two_weeks(world_cup: Array) -> None:
    start = world_cup.size - 14 * DAY
    followed = follow(thin(world_cup, 0.1, minutes=slice(start, None)), start=start)
    assert_good(followed)
    first = followed.levels()[0]
    assert first.began == pytest.approx(0, abs=3)
    assert 0 < first.found <= DAY
    assert first.factor == pytest.approx(0.1, rel=0.3)


@needs_world_cup
def test_a_world_cup_that_was_a_tenth_all_the_time(world_cup: Array) -> None:
    start = world_cup.size - 14 * DAY
    assert_good(follow(thin(world_cup, 0.1, minutes=slice(None)), start=start, horizons=(1, 10)))


@needs_world_cup
def test_the_fortnight_before_june_gives_at_most_one_warning(world_cup: Array) -> None:
    start, end = (read_world_cup().index_of(stamp) for stamp in ("1998-05-18", "1998-06-01"))
    followed = follow(world_cup[:end], start=start, horizons=HORIZONS)
    assert_good(followed)
    assert len(followed.warnings) <= 1


@needs_world_cup
@pytest.mark.parametrize("factor", [0.03, 0.3, 3.0, 30.0])
def test_a_world_cup_that_changes_to_another_level_in_the_middle_of_a_day(world_cup: Array, factor: float) -> None:
    start = world_cup.size - 14 * DAY
    minutes = slice(start + 700, None) if factor < 1.0 else slice(start + 700)
    followed = follow(thin(world_cup, min(factor, 1.0 / factor), minutes=minutes), start=start, horizons=(1, 10, 60))
    assert_good(followed)
    assert followed.levels()[0].found <= 700 + DAY


@needs_world_cup
def test_the_shipped_model_on_the_early_site_covers_what_it_says_only_when_followed(world_cup: Array) -> None:
    """The 18 to 31 May brought a tenth of the traffic that the shipped model was fitted on."""
    start, end = (read_world_cup().index_of(stamp) for stamp in ("1998-05-18", "1998-06-01"))
    shipped, visits = load_shipped().forecaster, world_cup[start:end]
    followed = forecast_online(OnlineForecaster(shipped), visits, horizons=(10,))[10]
    for forecast, good in ((shipped.forecast_each(visits, horizon=10), False), (followed, True)):
        known = np.isfinite(forecast[:, 0]) & np.isfinite(visits)
        share = ((visits >= forecast[:, 0]) & (visits <= forecast[:, -1]))[known].mean()
        assert (0.85 <= share <= 0.95) == good, share
