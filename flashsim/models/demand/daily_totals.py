"""Demand of a shop from its own table of sales: one row a product and day, no households.

    E[demand] = level·(price / list price)^elasticity·exp(promotion·promoted)·weekday·season        by product

1. Each product is fitted alone (:mod:`flashsim.models.demand.level_path`): a level that moves from week to week, beside
   it the response to price, promotions, weekdays and, with a year of data, a season. A sell-out says only that demand
   was at least what was sold. An instrument, or the price that a product's week shares, takes up prices that followed
   demand (:mod:`flashsim.models.price.price_control`).
2. Elasticities are drawn towards category and literature (:mod:`flashsim.models.demand.pooled_slopes`); which product
   has a response of its own is judged in :mod:`flashsim.models.demand.price_evidence`.
3. The level is today's: with it the World sells, at the prices that were asked in the last four weeks, what the fitted
   path sold on them. It is told at the list price of today (:mod:`flashsim.models.price.usual_price`) on an average
   weekday, in the season of those weeks. The path forgets at the pace that the product's own weeks show, where updates
   (:mod:`flashsim.calibration.refresh`) forget at one pace for all: it is nearer to the truth, most of all for products
   that sell little.
4. The extra variance of the counts is measured around one-week-ahead levels on days that did not sell out
   (:mod:`flashsim.models.demand.dispersion`).

Members differ by draws from the joint distribution of what was fitted, and by the blocks of two weeks from which
dispersion is measured.

A check fails loudly: the fitted path, at the prices that were asked, sells what was sold in each month within 10 % and
four standard errors. A product that does not keep it is left out, with the month. So is one that never sold, has fewer
than ``FEWEST_DAYS`` days, sells too unevenly for the model, or whose demand has no visible upper end: it sold out on
more than ``MOST_SOLD_OUT`` of its days, or on every Monday (or every other weekday).

Left out: the effect of one product's price on another's demand, demand pulled forward, and how many units one purchase
holds (a daily total does not show it: it counts as frailty).
"""

from collections.abc import Callable, Mapping
from typing import Final, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from flashsim.errors import InputError
from flashsim.models.demand.day_tables import (
    LaidOut,
    ProductDays,
    ProductRows,
    days_of,
    lay_out_products,
    without_demand,
)
from flashsim.models.demand.dispersion import Dispersion
from flashsim.models.demand.level_path import DAYS_OF_WEEK, SEASON_DAYS, PathFit, fit_path
from flashsim.models.demand.member_levels import Fallback, draw_members, find_levels
from flashsim.models.demand.pooled_slopes import PooledSlopes, pool_slopes
from flashsim.models.demand.price_evidence import INTERVAL_SDS, PriceEvidence, judge_response, sold_out_promotions
from flashsim.models.price.price_effects import basis_words, fieller_interval
from flashsim.models.price.price_response import FEWEST_DAYS
from flashsim.models.price.usual_price import AWAY, RECENT_DAYS
from flashsim.parallel import apply_in_order
from flashsim.season import REFERENCE_DAYS, LevelDays

SEEN_DEPTHS: Final = 0.95
"""Share of the discounted days whose depth is within what the World supports."""
MOST_UNEVEN: Final = 3.0
"""A larger dispersion of a product that sells ``FEWEST_A_DAY`` units a day or more is not that of daily sales."""
FEWEST_A_DAY: Final = 2.0
MONTH_TOLERANCE: Final = 0.1
MONTH_ERRORS: Final = 4.0
"""A fitted path may miss a month's units by 10 % and four standard errors."""
Array = NDArray[np.float64]


class ShopDemand(NamedTuple):
    """What a table of sales shows; the member is the first axis."""

    product_ids: tuple[str, ...]
    list_price: Array  # product; currency/unit; today's
    level: Array  # member, product; units on an average day at list price, not promoted; today's
    elasticity: Array  # member, product; NaN where it is not the product's own
    promotion_effect: Array | None  # member, product; log scale; None where not identified
    weekday_factor: Array  # member, weekday; mean 1
    season: Array  # product, wave; log scale; 0 where the table does not tell it (level_path.season_terms)
    drift: Array  # product; variance by which the log level moves a day
    spread: tuple[Dispersion, ...]  # member
    supported_depth: float | None  # None where no product has a response
    price_over_list: float  # revenue over the value of the same units at list prices, last eight weeks
    units_over_list: float  # expected units at the actual prices, over those at list prices without promotion
    evidence: tuple[PriceEvidence, ...]  # product
    left_out: dict[str, str]  # product: why it has no demand
    unidentified: dict[str, str]  # product: why it has no response of its own
    words: tuple[str, ...]  # what the responses rest on


