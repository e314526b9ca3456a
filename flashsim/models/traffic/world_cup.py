"""Traffic parameters that the package ships: fitted on the 1998 World Cup site, or fitted again on any table.

    from flashsim.models.traffic.world_cup import load_shipped
    shipped = load_shipped()
    shipped.forecaster.forecast(series.visits, horizons=(1, 10, 60))   # series: flashsim.data.traffic
    shipped.detector.alarms(series.visits)
    shipped.rush.typical.multiplier([0.0, 30.0, 120.0])
    print(shipped.provenance["credit"])

Refit, from the table of requests per minute (period, count) or from a shop's own table (date, visits):

    python -m flashsim.models.traffic.world_cup requests_per_minute.csv --out traffic_parameters.json

The file holds parameters, their origin (period, method, SHA-256 of the table), and the scores of the same method on the
last ``HELDOUT_DAYS`` days when fitted on the days before; it never holds the data. The shipped parameters are then
fitted on all days. The data were HTTP requests of 1998, with many requests for each page view: shapes and ratios apply
to other sites, levels do not. A shop's own table is better as soon as it covers some weeks.
"""

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from flashsim.data.traffic import MINUTES_A_DAY, WORLD_CUP_COLUMNS, MinuteSeries, read_traffic, visits_by_minute
from flashsim.errors import InputError
from flashsim.files import read_json, sha256, write_json
from flashsim.models.traffic.bursts import QUIET_MINUTES, BurstDetector, detection_delays, fit_detector
from flashsim.models.traffic.forecast import FEATURES, HORIZONS, MEMORY_DAYS, TrafficForecaster, fit_forecaster
from flashsim.models.traffic.rush import RushModel, fit_rushes
from flashsim.models.traffic.scores import TrafficScores, score_forecast

SHIPPED: Final = Path(__file__).with_name("world_cup.json")
FORMAT: Final = 1
HELDOUT_DAYS: Final = 5
SCORED_HORIZONS: Final = (1, 5, 10, 30, 60)
BURSTS: Final = 100
"""Injected bursts per size."""
DIGITS: Final = 6
"""Significant digits kept."""
WORLD_CUP_CREDIT: Final = (
    "M. Arlitt and T. Jin, 1998 World Cup Web Site Access Logs, Hewlett-Packard Laboratories, August 1998; Internet "
    "Traffic Archive (ITA), sponsored by ACM SIGCOMM"
)
METHOD: Final = (
    "forecaster: weighted absolute deviations and empirical quantiles (flashsim/models/traffic/forecast.py); "
    "detector: smallest threshold with few false alarms (flashsim/models/traffic/bursts.py); rush: least squares of "
    "log multiplier, rush by rush (flashsim/models/traffic/rush.py)"
)
REFIT: Final = "python -m flashsim.models.traffic.world_cup requests_per_minute.csv --out traffic_parameters.json"


@dataclass(frozen=True)
class TrafficParameters:
    """All parameters learned from one table of traffic."""

    forecaster: TrafficForecaster
    """The next 1 to 60 minutes."""
    detector: BurstDetector
    """Sudden bursts."""
    rush: RushModel
    """Ramp and decay of a rush."""
    provenance: Mapping[str, Any]
    """Source, credit, period, rows, SHA-256 of the table, method, and how to refit."""
    evidence: Mapping[str, Any]
    """Scores on held-out days, and the rushes found."""


def load_shipped() -> TrafficParameters:
    """Load the parameters that the package ships."""
    return load_parameters(SHIPPED)


def load_parameters(path: Path) -> TrafficParameters:
    """Load parameters saved by :func:`save_parameters`. InputError when the file holds something else."""
    record = read_json(path)
    if not isinstance(record, dict) or record.get("format") != FORMAT:
        raise InputError(f"{path} does not hold traffic parameters of format {FORMAT}; refit with: {REFIT}")
    try:
        made, rush = record["forecaster"], record["rush"]
        if tuple(made["horizons"]) != HORIZONS or tuple(made["features"]) != FEATURES:
            raise InputError(f"{path} was fitted for other horizons or features; refit with: {REFIT}")
        arrays = [np.asarray(made[name], dtype=np.float64) for name in ("coefficients", "scale", "quantiles")]
        return TrafficParameters(
            forecaster=TrafficForecaster(*arrays),
            detector=BurstDetector(float(record["detector"]["threshold"]), float(record["detector"]["least_ratio"])),
            rush=RushModel(np.asarray(rush["mean"]), np.asarray(rush["covariance"]), int(rush["rushes"])),
            provenance=record["provenance"],
            evidence=record["evidence"],
        )
    except (KeyError, TypeError) as error:
        raise InputError(f"{path} lacks the entry {error}; refit with: {REFIT}") from error


