"""What visits and events of a shop show: the hours of the day, units a visitor, and segments.

Hours. Purchases in ``user_behavior`` or orders give the hours of sales, by group and segment; with fewer than
``FEWEST_PURCHASES`` of them, the same for all groups and segments. With too few for that (``FEWEST_FOR_ALL``) the
visits in ``traffic_data`` replace them, likewise. Each hour of
each day has the same weight, so a gap in the log does not count as an hour without visits.

Units a visitor. Units of ``sales_data`` divided by visits of ``traffic_data``, on the days that both tables hold.
Without these tables: purchases divided by visits (a person and day) of ``user_behavior``. The ratio holds at the prices
of those days. At list price the units fall by a factor u and the visitors by a factor u^traffic_share.

Segments. Each purchase is joined with the price of its day. People are divided like households
(:mod:`flashsim.models.customers.segments`) if enough of them bought over enough weeks.

Left out: which visits are people and which are bots; what people searched, put into carts, liked and reviewed.
"""

from typing import Final, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from flashsim.data.panel import DAYS_OF_WEEK
from flashsim.errors import Unavailable
from flashsim.models.customers.segments import SEGMENTS, SegmentShares, fit_shares, hour_profiles, segment_households
from flashsim.surface import HOURS_OF_DAY

FEWEST_PURCHASES: Final = 500
"""With fewer purchases groups and segments are not told apart by their hours."""
FEWEST_FOR_ALL: Final = 100
"""With fewer purchases their hours are not used."""
FEWEST_BUYERS: Final = 100
"""With fewer people who bought, they are not divided into segments."""
FEWEST_SEGMENT_DAYS: Final = 56
"""With fewer days of purchases people are not divided: both halves of the weeks must show how they shop."""
SEGMENT_BLOCK_WEEKS: Final = 2
Array = NDArray[np.float64]


def visit_profile(traffic: pd.DataFrame) -> Array | Unavailable:
    """Share of a day's visits by local hour (hour,), or the reason why the table does not show it."""
    hour = traffic["date"].dt.hour
    rate = traffic.groupby([traffic["date"].dt.normalize(), hour])["visits"].mean()
    by_hour = rate.groupby(level=1).mean().reindex(range(HOURS_OF_DAY)).to_numpy(dtype=np.float64)
    if np.isnan(by_hour).any():
        return Unavailable(f"traffic_data never tells the hour {int(np.isnan(by_hour).argmax())}")
    if by_hour.sum() <= 0.0:
        return Unavailable("traffic_data tells of no visit")
    profile: Array = by_hour / by_hour.sum()
    return profile


class Purchases(NamedTuple):
    """Purchases of known products, one a row."""

    product: NDArray[np.intp]
    user: NDArray[np.int64]
    day: pd.Series
    hour: NDArray[np.intp]


def purchases_of(behavior: pd.DataFrame, product_ids: tuple[str, ...]) -> Purchases:
    """Select the ``buy`` events of ``product_ids``."""
    place = pd.Series(np.arange(len(product_ids)), index=list(product_ids))
    bought = behavior[(behavior["behavior"] == "buy") & behavior["item_id"].isin(place.index)]
    return Purchases(
        place.loc[bought["item_id"]].to_numpy(dtype=np.intp),
        pd.factorize(bought["user_id"], sort=True)[0].astype(np.int64),
        bought["timestamp"].dt.normalize().reset_index(drop=True),
        bought["timestamp"].dt.hour.to_numpy(dtype=np.intp),
    )


class ShopSegments(NamedTuple):
    """How segments of people divide the demand of each product."""

    shares: SegmentShares
    segment: NDArray[np.intp]  # purchase; index into SEGMENTS
    people: tuple[int, ...]  # segment


