"""The picture of a back-test: predicted against actual uplift with intervals, and what the intervals hold by depth."""

import io
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

DOTS, LEAD, BAND = "#0b62c4", "#16191d", "#8a8f98"
TIMES = (0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0)


def draw_back_test(episodes: pd.DataFrame, coverage: pd.DataFrame, found: Mapping[str, Any]) -> bytes:
    """PNG of two panels."""
    figure = Figure(figsize=(12.0, 5.2), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(1.5, 1.0))
    _scatter(left, episodes, found)
    _coverage(right, coverage)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110, metadata={"Software": None})
    return buffer.getvalue()


def _scatter(axes: Axes, episodes: pd.DataFrame, found: Mapping[str, Any]) -> None:
    values = {line["name"]: line for line in found["lines"]}["correlation"]
    at, happened = episodes["predicted"].to_numpy(), episodes["log_ratio"].to_numpy()
    axes.vlines(at, episodes["low"], episodes["high"], color=BAND, alpha=0.18, linewidth=0.8, label="90 % interval")
    axes.scatter(at, happened, s=7, color=DOTS, alpha=0.6, linewidths=0, label="what happened")
    ends = np.array([min(at.min(), 0.0), at.max()])
    axes.plot(ends, ends, color=LEAD, linewidth=1.0, label="as predicted")
    ticks = np.log(TIMES)
    axes.set_xticks(ticks, [f"× {times:g}" for times in TIMES])
    axes.set_yticks(ticks, [f"× {times:g}" for times in TIMES])
    axes.set_xlim(ends[0] - 0.1, ends[1] + 0.1)
    axes.set_ylim(np.quantile(happened, 0.002) - 0.2, happened.max() + 0.2)
    axes.set_xlabel("predicted units, over those without the promotion (median)")
    axes.set_ylabel("units sold, over those without the promotion")
    axes.set_title(
        f"{len(episodes):,} past promotions; correlation {values['value']:.2f}, {values['ceiling']:.2f} can be reached",
        fontsize=10,
    )
    axes.legend(loc="upper left", fontsize=8, frameon=False)
    axes.spines[["top", "right"]].set_visible(False)


def _coverage(axes: Axes, coverage: pd.DataFrame) -> None:
    place = np.arange(len(coverage))
    share, count = coverage["coverage_90"].to_numpy(), coverage["episodes"].to_numpy()
    error = 1.645 * np.sqrt(np.maximum(share * (1.0 - share), 0.01) / count)
    axes.axhspan(0.87, 0.93, color=BAND, alpha=0.25, linewidth=0, label="mark")
    axes.errorbar(place, share, yerr=error, fmt="o", color=DOTS, capsize=3, label="share, 90 % interval")
    names = [f"{low:.0%}–{high:.0%}" for low, high in zip(coverage["depth_from"], coverage["depth_to"], strict=True)]
    axes.set_xticks(place, [f"{name}\n{size}" for name, size in zip(names, count, strict=True)], fontsize=8)
    axes.set_ylim(0.7, 1.0)
    axes.set_xlabel("below the usual price; number of promotions")
    axes.set_title("share of promotions within their 90 % interval", fontsize=10)
    axes.legend(loc="lower left", fontsize=8, frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
