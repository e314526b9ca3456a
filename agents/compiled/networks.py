"""Networks of linear layers in compiled code, for learners on the cpu: forward, backward, clipping and Adam.

    z_i = f(W_i·z_i-1 + b_i),  f = tanh or max(0, ·),  the outputs linear

With D = ∂L/∂(W·z + b) of a layer, ∂L/∂W = D·zᵀ, ∂L/∂b = Σ D, and Wᵀ·D·f' that of the layer below.

A minibatch is cut into tiles of up to 256 rows. They are the last axis of every array, so that each inner loop runs
over them and is vectorized; lanes beyond the last row hold zeros and add nothing. Matrix products take four by four
rows at a time: at these sizes that is faster than a library of linear algebra, starts no threads, and sums in one
order, so that equal inputs give equal bits. Numbers have the type of the weights: float32 in a training, float64 where
gradients are compared with torch's.

Source: Kingma & Ba (2015), arXiv:1412.6980, algorithm 1; ε as in torch.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from flashsim.sim.cache import compiled_fast

TILE, VECTOR = 256, 16
"""Rows of a tile at most, and of what its lanes are a multiple: the floats of the widest vector."""
_CACHE_LINE = 64  # bytes


class Network(NamedTuple):
    """Where a network lies in the vector of all weights; row i is layer i."""

    widths: NDArray[np.int64]  # layer, and the outputs
    weights: NDArray[np.int64]  # layer; place of W (output, input), row by row
    biases: NDArray[np.int64]  # layer; place of b
    is_rectified: bool  # f: max(0, ·) or tanh


class Weights(NamedTuple):
    """Vectors of one length and type: all weights, and what Adam keeps of each."""

    values: NDArray[np.floating]
    gradient: NDArray[np.floating]
    mean: NDArray[np.floating]
    square: NDArray[np.floating]


class AdamSettings(NamedTuple):
    """Numbers of a step; names as in torch and Stable-Baselines3."""

    learning_rate: float
    beta_1: float
    beta_2: float
    eps: float
    max_grad_norm: float


def aligned(size: int, dtype: np.dtype) -> NDArray[np.floating]:
    """Zeros that begin where a cache line does: a vector that lies on two lines takes twice as long to read."""
    room = np.zeros(size * dtype.itemsize + _CACHE_LINE, np.uint8)
    first = -room.ctypes.data % _CACHE_LINE
    return room[first : first + size * dtype.itemsize].view(dtype)


@compiled_fast
def write_tanh(x: NDArray[np.floating]) -> None:
    """x becomes tanh(x): to 5e-11 up to |x| = 9 and to 4e-8 beyond, apart from rounding.

    A ratio of polynomials, fitted to the least largest error.
    """
    number = x.dtype.type
    most, one = number(9.0), number(1.0)
    p_0, p_1, p_2 = number(9.9999999982e-01), number(1.4097184238e-01), number(4.4232701431e-03)
    p_3, p_4, p_5 = number(4.2206420347e-05), number(1.1080909599e-07), number(3.6533140097e-11)
    q_1, q_2, q_3 = number(4.7430517484e-01), number(2.9191662970e-02), number(5.0032386194e-04)
    q_4, q_5 = number(2.5977377769e-06), number(2.9380671748e-09)
    for place in range(x.size):
        y = min(max(x[place], -most), most)
        u = y * y
        top = ((((p_5 * u + p_4) * u + p_3) * u + p_2) * u + p_1) * u + p_0
        x[place] = y * top / (((((q_5 * u + q_4) * u + q_3) * u + q_2) * u + q_1) * u + one)


@compiled_fast
def _add_product(a: NDArray[np.floating], x: NDArray[np.floating], out: NDArray[np.floating]) -> None:
    """out (i, lane) += Σ_k a (i, k)·x (k, lane)."""
    rows, depth = a.shape
    lanes = range(x.shape[1])
    whole, even = rows - rows % 4, depth - depth % 4
    for i in range(0, whole, 4):
        o_0, o_1, o_2, o_3 = out[i], out[i + 1], out[i + 2], out[i + 3]
        for k in range(0, even, 4):
            x_0, x_1, x_2, x_3 = x[k], x[k + 1], x[k + 2], x[k + 3]
            a_00, a_01, a_02, a_03 = a[i, k], a[i, k + 1], a[i, k + 2], a[i, k + 3]
            a_10, a_11, a_12, a_13 = a[i + 1, k], a[i + 1, k + 1], a[i + 1, k + 2], a[i + 1, k + 3]
            a_20, a_21, a_22, a_23 = a[i + 2, k], a[i + 2, k + 1], a[i + 2, k + 2], a[i + 2, k + 3]
            a_30, a_31, a_32, a_33 = a[i + 3, k], a[i + 3, k + 1], a[i + 3, k + 2], a[i + 3, k + 3]
            for lane in lanes:
                y_0, y_1, y_2, y_3 = x_0[lane], x_1[lane], x_2[lane], x_3[lane]
                o_0[lane] += a_00 * y_0 + a_01 * y_1 + a_02 * y_2 + a_03 * y_3
                o_1[lane] += a_10 * y_0 + a_11 * y_1 + a_12 * y_2 + a_13 * y_3
                o_2[lane] += a_20 * y_0 + a_21 * y_1 + a_22 * y_2 + a_23 * y_3
                o_3[lane] += a_30 * y_0 + a_31 * y_1 + a_32 * y_2 + a_33 * y_3
        for k in range(even, depth):
            x_0, a_00, a_10, a_20, a_30 = x[k], a[i, k], a[i + 1, k], a[i + 2, k], a[i + 3, k]
            for lane in lanes:
                y_0 = x_0[lane]
                o_0[lane] += a_00 * y_0
                o_1[lane] += a_10 * y_0
                o_2[lane] += a_20 * y_0
                o_3[lane] += a_30 * y_0
    for i in range(whole, rows):
        for k in range(depth):
            o_0, x_0, a_00 = out[i], x[k], a[i, k]
            for lane in lanes:
                o_0[lane] += a_00 * x_0[lane]


@compiled_fast
def _add_four(row: NDArray[np.floating], k: int, s_0: float, s_1: float, s_2: float, s_3: float) -> None:
    row[k], row[k + 1], row[k + 2], row[k + 3] = row[k] + s_0, row[k + 1] + s_1, row[k + 2] + s_2, row[k + 3] + s_3


@compiled_fast
def _add_outer_product(d: NDArray[np.floating], x: NDArray[np.floating], out: NDArray[np.floating]) -> None:
    """out (i, k) += Σ_lane d (i, lane)·x (k, lane)."""
    rows, columns = out.shape
    lanes = range(x.shape[1])
    whole, even = rows - rows % 4, columns - columns % 4
    zero = out.dtype.type(0.0)
    for i in range(0, whole, 4):
        d_0, d_1, d_2, d_3 = d[i], d[i + 1], d[i + 2], d[i + 3]
        for k in range(0, even, 4):
            x_0, x_1, x_2, x_3 = x[k], x[k + 1], x[k + 2], x[k + 3]
            s_00 = s_01 = s_02 = s_03 = s_10 = s_11 = s_12 = s_13 = zero
            s_20 = s_21 = s_22 = s_23 = s_30 = s_31 = s_32 = s_33 = zero
            for lane in lanes:
                y_0, y_1, y_2, y_3 = x_0[lane], x_1[lane], x_2[lane], x_3[lane]
                e_0, e_1, e_2, e_3 = d_0[lane], d_1[lane], d_2[lane], d_3[lane]
                s_00, s_01, s_02, s_03 = s_00 + e_0 * y_0, s_01 + e_0 * y_1, s_02 + e_0 * y_2, s_03 + e_0 * y_3
                s_10, s_11, s_12, s_13 = s_10 + e_1 * y_0, s_11 + e_1 * y_1, s_12 + e_1 * y_2, s_13 + e_1 * y_3
                s_20, s_21, s_22, s_23 = s_20 + e_2 * y_0, s_21 + e_2 * y_1, s_22 + e_2 * y_2, s_23 + e_2 * y_3
                s_30, s_31, s_32, s_33 = s_30 + e_3 * y_0, s_31 + e_3 * y_1, s_32 + e_3 * y_2, s_33 + e_3 * y_3
            _add_four(out[i], k, s_00, s_01, s_02, s_03)
            _add_four(out[i + 1], k, s_10, s_11, s_12, s_13)
            _add_four(out[i + 2], k, s_20, s_21, s_22, s_23)
            _add_four(out[i + 3], k, s_30, s_31, s_32, s_33)
        for k in range(even, columns):
            x_0, s_00, s_10, s_20, s_30 = x[k], zero, zero, zero, zero
            for lane in lanes:
                y_0 = x_0[lane]
                s_00, s_10 = s_00 + d_0[lane] * y_0, s_10 + d_1[lane] * y_0
                s_20, s_30 = s_20 + d_2[lane] * y_0, s_30 + d_3[lane] * y_0
            out[i, k], out[i + 1, k] = out[i, k] + s_00, out[i + 1, k] + s_10
            out[i + 2, k], out[i + 3, k] = out[i + 2, k] + s_20, out[i + 3, k] + s_30
    for i in range(whole, rows):
        for k in range(columns):
            d_0, x_0, s_00 = d[i], x[k], zero
            for lane in lanes:
                s_00 += d_0[lane] * x_0[lane]
            out[i, k] += s_00


@compiled_fast
def copy(source: NDArray[np.floating], target: NDArray[np.floating]) -> None:
    """Fill ``target``; numba's own assignment allocates."""
    for place in range(target.size):
        target[place] = source[place]


