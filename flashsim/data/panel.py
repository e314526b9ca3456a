"""A panel of sales: units of each product on each day, with zeros, and the offer of each week.

Sold lines show only what was bought. The panel adds the days without a sale between a product's first and last sale. An
offer (depth, display, mailer) lasts a week and may differ by store. It is averaged over the stores that ever sold the
product, weighted by the till lines of the store. Weights by the product's own units would give stores with deep
discounts too much weight and flatten the response. A store's depth is known only in weeks in which it sold the product.
Elsewhere the mean of the stores that did sell it takes its place, on days without a sale too. A week in which no store
sold the product has no known depth (NaN): see :func:`impute_depth`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Final, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from flashsim.data.clean import RowAccount, find_weighed_products
from flashsim.errors import InputError

DAYS_OF_WEEK: Final = 7
SMALLEST_GROUP: Final = 4
"""Smaller categories are pooled by department, and smaller departments into one group; number of modelled products."""
PROMOTED_SHARE: Final = 0.5
"""A product counts as promoted in a week if more than this share of its stores displayed or mailed it."""


@dataclass(frozen=True)
class Panel:
    """Rectangles of product x week (x day, Monday first); weeks are whole."""

    product_ids: tuple[int, ...]
    """Products, best selling first."""
    product_names: tuple[str, ...]
    """Type and package size."""
    groups: tuple[str, ...]
    """Group names, sorted."""
    group_of: NDArray[np.intp]  # product; index into groups
    """Category, or department where the category is small."""
    first_monday: date
    """First day of the first week."""
    units: NDArray[np.float64]  # product, week, day; units
    """Units sold in all stores."""
    is_open: NDArray[np.bool_]  # week, day
    """Days on which the shop sold anything."""
    depth: NDArray[np.float64]  # product, week; share of list price, NaN where unknown
    """Store-weighted discount depth."""
    display: NDArray[np.float64]  # product, week; share of stores
    """Store-weighted share on display."""
    mailer: NDArray[np.float64]  # product, week; share of stores
    """Store-weighted share in the mailer."""
    list_price: NDArray[np.float64]  # product; currency/unit
    """Median regular unit price."""
    clumping: NDArray[np.float64]  # product; >= 1
    """E[q²]/E[q] of the units q in an early line: how buying several units at once adds to the variance of a count."""

    @property
    def n_products(self) -> int:
        """Number of products."""
        return len(self.product_ids)

    @property
    def n_weeks(self) -> int:
        """Number of weeks."""
        return int(self.units.shape[1])


class SaleLines(NamedTuple):
    """The lines behind a panel, as arrays; one element a line."""

    product: NDArray[np.intp]  # index into the panel
    household: NDArray[np.intp]  # index into the household_ids of the call
    week: NDArray[np.intp]  # index into the panel
    day: NDArray[np.intp]  # 0 Monday … 6 Sunday
    hour: NDArray[np.intp]  # local hour of day
    units: NDArray[np.float64]


def select_products(
    lines: pd.DataFrame, *, count: int, ranking_weeks: int, always: Sequence[int] = (), account: RowAccount
) -> pd.DataFrame:
    """Lines of ``always`` and of the ``count`` products by the piece that sold best in the first ``ranking_weeks``.

    Only early weeks rank the products, so later sales cannot decide which products judge a forecast.
    """
    weighed = lines["product_id"].isin(find_weighed_products(lines)).to_numpy()
    early = (lines["day"] < lines["day"].min() + pd.Timedelta(weeks=ranking_weeks)).to_numpy()
    units = lines[~weighed & early].groupby("product_id")["quantity"].sum()
    absent = [product for product in always if product not in units.index]
    if absent:
        raise InputError(f"product {absent[0]} has no sale by the piece in the table; choose another")
    ranked = units.sort_values(ascending=False, kind="stable").index
    chosen = lines["product_id"].isin({*ranked[:count], *always}).to_numpy()
    account.drop("transactions", "sold by weight: quantity counts lines, value is of a line", weighed.sum())
    account.drop("transactions", "not among the products modelled", (~weighed & ~chosen).sum())
    return lines[chosen].reset_index(drop=True)


def build_panel(
    lines: pd.DataFrame,
    *,
    all_lines: pd.DataFrame,
    products: pd.DataFrame,
    promotions: pd.DataFrame,
    early_weeks: int,
) -> Panel:
    """Aggregate selected ``lines``; ``all_lines`` of the shop give store weights and opening days.

    What a forecast of later weeks uses beside the panel's rectangles (clumping) comes from the ``early_weeks``.
    """
    lines = lines.reset_index(drop=True)
    units = lines.groupby("product_id")["quantity"].sum().sort_values(ascending=False, kind="stable")
    product_ids = tuple(int(product) for product in units.index)
    first_monday = all_lines["day"].min() - pd.Timedelta(days=int(all_lines["day"].min().weekday()))
    n_weeks = (all_lines["day"].max() - first_monday).days // DAYS_OF_WEEK + 1
    shape = (len(product_ids), n_weeks, DAYS_OF_WEEK)
    households = np.unique(lines["household_id"].to_numpy())
    index = sale_lines(lines, product_ids=product_ids, household_ids=households, first_monday=first_monday.date())
    counts = np.zeros(shape)
    np.add.at(counts, (index.product, index.week, index.day), index.units)
    is_open = np.zeros(shape[1:], dtype=bool)
    is_open.flat[(all_lines["day"].drop_duplicates() - first_monday).dt.days.to_numpy()] = True
    named = products.set_index("product_id").loc[list(product_ids)]
    groups = group_products(named)
    group_names = tuple(sorted(set(groups)))
    week_numbers = _week_numbers(all_lines, first_monday)
    depth, display, mailer = _offers(lines, all_lines, promotions, index=index, week_numbers=week_numbers, shape=shape)
    by_product = lines.groupby("product_id")
    return Panel(
        product_ids=product_ids,
        product_names=tuple(_name(row.product_type, row.package_size) for row in named.itertuples()),
        groups=group_names,
        group_of=np.array([group_names.index(group) for group in groups], dtype=np.intp),
        first_monday=first_monday.date(),
        units=counts,
        is_open=is_open,
        depth=depth,
        display=display,
        mailer=mailer,
        list_price=by_product["unit_price"].median().loc[list(product_ids)].to_numpy(dtype=np.float64),
        clumping=_clumping(index, products=len(product_ids), weeks=early_weeks),
    )


def sale_lines(
    lines: pd.DataFrame, *, product_ids: Sequence[int], household_ids: NDArray[np.int64], first_monday: date
) -> SaleLines:
    """Positions of ``lines`` among products, sorted ``household_ids``, weeks, days and hours."""
    days = (lines["day"] - pd.Timestamp(first_monday)).dt.days.to_numpy()
    place = pd.Series(np.arange(len(product_ids)), index=list(product_ids))
    return SaleLines(
        product=place.loc[lines["product_id"]].to_numpy(dtype=np.intp),
        household=np.searchsorted(household_ids, lines["household_id"]).astype(np.intp),
        week=(days // DAYS_OF_WEEK).astype(np.intp),
        day=(days % DAYS_OF_WEEK).astype(np.intp),
        hour=lines["hour"].to_numpy(dtype=np.intp),
        units=lines["quantity"].to_numpy(dtype=np.float64),
    )


def on_sale(units: NDArray[np.float64], is_open: NDArray[np.bool_]) -> NDArray[np.float64]:
    """1 on open days between a product's first and last sale in ``units`` (product, week, day), else 0."""
    flat = units.reshape(len(units), -1) > 0
    started = np.maximum.accumulate(flat, axis=1)
    unfinished = np.maximum.accumulate(flat[:, ::-1], axis=1)[:, ::-1]
    exposure: NDArray[np.float64] = ((started & unfinished).reshape(units.shape) & is_open).astype(np.float64)
    return exposure


