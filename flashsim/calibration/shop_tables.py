"""From a shop's own tables to a World; what they do not tell is taken from a base World, and every field says so.

    units_per_minute(m, s, p, d, h) = level(m, p)·response(m, p, d)·share(m, s, p, d)·profile(m, s, p, h) / 60

    part       from                                     where that does not tell it: the base World
    level      sales_data, today's, at list price       no sales_data: the products and everything else of the base
    response   sales_data: (1 - depth)^elasticity       the response of the product, else of its group, else of all
    season     sales_data of a year or more             none
    share      user_behavior or orders: segments        the segments of the same products
    profile    user_behavior, orders, else traffic_data the hours of the same products

The products of the base World that are *similar* to a product are the one of the same id, else those of its group,
else all. The World has as many members as its base, and the same ones for training; member i takes from member i what
it does not know itself.

The table is held against these parts as every World's is (:mod:`flashsim.surface`). Servers and the run of a rush come
from ``traffic_data`` by the minute, servers of which it does not tell from a loopback server where one is asked for
(:mod:`flashsim.calibration.site`).

Left out: support tickets, which are checked and counted alone; people who look and do not buy beyond their number.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from flashsim.calibration.assumptions import GROSS_MARGIN
from flashsim.calibration.base_responses import (
    BaseResponses,
    SimilarProducts,
    product_groups,
    similar_products,
    texts_in,
)
from flashsim.calibration.shop_card import judge_own
from flashsim.calibration.shop_provenance import BASE, Record, describe_own, with_own_books
from flashsim.calibration.shop_surface import RateParts, depth_grid, make_rates, with_hours
from flashsim.calibration.site import MEASURED, SiteRecords, learn_site
from flashsim.data.shop_tables import CheckedTables
from flashsim.errors import InputError, Unavailable
from flashsim.fidelity.promotions import judge_shop
from flashsim.models.customers.segments import SEGMENTS
from flashsim.models.customers.visits_and_events import (
    Purchases,
    ShopSegments,
    divide_people,
    purchase_profiles,
    purchases_of,
    units_a_visitor,
    visit_profile,
)
from flashsim.models.demand.daily_totals import ShopDemand, learn_demand
from flashsim.models.price.price_response import FEWEST_DAYS
from flashsim.models.traffic.loopback import Load
from flashsim.season import LevelDays
from flashsim.sim.parameters import check_seed
from flashsim.world import World

Array = NDArray[np.float64]
LEARNING_TABLES: Final = ("sales_data", "traffic_data", "user_behavior")


def learn_world(
    own: CheckedTables,
    base: World,
    *,
    seed: int,
    load: Load | None = None,
    progress: Callable[[str, int, int], None] | None = None,
    workers: int = 0,
) -> World:
    """A World of ``own`` tables on ``base``; equal tables, base and seed give equal Worlds.

    With a ``load``, servers of which ``traffic_data`` does not tell are measured on a loopback server, and two Worlds
    differ by what was measured. The products of a large shop are fitted by so many ``workers``, processes that import
    the main program: 0 where it has no main guard; any number above gives the same digits. InputError when a table
    covers fewer than ``FEWEST_DAYS`` days, or none of them tells anything.
    """
    check_seed(seed)
    _check_extent(own)
    report = progress if progress is not None else _silent

    def learn_early(early: CheckedTables) -> World:
        _check_extent(early)
        stage = "learning the days before"
        return _learn(with_own_books(early), base, seed=seed, progress=report, workers=workers, stage=stage)[0]

    own = with_own_books(own)
    made, record = _learn(own, base, seed=seed, load=load, progress=report, workers=workers)
    if own.sales is not None:
        record.promotions = judge_shop(
            own.sales,
            groups=product_groups(own, base),
            seed=seed,
            progress=lambda done, total: report("predicting past promotions", done, total),
        )
    card = judge_own(own, learn_early, seed=seed, progress=report)
    facts = {"seed": seed, "members": base.n_members}
    described = describe_own(own, record, settings=facts, card=card)
    return replace(made, name=_name(own, made), provenance=described)


def _learn(
    own: CheckedTables,
    base: World,
    *,
    seed: int,
    progress: Callable[[str, int, int], None],
    workers: int,
    load: Load | None = None,
    stage: str = "learning demand",
) -> tuple[World, Record]:
    """A World without provenance of its own, and where its fields came from; rows are booked into ``own``."""
    drawing, redrawing = (np.random.default_rng((seed, use)) for use in range(2))
    record = Record(base)
    if own.sales is None:
        world = base
    else:
        groups = product_groups(own, base)
        demand = learn_demand(
            own.sales,
            members=base.n_members,
            generator=drawing,
            progress=lambda done, total: progress(stage, done, total),
            groups=groups,
            fallback=BaseResponses(base, groups),
            workers=workers,
        )
        rows_of = own.sales["product_id"].value_counts()
        for product, why in demand.left_out.items():
            rows = int(rows_of[product])
            own.account.drop("sales_data", f"product {product} {why}: it is left out", rows)
        world = _with_demand(
            own, demand, base, record=record, progress=lambda done, total: progress("making rates", done, total)
        )
    world = _with_visits(own, world, record=record, generator=redrawing)
    return _with_site(own, world, record=record, load=load, seed=seed), record


def _check_extent(own: CheckedTables) -> None:
    there = [name for name in LEARNING_TABLES if name in own.tables]
    if not there:
        raise InputError(
            f"the folder holds {', '.join(own.tables)} alone, from which nothing is learned yet; add sales_data, "
            "traffic_data or user_behavior"
        )
    for name in there:
        days = own.days(name)
        if days < FEWEST_DAYS:
            raise InputError(
                f"{own.files[name]} covers {days} days, a calibration needs at least {FEWEST_DAYS}; bring more, or "
                "refresh a World that you have with them: from_world=FOLDER data=csv data.folder=FOLDER"
            )


def _with_demand(
    own: CheckedTables, demand: ShopDemand, base: World, *, record: Record, progress: Callable[[int, int], None]
) -> World:
    """The base World with the products, prices and demand of ``sales_data``."""
    assert own.sales is not None
    known = product_groups(own, base)
    groups, names = tuple(known[name] for name in demand.product_ids), _names(own, demand, base)
    similar = similar_products(demand.product_ids, groups, base)
    record.learn_from_sales(demand, similar.words, names=names, groups=groups, own_currency=own.mapping.currency)
    bought, table, segments, hours = None, "", None, None
    if own.bought is not None:
        bought, table = purchases_of(own.bought[0], demand.product_ids), own.bought[1]
        divided = divide_people(bought, own.sales, product_ids=demand.product_ids, list_price=demand.list_price)
        segments = record.enter(divided, ("segment_names",), table, doing="segments")
        found = _hours_of_groups(bought, groups, segments, segment_count=len(base.segment_names))
        hours = record.enter_hours(found, table)
    rates = make_rates(RateParts(demand, base, similar, segments, hours), progress=progress)
    record.tables = rates.account
    grid = depth_grid(base)
    depth = [base.supported_depth] * bool(demand.unidentified or demand.supported_depth is None)
    depth += (
        [] if demand.supported_depth is None else [float(np.clip(np.round(demand.supported_depth, 2), 0.01, grid[-1]))]
    )
    return replace(
        base,
        currency=own.mapping.currency,
        product_ids=demand.product_ids,
        product_names=names,
        product_groups=groups,
        segment_names=base.segment_names if segments is None else SEGMENTS,
        list_price=demand.list_price,
        unit_cost=_unit_cost(own, demand, record=record),
        depth_grid=grid,
        units_per_minute=rates.units_per_minute,
        hour_profile=rates.hour_profile,
        display_effect=_promotion_effect(demand, base, similar=similar, record=record),
        mailer_effect=similar.mean(base.mailer_effect),
        weekday_factor=demand.weekday_factor,
        frailty_common_variance=np.array([part.common for part in demand.spread]),
        frailty_product_variance=np.stack([part.product for part in demand.spread]),
        population=1.0,
        buyer_value=base.buyer_value if own.mapping.currency == base.currency else 0.0,
        supported_depth=min(depth),
        level_days=LevelDays(
            own.sales["date"].max().date().isoformat(),
            season=tuple(tuple(waves) if any(waves) else () for waves in demand.season.tolist()),
            drift=tuple(demand.drift.tolist()),
        ),
    )


def _names(own: CheckedTables, demand: ShopDemand, base: World) -> tuple[str, ...]:
    """Name of each product: the table's last one that is filled, else the base World's, else its id."""
    given = texts_in(own, "product_name")
    of_base = dict(zip(base.product_ids, base.product_names, strict=True))
    return tuple(given.get(name, of_base.get(name, name)) for name in demand.product_ids)


def _hours_of_groups(
    bought: Purchases, groups: tuple[str, ...], segments: ShopSegments | None, *, segment_count: int
) -> Array | Unavailable:
    """Share of a day by hour (product, segment, hour), those of the product's group."""
    names = sorted(set(groups))
    group_of = np.array([names.index(group) for group in groups], dtype=np.intp)
    count = segment_count if segments is None else len(SEGMENTS)
    found = purchase_profiles(bought, group_of=group_of, segments=segments, count=count)
    return found if isinstance(found, Unavailable) else found[group_of]


