"""How functions are compiled, and where compiled code is kept.

Numba notices an edit only in the file that defines a compiled function, not in the files it calls. Compiled code is
therefore cached in a folder named by a hash of all sources it may come from: edit one, and everything is compiled anew.
"""

import functools
import hashlib
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import numba
from numba import njit

_RULES: dict[str, Any] = {"cache": True, "nogil": True, "error_model": "numpy", "_nrt": False}
compiled = njit(**_RULES)
"""Decorator of a function over the lanes of a tile.

Dividing by zero gives inf or nan, as in numpy: for Python's error each division would need a test before it, and loops
with such tests are not vectorized. Arrays are neither made nor owned (numba's ``_nrt=False``): counting who holds some
hundred views a tick doubles the code to compile and the cost of a call. So such a function allocates nothing, which the
simulator never does, and returns no array to Python.
"""
compiled_inside = njit(**_RULES | {"no_cpython_wrapper": True, "no_cfunc_wrapper": True})
"""The same for functions that compiled code alone calls: without an entry from Python they compile faster, above all
those that take whole tables, states and ledgers."""
compiled_inline = njit(**_RULES | {"inline": "always"})
"""The same for a function that becomes part of its caller: small ones of scalars, and those called from one place, for
a function of its own is optimized once by itself and again with each that calls it."""


@functools.cache
def announce_compiling(function: Any) -> None:
    """Say on standard error that ``function`` and what it calls are about to be compiled; nothing if that was done."""
    config: Any = numba.config
    if config.DISABLE_JIT or function.signatures:
        return
    source = Path(function.py_func.__code__.co_filename).stem
    if not any(Path(function.stats.cache_path).glob(f"{source}.{function.__name__}-*.nbi")):
        print("flashsim: compiling the simulator, about a minute, once", file=sys.stderr, flush=True)


def bound(function: Any, arguments: tuple[Any, ...]) -> Callable[..., Any]:
    """``function`` as it is compiled for the types of ``arguments``: it takes no others, and does not look.

    At every call numba finds out the types of all arguments, which for tables, states and ledgers of some two hundred
    arrays takes longer than a step of one sale. They stay what they are as long as a batch lives: bind once.
    """
    config: Any = numba.config
    if config.DISABLE_JIT:
        return cast(Callable[..., Any], function)
    return cast(Callable[..., Any], function.compile(tuple(function.typeof_pyval(value) for value in arguments)))


@contextmanager
def compiled_code_of(*places: Path) -> Iterator[None]:
    """Cache what is decorated inside under NUMBA_CACHE_DIR or the user's cache, keyed by the sources in ``places``.

    A place is a folder of sources or a single one; the last gives the cache its name.
    """
    sources = [source for place in places for source in (sorted(place.glob("*.py")) if place.is_dir() else [place])]
    key = hashlib.sha256(b"".join(source.read_bytes() for source in sources)).hexdigest()[:16]
    caches = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    base = Path(os.environ.get("NUMBA_CACHE_DIR") or caches / "flashsim")
    config: Any = numba.config
    before = config.CACHE_DIR
    config.CACHE_DIR = str(base / f"{places[-1].name}-{key}")
    try:
        yield
    finally:
        config.CACHE_DIR = before
