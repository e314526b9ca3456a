"""Thirty results made by hand, and the outcome that a careful team would read off each."""

from dataclasses import replace

import numpy as np
import pytest

from flashsim.errors import InputError
from flashsim.evaluation.comparison import compare
from flashsim.evaluation.decision import Candidate, DecisionRule, Guard, Lead, Outcome, Status, decide, status_of
from flashsim.evaluation.evidence.appraisal import Entrant, appraise
from flashsim.rules import HUMAN_TEAM
from tests.evaluation.made_rollouts import make_rollout

BETTER, WORSE, UNCLEAR = "better", "worse", "unclear"


def lead(over: str, kind: str = BETTER, *, mean: float = 30.0, worlds: float = 1.0) -> Lead:
    sure = {BETTER: 0.001, WORSE: 0.001, UNCLEAR: 0.4}[kind]
    mean = -mean if kind == WORSE else mean
    return Lead(over, mean, mean - 10.0, mean + 10.0, p_value=sure, p_worse=sure, worlds_ahead=worlds, detectable=9.0)


def guards(latency: Status = "kept", errors: Status = "kept", *, to_practice: Status = "kept") -> tuple[Guard, ...]:
    def guard(kpi: str, limit: float, status: Status) -> Guard:
        factor = {"kept": 0.5, "open": 0.99, "broken": 2.0}[status]
        mean = factor * limit
        return Guard(kpi, limit, mean, 0.98 * mean, 1.02 * mean, status, to_practice, 0.1, 0.05, 0.2)

    return guard("p95_latency_s", 1.0, latency), guard("error_share", 0.01, errors)


def learner(
    name: str = "PPO",
    *,
    practice: str = BETTER,
    rule: str = BETTER,
    mean: float = 30.0,
    worlds: float = 1.0,
    change: str = "",
    guarded: tuple[Guard, ...] | None = None,
) -> Candidate:
    over_practice = lead(HUMAN_TEAM, practice, mean=mean, worlds=worlds)
    over_rules = (lead("run-out price", rule, worlds=worlds),)
    return Candidate(
        name,
        is_learned=True,
        over_practice=over_practice,
        over_rules=over_rules,
        guards=KEPT if guarded is None else guarded,
        change=change,
    )


def rule(
    name: str = "run-out price",
    *,
    practice: str = BETTER,
    mean: float = 20.0,
    worlds: float = 1.0,
    change: str = "",
    guarded: tuple[Guard, ...] | None = None,
) -> Candidate:
    over = lead(HUMAN_TEAM, practice, mean=mean, worlds=worlds)
    return Candidate(
        name,
        is_learned=False,
        over_practice=over,
        over_rules=(),
        guards=KEPT if guarded is None else guarded,
        change=change,
    )


KEPT, BROKEN = guards(), guards("broken", "broken")
MORE_SERVERS = "24 servers at the opening"

