"""What every World must keep: names, shapes, ranges and members; and the arrays that its file holds.

Each check raises InputError with the value seen.
"""

import json
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

import numpy as np

from flashsim.errors import InputError
from flashsim.shown import brief, visible
from flashsim.surface import HOURS_OF_DAY

if TYPE_CHECKING:
    from flashsim.world import World

DAYS_OF_WEEK: Final = 7
ARRAY_AXES: Final[Mapping[str, tuple[str, tuple[str, ...]]]] = {
    "list_price": ("float64", ("product",)),
    "unit_cost": ("float64", ("product",)),
    "depth_grid": ("float64", ("depth",)),
    "units_per_minute": ("float32", ("member", "segment", "product", "depth", "hour")),
    "display_effect": ("float64", ("member", "product")),
    "mailer_effect": ("float64", ("member", "product")),
    "weekday_factor": ("float64", ("member", "weekday")),
    "frailty_common_variance": ("float64", ("member",)),
    "frailty_product_variance": ("float64", ("member", "product")),
    "conversion_at_list": ("float64", ("member",)),
    "traffic_share": ("float64", ("member",)),
}
"""dtype and axes of every array: part of the file format. Where a World holds ``HOURS_APART`` too, the hour axis of
``units_per_minute`` has one place, the mean of the day."""

HOURS_APART: Final = ("hour_profile", ("float32", ("member", "segment", "product", "hour")))
"""Name, dtype and axes of the array that Worlds of many products hold besides: 24 times smaller together."""

TEXTS: Final = ("name", "currency")
TEXT_TUPLES: Final = ("product_ids", "product_names", "product_groups", "segment_names")
SCALARS: Final = (
    *("population", "supported_depth", "service_rate", "unloaded_latency_s", "buyer_value"),
    *("rush_amplitude", "rush_ramp_minutes", "rush_hold_minutes", "rush_decay_minutes"),
)
MEMBER_TUPLES: Final = ("training_members", "heldout_members")
FACTS: Final = (*TEXTS, *TEXT_TUPLES, *SCALARS, *MEMBER_TUPLES, "provenance")


def axes_in(world: "World") -> dict[str, tuple[str, tuple[str, ...]]]:
    """dtype and axes of the arrays that ``world`` holds."""
    return dict(ARRAY_AXES) | ({} if world.hour_profile is None else dict([HOURS_APART]))


def check_names(world: "World") -> None:
    for field in TEXTS:
        _check_name(field, getattr(world, field))
    for field in TEXT_TUPLES:
        if not getattr(world, field):
            raise InputError(f"{field}: expected names, got none")
        for name in getattr(world, field):
            _check_name(field, name)
    for field in ("product_ids", "segment_names"):
        names = getattr(world, field)
        if len(set(names)) < len(names):
            repeated = next(name for name in names if names.count(name) > 1)
            raise InputError(f"{field}: expected unique names, got {brief(repeated)} {names.count(repeated)} times")
    if world.level_days is not None:
        world.level_days.check_products(world.n_products)
    for field in ("product_names", "product_groups"):
        if len(getattr(world, field)) != world.n_products:
            raise InputError(f"{field}: expected {world.n_products} names, got {len(getattr(world, field))}")


def _check_name(field: str, name: object) -> None:
    """InputError for a name that could end the line in which it is shown and begin one of its own."""
    if not isinstance(name, str) or not name:
        raise InputError(f"{field}: expected a non-empty text, got {brief(name)}")
    if visible(name) != name:
        raise InputError(f"{field}: expected a name in one line without control characters, got {brief(name)}")


def check_shapes(world: "World") -> None:
    sizes = {
        "product": len(world.product_ids),
        "segment": len(world.segment_names),
        "member": world.conversion_at_list.size,
        "depth": world.depth_grid.size,
        "hour": HOURS_OF_DAY,
        "weekday": DAYS_OF_WEEK,
    }
    axes_of = axes_in(world)
    for field, (_, axes) in axes_of.items():
        array = getattr(world, field)
        expected = tuple(sizes[axis] for axis in axes)
        if field == "units_per_minute" and HOURS_APART[0] in axes_of:
            expected = (*expected[:-1], 1)
        if array.shape != expected:
            raise InputError(f"{field}: expected {expected}, got {array.shape} ({', '.join(axes)})")
        if array.size == 0:
            raise InputError(f"{field}: expected at least one value, got none")
        if not np.isfinite(array).all():
            raise InputError(f"{field}: expected finite numbers, got {array[~np.isfinite(array)][0]}")


