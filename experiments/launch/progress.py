"""How far a long job is: a bar in a terminal, elsewhere (logs, CI) a line every ten seconds. On standard error."""

import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sized
from contextlib import ExitStack, contextmanager
from typing import TypeVar

from tqdm import tqdm

Item = TypeVar("Item")

SECONDS_BETWEEN_LINES = 10.0


def progress(items: Iterable[Item], description: str, *, total: int | None = None) -> Iterator[Item]:
    """Yield the items and show how many were done; ``total`` where the items do not know their length."""
    if total is None and isinstance(items, Sized):
        total = len(items)
    with progress_meter(description, total=total) as advance:
        for item in items:
            yield item
            advance(1)


@contextmanager
def progress_meter(description: str, *, total: int | None = None) -> Iterator[Callable[[int], object]]:
    """Give a function that is told how much more was done, such as the steps of a learner's rollout."""
    if sys.stderr.isatty():
        with tqdm(desc=description, total=total, file=sys.stderr, leave=False) as bar:
            yield bar.update
    else:
        lines = _Lines(description, total)
        yield lines.advance
        lines.end()


@contextmanager
def progress_by_stage() -> Iterator[Callable[[str, int, int], None]]:
    """Give a function that is told a stage, how much of it is done and how much there is, one stage after the other."""
    with ExitStack() as meters:
        seen: dict[str, tuple[Callable[[int], object], int]] = {}

        def tell(stage: str, done: int, total: int) -> None:
            if stage not in seen:
                meters.close()
                seen[stage] = meters.enter_context(progress_meter(stage, total=total)), 0
            advance, before = seen[stage]
            advance(done - before)
            seen[stage] = advance, done

        yield tell


class _Lines:
    def __init__(self, description: str, total: int | None) -> None:
        self.description = description
        self.total = total
        self.done = 0
        self.started = self.printed = time.monotonic()

    def advance(self, count: int) -> None:
        self.done += count
        now = time.monotonic()
        if now - self.printed >= SECONDS_BETWEEN_LINES:
            self._print(now)

    def end(self) -> None:
        """Print how far the job came, where lines were printed before."""
        if self.printed > self.started:
            self._print(time.monotonic())

    def _print(self, now: float) -> None:
        self.printed = now
        share = f" of {self.total:,} ({self.done / self.total:.0%})" if self.total else ""
        print(f"{self.description}: {self.done:,}{share}, {now - self.started:.0f} s", file=sys.stderr, flush=True)
