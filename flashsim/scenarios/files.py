"""A scenario as a YAML file: what people write, read into a Scenario on a World, and back.

    format_version: 1
    base: grocery_evening          # what the rest differs from; without a base the file is complete
    name: late_evening
    start_minute: 1260
    servers: {start_servers: 20, lag: 5}
    calendar: {rushes: [{start: 0, height: 2, half_life: 10}]}

Keys are the fields of :class:`Scenario` and of its parts. A base is a named scenario, whose servers and rushes are
those of the World; a complete file has at least ``name`` and ``story``, and for the rest the defaults of the
dataclasses. YAML is read safely: a file holds values and no code. Left out: files that rest on files.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from flashsim.errors import InputError
from flashsim.files import write_text
from flashsim.scenarios.changes import planned, typed_changes
from flashsim.scenarios.named import check_scenario_name, scenario_named
from flashsim.scenarios.scenario import Scenario
from flashsim.settings import keys, plain
from flashsim.world import World
from flashsim.yaml_file import read_yaml

FORMAT_VERSION = 1
SUFFIXES = (".yaml", ".yml")
_LINE = 120


class ScenarioFile(NamedTuple):
    """What a scenario file says; no World is needed to read it."""

    base: str | None
    """A named scenario; None: the file is complete."""
    changes: dict[str, Any]
    """Typed values of the fields that it names."""

    def on(self, world: World) -> Scenario:
        """The scenario on ``world``; InputError for what is missing or out of its range."""
        return scenario_on(world, self.base, self.changes)


def scenario_on(world: World, base: str | None, changes: Mapping[str, Any]) -> Scenario:
    """The scenario ``base`` on ``world`` with ``changes``; without a base it is made of them alone."""
    return planned(world, {}, changes) if base is None else scenario_named(base, world, **changes)


def read_scenario(path: str | Path, world: World) -> Scenario:
    """The scenario of a file on ``world``; InputError, in one sentence with the path, when it cannot be used."""
    file = read_scenario_file(path)
    try:
        return file.on(world)
    except InputError as error:
        raise InputError(f"{path}: {error}") from error


def read_scenario_file(path: str | Path) -> ScenarioFile:
    """Keys and types of a file, checked; InputError, in one sentence with the path, when it cannot be used."""
    try:
        return _read(read_yaml(Path(path)))
    except InputError as error:
        raise InputError(f"{path}: {error}") from error


def _read(content: Any) -> ScenarioFile:
    if not isinstance(content, dict):
        raise InputError(f"a scenario file holds KEY: VALUE lines, got {type(content).__name__}")
    settings = {str(key): value for key, value in content.items()}
    if "format_version" not in settings:
        raise InputError(f"format_version is missing; write format_version: {FORMAT_VERSION} as its first line")
    version = settings.pop("format_version")
    if version != FORMAT_VERSION:
        raise InputError(
            f"has format version {version!r}, this flashsim reads {FORMAT_VERSION}; write it anew with the keys of "
            "flashsim/scenarios/scenario.py"
        )
    is_complete = "base" not in settings
    base = settings.pop("base", None)
    if not is_complete:
        if not isinstance(base, str):
            raise InputError(f"base must be the name of a scenario, got {base!r}; leave it out of a complete file")
        check_scenario_name(base)
    changes = typed_changes(settings, known=["format_version", "base", *keys(Scenario)])
    for name in ("name", "story"):
        if is_complete and name not in changes:
            raise InputError(f"{name} is missing; give it, or a base: NAME that has one")
    return ScenarioFile(base, changes)


def write_scenario(path: Path, scenario: Scenario) -> None:
    """Write a complete file, from which :func:`read_scenario` makes an equal scenario on the same World."""
    content = {"format_version": FORMAT_VERSION} | plain(scenario)
    write_text(path, yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=_LINE))
