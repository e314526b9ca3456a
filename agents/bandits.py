"""Linear bandits: LinUCB and Thompson sampling choose the price index of each product by what a tick of it will bring.

For product p with features x of the observation and price index k the reward of a tick is taken to be linear,

    E[r | x, k] = w_pk·x        A_pk = I + Σ x·xᵀ        b_pk = Σ r·x        w_pk = A_pk⁻¹·b_pk

LinUCB plays argmax_k w_pk·x + α·√(xᵀ·A_pk⁻¹·x); Thompson sampling plays the argmax of weights drawn from N(w_pk,
ν²·A_pk⁻¹). Both learn on simulated sales of the training members (all sales side by side at once) and are then frozen:
what is judged plays argmax_k w_pk·x.

**Reward attribution.** r is what the units of the product that were put into carts in this tick bring, at the price in
force, less what each was worth otherwise (the shadow price of the fluid program) and less the servers for the visitors
whom the offer attracts; divided by the product's forecast revenue of the tick at list price, so that products compare.
So a decision is charged for the stock that it takes from later ticks, by a model; without that a bandit, which sees one
tick, sells out at once. Its limits: effects on later ticks (goodwill, reference prices, people who wait), on other
products and of the queue reach no reward, and servers are scaled by a rule.

Source: Li et al. (2010), WWW, "A contextual-bandit approach to personalized news article recommendation", algorithm 1;
Agrawal & Goyal (2013), ICML, "Thompson sampling for contextual bandits with linear payoffs".
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from flashsim.envs.actions import ActionConfig
from flashsim.envs.reward import RewardConfig
from flashsim.envs.vector import SaleBatch, consecutive_seeds
from flashsim.planning.field import Baseline, Field, operations_ticks
from flashsim.rules.fluid import Outlook, fluid_programs, net_prices, visit_cost
from flashsim.rules.rules import DEFAULT_OPERATIONS, Operations, RulePolicy
from flashsim.scenarios.compiled import CompiledSale
from flashsim.sim.streams import TRAINING_DOMAIN

FEATURES = (
    "one",
    "level",
    "level · shadow price",
    "level · time left",
    "level · shadow price · time left",
    "time left",
    "run-out index",
)
EXPLORATION = {"LinUCB": 0.5, "Thompson sampling": 0.5}
"""α and ν, in units of a product's forecast revenue of a tick at list price."""
_LARGEST_LEVEL = 4.0
LEARNING_SALES = 1_024
"""Sales on which a bandit of a comparison learns."""


@dataclass(frozen=True, eq=False)
class LinearBandit:
    """What was learned."""

    name: Literal["LinUCB", "Thompson sampling"]
    precision: NDArray[np.float64]  # product, price, feature, feature; A
    response: NDArray[np.float64]  # product, price, feature; b

    @property
    def weights(self) -> NDArray[np.float64]:
        """(product, price, feature)."""
        return np.asarray(np.linalg.solve(self.precision, self.response[..., None])[..., 0], np.float64)


class _Sight:
    """Features of the products, and what a unit brings."""

    def __init__(self, sale: CompiledSale, operations: Operations) -> None:
        cost = visit_cost(sale, operations)
        self.sale, self.outlook = sale, Outlook(sale)
        self.programs = fluid_programs(sale, visit_cost=cost)
        self.worth = net_prices(sale, visit_cost=cost) - sale.tables.salvage_value[:, None]
        self.scale = np.maximum(1e-9, self.worth.max(axis=1))

    def shadow_prices(self, observation: NDArray[np.float32]) -> NDArray[np.float64]:
        """Of a unit above that of one left over, (sale, product)."""
        tick = self.outlook.tick(observation)
        stock = self.outlook.scaled_stock(observation)
        return np.stack([p.shadow_price(tick, stock[:, i]) for i, p in enumerate(self.programs)], axis=1)

    def features(self, observation: NDArray[np.float32], shadow: NDArray[np.float64]) -> NDArray[np.float64]:
        """(sale, product, feature)."""
        board = self.outlook.dashboard
        level = np.minimum(self.outlook.level(observation), _LARGEST_LEVEL)
        price = shadow / self.scale
        left = np.broadcast_to(board.share(observation, "time_left")[:, None], level.shape)
        run_out = board.run_out(observation) / max(1, self.sale.price_levels - 1)
        charged = level * price
        return np.stack([np.ones_like(level), level, charged, level * left, charged * left, left, run_out], axis=2)


