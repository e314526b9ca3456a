"""Paired statistics of sales that are nested in worlds: arrays in, arrays out.

Every quantity here is the mean of a column of per-sale scores: a KPI, the difference of a KPI under two policies on
the same sale, a sign, the score of a tail mean or of a ratio. The design has two levels: M members (plausible worlds)
and, within each, the sales that drew it. Members are equally likely, so the estimate is the plain mean of the
members' means; in a balanced design that is the plain mean of the sales.

**Resampling.** Members are drawn with replacement, then sales within each drawn member. Done naively, that counts the
noise of sales twice and the spread of members too little (by 1 - 1/M, an eighth at 8 members). Both are corrected by
shrinking the members' means and inflating the residuals, so that the variance of the resampled means equals the
unbiased estimate max(variance of members' means, mean variance within) / M.
Source: Davison & Hinkley (1997), Bootstrap Methods and their Application, section 3.8; Gomes et al. (2012), Medical
Decision Making 32, 350-361 (two-stage bootstrap with shrinkage correction).

**Interval.** Percentiles of the resampled means, each pushed outward by the ratio of Student's quantile with M - 1
degrees of freedom to the normal one. Source: Hesterberg (2015), The American Statistician 69, 371-386 (expanded
percentiles); here the quantile is stretched instead of the level, which works from two members on. Simulated with 8
members of 50 normal sales and 95 % claimed, this covers 94 % where worlds differ much and 99 % where they do not differ
at all; the plain two-level percentile interval covers 87 % and 99 %, one that ignores members 18 % and 95 %. The
p-value counts the same stretched resamples, so interval and test cannot contradict each other.

**Skewness.** Where the members' means have a long tail, that interval is too short on the side of the tail (of 20
members from a lognormal law of skewness 3 it misses 9 %). So a claim needs Johnson's t too
(:mod:`flashsim.evaluation.skewness`): the interval has the outer ends of both, the p-value is the larger one. Two
intervals are not needed because one is wrong: Student's fails under skewness, Johnson's under heavy tails. False claims
at nominal 5 %, ``python -m tests.evaluation.claims``: docs/statistics.md. Fewer than ``FEWEST_MEMBERS`` members cannot
show their own skewness and make no claim. BCa was rejected: its correction of level knows nothing of the few members.

All resamples are shared by all columns. Scores are rounded to about 40 bits before the matrix product, which makes
every sum exact: the result does not depend on the threads or the order in which a linear-algebra library adds.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtri, poch, stdtrit

from flashsim.errors import InputError
from flashsim.evaluation.skewness import (
    NEGLIGIBLE,
    Skewed,
    hall_interval,
    johnson_interval,
    johnson_p_value,
    level_read,
    skewed,
)

Array = NDArray[np.float64]
FEWEST_MEMBERS = 8
"""With fewer worlds than this nothing is claimed of the worlds that there may be."""
RESAMPLES_A_BLOCK = 250  # bounds the memory of the weights; part of the random stream, so a constant


@dataclass(frozen=True)
class MemberDesign:
    """Which sale belongs to which member, sales ordered by member."""

    order: NDArray[np.intp]  # (sale,) places of the sales, sorted by member
    counts: NDArray[np.intp]  # (member,) sales of each member

    @property
    def member(self) -> NDArray[np.intp]:
        """(sale,) index of the member of each ordered sale."""
        return np.repeat(np.arange(self.counts.size), self.counts)

    @property
    def degrees_of_freedom(self) -> int:
        """Members less one; with a single member the sales less one (its spread over worlds is then unknown)."""
        return int(self.counts.size - 1) if self.counts.size > 1 else int(self.counts[0] - 1)

    def means(self, scores: Array) -> Array:
        """(member, column) means of ordered scores; no library reorders this sum."""
        ends = np.cumsum(self.counts)
        return np.stack([scores[end - n : end].mean(axis=0) for end, n in zip(ends, self.counts, strict=True)])


@dataclass(frozen=True)
class Resampled:
    """Means of columns with their bootstrap distribution."""

    mean: Array  # (column,)
    standard_error: Array  # (column,)
    draws: Array  # (resample, column) stretched deviations from the mean, ascending
    degrees_of_freedom: int
    moments: Skewed
    """Of the members' means; with a single member, of its sales."""
    members: int

    @property
    def is_claimable(self) -> bool:
        """False: too few worlds to tell. (A single member has no spread over worlds: its sales are what is judged.)"""
        return self.members == 1 or self.members >= FEWEST_MEMBERS

    def interval(self, confidence: float) -> tuple[Array, Array]:
        """Lower and upper end of the two-sided interval, each (column,); infinite where the members are too skewed to
        tell."""
        tail = (1.0 - _share("confidence", confidence)) / 2.0
        low, high = _sorted_quantile(self.draws, tail), _sorted_quantile(self.draws, 1.0 - tail)
        least, most = johnson_interval(self.moments, confidence)
        return np.minimum(self.mean + low, least), np.maximum(self.mean + high, most)

    def closed_interval(self, confidence: float) -> tuple[Array, Array]:
        """The same, with Hall's end in the place of one that cannot be told, which is no nearer than the bootstrap's.

        For what must be known to lie within a limit that may be far away.
        """
        (low, high), (least, most) = self.interval(confidence), hall_interval(self.moments, confidence)
        tail = (1.0 - _share("confidence", confidence)) / 2.0
        below, above = (self.mean + _sorted_quantile(self.draws, level) for level in (tail, 1.0 - tail))
        return (
            np.where(np.isinf(low), np.minimum(below, least), low),
            np.where(np.isinf(high), np.maximum(above, most), high),
        )

    def p_value(self) -> Array:
        """(column,) two-sided p-value of mean zero, at least 2 / (resamples + 1); 1 where nothing varies around 0, and
        where there are too few worlds to tell."""
        if not self.is_claimable:
            return np.ones_like(self.mean)
        values = self.mean + self.draws
        tails = np.minimum((values <= 0.0).sum(axis=0), (values >= 0.0).sum(axis=0))
        counted = np.minimum(1.0, 2.0 * (tails + 1.0) / (self.draws.shape[0] + 1.0))
        return np.maximum(counted, johnson_p_value(self.moments))


