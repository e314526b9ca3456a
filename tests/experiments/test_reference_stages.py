"""Reference sales in the programs: by name or from a table, and the exact result of what was trained."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from agents.dqn.settings import DQNConfig
from agents.ppo.settings import PPOConfig, TensorPPOConfig
from agents.settings import AgentConfig
from experiments import train
from experiments.pipeline.prepare import ScenarioConfig, is_reference, make_reference, report_exactly
from flashsim.errors import InputError
from flashsim.files import sha256
from flashsim.policies.bundle import NetworkPolicy
from flashsim.reference import evaluate_exactly, g0, g1, hold, j1, menu_sale, solve
from flashsim.scenarios.compiled import CompiledSale
from tests.made_policies import JointTablePolicy, TablePolicy, random_network

TABLE = {"rates": [[0.5, 1.0], [0.5, 1.0]], "prices": [10, 8], "stock": 1}
SERVERS = {"max_servers": 2, "mu": 1.5, "start_servers": 1, "server_cost": 1, "penalty": 1, "step": 1, "lag": 1}


def test_a_sale_comes_from_its_name_or_its_table(tmp_path: Path) -> None:
    path = tmp_path / "mine.json"
    path.write_text(json.dumps(TABLE))
    assert not is_reference(ScenarioConfig())
    for config in (ScenarioConfig(name="g0"), ScenarioConfig(name="reference", table=str(path))):
        assert is_reference(config)
        assert solve(make_reference(config)).value == solve(g0()).value
    assert make_reference(ScenarioConfig(name="j1_lag2")).name == "j1_lag2"


def test_a_name_and_a_table_that_do_not_go_together_are_refused() -> None:
    with pytest.raises(InputError, match=r"scenario\.name=reference needs a file: give it as scenario\.table=FILE"):
        make_reference(ScenarioConfig(name="reference"))
    for name in ("g1", "grocery_evening"):
        with pytest.raises(InputError, match=rf"scenario\.table needs scenario\.name=reference, got .*{name}"):
            is_reference(ScenarioConfig(name=name, table="mine.json"))
    with pytest.raises(InputError, match=r"'g1' takes no changes, got \{'ticks': 3\}"):
        make_reference(ScenarioConfig(name="g1", changes={"ticks": 3}))


def test_the_exact_result_is_printed_and_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    price_index, joint = g0(), j1()
    report_exactly(price_index, TablePolicy(price_index.compile(), solve(price_index).policy), folder=tmp_path)
    assert json.loads((tmp_path / "exact.json").read_text())["share"] == pytest.approx(1.0)
    report_exactly(joint, JointTablePolicy(joint.compile(), solve(joint).policy), folder=tmp_path)
    assert json.loads((tmp_path / "exact.json").read_text())["value"] == pytest.approx(184.6421, abs=5.1e-5)
    told = capsys.readouterr().out
    assert "joint table earns 184.6421, exactly; the optimum is 184.6421 (100.00%). The best fixed orders earn" in told
    assert "of the way from there to the optimum it makes 100.00%" in told


def test_beside_the_share_of_the_optimum_stands_where_a_policy_lies_between_fixed_orders_and_the_optimum(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The best fixed price of g1 earns 94 % of its optimum, and 0 % of what there is to learn."""
    sale = g1()
    held = max((hold(sale, k) for k in range(sale.prices.size)), key=lambda table: evaluate_exactly(sale, table))
    report_exactly(sale, TablePolicy(sale.compile(), held), folder=tmp_path)
    told = json.loads((tmp_path / "exact.json").read_text())
    assert told["fixed"] == pytest.approx(told["value"], rel=1e-12)
    assert told["share"] == pytest.approx(0.9394, abs=1e-4)
    assert told["normalized"] == pytest.approx(0.0, abs=1e-9)
    assert "(93.94%). The best fixed orders earn 3194" in capsys.readouterr().out


