"""The sentences of a report. A number in a sentence is a ``Cited``: the text of one cell, with the cell's address.

Sentences are templates (``english.py``) filled with citations and names. So another language needs only other
templates, and no number can appear that no table holds.
"""

import string
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import pandas as pd
from markupsafe import Markup, escape

from flashsim.evaluation.comparison import Comparison
from flashsim.evaluation.evidence.decision_words import DecisionWords
from flashsim.evaluation.intervals import Of, interval_form, tell_interval
from flashsim.evaluation.kpis import Unit, find_kpi, show
from flashsim.evaluation.verdict import tell

MARKDOWN_SIGNS = "\\`*_[]<>#|~$&"


class MarkdownText(str):
    """Text that is Markdown already."""

    __slots__ = ()


@dataclass(frozen=True)
class Cited:
    """A shown number and the cell that it was read from."""

    text: str
    table: str
    row: int
    column: str

    @property
    def anchor(self) -> str:
        """Id of the cell on the page."""
        return f"{self.table}-{self.row}-{self.column}"

    def __str__(self) -> str:
        return self.text

    def __html__(self) -> str:
        return Markup('<a class="n" href="#{0}" data-table="{1}" data-row="{2}" data-column="{3}">{4}</a>').format(
            self.anchor, self.table, self.row, self.column, self.text
        )

    def markdown(self) -> str:
        """A link to the table's file; its title names row and column."""
        return f'[{escape_markdown(self.text)}](tables/{self.table}.csv "row {self.row}, {self.column}")'


@dataclass(frozen=True)
class Placed(Cited):
    """A shown number at the place that citations of its cell lead to."""

    def __html__(self) -> str:
        return Markup('<span id="{0}">{1}</span>').format(self.anchor, self.text)

    def markdown(self) -> str:
        """The number alone."""
        return escape_markdown(self.text)


@dataclass(frozen=True)
class Passage:
    """A template and the values of its fields; fields may be passages themselves."""

    template: str
    fields: Mapping[str, Any]

    def html(self) -> Markup:
        """Markup in which every name from the data is escaped."""
        fields = {name: value.html() if isinstance(value, Passage) else value for name, value in self.fields.items()}
        return Markup(escape(self.template)).format(**fields)

    def markdown(self) -> MarkdownText:
        """Markdown in which every name from the data is escaped."""
        fields = {name: as_markdown(value) for name, value in self.fields.items()}
        return MarkdownText(string.Formatter().vformat(self.template, (), fields))

    def __html__(self) -> str:
        return self.html()


def as_markdown(value: Any) -> MarkdownText:
    """Markdown of a passage, a citation or plain text."""
    if isinstance(value, MarkdownText):
        return value
    if isinstance(value, Passage | Cited):
        return MarkdownText(value.markdown())
    return escape_markdown(str(value))


def escape_markdown(text: str) -> MarkdownText:
    """Plain text on one line, in which every sign of Markdown or HTML is literal."""
    line = " ".join(text.split())
    return MarkdownText("".join(f"\\{sign}" if sign in MARKDOWN_SIGNS else sign for sign in line))


def cite(
    table: pd.DataFrame, column: str, *, name: str, row: int, unit: Unit | None, currency: str, signed: bool = False
) -> Cited:
    """Read a cell and show it in its unit (None: as a plain number)."""
    value = table.loc[row, column]
    number = float(value)  # type: ignore[arg-type]
    text = f"{number:.2g}".replace("-", "−") if unit is None else show(number, unit, currency=currency, signed=signed)
    return Cited(text, name, row, column)


@dataclass(frozen=True)
class Ends:
    """Where a table holds an interval, and what it is of."""

    mean: str
    low: str = "low"
    high: str = "high"
    of: Of = "difference"


class Counts(NamedTuple):
    """What an interval rests on."""

    sales: Cited
    worlds: Cited


def interval_passage(
    table: pd.DataFrame, ends: Ends, *, counts: Counts, texts: Mapping[str, str], end: Callable[[str], Any], row: int
) -> Passage:
    """The words of the interval in a row; ``end(column)`` shows one of its ends."""
    mean, low, high = (float(table.loc[row, column]) for column in (ends.mean, ends.low, ends.high))  # type: ignore[arg-type]
    form = interval_form(mean, low, high, of=ends.of, in_one_world=counts.worlds.text == "1")
    fields = {"low": end(ends.low), "high": end(ends.high), "sales": counts.sales, "worlds": counts.worlds}
    passage: Passage = tell_interval(form, fields, texts=texts, render=_passage)
    return passage


LEVEL = Ends("mean", of="level")
DIFFERENCE = Ends("difference")
IMPROVEMENT = Ends("probability_of_improvement", "improvement_low", "improvement_high", of="level")
TAIL = Ends("tail_mean", "tail_low", "tail_high", of="tail")
TAIL_DIFFERENCE = Ends("difference", of="tail")


