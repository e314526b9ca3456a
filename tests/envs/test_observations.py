"""Each column of the observation is what its name says: known at the start, and moved by what it stands for alone."""

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from flashsim.envs.actions import ActionConfig
from flashsim.envs.features import observation_columns, observation_space, observation_table
from flashsim.envs.reward import RewardConfig
from flashsim.envs.vector import SaleBatch
from flashsim.reference import g1
from flashsim.scenarios.compiled import CompiledSale
from flashsim.sim.inventory import StockParams
from flashsim.sim.servers import ServerParams
from flashsim.sim.traffic import TrafficParams
from flashsim.sim.waiting_room import OPEN
from tests.random_sales import random_actions
from tests.worlds import make_scenario, make_world, without_limits

SALES = 6
SERVERS = ServerParams(start_servers=6, max_servers=12, lag=5)
HOLD = (0, 0, 0, 0, 2)
"""List prices, hold, no change of servers."""


@cache
def the_sale() -> CompiledSale:
    return make_scenario(servers=SERVERS).compile()


@cache
def names() -> list[str]:
    return [feature.name for feature in observation_table(the_sale())]


def make_sales(sale: CompiledSale | None = None, sales: int = SALES) -> SaleBatch:
    batch = SaleBatch(sale or the_sale(), sales, action=ActionConfig(), reward=RewardConfig(), domain=0)
    batch.seed(np.arange(sales, dtype=np.uint64))
    return batch


def seen(sales: SaleBatch) -> dict[str, NDArray[np.float64]]:
    """Column by name, (sale,)."""
    table = observation_table(sales.sale)
    return dict(zip([feature.name for feature in table], sales.observe().T.astype(np.float64), strict=True))


def after(*actions: tuple[int, ...], sale: CompiledSale | None = None) -> dict[str, NDArray[np.float64]]:
    sales = make_sales(sale)
    for action in actions:
        sales.step(np.array([action] * SALES))
    return seen(sales)


def ratio(x: Any) -> Any:
    """x as the columns of unit x/(1+x) show it."""
    return x / (1.0 + x)


@pytest.mark.parametrize("make", [the_sale, lambda: g1().compile()])
def test_the_table_names_every_column_once(make: Callable[[], CompiledSale]) -> None:
    sale = make()
    table = observation_table(sale)
    assert observation_space(sale).shape == (len(table),)
    assert len({feature.name for feature in table}) == len(table)
    assert all(feature.unit in ("share", "x/(1+x)") and feature.meaning for feature in table)


@pytest.mark.parametrize("make", [the_sale, lambda: g1().compile()])
def test_column_numbers_lead_to_the_features_of_their_name(make: Callable[[], CompiledSale]) -> None:
    sale = make()
    names = [feature.name for feature in observation_table(sale)]
    columns = observation_columns(sale)
    found = {number: column for column, number in columns.sale._asdict().items()}
    for place, ahead in enumerate(sale.lookahead):
        first = place * columns.ahead.repeat
        found[first + columns.ahead.servers] = f"servers_in_{ahead}"
        for k in range(sale.price_levels):
            at_price = first + k * columns.ahead.next_price
            found[at_price + columns.ahead.load] = f"load_in_{ahead}_at_{k}"
            found[at_price + columns.ahead.visitors] = f"visitors_in_{ahead}_at_{k}"
    for p in range(sale.products):
        first = p * columns.product.repeat
        for k in range(sale.price_levels):
            found[first + columns.product.cover + k * columns.product.next_price] = f"product_{p}_cover_at_{k}"
        for column in ("run_out", "stock", "available", "level", "pace", "price"):
            number = getattr(columns.product, column)
            found[first + number if number >= 0 else -1] = f"product_{p}_{column}"
    found.pop(-1, None)  # of what a reference sale does not remember
    assert found == dict(enumerate(names))


@pytest.mark.parametrize("make", [the_sale, lambda: g1().compile()])
def test_compiled_code_writes_every_column(make: Callable[[], CompiledSale]) -> None:
    sale = make()
    sales = make_sales(sale)
    for scratch in sales._scratch:
        scratch.columns.fill(np.nan)
    assert np.isfinite(sales.observe()).all()


def test_at_the_start_everybody_sees_the_same_and_what_is_planned() -> None:
    columns = seen(make_sales(sales=50))
    for name, values in columns.items():
        assert len(set(values)) == 1, f"{name} tells of the sale that was drawn"
    start = {name: values[0] for name, values in columns.items()}
    expected = {
        "time_left": 1.0,
        "servers_ordered": 0.5,
        "level": 0.5,
        "load": 0.0,
        "utilization": 0.0,
        "latency": 0.4 / 8.0,
        "backlog": 0.0,
        "room": 0.0,
        "lots_left": 0.0,
        "lots_coming": 0.0,
        "pushes_left": 1.0,
        "goodwill": 0.0,
        "waves_left": 1.0,
        "servers_in_0": 0.5,
        "servers_in_15": 0.5,
        "product_1_stock": 1.0,
        "product_1_available": 0.0,
        "product_1_level": 0.5,
        "product_1_price": 0.0,
    }
    for name, value in expected.items():
        assert start[name] == pytest.approx(value, abs=1e-6), name


