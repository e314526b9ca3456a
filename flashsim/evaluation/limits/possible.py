"""Who earns what, and how much of what was possible: one row a policy, with intervals.

Three measures of what was possible, of the same sales: a relaxation that no policy can exceed on average (``bounds``),
the best plan known in hindsight (``hindsight``, or what any of the policies earned in that sale, if that is more), and
the exact optimum where there is one (reference sales).
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from flashsim.errors import InputError
from flashsim.evaluation.intervals import interval_words
from flashsim.evaluation.kpis import show
from flashsim.evaluation.rollout import Rollout
from flashsim.evaluation.stats import bootstrap_means, equal_member_means, ratio_scores

Array = NDArray[np.float64]
MEASURES = ("relaxation", "best_plan", "optimum")


def possible_table(
    rollouts: Sequence[Rollout],
    *,
    relaxation: Array | None = None,
    best_plan: Array | None = None,
    optimum: float | None = None,
    roles: Mapping[str, str] | None = None,
    confidence: float = 0.95,
    resamples: int = 10_000,
    seed: int = 0,
) -> pd.DataFrame:
    """Mean profit of every policy and its share of each measure, best policy first; ``of_…`` are shares.

    ``relaxation`` and ``best_plan`` (sale,) are of the first sales of the rollouts: shares and profits are of these
    alone. A measure that is not given, or whose mean is not positive, has no share (NaN). InputError where lengths
    differ.
    """
    lengths = {array.size for array in (relaxation, best_plan) if array is not None}
    if len(lengths) > 1:
        raise InputError(f"possible: relaxation and best plan are of {sorted(lengths)} sales; give them the same")
    sales = lengths.pop() if lengths else rollouts[0].seeds.size
    if sales > rollouts[0].seeds.size:
        raise InputError(f"possible: bounds of {sales} sales, but {rollouts[0].seeds.size} were played")
    members = rollouts[0].members[:sales]
    profits = np.stack([rollout.totals["profit"][:sales] for rollout in rollouts], axis=1)
    known = None if best_plan is None else np.maximum(best_plan, profits.max(axis=1))
    measures = dict(
        zip(MEASURES, (relaxation, known, None if optimum is None else np.full(sales, optimum)), strict=True)
    )
    columns, places = [profits], {}
    for name, measure in measures.items():
        if measure is not None and equal_member_means(measure[:, None], members)[0] > 0.0:
            places[name] = sum(block.shape[1] for block in columns)
            shares = [ratio_scores(profits[:, p], measure, members=members) for p in range(len(rollouts))]
            columns.append(np.stack(shares, axis=1))
    resampled = bootstrap_means(np.concatenate(columns, axis=1), members, resamples=resamples, seed=seed)
    low, high = resampled.interval(confidence)
    count = len(rollouts)
    table = pd.DataFrame({"policy": [rollout.policy for rollout in rollouts]})
    table["role"] = [(roles or {}).get(rollout.policy, "") for rollout in rollouts]
    table["sales"] = sales
    for name, start in [("profit", 0), *((f"of_{name}", places.get(name)) for name in MEASURES)]:
        for part, values in (("", resampled.mean), ("_low", low), ("_high", high)):
            table[f"{name}{part}"] = np.nan if start is None else values[start : start + count]
    return table.sort_values("profit", ascending=False, kind="stable", ignore_index=True)


def possible_rows(table: pd.DataFrame, *, currency: str) -> list[dict[str, str]]:
    """The table in words for a report: profit and shares with their intervals; the heading names the sales."""
    headings = {"of_relaxation": "of the proven bound", "of_best_plan": "of the best plan known in hindsight"}
    headings |= {"of_optimum": "of the exact optimum"}
    shown = {name: words for name, words in headings.items() if table[name].notna().any()}
    money, share = partial(show, unit="currency", currency=currency), partial(show, unit="share", currency="")

    def told(row: Mapping[Any, Any], name: str, number: Callable[[float], str]) -> str:
        mean, low, high = row[name], row[f"{name}_low"], row[f"{name}_high"]
        return f"{number(mean)} ({interval_words(mean, low, high, sales=row['sales'], shown=number, of='tail')})"

    return [
        {
            "policy": str(row["policy"]),
            "role": str(row["role"]),
            f"profit a sale, first {row['sales']:,} sales": told(row, "profit", money),
        }
        | {words: told(row, name, share) for name, words in shown.items()}
        for row in table.to_dict("records")
    ]
