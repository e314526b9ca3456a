"""A World that is refreshed: it follows a level that has changed as fast as theory says, and else stays where it is."""

import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from scipy.stats import nbinom

from flashsim.calibration.expected_units import expected_units
from flashsim.calibration.refresh import DELTA, refresh_world
from flashsim.data.shop_folder import ShopMapping
from flashsim.data.shop_tables import CheckedTables, read_shop_tables
from flashsim.errors import InputError
from flashsim.models.demand.level_path import demand_above
from flashsim.world import World
from tests.data.made_shop import make_traffic, write_tables
from tests.worlds import make_world

BASE = make_world(products=3, members=4)
FIRST_DAY = "2026-03-02"  # a Monday


def read(folder: Path, *, world: World | None = None, **tables: pd.DataFrame) -> CheckedTables:
    return read_shop_tables(
        write_tables(folder, **tables),
        ShopMapping(),
        most_quarantined=0.05,
        quarantine_file=folder / "quarantine.csv",
        known_price=None if world is None else dict(zip(world.product_ids, world.list_price.tolist(), strict=True)),
    )


def make_days(
    world: World, days: int, *, factor: float = 1.0, seed: int | None = 0, first: str = FIRST_DAY, depth: float = 0.0
) -> pd.DataFrame:
    """Sales that ``world`` expects (mean of members) times ``factor``; with a seed drawn with its frailties."""
    dates = pd.date_range(first, periods=days)
    table = pd.DataFrame(
        {
            "date": np.repeat(dates, world.n_products),
            "product_id": list(world.product_ids) * days,
            "price": np.tile(world.list_price * (1.0 - depth), days),
        }
    )
    mean = factor * expected_units(world, table).mean(axis=0)
    if seed is not None:
        generator = np.random.default_rng(seed)
        common = np.repeat(generator.gamma(10.0, 0.1, days), world.n_products)
        own = generator.gamma(5.0, 0.2, mean.size)
        mean = generator.poisson(mean * common * own)
    return table.assign(sales=np.round(mean).astype(int), date=table["date"].dt.strftime("%Y-%m-%d"))


def level(refreshed: World, base: World = BASE) -> NDArray[np.float64]:
    """Factor (member, product) by which levels changed; every cell of the surface must have changed by it."""
    ratio = refreshed.units_per_minute.astype(np.float64) / base.units_per_minute
    by_product = np.moveaxis(ratio, 2, 1).reshape(base.n_members, base.n_products, -1)
    assert np.ptp(by_product, axis=2).max() < 1e-5
    return by_product.mean(axis=2)


def test_a_level_that_has_changed_is_reached_geometrically(tmp_path: Path) -> None:
    """A member that expects 1/f of what is sold every day has after n days the level 1 + (f - 1)·(1 - delta^n)."""
    even = replace(BASE, weekday_factor=np.ones_like(BASE.weekday_factor))
    level_of_member = even.units_per_minute.sum(axis=(1, 2, 3, 4), dtype=np.float64)
    true_factor = float((2.0 * level_of_member.mean() / level_of_member).mean())  # members expect less or more
    factors = {}
    for days in (1, 7, 28, 90):
        own = read(tmp_path / str(days), sales_data=make_days(even, days, factor=2.0, seed=None))
        factors[days] = float(level(refresh_world(even, own, seed=0).world, even).mean())
    for days, factor in factors.items():
        assert factor == pytest.approx(1.0 + (true_factor - 1.0) * (1.0 - DELTA**days), abs=0.05)
    assert factors[1] < factors[7] < factors[28] < factors[90]


