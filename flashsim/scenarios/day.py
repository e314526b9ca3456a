"""The day of a sale: what follows from its date on a World that knows when its levels hold (:mod:`flashsim.season`).

    demand of product p on the day = its level · season_p(day) / season_p(last day of data)
    1 + variance of its frailty    = (1 + that of the World)·exp(drift_p · days from the last day of data)

A day more than a year from the last day of data is refused: nobody knows levels for so long.
"""

from datetime import date

import numpy as np
from numpy.typing import NDArray

from flashsim.errors import InputError
from flashsim.season import FARTHEST_DAYS, last_day, read_day
from flashsim.world import World

Array = NDArray[np.float64]


def check_day(world: World, text: str) -> date:
    """The day that ``text`` names; InputError where it is none, or too far from the data of ``world``."""
    day, last = read_day(text, "date"), _last_day(world)
    if last is not None and (day - last).days > FARTHEST_DAYS:
        raise InputError(
            f"date: {text} is {(day - last).days} days after {last}, the last day of data of the World {world.name!r}, "
            f"at most {FARTHEST_DAYS} are allowed; bring newer days (from_world=), or give weekday alone"
        )
    return day


def season_on(world: World, text: str) -> Array:
    """Demand of each product of ``world`` on the day over that at its level."""
    days = world.level_days
    return np.ones(world.n_products) if days is None else days.factor(read_day(text, "date"))


def widened(variance: Array, world: World, text: str, chosen: list[int]) -> Array:
    """Frailty ``variance`` (member, product) of the products ``chosen`` of ``world`` on the day."""
    if world.level_days is None:
        return variance
    gained = world.level_days.variance(read_day(text, "date"))[chosen]
    wider: Array = (1.0 + variance) * np.exp(gained) - 1.0
    return wider


def day_notes(world: World, text: str) -> tuple[str, ...]:
    """What a reader must know of the day: how far it is from the data, and whether a season is known."""
    day, last = read_day(text, "date"), _last_day(world)
    notes = []
    if last is not None and day > last:
        drifts = () if world.level_days is None else world.level_days.drift
        moved = float(np.exp(np.sqrt(np.mean(drifts) * (day - last).days))) if drifts else None
        wider = "" if moved is None else f": levels may have moved by a factor of {moved:.2f} (one standard deviation)"
        notes.append(f"The sale is {(day - last).days} days after the last day of data{wider}.")
    if last is not None and day < last:
        notes.append(
            f"The sale is {(last - day).days} days before the last day of data, at the levels of that day: what it was "
            "like then is not played."
        )
    seasons = () if world.level_days is None else world.level_days.season
    unknown = sum(not waves for waves in seasons) if seasons else world.n_products
    if unknown:
        notes.append(f"No season is known of {unknown} of {world.n_products} products: it needs a year of data.")
    return tuple(notes)


def _last_day(world: World) -> date | None:
    if world.level_days is not None:
        return read_day(world.level_days.as_of, "level_days.as_of")
    return last_day(world.provenance, "sales_data")
