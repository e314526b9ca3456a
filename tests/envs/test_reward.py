"""Rewards that are no sums over ticks, and the excess of constraints, against the totals of whole sales."""

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from flashsim.envs.actions import ActionConfig
from flashsim.envs.reward import ConstraintConfig, RewardConfig
from flashsim.envs.sb3 import make_sb3
from flashsim.envs.single import FlashSaleEnv
from flashsim.envs.vector import FlashSaleVectorEnv, SaleBatch
from flashsim.errors import InputError
from flashsim.evaluation.kpis import find_kpi
from flashsim.evaluation.rollout import Rollout, play
from flashsim.scenarios.compiled import CompiledSale
from flashsim.sim.servers import ServerParams
from tests.made_policies import random_network
from tests.worlds import make_scenario, make_world

NOTHING = {"revenue": 0.0, "goods_cost": 0.0, "server_cost": 0.0, "penalty": 0.0, "salvage": 0.0}


@cache
def slow() -> CompiledSale:
    return make_scenario(
        make_world(products=2, population=1.0), servers=ServerParams(start_servers=4, max_servers=8)
    ).compile()


@cache
def crowded() -> CompiledSale:
    return make_scenario(
        make_world(products=2, population=2.0), servers=ServerParams(start_servers=3, max_servers=12)
    ).compile()


def decisions(every: int, **weights: float) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Of three random sales: reward (decision, sale), revenue a visitor and units a visit served (tick, sale)."""
    action = ActionConfig(every=every)
    batch = SaleBatch(slow(), 3, action=action, reward=RewardConfig(**(NOTHING | weights)), domain=0)
    batch.seed(np.arange(3, dtype=np.uint64))
    rates, conversions = [], []

    def add(sales: SaleBatch, *_: Any) -> None:
        rows, ledger = sales.batch.rows, sales.batch.ledger
        visitors = rows(ledger.exogenous_visitors) + rows(ledger.attracted_visitors)
        rates.append(rows(ledger.revenue).sum(1) / np.maximum(1.0, visitors))
        conversions.append(rows(ledger.paid).sum(1) / np.maximum(1.0, rows(ledger.served)))

    batch.listeners.append(add)
    rng = np.random.default_rng(0)
    rewards = [
        batch.step(rng.integers(batch.codec.sizes, size=(3, batch.codec.sizes.size)))[0]
        for _ in range(slow().ticks // every)
    ]
    return np.array(rewards), np.array(rates), np.array(conversions)


@pytest.mark.parametrize("every", [1, 5])
def test_conversion_is_units_paid_over_visits_served_in_each_tick(every: int) -> None:
    rewards, _, conversions = decisions(every, conversion=2.0)
    np.testing.assert_allclose(rewards, 2.0 * conversions.reshape(-1, every, 3).sum(axis=1))
    assert conversions.max() > 0.0


@pytest.mark.parametrize("every", [1, 5])
def test_the_gain_in_revenue_conversion_telescopes(every: int) -> None:
    """Equation of Liu et al.: each tick's rate less that before; a whole sale, the last less the first."""
    rewards, rates, _ = decisions(every, revenue_conversion_gain=1.0)
    before = np.vstack([rates[:1], rates[every - 1 :: every][:-1]])
    np.testing.assert_allclose(rewards, rates[every - 1 :: every] - before, atol=1e-12)
    np.testing.assert_allclose(rewards.sum(axis=0), rates[-1] - rates[0], atol=1e-12)
    assert np.ptp(rates) > 0.0


def test_a_new_sale_does_not_remember_the_last_rate() -> None:
    env = make_sb3(slow(), num_envs=2, reward=RewardConfig(**(NOTHING | {"revenue_conversion_gain": 1.0})))
    env.reset()
    action = np.zeros((2, env.sales.codec.sizes.size), np.int64)
    rewards = [env.step(action)[1] for _ in range(slow().ticks + 1)]
    assert np.any(rewards[1 : slow().ticks])
    np.testing.assert_array_equal(rewards[slow().ticks], 0.0)


def played(sale: CompiledSale, constraints: ConstraintConfig) -> Rollout:
    return play(sale, random_network(sale), sales=64, seed=1, constraints=constraints)


