"""Exact values: of tables as the dynamic program has them, of networks as long play finds them, none above the best."""

from collections.abc import Callable

import numpy as np
import pytest

from flashsim.errors import InputError
from flashsim.evaluation.limits.exact import exact_value, normalized_share, policy_table
from flashsim.evaluation.rollout import play
from flashsim.reference import MenuSale, evaluate_exactly, g0, g1, menu_sale, solve
from tests.made_policies import TablePolicy, random_network
from tests.worlds import make_scenario

SALES = 20_000


def short_sale() -> MenuSale:
    """Six periods of unlike demand, five units, a salvage value."""
    rates = np.outer([1.0, 0.5, 1.5, 0.2, 1.0, 2.0], [0.4, 0.9, 1.6])
    return menu_sale(rates=rates, prices=[10.0, 8.0, 5.0], stock=5, salvage=1.0, name="short")


@pytest.mark.parametrize("make", [g0, g1, short_sale])
def test_a_policy_that_plays_a_table_is_read_as_that_table(make: Callable[[], MenuSale]) -> None:
    reference = make()
    sale = reference.compile()
    for seed in range(5):
        table = np.random.default_rng(seed).integers(0, sale.price_levels, (sale.ticks, reference.stock + 1))
        policy = TablePolicy(sale, table)
        np.testing.assert_array_equal(policy_table(reference, policy), table)
        assert exact_value(reference, policy) == evaluate_exactly(reference, table)


@pytest.mark.parametrize("index", [0, 1, 2, None])
def test_an_exact_value_is_what_long_play_earns(index: int | None) -> None:
    """A fixed price, or a random table (None)."""
    reference = short_sale()
    sale = reference.compile()
    drawn = np.random.default_rng(8).integers(0, 3, (sale.ticks, reference.stock + 1))
    table = drawn if index is None else np.full_like(drawn, index)
    policy = TablePolicy(sale, table)
    earned = play(sale, policy, sales=SALES, seed=0).totals["reward"]
    assert earned.mean() == pytest.approx(exact_value(reference, policy), abs=4.0 * earned.std() / np.sqrt(SALES))


def test_the_exact_value_of_a_network_is_what_it_earns_in_the_env() -> None:
    """A network knows nothing of tick and stock: it is asked with the observations that play shows it."""
    reference = short_sale()
    sale = reference.compile()
    networks = [random_network(sale, seed=seed) for seed in range(20)]
    varied = [network for network in networks if len(np.unique(policy_table(reference, network))) > 1]
    assert len(varied) >= 3
    for network in varied[:3]:
        earned = play(sale, network, sales=SALES, seed=1).totals["reward"]
        assert earned.mean() == pytest.approx(exact_value(reference, network), abs=4.0 * earned.std() / np.sqrt(SALES))


@pytest.mark.parametrize("make", [g0, g1, short_sale])
def test_no_policy_is_worth_more_than_the_optimum_and_the_optimal_one_as_much(make: Callable[[], MenuSale]) -> None:
    reference = make()
    best = solve(reference)
    sale = reference.compile()
    assert exact_value(reference, TablePolicy(sale, best.policy)) == pytest.approx(best.value, rel=1e-12)
    for seed in range(20):
        assert exact_value(reference, random_network(sale, seed=seed)) <= best.value * (1.0 + 1e-12)


def test_a_policy_of_another_sale_is_refused() -> None:
    with pytest.raises(InputError, match="train it on this sale"):
        exact_value(g1(), random_network(make_scenario().compile()))


def test_a_share_is_normalized_between_fixed_orders_and_the_optimum() -> None:
    assert normalized_share(9.0, fixed=8.0, optimum=12.0) == pytest.approx(0.25)
    assert normalized_share(6.0, fixed=8.0, optimum=12.0) == pytest.approx(-0.5)
    assert normalized_share(-6.0, fixed=-8.0, optimum=-4.0) == pytest.approx(0.5)  # a sale that loses at best
    assert normalized_share(5.0, fixed=12.0, optimum=12.01) is None
    assert normalized_share(12.01, fixed=12.0, optimum=12.02) == pytest.approx(0.5)
    assert normalized_share(0.0, fixed=0.0, optimum=0.0) is None
