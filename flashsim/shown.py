"""Text from outside, made safe where people see it: in terminals, on pages, in tables that a spreadsheet opens.

A name from a file may hold characters that move the cursor, turn the direction of the line around or end it; a cell
may begin like a formula. :func:`visible` writes such characters as escapes, :func:`harmless` makes a cell plain text.
"""

import re
from typing import Any, Final

_UNSEEN: Final = re.compile(
    "[\x00-\x1f\x7f-\x9f"  # controls, the escape of terminals among them
    "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"  # direction of the line
    "\u2028\u2029\ufeff"  # ends of lines that few programs know; the mark of a file's beginning
    "\ud800-\udfff]"  # half a character: no encoding can write it
)
_CONTROL: Final = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f]")
FORMULA_SIGNS: Final = ("=", "+", "-", "@", "\t", "＝", "＋", "－", "＠")
"""A spreadsheet takes a cell that begins with one of these for a formula, some in their wide form, too."""
_NUMBER: Final = re.compile(r"[-+]?([\d.,]+(e[-+]?\d+)?|inf)", re.IGNORECASE)
MOST_SHOWN: Final = 60
"""Characters of a value that a sentence repeats."""


def visible(text: str, *, keep: str = "") -> str:
    """``text`` with every control character, mark of direction and half character as an escape, but those of
    ``keep``."""
    return _UNSEEN.sub(lambda found: found[0] if found[0] in keep else _escape(found[0]), text)


def _escape(character: str) -> str:
    code = ord(character)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"


def is_writable(text: str) -> bool:
    """Whether an encoding can write ``text``: it holds no half of a character."""
    return text.isascii() or not any("\ud800" <= sign <= "\udfff" for sign in text)


def harmless(cell: Any) -> Any:
    """A cell of a table; a text that a spreadsheet would take for a formula has an apostrophe before it.

    Control characters are escapes: a lone carriage return would begin a new row.
    """
    if not isinstance(cell, str):
        return cell
    text = _CONTROL.sub(lambda found: _escape(found[0]), cell) if _CONTROL.search(cell) else cell
    return f"'{text}" if text.startswith(FORMULA_SIGNS) and not _NUMBER.fullmatch(text) else text


def brief(value: Any) -> str:
    """A value as a sentence may repeat it: its kind where it holds others, else the beginning of it."""
    if isinstance(value, dict | list | tuple | set):
        return f"a {'mapping' if isinstance(value, dict) else 'list'} of {len(value)}"
    if isinstance(value, int) and abs(value) >= 10**MOST_SHOWN:
        return "a number of very many digits"  # Python itself refuses to write it out
    text = visible(repr(value))
    return text if len(text) <= MOST_SHOWN else f"{text[:MOST_SHOWN]}…"
