"""One sentence for what Hydra, OmegaConf or YAML refuse: the key, the value, and the nearest right one.

It is made of what their exceptions carry, of the command line and of the YAML files; not of the texts of exceptions.
"""

import dataclasses
import enum
import shlex
import typing
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml
from hydra.core.config_store import ConfigStore
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import ConfigCompositionException, HydraException, MissingConfigException, OverrideParseException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import (
    ConfigAttributeError,
    ConfigKeyError,
    MissingMandatoryValue,
    OmegaConfBaseException,
    ValidationError,
)

from experiments.launch.config import open_parts, type_of
from flashsim.errors import InputError
from flashsim.settings import nearest, no_such_key, shown, words
from flashsim.shown import brief


class Given(typing.NamedTuple):
    """Where the settings of a program come from."""

    arguments: Sequence[str]
    """Of the command line."""
    conf: Path
    """Folder of the YAML files."""
    name: str
    """Of the program's own file in it."""


def check_arguments(given: Given, *, groups: Collection[str], several: Collection[str]) -> None:
    """InputError for an argument that Hydra would refuse in words about itself.

    An option of ``groups`` is chosen by its name; of those in ``several`` more than one can be.
    """
    for argument in given.arguments:
        if argument.startswith("-") or not ("=" in argument or argument.startswith("~")):
            continue
        try:
            (override,) = OverridesParser.create().parse_overrides([argument])
        except OverrideParseException as error:
            raise InputError(_unreadable(argument)) from error
        key = override.key_or_group
        if override.is_delete():
            raise InputError(f"{brief(argument)}: no setting can be taken away; give it a value, {key}=VALUE")
        if override.package is not None and key not in several:
            those = f"; only {' and '.join(several)} can" if several else ""
            raise InputError(f"{brief(argument)}: {key or 'it'} cannot be called by another name (@){those}")
        if not key:
            raise InputError(_unreadable(argument))
        if key in groups and not override.is_sweep_override():
            _check_choice(key, override.value())


def _check_choice(key: str, chosen: Any) -> None:
    """InputError unless an option is ``chosen`` by its name, several are, or their settings are given."""
    if not isinstance(chosen, str | list | dict):
        raise InputError(f"{key} is chosen by its name, got {shown(chosen)}; write {key}=NAME")


def explain(error: Exception, given: Given) -> str | None:
    """One sentence on what cannot be used; None for faults of ours."""
    if isinstance(error, OverrideParseException):
        return _unreadable(str(error.override))
    if isinstance(error, MissingConfigException) and error.missing_cfg_file is not None:
        return _no_such_option(error.missing_cfg_file, error.options or (), conf=given.conf)
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark is not None:
        return f"{error.problem_mark.name} is not YAML, line {error.problem_mark.line + 1}: {error.problem}; mend it"
    if isinstance(error, RecursionError):
        return "an argument is nested too deeply; write it flatter"
    # Hydra wraps OmegaConf's exceptions: with `from` where an argument was refused, without where it was a file.
    cause = (error.__cause__ or error.__context__) if isinstance(error, HydraException) else error
    is_of_file = isinstance(error, ConfigCompositionException) and error.__cause__ is None
    if isinstance(cause, ConfigAttributeError | ConfigKeyError) and cause.full_key:
        return _unknown(cause, given, is_of_file=is_of_file)
    if isinstance(cause, MissingMandatoryValue):
        return f"{cause.full_key} has no default: give it as {cause.full_key}=VALUE"
    if isinstance(cause, ValidationError) and cause.full_key:
        file = _file_with(cause.full_key, given) if is_of_file else None
        return _ill_typed(cause) + (f" in {_shown_file(file, given)}" if file else "")
    if isinstance(cause, OverflowError):
        return f"{getattr(cause, 'full_key', None) or 'the config'}: the number is too large; correct it"
    if isinstance(cause, OmegaConfBaseException):
        return f"{cause.full_key or 'the config'}: {str(cause).splitlines()[0]}; correct the value"
    return _of_no_key(error, given)


def _of_no_key(error: Exception, given: Given) -> str | None:
    """The sentence on an error that names no key; None for faults of ours."""
    if isinstance(error, OSError) and error.filename is not None:  # Hydra itself makes the folder of a sweep
        return f"cannot write {error.filename}: {error.strerror}; choose another output=PATH"
    if _room_of(error) in ("omegaconf", "antlr4") or not isinstance(error, HydraException | ValueError):
        return _unfit(error, given)
    return " ".join(str(error).split())


def _unfit(error: Exception, given: Given) -> str | None:
    """The sentence on arguments that Hydra did not expect itself; None where the error comes from our own code."""
    if _room_of(error) not in ("hydra", "omegaconf", "antlr4"):
        return None
    arguments = shlex.join(given.arguments)
    return f"cannot use these arguments together: {arguments}; see --help for what can be set"


