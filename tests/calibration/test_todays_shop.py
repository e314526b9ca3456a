"""A World is today's shop and not its average: levels, list prices and responses of histories that mislead."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from flashsim.calibration.expected_units import expected_units
from flashsim.calibration.refresh import refresh_world
from flashsim.calibration.shop_tables import learn_world
from flashsim.data.shop_tables import CheckedTables
from flashsim.scenarios import SCENARIOS, scenario_named
from flashsim.world import World
from tests.data.made_shop import read_shop, write_tables
from tests.models.demand.made_shops import KINDS, make_shop
from tests.worlds import make_world

BASE = make_world(products=4, members=3, product_ids=("b0", "b1", "b2", "b3"))


def read(folder: Path, sales: pd.DataFrame) -> CheckedTables:
    return read_shop(write_tables(folder, sales_data=sales))


def learn(folder: Path, sales: pd.DataFrame, *, base: World = BASE) -> World:
    return learn_world(read(folder, sales), base, seed=0)


def one_product(units: np.ndarray, price: np.ndarray, *, first: str = "2025-01-01") -> pd.DataFrame:
    dates = pd.date_range(first, periods=len(units)).strftime("%Y-%m-%d")
    return pd.DataFrame({"date": dates, "product_id": "A1", "sales": units, "price": np.round(price, 2)})


def level(world: World) -> float:
    """Units a day at list price, mean of members."""
    return float(world.units_per_minute[:, :, 0, 0].sum(axis=(1, 2), dtype=np.float64).mean() * 60.0)


def response(world: World) -> str:
    """What stands in for or tells the response of the one product."""
    return str(world.provenance["products"][0]["response"])


def last_four_weeks(world: World, sales: pd.DataFrame) -> float:
    """Units that the World expects at the prices of the last 28 days, over those sold."""
    rows = sales.assign(date=pd.to_datetime(sales["date"]))
    rows = rows[rows["date"] > rows["date"].max() - pd.Timedelta(days=28)]
    return float(expected_units(world, rows).mean(axis=0).sum() / rows["sales"].sum())


@pytest.mark.parametrize("seed", range(3))
def test_averages_as_prices_do_not_make_the_least_of_them_the_usual_price(tmp_path: Path, seed: int) -> None:
    generator = np.random.default_rng(seed)
    price = 10.0 + 0.01 * np.arange(60.0)
    price[40] = 5.0
    sales = one_product(generator.poisson(24.0, size=60), price)
    world = learn(tmp_path, sales)
    assert world.list_price[0] == pytest.approx(10.3, abs=0.05)
    assert level(world) == pytest.approx(24.0, rel=0.1)
    assert response(world).startswith("base World, all products: A1 changed its price slowly and for good")


@pytest.mark.parametrize("seed", range(3))
def test_a_shop_that_grows_is_taken_as_it_sells_now(tmp_path: Path, seed: int) -> None:
    generator = np.random.default_rng(seed)
    is_cut = np.arange(365) % 21 < 2
    mean = np.linspace(10.0, 39.0, 365) * np.where(is_cut, 0.8**-2.0, 1.0)
    sales = one_product(generator.poisson(mean), np.where(is_cut, 8.0, 10.0))
    world = learn(tmp_path, sales)
    assert world.list_price[0] == 10.0
    assert level(world) == pytest.approx(38.0, rel=0.1)
    assert last_four_weeks(world, sales) == pytest.approx(1.0, abs=0.1)
    (told,) = world.provenance["products"]
    assert told["is_identified"]
    low, high = told["elasticity_interval"]
    assert low < -2.0 < high
    assert (told["days"], told["days_elsewhere"], told["prices"]) == (365, 36, 2)


@pytest.mark.parametrize("elasticity", [0.0, -2.0])
def test_one_change_of_price_within_a_trend_tells_no_response(tmp_path: Path, elasticity: float) -> None:
    price = np.where(np.arange(365) < 240, 10.0, 8.0)
    mean = 10.0 * 4.0 ** (np.arange(365) / 364) * (price / 8.0) ** elasticity
    sales = one_product(np.random.default_rng(1).poisson(mean), price)
    world = learn(tmp_path, sales)
    assert world.list_price[0] == 8.0
    low, high = world.provenance["products"][0]["elasticity_interval"]
    assert low < 0.0 < high
    assert "A1 changed its price once and for good: demand that changed at the same time would explain" in response(
        world
    )
    listed = " ".join(world.provenance["fidelity"]["not_identified"])
    assert "changed its price once and for good" in listed
    assert last_four_weeks(world, sales) == pytest.approx(1.0, abs=0.1)


def test_a_shop_of_small_discounts_plays_every_named_scenario(tmp_path: Path) -> None:
    is_cut = np.arange(42) % 6 == 0
    units = np.random.default_rng(0).poisson(np.where(is_cut, 14.0, 8.0))
    world = learn(tmp_path, one_product(units, np.where(is_cut, 8.0, 10.0)))
    assert world.supported_depth <= 0.2
    for name in SCENARIOS:
        menu = scenario_named(name, world)
        assert menu.depths[-1] == world.supported_depth
        assert any("support no discount deeper than" in words for words in menu.compile().menu_notes)
    chosen = scenario_named("grocery_evening", world, depths=(0.0, 0.1, 0.2), date="2025-03-01")
    assert np.isfinite(chosen.compile().tables.rate).all()


@pytest.mark.parametrize("kind", [kind for kind in KINDS if "sparse" not in kind])
def test_the_world_sells_at_the_prices_of_the_last_four_weeks_what_was_sold(tmp_path: Path, kind: str) -> None:
    """Whatever responds: own products, and those that take the base World's response."""
    truth = make_shop(kind, 7)
    sales = truth.sales.assign(stock_out=truth.sales["sold_out"].astype(int), sales=truth.sales["sales"].astype(int))
    world = learn(tmp_path, sales.drop(columns="sold_out"))
    if not truth.sales["sold_out"].any():
        assert last_four_weeks(world, sales) == pytest.approx(1.0, abs=0.16)
    assert np.isfinite(world.units_per_minute).all()


