"""flashsim: plan a timed sale before it happens.

import gymnasium
from flashsim.reference import g1

env = gymnasium.make("flashsim/FlashSale-v0", scenario=g1())
"""

import gymnasium

from flashsim.errors import InputError as InputError
from flashsim.policy import load_policy as load_policy

gymnasium.register(
    id="flashsim/FlashSale-v0",
    entry_point="flashsim.envs.single:FlashSaleEnv",
    vector_entry_point="flashsim.envs.vector:FlashSaleVectorEnv",
)
