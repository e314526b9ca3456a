"""Files that are either whole or absent, and readers that trust no file.

Every file is written under a temporary name beside its target and renamed when complete, so that a reader, a crash
or a full disk never leaves half of one behind. What exists and is not ours to replace (a device, a pipe, a link, a
folder with other files) is refused. Checksums are SHA-256.

Read are regular files of a bounded size alone: a pipe would wait for ever, a device has no end. JSON holds numbers that
computers can count with, text that can be written, and no nesting deeper than people need.
"""

import errno
import fnmatch
import hashlib
import json
import os
import secrets
import shutil
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from io import BufferedReader
from pathlib import Path
from typing import Any, Final, NamedTuple, Protocol

from flashsim.errors import InputError
from flashsim.shown import brief, harmless, is_writable, visible

UNSTATED_FORMAT: Final = 1
"""Format version of a run, an evaluation or a rollout that states none: flashsim 0.1.0 did not write it down."""
MIB: Final = 2**20
MOST_JSON: Final = 256 * MIB
"""Bytes of a JSON file; larger ones are not ours."""
DEEPEST: Final = 64
"""Lists and objects within each other, in a file that people or programs wrote."""
LARGEST_WHOLE: Final = 2**128
"""The state of a generator of chance has so many bits."""
DISK_FULL: Final = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def cannot_write(path: Path | str, error: OSError | ValueError) -> InputError:
    """One sentence on why ``path`` was not written."""
    code = error.errno if isinstance(error, OSError) else None
    if code in (errno.ENOSPC, errno.EDQUOT):
        advice = "the disk is full; free some space, or choose a folder on another disk"
    elif code == errno.EFBIG:
        advice = "the file would be larger than this system allows; raise its limit, or choose another folder"
    else:
        advice = f"{_why(error)}; choose a folder that you can write to"
    return InputError(f"cannot write {visible(brief_path(path))}: {advice}")


def brief_path(path: Path | str) -> str:
    """The path as a sentence shows it: one that no system would take is cut."""
    text = str(path)
    return text if len(text) <= 500 else f"{text[:100]}…"


def _why(error: OSError | ValueError) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or str(error)


class _Found(NamedTuple):
    what: str
    is_file: bool = False
    is_folder: bool = False


_KINDS: Final = {
    stat.S_IFREG: _Found("a file", is_file=True),
    stat.S_IFDIR: _Found("a folder", is_folder=True),
    stat.S_IFLNK: _Found("a link"),
    stat.S_IFIFO: _Found("a pipe"),
    stat.S_IFSOCK: _Found("a socket"),
}


def _found_at(path: Path) -> _Found | None:
    """What has the name ``path``, a link not followed; None: nothing. OSError or ValueError: no file can have it."""
    try:
        mode = os.lstat(path).st_mode
    except FileNotFoundError:
        return None
    return _kind(mode)


def _kind(mode: int) -> _Found:
    return _KINDS.get(stat.S_IFMT(mode), _Found("a device"))


def is_there(path: Path) -> bool:
    """Whether a file, a folder or anything else has the name; False for a name that no system takes."""
    try:
        return _found_at(path) is not None
    except (OSError, ValueError):
        return False


def is_file(path: Path) -> bool:
    """Whether ``path`` leads to a regular file; False for a name that no system takes."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def is_folder(path: Path) -> bool:
    """Whether ``path`` leads to a folder; False for a name that no system takes."""
    try:
        return path.is_dir()
    except (OSError, ValueError):
        return False


def write_bytes(path: Path, data: bytes, *, mode: int = 0o666) -> None:
    """Write ``data`` to ``path``, whole or not at all, with the rights ``mode`` less those that the system takes away.

    InputError in an unwritable folder, and where something else than a file has the name.
    """
    temporary: Path | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        found = _found_at(path)
        if found is not None and not found.is_file:
            raise InputError(f"cannot write the file {path}: {found.what} has that name; choose another")
        name = _beside(path)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
        with os.fdopen(os.open(name, flags, mode), "wb") as stream:
            temporary = name
            stream.write(data)
        temporary.replace(path)
    except InputError:
        raise
    except (OSError, ValueError) as error:  # ValueError: a zero byte in the path
        raise cannot_write(path, error) from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write ``text`` as UTF-8, whole or not at all; InputError where it holds half a character."""
    try:
        data = text.encode("utf-8")
    except UnicodeEncodeError as error:
        around = visible(text[max(0, error.start - 20) : error.end])
        raise InputError(f"cannot write {path}: {around!r} is not text; correct the name that holds it") from error
    write_bytes(path, data)


def write_page(path: Path, text: str) -> None:
    """Write a page, a picture or a report that people look at; characters that play tricks on them are escapes."""
    write_text(path, visible(text, keep="\n\t"))


