"""How good the simulator is at promotions: every past one predicted from what was known before it, then compared.

python -m experiments.studies.back_test
python -m experiments.studies.back_test products=300 data=FOLDER output=outputs/back_test/mine

Episodes are shelf promotions of Complete Journey: 10 % or more below the usual price, four weeks at most, 10 units or
more expected without them. Each is predicted from the lines before its first Monday (docs/fidelity.md tells how); one
process a core. Leaves ``episodes.csv``, ``scores.csv`` (all products, and the two halves by product id: the method was
settled on even ids), ``coverage.csv`` (by depth), ``back_test.json`` and ``back_test.png``.
"""

from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pandas as pd

from experiments.launch.entry import dated, entry
from experiments.launch.outputs import RunFolder
from experiments.launch.progress import progress_meter
from experiments.pipeline.prepare import MOST_PROCESSES, cores
from experiments.pipeline.training_progress import SPAWN
from flashsim.data.sources import complete_journey
from flashsim.errors import InputError
from flashsim.files import write_bytes, write_json, write_table
from flashsim.parallel import end_with_parent

if TYPE_CHECKING:
    from flashsim.fidelity.promotions import Outcome, Scored
    from flashsim.fidelity.promotions.shelf import ShelfTables

DEPTHS: Final = (0.1, 0.15, 0.2, 0.3, 0.4, 1.0)
"""Edges of the classes of depth."""


@dataclass(frozen=True)
class BackTestConfig:
    """What is predicted."""

    data: str | None = None
    """Folder of the three tables; none: Complete Journey from its package."""
    products: int = 600
    """Best sellers, by what was sold before each episode."""
    first_week: int = 16
    """First scored week; what began before is history of the rivals alone."""
    seed: int = 0
    """Of the draws and of the bootstrap."""
    output: str = dated("back_test")

    def __post_init__(self) -> None:
        if self.products < 1 or self.first_week < 0:
            raise InputError(f"products must be >= 1 and first_week >= 0, got {self.products} and {self.first_week}")


@entry("back_test", BackTestConfig)
def main(config: BackTestConfig, folder: RunFolder) -> None:
    """Predict, compare, print and write."""
    from flashsim.fidelity.promotions import judge, score_outcomes

    tables = complete_journey(None if config.data is None else Path(config.data))
    folder.record(seeds=[config.seed], data=tables.checksums(), notice=tables.notice)
    with folder.timed("predicting"):
        outcomes = predict_all(str(tables.folder), config)
    scored = score_outcomes(outcomes, first_week=config.first_week)
    found = judge(scored, seed=config.seed)
    write_json(folder.path / "back_test.json", found)
    write_table(folder.path / "episodes.csv", episode_table(scored))
    if "lines" in found:
        write_figures(scored, found, config, folder.path)
    print(f"{found['sentence']}\n{tables.notice}\nTables: {folder.path}", flush=True)


def predict_all(tables: str, config: BackTestConfig) -> list["Outcome"]:
    """The episodes of every origin, one process a core."""
    from flashsim.fidelity.promotions.shelf import origins

    weeks = origins(_read(tables, config.products).weeks)
    _read.cache_clear()
    found: list[Outcome] = []
    with _pool() as pool, progress_meter("predicting (weeks)", total=len(weeks)) as advance:
        waiting = [pool.submit(predict_week, tables, week, config.products, config.seed) for week in weeks]
        for done in as_completed(waiting):
            advance(1)
            if done.exception() is not None:
                pool.shutdown(cancel_futures=True)
        for one in waiting:
            found += one.result()
    return found


def _pool() -> ProcessPoolExecutor:
    """Processes that predict, one a core."""
    return ProcessPoolExecutor(min(cores(), MOST_PROCESSES), mp_context=SPAWN, initializer=end_with_parent)


def predict_week(tables: str, week: int, products: int, seed: int) -> list["Outcome"]:
    """The episodes of one origin; a process reads the tables once."""
    from flashsim.fidelity.promotions.shelf import outcomes_at

    return outcomes_at(_read(tables, products), origin=week, products=products, seed=seed)


@cache
def _read(tables: str, products: int) -> "ShelfTables":
    from flashsim.fidelity.promotions.shelf import read_shelf_tables

    return read_shelf_tables(complete_journey(Path(tables)), products=products)


def episode_table(scored: "Scored") -> pd.DataFrame:
    """One row an episode."""
    from flashsim.fidelity.promotions.scores import MODEL, RIVALS

    rows = []
    for place, (told, units) in enumerate(scored.outcomes):
        row: dict[str, Any] = {
            "product_id": told.product_id,
            "category": told.category,
            "week": told.start // 7,
            "days": told.stop - told.start,
            "depth": told.depth,
            "expected_without": told.expected,
            "units": units,
            "log_ratio": scored.actual[place],
            "predicted": scored.median[place],
            "low": scored.quantiles[MODEL][0, place],
            "high": scored.quantiles[MODEL][-1, place],
        }
        rows.append(row | {name: scored.centers[name][place] for name in RIVALS})
    return pd.DataFrame(rows)


def score_table(scored: "Scored", config: BackTestConfig) -> pd.DataFrame:
    """The lines for all products and for each half of them."""
    from flashsim.fidelity.promotions import judge

    is_even = np.array([int(outcome.predicted.product_id) % 2 == 0 for outcome in scored.outcomes])
    parts = {"all products": scored, "even ids": scored.chosen(is_even), "odd ids": scored.chosen(~is_even)}
    rows: list[dict[str, Any]] = []
    for name, part in parts.items():
        found = judge(part, seed=config.seed)
        rows += [{"products": name, "episodes": found["episodes"], **line} for line in found.get("lines", [])]
    return pd.DataFrame(rows).drop(columns="question")


def coverage_table(scored: "Scored") -> pd.DataFrame:
    """By depth: how many intervals hold what happened, and how far the predictions lie off."""
    from flashsim.models.forecasting.validation import INTERVAL

    depth = np.array([outcome.predicted.depth for outcome in scored.outcomes])
    inside = (scored.pit >= INTERVAL[0]) & (scored.pit <= INTERVAL[1])
    rows = []
    for low, high in pairwise(DEPTHS):
        where = (depth >= low) & (depth < high)
        if where.any():
            error = scored.actual[where] - scored.median[where]
            numbers = (where.sum(), inside[where].mean(), scored.median[where].mean(), scored.actual[where].mean())
            rows.append((low, high, *numbers, error.mean(), error.std()))
    names = ["depth_from", "depth_to", "episodes", "coverage_90", "predicted", "log_ratio", "bias", "error_sd"]
    return pd.DataFrame(rows, columns=names)


def write_figures(scored: "Scored", found: dict[str, Any], config: BackTestConfig, folder: Path) -> None:
    """The tables of scores, which are printed too, and the picture."""
    from experiments.studies.back_test_figure import draw_back_test

    tables = {"scores": score_table(scored, config), "coverage": coverage_table(scored)}
    for name, table in tables.items():
        write_table(folder / f"{name}.csv", table)
        print(f"\n{name}\n{table.to_string(index=False, float_format='{:.3f}'.format)}", flush=True)
    write_bytes(folder / "back_test.png", draw_back_test(episode_table(scored), tables["coverage"], found))


if __name__ == "__main__":
    main()
