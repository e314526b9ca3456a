"""Joint sales: the solver against numbers known to be true, and the simulated sale against the solver."""

from statistics import mean
from time import perf_counter
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flashsim.envs.vector import FlashSaleVectorEnv
from flashsim.errors import InputError
from flashsim.reference import (
    JointPolicy,
    JointSale,
    evaluate_exactly,
    g0,
    hold,
    j1,
    joint_sale,
    menu_sale,
    solve,
    tabulate,
)
from tests.reference.played import assert_mean, returns, value_by_recursion


@pytest.mark.parametrize(("lag", "optimum"), [(0, 184.6421), (1, 183.4590), (2, 160.4452)])
def test_the_solver_finds_the_known_optimum(lag: int, optimum: float) -> None:
    assert solve(j1(lag)).value == pytest.approx(optimum, abs=5.1e-5)


@pytest.mark.parametrize(("price_index", "servers", "truth"), [(0, 1, 74.94), (1, 4, 134.15), (2, 2, 37.84)])
def test_the_exact_value_of_a_held_pair_is_known(price_index: int, servers: int, truth: float) -> None:
    assert evaluate_exactly(j1(), hold(j1(), price_index, servers=servers)) == pytest.approx(truth, abs=5.1e-3)


@pytest.mark.parametrize(("lag", "truth"), [(0, 134.1486), (1, 140.1809), (2, 130.1625)])
def test_the_best_held_pair_is_known(lag: int, truth: float) -> None:
    pairs = [(price_index, servers) for price_index in range(3) for servers in range(5)]
    values = [evaluate_exactly(j1(lag), hold(j1(lag), price_index, servers=servers)) for price_index, servers in pairs]
    assert max(values) == pytest.approx(truth, abs=5.1e-5)


@pytest.mark.parametrize(("lag", "truth"), [(0, 7.0880), (1, 6.0561), (2, 3.9424)])
def test_plain_recursion_knows_what_random_feasible_orders_earn(lag: int, truth: float) -> None:
    """This is the oracle that the solver is held against below."""
    assert value_by_recursion(j1(lag), lambda values: mean(list(values))) == pytest.approx(truth, abs=5.1e-5)


@pytest.mark.parametrize(("lag", "truth"), [(0, 175.4935), (1, 177.1532), (2, 159.6770)])
def test_the_exact_value_of_what_is_best_for_one_tick_is_known(lag: int, truth: float) -> None:
    """The best price for this tick, and the level that is best for the tick in which the order comes into force."""
    sale = j1(lag)
    alone: dict[str, Any] = {"stock": 40, "max_servers": 4, "mu": 3.0, "start_servers": 0, "step": 0, "lag": 0}
    alone |= {"server_cost": 4.0, "penalty": 4.0}

    def one_tick(tick: int, price_index: int) -> Any:
        return solve(
            joint_sale(rates=[[sale.rates[tick, price_index]]], prices=[sale.prices[price_index]], **alone)
        ).values[0]

    worth = np.array(
        [[one_tick(tick, price_index) for price_index in range(3)] for tick in range(8)]
    )  # tick, price, stock, servers

    def decide(tick: int, stock: int, levels: tuple[int, ...]) -> tuple[int, int]:
        change = 0
        if tick + lag < 8:
            best = worth[tick + lag, :, stock].max(axis=0)
            change = max((0, -1, 1), key=lambda step: best[min(max(levels[-1] + step, 0), 4)])
        in_force = levels[0] if lag else min(max(levels[0] + change, 0), 4)
        return int(worth[tick, :, stock, in_force].argmax()), change

    assert evaluate_exactly(sale, decide) == pytest.approx(truth, abs=5.1e-5)


@pytest.mark.parametrize("lag", [0, 1, 2])
def test_the_exact_value_of_the_optimal_policy_is_the_optimum(lag: int) -> None:
    solution = solve(j1(lag))
    assert evaluate_exactly(j1(lag), solution.policy) == pytest.approx(solution.value, rel=1e-12)


@pytest.mark.parametrize("lag", [0, 1, 2])
def test_the_optimal_policy_earns_the_optimum_in_the_env(lag: int) -> None:
    solution = solve(j1(lag))
    seen = returns(j1(lag), solution.policy)
    assert_mean(seen, solution.value)
    if lag == 0:
        assert seen.std() == pytest.approx(28.0, rel=0.03)


