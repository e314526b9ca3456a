"""The loopback server answers every request it was sent, in the time it must take, and stays within its bounds."""

from collections.abc import Callable

import numpy as np
import pytest

from flashsim.data.traffic import checked_traffic
from flashsim.errors import InputError
from flashsim.models.traffic.latency import fit_latency
from flashsim.models.traffic.loopback import Load, measure_loopback

SMALL = Load(servers=3, mean_service_s=0.01, ticks=4, tick_s=0.25, utilizations=(0.2, 0.9), patience_s=20.0)


def test_every_request_sent_is_answered_and_counted() -> None:
    arrivals = SMALL.draw_arrivals(np.random.default_rng(0))
    table = measure_loopback(SMALL, seed=0)
    assert table["visits"].sum() == arrivals.size
    assert len(table) == SMALL.ticks
    checked = checked_traffic(table)
    assert (checked["response_time_s"][checked["visits"] > 0] > 0.0).all()


def test_work_takes_at_least_its_time() -> None:
    """All answers together take no less than all services together: a sleep never ends early."""
    generator = np.random.default_rng(3)
    arrivals = SMALL.draw_arrivals(generator)
    services = generator.exponential(SMALL.mean_service_s, arrivals.size)
    table = measure_loopback(SMALL, seed=3)
    total = float((table["visits"] * table["response_time_s"].fillna(0.0)).sum())
    assert total >= 0.98 * services.sum()


def test_the_number_of_requests_is_bounded() -> None:
    bounded = Load(servers=50, mean_service_s=0.001, ticks=2, tick_s=0.1, utilizations=(1.0,), most_requests=7)
    assert measure_loopback(bounded)["visits"].sum() == 7


def test_a_load_that_does_not_drain_is_cut() -> None:
    hopeless = Load(servers=1, mean_service_s=5.0, ticks=1, tick_s=0.2, utilizations=(3.0,) * 60, patience_s=0.2)
    full = Load(servers=1, mean_service_s=0.02, ticks=1, tick_s=0.5, utilizations=(3.0,), patience_s=0.05)
    assert hopeless.longest_s < 1.0
    with pytest.raises(InputError, match=r"the load was not answered within 0\.55 s"):
        measure_loopback(full)


def test_equal_seeds_send_equal_loads() -> None:
    one, two, other = (SMALL.draw_arrivals(np.random.default_rng(seed)) for seed in (1, 1, 2))
    np.testing.assert_array_equal(one, two)
    assert one.size != other.size or not np.array_equal(one, other)
    assert (np.diff(one) >= 0.0).all()
    assert one[-1] <= SMALL.ticks * SMALL.tick_s


def test_arrivals_follow_the_utilizations_asked_for() -> None:
    load = Load(servers=10, mean_service_s=0.01, ticks=40, tick_s=1.0, utilizations=(0.5, 1.0), most_requests=100_000)
    arrivals = load.draw_arrivals(np.random.default_rng(0))
    first, second = (arrivals < 20.0).sum(), (arrivals >= 20.0).sum()
    assert first == pytest.approx(10_000, abs=4 * np.sqrt(10_000))
    assert second == pytest.approx(20_000, abs=4 * np.sqrt(20_000))


@pytest.mark.slow
def test_the_measured_server_is_found_again() -> None:
    """A quarter of leeway: a busy machine lengthens every service."""
    load = Load(servers=4, mean_service_s=0.04, ticks=32, tick_s=1.0)
    table = measure_loopback(load)
    fit = fit_latency(table["visits"], response_time_s=table["response_time_s"], servers=4, tick_s=1.0)
    assert fit.model.service_rate == pytest.approx(25.0, rel=0.25)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Load(servers=0), "servers must be a whole number"),
        (lambda: Load(most_requests=10**9), "most_requests must be a whole number"),
        (lambda: Load(mean_service_s=0.0), "mean_service_s must be > 0 seconds"),
        (lambda: Load(tick_s=float("nan")), "tick_s must be > 0 seconds, got nan"),
        (lambda: Load(utilizations=()), "utilizations must lie from 0 to 3"),
        (lambda: Load(utilizations=(9.0,)), "utilizations must lie from 0 to 3"),
        (lambda: Load(ticks=1000), "at most 600 are allowed"),
    ],
)
def test_unbounded_loads_are_refused(make: Callable[[], Load], words: str) -> None:
    with pytest.raises(InputError, match=words):
        make()
