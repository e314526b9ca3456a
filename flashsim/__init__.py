"""flashsim: plan a timed sale before it happens.

import gymnasium, flashsim
env = gymnasium.make("flashsim/FlashSale-v0", scenario=flashsim.reference.g1())
"""

import gymnasium

from flashsim.errors import InputError as InputError

gymnasium.register(
    id="flashsim/FlashSale-v0",
    entry_point="flashsim.envs.single:FlashSaleEnv",
    vector_entry_point="flashsim.envs.vector:FlashSaleVectorEnv",
)