class Table(Protocol):
    """A pandas DataFrame, as far as this module knows it: nothing here imports pandas."""

    columns: Any

    @property
    def iloc(self) -> Any:
        """Cells by their place."""
        ...

    def isetitem(self, loc: int, value: Any) -> None:
        """Replace the column at a place."""
        ...

    def to_csv(self, *, index: bool, lineterminator: str) -> str:
        """The table as CSV."""
        ...

    def copy(self) -> Any:
        """Another table with the same cells."""
        ...


def write_table(path: Path, table: Table) -> None:
    """Write a DataFrame as CSV without its index; equal tables are equal bytes on every system.

    No text cell and no name of a column is a formula to a spreadsheet (:func:`flashsim.shown.harmless`).
    """
    write_text(path, _harmless_table(table).to_csv(index=False, lineterminator="\n"))


def _harmless_table(table: Table) -> Table:
    """The table itself where all its cells are harmless; else a copy."""
    out = table
    for place in range(len(table.columns)):
        cells = table.iloc[:, place]
        if cells.dtype.kind != "O":  # numbers, stamps and truth values
            continue
        kept = [harmless(cell) for cell in cells]
        if any(new is not old for new, old in zip(kept, cells, strict=True)):
            out = table.copy() if out is table else out
            out.isetitem(place, kept)
    names = [harmless(name) for name in table.columns]
    if names != list(table.columns):
        out = table.copy() if out is table else out
        out.columns = names
    return out


def json_text(value: Any, *, is_sorted: bool = True) -> str:
    """``value`` as indented JSON; NaN and infinities raise ValueError. Keys are sorted unless their order says
    something to a reader."""
    return json.dumps(value, indent=1, sort_keys=is_sorted, allow_nan=False, ensure_ascii=False) + "\n"


def write_json(path: Path, value: Any, *, is_sorted: bool = True) -> None:
    """Write ``value`` as :func:`json_text`."""
    write_text(path, json_text(value, is_sorted=is_sorted))


@contextmanager
def open_file(path: Path, *, advice: str = "check the path", most: int | None = None) -> Iterator[BufferedReader]:
    """The bytes of a regular file; InputError for a pipe, a device or a folder, and above ``most`` bytes."""
    try:
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    except (OSError, ValueError) as error:
        raise InputError(f"cannot read {visible(brief_path(path))}: {_why(error)}; {advice}") from error
    facts = os.fstat(descriptor)
    kind = _kind(facts.st_mode)
    if not kind.is_file:
        os.close(descriptor)
        why = os.strerror(errno.EISDIR) if kind.is_folder else f"it is {kind.what}"
        raise InputError(f"cannot read {path}: {why}; {advice}")
    with os.fdopen(descriptor, "rb") as stream:
        if most is not None and facts.st_size > most:
            raise InputError(f"cannot read {path}: it has {facts.st_size:,} bytes, at most {most:,} are read; {advice}")
        yield stream


def read_bytes(path: Path, *, most: int, advice: str = "check the path") -> bytes:
    """The content of a regular file of at most ``most`` bytes; InputError otherwise."""
    with open_file(path, advice=advice, most=most) as stream:
        try:
            data = stream.read(most + 1)  # a file of the system may be longer than it says
        except OSError as error:
            raise InputError(f"cannot read {path}: {_why(error)}; {advice}") from error
    if len(data) > most:
        raise InputError(f"cannot read {path}: it has more than {most:,} bytes; {advice}")
    return data


def read_json(path: Path) -> Any:
    """Read a JSON file; InputError when it is missing, unreadable, not JSON, or holds what no program of ours wrote."""
    return json_of(read_bytes(Path(path), most=MOST_JSON), Path(path))


def json_of(data: bytes, path: Path) -> Any:
    """The content of the JSON file ``path``, whose bytes are ``data``; InputError as in :func:`read_json`."""
    try:
        return json_in(data)
    except ValueError as error:
        raise InputError(f"{path} is not valid JSON ({error}); make it again or restore it") from error


def json_in(text: str | bytes) -> Any:
    """The content of a JSON text; ValueError says what is wrong, as in :func:`read_json`."""
    try:
        value = json.loads(text if isinstance(text, str) else text.decode("utf-8"))
    except RecursionError as error:
        raise ValueError(f"nested deeper than {DEEPEST}") from error
    check_tree(value)
    return value