def test_where_fixed_orders_are_optimal_there_is_nothing_between(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sale = menu_sale(rates=[[1.0, 1.0], [2.0, 2.0]], prices=[3.0, 2.0], stock=2)
    report_exactly(sale, TablePolicy(sale.compile(), hold(sale, 0)), folder=tmp_path)
    assert json.loads((tmp_path / "exact.json").read_text())["normalized"] is None
    assert "within .1% of the optimum" in capsys.readouterr().out


@pytest.mark.parametrize("servers", [{}, SERVERS], ids=["menu sale", "joint sale"])
def test_training_on_a_table_tells_the_exact_result(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], servers: dict[str, Any]
) -> None:
    """All but the learning itself, in place of which there is a network of random weights."""

    def no_learning(sale: CompiledSale, *_: object, **__: object) -> NetworkPolicy:
        return random_network(sale)

    monkeypatch.setattr(train, "train_agent", no_learning)
    table, output = tmp_path / "mine.json", tmp_path / "out"
    table.write_text(json.dumps(TABLE | servers))
    arguments = ["scenario=reference", f"scenario.table={table}", f"output={output}"]
    monkeypatch.setattr(sys, "argv", ["train", *arguments])
    monkeypatch.setenv("HYDRA_FULL_ERROR", "0")
    train.main()
    result = json.loads((output / "exact.json").read_text())
    assert 0.0 < result["share"] <= 1.0 if not servers else result["value"] <= result["optimum"]
    assert f"exactly; the optimum is {result['optimum']:.4f}" in capsys.readouterr().out
    assert json.loads((output / "run.json").read_text())["data"]["table"] == sha256(table)


@pytest.mark.parametrize("agent", ["ppo", "tensor_ppo", "dqn"])
@pytest.mark.parametrize("name", ["g1", "g3", "j1", "j1_lag1", "j1_lag2"])
def test_every_reference_sale_is_an_experiment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, agent: str
) -> None:
    """One family of settings: the experiment names the sale and nothing else."""
    met: list[tuple[str, AgentConfig]] = []

    def no_learning(sale: CompiledSale, config: AgentConfig, **_: object) -> NetworkPolicy:
        met.append((sale.name, config))
        return random_network(sale)

    monkeypatch.setattr(train, "train_agent", no_learning)
    monkeypatch.setattr(train, "report_exactly", lambda *_, **__: None)
    output = tmp_path / "out"
    monkeypatch.setattr(sys, "argv", ["train", f"experiment=reference/{name}", f"agent={agent}", f"output={output}"])
    monkeypatch.setenv("HYDRA_FULL_ERROR", "0")
    train.main()
    expected = {"ppo": PPOConfig(), "tensor_ppo": TensorPPOConfig(), "dqn": DQNConfig()}[agent]
    assert met == [(name, expected)]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["scenario=refrence"], "did you mean 'reference'?"),
        (
            ["experiment=reference/g9"],
            "there is no option experiment=reference/g9; did you mean experiment=reference/g",
        ),
        (
            ["experiment=g1"],
            "choose from reference/g1, reference/g3, reference/j1, reference/j1_lag1, reference/j1_lag2",
        ),
        (["scenario=reference"], "scenario.name=reference needs a file"),
        (["scenario=reference", "scenario.table=no/such.json"], "cannot read no/such.json"),
        (["scenario=g1", "world.folder=world"], "world.folder=world: a reference sale is on no World; leave it out"),
        (["scenario=g1", "world.data=tables"], "world.data=tables: a reference sale is on no World; leave it out"),
        (["scenario.table=mine.json"], "scenario.table needs scenario.name=reference"),
        (["scenario=reference", "scenario.tabel=mine.json"], "did you mean scenario.table?"),
    ],
)
def test_a_sale_that_cannot_be_had_ends_in_one_sentence(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    words: str,
) -> None:
    monkeypatch.setattr(sys, "argv", ["train", *arguments, f"output={tmp_path / 'out'}"])
    monkeypatch.setenv("HYDRA_FULL_ERROR", "0")
    with pytest.raises(SystemExit) as ended:
        train.main()
    assert ended.value.code == 2
    error = capsys.readouterr().err
    assert words in error
    assert error.count("\n") == 1
    assert not (tmp_path / "out").exists()
