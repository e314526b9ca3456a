"""Probes: observations of a bundle whose actions are replayed at every load.

What a policy meets when it plays may never try its guard-rails, and then a bundle that lost them would pass. So cases
are added in which the network alone would break each of them: first of those met, then of mixtures of them, then of any
observations.
"""

from collections.abc import Callable, Iterator
from typing import Final

import numpy as np
from numpy.typing import NDArray

CASES: Final = 16
"""Railed cases that are added, of each column of the action."""
MOST_PROBES: Final = 2**14
"""That a bundle holds; more would only make its load slow."""
_TRIED: Final = 1024  # observations in a round
_ROUNDS: Final = 4


def railed_cases(
    guarded: Callable[[NDArray[np.float32]], NDArray[np.bool_]], probes: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Observations (case, feature) in which a guard-rail chose otherwise than the network.

    ``guarded`` says where it did, (observation, column), and ``probes`` (probe, feature) are observations that were
    met. There are none of a column whose network keeps to its guard-rail in all that was tried. Equal arguments give
    equal cases.
    """
    found: dict[int, NDArray[np.float32]] = {}
    for tried in _candidates(probes):
        acted = guarded(tried)
        for column in range(acted.shape[1]):
            rows = np.flatnonzero(acted[:, column])[:CASES]
            if rows.size and column not in found:
                found[column] = tried[rows]
    return np.concatenate([probes[:0], *(found[column] for column in sorted(found))])


def _candidates(probes: NDArray[np.float32]) -> Iterator[NDArray[np.float32]]:
    rng = np.random.default_rng(0)
    yield probes
    for _ in range(_ROUNDS):
        yield rng.permuted(rng.choice(probes, _TRIED), axis=0)
    for _ in range(_ROUNDS):
        yield rng.random((_TRIED, probes.shape[1]), dtype=np.float32)
