"""What the occasion brings, which the team knows beforehand, and what goes wrong on purpose, which it does not.

    demand of a tick = the World's ordinary demand at that minute · m(t)
    m(t) = level + Σ over rushes that have begun  height·2^(-(t - start)/half_life)

The calendar is part of the forecast. Failures are not: traffic may be a multiple of it, servers and payments may fail,
and the operator's screen may freeze.

Source: exponential decay after the opening is the shape of announced rushes (Sornette et al. 2004, PRL 93, 228701, for
endogenous and exogenous peaks); heights are assumptions of each scenario. Left out: ramps before the opening.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from flashsim.errors import InputError
from flashsim.sim.parameters import check_range, check_whole

_LARGEST = 1e6


@dataclass(frozen=True)
class Rush:
    """People come at once and fewer from tick to tick."""

    start: int
    """Tick at which it begins."""
    height: float
    """At its start, as a multiple of the ordinary demand, on top of everything else."""
    half_life: float
    """Ticks in which it halves."""

    def __post_init__(self) -> None:
        check_whole("rush start", self.start, 0, 100_000)
        check_range("rush height", self.height, 0.0, _LARGEST)
        check_range("rush half_life", self.half_life, 0.01, _LARGEST)


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
        tick = np.arange(ticks, dtype=np.float64)
        factor = np.full(ticks, self.level)
        for rush in self.rushes:
            since = tick - rush.start
            factor += np.where(since >= 0.0, rush.height * 0.5 ** (np.maximum(since, 0.0) / rush.half_life), 0.0)
        return factor


@dataclass(frozen=True)
class Outage:
    """Something fails from one tick on, for some ticks."""

    start: int
    """First tick of it."""
    ticks: int
    """How long it lasts."""

    def __post_init__(self) -> None:
        check_whole("outage start", self.start, 0, 100_000)
        check_whole("outage ticks", self.ticks, 1, 100_000)

    def covers(self, ticks: int) -> NDArray[np.bool_]:
        """Whether each tick is in it, (tick,)."""
        tick = np.arange(ticks)
        return (tick >= self.start) & (tick < self.start + self.ticks)


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
        """InputError when an outage begins after the sale has ended."""
        for name in ("pool", "payment", "traffic", "feed"):
            outage = getattr(self, name)
            if outage is not None and outage.start >= ticks:
                raise InputError(
                    f"failures {name}: it starts at tick {outage.start}, the sale has {ticks} ticks; start it earlier"
                )

    def demand(self, ticks: int) -> NDArray[np.float64]:
        """Factor on the demand of each tick, (tick,)."""
        return np.where(_covers(self.traffic, ticks), self.traffic_factor, 1.0)

    def servers_up(self, ticks: int) -> NDArray[np.float64]:
        """Share of the pool that works in each tick, (tick,)."""
        return np.where(_covers(self.pool, ticks), 1.0 - self.pool_lost, 1.0)

    def payments_up(self, ticks: int) -> NDArray[np.float64]:
        """Share of payments that can be made in each tick, (tick,)."""
        return np.where(_covers(self.payment, ticks), 0.0, 1.0)

    def is_frozen(self, ticks: int) -> NDArray[np.bool_]:
        """Whether the operator's screen is frozen after each tick, (tick,)."""
        return _covers(self.feed, ticks)


def _covers(outage: Outage | None, ticks: int) -> NDArray[np.bool_]:
    return np.zeros(ticks, np.bool_) if outage is None else outage.covers(ticks)
