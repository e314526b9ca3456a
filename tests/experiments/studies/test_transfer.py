"""The transfer table from end to end on a small made shop."""

from pathlib import Path

import pandas as pd
import pytest

from tests.data.synthetic_shop import make_shop
from tests.experiments.programs import Start, starter

QUICK = ("products=8", "weeks=[2,4]", "heldout_weeks=8", "horizon_weeks=4", "resamples=50", "data=shop")


@pytest.fixture
def start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Start:
    make_shop(weeks=24).save(tmp_path / "shop")
    return starter(monkeypatch, capsys, tmp_path)


def test_every_way_stands_in_the_table_losers_included(start: Start, tmp_path: Path) -> None:
    ended = start("studies.transfer", *QUICK, "output=one")
    assert ended.code == 0, ended.stderr
    table = pd.read_csv(tmp_path / "one" / "transfer.csv")
    assert set(table["way"]) == {"last weeks", "scratch", "moved", "trained on", "all weeks"}
    assert set(table["weeks"]) == {2, 4}
    assert (table["pinball_reduction_low"] <= table["pinball_reduction_high"]).all()
    assert "not for research or commercial decisions" in ended.stdout


def test_weeks_that_do_not_divide_are_refused(start: Start) -> None:
    ended = start("studies.transfer", *QUICK, "horizon_weeks=3")
    assert ended.code == 2
    assert "heldout_weeks must be a multiple of horizon_weeks" in ended.stderr
