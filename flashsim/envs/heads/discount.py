"""How deep the discount of each product is: a price of the menu, or a step around its run-out price."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from flashsim.envs.dashboard import Dashboard, read_count, read_tick
from flashsim.envs.heads.head import Head, HeadConfig, Target
from flashsim.errors import InputError
from flashsim.scenarios.compiled import CompiledSale
from flashsim.sim.cache import compiled
from flashsim.sim.parameters import check_range, check_whole
from flashsim.sim.state import Decisions


@dataclass(frozen=True)
class DiscountConfig(HeadConfig):
    """How the discount head names prices."""

    per_product: bool = True
    """True: a depth for each product; False: one for all."""
    around_run_out: int = 0
    """0: the discount head names a price index. n > 0: it names a step from -n to n around each product's run-out
    index, the price at which by forecast and learned level the stock lasts just to the end (``product_…_run_out``)."""
    opening_ticks: int = 0
    """Ticks from the opening in which such steps are from list price instead, while the servers ordered then boot."""
    max_discount: float = 1.0
    """Guard-rail, share: deeper discounts are cut to the deepest of the menu that it allows."""


class RunOutRule(NamedTuple):
    """Where the observation shows the run-out price, and how long list price stands in its place."""

    run_out: NDArray[np.int64]  # product; column
    time_left: int  # column
    ticks: int  # of the sale
    opening_ticks: int
    price_levels: int


class Discount(Head):
    """Price index of each product, or of all; list price without it."""

    name, decision = "discount", "price_index"

    def __init__(self, sale: CompiledSale, config: DiscountConfig, dashboard: Dashboard) -> None:
        super().__init__(sale, config, dashboard)
        self._around = config.around_run_out
        self._deepest = (sale.depths <= config.max_discount + 1e-9).sum(axis=1) - 1  # product
        if (self._deepest < 0).any():
            raise InputError(
                f"action max_discount: {sale.name!r} has no discount of at most {config.max_discount:g}; raise it"
            )
        self._is_cut = bool((self._deepest < sale.price_levels - 1).any())
        time_left, opening = dashboard.columns["time_left"], config.opening_ticks
        self._rule = RunOutRule(dashboard.run_out_columns, time_left, sale.ticks, opening, sale.price_levels)
        choices = 2 * self._around + 1 if self._around else sale.price_levels
        self.sizes = (choices,) * (sale.products if config.per_product else 1)

    @staticmethod
    def check(config: DiscountConfig, *, every: int) -> None:
        check_whole("action around_run_out", config.around_run_out, 0, 100)
        check_whole("action opening_ticks", config.opening_ticks, 0, 100_000)
        check_range("action max_discount", config.max_discount, 0.0, 1.0)

    @property
    def reads_observation(self) -> bool:
        return self._around > 0

    def meaning(self) -> Any:
        """Depths of each product."""
        return self.sale.depths.tolist()

    def default(self, sales: int) -> NDArray[np.int64]:
        return np.zeros((sales, self.sale.products), np.int64)

    def decode(
        self,
        chosen: NDArray[np.int64] | None,
        observation: NDArray[np.float32],
        decided: Mapping[str, NDArray[Any]],
        *,
        is_first: bool,
    ) -> NDArray[np.int64]:
        price_index = self.default(len(observation))
        if chosen is not None:
            price_index[:] = chosen
            if self._around:
                _add_run_out(self._rule, observation, self._around, price_index)
        return price_index

    def keep_guard_rails(self, decision: NDArray[Any], observation: NDArray[np.float32]) -> NDArray[Any]:
        return np.minimum(decision, self._deepest) if self._is_cut else decision

    def encode(self, decisions: Decisions) -> NDArray[np.int64]:
        """One for all: that of the first product."""
        return decisions.price_index[:, : len(self.sizes)]

    def encode_steered(
        self,
        decisions: Decisions,
        observation: NDArray[np.float32],
        *,
        target: Target,
    ) -> NDArray[np.int64]:
        """The step whose prices are nearest to all of ``decisions`` together, of equals the smallest."""
        if not self._around:
            return super().encode_steered(decisions, observation, target=target)
        steps = np.arange(self.sizes[0]) - self._around
        price_index = np.clip(self._base(observation)[:, None] + steps[:, None], 0, self.sale.price_levels - 1)
        away = np.abs(np.minimum(price_index, self._deepest) - decisions.price_index[:, None])  # sale, step, product
        if not self.config.per_product:
            away = away.sum(axis=2, keepdims=True)
        return (away + 1e-3 * np.abs(steps)[:, None]).argmin(axis=1)

    def usual_choice(self) -> NDArray[np.int64]:
        """No step, where it names steps."""
        return np.full(len(self.sizes), self._around, np.int64) if self._around else super().usual_choice()

    def rails(self) -> list[dict[str, Any]]:
        rails = super().rails()
        if self._around:
            return rails  # steps are cut, and always feasible
        depths = self.sale.depths if self.config.per_product else self.sale.depths.max(axis=0, keepdims=True)
        return [
            column | {"values": row.tolist(), "most": "max_discount"} for column, row in zip(rails, depths, strict=True)
        ]

    def allowed(self) -> NDArray[np.bool_]:
        """Of prices of the menu, those that are deep at most."""
        if self._around:
            return super().allowed()
        deepest = self._deepest if self.config.per_product else self._deepest.min(keepdims=True)
        return (np.arange(self.sale.price_levels) <= deepest[:, None]).ravel()

    def _base(self, observation: NDArray[np.float32]) -> NDArray[np.int64]:
        """Price index (sale, product) from which steps are counted."""
        base = self.default(len(observation))
        _add_run_out(self._rule, observation, 0, base)
        return base


@compiled
def _add_run_out(
    rule: RunOutRule, observation: NDArray[np.float32], middle: int, price_index: NDArray[np.int64]
) -> None:
    """Make prices of the steps in ``price_index`` (sale, product), ``middle`` being that which changes nothing."""
    deepest = rule.price_levels - 1
    for row in range(price_index.shape[0]):
        seen = observation[row]
        is_opening = (
            rule.opening_ticks > 0 and read_tick(np.float64(seen[rule.time_left]), rule.ticks) < rule.opening_ticks
        )
        for product in range(price_index.shape[1]):
            price = price_index[row, product] - middle
            if not is_opening:
                price += np.int64(read_count(np.float64(seen[rule.run_out[product]]), deepest))
            price_index[row, product] = min(max(price, 0), deepest)
