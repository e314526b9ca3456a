"""What an interval says, in numbers and in words; one place decides both for every table, page and terminal.

Ends that are numbers lie within the range of what they measure. An end is missing (infinite) where the values are too
skewed to tell how far it reaches. A share that was at an end of its range in all n sales may be 3/n of the range away
from it in the worlds that were met, as (1 - 3/n)^n is about 5 %; nothing is said of worlds that were not.
Source: Hanley & Lippman-Hand (1983), Journal of the American Medical Association 249(13), 1743-1745. What was the same
in all sales has an interval without width, and the words say why.
"""

from collections.abc import Callable, Mapping
from typing import Any, Literal

import numpy as np

from flashsim.evaluation.kpis import KPIS, Totals, kpi_bounds
from flashsim.evaluation.skewness import NEGLIGIBLE
from flashsim.evaluation.stats import Array

Of = Literal["level", "difference", "tail"]
"""What the interval is of: a mean that is never below 0 or beyond its range, a difference, or a mean of some sales."""

INTERVAL_TEXT: dict[str, str] = {
    "interval both ends": "{low} to {high}",
    "interval from": "{low} or more: too skewed to tell",
    "interval up to": "{high} or less: too skewed to tell",
    "interval without ends": "too skewed to tell",
    "interval never": "none in {sales} sales: at most {high} in these {worlds} worlds",
    "interval never in one world": "none in {sales} sales: at most {high}",
    "interval always": "in all {sales} sales: at least {low} in these {worlds} worlds",
    "interval always in one world": "in all {sales} sales: at least {low}",
    "interval none": "none in {sales} sales",
    "interval same": "without width: the same in all {sales} sales",
    "interval flat": "without width: no spread in {sales} sales",
    "interval one sale": "one sale",
}
"""English words of an interval; a translation has the same keys and the same names in braces."""


def within_range(low: Array, high: Array, *, least: Array | float, most: Array | float) -> tuple[Array, Array]:
    """Ends (column,) that are numbers, cut at ``least`` and ``most``; a missing end stays missing.

    Where one is missing and the other lies at the end of the range, nothing is known: both are.
    """
    below, above = (np.where(np.isinf(end), end, np.clip(end, least, most)) for end in (low, high))
    return (
        np.where(np.isinf(high) & (below <= least), -np.inf, below),
        np.where(np.isinf(low) & (above >= most), np.inf, above),
    )


def share_interval(
    low: Array,
    high: Array,
    *,
    values: Array,
    least: Array | float,
    most: Array | float,
    confidence: float,
) -> tuple[Array, Array]:
    """Ends (column,) for means of shares, ``values`` (sale, column), that lie between ``least`` and ``most``."""
    low, high = within_range(low, high, least=least, most=most)
    reach = -np.log(1.0 - confidence) / values.shape[0] * (np.asarray(most) - np.asarray(least))
    high = np.where((values <= least).all(axis=0), np.minimum(most, least + reach), high)
    return np.where((values >= most).all(axis=0), np.maximum(least, most - reach), low), high


def kpi_intervals(
    totals: Totals, values: Array, ends: tuple[Array, Array], *, confidence: float
) -> tuple[Array, Array]:
    """Ends (KPI,), in the order of ``KPIS``, from the bootstrap's ``ends`` for the means of ``values`` (sale, KPI)."""
    least, most = kpi_bounds(totals)
    low, high = within_range(*ends, least=least, most=most)
    share = np.array([kpi.unit == "share" for kpi in KPIS])
    low[share], high[share] = share_interval(
        low[share],
        high[share],
        values=values[:, share],
        least=least[share],
        most=most[share],
        confidence=confidence,
    )
    return low, high


def interval_form(mean: float, low: float, high: float, *, of: Of, in_one_world: bool = True) -> str:
    """Key of ``INTERVAL_TEXT`` that fits; ``in_one_world`` matters to levels alone."""
    if np.isnan(low) or np.isnan(high):
        return "interval one sale"
    missing = np.isinf(low), np.isinf(high)
    if any(missing):
        return f"interval {'without ends' if all(missing) else 'up to' if missing[0] else 'from'}"
    if high - low <= NEGLIGIBLE * abs(mean):
        flat = {"level": "none" if mean == 0.0 else "same", "difference": "same", "tail": "flat"}
        return f"interval {flat[of]}"
    if of != "level" or low < mean < high:
        return "interval both ends"
    return f"interval {'never' if mean <= low else 'always'}{' in one world' if in_one_world else ''}"


def tell_interval(
    form: str, fields: Mapping[str, Any], *, texts: Mapping[str, str] = INTERVAL_TEXT, render: Callable[..., Any]
) -> Any:
    """The words of ``form`` with ``low``, ``high``, ``sales`` and ``worlds`` filled in; ``render(text, **fields)``
    decides how."""
    return render(texts[form], **{name: fields[name] for name in ("low", "high", "sales", "worlds")})


def interval_words(
    mean: float,
    low: float,
    high: float,
    *,
    sales: int,
    shown: Callable[[float], str],
    of: Of = "difference",
    worlds: int = 1,
) -> str:
    """The interval of a ``mean`` over ``sales`` as plain text; ``shown`` writes a number. A level needs ``worlds``."""
    fields = {"low": shown(low), "high": shown(high), "sales": f"{sales:,}", "worlds": str(worlds)}
    form = interval_form(mean, low, high, of=of, in_one_world=worlds == 1)
    return str(tell_interval(form, fields, render=str.format))
