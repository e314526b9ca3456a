"""A named scenario of another length: what follows from the length moves with it, or is refused with its setting."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flashsim.errors import InputError
from flashsim.evaluation.rollout import play
from flashsim.rules import run_out_price
from flashsim.scenarios import SCENARIOS, Calendar, Scenario, learned_rush, scenario_named
from flashsim.scenarios.named import SECKILL_PEOPLE
from flashsim.settings import keys
from flashsim.sim.servers import ServerParams
from tests.worlds import make_world

USUAL = {"grocery_evening": 120, "seckill": 120, "shopping_festival": 240, "clearance": 180, "flaky_platform": 120}
LENGTHS = [(name, ticks) for name, usual in USUAL.items() for ticks in sorted({60, usual // 2, usual, 2 * usual})]
KEYS = set(keys(Scenario)) - {"name", "story"}


@pytest.mark.parametrize(("name", "ticks"), LENGTHS)
def test_a_named_scenario_can_be_shorter_and_longer(name: str, ticks: int) -> None:
    """Waves stay at the same share of the sale, and the stock covers the demand of the new length."""
    world = make_world(supported_depth=0.2)
    usual, other = scenario_named(name, world), scenario_named(name, world, ticks=ticks)
    assert other.ticks == ticks
    for (tick, share), (moved, same) in zip(usual.waves, other.waves, strict=True):
        assert moved / ticks == pytest.approx(tick / usual.ticks, abs=1.0 / ticks)
        assert same == share
    sale = other.compile()
    played = play(sale, run_out_price(sale), sales=2, seed=0)
    assert np.isfinite(played.totals["profit"]).all()
    assert (played.totals["paid"] >= 0.0).all()


@pytest.mark.parametrize("ticks", [60, 240, 480])
def test_the_rushes_of_a_festival_come_with_its_waves(ticks: int) -> None:
    festival = scenario_named("shopping_festival", make_world(), ticks=ticks)
    starts = [rush.start for rush in festival.calendar.rushes]
    assert starts == [tick for tick, _ in festival.waves] == [0, 3 * ticks // 8, 3 * ticks // 4]


@pytest.mark.parametrize(
    "changes", [{"ticks": 60}, {"ticks": 6}, {"start_minute": 1200}, {"products": ["p2"]}], ids=str
)
def test_the_people_of_a_seckill_come_whatever_is_changed(changes: dict[str, Any]) -> None:
    world = make_world(products=3)
    rush = scenario_named("seckill", world, **changes).compile().forecast.visitors[:, 0].sum()
    ordinary = (
        scenario_named("seckill", world, **changes, calendar={"rushes": []}).compile().forecast.visitors[:, 0].sum()
    )
    assert rush - ordinary == pytest.approx(SECKILL_PEOPLE, rel=1e-4)


@pytest.mark.parametrize("seconds", [5.0, 30.0, 60.0, 120.0])
@pytest.mark.parametrize("name", SCENARIOS)
def test_what_a_world_knows_in_minutes_follows_the_length_of_a_tick(name: str, seconds: float) -> None:
    world = make_world(service_rate=36.0)
    sale = scenario_named(name, world, servers={"seconds_per_tick": seconds})
    assert sale.servers.service_rate == pytest.approx(0.6 * seconds)
    if name == "shopping_festival":
        expected = learned_rush(world, 90, level=3.0, seconds_per_tick=seconds)
        assert sale.calendar.rushes[1] == expected
    if name == "seckill":
        assert sale.calendar.rushes[0].half_life == pytest.approx(60.0 / seconds)
    whole = scenario_named(name, world, servers=ServerParams(seconds_per_tick=seconds, service_rate=7.0))
    assert (whole.servers.service_rate, whole.calendar) == (7.0, sale.calendar)


@pytest.mark.parametrize(
    ("name", "changes", "words"),
    [
        ("flaky_platform", {"ticks": 10}, r"failures\.pool: it lasts 15 ticks, the sale has 10; shorten it"),
        ("shopping_festival", {"ticks": 30}, r"carts\.lead_time: lots arrive 30 ticks after .* the sale has 30 ticks"),
        ("grocery_evening", {"ticks": 60, "waves": [[0, 0.6], [60, 0.4]]}, "waves: one is due at tick 60, .* has 60"),
        ("clearance", {"ticks": 0}, "ticks must be between 1 and 100000, got 0"),
        ("seckill", {"ticks": 100_001}, "ticks must be between 1 and 100000, got 100001"),
        ("shopping_festival", {"ticks": -3}, "ticks must be between 1 and 100000, got -3"),
        ("seckill", {"servers": {"seconds_per_tick": 0.0}}, "servers: seconds_per_tick must be between 1e-06 and"),
        ("seckill", {"servers": {"lag": -1}}, "servers: lag must be between 0 and 1000, got -1"),
    ],
)
def test_what_does_not_fit_a_length_is_refused_with_its_setting(name: str, changes: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=f"^{name}: {words}"):
        scenario_named(name, make_world(), **changes)


def test_what_does_not_fit_can_be_set() -> None:
    world = make_world()
    assert scenario_named("shopping_festival", world, ticks=30, carts={"lead_time": 10}).compile().ticks == 30
    assert scenario_named("shopping_festival", world, ticks=30, carts={"lots": 0}).compile().ticks == 30
    assert scenario_named("flaky_platform", world, ticks=10, failures={"pool": {"ticks": 5}}).compile().ticks == 10


def test_a_shop_that_sells_nothing_at_the_hour_of_a_seckill_is_told_so() -> None:
    world = make_world()
    closed = np.array(world.units_per_minute)
    closed[..., 11:14] = 0.0
    with pytest.raises(InputError, match=r"^seckill: the World 'hand_made' expects 0 visitors .* another start_minute"):
        scenario_named("seckill", make_world(units_per_minute=closed))
    open_later = scenario_named("seckill", make_world(units_per_minute=closed), start_minute=1080)
    assert open_later.compile().forecast.visitors.sum() > 0.0


@pytest.mark.parametrize(
    "calendar",
    [Calendar(level=2.0), {"rushes": []}, {"level": 2.0, "rushes": [{"start": 0, "height": 9, "half_life": 12}]}],
    ids=["whole", "none", "one"],
)
def test_a_seckill_with_rushes_of_its_own_needs_none_made(calendar: Any) -> None:
    world = make_world(population=1e-9)
    with pytest.raises(InputError, match=r"^seckill: .* no rush makes 30000 of them"):
        scenario_named("seckill", world, calendar={"level": 2.0})
    assert scenario_named("seckill", world, calendar=calendar).compile().ticks == 120


@pytest.mark.parametrize("name", SCENARIOS)
@settings(max_examples=60, deadline=None)
@given(
    ticks=st.integers(1, 400),
    supported=st.floats(1e-3, 0.999) | st.sampled_from([0.05, 0.1, 0.12, 0.2, 0.45, 0.5]),
    population=st.floats(1e-6, 1e3),
    seconds=st.sampled_from([None, 1e-6, 0.5, 5.0, 60.0, 1e6]),
    start_minute=st.integers(0, 1439),
)
def test_any_length_on_any_world_compiles_or_is_refused_with_a_setting(
    name: str, ticks: int, supported: float, population: float, seconds: float | None, start_minute: int
) -> None:
    world = make_world(products=2, members=2, segments=1, supported_depth=supported, population=population)
    changes: dict[str, Any] = {"ticks": ticks, "start_minute": start_minute}
    if seconds is not None:
        changes["servers"] = {"seconds_per_tick": seconds}
    try:
        sale = scenario_named(name, world, **changes).compile()
    except InputError as refusal:
        told = str(refusal).removeprefix(f"{name}: ")
        assert any(key in told for key in KEYS), told
        return
    assert sale.ticks == ticks
    assert sale.depths[0, -1] <= min(supported, 0.5)
    assert sale.price_levels >= 2
    assert np.isfinite(sale.tables.rate).all()
