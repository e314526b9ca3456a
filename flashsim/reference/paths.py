"""What simpler ways of planning earn on a reference sale, and a bound: functions of the sale alone.

    price path    price indices k_0 … k_{T-1}, announced before the sale, whatever sells
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
    evaluate_exactly,
    induct,
    poisson_chances,
    price_worth,
    solve,
)


@dataclass(frozen=True, eq=False)
class PricePath:
    """A price for each tick, independent of what sells."""

    value: float
    """Expected reward, exactly."""
    price_index: NDArray[np.int64]  # tick; price index


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


def best_price_path(sale: MenuSale) -> PricePath:
    """The best price path of a local search, tick by tick, that starts from every constant price and from falling
    prices."""
    model, price_levels = as_model(sale), sale.prices.size
    order = np.argsort(-sale.prices, kind="stable")
    ramp = order[np.minimum(np.arange(model.ticks) * price_levels // model.ticks, price_levels - 1)]
    starts = [np.full(model.ticks, k) for k in range(price_levels)] + [ramp]
    paths = [_climb(model, start) for start in starts]
    values = [evaluate_exactly(sale, np.repeat(path[:, None], model.stock + 1, axis=1)) for path in paths]
    best = int(np.argmax(values))
    return PricePath(values[best], paths[best])


def _climb(model: SaleModel, start: NDArray[np.int64]) -> NDArray[np.int64]:
    """Improve one tick at a time, given all others, until no change is better."""
    path = start.copy()
    while True:
        before = path.copy()
        after = induct(model, lambda tick, worth: np.full(worth.shape[1:], path[tick]))
        chance = np.zeros(model.stock + 1)  # of each stock at the tick, on this path
        chance[model.stock] = 1.0
        for tick in range(model.ticks):
            worth = [chance @ price_worth(model, tick, k, after[tick + 1])[0, :, 0] for k in range(model.prices.size)]
            if max(worth) > worth[path[tick]] * (1.0 + 1e-12):
                path[tick] = int(np.argmax(worth))
            chance = _next_stock(chance, float(model.rates[tick, path[tick]]))
        if (path == before).all():
            return path


def _next_stock(chance: NDArray[np.float64], rate: float) -> NDArray[np.float64]:
    """Probabilities (stock) after a tick with Poisson(rate) requests."""
    size = chance.size
    sold = poisson_chances(np.arange(size), rate)
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
