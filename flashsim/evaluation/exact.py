"""Exact value of a policy on a reference sale: the policy is asked once in every state, then its value is computed.

In a reference sale the observation is a function of tick and stock alone, so the policy is a table.
"""

import numpy as np
from numpy.typing import NDArray

from flashsim.envs.reward import RewardConfig
from flashsim.envs.vector import SaleBatch
from flashsim.evaluation.rollout import action_config, check_policy
from flashsim.policy import Policy
from flashsim.reference import MenuSale, evaluate_exactly
from flashsim.sim.streams import EVALUATION_DOMAIN


def policy_table(sale: MenuSale, policy: Policy) -> NDArray[np.int64]:
    """Menu index that ``policy`` chooses in each state (tick, stock)."""
    plan = sale.plan()
    check_policy(plan, policy)
    stocks = np.arange(sale.stock + 1)
    states = SaleBatch(plan, stocks.size, action=action_config(policy), reward=RewardConfig(), domain=EVALUATION_DOMAIN)
    states.seed(np.zeros(stocks.size, np.uint64))
    state = states.batch.state
    states.batch.fill(state.stock.unreleased, stocks[:, None])
    table = np.zeros((plan.ticks, stocks.size), np.int64)
    for tick in range(plan.ticks):
        state.tick[...] = tick
        seen = states.observe()
        menu, _, _ = states.codec.decode(states.codec.check(policy.act(seen), stocks.size), seen)
        table[tick] = menu[:, 0]
        states.batch.fill(state.stock.available, stocks[:, None])  # released in the first tick
        states.batch.fill(state.stock.unreleased, 0 * stocks[:, None])
    return table


def exact_value(sale: MenuSale, policy: Policy) -> float:
    """Expected reward of ``policy`` on ``sale``, exact up to rounding."""
    return evaluate_exactly(sale, policy_table(sale, policy))
