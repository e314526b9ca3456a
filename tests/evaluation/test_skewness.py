"""Johnson's t against its paper's formula, against Student's where nothing is skewed; the rule that asks both; and what
the whole verdict makes of it."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats as distributions

from flashsim.evaluation.comparison import compare
from flashsim.evaluation.rollout import Rollout
from flashsim.evaluation.skewness import Skewed, johnson_interval, johnson_p_value, level_read, skewed
from flashsim.evaluation.stats import FEWEST_MEMBERS, Array, bootstrap_means, differences
from tests.evaluation.claims import LAWS, claims, detectable
from tests.evaluation.made_rollouts import make_rollout
from tests.evaluation.verdict_claims import ALPHA, CASES, SHOWN, TRAININGS, WORLDS, false_claims, judge, played


def moments(values: list[float]) -> Skewed:
    column = np.array(values)[:, None]
    return skewed(column, error=column.std(axis=0, ddof=1) / np.sqrt(column.size))


def test_symmetric_values_have_students_interval_and_p_value() -> None:
    values = [-3.0, -1.0, 0.5, 1.0, 1.5, 3.0, 5.0]
    found = moments(values)
    low, high = johnson_interval(found, 0.9)
    expected = distributions.ttest_1samp(values, 0.0)
    assert found.third_moment[0] == pytest.approx(0.0, abs=1e-12)
    assert (low[0], high[0]) == pytest.approx(tuple(expected.confidence_interval(0.9)))
    assert johnson_p_value(found)[0] == pytest.approx(expected.pvalue)


def test_the_modified_t_is_that_of_the_paper() -> None:
    """t = (d + m/(6·s²·n) + m·d²/(3·s⁴))·√n/s, at both ends of the interval, by hand."""
    values = np.array([0.2, 0.3, 0.4, 0.6, 0.7, 1.1, 1.3, 1.9])
    n, s = values.size, values.std(ddof=1)
    third = n / ((n - 1) * (n - 2)) * ((values - values.mean()) ** 3).sum()
    assert third == pytest.approx(distributions.skew(values, bias=False) * s**3, rel=1e-12)
    for end, sign in zip(johnson_interval(moments(values.tolist()), 0.8), (1.0, -1.0), strict=True):
        d = values.mean() - end[0]
        t = (d + third / (6.0 * s**2 * n) + third * d**2 / (3.0 * s**4)) * np.sqrt(n) / s
        assert sign * t == pytest.approx(distributions.t.ppf(0.9, n - 1))


def test_a_long_tail_moves_the_interval_towards_it_until_it_has_no_end() -> None:
    low, high = johnson_interval(moments([0.2, 0.3, 0.4, 0.6, 0.7, 1.1, 1.3, 1.9]), 0.8)
    student = distributions.ttest_1samp([0.2, 0.3, 0.4, 0.6, 0.7, 1.1, 1.3, 1.9], 0.0).confidence_interval(0.8)
    assert low[0] > student.low
    assert high[0] > student.high
    low, high = johnson_interval(moments([0.0] * 19 + [1.0]), 0.95)
    assert high[0] == np.inf
    assert np.isfinite(low[0])
    mirrored = johnson_interval(moments([0.0] * 19 + [-1.0]), 0.95)
    assert (mirrored[0][0], mirrored[1][0]) == (-high[0], -low[0])


def test_below_five_percent_a_claim_needs_more_than_students_law() -> None:
    """The level at which the law is read, and the p-value, undo each other; at 5 % and above nothing changes."""
    values = moments([2.1, 2.9, 3.5, 4.0, 4.5, 5.1, 5.9])  # symmetric: Johnson's t is Student's
    student = float(distributions.ttest_1samp([2.1, 2.9, 3.5, 4.0, 4.5, 5.1, 5.9], 0.0).pvalue)
    p_value = float(johnson_p_value(values)[0])
    assert student < p_value < 0.05
    assert level_read(p_value, 7) == pytest.approx(student)
    assert (level_read(0.05, 20), level_read(0.2, 20)) == (0.05, 0.2)
    levels = [level_read(0.01, size) for size in (8, 20, 200, 10**8)]
    assert levels == sorted(levels)
    assert levels[-1] == pytest.approx(0.01, rel=1e-3)


@given(
    values=st.lists(st.floats(-100.0, 100.0), min_size=3, max_size=30),
    confidence=st.floats(0.5, 0.999),
    shift=st.floats(-100.0, 100.0),
)
def test_an_interval_holds_zero_just_where_the_p_value_says_so(
    values: list[float], confidence: float, shift: float
) -> None:
    found = moments([value + shift for value in values])
    low, high = johnson_interval(found, confidence)
    p_value = johnson_p_value(found)[0]
    if found.error[0] > 1e-6 and abs(p_value - (1.0 - confidence)) > 1e-6:
        assert (low[0] <= 0.0 <= high[0]) == (p_value > 1.0 - confidence)


ROOT = Path(__file__).resolve().parents[2]
MARKS = {
    "normal": 0.06,
    "t(3)": 0.06,
    "lognormal, skewness 2": 0.06,
    "lognormal, skewness 3": 0.06,
    "lognormal, skewness 6": 0.075,
    "gamma, skewness 3": 0.06,
}


@pytest.mark.parametrize(("law", "most"), list(MARKS.items()))
@pytest.mark.parametrize("is_noise_skewed", [False, True], ids=["normal sales", "skewed sales"])
def test_twenty_worlds_claim_rarely_what_is_not_so(law: str, most: float, is_noise_skewed: bool) -> None:
    repetitions = 3_000
    found = claims(
        LAWS[law], worlds=20, repetitions=repetitions, seed=7, is_noise_skewed=is_noise_skewed, resamples=400
    )
    assert found["rule"] <= most + 2.0 * np.sqrt(most / repetitions)


def test_student_alone_would_not_hold() -> None:
    assert claims(LAWS["lognormal, skewness 3"], worlds=20, repetitions=3_000, seed=7, resamples=100)["Student"] > 0.075


def test_twenty_normal_worlds_keep_their_power() -> None:
    found = claims(LAWS["normal"], worlds=20, repetitions=3_000, seed=8, shift=detectable(20), resamples=400)
    assert found["Student"] == pytest.approx(0.8, abs=0.03)
    assert found["rule"] >= 0.75 - 0.015


def test_fewer_than_eight_worlds_claim_nothing() -> None:
    members = np.repeat(np.arange(FEWEST_MEMBERS - 1), 20)
    scores = 100.0 + np.random.default_rng(0).normal(size=(members.size, 3))
    found = bootstrap_means(scores, members, resamples=200)
    assert not found.is_claimable
    assert found.p_value().tolist() == [1.0, 1.0, 1.0]
    alone = bootstrap_means(scores, np.zeros(members.size), resamples=200)  # one world: sales are judged
    assert (alone.p_value() < 0.02).all()


def test_a_difference_of_rounding_is_none() -> None:
    one = np.full((200, 1), 0.4)
    other = one * (1.0 + np.random.default_rng(0).uniform(0.0, 1e-12, one.shape))
    assert not differences(one, other).any()
    assert differences(one, other + 1e-6).all()


def table_rows(first: str) -> list[list[str]]:
    """Cells of the table of ``docs/statistics.md`` whose first heading is ``first``, the headings first."""
    lines = (ROOT / "docs" / "statistics.md").read_text(encoding="utf-8").splitlines()
    start = next(place for place, line in enumerate(lines) if line.startswith(f"| {first} |"))
    end = next((place for place in range(start, len(lines)) if not lines[place].startswith("|")), len(lines))
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[start:end]]
    return [rows[0], *rows[2:]]


def shares(cell: str) -> tuple[float, float]:
    """False claims and headlines, as shares."""
    claimed, headline = cell.rstrip(")").split(" (")
    return float(claimed) / 100.0, float(headline) / 100.0


def test_the_document_holds_a_table_of_the_program() -> None:
    """Each cell of a few is what the program finds with fewer repetitions, within four standard errors."""
    header, *rows = table_rows("worlds")
    assert header == ["worlds", *LAWS, "power"]
    twenty = next(row for row in rows if row[0] == "20")
    for law in ("normal", "gamma, skewness 3"):
        told = float(twenty[header.index(law)].split("(")[0]) / 100.0
        found = claims(LAWS[law], worlds=20, repetitions=3_000, seed=9, resamples=400)["rule"]
        assert abs(found - told) <= 4.0 * np.sqrt(told / 3_000 + told / 10_000)


def test_through_the_whole_verdict_few_claims_are_false() -> None:
    """The document's table is whole, and with twenty worlds and more no cell is above its mark."""
    header, *rows = table_rows("truth")
    assert header == ["truth", "worlds", "trainings", *SHOWN]
    expected = [(case, worlds, trainings) for case in CASES for worlds in WORLDS for trainings in TRAININGS]
    assert [(case, int(worlds), int(trainings)) for case, worlds, trainings, *_ in rows] == expected
    for row in rows:
        for law, cell in zip(SHOWN, row[3:], strict=True):
            claimed, headline = shares(cell)
            assert headline <= claimed
            most = {"lognormal, skewness 6": 0.085, "gamma, skewness 6": 0.3}.get(law, 0.065)
            assert claimed <= most or int(row[1]) < 20, (row[:3], law)


