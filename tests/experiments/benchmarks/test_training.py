"""The race to a fixed return: what it leaves behind, that evaluations are off the clock, and when it tells a bound."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from agents.ppo.settings import TensorPPOConfig
from agents.settings import Device
from experiments.benchmarks import training as benchmark_training
from experiments.benchmarks.training import (
    OURS,
    STOCK,
    TrainingSpeedConfig,
    cpu_to_reach,
    learn_ours,
    learn_stock,
    main,
    ratio_of,
)
from experiments.launch.outputs import start_run
from flashsim.errors import InputError
from flashsim.reference import g0
from tests.agents.tiny import CHECKED, ON_POLICY, dqn

Curve = list[dict[str, float]]
AGENT = TensorPPOConfig(**{**CHECKED, **ON_POLICY, "steps": 2_000, "device": Device.cpu})


def points(*pairs: tuple[float, float]) -> Curve:
    """A curve of (CPU seconds, profit)."""
    return [{"steps": 100.0 * cpu_s, "cpu_s": cpu_s, "profit": profit} for cpu_s, profit in pairs]


def race(folder: Path, patch: pytest.MonkeyPatch, *, stock: Curve) -> tuple[pd.DataFrame, dict[str, Any]]:
    """The table and the summary of a race in which ours converges to 10 and passes 9.5 after two CPU seconds."""
    ours = points((0.0, 1.0), (1.0, 5.0), (2.0, 9.6), (3.0, 10.0))
    patch.setattr(benchmark_training, "_warm_up", lambda *_: None)
    patch.setattr(benchmark_training, "learn_ours", lambda *_, **__: ours)
    patch.setattr(benchmark_training, "learn_stock", lambda *_, **__: stock)
    config = TrainingSpeedConfig(seeds=2, agent=AGENT)
    main.__wrapped__(config, start_run(folder / "run", config="", command=""))  # type: ignore[attr-defined]
    return pd.read_csv(folder / "run" / "training.csv"), json.loads((folder / "run" / "training.json").read_text())


def test_a_race_tells_the_ratio_of_cpu_times(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table, told = race(tmp_path, monkeypatch, stock=points((0.0, 1.0), (20.0, 9.0), (30.0, 9.5)))
    assert sorted(zip(table["training"], table["seed"], strict=True)) == [(OURS, 0), (OURS, 1), (STOCK, 0), (STOCK, 1)]
    assert told["return_to_reach"] == pytest.approx(9.5)
    assert told["ratio"] == pytest.approx(30.0 / 2.0)
    assert table["is_reached"].all()
    assert not told["is_lower_bound"]


def test_a_training_that_is_given_up_makes_the_ratio_a_bound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table, told = race(tmp_path, monkeypatch, stock=points((0.0, 1.0), (20.0, 9.0), (40.0, 9.4)))
    assert told["ratio"] == pytest.approx(40.0 / 2.0)
    assert told["is_lower_bound"]
    assert table.loc[table["training"] == STOCK, "is_reached"].tolist() == [False, False]


def test_one_of_ours_that_does_not_arrive_counts_with_infinite_time() -> None:
    told = {"training": [OURS, OURS, OURS, STOCK, STOCK, STOCK], "cpu_s": [2.0, np.inf, 4.0, 30.0, 40.0, 50.0]}
    assert ratio_of(pd.DataFrame(told | {"is_reached": [True, False, True, True, True, True]})) == (10.0, False)
    assert ratio_of(pd.DataFrame(told | {"is_reached": [True, False, True, True, False, True]})) == (10.0, True)


def test_a_return_that_luck_reaches_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match=r"earns the 9\.5 to reach before it has learned anything"):
        race(tmp_path, monkeypatch, stock=points((0.0, 9.7), (20.0, 9.0)))


def test_stock_settings_are_those_of_the_library() -> None:
    """One rollout of 2 048 steps in each of eight envs; given up at once, it has been evaluated once."""
    sale = g0().compile()
    curve = learn_stock(sale, AGENT, seed=0, sales=64, enough=math.inf, most_cpu_s=0.0)
    assert [point["steps"] for point in curve] == [0]
    longer = learn_stock(sale, AGENT, seed=0, sales=64, enough=math.inf, most_cpu_s=1e-3)
    assert [point["steps"] for point in longer] == [0, 8 * 2_048]


def test_stock_dqn_explores_over_as_many_decisions_as_ours() -> None:
    """And is evaluated at the end of them."""
    sale, config = g0().compile(), dqn(steps=4_800)
    curve = learn_stock(sale, config, seed=0, sales=64, enough=math.inf, most_cpu_s=math.inf)
    assert [point["steps"] for point in curve] == [0, 4_096, 4_800]


def test_dqn_is_evaluated_now_and_then_and_at_the_end() -> None:
    sale = g0().compile()
    curve = learn_ours(sale, dqn(steps=9_600), seed=0, sales=64)
    assert [point["steps"] for point in curve] == [0, 4_096, 8_192, 9_600]


def test_the_curve_tells_decisions_time_and_return() -> None:
    sale = g0().compile()
    curve = learn_ours(sale, AGENT, seed=0, sales=64)
    steps, spent = [point["steps"] for point in curve], [point["cpu_s"] for point in curve]
    assert steps[0] == 0
    assert steps[-1] >= AGENT.steps
    assert spent == sorted(spent)
    assert all(math.isfinite(point["profit"]) for point in curve)


def test_evaluations_are_off_the_clock() -> None:
    """A thousand times the sales to evaluate is many times the work, and no more time on the clock than chance adds."""
    sale = g0().compile()
    learn_ours(sale, AGENT, seed=0, sales=64)
    few, many = (learn_ours(sale, AGENT, seed=0, sales=sales)[-1]["cpu_s"] for sales in (64, 60_000))
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
