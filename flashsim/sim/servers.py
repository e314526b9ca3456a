"""Servers: how many visits are served in a tick, how long they take, and who gives up.

A visit needs one service of mean 1/μ ticks; a real tick is many services long. In a tick with c servers in force,
backlog B and A arrivals, S ~ Poisson(c·μ) services can be completed and

    served = min(B + A, S),    the rest waits; of those a share 1 - e^(-1/patience) leaves, the others are carried over.

The mean wait joins what the backlog costs and the stationary wait in M/M/c (Sakasegawa), continuous through overload:

    wait = (B + B')/2 / (c·μ) + ρ^(√(2(c+1)) - 1) / (c·μ·√((1-ρ)² + 1/(c·μ))),    ρ = min(1, (B + A)/(c·μ))   [ticks]

where B' is the backlog left, and 1/(c·μ) under the root bounds the queue that one tick can build at ρ = 1 by its
diffusion scale √(c·μ). Waits are taken as exponential, and nobody waits longer than to the time-out: with s = timeout -
unloaded latency, a visit times out with probability e^(-s/wait) (it has used its service, and is lost with an error),
the mean latency is unloaded + wait·(1 - e^(-s/wait)), its 95th percentile min(timeout, unloaded + wait·ln 20).

A level that is ordered comes into force after ``lag`` ticks. In ``hard_cap`` mode (reference sales) exactly ⌊μ·c⌋
people are served, the rest leave for good, and nothing waits.

Source: Sakasegawa (1977), Ann. Inst. Stat. Math. 29, for the wait; Stolletz (2008), EJOR 190(2), for carrying the
backlog from period to period; Kimber & Hollis (1979), TRRL LR 909, for delay that is continuous through ρ = 1. Valid
for ticks of many service times (c·μ of some tens and more). Left out for now: retries, collapse, waiting rooms.
"""

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from flashsim.errors import InputError
from flashsim.sim.cache import compiled
from flashsim.sim.parameters import arguments_type, check_range, check_whole
from flashsim.sim.samplers import Workspace, write_binomial, write_exp, write_log, write_poisson
from flashsim.sim.streams import ABANDONMENT, ADMISSION_ORDER, SERVICE, TIMEOUTS, write_uniforms

LN_20 = 2.995732273553991  # 95th percentile of an exponential of mean 1
_LONGEST_WAIT = 1e4  # ticks; where no server is in force
_TINY = 1e-9


@dataclass(frozen=True)
class ServerParams:
    """A pool of like servers. One server is a unit of capacity: an application node with its share of all behind it."""

    service_rate: float = 20.0
    """Visits that one server completes a tick (μ); an assumption: 20 a minute is 3 s of server time a visit."""
    start_servers: int = 10
    """Servers in force when the sale opens."""
    min_servers: int = 1
    """Fewest servers that can be ordered."""
    max_servers: int = 60
    """Most servers that can be ordered; a quota."""
    lag: int = 3
    """Ticks from an order to its coming into force; booting a node takes one to several minutes."""
    cost: float = 0.25
    """Cost of one server for one tick, currency."""
    pays_while_booting: bool = True
    """True: a server is paid from its order on, as clouds bill; False in reference sales."""
    penalty: float = 0.05
    """Cost of one visit lost to time-out or impatience, currency (in hard_cap mode: of one unit lost to capacity)."""
    unloaded_latency_s: float = 0.4
    """Response time without waiting, seconds."""
    seconds_per_tick: float = 60.0
    """Length of a tick, seconds."""
    timeout_s: float = 8.0
    """A visit that takes longer ends in an error, seconds; at eight, users have long been seen to leave."""
    patience_ticks: float = 2.0
    """Mean patience of those carried over, ticks."""
    latency_sensitivity: float = 0.07
    """Loss of purchase weight per second of added wait, log scale; 7 % a second is the figure of Akamai (2017)."""
    hard_cap: bool = False
    """True in reference sales: a fixed number is served, nobody waits."""

    def __post_init__(self) -> None:
        check_range("service_rate", self.service_rate, 1e-9, 1e9)
        check_whole("min_servers", self.min_servers, 0, 1_000_000)
        check_whole("max_servers", self.max_servers, self.min_servers, 1_000_000)
        check_whole("start_servers", self.start_servers, self.min_servers, self.max_servers)
        check_whole("lag", self.lag, 0, 1000)
        for name in ("cost", "penalty", "unloaded_latency_s", "latency_sensitivity"):
            check_range(name, getattr(self, name), 0.0, 1e9)
        check_range("seconds_per_tick", self.seconds_per_tick, 1e-6, 1e6)
        check_range("patience_ticks", self.patience_ticks, 1e-6, 1e9)
        if not self.timeout_s > self.unloaded_latency_s:
            unloaded = f"unloaded_latency_s = {self.unloaded_latency_s:g}"
            raise InputError(f"timeout_s must be above {unloaded}, got {self.timeout_s!r}; raise it")


