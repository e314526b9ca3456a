"""Who comes: visitors of each segment in one tick.

    units at list price   l = Σ_p rate(p, list)·F·f_p          units of the offer   o = Σ_p rate(p, depth)·F·f_p
    uplift                L = ln(o / l)
    of it as visitors     a = max(s·L, L - ln(c_max / c_0))    visitors             v = (o / c_0)·e^(a - L)

The learned rates are expected *units*; visits are an assumption (conversion at list price c_0). The uplift of an offer
is split, never added: the share s of its logarithm comes as further visitors, the rest as a better conversion (up to
c_max). F and f_p are the frailties of this sale.

Goodwill. News of an offer takes time to spread and to fade: the share γ of the visitors' log uplift follows a stock G
of goodwill, which an announced offer feeds, and which starts where the opening offer would hold it. So nothing is
added: at a constant depth G = a at every tick. (In logarithms returns diminish: depth that comes and goes brings fewer
people than the same mean of e^a.) Push notifications feed a stock g of their own; a second one adds what the first has
lost:

    V = v·e^(γ(G - a))      G ← δ·G + (1 - δ)·a      g ← g·δ' + (1 - g·δ')·[push sent]
    exogenous mean   e = l / c_0                     attracted mean   max(0, V - e) + b·g·V

Sharing. Each visitor brings n further ones on average, after exponential delays of mean τ ticks: a Hawkes process with
branching ratio n < 1. Learned demand holds the people who come by sharing, so they are split off, not added. Let y be
the offspring expected in this tick from those who came, and ȳ the same if exactly the expected number had come; then i
immigrants come on average, and

    people ~ Poisson(i + y)      i = max(0, mean - ȳ - debt)      debt ← max(0, ȳ + debt - mean)
    y ← e^(-1/τ)·y + n·(1 - e^(-1/τ))·people              ȳ ← e^(-1/τ)·ȳ + n·(1 - e^(-1/τ))·(i + ȳ)

so that sharing makes traffic bursty (Fano factor up to 1/(1-n)²) and leaves its mean. Where the mean falls faster than
sharing fades, the surplus is a debt, which later immigrants pay. With ``sharing_is_learned`` off ȳ = 0: sharing comes
on top. Any length of a tick keeps the branching ratio exactly; correlations within a tick are lost.

People who would come anyway, and those whom they bring, have their own stream and an exogenous rate, so they are the
same under every policy. Those whom an offer attracts are the other family.

Source: non-homogeneous Poisson arrivals; Nerlove & Arrow (1962), Economica 29, for goodwill that decays; Koyck (1954),
for a stock that adjusts geometrically; Hawkes (1971), Biometrika 58(1), for self-excitation; Vaupel, Manton & Stallard
(1979), Demography 16(3), for frailty. Left out: effects across segments, and what people say of a bad experience.
"""

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from flashsim.errors import InputError
from flashsim.sim.arrays import allocate
from flashsim.sim.cache import compiled, compiled_inline, compiled_inside
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
    goodwill_share: float = 0.3
    """Share of the visitors' log uplift that follows goodwill instead of the present offer; an assumption."""
    goodwill_half_life: float = 10.0
    """Ticks in which goodwill closes half its distance to the present offer; an assumption."""
    sharing_ratio: float = 0.2
    """Further visitors that each visitor brings by sharing, directly (branching ratio n); below 1. An assumption."""
    sharing_delay: float = 5.0
    """Mean ticks from a visit to those it brings; an assumption: links are opened within minutes."""
    sharing_is_learned: bool = True
    """True: the learned demand already holds those who came by sharing. False: they come on top of it."""
    highest_conversion: float = 0.9
    """Conversion is capped here and the rest of an uplift comes as visitors; 1 in reference sales."""
    has_exogenous_visitors: bool = True
    """False in reference sales: all visitors come for the offer."""

    def __post_init__(self) -> None:
        check_whole("push_budget", self.push_budget, 0, 100)
        check_range("push_uplift", self.push_uplift, 0.0, 10.0)
        for name in ("push_half_life", "goodwill_half_life", "sharing_delay"):
            check_range(name, getattr(self, name), 0.1, 1e6)
        check_range("goodwill_share", self.goodwill_share, 0.0, 1.0)
        check_range("highest_conversion", self.highest_conversion, 0.01, 1.0)
        if not 0.0 <= self.sharing_ratio < 1.0:
            raise InputError(
                f"sharing_ratio must be at least 0 and below 1, got {self.sharing_ratio!r}: "
                "from 1 on each visitor brings another and traffic never ends; lower it"
            )


