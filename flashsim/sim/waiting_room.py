"""The waiting room before the shop: a cap on how many visits are let in a tick, in order of arrival.

    places K = ⌊cap · κ⌋       κ: visits that the servers in force can do in a tick; an infinite cap: no limit
    let in = min(K, room + arrivals), those in the room first; the rest waits in the room
    of those still in the room from before a share 1 - e^(-1/patience) gives up in a tick

People in the room load no server and do not time out: they see that they wait. With exponential patience this is the
queue of Erlang A in steps of a tick, with K places served in each. Within the room and among the arrivals of one tick
segments are interleaved. While there is no cap and the room is empty, nothing is drawn and nothing changes.

Source: Palm (1957), Erlang A; Garnett, Mandelbaum & Reiman (2002), M&SOM 4(3). Left out: tickets that are drawn by
lot, and people who open several windows.
"""

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from flashsim.sim.arrays import allocate
from flashsim.sim.cache import compiled, compiled_inline, compiled_inside
from flashsim.sim.parameters import arguments_type, check_range
from flashsim.sim.rationing import draw_some, ration
from flashsim.sim.samplers import Workspace
from flashsim.sim.streams import ONLY, ROOM_ARRIVAL_ORDER, ROOM_ORDER, ROOM_PATIENCE, write_uniforms

OPEN = np.inf  # the cap that lets everybody in
_MOST_PLACES = 1e15  # so that an infinite cap is a whole number of places


@dataclass(frozen=True)
class WaitingRoomParams:
    """How long people stay in the waiting room."""

    room_patience: float = 5.0
    """Mean patience of those who see how long they will wait, ticks; an assumption: some minutes."""

    def __post_init__(self) -> None:
        check_range("room_patience", self.room_patience, 1e-6, 1e9)


WaitingRoomArguments = arguments_type(WaitingRoomParams, __name__)


class RoomState(NamedTuple):
    """Who waits in the waiting rooms of one tile."""

    room: NDArray[np.int64]  # segment, lane; people


class RoomFlow(NamedTuple):
    """What this part makes in a tick."""

    arriving: NDArray[np.int64]  # segment, lane; people who come to the waiting room, whatever for
    expected_arrivals: NDArray[np.float64]  # lane; how many were to be expected
    entering: NDArray[np.int64]  # segment, lane; people let into the shop
    expected_entries: NDArray[np.float64]  # lane; how many were to be expected
    abandoned: NDArray[np.int64]  # lane; people who gave up in the room
    dismissed: NDArray[np.int64]  # lane; those of abandoned who still waited when the sale closed
    # Scratch
    places: NDArray[np.int64]  # lane; K
    free_places: NDArray[np.int64]  # lane; those that people in the room do not take
    leave_chance: NDArray[np.float64]  # lane; that somebody who stays in the room gives up in this tick
    leaving: NDArray[np.int64]  # segment, lane; people in the room who give up
    not_admitted: NDArray[np.int64]  # segment, lane; of those arriving, who have to wait
    admitted: NDArray[np.int64]  # segment, lane; of those arriving, who are let in at once


def make_room_state(tiles: int, lanes: int, *, segments: int) -> RoomState:
    """Allocate the state of ``tiles`` tiles (first axis)."""
    return allocate(RoomState, (tiles, segments, lanes))


def make_room_flow(segments: int, lanes: int) -> RoomFlow:
    """Allocate the flow of one tile."""
    names = ("arriving", "entering", "leaving", "not_admitted", "admitted")
    return allocate(RoomFlow, (lanes,), **dict.fromkeys(names, (segments, lanes)))


@compiled_inside
def room_tile(state: RoomState, tile: int) -> RoomState:
    """View of one tile."""
    return RoomState(state.room[tile])


@compiled
def clear_room(state: RoomState, opening: NDArray[np.bool_]) -> None:
    """Empty the room in every lane of ``opening``."""
    segments, lanes = state.room.shape
    for segment in range(segments):
        for lane in range(lanes):
            if opening[lane]:
                state.room[segment, lane] = 0


