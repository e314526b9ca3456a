"""Scenarios are checked when they are made, and compile to the numbers that their World holds."""

import difflib
import pickle
from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from flashsim.envs.actions import ActionConfig
from flashsim.envs.reward import RewardConfig
from flashsim.envs.vector import SaleBatch
from flashsim.errors import InputError
from flashsim.models.traffic import rush as models
from flashsim.reference import menu_sale
from flashsim.scenarios import SCENARIOS, Calendar, Failures, Outage, Rush, learned_rush, scenario_named
from flashsim.scenarios.compiled import CompiledSale
from flashsim.scenarios.named import SECKILL_PEOPLE
from flashsim.sim.inventory import StockParams
from flashsim.sim.servers import ServerParams
from tests.random_sales import random_actions
from tests.worlds import LEARNED_CHOICE, make_scenario, make_world, without_limits

NAN = float("nan")
NEVER = ServerParams(min_servers=0, start_servers=0, max_servers=5, lag=20)


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
        ({"waves": ((-1, 1.0),)}, "waves: tick must be between 0 and 100000, got -1"),
        ({"waves": ((20, 1.0),)}, "waves: one is due at tick 20, the sale has 20 ticks; release it earlier"),
        ({"waves": ((0, 0.5), (5, 0.4))}, "waves: shares must not be negative and add up to 1"),
        ({"waves": ((0, 1.5), (5, -0.5))}, "waves: shares must not be negative and add up to 1"),
        ({"waves": ((0, NAN),)}, "waves: shares must not be negative and add up to 1"),
        ({"lookahead": ()}, r"lookahead must name at least one tick, got \(\)"),
        ({"lookahead": (-1,)}, "lookahead must be between 0 and .*, got -1"),
        ({"lookahead": (0.5,)}, "lookahead must be a whole number, got 0.5"),
        ({"server_changes": (-1, 1)}, "server_changes must hold 0"),
        ({"server_changes": (0, 0.5)}, "server_changes must be a whole number, got 0.5"),
        ({"admission_caps": ()}, r"admission_caps must be above 0, at least one, got \(\)"),
        ({"admission_caps": (1.0, 0.0)}, r"admission_caps must be above 0, at least one, got \(1.0, 0.0\)"),
        ({"admission_caps": (-0.5,)}, r"admission_caps must be above 0, at least one, got \(-0.5,\)"),
        ({"admission_caps": (NAN,)}, r"admission_caps must be above 0, at least one, got \(nan,\)"),
        ({"products": ("p1", "px")}, "products: the World 'hand_made' has no 'px'; it has p0, p1, p2"),
        ({"products": ("p1", "p1")}, r"products: each may be named once, got \('p1', 'p1'\)"),
        ({"stock_units": -1}, "stock_units must be between 0 and .*, got -1"),
        ({"stock_units": 1.5}, "stock_units must be a whole number, got 1.5"),
        (
            {"calendar": Calendar(1.0, (Rush(0, 1.0, 1.0), Rush(20, 1.0, 1.0)))},
            "calendar.rushes: number 2 starts at tick 20, the sale has 20 ticks; start it earlier",
        ),
        (
            {"carts": StockParams(lots=1, lead_time=20)},
            "carts.lead_time: lots arrive 20 ticks after they are ordered, the sale has 20 ticks; shorten it",
        ),
        ({"servers": NEVER}, "servers that can never start: start_servers is 0 and lag 20 is not below the 20 ticks"),
        ({"failures": Failures(pool=Outage(20, 1))}, "failures.pool: it starts at tick 20, the sale has 20 ticks"),
        ({"failures": Failures(payment=Outage(99, 1))}, "failures.payment: it starts at tick 99"),
        ({"failures": Failures(traffic=Outage(20, 1))}, "failures.traffic: it starts at tick 20"),
        ({"failures": Failures(feed=Outage(20, 1))}, "failures.feed: it starts at tick 20"),
        (
            {"failures": Failures(feed=Outage(None, 21))},
            "failures.feed: it lasts 21 ticks, the sale has 20; shorten it, set its start or raise ticks",
        ),
    ],
)
def test_an_impossible_scenario_is_refused_with_the_value(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        make_scenario(**changes)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Rush(-1, 1.0, 1.0), "rush start must be between 0 and 100000, got -1"),
        (lambda: Rush(0, -1.0, 1.0), r"rush height must be between 0 and 1e\+09, got -1.0"),
        (lambda: Rush(0, 1.0, 1.0, hold=-1.0), r"rush hold must be between 0 and 1e\+15, got -1.0"),
        (lambda: Rush(0, 1.0, 1.0, ramp=NAN), r"rush ramp must be between 0 and 1e\+15, got nan"),
        (lambda: Rush(0, 1.0, 0.0), r"rush half_life must be between 0.01 and 1e\+15, got 0.0"),
        (lambda: Calendar(-0.1), r"calendar level must be between 0 and 1e\+06, got -0.1"),
        (lambda: Calendar(NAN), r"calendar level must be between 0 and 1e\+06, got nan"),
        (lambda: Outage(-1, 1), "outage start must be between 0 and 100000, got -1"),
        (lambda: Outage(0, 0), "outage ticks must be between 1 and 100000, got 0"),
        (lambda: Outage(None, 0), "outage ticks must be between 1 and 100000, got 0"),
        (lambda: Outage(0, 1.5), "outage ticks must be a whole number, got 1.5"),  # type: ignore[arg-type]
        (lambda: Failures(pool_lost=1.1), "failures pool_lost must be between 0 and 1, got 1.1"),
        (lambda: Failures(traffic_factor=-2.0), r"failures traffic_factor must be between 0 and 1e\+06, got -2.0"),
        (lambda: make_world(units_per_minute=broken_rates(-0.5)), r"units_per_minute: .*\[0, 1e15\], got -0.5"),
        (lambda: make_world(units_per_minute=broken_rates(NAN)), "units_per_minute: expected finite numbers, got nan"),
        (
            lambda: make_world(units_per_minute=broken_rates(float("inf"))),
            "units_per_minute: expected finite numbers, got inf",
        ),
        (lambda: menu_sale(rates=[[1.0, -2.0]], prices=[2, 1], stock=3), "rates: .*from 0 to 1e[+]08, got -2.0"),
        (lambda: menu_sale(rates=[[1.0, NAN]], prices=[2, 1], stock=3), "rates: .*from 0 to 1e[+]08, got nan"),
        (
            lambda: menu_sale(rates=[[1.0], [1.0, 2.0]], prices=[2, 1], stock=3),
            "rates: expected numbers in rows of one",
        ),
        (lambda: menu_sale(rates=[], prices=[], stock=3), "rates: expected a table with 2 axes and at least one entry"),
    ],
)
def test_an_impossible_occasion_world_or_table_is_refused_with_value_and_range(
    make: Callable[[], object], words: str
) -> None:
    with pytest.raises(InputError, match=words):
        make()


