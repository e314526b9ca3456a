"""Members of a shop's demand: draws of what was fitted, today's levels under each of them, and the counts' dispersion.

Slopes of members are spread evenly over the quantiles of their distribution, in random order, so that a few members
already have its mean; what was fitted beside a slope is drawn given the slope.
"""

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from flashsim.models.demand.day_tables import ProductDays
from flashsim.models.demand.dispersion import Dispersion, estimate_dispersion
from flashsim.models.demand.level_path import DAYS_OF_WEEK, RECENT, SLOPE, PathFit
from flashsim.models.demand.negative_binomial import WARM_UP_WEEKS, filter_levels
from flashsim.models.demand.pooled_slopes import PooledSlopes
from flashsim.models.demand.price_evidence import STEEPEST
from flashsim.models.price.usual_price import AWAY
from flashsim.season import season_terms

Array = NDArray[np.float64]
Fallback = Callable[[str, Array], Array]
"""Demand relative to that at list price (member, row), of a product at the logs of price ratios (row,)."""
BLOCK_WEEKS: Final = 2


class MemberDraws(NamedTuple):
    """What differs between members; log scale."""

    recent: Array  # member, product; of the units sold in the last four weeks, 0 on average
    slope: Array  # member, product
    promotion: Array  # member, product; of meaning where promotions are apart from prices
    weekday: Array  # member, product, weekday


class FoundLevels(NamedTuple):
    """Today's levels and what goes with them."""

    level: Array  # member, product; units a day at list price on an average weekday
    weekday_factor: Array  # member, weekday; mean 1
    spread: tuple[Dispersion, ...]  # member


def draw_members(
    fits: Sequence[PathFit], pooled: PooledSlopes, *, members: int, generator: np.random.Generator
) -> MemberDraws:
    """Draw ``members`` of the products."""
    recent, slope, promotion = np.empty((3, members, len(fits)))
    weekday = np.empty((members, len(fits), DAYS_OF_WEEK))
    for place, fit in enumerate(fits):
        even = ndtri((generator.permutation(members) + 0.5) / members)
        slope[:, place] = pooled.mean[place] + pooled.sd[place] * even
        carried = fit.covariance[SLOPE] / fit.covariance[SLOPE, SLOPE]
        rest = fit.covariance - np.outer(carried, fit.covariance[SLOPE])
        others = fit.mean + (slope[:, place] - fit.mean[SLOPE])[:, None] * carried
        noise = generator.standard_normal(others.shape)
        noise = (noise - noise.mean(axis=0)) * np.sqrt(members / max(members - 1, 1))  # members keep the mean
        others += noise @ _root(rest)
        recent[:, place] = others[:, RECENT] - fit.mean[RECENT]
        weekday[:, place] = fit.part(others, "weekday")
        promotion[:, place] = fit.part(others, "effects")[:, 0]
    return MemberDraws(recent, np.clip(slope, STEEPEST, 0.0), promotion, weekday)


def find_levels(
    days: Sequence[ProductDays],
    fits: Sequence[PathFit],
    draws: MemberDraws,
    *,
    known: NDArray[np.bool_],
    fallback: Fallback | None,
    generator: np.random.Generator,
) -> FoundLevels:
    """Levels with which each member sells, at the prices of the last four weeks, what the fitted path sold on them."""
    members = draws.slope.shape[0]
    weekday_factor = _weekday_factor(fits, draws)
    product = np.repeat(np.arange(len(days)), [day.price.size for day in days])
    shapes, level = [], np.empty(draws.slope.shape)
    for place, (day, fit) in enumerate(zip(days, fits, strict=True)):
        shape = np.exp(day.counts.log_ratio * draws.slope[:, place, None])
        rows = day.counts.is_recent
        if not known[place]:
            rows = _near_list(day, rows)
        if not known[place] and fallback is not None:
            asked = np.where(np.abs(day.counts.log_ratio) > AWAY, day.counts.log_ratio, 0.0)  # averages are one price
            shape = np.maximum(fallback(day.product_id, asked), 1e-12)
        if day.promoted is not None:
            shape = shape * np.exp(draws.promotion[:, place, None] * day.promoted)
        shape = shape * weekday_factor[:, day.counts.weekday]
        sold = fit.expected[rows].sum() * np.exp(draws.recent[:, place])
        level[:, place] = np.maximum(sold / shape[:, rows].sum(axis=1), 1e-6)
        waves = season_terms(day.counts.year_day) @ fit.part(fit.mean, "season")
        shapes.append(shape.mean(axis=0) * np.exp(waves))
    spread = _spreads(days, np.concatenate(shapes), product=product, members=members, generator=generator)
    return FoundLevels(level, weekday_factor, spread)


