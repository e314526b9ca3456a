"""Programs, of which ``python -m experiments`` lists all, a line each."""

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


if missing_packages():
    names = ", ".join(missing_packages())
    print(
        f"error: not installed: {names}; run: pip install -c constraints.txt -e '.[train,experiments]'", file=sys.stderr
    )
    raise SystemExit(2)
