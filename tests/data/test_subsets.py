"""Views of a shop: disjoint, whole weeks, everything else as it was, and a World of their own."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from flashsim.calibration.complete_journey import CalibrationSettings, calibrate
from flashsim.data.sources import ShopTables, complete_journey
from flashsim.data.subsets import VIEWS, deal_stores, shared_panels, some_stores, some_weeks, view_of
from flashsim.errors import InputError
from tests.data.synthetic_shop import STORES, make_shop

WEEKS = 48


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> ShopTables:
    return complete_journey(make_shop(weeks=WEEKS).save(tmp_path_factory.mktemp("shop")))


def baskets(tables: ShopTables) -> set[int]:
    return set(tables.read_transactions()["basket_id"])


def test_halves_of_the_weeks_share_nothing_and_miss_nothing_but_the_broken_first_week(tables: ShopTables) -> None:
    early, later = baskets(view_of(tables, "early_weeks")), baskets(view_of(tables, "later_weeks"))
    assert not early & later
    lines = tables.read_transactions()
    left_out = lines[~lines["basket_id"].isin(early | later)]
    assert set(left_out["week"]) <= {1}
    assert early
    assert later


def test_a_view_of_weeks_begins_on_a_monday_of_the_shops_time(tables: ShopTables) -> None:
    stamps = some_weeks(tables, 10, last=12).read_transactions()["transaction_timestamp"]
    local = stamps.dt.tz_localize("UTC").dt.tz_convert(tables.time_zone)
    assert local.min().weekday() == 0
    assert (local.max().normalize() - local.min().normalize()).days == 13


def test_stores_are_dealt_into_two_halves_of_like_sales(tables: ShopTables) -> None:
    home, other = deal_stores(tables)
    assert set(home) | set(other) == set(STORES)
    assert not set(home) & set(other)
    first, second = baskets(view_of(tables, "home_stores")), baskets(view_of(tables, "other_stores"))
    assert not first & second
    assert first | second == baskets(tables)
    assert "other stores" in view_of(tables, "other_stores").name


def test_all_is_the_tables_themselves(tables: ShopTables) -> None:
    assert view_of(tables, "all") is tables


@pytest.mark.parametrize("view", ["later_weeks", "other_stores"])
def test_a_view_is_calibrated_into_a_world_of_its_own(tables: ShopTables, view: str) -> None:
    settings = CalibrationSettings(
        product_ids=(101, 201),
        modelled_products=8,
        heldout_weeks=4,
        horizon_weeks=4,
        members=2,
        training_members=1,
        resamples=50,
        estimate_spread=False,
    )
    assert "later_weeks" in VIEWS
    world = calibrate(view_of(tables, view), seed=0, settings=settings)
    assert "Complete Journey, " in world.name
    assert world.provenance["panel"]["weeks"] == (WEEKS // 2 if view == "later_weeks" else WEEKS)
    assert world.provenance["data"]["name"] == view_of(tables, view).name


def test_panels_of_two_platforms_hold_the_same_products_and_weeks(tables: ShopTables) -> None:
    home, other = deal_stores(tables)
    source, target = shared_panels(
        some_stores(tables, home, what="home"), some_stores(tables, other, what="other"), count=5, held_out_weeks=8
    )
    assert source.product_ids == target.product_ids
    assert len(source.product_ids) == 5
    assert source.units.shape == target.units.shape
    np.testing.assert_array_equal(source.group_of, target.group_of)
    lines = target.units.sum(axis=(1, 2))
    sold = tables.read_transactions().query("store_id in @other").groupby("product_id")["quantity"].sum()
    assert (lines <= sold.loc[list(target.product_ids)].to_numpy()).all()
    assert lines.sum() > 0.95 * sold.loc[list(target.product_ids)].sum()


def test_views_of_nothing_are_refused_in_words(tables: ShopTables, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="expected one of all, early_weeks"):
        view_of(tables, "next_year")
    with pytest.raises(InputError, match="no sale line is in view"):
        some_weeks(tables, 500, last=501).read_transactions()
    with pytest.raises(InputError, match=r"weeks: expected 0 <= first < last, got \(3, 3\)"):
        some_weeks(tables, 3, last=3)
    with pytest.raises(InputError, match="at least one store"):
        some_stores(tables, [], what="none")
    shop = make_shop(weeks=3)
    one = replace(shop, transactions=shop.transactions.assign(store_id=1))
    with pytest.raises(InputError, match="hold 1 store, two platforms need two"):
        deal_stores(complete_journey(one.save(tmp_path / "one")))
    with pytest.raises(InputError, match="no week is left"):
        shared_panels(tables, tables, count=3, held_out_weeks=100)
    assert isinstance(tables.read_transactions(), pd.DataFrame)
