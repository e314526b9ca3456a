"""The sale as one would first write it: numpy's Generator and Python loops over segments and products, one sale a time.

Same phases, laws, parameters and observation as the simulator, with ticks of many services; its decisions are those of
``ActionConfig()``. It exists to be compared with, in speed by ``experiments.benchmark`` and in distribution by a test.
Source of all equations: ``flashsim/sim``.
"""

import math
from typing import Any

import gymnasium
import numpy as np
from numpy.typing import NDArray

from experiments.benchmarks.naive_parts import Answers, Outages, Pool, Queue, Shoppers, Stock, Traffic
from flashsim.envs.actions import ActionCodec, ActionConfig
from flashsim.envs.features import observation_space
from flashsim.envs.operator_memory import PACE_MEMORY
from flashsim.errors import InputError
from flashsim.scenarios.compiled import CompiledSale
from flashsim.sim.failures import FEED_FREEZES


class NaiveSale(gymnasium.Env[NDArray[Any], Any]):
    """One simulated sale of ``sale``; what is said of ``FlashSaleEnv`` holds here too, but for the random numbers.

    InputError for plans whose queue is that of reference sales or goes event by event.
    """

    metadata = {"render_modes": []}  # noqa: RUF012  (as Gymnasium has it)

    def __init__(self, sale: CompiledSale) -> None:
        if sale.tables.servers.hard_cap or sale.tables.servers.is_event_by_event:
            raise InputError(
                f"the naive env knows ticks of many services alone, {sale.name!r} has none; choose another"
            )
        self.sale, self.tables, self.codec = sale, sale.tables, ActionCodec(sale, ActionConfig())
        self.observation_space, self.action_space = observation_space(sale), self.codec.space
        self.segments, self.products, self.price_levels = sale.tables.rate.shape[1:4]

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.float32], dict[str, Any]]:
        """Open a sale: draw a member, frailties and when things fail, fill the stock."""
        super().reset(seed=seed)
        tables, products, rng = self.tables, self.products, self.np_random
        self.tick = 0
        member = int(rng.choice(tables.members))
        variances = [tables.common_variance[member], *tables.product_variance[member]]
        factors = [rng.gamma(1.0 / v, v) if v > 0.0 else 1.0 for v in variances]
        self.outages = outages = Outages(tables, rng)
        self.traffic = Traffic(tables, member, factors[0] * np.array(factors[1:]), outages, rng)
        self.pool, self.queue = Pool(tables, outages), Queue(tables, rng)
        self.shoppers, self.stock = Shoppers(tables, rng), Stock(tables, outages, rng)
        self.visitors_seen, self.visitors_expected, self.goodwill = 0.0, 0.0, 0.0
        self.requests_seen, self.requests_expected = np.zeros(products), np.zeros(products)
        self.pace, self.price_levels = np.zeros(products), np.zeros(products, np.int64)
        self.load, self.utilization, self.latency_s = 0.0, 0.0, tables.servers.unloaded_latency_s
        self.screen = self._observe()
        return self.screen.copy(), {}

    def step(self, action: NDArray[np.int64]) -> tuple[NDArray[np.float32], float, bool, bool, dict[str, Any]]:
        """Let one tick pass."""
        tables, tick, queue = self.tables, self.tick, self.queue
        orders = self.codec.decode(action[None], self.screen[None])
        price_index, timing = orders.price_index[0], int(orders.timing[0])
        depths = tables.depth[np.arange(self.products), price_index]
        self.stock.release(tick, timing)
        self.traffic.push(timing)
        billed = self.pool.order(tick, int(orders.change[0]))
        came = self.traffic.arrive(tick, price_index)
        again = [a + b for a, b in zip(self.shoppers.come_back(tick, depths), queue.retries(), strict=True)]
        doors = [a + b for a, b in zip(came.people, again, strict=True)]
        cap, expected = float(orders.cap[0]), came.expected + sum(again)
        entering, expected, left = queue.admit(doors, cap, self.pool.capacity, expected)
        answers = queue.serve(entering, self.pool, expected)
        self.stock.available += self.stock.expiring.popleft()
        requests = self.shoppers.choose(tick, depths, came, answers, self.stock.available)
        opening = self.stock.available.copy()
        paid = [self.stock.fulfill(tick, requests, price_index)]
        lost, reward = answers.lost + left, 0.0
        closed = tick + 1 >= self.sale.ticks
        if closed:
            late, leftover = self.stock.settle()
            paid += late
            lost += sum(queue.room) + sum(queue.backlog) + sum(queue.retrying)
            queue.room, queue.backlog = [0] * self.segments, [0] * self.segments
            reward += float(leftover @ (tables.salvage_value - tables.unit_cost))
        reward += sum(value - count * tables.unit_cost[p] for row in paid for p, (count, value) in enumerate(row))
        reward -= tables.servers.cost * billed + tables.servers.penalty * lost
        self._remember(price_index, sum(came.people), sum(doors), answers, requests, opening)
        self.pool.wear(answers.load)
        self.tick += 1
        if not self.outages.fails(FEED_FREEZES, tick):
            self.screen = self._observe()
        return self.screen.copy(), float(reward), closed, False, {}

    def _remember(
        self,
        price_index: NDArray[np.int64],
        came: int,
        visits: int,
        answers: Answers,
        requests: list[int],
        opening: NDArray[np.int64],
    ) -> None:
        """Learn levels of demand, as ``flashsim.envs.operator_memory`` says."""
        forecast, params, tick = self.sale.forecast, self.tables.traffic, self.tick
        each = np.arange(self.products)
        offer, listed = forecast.units[tick, each, price_index].sum(), forecast.units[tick, :, 0].sum()
        uplift = math.log(offer / listed) if listed > 0.0 and offer > 0.0 else 0.0
        attraction, decay = forecast.traffic_share * uplift, 0.5 ** (1.0 / params.goodwill_half_life)
        known = self.goodwill if tick else attraction
        self.goodwill = decay * known + (1.0 - decay) * attraction
        pushed = 1.0 + params.push_uplift * self.traffic.push_goodwill
        informed = math.exp(attraction + params.goodwill_share * (known - attraction))
        self.visitors_seen += came
        self.visitors_expected += forecast.visitors[tick, 0] * informed * pushed
        self.load = visits / (self.tables.servers.service_rate * max(1, self.pool.ordered))
        self.utilization, self.latency_s = min(1.0, answers.load), answers.latency_s
        self.pace = PACE_MEMORY * self.pace + (1.0 - PACE_MEMORY) * np.array(requests)
        self.price_levels = price_index
        answered = min(1.0, sum(answers.served) / max(visits, 1.0))
        expected = forecast.units[tick, each, price_index] * self._level() * answered * pushed
        has_stock = opening > requests
        self.requests_seen += np.where(has_stock, requests, 0)
        self.requests_expected += np.where(has_stock, expected, 0.0)

    def _level(self) -> float:
        variance = self.sale.forecast.common_variance
        return (1.0 + variance * self.visitors_seen) / (1.0 + variance * self.visitors_expected)

    def _observe(self) -> NDArray[np.float32]:
        """The columns of ``flashsim.envs.features.observation_table``."""
        sale, servers, forecast, level = self.sale, self.tables.servers, self.sale.forecast, self._level()
        budget, lots, most = self.tables.traffic.push_budget, self.tables.stock.lots, max(1, servers.max_servers)
        capacity = servers.service_rate * max(1, self.pool.ordered)
        ratios = [sum(self.queue.backlog) / capacity, sum(self.queue.room) / capacity]
        columns = [1.0 - self.tick / sale.ticks, self.pool.ordered / most]
        columns += [level / (1.0 + level), self.load / (1.0 + self.load), self.utilization]
        columns += [min(1.0, self.latency_s / servers.timeout_s), *(ratio / (1.0 + ratio) for ratio in ratios)]
        columns += [self.traffic.pushes_left / max(1, budget), self.traffic.push_goodwill]
        columns += [1.0 - self.stock.next_wave / len(self.tables.wave_tick)]
        columns += [self.stock.lots_left / max(1, lots), sum(self.stock.coming) / max(1, lots)]
        usual = max(forecast.visitors[0, 0], 1e-9)
        for ahead in sale.lookahead:
            in_force = self.pool.planned(self.tick + ahead)
            visitors = forecast.visitors[min(self.tick + ahead, sale.ticks)] * level
            loads = visitors / max(servers.service_rate * in_force, 1e-9)
            demand = visitors / usual
            pairs = np.stack([loads / (1.0 + loads), demand / (1.0 + demand)], axis=1)
            columns += [in_force / most, *pairs.ravel()]
        for product in range(self.products):
            columns += self._observe_product(product, level)
        return np.array(columns, np.float32)

    def most_units(self, product: int) -> int:
        """Units planned and those of all lots, at least 1."""
        tables = self.sale.tables
        return max(1, int(tables.planned[product] + tables.stock.lots * tables.lot_units[product]))

    def _observe_product(self, product: int, level: float) -> list[float]:
        """Cover at each price index, run-out index, stock, level, pace, price."""
        variance = self.sale.forecast.product_variance[product]
        own = level * (1.0 + variance * self.requests_seen[product])
        own /= 1.0 + variance * self.requests_expected[product]
        available = int(self.stock.available[product])
        stock, planned = available + int(self.stock.not_on_sale()[product]), self.most_units(product)
        demand = self.sale.forecast.future_units[self.tick, product] * own
        cover = stock / np.maximum(demand, 1e-9)
        run_out = np.interp(stock, demand, np.arange(self.price_levels))
        ahead = stock / max(self.pace[product] * (self.sale.ticks - self.tick), 1e-3)
        last = self.price_levels[product] / max(1, self.price_levels - 1)
        columns = [
            *(cover / (1.0 + cover)),
            run_out / max(1, self.price_levels - 1),
            stock / planned,
            available / planned,
        ]
        return [*columns, own / (1.0 + own), ahead / (1.0 + ahead), last]
