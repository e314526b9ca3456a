"""Sudden bursts of visits: an alarm within minutes, at a rate of false alarms that the user sets.

    from flashsim.models.traffic.bursts import fit_detector
    detector = fit_detector(series.visits, alarms_a_day=0.2)
    detector.alarms(series.visits)                       # minutes in which an alarm begins
    detector.score(series.visits)[-1] >= detector.threshold

With m the median of the ``REFERENCE_MINUTES`` minutes before, and n the noise of a minute,

    ratio = log((1 + visits) / (1 + m)),   n² = (1.48 median |change of log(1 + visits)| of a day)² / 2 + 1 / (1 + m),
    score = ratio / n

An alarm begins where the score reaches the threshold and visits are at least ``least_ratio`` times the reference; no
other alarm begins for ``QUIET_MINUTES``. Everything is known at the end of the minute itself, so an alarm at minute t
means a burst that began at t or shortly before. The threshold is the smallest that keeps the false alarms of a period
of ordinary days to ``alarms_a_day``. Everything that happened on those days counts as ordinary, outages and sudden
popularity alike.

A missing minute gives no information. After more missing minutes than the reference holds, and at the start of a
series, the detector waits until the reference is full again. A slow rush (the ramp of a sale) is not a burst: see
``rush.py``. Source: Hampel (1974), JASA 69 (median and scaled median deviation). Left out: bursts of other sizes at
other speeds, as a CUSUM would find.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from flashsim.data.traffic import MINUTES_A_DAY
from flashsim.errors import InputError
from flashsim.models.traffic.forecast import carry_forward, checked_visits, learnable_visits

Array = NDArray[np.float64]
REFERENCE_MINUTES: Final = 15
QUIET_MINUTES: Final = 30
LEAST_RATIO: Final = 1.5
"""Visits below this multiple of the reference are no burst, however quiet the site is."""
MEMORY_MINUTES: Final = MINUTES_A_DAY + REFERENCE_MINUTES
"""A score looks back this far."""


@dataclass(frozen=True)
class BurstDetector:
    """When an alarm begins."""

    threshold: float
    """Score at which an alarm begins; noise standard deviations."""
    least_ratio: float = LEAST_RATIO
    """Visits over the reference at which an alarm begins."""

    def __post_init__(self) -> None:
        if not (np.isfinite(self.threshold) and self.threshold > 0.0):
            raise InputError(f"threshold must be > 0 standard deviations, got {self.threshold}; fit it again")
        if not (np.isfinite(self.least_ratio) and self.least_ratio > 1.0):
            raise InputError(f"least_ratio must be > 1, got {self.least_ratio}; {LEAST_RATIO} is usual")

    def score(self, visits: ArrayLike) -> Array:
        """(minute,) score; 0 where it is unknown or visits are below ``least_ratio`` times the reference."""
        known = checked_visits(visits, least=1)
        logs = pd.Series(np.log1p(carry_forward(known)))
        reference = logs.rolling(REFERENCE_MINUTES, min_periods=REFERENCE_MINUTES).median().shift(1)
        steps = logs.diff().abs().shift(1).rolling(MINUTES_A_DAY, min_periods=REFERENCE_MINUTES - 1).median()
        noise = np.sqrt((1.4826 * steps) ** 2 / 2.0 + np.exp(-reference))
        ratio = logs - reference
        said = np.isfinite(known) & ~_is_stale(np.isnan(known)) & (ratio >= np.log(self.least_ratio)).to_numpy()
        return np.where(said, np.nan_to_num((ratio / noise).to_numpy()), 0.0)

    def alarms(self, visits: ArrayLike) -> NDArray[np.intp]:
        """Minutes in which an alarm begins, ascending."""
        return _spaced(np.flatnonzero(self.score(visits) >= self.threshold))


def fit_detector(visits: ArrayLike, *, alarms_a_day: float = 0.2, least_ratio: float = LEAST_RATIO) -> BurstDetector:
    """Fit the most sensitive detector with at most ``alarms_a_day`` on ``visits`` (minute,). InputError on bad
    input."""
    known = learnable_visits(visits)
    if not alarms_a_day >= 0.0:
        raise InputError(f"alarms_a_day must be >= 0, got {alarms_a_day}; correct it")
    score = BurstDetector(1.0, least_ratio).score(known)
    allowed = int(alarms_a_day * known.size / MINUTES_A_DAY)
    candidates = np.unique(np.concatenate([[3.0], score[score > 3.0] * (1.0 + 1e-9)]))
    # A higher threshold can give more alarms (an alarm silences its neighbors), so the search starts at the top.
    best = candidates[-1]
    for threshold in candidates[::-1]:
        if _spaced(np.flatnonzero(score >= threshold)).size > allowed:
            break
        best = threshold
    return BurstDetector(float(best), least_ratio)


def inject_burst(visits: Array, *, minute: int, factor: float = 10.0, minutes: int = 30) -> Array:
    """A copy of ``visits`` in which ``minutes`` minutes from ``minute`` on are multiplied by ``factor``."""
    out = visits.copy()
    out[minute : minute + minutes] *= factor
    return out


def detection_delays(detector: BurstDetector, visits: Array, *, minutes: NDArray[np.intp], factor: float) -> Array:
    """(burst,) minutes from each injected burst to its alarm; the first minute counts 1; infinite without an alarm.

    Each burst is injected alone. An alarm that was already active (within ``QUIET_MINUTES``) does not count.
    """
    delays = np.full(minutes.size, np.inf)
    for i, minute in enumerate(minutes):
        first = max(0, int(minute) - MEMORY_MINUTES - QUIET_MINUTES)
        window = inject_burst(visits[first : minute + QUIET_MINUTES], minute=int(minute) - first, factor=factor)
        alarms = detector.alarms(window) + first
        after = alarms[alarms >= minute]
        if after.size:
            delays[i] = float(after[0] - minute + 1)
    return delays


def _spaced(minutes: NDArray[np.intp]) -> NDArray[np.intp]:
    """Keep those of ``minutes`` (ascending) that come more than ``QUIET_MINUTES`` after the last minute kept."""
    kept: list[int] = []
    for minute in minutes.tolist():
        if not kept or minute - kept[-1] > QUIET_MINUTES:
            kept.append(minute)
    return np.array(kept, dtype=np.intp)


def _is_stale(missing: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Minutes that come less than a reference after the start, or after a gap longer than a reference."""
    length = pd.Series(missing).astype(int).rolling(REFERENCE_MINUTES + 1, min_periods=1).sum().to_numpy()
    gap = pd.Series(length > REFERENCE_MINUTES).rolling(REFERENCE_MINUTES + 1, min_periods=1).max().to_numpy() > 0
    gap[:REFERENCE_MINUTES] = True
    return np.asarray(gap, dtype=np.bool_)