TrafficArguments = arguments_type(TrafficParams, __name__)


class TrafficState(NamedTuple):
    """Memory of the traffic of one tile. Families: 0 exogenous, 1 attracted."""

    push_goodwill: NDArray[np.float64]  # lane; 0 .. 1
    pushes_left: NDArray[np.int64]  # lane
    goodwill: NDArray[np.float64]  # segment, lane; log uplift of visitors
    offspring: NDArray[np.float64]  # family, segment, lane; people expected this tick from those who came
    usual_offspring: NDArray[np.float64]  # family, segment, lane; the same, had as many come as expected
    debt: NDArray[np.float64]  # family, segment, lane; people who came by sharing beyond the mean


class TrafficFlow(NamedTuple):
    """What this part makes in a tick."""

    units: NDArray[np.float64]  # segment, product, lane; expected units of the offer in this tick
    list_units: NDArray[np.float64]  # segment, lane; expected units at list price, l
    offer_units: NDArray[np.float64]  # segment, lane; expected units at the present depths, o
    visitors_mean: NDArray[np.float64]  # segment, lane; expected visitors of the offer, goodwill and pushes aside, v
    exogenous: NDArray[np.int64]  # segment, lane; people
    attracted: NDArray[np.int64]  # segment, lane; people
    expected: NDArray[np.float64]  # lane; mean of all who come, given who came before
    pushes: NDArray[np.int64]  # lane; notifications sent
    infeasible: NDArray[np.int64]  # lane; pushes ordered beyond the budget
    # Scratch of the expected units: places in the flat table of rates
    listed_at: NDArray[np.int64]  # lane; of a product's rate at list price
    offered_at: NDArray[np.int64]  # lane; of its rate at the price offered
    # Scratch of the visitors of a segment
    conversion: NDArray[np.float64]  # lane; at list price, c_0
    traffic_share: NDArray[np.float64]  # lane; share of the uplift that comes as visitors, s
    conversion_ratio: NDArray[np.float64]  # lane; c_max/c_0
    headroom: NDArray[np.float64]  # lane; its logarithm
    uplift_ratio: NDArray[np.float64]  # lane; o/l
    uplift: NDArray[np.float64]  # lane; its logarithm, L
    visitor_uplift: NDArray[np.float64]  # lane; what of it comes as visitors, a
    log_visit_ratio: NDArray[np.float64]  # lane; a - L
    visit_ratio: NDArray[np.float64]  # lane; visitors of the offer over those that its units need at c_0, e^(a - L)
    goodwill_shift: NDArray[np.float64]  # lane; γ(G - a)
    goodwill_factor: NDArray[np.float64]  # lane; e^(γ(G - a))
    exogenous_mean: NDArray[np.float64]  # lane; e, those who come by sharing included
    attracted_mean: NDArray[np.float64]  # lane; likewise
    immigrants_mean: NDArray[np.float64]  # lane; of a family, i
    people_mean: NDArray[np.float64]  # lane; of a family, i + y


def make_traffic_state(tiles: int, lanes: int, *, segments: int) -> TrafficState:
    """Allocate the state of ``tiles`` tiles (first axis)."""
    by_family = dict.fromkeys(("offspring", "usual_offspring", "debt"), (tiles, 2, segments, lanes))
    return allocate(TrafficState, (tiles, lanes), goodwill=(tiles, segments, lanes), **by_family)


def make_traffic_flow(segments: int, products: int, lanes: int) -> TrafficFlow:
    """Allocate the flow of one tile."""
    names = ("list_units", "offer_units", "visitors_mean", "exogenous", "attracted")
    by_segment = dict.fromkeys(names, (segments, lanes))
    return allocate(TrafficFlow, (lanes,), units=(segments, products, lanes), **by_segment)


@compiled_inside
def traffic_tile(state: TrafficState, tile: int) -> TrafficState:
    """View of one tile."""
    return TrafficState(
        state.push_goodwill[tile],
        state.pushes_left[tile],
        state.goodwill[tile],
        state.offspring[tile],
        state.usual_offspring[tile],
        state.debt[tile],
    )


