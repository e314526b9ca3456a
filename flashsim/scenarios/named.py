"""Five sales with stories. Demand, the speed of servers and the shape of an announced rush are the World's.

What else the occasion adds is an assumption, said beside each number. Each is a function of the World and of what shall
differ: ``grocery_evening(world, stock_cover=1.2, servers={"lag": 5})``. What follows from the length of a sale or of
its ticks (waves, rushes, the speed of servers) is made for the length that was asked for.
"""

import functools
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, Protocol

from flashsim.errors import InputError
from flashsim.scenarios.assortment import MOST_BY_DEFAULT, best_supported
from flashsim.scenarios.changes import planned, typed_changes
from flashsim.scenarios.occasion import HIGHEST_RUSH, SHORTEST_HALF_LIFE, Calendar, Rush, learned_rush
from flashsim.scenarios.scenario import MOST_TICKS, Scenario
from flashsim.settings import fields_of, names_hint
from flashsim.shown import brief
from flashsim.sim.choice import ChoiceParams
from flashsim.sim.failures import Failures, Outage
from flashsim.sim.inventory import StockParams
from flashsim.sim.servers import LONGEST_TICK_S, SHORTEST_TICK_S, ServerParams
from flashsim.sim.traffic import TrafficParams
from flashsim.sim.waiting_room import OPEN
from flashsim.world import World

_STEPS = (0.0, 0.1, 0.15, 0.2, 0.3, 0.4, 0.45)  # the usual 15/30/45 ladder and what lies between
_DOORS = (OPEN, 1.5, 1.0, 0.7)  # open, and three caps: above, at and below what the servers can do
SECKILL_PEOPLE = 30_000
"""People whom the one-product sale expects at list price; such sales draw 10^4 to 10^5 people for 100 units."""


class NamedScenario(Protocol):
    """A scenario that every World can have."""

    def __call__(self, world: World, /, **changes: Any) -> Scenario:
        """The scenario on ``world`` with ``changes`` put over its fields before they are checked."""
        ...


SCENARIOS: dict[str, NamedScenario] = {}
"""Every named scenario by its name."""


class Asked(NamedTuple):
    """What shall differ from a named scenario; a length out of its range is the usual one here, and refused later."""

    settings: Mapping[str, Any]

    def ticks(self, usual: int) -> int:
        """Length of the sale."""
        ticks: int = self.settings.get("ticks", usual)
        return ticks if 1 <= ticks <= MOST_TICKS else usual

    def seconds_per_tick(self, usual: float = 60.0) -> float:
        """Length of a tick."""
        servers = self.settings.get("servers", {})
        given = fields_of(servers) if isinstance(servers, ServerParams) else servers
        seconds: float = given.get("seconds_per_tick", usual)
        return seconds if SHORTEST_TICK_S <= seconds <= LONGEST_TICK_S else usual

    def has_rushes(self) -> bool:
        """Whether the rushes of the calendar are given."""
        calendar = self.settings.get("calendar", {})
        return isinstance(calendar, Calendar) or "rushes" in calendar


def named(fields_on: Callable[[World, Asked], dict[str, Any]]) -> NamedScenario:
    """Make a named scenario of a function that gives its fields on a World; it has the name of the function."""
    name = fields_on.__name__

    @functools.wraps(fields_on)
    def scenario(world: World, /, **changes: Any) -> Scenario:
        asked = Asked(typed_changes(changes))
        return planned(world, {"name": name} | fields_on(world, asked), asked.settings)

    SCENARIOS[name] = scenario
    return scenario


@named
def grocery_evening(world: World, asked: Asked) -> dict[str, Any]:
    """A two-hour evening sale of goods that a grocer has bought for the occasion; the default scenario.

    Stock is half as much again as the sale would sell without a discount, so that neither no discount nor a deep one
    is right; the menu holds the steps of the usual 15/30/45 ladder. The second delivery is due half-way, at seven.
    Servers are few when the sale opens, cost about $3 an hour each with all that stands behind them, and boot in three
    minutes.
    """
    return _evening(asked) | {
        "servers": _servers(
            world,
            asked.seconds_per_tick(),
            start_servers=12,
            cost=0.05,
            retry_share=0.4,
            collapse_load=3.0,
        ),
    }


