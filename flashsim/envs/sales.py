"""Which sale an env plays: an object, a name, or a file."""

import difflib
from collections.abc import Sequence
from pathlib import Path

from flashsim.errors import InputError
from flashsim.reference.named import REFERENCE_SALES, table_file
from flashsim.scenarios.compiled import Compilable, CompiledSale
from flashsim.scenarios.files import SUFFIXES, read_scenario
from flashsim.scenarios.named import SCENARIOS, scenario_named
from flashsim.world import shipped_world

TABLE_SUFFIX = ".json"
DEFAULT = "grocery_evening"


def as_compiled(scenario: Compilable | CompiledSale | str | None, members: str | Sequence[int]) -> CompiledSale:
    """The compiled sale of ``scenario`` on sales that draw ``members``: "training", "heldout" or their numbers.

    Text is read by :func:`sale_named`; None is the grocery evening on the World that comes with the package.
    """
    if scenario is None or isinstance(scenario, str):
        scenario = sale_named(DEFAULT if scenario is None else scenario)
    sale = scenario if isinstance(scenario, CompiledSale) else scenario.compile()
    if isinstance(members, str):
        sets = {"training": sale.training_members, "heldout": sale.heldout_members}
        if members not in sets:
            raise InputError(f"members: expected 'training', 'heldout' or numbers, got {members!r}")
        return sale.with_members(sets[members])
    return sale.with_members(tuple(members))


def sale_named(text: str) -> Compilable:
    """The sale that ``text`` names; InputError, with the nearest name, when there is none.

    A scenario or the scenario file (.yaml, .yml) at that path is on the World that comes with the package; others are
    the reference sales and the file of one (.json).
    """
    if text in SCENARIOS:
        return scenario_named(text, shipped_world())
    if text in REFERENCE_SALES:
        return REFERENCE_SALES[text]()
    suffix = Path(text).suffix
    if suffix in SUFFIXES:
        return read_scenario(text, shipped_world())
    if suffix == TABLE_SUFFIX:
        return table_file(text)
    known = sorted([*SCENARIOS, *REFERENCE_SALES])
    near = difflib.get_close_matches(text, known, n=1)
    hint = f"; did you mean {near[0]!r}?" if near else "."
    raise InputError(f"scenario: unknown name {text!r}{hint} Known: {', '.join(known)}")
