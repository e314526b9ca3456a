"""Verdicts on rollouts whose truth is known, and tables that agree with one another."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from flashsim.errors import InputError
from flashsim.evaluation.comparison import Comparison, compare
from flashsim.evaluation.decision import DecisionRule
from flashsim.evaluation.kpis import KPIS
from flashsim.evaluation.rollout import Rollout
from tests.evaluation.made_rollouts import make_rollout

RESAMPLES = 1000


def contest(*rollouts: Rollout, learners: tuple[str, ...] = ("PPO",), resamples: int = RESAMPLES) -> Comparison:
    baselines = [rollout.policy for rollout in rollouts if rollout.policy not in (*learners, "oracle")]
    return compare(rollouts, learners=learners, baselines=baselines, resamples=resamples)


def number(table: pd.DataFrame, column: str, **where: str) -> float:
    """The only cell of ``column`` in the row that ``where`` names."""
    for name, value in where.items():
        table = table[table[name] == value]
    return float(table[column].item())


def usual(*, effect: float, **options: float) -> Comparison:
    return contest(
        make_rollout("PPO", effect=effect, **options),  # type: ignore[arg-type]
        make_rollout("fixed depth"),
        make_rollout("ladder", effect=-40.0),
    )


def test_clear_difference_names_the_winner_and_its_amount() -> None:
    verdict = usual(effect=50.0).verdict
    assert (verdict.outcome, verdict.winner, verdict.baseline) == ("learner", "PPO", "fixed depth")
    assert verdict.low < 50.0 < verdict.high
    assert verdict.difference == pytest.approx(50.0, abs=3.0)
    assert "PPO wins" in verdict.sentence()


def test_identical_policies_are_not_separable_and_have_no_width() -> None:
    rollout = make_rollout("fixed depth")
    verdict = contest(dataclasses.replace(rollout, policy="PPO"), rollout).verdict
    assert verdict.outcome == "not separable"
    assert verdict.winner is None
    assert verdict.difference == verdict.low == verdict.high == 0.0
    assert "cannot be told apart" in verdict.sentence()


def test_noise_alone_is_not_separable() -> None:
    assert usual(effect=0.0, own_noise=30.0).verdict.outcome == "not separable"


def test_better_baseline_wins() -> None:
    verdict = usual(effect=-60.0).verdict
    assert (verdict.outcome, verdict.winner) == ("baseline", "fixed depth")
    assert "No learner wins" in verdict.sentence()
    assert "above that of the best learner" in verdict.sentence()


def test_claim_must_hold_against_every_baseline_not_only_the_best_by_mean() -> None:
    shaky = make_rollout("shaky", effect=-30.0, own_noise=900.0)  # lower mean, but nobody can tell
    comparison = contest(make_rollout("PPO", effect=40.0), make_rollout("fixed depth"), shaky)
    pairs = comparison.tables["pairs"]
    assert number(pairs, "p_holm", baseline="fixed depth") < 0.05
    assert number(pairs, "p_holm", baseline="shaky") >= 0.05
    assert comparison.verdict.outcome == "not separable"
    assert comparison.verdict.baseline == "shaky"


def test_effect_of_one_world_alone_does_not_win() -> None:
    one_world = contest(make_rollout("PPO", member_effects=[1000.0] + [0.0] * 19), make_rollout("fixed depth"))
    everywhere = contest(make_rollout("PPO", effect=50.0), make_rollout("fixed depth"))
    assert one_world.verdict.outcome == "not separable"
    assert everywhere.verdict.outcome == "learner"
    assert one_world.verdict.difference == pytest.approx(everywhere.verdict.difference, abs=2.0)
    width = one_world.verdict.high - one_world.verdict.low
    assert width > 5.0 * (everywhere.verdict.high - everywhere.verdict.low)
    without = one_world.tables["members"].query("policy == 'PPO' and member == 12")["difference_without"].item()
    assert abs(without) < 5.0


def test_false_wins_are_rare_when_nothing_differs() -> None:
    wins = 0
    for seed in range(30):
        rollouts = [make_rollout(name, own_noise=40.0, sales=80, seed=seed) for name in ("PPO", "DQN", "a", "b", "c")]
        wins += contest(*rollouts, learners=("PPO", "DQN"), resamples=300).verdict.outcome != "not separable"
    assert wins <= 3


def test_reference_is_shown_but_never_wins() -> None:
    comparison = contest(
        make_rollout("PPO", effect=50.0), make_rollout("fixed depth"), make_rollout("oracle", effect=500.0)
    )
    assert comparison.verdict.winner == "PPO"
    assert "oracle" in set(comparison.tables["kpis"]["policy"])
    assert "oracle" not in set(comparison.tables["pairs"]["baseline"]) | set(comparison.tables["pairs"]["learner"])


def test_broken_guardrail_is_told_with_the_win() -> None:
    verdict = usual(effect=50.0, latency_s=3.0).verdict
    assert verdict.guardrails_broken == ("p95_latency_s",)
    assert "breaks guardrails: 95th percentile of latency" in verdict.sentence()
    assert "keeps every guardrail" in usual(effect=50.0).verdict.sentence()


def test_guardrail_can_be_set() -> None:
    rollouts = [make_rollout("PPO", effect=50.0), make_rollout("fixed depth")]
    rule = DecisionRule(practice="fixed depth", limits={"sell_through": 0.9})
    strict = compare(rollouts, learners=["PPO"], baselines=["fixed depth"], rule=rule, resamples=RESAMPLES)
    row = strict.tables["guardrails"].query("policy == 'PPO' and kpi == 'sell_through'").iloc[0]
    assert (row["limit"], row["status"]) == (0.9, "broken")


def test_lower_is_better_where_the_kpi_says_so() -> None:
    fast, slow = make_rollout("PPO", latency_s=0.2), make_rollout("fixed depth", latency_s=0.4)
    rule = DecisionRule(practice="fixed depth", primary="p95_latency_s")
    verdict = compare([fast, slow], learners=["PPO"], baselines=["fixed depth"], rule=rule, resamples=RESAMPLES).verdict
    assert verdict.winner == "PPO"
    assert verdict.difference == pytest.approx(-0.2, abs=1e-6)
    assert "below that of the best baseline" in verdict.sentence()


def test_money_bridge_adds_up_to_the_profit_difference() -> None:
    comparison = usual(effect=50.0)
    bridge = comparison.tables["bridge"].query("policy == 'PPO'")
    parts = bridge[bridge["term"] != "profit"]
    for column in ("difference", "policy_amount", "baseline_amount"):
        assert parts[column].sum() == pytest.approx(number(bridge, column, term="profit"), abs=1e-8)
    assert number(bridge, "difference", term="profit") == pytest.approx(comparison.verdict.difference, abs=1e-8)


def test_tables_agree_with_one_another_and_with_the_sales() -> None:
    ppo, fixed = make_rollout("PPO", effect=50.0), make_rollout("fixed depth")
    comparison = contest(ppo, fixed)
    kpis, differences = comparison.tables["kpis"], comparison.tables["differences"]
    assert len(kpis) == 2 * len(KPIS)
    assert number(kpis, "mean", policy="PPO", kpi="profit") == pytest.approx(ppo.totals["profit"].mean())
    for kpi in KPIS:
        gap = number(kpis, "mean", policy="PPO", kpi=kpi.name) - number(
            kpis, "mean", policy="fixed depth", kpi=kpi.name
        )
        assert number(differences, "difference", kpi=kpi.name) == pytest.approx(gap, abs=1e-9)
    pair = comparison.tables["pairs"].iloc[comparison.verdict.pair_row]
    assert pair["difference"] == comparison.verdict.difference
    assert pair["low"] == number(differences, "low", kpi="profit")
    assert pair["high"] == number(differences, "high", kpi="profit")
    assert pair["family_low"] <= pair["low"] <= pair["difference"] <= pair["high"] <= pair["family_high"]
    members = comparison.tables["members"].query("policy == 'PPO'")
    assert members["difference"].mean() == pytest.approx(pair["difference"])
    assert pair["relative"] == pytest.approx(pair["difference"] / fixed.totals["profit"].mean())


def test_phases_are_means_of_thirds_of_the_course() -> None:
    comparison = usual(effect=50.0)
    course = make_rollout("PPO").profile["visitors"]
    phases = comparison.tables["phases"]
    assert number(phases, "mean", policy="PPO", series="visitors", phase="first third") == pytest.approx(
        course[:14].mean()
    )
    assert number(phases, "mean", policy="PPO", series="visitors", phase="last third") == pytest.approx(
        course[27:].mean()
    )


def test_pair_tells_in_how_many_worlds_the_learner_is_ahead() -> None:
    pair = usual(effect=50.0).tables["pairs"].iloc[0]
    assert (pair["worlds"], pair["worlds_better"]) == (20, 20)
    assert pair["least_without_one"] <= pair["difference"] <= pair["most_without_one"]


def test_saved_tables_are_the_same_again_and_keep_full_precision(tmp_path: Path) -> None:
    for name in ("one", "two"):
        usual(effect=50.0).save(tmp_path / name)
    names = sorted(path.name for path in (tmp_path / "one").iterdir())
    assert "decision.json" in names
    for name in names:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()
    comparison = usual(effect=50.0)
    for name, table in comparison.tables.items():
        back = pd.read_csv(tmp_path / "one" / f"{name}.csv", dtype=str, keep_default_na=False)
        stored = json.loads((tmp_path / "one" / f"{name}.json").read_text(encoding="utf-8"))
        assert stored["columns"] == list(table.columns) == list(back.columns)
        for column in table.select_dtypes("float").columns:
            assert [float(text) for text in back[column]] == table[column].tolist(), (name, column)
            place = stored["columns"].index(column)
            shown = [value if np.isfinite(value) else None for value in table[column]]  # JSON knows no infinite ends
            assert [row[place] for row in stored["rows"]] == shown, (name, column)


def test_rollouts_of_different_sales_are_refused_with_what_differs() -> None:
    ppo, fixed = make_rollout("PPO"), make_rollout("fixed depth")
    other_seeds = dataclasses.replace(fixed, seeds=fixed.seeds + (np.arange(fixed.seeds.size) == 3))
    with pytest.raises(InputError, match=r"seeds differ first in row 3 \(1003 and 9\)"):
        contest(ppo, dataclasses.replace(fixed, seeds=np.where(np.arange(160) == 3, 9, fixed.seeds)))
    with pytest.raises(InputError, match=r"seeds differ first in row 3 \(1003 and 1004\)"):
        contest(ppo, other_seeds)
    with pytest.raises(InputError, match=r"members differ first in row 0 \(12 and 13\)"):
        contest(ppo, dataclasses.replace(fixed, members=fixed.members + 1))
    with pytest.raises(InputError, match="160 and 80 seeds"):
        contest(ppo, make_rollout("fixed depth", sales=80))


def test_course_may_end_early_but_not_have_holes() -> None:
    ppo, fixed = make_rollout("PPO"), make_rollout("fixed depth")
    early = {name: series.copy() for name, series in fixed.profile.items()}
    for series in early.values():
        series[30:] = np.nan
    profile = contest(ppo, dataclasses.replace(fixed, profile=early)).tables["profile"]
    assert profile[profile["policy"] == "fixed depth"]["tick"].max() == 29
    assert np.isfinite(profile["value"]).all()
    holed = early | {"visitors": np.where(np.arange(40) == 3, np.nan, fixed.profile["visitors"])}
    with pytest.raises(InputError, match=r"profile\['visitors'\] holds a value that is not finite before"):
        contest(ppo, dataclasses.replace(fixed, profile=holed))


def test_unusable_names_and_values_are_refused() -> None:
    ppo, fixed = make_rollout("PPO"), make_rollout("fixed depth")
    with pytest.raises(InputError, match="no rollout of 'DQN'"):
        compare([ppo, fixed], learners=["DQN"], baselines=["fixed depth"])
    with pytest.raises(InputError, match="named as learner and as baseline"):
        compare([ppo, fixed], learners=["PPO"], baselines=["PPO"])
    with pytest.raises(InputError, match="baselines: expected a list"):
        compare([ppo, fixed], learners=["PPO"], baselines=[])
    with pytest.raises(InputError, match="'PPO' occurs 2 times"):
        compare([ppo, ppo], learners=["PPO"], baselines=["fixed depth"])
    with pytest.raises(InputError, match="no better direction"):
        DecisionRule(primary="visitors")
    with pytest.raises(InputError, match="product_names: expected 3, got 1"):
        compare([ppo, fixed], learners=["PPO"], baselines=["fixed depth"], product_names=["one"])
    broken = dataclasses.replace(fixed, profile=fixed.profile | {"errors": np.array([np.inf])})
    with pytest.raises(InputError, match=r"policy 'fixed depth': profile\['errors'\]"):
        contest(ppo, broken)
