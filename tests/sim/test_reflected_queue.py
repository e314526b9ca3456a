"""The law of a tick of many services against M/M/c + M and the law event by event, and how it moves with servers."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from flashsim.sim.parameters import as_arguments
from flashsim.sim.queue_flow import QueueFlow, make_queue_flow
from flashsim.sim.reflected_queue import FIT, walk, write_wait_chance, write_waits
from flashsim.sim.servers import ServerArguments, ServerParams
from tests.sim.erlang import balance
from tests.sim.fit_queue import GRID, Queue, marks_of
from tests.sim.queue_tables import BUSY, IMPATIENT, RUSHES, Rush, play_in_balance, play_rush

TEXTBOOK = [  # servers, utilization, Erlang C, 95 % wait, abandonment at patience rate .5; service times
    (1, 0.5, 0.5, 4.605170, 0.163953),
    (3, 2 / 3, 0.444444, 2.184802, 0.080678),
    (20, 0.8, 0.256078, 0.408365, 0.015892),
    (100, 0.9, 0.216940, 0.146760, 0.005686),
]


@pytest.mark.parametrize(("servers", "utilization", "erlang_c", "wait_95", "abandonment"), TEXTBOOK)
def test_the_exact_numbers_are_erlangs(
    servers: int, utilization: float, erlang_c: float, wait_95: float, abandonment: float
) -> None:
    calm, impatient = balance(servers, utilization), balance(servers, utilization, 2.0)
    assert calm.busy == pytest.approx(erlang_c, abs=1e-6)
    assert calm.wait == pytest.approx(erlang_c / servers / (1.0 - utilization), rel=1e-5)
    assert calm.queue == pytest.approx(calm.wait * servers * utilization, rel=1e-6)
    assert impatient.abandoned == pytest.approx(abandonment, abs=1e-6)
    assert calm.wait_95 == pytest.approx(wait_95, rel=1e-5)
    assert balance(servers, utilization, 1e6).wait == pytest.approx(calm.wait, rel=1e-4)
    assert balance(servers, utilization, 1e6).wait_95 == pytest.approx(wait_95, rel=1e-4)
    assert impatient.wait < impatient.queue / servers / utilization < calm.wait
    assert impatient.chances.sum() == pytest.approx(1.0)


QUEUES = [Queue(servers, utilization, tick, 1e9) for servers, utilization in BUSY for tick in (10.0, 20.0, 100.0)]
QUEUES += [Queue(servers, use, tick, patience) for servers, use, patience in IMPATIENT for tick in (10.0, 20.0, 100.0)]


def test_no_queue_is_one_that_the_law_was_fitted_to() -> None:
    fitted = {(queue.servers, queue.utilization) for queue in GRID}
    assert not fitted & {(queue.servers, queue.utilization) for queue in QUEUES}


@pytest.mark.parametrize("queue", QUEUES[::4], ids=str)
def test_waits_and_abandonment_are_those_of_m_m_c_m(queue: Queue) -> None:
    """Every fourth row of docs/queue.md: within its marks and 4 standard errors."""
    patience = queue.patience if queue.patience < 1e9 else np.inf
    truth = queue.truth()
    played = play_in_balance(queue.servers, queue.utilization, queue.services, patience, lanes=500)
    mean, late, gone = marks_of(queue, truth)
    (wait, error), (abandoned, spread) = played.wait, played.abandoned
    assert abs(wait - truth.wait) < mean + 4.0 * error
    assert abs(played.stated_wait_95 - truth.wait_95) < late + 4.0 * error * truth.wait_95 / truth.wait
    assert abs(abandoned - truth.abandoned) < gone + 4.0 * spread


MARKS = {"peak": 0.03, "backlog": 0.05, "abandoned": 0.15, "served": 0.05, "refused": 0.05}


@pytest.mark.parametrize("rush", RUSHES[1::2], ids=lambda rush: rush.name)
def test_a_rush_is_that_of_the_law_event_by_event(rush: Rush) -> None:
    """Limits, retries and servers that come and go, too; waits where nobody gives up."""
    seen, true = (play_rush(rush, exactly=exactly, lanes=300) for exactly in (False, True))
    marks = MARKS | ({"wait": 0.05} if rush.patience >= 1e9 else {})
    for name, mark in marks.items():
        (value, error), (truth, spread) = getattr(seen, name), getattr(true, name)
        assert abs(value - truth) <= mark * truth + 4.0 * np.hypot(error, spread), name


def ticked(
    servers: NDArray[np.int64], *, patience: float, limit: int, speed: float, mean: NDArray[np.float64], seed: int
) -> tuple[QueueFlow, NDArray[np.int64]]:
    """One tick of a pool a lane from some state, and who then waits; the same uniforms for every number of servers."""
    rng, lanes = np.random.default_rng(seed), servers.size
    flow, capacity = make_queue_flow(1, lanes), speed * servers
    flow.expected_load[:] = mean / capacity
    flow.carried[:] = np.where(rng.random(lanes) < 0.4, 0, rng.poisson(np.exp(rng.uniform(0.0, 7.0, lanes))))
    flow.visits[:] = flow.carried + rng.poisson(mean)
    flow.services[:] = stats.poisson.ppf(rng.random(lanes), capacity)
    params = ServerParams(service_rate=speed, patience_ticks=patience, queue_limit=limit, max_servers=100)
    write_wait_chance(patience, servers, capacity, flow, FIT)
    walk(patience, limit, servers, rng.random(lanes), rng.random(lanes), flow)
    write_waits(as_arguments(params, ServerArguments), servers, capacity, flow, FIT)
    return flow, flow.visits - flow.answered - flow.refused - flow.abandoned


@pytest.mark.parametrize("limit", [0, 3, 40])
@pytest.mark.parametrize("patience", [0.5, 2.0, 1e9])
def test_more_servers_lower_backlog_and_waits(patience: float, limit: int) -> None:
    """In every lane, on the same arrivals and uniforms; with a limit more servers leave room for more to wait."""
    rng = np.random.default_rng(limit)
    for seed in range(12):
        few = rng.integers(1, 40, 4000)
        speed, mean = float(np.exp(rng.uniform(0.0, 4.6))), np.exp(rng.uniform(-2.0, 8.0, 4000))
        shared: dict[str, Any] = {"patience": patience, "limit": limit, "speed": speed, "mean": mean, "seed": seed}
        (less, waiting), (more, fewer) = (ticked(n, **shared) for n in (few, few + rng.integers(1, 30, 4000)))
        if not limit:
            assert (fewer <= waiting).all()
        for name in ("wait_chance", "wait_floor_s", "wait_tail_s"):
            assert (getattr(more, name) <= getattr(less, name) * (1.0 + 1e-12)).all(), name


@pytest.mark.parametrize("limit", [0, 3])
@pytest.mark.parametrize("patience", [1e-6, 0.1, 2.0, 1e9])
def test_nobody_is_served_twice_or_lost(patience: float, limit: int) -> None:
    servers, mean = np.arange(1, 4001) % 40, np.exp(np.linspace(-2.0, 8.0, 4000))
    servers[0] = 1
    flow, waiting = ticked(np.maximum(1, servers), patience=patience, limit=limit, speed=7.0, mean=mean, seed=1)
    for counts in (flow.answered, flow.refused, flow.abandoned, waiting):
        assert (counts >= 0).all()
    assert (flow.answered <= flow.services).all()
    assert not limit or (waiting <= limit * np.maximum(1, servers)).all()


@pytest.mark.parametrize("patience", [0.5, 3.0, 1e9])
def test_the_law_is_continuous_through_full_load(patience: float) -> None:
    """Steps of a thousandth of the load move chance, tail and idle cost by less than a twentieth of their size."""
    loads = np.linspace(0.9, 1.1, 201)
    flow, servers = make_queue_flow(1, loads.size), np.full(loads.size, 12)
    flow.expected_load[:] = loads
    capacity = 20.0 * servers
    write_wait_chance(patience, servers, capacity, flow, FIT)
    params = ServerParams(service_rate=20.0, patience_ticks=patience)
    write_waits(as_arguments(params, ServerArguments), servers, capacity, flow, FIT)
    for values in (flow.wait_chance, flow.wait_tail_s, flow.idle_cost):
        assert np.abs(np.diff(values)).max() < 0.05 * values.max()
    assert (np.diff(flow.wait_chance) >= 0.0).all()
    assert (np.diff(flow.wait_tail_s) >= -1e-12).all()
