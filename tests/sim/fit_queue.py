"""Fit the numbers of flashsim.sim.reflected_queue to M/M/c + M in balance.

python -m tests.sim.fit_queue        # some minutes; prints the fit, and where it errs most

Queues start in balance and play on; what they are then is compared with what they should be. First the mean queue
(k0 … k2), then the mean and the 95th percentile of the waits (k3 … k5): FIT, rounded. k6 stays: balance alone would
have 1.3, but then waits are too short while the backlog of a rush is served. The queues of docs/queue.md are others.
"""

from collections.abc import Callable, Sequence
from itertools import product
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from flashsim.sim.parameters import as_arguments
from flashsim.sim.queue_flow import QueueFlow, make_queue_flow
from flashsim.sim.reflected_queue import FIT, QueueFit, walk, write_wait_chance, write_waits
from flashsim.sim.servers import ServerArguments, ServerParams
from tests.sim.erlang import Balance, balance

ENDLESS = 1e9
LANES, TICKS, WARM_UP = 300, 50, 30


class Queue(NamedTuple):
    """A queue in balance."""

    servers: int
    utilization: float
    services: float
    """Of a server, a tick."""
    patience: float
    """Ticks."""

    def truth(self) -> Balance:
        return balance(
            self.servers, self.utilization, self.patience * self.services if self.patience < ENDLESS else np.inf
        )


GRID = [
    Queue(servers, utilization, services, patience)
    for patience, services, servers, utilization in product(
        (0.5, 1.0, 4.0, ENDLESS), (10.0, 20.0, 50.0, 100.0), (3, 5, 12, 50), (0.7, 0.85, 0.95, 1.0, 1.1)
    )
    if patience < ENDLESS or utilization < 0.9 or (utilization < 1.0 and services > 10.0)
]
"""Without those that take longer to settle than they are played."""


class Recorded(NamedTuple):
    """Ticks of queues of one patience: their flow, one tick a lane, and what each queue answered."""

    queues: Sequence[Queue]
    truths: Sequence[Balance]
    in_force: NDArray[np.int64]
    capacity: NDArray[np.float64]
    flow: QueueFlow
    backlog: NDArray[np.float64]
    """Mean number waiting at the ends of ticks, one a queue."""
    abandoned: NDArray[np.float64]
    """Share of visits, one a queue."""


def record(
    queues: Sequence[Queue], fit: QueueFit, *, lanes: int = LANES, ticks: int = TICKS, seed: int = 0
) -> Recorded:
    """Play ``queues``, all of one patience."""
    rng = np.random.default_rng(seed)
    truths = [queue.truth() for queue in queues]
    shape = (len(queues), lanes)
    in_force = np.repeat([queue.servers for queue in queues], lanes)
    capacity = in_force * np.repeat([queue.services for queue in queues], lanes)
    mean = capacity * np.repeat([queue.utilization for queue in queues], lanes)
    flow, patience = make_queue_flow(1, in_force.size), queues[0].patience
    kept = make_queue_flow(1, in_force.size * ticks)
    flow.expected_load[:] = mean / capacity
    write_wait_chance(patience, in_force, capacity, flow, fit)
    backlog = np.concatenate([rng.choice(truth.chances.size, lanes, p=truth.chances) for truth in truths])
    sums = np.zeros((3, in_force.size))
    for tick in range(WARM_UP + ticks):
        arrivals = rng.poisson(mean)
        flow.carried[:], flow.visits[:], flow.services[:] = backlog, backlog + arrivals, rng.poisson(capacity)
        walk(patience, 0, in_force, rng.random(backlog.size), rng.random(backlog.size), flow)
        backlog = flow.visits - flow.answered - flow.abandoned
        if tick >= WARM_UP:
            place = slice((tick - WARM_UP) * backlog.size, (tick - WARM_UP + 1) * backlog.size)
            for name in ("mean_queue", "wait_chance", "utilization", "visits", "answered"):
                getattr(kept, name)[place] = getattr(flow, name)
            sums += np.stack([backlog, flow.abandoned, arrivals])
    means = sums.reshape(3, *shape).mean(axis=2) / ticks
    return Recorded(
        queues, truths, np.tile(in_force, ticks), np.tile(capacity, ticks), kept, means[0], means[1] / means[2]
    )


def record_all(queues: Sequence[Queue], fit: QueueFit, **size: int) -> list[Recorded]:
    """Of any patience."""
    patiences = sorted({queue.patience for queue in queues})
    return [record([queue for queue in queues if queue.patience == one], fit, **size) for one in patiences]


def queue_errors(recorded: Recorded) -> NDArray[np.float64]:
    """Error of the mean queue over what a visit finds, one a queue."""
    truths = recorded.truths
    scale = [truth.queue + truth.busy + 0.02 * q.servers for truth, q in zip(truths, recorded.queues, strict=True)]
    return (recorded.backlog - [truth.queue for truth in truths]) / scale


