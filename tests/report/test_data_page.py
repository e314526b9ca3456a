"""The data page says what was read, learned and missing, shows what matters first, and trusts no name from the data."""

import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from flashsim.report import DataFacts, write_data_page
from flashsim.report.data_page import IN_FULL, MOST_LISTED, number
from flashsim.report.missing_data import missing_data
from flashsim.world import World
from tests.worlds import make_world

NASTY = "<script>alert(1)</script> 超级绿茶 & Söhne"
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


def product(place: int, **changes: Any) -> dict[str, Any]:
    row = {
        "product_id": f"p{place}",
        "name": f"Product {place}" if place else NASTY,
        "group": "tea",
        "list_price": 10.0,
        "units_per_day": 100.0 / (1 + place),
        "units_per_day_interval": [90.0 / (1 + place), 110.0 / (1 + place)],
        "days": 120,
        "days_elsewhere": 21,
        "prices": 4,
        "episodes": 5,
        "is_identified": True,
        "flags": [],
        "elasticity_interval": [-2.9, -2.1],
        "response": "sales_data",
        "elasticity": -2.5,
    }
    return row | changes


def learned(products: list[dict[str, Any]], *, days: int = 120, **sources: str) -> World:
    """A World whose provenance is that of own tables."""
    record = {
        "data": {
            "name": "Corner shop",
            "days": {"sales_data": days},
            "spans": {"sales_data": ["2026-01-05", "2026-05-04"]},
        },
        "base": {"name": "Base"},
        "rows": [
            {"table": "orders", "what": "read", "rows": 12_345},
            {"table": "orders", "what": "dropped: a refund", "rows": 67},
        ],
        "notes": [f"orders.csv: detected the separator ; in {NASTY}"],
        "products": products,
        "left_out": {NASTY: "never sold in 40 rows"},
        "response": ["There is no instrument."],
        "sources": {
            "unit_cost": "assumption",
            "conversion_at_list": "base World",
            "service_rate": "base World",
            "units_per_minute": "sales_data and base World",
            **sources,
        },
    }
    ids = tuple(str(row["product_id"]) for row in products)
    return make_world(products=len(ids), members=2, product_ids=ids, provenance=record)


def history(ids: list[str], *, days: int = 120) -> pd.DataFrame:
    generator, dates = np.random.default_rng(0), pd.date_range("2026-01-05", periods=days)
    tables = [
        pd.DataFrame({"date": dates, "product_id": name, "sales": generator.poisson(30, days), "price": 10.0})
        for name in ids
    ]
    return pd.concat(tables, ignore_index=True).assign(sold_out=False)


def page(folder: Path, world: World, **facts: Any) -> str:
    sales = history(list(world.product_ids[:12]))
    facts = {"sales": sales} | facts
    return write_data_page(folder, DataFacts(world, **facts)).read_text(encoding="utf-8")


def test_it_tells_rows_conversions_and_examples_and_escapes_what_the_data_say(tmp_path: Path) -> None:
    example = {"table": "orders", "file": "o.csv", "row": 7, "column": "price", "value": NASTY, "reason": "no number"}
    html = page(tmp_path, learned([product(0), product(1)]), examples=[example] * 15)
    assert "<script>" not in html
    assert html.count("&lt;script&gt;") >= 4
    for words in (
        "12,345",
        "dropped: a refund",
        "detected the separator",
        "row 7",
        "no number",
        "never sold in 40 rows",
    ):
        assert words in html
    assert "3 more cells are in quarantine.csv" in html
    assert "http" not in html.replace("http-equiv", "")


def test_each_product_is_told_with_its_evidence_and_its_doubts(tmp_path: Path) -> None:
    doubtful = product(1, is_identified=False, flags=["implausibly steep"], elasticity_interval=[-6.0, 0.0])
    doubtful.pop("elasticity")
    doubtful["response"] = "base World, all products: p1 was sold at one price"
    html = page(tmp_path, learned([product(0), doubtful]))
    assert "100 units a day at 10 USD, 90 % interval 90 to 110" in html
    assert "elasticity −2.5, 90 % interval −2.9 to −2.1" in html
    assert "120 days × 4 prices; 21 days away from the list price in 5 episodes" in html
    assert "p1 was sold at one price" in html
    assert "implausibly steep" in html
    assert html.count("data:image/svg+xml;base64") == 2


