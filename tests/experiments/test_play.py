"""Playing sales with a bundle: what is told and left behind, and which bundles a sale refuses."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from flashsim.envs.actions import ActionConfig
from flashsim.evaluation.kpis import KPIS
from flashsim.evaluation.records import load_rollouts
from flashsim.files import json_text
from flashsim.policies.bundle import CARD_FILE, _seal, save_policy
from flashsim.reference import g0
from flashsim.scenarios import scenario_named
from flashsim.scenarios.compiled import CompiledSale
from tests.experiments.programs import SMALL_SALE, Start, files, small_world, starter
from tests.made_policies import random_network, random_observations

SETTINGS = ("scenario=grocery_evening", "world.folder=world", *SMALL_SALE, "sales=24", "resamples=200")


@pytest.fixture
def start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Start:
    return starter(monkeypatch, capsys, tmp_path)


def small_sale(folder: Path) -> CompiledSale:
    """The sale of ``SETTINGS``; its World is saved to ``folder/world``."""
    world = small_world()
    world.save(folder / "world")
    return replace(scenario_named("grocery_evening", world), ticks=65).compile()


def save(sale: CompiledSale, folder: Path, **action: float) -> None:
    policy = random_network(sale, action=ActionConfig(**action))  # type: ignore[arg-type]
    save_policy(policy, folder, probes=random_observations(sale, 8))


def test_a_bundle_plays_a_scenario(start: Start, tmp_path: Path) -> None:
    sale = small_sale(tmp_path)
    save(sale, tmp_path / "bundle", max_discount=0.2, min_servers=4)
    ended = start("play", "bundle=bundle", *SETTINGS, "output=one")
    assert ended.code == 0, ended.stderr
    for kpi in KPIS:
        assert kpi.label in ended.stdout
    rails = json.loads((tmp_path / "one" / "rails.json").read_text())
    assert 0 < rails["guarded"] <= rails["decisions"] == 24 * 85
    told = (
        f"discounts of at most 20 % and at least 4 servers; they changed {rails['guarded']:,} of the 2,040 choices "
        "made in 24 sales"
    )
    assert told in ended.stdout
    assert ended.stdout.splitlines()[-1] == "Results: one"
    expected = {"config.yaml", "run.json", "kpis.csv", "sales.csv", "profile.csv", "rails.json", "course.svg"}
    expected |= {"response_map.csv", "response_curves.csv", "responses.svg", "rollouts/0000.safetensors"}
    assert files(tmp_path / "one") == expected
    kpis = {row["kpi"]: row for row in pd.read_csv(tmp_path / "one" / "kpis.csv").to_dict("records")}
    sales = pd.read_csv(tmp_path / "one" / "sales.csv")
    profit = kpis["profit"]
    assert profit["low"] <= profit["mean"] <= profit["high"]
    for words in ("(without width: the same in all 24 sales)", "too skewed to tell)"):
        assert words in ended.stdout
    assert "∞" not in ended.stdout
    assert profit["mean"] == pytest.approx(sales.groupby("member")["profit"].mean().mean())
    assert set(sales["member"]) <= set(sale.heldout_members)
    (rollout,) = load_rollouts(tmp_path / "one" / "rollouts")
    np.testing.assert_array_equal(rollout.totals["revenue"], sales["revenue"])
    assert (tmp_path / "one" / "course.svg").read_text().startswith("<?xml")
    curves = pd.read_csv(tmp_path / "one" / "response_curves.csv")
    assert set(curves["feature"]) == {"utilization", "visitors"}
    picture = (tmp_path / "one" / "responses.svg").read_text()
    for label in ("Discount", "Servers ordered", "stock left", "visitors, times the forecast"):
        assert f">{label}</text>" in picture


def test_the_closing_line_of_a_bundle_that_was_sealed_anew_is_what_was_played(start: Start, tmp_path: Path) -> None:
    """It was exported without guard-rails; its choices are steps, which are cut where they are decoded."""
    save(small_sale(tmp_path), tmp_path / "bundle", around_run_out=2)
    card = json.loads((tmp_path / "bundle" / CARD_FILE).read_text())
    card["action"]["max_discount"] = 0.1
    del card["seal"]
    (tmp_path / "bundle" / CARD_FILE).write_text(json_text(card | {"seal": _seal(card)}))
    ended = start("play", "bundle=bundle", *SETTINGS, "output=one")
    assert ended.code == 0, ended.stderr
    assert (
        "Guard-rails: discounts of at most 10 %; they changed 0 of the 2,040 choices made in 24 sales" in ended.stdout
    )
    assert "(what a step around the run-out price asks for is cut in every tick, which is not counted)" in ended.stdout
    (rollout,) = load_rollouts(tmp_path / "one" / "rollouts")
    assert 0.0 < rollout.profile["depth"].max() <= 0.1 + 1e-9


def test_the_same_sales_are_played_again(start: Start, tmp_path: Path) -> None:
    save(small_sale(tmp_path), tmp_path / "bundle")
    for output in ("one", "two"):
        assert start("play", "bundle=bundle", *SETTINGS, f"output={output}").code == 0
    for name in ("kpis.csv", "sales.csv", "profile.csv", "rollouts/0000.safetensors", "course.svg", "responses.svg"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def test_the_worth_of_what_it_sees_is_told(start: Start, tmp_path: Path) -> None:
    save(g0().compile(), tmp_path / "bundle")
    ended = start("play", "bundle=bundle", "scenario=g0", "sales=400", "resamples=200", "importance=true", "output=one")
    assert ended.code == 0, ended.stderr
    table = pd.read_csv(tmp_path / "one" / "importance.csv")
    assert not (tmp_path / "one" / "response_curves.csv").exists()
    told = ended.stdout.partition("Profit lost a sale")[2].splitlines()
    for place, row in enumerate(table.to_dict("records")):
        assert told[2 + place].startswith(row["group"])
        assert row["low"] <= row["lost"] <= row["high"]


def test_a_reference_sale_is_told_exactly_and_played(start: Start, tmp_path: Path) -> None:
    save(g0().compile(), tmp_path / "bundle")
    ended = start("play", "bundle=bundle", "scenario=g0", "sales=4000", "resamples=200", "output=one")
    assert ended.code == 0, ended.stderr
    exact = json.loads((tmp_path / "one" / "exact.json").read_text())
    profit = pd.read_csv(tmp_path / "one" / "sales.csv")["profit"]
    assert profit.mean() == pytest.approx(exact["value"], abs=4.0 * profit.std() / np.sqrt(profit.size))
    assert "No guard-rails were set" in ended.stdout
    assert "they changed" not in ended.stdout


def test_what_cannot_be_played_is_refused(start: Start, tmp_path: Path) -> None:
    save(small_sale(tmp_path), tmp_path / "bundle")
    changed = tmp_path / "changed"
    save(g0().compile(), changed)
    card = json.loads((changed / CARD_FILE).read_text())
    (changed / CARD_FILE).write_text(json.dumps(card | {"name": "another"}))
    for arguments, words in (
        (["scenario=g0"], "bundle: expected the folder of an exported policy, got none; set bundle=FOLDER"),
        (["bundle=nowhere", "scenario=g0"], "cannot read nowhere/card.json"),
        (["bundle=changed", "scenario=g0"], "was changed after it was written"),
        (["bundle=bundle", "scenario=g0"], "was trained on"),
        (["bundle=bundle", *SETTINGS, "scenario.depths=[0,0.05,0.1,0.2,0.25,0.3,0.35]"], "chose its discount from"),
        (["bundle=bundle", "scenario=g9"], "unknown name 'g9'; Known: clearance"),
        (["bundle=bundle", "scenario=g0", "sales=1"], "sales must be between 2"),
    ):
        ended = start("play", *arguments, "output=refused")
        assert ended.code == 2, ended.stdout
        assert words in ended.stderr
        assert ended.stderr.count("\n") == 1
        assert not (tmp_path / "refused").exists()
