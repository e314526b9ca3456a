"""The one list of key performance indicators: name, formula, unit, direction, and the function that computes it.

Every KPI is a number *of one sale*, and its value for a policy is the mean over sales (worlds weighing equally). So a
share is the mean of the sales' shares, not the ratio of two grand totals: the sale is what a team plans and answers
for, a quiet sale counts as much as a crowded one, and the mean, its interval and its paired difference are then about
the same number. The ratio of totals can be read off the totals' own means. A percentile of latency is likewise the mean
of the sales' percentiles. Where nothing happened (no visit, no order, no stock) a share takes the value that the
formula states, so that nothing is ever undefined.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from flashsim.envs.quantities import (
    ABANDONMENT_SHARE,
    ERROR_SHARE,
    MONEY_TERMS,
    PARTICIPATION,
    Amounts,
    Quantity,
    Ratio,
    amount,
    money_terms,
    visitors,
)
from flashsim.errors import InputError
from flashsim.settings import names_hint
from flashsim.shown import brief

Array = NDArray[np.float64]
Totals = Mapping[str, Array]  # ledger name -> (sale,)
Direction = Literal["higher", "lower", "neutral"]
Unit = Literal["currency", "units", "share", "change", "s", "server minutes", "count"]

_PROFIT = " ".join(f"{'+' if sign > 0.0 else '−'} {name}" for name, sign in MONEY_TERMS.items()).removeprefix("+ ")


@dataclass(frozen=True)
class Kpi:
    """One indicator of one sale."""

    name: str
    label: str
    formula: str
    """In the names of the ledger."""
    unit: Unit
    direction: Direction
    """Which way is better; neutral describes and is never judged."""
    value: Quantity
    """Ledger totals -> (sale,)."""
    limit: float | None = None
    """Guardrail: the mean should not lie above it (below it where higher is better). None: no guardrail."""
    limit_reason: str = ""
    least: float | str = -np.inf
    """Smallest value that can occur, or the total that holds it for each sale; ends of intervals are cut there."""
    most: float | str = np.inf
    """Largest value that can occur, likewise."""

    def bounds(self, totals: Totals) -> tuple[float, float]:
        """Between which values the mean of the sales with ``totals`` lies for sure."""
        least = float(totals[self.least].min()) if isinstance(self.least, str) else self.least
        most = float(totals[self.most].max()) if isinstance(self.most, str) else self.most
        return least, most


def _list_value(totals: Amounts) -> Array:
    return totals["revenue"] + totals["discount_given"]


def _amount(
    name: str, label: str, formula: str, unit: Unit, direction: Direction, *, most: float | str = np.inf
) -> Kpi:
    return Kpi(name, label, formula, unit, direction, amount(formula), least=0.0, most=most)


def _latency(name: str, label: str, formula: str, **limit: Any) -> Kpi:
    total = formula.partition(":")[0]
    return Kpi(name, label, formula, "s", "lower", amount(total), least=0.0, most="timeout_s", **limit)


KPIS: tuple[Kpi, ...] = (
    Kpi(
        "profit",
        "Profit",
        _PROFIT,
        "currency",
        "higher",
        amount("profit"),
    ),
    _amount("revenue", "Revenue", "revenue", "currency", "higher"),
    _amount("discount_given", "Discount given", "discount_given", "currency", "neutral"),
    _amount("server_cost", "Server cost", "server_cost", "currency", "lower"),
    _amount("penalty", "Penalties", "penalty", "currency", "lower"),
    _amount("units_sold", "Units sold", "paid", "units", "higher", most="stock"),
    Kpi(
        "sell_through",
        "Sell-through",
        "paid / stock (1 when there was no stock)",
        "share",
        "higher",
        Ratio(amount("paid"), amount("stock"), empty=1.0),
        least=0.0,
        most=1.0,
    ),
    _amount("leftover", "Units left over", "leftover", "units", "lower", most="stock"),
    Kpi(
        "units_refused",
        "Units refused",
        "units_refused: Σ max(0, missed_requests + requests − reserved) over ticks and products: expected units that "
        "those served would have asked for had every product been on sale, less what they asked for and got",
        "units",
        "lower",
        amount("units_refused"),
        least=0.0,
    ),
    Kpi(
        "net_lost_sales",
        "Lost sales, net of substitutes",
        "net_lost_sales: Σ over ticks of max(0, Σ over products of missed_requests + requests − reserved)",
        "units",
        "lower",
        amount("net_lost_sales"),
        least=0.0,
    ),
    Kpi(
        "average_depth",
        "Average discount depth",
        "discount_given / (revenue + discount_given) (0 when nothing sold)",
        "share",
        "neutral",
        Ratio(amount("discount_given"), _list_value),
        least=0.0,
        most=1.0,
    ),
    Kpi("visitors", "Visitors", "exogenous_visitors + attracted_visitors", "count", "neutral", visitors, least=0.0),
    Kpi(
        "attracted_share",
        "Attracted visitors",
        "attracted_visitors / visitors (0 without visitors)",
        "share",
        "neutral",
        Ratio(amount("attracted_visitors"), visitors),
        least=0.0,
        most=1.0,
    ),
    Kpi(
        "participation",
        "Participation",
        "(served − returning_visitors) / visitors: visitors whose last visit was answered (1 without visitors)",
        "share",
        "higher",
        PARTICIPATION,
        least=0.0,
        most=1.0,
    ),
    Kpi(
        "conversion",
        "Conversion",
        "paid / served (0 when nobody was served)",
        "share",
        "higher",
        Ratio(amount("paid"), amount("served")),
        least=0.0,
        most="units_a_person",
    ),
    Kpi(
        "abandonment_share",
        "Abandonment",
        "(abandoned − dismissed) / (served + abandoned + errors) (0 without visits)",
        "share",
        "lower",
        ABANDONMENT_SHARE,
        limit=0.05,
        limit_reason="an assumption: one visit in twenty, the usual tolerance of call centers",
        least=0.0,
        most=1.0,
    ),
    Kpi(
        "error_share",
        "Errors",
        "errors / (served + abandoned + errors) (0 without visits)",
        "share",
        "lower",
        ERROR_SHARE,
        limit=0.01,
        limit_reason="an assumption: a service-level objective of 99 % of visits answered",
        least=0.0,
        most=1.0,
    ),
    _latency(
        "p95_latency_s",
        "95th percentile of latency",
        "latency_p95_s: 95th percentile over the visits of a sale",
        limit=1.0,
        limit_reason="1 s keeps a visitor's flow of thought (Nielsen 1993, Usability Engineering, chapter 5)",
    ),
    _latency(
        "p50_latency_s",
        "Median of latency",
        "latency_p50_s: median over the visits of a sale",
    ),
    _latency(
        "p99_latency_s",
        "99th percentile of latency",
        "latency_p99_s: 99th percentile over the visits of a sale",
    ),
    _latency(
        "mean_latency_s",
        "Mean latency",
        "latency_mean_s: mean over served visits",
    ),
    Kpi(
        "utilization",
        "Server utilization",
        "utilization: mean over ticks of the load over the capacity",
        "share",
        "neutral",
        amount("utilization"),
        least=0.0,
        most=1.0,
    ),
    _amount("server_minutes", "Server minutes", "server_minutes", "server minutes", "neutral"),
    Kpi(
        "cart_expiry_share",
        "Carts that expired",
        "expired / reserved (0 without carts)",
        "share",
        "lower",
        Ratio(amount("expired"), amount("reserved")),
        least=0.0,
        most=1.0,
    ),
    _amount("retries", "Visits tried again", "retries", "count", "lower"),
    _amount("pushes", "Push messages", "pushes", "count", "neutral"),
    Kpi(
        "infeasible_actions",
        "Infeasible actions a tick",
        "projected_actions / ticks",
        "count",
        "neutral",
        Ratio(amount("projected_actions"), amount("ticks")),
        least=0.0,
    ),
)

LEDGER_NAMES: tuple[str, ...] = (
    *("exogenous_visitors", "attracted_visitors", "returning_visitors", "served", "abandoned", "dismissed", "errors"),
    *("reserved", "paid", "expired", "units_refused", "net_lost_sales"),
    *("revenue", "discount_given", "goods_cost", "server_minutes", "server_cost", "penalty", "salvage"),
    *("stock", "leftover", "latency_mean_s", "latency_p50_s", "latency_p95_s", "latency_p99_s", "utilization"),
    *("retries", "pushes", "projected_actions"),
    *("profit", "ticks", "timeout_s", "units_a_person"),
)
"""Every total that some KPI reads, or that bounds one."""


def find_kpi(name: str) -> Kpi:
    """The KPI of that name; InputError naming the nearest one otherwise."""
    for kpi in KPIS:
        if kpi.name == name:
            return kpi
    names = [kpi.name for kpi in KPIS]
    raise InputError(f"unknown KPI {brief(name)}; {names_hint(name, names)}")


def kpi_values(totals: Totals) -> Array:
    """(sale, KPI) in the order of ``KPIS``.

    InputError when a ledger total is missing, misshapen or not finite, or when the money does not add up to profit.
    """
    missing = [name for name in LEDGER_NAMES if name not in totals]
    if missing:
        raise InputError(f"totals lack {', '.join(missing)}; a rollout must carry the whole ledger")
    sales = np.shape(totals["profit"])
    for name in LEDGER_NAMES:
        if np.shape(totals[name]) != sales or len(sales) != 1:
            raise InputError(f"totals[{name!r}]: expected one value a sale, {sales}, got {np.shape(totals[name])}")
        if not np.isfinite(totals[name]).all():
            raise InputError(f"totals[{name!r}] holds a value that is not finite; look at the sale that made it")
    terms = money_terms(totals)
    gap = np.abs(totals["profit"] - sum(terms)) > 1e-6 * (1.0 + sum(np.abs(term) for term in terms))
    if gap.any():
        raise InputError(f"totals['profit'] is not {KPIS[0].formula} in {int(gap.sum())} sales; mend the ledger")
    return np.stack([kpi.value(totals) for kpi in KPIS], axis=1)


def kpi_bounds(totals: Totals) -> tuple[Array, Array]:
    """Least and most (KPI,) that each mean over the sales with ``totals`` can be, in the order of ``KPIS``."""
    least, most = zip(*(kpi.bounds(totals) for kpi in KPIS), strict=True)
    return np.array(least), np.array(most)


def kpi_markdown() -> str:
    """The list as a Markdown table, for the documentation."""
    lines = ["| KPI | name | formula, a sale | unit | better | guardrail |", "|---|---|---|---|---|---|"]
    for kpi in KPIS:
        sign = "≥" if kpi.direction == "higher" else "≤"
        limit = "–" if kpi.limit is None else f"{sign} {kpi.limit:g} ({kpi.limit_reason})"
        lines.append(f"| {kpi.label} | `{kpi.name}` | {kpi.formula} | {kpi.unit} | {kpi.direction} | {limit} |")
    return "\n".join(lines) + "\n"


def show(value: float, unit: Unit, *, currency: str, signed: bool = False) -> str:
    """A value as a person reads it, about four digits; a signed share is a difference in percentage points, a change a
    ratio less 1 in percent.

    An empty ``currency`` leaves it out, where the reader has just seen it. An interval without an end has ∞ there.
    """
    if np.isinf(value):
        return "−∞" if value < 0.0 else "+∞" if signed else "∞"
    scaled = value * 100.0 if unit in ("share", "change") else value
    decimals = next((places for bound, places in ((999.5, 0), (9.995, 1)) if abs(scaled) >= bound), 2)
    if unit == "s" and abs(scaled) < 1.0:
        decimals = 3
    if unit == "change":
        decimals = 1
    if unit in ("count", "units", "server minutes") and float(scaled).is_integer():
        decimals = 0
    digits = f"{abs(scaled):,.{decimals}f}"
    nothing = not digits.strip("0.,")
    sign = "" if nothing else "−" if scaled < 0.0 else "+" if signed else ""
    before = f"{currency} " if unit == "currency" and currency else ""
    after = {"share": " pp" if signed else " %", "change": " %", "s": " s"}.get(unit, "")
    return f"{sign}{before}{digits}{after}"
