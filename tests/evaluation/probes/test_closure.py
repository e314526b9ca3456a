"""Closure: with nothing in the way, a sale at constant depth sells what the World says, at every depth of the menu."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from scipy.interpolate import PchipInterpolator, make_interp_spline

from flashsim.evaluation.probes.closure import closure_table, unhindered
from flashsim.scenarios import SCENARIOS, Scenario, scenario_named
from flashsim.sim.engine import Batch
from flashsim.world import shipped_world
from tests.worlds import LEARNED_TRAFFIC, make_scenario, make_world, without_frailty, without_limits

SALES = 12_000
WORLDS = {
    "with frailty": make_world(),
    "without frailty": without_frailty(make_world()),
    "conversion at its cap": without_frailty(make_world(conversion_at_list=np.full(3, 0.7))),
    "uplift all visitors": without_frailty(make_world(traffic_share=np.ones(3))),
    "uplift all conversion": without_frailty(
        make_world(traffic_share=np.zeros(3), conversion_at_list=np.full(3, 0.01))
    ),
    "strong demand": without_frailty(make_world(population=40.0)),
}


def learned_units(scenario: Scenario, depth: float) -> NDArray[np.float64]:
    """Expected units of the sale (member, product), read off the World cell by cell: what the sale's minutes hold of
    the smooth curve through the cumulative units of a day."""
    world, total = scenario.world, np.zeros((scenario.world.n_members, scenario.world.n_products))
    minutes, occasion = scenario.servers.seconds_per_tick / 60.0, scenario.calendar.multiple(scenario.ticks)
    edges = (scenario.start_minute + minutes * np.arange(scenario.ticks + 1)) / 60.0
    for member, segment, product in np.ndindex(world.units_per_minute.shape[:3]):
        table = world.units_per_minute[member, segment, product].astype(np.float64)
        hours = PchipInterpolator(world.depth_grid, table)(depth)
        around = np.concatenate([[0.0], np.cumsum(hours - hours.mean())])
        around[-1] = 0.0
        curve = make_interp_spline(np.arange(25), around, k=5, bc_type="periodic")
        units = np.diff(curve(edges) + hours.mean() * edges) * 60.0
        day = world.weekday_factor[member, scenario.weekday] * world.population
        total[member, product] += units @ occasion * day
    return total


def asked(scenario: Scenario, index: int, *, sales: int) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Requests (sale, product) at price index ``index`` throughout, and the member that each sale drew."""
    sale = scenario.compile().with_members(tuple(range(scenario.world.n_members)))
    batch = Batch(sale.tables, sales, domain=1)
    batch.fill(batch.seed, np.arange(sales, dtype=np.uint64))
    batch.open(np.ones(sales, np.bool_))
    batch.decisions.price_index[:] = index
    requests = np.zeros((sales, sale.products))
    for _ in range(sale.ticks):
        batch.step()
        requests += batch.rows(batch.ledger.requests)
    return requests, batch.rows(batch.state.member)


def assert_closure(scenario: Scenario, index: int, *, sales: int = SALES) -> None:
    """Mean requests within 1 % + 4 standard errors of the learned units, each product and in total."""
    requests, members = asked(scenario, index, sales=sales)
    learned = learned_units(scenario, scenario.depths[index])[members]
    seen = np.column_stack([requests, requests.sum(axis=1)])
    truth = np.column_stack([learned, learned.sum(axis=1)])
    difference = seen - truth
    error = difference.std(axis=0, ddof=1) / np.sqrt(sales)
    allowed = 0.01 * truth.mean(axis=0) + 4.0 * error
    assert (np.abs(difference.mean(axis=0)) <= allowed).all(), (difference.mean(axis=0), allowed)


@pytest.mark.parametrize("index", range(6))
@pytest.mark.parametrize("kind", ["with frailty", "without frailty"])
def test_a_sale_sells_what_the_world_says_at_every_depth(kind: str, index: int) -> None:
    assert_closure(without_limits(WORLDS[kind]), index)


@pytest.mark.parametrize("index", [0, 5])
@pytest.mark.parametrize("kind", [kind for kind in WORLDS if "frailty" not in kind])
def test_closure_holds_however_uplift_is_split(kind: str, index: int) -> None:
    scenario = without_limits(WORLDS[kind])
    assert_closure(scenario, index, sales=2000 if kind == "strong demand" else SALES)


@pytest.mark.parametrize("start_minute", [0, 23 * 60 + 50, 12 * 60 + 15])
def test_closure_holds_at_every_time_of_day(start_minute: int) -> None:
    assert_closure(without_limits(WORLDS["without frailty"], start_minute=start_minute, weekday=0), 3)


