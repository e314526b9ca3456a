"""Whether a sale should run under a policy: from leads and guardrails together, by a rule that is fixed beforehand.

A *lead* is by how much a candidate is better on the primary KPI than another policy on the same sales, in the mean over
the held-out worlds. A candidate *passes* when

* its lead over today's practice, and over every rule where the candidate is learned, is above the worthwhile amount
  after correction for all leads that are looked at, in the mean and in at least ``worlds_ahead`` of the worlds, and
* every guardrail is kept: the upper end of its interval is at the limit or below.

A guardrail is broken where the lower end is beyond the limit, else open. Where the practice breaks a limit and no
candidate keeps it, with or without a change of the sale, the guardrail asks instead that the candidate is not worse
than the practice by more than the margin, and the headline says so.

The outcome is

* *run it*: a learner passes, else a rule; of several the one with the largest lead over the practice,
* *run it with changes*: nobody passes in the sale as given, but after a named change somebody does,
* *do not run it*: every candidate, with and without changes, is worse than the practice, or surely not better by what
  is worthwhile, or breaks a guardrail,
* *cannot tell*: all else, with what would tell.

On a World that was not judged against data, the strongest outcome is *run it as a test*. The claim of a learner needs
all of its leads; requiring each at the corrected level makes it true whichever rule is the best. How often "run it" is
claimed where it is not so: ``python -m tests.evaluation.evidence.decision_claims``, docs/statistics.md.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Literal

import numpy as np

from flashsim.errors import InputError
from flashsim.evaluation.kpis import KPIS, Direction, find_kpi
from flashsim.rules import HUMAN_TEAM
from flashsim.shown import brief
from flashsim.sim.parameters import check_range

Outcome = Literal["run it", "run it with changes", "run it as a test", "do not run it", "cannot tell"]
Status = Literal["kept", "open", "broken"]
Shortfall = Literal["worse", "short", "lead", "worlds", "guardrail open", "guardrail broken"]
"""Why a candidate does not pass: its lead is below zero, surely below what is worthwhile, not shown, or not held in
enough worlds; a guardrail."""

_PERCENTILES = ("p50_latency_s", "p95_latency_s", "p99_latency_s")
DEFAULT_MARGIN = 0.1
"""Share of a guardrail's limit by which a candidate may be worse than a practice that breaks it, unless told."""


@dataclass(frozen=True)
class DecisionRule:
    """What is fixed before the sale is judged."""

    primary: str = "profit"
    """KPI that decides; one that has a better direction."""
    practice: str = HUMAN_TEAM
    """Policy that stands for what is done today: a rule, or a policy of one's own, by name."""
    worthwhile: float = 0.0
    """Amount of the primary KPI a sale, at least 0, by which a candidate must be better."""
    worlds_ahead: float = 0.8
    """Least share of the held-out worlds in which a candidate must be ahead by the worthwhile amount."""
    limits: dict[str, float | None] = field(default_factory=dict)
    """Guardrails: KPI -> most that its mean may be, or least where higher is better; null: no guardrail. The KPIs that
    have a limit of their own keep it unless told."""
    margins: dict[str, float] = field(default_factory=dict)
    """KPI -> by how much a candidate may be worse than a practice that breaks its limit; a tenth of the limit, unless
    told."""

    def __post_init__(self) -> None:
        for name in ("limits", "margins"):
            _check_amounts(name, getattr(self, name), may_drop=name == "limits")
        if find_kpi(self.primary).direction == "neutral":
            raise InputError(
                f"primary KPI {self.primary!r} has no better direction; choose one that has, such as 'profit'"
            )
        if not isinstance(self.practice, str) or not self.practice.strip():
            raise InputError(
                "practice: a decision compares with what is done today; name a policy, such as 'human team'"
            )
        check_range("worthwhile", self.worthwhile, 0.0, 1e12)
        check_range("worlds_ahead", self.worlds_ahead, 0.0, 1.0)
        for name, limit in self.limits.items():
            _check_limit(name, limit)
        _check_percentiles(self.guardrails)
        for name, margin in self.margins.items():
            if name not in self.guardrails:
                names = ", ".join(self.guardrails) or "none"
                raise InputError(f"margins.{brief(name)}: there is no such guardrail; there are: {names}")
            check_range(f"margins.{name}", margin, 0.0, 1e12)

    @property
    def guardrails(self) -> dict[str, float]:
        """KPI -> limit, of all guardrails that count."""
        own = {kpi.name: kpi.limit for kpi in KPIS}
        return {name: float(limit) for name, limit in (own | self.limits).items() if limit is not None}

    def margin(self, kpi: str, limit: float) -> float:
        """By how much ``kpi`` may be worse than under the practice."""
        return self.margins.get(kpi, DEFAULT_MARGIN * abs(limit))


