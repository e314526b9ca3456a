"""Files of released versions are read, or refused in one sentence that says what to do."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from safetensors import safe_open
from safetensors.numpy import save

from agents import checkpoints
from agents.checkpoints import read_checkpoint
from experiments.launch import outputs
from experiments.launch.outputs import read_run, start_run
from experiments.pipeline import compare
from flashsim import world
from flashsim.errors import InputError
from flashsim.evaluation import records
from flashsim.evaluation.records import load_rollouts, save_rollouts
from flashsim.files import check_format, read_json, write_json
from flashsim.models.price import price_response
from flashsim.models.price.price_response import PriceResponse
from flashsim.policies import bundle
from flashsim.policies.bundle import load_policy
from flashsim.world import World
from tests.evaluation.made_rollouts import make_rollout
from tests.experiments.programs import Start, starter

ARTEFACTS = Path(__file__).with_name("artefacts")
OPENED: dict[str, tuple[str, Callable[[Path], Any]]] = {
    "World": ("world", World.load),
    "bundle": ("run/policies/ppo", load_policy),
    "checkpoint": ("stopped/tensorppo.checkpoint.safetensors", read_checkpoint),
    "run": ("run", read_run),
    "stopped run": ("stopped", read_run),
    "rollouts": ("run/rollouts", load_rollouts),
    "price response": ("price_response", PriceResponse.load),
}
"""Kind of file -> where it is in the folder of a version, and what opens it."""
REFUSED = {("0.1.0", "bundle"), ("0.1.0", "checkpoint"), ("0.1.0", "rollouts")}
"""Version and kind of the files that this flashsim does not read."""
VERSIONS = sorted(path.name for path in ARTEFACTS.iterdir() if path.is_dir())


@pytest.mark.parametrize("kind", OPENED)
@pytest.mark.parametrize("version", VERSIONS)
def test_a_file_of_a_released_version_is_read_or_refused_in_one_sentence(version: str, kind: str) -> None:
    place, opens = OPENED[kind]
    if (version, kind) not in REFUSED:
        assert opens(ARTEFACTS / version / place)
        return
    with pytest.raises(InputError) as refusal:
        opens(ARTEFACTS / version / place)
    assert re.search(
        r"has format version \d+, this flashsim reads \d+ .*; .*: python -m experiments", str(refusal.value)
    )
    assert "\n" not in str(refusal.value)


@pytest.fixture
def start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Start:
    return starter(monkeypatch, capsys, tmp_path)


@pytest.mark.parametrize("version", VERSIONS)
def test_the_report_of_a_run_of_a_released_version_is_written_again_or_refused(
    start: Start, version: str, tmp_path: Path
) -> None:
    ended = start("report", f"evaluation={ARTEFACTS / version / 'run'}", "output=again")
    if (version, "rollouts") in REFUSED:
        assert (ended.code, len(ended.stderr.strip().splitlines())) == (2, 1)
        assert "evaluate again: python -m experiments.evaluate" in ended.stderr
        assert not (tmp_path / "again").exists()
        return
    assert ended.code == 0, ended.stderr
    settings = read_json(ARTEFACTS / version / "run" / "evaluation.json")["comparison"]
    text = (tmp_path / "again" / "report.md").read_text(encoding="utf-8")
    assert all(name in text for name in (*settings["learners"], *settings["baselines"]))


def test_a_report_refuses_an_evaluation_of_a_later_version(start: Start, tmp_path: Path) -> None:
    """Of its settings and of its rollouts: exit code 2, one sentence, and nothing is written."""
    shutil.copytree(ARTEFACTS / "0.1.0" / "run", tmp_path / "run")
    evaluation = read_json(tmp_path / "run" / "evaluation.json")
    evaluation["comparison"]["is_world_judged"] = True
    write_json(tmp_path / "run" / "evaluation.json", {**evaluation, "format_version": 2})
    path = tmp_path / "run" / "rollouts" / "0000.safetensors"
    path.write_bytes(save({}, metadata={"rollout": '{"format_version": 3, "policy": "PPO", "steps": 1}'}))
    ended = start("report", "evaluation=run", "output=again")
    assert (ended.code, len(ended.stderr.strip().splitlines())) == (2, 1)
    assert re.search(r"0000\.safetensors has format version 3, this flashsim reads 2 .*; update flashsim", ended.stderr)
    write_json(tmp_path / "run" / "evaluation.json", {**evaluation, "format_version": 3})
    ended = start("report", "evaluation=run", "output=again")
    assert (ended.code, len(ended.stderr.strip().splitlines())) == (2, 1)
    assert re.search(r"evaluation\.json has format version 3, this flashsim reads 2 .*; update flashsim", ended.stderr)
    assert not (tmp_path / "again").exists()


def test_what_is_written_now_states_its_version(tmp_path: Path) -> None:
    save_rollouts([make_rollout("a")], tmp_path / "rollouts")
    with safe_open(tmp_path / "rollouts" / "0000.safetensors", framework="numpy") as file:
        assert json.loads(file.metadata()["rollout"])["format_version"] == 2
    folder = start_run(tmp_path / "run", config="", command="python -m experiments.train")
    assert read_run(folder.path)["format_version"] == 1
    assert "format_version" not in folder.provenance()


@pytest.mark.parametrize("name", ["run/evaluation.json", "run/run.json", "run/rollouts/0000.safetensors"])
def test_no_artefact_names_a_machine_or_a_place(name: str) -> None:
    for version in VERSIONS:
        text = (ARTEFACTS / version / name).read_bytes()
        assert not re.search(rb'[ ="](/[a-z]+){2,}|[A-Z]:\\\\|"hostname"', text)


@pytest.mark.parametrize("version", VERSIONS)
def test_an_artefact_folder_is_small(version: str) -> None:
    assert sum(path.stat().st_size for path in (ARTEFACTS / version).rglob("*") if path.is_file()) < 600_000


def test_the_page_on_upgrading_states_the_versions_of_now() -> None:
    page = (ARTEFACTS.parents[1] / "docs" / "upgrading.md").read_text(encoding="utf-8")
    versions = {
        "World": world.FORMAT_VERSION,
        "policy bundle": bundle.FORMAT_VERSION,
        "checkpoint": checkpoints.FORMAT_VERSION,
        "`run.json` of a run": outputs.RUN_FORMAT,
        "`evaluation.json`": compare.EVALUATION_FORMAT,
        "`rollouts/*.safetensors`": records.FORMAT_VERSION,
        "price response": price_response.FORMAT_VERSION,
    }
    for kind, version in versions.items():
        assert re.search(rf"^\| {re.escape(kind)}[^|]*\|[^|]*\| {version} \|", page, re.MULTILINE), kind


@pytest.mark.parametrize(
    ("seen", "sentence"),
    [
        (None, "run.json has no format version, this flashsim reads 2 (2 added seeds); run it again"),
        (1, "run.json has format version 1, this flashsim reads 2 (2 added seeds); run it again"),
        (3, "run.json has format version 3, this flashsim reads 2 (2 added seeds); update flashsim, or run it again"),
        (True, "run.json has format version True, this flashsim reads 2 (2 added seeds); run it again"),
        ("2", "run.json has format version '2', this flashsim reads 2 (2 added seeds); run it again"),
    ],
)
def test_a_refusal_names_both_versions_and_what_to_do(seen: object, sentence: str) -> None:
    with pytest.raises(InputError) as refusal:
        check_format(Path("run.json"), seen, known=2, make_anew="run it again", changes="2 added seeds")
    assert str(refusal.value) == sentence
    check_format(Path("run.json"), 2, known=2, make_anew="run it again")
