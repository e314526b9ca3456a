"""Sharing out places: all of them are taken, evenly, and every segment has its proportional mean."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from flashsim.sim.rationing import ration
from flashsim.sim.samplers import make_workspace


def shared(
    waiting: NDArray[np.int64], limit: NDArray[np.int64], uniform: NDArray[np.float64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Those taken and those left of ``waiting`` (segment, lane)."""
    left, taken = waiting.copy(), np.zeros_like(waiting)
    ration(left, limit, uniform, taken, make_workspace(limit.size))
    return taken, left


@given(
    waiting=st.lists(st.integers(0, 500), min_size=1, max_size=6),
    limit=st.integers(0, 2000),
    uniform=st.floats(2.0**-53, 1.0 - 2.0**-53),
)
def test_places_are_shared_out_evenly_to_the_last_one(waiting: list[int], limit: int, uniform: float) -> None:
    people = np.array(waiting)[:, None]
    taken, left = shared(people, np.array([limit]), np.array([uniform]))
    assert taken.sum() == min(limit, sum(waiting))
    np.testing.assert_array_equal(taken + left, people)
    assert min(taken.min(), left.min()) >= 0
    share = min(1.0, limit / max(sum(waiting), 1))
    assert (np.abs(taken - share * people) <= 1.0 + 1e-9).all()


def test_every_segment_gets_its_proportional_mean() -> None:
    lanes, waiting = 20_000, np.array([3, 0, 10, 7])
    people = np.repeat(waiting[:, None], lanes, axis=1)
    taken, _ = shared(people, np.full(lanes, 9), (np.arange(lanes) + 0.5) / lanes)
    np.testing.assert_allclose(taken.mean(axis=1), waiting * 9 / 20, atol=2.0 / lanes)


@given(
    waiting=st.lists(st.integers(0, 50), min_size=1, max_size=6),
    limit=st.integers(0, 200),
    uniform=st.floats(2.0**-53, 1.0 - 2.0**-53),
)
def test_one_place_more_serves_one_person_more(waiting: list[int], limit: int, uniform: float) -> None:
    """In total; within a segment the systematic sample may shift, but never by more than a place."""
    people = np.repeat(np.array(waiting)[:, None], 2, axis=1)
    taken, _ = shared(people, np.array([limit, limit + 1]), np.full(2, uniform))
    assert taken[:, 1].sum() - taken[:, 0].sum() == int(limit < sum(waiting))
    assert (taken[:, 1] >= taken[:, 0] - 1).all()


def test_with_a_place_for_everybody_all_are_taken() -> None:
    people = np.array([[4, 4, 0], [3, 3, 0]])
    taken, left = shared(people, np.array([7, 2**60, 3]), np.array([0.01, 0.5, 0.99]))
    np.testing.assert_array_equal(taken, people)
    assert not left.any()
