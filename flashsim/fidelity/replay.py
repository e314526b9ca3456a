"""Simulate held-out weeks with a World: the sale's own streams, samplers and frailties, with nothing in the way.

One simulated day is one lane, opened as the sale opens: it draws its member, the frailty that all products share and
one of each product. In each period the buyers of a product are Poisson with the World's rate, and each may want further
units. This is what the simulated sale comes to with ample stock and servers and without bots, sharing, goodwill and
reference prices: visitors are then Poisson, the choice thins them, and the outside weight is solved so that buyers have
the World's rates. Leaving those parts out keeps them from blurring what is judged here, the learned demand.

    member ~ members            C = gamma factor(common)          F_p = gamma factor(product)
    buyers(p, t) ~ Poisson(rate(member, p, t)·level(p)·C·F_p·(1 - a_p))
    units(p, t)  = sum over buyers of 1 + Geometric(a_p),         a_p = (clumping_p - 1)/(clumping_p + 1)

With that a_p, the sale's ``another_unit``, the units q of a purchase have E[q²]/E[q] = clumping_p, as in the data. A
period is a day, or an hour where hours matter: given the frailties, hours are independent and add up to the day.

Source: streams, samplers and laws of flashsim/sim (streams.py, samplers.py, frailties.py, choice.py).
"""

import numpy as np
from numpy.typing import NDArray

from flashsim.data.panel import DAYS_OF_WEEK
from flashsim.fidelity.held_out import HeldOut, offered_rates
from flashsim.sim import streams
from flashsim.sim.cache import compiled
from flashsim.sim.samplers import Workspace, gamma_factor, make_workspace, write_binomial, write_normal, write_poisson
from flashsim.world import World

MOST_UNITS = 100
"""A buyer wants at most so many; the chance of more is negligible."""


def replay_days(world: World, held: HeldOut, *, draws: int, seed: int) -> NDArray[np.int32]:
    """Units (draw, product, day) of ``draws`` simulations of the weeks of ``held``; equal seeds, equal units."""
    rates = offered_rates(world, held.offers).sum(axis=3, keepdims=True)
    return _simulate(world, held, rates, draws=draws, seed=seed)[..., 0]


def replay_weeks(world: World, held: HeldOut, *, draws: int, seed: int) -> NDArray[np.int32]:
    """The same by hour (draw, product, day, hour): takes 24 times the memory."""
    return _simulate(world, held, offered_rates(world, held.offers), draws=draws, seed=seed)


def replay_hours(world: World, held: HeldOut, *, draws: int, seed: int) -> NDArray[np.int32]:
    """Units of all products together (draw, day, hour), where they are counted; equal seeds, equal units."""
    units = replay_weeks(world, held, draws=draws, seed=seed)
    return (units * held.counted[:, :, None]).sum(axis=1, dtype=np.int32)


def open_days(seed: int, lanes: int) -> NDArray[np.uint64]:
    """Key of each simulated day, as a sale of an evaluation has it; the lane is the episode."""
    domain = np.uint64(streams.EVALUATION_DOMAIN)
    return np.array([streams.sale_key(np.uint64(seed), domain, np.uint64(lane)) for lane in range(lanes)], np.uint64)


def draw_members(world: World, keys: NDArray[np.uint64], work: Workspace) -> NDArray[np.int64]:
    """Member (lane) of each day, of all members, as a sale draws it at its opening; ``keys`` of the first tick."""
    streams.write_uniforms(keys, streams.MEMBER, 0, work.uniform)
    return (work.uniform * world.n_members).astype(np.int64)


def draw_frailties(
    world: World, keys: NDArray[np.uint64], *, member: NDArray[np.int64], work: Workspace
) -> NDArray[np.float64]:
    """Factor (product, lane) of a day: the one that all products share times the product's own."""
    factors = np.ones((world.n_products + 1, member.size))
    variances = [world.frailty_common_variance, *world.frailty_product_variance.T]
    for product, variance in enumerate(variances, start=-1):
        stream = streams.COMMON_FRAILTY if product < 0 else streams.PRODUCT_FRAILTY
        streams.write_uniforms(keys, stream, max(product, 0), work.uniform)
        write_normal(work.uniform, work.normal, work)
        _write_factors(work.normal, variance[member], factors[product + 1])
    drawn: NDArray[np.float64] = factors[0] * factors[1:]
    return drawn


@compiled
def _write_factors(normal: NDArray[np.float64], variance: NDArray[np.float64], out: NDArray[np.float64]) -> None:
    for lane in range(out.shape[0]):
        out[lane] = gamma_factor(normal[lane], variance[lane])


def _simulate(world: World, held: HeldOut, rates: NDArray[np.float64], *, draws: int, seed: int) -> NDArray[np.int32]:
    """Units (draw, product, day, period) at ``rates`` (member, product, offer, period) on an average weekday."""
    days, periods = held.units.shape[1], rates.shape[3]
    lane_day = np.tile(np.arange(days), draws)
    week, weekday, offer = lane_day // DAYS_OF_WEEK, lane_day % DAYS_OF_WEEK, lane_day // held.days_an_offer
    keys, work = open_days(seed, lane_day.size), make_workspace(lane_day.size)
    tick_keys = np.zeros(lane_day.size, np.uint64)
    streams.write_tick_keys(keys, np.zeros(lane_day.size, np.int64), tick_keys)
    member = draw_members(world, tick_keys, work)
    factor = draw_frailties(world, tick_keys, member=member, work=work) * world.weekday_factor[member, weekday]
    factor *= held.level[:, week]
    another = (held.clumping - 1.0) / (held.clumping + 1.0)
    units = np.zeros((world.n_products, periods, lane_day.size), np.int32)
    for period in range(periods):
        streams.write_tick_keys(keys, np.full(lane_day.size, period, np.int64), tick_keys)
        for product in range(world.n_products):
            mean = rates[member, product, offer, period] * factor[product] * (1.0 - another[product])
            buyers = np.zeros(lane_day.size, np.int64)
            streams.write_uniforms(tick_keys, streams.EXOGENOUS_VISITORS, product, work.uniform)
            write_poisson(mean, work.uniform, buyers, work)
            cells = (product, world.n_products)
            units[product, period] = _wanted(buyers, float(another[product]), cells=cells, keys=tick_keys, work=work)
    return np.ascontiguousarray(units.reshape(*units.shape[:2], draws, days).transpose(2, 0, 3, 1))


def _wanted(
    buyers: NDArray[np.int64], another: float, *, cells: tuple[int, int], keys: NDArray[np.uint64], work: Workspace
) -> NDArray[np.int64]:
    """Units (lane) that ``buyers`` ask for: each wants one more with chance ``another``, and again.

    ``cells`` are the product and the number of products, which tell its draws apart.
    """
    units, left = buyers.copy(), buyers
    chance = np.full(buyers.size, another)
    for unit in range(1, MOST_UNITS):
        if another == 0.0 or not left.any():
            break
        streams.write_uniforms(keys, streams.ANOTHER_UNIT, unit * cells[1] + cells[0], work.uniform)
        drawn = np.zeros_like(buyers)
        write_binomial(left, chance, work.uniform, drawn, work)
        units += drawn
        left = drawn
    return units
