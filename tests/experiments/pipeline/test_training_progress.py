"""Trainings in processes of a pool: one meter for all, with an end, and the networks that each would learn alone."""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from agents.training import train
from experiments.launch import progress
from experiments.pipeline.head_start import compile_simulator
from experiments.pipeline.prepare import TrainingPool, train_agent
from experiments.pipeline.training_progress import showing_trainings
from tests.agents.tiny import ppo, rule_operations, small_sale


def test_networks_are_those_of_a_training_alone_and_progress_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(progress, "SECONDS_BETWEEN_LINES", 0.0)
    configs = [replace(ppo(steps=1_500), name=f"PPO-{number}") for number in range(3)]
    options = {"folder": tmp_path, "operations": rule_operations()}
    with TrainingPool(len(configs)) as pool, showing_trainings(configs, pool.steps):
        compile_simulator(small_sale(), pool, configs)
        assert pool.submit(eval, "'agents.training' in __import__('sys').modules").result()
        jobs = [
            pool.submit(train_agent, small_sale(), config, seed=number, number=number, **options)  # type: ignore[arg-type]
            for number, config in enumerate(configs)
        ]
        together = [job.result() for job in jobs]
    assert list(pool.steps) == [1_500] * 3
    lines = capfd.readouterr().err.splitlines()
    assert lines
    assert all(re.fullmatch(r"training 3 networks: [\d,]+ of 4,500 \(\d+%\), \d+ s", line) for line in lines)
    assert lines[-1].startswith("training 3 networks: 4,500 of 4,500 (100%)")
    alone = train(small_sale(), configs[2], seed=2, operations=rule_operations()).policy()
    for mine, theirs in zip(alone.weights, together[2].weights, strict=True):
        np.testing.assert_array_equal(mine, theirs)
