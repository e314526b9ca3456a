"""The spec of an env: Gymnasium's, but where it cannot be JSON it says so in one sentence.

JSON holds a sale by its name or by the path of its file, and configs as mappings. A scenario object is not JSON: it
rests on a World of some hundred arrays.
"""

import enum
import json
from dataclasses import fields
from typing import Any

from gymnasium.envs.registration import EnvSpec

from flashsim.envs.actions import ActionConfig
from flashsim.envs.reward import ConstraintConfig, RewardConfig
from flashsim.errors import InputError
from flashsim.settings import plain


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