def save_parameters(parameters: TrafficParameters, path: Path) -> None:
    """Write ``parameters`` as JSON: the whole file, or nothing."""
    made, rush = parameters.forecaster, parameters.rush
    write_json(
        path,
        {
            "format": FORMAT,
            "forecaster": {
                "horizons": list(HORIZONS),
                "features": list(FEATURES),
                **{name: _rounded(getattr(made, name)) for name in ("coefficients", "scale", "quantiles")},
            },
            "detector": {name: _rounded(value) for name, value in vars(parameters.detector).items()},
            "rush": {"mean": _rounded(rush.mean), "covariance": _rounded(rush.covariance), "rushes": rush.rushes},
            "provenance": dict(parameters.provenance),
            "evidence": dict(parameters.evidence),
        },
    )


def fit_parameters(series: MinuteSeries, *, provenance: Mapping[str, Any]) -> TrafficParameters:
    """Score the method on the last days of ``series``, then fit it on all days.

    InputError when there are fewer than HELDOUT_DAYS + 4 days, or too few rushes.
    """
    visits = series.visits
    start = visits.size - HELDOUT_DAYS * MINUTES_A_DAY
    if start < 4 * MINUTES_A_DAY:
        raise InputError(
            f"the table spans {visits.size / MINUTES_A_DAY:.1f} days, at least {HELDOUT_DAYS + 4} are needed to "
            "fit and to score; bring more"
        )
    found = fit_rushes(visits)
    last = series.start + pd.Timedelta(minutes=visits.size - 1)
    return TrafficParameters(
        forecaster=fit_forecaster(visits),
        detector=fit_detector(visits),
        rush=found.model,
        provenance={
            **provenance,
            "period": f"{series.start} to {last}",
            "minutes": int(visits.size),
            "account": list(series.account.sentences()),
            "method": METHOD,
            "memory_days": MEMORY_DAYS,
            "refit": REFIT,
        },
        evidence={
            "held_out_days": HELDOUT_DAYS,
            "forecast": [_scores(score_forecast(visits, start=start, horizon=h)) for h in SCORED_HORIZONS],
            "bursts": score_bursts(visits, start=start),
            "rushes": [_rounded(list(vars(rush).values())) for rush in found.rushes],
            "shapes_bic": {name: _rounded(value) for name, value in found.information.items()},
        },
    )


def score_bursts(visits: NDArray[np.float64], *, start: int, seed: int = 0) -> dict[str, Any]:
    """Score a detector that is fitted on the days before minute ``start``: false alarms a day after it, and bursts
    found."""
    detector = fit_detector(visits[:start])
    alarms = detector.alarms(visits)
    generator = np.random.default_rng(seed)
    places = generator.integers(start, visits.size - QUIET_MINUTES, BURSTS)
    within = {
        f"{factor:g}": float((detection_delays(detector, visits, minutes=places, factor=factor) <= 3).mean())
        for factor in (2.0, 3.0, 10.0)
    }
    days = (visits.size - start) / MINUTES_A_DAY
    return {
        "threshold": _rounded(detector.threshold),
        "false_alarms_a_day": float((alarms >= start).sum() / days),
        "share_found_within_3_minutes_by_factor": within,
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """The command of the module's docstring; exit code 2 on input that cannot be used."""
    parser = argparse.ArgumentParser(
        prog="python -m flashsim.models.traffic.world_cup", description="Refit traffic parameters."
    )
    parser.add_argument("table", type=Path, help="CSV or Parquet: date, visits (or period, count)")
    parser.add_argument("--out", type=Path, required=True, help="JSON file to write")
    parser.add_argument("--source", default="", help="what the table is; the World Cup's by default for its columns")
    given = parser.parse_args(arguments)
    try:
        try:
            table, source = read_traffic(given.table), given.source or given.table.name
        except InputError as refusal:
            if "column 'date' is missing" not in str(refusal):
                raise
            table = read_traffic(given.table, columns=WORLD_CUP_COLUMNS)
            source = given.source or "requests per minute of the 1998 World Cup web site"
        credit = WORLD_CUP_CREDIT if "World Cup" in source else "the table's owner"
        provenance = {"source": source, "credit": credit, "sha256": sha256(given.table)}
        parameters = fit_parameters(visits_by_minute(table), provenance=provenance)
        save_parameters(parameters, given.out)
    except InputError as refusal:
        print(refusal, file=sys.stderr)
        return 2
    print("\n".join(parameters.rush.sentences()))
    return 0


def _scores(scores: TrafficScores) -> dict[str, Any]:
    return {
        "horizon_minutes": scores.horizon,
        "pinball": {name: _rounded(value) for name, value in scores.pinball.items()},
        "saved": {name: _rounded(list(gain)) for name, gain in scores.improvement.items()},
        "coverage_of_90_percent_intervals": _rounded(scores.coverage),
    }


def _rounded(values: Any) -> Any:
    """The value, or nested lists of values, to ``DIGITS`` significant digits."""
    array = np.asarray(values, dtype=np.float64)
    if array.ndim:
        return [_rounded(value) for value in array]
    return float(f"{float(array):.{DIGITS}g}")


if __name__ == "__main__":
    raise SystemExit(main())
