"""Comparing policies that met the same sales: KPIs and paired statistics joined into tables and a decision."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from flashsim.errors import InputError
from flashsim.evaluation.decision import Decision, DecisionRule, decide
from flashsim.evaluation.evidence.appraisal import Entrant, appraise
from flashsim.evaluation.evidence.decision_tables import guardrail_table, leads_table, tells_table
from flashsim.evaluation.evidence.decision_words import DecisionWords, plain_words
from flashsim.evaluation.kpis import KPIS, Kpi, find_kpi, kpi_values
from flashsim.evaluation.outcomes.tables import outcome_tables
from flashsim.evaluation.resampling import Contest, summarize
from flashsim.evaluation.rollout import Rollout
from flashsim.evaluation.stats import equal_member_means
from flashsim.evaluation.tables import (
    bridge_table,
    difference_table,
    kpi_table,
    member_table,
    pair_table,
    phase_table,
    policies_table,
    product_table,
    profile_table,
    risk_table,
)
from flashsim.evaluation.verdict import Verdict, verdict_of
from flashsim.files import replace_folder, write_json, write_table, write_text
from flashsim.rules import HUMAN_TEAM


@dataclass(frozen=True)
class Comparison:
    """Everything that one evaluation says, ready to be shown or saved."""

    decision: Decision
    verdict: Verdict
    """Whether a learner beats every baseline, or the other way round."""
    tables: dict[str, pd.DataFrame]
    """policies, kpis, guardrails, leads, tells, differences, pairs, members, bridge, risk, products, phases, profile,
    and those of ``outcomes``: chances, distribution, losses, causes, course."""
    settings: dict[str, Any]
    """How the statistics were made: sales, members, confidence, resamples, seed, rule of decision."""

    def __str__(self) -> str:
        return str(self.words().sentence())

    def words(self) -> DecisionWords:
        """The decision in sentences of plain text."""
        currency = self.settings["currency"]
        return plain_words(self.decision, self.tables, currency=currency, **self.words_settings())

    def words_settings(self) -> dict[str, Any]:
        """What the sentences of the decision need beside its tables."""
        rule = self.settings["rule"]
        tried = tuple(self.settings["changes_tried"])
        return {"worthwhile": rule["worthwhile"], "tried": tried}

    def save(self, folder: Path) -> None:
        """Write every table as CSV and JSON, and decision and verdict as ``decision.json``; ``folder`` is replaced as a
        whole.

        Numbers carry full precision (the shortest text that reads back the same). InputError when not writable.
        """
        decision = plain_json(asdict(self.decision)) | {"sentence": str(self)}
        said = {"decision": decision, "verdict": self.verdict.as_dict(), "settings": self.settings}
        with replace_folder(Path(folder), ours=("*.csv", "*.json")) as temporary:
            for name, table in self.tables.items():
                write_table(temporary / f"{name}.csv", table)
                write_text(temporary / f"{name}.json", table_json(table))
            write_json(temporary / "decision.json", said)


def compare(
    rollouts: Sequence[Rollout],
    *,
    learners: Sequence[str],
    baselines: Sequence[str],
    rule: DecisionRule | None = None,
    changed: Sequence[Entrant] = (),
    changes_tried: Sequence[str] = (),
    world_fields: Mapping[str, Mapping[int, float]] | None = None,
    is_world_judged: bool = True,
    product_names: Sequence[str] | None = None,
    currency: str = "USD",
    confidence: float = 0.95,
    tail_share: float = 0.05,
    resamples: int = 10_000,
    seed: int = 0,
) -> Comparison:
    """Compare policies on the sales that all of them played, and decide by ``rule`` whether one should run the sale.

    Other policies than ``learners`` and ``baselines`` are references, shown but never in the decision. ``rule`` None:
    profit decides, and the practice is the human team where it is a baseline, else the first baseline. ``changed``: who
    played the same seeds in a changed sale, ``changes_tried``: changes that were not enough on training worlds.
    ``world_fields``: name -> member -> value of what the worlds differ in. InputError when rollouts differ in their
    sales, a name is unknown, doubled or missing, or a value is not finite.
    """
    played = _checked_rollouts(rollouts)
    roles = _roles([rollout.policy for rollout in played], learners=learners, baselines=baselines)
    rule = rule or DecisionRule(practice=HUMAN_TEAM if HUMAN_TEAM in baselines else baselines[0])
    kpi = find_kpi(rule.primary)
    values = np.stack([_values(rollout) for rollout in played], axis=1)
    contest = Contest(
        rollouts=played,
        roles=roles,
        values=values,
        best=_best_baseline(played, roles, values=values[:, :, KPIS.index(kpi)], kpi=kpi),
        primary=kpi,
        confidence=confidence,
        tail_share=tail_share,
        product_names=_product_names(product_names, played[0]),
    )
    decision, of_decision = _decided(
        contest,
        rule,
        changed,
        resamples=resamples,
        seed=seed,
        is_world_judged=is_world_judged,
        fields=world_fields or {},
    )
    tables = _tables(contest, resamples=resamples, seed=seed) | of_decision
    settings = _settings(contest, rule) | {
        "changes_tried": list(changes_tried),
        "is_world_judged": is_world_judged,
        "currency": currency,
        "resamples": resamples,
        "seed": seed,
    }
    return Comparison(
        decision=decision, verdict=_verdict(contest, tables, currency=currency), tables=tables, settings=settings
    )


def _verdict(contest: Contest, tables: Mapping[str, pd.DataFrame], *, currency: str) -> Verdict:
    """Whether a learner beats every baseline."""
    shown = tables["kpis"][tables["kpis"]["kpi"] == contest.primary.name]
    means = dict(zip(shown["policy"], shown["mean"], strict=True))
    return verdict_of(
        tables["pairs"],
        tables["guardrails"],
        means=means,
        kpi=contest.primary,
        confidence=contest.confidence,
        currency=currency,
    )


def _settings(contest: Contest, rule: DecisionRule) -> dict[str, Any]:
    """How the statistics are made, as far as the contest and the rule say it."""
    return {
        "sales": int(contest.members.size),
        "members": [int(member) for member in np.unique(contest.members)],
        "best_baseline": contest.names[contest.best],
        "rule": asdict(rule),
        "guardrails": rule.guardrails,
        "confidence": contest.confidence,
        "tail_share": contest.tail_share,
        "product_names": list(contest.product_names),
    }


def _decided(
    contest: Contest,
    rule: DecisionRule,
    changed: Sequence[Entrant],
    *,
    resamples: int,
    seed: int,
    is_world_judged: bool,
    fields: Mapping[str, Mapping[int, float]],
) -> tuple[Decision, dict[str, pd.DataFrame]]:
    """The decision, and the tables that it rests on."""
    entrants, confidence = [*_entrants(contest.rollouts, contest.roles), *changed], contest.confidence
    appraisal = appraise(entrants, rule, confidence=confidence, resamples=resamples, seed=seed)
    decision = decide(
        appraisal.candidates,
        rule,
        practice_guards=appraisal.practice_guards,
        alpha=1.0 - confidence,
        is_world_judged=is_world_judged,
    )
    sales, worlds = contest.members.size, np.unique(contest.members).size
    leads = leads_table(appraisal, rule, sales=sales, worlds=worlds, confidence=confidence)
    tells = tells_table(entrants, decision, rule, fields=fields, confidence=confidence, leads=len(leads))
    guardrails = guardrail_table(entrants, appraisal)
    return decision, {"guardrails": guardrails, "leads": leads, "tells": tells}


def _entrants(played: Sequence[Rollout], roles: Mapping[str, str]) -> list[Entrant]:
    """Everybody in the sale as given."""
    return [
        Entrant(
            rollout,
            is_learned=roles[rollout.policy] == "learner",
            is_candidate=roles[rollout.policy] != "reference",
        )
        for rollout in played
    ]


def _tables(contest: Contest, *, resamples: int, seed: int) -> dict[str, pd.DataFrame]:
    """The tables that tell what each policy did and how they differ."""
    summaries = summarize(contest, resamples=resamples, seed=seed)
    kpis, profile = kpi_table(contest, summaries["levels"]), profile_table(contest)
    return {
        "policies": policies_table(contest),
        "kpis": kpis,
        "differences": difference_table(contest, summaries["differences"]),
        "pairs": pair_table(contest, summaries),
        "members": member_table(contest),
        "bridge": bridge_table(contest, summaries),
        "risk": risk_table(contest, summaries),
        "products": product_table(contest),
        "phases": phase_table(profile),
        "profile": profile,
        **outcome_tables(contest, resamples=resamples, seed=seed),
    }


def plain_json(value: Any) -> Any:
    """``value`` with null for numbers that JSON has not: the open ends of intervals."""
    if isinstance(value, Mapping):
        return {name: plain_json(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [plain_json(one) for one in value]
    return _plain(value)


def table_json(table: pd.DataFrame) -> str:
    """A table as JSON, one row a line: ``{"columns": […], "rows": [[…], …]}``; missing values, and
    the open ends of intervals, are null."""
    rows = [
        json.dumps([_plain(value) for value in row], ensure_ascii=False, allow_nan=False)
        for row in table.itertuples(index=False, name=None)
    ]
    columns = json.dumps(list(table.columns), ensure_ascii=False)
    return f'{{"columns": {columns}, "rows": [\n' + ",\n".join(rows) + "\n]}\n"


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic):
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _values(rollout: Rollout) -> np.ndarray[Any, np.dtype[np.float64]]:
    try:
        return kpi_values(rollout.totals)
    except InputError as error:
        raise InputError(f"policy {rollout.policy!r}: {error}") from error


def _checked_rollouts(rollouts: Sequence[Rollout]) -> tuple[Rollout, ...]:
    played = tuple(rollouts)
    if len(played) < 2:
        raise InputError(f"a comparison needs at least 2 policies, got {len(played)}")
    names = [rollout.policy for rollout in played]
    doubled = sorted({name for name in names if names.count(name) > 1})
    if doubled:
        raise InputError(f"policy names must differ, {doubled[0]!r} occurs {names.count(doubled[0])} times")
    first = played[0]
    if first.seeds.shape != first.members.shape or first.seeds.ndim != 1:
        raise InputError(f"seeds {first.seeds.shape} and members {first.members.shape} must both be (sale,)")
    if np.unique(first.seeds).size != first.seeds.size:
        raise InputError("a sale seed occurs twice; each sale may count once")
    for rollout in played:
        _check_same_sales(first, rollout)
        _check_finite(rollout)
    return played


def _check_finite(rollout: Rollout) -> None:
    """Only the end of a profile may be missing: the ticks after the last sale has closed."""
    for name, array in rollout.products.items():
        if not np.isfinite(array).all():
            raise InputError(f"policy {rollout.policy!r}: products[{name!r}] holds a value that is not finite")
    for name, array in rollout.profile.items():
        finite = np.asarray(np.isfinite(array.reshape(array.shape[0], -1)).all(axis=1))
        played = int(finite.sum())
        if played == 0 or not finite[:played].all() or not np.isnan(array[played:]).all():
            raise InputError(
                f"policy {rollout.policy!r}: profile[{name!r}] holds a value that is not finite before the sales end"
            )


def _check_same_sales(first: Rollout, other: Rollout) -> None:
    for kind in ("seeds", "members"):
        mine, theirs = getattr(first, kind), getattr(other, kind)
        if mine.shape != theirs.shape:
            raise InputError(
                f"policies {first.policy!r} and {other.policy!r} must play the same sales: "
                f"{mine.size} and {theirs.size} {kind}; evaluate both with the same seeds"
            )
        if not np.array_equal(mine, theirs):
            row = int(np.flatnonzero(mine != theirs)[0])
            raise InputError(
                f"policies {first.policy!r} and {other.policy!r} must play the same sales: {kind} differ first in "
                f"row {row} ({mine[row]} and {theirs[row]}); evaluate both with the same seeds and world"
            )


def _roles(names: Sequence[str], *, learners: Sequence[str], baselines: Sequence[str]) -> dict[str, str]:
    for kind, chosen in (("learners", learners), ("baselines", baselines)):
        if isinstance(chosen, str) or not chosen:
            raise InputError(f"{kind}: expected a list with at least one policy name, got {chosen!r}")
        unknown = [name for name in chosen if name not in names]
        if unknown:
            raise InputError(f"{kind}: no rollout of {unknown[0]!r} (there are: {', '.join(names)})")
    both = sorted(set(learners) & set(baselines))
    if both:
        raise InputError(f"policy {both[0]!r} is named as learner and as baseline; choose one")
    return {name: "learner" if name in learners else "baseline" if name in baselines else "reference" for name in names}


def _best_baseline(
    played: Sequence[Rollout], roles: Mapping[str, str], *, values: np.ndarray[Any, np.dtype[np.float64]], kpi: Kpi
) -> int:
    means = equal_member_means(values, played[0].members) * (-1.0 if kpi.direction == "lower" else 1.0)
    places = [place for place, rollout in enumerate(played) if roles[rollout.policy] == "baseline"]
    return max(places, key=lambda place: float(means[place]))


def _product_names(names: Sequence[str] | None, rollout: Rollout) -> tuple[str, ...]:
    widths = {array.shape[1] for array in (*rollout.products.values(), *rollout.profile.values()) if array.ndim == 2}
    if len(widths) > 1:
        raise InputError(f"products and profile disagree about the number of products: {sorted(widths)}")
    count = widths.pop() if widths else 0
    if names is not None and len(names) != count:
        raise InputError(f"product_names: expected {count}, got {len(names)}")
    return tuple(names) if names is not None else tuple(f"product {place + 1}" for place in range(count))
