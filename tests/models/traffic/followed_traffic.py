"""Sites whose level changes, followed online, and how good the forecasts were.

    python -m tests.models.traffic.followed_traffic

prints the table of the World Cup's last two weeks: each change, horizon by horizon, with the warnings that it gave.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from flashsim.models.forecasting.validation import QUANTILE_LEVELS
from flashsim.models.traffic.forecast import fit_forecaster
from flashsim.models.traffic.online import DriftWarning, OnlineForecaster, forecast_online
from flashsim.models.traffic.scores import TrafficScores, score_quantiles
from tests.data.world_cup import read_world_cup

DAY = 1440
HORIZONS = (1, 5, 10, 30, 60)
RIVALS = ("persistence, dressed", "persistence, dressed daily")


class Followed(NamedTuple):
    """What came of following a site from a minute on."""

    online: OnlineForecaster
    scores: dict[int, TrafficScores]  # by horizon
    covered: dict[int, NDArray[np.float64]]  # by horizon; day; share within the 90 % intervals
    warnings: list[DriftWarning]  # minutes counted from the start

    def levels(self) -> list[DriftWarning]:
        return [warning for warning in self.warnings if warning.kind == "level"]


def thin(visits: NDArray[np.float64], share: float, *, minutes: slice, seed: int = 0) -> NDArray[np.float64]:
    """Keep each visit of ``minutes`` with probability ``share``."""
    out, known = visits.copy(), np.isfinite(visits)
    chosen = np.zeros(visits.size, dtype=np.bool_)
    chosen[minutes] = True
    chosen &= known
    out[chosen] = np.random.default_rng(seed).binomial(visits[chosen].astype(np.int64), share)
    return out


def make_step(
    factor: float, *, minute: int, days: int = 12, level: float = 2000.0, seed: int = 2
) -> NDArray[np.float64]:
    """Poisson visits with a daily wave; from ``minute`` on the rate is multiplied by ``factor``."""
    rate = level * (1.0 + 0.5 * np.sin(2 * np.pi * np.arange(days * DAY) / DAY))
    rate[minute:] *= factor
    return np.random.default_rng(seed).poisson(rate).astype(np.float64)


def follow(visits: NDArray[np.float64], *, start: int, horizons: Sequence[int] = HORIZONS) -> Followed:
    """Fit before ``start``, follow from there, score every minute."""
    online = OnlineForecaster(fit_forecaster(visits[:start]), history=visits[:start])
    offset = online.minutes
    quantiles = forecast_online(online, visits[start:], horizons=horizons)
    scores, covered = {}, {}
    for horizon, forecast in quantiles.items():
        padded = np.vstack([np.full((start, len(QUANTILE_LEVELS)), np.nan), forecast])
        scores[horizon] = score_quantiles(visits, padded, start=start, horizon=horizon, is_redressed=True)
        later, known = visits[start:], np.isfinite(visits[start:]) & np.isfinite(forecast[:, 0])
        inside = np.where(known, (later >= forecast[:, 0]) & (later <= forecast[:, -1]), np.nan)
        covered[horizon] = np.array([np.nanmean(inside[day : day + DAY]) for day in range(0, inside.size, DAY)])
    warnings = [
        DriftWarning(warning.kind, warning.found - offset, warning.began - offset, warning.factor)
        for warning in online.warnings
        if warning.found > offset
    ]
    return Followed(online, scores, covered, warnings)


def main() -> None:
    """Print the table."""
    visits = read_world_cup().visits
    start, changed = visits.size - 14 * DAY, visits.size - 14 * DAY + 700
    sites = {
        "a tenth from the start on": thin(visits, 0.1, minutes=slice(start, None)),
        "unthinned": visits,
        "a tenth all the time": thin(visits, 0.1, minutes=slice(None)),
        "0.03 from 11:40": thin(visits, 0.03, minutes=slice(changed, None)),
        "0.3 from 11:40": thin(visits, 0.3, minutes=slice(changed, None)),
        "3 times from 11:40": thin(visits, 1 / 3, minutes=slice(changed)),
        "30 times from 11:40": thin(visits, 1 / 30, minutes=slice(changed)),
    }
    for name, site in sites.items():
        followed = follow(site, start=start)
        print(name, [(w.kind, w.found, w.began, round(w.factor, 3)) for w in followed.warnings])
        for horizon, score in followed.scores.items():
            leads = [f"{rival} {score.improvement[rival].value:+.1%}" for rival in RIVALS]
            days = " ".join(f"{share:.2f}" for share in followed.covered[horizon][:3])
            print(f"  {horizon:2} min: covered {score.coverage:.1%} (first days {days}); lead over", "; ".join(leads))


if __name__ == "__main__":
    main()