def test_forecast_columns_are_the_forecast() -> None:
    columns = seen(make_sales())
    forecast, stock = the_sale().forecast, the_sale().stock
    for ahead in the_sale().lookahead:
        capacity = 20.0 * 6
        for k in range(the_sale().price_levels):
            visitors = forecast.visitors[ahead, k]
            assert columns[f"load_in_{ahead}_at_{k}"][0] == pytest.approx(ratio(visitors / capacity), abs=1e-6)
            people = visitors / forecast.visitors[0, 0]
            assert columns[f"visitors_in_{ahead}_at_{k}"][0] == pytest.approx(ratio(people), abs=1e-6)
    for p in range(the_sale().products):
        for k in range(the_sale().price_levels):
            cover = stock[p] / forecast.units[:, p, k].sum()
            assert columns[f"product_{p}_cover_at_{k}"][0] == pytest.approx(ratio(cover), abs=1e-6)
        demand = forecast.units[:, p].sum(axis=0)
        place = np.interp(stock[p], demand, np.arange(the_sale().price_levels)) / (the_sale().price_levels - 1)
        assert columns[f"product_{p}_run_out"][0] == pytest.approx(place, abs=1e-6)


@pytest.mark.parametrize(("cover", "place"), [(0.5, 0.0), (1000.0, 1.0)])
def test_run_out_is_the_first_or_last_price_where_stock_is_short_or_ample(cover: float, place: float) -> None:
    columns = seen(make_sales(make_scenario(stock_cover=cover).compile()))
    assert columns["product_0_run_out"].tolist() == [place] * SALES


MOVES = [
    ((0, 0, 0, 2, 2), {"pushes_left": 0.5, "goodwill": 1.0}),
    ((0, 0, 0, 0, 4), {"servers_ordered": 10 / 12, "servers_in_5": 10 / 12, "servers_in_15": 10 / 12}),
    ((0, 0, 0, 0, 0), {"servers_ordered": 2 / 12, "servers_in_0": 6 / 12, "servers_in_5": 2 / 12}),
    ((0, 3, 0, 0, 2), {"product_1_price": 0.6}),
    ((5, 0, 0, 0, 2), {"product_0_price": 1.0}),
]


@pytest.mark.parametrize(("action", "moved"), MOVES)
def test_an_order_moves_the_columns_that_show_it(action: tuple[int, ...], moved: dict[str, float]) -> None:
    columns, quiet = after(action), after(HOLD)
    for name, value in moved.items():
        np.testing.assert_allclose(columns[name], value, atol=1e-6, err_msg=name)
        assert not np.allclose(quiet[name], value) or name == "servers_in_0"
    shown = {"time_left", "waves_left", "pushes_left", "servers_ordered", "servers_in_0", "servers_in_5"}
    shown |= {f"product_{p}_price" for p in range(3)}
    for name in shown - set(moved):
        np.testing.assert_array_equal(columns[name], quiet[name], err_msg=name)


def test_servers_ahead_show_those_that_boot() -> None:
    """Two orders, lag 5: four servers come into force five ticks after the first, one goes five after the second."""
    columns = after((0, 0, 0, 0, 4), (0, 0, 0, 0, 1), HOLD)
    assert columns["servers_ordered"][0] == pytest.approx(9 / 12)
    assert columns["servers_in_0"][0] == pytest.approx(6 / 12)
    assert columns["servers_in_5"][0] == pytest.approx(9 / 12)
    columns = after((0, 0, 0, 0, 4), (0, 0, 0, 0, 1), HOLD, HOLD, HOLD)
    assert columns["servers_in_0"][0] == pytest.approx(10 / 12), "in force in the coming tick, the sixth"


def test_goodwill_decays_by_its_half_life() -> None:
    sale = make_scenario(traffic=TrafficParams(push_half_life=2.0)).compile()
    columns = after((0, 0, 0, 2, 2), HOLD, HOLD, sale=sale)
    np.testing.assert_allclose(columns["goodwill"], 0.5, atol=1e-6)


def test_time_and_waves_run_down() -> None:
    assert after(HOLD)["waves_left"][0] == 0.5
    assert after(HOLD, (0, 0, 0, 1, 2))["waves_left"][0] == 0.0
    assert after(*[HOLD] * 9)["waves_left"][0] == 0.0
    assert after(*[HOLD] * 5)["time_left"][0] == pytest.approx(0.75)
    released = after(HOLD, (0, 0, 0, 1, 2))
    assert (released["product_0_available"] > after(HOLD, HOLD)["product_0_available"]).all()


