"""Prices, depths, local time, and an account that loses no row."""

import numpy as np
import pandas as pd
import pytest

from flashsim.data.clean import (
    RowAccount,
    clean_promotions,
    clean_transactions,
    find_weighed_products,
    first_whole_week,
    to_local_time,
)
from flashsim.errors import InputError
from tests.data.synthetic_shop import FUEL, TIME_ZONE, UNKNOWN, WEIGHED, Shop, make_shop


@pytest.fixture(scope="module")
def shop() -> Shop:
    return make_shop(weeks=3)


def one_line(**values: object) -> tuple[pd.DataFrame, pd.DataFrame]:
    """A table of one line on a Monday, and its product table."""
    line: dict[str, object] = {
        "household_id": 1,
        "store_id": 1,
        "basket_id": 1,
        "product_id": 1,
        "quantity": 1,
        "sales_value": 1.0,
        "retail_disc": 0.0,
        "coupon_match_disc": 0.0,
        "week": 1,
        "transaction_timestamp": pd.Timestamp("2017-01-02 15:00"),
    }
    products = pd.DataFrame({"product_id": [1], "product_type": ["MILK"]})
    return pd.DataFrame([line | values]), products


@pytest.mark.parametrize(
    ("values", "unit_price", "depth"),
    [
        ({"sales_value": 3.0}, 3.0, 0.0),
        ({"sales_value": 2.0, "retail_disc": 2.0, "quantity": 2}, 2.0, 0.5),
        ({"sales_value": 3.0, "retail_disc": 0.5, "coupon_match_disc": 0.5}, 4.0, 0.25),
        ({"sales_value": 0.0, "retail_disc": 1.0}, 1.0, 1.0),
    ],
)
def test_discounts_add_to_what_the_shop_received(values: dict[str, object], unit_price: float, depth: float) -> None:
    """Regular value = sales_value + retail_disc + coupon_match_disc; checked by hand."""
    lines, products = one_line(**values)
    cleaned = clean_transactions(lines, products, time_zone=TIME_ZONE, account=RowAccount())
    assert cleaned["unit_price"].tolist() == pytest.approx([unit_price])
    assert cleaned["depth"].tolist() == pytest.approx([depth])


def test_timestamps_are_utc_and_daylight_saving_is_observed() -> None:
    stamps = pd.Series(pd.to_datetime(["2017-01-15 22:00", "2017-07-15 21:00", "2017-03-12 06:59", "2017-03-12 07:00"]))
    assert to_local_time(stamps, TIME_ZONE).dt.hour.tolist() == [17, 17, 1, 3]
    with pytest.raises(InputError, match="unknown time zone 'Mars/Olympus'"):
        to_local_time(stamps, "Mars/Olympus")


def test_the_first_whole_week_starts_on_a_monday() -> None:
    for day, monday in (("2017-01-01", "2017-01-02"), ("2017-01-02", "2017-01-02"), ("2017-01-04", "2017-01-09")):
        assert first_whole_week(pd.Series(pd.to_datetime([day]))) == pd.Timestamp(monday)


def test_every_row_is_kept_or_dropped_for_a_reason(shop: Shop) -> None:
    account = RowAccount()
    cleaned = clean_transactions(shop.transactions, shop.products, time_zone=TIME_ZONE, account=account)
    dropped = {reason: rows for (_, reason), rows in account.dropped.items()}
    assert account.read["transactions"] == len(shop.transactions) == len(cleaned) + sum(dropped.values())
    assert account.kept("transactions") == len(cleaned)
    assert dropped["fuel, whose quantity is a volume"] == (shop.transactions["product_id"] == FUEL).sum()
    assert dropped["product not in the product table"] == (shop.transactions["product_id"] == UNKNOWN).sum()
    assert dropped["quantity 0"] == (shop.transactions["quantity"] == 0).sum()
    assert dropped["no regular value, hence no price"] == 120
    assert dropped["before the first whole week (2017-01-02)"] > 0
    assert cleaned["day"].min() == pd.Timestamp("2017-01-02")


def test_the_account_lists_each_table_from_read_to_kept() -> None:
    account = RowAccount(read={"a": 10, "b": 5})
    account.drop("a", "torn", 2)
    account.drop("a", "torn", 1)
    assert account.rows() == [
        {"table": "a", "what": "read", "rows": 10},
        {"table": "a", "what": "dropped: torn", "rows": 3},
        {"table": "a", "what": "kept", "rows": 7},
        {"table": "b", "what": "read", "rows": 5},
        {"table": "b", "what": "kept", "rows": 5},
    ]


def test_weighed_products_are_told_by_their_many_values(shop: Shop) -> None:
    lines = clean_transactions(shop.transactions, shop.products, time_zone=TIME_ZONE, account=RowAccount())
    assert find_weighed_products(lines) == {WEIGHED}


def test_a_best_seller_sold_by_weight_is_found_though_its_values_repeat() -> None:
    """Bananas: thousands of lines at a few hundred values; a shelf price that changed often is no weight."""
    generator = np.random.default_rng(0)
    bananas = np.round(generator.uniform(0.3, 3.0, 5000), 2)
    prices = generator.choice([1.99, 2.09, 2.19, 2.29, 2.49, 2.59, 2.79], 5000)
    lines = pd.DataFrame({"product_id": [1] * 5000 + [2] * 5000, "unit_price": np.concatenate([bananas, prices])})
    assert find_weighed_products(lines) == {1}


def test_repeated_promotion_keys_are_merged_and_counted() -> None:
    rows = [(1, 1, 2, "0", "A"), (1, 1, 2, "5", "0"), (1, 2, 2, "0", "0")]
    columns = ["product_id", "store_id", "week", "display_location", "mailer_location"]
    account = RowAccount()
    merged = clean_promotions(pd.DataFrame(rows, columns=columns), rows_in_file=10, account=account)
    assert merged[["display", "mailer"]].to_numpy().tolist() == [[True, True], [False, False]]
    assert account.kept("promotions") == len(merged) == 2
    assert [row["rows"] for row in account.rows()] == [10, 7, 1, 2]


def test_a_table_of_nothing_but_odd_lines_is_refused(shop: Shop) -> None:
    fuel = shop.transactions[shop.transactions["product_id"] == FUEL]
    with pytest.raises(InputError, match="no sale line is left of 120"):
        clean_transactions(fuel, shop.products, time_zone=TIME_ZONE, account=RowAccount())
