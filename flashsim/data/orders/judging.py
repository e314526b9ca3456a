"""What an order line is: a sale, something that came back, or left out for a reason. All lines are counted.

A line is left out for the first of these reasons that holds

    blank                     an empty line
    repeats                   equals another line in every column of the file (:class:`OrderOptions`)
    no product                shipping, tax, fees, coupons, gift cards, by name or kind
    test                      an order, product or customer by the name of test, or marked so
    store, currency           not among those that were chosen
    cancelled, refunded       by its own status, or that of its order
    quarantined               a stamp, product or number that cannot be read
    quantity 0                taken out when the order was edited
    gift                      its price is 0

What is left is a sale, or something that came back (:mod:`flashsim.data.orders.refunds`).
"""

from typing import TYPE_CHECKING, Final

from flashsim.data.orders.columns import OrderColumns
from flashsim.data.orders.lines import quoted
from flashsim.data.orders.options import ALL, NUMBER_COLUMNS, OrderOptions
from flashsim.data.orders.order_amounts import OrderAmounts, concerns_orders, find_order_amounts
from flashsim.data.orders.values import WORD_COLUMNS, Meanings, number_of

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

OF_ORDER: Final = ("customer", "status", "cancelled", "store", "currency", "test")
"""What an export may write on the first line of an order alone."""
QUARANTINED: Final = "quarantined: breaks the schema"
REASONS: Final = {
    "blank": "an empty line",
    "repeats": "repeats another row in every column of the file",
    "test": "a test order",
    "no product": "no product: shipping, tax, fee, coupon or gift card",
    "store": "of a store that is not chosen",
    "currency": "in a currency that is not chosen",
    "cancelled": "cancelled",
    "refunded": "refunded as a whole",
    "zero": "quantity 0, taken out when the order was edited",
    "gift": "a gift: its price is 0",
}
"""Reason of a line that is left out: its words in the account."""


def fill_orders(database: "DuckDBPyConnection", columns: OrderColumns) -> None:
    """Write what an export tells on one line of an order on its other lines, where they are empty."""
    if "order_id" not in columns.place:
        return
    gaps = []
    for name in OF_ORDER:
        if name in columns.place:
            row = database.execute(f"SELECT count({name}), count(*) FROM lines").fetchone()
            if row is not None and 0 < row[0] < row[1]:
                gaps.append(name)
    if not gaps:
        return
    facts = ", ".join(f"min({name}) AS {name}" for name in gaps)
    filled = ", ".join(f"coalesce(l.{name}, f.{name}) AS {name}" for name in gaps)
    database.execute(
        f"CREATE TABLE facts AS SELECT order_id, {facts} FROM lines WHERE order_id IS NOT NULL GROUP BY ALL"
    )
    database.execute(
        f"CREATE TABLE full_lines AS SELECT l.* REPLACE ({filled}) FROM lines l LEFT JOIN facts f USING (order_id) "
        "ORDER BY l.rowid"
    )
    database.execute("DROP TABLE facts")
    database.execute("DROP TABLE lines")
    database.execute("ALTER TABLE full_lines RENAME TO lines")


def judge_lines(
    database: "DuckDBPyConnection",
    columns: OrderColumns,
    meanings: Meanings,
    options: OrderOptions,
    *,
    scale: dict[str, float],
    keep_repeats: bool,
    what: str,
) -> OrderAmounts:
    """Make the table ``judged``: each line with its values, and why it is left out (``why``, NULL: it is not).

    Returns which amounts are of whole orders; InputError where that is unclear.
    """
    kind = "TABLE" if concerns_orders(columns) else "VIEW"  # a table is read more than once
    _value_lines(database, columns, meanings, options, scale=scale, keep_repeats=keep_repeats, kind=kind)
    amounts = find_order_amounts(database, columns, options, what=what)
    total, discount = amounts.value("total"), amounts.value("discount")
    database.execute(
        f"""
        CREATE TABLE judged AS
        WITH paid AS (
            SELECT *, coalesce(price, typical) * times AS gross, rate * coalesce(factor, 1.0) * coalesce({total},
            gross - sign(gross) * least(abs(coalesce({discount}, 0.0)), abs(gross))) AS amount
            FROM valued LEFT JOIN typical USING (product_id) LEFT JOIN factors USING (order_id)
        )
        SELECT line, order_id, product_id, customer, store, stamp, product_name, product_group, quantity, amount,
            list_price * rate AS list_price, abs(coalesce(refunded_quantity, 0.0)) AS refunded_quantity,
            abs(coalesce(refunded_amount, 0.0)) * rate AS refunded_amount, whole, {_why(options)} AS why,
            coalesce(quantity < 0.0 OR amount < 0.0 OR is_kind = 'refund', false) AS came_back
        FROM paid
        """
    )
    database.execute(f"DROP {kind} valued")
    return amounts


