"""Stores that differ in the same week tell what a display does, whatever discounts do meanwhile."""

import numpy as np
import pytest

from flashsim.models.demand.display import SMALLEST_SPREAD, StoreCells, contrast_displays

PRODUCTS, STORES, WEEKS = 12, 40, 30


def make_cells(*, effect: float, seed: int = 0) -> StoreCells:
    """Displays come in weeks in which the chain sells three times as much anyway."""
    generator = np.random.default_rng(seed)
    product, store, week = (axis.ravel() for axis in np.indices((PRODUCTS, STORES, WEEKS)))
    promoted = generator.random((PRODUCTS, WEEKS)) < 0.4
    display = (promoted[product, week] & (generator.random(product.size) < 0.6)) * 1.0
    level = generator.gamma(4.0, 0.5, (PRODUCTS, STORES))[product, store]
    mean = level * np.where(promoted[product, week], 3.0, 1.0) * np.exp(effect * display)
    units = generator.poisson(mean).astype(float)
    return StoreCells(product.astype(np.intp), store.astype(np.intp), week.astype(np.intp), units, display)


@pytest.mark.parametrize("effect", [0.0, 0.3, 0.8])
def test_the_effect_is_found_beside_a_chain_wide_promotion(effect: float) -> None:
    cells = make_cells(effect=effect)
    found = contrast_displays(cells, group_of=np.zeros(PRODUCTS, dtype=np.intp), weeks=WEEKS)
    assert found.effect == pytest.approx(effect, abs=0.03)
    shown = cells.display > 0
    naive = np.log(cells.units[shown].mean() / cells.units[~shown].mean())
    assert naive > effect + 0.5


def test_only_early_weeks_are_seen() -> None:
    cells = make_cells(effect=0.3)
    later = cells._replace(units=np.where(cells.week >= 20, 1000.0 * cells.display, cells.units))
    group_of = np.zeros(PRODUCTS, dtype=np.intp)
    early = contrast_displays(cells, group_of=group_of, weeks=20)
    assert contrast_displays(later, group_of=group_of, weeks=20) == early


def test_without_any_display_there_is_no_effect() -> None:
    cells = make_cells(effect=0.3)
    none = cells._replace(display=np.zeros(cells.display.shape))
    found = contrast_displays(none, group_of=np.zeros(PRODUCTS, dtype=np.intp), weeks=WEEKS)
    assert found == (0.0, SMALLEST_SPREAD)
