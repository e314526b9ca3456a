"""Who won and by how much, or that the difference cannot be told.

A learner wins when its primary KPI is better than *every* baseline's, each difference holding after Holm's correction
over all pairs of learner and baseline; a baseline wins by the same rule against every learner; else the verdict is
"not separable", and where fewer than eight worlds were met, "too few worlds". The best baseline is found on the same
sales that judge it. Comparing with it alone would flatter the learner or the baseline (the highest of several noisy
means is too high); asking the claim to hold against each, within one corrected family, makes it true whichever baseline
is best. The best by mean is only the one that is shown.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from flashsim.evaluation.intervals import INTERVAL_TEXT, interval_form, tell_interval
from flashsim.evaluation.kpis import Kpi, find_kpi, show
from flashsim.evaluation.stats import FEWEST_MEMBERS, Array

Outcome = Literal["learner", "baseline", "not separable", "too few worlds"]

VERDICT_TEXT: dict[str, str] = INTERVAL_TEXT | {
    "learner": (
        "{learner} wins: its {kpi} is {amount} a sale {side} that of the best baseline, {baseline}{relative} "
        "({confidence} interval of the difference {interval}), and the claim holds against every baseline "
        "after correction for {comparisons} comparisons."
    ),
    "baseline": (
        "No learner wins: the {kpi} of {baseline} is {amount} a sale {side} that of the best learner, {learner} "
        "({confidence} interval of the learner's difference {interval}), and the claim holds against every "
        "learner after correction for {comparisons} comparisons."
    ),
    "not separable": (
        "Not separable: {learner} and {baseline} cannot be told apart. The difference in {kpi} is {amount} a sale "
        "({confidence} interval {interval}, p = {p_holm} after correction for {comparisons} comparisons)"
        "{power}."
    ),
    "too few worlds": (
        "Too few worlds to tell: {learner} and {baseline} met {worlds} worlds, and a claim about all worlds needs "
        "eight. In those the difference in {kpi} is {amount} a sale ({confidence} interval {interval})."
    ),
    "skewness": "Over {worlds} worlds the difference has skewness {skewness}.",
    "relative": ", or {relative}",
    "power": "; a single comparison on such sales finds a true difference of {detectable} four times in five",
    "above": "above",
    "below": "below",
    "guardrails kept": "{policy} keeps every guardrail.",
    "guardrails broken": "But {policy} breaks guardrails: {labels}.",
}
"""English sentences of the verdict; a translation has the same keys and the same names in braces."""


@dataclass(frozen=True)
class Verdict:
    """The outcome, with the pair of policies it speaks of; every number stands in ``pair_row`` of the table pairs."""

    outcome: Outcome
    learner: str
    baseline: str
    kpi: str
    pair_row: int
    difference: float
    """Learner less baseline, in the KPI's unit, a sale."""
    low: float
    high: float
    relative: float | None
    """Difference over the baseline's mean; None where that mean is not positive."""
    p_holm: float
    minimum_detectable_effect: float
    comparisons: int
    guardrails_broken: tuple[str, ...]
    """KPIs whose guardrail the policy named by ``subject`` breaks on average."""
    sales: int
    worlds: int
    skewness: float
    """Of the worlds' mean differences; with twenty worlds claims hold up to about 3 (docs/statistics.md)."""
    confidence: float
    currency: str

    @property
    def winner(self) -> str | None:
        """Name of the winning policy, None when not separable."""
        return {"learner": self.learner, "baseline": self.baseline}.get(self.outcome)

    @property
    def subject(self) -> str:
        """The policy whose guardrails are told: the winner, or the learner when there is none."""
        return self.winner or self.learner

    def fields(self) -> dict[str, str]:
        """What fills the braces of the sentence, as plain text."""
        unit, signless = find_kpi(self.kpi).unit, self.winner is not None

        def amount(value: float) -> str:
            return show(value, unit, currency=self.currency, signed=True)

        shown = show(abs(self.difference), unit, currency=self.currency) if signless else amount(self.difference)
        fields = {
            "learner": self.learner,
            "baseline": self.baseline,
            "amount": shown,
            "low": amount(self.low),
            "high": amount(self.high),
            "p_holm": f"{self.p_holm:.2g}",
            "detectable": show(self.minimum_detectable_effect, unit, currency=self.currency),
            "comparisons": str(self.comparisons),
            "sales": f"{self.sales:,}",
            "worlds": str(self.worlds),
            "skewness": f"{self.skewness:.2g}".replace("-", "−"),
            "confidence": f"{self.confidence * 100:g} %",
        }
        if self.relative is not None:
            fields["relative"] = show(self.relative, "change", currency="", signed=True)
        return fields

    def sentence(self) -> str:
        """The verdict in plain English, guardrails included."""
        return str(tell(self, self.fields(), texts=VERDICT_TEXT, render=str.format))

    def as_dict(self) -> dict[str, Any]:
        """JSON-able content; an end of the interval that is open is null."""
        ends = {name: end if math.isfinite(end) else None for name, end in (("low", self.low), ("high", self.high))}
        return asdict(self) | ends | {"winner": self.winner, "sentence": self.sentence()}


