"""What the days and prices of a product say of its response, and whether that is enough to call it its own.

A product has no response of its own, and the result says why, if

    its price hardly moved           fewer than ``LEAST_DAYS_ELSEWHERE`` days away from the list price
    its promotions sold out          of the days away from the list price fewer than that, or than ``LEAST_OPEN`` of
                                     them, kept some stock: what demand would have been then has no upper end
    it moved for good alone          no price that left and came back: a trend or a shift of demand explains as much
    prices tell too little           the standard error of what its days tell exceeds the spread of published ones, or
                                     its interval holds 0 and is wide
    sales rose with the price        so that prices must have followed demand
    it is beyond belief              at its deepest price it would sell ``MOST_TIMES`` times its largest day

A narrow interval that holds 0 is a finding: the product is taken to respond that little, and is not called identified.

The word *identified* needs an interval that stays ``ROUNDING`` away from 0.
"""

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from flashsim.models.demand.level_path import PathFit
from flashsim.models.demand.pooled_slopes import PUBLISHED
from flashsim.models.price.usual_price import AWAY, PriceHistory

Array = NDArray[np.float64]
LEAST_DAYS_ELSEWHERE: Final = 5
"""A product needs this many days at a price other than its list price, or its response is not identified."""
LEAST_OPEN: Final = 0.2
"""Share of the days away from the list price that did not sell out, with which they still tell a response."""
ROUNDING: Final = 0.05
WIDE: Final = 1.0
"""An interval that holds 0 is a finding where its standard deviation is below this."""
INTERVAL_SDS: Final = 1.645
"""Of an interval of 90 %."""
IMPLAUSIBLE_SDS: Final = 2.0
MOST_TIMES: Final = 3.0
"""A predicted daily mean above so many times the product's largest day is not believed."""
STEEPEST: Final = -8.0
"""Members respond no more steeply: the table of depths follows no steeper one."""


class PriceEvidence(NamedTuple):
    """What is told of a product's response, and on what it rests."""

    days: int
    """Days on which it was sold."""
    days_elsewhere: int
    """Of these, days more than 2 % away from the list price."""
    prices: int
    """Different prices, 1 % apart or more."""
    episodes: int
    """Times that the price left its usual height and came back."""
    promoted_share: float
    elasticity: float
    """Drawn towards its category and the literature."""
    low: float
    high: float
    """Its 90 % interval."""
    is_identified: bool
    """Away from 0 by more than rounding."""
    why_not: str
    """Why it has no response of its own; empty where it has."""
    flags: tuple[str, ...]
    """What should make a reader doubt."""


def sold_out_promotions(price: Array, history: PriceHistory, sold_out: NDArray[np.bool_]) -> str:
    """Why a product whose days away from the list price sold out tells no response; empty where it may tell one.

    With a lower end of demand alone on these days, any steeper response explains them as well or better.
    """
    away = np.abs(np.log(price / history.list_price)) > AWAY
    still_open, elsewhere = int((away & ~sold_out).sum()), int(away.sum())
    if elsewhere < LEAST_DAYS_ELSEWHERE or still_open >= max(LEAST_DAYS_ELSEWHERE, LEAST_OPEN * elsewhere):
        return ""
    return (
        f"sold out on {elsewhere - still_open} of the {elsewhere} days on which it was not at its list price, so that "
        "its demand on them has no upper end"
    )


def judge_response(
    price: Array,
    history: PriceHistory,
    *,
    fit: PathFit,
    mean: float,
    sd: float,
    largest_day: float,
    level: float,
    hidden: str,
) -> PriceEvidence:
    """The evidence of one product: ``mean`` ± ``sd`` is its pooled elasticity, ``level`` its units a day at list
    price, ``hidden`` what :func:`sold_out_promotions` says."""
    log_ratio = np.log(price / history.list_price)
    elsewhere = int((np.abs(log_ratio) > AWAY).sum())
    low, high = mean - INTERVAL_SDS * sd, mean + INTERVAL_SDS * sd
    why_not = hidden or _why_not(price, history, fit=fit, mean=mean, sd=sd, elsewhere=elsewhere)
    most = level * float(np.exp(max(mean, STEEPEST) * min(float(log_ratio.min()), 0.0)))
    if not why_not and most > MOST_TIMES * largest_day:
        why_not = (
            f"would sell {most:,.0f} units a day at its deepest price, more than {MOST_TIMES:g} times its largest day "
            f"({largest_day:,.0f})"
        )
    return PriceEvidence(
        days=price.size,
        days_elsewhere=elsewhere,
        prices=_prices(price),
        episodes=history.episodes,
        promoted_share=history.promoted_share,
        elasticity=mean,
        low=low,
        high=high,
        is_identified=not why_not and high < -ROUNDING,
        why_not=why_not,
        flags=_flags(history, mean=mean, high=high, is_own=not why_not),
    )


def _why_not(price: Array, history: PriceHistory, *, fit: PathFit, mean: float, sd: float, elsewhere: int) -> str:
    high = mean + INTERVAL_SDS * sd
    if elsewhere < LEAST_DAYS_ELSEWHERE:
        return f"was sold at one price, {history.list_price:g}, on all but {elsewhere} of its {price.size} days"
    if history.days_away < LEAST_DAYS_ELSEWHERE:
        times = {0: "slowly", 1: "once"}.get(len(history.steps), f"{len(history.steps)} times")
        return (
            f"changed its price {times} and for good: demand that changed at the same time would explain as much, so "
            "that nothing tells its response"
        )
    if fit.slope - INTERVAL_SDS * fit.slope_error > -ROUNDING:
        return "sold more at higher prices, so that its prices must have followed its demand"
    if fit.slope_error > PUBLISHED[1] or (high > -ROUNDING and sd > WIDE):
        return f"was sold at prices that tell too little: its elasticity is {mean:.1f} ± {sd:.1f}"
    return ""


def _prices(price: Array) -> int:
    """Number of prices that differ by 1 % or more."""
    ascending = np.unique(np.log(price))
    count, last = 0, -np.inf
    for value in ascending:
        if value - last >= 0.01:
            count, last = count + 1, value
    return count


def _flags(history: PriceHistory, *, mean: float, high: float, is_own: bool) -> tuple[str, ...]:
    words = []
    if is_own and mean < PUBLISHED[0] - IMPLAUSIBLE_SDS * PUBLISHED[1]:
        words.append(
            f"an elasticity of {mean:.1f} is steeper than almost all that were published (mean {PUBLISHED[0]}, "
            f"sd {PUBLISHED[1]}): volume offers hidden in averaged prices look like this"
        )
    if is_own and high > -ROUNDING:
        words.append("its response cannot be told from 0")
    if history.promoted_share > 0.5:
        words.append(f"it was promoted on {history.promoted_share:.0%} of its days, so that its list price is rare")
    return tuple(words)
