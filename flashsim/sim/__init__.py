"""The simulated sale: numba functions over tiles of sales; the parts meet only in ``sale.py``.

Compiled functions take their arguments by place: numba knows no keyword-only ones. Numbers that each lane looks up at a
place of its own (a price by its price index, say) are fetched in a loop for themselves: a loop with a look-up in it is
not vectorized, nor is one over more than a dozen arrays.
"""

from pathlib import Path

from flashsim.sim.cache import compiled_code_of

with compiled_code_of(Path(__file__).parent):
    from flashsim.sim import engine as engine
