"""Views of a tile as the engine makes them, in Python: compiled functions return arrays to compiled code alone."""

from typing import Any, TypeVar

State = TypeVar("State", bound=tuple[Any, ...])


def first_tile(state: State) -> State:
    """Tile 0 of ``state``, a NamedTuple of arrays whose first axis is the tile, or of such NamedTuples."""
    parts = (first_tile(part) if isinstance(part, tuple) else part[0] for part in state)
    return type(state)(*parts)