def learn_demand(
    sales: pd.DataFrame,
    *,
    members: int,
    generator: np.random.Generator,
    progress: Callable[[int, int], None],
    groups: Mapping[str, str] | None = None,
    fallback: Fallback | None = None,
    workers: int = 0,
) -> ShopDemand:
    """Learn from a checked table (date, product_id, sales, price, sold_out, and optional columns).

    ``groups`` are the categories of the products, ``fallback`` the response of a product that has none of its own:
    without it the level of such a product rests on the literature. Products are fitted in so many ``workers``
    (:mod:`flashsim.parallel`). InputError when no product remains to learn from.
    """
    left_out = without_demand(sales, fewest_rows=FEWEST_DAYS)
    kept = sales[~sales["product_id"].isin(list(left_out))]
    table = lay_out_products(kept) if len(kept) else LaidOut((), "", np.empty(0))
    days: list[ProductDays] = []
    fits: list[PathFit] = []
    for product, fit in apply_in_order(_fitted, table.products, workers=workers, progress=progress):
        why = misfit(product, fit)
        if why:
            left_out[product.product_id] = why
        else:
            days.append(product)
            fits.append(fit)
    if not days:
        first, why = next(iter(left_out.items()))
        raise InputError(f"sales_data: no product can be learned: {first} {why}; check sales and stock_out")
    categories = [(groups or {}).get(product.product_id, "no group") for product in days]
    hidden = [sold_out_promotions(product.price, product.history, product.counts.sold_out) for product in days]
    pooled = _pooled(days, fits, categories, hidden)
    evidence = _judged(days, fits, pooled, hidden)
    known = np.array([not told.why_not for told in evidence])
    draws = draw_members(fits, pooled, members=members, generator=generator)
    found = find_levels(days, fits, draws, known=known, fallback=fallback, generator=generator)
    seasons = np.stack([fit.part(fit.mean, "season") for fit in fits])
    return ShopDemand(
        product_ids=tuple(product.product_id for product in days),
        list_price=np.array([product.history.list_price for product in days]),
        level=found.level * _season_since(days, seasons),
        elasticity=np.where(known, draws.slope, np.nan),
        promotion_effect=draws.promotion if days[0].promoted is not None else None,
        weekday_factor=found.weekday_factor,
        season=seasons,
        drift=np.array([fit.walk**2 / DAYS_OF_WEEK for fit in fits]),
        spread=found.spread,
        supported_depth=_supported_depth(days, known),
        price_over_list=_price_over_list(days),
        units_over_list=_units_over_list(days, fits, pooled),
        evidence=tuple(evidence),
        left_out=left_out,
        unidentified={day.product_id: told.why_not for day, told in zip(days, evidence, strict=True) if told.why_not},
        words=_words(table, days, evidence),
    )


def _fitted(product: ProductRows) -> tuple[ProductDays, PathFit]:
    days = days_of(product)
    return days, fit_path(days.counts)


def misfit(product: ProductDays, fit: PathFit) -> str:
    """Why the fitted path does not describe the product; empty where it does."""
    if fit.alpha >= MOST_UNEVEN and fit.completed.mean() >= FEWEST_A_DAY:
        return "sells too unevenly for the model: its days differ by far more than prices, weekdays and weeks tell"
    month = product.date.year.to_numpy() * 12 + product.date.month.to_numpy() - 1
    for number in np.unique(month):
        rows = month == number
        sold, expected = float(fit.completed[rows].sum()), float(fit.expected[rows].sum())
        error = float(np.sqrt((fit.expected[rows] * (1.0 + fit.alpha * fit.expected[rows])).sum()))
        if abs(expected - sold) > MONTH_TOLERANCE * sold + MONTH_ERRORS * error:
            return (
                f"does not sell as the model says: in {number // 12}-{number % 12 + 1:02} it expects {expected:,.0f} "
                f"units, {sold:,.0f} were sold"
            )
    return ""