def _value_lines(
    database: "DuckDBPyConnection",
    columns: OrderColumns,
    meanings: Meanings,
    options: OrderOptions,
    *,
    scale: dict[str, float],
    keep_repeats: bool,
    kind: str,
) -> None:
    """Make ``valued``, a table or view: each line with what its cells mean."""
    numbers = [name for name in NUMBER_COLUMNS if name in columns.place]
    joins = "".join(f" LEFT JOIN numbers_{name} n_{name} ON l.{name} = n_{name}.text" for name in numbers)
    for name in WORD_COLUMNS:
        if name in columns.place:
            joins += f" LEFT JOIN words w_{name} ON w_{name}.\"column\" = '{name}' AND l.{name} = w_{name}.text"
    wrong = " OR ".join([f"coalesce(n_{name}.is_wrong, false)" for name in numbers] or ["false"])
    number = {
        name: f"{scale.get(name, 1.0)!r} * ({number_of(name, columns, meanings.numbers)})" for name in NUMBER_COLUMNS
    }
    if "quantity" not in columns.place:
        number["quantity"] = "1.0"
    word = {name: f"coalesce(w_{name}.meaning, 'sale')" if name in columns.place else "'sale'" for name in WORD_COLUMNS}
    database.execute(
        "CREATE TABLE again AS SELECT whole, min(rowid) AS first FROM lines GROUP BY whole "
        f"HAVING count(*) > 1 AND {not keep_repeats}"
    )
    database.execute(
        f"""
        CREATE {kind} valued AS
        SELECT l.rowid AS line, l.order_id, l.product_id, l.customer, coalesce(l.store, '') AS store, l.currency,
            l.order_id IS NULL AND coalesce(l.date, l.product_id, l.quantity, l.price, l.total) IS NULL AS is_blank,
            coalesce(l.rowid <> a.first, false) AS is_repeat, l.product_name, l.product_group, l.whole,
            s.local AS stamp, {wrong} AS is_wrong, {_rate(options)} AS rate,
            {", ".join(f"{meaning} AS is_{name}" for name, meaning in word.items())},
            'no product' IN (is_kind, is_product_id, is_product_name) AS is_no_product,
            {", ".join(f"{expression} AS {name}" for name, expression in number.items())},
            CASE WHEN coalesce({number["quantity"]}, 0.0) = 0.0 THEN 1.0 ELSE {number["quantity"]} END AS times
        FROM lines l LEFT JOIN stamps s ON l.date = s.text LEFT JOIN again a ON l.whole = a.whole{joins}
        """
    )


def _rate(options: OrderOptions) -> str:
    """Factor from the currency of a line to that of the shop."""
    cases = " ".join(f"WHEN {quoted(code)} THEN {rate!r}" for code, rate in options.rates.items())
    return f"CASE upper(l.currency) {cases} ELSE 1.0 END" if cases else "1.0"


def _why(options: OrderOptions) -> str:
    """The first reason for which a line is left out."""
    everywhere = not options.stores or ALL in options.stores
    taken = (*options.currencies, *options.rates)
    cases = {
        "blank": "is_blank",
        "repeats": "is_repeat",
        "no product": "is_no_product",
        "test": "coalesce(order_id = 0, false) OR coalesce(customer = 0, false) "
        "OR 'test' IN (is_test, is_status, is_kind, is_product_id)",
        "store": "false" if everywhere else f"store NOT IN ({_list(options.stores)})",
        "currency": f"upper(currency) NOT IN ({_list(taken)})" if options.currencies else "false",
        "cancelled": "'cancelled' IN (is_cancelled, is_status)",
        "refunded": "is_status = 'refunded' AND is_kind <> 'refund' AND coalesce(quantity, 1.0) > 0.0 "
        "AND coalesce(amount, 0.0) >= 0.0",
        "quarantined": "stamp IS NULL OR product_id IS NULL OR is_wrong OR amount IS NULL OR abs(amount) >= 1e12 "
        "OR abs(coalesce(quantity, 0.0)) >= 1e9 OR (quantity IS NULL AND amount > 0.0 AND is_kind <> 'refund')",
        "zero": "coalesce(quantity, 0.0) = 0.0 AND amount >= 0.0 AND is_kind <> 'refund'",
        "gift": "abs(amount) < 0.005 AND quantity > 0.0 AND is_kind <> 'refund'",
    }
    return "CASE " + " ".join(f"WHEN {condition} THEN {quoted(why)}" for why, condition in cases.items()) + " END"


def _list(names: tuple[str, ...]) -> str:
    return ", ".join(quoted(name) for name in names)
