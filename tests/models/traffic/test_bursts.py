"""Bursts are flagged within minutes, and ordinary days stay quiet."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from flashsim.errors import InputError
from flashsim.models.traffic.bursts import QUIET_MINUTES, BurstDetector, detection_delays, fit_detector, inject_burst
from tests.data.world_cup import needs_world_cup, read_world_cup
from tests.models.traffic.made_traffic import make_visits


@pytest.fixture(scope="module")
def visits() -> Any:
    return make_visits(level=60.0)


@needs_world_cup
def test_tenfold_bursts_are_flagged_within_three_minutes_at_one_false_alarm_a_day_or_less() -> None:
    series = read_world_cup()
    start = series.index_of("1998-06-11")
    detector = fit_detector(series.visits[:start])
    alarms = detector.alarms(series.visits)
    assert (alarms >= start).sum() <= 5  # five days
    minutes = np.random.default_rng(0).integers(start, series.visits.size - QUIET_MINUTES, 150)
    delays = detection_delays(detector, series.visits, minutes=minutes, factor=10.0)
    assert (delays <= 3).all()


def test_false_alarms_of_the_days_fitted_on_stay_below_the_rate_asked_for(visits: Any) -> None:
    wild = visits * np.random.default_rng(1).lognormal(0.0, 0.4, visits.size)
    for rate in (0.0, 0.5, 2.0):
        detector = fit_detector(wild, alarms_a_day=rate)
        assert detector.alarms(wild).size <= rate * 6
    assert fit_detector(wild, alarms_a_day=2.0).threshold < fit_detector(wild, alarms_a_day=0.0).threshold


@pytest.mark.parametrize("level", [20.0, 300.0, 5000.0])
def test_shops_of_any_size_are_watched_alike(level: float) -> None:
    ordinary = make_visits(level=level, days=6)
    detector = fit_detector(ordinary[: 4 * 1440])
    later = ordinary[4 * 1440 :]
    assert detector.alarms(later).size <= 2  # two days
    minutes = np.random.default_rng(0).integers(4 * 1440, 6 * 1440 - QUIET_MINUTES, 60)
    delays = detection_delays(detector, ordinary, minutes=minutes, factor=10.0)
    assert (delays <= 3).mean() > 0.95


def test_an_alarm_knows_nothing_of_what_comes_later(visits: Any) -> None:
    detector = BurstDetector(6.0)
    bursty = inject_burst(visits, minute=4000)
    changed = bursty.copy()
    changed[4100:] = 1e6
    np.testing.assert_array_equal(detector.score(bursty)[:4100], detector.score(changed)[:4100])


def test_a_burst_raises_one_alarm_and_then_silence(visits: Any) -> None:
    detector = fit_detector(visits)
    alarms = detector.alarms(inject_burst(visits, minute=4000, minutes=20))
    near = alarms[(alarms >= 4000) & (alarms < 4000 + QUIET_MINUTES)]
    assert near.tolist() == [4000]


def test_a_slow_rush_is_no_burst(visits: Any) -> None:
    """Visits double in four hours."""
    ramp = np.ones(visits.size)
    ramp[3000:3240] = 2.0 ** (np.arange(240) / 240.0)
    ramp[3240:] = 2.0
    detector = fit_detector(visits)
    assert detector.alarms(np.round(visits * ramp)).size <= detector.alarms(visits).size + 1


def test_missing_minutes_and_outages_say_nothing(visits: Any) -> None:
    detector = fit_detector(visits)
    holes = visits.copy()
    holes[2000:2200] = np.nan
    score = detector.score(holes)
    assert (score[2000:2200] == 0.0).all()
    holes[2200:] *= 4.0  # the site comes back busier: no reference, no alarm
    alarms = detector.alarms(holes)
    assert not ((alarms >= 2000) & (alarms < 2400)).any()


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda v: fit_detector(v[:100]), "at least 4320 minutes"),
        (lambda v: fit_detector(np.zeros(5 * 1440)), "all visits are 0"),
        (lambda v: fit_detector(v, alarms_a_day=-1.0), "alarms_a_day must be >= 0"),
        (lambda v: fit_detector(v, least_ratio=1.0), "least_ratio must be > 1"),
        (lambda _: BurstDetector(float("nan")), "threshold must be > 0"),
        (lambda _: BurstDetector(5.0).score([1.0, -2.0]), "must be >= 0, got -2.0 in minute 1"),
        (lambda _: BurstDetector(5.0).score([]), "at least 1 minutes"),
    ],
)
def test_what_cannot_be_used_is_refused(visits: Any, call: Callable[[Any], Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        call(visits)
