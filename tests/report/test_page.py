"""What a report must be: traceable, escaped, self-contained, the same again, and honest about what it was not given."""

import base64
import dataclasses
import html.parser
import itertools
import json
import re
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pandas as pd
import pytest

from flashsim.errors import InputError
from flashsim.evaluation import Comparison, compare
from flashsim.evaluation.decision import Outcome
from flashsim.evaluation.kpis import KPIS, find_kpi, show
from flashsim.report import write_report
from flashsim.report.english import FIGURES, HEADLINES, PAGE, PASSAGES, SERIES
from flashsim.report.figures import palette
from flashsim.report.grids import given_grid
from tests.evaluation.made_rollouts import make_rollout

NASTY = "<script>alert('x')</script> $a_1$ | **b** & \"c\""


def made_comparison(*, effect: float = 50.0, name: str = "PPO", latency_s: float = 0.4) -> Comparison:
    rollouts = [
        make_rollout(name, effect=effect, latency_s=latency_s, own_noise=30.0),
        make_rollout("DQN", effect=10.0, own_noise=30.0),
        make_rollout("fixed depth", own_noise=30.0),
        make_rollout("ladder", effect=-40.0, own_noise=30.0),
        make_rollout("oracle", effect=200.0),
    ]
    return compare(
        rollouts,
        learners=[name, "DQN"],
        baselines=["fixed depth", "ladder"],
        product_names=["coffee", "限时 juice", NASTY],
        resamples=1000,
    )


ANSWER = {
    f"{name}{end}": value for name, value in (("discount", 0.1), ("servers", 4.0)) for end in ("", "_low", "_high")
}
CONTEXT: dict[str, Any] = {
    "title": "Which policy should run the coffee sale?",
    "scenario": {"minutes": 40, "servers": {"start": 4, "most": 12}},
    "policy_notes": {"PPO": NASTY},
    "notices": ["The data are simulated, for education."],
    "demand_scores": [{"model": "negative binomial", "WAPE": 0.4}, {"model": "lag 7", "WAPE": 0.5}],
    "dropped_rows": pd.DataFrame({"reason": ["zero sales"], "rows": [1234]}),
    "assumptions": [{"name": "conversion", "value": "0.05 – 0.15", "identified": False}],
    "response_map": [
        {"policy": policy, "time_left": time, "stock_left": stock, "met": stock, **ANSWER}
        for policy in ("PPO", NASTY)
        for time in (1.0, 0.5)
        for stock in (0.0, 0.5, 1.0)
    ],
    "response_curves": [
        {"policy": "PPO", "feature": feature, "value": value, "met": 0.5, **ANSWER}
        for feature in ("utilization", "visitors")
        for value in (0.5, 1.0)
    ],
    "supported_depth": 0.25,
    "provenance": {"command": "python -m experiments.run", "config": "a: 1\nb: 2", "seeds": [0, 1]},
}


