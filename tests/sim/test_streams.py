"""Random streams are the hash that their module describes, uniform, and strangers to one another."""

import re
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats

from flashsim.sim import streams
from tests.sim.draws import uniforms

WORD = 2**64
COUNT = 100_000


def mixed(x: int) -> int:
    """SplitMix64's finalizer (Stafford's variant 13) on whole numbers, from the paper."""
    x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9 % WORD
    x = (x ^ (x >> 27)) * 0x94D049BB133111EB % WORD
    return x ^ (x >> 31)


def uniform_by_hand(*, seed: int, domain: int, episode: int, tick: int, stream: int, cell: int) -> float:
    """The three equations of the module."""
    sale = mixed((mixed(seed ^ domain) + episode) % WORD)
    moment = mixed((sale + (tick + 1) * 0x9E3779B97F4A7C15) % WORD)
    return ((mixed(moment ^ mixed(stream * 2**32 + cell)) >> 12) + 0.5) / 2.0**52


@given(
    seed=st.integers(0, WORD - 1),
    domain=st.sampled_from([streams.TRAINING_DOMAIN, streams.EVALUATION_DOMAIN]),
    episode=st.integers(0, 2**40),
    tick=st.integers(0, 2**31),
    stream=st.integers(1, 2**31 - 1),
    cell=st.integers(0, 2**31 - 1),
)
def test_a_uniform_is_the_hash_of_its_address(
    seed: int, domain: int, episode: int, tick: int, stream: int, cell: int
) -> None:
    drawn = uniforms(seed, domain=domain, episode=episode, tick=tick, stream=stream, cell=cell)[0]
    by_hand = uniform_by_hand(seed=seed, domain=domain, episode=episode, tick=tick, stream=stream, cell=cell)
    assert drawn == by_hand
    assert 0.0 < drawn < 1.0


@cache
def long_runs() -> dict[str, NDArray[np.float64]]:
    """Long runs of uniforms whose addresses differ in one part of the key only."""
    by_seed = np.arange(COUNT)
    return {
        "seed": uniforms(by_seed),
        "seed 2^32 apart": uniforms(by_seed * 2**32),
        "tick": uniforms(5, tick=np.arange(COUNT)),
        "episode": np.concatenate([uniforms(np.arange(100), episode=e) for e in range(COUNT // 100)]),
        "stream": np.concatenate([uniforms(np.arange(1000), stream=s) for s in range(1, COUNT // 1000)]),
        "cell": np.concatenate([uniforms(np.arange(1000), cell=c) for c in range(COUNT // 1000)]),
        "evaluation": uniforms(by_seed, domain=streams.EVALUATION_DOMAIN),
    }


@pytest.mark.parametrize("kind", list(long_runs()))
def test_uniforms_are_uniform_along_every_part_of_the_key(kind: str) -> None:
    drawn = long_runs()[kind]
    assert stats.kstest(drawn, "uniform").pvalue > 1e-4
    low_bits = (drawn * 2.0**52 - 0.5).astype(np.int64) % 16
    assert stats.chisquare(np.bincount(low_bits, minlength=16)).pvalue > 1e-4


@cache
def neighbours() -> dict[str, tuple[NDArray[np.float64], NDArray[np.float64]]]:
    """Pairs of runs whose addresses differ by one step."""
    seeds = np.arange(COUNT)
    base = uniforms(seeds)
    return {
        "next cell": (base, uniforms(seeds, cell=1)),
        "next tick": (base, uniforms(seeds, tick=1)),
        "next stream": (base, uniforms(seeds, stream=2)),
        "next seed": (base, uniforms(seeds + 1)),
        "next episode": (base, uniforms(seeds, episode=1)),
        "other domain": (base, uniforms(seeds, domain=streams.EVALUATION_DOMAIN)),
        "seed against episode": (uniforms(seeds, episode=1), uniforms(seeds + 1)),
    }


@pytest.mark.parametrize("kind", list(neighbours()))
def test_neighbours_are_not_correlated(kind: str) -> None:
    first, second = neighbours()[kind]
    assert not np.array_equal(first, second)
    limit = 4.5 / np.sqrt(COUNT)
    assert abs(np.corrcoef(first, second)[0, 1]) < limit
    assert abs(np.corrcoef((first - 0.5) ** 2, (second - 0.5) ** 2)[0, 1]) < limit
    table = np.histogram2d(first, second, bins=10, range=[[0, 1], [0, 1]])[0]
    assert stats.chisquare(table.ravel()).pvalue > 1e-4


def test_training_and_evaluation_share_no_sale() -> None:
    """A training sale of seed s is the evaluation sale of seed s ^ bit pattern, which is no seed that is ever given."""
    seeds = np.arange(2000)
    training, evaluation = uniforms(seeds), uniforms(seeds, domain=streams.EVALUATION_DOMAIN)
    assert not set(training) & set(evaluation)
    assert streams.EVALUATION_DOMAIN > 2**62


def test_every_stream_has_a_number_of_its_own() -> None:
    """Two names for one number would tie the draws of two mechanisms together."""
    source = Path(streams.__file__).read_text(encoding="utf-8")
    numbers = [int(number) for number in re.findall(r"^[A-Z_]+ = np\.int64\((\d+)\)$", source, re.MULTILINE)]
    named = [number for number in numbers if number > 0]
    assert len(named) >= 23
    assert len(set(named)) == len(named)
