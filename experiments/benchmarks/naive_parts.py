"""The parts of the naive sale: what ``flashsim/sim`` states, with numpy's Generator and loops over segments, one sale.

Counts by segment are lists; each part draws from the Generator of its env.
"""

import math
from collections import deque
from typing import NamedTuple

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from flashsim.sim.failures import PAYMENT_FAILS, POOL_FAILS, TRAFFIC_SURGES
from flashsim.sim.state import PUSH, RELEASE, REORDER, SaleTables


def ration(counts: list[int], places: int, rng: Generator) -> list[int]:
    """How many of each segment get one of ``places``: every stretch of the queue holds all in proportion."""
    total, start, before, taken = sum(counts), rng.random(), 0, 0
    places, result = min(total, places), []
    for count in counts:
        before += count
        upto = places if before == total else min(places, int(before * places / max(total, 1) + start))
        upto = max(taken, min(upto, taken + count))
        result.append(upto - taken)
        taken = upto
    return result


class Outages:
    """When things fail in one sale."""

    def __init__(self, tables: SaleTables, rng: Generator) -> None:
        self.params = tables.failures
        latest = np.maximum(0, tables.rate.shape[0] - self.params.ticks)
        self.start = np.where(self.params.start < 0, rng.integers(latest + 1), self.params.start)

    def fails(self, kind: int, tick: int) -> bool:
        """Whether ``kind`` fails in ``tick``."""
        return bool(self.start[kind] <= tick < self.start[kind] + self.params.ticks[kind])


class Visitors(NamedTuple):
    """Who comes in a tick."""

    units: list[list[float]]  # segment, product; expected units of the offer
    mean: list[float]  # segment; expected visitors of the offer
    people: list[int]  # segment
    expected: float  # of all of them


class Traffic:
    """Who comes: exogenous and attracted people, goodwill, pushes, sharing."""

    def __init__(
        self, tables: SaleTables, member: int, frailty: NDArray[np.float64], outages: Outages, rng: Generator
    ) -> None:
        self.tables, self.member, self.frailty, self.outages, self.rng = tables, member, frailty, outages, rng
        segments = tables.rate.shape[1]
        self.goodwill = [0.0] * segments
        self.offspring = [[0.0] * segments, [0.0] * segments]
        self.usual = [[0.0] * segments, [0.0] * segments]
        self.debt = [[0.0] * segments, [0.0] * segments]
        self.push_goodwill, self.pushes_left = 0.0, tables.traffic.push_budget

    def push(self, timing: int) -> None:
        """Let the effect of pushes decay; send one if it is ordered and the budget allows."""
        self.push_goodwill *= 0.5 ** (1.0 / self.tables.traffic.push_half_life)
        if timing == PUSH and self.pushes_left > 0:
            self.push_goodwill, self.pushes_left = 1.0, self.pushes_left - 1

    def arrive(self, tick: int, price_index: NDArray[np.int64]) -> Visitors:
        """Draw the people of a tick."""
        tables, params, m = self.tables, self.tables.traffic, self.member
        decay = 0.5 ** (1.0 / params.goodwill_half_life)
        surge = tables.failures.traffic_factor if self.outages.fails(TRAFFIC_SURGES, tick) else 1.0
        came = Visitors([], [], [], 0.0)
        total = 0.0
        for segment in range(tables.rate.shape[1]):
            row, listed = [], 0.0
            for product, index in enumerate(price_index):
                rate = tables.rate[tick, segment, product]
                row.append(float(rate[index, m]) * self.frailty[product] * surge)
                listed += float(rate[0, m]) * self.frailty[product] * surge
            offer = sum(row)
            uplift = math.log(offer / listed) if listed > 0.0 and offer > 0.0 else 0.0
            headroom = math.log(params.highest_conversion / tables.conversion[m])
            attraction = max(tables.traffic_share[m] * uplift, uplift - headroom)
            mean = offer / tables.conversion[m] * math.exp(attraction - uplift)
            if tick == 0:
                self.goodwill[segment] = attraction
            informed = mean * math.exp(params.goodwill_share * (self.goodwill[segment] - attraction))
            self.goodwill[segment] = decay * self.goodwill[segment] + (1.0 - decay) * attraction
            own = listed / tables.conversion[m] if params.has_exogenous_visitors else 0.0
            attracted = max(0.0, informed - own) + params.push_uplift * self.push_goodwill * informed
            drawn = [self._come(0, segment, own), self._come(1, segment, attracted)]
            came.units.append(row)
            came.mean.append(mean)
            came.people.append(drawn[0][0] + drawn[1][0])
            total += drawn[0][1] + drawn[1][1]
        return came._replace(expected=total)

    def _come(self, family: int, segment: int, mean: float) -> tuple[int, float]:
        """People of one family, who bring others later, and how many were to be expected."""
        params = self.tables.traffic
        offspring, usual = self.offspring[family][segment], self.usual[family][segment]
        open_mean = mean - usual - self.debt[family][segment]
        self.debt[family][segment], mean = max(0.0, -open_mean), max(0.0, open_mean)
        rate = mean + offspring
        people = int(self.rng.poisson(rate))
        decay = math.exp(-1.0 / params.sharing_delay)
        ratio = params.sharing_ratio * (1.0 - decay)
        self.offspring[family][segment] = decay * offspring + ratio * people
        if params.sharing_is_learned:
            self.usual[family][segment] = decay * usual + ratio * (mean + usual)
        return people, rate


