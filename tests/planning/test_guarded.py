"""Searched rules keep guardrails where they can, and changes are found where they cannot."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from flashsim.evaluation.evidence.standing import guardrail_excess
from flashsim.evaluation.kpis import KPIS, find_kpi, kpi_values
from flashsim.planning import Field
from flashsim.planning.changes import changes_of, search_changes
from flashsim.planning.guarded import guarded_operations, near, on_training_worlds
from flashsim.rules import human_team, run_out_price
from flashsim.rules.rules import Operations, operations_of
from flashsim.scenarios.scenario import Scenario
from flashsim.sim.servers import ServerParams
from tests.evaluation.made_rollouts import make_rollout
from tests.worlds import make_scenario, make_world

LIMITS = {"error_share": 0.01, "p95_latency_s": 1.0}
THRIFTY = Operations(target=2.0)
"""Half of the servers that visits need: many are lost."""


def tight(**servers: Any) -> Scenario:
    """A sale whose servers matter: a visit takes long, and there are few servers at the opening."""
    settings = {"service_rate": 5.0, "start_servers": 8, "max_servers": 60, "cost": 0.05, **servers}
    return make_scenario(make_world(members=9), servers=ServerParams(**settings), pre_opening=None)


def excess(scenario: Scenario, how: Operations, limits: Mapping[str, float]) -> float:
    sale = scenario.compile()
    return guardrail_excess(on_training_worlds(sale, run_out_price(sale, how), seed=0), limits)


def test_excess_is_how_far_the_outer_ends_lie_beyond_the_limits() -> None:
    rollout = make_rollout("PPO", latency_s=0.4)
    values = kpi_values(rollout.totals)
    latency = float(values[:, KPIS.index(find_kpi("p95_latency_s"))].mean())
    sold = float(values[:, KPIS.index(find_kpi("sell_through"))].mean())
    assert guardrail_excess(rollout, {}) == 0.0
    assert guardrail_excess(rollout, {"p95_latency_s": 2.0 * latency, "sell_through": 0.5 * sold}) == 0.0
    one = guardrail_excess(rollout, {"p95_latency_s": 0.5 * latency})
    assert one == pytest.approx(1.0, abs=0.1)  # one limit beyond, and what the interval adds
    both = guardrail_excess(rollout, {"p95_latency_s": 0.5 * latency, "sell_through": 2.0 * sold})
    assert both == pytest.approx(one + 0.5, abs=0.1)


def test_operations_that_break_a_guardrail_give_way_to_near_ones_that_keep_it() -> None:
    scenario = tight()
    sale = scenario.compile()
    assert excess(scenario, THRIFTY, LIMITS) > 0.0
    offers = operations_of(sale)
    found, left = guarded_operations(sale, run_out_price, THRIFTY, offers=offers, limits=LIMITS, seed=0)
    assert left == excess(scenario, found, LIMITS) == 0.0
    keeping = [how for how in near(THRIFTY, offers) if excess(scenario, how, LIMITS) == 0.0]
    assert max(how.target for how in keeping) <= found.target < THRIFTY.target  # utilizations between are tried too
    profits = {
        how: on_training_worlds(sale, run_out_price(sale, how), seed=0).totals["profit"].mean() for how in keeping
    }
    own = on_training_worlds(sale, run_out_price(sale, found), seed=0).totals["profit"].mean()
    assert own >= max(profits.values())
    assert guarded_operations(sale, run_out_price, found, offers=offers, limits=LIMITS, seed=0).operations == found


def test_where_nothing_keeps_a_guardrail_the_smallest_excess_is_taken() -> None:
    scenario = tight(start_servers=4, max_servers=5)
    sale, limits = scenario.compile(), {"error_share": 0.0001}
    offers = operations_of(sale)
    found, left = guarded_operations(sale, run_out_price, THRIFTY, offers=offers, limits=limits, seed=0)
    least = min(excess(scenario, how, limits) for how in [THRIFTY, *near(THRIFTY, offers)])
    assert least >= left > 0.0
    assert excess(scenario, found, limits) == left


def test_a_field_without_limits_searches_by_profit_alone() -> None:
    sale = tight(cost=20.0).compile()  # servers that cost more than the visits they serve bring in
    free, bound = (Field(sale, ticks=1, seed=0, limits=limits) for limits in (None, LIMITS))
    by_profit, guarded = free.run_out_price.operations, bound.run_out_price.operations
    assert "guardrail_excess" not in free.facts["run-out price"]
    assert bound.facts["run-out price"]["guardrail_excess"] == 0.0
    assert guarded != by_profit
    assert guarded.target < by_profit.target


def test_a_search_with_limits_tells_of_all_the_ticks_that_it_planned() -> None:
    sale = tight().compile()
    told: list[int] = []
    field = Field(sale, ticks=1, seed=0, limits=LIMITS, progress=told.append)
    names = ("run-out price", "list price")
    field.make(["best fixed"])
    told.clear()
    planned = field.planned_ticks(names)
    for name in names:
        field.known[name].make(field)
    assert sum(told) == planned


def test_the_nearest_change_under_which_guardrails_are_kept_is_found() -> None:
    scenario = tight(max_servers=12)
    team = human_team(scenario.compile())
    found = search_changes(scenario, team, limits=LIMITS, worthwhile=0.0, seed=0)
    assert found.change is not None
    assert found.sale is not None
    assert found.policy is not None
    rollout = on_training_worlds(found.sale, found.policy, seed=0)
    assert guardrail_excess(rollout, LIMITS) == 0.0
    words = [change.words for change in changes_of(scenario)]
    assert words.index(found.change.words) == len(found.tried)
    assert list(found.tried) == words[: len(found.tried)]
    assert "instead of 12" in found.change.words
    none = search_changes(scenario, team, limits={"p95_latency_s": 0.1}, worthwhile=0.0, seed=0)
    assert (none.change, none.policy) == (None, None)
    assert list(none.tried) == words


def test_a_change_must_be_better_on_the_kpi_that_decides() -> None:
    scenario = tight(max_servers=12)
    team = human_team(scenario.compile())
    by_profit, by_latency = (
        search_changes(scenario, team, limits=LIMITS, primary=primary, worthwhile=20.0, seed=0)
        for primary in ("profit", "p95_latency_s")
    )
    assert by_profit.change is not None
    assert by_latency.change is None  # nobody is 20 s faster, whatever it earns


def test_changes_are_sorted_by_how_far_they_are_and_differ_in_one_thing() -> None:
    scenario = replace(tight(), pre_opening=0)
    changes = changes_of(scenario)
    sizes = [change.size for change in changes]
    assert sizes == sorted(sizes)
    assert any("servers at the opening instead of 8" in change.words for change in changes)
    assert not any("at the opening" in change.words for change in changes_of(tight()))  # there they are decided
    assert any(change.words.startswith("a stock for") for change in changes)
    assert any(change.words.startswith("doors") for change in changes)
    assert len({change.words for change in changes}) == len(changes)