CASES: dict[str, tuple[list[Candidate], tuple[Guard, ...], Outcome, str]] = {
    "a learner beats all and keeps all": ([learner(), rule()], KEPT, "run it", "PPO"),
    "of two learners the better one": ([learner(), learner("DQN", mean=40.0)], KEPT, "run it", "DQN"),
    "a learner that is not above the rule leaves it to the rule": (
        [learner(rule=UNCLEAR), rule()],
        KEPT,
        "run it",
        "run-out price",
    ),
    "a learner that is below the rule": ([learner(rule=WORSE), rule()], KEPT, "run it", "run-out price"),
    "a learner that breaks latency leaves it to the rule": (
        [learner(guarded=guards(latency="broken")), rule()],
        KEPT,
        "run it",
        "run-out price",
    ),
    "a learner whose errors are open": (
        [learner(guarded=guards(errors="open")), rule()],
        KEPT,
        "run it",
        "run-out price",
    ),
    "a learner passes although the rule breaks a limit": (
        [learner(), rule(guarded=guards(latency="broken"))],
        KEPT,
        "run it",
        "PPO",
    ),
    "the best of two rules": ([rule(), rule("fluid LP", mean=25.0)], KEPT, "run it", "fluid LP"),
    "a learner is proposed before a rule that leads by more": (
        [learner(mean=20.0), rule(mean=25.0)],
        KEPT,
        "run it",
        "PPO",
    ),
    "a lead in seventy of a hundred worlds": (
        [learner(worlds=0.7), rule(practice=UNCLEAR)],
        KEPT,
        "cannot tell",
        "run-out price",
    ),
    "a lead in eighty of a hundred worlds": ([learner(worlds=0.8)], KEPT, "run it", "PPO"),
    "nobody's lead is shown": (
        [learner(practice=UNCLEAR), rule(practice=UNCLEAR)],
        KEPT,
        "cannot tell",
        "PPO",
    ),
    "a lead is shown, and errors are open": ([learner(guarded=guards(errors="open"))], KEPT, "cannot tell", "PPO"),
    "everybody is worse than the practice": (
        [learner(practice=WORSE), rule(practice=WORSE)],
        KEPT,
        "do not run it",
        "run-out price",
    ),
    "everybody leads and breaks a limit that the practice keeps": (
        [learner(guarded=guards(latency="broken")), rule(guarded=guards(latency="broken"))],
        KEPT,
        "do not run it",
        "PPO",
    ),
    "one is worse, the other breaks a limit": (
        [learner(practice=WORSE), rule(guarded=guards(errors="broken"))],
        KEPT,
        "do not run it",
        "run-out price",
    ),
    "one is worse, the other's lead is not shown": (
        [learner(practice=WORSE), rule(practice=UNCLEAR)],
        KEPT,
        "cannot tell",
        "run-out price",
    ),
    "a change mends the limit": (
        [
            learner(guarded=guards(latency="broken")),
            rule(guarded=guards(latency="broken")),
            learner(change=MORE_SERVERS),
        ],
        BROKEN,
        "run it with changes",
        "PPO",
    ),
    "a change mends it for the rule alone": (
        [
            learner(guarded=guards(latency="broken")),
            learner(change=MORE_SERVERS, rule=UNCLEAR),
            rule(change=MORE_SERVERS),
        ],
        BROKEN,
        "run it with changes",
        "run-out price",
    ),
    "the sale as given is preferred to a change that leads by more": (
        [learner(mean=20.0), learner(mean=90.0, change=MORE_SERVERS)],
        KEPT,
        "run it",
        "PPO",
    ),
    "a rule in the sale as given is preferred to a learner after a change": (
        [learner(guarded=guards(latency="broken")), rule(), learner(mean=90.0, change=MORE_SERVERS)],
        KEPT,
        "run it",
        "run-out price",
    ),
    "a change that mends the limit and loses the lead": (
        [learner(guarded=guards(latency="broken")), learner(practice=WORSE, change=MORE_SERVERS)],
        KEPT,
        "do not run it",
        "PPO",
    ),
    "a change whose lead is not shown": (
        [learner(guarded=guards(latency="broken")), learner(practice=UNCLEAR, change=MORE_SERVERS)],
        KEPT,
        "cannot tell",
        "PPO",
    ),
    "the practice breaks a limit that nobody keeps, and the learner is not worse": (
        [learner(guarded=guards(latency="broken")), rule(guarded=guards(latency="broken"))],
        guards("broken"),
        "run it",
        "PPO",
    ),
    "the practice breaks a limit that nobody keeps, and the learner is worse in it": (
        [learner(guarded=guards(latency="broken", to_practice="broken"))],
        guards("broken"),
        "do not run it",
        "PPO",
    ),
    "the practice breaks a limit that nobody keeps, and whether the learner is worse is open": (
        [learner(guarded=guards(latency="broken", to_practice="open"))],
        guards("broken"),
        "cannot tell",
        "PPO",
    ),
    "the practice breaks a limit that a rule keeps: the limit stands for the learner": (
        [learner(guarded=guards(latency="broken")), rule()],
        guards("broken"),
        "run it",
        "run-out price",
    ),
    "the practice breaks a limit that a change mends: the limit stands": (
        [learner(guarded=guards(latency="broken")), rule(practice=UNCLEAR, change=MORE_SERVERS)],
        guards("broken"),
        "cannot tell",
        "run-out price",
    ),
    "the practice's limit is open: it stands": (
        [learner(guarded=guards(latency="broken"))],
        guards("open"),
        "do not run it",
        "PPO",
    ),
    "there is nobody but the practice": ([], KEPT, "cannot tell", ""),
}