@compiled
def clear_traffic(params: TrafficParams, state: TrafficState, opening: NDArray[np.bool_]) -> None:
    """Set the state to the start of a sale in every lane of ``opening``; goodwill starts with the first offer."""
    segments, lanes = state.goodwill.shape
    for lane in range(lanes):
        if opening[lane]:
            state.push_goodwill[lane] = 0.0
            state.pushes_left[lane] = params.push_budget
            for segment in range(segments):
                state.goodwill[segment, lane] = 0.0
                for family in range(2):
                    state.offspring[family, segment, lane] = 0.0
                    state.usual_offspring[family, segment, lane] = 0.0
                    state.debt[family, segment, lane] = 0.0


@compiled
def push(params: TrafficParams, state: TrafficState, wanted: NDArray[np.bool_], flow: TrafficFlow) -> None:
    """Let goodwill of pushes decay, send the ``wanted`` ones (lane) that the budget allows.

    Writes ``state``, flow.pushes and flow.infeasible.
    """
    decay = 0.5 ** (1.0 / params.push_half_life)
    for lane in range(wanted.shape[0]):
        sends = wanted[lane] and state.pushes_left[lane] > 0
        flow.infeasible[lane] = np.int64(wanted[lane] and not sends)
        state.push_goodwill[lane] = 1.0 if sends else state.push_goodwill[lane] * decay
        state.pushes_left[lane] -= np.int64(sends)
        flow.pushes[lane] = np.int64(sends)


@compiled
def write_expected_units(
    rate: NDArray[np.float32],
    tick: NDArray[np.int64],
    price_index: NDArray[np.int64],
    member: NDArray[np.int64],
    frailty: NDArray[np.float64],
    demand_factor: NDArray[np.float64],
    flow: TrafficFlow,
) -> None:
    """Write units, list_units and offer_units of ``flow``.

    ``rate`` (tick, segment, product, price, member), ``frailty`` (product, lane), ``demand_factor`` (lane).
    """
    segments, products, lanes = flow.units.shape
    choices, members = rate.shape[3:]
    flat, block = rate.flat, choices * members
    for segment in range(segments):
        for lane in range(lanes):
            flow.list_units[segment, lane] = 0.0
            flow.offer_units[segment, lane] = 0.0
    for product in range(products):
        for lane in range(lanes):
            place = (max(tick[lane], 0) * segments * products + product) * block + member[lane]
            flow.listed_at[lane] = place
            flow.offered_at[lane] = place + price_index[product, lane] * members
        for segment in range(segments):
            shift = segment * products * block
            for lane in range(lanes):
                factor = frailty[product, lane] * demand_factor[lane]
                units = np.float64(flat[flow.offered_at[lane] + shift]) * factor
                flow.units[segment, product, lane] = units
                flow.offer_units[segment, lane] += units
                flow.list_units[segment, lane] += np.float64(flat[flow.listed_at[lane] + shift]) * factor


@compiled
def arrive(
    params: TrafficParams,
    state: TrafficState,
    conversion: NDArray[np.float64],
    traffic_share: NDArray[np.float64],
    member: NDArray[np.int64],
    tick: NDArray[np.int64],
    keys: NDArray[np.uint64],
    flow: TrafficFlow,
    work: Workspace,
) -> None:
    """Draw the visitors of each segment from the units of ``flow``, and let goodwill and sharing go on.

    ``conversion`` and ``traffic_share`` (member). Writes goodwill, both offspring and the debt of ``state``;
    visitors_mean, exogenous, attracted and expected of ``flow``.
    """
    segments, lanes = flow.exogenous.shape
    for lane in range(lanes):
        flow.conversion[lane] = conversion[member[lane]]
        flow.traffic_share[lane] = traffic_share[member[lane]]
    for lane in range(lanes):
        flow.expected[lane] = 0.0
        flow.conversion_ratio[lane] = params.highest_conversion / flow.conversion[lane]
    write_log(flow.conversion_ratio, flow.headroom)
    for segment in range(segments):
        _split_uplift(segment, flow)
        follow_goodwill(params, 0, tick, flow.visitor_uplift, state.goodwill[segment], flow.goodwill_shift)
        write_exp(flow.goodwill_shift, flow.goodwill_factor)
        for lane in range(lanes):
            came_for = flow.visitors_mean[segment, lane] * flow.goodwill_factor[lane]
            at_list = flow.list_units[segment, lane] / flow.conversion[lane]
            exogenous = at_list if params.has_exogenous_visitors else 0.0
            pushed = params.push_uplift * state.push_goodwill[lane] * came_for
            flow.exogenous_mean[lane] = exogenous
            flow.attracted_mean[lane] = max(0.0, came_for - exogenous) + pushed
        _draw_family(
            params, state, 0, EXOGENOUS_VISITORS, segment, flow.exogenous_mean, flow.exogenous, keys, flow, work
        )
        _draw_family(
            params, state, 1, ATTRACTED_VISITORS, segment, flow.attracted_mean, flow.attracted, keys, flow, work
        )


