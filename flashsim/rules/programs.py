"""Fitted dynamic programs: the forecast's rates taken for the truth, and the optimum computed.

A main scenario is decomposed: for each product, each of some levels of demand, the menu sale with the forecast's units
times that level is solved exactly (``flashsim.reference.solve``), where a unit brings its price less the servers for
the visitors whom the offer attracts. In each tick the policy looks up the table of the level that is nearest (in
logarithm) to the one learned from the ledger, at the stock it sees. Servers are scaled by its operations.

A reference sale is solved as it is, prices and servers together and with the lag: the policy is then the optimum.

Source: Gallego & van Ryzin (1994), Management Science 40(8), for the program; Aviv & Pazgal (2005), Management Science
51(9), for certainty equivalence with a learned level. Left out: effects across products and of the queue on demand.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flashsim.envs.spaces import ActionCodec, ActionConfig, Orders
from flashsim.errors import InputError
from flashsim.reference import JointPolicy, ReferenceSale, joint_sale, menu_sale, solve
from flashsim.rules.fluid import Outlook, net_prices, paid_units, units_in_stock, visit_cost
from flashsim.rules.rules import USUAL, Operations, RulePolicy
from flashsim.scenarios.compiled import Plan

LEVELS = (0.67, 1.0, 1.5)
"""Levels of demand over the forecast for which programs are solved."""


def planned_sale(plan: Plan) -> ReferenceSale:
    """The reference sale of which ``plan`` is the plan, from what the operator knows of it."""
    if not plan.is_reference:
        raise InputError(f"{plan.name!r} is no reference sale; it has no exact solution")
    servers, rates, prices = plan.tables.servers, plan.forecast.units[:-1, 0], plan.tables.price[0]
    stock, salvage = int(plan.stock[0]), float(plan.tables.salvage_value[0])
    if plan.server_changes == (0,) and servers.cost == 0.0 and servers.penalty == 0.0:
        return menu_sale(rates=rates, prices=prices, stock=stock, salvage=salvage, name=plan.name)
    return joint_sale(
        rates=rates,
        prices=prices,
        stock=stock,
        max_servers=servers.max_servers,
        mu=servers.service_rate,
        start_servers=servers.start_servers,
        server_cost=servers.cost,
        penalty=servers.penalty,
        step=max(plan.server_changes),
        lag=servers.lag,
        salvage=salvage,
        name=plan.name,
    )


@dataclass(frozen=True)
class TablePolicy:
    """Plays a reference sale by a table: menu indices (tick, stock), or those and changes of servers."""

    name: str
    plan: Plan
    table: NDArray[np.int64] | JointPolicy
    action: dict[str, Any] = field(default_factory=dict)

    def act(self, observation: NDArray[np.float32]) -> NDArray[np.int64]:
        """Actions (sale, head)."""
        outlook = Outlook(self.plan)
        place = [outlook.tick(observation), outlook.stock(observation)[:, 0].astype(np.int64)]
        hold = np.zeros(observation.shape[0], np.int64)
        if isinstance(self.table, JointPolicy):
            servers = self.plan.tables.servers
            levels = [f"servers_in_{ahead}" for ahead in range(servers.lag)] or ["servers_ordered"]
            most = float(servers.max_servers)
            place += [np.rint(outlook.dashboard.share(observation, name) * most).astype(np.int64) for name in levels]
            menu, change = self.table.menu[tuple(place)], self.table.change[tuple(place)]
        else:
            menu, change = self.table[tuple(place)], hold
        doors = np.full(hold.size, self.plan.admission_caps[0])
        return ActionCodec(self.plan, ActionConfig(**self.action)).encode(Orders(menu[:, None], hold, change, doors))


def optimal(plan: Plan, *, name: str = "fitted DP") -> TablePolicy:
    """The optimum of a reference sale, as a policy."""
    return TablePolicy(name, plan, solve(planned_sale(plan)).policy)


class ProductPrograms:
    """Optimal menu indices of each product at each of ``LEVELS``: products know nothing of each other."""

    def __init__(self, plan: Plan, *, visit_cost: float) -> None:
        units, most = paid_units(plan), units_in_stock(plan).astype(np.int64)
        prices = net_prices(plan, visit_cost=visit_cost)
        self.tables = [
            np.stack(
                [
                    solve(
                        menu_sale(
                            rates=units[:, p] * level,
                            prices=prices[p],
                            stock=int(most[p]),
                            salvage=float(plan.tables.salvage_value[p]),
                        )
                    ).policy
                    for level in LEVELS
                ]
            )
            for p in range(plan.products)
        ]  # product: level, tick, stock
        self._borders = np.sqrt(np.multiply(LEVELS[1:], LEVELS[:-1]))

    def menu(
        self, tick: NDArray[np.int64], stock: NDArray[np.float64], level: NDArray[np.float64]
    ) -> NDArray[np.int64]:
        """Menu indices (sale, product) at ``stock`` and ``level`` (sale, product)."""
        near = np.searchsorted(self._borders, level)
        units = stock.astype(np.int64)
        return np.stack([table[near[:, p], tick, units[:, p]] for p, table in enumerate(self.tables)], axis=1)


def priced_by_programs(
    plan: Plan, programs: ProductPrograms, operations: Operations = USUAL, *, name: str = "fitted DP"
) -> RulePolicy:
    """Prices of ``programs`` with ``operations``."""
    outlook = Outlook(plan)
    return RulePolicy(
        name,
        plan,
        lambda seen: programs.menu(outlook.tick(seen), outlook.stock(seen), outlook.level(seen)),
        operations=operations,
    )


def fitted_programs(plan: Plan, operations: Operations = USUAL) -> ProductPrograms:
    """Programs in which a visit costs the servers that it takes at the utilization aimed at."""
    return ProductPrograms(plan, visit_cost=visit_cost(plan, operations))
