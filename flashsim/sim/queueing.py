"""The queue before the servers: who is answered, how long it takes, who fails, gives up or tries again.

Two laws. A tick of a real sale holds many services of every server; in it, with capacity κ = μ·c·h visits a tick, B
visits carried over and A let in,

    S ~ Poisson(κ)    answered = min(B + A, S)    B' = B + A - answered, less those who are refused
    wait of a visit = d + Exp(m) with probability C, else d                                             [ticks]
    d = (B + B')/2 / κ      ρ = min(1, (B + E[A])/κ)    m = 1 / (κ·√((1-ρ)² + 1/κ))
    1/C = ρ + γ·(Φ(α)/φ(α) + 2/(3√c))      γ = (1-ρ)·√c      α = √(-2c·(1-ρ+ln ρ))

so that in a calm tick waits are those of M/M/c (C: probability of waiting, 1/(κ(1-ρ)): mean wait of those who do), and
through overload the backlog takes over: 1/κ under the root bounds the queue that one tick can build at ρ = 1 by its
diffusion scale √κ. E[A] is what was to be expected of the tick: what happens to come is part of what the formula
already averages over. Valid for ticks of many services of each server (docs/queue.md measures it).

``is_event_by_event`` simulates the birth-death process of M/M/c + M itself, exactly at any length of a tick: arrivals
at uniform times of the tick, potential completions (rate μ·h·max_servers, real with probability min(n, c)/max_servers),
potential departures of the impatient likewise, in their random order. B then counts visits in service too, and a visit
that finds n ≥ c in the system waits for n - c + 1 services: C is the share of such visits, and d + Exp(m) has the mean
and, where all wait, the spread of their waits.

In both, visits beyond ``queue_limit`` a server are refused, those waiting at the end of a tick give up with probability
1 - e^(-1/patience) (or as they lose patience, event by event), a visit whose wait passes s = timeout - unloaded latency
fails having used its service, and purchase weights fall by e^(-sensitivity·E[min(wait, s)]). Of those refused or timed
out a share tries again: they return at the rate 1/``retry_delay``, and load the servers anew.

In ``hard_cap`` mode (reference sales, of one segment) exactly ⌊μ·c⌋ people are served, the rest leave for good, and
nothing waits.

Source: Janssen, van Leeuwaarden & Zwart (2008), Adv. Appl. Prob. 40(1), for the probability of waiting (within 3 % of
Erlang C); Stolletz (2008), EJOR 190(2), for carrying the backlog from period to period; Kimber & Hollis (1979), TRRL LR
909, for delay that is continuous through ρ = 1; Grassmann (1977), Comput. Oper. Res. 4(1), for uniformization. Left
out: back-offs that grow with each attempt, and the shorter wait of those behind people who give up.
"""

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from flashsim.sim.birth_death import LONGEST_WAIT, play_events
from flashsim.sim.cache import compiled, compiled_inline, compiled_inside
from flashsim.sim.rationing import draw_some, ration
from flashsim.sim.samplers import Workspace, write_exp, write_log, write_poisson
from flashsim.sim.streams import (
    ABANDONMENT,
    ADMISSION_ORDER,
    ONLY,
    QUEUE_COMPLETIONS,
    QUEUE_IMPATIENCE,
    QUEUE_ORDER,
    RETRY_RETURN,
    RETRYING,
    SERVICE,
    TIMEOUTS,
    write_uniforms,
)

LN_2, LN_20, LN_100 = 0.6931471805599453, 2.995732273553991, 4.605170185988092
_TINY = 1e-9
_NEVER = 1e-12  # chances below are none


class QueueState(NamedTuple):
    """Visits of one tile that are still in the system."""

    backlog: NDArray[np.int64]  # segment, lane; carried over
    retrying: NDArray[np.int64]  # segment, lane; failed, and about to try again


class QueueFlow(NamedTuple):
    """What this part makes in a tick."""

    retries: NDArray[np.int64]  # segment, lane; visits that try again
    served: NDArray[np.int64]  # segment, lane; visits completed in time
    errors: NDArray[np.int64]  # lane; visits refused or timed out
    abandoned: NDArray[np.int64]  # lane; visits that gave up waiting
    given_up: NDArray[np.int64]  # lane; visits that failed and do not try again
    load: NDArray[np.float64]  # lane; visits over capacity
    expected_load: NDArray[np.float64]  # lane; what was to be expected of it
    wait_chance: NDArray[np.float64]  # lane; C
    wait_floor_s: NDArray[np.float64]  # lane; d, seconds
    wait_tail_s: NDArray[np.float64]  # lane; m, seconds
    endured_s: NDArray[np.float64]  # lane; mean wait until answered or timed out, seconds
    log_chance: NDArray[np.float64]  # lane; ln C
    attraction: NDArray[np.float64]  # lane; factor on purchase weights, 0 .. 1
    services: NDArray[np.int64]  # lane; scratch: services that can be completed
    waiting: NDArray[np.int64]  # segment, lane; scratch: backlog and arrivals, then those not served
    failed: NDArray[np.int64]  # segment, lane; scratch: refused or timed out
    people: NDArray[np.int64]  # lane; scratch: backlog and arrivals
    carried: NDArray[np.int64]  # lane; scratch: backlog at the start
    limit: NDArray[np.int64]  # lane; scratch
    drawn: NDArray[np.int64]  # segment, lane; scratch
    chance: NDArray[np.float64]  # lane; scratch


