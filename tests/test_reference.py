"""Reference sales: the solver against numbers known to be true, and the simulated sale against the solver."""

from functools import cache
from math import exp
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from flashsim.envs.vector import FlashSaleVectorEnv
from flashsim.errors import InputError
from flashsim.reference import REFERENCE_SALES, MenuSale, evaluate_exactly, g0, g1, menu_sale, solve

SALES = 20_000
G1_BY_INDEX = (2399.78, 3142.73, 3194.23, 2800.00, 2400.00, 2000.00)


def returns(sale: MenuSale, policy: NDArray[np.int64], *, sales: int = SALES, seed: int = 0) -> NDArray[np.float64]:
    """Return of each simulated sale when ``policy`` (tick, stock) is played through the env."""
    env = FlashSaleVectorEnv(sale, num_envs=sales)
    env.reset(seed=seed)
    batch, total = env.sales.batch, np.zeros(sales)
    for tick in range(policy.shape[0]):
        stock = batch.rows(batch.state.stock.available)[:, 0] if tick else np.full(sales, sale.stock)
        total += env.step(policy[tick, stock][:, None])[1]
    return total


def constant(sale: MenuSale, index: int) -> NDArray[np.int64]:
    return np.full((sale.rates.shape[0], sale.stock + 1), index)


def assert_mean(seen: NDArray[np.float64], truth: float) -> None:
    """Within 4 standard errors; 1e-7 more, for where every sale drawn sells out and the error seems to be 0."""
    error = seen.std(ddof=1) / np.sqrt(seen.size)
    assert abs(seen.mean() - truth) <= 4.0 * error + 1e-7 * abs(truth), f"{seen.mean()} ± {error}, expected {truth}"


def best_by_recursion(sale: MenuSale) -> float:
    """The optimum by plain recursion over demands, written from the order of events alone."""
    ticks, stock = sale.rates.shape[0], sale.stock

    @cache
    def value(tick: int, left: int) -> float:
        if tick == ticks:
            return float(sale.salvage) * left
        best = -float("inf")
        for price, rate in zip(sale.prices, sale.rates[tick], strict=True):
            chance, expected, covered = exp(-rate), 0.0, 0.0
            for demand in range(left):
                expected += chance * (price * demand + value(tick + 1, left - demand))
                covered += chance
                chance *= rate / (demand + 1)
            expected += (1.0 - covered) * (price * left + value(tick + 1, 0))
            best = max(best, float(expected))
        return best

    return value(0, stock)


@pytest.mark.parametrize(("name", "optimum"), [("g0", 7.0019), ("g1", 3400.4231)])
def test_the_solver_finds_the_known_optimum(name: str, optimum: float) -> None:
    assert solve(REFERENCE_SALES[name]()).value == pytest.approx(optimum, abs=5.1e-5)


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


def test_the_exact_value_of_holding_an_index_is_known() -> None:
    for index, truth in enumerate(G1_BY_INDEX):
        assert evaluate_exactly(g1(), constant(g1(), index)) == pytest.approx(truth, abs=5.1e-3)
    assert evaluate_exactly(g0(), constant(g0(), 1)) == pytest.approx(6.9173, abs=5.1e-5)


@pytest.mark.parametrize("name", ["g0", "g1"])
def test_the_exact_value_of_the_optimal_policy_is_the_optimum(name: str) -> None:
    sale = REFERENCE_SALES[name]()
    solution = solve(sale)
    assert evaluate_exactly(sale, solution.policy) == pytest.approx(solution.value, rel=1e-12)


@st.composite
def small_sales(draw: st.DrawFn) -> MenuSale:
    """Up to 4 periods, 4 prices in any order, 6 units."""
    ticks, menu = draw(st.integers(1, 4)), draw(st.integers(1, 4))
    number = st.floats(0.0, 6.0)
    prices = draw(st.lists(st.floats(0.1, 20.0), min_size=menu, max_size=menu))
    rates = [draw(st.lists(number, min_size=menu, max_size=menu)) for _ in range(ticks)]
    return menu_sale(rates=rates, prices=prices, stock=draw(st.integers(0, 6)), salvage=draw(st.floats(-3.0, 8.0)))


