"""What those served ask for: a multinomial logit among the products in view and leaving.

    P(product p) = w_p / (w_0 + Σ_q w_q)
    w_p = units_p · a · r_p · c_p for products in stock, else 0             w_0 = visitors - Σ_q units_q

Weights are the learned expected units themselves (the exponentials of the utilities), and the outside weight is solved
so that with everything in stock and all factors 1 a visitor buys p with probability units_p / visitors: the simulated
units match the learned ones. A sold-out product leaves the set, its buyers turn to the others or leave. Factors:

    a    latency penalty of the queue
    r_p  reference price: people compare with what they have seen. With x the depth less the reference depth,
         r = e^(gain·x) for x >= 0, e^(loss·x) below; the reference follows the depths shown and starts at the first
    c_p  scarcity: 1 + cue·max(0, 1 - left/threshold), left the share of the planned units that is still available

At a constant depth and with ample stock all of them are 1, as the learned response requires. Of each segment those who
leave are drawn first, then, among the buyers, one product after another, all by conditional binomials: so a deeper
discount on a product, all else equal, never lowers its own requests.

Of those who leave without buying a share ``watch_share`` waits for a deeper discount: when the mean depth D rises above
the deepest seen so far, each of them returns with probability 1 - e^(-watch_response·rise) and is a visitor once more.
(Who watches is drawn when it begins to matter, at a rise: the same law.)

One buyer may want several units: with probability ``another_unit`` one more, and again, up to ``limit`` a person.

Source: McFadden (1974), in Frontiers in Econometrics; Train (2009), Discrete Choice Methods, ch. 3, for the constants
that match shares; Kalyanaram & Winer (1995), Marketing Science 14(3), for reference prices and losses that weigh more
than gains; Aguirre-Rodriguez (2013), Psychol. Mark. 30(4), for scarcity; Su (2007), Management Science 53(5), for
people who wait. Left out: the order in which products are shown, and memory from sale to sale.
"""

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from flashsim.errors import InputError
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
    """How surely they return, per unit of depth: at 10, ten points deeper bring 63 % of them back."""
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
    left: NDArray[np.int64]  # segment, lane; people who left since the last rise: some of them watch
    watching: NDArray[np.int64]  # segment, lane; people who watch, of those who left before


class ChoiceFlow(NamedTuple):
    """What this part makes in a tick."""

    returning: NDArray[np.int64]  # segment, lane; people who watched and come back
    buyers: NDArray[np.int64]  # product, lane; people who ask for it
    requests: NDArray[np.int64]  # product, lane; units asked for
    factor: NDArray[np.float64]  # product, lane; scratch: a·r·c, 0 where sold out
    depth: NDArray[np.float64]  # lane; scratch
    outside: NDArray[np.float64]  # lane; scratch: weight of leaving
    left: NDArray[np.int64]  # lane; scratch: people of a segment who have not chosen yet
    drawn: NDArray[np.int64]  # lane; scratch
    weight: NDArray[np.float64]  # lane; scratch: weight of what is still to be considered
    chance: NDArray[np.float64]  # lane; scratch


def make_choice_state(tiles: int, lanes: int, *, segments: int, products: int) -> ChoiceState:
    """Allocate the state of ``tiles`` tiles (first axis)."""
    return ChoiceState(
        np.zeros((tiles, products, lanes)),
        np.zeros((tiles, lanes)),
        np.zeros((tiles, segments, lanes), np.int64),
        np.zeros((tiles, segments, lanes), np.int64),
    )


def make_choice_flow(segments: int, products: int, lanes: int) -> ChoiceFlow:
    """Allocate the flow of one tile."""
    shapes = {"returning": (segments, lanes), "buyers": (products, lanes), "requests": (products, lanes)}
    shapes["factor"] = (products, lanes)
    reals = ("factor", "depth", "outside", "weight", "chance")
    arrays: list[NDArray[Any]] = [
        np.zeros(shapes.get(name, (lanes,)), np.float64 if name in reals else np.int64) for name in ChoiceFlow._fields
    ]
    return ChoiceFlow(*arrays)


