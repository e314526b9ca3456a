"""The waiting room before the shop: a cap on how many visits are let in a tick, in order of arrival.

    places K = ⌊cap · κ⌋       κ: visits that the servers in force can do in a tick; an infinite cap: open doors
    let in = min(K, room + arrivals), those in the room first; the rest waits in the room
    of those still in the room from before a share 1 - e^(-1/patience) gives up in a tick

People in the room load no server and do not time out: they are told that they wait. With exponential patience this is
the queue of Erlang A in steps of a tick, with K places served in each. Within the room and among the arrivals of one
tick segments are interleaved. While the doors are open and the room is empty, nothing is drawn and nothing changes.

Source: Palm (1957), Erlang A; Garnett, Mandelbaum & Reiman (2002), M&SOM 4(3). Left out: tickets that are drawn by
lot, and people who open several windows.
"""

import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from flashsim.sim.cache import compiled, compiled_inline
from flashsim.sim.parameters import arguments_type, check_range
from flashsim.sim.rationing import draw_some, ration
from flashsim.sim.samplers import Workspace
from flashsim.sim.streams import ONLY, ROOM_ARRIVAL_ORDER, ROOM_ORDER, ROOM_PATIENCE, write_uniforms

OPEN = np.inf  # cap of open doors
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
    """Who waits before the doors of one tile."""

    room: NDArray[np.int64]  # segment, lane; people


class RoomFlow(NamedTuple):
    """What this part makes in a tick."""

    arriving: NDArray[np.int64]  # segment, lane; people at the doors, then those of them who are not let in
    entering: NDArray[np.int64]  # segment, lane; people let in
    expected: NDArray[np.float64]  # lane; how many were to be expected at the doors, then inside
    left: NDArray[np.int64]  # lane; people who gave up in the room
    places: NDArray[np.int64]  # lane; scratch: K, then what is left of it
    taken: NDArray[np.int64]  # segment, lane; scratch
    chance: NDArray[np.float64]  # lane; scratch


def make_room_state(tiles: int, lanes: int, *, segments: int) -> RoomState:
    """Allocate the state of ``tiles`` tiles (first axis)."""
    return RoomState(np.zeros((tiles, segments, lanes), np.int64))


def make_room_flow(segments: int, lanes: int) -> RoomFlow:
    """Allocate the flow of one tile."""
    shapes = dict.fromkeys(("expected", "left", "places", "chance"), (lanes,))
    arrays: list[NDArray[Any]] = [
        np.zeros(shapes.get(name, (segments, lanes)), np.float64 if name in ("chance", "expected") else np.int64)
        for name in RoomFlow._fields
    ]
    return RoomFlow(*arrays)


@compiled
def clear_room(state: RoomState, opening: NDArray[np.bool_]) -> None:
    """Empty the room in every lane of ``opening``."""
    segments, lanes = state.room.shape
    for segment in range(segments):
        for lane in range(lanes):
            if opening[lane]:
                state.room[segment, lane] = 0


@compiled
def admit(
    params: Any,
    state: RoomState,
    cap: NDArray[np.float64],
    capacity: NDArray[np.float64],
    keys: NDArray[np.uint64],
    flow: RoomFlow,
    work: Workspace,
) -> None:
    """Let people in; reads flow.arriving, ``cap`` (lane) and ``capacity`` (lane; visits a tick).

    Writes state.room, flow.entering and flow.left, brings flow.expected from the doors to the inside.
    """
    segments, lanes = flow.arriving.shape
    is_open = True
    for lane in range(lanes):
        flow.left[lane] = 0
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
            flow.expected[lane] += np.float64(state.room[segment, lane])
        flow.expected[lane] = min(places, flow.expected[lane])
    write_uniforms(keys, ROOM_ORDER, ONLY, work.uniform)
    ration(state.room, flow.places, work.uniform, flow.entering, work)
    for segment in range(segments):
        for lane in range(lanes):
            flow.places[lane] -= flow.entering[segment, lane]
    _lose_patience(params, state, keys, flow, work)
    write_uniforms(keys, ROOM_ARRIVAL_ORDER, ONLY, work.uniform)
    ration(flow.arriving, flow.places, work.uniform, flow.taken, work)
    for segment in range(segments):
        for lane in range(lanes):
            flow.entering[segment, lane] += flow.taken[segment, lane]
            state.room[segment, lane] += flow.arriving[segment, lane]


@compiled_inline
def _lose_patience(params: Any, state: RoomState, keys: NDArray[np.uint64], flow: RoomFlow, work: Workspace) -> None:
    """Let some of those still in the room give up; writes state.room and flow.left."""
    leaving = 1.0 - math.exp(-1.0 / params.room_patience)
    for lane in range(flow.chance.shape[0]):
        flow.chance[lane] = leaving
    draw_some(state.room, flow.chance, ROOM_PATIENCE, keys, flow.taken, flow.left, work)


@compiled
def close_room(state: RoomState, closing: NDArray[np.bool_], flow: RoomFlow) -> None:
    """Where the sale closes, those in the room leave: they join flow.left."""
    segments, lanes = state.room.shape
    for segment in range(segments):
        for lane in range(lanes):
            if closing[lane]:
                flow.left[lane] += state.room[segment, lane]
                state.room[segment, lane] = 0
