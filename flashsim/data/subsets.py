"""Views of a shop's tables: some of its weeks, or some of its stores, as a shop of their own.

A World calibrated from later weeks, or from other stores, is new to a policy or a model. So it tests whether what was
learned applies elsewhere. Other stores are as close to another platform as one table allows: baskets, assortment and
hours differ, while the products and their list prices are known. Stores are divided by their sales, largest first; each
goes to the half that has sold less so far. So both halves have about the same size, and no store is in both.

Left out: households that shop in stores of both halves (they are in both views, each with its own baskets).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import pandas as pd

from flashsim.data.clean import (
    FUEL_PRODUCT_TYPE,
    RowAccount,
    clean_promotions,
    clean_transactions,
    find_weighed_products,
    first_whole_week,
    to_local_time,
)
from flashsim.data.panel import DAYS_OF_WEEK, Panel, build_panel
from flashsim.data.sources import ShopTables
from flashsim.errors import InputError

HALF_YEARS: Final = ("early_weeks", "later_weeks")
VIEWS: Final = ("all", *HALF_YEARS, "home_stores", "other_stores")
"""Names of :func:`view_of`."""
HALVES: Final = 2


@dataclass(frozen=True)
class ShopView(ShopTables):
    """Tables of which only some weeks or stores are visible."""

    weeks: tuple[int, int] | None = None
    """First week and one past the last week kept, counted from the first whole week; None: all."""
    store_ids: tuple[int, ...] | None = None
    """Stores kept; None: all."""

    def __post_init__(self) -> None:
        """Refuse an empty view."""
        if self.weeks is not None and not 0 <= self.weeks[0] < self.weeks[1]:
            raise InputError(f"weeks: expected 0 <= first < last, got {self.weeks}")
        if self.store_ids is not None and not self.store_ids:
            raise InputError("store_ids: expected at least one store, got none")

    def read_transactions(self) -> pd.DataFrame:
        """The lines of the visible weeks and stores, validated; promotions stay complete, keyed by store and week."""
        lines = super().read_transactions()
        keep = np.ones(len(lines), dtype=bool)
        if self.store_ids is not None:
            keep &= lines["store_id"].isin(self.store_ids).to_numpy()
        if self.weeks is not None:
            day = to_local_time(lines["transaction_timestamp"], self.time_zone).dt.normalize()
            week = ((day - first_whole_week(day)).dt.days // DAYS_OF_WEEK).to_numpy()
            keep &= (week >= self.weeks[0]) & (week < self.weeks[1])
        if not keep.any():
            raise InputError(f"no sale line is in view: weeks {self.weeks}, stores {self.store_ids}; choose others")
        return lines[keep].reset_index(drop=True)


def some_weeks(tables: ShopTables, first: int, *, last: int) -> ShopView:
    """Weeks first … last - 1 of ``tables``, counted from the first whole week."""
    return _view(tables, f"{tables.name}, weeks {first} to {last - 1}", weeks=(first, last))


def some_stores(tables: ShopTables, store_ids: Sequence[int], *, what: str) -> ShopView:
    """The given stores of ``tables``; ``what`` is their name."""
    return _view(tables, f"{tables.name}, {what}", store_ids=tuple(sorted(store_ids)))


def deal_stores(tables: ShopTables) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Divide the stores into two disjoint sets of about equal sales: home and other. InputError with only one store."""
    lines = tables.read_transactions()
    products = tables.read_products()
    fuel = products.loc[products["product_type"] == FUEL_PRODUCT_TYPE, "product_id"]
    value = lines[~lines["product_id"].isin(fuel)].groupby("store_id")["sales_value"].sum()
    if len(value) < HALVES:
        raise InputError(f"the tables hold {len(value)} store, two platforms need two; bring more or choose weeks")
    halves: tuple[list[int], list[int]] = ([], [])
    sold = [0.0, 0.0]
    for store, sales in value.sort_values(ascending=False, kind="stable").items():
        half = int(sold[1] < sold[0])
        halves[half].append(int(str(store)))
        sold[half] += float(sales)
    return tuple(halves[0]), tuple(halves[1])


