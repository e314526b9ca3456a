"""Demand from a table of sales by day: the truth it was made with is found, and what it does not tell is said."""

import numpy as np
import pandas as pd
import pytest

from flashsim.data.synthetic import PricedSales, draw_sales
from flashsim.errors import InputError
from flashsim.models.demand.daily_totals import ShopDemand, learn_demand
from tests.data.made_shop import ELASTICITY, LEVEL, LIST_PRICES, PROMOTION, WEEKDAY, level_of, make_sales


def checked(sales: pd.DataFrame) -> pd.DataFrame:
    """The table as the reader hands it on."""
    flags = {"promotion": sales["promotion"] == 1, "sold_out": sales["stock_out"] == 1}
    return sales.assign(date=pd.to_datetime(sales["date"]), sales=sales["sales"].astype(float), **flags)


def learn(sales: pd.DataFrame, *, members: int = 4, seed: int = 0) -> ShopDemand:
    generator = np.random.default_rng(seed)
    return learn_demand(sales, members=members, generator=generator, progress=lambda done, total: None)


@pytest.fixture(scope="module")
def several() -> list[ShopDemand]:
    return [learn(checked(make_sales(168, seed=seed)), members=6) for seed in range(6)]


@pytest.fixture(scope="module")
def learned(several: list[ShopDemand]) -> ShopDemand:
    return several[0]


def test_levels_responses_promotions_and_weekdays_are_those_of_the_shop(several: list[ShopDemand]) -> None:
    """A fifth of the days are sold out: with these taken for demand, the best days would be missing."""
    for learned in several:
        assert learned.product_ids == ("p0", "p1", "p2")
        np.testing.assert_allclose(learned.list_price, LIST_PRICES)
        assert learned.promotion_effect is not None
        assert learned.supported_depth == pytest.approx(0.4, abs=0.02)
    truth = np.array([level_of(product) for product in range(3)])
    np.testing.assert_allclose(np.mean([part.level.mean(axis=0) for part in several], axis=0), truth, rtol=0.06)
    slopes = [part.elasticity[:, :2].mean(axis=0) for part in several]
    np.testing.assert_allclose(np.mean(slopes, axis=0), ELASTICITY, atol=0.25)
    promoted = [part.promotion_effect.mean() for part in several if part.promotion_effect is not None]
    assert np.mean(promoted) == pytest.approx(PROMOTION, abs=0.06)
    weekdays = np.mean([part.weekday_factor.mean(axis=0) for part in several], axis=0)
    np.testing.assert_allclose(weekdays, WEEKDAY / WEEKDAY.mean(), atol=0.05)


def test_members_differ_as_much_as_the_weeks_of_the_shop(learned: ShopDemand) -> None:
    assert (learned.level.std(axis=0) > 0.002 * learned.level.mean(axis=0)).all()
    assert (learned.level.std(axis=0) < 0.15 * learned.level.mean(axis=0)).all()


def test_poisson_counts_have_hardly_any_frailty(learned: ShopDemand) -> None:
    assert max(part.common for part in learned.spread) < 0.02
    assert np.mean([part.product for part in learned.spread]) < 0.03


def test_sell_outs_taken_for_demand_would_make_the_response_too_flat(several: list[ShopDemand]) -> None:
    """Shelves run empty on days of deep discounts; what was sold there is less than what was wanted."""
    censored = np.mean([part.elasticity[:, :2].mean() for part in several])
    naive = []
    for seed in range(6):
        sales = checked(make_sales(168, seed=seed))
        assert sales["sold_out"].mean() > 0.1
        naive.append(learn(sales.assign(sold_out=False), members=2).elasticity[:, :2].mean())
    assert np.mean(naive) > censored + 0.5
    assert abs(censored - ELASTICITY) < 0.2


def test_a_product_of_one_price_has_no_response_and_says_so(learned: ShopDemand) -> None:
    assert set(learned.unidentified) == {"p2"}
    assert learned.unidentified["p2"] == "was sold at one price, 11, on all but 0 of its 168 days"
    assert np.isnan(learned.elasticity[:, 2]).all()
    everywhere = learn(checked(make_sales(60)).assign(price=9.0), members=2)
    assert set(everywhere.unidentified) == {"p0", "p1", "p2"}
    assert everywhere.supported_depth is None
    assert everywhere.level.mean() > 0.5 * LEVEL


