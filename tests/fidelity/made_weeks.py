"""Weeks whose truth is known: a World simulates them itself, so a card of that World must pass."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from flashsim.fidelity import HeldOut, Offers
from flashsim.fidelity.replay import replay_weeks
from flashsim.models.forecasting.validation import Interval
from flashsim.world import DAYS_OF_WEEK, HOURS_OF_DAY, World
from tests.worlds import DEPTH_GRID, make_world

PRODUCTS, WEEKS = 6, 32
SLOPE = 2.5


def true_world(
    *, slope: float = SLOPE, common: float = 0.15, own: float = 0.1, peak: int = 17, units_a_day: float = 40.0
) -> World:
    """Two members; ``units_a_day`` of a product at list price, hours around ``peak``."""
    hours = np.exp(-0.5 * ((np.arange(HOURS_OF_DAY) - peak) / 4.0) ** 2)
    surface = units_a_day / 60.0 * np.exp(slope * DEPTH_GRID)[:, None] * (hours / hours.sum())
    members = np.array([0.97, 1.03])[:, None, None, None, None]
    return make_world(
        products=PRODUCTS,
        segments=1,
        members=2,
        units_per_minute=members * np.broadcast_to(surface, (1, PRODUCTS, *surface.shape)),
        frailty_common_variance=np.full(2, common),
        frailty_product_variance=np.full((2, PRODUCTS), own),
        weekday_factor=np.tile(np.array([0.9, 0.9, 0.9, 1.0, 1.2, 1.1, 1.0]), (2, 1)),
    )


def true_weeks(world: World, *, seed: int = 7, weeks: int = WEEKS, repeats: float = 1.0) -> HeldOut:
    """One simulation of ``weeks`` weeks with ``world``, at depths that vary from week to week."""
    generator = np.random.default_rng(seed)
    shape = (world.n_products, weeks)
    nothing: NDArray[np.float64] = np.zeros(shape)
    counted = np.ones((world.n_products, weeks * DAYS_OF_WEEK), dtype=bool)
    counted[:, 10] = False
    blank = HeldOut(
        units=np.zeros((*counted.shape, HOURS_OF_DAY), dtype=np.int64),
        counted=counted,
        offers=Offers(generator.choice([0.0, 0.1, 0.25, 0.4], size=shape), nothing, nothing),
        level=generator.uniform(0.8, 1.2, shape),
        clumping=np.full(world.n_products, 1.5),
        first_day="2020-01-06",
        repeats=Interval(repeats, repeats - 0.05, repeats + 0.05),
    )
    units = replay_weeks(world, blank, draws=1, seed=seed)[0]
    return replace(blank, units=units.astype(np.int64))
