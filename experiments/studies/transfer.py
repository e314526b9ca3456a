"""Move a demand model from one platform to another that has little data, against training it there from scratch.

python -m experiments.studies.transfer
python -m experiments.studies.transfer products=50 weeks=[1,2,4] output=outputs/transfer/small

The platforms are two disjoint halves of the stores of Complete Journey (flashsim/data/subsets.py); the model moves from
the home stores to the others. Every way of forecasting (flashsim/models/forecasting/transfer.py) is scored on the same
weeks, after each of four origins; reductions are against training from scratch, with 90 % intervals. Leaves
``transfer.csv``.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from experiments.launch.entry import dated, entry
from experiments.launch.outputs import RunFolder
from flashsim.data.sources import complete_journey
from flashsim.data.subsets import deal_stores, shared_panels, some_stores
from flashsim.errors import InputError
from flashsim.files import write_table
from flashsim.models.forecasting.transfer import TransferRow, compare_transfer
from flashsim.models.forecasting.validation import Interval


@dataclass(frozen=True)
class TransferConfig:
    """What is moved, and what it is scored on."""

    data: str | None = None
    """Folder of the three tables; none: Complete Journey from its package."""
    products: int = 100
    """Best sellers of both platforms."""
    weeks: tuple[int, ...] = (2, 4, 8)
    """Weeks that the new platform knows of itself."""
    heldout_weeks: int = 16
    """Last weeks, which are scored."""
    horizon_weeks: int = 4
    """Weeks from one origin to the next."""
    resamples: int = 2_000
    seed: int = 0
    """Of the bootstrap."""
    output: str = dated("transfer")

    def __post_init__(self) -> None:
        if not self.weeks or min((*self.weeks, self.products, self.heldout_weeks, self.horizon_weeks)) < 1:
            raise InputError("weeks, products, heldout_weeks and horizon_weeks must be >= 1, weeks not empty")
        if self.heldout_weeks % self.horizon_weeks or self.resamples < 1:
            raise InputError(
                f"heldout_weeks must be a multiple of horizon_weeks and resamples >= 1, got {self.heldout_weeks}, "
                f"{self.horizon_weeks} and {self.resamples}"
            )


@entry("transfer", TransferConfig)
def main(config: TransferConfig, folder: RunFolder) -> None:
    """Deal the stores, compare, print and write."""
    tables = complete_journey(None if config.data is None else Path(config.data))
    folder.record(seeds=[config.seed], data=tables.checksums(), notice=tables.notice)
    with folder.timed("reading"):
        home, other = (
            some_stores(tables, stores, what=what)
            for stores, what in zip(deal_stores(tables), ("home stores", "other stores"), strict=True)
        )
        source, target = shared_panels(home, other, count=config.products, held_out_weeks=config.heldout_weeks)
    first = source.n_weeks - config.heldout_weeks
    with folder.timed("comparing"):
        rows = compare_transfer(
            source,
            target,
            weeks=config.weeks,
            origins=range(first, source.n_weeks, config.horizon_weeks),
            horizon=config.horizon_weeks,
            resamples=config.resamples,
            generator=np.random.default_rng(config.seed),
        )
    table = pd.DataFrame([flat_row(row) for row in rows])
    write_table(folder.path / "transfer.csv", table)
    print(table.round(3).to_string(index=False), flush=True)
    print(f"{tables.notice}\nTable: {folder.path / 'transfer.csv'}", flush=True)


def flat_row(row: TransferRow) -> dict[str, object]:
    """A row whose intervals are columns."""
    flat: dict[str, object] = {}
    for name, value in row._asdict().items():
        if isinstance(value, Interval):
            flat |= {name: value.value, f"{name}_low": value.low, f"{name}_high": value.high}
        else:
            flat[name] = value
    return flat


if __name__ == "__main__":
    main()
