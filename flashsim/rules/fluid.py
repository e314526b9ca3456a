"""Fluid linear program, solved again at every decision from the observed stock, the learned level and the forecast.

With θ the learned level of a product, λ_tk its forecast units and v_k the net value of a unit at price index k (its
price minus the value of an unsold unit and minus the servers that its extra visitors need), the plan from tick t with n
units is

    max Σ_{u>=t} Σ_k v_k·s_uk     s.t.  Σ s <= n,  s_uk <= θ·λ_uk·x_uk,  Σ_k x_uk = 1,  x >= 0.

Products share nothing but servers, whose price is in v, so there is one program for each product. It is a continuous
multiple-choice knapsack, and a greedy solution is exact: for each tick only the upper concave hull of the points (λ_uk,
v_k·λ_uk) matters; the segments of all ticks are taken in the order of their slopes until n/θ units are used. The slope
of the last segment is the shadow price of a unit. So all programs of a sale are solved before it opens, and solving
again means looking up n/θ. Where several ticks share that last slope, the plan takes the same part of each, and the
current tick gets the price index nearest to its mixture.

Source: Gallego & van Ryzin (1994), Management Science 40(8), for the fluid program; Jasin & Kumar (2012), Math. Oper.
Res. 37(2), for solving it again at every decision; Sinha & Zoltners (1979), Oper. Res. 27(3), for the greedy solution.
Left out: waves (all units of the plan count from the start), and the value of waiting under uncertainty.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from flashsim.rules.rules import DEFAULT_OPERATIONS, Operations, RulePolicy, dashboard_of
from flashsim.scenarios.compiled import CompiledSale

_SAME = 1e-9  # slopes that differ by less, relative to the largest, count as equal


def net_prices(sale: CompiledSale, *, visit_cost: float) -> NDArray[np.float64]:
    """Net value of a unit (product, price): its price minus the servers for the visitors whom the offer attracts.

    ``visit_cost`` is the cost of one visit; currency. Visitors who would come anyway are no cost of an offer.
    """
    units = sale.forecast.units.sum(axis=(0, 1))  # price
    visitors = sale.forecast.visitors.sum(axis=0)
    anyway = visitors[0] if sale.tables.traffic.has_exogenous_visitors else 0.0
    further = np.divide(visitors - anyway, units, out=np.zeros_like(units), where=units > 0.0)
    return np.maximum(0.0, sale.tables.price - visit_cost * np.maximum(0.0, further))


def visit_cost(sale: CompiledSale, operations: Operations) -> float:
    """Cost of the servers for one visit at the target utilization; currency."""
    servers = sale.tables.servers
    return float(servers.cost / (servers.service_rate * operations.target))


def paid_units(sale: CompiledSale) -> NDArray[np.float64]:
    """Forecast units that are paid for, (tick, product, price)."""
    return sale.forecast.units[:-1] * (1.0 - sale.tables.stock.payment_failure)


def units_in_stock(sale: CompiledSale) -> NDArray[np.float64]:
    """Units that make up the whole of the observed stock share, (product,)."""
    return np.maximum(1, sale.tables.planned + sale.tables.stock.lots * sale.tables.lot_units).astype(np.float64)


class Outlook:
    """Reads the stock and the learned level of each product from observations."""

    def __init__(self, sale: CompiledSale) -> None:
        self.sale, self.dashboard = sale, dashboard_of(sale)

    def tick(self, observation: NDArray[np.float32]) -> NDArray[np.int64]:
        """(sale,)."""
        return self.dashboard.tick(observation)

    def stock(self, observation: NDArray[np.float32]) -> NDArray[np.float64]:
        """Units that can still be sold, (sale, product)."""
        shares = [self.dashboard.share(observation, f"product_{p}_stock") for p in range(self.sale.products)]
        return np.rint(np.stack(shares, axis=1) * units_in_stock(self.sale))

    def level(self, observation: NDArray[np.float32]) -> NDArray[np.float64]:
        """Learned demand over the forecast, (sale, product); 1 in a reference sale, because its rates are known."""
        if self.sale.is_reference:
            return np.ones((observation.shape[0], self.sale.products))
        levels = [self.dashboard.ratio(observation, f"product_{p}_level") for p in range(self.sale.products)]
        return np.stack(levels, axis=1)

    def scaled_stock(self, observation: NDArray[np.float32]) -> NDArray[np.float64]:
        """Units that can still be sold over the learned level, n/θ (sale, product): the stock in forecast demand."""
        return self.stock(observation) / np.maximum(self.level(observation), 1e-9)


class FluidProgram:
    """The fluid programs of one product from every tick on, solved for every stock at once."""

    def __init__(self, units: NDArray[np.float64], worth: NDArray[np.float64]) -> None:
        """``units`` (tick, price) is the forecast, ``worth`` (price) the value of a unit above that of an unsold
        one."""
        ticks, price_levels = units.shape
        self.vertices = np.zeros((ticks, price_levels), np.int64)  # price index after each segment of the hull
        demand, slope = np.zeros((ticks, price_levels)), np.full((ticks, price_levels), -np.inf)
        for tick in range(ticks):
            hull = _hull(units[tick], worth * units[tick])
            before = np.concatenate([[0.0], units[tick][hull]])
            gains = np.concatenate([[0.0], (worth * units[tick])[hull]])
            count = len(hull)
            demand[tick, :count] = np.diff(before)
            slope[tick, :count] = np.diff(gains) / np.maximum(np.diff(before), 1e-300)
            last = hull[-1] if hull else int(np.argmax(worth))
            self.vertices[tick] = [*hull, *([last] * (price_levels - count))]
        scale = max(1e-300, float(np.abs(worth).max())) * _SAME
        self._slope = np.where(np.isfinite(slope), np.round(slope / scale) * scale, -np.inf)
        self._demand = demand
        # Units from which on a segment of the current tick is used.
        self.thresholds = np.full((ticks, price_levels), np.inf)
        self._plans = [self._solve(tick) for tick in range(ticks)]

    def _solve(self, tick: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Slopes in falling order and the units up to the end of each, over all segments from ``tick`` on."""
        slopes, place = np.unique(-self._slope[tick:], return_inverse=True)
        sizes = np.bincount(place.ravel(), self._demand[tick:].ravel(), slopes.size)
        upto = np.cumsum(sizes)
        at_hand = place.reshape(self._slope[tick:].shape)[0]
        self.thresholds[tick] = np.where(np.isfinite(self._slope[tick]), (upto - 0.5 * sizes)[at_hand], np.inf)
        is_real = np.isfinite(slopes)
        return -slopes[is_real], upto[is_real]

    def price_index(self, tick: NDArray[np.int64], scaled_stock: NDArray[np.float64]) -> NDArray[np.int64]:
        """Price index (sale,) for ``scaled_stock`` (sale,): units of stock over the learned level, n/θ."""
        taken = (scaled_stock[:, None] >= self.thresholds[tick]).sum(axis=1)
        return self.vertices[tick, np.maximum(taken, 1) - 1]

    def shadow_price(self, tick: NDArray[np.int64], scaled_stock: NDArray[np.float64]) -> NDArray[np.float64]:
        """What one more unit would earn (sale,), above the value of an unsold unit."""
        price = np.zeros(scaled_stock.shape)
        for t in np.unique(tick):
            slopes, upto = self._plans[t]
            rows = tick == t
            place = np.searchsorted(upto, scaled_stock[rows] * (1.0 - 1e-12), side="left")
            price[rows] = np.append(slopes, 0.0)[place]
        return np.maximum(price, 0.0)

    def value(self, stock: float) -> float:
        """Optimal value of the program from the first tick on."""
        slopes, upto = self._plans[0]
        sold = np.diff(np.minimum(np.concatenate([[0.0], upto]), stock))
        return float((np.maximum(slopes, 0.0) * sold).sum())


