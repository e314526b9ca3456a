"""The history of one product: its prices, the units that were sold, and what the World expects at list price."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from flashsim.report.figures import BETTER, INK, LEAD, RIVAL

TICKS = 4
"""Days that are named below the figure."""


def history(days: pd.DataFrame, *, level: float, interval: Sequence[float]) -> Figure:
    """Prices above and units below, by day; ``days``: date, price, sales, sold_out.

    ``level`` and its ``interval`` are units a day at today's list price. Narrow, for a telephone.
    """
    figure = Figure(figsize=(4.4, 3.2), layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True, gridspec_kw={"height_ratios": [1.0, 1.4]})
    date = days["date"].to_numpy()
    above.step(date, days["price"], where="mid", color=RIVAL, linewidth=1.1)
    above.set_ylabel("price")
    below.plot(date, days["sales"], color=LEAD, linewidth=0.7)
    out = days[days["sold_out"].astype(bool)]
    if len(out):
        below.plot(out["date"].to_numpy(), out["sales"], "v", color=INK, markersize=3.5, label="sold out")
    recent = date[date > date[-1] - pd.Timedelta(days=28).to_timedelta64()]
    below.fill_between(recent, interval[0], interval[1], color=BETTER, alpha=0.25, linewidth=0.0)
    below.plot(recent, [level] * len(recent), color=BETTER, linewidth=2.0, label="forecast at list price")
    below.set_ylabel("units a day")
    below.legend(fontsize=8, loc="lower left", bbox_to_anchor=(0.0, 1.0), ncols=2, borderaxespad=0.1)
    for axes in (above, below):
        axes.set_ylim(bottom=0.0)
        axes.yaxis.set_major_locator(MaxNLocator(3))
    ticks = date[np.unique(np.linspace(0, date.size - 1, TICKS).astype(int))]
    below.set_xticks(ticks, [str(day)[:10] for day in ticks], fontsize=8)
    return figure