@dataclass(frozen=True)
class Lead:
    """How much better a candidate is than the policy ``over``, on the primary KPI, a sale; more is better."""

    over: str
    mean: float
    low: float
    high: float
    p_value: float
    """That the lead is the worthwhile amount; corrected for all leads that were looked at."""
    p_worse: float
    """That the lead is 0; corrected likewise."""
    worlds_ahead: float
    """Share of the worlds in which the lead is above the worthwhile amount."""
    detectable: float
    """Lead above the worthwhile amount that a single comparison on such sales finds four times in five."""


@dataclass(frozen=True)
class Guard:
    """A guardrail under a candidate."""

    kpi: str
    limit: float
    mean: float
    low: float
    high: float
    status: Status
    """Against the limit."""
    status_to_practice: Status
    """Against the practice's mean and the margin."""
    share_beyond: float
    """Share of the sales beyond the limit."""
    beyond_low: float
    beyond_high: float


@dataclass(frozen=True)
class Candidate:
    """A policy that could run the sale, as given or after a ``change`` of it."""

    policy: str
    is_learned: bool
    over_practice: Lead
    over_rules: tuple[Lead, ...]
    """Over every rule, of a learner; empty for a rule, which is judged against the practice alone."""
    guards: tuple[Guard, ...]
    change: str = ""
    """In words, such as "24 servers at the opening"; empty: the sale as given."""

    @property
    def leads(self) -> tuple[Lead, ...]:
        """All that the candidate must show."""
        return (self.over_practice, *self.over_rules)


@dataclass(frozen=True)
class Reason:
    """One thing that keeps a candidate from passing."""

    shortfall: Shortfall
    about: str
    """The rival that the lead is over, or the guardrail's KPI."""


@dataclass(frozen=True)
class Decision:
    """The outcome and the candidate it speaks of."""

    outcome: Outcome
    candidate: Candidate | None
    """Who passes, else who is nearest to passing; None where there was no candidate."""
    reasons: tuple[Reason, ...]
    """Why the candidate does not pass; empty when it does."""
    relative_guardrails: tuple[str, ...]
    """KPIs that were held against the practice, because it breaks their limit and nobody keeps it."""
    practice: str = HUMAN_TEAM
    """With what was compared."""


def _check_amounts(name: str, given: object, *, may_drop: bool) -> None:
    """InputError unless ``given`` holds a number, or null where that ``may_drop`` a guardrail, for each KPI."""
    if not isinstance(given, Mapping):
        raise InputError(f"{name}: expected KPIs and numbers, such as {{error_share: 0.01}}, got {brief(given)}")
    for kpi, value in given.items():
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if not is_number and not (may_drop and value is None):
            raise InputError(f"{name}.{kpi}: expected a number{', or null' if may_drop else ''}, got {value!r}")


def _check_limit(name: str, limit: float | None) -> None:
    """InputError unless some sale can keep ``limit``, and some can break it."""
    kpi = find_kpi(name)
    if kpi.direction == "neutral":
        raise InputError(f"limits.{name}: this KPI has no better direction, so nothing can be asked of it")
    if limit is None:
        return
    least = kpi.least if isinstance(kpi.least, float) else -np.inf
    most = kpi.most if isinstance(kpi.most, float) else np.inf
    if not (np.isfinite(limit) and least <= limit <= most):
        raise InputError(f"limits.{name}: expected a number within {least:g} and {most:g}, got {limit!r}")


