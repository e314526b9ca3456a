"""What a decision says of made rollouts: every sentence true, and one number for one thing."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from flashsim.evaluation.comparison import Comparison, compare
from flashsim.evaluation.decision import DecisionRule
from flashsim.evaluation.evidence.appraisal import Entrant
from flashsim.evaluation.rollout import Rollout
from flashsim.report import write_report
from flashsim.rules import HUMAN_TEAM
from tests.evaluation.made_rollouts import make_rollout

MORE_SERVERS = "24 servers at the opening instead of 12"


def test_the_rule_of_a_changed_sale_need_not_play_the_sale_as_given(tmp_path: Path) -> None:
    """A change is searched with the run-out price, which may be no baseline."""
    told = compare(
        [make_rollout("PPO", latency_s=2.0), make_rollout(HUMAN_TEAM)],
        learners=["PPO"],
        baselines=[HUMAN_TEAM],
        changed=[Entrant(make_rollout("run-out price", effect=50.0), is_learned=False, change=MORE_SERVERS)],
        resamples=1_000,
    )
    assert told.decision.outcome == "run it with changes"
    own = told.tables["guardrails"]
    assert set(own.loc[own["policy"] == "run-out price", "role"]) == {"baseline"}
    write_report(tmp_path / "report", told, context={})
    assert MORE_SERVERS in (tmp_path / "report" / "report.md").read_text(encoding="utf-8")


def told(*rollouts: Rollout, change: Rollout | None = None, rule: dict[str, Any] | None = None) -> Comparison:
    """PPO and rules, with a rule in a changed sale."""
    return compare(
        rollouts,
        learners=["PPO"],
        baselines=[one.policy for one in rollouts if one.policy != "PPO"],
        changed=[Entrant(change, is_learned=False, change=MORE_SERVERS)] if change else [],
        rule=DecisionRule(**(rule or {})),
        resamples=1_000,
    )


def failing(rollout: Rollout) -> Rollout:
    """With thirty times the errors."""
    return replace(rollout, totals=rollout.totals | {"errors": 30.0 * rollout.totals["errors"]})


BASE = (make_rollout("PPO", effect=40.0), make_rollout("best fixed", effect=20.0), make_rollout(HUMAN_TEAM))


def test_a_kpi_of_which_less_is_better_is_told_as_a_lead() -> None:
    found = told(
        make_rollout("PPO", latency_s=0.2), make_rollout(HUMAN_TEAM, latency_s=0.5), rule={"primary": "p95_latency_s"}
    )
    assert "its lead over human team in 95th percentile of latency (less is better) is +0.300 s a sale" in str(found)
    assert "above" not in str(found)
    assert "+0.300 s a sale in 95th percentile of latency (less is better)" in found.words().headline()


def test_a_lead_in_a_share_is_in_percentage_points() -> None:
    found = told(BASE[0], *(failing(one) for one in BASE[1:]), rule={"primary": "error_share"})
    assert "in errors (less is better) is +5." in str(found)
    assert " pp a sale" in str(found)


def test_a_guardrail_that_is_held_against_the_practice_is_not_called_kept() -> None:
    slow = [make_rollout(one, effect=effect, latency_s=2.0) for one, effect in (("PPO", 40.0), (HUMAN_TEAM, 0.0))]
    for rollouts, labels in (
        (slow, ["95th percentile of latency"]),
        ([failing(one) for one in slow], ["errors", "95th percentile of latency"]),
    ):
        found = told(*rollouts)
        assert found.decision.outcome == "run it"
        assert f"every guardrail is kept except {' and '.join(labels)}." in str(found)
        assert f"For {' and '.join(labels)}, human team itself is beyond the limit" in str(found)
        assert f"guardrails not kept, as today: {' and '.join(labels)}" in found.words().headline()


def test_no_guardrail_is_called_kept_where_none_was_asked_for() -> None:
    found = told(*BASE, rule={"limits": dict.fromkeys(DecisionRule().guardrails)})
    assert "and no guardrail was asked for." in str(found)


def test_the_changed_sale_is_named_with_whoever_plays_it() -> None:
    rollouts = [make_rollout(one, effect=effect, latency_s=2.0) for one, effect in (("PPO", 40.0), ("best fixed", 9.0))]
    found = told(*rollouts, BASE[2], change=make_rollout("best fixed", effect=1.0, own_noise=100.0))
    assert found.decision.outcome == "cannot tell"
    assert f"the lead of best fixed with {MORE_SERVERS} over human team" in str(found)
    mended = told(*rollouts, BASE[2], change=make_rollout("best fixed", effect=50.0))
    test = replace(mended, decision=replace(mended.decision, outcome="run it as a test"))
    assert MORE_SERVERS in test.words().headline()
    assert "its lead over human team in the sale as given" in str(test)


def test_a_lead_that_is_surely_below_what_is_worthwhile_says_do_not_run_it() -> None:
    found = told(*BASE, rule={"worthwhile": 80.0})
    assert found.decision.outcome == "do not run it"
    assert "is less than what is worthwhile" in str(found)


def test_no_more_sales_are_asked_for_where_a_rule_is_surely_better() -> None:
    found = told(make_rollout("PPO", effect=20.0), make_rollout("best fixed", effect=40.0, latency_s=2.0), BASE[2])
    assert found.decision.outcome == "cannot tell"
    assert "PPO is behind best fixed" in str(found)
    assert "would tell" not in str(found)


@pytest.mark.parametrize("change", [None, make_rollout("best fixed", effect=-90.0, latency_s=3.0)])
def test_the_verdict_names_each_guardrail_once(change: Rollout | None) -> None:
    best = make_rollout("best fixed", effect=90.0, latency_s=2.0)
    found = told(BASE[0], best, BASE[2], change=change)
    assert found.verdict.subject == "best fixed"
    assert found.verdict.guardrails_broken == ("p95_latency_s",)
