"""From a shop's own tables to a World: any subset of them, the rest from a base World, every field saying which."""

import copy
import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from flashsim.calibration.shop_tables import learn_world
from flashsim.data.shop_folder import read_mapping
from flashsim.data.shop_tables import read_shop_tables
from flashsim.errors import InputError
from flashsim.fidelity.card import ASKED
from flashsim.models.traffic.latency import LatencyModel
from flashsim.world import World
from tests.data.made_shop import (
    ELASTICITY,
    level_of,
    make_behavior,
    make_sales,
    make_traffic,
    write_tables,
)
from tests.fidelity.promotions.made_promotions import made_sales
from tests.worlds import make_world

BASE = make_world(products=4, members=2, product_ids=("b0", "b1", "b2", "b3"))


def learn(
    folder: Path,
    mapping: Any = None,
    *,
    base: World = BASE,
    seed: int = 0,
    tables: dict[str, pd.DataFrame] | None = None,
    **more: pd.DataFrame,
) -> World:
    own = read_shop_tables(
        write_tables(folder, **(tables or {}), **more),
        read_mapping(mapping, source="map.yaml"),
        most_quarantined=0.05,
        quarantine_file=folder / "quarantine.csv",
    )
    return learn_world(own, base, seed=seed)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    sales = make_sales(112).assign(product_group="group 1", unit_cost=3.0)
    mapping = {"name": "Corner shop", "currency": "EUR"}
    return learn(tmp_path_factory.mktemp("shop"), mapping, sales_data=sales, traffic_data=make_traffic(35))


def by_depth(world: World) -> np.ndarray:
    """Units a day (member, product, depth)."""
    return world.units_per_minute.astype(np.float64).sum(axis=(1, 4)) * 60.0


def test_levels_responses_and_hours_are_those_of_the_tables(world: World) -> None:
    units = by_depth(world)
    np.testing.assert_allclose(units[:, :, 0].mean(axis=0), [level_of(p) for p in range(3)], rtol=0.1)
    slope = np.log(units[:, :2, 12] / units[:, :2, 0]) / np.log1p(-world.depth_grid[12])
    np.testing.assert_allclose(slope.mean(axis=0), ELASTICITY, atol=0.4)
    hours = world.units_per_minute.sum(axis=(0, 1, 2, 3))
    assert hours.argmax() == 20
    assert world.currency == "EUR"
    assert world.population == 1.0
    assert world.name == "Corner shop, 3 products"
    np.testing.assert_array_equal(world.unit_cost, 3.0)


def test_a_product_of_one_price_responds_as_its_group_in_the_base_world(world: World) -> None:
    base = by_depth(BASE)[:, [1, 3]].sum(axis=1)  # the base products of group 1
    expected = base / base[:, :1]
    ours = by_depth(world)[:, 2, ::4]  # our depths are four times as fine
    np.testing.assert_allclose(ours / ours[:, :1], expected, rtol=1e-5)
    (told,) = [row for row in world.provenance["products"] if row["product_id"] == "p2"]
    assert told["response"] == (
        "base World, the group 'group 1': p2 was sold at one price, 11, on all but 0 of its 112 days"
    )
    assert world.supported_depth == pytest.approx(0.4, abs=0.02)
    assert world.supported_depth <= BASE.supported_depth


def test_a_product_that_was_always_discounted_sells_at_that_depth_what_it_sold(tmp_path: Path) -> None:
    sales = make_sales(112).assign(
        list_price=lambda table: table["product_id"].map({"p0": 5.0, "p1": 8.0, "p2": 13.75})
    )
    world = learn(tmp_path, sales_data=sales)
    assert world.list_price[2] == 13.75
    at_20_percent = int(np.flatnonzero(np.isclose(world.depth_grid, 0.2))[0])
    assert by_depth(world)[:, 2, at_20_percent].mean() == pytest.approx(level_of(2), rel=0.1)
    assert by_depth(world)[:, 2, 0].mean() < 0.8 * level_of(2)