def test_there_are_thirty_cases() -> None:
    assert len(CASES) == 30


@pytest.mark.parametrize("name", CASES)
def test_the_outcome_is_the_one_that_the_rule_gives(name: str) -> None:
    candidates, practice, outcome, policy = CASES[name]
    decision = decide(candidates, DecisionRule(), practice_guards=practice)
    assert decision.outcome == outcome
    assert (decision.candidate.policy if decision.candidate else "") == policy
    assert bool(decision.reasons) != (outcome.startswith("run it") or not candidates)


def test_an_unjudged_world_allows_a_test_at_most() -> None:
    decision = decide([learner()], DecisionRule(), practice_guards=KEPT, is_world_judged=False)
    assert decision.outcome == "run it as a test"


def test_the_order_of_the_candidates_does_not_matter() -> None:
    for candidates, practice, _, _ in CASES.values():
        forth = decide(candidates, DecisionRule(), practice_guards=practice)
        back = decide(candidates[::-1], DecisionRule(), practice_guards=practice)
        assert (forth.outcome, forth.candidate) == (back.outcome, back.candidate)


def test_an_end_at_the_limit_keeps_it_and_a_missing_end_does_not() -> None:
    assert status_of(0.5, 1.0, limit=1.0, direction="lower") == "kept"
    assert status_of(1.0, 1.5, limit=1.0, direction="lower") == "open"
    assert status_of(1.1, 1.5, limit=1.0, direction="lower") == "broken"
    assert status_of(0.5, np.inf, limit=1.0, direction="lower") == "open"
    assert status_of(-np.inf, np.inf, limit=1.0, direction="higher") == "open"
    assert status_of(0.9, 1.1, limit=0.9, direction="higher") == "kept"
    assert status_of(0.7, 0.8, limit=0.9, direction="higher") == "broken"


def entrants(*, effect: float = 40.0, change: str = "") -> list[Entrant]:
    return [
        Entrant(make_rollout("PPO", effect=effect), is_learned=True, change=change),
        Entrant(make_rollout("run-out price", effect=20.0), is_learned=False, change=change),
        Entrant(make_rollout(HUMAN_TEAM), is_learned=False),
    ]


def test_leads_are_over_the_practice_and_over_every_rule_of_the_same_sale() -> None:
    found = appraise(entrants(), DecisionRule(), resamples=1_000)
    ppo, ruled = found.candidates
    assert [one.over for one in ppo.leads] == [HUMAN_TEAM, "run-out price"]
    assert [one.over for one in ruled.leads] == [HUMAN_TEAM]
    assert ppo.over_practice.mean == pytest.approx(40.0, abs=2.0)
    assert ppo.over_practice.worlds_ahead == 1.0
    assert decide(found.candidates, DecisionRule(), practice_guards=found.practice_guards).outcome == "run it"


def test_a_lead_that_is_not_worthwhile_is_none() -> None:
    worthwhile = DecisionRule(worthwhile=35.0)
    found = appraise(entrants(), worthwhile, resamples=1_000)
    decision = decide(found.candidates, worthwhile, practice_guards=found.practice_guards)
    assert decision.outcome == "cannot tell"
    assert found.candidates[0].over_practice.p_value < 0.05


def test_the_interval_of_a_guardrail_is_the_one_that_the_table_of_kpis_shows() -> None:
    played = entrants()
    shown = compare(
        [one.rollout for one in played],
        learners=["PPO"],
        baselines=["run-out price", HUMAN_TEAM],
        resamples=1_000,
    ).tables["guardrails"]
    found = appraise(played, DecisionRule(), resamples=1_000)
    for candidate in found.candidates:
        for guard in candidate.guards:
            row = shown[(shown["policy"] == candidate.policy) & (shown["kpi"] == guard.kpi)].iloc[0]
            assert (guard.mean, guard.low, guard.high) == (row["mean"], row["low"], row["high"])


