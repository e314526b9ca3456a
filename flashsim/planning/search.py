"""Searches of baselines on the training members, on which learners train too: constant depths, and operations."""

import os
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import NamedTuple

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
MOST_ROWS = 2_048  # of a batch: what its rules read stays in the cache of a core
_HALVINGS = (128, 32, 8)  # first on a 128th of the sales, then on a 32nd, then on an eighth
_LOW_PRIORITY = 10  # what `nice` sets
_SURVIVORS = 8  # a round keeps one candidate in eight, and at least eight


def _silent(_ticks: int) -> None:
    """Report no progress."""


class Workers(NamedTuple):
    """Who plays a trial."""

    threads: int = 1
    is_patient: bool = False
    """Whether they leave the cores to others that want them; Linux alone knows the priority of a thread."""


class Trials:
    """Mean profit of rules, which close no sale early, on common sales of training members; also counts ticks.

    What a rule earned in a sale is kept, so that a longer trial of it plays only the sales that are new. Rules are the
    same where their ``price`` and their operations are equal. The profits are the same to the last bit for any number
    of threads, and for rules played alone.
    """

    def __init__(
        self,
        sale: CompiledSale,
        *,
        seed: int,
        progress: Callable[[int], object] = _silent,
        workers: Callable[[], Workers] = Workers,
    ) -> None:
        """``workers`` says before each trial who plays it."""
        self.sale, self.seed, self.progress = sale.with_members(sale.training_members), seed, progress
        self.workers, self.ticks, self._is_stopped = workers, 0, False
        self._kept: dict[tuple[object, Operations], NDArray[np.float64]] = {}
        self._counting = threading.Lock()

    def elsewhere(self, sale: CompiledSale) -> "Trials":
        """New ones on another sale."""
        return Trials(sale, seed=self.seed, progress=self.progress, workers=self.workers)

    def profits(self, rules: Sequence[RulePolicy], *, sales: int) -> list[float]:
        """Mean profit of a sale for each rule, currency. Counts the ticks of all its sales, those played before too."""
        keys = [(rule.price, rule.operations) for rule in rules]
        new = {key: rule for key, rule in zip(keys, rules, strict=True) if self._known(key) < sales}
        played = sum(sales - self._known(key) for key in new)
        self._tell((len(rules) * sales - played) * self.sale.all_ticks)
        parts = [(rule, self._known(key)) for key, rule in new.items()]
        workers = self.workers()
        self._play(list(_side_by_side(parts, sales=sales, threads=workers.threads)), workers)
        return [float(self._kept[key][:sales].mean()) for key in keys]

    def _known(self, key: tuple[object, Operations]) -> int:
        """Number of first sales in which it is known what a rule earned."""
        return self._kept[key].size if key in self._kept else 0

    def _play(self, parts: list["_Part"], workers: Workers) -> None:
        self._is_stopped = False
        with ThreadPoolExecutor(workers.threads, initializer=_yield_cores if workers.is_patient else None) as pool:
            try:
                for part, profits in zip(parts, pool.map(self._profits, parts), strict=True):
                    self._keep(part, profits)
            except BaseException:
                self._is_stopped = True
                pool.shutdown(wait=False, cancel_futures=True)
                raise

    def _keep(self, part: "_Part", profits: NDArray[np.float64]) -> None:
        for rule, earned in zip(part.rules, profits, strict=True):
            key = (rule.price, rule.operations)
            self._kept[key] = np.concatenate([self._kept.get(key, np.zeros(0)), earned])

    def _tell(self, ticks: int) -> None:
        with self._counting:
            self.ticks += ticks
            self.progress(ticks)

    def _profits(self, part: "_Part") -> NDArray[np.float64]:
        """Profit (rule, sale) of rules that share a batch."""
        rules, sales = SideBySide(part.rules, part.sales), part.sales
        rows = len(rules) * sales
        config = action_config(rules)
        batch = SaleBatch(self.sale, rows, action=config, reward=RewardConfig(), domain=TRAINING_DOMAIN)
        batch.seed(np.tile(consecutive_seeds(self.seed + part.first, sales), len(rules)))
        seen, profit = batch.observe(), np.zeros(rows)
        for _ in range(self.sale.all_ticks // config.every):
            if self._is_stopped:
                break
            profit += batch.step(rules.act(seen))[0]
            seen = batch.seen()
            self._tell(rows * config.every)
        return profit.reshape(len(rules), sales)


def _yield_cores() -> None:
    """Let this thread work where no other wants to."""
    if sys.platform == "linux":
        thread = threading.get_native_id()
        os.setpriority(os.PRIO_PROCESS, thread, max(_LOW_PRIORITY, os.getpriority(os.PRIO_PROCESS, thread)))


class _Part(NamedTuple):
    """Rules that play the same sales in one batch."""

    rules: list[RulePolicy]
    first: int
    """Place of the first sale."""
    sales: int


def _side_by_side(rules: Sequence[tuple[RulePolicy, int]], *, sales: int, threads: int) -> Iterator[_Part]:
    """Parts of about equal size in which each of ``rules``, of which some first sales are known, plays the rest of
    ``sales``."""
    rows = sum(sales - known for _, known in rules)
    most = min(MOST_ROWS, -(-rows // threads))
    kinds = dict.fromkeys((rule.operations.scaler, known) for rule, known in rules)
    for scaler, known in kinds:
        alike = [rule for rule, first in rules if (rule.operations.scaler, first) == (scaler, known)]
        alike.sort(key=lambda rule: rule.operations.calls)
        new = sales - known
        count = max(1, most // new)
        for first in range(0, len(alike), count):
            yield _Part(alike[first : first + count], known, new)


@dataclass(frozen=True)
class FixedSearch:
    """Result of the search for the best fixed policy."""

    price_index: tuple[int, ...]
    """Price index of each product."""
    operations: Operations
    ticks: int
    """Simulated ticks that were compared; those of a sale count in each trial that it is part of."""


def search_fixed(
    sale: CompiledSale,
    *,
    ticks: int,
    seed: int,
    sales: int = 128,
    operations: Sequence[Operations] | None = None,
    trials: Trials | None = None,
) -> FixedSearch:
    """Search the best fixed depth per product, with its operations, on the training members, by coordinate search.

    The search starts at the best uniform depth. List price gets its own :func:`best_operations`, found on eight times
    the ``sales``. Each deeper uniform depth gets the best among the operations of its neighbor and those that differ
    from them in one aspect. Then the search changes one product, or one aspect of the operations, at a time, only for
    the better, until it has compared ``ticks`` simulated ticks, those of an earlier round again. When a whole round
    changes nothing, it continues with twice the sales. All candidates of a round meet the same sales. ``trials``: of
    this sale and seed, to go on with; None: new ones.
    """
    trials = trials or Trials(sale, seed=seed)
    counted = trials.ticks
    known: dict[tuple[tuple[int, ...], Operations], float] = {}
    offers = list(operations_of(sale) if operations is None else operations)

    def best(candidates: list[tuple[tuple[int, ...], Operations]]) -> tuple[tuple[int, ...], Operations]:
        new = [candidate for candidate in dict.fromkeys(candidates) if candidate not in known]
        rules = [fixed(trials.sale, price_index, operations=how) for price_index, how in new]
        known.update(zip(new, trials.profits(rules, sales=sales), strict=True))
        return max(candidates, key=known.__getitem__)

    def near(how: Operations) -> list[Operations]:
        return [other for other in offers if aspects_that_differ(how, other) <= 1]

    level = (0,) * sale.products
    uniform = [(level, _best(trials, lambda sale, how: fixed(sale, level, operations=how), offers, sales=8 * sales))]
    for depth in range(1, sale.price_levels):
        level = (depth,) * sale.products
        uniform.append(best([(level, how) for how in near(uniform[-1][1])]))
    found = best(uniform)
    while trials.ticks - counted < ticks:
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
    return FixedSearch(*found, trials.ticks - counted)


def aspects_that_differ(one: Operations, other: Operations) -> int:
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
    trials: Trials | None = None,
) -> Operations:
    """Search the operations with which ``rule`` earns most on the training members: rounds on some of the sales, then a
    final.

    All candidates of a round meet the same sales. The final is long: single sales may collapse, and a thousand sales
    would separate good operations from the best only by chance. ``trials``: of this sale and seed, to go on with; None:
    new ones. Source: successive halving, Jamieson & Talwalkar (2016), arXiv:1502.07943.
    """
    offers = operations_of(sale) if operations is None else operations
    return _best(trials or Trials(sale, seed=seed), rule, offers, sales=sales)


def halving_sales(offers: int, *, sales: int = FINAL_SALES) -> int:
    """Sales that :func:`best_operations` compares where it chooses among so many ``offers``."""
    compared, remaining = 0, offers
    for part in _HALVINGS:
        if remaining > _SURVIVORS:
            compared += remaining * max(1, sales // part)
            remaining = max(_SURVIVORS, remaining // _SURVIVORS)
    return compared + remaining * sales


def _best(trials: Trials, rule: Rule, operations: Sequence[Operations], *, sales: int) -> Operations:
    rules = with_each(rule, trials.sale, operations)
    remaining = list(range(len(rules)))
    for part in _HALVINGS:
        if len(remaining) > _SURVIVORS:
            ordered = _ordered(trials, rules, remaining, sales=max(1, sales // part))
            remaining = ordered[: max(_SURVIVORS, len(remaining) // _SURVIVORS)]
    return operations[_ordered(trials, rules, remaining, sales=sales)[0]]


def _ordered(trials: Trials, rules: Sequence[RulePolicy], places: Sequence[int], *, sales: int) -> list[int]:
    """Sort ``places`` of ``rules``, best first; equal ones keep their order."""
    profits = trials.profits([rules[place] for place in places], sales=sales)
    return [places[k] for k in sorted(range(len(places)), key=lambda k: -profits[k])]


def with_each(rule: Rule, sale: CompiledSale, operations: Sequence[Operations]) -> list[RulePolicy]:
    """``rule`` with each of ``operations``; they share its prices."""
    first = rule(sale, operations[0])
    return [RulePolicy(first.name, sale, first.price, operations=how) for how in operations]
