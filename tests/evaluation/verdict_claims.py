"""How often the whole verdict claims what is not so: Holm's correction, several baselines, trainings, and ties.

    python -m tests.evaluation.verdict_claims > table.md        # docs/statistics.md holds it

An agent that was trained once or three times meets six baselines. In each world a baseline's mean differs from the
agent's by a law with mean 0 (:mod:`tests.evaluation.claims`), and the trainings from one another by normal amounts a
quarter as large; sales add noise as large as that of 50 sales a world. Either all are equally good, or the agent ties
with the best baseline and the other five are worse by two standard deviations. Baselines are unlike, or *alike*: equal
in nine worlds of ten.

A false claim is a pair that is claimed and is not so; a false headline is a winner where nobody wins. Everything from
the sales to both is what a comparison computes: :func:`flashsim.evaluation.stats.differences`, ``bootstrap_means``,
``holm`` and :func:`flashsim.evaluation.verdict.who_wins`. Resampled are only pairs that can be part of a false claim: a
p-value is at least Johnson's, so a pair whose Johnson's p is not below 5 % is never claimed, whatever is resampled.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from flashsim.evaluation.skewness import johnson_p_value
from flashsim.evaluation.stats import bootstrap_means, differences, holm
from flashsim.evaluation.verdict import who_wins
from tests.evaluation.claims import LAWS, REPETITIONS, SALES, Array, Law

ALPHA = 0.05
BASELINES = 6
WORLDS = (8, 20, 24)
TRAININGS = (1, 3)
SHOWN = tuple(LAWS)
SYMMETRIC = ("normal", "t(3)")
AT_ONCE = 2_500  # repetitions; bounds the memory
RESAMPLES = 4_000  # a level of 5/18 % is then counted to 20 %; fewer would claim less, not more


@dataclass(frozen=True)
class Case:
    """What is true."""

    worse: int
    """Baselines that are worse than the agent; the others are as good."""
    alike: float
    """Share of the worlds in which all baselines differ from the agent by the same."""


CASES = {
    "all equal": Case(worse=0, alike=0.0),
    "all equal, baselines alike": Case(worse=0, alike=0.9),
    "tied with the best": Case(worse=BASELINES - 1, alike=0.0),
    "tied with the best, alike": Case(worse=BASELINES - 1, alike=0.9),
}


class Judged(NamedTuple):
    """What the verdict finds in each repetition."""

    p_holm: Array  # repetition, training, baseline; 1 in repetitions that cannot claim falsely
    gain: Array  # repetition, training, baseline
    is_false: NDArray[np.bool_]  # repetition: some pair is claimed that is not so
    is_false_headline: NDArray[np.bool_]  # repetition


def played(
    law: Law, case: Case, *, sign: float, worlds: int, trainings: int, repetitions: int, generator: np.random.Generator
) -> tuple[Array, Array, NDArray[np.intp]]:
    """Scores of the trainings (sale, repetition, training) and of the baselines (sale, repetition, baseline), and the
    world of each sale.

    ``sign`` -1: the long tail is on the side of the agent's losses.
    """
    shape = (worlds, repetitions * BASELINES)
    own, shared = (sign * law(generator, shape).reshape(worlds, repetitions, BASELINES) for _ in range(2))
    spread = own.std()
    is_shared = generator.random((worlds, repetitions, 1)) < case.alike
    lead = np.where(is_shared, shared[..., :1], own)
    lead[..., BASELINES - case.worse :] += 2.0 * spread
    agent = generator.normal(0.0, 0.25 * spread if trainings > 1 else 0.0, (worlds, repetitions, trainings))
    members = np.repeat(np.arange(worlds), SALES)
    noise = spread * np.sqrt(SALES / 50.0 / 2.0)  # of each policy, so that differences have that of 50 sales

    def sold(means: Array) -> Array:
        return np.asarray(means[members] + noise * generator.standard_normal((members.size, *means.shape[1:])))

    return sold(agent), sold(-lead), members


def judge(
    agent: Array, baselines: Array, members: NDArray[np.intp], case: Case, *, resamples: int, seed: int
) -> Judged:
    """What the verdict says of every repetition of :func:`played`."""
    sales, repetitions, trainings = agent.shape
    pairs = (repetitions, trainings, BASELINES)
    ahead = differences(
        np.broadcast_to(agent[..., None], (sales, *pairs)).reshape(sales, -1),
        np.broadcast_to(baselines[:, :, None], (sales, *pairs)).reshape(sales, -1),
    )
    first = bootstrap_means(ahead, members, resamples=100)
    gain, johnson = first.mean.reshape(pairs), johnson_p_value(first.moments).reshape(pairs)
    is_tied = np.arange(BASELINES) < BASELINES - case.worse
    would_be_false = is_tied | (gain < 0.0)
    is_open = np.asarray((would_be_false & (johnson < ALPHA)).any(axis=(1, 2)))
    needed = is_open[:, None, None] & (johnson < ALPHA)
    p_value = np.ones(pairs)
    if needed.any():
        p_value[needed] = bootstrap_means(ahead[:, needed.ravel()], members, resamples=resamples, seed=seed).p_value()
    p_holm = holm(p_value.reshape(repetitions, -1)).reshape(pairs)
    wins, holds = who_wins(p_holm, gain, alpha=ALPHA)
    is_false = np.asarray(((p_holm < ALPHA) & would_be_false).any(axis=(1, 2)))
    return Judged(p_holm, gain, is_false, np.asarray(wins.any(axis=-1) | holds.any(axis=-1)))


def false_claims(
    law: str, case: Case, *, worlds: int, trainings: int, repetitions: int, seed: int, resamples: int = RESAMPLES
) -> tuple[float, float]:
    """Share of the repetitions with a false claim, and with a false headline: the larger one of both directions of the
    law's tail."""
    found = []
    for sign in (1.0,) if law in SYMMETRIC else (1.0, -1.0):
        generator, judged = np.random.default_rng(seed), []
        for start in range(0, repetitions, AT_ONCE):
            size = min(AT_ONCE, repetitions - start)
            sides = played(
                LAWS[law], case, sign=sign, worlds=worlds, trainings=trainings, repetitions=size, generator=generator
            )
            judged.append(judge(*sides, case, resamples=resamples, seed=seed))
        found.append([np.concatenate([getattr(one, name) for one in judged]).mean() for name in Judged._fields[2:]])
    most = np.max(found, axis=0)
    return float(most[0]), float(most[1])


def rows(*, repetitions: int = REPETITIONS) -> Iterator[str]:
    """Lines of the table: false claims and, in parentheses, false headlines, % of repetitions."""
    yield f"| truth | worlds | trainings | {' | '.join(SHOWN)} |"
    yield "|" + "---|" * (len(SHOWN) + 3)
    for (name, case), worlds, trainings in product(CASES.items(), WORLDS, TRAININGS):
        cells = []
        for law in SHOWN:
            found = false_claims(law, case, worlds=worlds, trainings=trainings, repetitions=repetitions, seed=1)
            cells.append("{:.1f} ({:.1f})".format(*(100.0 * share for share in found)))
        yield f"| {name} | {worlds} | {trainings} | {' | '.join(cells)} |"


if __name__ == "__main__":
    for row in rows():
        print(row, flush=True)
