"""Gymnasium, vector and Stable-Baselines3 views of one engine."""

from pathlib import Path

import flashsim.scenarios.compiled
import flashsim.sim
from flashsim.sim.cache import compiled_code_of

with compiled_code_of(
    Path(flashsim.sim.__file__).parent, Path(flashsim.scenarios.compiled.__file__), Path(__file__).parent
):
    from flashsim.envs import observation as observation