def test_lots_are_left_then_coming_then_here() -> None:
    sale = make_scenario(carts=StockParams(lots=2, lot_share=0.5, lead_time=2), traffic=TrafficParams(push_budget=0))
    order, paths = (0, 0, 0, 2, 2), []
    for count in range(4):
        columns = after(*[order, HOLD, HOLD][:count], sale=sale.compile())
        paths.append((columns["lots_left"][0], columns["lots_coming"][0]))
    assert paths == [(1.0, 0.0), (0.5, 0.5), (0.5, 0.5), (0.5, 0.0)]


def test_columns_of_the_past_are_those_of_the_ledger() -> None:
    servers = ServerParams(start_servers=5, max_servers=12, lag=1, retry_share=0.7, queue_limit=5)
    scenario = make_scenario(make_world(population=8.0), servers=servers, admission_caps=(OPEN, 1.0))
    sales = make_sales(scenario.compile(), sales=40)
    generator, pace, crowded = np.random.default_rng(1), np.zeros((40, 3)), np.zeros(2)
    for tick in range(19):
        sales.step(random_actions(sales.codec.sizes, 40, generator))
        batch, columns = sales.batch, seen(sales)
        ledger = {name: batch.rows(field) for name, field in batch.ledger._asdict().items()}
        came = ledger["exogenous_visitors"] + ledger["attracted_visitors"]
        came += ledger["returning_visitors"] + ledger["retries"]
        ordered = batch.rows(batch.state.servers.ordered)
        pace = 0.8 * pace + 0.2 * ledger["requests"]
        stock = batch.rows(batch.state.stock.available) + batch.rows(batch.state.stock.unreleased)
        truth = {
            "load": ratio(came / (20.0 * np.maximum(1, ordered))),
            "utilization": ledger["utilization"],
            "latency": np.minimum(1.0, ledger["latency_mean_s"] / 8.0),
            "backlog": ratio(ledger["backlog"] / (20.0 * np.maximum(1, ordered))),
            "room": ratio(ledger["room"] / (20.0 * np.maximum(1, ordered))),
            "servers_ordered": ordered / 12,
            "product_2_stock": stock[:, 2] / sales.sale.stock[2],
            "product_2_available": batch.rows(batch.state.stock.available)[:, 2] / sales.sale.stock[2],
            "product_2_pace": ratio(stock[:, 2] / np.maximum(pace[:, 2] * (19 - tick), 1e-3)),
        }
        for name, values in truth.items():
            np.testing.assert_allclose(columns[name], values, atol=2e-6, err_msg=name)
        crowded += ledger["room"].sum(), ledger["retries"].sum()
    assert (crowded > 0).all()


def levels(factor: float) -> dict[str, NDArray[np.float64]]:
    """Columns after 19 ticks at mixed prices where demand is ``factor`` times the forecast, which allows for that."""
    rates = np.array(make_world().units_per_minute)
    rates[2] = rates[:2].mean(axis=0) * factor
    fields: dict[str, Any] = {
        "population": 30.0,
        "units_per_minute": rates,
        "conversion_at_list": np.full(3, 0.1),
        "traffic_share": np.full(3, 0.5),
        "frailty_common_variance": np.array([0.5, 0.5, 0.0]),
        "frailty_product_variance": np.array([[0.5] * 3, [0.5] * 3, [0.0] * 3]),
    }
    sales = make_sales(without_limits(make_world(**fields)).compile().with_members((2,)), sales=60)
    for tick in range(19):
        sales.step(np.tile([tick % 3, 3, tick % 5, 2], (60, 1)))
    return seen(sales)


@pytest.mark.parametrize("factor", [0.5, 1.0, 2.0])
def test_the_learned_level_finds_how_strong_demand_is(factor: float) -> None:
    """19 minutes of a few hundred visitors each tell the level to some percent; products have no level of their own."""
    columns = levels(factor)
    level = columns["level"] / (1.0 - columns["level"])
    assert level.mean() == pytest.approx(factor, rel=0.05)
    for p in range(3):
        own = columns[f"product_{p}_level"] / (1.0 - columns[f"product_{p}_level"])
        assert own.mean() == pytest.approx(factor, rel=0.05)


def test_the_observation_of_a_reference_sale_is_its_state() -> None:
    """Sales with equal tick and stock look alike, whatever happened before."""
    sales = make_sales(g1().compile(), sales=400)
    generator = np.random.default_rng(0)
    for _ in range(12):
        sales.step(random_actions(sales.codec.sizes, 400, generator))
    observation, stock = sales.observe(), sales.batch.rows(sales.batch.state.stock.available)[:, 0]
    assert len(set(stock)) > 5
    for units in set(stock):
        alike = observation[stock == units]
        np.testing.assert_array_equal(alike, np.broadcast_to(alike[0], alike.shape))
    assert len(np.unique(observation, axis=0)) == len(set(stock))
