"""Promotions of a shop's own table: predictions rest on earlier rows alone, truth is found, few are not judged."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
import pytest

from flashsim.fidelity.promotions import Outcome, judge, judge_shop, score_outcomes, shop_outcomes
from flashsim.fidelity.promotions.episodes import FEWEST_EXPECTED, LEAST_DEPTH, LONGEST_DAYS
from tests.fidelity.promotions.made_promotions import made_sales

CUT = 200


def predicted(sales: pd.DataFrame, groups: Mapping[str, str]) -> list[Outcome]:
    return shop_outcomes(sales, groups=groups, seed=0, progress=lambda done, total: None)


def told(sales: pd.DataFrame, groups: Mapping[str, str]) -> dict[str, object]:
    return judge_shop(sales, groups=groups, seed=0, progress=lambda done, total: None)


@pytest.fixture(scope="module")
def made() -> tuple[pd.DataFrame, Mapping[str, str]]:
    return made_sales()


@pytest.fixture(scope="module")
def outcomes(made: tuple[pd.DataFrame, Mapping[str, str]]) -> list[Outcome]:
    return predicted(*made)


def test_no_digit_moves_when_every_later_row_changes(
    made: tuple[pd.DataFrame, Mapping[str, str]], outcomes: list[Outcome]
) -> None:
    """Sales, prices and stock of every row from day ``CUT`` on, and products that nobody knew before."""
    sales, groups = made
    generator = np.random.default_rng(3)
    later = ((sales["date"] - sales["date"].min()).dt.days >= CUT).to_numpy()
    other = sales.copy()
    other.loc[later, "sales"] = generator.integers(0, 900, later.sum()).astype(np.float64)
    other.loc[later, "price"] = 10.0  # whatever ran on ends on that day
    other.loc[later, "sold_out"] = generator.random(later.sum()) < 0.2
    new = other[later & (other["product_id"] == "p00")].assign(product_id="new", sales=5000.0)
    before = {(one.predicted.product_id, one.predicted.start): one for one in outcomes if one.predicted.stop < CUT}
    after = {
        (one.predicted.product_id, one.predicted.start): one
        for one in predicted(pd.concat([other, new], ignore_index=True), groups)
        if one.predicted.stop < CUT
    }
    assert before.keys() == after.keys()
    assert len(before) > 30
    for key, one in before.items():
        assert (
            one.predicted._replace(draws=np.empty(0)).__repr__()
            == after[key].predicted._replace(draws=np.empty(0)).__repr__()
        )
        np.testing.assert_array_equal(one.predicted.draws, after[key].predicted.draws)


def test_what_was_sold_in_an_episode_does_not_enter_its_prediction(
    made: tuple[pd.DataFrame, Mapping[str, str]], outcomes: list[Outcome]
) -> None:
    sales, groups = made
    chosen = max((one.predicted for one in outcomes), key=lambda one: one.start)
    inside = (sales["date"] - sales["date"].min()).dt.days.between(chosen.start, chosen.stop)
    other = predicted(sales.assign(sales=sales["sales"].where(~inside, 7.0 * sales["sales"] + 3.0)), groups)
    again = next(
        one for one in other if (one.predicted.product_id, one.predicted.start) == (chosen.product_id, chosen.start)
    )
    np.testing.assert_array_equal(again.predicted.draws, chosen.draws)
    assert again.units > 100.0


def test_episodes_are_what_the_definition_says(outcomes: list[Outcome]) -> None:
    for known, units in outcomes:
        assert known.depth >= LEAST_DEPTH
        assert 1 <= known.stop - known.start <= LONGEST_DAYS
        assert known.expected >= FEWEST_EXPECTED
        assert units >= 0.0


@pytest.mark.parametrize("seed", [1, 2])
def test_the_truth_is_found(seed: int) -> None:
    sales, groups = made_sales(seed=seed)
    found = judge(score_outcomes(predicted(sales, groups)), seed=0, resamples=300)
    lines = {line["name"]: line for line in found["lines"]}
    assert found["episodes"] >= 60
    assert 0.82 < lines["coverage"]["value"] < 0.98
    assert lines["correlation over ceiling"]["value"] > 0.85
    assert lines["right side"]["passed"]
    assert all(lines[name]["passed"] for name in lines if name.startswith("loss against"))


def test_what_sold_out_is_left_out(made: tuple[pd.DataFrame, Mapping[str, str]], outcomes: list[Outcome]) -> None:
    sales, groups = made
    chosen = outcomes[-1].predicted
    day = sales["date"].min() + pd.Timedelta(days=chosen.start)
    out = (sales["product_id"] == chosen.product_id) & (sales["date"] == day)
    left = {(one.predicted.product_id, one.predicted.start) for one in predicted(sales.assign(sold_out=out), groups)}
    assert (chosen.product_id, chosen.start) not in left
    assert len(left) == len(outcomes) - 1


def test_a_short_table_and_few_promotions_are_not_judged(made: tuple[pd.DataFrame, Mapping[str, str]]) -> None:
    sales, groups = made
    short = sales[sales["date"] < sales["date"].min() + pd.Timedelta(days=80)]
    assert told(short, groups)["why_not_judged"] == "sales_data covers 80 days, 90 are needed"
    few = sales[sales["product_id"].isin(["p00", "p01"])]
    assert str(told(few, groups)["why_not_judged"]).startswith("too few past promotions: ")
    steady = sales.assign(price=10.0)
    assert told(steady, groups)["episodes"] == 0
