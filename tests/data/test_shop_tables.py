"""What becomes of every row of a shop's own tables: used, set apart with a reason, dropped, changed or added."""

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from flashsim.data.quarantine import Quarantine, QuarantinedCell
from flashsim.data.shop_folder import ShopMapping, read_mapping
from flashsim.data.shop_tables import CheckedTables
from flashsim.errors import InputError
from flashsim.shown import harmless
from tests.data.made_shop import make_sales, make_traffic, write_tables
from tests.data.made_shop import read_shop as read


def set_apart(folder: Path) -> list[tuple[int, str, str, str]]:
    with (folder / "out" / "quarantine.csv").open(encoding="utf-8", newline="") as file:
        return [(int(row["row"]), row["column"], row["value"], row["reason"]) for row in csv.DictReader(file)]


def account(shop: CheckedTables) -> dict[str, int]:
    return {f"{row['table']} {row['what']}": int(row["rows"]) for row in shop.account.rows()}


def as_text(table: pd.DataFrame, *changes: tuple[int, str, str]) -> pd.DataFrame:
    """The table as text, with cells (row of the spreadsheet, column, text) changed."""
    text = table.astype(str)
    for row, column, value in changes:
        text.loc[row - 2, column] = value
    return text


def test_a_clean_table_is_used_whole_and_leaves_no_quarantine(tmp_path: Path) -> None:
    shop = read(write_tables(tmp_path, sales_data=make_sales(40), traffic_data=make_traffic(2)))
    assert account(shop) == {
        "sales_data read": 120,
        "sales_data kept": 120,
        "traffic_data read": 288,
        "traffic_data kept": 288,
    }
    assert not (tmp_path / "out").exists()
    assert shop.sales is not None
    assert shop.traffic is not None
    assert shop.behavior is None
    assert shop.spans() == {"sales_data": ["2026-01-05", "2026-02-13"], "traffic_data": ["2026-01-05", "2026-01-06"]}


def test_each_broken_row_is_set_apart_with_row_column_value_and_reason(tmp_path: Path) -> None:
    changes = (
        (4, "price", "1,99,9"),
        (5, "sales", "-2"),
        (6, "date", "13/14/2026"),
        (7, "promotion", "maybe"),
        (8, "price", "=cmd()"),
        (9, "product_id", ""),
        (10, "sales", "2.5"),
        (11, "price", "0"),
        (12, "sales", ""),
        (13, "price", ""),
    )
    folder = write_tables(tmp_path, sales_data=as_text(make_sales(40), *changes))
    with (folder / "sales_data.csv").open("a", encoding="utf-8") as file:
        file.write("2026-01-05,p0\n\n")
    shop = read(folder, most=0.2)
    cells = {(row, column): (value, reason) for row, column, value, reason in set_apart(folder)}
    assert cells == {
        (4, "price"): ("1,99,9", "is not a number"),
        (5, "sales"): ("-2", "expected a number >= 0"),
        (6, "date"): ("13/14/2026", "is not a date that can be read: write 2026-11-11 or 2026-11-11 20:00:00"),
        (7, "promotion"): ("maybe", "expected 1 or 0, yes or no"),
        (8, "price"): ("'=cmd()", "is not a number"),
        (9, "product_id"): ("", "is empty"),
        (10, "sales"): ("2.5", "expected a whole number"),
        (11, "price"): ("0", "expected a number above 0"),
        (12, "sales"): ("", "is empty"),
        (13, "price"): ("", "is empty on a day with sales"),
        (122, "(whole row)"): ("2026-01-05,p0", "has 2 fields, the header has 6"),
    }
    assert account(shop) == {
        "sales_data read": 122,
        "sales_data dropped: an empty line": 1,
        "sales_data dropped: quarantined: breaks the schema": 11,
        "sales_data kept": 110,
    }


def test_a_text_that_a_spreadsheet_would_run_is_made_harmless_and_a_number_stays_one(
    tmp_path: Path,
) -> None:
    assert harmless("=1+1") == "'=1+1"
    assert harmless("@sum") == "'@sum"
    assert harmless("-2") == "-2"
    assert harmless("-2+cmd|'/C calc'!A0").startswith("'")
    Quarantine([QuarantinedCell("sales_data", "sales_data.csv", 2, "price", "x" * 9999, "long")]).write(
        tmp_path / "q.csv"
    )
    assert "x" * 200 + "," in (tmp_path / "q.csv").read_text()
    assert "x" * 201 not in (tmp_path / "q.csv").read_text()


