"""Typed configs: from a dataclass to what Hydra composes, back to the dataclass, and one sentence for what went wrong.

OmegaConf checks keys and types against the dataclass; this module lets it take frozen ones, gives tuples back as
tuples, refuses keys added with ``+``, and reads its exceptions (their attributes rather than their texts).
"""

import dataclasses
import difflib
import enum
import re
import types
import typing
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml
from hydra.core.config_store import ConfigStore
from hydra.errors import HydraException, MissingConfigException, OverrideParseException
from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.errors import (
    ConfigAttributeError,
    ConfigKeyError,
    MissingMandatoryValue,
    OmegaConfBaseException,
    ValidationError,
)

from flashsim.errors import InputError


def schema(config_type: Any) -> DictConfig:
    """The dataclass, or one with its values, as OmegaConf sees it, open to overrides even where it is frozen."""
    node = OmegaConf.structured(config_type)
    assert isinstance(node, DictConfig)
    _open(node)
    return node


def _open(node: DictConfig) -> None:
    OmegaConf.set_readonly(node, None)
    for key in map(str, node):
        if not OmegaConf.is_missing(node, key) and not OmegaConf.is_interpolation(node, key):
            child = node[key]
            if isinstance(child, DictConfig):
                _open(child)


def build(node: DictConfig, path: str = "") -> Any:
    """The dataclass with the composed values; lists arrive as tuples where the field is a tuple.

    Raises InputError for a key that the dataclass does not have or a value that it refuses, and OmegaConf's errors for
    a value that is missing or cannot be resolved. ``path`` is the node's own key, with a dot behind it.
    """
    kind = OmegaConf.get_type(node)
    if not dataclasses.is_dataclass(kind):
        return {key: _value(node[key], Any, path=f"{path}{key}.") for key in map(str, node)}
    hints = typing.get_type_hints(kind)
    values = {}
    for key in map(str, node):
        if key not in hints:
            raise InputError(_no_such_key(path + key, f"{path}{key}={node[key]}", [path + name for name in hints]))
        values[key] = _value(node[key], hints[key], path=f"{path}{key}.")
    try:
        return kind(**values)
    except ValueError as error:
        raise InputError(f"{path.rstrip('.') or 'the config'}: {error}") from error


def _value(value: Any, hint: Any, *, path: str) -> Any:
    if isinstance(value, DictConfig):
        return build(value, path)
    if isinstance(value, ListConfig):
        items = OmegaConf.to_container(value, resolve=True)
        is_tuple = any(typing.get_origin(choice) is tuple for choice in (hint, *typing.get_args(hint)))
        return _tuples(items) if is_tuple else items
    return value


def _tuples(value: Any) -> Any:
    return tuple(map(_tuples, value)) if isinstance(value, list) else value


def explain(error: Exception, *, arguments: Sequence[str], conf: Path) -> str | None:
    """One sentence for what Hydra, OmegaConf or YAML raise: key, value and the nearest right one; None for faults.

    ``arguments`` are those of the command line, ``conf`` the folder of YAML files: they hold the value of a wrong key,
    which the exception does not.
    """
    if isinstance(error, OverrideParseException):
        sentence = (
            f"cannot read the argument {error.override!r}: write key=value, and quote brackets, commas and spaces"
        )
        if not str(error.override).isascii():
            key, _, value = str(error.override).partition("=")
            sentence += f", and letters that are not English: \"{key}='{value}'\""
        return sentence
    if isinstance(error, MissingConfigException) and error.missing_cfg_file is not None:
        return _no_such_option(error.missing_cfg_file, error.options or (), conf=conf)
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark is not None:
        return f"{error.problem_mark.name} is not YAML, line {error.problem_mark.line + 1}: {error.problem}; mend it"
    # Hydra wraps OmegaConf's exceptions, in one place without `from`.
    cause = (error.__cause__ or error.__context__) if isinstance(error, HydraException) else error
    # Hydra says in its text alone which file it was composing.
    file = re.match(r"In '([^']+)': \w+ raised while composing", str(error))
    if isinstance(cause, ConfigAttributeError | ConfigKeyError) and cause.full_key:
        given = _in_file(conf, file[1], cause.full_key) if file else _in_arguments(arguments, cause.full_key)
        key = given.key if given and given.key.startswith(cause.full_key) else cause.full_key
        return _no_such_key(key, given.text if given else key, list(_keys(cause.parent_node._get_root())))
    if isinstance(cause, MissingMandatoryValue):
        return f"{cause.full_key} has no default: give it as {cause.full_key}=VALUE"
    if isinstance(cause, ValidationError) and cause.full_key:
        return _ill_typed(cause) + (f" in {conf.name}/{file[1]}.yaml" if file else "")
    if isinstance(cause, OmegaConfBaseException):
        return f"{cause.full_key or 'the config'}: {str(cause).splitlines()[0]}; correct the value"
    if isinstance(error, OSError) and error.filename is not None:  # Hydra itself makes the folder of a sweep
        return f"cannot write {error.filename}: {error.strerror}; choose another output=PATH"
    if isinstance(error, HydraException | ValueError):
        return " ".join(str(error).split())
    return None


