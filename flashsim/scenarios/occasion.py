"""What the occasion brings, which the team knows beforehand, and what goes wrong on purpose, which it does not.

    demand of a tick = the World's ordinary demand at that minute · m(t)
    m(t) = level + Σ over rushes  height·s(t - start)
    s(t) = 2^(t/ramp) before its start, 1 while it holds, 2^(-(t - hold)/half_life) after

The calendar is part of the forecast. Failures are not: traffic may be a multiple of it, servers and payments may fail,
and the operator's screen may freeze. A failure without a start comes at any time, in each member of the World at
another: training on some members tells nothing of its time in the others. How an announced rush runs is a part of the
World (:func:`learned_rush`); a scenario that states another one says why.

Source: the shape was fitted beside its rivals on the 1998 World Cup site (flashsim/models/rush.py); exponential decay
after a peak: Sornette et al. (2004), PRL 93, 228701. Left out: rushes that nobody announced, but for a failure's.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from flashsim.errors import InputError
from flashsim.sim.parameters import check_range, check_whole
from flashsim.world import World

_LARGEST = 1e6
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
        check_range("rush height", self.height, 0.0, _LARGEST)
        check_range("rush half_life", self.half_life, 0.01, _LARGEST)
        check_range("rush hold", self.hold, 0.0, _LARGEST)
        check_range("rush ramp", self.ramp, 0.0, _LARGEST)

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
        half_life=max(_LN_2 * world.rush_decay_minutes * ticks, 0.01),
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

    def multiple(self, ticks: int) -> NDArray[np.float64]:
        """Factor on demand of each tick, (tick,)."""
        return np.full(ticks, self.level) + sum(rush.multiple(ticks) for rush in self.rushes)


@dataclass(frozen=True)
class Outage:
    """Something fails from one tick on, for some ticks."""

    start: int | None
    """First tick of it; None: any time that leaves it whole, another in each member of the World."""
    ticks: int
    """How long it lasts."""

    def __post_init__(self) -> None:
        if self.start is not None:
            check_whole("outage start", self.start, 0, 100_000)
        check_whole("outage ticks", self.ticks, 1, 100_000)

    def covers(self, ticks: int, *, members: int, seed: int) -> NDArray[np.bool_]:
        """Whether each tick is in it, (tick, member).

        When one of any time starts depends on ``seed`` and the member, and not on how many members there are.
        """
        if self.start is None:
            starts = np.array([_drawn((seed, member), ticks - self.ticks + 1) for member in range(members)])
        else:
            starts = np.full(members, self.start)
        since = np.arange(ticks)[:, None] - starts
        return np.asarray((since >= 0) & (since < self.ticks))


def _drawn(seed: tuple[int, ...], count: int) -> int:
    """One of 0 .. count - 1, each as likely; from bits that no release of numpy changes."""
    return int(np.random.SeedSequence(seed).generate_state(1, np.uint64)[0]) * count >> 64


_SEEDS = {"pool": 1, "payment": 2, "traffic": 3, "feed": 4}
"""Of the times of each kind of failure. A number, once given, is never changed: it would move what was published."""


@dataclass(frozen=True)
class Failures:
    """What goes wrong in a sale; nobody has forecast it. None: it does not happen."""

    pool: Outage | None = None
    """A share of the servers is lost."""
    pool_lost: float = 0.5
    """That share; 1 is the whole pool."""
    payment: Outage | None = None
    """Nothing can be paid: carts that open will expire."""
    traffic: Outage | None = None
    """Demand is a multiple of the calendar's."""
    traffic_factor: float = 10.0
    """That multiple."""
    feed: Outage | None = None
    """The operator's screen shows what it showed before."""

    def __post_init__(self) -> None:
        check_range("failures pool_lost", self.pool_lost, 0.0, 1.0)
        check_range("failures traffic_factor", self.traffic_factor, 0.0, _LARGEST)

    def check(self, ticks: int) -> None:
        """InputError when an outage begins after the sale has ended, or one of any time is longer than the sale."""
        for name in _SEEDS:
            outage: Outage | None = getattr(self, name)
            if outage is None:
                continue
            if outage.start is None and outage.ticks > ticks:
                raise InputError(
                    f"failures {name}: it lasts {outage.ticks} ticks, the sale has {ticks}; shorten it or set its start"
                )
            if outage.start is not None and outage.start >= ticks:
                raise InputError(
                    f"failures {name}: it starts at tick {outage.start}, the sale has {ticks} ticks; start it earlier"
                )

    def demand(self, ticks: int, members: int) -> NDArray[np.float64]:
        """Factor on the demand of each tick, (tick, member)."""
        return np.where(self._covers("traffic", ticks, members), self.traffic_factor, 1.0)

    def servers_up(self, ticks: int, members: int) -> NDArray[np.float64]:
        """Share of the pool that works in each tick, (tick, member)."""
        return np.where(self._covers("pool", ticks, members), 1.0 - self.pool_lost, 1.0)

    def payments_up(self, ticks: int, members: int) -> NDArray[np.float64]:
        """Share of payments that can be made in each tick, (tick, member)."""
        return np.where(self._covers("payment", ticks, members), 0.0, 1.0)

    def is_frozen(self, ticks: int, members: int) -> NDArray[np.bool_]:
        """Whether the operator's screen is frozen after each tick, (tick, member)."""
        return self._covers("feed", ticks, members)

    def _covers(self, name: str, ticks: int, members: int) -> NDArray[np.bool_]:
        outage: Outage | None = getattr(self, name)
        if outage is None:
            return np.zeros((ticks, members), np.bool_)
        return outage.covers(ticks, members=members, seed=_SEEDS[name])
