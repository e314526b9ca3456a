"""What an order line is in the end: sold, come back, a gift, no product, a repeat; and whose it is."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from flashsim.data.shop_tables import CheckedTables
from flashsim.errors import InputError
from tests.data.exports.made_orders import Dialect, make_lines, spelled, truth, write
from tests.data.made_shop import read_shop as read

HEADER = "order_id,date,sku,qty,price"
DAYS = [f"2026-01-{day:02d}" for day in range(5, 29)]
PLAIN = [f"o{day},{day} 10:00,A,2,10.00" for day in DAYS]  # two units a day at 10


def shop_of(folder: Path, header: str, rows: list[str], mapping: Any = None) -> CheckedTables:
    folder.mkdir(exist_ok=True, parents=True)
    (folder / "orders.csv").write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
    return read(folder, mapping)


def units(shop: CheckedTables, product: str = "A") -> dict[str, float]:
    assert shop.sales is not None
    rows = shop.sales[(shop.sales["product_id"] == product) & (shop.sales["sales"] > 0.0)]
    return dict(zip(rows["date"].dt.strftime("%Y-%m-%d"), rows["sales"], strict=True))


def price(shop: CheckedTables, day: str, product: str = "A") -> float:
    assert shop.sales is not None
    rows = shop.sales[(shop.sales["product_id"] == product) & (shop.sales["date"] == day)]
    return float(rows["price"].iloc[0])


def account(shop: CheckedTables) -> dict[str, int]:
    return {f"{row['table']} {row['what']}": int(row["rows"]) for row in shop.account.rows()}


REFUNDS = {
    "a negative quantity, with its order": ([f"o{DAYS[3]},2026-01-20 09:00,A,-1,10.00"], {DAYS[3]: 1.0}),
    "a whole order back": ([f"o{DAYS[3]},2026-01-20 09:00,A,-2,10.00"], {DAYS[3]: 0.0}),
    "more back than was sold": ([f"o{DAYS[3]},2026-01-20 09:00,A,-9,10.00"], {DAYS[3]: 0.0}),
    "a negative price without a quantity": ([f"o{DAYS[3]},2026-01-20 09:00,A,,-10.00"], {DAYS[3]: 1.0}),
    "a negative price of all without a quantity": ([f"o{DAYS[3]},2026-01-20 09:00,A,0,-20.00"], {DAYS[3]: 0.0}),
    "without its order": (["c77,2026-01-20 09:00,A,-3,10.00"], {"2026-01-20": 0.0, "2026-01-19": 1.0}),
}


@pytest.mark.parametrize("name", REFUNDS)
def test_a_refund_by_its_sign_takes_units_off_the_sale(tmp_path: Path, name: str) -> None:
    rows, changes = REFUNDS[name]
    shop = shop_of(tmp_path, HEADER, [*PLAIN, *rows])
    expected = {day: units for day, units in (dict.fromkeys(DAYS, 2.0) | changes).items() if units}
    assert units(shop) == expected
    assert all(price(shop, day) == 10.0 for day in expected)
    assert account(shop)["orders dropped: a refund, taken off what was sold"] == 1
    assert any("refunds took off" in note for note in shop.notes)


@pytest.mark.parametrize(
    ("amount", "left", "at"),
    [("20", 0.0, 10.0), ("10", 1.0, 10.0), ("23.50", 0.0, 10.0), ("4", 2.0, 8.0), ("0", 2.0, 10.0), ("", 2.0, 10.0)],
)
def test_a_refunded_amount_takes_off_whole_units_or_lowers_what_was_earned(
    tmp_path: Path, amount: str, left: float, at: float
) -> None:
    rows = [f"{row},{amount if DAYS[3] in row else ''}" for row in PLAIN]
    shop = shop_of(tmp_path, f"{HEADER},refunded amount", rows)
    assert units(shop).get(DAYS[3], 0.0) == left
    assert price(shop, DAYS[3]) == pytest.approx(at)
    assert sum(units(shop).values()) == 2.0 * (len(DAYS) - 1) + left


def test_a_refunded_amount_on_the_first_line_of_an_order_takes_off_the_line_that_it_pays_for(tmp_path: Path) -> None:
    rows = [f"{row}," for row in PLAIN]
    rows += [f"o{DAYS[3]},{DAYS[3]} 10:00,B,1,33.00,", f"o{DAYS[3]},{DAYS[3]} 10:00,C,3,7.00,"]
    rows[3] = rows[3] + "33.00"
    shop = shop_of(tmp_path, f"{HEADER},refunded amount", rows)
    assert units(shop, "B") == {}
    assert units(shop, "C") == {DAYS[3]: 3.0}
    assert units(shop)[DAYS[3]] == 2.0


def test_a_column_of_refunded_quantities_takes_units_off_its_line(tmp_path: Path) -> None:
    rows = [f"{row},{1 if DAYS[3] in row else 0}" for row in PLAIN]
    shop = shop_of(tmp_path, f"{HEADER},refunded quantity", rows)
    assert units(shop) == dict.fromkeys(DAYS, 2.0) | {DAYS[3]: 1.0}


@pytest.mark.parametrize(
    "word", ["cancelled", "Canceled", "wc-cancelled", "voided", "交易关闭", "refunded", "退款成功", "Storniert"]
)
def test_a_status_that_undoes_an_order_leaves_it_out(tmp_path: Path, word: str) -> None:
    rows = [f"{row},{word if DAYS[3] in row else 'paid'}" for row in PLAIN]
    shop = shop_of(tmp_path, f"{HEADER},status", rows)
    assert DAYS[3] not in units(shop)
    assert len(units(shop)) == len(DAYS) - 1


def test_a_status_on_the_first_line_of_an_order_holds_for_all_its_lines(tmp_path: Path) -> None:
    rows = [f"{row},paid" for row in PLAIN]
    rows[3] = rows[3].replace("paid", "voided")
    rows += [f"o{DAYS[3]},{DAYS[3]} 10:00,B,1,5.00,", f"o{DAYS[4]},{DAYS[4]} 10:00,B,1,5.00,"]
    shop = shop_of(tmp_path, f"{HEADER},status", rows)
    assert DAYS[3] not in units(shop)
    assert units(shop, "B") == {DAYS[4]: 1.0}


def test_one_cancelled_line_of_an_order_leaves_the_others(tmp_path: Path) -> None:
    rows = [f"{row},paid" for row in PLAIN] + [f"o{DAYS[3]},{DAYS[3]} 10:00,A,1,10.00,cancelled"]
    shop = shop_of(tmp_path, f"{HEADER},status", rows)
    assert units(shop) == dict.fromkeys(DAYS, 2.0)
    assert account(shop)["orders dropped: cancelled"] == 1


@pytest.mark.parametrize("word", ["cancelled", "refunded"])
def test_a_later_row_that_undoes_a_sale_takes_it_off(tmp_path: Path, word: str) -> None:
    rows = [f"{row},paid" for row in PLAIN] + [f"o{DAYS[3]},{DAYS[6]} 10:00,A,2,10.00,{word}"]
    shop = shop_of(tmp_path, f"{HEADER},status", rows)
    assert DAYS[3] not in units(shop)
    assert units(shop)[DAYS[6]] == 2.0


def test_shipping_taxes_tests_edits_and_gifts_are_known_and_kept_apart(tmp_path: Path) -> None:
    day = DAYS[3]
    rows = [
        *(
            f"o{day},{day} 10:00,{name},1,4.90"
            for name in ("Shipping", "VAT", "运费", "Versandkosten", "tip", "Gift Card")
        ),
        f"TEST-1,{day} 11:00,A,5,10.00",
        f"o{day},{day} 10:00,B,0,5.00",
        f"o{day},{day} 10:00,A,1,0.00",
        f"o{day},{day} 10:00,Test strips,1,8.00",
    ]
    shop = shop_of(tmp_path, HEADER, [*PLAIN, *rows])
    assert units(shop) == dict.fromkeys(DAYS, 2.0)
    assert units(shop, "Test strips") == {day: 1.0}
    lines = account(shop)
    assert lines["orders dropped: no product: shipping, tax, fee, coupon or gift card"] == 6
    assert lines["orders dropped: a test order"] == 1
    assert lines["orders dropped: quantity 0, taken out when the order was edited"] == 1
    assert lines["orders dropped: a gift: its price is 0"] == 1


def test_only_a_row_that_equals_another_in_every_column_is_a_repeat(tmp_path: Path) -> None:
    rows = [f"{row},n{number}" for number, row in enumerate(PLAIN)]
    again = [rows[0], rows[0], rows[5], rows[6].replace(",n6", ",other")]
    shop = shop_of(tmp_path, f"{HEADER},note", [*rows, *again])
    assert units(shop) == dict.fromkeys(DAYS, 2.0) | {DAYS[6]: 4.0}
    assert account(shop)["orders dropped: repeats another row in every column of the file"] == 3
    kept = shop_of(tmp_path / "kept", f"{HEADER},note", [*rows, *again], {"orders": {"repeats": "keep"}})
    assert sum(units(kept).values()) == 2.0 * len(rows) + 8.0


def test_lines_that_nothing_tells_apart_are_kept_and_told(tmp_path: Path) -> None:
    shop = shop_of(tmp_path, "date,sku,price", [f"{day},A,3.00" for day in DAYS for _ in range(3)])
    assert units(shop) == dict.fromkeys(DAYS, 3.0)
    assert any("equal another in every column were kept" in note for note in shop.notes)
    assert shop.purchases is None  # no stamp has a time of day


def test_several_stores_are_asked_for_then_chosen_or_added_up(tmp_path: Path) -> None:
    rows = [f"{row},{store}" for row in PLAIN for store in ("North", "South")]
    rows = [f"{store}{row}" for row, store in zip(rows, "ns" * len(PLAIN), strict=True)]
    header = f"{HEADER},store"
    with pytest.raises(InputError, match=r"orders of 2 stores \(North, South\); say in the mapping .*{stores: all}"):
        shop_of(tmp_path, header, rows)
    assert sum(units(read(tmp_path, {"orders": {"stores": "North"}})).values()) == 2.0 * len(DAYS)
    assert sum(units(read(tmp_path, {"orders": {"stores": "all"}})).values()) == 4.0 * len(DAYS)
    with pytest.raises(InputError, match=r"orders.stores names 'West', the file has North, South"):
        read(tmp_path, {"orders": {"stores": ["West"]}})


def test_several_currencies_are_asked_for_then_chosen_or_converted(tmp_path: Path) -> None:
    rows = [f"{row},EUR" for row in PLAIN] + [f"u{row},USD" for row in PLAIN[-4:]]
    header = f"{HEADER},currency"
    with pytest.raises(InputError, match=r"amounts in 2 currencies \(EUR, USD\); say in the mapping which to take"):
        shop_of(tmp_path, header, rows)
    euros = read(tmp_path, {"orders": {"currencies": "EUR"}})
    assert euros.mapping.currency == "EUR"
    assert units(euros) == dict.fromkeys(DAYS, 2.0)
    both = read(tmp_path, {"orders": {"rates": {"USD": 0.5}}})
    assert both.mapping.currency == "EUR"
    assert units(both)[DAYS[-1]] == 4.0
    assert price(both, DAYS[-1]) == 7.5
    with pytest.raises(InputError, match="its amounts are in EUR, the mapping says currency: USD"):
        read(tmp_path, {"currency": "USD", "orders": {"currencies": "EUR"}})


def test_prices_are_what_lines_earned_over_their_units(tmp_path: Path) -> None:
    rows = [f"o{day},{day} 10:00,A,4,40.00,10.00,12.00" for day in DAYS]
    mapping = {"orders": {"columns": {"total": "line_total", "discount": "off"}}}
    shop = shop_of(tmp_path, "order_id,date,sku,qty,line_total,off,list price", rows, mapping)
    assert price(shop, DAYS[0]) == 10.0  # a total is what was paid
    assert shop.sales is not None
    assert (shop.sales["list_price"] == 12.0).all()
    unit = shop_of(tmp_path / "unit", f"{HEADER},discount", [f"{row},5.00" for row in PLAIN])
    assert price(unit, DAYS[0]) == 7.5


def test_customers_are_numbers_in_the_order_of_their_first_purchase(tmp_path: Path) -> None:
    lines = make_lines()
    shop = read(write(tmp_path, spelled(lines, Dialect()), Dialect()))
    assert shop.purchases is not None
    first = lines["customer"].map({name: number for number, name in enumerate(lines["customer"].unique())})
    assert shop.purchases["user_id"].tolist() == first.astype(str).tolist()
    assert shop.purchases["timestamp"].dt.hour.tolist() == lines["created_at"].dt.hour.tolist()
    assert not shop.purchases.astype(str).stack().str.contains("person").any()


def test_a_day_without_any_order_is_a_day_without_a_sale_unless_the_shop_was_closed(tmp_path: Path) -> None:
    days = pd.date_range("2026-01-05", periods=70)
    quiet = {days[3], days[17]}
    closed = set(days[40:52])
    rows = [
        f"o{number}{day:%m%d},{day:%Y-%m-%d} 10:0{number},A,1,10.00"
        for day in days
        if day not in quiet | closed and day.day_of_week != 6
        for number in range(6)
    ]
    shop = shop_of(tmp_path, HEADER, rows)
    assert shop.sales is not None
    nothing = shop.sales.loc[shop.sales["sales"] == 0.0, "date"].tolist()
    assert nothing == sorted(quiet)
    assert any("nothing was ever sold on Sunday" in note for note in shop.notes)
    assert any("the shop was closed or the export lacks them" in note for note in shop.notes)


def test_lines_without_an_order_number_are_orders_of_their_own(tmp_path: Path) -> None:
    rows = [row.replace(f"o{day}", "") for row, day in zip(PLAIN, DAYS, strict=True)]
    shop = shop_of(tmp_path, f"{HEADER},refunded amount", [f"{row},{20 if DAYS[3] in row else ''}" for row in rows])
    assert units(shop) == {day: 2.0 for day in DAYS if day != DAYS[3]}


def test_files_of_one_export_are_read_together_and_their_overlap_counts_once(tmp_path: Path) -> None:
    lines = make_lines()
    text = spelled(lines, Dialect())
    write(tmp_path, text.iloc[:200], Dialect(), name="orders_1")
    write(tmp_path, text.iloc[150:], Dialect(), name="orders_2")
    shop = read(tmp_path, {"orders": {"file": "orders_*.csv"}})
    assert account(shop)["orders dropped: repeats another row in every column of the file"] == 50
    assert shop.sales is not None
    assert shop.sales["sales"].sum() == truth(lines)["sales"].sum()
    write(tmp_path, text.drop(columns="customer"), Dialect(), name="orders_3")
    with pytest.raises(InputError, match="has other columns than"):
        read(tmp_path, {"orders": {"file": "orders_*.csv"}})


def test_lines_that_cannot_be_read_are_set_apart_with_row_column_value_and_reason(tmp_path: Path) -> None:
    rows = [*PLAIN, *PLAIN[:12]]
    rows = [f"x{number}{row}" for number, row in enumerate(rows)]
    rows[1] = rows[1].replace("10.00", "ten")
    rows[2] = rows[2].replace("2026-01-07", "someday")
    rows[3] = rows[3].replace(",A,", ",,")
    rows[4] = "a,b"
    (tmp_path / "orders.csv").write_text("\n".join([HEADER, *rows]) + "\n", encoding="utf-8")
    with pytest.raises(
        InputError, match=r"4 of 36 lines \(11.1%\) cannot be used, at most 5.0% may; for instance column"
    ):
        read(tmp_path)
    shop = read(tmp_path, most=0.2)
    cells = {(cell.row, cell.column, cell.value) for cell in shop.quarantine.cells}
    assert cells == {(3, "price", "ten"), (4, "date", "someday 10:00"), (5, "sku", ""), (6, "(whole row)", "a,b")}
    assert account(shop)["orders kept"] == 32


def test_the_same_file_gives_the_same_tables_to_the_last_bit(tmp_path: Path) -> None:
    folder = write(tmp_path, spelled(make_lines(200, orders_a_day=12), Dialect()), Dialect())
    one, again = read(folder), read(folder)
    assert one.sales is not None
    assert again.sales is not None
    assert one.purchases is not None
    assert again.purchases is not None
    pd.testing.assert_frame_equal(one.sales, again.sales, check_exact=True)
    pd.testing.assert_frame_equal(one.purchases, again.purchases)
    assert np.isfinite(one.sales["price"]).all()
