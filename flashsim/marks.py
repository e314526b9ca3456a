"""Lines of a fidelity card in a World's provenance, read by their numbers: what a file claims is no evidence."""

import math


def keeps_mark(line: object) -> bool:
    """Whether the value of a line lies within its mark, whatever the line says of that; False where it has no value."""
    low, value, high = _numbers(line)
    return low <= value <= high  # of NaN nothing is true


def mark_in_words(line: object) -> str:
    """The line's name, its value and its mark."""
    low, value, high = _numbers(line)
    name = line.get("name") if isinstance(line, dict) else "a line"
    return f"{name} is {value:.2f}, its mark {low:.2f} to {high:.2f}"


def _numbers(line: object) -> list[float]:
    """Least value that passes, value, greatest; NaN for what is no number."""
    found = [line.get(key) if isinstance(line, dict) else None for key in ("mark_low", "value", "mark_high")]
    return [float(number) if isinstance(number, int | float) else math.nan for number in found]
