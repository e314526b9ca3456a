"""What every test shares: quiet figures, repeatable generated inputs, and no GPU test where there is no GPU."""

import os
from pathlib import Path

import hypothesis
import pytest

os.environ.setdefault("MPLBACKEND", "Agg")
os.environ.setdefault("OMP_NUM_THREADS", "1")  # small networks need no more, and threads that wait hold a core

# Each of several workers keeps compiled code of its own: numba writes the index of its cache without a lock.
if worker := os.environ.get("PYTEST_XDIST_WORKER"):
    caches = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    os.environ.setdefault("NUMBA_CACHE_DIR", str(caches / "flashsim" / worker))

# Generated inputs are the same on every run and leave no database behind; `--hypothesis-profile=explore` searches anew.
# No deadline: the first call of a compiled function is slow.
hypothesis.settings.register_profile("repeatable", deadline=None, derandomize=True, database=None)
hypothesis.settings.register_profile("explore", deadline=None, database=None, max_examples=1000)
hypothesis.settings.load_profile("repeatable")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip the tests marked `gpu` where torch sees no CUDA device; torch is imported only when there are such tests."""
    marked = [item for item in items if item.get_closest_marker("gpu")]
    if not marked:
        return
    import torch  # noqa: PLC0415  (seconds to import, and most runs have no such test)

    if not torch.cuda.is_available():
        for item in marked:
            item.add_marker(pytest.mark.skip(reason="torch sees no CUDA device"))
