"""Past shelf promotions of a shop with till lines: each predicted from the lines before its first Monday.

At an origin (a Monday) everything is made anew from the lines before it: which products are modelled, their groups,
list prices, weights of stores, panel, demand model (:mod:`flashsim.models.demand.negative_binomial`), contrast of
displays, level filter and dispersion. Episodes that begin in one week share that fit.

    units ~ negative binomial of mean level·base·Σ_weeks exp(x(week)·slopes) and dispersion alpha
    slopes ~ N(fitted, Laplace variance), that of the depth at least 0;   expected: the same at the usual offer

The usual offer is the quartile of depth, display and mailer over the last eight weeks. alpha is measured on totals of
weeks, around one-week-ahead forecasts of the weeks before: it holds the error of the level. The weeks of an episode are
taken to err together.

The depth of a plan is measured on the lines of its own week, as a shop that knows its plan would know it: means by
store, with the weights that stores had before. It is the only thing that is read of later lines.

Left out: what another product's promotion does, and regular prices that change.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Final, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from flashsim.data.clean import RowAccount, clean_promotions, clean_transactions
from flashsim.data.panel import DAYS_OF_WEEK, Panel, build_panel, select_products
from flashsim.data.sources import ShopTables
from flashsim.fidelity.promotions.episodes import (
    DRAWS,
    FEWEST_EXPECTED,
    LEAST_DEPTH,
    LONGEST_DAYS,
    USUAL_DAYS,
    USUAL_QUANTILE,
    Outcome,
    Prediction,
    draw_units,
    episode_length,
    log_ratio,
)
from flashsim.models.demand.dispersion import estimate_dispersion
from flashsim.models.demand.display import contrast_displays, store_cells
from flashsim.models.demand.negative_binomial import DEPTH, WARM_UP_WEEKS, DemandModel, filter_levels, fit_demand
from flashsim.models.forecasting.backtest import demand_table

Array = NDArray[np.float64]
FIRST_ORIGIN: Final = WARM_UP_WEEKS + 2
"""Weeks before the first origin."""
LONGEST_WEEKS: Final = LONGEST_DAYS // DAYS_OF_WEEK
USUAL_WEEKS: Final = USUAL_DAYS // DAYS_OF_WEEK
FEWEST_KNOWN: Final = 4
"""Weeks of the last eight in which the depth must be known, or there is no usual price."""
FIRST_SCORED: Final = 16
"""Episodes of the weeks before it are history of the rivals alone."""
MODELLED_PRODUCTS: Final = 600
"""Best sellers at each origin; of the next one fewer than ``FEWEST_EXPECTED`` units a week are sold."""
_LINES: Final = ["product_id", "store_id", "household_id", "quantity", "unit_price", "depth", "day", "hour", "week"]
_CANDIDATES: Final = 2
"""So many times as many products by what they sold hold those modelled: some are sold by weight, and left out."""


class ShelfTables(NamedTuple):
    """Cleaned tables of a shop."""

    lines: pd.DataFrame
    """Sale lines, from the first Monday on; ``panel_week`` counts weeks from 0."""
    products: pd.DataFrame
    promotions: pd.DataFrame
    """Product, store, the shop's number of the week, display, mailer."""

    @property
    def weeks(self) -> int:
        """Number of weeks."""
        return int(self.lines["panel_week"].max()) + 1

    def before(self, origin: int) -> "ShelfTables":
        """What was known on the Monday of week ``origin``."""
        lines = self.lines[self.lines["panel_week"] < origin]
        return self._replace(lines=lines, promotions=self.promotions[self.promotions["week"] <= lines["week"].max()])


class ShelfPlan(NamedTuple):
    """What a shop plans from a Monday on."""

    product: int
    """Place in the panel of the weeks before."""
    offers: Array
    """Depth, display and mailer (week, covariate)."""
    usual: Array
    """The usual offer (covariate,)."""
    depth: float
    """Mean share below the usual price."""