def test_provenance_says_for_every_field_whether_it_is_the_tables_or_the_base_worlds(world: World) -> None:
    record = json.loads(json.dumps(world.provenance, allow_nan=False))
    fields = {field.name for field in dataclasses.fields(World)} - {"provenance"}
    assert set(record["fields"]) == set(record["sources"]) == fields
    kinds = {"sales_data", "traffic_data", "user_behavior", "base World", "mapping", "assumption", "fixed"}
    assert {part for source in record["sources"].values() for part in source.split(" and ")} <= kinds
    assert record["sources"]["units_per_minute"] == "sales_data and traffic_data and base World"
    assert record["sources"]["conversion_at_list"] == "sales_data and traffic_data"
    assert record["sources"]["unit_cost"] == "sales_data"
    assert record["sources"]["traffic_share"] == "base World"
    assert "traffic_share" in record["notice"]
    assert record["base"]["fingerprint"] == BASE.fingerprint()
    assert set(record["data"]["sha256"]) == {"sales_data", "traffic_data"}
    assert {assumption["field"] for assumption in record["assumptions"]} == {"traffic_share"}
    assert not any("unit costs" in words for words in record["not_identified"])


def test_the_card_of_a_short_table_gives_for_every_line_the_reason_why_it_was_not_judged(tmp_path: Path) -> None:
    world = learn(tmp_path, {"name": "Corner shop"}, sales_data=make_sales(84), traffic_data=make_traffic(35))
    card = json.loads(json.dumps(world.provenance["fidelity"], allow_nan=False))
    why = {line["name"]: line["why_not_judged"] for line in card["lines"]}
    assert list(why) == list(ASKED)
    assert not card["passed"]
    assert not any(line["passed"] or line["value"] is not None for line in card["lines"])
    too_few = "sales_data covers 84 days, 90 are needed to keep the last weeks back"
    assert why["level"] == why["response"] == why["correlation"] == why["hours"] == why["burstiness"] == too_few
    assert "not learned from your tables" in why["repeats"]
    assert world.title == "Corner shop, 3 products (uncalibrated)"
    (reason,) = world.uncalibrated_because
    assert reason.startswith(f"none of the 13 lines of its fidelity card was judged: {too_few}")


def test_the_card_tells_how_well_past_promotions_were_predicted(world: World, tmp_path: Path) -> None:
    few = world.provenance["fidelity"]["promotions"]
    assert few["sentence"].startswith("Promotions were not back-tested: too few past promotions: ")
    sales, groups = made_sales(products=12)
    told = learn(tmp_path / "long", sales_data=_as_written(sales).assign(product_group=sales["product_id"].map(groups)))
    promotions = told.provenance["fidelity"]["promotions"]
    assert promotions["episodes"] >= 30
    assert {line["name"] for line in promotions["lines"]} >= {"coverage", "right side", "loss against category mean"}
    short = learn(tmp_path / "short", sales_data=make_sales(80)).provenance["fidelity"]["promotions"]
    assert "covers 80 days, 90 are needed" in short["why_not_judged"]


def _as_written(sales: pd.DataFrame) -> pd.DataFrame:
    """A checked table as a shop would write it."""
    return sales.drop(columns="sold_out").assign(date=sales["date"].dt.strftime("%Y-%m-%d"))


def test_the_card_lists_what_was_not_identified_and_what_fell_back_to_which_world(world: World) -> None:
    card = world.provenance["fidelity"]
    of_base = {name for name, source in world.provenance["sources"].items() if "base World" in source}
    assert {row["field"] for row in card["fell_back"]} == of_base
    assert {row["world"] for row in card["fell_back"]} == {BASE.name}
    assert {"field": "traffic_share", "world": BASE.name, "why": "no table of yours tells it"} in card["fell_back"]
    listed = " ".join(card["not_identified"])
    assert "response to price of p2: base World, the group 'group 1': p2 was sold at one price" in listed
    assert "the number of servers was not given" in listed
    assert f"{BASE.name!r}, is uncalibrated itself: no fidelity card" in card["what"]