class Pool:
    """Servers: ordered, in force, billed; their health."""

    def __init__(self, tables: SaleTables, outages: Outages) -> None:
        self.tables, self.outages, self.health = tables, outages, 1.0
        self.levels: list[int] = []  # ordered by the end of each tick
        self.ordered = int(tables.servers.start_servers)

    def planned(self, tick: int) -> int:
        """Servers in force in ``tick`` if nothing more is ordered and nothing fails."""
        params = self.tables.servers
        last = tick - params.lag
        return max(self._level(when) for when in range(last - params.drain_ticks, last + 1))

    def _level(self, tick: int) -> int:
        if tick < 0:
            return int(self.tables.servers.start_servers)
        return self.levels[tick] if tick < len(self.levels) else self.ordered

    def order(self, tick: int, change: int) -> int:
        """Order servers; returns those to pay."""
        params = self.tables.servers
        self.ordered = min(max(self.ordered + change, params.min_servers), params.max_servers)
        self.levels.append(self.ordered)
        there = self.planned(tick)
        works = self.tables.failures.pool_left if self.outages.fails(POOL_FAILS, tick) else 1.0
        self.in_force = math.floor(works * there)
        self.capacity = float(params.service_rate * self.in_force * self.health)
        if not params.pays_while_booting:
            return there
        return max(self._level(when) for when in range(tick - params.lag - params.drain_ticks, tick + 1))

    def wear(self, load: float) -> None:
        """Collapse under ``load``, or recover."""
        params = self.tables.servers
        if params.collapse_load > 0.0 and load > params.collapse_load:
            self.health = params.collapsed_health
        else:
            self.health += params.recovery * (1.0 - self.health)


class Answers(NamedTuple):
    """What the queue makes of a tick."""

    served: list[int]  # segment
    lost: int  # visits that gave up or will not try again
    latency_s: float
    attraction: float  # factor on purchase weights
    load: float


