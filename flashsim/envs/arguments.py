"""The arguments of the views: which sale, which configs, and how the spec of an env holds them as JSON.

JSON holds a sale by its name or by the path of its file, and configs as mappings. A scenario object is not JSON: it
rests on a World of some hundred arrays.
"""

import enum
import json
from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, TypeVar

from gymnasium.envs.registration import EnvSpec
from gymnasium.vector import AutoresetMode

from flashsim.envs.actions import ActionConfig
from flashsim.envs.reward import ConstraintConfig, RewardConfig
from flashsim.errors import InputError
from flashsim.reference.named import REFERENCE_SALES, table_file
from flashsim.scenarios.compiled import Compilable, CompiledSale
from flashsim.scenarios.files import SUFFIXES, read_scenario
from flashsim.scenarios.named import SCENARIOS, scenario_named
from flashsim.settings import combined, nearest, plain, typed
from flashsim.shown import brief
from flashsim.world import shipped_world

Config = TypeVar("Config", ActionConfig, RewardConfig, ConstraintConfig)
TABLE_SUFFIX = ".json"
DEFAULT = "grocery_evening"


def as_compiled(scenario: Compilable | CompiledSale | str | None, members: str | Sequence[int]) -> CompiledSale:
    """The compiled sale of ``scenario`` on sales that draw ``members``: "training", "heldout" or their numbers.

    Text is read by :func:`sale_named`; None is the grocery evening on the World that comes with the package.
    """
    if scenario is None or isinstance(scenario, str):
        scenario = sale_named(DEFAULT if scenario is None else scenario)
    if not isinstance(scenario, CompiledSale) and not hasattr(scenario, "compile"):
        raise InputError(f"scenario: expected a name, a Scenario or a sale, got {brief(scenario)}")
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
    near = nearest(text, known)
    hint = f"; did you mean {near!r}?" if near else "."
    raise InputError(f"scenario: unknown name {text!r}{hint} Known: {', '.join(known)}")


def check_sale_of_id(sale: str, arguments: Mapping[str, Any]) -> None:
    """InputError for a scenario: the registered time limit of the id is that of the named sale."""
    if "scenario" in arguments:
        raise InputError(f"scenario: this id plays {sale!r}; make flashsim/FlashSale-v0 to play another sale")


def config_of(kind: type[Config], given: "Config | Mapping[str, Any] | None", *, name: str) -> Config:
    """``given`` as the dataclass ``kind``: itself, a mapping of some of its fields, or None for its defaults."""
    if isinstance(given, kind):
        return given
    if given is not None and not isinstance(given, Mapping):
        raise InputError(f"{name}: expected {kind.__name__} or a mapping of its fields, got {given!r}")
    config: Config = combined(kind, typed(kind, given or {}, key=f"{name}."), base={}, key=f"{name}.")
    return config


def check_reward_scale(scale: float) -> float:
    """``scale`` itself; InputError unless it is a finite number above 0."""
    if not 0.0 < scale < float("inf"):
        raise InputError(f"reward_scale must be above 0, got {scale!r}")
    return scale


def check_options(options: Mapping[str, Any] | None, known: Sequence[str] = ()) -> None:
    """InputError when ``options`` of a reset hold another key than ``known``."""
    for key in options or {}:
        if key not in known:
            hint = (
                f"known: {', '.join(known)}" if known else "there are none; give what shall differ when making the env"
            )
            raise InputError(f"reset: unknown option {key!r}; {hint}")


def autoreset_mode_of(given: AutoresetMode | str) -> AutoresetMode:
    """The mode, given as such, by its name or by its value; InputError for others."""
    for mode in AutoresetMode:
        if given in (mode, mode.name, mode.value):
            return mode
    known = ", ".join(mode.name for mode in AutoresetMode)
    raise InputError(f"autoreset_mode: expected one of {known}, got {given!r}")


class SaleSpec(EnvSpec):
    """The spec of an env of a sale."""

    def to_json(self) -> str:
        """The spec as JSON, from which ``EnvSpec.from_json`` makes it again.

        InputError when an argument of the env is an object that JSON cannot hold.
        """
        values = {field.name: getattr(self, field.name) for field in fields(self) if field.init}
        return EnvSpec(
            **values | {"kwargs": {name: _json(name, value) for name, value in self.kwargs.items()}}
        ).to_json()


class WithSaleSpec:
    """An env that keeps the spec that Gymnasium gives it as a SaleSpec."""

    _spec: EnvSpec | None = None

    @property
    def spec(self) -> EnvSpec | None:
        """How the env was made; None where ``gymnasium.make`` did not make it."""
        return self._spec

    @spec.setter
    def spec(self, spec: EnvSpec | None) -> None:
        given = (
            None if spec is None else {field.name: getattr(spec, field.name) for field in fields(spec) if field.init}
        )
        self._spec = None if given is None else SaleSpec(**given)


def _json(name: str, value: Any) -> Any:
    """An argument of the env as JSON."""
    if isinstance(value, ActionConfig | RewardConfig | ConstraintConfig):
        return plain(value)
    if isinstance(value, enum.Enum):
        return value.value
    try:
        json.dumps(value)
    except (TypeError, ValueError) as error:
        hint = "; give the name of a sale or the path of its file" if name == "scenario" else ""
        raise InputError(f"spec.to_json: {name} is a {type(value).__name__}, which is not JSON{hint}") from error
    return value
