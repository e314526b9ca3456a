"""The folder of a run: what it holds, how it fills, and progress on the way."""

import json
from pathlib import Path

import numpy as np
import pytest

from experiments.launch import outputs
from experiments.launch.outputs import start_run
from experiments.launch.progress import progress, progress_meter
from flashsim.errors import InputError


def test_a_run_says_how_to_make_it_again(tmp_path: Path) -> None:
    folder = start_run(tmp_path / "run", config="seed: 1\n", command="python -m experiments.toy seed=1")
    folder.record(seeds=[1], data={"world": "abc"})
    folder.record(data={"world": "abc", "tables": "def"})
    folder.finish()
    run = json.loads((tmp_path / "run" / "run.json").read_text())
    assert (tmp_path / "run" / "config.yaml").read_text() == "seed: 1\n"
    assert run["command"] == "python -m experiments.toy seed=1"
    assert run["versions"]["numpy"] == np.__version__
    assert set(run["code"]) == {"commit", "has_changes"}
    assert set(run["machine"]) == {"cpu_count", "processor", "system"}
    assert (run["seeds"], run["data"], run["finished"]) == ([1], {"world": "abc", "tables": "def"}, True)


def test_without_git_the_commit_is_unknown_rather_than_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    assert outputs.code() == {"commit": None, "has_changes": None}


def test_seconds_add_up_by_stage_in_a_file_of_their_own(tmp_path: Path) -> None:
    folder = start_run(tmp_path / "run", config="", command="")
    before = (folder.path / "run.json").read_text()
    for stage in ("training", "training", "evaluation"):
        with folder.timed(stage):
            pass
    timings = json.loads((folder.path / "timings.json").read_text())
    assert sorted(timings) == ["evaluation", "training"]
    assert all(0.0 <= seconds < 1.0 for seconds in timings.values())
    assert (folder.path / "run.json").read_text() == before


def test_a_start_that_fails_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(outputs, "versions", fail)
    with pytest.raises(KeyboardInterrupt):
        start_run(tmp_path / "new" / "new" / "run", config="", command="")
    assert list(tmp_path.iterdir()) == []


def test_a_start_whose_first_file_cannot_be_written_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is not text"):
        start_run(tmp_path / "new" / "new" / "run", config="\udc80", command="")
    assert list(tmp_path.iterdir()) == []


def test_an_empty_folder_may_be_filled_and_a_full_one_may_not(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    start_run(tmp_path / "run", config="", command="")
    with pytest.raises(InputError, match=r"the output folder .*run already holds files"):
        start_run(tmp_path / "run", config="", command="")


def test_a_folder_goes_only_when_it_holds_no_results(tmp_path: Path) -> None:
    empty = start_run(tmp_path / "empty", config="", command="")
    (empty.path / "tensorboard").mkdir()
    empty.remove_if_without_results()
    full = start_run(tmp_path / "full", config="", command="")
    (full.path / "tables").mkdir()
    (full.path / "tables" / "kpis.csv").write_text("a")
    full.remove_if_without_results()
    assert [path.name for path in tmp_path.iterdir()] == ["full"]


def test_a_run_without_results_leaves_a_link_and_nothing_where_it_leads(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    for _ in range(2):
        start_run(tmp_path / "link", config="", command="").remove_if_without_results()
        assert sorted(tmp_path.rglob("*")) == [tmp_path / "link", tmp_path / "real"]
    start_run(tmp_path / "link", config="", command="")
    assert (tmp_path / "real" / "run.json").is_file()


class Clock:
    """A clock that goes on four seconds at each look."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        self.now += 4.0
        return self.now


def test_progress_outside_a_terminal_is_a_line_every_ten_seconds_and_one_at_the_end(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("experiments.launch.progress.time.monotonic", Clock())
    assert list(progress(range(7), "sales")) == list(range(7))
    assert capsys.readouterr().err == (
        "sales: 3 of 7 (43%), 12 s\nsales: 6 of 7 (86%), 24 s\nsales: 7 of 7 (100%), 32 s\n"
    )


def test_progress_of_quick_work_is_silent(capsys: pytest.CaptureFixture[str]) -> None:
    assert list(progress(iter("ab"), "letters")) == ["a", "b"]
    with progress_meter("steps", total=100) as advance:
        advance(100)
    assert capsys.readouterr().err == ""


def test_progress_in_a_terminal_is_a_bar(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    assert list(progress(range(3), "sales")) == [0, 1, 2]
    assert "sales:" in capsys.readouterr().err
