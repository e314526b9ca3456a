"""Quantities that follow from the ledger, each defined once: profit, visitors, shares of visits, margin, latency.

    profit        revenue - goods_cost - server_cost - penalty + salvage
    visitors      exogenous_visitors + attracted_visitors      (returning visitors and retries came before)
    participation (served - returning_visitors) / visitors     (who comes back was served before: each visitor once)
    error share   errors / (served + abandoned + errors)       (a visit that tries again counts again)
    abandonment   (abandoned - dismissed) / (the same)         (whom the close dismissed did not give up)
    not served    missed_requests + requests - reserved        (units of a product in a tick, see below)
    gross margin  (revenue - goods_cost + salvage) / revenue
    latency       percentiles of the waits of all visits that were answered, an error being an answer too

Each is a function of amounts by name: those of one tick (:class:`AmountsOfTick`), or their sums over a sale, which a
rollout calls totals. So the cost of a tick, the constraint, the KPI and the guardrail of one name are one function. The
ratio of a sale is that of its summed amounts, not the mean of the ratios of its ticks.

Units not served are those that the people served in a tick would have been expected to ask for had every product been
on sale, less the units that they asked for and got. What they asked for is taken at its mean, too, so that nothing is
refused where nothing is missing, whatever was drawn; ``missed_requests`` is the difference of the two means, and
``requests - reserved`` what they asked for and did not get. Of a product to which people turn for want of another the
units not served may be below 0.
"""

import functools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from flashsim.sim.cache import compiled
from flashsim.sim.ledger import PRODUCT_FIELDS, Ledger
from flashsim.sim.samplers import write_exp

Array = NDArray[np.float64]

MONEY_TERMS = {"revenue": 1.0, "goods_cost": -1.0, "server_cost": -1.0, "penalty": -1.0, "salvage": 1.0}
"""Amounts and signs that add up to profit."""
SLOWEST_SHARE = 0.05
"""Share of visits that may be slower than a mark on the 95th percentile of latency."""
_MOST_ROUNDS = 200  # of the search of a percentile; halving alone needs about fifty
_PRECISION = 1e-15  # of the largest percentile in a mixture


class Amounts(Protocol):
    """Amounts of the ledger by name, of one tick or summed over ticks, (sale,)."""

    def __getitem__(self, name: str, /) -> NDArray[Any]: ...


@dataclass(frozen=True)
class AmountsOfTick:
    """The amounts of one tick, summed over products."""

    ledger: Ledger
    rows: Callable[[NDArray[Any]], NDArray[Any]]
    """Turns an array of the ledger into one whose first axis is the sale (``Batch.rows``)."""

    def __getitem__(self, name: str, /) -> NDArray[Any]:
        amounts = self.rows(getattr(self.ledger, name))
        return amounts.sum(axis=1) if name in PRODUCT_FIELDS else amounts


Quantity = Callable[[Amounts], Array]
"""Amounts -> (sale,)."""


def amount(name: str) -> Quantity:
    """The amount of that name as a quantity."""
    return lambda amounts: amounts[name]


def money_terms(amounts: Amounts) -> list[Array]:
    """The signed terms of profit, in the order of ``MONEY_TERMS``."""
    return [sign * amounts[name] for name, sign in MONEY_TERMS.items()]


def profit(amounts: Amounts) -> Array:
    """What is left of the revenue when all is paid, currency."""
    return functools.reduce(np.add, money_terms(amounts))


def visitors(amounts: Amounts) -> Array:
    """People who come of their own accord or for the offer."""
    return amounts["exogenous_visitors"] + amounts["attracted_visitors"]


def served_visitors(amounts: Amounts) -> Array:
    """Visitors whose last visit was answered, of a whole sale: those who come back were answered before."""
    return amounts["served"] - amounts["returning_visitors"]


def gave_up_waiting(amounts: Amounts) -> Array:
    """Visits that ended because somebody would wait no longer, without those whom the close of the sale dismissed."""
    return amounts["abandoned"] - amounts["dismissed"]


def finished_visits(amounts: Amounts) -> Array:
    """Visits that came to an end, good or bad; those dismissed at the close are among ``abandoned``."""
    return amounts["served"] + amounts["abandoned"] + amounts["errors"]


def answered_visits(amounts: Amounts) -> Array:
    """Visits that have a latency."""
    return amounts["served"] + amounts["errors"]


def kept_of_revenue(amounts: Amounts) -> Array:
    """What goods leave of their revenue, those left over and their salvage included, currency."""
    return amounts["revenue"] - amounts["goods_cost"] + amounts["salvage"]


@dataclass(frozen=True)
class Ratio:
    """A quotient of two quantities that add up over ticks."""

    top: Quantity
    bottom: Quantity
    empty: float = 0.0
    """Its value where the bottom is 0."""

    def __call__(self, amounts: Amounts) -> Array:
        """The ratio, (sale,)."""
        bottom = self.bottom(amounts)
        return np.divide(self.top(amounts), bottom, out=np.full(bottom.shape, self.empty), where=bottom > 0.0)

    def excess(self, amounts: Amounts, *, most: float) -> Array:
        """What adds up over ticks to at most 0 just where the ratio of the sums is at most ``most``."""
        return self.top(amounts) - most * self.bottom(amounts)

    def shortfall(self, amounts: Amounts, *, least: float) -> Array:
        """What adds up over ticks to at most 0 just where the ratio of the sums is at least ``least``."""
        return least * self.bottom(amounts) - self.top(amounts)