def broken_rates(value: float) -> NDArray[np.float32]:
    """Rates of a World of which one, at list price, is ``value``."""
    rates = np.array(make_world().units_per_minute)
    rates[0, 0, 0, 0, 7] = value
    return rates


def test_deeper_discounts_than_the_data_support_are_flagged() -> None:
    assert make_scenario(depths=(0.0, 0.6), allow_extrapolation=True).compile().is_extrapolated
    assert not make_scenario(depths=(0.0, 0.5), allow_extrapolation=True).compile().is_extrapolated


def test_every_named_scenario_compiles_and_can_be_varied() -> None:
    world = make_world(products=8, segments=6)
    for name in SCENARIOS:
        scenario = scenario_named(name, world)
        sale = replace(scenario, ticks=scenario.ticks + 1).compile()
        assert (scenario.name, sale.ticks) == (name, scenario.ticks + 1)
        assert scenario.story
        assert not sale.is_extrapolated


@pytest.mark.parametrize("name", list(SCENARIOS))
def test_every_named_scenario_can_be_played_to_its_end_with_any_actions(name: str) -> None:
    """All its people, in observations and rewards that are what they should be; the story names who sells what."""
    scenario = scenario_named(name, make_world(products=8, segments=6))
    assert len(scenario.story.split()) > 20
    every_order = ActionConfig(timing=("hold", "release", "push", "reorder"))
    sales = SaleBatch(scenario.compile(), 3, action=every_order, reward=RewardConfig(), domain=0)
    sales.seed(np.arange(3, dtype=np.uint64))
    generator, came = np.random.default_rng(0), np.zeros(3)
    for tick in range(-scenario.ticks_before_opening, scenario.ticks):
        seen = sales.observe()
        assert ((seen >= 0.0) & (seen <= 1.0)).all(), np.flatnonzero((seen < 0.0) | (seen > 1.0))
        reward, closed = sales.step(random_actions(sales.codec.sizes, 3, generator))
        assert np.isfinite(reward).all()
        assert (closed == (tick == scenario.ticks - 1)).all()
        came += sales.batch.rows(sales.batch.ledger.exogenous_visitors)
    assert (came > 100).all()


