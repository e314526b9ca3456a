"""Random streams without state: a uniform is a hash of (seed, episode, tick, stream, cell).

    sale key   = mix(mix(seed ^ domain) + episode)
    tick key   = mix(sale key + (tick + 1) · G)
    uniform    = (mix(tick key ^ mix(stream · 2^32 + cell)) >> 12 + ½) · 2^-52        in (0, 1)

``mix`` is the 64-bit finalizer of SplitMix64 and G its odd increment. Nothing is drawn in order, so the place of a sale
in a batch, the number of threads and what other mechanisms draw cannot matter: two policies on one seed meet the same
people (common random numbers), and a run can be resumed anywhere.

Source: Steele, Lea & Flood (2014), "Fast splittable pseudorandom number generators", OOPSLA, with the constants of
Stafford's variant 13; Salmon et al. (2011), "Parallel random numbers: as easy as 1, 2, 3", SC11, for the principle.

Left out: cryptographic strength; independence is tested (tests/sim/test_streams.py), not proven.
"""

import numpy as np
from numpy.typing import NDArray

from flashsim.sim.cache import compiled, compiled_inline, compiled_inside

# One name per use. A number, once given, is never used for anything else. (Plain ints would be literal types to numba,
# and every function that takes a stream compiled once for each.)
MEMBER = np.int64(1)
COMMON_FRAILTY = np.int64(2)
PRODUCT_FRAILTY = np.int64(3)
EXOGENOUS_VISITORS = np.int64(4)
ATTRACTED_VISITORS = np.int64(5)
SERVICE = np.int64(6)
ADMISSION_ORDER = np.int64(7)
TIMEOUTS = np.int64(8)
ABANDONMENT = np.int64(9)
CHOICE = np.int64(10)
PAYMENT = np.int64(11)
ROOM_ORDER = np.int64(12)
ROOM_ARRIVAL_ORDER = np.int64(13)
ROOM_PATIENCE = np.int64(14)
RETRYING = np.int64(15)
RETRY_RETURN = np.int64(16)
WATCHING = np.int64(17)
WATCH_RETURN = np.int64(18)
ANOTHER_UNIT = np.int64(19)
QUEUE_COMPLETIONS = np.int64(20)
QUEUE_IMPATIENCE = np.int64(21)
QUEUE_EVENTS = np.int64(22)
QUEUE_ORDER = np.int64(23)
FAILURE_TIME = np.int64(24)
QUEUE_PATH = np.int64(25)

ONLY = np.int64(0)  # the cell of a stream that is drawn from once a tick

TRAINING_DOMAIN = 0
EVALUATION_DOMAIN = 0x5DEECE66D1234567  # any constant: one set of sales is never the other

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_FIRST = np.uint64(0xBF58476D1CE4E5B9)
_SECOND = np.uint64(0x94D049BB133111EB)
_S30, _S27, _S31, _S12, _S32 = np.uint64(30), np.uint64(27), np.uint64(31), np.uint64(12), np.uint64(32)
_ONE = np.uint64(1)
_UNIT = 2.0**-52


@compiled_inline
def mix(x: np.uint64) -> np.uint64:
    """Bijective 64-bit finalizer: every input bit changes every output bit with probability near ½."""
    x = (x ^ (x >> _S30)) * _FIRST
    x = (x ^ (x >> _S27)) * _SECOND
    return x ^ (x >> _S31)


@compiled
def sale_key(seed: np.uint64, domain: np.uint64, episode: np.uint64) -> np.uint64:
    """Key of one sale; ``domain`` keeps training and evaluation apart."""
    return mix(mix(seed ^ domain) + episode)


@compiled_inside
def write_sale_keys(
    seed: NDArray[np.uint64],
    domain: np.uint64,
    episode: NDArray[np.uint64],
    opening: NDArray[np.bool_],
    keys: NDArray[np.uint64],
) -> None:
    """Write the key of the sale that opens to ``keys`` (lane), in every lane of ``opening``."""
    for lane in range(keys.shape[0]):
        if opening[lane]:
            keys[lane] = sale_key(seed[lane], domain, episode[lane])


@compiled
def write_tick_keys(keys: NDArray[np.uint64], tick: NDArray[np.int64], out: NDArray[np.uint64]) -> None:
    """Write the key of each lane's present tick to ``out``."""
    for lane in range(out.shape[0]):
        out[lane] = mix(keys[lane] + (np.uint64(tick[lane]) + _ONE) * _GOLDEN)


@compiled
def write_uniforms(tick_keys: NDArray[np.uint64], stream: int, cell: int, out: NDArray[np.float64]) -> None:
    """Write one uniform in (0, 1) a lane to ``out``; ``cell`` tells apart the draws of one stream in one tick."""
    address = mix((np.uint64(stream) << _S32) + np.uint64(cell))
    for lane in range(out.shape[0]):
        out[lane] = (np.float64(np.int64(mix(tick_keys[lane] ^ address) >> _S12)) + 0.5) * _UNIT


@compiled_inline
def uniform_at(tick_key: np.uint64, stream: int, cell: int) -> float:
    """The uniform of one lane and ``cell``: what :func:`write_uniforms` writes for that lane."""
    address = mix((np.uint64(stream) << _S32) + np.uint64(cell))
    return (np.float64(np.int64(mix(tick_key ^ address) >> _S12)) + 0.5) * _UNIT
