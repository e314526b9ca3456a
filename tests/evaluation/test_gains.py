"""Relative gains are ratios of means with intervals that hold what is true."""

import numpy as np
import pandas as pd
import pytest

from flashsim.errors import InputError
from flashsim.evaluation.gains import CLAIMED, gains_rows, gains_table
from flashsim.evaluation.rollout import Rollout
from tests.evaluation.made_rollouts import make_rollout

SETTINGS = {"confidence": 0.95, "resamples": 500, "seed": 0}


def with_paid(rollout: Rollout, factor: float) -> Rollout:
    """The same sales with ``factor`` times as many units paid for each visit served, and twice that in one member."""
    served = rollout.totals["served"] / np.where(rollout.members == rollout.members[0], 0.5 * factor, factor)
    rollout.totals["served"] = served
    return rollout


def test_a_gain_is_the_difference_of_means_over_the_mean_of_the_rival() -> None:
    ours, theirs = with_paid(make_rollout("PPO"), 1.2), make_rollout("human team")
    table = gains_table([ours, theirs], policies=["PPO"], rival="human team", **SETTINGS).set_index("kpi")  # type: ignore[arg-type]
    assert table.index.tolist() == list(CLAIMED)
    assert table["claimed"].tolist() == list(CLAIMED.values())
    converted = table.loc["conversion"]
    means = [
        np.mean([(r.totals["paid"] / r.totals["served"])[r.members == m].mean() for m in np.unique(r.members)])
        for r in (ours, theirs)
    ]
    assert converted["value"] == pytest.approx(means[0])
    assert converted["gain"] == pytest.approx(means[0] / means[1] - 1.0)
    assert converted["low"] < converted["gain"] < converted["high"]


def test_who_does_the_same_gains_nothing() -> None:
    table = gains_table(
        [make_rollout("a"), make_rollout("b")],
        policies=["a"],
        rival="b",
        **SETTINGS,  # type: ignore[arg-type]
    )
    assert table["gain"].tolist() == pytest.approx([0.0, 0.0], abs=1e-12)


def test_there_is_no_gain_over_nothing() -> None:
    theirs = make_rollout("b")
    for name in ("served", "returning_visitors"):
        theirs.totals[name] = np.zeros_like(theirs.totals[name])
    table = gains_table([make_rollout("a"), theirs], policies=["a"], rival="b", **SETTINGS)  # type: ignore[arg-type]
    assert table["rival_value"].tolist() == [0.0, 0.0]
    assert table["gain"].isna().all()
    assert [row["gain"] for row in gains_rows(table, sales=160)] == ["–", "–"]


def test_gains_are_told_with_what_is_known_of_their_ends() -> None:
    ends = {"policy": "PPO", "value": 0.5, "rival": "human team", "rival_value": 0.4, "claimed": 0.2}
    table = pd.DataFrame(
        [
            {**ends, "kpi": "participation", "gain": 0.25, "low": 0.2, "high": 0.3},
            {**ends, "kpi": "conversion", "gain": 0.25, "low": 0.2, "high": np.inf},
        ]
    )
    told = [row["gain"] for row in gains_rows(table, sales=160)]
    assert told == ["+25.0 % (+20.0 % to +30.0 %)", "+25.0 % (+20.0 % or more: too skewed to tell)"]


def test_a_policy_without_a_rollout_is_refused() -> None:
    with pytest.raises(InputError, match="no rollout of 'human team' \\(there are: a\\)"):
        gains_table([make_rollout("a")], policies=["a"], rival="human team", **SETTINGS)  # type: ignore[arg-type]
