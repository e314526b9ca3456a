"""The same function of many items on all cores, in order, with the same digits for any number of processes.

Linear algebra adds in another order with another number of threads, so each process has one thread of it. An item goes
to a process of its own whatever their number; what it returns depends on the item alone.
"""

import multiprocessing
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from functools import partial
from multiprocessing import connection
from typing import Final, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")
THREADS_OF_ALGEBRA: Final = ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "OMP_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")
A_TASK: Final = 16
"""Items that are handed to a process at once."""
FEWEST: Final = 48
"""Fewer items are done in this process: starting others takes longer."""


def apply_in_order(
    function: Callable[[Item], Result], items: Sequence[Item], *, workers: int, progress: Callable[[int, int], None]
) -> Iterator[Result]:
    """Yield ``function`` of each item in order; ``progress`` is told how many are done, and of how many.

    With ``workers`` 0, or fewer than ``FEWEST`` items, this process does them. ``function`` must be importable.
    """
    if workers < 1 or len(items) < FEWEST:
        for done, item in enumerate(items, start=1):
            yield function(item)
            progress(done, len(items))
        return
    tasks = [items[start : start + A_TASK] for start in range(0, len(items), A_TASK)]
    context = multiprocessing.get_context("spawn")
    done = 0
    with (
        _one_thread_of_algebra(),
        ProcessPoolExecutor(min(workers, len(tasks)), mp_context=context, initializer=end_with_parent) as pool,
    ):
        for found in pool.map(partial(_apply, function), tasks):
            yield from found
            done += len(found)
            progress(done, len(items))


def _apply(function: Callable[[Item], Result], items: Sequence[Item]) -> list[Result]:
    return [function(item) for item in items]


@contextmanager
def _one_thread_of_algebra() -> Iterator[None]:
    """Processes that start meanwhile have one thread of linear algebra."""
    before = {name: os.environ.get(name) for name in THREADS_OF_ALGEBRA}
    os.environ.update(dict.fromkeys(THREADS_OF_ALGEBRA, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def end_with_parent() -> None:
    """End this process when the one that started it has ended, even by a signal: it would work for nobody."""
    parent = multiprocessing.parent_process()
    assert parent is not None

    def watch() -> None:
        connection.wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