def test_too_many_broken_rows_stop_the_run_with_one_sentence_and_leave_the_file(tmp_path: Path) -> None:
    sales = make_sales(40)
    folder = write_tables(tmp_path, sales_data=sales.assign(price=sales["price"].astype(str) + " each"))
    with pytest.raises(InputError, match=r"120 of 120 rows \(100.0%\) cannot be used, at most 5.0% may; most often "):
        read(folder)
    assert len(set_apart(folder)) == 120
    few = write_tables(tmp_path / "few", sales_data=as_text(sales, *((row, "price", "x") for row in range(2, 8))))
    assert len(read(few, most=0.05).quarantine.cells) == 6  # 5 % may, more may not
    with pytest.raises(InputError, match="mend the table"):
        read(few, most=0.049)


@pytest.mark.parametrize(("factor", "unit"), [(100.0, "70 times"), (0.01, "1/114 of")])
def test_prices_in_another_unit_are_set_apart_and_stop_the_run_when_many(
    tmp_path: Path, factor: float, unit: str
) -> None:
    sales = make_sales(60)
    one = sales.assign(price=sales["price"].where(sales.index != 5, sales["price"] * factor))
    read(write_tables(tmp_path, sales_data=one))
    ((row, column, _, reason),) = set_apart(tmp_path)
    assert (row, column) == (7, "price")
    assert "the usual price of p0" in reason
    late = sales["date"] >= "2026-02-20"
    folder = write_tables(
        tmp_path / "late", sales_data=sales.assign(price=sales["price"].where(~late, sales["price"] * factor))
    )
    with pytest.raises(InputError, match=f"is {unit} the usual price of p0, .: another unit, such as cents"):
        read(folder)
    cents = write_tables(tmp_path / "cents", sales_data=sales.assign(price=sales["price"] * 100.0))
    scaled = read(cents, {"sales_data": {"scale": {"price": 0.01}}})
    assert scaled.sales is not None
    assert np.allclose(np.sort(scaled.sales["price"]), np.sort(sales["price"]))


def test_quantities_that_stay_a_thousandfold_are_in_another_unit_and_one_great_day_is_not(tmp_path: Path) -> None:
    sales = make_sales(60)
    great = sales.assign(sales=sales["sales"].where(sales.index != 5, 9000))
    assert read(write_tables(tmp_path, sales_data=great)).quarantine.cells == []
    grams = (sales["product_id"] == "p1") & (sales["date"] >= "2026-02-20")
    folder = write_tables(
        tmp_path / "grams", sales_data=sales.assign(sales=sales["sales"].where(~grams, sales["sales"] * 1000))
    )
    with pytest.raises(InputError, match=r"sales of p1 are .* times as large from 2026-02-20 as otherwise"):
        read(folder)


def test_a_row_that_is_there_twice_counts_once_and_one_that_contradicts_is_set_apart(tmp_path: Path) -> None:
    sales = make_sales(40)
    shop = read(write_tables(tmp_path, sales_data=pd.concat([sales, sales.iloc[:3], sales.iloc[[9]].assign(sales=0)])))
    assert account(shop)["sales_data dropped: repeats another row in every column of the file"] == 3
    ((row, column, _, reason),) = set_apart(tmp_path)
    assert (row, column) == (125, "product_id")
    assert reason.startswith("repeats date and product_id of row 11 with other values: add them up")
    assert shop.sales is not None
    assert len(shop.sales) == 120


def test_days_without_a_row_are_added_where_no_row_tells_of_days_without_a_sale(tmp_path: Path) -> None:
    sales = make_sales(40).iloc[:80].assign(stock_out=0)
    sales = sales[sales["sales"] > 0]
    gone = sales.index.isin([10, 11, 55])
    shop = read(write_tables(tmp_path, sales_data=sales[~gone]))
    assert account(shop)["sales_data added: a day without a row, taken as no sale at the price before"] == 3
    assert shop.sales is not None
    new = shop.sales[shop.sales["sales"] == 0.0]
    assert new["date"].dt.strftime("%Y-%m-%d").tolist() == ["2026-01-15", "2026-01-16", "2026-01-20"]
    assert new["price"].tolist() == sales.loc[[9, 9, 54], "price"].tolist()
    assert not new["sold_out"].any()


def test_nothing_is_added_where_other_rows_tell_of_days_without_a_sale(tmp_path: Path) -> None:
    sales = make_sales(40).assign(stock_out=0)
    sales.loc[20, "sales"] = 0
    shop = read(write_tables(tmp_path, sales_data=sales.drop(index=[10, 11])))
    assert shop.sales is not None
    assert len(shop.sales) == 118
    assert any("2 days of a product" in note and "nothing is assumed" in note for note in shop.notes)


@pytest.mark.parametrize(
    ("column", "text"), [("price", "x"), ("date", "x"), ("product_id", ""), ("sales", "-1")], ids=str
)
def test_a_day_whose_row_was_set_apart_is_not_a_day_without_a_sale(tmp_path: Path, column: str, text: str) -> None:
    sales = make_sales(40).assign(sales=lambda table: table["sales"] + 1)
    shop = read(write_tables(tmp_path, sales_data=as_text(sales, (12, column, text))))
    assert account(shop)["sales_data kept"] == 119
    assert not shop.account.added


