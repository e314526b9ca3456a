"""The clock of a sale: ticks count up from 0. A sale closes with its last tick, or with the tick in which that is
ordered."""

import numpy as np
from numpy.typing import NDArray

from flashsim.sim.cache import compiled_inside


@compiled_inside
def start_clock(opening: NDArray[np.bool_], tick: NDArray[np.int64]) -> None:
    """Set ``tick`` (lane) to 0 in every lane of ``opening``."""
    for lane in range(tick.shape[0]):
        if opening[lane]:
            tick[lane] = 0


@compiled_inside
def write_closed(ticks: int, tick: NDArray[np.int64], closes: NDArray[np.bool_], is_closed: NDArray[np.bool_]) -> None:
    """Write ``is_closed`` (lane): whether a sale of ``ticks`` ends with this ``tick``. ``closes``: that is ordered."""
    for lane in range(is_closed.shape[0]):
        is_closed[lane] = tick[lane] + 1 >= ticks or closes[lane]


@compiled_inside
def advance_clock(tick: NDArray[np.int64]) -> None:
    """Move ``tick`` (lane) on by one."""
    for lane in range(tick.shape[0]):
        tick[lane] += 1
