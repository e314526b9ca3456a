"""The optimum of a reference sale, and the exact value of any policy that is a function of its state.

The state at the start of tick t is the stock n and, in a joint sale with lag L, the levels of servers for the ticks t,
t+1, … t+L-1. The last of them is the level chosen last (with L = 0 it is the only one). With m = min(n, ⌊mu·c_t⌋), S =
min(D, m) and x' the levels after the order,

    V_T(n, x) = salvage·n
    V_t(n, x) = max over (k, Δ) of  E[prices_k·S - penalty·(min(D, n) - S) + V_{t+1}(n - S, x')] - server_cost·c_t

A menu sale is the case of one free level without a capacity. Expectations are sums over D < m plus the rest, in which m
units are sold; terms below 1e-18 are ignored.

Source: backward induction as in Puterman (1994), Markov Decision Processes, section 4.5.
"""

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple, overload

import numpy as np
from numpy.typing import NDArray
from scipy import special

from flashsim.errors import InputError
from flashsim.reference.sales import JointSale, MenuSale, ReferenceSale

_MOST_STATES = 50_000_000  # over all ticks; 400 MB a table
_NEGLIGIBLE = 1e-18


class JointPolicy(NamedTuple):
    """What to order in each state of a joint sale.

    Axes: tick, stock, then one axis for each level of the state: in force at this tick, at the next, …, chosen last.
    With lag 0 or 1 there is one such axis, the level chosen last.
    """

    price_index: NDArray[np.int64]  # price index
    change: NDArray[np.int64]  # servers more (or fewer), from -step to step


@dataclass(frozen=True, eq=False)
class Solution:
    """The optimum of a menu sale and a policy that reaches it."""

    value: float
    """Expected reward of the whole sale."""
    values: NDArray[np.float64]  # tick (one more than the sale has), stock
    policy: NDArray[np.int64]  # tick, stock; price index (the smallest of the best)


@dataclass(frozen=True, eq=False)
class JointSolution:
    """The optimum of a joint sale and a policy that reaches it."""

    value: float
    """Expected reward of the whole sale."""
    values: NDArray[np.float64]  # tick (one more than the sale has), stock, levels as in JointPolicy
    policy: JointPolicy  # of the best the smallest price index, then the smallest change


Decide = Callable[[int, int, tuple[int, ...]], int | tuple[int, int]]
"""A policy as a function of tick, stock and levels (none in a menu sale). It returns the price index or, in a joint
sale, the price index and the change of servers."""


@overload
def solve(sale: MenuSale) -> Solution: ...
@overload
def solve(sale: JointSale) -> JointSolution: ...
def solve(sale: ReferenceSale) -> Solution | JointSolution:
    """Compute the optimum by backward induction, exact up to rounding. InputError where there are too many states."""
    model = as_model(sale)
    policy = np.zeros((model.ticks, *model.states), np.int64)

    def best(tick: int, worth: NDArray[np.float64]) -> NDArray[np.int64]:
        policy[tick] = worth.argmax(axis=0)
        return policy[tick]

    values = induct(model, best)
    value = float(values[model.start])
    if isinstance(sale, MenuSale):
        return Solution(value, values[..., 0], policy[..., 0])
    price_index, change = np.divmod(policy, 2 * model.step + 1)
    return JointSolution(value, values, JointPolicy(price_index, change - model.step))


@overload
def evaluate_exactly(sale: MenuSale, policy: NDArray[np.int64] | Decide) -> float: ...
@overload
def evaluate_exactly(sale: JointSale, policy: JointPolicy | Decide) -> float: ...
def evaluate_exactly(sale: ReferenceSale, policy: NDArray[np.int64] | JointPolicy | Decide) -> float:
    """Expected reward of ``policy``: a table as in ``Solution.policy`` or ``JointSolution.policy``, or a function.

    InputError when shape, price indices or changes do not fit the sale.
    """
    model = as_model(sale)
    table = tabulate(sale, policy) if callable(policy) else policy
    if isinstance(sale, JointSale) != isinstance(table, JointPolicy):
        wanted = "a JointPolicy" if isinstance(sale, JointSale) else "an array (tick, stock)"
        raise InputError(f"policy: expected {wanted} for the sale {sale.name!r}, got {type(table).__name__}")
    if isinstance(table, JointPolicy):
        shape, axes = (model.ticks, *model.states), "(tick, stock, levels)"
        price_index, change = table
    else:
        shape, axes = (model.ticks, model.stock + 1), "(tick, stock)"
        price_index, change = table, np.zeros(np.shape(table), np.int64)
    for name, orders, low, high in (
        ("price indices", price_index, 0, model.prices.size - 1),
        ("changes", change, -model.step, model.step),
    ):
        if np.shape(orders) != shape:
            raise InputError(f"policy: expected {shape} {axes}, got {np.shape(orders)}")
        _check_orders(orders, name, low, high)
    chosen = (price_index * (2 * model.step + 1) + change + model.step).reshape(model.ticks, *model.states)
    return float(induct(model, lambda tick, _: chosen[tick])[model.start])