@compiled_inside
def choice_tile(state: ChoiceState, tile: int) -> ChoiceState:
    """View of one tile."""
    return ChoiceState(state.reference[tile], state.deepest[tile], state.left[tile], state.watching[tile])


@compiled
def clear_choice(state: ChoiceState, opening: NDArray[np.bool_]) -> None:
    """Nobody watches in any lane of ``opening``; references start with the first offer."""
    segments, lanes = state.watching.shape
    for segment in range(segments):
        for lane in range(lanes):
            if opening[lane]:
                state.left[segment, lane] = 0
                state.watching[segment, lane] = 0


@compiled
def come_back(
    params: Any,
    depth: NDArray[np.float64],
    price_index: NDArray[np.int64],
    tick: NDArray[np.int64],
    state: ChoiceState,
    keys: NDArray[np.uint64],
    flow: ChoiceFlow,
    work: Workspace,
) -> None:
    """Draw who returns for a deeper discount; writes flow.returning and, but for the reference, ``state``.

    ``depth`` (product, price).
    """
    segments, lanes = state.watching.shape
    products = depth.shape[0]
    for lane in range(lanes):
        flow.depth[lane] = 0.0
    for product in range(products):
        for lane in range(lanes):
            flow.depth[lane] += depth[product, price_index[product, lane]]
    any_rise = 0.0
    for lane in range(lanes):
        mean = flow.depth[lane] / np.float64(products)
        before = mean if tick[lane] == 0 else state.deepest[lane]
        work.odds[lane] = -params.watch_response * max(0.0, mean - before)
        any_rise = max(any_rise, mean - before)
        state.deepest[lane] = max(mean, before)
    for segment in range(segments):
        for lane in range(lanes):
            flow.returning[segment, lane] = 0
    if any_rise > 0.0 and params.watch_share > 0.0:
        _draw_watchers(params, keys, state, flow, work)


@compiled_inline
def _draw_watchers(
    params: Any, keys: NDArray[np.uint64], state: ChoiceState, flow: ChoiceFlow, work: Workspace
) -> None:
    """Where the depth rises, -work.odds > 0, draw who of state.left watches, and who of all watching returns."""
    segments, lanes = state.watching.shape
    for lane in range(lanes):
        flow.weight[lane] = params.watch_share if work.odds[lane] < 0.0 else 0.0
    write_exp(work.odds, flow.chance)
    for lane in range(lanes):
        flow.chance[lane] = 1.0 - flow.chance[lane]
    for segment in range(segments):
        write_uniforms(keys, WATCHING, segment, work.uniform)
        write_binomial(state.left[segment], flow.weight, work.uniform, flow.drawn, work)
        for lane in range(lanes):
            state.watching[segment, lane] += flow.drawn[lane]
            state.left[segment, lane] = 0 if flow.weight[lane] > 0.0 else state.left[segment, lane]
        write_uniforms(keys, WATCH_RETURN, segment, work.uniform)
        write_binomial(state.watching[segment], flow.chance, work.uniform, flow.returning[segment], work)
        for lane in range(lanes):
            state.watching[segment, lane] -= flow.returning[segment, lane]


@compiled_inside
def _write_factors(
    params: Any,
    depth: NDArray[np.float64],
    price_index: NDArray[np.int64],
    tick: NDArray[np.int64],
    planned: NDArray[np.int64],
    available: NDArray[np.int64],
    attraction: NDArray[np.float64],
    state: ChoiceState,
    flow: ChoiceFlow,
    work: Workspace,
) -> None:
    """Write flow.factor, then let the reference depths follow those shown."""
    products, lanes = available.shape
    memory = 0.5 ** (1.0 / params.reference_half_life)
    for product in range(products):
        few = max(params.scarcity_threshold * np.float64(planned[product]), 1e-9)
        for lane in range(lanes):
            flow.depth[lane] = depth[product, price_index[product, lane]]
        for lane in range(lanes):
            shown = flow.depth[lane]
            known = shown if tick[lane] == 0 else state.reference[product, lane]
            better = shown - known
            work.odds[lane] = (params.reference_gain if better >= 0.0 else params.reference_loss) * better
            state.reference[product, lane] = memory * known + (1.0 - memory) * shown
        write_exp(work.odds, flow.factor[product])
        for lane in range(lanes):
            left = np.float64(available[product, lane])
            cue = 1.0 + params.scarcity_cue * max(0.0, 1.0 - left / few)
            factor = attraction[lane] * flow.factor[product, lane] * cue
            flow.factor[product, lane] = factor if available[product, lane] > 0 else 0.0


