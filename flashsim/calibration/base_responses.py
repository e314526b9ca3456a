"""What the base World says of products like a shop's own: which ones they are, and how they respond to the price.

The products of the base World that are *similar* to a product are the one of the same id, else those of its group,
else all.
"""

from collections.abc import Mapping
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from flashsim.data.shop_tables import CheckedTables
from flashsim.surface import FINE_STEP, read_depths
from flashsim.world import World

Array = NDArray[np.float64]
NO_GROUP: Final = "no group"
NEAR_LIST: Final = 0.05
"""Depth from whose response that to prices above the list price is taken."""


class SimilarProducts(NamedTuple):
    """What the base World says of products like each of ours."""

    of: tuple[tuple[int, ...], ...]  # product: places in the base World
    words: tuple[str, ...]  # product: which ones

    def mean(self, values: Array) -> Array:
        """Mean over the similar products; ``values`` (member, base product) to (member, product)."""
        return np.stack([values[:, list(places)].mean(axis=1) for places in self.of], axis=1)

    def total(self, values: Array) -> Array:
        """Sum over the similar products; ``values`` (base product, …) to (product, …)."""
        sums = {places: values[list(places)].sum(axis=0) for places in set(self.of)}
        return np.stack([sums[places] for places in self.of])


def similar_products(product_ids: tuple[str, ...], groups: tuple[str, ...], base: World) -> SimilarProducts:
    """The products of ``base`` that are like each of ours."""
    places: list[tuple[int, ...]] = []
    words: list[str] = []
    for product, group in zip(product_ids, groups, strict=True):
        alike = tuple(place for place, name in enumerate(base.product_groups) if name == group)
        if product in base.product_ids:
            places.append((base.product_ids.index(product),))
            words.append("the same product")
        else:
            places.append(alike or tuple(range(base.n_products)))
            words.append(f"the group {group!r}" if alike else "all products")
    return SimilarProducts(tuple(places), tuple(words))


def texts_in(own: CheckedTables, column: str) -> dict[str, str]:
    """The last text of ``column`` that is filled, by product of ``sales_data``."""
    assert own.sales is not None
    if column not in own.sales.columns:
        return {}
    filled = own.sales[own.sales[column] != ""]
    return {str(name): str(text) for name, text in filled.groupby("product_id")[column].last().items()}


def product_groups(own: CheckedTables, base: World) -> dict[str, str]:
    """Group of each product of ``sales_data``: the last one filled, else the base World's, else none."""
    assert own.sales is not None
    given = texts_in(own, "product_group")
    of_base = dict(zip(base.product_ids, base.product_groups, strict=True))
    return {
        name: given.get(name, of_base.get(name, NO_GROUP))
        for name in map(str, own.sales["product_id"].unique().tolist())
    }


def fine_depths(base: World) -> Array:
    """Depths, finer than the table's, at which responses are read."""
    deepest = float(base.depth_grid[-1])
    return np.linspace(0.0, deepest, round(deepest / FINE_STEP) + 1)


class BaseResponses:
    """Demand relative to that at list price, as similar products of the base World tell it; a ``Fallback``."""

    def __init__(self, base: World, groups: Mapping[str, str]) -> None:
        self._base, self._groups, self._fine = base, groups, fine_depths(base)
        daily = base.daily_units()
        self._daily = np.moveaxis(read_depths(daily, base.depth_grid, self._fine), 1, 0)  # product, member, fine

    def __call__(self, product: str, log_ratio: Array) -> Array:
        """(member, row) at the logs of price ratios (row,); beyond the deepest depth as at it."""
        similar = similar_products((product,), (self._groups.get(product, NO_GROUP),), self._base)
        total = np.maximum(similar.total(self._daily)[0], 1e-12)
        shape = total / total[:, :1]
        depth = np.clip(1.0 - np.exp(log_ratio), 0.0, self._fine[-1])
        inside = np.stack([np.interp(depth, self._fine, member) for member in shape])
        near = min(NEAR_LIST, float(self._fine[-1]))
        at_near = np.array([np.interp(near, self._fine, member) for member in shape])
        slope = np.log(at_near) / np.log1p(-near) if near > 0.0 else np.zeros(len(shape))
        response: Array = inside * np.exp(slope[:, None] * np.maximum(log_ratio, 0.0))
        return response
