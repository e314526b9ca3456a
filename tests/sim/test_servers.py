"""Servers: waits as in M/M/c, time-outs and impatience as stated, capacity shared out fairly and in full."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from flashsim.sim.parameters import as_arguments
from flashsim.sim.samplers import make_workspace
from flashsim.sim.servers import (
    ServerArguments,
    ServerFlow,
    ServerParams,
    ServerState,
    make_server_flow,
    make_server_state,
    ration,
    serve,
    serve_hard_cap,
    server_tile,
)

LANES = 4000
PATIENT = ServerParams(unloaded_latency_s=0.0, timeout_s=1e6, latency_sensitivity=0.0)


def served(
    params: ServerParams, *, servers: int, arrivals: NDArray[np.int64], backlog: int = 0, lanes: int = LANES
) -> tuple[ServerFlow, ServerState]:
    """One tick of ``lanes`` pools in which ``arrivals`` (segment) come."""
    segments = arrivals.size
    state = server_tile(make_server_state(1, lanes, lag=params.lag, segments=segments), 0)
    state.backlog[0] = backlog
    flow = make_server_flow(segments, lanes)
    flow.in_force[:] = servers
    keys = np.random.default_rng(0).integers(0, 2**63, lanes).astype(np.uint64)
    people = np.ascontiguousarray(np.broadcast_to(arrivals[:, None], (segments, lanes)))
    arguments = as_arguments(params, ServerArguments)
    serve(arguments, state, people, np.zeros_like(people), keys, flow, make_workspace(lanes))
    return flow, state


@pytest.mark.parametrize(
    ("servers", "load", "wait"),
    [
        (1, 0.5, 1.000000),
        (2, 1, 0.366151),
        (3, 2, 0.476464),
        (5, 4, 0.577037),
        (10, 8, 0.219448),
        (20, 16, 0.073587),
        (50, 45, 0.076676),
        (100, 90, 0.024855),
    ],
)
def test_the_wait_is_sakasegawas_where_a_tick_holds_very_many_services(servers: int, load: float, wait: float) -> None:
    """In service times; the table of M/M/c approximations, four of whose digits a tick of 10^6 services keeps."""
    rate = 1_000_000.0
    flow, _ = served(
        replace(PATIENT, service_rate=rate), servers=servers, arrivals=np.array([int(load * rate)]), lanes=1
    )
    assert flow.wait_s[0] / 60.0 * rate == pytest.approx(wait, rel=2e-4)
    assert flow.utilization[0] == pytest.approx(load / servers, rel=1e-6)


def test_the_wait_is_continuous_and_grows_through_full_load() -> None:
    waits = [
        served(replace(PATIENT, service_rate=20.0), servers=10, arrivals=np.array([people]))[0].wait_s.mean()
        for people in range(100, 300, 2)
    ]
    steps = np.diff(waits)
    assert (steps > 0.0).all()
    assert steps.max() < 0.5  # seconds for each two visits more; the sharpest step lies at full load


@given(
    waiting=st.lists(st.integers(0, 500), min_size=1, max_size=6),
    limit=st.integers(0, 2000),
    uniform=st.floats(2.0**-53, 1.0 - 2.0**-53),
)
def test_capacity_is_shared_out_to_the_last_service(waiting: list[int], limit: int, uniform: float) -> None:
    flow = make_server_flow(len(waiting), 1)
    flow.waiting[:, 0] = waiting
    ration(flow, np.array([limit]), np.array([uniform]))
    assert flow.served.sum() == min(limit, sum(waiting))
    np.testing.assert_array_equal(flow.served[:, 0] + flow.waiting[:, 0], waiting)
    assert min(flow.served.min(), flow.waiting.min()) >= 0
    share = limit / max(sum(waiting), 1)
    assert (np.abs(flow.served[:, 0] - np.minimum(1.0, share) * np.array(waiting)) <= 1.0 + 1e-9).all()


def test_every_segment_gets_its_proportional_mean() -> None:
    lanes, waiting = 20_000, np.array([3, 0, 10, 7])
    flow = make_server_flow(4, lanes)
    flow.waiting[:] = waiting[:, None]
    ration(flow, np.full(lanes, 9), (np.arange(lanes) + 0.5) / lanes)
    np.testing.assert_allclose(flow.served.mean(axis=1), waiting * 9 / 20, atol=2.0 / lanes)


def test_visits_time_out_with_the_tail_of_an_exponential_wait() -> None:
    params = replace(PATIENT, service_rate=20.0, timeout_s=8.0, unloaded_latency_s=0.5)
    flow, _ = served(params, servers=5, arrivals=np.array([60, 36]))
    answered = flow.served.sum(axis=0) + flow.errors
    expected = answered * np.exp(-7.5 / flow.wait_s)
    deviation = np.sqrt((expected * (1.0 - np.exp(-7.5 / flow.wait_s))).sum())
    assert abs(flow.errors.sum() - expected.sum()) < 4.0 * deviation
    assert expected.sum() > 1000.0


def test_those_who_are_not_served_give_up_at_the_rate_of_their_patience() -> None:
    params = replace(PATIENT, service_rate=10.0, patience_ticks=2.0)
    flow, state = served(params, servers=2, arrivals=np.array([60, 40]), backlog=30)
    left_over = 130 - flow.served.sum(axis=0) - flow.errors
    share = 1.0 - np.exp(-0.5)
    deviation = np.sqrt(left_over.sum() * share * (1.0 - share))
    assert abs(flow.abandoned.sum() - share * left_over.sum()) < 4.0 * deviation
    np.testing.assert_array_equal(flow.abandoned + state.backlog.sum(axis=0), left_over)


def test_services_that_can_be_completed_are_poisson() -> None:
    flow, _ = served(replace(PATIENT, service_rate=7.0), servers=3, arrivals=np.array([0]), lanes=20_000)
    assert flow.capacity.mean() == pytest.approx(21.0, abs=4.0 * np.sqrt(21.0 / 20_000))
    assert flow.capacity.var() == pytest.approx(21.0, rel=0.05)


def test_waiting_lowers_purchase_weights_by_its_sensitivity() -> None:
    params = replace(PATIENT, service_rate=20.0, latency_sensitivity=0.07)
    flow, _ = served(params, servers=5, arrivals=np.array([99]))
    np.testing.assert_allclose(flow.attraction, np.exp(-0.07 * flow.endured_s), rtol=1e-12)


def test_without_servers_everybody_waits() -> None:
    flow, state = served(replace(PATIENT, min_servers=0), servers=0, arrivals=np.array([50]))
    assert not flow.served.any()
    assert np.isfinite(flow.wait_s).all()
    np.testing.assert_array_equal(flow.abandoned + state.backlog.sum(axis=0), 50)


@pytest.mark.parametrize(("rate", "servers", "people", "expected"), [(3.0, 2, 9, 6), (2.5, 3, 9, 7), (3.0, 0, 9, 0)])
def test_a_hard_cap_serves_a_fixed_number(rate: float, servers: int, people: int, expected: int) -> None:
    params = as_arguments(replace(PATIENT, service_rate=rate, hard_cap=True), ServerArguments)
    flow = make_server_flow(1, 1)
    flow.in_force[:] = servers
    serve_hard_cap(params, np.array([[people]]), np.array([[0]]), flow)
    assert (flow.served[0, 0], flow.abandoned[0]) == (expected, people - expected)
    assert (flow.wait_s[0], flow.attraction[0], flow.errors[0]) == (0.0, 1.0, 0)


def test_nobody_waits_longer_than_to_the_time_out() -> None:
    params = replace(PATIENT, service_rate=20.0, timeout_s=8.0, unloaded_latency_s=0.5)
    flow, _ = served(params, servers=5, arrivals=np.array([60, 300]))
    np.testing.assert_allclose(flow.endured_s, flow.wait_s * (1.0 - np.exp(-7.5 / flow.wait_s)), rtol=1e-12)
    assert (flow.wait_s > 7.5).any()
    assert (flow.endured_s <= 7.5).all()
