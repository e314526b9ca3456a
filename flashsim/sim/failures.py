"""What goes wrong in a sale, without a forecast: servers fail, payments fail, people surge, the screen freezes.

A failure begins at its start and lasts for its ticks. A failure without a start begins at a random tick at which it
still fits into the sale, each tick as likely; every sale draws its own when it opens:

    start = ⌊U·(T - ticks + 1)⌋,    U uniform in (0, 1), from a stream of its own, one cell a kind

so some sales do not teach when it will come in others. While it lasts, a share of the servers does not work, no payment
can be made, demand is a multiple of the calendar's, or the operator's screen shows what it showed before.

Source: Gunawi et al. (2016), SoCC, "Why does the cloud stop computing?", for what fails and how long it lasts. Left
out: failures that come in consequence of another one (collapse is a law of the pool, see servers), or come twice.
"""

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from flashsim.errors import InputError
from flashsim.sim.arrays import allocate
from flashsim.sim.cache import compiled_inline, compiled_inside
from flashsim.sim.parameters import check_range, check_whole
from flashsim.sim.streams import FAILURE_TIME, uniform_at

# A kind is the cell of its draw: a number, once given, is never changed, for it would move what was published.
POOL_FAILS, PAYMENT_FAILS, TRAFFIC_SURGES, FEED_FREEZES = range(4)
KINDS = ("pool", "payment", "traffic", "feed")
_ANY_TIME = -1
_LARGEST = 1e6


@dataclass(frozen=True)
class Outage:
    """Something fails from one tick on, for some ticks."""

    start: int | None
    """Its first tick; None: a random tick at which it fits into the sale, drawn for each sale."""
    ticks: int
    """How long it lasts."""

    def __post_init__(self) -> None:
        if self.start is not None:
            check_whole("outage start", self.start, 0, 100_000)
        check_whole("outage ticks", self.ticks, 1, 100_000)


@dataclass(frozen=True)
class Failures:
    """What goes wrong in a sale without a forecast. None: it does not happen."""

    pool: Outage | None = None
    """A share of the servers is lost."""
    pool_lost: float = 0.5
    """The share that is lost; 1 is the whole pool."""
    payment: Outage | None = None
    """Nothing can be paid: carts that open will expire."""
    traffic: Outage | None = None
    """Demand is a multiple of the calendar's."""
    traffic_factor: float = 10.0
    """Factor on demand during the surge."""
    feed: Outage | None = None
    """The operator's screen shows what it showed before."""

    def __post_init__(self) -> None:
        check_range("failures pool_lost", self.pool_lost, 0.0, 1.0)
        check_range("failures traffic_factor", self.traffic_factor, 0.0, _LARGEST)

    def check(self, ticks: int) -> None:
        """InputError when an outage begins after the sale has ended, or one of any time is longer than the sale."""
        for name in KINDS:
            outage: Outage | None = getattr(self, name)
            if outage is None:
                continue
            if outage.start is None and outage.ticks > ticks:
                raise InputError(
                    f"failures.{name}: it lasts {outage.ticks} ticks, the sale has {ticks}; shorten it, set its start "
                    "or raise ticks"
                )
            if outage.start is not None and outage.start >= ticks:
                raise InputError(
                    f"failures.{name}: it starts at tick {outage.start}, the sale has {ticks} ticks; start it earlier "
                    "or raise ticks"
                )

    def arguments(self) -> "FailureArguments":
        """As compiled code takes it."""
        outages: list[Outage | None] = [getattr(self, name) for name in KINDS]
        starts = [_ANY_TIME if outage is None or outage.start is None else outage.start for outage in outages]
        lasts = [0 if outage is None else outage.ticks for outage in outages]
        return FailureArguments(
            np.array(starts, np.int64), np.array(lasts, np.int64), 1.0 - self.pool_lost, float(self.traffic_factor)
        )


class FailureArguments(NamedTuple):
    """What compiled code knows of the failures of a sale."""

    start: NDArray[np.int64]  # kind; first tick, -1: any time
    ticks: NDArray[np.int64]  # kind; how long it lasts, 0: it does not happen
    pool_left: float  # share of the pool that works while it fails
    traffic_factor: float  # on demand, while that lasts


class FailureState(NamedTuple):
    """When things fail in the sales of one tile; nobody in the sale sees it."""

    start: NDArray[np.int64]  # kind, lane; first tick, of no meaning where that kind never fails


class FailureFlow(NamedTuple):
    """What works in a tick, and what demand is against the forecast."""

    pool_availability: NDArray[np.float64]  # lane; share of the servers that work
    payment_availability: NDArray[np.float64]  # lane; share of payments that can be made
    demand_factor: NDArray[np.float64]  # lane; on expected demand


def make_failure_state(tiles: int, lanes: int) -> FailureState:
    """Allocate the state of ``tiles`` tiles (first axis)."""
    return allocate(FailureState, (tiles, len(KINDS), lanes))


def make_failure_flow(lanes: int) -> FailureFlow:
    """Allocate the flow of one tile."""
    return allocate(FailureFlow, (lanes,))


@compiled_inside
def failure_tile(state: FailureState, tile: int) -> FailureState:
    """View of one tile."""
    return FailureState(state.start[tile])


@compiled_inline
def draw_failures(
    params: FailureArguments, state: FailureState, opening: NDArray[np.bool_], ticks: int, keys: NDArray[np.uint64]
) -> None:
    """Write when things fail in each lane of ``opening``, in a sale of ``ticks``; ``keys`` (lane) of its first tick."""
    kinds, lanes = state.start.shape
    for kind in range(kinds):
        for lane in range(lanes):
            if opening[lane] and params.start[kind] >= 0:
                state.start[kind, lane] = params.start[kind]
            elif opening[lane]:
                places = np.float64(ticks - params.ticks[kind] + 1)
                state.start[kind, lane] = np.int64(uniform_at(keys[lane], FAILURE_TIME, kind) * places)


@compiled_inline
def is_failing(params: FailureArguments, state: FailureState, kind: int, lane: int, tick: int) -> bool:
    """Whether ``kind`` fails in ``tick`` of the sale in ``lane``."""
    since = tick - state.start[kind, lane]
    return (since >= 0) & (since < params.ticks[kind])


@compiled_inline
def write_availability(
    params: FailureArguments, state: FailureState, tick: NDArray[np.int64], flow: FailureFlow
) -> None:
    """Write ``flow`` of the present ``tick`` (lane); before the opening nobody is to be expected."""
    for lane in range(tick.shape[0]):
        now = tick[lane]
        pool_fails = is_failing(params, state, POOL_FAILS, lane, now)
        payment_fails = is_failing(params, state, PAYMENT_FAILS, lane, now)
        surges = is_failing(params, state, TRAFFIC_SURGES, lane, now)
        flow.pool_availability[lane] = params.pool_left if pool_fails else 1.0
        flow.payment_availability[lane] = 0.0 if payment_fails else 1.0
        flow.demand_factor[lane] = (params.traffic_factor if surges else 1.0) if now >= 0 else 0.0


def fails_at(params: FailureArguments, start: NDArray[np.int64], *, kind: int, tick: Any) -> NDArray[np.bool_]:
    """Whether ``kind`` fails in ``tick``, (sale,) or as it broadcasts; ``start`` (sale, kind) as drawn."""
    since = tick - start[:, kind]
    return np.asarray((since >= 0) & (since < params.ticks[kind]))
