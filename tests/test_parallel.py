"""Work that is shared among processes comes back in order, with the same digits for any number of them."""

import os
from collections.abc import Callable

import numpy as np
import pytest

from flashsim.parallel import FEWEST, THREADS_OF_ALGEBRA, apply_in_order


def inverse_sum(seed: int) -> tuple[int, float, str | None]:
    """A number that depends on the threads of linear algebra, and what the process says of them."""
    matrix = np.random.default_rng(seed).standard_normal((200, 200))
    return seed, float(np.linalg.inv(matrix @ matrix.T + np.eye(200)).sum()), os.environ.get(THREADS_OF_ALGEBRA[0])


def told(seen: list[tuple[int, int]]) -> Callable[[int, int], None]:
    return lambda done, total: seen.append((done, total))


def test_any_number_of_workers_gives_the_same_digits_in_order() -> None:
    seen: list[tuple[int, int]] = []
    items, before = list(range(FEWEST)), os.environ.get(THREADS_OF_ALGEBRA[0])
    one, two = (list(apply_in_order(inverse_sum, items, workers=n, progress=told(seen))) for n in (1, 2))
    assert one == two
    assert [place for place, _, _ in one] == items
    assert {threads for _, _, threads in one} == {"1"}
    assert os.environ.get(THREADS_OF_ALGEBRA[0]) == before
    assert seen[-1] == (FEWEST, FEWEST)


def test_few_items_and_no_worker_stay_in_this_process() -> None:
    seen: list[tuple[int, int]] = []
    for items, workers in ([1, 2], 4), (list(range(FEWEST)), 0):
        found = list(apply_in_order(lambda item: (item, os.getpid()), items, workers=workers, progress=told(seen)))
        assert found == [(item, os.getpid()) for item in items]
    assert seen[:2] == [(1, 2), (2, 2)]


def fail_at_thirty(item: int) -> int:
    if item == 30:
        raise ValueError("thirty")
    return item


def test_what_fails_in_a_process_fails_here() -> None:
    with pytest.raises(ValueError, match="thirty"):
        list(apply_in_order(fail_at_thirty, list(range(FEWEST)), workers=2, progress=told([])))