@pytest.mark.parametrize("population", [0.1, 1.0, 300.0])
def test_a_seckill_sells_a_hundred_units_to_tens_of_thousands_of_people(population: float) -> None:
    """Whatever the size of the shop: ordinary demand comes on top of the rush."""
    sale = scenario_named("seckill", make_world(products=8, segments=6, population=population)).compile()
    ordinary = replace(scenario_named("seckill", make_world(population=population)), calendar=Calendar()).compile()
    assert (sale.products, sale.stock.tolist()) == (1, [100])
    assert 1e4 <= sale.forecast.visitors[:, 0].sum() <= 1e5
    rush = sale.forecast.visitors[:, 0].sum() - ordinary.forecast.visitors[:, 0].sum()
    assert rush == pytest.approx(SECKILL_PEOPLE, rel=0.02)  # the segments of the two Worlds differ a little


def test_a_calendar_multiplies_demand_and_the_forecast_knows_it() -> None:
    calendar = Calendar(level=0.5, rushes=(Rush(2, 4.0, 3.0), Rush(10, 1.0, 1.0)))
    tick = np.arange(20)
    by_hand = 0.5 + 4.0 * 0.5 ** ((tick - 2) / 3.0) * (tick >= 2) + 0.5 ** (tick - 10.0) * (tick >= 10)
    np.testing.assert_allclose(calendar.multiple(20), by_hand, rtol=1e-12)
    plain, busy = make_scenario().compile(), make_scenario(calendar=calendar).compile()
    np.testing.assert_allclose(busy.tables.rate, plain.tables.rate * by_hand[:, None, None, None, None], rtol=1e-6)
    np.testing.assert_allclose(busy.forecast.visitors[:-1], plain.forecast.visitors[:-1] * by_hand[:, None], rtol=1e-6)


def test_a_learned_rush_has_the_shape_that_its_world_knows_in_ticks_of_any_length() -> None:
    world = make_world(rush_amplitude=1.5, rush_ramp_minutes=20.0, rush_hold_minutes=10.0, rush_decay_minutes=30.0)
    known = models.Rush(1.5, 20.0, 10.0, 30.0)
    for seconds in (60.0, 5.0):
        rush = learned_rush(world, 240, level=2.0, seconds_per_tick=seconds)
        minutes = (np.arange(1000) - 240) * seconds / 60.0
        np.testing.assert_allclose(rush.multiple(1000), 2.0 * (known.multiplier(minutes) - 1.0), atol=1e-12)
    sudden = learned_rush(make_world(rush_ramp_minutes=0.0), 10)
    assert not sudden.multiple(20)[:10].any()
    assert sudden.multiple(20)[10] == pytest.approx(1.3)


def test_named_scenarios_take_servers_and_rushes_from_their_world() -> None:
    world = make_world(products=8, service_rate=36.0, unloaded_latency_s=0.7, rush_hold_minutes=25.0)
    for name in SCENARIOS:
        scenario = scenario_named(name, world)
        assert scenario.servers.service_rate == pytest.approx(0.6 * scenario.servers.seconds_per_tick)
        assert scenario.servers.unloaded_latency_s == 0.7
    assert {rush.hold for rush in scenario_named("shopping_festival", world).calendar.rushes} == {25.0}


def test_rates_count_buyers_and_the_forecast_counts_their_units() -> None:
    """A World's units, where a buyer may want several; what a limit forbids is not sold."""
    one = without_limits(make_world()).compile()
    for limit, factor in ((1, 0.6), (2, 0.6 * 1.4), (100, 1.0)):
        several = replace(LEARNED_CHOICE, another_unit=0.4, limit=limit)
        sale = without_limits(make_world(), choice=several).compile()
        np.testing.assert_allclose(sale.tables.rate, 0.6 * one.tables.rate, rtol=1e-6)
        np.testing.assert_allclose(sale.forecast.units, factor * one.forecast.units, rtol=1e-6)


def test_products_on_sale_are_those_chosen_in_their_order() -> None:
    sale, whole = make_scenario(products=("p2", "p0")).compile(), make_scenario().compile()
    assert sale.product_names == ("Product 2", "Product 0")
    for name in ("list_price", "unit_cost", "planned", "lot_units", "price"):
        np.testing.assert_array_equal(getattr(sale.tables, name), getattr(whole.tables, name)[[2, 0]], err_msg=name)
    np.testing.assert_array_equal(sale.tables.rate, whole.tables.rate[:, :, [2, 0]])
    np.testing.assert_array_equal(sale.tables.product_variance, whole.tables.product_variance[:, [2, 0]])


def test_an_unknown_scenario_is_refused_with_the_nearest_name() -> None:
    name = next(iter(SCENARIOS))
    wrong = name[:-1]
    near = difflib.get_close_matches(wrong, SCENARIOS, n=1)[0]
    with pytest.raises(InputError, match=f"unknown name '{wrong}'; did you mean '{near}'"):
        scenario_named(wrong, make_world())


