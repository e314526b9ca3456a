"""Figures draw intervals that have no end up to their edge."""

import numpy as np
import pandas as pd
import pytest

from flashsim.report import figures

ROWS = pd.DataFrame(
    {
        "policy": ["one", "other"],
        "member": [3, 5],
        "difference": [1.0, 2.0],
        "low": [-np.inf, 1.5],
        "high": [1.5, np.inf],
    }
)
WORDS = {"difference": "difference", "world": "world {member}"}


def test_the_forest_draws_an_interval_without_an_end_to_its_edge() -> None:
    colors = {"one": "#000000", "other": "#111111"}
    figure = figures.forest(ROWS, colors=colors, unit="currency", currency="USD", words=WORDS)
    (axes,) = figure.axes
    left, right = axes.get_xlim()
    drawn = [np.asarray(line.get_xdata(), float).tolist() for line in axes.lines]
    assert [left, 1.5] in drawn
    assert [1.5, right] in drawn
    assert left < 0.0
    assert right > 2.0


@pytest.mark.parametrize("low", [-np.inf, 0.5])
def test_the_worlds_draw_an_interval_without_an_end_to_their_edge(low: float) -> None:
    overall = {"difference": 1.5, "low": low, "high": np.inf}
    figure = figures.worlds(ROWS, overall=overall, words=WORDS)
    (axes,) = figure.axes
    left, right = axes.get_xlim()
    band = axes.patches[0].get_extents().transformed(axes.transData.inverted())
    assert band.x1 == pytest.approx(right)
    assert band.x0 == pytest.approx(left if np.isinf(low) else 0.5)
    assert [label.get_text() for label in axes.get_yticklabels()] == ["world 3", "world 5"]
