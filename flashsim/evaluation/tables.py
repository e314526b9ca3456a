"""The tables of a comparison: every number that a report shows stands in a cell of one of them.

All means give every world member the same weight; all differences are taken sale by sale. "Best" is the baseline with
the highest mean of the primary KPI. Money and units are a sale's.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from flashsim.envs.quantities import MONEY_TERMS
from flashsim.evaluation.intervals import kpi_intervals, share_interval, within_range
from flashsim.evaluation.kpis import KPIS
from flashsim.evaluation.resampling import Contest, Summary
from flashsim.evaluation.stats import (
    equal_member_means,
    holm,
    minimum_detectable_effect,
    within_member_intervals,
)

MONEY_LABELS = {
    "revenue": "Revenue",
    "goods_cost": "Cost of goods",
    "server_cost": "Servers",
    "penalty": "Penalties",
    "salvage": "Value of stock left",
}


def policies_table(contest: Contest) -> pd.DataFrame:
    """Who took part."""
    return pd.DataFrame(
        {
            "policy": contest.names,
            "role": [contest.roles[name] for name in contest.names],
            "best_baseline": [place == contest.best for place in range(len(contest.names))],
            "sales": [rollout.seeds.size for rollout in contest.rollouts],
            "simulated_steps": [rollout.steps for rollout in contest.rollouts],
        }
    )


def _by_policy_and_kpi(contest: Contest) -> pd.DataFrame:
    return pd.DataFrame(
        [
            (name, contest.roles[name], kpi.name, kpi.label, kpi.unit, kpi.direction)
            for name in contest.names
            for kpi in KPIS
        ],
        columns=["policy", "role", "kpi", "label", "unit", "direction"],
    )


def kpi_table(contest: Contest, levels: Summary) -> pd.DataFrame:
    """Mean and interval of every KPI under every policy."""
    table = _by_policy_and_kpi(contest)
    ends = zip(*(end.reshape(-1, len(KPIS)) for end in (levels.low, levels.high)), strict=True)
    cut = [
        kpi_intervals(rollout.totals, contest.values[:, place], own, confidence=contest.confidence)
        for place, (rollout, own) in enumerate(zip(contest.rollouts, ends, strict=True))
    ]
    low, high = np.stack(cut, axis=1).reshape(2, -1)
    return table.assign(mean=levels.mean, low=low, high=high, standard_error=levels.standard_error)


def difference_table(contest: Contest, differences: Summary) -> pd.DataFrame:
    """Every policy less the best baseline, for every KPI; p-values are of single comparisons, not corrected."""
    table = _by_policy_and_kpi(contest).assign(
        baseline=contest.names[contest.best],
        difference=differences.mean,
        low=differences.low,
        high=differences.high,
        p_value=differences.p_value,
    )
    table["finding"] = _finding(table["difference"], table["p_value"], table["direction"], alpha=1 - contest.confidence)
    return table[table["policy"] != contest.names[contest.best]].reset_index(drop=True)


def _finding(difference: pd.Series, p_value: pd.Series, direction: pd.Series, *, alpha: float) -> NDArray[np.str_]:
    sign = direction.map({"higher": 1.0, "lower": -1.0, "neutral": np.nan})
    gain = sign * difference
    return np.select(
        [p_value >= alpha, gain > 0.0, gain < 0.0], ["not separable", "better", "worse"], default="differs"
    )


def pair_table(contest: Contest, summaries: Mapping[str, Summary]) -> pd.DataFrame:
    """Every learner against every baseline on the primary KPI: the corrected family that the verdict rests on.

    ``family_low`` and ``family_high`` hold for all pairs at once (Bonferroni).
    """
    pairs, main, relative = contest.pairs(), summaries["pairs"], summaries["relative"]
    means = equal_member_means(contest.primary_values, contest.members)
    no_base = means[[baseline for _, baseline in pairs]] <= 0.0
    worlds = _by_world(contest)
    alpha = 1.0 - contest.confidence
    ahead = summaries["improvement"]
    ahead_low, ahead_high = share_interval(
        ahead.low,
        ahead.high,
        values=ahead.scores,
        least=0.0,
        most=1.0,
        confidence=contest.confidence,
    )
    table = pd.DataFrame(
        {
            "learner": [contest.names[learner] for learner, _ in pairs],
            "baseline": [contest.names[baseline] for _, baseline in pairs],
            "kpi": contest.primary.name,
            "unit": contest.primary.unit,
            "direction": contest.primary.direction,
            "difference": main.mean,
            "low": main.low,
            "high": main.high,
            "p_value": main.p_value,
            "p_holm": holm(main.p_value),
            "family_low": main.family_low,
            "family_high": main.family_high,
            "relative": np.where(no_base, np.nan, relative.mean),
            "relative_low": np.where(no_base, np.nan, relative.low),
            "relative_high": np.where(no_base, np.nan, relative.high),
            "probability_of_improvement": summaries["improvement"].mean,
            "improvement_low": ahead_low,
            "improvement_high": ahead_high,
            "standard_error": main.standard_error,
            "skewness": main.skewness,
            "minimum_detectable_effect": minimum_detectable_effect(
                main.standard_error, main.degrees_of_freedom, alpha=alpha
            ),
        }
    )
    return pd.concat([table, worlds], axis=1).assign(
        sales=contest.members.size,
        comparisons=len(pairs),
        confidence=contest.confidence,
        finding=_finding(table["difference"], table["p_holm"], table["direction"], alpha=alpha),
    )


def _by_world(contest: Contest) -> pd.DataFrame:
    """For each pair: in how many worlds the learner's mean is better, and the difference with one world left out."""
    labels = np.unique(contest.members)
    means = np.stack([contest.primary_values[contest.members == label].mean(axis=0) for label in labels])
    sign = -1.0 if contest.primary.direction == "lower" else 1.0
    rows = []
    for learner, baseline in contest.pairs():
        difference = means[:, learner] - means[:, baseline]
        without = (difference.sum() - difference) / (labels.size - 1) if labels.size > 1 else np.array([np.nan])
        rows.append((labels.size, int((sign * difference > 0.0).sum()), without.min(), without.max()))
    return pd.DataFrame(rows, columns=["worlds", "worlds_better", "least_without_one", "most_without_one"])


