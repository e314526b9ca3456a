"""Johnson's t: an interval of a mean that counts how skewed the few values are.

Of n values with mean x̄, standard deviation s and third central moment m, with d = x̄ - μ,

    t = (d + m/(6·s²·n) + m·d²/(3·s⁴))·√n/s

has Student's distribution to a higher order than d·√n/s, which a long tail shifts: where most values lie below the mean
and a few far above it, Student's interval is too short on the side of the tail. The interval is every μ that
t = ± quantile leaves around x̄. Beyond d = -3·s⁴/(2·m) the square turns back, so t stays at its value there; where that
value lies within the quantile the end is open: the values are too skewed to tell.

Further out in the tails Student's law is too good: of 20 lognormal values of skewness 3, 5 % are claimed at level 5 %,
but 1.4 instead of .8 % at level 5/6 %, which a claim among six needs. So below 5 % the law is read at a smaller level,

    level = .05·(alpha/.05)^(1/(1 - 1.8/√n))

where 1.8 was fitted to lognormal values of skewness 3 and six claims at once (``tests.evaluation.verdict_claims``).

Source: Johnson (1978), Journal of the American Statistical Association 73(363), 536-544, "Modified t tests and
confidence intervals for asymmetrical populations"; the correction below 5 % is our own. Left out: kurtosis.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtr, stdtrit

Array = NDArray[np.float64]
NEGLIGIBLE = 1e-9
"""Of a mean, or of the larger one of two: less than this is rounding."""
ACCURATE_TO = 0.05
"""Above this level Student's law holds for Johnson's t as it is."""
TAIL_COST = 1.8
LEAST_SIZE = 8
"""Fewer values are corrected as these."""


class Skewed(NamedTuple):
    """Moments of the values that one column is the mean of; each (column,)."""

    mean: Array
    error: Array
    """Standard error of the mean, s/√n."""
    third_moment: Array
    """Unbiased third central moment."""
    size: int
    """n."""

    @property
    def skewness(self) -> Array:
        """Third moment over s³; 0 where nothing varies."""
        cubed = (self.error * np.sqrt(self.size)) ** 3
        return np.divide(self.third_moment, cubed, out=np.zeros_like(cubed), where=cubed > 0.0)


def skewed(values: Array, *, error: Array) -> Skewed:
    """Moments of ``values`` (value, column), at least three of them for a skewness, whose mean has ``error``."""
    count = values.shape[0]
    mean = np.asarray(values.mean(axis=0))
    unbiased = count**2 / ((count - 1) * (count - 2)) if count > 2 else 0.0
    return Skewed(mean, error, np.asarray(((values - mean) ** 3).mean(axis=0) * unbiased), count)


def level_read(alpha: float, size: int) -> float:
    """The level at which Student's law is read, for a claim of ``size`` values at level ``alpha``."""
    return alpha if alpha >= ACCURATE_TO else float(ACCURATE_TO * (alpha / ACCURATE_TO) ** (1.0 / _exponent(size)))


def johnson_interval(values: Skewed, confidence: float) -> tuple[Array, Array]:
    """Lower and upper end, each (column,); infinite where the values are too skewed to tell."""
    bend, shift = _coefficients(values)
    level = level_read(1.0 - confidence, values.size)
    reach = -stdtrit(max(values.size - 1, 1), level / 2.0) * values.error
    least, most = _root(bend, shift + reach, open_end=-np.inf), _root(bend, shift - reach, open_end=np.inf)
    return values.mean - most, values.mean - least


def hall_interval(values: Skewed, confidence: float) -> tuple[Array, Array]:
    """Lower and upper end, each (column,), which are never missing: by Hall's transformation, which turns nowhere.

    With A the skewness over √n and T = d·√n/s, g(T) = T + A·T²/3 + A²·T³/27 + A/6 has Student's law to the same order
    as Johnson's t, and is inverted in closed form. Source: Hall (1992), Journal of the Royal Statistical Society B
    54(1), 221-228, "On the removal of skewness by transformation".
    """
    a = values.skewness / np.sqrt(values.size)
    is_skewed = np.abs(a) > NEGLIGIBLE
    level = level_read(1.0 - confidence, values.size)
    quantile = stdtrit(max(values.size - 1, 1), level / 2.0)

    def inverse(x: float) -> Array:
        root = np.cbrt(1.0 + a * (x - a / 6.0)) - 1.0
        return np.divide(3.0 * root, a, out=np.full_like(a, x), where=is_skewed)

    return values.mean - values.error * inverse(-quantile), values.mean - values.error * inverse(quantile)


def johnson_p_value(values: Skewed) -> Array:
    """(column,) two-sided p-value of mean zero; an interval holds zero just where it is above one less confidence.

    Where nothing varies it is 1 around 0, and 0 around any other mean.
    """
    bend, shift = _coefficients(values)
    turn = np.divide(-0.5, bend, out=np.full_like(bend, -np.inf), where=bend != 0.0)
    d = np.where(
        bend > 0.0, np.maximum(values.mean, turn), np.where(bend < 0.0, np.minimum(values.mean, turn), values.mean)
    )
    distance = d + shift + bend * d**2
    without_error = np.where(distance == 0.0, 0.0, np.copysign(np.inf, distance))
    t = np.divide(distance, values.error, out=without_error, where=values.error > 0.0)
    agrees = np.sign(distance) == np.sign(values.mean)
    level = 2.0 * stdtr(max(values.size - 1, 1), -np.abs(t))
    corrected = ACCURATE_TO * (level / ACCURATE_TO) ** _exponent(values.size)
    return np.where(agrees, np.where(level < ACCURATE_TO, corrected, level), 1.0)


def _exponent(size: int) -> float:
    return float(1.0 - TAIL_COST / np.sqrt(max(size, LEAST_SIZE)))


def _coefficients(values: Skewed) -> tuple[Array, Array]:
    """m/(3·s⁴), 1/currency, and m/(6·s²·n), currency; 0 where nothing varies."""
    variance = values.error**2 * values.size
    fourth_power = variance**2
    is_spread = variance > (NEGLIGIBLE * values.mean) ** 2  # else values differ by rounding alone
    is_measurable = is_spread & (fourth_power > np.finfo(float).tiny)  # below that the squares of all values vanish
    bend = np.divide(values.third_moment, 3.0 * fourth_power, out=np.zeros_like(fourth_power), where=is_measurable)
    return bend, bend * values.error**2 / 2.0


def _root(bend: Array, constant: Array, *, open_end: float) -> Array:
    """d with d + constant + bend·d² = 0, on the branch through 0; ``open_end`` where there is none."""
    under = 1.0 - 4.0 * bend * constant
    root = -2.0 * constant / (1.0 + np.sqrt(np.maximum(under, 0.0)))
    return np.where(under < 0.0, open_end, root)
