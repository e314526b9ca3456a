"""Scales of rewards: known for a sale that can be worked out by hand, robust for leads over a rule."""

import math
from dataclasses import replace
from typing import Protocol

import numpy as np
import pytest
from numpy.typing import NDArray

from agents.dqn.settings import DQNConfig
from agents.ppo.settings import PPOConfig
from agents.start.imitation import InOwnActions, steering
from agents.start.reward_scale import lead_spread, reward_scale
from flashsim.envs.actions import ActionConfig
from flashsim.envs.reward import RewardConfig
from flashsim.envs.vector import SaleBatch, consecutive_seeds
from flashsim.evaluation.rollout import action_config
from flashsim.reference import g0
from flashsim.scenarios.compiled import CompiledSale
from flashsim.sim.streams import TRAINING_DOMAIN
from tests.agents.start.test_imitation import rule_of_two, sale_of_two


def test_the_reward_scale_is_the_spread_of_random_play() -> None:
    """G0 by hand: each period sells its one unit at 10 or 8, chosen by chance, with probability 1 - e^-rate."""
    at_10, at_8 = 0.5 * (1.0 - math.exp(-0.5)), 0.5 * (1.0 - math.exp(-1.0))
    kept = 1.0 - at_10 - at_8
    chances = {10.0: at_10 * (1.0 + kept), 8.0: at_8 * (1.0 + kept), 0.0: kept * kept}
    mean = sum(value * chance for value, chance in chances.items())
    variance = sum((value - mean) ** 2 * chance for value, chance in chances.items())
    fourth = sum((value - mean) ** 4 * chance for value, chance in chances.items())
    sales = 20_000
    found = reward_scale(g0().compile(), ActionConfig(heads=("discount",)), seed=7, sales=sales)
    error = math.sqrt((fourth - variance**2) / sales) / (2.0 * math.sqrt(variance))
    assert found == pytest.approx(math.sqrt(variance), abs=4.0 * error)


def test_the_reward_scale_of_a_sale_without_spread_is_a_cent() -> None:
    nobody = replace(g0(), rates=np.zeros((2, 2)))
    assert reward_scale(nobody.compile(), ActionConfig(heads=("discount",)), seed=0, sales=8) == 0.01


class Player(Protocol):
    """What decides."""

    def act(self, observation: NDArray[np.float32]) -> NDArray[np.int64]:
        """Actions (sale, head), or (sale,) if flat."""
        ...


def profits(
    sale: CompiledSale, player: Player, action: ActionConfig, *, share: float, sales: int
) -> NDArray[np.float64]:
    """Of sales of training members, ``share`` of whose choices are drawn."""
    members = sale.with_members(sale.training_members)
    batch = SaleBatch(members, sales, action=action, reward=RewardConfig(), domain=TRAINING_DOMAIN)
    batch.seed(consecutive_seeds(40, sales))
    random, seen, profit = np.random.default_rng(1), batch.observe(), np.zeros(sales)
    for _ in range(sale.ticks // action.every):
        chosen = player.act(seen).reshape(sales, -1)
        for head, size in enumerate(batch.codec.head_sizes):
            is_drawn = random.random(sales) < share
            chosen[is_drawn, head] = random.integers(size, size=int(is_drawn.sum()))
        profit += batch.step(chosen[:, 0] if action.flat else chosen)[0]
        seen = batch.seen()
    return profit


@pytest.mark.parametrize("config", [PPOConfig(decide_every=1), DQNConfig(decide_every=1)])
def test_the_spread_of_leads_is_that_of_sales_above_the_same_sales_run_by_the_rule(
    config: PPOConfig | DQNConfig,
) -> None:
    """Played apart on the same seeds; within the error of a quartile of 512 and 2 048 sales."""
    sale = sale_of_two()
    rule = rule_of_two()
    action = steering(config, rule).action(sale)
    explored = profits(sale, InOwnActions(sale, rule, action), action, share=0.1, sales=2_048)
    ruled = profits(sale, rule, action_config(rule), share=0.0, sales=2_048)
    low, high = np.quantile(explored - ruled, (0.25, 0.75))
    found = lead_spread(sale, rule, action, reward=RewardConfig(), seed=40)
    assert found == pytest.approx((high - low) / 1.349, rel=0.25)
    assert found < 0.7 * reward_scale(sale, action, seed=40)


def test_leads_that_never_vary_have_the_spread_of_a_cent() -> None:
    sale = sale_of_two()
    rule = rule_of_two()
    action = steering(PPOConfig(), rule).action(sale)
    nothing = RewardConfig(revenue=0.0, goods_cost=0.0, server_cost=0.0, penalty=0.0, salvage=0.0)
    assert lead_spread(sale, rule, action, reward=nothing, seed=0) == 0.01
