"""The figures of a report: tables in, SVG text out. The same table gives the same bytes.

No pyplot and no global state; names from data are drawn literally, without mathematics.
"""

import io
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import FuncFormatter, MaxNLocator

from flashsim.evaluation.kpis import Unit, show

INK, SOFT, GRID = "#1c2733", "#66727f", "#e3e8ee"
LEAD, RIVAL, BETTER, WORSE = "#0b62c4", "#c2570c", "#14804a", "#b42318"
THIRD, FOURTH = "#7b2d8b", "#00796b"
WIDE, NARROW = 7.4, 4.2
"""Inches: of a figure on a page, and on a telephone, where its letters stay as large."""
STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "flashsim",
    "text.parse_math": False,
    "font.family": "DejaVu Sans",
    "font.size": 9.5,
    "axes.edgecolor": SOFT,
    "axes.labelcolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": GRID,
    "xtick.color": SOFT,
    "ytick.color": SOFT,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "text.color": INK,
    "legend.frameon": False,
}


def render(draw: Callable[..., Figure], *arguments: Any, **options: Any) -> str:
    """Call ``draw`` under the report's style and return its figure as SVG."""
    with mpl.rc_context(STYLE), warnings.catch_warnings():
        # The page's own fonts draw the text. Matplotlib only measures it and may lack a glyph (Chinese names).
        warnings.filterwarnings("ignore", message="Glyph .* missing from font", category=UserWarning)
        buffer = io.StringIO()
        draw(*arguments, **options).savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    return buffer.getvalue()


def short(name: str, *, length: int = 26) -> str:
    """One line of at most ``length`` characters."""
    line = " ".join(name.split())
    return line if len(line) <= length else line[: length - 1] + "…"


def palette(policies: Sequence[str]) -> dict[str, str]:
    """Colors of at most four policies, the same on the whole page; others are not told apart by color."""
    return dict(zip(policies, (LEAD, RIVAL, THIRD, FOURTH), strict=False))


def percent_ticks(axis: Axis) -> None:
    """Label shares as whole percent."""
    axis.set_major_formatter(
        FuncFormatter(lambda value, _: f"{value * 100 + 0.0:.0f} %".replace("-0 %", "0 %").replace("-", "−"))
    )


def plot_intervals(axes: Axes, rows: pd.DataFrame, *, places: Sequence[float], colors: Sequence[str]) -> None:
    """Horizontal bars from ``low`` to ``high`` of ``rows``, with a point at ``difference``; 0 is always in sight.

    An end that is missing (infinite) is an arrow at the edge of the axes; a row without ends (NaN) is a point alone.
    """
    table = rows[["difference", "low", "high"]].to_numpy(dtype=float)
    shown = np.append(table[np.isfinite(table)], 0.0)
    margin = 0.06 * (float(np.ptp(shown)) or 1.0)
    edges = float(shown.min()) - margin, float(shown.max()) + margin
    for (middle, low, high), place, color in zip(table, places, colors, strict=True):
        ends = np.clip([low, high], *edges)
        axes.plot(ends, [place, place], color=color, linewidth=2.4, solid_capstyle="butt")
        axes.plot([middle], [place], "o", color=color, markersize=6)
        for end, edge, arrow in ((low, edges[0], "<"), (high, edges[1], ">")):
            if np.isinf(end):
                axes.plot([edge], [place], arrow, color=color, markersize=7, clip_on=False)
    axes.axvline(0.0, color=INK, linewidth=1.0)
    axes.set_xlim(*edges)


def forest(
    rows: pd.DataFrame,
    *,
    colors: Mapping[str, str],
    unit: Unit,
    currency: str,
    words: Mapping[str, str],
    width: float = WIDE,
) -> Figure:
    """Differences with their intervals, one line a policy; ``rows``: policy, difference, low, high."""
    figure = Figure(figsize=(width, 0.8 + 0.3 * len(rows)), layout="constrained")
    axes = figure.subplots()
    places = np.arange(len(rows))[::-1]
    plot_intervals(axes, rows, places=places.tolist(), colors=[colors.get(policy, SOFT) for policy in rows["policy"]])
    for place, row in zip(places, rows.to_dict("records"), strict=True):
        label = show(row["difference"], unit, currency=currency, signed=True)
        axes.annotate(label, (row["difference"], place), (0, 4), textcoords="offset points", ha="center", fontsize=8.5)
    axes.set_yticks(places, [short(name, length=label_length(width)) for name in rows["policy"]])
    axes.set_ylim(-0.6, len(rows) - 0.3)
    axes.set_xlabel(words["difference"])
    axes.grid(visible=False, axis="y")
    _plain_ticks(axes)
    return figure


