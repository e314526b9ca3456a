"""Planning on the simulator: cross-entropy search over plans for the rest of the sale, at every decision.

At a decision the planner imagines the rest of the sale some times over. A plan names a choice of every head for blocks
of decisions, the first of one decision, each later one longer. In each round ``candidates`` plans (some that hold one
choice, the others drawn from a distribution a block and head) are played on the same ``scenarios`` imagined sales, and
the distribution moves towards the best plans. Each round and each decision imagines other sales. The first choice that
is likeliest in the end is taken, and all is planned anew at the next decision. The budget counts simulated ticks a
decision, never seconds.

**What the planner knows** is the observation. An imagined sale is opened on a seed of its own (none of a sale that is
judged or that learners train on), so the world member, from the training members, and the frailties are drawn from
their prior and the people to come are others. Then the state is set to what the operator sees: tick, stock on sale and
to come, servers in force and ordered, backlog, room, budgets, the last offer for what people remember of prices and
news. The frailty of each product is moved from the prior draw towards the learned level over the forecast, in
logarithms and by the weight of evidence m/(m + 1/v), with m units expected so far and v the prior variance of that
level. Failures whose times members draw come at those of the imagined member. Carts, people who watch and who will try
again, and a collapsed pool are not seen, and imagined to be none.

In a reference sale the observation is the state, so that only the people to come are imagined.

Source: Rubinstein & Kroese (2004), The Cross-Entropy Method; Bertsekas (2017), Dynamic Programming and Optimal Control,
vol. I, section 6.4, for open-loop feedback control.
"""

from dataclasses import asdict, dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from agents.baselines import Outlook
from flashsim.envs.reward import RewardConfig
from flashsim.envs.spaces import ActionConfig
from flashsim.envs.vector import SaleBatch, consecutive_seeds
from flashsim.errors import InputError
from flashsim.plan import Plan
from flashsim.sim.parameters import check_whole
from flashsim.sim.streams import TRAINING_DOMAIN

DESCRIPTIONS = {"MPC": "plans the rest of the sale on the simulator at every decision, as far as its budget goes"}
"""One line on each planner, for reports."""

IMAGINED_SEED = 3 * 2**61  # beyond those of learners and of searches
ROUNDS = 3
STEPS = 1  # around the run-out price, in a scenario
TARGETS = (0.6, 0.5, 0.8)
DECISIONS = 12  # of a scenario; a reference sale is planned in every tick
_ELITE_SHARE, _SMOOTHING = 0.25, 0.7
_MOST_ROWS = 16_384  # imagined side by side


class _Shape(NamedTuple):
    """How a budget is spent at one decision."""

    candidates: int
    scenarios: int
    blocks: NDArray[np.int64]  # decision to come; block that it belongs to


