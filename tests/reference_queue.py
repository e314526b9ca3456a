"""Waiting and being served in the slow reference: one visit at a time, by law of the tick or by events in a heap."""

import heapq
import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count
from random import Random
from statistics import NormalDist, fmean
from typing import Any, NamedTuple

from flashsim.sim.reflected_queue import FIT

NORMAL = NormalDist()
LONGEST_WAIT = 1e4  # ticks
ARRIVES, COMPLETES, LEAVES = range(3)


@dataclass(eq=False)
class Person:
    """Somebody who came; what is known of a visit in the queue counts in ticks from the start of the present one."""

    segment: int
    work: float = 0.0  # service still needed, as a multiple of its mean
    patience: float = 0.0  # when it gives up, unless it is served by then
    completion: float = 0.0  # when it will have been served
    is_served: bool = False  # now at a server


class Waits(NamedTuple):
    """The law of waits of a tick: ``floor`` + Exp(``tail``) with probability ``chance``, else ``floor``; seconds."""

    chance: float
    floor: float
    tail: float

    def endured(self, longest: float) -> float:
        """Mean of the wait, cut at ``longest``."""
        if self.floor >= longest:
            return longest
        slack = longest - self.floor
        return self.floor + (self.chance * self.tail * -math.expm1(-slack / self.tail) if self.tail > 0.0 else 0.0)

    def quantile(self, share: float) -> float:
        """Wait that is not exceeded with probability ``share``."""
        if self.chance <= 1.0 - share:
            return self.floor
        return self.floor + self.tail * math.log(self.chance / (1.0 - share))

    def draw(self, random: Random) -> float:
        """The wait of one visit."""
        return self.floor + (random.expovariate(1.0) * self.tail if random.random() < self.chance else 0.0)


class Tick(NamedTuple):
    """What happens in a tick of many services, in visits."""

    answered: int
    refused: int
    abandoned: int
    waits: Waits


def chance_to_wait(params: Any, servers: int, capacity: float, expected: float) -> float:
    """C of a tick in which ``expected`` visits are to come."""
    if servers == 0:
        return 1.0
    use = max(expected / capacity, 1e-9)
    alpha = math.copysign(math.sqrt(max(0.0, -2.0 * servers * (1.0 - use + math.log(use)))), 1.0 - use)
    alpha = min(20.0, max(-20.0, alpha))
    ratio = NORMAL.cdf(alpha) / NORMAL.pdf(alpha) if use <= 1.0 else 2.0 / (math.sqrt(alpha**2 + 8.0 / math.pi) - alpha)
    idle = max(1e-9, math.sqrt(servers) * ratio - 1.0 / 3.0)
    spread = 8.0 / (math.pi * params.patience_ticks * capacity)
    busy = 2.0 / (1.0 - use + math.sqrt((1.0 - use) ** 2 + spread) + 1e-12)
    return busy / (busy + idle)


def expected_of(params: Any, servers: int, capacity: float, chance: float) -> float:
    """How many visits were to come in a tick in which visits wait with this ``chance``; by bisection."""
    low, high = 0.0, 100.0 * capacity
    for _ in range(100 if servers else 0):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if chance_to_wait(params, servers, capacity, middle) < chance else (low, middle)
    return low


def waits_of_tick(
    params: Any, servers: int, capacity: float, *, expected: float, queue: float, visits: int, is_full: bool = False
) -> Waits:
    """Waits in a tick of many services in which ``queue`` visits wait on average and ``expected`` are to come.

    Nobody is answered without servers: whoever is there waits for the longest time that there is.
    """
    tick_s = params.seconds_per_tick
    if servers == 0:
        return Waits(1.0, LONGEST_WAIT * tick_s if visits else 0.0, LONGEST_WAIT * tick_s)
    leaving = 1.0 / params.patience_ticks
    slack = max(0.0, capacity / max(expected, 1e-9 * capacity) - 1.0)
    drift = (slack + math.sqrt(slack**2 + FIT.tail_patience * leaving / capacity)) / 2.0
    tail = (1.0 + 1.0 / math.sqrt(drift**2 + FIT.tail_spread / capacity)) / capacity
    tail /= 1.0 + FIT.tail_cut * leaving * tail
    most = params.service_rate * params.max_servers if is_full else capacity
    stray = capacity * (1.0 + math.sqrt(most / (FIT.tail_spread + FIT.floor_patience * leaving))) / most
    beyond = max(0.0, queue - stray)
    z = leaving * beyond / capacity
    floor = (z / leaving) * (60.0 + 60.0 * z + 11.0 * z**2) / (60.0 + 90.0 * z + 36.0 * z**2 + 3.0 * z**3)
    chance = chance_to_wait(params, servers, capacity, expected)
    return Waits(chance, min(LONGEST_WAIT, floor) * tick_s, min(LONGEST_WAIT, tail) * tick_s)


