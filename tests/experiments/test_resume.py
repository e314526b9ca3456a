"""One command takes up a training that was stopped, in the settings of its folder."""

import errno
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from agents.callbacks import SaleMetrics
from agents.checkpoints import Checkpoints
from experiments.pipeline import prepare
from flashsim.files import cannot_write
from tests.experiments.programs import SMALL_SALE, TINY_PPO, Start, files, prefixed, small_world, starter

SETTINGS = ("scenario.name=j1_lag1", "agent=tensor_ppo", "seed=2", *prefixed("agent", TINY_PPO))
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Start:
    return starter(monkeypatch, capsys, tmp_path)


def stop_after(most: int) -> Callable[[SaleMetrics], Any]:
    """What a learner calls at each step, until somebody presses Ctrl-C after ``most`` decisions."""
    steps = 0
    original = SaleMetrics._on_step

    def impatient(self: SaleMetrics) -> Any:
        nonlocal steps
        steps += self._env().num_envs
        if steps > most:
            raise KeyboardInterrupt
        return original(self)

    return impatient


@pytest.fixture
def stopped(start: Start, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The folder of a training that somebody stopped in its second iteration."""
    with monkeypatch.context() as patch:
        patch.setattr(SaleMetrics, "_on_step", stop_after(400))
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


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"a: [", "is not YAML, line 1"),
        (b"\xff\xfe", "is not text in UTF-8"),
        (b"[" * 100_000, "is nested too deeply"),
        (b"a: &a [1]\nb: *a", "refers to another place"),
        (b"- secret", "holds no settings"),
        (b"5: 5", "holds no settings"),
        (b"secrets: 5", "secrets"),
        (b"seed: [5]", "seed"),
        (b"seed: 2026-01-01", "seed"),
        (b"seed: -1", "seed"),
        (b"seed: " + b"9" * 400, "digits"),
        (b"agent: {gamma: .nan}", "gamma"),
        (b"agent: {name: 5, layers: [a]}", "layers"),
        (b"scenario: {name: ''}", "scenario"),
        (b"scenario: {ticks: {a: 1}}", "scenario.ticks"),
        (b"scenario: {name: j1_lag1}\nagent: {name: '${seed}'}", "${seed}.check"),  # text, which refers to nothing
    ],
)
def test_settings_that_no_training_left_are_refused(start: Start, stopped: Path, content: bytes, words: str) -> None:
    (stopped / "config.yaml").write_bytes(content)
    before = files(stopped.parent)
    ended = start("train", "resume=stopped", "output=refused")
    assert ended.code == 2
    assert words in ended.stderr
    assert ended.stderr.count("\n") == 1
    assert len(ended.stderr) < 1_000
    assert files(stopped.parent) == before
    assert not (stopped.parent / "refused").exists()


@pytest.mark.parametrize("name", ["config.yaml", "run.json", "tensorppo.checkpoint.safetensors"])
def test_a_pipe_or_a_device_in_the_folder_is_refused_at_once(start: Start, stopped: Path, name: str) -> None:
    makers: list[Callable[[Path], object]] = [os.mkfifo, lambda path: path.symlink_to("/dev/zero"), Path.mkdir]
    for make in makers:
        (stopped / name).rmdir() if (stopped / name).is_dir() else (stopped / name).unlink()
        make(stopped / name)
        ended = start("train", "resume=stopped", "output=refused")
        assert ended.code == 2
        assert "cannot" in ended.stderr
        assert ended.stderr.count("\n") == 1


def test_the_line_that_is_printed_goes_on_and_so_does_that_of_the_next_stop(
    start: Start, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Folders are called as no shell likes it; the second stop comes before the first checkpoint of its own."""
    with monkeypatch.context() as patch:
        patch.setattr(SaleMetrics, "_on_step", stop_after(400))
        first = start("train", *SETTINGS, "output='it\\'s, [1]=$x'")
        patch.setattr(SaleMetrics, "_on_step", stop_after(0))
        patch.setattr(Checkpoints, "_on_rollout_start", lambda _: None)
        second = start("train", *arguments_of(first.stderr), "output=again")
    assert (first.code, second.code) == (130, 130)
    assert arguments_of(second.stderr) == arguments_of(first.stderr)
    ended = start("train", *arguments_of(second.stderr), "output=resumed")
    assert ended.code == 0, ended.stderr
    assert start("train", *SETTINGS, "output=whole").code == 0
    assert results(tmp_path / "resumed") == results(tmp_path / "whole")


def test_whose_world_is_trusted_is_said_anew_and_not_by_the_folder(
    start: Start, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The World lies where a training keeps the one that it calibrates, as who handed over the folder could put it."""
    small_world().save(tmp_path / "world")
    assert start("keys", "output=keys").code == start("keys", "output=strange").code == 0
    with monkeypatch.context() as patch:
        patch.setattr(SaleMetrics, "_on_step", stop_after(400))
        settings = ("world.folder=world", *SMALL_SALE, "agent=tensor_ppo", *prefixed("agent", TINY_PPO))
        assert start("train", *settings, "output=stopped").code == 130
    (tmp_path / "world").rename(tmp_path / "stopped" / "world")
    assert start("sign", "key=strange/private_key.pem", "folders=[stopped/world]", "output=signing").code == 0
    config = yaml.safe_load((tmp_path / "stopped" / "config.yaml").read_text())
    config["world"] |= {
        "folder": None,
        "calibrate": True,
        "trusted_keys": ["strange/public_key.pem"],
        "signed_only": True,
    }
    (tmp_path / "stopped" / "config.yaml").write_text(yaml.safe_dump(config))
    trusted = "world.trusted_keys=[keys/public_key.pem]"
    other = start("train", "resume=stopped", trusted, "output=refused")
    assert (other.code, "which is none of world.trusted_keys" in other.stderr) == (2, True), other.stderr
    (tmp_path / "stopped" / "world" / "signature.json").unlink()
    unsigned = start("train", "resume=stopped", trusted, "world.signed_only=true", "output=refused")
    assert (unsigned.code, "is not signed, and signatures are asked for" in unsigned.stderr) == (2, True)
    resumed = start("train", "resume=stopped", "output=resumed")
    assert resumed.code == 0, resumed.stderr
    assert "is not signed" in resumed.stdout
    kept = yaml.safe_load((tmp_path / "resumed" / "config.yaml").read_text())["world"]
    assert (kept["trusted_keys"], kept["signed_only"]) == ([], False)


def arguments_of(stderr: str) -> list[str]:
    """What a shell makes of the line after "go on with"."""
    line = stderr.splitlines()[0].removeprefix("go on with: python -m experiments.train ")
    said = subprocess.run(["bash", "-c", f"printf '%s\\0' {line}"], capture_output=True, check=True).stdout
    return said.decode().split("\0")[:-1]


def test_no_line_goes_on_with_a_training_that_would_end_in_the_same_sentence(start: Start, tmp_path: Path) -> None:
    ended = start("train", *SETTINGS, "agent.learning_rate=1e-30", "output=futile")
    assert (ended.code, ended.stderr.count("\n")) == (2, 1), ended.stderr
    assert "raise learning_rate or steps" in ended.stderr
    assert not list((tmp_path / "futile").glob("*checkpoint*"))


def test_a_full_disk_leaves_a_line_that_goes_on(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise cannot_write(Path("x"), OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)))

    monkeypatch.setattr(prepare, "write_table", full)
    ended = start("train", *SETTINGS, "output=full")
    assert ended.code == 2
    assert arguments_of(ended.stderr) == ["resume='full'"]


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
from experiments.pipeline.prepare import TrainingPool
pool = TrainingPool(1)
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