def _check_percentiles(limits: Mapping[str, float]) -> None:
    """InputError where a percentile of latency may be no larger than a lower one: the latter could then never count."""
    asked = [(name, limits[name]) for name in _PERCENTILES if name in limits]
    for (lower, below), (upper, above) in pairwise(asked):
        if above < below:
            raise InputError(
                f"limits: {upper} of {above:g} and {lower} of {below:g} contradict each other, a higher percentile is "
                f"never smaller; raise limits.{upper}, or set limits.{lower}=null"
            )


def decide(
    candidates: Sequence[Candidate],
    rule: DecisionRule,
    *,
    practice_guards: Sequence[Guard],
    alpha: float = 0.05,
    is_world_judged: bool = True,
) -> Decision:
    """Apply ``rule`` to all ``candidates``, those of changed sales included.

    ``practice_guards``: the guardrails under the practice in the sale as given. ``is_world_judged``: False where the
    World was never compared with data.
    """
    relative = _held_against_practice(candidates, practice_guards)
    found = [(candidate, _reasons(candidate, rule, relative, alpha=alpha)) for candidate in candidates]
    passing = [candidate for candidate, reasons in found if not reasons]
    if passing:
        chosen = max(passing, key=lambda one: (not one.change, one.is_learned, one.over_practice.mean))
        outcome: Outcome = "run it with changes" if chosen.change else "run it"
        return Decision(outcome if is_world_judged else "run it as a test", chosen, (), relative, rule.practice)
    if not found:
        return Decision("cannot tell", None, (), relative, rule.practice)
    hopeless = [any(_is_final(one, rule) for one in reasons) for _, reasons in found]
    outcome = "do not run it" if all(hopeless) else "cannot tell"
    in_play = [one for one, is_out in zip(found, hopeless, strict=True) if not is_out] or found
    nearest, reasons = min(in_play, key=lambda one: (len(one[1]), bool(one[0].change), -one[0].over_practice.mean))
    return Decision(outcome, nearest, reasons, relative, rule.practice)


def _is_final(reason: Reason, rule: DecisionRule) -> bool:
    """Whether no evidence would change that the candidate does not run the sale. (That a rule is better is another
    matter: it may be unfit to run the sale itself.)"""
    is_short = reason.shortfall == "short" and reason.about == rule.practice
    return is_short or reason.shortfall in ("worse", "guardrail broken")


def status_of(low: float, high: float, *, limit: float, direction: Direction) -> Status:
    """Where an interval lies to a limit; an end that is missing (infinite) lies beyond it."""
    inner, outer, bound = (-high, -low, -limit) if direction == "higher" else (low, high, limit)
    return "kept" if outer <= bound else "broken" if inner > bound else "open"


def in_terms_of_practice(guards: Iterable[Guard], names: Sequence[str]) -> tuple[Guard, ...]:
    """Guards with the status that counts: to the practice for the KPIs in ``names``, to the limit for others."""
    return tuple(replace(guard, status=guard.status_to_practice) if guard.kpi in names else guard for guard in guards)


def _held_against_practice(candidates: Sequence[Candidate], practice: Sequence[Guard]) -> tuple[str, ...]:
    kept = {guard.kpi for candidate in candidates for guard in candidate.guards if guard.status == "kept"}
    return tuple(guard.kpi for guard in practice if guard.status == "broken" and guard.kpi not in kept)


def _reasons(candidate: Candidate, rule: DecisionRule, relative: Sequence[str], *, alpha: float) -> tuple[Reason, ...]:
    reasons = []
    for lead in candidate.leads:
        is_shown = lead.mean > rule.worthwhile and lead.p_value < alpha
        if lead is candidate.over_practice and lead.mean < 0.0 and lead.p_worse < alpha:
            reasons.append(Reason("worse", lead.over))
        elif lead.mean < rule.worthwhile and lead.p_value < alpha:
            reasons.append(Reason("short", lead.over))
        elif not is_shown:
            reasons.append(Reason("lead", lead.over))
        elif lead.worlds_ahead < rule.worlds_ahead:
            reasons.append(Reason("worlds", lead.over))
    guards = in_terms_of_practice(candidate.guards, relative)
    shortfalls: dict[Status, Shortfall] = {"open": "guardrail open", "broken": "guardrail broken"}
    return (*reasons, *(Reason(shortfalls[guard.status], guard.kpi) for guard in guards if guard.status in shortfalls))