def member_design(members: ArrayLike) -> MemberDesign:
    """Sort sales by member; InputError when there are fewer than two sales."""
    labels = np.asarray(members)
    if labels.ndim != 1 or labels.size < 2:
        raise InputError(f"members: expected the members of at least 2 sales, got shape {labels.shape}")
    _, inverse = np.unique(labels, return_inverse=True)
    return MemberDesign(order=np.argsort(inverse, kind="stable"), counts=np.bincount(inverse))


def bootstrap_means(scores: ArrayLike, members: ArrayLike, *, resamples: int = 10_000, seed: int = 0) -> Resampled:
    """Hierarchical bootstrap of the mean of every column.

    scores: (sale, column), finite. members: (sale,) any labels. Pairs are kept whole by passing differences of the
    same sale. InputError on wrong shapes, non-finite scores or fewer than 100 resamples.
    """
    columns, design = _checked(scores, members), member_design(members)
    if resamples < 100:
        raise InputError(f"resamples must be at least 100, got {resamples}; 10000 is usual")
    ordered = columns[design.order]
    means = design.means(ordered)
    mean, spread, residuals, standard_error = _two_levels(ordered, design, means)
    spread, residuals = _exactly_summable(spread, spread.shape[0]), _exactly_summable(residuals, _most_draws(design))
    generator = np.random.default_rng(seed)
    draws = np.empty((resamples, mean.size))
    for start in range(0, resamples, RESAMPLES_A_BLOCK):
        stop = min(start + RESAMPLES_A_BLOCK, resamples)
        member_counts, sale_counts = _draw(generator, design, stop - start)
        draws[start:stop] = member_counts @ spread + sale_counts @ residuals
    units = means if design.counts.size > 1 else ordered
    return Resampled(
        mean=mean,
        standard_error=standard_error,
        draws=_stretched(draws, design.degrees_of_freedom),
        degrees_of_freedom=design.degrees_of_freedom,
        moments=skewed(units, error=standard_error),
        members=int(design.counts.size),
    )