def read_shelf_tables(tables: ShopTables, *, products: int = MODELLED_PRODUCTS) -> ShelfTables:
    """Read and clean; promotions are read for those products alone that may be modelled at any origin."""
    account = RowAccount()
    named = tables.read_products()
    lines = clean_transactions(tables.read_transactions(), named, time_zone=tables.time_zone, account=account)[_LINES]
    week = ((lines["day"] - lines["day"].min()).dt.days // DAYS_OF_WEEK).to_numpy()
    sold = lines.groupby(["product_id", week])["quantity"].sum().unstack(fill_value=0).cumsum(axis=1)
    ids = sorted({int(name) for origin in sold.columns for name in sold[origin].nlargest(_CANDIDATES * products).index})
    promotions = clean_promotions(tables.read_promotions(ids), rows_in_file=tables.count_promotions(), account=account)
    return ShelfTables(lines.assign(panel_week=week), named, promotions)


def origins(weeks: int) -> range:
    """Weeks in which episodes are looked for."""
    return range(FIRST_ORIGIN, weeks)


def shelf_outcomes(
    tables: ShopTables, *, products: int, seed: int, progress: Callable[[int, int], None]
) -> list[Outcome]:
    """All episodes of ``tables``, predicted and as they happened, one origin after the other."""
    read = read_shelf_tables(tables, products=products)
    found: list[Outcome] = []
    for done, origin in enumerate(origins(read.weeks)):
        found += outcomes_at(read, origin=origin, products=products, seed=seed)
        progress(done + 1, len(origins(read.weeks)))
    return found


def outcomes_at(tables: ShelfTables, *, origin: int, products: int, seed: int) -> list[Outcome]:
    """The episodes that begin in week ``origin``, predicted before it, and what was sold in them."""
    known = tables.before(origin)
    panel = panel_before(known, products=products)
    plans = find_plans(tables, panel, origin=origin)
    predictions = predict(known, panel, plans, seed=seed)
    sold = _units_from(tables, origin)
    return [
        Outcome(told, float(sum(sold.get((int(told.product_id), week), 0.0) for week in _weeks_of(told))))
        for told in predictions
        if told.expected >= FEWEST_EXPECTED
    ]


def panel_before(known: ShelfTables, *, products: int) -> Panel:
    """The panel of the best sellers of the weeks that are ``known``."""
    weeks = known.weeks
    chosen = select_products(known.lines, count=products, ranking_weeks=weeks, account=RowAccount())
    shown = known.promotions[known.promotions["product_id"].isin(chosen["product_id"].unique())]
    return build_panel(chosen, all_lines=known.lines, products=known.products, promotions=shown, early_weeks=weeks)


def find_plans(tables: ShelfTables, panel: Panel, *, origin: int) -> list[ShelfPlan]:
    """Episodes that begin in week ``origin`` and end before the tables do."""
    depth, shares = _planned(tables, panel, origin=origin)
    recent = panel.depth[:, -USUAL_WEEKS:]
    is_known = (~np.isnan(recent)).sum(axis=1) >= FEWEST_KNOWN
    usual = np.full((panel.n_products, 3), np.nan)
    usual[is_known, DEPTH] = np.nanquantile(recent[is_known], 1.0 - USUAL_QUANTILE, axis=1)
    for place, part in enumerate((panel.display, panel.mailer), start=1):
        usual[:, place] = np.quantile(part[:, -USUAL_WEEKS:], 1.0 - USUAL_QUANTILE, axis=1)
    paid = np.maximum(1.0 - usual[:, DEPTH], 1e-6)
    below = 1.0 - (1.0 - depth) / paid[:, None]
    before = 1.0 - (1.0 - panel.depth[:, -1]) / paid
    plans = []
    for product in np.flatnonzero((below[:, 0] >= LEAST_DEPTH) & ~(before >= LEAST_DEPTH)):
        length = episode_length(below[product] >= LEAST_DEPTH, longest=LONGEST_WEEKS)
        if length is not None:
            offers = np.concatenate([depth[product, :length, None], shares[product, :length]], axis=1)
            plans.append(ShelfPlan(int(product), offers, usual[product], float(below[product, :length].mean())))
    return plans


def predict(known: ShelfTables, panel: Panel, plans: Sequence[ShelfPlan], *, seed: int) -> list[Prediction]:
    """Predict the ``plans`` that begin right after the weeks ``known``, of which ``panel`` is made."""
    if not plans:
        return []
    weeks = known.weeks
    shown = known.promotions[known.promotions["product_id"].isin(panel.product_ids)]
    chosen = known.lines[known.lines["product_id"].isin(panel.product_ids)]
    display = contrast_displays(store_cells(chosen, shown, panel=panel), group_of=panel.group_of, weeks=weeks)
    table = demand_table(panel, weeks=weeks)
    model = fit_demand(table, display=display)
    fitted = model.expected_units(table.covariates) * table.exposure
    next_week = np.ones((panel.n_products, 1, DAYS_OF_WEEK))
    levels = filter_levels(
        np.concatenate([panel.units, 0.0 * next_week], axis=1), np.concatenate([fitted, next_week], axis=1)
    )
    weekly = slice(WARM_UP_WEEKS, None)
    alpha = estimate_dispersion(
        panel.units.sum(axis=2)[:, weekly],
        (fitted.sum(axis=2) * levels[:, :-1])[:, weekly],
        clumping=panel.clumping,
    ).alpha
    base = levels[:, -1] * np.exp(model.intercept) * np.exp(model.weekday_effect).sum(axis=1)[model.group_of]
    return [
        _predict_one(plan, panel, model, base=float(base[plan.product]), alpha=float(alpha[plan.product]), seed=seed)
        for plan in plans
    ]


def _predict_one(
    plan: ShelfPlan, panel: Panel, model: DemandModel, *, base: float, alpha: float, seed: int
) -> Prediction:
    product, weeks = panel.product_ids[plan.product], len(plan.offers)
    generator = np.random.default_rng((seed, product, panel.n_weeks))
    fitted, error = model.slopes[plan.product], np.sqrt(model.slope_variance[plan.product])
    slopes = fitted + error * generator.standard_normal((DRAWS, fitted.size))
    slopes[:, DEPTH] = np.maximum(slopes[:, DEPTH], 0.0)
    expected = base * weeks * float(np.exp(plan.usual @ fitted))
    lift = np.exp((plan.offers - plan.usual) @ slopes.T).mean(axis=0)
    clumping = float(panel.clumping[plan.product])
    units = draw_units(expected * lift, alpha=alpha, clumping=clumping, generator=generator)
    start = panel.n_weeks * DAYS_OF_WEEK
    return Prediction(
        product_id=str(product),
        category=panel.groups[panel.group_of[plan.product]],
        start=start,
        stop=start + weeks * DAYS_OF_WEEK,
        depth=plan.depth,
        expected=expected,
        draws=log_ratio(units, expected),
    )


def _planned(tables: ShelfTables, panel: Panel, *, origin: int) -> tuple[Array, Array]:
    """Depth (product, week), NaN where unknown, and shares on display and in the mailer (product, week, 2) from
    ``origin`` on, with the stores' weights of the weeks before."""
    ids, weeks = list(panel.product_ids), range(origin, min(origin + LONGEST_WEEKS + 1, tables.weeks))
    past = tables.lines["panel_week"] < origin
    traffic = tables.lines.loc[past].groupby("store_id").size().astype(float)
    ours = tables.lines["product_id"].isin(ids)
    later = tables.lines.loc[~past & ours & (tables.lines["panel_week"] < weeks.stop)]
    means = later.groupby(["product_id", "panel_week", "store_id"])["depth"].mean().reset_index()
    means["weight"] = means["store_id"].map(traffic).fillna(0.0)
    means["weighted"] = means["weight"] * means["depth"]
    total = means.groupby(["product_id", "panel_week"])[["weighted", "weight"]].sum()
    known = total[total["weight"] > 0.0]
    depth = (known["weighted"] / known["weight"]).unstack().reindex(index=ids, columns=weeks).to_numpy(np.float64)

    listed = tables.lines.loc[past & ours, ["product_id", "store_id"]].drop_duplicates()
    listed["weight"] = listed["store_id"].map(traffic)
    stores = listed.groupby("product_id")["weight"].sum().reindex(ids).to_numpy(np.float64)
    numbers = tables.lines.loc[~past].groupby("week")["panel_week"].first()
    shown = tables.promotions.assign(panel_week=tables.promotions["week"].map(numbers)).dropna(subset=["panel_week"])
    shown = shown.merge(listed, on=["product_id", "store_id"])
    shares = [
        (shown[flag] * shown["weight"])
        .groupby([shown["product_id"], shown["panel_week"]])
        .sum()
        .unstack()
        .reindex(index=ids, columns=weeks)
        .fillna(0.0)
        .to_numpy(np.float64)
        / stores[:, None]
        for flag in ("display", "mailer")
    ]
    return depth, np.stack(shares, axis=2)


def _units_from(tables: ShelfTables, origin: int) -> dict[tuple[int, int], float]:
    """Units by product and week from ``origin`` on."""
    later = tables.lines[tables.lines["panel_week"] >= origin]
    units = later.groupby(["product_id", "panel_week"])["quantity"].sum()
    return dict(zip(units.index.to_flat_index(), units.to_numpy(np.float64).tolist(), strict=True))


def _weeks_of(told: Prediction) -> Iterable[int]:
    return range(told.start // DAYS_OF_WEEK, told.stop // DAYS_OF_WEEK)
