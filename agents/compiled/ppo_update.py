"""PPO's update as compiled code: all minibatches of a rollout in one call.

Policy and value are networks of their own (``agents.compiled.networks``), with the scores of all heads, and V, as their
outputs. With p the product of the softmaxes of the heads, ρ = p(a|x)/p_old(a|x), advantages A standardized over the
minibatch and returns R, the loss is

    L = -mean min(ρ·A, clip(ρ, 1 - ε, 1 + ε)·A) - c_H·mean H(p) + c_V·mean (R - V)²

It is computed in double precision, the networks in the type of their weights. Left out: bounds on the change of values,
and early stopping at a KL divergence.

Source: Schulman et al. (2017), arXiv:1707.06347, equations 7 and 9.
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
    copy,
    forward,
    gather,
    lanes_for,
    move,
)
from flashsim.sim.cache import compiled_fast
from flashsim.sim.samplers import write_exp

_LINES = 5  # of Scratch.line
_MASKED = -1e8  # score of a choice that is not feasible, as in sb3-contrib
MEASURED = 6
"""Quantities that an update measures: the losses of policy, values and entropy, clipped share, KL divergence, loss."""


class Decisions(NamedTuple):
    """A rollout."""

    observations: NDArray[np.floating]  # decision, feature
    actions: NDArray[np.int64]  # decision, head
    masks: NDArray[np.bool_]  # decision, choice; whether it is feasible; no rows: all are
    log_probs: NDArray[np.float32]  # decision; under the policy that acted
    advantages: NDArray[np.float32]  # decision
    returns: NDArray[np.float32]  # decision


class LossSettings(NamedTuple):
    """Numbers of the loss; names as in Stable-Baselines3."""

    clip_range: float
    ent_coef: float
    vf_coef: float
    normalizes: bool


class Scratch(NamedTuple):
    """Of one tile; cut into arrays (unit, lane) of as many lanes as it has."""

    policy: NDArray[np.floating]  # z_0, z_1, … of the policy, one after the other
    value: NDArray[np.floating]
    delta: NDArray[np.floating]  # D of a layer
    below: NDArray[np.floating]  # D of the layer below
    score: NDArray[np.float64]  # choice, lane
    chance: NDArray[np.float64]  # choice, lane; p
    line: NDArray[np.float64]  # (5, lane); see _differentiate


def make_scratch(policy: Network, value: Network, dtype: np.dtype) -> Scratch:
    """Allocate the scratch of the largest tile."""
    widest = max(int(policy.widths.max()), int(value.widths.max()))
    choices = int(policy.widths[-1])
    sizes = (int(policy.widths.sum()), int(value.widths.sum()), widest, widest)
    floats: list[Any] = [aligned(size * TILE, dtype) for size in sizes]
    return Scratch(*floats, *(aligned(size * TILE, np.dtype(np.float64)) for size in (choices, choices, _LINES)))


@compiled_fast
def _mask(rollout: Decisions, rows: NDArray[np.int64], score: NDArray[np.float64]) -> None:
    """Give choices that are not feasible a score (choice, lane) at which their probability is 0."""
    if rollout.masks.shape[0] > 0:
        for lane in range(rows.size):
            for choice in range(score.shape[0]):
                if not rollout.masks[rows[lane], choice]:
                    score[choice, lane] = _MASKED


@compiled_fast
def _normalize(
    score: NDArray[np.float64], chance: NDArray[np.float64], top: NDArray[np.float64], total: NDArray[np.float64]
) -> None:
    """Of one head: ``score`` (choice, lane) becomes log p, and ``chance`` p; the others (lane) are scratch."""
    choices, lanes = score.shape
    total[:] = 0.0
    copy(score[0], top)
    for choice in range(1, choices):
        for lane in range(lanes):
            top[lane] = max(top[lane], score[choice, lane])
    for choice in range(choices):
        for lane in range(lanes):
            score[choice, lane] -= top[lane]
        write_exp(score[choice], chance[choice])
        for lane in range(lanes):
            total[lane] += chance[choice, lane]
    for lane in range(lanes):
        top[lane] = np.log(total[lane])
    for choice in range(choices):
        for lane in range(lanes):
            score[choice, lane] -= top[lane]
            chance[choice, lane] /= total[lane]


@compiled_fast
def _choose(
    rollout: Decisions, rows: NDArray[np.int64], heads: NDArray[np.int64], scratch: Scratch, bonus: float, lanes: int
) -> None:
    """From scores to probabilities: fill ``scratch.chance`` and the lines log p(a|x) and H.

    ``scratch.score`` becomes the gradient of -``bonus``·H.
    """
    choices = heads.sum()
    score = scratch.score[: choices * lanes].reshape((choices, lanes))
    chance = scratch.chance[: choices * lanes].reshape((choices, lanes))
    line = scratch.line[: _LINES * lanes].reshape((_LINES, lanes))
    log_prob, entropy, own = line[0], line[1], line[4]
    _mask(rollout, rows, score)
    log_prob[:], entropy[:] = 0.0, 0.0
    first = 0
    for head in range(heads.size):
        last = first + heads[head]
        _normalize(score[first:last], chance[first:last], line[2], line[3])
        own[:] = 0.0
        for choice in range(first, last):
            for lane in range(lanes):
                own[lane] -= chance[choice, lane] * score[choice, lane]
        for lane in range(rows.size):
            log_prob[lane] += score[first + rollout.actions[rows[lane], head], lane]
        for choice in range(first, last):
            for lane in range(lanes):
                score[choice, lane] = bonus * chance[choice, lane] * (score[choice, lane] + own[lane])
        for lane in range(lanes):
            entropy[lane] += own[lane]
        first = last


@compiled_fast
def _differentiate(
    rollout: Decisions,
    rows: NDArray[np.int64],
    heads: NDArray[np.int64],
    settings: LossSettings,
    scratch: Scratch,
    expected: NDArray[np.floating],
    standard: NDArray[np.float64],
    sums: NDArray[np.float64],
    share: float,
    lanes: int,
) -> None:
    """From scores and values ``expected`` (lane) to D of the last layers: in ``scratch.score``, and line 2 for values.

    ``standard`` are mean and spread of advantages; a decision counts ``share``; adds to ``sums`` (``MEASURED``).
    """
    choices = heads.sum()
    _choose(rollout, rows, heads, scratch, settings.ent_coef * share, lanes)
    score = scratch.score[: choices * lanes].reshape((choices, lanes))
    chance = scratch.chance[: choices * lanes].reshape((choices, lanes))
    line = scratch.line[: _LINES * lanes].reshape((_LINES, lanes))
    log_prob, entropy, slope, pull = line[0], line[1], line[2], line[3]
    slope[:], pull[:] = 0.0, 0.0
    low, high = 1.0 - settings.clip_range, 1.0 + settings.clip_range
    for lane in range(rows.size):
        row = rows[lane]
        advantage = (np.float64(rollout.advantages[row]) - standard[0]) / standard[1]
        log_ratio = log_prob[lane] - rollout.log_probs[row]
        ratio = np.exp(log_ratio)
        plain, clipped = advantage * ratio, advantage * min(max(ratio, low), high)
        error = np.float64(expected[lane]) - rollout.returns[row]
        pull[lane] = -plain * share if plain <= clipped else 0.0
        slope[lane] = 2.0 * settings.vf_coef * error * share
        sums[0] -= min(plain, clipped) * share
        sums[1] += error * error * share
        sums[2] -= entropy[lane] * share
        sums[3] += share if abs(ratio - 1.0) > settings.clip_range else 0.0
        sums[4] += (ratio - 1.0 - log_ratio) * share
    for choice in range(choices):
        for lane in range(lanes):
            score[choice, lane] -= pull[lane] * chance[choice, lane]
        score[choice, rows.size :] = 0.0
    first = 0
    for head in range(heads.size):
        for lane in range(rows.size):
            score[first + rollout.actions[rows[lane], head], lane] += pull[lane]
        first += heads[head]


@compiled_fast
def _standard(
    advantages: NDArray[np.floating], rows: NDArray[np.int64], normalizes: bool, out: NDArray[np.float64]
) -> None:
    """Write mean and spread by which the advantages of a minibatch are standardized; 0 and 1 where they are not."""
    out[0], out[1] = 0.0, 1.0
    if not normalizes or rows.size < 2:
        return
    total, squares = 0.0, 0.0
    for row in rows:
        total += advantages[row]
    out[0] = total / rows.size
    for row in rows:
        squares += (advantages[row] - out[0]) ** 2
    out[1] = np.sqrt(squares / (rows.size - 1)) + 1e-8


@compiled_fast
def add_gradient(
    policy: Network,
    value: Network,
    heads: NDArray[np.int64],
    weights: Weights,
    rollout: Decisions,
    rows: NDArray[np.int64],
    shown: NDArray[np.floating],
    settings: LossSettings,
    scratch: Scratch,
    standard: NDArray[np.float64],
    sums: NDArray[np.float64],
) -> None:
    """Add the gradient of the loss of the minibatch ``rows`` to ``weights.gradient``, and its parts to ``sums``."""
    _standard(rollout.advantages, rows, settings.normalizes, standard)
    tiles, width, lanes = lanes_for(rows.size)
    inputs, choices = policy.widths[0], heads.sum()
    at_scores = (policy.widths.sum() - choices) * lanes
    at_value = (value.widths.sum() - 1) * lanes
    for tile in range(tiles):
        own = rows[tile * width : (tile + 1) * width]
        gather(rollout.observations, own, shown, scratch.policy, lanes)
        copy(scratch.policy, scratch.value[: inputs * lanes])
        forward(policy, weights.values, scratch.policy, lanes)
        forward(value, weights.values, scratch.value, lanes)
        copy(scratch.policy[at_scores:], scratch.score[: choices * lanes])
        expected = scratch.value[at_value : at_value + lanes]
        _differentiate(rollout, own, heads, settings, scratch, expected, standard, sums, 1.0 / rows.size, lanes)
        copy(scratch.score, scratch.delta[: choices * lanes])
        backward(policy, weights, scratch.policy, scratch.delta, scratch.below, lanes)
        copy(scratch.line[2 * lanes :], scratch.delta[:lanes])
        backward(value, weights, scratch.value, scratch.delta, scratch.below, lanes)


@compiled_fast
def learn(
    policy: Network,
    value: Network,
    heads: NDArray[np.int64],
    weights: Weights,
    rollout: Decisions,
    order: NDArray[np.int64],
    batch_size: int,
    shown: NDArray[np.floating],
    settings: LossSettings,
    adam: AdamSettings,
    updates: int,
    scratch: Scratch,
    standard: NDArray[np.float64],
    measured: NDArray[np.float64],
) -> int:
    """Take a step for each minibatch of each epoch of ``order`` (epoch, decision); returns the steps taken so far.

    Adds means over minibatches to ``measured``, but the divergence over the last epoch, and the loss that of the last.
    """
    for epoch in range(order.shape[0]):
        measured[4] = 0.0
        for first in range(0, order.shape[1], batch_size):
            rows = order[epoch, first : first + batch_size]
            weights.gradient[:] = 0.0
            before = measured[0] + settings.ent_coef * measured[2] + settings.vf_coef * measured[1]
            add_gradient(policy, value, heads, weights, rollout, rows, shown, settings, scratch, standard, measured)
            after = measured[0] + settings.ent_coef * measured[2] + settings.vf_coef * measured[1]
            measured[5] = after - before
            updates += 1
            move(weights, adam, updates)
    return updates