class Queue:
    """Waiting room, servers' queue, time-outs and retries."""

    def __init__(self, tables: SaleTables, rng: Generator) -> None:
        self.tables, self.rng = tables, rng
        segments = tables.rate.shape[1]
        self.room, self.backlog, self.retrying = [0] * segments, [0] * segments, [0] * segments

    def retries(self) -> list[int]:
        """Visits that try again now."""
        chance = 1.0 - math.exp(-1.0 / self.tables.servers.retry_delay)
        again = [int(self.rng.binomial(count, chance)) for count in self.retrying]
        self.retrying = [count - back for count, back in zip(self.retrying, again, strict=True)]
        return again

    def admit(self, people: list[int], cap: float, capacity: float, expected: float) -> tuple[list[int], float, int]:
        """Who is let in, how many were to be expected, and how many gave up in the room."""
        if math.isinf(cap):
            entering = [a + b for a, b in zip(people, self.room, strict=True)]
            expected += sum(self.room)
            self.room = [0] * len(people)
            return entering, expected, 0
        places = int(cap * capacity)
        expected = min(float(places), expected + sum(self.room))
        first = ration(self.room, places, self.rng)
        then = ration(people, places - sum(first), self.rng)
        chance, left = 1.0 - math.exp(-1.0 / self.tables.room.room_patience), 0
        for segment, (old, new) in enumerate(zip(first, then, strict=True)):
            waiting = self.room[segment] - old
            gone = int(self.rng.binomial(waiting, chance))
            self.room[segment] = waiting - gone + people[segment] - new
            left += gone
        return [a + b for a, b in zip(first, then, strict=True)], expected, left

    def serve(self, entering: list[int], pool: Pool, expected: float) -> Answers:
        """Answer, time out, refuse, lose patience."""
        params, rng = self.tables.servers, self.rng
        people = [a + b for a, b in zip(entering, self.backlog, strict=True)]
        before, rate = sum(self.backlog), max(pool.capacity, 1e-9)
        answered = ration(people, int(rng.poisson(pool.capacity)), rng)
        waiting = [a - b for a, b in zip(people, answered, strict=True)]
        excess = sum(waiting) - params.queue_limit * pool.in_force if params.queue_limit else 0
        after = sum(waiting) - (max(0, excess) if pool.in_force else 0)
        chance, floor, tail = self._waits(before, expected, after, pool)
        longest = params.timeout_s - params.unloaded_latency_s
        fading = math.exp(-max(0.0, longest - floor) / max(tail, 1e-3 * longest))
        late = 1.0 if floor >= longest else chance * fading
        endured = longest if floor >= longest else floor + chance * tail * (1.0 - fading)
        refused = ration(waiting, max(0, excess), rng)
        leaves, lost = 1.0 - math.exp(-1.0 / params.patience_ticks), 0
        for segment in range(len(people)):
            timed_out = int(rng.binomial(answered[segment], late))
            staying = waiting[segment] - refused[segment]
            gone = int(rng.binomial(staying, leaves))
            failed = timed_out + refused[segment]
            again = int(rng.binomial(failed, params.retry_share))
            answered[segment] -= timed_out
            self.backlog[segment] = staying - gone
            self.retrying[segment] += again
            lost += gone + failed - again
        attraction = math.exp(-params.latency_sensitivity * endured)
        return Answers(answered, lost, params.unloaded_latency_s + endured, attraction, sum(people) / rate)

    def _waits(self, before: int, expected: float, after: int, pool: Pool) -> tuple[float, float, float]:
        """Chance, floor and mean tail of waits, seconds."""
        rate, servers = max(pool.capacity, 1e-9), pool.in_force
        use = max(1e-9, min(1.0, (before + expected) / rate))
        floor = min(1e4, 0.5 * (before + after) / rate)
        tail = min(1e4, 1.0 / (rate * math.sqrt((1.0 - use) ** 2 + 1.0 / rate)))
        half_square = min(700.0, max(0.0, -servers * (1.0 - use + math.log(use))))
        ratio = math.sqrt(2.0 * math.pi) * math.exp(half_square) * 0.5 * math.erfc(-math.sqrt(half_square))
        inverse = use + (1.0 - use) * (math.sqrt(servers) * ratio + 2.0 / 3.0)
        seconds = self.tables.servers.seconds_per_tick
        return 1.0 / max(1.0, inverse) if servers else 1.0, floor * seconds, tail * seconds


