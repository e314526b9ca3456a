"""Every field of a scenario is a setting of a program: from the command line, from a file, in a sweep."""

import json
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from omegaconf import DictConfig, OmegaConf

from experiments.launch.config import build, schema, whole_text
from experiments.pipeline.prepare import ScenarioConfig, make_scenario
from flashsim.scenarios import SCENARIOS, Outage, Scenario, scenario_named
from flashsim.scenarios.files import write_scenario
from flashsim.settings import keys, plain
from tests.experiments.programs import TINY_PPO, Start, files, prefixed, small_world, starter

TRAIN = ("train", "world.folder=world", *prefixed("agent", TINY_PPO))
MINE = """\
format_version: 1
base: grocery_evening
name: short_evening
ticks: 65
servers: {start_servers: 20, lag: 5}
"""


@pytest.fixture
def start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Start:
    """Starts programs in a folder with a World and a scenario file."""
    small_world().save(tmp_path / "world")
    (tmp_path / "mine.yaml").write_text(MINE)
    return starter(monkeypatch, capsys, tmp_path)


@dataclass(frozen=True)
class PlanConfig:
    """A config with nothing but a scenario."""

    scenario: ScenarioConfig = field(default_factory=ScenarioConfig)


def built(settings: dict[str, Any]) -> ScenarioConfig:
    """The part of a config that these settings make; what is kept of it makes the same again."""
    config = composed({"scenario": settings})
    once: PlanConfig = build(config)
    again: PlanConfig = build(composed(yaml.safe_load(whole_text(config, once))))
    assert again == once
    return once.scenario


def composed(settings: dict[str, Any]) -> DictConfig:
    """The config with these settings, as Hydra composes it."""
    config = OmegaConf.merge(schema(PlanConfig), settings)
    assert isinstance(config, DictConfig)
    return config


def planned(*settings: str) -> Scenario:
    """The scenario that these settings plan on a small World."""
    tree = OmegaConf.to_container(OmegaConf.from_dotlist(list(settings)))
    assert isinstance(tree, dict)
    return make_scenario(built({str(key): value for key, value in tree.items()}), small_world())


def same(one: Scenario, other: Scenario) -> bool:
    """Whether two scenarios on equal Worlds are equal."""
    return bool(plain(one) == plain(other))


def test_every_field_of_every_part_can_be_set_to_what_it_is() -> None:
    """Key by key, each with the value that the named scenario has on its World: so nothing changes."""
    named = scenario_named("flaky_platform", small_world())
    for key in keys(Scenario):
        value: Any = named
        for name in key.split("."):
            value = getattr(value, name)
        settings: Any = plain(value)
        for name in reversed(key.split(".")):
            settings = {name: settings}
        assert same(make_scenario(built({"base": "flaky_platform"} | settings), small_world()), named), key


def test_settings_reach_parts_of_parts_and_null_is_a_value_where_a_field_may_be_null() -> None:
    named = scenario_named("flaky_platform", small_world())
    changed = planned(
        "name=flaky_platform",
        "servers.lag=5",
        "traffic.push_budget=0",
        "calendar.level=2",
        "failures.payment={start: null, ticks: 9}",
        "failures.pool=null",
        "stock_units=null",
        "ticks=null",
    )
    assert (changed.servers.lag, changed.traffic.push_budget, changed.calendar.level) == (5, 0, 2.0)
    assert (changed.failures.payment, changed.failures.pool) == (Outage(None, 9), None)
    assert changed.failures.feed == named.failures.feed
    assert changed.servers.service_rate == named.servers.service_rate
    assert changed.ticks == named.ticks


def test_what_reports_call_a_sale_stands_beside_its_base() -> None:
    assert planned("base=seckill", "name=mine").name == "mine"
    assert planned("name=seckill").name == "seckill"


def test_a_file_is_a_scenario_whose_keys_can_be_overridden(tmp_path: Path) -> None:
    mine = tmp_path / "mine.yaml"
    mine.write_text(MINE)
    sale = planned(f"name={mine}", "servers.lag=1")
    assert (sale.name, sale.ticks, sale.servers.start_servers, sale.servers.lag) == ("short_evening", 65, 20, 1)
    complete = tmp_path / "complete.yaml"
    write_scenario(complete, sale)
    assert same(planned(f"name={complete}"), sale)
    assert planned(f"name={complete}", "servers.lag=2").servers.lag == 2


