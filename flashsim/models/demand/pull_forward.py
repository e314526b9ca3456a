"""Whether discounts only pull demand forward: what a household buys in the weeks after a purchase at a discount.

Totals cannot answer this (they show no dip after a promotion); households can. Take every purchase (household i,
product p, week w) and ask whether the household buys the product again k weeks later. If purchases of different weeks
were independent, the expected number would be

    m = r(p, s, w + k) · (a_p + n_other) / (a_p + R_other)

where r is the share of the *other* households of segment s that buy p in that week (so r includes the offer, season and
stock of that week). n_other is what the household bought of p in all weeks but w + k, and R_other what it would have
bought at those shares. 1/a_p measures how much households differ in their taste for p. This is the posterior mean of a
gamma-Poisson model: it compares a household that buys rarely, or only at deep discounts, with itself. The observed
purchases are fitted by

    E[y] = m · exp(alpha + gamma · depth(p, w))

once for the week w + k and once for its mirror image w - k. The depth of a purchase cannot change anything before it.
So gamma before shows only who buys at depth (people who buy the product less regularly, beyond what m knows about
them), and the same people buy after it. The change of rebuying for 30 points more depth is therefore

    exp(.3·(gamma after - gamma before)) - 1

Intervals draw households and blocks of weeks, each with replacement, and take one Newton step (Davidson & MacKinnon
1999). "About zero" is an answer: it is given when the interval of the sum over the weeks contains zero. (On Complete
Journey gamma after alone says -5 % in every week, and gamma before says the same.)

Source: Neslin & Stone (1996), Marketing Letters 7(1), "Consumer inventory sensitivity and the postpromotion dip";
Hendel & Nevo (2006), RAND Journal of Economics 37(3) (stockpiling in household panels); Davidson & MacKinnon (1999),
International Economic Review 40 (bootstrap by one step); Owen (2007), Annals of Applied Statistics 1. Left out:
purchases of another product of the category instead, and more units in one purchase.
"""

from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from flashsim.data.panel import Panel, SaleLines
from flashsim.models.customers.segments import HALVES, HouseholdSegments, half_of_week
from flashsim.models.forecasting.validation import Interval, bootstrap_interval

WEEKS_AFTER: Final = 4
DEEPER: Final = 0.3
"""Difference of depth to which the change refers."""
RESAMPLES: Final = 500
FEWEST: Final = 30
"""An estimate needs this many purchases that another purchase follows."""
ALIKE: Final = 100.0
"""Largest value of a: households then hardly differ."""


class PullForward(NamedTuple):
    """How 30 points more depth change the purchases that follow."""

    after: tuple[Interval, ...]  # week after; relative change of rebuying
    total: Interval  # change of purchases in these weeks together, for each purchase
    purchases: int

    @property
    def is_about_zero(self) -> bool:
        """Whether the interval of the total contains zero."""
        return self.total.low <= 0.0 <= self.total.high

    def sentence(self) -> str:
        """The finding in words."""
        weeks = ", ".join(f"{interval.value:+.0%}" for interval in self.after)
        found = "about zero" if self.is_about_zero else ("pulled forward" if self.total.value < 0 else "more follows")
        return (
            f"buying {DEEPER * 100:.0f} points deeper changes rebuying in the {len(self.after)} weeks after by {weeks} "
            f"or {self.total.value:+.3f} purchases for each ({self.total.low:+.3f} to {self.total.high:+.3f}): "
            f"{found}"
        )

    def as_json(self) -> dict[str, Any]:
        """Plain values for a provenance."""
        return {
            "sentence": self.sentence(),
            "is_about_zero": self.is_about_zero,
            "deeper": DEEPER,
            "purchases": self.purchases,
            "weeks_after": [interval._asdict() for interval in self.after],
            "total": self.total._asdict(),
        }


def estimate_pull_forward(
    lines: SaleLines,
    panel: Panel,
    *,
    segments: HouseholdSegments,
    weeks_after: int = WEEKS_AFTER,
    generator: np.random.Generator,
) -> PullForward | None:
    """Estimate what follows purchases, by household. None where too few purchases are followed by another."""
    bought = np.zeros((len(segments.household_ids), panel.n_products, panel.n_weeks), dtype=bool)
    bought[lines.household, lines.product, lines.week] = True
    rates = _Rates(bought, segments)
    depth = np.where(np.isnan(panel.depth), 0.0, panel.depth)
    drawn = _draw(bought.shape[0], panel.n_weeks, segments.block_weeks, generator)
    after, totals, value, purchases = [], np.zeros(RESAMPLES), 0.0, 0
    for ahead in range(1, weeks_after + 1):
        household, product, week = np.nonzero(bought[:, :, ahead : panel.n_weeks - ahead])
        week += ahead
        place = household * drawn[1].shape[1] + week // segments.block_weeks
        depths, gamma, gammas, base_rate = depth[product, week], 0.0, np.zeros(RESAMPLES), 0.0
        for sign in (1, -1):
            happened = bought[household, product, week + sign * ahead].astype(np.float64)
            if happened.sum() < FEWEST or np.ptp(depths) == 0.0:
                return None
            expected = rates.expected(household, product, week + sign * ahead)
            fit = _fit(happened, expected, depths)
            gamma += sign * float(fit[1])
            gammas += sign * _resample(happened, expected, depths, fit=fit, place=place, drawn=drawn)
            base_rate = float(happened.mean()) if sign > 0 else base_rate
        change, changes = float(np.expm1(DEEPER * gamma)), np.expm1(DEEPER * gammas)
        after.append(bootstrap_interval(change, changes))
        value, totals, purchases = value + base_rate * change, totals + base_rate * changes, max(purchases, len(week))
    return PullForward(tuple(after), bootstrap_interval(value, totals), purchases)


