"""The waiting room: places in order of arrival, and exactly the Markov chain of a queue with patience, tick by tick."""

from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats

from flashsim.sim.parameters import as_arguments
from flashsim.sim.samplers import make_workspace
from flashsim.sim.streams import write_tick_keys
from flashsim.sim.waiting_room import (
    OPEN,
    RoomFlow,
    RoomState,
    WaitingRoomArguments,
    WaitingRoomParams,
    admit,
    clear_room,
    close_room,
    make_room_flow,
    make_room_state,
)


class Room(NamedTuple):
    """The waiting room of ``lanes`` sales."""

    params: WaitingRoomParams
    state: RoomState
    flow: RoomFlow
    keys: NDArray[np.uint64]

    @classmethod
    def of(cls, waiting: NDArray[np.int64], *, patience: float = 5.0) -> "Room":
        """With those ``waiting`` (segment, lane) in it."""
        segments, lanes = waiting.shape
        state = RoomState(make_room_state(1, lanes, segments=segments).room[0])
        state.room[:] = waiting
        keys = np.random.default_rng(3).integers(0, 2**63, lanes, np.uint64)
        return cls(WaitingRoomParams(room_patience=patience), state, make_room_flow(segments, lanes), keys)

    def admit(self, arriving: NDArray[np.int64], *, cap: float, capacity: float = 1.0, tick: int = 0) -> None:
        """One tick in which ``arriving`` (segment, lane) come."""
        lanes = self.keys.size
        self.flow.arriving[:] = arriving
        self.flow.expected_arrivals[:] = arriving.sum(axis=0)
        now = np.zeros(lanes, np.uint64)
        write_tick_keys(self.keys, np.full(lanes, tick), now)
        arguments = as_arguments(self.params, WaitingRoomArguments)
        caps, capacities = np.full(lanes, cap), np.full(lanes, capacity)
        admit(arguments, self.state, caps, capacities, now, self.flow, make_workspace(lanes))


def exact_chain(places: int, rate: float, *, patience: float, largest: int) -> tuple[float, float]:
    """Stationary mean room and share of people who give up, from the chain of the module's equations.

    Of R in the room ``places`` are let in first, of the rest each stays with probability e^(-1/patience), then those
    who come take what is left of the places.
    """
    stay = np.exp(-1.0 / patience)
    chain = np.zeros((largest + 1, largest + 1))
    come = stats.poisson.pmf(np.arange(largest + 1), rate)
    for room in range(largest + 1):
        if room < places:  # the first of those who come take the places left
            free = places - room
            chain[room, 0] = come[: free + 1].sum()
            chain[room, 1 : largest + 1 - free] = come[free + 1 :]
        else:
            staying = stats.binom.pmf(np.arange(room - places + 1), room - places, stay)
            chain[room] = np.convolve(staying, come)[: largest + 1]
        chain[room, -1] += 1.0 - chain[room].sum()
    equations = np.vstack([chain.T - np.eye(largest + 1), np.ones(largest + 1)])
    share = np.linalg.lstsq(equations, np.eye(largest + 2)[-1], rcond=None)[0]
    assert share[-1] < 1e-9, "the chain is cut off where somebody still is"
    rooms = np.arange(largest + 1)
    gone = (share * np.maximum(rooms - places, 0)).sum() * (1.0 - stay)
    return float(share @ rooms), float(gone / rate)


@pytest.mark.parametrize(
    ("places", "rates", "patience"),
    [(20, (12.0, 6.0), 5.0), (20, (11.0, 11.0), 5.0), (10, (15.0,), 2.0), (3, (1.0, 2.0, 1.0), 20.0)],
)
def test_room_and_impatience_are_those_of_the_exact_markov_chain(
    places: int, rates: tuple[float, ...], patience: float
) -> None:
    """Underload, overload, impatient and patient people; 1500 rooms over 200 ticks, 4 standard errors."""
    lanes, warm, ticks = 1500, 150, 200
    room = Room.of(np.zeros((len(rates), lanes), np.int64), patience=patience)
    rng, waiting, gone = np.random.default_rng(5), np.zeros(lanes), np.zeros(lanes)
    for tick in range(warm + ticks):
        room.admit(rng.poisson(rates, (lanes, len(rates))).T, cap=float(places), tick=tick)
        if tick >= warm:
            waiting += room.state.room.sum(axis=0) / ticks
            gone += room.flow.abandoned / ticks / sum(rates)
    largest = int(6 * sum(rates) + 4 * patience * max(sum(rates) - places, 1.0) + 60)
    truth = exact_chain(places, sum(rates), patience=patience, largest=largest)
    for seen, expected in zip((waiting, gone), truth, strict=True):
        assert abs(seen.mean() - expected) <= 4.0 * seen.std(ddof=1) / np.sqrt(lanes), (seen.mean(), expected)