@compiled_fast
def _activate(x: NDArray[np.floating], is_rectified: bool) -> None:
    """x becomes f(x)."""
    if is_rectified:
        zero = x.dtype.type(0.0)
        for place in range(x.size):
            x[place] = max(x[place], zero)
    else:
        write_tanh(x)


@compiled_fast
def forward(network: Network, values: NDArray[np.floating], work: NDArray[np.floating], lanes: int) -> None:
    """Write z_1, z_2, … and the outputs behind z_0, which ``work`` begins with."""
    first = 0
    for layer in range(network.weights.size):
        inputs, outputs = network.widths[layer], network.widths[layer + 1]
        last = first + inputs * lanes
        x = work[first:last].reshape((inputs, lanes))
        out = work[last : last + outputs * lanes].reshape((outputs, lanes))
        bias = values[network.biases[layer] :]
        for unit in range(outputs):
            out[unit, :] = bias[unit]
        place = network.weights[layer]
        _add_product(values[place : place + inputs * outputs].reshape((outputs, inputs)), x, out)
        if layer + 1 < network.weights.size:
            _activate(work[last : last + outputs * lanes], network.is_rectified)
        first = last


@compiled_fast
def _slope(z: NDArray[np.floating], d: NDArray[np.floating], is_rectified: bool) -> None:
    """d becomes d·f', told by z = f."""
    if is_rectified:
        zero = z.dtype.type(0.0)
        for place in range(z.size):
            d[place] = d[place] if z[place] > zero else zero
    else:
        for place in range(z.size):
            d[place] -= d[place] * z[place] * z[place]


