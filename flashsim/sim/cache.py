"""How functions are compiled, and where compiled code is kept.

Numba notices an edit only in the file that defines a compiled function, not in the files it calls, and it keeps code by
the path of that file. Here compiled code is kept by content: in a folder named by a hash of all sources it may come
from and of numba's version. Edit one, and everything is compiled anew; a second checkout of the same sources compiles
nothing. What is kept are pickles, which are opened by path whenever a function is first called: the folder must be the
user's own, and none above it one in which everybody may write.
"""

import errno
import functools
import hashlib
import os
import stat
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, cast

import numba
from numba import njit
from numba.core.caching import CompileResultCacheImpl, FunctionCache, NullCache, UserProvidedCacheLocator

from flashsim.sim.machine_code import COMPILES_ENTRIES, COMPILES_PIECES

_FOLDER: list[Path | None] = []  # of the sources that are being imported; None where nothing can be kept


class _ByContent(UserProvidedCacheLocator):
    """Finds kept code in the present folder, wherever the source lies."""

    def __init__(self, py_func: Any, py_file: str) -> None:
        self._py_file = py_file
        self._lineno = py_func.__code__.co_firstlineno
        self._cache_path = str(_FOLDER[-1])

    def ensure_cache_path(self) -> None:
        """Make the folder, for this user alone."""
        _make_own(Path(self._cache_path))

    @classmethod
    def from_function(cls, py_func: Any, py_file: str) -> "_ByContent":
        return cls(py_func, py_file)


class _InFolder(CompileResultCacheImpl):
    _locator_classes = [_ByContent]  # noqa: RUF012  (as numba has it)


class _KeptCode(FunctionCache):
    """Numba's cache of a function; what cannot be read or written is compiled anew and said once."""

    _impl_class = _InFolder

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        """The kept code for ``sig``, None where there is none that can be read, or others could have put it there."""
        if _what_is_wrong_with(Path(self.cache_path)) is not None:
            return None
        try:
            return super().load_overload(sig, target_context)  # type: ignore[no-untyped-call]
        except Exception as error:  # noqa: BLE001  (a pickle that was cut short can raise anything)
            _say_once(f"compiled code in {self.cache_path} cannot be read ({_kind(error)}); compiling it anew")
            with suppress(OSError):
                self.flush()  # type: ignore[no-untyped-call]
            return None

    def save_overload(self, sig: Any, data: Any) -> None:
        """Keep compiled code."""
        try:
            super().save_overload(sig, data)  # type: ignore[no-untyped-call]
        except OSError as error:
            _say_once(f"compiled code cannot be kept in {self.cache_path} ({_kind(error)}); the next start is slow")


def _kind(error: Exception) -> str:
    return error.strerror or type(error).__name__ if isinstance(error, OSError) else type(error).__name__


@functools.cache
def _say_once(what: str) -> None:
    print(f"flashsim: {what}", file=sys.stderr, flush=True)


_RULES: dict[str, Any] = {"nogil": True, "error_model": "numpy", "_nrt": False, "no_cfunc_wrapper": True}


def compiled_inside(function: Callable[..., Any], **rules: Any) -> Any:
    """Decorator of a function over the lanes of a tile that compiled code alone calls.

    Dividing by zero gives inf or nan, as in numpy: for Python's error each division would need a test before it, and
    loops with such tests are not vectorized. Arrays are neither made nor owned (numba's ``_nrt=False``): counting who
    holds some hundred views a tick doubles the code to compile and the cost of a call. So such a function allocates
    nothing, which the simulator never does, and returns no array to Python.
    """
    every: dict[str, Any] = _RULES | {"pipeline_class": COMPILES_PIECES, "no_cpython_wrapper": True}
    made: Any = njit(**every | rules)(function)
    config: Any = numba.config
    if not config.DISABLE_JIT:  # numba would call an address that is none
        made._insert, made._compile_for_args = _leave_out, functools.partial(_refuse, function.__name__)
    return made


def _leave_out(*_overload: Any, **_more: Any) -> None:
    """There is no machine code of its own that Python could call."""


def _refuse(name: str, *_arguments: Any, **_more: Any) -> None:
    raise TypeError(f"{name} is called by compiled code alone; call its py_func, or make it `compiled`")


def compiled_inline(function: Callable[..., Any]) -> Any:
    """The same for a function that becomes part of its caller: small ones of scalars, and those called from one place
    with whole tables, states and ledgers, which cost more to pass than to compile."""
    return compiled_inside(function, inline="always")


