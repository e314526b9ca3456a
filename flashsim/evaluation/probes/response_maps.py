"""What a policy decides when: discount and servers against time and stock left, utilization, and visitors.

A policy is asked at observations that sales it played really led to (the *background*), with one thing varied and all
that follows from it moved along. Where the screen of a sale is frozen, nothing can be varied, and it is left out:

    stock        at some ticks every product's units are set to a share of those planned, and the whole observation is
                 computed anew from that state: cover, run-out price, pace and stock move together. Time is not varied:
                 each column of the map has the background of its own tick.
    visitors     likewise, with the learned level of visitors set: loads and visitors ahead, cover and run-out move.
    utilization  what was measured in the last tick (load, utilization, latency, backlog, room) is taken as a whole from
                 another sale that was met with a utilization in that tenth, whatever the tick.

Each answer is the mean over the background, with the 10 % and 90 % quantiles of its spread; ``met`` is the share of the
background that was there by itself. Where it is 0 the policy was never seen to be: what stands there is extrapolated.

What it leaves out: what is varied is not followed by what would have come with it in other columns (a sale with more
visitors would also have other prices behind it), so these are answers of a policy, not effects in the sale.

Source: partial dependence, Friedman (2001), Annals of Statistics 29(5), section 8.2; moving dependent features together
as in Molnar et al. (2024), Data Mining and Knowledge Discovery 38.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from flashsim.envs.features import feature_groups, observation_table
from flashsim.envs.reward import RewardConfig
from flashsim.envs.vector import SaleBatch, consecutive_seeds
from flashsim.evaluation.rollout import action_config, check_policy
from flashsim.policies.bundle import Policy
from flashsim.scenarios.compiled import CompiledSale
from flashsim.sim.failures import FEED_FREEZES, fails_at
from flashsim.sim.streams import EVALUATION_DOMAIN

RESPONSE_SALES = 64  # enough for a picture
TIMES = 16  # columns of the map, at most
STOCK_LEFT = np.linspace(0.0, 1.0, 11)
LEVELS = np.geomspace(0.5, 2.0, 9)  # visitors over the forecast
TENTHS = 10  # of utilization
SPREAD = (0.1, 0.9)


class ResponseMaps(NamedTuple):
    """Tables; discount as a share (mean of the products), servers as they stand once ordered, each with ``_low`` and
    ``_high``, and ``met``."""

    stock_map: pd.DataFrame  # time_left, stock_left: shares
    curves: pd.DataFrame  # feature (utilization or visitors), value: a share, or visitors over the forecast


class _Answers(NamedTuple):
    discount: NDArray[np.float64]  # sale; share
    servers: NDArray[np.float64]  # sale


class _Met(NamedTuple):
    """What was met at one tick, and how it was answered with something varied."""

    time_left: float
    observation: NDArray[np.float32]  # sale, feature
    ordered: NDArray[np.float64]  # sale; servers
    stock_left: NDArray[np.float64]  # sale; share
    by_stock: list[_Answers]
    by_level: list[_Answers]


def response_maps(sale: CompiledSale, policy: Policy, *, sales: int, seed: int) -> ResponseMaps:
    """Ask ``policy`` along ``sales`` sales of ``sale`` that it plays, the first with seed ``seed``.

    ``curves`` is empty for a reference sale, whose observations show nothing of the past. InputError when the policy
    was made for other observations or actions.
    """
    check_policy(sale, policy)
    batch = SaleBatch(sale, sales, action=action_config(policy), reward=RewardConfig(), domain=EVALUATION_DOMAIN)
    met = list(_walk(batch, policy, seed))
    curves = [] if sale.is_reference else [*_utilization(batch, policy, met, seed=seed), *_visitors(sale, met)]
    return ResponseMaps(pd.DataFrame(_stock_rows(met)), pd.DataFrame(curves))


def _walk(batch: SaleBatch, policy: Policy, seed: int) -> Iterator[_Met]:
    """Play, and ask at the ticks of the map where the screen is not frozen."""
    sale, every = batch.sale, batch.codec.config.every
    asked = set(_ticks(sale, every))
    batch.seed(consecutive_seeds(seed, batch.sales))
    observation = batch.observe()
    is_open = np.ones(batch.sales, np.bool_)
    starts = batch.batch.rows(batch.batch.state.failures.start)
    for tick in range(-sale.pre_opening, sale.ticks, every):
        is_asked = is_open & ~fails_at(sale.tables.failures, starts, kind=FEED_FREEZES, tick=tick - 1)
        if tick in asked and is_asked.any():
            yield _ask_around(batch, policy, tick, is_asked)
        _, closed = batch.step(policy.act(observation))
        is_open &= ~closed
        if not is_open.any():
            return
        if closed.any():  # a sale closed early goes on as another one, which is not asked
            batch.open(closed)
            batch.observe()
        observation = batch.seen()


def _ticks(sale: CompiledSale, every: int) -> list[int]:
    """Ticks of decisions, evenly chosen."""
    decisions = range(0, sale.ticks, every)
    places = np.linspace(0, len(decisions) - 1, min(TIMES, len(decisions)))
    return [decisions[place] for place in np.rint(places).astype(int)]


def _ask_around(batch: SaleBatch, policy: Policy, tick: int, is_asked: NDArray[np.bool_]) -> _Met:
    """Ask at the present states of the sales in ``is_asked`` (sale,), stock and level set, and leave all as it was."""
    sale, rows = batch.sale, batch.batch.rows
    stock, memory = batch.batch.state.stock, batch.memory
    observation = batch.observe()
    ordered = rows(batch.batch.state.servers.ordered).astype(np.float64)
    units = rows(stock.available) + rows(stock.unreleased)
    before = stock.available.copy(), stock.unreleased.copy(), memory.visitors_seen.copy()
    planned = sale.tables.planned

    def ask() -> _Answers:
        return _only(_answer(batch, policy, batch.observe(), ordered), is_asked)

    by_stock = []
    for share in STOCK_LEFT:
        wanted = np.rint(share * planned).astype(np.int64)[:, None]
        stock.unreleased[...] = np.minimum(before[1], wanted)
        stock.available[...] = wanted - stock.unreleased
        by_stock.append(ask())
    stock.available[...], stock.unreleased[...] = before[0], before[1]
    by_level = []
    variance = sale.forecast.common_variance
    if tick > 0 and not sale.is_reference and variance > 0.0:
        for level in LEVELS:
            memory.visitors_seen[...] = (level * (1.0 + variance * memory.visitors_expected) - 1.0) / variance
            by_level.append(ask())
        memory.visitors_seen[...] = before[2]
    batch.observe()
    left = units.sum(axis=1) / max(1, int(planned.sum()))
    return _Met(1.0 - tick / sale.ticks, observation[is_asked], ordered[is_asked], left[is_asked], by_stock, by_level)


def _answer(
    batch: SaleBatch, policy: Policy, observation: NDArray[np.float32], ordered: NDArray[np.float64]
) -> _Answers:
    """What ``policy`` orders at ``observation`` where ``ordered`` servers are ordered already."""
    sale, codec = batch.sale, batch.codec
    orders = codec.decode(codec.check(policy.act(observation), len(observation)), observation)
    depths = np.take_along_axis(sale.depths[None], orders.price_index[..., None], axis=2)[..., 0]
    servers = sale.tables.servers
    return _Answers(depths.mean(axis=1), np.clip(ordered + orders.change, servers.min_servers, servers.max_servers))


def _only(answers: _Answers, is_asked: NDArray[np.bool_]) -> _Answers:
    return _Answers(answers.discount[is_asked], answers.servers[is_asked])


def _summary(answers: _Answers, met: float) -> dict[str, float]:
    """Mean and spread of answers, as part of a row."""
    row: dict[str, float] = {}
    for name, values in answers._asdict().items():
        low, high = np.quantile(values, SPREAD)
        row |= {name: float(values.mean()), f"{name}_low": float(low), f"{name}_high": float(high)}
    return row | {"met": met}


def _stock_rows(met: list[_Met]) -> list[dict[str, float]]:
    rows = []
    for there in met:
        nearest = np.abs(STOCK_LEFT[None, :] - there.stock_left[:, None]).argmin(axis=1)
        for place, answers in enumerate(there.by_stock):
            where = {"time_left": there.time_left, "stock_left": float(STOCK_LEFT[place])}
            rows.append(where | _summary(answers, float((nearest == place).mean())))
    return rows


def _visitors(sale: CompiledSale, met: list[_Met]) -> list[dict[str, object]]:
    asked = [there for there in met if there.by_level]
    if not asked:
        return []
    column = [feature.name for feature in observation_table(sale)].index("level")
    shown = np.minimum(np.concatenate([there.observation[:, column] for there in asked]).astype(np.float64), 0.999)
    log_levels = np.log(shown / (1.0 - shown))
    nearest = np.abs(np.log(LEVELS)[None, :] - log_levels[:, None]).argmin(axis=1)
    rows: list[dict[str, object]] = []
    for place, level in enumerate(LEVELS):
        answers = _Answers(*(np.concatenate(part) for part in zip(*(m.by_level[place] for m in asked), strict=True)))
        rows.append(
            {"feature": "visitors", "value": float(level), **_summary(answers, float((nearest == place).mean()))}
        )
    return rows


def _utilization(batch: SaleBatch, policy: Policy, met: list[_Met], *, seed: int) -> list[dict[str, object]]:
    table = observation_table(batch.sale)
    names, together = [feature.name for feature in table], feature_groups(table)["load of the last tick"]
    later = [there for there in met if there.time_left < 1.0]
    if not later:
        return []
    background = np.concatenate([there.observation for there in later])
    ordered = np.concatenate([there.ordered for there in later])
    utilization = background[:, names.index("utilization")]
    tenth = np.minimum((utilization * TENTHS).astype(np.int64), TENTHS - 1)
    rng = np.random.default_rng(seed)
    rows: list[dict[str, object]] = []
    for place in range(TENTHS):
        donors = np.flatnonzero(tenth == place)
        if donors.size == 0:
            continue
        varied = background.copy()
        varied[:, together] = background[np.ix_(rng.choice(donors, len(background)), together)]
        answers = _answer(batch, policy, varied, ordered)
        value = float(utilization[donors].mean(dtype=np.float64))
        rows.append({"feature": "utilization", "value": value, **_summary(answers, donors.size / len(background))})
    return rows
