"""Past promotions in a shop's own table of daily sales: each predicted from the rows before its week.

Episodes are found by day from prices alone. All that begin in one week (Monday to Sunday) are predicted from the rows
before that Monday, with the model of such shops (:mod:`flashsim.models.demand.daily_totals`):

    units ~ negative binomial of mean Σ_days level·exp(slope·ln(price / list price) + promotion + weekday + season)
    level such that the last four weeks sell what the fitted path sold on them, at their prices and promotions

Slopes are drawn towards category and literature, with what every product told when it was fitted last: in a week in
which an episode of its begins, and at least every ``REFIT_WEEKS`` weeks. Draws of level, slope, promotion and weekdays
are joint; the level goes on walking to the middle of the episode as it did before.

Only the ``MOST_PRODUCTS`` that sold best before the first origin are looked at. Episodes with a sold-out day are left
out: what would have been sold is not known. Left out too: the base World's response, which a World takes for products
that have none of their own; here they have that of their category and of the literature.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

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
from flashsim.fidelity.promotions.scores import judge, not_judged, score_outcomes
from flashsim.models.demand.day_tables import ProductDays, days_of, lay_out_products, without_demand
from flashsim.models.demand.level_path import DAYS_OF_WEEK, PathFit, fit_path
from flashsim.models.demand.member_levels import draw_members
from flashsim.models.demand.pooled_slopes import PooledSlopes, pool_slopes
from flashsim.models.price.price_response import FEWEST_DAYS
from flashsim.season import season_terms

Array = NDArray[np.float64]
REFIT_WEEKS: Final = 4
MOST_PRODUCTS: Final = 100
FEWEST_USUAL: Final = 42
"""Days of the last eight weeks on which a price must be known, or there is no usual one."""
LEAST_DAYS: Final = 90
"""A shorter table is not back-tested."""


class ShopPlan(NamedTuple):
    """What a shop plans for one product; rows are days."""

    product_id: str
    start: int
    """First day, counted from the table's first Monday on or before its first day."""
    price: Array
    promoted: Array
    """0 or 1."""
    usual: float
    """Usual price."""


class _Fitted(NamedTuple):
    days: ProductDays
    fit: PathFit
    week: int


def judge_shop(
    sales: pd.DataFrame, *, groups: Mapping[str, str], seed: int, progress: Callable[[int, int], None]
) -> dict[str, Any]:
    """The back-test of a checked table as plain values; a reason where it is short or has few episodes."""
    days = int((sales["date"].max() - sales["date"].min()).days) + 1
    if days < LEAST_DAYS:
        return not_judged(f"sales_data covers {days} days, {LEAST_DAYS} are needed", episodes=0)
    return judge(score_outcomes(shop_outcomes(sales, groups=groups, seed=seed, progress=progress)), seed=seed)