_SEGMENTED = ("retries", "served", "waiting", "failed", "drawn")
_REALS = (
    "load",
    "expected_load",
    "wait_chance",
    "wait_floor_s",
    "wait_tail_s",
    "endured_s",
    "log_chance",
    "attraction",
    "chance",
)


def make_queue_state(tiles: int, lanes: int, *, segments: int) -> QueueState:
    """Allocate the state of ``tiles`` tiles (first axis)."""
    return QueueState(*(np.zeros((tiles, segments, lanes), np.int64) for _ in QueueState._fields))


def make_queue_flow(segments: int, lanes: int) -> QueueFlow:
    """Allocate the flow of one tile."""
    shapes = dict.fromkeys(_SEGMENTED, (segments, lanes))
    arrays: list[NDArray[Any]] = [
        np.zeros(shapes.get(name, (lanes,)), np.float64 if name in _REALS else np.int64) for name in QueueFlow._fields
    ]
    return QueueFlow(*arrays)


@compiled_inside
def queue_tile(state: QueueState, tile: int) -> QueueState:
    """View of one tile."""
    return QueueState(state.backlog[tile], state.retrying[tile])


@compiled
def clear_queue(state: QueueState, opening: NDArray[np.bool_]) -> None:
    """Empty the queue in every lane of ``opening``."""
    segments, lanes = state.backlog.shape
    for segment in range(segments):
        for lane in range(lanes):
            if opening[lane]:
                state.backlog[segment, lane] = 0
                state.retrying[segment, lane] = 0


@compiled
def return_retries(params: Any, state: QueueState, keys: NDArray[np.uint64], flow: QueueFlow, work: Workspace) -> None:
    """Draw who tries again in this tick; writes flow.retries, lowers state.retrying."""
    returning = 1.0 - math.exp(-1.0 / params.retry_delay)
    for lane in range(flow.chance.shape[0]):
        flow.chance[lane] = returning
    draw_some(state.retrying, flow.chance, RETRY_RETURN, keys, flow.retries, flow.limit, work)


@compiled
def serve_hard_cap(params: Any, in_force: NDArray[np.int64], entering: NDArray[np.int64], flow: QueueFlow) -> None:
    """Reference sales: serve ⌊μ·c⌋ of those ``entering`` (segment, lane); the rest leave. Writes ``flow``."""
    segments, lanes = entering.shape
    for lane in range(lanes):
        services = np.int64(np.floor(params.service_rate * np.float64(in_force[lane])))
        left, people = services, np.int64(0)
        flow.abandoned[lane], flow.errors[lane], flow.given_up[lane] = 0, 0, 0
        for segment in range(segments):
            arrivals = entering[segment, lane]
            flow.served[segment, lane] = min(left, arrivals)
            left -= flow.served[segment, lane]
            flow.abandoned[lane] += arrivals - flow.served[segment, lane]
            people += arrivals
        flow.load[lane] = np.float64(people) / max(np.float64(services), 1.0)
        flow.attraction[lane] = 1.0


@compiled
def serve(
    params: Any,
    state: QueueState,
    in_force: NDArray[np.int64],
    capacity: NDArray[np.float64],
    entering: NDArray[np.int64],
    expected: NDArray[np.float64],
    keys: NDArray[np.uint64],
    flow: QueueFlow,
    work: Workspace,
) -> None:
    """Serve backlog and those ``entering`` (segment, lane), of whom ``expected`` (lane) were to be expected.

    Writes ``state`` and all of ``flow`` but the retries.
    """
    segments, lanes = entering.shape
    for lane in range(lanes):
        flow.people[lane] = 0
        flow.carried[lane] = 0
    for segment in range(segments):
        for lane in range(lanes):
            carried = state.backlog[segment, lane]
            flow.waiting[segment, lane] = carried + entering[segment, lane]
            flow.people[lane] += carried + entering[segment, lane]
            flow.carried[lane] += carried
            flow.failed[segment, lane] = 0
    for lane in range(lanes):
        flow.load[lane] = np.float64(flow.people[lane]) / max(capacity[lane], _TINY)
        flow.expected_load[lane] = (np.float64(flow.carried[lane]) + expected[lane]) / max(capacity[lane], _TINY)
        flow.abandoned[lane] = 0
    if params.is_event_by_event:
        _serve_events(params, in_force, capacity, keys, flow, work)
    else:
        _serve_many(params, in_force, capacity, keys, flow, work)
    _endure(params, flow, work)
    _time_out(keys, flow, work)
    for segment in range(segments):
        for lane in range(lanes):
            state.backlog[segment, lane] = flow.waiting[segment, lane]
    _settle_failures(params, state, keys, flow, work)