@dataclass(frozen=True, eq=False)
class Planner:
    """Cross-entropy planning with open-loop feedback ("MPC")."""

    plan: Plan
    budget: int
    """Simulated ticks a decision, at most (one plan on one imagined sale is played in any case)."""
    name: str = "MPC"
    action: dict[str, Any] = field(init=False)

    def __post_init__(self) -> None:
        check_whole("planner budget", self.budget, 1, 10**12)
        config = ActionConfig()
        if not self.plan.is_reference:
            every = next(n for n in range(1, self.plan.ticks + 1) if _divides(self.plan.ticks, n))
            config = replace(config, every=every, around_run_out=STEPS, scaler_targets=TARGETS)
        object.__setattr__(self, "action", asdict(config))

    def act(self, observation: NDArray[np.float32]) -> NDArray[np.int64]:
        """Actions (sale, head)."""
        trained_on = self.plan.with_members(self.plan.training_members)
        config = ActionConfig(**self.action)
        # A frozen screen shows a tick between two decisions: planned as from the decision before.
        ticks = Outlook(self.plan).tick(observation) // config.every * config.every
        chosen = None
        for tick in np.unique(ticks):
            rows = np.flatnonzero(ticks == tick)
            shape = self._shape(int(tick), config.every)
            width = max(1, _MOST_ROWS // (shape.candidates * shape.scenarios))
            for start in range(0, rows.size, width):
                part = rows[start : start + width]
                found = _search(trained_on, config, observation[part], int(tick), shape)
                chosen = np.zeros((ticks.size, found.shape[1]), np.int64) if chosen is None else chosen
                chosen[part] = found
        if chosen is None:
            raise InputError("observation: expected at least one row, got none")
        return chosen

    def _shape(self, tick: int, every: int) -> _Shape:
        left = -(-(self.plan.ticks - tick) // every)
        plays = max(1, self.budget // (left * every * ROUNDS))
        scenarios = max(1, int(np.sqrt(2.0 * plays)))
        ends = np.cumsum([1, *(2**n for n in range(left.bit_length()))])
        return _Shape(max(1, plays // scenarios), scenarios, np.searchsorted(ends, np.arange(left), side="right"))


def _divides(ticks: int, every: int) -> bool:
    return ticks % every == 0 and ticks // every <= DECISIONS


def _search(
    plan: Plan, config: ActionConfig, observation: NDArray[np.float32], tick: int, shape: _Shape
) -> NDArray[np.int64]:
    """First choices (sale, head) of the best plan of each row of ``observation``, all at ``tick``."""
    sales, candidates, scenarios = observation.shape[0], shape.candidates, shape.scenarios
    batch = SaleBatch(
        plan, sales * candidates * scenarios, action=config, reward=RewardConfig(), domain=TRAINING_DOMAIN
    )
    sizes, blocks = batch.codec.sizes, int(shape.blocks[-1]) + 1
    first_seed = IMAGINED_SEED + tick * ROUNDS * scenarios  # others at each decision and in each round
    seen = np.repeat(observation, candidates * scenarios, axis=0)
    random = np.random.default_rng(tick)  # the same for every sale: a decision depends on what is seen alone
    width = int(sizes.max())
    is_choice = np.arange(width) < sizes[:, None]  # head, choice
    likely = np.broadcast_to(is_choice / sizes[:, None], (sales, blocks, sizes.size, width)).copy()
    held = np.arange(candidates)[:, None] % sizes  # one choice for all blocks is a candidate in each round
    is_held = np.arange(candidates) < width
    for turn in range(ROUNDS):
        drawn = random.random((candidates, blocks, sizes.size, 1))
        plans = (drawn[None] > np.cumsum(likely, axis=-1)[:, None]).sum(axis=-1)
        plans = np.minimum(plans, sizes - 1)  # sale, candidate, block, head
        plans = np.where(is_held[:, None, None], held[:, None], plans)
        batch.seed(np.tile(consecutive_seeds(first_seed + turn * scenarios, scenarios), sales * candidates))
        imagine(batch, seen, tick)
        batch.observe()
        earned = np.zeros(sales * candidates * scenarios)
        flat = np.repeat(plans.reshape(sales * candidates, blocks, sizes.size), scenarios, axis=0)
        for block in shape.blocks:
            earned += batch.step(flat[:, block])[0]
        mean = earned.reshape(sales, candidates, scenarios).mean(axis=2)
        order = np.argsort(-mean, axis=1, kind="stable")
        elite = np.take_along_axis(plans, order[:, : max(1, int(_ELITE_SHARE * candidates)), None, None], axis=1)
        share = (elite[..., None] == np.arange(width)).mean(axis=1)
        likely = (1.0 - _SMOOTHING) * likely + _SMOOTHING * share
    return np.asarray(likely[:, 0].argmax(axis=-1))


def imagine(batch: SaleBatch, observation: NDArray[np.float32], tick: int) -> None:
    """Set the sales of ``batch``, just opened, to what is seen at ``tick``: ``observation`` (sale, feature)."""
    plan, fill, state = batch.plan, batch.batch.fill, batch.batch.state
    outlook = Outlook(plan)
    board, tables = outlook.dashboard, plan.tables
    most = np.maximum(1, tables.planned + tables.stock.lots * tables.lot_units)
    stock = outlook.stock(observation).astype(np.int64)
    on_sale = np.stack([board.share(observation, f"product_{p}_available") for p in range(plan.products)], axis=1)
    available = np.rint(on_sale * most).astype(np.int64)
    state.tick[...] = tick
    fill(state.stock.available, available)
    fill(state.stock.unreleased, stock - available)
    servers = tables.servers
    ordered = np.rint(board.share(observation, "servers_ordered") * servers.max_servers).astype(np.int64)
    fill(state.servers.ordered, ordered)
    ring = state.servers.orders.shape[1]
    levels = np.repeat(ordered[:, None], ring, axis=1)
    for since in range(1, ring + 1):
        ahead = max(0, servers.lag - since)  # ticks until what was ordered then is in force
        if ahead in plan.lookahead:
            shown = board.share(observation, f"servers_in_{ahead}") * servers.max_servers
            levels[:, (tick - since) % ring] = np.rint(shown).astype(np.int64)
    fill(state.servers.orders, levels)
    if plan.is_reference:
        fill(state.stock.next_wave, np.full(stock.shape[0], int(tick > 0)))
    else:
        _imagine_the_past(batch, observation, tick, ordered)


def _imagine_the_past(
    batch: SaleBatch, observation: NDArray[np.float32], tick: int, ordered: NDArray[np.int64]
) -> None:
    """What only a scenario has: budgets, queues, what people remember, and the level of demand."""
    plan, fill, state = batch.plan, batch.batch.fill, batch.batch.state
    board, tables, forecast = Outlook(plan).dashboard, plan.tables, plan.forecast
    waves, lots = tables.wave_tick.shape[0], tables.stock.lots
    fill(state.stock.next_wave, waves - _whole(board.share(observation, "waves_left") * waves))
    fill(state.stock.lots_left, _whole(board.share(observation, "lots_left") * lots))
    if lots:
        due = (tick + tables.stock.lead_time // 2) % state.stock.coming.shape[1]
        state.stock.coming[...] = 0
        coming = np.zeros((observation.shape[0], state.stock.coming.shape[1]), np.int64)
        coming[:, due] = _whole(board.share(observation, "lots_coming") * lots)
        fill(state.stock.coming, coming)
    fill(state.traffic.pushes_left, _whole(board.share(observation, "pushes_left") * tables.traffic.push_budget))
    fill(state.traffic.push_goodwill, board.share(observation, "goodwill"))
    members = list(plan.training_members)
    by_segment = tables.rate[min(tick, plan.ticks - 1), :, :, 0][..., members].astype(np.float64).sum(axis=(1, 2))
    mix = by_segment / max(by_segment.sum(), 1e-12)
    capacity = tables.servers.service_rate * np.maximum(1, ordered)
    for target, name in ((state.queue.backlog, "backlog"), (state.room.room, "room")):
        fill(target, _whole((board.ratio(observation, name) * capacity)[:, None] * mix))
    if tick == 0:
        return
    menus = [board.share(observation, f"product_{p}_menu") for p in range(plan.products)]
    menu = _whole(np.stack(menus, axis=1) * max(1, plan.menu - 1))
    shown = tables.depth[np.arange(plan.products), menu]
    fill(state.choice.reference, shown)
    fill(state.choice.deepest, shown.mean(axis=1))
    units = forecast.units[tick - 1]
    offered = np.take_along_axis(units[None], menu[..., None], axis=2)[..., 0].sum(axis=1)
    uplift = np.log(np.maximum(offered, 1e-12) / max(units[:, 0].sum(), 1e-12))
    news = forecast.traffic_share * np.maximum(0.0, uplift)
    fill(state.traffic.goodwill, np.repeat(news[:, None], tables.rate.shape[1], axis=1))
    _imagine_the_level(batch, observation, tick)
    memory = batch.memory
    fill(memory.goodwill, news)
    fill(memory.menu, menu)


def _imagine_the_level(batch: SaleBatch, observation: NDArray[np.float32], tick: int) -> None:
    """Move frailties from the prior towards the learned level, and let the imagined operator know that level."""
    plan, fill, state, memory = batch.plan, batch.batch.fill, batch.batch.state, batch.memory
    forecast, rows, outlook = plan.forecast, batch.batch.rows, Outlook(plan)
    learned = np.maximum(outlook.level(observation), 1e-3)  # sale, product
    common = np.maximum(outlook.dashboard.ratio(observation, "level"), 1e-3)
    usual = forecast.units[:, :, 0].sum(axis=0)
    choice = plan.tables.choice
    allowed = (1.0 - choice.another_unit**choice.limit) / (1.0 - choice.another_unit)
    units = plan.tables.rate[:, :, :, 0].astype(np.float64).sum(axis=(0, 1)) * allowed  # product, member
    by_member = units / np.maximum(usual, 1e-12)[:, None]
    spread = by_member[:, list(plan.training_members)].var(axis=1)
    variance = forecast.common_variance + forecast.product_variance + spread  # product
    expected = forecast.units[:tick, :, 0].sum(axis=0)
    weight = expected / (expected + 1.0 / np.maximum(variance, 1e-9))
    own = by_member[:, rows(state.member)].T  # sale, product; level of the member drawn
    prior = rows(state.frailty)
    fill(state.frailty, prior ** (1.0 - weight) * (learned / np.maximum(own, 1e-9)) ** weight)
    came = float(forecast.visitors[:tick, 0].sum())
    fill(memory.visitors_expected, np.full(common.size, came))
    fill(memory.visitors_seen, _seen(common, came, forecast.common_variance))
    fill(memory.requests_expected, np.tile(expected, (common.size, 1)))
    fill(memory.requests_seen, _seen(learned / common[:, None], expected, forecast.product_variance))


def _seen(level: Any, expected: Any, variance: Any) -> NDArray[np.float64]:
    """What was seen if with ``expected`` and the prior ``variance`` ``level`` came of it; where none: as expected."""
    prior = np.asarray(variance, np.float64)
    count = (level * (1.0 + prior * expected) - 1.0) / np.maximum(prior, 1e-12)
    return np.where(prior > 0.0, count, expected)


def _whole(values: NDArray[np.float64]) -> NDArray[np.int64]:
    return np.rint(values).astype(np.int64)