@given(
    waiting=st.lists(st.integers(0, 60), min_size=1, max_size=4),
    coming=st.integers(0, 60),
    cap=st.sampled_from([0.0, 0.3, 1.0, 1.5, OPEN]),
    capacity=st.sampled_from([0.0, 10.5, 1e6]),
    seed=st.integers(0, 1000),
)
def test_nobody_is_lost_and_those_in_the_room_go_first(
    waiting: list[int], coming: int, cap: float, capacity: float, seed: int
) -> None:
    before = np.array(waiting)[:, None]
    arriving = np.full_like(before, coming)
    room = Room.of(before)
    room.admit(arriving, cap=cap, capacity=capacity, tick=seed)
    entering, left, after = room.flow.entering, room.flow.abandoned[0], room.state.room
    assert min(entering.min(), left, after.min()) >= 0
    assert entering.sum() + left + after.sum() == before.sum() + arriving.sum()
    places = np.floor(min(cap * capacity, 1e15)) if np.isfinite(cap) else 1e15
    assert entering.sum() == min(places, before.sum() + arriving.sum())
    assert after.sum() >= max(0, arriving.sum() - max(0, places - before.sum())), "who has just come does not leave"
    assert left <= max(0, before.sum() - places)
    assert room.flow.expected_entries[0] == min(places, before.sum() + arriving.sum())


def test_without_a_cap_everybody_is_let_in_and_nothing_is_drawn() -> None:
    room = Room.of(np.zeros((2, 3), np.int64))
    arriving = np.array([[5, 0, 7], [1, 0, 10**7]])
    room.admit(arriving, cap=OPEN, capacity=0.0)
    np.testing.assert_array_equal(room.flow.entering, arriving)
    np.testing.assert_array_equal(room.flow.expected_entries, arriving.sum(axis=0))
    assert not room.flow.abandoned.any()


def test_a_cap_that_is_lifted_empties_the_room() -> None:
    room = Room.of(np.array([[40], [2]]))
    room.admit(np.array([[3], [4]]), cap=OPEN)
    np.testing.assert_array_equal(room.flow.entering, [[43], [6]])
    assert not room.state.room.any()
    assert not room.flow.abandoned.any()


def test_without_servers_a_cap_lets_nobody_in() -> None:
    room = Room.of(np.array([[3]]))
    room.admit(np.array([[4]]), cap=1.5, capacity=0.0)
    assert not room.flow.entering.any()
    assert room.state.room[0, 0] + room.flow.abandoned[0] == 7


def test_a_lane_is_the_same_whatever_cap_another_lane_has() -> None:
    """A sale without a cap beside one with a cap takes the general way; it must come to the same."""
    capped, both = Room.of(np.array([[9], [4]])), Room.of(np.array([[9, 0], [4, 0]]))
    both.keys[0] = capped.keys[0]
    capped.admit(np.array([[5], [6]]), cap=7.0)
    now, arguments = np.zeros(2, np.uint64), as_arguments(both.params, WaitingRoomArguments)
    write_tick_keys(both.keys, np.zeros(2, np.int64), now)
    both.flow.arriving[:] = [[5, 3], [6, 2]]
    admit(arguments, both.state, np.array([7.0, OPEN]), np.ones(2), now, both.flow, make_workspace(2))
    np.testing.assert_array_equal(both.flow.entering[:, 0], capped.flow.entering[:, 0])
    np.testing.assert_array_equal(both.state.room[:, 0], capped.state.room[:, 0])
    np.testing.assert_array_equal(both.flow.entering[:, 1], [3, 2])


def test_at_the_close_those_in_the_room_leave() -> None:
    room = Room.of(np.array([[4, 4], [1, 1]]))
    room.flow.abandoned[:] = 2
    close_room(room.state, np.array([True, False]), room.flow)
    assert room.flow.abandoned.tolist() == [7, 2]
    assert room.state.room.tolist() == [[0, 4], [0, 1]]
    clear_room(room.state, np.array([False, True]))
    assert not room.state.room.any()
