"""Who comes: visitors of each segment in one tick.

    units at list price   l = Σ_p rate(p, list)·F·f_p          units of the offer   o = Σ_p rate(p, depth)·F·f_p
    conversion            c = min(c_max, c_0·(o/l)^(1-s))       all visitors         v = o / c
    exogenous ~ Poisson(l / c_0)                               attracted ~ Poisson(max(0, v - l/c_0) + b·g·v)

The learned rates are expected *units*; visits are an assumption (conversion at list price c_0). The uplift o/l of an
offer is split, never added: the share s of its logarithm comes as further visitors, the rest as a better conversion. F
and f_p are the frailties of this sale. A push notification lifts goodwill g to 1, from where it decays; b is what it
adds at its height, an assumption too.

People who would come anyway have their own stream and an exogenous rate, so they are the same under every policy.

Source: non-homogeneous Poisson arrivals; Nerlove & Arrow (1962), Economica 29, for goodwill that decays; Vaupel, Manton
& Stallard (1979), Demography 16(3), for frailty. Left out for now: sharing among visitors, and a lasting effect of
depth.
"""

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from flashsim.sim.cache import compiled
from flashsim.sim.parameters import arguments_type, check_range, check_whole
from flashsim.sim.samplers import Workspace, write_exp, write_log, write_poisson
from flashsim.sim.streams import ATTRACTED_VISITORS, EXOGENOUS_VISITORS, write_uniforms


@dataclass(frozen=True)
class TrafficParams:
    """What moves visitors beyond the learned rates."""

    push_budget: int = 2
    """Push notifications that may be sent during one sale; an editorial limit (more would be muted)."""
    push_uplift: float = 0.25
    """Share of present visitors that a push adds at its height; an assumption, not learned from data."""
    push_half_life: float = 8.0
    """Ticks in which the effect of a push halves; an assumption: most opens come within half an hour."""
    highest_conversion: float = 0.9
    """Conversion is capped here and the rest of an uplift comes as visitors; 1 in reference sales."""
    has_exogenous_visitors: bool = True
    """False in reference sales: all visitors come for the offer."""

    def __post_init__(self) -> None:
        check_whole("push_budget", self.push_budget, 0, 100)
        check_range("push_uplift", self.push_uplift, 0.0, 10.0)
        check_range("push_half_life", self.push_half_life, 0.1, 1e6)
        check_range("highest_conversion", self.highest_conversion, 0.01, 1.0)


TrafficArguments = arguments_type(TrafficParams, __name__)


class TrafficState(NamedTuple):
    """Memory of the traffic of one tile."""

    goodwill: NDArray[np.float64]  # lane; 0 .. 1
    pushes_left: NDArray[np.int64]  # lane


class TrafficFlow(NamedTuple):
    """What this part makes in a tick."""

    units: NDArray[np.float64]  # segment, product, lane; expected units of the offer in this tick
    list_units: NDArray[np.float64]  # segment, lane; expected units at list price
    offer_units: NDArray[np.float64]  # segment, lane; expected units at the present depths
    visitors_mean: NDArray[np.float64]  # segment, lane; expected visitors, pushes aside
    exogenous: NDArray[np.int64]  # segment, lane; people
    attracted: NDArray[np.int64]  # segment, lane; people


def make_traffic_state(tiles: int, lanes: int) -> TrafficState:
    """Allocate the state of ``tiles`` tiles (first axis)."""
    return TrafficState(np.zeros((tiles, lanes)), np.zeros((tiles, lanes), np.int64))


def make_traffic_flow(segments: int, products: int, lanes: int) -> TrafficFlow:
    """Allocate the flow of one tile."""
    means: list[NDArray[Any]] = [np.zeros((segments, lanes)) for _ in range(3)]
    counts: list[NDArray[Any]] = [np.zeros((segments, lanes), np.int64) for _ in range(2)]
    return TrafficFlow(np.zeros((segments, products, lanes)), *(means + counts))


@compiled
def traffic_tile(state: TrafficState, tile: int) -> TrafficState:
    """View of one tile."""
    return TrafficState(state.goodwill[tile], state.pushes_left[tile])


@compiled
def push(params: Any, state: TrafficState, wanted: NDArray[np.bool_], sent: NDArray[np.float64]) -> None:
    """Let goodwill decay, send the wanted pushes that the budget allows; writes ``state`` and ``sent`` (0 or 1)."""
    decay = 0.5 ** (1.0 / params.push_half_life)
    for lane in range(sent.shape[0]):
        sends = wanted[lane] and state.pushes_left[lane] > 0
        state.goodwill[lane] = 1.0 if sends else state.goodwill[lane] * decay
        state.pushes_left[lane] -= np.int64(sends)
        sent[lane] = 1.0 if sends else 0.0


@compiled
def write_expected_units(
    rate: NDArray[np.float32],
    tick: NDArray[np.int64],
    menu: NDArray[np.int64],
    member: NDArray[np.int64],
    frailty: NDArray[np.float64],
    flow: TrafficFlow,
) -> None:
    """Write the means of ``flow`` from rate (tick, segment, product, menu, member) and frailty (product, lane)."""
    segments, products, lanes = flow.units.shape
    for segment in range(segments):
        for lane in range(lanes):
            flow.list_units[segment, lane] = 0.0
            flow.offer_units[segment, lane] = 0.0
        for product in range(products):
            for lane in range(lanes):
                t, m = tick[lane], member[lane]
                factor = frailty[product, lane]
                units = np.float64(rate[t, segment, product, menu[product, lane], m]) * factor
                flow.units[segment, product, lane] = units
                flow.offer_units[segment, lane] += units
                flow.list_units[segment, lane] += np.float64(rate[t, segment, product, 0, m]) * factor


@compiled
def arrive(
    params: Any,
    conversion: NDArray[np.float64],
    traffic_share: NDArray[np.float64],
    member: NDArray[np.int64],
    goodwill: NDArray[np.float64],
    keys: NDArray[np.uint64],
    flow: TrafficFlow,
    work: Workspace,
) -> None:
    """Draw the visitors of each segment; reads the units of ``flow``, writes visitors_mean, exogenous, attracted."""
    segments, lanes = flow.exogenous.shape
    for segment in range(segments):
        list_units, offer_units = flow.list_units[segment], flow.offer_units[segment]
        for lane in range(lanes):
            is_split = (list_units[lane] > 0.0) & (offer_units[lane] > 0.0)
            work.mean[lane] = offer_units[lane] / list_units[lane] if is_split else 1.0
        write_log(work.mean, work.cumulative, work)
        for lane in range(lanes):
            work.cumulative[lane] *= 1.0 - traffic_share[member[lane]]
        write_exp(work.cumulative, work.mean)
        for lane in range(lanes):
            at_list = conversion[member[lane]]
            chance = min(params.highest_conversion, at_list * work.mean[lane])
            visitors = offer_units[lane] / chance
            exogenous = list_units[lane] / at_list if params.has_exogenous_visitors else 0.0
            flow.visitors_mean[segment, lane] = visitors
            work.chance[lane] = exogenous
            work.odds[lane] = max(0.0, visitors - exogenous) + params.push_uplift * goodwill[lane] * visitors
        write_uniforms(keys, EXOGENOUS_VISITORS, segment, work.uniform)
        write_poisson(work.chance, work.uniform, flow.exogenous[segment], work)
        write_uniforms(keys, ATTRACTED_VISITORS, segment, work.uniform)
        write_poisson(work.odds, work.uniform, flow.attracted[segment], work)