def test_a_guardrail_far_beyond_what_was_seen_is_kept_although_the_values_are_too_skewed_to_tell() -> None:
    """One world in which one visit in a thousand is lost, and none elsewhere, is no reason to doubt a limit of 1 %."""
    played = entrants()
    visits = sum(played[0].rollout.totals[name] for name in ("served", "abandoned", "errors"))
    for share, status in ((0.001, "kept"), (0.1, "open")):
        lost = np.where(played[0].rollout.members == played[0].rollout.members[0], share * visits, 0.0)
        few = replace(played[0].rollout, totals=played[0].rollout.totals | {"errors": lost})
        learned = [replace(played[0], rollout=few), *played[1:]]
        rule = DecisionRule(limits={"p95_latency_s": None, "abandonment_share": None})
        (guard,) = appraise(learned, rule, resamples=1_000).candidates[0].guards
        assert guard.status == status
        assert guard.mean < guard.high < np.inf
        shown = compare(
            [one.rollout for one in learned],
            learners=["PPO"],
            baselines=["run-out price", HUMAN_TEAM],
            rule=rule,
            resamples=1_000,
        ).tables["kpis"]
        assert shown[(shown["policy"] == "PPO") & (shown["kpi"] == "error_share")]["high"].tolist() == [np.inf]


def test_the_share_of_sales_beyond_a_limit_has_an_interval() -> None:
    limit = {"p95_latency_s": float(np.median(make_rollout("PPO").totals["latency_p95_s"]))}
    only = dict.fromkeys(("error_share", "abandonment_share"))
    (guard,) = appraise(entrants(), DecisionRule(limits=only | limit), resamples=1_000).candidates[0].guards
    assert guard.share_beyond == pytest.approx(0.5, abs=0.02)
    assert guard.beyond_low < guard.share_beyond < guard.beyond_high


def test_a_practice_that_nobody_played_is_refused_with_the_choice() -> None:
    with pytest.raises(InputError, match=r"practice: 'house rule' did not play.*human team, run-out price"):
        appraise(entrants(), DecisionRule(practice="house rule"))


def test_policies_of_other_sales_are_refused() -> None:
    other = Entrant(make_rollout("fluid LP", sales=80), is_learned=False)
    with pytest.raises(InputError, match="must play the same sales, but seeds differ"):
        appraise([*entrants(), other], DecisionRule())


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"practice": ""}, "practice: a decision compares with what is done today"),
        ({"worthwhile": -1.0}, "worthwhile"),
        ({"worlds_ahead": 1.2}, "worlds_ahead"),
        ({"margins": {"latency": 0.1}}, "margins.'latency': there is no such guardrail"),
        ({"margins": {"sell_through": 0.1}}, "margins.'sell_through': there is no such guardrail"),
        ({"primary": "visitors"}, "has no better direction"),
        ({"limits": {"visitors": 1.0}}, "limits.visitors: this KPI has no better direction"),
        ({"limits": {"error_share": 1.5}}, "limits.error_share: expected a number within 0 and 1, got 1.5"),
        ({"limits": {"p95_latency_s": -1.0}}, "limits.p95_latency_s: expected a number within 0 and inf"),
        ({"limits": {"p50_latency_s": 2.0}}, "p95_latency_s of 1 and p50_latency_s of 2 contradict each other"),
        ({"margins": {"error_share": -0.1}}, "margins.error_share"),
        ({"margins": {"error_share": None}}, "margins.error_share: expected a number, got None"),
        ({"limits": {"error_share": True}}, "limits.error_share: expected a number, or null, got True"),
        ({"limits": {"error_share": "0.01"}}, "limits.error_share: expected a number, or null, got '0.01'"),
        ({"limits": None}, "limits: expected KPIs and numbers"),
        ({"practice": "  "}, "practice: a decision compares"),
    ],
)
def test_a_rule_that_means_nothing_is_refused(wrong: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        DecisionRule(**wrong)  # type: ignore[arg-type]


def test_a_single_sale_is_refused_and_one_world_speaks_of_itself() -> None:
    alone = [replace(one, rollout=make_rollout(one.rollout.policy, sales=1)) for one in entrants()]
    with pytest.raises(InputError, match="at least 2 sales"):
        appraise(alone, DecisionRule())


def test_policies_that_earn_the_same_in_every_sale_cannot_be_told_apart() -> None:
    same = [Entrant(make_rollout(name, own_noise=0.0), is_learned=name == "PPO") for name in ("PPO", HUMAN_TEAM)]
    found = appraise(same, DecisionRule(), resamples=1_000)
    assert decide(found.candidates, DecisionRule(), practice_guards=found.practice_guards).outcome == "cannot tell"