def tick_of_many(
    random: Random, params: Any, servers: int, capacity: float, *, before: int, arrivals: int, expected: float
) -> Tick:
    """``before`` visits wait, ``arrivals`` come, of whom ``expected`` were to come: the walk of reflected_queue."""
    services, uniform = poisson(random, capacity), random.random()
    leaving, rounding = 1.0 / params.patience_ticks, random.random()
    x, steps = arrivals - services, max(1, arrivals + services)
    leave = -math.expm1(-leaving)
    free = max(0, math.floor(before * leave + x * (1.0 - leave / leaving) + rounding))
    end = before + x - free
    y = min(leaving, 2.0) / (1.0 + min(0, x) ** 2 / steps)
    f, variance = x / (1.0 + y / 2.0 + y**2 / 12.0), steps / (1.0 + y + y**2 / 3.0)
    short = -math.log(uniform) - idle_cost(params, servers, capacity, expected)
    rise = (f + math.sqrt(f**2 + 2.0 * variance * max(0.0, short))) / 2.0
    high = max(end, math.floor(min(rise, arrivals)), 0)
    places = params.queue_limit * servers if params.queue_limit else 10**15
    after = min(high, places)
    queue, is_full = (before + after) / 2.0, after < high
    if is_full:
        gap = max(0, places - before)
        queue = places - gap**2 / 2.0 / max(1, x, gap) + max(0, before - places) / 2.0
    if high > end:
        gave_up = max(before + x - high, math.floor(leaving * queue + rounding), 0)
        abandoned, refused = min(gave_up, before + arrivals - high), high - after
    elif is_full:
        abandoned = min(math.floor(leaving * queue + rounding), before + x - after)
        refused = before + x - after - abandoned
    else:
        abandoned, refused = free, 0
    waits = waits_of_tick(
        params, servers, capacity, expected=expected, queue=queue, visits=before + arrivals, is_full=is_full
    )
    return Tick(before + arrivals - after - abandoned - refused, refused, abandoned, waits)


def idle_cost(params: Any, servers: int, capacity: float, expected: float) -> float:
    """w: what an idle spell costs."""
    if servers == 0:
        return math.inf
    r = (math.sqrt(math.pi * servers / 2.0) - 1.0 / 3.0) / math.sqrt(capacity)
    brief = FIT.idle * r * (1.0 + FIT.idle_again * r) / (1.0 + FIT.idle_patience / params.patience_ticks**2)
    return math.hypot(brief**2, math.log(chance_to_wait(params, servers, capacity, expected)) ** 2) ** 0.5


def health_after(params: Any, health: float, load: float) -> float:
    """Health of the pool in the tick after one with ``load``."""
    if params.collapse_load > 0.0 and load > params.collapse_load:
        return float(params.collapsed_health)
    return health + float(params.recovery) * (1.0 - health)


def poisson(random: Random, mean: float) -> int:
    """Events of a Poisson process of rate 1 until ``mean``."""
    count, time = -1, 0.0
    while time <= mean:
        time += random.expovariate(1.0)
        count += 1
    return count if mean > 0.0 else 0


