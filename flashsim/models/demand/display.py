"""What a display does to sales, learned from stores that differ in the same week.

Shops plan displays and discounts together, so over time their effects cannot be separated. Across stores in one week
they can: the offer of the chain is the same, and a store has the display or not.

    units(p, s, w) ~ Poisson(store level(p, s) · chain level(p, w) · exp(effect · display(p, s, w)))

Both levels are profiled out, so only differences between stores within a product's week count. One confounder remains
in the effect: stores may choose displays for a reason, such as more space for a product that sells well in that very
week.

Source: Hausman, Hall & Griliches (1984), Econometrica 52, "Econometric models for count data" (Poisson fixed effects by
concentration).
"""

from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from flashsim.data.panel import Panel
from flashsim.models.demand.negative_binomial import DisplayContrast

SWEEPS = 12
"""Alternations between levels and effects; after about 8 of them the effect moves by less than 1e-4."""
SMALLEST_SPREAD = 0.05
"""Least difference between products in what a display does, log scale."""


class StoreCells(NamedTuple):
    """Product × store × week cells of weeks in which some stores displayed the product and some did not."""

    product: NDArray[np.intp]
    store: NDArray[np.intp]
    week: NDArray[np.intp]
    units: NDArray[np.float64]
    display: NDArray[np.float64]  # 0 or 1


def store_cells(lines: pd.DataFrame, promotions: pd.DataFrame, *, panel: Panel) -> StoreCells:
    """Cells of all stores that ever sold a product, zeros included, where display differs between stores."""
    products = len(panel.product_ids)
    product = pd.Series(np.arange(products), index=list(panel.product_ids))
    stores = np.unique(lines["store_id"])
    first_week = int(lines["week"].min())
    shape = (products, len(stores), panel.n_weeks)

    def place(table: pd.DataFrame) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.intp]]:
        return (
            product.loc[table["product_id"]].to_numpy(dtype=np.intp),
            np.searchsorted(stores, table["store_id"]).astype(np.intp),
            (table["week"] - first_week).to_numpy(dtype=np.intp),
        )

    units = np.zeros(shape, dtype=np.float32)
    np.add.at(units, place(lines), lines["quantity"].to_numpy(dtype=np.float32))
    shown = promotions[promotions["display"] & promotions["store_id"].isin(stores) & (promotions["week"] >= first_week)]
    display = np.zeros(shape, dtype=bool)
    display[place(shown)] = True
    listed = units.any(axis=2, keepdims=True)
    some = (display & listed).any(axis=1, keepdims=True) & (~display & listed).any(axis=1, keepdims=True)
    where = np.nonzero(listed & some & units.any(axis=1, keepdims=True))
    return StoreCells(
        product=where[0], store=where[1], week=where[2], units=units[where].astype(float), display=display[where] * 1.0
    )


def contrast_displays(cells: StoreCells, *, group_of: NDArray[np.intp], weeks: int) -> DisplayContrast:
    """Estimate the display effect and its spread between product groups from the first ``weeks`` weeks."""
    early = cells.week < weeks
    product, store, week, units, display = (column[early] for column in cells)
    if not units.size or display.min() == display.max():
        return DisplayContrast(0.0, SMALLEST_SPREAD)
    group = group_of[product].astype(np.intp)
    groups = int(group_of.max()) + 1
    by_store = np.unique(product * (store.max() + 1) + store, return_inverse=True)[1]
    by_week = np.unique(product * (week.max() + 1) + week, return_inverse=True)[1]
    effect = np.zeros(groups)
    chain = np.ones(by_week.max() + 1)
    information: NDArray[np.float64] = np.ones(groups)
    for _ in range(SWEEPS):
        lift = np.exp(effect[group] * display)
        level = np.bincount(by_store, units) / np.maximum(np.bincount(by_store, chain[by_week] * lift), 1e-12)
        base = level[by_store] * lift
        chain = np.bincount(by_week, units) / np.maximum(np.bincount(by_week, base), 1e-12)
        mean = base * chain[by_week]
        share = np.bincount(by_week, mean * display) / np.maximum(np.bincount(by_week, mean), 1e-12)
        contrast = display - share[by_week]
        information = np.bincount(group, mean * contrast**2, minlength=groups).astype(np.float64)
        score = np.bincount(group, (units - mean) * contrast, minlength=groups)
        effect = effect + np.clip(score / np.maximum(information, 1.0), -1.0, 1.0)
    weight = information / information.sum()
    overall = float(weight @ effect)
    spread = float(np.sqrt(max(weight @ ((effect - overall) ** 2 - 1.0 / np.maximum(information, 1.0)), 0.0)))
    return DisplayContrast(overall, max(spread, SMALLEST_SPREAD))
