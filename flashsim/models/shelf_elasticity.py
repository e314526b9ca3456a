"""Elasticities of brands that share a shelf, plain and featured, from store by week scanner data.

    ln units(b, s, w) = level(b, s) + plain_b·ln price·(1 - featured) + featured_b·ln price·featured + lift_b·featured
                        + cross_b·ln(prices of the other brands in that store and week) + error

fitted by least squares within stores, brand by brand. Prices of rival brands move together (one category manager sets
them): left out, their effect would go to the brand's own price. The average elasticity comes from the same equation
with one slope. Intervals resample whole stores: weeks of one store share its customers.

Left out: shocks that all stores share and that prices follow (no instrument is in such a table), stocking up before and
after features, and zeros (logarithms need sales).

Source: Montgomery (1997), Marketing Science 16, "Creating micro-marketing pricing strategies using supermarket scanner
data" (the same chain and category); Hoch, Kim, Montgomery & Rossi (1995), Journal of Marketing Research 32; Cameron,
Gelbach & Miller (2008), Review of Economics and Statistics 90 (resampling whole clusters).
"""

from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from flashsim.errors import InputError
from flashsim.models.sales_table import numbers

COLUMNS: Final = ("brand", "store", "week", "units", "price", "featured")
KINDS: Final = ("average", "plain", "featured")
OUNCES_A_CARTON: Final = 64


def read_orange_juice(path: Path) -> pd.DataFrame:
    """Dominick's orange juice (columns sales, price, brand, feat) as :data:`COLUMNS`; units are cartons of 64 oz.

    The file names neither store nor week: it lists store after store, and within each one run a brand with the same
    weeks in the same order, which is checked. ``week`` counts within the store.
    """
    try:
        table = pd.read_csv(path)
    except (OSError, ValueError) as error:
        raise InputError(f"cannot read {path} ({error}); check the path") from error
    missing = [column for column in ("sales", "price", "brand", "feat") if column not in table.columns]
    if missing:
        raise InputError(f"{path}: column {missing[0]!r} is missing, the table has {list(table.columns)}")
    run = (table["brand"] != table["brand"].shift()).cumsum() - 1
    brands = table["brand"].nunique()
    week = table.groupby(run).cumcount()
    lengths = table.groupby(run).size().to_numpy()
    if lengths.size % brands or (lengths.reshape(-1, brands) != lengths[::brands, None]).any():
        raise InputError(f"{path}: the brands of a store do not have the same weeks; add columns for store and week")
    return pd.DataFrame(
        {
            "brand": table["brand"],
            "store": run // brands,
            "week": week,
            "units": table["sales"] / OUNCES_A_CARTON,
            "price": table["price"],
            "featured": table["feat"],
        }
    )


def shelf_elasticities(
    table: pd.DataFrame, *, seed: int = 0, resamples: int = 1000, confidence: float = 0.9
) -> pd.DataFrame:
    """Elasticities of each brand with intervals: brand, kind (average, plain, featured), elasticity, low, high.

    A last row a brand, of kind ``difference``, is featured less plain: below 0 where features make demand steeper.
    InputError when a column is missing or a brand lacks rows.
    """
    wide = _side_by_side(table)
    brands = list(wide["log_units"].columns)
    stores = wide.index.get_level_values("store").to_numpy()
    ids, place = np.unique(stores, return_inverse=True)
    if ids.size < 2 * len(brands):
        raise InputError(f"{ids.size} stores are too few for intervals over stores; bring at least {2 * len(brands)}")
    generator = np.random.default_rng(seed)
    drawn = generator.integers(ids.size, size=(resamples, ids.size))
    weight = np.stack([np.bincount(draw, minlength=ids.size) for draw in drawn]).astype(np.float64)
    weight = np.vstack([np.ones(ids.size), weight])  # the first one is the estimate itself
    tail = 0.5 * (1.0 - confidence)
    rows = []
    for brand in brands:
        draws = _slopes(wide, brand, place=place, weight=weight)
        draws["difference"] = draws["featured"] - draws["plain"]
        for kind, values in draws.items():
            low, high = np.quantile(values[1:], (tail, 1.0 - tail))
            rows.append({"brand": brand, "kind": kind, "elasticity": values[0], "low": low, "high": high})
    return pd.DataFrame(rows)


def _side_by_side(table: pd.DataFrame) -> pd.DataFrame:
    """Log units, log price and featured of all brands beside each other, one row a store and week with all brands."""
    for column in COLUMNS:
        if column not in table.columns:
            raise InputError(f"column {column!r} is missing, the table has {list(table.columns)}; add it")
    logs = table.assign(
        log_units=np.log(numbers(table, "units", above=0.0)),
        log_price=np.log(numbers(table, "price", above=0.0)),
        featured=numbers(table, "featured", low=0.0),
    )
    wide = logs.pivot(index=["store", "week"], columns="brand", values=["log_units", "log_price", "featured"]).dropna()
    if len(wide) < 100:
        raise InputError(f"{len(wide)} store-weeks hold all brands, at least 100 are needed; bring more")
    return wide


def _slopes(
    wide: pd.DataFrame, brand: str, *, place: NDArray[np.intp], weight: NDArray[np.float64]
) -> dict[str, NDArray[np.float64]]:
    """Slopes of one brand for each row of ``weight`` (resample, store), by kind."""
    price = wide["log_price"].to_numpy()
    own = list(wide["log_price"].columns).index(brand)
    featured = wide["featured"][brand].to_numpy()
    rivals = np.delete(price, own, axis=1)
    target = wide["log_units"][brand].to_numpy()
    average = _within(np.column_stack([price[:, own], featured, rivals]), target, place=place, weight=weight)
    apart = np.column_stack([price[:, own] * (1.0 - featured), price[:, own] * featured, featured, rivals])
    split = _within(apart, target, place=place, weight=weight)
    return dict(zip(KINDS, (average[:, 0], split[:, 0], split[:, 1]), strict=True))


def _within(
    design: NDArray[np.float64], target: NDArray[np.float64], *, place: NDArray[np.intp], weight: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Least squares with store effects, for each weighting of stores; (resample, coefficient)."""
    stores = int(place.max()) + 1
    count = np.bincount(place, minlength=stores)
    columns = np.column_stack([design, target])
    means = np.stack([np.bincount(place, column, minlength=stores) / count for column in columns.T], axis=1)
    centered = columns - means[place]
    products = np.zeros((stores, columns.shape[1], columns.shape[1]))
    np.add.at(products, place, centered[:, :, None] * centered[:, None, :])
    moments = np.einsum("rs,skl->rkl", weight, products)
    solved: NDArray[np.float64] = np.linalg.solve(moments[:, :-1, :-1], moments[:, :-1, -1:])[:, :, 0]
    return solved
