"""Few worlds, one sale, no spread, an event never seen, values too skewed: what tables and report say of each.

Every case goes from rollouts through the comparison to the page, the Markdown and the files.
"""

import json
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from flashsim.errors import InputError
from flashsim.evaluation import Comparison, compare
from flashsim.evaluation.intervals import INTERVAL_TEXT, interval_form, interval_words, share_interval, within_range
from flashsim.evaluation.rollout import Rollout
from flashsim.report import write_report
from flashsim.report.figures import plot_intervals
from tests.evaluation.made_rollouts import make_rollout
from tests.report.test_page import Page


def compared(learner: Rollout, rule: Rollout, **settings: Any) -> Comparison:
    return compare([learner, rule], learners=[learner.policy], baselines=[rule.policy], resamples=500, **settings)


def two(**options: Any) -> list[Rollout]:
    return [make_rollout("PPO", effect=50.0, **options), make_rollout("rule", **options)]


def with_totals(rollout: Rollout, **totals: Any) -> Rollout:
    return replace(rollout, totals=rollout.totals | {name: np.asarray(total) for name, total in totals.items()})


def told(folder: Path, comparison: Comparison) -> tuple[str, str]:
    """Words of the page, and of the Markdown without its signs and links."""
    path = write_report(folder, comparison)
    page = " ".join("".join(Page(path.read_text(encoding="utf-8")).words).split())
    markdown = (folder / "report.md").read_text(encoding="utf-8").replace("\\", "")
    return page, re.sub(r'\[([^\]]*)\]\([^)]*"[^)]*"\)', r"\1", markdown)


def kpi(comparison: Comparison, name: str, *, policy: str = "PPO") -> pd.Series:
    table = comparison.tables["kpis"]
    return table[(table["policy"] == policy) & (table["kpi"] == name)].iloc[0]


def skewed_learner() -> Rollout:
    """Errors in one sale of the first world alone, and a profit that is more there alone."""
    made = make_rollout("PPO")
    is_first = np.arange(made.seeds.size) < 1
    revenue = made.totals["revenue"] + 1_000.0 * is_first
    profit = made.totals["profit"] + 1_000.0 * is_first
    errors = np.where(is_first, 400.0, 0.0)
    return with_totals(made, revenue=revenue, profit=profit, errors=errors)


def test_an_event_never_seen_is_told_with_how_often_it_may_be(tmp_path: Path) -> None:
    learner, rule = two()
    nothing = np.zeros(learner.seeds.size)
    comparison = compared(with_totals(learner, errors=nothing, retries=nothing), rule)
    row = kpi(comparison, "error_share")
    assert (row["mean"], row["low"], row["high"]) == (0.0, 0.0, pytest.approx(-np.log(0.05) / 160))
    for text in told(tmp_path, comparison):
        assert "none in 160 sales: at most 1.87 % in these 20 worlds" in text
        assert "none in 160 sales" in text.replace("none in 160 sales:", "")  # retries: a number, not a share
    stored = pd.read_csv(tmp_path / "tables" / "kpis.csv")
    assert stored["high"][stored["policy"].eq("PPO") & stored["kpi"].eq("error_share")].tolist() == [row["high"]]


def test_an_event_in_every_sale_is_told_with_how_often_it_may_fail(tmp_path: Path) -> None:
    learner, rule = two(own_noise=0.0)
    visitors = learner.totals["exogenous_visitors"] + learner.totals["attracted_visitors"]
    everybody = with_totals(learner, served=visitors, returning_visitors=0.0 * visitors)
    comparison = compared(everybody, rule)
    row, pair = kpi(comparison, "participation"), comparison.tables["pairs"].iloc[0]
    assert (row["mean"], row["high"], row["low"]) == (1.0, 1.0, pytest.approx(1.0 + np.log(0.05) / 160))
    assert (pair["probability_of_improvement"], pair["improvement_low"]) == (1.0, row["low"])
    for text in told(tmp_path, comparison):
        assert (
            text.count("in all 160 sales: at least 98.1 % in these 20 worlds") >= 3
        )  # participation, the card or sentence, the pair


def test_nothing_that_varies_is_told_as_such(tmp_path: Path) -> None:
    """All sales of all worlds alike: no interval without a reason, and no claim."""
    rule = make_rollout("rule")
    learner = replace(rule, policy="PPO")
    comparison = compared(learner, rule)
    assert comparison.verdict.outcome == "not separable"
    sentence = comparison.verdict.sentence()
    assert "(95 % interval without width: the same in all 160 sales, p = 1 after" in sentence
    assert "four times in five" not in sentence  # no difference is too small to be seen where nothing varies
    assert kpi(comparison, "server_cost")["standard_error"] == 0.0
    assert np.isfinite(kpi(comparison, "average_depth")["high"])  # the same but for rounding
    for text in told(tmp_path, comparison):
        assert "the same in all 160 sales" in text
        assert text.count("0.00 to 0.00") == 1  # the range of the difference without any one world


