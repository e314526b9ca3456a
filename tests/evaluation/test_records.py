"""Rollouts on disk: what is read is what was written, and a damaged file is refused."""

from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save

from flashsim.errors import InputError
from flashsim.evaluation.records import load_rollouts, save_rollouts
from flashsim.evaluation.rollout import Rollout
from tests.evaluation.made_rollouts import make_rollout


def assert_equal(one: Rollout, other: Rollout) -> None:
    assert (one.policy, one.steps) == (other.policy, other.steps)
    np.testing.assert_array_equal(one.seeds, other.seeds)
    np.testing.assert_array_equal(one.members, other.members)
    for group in ("totals", "products", "profile"):
        ours, theirs = getattr(one, group), getattr(other, group)
        assert set(ours) == set(theirs)
        for name, array in ours.items():
            np.testing.assert_array_equal(array, theirs[name])
            assert array.dtype == theirs[name].dtype


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    save_rollouts([make_rollout("PPO 学习", effect=5.0), make_rollout("b/../c"), make_rollout("a")], tmp_path / "r")
    return tmp_path / "r"


def test_rollouts_come_back_whole_and_in_order(folder: Path) -> None:
    loaded = load_rollouts(folder)
    written = [make_rollout("PPO 学习", effect=5.0), make_rollout("b/../c"), make_rollout("a")]
    for one, other in zip(loaded, written, strict=True):
        assert_equal(one, other)


def test_more_than_a_hundred_rollouts_keep_their_order(tmp_path: Path) -> None:
    names = [f"policy {place}" for place in range(120)]
    save_rollouts([make_rollout(name, sales=8) for name in names], tmp_path / "many")
    assert [rollout.policy for rollout in load_rollouts(tmp_path / "many")] == names


def test_saving_again_replaces_all(folder: Path) -> None:
    save_rollouts([make_rollout("alone")], folder)
    assert [rollout.policy for rollout in load_rollouts(folder)] == ["alone"]
    assert [path.name for path in folder.parent.iterdir()] == ["r"]


def test_equal_rollouts_are_equal_bytes(folder: Path, tmp_path: Path) -> None:
    save_rollouts(load_rollouts(folder), tmp_path / "again")
    for path in folder.iterdir():
        assert path.read_bytes() == (tmp_path / "again" / path.name).read_bytes()


@pytest.mark.parametrize("size", [0, 4, 100, -8])
def test_a_truncated_file_is_refused(folder: Path, size: int) -> None:
    path = sorted(folder.iterdir())[1]
    path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(InputError, match=r"0001\.safetensors is not a complete rollout .*; evaluate again"):
        load_rollouts(folder)


def test_a_file_of_something_else_is_refused(folder: Path) -> None:
    path = sorted(folder.iterdir())[0]
    for data in (
        save({"seeds": np.zeros(3)}),
        save({"seeds": np.zeros(3)}, metadata={"rollout": '{"format_version": 2}'}),
    ):
        path.write_bytes(data)
        with pytest.raises(InputError, match="not a complete rollout"):
            load_rollouts(folder)


def test_a_folder_without_rollouts_is_refused(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(InputError, match="holds no rollouts"):
            load_rollouts(folder)


def test_nothing_is_left_where_nothing_can_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot write"):
        save_rollouts([make_rollout("a")], tmp_path / "file" / "rollouts")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
