"""How the exports of shop systems name what an order line holds, and the words that they use.

A name stands for a column if it is the same but for case, spaces and signs between words. Of several names the first
that the file has is taken. Sources: the columns of Shopify's "Export orders" and of WooCommerce's order exports (one
row a line), the columns of the seller pages of Taobao and Tmall (千牛, 订单报表 and 宝贝报表).
"""

from collections.abc import Mapping
from typing import Final

Names = Mapping[str, tuple[str, ...]]

SHOPIFY: Final[Names] = {
    "order_id": ("Name", "Id"),
    "date": ("Created at", "Paid at"),
    "product_id": ("Lineitem sku", "Lineitem name"),
    "product_name": ("Lineitem name",),
    "product_group": ("Vendor",),
    "quantity": ("Lineitem quantity",),
    "price": ("Lineitem price",),
    "list_price": ("Lineitem compare at price",),
    "discount": ("Lineitem discount",),
    "order_discount": ("Discount Amount",),
    "order_subtotal": ("Subtotal",),
    "order_total": ("Total",),
    "customer": ("Email", "Phone", "Billing Name"),
    "status": ("Financial Status",),
    "cancelled": ("Cancelled at",),
    "refunded_amount": ("Refunded Amount",),
    "currency": ("Currency",),
    "test": ("Test",),
}
WOOCOMMERCE: Final[Names] = {
    "order_id": ("Order Number", "Order ID", "order_id"),
    "date": ("Order Date", "Date", "date_created", "Paid Date"),
    "product_id": ("SKU", "Item SKU", "Product Id", "Product ID", "Item Name"),
    "product_name": ("Item Name", "Product Name", "Product Name (main)"),
    "product_group": ("Category", "Item Category"),
    "quantity": ("Quantity", "Quantity (- Refund)", "Item Quantity", "Qty"),
    "price": ("Item Cost", "Item Price", "Product Current Price"),
    "total": ("Order Line Total", "Line Total", "Item Total", "Order Line (w/o tax)"),
    "list_price": ("Regular Price", "Product Regular Price"),
    "discount": ("Item Discount Amount",),
    "order_discount": ("Cart Discount Amount", "Cart Discount", "Order Discount Amount", "Order Discount"),
    "order_total": ("Order Total Amount", "Order Total"),
    "customer": ("Customer User ID", "Customer Id", "Email (Billing)", "Billing Email"),
    "status": ("Order Status", "Status"),
    "refunded_quantity": ("Refunded Quantity", "Item Refunded Quantity"),
    "refunded_amount": ("Item Refund Amount", "Order Refund Amount", "Refund Total"),
    "currency": ("Order Currency", "Currency"),
    "kind": ("Item Type", "Line Type"),
}
TAOBAO: Final[Names] = {
    "order_id": ("主订单编号", "订单编号", "订单号"),
    "date": ("订单付款时间", "付款时间", "订单创建时间", "创建时间", "下单时间", "成交时间"),
    "product_id": (
        "商家编码",
        "外部系统编号",
        "商品编码",
        "宝贝ID",
        "商品ID",
        "商品id",
        "标题",
        "宝贝标题",
        "商品标题",
    ),
    "product_name": ("标题", "宝贝标题", "商品标题", "商品名称", "宝贝名称"),
    "product_group": ("商品类目", "类目"),
    "quantity": ("购买数量", "宝贝数量", "商品数量", "数量"),
    "price": ("商品价格", "价格", "单价", "商品单价"),
    "total": ("买家实付金额", "买家实际支付金额", "实付金额", "买家应付货款", "总金额"),
    "list_price": ("原价", "吊牌价", "市场价", "一口价"),
    "customer": ("买家会员名", "买家昵称", "买家ID", "买家"),
    "status": ("订单状态", "退款状态"),
    "refunded_amount": ("退款金额",),
    "store": ("店铺名称", "店铺"),
}
COMMON: Final[Names] = {
    "order_id": (
        "order id",
        "order no",
        "order number",
        "order",
        "invoice",
        "invoice no",
        "bestellnummer",
        "订单编号",
        "订单号",
    ),
    "date": (
        *("date", "created at", "order date", "datetime", "timestamp", "time", "ordered at", "invoice date", "day"),
        *("transaction date", "purchase date", "datum", "bestelldatum", "日期", "时间", "下单时间", "付款时间"),
    ),
    "product_id": (
        *("product id", "sku", "item id", "stock code", "upc", "ean", "asin", "article", "product", "item"),
        *("artikelnummer", "artikel", "商品编码", "商品id", "货号", "商品", "product name", "商品名称"),
    ),
    "product_name": (
        "product name",
        "item name",
        "description",
        "title",
        "bezeichnung",
        "artikelname",
        "商品名称",
        "标题",
    ),
    "product_group": ("product group", "category", "product category", "product type", "kategorie", "类目", "品类"),
    "quantity": ("quantity", "qty", "units", "count", "transaction qty", "menge", "anzahl", "数量", "购买数量", "件数"),
    "price": ("price", "unit price", "item price", "einzelpreis", "preis", "单价", "价格"),
    "total": ("total", "line total", "amount", "revenue", "gesamtpreis", "betrag", "金额", "实付金额", "总金额"),
    "list_price": ("list price", "regular price", "compare at price", "listenpreis", "原价"),
    "order_discount": (
        "order discount",
        "order discount amount",
        "cart discount",
        "cart discount amount",
        "订单优惠金额",
    ),
    "discount": ("discount", "line discount", "discount amount", "rabatt", "优惠金额", "折扣金额"),
    "customer": (
        "customer",
        "customer id",
        "user id",
        "email",
        "buyer",
        "kunde",
        "kundennummer",
        "客户",
        "买家",
        "会员",
    ),
    "status": ("status", "order status", "financial status", "订单状态", "状态"),
    "cancelled": ("cancelled", "canceled", "cancelled at", "canceled at", "storniert"),
    "refunded_quantity": ("refunded quantity", "returned quantity", "refunded units", "退货数量"),
    "refunded_amount": ("refunded amount", "refund amount", "refund", "erstattung", "退款金额"),
    "store": ("store", "store id", "shop", "store name", "branch", "filiale", "门店", "店铺"),
    "currency": ("currency", "währung", "币种"),
    "kind": ("kind", "line type", "item type", "type"),
    "test": ("test", "is test"),
}
"""Names that stand for themselves, taken where neither the mapping nor a preset names a column."""
PRESETS: Final[Mapping[str, Names]] = {
    "shopify": SHOPIFY,
    "woocommerce": WOOCOMMERCE,
    "taobao": TAOBAO,
    "tmall": TAOBAO,
}
TIME_ZONES: Final[Mapping[str, str]] = {"taobao": "Asia/Shanghai", "tmall": "Asia/Shanghai"}
"""Zone of a preset whose stamps have none, where the mapping states none."""
CURRENCIES: Final[Mapping[str, str]] = {"taobao": "CNY", "tmall": "CNY"}

