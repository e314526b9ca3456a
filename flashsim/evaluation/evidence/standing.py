"""What rules and networks are chosen by on training worlds: how far they may be beyond guardrails, and their lead."""

from collections.abc import Mapping

import numpy as np

from flashsim.evaluation.kpis import KPIS, find_kpi, kpi_values
from flashsim.evaluation.rollout import Rollout
from flashsim.evaluation.stats import bootstrap_means

RESAMPLES = 1_000


def guardrail_excess(rollout: Rollout, limits: Mapping[str, float], *, confidence: float = 0.95) -> float:
    """Sum over the guardrails of how far the outer end of the interval lies beyond the limit, in limits; 0: all kept.

    ``limits``: KPI -> guardrail. The interval is the one by which a decision calls a guardrail kept.
    """
    if not limits:
        return 0.0
    kpis = [find_kpi(name) for name in limits]
    sign = np.array([-1.0 if kpi.direction == "higher" else 1.0 for kpi in kpis])
    bound = sign * np.array(list(limits.values()))
    levels = sign * kpi_values(rollout.totals)[:, [KPIS.index(kpi) for kpi in kpis]]
    resampled = bootstrap_means(levels, rollout.members, resamples=RESAMPLES)
    _, end = resampled.closed_interval(confidence)
    unit = np.where(bound == 0.0, 1.0, np.abs(bound))
    return float(np.maximum(0.0, (end - bound) / unit).sum())


def lead_over(twins: Rollout, rollout: Rollout, *, kpi: str) -> tuple[float, float]:
    """Mean of ``kpi`` above that of the same sales in ``twins``, and its standard error over world members.

    A single member has none to spread over: the error is then that over sales.
    """
    lead = rollout.totals[kpi] - twins.totals[kpi]
    means = np.array([lead[rollout.members == member].mean() for member in np.unique(rollout.members)])
    spread = means if means.size > 1 else lead
    return float(lead.mean()), float(spread.std(ddof=1) / np.sqrt(spread.size))
