"""What those served ask for: a multinomial logit among the products in view and leaving.

    P(product p) = w_p / (w_0 + Σ_q w_q)
    w_p = units_p·a for products in stock, else 0             w_0 = visitors - Σ_q units_q

Weights are the learned expected units themselves (the exponentials of the utilities), and the outside weight is solved
so that without congestion (a = 1) and with everything in stock a visitor buys p with probability units_p / visitors:
the simulated units match the learned ones. A sold-out product leaves the set, its buyers turn to the others or leave. a
is the latency penalty. Each segment's choices are drawn by conditional binomials, so a deeper discount on a product,
all else equal, never lowers its own requests.

Source: McFadden (1974), in Frontiers in Econometrics; Train (2009), Discrete Choice Methods, ch. 3, for the constants
that match shares. Left out for now: reference price, scarcity cues, waiting for a deeper discount.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from flashsim.sim.cache import compiled
from flashsim.sim.samplers import Workspace, write_binomial
from flashsim.sim.streams import CHOICE, write_uniforms


class ChoiceFlow(NamedTuple):
    """What this part makes in a tick."""

    requests: NDArray[np.int64]  # product, lane; units asked for
    left: NDArray[np.int64]  # lane; scratch: people of a segment who have not chosen yet
    drawn: NDArray[np.int64]  # lane; scratch
    weight: NDArray[np.float64]  # lane; scratch: weight of what is still to be considered
    chance: NDArray[np.float64]  # lane; scratch


def make_choice_flow(products: int, lanes: int) -> ChoiceFlow:
    """Allocate the flow of one tile."""
    return ChoiceFlow(
        np.zeros((products, lanes), np.int64),
        np.zeros(lanes, np.int64),
        np.zeros(lanes, np.int64),
        np.zeros(lanes),
        np.zeros(lanes),
    )


@compiled
def choose(
    units: NDArray[np.float64],
    visitors_mean: NDArray[np.float64],
    served: NDArray[np.int64],
    available: NDArray[np.int64],
    attraction: NDArray[np.float64],
    keys: NDArray[np.uint64],
    flow: ChoiceFlow,
    work: Workspace,
) -> None:
    """Write flow.requests; units (segment, product, lane), visitors_mean and served (segment, lane)."""
    segments, products, lanes = units.shape
    for product in range(products):
        for lane in range(lanes):
            flow.requests[product, lane] = 0
    for segment in range(segments):
        for lane in range(lanes):
            flow.left[lane] = served[segment, lane]
            flow.weight[lane] = visitors_mean[segment, lane]
        for product in range(products):
            for lane in range(lanes):
                full = units[segment, product, lane]
                seen = full * attraction[lane] if available[product, lane] > 0 else 0.0
                flow.weight[lane] += seen - full
        for product in range(products):
            for lane in range(lanes):
                seen = units[segment, product, lane] * attraction[lane] if available[product, lane] > 0 else 0.0
                flow.chance[lane] = min(1.0, seen / flow.weight[lane]) if seen > 0.0 else 0.0
                flow.weight[lane] -= seen
            write_uniforms(keys, CHOICE, segment * products + product, work.uniform)
            write_binomial(flow.left, flow.chance, work.uniform, flow.drawn, work)
            for lane in range(lanes):
                flow.left[lane] -= flow.drawn[lane]
                flow.requests[product, lane] += flow.drawn[lane]
