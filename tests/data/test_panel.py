"""The panel holds the days without a sale, and offers that do not depend on what was sold."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from flashsim.data.clean import RowAccount, clean_promotions, clean_transactions
from flashsim.data.panel import (
    Panel,
    build_panel,
    group_products,
    impute_depth,
    on_sale,
    sale_lines,
    select_products,
)
from flashsim.data.sources import complete_journey
from flashsim.errors import InputError
from tests.data.synthetic_shop import SLOPES, TIME_ZONE, WEIGHED, make_shop

WEEKS = 12


@pytest.fixture(scope="module")
def cleaned(tmp_path_factory: pytest.TempPathFactory) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame, RowAccount]:
    """Lines, products, promotions and the account of a small shop."""
    folder: Path = make_shop(weeks=WEEKS).save(tmp_path_factory.mktemp("shop"))
    tables, account = complete_journey(folder), RowAccount()
    products = tables.read_products()
    lines = clean_transactions(tables.read_transactions(), products, time_zone=TIME_ZONE, account=account)
    promotions = clean_promotions(
        tables.read_promotions(list(SLOPES)), rows_in_file=tables.count_promotions(), account=account
    )
    return lines, products, promotions, account


@pytest.fixture(scope="module")
def panel(cleaned: tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame, RowAccount]) -> Panel:
    lines, products, promotions, _ = cleaned
    selected = select_products(lines, count=8, ranking_weeks=6, account=RowAccount(read={"transactions": len(lines)}))
    return build_panel(selected, all_lines=lines, products=products, promotions=promotions, early_weeks=6)


def test_selection_accounts_for_every_line_left_out(
    cleaned: tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame, RowAccount],
) -> None:
    lines, _, _, _ = cleaned
    account = RowAccount(read={"transactions": len(lines)})
    selected = select_products(lines, count=3, ranking_weeks=6, always=(203,), account=account)
    assert account.kept("transactions") == len(selected)
    assert selected["product_id"].nunique() == 4
    assert 203 in set(selected["product_id"])
    with pytest.raises(InputError, match=f"product {WEIGHED} has no sale by the piece"):
        select_products(lines, count=3, ranking_weeks=6, always=(WEIGHED,), account=account)


def test_later_weeks_do_not_choose_the_products() -> None:
    day = pd.Timestamp("2017-01-02") + pd.to_timedelta([0] * 3 + [70] * 9, unit="D")
    lines = pd.DataFrame({"product_id": [1, 1, 2] + [2] * 9, "quantity": 1, "unit_price": 1.0, "day": day})
    chosen = select_products(lines, count=1, ranking_weeks=4, account=RowAccount())
    assert set(chosen["product_id"]) == {1}


def test_units_of_the_panel_are_those_of_the_lines(
    panel: Panel, cleaned: tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame, RowAccount]
) -> None:
    lines = cleaned[0]
    kept = lines[lines["product_id"].isin(panel.product_ids)]
    assert panel.units.sum() == kept["quantity"].sum()
    assert panel.units.shape == (8, WEEKS, 7)
    tuesday = kept[(kept["product_id"] == 201) & (kept["day"] == pd.Timestamp("2017-01-10"))]
    assert panel.units[panel.product_ids.index(201), 1, 1] == tuesday["quantity"].sum()


def test_list_price_and_depth_are_those_of_the_offer(panel: Panel) -> None:
    assert panel.list_price == pytest.approx(np.full(8, 2.0))
    assert set(np.round(np.unique(panel.depth[~np.isnan(panel.depth)]), 2)) <= {0.0, 0.1, 0.2, 0.3, 0.4}
    assert ((panel.display >= 0.0) & (panel.display <= 1.0)).all()
    assert (panel.display[panel.depth < 0.15] == 0.0).all()
    assert panel.display.max() > 0.5
    assert (panel.mailer == 0.0).all()


def test_display_shares_are_weighted_by_the_traffic_of_the_stores() -> None:
    """Store 1 has 3 of 4 till lines of the shop; on display there alone the share is 3/4, whatever was sold."""
    day = pd.Timestamp("2017-01-02")
    rows = [(1, 1, 0.2), (1, 1, 0.2), (1, 2, 0.4), (2, 1, 0.0)]
    lines = pd.DataFrame(rows, columns=["product_id", "store_id", "depth"]).assign(
        day=day, week=1, quantity=1, unit_price=2.0, household_id=1, hour=9
    )
    products = pd.DataFrame(
        {"product_id": [1], "department": "D", "product_category": "C", "product_type": "T", "package_size": None}
    )
    promotions = pd.DataFrame({"product_id": [1], "store_id": [1], "week": [1], "display": [True], "mailer": [False]})
    panel = build_panel(
        lines[lines["product_id"] == 1], all_lines=lines, products=products, promotions=promotions, early_weeks=6
    )
    assert panel.display[0, 0] == pytest.approx(3 / 4)
    assert panel.depth[0, 0] == pytest.approx((3 * 0.2 + 1 * 0.4) / 4)


def test_buying_several_at_once_is_measured_on_early_weeks(
    cleaned: tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame, RowAccount],
) -> None:
    """Lines of 1 and 3 units in turn: E[q²]/E[q] = 5/2; later lines of 50 do not count."""
    lines, products, promotions, _ = cleaned
    one = lines[lines["product_id"] == 101].head(200).copy()
    one["quantity"] = np.where(np.arange(len(one)) % 2 == 0, 1, 3)
    late = lines[(lines["product_id"] == 101) & (lines["week"] > 10)].assign(quantity=50)
    early = one[one["week"] <= 7]
    early = early.head(len(early) // 2 * 2)
    panel = build_panel(
        pd.concat([early, late]), all_lines=lines, products=products, promotions=promotions, early_weeks=6
    )
    assert panel.clumping == pytest.approx([2.5])


def test_days_between_first_and_last_sale_count_though_nothing_was_sold() -> None:
    units = np.zeros((2, 2, 7))
    units[0, 0, 2] = units[0, 1, 1] = 1.0
    is_open = np.ones((2, 7), dtype=bool)
    is_open[1, 0] = False
    exposure = on_sale(units, is_open)
    assert exposure[0].ravel().tolist() == [0, 0, 1, 1, 1, 1, 1, 0, 1, 0, 0, 0, 0, 0]
    assert not exposure[1].any()


def test_an_unknown_depth_is_that_of_weeks_of_the_same_promotion_status(panel: Panel) -> None:
    depth = np.array([[0.0, 0.4, np.nan, np.nan, 0.2]])
    display = np.array([[0.0, 1.0, 0.9, 0.1, 1.0]])
    one = Panel(
        **{
            **vars(panel),
            "product_ids": (1,),
            "units": np.zeros((1, 5, 7)),
            "depth": depth,
            "display": display,
            "mailer": np.zeros((1, 5)),
        }
    )
    assert impute_depth(one, known_weeks=4).tolist() == [[0.0, 0.4, 0.4, 0.0, 0.2]]
    assert impute_depth(one, known_weeks=5)[0, 2] == pytest.approx(0.3)
    assert impute_depth(one, known_weeks=1).tolist() == [[0.0, 0.4, 0.0, 0.0, 0.2]]


def test_small_categories_are_pooled_by_department() -> None:
    named = pd.DataFrame(
        {
            "product_category": ["A"] * 4 + ["B", "C", "D", "E", None],
            "department": ["X"] * 4 + ["Y"] * 4 + ["Z"],
        }
    )
    assert group_products(named) == ["a"] * 4 + ["other y"] * 4 + ["other"]


def test_week_numbers_that_do_not_fit_the_calendar_are_refused(
    cleaned: tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame, RowAccount],
) -> None:
    lines, products, promotions, _ = cleaned
    kept = lines[lines["product_id"].isin(SLOPES)]
    shifted = kept.assign(day=kept["day"] + pd.to_timedelta((kept.index % 2).to_numpy(), unit="D"))
    with pytest.raises(InputError, match="check the time zone"):
        build_panel(shifted, all_lines=shifted, products=products, promotions=promotions, early_weeks=6)


def test_lines_keep_their_places(
    panel: Panel, cleaned: tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame, RowAccount]
) -> None:
    lines = cleaned[0]
    kept = lines[lines["product_id"].isin(panel.product_ids)].reset_index(drop=True)
    households = np.unique(kept["household_id"])
    places = sale_lines(kept, product_ids=panel.product_ids, household_ids=households, first_monday=panel.first_monday)
    row = 100
    assert panel.product_ids[places.product[row]] == kept["product_id"][row]
    assert households[places.household[row]] == kept["household_id"][row]
    assert places.day[row] == kept["day"][row].weekday()
    assert places.hour[row] == kept["hour"][row]
