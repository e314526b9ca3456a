"""Sales of one product at a menu of prices, with a table of Poisson rates by period and price; every visitor buys.

A *menu sale* decides only the price: the discrete-time problem of Gallego & van Ryzin (1994), Management Science 40(8),
with a finite menu of prices. A *joint sale* decides prices and servers. One period is one tick; T is the number of rows
of ``rates``. In tick t

1. the action gives the price index k and, in a joint sale, the change Δ of servers, from -step to step;
2. with lag L, the level for tick t+L becomes clip(level chosen last + Δ, 0, max_servers); levels before tick L are
   ``start_servers``;
3. server_cost·c_t is paid, where c_t is the level in force (booting servers are free), sold out or not;
4. D ~ Poisson(rates[t][k]) people come;
5. sales = min(D, stock, ⌊mu·c_t⌋) at prices[k] (menu sales: no capacity); the other people leave for good;
6. penalty·(min(D, stock) - sales) is paid for the units lost to capacity.

A sale always has T ticks. Each unit that remains after the last tick is worth ``salvage``. Nothing is discounted.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
from numpy.typing import NDArray

from flashsim.errors import InputError
from flashsim.scenarios.compiled import CompiledSale, make_forecast
from flashsim.sim.choice import ChoiceArguments, ChoiceParams
from flashsim.sim.failures import Failures
from flashsim.sim.inventory import StockArguments, StockParams
from flashsim.sim.parameters import as_arguments, check_range
from flashsim.sim.servers import ServerArguments, ServerParams, check_pre_opening
from flashsim.sim.state import SaleTables
from flashsim.sim.traffic import TrafficArguments, TrafficParams
from flashsim.sim.waiting_room import OPEN, WaitingRoomArguments, WaitingRoomParams

Table = Sequence[Sequence[float]] | NDArray[np.float64]
Row = Sequence[float] | NDArray[np.float64]

_AMPLE_SERVERS = 1
_AMPLE_RATE = 1e9
_HIGHEST_RATE = 1e8  # keeps _AMPLE_RATE far above every rate
_SHORTEST_LOOKAHEAD = 4  # ticks


@dataclass(frozen=True, eq=False)
class MenuSale:
    """A menu sale; make one with :func:`menu_sale`."""

    rates: NDArray[np.float64]  # tick, price; expected buyers
    prices: NDArray[np.float64]  # price; currency a unit
    stock: int
    salvage: float
    name: str = "menu_sale"

    def compile(self) -> CompiledSale:
        """Compile the sale: visitors are buyers, come only for the offer, are all served, and pay at once."""
        ample = ServerParams(
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
        return _compile(self, ample, step=0, story="An exactly solvable sale of one product at a menu of prices.")


@dataclass(frozen=True, eq=False)
class JointSale:
    """A joint sale; make one with :func:`joint_sale`."""

    rates: NDArray[np.float64]  # tick, price; expected buyers
    prices: NDArray[np.float64]  # price; currency a unit
    stock: int
    max_servers: int
    mu: float
    """Units that one server can sell in a tick; c servers sell at most ⌊mu·c⌋."""
    start_servers: int
    server_cost: float
    """Cost of one server in force for one tick; currency."""
    penalty: float
    """Penalty for one unit lost to capacity; currency."""
    step: int
    """Largest number of servers that one order adds or removes."""
    lag: int
    """Ticks between an order and its effect."""
    salvage: float
    name: str = "joint_sale"
    pre_opening: int = 0
    """Ticks before the opening, in which servers are ordered and paid and nobody comes."""

    @property
    def pool(self) -> ServerParams:
        """Its servers, as any sale has them."""
        return ServerParams(
            service_rate=self.mu,
            start_servers=self.start_servers,
            min_servers=0,
            max_servers=self.max_servers,
            lag=self.lag,
            cost=self.server_cost,
            penalty=self.penalty,
            pays_while_booting=False,
            hard_cap=True,
        )

    def compile(self) -> CompiledSale:
        """Compile the sale like a menu sale, but the servers in force limit how many people are served."""
        story = "An exactly solvable sale of one product, with prices and servers to decide."
        return _compile(self, self.pool, step=self.step, story=story)

    @property
    def capacities(self) -> NDArray[np.int64]:
        """Units that 0, 1, … max_servers servers can sell in a tick."""
        return np.floor(self.mu * np.arange(self.max_servers + 1.0)).astype(np.int64)


ReferenceSale = MenuSale | JointSale

_BUYERS_ONLY = TrafficParams(
    push_budget=0, highest_conversion=1.0, has_exogenous_visitors=False, goodwill_share=0.0, sharing_ratio=0.0
)
_LEARNED_CHOICE = ChoiceParams(reference_gain=0.0, reference_loss=0.0, scarcity_cue=0.0, watch_share=0.0)


def _compile(sale: ReferenceSale, servers: ServerParams, *, step: int, story: str) -> CompiledSale:
    highest = float(sale.prices.max())
    one = np.ones(1)
    tables = SaleTables(
        rate=np.ascontiguousarray(sale.rates[:, None, None, :, None], dtype=np.float32),
        price=sale.prices[None, :].copy(),
        depth=(1.0 - sale.prices / highest)[None, :],
        list_price=np.array([highest]),
        unit_cost=np.zeros(1),
        salvage_value=np.array([sale.salvage]),
        conversion=one,
        traffic_share=one,
        common_variance=np.zeros(1),
        product_variance=np.zeros((1, 1)),
        members=np.zeros(1, np.int64),
        wave_tick=np.zeros(1, np.int64),
        wave_units=np.array([[sale.stock]], np.int64),
        planned=np.array([sale.stock], np.int64),
        lot_units=np.zeros(1, np.int64),
        pre_opening=sale.pre_opening if isinstance(sale, JointSale) else 0,
        failures=Failures().arguments(),
        traffic=as_arguments(_BUYERS_ONLY, TrafficArguments),
        room=as_arguments(WaitingRoomParams(), WaitingRoomArguments),
        servers=as_arguments(servers, ServerArguments),
        choice=as_arguments(_LEARNED_CHOICE, ChoiceArguments),
        stock=as_arguments(StockParams(payment_delay=0, payment_failure=0.0, cart_timeout=0), StockArguments),
    )
    forecast = make_forecast(
        sale.rates[:, None, :],
        sale.rates,
        traffic_share=1.0,
        common_variance=0.0,
        product_variance=np.zeros(1),
    )
    return CompiledSale(
        name=sale.name,
        story=story,
        tables=tables,
        forecast=forecast,
        depths=(1.0 - sale.prices / highest)[None, :],
        product_names=("product",),
        currency="",
        training_members=(0,),
        heldout_members=(0,),
        server_changes=tuple(range(-step, step + 1)),
        admission_caps=(OPEN,),
        lookahead=tuple(range(max(_SHORTEST_LOOKAHEAD, servers.lag + 1))),  # the operator sees every ordered level
        is_reference=True,
    )


def menu_sale(*, rates: Table, prices: Row, stock: int, salvage: float = 0.0, name: str = "menu_sale") -> MenuSale:
    """Make a sale of ``stock`` units over len(rates) periods at a menu of ``prices``; rates (period, price).

    Rates are expected buyers. They enter the simulator as 32-bit floats; they are rounded here, so that solution and
    simulation use the same rates.

    InputError on ragged, empty, negative or NaN tables.
    """
    table, price_list = _tables(rates, prices)
    units = _whole("stock", stock, most=10_000_000)
    return MenuSale(table, price_list, units, _real("salvage", salvage, -1e9, 1e9), name)


def joint_sale(
    *,
    rates: Table,
    prices: Row,
    stock: int,
    max_servers: int,
    mu: float,
    start_servers: int,
    server_cost: float,
    penalty: float,
    step: int,
    lag: int,
    salvage: float = 0.0,
    pre_opening: int = 0,
    name: str = "joint_sale",
) -> JointSale:
    """Make a sale that also decides servers; each argument is a field of :class:`JointSale`.

    A capacity mu·c that is not a whole number is rounded down: that many units can be sold in a tick. Rates are rounded
    to 32-bit floats, as in a menu sale.

    InputError on ragged, empty, negative or NaN tables and on numbers out of range.
    """
    table, price_list = _tables(rates, prices)
    servers = _whole("max_servers", max_servers, most=1_000_000)
    sale = JointSale(
        rates=table,
        prices=price_list,
        stock=_whole("stock", stock, most=10_000_000),
        max_servers=servers,
        mu=_real("mu", mu, 1e-9, 1e9),
        start_servers=_whole("start_servers", start_servers, most=servers),
        server_cost=_real("server_cost", server_cost, 0.0, 1e9),
        penalty=_real("penalty", penalty, 0.0, 1e9),
        step=_whole("step", step, most=1000),
        lag=_whole("lag", lag, most=1000),
        salvage=_real("salvage", salvage, -1e9, 1e9),
        name=name,
        pre_opening=_whole("pre_opening", pre_opening, most=100_000),
    )
    check_pre_opening(sale.pre_opening, sale.pool, (-sale.step, sale.step))
    return sale


def _tables(rates: Table, prices: Row) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Checked rates, rounded to 32 bits, and prices."""
    table = _numbers("rates", rates, axes=2, most=_HIGHEST_RATE)
    price_list = _numbers("prices", prices, axes=1, most=1e9)
    if table.shape[1] != price_list.shape[0]:
        raise InputError(
            f"rates: expected one column a price, {price_list.shape[0]}, got {table.shape[1]}; complete the table"
        )
    if price_list.max() <= 0.0:
        raise InputError(f"prices: expected at least one above 0, got {price_list.tolist()}")
    return table.astype(np.float32).astype(np.float64), price_list