def view_of(tables: ShopTables, view: str) -> ShopTables:
    """A view of ``tables``: unchanged (all), the first or second half of their weeks, or the home or other half of
    stores."""
    if view not in VIEWS:
        raise InputError(f"view: expected one of {', '.join(VIEWS)}, got {view!r}")
    if view in ("home_stores", "other_stores"):
        home, other = deal_stores(tables)
        return some_stores(tables, home if view == "home_stores" else other, what=view.replace("_", " "))
    if view == "all":
        return tables
    stamps = to_local_time(tables.read_transactions()["transaction_timestamp"], tables.time_zone)
    day = stamps.dt.normalize()
    weeks = int((day.max() - first_whole_week(day)).days) // DAYS_OF_WEEK + 1
    half = weeks // 2
    return some_weeks(tables, 0, last=half) if view == "early_weeks" else some_weeks(tables, half, last=weeks)


def _view(
    tables: ShopTables,
    name: str,
    *,
    weeks: tuple[int, int] | None = None,
    store_ids: tuple[int, ...] | None = None,
) -> ShopView:
    view = ShopView(tables.folder, name, tables.time_zone, tables.currency, tables.notice)
    return replace(view, weeks=weeks, store_ids=store_ids)


def shared_panels(home: ShopTables, other: ShopTables, *, count: int, held_out_weeks: int) -> tuple[Panel, Panel]:
    """Panels of two shops over the same weeks and the same products: the ``count`` products that sell well in both.

    Products are ranked by the smaller of their shares of either shop's units before the last ``held_out_weeks``.
    InputError when no week remains before these.
    """
    account = RowAccount()
    products = home.read_products()
    shops = [
        clean_transactions(shop.read_transactions(), products, time_zone=shop.time_zone, account=account)
        for shop in (home, other)
    ]
    start, end = max(lines["day"].min() for lines in shops), min(lines["day"].max() for lines in shops)
    shops = [lines[(lines["day"] >= start) & (lines["day"] <= end)].reset_index(drop=True) for lines in shops]
    ranking_weeks = int((end - start).days) // DAYS_OF_WEEK + 1 - held_out_weeks
    if ranking_weeks < 1:
        raise InputError(f"no week is left before the {held_out_weeks} held out; hold out fewer")
    weighed = set.union(*(find_weighed_products(lines) for lines in shops))
    early = start + pd.Timedelta(weeks=ranking_weeks)
    sold = [lines[lines["day"] < early].groupby("product_id")["quantity"].sum() for lines in shops]
    least = pd.concat([units / units.sum() for units in sold], axis=1).min(axis=1, skipna=False).dropna()
    ranked = least[~least.index.isin(weighed)].sort_values(ascending=False, kind="stable").index[:count]
    panels = []
    for shop, lines in zip((home, other), shops, strict=True):
        selected = lines[lines["product_id"].isin(ranked)].reset_index(drop=True)
        promotions = clean_promotions(
            shop.read_promotions(ranked.tolist()), rows_in_file=shop.count_promotions(), account=account
        )
        panel = build_panel(
            selected, all_lines=lines, products=products, promotions=promotions, early_weeks=ranking_weeks
        )
        panels.append(_in_order(panel, [int(product) for product in ranked]))
    return panels[0], panels[1]


def _in_order(panel: Panel, product_ids: list[int]) -> Panel:
    """``panel`` with its products in the order of ``product_ids``."""
    place = np.array([panel.product_ids.index(product) for product in product_ids])
    arrays = ("group_of", "units", "depth", "display", "mailer", "list_price", "clumping")
    return replace(
        panel,
        product_ids=tuple(product_ids),
        product_names=tuple(panel.product_names[p] for p in place),
        **{name: getattr(panel, name)[place] for name in arrays},
    )
