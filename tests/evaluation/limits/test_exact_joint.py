"""Exact values of policies on joint sales: what is observed is the state, and what is asked is what is played."""

import numpy as np
import pytest

from flashsim.envs.actions import ActionConfig
from flashsim.envs.vector import FlashSaleVectorEnv
from flashsim.errors import InputError
from flashsim.evaluation.limits.exact import exact_value, policy_table
from flashsim.evaluation.rollout import play
from flashsim.reference import JointPolicy, JointSale, evaluate_exactly, g0, hold, j1, joint_sale, solve
from tests.made_policies import JointTablePolicy, TablePolicy, random_network
from tests.reference.played import levels

SALES = 20_000


def short_sale(lag: int) -> JointSale:
    """Six periods, seven units, three servers, two at a time."""
    return joint_sale(
        rates=np.outer([1.0, 0.5, 1.5, 3.0, 1.0, 2.0], [0.4, 0.9, 1.6]),
        prices=[10.0, 8.0, 5.0],
        stock=7,
        max_servers=3,
        mu=1.0,
        start_servers=1,
        server_cost=0.8,
        penalty=0.5,
        step=2,
        lag=lag,
        salvage=1.0,
    )


def random_table(sale: JointSale, seed: int) -> JointPolicy:
    random, shape = np.random.default_rng(seed), hold(sale, 0, servers=0).price_index.shape
    return JointPolicy(random.integers(0, sale.prices.size, shape), random.integers(-sale.step, sale.step + 1, shape))


@pytest.mark.parametrize("lag", [0, 1, 2, 5])
def test_equal_states_look_alike_whatever_came_before(lag: int) -> None:
    sale = short_sale(lag)
    env = FlashSaleVectorEnv(sale, num_envs=3000, action=ActionConfig(heads=("discount", "capacity")))
    seen, _ = env.reset(seed=4)
    random = np.random.default_rng(lag)
    for tick in range(5):
        state = np.stack(
            [env.sales.batch.rows(env.sales.batch.state.stock.available)[:, 0], *levels(env.sales, tick)], 1
        )
        if tick:  # before the first tick nothing is released yet
            _, first, which = np.unique(state, axis=0, return_index=True, return_inverse=True)
            np.testing.assert_array_equal(seen, seen[first][which])
            assert len(np.unique(seen, axis=0)) == len(first)
        seen = env.step(random.integers(0, env.sales.codec.sizes, (3000, 2)))[0]


@pytest.mark.parametrize("lag", [0, 1, 2, 3])
def test_a_policy_that_plays_a_table_is_read_as_that_table(lag: int) -> None:
    sale = short_sale(lag)
    for seed in range(3):
        table = random_table(sale, seed)
        policy = JointTablePolicy(sale.compile(), table)
        read = policy_table(sale, policy)
        np.testing.assert_array_equal(read.price_index, table.price_index)
        np.testing.assert_array_equal(read.change, table.change)
        assert exact_value(sale, policy) == evaluate_exactly(sale, table)


@pytest.mark.parametrize("lag", [0, 1, 2])
def test_an_exact_value_is_what_long_play_earns(lag: int) -> None:
    reference = short_sale(lag)
    sale = reference.compile()
    for policy in (JointTablePolicy(sale, random_table(reference, 8)), random_network(sale, seed=3)):
        assert len(np.unique(policy_table(reference, policy).change)) > 1
        earned = play(sale, policy, sales=SALES, seed=0).totals["reward"]
        assert earned.mean() == pytest.approx(exact_value(reference, policy), abs=4.0 * earned.std() / np.sqrt(SALES))


@pytest.mark.parametrize("lag", [0, 1, 2])
def test_no_policy_is_worth_more_than_the_optimum_and_the_optimal_one_as_much(lag: int) -> None:
    reference = j1(lag)
    best, sale = solve(reference), reference.compile()
    assert exact_value(reference, JointTablePolicy(sale, best.policy)) == pytest.approx(best.value, rel=1e-12)
    for seed in range(5):
        assert exact_value(reference, random_network(sale, seed=seed)) <= best.value * (1.0 + 1e-12)


@pytest.mark.parametrize("heads", [("discount",), ("capacity",)])
def test_a_head_left_out_leaves_list_price_or_servers_as_they_are(heads: tuple[str, ...]) -> None:
    sale = short_sale(1)
    table = policy_table(sale, random_network(sale.compile(), action=ActionConfig(heads=heads)))
    assert (np.unique(table.price_index).size > 1) == ("discount" in heads)
    assert (np.unique(table.change).size > 1) == ("capacity" in heads)


def test_flat_actions_are_read_too() -> None:
    sale = short_sale(2)
    network = random_network(sale.compile(), action=ActionConfig(heads=("discount", "capacity"), flat=True), seed=1)
    earned = play(sale.compile(), network, sales=SALES, seed=2).totals["reward"]
    assert earned.mean() == pytest.approx(exact_value(sale, network), abs=4.0 * earned.std() / np.sqrt(SALES))


def test_policies_that_are_no_function_of_the_state_are_refused() -> None:
    slow = random_network(g0().compile(), action=ActionConfig(every=2))
    with pytest.raises(InputError, match="decides every 2 ticks, which is no function of the state"):
        exact_value(g0(), slow)

    class Closing(TablePolicy):
        def act(self, observation: np.ndarray) -> np.ndarray:
            return np.concatenate([super().act(observation), np.ones((len(observation), 1), np.int64)], axis=1)

    closing = Closing(
        g0().compile(), hold(g0(), 0), action={"heads": ("discount", "timing"), "timing": ("hold", "close")}
    )
    with pytest.raises(InputError, match="closes the sale, but a reference sale always has 2 ticks"):
        exact_value(g0(), closing)
