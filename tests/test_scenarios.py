"""Scenarios are checked when they are made, and compile to the numbers that their World holds."""

import difflib
import pickle
from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from flashsim.errors import InputError
from flashsim.plan import Plan
from flashsim.scenarios import SCENARIOS, scenario_named
from tests.worlds import make_scenario, make_world, without_limits

NAN = float("nan")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"start_minute": -1}, "start_minute must be between 0 and 1439, got -1"),
        ({"start_minute": 1440}, "start_minute must be between 0 and 1439, got 1440"),
        ({"ticks": 0}, "ticks must be between 1 and 100000, got 0"),
        ({"ticks": 10.5}, "ticks must be a whole number, got 10.5"),
        ({"ticks": True}, "ticks must be a whole number, got True"),
        ({"weekday": 7}, "weekday must be between 0 and 6, got 7"),
        ({"stock_cover": -0.1}, "stock_cover must be between 0 and .*, got -0.1"),
        ({"stock_cover": NAN}, "stock_cover must be between 0 and .*, got nan"),
        ({"salvage_share": 1.5}, "salvage_share must be between -10 and 1, got 1.5"),
        ({"depths": ()}, r"depths must ascend from 0, got \(\)"),
        ({"depths": (0.1, 0.2)}, "depths must ascend from 0, got"),
        ({"depths": (0.0, 0.2, 0.2)}, "depths must ascend from 0, got"),
        ({"depths": (0.0, NAN)}, "depths must ascend from 0, got"),
        ({"depths": (0.0, 0.7)}, "the World knows depths up to 0.6, got 0.7"),
        ({"depths": (0.0, 0.6)}, "the data support depths up to 0.5, got 0.6; .*allow_extrapolation"),
        ({"waves": ()}, r"waves must be at ascending ticks, at least one, got \(\)"),
        ({"waves": ((5, 0.5), (3, 0.5))}, "waves must be at ascending ticks"),
        ({"waves": ((-1, 1.0),)}, "waves: tick must be between 0 and 19, got -1"),
        ({"waves": ((20, 1.0),)}, "waves: tick must be between 0 and 19, got 20"),
        ({"waves": ((0, 0.5), (5, 0.4))}, "waves: shares must not be negative and add up to 1"),
        ({"waves": ((0, 1.5), (5, -0.5))}, "waves: shares must not be negative and add up to 1"),
        ({"waves": ((0, NAN),)}, "waves: shares must not be negative and add up to 1"),
        ({"lookahead": ()}, r"lookahead must name at least one tick, got \(\)"),
        ({"lookahead": (-1,)}, "lookahead must be between 0 and .*, got -1"),
        ({"lookahead": (0.5,)}, "lookahead must be a whole number, got 0.5"),
        ({"server_changes": (-1, 1)}, "server_changes must hold 0"),
        ({"server_changes": (0, 0.5)}, "server_changes must be a whole number, got 0.5"),
    ],
)
def test_an_impossible_scenario_is_refused_with_the_value(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        make_scenario(**changes)


def test_deeper_discounts_than_the_data_support_are_flagged() -> None:
    assert make_scenario(depths=(0.0, 0.6), allow_extrapolation=True).plan().is_extrapolated
    assert not make_scenario(depths=(0.0, 0.5), allow_extrapolation=True).plan().is_extrapolated


def test_every_named_scenario_compiles_and_can_be_varied() -> None:
    world = make_world(products=8, segments=6)
    for name in SCENARIOS:
        scenario = scenario_named(name, world)
        plan = replace(scenario, ticks=scenario.ticks + 1).plan()
        assert (scenario.name, plan.ticks) == (name, scenario.ticks + 1)
        assert scenario.story
        assert not plan.is_extrapolated


def test_an_unknown_scenario_is_refused_with_the_nearest_name() -> None:
    name = next(iter(SCENARIOS))
    wrong = name[:-1]
    near = difflib.get_close_matches(wrong, SCENARIOS, n=1)[0]
    with pytest.raises(InputError, match=f"unknown name '{wrong}'; did you mean '{near}'"):
        scenario_named(wrong, make_world())


def test_stock_is_what_the_training_members_expect_to_sell_at_list_price_times_its_cover() -> None:
    world = make_world()
    scenario = make_scenario(world, stock_cover=1.7, start_minute=600, weekday=2)
    at_list = np.zeros(3)
    for minute in range(scenario.ticks):  # the sale stays between the middles of the hours 9 and 10
        part = (600 + minute + 0.5) / 60.0 - 9.5
        hours = (1.0 - part) * world.units_per_minute[:2, :, :, 0, 9] + part * world.units_per_minute[:2, :, :, 0, 10]
        daily = world.weekday_factor[:2, 2, None, None]
        at_list += (hours * daily).sum(axis=1).mean(axis=0)
    np.testing.assert_array_equal(scenario.plan().stock, np.ceil(1.7 * at_list).astype(int))


def test_waves_hold_whole_units_that_add_up_to_the_stock() -> None:
    shares = (0.31, 0.33, 0.36)
    plan = make_scenario(waves=tuple(zip((0, 5, 9), shares, strict=True)), stock_cover=7.7).plan()
    units = plan.tables.wave_units
    assert (units >= 0).all()
    np.testing.assert_array_equal(units.sum(axis=0), plan.stock)
    np.testing.assert_allclose(units, np.outer(shares, plan.stock), atol=1.0)


def test_prices_are_list_prices_less_their_depth() -> None:
    plan = make_scenario(depths=(0.0, 0.25, 0.5)).plan()
    np.testing.assert_allclose(plan.tables.price, plan.tables.list_price[:, None] * (1.0 - plan.depths))
    np.testing.assert_array_equal(plan.depths[:, 1], 0.25)


def test_rates_never_fall_with_depth() -> None:
    assert (np.diff(make_scenario(depths=(0.0, 0.05, 0.33, 0.5)).plan().tables.rate, axis=3) >= 0.0).all()


def test_the_population_scales_demand_alone() -> None:
    one, ten = (make_scenario(make_world(population=size)).plan() for size in (1.0, 10.0))
    np.testing.assert_allclose(ten.tables.rate, 10.0 * one.tables.rate, rtol=1e-6)
    np.testing.assert_array_equal(ten.tables.price, one.tables.price)


def test_the_forecast_knows_the_training_members_only() -> None:
    """Whatever the held-out member is like, the operator expects the same."""
    world = make_world()
    rates, conversion = np.array(world.units_per_minute), np.array(world.conversion_at_list)
    rates[2] *= 5.0
    conversion[2] = 0.9
    strange = replace(
        world, units_per_minute=rates, conversion_at_list=conversion, traffic_share=np.array([0.3, 0.5, 1.0])
    )
    usual, other = make_scenario(world).plan(), make_scenario(strange).plan()
    np.testing.assert_array_equal(usual.forecast.units, other.forecast.units)
    np.testing.assert_array_equal(usual.forecast.visitors, other.forecast.visitors)
    assert usual.forecast.traffic_share == other.forecast.traffic_share
    np.testing.assert_array_equal(usual.stock, other.stock)


def test_the_forecast_is_the_mean_of_the_training_members() -> None:
    scenario = without_limits(make_world())
    forecast, rate = scenario.plan().forecast, scenario.plan().tables.rate[..., :2].astype(np.float64)
    np.testing.assert_allclose(forecast.units[:-1], rate.sum(axis=1).mean(axis=3), rtol=1e-12)
    np.testing.assert_allclose(forecast.future_units[0], forecast.units.sum(axis=0), rtol=1e-12)
    np.testing.assert_allclose(forecast.future_units[5], forecast.units[5:].sum(axis=0), rtol=1e-12)
    assert not forecast.units[-1].any()
    assert not forecast.future_units[-1].any()
    visitors = (rate[:, :, :, 0].sum(axis=(1, 2)) / scenario.world.conversion_at_list[:2]).mean(axis=1)
    np.testing.assert_allclose(forecast.visitors[:-1, 0], visitors, rtol=1e-12)


def through_pickle(plan: Plan) -> Plan:
    copy: Plan = pickle.loads(pickle.dumps(plan))
    return copy


@pytest.mark.parametrize("copy", [deepcopy, through_pickle])
def test_a_copied_plan_holds_the_same_numbers(copy: Callable[[Plan], Plan]) -> None:
    plan = make_scenario().plan()
    other = copy(plan)
    assert type(other.tables) is type(plan.tables)
    assert type(other.tables.servers) is type(plan.tables.servers)
    for name in ("rate", "price", "wave_units", "members"):
        np.testing.assert_array_equal(getattr(other.tables, name), getattr(plan.tables, name))
    assert other.tables.servers == plan.tables.servers
    assert other.product_names == plan.product_names


def test_a_scenario_can_be_copied_to_another_process() -> None:
    scenario = make_scenario()
    copy = pickle.loads(pickle.dumps(scenario))
    assert copy.world.fingerprint() == scenario.world.fingerprint()
    np.testing.assert_array_equal(copy.plan().tables.rate, scenario.plan().tables.rate)


@pytest.mark.parametrize(("members", "words"), [((), "at least one"), ((3,), "from 0 to 2, got 3"), ((-1,), "got -1")])
def test_unknown_members_are_refused(members: tuple[int, ...], words: str) -> None:
    with pytest.raises(InputError, match=words):
        make_scenario().plan().with_members(members)
