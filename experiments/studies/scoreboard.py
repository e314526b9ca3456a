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

from dataclasses import dataclass, field
from pathlib import Path

from experiments.launch.entry import dated, entry
from experiments.launch.outputs import RunFolder
from flashsim.data.sources import complete_journey
from flashsim.errors import InputError
from flashsim.models.forecasting.boosting import BoostedTrees
from flashsim.models.forecasting.recurrent import RecurrentForecaster

GRAINS = ("weekly", "daily")


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
    grains: tuple[str, ...] = GRAINS
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
        unknown = [grain for grain in self.grains if grain not in GRAINS]
        if unknown or not self.grains:
            raise InputError(f"grains must be some of {', '.join(GRAINS)}, got {list(self.grains)}")
        if min(self.products, self.heldout_weeks, self.horizon_weeks, self.warm_up_origins, self.resamples) < 1:
            raise InputError("products, heldout_weeks, horizon_weeks, warm_up_origins and resamples must be >= 1")


@entry("scoreboard", ScoreboardConfig)
def main(config: ScoreboardConfig, folder: RunFolder) -> None:
    """Fit, forecast, score, print and write."""
    from experiments.studies.forecast_contest import hold_contest

    tables = complete_journey(None if config.data is None else Path(config.data))
    folder.record(seeds=[config.seed], data=tables.checksums(), notice=tables.notice)
    hold_contest(tables, config, folder)


if __name__ == "__main__":
    main()