def test_a_shelf_that_was_empty_all_day_says_nothing_and_a_stock_that_was_sold_is_a_sell_out(tmp_path: Path) -> None:
    sales = make_sales(40).drop(columns="stock_out").assign(sales=5, stock=9)
    sales.loc[3, ["sales", "stock"]] = 0
    sales.loc[4, "stock"] = 5
    sales.loc[5, "stock"] = 4
    shop = read(write_tables(tmp_path, sales_data=sales))
    assert account(shop)["sales_data dropped: sold out all day: says nothing of demand"] == 1
    assert [reason for *_, reason in set_apart(tmp_path)] == ["is more than the stock of the row"]
    assert shop.sales is not None
    assert shop.sales["sold_out"].sum() == 1


def test_an_empty_flag_is_a_no_and_a_day_without_a_sale_needs_no_price(tmp_path: Path) -> None:
    sales = as_text(make_sales(40), (3, "promotion", ""), (4, "sales", "0"), (4, "price", ""), (4, "stock_out", "0"))
    shop = read(write_tables(tmp_path, sales_data=sales))
    lines = account(shop)
    assert lines["sales_data changed: empty promotion, taken as no"] == 1
    assert lines["sales_data changed: no price on a day without a sale, the last one taken"] == 1
    assert lines["sales_data kept"] == 120


def test_a_clock_of_traffic_that_is_set_back_loses_only_what_it_tells_twice(tmp_path: Path) -> None:
    traffic = make_traffic(10)
    again = pd.concat([traffic.iloc[:500], traffic.iloc[490:].assign(visits=traffic["visits"] + 1)])
    shop = read(write_tables(tmp_path, traffic_data=again))
    assert shop.traffic is not None
    assert len(shop.traffic) == len(traffic)
    assert shop.traffic["date"].is_monotonic_increasing
    assert {reason.split(" of row")[0] for *_, reason in set_apart(tmp_path)} == {"repeats date"}
    shuffled = read(
        write_tables(tmp_path / "shuffled", traffic_data=pd.concat([traffic.iloc[500:], traffic.iloc[:500]]))
    )
    assert account(shuffled)["traffic_data changed: the clock runs backwards before this row, sorted"] == 1


def test_a_gap_is_told_and_not_filled(tmp_path: Path) -> None:
    traffic = make_traffic(10)
    shop = read(write_tables(tmp_path, traffic_data=traffic.drop(index=range(300, 420))))
    assert any("120 ticks of 10 minutes are missing in 1 gaps, the longest 20.2 hours" in note for note in shop.notes)
    assert shop.traffic is not None
    assert len(shop.traffic) == len(traffic) - 120


def test_in_autumn_an_hour_of_traffic_may_come_twice_and_in_spring_one_never_was(tmp_path: Path) -> None:
    hours = pd.date_range("2026-10-20", "2026-10-30", freq="h", tz="Europe/Berlin").tz_localize(None)
    autumn = pd.DataFrame({"date": hours.strftime("%Y-%m-%d %H:%M"), "visits": np.arange(len(hours))})
    shop = read(write_tables(tmp_path, traffic_data=autumn), {"time_zone": "Europe/Berlin"})
    assert shop.traffic is not None
    assert len(shop.traffic) == 242
    hours = pd.date_range("2026-03-25", "2026-04-02", freq="h")
    spring = pd.DataFrame({"date": hours.strftime("%Y-%m-%d %H:%M"), "visits": 1})
    read(write_tables(tmp_path / "spring", traffic_data=spring), {"time_zone": "Europe/Berlin"})
    assert [(value, reason) for _, _, value, reason in set_apart(tmp_path / "spring")] == [
        ("2026-03-29 02:00", "does not exist in Europe/Berlin: clocks went forward there")
    ]


def test_an_event_that_was_sent_twice_counts_once(tmp_path: Path) -> None:
    events = pd.DataFrame(
        {
            "user_id": "u",
            "timestamp": [1767600000, 1767600000, 1767600001],
            "item_id": "p",
            "behavior": ["pv", "pv", "buy"],
        }
    )
    shop = read(write_tables(tmp_path, user_behavior=events), {"user_behavior": {"values": {"pv": "view"}}})
    assert account(shop)["user_behavior dropped: repeats another row in every column of the file"] == 1
    assert shop.behavior is not None
    assert shop.behavior["behavior"].tolist() == ["view", "buy"]


def test_tickets_are_checked_and_counted(tmp_path: Path) -> None:
    tickets = pd.DataFrame({"text": ["where is\nit?", "where is\nit?", ""], "intent": ["track", "track", "refund"]})
    shop = read(write_tables(tmp_path, support_tickets=tickets), most=0.5)
    assert account(shop)["support_tickets kept"] == 2
    assert any("nothing is learned from them yet" in note for note in shop.notes)


