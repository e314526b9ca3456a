"""The field: every baseline by name, made for one sale, with the results of the searches.

A baseline is one record of :data:`BASELINES`. Learners that play as baselines (``agents.bandits``) pass records of
their own.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import Any

from flashsim.errors import InputError
from flashsim.planning.guarded import GUARD_SALES, HALVINGS, guarded_operations, near
from flashsim.planning.search import (
    FINAL_SALES,
    FixedSearch,
    Trials,
    Workers,
    best_fixed,
    best_operations,
    halving_sales,
    search_fixed,
)
from flashsim.planning.teams import given_calls, search_teams, two_teams, without_capacity
from flashsim.policies.bundle import Policy
from flashsim.rules.fluid import FluidProgram, fluid_lp, fluid_programs, visit_cost
from flashsim.rules.programs import ProductPrograms, fitted_programs, priced_by_programs
from flashsim.rules.rules import (
    DEFAULT_OPERATIONS,
    HUMAN_TEAM,
    RUN_OUT_PRICE,
    Operations,
    Rule,
    RulePolicy,
    calls_of,
    fixed,
    human_team,
    ladder,
    list_price,
    operations_of,
    run_out_price,
)
from flashsim.scenarios.compiled import CompiledSale
from flashsim.settings import names_hint
from flashsim.shown import brief

BLIND_SEARCH_TICKS = 1_000_000  # that the price team spends on its constant depths
SERVER_RULES = tuple(Operations(target, scaler="scheduled") for target in (0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0))
"""Utilizations for which a schedule may plan. A schedule that never looks back needs more spare servers."""


@dataclass(frozen=True)
class Baseline:
    """A policy that learners are compared with."""

    description: str
    """One line for reports."""
    make: Callable[["Field"], Policy]
    is_default: bool = True
    """Whether every comparison contains it; the others are made on request."""
    ticks: Callable[["Field"], int] = lambda _field: 0
    """How many simulated ticks its search compares, for a progress bar."""


class Field:
    """Makes baselines for one sale; results that several of them need are computed once."""

    def __init__(
        self,
        sale: CompiledSale,
        *,
        ticks: int,
        seed: int,
        known: Mapping[str, Baseline] | None = None,
        progress: Callable[[int], object] = lambda _ticks: None,
        workers: Callable[[], Workers] = Workers,
        limits: Mapping[str, float] | None = None,
    ) -> None:
        """``ticks``: least number of simulated ticks for the search of the best fixed policy. ``known``: baselines by
        name; None: :data:`BASELINES`. ``workers`` says before each trial of a search who plays it; any number of them
        finds the same. ``limits``: KPI -> guardrail that searched rules shall keep; None: none."""
        self.sale, self.ticks, self.seed, self._progress = sale, ticks, seed, progress
        self.known, self.limits, self.workers = BASELINES if known is None else known, limits or {}, workers
        self.trials = Trials(sale, seed=seed, progress=self.progress, workers=workers)
        self.facts: dict[str, Any] = {}
        """Name -> what the search found, for the record."""
        self._left = 0

    def planned_ticks(self, names: Sequence[str]) -> int:
        """How many simulated ticks ``progress`` is told of until the baselines called ``names`` are made."""
        return sum(self.known[name].ticks(self) for name in names)

    def progress(self, ticks: int) -> None:
        """Tell of ``ticks``, of no more than the present search was planned to take."""
        told = min(ticks, self._left)
        self._left -= told
        self._progress(told)

    @contextmanager
    def searching(self, ticks: int) -> Iterator[None]:
        """Within the block runs a search that is planned to compare ``ticks``; at its end all are told."""
        self._left = ticks
        yield
        self.progress(self._left)

    def make(self, names: Sequence[str]) -> list[Policy]:
        """Make the baselines called ``names``, in that order. InputError for an unknown name."""
        check_field(names, self.known)
        return [self.known[name].make(self) for name in names]

    def with_best_operations(self, name: str, rule: Rule, operations: Sequence[Operations] | None = None) -> RulePolicy:
        """``rule`` with the operations that suit it best, among ``operations`` (None: all); the record notes them under
        ``name``."""
        offers = operations_of(self.sale) if operations is None else operations
        with self.searching(halving_ticks(self.sale, len(offers))):
            found = best_operations(self.sale, rule, seed=self.seed, operations=offers, trials=self.trials)
        found = self.guarded(name, rule, found, offers)
        self.facts[name] = {"operations": asdict(found), **self.facts.get(name, {})}
        return rule(self.sale, found)

    def guarded(self, name: str, rule: Rule, found: Operations, offers: Sequence[Operations]) -> Operations:
        """``found``, or the operations near it with which ``rule`` keeps the guardrails; the record notes the excess
        that is left under ``name``."""
        if not self.limits:
            return found
        with self.searching(self.guard_ticks(offers)):
            how, excess = guarded_operations(
                self.sale,
                rule,
                found,
                offers=offers,
                limits=self.limits,
                seed=self.seed,
                threads=self.workers().threads,
                progress=self.progress,
            )
        self.facts.setdefault(name, {})["guardrail_excess"] = excess
        return how

    def guard_ticks(self, offers: Sequence[Operations]) -> int:
        """Ticks that are played, at most, to find operations among ``offers`` that keep the guardrails."""
        if not self.limits:
            return 0
        return (1 + len(near(offers[0], offers)) + HALVINGS) * GUARD_SALES * self.sale.all_ticks

    @cached_property
    def run_out_price(self) -> RulePolicy:
        """The run-out price with the operations that suit it best."""
        return self.with_best_operations(RUN_OUT_PRICE, run_out_price)

    @cached_property
    def fixed_search(self) -> FixedSearch:
        """The constant depths, with their operations, that earn most."""
        with self.searching(self.ticks):
            return search_fixed(self.sale, ticks=self.ticks, seed=self.seed, trials=self.trials)


def halving_ticks(sale: CompiledSale, offers: int) -> int:
    """Ticks that a search of the best of so many ``offers`` of operations compares."""
    return halving_sales(offers) * sale.all_ticks


def operations_ticks(field: Field) -> int:
    """Ticks that a search of the best of all operations compares, guardrails included."""
    offers = operations_of(field.sale)
    return halving_ticks(field.sale, len(offers)) + field.guard_ticks(offers)


def check_field(names: Sequence[str], known: Mapping[str, Baseline]) -> None:
    """InputError unless every name is a ``known`` baseline, comes once, and best fixed is among them."""
    for name in names:
        if name not in known:
            raise InputError(f"baselines: unknown name {brief(name)}; {names_hint(name, known)}")
    if len(set(names)) < len(names) or "best fixed" not in names:
        raise InputError(f"baselines: expected different names with 'best fixed' among them, got {list(names)!r}")


def _best_fixed(field: Field) -> Policy:
    found, name = field.fixed_search, "best fixed"

    def rule(sale: CompiledSale, how: Operations) -> RulePolicy:
        return best_fixed(sale, replace(found, operations=how))

    how = field.guarded(name, rule, found.operations, operations_of(field.sale))
    field.facts[name] = asdict(replace(found, operations=how)) | field.facts.get(name, {})
    return rule(field.sale, how)


def _scheduled_scaler(field: Field) -> Policy:
    """The prices, pushes and opening of best fixed, with a schedule of servers."""
    price_index, best = field.fixed_search.price_index, field.fixed_search.operations

    def rule(sale: CompiledSale, how: Operations) -> RulePolicy:
        return fixed(sale, price_index, operations=how, name="scheduled scaler")

    offers = [replace(best, target=how.target, scaler=how.scaler) for how in SERVER_RULES]
    return field.with_best_operations("scheduled scaler", rule, offers)


def _human_team(field: Field) -> Policy:
    team = human_team(field.sale)
    field.facts[HUMAN_TEAM] = {"operations": asdict(team.operations)}
    return team


def _fluid_lp(field: Field) -> Policy:
    programs = fluid_programs(field.sale, visit_cost=visit_cost(field.sale, DEFAULT_OPERATIONS))
    return field.with_best_operations("fluid LP", _fluid_rule(programs))


def _fitted_dp(field: Field) -> Policy:
    return field.with_best_operations("fitted DP", _programs_rule(fitted_programs(field.sale)))


def _two_teams(field: Field) -> Policy:
    """The price team may use constant depths, the ladder, or any rule that ignores servers."""
    sale = field.sale
    with field.searching(BLIND_SEARCH_TICKS):
        held = search_fixed(
            without_capacity(sale),
            ticks=BLIND_SEARCH_TICKS,
            seed=field.seed,
            operations=calls_of(sale),
            trials=field.trials.elsewhere(without_capacity(sale)),
        )
    rules: dict[str, Rule] = {
        "best fixed": lambda sale, how: fixed(sale, held.price_index, operations=how),
        "ladder 15/30/45": ladder,
        RUN_OUT_PRICE: run_out_price,
        "fluid LP": _fluid_rule(fluid_programs(sale, visit_cost=0.0)),
        "fitted DP": _programs_rule(ProductPrograms(sale, visit_cost=0.0)),
    }
    with field.searching(_team_ticks(field)):
        found = search_teams(sale, rules, seed=field.seed, trials=field.trials)
    name = "two teams"
    how = field.guarded(name, rules[found.rule], found.operations, given_calls(sale, found.operations))
    found = replace(found, operations=how)
    field.facts[name] = asdict(found) | field.facts.get(name, {})
    return two_teams(sale, rules, found)


_PRICE_RULES = 5  # among which the price team chooses


def _team_ticks(field: Field) -> int:
    """Ticks that the searches of both teams compare, but for that of the held prices."""
    sale = field.sale
    priced = _PRICE_RULES * len(calls_of(sale)) * FINAL_SALES * sale.ticks
    return priced + halving_ticks(sale, len(_team_offers(field)))


def _team_offers(field: Field) -> list[Operations]:
    """Among how many operations the operations team chooses; whatever calls it is given, they are as many."""
    return given_calls(field.sale, DEFAULT_OPERATIONS)


def _programs_rule(programs: ProductPrograms) -> Rule:
    return lambda sale, how: priced_by_programs(sale, programs, how)


def _fluid_rule(programs: Sequence[FluidProgram]) -> Rule:
    return lambda sale, how: fluid_lp(sale, how, programs=programs)


BASELINES: dict[str, Baseline] = {
    "best fixed": Baseline(
        "one depth per product for the whole sale, searched by simulation on the training worlds",
        _best_fixed,
        ticks=lambda field: field.ticks + field.guard_ticks(operations_of(field.sale)),
    ),
    "scheduled scaler": Baseline(
        "the prices of best fixed; servers planned ahead from the forecast, not from what comes",
        _scheduled_scaler,
        is_default=False,
        ticks=lambda field: halving_ticks(field.sale, len(SERVER_RULES)) + field.guard_ticks(SERVER_RULES),
    ),
    "ladder 15/30/45": Baseline(
        "15, 30, 45 % off in the three thirds of the sale, at the nearest depths of the menu",
        lambda field: field.with_best_operations("ladder 15/30/45", ladder),
        ticks=operations_ticks,
    ),
    HUMAN_TEAM: Baseline(
        "the ladder; a step of servers up above 70 % utilization, down below 30 %; nothing searched", _human_team
    ),
    RUN_OUT_PRICE: Baseline(
        "each product at the price at which its stock, as far as known, lasts just to the end",
        lambda field: field.run_out_price,
        ticks=operations_ticks,
    ),
    "fluid LP": Baseline(
        "the linear program of the rest of the sale on expected demand, solved anew every tick",
        _fluid_lp,
        ticks=operations_ticks,
    ),
    "fitted DP": Baseline(
        "the dynamic program of each product on the forecast, at the level of demand learned so far",
        _fitted_dp,
        ticks=operations_ticks,
    ),
    "two teams": Baseline(
        "prices optimised as if capacity were no matter, then servers optimised given those prices",
        _two_teams,
        ticks=lambda field: BLIND_SEARCH_TICKS + _team_ticks(field) + field.guard_ticks(_team_offers(field)),
    ),
    "list price": Baseline(
        "no discount",
        lambda field: field.with_best_operations("list price", list_price),
        ticks=operations_ticks,
    ),
}
"""Every baseline that needs no learning, by name."""

DEFAULT_FIELD = tuple(name for name, baseline in BASELINES.items() if baseline.is_default)
"""Baselines of every comparison."""
