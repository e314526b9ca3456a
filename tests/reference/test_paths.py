"""Simpler ways of planning earn on reference sales what is known of them, and keep their order on any sale."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from flashsim.reference import (
    REFERENCE_SALES,
    JointPolicy,
    JointSale,
    MenuSale,
    PricePath,
    best_fixed,
    best_markdown,
    best_price_path,
    evaluate_exactly,
    fluid_value,
    hold,
    j1,
    joint_sale,
    menu_sale,
    paths,
    siloed,
    solve,
)
from flashsim.reference.solution import SaleModel, price_worth

EXACT = 1e-4  # what is known has four decimals, and rates are rounded to 32 bits


def menu_sale_named(name: str) -> MenuSale:
    sale = REFERENCE_SALES[name]()
    assert isinstance(sale, MenuSale)
    return sale


@pytest.mark.parametrize(
    ("name", "path", "markdown", "fluid"),
    [
        ("g0", 7.0019, 7.0019, 10.0),
        ("g1", 3332.8683, 3380.8430, 3472.7188),
        ("g3", 3104.2772, 3139.0419, 3189.6134),
    ],
)
def test_menu_sales_earn_what_is_known(name: str, path: float, markdown: float, fluid: float) -> None:
    sale = menu_sale_named(name)
    found = best_price_path(sale)
    assert found.value == pytest.approx(path, abs=EXACT)
    announced = np.repeat(found.price_index[:, None], sale.stock + 1, axis=1)
    assert found.value == evaluate_exactly(sale, announced)
    assert best_markdown(sale) == pytest.approx(markdown, abs=EXACT)
    assert fluid_value(sale) == pytest.approx(fluid, abs=EXACT)


@pytest.mark.parametrize(("lag", "truth"), [(0, 178.1571), (1, 173.0329), (2, 147.6743)])
def test_two_silos_earn_what_is_known(lag: int, truth: float) -> None:
    assert evaluate_exactly(j1(lag), siloed(j1(lag))) == pytest.approx(truth, abs=EXACT)


@st.composite
def menu_sales(draw: st.DrawFn) -> MenuSale:
    """Up to 5 periods, 4 prices in any order, 8 units; waste costs money or units left are worth some."""
    ticks, price_index = draw(st.integers(1, 5)), draw(st.integers(1, 4))
    rates = [draw(st.lists(st.floats(0.0, 6.0), min_size=price_index, max_size=price_index)) for _ in range(ticks)]
    prices = draw(st.lists(st.floats(0.1, 20.0), min_size=price_index, max_size=price_index))
    return menu_sale(rates=rates, prices=prices, stock=draw(st.integers(0, 8)), salvage=draw(st.floats(-3.0, 8.0)))


@given(sale=menu_sales())
@settings(max_examples=40)
def test_less_freedom_earns_less_and_nothing_earns_more_than_the_fluid_bound(sale: MenuSale) -> None:
    optimum = solve(sale).value
    held = max(evaluate_exactly(sale, hold(sale, price_index)) for price_index in range(sale.prices.size))
    assert best_fixed(sale) == pytest.approx(held, rel=1e-12, abs=1e-12)
    tolerance = 1e-7 * (1.0 + abs(optimum))
    assert held <= best_markdown(sale) + tolerance
    assert held <= best_price_path(sale).value + tolerance
    assert max(best_markdown(sale), best_price_path(sale).value) <= optimum + tolerance
    assert optimum <= fluid_value(sale) + tolerance


@st.composite
def joint_sales(draw: st.DrawFn) -> JointSale:
    """Up to 4 periods, 3 prices, 8 units, 3 servers, lag 2."""
    ticks, price_index, most = draw(st.integers(1, 4)), draw(st.integers(1, 3)), draw(st.integers(0, 3))
    return joint_sale(
        rates=[draw(st.lists(st.floats(0.0, 6.0), min_size=price_index, max_size=price_index)) for _ in range(ticks)],
        prices=draw(st.lists(st.floats(0.1, 20.0), min_size=price_index, max_size=price_index)),
        stock=draw(st.integers(0, 8)),
        max_servers=most,
        mu=draw(st.floats(0.3, 3.0)),
        start_servers=draw(st.integers(0, most)),
        server_cost=draw(st.floats(0.0, 5.0)),
        penalty=draw(st.floats(0.0, 5.0)),
        step=draw(st.integers(0, 3)),
        lag=draw(st.integers(0, 2)),
        salvage=draw(st.floats(-3.0, 8.0)),
    )


@given(sale=joint_sales())
@settings(max_examples=40)
def test_two_silos_earn_less_and_nothing_earns_more_than_the_fluid_bound_of_a_joint_sale(sale: JointSale) -> None:
    optimum = solve(sale).value
    tolerance = 1e-7 * (1.0 + abs(optimum))
    assert evaluate_exactly(sale, siloed(sale)) <= optimum + tolerance
    assert optimum <= fluid_value(sale) + tolerance


@given(sale=joint_sales())
@settings(max_examples=40)
def test_what_is_announced_for_a_joint_sale_earns_what_it_says_and_lies_between_fixed_orders_and_the_optimum(
    sale: JointSale,
) -> None:
    pairs = [(k, level) for k in range(sale.prices.size) for level in range(sale.max_servers + 1)]
    held = max(evaluate_exactly(sale, hold(sale, k, servers=level)) for k, level in pairs)
    assert best_fixed(sale) == pytest.approx(held, rel=1e-9, abs=1e-9)
    path = best_price_path(sale)
    assert path.value == pytest.approx(evaluate_exactly(sale, _orders(sale, path)), rel=1e-9, abs=1e-9)
    assert held <= path.value + 1e-9 * (1.0 + abs(held))
    assert path.value <= solve(sale).value + 1e-7 * (1.0 + abs(path.value))


def test_the_best_fixed_orders_are_sought_without_the_levels_that_are_not_in_force(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """With all of them, the search took forty times as long as the optimum of a sale with eighty servers."""
    seen = []

    def watched(model: SaleModel, tick: int, k: int, after: NDArray[np.float64]) -> NDArray[np.float64]:
        seen.append(model.levels)
        return price_worth(model, tick, k, after)

    monkeypatch.setattr(paths, "price_worth", watched)
    assert best_fixed(j1(1)) == pytest.approx(140.1809, abs=EXACT)
    assert set(seen) == {1}


def _orders(sale: JointSale, path: PricePath) -> JointPolicy:
    """Whatever the state: the prices, and the changes after which the levels are in force ``lag`` ticks later."""
    levels = np.concatenate([[sale.start_servers], path.level[sale.lag :]])
    change = np.zeros(path.level.size, np.int64)
    change[: levels.size - 1] = np.diff(levels)
    table = hold(sale, 0, servers=0)
    shape = (-1, *[1] * (table.change.ndim - 1))
    spread = (
        np.broadcast_to(orders.reshape(shape), table.change.shape).copy() for orders in (path.price_index, change)
    )
    return JointPolicy(*spread)


def test_the_best_path_of_two_ticks_is_that_of_all_paths() -> None:
    """Two prices, two servers one of which starts: all paths are evaluated."""
    sale = joint_sale(
        rates=[[2.0, 4.0], [3.0, 7.0]],
        prices=[9.0, 6.0],
        stock=7,
        max_servers=2,
        mu=2.0,
        start_servers=1,
        server_cost=2.0,
        penalty=1.0,
        step=1,
        lag=0,
    )
    every = [
        PricePath(0.0, np.array(prices), np.array(levels))
        for prices in itertools.product(range(2), repeat=2)
        for levels in itertools.product(range(3), repeat=2)
        if abs(levels[1] - levels[0]) <= 1
    ]
    values = [evaluate_exactly(sale, _orders(sale, path)) for path in every]
    assert best_price_path(sale).value == pytest.approx(max(values), rel=1e-12)
    assert max(values) > best_fixed(sale)


def test_the_fluid_bound_is_tight_where_little_is_left_to_chance() -> None:
    """Nine times as many units and people: the gap falls as 1/√scale (Gallego & van Ryzin, theorem 3)."""
    gaps = []
    for scale in (1, 9):
        sale = menu_sale(rates=np.full((5, 2), [4.0, 8.0]) * scale, prices=[10.0, 7.0], stock=30 * scale)
        gaps.append(fluid_value(sale) / solve(sale).value - 1.0)
    assert 0.0 < gaps[1] < gaps[0] / 2.0


def test_servers_given_the_prices_are_ordered_as_well_as_can_be() -> None:
    """With one price there is nothing for two teams to disagree on."""
    sale = joint_sale(
        rates=[[3.0], [9.0], [5.0], [1.0]],
        prices=[7.0],
        stock=15,
        max_servers=4,
        mu=2.0,
        start_servers=1,
        server_cost=2.0,
        penalty=1.0,
        step=2,
        lag=1,
    )
    assert evaluate_exactly(sale, siloed(sale)) == pytest.approx(solve(sale).value, rel=1e-12)
