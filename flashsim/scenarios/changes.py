"""A scenario with changes: what shall differ is put over the fields first, and checked with all others then.

So a named scenario whose own discounts go too deep for a World is played on it once ``depths`` are given. Without them
its menu is cut where the World's support ends, and the scenario knows which menu it was cut from.
Changes are typed values (``servers=ServerParams(…)``) or plain ones at any depth (``servers={"lag": 5}``), which leave
the other fields of a part as they are.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from flashsim.errors import InputError
from flashsim.scenarios.menu import menu_on
from flashsim.scenarios.scenario import Scenario
from flashsim.settings import Settings, combined, typed
from flashsim.world import World


def typed_changes(changes: Mapping[str, Any], *, key: str = "", known: Sequence[str] = ()) -> dict[str, Any]:
    """``changes`` with every key known and every value of its type; no World is needed to say so.

    InputError otherwise, with the nearest of ``known`` (by default the keys of a scenario); ``key`` is what people
    write before the keys, with a dot behind it.
    """
    return typed(Scenario, changes, key=key, known=known)


def planned(world: World, fields: Settings, changes: Mapping[str, Any]) -> Scenario:
    """The scenario with ``fields`` on ``world``, ``changes`` put over them; InputError says which sale it is."""
    base = {"world": world, **fields}
    settings = typed_changes(changes)
    try:
        if "depths" not in settings:
            usual = fields.get("depths", Scenario.depths)
            may_extrapolate = {**fields, **settings}.get("allow_extrapolation", False)
            base |= {"usual_depths": usual, "depths": menu_on(world, usual, may_extrapolate=may_extrapolate)}
        scenario: Scenario = combined(Scenario, settings, base=base)
    except InputError as error:
        name = settings.get("name", fields.get("name"))
        raise InputError(f"{name}: {error}" if name else str(error)) from error
    return scenario
