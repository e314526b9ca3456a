"""Searching baselines on the training members, as learners train on them: depths held, and operations."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from agents.baselines.rules import OPERATIONS, Operations, Rule, RulePolicy, fixed
from flashsim.envs.reward import RewardConfig
from flashsim.envs.vector import SaleBatch, consecutive_seeds
from flashsim.evaluation.rollout import action_config
from flashsim.plan import Plan
from flashsim.policy import Policy
from flashsim.sim.streams import TRAINING_DOMAIN

_HEAT_SHARE, _FINALISTS = 8, 6  # a heat on an eighth of the sales leaves one candidate in six


def _silent(_ticks: int) -> None:
    """Tell nobody."""


class Trials:
    """Mean profit of policies that close no sale early, on common sales of training members; counts simulated ticks."""

    def __init__(self, plan: Plan, *, seed: int, progress: Callable[[int], object] = _silent) -> None:
        self.plan, self.seed, self.progress = plan.with_members(plan.training_members), seed, progress
        self.ticks = 0

    def profit(self, policy: Policy, *, sales: int) -> float:
        """Mean profit of a sale, currency."""
        config = action_config(policy)
        batch = SaleBatch(self.plan, sales, action=config, reward=RewardConfig(), domain=TRAINING_DOMAIN)
        batch.seed(consecutive_seeds(self.seed, sales))
        seen, profit = batch.observe(), np.zeros(sales)
        for _ in range(self.plan.ticks // config.every):
            profit += batch.step(policy.act(seen))[0]
            seen = batch.seen()
        self.ticks += sales * self.plan.ticks
        self.progress(sales * self.plan.ticks)
        return float(profit.mean())


@dataclass(frozen=True)
class FixedSearch:
    """What the search for the best fixed policy found."""

    menu: tuple[int, ...]
    """Menu index of each product."""
    operations: Operations
    ticks: int
    """Simulated ticks spent."""


def search_fixed(
    plan: Plan,
    *,
    ticks: int,
    seed: int,
    sales: int = 128,
    operations: Sequence[Operations] = OPERATIONS,
    progress: Callable[[int], object] = _silent,
) -> FixedSearch:
    """Best fixed depth per product with its operations on the training members, by coordinate search on common sales.

    Every uniform depth is tried with all operations first; then one product, or the operations, are changed at a time,
    for the better only, until ``ticks`` simulated ticks are spent. When a whole round changes nothing, the search goes
    on with twice the sales. All candidates of a round meet the same sales.
    """
    trials, known = Trials(plan, seed=seed, progress=progress), {}

    def best(candidates: list[tuple[tuple[int, ...], Operations]]) -> tuple[tuple[int, ...], Operations]:
        for candidate in candidates:
            if candidate not in known:
                rule = fixed(trials.plan, candidate[0], operations=candidate[1])
                known[candidate] = trials.profit(rule, sales=sales)
        return max(candidates, key=known.__getitem__)

    found = best([((k,) * plan.products, how) for k in range(plan.menu) for how in operations])
    while trials.ticks < ticks:
        before = found
        for product in range(plan.products):
            menu = found[0]
            found = best([((*menu[:product], k, *menu[product + 1 :]), found[1]) for k in range(plan.menu)])
        found = best([(found[0], how) for how in operations])
        if found == before:
            sales *= 2
            known.clear()
    return FixedSearch(*found, trials.ticks)


def best_fixed(plan: Plan, found: FixedSearch) -> RulePolicy:
    """The policy that :func:`search_fixed` found."""
    return fixed(plan, found.menu, operations=found.operations, name="best fixed")


def best_operations(
    plan: Plan,
    rule: Rule,
    *,
    seed: int,
    sales: int = 1_024,
    operations: Sequence[Operations] = OPERATIONS,
    progress: Callable[[int], object] = _silent,
) -> Operations:
    """Operations with which ``rule`` earns most on the training members: a heat on some of the sales, then a final.

    All candidates of a round meet the same sales.
    """
    trials = Trials(plan, seed=seed, progress=progress)

    def order(candidates: Sequence[Operations], count: int) -> list[Operations]:
        profits = {how: trials.profit(rule(trials.plan, how), sales=count) for how in candidates}
        return sorted(candidates, key=lambda how: -profits[how])

    finalists = order(operations, max(1, sales // _HEAT_SHARE))[: -(-len(operations) // _FINALISTS)]
    return order(finalists, sales)[0]
