"""How programs start and end: typed configs, one sentence for what cannot be used, and the exit codes."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest
import yaml

from tests.experiments import toy_program
from tests.experiments.toy_program import ToyError, main

ROOT = Path(__file__).resolve().parents[3]


class Ended(NamedTuple):
    code: int
    stderr: str


Start = Callable[..., Ended]


@pytest.fixture
def start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Start:
    """Start the toy program in an empty folder with these arguments; its exceptions other than SystemExit come out."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HYDRA_FULL_ERROR", "0")  # so that what the program sets is taken back

    def run(*arguments: str) -> Ended:
        monkeypatch.setattr(sys, "argv", ["toy", *arguments])
        try:
            main()
        except SystemExit as ended:
            return Ended(int(ended.code or 0), capsys.readouterr().err)
        return Ended(0, capsys.readouterr().err)

    return run


def runs(folder: Path) -> list[str]:
    """Every file below the folder, relative to it."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_defaults_come_from_the_dataclass_and_differences_from_yaml_and_command_line(
    start: Start, tmp_path: Path
) -> None:
    assert start("agent=dqn", "agent.exploration=0.3", "limit=2", "scenario.menu=[0,0.5]", "output=here") == Ended(
        0, ""
    )
    built = (tmp_path / "here" / "config.txt").read_text()
    assert built == (
        "ToyConfig(seed=0, then='', limit=2.0, is_quick=False, scenario=ToyScenario(stock=7, menu=(0.0, 0.5)), "
        "agent=ToyDQN(gamma=0.99, device=<Device.auto: 'auto'>, exploration=0.3), output='here')"
    )
    saved = yaml.safe_load((tmp_path / "here" / "config.yaml").read_text())
    assert saved["scenario"] == {"stock": 7, "menu": [0, 0.5]}
    assert saved["agent"]["device"] == "auto"
    assert "hydra" not in saved


@pytest.mark.parametrize(
    ("argument", "sentence"),
    [
        ("scenario.stok=3", "there is no key scenario.stok (in scenario.stok=3); did you mean scenario.stock?"),
        ("scenaro.stock=3", "there is no key scenaro.stock (in scenaro.stock=3); did you mean scenario.stock?"),
        ("stock=3", "there is no key stock (in stock=3); did you mean scenario.stock?"),
        ("scenario={stok:3}", "there is no key scenario.stok (in scenario={stok:3}); did you mean scenario.stock?"),
        (
            "agent.exploration=0.3",
            "there is no key agent.exploration (in agent.exploration=0.3); "
            "choose from agent.gamma, agent.device, agent.clip_range",
        ),
        ("+sed=3", "there is no key sed (in sed=3); did you mean seed?"),
        ("+scenario.stok=3", "there is no key scenario.stok (in scenario.stok=3); did you mean scenario.stock?"),
        (
            "scenario=wrong_key",
            "there is no key scenario.stok (in scenario.stok=7 of toy_conf/scenario/wrong_key.yaml); "
            "did you mean scenario.stock?",
        ),
        (
            "scenario=grocery_evning",
            "there is no option scenario=grocery_evning; did you mean scenario=grocery_evening?",
        ),
        ("agent=reinforce", "there is no option agent=reinforce; choose from dqn, ppo"),
        ("agent.gamma=abc", "agent.gamma must be a number, got 'abc'"),
        ("seed=1.5", "seed must be a whole number, got 1.5"),
        ("limit=x", "limit must be a number or null, got 'x'"),
        ("scenario.stock=null", "scenario.stock must be a whole number, got null"),
        ("scenario.menu=[0,a]", "scenario.menu[1] must be a number, got 'a'"),
        ("agent.device=cp", "agent.device must be one of auto, cpu, got 'cp'; did you mean cpu?"),
        (
            "scenario=wrong_type",
            "scenario.stock must be a whole number, got 'many' in toy_conf/scenario/wrong_type.yaml",
        ),
        ("scenario.stock=-1", "scenario: stock must be >= 0, got -1"),
        ("seed=???", "seed has no default: give it as seed=VALUE"),
        ("seed=${nothing}", "seed: Interpolation key 'nothing' not found; correct the value"),
        (
            "scenario.stock=[",
            "cannot read the argument 'scenario.stock=[': write key=value, and quote brackets, commas and spaces",
        ),
        ("scenario=null", "scenario is chosen by its name, got null; write scenario=NAME"),
        ("agent=5", "agent is chosen by its name, got 5; write agent=NAME"),
        ("~agent.gamma", "'~agent.gamma': no setting can be taken away; give it a value, agent.gamma=VALUE"),
        ("agent@wide=ppo", "'agent@wide=ppo': agent cannot be called by another name (@)"),
        ("=5", "cannot read the argument '=5': write key=value, and quote brackets, commas and spaces"),
        (
            "+nothing=[null]",
            "there is no key nothing (in nothing=a list of 1); "
            "choose from seed, then, limit, is_quick, scenario, agent, output",
        ),
        ("seed=[[1],[2]]", "seed must be a whole number, got a list of 2"),
    ],
)
def test_what_cannot_be_used_is_one_sentence_and_leaves_nothing(
    start: Start, tmp_path: Path, argument: str, sentence: str
) -> None:
    assert start(argument) == Ended(2, f"error: {sentence}\n")
    assert list(tmp_path.iterdir()) == []


def test_a_broken_yaml_file_is_named_with_its_line(start: Start) -> None:
    code, stderr = start("scenario=not_yaml")
    assert code == 2
    assert "not_yaml.yaml is not YAML, line 2: expected ',' or ']'" in stderr
    assert stderr.count("\n") == 1


def test_an_unwritable_output_folder_is_one_sentence(start: Start, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("kept")
    for arguments in (["output=file/below"], ["-m", "seed=1,2", "output=file/below"], ["output=file"]):
        code, stderr = start(*arguments)
        assert code == 2
        assert stderr.startswith("error: cannot write ")
        assert stderr.count("\n") == 1
    assert runs(tmp_path) == ["file"]
    assert (tmp_path / "file").read_text() == "kept"


def test_two_runs_never_mix_in_one_folder(start: Start, tmp_path: Path) -> None:
    start("output=here")
    before = (tmp_path / "here" / "config.txt").read_text()
    code, stderr = start("output=here", "seed=1")
    assert code == 2
    assert "the output folder here already holds files; choose another output=PATH" in stderr
    assert (tmp_path / "here" / "config.txt").read_text() == before


def test_bad_input_found_by_the_program_leaves_no_folder_unless_it_holds_results(start: Start, tmp_path: Path) -> None:
    assert start("then=refuse", "output=a") == Ended(2, "error: the World is truncated: got 3 bytes; make it again\n")
    assert start("then=refuse late", "output=b").code == 2
    assert start("then=refuse", "output=new/a").code == 2
    assert [path.name for path in tmp_path.iterdir()] == ["b"]
    assert "table.csv" in runs(tmp_path / "b")
    assert json.loads((tmp_path / "b" / "run.json").read_text())["finished"] is False


def test_a_fault_of_ours_keeps_its_traceback(start: Start) -> None:
    with pytest.raises(ToyError, match="a fault of ours"):
        start("then=fail")
    with pytest.raises(ToyError, match="a fault of ours"):
        start("-m", "then=fail")


def test_an_interrupt_ends_with_130(start: Start) -> None:
    assert start("then=interrupt") == Ended(130, "interrupted\n")


def test_every_job_of_a_sweep_has_a_folder_of_its_own(start: Start, tmp_path: Path) -> None:
    assert start("-m", "seed=3,4", "agent=ppo,dqn", "output=sweep") == Ended(0, "")
    jobs = [yaml.safe_load((tmp_path / "sweep" / str(job) / "config.yaml").read_text()) for job in range(4)]
    assert [(job["seed"], "exploration" in job["agent"]) for job in jobs] == [(3, 0), (3, 1), (4, 0), (4, 1)]
    command = json.loads((tmp_path / "sweep" / "2" / "run.json").read_text())["command"]
    assert command == "python -m tests.experiments.toy_program seed=4 agent=ppo output=sweep"


def test_bad_input_in_a_sweep_names_the_job_and_ends_with_2(start: Start, tmp_path: Path) -> None:
    code, stderr = start("-m", "seed=3,4", "then=refuse", "output=sweep")
    assert code == 2
    assert "seed=3" in stderr.splitlines()[0]
    assert stderr.splitlines()[-1] == "error: the World is truncated: got 3 bytes; make it again"
    assert list(tmp_path.iterdir()) == []


def test_a_sweep_never_writes_into_a_folder_with_files(start: Start, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    for name in ("multirun.yaml", "thesis.txt"):
        (tmp_path / "mine" / name).write_text("years")
        code, stderr = start("-m", "seed=3,4", "output=mine")
        assert (code, stderr) == (
            2,
            "error: the output folder mine already holds files; choose another output=PATH or remove it\n",
        )
        assert [(path.name, path.read_text()) for path in (tmp_path / "mine").iterdir()] == [(name, "years")]
        (tmp_path / "mine" / name).unlink()
    assert start("-m", "seed=3,4", "output=mine") == Ended(0, "")
    assert start("-m", "seed=3,4", "output=mine").code == 2


@pytest.mark.parametrize(
    "arguments",
    [
        ("seed=a,b",),
        ("stock=1,2",),
        ("seed=1,2", "then=refuse"),
        ("agent=x,y",),
        ("scenario.stock=-1,-2",),
        ("scenario.menu=[a],[b]",),
    ],
)
def test_a_sweep_without_results_leaves_no_folder(start: Start, tmp_path: Path, arguments: tuple[str, ...]) -> None:
    assert start("-m", *arguments, "output=new/sweep").code == 2
    assert list(tmp_path.iterdir()) == []


def test_a_sweep_without_results_leaves_a_link_and_nothing_where_it_leads(start: Start, tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    for arguments in (("seed=a,b",), ("seed=1,2", "then=refuse")):
        assert start("-m", *arguments, "output=link").code == 2
        assert sorted(tmp_path.rglob("*")) == [tmp_path / "link", tmp_path / "real"]
    assert start("-m", "seed=3,4", "output=link") == Ended(0, "")
    assert (tmp_path / "real" / "1" / "run.json").is_file()


def test_a_sweep_whose_folder_cannot_be_made_leaves_none_above_it(start: Start, tmp_path: Path) -> None:
    ended = start("-m", "seed=3,4", f"output=new/{'x' * 300}")
    assert ended.code == 2
    assert ended.stderr.startswith("error: cannot write new/")
    assert list(tmp_path.iterdir()) == []


def test_a_sweep_into_what_is_no_folder_is_refused(start: Start, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    for output in ("file", "file/below", "link"):
        ended = start("-m", "seed=3,4", f"output={output}")
        assert ended.code == 2
        assert ended.stderr.startswith(f"error: cannot write {output}")
        assert ended.stderr.count("\n") == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "link"]


def test_the_default_folder_bears_the_program_s_name_and_the_moment(start: Start, tmp_path: Path) -> None:
    start()
    (folder,) = (tmp_path / "outputs" / "toy").iterdir()
    assert runs(folder) == ["config.txt", "config.yaml", "run.json", "timings.json"]


def test_help_names_the_program_its_groups_and_its_defaults(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HYDRA_FULL_ERROR", "0")
    monkeypatch.setattr(sys, "argv", ["toy", "--help"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 0
    text = capsys.readouterr().out
    assert text.startswith((toy_program.__doc__ or "").splitlines()[0])
    assert "agent=NAME: dqn, ppo" in text
    assert "scenario=NAME: grocery_evening, not_yaml, wrong_key, wrong_type" in text
    assert "(explained in tests/experiments/toy_program.py)" in text
    assert "clip_range: 0.2" in text


def test_a_process_prints_the_sentence_alone_and_exits_with_2(tmp_path: Path) -> None:
    command = [sys.executable, "-W", "error", "-m", "tests.experiments.toy_program", "scenario.stok=3"]
    ended = subprocess.run(
        command, cwd=tmp_path, env={"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 2
    assert ended.stdout == ""
    assert ended.stderr == ("error: there is no key scenario.stok (in scenario.stok=3); did you mean scenario.stock?\n")
