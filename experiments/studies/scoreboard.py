"""The scoreboard of demand models: weeks they have not seen, weekly and daily, losers included.

python -m experiments.studies.scoreboard
python -m experiments.studies.scoreboard recurrent.cell=lstm grains=[weekly] output=outputs/scoreboard/lstm

Rolling origin: every model is fitted at an origin on the weeks before it and then forecasts week by week, knowing sales
up to the Sunday before; the promotion plan of the week is known. The first origins only warm up: errors there give the
learned models their dispersion at the first scored origin, and later ones add to it, so that no spread is judged on the
errors that made it. The ensemble is the geometric mean of the learned models, whose settings and company were chosen on
the warm-up weeks alone: trees on raw lags are the worst of them, and the ones it gains most from, for they err
elsewhere. Leaves ``scores.csv``, ``reductions.csv``, ``coverage.csv`` and ``scoreboard.png``.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from experiments.launch.entry import dated, entry
from experiments.launch.outputs import RunFolder
from experiments.launch.progress import progress_meter
from experiments.studies.scoreboard_figure import draw_scoreboard
from flashsim.data.clean import RowAccount, clean_promotions, clean_transactions
from flashsim.data.panel import DAYS_OF_WEEK, Panel, build_panel, select_products
from flashsim.data.sources import ShopTables, complete_journey
from flashsim.errors import InputError
from flashsim.files import write_bytes, write_table
from flashsim.models.demand.dispersion import estimate_dispersion
from flashsim.models.forecasting import naive as rivals
from flashsim.models.forecasting.backtest import RECENT_WEEKS
from flashsim.models.forecasting.boosting import BoostedTrees
from flashsim.models.forecasting.forecast_view import Forecaster, leveled, view_at
from flashsim.models.forecasting.recurrent import RecurrentForecaster
from flashsim.models.forecasting.scoring import (
    CountForecast,
    NegativeBinomial,
    Scores,
    coverage,
    coverage_by_volume,
    pit_distance,
    reduction,
    score_forecast,
    two_way_resamples,
)

OURS, BOOSTED, RAW, ENSEMBLE = "negative binomial + level filter", "LightGBM", "LightGBM, raw lags", "ensemble"
NAIVE: Final[dict[str, dict[str, Callable[..., CountForecast]]]] = {
    "weekly": {
        "last value": rivals.last_value,
        "8-week mean": rivals.mean_8,
        "13-week median": rivals.median_13,
        "13-week quantiles": rivals.empirical_13,
        "seasonal naive (4 weeks)": rivals.seasonal_naive,
    },
    "daily": {
        "lag 7": rivals.last_value,
        "56-day median": rivals.median_56_days,
        "56-day quantiles": rivals.empirical_56_days,
        "13-week quantiles": rivals.empirical_13,
        "seasonal naive (4 weeks)": rivals.seasonal_naive,
    },
}
TO_BEAT: Final = {"weekly": ("last value", "8-week mean", "13-week median"), "daily": ("lag 7", "56-day median")}
"""Naive forecasts of which the best is to be beaten."""
LOSSES: Final = ("absolute", "pinball", "crps")
FEWEST_WEEKS: Final = 16
"""Weeks before the first warm-up origin."""


@dataclass(frozen=True)
class ScoreboardConfig:
    """What is compared on which weeks."""

    data: str | None = None
    """Folder of the three tables; none: Complete Journey from its package."""
    products: int = 300
    heldout_weeks: int = 16
    """Last weeks, which are scored."""
    horizon_weeks: int = 4
    """Weeks from one origin to the next."""
    warm_up_origins: int = 4
    """Origins before the scored ones."""
    grains: tuple[str, ...] = ("weekly", "daily")
    boosted: BoostedTrees = field(default_factory=BoostedTrees)
    boosted_raw: BoostedTrees = field(
        default_factory=lambda: BoostedTrees(
            deflates=False, trees=400, learning_rate=0.05, leaves=31, penalty=10.0, bags=1
        )
    )
    """Trees that must find out for themselves what an offer brings: more of them, and larger."""
    recurrent: RecurrentForecaster = field(default_factory=RecurrentForecaster)
    resamples: int = 4_000
    seed: int = 0
    """Of the bootstrap and of the randomized PIT."""
    output: str = dated("scoreboard")

    def __post_init__(self) -> None:
        unknown = [grain for grain in self.grains if grain not in NAIVE]
        if unknown or not self.grains:
            raise InputError(f"grains must be some of {', '.join(NAIVE)}, got {list(self.grains)}")
        if min(self.products, self.heldout_weeks, self.horizon_weeks, self.warm_up_origins, self.resamples) < 1:
            raise InputError("products, heldout_weeks, horizon_weeks, warm_up_origins and resamples must be >= 1")


@entry("scoreboard", ScoreboardConfig)
def main(config: ScoreboardConfig, folder: RunFolder) -> None:
    """Fit, forecast, score, print and write."""
    tables = complete_journey(None if config.data is None else Path(config.data))
    folder.record(seeds=[config.seed], data=tables.checksums(), notice=tables.notice)
    with folder.timed("reading"):
        panel = read_panel(tables, config)
    forecasters: dict[str, Forecaster] = {
        OURS: leveled,
        BOOSTED: config.boosted,
        RAW: config.boosted_raw,
        config.recurrent.cell.upper(): config.recurrent,
    }
    with folder.timed("forecasting"):
        means = forecast_all(panel, forecasters, config)
    for by_name in means.values():
        by_name[ENSEMBLE] = geometric_mean(list(by_name.values()))
    with folder.timed("scoring"):
        boards = {grain: score_all(panel, means[grain], grain=grain, config=config) for grain in config.grains}
    write_results(boards, panel, config, folder.path)


def read_panel(tables: ShopTables, config: ScoreboardConfig) -> Panel:
    """The best sellers by the piece of the weeks before the scored ones."""
    account = RowAccount()
    products = tables.read_products()
    lines = clean_transactions(tables.read_transactions(), products, time_zone=tables.time_zone, account=account)
    weeks = int((lines["day"].max() - lines["day"].min()).days) // DAYS_OF_WEEK + 1
    early = weeks - config.heldout_weeks
    needed = config.warm_up_origins * config.horizon_weeks + FEWEST_WEEKS
    if early < needed:
        raise InputError(f"{early} weeks lie before the scored ones, {needed} are needed; hold out or warm up fewer")
    chosen = select_products(lines, count=config.products, ranking_weeks=early, account=account)
    ids = [int(product) for product in chosen["product_id"].unique()]
    promotions = clean_promotions(tables.read_promotions(ids), rows_in_file=tables.count_promotions(), account=account)
    return build_panel(chosen, all_lines=lines, products=products, promotions=promotions, early_weeks=early)


Means = dict[str, dict[str, NDArray[np.float64]]]
"""Mean units (product, week from the first origin on, period) by grain and forecaster."""


def origins_of(panel: Panel, config: ScoreboardConfig) -> list[int]:
    """Warm-up origins, then scored ones."""
    first = panel.n_weeks - config.heldout_weeks
    return list(range(first - config.warm_up_origins * config.horizon_weeks, panel.n_weeks, config.horizon_weeks))


def forecast_all(panel: Panel, forecasters: dict[str, Forecaster], config: ScoreboardConfig) -> Means:
    """Every forecaster at every origin."""
    parts: dict[str, dict[str, list[NDArray[np.float64]]]] = {
        grain: {name: [] for name in forecasters} for grain in config.grains
    }
    origins = origins_of(panel, config)
    steps = len(origins) * (1 + len(forecasters) * len(config.grains))
    with progress_meter("forecasting", total=steps) as advance:
        for origin in origins:
            daily = view_at(panel, origin=origin, stop=min(origin + config.horizon_weeks, panel.n_weeks))
            advance(1)
            for grain in config.grains:
                view = daily if grain == "daily" else daily.weekly()
                for name, forecaster in forecasters.items():
                    parts[grain][name].append(forecaster(view))
                    advance(1)
    return {
        grain: {name: np.concatenate(arrays, axis=1) for name, arrays in by_name.items()}
        for grain, by_name in parts.items()
    }


def geometric_mean(means: list[NDArray[np.float64]]) -> NDArray[np.float64]:
    """Equal weights on the log scale; 0 where any of them is 0."""
    logs = np.log(np.maximum(np.stack(means), 1e-12)).mean(axis=0)
    return np.where(np.min(means, axis=0) > 0.0, np.exp(logs), 0.0)


def score_all(
    panel: Panel, means: dict[str, NDArray[np.float64]], *, grain: str, config: ScoreboardConfig
) -> dict[str, Scores]:
    """Scores of every forecast on the held-out weeks."""
    is_daily = grain == "daily"
    units = panel.units if is_daily else panel.units.sum(axis=2, keepdims=True)
    first = panel.n_weeks - config.heldout_weeks
    scored = scored_cells(panel, config, is_daily=is_daily)
    forecasts: dict[str, CountForecast] = {
        name: learn(units, weeks=range(first, panel.n_weeks)) for name, learn in NAIVE[grain].items()
    }
    for name, mean in means.items():
        forecasts[name] = with_dispersion(panel, mean, units=units, config=config)
    return {
        name: score_forecast(
            forecast,
            units[:, first:],
            scored=scored,
            past=units[:, :first],
            generator=np.random.default_rng((config.seed, 1)),
        )
        for name, forecast in forecasts.items()
    }


def scored_cells(panel: Panel, config: ScoreboardConfig, *, is_daily: bool) -> NDArray[np.bool_]:
    """Cells (product, scored week, period) of products that sold in the 8 weeks before the origin, on open days."""
    periods = DAYS_OF_WEEK if is_daily else 1
    first = panel.n_weeks - config.heldout_weeks
    cells = np.zeros((panel.n_products, config.heldout_weeks, periods), dtype=bool)
    for origin in origins_of(panel, config)[config.warm_up_origins :]:
        recent = panel.units[:, origin - RECENT_WEEKS : origin].sum(axis=(1, 2)) > 0
        cells[:, origin - first : origin - first + config.horizon_weeks] = recent[:, None, None]
    return cells & panel.is_open[first:] if is_daily else cells


def with_dispersion(
    panel: Panel, mean: NDArray[np.float64], *, units: NDArray[np.float64], config: ScoreboardConfig
) -> NegativeBinomial:
    """The scored weeks as negative binomials, whose dispersion at an origin comes from forecasts before it."""
    origins = origins_of(panel, config)
    start, first = origins[0], panel.n_weeks - config.heldout_weeks
    alpha = np.zeros((panel.n_products, config.heldout_weeks))
    for origin in origins[config.warm_up_origins :]:
        known = mean[:, : origin - start].reshape(panel.n_products, -1)
        seen = units[:, start:origin].reshape(panel.n_products, -1)
        found = estimate_dispersion(seen, known, clumping=panel.clumping)
        alpha[:, origin - first : origin - first + config.horizon_weeks] = found.alpha[:, None]
    return NegativeBinomial(mean[:, first - start :], alpha, panel.clumping)


def write_results(boards: dict[str, dict[str, Scores]], panel: Panel, config: ScoreboardConfig, folder: Path) -> None:
    """Tables and picture; the tables are printed too."""
    tables = {
        "scores": pd.concat([score_table(board, grain) for grain, board in boards.items()]),
        "reductions": pd.concat([reduction_table(board, grain, config) for grain, board in boards.items()]),
        "coverage": pd.concat([coverage_table(board, grain, panel) for grain, board in boards.items()]),
    }
    for name, table in tables.items():
        write_table(folder / f"{name}.csv", table)
        print(f"\n{name}\n{table.to_string(index=False, float_format='{:.4f}'.format)}", flush=True)
    write_bytes(folder / "scoreboard.png", draw_scoreboard(tables["scores"], boards))


def score_table(board: dict[str, Scores], grain: str) -> pd.DataFrame:
    """One row a forecast, best pinball loss first."""
    rows = [
        {
            "grain": grain,
            "forecast": name,
            "wape": scores.wape(),
            "rmsse": scores.rmsse,
            "pinball": scores.mean_pinball(),
            "crps": scores.mean_crps(),
            "coverage_90": coverage(scores.pit),
            "pit_distance": pit_distance(scores.pit),
            "cells": int(scores.cells.sum()),
        }
        for name, scores in board.items()
    ]
    return pd.DataFrame(rows).sort_values("pinball", kind="stable")


def reduction_table(board: dict[str, Scores], grain: str, config: ScoreboardConfig) -> pd.DataFrame:
    """Relative reductions of losses with 90 % intervals: our model and the ensemble against every other forecast."""
    shape = board[ENSEMBLE].actual.shape
    drawn = two_way_resamples(*shape, resamples=config.resamples, generator=np.random.default_rng((config.seed, 2)))
    best = min(TO_BEAT[grain], key=lambda name: board[name].mean_pinball())
    rows: list[dict[str, Any]] = []
    for name in (ENSEMBLE, OURS):
        for rival, scores in board.items():
            if rival == name:
                continue
            row: dict[str, Any] = {"grain": grain, "forecast": name, "against": rival, "best_naive": rival == best}
            for loss in LOSSES:
                found = reduction(getattr(board[name], loss), getattr(scores, loss), drawn=drawn)
                row |= {loss: found.value, f"{loss}_low": found.low, f"{loss}_high": found.high}
            rows.append(row)
    return pd.DataFrame(rows).rename(columns=lambda column: column.replace("absolute", "wape"))


def coverage_table(board: dict[str, Scores], grain: str, panel: Panel) -> pd.DataFrame:
    """Share of randomized PIT values inside the central 90 %, by thirds of the cells by units a week of the product."""
    early = panel.units[:, : panel.n_weeks - next(iter(board.values())).actual.shape[1]]
    volume = early.sum(axis=(1, 2)) / early.shape[1]
    rows = []
    for name, scores in board.items():
        count = scores.cells.sum(axis=1).astype(np.intp)
        for low, high, share in coverage_by_volume(scores.pit, np.repeat(volume, count)):
            rows.append({"grain": grain, "forecast": name, "units_from": low, "units_to": high, "coverage_90": share})
    return pd.DataFrame(rows)


if __name__ == "__main__":
    main()