def _pooled(days: list[ProductDays], fits: list[PathFit], categories: list[str], hidden: list[str]) -> PooledSlopes:
    """Elasticities drawn towards category and literature; a weak instrument widens what a product tells, and one whose
    promotions sold out (``hidden``) tells nothing."""
    error = np.empty(len(days))
    for place, (product, fit) in enumerate(zip(days, fits, strict=True)):
        error[place] = np.inf if hidden[place] else fit.slope_error
        if np.isfinite(product.strength) and np.isfinite(error[place]):
            rho = float(fit.part(fit.mean, "effects")[-1])
            bounds = fieller_interval(fit.slope, fit.slope_error, rho=rho, strength=product.strength, c=INTERVAL_SDS)
            error[place] = max((bounds[1] - bounds[0]) / (2.0 * INTERVAL_SDS), fit.slope_error)
    return pool_slopes(np.array([fit.slope for fit in fits]), error, categories)


def _judged(
    days: list[ProductDays], fits: list[PathFit], pooled: PooledSlopes, hidden: list[str]
) -> list[PriceEvidence]:
    out = []
    for place, (product, fit) in enumerate(zip(days, fits, strict=True)):
        at_list = fit.expected * np.exp(-pooled.mean[place] * product.counts.log_ratio)
        out.append(
            judge_response(
                product.price,
                product.history,
                fit=fit,
                mean=float(pooled.mean[place]),
                sd=float(pooled.sd[place]),
                largest_day=float(fit.completed.max()),
                level=float(at_list[product.counts.is_recent].mean()),
                hidden=hidden[place],
            )
        )
    return out


def _season_since(days: list[ProductDays], seasons: Array) -> Array:
    """Season of the table's last four weeks over that of the product's own (product,): 1 unless its rows end before."""
    last = max(product.date[-1] for product in days).date()
    own = [
        LevelDays(day.date[-1].date().isoformat(), (tuple(map(float, waves)),), (0.0,))
        for day, waves in zip(days, seasons, strict=True)
    ]
    return np.array([float(one.moved_to(last)[1][0]) for one in own])


def _supported_depth(days: list[ProductDays], known: NDArray[np.bool_]) -> float | None:
    """The depth within which most discounted days of products with a response lie."""
    depth = np.concatenate(
        [np.zeros(0), *(1.0 - np.exp(days[place].counts.log_ratio) for place in np.flatnonzero(known))]
    )
    deep = depth[depth > AWAY]
    return float(np.quantile(deep, SEEN_DEPTHS)) if deep.size else None


def _price_over_list(days: list[ProductDays]) -> float:
    """Revenue of the last eight weeks over the value of the same units at list prices."""
    paid = sum(float((day.price * day.counts.units)[-RECENT_DAYS:].sum()) for day in days)
    value = sum(float(day.history.list_price * day.counts.units[-RECENT_DAYS:].sum()) for day in days)
    return min(paid / value, 1.0) if value > 0.0 else 1.0


def _units_over_list(days: list[ProductDays], fits: list[PathFit], pooled: PooledSlopes) -> float:
    """Expected units at the actual prices over those at list prices without promotion."""
    actual, at_list = 0.0, 0.0
    for place, (product, fit) in enumerate(zip(days, fits, strict=True)):
        lift = pooled.mean[place] * product.counts.log_ratio
        if product.promoted is not None:
            lift = lift + fit.part(fit.mean, "effects")[0] * product.promoted
        actual += float(fit.expected.sum())
        at_list += float((fit.expected * np.exp(-lift)).sum())
    return actual / at_list


def _words(table: LaidOut, days: list[ProductDays], evidence: list[PriceEvidence]) -> tuple[str, ...]:
    """What the responses rest on, and what should make a reader doubt, one sentence each."""
    words: list[str] = []
    is_told = not all(told.why_not for told in evidence)
    if is_told or table.basis == "instrument":
        words += basis_words(table.basis, table.first_stage_f, tuple(day.product_id for day in table.products))
    if is_told:
        words.append("Elasticities are drawn towards their category and towards published ones (mean -2.6, sd 2.2).")
    spans = [int(product.counts.day[-1] - product.counts.day[0]) + 1 for product in days]
    if min(spans) < SEASON_DAYS:
        words.append(
            f"The season was not learned for {sum(span < SEASON_DAYS for span in spans)} of {len(spans)} products: it "
            f"needs a year of data, the shortest table has {min(spans)} days."
        )
    last = max(product.date[-1] for product in days)
    for product, told in zip(days, evidence, strict=True):
        words += [f"{product.product_id}: {flag}." for flag in told.flags]
        behind = (last - product.date[-1]).days
        if behind > REFERENCE_DAYS:
            words.append(f"{product.product_id}: its last row is {behind} days older than the table's.")
    return tuple(words)