def bridge(rows: pd.DataFrame, *, baseline: str, policy: str, currency: str, width: float = WIDE) -> Figure:
    """Waterfall from above; ``rows``: label, baseline_amount, policy_amount, difference, profit in the last row."""
    parts, profit = rows.iloc[:-1], rows.iloc[-1]
    steps = parts["difference"].to_numpy(dtype=float)
    starts = profit["baseline_amount"] + np.concatenate([[0.0], np.cumsum(steps)[:-1]])
    count = len(parts)
    figure = Figure(figsize=(width, 0.6 + 0.26 * (count + 2)), layout="constrained")
    axes = figure.subplots()
    ends = np.array([profit["baseline_amount"], profit["policy_amount"]], dtype=float)
    edges = np.concatenate([starts, starts + steps, ends])
    span = float(np.ptp(edges)) or max(abs(float(edges[0])), 1.0)
    floor = float(edges.min()) - 0.35 * span
    axes.barh([0, count + 1], ends - floor, left=floor, color=[RIVAL, LEAD], height=0.62)
    axes.barh(np.arange(1, count + 1), steps, left=starts, color=np.where(steps >= 0, BETTER, WORSE), height=0.62)
    tips = np.concatenate([[ends[0]], np.maximum(starts, starts + steps), [ends[1]]])
    texts = [show(ends[0], "currency", currency=currency)]
    texts += [show(step, "currency", currency=currency, signed=True) for step in steps]
    texts += [show(ends[1], "currency", currency=currency)]
    for place, (tip, text) in enumerate(zip(tips, texts, strict=True)):
        axes.annotate(text, (tip, place), (4, 0), textcoords="offset points", va="center", fontsize=8.5)
    levels = np.concatenate([[ends[0]], starts + steps])
    for place, level in enumerate(levels):
        axes.plot([level, level], [place + 0.31, place + 0.69], color=SOFT, linewidth=0.8)
    names = [short(name, length=label_length(width)) for name in (baseline, *parts["label"], policy)]
    axes.set_yticks(np.arange(count + 2), names)
    axes.invert_yaxis()
    axes.set_xlim(floor, float(edges.max()) + (0.3 if width >= WIDE else 0.6) * span)
    axes.set_xlabel(f"{currency} a sale (axis cut)")
    axes.grid(visible=False, axis="y")
    _plain_ticks(axes, most=6 if width >= WIDE else 3)
    return figure


def worlds(
    rows: pd.DataFrame, *, overall: Mapping[str, float], words: Mapping[str, str], width: float = WIDE
) -> Figure:
    """Difference in each world; ``rows``: member, difference, low, high; ``overall``: difference, low, high.

    An interval without an end reaches the edge.
    """
    figure = Figure(figsize=(width, 0.9 + 0.24 * len(rows)), layout="constrained")
    axes = figure.subplots()
    ordered = rows.sort_values("difference", kind="stable")
    places = np.arange(len(ordered))
    plot_intervals(axes, ordered, places=places.tolist(), colors=[SOFT] * len(ordered))
    axes.plot(ordered["difference"], places, "o", color=INK, markersize=5)
    left, right = axes.get_xlim()
    known = [end for end in (overall["low"], overall["high"]) if np.isfinite(end)]
    edges = min(left, *known, right), max(left, *known, right)
    axes.set_xlim(*edges)
    axes.axvspan(*np.clip([overall["low"], overall["high"]], *edges), color=LEAD, alpha=0.12, linewidth=0)
    axes.axvline(overall["difference"], color=LEAD, linewidth=1.2)
    axes.set_yticks(places, [words["world"].format(member=member) for member in ordered["member"]])
    axes.set_xlabel(words["difference"])
    axes.grid(visible=False, axis="y")
    _plain_ticks(axes)
    return figure


