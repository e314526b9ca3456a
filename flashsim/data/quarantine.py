"""Rows that break their schema: they are quarantined, written down with row, column, value and reason, and counted.

A table with a few such rows is used without them. Above a given share the run stops with one sentence, because then a
misread column is more likely than typing errors. A spreadsheet can open the file, as every table that is written
(:func:`flashsim.files.write_table`).
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, NamedTuple

import pandas as pd

from flashsim.data.clean import RowAccount
from flashsim.data.schemas import BrokenCell
from flashsim.data.shop_folder import RawTable
from flashsim.errors import InputError
from flashsim.files import write_table

REASON: Final = "quarantined: breaks the schema"
LONGEST_VALUE: Final = 200
"""Most characters of a value that are written down."""


class QuarantinedCell(NamedTuple):
    """One line of the quarantine file. ``row`` counts like a spreadsheet: the header is row 1."""

    table: str
    file: str
    row: int
    column: str
    value: str
    reason: str


@dataclass
class Quarantine:
    """Quarantined cells of all tables."""

    cells: list[QuarantinedCell] = field(default_factory=list)

    def take(
        self, raw: RawTable, broken: Iterable[BrokenCell], *, account: RowAccount, reason: str = REASON
    ) -> set[int]:
        """Quarantine the rows of ``broken``, enter them in the account, and return their numbers."""
        rows: set[int] = set()
        for cell in broken:
            row = int(str(cell.row))
            rows.add(row)
            value = str(raw.cells.at[row, cell.column]) if cell.column in raw.cells.columns else ""
            self.cells.append(QuarantinedCell(raw.name, raw.path.name, row, cell.column, value, cell.reason))
        if rows:
            account.drop(raw.name, reason, len(rows))
        return rows

    def take_ragged(self, raw: RawTable, *, account: RowAccount) -> None:
        """Quarantine the rows that do not have as many fields as the header."""
        for row, (text, reason) in raw.ragged.items():
            self.cells.append(QuarantinedCell(raw.name, raw.path.name, row, "(whole row)", text, reason))
        if raw.ragged:
            account.drop(raw.name, REASON, len(raw.ragged))

    def rows_of(self, table: str) -> int:
        """Number of quarantined rows of ``table``."""
        return len({cell.row for cell in self.cells if cell.table == table})

    def write(self, path: Path) -> None:
        """Write the cells, by table and row; write no file when there are none."""
        if not self.cells:
            return
        ordered = sorted(self.cells, key=lambda cell: (cell.table, cell.row, cell.column))
        table = pd.DataFrame(
            [cell._replace(value=cell.value[:LONGEST_VALUE]) for cell in ordered],
            columns=list(QuarantinedCell._fields),
        )
        write_table(path, table)

    def refuse_many(self, raw: RawTable, *, most: float, file: Path) -> None:
        """InputError, with the commonest reason, when more than the share ``most`` of the table's rows is
        quarantined."""
        rows = self.rows_of(raw.name)
        if rows <= most * raw.rows:
            return
        self.write(file)
        mine = [cell for cell in self.cells if cell.table == raw.name]
        column, count = Counter(cell.column for cell in mine).most_common(1)[0]
        example = next(cell for cell in mine if cell.column == column)
        raise InputError(
            f"{raw.path}: {rows} of {raw.rows} rows ({rows / raw.rows:.1%}) cannot be used, at most {most:.1%} may; "
            f"most often ({count} rows) column {column!r}, for instance {example.value[:40]!r} in row {example.row}: "
            f"{example.reason}; "
            f"mend the table (all such rows are in {file}), or raise data.most_quarantined"
        )
