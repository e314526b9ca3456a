"""Playing a policy through many sales, and what that leaves behind: the input of KPIs, statistics and reports.

All sums are over the first sale of each row, in float64 and in a fixed order, so a rollout is the same to the last bit
for any number of threads.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flashsim.envs.actions import ActionCodec, ActionConfig
from flashsim.envs.features import observation_table
from flashsim.envs.infos import LedgerSums
from flashsim.envs.quantities import (
    SLOWEST_SHARE,
    AmountsOfTick,
    UnitsNotServed,
    Waits,
    answered_visits,
    profit,
    sum_over_ticks,
    visitors,
    wait_percentiles,
)
from flashsim.envs.reward import ConstraintConfig, RewardConfig
from flashsim.envs.vector import SaleBatch, consecutive_seeds
from flashsim.errors import InputError
from flashsim.evaluation.outcomes.causes import LostVisits
from flashsim.policies.bundle import Policy
from flashsim.policies.guardrails import Rails
from flashsim.scenarios.compiled import CompiledSale
from flashsim.sim.streams import EVALUATION_DOMAIN


@dataclass(frozen=True)
class Rollout:
    """One policy played through many sales; row i of every array is the same sale for every policy."""

    policy: str
    """Display name."""
    seeds: NDArray[np.int64]
    """(sale,) the seed of the sale."""
    members: NDArray[np.int64]
    """(sale,) the world member that the sale drew."""
    totals: dict[str, NDArray[np.float64]]
    """Ledger name -> (sale,), summed over the sale except where noted. ``first_sold_out_tick`` and ``sold_out_tick``
    are the tick in which the first and the last product had sold all its units, infinite where that never was."""
    products: dict[str, NDArray[np.float64]]
    """Name -> (sale, product), summed over the sale."""
    profile: dict[str, NDArray[np.float64]]
    """Name -> (tick,) mean over the sales; "depth" -> (tick, product)."""
    steps: int
    """Simulated env steps spent by this evaluation."""
    losses: dict[str, NDArray[np.float64]] = field(default_factory=dict)
    """Guardrail -> (tick, cause) lost visits, mean over the sales; causes as in ``outcomes.causes``."""
    course: dict[str, NDArray[np.float64]] = field(default_factory=dict)
    """As ``profile``, of the first sale alone."""


def play(
    sale: CompiledSale,
    policy: Policy,
    *,
    sales: int,
    seed: int,
    domain: int = EVALUATION_DOMAIN,
    threads: int = 1,
    progress: Callable[[int], object] = lambda _ticks: None,
    reward: RewardConfig | None = None,
    constraints: ConstraintConfig | None = None,
) -> Rollout:
    """Play ``policy`` through ``sales`` sales of ``sale`` (with the members it may draw).

    Sale i has seed ``seed + i``: the same people for every policy. In the evaluation domain, the default, it is never a
    sale that was trained on. ``progress`` is told of each tick. The total "reward" is by ``reward``; of ``constraints``
    there is the total of their excess, as "…_excess". InputError when the policy was made for other
    observations or actions.
    """
    batch = SaleBatch(
        sale,
        sales,
        action=action_config(policy),
        reward=reward or RewardConfig(),
        domain=domain,
        threads=threads,
        constraints=constraints,
    )
    check_policy(sale, policy)
    batch.seed(consecutive_seeds(seed, sales))
    members = batch.batch.rows(batch.batch.state.member).copy()
    books = _Books(batch)
    batch.listeners.append(books.add)
    observation = batch.observe()
    while books.is_open.any():
        _, closed = batch.step(policy.act(observation))
        progress(batch.codec.config.every)
        if closed.any():
            batch.open(closed)
            batch.observe()
        observation = batch.seen()
    return books.close(policy.name, np.arange(seed, seed + sales), members)


def action_config(policy: Policy) -> ActionConfig:
    """The actions that ``policy`` takes; InputError when this flashsim does not know them."""
    try:
        return ActionConfig(**policy.action)
    except TypeError as error:
        seen, known = dict(policy.action), ", ".join(known.name for known in fields(ActionConfig))
        raise InputError(
            f"policy {policy.name!r} has an action of {seen}, this flashsim knows {known}; train it again"
        ) from error


def check_policy(sale: CompiledSale, policy: Policy) -> None:
    """InputError that says what differs when a trained policy does not fit ``sale``; baselines fit by construction."""
    names = getattr(policy, "observation", None)
    if names is None:
        return
    advice = " ".join(["train it on this sale", *(f"({note})" for note in sale.menu_notes)])
    here = tuple(feature.name for feature in observation_table(sale))
    if names != here:
        odd = next((f"{a!r} for {b!r}" for a, b in zip(here, names, strict=False) if a != b), "one more or less")
        raise InputError(
            f"policy {policy.name!r} was trained on {len(names)} features, the sale {sale.name!r} has {len(here)} "
            f"(first difference: {odd}); {advice}"
        )
    codec = ActionCodec(sale, action_config(policy))
    sizes = codec.head_sizes
    if sizes != getattr(policy, "head_sizes", sizes):
        raise InputError(
            f"policy {policy.name!r} chooses among {policy.head_sizes}, the sale {sale.name!r} offers {sizes}; "  # type: ignore[attr-defined]
            f"{advice}"
        )
    here_means, then_meant = codec.meanings(), getattr(policy, "choices", codec.meanings())
    for head in {**here_means, **then_meant}:
        if here_means.get(head) != then_meant.get(head):
            raise InputError(
                f"policy {policy.name!r} chose its {head} from {then_meant.get(head)}, the sale {sale.name!r} offers "
                f"{here_means.get(head)}; {advice}"
            )
    rails = getattr(policy, "rails", None)
    if rails is not None:
        difference = rails.difference(Rails(**codec.rails(is_masked=rails.is_masked)), policy.action)
        if difference is not None:
            raise InputError(
                f"policy {policy.name!r} has guard-rails with {difference.name} {difference.own}, the sale "
                f"{sale.name!r} needs {difference.other}; {advice}"
            )


_SAME_NAME = (
    "exogenous_visitors",
    "attracted_visitors",
    "returning_visitors",
    "retries",
    "served",
    "abandoned",
    "dismissed",
    "errors",
    "given_up",
    "server_cost",
    "penalty",
    "salvage",
    "utilization",
    "pushes",
)
_LEDGER_FIELDS = {name: name for name in _SAME_NAME} | {
    "server_minutes": "servers_billed",
    "projected_actions": "projected",
}
"""Total -> the field of the ledger that it sums."""
_PRODUCT_SUMS = (
    "buyers",
    "requests",
    "reserved",
    "paid",
    "expired",
    "released",
    "ordered",
    "leftover",
    "revenue",
    "discount_given",
    "goods_cost",
)


class _Books:
    """Adds up the ledgers of the first sale of every row.

    Sums run on over all sales of a row; those of its first sale are taken at the tick in which it closes.
    """

    def __init__(self, batch: SaleBatch) -> None:
        sale, sales = batch.sale, batch.sales
        self.sale, self.sales, self.steps = sale, sales, 0
        self.others = {name: np.zeros(sales) for name in ("net_lost_sales", "reward", *batch.excess_names)}
        self.totals = {name: np.zeros(sales) for name in (*_LEDGER_FIELDS, *self.others, "ticks")}
        self.products = {name: np.zeros((sales, sale.products)) for name in (*_PRODUCT_SUMS, "units_refused", "depth")}
        self.running = LedgerSums(batch.ledger_block)
        self.refused = np.zeros((sales, sale.products))
        self.depth = np.zeros_like(batch.batch.ledger.revenue)
        self.depths = sale.depths.ravel()
        self.first_depth = (np.arange(sale.products) * sale.price_levels)[:, None]
        ticks = sale.ticks
        scalars = (
            "visitors",
            "servers_online",
            "utilization",
            "latency_p95_s",
            "paid",
            "stock_left_share",
            "backlog",
            "room",
            "errors",
        )
        self.profile = {name: np.full(ticks, np.nan) for name in scalars}
        self.profile["depth"] = np.full((ticks, sale.products), np.nan)
        self.course = {name: np.full_like(series, np.nan) for name, series in self.profile.items()}
        self.lost = LostVisits(batch)
        self.answered = np.zeros((ticks, sales))
        self.waits = Waits(*(np.zeros((ticks, sales)) for _ in Waits._fields))
        self.latencies = np.zeros((ticks, sales))
        self.is_open = np.ones(sales, np.bool_)
        self.tick = -sale.pre_opening
        self.units_left = np.tile(sale.stock, (sales, 1))
        self.sold_out = np.full((sales, sale.products), np.inf)

    def add(self, batch: SaleBatch, reward: NDArray[np.float64], closed: NDArray[np.bool_]) -> None:
        """Book one tick for the sales still open."""
        rows, ledger, tick = batch.batch.rows, batch.batch.ledger, self.tick
        self.steps += int(self.is_open.sum())
        self.running.add()
        if tick < 0:  # nobody has come: what was paid and earned is all there is
            self.others["reward"] += reward
            self.tick += 1
            return
        not_served = UnitsNotServed.of_tick(ledger, rows)
        self.refused += not_served.refused
        for name, values in zip(self.others, (not_served.net, reward, *batch.excess), strict=True):
            self.others[name] += values
        depth = self.depths[ledger.price_index + self.first_depth]
        self.depth += depth
        amounts = AmountsOfTick(ledger, rows)
        self.answered[tick] = self._of_open(answered_visits(amounts))
        for kept, waits in zip(self.waits, Waits.of_tick(ledger, rows), strict=True):
            kept[tick] = self._of_open(waits)
        self.latencies[tick] = self._of_open(rows(ledger.latency_mean_s))
        self._describe_tick(batch, amounts, rows(depth))
        self.lost.add(batch, amounts, tick=tick, is_open=self.is_open)
        self.tick += 1
        if (ended := self.is_open & closed).any():
            self._take(ended, rows)
            self.is_open &= ~closed

    def _of_open(self, values: NDArray[Any]) -> NDArray[Any]:
        """``values`` (sale,), 0 where the first sale has ended."""
        return values if self.is_open.all() else values * self.is_open

    def _describe_tick(self, batch: SaleBatch, amounts: AmountsOfTick, depth: NDArray[np.float64]) -> None:
        """Note the means over the sales still open."""
        rows, ledger, is_open = batch.batch.rows, batch.batch.ledger, self.is_open
        is_open_column = is_open[:, None]
        self.units_left += np.where(is_open_column, rows(ledger.ordered) - rows(ledger.paid), 0)
        is_empty = is_open_column & (self.units_left <= 0) & np.isinf(self.sold_out)
        self.sold_out[is_empty] = self.tick
        planned = max(1, int(self.sale.stock.sum()))
        moments = {
            "visitors": visitors(amounts),
            "servers_online": rows(ledger.servers),
            "utilization": rows(ledger.utilization),
            "latency_p95_s": rows(ledger.latency_p95_s),
            "paid": amounts["paid"],
            "stock_left_share": self.units_left.sum(axis=1) / planned,
            "backlog": rows(ledger.backlog),
            "room": rows(ledger.room),
            "errors": rows(ledger.errors),
            "depth": depth,
        }
        for name, values in moments.items():
            self.profile[name][self.tick] = values[is_open].mean(axis=0)
            if is_open[0]:
                self.course[name][self.tick] = values[0]

    def _take(self, ended: NDArray[np.bool_], rows: Callable[[NDArray[Any]], NDArray[Any]]) -> None:
        """Take the sums of the first sales that ``ended`` (sale,) in this tick."""
        sums, totals, products = self.running.sums, self.totals, self.products
        for name, source in _LEDGER_FIELDS.items():
            totals[name][ended] = rows(getattr(sums, source))[ended]
        for name, values in self.others.items():
            totals[name][ended] = values[ended]
        totals["ticks"][ended] = self.tick
        for name in _PRODUCT_SUMS:
            products[name][ended] = rows(getattr(sums, name))[ended]
        products["units_refused"][ended] = self.refused[ended]
        products["depth"][ended] = rows(self.depth)[ended]

    def close(self, policy: str, seeds: NDArray[np.int64], members: NDArray[np.int64]) -> Rollout:
        """The rollout: means where sums say nothing, and amounts that follow from others."""
        totals = self.totals
        totals["utilization"] = totals["utilization"] / totals["ticks"]
        self.products["depth"] = self.products["depth"] / totals["ticks"][:, None]
        for name in (*_PRODUCT_SUMS, "units_refused"):
            totals[name] = self.products[name].sum(axis=1)
        totals["stock"] = float(self.sale.stock.sum()) + totals["ordered"]
        unloaded, longest = self.sale.tables.servers.unloaded_latency_s, self.sale.tables.servers.timeout_s
        limits = {"timeout_s": longest, "units_a_person": self.sale.tables.choice.limit}
        totals |= {name: np.full(self.sales, float(value)) for name, value in limits.items()}
        people = np.maximum(sum_over_ticks(self.answered), 1.0)
        totals["latency_mean_s"] = sum_over_ticks(self.answered * self.latencies) / people
        percentiles = {"latency_p50_s": 0.5, "latency_p95_s": 1.0 - SLOWEST_SHARE, "latency_p99_s": 0.99}
        found = wait_percentiles(self.waits, self.answered, shares=tuple(percentiles.values()))
        for name, slowest in zip(percentiles, found, strict=True):
            totals[name] = np.minimum(longest, unloaded + slowest)
        totals["profit"] = profit(totals)
        totals |= {"first_sold_out_tick": self.sold_out.min(axis=1), "sold_out_tick": self.sold_out.max(axis=1)}
        return Rollout(
            policy, seeds, members, totals, self.products, self.profile, self.steps, self.lost.visits, self.course
        )
