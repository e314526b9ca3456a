"""How far trainings in processes of their own are: one meter for all of them, with an end."""

import multiprocessing
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from agents.settings import AgentConfig
from experiments.launch.progress import progress_meter

SPAWN = multiprocessing.get_context("spawn")
"""How processes are started: a forked one would inherit threads in unknown states."""
_STEPS: list[Any] = []  # in a process of a pool: where it tells how far it is
_SECONDS_BETWEEN_LOOKS = 0.5


@contextmanager
def showing_trainings(configs: Sequence[AgentConfig], steps: Any) -> Iterator[None]:
    """On standard error, how far all trainings are together; ``steps`` is an array of those that each has made.

    Without locks, which a process that is killed would leave behind: a training writes to a place of its own.
    """
    is_over = threading.Event()

    def show() -> None:
        shown = 0
        total = sum(config.steps for config in configs)
        with progress_meter(f"training {len(configs)} networks", total=total) as advance:
            is_last = False
            while not is_last:
                is_last = is_over.wait(_SECONDS_BETWEEN_LOOKS)
                made = sum(steps)
                if made > shown:
                    advance(made - shown)
                    shown = made

    watcher = threading.Thread(target=show, daemon=True)
    watcher.start()
    try:
        yield
    finally:
        is_over.set()
        watcher.join()


def tell(steps: Any) -> None:
    """Let this process write to ``steps`` of :func:`showing_trainings` from now on."""
    _STEPS[:] = [steps]


@contextmanager
def training_meter(config: AgentConfig, number: int | None) -> Iterator[Callable[[int], object]]:
    """Progress of one training: a meter of its own, or place ``number`` in that of all."""
    if number is None or not _STEPS:
        with progress_meter(f"training {config.name}", total=config.steps) as advance:
            yield advance
        return
    steps = _STEPS[-1]

    def count(made: int) -> None:  # whole rollouts may play a little more than was asked for
        steps[number] = min(config.steps, steps[number] + made)

    yield count
