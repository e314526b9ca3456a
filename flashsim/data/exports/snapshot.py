"""A checked copy of an export: UTF-8 text or Parquet in a folder of our own, with the checksum of what was copied.

    orders.csv      .csv, .tsv, .txt, each also .gz           decoded, checked byte by byte, written as UTF-8
    orders.xlsx     one sheet                                 its cells as text (:mod:`flashsim.data.exports.workbook`)
    orders.parquet                                            copied as it is

The original is read once, from its first byte to its last; all other readers see the copy alone. So a file that grows
while it is read is noticed, a hostile name reaches no other program, and what the checksum covers is what was learned
from. Memory stays small whatever the file holds. The folder of the copies is readable by its owner alone, and whoever
made it (:func:`scratch_folder`) removes it, on Ctrl-C too.
"""

import codecs
import hashlib
import os
import tempfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import BufferedReader, BufferedWriter
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np

from flashsim.data.exports.encodings import guess_encoding, marked_encoding
from flashsim.data.exports.workbook import write_sheet
from flashsim.errors import InputError
from flashsim.files import MIB, cannot_write, open_file
from flashsim.shown import brief

TEXT_SUFFIXES: Final = (".csv", ".tsv", ".txt")
SUFFIXES: Final = (*TEXT_SUFFIXES, *(f"{suffix}.gz" for suffix in TEXT_SUFFIXES), ".parquet", ".xlsx")
"""Endings of files that are read."""
MOST_BYTES: Final = 8 * 1024 * MIB
"""Of a file once it is unpacked."""
LONGEST_LINE: Final = MIB
"""Bytes of a line; a table of a shop has shorter ones, and readers hold a line in memory."""
MOST_SEPARATORS: Final = 1_500
"""Of a row; the database takes quadratically long to set apart one that is far longer than the header."""
_CHUNK: Final = MIB
Report = Callable[[int, int], None]
"""Told how many bytes of how many were read."""


class Snapshot(NamedTuple):
    """A copy that is safe to read."""

    original: Path
    path: Path  # of the copy
    is_parquet: bool
    encoding: str  # of the original; "" where it is no text
    sha256: str  # of the original
    told: tuple[str, ...]  # what was detected, a phrase each
    lines: int  # of the text; 0 where it is none


class _NotUnicode(Exception):  # noqa: N818  (no error: another encoding is tried)
    """The text is not in the encoding that was tried; holds lines that show which one it may be in."""


def ending(path: Path) -> str:
    """The ending of a name that says how the file is read, such as ``.csv.gz``; "" for others."""
    name = path.name.lower()
    return next((suffix for suffix in sorted(SUFFIXES, key=len, reverse=True) if name.endswith(suffix)), "")


def check_inside(path: Path, folder: Path) -> None:
    """InputError where ``path`` leads out of ``folder``, by its name or by a link; nothing of it is read."""
    try:
        real, inside = path.resolve(), folder.resolve()
    except (OSError, ValueError, RuntimeError):
        return  # leads nowhere: there is no such file
    if not real.is_relative_to(inside):
        how = "is a link" if path.is_symlink() else "has a name"
        raise InputError(
            f"{brief(str(path))} {how} that leads out of {brief(str(folder))}, and only files of that folder are read; "
            "copy the file into it"
        )


@contextmanager
def scratch_folder() -> Iterator[Path]:
    """A folder for copies and for what does not fit into memory, readable by its owner alone and removed at the end."""
    try:
        folder = tempfile.TemporaryDirectory(prefix="flashsim-", ignore_cleanup_errors=True)
    except OSError as error:
        raise cannot_write(tempfile.gettempdir(), error) from error
    with folder as name:
        yield Path(name)


def take_snapshot(
    path: Path, scratch: Path, *, encoding: str | None, sheet: str | None, report: Report | None = None
) -> Snapshot:
    """Copy ``path`` into ``scratch``; InputError when it is no table that can be read, or changes meanwhile.

    ``encoding`` and the ``sheet`` of a workbook are detected where they are None.
    """
    suffix = ending(path)
    target = scratch / f"{len(list(scratch.iterdir()))}{'.parquet' if suffix == '.parquet' else '.csv'}"
    told: tuple[str, ...] = ()
    before = _state(path)
    try:
        if suffix == ".parquet":
            digest, found, lines = _copy(path, target), "", 0
        elif suffix == ".xlsx":
            held = target.with_suffix(".xlsx")
            digest, found, lines = _copy(path, held), "", 0
            told = write_sheet(held, target, sheet=sheet, original=path)
            held.unlink()
        else:
            digest, found, lines = _decode(path, target, encoding=encoding, report=report)
            told = () if encoding is not None or found == "utf-8" else (f"encoding {found}",)
    except OSError as error:
        raise cannot_write(target, error) from error
    if _state(path) != before:
        raise _changed(path)
    return Snapshot(path, target, suffix == ".parquet", found, digest, told, lines)


def _changed(path: Path) -> InputError:
    return InputError(f"{path} changed while it was read; wait until the export has ended, and try again")


def _state(path: Path) -> tuple[int, int, int]:
    """Size, time of the last change and identity of a file."""
    with open_file(path) as stream:
        facts = os.fstat(stream.fileno())
    return facts.st_size, facts.st_mtime_ns, facts.st_ino


def _copy(path: Path, target: Path) -> str:
    digest = hashlib.sha256()
    with open_file(path, most=MOST_BYTES) as stream, target.open("wb") as copy:
        while chunk := stream.read(_CHUNK):
            digest.update(chunk)
            copy.write(chunk)
    return digest.hexdigest()


