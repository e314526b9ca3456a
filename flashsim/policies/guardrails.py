"""Guard-rails: which choices of a policy are ruled out by what it observes, whatever its network prefers.

A discount deeper than the guard-rail and an order that would leave fewer servers than it asks for are never chosen
where another choice keeps to both; where none does, the nearest is taken. Steps around the run-out price and targets of
a scaler are not ruled out: ``ActionCodec``, which knows the same guard-rails, cuts what they order, each product for
itself, in training as in play. The rails of a masked policy also rule out what is not feasible at the moment.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from flashsim.errors import InputError

Shown = Callable[[str], NDArray[np.float64]]
"""What the policy observes: name of a feature -> (sale,)."""


@dataclass(frozen=True)
class Rails:
    """Which choices a policy may take, told by what it observes; ``ActionCodec.rails`` makes the arguments.

    Places count the choices of all heads of a MultiDiscrete in a row; a flat action is a combination of them.
    """

    sizes: tuple[int, ...]
    """Choices of each head."""
    max_discount: float
    """Share, of which ``deepest`` follows."""
    deepest: tuple[int, ...]
    """Largest price index, by product."""
    discount_heads: tuple[int, ...]
    """One a product or one for all products, whose choice k is price index k; none where choices are steps."""
    price_levels: int
    """Prices of a product."""
    min_servers: int
    """0: no guard-rail."""
    capacity_head: int
    """Head that changes the servers; -1: none."""
    changes: tuple[int, ...]
    """Servers more or fewer, by choice of that head."""
    server_range: tuple[int, int]
    """Fewest and most servers of the sale; zeros without that head."""
    is_masked: bool
    """Whether choices that are not feasible now are ruled out, too, as they were in training."""
    spent: Mapping[str, int]
    """Feature -> place that is not feasible where the feature is 0; if masked."""

    def __post_init__(self) -> None:
        for name in ("sizes", "deepest", "discount_heads", "changes", "server_range"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        numbers = (*self.sizes, *self.deepest, *self.discount_heads, *self.changes, *self.server_range)
        numbers += (self.price_levels, self.min_servers, self.capacity_head, *self.spent.values())
        if not all(type(number) is int for number in numbers):
            raise InputError(f"rails: expected whole numbers, got {numbers}; export the policy again")
        places, heads = sum(self.sizes), len(self.sizes)
        fits = (
            all(size >= 1 for size in self.sizes)
            and all(0 <= head < heads for head in self.discount_heads)
            and len(self.discount_heads) in (0, 1, len(self.deepest))
            and -1 <= self.capacity_head < heads
            and (self.capacity_head < 0 or len(self.changes) == self.sizes[self.capacity_head])
            and all(0 <= place < places for place in self.spent.values())
            and len(self.server_range) == 2
        )
        if not fits:
            raise InputError("rails: do not fit the heads of the action; export the policy again")

    @property
    def can_act(self) -> bool:
        """Whether there are observations for which a choice is ruled out."""
        is_cut = any(deepest < self.price_levels - 1 for deepest in self.deepest) and bool(self.discount_heads)
        return self.is_masked or is_cut or (self.min_servers > 0 and self.capacity_head >= 0)

    def feasible(self, shown: Shown, sales: int) -> NDArray[np.bool_]:
        """Where a choice is not ruled out by what is feasible now, (sale, place)."""
        allowed = np.ones((sales, sum(self.sizes)), np.bool_)
        if self.is_masked:
            for feature, place in self.spent.items():
                allowed[:, place] = shown(feature) > 0.0
            if self.capacity_head >= 0:
                level = self._levels(shown)
                fewest, most = self.server_range
                allowed[:, self._part(self.capacity_head)] = (level >= fewest) & (level <= most)
        return allowed

    def within(self, shown: Shown, sales: int) -> NDArray[np.bool_]:
        """Where a choice keeps to the guard-rails, (sale, place); in each head at least one: that nearest to them."""
        allowed = np.ones((sales, sum(self.sizes)), np.bool_)
        for head in self.discount_heads:
            deepest = min(self.deepest[product] for product in self._products(head))
            allowed[:, self._part(head)] = np.arange(self.sizes[head]) <= deepest
        if self.min_servers and self.capacity_head >= 0:
            level = self._levels(shown)
            least = np.minimum(self.min_servers, level.max(axis=1, keepdims=True))
            allowed[:, self._part(self.capacity_head)] = level >= least
        return allowed

    def _part(self, head: int) -> slice:
        first = sum(self.sizes[:head])
        return slice(first, first + self.sizes[head])

    def _products(self, head: int) -> range | tuple[int, ...]:
        everything = len(self.discount_heads) == 1
        return range(len(self.deepest)) if everything else (self.discount_heads.index(head),)

    def _levels(self, shown: Shown) -> NDArray[np.int64]:
        """Servers ordered after each choice of the capacity head, (sale, choice)."""
        ordered = np.rint(shown("servers_ordered") * self.server_range[1]).astype(np.int64)
        return ordered[:, None] + np.array(self.changes, np.int64)