@pytest.mark.parametrize("effect", [50.0, -50.0])
def test_the_same_difference_in_all_sales_is_claimed(effect: float, tmp_path: Path) -> None:
    rule = make_rollout("rule")
    rule = with_totals(rule, **{name: np.rint(rule.totals[name]) for name in ("revenue", "profit")})
    totals = {name: rule.totals[name] + effect for name in ("revenue", "profit")}
    comparison = compared(replace(with_totals(rule, **totals), policy="PPO"), rule)
    assert comparison.verdict.outcome == ("learner" if effect > 0.0 else "baseline")
    for text in told(tmp_path, comparison):
        assert "difference without width: the same in all 160 sales), and the claim holds" in text


def test_the_bound_on_what_was_never_seen_holds_in_the_worlds_that_were_met() -> None:
    """Worlds differ tenfold in how often a sale goes wrong: of evaluations that see none, few are of worse worlds."""
    generator, worlds, sales, evaluations = np.random.default_rng(4), 20, 8, 20_000
    chances = 0.02 * generator.choice([0.2, 2.0], (worlds, evaluations))
    wrong = generator.random((worlds, sales, evaluations)) < chances[:, None]
    shares = wrong.reshape(worlds * sales, evaluations).astype(float)
    nothing = np.zeros(evaluations)
    high = share_interval(nothing, nothing, values=shares, least=0.0, most=1.0, confidence=0.95)[1]
    seen_none = ~shares.any(axis=0)
    assert seen_none.any()
    np.testing.assert_allclose(high[seen_none], -np.log(0.05) / 160)
    assert (seen_none & (high < chances.mean(axis=0))).mean() < 0.05


def test_values_too_skewed_are_told_without_an_end(tmp_path: Path) -> None:
    comparison = compared(skewed_learner(), with_totals(make_rollout("rule"), errors=np.zeros(160)))
    verdict = comparison.verdict
    assert (kpi(comparison, "error_share")["high"], verdict.high) == (np.inf, np.inf)
    assert verdict.outcome == "not separable"
    assert re.search(r"interval [+−]USD [\d.,]+ or more: too skewed to tell, p = ", verdict.sentence())
    for text in told(tmp_path, comparison):
        assert re.search(r"[\d.]+ %? ?or more: too skewed to tell", text)
        assert "∞" not in text
        assert "100.0 %)" not in text
    saved = json.loads((tmp_path / "tables" / "decision.json").read_text(encoding="utf-8"))
    assert saved["verdict"]["high"] is None
    cells = pd.read_csv(tmp_path / "tables" / "kpis.csv")
    assert cells["high"][cells["policy"].eq("PPO") & cells["kpi"].eq("error_share")].tolist() == [np.inf]
    status = comparison.tables["guardrails"].set_index(["policy", "kpi"])["status"]
    assert status["PPO", "error_share"] == "kept"  # it is far within its limit, however skewed


@pytest.mark.parametrize("worlds", [2, 7])
def test_too_few_worlds_claim_nothing_however_large_the_difference(worlds: int, tmp_path: Path) -> None:
    comparison = compared(*two(members=worlds, own_noise=1.0))
    assert comparison.verdict.outcome == "too few worlds"
    assert set(comparison.tables["differences"]["finding"]) == {"not separable"}
    for text in told(tmp_path, comparison):
        assert f"met {worlds} worlds, and a claim about all worlds needs eight" in text


def test_one_world_is_judged_by_its_sales_and_says_so(tmp_path: Path) -> None:
    comparison = compared(*two(members=1))
    assert (comparison.verdict.outcome, comparison.verdict.worlds) == ("learner", 1)
    nothing = np.zeros(160)
    never = kpi(compared(*(with_totals(one, errors=nothing) for one in two(members=1))), "error_share")
    assert (never["low"], never["high"]) == (0.0, pytest.approx(-np.log(0.05) / 160))
    for text in told(tmp_path, comparison):
        assert "All sales come from one world, so nothing can be said about other worlds." in text
        assert "of 1 worlds" not in text
        assert "Over 1 worlds" not in text


def test_one_sale_a_world_has_no_interval_of_its_own(tmp_path: Path) -> None:
    comparison = compared(*two(sales=20, members=20))
    members = comparison.tables["members"]
    assert members[["low", "high"]].isna().all(axis=None)
    assert comparison.verdict.outcome == "learner"
    for text in told(tmp_path, comparison):
        assert text.count("one sale") >= 20
    assert set(pd.read_csv(tmp_path / "tables" / "members.csv", dtype=str, keep_default_na=False)["low"]) == {""}