def compiled(function: Callable[..., Any], **rules: Any) -> Any:
    """The same for a function that Python calls, too; for modules that are imported inside :func:`compiled_code_of`.

    What Python calls is kept, with all that it calls in turn. Compiled code calls the function itself, without what
    it takes to be called from Python.
    """
    config: Any = numba.config
    if config.DISABLE_JIT:
        return function
    inside = compiled_inside(function, **rules)
    every: dict[str, Any] = _RULES | {"pipeline_class": COMPILES_ENTRIES}
    made: Any = njit(**every | rules)(function)
    made.get_call_template, made.get_overload = inside.get_call_template, inside.get_overload
    kept: Any = NullCache if _FOLDER[-1] is None else functools.partial(_KeptCode, function)
    made._cache = kept()  # what ``cache=True`` sets
    return made


def compiled_fast(function: Callable[..., Any]) -> Any:
    """The same for learners, never for the simulator: products and sums may be fused, and sums taken in the order that
    vectors take them. That order depends on the processor, not on the run."""
    return compiled(function, fastmath={"contract", "nsz", "reassoc"})


@functools.cache
def announce_compiling(function: Any) -> None:
    """Say on standard error that ``function`` and what it calls are about to be compiled; nothing if that was done."""
    config: Any = numba.config
    if config.DISABLE_JIT or function.signatures:
        return
    source, folder = Path(function.py_func.__code__.co_filename).stem, function.stats.cache_path
    if folder is None or not any(Path(folder).glob(f"{source}.{function.__name__}-*.nbi")):
        once = "" if folder is None else ", once"
        print(f"flashsim: compiling the simulator, about a minute{once}", file=sys.stderr, flush=True)


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
def compiled_code_of(*places: Path) -> Iterator[Path | None]:
    """Keep what is decorated inside under NUMBA_CACHE_DIR or the user's cache, keyed by the sources in ``places``.

    A place is a folder of sources or a single one; the last gives the folder its name. Yields the folder, or None where
    it cannot be had or others could put code there: then nothing is kept, and standard error says why.
    """
    sources = [source for place in places for source in (sorted(place.glob("*.py")) if place.is_dir() else [place])]
    content = b"".join(source.read_bytes() for source in sources)
    key = hashlib.sha256(numba.__version__.encode() + content).hexdigest()[:16]
    _FOLDER.append(_own_folder(f"{places[-1].name}-{key}"))
    try:
        yield _FOLDER[-1]
    finally:
        _FOLDER.pop()


def _own_folder(name: str) -> Path | None:
    """Where compiled code called ``name`` is kept; None if it cannot be, or others could put code there."""
    try:
        caches = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
        folder = Path(os.environ.get("NUMBA_CACHE_DIR") or caches / "flashsim").resolve() / name
        why = _what_is_wrong_with(folder)
    except (OSError, RuntimeError) as error:  # RuntimeError: there is no home
        folder, why = Path(name), _kind(error)
    if why is None:
        return folder
    _say_once(f"compiled code is not kept in {folder} ({why}); set NUMBA_CACHE_DIR to a folder of your own")
    return None


def _make_own(folder: Path) -> None:
    """Make ``folder`` and those above it that are missing, for this user alone; OSError if others could write there."""
    for place in (*reversed(folder.parents), folder):
        place.mkdir(mode=0o700, exist_ok=True)
    if (why := _what_is_wrong_with(folder)) is not None:
        raise PermissionError(errno.EACCES, why)


def _what_is_wrong_with(folder: Path) -> str | None:
    """Why no code can be kept in ``folder``, which holds no link above it; None if it can, by this user alone.

    It must be the user's own. Every folder above it is looked at, too: in one in which everybody may write others could
    put one of theirs in place of the next, unless its sticky bit lets the owner alone do that.
    """
    for place in (*reversed(folder.parents), folder):
        if not (place.exists() or place.is_symlink()):
            return None if os.access(place.parent, os.W_OK | os.X_OK) else f"{place.parent} cannot be written"
        facts = place.lstat()
        if not stat.S_ISDIR(facts.st_mode):
            return f"{place} is no folder"
        is_everybodys = facts.st_mode & stat.S_IWOTH and not facts.st_mode & stat.S_ISVTX
        if is_everybodys or (place == folder and (facts.st_uid != os.geteuid() or facts.st_mode & 0o022)):
            return f"others may write in {place}"
    return None if os.access(folder, os.W_OK | os.X_OK) else f"{folder} cannot be written"
