"""A decision as tables: leads, guardrails, what would tell. Each number that its sentences say stands in a cell."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict

import numpy as np
import pandas as pd

from flashsim.evaluation.decision import Decision, DecisionRule, Reason
from flashsim.evaluation.evidence.appraisal import Appraisal, Entrant
from flashsim.evaluation.evidence.what_would_tell import Tell, what_would_tell
from flashsim.evaluation.kpis import KPIS, find_kpi, kpi_values
from flashsim.evaluation.stats import Array, differences


def leads_table(
    appraisal: Appraisal, rule: DecisionRule, *, sales: int, worlds: int, confidence: float
) -> pd.DataFrame:
    """Every candidate over the practice, and every learner over every rule, on the primary KPI; more is better.

    p-values are corrected for all rows together.
    """
    rows = [
        {"policy": candidate.policy, "change": candidate.change, "is_learned": candidate.is_learned, **asdict(lead)}
        for candidate in appraisal.candidates
        for lead in candidate.leads
    ]
    unit = find_kpi(rule.primary).unit
    table = pd.DataFrame(rows, columns=["policy", "change", "is_learned", *_LEAD])
    ahead = np.rint(table["worlds_ahead"].to_numpy(float) * worlds).astype(np.int64)
    table = table.assign(kpi=rule.primary, unit=unit, ahead=ahead, worlds=worlds, sales=sales, asked=rule.worlds_ahead)
    return table.assign(confidence_percent=100.0 * confidence)


_LEAD = ("over", "mean", "low", "high", "p_value", "p_worse", "worlds_ahead", "detectable")


def guardrail_table(entrants: Sequence[Entrant], appraisal: Appraisal) -> pd.DataFrame:
    """Each guardrail under each policy: kept, open or broken by its interval, and how many sales lie beyond it."""
    reasons = {(kpi.name, kpi.limit): kpi.limit_reason for kpi in KPIS if kpi.limit is not None}
    rows = []
    for entrant, guards in zip(entrants, appraisal.guards, strict=True):
        role = "learner" if entrant.is_learned else "baseline" if entrant.is_candidate else "reference"
        for guard in guards:
            kpi, policy = find_kpi(guard.kpi), entrant.rollout.policy
            described = {"label": kpi.label, "unit": kpi.unit, "direction": kpi.direction}
            why = reasons.get((guard.kpi, guard.limit), "set for this evaluation")
            about = {"policy": policy, "role": role, "change": entrant.change}
            rows.append({**about, **asdict(guard), **described, "reason": why})
    return pd.DataFrame(rows, columns=[*_ABOUT, "label", "unit", "direction", *_GUARD, "reason"])


_ABOUT = ("policy", "role", "change", "kpi")
_GUARD = (
    *("limit", "mean", "low", "high", "status"),
    *("status_to_practice", "share_beyond", "beyond_low", "beyond_high"),
)


def tells_table(
    entrants: Sequence[Entrant],
    decision: Decision,
    rule: DecisionRule,
    *,
    fields: Mapping[str, Mapping[int, float]],
    confidence: float,
    leads: int,
) -> pd.DataFrame:
    """For each reason that more evidence could remove, what would tell; ``leads``: how many were corrected for."""
    rows = []
    for reason in decision.reasons if decision.outcome == "cannot tell" else ():
        if reason.shortfall in ("worse", "short", "guardrail broken"):
            continue
        alpha = (1.0 - confidence) / (leads if reason.shortfall == "lead" else 1)
        tell = what_would_tell(
            _scores(entrants, decision, rule, reason),
            entrants[0].rollout.members,
            alpha=alpha,
            about_worlds=reason.shortfall == "worlds",
            fields=fields,
        )
        rows.append({"shortfall": reason.shortfall, "about": reason.about, **asdict(tell)})
    columns = ["shortfall", "about", *Tell.__dataclass_fields__]
    return pd.DataFrame(rows, columns=columns)


def _scores(entrants: Sequence[Entrant], decision: Decision, rule: DecisionRule, reason: Reason) -> Array:
    """(sale,) what must be shown to be above, or below, 0."""
    assert decision.candidate is not None
    own = _values(entrants, decision.candidate.policy, decision.candidate.change)
    if reason.shortfall.startswith("guardrail"):
        level = own[:, _place(reason.about)]
        if reason.about in decision.relative_guardrails:
            theirs = _values(entrants, decision.practice, "")[:, _place(reason.about)]
            sign = -1.0 if find_kpi(reason.about).direction == "higher" else 1.0
            worse = sign * differences(level, theirs)
            return np.asarray(worse - rule.margin(reason.about, rule.guardrails[reason.about]))
        return np.asarray(level - rule.guardrails[reason.about])
    is_practice = reason.about == decision.practice
    rival = _values(entrants, reason.about, "" if is_practice else decision.candidate.change)
    sign = -1.0 if find_kpi(rule.primary).direction == "lower" else 1.0
    place = _place(rule.primary)
    lead = sign * differences(own[:, place], rival[:, place])
    return np.asarray(lead - (0.0 if is_practice and lead.mean() < 0.0 else rule.worthwhile))


def _place(name: str) -> int:
    return KPIS.index(find_kpi(name))


def _values(entrants: Sequence[Entrant], policy: str, change: str) -> Array:
    """(sale, KPI) under a policy in one sale."""
    found = next(one for one in entrants if (one.rollout.policy, one.change) == (policy, change))
    return kpi_values(found.rollout.totals)
