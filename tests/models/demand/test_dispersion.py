"""Counts made with known factors give those factors back."""

import numpy as np
import pytest

from flashsim.models.demand.dispersion import Dispersion, estimate_dispersion

PRODUCTS, DAYS = 30, 4000


def make_counts(*, common: float, product: float, seed: int = 0, pack: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Counts (product, day) with gamma factors of the given variances, bought ``pack`` at once, and their means."""
    generator = np.random.default_rng(seed)
    mean = np.linspace(4.0, 30.0, PRODUCTS)[:, None] * np.ones(DAYS)
    factor = np.ones((PRODUCTS, DAYS))
    if common > 0.0:
        factor *= generator.gamma(1.0 / common, common, DAYS)
    if product > 0.0:
        factor *= generator.gamma(1.0 / product, product, (PRODUCTS, DAYS))
    return pack * generator.poisson(mean * factor / pack).astype(float), mean


@pytest.mark.parametrize(("common", "product"), [(0.05, 0.2), (0.1, 0.0), (0.0, 0.3), (0.0, 0.0)])
def test_common_and_product_variances_are_found(common: float, product: float) -> None:
    units, mean = make_counts(common=common, product=product)
    found = estimate_dispersion(units, mean, clumping=np.ones(PRODUCTS))
    assert found.common == pytest.approx(common, abs=0.012)
    assert found.product.mean() == pytest.approx(product, abs=0.02)


def test_buying_several_at_once_is_no_dispersion() -> None:
    units, mean = make_counts(common=0.05, product=0.1, pack=3)
    aware = estimate_dispersion(units, mean, clumping=np.full(PRODUCTS, 3.0))
    unaware = estimate_dispersion(units, mean, clumping=np.ones(PRODUCTS))
    assert aware.product.mean() == pytest.approx(0.1, abs=0.03)
    assert unaware.product.mean() > 0.2


def test_days_of_mean_zero_and_weight_zero_do_not_count() -> None:
    units, mean = make_counts(common=0.05, product=0.1)
    weight = np.ones(DAYS)
    weight[:500] = 0.0
    before = estimate_dispersion(units, mean, clumping=np.ones(PRODUCTS), day_weight=weight)
    wild, closed = units.copy(), mean.copy()
    wild[:, :500] = 1e6
    closed[:, 500:600] = 0.0
    open_only = estimate_dispersion(
        np.where(closed > 0, wild, 1e6), closed, clumping=np.ones(PRODUCTS), day_weight=weight
    )
    assert open_only.common == pytest.approx(before.common, abs=0.01)
    assert open_only.product == pytest.approx(before.product, abs=0.1)


def test_alpha_is_the_dispersion_of_one_count() -> None:
    """(1 + common)(1 + product) - 1, by hand."""
    assert Dispersion(0.1, np.array([0.2])).alpha == pytest.approx([0.32])
