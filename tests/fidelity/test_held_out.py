"""Held-out weeks are judged at the rates that the simulated sale has, between the depths of a World's table too."""

import numpy as np

from flashsim.fidelity import Offers
from flashsim.fidelity.held_out import offered_rates
from flashsim.world import HOURS_OF_DAY
from tests.fidelity.made_weeks import PRODUCTS, true_world

DEPTHS = np.array([0.0, 0.07, 0.18, 0.33, 0.47])


def offers(depth: np.ndarray) -> Offers:
    """Depths (week,) of every product, neither displayed nor mailed."""
    depths = np.tile(depth, (PRODUCTS, 1))
    return Offers(depths, np.zeros_like(depths), np.zeros_like(depths))


def test_a_table_is_read_between_its_depths_as_the_sale_reads_it() -> None:
    world = true_world(slope=5.0)  # straight lines between depths would be off by up to 3 %
    minutes = np.arange(HOURS_OF_DAY * 60) + 0.5
    of_sale = world.units_at(DEPTHS, minutes).sum(axis=1)  # member, product, depth, minute
    by_hour = of_sale.reshape(*of_sale.shape[:-1], HOURS_OF_DAY, 60).sum(axis=-1)
    np.testing.assert_allclose(offered_rates(world, offers(DEPTHS)), by_hour, rtol=1e-3, atol=1e-4 * by_hour.max())


def test_each_product_is_read_at_its_own_depth_and_beyond_the_grid_at_its_deepest() -> None:
    world = true_world()
    depths = np.linspace(0.05, 0.9, PRODUCTS)[:, None]
    rates = offered_rates(world, Offers(depths, np.zeros_like(depths), np.zeros_like(depths)))
    for product, depth in enumerate(np.minimum(depths[:, 0], world.depth_grid[-1])):
        alone = offered_rates(world, offers(np.array([depth])))
        np.testing.assert_array_equal(rates[:, product], alone[:, product])
