"""The update of a Q-network as compiled code: targets, loss, backward, clipping and Adam in one call.

With Q⁻ the target network and δ = r + γ·(1 - end)·max_a' Q⁻(s', a') - Q(s, a), the loss is mean δ², or Huber's: mean
δ²/2 up to |δ| = 1 and |δ| - 1/2 beyond.

Source: Mnih et al. (2015), Nature 518.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from agents.compiled.networks import (
    TILE,
    AdamSettings,
    Network,
    Weights,
    aligned,
    backward,
    forward,
    gather,
    lanes_for,
    move,
)
from flashsim.sim.cache import compiled_fast


class Transitions(NamedTuple):
    """A minibatch; the first axis is the transition."""

    observations: NDArray[np.floating]  # transition, feature
    actions: NDArray[np.int64]
    following: NDArray[np.floating]  # transition, feature; observations afterwards
    ends: NDArray[np.floating]  # 1 where the sale has ended, else 0
    rewards: NDArray[np.floating]
    discounts: NDArray[np.floating]


class Scratch(NamedTuple):
    """Of one tile."""

    work: NDArray[np.floating]  # z_0, z_1, … one after the other
    delta: NDArray[np.floating]
    below: NDArray[np.floating]
    best: NDArray[np.floating]  # lane; the largest of the target's values


def make_scratch(network: Network, dtype: np.dtype) -> Scratch:
    """Allocate the scratch of the largest tile."""
    widest = int(network.widths.max())
    sizes = (int(network.widths.sum()), widest, widest, 1)
    arrays: list[Any] = [aligned(size * TILE, dtype) for size in sizes]
    return Scratch(*arrays)


@compiled_fast
def add_gradient(
    network: Network,
    weights: Weights,
    target: NDArray[np.floating],
    batch: Transitions,
    rows: NDArray[np.int64],
    shown: NDArray[np.floating],
    squares_errors: bool,
    scratch: Scratch,
) -> float:
    """Add the gradient of the loss of ``rows`` to ``weights.gradient``; returns the loss.

    ``target`` holds the weights of Q⁻ in the order of the others.
    """
    tiles, width, lanes = lanes_for(rows.size)
    outputs = network.widths[-1]
    last = (network.widths.sum() - outputs) * lanes
    loss, share = 0.0, 1.0 / rows.size
    values, delta, best = scratch.work[last:], scratch.delta, scratch.best
    for tile in range(tiles):
        own = rows[tile * width : (tile + 1) * width]
        gather(batch.following, own, shown, scratch.work, lanes)
        forward(network, target, scratch.work, lanes)
        for lane in range(lanes):
            best[lane] = values[lane]
        for action in range(1, outputs):
            for lane in range(lanes):
                best[lane] = max(best[lane], values[action * lanes + lane])
        gather(batch.observations, own, shown, scratch.work, lanes)
        forward(network, weights.values, scratch.work, lanes)
        delta[: outputs * lanes] = 0.0
        for lane in range(own.size):
            row = own[lane]
            place = batch.actions[row] * lanes + lane
            wanted = batch.rewards[row] + (1.0 - batch.ends[row]) * batch.discounts[row] * best[lane]
            error = np.float64(values[place]) - wanted
            if squares_errors:
                loss += error * error * share
                delta[place] = 2.0 * error * share
            else:
                size = abs(error)
                loss += (0.5 * error * error if size < 1.0 else size - 0.5) * share
                delta[place] = min(max(error, -1.0), 1.0) * share
        backward(network, weights, scratch.work, delta, scratch.below, lanes)
    return loss


@compiled_fast
def learn(
    network: Network,
    weights: Weights,
    target: NDArray[np.floating],
    batch: Transitions,
    rows: NDArray[np.int64],
    shown: NDArray[np.floating],
    squares_errors: bool,
    adam: AdamSettings,
    updates: int,
    scratch: Scratch,
) -> float:
    """Take step ``updates`` of Adam on the loss of ``rows``; returns the loss before."""
    weights.gradient[:] = 0.0
    loss = add_gradient(network, weights, target, batch, rows, shown, squares_errors, scratch)
    move(weights, adam, updates)
    return loss
