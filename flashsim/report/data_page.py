"""The data page: what was read of a shop's own tables, what became of it, what was learned of each product and on what
evidence, and what is missing. Beside a World; the same World and tables give the same bytes.

Products that earn most come first, ``IN_FULL`` of them with their history; others are folded, and the file of products
beside the page holds all. The template engine escapes every name from the data.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple

import jinja2
import numpy as np
import pandas as pd

from flashsim.files import write_page
from flashsim.report.data_figures import history
from flashsim.report.figures import render
from flashsim.report.missing_data import Missing, missing_data
from flashsim.report.page import TEMPLATES, data_uri
from flashsim.world import World

IN_FULL: Final = 8
"""Products that are shown with their history."""
MOST_LISTED: Final = 300
"""Products of the folded list."""
MOST_EXAMPLES: Final = 12
MOST_GAPS: Final = 12
LONGEST_BY_CHANCE: Final = 14.0
"""So many days without one of a product that sells a unit a day come by chance once in a million times (Poisson)."""


@dataclass(frozen=True)
class DataFacts:
    """What the page tells beside a World of own tables and its provenance."""

    world: World
    sales: pd.DataFrame | None
    """Checked days: date, product_id, sales, price, sold_out; None: no table tells what was sold."""
    examples: Sequence[Mapping[str, Any]] = ()
    """Cells of rows that were set apart: table, row, column, value, reason."""
    has_stock: bool = False
    """Whether a column tells stock or sell-outs."""


class ShownProduct(NamedTuple):
    """One product as the page shows it."""

    name: str
    level: str
    response: str
    evidence: str
    doubts: tuple[str, ...]
    picture: str = ""
    alt: str = ""


def write_data_page(folder: Path, facts: DataFacts) -> Path:
    """Write ``data.html`` into ``folder`` and return its path."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES), autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True
    )
    path = Path(folder) / "data.html"
    write_page(path, environment.get_template("data.html.j2").render(**_view(facts)))
    return path


def _view(facts: DataFacts) -> dict[str, Any]:
    record, world = facts.world.provenance, facts.world
    rows = sorted(record["products"], key=lambda row: -row["units_per_day"] * row["list_price"])
    full = [_shown(row, facts) for row in rows[:IN_FULL]]
    listed = [_shown(row, facts, with_picture=False) for row in rows[IN_FULL : IN_FULL + MOST_LISTED]]
    gaps = _gaps(facts, {row["product_id"]: row["name"] for row in rows})
    missing: list[Missing] = missing_data(world, has_stock=facts.has_stock)
    return {
        "title": f"What the data of {record['data']['name']} tell",
        "spans": [(name, *span) for name, span in record["data"]["spans"].items()],
        "verdict": _verdict(world),
        "rows": _accounts(record["rows"]),
        "notes": record["notes"],
        "examples": [{key: str(value) for key, value in example.items()} for example in facts.examples[:MOST_EXAMPLES]],
        "more_examples": max(len(facts.examples) - MOST_EXAMPLES, 0),
        "full": full,
        "listed": listed,
        "unlisted": max(len(rows) - IN_FULL - MOST_LISTED, 0),
        "products": len(rows),
        "gaps": gaps[:MOST_GAPS],
        "more_gaps": max(len(gaps) - MOST_GAPS, 0),
        "left_out": list(record["left_out"].items())[:MOST_LISTED],
        "more_left_out": max(len(record["left_out"]) - MOST_LISTED, 0),
        "remarks": record["response"],
        "missing": missing,
    }


def _verdict(world: World) -> str:
    reasons = world.uncalibrated_because
    if not reasons:
        return "The World passes every line of its fidelity card: its last weeks, which it had not seen."
    return f"The World is uncalibrated. {'. '.join(reason[:1].upper() + reason[1:] for reason in reasons)}."


def _accounts(rows: Sequence[Mapping[str, Any]]) -> list[tuple[str, list[tuple[str, str]]]]:
    """By table: what became of its rows, and how many."""
    tables: dict[str, list[tuple[str, str]]] = {}
    for row in rows:
        tables.setdefault(str(row["table"]), []).append((str(row["what"]), f"{row['rows']:,}"))
    return list(tables.items())


def _shown(row: Mapping[str, Any], facts: DataFacts, *, with_picture: bool = True) -> ShownProduct:
    low, high = row["units_per_day_interval"]
    level = (
        f"{number(row['units_per_day'])} units a day at {number(row['list_price'])} {facts.world.currency}, 90 % "
        f"interval {number(low)} to {number(high)}"
    )
    low, high = row["elasticity_interval"]
    interval = f"90 % interval {number(low)} to {number(high)}"
    response = f"elasticity {number(row['elasticity'])}, {interval}" if "elasticity" in row else str(row["response"])
    evidence = (
        f"{row['days']} days × {row['prices']} prices; {row['days_elsewhere']} days away from the list price in "
        f"{row['episodes']} episodes"
    )
    doubts = () if row["is_identified"] else ("the response cannot be told from 0 by these prices",)
    name = row["name"] if row["name"] == row["product_id"] else f"{row['name']} ({row['product_id']})"
    shown = ShownProduct(name, level, response, evidence, (*doubts, *row["flags"]))
    if not with_picture or facts.sales is None:
        return shown
    days = facts.sales[facts.sales["product_id"] == row["product_id"]]
    picture = render(history, days, level=row["units_per_day"], interval=row["units_per_day_interval"])
    alt = (
        f"Prices from {number(days['price'].min())} to {number(days['price'].max())}, units a day from "
        f"{number(days['sales'].min())} to {number(days['sales'].max())}"
    )
    return shown._replace(picture=data_uri(picture), alt=alt)


def _gaps(facts: DataFacts, names: Mapping[str, str]) -> list[dict[str, str]]:
    """Products with days that sold out or have no row, or with a stretch of days without a sale that is longer than
    chance makes it; those with most first."""
    if facts.sales is None:
        return []
    by_product = facts.sales.groupby("product_id")
    days, first, last = by_product.size(), by_product["date"].min(), by_product["date"].max()
    absent = (last - first).dt.days + 1 - days
    out, none = by_product["sold_out"].sum(), _longest_without_sale(facts.sales)
    is_odd = none >= LONGEST_BY_CHANCE / by_product["sales"].mean().clip(lower=1e-9)
    order = (absent + out + none * is_odd).sort_values(ascending=False, kind="stable")
    return [
        {
            "name": names.get(str(product), str(product)),
            "days": f"{days[product]:,}",
            "absent": f"{absent[product]:,}",
            "sold_out": f"{int(out[product]):,}",
            "none": f"{int(none[product]):,}",
        }
        for product in order.index[order > 0]
    ]


def _longest_without_sale(sales: pd.DataFrame) -> pd.Series:
    """Days of the longest stretch without a sale, by product."""
    ordered = sales.sort_values(["product_id", "date"], kind="stable")
    is_none = ordered["sales"] == 0.0
    stretch = (~is_none).groupby(ordered["product_id"]).cumsum()
    longest: pd.Series = is_none.groupby([ordered["product_id"], stretch]).sum().groupby(level=0).max()
    return longest


def number(value: float) -> str:
    """Three digits, with thousands apart and a true minus sign."""
    if not np.isfinite(value):
        return "unknown"
    text = f"{value:,.0f}" if abs(value) >= 100.0 else f"{value:.3g}"
    return text.replace("-", "−")