class Shoppers:
    """What those served ask for, and who watches for a deeper discount."""

    def __init__(self, tables: SaleTables, rng: Generator) -> None:
        self.tables, self.rng = tables, rng
        self.watching = [0] * tables.rate.shape[1]
        self.reference = np.zeros(tables.rate.shape[2])
        self.deepest = 0.0

    def come_back(self, tick: int, depths: NDArray[np.float64]) -> list[int]:
        """Those who watched and see a deeper discount."""
        depth = float(depths.mean())
        rise = depth - self.deepest if tick else 0.0
        self.deepest = max(self.deepest, depth) if tick else depth
        chance = 1.0 - math.exp(-self.tables.choice.watch_response * max(0.0, rise))
        returning = [int(self.rng.binomial(count, chance)) for count in self.watching]
        self.watching = [count - back for count, back in zip(self.watching, returning, strict=True)]
        return returning

    def _factors(self, tick: int, depths: NDArray[np.float64], available: NDArray[np.int64]) -> NDArray[np.float64]:
        """Reference price and scarcity."""
        params, planned = self.tables.choice, np.maximum(1, self.tables.planned)
        if tick == 0:
            self.reference = depths.copy()
        gap = depths - self.reference
        decay = 0.5 ** (1.0 / params.reference_half_life)
        self.reference = decay * self.reference + (1.0 - decay) * depths
        factors = np.exp(np.where(gap >= 0.0, params.reference_gain, params.reference_loss) * gap)
        if params.scarcity_threshold > 0.0:
            rest = available / planned / params.scarcity_threshold
            factors *= 1.0 + params.scarcity_cue * np.maximum(0.0, 1.0 - rest)
        return np.where(available > 0, factors, 0.0)

    def choose(
        self, tick: int, depths: NDArray[np.float64], came: Visitors, answers: Answers, available: NDArray[np.int64]
    ) -> list[int]:
        """Units asked for (product,): a multinomial logit by conditional binomials, then further units."""
        params, factors = self.tables.choice, answers.attraction * self._factors(tick, depths, available)
        requests = [0] * len(depths)
        for segment, row in enumerate(came.units):
            weights = [expected * factors[product] for product, expected in enumerate(row)]
            rest, left = max(0.0, came.mean[segment] - sum(row)) + sum(weights), answers.served[segment]
            for product, weight in enumerate(weights):
                drawn = int(self.rng.binomial(left, min(1.0, weight / rest) if weight > 0.0 else 0.0))
                requests[product] += drawn
                left -= drawn
                rest -= weight
            self.watching[segment] += int(self.rng.binomial(left, params.watch_share))
        for product, buyers in enumerate(requests):
            more = buyers
            for _ in range(params.limit - 1):
                more = int(self.rng.binomial(more, params.another_unit))
                requests[product] += more
        return requests


class Stock:
    """Waves, lots, carts and payments."""

    def __init__(self, tables: SaleTables, outages: Outages, rng: Generator) -> None:
        self.tables, self.outages, self.rng = tables, outages, rng
        products = tables.rate.shape[2]
        self.unreleased, self.available = tables.planned.copy(), np.zeros(products, np.int64)
        self.next_wave, self.lots_left = 0, tables.stock.lots
        self.coming = deque([0] * tables.stock.lead_time)
        self.paying = deque([(0, 0.0)] * products for _ in range(tables.stock.payment_delay))
        self.expiring = deque([0] * products for _ in range(max(1, tables.stock.cart_timeout)))

    def release(self, tick: int, timing: int) -> None:
        """The next wave if it is due or wanted; lots that were ordered."""
        tables, wave = self.tables, self.next_wave
        if wave < len(tables.wave_tick) and (tick >= tables.wave_tick[wave] or timing == RELEASE):
            self.available += tables.wave_units[wave]
            self.unreleased -= tables.wave_units[wave]
            self.next_wave += 1
        is_ordered = timing == REORDER and self.lots_left > 0
        self.lots_left -= is_ordered
        self.coming.append(int(is_ordered))
        self.available += self.coming.popleft() * tables.lot_units

    def fulfill(self, tick: int, requests: list[int], price_index: NDArray[np.int64]) -> list[tuple[int, float]]:
        """Fill requests while there are units; returns units and money paid now (product,)."""
        tables, carts, returns = self.tables, [], []
        pays = 0.0 if self.outages.fails(PAYMENT_FAILS, tick) else 1.0 - tables.stock.payment_failure
        for product, asked in enumerate(requests):
            reserved = min(asked, int(self.available[product]))
            self.available[product] -= reserved
            will_pay = int(self.rng.binomial(reserved, pays))
            carts.append((will_pay, will_pay * tables.price[product, price_index[product]]))
            returns.append(reserved - will_pay)
        self.paying.append(carts)
        self.expiring.append(returns)
        return self.paying.popleft()

    def settle(self) -> tuple[list[list[tuple[int, float]]], NDArray[np.int64]]:
        """At the close: what is still paid, and the units left over."""
        for row in self.expiring:
            self.available += row
        return list(self.paying), self.available + self.not_on_sale()

    def not_on_sale(self) -> NDArray[np.int64]:
        """Units of waves and lots still to come, (product,)."""
        return self.unreleased + sum(self.coming) * self.tables.lot_units
