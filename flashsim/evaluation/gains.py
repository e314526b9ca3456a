"""How much more of a KPI a policy reaches than a rival, as a share of what the rival reaches, in the same sales.

    gain = mean(KPI of the policy - KPI of the rival) / mean(KPI of the rival)

with the interval of a ratio of two means (:func:`flashsim.evaluation.stats.ratio_scores`). Participation and conversion
are what industry reports claim for learned flash sales: 15 % and 20 % more than rules set by hand. No threshold is held
against them here: the claims name neither the rules nor the sales.
"""

from collections.abc import Sequence
from functools import partial

import numpy as np
import pandas as pd

from flashsim.errors import InputError
from flashsim.evaluation.intervals import interval_words
from flashsim.evaluation.kpis import KPIS, find_kpi, kpi_values, show
from flashsim.evaluation.rollout import Rollout
from flashsim.evaluation.stats import bootstrap_means, differences, equal_member_means, ratio_scores

CLAIMED = {"participation": 0.15, "conversion": 0.20}
"""KPI -> gain over rules set by hand that is claimed for learned policies."""
_change = partial(show, unit="change", currency="", signed=True)
_share = partial(show, unit="share", currency="")


def gains_table(
    rollouts: Sequence[Rollout],
    *,
    policies: Sequence[str],
    rival: str,
    confidence: float,
    resamples: int,
    seed: int,
) -> pd.DataFrame:
    """A row a policy and KPI of ``CLAIMED``: both means, the gain over ``rival`` and its interval, and what is claimed.

    Where the rival's mean is 0 the gain and its interval are missing. InputError when a policy has no rollout.
    """
    played = {rollout.policy: rollout for rollout in rollouts}
    missing = [name for name in (*policies, rival) if name not in played]
    if missing:
        raise InputError(f"gains: no rollout of {missing[0]!r} (there are: {', '.join(played)})")
    members = played[rival].members
    theirs = kpi_values(played[rival].totals)
    rows = []
    for policy in policies:
        own = kpi_values(played[policy].totals)
        for name, claimed in CLAIMED.items():
            column = KPIS.index(find_kpi(name))
            means = equal_member_means(np.stack([own[:, column], theirs[:, column]], axis=1), members)
            gain, low, high = np.nan, np.nan, np.nan
            if means[1] > 0.0:
                ahead = differences(own[:, [column]], theirs[:, [column]])[:, 0]
                scores = ratio_scores(ahead, theirs[:, column], members=members)
                found = bootstrap_means(scores[:, None], members, resamples=resamples, seed=seed)
                ends = found.interval(confidence)
                gain, low, high = float(found.mean[0]), float(ends[0][0]), float(ends[1][0])
            rows.append(
                {
                    "policy": policy,
                    "kpi": name,
                    "value": float(means[0]),
                    "rival": rival,
                    "rival_value": float(means[1]),
                    "gain": gain,
                    "low": low,
                    "high": high,
                    "claimed": claimed,
                }
            )
    return pd.DataFrame(rows)


def gains_rows(table: pd.DataFrame, *, sales: int) -> list[dict[str, str]]:
    """A :func:`gains_table` of ``sales`` sales in words."""
    rows = []
    for row in table.to_dict("records"):
        gain = "–"
        if not np.isnan(row["gain"]):
            ends = interval_words(row["gain"], row["low"], row["high"], sales=sales, shown=_change, of="tail")
            gain = f"{_change(row['gain'])} ({ends})"
        rows.append(
            {
                "policy": str(row["policy"]),
                "key figure": find_kpi(str(row["kpi"])).label.lower(),
                "its value": _share(row["value"]),
                "rival": str(row["rival"]),
                "rival's": _share(row["rival_value"]),
                "gain": gain,
                "industry claims": _change(row["claimed"]),
            }
        )
    return rows