@compiled_inline
def _serve_many(
    params: Any,
    in_force: NDArray[np.int64],
    capacity: NDArray[np.float64],
    keys: NDArray[np.uint64],
    flow: QueueFlow,
    work: Workspace,
) -> None:
    """The law of ticks of many services: writes served, failed (refused), abandoned, waiting and the law of waits."""
    lanes = capacity.shape[0]
    write_uniforms(keys, SERVICE, ONLY, work.uniform)
    write_poisson(capacity, work.uniform, flow.services, work)
    _write_wait_chance(in_force, flow, work)
    for lane in range(lanes):
        rate = max(capacity[lane], _TINY)
        left = np.float64(max(0, flow.people[lane] - flow.services[lane]))
        places = np.float64(params.queue_limit * in_force[lane])
        left = min(left, places) if (params.queue_limit > 0) & (in_force[lane] > 0) else left
        slack = 1.0 - min(1.0, flow.expected_load[lane])
        floor = min(LONGEST_WAIT, 0.5 * (np.float64(flow.carried[lane]) + left) / rate)
        tail = min(LONGEST_WAIT, 1.0 / (rate * np.sqrt(slack * slack + 1.0 / rate)))
        flow.wait_floor_s[lane] = floor * params.seconds_per_tick
        flow.wait_tail_s[lane] = tail * params.seconds_per_tick
    write_uniforms(keys, ADMISSION_ORDER, ONLY, work.uniform)
    ration(flow.waiting, flow.services, work.uniform, flow.served, work)
    _refuse(params, in_force, keys, flow, work)
    _abandon(params, keys, flow, work)


@compiled_inside
def _write_wait_chance(in_force: NDArray[np.int64], flow: QueueFlow, work: Workspace) -> None:
    """Write flow.wait_chance, C, at the expected load; 1 from full load on and without servers."""
    lanes = in_force.shape[0]
    for lane in range(lanes):
        work.mean[lane] = max(min(1.0, flow.expected_load[lane]), _TINY)
    write_log(work.mean, work.cumulative)
    for lane in range(lanes):
        excess = min(0.0, 1.0 - work.mean[lane] + work.cumulative[lane])
        work.cumulative[lane] = -np.float64(in_force[lane]) * excess  # α²/2
    write_exp(work.cumulative, work.odds)
    for lane in range(lanes):
        servers = np.float64(in_force[lane])
        t = 1.0 / (1.0 + 0.2316419 * np.sqrt(2.0 * work.cumulative[lane]))
        mills = ((1.330274429 * t - 1.821255978) * t + 1.781477937) * t
        mills = ((mills - 0.356563782) * t + 0.319381530) * t
        ratio = 2.5066282746310002 * work.odds[lane] - mills  # Φ/φ, as 1 - Φ = φ·mills
        root = np.sqrt(max(servers, _TINY))
        inverse = work.mean[lane] + (1.0 - work.mean[lane]) * (root * ratio + 2.0 / 3.0)
        flow.wait_chance[lane] = 1.0 / max(1.0, inverse) if servers > 0.0 else 1.0


@compiled_inline
def _refuse(
    params: Any, in_force: NDArray[np.int64], keys: NDArray[np.uint64], flow: QueueFlow, work: Workspace
) -> None:
    """Refuse those in flow.waiting for whom the queue has no place: they are the first in flow.failed."""
    if params.queue_limit > 0:
        segments, lanes = flow.waiting.shape
        for lane in range(lanes):
            left = 0
            for segment in range(segments):
                left += flow.waiting[segment, lane]
            flow.limit[lane] = max(0, left - params.queue_limit * in_force[lane])
        write_uniforms(keys, QUEUE_ORDER, ONLY, work.uniform)
        ration(flow.waiting, flow.limit, work.uniform, flow.failed, work)


@compiled_inline
def _abandon(params: Any, keys: NDArray[np.uint64], flow: QueueFlow, work: Workspace) -> None:
    """Let some of flow.waiting give up."""
    leaving = 1.0 - math.exp(-1.0 / params.patience_ticks)
    for lane in range(flow.chance.shape[0]):
        flow.chance[lane] = leaving
    draw_some(flow.waiting, flow.chance, ABANDONMENT, keys, flow.drawn, flow.abandoned, work)


