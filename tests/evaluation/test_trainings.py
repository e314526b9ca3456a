"""Intervals over trainings cover what they claim, and tables name learners and rivals as they are."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from flashsim.errors import InputError
from flashsim.evaluation.stats import bootstrap_means
from flashsim.evaluation.trainings import over_trainings, trainings_rows, trainings_table
from tests.evaluation.made_rollouts import make_rollout

MEMBERS = np.arange(160) % 8


def drawn(
    rng: np.random.Generator, *, trainings: int, between: float, member: float, sale: float
) -> NDArray[np.float64]:
    """Scores (training, sale) of mean 3 with normal effects of training, member and sale."""
    own = rng.normal(0.0, between, (trainings, 1)) + rng.normal(0.0, member, 8)[MEMBERS]
    return 3.0 + own + rng.normal(0.0, sale, (trainings, MEMBERS.size))


@pytest.mark.parametrize(("between", "member"), [(0.0, 1.0), (2.0, 0.1), (1.0, 1.0)])
def test_intervals_cover_the_mean_as_often_as_they_claim(between: float, member: float) -> None:
    """90 % claimed, 500 tables each; never less by 4 standard errors, whatever varies."""
    rng = np.random.default_rng(4)
    inside = 0
    for _ in range(500):
        found = over_trainings(
            drawn(rng, trainings=3, between=between, member=member, sale=2.0), MEMBERS, confidence=0.9, resamples=100
        )
        inside += found.low <= 3.0 <= found.high
    assert inside / 500 > 0.9 - 4.0 * 0.0134


def test_what_trainings_differ_by_widens_the_interval() -> None:
    rng = np.random.default_rng(0)
    alike = drawn(rng, trainings=3, between=0.0, member=1.0, sale=1.0)
    unlike = alike + np.array([[-2.0], [0.0], [2.0]])
    near, far = over_trainings(alike, MEMBERS, resamples=500), over_trainings(unlike, MEMBERS, resamples=500)
    assert far.mean == pytest.approx(near.mean)
    assert far.high - far.low > 2.0 * (near.high - near.low)


def test_one_training_has_the_interval_of_its_sales() -> None:
    scores = drawn(np.random.default_rng(1), trainings=1, between=0.0, member=1.0, sale=1.0)
    low, high = bootstrap_means(scores.T, MEMBERS, resamples=500, seed=2).interval(0.95)
    found = over_trainings(scores, MEMBERS, resamples=500, seed=2)
    assert (found.low, found.high) == (low[0], high[0])


def test_a_table_compares_each_learner_with_each_rival_the_hardest_first() -> None:
    rollouts = [
        make_rollout("PPO-1", effect=50.0),
        make_rollout("PPO-2", effect=70.0),
        make_rollout("DQN", effect=10.0),
        make_rollout("rule", effect=0.0),
        make_rollout("ladder", effect=-40.0),
    ]
    table = trainings_table(
        rollouts, trainings={"PPO": ["PPO-1", "PPO-2"], "DQN": ["DQN"]}, confidence=0.95, resamples=500, seed=0
    )
    assert table["learner"].tolist() == ["PPO", "PPO", "DQN", "DQN"]
    assert table["rival"].tolist() == ["rule", "ladder"] * 2
    assert table["trainings"].tolist() == [2, 2, 1, 1]
    assert table["earns_more"].tolist() == pytest.approx([60.0, 100.0, 10.0, 50.0], abs=2.0)
    np.testing.assert_allclose(table["profit"] - table["rival_profit"], table["earns_more"])
    assert ((table["low"] < table["earns_more"]) & (table["earns_more"] < table["high"])).all()


def test_a_learner_that_plays_as_a_rival_earns_the_same_and_an_open_end_is_told() -> None:
    """Rounding is no difference: two sums of the same amounts in another order."""
    rule = make_rollout("rule")
    profit = rule.totals["profit"] * (1.0 + np.random.default_rng(0).uniform(0.0, 1e-13, 160))
    alike = replace(rule, policy="PPO", totals=rule.totals | {"profit": profit})
    lucky = np.where(np.arange(160) == 0, 1_000.0, 0.0)
    once = replace(rule, policy="DQN", totals=rule.totals | {"profit": rule.totals["profit"] + lucky})
    table = trainings_table(
        [alike, once, rule], trainings={"PPO": ["PPO"], "DQN": ["DQN"]}, confidence=0.95, resamples=500, seed=0
    )
    assert [table[name].tolist()[0] for name in ("earns_more", "low", "high")] == [0.0, 0.0, 0.0]
    same, skewed = (row["earns more by"] for row in trainings_rows(table))
    assert same == "0.00 (without width: the same in all 160 sales)"
    assert skewed.startswith("+6.25 (−")
    assert skewed.endswith(" or more: too skewed to tell)")


@pytest.mark.parametrize(
    ("scores", "confidence", "words"),
    [
        (np.zeros(160), 0.95, "expected \\(training, sale\\), got shape \\(160,\\)"),
        (np.zeros((2, 160)), 1.0, "confidence must be above 0 and below 1, got 1.0"),
        (np.full((2, 160), np.nan), 0.95, "finite"),
    ],
)
def test_what_cannot_be_compared_is_refused(scores: NDArray[np.float64], confidence: float, words: str) -> None:
    with pytest.raises(InputError, match=words):
        over_trainings(scores, MEMBERS, confidence=confidence)


def test_a_training_without_a_rollout_is_refused() -> None:
    rollouts = [make_rollout("rule"), replace(make_rollout("PPO"))]
    with pytest.raises(InputError, match="no rollout of 'PPO-2'"):
        trainings_table(rollouts, trainings={"PPO": ["PPO", "PPO-2"]}, confidence=0.95, resamples=100, seed=0)
