"""The queue before the servers: who is answered, how long it takes, who fails, gives up or tries again.

Two laws. A tick of a real sale holds many services of every server: then the queue is the walk of reflected_queue,
which says who is answered, refused and gives up in a tick and that a visit waits d + Exp(m) with probability C, else d.

``is_event_by_event`` simulates the birth-death process of M/M/c + M itself, exactly at any length of a tick: arrivals
at uniform times of the tick, potential completions (rate μ·h·max_servers, real with probability min(n, c)/max_servers),
potential departures of the impatient likewise, in their random order. B then counts visits in service too, and a visit
that finds n ≥ c in the system waits for n - c + 1 services: C is the share of such visits, and d + Exp(m) has the mean
and, where all wait, the spread of their waits.

In both, visits beyond ``queue_limit`` a server are refused (at the end of the tick, or as they come, event by event),
those who wait give up at the rate 1/patience, a visit whose wait passes s = timeout - unloaded latency fails having
used its service, and purchase weights fall by e^(-sensitivity·E[min(wait, s)]). Of those refused or timed out a share
tries again: they return at the rate 1/``retry_delay``, and load the servers anew.

In ``hard_cap`` mode (reference sales, of one segment) exactly ⌊μ·c⌋ people are served, the rest leave for good, and
nothing waits.

Source: Kimber & Hollis (1979), TRRL LR 909, for delay that is continuous through ρ = 1; Grassmann (1977), Comput. Oper.
Res. 4(1), for uniformization. Left out: back-offs that grow with each attempt.
"""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flashsim.sim.birth_death import play_events
from flashsim.sim.cache import compiled, compiled_inline, compiled_inside
from flashsim.sim.queue_flow import QueueFlow, QueueState
from flashsim.sim.rationing import draw_some, has_any, ration
from flashsim.sim.reflected_queue import FIT, walk, write_wait_chance, write_waits
from flashsim.sim.samplers import Workspace, write_exp, write_log, write_poisson
from flashsim.sim.streams import (
    ABANDONMENT,
    ADMISSION_ORDER,
    ONLY,
    QUEUE_COMPLETIONS,
    QUEUE_IMPATIENCE,
    QUEUE_ORDER,
    QUEUE_PATH,
    RETRY_RETURN,
    RETRYING,
    SERVICE,
    TIMEOUTS,
    write_uniforms,
)

_TINY = 1e-9
_HOW_MANY, _ORDER = np.int64(0), np.int64(1)  # cells of the uniforms that say how many give up, and who
_NEVER = 1e-12  # chances below are none


@compiled
def return_retries(params: Any, state: QueueState, keys: NDArray[np.uint64], flow: QueueFlow, work: Workspace) -> None:
    """Draw who tries again in this tick; writes flow.retries, lowers state.retrying."""
    chance = 1.0 - math.exp(-1.0 / params.retry_delay)
    for lane in range(flow.return_chance.shape[0]):
        flow.return_chance[lane] = chance
    draw_some(state.retrying, flow.return_chance, RETRY_RETURN, keys, flow.retries, flow.retries_total, work)


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
    if params.hard_cap:
        _serve_hard_cap(params, in_force, entering, flow)
    else:
        _take_in(state, capacity, entering, expected, flow)
        if params.is_event_by_event:
            _serve_events(params, in_force, capacity, keys, flow, work)
        else:
            _serve_many(params, in_force, capacity, keys, flow, work)
        _write_endured(params, flow)
        _time_out(keys, flow, work)
        for segment in range(entering.shape[0]):
            for lane in range(entering.shape[1]):
                state.backlog[segment, lane] = flow.waiting[segment, lane]
        _settle_failures(params, state, keys, flow, work)


@compiled_inside
def _serve_hard_cap(params: Any, in_force: NDArray[np.int64], entering: NDArray[np.int64], flow: QueueFlow) -> None:
    """Reference sales: serve ⌊μ·c⌋ of those ``entering`` (segment, lane); the rest leave. Writes ``flow``."""
    segments, lanes = entering.shape
    for lane in range(lanes):
        services = np.int64(np.floor(params.service_rate * np.float64(in_force[lane])))
        free, visits = services, np.int64(0)
        flow.abandoned[lane], flow.dismissed[lane], flow.errors[lane], flow.given_up[lane] = 0, 0, 0, 0
        for segment in range(segments):
            arrivals = entering[segment, lane]
            flow.served[segment, lane] = min(free, arrivals)
            free -= flow.served[segment, lane]
            flow.abandoned[lane] += arrivals - flow.served[segment, lane]
            visits += arrivals
        flow.load[lane] = np.float64(visits) / max(np.float64(services), 1.0)
        flow.latency_factor[lane] = 1.0


