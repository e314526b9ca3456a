"""What came back is taken off what was sold: by order, else by product; with units, or by money alone.

What came back is a line with

    a quantity below 0, or the kind of a refund           units and money
    an amount below 0 without a quantity                  money
    a quantity or an amount in a column of its own        of that line, or of its order
    a status of cancelled or refunded, later than a sale  units: the line before is the sale, this one takes it off
      of the same order and product

Units are taken from the sales of their order and product, on the day of the sale. Without an order that the file holds
they are taken from the product's latest sales before. Money without units takes off

    its own line of the order, if it pays for that exactly, or for whole units of it;
    else all of the order, if it is all that the order cost (shipping and tax may come on top);
    else the line of the order, or the whole units of one, that it pays for exactly;
    else no units: it lowers what the lines of the order earned.
"""

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from flashsim.data.orders.lines import exact_sum
from flashsim.data.orders.order_amounts import CENT

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

Array = NDArray[np.float64]


class Netted(NamedTuple):
    """What refunds did. The table ``sold`` of the database holds the lines after them."""

    lines: int  # lines that are refunds themselves
    units: float  # taken off with the order known
    money: float
    loose: pd.DataFrame  # product_id, store, day, units: no order of the file has them


def net_refunds(database: "DuckDBPyConnection", *, of_orders: bool) -> Netted:
    """Make the table ``sold`` of ``judged`` (line, product_id, store, customer, stamp, names, units, amount).

    ``of_orders``: an amount that came back is that of the order, though it may stand on each of its lines.
    """
    lines, entries = _divide(database, of_orders=of_orders)
    none = pd.DataFrame({"product_id": [], "store": [], "day": [], "units": []})
    if entries == 0:
        return Netted(0, 0.0, 0.0, none)
    orders = database.execute(
        f"WITH b AS (SELECT key, product_id, {exact_sum('units')} AS back, "
        f"{exact_sum('money', where='units IS NULL')} AS money FROM back GROUP BY ALL), "
        f"s AS (SELECT key, product_id, {exact_sum('units')} AS units, {exact_sum('amount')} AS amount FROM sold "
        "WHERE key IN (SELECT key FROM back) GROUP BY ALL) SELECT key, product_id, coalesce(units, 0.0) AS units, "
        "coalesce(amount, 0.0) AS amount, coalesce(back, 0.0) AS back, coalesce(money, 0.0) AS money "
        "FROM s FULL JOIN b USING (key, product_id) ORDER BY key, product_id"
    ).df()
    units, amount = _after(orders)
    found = pd.DataFrame(
        {
            "key": orders["key"],
            "product_id": orders["product_id"],
            "unit_share": np.divide(units, orders["units"], out=np.zeros(len(orders)), where=orders["units"] > 0.0),
            "amount_share": np.divide(
                amount, orders["amount"], out=np.zeros(len(orders)), where=orders["amount"] > 0.0
            ),
        }
    )
    database.register("given", found[orders["units"] > 0.0])
    database.execute(
        "UPDATE sold SET units = units * g.unit_share, amount = amount * g.amount_share FROM given g "
        "WHERE sold.key = g.key AND sold.product_id = g.product_id"
    )
    database.unregister("given")
    loose = orders.loc[(orders["back"] > 0.0) & (orders["units"] == 0.0), ["key", "product_id"]]
    database.register("given", loose)
    left = database.execute(
        f"SELECT product_id, store, date_trunc('day', stamp) AS day, {exact_sum('units')} AS units FROM back JOIN "
        f"given "
        "USING (key, product_id) WHERE units IS NOT NULL GROUP BY ALL ORDER BY ALL"
    ).df()
    database.unregister("given")
    came = float((orders["units"] - units).sum()), float((orders["amount"] - amount).sum())
    return Netted(lines, *came, left)