class Narrator:
    """Writes the passages of one comparison from one set of templates."""

    def __init__(
        self,
        comparison: Comparison,
        *,
        texts: Mapping[str, str],
        headlines: Mapping[str, str],
        causes: Mapping[str, str] | None = None,
    ) -> None:
        self.causes_in_words = causes or {}
        self.tables, self.verdict, self.texts = comparison.tables, comparison.verdict, texts
        self.currency = comparison.verdict.currency
        self.kpi = find_kpi(comparison.verdict.kpi)
        self.words = DecisionWords(
            comparison.decision,
            comparison.tables,
            cell=self._cell,
            render=_passage,
            texts=texts,
            headlines=headlines,
            **comparison.words_settings(),
        )

    def cite(self, name: str, row: int, column: str, *, unit: Unit | None = None, signed: bool = False) -> Cited:
        return cite(self.tables[name], column, name=name, row=row, unit=unit, currency=self.currency, signed=signed)

    def row(self, name: str, **where: str) -> int:
        """Number of the row whose columns hold the values of ``where``."""
        table = self.tables[name]
        chosen = pd.Series(data=True, index=table.index)
        for column, value in where.items():
            chosen &= table[column] == value
        return int(table.index[chosen][0])

    def pair(self, column: str, *, unit: Unit | None = None, signed: bool = False) -> Cited:
        """A cell of the pair that decides the verdict."""
        return self.cite("pairs", self.verdict.pair_row, column, unit=unit, signed=signed)

    def count(self, column: str) -> Cited:
        """A whole number of that pair."""
        row = self.verdict.pair_row
        return Cited(f"{int(self.tables['pairs'].loc[row, column])}", "pairs", row, column)  # type: ignore[arg-type]

    def interval(self, name: str, row: int, ends: Ends, *, unit: Unit, signed: bool = False) -> Passage:
        """The words of an interval, its numbers cited."""
        return interval_passage(
            self.tables[name],
            ends,
            row=row,
            counts=Counts(self.sales(), self.count("worlds")),
            texts=self.texts,
            end=lambda column: self.cite(name, row, column, unit=unit, signed=signed),
        )

    def sales(self) -> Cited:
        """How many sales were played."""
        return self.cite("policies", self.row("policies", policy=self.verdict.learner), "sales", unit="count")

    def chance_interval(self) -> Passage:
        """The interval of that pair's chance that a sale improves."""
        return self.interval("pairs", self.verdict.pair_row, IMPROVEMENT, unit="share")

    def headline(self) -> Passage:
        """The decision as a short headline."""
        headline: Passage = self.words.headline()
        return headline

    def decision(self) -> Passage:
        """The decision with its reasons and with what would tell."""
        sentence: Passage = self.words.sentence()
        return sentence

    @property
    def subject(self) -> tuple[str, str]:
        """Of whom the decision speaks, and in which change of the sale."""
        candidate = self.words.decision.candidate
        return (self.verdict.subject, "") if candidate is None else (candidate.policy, candidate.change)

    def _cell(self, table: str, row: int, column: str, *, unit: Unit | None, signed: bool = False) -> Cited:
        return self.cite(table, row, column, unit=unit, signed=signed)

    def sentence(self) -> Passage:
        """The verdict's own sentence with its numbers cited."""
        columns = {"low": "low", "high": "high", "detectable": "minimum_detectable_effect", "p_holm": "p_holm"}
        columns |= {"amount": "difference", "relative": "relative"}
        columns |= {name: name for name in ("comparisons", "confidence", "sales", "worlds", "skewness")}
        shown: dict[str, Any] = {
            field: Cited(text, "pairs", self.verdict.pair_row, columns[field]) if field in columns else text
            for field, text in self.verdict.fields().items()
        }
        sentence: Passage = tell(self.verdict, shown, texts=self.texts, render=_passage)
        return sentence

    def basis(self) -> Passage:
        """How many sales and worlds were played."""
        fields = {"sales": self.sales(), "worlds": self.count("worlds")}
        return Passage(self.texts["basis"], fields)

    def chance(self) -> Passage:
        """How often a single sale improves."""
        fields = {
            "learner": self.verdict.learner,
            "baseline": self.verdict.baseline,
            "probability": self.pair("probability_of_improvement", unit="share"),
            "interval": self.chance_interval(),
        }
        return Passage(self.texts["chance"], fields)

    def risk(self) -> Passage:
        """The worst sales of the learner."""
        row = self.row("risk", policy=self.verdict.learner)
        unit = self.kpi.unit
        fields = {
            "policy": self.verdict.learner,
            "baseline": str(self.tables["risk"].loc[row, "baseline"]),
            "kpi": self.kpi.label.lower(),
            "share": self.cite("risk", row, "tail_share", unit="share"),
            "amount": self.cite("risk", row, "tail_mean", unit=unit),
            "difference": self.cite("risk", row, "difference", unit=unit, signed=True),
            "interval": self.interval("risk", row, TAIL_DIFFERENCE, unit=unit, signed=True),
        }
        return Passage(self.texts["risk"], fields)

    def worlds(self) -> Passage:
        """Whether one world decides the sign of the difference."""
        pair = self.tables["pairs"].loc[self.verdict.pair_row]
        if pair["worlds"] < 2:
            return Passage(self.texts["worlds one"], {})
        flips = pair["least_without_one"] * pair["most_without_one"] < 0.0
        fields = {
            "learner": self.verdict.learner,
            "baseline": self.verdict.baseline,
            "better": self.count("worlds_better"),
            "worlds": self.count("worlds"),
            "least": self.pair("least_without_one", unit=self.kpi.unit, signed=True),
            "most": self.pair("most_without_one", unit=self.kpi.unit, signed=True),
            "decides": self.texts["one world decides" if flips else "no world decides"],
        }
        return Passage(self.texts["worlds"], fields)

    def money(self) -> Passage | None:
        """Which terms make up the profit difference; None when no term of the learner differs."""
        bridge = self.tables["bridge"]
        mine = bridge[(bridge["policy"] == self.verdict.learner) & (bridge["difference"] != 0.0)]
        parts = mine[mine["term"] != "profit"]
        if parts.empty:
            return None
        order = parts["difference"].abs().sort_values(ascending=False, kind="stable").index
        terms = [
            Passage(
                self.texts["money term"],
                {
                    "label": str(bridge.loc[row, "label"]).lower(),
                    "amount": self.cite("bridge", int(row), "difference", unit="currency", signed=True),
                },
            )
            for row in order
        ]
        total = self.row("bridge", policy=self.verdict.learner, term="profit")
        fields = {
            "baseline": str(bridge.loc[total, "baseline"]),
            "total": self.cite("bridge", total, "difference", unit="currency", signed=True),
            "terms": _listed(terms),
        }
        return Passage(self.texts["money"], fields)

    def conduct(self, policy: str) -> list[Passage]:
        """Depth and servers of a policy in the three parts of the sale, where the tables hold them."""
        phases = self.tables["phases"]
        passages = []
        for series, key, unit in (("depth", "conduct depth", "share"), ("servers_online", "conduct servers", "units")):
            rows = phases[(phases["policy"] == policy) & (phases["series"] == series)]
            if rows.empty:
                continue
            fields: dict[str, Any] = {"policy": policy}
            for row, phase in rows["phase"].items():
                cited = self.cite("phases", int(row), "mean", unit=unit)  # type: ignore[arg-type,call-overload]
                fields[str(phase).split()[0]] = cited
            if {"first", "middle", "last"} <= set(fields):
                passages.append(Passage(self.texts[key], fields))
        return passages

    def guardrails(self) -> list[Passage]:
        """A sentence for every guardrail that the policy of the decision breaks or may break."""
        table = self.tables["guardrails"]
        policy, change = self.subject
        mine = table[(table["policy"] == policy) & (table["change"] == change) & (table["status"] != "kept")]
        passages = []
        for row in mine.index:
            unit = find_kpi(str(table.loc[row, "kpi"])).unit
            fields: dict[str, Any] = {
                name: self.cite("guardrails", int(row), name, unit=unit) for name in ("mean", "limit")
            }
            fields["interval"] = self.interval("guardrails", int(row), LEVEL, unit=unit)
            words = {name: str(table.loc[row, name]) for name in ("label", "policy", "status")}
            passages.append(Passage(self.texts["guardrail"], fields | words))
        return passages

    def causes(self, *, minutes: float) -> list[Passage]:
        """When and why visits are lost that break a guardrail, under the policy of the decision in the given sale."""
        policy, change = self.subject
        if "causes" not in self.tables or change:
            return []
        status = self.tables["guardrails"].query("change == ''").set_index(["policy", "kpi"])["status"]
        table = self.tables["causes"]
        passages = []
        for row in table.index[table["policy"] == policy]:
            if status.get((policy, table.loc[row, "kpi"])) in (None, "kept"):
                continue
            fields: dict[str, Any] = {
                name: self.cite("causes", int(row), name, unit="share") for name in ("share", "time_share")
            }
            fields |= {
                end: minutes_cited(table, f"{end}_tick", row=int(row), minutes=minutes) for end in ("first", "last")
            }
            words = {"label": str(table.loc[row, "label"]), "policy": policy}
            words["cause"] = self.causes_in_words[str(table.loc[row, "cause"])]
            passages.append(Passage(self.texts["cause"], fields | words))
        return passages


def minutes_cited(table: pd.DataFrame, column: str, *, row: int, minutes: float) -> Cited:
    """A tick of the table of causes in minutes since the opening."""
    return Cited(f"{float(table.loc[row, column]) * minutes:g}", "causes", row, column)  # type: ignore[arg-type]


def _passage(template: str, **fields: Any) -> Passage:
    return Passage(template, fields)


def _listed(parts: list[Passage]) -> Passage:
    fields = {f"part{place}": part for place, part in enumerate(parts)}
    return Passage(", ".join(f"{{{name}}}" for name in fields), fields)
