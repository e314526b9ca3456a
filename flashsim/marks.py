"""Lines of a fidelity card in a World's provenance, read by their numbers: what a file claims is no evidence."""

import math
from typing import Final

from flashsim.shown import brief, visible

_MOST_TEXT: Final = 240  # characters of a reason; our own have about 150
_MOST_DIGITS: Final = 1e6  # beyond, a number is shown by its power of ten


def keeps_mark(line: object) -> bool:
    """Whether the value of a line lies within its mark, whatever the line says of that; False where it has no value."""
    low, value, high = _numbers(line)
    return low <= value <= high  # of NaN nothing is true


def mark_in_words(line: object) -> str:
    """The line's name, its value and its mark; or why it was not judged."""
    low, value, high = _numbers(line)
    name = claimed(line.get("name")) if isinstance(line, dict) else "a line"
    if isinstance(line, dict) and line.get("value") is None and line.get("why_not_judged"):
        return f"{name} was not judged: {claimed(line['why_not_judged'])}"
    return f"{name} is {_shown(value)}, its mark {_shown(low)} to {_shown(high)}"


def claimed(text: object) -> str:
    """What a card says in words, in one line of bounded length."""
    words = visible(text) if isinstance(text, str) else brief(text)
    return words if len(words) <= _MOST_TEXT else f"{words[:_MOST_TEXT]}…"


def _shown(number: float) -> str:
    return f"{number:.3g}" if abs(number) >= _MOST_DIGITS else f"{number:.2f}"


def _numbers(line: object) -> list[float]:
    """Least value that passes, value, greatest; NaN for what is no number."""
    found = [line.get(key) if isinstance(line, dict) else None for key in ("mark_low", "value", "mark_high")]
    return [float(number) if isinstance(number, int | float) else math.nan for number in found]
