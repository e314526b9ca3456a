"""What a decision reads: leads and guardrails of every policy that could run the sale, from sales that all played.

The practice plays the sale as given. A policy in a changed sale (more servers at the opening, say) plays that one, with
the same seeds on the same members; its lead is over the practice as things are today. A learner is held against the
rules of its own sale. All leads are one family for Holm's correction. A guardrail's interval is the one that every page
shows, of one KPI of one policy; where that has no end, for skewness, Hall's transformation gives one, since a limit may
be far beyond anything that was seen.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from flashsim.errors import InputError
from flashsim.evaluation.decision import Candidate, DecisionRule, Guard, Lead, status_of
from flashsim.evaluation.intervals import share_interval, within_range
from flashsim.evaluation.kpis import KPIS, Kpi, find_kpi, kpi_values
from flashsim.evaluation.rollout import Rollout
from flashsim.evaluation.stats import (
    Array,
    Resampled,
    bootstrap_means,
    differences,
    holm,
    minimum_detectable_effect,
)


@dataclass(frozen=True)
class Entrant:
    """A policy that was played, and in which sale."""

    rollout: Rollout
    is_learned: bool
    change: str = ""
    """Of the sale, in words; empty: the sale as given."""
    is_candidate: bool = True
    """False: a reference, whose guardrails are told and who never runs a sale."""


@dataclass(frozen=True)
class Appraisal:
    """What :func:`flashsim.evaluation.decision.decide` takes."""

    candidates: tuple[Candidate, ...]
    """Every entrant that could run the sale but the practice in the sale as given, in their order."""
    practice_guards: tuple[Guard, ...]
    guards: tuple[tuple[Guard, ...], ...]
    """Of every entrant, in their order."""


@dataclass(frozen=True)
class _Guarded:
    """One guardrail under every entrant; all arrays (sale, entrant)."""

    kpi: Kpi
    limit: float
    margin: float
    level: Array
    worse: Array  # than the practice, in the KPI's unit
    is_beyond: Array  # 1 where the sale is beyond the limit, else 0


def appraise(
    entrants: Sequence[Entrant],
    rule: DecisionRule,
    *,
    confidence: float = 0.95,
    resamples: int = 10_000,
    seed: int = 0,
) -> Appraisal:
    """Leads and guardrails of ``entrants``, who played the same seeds on the same members.

    InputError when sales differ, or when the practice did not play the sale as given.
    """
    practice = _place_of_practice(entrants, rule)
    values = np.stack([kpi_values(entrant.rollout.totals) for entrant in entrants], axis=1)
    pairs, kpi = _pairs(entrants, practice), find_kpi(rule.primary)
    own = values[:, :, KPIS.index(kpi)] * (-1.0 if kpi.direction == "lower" else 1.0)
    lead = differences(own[:, [one for one, _ in pairs]], own[:, [other for _, other in pairs]])
    guarded = [_guarded(values, name, limit, practice=practice, rule=rule) for name, limit in rule.guardrails.items()]
    blocks = [lead, lead - rule.worthwhile]
    blocks += [block for one in guarded for block in (one.level, one.worse, one.is_beyond)]
    members = entrants[practice].rollout.members
    resampled = bootstrap_means(np.concatenate(blocks, axis=1), members, resamples=resamples, seed=seed)
    leads = _leads(entrants, pairs, lead, rule, resampled, members=members, confidence=confidence)
    guards = _guards(entrants, guarded, resampled, start=2 * len(pairs), confidence=confidence)
    candidates = [
        Candidate(
            policy=entrant.rollout.policy,
            is_learned=entrant.is_learned,
            over_practice=next(lead for (one, _), lead in zip(pairs, leads, strict=True) if one == place),
            over_rules=tuple(lead for (one, _), lead in zip(pairs, leads, strict=True) if one == place)[1:],
            guards=guards[place],
            change=entrant.change,
        )
        for place, entrant in enumerate(entrants)
        if place != practice and entrant.is_candidate
    ]
    return Appraisal(tuple(candidates), guards[practice], tuple(guards))


def _place_of_practice(entrants: Sequence[Entrant], rule: DecisionRule) -> int:
    places = [
        place
        for place, entrant in enumerate(entrants)
        if entrant.rollout.policy == rule.practice and not entrant.change and not entrant.is_learned
    ]
    if len(places) != 1:
        names = ", ".join(sorted({entrant.rollout.policy for entrant in entrants if not entrant.is_learned}))
        raise InputError(f"practice: {rule.practice!r} did not play the sale as given; choose from: {names}")
    first = entrants[places[0]].rollout
    for entrant in entrants:
        for kind in ("seeds", "members"):
            if not np.array_equal(getattr(first, kind), getattr(entrant.rollout, kind)):
                raise InputError(
                    f"policies {first.policy!r} and {entrant.rollout.policy!r} must play the same sales, but {kind} "
                    "differ; evaluate both with the same seeds and world"
                )
    return places[0]


def _pairs(entrants: Sequence[Entrant], practice: int) -> list[tuple[int, int]]:
    """(candidate, rival) places: each candidate over the practice first, then a learner over the rules of its sale."""
    pairs = []
    for place, entrant in enumerate(entrants):
        if place == practice or not entrant.is_candidate:
            continue
        pairs.append((place, practice))
        if entrant.is_learned:
            pairs += [
                (place, other)
                for other, rival in enumerate(entrants)
                if not rival.is_learned and rival.is_candidate and other != practice and rival.change == entrant.change
            ]
    return pairs


def _guarded(values: Array, name: str, limit: float, *, practice: int, rule: DecisionRule) -> _Guarded:
    kpi = find_kpi(name)
    sign = -1.0 if kpi.direction == "higher" else 1.0
    level = values[:, :, KPIS.index(kpi)]
    return _Guarded(
        kpi=kpi,
        limit=limit,
        margin=rule.margin(name, limit),
        level=level,
        worse=sign * differences(level, level[:, [practice]]),
        is_beyond=(sign * level > sign * limit).astype(np.float64),
    )


def _leads(
    entrants: Sequence[Entrant],
    pairs: Sequence[tuple[int, int]],
    lead: Array,
    rule: DecisionRule,
    resampled: Resampled,
    *,
    members: np.ndarray,
    confidence: float,
) -> list[Lead]:
    """One a pair; ``lead`` (sale, pair) are the first columns of ``resampled``, less the worthwhile amount the next."""
    count = len(pairs)
    (low, high), p_value = resampled.interval(confidence), resampled.p_value()
    by_world = np.stack([lead[members == label].mean(axis=0) for label in np.unique(members)])
    columns = {
        "mean": resampled.mean,
        "low": low,
        "high": high,
        "p_value": holm(p_value[count : 2 * count]),
        "p_worse": holm(p_value[:count]),
        "worlds_ahead": (by_world > rule.worthwhile).mean(axis=0),
        "detectable": minimum_detectable_effect(
            resampled.standard_error, resampled.degrees_of_freedom, alpha=1.0 - confidence
        ),
    }
    return [
        Lead(over=entrants[other].rollout.policy, **{name: float(column[place]) for name, column in columns.items()})
        for place, (_, other) in enumerate(pairs)
    ]


def _guards(
    entrants: Sequence[Entrant], guarded: Sequence[_Guarded], resampled: Resampled, *, start: int, confidence: float
) -> list[tuple[Guard, ...]]:
    """Of each entrant; their columns begin at ``start``: for each guardrail level, worse and beyond."""
    all_low, all_high = resampled.interval(confidence)
    closed_low, closed_high = resampled.closed_interval(confidence)
    guards: list[list[Guard]] = [[] for _ in entrants]
    for one in guarded:
        level, worse, beyond = (
            slice(start + part * len(entrants), start + (part + 1) * len(entrants)) for part in range(3)
        )
        start = beyond.stop
        low, high = _ends_of_level(entrants, one, closed_low[level], closed_high[level], confidence=confidence)
        beyond_low, beyond_high = share_interval(
            all_low[beyond], all_high[beyond], values=one.is_beyond, least=0.0, most=1.0, confidence=confidence
        )
        for place, own in enumerate(guards):
            own.append(
                Guard(
                    kpi=one.kpi.name,
                    limit=one.limit,
                    mean=float(resampled.mean[level][place]),
                    low=float(low[place]),
                    high=float(high[place]),
                    status=status_of(low[place], high[place], limit=one.limit, direction=one.kpi.direction),
                    status_to_practice=status_of(
                        closed_low[worse][place], closed_high[worse][place], limit=one.margin, direction="lower"
                    ),
                    share_beyond=float(resampled.mean[beyond][place]),
                    beyond_low=float(beyond_low[place]),
                    beyond_high=float(beyond_high[place]),
                )
            )
    return [tuple(own) for own in guards]


def _ends_of_level(
    entrants: Sequence[Entrant], one: _Guarded, low: Array, high: Array, *, confidence: float
) -> tuple[Array, Array]:
    """Ends (entrant,) cut as in the table of KPIs (:func:`flashsim.evaluation.intervals.kpi_intervals`)."""
    least, most = np.transpose([one.kpi.bounds(entrant.rollout.totals) for entrant in entrants])
    low, high = within_range(low, high, least=least, most=most)
    if one.kpi.unit != "share":
        return low, high
    return share_interval(low, high, values=one.level, least=least, most=most, confidence=confidence)