def test_a_product_that_never_sold_or_always_sold_out_is_left_out_with_the_reason() -> None:
    sales = checked(make_sales(60))
    dead = sales[sales["product_id"] == "p0"].assign(product_id="dead", sales=0.0, sold_out=False)
    scarce = sales[sales["product_id"] == "p0"].assign(product_id="scarce", sales=3.0, sold_out=True)
    learned = learn(pd.concat([sales, dead, scarce]), members=1)
    assert learned.product_ids == ("p0", "p1", "p2")
    assert learned.left_out["dead"] == "never sold in 60 rows"
    assert "sold out in each of its 60 rows" in learned.left_out["scarce"]
    mondays = sales[sales["product_id"] == "p0"].assign(product_id="rare")
    mondays = mondays.assign(sold_out=mondays["date"].dt.day_of_week == 0)
    assert "sold out on every monday" in learn(pd.concat([sales, mondays]), members=1).left_out["rare"]
    with pytest.raises(InputError, match="no product can be learned: dead never sold in 60 rows"):
        learn(dead)


def test_a_product_with_few_days_is_left_out() -> None:
    sales = checked(make_sales(60))
    new = sales[(sales["product_id"] == "p0") & (sales["date"] >= "2026-02-20")].assign(product_id="new")
    learned = learn(pd.concat([sales, new]), members=2)
    assert learned.left_out == {"new": "has 14 days, 30 are needed"}


def test_a_product_that_the_model_does_not_fit_is_left_out() -> None:
    sales = checked(make_sales(60))
    uneven = sales[sales["product_id"] == "p0"].assign(product_id="uneven", sold_out=False, promotion=False)
    uneven["sales"] = np.where(np.arange(60) % 9 == 0, 9000.0, 0.0)
    assert "sells too unevenly for the model" in learn(pd.concat([sales, uneven]), members=1).left_out["uneven"]


def test_prices_that_follow_demand_upwards_tell_no_response() -> None:
    sales = checked(make_sales(112, seed=3)).assign(promotion=False, sold_out=False)
    upward = sales.assign(sales=np.round(20.0 * sales["price"] ** 2))
    learned = learn(upward, members=1)
    assert {"p0", "p1"} <= set(learned.unidentified)
    assert "sold more at higher prices" in learned.unidentified["p0"]


def test_a_promotion_that_is_the_discount_is_not_told_apart_from_it() -> None:
    sales = checked(make_sales(112))
    discounted = sales["price"] < sales["product_id"].map(dict(zip(("p0", "p1", "p2"), LIST_PRICES, strict=True)))
    deep = sales["price"].where(~discounted, 0.7 * sales["product_id"].map({"p0": 5.0, "p1": 8.0, "p2": 11.0}))
    learned = learn(sales.assign(promotion=discounted, price=deep), members=1)
    assert learned.promotion_effect is None


def test_equal_seeds_give_equal_members_and_other_seeds_others() -> None:
    sales = checked(make_sales(60))
    one, again, other = learn(sales, members=2), learn(sales, members=2), learn(sales, members=2, seed=1)
    np.testing.assert_array_equal(one.level, again.level)
    assert (one.level != other.level).any()


@pytest.mark.parametrize("seed", range(2))
def test_an_instrument_tells_the_response_where_prices_follow_demand_and_a_weak_one_does_not(seed: int) -> None:
    """The seller raises the price on good days: without the instrument the response comes out too flat."""
    strong, weak = (
        draw_sales(PricedSales(instrument_strength=strength), 700, generator=np.random.default_rng(seed))
        for strength in (0.15, 0.0)
    )

    def read(table: pd.DataFrame, *leave_out: str) -> pd.DataFrame:
        sold_out = table["units"] >= table["stock"]
        kept = table[~(sold_out & (table["units"] == 0))].drop(columns=["stock", "x", *leave_out])
        kept = kept.rename(columns={"units": "sales"}).assign(sold_out=sold_out)
        return kept.astype({"sales": float, "product_id": str})

    (told,) = learn(read(strong)).evidence
    assert told.low - 0.1 < -2.0 < told.high + 0.1
    assert told.is_identified
    assert learn(read(strong, "instrument")).evidence[0].elasticity > told.elasticity + 0.5
    found = learn(read(weak))
    assert found.unidentified
    assert any("hardly moves the price" in words for words in found.words)
