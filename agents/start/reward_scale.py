"""How much sales vary: by this, rewards and multipliers of constraints are scaled before a network learns from them.

Rewards are divided by the standard deviation of a random policy's sale. A network of values that is paid for leads over
a rule (``agents.start.paired_rewards``) starts at that rule. There sales differ far less from their twins than random
sales differ from each other, and the greedy choice depends on small differences of values. So its rewards are divided
by the spread of the leads of an exploring rule, which draws one choice in ten at random. That is the spread of the
quartiles, (q_3/4 - q_1/4)/1.349, since a few sales collapse; for a normal law both are the same. (PPO normalizes
advantages, and gains nothing from it.)

Source: the scale of quartiles, Hampel (1974), JASA 69(346).
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from agents.start.imitation import InOwnActions
from agents.start.paired_rewards import PairedSales
from flashsim.envs.actions import ActionConfig
from flashsim.envs.reward import ConstraintConfig, RewardConfig, check_rewards
from flashsim.envs.sb3 import make_sb3
from flashsim.envs.vector import consecutive_seeds
from flashsim.rules import RulePolicy
from flashsim.scenarios.compiled import CompiledSale
from flashsim.sim.streams import TRAINING_DOMAIN

_SALES = 512
_LEAST = 0.01  # currency; a sale that never varies needs a scale all the same
_DRAWN = 0.1  # share of an exploring rule's choices
_QUARTILES = 1.349  # between the quartiles of a normal law, standard deviations


class Spread(NamedTuple):
    """Standard deviations over sales under a random policy."""

    reward: float
    excess: NDArray[np.float64]  # constraint


def reward_scale(sale: CompiledSale, action: ActionConfig, *, seed: int, sales: int = _SALES) -> float:
    """Standard deviation of a sale's profit under uniformly random actions; at least a cent."""
    return random_spread(
        sale, action, seed=seed, sales=sales, reward=RewardConfig(), constraints=ConstraintConfig()
    ).reward


def random_spread(
    sale: CompiledSale,
    action: ActionConfig,
    *,
    seed: int,
    reward: RewardConfig,
    constraints: ConstraintConfig,
    sales: int = _SALES,
) -> Spread:
    """Standard deviations of a sale's reward, at least a cent, and of its excess, under uniformly random actions.

    An excess that never varies has the spread 1. InputError on a reward that is no number.
    """
    rng = np.random.default_rng(seed)
    env = make_sb3(
        sale,
        num_envs=sales,
        seed=seed,
        action=action,
        members=sale.training_members,
        reward=reward,
        constraints=constraints,
    )
    env.reset()
    returns, excess = np.zeros(sales), np.zeros((len(constraints.names), sales))
    is_open = np.ones(sales, np.bool_)
    sizes = env.sales.codec.head_sizes
    while is_open.any():
        drawn = rng.integers(sizes, size=(sales, len(sizes)))
        _, earned, closed, _ = env.step(drawn[:, 0] if action.flat else drawn)
        check_rewards(earned)
        returns += earned * is_open
        excess += env.sales.decision_excess * is_open
        is_open &= ~closed
    deviation = excess.std(axis=1)
    return Spread(max(float(returns.std()), _LEAST), np.where(deviation > 0.0, deviation, 1.0))


def lead_spread(
    sale: CompiledSale, rule: RulePolicy, action: ActionConfig, *, reward: RewardConfig, seed: int
) -> float:
    """Spread of leads of sales in which one choice of ``rule`` in ten is drawn at random; at least a cent.

    InputError on a reward that is no number.
    """
    members = sale.with_members(sale.training_members)
    batch = PairedSales(members, _SALES, rule=rule, action=action, reward=reward, domain=TRAINING_DOMAIN)
    batch.listeners.append(lambda _sales, earned, _closed: check_rewards(earned))
    batch.seed(consecutive_seeds(seed, _SALES))
    player, random = InOwnActions(members, rule, action), np.random.default_rng(seed)
    seen, lead = batch.observe(), np.zeros(_SALES)
    for _ in range(sale.all_ticks // action.every):
        chosen = player.act(seen).reshape(_SALES, -1)
        drawn = random.integers(batch.codec.head_sizes, size=chosen.shape)
        mixed = np.where(random.random(chosen.shape) < _DRAWN, drawn, chosen)
        lead += batch.step(mixed[:, 0] if action.flat else mixed)[0]
        seen = batch.seen()
    low, high = np.quantile(lead, (0.25, 0.75))
    return max(float(high - low) / _QUARTILES, _LEAST)