def _unit_cost(own: CheckedTables, demand: ShopDemand, *, record: Record) -> Array:
    assumed = demand.list_price * (1.0 - GROSS_MARGIN.low) * demand.price_over_list
    assert own.sales is not None
    given = {}
    if "unit_cost" in own.sales.columns:
        given = own.sales.groupby("product_id")["unit_cost"].median().dropna().to_dict()
    record.costs_given = tuple(name for name in demand.product_ids if name in given)
    return np.round([given.get(name, cost) for name, cost in zip(demand.product_ids, assumed, strict=True)], 4)


def _promotion_effect(demand: ShopDemand, base: World, *, similar: SimilarProducts, record: Record) -> Array:
    if demand.promotion_effect is None:
        record.set("display_effect", BASE, "sales_data has no promotion that can be told apart from its price")
        return similar.mean(base.display_effect)
    record.set("display_effect", "sales_data", "what a promotion adds to a day beyond its price")
    return demand.promotion_effect


def _with_visits(own: CheckedTables, world: World, *, record: Record, generator: np.random.Generator) -> World:
    """``world`` with the hours and the units a visitor that visits and events tell."""
    if own.sales is None and own.behavior is not None:
        bought = purchases_of(own.behavior, world.product_ids)
        everything = np.zeros(world.n_products, dtype=np.intp)
        by_hour = purchase_profiles(bought, group_of=everything, segments=None, count=1)
        profiles = record.enter_hours(by_hour, "user_behavior")
        if profiles is not None:
            world = with_hours(world, np.tile(profiles[0, 0], (world.n_members, 1)))
    if own.traffic is not None:
        profile = None if record.hours_from else record.enter_hours(visit_profile(own.traffic), "traffic_data")
        if profile is not None:
            world = with_hours(world, np.tile(profile, (world.n_members, 1)))
    found = units_a_visitor(
        sales=own.sales, traffic=own.traffic, behavior=own.behavior, members=world.n_members, generator=generator
    )
    tables = "" if isinstance(found, Unavailable) else found[1]
    ratio = record.enter(found, ("conversion_at_list",), tables, doing="units a visitor")
    if ratio is None:
        return world
    at_list = ratio[0] * record.units_over_list ** (world.traffic_share - 1.0)
    return replace(world, conversion_at_list=np.clip(at_list, 1e-9, 1.0 - 1e-9))


