"""Menu sales: the solver against numbers known to be true, and the simulated sale against the solver."""

from collections.abc import Callable
from math import exp
from statistics import mean
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from flashsim.errors import InputError
from flashsim.reference import MenuSale, evaluate_exactly, g0, g1, g3, hold, j1, menu_sale, solve, tabulate
from tests.reference.played import assert_mean, returns, value_by_recursion

MENU_SALES = {"g0": g0, "g1": g1, "g3": g3}
G1_BY_INDEX = (2399.78, 3142.73, 3194.23, 2800.00, 2400.00, 2000.00)
G3_BY_INDEX = (2389.35, 2837.07, 2624.47, 2062.50, 1500.00)


@pytest.mark.parametrize(("name", "optimum"), [("g0", 7.0019), ("g1", 3400.4231), ("g3", 3144.4961)])
def test_the_solver_finds_the_known_optimum(name: str, optimum: float) -> None:
    assert solve(MENU_SALES[name]()).value == pytest.approx(optimum, abs=5.1e-5)


def test_g0_is_solved_by_hand_to_1e_6() -> None:
    """One unit: in the last period the better of 10·(1 - e^-0.5) and 8·(1 - e^-1); before it, that waits for unsold."""
    last = max(10.0 * (1.0 - exp(-0.5)), 8.0 * (1.0 - exp(-1.0)))
    first = max(p * (1.0 - exp(-r)) + exp(-r) * last for p, r in ((10.0, 0.5), (8.0, 1.0)))
    assert solve(g0()).value == pytest.approx(first, rel=1e-6)


def test_g1_has_the_known_optimal_policy() -> None:
    policy = solve(g1()).policy
    stocks = [1, 5, 10, 20, 30, 40]
    assert policy[0, stocks].tolist() == [0, 0, 0, 0, 0, 1]
    assert policy[12, stocks].tolist() == [0, 0, 0, 1, 2, 3]
    assert policy[22, stocks].tolist() == [0, 2, 4, 5, 5, 5]


@pytest.mark.parametrize(("make", "by_index"), [(g1, G1_BY_INDEX), (g3, G3_BY_INDEX)])
def test_the_exact_value_of_holding_an_index_is_known(
    make: Callable[[], MenuSale], by_index: tuple[float, ...]
) -> None:
    sale = make()
    for index, truth in enumerate(by_index):
        assert evaluate_exactly(sale, hold(sale, index)) == pytest.approx(truth, abs=5.1e-3)


@pytest.mark.parametrize(("name", "best", "value"), [("g0", 1, 6.9173), ("g1", 2, 3194.2282), ("g3", 1, 2837.0719)])
def test_the_best_held_index_is_known(name: str, best: int, value: float) -> None:
    sale = MENU_SALES[name]()
    values = [evaluate_exactly(sale, hold(sale, index)) for index in range(sale.prices.size)]
    assert int(np.argmax(values)) == best
    assert max(values) == pytest.approx(value, abs=5.1e-5)


@pytest.mark.parametrize(("name", "value"), [("g0", 6.9173), ("g1", 2031.1955), ("g3", 2211.9216)])
def test_the_exact_value_of_the_price_that_is_best_for_the_tick_is_known(name: str, value: float) -> None:
    sale = MENU_SALES[name]()
    units = np.arange(sale.stock)
    sold = np.cumsum(stats.poisson.sf(units, sale.rates[..., None]), axis=-1)  # tick, price, stock 1 …; E[min(D, n)]
    table = np.zeros((sale.rates.shape[0], sale.stock + 1), np.int64)
    table[:, 1:] = (sale.prices[:, None] * sold).argmax(axis=1)
    assert evaluate_exactly(sale, table) == pytest.approx(value, abs=5.1e-5)


@pytest.mark.parametrize(("name", "value"), [("g0", 6.6862), ("g1", 2589.9132), ("g3", 2311.0243)])
def test_plain_recursion_knows_what_random_prices_earn(name: str, value: float) -> None:
    """This is the oracle that the solver is held against below."""
    assert value_by_recursion(MENU_SALES[name](), lambda v: mean(list(v))) == pytest.approx(value, abs=5.1e-5)


@pytest.mark.parametrize("name", ["g0", "g1", "g3"])
def test_the_exact_value_of_the_optimal_policy_is_the_optimum(name: str) -> None:
    sale = MENU_SALES[name]()
    solution = solve(sale)
    assert evaluate_exactly(sale, solution.policy) == pytest.approx(solution.value, rel=1e-12)


