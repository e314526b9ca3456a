"""The back-test of past promotions from end to end on a small made shop."""

import json
from pathlib import Path

import pandas as pd
import pytest

from tests.data.synthetic_shop import make_shop
from tests.experiments.programs import Start, starter


@pytest.fixture
def start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Start:
    make_shop(weeks=34, units_per_day=4.0).save(tmp_path / "shop")
    return starter(monkeypatch, capsys, tmp_path)


def test_every_episode_stands_in_the_table_beside_its_rivals(start: Start, tmp_path: Path) -> None:
    ended = start("studies.back_test", "data=shop", "products=8", "first_week=12", "output=one")
    assert ended.code == 0, ended.stderr
    episodes = pd.read_csv(tmp_path / "one" / "episodes.csv")
    found = json.loads((tmp_path / "one" / "back_test.json").read_text())
    assert found["episodes"] == len(episodes) >= 30
    assert (episodes["low"] <= episodes["predicted"]).all()
    assert (episodes["predicted"] <= episodes["high"]).all()
    assert {"no response", "category mean", "last episode"} <= set(episodes.columns)
    scores = pd.read_csv(tmp_path / "one" / "scores.csv")
    assert set(scores.loc[scores["products"] == "all products", "name"]) == {line["name"] for line in found["lines"]}
    assert pd.read_csv(tmp_path / "one" / "coverage.csv")["episodes"].sum() == len(episodes)
    assert (tmp_path / "one" / "back_test.png").read_bytes().startswith(b"\x89PNG")
    assert found["sentence"] in ended.stdout
    assert "not for research or commercial decisions" in ended.stdout


def test_too_few_episodes_are_told_and_nothing_is_drawn(start: Start, tmp_path: Path) -> None:
    ended = start("studies.back_test", "data=shop", "products=1", "first_week=30", "output=two")
    assert ended.code == 0, ended.stderr
    assert "too few past promotions" in ended.stdout
    assert not (tmp_path / "two" / "back_test.png").exists()


@pytest.mark.parametrize(("argument", "told"), [("products=0", "products must be >= 1"), ("first_week=-1", "got 600")])
def test_bad_settings_are_refused(start: Start, argument: str, told: str) -> None:
    ended = start("studies.back_test", argument, "data=shop")
    assert ended.code == 2
    assert told in ended.stderr
