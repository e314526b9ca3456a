"""A World may hold more products than a sale: the best supported are on sale, or those that are named."""

from dataclasses import replace

import pytest

from flashsim.errors import InputError
from flashsim.scenarios import SCENARIOS, Scenario, scenario_named
from flashsim.scenarios.assortment import best_supported
from flashsim.world import World
from tests.worlds import make_world


def large(products: int) -> World:
    ids = tuple(f"p{number}" for number in range(products))
    return make_world(products=products, members=2, product_ids=ids)


def told(world: World, *, identified: range, flagged: range = range(0)) -> World:
    """``world`` whose calibration says of which products it knows the response, and which of these it doubts."""
    rows = [
        {
            "product_id": name,
            "is_identified": place in identified,
            "flags": ["steep"] if place in flagged else [],
        }
        for place, name in enumerate(world.product_ids)
    ]
    return replace(world, provenance={"products": rows})


def test_a_world_of_64_products_is_sold_whole_and_of_a_larger_one_the_eight_best_supported() -> None:
    assert scenario_named("grocery_evening", large(64)).compile().products == 64
    world = told(large(65), identified=range(20, 32), flagged=range(20, 23))
    assert best_supported(world, 9) == tuple(f"p{place}" for place in range(23, 32))
    sale = scenario_named("grocery_evening", world).compile()
    assert sale.products == 8
    (note,) = [note for note in sale.menu_notes if "65 products" in note]
    assert "p31" in note
    assert "p20" not in note
    assert "scenario.products=[…] chooses others" in note


def test_products_that_are_named_are_on_sale_and_nothing_is_said_of_others() -> None:
    sale = scenario_named("grocery_evening", large(70), products=("p69", "p3")).compile()
    assert sale.product_names == tuple(large(70).product_names[place] for place in (69, 3))
    assert not any("70 products" in note for note in sale.menu_notes)


def test_among_equals_those_that_sell_most_are_on_sale() -> None:
    world = large(70)
    units = world.units_per_minute.copy()
    units[:, :, 40] *= 50.0
    assert "p40" in best_supported(replace(world, units_per_minute=units), 1)


def test_more_than_256_products_are_refused_in_a_sentence() -> None:
    world = large(300)
    with pytest.raises(InputError, match="products: a sale has 256 products at most, got 257; name fewer"):
        Scenario(world=world, name="many", story="all at once", products=world.product_ids[:257])


@pytest.mark.parametrize("name", sorted(SCENARIOS))
def test_every_named_scenario_is_planned_on_a_large_world(name: str) -> None:
    sale = scenario_named(name, told(large(100), identified=range(90, 100))).compile()
    assert sale.products == (1 if name == "seckill" else 8)


def test_a_record_that_is_not_ours_ranks_nobody() -> None:
    world = large(70)
    for rows in ("no list", [None, 3, {"product_id": ["x"] * 2}], [{"product_id": "p1", "is_identified": "yes"}]):
        assert len(best_supported(replace(world, provenance={"products": rows}), 8)) == 8
