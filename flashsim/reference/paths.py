"""What simpler ways of planning earn on a reference sale, and a bound: functions of the sale alone.

    best fixed    one price (and one level of servers, reached as fast as the steps allow) for the whole sale
    price path    price indices k_0 … k_{T-1} (and levels of servers), announced before the sale, whatever sells
    markdown      the optimum when a lowered price may never rise again
    siloed        prices optimized as if capacity did not matter, then servers optimized given those prices
    fluid         demand equals its mean: a linear program, and a bound

**The fluid bound.** Let z_tkc be the probability that a policy shows price k in tick t while level c is in force, and
s_tkc the expected units sold then. Each unit is sold once: Σ s <= stock. Given t, k and c demand D is Poisson(rate_tk)
whatever has happened before, and sales exceed neither D nor the capacity: s_tkc <= E[min(D_tk, capacity_c)]·z_tkc (menu
sales: rate_tk·z_tk). In the first ``lag`` ticks the level is ``start_servers``. The reward is Σ prices_k·s - cost_c·z -
penalties + salvage·(stock - Σ s) with penalties >= 0. So no policy earns more than

    max  Σ (prices_k - salvage)·s_tkc - cost_c·z_tkc + salvage·stock
    s.t. Σ s <= stock,   0 <= s_tkc <= E[min(D_tk, capacity_c)]·z_tkc,   Σ_kc z_tkc = 1 for each t,   z >= 0.

The bound ignores penalties and the limit ``step`` on changes of the level. For menu sales it is the textbook's fluid
bound.

Source: Gallego & van Ryzin (1994), Management Science 40(8), theorem 1; Puterman (1994), Markov Decision Processes,
section 4.5, for the inductions. The best price path comes from a local search, so its value is a lower bound on that of
the best path.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, sparse, special

from flashsim.reference.sales import JointSale, MenuSale, ReferenceSale, menu_sale
from flashsim.reference.solution import (
    JointPolicy,
    SaleModel,
    as_model,
    induct,
    poisson_chances,
    price_worth,
    solve,
)


@dataclass(frozen=True, eq=False)
class PricePath:
    """A price for each tick, independent of what sells; in a joint sale the servers, too, for nothing is seen."""

    value: float
    """Expected reward, exactly."""
    price_index: NDArray[np.int64]  # tick; price index
    level: NDArray[np.int64]  # tick; servers in force (0 in a menu sale)


def fluid_value(sale: ReferenceSale) -> float:
    """The most that any policy could earn if demand were its mean: at least the optimum (the module's docstring has the
    proof)."""
    if isinstance(sale, JointSale):
        levels = np.arange(sale.max_servers + 1)
        most = _expected_sales(sale.rates, sale.capacities)
        costs = sale.server_cost * levels
    else:
        most, costs = sale.rates[:, :, None], np.zeros(1)
    ticks, price_levels, count = most.shape
    size = most.size
    gain = np.broadcast_to((sale.prices - sale.salvage)[None, :, None], most.shape).ravel()
    objective = np.concatenate([-gain, np.tile(costs, ticks * price_levels)])
    within = sparse.hstack([sparse.eye_array(size), sparse.diags_array(-most.ravel())])
    total = sparse.csr_array(np.concatenate([np.ones(size), np.zeros(size)])[None, :])
    one_each = sparse.hstack(
        [sparse.csr_array((ticks, size)), sparse.kron(sparse.eye_array(ticks), np.ones((1, price_levels * count)))]
    )
    upper = np.full((ticks, price_levels, count), np.inf)
    if isinstance(sale, JointSale):
        upper[: sale.lag, :, levels != sale.start_servers] = 0.0
    found = optimize.linprog(
        objective,
        A_ub=sparse.vstack([within, total]),
        b_ub=np.concatenate([np.zeros(size), [float(sale.stock)]]),
        A_eq=one_each,
        b_eq=np.ones(ticks),
        bounds=np.stack([np.zeros(2 * size), np.concatenate([np.full(size, np.inf), upper.ravel()])], axis=1),
        method="highs",
    )
    return float(sale.salvage * sale.stock - found.fun)


def _expected_sales(rates: NDArray[np.float64], capacities: NDArray[np.int64]) -> NDArray[np.float64]:
    """E[min(D, capacity)] (tick, price, level) for D ~ Poisson(rates): rate·P(D < capacity) + capacity·P(D > capacity).

    (E[D; D <= c] = rate·P(D <= c - 1).)
    """
    rate, most = rates[:, :, None], capacities.astype(np.float64)[None, None, :]
    below = np.where(most >= 1.0, special.pdtr(np.maximum(most - 1.0, 0.0), rate), 0.0)
    return rate * below + most * special.pdtrc(most, rate)


def best_markdown(sale: MenuSale) -> float:
    """The optimum when prices may only fall: induction over the stock and the lowest price shown so far."""
    order = np.argsort(-sale.prices, kind="stable")
    model = as_model(sale)
    units = np.arange(model.stock + 1, dtype=np.float64)
    values = np.tile((model.salvage * units)[:, None], (1, order.size))  # stock, place in the order of the last price
    for tick in range(model.ticks - 1, -1, -1):
        worth = np.stack(
            [price_worth(model, tick, int(k), values[:, place, None])[0, :, 0] for place, k in enumerate(order)], axis=1
        )
        values = np.flip(np.maximum.accumulate(np.flip(worth, axis=1), axis=1), axis=1)
    return float(values[model.stock, 0])


def best_fixed(sale: ReferenceSale) -> float:
    """Expected reward, exactly, of the best price held for the whole sale; in a joint sale also of the best level of
    servers, which is approached from ``start_servers`` as fast as the steps allow."""
    return max(path.value for paths in _held(as_model(sale)) for path in paths)


def best_price_path(sale: ReferenceSale) -> PricePath:
    """The best path of a local search, tick by tick, that starts from every constant price, each with the level of
    servers that suits it best, and from falling prices."""
    model = as_model(sale)
    held = [max(paths, key=lambda path: path.value) for paths in _held(model)]
    order = np.argsort(-sale.prices, kind="stable")
    ramp = order[np.minimum(np.arange(model.ticks) * order.size // model.ticks, order.size - 1)]
    level = max(held, key=lambda path: path.value).level
    starts = [*held, PricePath(_path_values(model, ramp, level)[0, model.stock], ramp, level)]
    return max((_climb(model, start) for start in starts), key=lambda path: path.value)


def _held(model: SaleModel) -> list[list[PricePath]]:
    """Each price, with each level of servers, held for the whole sale."""
    found = []
    for k in range(model.prices.size):
        paths = [(np.full(model.ticks, k), _approach(model, level)) for level in range(model.levels)]
        found.append([PricePath(float(_path_values(model, *path)[0, model.stock]), *path) for path in paths])
    return found


def _approach(model: SaleModel, level: int) -> NDArray[np.int64]:
    """Levels in force (tick) that go from the first to ``level`` as fast as the steps allow."""
    orders = np.maximum(0, np.arange(model.ticks) - model.lag + 1)
    most = orders * model.step
    return model.start_level + np.clip(level - model.start_level, -most, most)


def _path_values(model: SaleModel, price_index: NDArray[np.int64], level: NDArray[np.int64]) -> NDArray[np.float64]:
    """Expected reward-to-go (tick, one more than the sale has; stock) on a path."""
    values = np.zeros((model.ticks + 1, model.stock + 1))
    values[-1] = model.salvage * np.arange(model.stock + 1)
    for tick in range(model.ticks - 1, -1, -1):
        now = slice(level[tick], level[tick] + 1)  # what the other levels would earn would take most of the time
        alone = model._replace(capacities=model.capacities[now], costs=model.costs[now])
        values[tick] = _worth(alone, tick, int(price_index[tick]), values[tick + 1])[:, 0]
    return values


def _worth(model: SaleModel, tick: int, k: int, after: NDArray[np.float64]) -> NDArray[np.float64]:
    """Expected reward-to-go (stock, level in force) of price k where the next tick has the values ``after`` (stock)."""
    announced = model._replace(lag=1, step=0)  # the level in force is given, and what is ordered changes nothing
    return price_worth(announced, tick, k, np.repeat(after[:, None], model.levels, axis=1))[0]


def _climb(model: SaleModel, start: PricePath) -> PricePath:
    """Improve price and level of one tick at a time, given all others, until no change is better."""
    price_index, level = start.price_index.copy(), start.level.copy()
    while True:
        before = (price_index.copy(), level.copy())
        after = _path_values(model, price_index, level)
        chance = np.zeros(model.stock + 1)  # of each stock at the tick, on this path
        chance[model.stock] = 1.0
        for tick in range(model.ticks):
            worth = np.stack([chance @ _worth(model, tick, k, after[tick + 1]) for k in range(model.prices.size)])
            worth[:, ~_can_be_in_force(model, level, tick)] = -np.inf
            now = worth[price_index[tick], level[tick]]
            if worth.max() > now + 1e-12 * abs(now):
                price_index[tick], level[tick] = np.unravel_index(int(worth.argmax()), worth.shape)
            rate, capacity = model.rates[tick, price_index[tick]], model.capacities[level[tick]]
            chance = _next_stock(chance, float(rate), capacity=int(capacity))
        if (price_index == before[0]).all() and (level == before[1]).all():
            return PricePath(float(after[0, model.stock]), price_index, level)


def _can_be_in_force(model: SaleModel, level: NDArray[np.int64], tick: int) -> NDArray[np.bool_]:
    """Which levels a tick can have if all others stay as they are."""
    levels = np.arange(model.levels)
    if tick < model.lag:
        return levels == model.start_level
    last = model.start_level if tick == 0 else level[tick - 1]
    can = np.abs(levels - last) <= model.step
    return can if tick + 1 == model.ticks else can & (np.abs(level[tick + 1] - levels) <= model.step)


def _next_stock(chance: NDArray[np.float64], rate: float, *, capacity: int) -> NDArray[np.float64]:
    """Probabilities (stock) after a tick with Poisson(rate) requests, of which at most ``capacity`` are served."""
    size = chance.size
    sold = poisson_chances(np.arange(size), rate)
    sold[capacity:] = 0.0
    sold[capacity] = max(0.0, 1.0 - sold.sum())
    after = np.flip(np.convolve(np.flip(chance), sold)[:size])
    after[0] += max(0.0, 1.0 - after.sum())
    return after


def siloed(sale: JointSale) -> JointPolicy:
    """The policy of two teams: prices are the optimum without capacity, then servers are the optimum given those
    prices."""
    prices = solve(menu_sale(rates=sale.rates, prices=sale.prices, stock=sale.stock, salvage=sale.salvage)).policy
    model = as_model(sale)
    choices = 2 * model.step + 1
    shape = (model.ticks, *model.states)
    change = np.zeros(shape, np.int64)

    def best(tick: int, worth: NDArray[np.float64]) -> NDArray[np.int64]:
        by_price = worth.reshape(model.prices.size, choices, *worth.shape[1:])  # price, change, stock, levels
        given = np.stack([by_price[k, :, n] for n, k in enumerate(prices[tick])], axis=1)
        best_change = given.argmax(axis=0)  # stock, levels
        change[tick] = best_change - model.step
        column = prices[tick].reshape(-1, *[1] * (best_change.ndim - 1))
        return column * choices + best_change

    induct(model, best)
    price_index = np.broadcast_to(prices.reshape(*prices.shape, *[1] * (len(shape) - 2)), shape).copy()
    return JointPolicy(price_index, change)