def test_stock_is_what_the_training_members_expect_to_sell_at_list_price_times_its_cover() -> None:
    world = make_world()
    scenario = make_scenario(world, stock_cover=1.7, start_minute=600, weekday=2)
    units = world.units_at([0.0], 600.5 + np.arange(scenario.ticks))[:2, :, :, 0]  # of the training members
    at_list = (units.sum(axis=(1, 3)) * world.weekday_factor[:2, 2, None]).mean(axis=0)
    np.testing.assert_array_equal(scenario.compile().stock, np.ceil(1.7 * at_list).astype(int))


def test_waves_hold_whole_units_that_add_up_to_the_stock() -> None:
    shares = (0.31, 0.33, 0.36)
    sale = make_scenario(waves=tuple(zip((0, 5, 9), shares, strict=True)), stock_cover=7.7).compile()
    units = sale.tables.wave_units
    assert (units >= 0).all()
    np.testing.assert_array_equal(units.sum(axis=0), sale.stock)
    np.testing.assert_allclose(units, np.outer(shares, sale.stock), atol=1.0)


def test_prices_are_list_prices_less_their_depth() -> None:
    sale = make_scenario(depths=(0.0, 0.25, 0.5)).compile()
    np.testing.assert_allclose(sale.tables.price, sale.tables.list_price[:, None] * (1.0 - sale.depths))
    np.testing.assert_array_equal(sale.depths[:, 1], 0.25)


def test_rates_never_fall_with_depth() -> None:
    assert (np.diff(make_scenario(depths=(0.0, 0.05, 0.33, 0.5)).compile().tables.rate, axis=3) >= 0.0).all()


def test_the_population_scales_demand_alone() -> None:
    one, ten = (make_scenario(make_world(population=size)).compile() for size in (1.0, 10.0))
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
    usual, other = make_scenario(world).compile(), make_scenario(strange).compile()
    np.testing.assert_array_equal(usual.forecast.units, other.forecast.units)
    np.testing.assert_array_equal(usual.forecast.visitors, other.forecast.visitors)
    assert usual.forecast.traffic_share == other.forecast.traffic_share
    np.testing.assert_array_equal(usual.stock, other.stock)


def test_the_forecast_is_the_mean_of_the_training_members() -> None:
    scenario = without_limits(make_world())
    forecast, rate = scenario.compile().forecast, scenario.compile().tables.rate[..., :2].astype(np.float64)
    np.testing.assert_allclose(forecast.units[:-1], rate.sum(axis=1).mean(axis=3), rtol=1e-12)
    np.testing.assert_allclose(forecast.future_units[0], forecast.units.sum(axis=0), rtol=1e-12)
    np.testing.assert_allclose(forecast.future_units[5], forecast.units[5:].sum(axis=0), rtol=1e-12)
    assert not forecast.units[-1].any()
    assert not forecast.future_units[-1].any()
    visitors = (rate[:, :, :, 0].sum(axis=(1, 2)) / scenario.world.conversion_at_list[:2]).mean(axis=1)
    np.testing.assert_allclose(forecast.visitors[:-1, 0], visitors, rtol=1e-12)


def through_pickle(sale: CompiledSale) -> CompiledSale:
    copy: CompiledSale = pickle.loads(pickle.dumps(sale))
    return copy


@pytest.mark.parametrize("copy", [deepcopy, through_pickle])
def test_a_copied_plan_holds_the_same_numbers(copy: Callable[[CompiledSale], CompiledSale]) -> None:
    sale = make_scenario().compile()
    other = copy(sale)
    assert type(other.tables) is type(sale.tables)
    assert type(other.tables.servers) is type(sale.tables.servers)
    for name in ("rate", "price", "wave_units", "members"):
        np.testing.assert_array_equal(getattr(other.tables, name), getattr(sale.tables, name))
    assert other.tables.servers == sale.tables.servers
    assert other.product_names == sale.product_names


def test_a_scenario_can_be_copied_to_another_process() -> None:
    scenario = make_scenario()
    copy = pickle.loads(pickle.dumps(scenario))
    assert copy.world.fingerprint() == scenario.world.fingerprint()
    np.testing.assert_array_equal(copy.compile().tables.rate, scenario.compile().tables.rate)


@pytest.mark.parametrize(("members", "words"), [((), "at least one"), ((3,), "from 0 to 2, got 3"), ((-1,), "got -1")])
def test_unknown_members_are_refused(members: tuple[int, ...], words: str) -> None:
    with pytest.raises(InputError, match=words):
        make_scenario().compile().with_members(members)
