"""Which product has a response of its own, on what that rests, and what should make a reader doubt."""

import numpy as np
import pandas as pd
import pytest

from flashsim.models.demand.daily_totals import ShopDemand
from flashsim.models.demand.day_tables import days_of, lay_out_products
from flashsim.models.demand.level_path import fit_path
from flashsim.models.demand.price_evidence import judge_response
from tests.models.demand.made_shops import learn


def table(units: np.ndarray, price: np.ndarray) -> pd.DataFrame:
    dates = pd.date_range("2025-01-06", periods=len(units))
    return pd.DataFrame({"date": dates, "product_id": "p", "sales": units, "price": price, "sold_out": False}).astype(
        {"sales": float}
    )


def promoted(
    elasticity: float, *, depth: float = 0.2, level: float = 40.0, days: int = 200, seed: int = 0
) -> ShopDemand:
    ratio = np.where(np.arange(days) % 20 < 4, 1.0 - depth, 1.0)
    units = np.random.default_rng(seed).poisson(level * ratio**elasticity)
    return learn(table(units, 10.0 * ratio))


def test_a_response_rests_on_days_prices_and_episodes_that_are_told() -> None:
    (told,) = promoted(-2.0).evidence
    assert (told.days, told.days_elsewhere, told.prices, told.episodes) == (200, 40, 2, 10)
    assert told.is_identified
    assert told.low < -2.0 < told.high
    assert told.promoted_share == pytest.approx(0.2)
    assert told.flags == ()


def test_an_elasticity_steeper_than_published_ones_is_flagged_and_members_keep_within_the_table() -> None:
    found = promoted(-9.0, level=20.0)
    assert any("steeper than almost all that were published" in words for words in found.evidence[0].flags)
    assert any(words.startswith("p: an elasticity of") for words in found.words)
    assert (found.elasticity >= -8.0).all()


def test_sales_that_rise_with_the_price_tell_no_response() -> None:
    found = promoted(1.5)
    assert found.evidence[0].why_not.startswith("sold more at higher prices")
    assert not found.evidence[0].is_identified


def test_no_response_is_told_from_five_days_at_one_price_each() -> None:
    price = np.full(120, 10.0)
    price[[20, 40, 60, 80]] = 7.0
    (told,) = learn(table(np.random.default_rng(0).poisson(30.0, size=120), price)).evidence
    assert told.why_not == "was sold at one price, 10, on all but 4 of its 120 days"


@pytest.mark.parametrize(("largest_day", "is_believed"), [(50.0, False), (500.0, True)])
def test_a_mean_beyond_three_times_the_largest_day_is_not_believed(largest_day: float, is_believed: bool) -> None:
    """20 units a day at list price and an elasticity of -5 are 640 at half price."""
    ratio = np.where(np.arange(200) % 20 < 4, 0.5, 1.0)
    units = np.random.default_rng(0).poisson(20.0 * ratio**-5.0)
    (rows,) = lay_out_products(table(units, 10.0 * ratio)).products
    product = days_of(rows)
    told = judge_response(
        product.price,
        product.history,
        fit=fit_path(product.counts),
        mean=-5.0,
        sd=0.1,
        largest_day=largest_day,
        level=20.0,
        hidden="",
    )
    assert (told.why_not == "") == is_believed
    if not is_believed:
        assert told.why_not == (
            "would sell 640 units a day at its deepest price, more than 3 times its largest day (50)"
        )
        assert not told.is_identified


def test_equal_tables_give_equal_demand_whatever_else_is_in_the_table() -> None:
    """Fits of products do not depend on each other; what is pooled does."""
    one = table(np.random.default_rng(1).poisson(30.0, size=100), np.where(np.arange(100) % 10 < 2, 8.0, 10.0))
    other = one.assign(product_id="q", sales=one["sales"] * 2)
    alone, both = learn(one), learn(pd.concat([one, other], ignore_index=True))
    np.testing.assert_allclose(alone.level.mean(), both.level[:, 0].mean(), rtol=0.03)
    np.testing.assert_allclose(alone.drift[0], both.drift[0], rtol=1e-6)


@pytest.mark.parametrize("seed", range(4))
def test_promotions_that_sold_out_tell_no_response(seed: int) -> None:
    """Stock for a day at list price: the days of promotions show a lower end of demand alone."""
    generator = np.random.default_rng(seed)
    ratio = np.where(np.arange(200) % 20 < 4, 0.75, 1.0)
    demand, stock = generator.poisson(50.0 * ratio**-2.0), generator.poisson(60.0, size=200)
    short = table(np.minimum(demand, stock), 10.0 * ratio).assign(sold_out=demand >= stock)
    found = learn(short)
    (told,) = found.evidence
    assert not told.is_identified
    assert "of the 40 days on which it was not at its list price" in told.why_not
    assert "has no upper end" in found.unidentified["p"]
    assert told.low <= -2.0 <= told.high
    assert found.level.mean() == pytest.approx(50.0, rel=0.1)
    half = short.assign(
        sold_out=(demand >= stock) & (np.arange(200) % 40 < 20),
        sales=np.where(np.arange(200) % 40 < 20, short["sales"], demand),
    )
    assert learn(half).evidence[0].is_identified
