"""The fidelity card in a report: how true to life the simulation is, line by line, and what remains open.

The card comes from a World's provenance (flashsim/fidelity/card.py writes it); nothing is computed again.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import pandas as pd

from flashsim.evaluation.intervals import INTERVAL_TEXT
from flashsim.evaluation.kpis import show
from flashsim.marks import keeps_mark
from flashsim.report.english import PAGE
from flashsim.report.grids import Cell, Grid, plain, words
from flashsim.report.narrative import Passage, Placed


class FidelityPassages(NamedTuple):
    """Sentences above the card, questions that no line of it can answer, and values taken from another World."""

    sentences: tuple[str, ...]
    unknown: tuple[str, ...] = ()
    fell_back: tuple[str, ...] = ()


def uncalibrated_passage(world: str, reasons: Sequence[str]) -> str:
    """Text for the header of every page with an uncalibrated World; empty without ``reasons``."""
    if not reasons:
        return ""
    return PAGE["uncalibrated"].format(world=world or "It", reasons="; ".join(reasons))


def fidelity_passages(card: Mapping[str, Any] | None) -> FidelityPassages:
    """The verdict of ``card`` in words; None: a sentence that there is no card."""
    if card is None:
        return FidelityPassages((PAGE["fidelity_missing"],))
    sentences = _unjudged(card) if card.get("why_not_judged") else _judged(card)
    return FidelityPassages(
        (*sentences, *_promotions(card), *([card["updates"]] if "updates" in card else [])),
        tuple(card["not_identified"]),
        _fell_back(card.get("fell_back", ())),
    )


def _judged(card: Mapping[str, Any]) -> list[str]:
    judged = [line for line in card["lines"] if not line.get("why_not_judged")]
    failed = [line["name"] for line in judged if not keeps_mark(line)]
    verdict = PAGE["fidelity_failed" if failed else "fidelity_passed"]
    basis = PAGE["fidelity_basis"].format(
        what=card["what"],
        weeks=card["weeks"],
        first_day=card["first_day"],
        products=card["modelled_products"],
        draws=card["draws"],
    )
    sentences = [
        verdict.format(count=len(judged), failed=len(failed), names=", ".join(failed)),
        basis,
        PAGE["fidelity_frozen"].format(frozen=show(card["frozen_level"], "share", currency="")),
        *_why_not(line for line in card["lines"] if line.get("why_not_judged")),
    ]
    narrow = [line["name"] for line in card["lines"] if _is_narrow(line)]
    if narrow:
        sentences.insert(1, PAGE["fidelity_narrow"].format(names=", ".join(narrow)))
    if card.get("pulled_forward"):
        sentences.append(PAGE["pulled_forward"].format(sentence=card["pulled_forward"]["sentence"]))
    return sentences


def _unjudged(card: Mapping[str, Any]) -> list[str]:
    return [
        PAGE["fidelity_unjudged"].format(count=len(card["lines"]), why=card["why_not_judged"]),
        card["what"],
        *_why_not(card["lines"]),
    ]


def _promotions(card: Mapping[str, Any]) -> list[str]:
    """How well past promotions were predicted, in a sentence; nothing where the card does not tell."""
    told = card.get("promotions")
    return [] if told is None else [told["sentence"]]


def _why_not(lines: Iterable[Mapping[str, Any]]) -> list[str]:
    """Why ``lines`` were not judged, a sentence for each reason."""
    names: dict[str, list[str]] = {}
    for line in lines:
        names.setdefault(line["why_not_judged"], []).append(line["name"])
    return [PAGE["fidelity_unjudged_line"].format(names="; ".join(alike), why=why) for why, alike in names.items()]


def _fell_back(fields: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
    """The fields taken from another World, one sentence for each reason."""
    names: dict[tuple[str, str], list[str]] = {}
    for field in fields:
        names.setdefault((field["world"], field["why"]), []).append(field["field"])
    return tuple(
        PAGE["fidelity_field"].format(names=", ".join(alike), world=world, why=why)
        for (world, why), alike in names.items()
    )


def fidelity_tables(card: Mapping[str, Any] | None) -> dict[str, pd.DataFrame]:
    """The lines of ``card`` and the products of the sale, as tables that are written beside the page."""
    if card is None:
        return {}
    tables = {
        "fidelity": pd.DataFrame(card["lines"]),
        "fidelity_products": pd.DataFrame(card["products"]),
        "fidelity_promotions": pd.DataFrame(_back_test_lines(card)),
    }
    return {name: table for name, table in tables.items() if not table.empty}


def fidelity_grids(card: Mapping[str, Any] | None) -> dict[str, Grid]:
    """The same tables as a page shows them: a question, what happened, what was simulated, and whether it passes."""
    if card is None:
        return {}
    heads = ("question", "happened", "simulated", "value", "mark", "fidelity")
    head = tuple(PAGE[name] if name != "fidelity" else "" for name in heads)
    caption = PAGE["fidelity_unjudged_caption" if card.get("why_not_judged") else "fidelity_caption"]
    lines = tuple(_line_cells(row, line) for row, line in enumerate(card["lines"]))
    columns = ("name", "level", "coverage", "dispersion", "response")
    products = tuple(
        tuple(
            words(product[column])
            if column == "name"
            else Cell(plain(product[column]), f"fidelity_products-{row}-{column}", kind="number")
            for column in columns
        )
        for row, product in enumerate(card["products"])
    )
    back_test = tuple(_back_test_cells(row, line) for row, line in enumerate(_back_test_lines(card)))
    asked = (PAGE["question"], PAGE["value"], PAGE["ceiling"], PAGE["mark"], "")
    return {
        "fidelity": Grid("fidelity", caption, head, lines, wide=True),
        "fidelity_promotions": Grid(
            "fidelity_promotions", PAGE["fidelity_promotions_caption"], asked, back_test, wide=True
        ),
        "fidelity_products": Grid(
            "fidelity_products", PAGE["fidelity_products_caption"], (PAGE["product"], *columns[1:]), products
        ),
    }


def _line_cells(row: int, line: Mapping[str, Any]) -> tuple[Cell, ...]:
    mark = _mark(line)
    if line["value"] is None:
        return (words(line["question"]), *[words("–")] * 3, mark, Cell("?", word=PAGE["unjudged"], kind="open"))
    interval = _interval("fidelity", row, line)
    return (
        words(line["question"]),
        Cell(_short(line["happened"]), f"fidelity-{row}-happened", kind="number"),
        Cell(_short(line["simulated"]), f"fidelity-{row}-simulated", kind="number"),
        Cell(_short(line["value"]), f"fidelity-{row}-value", interval=interval, kind="number"),
        mark,
        _verdict(line),
    )


def _back_test_lines(card: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    """Lines of the back-test of past promotions; none where it was not made."""
    told = card.get("promotions")
    lines: Sequence[Mapping[str, Any]] = () if told is None else told.get("lines", ())
    return lines


def _back_test_cells(row: int, line: Mapping[str, Any]) -> tuple[Cell, ...]:
    grid = "fidelity_promotions"
    value = Cell(_short(line["value"]), f"{grid}-{row}-value", interval=_interval(grid, row, line), kind="number")
    ceiling = Cell(_short(line["ceiling"]), f"{grid}-{row}-ceiling", kind="number")
    if line["mark_low"] is None:
        return (words(line["question"]), value, ceiling, words("–"), words("–"))
    return (words(line["question"]), value, ceiling, _mark(line), _verdict(line))


def _verdict(line: Mapping[str, Any]) -> Cell:
    verdict = "narrow" if _is_narrow(line) else "passed" if keeps_mark(line) else "failed"
    sign, kind = {"passed": ("✓", "kept"), "narrow": ("?", "open"), "failed": ("✕", "broken")}[verdict]
    return Cell(sign, word=PAGE[verdict], kind=kind)


def _mark(line: Mapping[str, Any]) -> Cell:
    return Cell(f"{_short(line['mark_low'])} – {_short(line['mark_high'])}", kind="number")


def _interval(grid: str, row: int, line: Mapping[str, Any]) -> Passage:
    ends = {end: Placed(_short(line[end]), grid, row, end) for end in ("low", "high")}
    return Passage(INTERVAL_TEXT["interval both ends"], ends)


def _is_narrow(line: Mapping[str, Any]) -> bool:
    """Whether a line passes although its interval reaches beyond the mark."""
    return bool(keeps_mark(line) and (line["low"] < line["mark_low"] or line["high"] > line["mark_high"]))


def _short(value: float | None) -> str:
    return "–" if value is None else f"{value:.3g}"