def test_a_card_without_sales_says_whose_demand_it_is(tmp_path: Path) -> None:
    card = learn(tmp_path, traffic_data=make_traffic(35)).provenance["fidelity"]
    why = {line["name"]: line["why_not_judged"] for line in card["lines"]}
    assert why["level"] == why["response"] == f"your tables tell no demand: it is that of the World {BASE.name!r}"
    assert why["hours"] == why["level"]


def test_a_card_of_one_product_of_one_price_says_so(tmp_path: Path) -> None:
    sales = make_sales(60)
    card = learn(tmp_path, sales_data=sales[sales["product_id"] == "p2"]).provenance["fidelity"]
    why = {line["name"]: line["why_not_judged"] for line in card["lines"]}
    assert why["correlation"] == "one product is sold alone"
    assert why["sign of the response"].startswith("no product tells a response to price of its own")
    assert why["hours"] == f"no table tells the hours of the day: they are those of the World {BASE.name!r}"
    assert why["level"] == "sales_data covers 60 days, 90 are needed to keep the last weeks back"


def test_what_is_said_to_be_the_base_worlds_is(world: World) -> None:
    for field, source in world.provenance["sources"].items():
        if source == "base World" and field != "mailer_effect":
            np.testing.assert_array_equal(getattr(world, field), getattr(BASE, field), err_msg=field)


def test_units_a_visitor_are_those_of_a_day_at_list_price(world: World) -> None:
    sales, traffic = make_sales(112), make_traffic(35)
    asked = sales[sales["date"] < "2026-02-09"]["sales"].sum() / traffic["visits"].sum()
    assert (world.conversion_at_list < 1.1 * asked).all()  # deep offers sell more to each of more visitors
    assert (world.conversion_at_list > 0.3 * asked).all()


def test_the_same_seed_gives_the_same_world_and_a_world_is_saved_and_read(tmp_path: Path) -> None:
    one, again, other = (
        learn(tmp_path / str(i), sales_data=make_sales(60), seed=seed) for i, seed in enumerate((0, 0, 1))
    )
    assert one.fingerprint() == again.fingerprint() != other.fingerprint()
    one.save(tmp_path / "world")
    assert World.load(tmp_path / "world").fingerprint() == one.fingerprint()


def test_servers_are_told_by_traffic_by_the_minute_with_response_times(tmp_path: Path) -> None:
    truth = LatencyModel(0.5, 0.3, 2)  # each of two servers finishes a visit in two seconds
    stamps = pd.date_range("2026-01-05", periods=31 * 1440, freq="min")
    visits = np.random.default_rng(0).poisson(30.0 + 27.0 * np.cos(2.0 * np.pi * (stamps.hour - 20) / 24.0))
    slow = truth.response_times(visits.astype(float), tick_s=60.0)
    traffic = pd.DataFrame({"date": stamps.strftime("%Y-%m-%d %H:%M"), "visits": visits, "response_time_s": slow})
    traffic = traffic[~((stamps.hour % 6 == 4) & (stamps.minute == 0))]  # six hours in a row are enough to fit
    world = learn(tmp_path / "told", {"traffic_data": {"servers": 2}}, traffic_data=traffic)
    assert world.service_rate == pytest.approx(30.0, rel=0.05)
    assert world.provenance["sources"]["service_rate"] == "traffic_data"
    untold = learn(tmp_path / "untold", traffic_data=traffic)
    assert untold.service_rate == BASE.service_rate
    assert any("number of servers was not given" in words for words in untold.provenance["not_learned"])


def test_traffic_alone_changes_the_hours_of_the_base_world_and_nothing_else(tmp_path: Path) -> None:
    world = learn(tmp_path, traffic_data=make_traffic(35, busiest_hour=9))
    np.testing.assert_allclose(by_depth(world), by_depth(BASE), rtol=1e-5)
    assert world.units_per_minute.sum(axis=(0, 1, 2, 3)).argmax() == 9
    assert world.product_ids == BASE.product_ids
    assert world.provenance["sources"]["units_per_minute"] == "traffic_data and base World"
    assert world.provenance["sources"]["list_price"] == "base World"
    np.testing.assert_array_equal(world.conversion_at_list, BASE.conversion_at_list)


