"""How well past promotions were predicted: beside three rivals, and beside the best that the model could have reached.

Rivals predict the same y (:mod:`flashsim.fidelity.promotions.episodes`) from episodes that had *ended* before the first
day:

* no response: y = 0;
* category mean: y = b·depth, b by category, drawn towards that of all categories as ``PRIOR_EPISODES`` episodes would;
* last episode: the product's last y, else the category's mean.

Each has normal quantiles around its prediction, with the root mean square of its own past errors: a rival is as sure as
it has a right to be. The *ceiling* is the same score where the model's own draws take the place of what happened: what
the model reaches in a world that obeys it.

Marks: 90 % intervals hold 87 to 93 %; a smaller pinball loss than each rival, its 90 % interval too; a correlation of
.85 of the ceiling; in 60 % on the right side of the category's mean. Intervals resample blocks of ``BLOCK_WEEKS``
weeks: the episodes of a week share its customers, and an episode lasts up to four.
"""

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from flashsim.fidelity.promotions.episodes import Outcome
from flashsim.models.forecasting.validation import INTERVAL, QUANTILE_LEVELS, block_resamples, bootstrap_interval

Array = NDArray[np.float64]
DAYS_OF_WEEK: Final = 7
BLOCK_WEEKS: Final = 4
RESAMPLES: Final = 2000
FEWEST_EPISODES: Final = 30
"""With fewer nothing is judged: a share of .6 is then known to .15."""
PRIOR_EPISODES: Final = 5.0
PRIOR_ERROR: Final = 0.6
"""Error of a rival that has no past yet, on the log scale; weighs as ``PRIOR_EPISODES`` episodes."""
CEILINGS: Final = 200
"""Draws that take the place of what happened."""
MODEL: Final = "model"
NOTHING, CATEGORY, LAST = "no response", "category mean", "last episode"
RIVALS: Final = (NOTHING, CATEGORY, LAST)


