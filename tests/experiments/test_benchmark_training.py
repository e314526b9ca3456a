"""The race to a fixed return: what it leaves behind, that evaluations are off the clock, and when it tells a bound."""

import json
import math
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from agents.settings import Device, TensorPPOConfig
from experiments import benchmark_training
from experiments.benchmark_training import OURS, STOCK, TrainingSpeedConfig, cpu_to_reach, learn_ours, main
from experiments.outputs import start_run
from flashsim.errors import InputError
from flashsim.reference import g0
from tests.agents.tiny import CHECKED, ON_POLICY

AGENT = TensorPPOConfig(**{**CHECKED, **ON_POLICY, "steps": 2_000, "device": Device.cpu})


def race(folder: Path, **changes: Any) -> tuple[pd.DataFrame, dict[str, Any]]:
    """The table and the summary that a quick race leaves."""
    settings: dict[str, Any] = {"sale": "g0", "seeds": 2, "evaluation_sales": 64, "agent": AGENT}
    config = TrainingSpeedConfig(**(settings | changes))
    main.__wrapped__(config, start_run(folder, config="", command=""))  # type: ignore[attr-defined]
    return pd.read_csv(folder / "training.csv"), json.loads((folder / "training.json").read_text())


def test_a_race_leaves_its_table(tmp_path: Path) -> None:
    table, told = race(tmp_path / "run", share=0.5, most_cpu_s=600.0, profile=True)
    assert sorted(zip(table["training"], table["seed"], strict=True)) == [(OURS, 0), (OURS, 1), (STOCK, 0), (STOCK, 1)]
    assert told["return_to_reach"] == pytest.approx(0.5 * told["converged"])
    assert table["is_reached"].all()
    assert not told["is_lower_bound"]
    assert "train" in (tmp_path / "run" / "profile.txt").read_text()


def test_a_training_that_is_given_up_makes_the_ratio_a_bound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(benchmark_training, "cpu_to_reach", lambda *_: None)
    table, told = race(tmp_path / "run", seeds=1, most_cpu_s=0.0)
    assert not table["is_reached"].any()
    assert told["is_lower_bound"]


def test_the_curve_tells_decisions_time_and_return() -> None:
    plan = g0().plan()
    curve = learn_ours(plan, AGENT, seed=0, sales=64)
    steps, spent = [point["steps"] for point in curve], [point["cpu_s"] for point in curve]
    assert steps[0] == 0
    assert steps[-1] >= AGENT.steps
    assert spent == sorted(spent)
    assert all(math.isfinite(point["profit"]) for point in curve)


def test_evaluations_are_off_the_clock() -> None:
    """A thousand times the sales to evaluate is many times the work, and no more time on the clock than chance adds."""
    plan = g0().plan()
    learn_ours(plan, AGENT, seed=0, sales=64)
    few, many = (learn_ours(plan, AGENT, seed=0, sales=sales)[-1]["cpu_s"] for sales in (64, 60_000))
    assert many < 3.0 * few


def test_the_first_point_that_earns_enough_counts() -> None:
    curve = [{"cpu_s": float(second), "profit": profit} for second, profit in enumerate((1.0, 5.0, 4.0, 9.0))]
    assert cpu_to_reach(curve, 4.5) == 1.0
    assert cpu_to_reach(curve, 9.0) == 3.0
    assert cpu_to_reach(curve, 9.5) is None


def test_what_cannot_be_raced_is_refused() -> None:
    with pytest.raises(InputError, match="sale: expected one of g0"):
        TrainingSpeedConfig(sale="g2")
    with pytest.raises(InputError, match="share"):
        TrainingSpeedConfig(share=0.0)