def _check_orders(table: NDArray[np.int64], name: str, low: int, high: int) -> None:
    if table.dtype.kind not in "iu":
        raise InputError(f"policy: expected whole numbers as {name}, got {table.dtype}")
    if table.min() < low or table.max() > high:
        seen = table.min() if table.min() < low else table.max()
        raise InputError(f"policy: expected {name} from {low} to {high}, got {seen}")


@overload
def tabulate(sale: MenuSale, decide: Decide) -> NDArray[np.int64]: ...
@overload
def tabulate(sale: JointSale, decide: Decide) -> JointPolicy: ...
def tabulate(sale: ReferenceSale, decide: Decide) -> NDArray[np.int64] | JointPolicy:
    """Turn a policy that is a function into a table; the function is called once for every state, one by one."""
    model = as_model(sale)
    places = itertools.product(*(range(size) for size in (model.ticks, *model.states)))
    if isinstance(sale, MenuSale):
        answers = [decide(tick, stock, ()) for tick, stock, _ in places]
        return _whole_answers(answers, ()).reshape(model.ticks, model.stock + 1)
    pairs = _whole_answers([decide(tick, stock, tuple(levels)) for tick, stock, *levels in places], (2,))
    price_index, change = pairs.T.reshape(2, model.ticks, *model.states)
    return JointPolicy(price_index, change)


def _whole_answers(answers: list[int | tuple[int, int]], shape: tuple[int, ...]) -> NDArray[np.int64]:
    expected = "a price index and a change of servers" if shape else "a price index"
    try:
        table = np.array(answers)
    except ValueError as error:
        raise InputError(f"policy: expected {expected} in every state, got {answers[0]!r} in the first") from error
    if table.shape != (len(answers), *shape) or table.dtype.kind not in "iu":
        raise InputError(f"policy: expected {expected} in every state, got {answers[0]!r} in the first")
    return table.astype(np.int64)


@overload
def hold(sale: MenuSale, price_index: int) -> NDArray[np.int64]: ...
@overload
def hold(sale: JointSale, price_index: int, *, servers: int) -> JointPolicy: ...
def hold(sale: ReferenceSale, price_index: int, *, servers: int = 0) -> NDArray[np.int64] | JointPolicy:
    """The policy that holds one price index and, in a joint sale, moves to a level of servers as fast as possible."""
    model = as_model(sale)
    if isinstance(sale, MenuSale):
        return np.full((model.ticks, model.stock + 1), price_index, np.int64)
    shape = (model.ticks, *model.states)
    change = np.clip(servers - np.arange(model.levels), -model.step, model.step)  # by the level chosen last
    return JointPolicy(np.full(shape, price_index, np.int64), np.broadcast_to(change, shape).copy())


class SaleModel(NamedTuple):
    """A menu sale or a joint sale, as the induction needs it."""

    rates: NDArray[np.float64]  # tick, price; ticks before the opening come first
    prices: NDArray[np.float64]  # price
    stock: int
    salvage: float
    capacities: NDArray[np.int64]  # level; at most the stock
    costs: NDArray[np.float64]  # level; currency a tick
    penalty: float
    step: int
    lag: int
    start_level: int

    @property
    def ticks(self) -> int:
        return int(self.rates.shape[0])

    @property
    def levels(self) -> int:
        return int(self.capacities.size)

    @property
    def states(self) -> tuple[int, ...]:
        """Sizes of the state: stock, levels."""
        return (self.stock + 1, *[self.levels] * max(1, self.lag))

    @property
    def start(self) -> tuple[int, ...]:
        """Tick and state at the start of a sale."""
        return (0, self.stock, *[self.start_level] * max(1, self.lag))


def as_model(sale: ReferenceSale) -> SaleModel:
    """Prepare ``sale`` for the induction. InputError where there are too many states."""
    if isinstance(sale, JointSale):
        levels = np.arange(sale.max_servers + 1)
        capacities, costs = np.minimum(sale.capacities, sale.stock), np.asarray(sale.server_cost * levels, np.float64)
        servers = (sale.penalty, sale.step, sale.lag, sale.start_servers)
    else:
        capacities, costs = np.array([sale.stock]), np.zeros(1)
        servers = (0.0, 0, 0, 0)
    model = SaleModel(_rates_of_all_ticks(sale), sale.prices, sale.stock, sale.salvage, capacities, costs, *servers)
    states = float(model.ticks) * np.prod([float(size) for size in model.states])
    if states > _MOST_STATES:
        raise InputError(
            f"{sale.name!r} has {states:.3g} states of stock and servers, more than {_MOST_STATES:,} that are solved "
            "exactly; lower stock, max_servers or lag"
        )
    return model


