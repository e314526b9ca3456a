"""How parameters reach compiled code: frozen dataclasses, checked once, turned into named tuples of plain numbers."""

from collections import namedtuple
from dataclasses import fields
from typing import Any, TypeVar, cast, get_type_hints

import numpy as np

from flashsim.errors import InputError

SEED_BITS = 63
SEED_LIMIT = 2**SEED_BITS
"""Seeds of sales are whole numbers from 0 and below it."""

Params = TypeVar("Params")


def arguments_type(params: type[Params], module: str) -> type[Params]:
    """Named tuple type with the fields of the dataclass ``params``, to be assigned in ``module``: TrafficArguments for
    TrafficParams. Under any other name it could not be pickled, and numba would compile anew in every process.

    A type checker takes it for ``params``, for fields and their types are the same.
    """
    name = params.__name__.removesuffix("Params") + "Arguments"
    names = [field.name for field in fields(cast(Any, params))]
    return cast(type[Params], namedtuple(name, names, module=module))


def as_arguments(params: Params, kind: type[Params]) -> Params:
    """The dataclass as ``kind``, each number of exactly its declared type: compiled code has one signature."""
    numbers = {name: number(getattr(params, name)) for name, number in get_type_hints(type(params)).items()}
    return cast(Any, kind)(**numbers)


def check_whole(name: str, value: float, low: int, high: int) -> None:
    """InputError unless ``value`` is a whole number with ``low <= value <= high``."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer):
        raise InputError(f"{name} must be a whole number, got {value!r}")
    check_range(name, value, low, high)


def check_range(name: str, value: float, low: float, high: float) -> None:
    """InputError unless ``low <= value <= high`` (NaN fails)."""
    if not low <= value <= high:
        raise InputError(f"{name} must be between {low:g} and {high:g}, got {value!r}")


def check_seed(seed: Any, *, name: str = "seed", bits: int = SEED_BITS) -> int:
    """``seed`` as an int; InputError, which calls it ``name``, unless it is a whole number from 0 to 2^bits - 1."""
    if isinstance(seed, bool) or not isinstance(seed, int | np.integer) or not 0 <= seed < 2**bits:
        raise InputError(f"{name} must be a whole number from 0 to 2^{bits} - 1, got {seed!r}")
    return int(seed)