def shop_outcomes(
    sales: pd.DataFrame,
    *,
    groups: Mapping[str, str],
    seed: int,
    progress: Callable[[int, int], None],
) -> list[Outcome]:
    """All episodes of a checked table (as :func:`flashsim.models.demand.daily_totals.learn_demand` takes it), predicted
    and as they happened."""
    table, monday = lay_out_days(sales)
    plans = find_shop_plans(table)
    weeks = sorted({plan.start // DAYS_OF_WEEK for plan in plans})
    fitted: dict[str, _Fitted] = {}
    found = []
    for done, week in enumerate(weeks):
        starting = [plan for plan in plans if plan.start // DAYS_OF_WEEK == week]
        past = table[table["place"] < week * DAYS_OF_WEEK]
        for plan, told in predict_shop_plans(past, starting, groups=groups, fitted=fitted, monday=monday, seed=seed):
            if told.expected >= FEWEST_EXPECTED:
                found.append(Outcome(told, _sold(table, plan)))
        progress(done + 1, len(weeks))
    return found


def lay_out_days(sales: pd.DataFrame) -> tuple[pd.DataFrame, pd.Timestamp]:
    """The rows of the products that sold best before any episode can begin, with ``place``, days since the Monday on or
    before the first day; and that Monday."""
    first = sales["date"].min()
    monday = first - pd.Timedelta(days=int(first.day_of_week))
    early = sales[sales["date"] < first + pd.Timedelta(days=FEWEST_USUAL)]
    best = early.groupby("product_id")["sales"].sum().sort_values(ascending=False, kind="stable").index[:MOST_PRODUCTS]
    table = sales[sales["product_id"].isin(best)]
    return table.assign(place=(table["date"] - monday).dt.days), monday


def find_shop_plans(table: pd.DataFrame) -> list[ShopPlan]:
    """Episodes of a table that is laid out, by product and day."""
    plans = []
    for product, rows in table.groupby("product_id", sort=True):
        plans += _plans_of(str(product), rows.sort_values("place", kind="stable"))
    return plans


def _plans_of(product: str, rows: pd.DataFrame) -> list[ShopPlan]:
    place, price = rows["place"].to_numpy(np.intp), rows["price"].to_numpy(np.float64)
    out = rows["sold_out"].to_numpy(bool)
    promoted = rows["promotion"].to_numpy(np.float64) if "promotion" in rows.columns else np.zeros(price.size)
    plans, row = [], 1
    while row < price.size:
        recent = price[:row][place[:row] >= place[row] - USUAL_DAYS]
        usual = float(np.quantile(recent, USUAL_QUANTILE)) if recent.size >= FEWEST_USUAL else np.nan
        limit = (1.0 - LEAST_DEPTH) * usual
        if not (price[row] <= limit < price[row - 1]):
            row += 1
            continue
        length = episode_length(price[row : row + LONGEST_DAYS + 1] <= limit, longest=LONGEST_DAYS)
        if length is None:
            row += 1
            continue
        inside = slice(row, row + length)
        if place[inside][-1] - place[row] == length - 1 and not out[inside].any():
            plans.append(ShopPlan(product, int(place[row]), price[inside], promoted[inside], usual))
        row += length
    return plans


def predict_shop_plans(
    past: pd.DataFrame,
    plans: list[ShopPlan],
    *,
    groups: Mapping[str, str],
    fitted: dict[str, _Fitted],
    monday: pd.Timestamp,
    seed: int,
) -> list[tuple[ShopPlan, Prediction]]:
    """Predict ``plans`` of one week from the rows ``past`` before it; writes new fits into ``fitted``, whose older ones
    rest on earlier rows alone."""
    week = plans[0].start // DAYS_OF_WEEK
    wanted = {plan.product_id for plan in plans}
    _refit(past, wanted, fitted, week=week)
    names = sorted(fitted)
    if not names:
        return []
    pooled = pool_slopes(
        np.array([fitted[name].fit.slope for name in names]),
        np.array([fitted[name].fit.slope_error for name in names]),
        [groups.get(name, "no group") for name in names],
    )
    told = []
    for plan in plans:
        if plan.product_id in fitted and fitted[plan.product_id].week == week:
            at = names.index(plan.product_id)
            own = PooledSlopes(pooled.mean[at : at + 1], pooled.sd[at : at + 1])
            category = groups.get(plan.product_id, "no group")
            told.append((plan, _predict_one(plan, fitted[plan.product_id], own, category, monday=monday, seed=seed)))
    return told


def _refit(past: pd.DataFrame, wanted: set[str], fitted: dict[str, _Fitted], *, week: int) -> None:
    """Fit the products that are ``wanted`` and those known that were fitted ``REFIT_WEEKS`` weeks ago or earlier."""
    due = wanted | {name for name, known in fitted.items() if known.week <= week - REFIT_WEEKS}
    rows = past[past["product_id"].isin(due)]
    if rows.empty:
        return
    rows = rows[~rows["product_id"].isin(list(without_demand(rows, fewest_rows=FEWEST_DAYS)))]
    if rows.empty:
        return
    for product in lay_out_products(rows.drop(columns="place")).products:
        days = days_of(product)
        fitted[days.product_id] = _Fitted(days, fit_path(days.counts), week)


def _predict_one(
    plan: ShopPlan, known: _Fitted, pooled: PooledSlopes, category: str, *, monday: pd.Timestamp, seed: int
) -> Prediction:
    days, fit = known.days, known.fit
    digits = [ord(letter) for letter in plan.product_id]
    generator = np.random.default_rng((seed, plan.start, *digits))
    draws = draw_members([fit], pooled, members=DRAWS, generator=generator)
    slope, weekday = draws.slope[:, 0, None], draws.weekday[:, 0]
    promotion = draws.promotion[:, 0, None] * (days.promoted is not None)
    waves = fit.part(fit.mean, "season")

    def shape(log_price: Array, promoted: Array, dates: pd.DatetimeIndex) -> Array:
        """Units (draw, day) over the level."""
        season = season_terms(dates.day_of_year.to_numpy().astype(np.float64)) @ waves
        by_weekday = weekday[:, dates.day_of_week.to_numpy()]
        return np.exp(slope * log_price + promotion * promoted + by_weekday + season)

    recent = days.counts.is_recent
    before = days.promoted[recent] if days.promoted is not None else np.zeros(int(recent.sum()))
    sold = fit.expected[recent].sum() * np.exp(draws.recent[:, 0])
    level = sold / shape(days.counts.log_ratio[recent], before, days.date[recent]).sum(axis=1)
    length = plan.price.size
    dates = pd.DatetimeIndex(monday + pd.to_timedelta(plan.start + np.arange(length), unit="D"))
    ahead = (dates[0] - days.date[-1]).days + 0.5 * length
    level = level * np.exp(fit.walk * np.sqrt(ahead / DAYS_OF_WEEK) * generator.standard_normal(DRAWS))
    listed = np.log(plan.usual / days.history.list_price)
    nothing = np.zeros(length)
    expected = float(np.median(level * shape(np.full(length, listed), nothing, dates).sum(axis=1)))
    mean = level * shape(np.log(plan.price / days.history.list_price), plan.promoted, dates).sum(axis=1)
    units = draw_units(mean, alpha=fit.alpha / length, clumping=1.0, generator=generator)
    return Prediction(
        product_id=plan.product_id,
        category=category,
        start=plan.start,
        stop=plan.start + length,
        depth=float(1.0 - (plan.price / plan.usual).mean()),
        expected=expected,
        draws=log_ratio(units, expected),
    )


def _sold(table: pd.DataFrame, plan: ShopPlan) -> float:
    rows = table[(table["product_id"] == plan.product_id) & (table["place"] >= plan.start)]
    return float(rows.loc[rows["place"] < plan.start + plan.price.size, "sales"].sum())
