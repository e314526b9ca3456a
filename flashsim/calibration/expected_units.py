"""Units that a World expects of rows of sales: days of its products at the prices and promotions of those days."""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from flashsim.surface import read_depths
from flashsim.world import World

Array = NDArray[np.float64]


def expected_units(world: World, sales: pd.DataFrame) -> Array:
    """Units (member, row) that ``world`` expects of each row of ``sales`` (date, product_id, price, promotion or none).

    Prices above the list price count as the list price, depths beyond the grid as its deepest.
    """
    product = product_places(world, sales)
    daily = world.daily_units()
    depth = depths_of(world, sales)
    units = np.empty((world.n_members, len(sales)))
    order = np.argsort(product, kind="stable")
    for rows in np.split(order, np.flatnonzero(np.diff(product[order])) + 1):
        if rows.size:
            units[:, rows] = read_depths(daily[:, product[rows[0]]], world.depth_grid, depth[rows])
    units *= world.weekday_factor[:, sales["date"].dt.day_of_week.to_numpy()]
    if "promotion" in sales.columns:
        units *= np.exp(world.display_effect[:, product] * sales["promotion"].to_numpy(dtype=np.float64))
    if world.level_days is not None:
        dates, day = np.unique(sales["date"].dt.date.to_numpy(), return_inverse=True)
        season = np.stack([world.level_days.factor(date) for date in dates])
        units *= season[day, product]
    return units


def depths_of(world: World, sales: pd.DataFrame) -> Array:
    """Depth (row,) of each row of ``sales`` below the list price of ``world``, within the depths that it knows."""
    list_price = world.list_price[product_places(world, sales)]
    depth: Array = np.clip(1.0 - sales["price"].to_numpy() / list_price, 0.0, world.depth_grid[-1])
    return depth


def product_places(world: World, sales: pd.DataFrame) -> NDArray[np.intp]:
    """Place (row,) of each row's product among those of ``world``."""
    place = pd.Series(np.arange(world.n_products), index=list(world.product_ids))
    return place.loc[sales["product_id"]].to_numpy(dtype=np.intp)