@compiled_inline
def _split_uplift(segment: int, flow: TrafficFlow) -> None:
    """Write flow.visitor_uplift (a) and flow.visitors_mean (v) of ``segment``."""
    lanes = flow.uplift.shape[0]
    for lane in range(lanes):
        offer, listed = flow.offer_units[segment, lane], flow.list_units[segment, lane]
        flow.uplift_ratio[lane] = offer / listed if (listed > 0.0) & (offer > 0.0) else 1.0
    write_log(flow.uplift_ratio, flow.uplift)
    for lane in range(lanes):
        uplift = flow.uplift[lane]
        flow.visitor_uplift[lane] = max(flow.traffic_share[lane] * uplift, uplift - flow.headroom[lane])
        flow.log_visit_ratio[lane] = flow.visitor_uplift[lane] - uplift
    write_exp(flow.log_visit_ratio, flow.visit_ratio)
    for lane in range(lanes):
        needed = flow.offer_units[segment, lane] / flow.conversion[lane]
        flow.visitors_mean[segment, lane] = needed * flow.visit_ratio[lane]


@compiled_inline
def follow_goodwill(
    params: TrafficParams,
    first: int,
    tick: NDArray[np.int64],
    visitor_uplift: NDArray[np.float64],
    goodwill: NDArray[np.float64],
    shift: NDArray[np.float64],
) -> None:
    """Write ``shift`` (lane), γ(G - a), what goodwill G adds to the ``visitor_uplift`` a; then let ``goodwill`` go on.

    G starts at the uplift of the opening offer, where ``tick`` is ``first``: 0, or 1 once the clock has moved on.
    """
    decay = 0.5 ** (1.0 / params.goodwill_half_life)
    for lane in range(shift.shape[0]):
        uplift = visitor_uplift[lane]
        known = uplift if tick[lane] == first else goodwill[lane]
        shift[lane] = params.goodwill_share * (known - uplift)
        goodwill[lane] = decay * known + (1.0 - decay) * uplift


@compiled_inside
def _draw_family(
    params: TrafficParams,
    state: TrafficState,
    family: int,
    stream: int,
    segment: int,
    mean: NDArray[np.float64],
    people: NDArray[np.int64],
    keys: NDArray[np.uint64],
    flow: TrafficFlow,
    work: Workspace,
) -> None:
    """Draw the ``people`` (segment, lane) of a family in ``segment``, ``mean`` (lane) of whom are to be expected.

    Writes people[segment], both offspring and the debt of ``state``, adds the mean of all to flow.expected.
    """
    lanes = mean.shape[0]
    offspring, usual = state.offspring[family, segment], state.usual_offspring[family, segment]
    debt = state.debt[family, segment]
    for lane in range(lanes):
        open_mean = mean[lane] - usual[lane] - debt[lane]
        debt[lane] = max(0.0, -open_mean)
        flow.immigrants_mean[lane] = max(0.0, open_mean)
        flow.people_mean[lane] = flow.immigrants_mean[lane] + offspring[lane]
        flow.expected[lane] += flow.people_mean[lane]
    write_uniforms(keys, stream, segment, work.uniform)
    write_poisson(flow.people_mean, work.uniform, people[segment], work)
    if params.sharing_ratio > 0.0:
        decay = math.exp(-1.0 / params.sharing_delay)
        ratio = params.sharing_ratio * (1.0 - decay)
        learned = 1.0 if params.sharing_is_learned else 0.0
        for lane in range(lanes):
            offspring[lane] = decay * offspring[lane] + ratio * np.float64(people[segment, lane])
            usual[lane] = learned * (decay * usual[lane] + ratio * (flow.immigrants_mean[lane] + usual[lane]))
