"""The page in a real browser, on a desk, a telephone and paper: nothing is fetched, cropped, tiny or out of reach."""

import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import sync_playwright
from pypdf import PdfReader

from flashsim.evaluation import Comparison, compare
from flashsim.report import write_report
from tests.evaluation.made_rollouts import make_rollout
from tests.report.test_page import CONTEXT

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no chromium on PATH (on Debian: apt-get install chromium)")
QUIET = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--host-resolver-rules=MAP * ~NOTFOUND"]
SCREENS = {"desk": (1280, 800), "telephone": (390, 844)}
SMALLEST_PT, MOST_PAGES = 7.0, 4
RULES = ("run-out price", "human team", "fluid LP", "fitted DP", "two teams", "best fixed", "ladder 15/30/45")
LONG = "a name of a product that goes on for quite a while (12/18&15pk can car, 12 oz)"
SALE = {
    "Sale": "A grocer with an online shop sells everyday products on a Friday evening. The goods were bought for the "
    "sale, what is left is worth little, and nobody knows how strong the evening will be.",
    "What": "3 products: coffee, juice, milk",
    **{f"Fact {number}": "12 at the opening, 1 to 60, 3 min to boot" for number in range(8)},
}


@pytest.fixture(scope="module")
def comparison() -> Comparison:
    effects = {"PPO": 60.0, "DQN": 40.0, **{name: 10.0 * place for place, name in enumerate(RULES)}}
    rollouts = [make_rollout(name, effect=effect, own_noise=30.0) for name, effect in effects.items()]
    return compare(
        rollouts,
        learners=["PPO", "DQN"],
        baselines=list(RULES),
        product_names=["coffee", "限时 juice", LONG],
        resamples=500,
    )


@pytest.fixture(scope="module")
def path(comparison: Comparison, tmp_path_factory: pytest.TempPathFactory) -> Path:
    notes = dict.fromkeys(("PPO", "DQN", *RULES), "the ladder; a step of servers up above 70 % utilization")
    context = CONTEXT | {"scenario": SALE, "policy_notes": notes}
    return write_report(tmp_path_factory.mktemp("browser"), comparison, context=context)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=CHROMIUM, args=QUIET)
        yield opened
        opened.close()


@pytest.fixture(scope="module", params=SCREENS)
def page(browser: Any, path: Path, request: pytest.FixtureRequest) -> Iterator[Any]:
    width, height = SCREENS[request.param]
    opened = browser.new_page(viewport={"width": width, "height": height})
    opened.complaints, opened.requests = [], []
    opened.on("console", lambda message: opened.complaints.append(message.text))
    opened.on("pageerror", lambda error: opened.complaints.append(str(error)))
    opened.on("request", lambda asked: opened.requests.append(asked.url))
    opened.goto(path.as_uri())
    yield opened
    opened.close()


def test_the_page_opens_without_complaint_and_fetches_nothing(page: Any, path: Path) -> None:
    assert page.complaints == []
    assert [url for url in page.requests if not url.startswith("data:")] == [path.as_uri()]


def test_nothing_makes_the_page_scroll_sideways(page: Any) -> None:
    page.evaluate("document.querySelectorAll('details').forEach(part => part.open = true)")
    widths = page.evaluate("[document.documentElement.scrollWidth, document.documentElement.clientWidth]")
    page.evaluate("document.querySelectorAll('details').forEach(part => part.open = false)")
    assert widths[0] == widths[1]


def test_no_picture_is_wider_than_the_screen_and_its_letters_can_be_read(page: Any) -> None:
    pictures = page.evaluate(
        "[...document.images].map(image => [image.naturalWidth, image.getBoundingClientRect().width])"
    )
    assert len(pictures) >= 8
    for natural, shown in pictures:
        assert 0 < shown <= page.viewport_size["width"]
        assert shown / natural > 0.7  # of letters drawn at 8.5 points


def test_verdict_and_sale_stand_on_the_first_screens(page: Any, comparison: Comparison) -> None:
    screens = 1 if page.viewport_size["width"] == SCREENS["desk"][0] else 2
    assert str(comparison) in " ".join(page.inner_text("#verdict").split())
    bottom = page.evaluate("document.querySelector('.facts').getBoundingClientRect().bottom + window.scrollY")
    assert bottom <= screens * page.viewport_size["height"]


def test_axe_finds_no_violation(page: Any) -> None:
    page.evaluate("document.querySelectorAll('details').forEach(part => part.open = true)")
    found = Axe().run(page)
    page.evaluate("document.querySelectorAll('details').forEach(part => part.open = false)")
    assert found.violations_count == 0, found.generate_report()


def test_a_citation_opens_the_folded_table_it_leads_to(page: Any) -> None:
    page.evaluate("location.hash = document.querySelector('details td [id]').id")
    is_open = page.evaluate("document.querySelector(location.hash).closest('details').open")
    page.evaluate("history.replaceState(null, '', location.pathname)")
    assert is_open


def test_on_paper_the_first_part_is_short_and_no_letter_is_tiny(browser: Any, path: Path, tmp_path: Path) -> None:
    page = browser.new_page()
    page.goto(path.as_uri())
    page.pdf(path=tmp_path / "page.pdf", prefer_css_page_size=True)
    page.close()
    sizes: list[tuple[float, str]] = []

    def note(text: str, ours: Any, its: Any, _font: Any, size: float) -> None:
        if text.strip():
            scale = max(abs(its[0] * ours[0] + its[1] * ours[2]), abs(its[0] * ours[1] + its[1] * ours[3]))
            sizes.append((size * scale, text))

    pages = [sheet.extract_text(visitor_text=note) for sheet in PdfReader(tmp_path / "page.pdf").pages]
    first_part = next(number for number, text in enumerate(pages) if re.search(r"^What the decision rests on", text))
    assert first_part <= MOST_PAGES, [text[:40] for text in pages]
    assert len(sizes) > 200
    assert [(size, text) for size, text in sizes if size < SMALLEST_PT - 0.01] == []
