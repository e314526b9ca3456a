"""What visits and events tell: hours, units a visitor, segments, and when they tell nothing."""

import numpy as np
import pandas as pd
import pytest

from flashsim.errors import Unavailable
from flashsim.models.customers.visits_and_events import (
    divide_people,
    purchase_profiles,
    purchases_of,
    units_a_visitor,
    visit_profile,
)
from tests.data.made_shop import make_behavior, make_sales, make_traffic

IDS = ("p0", "p1", "p2")
LIST_PRICE = np.array([5.0, 8.0, 11.0])


def traffic(days: int = 14) -> pd.DataFrame:
    table = make_traffic(days)
    return table.assign(date=pd.to_datetime(table["date"]), visits=table["visits"].astype(float))


def behavior(days: int = 84) -> pd.DataFrame:
    table = make_behavior(days)
    return table.assign(timestamp=pd.to_datetime(table["timestamp"]), user_id=table["user_id"].astype(str))


def sales(days: int = 84) -> pd.DataFrame:
    table = make_sales(days)
    return table.assign(date=pd.to_datetime(table["date"]), sales=table["sales"].astype(float))


def test_hours_are_those_of_the_visits_and_a_gap_is_not_silence() -> None:
    truth = 1.0 + 0.8 * np.cos(2.0 * np.pi * (np.arange(24) - 20) / 24.0)
    table = traffic()
    whole = visit_profile(table)
    assert not isinstance(whole, Unavailable)
    np.testing.assert_allclose(whole, truth / truth.sum(), atol=0.002)
    gappy = visit_profile(table[~((table["date"].dt.hour == 20) & (table["date"].dt.day_of_week < 5))])
    assert not isinstance(gappy, Unavailable)
    np.testing.assert_allclose(gappy, truth / truth.sum(), atol=0.003)
    assert visit_profile(table[table["date"].dt.hour != 3]) == Unavailable("traffic_data never tells the hour 3")
    assert visit_profile(table.assign(visits=0.0)) == Unavailable("traffic_data tells of no visit")


def test_units_a_visitor_are_units_over_visits_of_the_days_that_both_tell() -> None:
    ratio = units_a_visitor(
        sales=sales(), traffic=traffic(), behavior=None, members=50, generator=np.random.default_rng(0)
    )
    assert not isinstance(ratio, Unavailable)
    first = sales()[sales()["date"] < traffic()["date"].max()]
    assert ratio[0].mean() == pytest.approx(first["sales"].sum() / traffic()["visits"].sum(), rel=0.05)
    assert ratio[0].std() > 0.0


def test_more_units_than_visits_are_not_believed() -> None:
    unknown = units_a_visitor(
        sales=sales().assign(sales=1e6), traffic=traffic(), behavior=None, members=2, generator=np.random.default_rng(0)
    )
    assert isinstance(unknown, Unavailable)
    assert "more than one" in unknown.reason
    assert "they need" in str(
        units_a_visitor(sales=sales(), traffic=None, behavior=None, members=2, generator=np.random.default_rng(0))
    )


def test_deal_seekers_are_found_and_buy_on_deal() -> None:
    """The first 120 of 400 people were made to buy on deal; their share of the demand rises with depth."""
    bought = purchases_of(behavior(), IDS)
    found = divide_people(bought, sales(), product_ids=IDS, list_price=LIST_PRICE)
    assert not isinstance(found, Unavailable)
    shares = found.shares.at(np.array([0.0, 0.4]))
    np.testing.assert_allclose(shares.sum(axis=1), 1.0)
    assert (shares[:2, 0, 1] > 1.3 * shares[:2, 0, 0]).all()
    assert sum(found.people) == pytest.approx(400, abs=5)


def test_few_buyers_or_few_days_are_not_divided() -> None:
    bought = purchases_of(behavior(28), IDS)
    assert "are needed to divide them" in str(divide_people(bought, sales(28), product_ids=IDS, list_price=LIST_PRICE))


def test_purchases_tell_their_hours_and_few_of_them_do_not() -> None:
    bought = purchases_of(behavior(), IDS)
    profiles = purchase_profiles(bought, group_of=np.zeros(3, dtype=np.intp), segments=None, count=2)
    assert not isinstance(profiles, Unavailable)
    assert profiles.shape == (1, 2, 24)
    assert profiles[0, 0, 16:22].sum() > 0.99
    few = purchases_of(behavior().iloc[:200], IDS)
    assert "100 are needed" in str(purchase_profiles(few, group_of=np.zeros(3, dtype=np.intp), segments=None, count=2))


def test_some_purchases_tell_hours_that_are_the_same_for_all_groups_and_segments() -> None:
    some = purchases_of(behavior().iloc[:1_200], IDS)
    assert 100 <= some.user.size < 500
    profiles = purchase_profiles(some, group_of=np.arange(3), segments=None, count=2)
    assert not isinstance(profiles, Unavailable)
    assert profiles.shape == (3, 2, 24)
    assert (profiles == profiles[:1, :1]).all()
    assert profiles[0, 0, 16:22].sum() > 0.9
