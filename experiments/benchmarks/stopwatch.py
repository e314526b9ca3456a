"""Timing of cases side by side: interleaved, so that a busy machine is busy for all of them; medians; CPU time too."""

import os
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from experiments.launch.progress import progress


@dataclass(frozen=True)
class Speed:
    """Median speed of one case."""

    per_second: float
    """Things done a second of wall time."""
    per_cpu_second: float
    """Things done a second of CPU time, all threads together."""
    load: float
    """Load average of the last minute, median over the repeats."""


def measure(cases: Mapping[str, Callable[[], int]], *, seconds: float, repeats: int) -> dict[str, Speed]:
    """Run the cases in turn, ``repeats`` times, each for about ``seconds``; a case returns how many things it did."""
    for run in cases.values():
        run()  # whatever happens only once
    seen: dict[str, list[tuple[float, float, float]]] = {name: [] for name in cases}
    for _ in progress(range(repeats), "measuring"):
        for name, run in cases.items():
            done, cpu, wall = 0, time.process_time(), time.perf_counter()
            while time.perf_counter() < wall + seconds or done == 0:
                done += run()
            elapsed, used = time.perf_counter() - wall, time.process_time() - cpu
            seen[name].append((done / elapsed, done / max(used, 1e-9), os.getloadavg()[0]))
    return {name: Speed(*map(statistics.median, zip(*rows, strict=True))) for name, rows in seen.items()}
