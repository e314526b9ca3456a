"""A World of many products keeps its hours apart; whatever is read from it is what a whole table would tell."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from flashsim.calibration import shop_provenance, shop_surface
from flashsim.calibration.expected_units import expected_units
from flashsim.calibration.shop_surface import with_hours
from flashsim.calibration.shop_tables import learn_world
from flashsim.data.shop_folder import ShopMapping
from flashsim.data.shop_tables import read_shop_tables
from flashsim.errors import InputError
from flashsim.evaluation.probes.misspecified import misspecified
from flashsim.fidelity.held_out import Offers, offered_rates
from flashsim.scenarios import scenario_named
from flashsim.world import World
from tests.calibration.test_shop_card import plentiful
from tests.data.made_shop import make_traffic, write_tables
from tests.worlds import make_world

BASE = make_world(products=4, members=3, product_ids=("b0", "b1", "b2", "b3"))
SALE = pd.DataFrame(
    {"date": pd.to_datetime(["2026-07-06", "2026-07-07"]), "product_id": ["p4", "p1"], "price": [8.3, 10.0]}
)


@pytest.fixture(scope="module")
def worlds(tmp_path_factory: pytest.TempPathFactory) -> tuple[World, World]:
    """The World of one shop with every hour of every depth, and with its hours apart."""
    folder = tmp_path_factory.mktemp("shop")
    sales = plentiful()
    write_tables(folder, sales_data=sales[sales["date"] < "2026-03-20"], traffic_data=make_traffic(35))
    own = read_shop_tables(folder, ShopMapping(), most_quarantined=0.05, quarantine_file=folder / "quarantine.csv")
    with pytest.MonkeyPatch.context() as patch:
        whole = learn_world(own, BASE, seed=0)
        for module in (shop_surface, shop_provenance):
            patch.setattr(module, "MOST_WHOLE", 2)
        patch.setattr(shop_surface, "A_PART", 4)
        apart = learn_world(own, BASE, seed=0)
    return whole, apart


def test_rates_of_both_are_equal_but_for_rounding(worlds: tuple[World, World]) -> None:
    whole, apart = worlds
    assert apart.units_per_minute.shape[4] == 1
    assert whole.hour_profile is None
    assert whole.units_per_minute.nbytes > 10 * apart.units_per_minute.nbytes
    np.testing.assert_allclose(apart.rates(), whole.units_per_minute, rtol=1e-5)
    np.testing.assert_allclose(apart.rates([5, 0]), whole.rates([5, 0]), rtol=1e-5)
    np.testing.assert_allclose(apart.daily_units(), whole.daily_units(), rtol=1e-5)
    np.testing.assert_allclose(apart.hourly_units(), whole.hourly_units(), rtol=1e-5)
    np.testing.assert_allclose(expected_units(apart, SALE), expected_units(whole, SALE), rtol=1e-5)
    tables = [world.provenance["tables"] for world in worlds]
    assert tables[1]["error"] <= tables[1]["bound"]
    assert tables[0]["segments_held"] == tables[1]["segments_held"]


def test_everything_that_reads_a_world_reads_both_alike(worlds: tuple[World, World]) -> None:
    whole, apart = worlds
    depth = np.full((6, 1), 0.13)
    offers = Offers(depth, 0.0 * depth, 0.0 * depth)
    np.testing.assert_allclose(offered_rates(apart, offers), offered_rates(whole, offers), rtol=1e-5)
    profile = np.tile(np.linspace(1.0, 2.0, 24) / np.linspace(1.0, 2.0, 24).sum(), (3, 1))
    hours = [with_hours(world, profile).hourly_units() for world in worlds]
    np.testing.assert_allclose(hours[0], hours[1], rtol=1e-4)
    steep = [misspecified(world, elasticity=2.0).rates() for world in worlds]
    np.testing.assert_allclose(steep[0], steep[1], rtol=1e-4)
    sales = [scenario_named("grocery_evening", world).compile() for world in worlds]
    np.testing.assert_allclose(sales[1].tables.rate, sales[0].tables.rate, rtol=1e-5)


def test_hours_apart_are_saved_and_are_part_of_the_fingerprint(worlds: tuple[World, World], tmp_path: Path) -> None:
    _, apart = worlds
    apart.save(tmp_path / "world")
    again = World.load(tmp_path / "world")
    assert again.hour_profile is not None
    assert apart.hour_profile is not None
    np.testing.assert_array_equal(again.hour_profile, apart.hour_profile)
    assert again.fingerprint() == apart.fingerprint()
    other = replace(apart, hour_profile=np.roll(apart.hour_profile, 1, axis=3))
    assert other.fingerprint() != apart.fingerprint()


def test_hours_that_do_not_belong_are_refused(worlds: tuple[World, World]) -> None:
    whole, apart = worlds
    assert apart.hour_profile is not None
    with pytest.raises(InputError, match="hour_profile: expected a mean of 1 over the hours"):
        replace(apart, hour_profile=1.5 * apart.hour_profile)
    with pytest.raises(InputError, match=r"units_per_minute: expected .*, 1\), got"):
        replace(whole, hour_profile=apart.hour_profile)
    with pytest.raises(InputError, match=r"units_per_minute: expected .*, 24\), got"):
        replace(apart, hour_profile=None)