def course(
    profile: pd.DataFrame,
    *,
    series: Mapping[str, str],
    policies: Sequence[str],
    colors: Mapping[str, str],
    minutes: float,
    words: Mapping[str, str],
    one: pd.DataFrame | None = None,
    width: float = WIDE,
) -> Figure:
    """Small charts, one a series, with one line a policy of ``policies``, the first on top; products are averaged.

    ``one``: the same of one sale, drawn thin and dotted.
    """
    names, columns = list(series), 2 if width >= WIDE else 1
    lines = (len(names) + columns - 1) // columns
    figure = Figure(figsize=(width, 1.3 * lines + 0.7), layout="constrained")
    grid = figure.subplots(lines, columns, sharex=True, squeeze=False).ravel()
    means, alone = (
        None if table is None else table.groupby(["series", "policy", "tick"], sort=False)["value"].mean().reset_index()
        for table in (profile, one)
    )
    for axes, name in zip(grid, names, strict=False):
        for policy in reversed(policies):
            for table, style in ((alone, {"linewidth": 0.8, "linestyle": ":"}), (means, {"linewidth": 1.8})):
                if table is None:
                    continue
                mine = table[(table["series"] == name) & (table["policy"] == policy)]
                label = short(policy) if table is means else None
                axes.plot(mine["tick"] * minutes, mine["value"], color=colors[policy], label=label, **style)
        axes.set_title(series[name], fontsize=9.5, loc="left")
        axes.set_ylim(bottom=min(0.0, axes.get_ylim()[0]))
        axes.yaxis.set_major_locator(MaxNLocator(4))
        if name in ("depth", "stock_left_share", "utilization"):
            percent_ticks(axes.yaxis)
    for axes in grid[len(names) :]:
        axes.set_axis_off()
    for axes in grid[max(len(names) - columns, 0) : len(names)]:
        axes.set_xlabel(words["tick"])
        axes.tick_params(labelbottom=True)
    handles, labels = grid[0].get_legend_handles_labels()
    figure.legend(handles[::-1], labels[::-1], loc="outside lower center", ncols=columns, fontsize=8.5)
    return figure


def depth_map(
    profile: pd.DataFrame,
    *,
    policies: Sequence[str],
    minutes: float,
    supported: float | None,
    words: Mapping[str, str],
    width: float = WIDE,
) -> Figure:
    """Mean discount: one panel a policy, one line a product, time to the right; hatched beyond ``supported``."""
    depth = profile[profile["series"] == "depth"]
    products = list(dict.fromkeys(depth["product"]))
    height = 0.4 + 0.16 * len(products)
    figure = Figure(figsize=(width, 0.7 + height * len(policies)), layout="constrained")
    grid = figure.subplots(len(policies), 1, sharex=True, squeeze=False).ravel()
    top = max(float(depth["value"].max()), 0.05)
    image = None
    for axes, policy in zip(grid, policies, strict=True):
        mine = depth[depth["policy"] == policy]
        table = np.stack([mine[mine["product"] == product]["value"].to_numpy() for product in products])
        extent = (0.0, table.shape[1] * minutes, len(products) - 0.5, -0.5)
        image = axes.imshow(
            table, aspect="auto", cmap="YlGnBu", vmin=0.0, vmax=top, extent=extent, interpolation="nearest"
        )
        for place, tick in np.argwhere(table > (np.inf if supported is None else supported + 1e-9)):
            cell = (float(tick) * minutes, float(place) - 0.5)
            axes.add_patch(Rectangle(cell, minutes, 1.0, fill=False, hatch="////", edgecolor=WORSE, linewidth=0.0))
        axes.set_yticks(
            np.arange(len(products)), [short(product, length=label_length(width)) for product in products], fontsize=8.5
        )
        axes.set_title(short(policy, length=60), fontsize=9.5, loc="left")
        axes.grid(visible=False)
    grid[-1].set_xlim(0.0, float(depth["tick"].max() + 1) * minutes)
    grid[-1].set_xlabel(words["tick"])
    if image is not None:
        bar = figure.colorbar(image, ax=list(grid), shrink=0.8, pad=0.02)
        percent_ticks(bar.ax.yaxis)
    return figure


def label_length(width: float) -> int:
    """Most characters of a name beside a figure of ``width``."""
    return 26 if width >= WIDE else 16


def _plain_ticks(axes: Axes, *, most: int = 6) -> None:
    axes.xaxis.set_major_locator(MaxNLocator(most))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.6g}".replace("-", "−")))
