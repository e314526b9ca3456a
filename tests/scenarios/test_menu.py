"""A menu that nobody set ends where the World's support does, and says so; one that was set is played or refused."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from flashsim.errors import InputError
from flashsim.evaluation.rollout import play
from flashsim.rules import ladder, list_price
from flashsim.scenarios import SCENARIOS, read_scenario, scenario_named, write_scenario
from flashsim.world import World
from tests.worlds import make_scenario, make_world

STEPS = (0.0, 0.1, 0.15, 0.2, 0.3, 0.4, 0.45)
TENTHS = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5)
USUAL = {
    "grocery_evening": STEPS,
    "seckill": TENTHS,
    "shopping_festival": STEPS,
    "clearance": TENTHS,
    "flaky_platform": STEPS,
}
BEYOND = "The discount menu goes beyond 20 %, the deepest discount that the data support."


def shallow(depth: float = 0.2, **changes: Any) -> World:
    """A World whose data support discounts up to ``depth``."""
    return make_world(supported_depth=depth, **changes)


def up_to(depth: float) -> World:
    """A World that knows rates up to ``depth`` alone, a node of the grid, and supports discounts up to a half."""
    world = make_world()
    kept = world.depth_grid <= depth
    return replace(world, depth_grid=world.depth_grid[kept], units_per_minute=world.units_per_minute[:, :, :, kept])


@pytest.mark.parametrize("name", SCENARIOS)
@pytest.mark.parametrize("depth", [0.45, 0.2, 0.12, 0.05])
def test_a_menu_that_nobody_set_ends_at_the_deepest_supported_discount(name: str, depth: float) -> None:
    usual = USUAL[name]
    sale = scenario_named(name, shallow(depth)).compile()
    kept = [step for step in usual if step <= depth]
    assert sale.depths[0].tolist() == sorted({*kept, min(depth, usual[-1])})
    assert not sale.is_extrapolated
    left_out = [f"{100 * step:g} %" for step in usual if step > depth]
    told = f"Left out of the discount menu: {', '.join(left_out)}. The data support no discount deeper than "
    instead = "" if depth in usual else ", which is on the menu instead"
    assert list(sale.menu_notes) == [f"{told}{100 * depth:g} %{instead}."] * bool(left_out)


@pytest.mark.parametrize("name", SCENARIOS)
def test_a_world_that_supports_the_menu_changes_nothing_of_it(name: str) -> None:
    sale = scenario_named(name, make_world()).compile()
    assert tuple(sale.depths[0]) == USUAL[name]
    assert sale.menu_notes == ()


@pytest.mark.parametrize("name", SCENARIOS)
def test_a_menu_that_was_set_is_refused_beyond_the_data_unless_that_is_allowed(name: str) -> None:
    with pytest.raises(
        InputError, match=rf"^{name}: depths: the data support depths up to 0\.2, got 0\.3; .*allow_ext"
    ):
        scenario_named(name, shallow(), depths=[0, 0.3])
    allowed = scenario_named(name, shallow(), depths=[0, 0.3], allow_extrapolation=True)
    assert allowed.depths == (0.0, 0.3)
    assert allowed.compile().menu_notes == (BEYOND,)
    assert scenario_named(name, shallow(), depths=[0, 0.1]).compile().menu_notes == ()


def test_extrapolation_that_is_allowed_leaves_the_usual_menu_as_far_as_rates_are_known() -> None:
    whole = scenario_named("clearance", shallow(), allow_extrapolation=True).compile()
    assert tuple(whole.depths[0]) == TENTHS
    assert whole.menu_notes == (BEYOND,)
    part = scenario_named("clearance", replace(up_to(0.3), supported_depth=0.2), allow_extrapolation=True).compile()
    assert part.depths[0].tolist() == [0.0, 0.1, 0.2, 0.3]
    told = "Left out of the discount menu: 40 %, 50 %. The World knows no discount deeper than 30 %."
    assert part.menu_notes == (told, BEYOND)


def test_a_world_whose_table_ends_early_cuts_the_menu_there() -> None:
    sale = scenario_named("seckill", up_to(0.2)).compile()
    assert sale.depths[0].tolist() == [0.0, 0.1, 0.2]
    assert sale.menu_notes[0].endswith("The World knows no discount deeper than 20 %.")


def test_a_world_without_discounts_is_refused_by_name_and_plays_at_list_price() -> None:
    world = up_to(0.0)
    with pytest.raises(InputError, match=r"^seckill: depths: the World 'hand_made' knows no discount, .* depths=\[0\]"):
        scenario_named("seckill", world)
    sale = scenario_named("seckill", world, depths=[0], ticks=4).compile()
    assert play(sale, list_price(sale), sales=2, seed=0).totals["paid"].shape[0] == 2


def test_a_complete_file_without_depths_is_cut_like_a_named_scenario(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("format_version: 1\nname: mine\nstory: A sale of one's own.\n")
    (tmp_path / "late.yaml").write_text("format_version: 1\nbase: clearance\nname: late\n")
    for name in ("mine", "late"):
        scenario = read_scenario(tmp_path / f"{name}.yaml", shallow(0.25))
        assert scenario.depths == (0.0, 0.1, 0.2, 0.25)
        assert "30 %, 40 %, 50 %" in scenario.menu_notes[0]


def test_what_is_written_of_a_cut_menu_is_the_menu_that_was_played(tmp_path: Path) -> None:
    scenario = scenario_named("clearance", shallow())
    write_scenario(tmp_path / "mine.yaml", scenario)
    again = read_scenario(tmp_path / "mine.yaml", make_world())
    assert again.depths == scenario.depths
    assert again.menu_notes == ()


def test_a_menu_that_is_replaced_is_told_as_it_is() -> None:
    scenario = replace(scenario_named("clearance", shallow()), depths=(0.0, 0.5), allow_extrapolation=True)
    assert scenario.menu_notes == (BEYOND,)


@pytest.mark.parametrize(
    "changes",
    [
        {"depths": (0.0, 0.1)},
        {"depths": (0.0,), "world": up_to(0.0)},
        {"depths": (0.0, 0.1, 0.15, 0.2, 0.25), "world": shallow(0.3)},
        {"world": make_world()},
        {"world": shallow(0.3)},
        {"allow_extrapolation": True},
    ],
    ids=["depths", "list price", "both", "deep world", "deeper world", "allowed"],
)
def test_a_menu_that_is_no_longer_the_cut_one_is_told_nothing_of(changes: dict[str, Any]) -> None:
    cut = scenario_named("grocery_evening", shallow())
    assert replace(cut, **changes).menu_notes == ()
    assert replace(cut, ticks=60, waves=((0, 1.0),)).menu_notes == cut.menu_notes != ()


def test_the_ladder_takes_the_nearest_steps_of_a_cut_menu() -> None:
    sale = scenario_named("grocery_evening", shallow(0.12), ticks=30).compile()
    assert sale.depths[0].tolist() == [0.0, 0.1, 0.12]
    np.testing.assert_allclose(play(sale, ladder(sale), sales=2, seed=0).profile["depth"], 0.12)


def test_a_scenario_made_by_hand_says_that_its_default_menu_is_too_deep() -> None:
    with pytest.raises(InputError, match=r"the data support depths up to 0\.2, got 0\.5; .*allow_extrapolation"):
        make_scenario(shallow())