def _rates_of_all_ticks(sale: ReferenceSale) -> NDArray[np.float64]:
    """Expected buyers (tick, price); in the ticks before the opening, the first ones here, nobody comes."""
    before = sale.pre_opening if isinstance(sale, JointSale) else 0
    return np.concatenate([np.zeros((before, sale.prices.size)), sale.rates])


def induct(model: SaleModel, choose: Callable[[int, NDArray[np.float64]], NDArray[np.int64]]) -> NDArray[np.float64]:
    """Values (tick, state) if ``choose`` turns the action values (action, state) of a tick into actions (state)."""
    values = np.zeros((model.ticks + 1, *model.states))
    units = np.arange(model.stock + 1).reshape(-1, *[1] * (len(model.states) - 1))
    values[model.ticks] = model.salvage * units
    for tick in range(model.ticks - 1, -1, -1):
        worth = np.concatenate([price_worth(model, tick, k, values[tick + 1]) for k in range(model.prices.size)])
        chosen = choose(tick, worth)
        values[tick] = np.take_along_axis(worth, chosen[None], axis=0)[0]
    return values


def price_worth(model: SaleModel, tick: int, k: int, after: NDArray[np.float64]) -> NDArray[np.float64]:
    """Expected reward-to-go (change, state) of price k; ``after`` (state) holds the values of the next tick."""
    units = np.arange(model.stock + 1)
    rate = model.rates[tick, k]
    chance = poisson_chances(units, rate)
    at_least = np.concatenate([[1.0], special.pdtrc(units[:-1], rate)])  # P(D >= n)
    mean = np.concatenate([[0.0], np.cumsum(chance * units)[:-1]]) + units * at_least  # E[min(D, m)]
    most = np.minimum(units[:, None], model.capacities)  # stock, level in force
    lost = mean[units][:, None] - mean[most]
    reward = model.prices[k] * mean[most] - model.penalty * lost - model.costs
    kept = _expected_after(model, chance, at_least, after)  # stock, level in force, levels after the order
    kept += reward.reshape(*reward.shape, *[1] * (kept.ndim - 2))
    if model.lag == 0:  # the level in force is the one just chosen, whatever it was before
        chosen = np.einsum("ncc->nc", kept)
        kept = np.broadcast_to(chosen[:, None, :], kept.shape)
    return np.stack([_ordered(model, kept, change) for change in range(-model.step, model.step + 1)])


def poisson_chances(units: NDArray[np.int64], rate: float) -> NDArray[np.float64]:
    """P(D = units) for D ~ Poisson(rate); a rate of 0 is allowed."""
    chances: NDArray[np.float64] = np.exp(special.xlogy(units, rate) - special.gammaln(units + 1.0) - rate)
    return chances


def _ordered(model: SaleModel, kept: NDArray[np.float64], change: int) -> NDArray[np.float64]:
    """Values (stock, levels …) that ``change`` leads to, from ``kept`` (stock, levels …, level chosen now)."""
    last = np.arange(model.levels)
    now = np.clip(last + change, 0, model.levels - 1)
    return kept[..., last, now]


def _expected_after(
    model: SaleModel, chance: NDArray[np.float64], at_least: NDArray[np.float64], after: NDArray[np.float64]
) -> NDArray[np.float64]:
    """E[after(n - min(D, n, capacity))], (stock, level in force, *levels of ``after``).

    One pass over D serves all capacities: the sum over D < capacity is a partial sum of the sum for the next larger
    one.
    """
    size = model.stock + 1
    out = np.empty((size, model.levels, *after.shape[1:]))
    total = np.zeros_like(after)
    demands = np.flatnonzero(chance > _NEGLIGIBLE)
    done = 0
    trailing = [1] * (after.ndim - 1)
    for level, capacity in enumerate(model.capacities):
        upto = int(np.searchsorted(demands, capacity))
        for demand in demands[done:upto]:
            total[demand + 1 :] += chance[demand] * after[1 : size - demand]
        done = max(done, upto)
        sold = np.minimum(np.arange(size), capacity)
        out[:, level] = total + at_least[sold].reshape(-1, *trailing) * after[np.arange(size) - sold]
    return out
