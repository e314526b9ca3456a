"""Who waits before the servers and who is about to try again, and what a tick of the queue makes (see queueing)."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from flashsim.sim.arrays import allocate
from flashsim.sim.cache import compiled, compiled_inside


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
    dismissed: NDArray[np.int64]  # lane; those of abandoned who still waited when the sale closed
    given_up: NDArray[np.int64]  # lane; visits that failed and do not try again
    load: NDArray[np.float64]  # lane; visits over capacity
    expected_load: NDArray[np.float64]  # lane; visits that were to come over capacity
    wait_chance: NDArray[np.float64]  # lane; C
    wait_floor_s: NDArray[np.float64]  # lane; d, seconds
    wait_tail_s: NDArray[np.float64]  # lane; m, seconds
    endured_s: NDArray[np.float64]  # lane; mean wait until answered or timed out, seconds
    log_wait_chance: NDArray[np.float64]  # lane; ln C
    latency_factor: NDArray[np.float64]  # lane; on purchase weights, 0 .. 1
    # Scratch of those who are served
    carried: NDArray[np.int64]  # lane; backlog at the start
    visits: NDArray[np.int64]  # lane; backlog and arrivals
    services: NDArray[np.int64]  # lane; services that can be completed
    waiting: NDArray[np.int64]  # segment, lane; backlog and arrivals, less those who were served, refused or gave up
    failed: NDArray[np.int64]  # segment, lane; visits refused or timed out
    refused: NDArray[np.int64]  # lane; visits for whom the queue has no place
    leaving: NDArray[np.int64]  # segment, lane; visits that give up
    # Scratch of ticks of many services
    log_path: NDArray[np.float64]  # lane; ln v
    rounding: NDArray[np.float64]  # lane; u
    idle_cost: NDArray[np.float64]  # lane; w
    answered: NDArray[np.int64]  # lane; visits that are answered, in time or not
    mean_queue: NDArray[np.float64]  # lane; Q
    is_full: NDArray[np.float64]  # lane; 1 where the queue has no place left, else 0
    # Scratch of the law of waits
    utilization: NDArray[np.float64]  # lane; ρ
    log_utilization: NDArray[np.float64]  # lane; ln ρ
    half_alpha_squared: NDArray[np.float64]  # lane; α²/2
    exp_half_alpha_squared: NDArray[np.float64]  # lane; e^(α²/2)
    positive_wait_chance: NDArray[np.float64]  # lane; C, or the least number that has a logarithm
    log_tail_share: NDArray[np.float64]  # lane
    tail_share: NDArray[np.float64]  # lane; P(Exp(m) > s - d)
    log_latency_factor: NDArray[np.float64]  # lane
    # Scratch of ticks event by event
    completions_mean: NDArray[np.float64]  # lane; expected potential completions
    completions: NDArray[np.int64]  # lane; potential completions
    departures_mean: NDArray[np.float64]  # lane; expected potential departures of the impatient
    departures: NDArray[np.int64]  # lane; potential departures of the impatient
    # Scratch of those who time out and try again
    timeout_chance: NDArray[np.float64]  # lane; that a visit answered is too late
    timed_out: NDArray[np.int64]  # segment, lane; visits
    timed_out_total: NDArray[np.int64]  # lane
    retry_chance: NDArray[np.float64]  # lane; that a visit that failed tries again
    will_retry: NDArray[np.int64]  # segment, lane; visits that failed in this tick and will try again
    will_retry_total: NDArray[np.int64]  # lane
    return_chance: NDArray[np.float64]  # lane; that a visit about to try again does so in this tick
    retries_total: NDArray[np.int64]  # lane


_BY_SEGMENT = ("retries", "served", "waiting", "failed", "leaving", "timed_out", "will_retry")


def make_queue_state(tiles: int, lanes: int, *, segments: int) -> QueueState:
    """Allocate the state of ``tiles`` tiles (first axis)."""
    return allocate(QueueState, (tiles, segments, lanes))


def make_queue_flow(segments: int, lanes: int) -> QueueFlow:
    """Allocate the flow of one tile."""
    return allocate(QueueFlow, (lanes,), **dict.fromkeys(_BY_SEGMENT, (segments, lanes)))


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
def dismiss(state: QueueState, closing: NDArray[np.bool_], flow: QueueFlow) -> None:
    """Where the sale closes, those still waiting leave (flow.abandoned and dismissed), those about to retry do not
    (given_up)."""
    segments, lanes = state.backlog.shape
    for segment in range(segments):
        for lane in range(lanes):
            if closing[lane]:
                flow.abandoned[lane] += state.backlog[segment, lane]
                flow.dismissed[lane] += state.backlog[segment, lane]
                flow.given_up[lane] += state.retrying[segment, lane]
                state.backlog[segment, lane] = 0
                state.retrying[segment, lane] = 0
