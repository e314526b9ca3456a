"""The fidelity card of a World of a shop's own tables: their last weeks are held out, simulated and compared.

A World is learned in the same way from the days before the last whole weeks (a quarter of them, ``FEWEST_WEEKS`` to
``MOST_WEEKS``) and simulated on those, at the prices and promotions of each day. Products start each week at the level
that the filter of the demand model has from the weeks before, as on the card of Complete Journey; the season of a table
of a year or more goes with it. Of a large shop the ``MOST_JUDGED`` products that sold most before those weeks are
judged, and of them the ``TOGETHER`` first ones together.

Days without a row and days that sold out are not compared: they do not tell demand. In which hours units were sold is
known where purchases have stamps; the units of a day are divided as its purchases are.

Left out: days beyond the last whole week, and products that did not sell in the eight weeks before.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from flashsim.calibration.expected_units import depths_of, expected_units, product_places
from flashsim.data.shop_tables import CheckedTables
from flashsim.errors import InputError, Unavailable
from flashsim.fidelity import FidelityCard, HeldOut, Offers, fidelity_card
from flashsim.models.demand.negative_binomial import filter_levels
from flashsim.models.forecasting.backtest import RECENT_WEEKS
from flashsim.world import DAYS_OF_WEEK, HOURS_OF_DAY, World

Array = NDArray[np.float64]
FEWEST_DAYS: Final = 90
"""With fewer days too little would be left to learn from, and the weeks held out would say little."""
FEWEST_WEEKS: Final = 4
"""Two blocks of two weeks: an interval needs more than one."""
MOST_WEEKS: Final = 16
"""As many as the card of Complete Journey."""
MOST_JUDGED: Final = 300
"""As many products as the card of Complete Journey judges; a larger shop is not learned twice."""
TOGETHER: Final = 8
"""A sale on a large World has so many products."""
LEAST_STAMPED: Final = 0.5
"""Purchases with stamps that are needed, as a share of the units sold."""
Learn = Callable[[CheckedTables], World]


def judge_own(
    own: CheckedTables, learn: Learn, *, seed: int, progress: Callable[[str, int, int], None]
) -> FidelityCard | Unavailable:
    """The card of a World that ``learn`` makes of the days of ``own`` before its last weeks, or why there is none."""
    if own.sales is None:
        return Unavailable("no table of yours tells what was sold")
    days = own.days("sales_data")
    if days < FEWEST_DAYS:
        return Unavailable(f"sales_data covers {days} days, {FEWEST_DAYS} are needed to keep the last weeks back")
    first, weeks = last_weeks(own.sales["date"])
    try:
        world = learn(_before(own, first))
    except InputError as error:
        return Unavailable(f"the days before {first.date()} are too few to learn from ({error})")
    known = own.sales[own.sales["product_id"].isin(world.product_ids)].reset_index(drop=True)
    try:
        held = hold_out(world, known, bought=own.bought, first=first, weeks=weeks)
    except InputError as error:
        return Unavailable(f"the weeks from {first.date()} cannot be compared ({error})")
    before = known[known["date"] < first].groupby("product_id")["sales"].sum()
    together = before.sort_values(ascending=False, kind="stable").index[:TOGETHER].tolist()
    progress("simulating held-out weeks", 0, 1)
    card = fidelity_card(world, held, seed=seed, together=together, allow_chance=True)
    progress("simulating held-out weeks", 1, 1)
    return card


def last_weeks(dates: pd.Series) -> tuple[pd.Timestamp, int]:
    """First Monday and number of the whole weeks at the end of ``dates`` that are held out."""
    monday = dates.min() + pd.Timedelta(days=-int(dates.min().day_of_week) % DAYS_OF_WEEK)
    whole = ((dates.max() - monday).days + 1) // DAYS_OF_WEEK
    weeks = int(np.clip(whole // 4, FEWEST_WEEKS, MOST_WEEKS))
    return monday + pd.Timedelta(weeks=whole - weeks), weeks


def _before(own: CheckedTables, first: pd.Timestamp) -> CheckedTables:
    """``own`` up to the day before ``first``, with the products alone that sold most by then."""
    assert own.sales is not None
    sales = own.sales[own.sales["date"] < first]
    units = sales.groupby("product_id")["sales"].sum().sort_values(ascending=False, kind="stable")
    sales = sales[sales["product_id"].isin(units.index[:MOST_JUDGED])].reset_index(drop=True)
    behavior, purchases = (
        None if table is None else table[table["timestamp"] < first].reset_index(drop=True)
        for table in (own.behavior, own.purchases)
    )
    return replace(own, sales=sales, behavior=behavior, purchases=purchases, traffic=None, tickets=None, events=None)


def hold_out(
    world: World,
    sales: pd.DataFrame,
    *,
    bought: tuple[pd.DataFrame, str] | None,
    first: pd.Timestamp,
    weeks: int,
) -> HeldOut:
    """The ``weeks`` from ``first`` on of ``sales``, rows of the products of ``world``, which has not seen them.

    ``bought`` holds purchases with stamps, where there are any. InputError where nothing can be compared.
    """
    last = first + pd.Timedelta(days=weeks * DAYS_OF_WEEK)
    sales = sales[sales["date"] < last]
    monday = sales["date"].min() - pd.Timedelta(days=int(sales["date"].min().day_of_week))
    product, day = product_places(world, sales), (sales["date"] - monday).dt.days.to_numpy()
    days = int((last - monday).days)
    is_seen = ~sales["sold_out"].to_numpy(dtype=bool)

    def laid_out(values: Array, fill: float = 0.0) -> Array:
        out = np.full((world.n_products, days), fill)
        out[product, day] = values
        return out

    expected = laid_out(np.where(is_seen, expected_units(world, sales).mean(axis=0), 0.0))
    units = laid_out(sales["sales"].to_numpy(dtype=np.float64))
    by_week = (world.n_products, days // DAYS_OF_WEEK, DAYS_OF_WEEK)
    level = filter_levels(units.reshape(by_week), expected.reshape(by_week))
    start = int((first - monday).days)
    recent = units[:, max(start - RECENT_WEEKS * DAYS_OF_WEEK, 0) : start].sum(axis=1) > 0.0
    counted = (expected[:, start:] > 0.0) & recent[:, None]
    if not counted.any():
        raise InputError("none of the products was on sale in them")
    promoted = sales["promotion"].to_numpy(dtype=np.float64) if "promotion" in sales.columns else np.zeros(len(sales))
    offers = (laid_out(depths_of(world, sales)), laid_out(promoted), laid_out(np.zeros(len(sales))))
    sold, plain = units[:, start:], expected[:, start:]
    hours = _hours(world, sold, bought=bought, first=first)
    whole = np.zeros((*sold.shape, HOURS_OF_DAY), np.int64)
    whole[:, :, 0] = np.rint(sold).astype(np.int64)
    return HeldOut(
        units=whole if hours is None else hours,
        counted=counted,
        offers=Offers(*(offer[:, start:] for offer in offers)),
        level=level[:, start // DAYS_OF_WEEK :] * _season(world, first, weeks),
        clumping=np.ones(world.n_products),
        first_day=first.date().isoformat(),
        frozen_level=float(sold[counted].sum() / max(float(plain[counted].sum()), 1e-9)),
        has_hours=hours is not None,
    )


def _season(world: World, first: pd.Timestamp, weeks: int) -> Array:
    """Demand of each product and week over that at the level of ``world``, by the season that it knows."""
    if world.level_days is None:
        return np.ones((world.n_products, weeks))
    middle = [(first + pd.Timedelta(days=week * DAYS_OF_WEEK + DAYS_OF_WEEK // 2)).date() for week in range(weeks)]
    return np.stack([world.level_days.factor(day) for day in middle], axis=1)


def _hours(
    world: World, units: Array, *, bought: tuple[pd.DataFrame, str] | None, first: pd.Timestamp
) -> NDArray[np.int64] | None:
    """Whole ``units`` (product, day) divided over hours as the purchases of the day are; None where those are fewer
    than half of the units: the hours of a few would pass for the hours of all."""
    if bought is None:
        return None
    rows = bought[0]
    day = (rows["timestamp"].dt.normalize() - first).dt.days
    rows = rows[
        (rows["behavior"] == "buy") & rows["item_id"].isin(world.product_ids) & (day >= 0) & (day < units.shape[1])
    ]
    counts = np.zeros((*units.shape, HOURS_OF_DAY))
    places = product_places(world, rows.rename(columns={"item_id": "product_id"}))
    hour = rows["timestamp"].dt.hour.to_numpy()
    np.add.at(counts, (places, day.loc[rows.index].to_numpy(), hour), 1.0)
    if counts.sum() < LEAST_STAMPED * units.sum() or np.unique(hour).size < 2:
        return None
    usual = counts.sum(axis=(0, 1)) / counts.sum()
    total = counts.sum(axis=2, keepdims=True)
    share = np.where(total > 0.0, counts / np.maximum(total, 1.0), usual)
    upto = np.rint(np.cumsum(share, axis=2) * np.rint(units)[:, :, None]).astype(np.int64)
    return np.diff(upto, axis=2, prepend=0)
