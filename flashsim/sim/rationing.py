"""Sharing out a limited number of places among the segments of a queue, evenly and to the last place."""

import numpy as np
from numpy.typing import NDArray

from flashsim.sim.cache import compiled, compiled_inline
from flashsim.sim.samplers import Workspace, write_binomial
from flashsim.sim.streams import write_uniforms

_HOW_MANY, _ORDER = np.int64(0), np.int64(1)  # cells of the uniforms that say how many a draw takes, and whom


@compiled
def ration(
    waiting: NDArray[np.int64],
    limit: NDArray[np.int64],
    uniform: NDArray[np.float64],
    taken: NDArray[np.int64],
    work: Workspace,
) -> None:
    """Take ``limit`` (lane) of those ``waiting`` (segment, lane): writes ``taken`` (likewise), lowers ``waiting``.

    People of the segments arrive interleaved, so that each stretch of the queue holds all of them in proportion:
    systematic sampling with one uniform start. The counts add up to ``limit`` and each has its proportional mean.
    Uses people, people_before and taken_before of ``work``. Source: Madow & Madow (1944), Ann. Math. Stat. 15(1).
    """
    segments, lanes = waiting.shape
    for lane in range(lanes):
        work.people[lane], work.people_before[lane], work.taken_before[lane] = 0, 0, 0
    for segment in range(segments):
        for lane in range(lanes):
            work.people[lane] += waiting[segment, lane]
    for segment in range(segments):
        for lane in range(lanes):
            people, before = work.people[lane], work.people_before[lane] + waiting[segment, lane]
            taken_before = work.taken_before[lane]
            take = min(people, limit[lane])
            share = np.float64(before) * np.float64(take) / np.float64(max(people, 1))
            goal = take if before == people else min(take, np.int64(np.floor(share + uniform[lane])))
            goal = max(taken_before, min(goal, taken_before + waiting[segment, lane]))
            taken[segment, lane] = goal - taken_before
            waiting[segment, lane] -= goal - taken_before
            work.people_before[lane], work.taken_before[lane] = before, goal


@compiled_inline
def has_any(counts: NDArray[np.int64]) -> bool:
    """Whether any of ``counts`` (lane; not negative) is above 0: with nobody to draw for, a draw would give 0."""
    total = 0
    for lane in range(counts.shape[0]):
        total |= counts[lane]
    return total > 0


@compiled
def draw_some(
    waiting: NDArray[np.int64],
    chance: NDArray[np.float64],
    stream: int,
    keys: NDArray[np.uint64],
    taken: NDArray[np.int64],
    total: NDArray[np.int64],
    work: Workspace,
) -> None:
    """Take each of those ``waiting`` (segment, lane) with probability ``chance`` (lane), independently.

    Writes ``taken`` (likewise) and ``total`` (lane), lowers ``waiting``. How many is one binomial draw, whom it takes
    is a ration of the interleaved queue.
    """
    segments, lanes = waiting.shape
    for lane in range(lanes):
        total[lane] = 0
    for segment in range(segments):
        for lane in range(lanes):
            total[lane] += waiting[segment, lane]
            taken[segment, lane] = 0
    if has_any(total):
        write_uniforms(keys, stream, _HOW_MANY, work.uniform)
        write_binomial(total, chance, work.uniform, work.drawn, work)
        for lane in range(lanes):
            total[lane] = work.drawn[lane]
        if has_any(total):
            write_uniforms(keys, stream, _ORDER, work.uniform)
            ration(waiting, total, work.uniform, taken, work)
