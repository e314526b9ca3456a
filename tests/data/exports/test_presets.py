"""Exports of shop systems, laid out as those systems write them, and the table of past flash sales."""

from pathlib import Path

import pandas as pd
import pytest

from flashsim.errors import InputError
from tests.data.exports.made_orders import Dialect, make_lines, truth, write
from tests.data.exports.made_systems import shopify, taobao, woocommerce
from tests.data.made_shop import read_shop as read

MAKERS = {
    "shopify": (shopify, Dialect(), "orders_export_1", "Europe/Berlin", "EUR"),
    "woocommerce": (woocommerce, Dialect(encoding="utf-8-sig"), "wc-orders-2026", "Europe/Berlin", "EUR"),
    "taobao": (taobao, Dialect(encoding="gbk"), "ExportOrderList", None, "CNY"),
    "tmall": (taobao, Dialect(suffix=".xlsx"), "订单", None, "CNY"),
}


@pytest.mark.parametrize("preset", MAKERS)
def test_the_export_of_a_shop_system_is_read_by_its_preset_whatever_its_name(tmp_path: Path, preset: str) -> None:
    make, dialect, name, zone, currency = MAKERS[preset]
    lines = make_lines()
    folder = write(tmp_path, make(lines), dialect, name=name)
    mapping = {"orders": {"preset": preset}} | ({} if zone is None else {"time_zone": zone})
    shop = read(folder, mapping)
    assert shop.sales is not None
    found = shop.sales[shop.sales["sales"] > 0.0].set_index(["product_id", "date"])[["sales", "price"]].sort_index()
    expected = truth(lines)
    assert found.index.tolist() == expected.index.tolist()
    assert found.to_numpy() == pytest.approx(expected.to_numpy(), rel=1e-3)  # cents of totals
    assert shop.mapping.currency == currency
    assert shop.mapping.time_zone == (zone or "Asia/Shanghai")
    assert shop.purchases is not None
    assert shop.purchases["user_id"].nunique() == lines["customer"].nunique()
    assert shop.purchases["timestamp"].dt.hour.tolist() == lines["created_at"].dt.hour.tolist()


def test_a_refund_of_shopify_stands_on_the_first_line_of_its_order(tmp_path: Path) -> None:
    lines = make_lines()
    orders = [order for order, count in lines["order_id"].value_counts().items() if count == 3]
    text = shopify(lines)
    whole = lines["order_id"] == orders[0]
    total = float((lines["qty"] * lines["unit_price"])[whole].sum()) + 4.9
    text.loc[whole.idxmax(), "Refunded Amount"] = f"{total:.2f}"
    part = lines.index[lines["order_id"] == orders[1]]
    line = part[-1]
    text.loc[part[0], "Refunded Amount"] = f"{lines.loc[line, 'unit_price'] * lines.loc[line, 'qty']:.2f}"
    expected = truth(lines[~whole & (lines.index != line)])
    shop = read(write(tmp_path, text, Dialect(), name="orders_export"), {"orders": {"preset": "shopify"}})
    assert shop.sales is not None
    assert shop.sales["sales"].sum() == expected["sales"].sum()


def test_a_refund_of_an_order_that_stands_on_each_of_its_lines_counts_once(tmp_path: Path) -> None:
    lines = make_lines()
    lines["amount"] = lines["qty"] * lines["unit_price"]
    of_order = lines.groupby("order_id")["amount"]
    refunded = lines["order_id"].isin(lines["order_id"].unique()[::4])
    is_first = ~lines["order_id"].duplicated()
    text = woocommerce(lines)
    text["Order Refund Amount"] = of_order.transform("first").round(2).where(refunded, 0.0).map("{:.2f}".format)
    shop = read(write(tmp_path, text, Dialect()), {"orders": {"preset": "woocommerce"}, "time_zone": "Europe/Berlin"})
    assert shop.sales is not None
    back = float(lines.loc[refunded & is_first, "amount"].sum())
    earned = float((shop.sales["sales"] * shop.sales["price"]).sum())
    assert earned == pytest.approx(float(lines["amount"].sum()) - back, rel=1e-4)
    assert any("'Order Refund Amount' holds amounts of whole orders" in note for note in shop.notes)