def test_days_as_expected_leave_the_world_unchanged_within_their_error(tmp_path: Path) -> None:
    """60 days drawn from the World with frailties: the filter's error is at most sqrt(alpha·(1 - delta))."""
    alike = replace(BASE, units_per_minute=np.repeat(BASE.units_per_minute[:1], 4, axis=0))
    averages = []
    for seed in range(6):
        own = read(tmp_path / str(seed), sales_data=make_days(alike, 60, seed=seed))
        averages.append(level(refresh_world(alike, own, seed=seed).world, alike).mean(axis=0))
    error = np.sqrt(0.35 * (1.0 - DELTA))  # frailties of variance .1 and .2, counts of hundreds a day
    assert np.abs(np.array(averages) - 1.0).max() < 4.0 * error
    assert abs(np.mean(averages) - 1.0) < 4.0 * error / np.sqrt(18)


def test_one_ordinary_day_moves_a_level_by_little_and_one_great_day_by_a_twentieth_of_it(tmp_path: Path) -> None:
    day = make_days(BASE, 1, factor=1.5, seed=None)
    moved = level(refresh_world(BASE, read(tmp_path, sales_data=day), seed=0).world)
    assert 0.95 < moved.mean() < 1.0 + 3.0 * 0.5 * (1.0 - DELTA)


def test_everything_but_the_levels_is_kept(tmp_path: Path) -> None:
    refreshed = refresh_world(BASE, read(tmp_path, sales_data=make_days(BASE, 14, factor=2.0)), seed=0).world
    level(refreshed)
    for field in ("list_price", "weekday_factor", "frailty_common_variance", "conversion_at_list", "display_effect"):
        np.testing.assert_array_equal(getattr(refreshed, field), getattr(BASE, field))


def test_discounts_and_weekdays_explain_what_they_should(tmp_path: Path) -> None:
    """Many more units at 40 % off on a weekend are as expected: the level stays."""
    deep = make_days(BASE, 2, first="2026-03-07", depth=0.4, seed=None)
    moved = level(refresh_world(BASE, read(tmp_path, sales_data=deep), seed=0).world)
    assert moved.mean() == pytest.approx(1.0, abs=0.05)


def test_a_sell_out_is_not_taken_for_all_that_was_wanted(tmp_path: Path) -> None:
    half = make_days(BASE, 28, factor=0.5, seed=None)
    plain = refresh_world(BASE, read(tmp_path / "plain", sales_data=half), seed=0).world
    out = refresh_world(BASE, read(tmp_path / "out", sales_data=half.assign(stock_out=1)), seed=0).world
    assert level(plain).mean() < 0.7
    assert level(out).mean() > 0.95


@pytest.mark.parametrize(
    ("units", "mean", "alpha"), [(0.0, 8.0, 0.3), (5.0, 8.0, 0.3), (20.0, 8.0, 0.3), (12.0, 9.0, 2.0)]
)
def test_the_mean_above_a_sell_out_is_that_of_the_negative_binomial(units: float, mean: float, alpha: float) -> None:
    counts = np.arange(0, 5000)
    mass = nbinom.pmf(counts, 1.0 / alpha, 1.0 / (1.0 + alpha * mean))
    above = counts >= units
    expected = (counts * mass)[above].sum() / mass[above].sum()
    found = demand_above(np.array([units]), np.array([mean]), np.array([alpha])).mean
    assert found[0] == pytest.approx(expected, rel=1e-6)


def test_members_go_on_differing_and_equal_seeds_agree(tmp_path: Path) -> None:
    own = read(tmp_path, sales_data=make_days(BASE, 60))
    one, again, other = (refresh_world(BASE, own, seed=seed).world for seed in (0, 0, 1))
    assert one.fingerprint() == again.fingerprint()
    assert (one.units_per_minute != other.units_per_minute).any()
    total = one.units_per_minute.sum(axis=(1, 2, 3, 4))
    assert total.std() / total.mean() > 0.01


