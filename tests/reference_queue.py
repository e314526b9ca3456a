"""Waiting and being served in the slow reference: one visit at a time, by law of the tick or by events in a heap."""

import heapq
import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count
from random import Random
from statistics import NormalDist, fmean
from typing import Any, NamedTuple

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


def waits_of_tick(params: Any, servers: int, capacity: float, *, before: int, expected: float, after: int) -> Waits:
    """Waits in a tick of many services: ``before`` visits carried over, ``expected`` ones let in, ``after`` left over.

    Nobody is answered without servers: whoever is there waits for the longest time that there is.
    """
    longest_s = LONGEST_WAIT * params.seconds_per_tick
    if servers == 0:
        return Waits(1.0, longest_s if before + after else 0.0, longest_s)
    use = min(1.0, (before + expected) / capacity)
    tail = 1.0 / (capacity * math.sqrt((1.0 - use) ** 2 + 1.0 / capacity))
    chance = 1.0
    if use == 0.0:
        chance = 0.0
    elif use < 1.0:
        gamma = (1.0 - use) * math.sqrt(servers)
        alpha = math.sqrt(-2.0 * servers * (1.0 - use + math.log(use)))
        ratio = NORMAL.cdf(alpha) / max(NORMAL.pdf(alpha), 1e-300)
        chance = 1.0 / (use + gamma * (ratio + 2.0 / (3.0 * math.sqrt(servers))))
    floor = min(LONGEST_WAIT, 0.5 * (before + after) / capacity)
    return Waits(chance, floor * params.seconds_per_tick, tail * params.seconds_per_tick)


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
