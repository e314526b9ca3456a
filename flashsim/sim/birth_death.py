"""The birth-death process of M/M/c/K + M, event by event and exact: what happens in one tick of one queue.

Arrivals come at uniform times of the tick, and so do potential completions (of a Poisson process at the rate of all
servers that there may be) and potential departures of the impatient (at the rate of all who may be there); so all that
matters is their random order, and which of them are real in the state that they meet. Common random numbers hold:
potential events do not depend on how many servers are in force.

Source: Grassmann (1977), Comput. Oper. Res. 4(1), for uniformization.
"""

from typing import Any

import numpy as np

from flashsim.sim.cache import compiled_inside
from flashsim.sim.queue_flow import QueueFlow
from flashsim.sim.streams import QUEUE_EVENTS, uniform_at

LONGEST_WAIT = 1e4  # ticks; where no server is in force
_TINY = 1e-9
_NO_LIMIT = 1 << 60


@compiled_inside
def play_events(params: Any, lane: int, servers: int, capacity: float, key: np.uint64, flow: QueueFlow) -> None:
    """One lane's tick: reads carried, visits, and the potential completions and departures.

    Writes services (those that happen), abandoned, refused, wait_chance, wait_floor_s and wait_tail_s.
    """
    present = flow.carried[lane]
    arrivals, completions, departures = flow.visits[lane] - present, flow.completions[lane], flow.departures[lane]
    most, queue_bound = params.service_rate * np.float64(params.max_servers), np.float64(flow.visits[lane])
    each = capacity / np.float64(max(servers, 1))
    room = servers * (1 + params.queue_limit) if params.queue_limit > 0 else _NO_LIMIT
    accepted, done, gone, refused, delayed = 0, 0, 0, 0, 0
    ahead, squares = 0.0, 0.0
    for event in range(arrivals + completions + departures):
        place = uniform_at(key, QUEUE_EVENTS, event) * np.float64(arrivals + completions + departures)
        if place < arrivals:
            arrivals -= 1
            if present >= room:
                refused += 1
            else:
                before = np.float64(max(0, present - servers + 1))
                delayed += 1 if present >= servers else 0
                ahead += before
                squares += before * (before + 1.0)
                present += 1
                accepted += 1
        elif place < arrivals + completions:
            mark = (place - np.float64(arrivals)) / np.float64(completions)
            completions -= 1
            if mark * most < each * np.float64(min(present, servers)):
                present -= 1
                done += 1
        else:
            mark = (place - np.float64(arrivals + completions)) / np.float64(departures)
            departures -= 1
            if mark * queue_bound < np.float64(max(0, present - servers)):
                present -= 1
                gone += 1
    flow.services[lane], flow.abandoned[lane], flow.refused[lane] = done, gone, refused
    count = np.float64(max(delayed, 1))
    rate = max(capacity, _TINY)
    mean = ahead / count / rate
    spread = np.sqrt(max(0.0, squares / count / rate / rate - mean * mean))
    tail = min(spread, mean) if delayed == accepted else mean
    flow.wait_chance[lane] = np.float64(delayed) / np.float64(max(accepted, 1))
    flow.wait_tail_s[lane] = min(LONGEST_WAIT, tail) * params.seconds_per_tick
    flow.wait_floor_s[lane] = min(LONGEST_WAIT, mean - tail) * params.seconds_per_tick