def test_a_refund_of_each_line_is_taken_off_each_line(tmp_path: Path) -> None:
    lines = make_lines()
    amount = (lines["qty"] * lines["unit_price"]).round(2)
    refunded = lines["order_id"].isin(lines["order_id"].unique()[::4])
    text = woocommerce(lines).assign(**{"Item Refund Amount": amount.where(refunded, 0.0).map("{:.2f}".format)})
    shop = read(write(tmp_path, text, Dialect()), {"orders": {"preset": "woocommerce"}, "time_zone": "Europe/Berlin"})
    assert shop.sales is not None
    assert shop.sales["sales"].sum() == lines.loc[~refunded, "qty"].sum()


@pytest.mark.parametrize("without", [["MOCHA"], ["LATTE", "MOCHA", "BEANS"]])
def test_a_product_without_a_code_is_known_by_its_name(tmp_path: Path, without: list[str]) -> None:
    lines = make_lines()
    text = shopify(lines)
    text.loc[lines["sku"].isin(without), "Lineitem sku"] = ""
    folder = write(tmp_path, text, Dialect(), name="orders_export")
    shop = read(folder, {"orders": {"preset": "shopify"}, "time_zone": "Europe/Berlin"})
    assert shop.sales is not None
    found = shop.sales.groupby("product_id")["sales"].sum().to_dict()
    known = lines["name"].where(lines["sku"].isin(without), lines["sku"])
    assert found == lines.groupby(known)["qty"].sum().to_dict()
    assert any("a product without 'Lineitem sku' is known by 'Lineitem name'" in note for note in shop.notes)


def test_an_export_without_its_preset_is_refused_with_the_preset(tmp_path: Path) -> None:
    write(tmp_path, shopify(make_lines()), Dialect())
    with pytest.raises(InputError, match=r"it looks like an export of shopify: choose data.preset=shopify"):
        read(tmp_path)
    with pytest.raises(InputError, match="there is no preset 'shoppify'; did you mean 'shopify'"):
        read(tmp_path, {"orders": {"preset": "shoppify"}})
    write(tmp_path, shopify(make_lines()), Dialect(), name="more")
    write(tmp_path, shopify(make_lines()), Dialect(), name="most")
    (tmp_path / "orders.csv").unlink()
    with pytest.raises(InputError, match=r"of which file are the orders\? It holds \['more.csv', 'most.csv'\]"):
        read(tmp_path, {"orders": {"preset": "shopify"}})


def test_a_mapping_that_names_a_missing_column_is_refused_with_the_nearest(tmp_path: Path) -> None:
    write(tmp_path, shopify(make_lines()), Dialect())
    with pytest.raises(
        InputError, match=r"names the column 'Lineitem prize' for price, .* did you mean 'Lineitem price'"
    ):
        read(tmp_path, {"orders": {"preset": "shopify", "columns": {"price": "Lineitem prize"}}})


EVENTS = "product_id,opening,units_offered,units_sold,price,list_price,sell_out\n"


def test_past_flash_sales_are_read_and_told(tmp_path: Path) -> None:
    rows = "A,11/11/2025 20:00,100,100,7.5,10,11/11/2025 20:07\nB,13/11/2025 20:00,80,20,9,12,\n"
    (tmp_path / "events.csv").write_text(EVENTS + rows, encoding="utf-8")
    shop = read(tmp_path)
    assert shop.events is not None
    assert shop.events["opening"].tolist() == [pd.Timestamp("2025-11-11 20:00"), pd.Timestamp("2025-11-13 20:00")]
    assert shop.events["sell_out"].notna().tolist() == [True, False]
    assert any("2 products of 2 past flash sales were checked, 1 of them sold out" in note for note in shop.notes)


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ("A,2025-11-11 20:00,100,120,7.5,10,", "is more than the units offered"),
        ("A,2025-11-11 20:00,100,100,7.5,10,2025-11-11 19:00", "is before the opening"),
        ("A,2025-11-11 20:00,100,60,7.5,10,2025-11-11 20:30", "is told of a sale that did not sell out"),
        ("A,2025-11-11 20:00,0,0,7.5,10,", "expected a number above 0"),
    ],
)
def test_a_past_flash_sale_that_contradicts_itself_is_set_apart(tmp_path: Path, row: str, words: str) -> None:
    (tmp_path / "events.csv").write_text(EVENTS + row + "\n", encoding="utf-8")
    with pytest.raises(InputError, match=words):
        read(tmp_path)
