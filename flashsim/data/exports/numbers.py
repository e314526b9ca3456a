"""Numbers as people write them: 1,234.56 · 1.234,56 · 1 234,56 · 1'234.56 · € 3,99 · ¥25.00 · (3.99) · 3,99-

The decimal mark is a fact of a file, not of a cell. Cells that can be read one way alone are its evidence:

    a cell                                                says of its mark
    1.234,56  1,234.56                                    the last one is the decimal mark
    3,99  0,125  12,5                                     a decimal mark: no group of thousands has such digits
    1.234.567                                             a mark of thousands, for it comes again
    1,234  1.234                                          nothing, for it is read both ways

A file whose only evidence is cells that are read both ways is asked for, not guessed. A cell that has one reading
alone is read so, whatever mark the other cells have; it is told with an example. Where cells of both marks are there,
one that is read both ways is asked for as well. A space or an apostrophe stands between thousands alone: 1 234 and
1'234 are read, 12 34 is not a number.
"""

import re
from collections.abc import Mapping
from typing import Final, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from flashsim.data.exports.layout import some
from flashsim.errors import InputError

EMPTY: Final = ("", "na", "n/a", "nan", "nat", "null", "none", "-", "–", "—")
"""What people write into an empty cell of numbers."""
YES: Final = ("1", "1.0", "true", "t", "yes", "y", "是")
NO: Final = ("0", "0.0", "false", "f", "no", "n", "否")
LONGEST_NUMBER: Final = 60
"""Signs of a number; a longer one is none that a shop has."""
MARKS: Final = (".", ",")
SPELLED_MARKS: Final = {".": "point", ",": "comma"}
CURRENCY_SIGNS: Final[Mapping[str, str]] = {
    "€": "EUR",
    "£": "GBP",
    "元": "CNY",
    "₹": "INR",
    "₩": "KRW",
    "₽": "RUB",
    "zł": "PLN",
    "kč": "CZK",
    "₺": "TRY",
    "us$": "USD",
    "$": "",
    "¥": "",
    "￥": "",
    "r$": "BRL",
    "kr": "",
    "fr.": "CHF",
    **{code.lower(): code for code in ("EUR", "USD", "GBP", "CNY", "RMB", "JPY", "CHF", "CAD", "AUD", "HKD", "SGD")},
}
"""Sign in a cell -> ISO 4217 code; "" where several currencies have it."""
SHARED_SIGNS: Final[Mapping[str, tuple[str, ...]]] = {
    "$": ("USD", "CAD", "AUD", "HKD", "SGD"),
    **dict.fromkeys("¥￥", ("CNY", "JPY")),
    "kr": ("SEK", "NOK", "DKK"),
}
"""Sign -> currencies that have it."""
_SIGN: Final = re.compile(
    "|".join(re.escape(sign) for sign in sorted(CURRENCY_SIGNS, key=len, reverse=True)), re.IGNORECASE
)
_GAP: Final = "[\\s\u00a0\u2009\u202f'’]+"
_MISPLACED: Final = re.compile(rf"[0-9]{_GAP}(?![0-9]{{3}}(?![0-9]))[0-9]|[0-9]{{4}}{_GAP}[0-9]|[.,][0-9]+{_GAP}[0-9]")
"""A gap that is not between thousands."""
_SPACES: Final = re.compile("[\\s\u00a0\u2009\u202f'’\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff]")
_PLAIN: Final = r"[+-]?[0-9]+(?:\.[0-9]*)?(?:[eE][+-]?[0-9]+)?|[+-]?\.[0-9]+"


class NumberFormat(NamedTuple):
    """How a file writes numbers."""

    decimal: str = "."
    currency: str | None = None  # ISO 4217 code or sign that its cells name
    told: tuple[str, ...] = ()  # what was detected, a phrase each


class _Evidence(NamedTuple):
    """Cells that show a mark, by what they show."""

    point: pd.Series  # their decimal mark is a point
    comma: pd.Series
    both: pd.Series  # they can be read both ways


def detect_numbers(
    columns: Mapping[str, pd.Series], *, decimal: str | None, what: str, key: str, strict: bool = True
) -> NumberFormat:
    """How the cells of ``columns`` (name -> text of distinct cells) write numbers.

    InputError, which names ``key`` of the mapping, where cells can be read both ways and nothing decides, or where they
    name several currencies.
    """
    texts = [column for column in columns.values() if len(column)]
    if not texts:
        return NumberFormat(decimal or ".")
    signs = {sign.lower() for column in texts for sign in _signs(column)}
    codes = _currencies(signs)
    if len(codes) > 1 and strict:
        raise InputError(
            f"{what}: its cells name several currencies ({', '.join(codes)}); bring one file a currency, or a column "
            "that tells the currency of each row"
        )
    currency = codes[0] if len(codes) == 1 else None
    told = () if currency is None else (f"currency {currency}",)
    evidence = [_evidence(column) for column in texts]
    point: pd.Series = pd.concat([one.point for one in evidence], ignore_index=True)
    comma: pd.Series = pd.concat([one.comma for one in evidence], ignore_index=True)
    both: pd.Series = pd.concat([one.both for one in evidence], ignore_index=True)
    if decimal is None and len(both) and (len(point) > 0) == (len(comma) > 0):
        names = some([name for name, column in columns.items() if len(column)])
        raise InputError(f"{what}: {_unclear(point, comma, both.iloc[0], names=names, key=key)}")
    mark = decimal or ("," if len(comma) > len(point) else ".")
    others = point if mark == "," else comma
    if mark == "," and decimal is None:
        told = (*told, "decimal comma")
    if len(others):
        told = (
            *told,
            f"numbers such as {others.iloc[0]!r} ({len(others)} different ones) have a decimal "
            f"{SPELLED_MARKS[_other(mark)]}, unlike the rest, and are read so",
        )
    return NumberFormat(mark, currency, told)