def _evening(asked: Asked) -> dict[str, Any]:
    ticks = asked.ticks(120)
    return {
        "story": (
            "A grocer with an online shop sells everyday products on a Friday evening. The goods were bought for the "
            "sale, what is left is worth little, and nobody knows how strong the evening will be."
        ),
        "ticks": ticks,
        "pre_opening": None,
        "depths": _STEPS,
        "stock_cover": 1.5,
        "waves": ((0, 0.6), (ticks // 2, 0.4)),
    }


def _servers(world: World, seconds_per_tick: float, **changes: Any) -> ServerParams:
    """Servers as fast as the World knows them; ``changes`` are other fields of ServerParams."""
    return ServerParams(
        service_rate=world.service_rate * seconds_per_tick / 60.0,
        unloaded_latency_s=world.unloaded_latency_s,
        seconds_per_tick=seconds_per_tick,
        **changes,
    )


@named
def seckill(world: World, asked: Asked) -> dict[str, Any]:
    """秒杀: one product, 100 units, ten minutes, some 10^4 to 10^5 people, in ticks of five seconds.

    People come at once, for a button and not for an evening: the rush halves every minute (an assumption), where the
    World's announced rush lasts for hours. A server boots in a minute and the platform allows 300. Half of those who
    fail try again within seconds, and a pool that is offered four times what it can do collapses (Bronson et al. 2021
    tell such stories). The waiting room is the team's best tool. One unit a person, ten minutes to pay.
    """
    fields: dict[str, Any] = {
        "story": (
            "One product, few units, some minutes: a shop has announced a seckill, and tens of thousands of people "
            "wait for the button. Most will leave with nothing; the question is whether the platform stands."
        ),
        "start_minute": 12 * 60,
        "ticks": asked.ticks(120),
        "pre_opening": None,
        "products": world.product_ids[:1] if world.n_products <= MOST_BY_DEFAULT else best_supported(world, 1),
        "depths": (0.0, 0.1, 0.2, 0.3, 0.4, 0.5),
        "stock_units": 100,
        "traffic": TrafficParams(push_budget=0, sharing_ratio=0.5, sharing_delay=6.0, goodwill_half_life=24.0),
        "servers": _servers(
            world,
            asked.seconds_per_tick(5.0),
            start_servers=60,
            max_servers=300,
            lag=12,
            drain_ticks=12,
            cost=0.005,
            penalty=0.01,
            patience_ticks=3.0,
            queue_limit=10,
            retry_share=0.5,
            retry_delay=2.0,
            collapse_load=4.0,
        ),
        "carts": StockParams(payment_delay=12, cart_timeout=120),
        "server_changes": (-20, 0, 20, 60),
        "admission_caps": _DOORS,
        "lookahead": (0, 12, 36),
    }
    if asked.has_rushes():
        return fields
    half_life = max(60.0 / asked.seconds_per_tick(5.0), SHORTEST_HALF_LIFE)
    return fields | {"calendar": _rush_of(world, {"name": "seckill"} | fields, asked, half_life=half_life)}


def _rush_of(world: World, fields: dict[str, Any], asked: Asked, *, half_life: float) -> Calendar:
    """The calendar whose rush, at the opening, brings ``SECKILL_PEOPLE`` at list price over the sale that is asked for,
    ordinary demand aside."""
    others = {name: value for name, value in asked.settings.items() if name != "calendar"}
    sale = planned(world, fields, others | {"depths": (0.0,)})
    visitors = sale.compile().forecast.visitors[:-1, 0]  # of an ordinary day
    shape = Calendar(level=0.0, rushes=(Rush(0, 1.0, half_life),)).multiple(sale.ticks)
    ordinary = float(visitors @ shape)
    if ordinary * HIGHEST_RUSH < SECKILL_PEOPLE:
        raise InputError(
            f"{sale.name}: the World {world.name!r} expects {ordinary:g} visitors in {sale.ticks} ticks from "
            f"start_minute {sale.start_minute} on, and no rush makes {SECKILL_PEOPLE} of them; open at another "
            "start_minute or raise ticks"
        )
    return Calendar(rushes=(Rush(0, SECKILL_PEOPLE / ordinary, half_life),))


@named
def shopping_festival(world: World, asked: Asked) -> dict[str, Any]:
    """618 or 双11: four hours of the festival night, three waves of stock with a rush at each, and a supplier.

    Ordinary demand is trebled all night (an assumption; shops report several times an ordinary day), and each wave was
    announced: it draws the rush that the World knows, which gathers before the wave and fades after it. Waves come at
    the opening, after three and after six eighths of the sale. Two further lots can be ordered and arrive after half an
    hour; buyers may take three units. The team may ask people to wait at the door.
    """
    ticks, seconds = asked.ticks(240), asked.seconds_per_tick()
    starts = (0, 3 * ticks // 8, 6 * ticks // 8)
    rushes = tuple(learned_rush(world, start, level=3.0, seconds_per_tick=seconds) for start in starts)
    return {
        "story": (
            "Festival night: stock comes in waves, each was announced and draws a rush. The supplier holds more lots, "
            "some time away. Discounts, deliveries, doors and servers must be ready before the wave."
        ),
        "start_minute": 20 * 60,
        "ticks": ticks,
        "pre_opening": None,
        "weekday": 2,
        "calendar": Calendar(level=3.0, rushes=rushes),
        "depths": _STEPS,
        "stock_cover": 1.2,
        "waves": tuple(zip(starts, (0.4, 0.3, 0.3), strict=True)),
        "traffic": TrafficParams(push_budget=3, sharing_ratio=0.3),
        "servers": _servers(
            world,
            seconds,
            start_servers=30,
            max_servers=200,
            drain_ticks=2,
            cost=0.05,
            queue_limit=40,
            retry_share=0.4,
            collapse_load=3.0,
        ),
        "choice": ChoiceParams(another_unit=0.2, limit=3),
        "carts": StockParams(lots=2, lot_share=0.2, lead_time=30),
        "server_changes": (-20, -5, 0, 5, 20),
        "admission_caps": _DOORS,
        "lookahead": (0, 5, 15, 30),
    }


@named
def clearance(world: World, asked: Asked) -> dict[str, Any]:
    """A clearance: three times what would sell at list price must go in three hours, and what is left costs money.

    Disposal costs a tenth of the goods' cost. Nobody comes for the shop's sake: no push, ordinary demand. Deep steps
    are on the menu, up to half price. Bulk buyers may take five units.
    """
    return {
        "story": (
            "Stock of a season's end: far more than the sale would sell at list price. What is left at the close is "
            "carted away at the shop's expense, so the question is how early and how deep to go."
        ),
        "start_minute": 16 * 60,
        "ticks": 180,
        "pre_opening": None,
        "weekday": 6,
        "depths": (0.0, 0.1, 0.2, 0.3, 0.4, 0.5),
        "stock_cover": 3.0,
        "salvage_share": -0.1,
        "traffic": TrafficParams(push_budget=1),
        "servers": _servers(
            world,
            asked.seconds_per_tick(),
            start_servers=10,
            cost=0.05,
            retry_share=0.4,
            collapse_load=3.0,
        ),
        "choice": ChoiceParams(another_unit=0.3, limit=5, scarcity_cue=0.0),
    }


@named
def flaky_platform(world: World, asked: Asked) -> dict[str, Any]:
    """The grocery evening on a bad day: each thing that can fail does, and nobody has planned for it.

    The screen freezes for five minutes, half the servers are lost for a quarter of an hour, payment is down for eight
    minutes, and for three minutes ten times the forecast comes. Each comes at any time of the evening, drawn anew for
    every sale: an agent can learn what to do when things fail, but not when they will. Durations are those of common
    post-mortems (Gunawi et al. 2016, SoCC, "Why does the cloud stop computing?": most outages last minutes to hours).
    """
    return _evening(asked) | {
        "story": (
            "The grocery evening on a day on which the platform fails: the screen freezes, servers are lost, payments "
            "stop, and a link in a popular channel brings ten times the people for three minutes. Nobody can know "
            "when."
        ),
        "servers": _servers(
            world,
            asked.seconds_per_tick(),
            start_servers=12,
            cost=0.05,
            drain_ticks=2,
            queue_limit=40,
            retry_share=0.6,
            collapse_load=2.0,
        ),
        "failures": Failures(
            feed=Outage(None, 5),
            pool=Outage(None, 15),
            payment=Outage(None, 8),
            traffic=Outage(None, 3),
        ),
        "admission_caps": _DOORS,
    }


def scenario_named(name: str, world: World, /, **changes: Any) -> Scenario:
    """The scenario ``name`` on ``world`` with ``changes``; InputError names the nearest one when there is none."""
    check_scenario_name(name)
    return SCENARIOS[name](world, **changes)


def check_scenario_name(name: str) -> None:
    """InputError that names the nearest scenario unless there is one called ``name``."""
    if not isinstance(name, str) or name not in SCENARIOS:
        raise InputError(f"scenario: unknown name {brief(name)}; {names_hint(name, sorted(SCENARIOS))}")