def test_closure_holds_between_the_nodes_of_the_depth_grid() -> None:
    scenario = without_limits(WORLDS["without frailty"], depths=(0.0, 0.15, 0.44))
    for index in (1, 2):
        assert_closure(scenario, index)


@pytest.mark.parametrize("name", list(SCENARIOS))
def test_every_named_scenario_closes_on_its_world(name: str) -> None:
    """A large shop without frailty, so that a few sales have power: everywhere within 2 %, most of it the 1 % granted.

    The deepest and the first step of the menu; every part of the scenario is on. What the module calls learned is
    compared with the World, too.
    """
    world = without_frailty(make_world(members=1, population=30.0))
    scenario = scenario_named(name, world)
    scenario = replace(scenario, depths=(0.0, scenario.depths[-1]))
    table = closure_table(scenario, sales=150, seed=0)
    assert table["holds"].all(), table
    assert (4.0 * table["standard_error"] <= 0.02 * table["learned_units"]).all(), table
    by_hand = [
        learned_units(scenario, depth)[0][: unhindered(scenario).compile().products] for depth in scenario.depths
    ]
    np.testing.assert_allclose(table["learned_units"], np.concatenate(by_hand), rtol=1e-5)


def test_closure_is_the_same_for_any_number_of_threads() -> None:
    scenario = replace(scenario_named("seckill", make_world(members=2)), depths=(0.0, 0.3), ticks=20)
    one, three = (closure_table(scenario, sales=300, seed=0, threads=threads) for threads in (1, 3))
    pd.testing.assert_frame_equal(one, three, check_exact=True)


@pytest.mark.slow
@pytest.mark.parametrize("name", list(SCENARIOS))
def test_every_named_scenario_closes_at_every_depth_with_all_members_and_frailty(name: str) -> None:
    """Half a minute for each."""
    scenario = scenario_named(name, make_world(products=8, segments=6, population=5.0))
    table = closure_table(scenario, sales=2000, seed=1)
    assert len(table) == len(scenario.depths) * (1 if name == "seckill" else 8)
    assert table["holds"].all(), table


@pytest.mark.slow
@pytest.mark.parametrize("name", list(SCENARIOS))
def test_every_named_scenario_closes_on_the_shipped_world(name: str) -> None:
    scenario = scenario_named(name, shipped_world())
    table = closure_table(scenario, sales=1000, seed=2)
    assert table["holds"].all(), table[~table["holds"]]


def test_visitors_at_list_price_are_units_over_conversion() -> None:
    scenario = without_limits(WORLDS["without frailty"])
    sale = scenario.compile().with_members((2,))
    batch = Batch(sale.tables, SALES, domain=1)
    batch.fill(batch.seed, np.arange(SALES, dtype=np.uint64))
    batch.open(np.ones(SALES, np.bool_))
    visitors = np.zeros(SALES)
    for _ in range(sale.ticks):
        batch.step()
        visitors += batch.rows(batch.ledger.exogenous_visitors)
        assert not batch.ledger.attracted_visitors.any()
    expected = learned_units(scenario, 0.0)[2].sum() / scenario.world.conversion_at_list[2]
    assert abs(visitors.mean() - expected) <= 4.0 * visitors.std(ddof=1) / np.sqrt(SALES)


def test_a_push_adds_its_share_of_visitors_and_decays() -> None:
    traffic = replace(LEARNED_TRAFFIC, push_budget=1, push_uplift=0.5, push_half_life=4.0)
    scenario = without_limits(WORLDS["without frailty"], traffic=traffic, start_minute=12 * 60 + 30)
    batch = Batch(scenario.compile().with_members((0,)).tables, SALES, domain=1)
    batch.fill(batch.seed, np.arange(SALES, dtype=np.uint64))
    batch.open(np.ones(SALES, np.bool_))
    expected = learned_units(scenario, 0.0)[0].sum() / scenario.world.conversion_at_list[0] / scenario.ticks
    for tick in range(9):
        batch.decisions.timing[:] = 2 if tick == 0 else 0
        batch.step()
        attracted = batch.rows(batch.ledger.attracted_visitors)
        share = 0.5 * 0.5 ** (tick / 4.0)
        error = attracted.std(ddof=1) / np.sqrt(SALES)
        assert abs(attracted.mean() - share * expected) <= 4.0 * error + 0.02 * share * expected  # demand has a slope


def test_a_world_without_demand_sells_nothing() -> None:
    world = make_world(units_per_minute=np.zeros_like(make_world().units_per_minute))
    assert not asked(make_scenario(world, stock_cover=1.0), 3, sales=100)[0].any()
