"""The queue part against Erlang, Sakasegawa's table and Ciw, and the laws of waits, failures and retries."""

from dataclasses import replace
from typing import Any

import ciw
import numpy as np
import pytest
from numpy.typing import NDArray

from flashsim.sim.parameters import as_arguments
from flashsim.sim.queue_flow import QueueFlow, QueueState, dismiss, make_queue_flow, make_queue_state
from flashsim.sim.queueing import return_retries, serve
from flashsim.sim.samplers import make_workspace
from flashsim.sim.servers import ServerArguments, ServerParams
from tests.sim.played_queue import PATIENT, play_queue
from tests.sim.tiles import first_tile

LANES = 4000
TABLE = [  # servers, load, mean wait, 95 % wait, blocking in M/M/c/2c, abandonment at patience rate .5; service times
    (1, 0.5, 1.000000, 4.605170, 0.142857, 0.163953),
    (2, 1, 0.333333, 1.897120, 0.043478, 0.074579),
    (3, 2, 0.444444, 2.184802, 0.048120, 0.080678),
    (5, 4, 0.554113, 2.405345, 0.042486, 0.077969),
    (10, 8, 0.204590, 1.051066, 0.009107, 0.038821),
    (20, 16, 0.064019, 0.408365, 0.000592, 0.015892),
    (50, 45, 0.072773, 0.396952, 0.000188, 0.014722),
    (100, 90, 0.021694, 0.146760, 0.000001, 0.005686),
]


def assert_near(seen: tuple[float, float], truth: float, share: float) -> None:
    """Within ``share`` of the truth (whose table has six digits) and 4 standard errors."""
    value, error = seen
    assert abs(value - truth) <= share * truth + 4.0 * error + 1e-6, f"{value:.6f} ± {error:.6f}, expected {truth:.6f}"


@pytest.mark.parametrize(("servers", "load", "wait", "wait_95", "blocking", "abandonment"), TABLE)
@pytest.mark.parametrize("tick", [0.05, 1.0])
def test_a_queue_event_by_event_is_the_textbooks(
    tick: float, servers: int, load: float, wait: float, wait_95: float, blocking: float, abandonment: float
) -> None:
    """Waits of M/M/c, refusals of M/M/c/2c, departures of M/M/c + M, at ticks of a twentieth and of one service."""
    lanes, tolerance = (2500, 0.02) if tick == 0.05 else (4000, 0.1)
    short: dict[str, Any] = {"tick": tick, "lanes": lanes, "warm_up": 20.0, "measured": 20.0}
    endless = play_queue(servers=servers, load=load, **short)
    assert_near(endless.wait, wait, tolerance)
    assert_near(endless.little_wait, wait, tolerance)
    assert endless.wait_95 == pytest.approx(wait_95, rel=tolerance + 4.0 * endless.wait[1] / wait)
    assert_near(play_queue(servers=servers, load=load, queue_limit=1, **short).refused, blocking, tolerance)
    impatient = play_queue(servers=servers, load=load, patience_rate=0.5, **short)
    assert_near(impatient.abandoned, abandonment, tolerance)


@pytest.mark.parametrize("tick", [0.05, 1.0])
def test_overload_is_the_textbooks(tick: float) -> None:
    """M/M/10/30 at load 12; M/M/100 + M at load 100 and 200."""
    short: dict[str, Any] = {"tick": tick, "lanes": 400, "warm_up": 25.0, "measured": 25.0}
    full = play_queue(servers=10, load=12, queue_limit=2, **short)
    assert_near(full.refused, 0.168637, 0.02)
    assert_near(full.sojourn, 2.53456, 0.02)
    for load, abandonment, queue in ((100, 0.03303, 6.60603), (200, 0.5, 200.0)):
        impatient = play_queue(servers=100, load=load, patience_rate=0.5, **short)
        assert_near(impatient.abandoned, abandonment, 0.02)
        assert_near(impatient.queue, queue, 0.02)


@pytest.mark.parametrize(("servers", "load", "wait", "wait_95"), [row[:4] for row in TABLE])
@pytest.mark.parametrize(("tick", "tolerance"), [(20.0, 0.07), (100.0, 0.04)])
def test_the_law_of_a_one_minute_tick_is_near_m_m_c(
    tick: float, tolerance: float, servers: int, load: float, wait: float, wait_95: float
) -> None:
    """Twenty services a server and minute, as real scenarios have; docs/queue.md shows where shorter ticks fail."""
    played = play_queue(
        servers=servers, load=load, tick=tick, exactly=False, lanes=1000, warm_up=10 * tick, measured=20 * tick
    )
    assert_near(played.wait, wait, tolerance)
    assert played.stated_wait_95 == pytest.approx(wait_95, rel=tolerance)


