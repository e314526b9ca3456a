"""The cells of a copied table as text, by row number, and which rows repeat another in every column of the file.

Every cell is read as text, so that a message can show an unusable cell as it is written. Rows are numbered like in a
spreadsheet: the header is row 1.
"""

from collections.abc import Collection
from typing import Any, Final, NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
from numpy.typing import NDArray

from flashsim.data.exports.layout import MOST_COLUMNS, Layout, clean_name, first_line, read_layout
from flashsim.data.exports.snapshot import Snapshot
from flashsim.errors import InputError

FIRST_ROW: Final = 2
"""Number of the first row of data: the header is row 1."""
MOST_TEXT_BYTES: Final = 2**30
"""Of a table that is held in memory whole; orders, which are summed while they are read, may be larger."""
MOST_RAGGED: Final = 100_000
"""Rows that are not shaped like the header; a file with more of them is no table."""
LONGEST_SHOWN: Final = 200
"""Characters that are kept of such a row."""


class Cells(NamedTuple):
    """What a file holds."""

    text: pd.DataFrame  # "" where empty; the index is the row number of a spreadsheet
    ragged: dict[int, tuple[str, str]]  # row number: the row as written, its error
    repeats: NDArray[np.bool_]  # row; equal to an earlier one in every column of the file, as written
    told: tuple[str, ...]  # what was detected, a phrase each


def read_cells(snapshot: Snapshot, *, separator: str | None, wanted: Collection[str]) -> Cells:
    """The cells of a copy. InputError when it is no table."""
    if snapshot.path.stat().st_size > MOST_TEXT_BYTES:
        raise InputError(
            f"{snapshot.original} holds more than {MOST_TEXT_BYTES / 2**30:g} GiB; tables of this size are read as "
            "orders alone, leave out what is not needed"
        )
    if snapshot.is_parquet:
        text = _read_parquet(snapshot)
        return Cells(text, {}, text.duplicated().to_numpy(dtype=bool), snapshot.told)
    layout = read_layout(snapshot, separator=separator, wanted=wanted)
    text, ragged = _read_csv(snapshot, layout)
    return Cells(text, ragged, text.duplicated().to_numpy(dtype=bool), (*snapshot.told, *layout.told))


def _read_csv(snapshot: Snapshot, layout: Layout) -> tuple[pd.DataFrame, dict[int, tuple[str, str]]]:
    """Cells by row number, and the rows with too many or too few fields."""
    ragged: dict[int, tuple[str, str]] = {}
    places = [str(place) for place in range(len(layout.header))]

    def keep_apart(row: Any) -> str:
        if len(ragged) == MOST_RAGGED:
            return "error"
        ragged[row.number] = (
            row.text[:LONGEST_SHOWN],
            f"has {row.actual_columns} fields, the header has {row.expected_columns}",
        )
        return "skip"

    try:
        read = pa_csv.read_csv(
            snapshot.path,
            read_options=pa_csv.ReadOptions(
                use_threads=False, column_names=places, skip_rows=layout.lines_before, block_size=2**22
            ),
            parse_options=pa_csv.ParseOptions(
                delimiter=layout.separator,
                invalid_row_handler=keep_apart,
                newlines_in_values=True,
                ignore_empty_lines=False,
            ),
            convert_options=pa_csv.ConvertOptions(column_types=dict.fromkeys(places, pa.string())),
        )
    except (OSError, ValueError, pa.ArrowException) as error:
        raise InputError(
            f"{snapshot.original} cannot be read as a table ({first_line(error, snapshot.path)}); restore it"
        ) from error
    ragged = {number - layout.lines_before + 1: told for number, told in ragged.items()}
    cells = read.to_pandas().astype(object).fillna("").astype(str)
    numbers = [number for number in range(FIRST_ROW, FIRST_ROW + len(cells) + len(ragged)) if number not in ragged]
    cells.index = pd.Index(numbers)
    if not len(cells):
        raise InputError(f"{snapshot.original} has a header and no row that can be read; bring some rows")
    cells = cells.apply(lambda column: column.str.strip())
    cells.columns = pd.Index(layout.header)
    return cells, ragged


def _read_parquet(snapshot: Snapshot) -> pd.DataFrame:
    original = snapshot.original
    try:
        file = pq.ParquetFile(snapshot.path)
        names = [clean_name(name) for name in file.schema_arrow.names]
        if len(names) > MOST_COLUMNS:
            raise InputError(
                f"{original} has {len(names):,} columns, at most {MOST_COLUMNS} are read; leave others out"
            )
        if file.metadata.num_rows * max(len(names), 1) > 2**30:
            raise InputError(f"{original} has {file.metadata.num_rows:,} rows, too many to hold; leave some out")
        table = file.read().to_pandas()
    except InputError:
        raise
    except (OSError, ValueError, NotImplementedError, pa.ArrowException) as error:
        raise InputError(
            f"{original} is not a Parquet file ({first_line(error, snapshot.path)}); restore it"
        ) from error
    if not len(table):
        raise InputError(f"{original} has no rows; bring some")
    cells = pd.DataFrame(
        {
            name: column.astype(object).where(column.notna(), "").astype(str)
            for name, (_, column) in zip(names, table.items(), strict=True)
        }
    )
    cells.index = pd.RangeIndex(FIRST_ROW, FIRST_ROW + len(cells))
    return cells