def tell(verdict: Verdict, fields: Mapping[str, Any], *, texts: Mapping[str, str], render: Callable[..., Any]) -> Any:
    """Fill the sentence that fits ``verdict``; ``render(text, **fields)`` decides how (plain text, cited HTML)."""
    higher = (verdict.difference > 0.0) == (verdict.outcome == "learner")
    relative = render(texts["relative"], relative=fields["relative"]) if "relative" in fields else ""
    form = interval_form(verdict.difference, verdict.low, verdict.high, of="difference")
    words = {"kpi": find_kpi(verdict.kpi).label.lower(), "side": texts["above" if higher else "below"]}
    words |= {"interval": tell_interval(form, fields, texts=texts, render=render)}
    words |= {"power": "" if form == "interval same" else render(texts["power"], **fields)}
    first = render(texts[verdict.outcome], **{**fields, **words, "relative": relative})
    labels = ", ".join(find_kpi(name).label.lower() for name in verdict.guardrails_broken)
    key = "guardrails broken" if labels else "guardrails kept"
    second = render(texts[key], policy=verdict.subject, labels=labels)
    third = render(texts["skewness"], **fields) if verdict.worlds >= FEWEST_MEMBERS else ""
    return render("{first} {second} {third}" if third else "{first} {second}", first=first, second=second, third=third)


def who_wins(p_holm: Array, gain: Array, *, alpha: float) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Which learners are better than every baseline (…, learner), which baselines better than every learner
    (…, baseline).

    ``p_holm``, ``gain`` (…, learner, baseline): corrected p-values, and by how much the learner is better.
    """
    is_claimed = p_holm < alpha
    wins, holds = np.all(is_claimed & (gain > 0.0), axis=-1), np.all(is_claimed & (gain < 0.0), axis=-2)
    return np.asarray(wins), np.asarray(holds)


def verdict_of(
    pairs: pd.DataFrame, guardrails: pd.DataFrame, *, means: Mapping[str, float], kpi: Kpi, **shown: Any
) -> Verdict:
    """Read the verdict off the table of pairs, learner by learner; ``means`` are of the primary KPI, by policy."""
    sign = -1.0 if kpi.direction == "lower" else 1.0
    alpha = 1.0 - float(shown["confidence"])

    def best(names: Any) -> str:
        return max(names, key=lambda name: sign * means[name])

    learners, baselines = pairs["learner"].unique(), pairs["baseline"].unique()
    learner, baseline = best(learners), best(baselines)
    by_pair = (learners.size, baselines.size)
    p_holm, gain = (pairs[name].to_numpy(dtype=float).reshape(by_pair) for name in ("p_holm", "difference"))
    wins, holds = who_wins(p_holm, sign * gain, alpha=alpha)
    is_claimable = pairs["worlds"].iloc[0] not in range(2, FEWEST_MEMBERS)
    outcome: Outcome = "not separable" if is_claimable else "too few worlds"
    if wins.any():
        outcome, learner = "learner", best(learners[wins])
    elif holds.any():
        outcome, baseline = "baseline", best(baselines[holds])
    row = pairs.index[(pairs["learner"] == learner) & (pairs["baseline"] == baseline)][0]
    if outcome in ("not separable", "too few worlds") and pairs.loc[row, "p_holm"] < alpha:
        row = pairs["p_holm"].idxmax()  # another pair is what keeps the claim from holding: show that one
    chosen: dict[str, Any] = pairs.loc[row].to_dict()
    subject = chosen["baseline"] if outcome == "baseline" else chosen["learner"]
    own = guardrails[(guardrails["policy"] == subject) & (guardrails["change"] == "")]
    broken = own[own["status"] == "broken"]
    return Verdict(
        outcome=outcome,
        learner=chosen["learner"],
        baseline=chosen["baseline"],
        kpi=kpi.name,
        pair_row=int(row),
        relative=None if pd.isna(chosen["relative"]) else float(chosen["relative"]),
        comparisons=len(pairs),
        guardrails_broken=tuple(broken["kpi"]),
        sales=int(chosen["sales"]),
        worlds=int(chosen["worlds"]),
        skewness=float(chosen["skewness"]),
        difference=float(chosen["difference"]),
        low=float(chosen["low"]),
        high=float(chosen["high"]),
        p_holm=float(chosen["p_holm"]),
        minimum_detectable_effect=float(chosen["minimum_detectable_effect"]),
        **shown,
    )
