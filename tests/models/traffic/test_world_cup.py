"""The parameters that travel are those of the table they name, with credit, and no file of another kind passes."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from flashsim.errors import InputError
from flashsim.models.traffic.bursts import fit_detector
from flashsim.models.traffic.forecast import HORIZONS, fit_forecaster
from flashsim.models.traffic.rush import Rush
from flashsim.models.traffic.world_cup import SHIPPED, load_parameters, load_shipped, main, save_parameters
from tests.data.world_cup import WORLD_CUP_TABLE, needs_world_cup, read_world_cup
from tests.models.traffic.made_traffic import make_visits


def test_the_shipped_file_says_where_it_comes_from_and_holds_no_data() -> None:
    shipped = load_shipped()
    for entry in ("source", "credit", "period", "method", "sha256", "refit"):
        assert shipped.provenance[entry]
    assert "Arlitt" in shipped.provenance["credit"]
    assert SHIPPED.stat().st_size < 20_000
    scores = {score["horizon_minutes"]: score for score in shipped.evidence["forecast"]}
    assert scores[10]["saved"]["persistence"][1] > 0.0


def test_shipped_parameters_serve_a_shop_of_another_size() -> None:
    shipped, visits = load_shipped(), make_visits(level=800.0)
    quantiles = shipped.forecaster.forecast(visits, horizons=HORIZONS)
    assert quantiles[:, 9] == pytest.approx(np.full(len(HORIZONS), visits[-30:].mean()), rel=0.4)
    assert shipped.detector.alarms(visits).size <= 6
    assert shipped.rush.typical.multiplier([0.0])[0] > 1.5


@needs_world_cup
def test_the_shipped_parameters_are_those_of_the_table() -> None:
    shipped, series = load_shipped(), read_world_cup()
    assert shipped.provenance["sha256"] == hashlib.sha256(WORLD_CUP_TABLE.read_bytes()).hexdigest()
    again = fit_forecaster(series.visits)
    np.testing.assert_allclose(shipped.forecaster.coefficients, again.coefficients, atol=2e-3)
    np.testing.assert_allclose(shipped.forecaster.quantiles, again.quantiles, atol=0.05)
    assert shipped.detector.threshold == pytest.approx(fit_detector(series.visits).threshold, rel=1e-3)


def write_table(folder: Path) -> Path:
    """Ten days with four rushes."""
    rush = Rush(3.0, 10.0, 40.0, 30.0)
    visits = make_visits(days=10, level=300.0, rushes=[(day * 1440 + 600, rush) for day in (2, 4, 6, 8)])
    stamps = np.datetime64("2026-01-01T00:00") + np.arange(visits.size)
    rows = "\n".join(f"{stamp},{count:.0f}" for stamp, count in zip(stamps, visits, strict=True))
    (folder / "traffic.csv").write_text(f"date,visits\n{rows}\n")
    return folder / "traffic.csv"


@pytest.fixture(scope="module")
def refitted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("refit")
    assert main([str(write_table(folder)), "--out", str(folder / "parameters.json")]) == 0
    return folder / "parameters.json"


def test_a_shop_refits_on_its_own_table(refitted: Path) -> None:
    made = load_parameters(refitted)
    assert made.provenance["source"] == "traffic.csv"
    assert made.rush.typical.amplitude == pytest.approx(3.0, rel=0.2)
    assert made.evidence["held_out_days"] == 5


def test_what_is_saved_is_what_is_loaded(refitted: Path, tmp_path: Path) -> None:
    save_parameters(load_parameters(refitted), tmp_path / "again.json")
    assert (tmp_path / "again.json").read_bytes() == refitted.read_bytes()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda r: r.update(format=9), "does not hold traffic parameters of format 1"),
        (lambda r: r.pop("rush"), "lacks the entry 'rush'"),
        (lambda r: r["detector"].pop("threshold"), "lacks the entry 'threshold'"),
        (lambda r: r["forecaster"].update(horizons=[1, 2]), "fitted for other horizons"),
        (lambda r: r["forecaster"].update(scale=[[1.0]]), "scale: expected finite"),
    ],
)
def test_files_of_another_kind_are_refused(tmp_path: Path, change: Callable[[dict[str, Any]], Any], words: str) -> None:
    record = json.loads(SHIPPED.read_text(encoding="utf-8"))
    change(record)
    (tmp_path / "other.json").write_text(json.dumps(record))
    with pytest.raises(InputError, match=words):
        load_parameters(tmp_path / "other.json")


def test_the_command_refuses_in_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "short.csv").write_text("date,visits\n2026-01-01 00:00,5\n2026-01-01 00:01,6\n")
    assert main([str(tmp_path / "short.csv"), "--out", str(tmp_path / "out.json")]) == 2
    assert main([str(tmp_path / "none.csv"), "--out", str(tmp_path / "out.json")]) == 2
    message = capsys.readouterr().err
    assert "spans 0.00 days" in message
    assert "does not exist" in message
    assert not (tmp_path / "out.json").exists()
