"""Tables as a page shows them: rows and columns for a reader; every shown number carries the address of its cell."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from flashsim.evaluation.comparison import Comparison
from flashsim.evaluation.intervals import INTERVAL_TEXT
from flashsim.evaluation.kpis import KPIS, Unit, find_kpi, show
from flashsim.report.narrative import (
    DIFFERENCE,
    IMPROVEMENT,
    LEVEL,
    TAIL,
    TAIL_DIFFERENCE,
    Cited,
    Counts,
    Ends,
    Passage,
    Placed,
    cite,
    interval_passage,
)

MARKS = {"better": "▲", "worse": "▼", "not separable": "≈", "differs": "△"}
SHOWN_SERIES = ("depth", "servers_online", "visitors", "latency_p95_s", "stock_left_share")
SERIES_UNITS: dict[str, Unit] = {
    "depth": "share",
    "servers_online": "units",
    "visitors": "count",
    "latency_p95_s": "s",
    "stock_left_share": "share",
}
PRODUCT_UNITS: dict[str, Unit] = {"paid": "units", "revenue": "currency", "depth": "share", "leftover": "units"}
"""Quantities of products that the page shows; the files hold all quantities."""


@dataclass(frozen=True)
class Cell:
    """One cell: a number with its interval, or words."""

    text: str
    anchor: str = ""
    interval: Passage | None = None
    mark: str = ""
    word: str = ""
    """Meaning of the mark or the color, for readers who cannot see it."""
    kind: str = ""
    """Class of the cell: kept, broken, open, better, worse, number, name."""
    aliases: tuple[str, ...] = ()
    """Other addresses that lead to this cell."""


@dataclass(frozen=True)
class Grid:
    """A captioned table; the first cell of a row is its heading."""

    name: str
    caption: str
    head: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    wide: bool = False


def words(text: Any) -> Cell:
    """A cell of words."""
    return Cell(str(text), kind="name")


class Shelf:
    """Makes the grids of one comparison; ``page`` holds the headings."""

    def __init__(self, comparison: Comparison, *, page: Mapping[str, str], order: Sequence[str]) -> None:
        self.tables, self.currency = comparison.tables, comparison.settings["currency"]
        self.page, self.order = page, list(order)
        self.lead, self.rival = comparison.verdict.learner, comparison.settings["best_baseline"]

    def _cite(self, name: str, row: Any, column: str, *, unit: Unit | None, signed: bool = False) -> Cited:
        return cite(
            self.tables[name], column, name=name, row=int(row), unit=unit, currency=self.currency, signed=signed
        )

    def _end(self, name: str, row: Any, column: str, *, unit: Unit | None, signed: bool) -> Placed:
        """End of an interval below its mean, without the currency, which stands above it."""
        shown = cite(self.tables[name], column, name=name, row=int(row), unit=unit, currency="", signed=signed)
        return Placed(shown.text, shown.table, shown.row, shown.column)

    def _interval(self, name: str, row: Any, ends: Ends, *, unit: Unit | None, signed: bool) -> Passage:
        """The words of an interval, its ends in their places."""
        whole, at = (name, row) if name == "members" else ("policies", 0)
        return interval_passage(
            self.tables[name],
            ends,
            row=int(row),
            counts=Counts(self._cite(whole, at, "sales", unit="count"), self._cite("pairs", 0, "worlds", unit="count")),
            texts=INTERVAL_TEXT,
            end=lambda column: self._end(name, row, column, unit=unit, signed=signed),
        )

    def number(self, name: str, row: Any, column: str, *, unit: Unit | None, signed: bool = False, **more: Any) -> Cell:
        """A number and, with ``ends``, its interval."""
        ends = more.pop("ends", None)
        if pd.isna(self.tables[name].loc[row, column]):
            return Cell("–", kind="number")
        cited = self._cite(name, row, column, unit=unit, signed=signed)
        interval = self._interval(name, row, ends, unit=unit, signed=signed) if ends else None
        return Cell(cited.text, cited.anchor, interval, **{"kind": "number", **more})

    def _places(self, name: str, *keys: str) -> dict[tuple[str, ...], int]:
        table = self.tables[name]
        return {
            key: int(row) for row, key in zip(table.index, zip(*(table[k] for k in keys), strict=True), strict=True)
        }

    def policies(self, *, notes: Mapping[str, str]) -> Grid:
        """The policies that took part, and what each is."""
        table, rows = self.tables["policies"], []
        for policy in self.order:
            row = table.index[table["policy"] == policy][0]
            role = self.page[f"role {table.loc[row, 'role']}"]
            best = f" · {self.page['best_baseline']}" if bool(table.loc[row, "best_baseline"]) else ""
            counts = [self.number("policies", row, name, unit="count") for name in ("sales", "simulated_steps")]
            rows.append((words(policy), words(role + best), words(notes.get(policy, "–")), *counts))
        head = ("policy", "role", "note", "sales", "simulated_steps")
        return self.grid("policies", "policies_caption", head, rows)

    def guardrails(self) -> Grid:
        """One row a policy, one column a guardrail with its limit in the heading."""
        table, places = self.tables["guardrails"], self._places("guardrails", "kpi", "policy", "change")
        kpis = list(dict.fromkeys(table["kpi"]))
        named = zip(table["policy"], table["change"], strict=True)
        changed = dict.fromkeys((str(policy), str(change)) for policy, change in named if change)
        players = [*((policy, "") for policy in self.order), *changed]
        limits, rows = [words(self.page["limit"])], []
        for kpi in kpis:
            mine = [places[kpi, policy, change] for policy, change in players]
            aliases = tuple(f"guardrails-{row}-limit" for row in mine[1:])
            limits.append(self.number("guardrails", mine[0], "limit", unit=find_kpi(kpi).unit, aliases=aliases))
        for policy, change in players:
            cells = [words(f"{policy}, {change}" if change else policy)]
            for kpi in kpis:
                row = places[kpi, policy, change]
                status = str(table.loc[row, "status"])
                look: dict[str, Any] = {"ends": LEVEL, "kind": f"number {status}", "word": self.page[status]}
                cells.append(self.number("guardrails", row, "mean", unit=find_kpi(kpi).unit, **look))
            rows.append(tuple(cells))
        head = (self.page["policy"], *(find_kpi(kpi).label for kpi in kpis))
        return Grid("guardrails", self.page["guardrails_caption"], head, (tuple(limits), *rows))

    def chances(self, policies: Sequence[str], name: str) -> Grid:
        """One row a policy of ``policies``: how often a sale makes a loss, and is sold out."""
        table, places = self.tables["chances"], self._places("chances", "policy", "outcome")
        outcomes = list(dict.fromkeys(table["outcome"]))
        rows = [
            (
                words(policy),
                *(self.number("chances", places[policy, o], "mean", unit="share", ends=LEVEL) for o in outcomes),
            )
            for policy in policies
        ]
        head = (self.page["policy"], *(self.page[f"outcome {name}"] for name in outcomes))
        return Grid(name, self.page[f"{name}_caption"], head, tuple(rows))

    def causes(self, *, labels: Mapping[str, str], minutes: float) -> Grid:
        """One row a guardrail and policy: visits lost, why, and when."""
        rows = []
        if "causes" in self.tables:
            table, places = self.tables["causes"], self._places("causes", "policy", "kpi")
            for policy in self.order:
                for kpi in dict.fromkeys(table["kpi"]):
                    row = places.get((policy, kpi))
                    if row is None:
                        continue
                    first, last = (
                        Placed(f"{float(table.loc[row, end]) * minutes:g}", "causes", row, end)  # type: ignore[arg-type]
                        for end in ("first_tick", "last_tick")
                    )
                    rows.append(
                        (
                            words(policy),
                            words(table.loc[row, "label"]),
                            self.number("causes", row, "visits", unit="count"),
                            words(labels[str(table.loc[row, "cause"])]),
                            self.number("causes", row, "share", unit="share", aliases=(f"causes-{row}-time_share",)),
                            Cell(
                                "", interval=Passage("{first} – {last}", {"first": first, "last": last}), kind="number"
                            ),
                        )
                    )
        head = ("policy", "kpi", "visits_lost", "cause", "cause_share", "lost_between")
        return self.grid("causes", "causes_caption", head, rows)

    def kpis(self, policies: Sequence[str], name: str) -> Grid:
        """One row a KPI, one column a policy of ``policies``, with marks against the best baseline."""
        places, marked, rows = self._places("kpis", "kpi", "policy"), self._places("differences", "kpi", "policy"), []
        findings = self.tables["differences"]["finding"]
        for kpi in KPIS if policies else ():
            cells = []
            for policy in policies:
                finding = str(findings[marked[kpi.name, policy]]) if (kpi.name, policy) in marked else ""
                word = self.page[f"finding {finding}"] if finding else ""
                cells.append(
                    self.number(
                        "kpis",
                        places[kpi.name, policy],
                        "mean",
                        unit=kpi.unit,
                        ends=LEVEL,
                        kind=f"number {finding.replace(' ', '-')}",
                        mark=MARKS.get(finding, ""),
                        word=word,
                    )
                )
            rows.append((words(kpi.label), *cells))
        return Grid(name, self.page[f"{name}_caption"], (self.page["kpi"], *policies), tuple(rows), wide=True)

    def definitions(self) -> Grid:
        """What each KPI means."""
        rows = [(words(kpi.label), words(kpi.formula), words(kpi.unit), words(kpi.direction)) for kpi in KPIS]
        return self.grid("definitions", "definitions", ("kpi", "formula", "unit", "better"), rows)

    def pairs(self) -> Grid:
        """The pairs that the verdict rests on, those of the verdict's learner first."""
        table, rows = self.tables["pairs"], []
        unit: Unit = find_kpi(str(table.loc[0, "kpi"])).unit
        for row in sorted(table.index, key=lambda row: self.order.index(str(table.loc[row, "learner"]))):
            finding = str(table.loc[row, "finding"])
            ratio = table.loc[row, "relative"]
            percent = "–" if pd.isna(ratio) else show(float(ratio), "change", currency="", signed=True)
            rows.append(
                (
                    words(table.loc[row, "learner"]),
                    words(table.loc[row, "baseline"]),
                    Cell(
                        self.page[f"finding {finding}"],
                        mark=MARKS[finding],
                        kind=finding.replace(" ", "-"),
                        aliases=tuple(f"pairs-{row}-{name}" for name in ("comparisons", "confidence", "sales")),
                    ),
                    self.number("pairs", row, "difference", unit=unit, signed=True, ends=DIFFERENCE),
                    Cell(percent, f"pairs-{row}-relative", kind="number"),
                    self.number("pairs", row, "p_holm", unit=None),
                    self.number(
                        "pairs",
                        row,
                        "probability_of_improvement",
                        unit="share",
                        ends=IMPROVEMENT,
                    ),
                    self._ahead(row, unit=unit),
                    self.number("pairs", row, "minimum_detectable_effect", unit=unit),
                    self.number("pairs", row, "skewness", unit=None),
                )
            )
        head = ["learner", "baseline", "finding", "difference", "relative", "p", "chance", "ahead", "detectable"]
        head += ["skewness_over_worlds"]
        return self.grid("pairs", "pairs_caption", head, rows)

    def _ahead(self, row: Any, *, unit: Unit) -> Cell:
        """Worlds in which the learner is ahead, and the difference without any one world."""
        pair = self.tables["pairs"].loc[row]
        alone = pair["worlds"] < 2
        low, high = (
            self._end("pairs", row, column, unit=unit, signed=True)
            for column in ("least_without_one", "most_without_one")
        )
        without = None if alone else Passage(INTERVAL_TEXT["interval both ends"], {"low": low, "high": high})
        anchor, aliases = f"pairs-{row}-worlds_better", (f"pairs-{row}-worlds",)
        return Cell(f"{pair['worlds_better']} / {pair['worlds']}", anchor, without, kind="number", aliases=aliases)

    def bridge(self) -> Grid:
        """Terms of profit: best baseline, learner, difference."""
        table = self.tables["bridge"]
        rows = []
        for row in table.index[table["policy"] == self.lead]:
            amounts = [
                self.number("bridge", row, name, unit="currency") for name in ("baseline_amount", "policy_amount")
            ]
            gap = self.number("bridge", row, "difference", unit="currency", signed=True, ends=DIFFERENCE)
            rows.append((words(table.loc[row, "label"]), *amounts, gap))
        head = (self.page["term"], self.rival, self.lead, self.page["difference"])
        return Grid("bridge", self.page["terms_caption"], head, tuple(rows))

    def phases(self, *, series: Mapping[str, str]) -> Grid:
        """The three parts of the sale under the learner and the best baseline."""
        places, rows = self._places("phases", "series", "policy", "phase"), []
        for name in SHOWN_SERIES:
            for policy in dict.fromkeys((self.lead, self.rival)):
                keys = [(name, policy, f"{part} third") for part in ("first", "middle", "last")]
                if all(key in places for key in keys):
                    cells = [self.number("phases", places[key], "mean", unit=SERIES_UNITS[name]) for key in keys]
                    rows.append((words(series[name]), words(policy), *cells))
        return self.grid("phases", "phases_caption", ("series", "policy", "first", "middle", "last"), rows)

    def products(self) -> Grid:
        """One row a product; columns show a few quantities under the learner and the best baseline."""
        places, table = self._places("products", "policy", "product", "quantity"), self.tables["products"]
        present = set(table["quantity"])
        columns = [
            (policy, name)
            for name in PRODUCT_UNITS
            if name in present
            for policy in dict.fromkeys((self.lead, self.rival))
        ]
        rows = [
            (
                words(product),
                *(
                    self.number("products", places[policy, product, name], "mean", unit=PRODUCT_UNITS[name])
                    for policy, name in columns
                ),
            )
            for product in dict.fromkeys(table["product"])
        ]
        head = (self.page["product"], *(f"{self.page[f'quantity {name}']} · {policy}" for policy, name in columns))
        return Grid("products", self.page["products_caption"], head, tuple(rows), wide=True)

    def worlds(self, *, unit: Unit) -> Grid:
        """One row a world, for the learner."""
        table, rows = self.tables["members"], []
        for row in table.index[table["policy"] == self.lead]:
            cells = (
                words(table.loc[row, "member"]),
                self.number("members", row, "sales", unit="count"),
                self.number("members", row, "mean", unit=unit),
                self.number("members", row, "difference", unit=unit, signed=True, ends=DIFFERENCE),
                self.number("members", row, "difference_without", unit=unit, signed=True),
            )
            rows += [cells]
        head = tuple(self.page[name] for name in ("world", "sales"))
        head += (self.lead, self.page["to_best"], self.page["without"])
        return Grid("members", self.page["members_caption"], head, tuple(rows))

    def risk(self, policies: Sequence[str], name: str, *, unit: Unit) -> Grid:
        """The worst sales of each of ``policies``."""
        places, rows = self._places("risk", "policy"), []
        for policy in policies:
            row = places[(policy,)]
            rows.append(
                (
                    words(policy),
                    self.number(
                        "risk",
                        row,
                        "tail_mean",
                        unit=unit,
                        ends=TAIL,
                        aliases=(f"risk-{row}-tail_share",),
                    ),
                    self.number("risk", row, "difference", unit=unit, signed=True, ends=TAIL_DIFFERENCE),
                    self.number("risk", row, "worst", unit=unit),
                    self.number("risk", row, "median", unit=unit),
                )
            )
        return self.grid(name, f"{name}_caption", ("policy", "tail_mean", "to_best", "worst", "median"), rows)

    def grid(self, name: str, caption: str, head: Sequence[str], rows: Sequence[tuple[Cell, ...]]) -> Grid:
        return Grid(name, self.page[caption], tuple(self.page[key] for key in head), tuple(rows))


