"""Counts from uniforms by quantile, for a tile of lanes at once.

A Poisson or binomial count is the quantile of *one* uniform, so it never falls when its rate rises, and two policies on
the same uniforms differ only by what they did. Means up to 20 are inverted exactly; all lanes walk the distribution
function together, and stop when no lane needs more. Above that the count is taken as the rounding of a smooth variable,
whose quantile is a Cornish-Fisher expansion:

    Y = m + s·(w + g1·(w²-1)/6 + g2·(w³-3w)/24 - g1²·(2w³-5w)/36 + third order),    count = floor(Y + ½)

with w the normal quantile and g1, g2, g3 the standardized cumulants after Sheppard's corrections (s² is the variance
less 1/12, the fourth cumulant gains 1/120): rounding adds exactly that to the spread of Y. The largest error of a
probability is below 10^-5. Just above the switch the larger of both branches is taken, so that counts stay monotone in
the rate. Two exceptions remain: with one trial more a binomial count falls by one with probability below 2·10^-8 where
its mean passes 20, and any count may fall where the uniform is within 10^-12 of 0 or 1.
(tests/sim/test_samplers.py measures all this against scipy.)

Own ``exp``, ``log`` and normal quantile: library calls do not vectorize and differ between machines.

Source: Cornish & Fisher (1938), Rev. Inst. Int. Stat. 5(4), third-order terms as in Hill & Davis (1968), Ann. Math.
Stat. 39(4); Giles (2016), ACM TOMS 42(1), Algorithm 955, for the principle; Wichura (1988), Appl. Stat. 37(3),
Algorithm AS 241, for the normal quantile; Wilson & Hilferty (1931), PNAS 17(12), for the gamma quantile.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from flashsim.sim.arrays import allocate
from flashsim.sim.cache import compiled, compiled_inline, compiled_inside

EXACT_MEAN = 20.0  # up to here counts are inverted exactly
_GUARD_MEAN = 24.0  # up to here the exact branch at EXACT_MEAN bounds the expansion from below
_LARGEST_WALK = 120  # P(Poisson(20) > 120) < 1e-50
_NEGLIGIBLE = 1e-17  # a walk ends here: rounded sums of probabilities may stay below the largest uniform, 1 - 2^-53
_LOG2_E = 1.4426950408889634
_LN2_HIGH = 0.693147180369123816490
_LN2_LOW = 1.90821492927058770002e-10
_EXPONENT_BIAS = 1023
_EXPONENT_SHIFT = 52
_MANTISSA = 0x000FFFFFFFFFFFFF
_ONE_BITS = 0x3FF0000000000000
_SQRT_2 = 1.4142135623730951


class Workspace(NamedTuple):
    """Scratch of one tile; every array has one entry a lane. Samplers read ``uniform`` where it is passed to them, and
    leave it and ``drawn`` alone."""

    uniform: NDArray[np.float64]  # those of the next draw, from streams
    drawn: NDArray[np.int64]  # counts that a draw has given
    mean: NDArray[np.float64]  # Poisson: mean of the exact walk
    trials: NDArray[np.float64]  # binomial: trials
    rare_chance: NDArray[np.float64]  # binomial: chance of the rarer outcome; of the exact walk
    rare_uniform: NDArray[np.float64]  # binomial: uniform of the count of the rarer outcome
    odds: NDArray[np.float64]  # binomial: chance of the rarer outcome over that of the other
    probability: NDArray[np.float64]  # walk: probability of the present count
    cumulative: NDArray[np.float64]  # walk: probability of it or less
    normal: NDArray[np.float64]  # standard normal quantile of a uniform
    logarithm: NDArray[np.float64]  # of a probability
    people: NDArray[np.int64]  # ration: in the queue
    people_before: NDArray[np.int64]  # ration: of those, in the segments up to the present one
    taken_before: NDArray[np.int64]  # ration: taken from the segments up to the present one


def make_workspace(lanes: int) -> Workspace:
    """Allocate the scratch of a tile of ``lanes`` lanes."""
    return allocate(Workspace, (lanes,))


@compiled_inline
def _exp(x: float) -> float:
    """e^x, relative error below 1e-15; x is clipped to [-700, 700]. exp(0) is exactly 1."""
    value = min(max(x, -700.0), 700.0)
    power = np.floor(value * _LOG2_E + 0.5)
    r = (value - power * _LN2_HIGH) - power * _LN2_LOW
    p = 1.0 / 6227020800.0
    p = p * r + 1.0 / 479001600.0
    p = p * r + 1.0 / 39916800.0
    p = p * r + 1.0 / 3628800.0
    p = p * r + 1.0 / 362880.0
    p = p * r + 1.0 / 40320.0
    p = p * r + 1.0 / 5040.0
    p = p * r + 1.0 / 720.0
    p = p * r + 1.0 / 120.0
    p = p * r + 1.0 / 24.0
    p = p * r + 1.0 / 6.0
    p = p * r + 0.5
    p = p * r + 1.0
    p = p * r + 1.0
    return p * np.int64((np.int64(power) + _EXPONENT_BIAS) << _EXPONENT_SHIFT).view(np.float64)


@compiled
def write_exp(x: NDArray[np.float64], out: NDArray[np.float64]) -> None:
    """Write e^x to ``out`` (see ``_exp``)."""
    for lane in range(out.shape[0]):
        out[lane] = _exp(x[lane])


@compiled
def write_log(x: NDArray[np.float64], out: NDArray[np.float64]) -> None:
    """Write ln x to ``out`` for normal x > 0, error below 1e-15."""
    for lane in range(out.shape[0]):
        bits = np.float64(x[lane]).view(np.int64)
        scaled = np.int64((bits & _MANTISSA) | _ONE_BITS).view(np.float64)
        high = scaled > _SQRT_2
        mantissa = scaled * (0.5 if high else 1.0)
        power = np.float64((bits >> _EXPONENT_SHIFT) - _EXPONENT_BIAS) + (1.0 if high else 0.0)
        s = (mantissa - 1.0) / (mantissa + 1.0)
        z = s * s
        p = 1.0 / 21.0
        p = p * z + 1.0 / 19.0
        p = p * z + 1.0 / 17.0
        p = p * z + 1.0 / 15.0
        p = p * z + 1.0 / 13.0
        p = p * z + 1.0 / 11.0
        p = p * z + 1.0 / 9.0
        p = p * z + 1.0 / 7.0
        p = p * z + 1.0 / 5.0
        p = p * z + 1.0 / 3.0
        p = p * z + 1.0
        out[lane] = power * _LN2_HIGH + (2.0 * s * p + power * _LN2_LOW)


@compiled_inline
def _center(q: float) -> float:
    r = 0.180625 - q * q
    top = ((2.5090809287301226727e3 * r + 3.3430575583588128105e4) * r + 6.7265770927008700853e4) * r
    top = (((top + 4.5921953931549871457e4) * r + 1.3731693765509461125e4) * r + 1.9715909503065514427e3) * r
    top = (top + 1.3314166789178437745e2) * r + 3.3871328727963666080e0
    low = ((5.2264952788528545610e3 * r + 2.8729085735721942674e4) * r + 3.9307895800092710610e4) * r
    low = (((low + 2.1213794301586595867e4) * r + 5.3941960214247511077e3) * r + 6.8718700749205790830e2) * r
    low = (low + 4.2313330701600911252e1) * r + 1.0
    return q * top / low


@compiled_inline
def _tail(r: float) -> float:
    r = r - 1.6
    top = ((7.74545014278341407640e-4 * r + 2.27238449892691845833e-2) * r + 2.41780725177450611770e-1) * r
    top = (((top + 1.27045825245236838258e0) * r + 3.64784832476320460504e0) * r + 5.76949722146069140550e0) * r
    top = (top + 4.63033784615654529590e0) * r + 1.42343711074968357734e0
    low = ((1.05075007164441684324e-9 * r + 5.47593808499534494600e-4) * r + 1.51986665636164571966e-2) * r
    low = (((low + 1.48103976427480074590e-1) * r + 6.89767334985100004550e-1) * r + 1.67638483018380384940e0) * r
    low = (low + 2.05319162663775882187e0) * r + 1.0
    return top / low


@compiled_inline
def _far_tail(r: float) -> float:
    r = r - 5.0
    top = ((2.01033439929228813265e-7 * r + 2.71155556874348757815e-5) * r + 1.24266094738807843860e-3) * r
    top = (((top + 2.65321895265761230930e-2) * r + 2.96560571828504891230e-1) * r + 1.78482653991729133580e0) * r
    top = (top + 5.46378491116411436990e0) * r + 6.65790464350110377720e0
    low = ((2.04426310338993978564e-15 * r + 1.42151175831644588870e-7) * r + 1.84631831751005468180e-5) * r
    low = (((low + 7.86869131145613259100e-4) * r + 1.48753612908506148525e-2) * r + 1.36929880922735805310e-1) * r
    low = (low + 5.99832206555887937690e-1) * r + 1.0
    return top / low


@compiled
def write_normal(uniform: NDArray[np.float64], out: NDArray[np.float64], work: Workspace) -> None:
    """Write the standard normal quantile of ``uniform`` in (0, 1) to ``out`` (AS 241, relative error 1e-15)."""
    for lane in range(out.shape[0]):
        out[lane] = min(uniform[lane], 1.0 - uniform[lane])
    write_log(out, work.logarithm)
    for lane in range(out.shape[0]):
        q = uniform[lane] - 0.5
        r = np.sqrt(-work.logarithm[lane])
        tail = _tail(r) if r <= 5.0 else _far_tail(r)
        tail = -tail if q < 0.0 else tail
        out[lane] = _center(q) if abs(q) <= 0.425 else tail


@compiled_inline
def _lattice_quantile(w: float, mean: float, variance: float, third: float, fourth: float, fifth: float) -> float:
    """Quantile, at the normal quantile ``w``, of a count with these cumulants; at least 0, a whole number as float."""
    s = np.sqrt(max(variance, 1.0) - 1.0 / 12.0)  # lanes that take the exact branch pass here too
    g1 = third / (s * s * s)
    g2 = (fourth + 1.0 / 120.0) / (s * s * s * s)
    g3 = fifth / (s * s * s * s * s)
    w2 = w * w
    y = w + g1 * (w2 - 1.0) / 6.0
    y = y + g2 * w * (w2 - 3.0) / 24.0 - g1 * g1 * w * (2.0 * w2 - 5.0) / 36.0
    y = y + g3 * ((w2 - 6.0) * w2 + 3.0) / 120.0 - g1 * g2 * ((w2 - 5.0) * w2 + 2.0) / 24.0
    y = y + g1 * g1 * g1 * ((12.0 * w2 - 53.0) * w2 + 17.0) / 324.0
    return max(0.0, np.floor(mean + s * y + 0.5))


@compiled_inline
def _exact_part(mean: float) -> float:
    """Mean at which the exact walk runs: the mean itself, the switch just above it, or nothing to do."""
    if mean <= EXACT_MEAN:
        return mean
    return EXACT_MEAN if mean <= _GUARD_MEAN else 0.0


@compiled
def write_poisson(
    mean: NDArray[np.float64], uniform: NDArray[np.float64], out: NDArray[np.int64], work: Workspace
) -> None:
    """Write the Poisson(``mean``) quantile of ``uniform`` to ``out``; means >= 0. Uses ``work`` except ``uniform``."""
    lanes = out.shape[0]
    any_large = np.int64(0)
    for lane in range(lanes):
        exact = _exact_part(mean[lane])
        any_large += np.int64(mean[lane] > EXACT_MEAN)
        none = _exp(-exact)
        work.mean[lane] = exact
        work.probability[lane] = none
        work.cumulative[lane] = none
        out[lane] = 0
    for count in range(1, _LARGEST_WALK):
        inverse = 1.0 / count
        waiting = np.int64(0)
        for lane in range(lanes):
            more = np.int64((uniform[lane] > work.cumulative[lane]) & (work.probability[lane] > _NEGLIGIBLE))
            out[lane] += more
            waiting += more
            work.probability[lane] *= work.mean[lane] * inverse
            work.cumulative[lane] += work.probability[lane]
        if waiting == 0:
            break
    if any_large > 0:
        write_normal(uniform, out=work.normal, work=work)
        for lane in range(lanes):
            m = mean[lane]
            large = np.int64(_lattice_quantile(work.normal[lane], m, m, m, m, m))
            out[lane] = max(out[lane], large) if m > EXACT_MEAN else out[lane]


@compiled_inline
def _log_complement(s: float) -> float:
    """ln(1 - p) = -2·artanh(s) at s = p/(2 - p) for p in [0, 1/2], relative error below 1e-11."""
    z = s * s
    series = 1.0 / 21.0
    series = series * z + 1.0 / 19.0
    series = series * z + 1.0 / 17.0
    series = series * z + 1.0 / 15.0
    series = series * z + 1.0 / 13.0
    series = series * z + 1.0 / 11.0
    series = series * z + 1.0 / 9.0
    series = series * z + 1.0 / 7.0
    series = series * z + 1.0 / 5.0
    series = series * z + 1.0 / 3.0
    series = series * z + 1.0
    return -2.0 * s * series


@compiled
def write_binomial(
    trials: NDArray[np.int64],
    chance: NDArray[np.float64],
    uniform: NDArray[np.float64],
    out: NDArray[np.int64],
    work: Workspace,
) -> None:
    """Write the Binomial(``trials``, ``chance``) quantile of ``uniform`` to ``out``; chance is clipped to [0, 1].

    Exactly 0 at chance 0 and ``trials`` at chance 1. Above chance ½ the failures are drawn. Uses ``work`` except
    ``uniform``; must not be called with ``out`` sharing memory with ``trials``.
    """
    lanes = out.shape[0]
    any_large = np.int64(0)
    for lane in range(lanes):
        p = min(max(chance[lane], 0.0), 1.0)
        p = 1.0 - p if p > 0.5 else p
        n = np.float64(trials[lane])
        any_large += np.int64(n * p > EXACT_MEAN)
        work.trials[lane] = n
        work.rare_chance[lane] = p
    if any_large > 0:
        for lane in range(lanes):
            n, p = work.trials[lane], work.rare_chance[lane]
            work.rare_chance[lane] = p if n * p <= EXACT_MEAN else _exact_part(n * p) / n
    for lane in range(lanes):
        p = work.rare_chance[lane]
        inverse = 1.0 / ((2.0 - p) * (1.0 - p))
        work.odds[lane] = p * (2.0 - p) * inverse
        work.logarithm[lane] = work.trials[lane] * _log_complement(p * (1.0 - p) * inverse)  # of P(0)
    for lane in range(lanes):  # apart from the loop before: the processor runs ahead of one such chain, not of two
        none = _exp(work.logarithm[lane])
        work.probability[lane] = none
        work.cumulative[lane] = none
        work.rare_uniform[lane] = uniform[lane] if chance[lane] <= 0.5 else 1.0 - uniform[lane]
        out[lane] = 0
    for count in range(1, _LARGEST_WALK):
        inverse = 1.0 / count
        waiting = np.int64(0)
        for lane in range(lanes):
            trials_left = work.trials[lane] - np.float64(count - 1)
            needs = (work.rare_uniform[lane] > work.cumulative[lane]) & (work.probability[lane] > _NEGLIGIBLE)
            more = np.int64(needs & (trials_left >= 1.0))
            out[lane] += more
            waiting += more
            work.probability[lane] *= work.odds[lane] * (trials_left * inverse)
            work.cumulative[lane] += work.probability[lane]
        if waiting == 0:
            break
    if any_large > 0:
        _write_large_binomial(trials, chance, out=out, work=work)
    for lane in range(lanes):
        p = chance[lane]
        drawn = min(out[lane], trials[lane])
        drawn = trials[lane] - drawn if p > 0.5 else drawn
        drawn = 0 if p <= 0.0 else drawn
        out[lane] = trials[lane] if p >= 1.0 else drawn


@compiled_inside
def _write_large_binomial(
    trials: NDArray[np.int64], chance: NDArray[np.float64], out: NDArray[np.int64], work: Workspace
) -> None:
    """Raise ``out`` to the expansion where the mean of the rarer outcome is above EXACT_MEAN."""
    write_normal(work.rare_uniform, out=work.normal, work=work)
    for lane in range(out.shape[0]):
        p = min(max(chance[lane], 0.0), 1.0)
        p = 1.0 - p if p > 0.5 else p
        q = 1.0 - p
        mean = np.float64(trials[lane]) * p
        v = mean * q
        third, fourth, fifth = v * (q - p), v * (1.0 - 6.0 * p * q), v * (q - p) * (1.0 - 12.0 * p * q)
        large = np.int64(_lattice_quantile(work.normal[lane], mean, v, third, fourth, fifth))
        out[lane] = max(out[lane], large) if mean > EXACT_MEAN else out[lane]


@compiled
def gamma_factor(normal: float, variance: float) -> float:
    """Gamma factor of mean 1 and the given variance (0 .. 1) at a normal quantile, by Wilson-Hilferty.

    With a = variance/9 the cube (1 - a + w·sqrt(a))³ has mean 1 - a³, which is divided out; its variance is within 2 %
    of the gamma's up to variance 1.
    """
    a = variance / 9.0
    root = max(0.0, 1.0 - a + normal * np.sqrt(a))
    return root * root * root / (1.0 - a * a * a)
