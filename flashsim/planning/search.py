"""Searches of baselines on the training members, on which learners train too: constant depths, and operations."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from flashsim.envs.reward import RewardConfig
from flashsim.envs.vector import SaleBatch, consecutive_seeds
from flashsim.evaluation.rollout import action_config
from flashsim.rules.rules import Operations, Rule, RulePolicy, fixed, operations_of
from flashsim.rules.side_by_side import SideBySide
from flashsim.scenarios.compiled import CompiledSale
from flashsim.sim.streams import TRAINING_DOMAIN

SEARCH_SEED = 2**62  # first seed of the sales on which rules are searched for comparisons: no learner trains on them
FINAL_SALES = 4_096
MOST_ROWS = 8_192  # of a batch: more are no faster
_HALVINGS = (128, 32, 8)  # first on a 128th of the sales, then on a 32nd, then on an eighth
_SURVIVORS = 8  # a round keeps one candidate in eight, and at least eight


def _silent(_ticks: int) -> None:
    """Report no progress."""


class Trials:
    """Mean profit of rules, which close no sale early, on common sales of training members; also counts simulated
    ticks.

    The profits are the same to the last bit for any number of ``threads``, and for rules played alone.
    """

    def __init__(
        self, sale: CompiledSale, *, seed: int, progress: Callable[[int], object] = _silent, threads: int = 1
    ) -> None:
        self.sale, self.seed, self.progress = sale.with_members(sale.training_members), seed, progress
        self.threads, self.ticks = threads, 0

    def profits(self, rules: Sequence[RulePolicy], *, sales: int) -> list[float]:
        """Mean profit of a sale for each rule, currency."""
        profits = np.zeros(len(rules))
        most = max(1, MOST_ROWS // sales)
        for scaler in dict.fromkeys(rule.operations.scaler for rule in rules):
            places = [place for place, rule in enumerate(rules) if rule.operations.scaler == scaler]
            places.sort(key=lambda place: rules[place].operations.calls)
            for first in range(0, len(places), most):
                part = places[first : first + most]
                profits[part] = self._profits(SideBySide([rules[place] for place in part], sales), sales)
        return profits.tolist()

    def _profits(self, rules: SideBySide, sales: int) -> NDArray[np.float64]:
        """Mean profit (rule,) of rules that share a batch."""
        rows = len(rules) * sales
        config = action_config(rules)
        batch = SaleBatch(
            self.sale, rows, action=config, reward=RewardConfig(), domain=TRAINING_DOMAIN, threads=self.threads
        )
        batch.seed(np.tile(consecutive_seeds(self.seed, sales), len(rules)))
        seen, profit = batch.observe(), np.zeros(rows)
        for _ in range(self.sale.all_ticks // config.every):
            profit += batch.step(rules.act(seen))[0]
            seen = batch.seen()
            self.progress(rows * config.every)
        self.ticks += rows * self.sale.all_ticks
        return profit.reshape(len(rules), sales).mean(axis=1)


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
    threads: int = 1,
) -> FixedSearch:
    """Search the best fixed depth per product, with its operations, on the training members, by coordinate search.

    The search starts at the best uniform depth. List price gets its own :func:`best_operations`, found on eight times
    the ``sales``. Each deeper uniform depth gets the best among the operations of its neighbor and those that differ
    from them in one aspect. Then the search changes one product, or one aspect of the operations, at a time, only for
    the better, until it has used ``ticks`` simulated ticks. When a whole round changes nothing, it continues with twice
    the sales. All candidates of a round meet the same sales.
    """
    trials = Trials(sale, seed=seed, progress=progress, threads=threads)
    known: dict[tuple[tuple[int, ...], Operations], float] = {}
    offers = list(operations_of(sale) if operations is None else operations)

    def best(candidates: list[tuple[tuple[int, ...], Operations]]) -> tuple[tuple[int, ...], Operations]:
        new = [candidate for candidate in dict.fromkeys(candidates) if candidate not in known]
        rules = [fixed(trials.sale, price_index, operations=how) for price_index, how in new]
        known.update(zip(new, trials.profits(rules, sales=sales), strict=True))
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
    threads: int = 1,
) -> Operations:
    """Search the operations with which ``rule`` earns most on the training members: rounds on some of the sales, then a
    final.

    All candidates of a round meet the same sales. The final is long: single sales may collapse, and a thousand sales
    would separate good operations from the best only by chance. Source: successive halving, Jamieson & Talwalkar
    (2016), arXiv:1502.07943.
    """
    offers = operations_of(sale) if operations is None else operations
    return _best(Trials(sale, seed=seed, progress=progress, threads=threads), rule, offers, sales=sales)


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
    profits = trials.profits(with_each(rule, trials.sale, operations), sales=sales)
    places = sorted(range(len(operations)), key=lambda place: -profits[place])
    return [operations[place] for place in places]


def with_each(rule: Rule, sale: CompiledSale, operations: Sequence[Operations]) -> list[RulePolicy]:
    """``rule`` with each of ``operations``; they share its prices."""
    first = rule(sale, operations[0])
    return [RulePolicy(first.name, sale, first.price, operations=how) for how in operations]
