"""What the visitors who were served ask for: a multinomial logit among the products on sale and leaving.

    P(product p) = w_p / (w_0 + Σ_q w_q)
    w_p = units_p · a · r_p · c_p for products in stock, else 0             w_0 = visitors - Σ_q units_q

The weights are the learned expected units themselves (the exponentials of the utilities). The outside weight w_0 is
solved so that, with everything in stock and all factors 1, a visitor buys p with probability units_p / visitors: the
simulated units match the learned ones. A sold-out product leaves the set; its buyers turn to the others or leave. The
factors are:

    a    latency: people who wait buy less (see queueing)
    r_p  reference price: people compare with what they have seen. With x the depth less the reference depth,
         r = e^(gain·x) for x >= 0, e^(loss·x) below; the reference follows the depths shown and starts at the first
    c_p  scarcity: 1 + cue·max(0, 1 - share/threshold), with the share of the planned units that is still available

At a constant depth and with ample stock all factors are 1, as the learned response requires. For each segment, those
who leave are drawn first; then, among the buyers, one product after another, all by conditional binomials. So a deeper
discount on a product, all else equal, never lowers its own requests.

Of those who leave without buying, a share ``watch_share`` waits for a deeper discount: when the mean depth rises above
the deepest so far, each of them returns with probability 1 - e^(-watch_response·rise) and is a visitor once more. (Who
watches is drawn only when it begins to matter, at a rise: the law is the same.)

One buyer may want several units: with probability ``another_unit`` one more, and again, up to ``limit`` a person.

Where a product is sold out, the law also says what that costs: the expected requests had every product been on sale (a
missing one with c_p = 1), less those expected as things are, which is below 0 for a product to which people turn.

Source: McFadden (1974), in Frontiers in Econometrics; Train (2009), Discrete Choice Methods, ch. 3, for the constants
that match shares; Kalyanaram & Winer (1995), Marketing Science 14(3), for reference prices and losses that weigh more
than gains; Aguirre-Rodriguez (2013), Psychol. Mark. 30(4), for scarcity; Su (2007), Management Science 53(5), for
people who wait. Left out: the order in which products are shown, and memory from sale to sale.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from flashsim.errors import InputError
from flashsim.sim.arrays import allocate, any_is_zero
from flashsim.sim.cache import compiled, compiled_inline, compiled_inside
from flashsim.sim.parameters import arguments_type, check_range, check_whole
from flashsim.sim.samplers import Workspace, write_binomial, write_exp
from flashsim.sim.streams import ANOTHER_UNIT, CHOICE, WATCH_RETURN, WATCHING, write_uniforms


@dataclass(frozen=True)
class ChoiceParams:
    """What moves a choice beyond the learned response; assumptions, for panels do not show them."""

    reference_gain: float = 1.0
    """Log purchase weight per unit of depth above the reference depth."""
    reference_loss: float = 2.0
    """Log purchase weight lost per unit of depth below it; losses weigh about twice (Kalyanaram & Winer 1995)."""
    reference_half_life: float = 20.0
    """Ticks in which the reference depth closes half its distance to the depth shown."""
    scarcity_cue: float = 0.2
    """Purchase weight that "almost gone" adds when the last unit is near, share."""
    scarcity_threshold: float = 0.1
    """Share of the planned units from which the cue begins to show."""
    watch_share: float = 0.05
    """Share of those leaving without a purchase who watch for a deeper discount."""
    watch_response: float = 10.0
    """Rate at which they return, per unit of depth: at 10, ten points deeper bring 63 % of them back."""
    another_unit: float = 0.0
    """Probability that a buyer wants one more unit, after each."""
    limit: int = 1
    """Most units a person may buy."""

    def __post_init__(self) -> None:
        for name in ("reference_gain", "reference_loss", "watch_response"):
            check_range(name, getattr(self, name), 0.0, 100.0)
        check_range("reference_half_life", self.reference_half_life, 0.1, 1e6)
        check_range("scarcity_cue", self.scarcity_cue, 0.0, 10.0)
        check_range("scarcity_threshold", self.scarcity_threshold, 0.0, 1.0)
        check_range("watch_share", self.watch_share, 0.0, 1.0)
        check_whole("limit", self.limit, 1, 100)
        if not 0.0 <= self.another_unit < 1.0:
            raise InputError(f"another_unit must be at least 0 and below 1, got {self.another_unit!r}; lower it")

    @property
    def units_wanted(self) -> float:
        """Mean units that a buyer wants, limits aside."""
        return 1.0 / (1.0 - self.another_unit)

    @property
    def units_allowed(self) -> float:
        """Mean units that a buyer may ask for."""
        return (1.0 - self.another_unit**self.limit) / (1.0 - self.another_unit)


ChoiceArguments = arguments_type(ChoiceParams, __name__)


class ChoiceState(NamedTuple):
    """What the people of one tile remember."""

    reference: NDArray[np.float64]  # product, lane; reference depth, share
    deepest: NDArray[np.float64]  # lane; deepest mean depth so far, share
    departed: NDArray[np.int64]  # segment, lane; people who left without buying since the last rise: some of them watch
    watching: NDArray[np.int64]  # segment, lane; people who watch, of those who left before


class ChoiceFlow(NamedTuple):
    """What this part makes in a tick."""

    returning: NDArray[np.int64]  # segment, lane; people who watched and come back
    buyers: NDArray[np.int64]  # product, lane; people who ask for it
    requests: NDArray[np.int64]  # product, lane; units asked for
    shown_depth: NDArray[np.float64]  # product, lane; discount depth that people see, share
    missed_requests: NDArray[np.float64]  # product, lane; expected units, had every product been on sale, less expected
    # Scratch of those who watch and return
    depth_sum: NDArray[np.float64]  # lane; of all products
    watch_chance: NDArray[np.float64]  # lane; that somebody who left watches
    log_stay_chance: NDArray[np.float64]  # lane
    stay_chance: NDArray[np.float64]  # lane; that somebody who watches does not return
    return_chance: NDArray[np.float64]  # lane; that somebody who watches returns
    new_watchers: NDArray[np.int64]  # lane
    # Scratch of the choice
    log_reference_factor: NDArray[np.float64]  # lane; ln r
    reference_factor: NDArray[np.float64]  # product, lane; r
    factor: NDArray[np.float64]  # product, lane; a·r·c, 0 where sold out
    outside_weight: NDArray[np.float64]  # lane; weight of leaving
    remaining_weight: NDArray[np.float64]  # lane; weight of all products that are still to be considered
    leave_chance: NDArray[np.float64]  # lane
    leavers: NDArray[np.int64]  # lane; people of a segment who leave without buying
    undecided: NDArray[np.int64]  # lane; people of a segment who have not chosen yet
    take_chance: NDArray[np.float64]  # lane; that one of the undecided takes the present product
    takers: NDArray[np.int64]  # lane; people of a segment who take it
    # Scratch of further units
    more_chance: NDArray[np.float64]  # lane; that a buyer wants one more
    may_want_more: NDArray[np.int64]  # lane; buyers who have wanted every unit so far
    want_more: NDArray[np.int64]  # lane; those of them who want one more
    # Scratch of the requests that are missed
    factor_missing: NDArray[np.float64]  # product, lane; a·r where sold out, else 0
    weight_on_sale: NDArray[np.float64]  # lane; of all products, had each been on sale
    rate_on_sale: NDArray[np.float64]  # lane; expected units asked for per weight, had every product been on sale
    rate_change: NDArray[np.float64]  # lane; the same less the expected units asked for per weight


def make_choice_state(tiles: int, lanes: int, *, segments: int, products: int) -> ChoiceState:
    """Allocate the state of ``tiles`` tiles (first axis)."""
    by_segment = (tiles, segments, lanes)
    return allocate(
        ChoiceState, (tiles, lanes), reference=(tiles, products, lanes), departed=by_segment, watching=by_segment
    )


def make_choice_flow(segments: int, products: int, lanes: int) -> ChoiceFlow:
    """Allocate the flow of one tile."""
    names = ("buyers", "requests", "shown_depth", "missed_requests", "reference_factor", "factor", "factor_missing")
    return allocate(ChoiceFlow, (lanes,), returning=(segments, lanes), **dict.fromkeys(names, (products, lanes)))


@compiled_inside
def choice_tile(state: ChoiceState, tile: int) -> ChoiceState:
    """View of one tile."""
    return ChoiceState(state.reference[tile], state.deepest[tile], state.departed[tile], state.watching[tile])


@compiled
def clear_choice(state: ChoiceState, opening: NDArray[np.bool_]) -> None:
    """Forget everybody in every lane of ``opening``; reference depths start with the first offer."""
    segments, lanes = state.watching.shape
    for segment in range(segments):
        for lane in range(lanes):
            if opening[lane]:
                state.departed[segment, lane] = 0
                state.watching[segment, lane] = 0


@compiled
def show_offer(depth: NDArray[np.float64], price_index: NDArray[np.int64], flow: ChoiceFlow) -> None:
    """Write flow.shown_depth, from ``depth`` (product, price)."""
    products, lanes = flow.shown_depth.shape
    for product in range(products):
        for lane in range(lanes):
            flow.shown_depth[product, lane] = depth[product, price_index[product, lane]]


@compiled
def come_back(
    params: ChoiceParams,
    state: ChoiceState,
    tick: NDArray[np.int64],
    keys: NDArray[np.uint64],
    flow: ChoiceFlow,
    work: Workspace,
) -> None:
    """Draw who returns for a deeper discount, from flow.shown_depth.

    Writes flow.returning and all of ``state`` but the reference depths.
    """
    segments, lanes = state.watching.shape
    products = flow.shown_depth.shape[0]
    for lane in range(lanes):
        flow.depth_sum[lane] = 0.0
    for product in range(products):
        for lane in range(lanes):
            flow.depth_sum[lane] += flow.shown_depth[product, lane]
    any_rise = 0.0
    for lane in range(lanes):
        mean = flow.depth_sum[lane] / np.float64(products)
        before = mean if tick[lane] == 0 else state.deepest[lane]
        flow.log_stay_chance[lane] = -params.watch_response * max(0.0, mean - before)
        any_rise = max(any_rise, mean - before)
        state.deepest[lane] = max(mean, before)
    for segment in range(segments):
        for lane in range(lanes):
            flow.returning[segment, lane] = 0
    if any_rise > 0.0 and params.watch_share > 0.0:
        _draw_watchers(params, state, keys, flow, work)


@compiled_inline
def _draw_watchers(
    params: ChoiceParams, state: ChoiceState, keys: NDArray[np.uint64], flow: ChoiceFlow, work: Workspace
) -> None:
    """Where the depth rises (flow.log_stay_chance is below 0), draw who of state.departed watches, and who of all who
    watch returns."""
    segments, lanes = state.watching.shape
    for lane in range(lanes):
        flow.watch_chance[lane] = params.watch_share if flow.log_stay_chance[lane] < 0.0 else 0.0
    write_exp(flow.log_stay_chance, flow.stay_chance)
    for lane in range(lanes):
        flow.return_chance[lane] = 1.0 - flow.stay_chance[lane]
    for segment in range(segments):
        write_uniforms(keys, WATCHING, segment, work.uniform)
        write_binomial(state.departed[segment], flow.watch_chance, work.uniform, flow.new_watchers, work)
        for lane in range(lanes):
            state.watching[segment, lane] += flow.new_watchers[lane]
            state.departed[segment, lane] = 0 if flow.watch_chance[lane] > 0.0 else state.departed[segment, lane]
        write_uniforms(keys, WATCH_RETURN, segment, work.uniform)
        write_binomial(state.watching[segment], flow.return_chance, work.uniform, flow.returning[segment], work)
        for lane in range(lanes):
            state.watching[segment, lane] -= flow.returning[segment, lane]


@compiled_inside
def _write_factors(
    params: ChoiceParams,
    state: ChoiceState,
    tick: NDArray[np.int64],
    planned: NDArray[np.int64],
    available: NDArray[np.int64],
    latency_factor: NDArray[np.float64],
    flow: ChoiceFlow,
) -> None:
    """Write flow.factor, then let the reference depths follow those shown."""
    products, lanes = available.shape
    memory = 0.5 ** (1.0 / params.reference_half_life)
    for product in range(products):
        few = max(params.scarcity_threshold * np.float64(planned[product]), 1e-9)
        for lane in range(lanes):
            shown = flow.shown_depth[product, lane]
            known = shown if tick[lane] == 0 else state.reference[product, lane]
            better = shown - known
            weight = params.reference_gain if better >= 0.0 else params.reference_loss
            flow.log_reference_factor[lane] = weight * better
            state.reference[product, lane] = memory * known + (1.0 - memory) * shown
        write_exp(flow.log_reference_factor, flow.reference_factor[product])
        for lane in range(lanes):
            units = np.float64(available[product, lane])
            cue = 1.0 + params.scarcity_cue * max(0.0, 1.0 - units / few)
            factor = latency_factor[lane] * flow.reference_factor[product, lane] * cue
            flow.factor[product, lane] = factor if available[product, lane] > 0 else 0.0


@compiled_inline
def _write_missing(latency_factor: NDArray[np.float64], available: NDArray[np.int64], flow: ChoiceFlow) -> None:
    """Write flow.factor_missing from flow.reference_factor."""
    for product in range(available.shape[0]):
        for lane in range(available.shape[1]):
            factor = latency_factor[lane] * flow.reference_factor[product, lane]
            flow.factor_missing[product, lane] = 0.0 if available[product, lane] > 0 else factor


@compiled
def choose(
    params: ChoiceParams,
    state: ChoiceState,
    tick: NDArray[np.int64],
    planned: NDArray[np.int64],
    units: NDArray[np.float64],
    visitors_mean: NDArray[np.float64],
    served: NDArray[np.int64],
    latency_factor: NDArray[np.float64],
    available: NDArray[np.int64],
    keys: NDArray[np.uint64],
    flow: ChoiceFlow,
    work: Workspace,
) -> None:
    """Draw what those ``served`` ask for, from flow.shown_depth; writes buyers, requests, missed_requests, ``state``.

    ``planned`` (product; units), ``units`` (segment, product, lane) and ``visitors_mean`` (segment, lane), both
    expected, ``served`` (segment, lane), ``latency_factor`` (lane), ``available`` (product, lane; units).
    """
    segments, products, lanes = units.shape
    _write_factors(params, state, tick, planned, available, latency_factor, flow)
    is_one_sold_out = any_is_zero(available)
    if is_one_sold_out:
        _write_missing(latency_factor, available, flow)
    for product in range(products):
        for lane in range(lanes):
            flow.buyers[product, lane] = 0
            flow.missed_requests[product, lane] = 0.0
    for segment in range(segments):
        for lane in range(lanes):
            flow.undecided[lane] = served[segment, lane]
        _leave(segment, units[segment], visitors_mean[segment], keys, flow, work)
        if is_one_sold_out:
            _miss(params, units[segment], served[segment], flow)
        for lane in range(lanes):
            state.departed[segment, lane] += flow.leavers[lane]
            flow.undecided[lane] -= flow.leavers[lane]
        for product in range(products):
            for lane in range(lanes):
                weight = units[segment, product, lane] * flow.factor[product, lane]
                can_be_taken = (weight > 0.0) & (flow.remaining_weight[lane] > 0.0)
                flow.take_chance[lane] = min(1.0, weight / flow.remaining_weight[lane]) if can_be_taken else 0.0
                flow.remaining_weight[lane] -= weight
            write_uniforms(keys, CHOICE, segment * (products + 1) + 1 + product, work.uniform)
            write_binomial(flow.undecided, flow.take_chance, work.uniform, flow.takers, work)
            for lane in range(lanes):
                flow.undecided[lane] -= flow.takers[lane]
                flow.buyers[product, lane] += flow.takers[lane]
        for lane in range(lanes):
            state.departed[segment, lane] += flow.undecided[lane]
    _want_more(params, keys, flow, work)


@compiled_inline
def _leave(
    segment: int,
    units: NDArray[np.float64],
    visitors_mean: NDArray[np.float64],
    keys: NDArray[np.uint64],
    flow: ChoiceFlow,
    work: Workspace,
) -> None:
    """Draw flow.leavers of flow.undecided; writes flow.remaining_weight, of all products. ``units`` (product, lane)."""
    products, lanes = units.shape
    for lane in range(lanes):
        flow.remaining_weight[lane] = 0.0
        flow.outside_weight[lane] = visitors_mean[lane]
    for product in range(products):
        for lane in range(lanes):
            flow.remaining_weight[lane] += units[product, lane] * flow.factor[product, lane]
            flow.outside_weight[lane] -= units[product, lane]
    for lane in range(lanes):
        outside, inside = max(0.0, flow.outside_weight[lane]), flow.remaining_weight[lane]
        flow.leave_chance[lane] = outside / (outside + inside) if inside > 0.0 else 1.0
    write_uniforms(keys, CHOICE, segment * (products + 1), work.uniform)
    write_binomial(flow.undecided, flow.leave_chance, work.uniform, flow.leavers, work)


@compiled_inline
def _miss(params: ChoiceParams, units: NDArray[np.float64], served: NDArray[np.int64], flow: ChoiceFlow) -> None:
    """After :func:`_leave`: add what a segment misses to flow.missed_requests, exactly 0 where all is on sale."""
    products, lanes = units.shape
    units_allowed = (1.0 - params.another_unit**params.limit) / (1.0 - params.another_unit)
    for lane in range(lanes):
        flow.weight_on_sale[lane] = flow.remaining_weight[lane]
    for product in range(products):
        missing = flow.factor_missing[product]
        for lane in range(lanes):
            flow.weight_on_sale[lane] += units[product, lane] * missing[lane]
    for lane in range(lanes):
        outside, asked = max(0.0, flow.outside_weight[lane]), units_allowed * np.float64(served[lane])
        now, on_sale = outside + flow.remaining_weight[lane], outside + flow.weight_on_sale[lane]
        now = now if now > 0.0 else 1.0  # then nothing of what is there can be taken
        share = asked / (now * on_sale) if on_sale > 0.0 else 0.0
        flow.rate_on_sale[lane], flow.rate_change[lane] = share * now, share * now - share * on_sale
    for product in range(products):
        missing, there, missed = flow.factor_missing[product], flow.factor[product], flow.missed_requests[product]
        for lane in range(lanes):
            change = there[lane] * flow.rate_change[lane] + missing[lane] * flow.rate_on_sale[lane]
            missed[lane] += units[product, lane] * change


@compiled_inline
def _want_more(params: ChoiceParams, keys: NDArray[np.uint64], flow: ChoiceFlow, work: Workspace) -> None:
    """Write flow.requests from flow.buyers: each may want further units, up to the limit."""
    products, lanes = flow.buyers.shape
    for lane in range(lanes):
        flow.more_chance[lane] = params.another_unit
    for product in range(products):
        for lane in range(lanes):
            flow.requests[product, lane] = flow.buyers[product, lane]
        if params.another_unit > 0.0:
            for lane in range(lanes):
                flow.may_want_more[lane] = flow.buyers[product, lane]
            for unit in range(1, params.limit):
                write_uniforms(keys, ANOTHER_UNIT, unit * products + product, work.uniform)
                write_binomial(flow.may_want_more, flow.more_chance, work.uniform, flow.want_more, work)
                for lane in range(lanes):
                    flow.may_want_more[lane] = flow.want_more[lane]
                    flow.requests[product, lane] += flow.want_more[lane]
