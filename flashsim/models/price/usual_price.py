"""The usual price of a product, its list price, and what is a promotion: from the history of its daily prices.

    usual(t)   the lower of two prices: the one reached on a quarter of the days in the eight weeks up to t, and in
               those from t on; at the ends of the table in its first and last six weeks
    episode    days more than ``EPISODE_DEPTH`` below the usual price, unless that price held for eight weeks; where
               prices hardly repeat to the cent, more than three times what they wander from day to day
    step       a day at which the price changed for good: all prices of the four weeks before lie above, or all below,
               those of the four weeks after
    list price the one told of late, else the last price that held for four of the last eight weeks outside episodes,
               else the median of those weeks outside episodes

Daily prices are often averages (revenue over units), which hardly repeat to the cent: prices within ``ONE_PRICE`` of
each other count as one. Days are counted as the table has them.

Left out: prices that differ between customers, and volume offers, which hide in the averages.
"""

from typing import Final, NamedTuple

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

Array = NDArray[np.float64]
ONE_PRICE: Final = 0.01
"""Prices that differ by less, on the log scale, are one price that is averaged or rounded."""
EPISODE_DEPTH: Final = 0.04
"""A day cheaper than the usual price by more than this share is promoted."""
WANDERING: Final = 3.0
FEWEST_REPEATS: Final = 3
"""Where half of the days have a price that comes so often, prices are set and not averaged."""
DIFFERENCE_TO_SD: Final = 1.0 / (0.6745 * 2.0**0.5)
"""From the median size of a difference of two normal values to their standard deviation."""
RECENT_DAYS: Final = 56
"""The list price is today's: that of the last eight weeks."""
TOLD_DAYS: Final = 7
"""A list price that is told is today's: that of the last week in which it is."""
HELD_DAYS: Final = 28
"""A price that held for four of those weeks is a list price."""
USUAL_QUANTILE: Final = 0.75
FEWEST_USUAL_DAYS: Final = 42
"""Of them a low price of four weeks that still holds leaves a third: it is a promotion until it has held for longer."""
STEP_DAYS: Final = 28
FEWEST_STEP_DAYS: Final = 7
"""With fewer days before or after it, a change of price is not taken as one for good."""
STEP_SIZE: Final = 0.02
"""Least change for good, log scale."""
AWAY: Final = 0.02
"""Prices that differ by less than this, on the log scale, tell nothing of a response."""
STEP_QUANTILES: Final = (0.1, 0.9)
"""Of the prices before and after; they let averages wander a little."""


class PriceHistory(NamedTuple):
    """What the prices of one product did, day by day."""

    list_price: float
    """Today's list price; currency/unit."""
    held_days: int
    """Days of the last eight weeks at that price, outside episodes; 0 where it was told or is a median."""
    is_episode: NDArray[np.bool_]  # day
    steps: tuple[int, ...]
    """Days, counted from 0, from which on another price held for good."""
    episodes: int
    """Number of episodes."""
    days_away: int
    """Days more than ``AWAY`` from the price of most days around them: what a change for good does not count to."""

    @property
    def promoted_share(self) -> float:
        """Share of days in an episode."""
        return float(self.is_episode.mean())


def read_prices(price: Array, *, told: Array | None = None, promoted: NDArray[np.bool_] | None = None) -> PriceHistory:
    """The history of one product's daily ``price`` (day,), in order of days; ``told`` are list prices, NaN where none,
    ``promoted`` days that the table itself calls promotions."""
    steps = _steps(price)
    episode = _episodes(price)
    list_price, held = _list_price(price, episode if promoted is None else episode | promoted)
    if told is not None and np.isfinite(told).any():
        list_price = float(np.median(told[np.isfinite(told)][-TOLD_DAYS:]))
        held = 0
    starts = episode & ~np.concatenate([[False], episode[:-1]])
    away = int((np.abs(np.log(price / _around(price))) > AWAY).sum())
    return PriceHistory(max(round(list_price, 2), 0.01), held, episode, steps, int(starts.sum()), away)


