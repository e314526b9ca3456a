"""What holds over trainings: a learner that was trained several times against a rival, in the same sales.

A training is a draw as a sale is: with other seeds another network comes out. Of S trainings and sales nested in
members, the estimate is the mean over all, and two things make it uncertain: members and sales, of which the mean over
trainings of a sale's difference tells the standard error e with M - 1 degrees of freedom (:mod:`flashsim.evaluation.
stats`), and trainings, whose means vary by s². Each part is stretched by its own Student's quantile,

    mean - √(a² + b²) … mean + √(c² + b²)      b = t_{S-1}·s/√S

with a and c how far the interval over members and sales reaches below and above the mean.

Source: Howe (1974), JASA 69(347), for adding stretched parts; Agarwal et al. (2021), arXiv:2108.13264, for why they
must be counted. Left out: that trainings meet the same sales, which makes the second part a little too large.
"""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy.special import stdtrit

from flashsim.errors import InputError
from flashsim.evaluation.intervals import interval_words
from flashsim.evaluation.kpis import show
from flashsim.evaluation.rollout import Rollout
from flashsim.evaluation.stats import bootstrap_means, differences, equal_member_means

_money = partial(show, unit="currency", currency="")
_difference = partial(_money, signed=True)


class Estimate(NamedTuple):
    """A mean with its interval."""

    mean: float
    low: float
    high: float


def over_trainings(
    scores: ArrayLike, members: ArrayLike, *, confidence: float = 0.95, resamples: int = 10_000, seed: int = 0
) -> Estimate:
    """Mean of ``scores`` (training, sale) with an interval that counts trainings, members (sale,) and sales.

    InputError on wrong shapes, values that are not finite, or a confidence outside 0 to 1.
    """
    table = np.asarray(scores, dtype=np.float64)
    if table.ndim != 2 or not table.size:
        raise InputError(f"scores: expected (training, sale), got shape {table.shape}")
    if not 0.0 < confidence < 1.0:
        raise InputError(f"confidence must be above 0 and below 1, got {confidence!r}")
    sales = bootstrap_means(table.mean(axis=0)[:, None], members, resamples=resamples, seed=seed)
    if len(table) == 1:
        low, high = sales.interval(confidence)
        return Estimate(float(sales.mean[0]), float(low[0]), float(high[0]))
    between = float(equal_member_means(table.T, members).std(ddof=1)) / np.sqrt(len(table))
    own = float(stdtrit(len(table) - 1, (1.0 + confidence) / 2.0)) * between
    mean, (low, high) = float(sales.mean[0]), sales.interval(confidence)
    below, above = np.hypot(mean - low[0], own), np.hypot(high[0] - mean, own)
    return Estimate(mean, float(mean - below), float(mean + above))


def trainings_table(
    rollouts: Sequence[Rollout],
    *,
    trainings: Mapping[str, Sequence[str]],
    confidence: float,
    resamples: int,
    seed: int,
) -> pd.DataFrame:
    """How much more profit a sale each learner earns than each rival, over all its trainings; a row a pair.

    ``trainings``: learner -> names of its policies; all other policies are rivals. Rows are sorted by learner, then the
    hardest rival first. InputError when a name has no rollout.
    """
    profit = {rollout.policy: rollout.totals["profit"] for rollout in rollouts}
    members = rollouts[0].members
    learned = {name for names in trainings.values() for name in names}
    if learned - profit.keys():
        raise InputError(f"trainings: no rollout of {sorted(learned - profit.keys())[0]!r}")
    rows = []
    for learner, names in trainings.items():
        own = np.stack([profit[name] for name in names])
        for rival in sorted(profit.keys() - learned, key=lambda name: -float(profit[name].mean())):
            ahead = differences(own.T, profit[rival][:, None]).T
            found = over_trainings(ahead, members, confidence=confidence, resamples=resamples, seed=seed)
            rows.append(
                {
                    "learner": learner,
                    "trainings": len(names),
                    "sales": members.size,
                    "profit": float(equal_member_means(own.mean(axis=0)[:, None], members)[0]),
                    "rival": rival,
                    "rival_profit": float(equal_member_means(profit[rival][:, None], members)[0]),
                    "earns_more": found.mean,
                    "low": found.low,
                    "high": found.high,
                }
            )
    return pd.DataFrame(rows)


def _words(row: Mapping[Any, Any]) -> str:
    return interval_words(row["earns_more"], row["low"], row["high"], sales=row["sales"], shown=_difference)


def trainings_rows(table: pd.DataFrame) -> list[dict[str, str]]:
    """A :func:`trainings_table` in words for a report."""
    return [
        {
            "learner": str(row["learner"]),
            "trainings": str(row["trainings"]),
            "profit a sale": _money(row["profit"]),
            "rival": str(row["rival"]),
            "its profit": _money(row["rival_profit"]),
            "earns more by": f"{_difference(row['earns_more'])} ({_words(row)})",
        }
        for row in table.to_dict("records")
    ]