ServerArguments = arguments_type(ServerParams, __name__)


class ServerState(NamedTuple):
    """Memory of the pool of one tile."""

    ordered: NDArray[np.int64]  # lane; level last ordered, servers
    levels: NDArray[np.int64]  # tick modulo (lag + 1), lane; level in force at that tick, servers
    backlog: NDArray[np.int64]  # segment, lane; visits carried over


class ServerFlow(NamedTuple):
    """What this part makes in a tick."""

    in_force: NDArray[np.int64]  # lane; servers
    billed: NDArray[np.int64]  # lane; servers
    served: NDArray[np.int64]  # segment, lane; visits completed in time
    errors: NDArray[np.int64]  # lane; visits timed out
    abandoned: NDArray[np.int64]  # lane; visits that gave up waiting
    utilization: NDArray[np.float64]  # lane; 0 .. 1
    wait_s: NDArray[np.float64]  # lane; mean wait were there no time-outs, seconds
    endured_s: NDArray[np.float64]  # lane; mean wait until answered or timed out, seconds
    attraction: NDArray[np.float64]  # lane; factor on purchase weights, 0 .. 1
    capacity: NDArray[np.int64]  # lane; services that can be completed
    waiting: NDArray[np.int64]  # segment, lane; scratch: backlog and arrivals, then those not served
    people: NDArray[np.int64]  # lane; scratch: sum of both
    carried: NDArray[np.int64]  # lane; scratch: backlog at the start
    drawn: NDArray[np.int64]  # lane; scratch
    rate: NDArray[np.float64]  # lane; scratch: mean services a tick
    chance: NDArray[np.float64]  # lane; scratch


def make_server_state(tiles: int, lanes: int, *, lag: int, segments: int) -> ServerState:
    """Allocate the state of ``tiles`` tiles (first axis)."""
    shapes = [(tiles, lanes), (tiles, lag + 1, lanes), (tiles, segments, lanes)]
    return ServerState(*(np.zeros(shape, np.int64) for shape in shapes))


def make_server_flow(segments: int, lanes: int) -> ServerFlow:
    """Allocate the flow of one tile."""
    shapes = {"served": (segments, lanes), "waiting": (segments, lanes)}
    reals = ("utilization", "wait_s", "endured_s", "attraction", "rate", "chance")
    arrays: list[NDArray[Any]] = [
        np.zeros(shapes.get(name, (lanes,)), np.float64 if name in reals else np.int64) for name in ServerFlow._fields
    ]
    return ServerFlow(*arrays)


@compiled
def server_tile(state: ServerState, tile: int) -> ServerState:
    """View of one tile."""
    return ServerState(state.ordered[tile], state.levels[tile], state.backlog[tile])