def _numbers(name: str, values: object, *, axes: int, most: float) -> NDArray[np.float64]:
    try:
        given = np.array(values)
    except (TypeError, ValueError) as error:
        raise InputError(
            f"{name}: expected numbers in rows of one length, got {values!r}; complete the table"
        ) from error
    if given.dtype.kind not in "iuf":
        raise InputError(f"{name}: expected numbers in rows of one length, got {values!r}; correct the table")
    table = given.astype(np.float64)
    if table.ndim != axes or table.size == 0:
        raise InputError(f"{name}: expected a table with {axes} axes and at least one entry, got shape {table.shape}")
    good = (table >= 0.0) & (table <= most)
    if not good.all():
        raise InputError(f"{name}: expected numbers from 0 to {most:g}, got {table[~good][0]}; mend the table")
    return table


def _real(name: str, value: object, low: float, high: float) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float | np.integer | np.floating):
        raise InputError(f"{name} must be a number, got {value!r}")
    check_range(name, cast(float, value), low, high)
    return float(value)


def _whole(name: str, value: object, *, most: int) -> int:
    is_whole = isinstance(value, int | np.integer) and not isinstance(value, bool)
    if not is_whole and not (isinstance(value, float | np.floating) and float(value).is_integer()):
        what = "a whole number of units" if name == "stock" else "a whole number"
        raise InputError(f"{name} must be {what}, got {value!r}")
    check_range(name, cast(float, value), 0, most)
    return int(cast(float, value))
