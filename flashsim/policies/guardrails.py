"""Guard-rails: which choices of a policy are ruled out by what it observes, whatever its network prefers.

A discount deeper than the guard-rail and an order that would leave fewer servers than it asks for are never chosen
where another choice keeps to both; where none does, the nearest is taken. Choices that steer a rule (steps around the
run-out price, targets of a scaler) are not ruled out: ``ActionCodec``, which knows the same guard-rails, cuts what they
decide, in training as in play. The rails of a masked policy also rule out what is not feasible at the moment.

A limit stands in one place, the ``action`` of the policy: what is ruled out here, what ``ActionCodec`` cuts and what
programs say of a policy are all read from there, so a limit that is claimed is one that acts.

No head is named here: each says in the same few words what rules its choices out (``flashsim.envs.heads``).
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from flashsim.errors import InputError
from flashsim.shown import brief

Shown = Callable[[str], NDArray[np.float64]]
"""What the policy observes: name of a feature -> (sale,)."""
Limits = Mapping[str, Any]
"""The action of the policy: name of a guard-rail -> its number."""
_ROUNDING: Final = 1e-9  # a depth of the menu equals a limit that is written alike
_MANY: Final = 10**9  # more choices or servers no sale has
_MOST_COLUMNS: Final = 1_000  # of an action; each costs time in every decision
_MOST_COMBINATIONS: Final = 10_000  # of a flat action; ``ActionCodec`` offers no more
_MOST_COMBINED: Final = 64  # columns; numpy knows no more axes


@dataclass(frozen=True)
class HeadRails:
    """What rules out choices of one column of an action; InputError where that does not fit its choices."""

    choices: int
    """How many there are."""
    values: tuple[float, ...] = ()
    """What a guard-rail measures of each choice; (): nothing."""
    most: str = ""
    """Guard-rail, by its name in the action: the largest value that is allowed; "": none."""
    spent: Mapping[str, int] = field(default_factory=dict)
    """Feature -> choice that is not feasible where the feature is 0."""
    only: Mapping[str, int] = field(default_factory=dict)
    """Feature -> the one choice that is feasible where the feature is above 0."""
    level: str = ""
    """Feature that shows a level which choices change, as a share of the most there can be; "": they change none."""
    changes: tuple[int, ...] = ()
    """How far each choice moves the level."""
    level_range: tuple[int, int] = (0, 0)
    """Least and most that are feasible; zeros without a level."""
    least: str = ""
    """Guard-rail, by its name in the action: the least level after a choice, of which 0 asks nothing; "": none."""

    def __post_init__(self) -> None:
        for name in ("values", "changes", "level_range"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        whole = (self.choices, *self.changes, *self.level_range, *self.spent.values(), *self.only.values())
        odd: list[object] = [number for number in whole if type(number) is not int or abs(number) > _MANY]
        odd += [number for number in self.values if not _is_number(number)]
        if odd:
            raise InputError(f"rails: expected numbers, got {brief(odd[0])}; export the policy again")
        fits = (
            all(isinstance(name, str) for name in (self.most, self.level, self.least, *self.spent, *self.only))
            and self.choices >= 1
            and all(0 <= choice < self.choices for choice in (*self.spent.values(), *self.only.values()))
            and len(self.values) == (self.choices if self.most else 0)
            and len(self.changes) == (self.choices if self.level else 0)
            and len(self.level_range) == 2
            and bool(self.level or not self.least)
        )
        if not fits:
            raise InputError("rails: do not fit the heads of the action; export the policy again")

    @property
    def features(self) -> set[str]:
        """Features that it reads."""
        return {*self.spent, *self.only} | ({self.level} if self.level else set())

    @property
    def limits(self) -> set[str]:
        """Names of its guard-rails in the action."""
        return {self.most, self.least} - {""}

    def is_limited(self, limits: Limits) -> bool:
        """Whether a guard-rail can rule out one of its choices."""
        return not self._valued(limits).all() or self._least(limits) > 0

    def feasible(self, shown: Shown, sales: int) -> NDArray[np.bool_]:
        """Where a choice is not ruled out by what is feasible now, (sale, choice)."""
        feasible = np.ones((sales, self.choices), np.bool_)
        for feature, choice in self.spent.items():
            feasible[:, choice] = shown(feature) > 0.0
        for feature, choice in self.only.items():
            feasible[shown(feature) > 0.0] = np.arange(self.choices) == choice
        if self.level:
            after, (least, most) = self._levels(shown), self.level_range
            feasible &= (after >= least) & (after <= most)
        return feasible

    def within(self, limits: Limits, shown: Shown, sales: int) -> NDArray[np.bool_]:
        """Where a choice keeps to the guard-rails, (sale, choice); at least one: that nearest to them."""
        within = np.tile(self._valued(limits), (sales, 1))
        least = self._least(limits)
        if least > 0:
            after = self._levels(shown)
            within &= after >= np.minimum(max(least, self.level_range[0]), after.max(axis=1, keepdims=True))
        return within

    def _valued(self, limits: Limits) -> NDArray[np.bool_]:
        """Choices of an allowed value, (choice,); at least that of the smallest."""
        if not self.most:
            return np.ones(self.choices, np.bool_)
        values = np.array(self.values, np.float64)
        return values <= max(float(limits[self.most]), values.min()) + _ROUNDING

    def _least(self, limits: Limits) -> int:
        """The least level that is asked for; 0: none."""
        return min(_MANY, int(limits[self.least])) if self.least else 0

    def _levels(self, shown: Shown) -> NDArray[np.int64]:
        """Level after each choice, (sale, choice)."""
        level = np.rint(np.clip(shown(self.level) * self.level_range[1], -_MANY, _MANY)).astype(np.int64)
        return level[:, None] + np.array(self.changes, np.int64)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


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
        if len(self.columns) > _MOST_COLUMNS:
            raise InputError(
                f"rails: expected at most {_MOST_COLUMNS} columns of an action, got {len(self.columns)}; "
                "decide for all products alike: agent.per_product=false"
            )

    @property
    def sizes(self) -> tuple[int, ...]:
        """Choices of each column."""
        return tuple(column.choices for column in self.columns)

    @property
    def features(self) -> set[str]:
        """Features that they read."""
        return set[str]().union(*(column.features for column in self.columns))

    @property
    def limits(self) -> set[str]:
        """Names of their guard-rails in the action."""
        return set[str]().union(*(column.limits for column in self.columns))

    def check_flat(self) -> None:
        """InputError when there are more combinations of choices than a flat action has."""
        columns = len(self.columns)
        if columns > _MOST_COMBINED or math.prod(self.sizes) > _MOST_COMBINATIONS:
            raise InputError(
                f"rails: expected at most {_MOST_COMBINATIONS} combinations of at most {_MOST_COMBINED} columns in a "
                f"flat action, got more, or {columns} columns; export the policy again"
            )

    def check_limits(self, limits: Limits) -> None:
        """InputError unless the action gives a number for each guard-rail."""
        for name in sorted(self.limits):
            value = limits.get(name)
            if not _is_number(value):
                raise InputError(
                    f"rails: the action needs a number for {brief(name)}, got {brief(value)}; export the policy again"
                )

    def can_act(self, limits: Limits) -> bool:
        """Whether there are observations for which a choice is ruled out."""
        return self.is_masked or any(column.is_limited(limits) for column in self.columns)

    def feasible(self, shown: Shown, sales: int) -> NDArray[np.bool_]:
        """Where a choice is not ruled out by what is feasible now, (sale, place)."""
        if not self.is_masked:
            return np.ones((sales, sum(self.sizes)), np.bool_)
        return np.concatenate([column.feasible(shown, sales) for column in self.columns], axis=1)

    def allowed(self, limits: Limits, shown: Shown, sales: int) -> NDArray[np.bool_]:
        """Where a choice keeps to the guard-rails and is feasible, (sale, place); in a column in which none is both,
        where it keeps to the guard-rails, and there at least one: that nearest to them."""
        columns = []
        for column in self.columns:
            within = column.within(limits, shown, sales)
            both = within & column.feasible(shown, sales) if self.is_masked else within
            columns.append(np.where(both.any(axis=1, keepdims=True), both, within))
        return np.concatenate(columns, axis=1)

    def difference(self, other: "Rails", limits: Limits) -> Difference | None:
        """The first thing that acts in which ``other`` differs, whether masked aside; None: nothing."""
        if len(self.columns) != len(other.columns):
            return Difference("choices", self.sizes, other.sizes)
        for own, its in zip(self.columns, other.columns, strict=True):
            idle = {"level_range"} if not (self.is_masked or own.is_limited(limits)) else set()
            for rail in fields(HeadRails):
                values = getattr(own, rail.name), getattr(its, rail.name)
                if values[0] != values[1] and rail.name not in idle:
                    return Difference(rail.name, *values)
        return None
