"""How often the rule for intervals claims what is not so: false claims at nominal 5 %, and its power.

    python -m tests.evaluation.claims > table.md        # 2 minutes; docs/statistics.md holds it

Worlds differ by a law with mean 0, each is seen through 50 sales with noise of their own; a claim is an interval that
leaves out 0. Beside the rule stand Student's t and Johnson's t of the worlds' means alone.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy import optimize
from scipy import stats as distributions

from flashsim.evaluation.skewness import johnson_p_value
from flashsim.evaluation.stats import bootstrap_means

Array = NDArray[np.float64]
Law = Callable[[np.random.Generator, tuple[int, int]], Array]
SALES = 5  # a world; their noise is scaled so that their mean has that of 50
WORLDS = (8, 10, 12, 20, 24)
REPETITIONS = 10_000


def lognormal(skewness: float) -> Law:
    """Lognormal values of this skewness, less their mean."""

    def excess(sigma: float) -> float:
        w = np.exp(sigma**2)
        return float((w + 2.0) * np.sqrt(w - 1.0) - skewness)

    sigma = optimize.brentq(excess, 0.01, 3.0)
    return lambda generator, shape: np.exp(sigma * generator.standard_normal(shape)) - np.exp(sigma**2 / 2.0)


def gamma(skewness: float) -> Law:
    """Gamma values of this skewness, less their mean."""
    shape_parameter = 4.0 / skewness**2
    return lambda generator, shape: generator.gamma(shape_parameter, size=shape) - shape_parameter


LAWS: dict[str, Law] = {
    "normal": lambda generator, shape: generator.standard_normal(shape),
    "t(3)": lambda generator, shape: generator.standard_t(3, shape),
    "lognormal, skewness 2": lognormal(2.0),
    "lognormal, skewness 3": lognormal(3.0),
    "lognormal, skewness 6": lognormal(6.0),
    "gamma, skewness 3": gamma(3.0),
    "gamma, skewness 6": gamma(6.0),
}


def claims(
    law: Law,
    *,
    worlds: int,
    repetitions: int,
    seed: int,
    shift: float = 0.0,
    is_noise_skewed: bool = False,
    resamples: int = 1_000,
) -> dict[str, float]:
    """Share of ``repetitions`` in which each way claims a difference; ``shift`` is the true one.

    Sales have noise as large as the worlds' own spread over 50 sales, normal or, ``is_noise_skewed``, exponential.
    """
    generator = np.random.default_rng(seed)
    centers = law(generator, (worlds, repetitions)) + shift
    spread = centers.std() * np.sqrt(SALES / 50.0)
    shape = (worlds * SALES, repetitions)
    noise = generator.standard_exponential(shape) - 1.0 if is_noise_skewed else generator.standard_normal(shape)
    members = np.repeat(np.arange(worlds), SALES)
    found = bootstrap_means(centers[members] + spread * noise, members, resamples=resamples, seed=seed)
    low, high = found.interval(0.95)
    student = 2.0 * distributions.t.sf(np.abs(found.mean) / found.standard_error, worlds - 1)
    return {
        "rule": float(((low > 0.0) | (high < 0.0)).mean()),
        "Student": float((student < 0.05).mean()),
        "Johnson": float((johnson_p_value(found.moments) < 0.05).mean()),
    }


def detectable(worlds: int, *, power: float = 0.8) -> float:
    """The shift of standard normal worlds that Student's t finds with this power."""

    def missing(noncentrality: float) -> float:
        quantile = distributions.t.ppf(0.975, worlds - 1)
        return float(distributions.nct.sf(quantile, worlds - 1, noncentrality)) - power

    return float(optimize.brentq(missing, 1.0, 8.0)) / np.sqrt(worlds) * np.sqrt(1.0 + 1.0 / 50.0)


def table(*, repetitions: int = REPETITIONS) -> str:
    """False claims of the rule (Student, Johnson), % of repetitions, and its power where Student's is 80 %."""
    lines = [f"| worlds | {' | '.join(LAWS)} | power |", "|" + "---|" * (len(LAWS) + 2)]
    for worlds in WORLDS:
        cells = []
        for law in LAWS.values():
            found = claims(law, worlds=worlds, repetitions=repetitions, seed=1)
            cells.append("{rule:.1f} ({Student:.1f}, {Johnson:.1f})".format(**{k: 100.0 * v for k, v in found.items()}))
        power = claims(LAWS["normal"], worlds=worlds, repetitions=repetitions, seed=2, shift=detectable(worlds))
        lines.append(f"| {worlds} | {' | '.join(cells)} | {100.0 * power['rule']:.0f} |")
    return "\n".join(lines)


if __name__ == "__main__":
    print(table())
