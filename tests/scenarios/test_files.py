"""A scenario file is read into the scenario that was written, and refused in one sentence when it cannot be used."""

from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flashsim.errors import InputError
from flashsim.scenarios import SCENARIOS, Calendar, Outage, Rush, Scenario, scenario_named
from flashsim.scenarios.files import read_scenario, write_scenario
from flashsim.settings import admits_null, group_type, hints_of, keys, plain, typed
from flashsim.world import shipped_world
from tests.random_sales import scenarios
from tests.worlds import make_scenario, make_world

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
COMPLETE = """\
format_version: 1
name: mine
story: A sale of one's own.
"""
EVENING = """\
format_version: 1
base: grocery_evening
"""


def read(folder: Path, text: str) -> Scenario:
    """The scenario of a file with this text."""
    path = folder / "mine.yaml"
    path.write_text(text, encoding="utf-8")
    return read_scenario(path, make_world())


@given(scenarios(), st.text(min_size=1), st.text())
def test_what_is_written_is_read_again(scenario: Scenario, name: str, story: str) -> None:
    told = replace(scenario, name=name, story=story, products=scenario.world.product_ids[:1])
    with TemporaryDirectory() as folder:
        path = Path(folder) / "mine.yaml"
        write_scenario(path, told)
        assert read_scenario(path, told.world) == told


@pytest.mark.parametrize("name", SCENARIOS)
def test_every_named_scenario_can_be_written_and_read(tmp_path: Path, name: str) -> None:
    scenario = scenario_named(name, make_world(products=8))
    write_scenario(tmp_path / "mine.yaml", scenario)
    assert read_scenario(tmp_path / "mine.yaml", scenario.world) == scenario


def test_numbers_of_numpy_are_written_as_numbers(tmp_path: Path) -> None:
    scenario = make_scenario(ticks=np.int64(20), stock_cover=np.float32(1.5))
    write_scenario(tmp_path / "mine.yaml", scenario)
    assert read_scenario(tmp_path / "mine.yaml", scenario.world) == scenario


def test_a_file_differs_from_its_base_in_what_it_names_alone(tmp_path: Path) -> None:
    more = "servers: {lag: 5}\ncalendar: {rushes: [{start: 3, height: 2, half_life: 1e1}]}\nproducts: [p1]\n"
    evening, scenario = scenario_named("grocery_evening", make_world()), read(tmp_path, EVENING + more)
    assert scenario.servers == replace(evening.servers, lag=5)
    assert scenario.calendar == Calendar(1.0, (Rush(3, 2.0, 10.0),))
    back = {name: getattr(evening, name) for name in ("world", "servers", "calendar", "products")}
    assert replace(scenario, **back) == evening