FIRST_COLUMNS = (
    *("product", "policy", "learner", "role", "forecast", "table", "what", "field", "low", "high", "unit"),
    *("wape", "wape_low", "wape_high"),
)
"""These stand first in a table given to the report: files keep keys in the order of the alphabet."""


def given_grid(name: str, table: pd.DataFrame, *, caption: str, page: Mapping[str, str]) -> Grid:
    """A table given to the report; numbers to four digits, with the columns that say what a row is first."""
    first = [column for column in FIRST_COLUMNS if column in table.columns]
    table = table[[*first, *(column for column in table.columns if column not in first)]]
    rows = []
    for row, values in enumerate(table.itertuples(index=False, name=None)):
        cells = []
        for column, value in zip(table.columns, values, strict=True):
            if column == "identified":
                cells.append(words(page["identified" if bool(value) else "not_identified"]))
            else:
                kind = "number" if isinstance(value, int | float) and not isinstance(value, bool) else "name"
                cells.append(Cell(plain(value), f"{name}-{row}-{column}", kind=kind))
        rows.append(tuple(cells))
    return Grid(name, caption, tuple(str(column).replace("_", " ") for column in table.columns), tuple(rows))


def plain(value: Any) -> str:
    """A value of unknown kind as text; floats to four digits."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return "–"
    if isinstance(value, float):
        return (f"{value:,.0f}" if abs(value) >= 1e4 else f"{value:.4g}").replace("-", "−")
    return f"{value:,}".replace("-", "−") if isinstance(value, int) and not isinstance(value, bool) else str(value)
