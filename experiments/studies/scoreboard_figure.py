"""The picture of a scoreboard: losses of every forecast, and whether the best learned ones know how sure they are."""

import io
from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from flashsim.models.forecasting.scoring import Scores

LOSS_COLOR, LEAD_COLOR = "#8a8f98", "#0b62c4"
BINS = 20


def draw_scoreboard(scores: pd.DataFrame, boards: Mapping[str, Mapping[str, Scores]]) -> bytes:
    """PNG: one row a grain; WAPE and pinball loss by forecast, and the PIT histogram of the best one."""
    figure = Figure(figsize=(13.0, 4.2 * len(boards)), layout="constrained")
    axes = figure.subplots(len(boards), 3, squeeze=False, width_ratios=(1.4, 1.4, 1.0))
    for row, (grain, board) in enumerate(boards.items()):
        table = scores[scores["grain"] == grain].sort_values("pinball", ascending=False)
        for place, (loss, unit) in enumerate((("wape", "share of units"), ("pinball", "units"))):
            _bars(axes[row, place], table, loss, title=f"{grain}: {loss.upper() if loss == 'wape' else loss} ({unit})")
        best = str(table["forecast"].iloc[-1])
        _histogram(axes[row, 2], board[best], title=f"{grain}: randomized PIT\n{best}")
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110, metadata={"Software": None})
    return buffer.getvalue()


def _bars(axes: Axes, table: pd.DataFrame, loss: str, *, title: str) -> None:
    values = table[loss].to_numpy(dtype=np.float64)
    place = np.arange(values.size)
    colors = [LEAD_COLOR if value == values.min() else LOSS_COLOR for value in values]
    axes.barh(place, values, color=colors)
    axes.set_yticks(place, table["forecast"].tolist())
    for at, value in enumerate(values):
        axes.text(float(value), float(at), f" {value:.3f}", va="center", fontsize=8)
    axes.set_xlim(0.0, 1.15 * values.max())
    axes.set_title(title, fontsize=10)
    axes.spines[["top", "right"]].set_visible(False)


def _histogram(axes: Axes, scores: Scores, *, title: str) -> None:
    axes.hist(scores.pit, bins=BINS, range=(0.0, 1.0), density=True, color=LOSS_COLOR)
    axes.axhline(1.0, color=LEAD_COLOR)
    axes.set_title(title, fontsize=10)
    axes.set_xlabel("flat: right\na hill: too unsure, a bowl: too sure", fontsize=8)
