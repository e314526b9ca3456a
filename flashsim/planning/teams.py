"""Two teams: pricing is optimized first as if capacity did not matter, then capacity is optimized given those prices.

Most companies work like this. The price team plays the training members with servers that never fail and cost nothing.
It takes the pricing rule (with pushes, lots and early waves) that earns most there: constant depths, the ladder, the
run-out price, the fluid LP or fitted programs. The operations team then takes that rule as given and searches the
scaler, utilization and admission cap that suit it best on the real sale. Nobody waits at list price for servers to
boot: the two teams would have to talk for that.

In a reference sale both teams are exact: the price team solves the sale without capacity, the operations team solves
the dynamic program over servers given those prices.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from flashsim.planning.search import FINAL_SALES, Trials, best_operations, with_each
from flashsim.reference import JointSale, siloed, solve
from flashsim.rules.programs import TablePolicy, reference_of
from flashsim.rules.rules import Operations, Rule, RulePolicy, calls_of, operations_of
from flashsim.scenarios.compiled import CompiledSale
from flashsim.sim.parameters import as_arguments
from flashsim.sim.servers import ServerArguments, ServerParams

NAME = "two teams"
_AMPLE = 1e9


@dataclass(frozen=True)
class TeamsFound:
    """The choices of the two teams."""

    rule: str
    """The pricing rule that earned most where capacity does not matter."""
    operations: Operations


def without_capacity(sale: CompiledSale) -> CompiledSale:
    """The sale with servers that never fail and cost nothing."""
    ample = ServerParams(
        service_rate=_AMPLE, start_servers=1, min_servers=1, max_servers=1, lag=0, cost=0.0, penalty=0.0
    )
    servers = as_arguments(ample, ServerArguments)
    return replace(sale, tables=sale.tables._replace(servers=servers, pre_opening=0), server_changes=(0,))


def search_teams(
    sale: CompiledSale,
    rules: Mapping[str, Rule],
    *,
    seed: int,
    sales: int = FINAL_SALES,
    trials: Trials | None = None,
) -> TeamsFound:
    """Search the rule of ``rules`` that the price team takes, and the operations that the other team chooses for it.

    ``trials``: of this sale and seed, to go on with; None: new ones.
    """
    trials = trials or Trials(sale, seed=seed)
    blind = trials.elsewhere(without_capacity(sale))
    calls = calls_of(sale)
    offers = [(name, how) for name in rules for how in calls]
    offered = [policy for rule in rules.values() for policy in with_each(rule, blind.sale, calls)]
    profits = blind.profits(offered, sales=sales)
    name, wanted = offers[profits.index(max(profits))]
    given = given_calls(sale, wanted)
    found = best_operations(sale, rules[name], seed=seed, sales=sales, operations=given, trials=trials)
    return TeamsFound(name, found)


def given_calls(sale: CompiledSale, wanted: Operations) -> list[Operations]:
    """What the operations team may choose where the price team wants the calls of ``wanted``."""
    return list(
        dict.fromkeys(
            replace(wanted, target=how.target, scaler=how.scaler, cap_index=how.cap_index)
            for how in operations_of(sale)
        )
    )


def two_teams(sale: CompiledSale, rules: Mapping[str, Rule], found: TeamsFound) -> RulePolicy:
    """The policy that the two teams play."""
    policy = rules[found.rule](sale, found.operations)
    return RulePolicy(NAME, sale, policy.price, operations=found.operations)


def two_teams_exactly(sale: CompiledSale) -> TablePolicy:
    """The policy of both teams on a reference sale."""
    reference = reference_of(sale)
    return TablePolicy(NAME, sale, siloed(reference) if isinstance(reference, JointSale) else solve(reference).policy)
