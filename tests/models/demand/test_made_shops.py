"""Generated shops with known truth: levels, intervals and signs, over kinds of histories that mislead."""

import numpy as np
import pandas as pd
import pytest

from tests.models.demand.made_shops import KINDS, SEEDS, Score, learn, make_shop, score

UNTOLD = (
    "price cut once in a trend, no response",
    "price raised once in a decline",
    "one price only",
    "one promotion of two months, growing",
)
"""Kinds whose prices tell no response."""


def check(scores: list[Score], *, of: str) -> None:
    """Of all shops; the levels of a few days of few units are off by chance, so that four standard errors are added."""
    assert not any(s.is_wrong_sign for s in scores), of
    assert np.mean([s.covers for s in scores]) >= 0.9, of
    assert all(abs(s.level_error) <= 0.1 + 4.0 * s.level_sd for s in scores), of


def test_levels_are_near_intervals_cover_and_no_sign_is_wrong() -> None:
    scores = {kind: [score(kind, seed) for seed in (100, 101)] for kind in KINDS}
    everything = [s for part in scores.values() for s in part]
    check(everything, of="all")
    assert np.mean([abs(s.level_error) <= 0.1 for s in everything]) > 0.85
    for kind in KINDS:
        assert all(abs(s.list_price_error) <= 0.02 for s in scores[kind]), kind
        assert not any(s.is_identified for s in scores[kind]) or kind not in UNTOLD, kind
        assert all(s.is_own for s in scores[kind]) or kind in UNTOLD, kind


@pytest.mark.slow
def test_the_same_over_ten_seeds_of_each_kind() -> None:
    everything = [score(kind, seed) for kind in KINDS for seed in range(SEEDS)]
    check(everything, of="all")
    assert np.mean([abs(s.level_error) <= 0.1 for s in everything]) > 0.9


def test_a_price_that_changes_once_in_a_trend_identifies_nothing_and_the_interval_holds_0() -> None:
    for seed in range(3):
        told = learn(make_shop(UNTOLD[0], seed).sales).evidence[0]
        assert told.low < 0.0 < told.high
        assert "once and for good" in told.why_not


def test_a_level_that_has_grown_is_todays() -> None:
    truth = make_shop("growth, times 4 in a year", 0)
    found = learn(truth.sales)
    mean = truth.sales["sales"].mean()
    assert found.level.mean() > 1.4 * mean
    assert found.level.mean() == pytest.approx(truth.level, rel=0.15)


def test_a_season_is_learned_from_two_years_and_not_from_half_a_one() -> None:
    truth = make_shop("season, two years", 1)
    found = learn(truth.sales)
    wave = np.hypot(found.season[0, 0], found.season[0, 1])
    assert wave == pytest.approx(0.5, abs=0.15)
    short = learn(truth.sales.head(200))
    np.testing.assert_array_equal(short.season, 0.0)
    assert any("The season was not learned for 1 of 1 products" in words for words in short.words)


def test_a_flat_response_is_a_finding_and_is_not_called_identified() -> None:
    sales = make_shop("steady", 3).sales
    flat = sales.assign(sales=np.random.default_rng(0).poisson(60.0, size=len(sales)).astype(float))
    told = learn(flat).evidence[0]
    assert not told.why_not or told.why_not.startswith("sold more at higher prices")
    assert not told.is_identified
    assert told.low > -0.6


def test_days_that_no_level_explains_leave_the_product_out_with_the_month() -> None:
    """A fitted path must sell what was sold; here a month's rows were multiplied after the fact on half of its days."""
    sales = make_shop("steady", 0).sales
    other = sales.assign(product_id="odd")
    day = np.arange(len(other))
    other.loc[(day % 9 == 0), "sales"] *= 400.0
    found = learn(pd.concat([sales, other], ignore_index=True))
    assert found.product_ids == ("p",)
    assert "sells too unevenly" in found.left_out["odd"]


def test_the_level_of_a_product_that_ended_is_carried_to_the_season_of_the_tables_end() -> None:
    days, generator = 730, np.random.default_rng(0)
    dates = pd.date_range("2025-01-06", periods=days)
    level = 50.0 * np.exp(0.5 * np.cos(2.0 * np.pi * (np.arange(days) - 200) / 365.25))
    whole = pd.DataFrame(
        {"date": dates, "product_id": "whole", "sales": generator.poisson(level).astype(float), "price": 10.0}
    ).assign(sold_out=False)
    ended = whole[whole["date"] < dates[-150]].assign(product_id="ended")
    found = learn(pd.concat([whole, ended], ignore_index=True))
    assert found.product_ids == ("ended", "whole")
    assert found.level.mean(axis=0) == pytest.approx(
        level[-28:].mean(), rel=0.2
    )  # it sold 2.5 times as much at its own end
