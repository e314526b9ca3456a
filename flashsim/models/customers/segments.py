"""Segments of households and how they divide the demand of the panel. A shop's own buyers form three segments by rule.

A table that says what households bought, by department and over many weeks, lets the data choose the segments: customer
types (:mod:`flashsim.models.customers.mixture`). The people in a shop's own tables are few and seen briefly, so a rule
divides them. A person is a *deal seeker* when the share of regular value bought at 10 % off or more lies in the top
third, else a *regular* when visits are more frequent than the median of the rest, else *occasional*. Someone who
happened to buy much on deal in a week would look like a deal seeker and would also seem to respond strongly in that
same week. So the weeks are divided into two halves (even and odd blocks), and in each half the behavior in the *other*
half decides the segment.

Given the units y(p, w) of the panel, those of the segments are multinomial:

    share(p, s) ~ exp(level(p, s) + slope(p, s)·depth(p, w)),   slope(p, ·) ~ N(common slope, sd²)

So the segments add up to the demand model exactly, and week effects and frailties cancel. Left out: segments by age or
income (known for a third of the households), and people who change their segment for good.

Source: McCullagh & Nelder (1989), Generalized Linear Models, sec. 6.4 (multinomial from Poisson counts).
"""

from typing import Final, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from flashsim.data.panel import DAYS_OF_WEEK
from flashsim.errors import InputError

SEGMENTS: Final = ("deal seekers", "regulars", "occasional")
DEAL_DEPTH: Final = 0.10
"""A line at this depth or deeper was bought on deal."""
DEAL_SEEKER_SHARE: Final = 1.0 / 3.0
"""Share of households called deal seekers."""
LEVEL_SD: Final = 1.0
"""Prior standard deviation of a product's log share around the common log share."""
HALVES: Final = 2


class HouseholdSegments(NamedTuple):
    """Segment of each household in each half of the weeks."""

    household_ids: NDArray[np.int64]  # household; sorted
    segment: NDArray[np.intp]  # household, half; index into names, from behavior in the other half
    block_weeks: int
    names: tuple[str, ...]  # segment

    def of_lines(self, household: NDArray[np.intp], week: NDArray[np.intp]) -> NDArray[np.intp]:
        """Segment of each line, from its household (index) and week (index)."""
        return self.segment[household, half_of_week(week, block_weeks=self.block_weeks)]


