"""A decision in sentences. Every number is a cell of a table; who shows it decides how (plain text, a cited link)."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import pandas as pd

from flashsim.evaluation.decision import Candidate, Decision, Reason
from flashsim.evaluation.intervals import INTERVAL_TEXT, Of, interval_form, tell_interval
from flashsim.evaluation.kpis import Unit, find_kpi, show

DECISION_TEXT: dict[str, str] = INTERVAL_TEXT | {
    "run it": "Run it with {policy}: {claim}{kept}.{over_rules}",
    "run it with changes": "Run it with a change, {change}, and with {policy}: {claim}{kept}.{over_rules}",
    "run it as a test": (
        "Run it as a test{with_change} with {policy}: {claim}{kept}.{over_rules} The World was never judged against "
        "data, so nothing stronger can be said."
    ),
    "do not run it": "Do not run it: {reasons}.{tried}",
    "cannot tell": "It cannot be told whether to run it: {reasons}.{tried}{tells}",
    "cannot tell nobody": "It cannot be told whether to run it: nobody was compared with {practice}.",
    "claim": "its lead over {over} in {kpi} is {lead} a sale ({confidence} % interval {interval}), {where}",
    "claim after change": (
        "its lead over {over} in the sale as given, in {kpi}, is {lead} a sale ({confidence} % interval {interval}), "
        "{where}"
    ),
    "lower is better": "{label} (less is better)",
    "where": "ahead in {ahead} of {worlds} worlds",
    "where in one world": "in the one world that was met",
    "all kept": ", and every guardrail is kept",
    "others kept": ", and every guardrail is kept except {labels}",
    "none asked": ", and no guardrail was asked for",
    "with change": ", with a change, {change}, and",
    "changed policy": "{policy} with {change}",
    "over rules": " It is ahead of every rule, of the nearest, {rule}, by {nearest} ({nearest_interval}).",
    "held to practice": (
        " For {labels}, {practice} itself is beyond the limit and nobody is shown to keep it; a policy is asked not to "
        "be worse there than {practice} by more than the margin."
    ),
    "reason worse": "{policy} is worse than {over}: its lead in {kpi} is {lead} a sale ({interval})",
    "reason short": "{policy} is behind {over}: its lead in {kpi} is {lead} a sale ({interval})",
    "reason short worthwhile": (
        "the lead of {policy} over {over} in {kpi}, {lead} a sale ({interval}), is less than what is worthwhile"
    ),
    "reason lead": "the lead of {policy} over {over} in {kpi}, {lead} a sale ({interval}), is not shown",
    "reason lead worthwhile": (
        "the lead of {policy} over {over} in {kpi}, {lead} a sale ({interval}), is not shown to be above what is "
        "worthwhile"
    ),
    "reason worlds": "{policy} is ahead of {over} in {ahead} of {worlds} worlds, and {asked} of them are asked for",
    "reason guardrail open": "under {policy}, {label}: {mean} ({interval}), which may be beyond the limit of {limit}",
    "reason guardrail broken": "under {policy}, {label}: {mean} ({interval}), which is beyond the limit of {limit}",
    "reason guardrail open to practice": (
        "under {policy}, {label}: {mean} ({interval}), which may be worse than under {practice} by more than the margin"
    ),
    "reason guardrail broken to practice": (
        "under {policy}, {label}: {mean} ({interval}), which is worse than under {practice} by more than the margin"
    ),
    "tried": " Tried on the training worlds, and not enough: {changes}.",
    "tell sales": " About {amount} simulated sales in all would tell{about}.",
    "tell worlds": " About {amount} held-out worlds would tell{about}.",
    "tell data": " Real data on {field} would tell{about}: it explains {share} of what the worlds disagree about.",
    "tell data of all": " The worlds disagree{about}, and no one field of the World explains it: more data would tell.",
    "tell nothing": " No number of simulated sales would tell{about}: it is too near to the mark.",
    "tell about": " ({about})",
}
"""English sentences of the decision; a translation has the same keys and the same names in braces."""

HEADLINE_TEXT: dict[str, str] = {
    "run it": "Run it with {policy}: {lead} a sale in {kpi} over {practice}{relative}",
    "run it with changes": (
        "Run it with a change ({change}) and with {policy}: {lead} a sale in {kpi} over {practice}{relative}"
    ),
    "run it as a test": "Run it as a test{with_change} with {policy}: {lead} a sale in {kpi} over {practice}{relative}",
    "with change": " with a change ({change}) and",
    "relative": "; guardrails not kept, as today: {labels}",
    "do not run it": "Do not run it",
    "cannot tell": "It cannot be told whether to run it",
}
"""The same in a few words."""


class ShowsCell(Protocol):
    """How a number of a table is shown."""

    def __call__(self, table: str, row: int, column: str, *, unit: Unit | None, signed: bool = False) -> Any: ...


class DecisionWords:
    """Writes the sentences of one decision from its tables."""

    def __init__(
        self,
        decision: Decision,
        tables: Mapping[str, pd.DataFrame],
        *,
        cell: ShowsCell,
        render: Callable[..., Any],
        texts: Mapping[str, str] = DECISION_TEXT,
        headlines: Mapping[str, str] = HEADLINE_TEXT,
        worthwhile: float,
        tried: Sequence[str] = (),
    ) -> None:
        """``render(text, **fields)`` fills a text; ``tried``: changes of the sale that were not enough, in words."""
        self.decision, self.tables, self.cell, self.render = decision, tables, cell, render
        self.texts, self.headlines, self.tried = texts, headlines, tried
        self.worthwhile = worthwhile

    def headline(self) -> Any:
        """The outcome in a few words."""
        decision = self.decision
        fields: dict[str, Any] = {"practice": decision.practice}
        if (candidate := decision.candidate) is not None:
            lead = self.lead(candidate, decision.practice)
            about = self.headlines["with change"] if candidate.change else ""
            fields |= {"policy": candidate.policy, "change": candidate.change, "lead": lead["lead"], "kpi": lead["kpi"]}
            fields |= {"with_change": self.render(about, change=candidate.change)}
            held = self.headlines["relative"] if decision.relative_guardrails else ""
            fields |= {"relative": self.render(held, labels=self._labels())}
        return self.render(self.headlines[decision.outcome], **fields)

    def sentence(self) -> Any:
        """The decision, with its reasons and with what would tell."""
        decision, candidate = self.decision, self.decision.candidate
        if candidate is None:
            return self.render(self.texts["cannot tell nobody"], practice=decision.practice)
        if decision.reasons:
            reasons = self._listed([self._reason(candidate, reason) for reason in decision.reasons], "; ")
            fields = {"reasons": reasons, "tried": self._tried(), "tells": self._tells()}
            first = self.render(self.texts[decision.outcome], **fields)
        else:
            lead = self.lead(candidate, decision.practice)
            about = self.render(self.texts["with change"], change=candidate.change) if candidate.change else ""
            fields = lead | {"practice": decision.practice, "change": candidate.change, "with_change": about}
            fields |= {"over_rules": self._over_rules(candidate), "kept": self._kept(candidate)}
            fields |= {"claim": self.render(self.texts["claim after change" if candidate.change else "claim"], **lead)}
            first = self.render(self.texts[decision.outcome], **fields)
        if not decision.relative_guardrails:
            return first
        second = self.render(self.texts["held to practice"], practice=decision.practice, labels=self._labels())
        return self._listed([first, second], "")

    def _labels(self) -> str:
        """Of the guardrails that are held against the practice."""
        return " and ".join(find_kpi(name).label.lower() for name in self.decision.relative_guardrails)

    def _kept(self, candidate: Candidate) -> Any:
        """Which guardrails a candidate that passes keeps."""
        held = self.decision.relative_guardrails
        key = "none asked" if not candidate.guards else "others kept" if held else "all kept"
        return self.render(self.texts[key], labels=self._labels())

    def _named(self, candidate: Candidate) -> Any:
        """The policy, and in which sale where that is changed."""
        text = self.texts["changed policy"] if candidate.change else "{policy}"
        return self.render(text, policy=candidate.policy, change=candidate.change)

    def lead(self, candidate: Candidate, over: str) -> dict[str, Any]:
        """What is said of the lead of a candidate over ``over``."""
        table = self.tables["leads"]
        mine = (table["policy"] == candidate.policy) & (table["change"] == candidate.change) & (table["over"] == over)
        row = int(table.index[mine][0])
        kpi = find_kpi(str(table.loc[row, "kpi"]))
        better = self.texts["lower is better"] if kpi.direction == "lower" else "{label}"
        said = {
            "policy": candidate.policy,
            "over": over,
            "kpi": self.render(better, label=kpi.label.lower()),
            "lead": self.cell("leads", row, "mean", unit=kpi.unit, signed=True),
            "interval": self._interval("leads", row, unit=kpi.unit, signed=True, of="difference"),
            "ahead": self.cell("leads", row, "ahead", unit="count"),
            "worlds": self.cell("leads", row, "worlds", unit="count"),
            "asked": self.cell("leads", row, "asked", unit="share"),
            "confidence": self.cell("leads", row, "confidence_percent", unit="count"),
        }
        in_one = int(table.loc[row, "worlds"]) == 1  # type: ignore[arg-type]
        return said | {"where": self.render(self.texts["where in one world" if in_one else "where"], **said)}

    def _over_rules(self, candidate: Candidate) -> Any:
        if not candidate.over_rules:
            return ""
        nearest = min(candidate.over_rules, key=lambda lead: lead.mean)
        lead = self.lead(candidate, nearest.over)
        fields = {"rule": nearest.over, "nearest": lead["lead"], "nearest_interval": lead["interval"]}
        return self.render(self.texts["over rules"], **fields)

    def _reason(self, candidate: Candidate, reason: Reason) -> Any:
        if not reason.shortfall.startswith("guardrail"):
            key = f"reason {reason.shortfall}"
            if reason.shortfall in ("lead", "short") and self.worthwhile > 0.0:
                key += " worthwhile"
            fields = self.lead(candidate, reason.about) | {"policy": self._named(candidate)}
            return self.render(self.texts[key], **fields)
        table, unit = self.tables["guardrails"], find_kpi(reason.about).unit
        mine = (table["policy"] == candidate.policy) & (table["change"] == candidate.change)
        row = int(table.index[mine & (table["kpi"] == reason.about)][0])
        to_practice = " to practice" if reason.about in self.decision.relative_guardrails else ""
        fields = {
            "label": find_kpi(reason.about).label.lower(),
            "policy": self._named(candidate),
            "practice": self.decision.practice,
            "mean": self.cell("guardrails", row, "mean", unit=unit),
            "limit": self.cell("guardrails", row, "limit", unit=unit),
            "interval": self._interval("guardrails", row, unit=unit, signed=False, of="level"),
        }
        return self.render(self.texts[f"reason {reason.shortfall}{to_practice}"], **fields)

    def _tried(self) -> Any:
        return self.render(self.texts["tried"], changes=", ".join(self.tried)) if self.tried else ""

    def _tells(self) -> Any:
        table, parts = self.tables["tells"], []
        for row in table.index:
            kind, field = str(table.loc[row, "kind"]), str(table.loc[row, "field"])
            about = str(table.loc[row, "about"])
            if str(table.loc[row, "shortfall"]).startswith("guardrail"):
                about = find_kpi(about).label.lower()
            words = self.render(self.texts["tell about"], about=about) if len(table) > 1 else ""
            key = "tell data of all" if kind == "data" and not field else f"tell {kind}"
            fields = {
                "amount": self.cell("tells", row, "amount", unit="count"),
                "field": field,
                "share": self.cell("tells", row, "share", unit="share"),
                "about": words,
            }
            parts.append(self.render(self.texts[key], **fields))
        return self._listed(parts, "") if parts else ""

    def _interval(self, name: str, row: int, *, unit: Unit, signed: bool, of: Of) -> Any:
        table = self.tables[name]
        mean, low, high = (float(table.loc[row, column]) for column in ("mean", "low", "high"))  # type: ignore[arg-type]
        worlds = self.tables["leads"]
        ends = {end: self.cell(name, row, end, unit=unit, signed=signed) for end in ("low", "high")}
        counts = {count: self.cell("leads", 0, count, unit="count") for count in ("sales", "worlds")}
        form = interval_form(mean, low, high, of=of, in_one_world=int(worlds.loc[0, "worlds"]) == 1)  # type: ignore[arg-type]
        return tell_interval(form, ends | counts, texts=self.texts, render=self.render)

    def _listed(self, parts: Sequence[Any], between: str) -> Any:
        fields = {f"part{place}": part for place, part in enumerate(parts)}
        return self.render(between.join(f"{{{name}}}" for name in fields), **fields)


def plain_words(
    decision: Decision, tables: Mapping[str, pd.DataFrame], *, currency: str, **settings: Any
) -> DecisionWords:
    """The sentences as plain text."""

    def cell(table: str, row: int, column: str, *, unit: Unit | None, signed: bool = False) -> str:
        value = float(tables[table].loc[row, column])  # type: ignore[arg-type]
        return f"{value:.2g}" if unit is None else show(value, unit, currency=currency, signed=signed)

    return DecisionWords(decision, tables, cell=cell, render=str.format, **settings)
