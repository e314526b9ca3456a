"""docs/queue.md holds the tables that ``python -m tests.sim.played_queue`` makes; some of its numbers come anew."""

import re
from pathlib import Path

import pytest

from tests.sim.queue_tables import (
    BUSY,
    BUSY_HEAD,
    CALM_HEAD,
    CALM_LAWS,
    IMPATIENT,
    IMPATIENT_HEAD,
    RUSH_HEAD,
    RUSHES,
    busy_row,
    calm_row,
    impatient_row,
    rush_row,
)

DOCUMENT = Path(__file__).parents[2] / "docs" / "queue.md"


def tables() -> list[list[list[str]]]:
    """The cells of every table of the document, without the rule below its head."""
    blocks = re.findall(r"(?:^\|.*\|$\n?)+", DOCUMENT.read_text(encoding="utf-8"), re.MULTILINE)
    split = [[[cell.strip() for cell in line[1:-1].split("|")] for line in block.splitlines()] for block in blocks]
    return [[head, *rows] for head, _, *rows in split]


def test_its_tables_are_those_that_the_program_makes() -> None:
    calm, busy, impatient, rush = tables()
    assert [table[0] for table in (calm, busy, impatient, rush)] == [CALM_HEAD, BUSY_HEAD, IMPATIENT_HEAD, RUSH_HEAD]
    laws = [("event by event" if exactly else "many services", f"{tick:g}") for exactly, tick in CALM_LAWS]
    assert [tuple(row[:2]) for row in calm[1:]] == laws
    assert [tuple(row[:2]) for row in busy[1:]] == [(str(servers), f"{use:g}") for servers, use in BUSY]
    assert [tuple(row[:3]) for row in impatient[1:]] == [(str(c), f"{use:g}", f"{p:g}") for c, use, p in IMPATIENT]
    assert [row[0] for row in rush[1:]] == [one.name for one in RUSHES]


def numbers(row: list[str], first: int) -> list[float]:
    return [float(number) for cell in row[first:] for number in re.findall(r"[-+][\d.]+(?=%)", cell)]


def assert_same(row: list[str], anew: list[str], *, first: int, within: float) -> None:
    """``within`` percentage points: four standard errors of the fewer queues that are played here."""
    written, seen = numbers(row, first), numbers(anew, first)
    assert len(written) == len(seen) > 0
    assert [len(cell.split("/")) for cell in row] == [len(cell.split("/")) for cell in anew]
    assert max(abs(a - b) for a, b in zip(written, seen, strict=True)) <= within, f"{row} is {anew} now"


@pytest.mark.parametrize(("table", "row"), [(0, 5), (0, 7), (1, 4), (2, 5), (3, 2), (3, 8)])
def test_its_numbers_are_those_that_the_program_finds(table: int, row: int) -> None:
    """With a quarter of the queues."""
    written = tables()[table][row + 1]
    if table == 0:
        exactly, tick = CALM_LAWS[row]
        assert_same(written, calm_row(tick, exactly=exactly, lanes=400), first=2, within=12.0)
    elif table == 1:
        assert_same(written, busy_row(*BUSY[row], lanes=400), first=3, within=8.0)
    elif table == 2:
        assert_same(written, impatient_row(*IMPATIENT[row], lanes=200), first=3, within=5.0)
    else:
        assert_same(written, rush_row(RUSHES[row], lanes=400), first=1, within=4.0)
