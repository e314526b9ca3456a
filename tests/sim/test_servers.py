"""The pool: orders come after their lag and go later by the drain, what is billed, collapse and recovery."""

from dataclasses import replace
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from flashsim.sim.parameters import as_arguments
from flashsim.sim.servers import (
    ServerArguments,
    ServerParams,
    ServerState,
    clear_servers,
    level_at,
    make_server_flow,
    make_server_state,
    order,
    wear,
)
from tests.sim.tiles import first_tile

POOL = ServerParams(start_servers=5, min_servers=1, max_servers=12, lag=3)


def opened(params: ServerParams, lanes: int = 1) -> ServerState:
    state = first_tile(make_server_state(1, lanes, params))
    clear_servers(as_arguments(params, ServerArguments), state, np.ones(lanes, np.bool_))
    return state


class Path(NamedTuple):
    """What happened in each tick."""

    in_force: list[int]
    billed: list[int]
    capacity: list[float]
    infeasible: list[int]


def ordered(params: ServerParams, changes: list[int], *, availability: NDArray[np.float64] | None = None) -> Path:
    """The pool when ``changes`` are ordered tick by tick."""
    arguments, state, flow = as_arguments(params, ServerArguments), opened(params), make_server_flow(1)
    available = np.ones(len(changes)) if availability is None else availability
    path = Path([], [], [], [])
    for tick, change in enumerate(changes):
        order(arguments, state, available[tick : tick + 1], np.array([tick]), np.array([change]), flow)
        path.in_force.append(int(flow.in_force[0]))
        path.billed.append(int(flow.billed[0]))
        path.capacity.append(float(flow.capacity[0]))
        path.infeasible.append(int(flow.infeasible[0]))
    return path


def levels_by_hand(params: ServerParams, changes: list[int]) -> list[int]:
    """The level in force in each tick, from the equation: the most of the orders of lag to lag + drain ticks ago."""
    level = params.start_servers
    orders = [level] * (params.lag + params.drain_ticks)
    for change in changes:
        level = min(max(level + change, params.min_servers), params.max_servers)
        orders.append(level)
    return [max(orders[now : now + params.drain_ticks + 1]) for now in range(len(changes))]


def test_an_order_comes_into_force_after_its_lag() -> None:
    assert ordered(POOL, [2, 0, 0, -3, 0, 0, 0, 0]).in_force == [5, 5, 5, 7, 7, 7, 4, 4]
    assert ordered(replace(POOL, lag=0), [2, 0, -3]).in_force == [7, 7, 4]


def test_servers_go_later_than_they_come_by_the_drain() -> None:
    path = ordered(replace(POOL, lag=1, drain_ticks=2), [3, 0, -4, 0, 0, 0, 0])
    assert path.in_force == [5, 8, 8, 8, 8, 4, 4]


@given(
    changes=st.lists(st.integers(-4, 4), min_size=1, max_size=20),
    lag=st.integers(0, 4),
    drain=st.integers(0, 4),
)
def test_levels_are_those_of_the_equation(changes: list[int], lag: int, drain: int) -> None:
    params = replace(POOL, lag=lag, drain_ticks=drain)
    assert ordered(params, changes).in_force == levels_by_hand(params, changes)


@given(
    changes=st.lists(st.integers(-4, 4), min_size=1, max_size=15),
    lag=st.integers(0, 4),
    drain=st.integers(0, 4),
    now=st.integers(0, 14),
)
def test_levels_ahead_are_those_that_come_if_nothing_more_is_ordered(
    changes: list[int], lag: int, drain: int, now: int
) -> None:
    """Known beforehand in tick ``now``: orders up to now - 1 stand, the rest of the time nothing is ordered."""
    params = replace(POOL, lag=lag, drain_ticks=drain)
    arguments, state, flow = as_arguments(params, ServerArguments), opened(params), make_server_flow(1)
    stays = [*changes[:now], *[0] * 12]
    for tick, change in enumerate(changes[:now]):
        order(arguments, state, np.ones(1), np.array([tick]), np.array([change]), flow)
    first = min(now, len(changes))
    truth = levels_by_hand(params, stays)
    level = getattr(level_at, "py_func", level_at)
    for ahead in range(10):
        assert level(state.orders, state.ordered[0], 0, first, first + ahead, lag) == truth[first + ahead]


def test_a_server_is_paid_from_its_order_until_it_is_gone() -> None:
    params = replace(POOL, drain_ticks=1, lag=2)
    path = ordered(params, [3, 0, 0, -5, 0, 0, 0, 0])
    assert path.in_force == [5, 5, 8, 8, 8, 8, 3, 3]
    assert path.billed == [8, 8, 8, 8, 8, 8, 3, 3]
    in_force_only = ordered(replace(params, pays_while_booting=False), [3, 0, 0, -5, 0, 0, 0, 0])
    assert in_force_only.billed == in_force_only.in_force


def test_orders_are_brought_within_limits_and_counted() -> None:
    path = ordered(replace(POOL, lag=0), [9, -3, -20, 0])
    assert path.in_force == [12, 9, 1, 1]
    assert path.infeasible == [1, 0, 1, 0]


def test_a_failed_share_of_the_pool_does_no_work_and_is_paid_all_the_same() -> None:
    path = ordered(POOL, [0, 0, 0, 0], availability=np.array([1.0, 0.5, 0.0, 1.0]))
    assert path.in_force == [5, 2, 0, 5]
    assert path.billed == [5, 5, 5, 5]
    assert path.capacity == [100.0, 40.0, 0.0, 100.0]


def test_a_pool_collapses_above_its_load_and_recovers_by_its_share() -> None:
    params = replace(POOL, collapse_load=2.0, collapsed_health=0.4, recovery=0.5)
    state, health = opened(params, lanes=2), []
    for load in ([2.0, 2.1], [0.5, 0.5], [0.5, 9.0], [0.5, 0.5], [0.5, 0.5]):
        wear(as_arguments(params, ServerArguments), state, np.array(load))
        health.append(state.health.tolist())
    np.testing.assert_allclose(health, [[1.0, 0.4], [1.0, 0.7], [1.0, 0.4], [1.0, 0.7], [1.0, 0.85]], rtol=1e-12)


def test_health_is_a_factor_on_the_capacity() -> None:
    state, flow = opened(POOL), make_server_flow(1)
    state.health[0] = 0.3
    order(
        as_arguments(POOL, ServerArguments),
        state,
        np.ones(1),
        np.zeros(1, np.int64),
        np.zeros(1, np.int64),
        flow,
    )
    assert (flow.in_force[0], flow.capacity[0]) == (5, pytest.approx(30.0))


def test_without_a_collapse_load_nothing_wears() -> None:
    state = opened(POOL)
    wear(as_arguments(POOL, ServerArguments), state, np.array([1e9]))
    assert state.health[0] == 1.0


def test_opening_a_lane_leaves_the_others_as_they_are() -> None:
    state = opened(POOL, lanes=2)
    state.ordered[:], state.health[:] = 9, 0.5
    state.orders[:] = 9
    clear_servers(as_arguments(POOL, ServerArguments), state, np.array([True, False]))
    assert state.ordered.tolist() == [5, 9]
    assert state.orders[0].tolist() == [5, 9]
    assert state.health.tolist() == [1.0, 0.5]
