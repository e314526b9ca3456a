"""The field: every baseline by name, made for one sale, with what the searches found."""

import difflib
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from functools import cached_property
from typing import Any, Literal

from agents.baselines.bandits import bandit_rule, learn_bandit
from agents.baselines.fluid import FluidProgram, fluid_lp, fluid_programs, visit_cost
from agents.baselines.programs import ProductPrograms, fitted_programs, priced_by_programs
from agents.baselines.rules import (
    HUMAN_TEAM,
    USUAL,
    Operations,
    Rule,
    RulePolicy,
    calls_of,
    fixed,
    human_team,
    ladder,
    list_price,
    run_out_price,
)
from agents.baselines.search import FixedSearch, best_fixed, best_operations, search_fixed
from agents.baselines.teams import search_teams, two_teams, without_capacity
from flashsim.errors import InputError
from flashsim.plan import Plan
from flashsim.policy import Policy

DESCRIPTIONS = {
    "best fixed": "one depth per product for the whole sale, searched by simulation on the training worlds",
    "scheduled scaler": "the prices of best fixed; servers planned ahead from the forecast, not from what comes",
    "ladder 15/30/45": "15, 30, 45 % off in the three thirds of the sale",
    HUMAN_TEAM: "the ladder; a step of servers up above 70 % utilization, down below 30 %; nothing searched",
    "run-out price": "each product at the price at which its stock, as far as known, lasts just to the end",
    "fluid LP": "the linear program of the rest of the sale on expected demand, solved anew every tick",
    "fitted DP": "the dynamic program of each product on the forecast, at the level of demand learned so far",
    "LinUCB": "linear bandit with optimistic exploration, learned on simulated sales of the training worlds",
    "Thompson sampling": "linear bandit with randomised exploration, learned on simulated sales of the training worlds",
    "two teams": "prices optimised as if capacity were no matter, then servers optimised given those prices",
    "list price": "no discount",
}
"""One line on each baseline, for reports."""

DEFAULT_FIELD = (
    "best fixed",
    "ladder 15/30/45",
    HUMAN_TEAM,
    "run-out price",
    "fluid LP",
    "fitted DP",
    "two teams",
    "list price",
)
"""Baselines of every comparison; the others are made on request."""

BLIND_SEARCH_TICKS = 1_000_000  # of the price team for the depths it would hold
BANDIT_SALES = 1_024
SERVER_RULES = tuple(Operations(target, scaler="scheduled") for target in (0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0))
"""Utilizations for which a schedule may plan; one that never looks back needs more to spare."""


def check_field(names: Sequence[str]) -> None:
    """InputError unless every name is that of a baseline, once, and best fixed is among them."""
    for name in names:
        if name not in DESCRIPTIONS:
            near = difflib.get_close_matches(str(name), DESCRIPTIONS, n=1, cutoff=0.0)[0]
            raise InputError(
                f"baselines: unknown name {name!r}; did you mean {near!r}? Known: {', '.join(DESCRIPTIONS)}"
            )
    if len(set(names)) < len(names) or "best fixed" not in names:
        raise InputError(f"baselines: expected different names with 'best fixed' among them, got {list(names)!r}")


class Field:
    """Makes baselines for one plan; what several of them need is computed once."""

    def __init__(
        self, plan: Plan, *, ticks: int, seed: int, progress: Callable[[int], object] = lambda _ticks: None
    ) -> None:
        """``ticks``: simulated ticks spent on the search for the best fixed policy, at least."""
        self.plan, self.ticks, self.seed, self.progress = plan, ticks, seed, progress
        self.facts: dict[str, Any] = {}
        """Name -> what the search found, or what needs none, for the record."""

    def make(self, names: Sequence[str]) -> list[Policy]:
        """The baselines called ``names``, in that order; InputError for a name that there is not."""
        check_field(names)
        return [self._make(name) for name in names]

    @cached_property
    def run_out_price(self) -> RulePolicy:
        """The run-out price with the operations that suit it best."""
        return run_out_price(
            self.plan, best_operations(self.plan, run_out_price, seed=self.seed, progress=self.progress)
        )

    def _make(self, name: str) -> Policy:
        rules: dict[str, Callable[[], Rule]] = {
            "ladder 15/30/45": lambda: ladder,
            "list price": lambda: list_price,
            "fluid LP": lambda: _fluid_rule(fluid_programs(self.plan, visit_cost=visit_cost(self.plan, USUAL))),
            "fitted DP": lambda: _programs_rule(fitted_programs(self.plan)),
            "LinUCB": lambda: self._bandit("LinUCB"),
            "Thompson sampling": lambda: self._bandit("Thompson sampling"),
        }
        if name == "best fixed":
            self.facts[name] = asdict(self._fixed)
            return best_fixed(self.plan, self._fixed)
        if name == "two teams":
            return self._teams()
        if name == HUMAN_TEAM:
            team = human_team(self.plan)
            self.facts[name] = {"operations": asdict(team.operations)}
            return team
        if name == "run-out price":
            self.facts[name] = {"operations": asdict(self.run_out_price.operations)}
            return self.run_out_price
        rule, choices = (self._as_scheduled(), SERVER_RULES) if name == "scheduled scaler" else (rules[name](), None)
        how = best_operations(self.plan, rule, seed=self.seed, operations=choices, progress=self.progress)
        self.facts[name] = {"operations": asdict(how)}
        return rule(self.plan, how)

    @cached_property
    def _fixed(self) -> FixedSearch:
        return search_fixed(self.plan, ticks=self.ticks, seed=self.seed, progress=self.progress)

    def _as_scheduled(self) -> Rule:
        """The best fixed prices, pushes and opening with a schedule of servers."""
        menu, best = self._fixed.menu, self._fixed.operations
        return lambda plan, how: fixed(
            plan,
            menu,
            operations=replace(best, target=how.target, scaler=how.scaler),
            name="scheduled scaler",
        )

    def _bandit(self, name: Literal["LinUCB", "Thompson sampling"]) -> Rule:
        learned = learn_bandit(self.plan, name, sales=BANDIT_SALES, seed=self.seed, progress=self.progress)
        return lambda plan, how: bandit_rule(plan, learned, how)

    def _teams(self) -> Policy:
        """The price team may hold depths, climb the ladder, or use any rule that knows no servers."""
        held = search_fixed(
            without_capacity(self.plan),
            ticks=BLIND_SEARCH_TICKS,
            seed=self.seed,
            operations=calls_of(self.plan),
            progress=self.progress,
        )
        rules: dict[str, Rule] = {
            "best fixed": lambda plan, how: fixed(plan, held.menu, operations=how),
            "ladder 15/30/45": ladder,
            "run-out price": run_out_price,
            "fluid LP": _fluid_rule(fluid_programs(self.plan, visit_cost=0.0)),
            "fitted DP": _programs_rule(ProductPrograms(self.plan, visit_cost=0.0)),
        }
        found = search_teams(self.plan, rules, seed=self.seed, progress=self.progress)
        self.facts["two teams"] = asdict(found)
        return two_teams(self.plan, rules, found)


def _programs_rule(programs: ProductPrograms) -> Rule:
    return lambda plan, how: priced_by_programs(plan, programs, how)


def _fluid_rule(programs: Sequence[FluidProgram]) -> Rule:
    return lambda plan, how: fluid_lp(plan, how, programs=programs)
