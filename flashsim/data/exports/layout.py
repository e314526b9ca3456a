"""How a text is laid out: the separator of its columns, and their names in the header.

Of the separators , ; tab and | that one is taken whose header holds the most of the wanted names, then that which
divides the most rows like the header, then into the most columns. A first line ``sep=;``, as Excel writes it, counts.
"""

import csv
import io
from collections import Counter
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from flashsim.data.exports.snapshot import LONGEST_LINE, Snapshot
from flashsim.errors import InputError
from flashsim.shown import brief, visible

SEPARATORS: Final = (",", ";", "\t", "|")
SPELLED: Final = {",": "comma", ";": "semicolon", "\t": "tab", "|": "bar"}
MOST_COLUMNS: Final = 1000
"""A file with more is no table of a shop, and its reading would take minutes."""
_SAMPLE_ROWS: Final = 50
_SAMPLE_BYTES: Final = 262_144


class Layout(NamedTuple):
    """Where the cells of a text are."""

    separator: str
    header: tuple[str, ...]
    lines_before: int  # lines above the first row of data
    told: tuple[str, ...]  # what was detected, a phrase each


def read_layout(snapshot: Snapshot, *, separator: str | None, wanted: Collection[str]) -> Layout:
    """The layout of a text; InputError when its header cannot be used. ``wanted`` are names that it may hold."""
    path = snapshot.original
    with snapshot.path.open(encoding="utf-8-sig", newline="") as stream:
        sample = stream.read(_SAMPLE_BYTES)
    before = 0
    if sample[:4].lower() == "sep=" and sample[5:6] in ("\r", "\n"):
        separator = separator or sample[4]
        sample = sample[5:].lstrip("\r").removeprefix("\n")
        before = 1
    names = {plain_name(name) for name in wanted}
    candidates = SEPARATORS if separator is None else (separator,)
    best = max(candidates, key=lambda one: _fit(sample, one, names))
    header, lines = _header(snapshot, best, skip=before)
    if not any(header):
        raise InputError(f"{path} has no header; its first row must name the columns")
    if len(header) > MOST_COLUMNS:
        raise InputError(f"{path} has {len(header):,} columns, at most {MOST_COLUMNS} are read; leave the others out")
    repeated = [name for name, times in Counter(header).items() if times > 1 and name]
    if repeated:
        raise InputError(f"{path}: the header names {brief(repeated[0])} twice; rename one of the columns")
    told = () if separator is not None or best == "," else (f"separator {SPELLED[best]}",)
    return Layout(best, header, before + lines, told)


def _fit(sample: str, separator: str, names: set[str]) -> tuple[int, float, int]:
    """How well a separator fits: wanted names found, share of rows as long as the header, columns."""
    try:
        rows = []
        for row in csv.reader(io.StringIO(sample, newline=""), delimiter=separator):
            if row:
                rows.append(row)
            if len(rows) > _SAMPLE_ROWS:
                break
    except csv.Error:
        return 0, 0.0, 0
    if not rows:
        return 0, 0.0, 0
    found = sum(plain_name(name) in names for name in rows[0])
    alike = sum(len(row) == len(rows[0]) for row in rows) / len(rows)
    return found, alike if len(rows[0]) > 1 else 0.0, len(rows[0])


def _header(snapshot: Snapshot, separator: str, *, skip: int) -> tuple[tuple[str, ...], int]:
    """The names of the columns, and the lines that they take."""
    try:
        with snapshot.path.open(encoding="utf-8-sig", newline="") as stream:
            for _ in range(skip):
                stream.readline(LONGEST_LINE)
            reader = csv.reader(stream, delimiter=separator)
            row = next(reader, [])
    except csv.Error as error:
        raise InputError(
            f"{snapshot.original} has no header that can be read ({error}); check its first row"
        ) from error
    return tuple(clean_name(name) for name in row), reader.line_num


def clean_name(name: str) -> str:
    """A column's name without spaces around it and without marks that nobody sees."""
    return "".join(sign for sign in name if visible(sign) == sign or sign in "\n\t").strip()


def plain_name(name: str) -> str:
    """A name as it is compared: case, spaces and signs between words do not count."""
    return "".join(sign for sign in clean_name(name).casefold() if sign.isalnum())


def some(names: Sequence[str]) -> str:
    """The names of columns as a sentence tells them, the first ones of many."""
    return f"{[name[:80] for name in names[:12]]}" + (f" and {len(names) - 12} more" if len(names) > 12 else "")


def check_separator(given: str, *, what: str) -> str:
    """A separator as a mapping states it; InputError for one that is not a single sign."""
    spelled = {word: sign for sign, word in SPELLED.items()} | {"\\t": "\t"}
    sign = spelled.get(given, given)
    if len(sign) != 1 or sign.isalnum() or sign in "\"'\r\n.-":
        raise InputError(f"{what}: expected one sign such as ';' or 'tab', got {brief(given)}; correct it")
    return sign


def first_line(error: Exception, path: Path | None = None) -> str:
    """What another program's error says, short and without the path of our copy."""
    words = (str(error).splitlines() or [type(error).__name__])[0][:200]
    return words if path is None else words.replace(str(path), path.name)
