"""flashsim: plan a timed sale before it happens.

import gymnasium
import flashsim

env = gymnasium.make("flashsim/FlashSale-v0")  # an evening's sale on the World that comes with the package
"""

import gymnasium

from flashsim.errors import InputError as InputError
from flashsim.policies.bundle import load_policy as load_policy

gymnasium.register(
    id="flashsim/FlashSale-v0",
    entry_point="flashsim.envs.single:FlashSaleEnv",
    vector_entry_point="flashsim.envs.vector:FlashSaleVectorEnv",
)
