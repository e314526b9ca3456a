"""Segments come from behavior in other weeks; their demands add up to the panel's."""

import numpy as np
import pandas as pd
import pytest

from flashsim.errors import InputError
from flashsim.models.customers.segments import SEGMENTS, fit_shares, half_of_week, hour_profiles, segment_households


def make_lines(*, weeks: int = 8) -> pd.DataFrame:
    """Households 0-9 buy on deal, 10-19 visit every day, 20-29 once a week."""
    rows = []
    basket = 0
    for household in range(30):
        for day in range(0, 7 * weeks, 1 if 10 <= household < 20 else 7):
            basket += 1
            depth = 0.3 if household < 10 else 0.0
            rows.append((household, basket, pd.Timestamp("2017-01-02") + pd.Timedelta(days=day), 10.0, depth))
    return pd.DataFrame(rows, columns=["household_id", "basket_id", "day", "regular_value", "depth"])


def test_each_kind_of_household_is_told_apart() -> None:
    segments = segment_households(make_lines())
    expected = np.repeat([0, 1, 2], 10)
    assert segments.segment[:, 0].tolist() == expected.tolist()
    assert segments.segment[:, 1].tolist() == expected.tolist()


def test_what_a_household_does_in_a_half_does_not_decide_what_it_is_there() -> None:
    lines = make_lines()
    week = ((lines["day"] - lines["day"].min()).dt.days // 7).to_numpy()
    even = half_of_week(week, block_weeks=4) == 0
    someone = (lines["household_id"] == 25).to_numpy()
    changed = lines.assign(depth=np.where(even & someone, 0.5, lines["depth"]))
    before, after = segment_households(lines), segment_households(changed)
    assert after.segment[25, 0] == before.segment[25, 0]
    assert SEGMENTS[after.segment[25, 1]] == "deal seekers"


def test_a_household_unseen_in_the_other_half_is_occasional() -> None:
    lines = make_lines()
    early = lines[~((lines["household_id"] == 5) & (lines["day"] >= pd.Timestamp("2017-01-30")))]
    segments = segment_households(early)
    assert SEGMENTS[segments.segment[5, 0]] == "occasional"
    assert SEGMENTS[segments.segment[5, 1]] == "deal seekers"


def test_too_few_households_are_refused() -> None:
    lines = make_lines()
    with pytest.raises(InputError, match="2 households cannot be divided into 3 segments"):
        segment_households(lines[lines["household_id"] < 2])


def test_known_share_slopes_are_found_and_shares_add_up() -> None:
    generator = np.random.default_rng(0)
    products, weeks = 20, 60
    depth = generator.choice([0.0, 0.1, 0.3, 0.5], size=(products, weeks))
    level = generator.normal([0.3, 0.8, 0.0], [0.3, 0.3, 0.0], (products, 3))
    slope = generator.normal([1.8, 0.1, 0.0], [0.4, 0.2, 0.0], (products, 3))
    logits = level[:, None, :] + slope[:, None, :] * depth[:, :, None]
    share = np.exp(logits) / np.exp(logits).sum(axis=2, keepdims=True)
    units = generator.multinomial(150, share).astype(float)
    found = fit_shares(units, depth, clumping=np.ones(products))
    assert found.common_slope[:2] == pytest.approx(slope.mean(axis=0)[:2], abs=0.12)
    assert np.abs(found.slope - slope).mean() < 0.15
    grid = np.linspace(0.0, 0.6, 13)
    assert found.at(grid).sum(axis=1) == pytest.approx(np.ones((products, 13)))


def test_a_product_without_sales_takes_the_common_shares() -> None:
    generator = np.random.default_rng(1)
    depth = generator.choice([0.0, 0.3], size=(10, 40))
    units = generator.multinomial(100, [0.5, 0.3, 0.2], (10, 40)).astype(float)
    units[0] = 0.0
    shares = fit_shares(units, depth, clumping=np.ones(10)).at(np.array([0.0, 0.3]))
    assert shares[0] == pytest.approx(shares[1:].mean(axis=0), abs=0.02)


def test_hour_profiles_are_smooth_positive_shares_of_a_day() -> None:
    counts = np.zeros((2, 3, 24))
    counts[0, :, 17] = 10_000.0
    profile = hour_profiles(counts)
    assert profile.sum(axis=2) == pytest.approx(np.ones((2, 3)))
    assert (profile > 0.0).all()
    assert profile[0, 0, 16] == pytest.approx(profile[0, 0, 18])
    assert profile[0, 0, 17] == pytest.approx(0.5, abs=0.01)
    assert profile[1] == pytest.approx(profile[0], abs=0.05)  # a group without sales takes the profile of all


def test_midnight_is_next_to_eleven_at_night() -> None:
    counts = np.zeros((1, 1, 24))
    counts[0, 0, 0] = 1e9
    profile = hour_profiles(counts)
    assert profile[0, 0, 23] == pytest.approx(0.25, abs=1e-3)
    assert profile[0, 0, 1] == pytest.approx(0.25, abs=1e-3)
