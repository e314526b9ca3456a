"""The simulated sale: numba functions over tiles of sales; the parts meet only in ``sale.py``.

Compiled functions take their arguments by place: numba knows no keyword-only ones.
"""

from pathlib import Path

from flashsim.sim.cache import compiled_code_of

with compiled_code_of(Path(__file__).parent):
    from flashsim.sim import engine as engine
