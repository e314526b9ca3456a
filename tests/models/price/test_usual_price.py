"""The list price is today's, promotions are told from changes for good, and averages need not repeat to the cent."""

import numpy as np
import pytest
from numpy.typing import NDArray

from flashsim.models.price.usual_price import PriceHistory, read_prices


def read(*parts: tuple[float, int]) -> PriceHistory:
    """The history of prices that held for so many days, one after another."""
    return read_prices(np.concatenate([np.full(days, price) for price, days in parts]))


@pytest.mark.parametrize(
    ("parts", "list_price"),
    [
        ([(10.0, 120)], 10.0),
        ([(10.0, 240), (8.0, 125)], 8.0),  # held for longer than eight weeks: no promotion
        ([(10.0, 100), (8.0, 35)], 8.0),  # held for five of them
        ([(10.0, 100), (7.0, 21)], 10.0),  # a promotion that goes on
        ([(10.0, 100), (7.0, 28), (10.0, 5)], 10.0),
        ([(10.0, 100), (7.0, 42), (10.0, 14)], 10.0),  # of six weeks, and over
        ([(10.0, 90), (12.0, 10)], 10.0),  # raised, and not yet for four weeks
        ([(10.0, 90), (12.0, 30)], 12.0),
        ([(10.0, 5), (7.0, 9)] * 8, 10.0),  # two days in three promoted
        ([(10.0, 7), (7.0, 7)] * 8, 10.0),
        ([(10.0, 35), (8.0, 7)], 10.0),  # a table of six weeks
    ],
    ids=str,
)
def test_the_list_price_is_the_last_one_that_held(parts: list[tuple[float, int]], list_price: float) -> None:
    assert read(*parts).list_price == list_price


def wandering(days: int, *, spread: float, seed: int = 0) -> NDArray[np.float64]:
    return np.asarray(10.0 * np.exp(spread * np.random.default_rng(seed).standard_normal(days)))


def test_averages_have_their_median_as_list_price_whatever_they_begin_with() -> None:
    rising = 10.0 + 0.01 * np.arange(60.0)
    rising[30] = 5.0
    assert read_prices(rising).list_price == pytest.approx(10.3, abs=0.05)
    assert read_prices(wandering(200, spread=0.02)).list_price == pytest.approx(10.0, rel=0.02)
    restless = read_prices(wandering(200, spread=0.15))
    assert restless.list_price == pytest.approx(10.0, rel=0.08)
    assert restless.promoted_share < 0.05
    promoted = wandering(200, spread=0.005) * np.where(np.arange(200) % 25 < 5, 0.75, 1.0)
    history = read_prices(promoted)
    assert history.list_price == pytest.approx(10.0, rel=0.01)
    assert history.is_episode.sum() == 40
    assert history.episodes == 8


def test_a_list_price_that_is_told_counts_and_the_last_one_of_them() -> None:
    price, told = np.full(100, 8.0), np.full(100, 12.0)
    told[40:] = 11.0
    assert read_prices(price, told=told).list_price == 11.0
    told[40:] = np.nan
    assert read_prices(price, told=told).list_price == 12.0
    assert read_prices(price, told=np.full(100, np.nan)).list_price == 8.0
    told[:] = 12.0
    told[-20:] = 13.0  # raised less than four weeks ago
    assert read_prices(price, told=told).list_price == 13.0


def test_days_that_the_table_calls_promoted_do_not_make_the_list_price() -> None:
    price = np.concatenate([np.full(60, 10.0), np.full(40, 7.0)])
    assert read_prices(price).list_price == 7.0
    assert read_prices(price, promoted=price < 10.0).list_price == 10.0


def test_changes_for_good_are_told_from_promotions() -> None:
    assert read((10.0, 100), (8.0, 100)).steps == (100,)
    assert read((8.0, 100), (8.5, 60), (9.5, 60)).steps == (100, 160)
    assert read((10.0, 100), (8.0, 14), (10.0, 100)).steps == ()
    assert read((10.0, 100), (8.0, 14), (10.0, 100)).episodes == 1
    long = read((10.0, 100), (8.0, 70), (10.0, 100))
    assert long.steps == (100, 170)
    assert long.days_away == 0
    assert read_prices(wandering(300, spread=0.01)).steps == ()


def test_the_share_of_promoted_days_is_told() -> None:
    assert read(*[(10.0, 5), (7.0, 9)] * 8).promoted_share > 0.5
    assert read((10.0, 100), (8.0, 10), (10.0, 90)).promoted_share == 0.05
