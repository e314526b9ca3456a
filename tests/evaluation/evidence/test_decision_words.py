"""What a decision says of made rollouts: every sentence true, and one number for one thing."""

from pathlib import Path

from flashsim.evaluation.comparison import compare
from flashsim.evaluation.evidence.appraisal import Entrant
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
