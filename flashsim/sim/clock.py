"""The clock of a sale: ticks count from the opening of the doors, which is 0; ticks before it are negative. A sale
closes with its last tick, or with the tick in which that is ordered."""

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
def go_back(pre_opening: int, opening: NDArray[np.bool_], tick: NDArray[np.int64]) -> None:
    """Set ``tick`` (lane) to ``pre_opening`` ticks before the doors open in every lane of ``opening``."""
    for lane in range(tick.shape[0]):
        if opening[lane]:
            tick[lane] = -pre_opening


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
