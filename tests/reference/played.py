"""Reference sales played through the env, and solved by a plain recursion that shares nothing with the solver."""

from collections.abc import Callable, Iterable
from functools import cache
from math import exp, floor

import numpy as np
from numpy.typing import NDArray

from flashsim.envs.vector import FlashSaleVectorEnv, SaleBatch
from flashsim.reference import JointPolicy, MenuSale, ReferenceSale
from flashsim.sim.state import Decisions

SALES = 20_000


def levels(batch: SaleBatch, tick: int) -> tuple[NDArray[np.int64], ...]:
    """Servers in force now, at the next tick, …, ordered last: the levels of the state, each (sale,)."""
    servers, rows = batch.batch.state.servers, batch.batch.rows
    lag = servers.orders.shape[1] - 1
    ring = rows(servers.orders)
    return tuple(ring[:, (tick + ahead + 1) % (lag + 1)] for ahead in range(lag)) or (rows(servers.ordered),)


def returns(
    sale: ReferenceSale, policy: NDArray[np.int64] | JointPolicy, *, sales: int = SALES, seed: int = 0
) -> NDArray[np.float64]:
    """Return of each simulated sale when ``policy``, a table, is played through the env."""
    env = FlashSaleVectorEnv(sale, num_envs=sales)
    env.reset(seed=seed)
    batch, total, hold = env.sales.batch, np.zeros(sales), np.zeros(sales, np.int64)
    caps = np.full(sales, np.inf)
    for tick in range(sale.rates.shape[0]):
        stock = batch.rows(batch.state.stock.available)[:, 0] if tick else np.full(sales, sale.stock)
        if isinstance(policy, JointPolicy):
            place = (tick, stock, *levels(env.sales, tick))
            price_index, change = policy.price_index[place], policy.change[place]
        else:
            price_index, change = policy[tick, stock], hold
        total += env.step(env.sales.codec.encode(Decisions(price_index[:, None], hold, change, caps)))[1]
    return total


def assert_mean(seen: NDArray[np.float64], truth: float) -> None:
    """Within 4 standard errors; 1e-7 more, for where every sale drawn sells out and the error seems to be 0."""
    error = seen.std(ddof=1) / np.sqrt(seen.size)
    assert abs(seen.mean() - truth) <= 4.0 * error + 1e-7 * abs(truth), f"{seen.mean()} ± {error}, expected {truth}"


def value_by_recursion(sale: ReferenceSale, judge: Callable[[Iterable[float]], float] = max) -> float:
    """The optimum by plain recursion over demands, written from the order of events alone; ``judge`` turns the values
    of all feasible actions in a state into one."""
    ticks, stock = sale.rates.shape[0], sale.stock
    rates, prices = sale.rates.tolist(), sale.prices.tolist()

    def capacity(servers: int) -> int:
        return stock if isinstance(sale, MenuSale) else floor(sale.mu * servers)

    most, start, step, lag = (
        (0, 0, 0, 0) if isinstance(sale, MenuSale) else (sale.max_servers, sale.start_servers, sale.step, sale.lag)
    )
    server_cost, penalty = (0.0, 0.0) if isinstance(sale, MenuSale) else (sale.server_cost, sale.penalty)

    def act(tick: int, stock: int, booked: tuple[int, ...], k: int) -> float:
        """Price k with ``booked`` for this tick and those after it, as many as the lag."""
        limit = min(stock, capacity(booked[0]))
        expected, chance, covered = -server_cost * booked[0], exp(-rates[tick][k]), 0.0
        for demand in range(stock + 1):
            is_rest = demand == stock
            p = 1.0 - covered if is_rest else chance
            sold = min(demand, limit)
            cash = prices[k] * sold - penalty * (demand - sold)
            expected += p * (cash + value(tick + 1, stock - sold, booked[1:], booked[-1]))
            covered += chance
            chance *= rates[tick][k] / (demand + 1)
        return expected

    @cache
    def value(tick: int, stock: int, coming: tuple[int, ...], chosen_last: int) -> float:
        if tick == ticks:
            return sale.salvage * stock
        orders = {min(max(chosen_last + change, 0), most) for change in range(-step, step + 1)}
        return judge(act(tick, stock, (*coming, level), k) for k in range(len(prices)) for level in orders)

    return value(0, stock, (start,) * lag, start)
