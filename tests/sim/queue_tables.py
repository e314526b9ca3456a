"""The tables of docs/queue.md: how far the laws of the queue are from what is exactly right.

No queue here is one that the law was fitted to (tests.sim.fit_queue).
"""

from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from flashsim.sim.parameters import as_arguments
from flashsim.sim.queue_flow import clear_queue, make_queue_flow, make_queue_state
from flashsim.sim.queueing import return_retries, serve
from flashsim.sim.samplers import make_workspace
from flashsim.sim.servers import ServerArguments
from flashsim.sim.streams import write_tick_keys
from tests.sim.erlang import balance
from tests.sim.played_queue import PATIENT, Played, play_queue
from tests.sim.tiles import first_tile

CALM = [(1, 0.5, 1.0, 4.605170), (3, 2, 0.444444, 2.184802), (10, 8, 0.204590, 1.051066)]
CALM += [(20, 16, 0.064019, 0.408365), (50, 45, 0.072773, 0.396952), (100, 90, 0.021694, 0.146760)]
"""Servers, load, mean wait and its 95th percentile."""
TICKS = (10.0, 20.0, 100.0)
BUSY = [(3, 0.78), (4, 0.9), (7, 0.82), (7, 0.93), (10, 0.9), (12, 0.9), (15, 0.97), (20, 0.9), (30, 0.96), (40, 0.92)]
"""Servers and utilization; nobody gives up."""
IMPATIENT = [(3, 0.8, 0.7), (4, 1.0, 2.0), (6, 0.92, 3.0), (7, 1.06, 1.5), (12, 0.9, 2.0), (15, 0.97, 0.6)]
IMPATIENT += [(20, 1.0, 2.5), (25, 1.1, 0.5), (30, 1.03, 8.0), (45, 0.94, 1.2)]
"""Servers, utilization and patience in ticks."""


class Rush(NamedTuple):
    """Eight ticks of calm, then a rush."""

    name: str
    loads: NDArray[np.float64]
    """Arrivals over what ``servers`` can do, by tick."""
    servers: int = 12
    services: float = 20.0
    """Of a server, a tick."""
    patience: float = 2.0
    """Ticks."""
    queue_limit: int = 0
    retry_share: float = 0.0
    more: int = 0
    """Servers that come three ticks after the rush has begun, and leave eight ticks later."""


def _rise(peak: float, *, calm: float = 0.8, ticks: int = 6) -> NDArray[np.float64]:
    return np.concatenate([np.full(8, calm), np.full(ticks, peak), np.full(10, calm)])


RUSHES = [
    Rush("3 × for one tick", _rise(3.0, ticks=1)),
    Rush("3 × for six ticks", _rise(3.0)),
    Rush("1.2 ×, 4 servers", _rise(1.2), servers=4, patience=1.0),
    Rush("1.2 ×, ticks of 10", _rise(1.2, calm=0.85), servers=30, services=10.0, patience=0.7),
    Rush("2 ×, ticks of 100", _rise(2.0), servers=5, services=100.0),
    Rush("2 ×, nobody gives up", _rise(2.0, ticks=3), patience=1e9),
    Rush("1.1 ×, 5 servers, nobody gives up", _rise(1.1), servers=5, patience=1e9),
    Rush("1 ×, 20 servers, nobody gives up", _rise(1.0, calm=0.9, ticks=9), patience=1e9),
    Rush("2 ×, limit 10 a server", _rise(2.0), patience=1e9, queue_limit=10),
    Rush("1.3 ×, limit 40, half try again", _rise(1.3), servers=20, patience=5.0, queue_limit=40, retry_share=0.5),
    Rush("3 ×, limit 10, half try again", _rise(3.0, ticks=4), queue_limit=10, retry_share=0.5),
    Rush("2 ×, 8 servers come and go", _rise(2.0), more=8),
]