def test_hours_move_by_what_the_new_days_weigh(tmp_path: Path) -> None:
    traffic = make_traffic(14, first=FIRST_DAY, busiest_hour=3)
    refreshed = refresh_world(BASE, read(tmp_path, traffic_data=traffic), seed=0).world
    truth = 1.0 + 0.8 * np.cos(2.0 * np.pi * (np.arange(24) - 3) / 24.0)
    before, after = (w.units_per_minute[0].sum(axis=(0, 1, 2), dtype=np.float64) for w in (BASE, refreshed))
    expected = DELTA**14 * before / before.sum() + (1.0 - DELTA**14) * truth / truth.sum()
    np.testing.assert_allclose(after / after.sum(), expected, atol=0.002)
    old, new = (w.units_per_minute.sum(axis=(1, 4), dtype=np.float64) for w in (BASE, refreshed))
    np.testing.assert_allclose(new, old, rtol=1e-5)


def test_a_day_that_lacks_an_hour_does_not_tell_the_hours(tmp_path: Path) -> None:
    own = read(tmp_path, traffic_data=make_traffic(1, first=FIRST_DAY).iloc[:100])
    refreshed = refresh_world(BASE, own, seed=0).world
    np.testing.assert_array_equal(refreshed.units_per_minute, BASE.units_per_minute)
    assert any("no day has all 24 hours" in note for note in refreshed.provenance["updates"][0]["notes"])


def test_provenance_tells_each_update_with_file_checksum_and_weight(tmp_path: Path) -> None:
    own = read(tmp_path / "a", sales_data=make_days(BASE, 1))
    once = refresh_world(BASE, own, seed=0).world
    twice = refresh_world(once, read(tmp_path / "b", sales_data=make_days(once, 1, first="2026-03-03")), seed=0).world
    first, second = twice.provenance["updates"]
    assert first["files"] == {"sales_data": "sales_data.csv"}
    assert first["sha256"] == dict(own.checksums)
    assert first["spans"] == {"sales_data": ["2026-03-02", "2026-03-02"]}
    assert first["from"] == BASE.fingerprint()
    assert second["from"] == once.fingerprint()
    assert all(row["weight"] == pytest.approx(1.0 - DELTA, abs=0.03) for row in first["levels"])
    assert "update 2 (2026-03-03 to 2026-03-03): levels" in twice.provenance["fields"]["units_per_minute"]
    assert twice.provenance["all"] == BASE.provenance["all"]
    twice.save(tmp_path / "world")
    assert World.load(tmp_path / "world").fingerprint() == twice.fingerprint()


def test_after_a_long_silence_a_new_day_weighs_more_but_never_all(tmp_path: Path) -> None:
    once = refresh_world(BASE, read(tmp_path / "a", sales_data=make_days(BASE, 1)), seed=0).world
    late = make_days(once, 1, first="2029-03-05")
    (levels,) = [refresh_world(once, read(tmp_path / "b", sales_data=late), seed=0).levels]
    assert (levels["weight"] > 2.0 * (1.0 - DELTA)).all()
    assert (levels["weight"] < 0.3).all()


def refusal(world: World, own: CheckedTables) -> str:
    with pytest.raises(InputError) as refused:
        refresh_world(world, own, seed=0)
    return str(refused.value)


def test_what_the_world_holds_already_is_refused(tmp_path: Path) -> None:
    own = read(tmp_path / "a", sales_data=make_days(BASE, 3))
    once = refresh_world(BASE, own, seed=0).world
    assert "is in the World already, to the last byte" in refusal(once, own)
    overlap = read(tmp_path / "b", sales_data=make_days(BASE, 3, seed=9))
    assert "begins on 2026-03-02, the World holds the days up to 2026-03-04" in refusal(once, overlap)