class Page(html.parser.HTMLParser):
    """Collects what the tests ask of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.citations: list[tuple[dict[str, str | None], str]] = []
        self.cells: dict[str, str] = {}
        self._cell = ""
        self._open: dict[str, str | None] | None = None
        self.words: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.tags.append((tag, given))
        if given.get("id"):
            self.ids.append(str(given["id"]))
        self._cell = str(given["id"]) if tag == "span" and given.get("id") else ""
        if "data-table" in given:
            self._open = given

    def handle_data(self, data: str) -> None:
        self.words.append(data)
        if self._cell:
            self.cells[self._cell] = data
            self._cell = ""
        if self._open is not None:
            self.citations.append((self._open, data))
            self._open = None


@pytest.fixture(scope="module")
def comparison() -> Comparison:
    return made_comparison()


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory, comparison: Comparison) -> Path:
    return write_report(tmp_path_factory.mktemp("report"), comparison, context=CONTEXT)


@pytest.fixture(scope="module")
def page(written: Path) -> Page:
    return Page(written.read_text(encoding="utf-8"))


def test_every_number_in_the_text_is_a_cell_of_a_written_table(written: Path, page: Page) -> None:
    assert len(page.citations) > 25
    for address, text in page.citations:
        table = pd.read_csv(written.parent / "tables" / f"{address['data-table']}.csv")
        value = float(table.loc[int(str(address["data-row"])), str(address["data-column"])])  # type: ignore[arg-type]
        if np.isinf(value):
            assert text in ("−∞", "+∞", "∞")
            continue
        digits = [abs(float(part)) for part in re.findall(r"\d[\d,]*\.?\d*", text.replace(",", ""))]
        assert len(digits) == 1, text
        assert any(
            abs(digits[0] - abs(value) * scale) <= 0.006 * abs(value) * scale + 0.005 for scale in (1.0, 100.0)
        ), (
            text,
            value,
        )
        assert ("−" in text) <= (value < 0.0)


def test_every_number_in_a_table_is_the_cell_of_the_written_table(written: Path, page: Page) -> None:
    checked = 0
    for address, text in page.cells.items():
        found = re.fullmatch(r"(\w+)-(\d+)-(\w+)", address)
        if found is None or not text.strip() or found[2] is None:
            continue
        table = pd.read_csv(written.parent / "tables" / f"{found[1]}.csv")
        value: Any = table.loc[int(found[2]), found[3]]
        digits = re.findall(r"\d[\d,]*\.?\d*(?:e[−+]\d+)?", text)
        if isinstance(value, str) or not digits or not np.isfinite(value):
            continue
        shown = float(digits[0].replace(",", "").replace("−", "-"))
        assert any(abs(shown - abs(value) * scale) <= 0.01 * abs(value) * scale + 0.051 for scale in (1.0, 100.0)), (
            address,
            text,
            value,
        )
        checked += 1
    assert checked > 300


def test_numbers_have_one_style_on_the_page(page: Page) -> None:
    words = " ".join(" ".join(page.words).split())
    told = words[words.index(PAGE["badge"]) : words.rindex(PAGE["provenance"])]
    assert not re.search(r"\d%|(?:^|[ (])-\d|−0(?:\.0+)? %", told)


def test_no_two_policies_drawn_by_color_share_one() -> None:
    colors = palette(["a", "b", "c", "d", "e", "f"])
    assert len(set(colors.values())) == len(colors) == 4


def test_columns_that_files_sort_stand_in_an_order_for_readers() -> None:
    rows = pd.DataFrame([{"gamma": 1.0, "policy": "PPO", "unit": "share", "what": "x", "low": 0.1, "high": 0.2}])
    head = given_grid("training", rows, caption="", page=PAGE).head
    assert head == ("policy", "what", "low", "high", "unit", "gamma")


def test_sentences_hold_no_number_that_is_not_cited(written: Path) -> None:
    text = written.read_text(encoding="utf-8")
    sentences = re.findall(r'<p(?: class="(?:sentence|headline)")?>(.*?)</p>', text, flags=re.DOTALL)
    cited = [sentence for sentence in sentences if 'class="n"' in sentence]
    assert len(cited) > 8
    for sentence in cited:
        rest = re.sub(r'<a class="n".*?</a>', "", sentence)
        assert not re.search(r"\d", re.sub(r"95th percentile|<[^>]*>", "", rest)), rest


def test_every_citation_leads_to_one_place_on_the_page(page: Page) -> None:
    assert len(page.ids) == len(set(page.ids))
    for tag, given in page.tags:
        if tag == "a":
            assert str(given["href"])[1:] in page.ids, given["href"]


def test_names_from_the_data_are_escaped_everywhere(tmp_path: Path) -> None:
    path = write_report(tmp_path, made_comparison(name=NASTY), context=CONTEXT | {"title": NASTY, "notices": [NASTY]})
    text = path.read_text(encoding="utf-8")
    assert "<script" not in text.lower()
    assert "&lt;script&gt;" in text
    assert NASTY in "".join(Page(text).words)
    markdown = (tmp_path / "report.md").read_text(encoding="utf-8")
    assert not re.search(r"(?<!\\)<script", markdown)
    rows = [line for line in markdown.splitlines() if line.startswith("|")]
    assert rows
    for uri in re.findall(r"data:image/svg\+xml;base64,([A-Za-z0-9+/=]+)", text):
        assert "<script" not in base64.b64decode(uri).decode("utf-8")


def test_markdown_tables_have_equal_columns(written: Path) -> None:
    lines = (written.parent / "report.md").read_text(encoding="utf-8").splitlines()
    widths: list[int] = []
    for line in lines:
        if line.startswith("|"):
            widths.append(len(re.findall(r"(?<!\\)\|", line)))
        else:
            assert len(set(widths)) <= 1, line
            widths = []


def test_page_refers_to_nothing_outside_itself(written: Path, page: Page) -> None:
    text = written.read_text(encoding="utf-8")
    assert len(text) < 3_000_000
    assert not re.search(r"https?://|//[a-z]+\.|@import|url\(", text)
    assert {tag for tag, _ in page.tags}.isdisjoint({"script", "link", "iframe", "object", "embed", "form"})
    for _, given in page.tags:
        assert str(given.get("src", "data:")).startswith("data:")


def test_page_can_be_read_without_seeing_it(page: Page) -> None:
    names = [tag for tag, _ in page.tags]
    assert ("html", {"lang": "en"}) in page.tags
    assert names.count("h1") == 1
    assert names.count("caption") == names.count("table")
    headings = [int(name[1]) for name in names if re.fullmatch(r"h[1-6]", name)]
    assert all(after - before <= 1 for before, after in itertools.pairwise(headings))
    pictures = [given for tag, given in page.tags if tag == "img"]
    assert len(pictures) == 9
    assert names.count("source") == len(pictures)  # each is drawn for narrow screens too
    assert all(len(str(given["alt"])) > 30 for given in pictures)
    assert all(given.get("scope") for tag, given in page.tags if tag == "th")


def test_verdict_comes_first_and_everything_is_there(written: Path, page: Page) -> None:
    words = "".join(page.words)
    names = ("the_sale", "guardrails", "money", "conduct", "kpis", "pairs", "worlds", "fidelity", "data", "provenance")
    places = [page.ids.index(name) for name in ("verdict", *(f"section-{name}" for name in names))]
    assert places == sorted(places)
    for kpi in KPIS:
        assert kpi.label in words
    for text in (
        "not identified by the data",
        "zero sales",
        "lag 7",
        "python -m experiments.run",
        "simulated, for education",
    ):
        assert text in words, text
    assert "DQN discounts coffee" not in words.split(PAGE["extrapolation"])[0]
    assert "data support 25 %" in words.split(PAGE["extrapolation"])[1]
    assert "PPO wins" in (written.parent / "report.md").read_text(encoding="utf-8")


def test_same_comparison_gives_the_same_bytes(written: Path, tmp_path: Path) -> None:
    again = write_report(tmp_path, made_comparison(), context=CONTEXT)
    names = sorted(path.relative_to(written.parent) for path in written.parent.rglob("*") if path.is_file())
    assert len(names) > 25
    for name in names:
        assert (again.parent / name).read_bytes() == (written.parent / name).read_bytes(), name


@pytest.mark.parametrize("effect", [-60.0, 0.0])
def test_page_tells_a_lost_and_an_open_contest_too(tmp_path: Path, effect: float) -> None:
    comparison = made_comparison(effect=effect, latency_s=3.0)
    if effect == 0.0:  # nothing separates the learner from a baseline that plays exactly alike
        fixed = make_rollout("fixed depth", latency_s=3.0)
        comparison = compare(
            [dataclasses.replace(fixed, policy="PPO"), fixed],
            learners=["PPO"],
            baselines=["fixed depth"],
            resamples=500,
        )
    words = "".join(Page(write_report(tmp_path, comparison).read_text(encoding="utf-8")).words)
    plain = " ".join(words.split())
    assert " ".join(comparison.verdict.sentence().split()) in plain
    assert str(comparison) in plain
    assert str(comparison.words().headline()) in plain
    assert PAGE["not_supplied"] in plain
    if effect == 0.0:
        assert "95th percentile of latency of PPO is" in plain


def test_policy_whose_sales_end_early_is_drawn(tmp_path: Path) -> None:
    fixed = make_rollout("fixed depth")
    early = {name: series.copy() for name, series in fixed.profile.items()}
    for series in early.values():
        series[12:] = float("nan")
    rollouts = [make_rollout("PPO"), dataclasses.replace(fixed, profile=early)]
    comparison = compare(rollouts, learners=["PPO"], baselines=["fixed depth"], resamples=500)
    assert "<img" in write_report(tmp_path, comparison).read_text(encoding="utf-8")


def test_each_learner_has_a_picture_of_what_it_decides(written: Path, comparison: Comparison, tmp_path: Path) -> None:
    text = written.read_text(encoding="utf-8")
    assert text.count("Asked at observations of sales that it played") == 1
    pictures = [base64.b64decode(uri).decode("utf-8") for uri in re.findall(r"svg\+xml;base64,([A-Za-z0-9+/=]+)", text)]
    with_map = [picture for picture in pictures if ">stock left</text>" in picture]
    assert [">visitors, times the forecast</text>" in picture for picture in with_map] == [
        True,
        True,
        False,
        False,
    ]  # each for wide and narrow screens
    for name in ("response_map", "response_curves"):
        stored = pd.read_csv(written.parent / "tables" / f"{name}.csv")
        pd.testing.assert_frame_equal(stored, pd.DataFrame(CONTEXT[name]))
    without = write_report(tmp_path, comparison).read_text(encoding="utf-8")
    assert "Asked at observations" not in without


def test_context_tables_are_saved_beside_the_others(written: Path) -> None:
    stored = json.loads((written.parent / "tables" / "demand_scores.json").read_text(encoding="utf-8"))
    assert stored == {"columns": ["model", "WAPE"], "rows": [["negative binomial", 0.4], ["lag 7", 0.5]]}


def test_other_files_in_the_folder_stay(tmp_path: Path, comparison: Comparison) -> None:
    (tmp_path / "notes.txt").write_text("mine", encoding="utf-8")
    write_report(tmp_path, comparison)
    assert (tmp_path / "notes.txt").read_text(encoding="utf-8") == "mine"


def test_unusable_context_is_refused_before_anything_is_written(tmp_path: Path, comparison: Comparison) -> None:
    with pytest.raises(InputError, match="unknown key 'tittle'; did you mean 'title'"):
        write_report(tmp_path / "a", comparison, context={"tittle": "x"})
    with pytest.raises(InputError, match="assumptions must be a DataFrame or a list of dicts"):
        write_report(tmp_path / "b", comparison, context={"assumptions": [{"a": 1}, {"b": 1}]})
    blocked = tmp_path / "file"
    blocked.write_text("", encoding="utf-8")
    with pytest.raises(InputError, match="cannot write"):
        write_report(blocked / "report", comparison)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file"]


def test_every_text_has_words_and_every_verdict_its_headline() -> None:
    for book in (PASSAGES, PAGE, SERIES, FIGURES):
        assert all(text.strip() for text in book.values())
    for outcome in get_args(Outcome):
        assert HEADLINES[outcome]
        assert outcome in PASSAGES


def test_shown_profit_is_the_mean_of_the_table(written: Path, comparison: Comparison, page: Page) -> None:
    kpis = comparison.tables["kpis"]
    row = kpis.index[(kpis["policy"] == "PPO") & (kpis["kpi"] == "profit")][0]
    shown = show(float(kpis["mean"][row]), find_kpi("profit").unit, currency="USD")
    assert f'<span id="kpis-{row}-mean">{shown}</span>' in written.read_text(encoding="utf-8")
    assert f"kpis-{row}-mean" in page.ids
