"""Searches of baselines on the training members, on which learners train too: constant depths, and operations."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from flashsim.envs.reward import RewardConfig
from flashsim.envs.vector import SaleBatch, consecutive_seeds
from flashsim.evaluation.rollout import action_config
from flashsim.policies.bundle import Policy
from flashsim.rules.rules import Operations, Rule, RulePolicy, fixed, operations_of
from flashsim.scenarios.compiled import CompiledSale
from flashsim.sim.streams import TRAINING_DOMAIN

SEARCH_SEED = 2**62  # first seed of the sales on which rules are searched for comparisons: no learner trains on them
FINAL_SALES = 4_096
_HALVINGS = (128, 32, 8)  # first on a 128th of the sales, then on a 32nd, then on an eighth
_SURVIVORS = 8  # a round keeps one candidate in eight, and at least eight


def _silent(_ticks: int) -> None:
    """Report no progress."""


class Trials:
    """Mean profit of policies that close no sale early, on common sales of training members; also counts simulated
    ticks."""

    def __init__(self, sale: CompiledSale, *, seed: int, progress: Callable[[int], object] = _silent) -> None:
        self.sale, self.seed, self.progress = sale.with_members(sale.training_members), seed, progress
        self.ticks = 0

    def profit(self, policy: Policy, *, sales: int) -> float:
        """Mean profit of a sale, currency."""
        config = action_config(policy)
        batch = SaleBatch(self.sale, sales, action=config, reward=RewardConfig(), domain=TRAINING_DOMAIN)
        batch.seed(consecutive_seeds(self.seed, sales))
        seen, profit = batch.observe(), np.zeros(sales)
        for _ in range(self.sale.ticks // config.every):
            profit += batch.step(policy.act(seen))[0]
            seen = batch.seen()
        self.ticks += sales * self.sale.ticks
        self.progress(sales * self.sale.ticks)
        return float(profit.mean())


@dataclass(frozen=True)
class FixedSearch:
    """Result of the search for the best fixed policy."""

    price_index: tuple[int, ...]
    """Price index of each product."""
    operations: Operations
    ticks: int
    """Simulated ticks used."""


def search_fixed(
    sale: CompiledSale,
    *,
    ticks: int,
    seed: int,
    sales: int = 128,
    operations: Sequence[Operations] | None = None,
    progress: Callable[[int], object] = _silent,
) -> FixedSearch:
    """Search the best fixed depth per product, with its operations, on the training members, by coordinate search.

    The search starts at the best uniform depth. List price gets its own :func:`best_operations`, found on eight times
    the ``sales``. Each deeper uniform depth gets the best among the operations of its neighbor and those that differ
    from them in one aspect. Then the search changes one product, or one aspect of the operations, at a time, only for
    the better, until it has used ``ticks`` simulated ticks. When a whole round changes nothing, it continues with twice
    the sales. All candidates of a round meet the same sales.
    """
    trials, known = Trials(sale, seed=seed, progress=progress), {}
    offers = list(operations_of(sale) if operations is None else operations)

    def best(candidates: list[tuple[tuple[int, ...], Operations]]) -> tuple[tuple[int, ...], Operations]:
        for candidate in candidates:
            if candidate not in known:
                rule = fixed(trials.sale, candidate[0], operations=candidate[1])
                known[candidate] = trials.profit(rule, sales=sales)
        return max(candidates, key=known.__getitem__)

    def near(how: Operations) -> list[Operations]:
        return [other for other in offers if _differ(how, other) <= 1]

    level = (0,) * sale.products
    uniform = [(level, _best(trials, lambda sale, how: fixed(sale, level, operations=how), offers, sales=8 * sales))]
    for depth in range(1, sale.price_levels):
        level = (depth,) * sale.products
        uniform.append(best([(level, how) for how in near(uniform[-1][1])]))
    found = best(uniform)
    while trials.ticks < ticks:
        before = found
        for product in range(sale.products):
            price_index = found[0]
            found = best(
                [((*price_index[:product], k, *price_index[product + 1 :]), found[1]) for k in range(sale.price_levels)]
            )
        found = best([(found[0], how) for how in near(found[1])])
        if found == before:
            sales *= 2
            known.clear()
    return FixedSearch(*found, trials.ticks)


def _differ(one: Operations, other: Operations) -> int:
    """Number of aspects in which two operations differ; a scaler and its target are one aspect."""
    return sum(a != b for a, b in zip(_aspects(one), _aspects(other), strict=True))


def _aspects(how: Operations) -> tuple[object, ...]:
    return (how.scaler, how.target), how.pushes, how.opening_ticks, how.cap_index, how.lots, how.early_waves


def best_fixed(sale: CompiledSale, found: FixedSearch) -> RulePolicy:
    """The policy that :func:`search_fixed` found."""
    return fixed(sale, found.price_index, operations=found.operations, name="best fixed")


def best_operations(
    sale: CompiledSale,
    rule: Rule,
    *,
    seed: int,
    sales: int = FINAL_SALES,
    operations: Sequence[Operations] | None = None,
    progress: Callable[[int], object] = _silent,
) -> Operations:
    """Search the operations with which ``rule`` earns most on the training members: rounds on some of the sales, then a
    final.

    All candidates of a round meet the same sales. The final is long: single sales may collapse, and a thousand sales
    would separate good operations from the best only by chance. Source: successive halving, Jamieson & Talwalkar
    (2016), arXiv:1502.07943.
    """
    offers = operations_of(sale) if operations is None else operations
    return _best(Trials(sale, seed=seed, progress=progress), rule, offers, sales=sales)


def _best(trials: Trials, rule: Rule, operations: Sequence[Operations], *, sales: int) -> Operations:
    remaining = list(operations)
    for part in _HALVINGS:
        if len(remaining) > _SURVIVORS:
            remaining = _ordered(trials, rule, remaining, sales=max(1, sales // part))[
                : max(_SURVIVORS, len(remaining) // _SURVIVORS)
            ]
    return _ordered(trials, rule, remaining, sales=sales)[0]


def _ordered(trials: Trials, rule: Rule, operations: Sequence[Operations], *, sales: int) -> list[Operations]:
    """Sort ``operations``, best first; equal ones keep their order."""
    profits = {how: trials.profit(rule(trials.sale, how), sales=sales) for how in operations}
    return sorted(operations, key=lambda how: -profits[how])
