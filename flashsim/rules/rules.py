"""Pricing rules with their operations: a constant depth for each product; the human ladder; the run-out price.

* best fixed: a depth for each product, searched by simulation;
* ladder: 15, 30, 45 % off in the three thirds of the sale;
* run-out price: each product at the price at which its stock lasts just to the end, by the forecast and its learned
  level.

Each rule comes with the operations that suit it best. Operations are: how its servers are scaled and for which
utilization, how many people are admitted, whether its pushes are sent (evenly spread), whether the supplier's lots are
ordered at the opening, whether waves are released early when a product is nearly sold out, and how long it stays at
list price while the servers ordered at the opening boot. A *tracking* scaler follows the larger of present and forecast
visits, as cloud providers offer it. A *scheduled* scaler is planned ahead from the forecast, corrected by the level
learned so far: it orders servers for the visits of the tick in which the order takes effect, whatever comes now. A
*threshold* scaler is what a team does by hand: one step up while the utilization is above one mark, and one step down
while it is below another.

Source: Gallego & van Ryzin (1994), Management Science 40(8), for fixed and run-out prices.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from flashsim.envs.actions import ActionCodec, ActionConfig
from flashsim.envs.calls import PlannedCalls
from flashsim.envs.dashboard import Dashboard
from flashsim.envs.scalers import forecast_visitors
from flashsim.scenarios.compiled import CompiledSale

LADDER = (0.15, 0.30, 0.45)
HUMAN_TEAM = "human team"
RUN_OUT_PRICE = "run-out price"
BUSY, IDLE = 0.7, 0.3
"""Marks of the threshold scaler, utilization; cloud providers use 0.7 in their examples."""


Scaler = Literal["tracking", "scheduled", "threshold"]


@dataclass(frozen=True)
class Operations:
    """How a rule runs the sale apart from prices."""

    target: float = 0.7
    """Target utilization of the scaler; cloud providers use 0.7 in their examples."""
    pushes: bool = False
    """Whether the budgeted pushes are sent."""
    opening_ticks: int = 0
    """Ticks at list price before the rule begins, while the servers ordered at the opening boot."""
    scaler: Scaler = "tracking"
    """Whether servers follow what is seen, a plan from the forecast, or two marks (then ``target`` is not used). A
    reference sale shows nothing to track."""
    cap_index: int = 0
    """Index of the admission cap that holds all the time, among the sale's admission caps."""
    lots: bool = False
    """Whether all lots are ordered from the supplier at the opening."""
    early_waves: bool = False
    """Whether the next wave is released early, as soon as a product is nearly sold out."""

    @property
    def calls(self) -> tuple[str, ...]:
        """Calls that are planned before the sale, by name."""
        planned = {"push": self.pushes, "reorder": self.lots, "release": self.early_waves}
        return tuple(name for name, is_planned in planned.items() if is_planned)


DEFAULT_OPERATIONS = Operations()
"""The operations of a rule when nothing is searched."""

TARGETS = (0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.4, 2.0)
"""Utilizations that the search tries; above 1, part of a rush is never served."""
SEARCHED_SCALERS: tuple[Scaler, ...] = ("tracking", "scheduled")


def operations_of(sale: CompiledSale) -> list[Operations]:
    """All operations that the search tries in ``sale``; options without effect in this sale are left out."""
    lag = int(sale.tables.servers.lag)
    budget, lots, waves = sale.tables.traffic.push_budget, sale.tables.stock.lots, sale.tables.wave_tick.shape[0]
    return [
        Operations(target, pushes, opening, scaler, cap_index, ordered, early)
        for scaler in SEARCHED_SCALERS
        for target in TARGETS
        for pushes in ((False, True) if budget else (False,))
        for opening in sorted({0, lag, lag + 2})
        for cap_index in range(len(sale.admission_caps))
        for ordered in ((False, True) if lots else (False,))
        for early in ((False, True) if waves > 1 else (False,))
    ]


def calls_of(sale: CompiledSale) -> list[Operations]:
    """Default operations with each choice of calls that has an effect in ``sale``: pushes, lots, early waves or not."""
    calls = sorted({(how.pushes, how.lots, how.early_waves) for how in operations_of(sale)})
    return [Operations(pushes=pushes, lots=lots, early_waves=early) for pushes, lots, early in calls]


