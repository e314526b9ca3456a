"""Worlds of own tables of 90 days or more are judged on their last weeks, which they did not see."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from flashsim.calibration.shop_card import hold_out, last_weeks
from flashsim.calibration.shop_tables import learn_world
from flashsim.data.shop_folder import ShopMapping
from flashsim.data.shop_tables import CheckedTables, read_shop_tables
from flashsim.world import World
from tests.data.made_shop import make_sales, write_tables
from tests.worlds import make_world

BASE = make_world(products=4, members=12, product_ids=("b0", "b1", "b2", "b3"))
DAYS = 182
DEMAND_LINES = ("level", "distribution", "PIT", "coverage", "dispersion", "response", "sign of the response")


def own(folder: Path, **tables: pd.DataFrame) -> CheckedTables:
    where = write_tables(folder, **tables)
    return read_shop_tables(where, ShopMapping(), most_quarantined=0.05, quarantine_file=folder / "quarantine.csv")


def lines_of(world: World) -> dict[str, dict[str, Any]]:
    return {line["name"]: line for line in world.provenance["fidelity"]["lines"]}


def plentiful(*, seed: int = 0) -> pd.DataFrame:
    """Sales of six products that never run out."""
    generator, dates = np.random.default_rng(seed), pd.date_range("2026-01-05", periods=DAYS)
    tables = []
    for product in range(6):
        depth = np.repeat(generator.choice([0.0, 0.0, 0.0, 0.2, 0.35], size=DAYS // 3 + 1), 3)[:DAYS]
        mean = 8.0 * (1.0 + product) * (1.0 - depth) ** -2.5 * generator.gamma(20.0, 0.05, size=DAYS)
        facts = {"date": dates.strftime("%Y-%m-%d"), "product_id": f"p{product}", "sales": generator.poisson(mean)}
        tables.append(pd.DataFrame(facts | {"price": np.round(10.0 * (1.0 - depth), 2)}))
    return pd.concat(tables, ignore_index=True)


def purchases(sales: pd.DataFrame, *, share: float = 1.0) -> pd.DataFrame:
    """A purchase with a stamp for each unit, or for a ``share`` of them; most in the evening."""
    generator = np.random.default_rng(5)
    rows = np.repeat(np.arange(len(sales)), generator.binomial(sales["sales"].to_numpy(), share))
    profile = 1.0 + 0.8 * np.cos(2.0 * np.pi * (np.arange(24) - 19) / 24.0)
    hour = generator.choice(24, size=rows.size, p=profile / profile.sum())
    stamp = pd.to_datetime(sales["date"].to_numpy()[rows]) + pd.to_timedelta(hour, unit="h")
    facts = {"user_id": generator.integers(900, size=rows.size), "timestamp": stamp.strftime("%Y-%m-%d %H:%M:%S")}
    return pd.DataFrame(facts | {"item_id": sales["product_id"].to_numpy()[rows], "behavior": "buy"})


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    sales = plentiful()
    tables = own(tmp_path_factory.mktemp("shop"), sales_data=sales, user_behavior=purchases(sales))
    return learn_world(tables, BASE, seed=0)


def test_the_last_weeks_of_a_shop_that_stays_as_it_was_pass(world: World) -> None:
    card, lines = world.provenance["fidelity"], lines_of(world)
    assert "why_not_judged" not in card
    assert card["weeks"] == 6
    assert {name: lines[name]["passed"] for name in DEMAND_LINES} == dict.fromkeys(DEMAND_LINES, True)
    assert {row["product_id"] for row in card["products"]} == {f"p{product}" for product in range(6)}


def test_hours_are_judged_where_purchases_have_stamps_and_lines_that_nothing_tells_say_why(world: World) -> None:
    lines = lines_of(world)
    assert lines["hours"]["passed"]
    assert lines["burstiness"]["passed"]
    assert "not learned from your tables" in lines["repeats"]["why_not_judged"]
    assert any(reason.startswith("repeats was not judged: what a customer") for reason in world.uncalibrated_because)


def test_the_hours_of_a_few_purchases_do_not_pass_for_those_of_all_units(tmp_path: Path) -> None:
    sales = make_sales(DAYS)
    tables = own(tmp_path, sales_data=sales, user_behavior=purchases(sales, share=0.2))
    lines = lines_of(learn_world(tables, BASE, seed=0))
    assert lines["hours"]["why_not_judged"] == "no table tells in which hours most units were sold"


def test_a_shop_that_doubles_in_its_last_weeks_fails_in_its_level(tmp_path: Path) -> None:
    sales = plentiful()
    first, _ = last_weeks(pd.to_datetime(sales["date"]))
    late = pd.to_datetime(sales["date"]) >= first
    sales.loc[late, "sales"] *= 2
    lines = lines_of(learn_world(own(tmp_path, sales_data=sales), BASE, seed=0))
    assert lines["level"]["value"] > 1.1
    assert not lines["level"]["passed"]
    assert "no table tells the hours" in lines["hours"]["why_not_judged"]


def test_no_later_row_moves_what_is_simulated(tmp_path: Path) -> None:
    """The World of the card is learned from the days before: only the levels of later weeks follow."""
    sales = plentiful()
    first, weeks = last_weeks(pd.to_datetime(sales["date"]))
    changed = sales.copy()
    changed.loc[pd.to_datetime(sales["date"]) >= first, "sales"] += 7
    held = []
    for number, table in enumerate((sales, changed)):
        tables = own(tmp_path / str(number), sales_data=table)
        assert tables.sales is not None
        judging = make_world(products=6, members=2, product_ids=tuple(f"p{product}" for product in range(6)))
        held.append(hold_out(judging, tables.sales, bought=None, first=first, weeks=weeks))
    np.testing.assert_array_equal(held[0].level[:, 0], held[1].level[:, 0])
    assert (held[0].level[:, 1:] < held[1].level[:, 1:]).all()


def test_days_that_sold_out_or_have_no_row_are_not_compared_and_offers_are_those_of_each_day(tmp_path: Path) -> None:
    sales = make_sales(DAYS)
    date = pd.to_datetime(sales["date"])
    first, weeks = last_weeks(date)
    tables = own(tmp_path, sales_data=sales)
    assert tables.sales is not None
    table = tables.sales[(tables.sales["product_id"] != "p1") | (tables.sales["date"] != first)]
    judging = make_world(products=3, members=2, product_ids=("p0", "p1", "p2"))
    held = hold_out(judging, table, bought=None, first=first, weeks=weeks)
    out = table[table["sold_out"] & (table["date"] >= first)]
    assert len(out)
    place = out["product_id"].map({"p0": 0, "p1": 1, "p2": 2})
    assert not held.counted[place, (out["date"] - first).dt.days].any()
    assert not held.counted[1, 0]
    assert held.counted[0].any()
    assert held.offers.depth.shape == (3, weeks * 7)
    assert not held.has_hours


@pytest.mark.parametrize(("days", "weeks"), [(90, 4), (112, 4), (182, 6), (365, 12), (1100, 16)])
def test_a_quarter_of_the_whole_weeks_is_held_out(days: int, weeks: int) -> None:
    dates = pd.Series(pd.date_range("2026-01-07", periods=days))
    first, found = last_weeks(dates)
    assert (found, first.day_of_week) == (weeks, 0)
    assert dates.max() - pd.Timedelta(days=7) < first + pd.Timedelta(weeks=weeks) - pd.Timedelta(days=1) <= dates.max()