def _with_site(own: CheckedTables, world: World, *, record: Record, load: Load | None, seed: int) -> World:
    """``world`` with the servers and the run of a rush, where ``traffic_data``, or a loopback server, tells them."""
    if own.traffic is None and load is None:
        return world
    servers = own.mapping.of("traffic_data").servers
    assumed = {"service_rate": world.service_rate, "unloaded_latency_s": world.unloaded_latency_s}
    records = SiteRecords(traffic=own.traffic, servers=servers, load=load)
    site = learn_site(records, currency=world.currency, margin=0.0, assumed=assumed, seed=seed)
    own_fields: dict[str, Any] = {}
    for part, names in _SITE_FIELDS.items():
        facts = site.record[part]
        source = {"traffic_data": "traffic_data", MEASURED: "loopback"}.get(facts["source"], BASE)
        if source != BASE:
            own_fields |= {name: site.fields[name] for name in names}
            record.site[part] = facts
        if source != "traffic_data":
            instead = "the base World's are kept" if source == BASE else f"they are those of {MEASURED}"
            record.not_learned.append(f"{part}: {facts['why_not_own']}; {instead}")
        for name in names:
            record.set(name, source, facts["why_not_own"] if source == BASE else f"see site: {part}")
    return replace(world, **own_fields)


_SITE_FIELDS: Final = {
    "servers": ("service_rate", "unloaded_latency_s"),
    "rush": ("rush_amplitude", "rush_ramp_minutes", "rush_hold_minutes", "rush_decay_minutes"),
}


def _name(own: CheckedTables, world: World) -> str:
    if own.sales is None:
        return f"{own.mapping.name}, products of {world.name}"
    return f"{own.mapping.name}, {world.n_products} products"


def _silent(description: str, done: int, total: int) -> None:
    """Show no progress."""