def test_a_training_on_a_scenario_of_ones_own_is_swept_over_a_server(start: Start, tmp_path: Path) -> None:
    ended = start(TRAIN[0], "-m", *TRAIN[1:], "scenario=mine.yaml", "scenario.servers.lag=1,3", "output=sweep")
    assert ended.code == 0, ended.stderr
    for job, lag in enumerate((1, 3)):
        kept = yaml.safe_load((tmp_path / "sweep" / str(job) / "config.yaml").read_text())["scenario"]
        servers = {"start_servers": 20, "lag": lag}
        assert kept == {"base": "grocery_evening", "name": "short_evening", "ticks": 65, "servers": servers}
        card = json.loads((tmp_path / "sweep" / str(job) / "policies" / "ppo" / "card.json").read_text())
        assert card["training"]["scenario"] == "short_evening"
    command = json.loads((tmp_path / "sweep" / "1" / "run.json").read_text())["command"]
    assert command.endswith("scenario.name=mine.yaml scenario.servers.lag=3 output=sweep")


def test_what_is_kept_of_a_run_needs_the_file_no_more(tmp_path: Path) -> None:
    mine = tmp_path / "mine.yaml"
    mine.write_text(MINE)
    config = composed({"scenario": {"name": str(mine)}})
    text = whole_text(config, build(config))
    mine.unlink()
    assert make_scenario(build(composed(yaml.safe_load(text))).scenario, small_world()).servers.start_servers == 20


def test_the_null_of_every_key_that_older_runs_kept_is_what_the_named_scenario_has() -> None:
    kept = {"name": "seckill", "table": None, "ticks": None, "weekday": 3, "depths": None, "salvage_share": None}
    assert built(kept) == ScenarioConfig("seckill", None, {"weekday": 3})
    assert built({}) == ScenarioConfig()


@pytest.mark.parametrize(
    ("argument", "sentence"),
    [
        (
            "scenario.servers.lagg=5",
            "there is no key scenario.servers.lagg (in scenario.servers.lagg=5); did you mean scenario.servers.lag?",
        ),
        (
            "scenario.failures.payment.tick=5",
            "there is no key scenario.failures.payment.tick (in scenario.failures.payment.tick=5); "
            "did you mean scenario.failures.payment.ticks?",
        ),
        ("scenario.lag=5", "there is no key scenario.lag (in scenario.lag=5); did you mean scenario.servers.lag?"),
        ("+scenario.servers.lagg=5", "did you mean scenario.servers.lag?"),
        ("lag=5", "there is no key lag (in lag=5); did you mean scenario.servers.lag?"),
        ("scenario.servers.lag=soon", "scenario.servers.lag must be a whole number, got 'soon'"),
        ("scenario.servers.lag=null", "scenario.servers.lag must be a whole number, got null"),
        ("scenario.servers=5", "scenario.servers must be a group of the keys service_rate,"),
        ("scenario.depths=[0,deep]", "scenario.depths[1] must be a number, got 'deep'"),
        ("scenario.failures.payment={ticks: 5}", "grocery_evening: failures.payment.start is missing"),
        ("scenario.servers.lag=-1", "grocery_evening: servers: lag must be between 0 and 1000, got -1"),
        ("scenario=grocery_evning", "scenario: unknown name 'grocery_evning'; did you mean 'grocery_evening'?"),
        ("scenario=j1_lag3", "did you mean 'j1_lag1'?"),
        ("scenario=nowhere.yaml", "nowhere.yaml: cannot be read: No such file or directory; check the path"),
        ("scenario=[a]", "scenario.name must be text, got a list of 1"),
        ("scenario={base: g1, name: seckill}", "scenario.name=seckill is another sale than scenario.base=g1"),
        ("scenario.base=null", "name is missing; give it: text"),
    ],
)  # fmt: skip
def test_what_cannot_be_used_is_one_sentence_and_leaves_nothing(start: Start, argument: str, sentence: str) -> None:
    before = files(Path.cwd())
    ended = start(*TRAIN, argument, "output=one")
    assert ended.code == 2, ended
    assert sentence in ended.stderr
    assert ended.stderr.count("\n") == 1
    assert files(Path.cwd()) == before


def test_discounts_that_a_world_supports_are_enough_for_every_scenario() -> None:
    """The named menus go deeper; what was set replaces them before they are checked."""
    shallow = replace(small_world(), supported_depth=0.2)
    for name in SCENARIOS:
        assert make_scenario(built({"name": name, "depths": [0, 0.1, 0.2]}), shallow).depths == (0.0, 0.1, 0.2)


def test_help_tells_the_keys_of_every_part_and_where_they_are_explained(start: Start) -> None:
    text = start("play", "--help").stdout
    assert "scenario=NAME: clearance, " in text
    assert "scenario=FILE.yaml: " in text
    assert "scenario.servers.KEY=VALUE: service_rate, start_servers, " in text
    assert "(flashsim/sim/servers.py)" in text
    assert "scenario.failures.payment.KEY=VALUE: start, ticks (flashsim/sim/failures.py)" in text
    assert max(map(len, text.splitlines())) <= 140
