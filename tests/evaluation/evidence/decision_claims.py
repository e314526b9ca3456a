"""How often a decision says "run it" where it must not, and how often where it should.

    python -m tests.evaluation.evidence.decision_claims > table.md        # docs/statistics.md holds it

Twenty worlds of five sales. What policies earn differs from the practice by a law with mean 0 from world to world, and
by noise from sale to sale that is as large as that of 50 sales a world. Three truths in which nobody may run the sale:

* *nothing*: one learner and one rule earn what the practice earns; guardrails are far from their limits,
* *at the limit*: one learner earns far more than the practice and the rule, and its latency is, in the mean over all
  worlds, exactly at the limit,
* *twenty alike*: ten learners and nine rules earn what the practice earns, each with worlds of its own,

and one in which it should be run: *twice the detectable*, a learner whose lead is twice what a single comparison finds
four times in five. Everything from the rollouts to the outcome is what a run computes.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import numpy as np

from flashsim.evaluation.decision import DecisionRule, decide
from flashsim.evaluation.evidence.appraisal import Entrant, appraise
from flashsim.evaluation.rollout import Rollout
from flashsim.rules import HUMAN_TEAM
from tests.evaluation.claims import LAWS, SALES, Array, Law, detectable
from tests.evaluation.made_rollouts import make_rollout

WORLDS = 20
REPETITIONS = 2_000
SHOWN = ("normal", "lognormal, skewness 3", "gamma, skewness 3")
FAR = 20.0  # standard deviations of the worlds


def worlds_of(law: Law, generator: np.random.Generator) -> Array:
    """(sale,) values with mean 0: of worlds that differ by ``law`` in units of its spread, and noise a sale."""
    values = law(generator, (WORLDS, 100))
    centers = law(generator, (WORLDS, 1))[:, 0] / values.std()
    noise = np.sqrt(SALES / 50.0) * generator.standard_normal(WORLDS * SALES)
    return np.asarray(np.tile(centers, SALES) + noise)


def earning(base: Rollout, policy: str, *, profit: Array | float = 0.0, latency_s: Array | float = 0.5) -> Rollout:
    """``base`` under another name, with so much more profit and this latency, (sale,) each."""
    changed = {"profit": base.totals["profit"] + profit, "revenue": base.totals["revenue"] + profit}
    level = np.broadcast_to(np.asarray(latency_s, dtype=np.float64), base.seeds.shape)
    return replace(base, policy=policy, totals=base.totals | changed | {"latency_p95_s": level})


def nothing(law: Law, generator: np.random.Generator, base: Rollout) -> list[Entrant]:
    """One learner and one rule that earn what the practice earns."""
    return _field(base, [worlds_of(law, generator)], [worlds_of(law, generator)])


def twenty_alike(law: Law, generator: np.random.Generator, base: Rollout) -> list[Entrant]:
    """Ten learners, nine rules and the practice."""
    return _field(base, [worlds_of(law, generator) for _ in range(10)], [worlds_of(law, generator) for _ in range(9)])


def at_the_limit(law: Law, generator: np.random.Generator, base: Rollout) -> list[Entrant]:
    """A learner with a large lead whose latency is at its limit in the mean over worlds."""
    field = _field(base, [FAR + worlds_of(LAWS["normal"], generator)], [worlds_of(LAWS["normal"], generator)])
    latency = DecisionRule().guardrails["p95_latency_s"] + 0.05 * worlds_of(law, generator)
    return [replace(field[0], rollout=earning(base, "learner 1", profit=FAR, latency_s=latency)), *field[1:]]


def twice_the_detectable(law: Law, generator: np.random.Generator, base: Rollout) -> list[Entrant]:
    """A learner that should run the sale; the rule earns what the practice earns."""
    shift = 2.0 * detectable(WORLDS)
    return _field(base, [shift + worlds_of(law, generator)], [0.1 * worlds_of(law, generator)])


TRUTHS: dict[str, Callable[[Law, np.random.Generator, Rollout], list[Entrant]]] = {
    "nothing": nothing,
    "at the limit": at_the_limit,
    "twenty alike": twenty_alike,
    "twice the detectable": twice_the_detectable,
}


def _field(base: Rollout, learners: Sequence[Array], rules: Sequence[Array]) -> list[Entrant]:
    named = {f"learner {place + 1}": profit for place, profit in enumerate(learners)}
    named |= {f"rule {place + 1}": profit for place, profit in enumerate(rules)}
    named[HUMAN_TEAM] = np.zeros(base.seeds.size)
    return [
        Entrant(earning(base, name, profit=profit), is_learned=name.startswith("learner"))
        for name, profit in named.items()
    ]


def run_it(truth: str, law: str, *, repetitions: int, seed: int, resamples: int = 10_000) -> float:
    """Share of the repetitions whose outcome is "run it"; ``law`` names one of the laws of the claims."""
    generator, base = np.random.default_rng(seed), make_rollout("base", sales=WORLDS * SALES, members=WORLDS)
    rule, found = DecisionRule(limits={"abandonment_share": None}), 0
    for _ in range(repetitions):
        entrants = TRUTHS[truth](LAWS[law], generator, base)
        judged = appraise(entrants, rule, resamples=resamples)
        found += decide(judged.candidates, rule, practice_guards=judged.practice_guards).outcome == "run it"
    return found / repetitions


def rows(*, repetitions: int = REPETITIONS) -> Iterator[str]:
    """Lines of the table: "run it", % of the repetitions."""
    yield f"| truth | {' | '.join(SHOWN)} |"
    yield "|" + "---|" * (len(SHOWN) + 1)
    for truth in TRUTHS:
        shares = [run_it(truth, law, repetitions=repetitions, seed=1) for law in SHOWN]
        yield f"| {truth} | {' | '.join(f'{100.0 * share:.1f}' for share in shares)} |"


if __name__ == "__main__":
    for row in rows():
        print(row, flush=True)
