"""Arrays that a part of the sale keeps: a NamedTuple says which, with the number type of each."""

from typing import Any, TypeVar, get_args, get_type_hints

import numpy as np
from numpy.typing import NDArray

from flashsim.sim.cache import compiled_inside

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


@compiled_inside
def any_is_zero(counts: NDArray[np.int64]) -> bool:
    """Whether one of ``counts`` (product, lane), none of them negative, is 0."""
    least = np.int64(1)
    for product in range(counts.shape[0]):
        for lane in range(counts.shape[1]):
            least = min(least, counts[product, lane])
    return bool(least == 0)
