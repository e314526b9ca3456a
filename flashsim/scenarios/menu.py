"""The discount menu of a sale, as far as its World supports it, and what is to be told of it.

A World supports discounts up to a depth that its data hold often enough, and knows rates up to the end of its table. A
menu that nobody set ends there: the deepest depth that the World supports stands for all deeper ones.
"""

from collections.abc import Sequence

from flashsim.errors import InputError
from flashsim.world import World


def menu_on(world: World, depths: Sequence[float], *, may_extrapolate: bool) -> tuple[float, ...]:
    """The menu ``depths`` (ascending from 0) cut where the support of ``world`` ends; where its table ends with
    ``may_extrapolate``. InputError where nothing but list price would be left."""
    menu = _cut(depths, _deepest(world, may_extrapolate=may_extrapolate))
    if len(menu) < 2 <= len(depths):
        raise InputError(
            f"depths: the World {world.name!r} knows no discount, got a menu up to {percent(depths[-1])}; set "
            "depths=[0] to play at list price, or calibrate on data with discounts"
        )
    return menu


def menu_notes(
    world: World, depths: Sequence[float], *, usual: Sequence[float], may_extrapolate: bool
) -> tuple[str, ...]:
    """Sentences on the menu ``depths``: where it is the ``usual`` one cut, what was left out and what stands instead;
    and that it goes beyond the data."""
    deepest = _deepest(world, may_extrapolate=may_extrapolate)
    notes = []
    if tuple(depths) == _cut(usual, deepest) and usual[-1] > deepest > 0.0:
        left_out = ", ".join(percent(depth) for depth in usual if depth > deepest)
        whose = "The data support" if deepest == world.supported_depth else "The World knows"
        instead = "" if deepest in usual else ", which is on the menu instead"
        notes.append(
            f"Left out of the discount menu: {left_out}. {whose} no discount deeper than {percent(deepest)}{instead}."
        )
    if depths[-1] > world.supported_depth:
        notes.append(beyond_note(world))
    return tuple(notes)


def beyond_note(world: World) -> str:
    """The sentence on a menu that holds discounts deeper than the data support."""
    supported = percent(world.supported_depth)
    return f"The discount menu goes beyond {supported}, the deepest discount that the data support."


def percent(share: float) -> str:
    """A share as people read it: 12.5 %."""
    return f"{100.0 * share:g} %"


def _cut(depths: Sequence[float], deepest: float) -> tuple[float, ...]:
    return tuple(sorted({min(depth, deepest) for depth in depths}))


def _deepest(world: World, *, may_extrapolate: bool) -> float:
    known = float(world.depth_grid[-1])
    return known if may_extrapolate else min(world.supported_depth, known)