@pytest.mark.parametrize("lag", [0, 1, 2])
@pytest.mark.parametrize(("price_index", "servers"), [(0, 1), (1, 4), (2, 2), (1, 3), (0, 0)])
def test_a_held_pair_earns_in_the_env_what_theory_says(lag: int, price_index: int, servers: int) -> None:
    policy = hold(j1(lag), price_index, servers=servers)
    assert_mean(returns(j1(lag), policy), evaluate_exactly(j1(lag), policy))


@pytest.mark.parametrize("lag", [0, 1, 2])
def test_a_policy_that_looks_at_everything_earns_in_the_env_what_theory_says(lag: int) -> None:
    """Random orders in every state, so that an axis taken for another would show."""
    sale, random = j1(lag), np.random.default_rng(lag)
    shape = hold(sale, 0, servers=0).price_index.shape
    policy = JointPolicy(random.integers(0, 3, shape), random.integers(-1, 2, shape))
    assert_mean(returns(sale, policy), evaluate_exactly(sale, policy))


INSTANCES: dict[str, JointSale] = {
    "rush": joint_sale(  # rates to 10^4, capacity that binds, prices in no order
        rates=[[2000.0, 900.0, 10_000.0], [4000.0, 1500.0, 9000.0], [300.0, 50.0, 1000.0]],
        prices=[5.0, 8.0, 2.0],
        stock=9000,
        max_servers=3,
        mu=1500.5,
        start_servers=1,
        server_cost=700.0,
        penalty=0.5,
        step=1,
        lag=1,
    ),
    "halves": joint_sale(  # no whole capacities, disposal of what is left, prices in no order
        rates=[[2.0, 4.5, 1.0], [3.0, 9.0, 2.0], [6.0, 12.0, 4.0], [1.0, 2.0, 0.5], [0.0, 3.0, 0.0]],
        prices=[7.0, 4.0, 9.0],
        stock=30,
        max_servers=4,
        mu=2.7,
        start_servers=0,
        server_cost=1.5,
        penalty=0.7,
        step=2,
        lag=2,
        salvage=-2.5,
    ),
    "slow servers": joint_sale(  # three servers for one unit, a lag as long as the sale nearly
        rates=[[1.0, 3.0], [2.0, 5.0], [0.5, 0.0], [1.0, 2.0]],
        prices=[10.0, 6.0],
        stock=5,
        max_servers=4,
        mu=0.4,
        start_servers=3,
        server_cost=0.2,
        penalty=3.0,
        step=1,
        lag=3,
        salvage=1.0,
    ),
    "servers alone": joint_sale(
        rates=[[50.0], [200.0], [80.0], [20.0]],
        prices=[3.0],
        stock=260,
        max_servers=12,
        mu=15.0,
        start_servers=2,
        server_cost=20.0,
        penalty=1.0,
        step=4,
        lag=1,
        salvage=0.5,
    ),
    "prices alone": joint_sale(
        rates=[[3.0, 6.0]] * 6,
        prices=[10.0, 8.0],
        stock=25,
        max_servers=2,
        mu=2.5,
        start_servers=2,
        server_cost=3.0,
        penalty=2.0,
        step=0,
        lag=0,
    ),
    "ordered too late": joint_sale(
        rates=[[3.0, 6.0]] * 2,
        prices=[10.0, 8.0],
        stock=4,
        max_servers=2,
        mu=2.0,
        start_servers=1,
        server_cost=1.0,
        penalty=2.0,
        step=1,
        lag=4,
    ),
}


@pytest.mark.parametrize(
    ("name", "price_index", "servers"),
    [
        (name, price_index, servers)
        for name, sale in INSTANCES.items()
        for price_index in range(sale.prices.size)
        for servers in (0, sale.max_servers)
    ],
)
def test_further_sales_earn_in_the_env_what_theory_says(name: str, price_index: int, servers: int) -> None:
    sale = INSTANCES[name]
    policy = hold(sale, price_index, servers=servers)
    assert_mean(returns(sale, policy, sales=8000), evaluate_exactly(sale, policy))


@pytest.mark.parametrize("name", INSTANCES)
def test_the_optimum_of_further_sales_is_reached_in_the_env(name: str) -> None:
    solution = solve(INSTANCES[name])
    assert_mean(returns(INSTANCES[name], solution.policy, sales=8000), solution.value)