def threshold_change(
    dashboard: Dashboard, observation: NDArray[np.float32], price_index: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Servers more or fewer (sale,): a step up while utilization is above ``BUSY``, one down while below ``IDLE``.

    Before the opening, utilization is what the forecast has at ``price_index`` (sale, product) for the servers ordered.
    """
    changes, busy = dashboard.sale.server_changes, dashboard.share(observation, "utilization")
    is_before = dashboard.until_opening(observation) > 0
    if np.count_nonzero(is_before):
        capacity = dashboard.sale.tables.servers.service_rate * np.maximum(dashboard.servers_ordered(observation), 1)
        busy = np.where(is_before, forecast_visitors(dashboard, observation, price_index) / capacity, busy)
    up = min((change for change in changes if change > 0), default=0)
    down = max((change for change in changes if change < 0), default=0)
    return np.where(busy > BUSY, up, np.where(busy < IDLE, down, 0))


class RulePolicy:
    """A pricing rule with its operations. It reads only the observation."""

    def __init__(
        self,
        name: str,
        sale: CompiledSale,
        price: Callable[[NDArray[np.float32]], NDArray[np.int64]],
        *,
        operations: Operations,
    ) -> None:
        """``price`` turns observations into price indices (sale, product)."""
        self.name, self.sale, self.price, self.operations = name, sale, price, operations
        self._config = config_of((operations,))
        self.action = asdict(self._config)
        self._cap = sale.admission_caps[operations.cap_index]

    @cached_property
    def _codec(self) -> ActionCodec:
        return ActionCodec(self.sale, self._config)

    @cached_property
    def _calls(self) -> PlannedCalls:
        return PlannedCalls(self._codec.dashboard, self.operations.calls)

    def act(self, observation: NDArray[np.float32]) -> NDArray[np.int64]:
        """Actions (sale, head)."""
        return operate(
            self._codec,
            observation,
            price_index=self.price(observation),
            timing=self._calls.order(observation),
            scaler=self.operations.scaler,
            opening_ticks=self.operations.opening_ticks,
            cap=self._cap,
            target=self.operations.target,
        )


def config_of(operations: Sequence[Operations]) -> ActionConfig:
    """Actions of rules with ``operations``, of one scaler: a scaler that acts by itself aims at their targets."""
    (scaler,) = {how.scaler for how in operations}
    if scaler == "threshold":
        return ActionConfig()
    return ActionConfig(scaler_targets=tuple(sorted({how.target for how in operations})), scaler=scaler)


def operate(
    codec: ActionCodec,
    observation: NDArray[np.float32],
    *,
    price_index: NDArray[np.int64],
    timing: NDArray[np.int64],
    scaler: Scaler,
    opening_ticks: int | NDArray[np.int64],
    cap: float | NDArray[np.float64],
    target: float | NDArray[np.float64],
) -> NDArray[np.int64]:
    """Actions (sale, head) that set ``price_index`` (sale, product), after an opening at list price, order ``timing``,
    and scale servers; the last three arguments are one number for all or (sale,)."""
    is_opening = codec.dashboard.tick(observation) < opening_ticks
    usual = codec.defaults(len(observation))
    decisions = usual._replace(
        price_index=np.where(is_opening[:, None], 0, price_index),
        timing=timing,
        change=threshold_change(codec.dashboard, observation, price_index) if scaler == "threshold" else usual.change,
        cap=np.full(len(observation), cap, np.float64),
    )
    return codec.encode_steered(decisions, observation, target=target)


Rule = Callable[[CompiledSale, Operations], RulePolicy]
"""A pricing rule, to be run with any operations. Its prices do not depend on them."""


@dataclass(frozen=True)
class HeldPrices:
    """Prices that are the same all the time; equal ones are one price to a search."""

    price_index: tuple[int, ...]
    """Of each product."""

    def __call__(self, observation: NDArray[np.float32]) -> NDArray[np.int64]:
        """Price indices (sale, product)."""
        return np.tile(np.array(self.price_index, np.int64), (len(observation), 1))


def fixed(sale: CompiledSale, price_index: Sequence[int], *, operations: Operations, name: str = "fixed") -> RulePolicy:
    """The price index ``price_index`` (product,) for the whole sale."""
    return RulePolicy(name, sale, HeldPrices(tuple(price_index)), operations=operations)


def list_price(sale: CompiledSale, operations: Operations = DEFAULT_OPERATIONS) -> RulePolicy:
    """List price for the whole sale: no discount."""
    return fixed(sale, [0] * sale.products, operations=operations, name="list price")


def ladder(
    sale: CompiledSale, operations: Operations = DEFAULT_OPERATIONS, *, name: str = "ladder 15/30/45"
) -> RulePolicy:
    """15, 30, 45 % off in the three thirds of the sale, at the nearest depths of the menu."""
    dashboard = Dashboard(sale)
    steps = np.stack([np.abs(sale.depths - depth).argmin(axis=1) for depth in LADDER])

    def price(observation: NDArray[np.float32]) -> NDArray[np.int64]:
        past = 1.0 - dashboard.share(observation, "time_left")
        third = np.minimum((past * len(LADDER) + 1e-6).astype(np.int64), len(LADDER) - 1)
        return steps[third]

    return RulePolicy(name, sale, price, operations=operations)


def human_team(sale: CompiledSale) -> RulePolicy:
    """The ladder with a threshold scaler and without any search: what a team does by hand."""
    return ladder(sale, Operations(scaler="threshold"), name=HUMAN_TEAM)


def run_out_price(sale: CompiledSale, operations: Operations = DEFAULT_OPERATIONS) -> RulePolicy:
    """Each product at the price index at which its stock runs out just at the end, by forecast and learned level."""
    return RulePolicy(RUN_OUT_PRICE, sale, Dashboard(sale).run_out, operations=operations)
