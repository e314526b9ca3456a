"""The pool of servers: what is ordered, what is in force, what it costs, and when it collapses.

    in force   c = ⌊a · max(orders of the ticks t - lag - drain … t - lag)⌋          capacity = μ·c·h  visits a tick

A level that is ordered comes into force after ``lag`` ticks; servers leave ``drain_ticks`` later than new ones come.
The availability a is the share of the pool that has not failed (1 unless a scenario lets it fail). Real scenarios pay
servers from their order to their going, failed ones too; reference sales pay those in force.

A pool that is offered more than ``collapse_load`` times its capacity collapses: memory, connections and retries
thrash, and from the next tick its health h, a factor on the capacity, is ``collapsed_health``. While the load stays
below, health recovers by the share ``recovery`` of what is missing, a tick. As the capacity is low and those turned
away try again, a collapse sustains itself until load is shed.

Source: Gandhi et al. (2012), ACM TOCS 30(4), "AutoScale", for delays of provisioning and draining; Bronson et al.
(2021), HotOS, "Metastable failures in distributed systems", for collapse. Left out: unlike servers, and partial orders.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from flashsim.errors import InputError
from flashsim.sim.arrays import allocate
from flashsim.sim.cache import compiled, compiled_inline, compiled_inside
from flashsim.sim.parameters import arguments_type, check_range, check_whole

SHORTEST_TICK_S, LONGEST_TICK_S = 1e-6, 1e6


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
    drain_ticks: int = 0
    """Further ticks until a server that is ordered away is gone: requests end, connections are drained."""
    cost: float = 0.25
    """Cost of one server for one tick, currency."""
    pays_while_booting: bool = True
    """True: a server is paid from its order until it is gone, as clouds bill; False in reference sales."""
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
    queue_limit: int = 0
    """Visits that may wait for each server; others are refused at once. 0: no limit."""
    retry_share: float = 0.0
    """Share of failed visits that try again."""
    retry_delay: float = 1.0
    """Mean ticks until they do: they back off."""
    collapse_load: float = 0.0
    """Load, as a multiple of the capacity, above which the pool collapses. 0: never."""
    collapsed_health: float = 0.5
    """Share of its capacity that a collapsed pool has left."""
    recovery: float = 0.2
    """Share of the missing health that returns in a tick."""
    is_event_by_event: bool = False
    """True: the queue is simulated event by event, exactly, at any length of a tick (see queueing); slow."""
    hard_cap: bool = False
    """True in reference sales: a fixed number is served, nobody waits."""

    def __post_init__(self) -> None:
        check_range("service_rate", self.service_rate, 1e-9, 1e9)
        check_whole("min_servers", self.min_servers, 0, 1_000_000)
        check_whole("max_servers", self.max_servers, self.min_servers, 1_000_000)
        check_whole("start_servers", self.start_servers, self.min_servers, self.max_servers)
        check_whole("lag", self.lag, 0, 1000)
        check_whole("drain_ticks", self.drain_ticks, 0, 1000)
        for name in ("cost", "penalty", "unloaded_latency_s", "latency_sensitivity"):
            check_range(name, getattr(self, name), 0.0, 1e9)
        check_range("seconds_per_tick", self.seconds_per_tick, SHORTEST_TICK_S, LONGEST_TICK_S)
        check_range("patience_ticks", self.patience_ticks, 1e-6, 1e9)
        check_whole("queue_limit", self.queue_limit, 0, 1_000_000_000)
        check_range("retry_share", self.retry_share, 0.0, 1.0)
        check_range("retry_delay", self.retry_delay, 1e-3, 1e6)
        check_range("collapsed_health", self.collapsed_health, 0.01, 1.0)
        check_range("recovery", self.recovery, 0.0, 1.0)
        self._check_together()

    def _check_together(self) -> None:
        if not self.timeout_s > self.unloaded_latency_s:
            unloaded = f"unloaded_latency_s = {self.unloaded_latency_s:g}"
            raise InputError(f"timeout_s must be above {unloaded}, got {self.timeout_s!r}; raise it")
        if self.max_servers == 0 and not self.hard_cap:
            raise InputError(
                "max_servers must be at least 1, got 0: servers that can never start serve nobody; raise it"
            )
        if not (self.collapse_load == 0.0 or 1.0 <= self.collapse_load <= 1e9):
            raise InputError(f"collapse_load must be 0 (never) or at least 1, got {self.collapse_load!r}")
        most_events = self.service_rate * self.max_servers
        if self.is_event_by_event and most_events > MOST_EVENTS:
            raise InputError(
                f"is_event_by_event: {most_events:g} services a tick are more than {MOST_EVENTS:g}; "
                "lower service_rate or max_servers, or set it to False"
            )


def ticks_to_quota(params: ServerParams, changes: Sequence[int]) -> int:
    """Ticks before the opening that suffice to have ``max_servers`` at the opening.

    The largest of ``changes`` is ordered a tick, from ``start_servers`` on; ``lag`` and ``drain_ticks`` are included.
    """
    largest = max(changes, default=0)
    orders = -(-(params.max_servers - params.start_servers) // largest) if largest > 0 else 0
    return params.lag + params.drain_ticks + orders


def check_pre_opening(ticks: int, params: ServerParams, changes: Sequence[int]) -> None:
    """InputError unless ``ticks`` before the opening are none, or enough to reach the quota."""
    needed = ticks_to_quota(params, changes)
    if 0 < ticks < needed:
        raise InputError(
            f"pre_opening: {ticks} ticks before the opening are too few: the quota of {params.max_servers} servers "
            f"takes {needed} (lag {params.lag}, drain_ticks {params.drain_ticks}, and orders from "
            f"{params.start_servers} on); set 0, or {needed} and more"
        )


MOST_EVENTS = 1e5
ServerArguments = arguments_type(ServerParams, __name__)


class ServerState(NamedTuple):
    """Memory of the pool of one tile."""

    ordered: NDArray[np.int64]  # lane; level last ordered, servers
    orders: NDArray[np.int64]  # tick modulo (lag + drain_ticks + 1), lane; level ordered by the end of that tick
    health: NDArray[np.float64]  # lane; factor on the capacity, 0 .. 1


class ServerFlow(NamedTuple):
    """What this part makes in a tick."""

    in_force: NDArray[np.int64]  # lane; servers
    billed: NDArray[np.int64]  # lane; servers
    capacity: NDArray[np.float64]  # lane; mean visits that can be completed, a tick
    infeasible: NDArray[np.int64]  # lane; orders that had to be brought within the limits


def make_server_state(tiles: int, lanes: int, params: ServerParams) -> ServerState:
    """Allocate the state of ``tiles`` tiles (first axis)."""
    state = allocate(ServerState, (tiles, lanes), orders=(tiles, params.lag + params.drain_ticks + 1, lanes))
    state.health.fill(1.0)
    return state


def make_server_flow(lanes: int) -> ServerFlow:
    """Allocate the flow of one tile."""
    return allocate(ServerFlow, (lanes,))


@compiled_inside
def server_tile(state: ServerState, tile: int) -> ServerState:
    """View of one tile."""
    return ServerState(state.ordered[tile], state.orders[tile], state.health[tile])


@compiled
def clear_servers(params: ServerParams, state: ServerState, opening: NDArray[np.bool_]) -> None:
    """Set the state to the start of a sale in every lane of ``opening``."""
    for lane in range(opening.shape[0]):
        if opening[lane]:
            state.ordered[lane] = params.start_servers
            state.orders[:, lane] = params.start_servers
            state.health[lane] = 1.0


@compiled_inline
def level_at(orders: NDArray[np.int64], ordered: int, lane: int, now: int, tick: int, lag: int) -> int:
    """Servers in force in ``tick``, failures aside, if nothing is ordered from the tick ``now`` on.

    ``orders`` (tick modulo ring, lane), ``ordered`` the level last ordered.
    """
    ring = orders.shape[0]
    level = 0
    for ordered_at in range(tick - ring + 1, tick - lag + 1):
        level = max(level, orders[ordered_at % ring, lane] if ordered_at < now else ordered)
    return level


@compiled
def order(
    params: ServerParams,
    state: ServerState,
    availability: NDArray[np.float64],
    tick: NDArray[np.int64],
    change: NDArray[np.int64],
    flow: ServerFlow,
) -> None:
    """Order ``change`` servers more (lane), within limits; ``availability`` (lane) is the share of the pool that works.

    Writes state.ordered, state.orders and ``flow``.
    """
    ring = state.orders.shape[0]
    for lane in range(tick.shape[0]):
        wanted = state.ordered[lane] + change[lane]
        level = min(max(wanted, params.min_servers), params.max_servers)
        flow.infeasible[lane] = np.int64(level != wanted)
        state.ordered[lane] = level
        state.orders[tick[lane] % ring, lane] = level
        present = level_at(state.orders, level, lane, tick[lane] + 1, tick[lane], params.lag)
        share = availability[lane]
        flow.billed[lane] = present
        flow.in_force[lane] = present if share == 1.0 else np.int64(np.floor(share * np.float64(present)))
        flow.capacity[lane] = params.service_rate * np.float64(flow.in_force[lane]) * state.health[lane]
    if params.pays_while_booting:
        for slot in range(ring):
            for lane in range(tick.shape[0]):
                flow.billed[lane] = max(flow.billed[lane], state.orders[slot, lane])


@compiled
def wear(params: ServerParams, state: ServerState, load: NDArray[np.float64]) -> None:
    """Let the pool collapse where ``load`` (lane; a multiple of the capacity) was too high, else recover."""
    if params.collapse_load > 0.0:
        for lane in range(load.shape[0]):
            better = state.health[lane] + params.recovery * (1.0 - state.health[lane])
            state.health[lane] = params.collapsed_health if load[lane] > params.collapse_load else better
