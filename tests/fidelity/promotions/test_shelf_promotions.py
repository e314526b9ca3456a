"""Shelf promotions: predictions rest on earlier lines alone, episodes are what the definition says, truth is found."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from flashsim.data.sources import ShopTables, complete_journey
from flashsim.fidelity.promotions import Outcome, Prediction, judge, score_outcomes, shelf_outcomes
from flashsim.fidelity.promotions.episodes import FEWEST_EXPECTED, LEAST_DEPTH, episode_length
from flashsim.fidelity.promotions.shelf import (
    FIRST_ORIGIN,
    LONGEST_WEEKS,
    find_plans,
    outcomes_at,
    panel_before,
    predict,
    read_shelf_tables,
)
from tests.data.synthetic_shop import SLOPES, Shop, make_shop

WEEKS, PRODUCTS = 40, 8
ORIGINS = (FIRST_ORIGIN, 22, 32)


@pytest.fixture(scope="module")
def shop() -> Shop:
    return make_shop(weeks=WEEKS, units_per_day=4.0)


@pytest.fixture(scope="module")
def tables(shop: Shop, tmp_path_factory: pytest.TempPathFactory) -> ShopTables:
    return complete_journey(shop.save(tmp_path_factory.mktemp("shop")))


@pytest.fixture(scope="module")
def outcomes(tables: ShopTables) -> list[Outcome]:
    return shelf_outcomes(tables, products=PRODUCTS, seed=0, progress=lambda done, total: None)


def with_another_future(shop: Shop, *, week: int) -> Shop:
    """Every row from panel week ``week`` on changed: products, units, money, households, displays."""
    generator = np.random.default_rng(5)
    lines, number = shop.transactions.copy(), week + 2  # the first Monday begins week 2 of the shop's own count
    later = (lines["week"] >= number).to_numpy()
    size = int(later.sum())
    lines.loc[later, "product_id"] = generator.permutation(lines.loc[later, "product_id"].to_numpy())
    lines.loc[later, "household_id"] = generator.integers(1, 9, size)
    lines.loc[later, "store_id"] = generator.integers(1, 6, size)
    lines.loc[later, "quantity"] = generator.integers(1, 50, size)
    lines.loc[later, "sales_value"] = np.round(generator.uniform(1.0, 90.0, size), 2)
    lines.loc[later, "retail_disc"] = np.round(generator.uniform(0.0, 9.0, size), 2)
    promotions = shop.promotions.copy()
    promotions.loc[promotions["week"] >= number, "display_location"] = "0"
    return Shop(lines, shop.products, promotions)


def same(left: Prediction, right: Prediction) -> bool:
    """Whether no digit differs."""
    return left._replace(draws=0) == right._replace(draws=0) and np.array_equal(left.draws, right.draws)  # type: ignore[arg-type]


@pytest.mark.parametrize("origin", ORIGINS)
def test_no_digit_moves_when_every_later_row_changes(
    shop: Shop, tables: ShopTables, tmp_path: Path, origin: int
) -> None:
    read = read_shelf_tables(tables, products=PRODUCTS)
    plans = find_plans(read, panel_before(read.before(origin), products=PRODUCTS), origin=origin)
    assert plans
    folder = with_another_future(shop, week=origin).save(tmp_path / "other")
    other = read_shelf_tables(complete_journey(folder), products=PRODUCTS)
    later = other.lines[other.lines["panel_week"] >= origin]
    assert later["quantity"].mean() > 5.0
    told = [
        predict(known, panel_before(known, products=PRODUCTS), plans, seed=0)
        for known in (read.before(origin), other.before(origin))
    ]
    assert all(same(left, right) for left, right in zip(*told, strict=True))
    earlier = other.before(origin - 1)
    moved = predict(earlier, panel_before(earlier, products=PRODUCTS), plans, seed=0)
    assert not any(same(left, right) for left, right in zip(told[0], moved, strict=True))


def test_the_units_of_an_episode_are_those_sold_in_its_weeks(tables: ShopTables) -> None:
    read = read_shelf_tables(tables, products=PRODUCTS)
    found = outcomes_at(read, origin=22, products=PRODUCTS, seed=0)
    assert found
    for outcome in found:
        told = outcome.predicted
        rows = read.lines[read.lines["product_id"] == int(told.product_id)]
        inside = rows["panel_week"].between(told.start // 7, told.stop // 7 - 1)
        assert outcome.units == rows.loc[inside, "quantity"].sum()


def test_episodes_are_what_the_definition_says(tables: ShopTables, outcomes: list[Outcome]) -> None:
    assert len(outcomes) > 40
    assert len({(told.product_id, told.start) for told, _ in outcomes}) == len(outcomes)
    last = read_shelf_tables(tables, products=PRODUCTS).weeks
    for told, units in outcomes:
        assert told.depth >= LEAST_DEPTH
        assert 1 <= (told.stop - told.start) // 7 <= LONGEST_WEEKS
        assert FIRST_ORIGIN <= told.start // 7 < told.stop // 7 < last  # a week without it follows
        assert told.expected >= FEWEST_EXPECTED
        assert units >= 0.0


def test_the_response_of_the_shop_is_found(outcomes: list[Outcome]) -> None:
    """Without what displays add, and at the depths that were asked."""
    found = judge(score_outcomes(outcomes, first_week=16), seed=0, resamples=200)
    lines = {line["name"]: line for line in found["lines"]}
    assert lines["loss against no response"]["low"] > 0.3
    assert lines["correlation"]["value"] > 0.8
    assert 0.8 < lines["coverage"]["value"] <= 1.0
    steep = [float(np.median(told.draws)) / told.depth for told, _ in outcomes if told.product_id == "201"]
    flat = [float(np.median(told.draws)) / told.depth for told, _ in outcomes if told.product_id == "203"]
    assert SLOPES[201] > SLOPES[203]
    assert np.mean(steep) > np.mean(flat) + 1.0


@pytest.mark.parametrize(
    ("below", "length"),
    [
        ([True, False, True], 1),
        ([True] * 4 + [False], 4),
        ([True] * 5, None),
        ([True, True], None),
        ([True] * 5 + [False], None),
    ],
)
def test_an_episode_ends_within_four_weeks_and_within_the_table(below: list[bool], length: int | None) -> None:
    assert episode_length(np.array(below), longest=4) == length


def test_equal_seeds_give_equal_predictions(tables: ShopTables) -> None:
    read = read_shelf_tables(tables, products=PRODUCTS)
    once, again, other = (outcomes_at(read, origin=22, products=PRODUCTS, seed=seed) for seed in (0, 0, 1))
    assert all(same(left.predicted, right.predicted) for left, right in zip(once, again, strict=True))
    assert not same(once[0].predicted, other[0].predicted)


def test_no_episode_is_found_where_no_price_moves(shop: Shop, tmp_path: Path) -> None:
    lines = shop.transactions.assign(retail_disc=0.0, coupon_match_disc=0.0)
    steady = Shop(lines, shop.products, pd.DataFrame(shop.promotions))
    found = shelf_outcomes(
        complete_journey(steady.save(tmp_path / "steady")), products=PRODUCTS, seed=0, progress=lambda done, total: None
    )
    assert found == []
