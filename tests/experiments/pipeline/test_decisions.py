"""When a change of a sale is searched."""

from experiments.pipeline.decisions import look_for_change
from flashsim.evaluation.decision import DecisionRule
from flashsim.evaluation.evidence.standing import guardrail_excess
from flashsim.planning.guarded import on_training_worlds
from flashsim.rules import HUMAN_TEAM, human_team, run_out_price
from flashsim.rules.rules import Operations
from flashsim.sim.servers import ServerParams
from tests.worlds import make_scenario, make_world


def test_a_practice_that_keeps_its_guardrails_does_not_end_the_search_of_a_change() -> None:
    servers = ServerParams(service_rate=5.0, start_servers=8, max_servers=60, cost=0.05)
    scenario = make_scenario(make_world(members=9), servers=servers, pre_opening=None)
    sale = scenario.compile()
    thrifty, team = run_out_price(sale, Operations(target=2.0)), human_team(sale)
    lost, kept = (on_training_worlds(sale, policy, seed=0).totals for policy in (thrifty, team))
    between = float((lost["errors"].sum() + 2.0 * kept["errors"].sum()) / 3.0)
    visits = float(sum(kept[name].sum() for name in ("served", "abandoned", "errors")))
    only = dict.fromkeys(("p95_latency_s", "abandonment_share"))
    rule = DecisionRule(limits={**only, "error_share": between / visits})
    excess = [guardrail_excess(on_training_worlds(sale, one, seed=0), rule.guardrails) for one in (thrifty, team)]
    assert excess[0] > 0.0 == excess[1]
    changed, tried = look_for_change(scenario, [thrifty, team], rule, candidates=[thrifty.name, HUMAN_TEAM])
    assert changed is not None or tried