@compiled_fast
def backward(
    network: Network,
    weights: Weights,
    work: NDArray[np.floating],
    delta: NDArray[np.floating],
    below: NDArray[np.floating],
    lanes: int,
) -> None:
    """Add the gradient of a tile; ``delta`` holds D of the last layer, and is used up as ``below`` is."""
    last = (network.widths.sum() - network.widths[-1]) * lanes  # behind the inputs of the layer
    for layer in range(network.weights.size - 1, -1, -1):
        inputs, outputs = network.widths[layer], network.widths[layer + 1]
        first = last - inputs * lanes
        x, d = work[first:last].reshape((inputs, lanes)), delta[: outputs * lanes].reshape((outputs, lanes))
        bias = weights.gradient[network.biases[layer] :]
        for unit in range(outputs):
            bias[unit] += d[unit].sum()
        place = network.weights[layer]
        _add_outer_product(d, x, weights.gradient[place : place + inputs * outputs].reshape((outputs, inputs)))
        if layer > 0:
            matrix = weights.values[place : place + inputs * outputs].reshape((outputs, inputs))
            below[: inputs * lanes] = 0.0
            _add_product(matrix.T, d, below[: inputs * lanes].reshape((inputs, lanes)))
            _slope(work[first : first + inputs * lanes], below, network.is_rectified)
            delta, below = below, delta
        last = first


@compiled_fast
def gather(
    observations: NDArray[np.floating],
    rows: NDArray[np.int64],
    shown: NDArray[np.floating],
    out: NDArray[np.floating],
    lanes: int,
) -> None:
    """Write the observations of ``rows``, times ``shown`` (feature), to ``out`` (feature, lane); zeros beyond."""
    features = shown.size
    x = out[: features * lanes].reshape((features, lanes))
    for first in range(0, lanes, VECTOR):
        few = min(VECTOR, rows.size - first)
        for feature in range(features):
            line = x[feature, first : first + VECTOR]
            line[:] = 0.0
            for lane in range(few):
                line[lane] = observations[rows[first + lane], feature] * shown[feature]


@compiled_fast
def move(weights: Weights, settings: AdamSettings, updates: int) -> None:
    """Clip the gradient to its longest norm and take step ``updates`` of Adam."""
    number = weights.values.dtype.type
    squares = number(0.0)
    for place in range(weights.gradient.size):
        squares += weights.gradient[place] * weights.gradient[place]
    clip = number(min(1.0, settings.max_grad_norm / (np.sqrt(squares) + 1e-6)))
    first, second = number(1.0 - settings.beta_1), number(1.0 - settings.beta_2)
    root = number(1.0 / np.sqrt(1.0 - settings.beta_2**updates))
    rate, eps = number(settings.learning_rate / (1.0 - settings.beta_1**updates)), number(settings.eps)
    for place in range(weights.gradient.size):
        gradient = weights.gradient[place] * clip
        mean = weights.mean[place] + first * (gradient - weights.mean[place])
        square = weights.square[place] + second * (gradient * gradient - weights.square[place])
        weights.mean[place], weights.square[place] = mean, square
        weights.values[place] -= rate * mean / (np.sqrt(square) * root + eps)


@compiled_fast
def lanes_for(rows: int) -> tuple[int, int, int]:
    """Tiles for so many rows, the rows of each, and its lanes."""
    tiles = -(-rows // TILE)
    width = -(-rows // tiles)
    return tiles, width, -(-width // VECTOR) * VECTOR
