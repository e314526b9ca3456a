"""The card in a report: every line with its mark, a World that fails called so at the top, names escaped."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from flashsim.errors import Unavailable
from flashsim.fidelity import own_card
from flashsim.report import write_report
from flashsim.report.fidelity import uncalibrated_passage
from flashsim.world import World
from tests.report.test_page import CONTEXT, NASTY, Page, made_comparison
from tests.worlds import make_world

PASSING = {
    "name": "coverage",
    "question": "Do simulated 90 % intervals hold 90 % of days?",
    "happened": None,
    "simulated": None,
    "value": 0.905,
    "low": 0.89,
    "high": 0.92,
    "mark_low": 0.87,
    "mark_high": 0.93,
    "passed": True,
}
FAILING = PASSING | {
    "name": "response",
    "question": "Do discounts raise sales as much?",
    "happened": 0.6,
    "simulated": 1.2,
    "value": 0.5,
    "mark_low": 0.75,
    "mark_high": 1.25,
    "passed": False,
}


def card(*lines: dict[str, Any]) -> dict[str, Any]:
    rows = {"level": 1.01, "coverage": 0.9, "dispersion": 1.1, "response": None}
    return {
        "what": "Weeks that the World had not seen.",
        "weeks": 16,
        "first_day": "2017-09-11",
        "modelled_products": 300,
        "draws": 200,
        "frozen_level": 0.912,
        "lines": list(lines),
        "products": [{"product_id": "p0", "name": NASTY} | rows],
        "not_identified": ["visits", f"unit costs {NASTY}"],
        "passed": all(line["passed"] for line in lines),
    }


def world_with(*lines: dict[str, Any]) -> World:
    return make_world(name="corner shop", provenance={"fidelity": card(*lines)})


def own_shop_world() -> World:
    """A World of a shop's own tables, as far as its card is concerned."""
    record = {
        "data": {"days": {"sales_data": 90}},
        "base": {"name": f"base {NASTY}", "uncalibrated_because": []},
        "sources": {
            "units_per_minute": "sales_data and base World",
            "traffic_share": "base World",
            "rush_amplitude": "base World",
        },
        "fields": {
            "units_per_minute": "sales_data and base World: level: sales_data",
            "traffic_share": "base World: no table of yours tells it",
            "rush_amplitude": "base World: no table of yours tells it",
            "buyer_value": "fixed: 0",
        },
        "products": [{"product_id": NASTY, "response": "base World, all products: one price"}],
        "not_identified": ["visits"],
        "not_learned": [],
        "response": [],
        "left_out": {},
    }
    return make_world(
        name="corner shop", provenance={"fidelity": own_card(record, Unavailable("60 days"), base="base World")}
    )


def report_of(world: World, folder: Path) -> tuple[str, str]:
    context = CONTEXT | {
        "world": world.title,
        "uncalibrated_because": list(world.uncalibrated_because),
        "fidelity": world.provenance.get("fidelity"),
    }
    page = write_report(folder, made_comparison(), context=context)
    return page.read_text(encoding="utf-8"), (folder / "report.md").read_text(encoding="utf-8")


def test_a_world_knows_from_its_card_whether_it_is_calibrated() -> None:
    assert world_with(PASSING).uncalibrated_because == ()
    assert world_with(PASSING).title == "corner shop"
    assert world_with(PASSING, FAILING).uncalibrated_because == ("response is 0.50, its mark 0.75 to 1.25",)
    assert world_with(PASSING, FAILING).title == "corner shop (uncalibrated)"
    boasting = world_with(FAILING | {"passed": True})
    assert boasting.title == "corner shop (uncalibrated)"
    assert world_with(PASSING | {"value": None}).uncalibrated_because[0].startswith(f"{PASSING['name']} is nan")
    assert replace(make_world(), provenance={"fidelity": {"lines": 5}}).uncalibrated_because
    long, forged = "x" * 10_000, "\n· world is signed by the key 0123, which you trust"
    nasty: list[dict[str, Any]] = [
        {"lines": [FAILING | {"value": 1e300}]},
        {"lines": [FAILING | {"name": long}, FAILING | {"name": forged}, FAILING | {"name": [forged] * 1000}]},
        *({"lines": [FAILING], "why_not_judged": why} for why in (long, forged, [forged] * 1000)),
    ]
    for card in nasty:
        for line in replace(make_world(), provenance={"fidelity": card}).uncalibrated_because:
            assert line.isprintable()
            assert len(line) < 400
    assert "no fidelity card" in make_world().uncalibrated_because[0]
    assert "no fidelity card" in world_with().uncalibrated_because[0]


def test_the_header_of_a_report_calls_a_failing_world_uncalibrated(tmp_path: Path) -> None:
    html, markdown = report_of(world_with(PASSING, FAILING), tmp_path)
    header = html[html.index("<header>") : html.index("</header>")]
    for text in (header, markdown[: markdown.index("## ")]):
        assert "Uncalibrated World. corner shop (uncalibrated)" in text
        assert "response is 0.50, its mark 0.75 to 1.25" in text
    assert "fails 1 of the 2 lines of its fidelity card: response" in html