class _Given(typing.NamedTuple):
    """Where a wrong key was given."""

    key: str
    text: str


def _in_arguments(arguments: Sequence[str], full_key: str) -> _Given | None:
    for argument in arguments:
        key = argument.lstrip("+~").partition("=")[0]
        if f"{key}.".startswith(f"{full_key}.") or full_key.startswith(f"{key}."):
            return _Given(key, argument)
    return None


def _in_file(conf: Path, name: str, full_key: str) -> _Given | None:
    """The value of a key that a YAML file holds, which may have the file's group as its first part or not."""
    path = conf / f"{name}.yaml"
    if not path.is_file():
        return None
    content = OmegaConf.load(path)
    parts = full_key.split(".")
    values = (OmegaConf.select(content, ".".join(parts[start:])) for start in range(len(parts)))
    value = next((value for value in values if value is not None), None)
    return _Given(full_key, f"{full_key}={value} of {conf.name}/{name}.yaml")


def _keys(node: DictConfig, prefix: str = "") -> Iterator[str]:
    """Every dotted key below ``node``, Hydra's own left out."""
    for key in map(str, node):
        if prefix or key not in ("hydra", "defaults"):
            yield prefix + key
            if not OmegaConf.is_missing(node, key) and not OmegaConf.is_interpolation(node, key):
                child = node[key]
                if isinstance(child, DictConfig):
                    yield from _keys(child, f"{prefix}{key}.")


def _no_such_key(key: str, given: str, known: Sequence[str]) -> str:
    near = nearest(key, known)
    group = key.rpartition(".")[0]
    beside = [name for name in known if name.rpartition(".")[0] == group]
    hint = f"did you mean {near}?" if near else f"choose from {', '.join(beside or known)}"
    return f"there is no key {key} (in {given}); {hint}"


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


def nearest(word: str, choices: Iterable[str]) -> str | None:
    """The choice most likely meant, judged as a whole and by what follows its last dot; None when none is near."""

    def closeness(choice: str) -> float:
        pairs = [(word, choice), (word.rpartition(".")[2], choice.rpartition(".")[2])]
        return sum(difflib.SequenceMatcher(None, *pair).ratio() for pair in pairs) / 2

    best = max(choices, key=closeness, default=None)
    return best if best is not None and closeness(best) >= 0.6 else None


def _ill_typed(error: ValidationError) -> str:
    if dataclasses.is_dataclass(error.object_type):
        hint = typing.get_type_hints(error.object_type).get(str(error.key))
    else:
        hint = next(iter(typing.get_args(error.ref_type)), None)
    if hint is None:
        return f"{error.full_key}: {str(error).splitlines()[0]}"
    sentence = f"{error.full_key} must be {_words(hint)}, got {'null' if error.value is None else repr(error.value)}"
    if isinstance(hint, type) and issubclass(hint, enum.Enum):
        near = nearest(str(error.value), hint.__members__)
        sentence += f"; did you mean {near}?" if near else ""
    return sentence


def _words(hint: Any) -> str:
    """What a type asks of a person who types a value."""
    simple = {float: "a number", int: "a whole number", bool: "true or false", str: "text", type(None): "null"}
    if hint in simple:
        return simple[hint]
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        return " or ".join(map(_words, typing.get_args(hint)))
    if typing.get_origin(hint) in (tuple, list):
        return f"a list, each item {_words(typing.get_args(hint)[0])}"
    if isinstance(hint, type) and issubclass(hint, enum.Enum):
        return f"one of {', '.join(hint.__members__)}"
    if dataclasses.is_dataclass(hint):
        return f"a group of the keys {', '.join(field.name for field in dataclasses.fields(hint))}"
    return getattr(hint, "__name__", str(hint))
