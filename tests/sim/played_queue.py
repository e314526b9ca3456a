"""The queue part alone, fed with Poisson arrivals, and what textbooks say of it."""

from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaincc

from flashsim.sim.parameters import as_arguments
from flashsim.sim.queue_flow import QueueFlow, QueueState, clear_queue, make_queue_flow, make_queue_state
from flashsim.sim.queueing import serve
from flashsim.sim.samplers import Workspace, make_workspace
from flashsim.sim.servers import ServerArguments, ServerParams
from flashsim.sim.streams import write_tick_keys
from tests.sim.tiles import first_tile

PATIENT = ServerParams(unloaded_latency_s=0.0, timeout_s=1e9, latency_sensitivity=0.0, patience_ticks=1e9)


class Played(NamedTuple):
    """What a queue did, in service times; each with its standard error over the lanes."""

    wait: tuple[float, float]
    """Mean wait, from the law of waits of each tick; by the law of many services of those who are served."""
    little_wait: tuple[float, float]
    """Mean wait by Little's law, from the numbers in the system at the ends of ticks."""
    wait_95: float
    """95th percentile of the wait, from the numbers in the system at the ends of ticks: arrivals see time averages."""
    stated_wait_95: float
    """The same from the law of waits that each tick states."""
    refused: tuple[float, float]
    """Share of arrivals."""
    abandoned: tuple[float, float]
    """Share of arrivals."""
    queue: tuple[float, float]
    """Mean number waiting."""
    sojourn: tuple[float, float]
    """Mean time in the system of those accepted, by Little's law."""


def _pool(servers: int, tick: float, queue_limit: int, patience_rate: float, *, exactly: bool) -> ServerParams:
    """Parameters in ticks; rates are given in service times."""
    return replace(
        PATIENT,
        service_rate=tick,
        max_servers=servers,
        start_servers=servers,
        seconds_per_tick=tick,
        queue_limit=queue_limit,
        patience_ticks=1.0 / (patience_rate * tick) if patience_rate else 1e9,
        is_event_by_event=exactly,
    )


def _opened(lanes: int, start: NDArray[np.int64] | None) -> tuple[QueueState, QueueFlow, Workspace]:
    """One tile of queues, empty or with ``start`` (lane) visits."""
    state = first_tile(make_queue_state(1, lanes, segments=1))
    clear_queue(state, np.ones(lanes, np.bool_))
    if start is not None:
        state.backlog[0] = start
    return state, make_queue_flow(1, lanes), make_workspace(lanes)


def play_queue(
    *,
    servers: int,
    load: float,
    tick: float,
    queue_limit: int = 0,
    patience_rate: float = 0.0,
    exactly: bool = True,
    lanes: int = 500,
    warm_up: float = 60.0,
    measured: float = 120.0,
    start: NDArray[np.int64] | None = None,
    seed: int = 0,
) -> Played:
    """A queue with service rate 1 and ticks of ``tick`` service times; times in service times.

    It starts empty or with ``start`` (lane) visits.
    """
    arguments = as_arguments(_pool(servers, tick, queue_limit, patience_rate, exactly=exactly), ServerArguments)
    state, flow, work = _opened(lanes, start)
    rng = np.random.default_rng(seed)
    keys, now = rng.integers(0, 2**63, lanes).astype(np.uint64), np.zeros(lanes, np.uint64)
    in_force, capacity = np.full(lanes, servers), np.full(lanes, tick * servers)
    expected = np.full(lanes, load * tick)
    sums = {name: np.zeros(lanes) for name in ("came", "refused", "abandoned", "present", "waiting", "wait", "waited")}
    waits: list[NDArray[np.float64]] = []
    found = np.zeros(0, np.int64)  # how often each number was in the system at the end of a tick
    warm, ticks = round(warm_up / tick), round(measured / tick)
    for step in range(warm + ticks):
        write_tick_keys(keys, np.full(lanes, step), now)
        entering = rng.poisson(load * tick, (1, lanes))
        serve(arguments, state, in_force, capacity, entering, expected, now, flow, work)
        if step < warm:
            continue
        came, present = entering[0].astype(np.float64), state.backlog[0].astype(np.float64)
        sums["came"] += came
        sums["refused"] += flow.errors
        sums["abandoned"] += flow.abandoned
        sums["present"] += present
        sums["waiting"] += np.maximum(0.0, present - servers)
        accepted = came - flow.errors if exactly else flow.served[0]
        sums["wait"] += accepted * (flow.wait_floor_s + flow.wait_chance * flow.wait_tail_s)
        sums["waited"] += accepted
        waits.append(np.stack([flow.wait_chance, flow.wait_floor_s, flow.wait_tail_s, accepted]))
        counts = np.bincount(state.backlog[0], minlength=found.size)
        counts[: found.size] += found
        found = counts
    chance, floor, tail, weight = (part.ravel() for part in np.stack(waits).transpose(1, 0, 2))
    accepted = sums["came"] - sums["refused"]
    return Played(
        _ratio(sums["wait"], sums["waited"]),
        _ratio(sums["waiting"] * tick, sums["came"]),
        _percentile(lambda w: _erlang_beyond(found, servers, w)),
        _percentile(lambda w: _stated_beyond(chance, floor, tail, weight, w)),
        _ratio(sums["refused"], sums["came"]),
        _ratio(sums["abandoned"], sums["came"]),
        _ratio(sums["waiting"] / ticks, np.ones(lanes)),
        _ratio(sums["present"] * tick, accepted),
    )


def _percentile(beyond: Callable[[float], float]) -> float:
    """The wait that 5 % exceed, by bisection."""
    low, high = 0.0, 1e3
    for _ in range(40):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if beyond(middle) > 0.05 else (low, middle)
    return high


def _erlang_beyond(found: NDArray[np.int64], servers: int, wait: float) -> float:
    """Chance that a visit waits longer, in service times: it waits for one service more than there are in the queue."""
    services = np.arange(found.size) - servers + 1
    return float(
        (found * np.where(services > 0, gammaincc(np.maximum(services, 1), servers * wait), 0.0)).sum() / found.sum()
    )


def _stated_beyond(
    chance: NDArray[np.float64],
    floor: NDArray[np.float64],
    tail: NDArray[np.float64],
    weight: NDArray[np.float64],
    wait: float,
) -> float:
    late = np.where(wait < floor, 1.0, chance * np.exp(-np.maximum(wait - floor, 0.0) / np.maximum(tail, 1e-12)))
    return float((late * weight).sum() / weight.sum())


def _ratio(top: NDArray[np.float64], bottom: NDArray[np.float64]) -> tuple[float, float]:
    """Ratio of the means over lanes and its standard error (delta method)."""
    value = float(top.mean() / bottom.mean())
    return value, float((top - value * bottom).std(ddof=1) / np.sqrt(top.size) / bottom.mean())


if __name__ == "__main__":
    from tests.sim.queue_tables import all_tables

    print("\n\n".join(all_tables()))
