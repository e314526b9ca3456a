"""Rules that keep guardrails: of operations that earn about the same, those under which the service holds.

A search by profit alone takes a rule that loses a few visitors to save a server. Where the rule that it found keeps
every guardrail on the training worlds, it stays. Where not, the operations that differ from it in one aspect are played
too: of those that keep all guardrails the one with the largest lead over it less the lead's standard error; if none
does, the one with the smallest excess. Where that one plans for another utilization, utilizations between the two are
tried as well, by halving: learners set finer ones than the search tries.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

from flashsim.evaluation.evidence.standing import guardrail_excess, lead_over
from flashsim.evaluation.rollout import Rollout, play
from flashsim.planning.search import aspects_that_differ
from flashsim.policies.bundle import Policy
from flashsim.rules.rules import Operations, Rule
from flashsim.scenarios.compiled import CompiledSale
from flashsim.sim.streams import TRAINING_DOMAIN

GUARD_SALES = 512
"""On which it is checked whether a policy keeps its guardrails."""
HALVINGS = 3
"""Of the utilizations between the one that earns most and the one that keeps the guardrails."""
_AWAY = 2**40  # from the sales on which rules are searched


class Guarded(NamedTuple):
    """Operations, and by how much a rule with them may be beyond its guardrails on the training worlds."""

    operations: Operations
    excess: float
    """In limits (:func:`flashsim.evaluation.evidence.standing.guardrail_excess`); 0: all are kept."""


def on_training_worlds(sale: CompiledSale, policy: Policy, *, seed: int, threads: int = 1) -> Rollout:
    """What ``policy`` does in the sales on which guardrails are checked."""
    own = sale.with_members(sale.training_members)
    return play(own, policy, sales=GUARD_SALES, seed=seed + _AWAY, domain=TRAINING_DOMAIN, threads=threads)


def guarded_operations(
    sale: CompiledSale,
    rule: Rule,
    found: Operations,
    *,
    offers: Sequence[Operations],
    limits: Mapping[str, float],
    seed: int,
    threads: int = 1,
    progress: Callable[[int], object] = lambda _ticks: None,
) -> Guarded:
    """``found`` where ``rule`` keeps ``limits`` (KPI -> guardrail) with it, else the best of ``offers`` near it."""

    def played(how: Operations) -> Rollout:
        rollout = on_training_worlds(sale, rule(sale, how), seed=seed, threads=threads)
        progress(GUARD_SALES * sale.all_ticks)
        return rollout

    own = played(found)
    excess = guardrail_excess(own, limits)
    if excess == 0.0:
        return Guarded(found, excess)
    known = {found: (-excess, 0.0)}

    def try_out(how: Operations) -> None:
        rollout = played(how)
        lead, unsure = lead_over(own, rollout, kpi="profit")
        known[how] = (-guardrail_excess(rollout, limits), lead - unsure)

    for how in near(found, offers):
        try_out(how)
    best = max(known, key=known.__getitem__)
    aim, off = best.target, found.target
    for _ in range(HALVINGS if aim != off else 0):
        between = replace(best, target=(aim + off) / 2.0)
        try_out(between)
        aim, off = (between.target, off) if known[between] > known[best] else (aim, between.target)
        best = max(known, key=known.__getitem__)
    return Guarded(best, -known[best][0])


def near(found: Operations, offers: Sequence[Operations]) -> list[Operations]:
    """The ``offers`` that differ from ``found`` in one aspect."""
    return [other for other in offers if aspects_that_differ(found, other) == 1]
