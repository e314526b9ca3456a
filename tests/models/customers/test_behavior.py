"""Behavior says of households what it should, in each half of the weeks from that half alone."""

import numpy as np
import pandas as pd
import pytest

from flashsim.errors import InputError
from flashsim.models.customers.behavior import household_behavior
from flashsim.models.customers.segments import half_of_week
from tests.models.customers.test_segments import make_lines

PRODUCTS = pd.DataFrame({"product_id": [1, 2, 3], "department": ["GROCERY", "PRODUCE", "MEAT"]})


def lines_of_three_products() -> pd.DataFrame:
    return make_lines().assign(product_id=lambda table: 1 + table["household_id"] % 3)


def test_behavior_knows_who_comes_often_who_buys_on_deal_and_what() -> None:
    behavior = household_behavior(lines_of_three_products(), PRODUCTS, block_weeks=4)
    values = dict(zip(behavior.names, behavior.values.T, strict=True))
    daily, seekers = (behavior.household >= 10) & (behavior.household < 20), behavior.household < 10
    assert values["frequency"][daily].min() > values["frequency"][~daily].max()
    assert values["price sensitivity"][seekers].min() > values["price sensitivity"][~seekers].max()
    assert {name for name in behavior.names if name.startswith("category mix")}
    assert behavior.values.mean(axis=0) == pytest.approx(np.zeros(len(behavior.names)), abs=1e-9)
    assert behavior.values.std(axis=0) == pytest.approx(np.ones(len(behavior.names)))


def test_facts_are_in_plain_units_and_skip_the_other_half() -> None:
    facts = household_behavior(lines_of_three_products(), PRODUCTS, block_weeks=4).facts
    assert facts.visits_a_week.reshape(30, 2)[[0, 15, 25]] == pytest.approx(np.array([[1, 1], [7, 7], [1, 1]]))
    assert facts.deal_share.reshape(30, 2)[[0, 15]] == pytest.approx(np.array([[1, 1], [0, 0]]))
    assert facts.days_since.reshape(30, 2)[[0, 15]] == pytest.approx(np.array([[6, 6], [0, 0]]))
    assert facts.departments == ("grocery", "meat", "produce")
    assert facts.mix.reshape(30, 2, 3)[1, 0] == pytest.approx([0.0, 0.0, 1.0])


def test_a_half_is_told_from_its_own_weeks_alone() -> None:
    lines = lines_of_three_products()
    even = half_of_week(((lines["day"] - lines["day"].min()).dt.days // 7).to_numpy(), block_weeks=4) == 0
    someone = (lines["household_id"] == 25).to_numpy()
    changed = lines.assign(depth=np.where(even & someone, 0.5, lines["depth"]))
    facts = household_behavior(changed, PRODUCTS, block_weeks=4).facts
    assert facts.deal_share.reshape(30, 2)[25] == pytest.approx([1.0, 0.0])
    rare = household_behavior(lines[~(even & someone)], PRODUCTS, block_weeks=4)
    assert rare.half[rare.household == 25].tolist() == [1]


def test_few_purchases_tell_less_of_a_taste_than_many() -> None:
    """Two visits on deal alone are drawn further towards everybody's share than eight."""
    lines = make_lines(weeks=16).assign(product_id=1)
    week = (lines["day"] - lines["day"].min()).dt.days // 7
    kept = household_behavior(lines[(lines["household_id"] != 0) | (week % 4 < 1)], PRODUCTS, block_weeks=4)
    sensitivity = kept.values[:, kept.names.index("price sensitivity")]
    assert sensitivity[kept.household == 0].max() < sensitivity[kept.household == 1].min()


def test_too_few_visits_are_told() -> None:
    lines = make_lines().assign(product_id=1)
    with pytest.raises(InputError, match="0 households came at least 2 times"):
        household_behavior(lines.drop_duplicates("household_id"), PRODUCTS, block_weeks=4)
