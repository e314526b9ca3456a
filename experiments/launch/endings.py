"""How a program is told to stop, and what it says where people look.

SIGTERM ends like Ctrl-C: as an exception, so that everything open is closed and what can go on says how. A signal that
reaches this process alone ends its helpers, too, or it would wait for them. What is printed holds no character that
moves the cursor or turns the line around, whatever names the data have. When nobody reads it any more, as behind
``| head``, a program ends like other commands do, quietly and with 141.
"""

import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Iterator
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack, contextmanager, redirect_stderr, redirect_stdout, suppress
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn, TextIO

from flashsim.errors import InputError
from flashsim.files import DISK_FULL, cannot_write
from flashsim.shown import visible


class Terminated(KeyboardInterrupt):
    """SIGTERM came; caught wherever Ctrl-C is."""


class Unheard(KeyboardInterrupt):
    """Whoever read what is printed has gone; caught wherever Ctrl-C is."""


def end(code: int, sentence: str = "") -> NoReturn:
    """Say the sentence on standard error, if there is one and anybody listens, and exit."""
    if sentence:
        with suppress(OSError):
            print(sentence, file=sys.stderr, flush=True)
    for stream in (sys.stdout, sys.stderr):
        try:
            if stream is not None:
                stream.flush()
        except OSError:  # Python would try once more when it exits, and complain
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
    sys.exit(code)


@contextmanager
def signals_as_exceptions() -> Iterator[None]:
    """Within the block SIGTERM raises :class:`Terminated`; it and Ctrl-C end the helper processes of this one.

    A signal that is ignored, as in what a shell runs behind, stays so. Only the main thread can be told.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    taken = {
        number: handler for number, handler in before.items() if handler in (signal.SIG_DFL, signal.default_int_handler)
    }
    for number in taken:
        signal.signal(number, _stop)
    try:
        yield
    finally:
        for number, handler in taken.items():
            if signal.getsignal(number) is _stop:
                signal.signal(number, handler)


def _stop(number: int, _frame: FrameType | None) -> None:
    for helper in multiprocessing.active_children():
        helper.terminate()
    raise Terminated if number == signal.SIGTERM else KeyboardInterrupt


@contextmanager
def system_faults_as_input_errors(folder: Path) -> Iterator[None]:
    """Tell as InputError, wherever a library meets it: a full disk, an output ``folder`` that was taken away or closed
    while the program ran, and a helper that the system ended."""
    try:
        yield
    except OSError as error:
        name = os.fsdecode(error.filename) if isinstance(error.filename, str | bytes) else None
        if error.errno in DISK_FULL:
            raise cannot_write(name or "all results", error) from error
        if not folder.is_dir():
            raise InputError(f"the output folder {folder} was moved or removed while the program ran") from error
        if name is None or not Path(name).absolute().is_relative_to(folder.absolute()):
            raise
        raise cannot_write(name, error) from error
    except BrokenProcessPool as error:
        raise InputError(
            "the system ended a process that worked for this one, perhaps for want of memory; "
            "close other programs, or choose less: fewer learners, a smaller buffer"
        ) from error


@contextmanager
def visible_output() -> Iterator[None]:
    """Within the block standard output, and standard error outside a terminal, show control characters as escapes.

    In a terminal the bar of progress moves the cursor on standard error; sentences go through
    :func:`flashsim.shown.visible` before.
    """
    with ExitStack() as streams:
        if sys.stdout is not None:  # it is None where a shell has closed it
            streams.enter_context(redirect_stdout(_VisibleStream(sys.stdout, "standard output")))
        if sys.stderr is not None and not sys.stderr.isatty():
            streams.enter_context(redirect_stderr(_VisibleStream(sys.stderr, "standard error")))
        try:
            yield
        except SystemExit:  # of --help
            _flush()
            raise
        _flush()


def _flush() -> None:
    if sys.stdout is not None:
        sys.stdout.flush()


class _VisibleStream:
    """A text stream on top of another, called ``name`` in sentences."""

    def __init__(self, below: TextIO, name: str) -> None:
        self._below, self._name = below, name

    def write(self, text: str) -> int:
        with self._telling():
            self._below.write(visible(text, keep="\n\t"))
        return len(text)

    def writelines(self, lines: Any) -> None:
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        with self._telling():
            self._below.flush()

    @contextmanager
    def _telling(self) -> Iterator[None]:
        try:
            yield
        except BrokenPipeError as error:
            raise Unheard from error
        except OSError as error:
            raise InputError(
                f"cannot print to {self._name}: {error.strerror}; print elsewhere, what was written until now is kept"
            ) from error

    def __getattr__(self, name: str) -> Any:
        return getattr(self._below, name)
