"""The glossary is in order, has one line a term, and each line leads to where the term lives."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
HEADING = ["Term", "Chinese", "Meaning", "Where"]


def rows() -> list[list[str]]:
    lines = (ROOT / "docs" / "glossary.md").read_text(encoding="utf-8").splitlines()
    table = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("|")]
    assert table[0] == HEADING
    return table[2:]


def test_every_term_leads_to_a_file_or_folder_that_exists() -> None:
    absent = {term: where for term, _, _, where in rows() if not (ROOT / where.strip("`")).exists()}
    assert absent == {}


def test_every_term_is_a_plain_sentence_in_alphabetical_order_once() -> None:
    terms = [term.lower() for term, *_ in rows()]
    assert terms == sorted(set(terms))
    assert [term for term, _, meaning, _ in rows() if not meaning.endswith((".", ".)"))] == []