def _hull(units: NDArray[np.float64], gains: NDArray[np.float64]) -> list[int]:
    """Price indices at the corners of the upper concave hull of (units, gains) with the origin, while gains rise."""
    hull: list[int] = []
    for k in np.lexsort((-gains, units)):
        if units[k] <= 0.0 or gains[k] <= (gains[hull[-1]] if hull else 0.0):
            continue
        while hull:
            x, y = (units[hull[-2]], gains[hull[-2]]) if len(hull) > 1 else (0.0, 0.0)
            if (gains[hull[-1]] - y) * (units[k] - x) > (gains[k] - y) * (units[hull[-1]] - x):
                break
            hull.pop()
        hull.append(int(k))
    return hull


def fluid_programs(sale: CompiledSale, *, visit_cost: float) -> list[FluidProgram]:
    """One fluid program for each product."""
    worth = net_prices(sale, visit_cost=visit_cost) - sale.tables.salvage_value[:, None]
    units = paid_units(sale)
    return [FluidProgram(units[:, product], worth[product]) for product in range(sale.products)]


def fluid_lp(
    sale: CompiledSale, operations: Operations = DEFAULT_OPERATIONS, *, programs: Sequence[FluidProgram] | None = None
) -> RulePolicy:
    """Prices of the fluid program, solved again in every tick. ``programs``: one a product; None: with default
    servers."""
    outlook = Outlook(sale)
    solved = programs or fluid_programs(sale, visit_cost=visit_cost(sale, DEFAULT_OPERATIONS))

    def price(observation: NDArray[np.float32]) -> NDArray[np.int64]:
        tick = outlook.tick(observation)
        stock = outlook.scaled_stock(observation)
        return np.stack([program.price_index(tick, stock[:, p]) for p, program in enumerate(solved)], axis=1)

    return RulePolicy("fluid LP", sale, price, operations=operations)