def waits_of_ciw(servers: int, load: float) -> tuple[float, float]:
    """Mean wait in service times and its standard error over eight runs."""
    network = ciw.create_network(
        arrival_distributions=[ciw.dists.Exponential(rate=load)],
        service_distributions=[ciw.dists.Exponential(rate=1.0)],
        number_of_servers=[servers],
    )
    means = []
    for seed in range(8):
        ciw.seed(seed)
        simulation = ciw.Simulation(network)
        simulation.simulate_until_max_time(60.0 + 6000.0 / load)
        waits = [record.waiting_time for record in simulation.get_all_records() if record.arrival_date > 60.0]
        means.append(np.mean(waits))
    return float(np.mean(means)), float(np.std(means, ddof=1) / np.sqrt(len(means)))


@pytest.mark.parametrize(("servers", "load"), [(3, 2.4), (7, 4.2)])
def test_a_queue_event_by_event_agrees_with_ciw(servers: int, load: float) -> None:
    oracle, error = waits_of_ciw(servers, load)
    played = play_queue(servers=servers, load=load, tick=0.05, lanes=2500, warm_up=25.0, measured=25.0)
    assert abs(played.wait[0] - oracle) <= 0.02 * oracle + 4.0 * np.hypot(error, played.wait[1])


def served(
    params: ServerParams, *, servers: int, arrivals: NDArray[np.int64], backlog: int = 0, lanes: int = LANES
) -> tuple[QueueFlow, QueueState]:
    """One tick of ``lanes`` pools in which ``arrivals`` (segment) come, as many as were expected."""
    segments = arrivals.size
    state = first_tile(make_queue_state(1, lanes, segments=segments))
    state.backlog[0] = backlog
    flow = make_queue_flow(segments, lanes)
    in_force = np.full(lanes, servers)
    keys = np.random.default_rng(0).integers(0, 2**63, lanes).astype(np.uint64)
    people = np.ascontiguousarray(np.broadcast_to(arrivals[:, None], (segments, lanes)))
    arguments = as_arguments(params, ServerArguments)
    capacity, expected = params.service_rate * in_force, people.sum(axis=0).astype(np.float64)
    serve(arguments, state, in_force, capacity, people, expected, keys, flow, make_workspace(lanes))
    return flow, state


def mean_wait(flow: QueueFlow) -> NDArray[np.float64]:
    """Mean wait were there no time-outs, (lane), seconds."""
    return flow.wait_floor_s + flow.wait_chance * flow.wait_tail_s


def test_the_wait_is_continuous_and_grows_through_full_load() -> None:
    waits = [
        mean_wait(served(replace(PATIENT, service_rate=20.0), servers=10, arrivals=np.array([people]))[0]).mean()
        for people in range(100, 300, 2)
    ]
    steps = np.diff(waits)
    assert (steps > 0.0).all()
    assert steps.max() < 0.5  # seconds for each two visits more; the sharpest step lies at full load


@pytest.mark.parametrize("arrivals", [[60, 36], [90, 60]])
def test_visits_time_out_with_the_tail_of_their_wait(arrivals: list[int]) -> None:
    """Before full load and, with a floor below the limit, beyond it."""
    params = replace(PATIENT, service_rate=20.0, timeout_s=30.0, unloaded_latency_s=0.5)
    flow, _ = served(params, servers=5, arrivals=np.array(arrivals), lanes=40_000)
    answered = flow.served.sum(axis=0) + flow.errors
    late = flow.wait_chance * np.exp(-(29.5 - flow.wait_floor_s) / flow.wait_tail_s)
    late = np.where(flow.wait_floor_s >= 29.5, 1.0, late)
    expected = answered * late
    assert abs(flow.errors.sum() - expected.sum()) < 4.0 * np.sqrt((expected * (1.0 - late)).sum()) + 1e-9
    assert expected.sum() > 500.0


def test_those_who_wait_give_up_at_the_rate_of_their_patience() -> None:
    """Of those carried over 1 - e^(-1/2) in a tick, of those who come in it as many as their time in it makes."""
    params = replace(PATIENT, service_rate=10.0, patience_ticks=2.0)
    flow, state = served(params, servers=2, arrivals=np.array([60, 40]), backlog=30)
    leave, stay = 1.0 - np.exp(-0.5), (1.0 - np.exp(-0.5)) / 0.5
    expected = 30.0 * leave + (100 - flow.services) * (1.0 - stay)
    assert abs(flow.abandoned.mean() - expected.mean()) < 4.0 * 0.5 / np.sqrt(LANES)
    np.testing.assert_array_equal(flow.served.sum(axis=0), flow.services)
    np.testing.assert_array_equal(flow.abandoned + state.backlog.sum(axis=0), 130 - flow.services)


@pytest.mark.parametrize("exactly", [False, True])
def test_beyond_its_limit_the_queue_refuses(exactly: bool) -> None:
    params = replace(
        PATIENT, service_rate=5.0, queue_limit=4, start_servers=3, max_servers=3, is_event_by_event=exactly
    )
    flow, state = served(params, servers=3, arrivals=np.array([40, 60]), backlog=5)
    in_system = 3 * (1 + 4) if exactly else 3 * 4
    assert (state.backlog.sum(axis=0) <= in_system).all()
    assert (flow.errors > 0).any()
    np.testing.assert_array_equal(flow.served.sum(axis=0) + flow.errors + state.backlog.sum(axis=0), 105)


