"""Amounts of whole orders that an export writes on order lines: which they are, and what they leave of each line.

    a column holds                                                     it is
    one amount on the first line of each order, none on the others     of the order
    one amount on all lines of an order, although these differ in      of the order, once it comes in many amounts, or
      worth (price times quantity)                                       above what a line could bear; else asked for
    amounts that differ within an order                                of the line

    factor(order) = what the order paid for its products / their worth;   paid by a line = its worth · factor

What an order paid is its total, if that is told of orders, but never more than its worth: shipping comes on top. Else
it is the worth less the order's discount. Of that discount only what the subtotal shows is taken, if there is one: the
rest was for shipping. Where totals of orders come without prices, a product's price is that of the orders that hold it
alone.
"""

from typing import TYPE_CHECKING, Final, NamedTuple

from flashsim.data.orders.columns import OrderColumns
from flashsim.data.orders.options import OrderOptions
from flashsim.errors import InputError

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

CENT: Final = 0.006
"""Amounts nearer to each other than this are equal."""
FEWEST_ORDERS: Final = 5
"""Orders whose lines have one amount, by which a column shows that it is of orders."""
FEWEST_AMOUNTS: Final = 3
"""Different amounts of such orders; a fixed sum off each line would show fewer."""
ORDERS_AN_AMOUNT: Final = 10
MOST_UNEQUAL: Final = 0.05
"""Share of orders whose lines differ, though the column is of orders: edits."""
MOST_TAX: Final = 0.5
"""Of a line; a line's total lies below its worth and this much."""
MAY_BE_OF_ORDER: Final = ("total", "discount", "refunded_amount")
_LINES: Final = (
    "NOT is_blank AND NOT is_repeat AND NOT is_no_product AND order_id IS NOT NULL AND order_id <> 0 AND times > 0.0"
)
_WORTH: Final = "abs(coalesce(price, typical) * times)"


class OrderAmounts(NamedTuple):
    """Which columns hold amounts of orders; what orders paid of their worth is in the table ``factors``."""

    of_order: frozenset[str]
    notes: tuple[str, ...]

    def value(self, name: str) -> str:
        """The expression of a line's own ``name``: nothing where the column is of orders."""
        if name in self.of_order or (name == "discount" and "total" in self.of_order):
            return f"CASE WHEN order_id IS NULL THEN {name} END"
        return name


class _Evidence(NamedTuple):
    """What the orders of several lines show of a column, in orders that have an amount in it."""

    orders: int
    telling: int  # their lines differ in worth
    equal: int  # of these: on all lines the same amount
    amounts: int  # different ones of these
    too_large: int  # of these: above what their smallest line could bear
    alike: int  # of the others, whose lines are of one worth: the same amount on all lines
    alike_too_large: int
    alone: int  # of all: on the first line alone, the others empty or 0
    empty: int  # of these: the others are empty
    alone_too_large: int


def concerns_orders(columns: OrderColumns) -> bool:
    """Whether any column may hold amounts of orders."""
    return "order_id" in columns.place and bool({*MAY_BE_OF_ORDER, "order_discount"} & set(columns.place))


def find_order_amounts(
    database: "DuckDBPyConnection", columns: OrderColumns, options: OrderOptions, *, what: str
) -> OrderAmounts:
    """Make the tables ``typical`` and ``factors`` of the table ``valued``; InputError where it is unclear what a column
    holds, with the key that states it."""
    database.execute("CREATE TABLE typical (product_id VARCHAR, typical DOUBLE)")
    database.execute("CREATE TABLE factors (order_id UBIGINT, factor DOUBLE)")
    if not concerns_orders(columns):
        return OrderAmounts(frozenset(), ())
    unknown = _price_by_totals(database) if "total" in columns.place and "price" not in columns.place else 0
    of_order, notes = set(), []
    for name in MAY_BE_OF_ORDER:
        is_used = name != "discount" or "total" not in columns.place
        if name in columns.place and is_used and _is_of_order(database, name, columns, options, what=what):
            of_order.add(name)
            notes.append(
                f"orders: {columns.name[name]!r} holds amounts of whole orders; each counts once, divided among the "
                "order's lines by their worth."
            )
    if "total" in of_order:
        _factors_of_totals(database)
        if "price" not in columns.place:
            notes.append(_told_prices(unknown))
    elif "discount" in of_order or "order_discount" in columns.place:
        notes += _factors_of_discounts(database, columns, options, frozenset(of_order), what=what)
    return OrderAmounts(frozenset(of_order), tuple(notes))