def half_of_week(week: NDArray[np.intp], *, block_weeks: int) -> NDArray[np.intp]:
    """0 in even blocks of weeks, 1 in odd ones."""
    return (week // block_weeks) % HALVES


def segment_households(lines: pd.DataFrame, *, block_weeks: int = 4) -> HouseholdSegments:
    """Divide households by rule from clean sale lines of the whole shop (household_id, basket_id, day, regular_value,
    depth)."""
    week = (lines["day"] - lines["day"].min()).dt.days.to_numpy() // DAYS_OF_WEEK
    half = half_of_week(week.astype(np.intp), block_weeks=block_weeks)
    ids, household = np.unique(lines["household_id"].to_numpy(), return_inverse=True)
    if len(ids) < len(SEGMENTS):
        raise InputError(f"{len(ids)} households cannot be divided into {len(SEGMENTS)} segments; bring more")
    cell = household * HALVES + half
    size = len(ids) * HALVES
    value = lines["regular_value"].to_numpy()
    on_deal = np.bincount(cell, value * (lines["depth"].to_numpy() >= DEAL_DEPTH), minlength=size)
    total = np.bincount(cell, value, minlength=size)
    baskets = pd.DataFrame({"cell": cell, "basket": lines["basket_id"].to_numpy()}).drop_duplicates()
    weeks_in_half = np.bincount(half_of_week(np.arange(week.max() + 1), block_weeks=block_weeks), minlength=HALVES)
    visits = np.bincount(baskets["cell"], minlength=size).reshape(len(ids), HALVES) / np.maximum(weeks_in_half, 1)
    deal_share = (on_deal / np.maximum(total, 1e-12)).reshape(len(ids), HALVES)
    active = visits > 0
    deal_threshold = float(np.quantile(deal_share[active], 1.0 - DEAL_SEEKER_SHARE))
    seeks = active & (deal_share >= deal_threshold) & (deal_share > 0.0)
    others = active & ~seeks
    visits_threshold = float(np.median(visits[others])) if others.any() else 0.0
    behavior = np.where(seeks, 0, np.where(visits > visits_threshold, 1, 2))
    return HouseholdSegments(ids, behavior[:, ::-1].astype(np.intp), block_weeks, SEGMENTS)


class SegmentShares(NamedTuple):
    """Log-linear shares; the last segment is the reference (zeros)."""

    level: NDArray[np.float64]  # product, segment
    slope: NDArray[np.float64]  # product, segment; on depth
    common_slope: NDArray[np.float64]  # segment
    slope_sd: NDArray[np.float64]  # segment; products around the common slope

    def at(self, depth: NDArray[np.float64]) -> NDArray[np.float64]:
        """Shares (product, segment, depth); they add up to 1 over segments."""
        logits = self.level[:, :, None] + self.slope[:, :, None] * depth
        weights = np.exp(logits - logits.max(axis=1, keepdims=True))
        return weights / weights.sum(axis=1, keepdims=True)


def fit_shares(
    units: NDArray[np.float64], depth: NDArray[np.float64], *, clumping: NDArray[np.float64], iterations: int = 25
) -> SegmentShares:
    """Fit to ``units`` (product, week, segment) at ``depth`` (product, week).

    The counts are divided by ``clumping`` (product), because several units in one line are one decision.
    """
    counts = units / clumping[:, None, None]
    totals = counts.sum(axis=2)
    products, weeks, segments = units.shape
    free = segments - 1
    pooled = counts.sum(axis=(0, 1)) + 1.0
    common = np.zeros((free, 2))
    common[:, 0] = np.log(pooled[:free] / pooled[free])
    spread = np.tile((LEVEL_SD, 0.5), (free, 1))
    effects = np.tile(common, (products, 1, 1))
    design = np.stack([np.ones((products, weeks)), depth], axis=2)
    for _ in range(iterations):
        logits = np.concatenate([np.einsum("pwk,psk->pws", design, effects), np.zeros((products, weeks, 1))], axis=2)
        share = np.exp(logits - logits.max(axis=2, keepdims=True))
        share = (share / share.sum(axis=2, keepdims=True))[:, :, :free]
        gradient = np.einsum("pws,pwk->psk", counts[:, :, :free] - totals[:, :, None] * share, design)
        gradient -= (effects - common) / spread**2
        curvature = totals[:, :, None, None] * (
            share[:, :, :, None] * np.eye(free) - share[:, :, :, None] * share[:, :, None, :]
        )
        hessian = np.einsum("pwst,pwk,pwl->psktl", curvature, design, design, optimize=True)
        hessian = hessian.reshape(products, 2 * free, 2 * free) + np.diag((1.0 / spread**2).ravel())
        inverse = np.linalg.inv(hessian)
        step = np.einsum("pab,pb->pa", inverse, gradient.reshape(products, -1))
        effects = effects + np.clip(step, -1.0, 1.0).reshape(products, free, 2)
        variance = np.diagonal(inverse, axis1=1, axis2=2).reshape(products, free, 2)
        common = effects.mean(axis=0)
        spread = np.sqrt(((effects - common) ** 2 + variance).mean(axis=0))
    full = np.concatenate([effects, np.zeros((products, 1, 2))], axis=1)
    return SegmentShares(full[:, :, 0], full[:, :, 1], np.append(common[:, 1], 0.0), np.append(spread[:, 1], 0.0))


def hour_profiles(
    counts: NDArray[np.float64],
    *,
    prior_units: float = 500.0,
    smoothing: tuple[float, float, float] = (0.25, 0.5, 0.25),
) -> NDArray[np.float64]:
    """Share of a day's units by hour (group, segment, hour), from units ``counts`` of the same shape.

    Each profile is shrunk towards its segment's profile over all groups, as if ``prior_units`` more units had been seen
    there, and the segment's profile likewise towards the overall profile. Then it is smoothed over neighboring hours
    around the clock.
    """
    everybody = counts.sum(axis=(0, 1)) + 1.0
    segment = counts.sum(axis=0) + prior_units * everybody / everybody.sum()
    segment /= segment.sum(axis=1, keepdims=True)
    profile = counts + prior_units * segment
    left, center, right = smoothing
    profile = left * np.roll(profile, 1, axis=2) + center * profile + right * np.roll(profile, -1, axis=2)
    shares: NDArray[np.float64] = profile / profile.sum(axis=2, keepdims=True)
    return shares
