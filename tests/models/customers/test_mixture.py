"""The number of customer types is found; types come from behavior in the other weeks; names distinguish them."""

import json

import numpy as np
import pandas as pd
import pytest

from flashsim.errors import InputError
from flashsim.models.customers.behavior import ShoppingFacts, household_behavior
from flashsim.models.customers.mixture import EVERYBODY, choose_type_count, find_customer_types, name_types
from flashsim.models.customers.segments import half_of_week

PRODUCTS = pd.DataFrame({"product_id": [1, 2], "department": ["GROCERY", "PRODUCE"]})
EACH = 60


def made_types(centers: list[tuple[float, ...]], *, each: int, seed: int) -> np.ndarray:
    generator = np.random.default_rng(seed)
    return np.concatenate([generator.normal(center, 0.5, (each, len(center))) for center in centers])


def made_shop(*, seed: int) -> pd.DataFrame:
    """Households up to EACH come about every second day and buy little on deal, the others once a week and much."""
    generator = np.random.default_rng(seed)
    day = np.arange(7 * 24)
    often = np.arange(2 * EACH) < EACH
    came = generator.random((2 * EACH, day.size)) < np.where(often, 0.5, 1.0 / 7.0)[:, None]
    household, when = np.nonzero(came)
    taste = np.clip(generator.normal(np.where(often, 0.15, 0.75), 0.08), 0.02, 0.98)
    lines = pd.DataFrame({"household_id": household, "day": pd.Timestamp("2017-01-02") + pd.to_timedelta(when, "D")})
    lines = lines.loc[lines.index.repeat(4)].reset_index(names="basket_id")
    who = lines["household_id"].to_numpy()
    on_deal = generator.random(len(lines)) < taste[who]
    product = 1 + (generator.random(len(lines)) < 0.4)
    return lines.assign(product_id=product, regular_value=5.0, depth=np.where(on_deal, 0.3, 0.0))


@pytest.mark.parametrize(
    "centers",
    [[(0.0, 0.0, 0.0)], [(-2.0, 0.0, 1.0), (2.0, 0.0, -1.0)], [(-3.0, 0.0, 0.0), (0.0, 3.0, 0.0), (3.0, 0.0, 3.0)]],
)
def test_the_number_of_types_is_found(centers: list[tuple[float, ...]]) -> None:
    values = made_types(centers, each=200, seed=1)
    found = choose_type_count(values, household=np.arange(len(values)), most=5, generator=np.random.default_rng(0))
    assert found.chosen == len(centers)
    assert (found.log_likelihood[found.chosen - 1] >= found.log_likelihood.max() - found.standard_error).all()


def test_rows_of_one_household_do_not_count_as_several() -> None:
    """A household seen twice alike is left out whole, and the error is that of half as many."""
    values = made_types([(-2.0, 0.0), (2.0, 1.0)], each=100, seed=3)
    once = choose_type_count(values, household=np.arange(200), most=3, generator=np.random.default_rng(5))
    twice = choose_type_count(
        np.tile(values, (2, 1)), household=np.tile(np.arange(200), 2), most=3, generator=np.random.default_rng(5)
    )
    assert twice.households == once.households == 200
    assert twice.log_likelihood[1] == pytest.approx(once.log_likelihood[1], abs=0.02)
    assert twice.standard_error == pytest.approx(once.standard_error, rel=0.1)


def test_known_types_become_segments_named_by_what_sets_them_apart() -> None:
    behavior = household_behavior(made_shop(seed=1), PRODUCTS, block_weeks=4)
    first, again = (find_customer_types(behavior, types=2, generator=np.random.default_rng(0)) for _ in range(2))
    assert first.segments.names == ("frequent buyers, few deals", "rare buyers, many deals")
    expected = np.repeat([0, 1], EACH)[:, None]
    assert (first.segments.segment == expected).mean() > 0.98
    np.testing.assert_array_equal(first.segments.segment, again.segments.segment)
    record = json.loads(json.dumps([first.record, first.described], allow_nan=False))
    assert (record[0]["used"], record[0]["why"]) == (2, "asked for")
    assert record[1][0]["visits_a_week"] == pytest.approx(3.5, abs=0.4)
    assert record[1][1]["share_bought_on_deal"] == pytest.approx(0.75, abs=0.06)


def test_what_a_household_does_in_a_half_does_not_decide_what_it_is_there() -> None:
    lines = made_shop(seed=1)
    half = half_of_week(((lines["day"] - lines["day"].min()).dt.days // 7).to_numpy(), block_weeks=4)
    someone, other = (lines["household_id"] == 110).to_numpy(), (lines["household_id"] == 5).to_numpy()
    as_other = lines[other & (half == 0)].assign(household_id=110)
    as_other["basket_id"] += lines["basket_id"].max() + 1
    changed = pd.concat([lines[~(someone & (half == 0))], as_other])
    segments = find_customer_types(
        household_behavior(changed, PRODUCTS, block_weeks=4), types=2, generator=np.random.default_rng(0)
    ).segments
    assert segments.segment[110].tolist() == [1, 0]
    unseen = lines[~(other & (half == 0))]
    segments = find_customer_types(
        household_behavior(unseen, PRODUCTS, block_weeks=4), types=2, generator=np.random.default_rng(0)
    ).segments
    assert segments.segment[5].tolist() == [0, 1]  # not seen in the other half: the type that comes least often


def test_names_are_unique_and_tell_departments_where_visits_and_deals_do_not_differ() -> None:
    """Six types: three alike in visits and deals, of which two lean to the same department."""
    label = np.repeat(np.arange(6), 10).astype(np.intp)
    visits = np.array([3.0, 1.0, 1.0, 1.0, 0.2, 0.1])[label]
    deals = np.array([0.5, 0.5, 0.5, 0.5, 0.9, 0.1])[label]
    mix = np.array([[0.5, 0.5], [0.9, 0.1], [0.8, 0.2], [0.1, 0.9], [0.5, 0.5], [0.5, 0.5]])[label]
    names = name_types(ShoppingFacts(visits, deals, visits, visits, mix, ("meat", "deli")), label)
    assert len(set(names)) == 6
    assert names[0].startswith("frequent buyers")
    assert names[1].endswith(", more meat")
    assert names[3].endswith(", more deli (2)") or names[3].endswith(", more deli")
    assert names[4] == "rare buyers, many deals"
    assert names[5] == "rare buyers, few deals"


def test_too_few_households_are_one_type_and_the_record_says_so() -> None:
    lines = made_shop(seed=2)
    few = household_behavior(lines[lines["household_id"] < 12], PRODUCTS, block_weeks=4)
    found = find_customer_types(few, types=None, generator=np.random.default_rng(0))
    assert found.segments.names == (EVERYBODY,)
    assert not found.segments.segment.any()
    assert "12 households came often enough" in found.record["why"]
    with pytest.raises(InputError, match="12 households cannot be divided into 6 kinds"):
        find_customer_types(few, types=6, generator=np.random.default_rng(0))
    with pytest.raises(InputError, match="8 households with 3 features are too few"):
        choose_type_count(np.zeros((8, 3)), household=np.arange(8), generator=np.random.default_rng(0))