def impute_depth(panel: Panel, *, known_weeks: int) -> NDArray[np.float64]:
    """Fill unknown depths: depth (product, week) without gaps.

    A week in which no store sold the product takes the product's mean depth in the weeks among the first
    ``known_weeks`` with the same promotion status (more than half of its stores displayed or mailed it, which the
    promotion table shows whatever was sold). Without such weeks it takes the product's mean depth. It never takes 0 by
    default: that would inflate the slope.
    """
    depth = panel.depth.copy()
    observed = ~np.isnan(depth)
    promoted = np.maximum(panel.display, panel.mailer) > PROMOTED_SHARE
    early = np.arange(panel.n_weeks) < known_weeks
    overall = float(depth[observed & early].mean()) if (observed & early).any() else 0.0
    product_mean = _row_means(depth, observed & early, default=np.full(panel.n_products, overall))
    for status in (False, True):
        same = promoted == status
        fill = _row_means(depth, observed & early & same, default=product_mean)
        depth = np.where(~observed & same, fill[:, None], depth)
    return depth


def group_products(named: pd.DataFrame) -> list[str]:
    """Group of each row: its category; its department if the category is small; 'other' if that is small too."""
    category = named["product_category"].fillna("unknown").str.lower()
    department = "other " + named["department"].str.lower()
    large = category.map(category.value_counts()) >= SMALLEST_GROUP
    group = category.where(large, department)
    large = group.map(group.value_counts()) >= SMALLEST_GROUP
    return list(group.where(large, "other"))


