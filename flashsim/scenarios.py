"""Named sales on a World: timeline, products, stock, costs and limits. Vary one with ``dataclasses.replace``.

world = World.load("…/world")
sale = replace(grocery_evening(world), stock_cover=1.5)
env = gymnasium.make("flashsim/FlashSale-v0", scenario=sale)
"""

import difflib
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from flashsim.errors import InputError
from flashsim.plan import Plan, make_forecast
from flashsim.sim.inventory import StockArguments, StockParams
from flashsim.sim.parameters import as_arguments, check_range, check_whole
from flashsim.sim.sale import SaleTables
from flashsim.sim.servers import ServerArguments, ServerParams
from flashsim.sim.traffic import TrafficArguments, TrafficParams
from flashsim.world import World

MINUTES_A_DAY = 24 * 60


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """One planned sale on a World. Raises InputError when a value is outside its range."""

    world: World
    """Where demand, prices and their uncertainty come from."""
    name: str
    """What reports call it."""
    story: str
    """Who sells what to whom, and why it is hard; one or two sentences."""
    start_minute: int = 18 * 60
    """Minute of the day at which the sale opens."""
    ticks: int = 120
    """Length in minutes; one tick is one minute."""
    weekday: int = 4
    """Day of the week, Monday is 0."""
    depths: tuple[float, ...] = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5)
    """The discount menu, share of list price, ascending from 0."""
    stock_cover: float = 2.0
    """Units planned, as a multiple of what the sale is expected to sell at list price."""
    waves: tuple[tuple[int, float], ...] = ((0, 1.0),)
    """(tick, share of the stock) of each planned release; shares add up to 1."""
    salvage_share: float = 0.2
    """What a unit left over is worth, as a share of its cost."""
    traffic: TrafficParams = field(default_factory=TrafficParams)
    servers: ServerParams = field(default_factory=ServerParams)
    carts: StockParams = field(default_factory=StockParams)
    server_changes: tuple[int, ...] = (-4, -1, 0, 1, 4)
    """What can be ordered in a tick, servers more or fewer."""
    lookahead: tuple[int, ...] = (0, 5, 15)
    """Ticks ahead for which observations hold forecasts."""
    allow_extrapolation: bool = False
    """Permit depths beyond what the data support; flagged wherever they appear."""

    def __post_init__(self) -> None:
        check_whole("start_minute", self.start_minute, 0, MINUTES_A_DAY - 1)
        check_whole("ticks", self.ticks, 1, 100_000)
        check_whole("weekday", self.weekday, 0, 6)
        check_range("stock_cover", self.stock_cover, 0.0, 1e6)
        check_range("salvage_share", self.salvage_share, -10.0, 1.0)
        self._check_depths()
        self._check_waves()
        for ahead in self.lookahead:
            check_whole("lookahead", ahead, 0, 100_000)
        for change in self.server_changes:
            check_whole("server_changes", change, -1_000_000, 1_000_000)
        if not self.lookahead:
            raise InputError(f"lookahead must name at least one tick, got {self.lookahead!r}")
        if 0 not in self.server_changes:
            raise InputError(f"server_changes must hold 0 (no change), got {self.server_changes!r}")

    def _check_depths(self) -> None:
        depths = self.depths
        if not depths or depths[0] != 0.0 or not all(a < b for a, b in pairwise(depths)):
            raise InputError(f"depths must ascend from 0, got {depths!r}")
        known = float(self.world.depth_grid[-1])
        if depths[-1] > known:
            raise InputError(
                f"depths: the World knows depths up to {known:g}, got {depths[-1]!r}; leave out deeper ones"
            )
        if depths[-1] > self.world.supported_depth and not self.allow_extrapolation:
            raise InputError(
                f"depths: the data support depths up to {self.world.supported_depth:g}, got {depths[-1]!r}; "
                "leave it out or set allow_extrapolation=True"
            )

    def _check_waves(self) -> None:
        ticks, shares = [tick for tick, _ in self.waves], [share for _, share in self.waves]
        for tick in ticks:
            check_whole("waves: tick", tick, 0, self.ticks - 1)
        is_sorted = all(a <= b for a, b in pairwise(ticks))
        if not self.waves or not is_sorted:
            raise InputError(f"waves must be at ascending ticks, at least one, got {self.waves!r}")
        if not (min(shares) >= 0.0 and abs(sum(shares) - 1.0) <= 1e-9):
            raise InputError(f"waves: shares must not be negative and add up to 1, got {shares!r}")

    def plan(self) -> Plan:
        """Compile the scenario; O(ticks · segments · products · depths · members)."""
        world = self.world
        rate = self._rates()
        train = list(world.training_members)
        units = rate[..., train].astype(np.float64).mean(axis=4)  # tick, segment, product, menu
        stock = np.ceil(self.stock_cover * units[:, :, :, 0].sum(axis=(0, 1))).astype(np.int64)
        prices = world.list_price[:, None] * (1.0 - np.array(self.depths))
        tables = SaleTables(
            rate=rate,
            price=prices,
            list_price=np.array(world.list_price),
            unit_cost=np.array(world.unit_cost),
            salvage_value=self.salvage_share * world.unit_cost,
            conversion=np.array(world.conversion_at_list),
            traffic_share=np.array(world.traffic_share),
            common_variance=np.array(world.frailty_common_variance),
            product_variance=np.array(world.frailty_product_variance),
            members=np.array(world.training_members, np.int64),
            wave_tick=np.array([tick for tick, _ in self.waves], np.int64),
            wave_units=_split(stock, [share for _, share in self.waves]),
            traffic=as_arguments(self.traffic, TrafficArguments),
            servers=as_arguments(self.servers, ServerArguments),
            stock=as_arguments(self.carts, StockArguments),
        )
        forecast = make_forecast(
            units.sum(axis=1),
            self._visitors(rate, train),
            traffic_share=float(world.traffic_share[train].mean()),
            common_variance=float(world.frailty_common_variance[train].mean()),
            product_variance=world.frailty_product_variance[train].mean(axis=0),
        )
        return Plan(
            name=self.name,
            story=self.story,
            tables=tables,
            forecast=forecast,
            depths=np.tile(np.array(self.depths), (world.n_products, 1)),
            product_names=world.product_names,
            currency=world.currency,
            training_members=world.training_members,
            heldout_members=world.heldout_members,
            server_changes=self.server_changes,
            lookahead=self.lookahead,
            is_extrapolated=self.depths[-1] > world.supported_depth,
        )

    def _rates(self) -> NDArray[np.float32]:
        """Expected units of each tick (tick, segment, product, menu, member): the World's table between its nodes.

        Linear in depth, and in time between the middles of the hours, wrapping at midnight.
        """
        world = self.world
        table = world.units_per_minute.astype(np.float64)
        place = np.interp(self.depths, world.depth_grid, np.arange(world.depth_grid.size))
        low = np.minimum(place.astype(np.int64), world.depth_grid.size - 1)
        high = np.minimum(low + 1, world.depth_grid.size - 1)
        part = (place - low)[:, None]
        at_depth = table[:, :, :, low] * (1.0 - part) + table[:, :, :, high] * part
        minute = (self.start_minute + np.arange(self.ticks) + 0.5) % MINUTES_A_DAY
        hour = minute / 60.0 - 0.5
        before = np.floor(hour).astype(np.int64)
        after_part = hour - before
        curve = at_depth[..., before % 24] * (1.0 - after_part) + at_depth[..., (before + 1) % 24] * after_part
        day = world.weekday_factor[:, self.weekday][:, None, None, None, None] * world.population
        return np.ascontiguousarray(np.moveaxis(curve * day, (0, 4), (4, 0)), dtype=np.float32)

    def _visitors(self, rate: NDArray[np.float32], members: list[int]) -> NDArray[np.float64]:
        """Expected visitors (tick, menu) when all products stand at one menu index; the law of sim/traffic.py."""
        by_segment = rate[..., members].astype(np.float64).sum(axis=2)  # tick, segment, menu, member
        at_list = by_segment[:, :, :1]
        uplift = np.divide(by_segment, at_list, out=np.ones_like(by_segment), where=at_list > 0.0)
        share = self.world.traffic_share[members]
        chance = np.minimum(
            self.traffic.highest_conversion, self.world.conversion_at_list[members] * uplift ** (1.0 - share)
        )
        return (by_segment / chance).sum(axis=1).mean(axis=2)


