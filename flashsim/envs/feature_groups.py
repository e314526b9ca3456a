"""Which columns of the observation speak of the same thing, and how much work went into them.

A **group** holds columns that follow from the same quantity, so that they are varied together. A **set** says what it
takes to have a column, each set within the next:

    raw         what is counted or decided: time, stock, servers, the last tick, budgets
    basic       and what is learned during the sale: levels of demand, pace, servers in force later
    engineered  and what joins these with the forecast: load and visitors ahead, cover, run-out price (all columns)
"""

import re
from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from flashsim.errors import InputError

FEATURE_SETS: Final = ("raw", "basic", "engineered")


class _Kind(NamedTuple):
    pattern: str
    group: str
    first_set: str


_KINDS: Final = (
    _Kind(r"time_left", "time", "raw"),
    _Kind(r"servers_ordered", "servers", "raw"),
    _Kind(r"servers_in_\d+", "servers", "basic"),
    _Kind(r"load|utilization|latency|backlog|room", "load of the last tick", "raw"),
    _Kind(r"pushes_left|goodwill", "pushes", "raw"),
    _Kind(r"waves_left|lots_left|lots_coming", "supply", "raw"),
    _Kind(r"level", "visitors", "basic"),
    _Kind(r"(load|visitors)_in_\d+_at_\d+", "visitors", "engineered"),
    _Kind(r"product_\d+_(stock|available)", "stock", "raw"),
    _Kind(r"product_\d+_pace", "stock", "basic"),
    _Kind(r"product_\d+_(cover_at_\d+|run_out)", "stock", "engineered"),
    _Kind(r"product_\d+_level", "demand of products", "basic"),
    _Kind(r"product_\d+_price", "prices shown", "raw"),
)


def _kind(name: str) -> _Kind:
    for kind in _KINDS:
        if re.fullmatch(kind.pattern, name):
            return kind
    raise InputError(f"feature {name!r} belongs to no group; give it one in flashsim/envs/feature_groups.py")


def feature_groups(names: Sequence[str]) -> dict[str, NDArray[np.intp]]:
    """Columns of each group, groups in the order in which ``names`` first mentions them."""
    groups: dict[str, list[int]] = {}
    for column, name in enumerate(names):
        groups.setdefault(_kind(name).group, []).append(column)
    return {group: np.array(columns, np.intp) for group, columns in groups.items()}


def feature_set(names: Sequence[str], chosen: str) -> tuple[str, ...]:
    """Those of ``names`` that the set ``chosen`` holds, in their order; InputError for an unknown set."""
    if chosen not in FEATURE_SETS:
        raise InputError(f"observation: expected one of {', '.join(FEATURE_SETS)}, got {chosen!r}")
    last = FEATURE_SETS.index(chosen)
    return tuple(name for name in names if FEATURE_SETS.index(_kind(name).first_set) <= last)