@compiled
def order(
    params: Any,
    state: ServerState,
    tick: NDArray[np.int64],
    change: NDArray[np.int64],
    flow: ServerFlow,
    projected: NDArray[np.float64],
) -> None:
    """Order ``change`` servers more, within limits; adds to ``projected`` the orders that were not feasible.

    Writes state.ordered, state.levels, flow.in_force, flow.billed.
    """
    ring = state.levels.shape[0]
    for lane in range(tick.shape[0]):
        wanted = state.ordered[lane] + change[lane]
        level = min(max(wanted, params.min_servers), params.max_servers)
        projected[lane] += 1.0 if level != wanted else 0.0
        state.ordered[lane] = level
        state.levels[(tick[lane] + params.lag) % ring, lane] = level
        flow.in_force[lane] = state.levels[tick[lane] % ring, lane]
        flow.billed[lane] = flow.in_force[lane]
    if params.pays_while_booting:
        for slot in range(ring):
            for lane in range(tick.shape[0]):
                flow.billed[lane] = max(flow.billed[lane], state.levels[slot, lane])


@compiled
def ration(flow: ServerFlow, limit: NDArray[np.int64], uniform: NDArray[np.float64]) -> None:
    """Serve ``limit`` of those in flow.waiting, evenly across segments; writes flow.served, lowers flow.waiting.

    People of the segments arrive interleaved, so that each stretch of the queue holds all of them in proportion:
    systematic sampling with one uniform start. The counts add up to ``limit`` and each has its proportional mean.
    Source: Madow & Madow (1944), Ann. Math. Stat. 15(1).
    """
    segments, lanes = flow.waiting.shape
    for lane in range(lanes):
        people = 0
        for segment in range(segments):
            people += flow.waiting[segment, lane]
        take = min(people, limit[lane])
        before, taken = 0, 0
        for segment in range(segments):
            before += flow.waiting[segment, lane]
            share = np.float64(before) * np.float64(take) / np.float64(max(people, 1))
            upto = take if before == people else min(take, np.int64(np.floor(share + uniform[lane])))
            upto = max(taken, min(upto, taken + flow.waiting[segment, lane]))
            flow.served[segment, lane] = upto - taken
            flow.waiting[segment, lane] -= upto - taken
            taken = upto


@compiled
def serve_hard_cap(params: Any, exogenous: NDArray[np.int64], attracted: NDArray[np.int64], flow: ServerFlow) -> None:
    """Reference sales: serve ⌊μ·c⌋ people; the rest leave. Writes all of ``flow`` but the levels."""
    segments, lanes = exogenous.shape
    for lane in range(lanes):
        flow.capacity[lane] = np.int64(np.floor(params.service_rate * np.float64(flow.in_force[lane])))
        flow.abandoned[lane] = 0
        flow.errors[lane] = 0
        flow.wait_s[lane] = 0.0
        flow.endured_s[lane] = 0.0
        flow.attraction[lane] = 1.0
        left, people = flow.capacity[lane], 0
        for segment in range(segments):
            arrivals = exogenous[segment, lane] + attracted[segment, lane]
            flow.served[segment, lane] = min(left, arrivals)
            left -= flow.served[segment, lane]
            flow.abandoned[lane] += arrivals - flow.served[segment, lane]
            people += arrivals
        flow.utilization[lane] = min(1.0, np.float64(people) / np.float64(max(flow.capacity[lane], 1)))


@compiled
def serve(
    params: Any,
    state: ServerState,
    exogenous: NDArray[np.int64],
    attracted: NDArray[np.int64],
    keys: NDArray[np.uint64],
    flow: ServerFlow,
    work: Workspace,
) -> None:
    """Serve backlog and arrivals; writes state.backlog and all of ``flow`` but the levels."""
    segments, lanes = exogenous.shape
    for lane in range(lanes):
        flow.rate[lane] = params.service_rate * np.float64(flow.in_force[lane])
        flow.people[lane] = 0
        flow.carried[lane] = 0
    for segment in range(segments):
        for lane in range(lanes):
            carried = state.backlog[segment, lane]
            people = carried + exogenous[segment, lane] + attracted[segment, lane]
            flow.waiting[segment, lane] = people
            flow.people[lane] += people
            flow.carried[lane] += carried
    write_uniforms(keys, SERVICE, 0, work.uniform)
    write_poisson(flow.rate, work.uniform, flow.capacity, work)
    _write_waits(params, flow, work)
    write_uniforms(keys, ADMISSION_ORDER, 0, work.uniform)
    ration(flow, flow.capacity, work.uniform)
    _time_out(keys, flow, work)
    _abandon(params, state, keys, flow, work)