def assert_as_told(row: list[str], law: str, *, repetitions: int) -> None:
    """A cell is what the program finds with fewer repetitions, within four standard errors."""
    case, worlds, trainings, *cells = row
    found = false_claims(
        law, CASES[case], worlds=int(worlds), trainings=int(trainings), repetitions=repetitions, seed=9
    )
    for seen, told in zip(found, shares(cells[SHOWN.index(law)]), strict=True):
        error = np.sqrt(max(told, 0.002) / repetitions + max(told, 0.002) / 10_000)
        assert abs(seen - told) <= 4.0 * error, (row[:3], law, seen, told)


def test_the_document_holds_a_table_of_verdicts() -> None:
    _, *rows = table_rows("truth")
    chosen = [row for row in rows if row[1] == "20" and row[2] == "1"]
    assert_as_told(chosen[0], "lognormal, skewness 3", repetitions=500)
    assert_as_told(chosen[2], "normal", repetitions=500)


@pytest.mark.slow
@pytest.mark.parametrize("law", SHOWN)
def test_the_document_holds_every_verdict_of_twenty_worlds(law: str) -> None:
    _, *rows = table_rows("truth")
    for row in rows:
        if row[1] == "20":
            assert_as_told(row, law, repetitions=2_000)


def rollout_of(policy: str, scores: Array, members: NDArray[np.intp]) -> Rollout:
    """A policy that earns 5 000 and 10 a sale for each unit of ``scores`` (sale,)."""
    made = make_rollout(policy, sales=members.size)
    revenue = made.totals["revenue"] + (5_000.0 + 10.0 * scores - made.totals["profit"])
    totals = made.totals | {"revenue": revenue, "profit": 5_000.0 + 10.0 * scores}
    return replace(made, members=members.astype(np.int64), totals=totals)


