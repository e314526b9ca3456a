"""Who plays whom on which sales, and every column of scores that the tables need, resampled at once."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from flashsim.envs.quantities import money_terms
from flashsim.evaluation.kpis import KPIS, Kpi
from flashsim.evaluation.rollout import Rollout
from flashsim.evaluation.stats import (
    Array,
    bootstrap_means,
    cvar_scores,
    differences,
    equal_member_means,
    improvement_scores,
    ratio_scores,
)


@dataclass(frozen=True)
class Contest:
    """Checked input of the tables: who plays which part, and every KPI of every sale."""

    rollouts: tuple[Rollout, ...]
    roles: Mapping[str, str]  # policy -> learner, baseline or reference
    values: Array  # (sale, policy, KPI)
    best: int  # place of the baseline with the best mean of the primary KPI
    primary: Kpi
    confidence: float
    tail_share: float
    product_names: tuple[str, ...]

    @property
    def names(self) -> list[str]:
        """Policies in the order given."""
        return [rollout.policy for rollout in self.rollouts]

    @property
    def members(self) -> NDArray[np.int64]:
        """(sale,) member of each sale."""
        return self.rollouts[0].members

    @property
    def primary_values(self) -> Array:
        """(sale, policy) of the primary KPI."""
        return np.asarray(self.values[:, :, KPIS.index(self.primary)])

    def pairs(self) -> list[tuple[int, int]]:
        """(learner, baseline) places: the family of comparisons."""
        learners = [place for place, name in enumerate(self.names) if self.roles[name] == "learner"]
        baselines = [place for place, name in enumerate(self.names) if self.roles[name] == "baseline"]
        return [(learner, baseline) for learner in learners for baseline in baselines]


@dataclass(frozen=True)
class Summary:
    """Bootstrap summary of a block of columns, each array (column,) but the scores."""

    scores: Array
    """(sale, column)."""
    mean: Array
    low: Array
    high: Array
    family_low: Array
    family_high: Array
    standard_error: Array
    p_value: Array
    degrees_of_freedom: int
    skewness: Array
    """Of the members' means."""


def summarize(contest: Contest, *, resamples: int, seed: int) -> dict[str, Summary]:
    """Resample all columns of all tables at once, so that they share their resamples."""
    blocks = _score_blocks(contest)
    resampled = bootstrap_means(
        np.concatenate(list(blocks.values()), axis=1), contest.members, resamples=resamples, seed=seed
    )
    low, high = resampled.interval(contest.confidence)
    family = resampled.interval(1.0 - (1.0 - contest.confidence) / len(contest.pairs()))
    p_value = resampled.p_value()
    summaries, start = {}, 0
    for name, scores in blocks.items():
        part = slice(start, start + scores.shape[1])
        start = part.stop
        summaries[name] = Summary(
            scores=scores,
            mean=resampled.mean[part],
            low=low[part],
            high=high[part],
            family_low=family[0][part],
            family_high=family[1][part],
            standard_error=resampled.standard_error[part],
            p_value=p_value[part],
            degrees_of_freedom=resampled.degrees_of_freedom,
            skewness=resampled.moments.skewness[part],
        )
    return summaries


def _score_blocks(contest: Contest) -> dict[str, Array]:
    sales = contest.values.shape[0]
    primary, pairs = contest.primary_values, contest.pairs()
    learners, baselines = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
    ahead = differences(primary[:, learners], primary[:, baselines])
    sign = -1.0 if contest.primary.direction == "lower" else 1.0
    tails = sign * cvar_scores(sign * primary, members=contest.members, share=contest.tail_share)
    money = _money(contest)
    return {
        "levels": contest.values.reshape(sales, -1),
        "differences": differences(contest.values, contest.values[:, [contest.best]]).reshape(sales, -1),
        "pairs": ahead,
        "improvement": improvement_scores(sign * ahead),
        "relative": _relative_scores(contest),
        "tails": tails,
        "tail_differences": differences(tails, tails[:, [contest.best]]),
        "money": money.reshape(sales, -1),
        "money_differences": differences(money, money[:, [contest.best]]).reshape(sales, -1),
    }


def _relative_scores(contest: Contest) -> Array:
    """(sale, pair) scores of learner over baseline, less 1; zeros where the baseline's mean is not positive."""
    primary, columns = contest.primary_values, []
    means = equal_member_means(primary, contest.members)
    for learner, baseline in contest.pairs():
        if means[baseline] > 0.0:
            ratio = ratio_scores(primary[:, learner], primary[:, baseline], members=contest.members)
            columns.append(ratio - 1.0)
        else:
            columns.append(np.zeros(primary.shape[0]))
    return np.stack(columns, axis=1)


def _money(contest: Contest) -> Array:
    """(sale, policy, term) signed terms of profit, and profit itself last."""
    return np.stack(
        [np.stack([*money_terms(rollout.totals), rollout.totals["profit"]], axis=1) for rollout in contest.rollouts],
        axis=1,
    )