def evenly(random: Random, people: Sequence[Person], places: int) -> tuple[list[Person], list[Person]]:
    """Those of ``people`` who get one of the ``places``, and the others: all segments interleaved, one random start."""
    if places >= len(people):
        return list(people), []
    start, step = random.random(), places / len(people)
    taken: tuple[list[Person], list[Person]] = ([], [])
    for place, person in enumerate(sorted(people, key=lambda one: one.segment)):
        is_out = math.ceil((place + 1) * step - start) == math.ceil(place * step - start)
        taken[is_out].append(person)
    return taken


class Events(NamedTuple):
    """What happened in a tick, event by event."""

    waits: Waits
    answered: list[Person]
    refused: list[Person]
    abandoned: list[Person]
    queue: list[Person]  # in order of arrival, those at servers first


@dataclass
class EventQueue:
    """One tick of M/M/c + M as a discrete-event simulation: first come, first served, each server with a clock."""

    random: Random
    params: Any
    servers: int
    speed: float  # services of a server, a tick
    system: list[Person]  # in order of arrival

    def play(self, entering: Sequence[Person]) -> Events:
        """Let ``entering`` come at uniform times of the tick."""
        self.heap: list[tuple[float, int, int, Person]] = []
        self.number = count()
        self.ahead: list[int] = []  # services that each visit that had to wait waited for
        self.answered: list[Person] = []
        self.refused: list[Person] = []
        self.abandoned: list[Person] = []
        for place, person in enumerate(self.system):
            if place < self.servers:
                self._start(person, 0.0)
            else:
                self._wait(person, self._patience() if person.is_served else person.patience)
        for person in entering:
            self._schedule(self.random.random(), ARRIVES, person)
        while self.heap and self.heap[0][0] < 1.0:
            time, _, kind, person = heapq.heappop(self.heap)
            (self._arrive, self._complete, self._leave)[kind](person, time)
        for person in self.system:
            person.work = (person.completion - 1.0) * self.speed if person.is_served else person.work
            person.patience -= 1.0
        waits = self._waits(len(entering) - len(self.refused))
        return Events(waits, self.answered, self.refused, self.abandoned, self.system)

    def _patience(self) -> float:
        return self.random.expovariate(1.0) * float(self.params.patience_ticks)

    def _schedule(self, time: float, kind: int, person: Person) -> None:
        heapq.heappush(self.heap, (time, next(self.number), kind, person))

    def _start(self, person: Person, time: float) -> None:
        person.is_served, person.completion = True, time + person.work / self.speed
        self._schedule(person.completion, COMPLETES, person)

    def _wait(self, person: Person, until: float) -> None:
        person.is_served, person.patience = False, until
        self._schedule(until, LEAVES, person)

    def _arrive(self, person: Person, time: float) -> None:
        waiting = len(self.system) - self.servers
        if self.params.queue_limit and waiting >= self.params.queue_limit * self.servers:
            self.refused.append(person)
            return
        person.work = self.random.expovariate(1.0)
        self.system.append(person)
        if waiting < 0:
            self._start(person, time)
        else:
            self.ahead.append(waiting + 1)
            self._wait(person, time + self._patience())

    def _complete(self, person: Person, time: float) -> None:
        self.system.remove(person)
        self.answered.append(person)
        if len(self.system) >= self.servers:
            self._start(self.system[self.servers - 1], time)

    def _leave(self, person: Person, _: float) -> None:
        if not person.is_served:
            self.system.remove(person)
            self.abandoned.append(person)

    def _waits(self, admitted: int) -> Waits:
        """The law that has the mean of the waits of this tick and, where all wait, their spread."""
        if not self.ahead:
            return Waits(0.0, 0.0, 0.0)
        tick_s, rate = self.params.seconds_per_tick, self.speed * self.servers
        if self.servers == 0:
            return Waits(1.0, 0.0, LONGEST_WAIT * tick_s)
        mean = fmean(self.ahead) / rate
        if len(self.ahead) < admitted:
            return Waits(len(self.ahead) / admitted, 0.0, mean * tick_s)
        variance = fmean((one / rate - mean) ** 2 for one in self.ahead) + mean / rate
        tail = min(mean, math.sqrt(variance))
        return Waits(1.0, (mean - tail) * tick_s, tail * tick_s)