class Scored(NamedTuple):
    """Episodes in order of their first days; arrays by episode."""

    outcomes: tuple[Outcome, ...]
    actual: Array
    """y."""
    median: Array
    """The model's prediction of y."""
    centers: dict[str, Array]
    """Predictions of the rivals."""
    quantiles: dict[str, Array]
    """Quantiles (level, episode) of model and rivals."""
    pit: Array
    """Share of the model's draws below what happened."""

    @property
    def week(self) -> NDArray[np.intp]:
        """Week of the first day."""
        return np.array([outcome.predicted.start // DAYS_OF_WEEK for outcome in self.outcomes], dtype=np.intp)

    def chosen(self, where: NDArray[np.bool_]) -> "Scored":
        """Some of the episodes; what rivals knew of the others stays."""
        return Scored(
            tuple(outcome for outcome, is_in in zip(self.outcomes, where, strict=True) if is_in),
            self.actual[where],
            self.median[where],
            {name: values[where] for name, values in self.centers.items()},
            {name: values[:, where] for name, values in self.quantiles.items()},
            self.pit[where],
        )


def score_outcomes(outcomes: Sequence[Outcome], *, first_week: int = 0) -> Scored:
    """Lay out episodes with what the rivals predict; those that begin before ``first_week`` are history alone."""
    ordered = sorted(outcomes, key=lambda outcome: (outcome.predicted.start, outcome.predicted.product_id))
    actual = np.array([outcome.log_ratio for outcome in ordered])
    draws = np.stack([outcome.predicted.draws for outcome in ordered]) if ordered else np.empty((0, 1))
    below = (draws < actual[:, None]).mean(axis=1)
    centers, spread = _rivals(ordered, actual)
    quantiles = {MODEL: np.quantile(draws, QUANTILE_LEVELS, axis=1)} | {
        name: centers[name] + ndtri(np.array(QUANTILE_LEVELS))[:, None] * spread[name] for name in RIVALS
    }
    scored = Scored(
        tuple(ordered),
        actual,
        np.median(draws, axis=1),
        centers,
        quantiles,
        below + 0.5 * (draws == actual[:, None]).mean(axis=1),
    )
    return scored.chosen(scored.week >= first_week)


def _rivals(ordered: Sequence[Outcome], actual: Array) -> tuple[dict[str, Array], dict[str, Array]]:
    """Predictions of the rivals, and their root mean square errors before each episode."""
    centers = {name: np.zeros(actual.size) for name in RIVALS}
    spread = {name: np.full(actual.size, PRIOR_ERROR) for name in RIVALS}
    start = np.array([outcome.predicted.start for outcome in ordered], dtype=np.intp)
    stop = np.array([outcome.predicted.stop for outcome in ordered], dtype=np.intp)
    depth = np.array([outcome.predicted.depth for outcome in ordered])
    category = np.array([outcome.predicted.category for outcome in ordered], dtype=object)
    product = np.array([outcome.predicted.product_id for outcome in ordered], dtype=object)
    for day in np.unique(start):
        now, past = np.flatnonzero(start == day), np.flatnonzero(stop <= day)
        if not past.size:
            continue
        square = float((depth[past] ** 2).mean()) * PRIOR_EPISODES
        overall = float(depth[past] @ actual[past]) / float(depth[past] @ depth[past])
        for episode in now:
            alike = past[category[past] == category[episode]]
            slope = (depth[alike] @ actual[alike] + square * overall) / (depth[alike] @ depth[alike] + square)
            centers[CATEGORY][episode] = slope * depth[episode]
            own = past[product[past] == product[episode]]
            centers[LAST][episode] = actual[own[-1]] if own.size else centers[CATEGORY][episode]
        for name in RIVALS:
            errors = float(((actual[past] - centers[name][past]) ** 2).sum()) + PRIOR_EPISODES * PRIOR_ERROR**2
            spread[name][now] = np.sqrt(errors / (past.size + PRIOR_EPISODES))
    return centers, spread


def judge(scored: Scored, *, seed: int, resamples: int = RESAMPLES) -> dict[str, Any]:
    """The back-test as plain values: lines with marks, ceilings, and a sentence; a reason where there are too few."""
    episodes = len(scored.outcomes)
    if episodes < FEWEST_EPISODES:
        return not_judged(f"too few past promotions: {episodes}, {FEWEST_EPISODES} are needed", episodes=episodes)
    weight = _resampled(scored.week, resamples=resamples, generator=np.random.default_rng(seed))
    loss = {name: pinball(scored.actual, quantiles) for name, quantiles in scored.quantiles.items()}
    simulated = np.stack([outcome.predicted.draws for outcome in scored.outcomes])[:, :CEILINGS].T
    inside = ((scored.pit >= INTERVAL[0]) & (scored.pit <= INTERVAL[1])).astype(np.float64)
    ceiling = float(np.mean([_correlation(scored.median, drawn, _once(episodes))[0] for drawn in simulated]))
    side = _same_side(scored.median, scored.actual, scored.centers[CATEGORY])
    direction = _same_side(scored.median, scored.actual, np.zeros(episodes))
    best_side, best_direction = (
        float(np.mean([_same_side(scored.median, drawn, around) for drawn in simulated]))
        for around in (scored.centers[CATEGORY], np.zeros(episodes))
    )
    correlation = _correlation(scored.median, scored.actual, weight)
    lines = [
        _line("coverage", "Do 90 % intervals hold 90 % of them?", _mean(inside, weight), (0.87, 0.93), 0.9),
        *(
            _line(
                f"loss against {name}",
                f"By how much is the pinball loss below that of: {name}?",
                1.0 - _mean(loss[MODEL], weight) / _mean(loss[name], weight),
                (0.0, 1.0),
                1.0 - float(np.mean([_loss_ratio(scored, drawn, name) for drawn in simulated])),
            )
            for name in RIVALS
        ),
        _line("correlation", "Correlation of predicted and actual uplift (log)", correlation, None, ceiling),
        _line(
            "correlation over ceiling",
            "Of the correlation that can be reached",
            correlation / ceiling,
            (0.85, 1.15),
            1.0,
        ),
        _line("right side", "On the right side of the category's mean?", _mean(side, weight), (0.6, 1.0), best_side),
        _line("direction", "Do sales rise where a rise was predicted?", _mean(direction, weight), None, best_direction),
    ]
    products = len({outcome.predicted.product_id for outcome in scored.outcomes})
    found = {
        "episodes": episodes,
        "products": products,
        "weeks": len(np.unique(scored.week)),
        "interval": f"5% to 95%, bootstrap over blocks of {BLOCK_WEEKS} weeks",
        "lines": lines,
        "passed": all(line["passed"] for line in lines),
        "loss": {name: float(values.mean()) for name, values in loss.items()},
    }
    return found | {"sentence": _sentence(found)}


def not_judged(why: str, *, episodes: int) -> dict[str, Any]:
    """The back-test where ``why`` kept it from being made."""
    return {"episodes": episodes, "why_not_judged": why, "sentence": f"Promotions were not back-tested: {why}."}


def pinball(actual: Array, quantiles: Array) -> Array:
    """Mean loss over the levels (episode,) of ``quantiles`` (level, episode)."""
    level = np.array(QUANTILE_LEVELS)[:, None]
    error = actual - quantiles
    loss: Array = np.maximum(level * error, (level - 1.0) * error).mean(axis=0)
    return loss


def _resampled(week: NDArray[np.intp], *, resamples: int, generator: np.random.Generator) -> Array:
    """How often each episode counts (1 + resample, episode); in the first row once."""
    first, weeks = int(week.min()), int(week.max() - week.min()) + 1
    drawn = block_resamples(weeks, resamples=resamples, generator=generator, block_weeks=BLOCK_WEEKS)
    times = np.stack([np.bincount(row, minlength=weeks) for row in drawn])[:, week - first]
    return np.concatenate([_once(week.size), times]).astype(np.float64)


def _once(episodes: int) -> Array:
    return np.ones((1, episodes))


def _mean(values: Array, weight: Array) -> Array:
    total: Array = weight @ values / np.maximum(weight.sum(axis=1), 1e-12)
    return total


def _correlation(left: Array, right: Array, weight: Array) -> Array:
    """By row of ``weight``."""
    mean_left, mean_right = _mean(left, weight), _mean(right, weight)
    both = _mean(left * right, weight) - mean_left * mean_right
    scale = (_mean(left**2, weight) - mean_left**2) * (_mean(right**2, weight) - mean_right**2)
    return np.asarray(both / np.sqrt(np.maximum(scale, 1e-12)), dtype=np.float64)


def _same_side(predicted: Array, actual: Array, around: Array) -> Array:
    return (np.sign(predicted - around) == np.sign(actual - around)).astype(np.float64)


def _loss_ratio(scored: Scored, drawn: Array, name: str) -> float:
    return float(pinball(drawn, scored.quantiles[MODEL]).mean() / pinball(drawn, scored.quantiles[name]).mean())


def _line(name: str, question: str, values: Array, mark: tuple[float, float] | None, ceiling: float) -> dict[str, Any]:
    """``values`` are that of all episodes, then those of the resamples."""
    value, low, high = bootstrap_interval(float(values[0]), values[1:])
    passed = True if mark is None else mark[0] <= value <= mark[1]
    if name.startswith("loss against"):
        passed = passed and low > 0.0
    ends = {"mark_low": None, "mark_high": None} if mark is None else {"mark_low": mark[0], "mark_high": mark[1]}
    line = {"name": name, "question": question, "value": value, "low": low, "high": high}
    return line | ends | {"ceiling": ceiling, "passed": passed}


def _sentence(found: dict[str, Any]) -> str:
    """How good the simulator is at promotions, in one sentence."""
    by_name = {line["name"]: line for line in found["lines"]}
    least = min((by_name[f"loss against {name}"] for name in RIVALS), key=lambda line: float(line["value"]))
    rival = least["name"].removeprefix("loss against ")
    missed = [line["name"] for line in found["lines"] if not line["passed"]]
    values = {name: line["value"] for name, line in by_name.items()}
    ceilings = {name: line["ceiling"] for name, line in by_name.items()}
    return (
        f"On {found['episodes']:,} past promotions of {found['products']:,} products, each predicted from what was "
        f"known before it began, the simulator's model was on the right side of its category's mean uplift in "
        f"{values['right side']:.0%} ({ceilings['right side']:.0%} can be reached), its predictions correlate "
        f"{values['correlation']:.2f} with what happened ({ceilings['correlation']:.2f} can be reached), its 90 % "
        f"intervals held {values['coverage']:.0%} of them, and its loss was {least['value']:.0%} below that of the "
        f"best of three simple rivals, {rival}"
        + (f"; it misses {len(missed)} of its marks: {', '.join(missed)}." if missed else "; it keeps all its marks.")
    )
