"""The examples on top of the modules run as they stand."""

import importlib
import inspect
import textwrap
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from flashsim.data.traffic import MinuteSeries, visits_by_minute
from flashsim.models.traffic.rush import Rush
from tests.models.traffic.made_traffic import make_visits

START = pd.Timestamp("1998-06-02")


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    """Twelve days with three rushes."""
    rush = Rush(3.0, 10.0, 40.0, 30.0)
    visits = make_visits(days=12, rushes=[(day * 1440 + 600, rush) for day in (2, 4, 6)])
    return pd.DataFrame({"date": START + pd.to_timedelta(np.arange(visits.size), unit="min"), "visits": visits})


@pytest.mark.parametrize(
    "module",
    [
        "data.purchases",
        "data.traffic",
        "models.customers.retention",
        "models.traffic.forecast",
        "models.traffic.online",
        "models.traffic.drift",
        "models.traffic.scores",
        "models.traffic.bursts",
        "models.traffic.rush",
        "models.traffic.world_cup",
    ],
)
def test_the_example_of_a_module_runs(
    module: str, table: pd.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table.to_csv(tmp_path / "traffic_data.csv", index=False)
    monkeypatch.chdir(tmp_path)
    series: MinuteSeries = visits_by_minute(table)
    text = inspect.getdoc(importlib.import_module(f"flashsim.{module}")) or ""
    block = text.split("\n\n")[1]
    assert block.startswith("    ")
    exec(compile(textwrap.dedent(block), module, "exec"), {"series": series})