def test_parquet_and_csv_are_read_alike(tmp_path: Path) -> None:
    sales = make_sales(40)
    csv = read(write_tables(tmp_path / "csv", sales_data=sales))
    (tmp_path / "parquet").mkdir()
    typed = sales.assign(date=pd.to_datetime(sales["date"]), promotion=sales["promotion"].astype(bool))
    typed.to_parquet(tmp_path / "parquet" / "sales_data.parquet", index=False)
    parquet = read(tmp_path / "parquet")
    assert csv.sales is not None
    assert parquet.sales is not None
    pd.testing.assert_frame_equal(csv.sales, parquet.sales)


def test_a_mapping_says_how_a_shop_spells_its_tables(tmp_path: Path) -> None:
    theirs = make_sales(40).rename(columns={"product_id": "sku", "sales": "qty"}).assign(note="x")
    folder = write_tables(tmp_path, till=theirs)
    shop = read(folder, {"sales_data": {"file": "till.csv", "columns": {"product_id": "sku", "sales": "qty"}}})
    assert shop.sales is not None
    assert len(shop.sales) == 120
    assert shop.notes == ["till.csv: nothing reads the column(s) note."]


@pytest.mark.parametrize(
    ("mapping", "words"),
    [
        ({"sales_dat": {}}, "there is no key 'sales_dat'; did you mean 'sales_data'?"),
        ({"sales_data": {"colums": {}}}, "did you mean 'columns'?"),
        ({"sales_data": {"columns": {"prize": "p"}}}, "did you mean 'price'?"),
        ({"sales_data": {"columns": {"price": 3}}}, "expected a text, got 3"),
        ({"sales_data": {"scale": {"price": -1}}}, "expected a number above 0, got -1"),
        ({"sales_data": {"columns": {"price": "asked"}}}, "column 'asked' is missing, the table has ['date',"),
        ({"sales_data": {"file": "none.csv"}}, "which the mapping names for sales_data, does not exist"),
        ({"sales_data": "till.csv"}, "expected keys and values, got text"),
        ({"traffic_data": {"servers": 0}}, "expected a whole number from 1 on, got 0"),
        ({"time_zone": "Mars/Base"}, "unknown time zone 'Mars/Base'"),
        ([1], "expected keys and values, got a list"),
    ],
    ids=str,
)
def test_a_mapping_that_cannot_be_used_is_refused_in_one_sentence(tmp_path: Path, mapping: Any, words: str) -> None:
    folder = write_tables(tmp_path, sales_data=make_sales(4))
    with pytest.raises(InputError) as refused:
        read(folder, mapping)
    assert words in str(refused.value)


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("Sales.csv", b"a,b\n", "holds none of orders.csv, sales_data.csv"),
        ("sales_data.csv", b"", "is empty; it needs a header and rows"),
        ("sales_data.csv", b"date,product_id,sales,price\n", "has a header and no row"),
        ("sales_data.csv", b"date;product_id;sales;price\n", "has a header and no row"),
        (
            "sales_data.csv",
            "date,product_id,sales,price\n\u725b\u5976,1,1,1\n".encode("gbk"),
            "'\u725b\u5976' in row 2",
        ),
        ("sales_data.csv", b"date,date,sales,price\n", "the header names 'date' twice"),
        ("sales_data.csv", b"date,sku,sales,price\n1,1,1,1\n", "column 'product_id' is missing"),
        ("sales_data.parquet", b"hello", "is not a Parquet file"),
        ("traffic_data.csv", b"date,visits\n2026-01-01,5\n2026-01-02,5\n", "rows are 1440 minutes apart"),
        ("traffic_data.csv", b"date,visits,response_time_s\n2026-01-01 00:00,5,350\n", "which looks like milliseconds"),
        ("sales_data.csv", b"date,product_id,sales,price\nx,y,z,1\n", "1 of 1 rows (100.0%) cannot be used"),
        ("sales_data.csv", b"date,product_id,sales,price,stock_out\n2026-01-01,y,0,1,1\n", "every row was sold out"),
    ],
)
def test_a_file_that_cannot_be_used_is_refused_in_one_sentence(
    tmp_path: Path, name: str, content: bytes, words: str
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError) as refused:
        read(tmp_path)
    assert words in str(refused.value)


def test_a_folder_that_is_not_there_and_a_share_that_is_none_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="does not exist; check the path"):
        read(tmp_path / "nowhere")
    with pytest.raises(InputError, match="most_quarantined must be a share from 0 to 1, got 5"):
        read(tmp_path, most=5)


def test_a_mapping_of_nothing_is_the_plain_one() -> None:
    assert read_mapping(None, source="empty.yaml") == ShopMapping()