def test_prices_above_todays_list_price_do_not_move_the_level(tmp_path: Path) -> None:
    """The price was cut for good five weeks ago, so that most of the history lies above today's list price."""
    price = np.where(np.arange(200) < 165, 12.0, 9.0)
    mean = 30.0 * (price / 9.0) ** -2.0
    sales = one_product(np.random.default_rng(2).poisson(mean), price)
    world = learn(tmp_path, sales)
    assert world.list_price[0] == 9.0
    assert level(world) == pytest.approx(30.0, rel=0.1)


def test_a_product_that_is_mostly_promoted_is_flagged(tmp_path: Path) -> None:
    truth = make_shop("promoted two days in three", 0)
    (told,) = learn(tmp_path, truth.sales.drop(columns="sold_out")).provenance["products"]
    assert any("it was promoted on" in words for words in told["flags"])


def test_a_season_of_two_years_follows_the_date_and_an_update_moves_with_it(tmp_path: Path) -> None:
    generator = np.random.default_rng(3)
    day = np.arange(730)
    is_cut = day % 20 < 2
    season = np.exp(0.5 * np.cos(2.0 * np.pi * day / 365.25))
    mean = 30.0 * season * np.where(is_cut, 0.8**-2.0, 1.0)
    sales = one_product(generator.poisson(mean), np.where(is_cut, 8.0, 10.0))
    world = learn(tmp_path / "first", sales)
    assert level(world) == pytest.approx(30.0 * np.exp(0.5), rel=0.15)
    june, now = (
        scenario_named("grocery_evening", world, depths=(0.0, 0.2), **when).compile().tables.rate.sum()
        for when in ({"date": "2027-06-30"}, {"weekday": 2})
    )
    assert june / now == pytest.approx(np.exp(-1.0), rel=0.2)
    later = np.arange(730, 730 + 90)
    as_before = 30.0 * np.exp(0.5 * np.cos(2.0 * np.pi * later / 365.25))
    days = one_product(generator.poisson(as_before), np.full(90, 10.0), first="2027-01-01")
    moved = refresh_world(world, read(tmp_path / "new", days), seed=0).world
    assert moved.level_days is not None
    assert moved.level_days.as_of == "2027-03-31"
    assert level(moved) == pytest.approx(as_before[-28:].mean(), rel=0.15)
