"""The number of kinds is found where it is known, and behavior says what it should of households."""

import json

import numpy as np
import pandas as pd
import pytest

from flashsim.errors import InputError
from flashsim.models.behavior import choose_kinds, describe_kinds, household_behavior
from flashsim.models.segments import segment_households
from tests.models.test_segments import make_lines

PRODUCTS = pd.DataFrame({"product_id": [1, 2, 3], "department": ["GROCERY", "PRODUCE", "MEAT"]})


def made_kinds(centers: list[tuple[float, ...]], *, each: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    values = np.concatenate([generator.normal(center, 0.5, (each, len(center))) for center in centers])
    return values, np.repeat(np.arange(len(centers)), each)


@pytest.mark.parametrize(
    "centers",
    [[(0.0, 0.0, 0.0)], [(-2.0, 0.0, 1.0), (2.0, 0.0, -1.0)], [(-3.0, 0.0, 0.0), (0.0, 3.0, 0.0), (3.0, 0.0, 3.0)]],
)
def test_the_number_of_kinds_is_found(centers: list[tuple[float, ...]]) -> None:
    values, truth = made_kinds(centers, each=200, seed=1)
    found = choose_kinds(values, most=5, by_rule=truth.astype(np.intp), generator=np.random.default_rng(0))
    assert found.chosen == len(centers)
    assert found.by_rule == pytest.approx(found.log_likelihood[len(centers) - 1], abs=0.03)


def test_a_rule_that_has_nothing_to_do_with_behavior_gains_nothing() -> None:
    values, _ = made_kinds([(-3.0, 0.0), (3.0, 0.0)], each=200, seed=2)
    anything = np.arange(400) % 3
    found = choose_kinds(values, most=3, by_rule=anything.astype(np.intp), generator=np.random.default_rng(0))
    record = json.loads(json.dumps(found.as_json(used=3), allow_nan=False))
    assert record["share_of_the_gain_by_rule"] < 0.05
    assert record["chosen_by_heldout_likelihood"] == 2
    assert len(record["log_likelihood"]) == 3


def test_equal_seeds_choose_alike() -> None:
    values, _ = made_kinds([(-2.0, 0.0), (2.0, 1.0)], each=100, seed=3)
    first, again = (choose_kinds(values, most=3, generator=np.random.default_rng(5)) for _ in range(2))
    np.testing.assert_array_equal(first.log_likelihood, again.log_likelihood)
    assert np.isnan(first.by_rule)
    assert first.as_json(used=3)["by_rule"] is None


def test_behavior_knows_who_comes_often_who_buys_on_deal_and_what() -> None:
    lines = make_lines().assign(product_id=lambda table: 1 + table["household_id"] % 3)
    behavior = household_behavior(lines, PRODUCTS)
    values = dict(zip(behavior.names, behavior.values.T, strict=True))
    assert (values["frequency"][10:20] > np.delete(values["frequency"], slice(10, 20)).max()).all()
    assert (values["price sensitivity"][:10] > values["price sensitivity"][10:].max()).all()
    assert {name for name in behavior.names if name.startswith("category mix")}
    assert behavior.values.mean(axis=0) == pytest.approx(np.zeros(len(behavior.names)), abs=1e-9)
    assert behavior.values.std(axis=0) == pytest.approx(np.ones(len(behavior.names)))


def test_too_few_households_are_told() -> None:
    lines = make_lines().assign(product_id=1)
    with pytest.raises(InputError, match="0 households came at least 2 times"):
        household_behavior(lines.drop_duplicates("household_id"), PRODUCTS)
    with pytest.raises(InputError, match="8 households with 3 features are too few"):
        choose_kinds(np.zeros((8, 3)), generator=np.random.default_rng(0))
    record = describe_kinds(
        household_behavior(lines[lines["household_id"] < 12], PRODUCTS),
        segment_households(lines),
        generator=np.random.default_rng(0),
    )
    assert record["chosen_by_heldout_likelihood"] is None
    assert "households came often enough" in record["why"]