def _clumping(index: SaleLines, *, products: int, weeks: int) -> NDArray[np.float64]:
    """E[q²]/E[q] by product over lines of the first ``weeks``; a product without lines takes that of all products."""
    early = index.week < weeks
    product, units = index.product[early], index.units[early]
    square, total = (np.bincount(product, units**power, minlength=products) for power in (2, 1))
    overall = max(float(square.sum() / total.sum()), 1.0) if total.any() else 1.0
    return np.where(total > 0.0, square / np.maximum(total, 1.0), overall)


def _row_means(
    values: NDArray[np.float64], mask: NDArray[np.bool_], *, default: NDArray[np.float64]
) -> NDArray[np.float64]:
    count = mask.sum(axis=1)
    total = np.where(mask, values, 0.0).sum(axis=1)
    return np.where(count > 0, total / np.maximum(count, 1), default)


def _week_numbers(all_lines: pd.DataFrame, first_monday: pd.Timestamp) -> NDArray[np.int64]:
    """The shop's own number of each week of the panel, which is the key of promotions."""
    week = (all_lines["day"] - first_monday).dt.days // DAYS_OF_WEEK
    numbers = all_lines.groupby(week)["week"].agg(["min", "max"])
    wrong = numbers[numbers["min"] != numbers["max"]]
    if len(wrong):
        monday = (first_monday + pd.Timedelta(weeks=int(wrong.index[0]))).date()
        raise InputError(f"the week of {monday} carries week numbers {wrong.iloc[0].tolist()}; check the time zone")
    return numbers["min"].reindex(range(int(week.max()) + 1), fill_value=-1).to_numpy(dtype=np.int64)


def _offers(
    lines: pd.DataFrame,
    all_lines: pd.DataFrame,
    promotions: pd.DataFrame,
    *,
    index: SaleLines,
    week_numbers: NDArray[np.int64],
    shape: tuple[int, int, int],
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Depth, display and mailer (product, week), each a store-weighted mean over the stores that ever sold it."""
    traffic = all_lines.groupby("store_id").size().astype(float)
    cells = pd.DataFrame({"product": index.product, "week": index.week, "store_id": lines["store_id"].to_numpy()})
    means = lines["depth"].groupby([cells["product"], cells["week"], cells["store_id"]]).mean().reset_index()
    weight = means["store_id"].map(traffic).to_numpy()
    total, sold = np.zeros(shape[:2]), np.zeros(shape[:2])
    place = (means["product"].to_numpy(), means["week"].to_numpy())
    np.add.at(total, place, weight * means["depth"].to_numpy())
    np.add.at(sold, place, weight)
    depth = np.where(sold > 0.0, total / np.maximum(sold, 1e-300), np.nan)

    listed = cells.drop_duplicates(["product", "store_id"])
    listing = np.bincount(listed["product"], weights=listed["store_id"].map(traffic), minlength=shape[0])
    product_of = lines["product_id"].groupby(index.product).first()
    product_place = pd.Series(product_of.index, index=product_of.to_numpy())
    week_place = pd.Series(np.arange(shape[1]), index=week_numbers)
    rows = promotions.assign(
        product=promotions["product_id"].map(product_place), place=promotions["week"].map(week_place)
    ).dropna(subset=["product", "place"])
    rows = rows.astype({"product": int, "place": int}).merge(
        listed[["product", "store_id"]], on=["product", "store_id"]
    )
    shares = []
    for flag in ("display", "mailer"):
        share = np.zeros(shape[:2])
        np.add.at(share, (rows["product"], rows["place"]), rows[flag] * rows["store_id"].map(traffic))
        shares.append(share / listing[:, None])
    return depth, shares[0], shares[1]


def _name(product_type: object, package_size: object) -> str:
    """Type and size in lower case with a capital first letter. The table cuts long types off, so an open bracket is
    removed."""
    words = " ".join(str(product_type).split()).capitalize() if isinstance(product_type, str) else "Unnamed product"
    while words.count("(") > words.count(")"):
        words = words[: words.rindex("(")].strip()
    return f"{words} ({' '.join(package_size.split()).lower()})" if isinstance(package_size, str) else words
