"""Updates of learners on the cpu as compiled code, over tiles of rows; each a single call for many minibatches."""

from pathlib import Path

import flashsim.sim.cache
import flashsim.sim.samplers
from flashsim.sim.cache import compiled_code_of

with compiled_code_of(Path(flashsim.sim.cache.__file__), Path(flashsim.sim.samplers.__file__), Path(__file__).parent):
    from agents.compiled import ppo_update as ppo_update
    from agents.compiled import q_update as q_update