ERROR_SHARE = Ratio(amount("errors"), finished_visits)
ABANDONMENT_SHARE = Ratio(gave_up_waiting, finished_visits)
PARTICIPATION = Ratio(served_visitors, visitors, empty=1.0)
GROSS_MARGIN = Ratio(kept_of_revenue, amount("revenue"))


class UnitsNotServed(NamedTuple):
    """What those served in a tick would have bought, had there been enough of everything."""

    refused: NDArray[np.float64]
    """(sale, product) units of a product."""
    net: NDArray[np.float64]
    """(sale,) units of all products together, so without those for which people took another product."""

    @classmethod
    def of_tick(cls, ledger: Ledger, rows: Callable[[NDArray[Any]], NDArray[Any]]) -> "UnitsNotServed":
        """Those of one tick, none below 0."""
        not_served = np.ascontiguousarray(
            rows(ledger.missed_requests) + (rows(ledger.requests) - rows(ledger.reserved))
        )
        return cls(np.maximum(not_served, 0.0), np.maximum(not_served.sum(axis=1), 0.0))


class Waits(NamedTuple):
    """Law of waits, (sale,) or (tick, sale): ``floor``, and with ``chance`` an exponential of mean ``tail`` more."""

    chance: NDArray[np.float64]
    floor: NDArray[np.float64]  # seconds
    tail: NDArray[np.float64]  # seconds

    @classmethod
    def of_tick(cls, ledger: Ledger, rows: Callable[[NDArray[Any]], NDArray[Any]]) -> "Waits":
        """Those of one tick, (sale,)."""
        return cls(rows(ledger.wait_chance), rows(ledger.wait_floor_s), rows(ledger.wait_tail_s))

    def share_beyond(self, wait_s: float | Array) -> Array:
        """Share of visits that wait longer than ``wait_s``."""
        more = wait_s - self.floor
        return np.where(more < 0.0, 1.0, self.chance * np.exp(-np.maximum(more, 0.0) / np.maximum(self.tail, 1e-12)))


def slow_visits_excess(waits: Waits, answered: Array, *, most_s: float) -> Array:
    """What adds up over ticks to at most 0 just where the 95th percentile of the waits is at most ``most_s``."""
    return answered * (waits.share_beyond(most_s) - SLOWEST_SHARE)


def wait_percentiles(waits: Waits, weights: Array, *, shares: Sequence[float]) -> Array:
    """Percentiles (share, sale) of the mixture of ``waits`` with ``weights`` (tick, sale), seconds; ``shares`` ascend.

    The least wait that at most ``1 - share`` exceed, good to 1e-15 of the largest percentile in the mixture, and the
    same for a sale whatever others stand beside it.
    """
    percentiles = np.zeros((len(shares), weights.shape[1]))
    laws = (np.ascontiguousarray(part.T) for part in (*waits, weights))
    scratch = np.zeros((4, weights.shape[0]))
    _write_percentiles(*laws, np.array(shares), scratch, percentiles)
    return percentiles


@compiled
def _write_percentiles(
    chance: Array, floor: Array, tail: Array, weights: Array, shares: Array, scratch: Array, percentiles: Array
) -> None:
    """Write percentiles (share, sale) of each sale's mixture; laws and weights are (sale, tick), the scratch (4, tick).

    The share of visits beyond x falls in steps (at floors) and, between them, as a sum of exponentials, whose
    logarithm is convex. Newton's method on it, always from the left end of the bracket, doubles the digits in each
    round where no step is in between; where it would leave the bracket, the bracket is halved. It begins at the
    percentile before. Source: Press et al. (2007), Numerical Recipes, section 9.4.
    """
    rates, tops, powers, parts = scratch[0], scratch[1], scratch[2], scratch[3]
    ticks = weights.shape[1]
    for sale in range(percentiles.shape[1]):
        total = 0.0
        for tick in range(ticks):
            total += weights[sale, tick]
            rates[tick] = 1.0 / max(tail[sale, tick], 1e-12)
            tops[tick] = weights[sale, tick] * chance[sale, tick]
        x = 0.0
        for place in range(shares.shape[0]):
            low, high, left, step = 0.0, 0.0, 1.0 - shares[place], 0.0
            for tick in range(ticks):
                high = max(high, floor[sale, tick] - math.log(left) * tail[sale, tick])
            high += 1e-12
            wanted, precision = left * max(total, 1.0), _PRECISION * high
            for _ in range(_MOST_ROUNDS):
                for tick in range(ticks):
                    powers[tick] = min(0.0, floor[sale, tick] - x) * rates[tick]
                write_exp(powers, parts)
                beyond, slope = 0.0, 0.0
                for tick in range(ticks):
                    part = tops[tick] * parts[tick]
                    is_certain = x < floor[sale, tick]
                    beyond += weights[sale, tick] if is_certain else part
                    slope += 0.0 if is_certain else part * rates[tick]
                if beyond > wanted:
                    low, step = x, beyond * math.log(beyond / wanted) / slope if slope > 0.0 else high
                else:
                    high = x
                if high - low <= precision:
                    break
                x = low + max(step, precision)
                if not x < high:
                    x = 0.5 * (low + high)
            percentiles[place, sale] = high
            x = high


def sum_over_ticks(values: Array) -> Array:
    """Sum (sale,) of (tick, sale), tick by tick: numpy's own order depends on the number of sales."""
    total: Array = functools.reduce(np.add, values)
    return total
