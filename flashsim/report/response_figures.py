"""The picture of a policy: what it decides depending on time and stock left, utilization and visitors.

The tables come from ``evaluation.response_maps``. Dots mark the states of the sales that the policy played.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from flashsim.report.figures import INK, LEAD, WIDE, percent_ticks

QUANTITIES = ("discount", "servers")
_LARGEST_DOT = 60.0  # points²; a state in which all sales were


def responses(
    stock_map: pd.DataFrame, curves: pd.DataFrame, *, words: Mapping[str, str], width: float = WIDE
) -> Figure:
    """Discount on the left, servers on the right; the map of time and stock above, one line for each curve below."""
    features = list(dict.fromkeys(curves["feature"])) if len(curves) else []
    figure = Figure(figsize=(width, 2.9 + 1.9 * len(features)), layout="constrained")
    heights = [1.5] + [1.0] * len(features)
    grid = figure.subplots(1 + len(features), 2, squeeze=False, gridspec_kw={"height_ratios": heights})
    for column, quantity in enumerate(QUANTITIES):
        _map(figure, grid[0, column], stock_map, quantity=quantity, words=words)
        for axes, feature in zip(grid[1:, column], features, strict=True):
            _curve(axes, curves[curves["feature"] == feature], quantity=quantity, words=words)
            axes.set_xlabel(words[f"by {feature}"])
            if feature == "utilization":
                percent_ticks(axes.xaxis)
    return figure


def _map(figure: Figure, axes: Axes, table: pd.DataFrame, *, quantity: str, words: Mapping[str, str]) -> None:
    cells = table.pivot_table(index="stock_left", columns="time_left", values=quantity)
    time, stock = cells.columns.to_numpy(dtype=float), cells.index.to_numpy(dtype=float)
    shape: dict[str, Any] = {"cmap": "YlGnBu", "shading": "nearest" if min(cells.shape) > 1 else "auto", "vmin": 0.0}
    image = axes.pcolormesh(time, stock, cells.to_numpy(), vmax=max(float(cells.to_numpy().max()), 0.05), **shape)
    image.set_rasterized(False)
    met = table[table["met"] > 0.0]
    axes.scatter(met["time_left"], met["stock_left"], s=_LARGEST_DOT * met["met"] + 1.0, color=INK, linewidth=0.0)
    axes.invert_xaxis()  # time runs to the right
    axes.grid(visible=False)
    axes.set_title(words[quantity], fontsize=9.5, loc="left")
    axes.set_xlabel(words["by time"])
    axes.set_ylabel(words["by stock"])
    percent_ticks(axes.xaxis)
    percent_ticks(axes.yaxis)
    bar = figure.colorbar(image, ax=axes, pad=0.02)
    if quantity == "discount":
        percent_ticks(bar.ax.yaxis)


def _curve(axes: Axes, rows: pd.DataFrame, *, quantity: str, words: Mapping[str, str]) -> None:
    value = rows["value"].to_numpy(dtype=float)
    axes.fill_between(value, rows[f"{quantity}_low"], rows[f"{quantity}_high"], color=LEAD, alpha=0.15, linewidth=0.0)
    axes.plot(value, rows[quantity], color=LEAD, linewidth=1.6)
    met = rows[rows["met"] > 0.0]
    sizes = _LARGEST_DOT * np.sqrt(met["met"].to_numpy(dtype=float)) + 1.0
    axes.scatter(met["value"], met[quantity], s=sizes, color=INK, linewidth=0.0, zorder=3)
    axes.set_ylim(bottom=0.0)
    axes.set_ylabel(words[quantity])
    axes.yaxis.set_major_locator(MaxNLocator(4))
    axes.xaxis.set_major_locator(MaxNLocator(5))
    if quantity == "discount":
        percent_ticks(axes.yaxis)
