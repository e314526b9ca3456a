"""The slow reference: a sale in plain Python, one person and one unit at a time.

Written from the equations that the parts of ``flashsim/sim`` state, not from their code, to be compared with them in
distribution. Everybody is a :class:`Person` who arrives, brings others, waits, is answered or fails, tries again,
chooses, watches and comes back; every unit asked for is a :class:`Cart`. Where the simulator draws a count, here each
person draws; where it sums rates (sharing), here each person has offspring of their own. What is a law of the tick (the
services of a tick, the law of its waits) is a law of the tick here too. ``is_event_by_event`` is an ordinary
discrete-event simulation with a heap of services, each with a clock of its own.

Shared with the simulator are the names of the tables and of the ledger alone.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from flashsim.sim.ledger import Ledger
from flashsim.sim.state import CLOSE, PUSH, RELEASE, REORDER, SaleTables
from tests.reference_choice import add_missed, seen_factor
from tests.reference_draws import gamma_factor, outages
from tests.reference_queue import EventQueue, Person, Waits, evenly, health_after, poisson, tick_of_many

EXOGENOUS, ATTRACTED = range(2)


class Decision(NamedTuple):
    """What is decided in a tick."""

    price_index: tuple[int, ...]  # by product
    timing: int
    change: int
    cap: float


class Cart(NamedTuple):
    """One unit that somebody asked for and got."""

    product: int
    due: int  # tick
    price: float  # paid when due; NaN: comes back then


@dataclass
class ReferenceSale:
    """One sale of ``tables``; :meth:`tick` lets a tick pass and returns its ledger."""

    tables: SaleTables
    random: Random
    now: int = 0
    coming: dict[tuple[int, int, int], int] = field(default_factory=dict)  # tick, family, segment: friends to come
    usual: dict[tuple[int, int], float] = field(default_factory=dict)  # family, segment: ȳ
    debt: dict[tuple[int, int], float] = field(default_factory=dict)  # family, segment
    friends: dict[tuple[int, int], float] = field(default_factory=dict)  # family, segment: y
    expected: float = 0.0  # people of the tick, given what was before it
    push_goodwill: float = 0.0
    room: list[Person] = field(default_factory=list)
    queue: list[Person] = field(default_factory=list)
    retrying: list[Person] = field(default_factory=list)
    watching: list[Person] = field(default_factory=list)
    goodwill: list[float] = field(default_factory=list)
    reference: list[float] = field(default_factory=list)
    deepest: float = 0.0
    health: float = 1.0
    next_wave: int = 0
    carts: list[Cart] = field(default_factory=list)
    lots: list[int] = field(default_factory=list)  # tick at which each lot that was ordered goes on sale

    def __post_init__(self) -> None:
        tables, random = self.tables, self.random
        self.segments, self.products = tables.rate.shape[1:3]
        self.member = int(random.choice(list(tables.members)))
        common = gamma_factor(random, tables.common_variance[self.member])
        own = [gamma_factor(random, variance) for variance in tables.product_variance[self.member]]
        self.frailty = [common * factor for factor in own]
        self.fails = outages(random, tables)
        self.pushes_left = tables.traffic.push_budget
        self.levels = [tables.servers.start_servers]  # ordered before the sale, then by the end of each tick
        self.available = [0] * self.products
        self.unreleased = [int(units) for units in tables.planned]

    def happens(self, chance: float) -> bool:
        """Whether something of probability ``chance`` does."""
        return self.random.random() < chance

    def split(self, people: Sequence[Person], chance: float) -> tuple[list[Person], list[Person]]:
        """Those to whom something of probability ``chance`` happens, each alone, and the others."""
        parts: tuple[list[Person], list[Person]] = ([], [])
        for person in people:
            parts[not self.happens(chance)].append(person)
        return parts

    def tick(self, orders: Decision) -> dict[str, Any]:
        """Let one tick pass; its ledger by name, quantities of products as lists."""
        facts: dict[str, Any] = {"price_index": list(orders.price_index), "health": self.health}
        self._offer(orders, facts)
        self.expected = 0.0
        people = self._arrive(orders, facts)
        retries, self.retrying = self.split(self.retrying, -math.expm1(-1.0 / self.tables.servers.retry_delay))
        again = self._return_watchers(orders, facts) + retries
        self.expected += len(again)
        facts |= {"retries": len(retries), "abandoned": 0, "dismissed": 0, "given_up": 0}
        entering = self._admit(people + again, orders, facts)
        serve = self._cap_hard if self.tables.servers.hard_cap else self._serve
        served, appeal = serve(entering, facts)
        facts["served"] = len(served)
        facts["expired"] = self._take_back()
        facts["opening"] = list(self.available)
        self._sell(served, appeal, orders, facts)
        paid = self._collect(lambda cart: cart.due <= self.now)
        facts["is_closed"] = self.now + 1 >= self.tables.rate.shape[0] or orders.timing == CLOSE
        facts["leftover"] = [0] * self.products
        if facts["is_closed"]:
            paid += self._collect(lambda _: True)
            self._close(facts)
        self._account(paid, facts)
        self.health = health_after(self.tables.servers, self.health, facts["load"])
        self.now += 1
        return facts

    def _offer(self, orders: Decision, facts: dict[str, Any]) -> None:
        """Releases, lots, pushes and servers, as far as they are feasible."""
        tables, params, timing = self.tables, self.tables.servers, orders.timing
        waves, budget = len(tables.wave_tick), tables.stock.lots
        has_none = {RELEASE: self.next_wave >= waves, PUSH: self.pushes_left <= 0, REORDER: len(self.lots) >= budget}
        facts["projected"] = float(has_none.get(timing, False))
        is_due = self.next_wave < waves and self.now >= tables.wave_tick[self.next_wave]
        is_early = self.next_wave < waves and not is_due and timing == RELEASE
        released = [0] * self.products
        if is_due or is_early:
            released = [int(units) for units in tables.wave_units[self.next_wave]]
            self.unreleased = [held - units for held, units in zip(self.unreleased, released, strict=True)]
            self.next_wave += 1
        facts["ordered"] = [0] * self.products
        if timing == REORDER and len(self.lots) < budget:
            self.lots.append(self.now + tables.stock.lead_time)
            facts["ordered"] = [int(units) for units in tables.lot_units]
        arrived = self.lots.count(self.now)
        facts["released"] = [units + arrived * int(lot) for units, lot in zip(released, tables.lot_units, strict=True)]
        self.available = [on_sale + units for on_sale, units in zip(self.available, facts["released"], strict=True)]
        is_sent = timing == PUSH and self.pushes_left > 0
        self.pushes_left -= is_sent
        faded = self.push_goodwill * 0.5 ** (1.0 / tables.traffic.push_half_life)
        self.push_goodwill = faded + (1.0 - faded) * is_sent
        facts["pushes"], facts["early_releases"] = float(is_sent), float(is_early)
        wanted = self.levels[-1] + orders.change
        self.levels.append(min(max(wanted, params.min_servers), params.max_servers))
        facts["projected"] += float(self.levels[-1] != wanted)
        first = max(0, len(self.levels) - 1 - params.lag - params.drain_ticks)
        last = max(0, len(self.levels) - 1 - params.lag)
        present = max(self.levels[first : last + 1])  # working or not
        self.in_force = math.floor(tables.failures.pool_left * present) if self.now in self.fails["pool"] else present
        self.capacity = params.service_rate * self.in_force * self.health
        facts["servers"] = self.in_force
        facts["servers_billed"] = max(self.levels[first:]) if params.pays_while_booting else present
        facts["server_cost"] = params.cost * facts["servers_billed"]

    def _arrive(self, orders: Decision, facts: dict[str, Any]) -> list[Person]:
        """Everybody new: who comes anyway, who comes for the offer, and the friends whom earlier visitors bring."""
        params, conversion = self.tables.traffic, float(self.tables.conversion[self.member])
        surge = self.tables.failures.traffic_factor if self.now in self.fails["traffic"] else 1.0
        rates = surge * self.tables.rate[self.now, :, :, :, self.member].astype(np.float64)
        people: list[Person] = []
        came = [0, 0]
        self.units, self.visitors = [], []
        for segment in range(self.segments):
            units = [float(rates[segment, p, k]) * self.frailty[p] for p, k in enumerate(orders.price_index)]
            listed = sum(float(rates[segment, p, 0]) * self.frailty[p] for p in range(self.products))
            uplift = math.log(sum(units) / listed) if listed > 0.0 and sum(units) > 0.0 else 0.0
            headroom = math.log(params.highest_conversion / conversion)
            attraction = max(float(self.tables.traffic_share[self.member]) * uplift, uplift - headroom)
            visitors = sum(units) / conversion * math.exp(attraction - uplift)
            self.units.append(units)
            self.visitors.append(visitors)
            if self.now == 0:
                self.goodwill.append(attraction)
            informed = visitors * math.exp(params.goodwill_share * (self.goodwill[segment] - attraction))
            keeps = 0.5 ** (1.0 / params.goodwill_half_life)
            self.goodwill[segment] = keeps * self.goodwill[segment] + (1.0 - keeps) * attraction
            own = listed / conversion if params.has_exogenous_visitors else 0.0
            drawn = max(0.0, informed - own) + params.push_uplift * self.push_goodwill * informed
            for family, mean in ((EXOGENOUS, own), (ATTRACTED, drawn)):
                count = self._come(family, segment, mean)
                came[family] += count
                people += [Person(segment) for _ in range(count)]
        facts["exogenous_visitors"], facts["attracted_visitors"] = came
        return people

    def _come(self, family: int, segment: int, mean: float) -> int:
        """People of a family who come now; each brings others, who come after a geometric delay."""
        params = self.tables.traffic
        stays, ratio = math.exp(-1.0 / params.sharing_delay), params.sharing_ratio
        usual = self.usual.get((family, segment), 0.0)
        brought = self.coming.pop((self.now, family, segment), 0)
        open_mean = mean - usual - self.debt.get((family, segment), 0.0)
        self.debt[family, segment], immigrants = max(0.0, -open_mean), max(0.0, open_mean)
        count = brought + poisson(self.random, immigrants)
        friends = self.friends.get((family, segment), 0.0)
        self.expected += immigrants + friends
        self.friends[family, segment] = stays * friends + ratio * (1.0 - stays) * count
        if params.sharing_is_learned:
            self.usual[family, segment] = stays * usual + ratio * (1.0 - stays) * (immigrants + usual)
        for _ in range(count):
            for _ in range(poisson(self.random, ratio)):
                tick = self.now + 1
                while self.happens(stays):
                    tick += 1
                self.coming[tick, family, segment] = self.coming.get((tick, family, segment), 0) + 1
        return count

    def _return_watchers(self, orders: Decision, facts: dict[str, Any]) -> list[Person]:
        """Those who watch for a deeper discount and see one."""
        depth = sum(float(self.tables.depth[p, k]) for p, k in enumerate(orders.price_index)) / self.products
        rise = depth - self.deepest if self.now else 0.0
        returning: list[Person] = []
        if rise > 0.0:
            response = -math.expm1(-self.tables.choice.watch_response * rise)
            returning, self.watching = self.split(self.watching, response)
        self.deepest = max(self.deepest, depth) if self.now else depth
        facts["returning_visitors"] = len(returning)
        return returning

    def _admit(self, people: list[Person], orders: Decision, facts: dict[str, Any]) -> list[Person]:
        """The waiting room: those in it first, then those who have just come; some in it give up."""
        everybody = len(self.room) + len(people)
        places = everybody if orders.cap == math.inf else math.floor(orders.cap * self.capacity)
        self.expected += len(self.room)
        if orders.cap < math.inf:
            self.expected = min(places, self.expected)
        entering, waiting = evenly(self.random, self.room, places)
        more, new = evenly(self.random, people, places - len(entering))
        abandoned, waiting = self.split(waiting, -math.expm1(-1.0 / self.tables.room.room_patience))
        facts["abandoned"] += len(abandoned)
        self.room = waiting + new
        return entering + more

    def _cap_hard(self, entering: list[Person], facts: dict[str, Any]) -> tuple[list[Person], float]:
        """Reference sales: a fixed number is served at once, the others leave for good."""
        most = math.floor(self.tables.servers.service_rate * self.in_force)
        served, others = evenly(self.random, entering, most)
        facts["load"], facts["errors"] = len(entering) / max(most, 1), 0
        facts["abandoned"] += len(others)
        self._note_waits(Waits(0.0, 0.0, 0.0), facts)
        return served, 1.0

    def _serve(self, entering: list[Person], facts: dict[str, Any]) -> tuple[list[Person], float]:
        """Who is answered in time, and what the wait leaves of purchase weights."""
        params = self.tables.servers
        before = len(self.queue)
        facts["load"] = (before + len(entering)) / max(self.capacity, 1e-9)
        if params.is_event_by_event:
            speed = params.service_rate * self.health
            queue = EventQueue(self.random, params, self.in_force, speed, self.queue)
            waits, answered, refused, abandoned, self.queue = queue.play(entering)
        else:
            arrivals, expected = len(entering), self.expected
            tick = tick_of_many(
                self.random, params, self.in_force, self.capacity, before=before, arrivals=arrivals, expected=expected
            )
            waits = tick.waits
            answered, waiting = evenly(self.random, self.queue + entering, tick.answered)
            refused, waiting = evenly(self.random, waiting, tick.refused)
            abandoned, self.queue = evenly(self.random, waiting, tick.abandoned)
        longest = params.timeout_s - params.unloaded_latency_s
        served: list[Person] = []
        failed = list(refused)
        for person in answered:
            (failed if waits.draw(self.random) > longest else served).append(person)
        again, lost = self.split(failed, params.retry_share)
        self.retrying += again
        facts["errors"] = len(failed)
        facts["given_up"] += len(lost)
        facts["abandoned"] += len(abandoned)
        endured = self._note_waits(waits, facts)
        return served, math.exp(-params.latency_sensitivity * endured)

    def _note_waits(self, waits: Waits, facts: dict[str, Any]) -> float:
        """What the ledger says of waits; returns their mean until answered or timed out."""
        params = self.tables.servers
        endured = waits.endured(params.timeout_s - params.unloaded_latency_s)
        facts["wait_chance"], facts["wait_floor_s"], facts["wait_tail_s"] = waits
        facts["latency_mean_s"] = params.unloaded_latency_s + endured
        for percent in (50, 95, 99):
            latency = params.unloaded_latency_s + waits.quantile(percent / 100.0)
            facts[f"latency_p{percent}_s"] = min(params.timeout_s, latency)
        return endured

    def _appeals(self, appeal: float, orders: Decision) -> list[float]:
        """Factor on each product's purchase weight, as if all were on sale; the reference depths follow those shown."""
        params, factors = self.tables.choice, []
        depths = [float(self.tables.depth[p, k]) for p, k in enumerate(orders.price_index)]
        if not self.reference:
            self.reference = list(depths)
        keeps = 0.5 ** (1.0 / params.reference_half_life)
        for product, depth in enumerate(depths):
            gap = depth - self.reference[product]
            self.reference[product] = keeps * self.reference[product] + (1.0 - keeps) * depth
            left, planned = self.available[product], max(1, int(self.tables.planned[product]))
            factors.append(appeal * seen_factor(params, gap, left / planned if left > 0 else 1.0))
        return factors

    def _sell(self, served: list[Person], appeal: float, orders: Decision, facts: dict[str, Any]) -> None:
        """Each of those served chooses once; units are put into carts while there are any."""
        params, stock = self.tables.choice, self.tables.stock
        appeals = self._appeals(appeal, orders)
        for name in ("buyers", "requests", "reserved", "missed_requests"):
            facts[name] = [0] * self.products
        on_sale = [units > 0 for units in self.available]
        pays = 0.0 if self.now in self.fails["payment"] else 1.0 - stock.payment_failure
        for person in served:
            units = self.units[person.segment]
            outside = max(0.0, self.visitors[person.segment] - sum(units))
            full = [expected * factor for expected, factor in zip(units, appeals, strict=True)]
            weights = [weight if there else 0.0 for weight, there in zip(full, on_sale, strict=True)]
            add_missed(facts["missed_requests"], params, full, weights, outside)
            place, product = self.random.random() * (sum(weights) + outside), 0
            while product < self.products and place >= weights[product]:
                place -= weights[product]
                product += 1
            if product == self.products:
                if self.happens(params.watch_share):
                    self.watching.append(person)
                continue
            wanted = 1
            while wanted < params.limit and self.happens(params.another_unit):
                wanted += 1
            facts["buyers"][product] += 1
            facts["requests"][product] += wanted
            for _ in range(min(wanted, self.available[product])):
                self.available[product] -= 1
                facts["reserved"][product] += 1
                price = float(self.tables.price[product, orders.price_index[product]])
                is_good = self.happens(pays)
                due = self.now + (stock.payment_delay if is_good else stock.cart_timeout)
                self.carts.append(Cart(product, due, price if is_good else math.nan))

    def _take_back(self) -> list[int]:
        """Units of carts whose time is out are on sale again."""
        back = [0] * self.products
        for cart in self.carts:
            back[cart.product] += math.isnan(cart.price) and cart.due <= self.now
        self.carts = [cart for cart in self.carts if not (math.isnan(cart.price) and cart.due <= self.now)]
        self.available = [on_sale + units for on_sale, units in zip(self.available, back, strict=True)]
        return back

    def _collect(self, is_due: Callable[[Cart], bool]) -> list[Cart]:
        """Carts that are paid now."""
        paid = [cart for cart in self.carts if not math.isnan(cart.price) and is_due(cart)]
        gone = set(map(id, paid))
        self.carts = [cart for cart in self.carts if id(cart) not in gone]
        return paid

    def _close(self, facts: dict[str, Any]) -> None:
        """Those who wait leave, those who would try again do not; what is not sold is left over."""
        facts["dismissed"] = len(self.room) + len(self.queue)
        facts["abandoned"] += facts["dismissed"]
        facts["given_up"] += len(self.retrying)
        self.room, self.queue, self.retrying = [], [], []
        late = sum(tick > self.now for tick in self.lots)
        for product in range(self.products):
            facts["leftover"][product] = self.available[product] + self.unreleased[product]
            facts["leftover"][product] += late * int(self.tables.lot_units[product])
        for cart in self.carts:
            facts["expired"][cart.product] += 1
            facts["leftover"][cart.product] += 1
        self.carts = []

    def _account(self, paid: list[Cart], facts: dict[str, Any]) -> None:
        """Money, and who is where at the end of the tick."""
        tables, products = self.tables, range(self.products)
        for name in ("room", "queue", "retrying", "watching"):
            facts["backlog" if name == "queue" else name] = len(getattr(self, name))
        facts["utilization"] = min(1.0, facts["load"])
        facts["in_carts"] = [sum(cart.product == p for cart in self.carts) for p in products]
        facts["paid"] = [sum(cart.product == p for cart in paid) for p in products]
        facts["revenue"] = [sum(cart.price for cart in paid if cart.product == p) for p in products]
        full = [facts["paid"][p] * float(tables.list_price[p]) for p in products]
        facts["discount_given"] = [full[p] - facts["revenue"][p] for p in products]
        bought = [facts["paid"][p] + facts["leftover"][p] for p in products]
        facts["goods_cost"] = [bought[p] * float(tables.unit_cost[p]) for p in products]
        facts["salvage"] = sum(facts["leftover"][p] * float(tables.salvage_value[p]) for p in products)
        facts["lost_to_capacity"] = facts["given_up"] + facts["abandoned"]
        if tables.servers.hard_cap:
            came = facts["exogenous_visitors"] + facts["attracted_visitors"]
            facts["lost_to_capacity"] = min(came, facts["opening"][0]) - facts["reserved"][0]
        facts["penalty"] = tables.servers.penalty * facts["lost_to_capacity"]


def play(tables: SaleTables, schedule: Sequence[Decision], *, seed: int) -> dict[str, NDArray[np.float64]]:
    """Ledger of a sale under fixed orders: each entry of ``Ledger`` by name, (tick,) or (tick, product)."""
    sale, record = ReferenceSale(tables, Random(seed)), []
    for orders in schedule:
        record.append(sale.tick(orders))
        if record[-1]["is_closed"]:
            break
    return {name: np.array([facts[name] for facts in record], np.float64) for name in Ledger._fields}
