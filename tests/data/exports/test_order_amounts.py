"""Discounts, totals and refunds of whole orders, as exports write them on lines: each counts once, and is told."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from flashsim.data.shop_tables import CheckedTables
from flashsim.errors import InputError
from tests.data.exports.made_orders import Dialect, make_lines, write
from tests.data.exports.made_systems import first_of_order, shopify, taobao, woocommerce
from tests.data.made_shop import read_shop as read

LINES = make_lines()
GROSS = (LINES["qty"] * LINES["unit_price"]).to_numpy()
OF_ORDER = pd.Series(GROSS).groupby(LINES["order_id"]).transform("sum").to_numpy()


def cents(values: Any) -> pd.Series:
    return pd.Series(values, index=LINES.index).map("{:.2f}".format)


def read_as(tmp_path: Path, text: pd.DataFrame, preset: str | None, **orders: Any) -> CheckedTables:
    mapping = {"orders": orders | ({} if preset is None else {"preset": preset}), "time_zone": "Europe/Berlin"}
    return read(write(tmp_path, text.astype(str), Dialect()), mapping)


def plain(**columns: Any) -> pd.DataFrame:
    """An export without a preset: price and quantity of each line, and more columns."""
    names = {"order_id": LINES["order_id"], "date": LINES["created_at"], "sku": LINES["sku"], "qty": LINES["qty"]}
    return pd.DataFrame({**names, "price": LINES["unit_price"], **columns})


def assert_paid(shop: CheckedTables, paid: Any) -> None:
    """Units are those of the lines, and each product earned what its lines are said to have paid."""
    assert shop.sales is not None
    assert shop.sales["sales"].sum() == LINES["qty"].sum()
    earned = (shop.sales["sales"] * shop.sales["price"]).groupby(shop.sales["product_id"]).sum()
    expected = pd.Series(paid).groupby(LINES["sku"].to_numpy()).sum()
    np.testing.assert_allclose(earned[expected.index], expected, rtol=2e-3)


@pytest.mark.parametrize("subtotals", [False, True])
@pytest.mark.parametrize("where", ["first", "each"])
def test_the_discount_codes_of_shopify_come_off_the_lines_of_their_order(
    tmp_path: Path, subtotals: bool, where: str
) -> None:
    text, off = shopify(LINES), cents(0.2 * OF_ORDER)
    text["Discount Amount"] = first_of_order(LINES, off) if where == "first" else off
    if subtotals:
        text["Subtotal"] = first_of_order(LINES, cents(0.8 * OF_ORDER))
        text["Total"] = first_of_order(LINES, cents(0.8 * OF_ORDER + 4.9))
    else:
        text = text.drop(columns="Total")
    shop = read_as(tmp_path, text, "shopify")
    assert_paid(shop, 0.8 * GROSS)
    assert any("discounts of whole orders ('Discount Amount') took" in note for note in shop.notes)


def test_a_code_for_shipping_lowers_no_price(tmp_path: Path) -> None:
    text = shopify(LINES)
    text["Discount Amount"] = first_of_order(LINES, "4.90")
    text["Subtotal"] = first_of_order(LINES, cents(OF_ORDER))
    text["Total"] = first_of_order(LINES, cents(OF_ORDER))
    shop = read_as(tmp_path, text, "shopify")
    assert_paid(shop, GROSS)
    assert any("did not lower the subtotals of orders, so it was for shipping" in note for note in shop.notes)


def test_discounts_of_lines_within_those_of_orders_are_told_by_the_subtotal_else_asked_for(tmp_path: Path) -> None:
    text, of_line = shopify(LINES), 0.1 * GROSS
    whole = 0.1 * OF_ORDER + 1.0  # the lines' and a unit of currency off the order
    text["Lineitem discount"], text["Discount Amount"] = cents(of_line), first_of_order(LINES, cents(whole))
    text = text.drop(columns="Total")
    with pytest.raises(InputError, match=r"may hold the second, or come on top of it; .*{discounts: whole}"):
        read_as(tmp_path / "asked", text, "shopify")
    left = (GROSS - of_line) * (1.0 - 1.0 / (0.9 * OF_ORDER))
    assert_paid(read_as(tmp_path / "stated", text, "shopify", discounts="whole"), left)
    text["Subtotal"] = first_of_order(LINES, cents(OF_ORDER - whole))
    assert_paid(read_as(tmp_path / "told", text, "shopify"), left)


@pytest.mark.parametrize("where", ["each", "first", "first, others 0"])
def test_a_discount_of_the_order_in_a_column_of_discounts_counts_once(tmp_path: Path, where: str) -> None:
    off = cents(0.25 * OF_ORDER)
    first = first_of_order(LINES, off)
    written = {"each": off, "first": first, "first, others 0": first.replace("", "0.00")}[where]
    shop = read_as(tmp_path, plain(discount=written), None)
    assert_paid(shop, 0.75 * GROSS)
    assert any("'discount' holds amounts of whole orders; each counts once" in note for note in shop.notes)


def test_discounts_of_lines_stay_with_their_lines(tmp_path: Path) -> None:
    off = np.where(LINES["sku"] == "BEANS", 0.3, 0.1) * GROSS
    shop = read_as(tmp_path, plain(discount=cents(off)), None)
    assert_paid(shop, GROSS - off)
    assert not any("whole orders" in note for note in shop.notes)


def test_one_amount_on_every_line_is_asked_for_then_read_as_stated(tmp_path: Path) -> None:
    text = plain(discount="1.00")
    with pytest.raises(InputError, match=r"all lines have the same amount in 'discount': .*{of_order: discount}"):
        read_as(tmp_path / "asked", text, None)
    assert_paid(read_as(tmp_path / "order", text, None, of_order="discount"), GROSS * (1.0 - 1.0 / OF_ORDER))
    assert_paid(read_as(tmp_path / "line", text, None, of_line=["discount"]), GROSS - 1.0)


def test_equal_lines_of_equal_worth_are_asked_for_unless_no_line_could_bear_the_amount(tmp_path: Path) -> None:
    ten = LINES.assign(qty=1, unit_price=10.0)
    lines = ten.groupby("order_id")["qty"].transform("sum")
    text = plain(discount=cents(2.0 * lines)).assign(qty=1, price="10.00")
    with pytest.raises(InputError, match="all lines have the same amount in 'discount'"):
        read_as(tmp_path / "asked", text, None)
    shop = read_as(tmp_path / "told", text.assign(discount=cents(8.0 * lines)), None)  # 16 off each line of 10?
    assert shop.sales is not None
    assert float((shop.sales["sales"] * shop.sales["price"]).sum()) == pytest.approx(2.0 * len(LINES))


@pytest.mark.parametrize("shipping", [0.0, 6.0])
@pytest.mark.parametrize("column", ["买家实付金额", "总金额"])
@pytest.mark.parametrize("where", ["each", "first"])
def test_a_total_of_the_order_on_its_lines_counts_once(
    tmp_path: Path, column: str, where: str, shipping: float
) -> None:
    share = 1.0 if shipping else 0.9
    paid = cents(share * OF_ORDER + shipping)
    text = taobao(LINES).assign(**{column: paid if where == "each" else first_of_order(LINES, paid)})
    shop = read_as(tmp_path, text, "taobao")
    assert_paid(shop, share * GROSS)
    assert any(f"'{column}' holds amounts of whole orders" in note for note in shop.notes)


def test_totals_of_lines_stay_with_their_lines(tmp_path: Path) -> None:
    paid = np.where(LINES["sku"] == "BEANS", 0.7, 0.95) * GROSS
    shop = read_as(tmp_path, taobao(LINES).assign(买家实付金额=cents(paid)), "taobao")
    assert_paid(shop, paid)


@pytest.mark.parametrize("where", ["each", "first"])
def test_totals_of_orders_without_prices_are_divided_by_what_products_cost_alone(tmp_path: Path, where: str) -> None:
    paid = cents(OF_ORDER)
    text = plain(total=paid if where == "each" else first_of_order(LINES, paid)).drop(columns="price")
    shop = read_as(tmp_path, text, None)
    assert_paid(shop, GROSS)
    assert any("prices: they are those of orders that hold one product alone" in note for note in shop.notes)


def test_the_cart_discounts_of_woocommerce_are_asked_for_where_prices_may_have_them_off(tmp_path: Path) -> None:
    text = woocommerce(LINES).drop(columns="Order Line Total").assign(**{"Cart Discount Amount": cents(0.2 * OF_ORDER)})
    with pytest.raises(InputError, match=r"{discounts: included} or {discounts: apart}"):
        read_as(tmp_path / "asked", text, "woocommerce")
    assert_paid(read_as(tmp_path / "apart", text, "woocommerce", discounts="apart"), 0.8 * GROSS)
    assert_paid(read_as(tmp_path / "included", text, "woocommerce", discounts="included"), GROSS)
    told = text.assign(**{"Order Total Amount": cents(0.8 * OF_ORDER)})
    assert_paid(read_as(tmp_path / "told", told, "woocommerce"), 0.8 * GROSS)
    with_totals = text.assign(**{"Order Line Total": cents(0.8 * GROSS)})
    assert_paid(read_as(tmp_path / "totals", with_totals, "woocommerce"), 0.8 * GROSS)


@pytest.mark.parametrize(
    ("facts", "words"),
    [
        ({"of_order": "price"}, "of_order: expected some of total, discount, refunded_amount, got 'price'"),
        ({"of_order": "total", "of_line": "total"}, "of_line: expected some of"),
        ({"discounts": "twice"}, "discounts: expected apart, whole, included, got 'twice'"),
    ],
)
def test_an_option_of_amounts_that_cannot_be_is_refused(tmp_path: Path, facts: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        read_as(tmp_path, plain(), None, **facts)


@pytest.mark.parametrize(
    ("preset", "word", "is_sold"),
    [
        ("shopify", "pending", True),
        ("shopify", "authorized", True),
        ("shopify", "partially_paid", True),
        ("shopify", "voided", False),
        ("shopify", "expired", False),
        ("woocommerce", "wc-on-hold", True),
        ("woocommerce", "wc-pending", False),
        ("woocommerce", "wc-failed", False),
        ("taobao", "等待卖家发货", True),
        ("taobao", "等待买家付款", False),
    ],
)
def test_an_order_that_is_not_paid_yet_is_a_sale_unless_its_checkout_was_left(
    tmp_path: Path, preset: str, word: str, is_sold: bool
) -> None:
    make = {"shopify": shopify, "woocommerce": woocommerce, "taobao": taobao}[preset]
    column = {"shopify": "Financial Status", "woocommerce": "Order Status", "taobao": "订单状态"}[preset]
    text, few = make(LINES), LINES["order_id"].isin(LINES["order_id"].unique()[::7])
    text.loc[few & (text[column] != ""), column] = word
    shop = read_as(tmp_path, text, preset)
    assert shop.sales is not None
    assert shop.sales["sales"].sum() == LINES["qty"].sum() - (0 if is_sold else LINES.loc[few, "qty"].sum())
    if word in ("pending", "authorized", "wc-on-hold", "wc-pending", "voided"):
        assert any(word in note and ("taken as sales" if is_sold else "left out") in note for note in shop.notes)


def test_a_mapping_states_which_words_mean_that_nothing_was_sold(tmp_path: Path) -> None:
    text, few = shopify(LINES), LINES["order_id"].isin(LINES["order_id"].unique()[::7])
    text.loc[few & (text["Financial Status"] != ""), "Financial Status"] = "pending"
    shop = read_as(tmp_path, text, "shopify", not_sold=["pending"])
    assert shop.sales is not None
    assert shop.sales["sales"].sum() == LINES.loc[~few, "qty"].sum()
    with pytest.raises(InputError, match=r"orders.not_sold names 'lost', which no status is"):
        read_as(tmp_path, text, "shopify", not_sold="lost")
