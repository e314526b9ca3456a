"""Reference sales in the programs: by name or from a table, and the exact result of what was trained."""

import json
from pathlib import Path

import pytest

from experiments.stages import ScenarioConfig, is_reference, make_reference, report_exactly
from flashsim.errors import InputError
from flashsim.reference import g0, j1, solve
from tests.made_policies import JointTablePolicy, TablePolicy

TABLE = {"rates": [[0.5, 1.0], [0.5, 1.0]], "prices": [10, 8], "stock": 1}


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
        make_reference(ScenarioConfig(name="g1", ticks=3))


def test_the_exact_result_is_printed_and_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    menu, joint = g0(), j1()
    report_exactly(menu, TablePolicy(menu.plan(), solve(menu).policy), folder=tmp_path)
    assert json.loads((tmp_path / "exact.json").read_text())["share"] == pytest.approx(1.0)
    report_exactly(joint, JointTablePolicy(joint.plan(), solve(joint).policy), folder=tmp_path)
    assert json.loads((tmp_path / "exact.json").read_text())["value"] == pytest.approx(184.6421, abs=5.1e-5)
    assert "joint table earns 184.6421, exactly; the optimum is 184.6421 (100.00%)" in capsys.readouterr().out
