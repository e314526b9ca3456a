"""Exact value of a policy on a reference sale: the policy is asked once in every state, then its value is computed.

In a reference sale the observation is a function of tick, stock and levels of servers alone, so the policy is a table.
"""

from typing import overload

import numpy as np
from numpy.typing import NDArray

from flashsim.envs.actions import ActionConfig
from flashsim.envs.reward import RewardConfig
from flashsim.envs.vector import SaleBatch
from flashsim.errors import InputError
from flashsim.evaluation.rollout import action_config, check_policy
from flashsim.policies.bundle import Policy
from flashsim.reference import JointPolicy, JointSale, MenuSale, ReferenceSale, evaluate_exactly
from flashsim.scenarios.compiled import CompiledSale
from flashsim.sim.state import CLOSE
from flashsim.sim.streams import EVALUATION_DOMAIN

_LEAST_GAIN = 1e-3  # of the optimum over fixed orders, share


@overload
def policy_table(reference: MenuSale, policy: Policy) -> NDArray[np.int64]: ...
@overload
def policy_table(reference: JointSale, policy: Policy) -> JointPolicy: ...
def policy_table(reference: ReferenceSale, policy: Policy) -> NDArray[np.int64] | JointPolicy:
    """What ``policy`` orders in each state: price indices (tick, stock), or those and changes of servers.

    InputError for a policy that is no function of the state, or that ends the sale.
    """
    sale = reference.compile()
    check_policy(sale, policy)
    config = action_config(policy)
    if config.every > 1:
        raise InputError(
            f"policy {policy.name!r} decides every {config.every} ticks, which is no function of the state; "
            "train it with decide_every = 1"
        )
    if isinstance(reference, MenuSale):
        price_index, _ = _ask(sale, policy, config, levels=np.ones((1, 1), np.int64))
        return price_index[:, :, 0]
    count = reference.max_servers + 1
    pipeline = [count] * max(1, reference.lag)
    levels = np.stack(np.unravel_index(np.arange(int(np.prod(pipeline))), pipeline), axis=1)
    shape = (sale.all_ticks, reference.stock + 1, *pipeline)
    price_index, change = _ask(sale, policy, config, levels=levels.astype(np.int64))
    return JointPolicy(price_index.reshape(shape), change.reshape(shape))


def _ask(
    sale: CompiledSale, policy: Policy, config: ActionConfig, *, levels: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Price index and change of servers, each (tick, stock, row of ``levels``); ticks before the opening come first.

    ``levels`` (row, tick ahead) are servers in force at this tick, at the next, …; the last was ordered last.
    """
    rows = levels.shape[0]
    stocks = np.repeat(np.arange(int(sale.stock[0]) + 1), rows)
    pool = np.tile(levels, (stocks.size // rows, 1))
    states = SaleBatch(sale, stocks.size, action=config, reward=RewardConfig(), domain=EVALUATION_DOMAIN)
    states.seed(np.zeros(stocks.size, np.uint64))
    fill, state = states.batch.fill, states.batch.state
    fill(state.stock.unreleased, stocks[:, None])
    fill(state.servers.ordered, pool[:, -1])
    price_index, change = np.zeros((2, sale.all_ticks, stocks.size), np.int64)
    ring = sale.tables.servers.lag + 1
    for row, tick in enumerate(range(-sale.pre_opening, sale.ticks)):
        state.tick[...] = tick
        ahead = (np.arange(ring) - tick - 1) % ring  # ticks until the order in each place is in force
        fill(state.servers.orders, pool[:, np.minimum(ahead, pool.shape[1] - 1)])
        seen = states.observe()
        decided = states.codec.decode(states.codec.check(policy.act(seen), stocks.size), seen)
        if (decided.timing == CLOSE).any():
            raise InputError(
                f"policy {policy.name!r} closes the sale, but a reference sale always has {sale.ticks} ticks"
            )
        price_index[row], change[row] = decided.price_index[:, 0], decided.change
        if tick == 0:  # all is released in it
            fill(state.stock.available, stocks[:, None])
            fill(state.stock.unreleased, 0 * stocks[:, None])
    shape = (sale.all_ticks, stocks.size // rows, rows)
    return price_index.reshape(shape), change.reshape(shape)


def exact_value(sale: ReferenceSale, policy: Policy) -> float:
    """Expected reward of ``policy`` on ``sale``, exact up to rounding."""
    if isinstance(sale, MenuSale):
        return evaluate_exactly(sale, policy_table(sale, policy))
    return evaluate_exactly(sale, policy_table(sale, policy))


def normalized_share(value: float, *, fixed: float, optimum: float) -> float | None:
    """Where ``value`` lies between the best fixed orders, 0, and the optimum, 1; below 0 when it is worse than fixed.

    None where fixed orders earn within a thousandth of the optimum: what lies between is too little to be a measure.
    """
    gain = optimum - fixed
    return None if gain <= _LEAST_GAIN * max(abs(optimum), abs(fixed)) else (value - fixed) / gain