def check_tree(value: Any) -> None:
    """ValueError unless lists and objects are nested at most ``DEEPEST`` deep, no whole number is larger
    than ``LARGEST_WHOLE``, and every text can be written."""
    waiting: list[tuple[Any, int]] = [(value, 0)]
    while waiting:
        part, depth = waiting.pop()
        if isinstance(part, dict | list):
            if depth >= DEEPEST:
                raise ValueError(f"nested deeper than {DEEPEST}")
            inner = [*part, *part.values()] if isinstance(part, dict) else part
            waiting.extend((item, depth + 1) for item in inner)
        elif isinstance(part, str):
            if not is_writable(part):
                raise ValueError(f"{brief(part)} holds half a character")
        elif isinstance(part, int) and abs(part) > LARGEST_WHOLE:
            raise ValueError(f"a whole number of more than {len(str(LARGEST_WHOLE))} digits")


def check_format(path: Path, seen: object, *, known: int, make_anew: str, changes: str = "") -> None:
    """InputError unless the file at ``path`` is of the format version ``known``.

    ``seen`` is the version that the file states. The sentence names both, what changed since (``changes``) and, as
    ``make_anew``, the command that makes the file anew.
    """
    if type(seen) is int and seen == known:
        return
    states = "no format version" if seen is None else f"format version {brief(seen)}"
    because = f" ({changes})" if changes else ""
    later = "update flashsim, or " if type(seen) is int and seen > known else ""
    raise InputError(f"{path} has {states}, this flashsim reads {known}{because}; {later}{make_anew}")


def sha256(path: Path) -> str:
    """SHA-256 of a file's bytes, in hexadecimal; InputError when it cannot be read."""
    with open_file(Path(path)) as stream:
        try:
            return hashlib.file_digest(stream, "sha256").hexdigest()
        except OSError as error:
            raise InputError(f"cannot read {path}: {_why(error)}; check the path") from error


@contextmanager
def replace_folder(target: Path, *, ours: Sequence[str] = ()) -> Iterator[Path]:
    """Yield a temporary sibling of ``target`` that takes its place on success and vanishes on failure.

    A folder that is there already is replaced when it holds only files whose names fit ``ours`` (patterns of a shell);
    by default it must be empty. Of several writers of one new folder a single one succeeds. A link to a folder stands
    for that folder. InputError when the folder cannot be made, or when something else has the name.
    """
    try:
        place = _place_of_folder(target, ours=ours)
        place.parent.mkdir(parents=True, exist_ok=True)
        temporary = _beside(place)
        temporary.mkdir()
    except InputError:
        raise
    except (OSError, ValueError) as error:
        raise cannot_write(target, error) from error
    old = temporary.with_name(f"{temporary.name}.old")
    try:
        yield temporary
        _put(temporary, place, old=old, ours=ours)
    finally:
        if old.exists() and not place.exists():
            old.rename(place)
        shutil.rmtree(temporary, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)


def _place_of_folder(target: Path, *, ours: Sequence[str]) -> Path:
    """Where the folder ``target`` lies, links followed; InputError when what is there may not be replaced."""
    found = _found_at(target)
    if found is None or found.is_folder:
        place = target.absolute()
    elif found.what == "a link" and target.is_dir():
        place = target.resolve()
    else:
        raise InputError(f"cannot write the folder {target}: {found.what} has that name; choose another")
    if Path.cwd().is_relative_to(place.resolve()):
        raise InputError(f"cannot write the folder {target}: you are in it; choose a folder below")
    if found is not None:
        foreign = sorted(item.name for item in os.scandir(place) if not _is_ours(item, ours))
        if foreign:
            raise InputError(
                f"cannot write the folder {target}: it holds {brief(foreign[0])} already; choose an empty one"
            )
    return place


def _is_ours(item: os.DirEntry[str], ours: Sequence[str]) -> bool:
    return item.is_file(follow_symlinks=False) and any(fnmatch.fnmatchcase(item.name, name) for name in ours)


def _put(temporary: Path, place: Path, *, old: Path, ours: Sequence[str]) -> None:
    """Put the folder ``temporary`` in its ``place``; what is there goes to ``old``, unless another writer was first."""
    if not temporary.is_dir():
        raise FileNotFoundError(errno.ENOENT, "the new folder has gone", str(temporary))
    try:
        if _found_at(place) is not None:
            _place_of_folder(place, ours=ours)
            if ours and any(place.iterdir()):
                place.rename(old)
            else:
                place.rmdir()  # fails where another writer has put its files meanwhile
        temporary.rename(place)
    except InputError:
        raise
    except OSError as error:
        if error.errno in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOENT):
            raise InputError(
                f"cannot write the folder {place}: another program has just written it; choose another"
            ) from error
        raise cannot_write(place, error) from error


def _beside(path: Path) -> Path:
    """A hidden name in the same folder that no other writer has."""
    return path.with_name(f".{path.name[:40]}.{secrets.token_hex(8)}")
