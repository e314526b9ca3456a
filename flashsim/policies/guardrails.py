"""Guard-rails: which choices of a policy are ruled out by what it observes, whatever its network prefers.

A discount deeper than the guard-rail and an order that would leave fewer servers than it asks for are never chosen
where another choice keeps to both; where none does, the nearest is taken. Choices that steer a rule (steps around the
run-out price, targets of a scaler) are not ruled out: ``ActionCodec``, which knows the same guard-rails, cuts what they
decide, in training as in play. The rails of a masked policy also rule out what is not feasible at the moment.

No head is named here: each says in the same few words what rules its choices out (``flashsim.envs.heads``).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from flashsim.errors import InputError

Shown = Callable[[str], NDArray[np.float64]]
"""What the policy observes: name of a feature -> (sale,)."""


@dataclass(frozen=True)
class HeadRails:
    """What rules out choices of one column of an action; InputError where that does not fit its choices."""

    choices: int
    """How many there are."""
    largest: int
    """Guard-rail: the largest choice that is allowed."""
    spent: Mapping[str, int] = field(default_factory=dict)
    """Feature -> choice that is not feasible where the feature is 0."""
    level: str = ""
    """Feature that shows a level which choices change, as a share of the most there can be; "": they change none."""
    changes: tuple[int, ...] = ()
    """How far each choice moves the level."""
    level_range: tuple[int, int] = (0, 0)
    """Least and most that are feasible; zeros without a level."""
    least_level: int = 0
    """Guard-rail: the least level after a choice; 0: none."""

    def __post_init__(self) -> None:
        for name in ("changes", "level_range"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        numbers = (self.choices, self.largest, self.least_level, *self.changes, *self.level_range, *self.spent.values())
        if not all(type(number) is int for number in numbers):
            raise InputError(f"rails: expected whole numbers, got {numbers}; export the policy again")
        fits = (
            0 <= self.largest < self.choices
            and all(0 <= choice < self.choices for choice in self.spent.values())
            and len(self.changes) == (self.choices if self.level else 0)
            and len(self.level_range) == 2
        )
        if not fits:
            raise InputError("rails: do not fit the heads of the action; export the policy again")

    @property
    def features(self) -> set[str]:
        """Features that it reads."""
        return {*self.spent} | ({self.level} if self.level else set())

    @property
    def is_limited(self) -> bool:
        """Whether a guard-rail can rule out one of its choices."""
        return self.largest < self.choices - 1 or (self.least_level > 0 and bool(self.level))

    def feasible(self, shown: Shown, sales: int) -> NDArray[np.bool_]:
        """Where a choice is not ruled out by what is feasible now, (sale, choice)."""
        feasible = np.ones((sales, self.choices), np.bool_)
        for feature, choice in self.spent.items():
            feasible[:, choice] = shown(feature) > 0.0
        if self.level:
            after, (least, most) = self._levels(shown), self.level_range
            feasible &= (after >= least) & (after <= most)
        return feasible

    def within(self, shown: Shown, sales: int) -> NDArray[np.bool_]:
        """Where a choice keeps to the guard-rails, (sale, choice); at least one: that nearest to them."""
        within = np.tile(np.arange(self.choices) <= self.largest, (sales, 1))
        if self.least_level and self.level:
            after = self._levels(shown)
            within &= after >= np.minimum(self.least_level, after.max(axis=1, keepdims=True))
        return within

    def _levels(self, shown: Shown) -> NDArray[np.int64]:
        """Level after each choice, (sale, choice)."""
        level = np.rint(shown(self.level) * self.level_range[1]).astype(np.int64)
        return level[:, None] + np.array(self.changes, np.int64)


class Difference(NamedTuple):
    """One thing in which the rails of a policy differ from others."""

    name: str
    own: Any
    other: Any


@dataclass(frozen=True)
class Rails:
    """Which choices a policy may take, given what it observes; ``ActionCodec.rails`` makes the arguments.

    Places count the choices of all columns of a MultiDiscrete in a row; a flat action is a combination of them.
    """

    columns: tuple[HeadRails, ...]
    """Of each column of the action."""
    is_masked: bool
    """Whether choices that are not feasible now are ruled out, too, as they were in training."""

    def __post_init__(self) -> None:
        made = (column if isinstance(column, HeadRails) else HeadRails(**column) for column in self.columns)
        object.__setattr__(self, "columns", tuple(made))

    @property
    def sizes(self) -> tuple[int, ...]:
        """Choices of each column."""
        return tuple(column.choices for column in self.columns)

    @property
    def features(self) -> set[str]:
        """Features that they read."""
        return set[str]().union(*(column.features for column in self.columns))

    @property
    def can_act(self) -> bool:
        """Whether there are observations for which a choice is ruled out."""
        return self.is_masked or any(column.is_limited for column in self.columns)

    def feasible(self, shown: Shown, sales: int) -> NDArray[np.bool_]:
        """Where a choice is not ruled out by what is feasible now, (sale, place)."""
        if not self.is_masked:
            return np.ones((sales, sum(self.sizes)), np.bool_)
        return np.concatenate([column.feasible(shown, sales) for column in self.columns], axis=1)

    def within(self, shown: Shown, sales: int) -> NDArray[np.bool_]:
        """Where a choice keeps to the guard-rails, (sale, place); in each column at least one: that nearest to them."""
        return np.concatenate([column.within(shown, sales) for column in self.columns], axis=1)

    def difference(self, other: "Rails") -> Difference | None:
        """The first thing in which ``other`` differs, whether masked aside; None: nothing."""
        if len(self.columns) != len(other.columns):
            return Difference("choices", self.sizes, other.sizes)
        for own, its in zip(self.columns, other.columns, strict=True):
            for rail in fields(HeadRails):
                values = getattr(own, rail.name), getattr(its, rail.name)
                if values[0] != values[1]:
                    return Difference(rail.name, *values)
        return None
