"""The programs from end to end on a small World: what they leave behind, and that the same seed leaves the same."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import yaml

from flashsim.planning import DEFAULT_FIELD
from flashsim.policies.bundle import load_policy
from flashsim.rules.rules import HUMAN_TEAM
from flashsim.world import World
from tests.experiments.programs import (
    FEW_SALES,
    SMALL_SALE,
    TINY_DQN,
    TINY_PPO,
    Ended,
    Start,
    files,
    prefixed,
    small_world,
    starter,
)

TABLES = (
    "kpis",
    "pairs",
    "differences",
    "guardrails",
    "policies",
    "members",
    "phases",
    "profile",
    "products",
    "response_map",
)
SHORT_SALE = ("scenario.ticks=25", "scenario.pre_opening=15")  # all servers can be ordered before the opening
RIVALS = ("best fixed", HUMAN_TEAM, "list price")
"""Baselines of a run that is about its learners."""
OF_RIVALS = f"baselines=[{','.join(RIVALS)}]"


@pytest.fixture
def start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Start:
    """Starts programs in an empty folder."""
    return starter(monkeypatch, capsys, tmp_path)


def run_arguments(folder: Path) -> list[str]:
    """A run of seconds."""
    return [
        f"world.folder={folder / 'world'}",
        *SHORT_SALE,
        *FEW_SALES,
        *prefixed("learners.ppo", TINY_PPO),
        *prefixed("learners.dqn", TINY_DQN),
        "search_ticks=8000",
        "closure_sales=32",
    ]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Ended]:
    """A folder with a World and the results of one run in ``one``."""
    folder = tmp_path_factory.mktemp("programs")
    small_world().save(folder / "world")
    return folder, _run(folder, "one")


def _run(folder: Path, output: str, *more: str) -> Ended:
    """Start a run in a process of its own, as ``python -m experiments.run`` does, with a shorter search."""
    return _start(_short_search(folder), *run_arguments(folder), *more, f"output={folder / output}")


def _short_search(folder: Path) -> Path:
    """A script that runs ``experiments.run`` with a shorter search."""
    code = (
        "import sys\n"
        "from flashsim.rules import rules\n"
        "rules.TARGETS = (0.7,)\n"
        "from experiments.run import main\n"
        "if __name__ == '__main__':\n"
        "    main()\n"
    )
    script = folder / "run_with_a_short_search.py"
    script.write_text(code)
    return script


def _start(script: Path, *arguments: str) -> Ended:
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run(
        [sys.executable, "-W", "error", script, *arguments],
        capture_output=True,
        text=True,
        check=False,
        cwd=script.parent,
        env={**os.environ, "PYTHONPATH": str(root)},
    )
    return Ended(done.returncode, done.stdout, done.stderr)


def test_a_run_ends_with_where_the_report_is_and_the_decision(finished: tuple[Path, Ended]) -> None:
    folder, ended = finished
    assert ended.code == 0, ended.stderr
    *_, place, decision = ended.stdout.strip().splitlines()
    assert place == f"Report: {folder / 'one' / 'report.html'}"
    assert decision.startswith("It cannot be told whether to run it: ")  # three worlds were held out
    assert re.search(r"About [\d,]+ held-out worlds would tell", decision)
    page = (folder / "one" / "report.html").read_text(encoding="utf-8")
    assert "<html" in page
    assert "What holds over all trainings" not in page
    written = json.loads((folder / "one" / "tables" / "decision.json").read_text())
    assert written["decision"]["sentence"] == decision
    assert written["settings"]["rule"]["practice"] == "human team"
    assert json.loads((folder / "one" / "evaluation.json").read_text())["format_version"] == 2


def test_a_run_of_several_trainings_says_what_holds_over_them(start: Start, tmp_path: Path) -> None:
    small_world().save(tmp_path / "world")
    ended = _run(tmp_path, "several", "trainings=2", "seed=3", OF_RIVALS)
    assert ended.code == 0, ended.stderr
    table = pd.read_csv(tmp_path / "several" / "trainings.csv")
    assert table["learner"].tolist() == ["PPO"] * len(RIVALS) + ["DQN"] * len(RIVALS)
    assert set(table["rival"]) == set(RIVALS)
    assert (table["trainings"] == 2).all()
    assert ((table["low"] <= table["earns_more"]) & (table["earns_more"] <= table["high"])).all()
    kpis = pd.read_csv(tmp_path / "several" / "tables" / "kpis.csv")
    profit = kpis[kpis["kpi"] == "profit"].set_index("policy")["mean"]
    own = profit[["PPO-1", "PPO-2"]].mean()
    assert table["profit"][0] == pytest.approx(own)
    first, second = (tmp_path / "several" / "policies" / f"dqn-{number}" / "policy.safetensors" for number in (1, 2))
    assert first.read_bytes() != second.read_bytes()  # but tiny trainings still play the rule that they began as
    assert json.loads((tmp_path / "several" / "run.json").read_text())["seeds"]["training"] == 3
    told = pd.read_csv(tmp_path / "several" / "tables" / "over_trainings.csv")
    assert told["rival"].tolist() == table["rival"].tolist()
    for page in ("report.md", "report.html"):
        text = (tmp_path / "several" / page).read_text(encoding="utf-8")
        assert "What holds over all trainings" in text
        assert (
            told["earns more by"][0].removeprefix("'") in text
        )  # the CSV keeps spreadsheets from taking it for a formula
    bundles = ",".join(f"several/policies/{agent}-{number}" for agent in ("ppo", "dqn") for number in (1, 2))
    arguments = ("world.folder=world", *SHORT_SALE, *FEW_SALES, OF_RIVALS, "search_ticks=8000")
    again = start("evaluate", *arguments, f"bundles=[{bundles}]", "output=again")
    assert again.code == 0, again.stderr
    for file in ("trainings.csv", "gains.csv"):
        assert (tmp_path / "again" / file).read_bytes() == (tmp_path / "several" / file).read_bytes()


def test_a_run_takes_any_learners_by_name(tmp_path: Path) -> None:
    small_world().save(tmp_path / "world")
    script = _short_search(tmp_path)
    ppo, qrdqn = (", ".join(argument.replace("=", ": ") for argument in tiny) for tiny in (TINY_PPO, TINY_DQN))
    arguments = [
        f"learners={{ppo: {{{ppo}}}, qrdqn: {{{qrdqn}}}}}",
        "+learners@learners.wide=ppo",
        *prefixed("learners.wide", (*TINY_PPO, "name=wide", "layers=[8,8]")),
    ]
    shared = [f"world.folder={tmp_path / 'world'}", *SHORT_SALE, *FEW_SALES, OF_RIVALS]
    shared += ["search_ticks=8000", "closure_sales=32"]
    ended = _start(script, *shared, *arguments, f"output={tmp_path / 'three'}")
    assert ended.code == 0, ended.stderr
    folder = tmp_path / "three"
    kinds = {"ppo": "PPO", "qrdqn": "QRDQN", "wide": "PPO"}
    assert {path.name for path in (folder / "policies").iterdir()} == set(kinds)
    for name, algorithm in kinds.items():
        policy = load_policy(folder / "policies" / name)
        assert policy.training["algorithm"] == algorithm
        assert policy.training["config"]["layers"] == ([8, 8] if name == "wide" else [8])
    evaluation = json.loads((folder / "evaluation.json").read_text())
    assert evaluation["comparison"]["learners"] == ["PPO", "QRDQN", "wide"]
    assert [row["policy"] for row in evaluation["context"]["training"]] == ["PPO", "QRDQN", "wide"]
    assert "QRDQN" in (folder / "report.md").read_text(encoding="utf-8")


def test_a_run_on_a_world_without_a_card_calls_it_uncalibrated(finished: tuple[Path, Ended]) -> None:
    folder, ended = finished
    for told in (ended.stdout, (folder / "one" / "report.md").read_text(encoding="utf-8")):
        assert "Uncalibrated World." in told
        assert "never compared with weeks that it had not seen" in told


def test_a_run_keeps_everything_in_one_folder(finished: tuple[Path, Ended]) -> None:
    folder, _ = finished
    found = files(folder / "one")
    expected = {"config.yaml", "run.json", "timings.json", "report.html", "report.md", "search.json", "closure.csv"}
    expected |= {"possible.csv", "gains.csv"}
    expected |= {f"tables/{name}.{kind}" for name in TABLES for kind in ("csv", "json")}
    expected |= {
        f"policies/{name}/{file}" for name in ("ppo", "dqn") for file in ("card.json", "policy.onnx", "sb3.zip")
    }
    expected |= {f"curves/{name}.csv" for name in ("ppo", "dqn")}
    expected |= {f"rollouts/{place:04d}.safetensors" for place in range(2 + len(DEFAULT_FIELD))}
    assert expected <= found
    assert sum(name.startswith("tensorboard/") for name in found) == 2
    assert files(folder) == {f"one/{name}" for name in found} | {
        "world/world.json",
        "world/world.safetensors",
        "run_with_a_short_search.py",
    }
    assert not [name for name in found if Path(name).name.startswith(".")]


def test_a_run_says_how_to_make_it_again(finished: tuple[Path, Ended]) -> None:
    folder, _ = finished
    told = json.loads((folder / "one" / "run.json").read_text())
    assert told["finished"] is True
    assert told["command"].startswith("python -m experiments.run world.folder=")
    assert {"numpy", "torch", "stable-baselines3", "flashsim", "python"} <= set(told["versions"])
    assert told["seeds"] == {"training": 0, "calibration": 0, "evaluation": 0}
    assert told["data"]["world"] == World.load(folder / "world").fingerprint()
    config = yaml.safe_load((folder / "one" / "config.yaml").read_text())
    assert config["learners"]["ppo"]["steps"] == 600
    assert config["learners"]["ppo"]["gamma"] == 1.0
    assert config["evaluation"]["sales"] == 30
    assert set(json.loads((folder / "one" / "timings.json").read_text())) >= {"training", "evaluation", "report"}


def test_the_bundles_of_a_run_load_and_say_how_they_were_trained(finished: tuple[Path, Ended]) -> None:
    folder, _ = finished
    for name in ("PPO", "DQN"):
        policy = load_policy(folder / "one" / "policies" / name.lower())
        assert policy.name == name
        assert policy.training["scenario"] == "grocery_evening"
        curve = (folder / "one" / "curves" / f"{name.lower()}.csv").read_text().splitlines()
        assert curve[0] == "steps,profit,standard_error,lead,lead_error,guardrail_excess"
        assert len(curve) == len(policy.training["curve"]) + 1


@pytest.mark.slow
def test_a_second_run_with_the_same_seed_is_the_same(finished: tuple[Path, Ended]) -> None:
    """Every table to the last byte; what names the folder or the moment may differ."""
    folder, _ = finished
    assert _run(folder, "two").code == 0
    one, two = folder / "one", folder / "two"
    moments = {f"policies/{name}/{file}" for name in ("ppo", "dqn") for file in ("sb3.zip", "beside.json")}
    moments.add("timings.json")
    names = {name for name in files(one) if not name.startswith("tensorboard/")}
    assert names == {name for name in files(two) if not name.startswith("tensorboard/")}
    for name in names - moments:
        ours, theirs = (one / name).read_bytes(), (two / name).read_bytes()
        assert theirs.replace(str(two).encode(), str(one).encode()) == ours, name
        if name.startswith(("tables/", "curves/", "rollouts/")):
            assert theirs == ours, name


def test_a_report_can_be_made_again(finished: tuple[Path, Ended], start: Start, tmp_path: Path) -> None:
    folder, run = finished
    ended = start("report", f"evaluation={folder / 'one'}", "output=again")
    assert ended.code == 0, ended.stderr
    assert ended.stdout.splitlines()[-1] == run.stdout.splitlines()[-1]
    for path in sorted((folder / "one" / "tables").iterdir()):
        assert (tmp_path / "again" / "tables" / path.name).read_bytes() == path.read_bytes()
    assert (tmp_path / "again" / "report.html").read_bytes() == (folder / "one" / "report.html").read_bytes()


def test_an_agent_is_trained_then_evaluated(start: Start, tmp_path: Path) -> None:
    small_world().save(tmp_path / "world")
    dqn = prefixed("agent", TINY_DQN)
    ended = start("train", "agent=dqn", "world.folder=world", *SMALL_SALE, *dqn, "output=train")
    assert ended.code == 0, ended.stderr
    assert ended.stdout.splitlines()[-1] == "Bundle: train/policies/dqn"
    ended = start(
        "evaluate",
        "world.folder=world",
        *SMALL_SALE,
        *FEW_SALES,
        "search_ticks=1",
        "baselines=[best fixed,ladder 15/30/45,list price]",
        "bundles=[train/policies/dqn]",
        "output=evaluate",
    )
    assert ended.code == 0, ended.stderr
    assert ended.stdout.splitlines()[-2] == "Report: evaluate/report.html"
    assert {f"tables/{name}.csv" for name in TABLES} <= files(tmp_path / "evaluate")
    policies = (tmp_path / "evaluate" / "tables" / "policies.csv").read_text()
    for name in ("DQN", "best fixed", "ladder 15/30/45", "list price"):
        assert name in policies
    assert "fluid LP" not in policies


@pytest.mark.parametrize(("agent", "label"), [("ppo", "PPO"), ("tensor_ppo", "TensorPPO")])
def test_a_reference_sale_is_trained_and_told_exactly(start: Start, tmp_path: Path, agent: str, label: str) -> None:
    ended = start("train", f"agent={agent}", "scenario.name=g0", *prefixed("agent", TINY_PPO), "output=train")
    assert ended.code == 0, ended.stderr
    exact = json.loads((tmp_path / "train" / "exact.json").read_text())
    assert 0.0 < exact["value"] <= exact["optimum"] * (1.0 + 1e-12)
    assert exact["share"] == pytest.approx(exact["value"] / exact["optimum"])
    assert f"{label} earns {exact['value']:.4f}, exactly; the optimum is {exact['optimum']:.4f}" in ended.stdout
