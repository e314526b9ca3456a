"""A training that was killed, however often, ends with the curve and the network of one that was not."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from agents import checkpoints
from agents.checkpoints import read_checkpoint
from agents.settings import AgentConfig
from flashsim.errors import InputError
from tests.agents.tiny import CONFIGS, dqn, train_small, trained


class Killed(BaseException):
    """What nothing in a training catches."""


def killed_after(steps: int) -> Callable[[int], None]:
    """A progress function that lives for ``steps`` decisions."""
    left = steps

    def progress(done: int) -> None:
        nonlocal left
        left -= done
        if left < 0:
            raise Killed

    return progress


def left_behind(folder: Path, config: AgentConfig, *, steps: int = 1_300) -> Path:
    """The checkpoint of a training that was killed after so many decisions, written whenever it can be: how often DQN
    writes depends on the machine."""
    path = folder / "checkpoint"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(checkpoints, "_PAUSE", 0.0)
        with pytest.raises(Killed):
            train_small(config, seed=0, checkpoint=path, progress=killed_after(steps))
    return path


KILLED = CONFIGS | {"averaged_dqn": dqn(average_share=0.05)}


@pytest.mark.parametrize("algorithm", KILLED)
def test_ten_kills_change_neither_curve_nor_network(
    algorithm: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkpoints, "_PAUSE", 0.0)  # so that DQN, too, gets on however fast the machine is
    config = KILLED[algorithm]
    whole = trained(algorithm) if algorithm in CONFIGS else train_small(config, seed=0)
    path = tmp_path / "checkpoint"
    rng = np.random.default_rng(3)
    for _ in range(10):
        torch.manual_seed(int(rng.integers(1000)))  # a new process would have drawn something else before
        resume = path if path.exists() else None
        progress = killed_after(int(rng.integers(1, 250 if algorithm.endswith("dqn") else 900)))
        with pytest.raises(Killed):
            train_small(config, seed=0, checkpoint=path, resume=resume, progress=progress)
    parted = train_small(config, seed=0, resume=path)
    assert parted.curve == whole.curve
    assert parted.model.num_timesteps == whole.model.num_timesteps
    for name, values in whole.model.policy.state_dict().items():
        assert torch.equal(values, parted.model.policy.state_dict()[name]), name


def test_a_checkpoint_changes_nothing_and_moves_on(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint"
    early = left_behind(tmp_path, CONFIGS["ppo"], steps=700)
    before = early.read_bytes()
    result = train_small(CONFIGS["ppo"], seed=0, checkpoint=path)
    assert result.curve == trained("ppo").curve
    assert path.read_bytes() != before


CHANGES: dict[str, tuple[dict[str, Any], int, str]] = {
    "seed": ({}, 1, r"seed was 0 and is 1 now"),
    "setting": ({"clip_range": 0.3}, 0, r"config\.clip_range was 0\.2 and is 0\.3 now; bring back what it was"),
    "steps": ({"steps": 9_000}, 0, r"config\.steps was 3000 and is 9000 now"),
}


@pytest.mark.parametrize(("changes", "seed", "words"), CHANGES.values(), ids=CHANGES)
def test_another_training_is_refused(changes: dict[str, Any], seed: int, words: str, tmp_path: Path) -> None:
    path = left_behind(tmp_path, CONFIGS["ppo"])
    with pytest.raises(InputError, match=words):
        train_small(replace(CONFIGS["ppo"], **changes), seed=seed, resume=path)


def test_another_version_or_file_is_refused(tmp_path: Path) -> None:
    path = left_behind(tmp_path, CONFIGS["ppo"])
    tensors = load_file(path)
    content = json.loads(bytes(tensors["facts"].numpy()))

    def refused(words: str, **changes: Any) -> None:
        text = json.dumps(content | changes).encode()
        save_file(tensors | {"facts": torch.frombuffer(bytearray(text), dtype=torch.uint8)}, path)
        with pytest.raises(InputError, match=words):
            train_small(CONFIGS["ppo"], seed=0, resume=path)

    refused(r"format version 2, this flashsim reads 6 \(6 has updates in compiled code\)", format_version=2)
    other = content["shared"] | {"versions": {"stable_baselines3": "1.0", "torch": torch.__version__}}
    refused(r"device was 'cuda' and is 'cpu' now", shared=content["shared"] | {"device": "cuda"})
    refused(r"versions\.stable_baselines3 was '1\.0' and is '2", shared=other)
    save_file(tensors | {"facts": torch.frombuffer(bytearray(b"[1]"), dtype=torch.uint8)}, path)
    with pytest.raises(InputError, match=r"is not a checkpoint .*facts are no object"):
        train_small(CONFIGS["ppo"], seed=0, resume=path)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(InputError, match="is not a checkpoint"):
        train_small(CONFIGS["ppo"], seed=0, resume=path)
    with pytest.raises(InputError, match="cannot read the checkpoint"):
        train_small(CONFIGS["ppo"], seed=0, resume=tmp_path / "nowhere")


def test_the_memory_of_dqn_goes_on_where_it_was_overwriting_the_oldest(tmp_path: Path) -> None:
    """2 000 transitions fit, so that a kill after 2 600 finds it full, and the next place in its middle."""
    path = left_behind(tmp_path, CONFIGS["dqn"], steps=2_600)
    tensors, content = read_checkpoint(path)
    assert content["dqn"]["full"]
    rows = len(tensors["memory.rewards"])
    assert rows == 2_000 // 16
    assert 0 < content["dqn"]["place"] < rows
    assert content["dqn"]["place"] == content["steps"] // 16 % rows
    resumed = train_small(CONFIGS["dqn"], seed=0, resume=path)
    assert resumed.curve == trained("dqn").curve


def test_dqn_writes_a_small_share_of_its_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By a clock on which a write takes six seconds and the rest of a vector step a second."""
    now, written = 0.0, []

    def write(_path: Path, data: bytes) -> None:
        nonlocal now
        now += 6.0
        written.append(len(data))

    def pass_second(_done: int) -> None:
        nonlocal now
        now += 1.0

    monkeypatch.setattr(checkpoints, "write_bytes", write)
    monkeypatch.setattr(checkpoints, "time", SimpleNamespace(monotonic=lambda: now))
    train_small(dqn(steps=6_000), seed=0, checkpoint=tmp_path / "checkpoint", progress=pass_second)
    assert len(written) >= 2
    assert 6.0 * (len(written) - 1) <= 0.05 * now


def test_a_memory_of_another_shape_is_refused(tmp_path: Path) -> None:
    path = left_behind(tmp_path, CONFIGS["dqn"])
    tensors = load_file(path)
    save_file(tensors | {"memory.rewards": tensors["memory.rewards"][:-1].clone()}, path)
    with pytest.raises(InputError, match=r"is not a checkpoint of this training \(memory.rewards: expected"):
        train_small(CONFIGS["dqn"], seed=0, resume=path)
    save_file({name: values for name, values in tensors.items() if not name.startswith("memory.")}, path)
    with pytest.raises(InputError, match="is not a checkpoint of this training"):
        train_small(CONFIGS["dqn"], seed=0, resume=path)
