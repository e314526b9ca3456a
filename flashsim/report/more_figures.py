"""Figures of what lies behind the means: the spread of the sales, and the visits lost in each minute and why."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from flashsim.evaluation.outcomes.causes import CAUSES, LOSSES
from flashsim.report.figures import FOURTH, INK, SOFT, THIRD, WIDE, WORSE, label_length, short

_CAUSE_COLORS = dict(zip(CAUSES, (INK, THIRD, WORSE, FOURTH, SOFT), strict=True))

SHOWN_SHARES = (0.05, 0.25, 0.5, 0.75, 0.95)
"""Of the sales below the ends of the line, those of the bar, and the dot."""


def distribution(
    table: pd.DataFrame,
    *,
    order: Sequence[str],
    colors: Mapping[str, str],
    words: Mapping[str, str],
    width: float = WIDE,
) -> Figure:
    """One line a policy: nine tenths of its sales, the middle half, the middle; ``table``: policy, share, value."""
    figure = Figure(figsize=(width, 0.7 + 0.23 * len(order)), layout="constrained")
    axes = figure.subplots()
    values = table.pivot_table(index="policy", columns="share", values="value")
    for place, policy in enumerate(order):
        low, left, middle, right, high = values.loc[policy, list(SHOWN_SHARES)].to_numpy(dtype=float)
        color = colors.get(policy, SOFT)
        axes.plot([low, high], [place, place], color=color, linewidth=1.4)
        axes.plot([left, right], [place, place], color=color, linewidth=6.0, solid_capstyle="butt")
        axes.plot([middle], [place], "o", color="white", markeredgecolor=INK, markersize=5)
    if float(values.to_numpy().min()) < 0.0:
        axes.axvline(0.0, color=INK, linewidth=1.0)
    axes.set_yticks(np.arange(len(order)), [short(name, length=label_length(width)) for name in order])
    axes.invert_yaxis()
    axes.grid(visible=False, axis="y")
    axes.set_xlabel(words["level"])
    axes.xaxis.set_major_locator(MaxNLocator(6 if width >= WIDE else 4))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.6g}".replace("-", "−")))
    return figure


def losses(
    table: pd.DataFrame,
    *,
    policies: Sequence[str],
    labels: Mapping[str, str],
    minutes: float,
    words: Mapping[str, str],
    width: float = WIDE,
) -> Figure:
    """Lost visits of each tick by cause, stacked: one row a kind of loss, one column a policy (below each other where
    it is narrow); ``table``: policy, kpi, cause, tick, visits."""
    kinds = [kpi for kpi in LOSSES if kpi in set(table["kpi"])]
    is_wide = width >= WIDE
    panels = [(kpi, policy) for kpi in kinds for policy in policies]
    shape = (len(kinds), len(policies)) if is_wide else (len(panels), 1)
    figure = Figure(figsize=(width, (1.05 if is_wide else 1.15) * shape[0] + 0.8), layout="constrained")
    grid = figure.subplots(*shape, sharex=True, squeeze=False).ravel()
    ticks = int(table["tick"].max()) + 1
    seen = [cause for cause in CAUSES if cause in set(table["cause"])]
    for axes, (kpi, policy) in zip(grid, panels, strict=True):
        mine = table[(table["kpi"] == kpi) & (table["policy"] == policy)]
        stacks = np.zeros((len(seen), ticks))
        for row, cause in enumerate(seen):
            part = mine[mine["cause"] == cause]
            stacks[row, part["tick"].to_numpy(int)] = part["visits"].to_numpy(float)
        axes.stackplot(
            np.arange(ticks) * minutes,
            stacks,
            colors=[_CAUSE_COLORS[cause] for cause in seen],
            step="mid",
            labels=[labels[cause] for cause in seen],
        )
        axes.set_title(f"{words[kpi]}: {short(policy, length=16)}", fontsize=9.0, loc="left")
        axes.set_xlim(0.0, ticks * minutes)
        axes.set_ylim(bottom=0.0)
        axes.yaxis.set_major_locator(MaxNLocator(3))
    for axes in grid[-shape[1] :]:
        axes.set_xlabel(words["tick"])
    handles, names = grid[0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside lower center", ncols=3 if is_wide else 1, fontsize=8.5)
    return figure
