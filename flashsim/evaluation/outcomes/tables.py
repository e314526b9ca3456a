"""Tables of what can happen beside the means: chances, the distribution of the primary KPI, lost visits, one sale."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from flashsim.evaluation.intervals import share_interval
from flashsim.evaluation.kpis import find_kpi
from flashsim.evaluation.outcomes.causes import CAUSES, LOSSES
from flashsim.evaluation.resampling import Contest
from flashsim.evaluation.rollout import Rollout
from flashsim.evaluation.stats import Array, bootstrap_means

QUANTILES = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)
MOST_LOST = 0.9
"""Share of the lost visits that the minutes told of them hold."""


def outcome_tables(contest: Contest, *, resamples: int, seed: int) -> dict[str, pd.DataFrame]:
    """The tables of this module, by name; those of what the rollouts do not hold are left out."""
    tables = {
        "chances": chance_table(contest, resamples=resamples, seed=seed),
        "distribution": distribution_table(contest),
        "losses": loss_table(contest.rollouts),
        "course": course_table(contest),
    }
    tables["causes"] = cause_table(tables["losses"])
    return {name: table for name, table in tables.items() if not table.empty}


def chance_table(contest: Contest, *, resamples: int, seed: int) -> pd.DataFrame:
    """How often a sale makes a loss, and is sold out before half its time and before its close; with intervals.

    ``tick`` is until when it counts.
    """
    keys, columns = [], []
    for rollout in contest.rollouts:
        half = float(np.max(rollout.totals["ticks"])) / 2.0
        for name, happened in _happened(rollout, half).items():
            keys.append((rollout.policy, name, half if name.endswith("half") else 2.0 * half))
            columns.append(happened.astype(np.float64))
    values = np.stack(columns, axis=1)
    found = bootstrap_means(values, contest.members, resamples=resamples, seed=seed)
    low, high = share_interval(
        *found.interval(contest.confidence), values=values, least=0.0, most=1.0, confidence=contest.confidence
    )
    return pd.DataFrame(keys, columns=["policy", "outcome", "tick"]).assign(mean=found.mean, low=low, high=high)


def _happened(rollout: Rollout, half: float) -> dict[str, NDArray[np.bool_]]:
    """Outcome -> (sale,) whether it happened."""
    happened = {"loss": rollout.totals["profit"] < 0.0}
    if "sold_out_tick" in rollout.totals:
        first, last = rollout.totals["first_sold_out_tick"], rollout.totals["sold_out_tick"]
        happened |= {"a product sold out by half": first < half, "a product sold out": np.isfinite(first)}
        happened |= {"all sold out by half": last < half, "all sold out": np.isfinite(last)}
    return happened


def distribution_table(contest: Contest) -> pd.DataFrame:
    """Quantiles of the primary KPI over the sales of each policy."""
    values = np.quantile(contest.primary_values, QUANTILES, axis=0)
    return pd.DataFrame(
        [
            (name, contest.primary.name, share, values[row, place])
            for place, name in enumerate(contest.names)
            for row, share in enumerate(QUANTILES)
        ],
        columns=["policy", "kpi", "share", "value"],
    )


def loss_table(rollouts: Sequence[Rollout]) -> pd.DataFrame:
    """Lost visits a sale by guardrail, cause and tick; ticks without any have no row."""
    parts = []
    for rollout in rollouts:
        for kpi in (name for name in LOSSES if name in rollout.losses):
            visits = rollout.losses[kpi]
            tick, cause = np.nonzero(visits > 0.0)
            names = np.array(CAUSES)[cause]
            parts.append(
                pd.DataFrame({"cause": names, "tick": tick, "visits": visits[tick, cause]}).assign(
                    policy=rollout.policy, kpi=kpi
                )
            )
    columns = ["policy", "kpi", "cause", "tick", "visits"]
    return pd.concat(parts, ignore_index=True)[columns] if parts else pd.DataFrame(columns=columns)


def cause_table(losses: pd.DataFrame) -> pd.DataFrame:
    """A row a policy and guardrail: lost visits a sale, the most frequent cause and its share, and when they are lost.

    ``first_tick`` to ``last_tick`` is the shortest time that holds ``MOST_LOST`` of them.
    """
    rows = []
    for (policy, kpi), mine in losses.groupby(["policy", "kpi"], sort=False):
        by_cause = mine.groupby("cause", sort=False)["visits"].sum()
        visits = np.asarray(np.bincount(mine["tick"].to_numpy(int), weights=mine["visits"].to_numpy(float)), np.float64)
        first, last = _shortest_time(visits)
        rows.append(
            {
                "policy": policy,
                "kpi": kpi,
                "label": find_kpi(str(kpi)).label,
                "visits": visits.sum(),
                "cause": by_cause.idxmax(),
                "share": by_cause.max() / visits.sum(),
                "time_share": MOST_LOST,
                "first_tick": first,
                "last_tick": last,
            }
        )
    return pd.DataFrame(rows)


def _shortest_time(visits: Array) -> tuple[int, int]:
    """First and last tick of the shortest time that holds ``MOST_LOST`` of ``visits`` (tick,), their sum above 0."""
    before = np.concatenate([[0.0], np.cumsum(visits)])
    ends = np.searchsorted(before, before[:-1] + MOST_LOST * before[-1] * (1.0 - 1e-12))
    lengths = np.where(ends < before.size, ends - np.arange(visits.size), visits.size + 1)
    first = int(lengths.argmin())
    return first, int(ends[first]) - 1


def course_table(contest: Contest) -> pd.DataFrame:
    """The first sale under every policy, tick by tick, in the form of ``profile_table``."""
    parts = []
    for rollout in contest.rollouts:
        for series, values in sorted(rollout.course.items()):
            names: Sequence[str] = contest.product_names if values.ndim == 2 else ("",)
            for product, column in zip(names, values.reshape(values.shape[0], -1).T, strict=True):
                ticks = pd.DataFrame({"product": product, "tick": np.arange(column.size), "value": column})
                parts.append(ticks.assign(policy=rollout.policy, series=series))
    columns = ["policy", "series", "product", "tick", "value"]
    if not parts:
        return pd.DataFrame(columns=columns)
    return pd.concat(parts, ignore_index=True)[columns].dropna(subset=["value"], ignore_index=True)
