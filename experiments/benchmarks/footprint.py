"""What the simulator takes besides steps: bytes of a sale, memory of many sales, seconds of a start."""

import os
import resource
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import Any

import numpy as np

from experiments.benchmarks.sale import make_sale
from flashsim.evaluation.rollout import play
from flashsim.rules import list_price
from flashsim.sim.engine import Batch


def size(value: Any) -> int:
    """Bytes of all arrays in nested tuples."""
    return value.nbytes if isinstance(value, np.ndarray) else sum(map(size, value))


def state_bytes() -> float:
    """Bytes that the simulator remembers of one sale."""
    batch = Batch(make_sale().tables, 64, domain=0)
    return size(batch.state) / 64


def megabytes_of_sales(sales: int, *, chunk: int) -> float:
    """Peak memory, MB, of a process that plays ``sales`` sales, ``chunk`` at a time, and keeps their totals."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process:
        return process.submit(_play_in_chunks, sales, chunk).result()


def _play_in_chunks(sales: int, chunk: int) -> float:
    sale = make_sale()
    policy = list_price(sale)
    kept = [play(sale, policy, sales=min(chunk, sales - first), seed=first).totals for first in range(0, sales, chunk)]
    assert len(kept) == -(-sales // chunk)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1e6 if sys.platform == "darwin" else 1e3)


def start_seconds() -> dict[str, float]:
    """Seconds from the start of Python to the first step of one env, when nothing is compiled yet and when all is."""
    with tempfile.TemporaryDirectory() as cache:
        return {name: _seconds(cache) for name in ("first start, compiling", "warm start")}


def _seconds(cache: str) -> float:
    started = time.perf_counter()
    environment = os.environ | {"NUMBA_CACHE_DIR": cache}
    subprocess.run([sys.executable, "-m", "experiments.benchmarks.sale"], env=environment, check=True)
    return time.perf_counter() - started