def test_of_those_who_fail_a_share_tries_again_and_comes_back_at_its_rate() -> None:
    params = replace(PATIENT, service_rate=5.0, queue_limit=1, retry_share=0.4, retry_delay=3.0)
    flow, state = served(params, servers=3, arrivals=np.array([40, 60]))
    failed, again = flow.errors.sum(), state.retrying.sum()
    np.testing.assert_array_equal(flow.given_up + state.retrying.sum(axis=0), flow.errors)
    assert abs(again - 0.4 * failed) < 4.0 * np.sqrt(failed * 0.24)
    before = state.retrying.copy()
    keys = np.random.default_rng(1).integers(0, 2**63, LANES).astype(np.uint64)
    return_retries(as_arguments(params, ServerArguments), state, keys, flow, make_workspace(LANES))
    np.testing.assert_array_equal(before, state.retrying + flow.retries)
    share = 1.0 - np.exp(-1.0 / 3.0)
    assert abs(flow.retries.sum() - share * again) < 4.0 * np.sqrt(again * share * (1.0 - share))


def test_services_that_can_be_completed_are_poisson() -> None:
    flow, _ = served(replace(PATIENT, service_rate=7.0), servers=3, arrivals=np.array([0]), lanes=20_000)
    assert flow.services.mean() == pytest.approx(21.0, abs=4.0 * np.sqrt(21.0 / 20_000))
    assert flow.services.var() == pytest.approx(21.0, rel=0.05)


def test_waiting_lowers_purchase_weights_by_its_sensitivity() -> None:
    params = replace(PATIENT, service_rate=20.0, latency_sensitivity=0.07)
    flow, _ = served(params, servers=5, arrivals=np.array([99]))
    np.testing.assert_allclose(flow.latency_factor, np.exp(-0.07 * flow.endured_s), rtol=1e-12)


def test_nobody_waits_longer_than_to_the_time_out() -> None:
    params = replace(PATIENT, service_rate=20.0, timeout_s=8.0, unloaded_latency_s=0.5)
    flow, _ = served(params, servers=5, arrivals=np.array([110]), backlog=20)
    beyond = 7.5 - flow.wait_floor_s
    cut = np.minimum(flow.wait_floor_s, 7.5) + np.where(
        beyond > 0.0, flow.wait_chance * flow.wait_tail_s * (1.0 - np.exp(-beyond / flow.wait_tail_s)), 0.0
    )
    np.testing.assert_allclose(flow.endured_s, cut, rtol=1e-12)
    assert (flow.wait_floor_s > 7.5).any()


@pytest.mark.parametrize("exactly", [False, True])
def test_without_servers_everybody_waits(exactly: bool) -> None:
    params = replace(PATIENT, service_rate=5.0, min_servers=0, patience_ticks=2.0, is_event_by_event=exactly)
    flow, state = served(params, servers=0, arrivals=np.array([50]))
    assert not flow.served.any()
    assert np.isfinite(mean_wait(flow)).all()
    np.testing.assert_array_equal(flow.abandoned + state.backlog.sum(axis=0), 50)


@pytest.mark.parametrize(("rate", "servers", "people", "expected"), [(3.0, 2, 9, 6), (2.5, 3, 9, 7), (3.0, 0, 9, 0)])
def test_a_hard_cap_serves_a_fixed_number(rate: float, servers: int, people: int, expected: int) -> None:
    flow, _ = served(
        replace(PATIENT, service_rate=rate, hard_cap=True), servers=servers, arrivals=np.array([people]), lanes=1
    )
    assert (flow.served[0, 0], flow.abandoned[0]) == (expected, people - expected)
    assert (mean_wait(flow)[0], flow.latency_factor[0], flow.errors[0]) == (0.0, 1.0, 0)


def test_at_the_close_those_who_wait_leave() -> None:
    flow, state = served(
        replace(PATIENT, service_rate=5.0, retry_share=1.0, queue_limit=5), servers=1, arrivals=np.array([50])
    )
    waiting, retrying = state.backlog.sum(axis=0), state.retrying.sum(axis=0)
    abandoned, given_up = flow.abandoned.copy(), flow.given_up.copy()
    closing = np.arange(LANES) % 2 == 0
    dismiss(state, closing, flow)
    np.testing.assert_array_equal(flow.abandoned - abandoned, np.where(closing, waiting, 0))
    np.testing.assert_array_equal(flow.given_up - given_up, np.where(closing, retrying, 0))
    assert not state.backlog[:, closing].any()
    np.testing.assert_array_equal(state.retrying.sum(axis=0), np.where(closing, 0, retrying))