def test_a_single_sale_is_refused() -> None:
    with pytest.raises(InputError, match="at least 2 sales"):
        compared(*two(sales=1, members=1))


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("name", ["profit", "errors", "latency_p95_s"])
def test_a_value_that_is_not_finite_is_refused_by_name(name: str, bad: float) -> None:
    learner, rule = two()
    broken = learner.totals[name].copy()
    broken[3] = bad
    with pytest.raises(InputError, match=rf"policy 'PPO': totals\['{name}'\] holds a value that is not finite"):
        compared(with_totals(learner, **{name: broken}), rule)


def test_worlds_weigh_equally_whatever_their_sales() -> None:
    """Half of the sales in one world: everything is as if each world had been met as often."""
    members = np.concatenate([np.zeros(76), np.repeat(np.arange(1, 20), 4), np.arange(8)]).astype(np.int64)
    earned = np.where(members == 0, 900.0, 10.0)
    learner, rule = two(own_noise=0.0)
    totals = {name: rule.totals[name] + earned for name in ("revenue", "profit")}
    comparison = compared(replace(with_totals(learner, **totals), members=members), replace(rule, members=members))
    assert comparison.verdict.difference == pytest.approx((900.0 + 19 * 10.0) / 20)
    assert comparison.tables["members"].query("policy == 'PPO'")["difference"].sum() == pytest.approx(1_090.0)


def test_ends_are_cut_at_the_range_and_say_nothing_where_the_range_is_all_they_say() -> None:
    low = np.array([-0.1, 0.2, -0.1, 0.2, -np.inf, -np.inf])
    high = np.array([0.5, 1.2, np.inf, np.inf, 0.9, 1.2])
    below, above = within_range(low, high, least=0.0, most=1.0)
    assert below.tolist() == [0.0, 0.2, -np.inf, 0.2, -np.inf, -np.inf]
    assert above.tolist() == [0.5, 1.0, np.inf, np.inf, 0.9, np.inf]


def test_every_form_has_its_words() -> None:
    def words(mean: float, low: float, high: float, of: Any, worlds: int = 1) -> str:
        return interval_words(mean, low, high, sales=1_000, shown="{:g}".format, of=of, worlds=worlds)

    cases: Sequence[tuple[Any, str]] = [
        ((2.0, 1.0, 3.0, "level"), "1 to 3"),
        ((0.0, -1.0, 1.0, "difference"), "-1 to 1"),
        ((2.0, 1.0, np.inf, "level"), "1 or more: too skewed to tell"),
        ((2.0, -np.inf, 3.0, "difference"), "3 or less: too skewed to tell"),
        ((2.0, -np.inf, np.inf, "tail"), "too skewed to tell"),
        ((0.0, 0.0, 0.003, "level"), "none in 1,000 sales: at most 0.003"),
        ((1.0, 0.997, 1.0, "level"), "in all 1,000 sales: at least 0.997"),
        ((0.0, 0.0, 0.15, "level", 20), "none in 1,000 sales: at most 0.15 in these 20 worlds"),
        ((1.0, 0.85, 1.0, "level", 20), "in all 1,000 sales: at least 0.85 in these 20 worlds"),
        ((0.0, 0.0, 0.0, "level"), "none in 1,000 sales"),
        ((0.0, 0.0, 0.0, "difference"), "without width: the same in all 1,000 sales"),
        ((7.0, 7.0, 7.0 + 1e-12, "level"), "without width: the same in all 1,000 sales"),
        ((7.0, 7.0, 7.0, "tail"), "without width: no spread in 1,000 sales"),
        ((7.0, np.nan, np.nan, "difference"), "one sale"),
    ]
    assert [words(*case) for case, _ in cases] == [text for _, text in cases]
    forms = {interval_form(*case[:3], of=case[3], in_one_world=one) for case, _ in cases for one in (True, False)}
    assert forms == set(INTERVAL_TEXT)


def test_a_missing_end_is_an_arrow_at_the_edge_of_the_figure() -> None:
    rows = pd.DataFrame({"difference": [3.0, 4.0, -2.0], "low": [1.0, 2.0, np.nan], "high": [np.inf, 5.0, np.nan]})
    axes = Figure().subplots()
    plot_intervals(axes, rows, places=[0.0, 1.0, 2.0], colors=["red"] * 3)
    left, right = axes.get_xlim()
    assert left < -2.0 < 5.0 < right < 10.0
    bar = axes.lines[0]
    assert np.asarray(bar.get_xdata()).tolist() == [1.0, right]
    arrows = {str(line.get_marker()): float(np.asarray(line.get_xdata())[0]) for line in axes.lines}
    assert arrows[">"] == right
    assert "<" not in arrows