class Course(NamedTuple):
    """What a rush did, mean over the lanes and standard error of each."""

    peak: tuple[float, float]
    """Highest mean number waiting at the end of a tick."""
    backlog: tuple[float, float]
    """Mean number waiting at the ends of all ticks."""
    abandoned: tuple[float, float]
    """Visits that gave up while more came than can be served."""
    served: tuple[float, float]
    """Visits."""
    refused: tuple[float, float]
    """Visits."""
    wait: tuple[float, float]
    """Mean of those served, ticks."""


def play_rush(rush: Rush, *, exactly: bool, lanes: int, seed: int = 0) -> Course:
    """Play it by one of the two laws."""
    most = rush.servers + rush.more
    params = replace(
        PATIENT,
        service_rate=rush.services,
        max_servers=most,
        start_servers=rush.servers,
        seconds_per_tick=1.0,
        queue_limit=rush.queue_limit,
        retry_share=rush.retry_share,
        patience_ticks=rush.patience,
        is_event_by_event=exactly,
    )
    arguments = as_arguments(params, ServerArguments)
    state, flow = first_tile(make_queue_state(1, lanes, segments=1)), make_queue_flow(1, lanes)
    clear_queue(state, np.ones(lanes, np.bool_))
    rng, work, now = np.random.default_rng(seed), make_workspace(lanes), np.zeros(lanes, np.uint64)
    keys = rng.integers(0, 2**63, lanes).astype(np.uint64)
    facts = np.zeros((5, rush.loads.size, lanes))
    for tick, load in enumerate(rush.loads):
        servers = most if 11 <= tick < 19 else rush.servers
        in_force = np.full(lanes, servers)
        capacity = rush.services * in_force
        write_tick_keys(keys, np.full(lanes, tick), now)
        return_retries(arguments, state, now, flow, work)
        mean = load * rush.services * rush.servers
        entering = rng.poisson(mean, (1, lanes)) + flow.retries
        serve(arguments, state, in_force, capacity, entering, mean + flow.retries[0], now, flow, work)
        waiting = state.backlog[0] - (servers if exactly else 0)
        facts[0, tick], facts[1, tick], facts[2, tick] = np.maximum(0, waiting), flow.abandoned, flow.served[0]
        facts[3, tick] = flow.errors
        facts[4, tick] = flow.served[0] * (flow.wait_floor_s + flow.wait_chance * flow.wait_tail_s)
    wait, served = facts[4].sum(axis=0), facts[2].sum(axis=0)
    ratio = wait.mean() / served.mean()
    return Course(
        _mean(facts[0, int(facts[0].mean(axis=1).argmax())]),
        _mean(facts[0].mean(axis=0)),
        _mean(facts[1, rush.loads > 1.0].sum(axis=0)),
        _mean(served),
        _mean(facts[3].sum(axis=0)),
        (float(ratio), float((wait - ratio * served).std(ddof=1) / np.sqrt(lanes) / served.mean())),
    )


def _mean(values: NDArray[np.float64]) -> tuple[float, float]:
    return float(values.mean()), float(values.std(ddof=1) / np.sqrt(values.size))


def play_calm(servers: int, load: float, tick: float, *, exactly: bool, lanes: int) -> Played:
    span = max(20.0, 20.0 * tick)
    return play_queue(servers=servers, load=load, tick=tick, exactly=exactly, lanes=lanes, warm_up=span, measured=span)


def play_in_balance(servers: int, utilization: float, tick: float, patience: float, *, lanes: int) -> Played:
    """By the law of many services, from M/M/c + M in balance on; ``patience`` in ticks."""
    truth = balance(servers, utilization, patience * tick)
    found = np.random.default_rng(1).choice(truth.chances.size, lanes, p=truth.chances)
    spans: dict[str, Any] = {"warm_up": 30.0 * tick, "measured": 60.0 * tick, "start": found}
    rate = 1.0 / (patience * tick)
    load = utilization * servers
    return play_queue(servers=servers, load=load, tick=tick, patience_rate=rate, exactly=False, lanes=lanes, **spans)