@compiled
def choose(
    params: Any,
    depth: NDArray[np.float64],
    price_index: NDArray[np.int64],
    tick: NDArray[np.int64],
    planned: NDArray[np.int64],
    units: NDArray[np.float64],
    visitors_mean: NDArray[np.float64],
    served: NDArray[np.int64],
    available: NDArray[np.int64],
    attraction: NDArray[np.float64],
    keys: NDArray[np.uint64],
    state: ChoiceState,
    flow: ChoiceFlow,
    work: Workspace,
) -> None:
    """Write flow.buyers and flow.requests; those who leave join state.left, reference depths follow.

    ``depth`` (product, price), ``planned`` (product; units), ``units`` (segment, product, lane), ``visitors_mean`` and
    ``served`` (segment, lane).
    """
    segments, products, lanes = units.shape
    _write_factors(params, depth, price_index, tick, planned, available, attraction, state, flow, work)
    for product in range(products):
        for lane in range(lanes):
            flow.buyers[product, lane] = 0
    for segment in range(segments):
        for lane in range(lanes):
            flow.left[lane] = served[segment, lane]
        _leave(segment, units[segment], visitors_mean[segment], keys, flow, work)
        for lane in range(lanes):
            state.left[segment, lane] += served[segment, lane] - flow.left[lane]
        for product in range(products):
            for lane in range(lanes):
                seen = units[segment, product, lane] * flow.factor[product, lane]
                is_left = (seen > 0.0) & (flow.weight[lane] > 0.0)
                flow.chance[lane] = min(1.0, seen / flow.weight[lane]) if is_left else 0.0
                flow.weight[lane] -= seen
            write_uniforms(keys, CHOICE, segment * (products + 1) + 1 + product, work.uniform)
            write_binomial(flow.left, flow.chance, work.uniform, flow.drawn, work)
            for lane in range(lanes):
                flow.left[lane] -= flow.drawn[lane]
                flow.buyers[product, lane] += flow.drawn[lane]
        for lane in range(lanes):
            state.left[segment, lane] += flow.left[lane]
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
    """Take those who leave from flow.left; writes flow.weight, of all products. ``units`` (product, lane)."""
    products, lanes = units.shape
    for lane in range(lanes):
        flow.weight[lane] = 0.0
        flow.outside[lane] = visitors_mean[lane]
    for product in range(products):
        for lane in range(lanes):
            flow.weight[lane] += units[product, lane] * flow.factor[product, lane]
            flow.outside[lane] -= units[product, lane]
    for lane in range(lanes):
        outside = max(0.0, flow.outside[lane])
        flow.chance[lane] = outside / (outside + flow.weight[lane]) if flow.weight[lane] > 0.0 else 1.0
    write_uniforms(keys, CHOICE, segment * (products + 1), work.uniform)
    write_binomial(flow.left, flow.chance, work.uniform, flow.drawn, work)
    for lane in range(lanes):
        flow.left[lane] -= flow.drawn[lane]


@compiled_inline
def _want_more(params: Any, keys: NDArray[np.uint64], flow: ChoiceFlow, work: Workspace) -> None:
    """Write flow.requests from flow.buyers: each may want further units, up to the limit."""
    products, lanes = flow.buyers.shape
    for lane in range(lanes):
        flow.chance[lane] = params.another_unit
    for product in range(products):
        for lane in range(lanes):
            flow.requests[product, lane] = flow.buyers[product, lane]
        if params.another_unit > 0.0:
            for lane in range(lanes):
                flow.left[lane] = flow.buyers[product, lane]
            for unit in range(1, params.limit):
                write_uniforms(keys, ANOTHER_UNIT, unit * products + product, work.uniform)
                write_binomial(flow.left, flow.chance, work.uniform, flow.drawn, work)
                for lane in range(lanes):
                    flow.left[lane] = flow.drawn[lane]
                    flow.requests[product, lane] += flow.drawn[lane]
