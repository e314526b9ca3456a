"""What a shop's data do not tell, what stands in its place, and what it would be worth to bring it.

For a product whose response is uncertain, the worth of a price test is what theory says of it: ``TEST_DAYS`` days at
``TEST_DEPTH`` off add the information  days·mean·ln(1 - depth)² / (1 + alpha·mean)  on the elasticity, mean the units
of such a day, alpha the variance of its frailties (negative binomial counts; McCullagh & Nelder 1989, ch. 6).
"""

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import numpy as np

from flashsim.world import World

TEST_DAYS: Final = 14
TEST_DEPTH: Final = 0.2
INTERVAL_SDS: Final = 1.645
WIDE: Final = 1.0
"""A half-width of the 90 % interval from which on a test of prices is worth telling."""
MOST_TESTS: Final = 5
NEEDED_DAYS: Final = 90
"""With so many days the last weeks are held out and judged (flashsim/calibration/shop_card.py)."""
SEASON_DAYS: Final = 364


class Missing(NamedTuple):
    """Something that the data do not tell."""

    what: str
    now: str
    worth: str


def missing_data(world: World, *, has_stock: bool) -> list[Missing]:
    """What is missing, most telling first."""
    record = world.provenance
    sources, base = record["sources"], record["base"]["name"]
    days = record["data"]["days"].get("sales_data", 0)
    found = []
    if days and days < NEEDED_DAYS:
        found.append(
            Missing(
                f"{NEEDED_DAYS - days} more days of sales",
                "nothing is held out, so the World is uncalibrated",
                "the last weeks can be simulated and compared, line by line",
            )
        )
    found += _price_tests(world)
    if days and not has_stock:
        found.append(
            Missing(
                "days that sold out (stock_out, or stock)",
                "a day that ran out counts as if nobody else had come",
                "levels of products that run out rise to what was asked for; others stay",
            )
        )
    if sources["unit_cost"] != "sales_data" and record["products"]:
        found.append(_costs(record))
    if _is_of_base(sources["conversion_at_list"]):
        found.append(
            Missing(
                "visits (traffic_data)",
                f"units a visitor are those of {base}",
                "how many come for each unit: what servers, doors and waiting rooms have to hold",
            )
        )
    if _is_of_base(sources["service_rate"]):
        found.append(
            Missing(
                "response times beside visits, with the number of servers",
                f"servers are those of {base}",
                "how many servers a rush needs; latency=loopback measures one of yours in half a minute",
            )
        )
    if not {"user_behavior", "orders", "traffic_data"} & set(sources["units_per_minute"].split(" and ")):
        found.append(
            Missing(
                "the hour of each purchase (orders or user_behavior with stamps)",
                f"hours of the day are those of {base}",
                "how much of a day a sale of two hours gets, and the lines hours and burstiness of the card",
            )
        )
    if days and days < SEASON_DAYS:
        found.append(
            Missing(
                "a year of sales",
                "no season is known: each month is taken to be like the last four weeks",
                "levels on a date that is months ahead",
            )
        )
    return found


def _price_tests(world: World) -> list[Missing]:
    """The products that earn most among those whose response is uncertain, and what a test would tell of them."""
    record = world.provenance
    place = {name: number for number, name in enumerate(world.product_ids)}
    wide = [row for row in record["products"] if _half_width(row) > WIDE or "elasticity" not in row]
    wide.sort(key=lambda row: -row["units_per_day"] * row["list_price"])
    found = []
    for row in wide[:MOST_TESTS]:
        before = _half_width(row)
        common = float(world.frailty_common_variance.mean())
        alpha = (1.0 + common) * (1.0 + float(world.frailty_product_variance[:, place[row["product_id"]]].mean())) - 1.0
        after = _after_test(row["units_per_day"], before, _middle(row), alpha=alpha)
        found.append(
            Missing(
                f"other prices of {row['name']}",
                f"its elasticity is known to ± {before:.1f} (90 %)"
                if np.isfinite(before)
                else "nothing tells its elasticity",
                f"{TEST_DAYS} days at {TEST_DEPTH:.0%} off would tell it to ± {after:.1f}",
            )
        )
    if len(wide) > MOST_TESTS:
        more = f"the same of {len(wide) - MOST_TESTS} more products"
        found.append(Missing(more, "see products.csv", "a test of the best sellers first tells most"))
    return found


def _after_test(units: float, half_width: float, elasticity: float, *, alpha: float) -> float:
    """Half-width of the 90 % interval after the test."""
    moved = np.log1p(-TEST_DEPTH)
    mean = units * np.exp(elasticity * moved)
    told = TEST_DAYS * mean * moved**2 / (1.0 + alpha * mean)
    known = (INTERVAL_SDS / half_width) ** 2 if np.isfinite(half_width) and half_width > 0.0 else 0.0
    return float(INTERVAL_SDS / np.sqrt(max(told + known, 1e-12)))


def _half_width(row: Mapping[str, Any]) -> float:
    low, high = row["elasticity_interval"]
    return float(high - low) / 2.0


def _middle(row: Mapping[str, Any]) -> float:
    low, high = row["elasticity_interval"]
    middle = float(low + high) / 2.0
    return middle if np.isfinite(middle) else -2.6


def _costs(record: Mapping[str, Any]) -> Missing:
    revenue = sum(row["units_per_day"] * row["list_price"] for row in record["products"])
    return Missing(
        "unit costs (unit_cost)",
        "a gross margin is assumed for products without one",
        f"each point of margin that is off moves the profit of an ordinary day by about {revenue / 100.0:,.2f}",
    )


def _is_of_base(source: str) -> bool:
    return source == "base World"
