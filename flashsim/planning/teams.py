"""Two teams: pricing is optimized first as if capacity did not matter, then capacity is optimized given those prices.

Most companies work like this. The price team plays the training members with servers that never fail and cost nothing.
It takes the pricing rule (with pushes, lots and early waves) that earns most there: constant depths, the ladder, the
run-out price, the fluid LP or fitted programs. The operations team then takes that rule as given and searches the
scaler, utilization and admission cap that suit it best on the real sale. Nobody waits at list price for servers to
boot: the two teams would have to talk for that.

In a reference sale both teams are exact: the price team solves the sale without capacity, the operations team solves
the dynamic program over servers given those prices.
"""

from collections.abc import Callable, Mapping
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
    progress: Callable[[int], object] = lambda _ticks: None,
    threads: int = 1,
) -> TeamsFound:
    """Search the rule of ``rules`` that the price team takes, and the operations that the other team chooses for it."""
    blind = without_capacity(sale)
    trials = Trials(blind, seed=seed, progress=progress, threads=threads)
    calls = calls_of(sale)
    offers = [(name, how) for name in rules for how in calls]
    offered = [policy for rule in rules.values() for policy in with_each(rule, trials.sale, calls)]
    profits = trials.profits(offered, sales=sales)
    name, wanted = offers[profits.index(max(profits))]
    given = list(
        dict.fromkeys(
            replace(wanted, target=how.target, scaler=how.scaler, cap_index=how.cap_index)
            for how in operations_of(sale)
        )
    )
    found = best_operations(
        sale, rules[name], seed=seed, sales=sales, operations=given, progress=progress, threads=threads
    )
    return TeamsFound(name, found)


def two_teams(sale: CompiledSale, rules: Mapping[str, Rule], found: TeamsFound) -> RulePolicy:
    """The policy that the two teams play."""
    policy = rules[found.rule](sale, found.operations)
    return RulePolicy(NAME, sale, policy.price, operations=found.operations)


def two_teams_exactly(sale: CompiledSale) -> TablePolicy:
    """The policy of both teams on a reference sale."""
    reference = reference_of(sale)
    return TablePolicy(NAME, sale, siloed(reference) if isinstance(reference, JointSale) else solve(reference).policy)