def test_products_that_the_world_does_not_have_are_counted_or_refused(tmp_path: Path) -> None:
    days = make_days(BASE, 2)
    more = pd.concat([days, days.iloc[[0, 3]].assign(product_id="new")])
    refreshed = refresh_world(BASE, read(tmp_path / "a", sales_data=more), seed=0)
    rows = {row["what"]: row["rows"] for row in refreshed.world.provenance["updates"][0]["rows"]}
    assert rows["dropped: a product that the World does not have: calibrate to learn it"] == 2
    strangers = read(tmp_path / "b", sales_data=days.assign(product_id=days["product_id"] + "x"))
    assert "but of no product of the World (p0, p1, p2, …)" in refusal(BASE, strangers)


def test_the_tables_of_the_caller_stay_as_they_are(tmp_path: Path) -> None:
    """Rows that are left out, or changed, are entered in the World's record: twice the same, not added up."""
    days = make_days(BASE, 2)
    more = pd.concat([days.assign(price=days["price"] * 1.2), days.iloc[[0, 3]].assign(product_id="new")])
    own = read(tmp_path, sales_data=more, traffic_data=make_traffic(1, first=FIRST_DAY).iloc[:100])
    books, tables = copy.deepcopy((own.account, own.notes, own.quarantine)), copy.deepcopy(own.tables)
    once, again = (refresh_world(BASE, own, seed=0).world for _ in range(2))
    assert once.fingerprint() == again.fingerprint()
    assert (own.account, own.notes, own.quarantine) == books
    for table, frame in own.tables.items():
        pd.testing.assert_frame_equal(frame, tables[table])


def test_other_units_than_the_worlds_are_refused(tmp_path: Path) -> None:
    days = make_days(BASE, 3)
    grams = read(tmp_path / "a", sales_data=days.assign(sales=days["sales"] * 1000))
    assert "if they are counted in another unit, put scale: {sales: FACTOR}" in refusal(BASE, grams)
    with pytest.raises(InputError, match="is 100 times the usual price of p0, 2: another unit, such as cents"):
        read(tmp_path / "b", world=BASE, sales_data=days.assign(price=days["price"] * 100))


def test_prices_above_the_list_price_are_taken_as_it_and_told(tmp_path: Path) -> None:
    days = make_days(BASE, 2)
    refreshed = refresh_world(BASE, read(tmp_path, sales_data=days.assign(price=days["price"] * 1.2)), seed=0).world
    rows = {row["what"]: row["rows"] for row in refreshed.provenance["updates"][0]["rows"]}
    assert rows["changed: a price above the World's list price, taken as the list price"] == 6


def test_an_update_needs_sales_or_traffic(tmp_path: Path) -> None:
    tickets: Any = pd.DataFrame({"text": ["a"], "intent": ["b"]})
    assert "an update needs sales_data or traffic_data" in refusal(BASE, read(tmp_path, support_tickets=tickets))


def test_the_card_of_a_world_that_is_refreshed_stays_and_tells_of_each_update(tmp_path: Path) -> None:
    world = replace(BASE, provenance={"fidelity": {"lines": [{"value": 1.0, "mark_low": 0.5, "mark_high": 1.5}]}})
    days = make_days(world, 2)
    first = refresh_world(world, read(tmp_path / "first", sales_data=days), seed=0).world
    traffic = make_traffic(2, first="2026-03-04")
    second = refresh_world(first, read(tmp_path / "second", traffic_data=traffic), seed=0).world
    assert second.provenance["fidelity"]["lines"] == world.provenance["fidelity"]["lines"]
    assert second.uncalibrated_because == ()
    sold = f"{days['sales'].sum():,} units were sold, "
    one, two = (made.provenance["fidelity"]["updates"] for made in (first, second))
    assert one.startswith(f"1 update since (2026-03-02 to 2026-03-03): {sold}")
    assert one.endswith("; levels have followed and were not judged anew.")
    assert two.startswith(f"2 updates since (2026-03-02 to 2026-03-05): {sold}")
    assert two.endswith("; levels and hours of the day have followed and were not judged anew.")
    assert "fidelity" not in refresh_world(BASE, read(tmp_path / "none", sales_data=days), seed=0).world.provenance