@compiled
def _write_waits(params: Any, flow: ServerFlow, work: Workspace) -> None:
    """Write utilization, wait_s, endured_s, attraction, and the chance of a time-out (equations of the module)."""
    lanes = flow.people.shape[0]
    for lane in range(lanes):
        offered = np.float64(flow.people[lane]) / max(flow.rate[lane], _TINY)
        flow.utilization[lane] = min(1.0, offered)
        work.mean[lane] = max(flow.utilization[lane], _TINY)
    write_log(work.mean, work.cumulative, work)
    for lane in range(lanes):
        work.cumulative[lane] *= np.sqrt(2.0 * (np.float64(flow.in_force[lane]) + 1.0)) - 1.0
    write_exp(work.cumulative, work.mean)
    for lane in range(lanes):
        rate = max(flow.rate[lane], _TINY)
        left = np.float64(max(0, flow.people[lane] - flow.capacity[lane]))
        slack = 1.0 - flow.utilization[lane]
        stationary = work.mean[lane] / (rate * np.sqrt(slack * slack + 1.0 / rate))
        wait = min(_LONGEST_WAIT, 0.5 * (np.float64(flow.carried[lane]) + left) / rate + stationary)
        flow.wait_s[lane] = wait * params.seconds_per_tick
        limit = params.timeout_s - params.unloaded_latency_s
        work.cumulative[lane] = -limit / max(flow.wait_s[lane], 1e-3 * limit)
    write_exp(work.cumulative, flow.chance)  # of a time-out
    for lane in range(lanes):
        flow.endured_s[lane] = flow.wait_s[lane] * (1.0 - flow.chance[lane])
        work.cumulative[lane] = -params.latency_sensitivity * flow.endured_s[lane]
    write_exp(work.cumulative, flow.attraction)


@compiled
def _time_out(keys: NDArray[np.uint64], flow: ServerFlow, work: Workspace) -> None:
    """Move the visits that timed out, each with probability flow.chance, from flow.served to flow.errors."""
    segments, lanes = flow.served.shape
    for lane in range(lanes):
        flow.errors[lane] = 0
    for segment in range(segments):
        write_uniforms(keys, TIMEOUTS, segment, work.uniform)
        write_binomial(flow.served[segment], flow.chance, work.uniform, flow.drawn, work)
        for lane in range(lanes):
            flow.served[segment, lane] -= flow.drawn[lane]
            flow.errors[lane] += flow.drawn[lane]


@compiled
def _abandon(params: Any, state: ServerState, keys: NDArray[np.uint64], flow: ServerFlow, work: Workspace) -> None:
    """Let some of flow.waiting give up; the others are the backlog of the next tick."""
    segments, lanes = flow.waiting.shape
    for lane in range(lanes):
        work.cumulative[lane] = -1.0 / params.patience_ticks
        flow.abandoned[lane] = 0
    write_exp(work.cumulative, flow.chance)
    for lane in range(lanes):
        flow.chance[lane] = 1.0 - flow.chance[lane]
    for segment in range(segments):
        write_uniforms(keys, ABANDONMENT, segment, work.uniform)
        write_binomial(flow.waiting[segment], flow.chance, work.uniform, flow.drawn, work)
        for lane in range(lanes):
            flow.abandoned[lane] += flow.drawn[lane]
            state.backlog[segment, lane] = flow.waiting[segment, lane] - flow.drawn[lane]


@compiled
def dismiss(state: ServerState, closing: NDArray[np.bool_], flow: ServerFlow) -> None:
    """Where the sale closes, those still waiting leave: state.backlog becomes flow.abandoned."""
    segments, lanes = state.backlog.shape
    for segment in range(segments):
        for lane in range(lanes):
            if closing[lane]:
                flow.abandoned[lane] += state.backlog[segment, lane]
                state.backlog[segment, lane] = 0