@given(sale=small_sales())
def test_the_solver_equals_plain_recursion(sale: MenuSale) -> None:
    assert solve(sale).value == pytest.approx(best_by_recursion(sale), rel=1e-9, abs=1e-9)


@given(sale=small_sales(), index=st.integers(0, 3))
@settings(max_examples=30)
def test_no_held_index_beats_the_optimum(sale: MenuSale, index: int) -> None:
    index = min(index, sale.prices.size - 1)
    assert evaluate_exactly(sale, constant(sale, index)) <= solve(sale).value + 1e-9


@pytest.mark.parametrize("index", range(6))
def test_holding_an_index_of_g1_earns_in_the_env_what_theory_says(index: int) -> None:
    assert_mean(returns(g1(), constant(g1(), index)), evaluate_exactly(g1(), constant(g1(), index)))


@pytest.mark.parametrize("index", range(2))
def test_holding_an_index_of_g0_earns_in_the_env_what_theory_says(index: int) -> None:
    assert_mean(returns(g0(), constant(g0(), index)), evaluate_exactly(g0(), constant(g0(), index)))


@pytest.mark.parametrize(("name", "deviation"), [("g0", 3.9), ("g1", 165.5)])
def test_the_optimal_policy_earns_the_optimum_in_the_env(name: str, deviation: float) -> None:
    sale = REFERENCE_SALES[name]()
    solution = solve(sale)
    seen = returns(sale, solution.policy)
    assert_mean(seen, solution.value)
    assert seen.std() == pytest.approx(deviation, rel=0.03)


def test_what_is_left_is_worth_its_salvage_in_the_env() -> None:
    for salvage in (-2.0, 3.0):
        sale = menu_sale(rates=[[0.6, 2.0]] * 3, prices=[10.0, 6.0], stock=5, salvage=salvage)
        assert_mean(returns(sale, constant(sale, 0)), evaluate_exactly(sale, constant(sale, 0)))


def test_prices_need_not_be_sorted() -> None:
    rates = np.array([[1.0, 0.4, 2.5], [0.5, 0.3, 3.0], [2.0, 0.1, 2.2]])
    sale = menu_sale(rates=rates, prices=[6.0, 10.0, 4.0], stock=4)
    order = [1, 0, 2]
    sorted_sale = menu_sale(rates=rates[:, order], prices=[10.0, 6.0, 4.0], stock=4)
    assert solve(sale).value == pytest.approx(solve(sorted_sale).value, rel=1e-12)
    np.testing.assert_allclose(sale.plan().depths, [[0.4, 0.0, 0.6]])
    assert_mean(returns(sale, solve(sale).policy), solve(sale).value)


def test_a_price_that_nobody_pays_sells_nothing() -> None:
    sale = menu_sale(rates=[[0.0, 5.0]] * 2, prices=[10.0, 8.0], stock=3)
    assert returns(sale, constant(sale, 0), sales=200).max() == 0.0
    assert returns(sale, constant(sale, 1), sales=200).max() > 0.0


def test_a_sale_without_stock_earns_nothing() -> None:
    sale = menu_sale(rates=[[1.0, 2.0]], prices=[10.0, 5.0], stock=0)
    assert solve(sale).value == 0.0
    assert returns(sale, constant(sale, 0), sales=10).tolist() == [0.0] * 10


def test_large_rates_are_simulated_as_they_are_solved() -> None:
    sale = menu_sale(rates=[[9000.0, 10_000.0]] * 3, prices=[5.0, 4.0], stock=30_000)
    assert_mean(returns(sale, constant(sale, 1), sales=4000), evaluate_exactly(sale, constant(sale, 1)))


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
        ({"salvage": float("nan")}, "salvage must be between .*, got nan"),
    ],
)
def test_a_broken_table_is_refused_with_the_value(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        menu_sale(**(GOOD | changes))


def test_a_policy_of_the_wrong_shape_or_range_is_refused() -> None:
    with pytest.raises(InputError, match=r"policy: expected \(2, 2\) \(tick, stock\), got \(2, 3\)"):
        evaluate_exactly(g0(), np.zeros((2, 3), np.int64))
    for index in (-1, 2):
        with pytest.raises(InputError, match=f"menu indices from 0 to 1, got {index}"):
            evaluate_exactly(g0(), np.full((2, 2), index))
