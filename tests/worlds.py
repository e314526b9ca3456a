"""Small hand-made Worlds and scenarios for tests: every number is chosen, none is learned."""

from dataclasses import replace
from typing import Any

import numpy as np

from flashsim.scenarios import Scenario
from flashsim.sim.choice import ChoiceParams
from flashsim.sim.inventory import StockParams
from flashsim.sim.servers import ServerParams
from flashsim.sim.traffic import TrafficParams
from flashsim.world import HOURS_OF_DAY, World

LEARNED_CHOICE = ChoiceParams(reference_gain=0.0, reference_loss=0.0, scarcity_cue=0.0, watch_share=0.0)
"""People choose as the World says, whatever they have seen before."""
LEARNED_TRAFFIC = TrafficParams(push_budget=0, goodwill_share=0.0, sharing_ratio=0.0)
"""Visitors come as the World says, whatever was offered and whoever came before."""
DEPTH_GRID = np.array([0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6])


def make_world(*, products: int = 3, segments: int = 2, members: int = 3, **changes: Any) -> World:
    """A World in which member, segment, product, depth and hour all matter; the last member is held out.

    At list price a product sells about half a unit a minute, at half price about two. ``changes`` replace fields.
    """
    member = 1.0 + 0.2 * np.arange(members)
    segment = np.linspace(0.6, 1.4, segments) / segments
    product = np.linspace(0.4, 0.6, products)
    slope = np.linspace(2.0, 3.5, products)[:, None] + np.linspace(-0.5, 0.5, segments)
    hour = 1.0 + 0.3 * np.sin(2.0 * np.pi * np.arange(HOURS_OF_DAY) / HOURS_OF_DAY)
    level = member[:, None, None] * segment[None, :, None] * product[None, None, :]
    response = np.exp(slope.T[None, :, :, None] * DEPTH_GRID)
    list_price = np.linspace(2.0, 9.0, products)
    fields: dict[str, Any] = {
        "name": "hand_made",
        "product_ids": tuple(f"p{p}" for p in range(products)),
        "product_names": tuple(f"Product {p}" for p in range(products)),
        "product_groups": tuple(f"group {p % 2}" for p in range(products)),
        "segment_names": tuple(f"segment {s}" for s in range(segments)),
        "list_price": list_price,
        "unit_cost": 0.6 * list_price,
        "depth_grid": DEPTH_GRID,
        "units_per_minute": (level[..., None] * response)[..., None] * hour,
        "display_effect": np.zeros((members, products)),
        "mailer_effect": np.zeros((members, products)),
        "weekday_factor": np.tile(np.array([0.9, 0.9, 0.9, 1.0, 1.2, 1.1, 1.0]), (members, 1)),
        "frailty_common_variance": np.linspace(0.05, 0.15, members),
        "frailty_product_variance": np.tile(np.linspace(0.1, 0.3, products), (members, 1)),
        "conversion_at_list": np.linspace(0.05, 0.12, members),
        "traffic_share": np.linspace(0.3, 0.7, members),
        "population": 1.0,
        "training_members": tuple(range(max(1, members - 1))),
        "heldout_members": (members - 1,) if members > 1 else (),
        "provenance": {"all": "made by hand for tests"},
    }
    return World(**(fields | changes))


def without_frailty(world: World) -> World:
    """The same World in which every sale of a member is as strong as expected."""
    return replace(
        world,
        frailty_common_variance=np.zeros_like(world.frailty_common_variance),
        frailty_product_variance=np.zeros_like(world.frailty_product_variance),
    )


def make_scenario(world: World | None = None, **changes: Any) -> Scenario:
    """A sale of 20 minutes in two waves; at list price its servers are rarely busy. ``changes`` replace fields."""
    fields: dict[str, Any] = {
        "world": make_world() if world is None else world,
        "name": "small_sale",
        "story": "A sale made by hand for tests.",
        "ticks": 20,
        "waves": ((0, 0.7), (8, 0.3)),
        "servers": ServerParams(start_servers=6, max_servers=12),
    }
    return Scenario(**(fields | changes))


def without_limits(world: World, **changes: Any) -> Scenario:
    """A sale in which nothing gets in the way of demand and nothing adds to it: the learned response alone."""
    fields: dict[str, Any] = {
        "stock_cover": 1000.0,
        "waves": ((0, 1.0),),
        "servers": ServerParams(start_servers=1000, max_servers=1000, unloaded_latency_s=0.0),
        "carts": StockParams(payment_delay=0, payment_failure=0.0, cart_timeout=0),
        "traffic": LEARNED_TRAFFIC,
        "choice": LEARNED_CHOICE,
    }
    return make_scenario(world, **(fields | changes))
