"""Where compiled code is kept.

Numba notices an edit only in the file that defines a compiled function, not in the files it calls. Compiled code is therefore
cached in a folder named by a hash of all sources it may come from: edit one, and everything is compiled anew.
"""

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numba


@contextmanager
def compiled_code_of(*folders: Path) -> Iterator[None]:
    """Functions decorated inside are cached under NUMBA_CACHE_DIR or the user's cache, keyed by the sources of ``folders``."""
    sources = [source for folder in folders for source in sorted(folder.glob("*.py"))]
    key = hashlib.sha256(b"".join(source.read_bytes() for source in sources)).hexdigest()[:16]
    caches = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    base = Path(os.environ.get("NUMBA_CACHE_DIR") or caches / "flashsim")
    before = numba.config.CACHE_DIR
    numba.config.CACHE_DIR = str(base / f"{folders[-1].name}-{key}")
    try:
        yield
    finally:
        numba.config.CACHE_DIR = before
