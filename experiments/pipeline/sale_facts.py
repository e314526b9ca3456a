"""What a report tells of a sale and of those who play it, in words."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from flashsim.evaluation.kpis import show
from flashsim.policies.bundle import Policy
from flashsim.rules import Operations
from flashsim.scenarios.compiled import CompiledSale
from flashsim.scenarios.menu import percent

MOST_NAMED = 3
"""So many prices are told one by one; of more, the least and the most."""
_SCALERS = {
    "tracking": "servers for {target} utilization of the visits seen",
    "scheduled": "servers for {target} utilization of the visits forecast",
    "threshold": "servers step by step by hand",
}


def sale_facts(sale: CompiledSale, *, sales: int) -> dict[str, str]:
    """Label -> text: what is sold, when, to whom, at which prices and costs, with which servers, and how it is judged.

    ``sales`` is how many each policy plays.
    """
    tables, servers = sale.tables, sale.tables.servers
    minutes_per_tick = servers.seconds_per_tick / 60.0
    units, waves = int(sale.stock.sum()), int(tables.wave_tick.size)
    before = f"; servers can be ordered from {sale.pre_opening * minutes_per_tick:g} min before" * bool(
        sale.pre_opening
    )
    visitors = float(sale.forecast.visitors[:, 0].sum())
    hourly = servers.cost / minutes_per_tick * 60.0
    return {
        "Sale": sale.story,
        "What": f"{sale.products} product{'s' * (sale.products > 1)}: {', '.join(sale.product_names)}",
        "When": f"{sale.minutes:g} minutes{before}",
        "To whom": f"about {round(visitors, -2 if visitors >= 1e4 else -1 if visitors >= 1e3 else 0):,.0f} visitors "
        "expected at list prices",
        "Stock": f"{units:,} units in {waves} release{'s' * (waves > 1)}",
        "List prices": _money(tables.list_price, sale.currency),
        "Unit costs": _money(tables.unit_cost, sale.currency),
        "Discounts": ", ".join(percent(depth) for depth in sale.depths[0]),
        "Servers": f"{servers.start_servers} {'before orders' if sale.pre_opening else 'at the opening'}, "
        f"{servers.min_servers} to {servers.max_servers}, "
        f"{servers.lag * minutes_per_tick:g} min to boot, {show(hourly, 'currency', currency=sale.currency)} an hour "
        "each",
        "Judged on": f"{sales:,} simulated sales in {len(sale.heldout_members)} held-out worlds; policies were made in "
        f"{len(sale.training_members)} others",
    }


def product_facts(sale: CompiledSale) -> list[dict[str, str]]:
    """A row a product: stock, list price, unit cost, and value of a unit left over."""
    tables = sale.tables
    rows = zip(sale.product_names, sale.stock, tables.list_price, tables.unit_cost, tables.salvage_value, strict=True)
    return [
        {
            "product": name,
            "stock": f"{int(units):,}",
            **{
                label: show(float(value), "currency", currency=sale.currency)
                for label, value in (("list price", price), ("unit cost", cost), ("value of a unit left over", left))
            },
        }
        for name, units, price, cost, left in rows
    ]


def policy_facts(policies: Sequence[Policy], notes: Mapping[str, str], *, minutes_per_tick: float) -> dict[str, str]:
    """Policy -> what it is: its note, and of a rule how it runs the sale apart from prices."""
    facts = dict(notes)
    for policy in policies:
        operations = getattr(policy, "operations", None)
        if isinstance(operations, Operations):
            how = _operations_in_words(operations, minutes_per_tick=minutes_per_tick)
            facts[policy.name] = "; ".join(part for part in (notes.get(policy.name, ""), how) if part)
    return facts


def _operations_in_words(operations: Operations, *, minutes_per_tick: float) -> str:
    opening = operations.opening_ticks * minutes_per_tick
    parts = [f"list prices for the first {opening:g} min, while servers boot"] if opening else []
    return "; ".join([*parts, _SCALERS[operations.scaler].format(target=percent(operations.target))])


def _money(amounts: NDArray[np.float64], currency: str) -> str:
    """Amounts one by one, or the least and the most of many."""
    told = list(dict.fromkeys(show(float(value), "currency", currency=currency) for value in amounts))
    if len(told) <= MOST_NAMED:
        return ", ".join(told)
    return " to ".join(show(float(value), "currency", currency=currency) for value in (amounts.min(), amounts.max()))
