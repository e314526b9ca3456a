"""Rushes of known parameters are found and fitted; their curve is the one stated."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flashsim.errors import InputError
from flashsim.models.traffic.rush import Rush, RushModel, find_rushes, fit_rushes
from tests.data.world_cup import needs_world_cup, read_world_cup
from tests.models.traffic.made_traffic import make_visits

MADE = (
    (1 * 1440 + 700, Rush(amplitude=4.0, ramp_minutes=10.0, hold_minutes=40.0, decay_minutes=30.0)),
    (3 * 1440 + 300, Rush(amplitude=2.5, ramp_minutes=20.0, hold_minutes=90.0, decay_minutes=60.0)),
    (5 * 1440 + 900, Rush(amplitude=6.0, ramp_minutes=6.0, hold_minutes=20.0, decay_minutes=45.0)),
)


def test_rushes_made_are_rushes_found() -> None:
    fit = fit_rushes(make_visits(days=7, level=2000.0, rushes=MADE))
    assert len(fit.rushes) == fit.model.rushes == len(MADE)
    for found, (_, truth) in zip(fit.rushes, MADE, strict=True):
        assert found.amplitude == pytest.approx(truth.amplitude, rel=0.1)
        assert found.ramp_minutes == pytest.approx(truth.ramp_minutes, rel=0.15)
        assert found.hold_minutes == pytest.approx(truth.hold_minutes, abs=5.0)
        assert found.decay_minutes == pytest.approx(truth.decay_minutes, rel=0.15)
    assert fit.information["hold and decay"] == min(fit.information.values())
    assert (fit.root_mean_square < 0.1).all()


def test_a_rush_beside_an_outage_is_left_out() -> None:
    visits = make_visits(days=7, level=2000.0, rushes=(*MADE, (6 * 1440 + 900, MADE[0][1])))
    assert fit_rushes(visits).model.rushes == 4
    visits[6 * 1440 + 800 : 6 * 1440 + 840] = 1.0
    assert fit_rushes(visits).model.rushes == 3


@given(
    amplitude=st.floats(0.01, 50.0),
    ramp=st.floats(0.1, 200.0),
    hold=st.floats(0.0, 300.0),
    decay=st.floats(0.1, 300.0),
)
def test_the_curve_rises_holds_and_falls(amplitude: float, ramp: float, hold: float, decay: float) -> None:
    rush = Rush(amplitude, ramp, hold, decay)
    before, top, after = np.linspace(-500.0, 0.0, 50), np.linspace(0.0, hold, 20), np.linspace(hold, 900.0, 50)
    assert (np.diff(rush.multiplier(before)) >= 0.0).all()
    assert rush.multiplier(top) == pytest.approx(np.full(20, 1.0 + amplitude))
    assert (np.diff(rush.multiplier(after)) <= 0.0).all()
    steps = (rush.multiplier([-ramp, hold + decay]) - 1.0) / amplitude
    assert steps == pytest.approx(np.exp([-1.0, -1.0]))


def test_the_extra_visits_are_the_area_under_the_curve() -> None:
    rush = MADE[0][1]
    minutes = np.linspace(-400.0, 800.0, 120_001)
    area = float(np.trapezoid(rush.multiplier(minutes) - 1.0, minutes))
    assert rush.extra_minutes == pytest.approx(area, rel=1e-4)


def test_drawn_rushes_have_the_stated_distribution_and_repeat() -> None:
    spread = np.diag([0.3, 0.4, 0.2, 0.5]) ** 2
    model = RushModel(np.log([2.0, 15.0, 41.0, 50.0]), spread, 9)
    assert model.typical.hold_minutes == pytest.approx(40.0)
    generator = np.random.default_rng(0)
    logs = np.log([model.draw(generator).amplitude for _ in range(2000)])
    assert logs.mean() == pytest.approx(np.log(2.0), abs=4 * 0.3 / np.sqrt(2000))
    assert logs.std() == pytest.approx(0.3, rel=4 / np.sqrt(4000))
    assert model.draw(np.random.default_rng(5)) == model.draw(np.random.default_rng(5))
    assert "over 9 rushes" in model.sentences()[0]


def test_neighboring_stretches_are_one_rush_and_short_ones_none() -> None:
    ratio = np.ones(1000)
    ratio[100:130] = ratio[150:170] = ratio[400:430] = 3.0
    ratio[600:605] = 9.0
    assert find_rushes(ratio) == [(100, 170), (400, 430)]


@needs_world_cup
def test_the_afternoons_of_the_first_match_days_are_rushes() -> None:
    """Matches began at 17:30 and 21:00 local time (15:30 and 19:00 in the table) from June 10 on."""
    series = read_world_cup()
    first = series.index_of("1998-06-08")
    fit = fit_rushes(series.visits[first:])
    for day in ("1998-06-10", "1998-06-11"):
        kickoff = series.index_of(f"{day} 15:30") - first
        assert ((fit.start < kickoff + 30) & (fit.end > kickoff + 60)).any()
    assert (fit.root_mean_square < 0.2).all()
    assert fit.information["hold and decay"] == min(fit.information.values())


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: fit_rushes(make_visits(days=5)), "0 rushes of 2 times the ordinary were found, at least 3"),
        (lambda: fit_rushes(np.zeros(5 * 1440)), "all visits are 0"),
        (lambda: fit_rushes(np.ones(50)), "at least 4320 minutes"),
        (lambda: Rush(1.0, 0.0, 1.0, 1.0), "ramp_minutes must be > 0, got 0"),
        (lambda: Rush(1.0, 1.0, -1.0, 1.0), "hold_minutes must be > 0, got -1"),
        (lambda: Rush(np.nan, 1.0, 1.0, 1.0), "amplitude must be > 0, got nan"),
        (lambda: RushModel(np.zeros(3), np.eye(4), 3), "mean and covariance: expected finite"),
    ],
)
def test_what_cannot_be_used_is_refused(call: Callable[[], Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        call()
