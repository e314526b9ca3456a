"""Allocation of the arrays that a part of the sale keeps: a NamedTuple says which, with the number type of each."""

from typing import Any, TypeVar, get_args, get_type_hints

import numpy as np

Arrays = TypeVar("Arrays", bound=tuple[Any, ...])


def allocate(kind: type[Arrays], shape: tuple[int, ...], **others: tuple[int, ...]) -> Arrays:
    """Zeros for every field of ``kind``, a NamedTuple of arrays, in the number type that the field is annotated with.

    A field has ``shape`` unless ``others`` names another one for it.
    """
    hints = get_type_hints(kind)
    unknown = set(others) - set(hints)
    assert not unknown, f"{kind.__name__} has no {', '.join(sorted(unknown))}"
    fields: Any = {name: np.zeros(others.get(name, shape), _number_type(hint)) for name, hint in hints.items()}
    return kind(**fields)


def _number_type(hint: Any) -> Any:
    """np.int64 of NDArray[np.int64]."""
    return get_args(get_args(hint)[1])[0]
