"""What the occasion brings, and the team knows beforehand. (What it does not know: ``flashsim.sim.failures``.)

    demand of a tick = the World's ordinary demand at that minute · m(t)
    m(t) = level + Σ over rushes  height·s(t - start)
    s(t) = 2^(t/ramp) before its start, 1 while it holds, 2^(-(t - hold)/half_life) after

The calendar is part of the forecast. How an announced rush runs is a part of the World (:func:`learned_rush`); a
scenario that states another one says why.

Source: the shape was fitted beside its rivals on the 1998 World Cup site (flashsim/models/traffic/rush.py); exponential
decay after a peak: Sornette et al. (2004), PRL 93, 228701. Left out: rushes that nobody announced.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from flashsim.errors import InputError
from flashsim.sim.parameters import check_range, check_whole
from flashsim.world import World

_LARGEST = 1e6
_LONGEST = 1e15
SHORTEST_HALF_LIFE = 0.01
HIGHEST_RUSH = 1e9
"""Of a rush, as a multiple of ordinary demand: a small shop's seckill draws the people of a large one."""
_LN_2 = 0.6931471805599453


@dataclass(frozen=True)
class Rush:
    """People come at once and fewer from tick to tick; or they gather before it starts, and stay for a while."""

    start: int
    """Tick from which it has its height."""
    height: float
    """From its start, as a multiple of the ordinary demand, on top of everything else."""
    half_life: float
    """Ticks in which it halves."""
    hold: float = 0.0
    """Ticks for which it keeps its height."""
    ramp: float = 0.0
    """Ticks in which it doubles before its start; 0: nobody comes early."""

    def __post_init__(self) -> None:
        check_whole("rush start", self.start, 0, 100_000)
        check_range("rush height", self.height, 0.0, HIGHEST_RUSH)
        check_range("rush half_life", self.half_life, SHORTEST_HALF_LIFE, _LONGEST)
        check_range("rush hold", self.hold, 0.0, _LONGEST)
        check_range("rush ramp", self.ramp, 0.0, _LONGEST)

    def multiple(self, ticks: int) -> NDArray[np.float64]:
        """What it adds to the factor on demand of each tick, (tick,)."""
        since = np.arange(ticks, dtype=np.float64) - self.start
        early = np.exp2(np.minimum(since, 0.0) / self.ramp) if self.ramp > 0.0 else (since >= 0.0).astype(np.float64)
        return np.asarray(self.height * early * np.exp2(-np.maximum(since - self.hold, 0.0) / self.half_life))


def learned_rush(world: World, start: int, *, level: float = 1.0, seconds_per_tick: float = 60.0) -> Rush:
    """The rush that ``world`` knows, from tick ``start``; ``level`` is the demand of the occasion without it."""
    ticks = 60.0 / seconds_per_tick
    return Rush(
        start,
        level * world.rush_amplitude,
        half_life=max(_LN_2 * world.rush_decay_minutes * ticks, SHORTEST_HALF_LIFE),
        hold=world.rush_hold_minutes * ticks,
        ramp=_LN_2 * world.rush_ramp_minutes * ticks,
    )


@dataclass(frozen=True)
class Calendar:
    """How the occasion multiplies ordinary demand; known to the team and part of its forecast."""

    level: float = 1.0
    """Multiple of the ordinary demand of that day and hour."""
    rushes: tuple[Rush, ...] = ()

    def __post_init__(self) -> None:
        check_range("calendar level", self.level, 0.0, _LARGEST)

    def check(self, ticks: int) -> None:
        """InputError when a rush starts after the sale has ended, and nobody comes early."""
        for number, rush in enumerate(self.rushes):
            if rush.start >= ticks and rush.ramp == 0.0:
                raise InputError(
                    f"calendar.rushes: number {number + 1} starts at tick {rush.start}, the sale has {ticks} ticks; "
                    "start it earlier, leave it out or raise ticks"
                )

    def multiple(self, ticks: int) -> NDArray[np.float64]:
        """Factor on demand of each tick, (tick,)."""
        return np.full(ticks, self.level) + sum(rush.multiple(ticks) for rush in self.rushes)
