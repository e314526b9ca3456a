"""Changes of a sale where nobody keeps its guardrails as it is: more servers, another stock, doors that can be held.

Each is tried alone, the nearest first, with the run-out price and the operations that suit it there, on the training
worlds. The first under which all guardrails are kept, and which is better than the practice today, is proposed;
held-out worlds judge it anew.
"""

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np

from flashsim.errors import InputError
from flashsim.evaluation.kpis import find_kpi
from flashsim.evaluation.rollout import Rollout
from flashsim.planning.guarded import guarded_operations, on_training_worlds
from flashsim.planning.search import Trials, Workers, best_operations
from flashsim.policies.bundle import Policy
from flashsim.rules.rules import operations_of, run_out_price
from flashsim.scenarios.compiled import CompiledSale
from flashsim.scenarios.scenario import Scenario

_MORE = (1.25, 1.5, 2.0, 3.0)
_STOCK = (0.8, 1.25)
_DOORS = (np.inf, 1.5, 1.0)
_SEARCH_SALES = 512


@dataclass(frozen=True)
class Change:
    """A sale that differs in one thing."""

    words: str
    scenario: Scenario
    size: float
    """How far it is from the sale as given: the logarithm of the ratio."""


@dataclass(frozen=True)
class ChangesFound:
    """What a search of changes found."""

    change: Change | None
    """The nearest under which all guardrails are kept; None: none that was tried."""
    sale: CompiledSale | None
    policy: Policy | None
    tried: tuple[str, ...]
    """Changes that were not enough, in words."""


def changes_of(scenario: Scenario) -> list[Change]:
    """What can be changed in ``scenario``, the nearest first."""
    return sorted(_changes(scenario), key=lambda change: change.size)


def _changes(scenario: Scenario) -> Iterator[Change]:
    servers = scenario.servers
    if not scenario.ticks_before_opening and servers.start_servers < servers.max_servers:
        for count in _larger(servers.start_servers, most=servers.max_servers):
            yield from _change(
                scenario,
                f"{count} servers at the opening instead of {servers.start_servers}",
                count / max(servers.start_servers, 1),
                servers=replace(servers, start_servers=count),
            )
    for count in _larger(servers.max_servers):
        yield from _change(
            scenario,
            f"a quota of {count} servers instead of {servers.max_servers}",
            count / max(servers.max_servers, 1),
            servers=replace(servers, max_servers=count),
            pre_opening=scenario.pre_opening and None,
        )
    for factor in _STOCK if scenario.stock_units is None else ():
        yield from _change(
            scenario,
            f"a stock for {factor * scenario.stock_cover:.3g} times the expected sales instead of "
            f"{scenario.stock_cover:.3g}",
            factor,
            stock_cover=factor * scenario.stock_cover,
        )
    if scenario.admission_caps == (np.inf,):
        yield from _change(scenario, "doors that can be held while servers are full", max(_MORE), admission_caps=_DOORS)


def _larger(count: int, *, most: int | None = None) -> list[int]:
    counts = dict.fromkeys(math.ceil(max(count, 1) * factor) for factor in _MORE)
    return [one for one in counts if one > count and (most is None or one <= most)]


def _change(scenario: Scenario, words: str, ratio: float, **fields: object) -> Iterator[Change]:
    """The change, where a sale can have it."""
    try:
        changed = replace(scenario, **fields)  # type: ignore[arg-type]
    except InputError:
        return
    yield Change(words, changed, abs(math.log(ratio)))


def search_changes(
    scenario: Scenario,
    practice: Policy,
    *,
    limits: Mapping[str, float],
    worthwhile: float,
    seed: int,
    primary: str = "profit",
    threads: int = 1,
    progress: Callable[[int], object] = lambda _changes: None,
) -> ChangesFound:
    """Search the nearest change under which the run-out price keeps ``limits`` (KPI -> guardrail) and is better on the
    KPI ``primary`` than ``practice`` is in the sale as given, by more than ``worthwhile``. ``progress`` is told of each
    change."""
    today = on_training_worlds(scenario.compile(), practice, seed=seed, threads=threads)
    tried: list[str] = []
    for change in changes_of(scenario):
        sale = change.scenario.compile()
        offers = operations_of(sale)
        trials = Trials(sale, seed=seed, workers=lambda: Workers(threads))
        found = best_operations(sale, run_out_price, seed=seed, sales=_SEARCH_SALES, operations=offers, trials=trials)
        how, excess = guarded_operations(
            sale, run_out_price, found, offers=offers, limits=limits, seed=seed, threads=threads
        )
        policy = run_out_price(sale, how)
        progress(1)
        if excess == 0.0 and _lead(sale, policy, today, primary=primary, seed=seed, threads=threads) > worthwhile:
            return ChangesFound(change, sale, policy, tuple(tried))
        tried.append(change.words)
    return ChangesFound(None, None, None, tuple(tried))


def _lead(sale: CompiledSale, policy: Policy, today: Rollout, *, primary: str, seed: int, threads: int) -> float:
    """By how much ``policy`` is better in ``sale`` than ``today`` on the KPI ``primary``, a sale."""
    kpi, rollout = find_kpi(primary), on_training_worlds(sale, policy, seed=seed, threads=threads)
    difference = float((kpi.value(rollout.totals) - kpi.value(today.totals)).mean())
    return -difference if kpi.direction == "lower" else difference
