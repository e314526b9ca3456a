"""A queue simulated customer by customer with Ciw: what a fit of servers must find again."""

from collections.abc import Sequence
from typing import NamedTuple

import ciw
import numpy as np
from numpy.typing import NDArray


class Measured(NamedTuple):
    """One entry a tick."""

    visits: NDArray[np.float64]  # tick; arrivals
    response_time_s: NDArray[np.float64]  # tick; mean over its arrivals, NaN where none came


def simulate_servers(
    utilizations: Sequence[float],
    *,
    service_rate: float,
    servers: int,
    unloaded_latency_s: float,
    ticks_each: int = 10,
    tick_s: float = 60.0,
    seed: int = 0,
) -> Measured:
    """M/M/c with Poisson arrivals whose rate steps through ``utilizations``, each held for ``ticks_each`` ticks."""
    generator = np.random.default_rng(seed)
    rho = np.repeat(utilizations, ticks_each)
    counts = generator.poisson(rho * servers * service_rate * tick_s)
    starts = np.repeat(np.arange(rho.size) * tick_s, counts)
    arrivals = np.sort(starts + generator.uniform(0.0, tick_s, starts.size))
    gaps = [*np.diff(arrivals, prepend=0.0).tolist(), float("inf")]
    network = ciw.create_network(
        arrival_distributions=[ciw.dists.Sequential(gaps)],
        service_distributions=[ciw.dists.Exponential(service_rate)],
        number_of_servers=[servers],
    )
    ciw.seed(seed)
    simulation = ciw.Simulation(network)
    simulation.simulate_until_max_time(3.0 * rho.size * tick_s)
    records = simulation.get_all_records()
    came = np.array([record.arrival_date for record in records])
    took = np.array([record.exit_date - record.arrival_date for record in records])
    tick = (came // tick_s).astype(int)
    visits = np.bincount(tick, minlength=rho.size)
    total = np.bincount(tick, took + unloaded_latency_s, minlength=rho.size)
    return Measured(visits.astype(float), np.where(visits > 0, total / np.maximum(visits, 1), np.nan))