def _split(stock: NDArray[np.int64], shares: list[float]) -> NDArray[np.int64]:
    """Units of each wave (wave, product): whole units that add up to ``stock``."""
    upto = np.floor(np.cumsum(shares)[:, None] * stock[None, :] + 0.5).astype(np.int64)
    upto[-1] = stock
    return np.diff(upto, axis=0, prepend=0)


def grocery_evening(world: World) -> Scenario:
    """A two-hour evening sale of goods that a grocer has bought for the occasion; the default scenario.

    Stock is half as much again as the sale would sell without a discount, so that neither no discount nor a deep one
    is right; the menu holds the steps of the usual 15/30/45 ladder. The second delivery is due at seven. Servers are
    few when the sale opens, cost about $3 an hour each with all that stands behind them, and boot in three minutes.
    """
    return Scenario(
        world=world,
        name="grocery_evening",
        story=(
            "A grocer with an online shop sells eight everyday products in a two-hour sale on a Friday evening. "
            "The goods were bought for it, what is left is worth little, and nobody knows how strong the evening "
            "will be."
        ),
        depths=(0.0, 0.1, 0.15, 0.2, 0.3, 0.4, 0.45),
        stock_cover=1.5,
        waves=((0, 0.6), (60, 0.4)),
        servers=ServerParams(start_servers=12, cost=0.05),
    )


SCENARIOS: dict[str, Callable[[World], Scenario]] = {"grocery_evening": grocery_evening}
"""Every named scenario: a function of the World."""


def scenario_named(name: str, world: World) -> Scenario:
    """The scenario ``name`` on ``world``; InputError names the nearest one when there is none."""
    check_scenario_name(name)
    return SCENARIOS[name](world)


def check_scenario_name(name: str) -> None:
    """InputError that names the nearest scenario unless there is one called ``name``."""
    if name not in SCENARIOS:
        near = difflib.get_close_matches(name, SCENARIOS, n=1, cutoff=0.0)[0]
        raise InputError(
            f"scenario: unknown name {name!r}; did you mean {near!r}? Known: {', '.join(sorted(SCENARIOS))}"
        )
