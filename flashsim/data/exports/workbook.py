"""One sheet of an .xlsx workbook as CSV: its cells as text, dates as 2026-11-11, numbers with a decimal point.

A workbook is a zip of XML. Before it is opened its parts are unpacked and counted, without keeping them, so that a
small file cannot fill the memory: neither by what it unpacks to nor by a cell far away from all others, for readers
hold the whole rectangle. Formulas are not computed: the value that the workbook holds is taken. An error such as
#DIV/0! stays as it is written, and its row is set apart where it is read.
"""

import csv
import re
import zipfile
import zlib
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from flashsim.errors import InputError
from flashsim.files import MIB
from flashsim.shown import brief

MOST_UNPACKED: Final = 1024 * MIB
"""Bytes of all parts together."""
MOST_CELLS: Final = 40_000_000
"""Of the rectangle that holds all cells of a sheet: a full sheet of 38 columns."""
_PLACE: Final = re.compile(rb"""\br\s*=\s*["']([A-Za-z]*)([0-9]+)["']""")
"""The place of a cell, or of a row, however it is spelled; a part may lie in any folder."""
_CUT_PLACE: Final = re.compile(rb"""\br\s*(?:=\s*(?:["'][A-Za-z]*[0-9]*)?)?\Z""")
_ROW: Final = re.compile(rb"<(?:[\w.-]+:)?row[\s/>]")
_CELL: Final = re.compile(rb"<(?:[\w.-]+:)?c[\s/>]")
_LONGEST_PLACE: Final = 9
"""Letters or digits of a place; a longer one is no place that a sheet has."""


def write_sheet(workbook: Path, target: Path, *, sheet: str | None, original: Path) -> tuple[str, ...]:
    """Write the cells of a sheet to ``target``; what was detected. InputError, which names ``original``, if it cannot
    be read.

    Without ``sheet`` it is the first one that holds more than a row.
    """
    from python_calamine import CalamineError, load_workbook  # noqa: PLC0415 (only who brings a workbook needs it)

    _check_extent(workbook, original)
    try:
        book = load_workbook(str(workbook))
        names = list(book.sheet_names)
        if sheet is not None and sheet not in names:
            raise InputError(
                f"{original} has no sheet {brief(sheet)}; it has {', '.join(brief(name) for name in names[:12])}"
            )
        candidates = names if sheet is None else [sheet]
        for name in candidates:
            rows = book.get_sheet_by_name(name)
            if rows.total_height > 1 or name == candidates[-1]:
                _write(rows.iter_rows(), target)
                return (f"sheet {brief(name)} of {len(names)}",) if sheet is None and len(names) > 1 else ()
    except (CalamineError, ValueError, OSError) as error:
        if isinstance(error, InputError):
            raise
        raise _unreadable(original, error) from error
    raise InputError(f"{original} has no sheet; save it anew")


def _unreadable(original: Path, error: Exception) -> InputError:
    words = (str(error).splitlines() or [type(error).__name__])[0][:200]
    return InputError(f"{original} is not a workbook that can be read ({words}); save it anew as .xlsx, or as CSV")


class _Extent:
    """How far the cells of a part reach: where they say so, else by their number, since each follows the one before."""

    def __init__(self) -> None:
        self.rows, self.columns, self._begun, self._in_row, self._cut = 0, 0, 0, 0, b""

    def see(self, chunk: bytes) -> None:
        """Look at the next bytes; what may be half a place waits for those after them."""
        data = self._cut + chunk
        cut = _CUT_PLACE.search(data)
        self._cut = b"" if cut is None else cut[0]
        for letters, digits in _PLACE.findall(data):
            number = 10**_LONGEST_PLACE if len(digits) > _LONGEST_PLACE else int(digits)
            self.rows, self.columns = max(self.rows, number), max(self.columns, _column(letters[:_LONGEST_PLACE]))
        rest, *rows = _ROW.split(data)
        self._in_row += len(_CELL.findall(rest))
        self.columns = max(self.columns, self._in_row)
        for row in rows:
            self._in_row = len(_CELL.findall(row))
            self.columns = max(self.columns, self._in_row)
        self._begun += len(rows)
        self.rows = max(self.rows, self._begun)

    @property
    def is_endless(self) -> bool:
        """Whether no table reaches as far."""
        return self.rows * self.columns > MOST_CELLS or len(self._cut) > MIB


def _check_extent(workbook: Path, original: Path) -> None:
    """InputError when the parts unpack to too much, or a sheet spans too many cells."""
    total = 0
    try:
        with zipfile.ZipFile(workbook) as parts:
            for part in parts.infolist():
                extent = _Extent()
                with parts.open(part) as stream:
                    while chunk := stream.read(MIB):
                        total += len(chunk)
                        if total > MOST_UNPACKED:
                            raise InputError(
                                f"{original} unpacks to more than {MOST_UNPACKED / MIB:,.0f} MiB; save it as CSV"
                            )
                        extent.see(chunk)
                        if extent.is_endless:
                            raise InputError(
                                f"{original}: a sheet spans {extent.rows:,} rows and {extent.columns:,} columns or "
                                f"more, at most {MOST_CELLS:,} cells are read; delete what lies apart from the table, "
                                "or save it as CSV"
                            )
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, RuntimeError, NotImplementedError) as error:
        raise _unreadable(original, error) from error


def _column(letters: bytes) -> int:
    number = 0
    for letter in letters.upper():
        number = number * 26 + letter - 64
    return number


def _write(rows: Any, target: Path) -> None:
    with target.open("w", encoding="utf-8", errors="replace", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        for row in rows:
            writer.writerow([_text(cell) for cell in row])


def _text(cell: Any) -> str:
    if isinstance(cell, bool):
        return "1" if cell else "0"
    if isinstance(cell, float):
        return str(int(cell)) if cell.is_integer() and abs(cell) < 2**53 else repr(cell)
    if isinstance(cell, datetime):
        return cell.isoformat(sep=" ")
    if isinstance(cell, date | timedelta):
        return str(cell)
    return str(cell).replace("\0", "")
