"""The sale on which speed is measured, made in memory: no data needed, any number of products and segments."""

from dataclasses import replace

import gymnasium
import numpy as np

import flashsim  # noqa: F401  (registers the env)
from flashsim.scenarios import grocery_evening
from flashsim.scenarios.compiled import CompiledSale
from flashsim.sim.waiting_room import OPEN
from flashsim.world import HOURS_OF_DAY, World

PRODUCTS, SEGMENTS = 8, 6


def make_world(products: int = PRODUCTS, segments: int = SEGMENTS) -> World:
    """A World of eight members, two held out. At list price each product sells about half a unit a minute, a
    conversion of 8 % makes that about 50 visitors; half price trebles to quintuples the units."""
    members = 8
    member = np.linspace(0.8, 1.2, members)[:, None, None, None]
    segment = np.linspace(0.6, 1.4, segments)[:, None, None] / segments
    depths = np.array([0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6])
    response = np.exp(np.linspace(2.2, 3.2, products)[:, None] * depths)
    hour = 1.0 + 0.3 * np.sin(2.0 * np.pi * np.arange(HOURS_OF_DAY) / HOURS_OF_DAY)
    price = np.linspace(2.0, 9.0, products)
    return World(
        name="benchmark",
        currency="USD",
        product_ids=tuple(f"p{number}" for number in range(products)),
        product_names=tuple(f"Product {number}" for number in range(products)),
        product_groups=("all",) * products,
        segment_names=tuple(f"segment {number}" for number in range(segments)),
        list_price=price,
        unit_cost=0.6 * price,
        depth_grid=depths,
        units_per_minute=(0.5 * member * segment * response)[..., None] * hour,
        display_effect=np.zeros((members, products)),
        mailer_effect=np.zeros((members, products)),
        weekday_factor=np.ones((members, 7)),
        frailty_common_variance=np.full(members, 0.1),
        frailty_product_variance=np.full((members, products), 0.2),
        conversion_at_list=np.full(members, 0.08),
        traffic_share=np.full(members, 0.5),
        population=1.0,
        training_members=tuple(range(6)),
        heldout_members=(6, 7),
        provenance={"all": "made for measuring speed; no data"},
    )


def make_sale(products: int = PRODUCTS, segments: int = SEGMENTS) -> CompiledSale:
    """The evening sale of two hours on that World, with every part on: caps, lots, several units, limits, collapse."""
    sale = grocery_evening(make_world(products, segments))
    return replace(
        sale,
        servers=replace(sale.servers, queue_limit=40, drain_ticks=2),
        choice=replace(sale.choice, another_unit=0.2, limit=3),
        carts=replace(sale.carts, lots=2, lead_time=20),
        admission_caps=(OPEN, 1.2, 0.9),
    ).compile()


def first_step() -> None:
    """Make one env and take one step: what a program does that has just started."""
    env = gymnasium.make("flashsim/FlashSale-v0", scenario=make_sale())
    env.reset(seed=0)
    env.step(env.action_space.sample())


if __name__ == "__main__":
    first_step()
