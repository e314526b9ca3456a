"""What a decision needs beside the sales: the practice among the policies, a change where nobody keeps guardrails."""

from collections.abc import Sequence
from typing import NamedTuple

from experiments.launch.progress import progress_meter
from experiments.pipeline.prepare import RIVALS, cores, say
from flashsim.errors import InputError
from flashsim.evaluation.decision import DecisionRule
from flashsim.evaluation.evidence.standing import guardrail_excess
from flashsim.planning import SEARCH_SEED
from flashsim.planning.changes import changes_of, search_changes
from flashsim.planning.guarded import on_training_worlds
from flashsim.policies.bundle import Policy
from flashsim.scenarios.compiled import CompiledSale
from flashsim.scenarios.scenario import Scenario


class Changed(NamedTuple):
    """A policy that plays a changed sale."""

    words: str
    sale: CompiledSale
    policy: Policy


def with_practice(baselines: Sequence[str], rule: DecisionRule, *, own: Sequence[str] = ()) -> list[str]:
    """``baselines`` with the practice of ``rule`` among them, unless it is one of one's ``own`` policies.

    InputError when there is no policy of that name.
    """
    if rule.practice in own or rule.practice in baselines:
        return list(baselines)
    if rule.practice not in RIVALS:
        names = ", ".join([*own, *RIVALS])
        raise InputError(f"decision.practice: nobody is called {rule.practice!r}; choose from: {names}")
    return [*baselines, rule.practice]


def look_for_change(
    scenario: Scenario, policies: Sequence[Policy], rule: DecisionRule, *, candidates: Sequence[str]
) -> tuple[Changed | None, tuple[str, ...]]:
    """A change of ``scenario`` under which guardrails are kept, where none of the ``candidates`` keeps them all on the
    training worlds; and the changes that were tried and are not enough, in words.

    The practice is no candidate: that it keeps them does not help whoever would replace it.
    """
    sale, limits, threads = scenario.compile(), rule.guardrails, cores()
    for policy in policies:
        if policy.name in candidates and policy.name != rule.practice:
            rollout = on_training_worlds(sale, policy, seed=SEARCH_SEED, threads=threads)
            if guardrail_excess(rollout, limits) == 0.0:
                return None, ()
    practice = next(policy for policy in policies if policy.name == rule.practice)
    with progress_meter("searching a change of the sale", total=len(changes_of(scenario))) as advance:
        found = search_changes(
            scenario,
            practice,
            limits=limits,
            worthwhile=rule.worthwhile,
            primary=rule.primary,
            seed=SEARCH_SEED,
            threads=threads,
            progress=advance,
        )
    if found.change is None or found.sale is None or found.policy is None:
        say(f"no candidate keeps every guardrail on the training worlds, nor under one of {len(found.tried)} changes")
        return None, found.tried
    say(f"no candidate keeps every guardrail on the training worlds; this would: {found.change.words}")
    return Changed(found.change.words, found.sale, found.policy), found.tried