def _table(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)


def calm_row(tick: float, *, exactly: bool, lanes: int) -> list[str]:
    """Errors of the mean wait and its 95th percentile of one law at one length of a tick."""
    cells = []
    for servers, load, wait, wait_95 in CALM:
        played = play_calm(servers, load, tick, exactly=exactly, lanes=lanes)
        seen = played.wait_95 if exactly else played.stated_wait_95
        cells.append(f"{played.wait[0] / wait - 1.0:+.0%} / {seen / wait_95 - 1.0:+.0%}")
    return ["event by event" if exactly else "many services", f"{tick:g}", *cells]


def busy_row(servers: int, utilization: float, lanes: int) -> list[str]:
    """Errors of the mean wait and its 95th percentile at several lengths of a tick."""
    truth = balance(servers, utilization)
    cells = []
    for tick in TICKS:
        played = play_in_balance(servers, utilization, tick, np.inf, lanes=lanes)
        cells.append(f"{played.wait[0] / truth.wait - 1.0:+.1%} / {played.stated_wait_95 / truth.wait_95 - 1.0:+.1%}")
    return [str(servers), f"{utilization:g}", f"{truth.wait:.3f} / {truth.wait_95:.3f}", *cells]


def impatient_row(servers: int, utilization: float, patience: float, lanes: int) -> list[str]:
    """The same, and of the share that gives up."""
    cells = []
    for tick in TICKS:
        truth = balance(servers, utilization, patience * tick)
        played = play_in_balance(servers, utilization, tick, patience, lanes=lanes)
        waits = f"{played.wait[0] / truth.wait - 1.0:+.1%} / {played.stated_wait_95 / truth.wait_95 - 1.0:+.1%}"
        cells.append(f"{waits} / {played.abandoned[0] / truth.abandoned - 1.0:+.1%}")
    return [str(servers), f"{utilization:g}", f"{patience:g}", *cells]


def rush_row(rush: Rush, lanes: int) -> list[str]:
    """Errors against the law event by event, whose waits are right where nobody gives up."""
    seen, true = (play_rush(rush, exactly=exactly, lanes=lanes) for exactly in (False, True))
    cells = [
        f"{value / other - 1.0:+.1%}" if other > 0.0 else "none"
        for (value, _), (other, _) in zip(seen, true, strict=True)
    ]
    return [rush.name, *(cells if rush.patience >= 1e9 else [*cells[:-1], "-"])]


CALM_LAWS = [(True, 0.05), (True, 1.0), (True, 20.0)]
CALM_LAWS += [(False, tick) for tick in (1.0, 2.0, 5.0, 10.0, 20.0, 100.0)]
"""Whether it is the law event by event, and the services of a server in a tick."""
CALM_HEAD = ["law", "services of a server in a tick", *(f"c={servers}, load {load}" for servers, load, *_ in CALM)]
BUSY_HEAD = ["servers", "utilization", "wait / its 95 %", *(f"{tick:g} services" for tick in TICKS)]
IMPATIENT_HEAD = ["servers", "utilization", "patience, ticks", *(f"{tick:g} services" for tick in TICKS)]
RUSH_HEAD = ["rush", "backlog at its peak", "mean backlog", "abandoned in its rise", "served", "refused", "mean wait"]


def all_tables() -> list[str]:
    """Those of docs/queue.md, in its order."""
    return [
        _table(CALM_HEAD, [calm_row(tick, exactly=exactly, lanes=1500) for exactly, tick in CALM_LAWS]),
        _table(BUSY_HEAD, [busy_row(*queue, lanes=1500) for queue in BUSY]),
        _table(IMPATIENT_HEAD, [impatient_row(*queue, lanes=600) for queue in IMPATIENT]),
        _table(RUSH_HEAD, [rush_row(rush, lanes=1500) for rush in RUSHES]),
    ]
