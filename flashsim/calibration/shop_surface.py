"""The table of rates of a shop's own World, from its levels, responses, segments and hours.

    units_per_minute(m, s, p, d, h) = level(m, p)·response(m, p, d)·share(m, s, p, d)·profile(m, s, p, h) / 60

No part knows both depth and hour. A World of more than ``MOST_WHOLE`` products keeps the two factors apart (5 000
products: 170 MB in place of 2 GB), and is made ``A_PART`` products at a time.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from flashsim.calibration.base_responses import SimilarProducts, fine_depths
from flashsim.calibration.provenance import describe_segments_held, describe_tables
from flashsim.models.customers.visits_and_events import ShopSegments
from flashsim.models.demand.daily_totals import ShopDemand
from flashsim.models.demand.response import MemberResponse, rising_parts
from flashsim.surface import FLOOR, read_depths, tabulate, tabulate_daily
from flashsim.world import HOURS_OF_DAY, World

Array = NDArray[np.float64]
DEPTH_STEP: Final = 0.025
"""Step of the depths of the table: constant elasticities down to -8 then stay within its bound."""
PROBING_SEED: Final = 0
"""Of the random places at which the table is held against its model."""
MOST_WHOLE: Final = 64
"""Products of a World that keeps each hour of each depth."""
A_PART: Final = 64
"""Products whose tables are made at once; their number bounds the memory and changes no digit."""
MINUTES_OF_DAY: Final = 60 * HOURS_OF_DAY


class Rates(NamedTuple):
    """Fields of a World, and how far they are from what they were made of."""

    units_per_minute: NDArray[np.float32]
    hour_profile: NDArray[np.float32] | None
    account: dict[str, Any]


class RateParts(NamedTuple):
    """What the rates of some products are made of."""

    demand: ShopDemand
    base: World
    similar: SimilarProducts
    segments: ShopSegments | None
    hours: Array | None  # product, segment, hour; shares of a day; None: the hours of similar products


def depth_grid(base: World) -> Array:
    """The depths of the table."""
    return np.linspace(0.0, base.depth_grid[-1], round(base.depth_grid[-1] / DEPTH_STEP) + 1)


def make_rates(parts: RateParts, *, progress: Callable[[int, int], None]) -> Rates:
    """The table of all products; ``progress`` is told how many of a large World are done.

    InputError where it would stray from its model.
    """
    grid, count = depth_grid(parts.base), len(parts.demand.product_ids)
    if count <= MOST_WHOLE:
        probes = np.random.default_rng(PROBING_SEED)
        responses = _responses(parts, np.arange(count))
        tables = [tabulate(response, grid, generator=probes) for response in responses]
        account = describe_tables(tables) | {"segments_held": describe_segments_held(responses)}
        return Rates(np.stack([table.values for table in tables]).astype(np.float32), None, account)
    daily, hourly, tables, responses = [], [], [], []
    for start in range(0, count, A_PART):
        some = _responses(parts, np.arange(start, min(start + A_PART, count)))
        made = [
            tabulate_daily(response.daily_at, grid, generator=np.random.default_rng(PROBING_SEED)) for response in some
        ]
        daily.append(np.stack([table.values for table in made]).astype(np.float32))
        hourly.append(np.stack([response.profile for response in some]).astype(np.float32))
        tables += [table._replace(values=np.empty(0)) for table in made]
        responses += [response.emptied() for response in some]
        progress(min(start + A_PART, count), count)
    account = describe_tables(tables) | {"segments_held": describe_segments_held(responses)}
    units = np.concatenate(daily, axis=2)[..., None] / np.float32(MINUTES_OF_DAY)
    return Rates(units, np.concatenate(hourly, axis=2) * np.float32(HOURS_OF_DAY), account)


def _responses(parts: RateParts, chosen: NDArray[np.intp]) -> list[MemberResponse]:
    """Each member as a response surface of the products ``chosen``."""
    demand, base = parts.demand, parts.base
    of_chosen = [parts.similar.of[product] for product in chosen]
    needed = sorted({place for places in of_chosen for place in places})
    similar = SimilarProducts(tuple(tuple(map(needed.index, places)) for places in of_chosen), ())
    fine = fine_depths(base)
    like = np.maximum(similar.total(np.moveaxis(base.rates(needed).astype(np.float64), 2, 0)), 1e-12)
    by_depth = read_depths(like.sum(axis=4), base.depth_grid, fine)  # product, member, segment, fine
    total = by_depth.sum(axis=2, keepdims=True)
    elasticity = demand.elasticity[:, chosen]
    own = np.exp(np.nan_to_num(elasticity).T[:, :, None] * np.log1p(-fine))
    unknown = np.isnan(elasticity).T[:, :, None]
    response = np.where(unknown, total[:, :, 0] / total[:, :, 0, :1], own)  # product, member, fine
    share = by_depth / total
    if parts.segments is not None:
        shares = parts.segments.shares.at(fine)[chosen]
        share = np.broadcast_to(shares[:, None], (len(shares), base.n_members, *shares.shape[1:]))
    daily = demand.level[:, chosen].T[:, :, None, None] * response[:, :, None] * share  # product, member, segment, fine
    profile = _profiles(parts, like[:, :, :, 0], chosen=chosen, segments=share.shape[2])
    made = []
    for member in range(base.n_members):
        of_member = np.swapaxes(daily[:, member], 0, 1)
        rising = rising_parts(np.maximum.accumulate(of_member, axis=2) if of_member.shape[0] == 1 else of_member)
        floor = FLOOR * of_member.max(axis=-1, keepdims=True)
        moved = np.abs(rising - of_member) / np.maximum(of_member, floor)
        made.append(MemberResponse(fine, rising, np.swapaxes(profile[:, member], 0, 1), float(moved.max())))
    return made


def _profiles(parts: RateParts, like: Array, *, chosen: NDArray[np.intp], segments: int) -> Array:
    """Share of a day by hour (product, member, segment, hour); ``like`` is what the base World sells at list price."""
    if parts.hours is not None:
        return np.broadcast_to(parts.hours[chosen][:, None], (len(chosen), like.shape[1], segments, HOURS_OF_DAY))
    profile: Array = like / like.sum(axis=3, keepdims=True)
    if profile.shape[2] == segments:
        return profile
    return np.repeat(profile.mean(axis=2, keepdims=True), segments, axis=2)  # own segments, hours of the base World


def with_hours(world: World, profile: Array) -> World:
    """``world`` with the hours ``profile`` (member, hour; adds up to 1) of a day at list price, levels unchanged.

    Differences between segments and products in when they buy are kept: all are tilted by the same ratio.
    """
    total = world.hourly_units()
    floor = 1e-6 * total.max(axis=1, keepdims=True)
    ratio = profile / np.maximum(total / total.sum(axis=1, keepdims=True), floor / total.sum(axis=1, keepdims=True))
    if world.hour_profile is not None:
        hours = np.maximum(world.hour_profile, np.float32(1e-6)) * ratio[:, None, None, :].astype(np.float32)
        hours /= hours.mean(axis=3, keepdims=True)
        return replace(world, hour_profile=hours)
    units = world.units_per_minute.astype(np.float64)
    daily = units.sum(axis=4, keepdims=True)
    tilted = np.maximum(units, floor[:, None, None, None, :] / units.shape[2]) * ratio[:, None, None, None, :]
    tilted *= daily / np.maximum(tilted.sum(axis=4, keepdims=True), 1e-300)
    return replace(world, units_per_minute=np.maximum.accumulate(tilted, axis=3).astype(np.float32))
