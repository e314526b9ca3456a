"""Fitted dynamic programs: they treat the forecast's rates as the truth and compute the optimum.

A main scenario is decomposed. For each product and each of some levels of demand, ``flashsim.reference.solve`` solves
the menu sale with the forecast's units times that level exactly; a unit is worth its price minus the servers for the
visitors whom the offer attracts. In each tick the policy looks up the table of the level nearest (in logarithm) to the
level learned from the ledger, at the stock that it sees. The operations scale its servers.

A reference sale is solved directly, prices and servers together and with the lag: the policy is then the optimum.

Source: Gallego & van Ryzin (1994), Management Science 40(8), for the program; Aviv & Pazgal (2005), Management Science
51(9), for certainty equivalence with a learned level. Left out: effects across products and the effect of the queue on
demand.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flashsim.envs.actions import ActionCodec, ActionConfig
from flashsim.errors import InputError
from flashsim.reference import JointPolicy, ReferenceSale, joint_sale, menu_sale, solve
from flashsim.rules.fluid import Outlook, net_prices, paid_units, units_in_stock, visit_cost
from flashsim.rules.rules import DEFAULT_OPERATIONS, Operations, RulePolicy
from flashsim.scenarios.compiled import CompiledSale

LEVELS = (0.67, 1.0, 1.5)
"""Levels of demand, relative to the forecast, for which programs are solved."""


def reference_of(sale: CompiledSale) -> ReferenceSale:
    """The reference sale behind ``sale``, from what the operator knows about it."""
    if not sale.is_reference:
        raise InputError(f"{sale.name!r} is no reference sale; it has no exact solution")
    servers, rates, prices = sale.tables.servers, sale.forecast.units[:-1, 0], sale.tables.price[0]
    stock, salvage = int(sale.stock[0]), float(sale.tables.salvage_value[0])
    if sale.server_changes == (0,) and servers.cost == 0.0 and servers.penalty == 0.0:
        return menu_sale(rates=rates, prices=prices, stock=stock, salvage=salvage, name=sale.name)
    return joint_sale(
        rates=rates,
        prices=prices,
        stock=stock,
        max_servers=servers.max_servers,
        mu=servers.service_rate,
        start_servers=servers.start_servers,
        server_cost=servers.cost,
        penalty=servers.penalty,
        step=max(sale.server_changes),
        lag=servers.lag,
        salvage=salvage,
        pre_opening=sale.pre_opening,
        name=sale.name,
    )


@dataclass(frozen=True)
class TablePolicy:
    """Plays a reference sale from a table: price indices (tick, stock), or price indices and changes of servers; ticks
    before the opening come first."""

    name: str
    sale: CompiledSale
    table: NDArray[np.int64] | JointPolicy
    action: dict[str, Any] = field(default_factory=dict)

    def act(self, observation: NDArray[np.float32]) -> NDArray[np.int64]:
        """Actions (sale, head)."""
        outlook = Outlook(self.sale)
        passed = self.sale.pre_opening + outlook.tick(observation) - outlook.dashboard.until_opening(observation)
        place = [passed, outlook.stock(observation)[:, 0].astype(np.int64)]
        hold = np.zeros(observation.shape[0], np.int64)
        if isinstance(self.table, JointPolicy):
            servers = self.sale.tables.servers
            levels = [f"servers_in_{ahead}" for ahead in range(servers.lag)] or ["servers_ordered"]
            most = float(servers.max_servers)
            place += [np.rint(outlook.dashboard.share(observation, name) * most).astype(np.int64) for name in levels]
            price_index, change = self.table.price_index[tuple(place)], self.table.change[tuple(place)]
        else:
            price_index, change = self.table[tuple(place)], hold
        codec = ActionCodec(self.sale, ActionConfig(**self.action))
        return codec.encode(codec.defaults(hold.size)._replace(price_index=price_index[:, None], change=change))


def optimal(sale: CompiledSale, *, name: str = "fitted DP") -> TablePolicy:
    """The optimum of a reference sale, as a policy."""
    return TablePolicy(name, sale, solve(reference_of(sale)).policy)


class ProductPrograms:
    """Optimal price indices of each product at each of ``LEVELS``; each product is solved alone."""

    def __init__(self, sale: CompiledSale, *, visit_cost: float) -> None:
        units, most = paid_units(sale), units_in_stock(sale).astype(np.int64)
        prices = net_prices(sale, visit_cost=visit_cost)
        self.tables = [
            np.stack(
                [
                    solve(
                        menu_sale(
                            rates=units[:, p] * level,
                            prices=prices[p],
                            stock=int(most[p]),
                            salvage=float(sale.tables.salvage_value[p]),
                        )
                    ).policy
                    for level in LEVELS
                ]
            )
            for p in range(sale.products)
        ]  # product: level, tick, stock
        self._borders = np.sqrt(np.multiply(LEVELS[1:], LEVELS[:-1]))

    def price_index(
        self, tick: NDArray[np.int64], stock: NDArray[np.float64], level: NDArray[np.float64]
    ) -> NDArray[np.int64]:
        """Price indices (sale, product) at ``stock`` and ``level`` (sale, product)."""
        near = np.searchsorted(self._borders, level)
        units = stock.astype(np.int64)
        return np.stack([table[near[:, p], tick, units[:, p]] for p, table in enumerate(self.tables)], axis=1)


def priced_by_programs(
    sale: CompiledSale,
    programs: ProductPrograms,
    operations: Operations = DEFAULT_OPERATIONS,
    *,
    name: str = "fitted DP",
) -> RulePolicy:
    """A policy with the prices of ``programs`` and with ``operations``."""
    outlook = Outlook(sale)
    return RulePolicy(
        name,
        sale,
        lambda seen: programs.price_index(outlook.tick(seen), outlook.stock(seen), outlook.level(seen)),
        operations=operations,
    )


def fitted_programs(sale: CompiledSale, operations: Operations = DEFAULT_OPERATIONS) -> ProductPrograms:
    """Solve programs in which a visit costs the servers that it uses at the target utilization."""
    return ProductPrograms(sale, visit_cost=visit_cost(sale, operations))