def stated_waits(recorded: Recorded, fit: QueueFit) -> NDArray[np.float64]:
    """Mean and 95th percentile of the waits that the ticks state, in service times: (queue, 2)."""
    queues, flow = recorded.queues, recorded.flow
    params = ServerParams(patience_ticks=queues[0].patience, seconds_per_tick=1.0)
    write_waits(as_arguments(params, ServerArguments), recorded.in_force, recorded.capacity, flow, fit)
    found = []
    fields = (flow.wait_chance, flow.wait_floor_s, flow.wait_tail_s, flow.answered)
    parts = [field.reshape(TICKS, len(queues), -1).astype(np.float64) for field in fields]
    for place, queue in enumerate(queues):
        chance, floor, tail, weight = (part[:, place].ravel() for part in parts)
        mean = (weight * (floor + chance * tail)).sum() / weight.sum()
        found.append((mean * queue.services, percentile(chance, floor, tail, weight) * queue.services))
    return np.array(found)


def percentile(
    chance: NDArray[np.float64], floor: NDArray[np.float64], tail: NDArray[np.float64], weight: NDArray[np.float64]
) -> float:
    """The wait that 5 % of visits exceed."""
    low, high = 0.0, float((floor + 20.0 * tail).max())
    for _ in range(30):
        middle = 0.5 * (low + high)
        late = np.where(middle < floor, 1.0, chance * np.exp(-np.maximum(middle - floor, 0.0) / tail))
        low, high = (middle, high) if (late * weight).sum() > 0.05 * weight.sum() else (low, middle)
    return high


def marks_of(queue: Queue, truth: Balance) -> tuple[float, float, float]:
    """What the mean wait, its 95th percentile and the share that abandons may err by."""
    share = 0.17 if queue.utilization > 1.0 else 0.15 if queue.servers <= 5 else 0.1
    return max(0.05 * truth.wait, 0.02), max(share * truth.wait_95, 0.05), max(0.05 * truth.abandoned, 0.001)


def wait_errors(recorded: Recorded, fit: QueueFit, *, given_queue: bool = False) -> NDArray[np.float64]:
    """Errors of the mean and the 95th percentile of the wait and of abandonment over their marks, (queue, 3).

    ``given_queue``: against what would be right for the queues that there were, so that chance in them does not count.
    """
    truths = np.array([(truth.wait, truth.wait_95, truth.abandoned) for truth in recorded.truths])
    if given_queue:
        truths *= (recorded.backlog / [truth.queue for truth in recorded.truths])[:, None]
    marks = np.array([marks_of(*pair) for pair in zip(recorded.queues, recorded.truths, strict=True)])
    seen = np.column_stack([stated_waits(recorded, fit), recorded.abandoned])
    return np.asarray((seen - truths) / marks)


def improve(loss: Callable[[QueueFit], float], fit: QueueFit, names: Sequence[str], evaluations: int) -> QueueFit:
    """The least ``loss`` over the fields in ``names``, all kept above 0; Nelder and Mead's simplex."""

    def made(logs: NDArray[np.float64]) -> QueueFit:
        return fit._replace(**dict(zip(names, np.exp(logs).tolist(), strict=True)))

    start = np.log([getattr(fit, name) for name in names])
    simplex = np.vstack([start, start + 0.2 * np.eye(len(names))])
    options = {"maxfev": evaluations, "initial_simplex": simplex, "adaptive": True}
    return made(minimize(lambda logs: loss(made(logs)), start, method="Nelder-Mead", options=options).x)


def fitted(evaluations: int = 40) -> QueueFit:
    """Fit all numbers anew, from those that the simulator has."""

    def of_queues(fit: QueueFit) -> float:
        return float(np.mean(np.concatenate([queue_errors(part) for part in record_all(GRID, fit)]) ** 4))

    fit = improve(of_queues, FIT, ("idle", "idle_again", "idle_patience"), evaluations)
    recorded = record_all(GRID, fit)

    def of_waits(fit: QueueFit) -> float:
        return float(
            np.mean(np.concatenate([wait_errors(part, fit, given_queue=True)[:, :2] for part in recorded]) ** 6)
        )

    names = ("tail_patience", "tail_cut", "floor_patience")
    return improve(of_waits, fit, names, 2 * evaluations)


def main() -> None:
    fit = fitted()
    print(fit)
    for part in record_all(GRID, fit, seed=1):
        errors = wait_errors(part, fit)
        for place in np.argsort(-np.abs(errors).max(axis=1))[:4]:
            print(part.queues[place], "wait, its 95 % and abandonment over their marks:", errors[place].round(2))


if __name__ == "__main__":
    main()
