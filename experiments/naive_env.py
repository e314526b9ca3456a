"""The sale as one would first write it: numpy's Generator and Python loops over segments and products, one sale a time.

Same phases, laws, parameters and observation as the simulator, 81 draws a step at 8 products and 6 segments; the orders
of the day (releases, pushes, servers) as decisions of ``ActionConfig()``. It exists to be compared with, in speed by
``experiments.benchmark`` and in distribution by a test. Source of all equations: ``flashsim/sim``.
"""

from collections import deque
from typing import Any

import gymnasium
import numpy as np
from numpy.typing import NDArray

from flashsim.envs.observation import PACE_MEMORY
from flashsim.envs.spaces import ActionCodec, ActionConfig, observation_space
from flashsim.plan import Plan
from flashsim.sim.sale import PUSH, RELEASE


class NaiveSale(gymnasium.Env[NDArray[Any], Any]):
    """One simulated sale of ``plan``; what is said of ``FlashSaleEnv`` holds here too, but for the random numbers."""

    metadata = {"render_modes": []}  # noqa: RUF012  (as Gymnasium has it)

    def __init__(self, plan: Plan) -> None:
        self.plan, self.tables, self.codec = plan, plan.tables, ActionCodec(plan, ActionConfig())
        self.observation_space, self.action_space = observation_space(plan), self.codec.space
        self.segments, self.products, self.menu = plan.tables.rate.shape[1:4]

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.float32], dict[str, Any]]:
        """Open a sale: draw a member and frailties, fill the stock."""
        super().reset(seed=seed)
        tables, servers, products = self.tables, self.tables.servers, self.products
        self.tick, self.next_wave = 0, 0
        self.member = int(self.np_random.choice(tables.members))
        variances = [tables.common_variance[self.member], *tables.product_variance[self.member]]
        factors = [self.np_random.gamma(1.0 / v, v) if v > 0.0 else 1.0 for v in variances]
        self.frailty = factors[0] * np.array(factors[1:])
        self.goodwill, self.pushes_left = 0.0, tables.traffic.push_budget
        self.ordered = servers.start_servers
        self.levels = deque([servers.start_servers] * (servers.lag + 1), maxlen=servers.lag + 1)
        self.backlog = [0] * self.segments
        self.unreleased, self.available = self.plan.stock.copy(), np.zeros(products, np.int64)
        self.paying = deque([(0, 0.0)] * products for _ in range(tables.stock.payment_delay))
        self.expiring = deque([0] * products for _ in range(tables.stock.cart_timeout))
        self.visitors_seen, self.visitors_expected = 0.0, 0.0
        self.requests_seen, self.requests_expected = np.zeros(products), np.zeros(products)
        self.pace, self.last_menu = np.zeros(products), np.zeros(products, np.int64)
        self.load, self.utilization, self.latency_s = 0.0, 0.0, servers.unloaded_latency_s
        return self._observe(), {}

    def step(self, action: NDArray[np.int64]) -> tuple[NDArray[np.float32], float, bool, bool, dict[str, Any]]:
        """Let one tick pass."""
        tables, rng = self.tables, self.np_random
        (menu,), (timing,), (change,) = self.codec.decode(action[None], np.zeros((1, 0), np.float32))
        billed = self._carry_out(int(timing), int(change))
        units, visitors, exogenous, attracted = self._arrive(menu)
        served, errors, abandoned, attraction = self._serve([a + b for a, b in zip(exogenous, attracted, strict=True)])
        if tables.stock.cart_timeout:
            self.available += self.expiring.popleft()
        requests = self._choose(units, visitors, served, attraction)
        opening = self.available.copy()
        carts, returns = [], []
        for product in range(self.products):
            reserved = min(requests[product], int(self.available[product]))
            self.available[product] -= reserved
            will_pay = int(rng.binomial(reserved, 1.0 - tables.stock.payment_failure))
            carts.append((will_pay, will_pay * tables.price[product, menu[product]]))
            returns.append(reserved - will_pay)
        self.paying.append(carts)
        self.expiring.append(returns)
        closed = self.tick + 1 >= self.plan.ticks
        paid = self._settle() if closed else [self.paying.popleft()]
        reward = sum(value - count * tables.unit_cost[p] for row in paid for p, (count, value) in enumerate(row))
        reward -= tables.servers.cost * billed
        if closed:
            left = self.available + self.unreleased
            reward += float(left @ (tables.salvage_value - tables.unit_cost))
            abandoned += sum(self.backlog)
        reward -= tables.servers.penalty * (errors + abandoned)
        self._remember(menu, sum(exogenous) + sum(attracted), sum(served), requests, opening)
        self.tick += 1
        return self._observe(), float(reward), closed, False, {}

    def _carry_out(self, timing: int, change: int) -> int:
        """Release, push, order servers; returns the servers to pay."""
        tables, servers = self.tables, self.tables.servers
        wave = self.next_wave
        if wave < len(tables.wave_tick) and (self.tick >= tables.wave_tick[wave] or timing == RELEASE):
            self.available += tables.wave_units[wave]
            self.unreleased -= tables.wave_units[wave]
            self.next_wave += 1
        if timing == PUSH and self.pushes_left > 0:
            self.goodwill, self.pushes_left = 1.0, self.pushes_left - 1
        else:
            self.goodwill *= 0.5 ** (1.0 / tables.traffic.push_half_life)
        self.ordered = min(max(self.ordered + change, servers.min_servers), servers.max_servers)
        self.levels.append(self.ordered)
        return max(self.levels) if servers.pays_while_booting else self.levels[0]

    def _arrive(self, menu: NDArray[np.int64]) -> tuple[list[list[float]], list[float], list[int], list[int]]:
        """Expected units (segment, product), expected visitors, then people: who come anyway, and attracted ones."""
        tables, rng, m = self.tables, self.np_random, self.member
        units, visitors, exogenous, attracted = [], [], [], []
        for segment in range(self.segments):
            row, listed = [], 0.0
            for product in range(self.products):
                rate = tables.rate[self.tick, segment, product]
                row.append(float(rate[menu[product], m]) * self.frailty[product])
                listed += float(rate[0, m]) * self.frailty[product]
            offer = sum(row)
            uplift = offer / listed if listed > 0.0 and offer > 0.0 else 1.0
            chance = tables.conversion[m] * uplift ** (1.0 - tables.traffic_share[m])
            mean = offer / min(tables.traffic.highest_conversion, chance)
            own = listed / tables.conversion[m]
            pushed = tables.traffic.push_uplift * self.goodwill * mean
            units.append(row)
            visitors.append(mean)
            exogenous.append(int(rng.poisson(own)))
            attracted.append(int(rng.poisson(max(0.0, mean - own) + pushed)))
        return units, visitors, exogenous, attracted

    def _serve(self, arrivals: list[int]) -> tuple[list[int], int, int, float]:
        """Visits served (segment,), timed out, given up, and the factor that waiting leaves on purchase weights."""
        servers, rng = self.tables.servers, self.np_random
        in_force = self.levels[0]
        rate = max(servers.service_rate * in_force, 1e-9)
        carried = sum(self.backlog)
        people = [a + b for a, b in zip(arrivals, self.backlog, strict=True)]
        total = sum(people)
        capacity = int(rng.poisson(servers.service_rate * in_force))
        use = min(1.0, total / rate)
        stationary = max(use, 1e-9) ** (np.sqrt(2.0 * (in_force + 1.0)) - 1.0)
        stationary /= rate * np.sqrt((1.0 - use) ** 2 + 1.0 / rate)
        wait = min(1e4, 0.5 * (carried + max(0, total - capacity)) / rate + stationary)
        wait_s = wait * servers.seconds_per_tick
        served, start, before, taken = [], rng.random(), 0, 0
        take = min(total, capacity)
        for count in people:  # systematic sampling: every stretch of the queue holds all segments in proportion
            before += count
            upto = take if before == total else min(take, int(before * take / max(total, 1) + start))
            upto = max(taken, min(upto, taken + count))
            served.append(upto - taken)
            taken = upto
        slack = servers.timeout_s - servers.unloaded_latency_s
        late, errors, abandoned = np.exp(-slack / max(wait_s, 1e-3 * slack)), 0, 0
        for segment in range(self.segments):
            waiting = people[segment] - served[segment]
            timed_out = int(rng.binomial(served[segment], late))
            gone = int(rng.binomial(waiting, 1.0 - np.exp(-1.0 / servers.patience_ticks)))
            served[segment] -= timed_out
            self.backlog[segment] = waiting - gone
            errors, abandoned = errors + timed_out, abandoned + gone
        endured_s = wait_s * (1.0 - late)
        self.utilization, self.latency_s = use, servers.unloaded_latency_s + endured_s
        return served, errors, abandoned, float(np.exp(-servers.latency_sensitivity * endured_s))

    def _choose(
        self, units: list[list[float]], visitors: list[float], served: list[int], attraction: float
    ) -> list[int]:
        """Units asked for (product,): a multinomial logit by conditional binomials."""
        requests = [0] * self.products
        for segment, row in enumerate(units):
            seen = [u * attraction if self.available[p] > 0 else 0.0 for p, u in enumerate(row)]
            weight, left = visitors[segment] + sum(seen) - sum(row), served[segment]
            for product in range(self.products):
                chance = min(1.0, seen[product] / weight) if seen[product] > 0.0 else 0.0
                drawn = int(self.np_random.binomial(left, chance))
                requests[product] += drawn
                left -= drawn
                weight -= seen[product]
        return requests

    def _settle(self) -> list[list[tuple[int, float]]]:
        """At the close all carts are paid or come back; returns what is paid."""
        for row in self.expiring:
            self.available += row
        return list(self.paying)

    def _remember(
        self, menu: NDArray[np.int64], came: int, served: int, requests: list[int], opening: NDArray[np.int64]
    ) -> None:
        """Learn levels of demand, as ``flashsim.envs.observation`` says."""
        forecast, tick = self.plan.forecast, self.tick
        each = np.arange(self.products)
        offer, listed = forecast.units[tick, each, menu].sum(), forecast.units[tick, :, 0].sum()
        uplift = offer / listed if listed > 0.0 and offer > 0.0 else 1.0
        pushed = 1.0 + self.tables.traffic.push_uplift * self.goodwill
        self.visitors_seen += came
        self.visitors_expected += forecast.visitors[tick, 0] * uplift**forecast.traffic_share * pushed
        self.load = came / (self.tables.servers.service_rate * max(1, self.ordered))
        self.pace = PACE_MEMORY * self.pace + (1.0 - PACE_MEMORY) * np.array(requests)
        self.last_menu = menu
        answered = min(1.0, served / max(came, 1.0))
        expected = forecast.units[tick, each, menu] * self._level() * answered * pushed
        has_stock = opening > requests
        self.requests_seen += np.where(has_stock, requests, 0)
        self.requests_expected += np.where(has_stock, expected, 0.0)

    def _level(self) -> float:
        variance = self.plan.forecast.common_variance
        return (1.0 + variance * self.visitors_seen) / (1.0 + variance * self.visitors_expected)

    def _observe(self) -> NDArray[np.float32]:
        """The columns of ``flashsim.envs.spaces.observation_table``."""
        plan, servers, forecast, level = self.plan, self.tables.servers, self.plan.forecast, self._level()
        waves, budget = len(self.tables.wave_tick), max(1, self.tables.traffic.push_budget)
        waiting = sum(self.backlog) / (servers.service_rate * max(1, self.ordered))
        columns = [1.0 - self.tick / plan.ticks, self.ordered / max(1, servers.max_servers)]
        columns += [level / (1.0 + level), self.load / (1.0 + self.load), self.utilization]
        columns += [min(1.0, self.latency_s / servers.timeout_s), waiting / (1.0 + waiting)]
        columns += [self.pushes_left / budget, self.goodwill, 1.0 - self.next_wave / waves]
        levels = list(self.levels)[1:] if self.tick else list(self.levels)  # those of this tick and later
        usual = max(forecast.visitors[0, 0], 1e-9)
        for ahead in plan.lookahead:
            in_force = levels[ahead] if ahead < servers.lag else self.ordered
            visitors = forecast.visitors[min(self.tick + ahead, plan.ticks)] * level
            loads = visitors / max(servers.service_rate * in_force, 1e-9)
            demand = visitors / usual
            pairs = np.stack([loads / (1.0 + loads), demand / (1.0 + demand)], axis=1)
            columns += [in_force / max(1, servers.max_servers), *pairs.ravel()]
        for product in range(self.products):
            columns += self._observe_product(product, level)
        return np.array(columns, np.float32)

    def _observe_product(self, product: int, level: float) -> list[float]:
        """Cover at each menu index, run-out index, stock, level, pace, price."""
        variance = self.plan.forecast.product_variance[product]
        own = level * (1.0 + variance * self.requests_seen[product])
        own /= 1.0 + variance * self.requests_expected[product]
        available = int(self.available[product])
        stock, planned = available + int(self.unreleased[product]), max(1, int(self.plan.stock[product]))
        demand = self.plan.forecast.future_units[self.tick, product] * own
        cover = stock / np.maximum(demand, 1e-9)
        run_out = np.interp(stock, demand, np.arange(self.menu))
        ahead = stock / max(self.pace[product] * (self.plan.ticks - self.tick), 1e-3)
        last = self.last_menu[product] / max(1, self.menu - 1)
        columns = [*(cover / (1.0 + cover)), run_out / max(1, self.menu - 1), stock / planned, available / planned]
        return [*columns, own / (1.0 + own), ahead / (1.0 + ahead), last]