def _near_list(day: ProductDays, recent: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Of a product whose response is not known: the ``recent`` rows at list price, where they are half of them."""
    near: NDArray[np.bool_] = recent & (np.abs(day.counts.log_ratio) <= AWAY)
    return near if 2 * near.sum() >= recent.sum() else recent


def _root(covariance: Array) -> Array:
    """The symmetric root of a covariance: unlike others it moves as little as its covariance does."""
    values, vectors = np.linalg.eigh(covariance)
    root: Array = (vectors * np.sqrt(np.maximum(values, 0.0))) @ vectors.T
    return root


def _weekday_factor(fits: Sequence[PathFit], draws: MemberDraws) -> Array:
    """Weekdays of the whole shop: those of the products, weighted by what they sell."""
    sold = np.array([fit.completed.mean() for fit in fits])
    by_day = np.exp(draws.weekday)
    by_day /= by_day.mean(axis=2, keepdims=True)
    total = np.einsum("p,mpd->md", sold, by_day)
    factor: Array = total / total.mean(axis=1, keepdims=True)
    return factor


def _spreads(
    days: Sequence[ProductDays],
    shape: Array,
    *,
    product: NDArray[np.intp],
    members: int,
    generator: np.random.Generator,
) -> tuple[Dispersion, ...]:
    """Dispersion of each member around one-week-ahead levels, its blocks of weeks drawn with replacement; sold-out
    days do not count."""
    monday = min(day.date[0] - np.timedelta64(int(day.date[0].day_of_week), "D") for day in days)
    place = np.concatenate([(day.date - monday).days.to_numpy() for day in days])
    units_of, out = (np.concatenate([getattr(day.counts, name) for day in days]) for name in ("units", "sold_out"))
    scale = np.bincount(product, units_of) / np.bincount(product, shape)
    expected = np.where(out, 0.0, shape * scale[product])
    weeks = int(place.max()) // DAYS_OF_WEEK + 1
    units, mean = np.zeros((2, len(days), weeks, DAYS_OF_WEEK))
    units[product, place // DAYS_OF_WEEK, place % DAYS_OF_WEEK] = units_of
    mean[product, place // DAYS_OF_WEEK, place % DAYS_OF_WEEK] = expected
    ahead = mean * filter_levels(units, mean)[:, :, None]
    # a short table has no eight weeks to spare: the filter then sees a quarter of it
    warm = min(WARM_UP_WEEKS, weeks // 4) * DAYS_OF_WEEK
    seen, foreseen = (values.reshape(len(units), -1)[:, warm:] for values in (units, ahead))
    block = np.arange(weeks * DAYS_OF_WEEK)[warm:] // (BLOCK_WEEKS * DAYS_OF_WEEK)
    blocks = -(-weeks // BLOCK_WEEKS)
    counts = generator.multinomial(blocks, np.full(blocks, 1.0 / blocks), size=members).astype(np.float64)
    if not (foreseen > 0.0).any():
        return tuple(Dispersion(0.0, np.zeros(len(units))) for _ in counts)
    whole = np.ones(seen.shape[1])
    weights = [count[block] if (foreseen @ count[block]).any() else whole for count in counts]
    return tuple(estimate_dispersion(seen, foreseen, clumping=np.ones(len(units)), day_weight=w) for w in weights)
