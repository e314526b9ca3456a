"""A bundle on other worlds: what is misspecified, who knows of it, and the table of leads."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from flashsim.errors import InputError
from flashsim.evaluation.probes.misspecified import misspecified, surprised
from flashsim.evaluation.rollout import play
from flashsim.policies.bundle import load_policy
from flashsim.rules import run_out_price
from tests.experiments.programs import SMALL_SALE, Start, small_world, starter
from tests.experiments.test_play import save, small_sale
from tests.worlds import make_scenario, make_world

SETTINGS = ("bundle=bundle", "scenario=grocery_evening", "world.folder=world", *SMALL_SALE, "sales=24", "resamples=200")


@pytest.fixture
def start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Start:
    return starter(monkeypatch, capsys, tmp_path)


def test_discounts_work_half_as_well_and_twice_as_many_come() -> None:
    world = make_world()
    other = misspecified(world)
    before, after = world.units_per_minute.astype(np.float64), other.units_per_minute.astype(np.float64)
    np.testing.assert_allclose(after[:, :, :, 0], 2.0 * before[:, :, :, 0], rtol=1e-6)
    uplift, less = (np.log(units / units[:, :, :, :1]) for units in (before, after))
    np.testing.assert_allclose(less, 0.5 * uplift, atol=1e-5)
    same = misspecified(world, elasticity=1.0, traffic=1.0)
    np.testing.assert_allclose(same.units_per_minute, world.units_per_minute, rtol=1e-6)
    assert other.fingerprint() != world.fingerprint()
    assert other.uncalibrated_because


def test_an_operator_who_is_surprised_plans_as_before() -> None:
    world = make_world()
    believed, truth = (make_scenario(w).compile() for w in (world, misspecified(world)))
    sale = surprised(believed, truth)
    assert sale.forecast is believed.forecast
    np.testing.assert_array_equal(sale.stock, believed.stock)
    np.testing.assert_array_equal(sale.tables.rate, truth.tables.rate)
    policy = run_out_price(sale)
    came = [play(p, policy, sales=200, seed=0).totals["exogenous_visitors"].mean() for p in (sale, believed)]
    assert came[0] > 1.5 * came[1]
    with pytest.raises(InputError, match="expected the same sale on two Worlds"):
        surprised(believed, make_scenario(make_world(products=2)).compile())


def test_the_lead_is_told_for_every_place(start: Start, tmp_path: Path) -> None:
    sale = small_sale(tmp_path)
    save(sale, tmp_path / "bundle")
    replace(small_world(), name="other stores", population=2.0).save(tmp_path / "other")
    ended = start("studies.generalise", *SETTINGS, "elsewhere=[other]", "output=one")
    assert ended.code == 0, ended.stderr
    table = pd.read_csv(tmp_path / "one" / "generalisation.csv")
    assert list(table["place"]) == ["training members", "held-out members", "misspecified", "other stores"]
    np.testing.assert_allclose(table["lead"], table["profit"] - table["rule"])
    assert (table["lead_low"] <= table["lead"]).all()
    assert (table["lead"] <= table["lead_high"]).all()
    assert all(place in ended.stdout for place in table["place"])
    assert np.isnan(table["gap"][0])
    np.testing.assert_allclose(table["gap"][1:], table["lead"][1:] - table["lead"][0])
    assert (table["gap_low"] <= table["gap"])[1:].all()
    assert (table["gap"] <= table["gap_high"])[1:].all()
    held_out = sale.with_members(sale.heldout_members)
    alone = play(held_out, load_policy(tmp_path / "bundle"), sales=24, seed=0)
    means = pd.Series(alone.totals["profit"]).groupby(alone.members).mean()
    assert table["profit"][1] == pytest.approx(means.mean())


def test_what_cannot_be_judged_is_refused(start: Start, tmp_path: Path) -> None:
    save(small_sale(tmp_path), tmp_path / "bundle")
    make_world(products=3, members=6, training_members=(0, 1, 2), heldout_members=(3, 4, 5)).save(tmp_path / "wide")
    for arguments, words in (
        (["scenario=grocery_evening"], "bundle: expected the folder of an exported policy, got none"),
        (["bundle=bundle", "scenario=g0"], "'g0' has no members to hold out"),
        ([*SETTINGS, "elsewhere=[wide]"], "was trained on"),
        ([*SETTINGS, "elsewhere=[nowhere]"], "cannot read nowhere/world.json"),
    ):
        ended = start("studies.generalise", *arguments, "output=refused")
        assert ended.code == 2, ended.stdout
        assert words in ended.stderr
        assert not (tmp_path / "refused").exists()