def divide_people(
    bought: Purchases, sales: pd.DataFrame, *, product_ids: tuple[str, ...], list_price: Array
) -> ShopSegments | Unavailable:
    """Segments of the people who bought, or the reason why they cannot be divided."""
    users = int(bought.user.max()) + 1 if bought.user.size else 0
    days = int((bought.day.max() - bought.day.min()).days) + 1 if users else 0
    if users < FEWEST_BUYERS or days < FEWEST_SEGMENT_DAYS:
        needed = f"{FEWEST_BUYERS} and {FEWEST_SEGMENT_DAYS} are needed to divide them"
        return Unavailable(f"{users} people bought over {days} days, {needed}")
    place = pd.Series(np.arange(len(product_ids)), index=list(product_ids))
    offers = sales[sales["product_id"].isin(place.index)]
    key = pd.MultiIndex.from_arrays([place.loc[offers["product_id"]].to_numpy(), offers["date"]])
    depth = pd.Series(
        np.clip(1.0 - offers["price"].to_numpy() / list_price[key.get_level_values(0)], 0.0, 1.0), index=key
    ).reindex(pd.MultiIndex.from_arrays([bought.product, bought.day]))
    priced = depth.notna().to_numpy()
    if priced.mean() < 0.5:
        return Unavailable(f"{1.0 - priced.mean():.0%} of the purchases are of days that sales_data does not tell")
    kept = Purchases(bought.product[priced], bought.user[priced], bought.day[priced], bought.hour[priced])
    lines = pd.DataFrame(
        {
            "household_id": kept.user,
            "basket_id": pd.factorize(pd.MultiIndex.from_arrays([kept.user, kept.day]))[0],
            "day": kept.day.to_numpy(),
            "regular_value": list_price[kept.product],
            "depth": depth[priced].to_numpy(),
        }
    )
    found = segment_households(lines, block_weeks=SEGMENT_BLOCK_WEEKS)
    week = ((lines["day"] - lines["day"].min()).dt.days.to_numpy() // DAYS_OF_WEEK).astype(np.intp)
    household = np.searchsorted(found.household_ids, kept.user).astype(np.intp)
    segment = found.of_lines(household, week)
    shape = (len(product_ids), int(week.max()) + 1, len(SEGMENTS))
    units = np.zeros(shape)
    np.add.at(units, (kept.product, week, segment), 1.0)
    total, count = np.zeros((2, *shape[:2]))
    np.add.at(total, (kept.product, week), lines["depth"].to_numpy())
    np.add.at(count, (kept.product, week), 1.0)
    shares = fit_shares(units, total / np.maximum(count, 1.0), clumping=np.ones(len(product_ids)))
    of_all = np.full(bought.user.size, -1, dtype=np.intp)
    of_all[priced] = segment
    people = np.bincount(found.segment.ravel(), minlength=len(SEGMENTS)) // 2
    return ShopSegments(shares, of_all, tuple(int(number) for number in people))


def purchase_profiles(
    bought: Purchases, *, group_of: NDArray[np.intp], segments: ShopSegments | None, count: int
) -> Array | Unavailable:
    """Share of a day's units by hour (group, segment, hour), of ``count`` segments, or the reason why there is none."""
    if bought.user.size < FEWEST_FOR_ALL:
        return Unavailable(f"{bought.user.size} purchases of products that are known, {FEWEST_FOR_ALL} are needed")
    groups = int(group_of.max()) + 1
    if bought.user.size < FEWEST_PURCHASES:
        together = np.bincount(bought.hour, minlength=HOURS_OF_DAY).astype(np.float64)[None, None]
        return np.broadcast_to(hour_profiles(together), (groups, count, HOURS_OF_DAY))
    if segments is None:
        by_hour = np.zeros((groups, 1, HOURS_OF_DAY))
        np.add.at(by_hour[:, 0], (group_of[bought.product], bought.hour), 1.0)
        return np.repeat(hour_profiles(by_hour), count, axis=1)
    has_segment = segments.segment >= 0
    by_hour = np.zeros((groups, count, HOURS_OF_DAY))
    np.add.at(
        by_hour, (group_of[bought.product[has_segment]], segments.segment[has_segment], bought.hour[has_segment]), 1.0
    )
    return hour_profiles(by_hour)


def units_a_visitor(
    *,
    sales: pd.DataFrame | None,
    traffic: pd.DataFrame | None,
    behavior: pd.DataFrame | None,
    members: int,
    generator: np.random.Generator,
) -> tuple[Array, str] | Unavailable:
    """Units over visits (member,) at the prices of the table, with weeks redrawn, and the names of the tables used.

    Without usable tables: the reason.
    """
    if traffic is not None and sales is not None:
        visits = _whole_days(traffic)
        units = sales.groupby("date")["sales"].sum()
        by_day, tables = (
            pd.concat([units, visits], axis=1, join="inner", keys=["units", "visits"]),
            "sales_data and traffic_data",
        )
    elif behavior is not None:
        day = behavior["timestamp"].dt.normalize()
        came = behavior["user_id"].groupby(day).nunique()
        bought = (behavior["behavior"] == "buy").groupby(day).sum()
        by_day, tables = pd.concat([bought, came], axis=1, keys=["units", "visits"]), "user_behavior"
    else:
        return Unavailable("they need traffic_data beside sales_data, or user_behavior")
    if by_day["visits"].sum() <= 0.0 or by_day["units"].sum() <= 0.0:
        return Unavailable(f"{tables} tell no day with visits and units")
    week = np.unique((by_day.index - by_day.index.min()).days // DAYS_OF_WEEK, return_inverse=True)[1]
    totals = np.stack([np.bincount(week, by_day[name]) for name in ("units", "visits")])
    drawn = generator.integers(totals.shape[1], size=(members, totals.shape[1]))
    units, visits = totals[:, drawn].sum(axis=2)
    ratio: Array = np.where(
        (units > 0.0) & (visits > 0.0), units / np.maximum(visits, 1e-12), totals[0].sum() / totals[1].sum()
    )
    if ratio.max() >= 1.0:
        return Unavailable(
            f"{tables} tell {ratio.max():.3g} units a visit, more than one, so visits are not of people who shop"
        )
    return ratio, tables


def _whole_days(traffic: pd.DataFrame) -> pd.Series:
    """Visits a day, on days that have at least nine tenths of the ticks."""
    day = traffic["date"].dt.normalize()
    ticks = traffic["visits"].groupby(day).count()
    return traffic["visits"].groupby(day).sum()[ticks >= 0.9 * ticks.max()]