def _is_of_order(
    database: "DuckDBPyConnection", name: str, columns: OrderColumns, options: OrderOptions, *, what: str
) -> bool:
    """Whether the column ``name`` holds amounts of orders; InputError where both is possible."""
    if name in options.of_order or name in options.of_line:
        return name in options.of_order
    seen = _evidence(database, name)
    equal, too_large = seen.equal, seen.too_large
    if not seen.telling:  # a line's total is its worth, but a discount of such lines is equal if it is a share of them
        too_large = seen.alike_too_large
        equal = seen.alike if too_large or name != "total" else 0
    if equal and equal >= (1.0 - MOST_UNEQUAL) * seen.telling:
        needed = max(FEWEST_AMOUNTS, seen.equal // ORDERS_AN_AMOUNT)
        if too_large or (seen.equal >= FEWEST_ORDERS and seen.amounts >= needed):
            return True
        raise InputError(
            f"{what}: in {equal} orders all lines have the same amount in {columns.name[name]!r}: it may be the "
            f"order's, or each line's; state which in the mapping: orders: {{of_order: {name}}} or {{of_line: {name}}}"
        )
    if name == "refunded_amount" or seen.alone < (1.0 - MOST_UNEQUAL) * seen.orders:
        return False
    if name == "total":
        return seen.empty > 0 and seen.empty == seen.alone
    return seen.alone_too_large > 0 or seen.alone >= 2 * FEWEST_ORDERS


def _evidence(database: "DuckDBPyConnection", name: str) -> _Evidence:
    bearable = f"low_worth * {1.0 + MOST_TAX if name == 'total' else 1.0} + {CENT}"
    row = database.execute(
        f"""
        WITH of_orders AS (
            SELECT count(*) AS lines, count({name}) AS filled, count(*) FILTER (abs({name}) > {CENT}) AS positive,
                min(abs({name})) AS low, max(abs({name})) AS high, arg_min(coalesce(abs({name}), 0.0), line) AS first,
                min({_WORTH}) AS low_worth, max({_WORTH}) AS high_worth, arg_min({_WORTH}, line) AS first_worth
            FROM valued LEFT JOIN typical USING (product_id) WHERE {_LINES}
            GROUP BY order_id HAVING count(*) > 1 AND max(abs({name})) > {CENT}
        ), judged_orders AS (
            SELECT *, high_worth - low_worth > {CENT} AS is_telling,
                filled = lines AND high - low <= {CENT} AS is_equal,
                positive = 1 AND first > {CENT} AS is_alone
            FROM of_orders
        )
        SELECT count(*), count(*) FILTER (is_telling), count(*) FILTER (is_telling AND is_equal),
            count(DISTINCT round(high, 2)) FILTER (is_telling AND is_equal),
            count(*) FILTER (is_telling AND is_equal AND high > {bearable}),
            count(*) FILTER (NOT is_telling AND is_equal),
            count(*) FILTER (NOT is_telling AND is_equal AND high > {bearable}), count(*) FILTER (is_alone),
            count(*) FILTER (is_alone AND filled = 1), count(*) FILTER (is_alone AND first > first_worth + {CENT})
        FROM judged_orders
        """
    ).fetchone()
    return _Evidence(*(int(count) for count in row or (0,) * 10))


def _price_by_totals(database: "DuckDBPyConnection") -> int:
    """Fill ``typical``: what a unit of each product costs in orders that hold it alone, else in those that hold it, all
    of whose units count alike; the number of these other products."""
    database.execute(
        f"""
        INSERT INTO typical
        WITH of_orders AS (SELECT order_id, max(total) AS paid, sum(times) AS units, count(*) AS lines FROM valued
            WHERE {_LINES} GROUP BY order_id HAVING max(total) > 0.0)
        SELECT product_id, coalesce(median(total / times) FILTER (lines = 1), median(paid / units))
        FROM valued JOIN of_orders USING (order_id) WHERE {_LINES} GROUP BY product_id
        """
    )
    row = database.execute(
        f"SELECT count(DISTINCT product_id) - count(DISTINCT product_id) FILTER (order_id IN (SELECT order_id FROM "
        f"valued WHERE {_LINES} GROUP BY order_id HAVING count(*) = 1)) FROM valued WHERE {_LINES}"
    ).fetchone()
    return 0 if row is None else int(row[0])


def _told_prices(unknown: int) -> str:
    rest = f"; {unknown} products never came alone, their prices are averages of orders" if unknown else ""
    return f"orders: no column tells prices: they are those of orders that hold one product alone{rest}."


def _factors_of_totals(database: "DuckDBPyConnection") -> None:
    database.execute(
        f"""
        INSERT INTO factors
        SELECT order_id, CASE WHEN count(price) > 0 THEN least(whole / worth, 1.0) ELSE whole / worth END
        FROM (SELECT order_id, price, max(abs(total)) OVER o AS whole, sum({_WORTH}) OVER o AS worth
            FROM valued LEFT JOIN typical USING (product_id) WHERE {_LINES} WINDOW o AS (PARTITION BY order_id))
        WHERE whole IS NOT NULL AND worth > 0.0 GROUP BY order_id, whole, worth
        """
    )


def _factors_of_discounts(
    database: "DuckDBPyConnection",
    columns: OrderColumns,
    options: OrderOptions,
    of_order: frozenset[str],
    *,
    what: str,
) -> list[str]:
    """Fill ``factors`` from the discounts of orders; notes."""
    _discounted_orders(database, options, of_order)
    row = database.execute(
        f"SELECT count(*), count(*) FILTER (on_lines > {CENT}), "
        f"count(*) FILTER (on_lines > {CENT} AND subtotal IS NULL AND off >= on_lines - {CENT}), "
        f"count(*) FILTER (on_lines > {CENT} AND off < on_lines - {CENT}), "
        f"count(*) FILTER (total < worth - {CENT}), count(*) FILTER (line_totals >= worth - {CENT}) FROM reduced"
    ).fetchone()
    orders, both, unclear, apart, below, before = (int(count) for count in row or (0,) * 6)
    name = columns.name["discount" if "discount" in of_order else "order_discount"]
    if not orders:
        return []
    if "total" in columns.place and before < 0.5 * orders:
        return [f"orders: {name!r} was not taken off again: the totals of lines have it off already."]
    if both and unclear and not apart and options.discounts is None:
        raise InputError(
            f"{what}: {unclear} orders have an amount in {name!r} and in {columns.name['discount']!r}: the first may "
            "hold the second, or come on top of it; bring the column of subtotals, or state which in the mapping: "
            "orders: {discounts: whole} or {discounts: apart}"
        )
    if _may_be_off_already(options, columns) and below < 0.5 * orders:
        raise InputError(
            f"{what}: {orders} orders have an amount in {name!r}: it may be off the prices of lines already, or not; "
            "state which in the mapping: orders: {discounts: included} or {discounts: apart}"
        )
    if options.discounts == "included":
        return [f"orders: {name!r} was not taken off again: the mapping says that prices have it off already."]
    return [_take_off(database, name, orders)]


def _discounted_orders(database: "DuckDBPyConnection", options: OrderOptions, of_order: frozenset[str]) -> None:
    """Make the table ``reduced``: of each order with a discount its amount, worth, subtotal and totals."""
    own = "max(abs(discount))" if "discount" in of_order else "0.0"
    on_lines = "0.0" if "discount" in of_order else "least(abs(coalesce(discount, 0.0)), abs(price * times))"
    held = f"sum({on_lines})" if options.discounts == "whole" else "0.0"
    one = "CASE WHEN count(DISTINCT round(abs(order_discount), 2)) = 1 THEN max(abs(order_discount)) ELSE sum(abs("
    whole = "sum(abs(order_discount))" if _differs_within(database) else f"{one}order_discount)) END"
    database.execute(
        f"""
        CREATE TABLE reduced AS
        SELECT order_id, greatest(coalesce({own}, 0.0) + coalesce({whole}, 0.0) - {held}, 0.0) AS off,
            sum({on_lines}) AS on_lines,
            sum(abs(price * times) - {on_lines}) AS worth, max(order_subtotal) AS subtotal,
            max(order_total) AS total, max(abs(total)) AS line_total, sum(total) AS line_totals
        FROM valued WHERE {_LINES} GROUP BY order_id HAVING off > {CENT}
        """
    )


def _take_off(database: "DuckDBPyConnection", name: str, orders: int) -> str:
    """Fill ``factors`` from ``reduced``; a note."""
    taken = (
        f"CASE WHEN subtotal IS NULL OR total < subtotal - {CENT} THEN off "
        "ELSE least(greatest(worth - subtotal, 0.0), off) END"
    )
    database.execute(
        f"INSERT INTO factors SELECT order_id, 1.0 - least({taken}, worth) / worth FROM reduced WHERE worth > 0.0"
    )
    row = database.execute(f"SELECT sum(off), sum(least({taken}, worth)) FROM reduced").fetchone()
    told, used = (0.0, 0.0) if row is None else (float(row[0]), float(row[1] or 0.0))
    rest = (
        f"; {told - used:,.2f} more did not lower the subtotals of orders, so it was for shipping"
        if (told - used > CENT * orders)
        else ""
    )
    return (
        f"orders: discounts of whole orders ({name!r}) took {used:,.2f} off {orders} orders, divided among their lines "
        f"by worth{rest}."
    )


def _may_be_off_already(options: OrderOptions, columns: OrderColumns) -> bool:
    """Whether prices may have the discounts of orders off already: plug-ins of WooCommerce export either."""
    return options.preset == "woocommerce" and "order_discount" in columns.place and options.discounts is None


def _differs_within(database: "DuckDBPyConnection") -> bool:
    """Whether discounts of orders are written by line, parts of a sum, and not once or again on each line."""
    row = database.execute(
        f"SELECT count(*) FILTER (high - low > {CENT}), count(*) FILTER (high - low <= {CENT}) FROM (SELECT "
        f"min(abs(order_discount)) AS low, max(abs(order_discount)) AS high FROM valued WHERE {_LINES} AND "
        f"abs(order_discount) > {CENT} GROUP BY order_id HAVING count(*) > 1)"
    ).fetchone()
    return row is not None and int(row[0]) > int(row[1])