@compiled_inline
def _take_in(
    state: QueueState,
    capacity: NDArray[np.float64],
    entering: NDArray[np.int64],
    expected: NDArray[np.float64],
    flow: QueueFlow,
) -> None:
    """Write flow.waiting, everybody there is to serve, and the load; nobody has failed or given up yet."""
    segments, lanes = entering.shape
    for lane in range(lanes):
        flow.visits[lane] = 0
        flow.carried[lane] = 0
    for segment in range(segments):
        for lane in range(lanes):
            carried = state.backlog[segment, lane]
            flow.waiting[segment, lane] = carried + entering[segment, lane]
            flow.visits[lane] += carried + entering[segment, lane]
            flow.carried[lane] += carried
            flow.failed[segment, lane] = 0
    for lane in range(lanes):
        flow.load[lane] = np.float64(flow.visits[lane]) / max(capacity[lane], _TINY)
        flow.expected_load[lane] = expected[lane] / max(capacity[lane], _TINY)
        flow.abandoned[lane], flow.dismissed[lane] = 0, 0


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
    write_uniforms(keys, SERVICE, ONLY, work.uniform)
    write_poisson(capacity, work.uniform, flow.services, work)
    write_wait_chance(params.patience_ticks, in_force, capacity, flow, FIT)
    write_uniforms(keys, QUEUE_PATH, ONLY, work.uniform)
    write_uniforms(keys, ABANDONMENT, _HOW_MANY, flow.rounding)
    walk(params.patience_ticks, params.queue_limit, in_force, work.uniform, flow.rounding, flow)
    write_waits(params, in_force, capacity, flow, FIT)
    write_uniforms(keys, ADMISSION_ORDER, ONLY, work.uniform)
    ration(flow.waiting, flow.answered, work.uniform, flow.served, work)
    if has_any(flow.refused):
        write_uniforms(keys, QUEUE_ORDER, ONLY, work.uniform)
        ration(flow.waiting, flow.refused, work.uniform, flow.failed, work)
    if has_any(flow.abandoned):
        write_uniforms(keys, ABANDONMENT, _ORDER, work.uniform)
        ration(flow.waiting, flow.abandoned, work.uniform, flow.leaving, work)


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
        flow.completions_mean[lane] = most
        flow.departures_mean[lane] = np.float64(flow.visits[lane]) / params.patience_ticks
    write_uniforms(keys, QUEUE_COMPLETIONS, ONLY, work.uniform)
    write_poisson(flow.completions_mean, work.uniform, flow.completions, work)
    write_uniforms(keys, QUEUE_IMPATIENCE, ONLY, work.uniform)
    write_poisson(flow.departures_mean, work.uniform, flow.departures, work)
    for lane in range(lanes):
        play_events(params, lane, in_force[lane], capacity[lane], keys[lane], flow)
    write_uniforms(keys, QUEUE_ORDER, ONLY, work.uniform)
    ration(flow.waiting, flow.refused, work.uniform, flow.failed, work)
    write_uniforms(keys, ADMISSION_ORDER, ONLY, work.uniform)
    ration(flow.waiting, flow.services, work.uniform, flow.served, work)
    write_uniforms(keys, ABANDONMENT, ONLY, work.uniform)
    ration(flow.waiting, flow.abandoned, work.uniform, flow.leaving, work)


@compiled_inline
def _write_endured(params: Any, flow: QueueFlow) -> None:
    """Write log_wait_chance, endured_s, latency_factor and timeout_chance, from the law of waits."""
    lanes = flow.visits.shape[0]
    limit = params.timeout_s - params.unloaded_latency_s
    for lane in range(lanes):
        tail = max(flow.wait_tail_s[lane], 1e-3 * limit)
        flow.log_tail_share[lane] = -max(0.0, limit - flow.wait_floor_s[lane]) / tail
        flow.positive_wait_chance[lane] = max(flow.wait_chance[lane], 1e-300)
    write_exp(flow.log_tail_share, flow.tail_share)
    write_log(flow.positive_wait_chance, flow.log_wait_chance)
    for lane in range(lanes):
        is_late = flow.wait_floor_s[lane] >= limit
        beyond = flow.wait_tail_s[lane] * (1.0 - flow.tail_share[lane]) * flow.wait_chance[lane]
        flow.endured_s[lane] = limit if is_late else flow.wait_floor_s[lane] + beyond
        late = 1.0 if is_late else flow.wait_chance[lane] * flow.tail_share[lane]
        flow.timeout_chance[lane] = late if late > _NEVER else 0.0
        flow.log_latency_factor[lane] = -params.latency_sensitivity * flow.endured_s[lane]
    write_exp(flow.log_latency_factor, flow.latency_factor)


@compiled_inline
def _time_out(keys: NDArray[np.uint64], flow: QueueFlow, work: Workspace) -> None:
    """Move the visits that timed out, each with flow.timeout_chance, from flow.served to flow.failed."""
    segments, lanes = flow.served.shape
    highest = 0.0
    for lane in range(lanes):
        highest = max(highest, flow.timeout_chance[lane])
    if highest > 0.0:
        draw_some(flow.served, flow.timeout_chance, TIMEOUTS, keys, flow.timed_out, flow.timed_out_total, work)
        for segment in range(segments):
            for lane in range(lanes):
                flow.failed[segment, lane] += flow.timed_out[segment, lane]


@compiled_inline
def _settle_failures(
    params: Any, state: QueueState, keys: NDArray[np.uint64], flow: QueueFlow, work: Workspace
) -> None:
    """Sum flow.failed to errors; some try again later (state.retrying), the others are given_up."""
    segments, lanes = flow.failed.shape
    for lane in range(lanes):
        flow.errors[lane] = 0
        flow.retry_chance[lane] = params.retry_share
    for segment in range(segments):
        for lane in range(lanes):
            flow.errors[lane] += flow.failed[segment, lane]
    draw_some(flow.failed, flow.retry_chance, RETRYING, keys, flow.will_retry, flow.will_retry_total, work)
    for segment in range(segments):
        for lane in range(lanes):
            state.retrying[segment, lane] += flow.will_retry[segment, lane]
    for lane in range(lanes):
        flow.given_up[lane] = flow.errors[lane] - flow.will_retry_total[lane]