def difference_of_means(one: Resampled, other: Resampled, *, confidence: float) -> tuple[Array, Array, Array]:
    """Means of ``one`` less those of ``other``, which share no member, and the ends of their intervals, each (column,).

    Student's t with the degrees of freedom of Welch and Satterthwaite. Source: Welch (1947), Biometrika 34.
    """
    variances = np.stack([one.standard_error**2, other.standard_error**2])
    freedom = np.array([one.degrees_of_freedom, other.degrees_of_freedom])
    total = variances.sum(axis=0)
    parts = (variances**2 / freedom[:, None]).sum(axis=0)
    degrees = np.divide(total**2, parts, out=np.full_like(total, freedom.sum()), where=parts > 0.0)
    reach = stdtrit(degrees, 0.5 + _share("confidence", confidence) / 2.0) * np.sqrt(total)
    difference = one.mean - other.mean
    return difference, difference - reach, difference + reach


def differences(one: ArrayLike, other: ArrayLike) -> Array:
    """``one`` less ``other``, (sale, column) each; what is below 1e-9 of the larger mean of the two is rounding, and 0.

    Without that, two sums of the same numbers in another order would differ with certainty.
    """
    left, right = np.asarray(one, dtype=np.float64), np.asarray(other, dtype=np.float64)
    scale = np.maximum(np.abs(left.mean(axis=0)), np.abs(right.mean(axis=0)))
    difference = left - right
    return np.where(np.abs(difference) <= NEGLIGIBLE * scale, 0.0, difference)


def improvement_scores(differences: ArrayLike) -> Array:
    """Scores whose mean is the probability that a sale improves: 1 where above zero, one half at a tie, else 0."""
    return (np.sign(np.asarray(differences, dtype=np.float64)) + 1.0) / 2.0


def ratio_scores(numerator: ArrayLike, denominator: ArrayLike, *, members: ArrayLike) -> Array:
    """Scores (sale,) whose mean is the ratio of the two means and whose spread is its delta-method spread.

    InputError when the mean of the denominator is not positive: a relative effect then has no meaning.
    """
    top, bottom = np.asarray(numerator, dtype=np.float64), np.asarray(denominator, dtype=np.float64)
    top_mean, bottom_mean = equal_member_means(np.stack([top, bottom], axis=1), members)
    if bottom_mean <= 0.0:
        raise InputError(f"the mean of the denominator must be positive, got {bottom_mean:g}; show differences")
    ratio = top_mean / bottom_mean
    return np.asarray(ratio + (top - ratio * bottom) / bottom_mean)


def cvar_scores(values: ArrayLike, *, members: ArrayLike, share: float = 0.1) -> Array:
    """Scores (sale, column) whose mean is CVaR: the mean of the worst (lowest) ``share`` of the sales.

    The quantile is held fixed in resampling, which is exact to first order because CVaR is stationary in it.
    Source: Rockafellar & Uryasev (2000), Journal of Risk 2(3), 21-41, equation 4.
    """
    share, columns, design = _share("share", share), _checked(values, members), member_design(members)
    weight = np.empty(columns.shape[0])
    weight[design.order] = 1.0 / (design.counts.size * design.counts[design.member])
    order = np.argsort(columns, axis=0, kind="stable")
    reached = np.cumsum(weight[order], axis=0) >= share - 1e-12
    quantile = np.take_along_axis(columns, order, axis=0)[reached.argmax(axis=0), np.arange(columns.shape[1])]
    return np.asarray(quantile - np.maximum(quantile - columns, 0.0) / share)