@pytest.mark.parametrize(("case", "trainings"), [("all equal", 1), ("tied with the best", 2)])
def test_simulated_verdicts_are_those_of_a_comparison(case: str, trainings: int) -> None:
    """Sales of some repetitions, with false claims and without, compared as any others: the same outcome."""
    generator = np.random.default_rng(2)
    agent, baselines, members = played(
        LAWS["gamma, skewness 3"],
        CASES[case],
        sign=1.0,
        worlds=8,
        trainings=trainings,
        repetitions=150,
        generator=generator,
    )
    judged = judge(agent, baselines, members, CASES[case], resamples=1_000, seed=4)
    chosen = [*np.flatnonzero(judged.is_false)[:4], *np.flatnonzero(~judged.is_false)[:2]]
    assert judged.is_false[chosen[0]]
    tied = [f"b{place}" for place in range(6 - CASES[case].worse)]
    for repetition in chosen:
        learners = [rollout_of(f"a{k}", agent[:, repetition, k], members) for k in range(trainings)]
        rules = [rollout_of(f"b{k}", baselines[:, repetition, k], members) for k in range(6)]
        names = [[rollout.policy for rollout in side] for side in (learners, rules)]
        made = compare([*learners, *rules], learners=names[0], baselines=names[1], resamples=1_000, seed=4)
        pairs = made.tables["pairs"]
        would_be_false = pairs["baseline"].isin(tied) | (pairs["difference"] < 0.0)
        assert ((pairs["p_holm"] < ALPHA) & would_be_false).any() == judged.is_false[repetition]
        assert (made.verdict.winner is not None) == judged.is_false_headline[repetition]