@compiled_inline
def _serve_events(
    params: Any,
    in_force: NDArray[np.int64],
    capacity: NDArray[np.float64],
    keys: NDArray[np.uint64],
    flow: QueueFlow,
    work: Workspace,
) -> None:
    """The exact law: writes served, failed (refused), abandoned, waiting and the law of waits."""
    lanes = capacity.shape[0]
    most = params.service_rate * np.float64(params.max_servers)
    for lane in range(lanes):
        work.odds[lane] = most
        work.chance[lane] = np.float64(flow.people[lane]) / params.patience_ticks
    write_uniforms(keys, QUEUE_COMPLETIONS, ONLY, work.uniform)
    write_poisson(work.odds, work.uniform, flow.services, work)
    for lane in range(lanes):
        work.odds[lane] = work.chance[lane]
    write_uniforms(keys, QUEUE_IMPATIENCE, ONLY, work.uniform)
    write_poisson(work.odds, work.uniform, flow.limit, work)
    for lane in range(lanes):
        play_events(params, lane, in_force[lane], capacity[lane], keys[lane], flow)
    write_uniforms(keys, QUEUE_ORDER, ONLY, work.uniform)
    ration(flow.waiting, flow.limit, work.uniform, flow.failed, work)
    write_uniforms(keys, ADMISSION_ORDER, ONLY, work.uniform)
    ration(flow.waiting, flow.services, work.uniform, flow.served, work)
    write_uniforms(keys, ABANDONMENT, ONLY, work.uniform)
    ration(flow.waiting, flow.abandoned, work.uniform, flow.drawn, work)


@compiled_inline
def _endure(params: Any, flow: QueueFlow, work: Workspace) -> None:
    """Write log_chance, endured_s, attraction, and the chance of a time-out, from the law of waits."""
    lanes = flow.people.shape[0]
    limit = params.timeout_s - params.unloaded_latency_s
    for lane in range(lanes):
        tail = max(flow.wait_tail_s[lane], 1e-3 * limit)
        work.odds[lane] = -max(0.0, limit - flow.wait_floor_s[lane]) / tail
        work.chance[lane] = max(flow.wait_chance[lane], 1e-300)
    write_exp(work.odds, flow.chance)
    write_log(work.chance, flow.log_chance)
    for lane in range(lanes):
        is_late = flow.wait_floor_s[lane] >= limit
        beyond = flow.wait_tail_s[lane] * (1.0 - flow.chance[lane]) * flow.wait_chance[lane]
        flow.endured_s[lane] = limit if is_late else flow.wait_floor_s[lane] + beyond
        late = 1.0 if is_late else flow.wait_chance[lane] * flow.chance[lane]
        flow.chance[lane] = late if late > _NEVER else 0.0
        work.odds[lane] = -params.latency_sensitivity * flow.endured_s[lane]
    write_exp(work.odds, flow.attraction)


@compiled_inline
def _time_out(keys: NDArray[np.uint64], flow: QueueFlow, work: Workspace) -> None:
    """Move the visits that timed out, each with probability flow.chance, from flow.served to flow.failed."""
    segments, lanes = flow.served.shape
    likely = 0.0
    for lane in range(lanes):
        likely = max(likely, flow.chance[lane])
    if likely > 0.0:
        draw_some(flow.served, flow.chance, TIMEOUTS, keys, flow.drawn, flow.limit, work)
        for segment in range(segments):
            for lane in range(lanes):
                flow.failed[segment, lane] += flow.drawn[segment, lane]


@compiled_inline
def _settle_failures(
    params: Any, state: QueueState, keys: NDArray[np.uint64], flow: QueueFlow, work: Workspace
) -> None:
    """Sum flow.failed to errors; some try again later (state.retrying), the others are given_up."""
    segments, lanes = flow.failed.shape
    for lane in range(lanes):
        flow.errors[lane] = 0
        flow.chance[lane] = params.retry_share
    for segment in range(segments):
        for lane in range(lanes):
            flow.errors[lane] += flow.failed[segment, lane]
    draw_some(flow.failed, flow.chance, RETRYING, keys, flow.drawn, flow.limit, work)
    for segment in range(segments):
        for lane in range(lanes):
            state.retrying[segment, lane] += flow.drawn[segment, lane]
    for lane in range(lanes):
        flow.given_up[lane] = flow.errors[lane] - flow.limit[lane]


@compiled
def dismiss(state: QueueState, closing: NDArray[np.bool_], flow: QueueFlow) -> None:
    """Where the sale closes, those still waiting leave (flow.abandoned), those about to retry do not (given_up)."""
    segments, lanes = state.backlog.shape
    for segment in range(segments):
        for lane in range(lanes):
            if closing[lane]:
                flow.abandoned[lane] += state.backlog[segment, lane]
                flow.given_up[lane] += state.retrying[segment, lane]
                state.backlog[segment, lane] = 0
                state.retrying[segment, lane] = 0
