"""A simulated day is opened as a sale is."""

import numpy as np

from flashsim.envs.actions import ActionConfig
from flashsim.envs.reward import RewardConfig
from flashsim.envs.vector import SaleBatch, consecutive_seeds
from flashsim.fidelity.replay import draw_frailties, draw_members
from flashsim.sim import streams
from flashsim.sim.samplers import make_workspace
from tests.worlds import make_scenario, make_world

SALES = 40


def test_members_and_frailties_are_those_that_the_sale_itself_draws() -> None:
    world = make_world()
    sale = make_scenario(world).compile()
    sale = sale.with_members((*sale.training_members, *sale.heldout_members))
    action = ActionConfig(heads=("discount",), per_product=False)
    batch = SaleBatch(sale, SALES, action=action, reward=RewardConfig(), domain=streams.EVALUATION_DOMAIN)
    seeds = consecutive_seeds(5, SALES)
    batch.seed(seeds)
    batch.observe()
    state = batch.batch.state
    domain, first = np.uint64(streams.EVALUATION_DOMAIN), np.uint64(0)
    keys = np.array([streams.sale_key(np.uint64(seed), domain, first) for seed in seeds], np.uint64)
    streams.write_tick_keys(keys.copy(), np.zeros(SALES, np.int64), keys)
    work = make_workspace(SALES)
    member = draw_members(world, keys, work)
    np.testing.assert_array_equal(member, batch.batch.rows(state.member))
    frailty = draw_frailties(world, keys, member=member, work=work)
    np.testing.assert_array_equal(frailty.T, batch.batch.rows(state.frailty))
