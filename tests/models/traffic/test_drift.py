"""A lasting change of level warns within hours and once; noise, weekends, bursts and gaps do not."""

import json

import numpy as np
import pytest
from numpy.typing import NDArray

from flashsim.models.traffic.drift import HOURS_A_DAY, LevelChange, LevelChart
from tests.data.world_cup import needs_world_cup, read_world_cup
from tests.models.traffic.followed_traffic import thin


def make_hours(
    *, days: int, deviation: float, correlation: float = 0.7, level: float = 500.0, seed: int = 0
) -> NDArray[np.float64]:
    """(hour,) mean visits a minute: a daily wave, weekends at 0.6, correlated noise, and counting."""
    generator, hour = np.random.default_rng(seed), np.arange(days * HOURS_A_DAY)
    noise = generator.normal(0.0, deviation, hour.size)
    for k in range(1, hour.size):
        noise[k] = correlation * noise[k - 1] + np.sqrt(1.0 - correlation**2) * noise[k]
    weekend = np.where(hour // HOURS_A_DAY % 7 >= 5, np.log(0.6), 0.0)
    weekend = np.convolve(np.pad(weekend, (5, 0), "edge"), np.ones(6) / 6.0, "valid")
    rate = level * np.exp(noise + weekend + 0.8 * np.sin(2 * np.pi * hour / HOURS_A_DAY))
    return np.asarray(generator.poisson(60.0 * rate) / 60.0, dtype=np.float64)


def changes(hours: NDArray[np.float64]) -> list[tuple[int, LevelChange]]:
    chart = LevelChart()
    return [(k, change) for k, mean in enumerate(hours) if (change := chart.observe(mean)) is not None]


@pytest.mark.parametrize("deviation", [0.0, 0.2, 0.4])
@pytest.mark.parametrize("level", [2.0, 2000.0])
def test_false_alarms_stay_below_the_stated_rate(deviation: float, level: float) -> None:
    """One in 60 days is stated; ten sites of 60 days would give ten, and 20 only once in several hundred trials."""
    alarms = sum(len(changes(make_hours(days=60, deviation=deviation, level=level, seed=seed))) for seed in range(10))
    assert alarms <= 10


@pytest.mark.parametrize("factor", [0.03, 0.1, 0.3, 3.3, 10.0, 30.0])
def test_a_lasting_change_warns_within_hours_and_once(factor: float) -> None:
    for hour in range(7 * HOURS_A_DAY, 8 * HOURS_A_DAY, 5):
        hours = make_hours(days=14, deviation=0.1, seed=hour)
        hours[hour:] *= factor
        ((found, change),) = changes(hours)
        assert hour + 2 <= found <= hour + 5
        assert np.log(change.factor) == pytest.approx(np.log(factor), abs=np.log(1.6))
        assert found + 1 - change.hours_ago in (hour - 1, hour)


def test_a_change_that_is_missed_does_not_come_back_as_its_opposite() -> None:
    for factor in (0.5, 0.6, 1.7, 2.0):
        hours = make_hours(days=21, deviation=0.3, correlation=0.5)
        hours[10 * HOURS_A_DAY + 7 :] *= factor
        assert len(changes(hours)) <= 1


def test_a_burst_of_two_hours_is_no_lasting_change() -> None:
    hours = make_hours(days=14, deviation=0.1)
    hours[200:202] *= 20.0
    assert changes(hours) == []


@pytest.mark.parametrize("growth", [0.85, 1.1, 1.2])
def test_growth_over_days_is_no_lasting_change(growth: float) -> None:
    """The World Cup's site grew by 1.1 a day."""
    for seed in range(5):
        hours = make_hours(days=14, deviation=0.1, level=5000.0, seed=seed)
        assert changes(hours * growth ** (np.arange(hours.size) / HOURS_A_DAY)) == []


def test_unknown_hours_hide_no_change_and_make_none() -> None:
    hours = make_hours(days=14, deviation=0.1)
    hours[:5] = hours[150:190] = np.nan
    assert changes(hours) == []
    hours[239:] *= 0.1
    hours[240] = np.nan
    ((found, change),) = changes(hours)
    assert found <= 239 + 6
    assert found + 1 - change.hours_ago in (238, 239)


def test_a_chart_goes_on_from_its_state() -> None:
    hours = make_hours(days=12, deviation=0.3)
    hours[3], hours[250:] = np.nan, hours[250:] * 0.2
    whole, half = LevelChart(), LevelChart()
    for k, mean in enumerate(hours):
        if k in (10, 252):
            half = LevelChart.from_state(json.loads(json.dumps(half.to_state(), allow_nan=False)))
        assert half.observe(mean) == whole.observe(mean)


@needs_world_cup
def test_on_the_world_cup_a_tenth_always_warns_and_the_fortnight_before_june_never_twice() -> None:
    series = read_world_cup()
    first, last = ((series.index_of(stamp) - 150) // 60 for stamp in ("1998-05-18", "1998-06-01"))
    for offset in range(120, 180, 10):  # where the hours begin
        visits = series.visits[offset:]
        hours = visits[: visits.size // 60 * 60].reshape(-1, 60)
        assert sum(first <= hour < last for hour, _ in changes(np.nanmean(hours, axis=1))) <= 1
    for minute in np.random.default_rng(1).integers(10 * 1440, 38 * 1440, 10):
        thinned = thin(series.visits, 0.1, minutes=slice(int(minute), None))[: minute + 1440]
        hours = thinned[: thinned.size // 60 * 60].reshape(-1, 60)
        assert any(change.factor < 0.3 for hour, change in changes(np.nanmean(hours, axis=1)) if hour >= minute // 60)
