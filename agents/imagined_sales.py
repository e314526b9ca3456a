"""Imagined sales: the rest of a sale as it may come, opened on what the operator sees and on nothing else.

An imagined sale is opened on a seed of its own (none of a sale that is judged or that learners train on), so that the
people to come are others and frailties are drawn from their prior. Then the state is set to what the operator sees:
tick, stock on sale and to come, servers in force and ordered, backlog, room, budgets, the last offer for what people
remember of prices and news. The frailty of each product is moved from the prior draw towards the learned level θ_p over
the forecast, in logarithms and by the weight of evidence m/(m + 1/v), with m units expected so far and v the prior
variance of that level. The training member is drawn with odds

    exp(-z²/2σ²),   z = ln(Σ_p θ_p·u_p / (c·V)) - ln θ,   σ² = Σ_p (u_p/u)²·v_p/(1 + v_p·m_p) + 1/((1 - n)²·V_0),

where u_p are forecast units, c the member's conversion, V forecast visitors (V_0 of them so far), θ the learned level
of visitors and n the branching ratio of sharing: of two members that sell the same, the one of the lower conversion has
more visitors, who need more servers. Failures are drawn anew, whatever was seen (one under way is not recognized, one
that has been may come again), but for the screen, which is not frozen: this was read off it. In a reference sale the
observation is the state, so that only the people to come are imagined.

Servers have the health h at which the utilization seen comes of the visits seen; where they were full, they are taken
as collapsed if those visits would keep them so. Of the visits beyond what they could do, the share that tries again
does so. Left out: carts and people who watch are not seen, and imagined to be none.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from agents.baselines import Outlook
from flashsim.envs.vector import SaleBatch
from flashsim.sim.failures import FEED_FREEZES, fails_at

IMAGINED_SEED = 3 * 2**61  # beyond those of learners and of searches
_GOLDEN = 0.6180339887498949  # multiples of it, less their whole part, fall evenly into [0, 1)


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


def _thaw(batch: SaleBatch, tick: int) -> None:
    """Let a freeze of the screen that would be under way at ``tick`` begin when it would have ended."""
    params, drawn = batch.plan.tables.failures, batch.batch.state.failures.start
    starts = batch.batch.rows(drawn).copy()
    is_frozen = fails_at(params, starts, kind=FEED_FREEZES, tick=tick - 1)
    starts[:, FEED_FREEZES] += is_frozen * params.ticks[FEED_FREEZES]
    batch.batch.fill(drawn, starts)


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
    _thaw(batch, tick)
    _imagine_the_pool(batch, observation, ordered, mix)
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


def _imagine_the_pool(
    batch: SaleBatch, observation: NDArray[np.float32], ordered: NDArray[np.int64], mix: NDArray[np.float64]
) -> None:
    """Health of the servers and those about to try again, from visits and utilization of the tick just past."""
    board, servers, state = Outlook(batch.plan).dashboard, batch.plan.tables.servers, batch.batch.state
    visits = board.ratio(observation, "load") * servers.service_rate * np.maximum(1, ordered)
    capacity = servers.service_rate * np.maximum(1.0, board.share(observation, "servers_in_0") * servers.max_servers)
    load, utilization = visits / capacity, board.share(observation, "utilization")
    health = np.ones_like(load)
    if servers.collapse_load > 0.0:
        is_full = utilization > 1.0 - 1e-6
        stays = load > servers.collapse_load * servers.collapsed_health
        health = np.where(
            is_full, np.where(stays, servers.collapsed_health, load), load / np.maximum(utilization, 1e-6)
        )
        health = np.clip(np.where(utilization > 0.0, health, 1.0), servers.collapsed_health, 1.0)
    batch.batch.fill(state.servers.health, health)
    returning = 1.0 - np.exp(-1.0 / servers.retry_delay)
    failed = np.maximum(0.0, visits - health * capacity)
    batch.batch.fill(state.queue.retrying, _whole((servers.retry_share * failed / returning)[:, None] * mix))


def _imagine_the_level(batch: SaleBatch, observation: NDArray[np.float32], tick: int) -> None:
    """Move frailties from the prior towards the learned level, and let the imagined operator know that level."""
    plan, fill, state, memory = batch.plan, batch.batch.fill, batch.batch.state, batch.memory
    forecast, rows, outlook = plan.forecast, batch.batch.rows, Outlook(plan)
    members = list(plan.training_members)
    learned = np.maximum(outlook.level(observation), 1e-3)  # sale, product
    common = np.maximum(outlook.dashboard.ratio(observation, "level"), 1e-3)
    usual = forecast.units[:, :, 0].sum(axis=0)
    choice = plan.tables.choice
    allowed = (1.0 - choice.another_unit**choice.limit) / (1.0 - choice.another_unit)
    units = plan.tables.rate[:, :, :, 0].astype(np.float64).sum(axis=(0, 1)) * allowed  # product, member
    by_member = units / np.maximum(usual, 1e-12)[:, None]
    spread = by_member[:, members].var(axis=1)
    variance = forecast.common_variance + forecast.product_variance + spread  # product
    expected = forecast.units[:tick, :, 0].sum(axis=0)
    weight = expected / (expected + 1.0 / np.maximum(variance, 1e-9))
    came = float(forecast.visitors[:tick, 0].sum())
    conversion = plan.tables.conversion[members]
    visits = learned @ (usual / allowed) / forecast.visitors[:, 0].sum()
    fit = np.log(visits[:, None] / conversion / common[:, None])  # sale, member
    share = usual / max(usual.sum(), 1e-12)
    bursts = 1.0 / ((1.0 - plan.tables.traffic.sharing_ratio) ** 2 * max(came, 1e-9))
    unsure = (share**2 * variance / (1.0 + variance * expected)).sum() + bursts
    odds = np.exp(-0.5 * (fit**2 - (fit**2).min(axis=1, keepdims=True)) / unsure)
    upto = np.cumsum(odds, axis=1) / odds.sum(axis=1, keepdims=True)
    spread_evenly = (rows(batch.batch.seed) % np.uint64(2**32)).astype(np.float64) * _GOLDEN % 1.0
    place = np.minimum((spread_evenly[:, None] > upto).sum(axis=1), len(members) - 1)
    member = np.array(members)[place]
    fill(state.member, member)
    own = by_member[:, member].T  # sale, product; level of the member drawn
    prior = rows(state.frailty)
    fill(state.frailty, prior ** (1.0 - weight) * (learned / np.maximum(own, 1e-9)) ** weight)
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