def test_a_complete_file_has_the_defaults_of_the_dataclass(tmp_path: Path) -> None:
    world = make_world()
    (tmp_path / "mine.yaml").write_text(COMPLETE)
    assert read_scenario(tmp_path / "mine.yaml", world) == Scenario(
        world=world, name="mine", story="A sale of one's own."
    )


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (EVENING + "servers: {lagg: 5}", "there is no key servers.lagg (in servers.lagg=5); did you mean servers.lag?"),
        (EVENING + "lag: 5\n", "did you mean servers.lag?"),
        (EVENING + "failures: {payment: {star: 3, ticks: 8}}\n", "did you mean failures.payment.start?"),
        (EVENING + "calendar: {rushes: [{start: 0, heigth: 1}]}", "did you mean calendar.rushes[0].height?"),
        (EVENING + "world: {population: 3}\n", "there is no key world "),
        (EVENING + "servers: {lag: soon}\n", "servers.lag must be a whole number, got 'soon'"),
        (EVENING + "servers: {lag: 1.5}\n", "servers.lag must be a whole number, got 1.5"),
        (EVENING + "servers: {lag: true}\n", "servers.lag must be a whole number, got true"),
        (EVENING + "servers: {lag: null}\n", "servers.lag must be a whole number, got null"),
        (EVENING + "servers: 5\n", "servers must be a group of the keys service_rate, start_servers,"),
        (EVENING + "depths: 0.2\n", "depths must be a list, each item a number, got 0.2"),
        (EVENING + "depths: [0, deep]\n", "depths[1] must be a number, got 'deep'"),
        (EVENING + "waves: [[0, 0.5, 1]]\n", "waves[0] must be a list of a whole number and a number"),
        (EVENING + "failures: {payment: {ticks: 8}}\n", "failures.payment.start is missing; give it: a whole number"),
        (EVENING + "calendar: {rushes: [{start: 0, height: 1}]}\n", "calendar.rushes[0].half_life is missing"),
        (EVENING + "servers: {lag: -1}\n", "grocery_evening: servers: lag must be between 0 and 1000, got -1"),
        (EVENING + "failures: {pool: {start: 0, ticks: 0}}\n", "failures.pool: outage ticks must be between 1 and"),
        (EVENING + "name: late\nticks: 30\nwaves: [[60, 1]]\n", "late: waves: one is due at tick 60, the sale has 30"),
        ("format_version: 1\nbase: grocery_evning\n", "did you mean 'grocery_evening'?"),
        ("format_version: 1\nbase: 7\n", "base must be the name of a scenario, got 7"),
        ("format_version: 1\nname: mine\n", "story is missing; give it, or a base: NAME that has one"),
        ("base: grocery_evening\n", "format_version is missing; write format_version: 1 as its first line"),
        ("format_version: 9\n", "has format version 9, this flashsim reads 1"),
        ("- 1\n", "a scenario file holds KEY: VALUE lines, got list"),
        ("format_version: [1\n", "is not YAML, line 2: expected ',' or ']'"),
        (EVENING + "ticks: 90\nticks: 80\n", "ticks is given twice"),
        (EVENING + "story: !!python/object/apply:os.getcwd []\n", "is not YAML, line 3: could not determine"),
    ],
)  # fmt: skip
def test_a_file_that_cannot_be_used_is_refused_in_one_sentence(tmp_path: Path, text: str, sentence: str) -> None:
    with pytest.raises(InputError) as refusal:
        read(tmp_path, text)
    told = str(refusal.value)
    assert told.startswith(f"{tmp_path / 'mine.yaml'}: ")
    assert sentence in told
    assert "\n" not in told


def test_a_file_that_is_not_there_or_not_text_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"nowhere\.yaml: cannot be read: No such file"):
        read_scenario(tmp_path / "nowhere.yaml", make_world())
    (tmp_path / "picture.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match=r"picture\.yaml: is not text in UTF-8"):
        read_scenario(tmp_path / "picture.yaml", make_world())


@pytest.mark.parametrize("name", SCENARIOS)
def test_changes_are_put_over_a_named_scenario_before_it_is_checked(name: str) -> None:
    """The World knows shallow discounts alone, and every named scenario goes deeper by itself."""
    shallow = make_world(products=8, supported_depth=0.2)
    assert scenario_named(name, shallow, depths=[0, 0.05]).compile().depths[0].tolist() == [0.0, 0.05]


def test_changes_reach_any_depth_and_leave_the_rest() -> None:
    world = make_world(products=8)
    plain_day = scenario_named("flaky_platform", world)
    changes = {"failures": {"payment": {"start": 3}, "pool": None}, "servers": {"start_servers": 40}}
    changed = scenario_named("flaky_platform", world, **changes)
    assert changed.failures == replace(plain_day.failures, payment=Outage(3, 8), pool=None)
    assert changed.servers == replace(plain_day.servers, start_servers=40)
    assert replace(changed, failures=plain_day.failures, servers=plain_day.servers) == plain_day


def test_every_field_of_a_scenario_and_of_its_parts_can_be_set() -> None:
    """A value of each, and null where it may be null, survive the way through plain settings."""
    scenario = scenario_named("flaky_platform", make_world(products=8))
    assert typed(Scenario, plain(scenario)).keys() == hints_of(Scenario).keys()
    known = keys(Scenario)
    assert {"servers.lag", "traffic.push_budget", "calendar.level", "failures.payment.start", "ticks"} <= set(known)
    assert not [key for key in known if key.startswith("world")]
    nullable = [name for name, hint in hints_of(Scenario).items() if admits_null(hint)]
    assert nullable == ["date", "pre_opening", "stock_units"]
    assert typed(Scenario, {"stock_units": None}) == {"stock_units": None}
    assert group_type(hints_of(Scenario)["carts"]) is not None


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.yaml")), ids=lambda path: path.stem)
def test_every_example_is_a_scenario_on_the_world_of_the_package(path: Path) -> None:
    sale = read_scenario(path, shipped_world()).compile()
    assert sale.name == path.stem
    assert sale.stock.sum() > 0
