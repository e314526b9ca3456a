"""A World of a small shop's order lines goes through every named scenario to the page of the run."""

from pathlib import Path

import pytest

from flashsim.scenarios import SCENARIOS
from tests.data.exports.made_orders import Dialect, make_lines, write
from tests.data.exports.made_systems import shopify
from tests.experiments.programs import FEW_SALES, TINY_DQN, TINY_PPO, Start, prefixed, starter


@pytest.fixture
def start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Start:
    write(tmp_path / "till", shopify(make_lines()), Dialect(), name="orders_export")
    return starter(monkeypatch, capsys, tmp_path)


@pytest.mark.slow
def test_a_world_of_order_lines_goes_through_every_named_scenario(start: Start, tmp_path: Path) -> None:
    ended = start("calibrate", "data=csv", "data.folder=till", "data.preset=shopify", "output=own")
    assert ended.code == 0, ended.stderr
    assert (tmp_path / "own" / "data.html").exists()
    learners = (*prefixed("learners.ppo", TINY_PPO), *prefixed("learners.dqn", TINY_DQN))
    short = ("scenario.ticks=60", *FEW_SALES, "search_ticks=8000", "closure_sales=32", "evaluation.bounded_sales=2")
    for name in SCENARIOS:
        ended = start("run", "world.folder=own/world", f"scenario={name}", *learners, *short, f"output={name}")
        assert ended.code == 0, f"{name}: {ended.stderr}"
        assert "Uncalibrated World" in (tmp_path / name / "report.html").read_text(encoding="utf-8")
