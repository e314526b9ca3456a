"""Sales with an exact solution, run through the same engine and env as every other.

A *menu sale* has one product, a table of Poisson rates by period and price, and all visitors buy: the discrete-time
problem of Gallego & van Ryzin (1994), Management Science 40(8), with a finite price menu. One period is one tick. In
period t the index k of a price is chosen, D ~ Poisson(rates[t][k]) people come, min(D, stock) buy at prices[k]; what is
left after the last period is worth ``salvage`` a unit. Nothing is discounted. Backward induction gives the optimum:

    V_T(n) = salvage·n,    V_t(n) = max_k E[prices_k·min(D, n) + V_{t+1}(n - min(D, n))]
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from flashsim.errors import InputError
from flashsim.plan import Plan, make_forecast
from flashsim.sim.inventory import StockArguments, StockParams
from flashsim.sim.parameters import as_arguments, check_range
from flashsim.sim.sale import SaleTables
from flashsim.sim.servers import ServerArguments, ServerParams
from flashsim.sim.traffic import TrafficArguments, TrafficParams

_AMPLE_SERVERS = 1
_AMPLE_RATE = 1e9
_HIGHEST_RATE = 1e8  # so that the ample rate stays ample


@dataclass(frozen=True, eq=False)
class MenuSale:
    """A menu sale; make one with :func:`menu_sale`."""

    rates: NDArray[np.float64]  # tick, menu; expected buyers
    prices: NDArray[np.float64]  # menu; currency a unit
    stock: int
    salvage: float
    name: str = "menu_sale"

    def plan(self) -> Plan:
        """Compile the sale: visitors are buyers, come for the offer only, are all served, and pay at once."""
        highest = float(self.prices.max())
        one = np.ones(1)
        tables = SaleTables(
            rate=np.ascontiguousarray(self.rates[:, None, None, :, None], dtype=np.float32),
            price=self.prices[None, :].copy(),
            list_price=np.array([highest]),
            unit_cost=np.zeros(1),
            salvage_value=np.array([self.salvage]),
            conversion=one,
            traffic_share=one,
            common_variance=np.zeros(1),
            product_variance=np.zeros((1, 1)),
            members=np.zeros(1, np.int64),
            wave_tick=np.zeros(1, np.int64),
            wave_units=np.array([[self.stock]], np.int64),
            traffic=as_arguments(
                TrafficParams(push_budget=0, highest_conversion=1.0, has_exogenous_visitors=False), TrafficArguments
            ),
            servers=as_arguments(_ample_servers(), ServerArguments),
            stock=as_arguments(StockParams(payment_delay=0, payment_failure=0.0, cart_timeout=0), StockArguments),
        )
        forecast = make_forecast(
            self.rates[:, None, :],
            self.rates,
            traffic_share=1.0,
            common_variance=0.0,
            product_variance=np.zeros(1),
        )
        return Plan(
            name=self.name,
            story="An exactly solvable sale of one product at a menu of prices.",
            tables=tables,
            forecast=forecast,
            depths=(1.0 - self.prices / highest)[None, :],
            product_names=("product",),
            currency="",
            training_members=(0,),
            heldout_members=(0,),
            server_changes=(0,),
            lookahead=(0, 1, 2, 3),
            is_reference=True,
        )


def _ample_servers() -> ServerParams:
    """Capacity that is free and never binds."""
    return ServerParams(
        service_rate=_AMPLE_RATE,
        start_servers=_AMPLE_SERVERS,
        min_servers=_AMPLE_SERVERS,
        max_servers=_AMPLE_SERVERS,
        lag=0,
        cost=0.0,
        penalty=0.0,
        pays_while_booting=False,
        hard_cap=True,
    )


def menu_sale(
    *,
    rates: Sequence[Sequence[float]] | NDArray[np.float64],
    prices: Sequence[float] | NDArray[np.float64],
    stock: int,
    salvage: float = 0.0,
    name: str = "menu_sale",
) -> MenuSale:
    """A sale of ``stock`` units over len(rates) periods at a menu of ``prices``; rates (period, price).

    Rates are expected buyers; they enter the simulator as 32-bit floats and are rounded here, so that solution and
    simulation share them.
    InputError on ragged, empty, negative or NaN tables.
    """
    table = _numbers("rates", rates, axes=2, most=_HIGHEST_RATE)
    menu = _numbers("prices", prices, axes=1, most=1e9)
    if table.shape[1] != menu.shape[0]:
        raise InputError(
            f"rates: expected one column a price, {menu.shape[0]}, got {table.shape[1]}; complete the table"
        )
    if menu.max() <= 0.0:
        raise InputError(f"prices: expected at least one above 0, got {menu.tolist()}")
    if isinstance(stock, bool) or not isinstance(stock, int | float | np.number) or stock != stock // 1:
        raise InputError(f"stock must be a whole number of units, got {stock!r}")
    check_range("stock", stock, 0, 10_000_000)
    check_range("salvage", salvage, -1e9, 1e9)
    return MenuSale(table.astype(np.float32).astype(np.float64), menu, int(stock), float(salvage), name)


def _numbers(name: str, values: object, *, axes: int, most: float) -> NDArray[np.float64]:
    try:
        table = np.array(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise InputError(
            f"{name}: expected numbers in rows of one length, got {values!r}; complete the table"
        ) from error
    if table.ndim != axes or table.size == 0:
        raise InputError(f"{name}: expected a table with {axes} axes and at least one entry, got shape {table.shape}")
    good = (table >= 0.0) & (table <= most)
    if not good.all():
        raise InputError(f"{name}: expected numbers from 0 to {most:g}, got {table[~good][0]}; mend the table")
    return table


@dataclass(frozen=True, eq=False)
class Solution:
    """The optimum of a reference sale and a policy that reaches it."""

    value: float
    """Expected reward of the whole sale."""
    values: NDArray[np.float64]  # tick (one more than the sale has), stock
    policy: NDArray[np.int64]  # tick, stock; menu index (the smallest of the best)


def solve(sale: MenuSale) -> Solution:
    """Optimum by backward induction; exact up to rounding (relative 1e-12)."""
    return _induct(sale, lambda values: values.argmax(axis=0))


def evaluate_exactly(sale: MenuSale, policy: NDArray[np.int64]) -> float:
    """Expected reward of ``policy`` (tick, stock) -> menu index; InputError when its shape or indices do not fit."""
    expected = (sale.rates.shape[0], sale.stock + 1)
    if policy.shape != expected:
        raise InputError(f"policy: expected {expected} (tick, stock), got {policy.shape}")
    if policy.min() < 0 or policy.max() >= sale.prices.shape[0]:
        raise InputError(f"policy: expected menu indices from 0 to {sale.prices.shape[0] - 1}, got {policy.max()}")
    ticks = iter(range(sale.rates.shape[0] - 1, -1, -1))
    return _induct(sale, lambda _: policy[next(ticks)]).value


def _induct(sale: MenuSale, choose: Callable[[NDArray[np.float64]], NDArray[np.int64]]) -> Solution:
    """Backward induction in which ``choose`` turns action values (menu, stock) into menu indices (stock)."""
    ticks, menu = sale.rates.shape
    units = np.arange(sale.stock + 1)
    values = np.zeros((ticks + 1, sale.stock + 1))
    values[ticks] = sale.salvage * units
    policy = np.zeros((ticks, sale.stock + 1), np.int64)
    for tick in range(ticks - 1, -1, -1):
        worth = np.stack([_action_values(sale, tick, k, values[tick + 1]) for k in range(menu)])
        policy[tick] = choose(worth)
        values[tick] = np.take_along_axis(worth, policy[tick][None, :], axis=0)[0]
    return Solution(float(values[0, sale.stock]), values, policy)


def _action_values(sale: MenuSale, tick: int, k: int, after: NDArray[np.float64]) -> NDArray[np.float64]:
    """Expected reward-to-go (stock) of price k: sum over sales below the stock, and the rest sells out."""
    stock = sale.stock
    units = np.arange(stock + 1)
    rate = sale.rates[tick, k]
    chance = stats.poisson.pmf(units, rate)
    sold_out = stats.poisson.sf(units - 1, rate)  # P(D >= n)
    kept = np.array([chance[:n] @ after[n:0:-1] for n in units])
    paid = np.concatenate([[0.0], np.cumsum(chance * units)])[:-1]  # Σ_{d<n} d·P(d)
    return sale.prices[k] * (paid + units * sold_out) + kept + sold_out * after[0]


def g0() -> MenuSale:
    """Two periods, one unit, two prices: the sale that can be solved by hand."""
    return menu_sale(rates=[[0.5, 1.0]] * 2, prices=[10.0, 8.0], stock=1, name="g0")


def g1() -> MenuSale:
    """24 periods, 40 units, list price 100, discounts 0 to 50 %, log-linear response of slope 4."""
    depths = np.arange(6) / 10.0
    return menu_sale(rates=np.tile(np.exp(4.0 * depths), (24, 1)), prices=100.0 * (1.0 - depths), stock=40, name="g1")


REFERENCE_SALES: dict[str, Callable[[], MenuSale]] = {"g0": g0, "g1": g1}
"""Every named reference sale."""
