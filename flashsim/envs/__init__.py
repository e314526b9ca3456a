"""Gymnasium, vector and Stable-Baselines3 views of one engine."""

from pathlib import Path

import flashsim.scenarios.compiled
import flashsim.sim
from flashsim.sim.cache import compiled_code_of

_HERE, _SIM = Path(__file__).parent, Path(flashsim.sim.__file__).parent

with compiled_code_of(_SIM, Path(flashsim.scenarios.compiled.__file__), _HERE):
    from flashsim.envs import observation as observation
with compiled_code_of(_SIM, _HERE, _HERE / "heads"):
    from flashsim.envs import heads as heads