@st.composite
def small_sales(draw: st.DrawFn) -> JointSale:
    """Up to 3 periods, 2 prices in any order, 4 units, 2 servers, lag 2."""
    ticks, price_index, servers = draw(st.integers(1, 3)), draw(st.integers(1, 2)), draw(st.integers(0, 2))
    return joint_sale(
        rates=[draw(st.lists(st.floats(0.0, 5.0), min_size=price_index, max_size=price_index)) for _ in range(ticks)],
        prices=draw(st.lists(st.floats(0.1, 20.0), min_size=price_index, max_size=price_index)),
        stock=draw(st.integers(0, 4)),
        max_servers=servers,
        mu=draw(st.floats(0.3, 3.0)),
        start_servers=draw(st.integers(0, servers)),
        server_cost=draw(st.floats(0.0, 5.0)),
        penalty=draw(st.floats(0.0, 5.0)),
        step=draw(st.integers(0, 3)),
        lag=draw(st.integers(0, 2)),
        salvage=draw(st.floats(-3.0, 8.0)),
    )


@given(sale=small_sales())
@settings(max_examples=60)
def test_the_solver_equals_plain_recursion(sale: JointSale) -> None:
    assert solve(sale).value == pytest.approx(value_by_recursion(sale), rel=1e-9, abs=1e-9)


@given(sale=small_sales(), price_index=st.integers(0, 1), servers=st.integers(0, 2))
@settings(max_examples=30)
def test_no_held_pair_beats_the_optimum(sale: JointSale, price_index: int, servers: int) -> None:
    policy = hold(sale, min(price_index, sale.prices.size - 1), servers=min(servers, sale.max_servers))
    assert evaluate_exactly(sale, policy) <= solve(sale).value + 1e-9


def test_free_servers_without_a_limit_leave_a_menu_sale() -> None:
    """And the policy's prices are the same, whatever the levels."""
    rates, prices = np.outer([1.0, 0.5, 1.5], [0.4, 0.9, 1.6]), [10.0, 8.0, 5.0]
    plain = solve(menu_sale(rates=rates, prices=prices, stock=5, salvage=1.0))
    joint = solve(joint_sale(**(GOOD | {"rates": rates, "prices": prices, "stock": 5, "salvage": 1.0} | FREE)))
    assert joint.value == pytest.approx(plain.value, rel=1e-12)
    assert (joint.policy.price_index[:, :, 1, 1] == plain.policy).all()


@pytest.mark.parametrize("lag", [0, 1, 2, 3])
def test_an_order_comes_into_force_after_the_lag_and_is_paid_from_then_on(lag: int) -> None:
    """Also when the stock is gone: here it is after the first tick."""
    sale = joint_sale(**(GOOD | {"rates": [[40.0, 50.0]] * 6, "stock": 2, "mu": 9.0, "lag": lag, "max_servers": 3}))
    env = FlashSaleVectorEnv(sale, num_envs=3)
    env.reset(seed=0)
    orders = [1, 1, 1, -1, 0, -1]
    chosen = np.clip(1 + np.cumsum([1, 1, 0, -1, 0, -1]), 0, 3)  # the third order is more than the limit
    for tick, change in enumerate(orders):
        ledger = env.sales.batch.ledger
        env.step(np.array([[0, change + 1]] * 3))
        in_force = 1 if tick < lag else int(chosen[tick - lag])
        assert env.sales.batch.rows(ledger.servers).tolist() == [in_force] * 3
        assert env.sales.batch.rows(ledger.server_cost).tolist() == [in_force * sale.server_cost] * 3
        assert env.sales.batch.rows(ledger.projected).tolist() == [float(tick == 2)] * 3


def test_what_is_lost_to_capacity_is_what_stock_could_have_filled() -> None:
    sale = joint_sale(**(GOOD | {"rates": [[30.0, 50.0]] * 2, "stock": 20, "mu": 6.0, "lag": 1, "penalty": 2.0}))
    env = FlashSaleVectorEnv(sale, num_envs=50)
    env.reset(seed=1)
    rows, ledger = env.sales.batch.rows, env.sales.batch.ledger
    for stock in (20, 14):
        env.step(np.array([[0, 1]] * 50))
        people = rows(ledger.attracted_visitors) + rows(ledger.exogenous_visitors)
        assert rows(ledger.paid)[:, 0].tolist() == np.minimum(people, 6).tolist()
        np.testing.assert_array_equal(rows(ledger.penalty), 2.0 * (np.minimum(people, stock) - 6))


