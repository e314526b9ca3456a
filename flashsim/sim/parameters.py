"""How parameters reach compiled code: frozen dataclasses, checked once, turned into named tuples of plain numbers."""

from collections import namedtuple
from dataclasses import fields
from typing import Any

from flashsim.errors import InputError


def arguments_type(params: type, module: str) -> Any:
    """Named tuple type with the fields of the dataclass ``params``; ``module`` is where it is assigned."""
    return namedtuple(f"{params.__name__}Arguments", [field.name for field in fields(params)], module=module)  # noqa: PYI024


def as_arguments(params: Any, kind: Any) -> Any:
    """The dataclass as ``kind``, each number of exactly its declared type: compiled code has one signature."""
    types = {"int": int, "float": float, "bool": bool}
    return kind(**{f.name: types[getattr(f.type, "__name__", f.type)](getattr(params, f.name)) for f in fields(params)})


def check_range(name: str, value: float, low: float, high: float) -> None:
    """InputError unless ``low <= value <= high`` (NaN fails)."""
    if not low <= value <= high:
        raise InputError(f"{name} must be between {low:g} and {high:g}, got {value!r}")
