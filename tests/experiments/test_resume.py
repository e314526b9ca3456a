"""One command takes up a training that was stopped, in the settings of its folder."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

from agents.callbacks import SaleMetrics
from tests.experiments.programs import TINY_PPO, Start, prefixed, starter

SETTINGS = ("scenario.name=j1_lag1", "agent=tensor_ppo", "seed=2", *prefixed("agent", TINY_PPO))
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Start:
    return starter(monkeypatch, capsys, tmp_path)


@pytest.fixture
def stopped(start: Start, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The folder of a training that somebody stopped in its second iteration."""
    steps = 0
    original = SaleMetrics._on_step

    def impatient(self: SaleMetrics) -> Any:
        nonlocal steps
        steps += self._env().num_envs
        if steps > 400:
            raise KeyboardInterrupt
        return original(self)

    with monkeypatch.context() as patch:
        patch.setattr(SaleMetrics, "_on_step", impatient)
        assert start("train", *SETTINGS, "output=stopped").code == 130
    return tmp_path / "stopped"


def results(folder: Path) -> tuple[str, Any, bytes]:
    """What must not depend on a stop."""
    weights = folder / "policies" / "tensorppo" / "policy.safetensors"
    return (
        (folder / "curves" / "tensorppo.csv").read_text(),
        json.loads((folder / "exact.json").read_text()),
        weights.read_bytes(),
    )


def test_it_ends_where_the_other_would_have_ended(start: Start, stopped: Path, tmp_path: Path) -> None:
    ended = start("train", "resume=stopped", "output=resumed")
    assert ended.code == 0, ended.stderr
    assert start("train", *SETTINGS, "output=whole").code == 0
    assert results(tmp_path / "resumed") == results(tmp_path / "whole")
    assert not list((tmp_path / "resumed").glob("*checkpoint*"))
    assert list(stopped.glob("*checkpoint*"))
    config = yaml.safe_load((tmp_path / "resumed" / "config.yaml").read_text())
    assert config["seed"] == 2
    assert config["agent"]["layers"] == [8]
    assert json.loads((tmp_path / "resumed" / "run.json").read_text())["resumes"] == "stopped"


@pytest.mark.usefixtures("stopped")
def test_what_cannot_be_taken_up_is_refused(start: Start, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for arguments, words in (
        (["resume=stopped", "seed=1"], "takes the settings of that folder; leave all others but output away"),
        (["resume=stopped", "agent.steps=5"], "leave all others but output away"),
        (["resume=nowhere"], "cannot resume from nowhere"),
        (["resume=empty"], "cannot resume from empty"),
    ):
        ended = start("train", *arguments, "output=refused")
        assert ended.code == 2
        assert words in ended.stderr
        assert ended.stderr.count("\n") == 1
        assert not (tmp_path / "refused").exists()


def test_a_finished_training_is_not_taken_up(start: Start) -> None:
    assert start("train", *SETTINGS, "output=finished").code == 0
    ended = start("train", "resume=finished", "output=refused")
    assert ended.code == 2
    assert "finished holds no checkpoint: it was finished: its bundle is in policies/" in ended.stderr


@pytest.mark.slow
@pytest.mark.parametrize("agent", ["ppo", "dqn"])
def test_a_training_that_was_killed_is_taken_up(agent: str, tmp_path: Path) -> None:
    """SIGKILL, at moments that nothing chooses, until it is through; about two minutes."""
    program = [sys.executable, "-W", "ignore", "-m", "experiments.train"]
    settings = [f"agent={agent}", "experiment=reference/j1_lag1", "agent.device=cpu", "agent.steps=150000"]

    def run(*arguments: str) -> None:
        subprocess.run([*program, *arguments], cwd=ROOT, check=True, capture_output=True)

    def kill(*arguments: str, output: Path) -> None:
        process = subprocess.Popen([*program, *arguments, f"output={output}"], cwd=ROOT, stderr=subprocess.DEVNULL)
        while not list(output.glob("*.checkpoint.safetensors")):
            assert process.poll() is None
            time.sleep(0.05)
        time.sleep(1.0)
        process.send_signal(signal.SIGKILL)
        process.wait()

    run(*settings, f"output={tmp_path / 'whole'}")
    kill(*settings, output=tmp_path / "0")
    kill(f"resume={tmp_path / '0'}", output=tmp_path / "1")
    run(f"resume={tmp_path / '1'}", f"output={tmp_path / 'resumed'}")
    for name in (f"curves/{agent}.csv", "exact.json", f"policies/{agent}/policy.safetensors"):
        assert (tmp_path / "whole" / name).read_bytes() == (tmp_path / "resumed" / name).read_bytes()


LEARNS_FOR_NOBODY = """
import time
from experiments.pipeline.prepare import training_pool
pool = training_pool()
pool.submit(int).result()
print("learning", flush=True)
pool.submit(time.sleep, 600)
time.sleep(600)
"""


def test_learners_end_with_the_run_that_was_killed() -> None:
    """They hold its standard output as well: it ends when the last of them has."""
    run = subprocess.Popen([sys.executable, "-c", LEARNS_FOR_NOBODY], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert run.stdout is not None
    assert run.stdout.readline() == "learning\n"
    run.kill()
    assert run.communicate(timeout=60)[0] == ""