def _list_price(price: Array, episode: NDArray[np.bool_]) -> tuple[float, int]:
    """The list price where none is told, and on how many of the last days it held (0: a median)."""
    recent, outside = price[-RECENT_DAYS:], ~episode[-RECENT_DAYS:]
    if not outside.any():
        outside = ~outside
    kept = recent[outside]
    needed = min(HELD_DAYS, -(-recent.size // 2))
    near = np.abs(np.log(kept[:, None] / kept)) <= ONE_PRICE
    held = near.sum(axis=1)
    if (held >= needed).any():
        place = int(np.flatnonzero(held >= needed)[-1])
        exact, times = np.unique(np.round(kept[near[place]], 2), return_counts=True)
        common = exact[times.argmax()] if times.max() > 0.5 * held[place] else np.median(kept[near[place]])
        return float(common), int(held[place])
    return float(np.median(kept)), 0


def _episodes(price: Array) -> NDArray[np.bool_]:
    """Days in an episode."""
    usual = np.minimum(_trailing(price), _trailing(price[::-1])[::-1])
    low = np.log(price / usual) < -max(-np.log1p(-EPISODE_DEPTH), WANDERING * _wandering(price))
    for first, stop in runs(low):
        inside = price[first:stop]
        for here, end in runs(np.abs(np.log(inside / np.median(inside))) <= ONE_PRICE):
            if end - here >= RECENT_DAYS:
                low[first + here : first + end] = False
    return low


def _wandering(price: Array) -> float:
    """Standard deviation of what averages wander from day to day, log scale; 0 for prices that repeat to the cent."""
    _, place, times = np.unique(np.round(price, 2), return_inverse=True, return_counts=True)
    if (times[place] >= FEWEST_REPEATS).mean() >= 0.5:
        return 0.0
    return float(np.median(np.abs(np.diff(np.log(price)))) * DIFFERENCE_TO_SD)


def _trailing(price: Array) -> Array:
    """The price reached on a quarter of the days up to each day."""
    stops = range(min(FEWEST_USUAL_DAYS, price.size), min(RECENT_DAYS, price.size))
    first = [float(np.quantile(price[:stop], USUAL_QUANTILE)) for stop in stops]
    if price.size < RECENT_DAYS:
        rest = np.array([np.quantile(price, USUAL_QUANTILE)])
    else:
        rest = np.quantile(sliding_window_view(price, RECENT_DAYS), USUAL_QUANTILE, axis=1)
    out = np.concatenate([first, rest])
    return np.concatenate([np.full(price.size - out.size, out[0]), out])


def _around(price: Array) -> Array:
    """Median price of the four weeks before and after each day."""
    if price.size <= RECENT_DAYS:
        return np.full(price.size, np.median(price))
    inner = np.median(sliding_window_view(price, RECENT_DAYS + 1), axis=1)
    half = RECENT_DAYS // 2
    first = [float(np.median(price[: day + half + 1])) for day in range(half)]
    last = [float(np.median(price[day - half :])) for day in range(price.size - half, price.size)]
    return np.concatenate([first, inner, last])


def _steps(price: Array) -> tuple[int, ...]:
    """Days from which on another price held for good; of neighbors the one with the largest change."""
    log_price = np.log(price)
    moved = np.abs(np.diff(log_price, prepend=log_price[0]))
    change = np.zeros(price.size)
    for day in np.flatnonzero(moved > 0.5 * STEP_SIZE):
        before, after = log_price[max(day - STEP_DAYS, 0) : day], log_price[day : day + STEP_DAYS]
        if min(before.size, after.size) < FEWEST_STEP_DAYS:
            continue
        low_before, high_before = np.quantile(before, STEP_QUANTILES)
        low_after, high_after = np.quantile(after, STEP_QUANTILES)
        gap = max(low_before - high_after, low_after - high_before)
        change[day] = moved[day] if gap > STEP_SIZE else 0.0
    return tuple(first + int(change[first:stop].argmax()) for first, stop in runs(change > 0.0))


def runs(holds: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """(first, one past the last) of each run of True."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], holds, [False]]).astype(np.int8)))
    return [(int(first), int(stop)) for first, stop in edges.reshape(-1, 2)]
