"""Sales that nobody tuned for: drawn again alike, solvable, of all kinds; and a table that says how near each came."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from agents import training
from experiments.studies import unseen
from experiments.studies.drawn_sales import KINDS, draw_sale, sale_kind
from experiments.studies.unseen import below_announced, distribution
from flashsim.errors import InputError
from flashsim.evaluation.limits.exact import exact_value, normalized_share
from flashsim.reference import JointSale, best_fixed, best_price_path, joint_sale, menu_sale, solve, table_file
from flashsim.scenarios.compiled import CompiledSale
from tests.experiments.programs import Start, starter
from tests.made_policies import random_network

DRAWS = range(30)


@pytest.fixture
def start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Start:
    return starter(monkeypatch, capsys, tmp_path)


def test_every_draw_is_a_sale_worth_playing() -> None:
    """Valid, JSON, and with an optimum well above what doing nothing earns."""
    for number in DRAWS:
        drawn = draw_sale(number, seed=7)
        sale = joint_sale(**drawn) if "lag" in drawn else menu_sale(**drawn)
        assert json.loads(json.dumps(drawn)) == drawn
        assert solve(sale).value > 0.05 * sale.stock * sale.prices.max(), number


def test_all_kinds_take_turns_and_few_units_have_many_periods() -> None:
    kinds = [sale_kind(number) for number in DRAWS]
    assert {kind: kinds.count(kind) for kind in KINDS} == dict.fromkeys(KINDS, 10)
    for number in DRAWS:
        drawn = draw_sale(number, seed=7)
        if sale_kind(number) == "few units":
            assert drawn["stock"] <= 8
            assert len(drawn["rates"]) >= 40
        else:
            assert ("lag" in drawn) == (sale_kind(number) == "joint")
    assert {draw_sale(number, seed=7).get("lag") for number in DRAWS} == {None, 0, 1, 2, 3}


def test_a_draw_is_its_number_and_its_seed() -> None:
    assert draw_sale(4, seed=1) == draw_sale(4, seed=1)
    assert draw_sale(4, seed=1) != draw_sale(4, seed=2)
    assert draw_sale(4, seed=1) != draw_sale(1, seed=1)


def test_the_whole_distribution_is_told(start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All but the learning itself, in place of which there is a network of random weights."""

    def no_learning(sale: CompiledSale, *_: object, **__: object) -> Any:
        return SimpleNamespace(policy=lambda: random_network(sale))

    monkeypatch.setattr(training, "train", no_learning)
    ended = start("studies.unseen", "agent=tensor_ppo", "sales=4", "first=2", "draw_seed=3", "output=out")
    assert ended.code == 0, ended.stderr
    table = pd.read_csv(tmp_path / "out" / "unseen.csv")
    assert table["sale"].tolist() == [2, 3, 4, 5]
    for row in table.to_dict("records"):
        reference = table_file(tmp_path / "out" / "tables" / f"{row['sale']:03d}.json")
        assert row["optimum"] == pytest.approx(solve(reference).value, rel=1e-12)
        assert row["value"] == pytest.approx(exact_value(reference, random_network(reference.compile())), rel=1e-12)
        assert row["share"] == pytest.approx(row["value"] / row["optimum"], rel=1e-12)
        assert row["fixed"] == pytest.approx(best_fixed(reference), rel=1e-12)
        assert row["announced"] == pytest.approx(best_price_path(reference).value, rel=1e-12)
        normalized = normalized_share(row["value"], fixed=row["fixed"], optimum=row["optimum"])
        assert row["normalized"] == pytest.approx(np.nan if normalized is None else normalized, nan_ok=True)
        assert row["feedback"] == pytest.approx(1.0 - row["announced"] / row["optimum"], abs=1e-12)
        assert np.isnan(row["lag"]) != isinstance(reference, JointSale)
    told = json.loads((tmp_path / "out" / "unseen.json").read_text())
    assert told["quantiles"]["0"] == pytest.approx(table["share"].min())
    assert told["quantiles"]["0.5"] == pytest.approx(table["share"].median())
    assert told["mean"] == pytest.approx(table["share"].mean())
    assert told["normalized"]["0.5"] == pytest.approx(table["normalized"].median())
    worth = table[table["feedback"] > 0.01]
    below = worth.loc[worth["value"] < worth["announced"], "sale"].tolist()
    assert told["feedback"] == {"sales": len(worth), "below_announced": below}
    assert below  # random weights
    assert "TensorPPO on 4 sales, of the optimum: 0: " in ended.stdout
    assert f"below the best announced path: {below[0]}" in ended.stdout


def test_below_the_path_counts_only_where_feedback_is_worth_seeing() -> None:
    table = pd.DataFrame({"sale": [1, 2, 3], "feedback": [0.02, 0.02, 0.001], "value": [1.0, 3.0, 1.0]})
    assert below_announced(table.assign(announced=2.0)) == [1]


def test_quantiles_are_of_the_shares() -> None:
    assert distribution(pd.Series([np.nan])) == {}
    found = distribution(pd.Series([0.9, 1.0, 0.95]))
    assert found["0"] == 0.9
    assert found["0.5"] == 0.95
    assert found["1"] == 1.0


def test_no_sales_are_refused(start: Start) -> None:
    ended = start("studies.unseen", "sales=0", "output=out")
    assert ended.code == 2
    assert "sales must be between 1 and" in ended.stderr
    with pytest.raises(InputError, match="draw_seed"):
        unseen.UnseenConfig(draw_seed=-1)