def _decode(path: Path, target: Path, *, encoding: str | None, report: Report | None) -> tuple[str, str, int]:
    """Write the text of ``path`` as UTF-8; its checksum, its encoding and its lines."""
    tried = encoding
    if tried is None:
        with open_file(path) as stream:
            first = next(_unpacked(path, stream, hashlib.sha256(), None), b"")
        tried = marked_encoding(first) or "utf-8"
    try:
        digest, lines = _decode_as(path, target, tried, report=report)
        return digest, tried, lines
    except _NotUnicode as refused:
        guessed = None if encoding is not None else guess_encoding(refused.args[0])
        if guessed is None:
            raise _undecodable(path, tried) from refused
    try:
        digest, lines = _decode_as(path, target, guessed, report=report)
        return digest, guessed, lines
    except _NotUnicode as refused:
        raise _undecodable(path, guessed) from refused


def _undecodable(path: Path, encoding: str) -> InputError:
    return InputError(
        f"{path} is not text in {encoding}; save it as UTF-8 (in Excel: 'CSV UTF-8'), or state its encoding in the "
        "mapping: format: {encoding: gbk}"
    )


def _decode_as(path: Path, target: Path, encoding: str, *, report: Report | None) -> tuple[str, int]:
    digest = hashlib.sha256()
    decoder = codecs.getincrementaldecoder(encoding)()
    plain = encoding in ("utf-8", "ascii")
    checks = _Lines(path)
    with open_file(path) as stream, target.open("wb") as copy:
        refused: list[bytes] = []
        for chunk in _unpacked(path, stream, digest, report):
            if refused:
                break
            try:
                text = decoder.decode(chunk)
            except UnicodeDecodeError:
                refused.append(chunk)
                continue
            checks.see(_write(copy, chunk if plain else text.encode("utf-8", "replace")))
        try:
            text = "" if refused else decoder.decode(b"", True)  # noqa: FBT003  (the decoder takes it by place alone)
        except UnicodeDecodeError:
            refused.append(b"")
        if refused:
            raise _NotUnicode(_telling_lines(refused[0]))
        checks.end()
    return digest.hexdigest(), checks.lines + (checks.open > 0)


def _write(copy: BufferedWriter, data: bytes) -> bytes:
    copy.write(data)
    return data


def _telling_lines(chunk: bytes) -> bytes:
    """The lines of a chunk that hold high bytes, for they alone show an encoding."""
    lines = [line for line in chunk.splitlines() if not line.isascii()]
    return b"\n".join(lines)[: 4 * 65_536]


def _unpacked(path: Path, stream: BufferedReader, digest: "hashlib._Hash", report: Report | None) -> Iterator[bytes]:
    """The bytes of a text, unpacked where it ends in .gz; InputError where the packing is broken or the text huge."""
    size, read, total = os.fstat(stream.fileno()).st_size, 0, 0
    packed = path.name.lower().endswith(".gz")
    inflater = zlib.decompressobj(wbits=31)
    while chunk := stream.read(_CHUNK):
        digest.update(chunk)
        read += len(chunk)
        if read > size:
            raise _changed(path)
        if report is not None:
            report(read, size)
        while chunk:
            try:
                data = inflater.decompress(chunk, _CHUNK) if packed else chunk
            except zlib.error as error:
                raise InputError(f"{path} is not a gzip file, or a broken one ({error}); pack it again") from error
            chunk = inflater.unconsumed_tail if packed else b""
            if packed and inflater.eof:
                chunk = inflater.unused_data
                inflater = zlib.decompressobj(wbits=31) if chunk else inflater
            total += len(data)
            if total > MOST_BYTES:
                raise InputError(f"{path} holds more than {MOST_BYTES / 2**30:g} GiB of text; split it by year")
            if data:
                yield data
    if packed and read and not inflater.eof:
        raise InputError(f"{path} ends before its packed text does: it was cut short; bring the whole file")


class _Lines:
    """Checks text while it is written: no zero byte, and no line that a reader could not hold."""

    def __init__(self, path: Path) -> None:
        self.path, self.open, self.bytes, self.lines = path, 0, 0, 0

    def see(self, data: bytes) -> None:
        """Check the next bytes of UTF-8."""
        zero = data.find(b"\0")
        if zero >= 0:
            raise InputError(
                f"{self.path} holds a zero byte (byte {self.bytes + zero + 1:,}), so it is no text, or in another "
                "encoding than it seems; export it anew as CSV"
            )
        self.bytes += len(data)
        self.lines += data.count(b"\n")
        signs = np.frombuffer(data, dtype=np.uint8)
        ends = np.flatnonzero((signs == _LF) | (signs == _CR))
        bounds = np.concatenate([[-1], ends, [len(data)]])
        lengths = np.diff(bounds) - 1
        longest = max(self.open + int(lengths[0]), int(lengths.max()))
        self.open = int(lengths[-1]) + (self.open if not len(ends) else 0)
        if longest > LONGEST_LINE:
            raise InputError(
                f"{self.path} has a line of more than {LONGEST_LINE:,} bytes, near byte {self.bytes:,}: that is no "
                "row of a table; export it anew"
            )
        for place in np.flatnonzero(lengths > MOST_SEPARATORS):
            row = data[int(bounds[place]) + 1 : int(bounds[place + 1])]
            if max(row.count(sign) for sign in b",;\t|") > MOST_SEPARATORS:
                raise InputError(
                    f"{self.path} has a row of more than {MOST_SEPARATORS:,} columns, near byte {self.bytes:,}: that "
                    "is no row of a table; export it anew"
                )

    def end(self) -> None:
        """Check that there was something."""
        if self.bytes == 0:
            raise InputError(f"{self.path} is empty; it needs a header and rows")


_LF, _CR = 10, 13