def equal_member_means(scores: ArrayLike, members: ArrayLike) -> Array:
    """(column,) mean over members of the members' means."""
    columns, design = _checked(scores, members), member_design(members)
    return np.asarray(design.means(columns[design.order]).mean(axis=0))


def within_member_intervals(scores: ArrayLike, members: ArrayLike, *, confidence: float = 0.95) -> tuple[Array, Array]:
    """Student intervals, each (member, column), of every member's mean over its own sales; NaN where there is one."""
    columns, design = _checked(scores, members), member_design(members)
    means = design.means(columns[design.order])
    error = np.sqrt(_variance_of_means(columns[design.order], design, means))
    quantile = stdtrit(np.maximum(design.counts - 1, 1), 0.5 + _share("confidence", confidence) / 2.0)
    reach = np.where(design.counts[:, None] > 1, quantile[:, None] * error, np.nan)
    return means - reach, means + reach


def holm(p_values: ArrayLike) -> Array:
    """Adjusted p-values that hold the chance of any false claim in the family; (…, pair), the last axis is the family.

    Source: Holm (1979), Scandinavian Journal of Statistics 6, 65-70.
    """
    given = np.asarray(p_values, dtype=np.float64)
    if given.ndim < 1 or not ((given >= 0.0) & (given <= 1.0)).all():
        raise InputError(f"p-values must be a vector within 0 and 1, got {given!r}")
    order = np.argsort(given, axis=-1, kind="stable")
    stepped = np.take_along_axis(given, order, axis=-1) * np.arange(given.shape[-1], 0, -1)
    adjusted = np.empty_like(given)
    np.put_along_axis(adjusted, order, np.minimum(1.0, np.maximum.accumulate(stepped, axis=-1)), axis=-1)
    return adjusted


def minimum_detectable_effect(
    standard_error: ArrayLike, degrees_of_freedom: int, *, alpha: float = 0.05, power: float = 0.8
) -> Array:
    """Smallest true difference that a claim at ``alpha`` finds with probability ``power``, about.

    (t[1 - alpha/2] + t[power]) standard errors, which is Student's, times 1 + 16·(ln alpha / ln .05)^1.7 / M² for M
    members: what it costs that Johnson's t must agree. Student's quantile is that of the level at which Johnson's t is
    read, which is alpha itself from 5 % on. Simulated with normal members this is within 2 % at alpha .05 (8 … 64
    members) and within 1 % at .01 (20 … 64); at .01 it is 7 % too small with 12 members, 16 % with 8 to 10.
    Source: Bloom (1995), Evaluation Review 19, 547-556.
    """
    members = degrees_of_freedom + 1
    alpha, power = _share("alpha", alpha), _share("power", power)
    cost = 1.0 + 16.0 * (np.log(alpha) / np.log(0.05)) ** 1.7 / members**2
    claimed = stdtrit(degrees_of_freedom, 1.0 - level_read(alpha, members) / 2.0)
    multiple = claimed + stdtrit(degrees_of_freedom, power)
    return np.asarray(cost * multiple * np.asarray(standard_error, dtype=np.float64))


def _checked(scores: ArrayLike, members: ArrayLike) -> Array:
    columns = np.asarray(scores, dtype=np.float64)
    sales = np.asarray(members).shape
    if columns.ndim != 2 or columns.shape[:1] != sales:
        raise InputError(f"scores: expected (sale, column) with {sales} sales, got {columns.shape}")
    if not np.isfinite(columns).all():
        bad = int(np.flatnonzero(~np.isfinite(columns).all(axis=0))[0])
        raise InputError(f"scores: column {bad} holds a value that is not finite; look at the rollout that made it")
    return columns


def _share(name: Literal["confidence", "alpha", "power", "share"], value: float) -> float:
    if not 0.0 < value < 1.0:
        raise InputError(f"{name} must lie between 0 and 1, got {value}")
    return value


