"""How a mapping states what would else be detected: ``format: {date: "%d/%m/%Y", decimal: ",", separator: ";",
encoding: gbk}``."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from flashsim.data.exports.dates import check_date_format
from flashsim.data.exports.encodings import check_encoding
from flashsim.data.exports.layout import check_separator
from flashsim.data.exports.numbers import MARKS
from flashsim.errors import InputError
from flashsim.shown import brief

FORMAT_KEYS: Final = ("date", "decimal", "separator", "encoding", "sheet")


@dataclass(frozen=True)
class Format:
    """How a file is written; None: as detected."""

    date: str | None = None
    """Of dates, in the signs of strptime."""
    decimal: str | None = None
    """Decimal mark, a point or a comma; the other one may stand between thousands."""
    separator: str | None = None
    """Sign between columns."""
    encoding: str | None = None
    """Of the text."""
    sheet: str | None = None
    """Of a workbook."""

    def over(self, other: "Format") -> "Format":
        """This format, and what it leaves open as ``other`` has it."""
        return replace(other, **{key: value for key in FORMAT_KEYS if (value := getattr(self, key)) is not None})


def read_format(facts: Mapping[str, Any], *, what: str) -> Format:
    """The format in a mapping, whose keys are known; InputError for a value that cannot be used."""
    given: dict[str, str] = {}
    for key, value in facts.items():
        if not isinstance(value, str) or not value:
            raise InputError(f"{what}.{key}: expected a text, got {brief(value)}; write it in quotes")
        given[key] = value
    if "date" in given:
        check_date_format(given["date"], what=f"{what}.date")
    if given.get("decimal", ".") not in MARKS:
        raise InputError(f"{what}.decimal: expected '.' or ',', got {brief(given['decimal'])}; correct it")
    if "separator" in given:
        given["separator"] = check_separator(given["separator"], what=f"{what}.separator")
    if "encoding" in given:
        given["encoding"] = check_encoding(given["encoding"], what=f"{what}.encoding")
    return Format(**given)
