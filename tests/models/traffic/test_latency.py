"""Response times follow Erlang C where it holds, backlogs carry over, and simulated servers are found again."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flashsim.errors import InputError
from flashsim.models.traffic.latency import LatencyModel, fit_latency, stationary_queue
from tests.models.traffic.queue_simulation import Measured, simulate_servers

UTILIZATIONS = (0.3, 0.5, 0.7, 0.8, 0.9, 0.95, 1.0, 1.05, 1.1, 0.9, 0.6, 0.3)


@pytest.fixture(scope="module")
def measured() -> Measured:
    return simulate_servers(UTILIZATIONS, service_rate=2.0, servers=4, unloaded_latency_s=0.2)


def steady_wait(load: float, servers: int) -> float:
    """Mean wait at mu = 1 after a long steady stretch."""
    model = LatencyModel(1.0, 0.0, servers)
    return float(model.response_times(np.full(400, load * 100.0), tick_s=100.0)[-1]) - 1.0


@pytest.mark.parametrize(
    ("servers", "load", "wait"),
    [
        (1, 0.5, 1.0),
        (2, 1.0, 0.333333),
        (3, 2.0, 0.444444),
        (5, 4.0, 0.554113),
        (10, 8.0, 0.204590),
        (20, 16.0, 0.064019),
        (50, 45.0, 0.072773),
        (100, 90.0, 0.021694),
    ],
)
def test_a_steady_load_waits_as_erlang_says(servers: int, load: float, wait: float) -> None:
    queue = stationary_queue(servers)
    assert np.interp(load / servers, queue.utilization, queue.wait) == pytest.approx(wait, rel=2e-4, abs=2e-6)
    assert steady_wait(load, servers) == pytest.approx(wait, rel=1e-3, abs=1e-5)


def test_in_overload_the_backlog_grows_by_what_is_not_served_and_then_drains() -> None:
    """5 visits/s against a capacity of 4 for ten minutes: 600 wait, so the last waits 600 / 4 s; then 2 visits/s."""
    model = LatencyModel(service_rate=1.0, unloaded_latency_s=0.1, servers=4)
    visits = np.array([300.0] * 10 + [120.0] * 10)
    response = model.response_times(visits, tick_s=60.0)
    growth = np.diff(response[2:10])
    assert growth == pytest.approx(np.full(growth.size, 60.0 / 4.0), rel=0.03)
    assert growth[-1] == pytest.approx(60.0 / 4.0, rel=0.01)  # the farther from balance, the more exactly
    fluid = 1.1 + (600.0 - 30.0) / 4.0  # in the middle of the tick, had no server ever been idle
    assert fluid <= response[9] <= 1.04 * fluid
    assert np.diff(response[10:15]) == pytest.approx(np.full(4, -120.0 / 4.0), rel=0.05)
    assert response[-1] == pytest.approx(
        LatencyModel(1.0, 0.1, 4).response_times([120.0] * 9, tick_s=60.0)[-1], rel=0.01
    )


@given(
    rate=st.floats(0.1, 50.0),
    servers=st.integers(1, 60),
    loads=st.lists(st.floats(0.0, 2.0), min_size=2, max_size=12),
    more=st.floats(1.0, 1.5),
)
def test_more_visits_never_shorten_a_wait_and_faster_servers_never_lengthen_it(
    rate: float, servers: int, loads: list[float], more: float
) -> None:
    visits = np.array(loads) * rate * servers * 60.0
    base = LatencyModel(rate, 0.0, servers).response_times(visits, tick_s=60.0)
    busier = LatencyModel(rate, 0.0, servers).response_times(more * visits, tick_s=60.0)
    faster = LatencyModel(more * rate, 0.0, servers).response_times(visits, tick_s=60.0)
    tolerance = 1e-6 * base + 1e-9
    assert np.isfinite(base).all()
    assert (base >= 1.0 / rate - tolerance).all()
    assert (busier >= base - tolerance).all()
    assert (faster <= base + tolerance).all()


def test_a_load_may_be_cut_into_finer_ticks() -> None:
    model = LatencyModel(3.0, 0.05, 5)
    coarse = np.array([500.0, 800.0, 1000.0, 950.0, 600.0])
    fine = np.repeat(coarse / 6.0, 6)
    averaged = model.response_times(fine, tick_s=10.0).reshape(-1, 6).mean(axis=1)
    assert model.response_times(coarse, tick_s=60.0) == pytest.approx(averaged, rel=0.03)


def test_parameters_of_a_simulated_queue_are_recovered_within_a_tenth(measured: Measured) -> None:
    fit = fit_latency(measured.visits, response_time_s=measured.response_time_s, servers=4)
    assert fit.model.service_rate == pytest.approx(2.0, rel=0.1)
    assert fit.model.unloaded_latency_s == pytest.approx(0.2, rel=0.1)
    assert fit.utilization.max() > 1.05
    quiet, *_, above = fit.residuals_by_load()
    assert abs(quiet[0]) < 0.05
    assert quiet[2] > 0
    assert above[2] > 0
    assert len(fit.sentences()) == 3


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize(
    ("service_rate", "servers", "latency"), [(2.0, 4, 0.1), (1.0, 10, 0.3), (10.0, 2, 0.02), (0.5, 20, 1.0)]
)
def test_servers_of_many_kinds_are_recovered(service_rate: float, servers: int, latency: float, seed: int) -> None:
    visits, response = simulate_servers(
        UTILIZATIONS, service_rate=service_rate, servers=servers, unloaded_latency_s=latency, seed=seed
    )
    fit = fit_latency(visits, response_time_s=response, servers=servers)
    assert fit.model.service_rate == pytest.approx(service_rate, rel=0.1)
    assert fit.model.unloaded_latency_s == pytest.approx(latency, rel=0.1)


def test_a_single_server_gives_back_its_rate_and_its_unloaded_response() -> None:
    """Waits hide a latency of a quarter of a service here, so only the sum of the two is asked for."""
    visits, response = simulate_servers(UTILIZATIONS, service_rate=5.0, servers=1, unloaded_latency_s=0.05)
    fit = fit_latency(visits, response_time_s=response, servers=1)
    assert fit.model.service_rate == pytest.approx(5.0, rel=0.1)
    assert fit.model.unloaded_response_s == pytest.approx(0.25, rel=0.1)


def test_exact_data_give_exact_parameters_and_outliers_count_little() -> None:
    truth = LatencyModel(3.0, 0.12, 6)
    visits = np.repeat(UTILIZATIONS, 5) * truth.capacity * 60.0
    response = truth.response_times(visits, tick_s=60.0)
    fit = fit_latency(visits, response_time_s=response, servers=6)
    assert fit.model.service_rate == pytest.approx(3.0, rel=1e-3)
    assert fit.model.unloaded_latency_s == pytest.approx(0.12, rel=1e-2)
    response[[3, 17]] *= 20.0  # two deployments
    response[30:33] = np.nan  # not measured
    spoiled = fit_latency(visits, response_time_s=response, servers=6)
    assert spoiled.model.service_rate == pytest.approx(3.0, rel=0.02)
    assert spoiled.model.unloaded_latency_s == pytest.approx(0.12, rel=0.1)
    assert np.isnan(spoiled.residual[30:33]).all()


def test_the_length_of_a_tick_is_a_unit(measured: Measured) -> None:
    seconds = fit_latency(measured.visits, response_time_s=measured.response_time_s, servers=4)
    minutes = fit_latency(measured.visits, response_time_s=measured.response_time_s / 60.0, servers=4, tick_s=1.0)
    assert minutes.model.service_rate == pytest.approx(60.0 * seconds.model.service_rate, rel=1e-3)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"visits": [1.0, -1.0]}, "visits must be finite and >= 0, got -1.0 in tick 1"),
        ({"visits": [np.nan, 1.0]}, "got nan in tick 0; the backlog is carried"),
        ({"visits": []}, "expected one value a tick"),
        ({"response_time_s": [0.1]}, "expected 60 ticks, got shape"),
        ({"response_time_s": np.zeros(60)}, "response times must be > 0 seconds, got 0 in tick 0"),
        ({"response_time_s": np.full(60, np.inf)}, "got inf in tick 0"),
        ({"response_time_s": np.full(60, np.nan)}, "0 ticks have visits and a response time, at least 10"),
        ({"visits": np.zeros(60)}, "0 ticks have visits and a response time"),
        ({"servers": 0}, "servers must be a whole number from 1 to 100000, got 0"),
        ({"servers": 2.5}, "got 2.5"),
        ({"tick_s": 0.0}, "tick_s must be > 0 seconds"),
    ],
)
def test_bad_input_is_refused_with_the_value_seen(change: dict[str, Any], words: str) -> None:
    arguments: dict[str, Any] = {
        "visits": np.full(60, 300.0),
        "response_time_s": np.full(60, 0.3),
        "servers": 4,
        "tick_s": 60.0,
        **change,
    }
    visits = arguments.pop("visits")
    with pytest.raises(InputError, match=words):
        fit_latency(visits, **arguments)


def test_a_load_that_never_queues_identifies_nothing() -> None:
    generator = np.random.default_rng(0)
    visits = generator.poisson(600.0, 200).astype(float)
    response = 0.25 * generator.lognormal(0.0, 0.02, 200)
    with pytest.raises(InputError, match="do not tell service time from unloaded latency"):
        fit_latency(visits, response_time_s=response, servers=100)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: LatencyModel(0.0, 0.1, 1), "service_rate must be > 0"),
        (lambda: LatencyModel(1.0, -0.1, 1), "unloaded_latency_s must be >= 0"),
        (lambda: LatencyModel(1.0, 0.1, -1), "servers must be a whole number"),
    ],
)
def test_impossible_servers_are_refused(make: Callable[[], LatencyModel], words: str) -> None:
    with pytest.raises(InputError, match=words):
        make()