def test_of_many_products_those_that_earn_most_come_first_and_the_rest_is_folded(tmp_path: Path) -> None:
    products = [product(place) for place in range(IN_FULL + MOST_LISTED + 5)][::-1]
    html = page(tmp_path, learned(products), sales=history([f"p{place}" for place in range(IN_FULL)]))
    assert html.count("<article>") == IN_FULL
    first = html[: html.index("<details>")]
    assert re.findall(r"Product (\d+) \(", first) == [str(place) for place in range(1, IN_FULL)]
    assert f"{MOST_LISTED} more products</summary>" in html
    assert "5 more products are in products.csv" in html
    assert len(html) < 1_500_000


def test_gaps_stock_outs_and_long_silences_are_told_and_chance_is_not(tmp_path: Path) -> None:
    sales = history(["p0", "p1", "p2", "p3"])
    sales.loc[(sales["product_id"] == "p1") & (sales["date"] < "2026-01-08"), "sold_out"] = True
    silent = sales["date"].between("2026-02-01", "2026-02-04")
    sales.loc[(sales["product_id"] == "p2") & silent, "sales"] = 0
    sales = sales[(sales["product_id"] != "p0") | ~silent]
    html = page(tmp_path, learned([product(place) for place in range(4)]), sales=sales)
    gaps = html[html.index('id="section-gaps"') : html.index('id="section-missing"')]
    cells = re.findall(r"<th scope=\"row\">(.*?)</th>((?:<td>.*?</td>)+)", gaps)
    told = {name: re.findall(r"<td>(.*?)</td>", row) for name, row in cells}
    assert next(iter(told)).startswith("&lt;script")
    assert list(told.values()) == [["116", "4", "0", "0"], ["120", "0", "0", "4"], ["120", "0", "3", "0"]]


def test_what_is_missing_says_what_stands_instead_and_what_it_would_be_worth() -> None:
    wide = product(1, elasticity_interval=[-5.0, -0.5])
    found = {item.what: item for item in missing_data(learned([product(0), wide], days=60), has_stock=False)}
    assert "30 more days of sales" in found
    test = found["other prices of Product 1"]
    assert test.now == "its elasticity is known to ± 2.2 (90 %)"
    told = float(test.worth.split("± ")[1].rstrip("."))
    assert 0.05 < told < 2.2
    assert "by about 15.00" in found["unit costs (unit_cost)"].worth
    assert {"visits (traffic_data)", "a year of sales"} < set(found)
    own = {"unit_cost": "sales_data", "conversion_at_list": "traffic_data", "service_rate": "traffic_data"}
    whole = learned([product(0)], days=400, units_per_minute="sales_data and orders", **own)
    assert missing_data(whole, has_stock=True) == []


def test_a_world_without_sales_has_a_page_too(tmp_path: Path) -> None:
    world = learned([product(0)])
    record = world.provenance | {"products": [], "data": world.provenance["data"] | {"days": {"traffic_data": 40}}}
    html = page(tmp_path, replace(world, provenance=record), sales=None)
    assert "0 products were learned" in html
    assert "section-products" not in html


@pytest.mark.parametrize(("value", "text"), [(-2.5, "−2.5"), (12345.6, "12,346"), (0.0, "0"), (np.inf, "unknown")])
def test_numbers_are_written_in_one_style(value: float, text: str) -> None:
    assert number(value) == text


@pytest.mark.skipif(CHROMIUM is None, reason="no chromium on PATH (on Debian: apt-get install chromium)")
def test_the_page_does_not_scroll_sideways_in_a_browser(tmp_path: Path) -> None:
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    long = product(1, name="x" * 300, flags=["y" * 200])
    example = {"table": "orders", "row": 7, "column": "price", "value": "z" * 200, "reason": "no number"}
    products = [product(0), long, *(product(place) for place in range(2, 30))]
    page(tmp_path, learned(products), examples=[example])
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        for width, height in ((390, 844), (1280, 800)):
            told: list[str] = []
            shown = browser.new_page(viewport={"width": width, "height": height})
            shown.on("console", lambda message, told=told: told.append(message.text))
            shown.on("request", lambda request, told=told: told.append(request.url))
            shown.goto((tmp_path / "data.html").as_uri())
            shown.evaluate("document.querySelectorAll('details').forEach(part => part.open = true)")
            root = "document.documentElement"
            assert shown.evaluate(f"{root}.scrollWidth") == shown.evaluate(f"{root}.clientWidth") == width
            inner = (
                "[...document.querySelectorAll('*')].filter(e => e.scrollWidth > e.clientWidth + 1 && e.clientWidth)"
            )
            assert shown.evaluate(f"{inner}.length") == 0
            assert [url for url in told if not url.startswith(("file:", "data:"))] == []
        browser.close()