@pytest.mark.parametrize("make", [crowded, slow])
def test_the_excess_of_a_sale_is_zero_at_what_it_measures(make: Callable[[], CompiledSale]) -> None:
    """A mark set to what a sale had (its own share of errors, percentile, margin) is kept just so."""
    sale = make()
    totals = played(sale, ConstraintConfig()).totals
    margin = (totals["revenue"] - totals["goods_cost"] + totals["salvage"]) / np.maximum(totals["revenue"], 1e-9)
    measured = {
        "error_share": find_kpi("error_share").value(totals),
        "latency_p95_s": totals["latency_p95_s"],
        "margin": margin,
    }
    checked = 0
    for reference in range(8):
        for name, values in measured.items():
            mark = float(values[reference])
            if name == "latency_p95_s" and mark >= sale.tables.servers.timeout_s - 1e-6:
                continue
            excess = played(sale, ConstraintConfig(**{name: mark})).totals[f"{name}_excess"]
            if name != "latency_p95_s":  # many visits may take just as long, so that less than 5 % are slower
                assert excess[reference] == pytest.approx(0.0, abs=1e-6 * max(1.0, np.abs(excess).max()))
            clear = np.abs(values - mark) > 1e-6
            sign = -1.0 if name == "margin" else 1.0  # of a margin, less is worse
            np.testing.assert_array_equal((excess > 0.0)[clear], (sign * (values - mark) > 0.0)[clear])
            checked += 1
    assert checked >= 16


def test_all_views_tell_the_excess_of_a_decision() -> None:
    constraints = ConstraintConfig(error_share=0.01, margin=0.3)
    action = ActionConfig(every=5)
    vector = FlashSaleVectorEnv(crowded(), num_envs=2, action=action, constraints=constraints)
    single = FlashSaleEnv(crowded(), action=action, constraints=constraints)
    batch = make_sb3(crowded(), num_envs=2, action=action, constraints=constraints, seed=4)
    vector.reset(seed=4)
    single.reset(seed=4)
    batch.reset()
    orders = np.zeros((2, batch.sales.codec.sizes.size), np.int64)
    ticks: list[NDArray[np.float64]] = []
    batch.sales.listeners.append(lambda sales, *_: ticks.append(sales.excess))
    cost, own = vector.step(orders)[4]["cost"], single.step(orders[0])[4]["cost"]
    batch.step(orders)
    assert set(cost) == {"latency_p95_s", "error_share", "error_share_excess", "margin_excess"}
    assert own == {name: values[0] for name, values in cost.items()}
    np.testing.assert_allclose([cost["error_share_excess"], cost["margin_excess"]], np.sum(ticks, axis=0))


def test_costs_that_nobody_has_read_yet_are_those_of_their_own_tick() -> None:
    arguments: Any = {"action": ActionConfig(every=5), "constraints": ConstraintConfig(error_share=0.01)}
    late, now = FlashSaleEnv(crowded(), **arguments), FlashSaleEnv(crowded(), **arguments)
    late.reset(seed=4)
    now.reset(seed=4)
    order = np.zeros(late.action_space.shape or (), np.int64)
    unread = [late.step(order)[4]["cost"] for _ in range(4)]
    assert unread == [dict(now.step(order)[4]["cost"]) for _ in range(4)]
    assert len({cost["error_share_excess"] for cost in unread}) > 1


def test_multipliers_are_taken_off_the_reward() -> None:
    envs = [make_sb3(crowded(), num_envs=2, constraints=ConstraintConfig(error_share=0.01)) for _ in range(2)]
    for env in envs:
        env.reset()
    envs[1].sales.multipliers[:] = 0.25
    orders = np.zeros((2, envs[0].sales.codec.sizes.size), np.int64)
    free, charged = (env.step(orders)[1] for env in envs)
    np.testing.assert_allclose(free - charged, 0.25 * envs[0].sales.decision_excess[0], rtol=1e-5)


def test_marks_that_mean_nothing_are_refused() -> None:
    with pytest.raises(InputError, match=r"constraints error_share must be between 0 and 1, got 1\.5"):
        ConstraintConfig(error_share=1.5)
    with pytest.raises(InputError, match="constraints latency_p95_s must be between"):
        ConstraintConfig(latency_p95_s=0.0)
    with pytest.raises(InputError, match=r"latency_p95_s must be below the time-out of 8 s, .* got 8\.0"):
        make_sb3(crowded(), num_envs=1, constraints=ConstraintConfig(latency_p95_s=8.0))
    with pytest.raises(InputError, match="reward conversion must be a finite number, got inf"):
        RewardConfig(conversion=np.inf)
