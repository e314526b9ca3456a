"""The day of a sale: weekday and season follow from its date, intervals widen with its distance from the data."""

from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pytest

from flashsim.errors import InputError
from flashsim.scenarios import scenario_named
from flashsim.scenarios.files import read_scenario, write_scenario
from flashsim.season import LevelDays
from flashsim.world import World
from tests.worlds import make_scenario, make_world

LAST = "2026-06-30"  # a Tuesday
WAVES = ((0.4, 0.0, 0.0, 0.0), (), (0.0, 0.3, 0.1, 0.0))  # the first product peaks at New Year


def seasonal() -> World:
    return make_world(products=3, level_days=LevelDays(LAST, WAVES, (0.002, 0.0, 0.001)))


def test_without_a_date_nothing_changes() -> None:
    plain, known = make_scenario(make_world()).compile(), make_scenario(seasonal()).compile()
    np.testing.assert_array_equal(plain.tables.rate, known.tables.rate)
    np.testing.assert_array_equal(plain.tables.product_variance, known.tables.product_variance)
    assert known.menu_notes == ()


def test_the_weekday_is_that_of_the_date() -> None:
    dated = make_scenario(make_world(), date="2026-12-27")  # a Sunday
    assert dated.weekday == 6
    np.testing.assert_array_equal(
        dated.compile().tables.rate, make_scenario(make_world(), weekday=6).compile().tables.rate
    )
    assert scenario_named("shopping_festival", make_world(products=8), date="2026-07-01").weekday == 2


def test_demand_follows_the_season_of_each_product_that_has_one() -> None:
    day = date(2026, 12, 29)
    sale, ordinary = (make_scenario(seasonal(), **when).compile() for when in ({"date": str(day)}, {"weekday": 1}))
    ratio = (sale.tables.rate / ordinary.tables.rate).mean(axis=(0, 1, 3, 4))
    assert ratio[0] == pytest.approx(np.exp(0.8), rel=0.05)  # from the bottom of its year to the top
    assert ratio[1] == 1.0
    np.testing.assert_allclose(ratio, seasonal().level_days.factor(day), rtol=1e-5)  # type: ignore[union-attr]
    forecast = sale.forecast.units[0] / ordinary.forecast.units[0]
    np.testing.assert_allclose(forecast, np.tile(ratio[:, None], (1, forecast.shape[1])), rtol=1e-5)


def test_intervals_widen_with_the_distance_from_the_data() -> None:
    world = seasonal()
    last = date.fromisoformat(LAST)
    near, far = (make_scenario(world, date=str(last + timedelta(days=n))).compile().tables for n in (0, 300))
    np.testing.assert_allclose(near.product_variance, world.frailty_product_variance)
    wider = (1.0 + world.frailty_product_variance) * np.exp(300 * np.array([0.002, 0.0, 0.001])) - 1.0
    np.testing.assert_allclose(far.product_variance, wider)


def test_of_products_chosen_each_has_its_own_season_and_drift() -> None:
    whole = make_scenario(seasonal(), date="2026-12-29").compile().tables
    part = make_scenario(seasonal(), date="2026-12-29", products=("p2",)).compile().tables
    np.testing.assert_array_equal(part.rate[:, :, 0], whole.rate[:, :, 2])
    np.testing.assert_array_equal(part.product_variance[:, 0], whole.product_variance[:, 2])


@pytest.mark.parametrize(
    "day", ["2026-13-01", "01/07/2026", "20260701", "tomorrow", "", "2026-7-1", "0001-01-01", "9999-12-31"]
)
def test_what_is_no_day_is_refused(day: str) -> None:
    with pytest.raises(InputError, match=r"^small_sale: date must|^date must be a day such as 2026-12-31, got"):
        make_scenario(seasonal(), date=day)


def test_more_than_a_year_ahead_is_refused_with_what_to_do() -> None:
    make_scenario(seasonal(), date="2027-07-01")
    with pytest.raises(InputError) as refused:
        make_scenario(seasonal(), date="2027-07-02")
    assert str(refused.value) == (
        "date: 2027-07-02 is 367 days after 2026-06-30, the last day of data of the World 'hand_made', at most 366 are "
        "allowed; bring newer days (from_world=), or give weekday alone"
    )
    of_weeks = make_world(provenance={"panel": {"last_day": "2017-12-31"}})
    with pytest.raises(InputError, match="3106 days after 2017-12-31"):
        make_scenario(of_weeks, date="2026-07-03")
    make_scenario(of_weeks, date="2018-07-06")


def test_the_notes_tell_how_far_the_day_is_and_whose_season_is_unknown() -> None:
    notes = make_scenario(seasonal(), date="2026-10-08").compile().menu_notes
    assert notes == (
        "The sale is 100 days after the last day of data: levels may have moved by a factor of 1.37 (one "
        "standard deviation).",
        "No season is known of 1 of 3 products: it needs a year of data.",
    )
    assert make_scenario(make_world(), date="2026-10-08").compile().menu_notes == (
        "No season is known of 3 of 3 products: it needs a year of data.",
    )


def test_a_day_before_the_last_day_of_data_is_told() -> None:
    notes = make_scenario(seasonal(), date="2026-05-01").compile().menu_notes
    assert notes[0].startswith("The sale is 60 days before the last day of data, at the levels of that day")


def test_a_file_may_name_the_day_with_and_without_quotes(tmp_path: Path) -> None:
    path, world = tmp_path / "mine.yaml", seasonal()
    for written in ("2026-12-26", "'2026-12-26'"):
        path.write_text(f"format_version: 1\nbase: grocery_evening\nname: mine\ndate: {written}\n", encoding="utf-8")
        scenario = read_scenario(path, world)
        assert (scenario.date, scenario.weekday) == ("2026-12-26", 5)
    write_scenario(tmp_path / "whole.yaml", scenario)
    assert read_scenario(tmp_path / "whole.yaml", world) == scenario


def test_a_world_keeps_its_days_on_disk_and_a_changed_file_is_refused(tmp_path: Path) -> None:
    world = seasonal()
    assert world.fingerprint() != make_world(products=3).fingerprint()
    world.save(tmp_path / "world")
    assert World.load(tmp_path / "world").level_days == world.level_days
    facts = tmp_path / "world" / "world.json"
    for old, new in (
        ('"2026-06-30"', '"soon"'),
        ('"2026-06-30"', '"0001-01-02"'),
        ('"2026-06-30"', "7"),
        ("0.002", "-1"),
        ("0.002", '"a"'),
        ("0.002", "true"),
        ('"drift"', '"drifts"'),
    ):
        text = facts.read_text(encoding="utf-8")
        assert old in text
        facts.write_text(text.replace(old, new), encoding="utf-8")
        with pytest.raises(InputError, match="level_days"):
            World.load(tmp_path / "world")
        facts.write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match="level_days: expected 2 products, got 3"):
        replace(make_world(products=2), level_days=world.level_days)
