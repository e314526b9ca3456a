"""Programs on a World that supports shallow discounts: the menu is cut, and everyone who reads a result is told."""

import json
from dataclasses import replace
from html import escape
from pathlib import Path

import pytest

from experiments.pipeline.compare import sale_context, world_context
from flashsim.scenarios import SCENARIOS, scenario_named
from tests.experiments.programs import (
    FEW_SALES,
    TINY_DQN,
    TINY_PPO,
    Start,
    prefixed,
    small_world,
    starter,
)

NOTE = "Left out of the discount menu: 30 %, 40 %, 45 %. The data support no discount deeper than 20 %."
BEYOND = "The discount menu goes beyond 20 %, the deepest discount that the data support."
TRAIN = ("train", "agent=ppo", "world.folder=world", *prefixed("agent", TINY_PPO))
EVALUATE = ("evaluate", "world.folder=world", *FEW_SALES, "search_ticks=1", "evaluation.bounded_sales=0")


@pytest.fixture
def start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Start:
    """Starts programs in a folder with a World that supports discounts up to 20 %, and one that supports a half."""
    replace(small_world(), supported_depth=0.2).save(tmp_path / "world")
    replace(small_world(), name="deep").save(tmp_path / "deep")
    return starter(monkeypatch, capsys, tmp_path)


def menu_of(run: Path) -> list[str] | None:
    """What the record of a run says of the menu."""
    told: list[str] | None = json.loads((run / "run.json").read_text()).get("menu")
    return told


def test_a_menu_that_is_cut_is_told_by_programs_records_cards_and_both_reports(start: Start, tmp_path: Path) -> None:
    ended = start(*TRAIN, "scenario.ticks=30", "output=train")
    assert ended.code == 0, ended.stderr
    assert f"· grocery_evening: {NOTE}\n" in ended.stdout
    assert menu_of(tmp_path / "train") == [NOTE]
    card = json.loads((tmp_path / "train" / "policies" / "ppo" / "card.json").read_text())
    assert card["training"]["menu"] == [NOTE]
    assert card["choices"]["discount"] == [[0.0, 0.1, 0.15, 0.2]] * 2

    bundle = ("bundles=[train/policies/ppo]", "baselines=[best fixed,ladder 15/30/45]")
    ended = start(*EVALUATE, *bundle, "scenario.ticks=30", "output=evaluate")
    assert ended.code == 0, ended.stderr
    assert f"· grocery_evening: {NOTE}\n" in ended.stdout
    assert menu_of(tmp_path / "evaluate") == [NOTE]
    html, markdown = ((tmp_path / "evaluate" / f"report.{kind}").read_text(encoding="utf-8") for kind in ("html", "md"))
    assert f'<p class="notice">{escape(NOTE)}</p>' in html.partition("<nav")[0]  # on the first screen
    assert f"\n{NOTE}\n" in markdown.partition("## Guardrails")[0]
    assert "0 %, 10 %, 15 %, 20 %" in markdown


def test_a_menu_that_was_set_is_refused_or_played_and_told(start: Start, tmp_path: Path) -> None:
    deep = ("scenario.ticks=30", "scenario.depths=[0,0.3]")
    ended = start(*TRAIN, *deep, "output=refused")
    assert ended.code == 2
    assert ended.stderr == (
        "error: grocery_evening: depths: the data support depths up to 0.2, got 0.3; leave out deeper ones or set "
        "allow_extrapolation=true\n"
    )
    assert not (tmp_path / "refused").exists()
    ended = start(*TRAIN, *deep, "scenario.allow_extrapolation=true", "output=allowed")
    assert ended.code == 0, ended.stderr
    assert f"· grocery_evening: {BEYOND}\n" in ended.stdout
    assert menu_of(tmp_path / "allowed") == [BEYOND]
    ended = start(*TRAIN, "scenario.ticks=30", "scenario.depths=[0,0.1]", "output=shallow")
    assert ended.code == 0, ended.stderr
    assert "discount menu" not in ended.stdout
    assert menu_of(tmp_path / "shallow") is None


def test_a_bundle_of_another_menu_is_refused_with_what_was_cut(start: Start) -> None:
    assert start(*TRAIN, "world.folder=deep", "scenario.ticks=30", "output=train").code == 0
    ended = start(*EVALUATE, "bundles=[train/policies/ppo]", "scenario.ticks=30", "output=evaluate")
    assert ended.code == 2
    assert ended.stderr.endswith(f"; train it on this sale ({NOTE})\n")
    home = ("world.folder=deep", "bundle=train/policies/ppo", "scenario.ticks=30")
    ended = start("studies.generalise", *home, "elsewhere=[world]", "sales=24", "output=elsewhere")
    assert ended.code == 2
    assert "grocery_evening: depths: the data support depths up to 0.2, got 0.45; leave out" in ended.stderr
    few = (*home, "elsewhere=[world]", "sales=24", "resamples=200", "scenario.allow_extrapolation=true")
    ended = start("studies.generalise", *few, "output=allowed")
    assert ended.code == 0, ended.stderr
    assert f"· hand_made: {BEYOND}\n" in ended.stdout


def test_a_report_tells_the_length_of_a_sale_in_minutes_whatever_its_ticks() -> None:
    told = sale_context(scenario_named("seckill", small_world()).compile(), sales=10)["scenario"]
    assert told["When"].startswith("10 minutes")
    assert told["Discounts"] == "0 %, 10 %, 20 %, 30 %, 40 %, 50 %"
    assert ", 1 min to boot, " in told["Servers"]


def test_a_world_that_supports_the_menu_is_told_nothing_of_it() -> None:
    world = small_world()
    context = world_context(world, scenario_named("clearance", world).compile())
    assert (context["notices"], context["extrapolations"]) == ([], [])


def test_a_report_tells_each_note_of_the_menu_once_and_beyond_the_data_only_what_is() -> None:
    whole = small_world()
    kept = whole.depth_grid <= 0.3
    early = replace(whole, depth_grid=whole.depth_grid[kept], units_per_minute=whole.units_per_minute[:, :, :, kept])
    told = "Left out of the discount menu: 40 %, 50 %. The World knows no discount deeper than 30 %."
    for deep, notices in ((whole, []), (early, [told])):
        world = replace(deep, supported_depth=0.2)
        context = world_context(world, scenario_named("clearance", world, allow_extrapolation=True).compile())
        assert (context["notices"], context["extrapolations"]) == (notices, [BEYOND])


@pytest.mark.slow
@pytest.mark.parametrize("name", SCENARIOS)
def test_every_named_scenario_runs_through_its_report(start: Start, tmp_path: Path, name: str) -> None:
    learners = (*prefixed("learners.ppo", TINY_PPO), *prefixed("learners.dqn", TINY_DQN))
    short = ("scenario.ticks=60", *FEW_SALES, "search_ticks=8000", "closure_sales=32", "evaluation.bounded_sales=2")
    ended = start("run", "world.folder=world", f"scenario={name}", *learners, *short, "output=run")
    assert ended.code == 0, ended.stderr
    (note,) = menu_of(tmp_path / "run") or []
    assert note.endswith("The data support no discount deeper than 20 %.")
    for page in ("report.md", "report.html"):
        assert note in (tmp_path / "run" / page).read_text(encoding="utf-8")