_RANGES: Final[Mapping[str, tuple[str, float, float]]] = {
    "list_price": ("(0, 1e9]", math.ulp(0.0), 1e9),
    "unit_cost": ("[0, 1e9]", 0.0, 1e9),
    "depth_grid": ("[0, 1)", 0.0, math.nextafter(1.0, 0.0)),
    "units_per_minute": ("[0, 1e15]", 0.0, 1e15),  # the deepest nodes are far beyond what data support
    "weekday_factor": ("[0, 7]", 0.0, 7.000001),
    "frailty_common_variance": ("[0, 1e6]", 0.0, 1e6),
    "frailty_product_variance": ("[0, 1e6]", 0.0, 1e6),
    "conversion_at_list": ("(0, 1)", math.ulp(0.0), math.nextafter(1.0, 0.0)),
    "traffic_share": ("[0, 1]", 0.0, 1.0),
    "population": ("(0, 1e9]", math.ulp(0.0), 1e9),
    "service_rate": ("(0, 1e9]", math.ulp(0.0), 1e9),
    "unloaded_latency_s": ("[0, 1e9]", 0.0, 1e9),
    "buyer_value": ("[0, 1e9]", 0.0, 1e9),
    "rush_amplitude": ("[0, 1e6]", 0.0, 1e6),
    "rush_ramp_minutes": ("[0, 1e6]", 0.0, 1e6),
    "rush_hold_minutes": ("[0, 1e6]", 0.0, 1e6),
    "rush_decay_minutes": ("(0, 1e6]", math.ulp(0.0), 1e6),
    "hour_profile": ("[0, 24]", 0.0, 24.001),
    "display_effect": ("[-20, 20]", -20.0, 20.0),
    "mailer_effect": ("[-20, 20]", -20.0, 20.0),
    "supported_depth": ("(0, 1)", math.ulp(0.0), math.nextafter(1.0, 0.0)),
}
"""Allowed range of each number, in words and inclusive."""


def check_ranges(world: "World") -> None:
    for field in SCALARS:
        value = getattr(world, field)
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise InputError(f"{field}: expected a number, got {brief(value)}")
        object.__setattr__(world, field, float(value))
    for field, (words, low, high) in _RANGES.items():
        if getattr(world, field) is None:
            continue
        values = np.atleast_1d(np.asarray(getattr(world, field)))
        if not low <= float(values.min()) <= float(values.max()) <= high:
            outside = ~((values >= low) & (values <= high))
            raise InputError(f"{field}: expected values in {words}, got {values[outside][0]}")
    if world.depth_grid[0] != 0.0 or (np.diff(world.depth_grid) <= 0.0).any():
        raise InputError(f"depth_grid: expected depths ascending from 0, got {brief(world.depth_grid.tolist())}")
    steps = np.diff(world.units_per_minute, axis=3)
    if (steps < 0.0).any():
        raise InputError(f"units_per_minute: expected never to fall with depth, got a step of {steps.min()}")
    if world.hour_profile is not None:
        apart = np.abs(world.hour_profile.mean(axis=3, dtype=np.float64) - 1.0).max()
        if apart > 1e-4:
            raise InputError(f"hour_profile: expected a mean of 1 over the hours, got one that is {apart:.3g} off")
    means = world.weekday_factor.mean(axis=1)
    if (np.abs(means - 1.0) > 1e-6).any():
        raise InputError(f"weekday_factor: expected a mean of 1, got {means[np.argmax(np.abs(means - 1.0))]}")


def check_members(world: "World") -> None:
    members = (*world.training_members, *world.heldout_members)
    for member in members:
        if isinstance(member, bool) or not isinstance(member, int) or not 0 <= member < world.n_members:
            raise InputError(f"members: expected integers in 0 … {world.n_members - 1}, got {brief(member)}")
    if not world.training_members:
        raise InputError("training_members: expected at least one member, got none")
    if len(set(members)) < len(members):
        repeated = next(member for member in members if members.count(member) > 1)
        raise InputError(f"members: expected training and held-out members to be disjoint, got {repeated} twice")


def check_provenance(provenance: object) -> None:
    if not isinstance(provenance, dict):
        raise InputError(f"provenance: expected a dict, got {type(provenance).__name__}")
    try:
        json.dumps(provenance, allow_nan=False, sort_keys=True)
    except (TypeError, ValueError) as error:
        raise InputError(f"provenance: expected plain finite JSON values, got something else ({error})") from error