def _room_of(error: Exception) -> str:
    """The package whose code raised the error."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return "" if trace is None else str(trace.tb_frame.f_globals.get("__name__", "")).partition(".")[0]


def _unreadable(argument: str) -> str:
    sentence = f"cannot read the argument {brief(argument)}: write key=value, and quote brackets, commas and spaces"
    if argument.isascii():
        return sentence
    key, _, value = argument.partition("=")
    return f"{sentence}, and letters that are not English: \"{key}='{value}'\""


def _unknown(error: ConfigAttributeError | ConfigKeyError, given: Given, *, is_of_file: bool) -> str:
    full_key = str(error.full_key)
    known = _known_keys(error.parent_node._get_root())
    if is_of_file:
        file = _file_with(full_key, given)
        text = f"{full_key}={_value_in(file, full_key)} of {_shown_file(file, given)}" if file else full_key
        return no_such_key(full_key, text, known)
    keys = {argument: argument.lstrip("+~").partition("=")[0] for argument in given.arguments}
    meant = [
        argument
        for argument, key in keys.items()
        if f"{key}.".startswith(f"{full_key}.") or full_key.startswith(f"{key}.")
    ]
    if meant:
        argument = max(meant, key=lambda argument: len(keys[argument]))  # and not the one that chose the group
        key = keys[argument]
        return no_such_key(key if key.startswith(full_key) else full_key, argument, known)
    return no_such_key(full_key, full_key, known)


def _known_keys(root: DictConfig) -> list[str]:
    """Every dotted key of a config, those of its open parts too, Hydra's own left out."""
    kind = type_of(root)
    parts = open_parts(kind) if kind is not None else {}
    return [*_keys(root), *(key for name, part in parts.items() for key in part.known(f"{name}."))]


def _keys(node: DictConfig, prefix: str = "") -> Iterator[str]:
    for key in map(str, node):
        if prefix or key not in ("hydra", "defaults"):
            yield prefix + key
            if not OmegaConf.is_missing(node, key) and not OmegaConf.is_interpolation(node, key):
                child = node[key]
                if isinstance(child, DictConfig):
                    yield from _keys(child, f"{prefix}{key}.")


def _file_with(full_key: str, given: Given) -> Path | None:
    """The YAML file, of those that the command line chooses and those that they rest on, that holds the key."""
    return next((file for file in _chosen_files(given) if _value_in(file, full_key) is not None), None)


def _chosen_files(given: Given) -> Iterator[Path]:
    """The files of the options on the command line, then the program's own and those of its defaults."""
    options = [argument.partition("=")[::2] for argument in given.arguments]
    waiting = [f"{group}/{option}" for group, chosen in options for option in chosen.split(",")] + [given.name]
    seen: set[str] = set()
    while waiting:
        name = waiting.pop(0)
        file = given.conf / f"{name}.yaml"
        if name in seen or not file.is_file():
            continue
        seen.add(name)
        yield file
        content = OmegaConf.load(file)
        group = name.rpartition("/")[0]
        for item in OmegaConf.select(content, "defaults") or ():
            for key, option in item.items() if isinstance(item, DictConfig) else [(group, item)]:
                waiting.append(f"{str(key).removeprefix('override ').lstrip('/')}/{option}".lstrip("/"))


def _value_in(file: Path, full_key: str) -> Any:
    """The value of a key in a file, which may have the file's group as its first part or not; None: it has none."""
    content, parts = OmegaConf.load(file), full_key.split(".")
    values = (OmegaConf.select(content, ".".join(parts[start:])) for start in range(len(parts)))
    return next((value for value in values if value is not None), None)


def _shown_file(file: Path, given: Given) -> str:
    return f"{given.conf.name}/{file.relative_to(given.conf).as_posix()}"


def _no_such_option(file: str, options: Sequence[str], *, conf: Path) -> str:
    group, _, option = file.rpartition("/")
    if not group:
        return f"there is no {option}.yaml in {conf}; choose another --config-name"
    group, _, inner = group.partition("/")
    option = f"{inner}/{option}".lstrip("/")
    if not options:  # Hydra names neither those in folders of a group nor those of which several are chosen
        files = [path.relative_to(conf / group).as_posix() for path in (conf / group).rglob("*.yaml")]
        stored = ConfigStore.instance().repo.get(group, {})
        options = sorted(name.removesuffix(".yaml") for name in {*files, *stored})
    near = nearest(option, options)
    hint = f"did you mean {group}={near}?" if near else f"choose from {', '.join(options)}"
    return f"there is no option {group}={option}; {hint}"


def _ill_typed(error: ValidationError) -> str:
    if dataclasses.is_dataclass(error.object_type):
        hint = typing.get_type_hints(error.object_type).get(str(error.key))
    else:
        hint = next(iter(typing.get_args(error.ref_type)), None)
    if hint is None:
        return f"{error.full_key}: {str(error).splitlines()[0]}"
    sentence = f"{error.full_key} must be {words(hint)}, got {shown(error.value)}"
    if isinstance(hint, type) and issubclass(hint, enum.Enum):
        near = nearest(str(error.value), hint.__members__)
        sentence += f"; did you mean {near}?" if near else ""
    return sentence
