"""Numbers as people write them: what has one reading is read and told, what has two is asked for."""

from pathlib import Path

import pandas as pd
import pytest

from flashsim.data.exports.numbers import detect_numbers, read_numbers
from flashsim.errors import InputError
from tests.data.made_shop import read_shop as read

HEADER = "order_id;date;sku;qty;price"


def values(*cells: str, decimal: str | None = None) -> list[float]:
    column = pd.Series(cells, dtype=str)
    found = detect_numbers({"price": column}, decimal=decimal, what="f.csv", key="orders")
    numbers, wrong = read_numbers(column, found)
    return [-1e9 if bad else float(number) for number, bad in zip(numbers, wrong, strict=True)]


@pytest.mark.parametrize("cell", ["1.299", "1,299", "12.500", "€ 1.299", "1,299 CHF", "-1.299"])
def test_a_mark_before_three_digits_alone_is_asked_for(cell: str) -> None:
    with pytest.raises(InputError, match=r"can be read with a decimal (point|comma) or with a .* between thousands"):
        values(cell, "999")
    assert abs(values(cell, "999", decimal="." if "," in cell else ",")[0]) >= 1299.0
    assert abs(values(cell, "999", decimal="," if "," in cell else ".")[0]) in (1.299, 12.5)


@pytest.mark.parametrize(
    ("cells", "first"),
    [
        (("1.299", "3,99"), 1299.0),
        (("1.299", "3.99"), 1.299),
        (("1,299", "3.99"), 1299.0),
        (("1.299", "1.299.000"), 1299.0),
        (("1 299", "999"), 1299.0),
        (("1\u202f299", "999"), 1299.0),
        (("1'299", "999"), 1299.0),
        (("1’299.50", "999"), 1299.5),
        (("1'234'567", "9"), 1234567.0),
    ],
)
def test_another_cell_or_the_mark_itself_settles_it(cells: tuple[str, ...], first: float) -> None:
    assert values(*cells)[0] == first


@pytest.mark.parametrize("cell", ["12 34", "3 99", "1234 567", "3.99 123", "1'2", "1 2345"])
def test_a_gap_that_is_not_between_thousands_makes_no_number(cell: str) -> None:
    assert values(cell, "7") == [-1e9, 7.0]


@pytest.mark.parametrize(("usual", "odd", "value"), [("3.50", "4,99", 4.99), ("3,50", "4.99", 4.99)])
def test_a_number_in_the_other_style_is_read_where_it_has_one_reading_and_told(
    tmp_path: Path, usual: str, odd: str, value: float
) -> None:
    days = pd.date_range("2026-01-05", periods=60).strftime("%Y-%m-%d")
    prices = [odd if place == 7 else (usual, f"{usual[:-1]}7")[place % 2] for place in range(60)]
    rows = [f"o{day};{day} 10:00;A;1;{price}" for day, price in zip(days, prices, strict=True)]
    (tmp_path / "orders.csv").write_text("\n".join([HEADER, *rows]) + "\n")
    shop = read(tmp_path)
    assert shop.sales is not None
    assert shop.sales["sales"].sum() == 60.0
    assert shop.sales.loc[shop.sales["date"] == days[7], "price"].iloc[0] == pytest.approx(value)
    assert any(f"numbers such as '{odd}'" in note and "unlike the rest" in note for note in shop.notes)


def test_where_both_styles_are_there_a_number_with_two_readings_is_asked_for() -> None:
    with pytest.raises(
        InputError, match=r"decimal point \('3.99'\) and with a decimal comma .* so '1,299' can be read"
    ):
        values("3.99", "4.99", "5,99", "1,299")
    assert values("3.99", "4.99", "5,99", "1,299", decimal=".") == [3.99, 4.99, 5.99, 1299.0]


def test_whole_prices_of_a_german_export_are_asked_for_then_read(tmp_path: Path) -> None:
    days = pd.date_range("2026-01-05", periods=30).strftime("%d.%m.%Y")
    rows = [f"o{day};{day};{sku};1;{price}" for day in days for sku, price in (("A", "1.299"), ("B", "999"))]
    (tmp_path / "orders.csv").write_text("\n".join([HEADER, *rows]) + "\n")
    with pytest.raises(InputError, match=r"'1.299' .*state which in the mapping: orders: {format: {decimal: ','}}"):
        read(tmp_path)
    shop = read(tmp_path, {"orders": {"format": {"decimal": ","}}})
    assert shop.sales is not None
    assert float((shop.sales["sales"] * shop.sales["price"]).sum()) == 30 * (1299.0 + 999.0)