def _divide(database: "DuckDBPyConnection", *, of_orders: bool) -> tuple[int, int]:
    """Make the tables ``sold`` and ``back``, of what came back; its lines and its entries.

    An amount of the order that stands on each of its lines counts once.
    """
    database.execute(
        "CREATE TABLE sold AS SELECT line, coalesce(order_id, hash('line', line)) AS key, product_id, store, "
        "customer, stamp, "
        "product_name, product_group, list_price, quantity AS units, amount, refunded_quantity, refunded_amount "
        "FROM judged WHERE why IS NULL AND NOT came_back"
    )
    once = "AND line IN (SELECT min(line) FROM sold GROUP BY key)" if of_orders else ""
    database.execute(
        f"""
        CREATE TABLE back AS
        SELECT coalesce(order_id, hash('line', line)) AS key, product_id, store, stamp, true AS is_line,
            nullif(abs(quantity), 0.0) AS units, abs(amount) AS money
        FROM judged WHERE why IS NULL AND came_back
        UNION ALL SELECT key, product_id, store, stamp, false, least(refunded_quantity, units), 0.0
        FROM sold WHERE refunded_quantity > 0.0
        UNION ALL SELECT key, product_id, store, stamp, false, NULL, refunded_amount
        FROM sold WHERE refunded_quantity = 0.0 AND refunded_amount > 0.0 {once}
        UNION ALL SELECT v.order_id, v.product_id, v.store, v.stamp, false, abs(v.quantity), abs(v.amount)
        FROM judged v JOIN (SELECT key, product_id, min(stamp) AS stamp FROM sold GROUP BY ALL) s
            ON v.order_id = s.key AND v.product_id = s.product_id AND v.stamp > s.stamp
        WHERE v.why IN ('cancelled', 'refunded') AND v.quantity <> 0.0
        """
    )
    counts = database.execute("SELECT count(*) FILTER (is_line), count(*) FROM back").fetchone() or (0, 0)
    return int(counts[0]), int(counts[1])


def _after(orders: pd.DataFrame) -> tuple[Array, Array]:
    """Units and money of each order and product once refunds are taken off; sorted by order."""
    units: Array = np.maximum((orders["units"] - orders["back"]).to_numpy(dtype=np.float64), 0.0)
    sold, earned = (orders[name].to_numpy(dtype=np.float64) for name in ("units", "amount"))
    price = np.divide(earned, sold, out=np.zeros_like(sold), where=sold > 0.0)
    money = orders["money"].to_numpy(dtype=np.float64)
    paid_for = _units_paid(money, price, units)
    units = units - paid_for
    money = np.where(paid_for > 0.0, 0.0, money)
    _, place = np.unique(orders["key"].to_numpy(), return_inverse=True)
    rest: Array = np.bincount(place, money)[place].astype(np.float64)  # of the order; shown on each of its rows
    total = np.bincount(place, units * price)[place]
    is_whole = (rest > 0.0) & (rest >= total - CENT)
    units = np.where(is_whole, 0.0, units)
    rest = np.where(is_whole, 0.0, rest)
    fits = _units_paid(rest, price, units)
    whole_line = (fits > 0.0) & (fits == units)
    rank = np.where(whole_line, 2.0, np.where(fits > 0.0, 1.0, 0.0))
    best = np.zeros(place.max() + 1)
    np.maximum.at(best, place, rank)
    candidates = np.flatnonzero((rank > 0.0) & (rank == best[place]))
    _, first = np.unique(place[candidates], return_index=True)
    chosen = candidates[first]
    units[chosen] -= fits[chosen]
    rest = np.where(best[place] > 0.0, 0.0, rest)
    amount = units * price
    left = np.bincount(place, amount)[place]
    lowered = np.divide(rest, left, out=np.zeros_like(rest), where=left > 0.0)
    return units, amount * (1.0 - np.minimum(lowered, 1.0))


def _units_paid(money: Array, price: Array, units: Array) -> Array:
    """Whole units, or all of them, that an amount pays for exactly; 0 where it does not."""
    count = np.divide(money, price, out=np.zeros_like(money), where=price > 0.0)
    whole = np.round(count)
    exact = (np.abs(whole * price - money) <= CENT) & (whole >= 1.0) & (whole <= units)
    return np.where(
        np.abs(units * price - money) <= CENT, np.where(money > 0.0, units, 0.0), np.where(exact, whole, 0.0)
    )


def take_off_loose(daily: pd.DataFrame, loose: pd.DataFrame) -> tuple[pd.DataFrame, float]:
    """``daily`` (product_id, store, date, units, amount; sorted) without ``loose`` refunds, each taken from the
    product's latest sales until its day; and the units whose sale the table does not hold."""
    units = daily["units"].to_numpy(dtype=np.float64).copy()
    price = np.divide(daily["amount"], units, out=np.zeros_like(units), where=units > 0.0)
    span = daily.groupby(["product_id", "store"], sort=False).indices
    dates = daily["date"].to_numpy()
    missing = 0.0
    for product, store, day, count in zip(
        loose["product_id"], loose["store"], loose["day"], loose["units"], strict=True
    ):
        places = span.get((product, store), np.empty(0, dtype=np.intp))
        at = int(np.searchsorted(dates[places], np.datetime64(day), side="right")) - 1
        need = float(count)
        while need > 0.0 and at >= 0:
            taken = min(units[places[at]], need)
            units[places[at]] -= taken
            need -= taken
            at -= 1
        missing += need
    return daily.assign(units=units, amount=units * price), missing