def _unclear(point: pd.Series, comma: pd.Series, example: str, *, names: str, key: str) -> str:
    """Why a number cannot be read, and what to do."""
    advice = f"state which in the mapping: {key}: {{format: {{decimal: ','}}}} or {{decimal: '.'}}"
    if len(point):
        return (
            f"numbers in {names} are written with a decimal point ({point.iloc[0]!r}) and with a decimal comma "
            f"({comma.iloc[0]!r}), so {example!r} can be read both ways; write them one way, or {advice}"
        )
    mark = SPELLED_MARKS["," if "," in example else "."]
    return (
        f"numbers such as {example!r} in {names} can be read with a decimal {mark} or with a {mark} between "
        f"thousands; {advice}"
    )


def _other(mark: str) -> str:
    return "." if mark == "," else ","


def _signs(cells: pd.Series) -> set[str]:
    odd = cells[~cells.str.fullmatch(r"[-+0-9.,]*")]
    return {found for cell in odd for found in _SIGN.findall(cell)}


def _currencies(signs: set[str]) -> list[str]:
    """The different currencies that ``signs`` name: codes, and signs that fit none of the codes."""
    codes = {CURRENCY_SIGNS[sign].replace("RMB", "CNY") for sign in signs} - {""}
    shared = {sign.replace("￥", "¥") for sign in signs if not CURRENCY_SIGNS[sign]}
    return sorted(codes | {sign for sign in shared if not codes & set(SHARED_SIGNS[sign])})


def _bare(cells: pd.Series) -> pd.Series:
    """Cells without spaces, apostrophes and currency signs; a minus in front. Those with a gap that is not between
    thousands keep it."""
    bare = cells.where(cells.str.contains(_MISPLACED), cells.str.replace(_SPACES, "", regex=True))
    odd = ~bare.str.fullmatch(r"[-+0-9.,]*")
    if odd.any():
        rest = bare[odd].str.replace(_SIGN, "", regex=True)
        rest = rest.str.replace("−", "-", regex=False)
        bare = bare.where(~odd, rest.str.replace(r"^\((.*)\)$", r"-\1", regex=True))
    return bare.str.replace(r"^([0-9.,]+)-$", r"-\1", regex=True)


_GROUPED: Final = r"[+-]?[1-9][0-9]{0,2}(?:%s[0-9]{3})+"
_ONCE_GROUPED: Final = r"[+-]?[1-9][0-9]{0,2}[.,][0-9]{3}"


def _evidence(written: pd.Series) -> _Evidence:
    cells = _bare(written)
    cells = cells[cells.str.contains("[.,]")]
    both = cells.str.contains(".", regex=False) & cells.str.contains(",", regex=False)
    last_comma = cells.str.rfind(",") > cells.str.rfind(".")
    commas, points = cells.str.count(","), cells.str.count(r"\.")
    is_open = cells.str.fullmatch(_ONCE_GROUPED)
    comma = both & last_comma & (commas == 1) & cells.str.fullmatch(_written(","))
    comma |= ~both & (commas == 1) & ~is_open & cells.str.fullmatch(_written(","))
    comma |= ~both & (points > 1) & cells.str.fullmatch(_GROUPED % r"\.")
    point = both & ~last_comma & (points == 1) & cells.str.fullmatch(_written("."))
    point |= ~both & (commas > 1) & cells.str.fullmatch(_GROUPED % ",")
    point |= ~both & (points == 1) & ~is_open & cells.str.fullmatch(_PLAIN)
    return _Evidence(*(written[holds.index[holds]] for holds in (point, comma, is_open)))


def _written(decimal: str) -> str:
    """The pattern of a number with that decimal mark; the other mark may stand between thousands."""
    mark, group = re.escape(decimal), re.escape(_other(decimal))
    return rf"[+-]?(?:[0-9]+|[0-9]{{1,3}}(?:{group}[0-9]{{3}})+)(?:{mark}[0-9]*)?(?:[eE][+-]?[0-9]+)?|[+-]?{mark}[0-9]+"


def read_numbers(text: pd.Series, style: NumberFormat) -> tuple[pd.Series, NDArray[np.bool_]]:
    """Numbers, NaN where empty or wrong; and whether each cell is wrong."""
    lower = text.str.lower()
    filled = ~lower.isin(EMPTY)
    plain = text.where(filled & (text.str.len() <= LONGEST_NUMBER), "")
    numbers = pd.Series(np.nan, index=text.index, dtype=np.float64)
    direct = (
        filled & plain.str.fullmatch(_PLAIN) if style.decimal == "." else filled & plain.str.fullmatch(r"[+-]?[0-9]+")
    )
    numbers[direct] = pd.to_numeric(plain[direct]).to_numpy(dtype=np.float64)
    rest = filled & ~direct
    if rest.any():
        numbers[rest] = _read_marked(plain[rest], style.decimal)
    numbers = numbers.where(np.isfinite(numbers))
    return numbers, (numbers.isna() & filled).to_numpy(dtype=bool)


def _read_marked(text: pd.Series, decimal: str) -> pd.Series:
    """Numbers with signs of currency, marks of thousands or a decimal comma; with the other decimal mark where a cell
    can be read so alone."""
    bare = _bare(text)
    numbers = pd.Series(np.nan, index=text.index, dtype=np.float64)
    for mark in (_other(decimal), decimal):  # the file's own mark last: it has the say
        good = bare.str.fullmatch(_written(mark))
        clean = bare[good].str.replace(_other(mark), "", regex=False).str.replace(mark, ".", regex=False)
        numbers[good] = pd.to_numeric(clean, errors="coerce").to_numpy(dtype=np.float64)
    return numbers