CANCELLED: Final = (
    *("cancelled", "canceled", "voided", "void", "failed", "expired", "abandoned", "declined", "unpaid"),
    *("pending payment", "draft", "trash", "checkout draft", "storniert", "abgebrochen"),
    *("交易关闭", "已取消", "取消", "已关闭", "等待买家付款", "待付款", "未付款"),
)
"""Words of a status with which nothing was bought in the end."""
OPEN: Final = (
    "pending",
    "authorized",
    "partially authorized",
    "on hold",
    "awaiting payment",
    "payment pending",
    "offen",
)
"""Words of a status with which something was ordered that is not paid yet: cash on delivery and bank transfers, cards
that are charged when the parcel leaves. Sources: Shopify's OrderDisplayFinancialStatus (pending: manual payment, or the
provider needs time; authorized: to be captured; expired, voided: it never will), WooCommerce's order statuses (on hold:
stock is reduced, payment awaited)."""
NOT_SOLD_IN: Final[Mapping[str, tuple[str, ...]]] = {"woocommerce": ("pending",)}
"""Preset -> words with which nothing was sold there: pending at WooCommerce is a checkout left before payment."""
REFUNDED: Final = (
    *("refunded", "returned", "refund", "return", "reversed", "charged back", "chargeback", "erstattet", "retoure"),
    *("退款成功", "已退款", "退货", "退货退款", "退款"),
)
"""Words of a status with which what was bought came back."""
SALE_KINDS: Final = ("", "product", "item", "line item", "lineitem", "sale", "order", "normal", "gift", "商品", "销售")
REFUND_KINDS: Final = REFUNDED
TEST_KINDS: Final = ("test", "测试")
NO_PRODUCT: Final = (
    r"shipping|shipping (fee|cost|costs|charge)|postage|dotcom postage|post|delivery|delivery "
    r"(fee|charge)|freight|versand|versandkosten"
    r"|(sales )?tax|taxes|vat|gst|mwst\.?|ust\.?|tip|tips|gratuity|fee|fees|handling|handling fee|service "
    r"fee|payment fee|bank charges"
    r"|amazon ?fee|adjust(ment)?|manual|rounding|discount|coupon|voucher|rabatt|gutschein|gift "
    r"?card|gutscheinkarte|deposit|pfand"
    r"|surcharge|insurance|运费|邮费|快递费|配送费|税|税费|优惠|优惠券|折扣|红包|补差价|补邮费|差价|押金|服务费|手续费|小费"
)
"""A product or a kind of this name is no product: shipping, taxes, fees, coupons, gift cards."""
TEST: Final = (
    r"(test|testing|测试)[ _-]?(order|product|item|customer|user|bestellung|artikel|订单|商品)?[ _-]?#?\d*(@.*)?"
)
"""An order, product or customer of such a name is a test."""
