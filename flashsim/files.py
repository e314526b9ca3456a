"""Files that are either whole or absent.

Every file is written under a temporary name beside its target and renamed when complete, so that a reader, a crash
or a full disk never leaves half of one behind. Checksums are SHA-256.
"""

import hashlib
import json
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, Protocol

from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load as load_tensors

from flashsim.errors import InputError

UNSTATED_FORMAT: Final = 1
"""Format version of a run, an evaluation or a rollout that states none: flashsim 0.1.0 did not write it down."""


def write_bytes(path: Path, data: bytes) -> None:
    """Write ``data`` to ``path``, whole or not at all; refuses an unwritable folder with an InputError."""
    temporary: Path | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        name = _beside(path)
        with name.open("xb") as stream:  # with the rights of any new file: the system applies the umask
            temporary = name
            stream.write(data)
        temporary.replace(path)
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror}; choose a folder that you can write to") from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write ``text`` as UTF-8, whole or not at all."""
    write_bytes(path, text.encode("utf-8"))


class Table(Protocol):
    """A pandas DataFrame, as far as this module knows it: nothing here imports pandas."""

    def to_csv(self, *, index: bool, lineterminator: str) -> str:
        """The table as CSV."""
        ...


def write_table(path: Path, table: Table) -> None:
    """Write a DataFrame as CSV without its index; equal tables are equal bytes on every system."""
    write_text(path, table.to_csv(index=False, lineterminator="\n"))


def json_text(value: Any) -> str:
    """``value`` as indented JSON with sorted keys; NaN and infinities raise ValueError."""
    return json.dumps(value, indent=1, sort_keys=True, allow_nan=False, ensure_ascii=False) + "\n"


def write_json(path: Path, value: Any) -> None:
    """Write ``value`` as :func:`json_text`."""
    write_text(path, json_text(value))


def read_json(path: Path) -> Any:
    """Read a JSON file; InputError when it is missing, unreadable or not JSON."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}; check the path") from error
    except ValueError as error:
        raise InputError(f"{path} is not valid JSON ({error}); make it again or restore it") from error


def check_format(path: Path, seen: object, *, known: int, make_anew: str, changes: str = "") -> None:
    """InputError unless the file at ``path`` is of the format version ``known``.

    ``seen`` is the version that the file states. The sentence names both, what changed since (``changes``) and, as
    ``make_anew``, the command that makes the file anew.
    """
    if type(seen) is int and seen == known:
        return
    states = "no format version" if seen is None else f"format version {seen!r}"
    because = f" ({changes})" if changes else ""
    later = "update flashsim, or " if type(seen) is int and seen > known else ""
    raise InputError(f"{path} has {states}, this flashsim reads {known}{because}; {later}{make_anew}")


def sha256(path: Path) -> str:
    """SHA-256 of a file's bytes, in hexadecimal; InputError when it cannot be read."""
    try:
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}; check the path") from error


def read_tensors(path: Path, *, sha256: object, advice: str) -> dict[str, NDArray[Any]]:
    """Arrays of a safetensors file of known SHA-256; InputError, with ``advice``, when it is missing or changed."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}; {advice}") from error
    seen = hashlib.sha256(data).hexdigest()
    if seen != sha256:
        raise InputError(
            f"{path} is truncated or was changed: its SHA-256 is {seen[:12]}…, expected {str(sha256)[:12]}…; {advice}"
        )
    try:
        return load_tensors(data)
    except SafetensorError as error:
        raise InputError(f"{path} is not a safetensors file ({error}); {advice}") from error


@contextmanager
def replace_folder(target: Path) -> Iterator[Path]:
    """Yield a temporary sibling of ``target`` that takes its place on success and vanishes on failure.

    Raises InputError when the folder cannot be made, or when ``target`` is a file.
    """
    if target.is_file():
        raise InputError(f"cannot write the folder {target}: a file has that name; choose another")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = _beside(target)
        temporary.mkdir()
    except OSError as error:
        raise InputError(f"cannot write {target}: {error.strerror}; choose a folder that you can write to") from error
    old = temporary.with_name(f"{temporary.name}.old")
    try:
        yield temporary
        if target.exists():
            target.replace(old)
        temporary.replace(target)
    finally:
        if old.exists() and not target.exists():
            old.replace(target)
        shutil.rmtree(temporary, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)


def _beside(path: Path) -> Path:
    """A hidden name in the same folder that no other writer has."""
    return path.with_name(f".{path.name}.{secrets.token_hex(8)}")
