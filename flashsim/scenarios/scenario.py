"""One planned sale on a World: timeline, products, stock, costs and limits, compiled to a :class:`CompiledSale`."""

from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from flashsim.errors import InputError
from flashsim.scenarios.assortment import assortment_notes, check_products, on_sale
from flashsim.scenarios.compiled import CompiledSale, make_forecast
from flashsim.scenarios.day import check_day, day_notes, season_on, widened
from flashsim.scenarios.menu import menu_notes
from flashsim.scenarios.occasion import Calendar
from flashsim.settings import NO_SETTING
from flashsim.sim.choice import ChoiceArguments, ChoiceParams
from flashsim.sim.failures import Failures
from flashsim.sim.inventory import StockArguments, StockParams
from flashsim.sim.parameters import as_arguments, check_range, check_whole
from flashsim.sim.servers import ServerArguments, ServerParams, check_pre_opening, ticks_to_quota
from flashsim.sim.state import SaleTables
from flashsim.sim.traffic import TrafficArguments, TrafficParams
from flashsim.sim.waiting_room import WaitingRoomArguments, WaitingRoomParams
from flashsim.world import World

MINUTES_A_DAY = 24 * 60
MOST_TICKS = 100_000
PRE_OPENING_STEP = 10
"""Ticks before the opening are a multiple of it unless told: decisions that stand for some ticks begin anew with it."""


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """One planned sale on a World. Raises InputError when a value is outside its range.

    ``dataclasses.replace`` keeps all that it is not given, also what was made for the World (menu, rushes, servers):
    for another World call the named scenario on that one.
    """

    world: World = field(metadata=NO_SETTING)
    """Where demand, prices and their uncertainty come from."""
    name: str
    """What reports call it."""
    story: str
    """Who sells what to whom, and why it is hard; one or two sentences."""
    start_minute: int = 18 * 60
    """Minute of the day at which the sale opens."""
    ticks: int = 120
    """Length in ticks; a tick is ``servers.seconds_per_tick`` long, a minute by default."""
    weekday: int = 4
    """Day of the week, Monday is 0; that of ``date`` where it is given."""
    date: str | None = None
    """Day of the sale, as 2026-12-31: weekday, season and how far the levels may have moved follow; None: an ordinary
    day right after the data."""
    pre_opening: int | None = 0
    """Ticks before the doors open, in which servers are ordered, boot and are paid; 0, or enough to reach the quota
    (:func:`flashsim.sim.servers.ticks_to_quota`). None: enough, up to the next multiple of ten."""
    products: tuple[str, ...] = ()
    """Product ids of the World that are on sale, 256 at most; (): all of a World of up to 64 products, else the eight
    that its data support best."""
    calendar: Calendar = field(default_factory=Calendar)
    """How the occasion multiplies ordinary demand."""
    depths: tuple[float, ...] = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5)
    """The discount menu, share of list price, ascending from 0."""
    usual_depths: tuple[float, ...] = field(default=(), compare=False, metadata=NO_SETTING)
    """The menu that the sale has where nobody sets ``depths``. Where ``depths`` is as much of it as the World supports,
    ``menu_notes`` tells what was left out. (): depths were set."""
    stock_cover: float = 2.0
    """Units planned, as a multiple of what the sale is expected to sell at list price."""
    stock_units: int | None = None
    """Units planned of each product, whatever is expected; None: by ``stock_cover``."""
    waves: tuple[tuple[int, float], ...] = ((0, 1.0),)
    """(tick, share of the stock) of each planned release; shares add up to 1."""
    salvage_share: float = 0.2
    """What a unit left over is worth, as a share of its cost; negative where its disposal costs."""
    traffic: TrafficParams = field(default_factory=TrafficParams)
    room: WaitingRoomParams = field(default_factory=WaitingRoomParams)
    servers: ServerParams = field(default_factory=ServerParams)
    choice: ChoiceParams = field(default_factory=ChoiceParams)
    carts: StockParams = field(default_factory=StockParams)
    failures: Failures = field(default_factory=Failures)
    server_changes: tuple[int, ...] = (-4, -1, 0, 1, 4)
    """What can be ordered in a tick, servers more or fewer."""
    admission_caps: tuple[float, ...] = (np.inf,)
    """Caps that the admission head can set: visits let in, as a multiple of what servers in force can do; the first is
    in force unless another is chosen, infinite means open doors."""
    lookahead: tuple[int, ...] = (0, 5, 15)
    """Ticks ahead for which observations hold forecasts."""
    allow_extrapolation: bool = False
    """Permit depths beyond what the data support; flagged wherever they appear."""

    def __post_init__(self) -> None:
        check_whole("start_minute", self.start_minute, 0, MINUTES_A_DAY - 1)
        check_whole("ticks", self.ticks, 1, MOST_TICKS)
        check_whole("weekday", self.weekday, 0, 6)
        if self.date is not None:
            object.__setattr__(self, "weekday", check_day(self.world, self.date).weekday())
        check_range("stock_cover", self.stock_cover, 0.0, 1e6)
        check_range("salvage_share", self.salvage_share, -10.0, 1.0)
        check_products(self.world, self.products)
        self._check_depths()
        self._check_waves()
        self._check_servers()
        self._check_lots()
        self.calendar.check(self.ticks)
        self.failures.check(self.ticks)
        if self.stock_units is not None:
            check_whole("stock_units", self.stock_units, 0, 1_000_000_000)
        for ahead in self.lookahead:
            check_whole("lookahead", ahead, 0, 100_000)
        for change in self.server_changes:
            check_whole("server_changes", change, -1_000_000, 1_000_000)
        if not self.lookahead:
            raise InputError(f"lookahead must name at least one tick, got {self.lookahead!r}")
        if 0 not in self.server_changes:
            raise InputError(f"server_changes must hold 0 (no change), got {self.server_changes!r}")

    def _check_servers(self) -> None:
        if self.servers.start_servers == 0 and self.servers.lag >= self.ticks:
            raise InputError(
                f"servers that can never start: start_servers is 0 and lag {self.servers.lag} is not below the "
                f"{self.ticks} ticks of the sale; start with servers or shorten the lag"
            )
        if self.pre_opening:
            check_whole("pre_opening", self.pre_opening, 0, MOST_TICKS)
            check_pre_opening(self.pre_opening, self.servers, self.server_changes)
        if not self.admission_caps or not all(cap > 0.0 for cap in self.admission_caps):
            raise InputError(f"admission_caps must be above 0, at least one, got {self.admission_caps!r}")

    def _check_lots(self) -> None:
        if self.carts.lots and self.carts.lead_time >= self.ticks:
            raise InputError(
                f"carts.lead_time: lots arrive {self.carts.lead_time} ticks after they are ordered, the sale has "
                f"{self.ticks} ticks; shorten it, raise ticks, or set carts.lots to 0"
            )

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
                "leave out deeper ones or set allow_extrapolation=true"
            )

    def _check_waves(self) -> None:
        ticks, shares = [tick for tick, _ in self.waves], [share for _, share in self.waves]
        for tick in ticks:
            check_whole("waves: tick", tick, 0, MOST_TICKS)
            if tick >= self.ticks:
                raise InputError(
                    f"waves: one is due at tick {tick}, the sale has {self.ticks} ticks; release it earlier or raise "
                    "ticks"
                )
        is_sorted = all(a <= b for a, b in pairwise(ticks))
        if not self.waves or not is_sorted:
            raise InputError(f"waves must be at ascending ticks, at least one, got {self.waves!r}")
        if not (min(shares) >= 0.0 and abs(sum(shares) - 1.0) <= 1e-9):
            raise InputError(f"waves: shares must not be negative and add up to 1, got {shares!r}")

    @property
    def ticks_before_opening(self) -> int:
        """Ticks in which servers are ordered before the doors open."""
        if self.pre_opening is not None:
            return self.pre_opening
        needed = ticks_to_quota(self.servers, self.server_changes)
        return -(-needed // PRE_OPENING_STEP) * PRE_OPENING_STEP

    @property
    def menu_notes(self) -> tuple[str, ...]:
        """Sentences that everyone who reads a result must know of the menu, the day, and the products on sale."""
        menu = menu_notes(self.world, self.depths, usual=self.usual_depths, may_extrapolate=self.allow_extrapolation)
        chosen = assortment_notes(self.world, self.products)
        return (*menu, *(() if self.date is None else day_notes(self.world, self.date)), *chosen)

    def compile(self) -> CompiledSale:
        """Compile the scenario; O(ticks · segments · products · depths · members)."""
        world, chosen = self.world, self._chosen()
        expected = self._rates()
        train = list(world.training_members)
        buyers = expected[..., train].astype(np.float64).mean(axis=4)  # tick, segment, product, price
        units = buyers * self.choice.units_allowed
        planned = np.ceil(self.stock_cover * units[:, :, :, 0].sum(axis=(0, 1))).astype(np.int64)
        if self.stock_units is not None:
            planned[:] = self.stock_units
        forecast = make_forecast(
            units.sum(axis=1),
            self._visitors(expected, train),
            traffic_share=float(world.traffic_share[train].mean()),
            common_variance=float(world.frailty_common_variance[train].mean()),
            product_variance=self._product_variance()[train].mean(axis=0),
        )
        tables = self._tables(expected, planned)
        return CompiledSale(
            name=self.name,
            story=self.story,
            tables=tables,
            forecast=forecast,
            depths=tables.depth,
            product_names=tuple(world.product_names[product] for product in chosen),
            currency=world.currency,
            training_members=world.training_members,
            heldout_members=world.heldout_members,
            server_changes=self.server_changes,
            admission_caps=self.admission_caps,
            lookahead=self.lookahead,
            is_extrapolated=self.depths[-1] > world.supported_depth,
            menu_notes=self.menu_notes,
        )

    def _chosen(self) -> list[int]:
        """Indices of the products on sale."""
        place = {name: number for number, name in enumerate(self.world.product_ids)}
        return [place[name] for name in on_sale(self.world, self.products)]

    def _tables(self, expected: NDArray[np.float32], planned: NDArray[np.int64]) -> SaleTables:
        world, chosen = self.world, self._chosen()
        list_price, unit_cost = world.list_price[chosen], world.unit_cost[chosen]
        return SaleTables(
            rate=expected,
            price=list_price[:, None] * (1.0 - np.array(self.depths)),
            depth=np.tile(np.array(self.depths), (len(chosen), 1)),
            list_price=list_price.copy(),
            unit_cost=unit_cost.copy(),
            salvage_value=self.salvage_share * unit_cost,
            conversion=np.array(world.conversion_at_list),
            traffic_share=np.array(world.traffic_share),
            common_variance=np.array(world.frailty_common_variance),
            product_variance=np.ascontiguousarray(self._product_variance()),
            members=np.array(world.training_members, np.int64),
            wave_tick=np.array([tick for tick, _ in self.waves], np.int64),
            wave_units=_split(planned, [share for _, share in self.waves]),
            planned=planned,
            lot_units=np.ceil(self.carts.lot_share * planned).astype(np.int64),
            pre_opening=self.ticks_before_opening,
            failures=self.failures.arguments(),
            traffic=as_arguments(self.traffic, TrafficArguments),
            room=as_arguments(self.room, WaitingRoomArguments),
            servers=as_arguments(self.servers, ServerArguments),
            choice=as_arguments(self.choice, ChoiceArguments),
            stock=as_arguments(self.carts, StockArguments),
        )

    def _product_variance(self) -> NDArray[np.float64]:
        """Variance of the products' frailties (member, product on sale): wider the farther the day is from the data."""
        variance = self.world.frailty_product_variance[:, self._chosen()]
        return variance if self.date is None else widened(variance, self.world, self.date, self._chosen())

    def _rates(self) -> NDArray[np.float32]:
        """Expected buyers of each tick (tick, segment, product, price, member): the World at the middle of the tick.

        Times the calendar. The World counts units: a buyer who wants several counts once here.
        """
        world = self.world
        minutes = self.servers.seconds_per_tick / 60.0
        middles = self.start_minute + minutes * (np.arange(self.ticks) + 0.5)
        units = world.units_at(self.depths, middles, products=self._chosen())
        day = world.weekday_factor[:, self.weekday] * world.population / self.choice.units_wanted
        occasion = minutes * self.calendar.multiple(self.ticks)
        rate = units * day[:, None, None, None, None] * occasion
        if self.date is not None:
            rate *= season_on(world, self.date)[self._chosen()][:, None, None]
        return np.ascontiguousarray(np.moveaxis(rate, (0, 4), (4, 0)), dtype=np.float32)

    def _visitors(self, rate: NDArray[np.float32], members: list[int]) -> NDArray[np.float64]:
        """Expected visitors (tick, price) when all products stand at one price index; the law of sim/traffic.py."""
        by_segment = rate[..., members].astype(np.float64).sum(axis=2)  # tick, segment, price, member
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