def member_table(contest: Contest) -> pd.DataFrame:
    """The primary KPI world by world; intervals see only the sales of that world.

    ``difference_without`` is the overall difference to the best baseline when that world is left out.
    """
    primary, members = contest.primary_values, contest.members
    labels, counts = np.unique(members, return_counts=True)
    differences = primary - primary[:, [contest.best]]
    means = np.stack([primary[members == label].mean(axis=0) for label in labels])
    by_member = np.stack([differences[members == label].mean(axis=0) for label in labels])
    low, high = within_member_intervals(differences, members, confidence=contest.confidence)
    without = (by_member.sum(axis=0) - by_member) / max(labels.size - 1, 1)
    return pd.DataFrame(
        [
            {
                "policy": name,
                "role": contest.roles[name],
                "member": int(label),
                "sales": int(counts[row]),
                "mean": means[row, place],
                "difference": by_member[row, place],
                "low": low[row, place],
                "high": high[row, place],
                "difference_without": without[row, place] if labels.size > 1 else np.nan,
            }
            for place, name in enumerate(contest.names)
            for row, label in enumerate(labels)
        ]
    )


def bridge_table(contest: Contest, summaries: Mapping[str, Summary]) -> pd.DataFrame:
    """Signed terms of profit under the best baseline and under each policy; the differences add up to profit's."""
    levels, differences = summaries["money"], summaries["money_differences"]
    terms = [*MONEY_TERMS, "profit"]
    count = len(terms)
    start = contest.best * count
    return pd.DataFrame(
        {
            "policy": np.repeat(contest.names, count),
            "baseline": contest.names[contest.best],
            "term": terms * len(contest.names),
            "label": [MONEY_LABELS.get(term, "Profit") for term in terms] * len(contest.names),
            "baseline_amount": np.tile(levels.mean[start : start + count], len(contest.names)),
            "policy_amount": levels.mean,
            "difference": differences.mean,
            "low": differences.low,
            "high": differences.high,
        }
    )


def risk_table(contest: Contest, summaries: Mapping[str, Summary]) -> pd.DataFrame:
    """Bad sales of each policy: mean of the worst share (CVaR) of the primary KPI, its worst and its middle sale."""
    primary = contest.primary_values
    tails = primary if contest.primary.direction != "lower" else -primary
    worst = np.take_along_axis(primary, tails.argmin(axis=0)[None], axis=0)[0]
    level, difference = summaries["tails"], summaries["tail_differences"]
    least, most = np.transpose([contest.primary.bounds(rollout.totals) for rollout in contest.rollouts])
    tail_low, tail_high = within_range(level.low, level.high, least=least, most=most)
    return pd.DataFrame(
        {
            "policy": contest.names,
            "tail_share": contest.tail_share,
            "tail_mean": level.mean,
            "tail_low": tail_low,
            "tail_high": tail_high,
            "baseline": contest.names[contest.best],
            "difference": difference.mean,
            "low": difference.low,
            "high": difference.high,
            "worst": worst,
            "median": np.median(primary, axis=0),
        }
    )


def product_table(contest: Contest) -> pd.DataFrame:
    """Mean a sale of every quantity of every product."""
    rows = []
    for rollout in contest.rollouts:
        for quantity in sorted(rollout.products):
            means = equal_member_means(rollout.products[quantity], contest.members)
            rows += [
                (rollout.policy, product, quantity, mean)
                for product, mean in zip(contest.product_names, means, strict=True)
            ]
    return pd.DataFrame(rows, columns=["policy", "product", "quantity", "mean"])


def profile_table(contest: Contest) -> pd.DataFrame:
    """Course of the sale: mean of every series in every tick; ``product`` is empty for series of the whole sale.

    Ticks after the last sale of a policy has closed have no row.
    """
    parts = []
    for rollout in contest.rollouts:
        for series in sorted(rollout.profile):
            values = rollout.profile[series]
            names: Sequence[str] = contest.product_names if values.ndim == 2 else ("",)
            for product, column in zip(names, values.reshape(values.shape[0], -1).T, strict=True):
                parts.append(
                    pd.DataFrame(
                        {
                            "policy": rollout.policy,
                            "series": series,
                            "product": product,
                            "tick": np.arange(column.size),
                            "value": column,
                        }
                    )
                )
    return pd.concat(parts, ignore_index=True).dropna(subset=["value"], ignore_index=True)


def phase_table(profile: pd.DataFrame) -> pd.DataFrame:
    """Every series of the course averaged over the first, middle and last third of the ticks; depth over products."""
    ticks = int(profile["tick"].max()) + 1
    third = np.minimum(profile["tick"].to_numpy() * 3 // ticks, 2)
    phases = profile.assign(phase=np.array(["first third", "middle third", "last third"])[third])
    means = phases.groupby(["policy", "series", "phase"], sort=False)["value"].mean()
    return means.rename("mean").reset_index()