def test_behavior_gives_segments_hours_and_units_a_visitor(tmp_path: Path) -> None:
    sales = make_sales(84)
    world = learn(tmp_path, sales_data=sales, user_behavior=make_behavior(84))
    assert world.segment_names == ("deal seekers", "regulars", "occasional")
    assert world.provenance["sources"]["segment_names"] == "user_behavior"
    assert world.provenance["sources"]["conversion_at_list"] == "user_behavior"
    hours = world.units_per_minute.sum(axis=(0, 1, 2, 3))
    assert hours[16:22].sum() > 0.99 * hours.sum()
    share = world.units_per_minute[0, 0].sum(axis=2) / world.units_per_minute[0].sum(axis=(0, 3))
    assert (share[:2, -1] > share[:2, 0]).all()


def test_behavior_alone_is_enough_for_a_world(tmp_path: Path) -> None:
    base = make_world(products=4, members=3)  # it has p0, p1 and p2, too
    world = learn(tmp_path, base=base, user_behavior=make_behavior(84))
    assert world.product_ids == base.product_ids
    assert world.units_per_minute.sum(axis=(0, 1, 2, 3)).argmax() in range(17, 21)
    assert world.provenance["sources"]["conversion_at_list"] == "user_behavior"


def test_events_of_products_that_nobody_knows_tell_no_hours_and_that_is_said(tmp_path: Path) -> None:
    world = learn(tmp_path, user_behavior=make_behavior(84))
    assert world.provenance["sources"]["units_per_minute"] == "base World"
    assert any(words.startswith("hours of the day: 0 purchases") for words in world.provenance["not_learned"])


def test_a_product_that_never_sold_leaves_with_an_entry_in_the_account(tmp_path: Path) -> None:
    sales = make_sales(60)
    sales.loc[sales["product_id"] == "p1", ["sales", "stock_out"]] = 0
    world = learn(tmp_path, sales_data=sales)
    assert world.product_ids == ("p0", "p2")
    assert world.provenance["left_out"] == {"p1": "never sold in 60 rows"}
    told = {row["what"]: row["rows"] for row in world.provenance["rows"]}
    assert told["dropped: product p1 never sold in 60 rows: it is left out"] == 60


def test_the_tables_of_the_caller_stay_as_they_are(tmp_path: Path) -> None:
    sales = make_sales(60)
    sales.loc[sales["product_id"] == "p1", ["sales", "stock_out"]] = 0
    own = read_shop_tables(
        write_tables(tmp_path, sales_data=sales, traffic_data=make_traffic(35), user_behavior=make_behavior(84)),
        read_mapping(None, source="map.yaml"),
        most_quarantined=0.05,
        quarantine_file=tmp_path / "quarantine.csv",
    )
    books, tables = copy.deepcopy((own.account, own.notes, own.quarantine)), copy.deepcopy(own.tables)
    once, again = (learn_world(own, BASE, seed=0) for _ in range(2))
    assert once.fingerprint() == again.fingerprint()
    assert (own.account, own.notes, own.quarantine) == books
    for table, frame in own.tables.items():
        pd.testing.assert_frame_equal(frame, tables[table])


@pytest.mark.parametrize("table", ["sales_data", "traffic_data", "user_behavior"])
def test_fewer_than_thirty_days_are_refused_with_what_to_do(tmp_path: Path, table: str) -> None:
    made = {"sales_data": make_sales(29), "traffic_data": make_traffic(29), "user_behavior": make_behavior(29)}
    with pytest.raises(InputError) as refused:
        learn(tmp_path, tables={table: made[table]})
    assert str(refused.value) == (
        f"{table}.csv covers 29 days, a calibration needs at least 30; bring more, or refresh a World that you have "
        "with them: from_world=FOLDER data=csv data.folder=FOLDER"
    )


def test_tickets_alone_make_no_world(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds support_tickets alone, from which nothing is learned yet"):
        learn(tmp_path, support_tickets=pd.DataFrame({"text": ["a"], "intent": ["b"]}))
