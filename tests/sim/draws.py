"""The samplers and streams of the simulated sale, called with one draw a lane."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from flashsim.sim.samplers import make_workspace, write_binomial, write_exp, write_log, write_normal, write_poisson
from flashsim.sim.streams import sale_key, write_tick_keys, write_uniforms


def reals(values: ArrayLike, lanes: int) -> NDArray[np.float64]:
    """``values`` spread over ``lanes``, in memory of their own."""
    return np.array(np.broadcast_to(np.asarray(values, np.float64), (lanes,)))


def exponentials(x: NDArray[np.float64]) -> NDArray[np.float64]:
    out = np.zeros_like(x)
    write_exp(x, out)
    return out


def logarithms(x: NDArray[np.float64]) -> NDArray[np.float64]:
    out = np.zeros_like(x)
    write_log(x, out)
    return out


def normals(uniform: NDArray[np.float64]) -> NDArray[np.float64]:
    out = np.zeros_like(uniform)
    write_normal(uniform, out, make_workspace(uniform.size))
    return out


def poisson_counts(mean: ArrayLike, uniform: ArrayLike) -> NDArray[np.int64]:
    lanes = np.broadcast_shapes(np.shape(mean), np.shape(uniform), (1,))[0]
    out = np.zeros(lanes, np.int64)
    write_poisson(reals(mean, lanes), reals(uniform, lanes), out, make_workspace(lanes))
    return out


def binomial_counts(trials: ArrayLike, chance: ArrayLike, uniform: ArrayLike) -> NDArray[np.int64]:
    lanes = np.broadcast_shapes(np.shape(trials), np.shape(chance), np.shape(uniform), (1,))[0]
    out = np.zeros(lanes, np.int64)
    many = np.array(np.broadcast_to(np.asarray(trials, np.int64), (lanes,)))
    write_binomial(many, reals(chance, lanes), reals(uniform, lanes), out, make_workspace(lanes))
    return out


def uniforms(
    seeds: ArrayLike, *, episode: int = 0, tick: ArrayLike = 0, stream: int = 1, cell: int = 0, domain: int = 0
) -> NDArray[np.float64]:
    """One uniform a lane; lanes differ in seed or tick."""
    lanes = np.broadcast_shapes(np.shape(seeds), np.shape(tick), (1,))[0]
    seed = np.broadcast_to(np.asarray(seeds, np.uint64), (lanes,))
    keys = np.array([sale_key(s, np.uint64(domain), np.uint64(episode)) for s in seed], np.uint64)
    ticks = np.array(np.broadcast_to(np.asarray(tick, np.int64), (lanes,)))
    tick_keys, out = np.zeros(lanes, np.uint64), np.zeros(lanes)
    write_tick_keys(keys, ticks, tick_keys)
    write_uniforms(tick_keys, stream, cell, out)
    return out