def learn_bandit(
    sale: CompiledSale,
    name: Literal["LinUCB", "Thompson sampling"],
    *,
    sales: int,
    seed: int,
    operations: Operations = DEFAULT_OPERATIONS,
    batch: int = 64,
    progress: Callable[[int], object] = lambda _ticks: None,
) -> LinearBandit:
    """Play ``sales`` sales of the training members, ``batch`` side by side, and learn from every tick."""
    trained_on = sale.with_members(sale.training_members)
    sight, random = _Sight(sale, operations), np.random.default_rng(seed)
    width = len(FEATURES)
    arms = (sale.products, sale.price_levels)
    bandit = LinearBandit(name, np.tile(np.eye(width), (*arms, 1, 1)), np.zeros((*arms, width)))
    choose = {"LinUCB": _upper_bounds, "Thompson sampling": _drawn}[name]
    chosen = np.zeros((batch, sale.products), np.int64)
    rule = RulePolicy(name, sale, lambda _: chosen, operations=operations)
    action = ActionConfig(**rule.action)
    paid_share = 1.0 - sale.tables.stock.payment_failure
    usual = np.maximum(sale.forecast.units[:-1, :, 0] * sight.scale, 1e-9)  # tick, product; currency
    for first in range(0, sales, batch):
        play = SaleBatch(trained_on, batch, action=action, reward=RewardConfig(), domain=TRAINING_DOMAIN)
        play.seed(consecutive_seeds(seed + first, batch))
        seen = play.observe()
        for tick in range(-sale.pre_opening, sale.ticks):
            shadow = sight.shadow_prices(seen)
            x = sight.features(seen, shadow)
            chosen[:] = choose(bandit, x, random).argmax(axis=2)
            play.step(rule.act(seen))
            sold = play.batch.rows(play.batch.ledger.reserved) * paid_share
            worth = np.take_along_axis(sight.worth[None], chosen[:, :, None], axis=2)[..., 0]
            if tick >= 0:
                _learn(bandit, x, chosen, sold * (worth - shadow) / usual[tick])
            seen = play.seen()
        progress(batch * sale.all_ticks)
    return bandit


def _upper_bounds(bandit: LinearBandit, x: NDArray[np.float64], _random: np.random.Generator) -> NDArray[np.float64]:
    """(sale, product, price)."""
    spread = np.einsum("spf,pkfg,spg->spk", x, np.linalg.inv(bandit.precision), x, optimize=True)
    return _expected(bandit.weights, x) + EXPLORATION["LinUCB"] * np.sqrt(spread)


def _drawn(bandit: LinearBandit, x: NDArray[np.float64], random: np.random.Generator) -> NDArray[np.float64]:
    """(sale, product, price), with weights drawn anew for each sale."""
    root = np.linalg.cholesky(np.linalg.inv(bandit.precision))
    noise = random.standard_normal((x.shape[0], *bandit.response.shape))
    spread = np.einsum("spf,pkfg,spkg->spk", x, root, noise, optimize=True)
    return _expected(bandit.weights, x) + EXPLORATION["Thompson sampling"] * spread


def _expected(weights: NDArray[np.float64], x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Expected reward (sale, product, price) by ``weights`` (product, price, feature)."""
    return np.einsum("spf,pkf->spk", x, weights, optimize=True)


def _learn(
    bandit: LinearBandit, x: NDArray[np.float64], chosen: NDArray[np.int64], reward: NDArray[np.float64]
) -> None:
    """Add the decisions of a tick to the precision and response of ``bandit``; all but ``x`` are (sale, product)."""
    arms = np.arange(bandit.response.shape[1])
    taken = (chosen[:, :, None] == arms).astype(np.float64)
    bandit.precision[:] += np.einsum("spk,spf,spg->pkfg", taken, x, x, optimize=True)
    bandit.response[:] += np.einsum("spk,sp,spf->pkf", taken, reward, x, optimize=True)


def bandit_rule(sale: CompiledSale, bandit: LinearBandit, operations: Operations = DEFAULT_OPERATIONS) -> RulePolicy:
    """What ``bandit`` has learned, played without exploration."""
    sight, weights = _Sight(sale, DEFAULT_OPERATIONS), bandit.weights

    def price(observation: NDArray[np.float32]) -> NDArray[np.int64]:
        x = sight.features(observation, sight.shadow_prices(observation))
        return _expected(weights, x).argmax(axis=2)

    return RulePolicy(bandit.name, sale, price, operations=operations)


def _bandit(field: Field, name: Literal["LinUCB", "Thompson sampling"]) -> RulePolicy:
    with field.searching(LEARNING_SALES * field.sale.all_ticks):
        learned = learn_bandit(field.sale, name, sales=LEARNING_SALES, seed=field.seed, progress=field.progress)
    return field.with_best_operations(name, lambda sale, how: bandit_rule(sale, learned, how))


def _ticks(field: Field) -> int:
    return LEARNING_SALES * field.sale.all_ticks + operations_ticks(field)


BANDITS: dict[str, Baseline] = {
    "LinUCB": Baseline(
        "linear bandit with optimistic exploration, learned on simulated sales of the training worlds",
        lambda field: _bandit(field, "LinUCB"),
        is_default=False,
        ticks=_ticks,
    ),
    "Thompson sampling": Baseline(
        "linear bandit with randomised exploration, learned on simulated sales of the training worlds",
        lambda field: _bandit(field, "Thompson sampling"),
        is_default=False,
        ticks=_ticks,
    ),
}
"""Bandits as baselines, by name."""
