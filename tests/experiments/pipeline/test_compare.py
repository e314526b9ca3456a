"""Evaluations use the cores there are, and find the same with any number."""

from pathlib import Path
from typing import Any

import pytest

from experiments.pipeline.compare import EVALUATION_FORMAT, EvaluationConfig, evaluate, report, sale_context
from flashsim.errors import InputError
from flashsim.evaluation.decision import DecisionRule
from flashsim.files import write_json
from flashsim.rules import human_team, list_price, run_out_price
from flashsim.scenarios.named import grocery_evening
from tests.experiments.programs import files, small_world


@pytest.mark.parametrize("threads", [None, 2, 64])
def test_an_evaluation_is_the_same_to_the_last_byte_for_any_number_of_threads(
    threads: int | None, tmp_path: Path
) -> None:
    scenario = grocery_evening(small_world(), ticks=65)
    sale = scenario.compile()
    policies = [run_out_price(sale), human_team(sale), list_price(sale)]
    for folder, number in (("one", 1), ("several", threads)):
        config = EvaluationConfig(sales=260, resamples=200, bounded_sales=20, threads=number)
        context = sale_context(sale, sales=config.sales)
        evaluate(
            scenario,
            policies,
            config,
            rule=DecisionRule(),
            learners=["run-out price"],
            context=context,
            folder=tmp_path / folder,
        )
    names = files(tmp_path / "one")
    assert {"possible.csv", "evaluation.json"} < names == files(tmp_path / "several")
    for name in names:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "several" / name).read_bytes(), name


def test_a_number_of_threads_that_cannot_be_is_refused() -> None:
    with pytest.raises(InputError, match="threads"):
        EvaluationConfig(threads=0)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"comparison": []}, "expected a mapping as comparison, got a list of 0; evaluate again"),
        ({"context": None}, "expected a mapping as context, got None; evaluate again"),
        ({"comparison": {"is_world_judged": "no"}}, "is_world_judged must be true or false, got 'no'"),
        ({"comparison": {}}, "is_world_judged must be true or false, got None"),
    ],
)
def test_a_damaged_evaluation_is_refused_before_a_report_is_written(
    wrong: dict[str, Any], message: str, tmp_path: Path
) -> None:
    record = {"format_version": EVALUATION_FORMAT, "comparison": {"is_world_judged": True}, "context": {}, **wrong}
    write_json(tmp_path / "evaluation.json", record)
    with pytest.raises(InputError, match=message):
        report(tmp_path, tmp_path / "report")
    assert not (tmp_path / "report").exists()