@compiled_inside
def gather(
    exogenous: NDArray[np.int64],
    attracted: NDArray[np.int64],
    returning: NDArray[np.int64],
    retries: NDArray[np.int64],
    expected: NDArray[np.float64],
    flow: RoomFlow,
) -> None:
    """Write flow.arriving, everybody who comes, and flow.expected_arrivals.

    New are the ``exogenous`` and ``attracted`` visitors, ``expected`` (lane) of whom were to be expected; those
    ``returning`` for a deeper discount and the ``retries`` of failed visits were all to be expected. (segment, lane)
    """
    segments, lanes = flow.arriving.shape
    for lane in range(lanes):
        flow.expected_arrivals[lane] = expected[lane]
    for segment in range(segments):
        for lane in range(lanes):
            again = returning[segment, lane] + retries[segment, lane]
            new = exogenous[segment, lane] + attracted[segment, lane]
            flow.arriving[segment, lane] = new + again
            flow.expected_arrivals[lane] += np.float64(again)


@compiled
def admit(
    params: WaitingRoomParams,
    state: RoomState,
    cap: NDArray[np.float64],
    capacity: NDArray[np.float64],
    keys: NDArray[np.uint64],
    flow: RoomFlow,
    work: Workspace,
) -> None:
    """Let people in; reads flow.arriving and expected_arrivals, ``cap`` (lane) and ``capacity`` (lane; visits a tick).

    Writes state.room; flow.entering, expected_entries and abandoned; nobody is dismissed yet.
    """
    segments, lanes = flow.arriving.shape
    is_open = True
    for lane in range(lanes):
        flow.abandoned[lane], flow.dismissed[lane] = 0, 0
        flow.expected_entries[lane] = flow.expected_arrivals[lane]
        is_open &= cap[lane] == OPEN
        for segment in range(segments):
            is_open &= state.room[segment, lane] == 0
    if is_open:
        for segment in range(segments):
            for lane in range(lanes):
                flow.entering[segment, lane] = flow.arriving[segment, lane]
        return
    for lane in range(lanes):
        places = np.floor(min(cap[lane] * max(capacity[lane], 1e-9), _MOST_PLACES))
        flow.places[lane] = np.int64(places)
        for segment in range(segments):
            flow.expected_entries[lane] += np.float64(state.room[segment, lane])
        flow.expected_entries[lane] = min(places, flow.expected_entries[lane])
    write_uniforms(keys, ROOM_ORDER, ONLY, work.uniform)
    ration(state.room, flow.places, work.uniform, flow.entering, work)
    _lose_patience(params, state, keys, flow, work)
    _admit_arriving(state, keys, flow, work)


@compiled_inline
def _lose_patience(
    params: WaitingRoomParams, state: RoomState, keys: NDArray[np.uint64], flow: RoomFlow, work: Workspace
) -> None:
    """Let some of those still in the room give up; writes state.room and flow.abandoned."""
    chance = 1.0 - math.exp(-1.0 / params.room_patience)
    for lane in range(flow.leave_chance.shape[0]):
        flow.leave_chance[lane] = chance
    draw_some(state.room, flow.leave_chance, ROOM_PATIENCE, keys, flow.leaving, flow.abandoned, work)


@compiled_inline
def _admit_arriving(state: RoomState, keys: NDArray[np.uint64], flow: RoomFlow, work: Workspace) -> None:
    """Add those of flow.arriving for whom there are places left to flow.entering, the others to state.room."""
    segments, lanes = flow.arriving.shape
    for lane in range(lanes):
        flow.free_places[lane] = flow.places[lane]
    for segment in range(segments):
        for lane in range(lanes):
            flow.free_places[lane] -= flow.entering[segment, lane]
            flow.not_admitted[segment, lane] = flow.arriving[segment, lane]
    write_uniforms(keys, ROOM_ARRIVAL_ORDER, ONLY, work.uniform)
    ration(flow.not_admitted, flow.free_places, work.uniform, flow.admitted, work)
    for segment in range(segments):
        for lane in range(lanes):
            flow.entering[segment, lane] += flow.admitted[segment, lane]
            state.room[segment, lane] += flow.not_admitted[segment, lane]


@compiled
def close_room(state: RoomState, closing: NDArray[np.bool_], flow: RoomFlow) -> None:
    """Where the sale closes, those in the room leave: they join flow.abandoned and dismissed."""
    segments, lanes = state.room.shape
    for segment in range(segments):
        for lane in range(lanes):
            if closing[lane]:
                flow.abandoned[lane] += state.room[segment, lane]
                flow.dismissed[lane] += state.room[segment, lane]
                state.room[segment, lane] = 0
