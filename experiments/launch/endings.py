"""How a program is told to stop, and what it says where people look.

SIGTERM ends like Ctrl-C: as an exception, so that everything open is closed and what can go on says how. A signal that
reaches this process alone ends its helpers, too, or it would wait for them. What is printed holds no character that
moves the cursor or turns the line around, whatever names the data have.
"""

import multiprocessing
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, redirect_stderr, redirect_stdout
from types import FrameType
from typing import Any, TextIO

from flashsim.shown import visible


class Terminated(KeyboardInterrupt):
    """SIGTERM came; caught wherever Ctrl-C is."""


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
def visible_output() -> Iterator[None]:
    """Within the block standard output, and standard error outside a terminal, show control characters as escapes.

    In a terminal the bar of progress moves the cursor on standard error; sentences go through
    :func:`flashsim.shown.visible` before.
    """
    with ExitStack() as streams:
        streams.enter_context(redirect_stdout(_VisibleStream(sys.stdout)))
        if not sys.stderr.isatty():
            streams.enter_context(redirect_stderr(_VisibleStream(sys.stderr)))
        yield


class _VisibleStream:
    """A text stream on top of another."""

    def __init__(self, below: TextIO) -> None:
        self._below = below

    def write(self, text: str) -> int:
        self._below.write(visible(text, keep="\n\t"))
        return len(text)

    def writelines(self, lines: Any) -> None:
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._below, name)
