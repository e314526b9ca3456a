"""Which products of a World are on sale: all of a small one, the best supported of a large one, or those named.

A product is the better supported, the more its data tell of its response: one of its own before one of another World,
one without a doubt before one that its calibration flags, and among equals the one that sells most.
"""

from collections.abc import Sequence
from typing import Final

from flashsim.errors import InputError
from flashsim.world import World

MOST_BY_DEFAULT: Final = 64
"""A World of so many products is sold whole."""
BEST: Final = 8
"""Of a larger one so many are on sale where nobody names them."""
MOST: Final = 256
"""More products make no sale: each is decided on in every tick."""


def on_sale(world: World, products: Sequence[str]) -> tuple[str, ...]:
    """Ids of the products on sale where ``products`` are named; (): nobody named any."""
    if products:
        return tuple(products)
    return world.product_ids if world.n_products <= MOST_BY_DEFAULT else best_supported(world, BEST)


def best_supported(world: World, count: int) -> tuple[str, ...]:
    """The best supported products, in the order of the World."""
    rows = world.provenance.get("products")
    listed = [row for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []
    known = {str(row.get("product_id")): (row.get("is_identified") is True, not row.get("flags")) for row in listed}
    units = world.daily_units()[:, :, 0].mean(axis=0)
    rank = sorted(
        range(world.n_products),
        key=lambda place: (*known.get(world.product_ids[place], (False, False)), units[place], -place),
        reverse=True,
    )
    return tuple(world.product_ids[place] for place in sorted(rank[:count]))


def check_products(world: World, products: Sequence[str]) -> None:
    """InputError for products that ``world`` does not have, that are named twice, or that are too many."""
    places = set(world.product_ids)
    for product in products:
        if product not in places:
            known = ", ".join(world.product_ids[:8])
            raise InputError(f"products: the World {world.name!r} has no {product!r}; it has {known}, …")
    if len(set(products)) < len(products):
        raise InputError(f"products: each may be named once, got {tuple(products)[:MOST]!r}")
    if len(products) > MOST:
        raise InputError(f"products: a sale has {MOST} products at most, got {len(products)}; name fewer")


def assortment_notes(world: World, products: Sequence[str]) -> tuple[str, ...]:
    """A sentence where nobody named the products of a large World."""
    if products or world.n_products <= MOST_BY_DEFAULT:
        return ()
    names = ", ".join(on_sale(world, products))
    return (
        f"The World has {world.n_products} products; on sale are the {BEST} whose data tell most of their response and "
        f"that sell most: {names}. scenario.products=[…] chooses others.",
    )
