"""The folder of a sweep (``-m``) is the sweep's own, as that of a run is: Hydra itself would write into any."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any

from hydra.experimental.callback import Callback

from experiments.launch.outputs import missing_parents, remove_empty, remove_folder
from flashsim.errors import InputError
from flashsim.files import cannot_write, is_folder

SWEEP_FILE = "multirun.yaml"
"""Hydra's name for the settings of a sweep."""
_TAKEN: ContextVar[list[tuple[Path, tuple[Path, ...]]]] = ContextVar("the folders that sweeps took")
"""Each with what was made for it: itself and those above it, the nearest first."""


class _Refused(BaseException):
    """Carries an InputError out of Hydra, which makes a warning of any Exception of a callback."""

    def __init__(self, because: InputError) -> None:
        super().__init__(str(because))
        self.because = because


class OwnFolder(Callback):
    """What Hydra calls before it writes anything."""

    def on_multirun_start(self, config: Any, **_: Any) -> None:
        """Take the folder of the sweep, or refuse it."""
        folder = Path(config.hydra.sweep.dir)
        made = missing_parents(folder / SWEEP_FILE)
        try:
            take_folder(folder)
        except InputError as error:
            remove_empty(made)
            raise _Refused(error) from error
        _TAKEN.get().append((folder, made))


CALLBACK = {"_target_": f"{OwnFolder.__module__}.{OwnFolder.__name__}"}
"""As Hydra's config names it."""


@contextmanager
def sweeps_in_own_folders() -> Iterator[None]:
    """Within the block a sweep whose folder holds files is an InputError; one that left no job leaves no folder."""
    taken: list[tuple[Path, tuple[Path, ...]]] = []
    token = _TAKEN.set(taken)
    try:
        yield
    except _Refused as refused:
        raise refused.because from None
    finally:
        _TAKEN.reset(token)
        for folder, made in taken:
            _remove_without_jobs(folder, made)


def take_folder(folder: Path) -> None:
    """Make the folder, empty but for a new ``SWEEP_FILE``; of two that do so at once, one succeeds.

    InputError when it holds files already or cannot be written.
    """
    taken = f"the output folder {folder} already holds files; choose another output=PATH or remove it"
    try:
        if is_folder(folder) and any(folder.iterdir()):
            raise InputError(taken)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / SWEEP_FILE).touch(exist_ok=False)
    except FileExistsError as error:
        raise (InputError(taken) if is_folder(folder) else cannot_write(folder, error)) from error
    except InputError:
        raise
    except (OSError, ValueError) as error:
        raise cannot_write(folder, error) from error


def _remove_without_jobs(folder: Path, made: tuple[Path, ...]) -> None:
    """Remove the folder when it holds no other file; Hydra makes a folder for each job before its settings are read."""
    if is_folder(folder) and {path.name for path in folder.rglob("*") if not path.is_dir()} <= {SWEEP_FILE}:
        remove_folder(folder, made=made)