def test_a_policy_can_be_given_as_a_function() -> None:
    def sell_out(tick: int, stock: int, levels: tuple[int, ...]) -> int:
        assert levels == ()
        return min(5, tick * stock // 100)

    table = tabulate(g1(), sell_out)
    assert table.shape == (24, 41)
    assert table[20, 11] == 2
    assert evaluate_exactly(g1(), sell_out) == evaluate_exactly(g1(), table)
    with pytest.raises(InputError, match=r"expected a price index in every state, got \(1, 0\)"):
        evaluate_exactly(g1(), lambda tick, stock, levels: (1, 0))


@st.composite
def small_sales(draw: st.DrawFn) -> MenuSale:
    """Up to 4 periods, 4 prices in any order, 6 units."""
    ticks, price_index = draw(st.integers(1, 4)), draw(st.integers(1, 4))
    number = st.floats(0.0, 6.0)
    prices = draw(st.lists(st.floats(0.1, 20.0), min_size=price_index, max_size=price_index))
    rates = [draw(st.lists(number, min_size=price_index, max_size=price_index)) for _ in range(ticks)]
    return menu_sale(rates=rates, prices=prices, stock=draw(st.integers(0, 6)), salvage=draw(st.floats(-3.0, 8.0)))


@given(sale=small_sales())
def test_the_solver_equals_plain_recursion(sale: MenuSale) -> None:
    assert solve(sale).value == pytest.approx(value_by_recursion(sale), rel=1e-9, abs=1e-9)


@given(sale=small_sales(), index=st.integers(0, 3))
@settings(max_examples=30)
def test_no_held_index_beats_the_optimum(sale: MenuSale, index: int) -> None:
    index = min(index, sale.prices.size - 1)
    assert evaluate_exactly(sale, hold(sale, index)) <= solve(sale).value + 1e-9


@pytest.mark.parametrize(
    ("name", "index"),
    [(name, index) for name, price_index in (("g0", 2), ("g1", 6), ("g3", 5)) for index in range(price_index)],
)
def test_holding_an_index_earns_in_the_env_what_theory_says(name: str, index: int) -> None:
    sale = MENU_SALES[name]()
    assert_mean(returns(sale, hold(sale, index)), evaluate_exactly(sale, hold(sale, index)))


@pytest.mark.parametrize(("name", "deviation"), [("g0", 3.9), ("g1", 165.5), ("g3", 168.6)])
def test_the_optimal_policy_earns_the_optimum_in_the_env(name: str, deviation: float) -> None:
    sale = MENU_SALES[name]()
    solution = solve(sale)
    seen = returns(sale, solution.policy)
    assert_mean(seen, solution.value)
    assert seen.std() == pytest.approx(deviation, rel=0.03)


def test_what_is_left_is_worth_its_salvage_in_the_env() -> None:
    for salvage in (-2.0, 3.0):
        sale = menu_sale(rates=[[0.6, 2.0]] * 3, prices=[10.0, 6.0], stock=5, salvage=salvage)
        assert_mean(returns(sale, hold(sale, 0)), evaluate_exactly(sale, hold(sale, 0)))


def test_prices_need_not_be_sorted() -> None:
    rates = np.array([[1.0, 0.4, 2.5], [0.5, 0.3, 3.0], [2.0, 0.1, 2.2]])
    sale = menu_sale(rates=rates, prices=[6.0, 10.0, 4.0], stock=4)
    order = [1, 0, 2]
    sorted_sale = menu_sale(rates=rates[:, order], prices=[10.0, 6.0, 4.0], stock=4)
    assert solve(sale).value == pytest.approx(solve(sorted_sale).value, rel=1e-12)
    np.testing.assert_allclose(sale.compile().depths, [[0.4, 0.0, 0.6]])
    assert_mean(returns(sale, solve(sale).policy), solve(sale).value)


def test_a_price_that_nobody_pays_sells_nothing() -> None:
    sale = menu_sale(rates=[[0.0, 5.0]] * 2, prices=[10.0, 8.0], stock=3)
    assert returns(sale, hold(sale, 0), sales=200).max() == 0.0
    assert returns(sale, hold(sale, 1), sales=200).max() > 0.0


def test_a_sale_without_stock_earns_nothing() -> None:
    sale = menu_sale(rates=[[1.0, 2.0]], prices=[10.0, 5.0], stock=0)
    assert solve(sale).value == 0.0
    assert returns(sale, hold(sale, 0), sales=10).tolist() == [0.0] * 10


LARGE = {
    "ample": menu_sale(rates=[[9000.0, 10_000.0]] * 3, prices=[5.0, 4.0], stock=30_000),
    "scarce": menu_sale(
        rates=[[3000.0, 10_000.0, 400.0], [5000.0, 9000.0, 20.0]] * 2,
        prices=[5.0, 3.0, 8.0],
        stock=16_100,
        salvage=-1.5,
    ),
    "mixed": menu_sale(
        rates=[[0.5, 30.0, 1000.0], [2.0, 100.0, 3000.0], [0.0, 5.0, 50.0]], prices=[90.0, 20.0, 1.0], stock=2050
    ),
}


@pytest.mark.parametrize(
    ("name", "index"), [(name, k) for name, sale in LARGE.items() for k in range(sale.prices.size)]
)
def test_large_rates_are_simulated_as_they_are_solved(name: str, index: int) -> None:
    sale = LARGE[name]
    assert_mean(returns(sale, hold(sale, index), sales=4000), evaluate_exactly(sale, hold(sale, index)))


@pytest.mark.parametrize("name", ["scarce", "mixed"])
def test_the_optimum_of_large_rates_is_reached_in_the_env(name: str) -> None:
    solution = solve(LARGE[name])
    assert_mean(returns(LARGE[name], solution.policy, sales=4000), solution.value)


GOOD: dict[str, Any] = {"rates": [[0.5, 1.0], [0.5, 1.0]], "prices": [10.0, 8.0], "stock": 1}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"rates": [[0.5, float("nan")], [0.5, 1.0]]}, "rates: .*nan"),
        ({"rates": [[0.5, float("inf")], [0.5, 1.0]]}, "rates: .*inf"),
        ({"rates": [[0.5, -1.0], [0.5, 1.0]]}, r"rates: .*-1\.0"),
        ({"rates": [[0.5, 1.0], [0.5]]}, "rates: .*rows of one length"),
        ({"rates": [[0.5, "many"], [0.5, 1.0]]}, "rates: .*many"),
        ({"rates": []}, "rates: .*at least one"),
        ({"rates": [[], []]}, "rates: .*at least one"),
        ({"rates": [0.5, 1.0]}, "rates: .*2 axes"),
        ({"rates": [[0.5, 1.0, 2.0]]}, "one column a price, 2, got 3"),
        ({"rates": [[1e39, 1.0]]}, r"rates: .*1e\+39"),
        ({"prices": []}, "prices: .*at least one"),
        ({"prices": [[10.0, 8.0]]}, "prices: .*1 axes"),
        ({"prices": [10.0, float("nan")]}, "prices: .*nan"),
        ({"prices": [10.0, -8.0]}, r"prices: .*-8\.0"),
        ({"prices": [0.0, 0.0]}, "prices: .*above 0"),
        ({"stock": -1}, "stock must be between 0 and .*, got -1"),
        ({"stock": 1.5}, "stock must be a whole number of units, got 1.5"),
        ({"stock": True}, "stock must be a whole number of units, got True"),
        ({"stock": float("nan")}, "stock must be a whole number of units, got nan"),
        ({"stock": "many"}, "stock must be a whole number of units, got 'many'"),
        ({"stock": float("inf")}, "stock must be a whole number of units, got inf"),
        ({"stock": 10**30}, "stock must be between 0 and .*, got 1000"),
        ({"rates": [["0.5", "1"]]}, "rates: .*'0.5'"),
        ({"prices": [True, False]}, "prices: .*True"),
        ({"salvage": float("nan")}, "salvage must be between .*, got nan"),
        ({"salvage": "1"}, "salvage must be a number, got '1'"),
        ({"salvage": 10**400}, "salvage must be between .*, got 1000"),
    ],
)
def test_a_broken_table_is_refused_with_the_value(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        menu_sale(**(GOOD | changes))


def test_a_policy_of_the_wrong_shape_or_range_is_refused() -> None:
    with pytest.raises(InputError, match=r"policy: expected \(2, 2\) \(tick, stock\), got \(2, 3\)"):
        evaluate_exactly(g0(), np.zeros((2, 3), np.int64))
    for index in (-1, 2):
        with pytest.raises(InputError, match=f"price indices from 0 to 1, got {index}"):
            evaluate_exactly(g0(), np.full((2, 2), index))
    with pytest.raises(InputError, match="whole numbers as price indices, got float64"):
        evaluate_exactly(g0(), np.zeros((2, 2)))  # type: ignore[arg-type]
    with pytest.raises(InputError, match=r"an array \(tick, stock\) for the sale 'g0', got JointPolicy"):
        evaluate_exactly(g0(), hold(j1(), 0, servers=1))  # type: ignore[call-overload]
