"""What would settle an open question: more simulated sales, more worlds, or real data on one field of the World.

The standard error of a mean over W worlds of n sales each is √((b + w/n)/W): b is the variance between the worlds' true
means, w that between the sales of a world. More sales shrink w/n alone, more worlds all of it. What the worlds disagree
about is settled by data alone: the field of the World that explains most of the variance of the worlds' means, by
Spearman's rank correlation, is what to measure.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import stdtr

from flashsim.evaluation.stats import FEWEST_MEMBERS, Array, member_design, minimum_detectable_effect
from flashsim.scenarios.compiled import CompiledSale

_MOST_TIMES = 1_000  # as many sales or worlds; what needs more is not told by simulation
_CHANCE = 0.05  # of a field that explains nothing


@dataclass(frozen=True)
class Tell:
    """What would settle a question."""

    kind: Literal["sales", "worlds", "data", "nothing"]
    """nothing: the effect is so near to the mark that no number of simulated sales or worlds settles it."""
    amount: int = 0
    """Sales, or worlds, needed in all; rounded up to two digits."""
    field: str = ""
    """Of the World, in words, that explains most of what the worlds disagree about; empty: none that shows."""
    share: float = 0.0
    """Of the variance between worlds that this field explains."""


def what_would_tell(
    scores: Array,
    members: NDArray[np.int64],
    *,
    alpha: float,
    about_worlds: bool = False,
    fields: Mapping[str, Mapping[int, float]],
) -> Tell:
    """What would show, four times in five, that the mean of ``scores`` (sale,) is not 0, if it is what it seems.

    ``members`` (sale,): the world of each sale. ``about_worlds``: the mean is known well enough, but too many worlds
    are on the other side. ``fields``: name -> member -> value, of the World.
    """
    design = member_design(members)
    ordered = np.asarray(scores, np.float64)[design.order]
    means = design.means(ordered[:, None])[:, 0]
    field, share = _most_telling(means, np.unique(members), fields)
    if about_worlds:
        return Tell("data", field=field, share=share)
    worlds, sales = design.counts.size, float(design.counts.mean())
    of_sales = float(
        np.mean(
            [ordered[design.member == world].var(ddof=1) if n > 1 else 0.0 for world, n in enumerate(design.counts)]
        )
    )
    between = max(0.0, float(means.var(ddof=1)) - of_sales / sales) if worlds > 1 else 0.0
    freedom = max(worlds, FEWEST_MEMBERS) - 1 if worlds > 1 else design.degrees_of_freedom
    needed = (abs(float(means.mean())) / float(minimum_detectable_effect(1.0, freedom, alpha=alpha))) ** 2
    if needed <= 0.0:
        return Tell("nothing", field=field, share=share)
    if 1 < worlds < FEWEST_MEMBERS:
        return Tell("worlds", max(FEWEST_MEMBERS, _rounded_up((between + of_sales / sales) / needed)), field, share)
    if (room := worlds * needed - between) > 0.0 and of_sales / room <= _MOST_TIMES * sales:
        return Tell("sales", _rounded_up(worlds * of_sales / room), field, share)
    if (between + of_sales / sales) / needed <= _MOST_TIMES * worlds:
        return Tell("worlds", _rounded_up((between + of_sales / sales) / needed), field, share)
    return Tell("nothing", field=field, share=share)


def world_fields(sale: CompiledSale) -> dict[str, dict[int, float]]:
    """What the members that ``sale`` may draw differ in: words -> member -> value."""
    tables, members = sale.tables, sale.tables.members
    units = tables.rate.astype(np.float64).sum(axis=(0, 1, 2))  # price, member
    values = {
        "the level of demand": units[0],
        "the response to discounts": units[-1] / np.maximum(units[0], 1e-300),
        "the conversion of visitors": tables.conversion,
        "how much of a discount's effect comes as visitors": tables.traffic_share,
        "how much demand differs from sale to sale": tables.common_variance,
        "how much demand differs from product to product": tables.product_variance.mean(axis=1),
    }
    return {name: {int(member): float(value[member]) for member in members} for name, value in values.items()}


def _most_telling(
    means: Array, labels: NDArray[np.int64], fields: Mapping[str, Mapping[int, float]]
) -> tuple[str, float]:
    """The field whose ranks explain most of those of the worlds' ``means``, and how much; none where chance may do."""
    best = ("", 0.0)
    if means.size < FEWEST_MEMBERS or np.ptp(means) == 0.0:
        return best
    for name, by_member in fields.items():
        values = np.array([by_member.get(int(label), np.nan) for label in labels])
        if np.isnan(values).any() or np.ptp(values) == 0.0:
            continue
        correlation = float(np.corrcoef(pd.Series(values).rank(), pd.Series(means).rank())[0, 1])
        share, freedom = correlation**2, means.size - 2
        chance = 2.0 * float(stdtr(freedom, -abs(correlation) * np.sqrt(freedom / max(1.0 - share, 1e-300))))
        if chance * len(fields) < _CHANCE and share > best[1]:
            best = (name, share)
    return best


def _rounded_up(value: float) -> int:
    """Two digits, upwards."""
    step = 10.0 ** max(0.0, math.floor(math.log10(max(value, 1.0))) - 1.0)
    return int(math.ceil(value / step) * step)
