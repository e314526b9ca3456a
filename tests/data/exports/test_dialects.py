"""Exports as shops of many countries write them give the same daily sales, and what was detected is told."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from flashsim.data.shop_tables import CheckedTables
from flashsim.errors import InputError
from tests.data.exports.made_orders import Dialect, make_lines, spelled, truth, write, write_xlsx
from tests.data.made_shop import read_shop as read

DIALECTS = {
    "plain": Dialect(),
    "german": Dialect(";", ",", ".", "cp1252", "%d.%m.%Y %H:%M", name="Müsli Größe"),
    "german utf-8 with a mark": Dialect(";", ",", ".", "utf-8-sig", "%d.%m.%y %H:%M", sign="€ "),
    "french": Dialect(";", ",", "\u202f", "utf-8", "%d/%m/%Y %H:%M", name="Crème brûlée"),
    "latin-1": Dialect("\t", ",", "", "latin-1", "%d-%m-%Y %H:%M", name="Año Niño"),
    "american": Dialect(",", ".", ",", "utf-8", "%m/%d/%Y %I:%M %p", sign="$"),
    "british": Dialect(",", ".", ",", "utf-8", "%d/%m/%Y %H:%M:%S", sign="£"),
    "swiss": Dialect(";", ".", "'", "cp1252", "%d.%m.%Y", name="Rüebli"),
    "chinese": Dialect(",", ".", ",", "gbk", "%Y/%m/%d %H:%M", sign="￥", name="拿铁咖啡"),
    "chinese words": Dialect("\t", ".", "", "gb18030", "%Y年%m月%d日 %H:%M", sign="￥", name="拿铁咖啡大杯"),
    "utf-16": Dialect("\t", ".", "", "utf-16", "%Y-%m-%d %H:%M", name="拿铁"),
    "utf-16 without a mark": Dialect(",", ".", "", "utf-16-le", "%Y-%m-%d %H:%M"),
    "bars": Dialect("|", ".", "", "utf-8", "%d %b %Y %H:%M"),
    "zones": Dialect(",", ".", "", "utf-8", "%Y-%m-%dT%H:%M:%S+0000"),
    "packed": Dialect(";", ",", "", "utf-8", "%d/%m/%Y %H:%M", suffix=".csv.gz"),
    "packed gbk": Dialect(",", ".", "", "gbk", "%Y-%m-%d %H:%M:%S", suffix=".csv.gz", name="拿铁咖啡"),
    "workbook": Dialect(suffix=".xlsx", date="%d/%m/%Y %H:%M"),
    "parquet": Dialect(suffix=".parquet", date="%m/%d/%Y %H:%M"),
}
MAPPING = {
    "orders": {
        "columns": {
            "order_id": "order_id",
            "date": "created_at",
            "product_id": "sku",
            "product_name": "name",
            "quantity": "qty",
            "price": "unit_price",
            "customer": "customer",
        }
    }
}


def sold(shop: CheckedTables) -> pd.DataFrame:
    assert shop.sales is not None
    sales = shop.sales[shop.sales["sales"] > 0.0].rename(columns={"product_id": "sku"})
    return sales.set_index(["sku", "date"])[["sales", "price"]].sort_index()


def assert_sold(shop: CheckedTables, expected: pd.DataFrame) -> None:
    found = sold(shop)
    assert found.index.tolist() == expected.index.tolist()
    np.testing.assert_allclose(found.to_numpy(), expected.to_numpy(), rtol=1e-9)


@pytest.mark.parametrize("name", DIALECTS)
@pytest.mark.parametrize("mapping", [None, MAPPING], ids=["names that stand for themselves", "mapped"])
def test_order_lines_are_read_alike_in_every_dialect(tmp_path: Path, name: str, mapping: Any) -> None:
    dialect = DIALECTS[name]
    lines = make_lines()
    folder = write(tmp_path, spelled(lines, dialect), dialect)
    shop = read(folder, mapping)
    assert_sold(shop, truth(lines))
    assert shop.quarantine.cells == []
    assert shop.sales is not None
    assert dialect.name in set(shop.sales.get("product_name", pd.Series([dialect.name])))
    told = " ".join(shop.notes)
    assert ("separator" in told) == (dialect.separator != "," and dialect.suffix not in (".xlsx", ".parquet"))
    assert ("decimal comma" in told) == (dialect.decimal == ",")
    assert ("encoding" in told) == (dialect.encoding != "utf-8" and dialect.suffix not in (".xlsx", ".parquet"))
    assert ("has no other reading" in told) == (dialect.date[1] in "dm" and "%b" not in dialect.date)


@pytest.mark.parametrize("name", [name for name in DIALECTS if name != "chinese words"])
def test_daily_sales_are_read_alike_in_every_dialect(tmp_path: Path, name: str) -> None:
    dialect = DIALECTS[name]._replace(
        date=DIALECTS[name].date.partition(" %H")[0].partition(" %I")[0].partition("T")[0]
    )
    expected = truth(make_lines())
    days = expected.reset_index().rename(columns={"date": "created_at", "sales": "qty", "price": "unit_price"})
    days = days.assign(
        name=days["sku"].str.title(), unit_price=days["unit_price"].round(2), qty=days["qty"].astype(int)
    )
    folder = write(tmp_path, spelled(days, dialect), dialect, name="sales_data")
    columns = {"date": "created_at", "product_id": "sku", "sales": "qty", "price": "unit_price", "product_name": "name"}
    shop = read(folder, {"sales_data": {"columns": columns}})
    assert_sold(shop, expected.round({"price": 2}))


@pytest.mark.parametrize(
    ("date", "stated"), [("%d/%m/%Y", "%d/%m/%Y"), ("%m/%d/%Y", "%m/%d/%Y"), ("%d.%m.%y", "%d.%m.%y")]
)
@pytest.mark.parametrize("table", ["orders", "sales_data"])
def test_dates_that_can_all_be_read_two_ways_are_asked_for_and_read_once_stated(
    tmp_path: Path, date: str, stated: str, table: str
) -> None:
    days = [f"2026-{month:02d}-{day:02d}" for month in range(1, 11) for day in range(1, 5)]
    text = pd.DataFrame({"date": pd.to_datetime(days).strftime(date), "product_id": "A", "sales": "2", "price": "1.5"})
    text = text.rename(columns={"sales": "quantity"}) if table == "orders" else text
    text.to_csv(tmp_path / f"{table}.csv", index=False)
    with pytest.raises(InputError, match=f"can be read as .* state which in the mapping: {table}: {{format: {{date: "):
        read(tmp_path)
    for mapping in ({table: {"format": {"date": stated}}}, {"format": {"date": stated}}):
        shop = read(tmp_path, mapping)
        assert shop.sales is not None
        assert sorted(shop.sales.loc[shop.sales["sales"] > 0, "date"].dt.strftime("%Y-%m-%d")) == sorted(days)


def test_numbers_that_can_all_be_read_two_ways_are_asked_for_and_read_once_stated(tmp_path: Path) -> None:
    days = pd.date_range("2026-01-05", periods=40).strftime("%Y-%m-%d")
    text = pd.DataFrame({"date": days, "product_id": "A", "quantity": "2", "price": "1,250"})
    text.to_csv(tmp_path / "orders.csv", index=False)
    with pytest.raises(InputError, match="decimal comma or with a comma between thousands; state which"):
        read(tmp_path)
    for decimal, price in ((",", 1.25), (".", 1250.0)):
        shop = read(tmp_path, {"orders": {"format": {"decimal": decimal}}})
        assert shop.sales is not None
        assert (shop.sales["price"] == price).all()


def test_another_column_of_the_file_settles_how_numbers_are_written(tmp_path: Path) -> None:
    days = pd.date_range("2026-01-05", periods=40).strftime("%Y-%m-%d")
    text = pd.DataFrame({"date": days, "product_id": "A", "quantity": "1,000", "price": "3,99"})
    text.to_csv(tmp_path / "orders.csv", index=False, sep=";")
    shop = read(tmp_path)
    assert shop.sales is not None
    assert (shop.sales["sales"] == 1.0).all()
    assert (shop.sales["price"] == 3.99).all()


@pytest.mark.parametrize(("first", "count"), [("2025-01-05", 40), ("2025-01-06", 40), ("2025-01-10", 12)])
@pytest.mark.parametrize("table", ["orders", "sales_data"])
def test_weeks_are_spread_over_their_days_and_told_or_refused_by_choice(
    tmp_path: Path, first: str, count: int, table: str
) -> None:
    weeks = pd.date_range(first, periods=count, freq="7D").strftime("%Y-%m-%d")
    units = np.random.default_rng(1).integers(50, 100, size=count)
    quantity = "quantity" if table == "orders" else "sales"
    pd.DataFrame({"date": weeks, "product_id": "A", quantity: units, "price": 3.5}).to_csv(
        tmp_path / f"{table}.csv", index=False
    )
    shop = read(tmp_path)
    assert shop.sales is not None
    assert len(shop.sales) == 7 * count
    assert shop.sales["sales"].sum() == units.sum()
    assert shop.sales["sales"].mean() == pytest.approx(units.mean() / 7.0)
    assert any("rows are weeks" in note and "steps: day" in note for note in shop.notes)
    with pytest.raises(InputError, match="its rows are weeks"):
        read(tmp_path, {table: {"steps": "refuse"}})
    as_days = read(tmp_path, {table: {"steps": "day"}})
    assert as_days.sales is not None
    assert as_days.sales["sales"].max() == units.max()


@pytest.mark.parametrize("written", ["%Y-%m-01", "%Y-%m", "%Y年%m月"])
def test_months_are_spread_over_their_days(tmp_path: Path, written: str) -> None:
    months = pd.date_range("2025-01-01", periods=12, freq="MS")
    text = pd.DataFrame({"date": months.strftime(written), "product_id": "A", "sales": 310, "price": 2.0})
    text.to_csv(tmp_path / "sales_data.csv", index=False)
    shop = read(tmp_path)
    assert shop.sales is not None
    assert len(shop.sales) == 365
    assert shop.sales["sales"].sum() == 12 * 310
    assert any("rows are months" in note for note in shop.notes)


def test_weeks_as_a_calendar_numbers_them_are_read(tmp_path: Path) -> None:
    text = pd.DataFrame(
        {"date": [f"2026-W{week:02d}" for week in range(2, 12)], "product_id": "A", "sales": 70, "price": 2.0}
    )
    text.to_csv(tmp_path / "sales_data.csv", index=False)
    shop = read(tmp_path)
    assert shop.sales is not None
    assert (shop.sales["sales"] == 10.0).all()
    assert shop.sales["date"].min() == pd.Timestamp("2026-01-05")


def test_order_lines_given_as_daily_sales_are_refused_with_the_key_that_sums_them(tmp_path: Path) -> None:
    lines = make_lines()
    folder = write(tmp_path, spelled(lines, Dialect()), Dialect(), name="till")
    columns = {"date": "created_at", "product_id": "sku", "sales": "qty", "price": "unit_price"}
    with pytest.raises(InputError, match=r"look like order lines, .* write orders: instead of sales_data:"):
        read(folder, {"sales_data": {"file": "till.csv", "columns": columns}})
    assert_sold(read(folder, {"orders": {"file": "till.csv", "columns": columns}}), truth(lines))


def test_a_workbook_of_numbers_and_dates_of_excel_is_read(tmp_path: Path) -> None:
    days = list(range(46027, 46027 + 40))
    rows: list[list[Any]] = [["date", "sku", "qty", "price"], *([day + 0.5, "A", 2, 3.25] for day in days)]
    write_xlsx(tmp_path / "orders.xlsx", rows)
    shop = read(tmp_path)
    assert shop.sales is not None
    assert shop.sales["date"].min() == pd.Timestamp("2026-01-05")
    assert (shop.sales["price"] == 3.25).all()
    assert any("Excel's numbers of days" in note for note in shop.notes)


def test_a_currency_in_the_cells_is_told_and_one_that_contradicts_is_refused(tmp_path: Path) -> None:
    dialect = Dialect(sign="€")
    folder = write(tmp_path, spelled(make_lines(), dialect), dialect)
    assert read(folder).mapping.currency == "EUR"
    with pytest.raises(InputError, match="its amounts are in EUR, the mapping says currency: USD"):
        read(folder, {"currency": "USD"})
    text = spelled(make_lines(), dialect)
    text.loc[7, "unit_price"] = "$3.50"
    with pytest.raises(InputError, match="its cells name several currencies"):
        read(write(tmp_path / "mixed", text, dialect))
