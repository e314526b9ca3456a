"""Programs, of which ``python -m experiments`` lists all, a line each."""

import multiprocessing
import signal
import sys
from importlib import metadata

NEEDED = ("hydra-core", "omegaconf", "tensorboard", "tqdm", "torch", "stable-baselines3", "lightgbm", "onnx")
"""What the programs import beyond the library; the extras ``train`` and ``experiments`` install it."""


def missing_packages() -> list[str]:
    """Those of :data:`NEEDED` that are not installed."""
    missing = []
    for package in NEEDED:
        try:
            metadata.version(package)
        except metadata.PackageNotFoundError:
            missing.append(package)
    return missing


def end_quietly_while_importing() -> None:
    """Let Ctrl-C end this process at once until a program listens itself: imports take seconds, and Python would print
    where it was among them. A signal that is ignored stays so."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)


if sys.argv[:1] == ["-m"] or multiprocessing.parent_process() is not None:  # a program starts, or one of its helpers
    end_quietly_while_importing()
if missing_packages():
    names = ", ".join(missing_packages())
    print(
        f"error: not installed: {names}; run: pip install -c constraints.txt -e '.[train,experiments]'", file=sys.stderr
    )
    raise SystemExit(2)