def _variance_of_means(ordered: Array, design: MemberDesign, means: Array) -> Array:
    """(member, column) variance of each member's mean over its sales; 0 where one sale cannot tell."""
    squares = design.means((ordered - means[design.member]) ** 2)
    return np.asarray(squares / np.maximum(design.counts - 1, 1)[:, None])


def _two_levels(ordered: Array, design: MemberDesign, means: Array) -> tuple[Array, Array, Array, Array]:
    """Mean, what a drawn member adds (member, column), what a drawn sale adds (sale, column), standard error."""
    members = design.counts.size
    mean = np.asarray(means.mean(axis=0))
    within = _variance_of_means(ordered, design, means).mean(axis=0)
    between = means.var(axis=0, ddof=1) if members > 1 else np.zeros_like(mean)
    share_between = np.maximum(0.0, 1.0 - np.divide(within, between, out=np.ones_like(mean), where=between > 0.0))
    spread = (means - mean) * np.sqrt(share_between * members / max(members - 1, 1)) / members
    counts = design.counts[design.member][:, None]
    residuals = (ordered - means[design.member]) * np.sqrt(counts / np.maximum(counts - 1, 1)) / (members * counts)
    return mean, spread, residuals, np.asarray(np.sqrt(np.maximum(between, within) / members))


def _most_draws(design: MemberDesign) -> int:
    return int(design.counts.size * design.counts.max())


def _exactly_summable(scores: Array, terms: int) -> Array:
    """Round each column to a power-of-two step at which any sum of ``terms`` of its values is exact in float64."""
    bits = 52 - int(np.ceil(np.log2(max(terms, 2))))
    largest = np.abs(scores).max(axis=0)
    exponent = np.frexp(np.where(largest > 0.0, largest, 1.0))[1] - bits
    return np.asarray(np.ldexp(np.rint(np.ldexp(scores, -exponent)), exponent))


def _draw(generator: np.random.Generator, design: MemberDesign, resamples: int) -> tuple[Array, Array]:
    """How often each member (resample, member) and each ordered sale (resample, sale) was drawn."""
    members, sales = design.counts.size, int(design.counts.sum())
    slots = generator.integers(members, size=(resamples, members))
    rows = np.arange(resamples)[:, None]
    member_counts = np.bincount((rows * members + slots).ravel(), minlength=resamples * members)
    lengths = design.counts[slots]
    drawn = np.repeat(slots.ravel(), lengths.ravel())
    starts = np.cumsum(design.counts) - design.counts
    places = starts[drawn] + (generator.random(drawn.size) * design.counts[drawn]).astype(np.intp)
    places += np.repeat(np.arange(resamples) * sales, lengths.sum(axis=1))
    sale_counts = np.bincount(places, minlength=resamples * sales)
    return (
        member_counts.reshape(resamples, members).astype(np.float64),
        sale_counts.reshape(resamples, sales).astype(np.float64),
    )


def _stretched(draws: Array, degrees_of_freedom: int) -> Array:
    """Sort each column and push every quantile out by Student's over the normal quantile of the same level."""
    levels = (np.arange(draws.shape[0]) + 0.5) / draws.shape[0]
    normal = ndtri(levels)
    student = stdtrit(degrees_of_freedom, levels)
    log_density = np.log(poch(0.5 * degrees_of_freedom, 0.5)) - 0.5 * (np.log(degrees_of_freedom) + np.log(np.pi))
    at_median = 1.0 / np.sqrt(2.0 * np.pi) / np.exp(log_density)  # of the normal density over Student's
    away = np.abs(normal) > 1e-6
    ratio = np.where(away, student / np.where(away, normal, 1.0), at_median)
    return np.asarray(np.maximum.accumulate(np.sort(draws, axis=0) * ratio[:, None], axis=0))


def _sorted_quantile(ascending: Array, level: float) -> Array:
    place = level * (ascending.shape[0] - 1)
    below = int(np.floor(place))
    above = min(below + 1, ascending.shape[0] - 1)
    return np.asarray(ascending[below] + (place - below) * (ascending[above] - ascending[below]))
