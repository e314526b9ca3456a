"""What an agent sees: one table of features; the space of observations and the docs come from it."""

from dataclasses import dataclass

import numpy as np
from gymnasium import spaces

from flashsim.scenarios.compiled import CompiledSale


@dataclass(frozen=True)
class Feature:
    """One column of the observation; all features lie in [0, 1]."""

    name: str
    unit: str
    meaning: str


_RATIO = "x/(1+x)"


def observation_table(sale: CompiledSale) -> list[Feature]:
    """The columns of the observation, in order."""
    has_past = not sale.is_reference
    table = [
        Feature("time_left", "share", "share of the ticks to come"),
        Feature("servers_ordered", "share", "level last ordered, over the most allowed"),
    ]
    if has_past:
        table += [
            Feature("level", _RATIO, "learned level of demand over the forecast, all products"),
            Feature("load", _RATIO, "visits of the last tick over what the servers ordered can do in a tick"),
            Feature("utilization", "share", "of the servers, last tick"),
            Feature("latency", "share", "mean latency of the last tick over the time-out, at most 1"),
            Feature("backlog", _RATIO, "visits waiting over what the servers ordered can do in a tick"),
            Feature("room", _RATIO, "people in the waiting room over what the servers ordered can do in a tick"),
            Feature("pushes_left", "share", "of the budget"),
            Feature("goodwill", "share", "what is left of the last push"),
            Feature("waves_left", "share", "of the planned releases"),
            Feature("lots_left", "share", "of those that the supplier holds"),
            Feature("lots_coming", "share", "ordered and not yet here, of those that the supplier held"),
        ]
    for ahead in sale.lookahead:
        table.append(Feature(f"servers_in_{ahead}", "share", f"in force {ahead} ticks ahead as ordered by now"))
        for k in range(sale.price_levels):
            at = f"{ahead} ticks ahead with all at price index {k}"
            table.append(Feature(f"load_in_{ahead}_at_{k}", _RATIO, f"forecast visitors over capacity, {at}"))
            table.append(
                Feature(f"visitors_in_{ahead}_at_{k}", _RATIO, f"forecast visitors over the first tick's, {at}")
            )
    for p in range(sale.products):
        table += _product_features(p, sale.price_levels, has_past=has_past)
    return table


def _product_features(product: int, price_levels: int, *, has_past: bool) -> list[Feature]:
    name = f"product_{product}"
    table = [
        Feature(f"{name}_cover_at_{k}", _RATIO, f"stock over forecast demand to the end at price index {k}")
        for k in range(price_levels)
    ]
    table += [
        Feature(
            f"{name}_run_out", "share", "price index at which the stock runs out just at the end, over the largest"
        ),
        Feature(f"{name}_stock", "share", "units not in carts or sold, of those planned and all lots"),
        Feature(f"{name}_available", "share", "units on sale, of those planned and all lots"),
    ]
    if has_past:
        table += [
            Feature(f"{name}_level", _RATIO, "learned level of its demand over the forecast"),
            Feature(f"{name}_pace", _RATIO, "stock over what goes until the end at the present pace"),
            Feature(f"{name}_price", "share", "price index of the last tick, over the largest"),
        ]
    return table


def observation_space(sale: CompiledSale) -> spaces.Box:
    """Box of the observation."""
    return spaces.Box(0.0, 1.0, (len(observation_table(sale)),), np.float32)