def test_a_policy_can_be_given_as_a_function() -> None:
    def follow(tick: int, stock: int, levels: tuple[int, ...]) -> tuple[int, int]:
        now, last = levels
        return min(2, stock // 20), 1 if now < 2 and tick < 4 else 0 if last == 1 else -1

    table = tabulate(j1(2), follow)
    assert table.price_index.shape == table.change.shape == (8, 41, 5, 5)
    assert (table.price_index[3, 20, 1, 4], table.change[3, 20, 1, 4]) == (1, 1)
    assert (table.price_index[5, 39, 1, 1], table.change[5, 39, 1, 1]) == (1, 0)
    assert evaluate_exactly(j1(2), follow) == evaluate_exactly(j1(2), table)
    ramp = hold(j1(), 1, servers=4)
    assert evaluate_exactly(j1(), lambda tick, stock, levels: (1, 1)) == evaluate_exactly(j1(), ramp)
    answers: tuple[Any, ...] = (1, (1, 0, 0), (0.5, 1), ("a", 0))
    for answer in answers:
        with pytest.raises(InputError, match="expected a price index and a change of servers in every state, got "):
            evaluate_exactly(j1(), lambda *_, answer=answer: answer)


GOOD: dict[str, Any] = {
    "rates": [[0.5, 1.0], [0.5, 1.0]],
    "prices": [10.0, 8.0],
    "stock": 5,
    "max_servers": 2,
    "mu": 2.0,
    "start_servers": 1,
    "server_cost": 1.0,
    "penalty": 1.0,
    "step": 1,
    "lag": 2,
}
FREE: dict[str, Any] = {"mu": 1e9, "server_cost": 0.0, "start_servers": 2}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"rates": [[0.5, float("nan")], [0.5, 1.0]]}, "rates: .*nan"),
        ({"rates": [[0.5, 1.0], [0.5]]}, "rates: .*rows of one length"),
        ({"prices": [10.0, -8.0]}, r"prices: .*-8\.0"),
        ({"stock": -1}, "stock must be between 0 and .*, got -1"),
        ({"max_servers": -1}, "max_servers must be between 0 and .*, got -1"),
        ({"max_servers": 2.5}, "max_servers must be a whole number, got 2.5"),
        ({"mu": 0.0}, "mu must be between 1e-09 and .*, got 0"),
        ({"mu": float("nan")}, "mu must be between .*, got nan"),
        ({"mu": None}, "mu must be a number, got None"),
        ({"start_servers": 3}, "start_servers must be between 0 and 2, got 3"),
        ({"server_cost": -1.0}, "server_cost must be between 0 and .*, got -1"),
        ({"penalty": float("inf")}, "penalty must be between 0 and .*, got inf"),
        ({"step": -1}, "step must be between 0 and .*, got -1"),
        ({"lag": -1}, "lag must be between 0 and .*, got -1"),
        ({"lag": True}, "lag must be a whole number, got True"),
        ({"salvage": float("nan")}, "salvage must be between .*, got nan"),
    ],
)
def test_a_broken_sale_is_refused_with_the_value(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        joint_sale(**(GOOD | changes))


def test_a_policy_that_does_not_fit_is_refused() -> None:
    sale = joint_sale(**GOOD)
    good = hold(sale, 0, servers=1)
    cases: list[tuple[Any, str]] = [
        (good._replace(price_index=good.price_index + 2), "price indices from 0 to 1, got 2"),
        (good._replace(change=good.change - 2), "changes from -1 to 1, got -3"),
        (
            hold(joint_sale(**(GOOD | {"lag": 1})), 0, servers=1),
            r"\(2, 6, 3, 3\) \(tick, stock, levels\), got \(2, 6, 3\)",
        ),
        (hold(g0(), 0), "a JointPolicy for the sale 'joint_sale', got ndarray"),
    ]
    for policy, words in cases:
        with pytest.raises(InputError, match=words):
            evaluate_exactly(sale, policy)


def test_a_large_sale_is_solved_in_seconds() -> None:
    """100 units, 100 ticks, 10 servers, six prices; without servers to pay it earns no less."""
    random = np.random.default_rng(5)
    large = GOOD | {"rates": random.uniform(0.0, 3.0, (100, 6)), "prices": [10.0, 9.0, 8.0, 7.0, 6.0, 5.0]}
    large |= {"stock": 100, "max_servers": 10, "mu": 0.4, "server_cost": 0.3, "lag": 1}
    start = perf_counter()
    solution = solve(joint_sale(**large))
    assert perf_counter() - start < 30.0
    assert 0.0 < solution.value < solve(joint_sale(**(large | {"server_cost": 0.0}))).value


def test_a_sale_with_too_many_states_is_refused_in_words() -> None:
    with pytest.raises(InputError, match=r"'joint_sale' has 4.* states .* lower stock, max_servers or lag"):
        solve(joint_sale(**(GOOD | {"lag": 20})))