class _Rates:
    """Expected purchases of a household in a week, from the other households of that week and from its own other
    weeks."""

    def __init__(self, bought: NDArray[np.bool_], segments: HouseholdSegments) -> None:
        products, weeks = bought.shape[1:]
        self.bought, self.segment = bought, segments.segment
        self.half = half_of_week(np.arange(weeks), block_weeks=segments.block_weeks)
        self.buyers = np.zeros((len(segments.names), products, weeks))
        self.size = np.zeros((len(segments.names), weeks))
        for half in range(HALVES):
            inside = self.half == half
            for s in range(len(segments.names)):
                mine = segments.segment[:, half] == s
                self.buyers[s][:, inside] = bought[mine][:, :, inside].sum(axis=0)
                self.size[s, inside] = mine.sum()
        share = self.buyers / np.maximum(self.size, 1.0)[:, None, :]
        by_half = np.stack([share[:, :, self.half == half].sum(axis=2) for half in range(HALVES)])
        self.expected_count = sum(
            by_half[half][segments.segment[:, half]] for half in range(HALVES)
        )  # household, product
        self.count = bought.sum(axis=2)
        moment = ((self.count - self.expected_count) ** 2 - self.expected_count).sum(axis=0)
        self.alike = np.clip((self.expected_count**2).sum(axis=0) / np.maximum(moment, 1e-9), 1.0 / ALIKE, ALIKE)

    def expected(
        self, household: NDArray[np.intp], product: NDArray[np.intp], week: NDArray[np.intp]
    ) -> NDArray[np.float64]:
        """m of each household, product and week."""
        s = self.segment[household, self.half[week]]
        bought_here = self.bought[household, product, week]
        share = (self.buyers[s, product, week] - bought_here) / np.maximum(self.size[s, week] - 1.0, 1.0)
        a = self.alike[product]
        with_share = self.expected_count[household, product] - self.buyers[s, product, week] / np.maximum(
            self.size[s, week], 1.0
        )
        others = self.count[household, product] - bought_here
        return np.maximum(share * (a + others) / (a + np.maximum(with_share, 0.0)), 1e-9)


def _fit(
    happened: NDArray[np.float64], expected: NDArray[np.float64], depth: NDArray[np.float64]
) -> NDArray[np.float64]:
    """alpha and gamma by Newton steps of the Poisson likelihood."""
    effects = np.array([np.log(happened.sum() / expected.sum()), 0.0])
    for _ in range(25):
        score, information = _score(happened, expected, depth, effects)
        step = np.linalg.solve(information.sum(axis=0), score.sum(axis=0))
        effects = effects + np.clip(step, -1.0, 1.0)
        if np.abs(step).max() < 1e-8:
            break
    return effects


def _score(
    happened: NDArray[np.float64],
    expected: NDArray[np.float64],
    depth: NDArray[np.float64],
    effects: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Score (purchase, effect) and information (purchase, effect, effect)."""
    mean = expected * np.exp(effects[0] + effects[1] * depth)
    design = np.stack([np.ones_like(depth), depth], axis=1)
    return (happened - mean)[:, None] * design, mean[:, None, None] * design[:, :, None] * design[:, None, :]


def _draw(
    households: int, weeks: int, block_weeks: int, generator: np.random.Generator
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """How often each household and each block of weeks was drawn (resample, …)."""
    blocks = -(-weeks // block_weeks)
    return tuple(  # type: ignore[return-value]
        generator.multinomial(size, np.full(size, 1.0 / size), size=RESAMPLES).astype(np.float64)
        for size in (households, blocks)
    )


def _resample(
    happened: NDArray[np.float64],
    expected: NDArray[np.float64],
    depth: NDArray[np.float64],
    *,
    fit: NDArray[np.float64],
    place: NDArray[np.intp],
    drawn: tuple[NDArray[np.float64], NDArray[np.float64]],
) -> NDArray[np.float64]:
    """gamma of each resample: one Newton step from the ``fit``. ``place``: cell of household × block of weeks."""
    score, information = _score(happened, expected, depth, fit)
    households, blocks = (counts.shape[1] for counts in drawn)

    def totals(values: NDArray[np.float64]) -> NDArray[np.float64]:
        table = np.bincount(place, values, minlength=households * blocks).reshape(households, blocks)
        total: NDArray[np.float64] = ((drawn[0] @ table) * drawn[1]).sum(axis=1)
        return total

    steps = np.stack([totals(score[:, i]) for i in range(2)], axis=1)
    matrix = np.stack([np.stack([totals(information[:, i, j]) for j in range(2)], axis=1) for i in range(2)], axis=1)
    gammas: NDArray[np.float64] = fit[1] + np.linalg.solve(matrix, steps[:, :, None])[:, 1, 0]
    return gammas