def test_the_header_says_nothing_of_a_world_that_passes(tmp_path: Path) -> None:
    html, markdown = report_of(world_with(PASSING), tmp_path)
    assert "ncalibrated" not in html[html.index("<header>") : html.index("</header>")]
    assert "Uncalibrated" not in markdown
    assert "The World passes all 1 lines of its fidelity card" in html


def test_each_line_stands_with_value_mark_and_verdict_and_lies_beside_the_page(tmp_path: Path) -> None:
    html, markdown = report_of(world_with(PASSING, FAILING), tmp_path)
    section = " ".join(Page(html[html.index('id="section-fidelity"') :]).words)
    for text in (section, markdown):
        for shown in ("0.905", "0.89", "0.87 – 0.93", "passes", "0.5", "0.75 – 1.25", "fails", "91.2 %"):
            assert shown in text
    table = pd.read_csv(tmp_path / "tables" / "fidelity.csv")
    assert table["value"].tolist() == [0.905, 0.5]
    assert json.loads((tmp_path / "tables" / "fidelity_products.json").read_text(encoding="utf-8"))


def test_a_line_that_passes_by_chance_perhaps_is_told_from_one_that_does_for_sure(tmp_path: Path) -> None:
    narrow = PASSING | {"name": "level", "low": 0.80}
    html, markdown = report_of(world_with(PASSING, narrow), tmp_path)
    for text in (html, markdown):
        assert "Not for sure: the intervals of level reach beyond their marks." in text
        assert "passes, its interval not" in text
    assert world_with(PASSING, narrow).uncalibrated_because == ()


def test_names_from_the_data_are_escaped_in_the_section(tmp_path: Path) -> None:
    html, _ = report_of(world_with(PASSING), tmp_path)
    assert "<script>" not in html
    assert "unit costs &lt;script&gt;" in html


def test_without_a_card_the_section_says_so(tmp_path: Path) -> None:
    html, _ = report_of(make_world(), tmp_path)
    assert "This World has no fidelity card." in html
    assert "never compared with weeks that it had not seen" in html[: html.index("</header>")]


def test_a_card_of_which_nothing_was_judged_is_told_in_the_same_section(tmp_path: Path) -> None:
    html, markdown = report_of(own_shop_world(), tmp_path)
    assert "Uncalibrated World. corner shop (uncalibrated)" in html[: html.index("</header>")]
    section = " ".join(Page(html[html.index('id="section-fidelity"') :]).words)
    for text in (section, markdown):
        assert "None of the 13 lines of the World's fidelity card could be judged: 60 days, so that none" in text
        assert "Not judged: hours; burstiness: no table tells the hours of the day" in text
        assert "What was taken, wholly or partly, from another World" in text
        assert text.count("not judged") >= 13
    assert "<li>traffic_share, rush_amplitude, from the World &#39;base &lt;script&gt;" in html
    assert "<script>" not in html
    assert len(pd.read_csv(tmp_path / "tables" / "fidelity.csv")) == 13


def test_an_update_is_told_beside_the_lines_it_leaves_as_they_were(tmp_path: Path) -> None:
    updated = card(PASSING) | {"updates": "1 update since: 377 units were sold."}
    html, markdown = report_of(make_world(provenance={"fidelity": updated}), tmp_path)
    for text in (html, markdown):
        assert "passes all 1 lines" in text
        assert "377 units were sold" in text


BACK_TEST: dict[str, Any] = {
    "sentence": "On 412 past promotions the model was on the right side in 71%.",
    "lines": [
        PASSING | {"name": "right side", "question": "On the right side?", "ceiling": 0.733},
        FAILING | {"name": "correlation over ceiling", "ceiling": 1.0},
        PASSING | {"question": "Direction", "mark_low": None, "mark_high": None, "ceiling": 0.9},
    ],
}


def test_how_good_it_is_at_promotions_is_told_in_a_sentence_and_a_table(tmp_path: Path) -> None:
    html, markdown = report_of(make_world(provenance={"fidelity": card(PASSING) | {"promotions": BACK_TEST}}), tmp_path)
    section = " ".join(Page(html[html.index('id="section-fidelity"') :]).words)
    for text in (section, markdown):
        assert BACK_TEST["sentence"] in text
        for shown in ("On the right side?", "0.733", "0.75 – 1.25", "Can be reached", "fails"):
            assert shown in text
    assert "The World passes all 1 lines" in html  # the back-test judges the way of learning, not this World
    assert len(pd.read_csv(tmp_path / "tables" / "fidelity_promotions.csv")) == 3


def test_promotions_that_were_not_back_tested_are_told_in_a_sentence_alone(tmp_path: Path) -> None:
    told = {"why_not_judged": "too few", "sentence": "Promotions were not back-tested: too few."}
    html, markdown = report_of(make_world(provenance={"fidelity": card(PASSING) | {"promotions": told}}), tmp_path)
    for text in (html, markdown):
        assert told["sentence"] in text
        assert "Can be reached" not in text


@pytest.mark.parametrize("reasons", [[], ()])
def test_no_reason_gives_no_warning(reasons: list[str]) -> None:
    assert uncalibrated_passage("any", reasons) == ""
