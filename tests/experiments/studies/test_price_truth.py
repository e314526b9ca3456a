"""The program that judges the price response: what it leaves behind, and who loses."""

from pathlib import Path

import pandas as pd
import pytest

from experiments.studies import price_truth
from tests.experiments.programs import Start, starter


@pytest.fixture
def start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Start:
    return starter(monkeypatch, capsys, tmp_path)


def test_the_program_scores_every_method_and_repeats_itself(
    start: Start, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(price_truth, "CASES", {"both": price_truth.BOTH})
    ended = start("studies.price_truth", "rows=1500", "seeds=1", "output=one")
    assert ended.code == 0
    assert "plain Poisson regression" in ended.stdout
    assert start("studies.price_truth", "rows=1500", "seeds=1", "output=two").code == 0
    assert (tmp_path / "one" / "scores.csv").read_bytes() == (tmp_path / "two" / "scores.csv").read_bytes()
    worst = pd.read_csv(tmp_path / "one" / "summary.csv").set_index("method")
    assert worst["error"].idxmin() == "price response"
    assert worst["wape"].idxmax() == "plain Poisson regression"
    assert start("studies.price_truth", "rows=3", "output=three").code == 2
