"""Made order lines as Shopify, WooCommerce and the seller pages of Taobao export them."""

from typing import Any

import pandas as pd


def first_of_order(lines: pd.DataFrame, values: Any) -> pd.Series:
    """The values on the first line of each order, empty on the others."""
    is_first = ~lines["order_id"].duplicated()
    return pd.Series(values, index=lines.index).astype(str).where(is_first, "")


def shopify(lines: pd.DataFrame) -> pd.DataFrame:
    """Order facts on the first line of an order alone, stamps with an offset, sums that include shipping."""
    total = (lines["qty"] * lines["unit_price"]).groupby(lines["order_id"]).transform("sum") + 4.9
    facts = {
        "Name": lines["order_id"],
        "Email": first_of_order(lines, lines["customer"]),
        "Financial Status": first_of_order(lines, "paid"),
        "Paid at": first_of_order(lines, lines["created_at"].dt.strftime("%Y-%m-%d %H:%M:%S +0100")),
        "Currency": first_of_order(lines, "EUR"),
        "Shipping": first_of_order(lines, "4.90"),
        "Total": first_of_order(lines, total.round(2)),
        "Created at": lines["created_at"].dt.strftime("%Y-%m-%d %H:%M:%S +0100"),
        "Lineitem quantity": lines["qty"],
        "Lineitem name": lines["name"],
        "Lineitem price": lines["unit_price"].map("{:.2f}".format),
        "Lineitem compare at price": "",
        "Lineitem sku": lines["sku"],
        "Lineitem fulfillment status": "fulfilled",
        "Cancelled at": "",
        "Refunded Amount": first_of_order(lines, "0.00"),
        "Vendor": "Roastery",
        "Lineitem discount": "0.00",
    }
    return pd.DataFrame(facts).astype(str)


def woocommerce(lines: pd.DataFrame) -> pd.DataFrame:
    """One row a line, the status with its prefix, totals of lines."""
    facts = {
        "Order Number": lines["order_id"].str.removeprefix("#"),
        "Order Status": "wc-completed",
        "Order Date": lines["created_at"].dt.strftime("%Y-%m-%d %H:%M"),
        "Customer User ID": lines["customer"],
        "SKU": lines["sku"],
        "Item Name": lines["name"],
        "Quantity": lines["qty"],
        "Item Cost": lines["unit_price"],
        "Order Line Total": (lines["qty"] * lines["unit_price"]).round(2),
        "Order Currency": "EUR",
    }
    return pd.DataFrame(facts).astype(str)


def taobao(lines: pd.DataFrame) -> pd.DataFrame:
    """Long numbers kept by a sign of equality, a tab after them, Chinese words."""
    facts = {
        "订单编号": '="' + lines["order_id"].str.removeprefix("#") + '"',
        "买家会员名": lines["customer"],
        "标题": lines["name"].replace({"Latte": "拿铁咖啡"}),
        "商家编码": lines["sku"] + "\t",
        "商品价格": lines["unit_price"],
        "购买数量": lines["qty"],
        "订单状态": "交易成功",
        "退款状态": "没有申请退款",
        "订单付款时间": lines["created_at"].dt.strftime("%Y-%m-%d %H:%M:%S"),
    }
    return pd.DataFrame(facts).astype(str)
