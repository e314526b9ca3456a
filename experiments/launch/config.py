"""Typed configs: from a dataclass to what Hydra composes, and back to the dataclass.

OmegaConf checks keys and types against the dataclass; this module lets it take frozen ones, gives tuples back as tuples
and refuses keys added with ``+``. A field of an :class:`OpenConfig` is a tree of settings that checks itself, so that
what was not set differs from every value.
"""

import dataclasses
import math
import typing
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Self

from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import DictConfig, ListConfig, OmegaConf

from flashsim.errors import InputError
from flashsim.settings import group_type, no_such_key, shown, typed_value, words


class OpenConfig(ABC):
    """A part of a config that is open: any key may be set, at any depth, and the part says which it knows."""

    choice: ClassVar[str]
    """The key that ``PART=VALUE`` sets."""

    @classmethod
    @abstractmethod
    def from_settings(cls, settings: Mapping[str, Any], *, key: str) -> Self:
        """The part of what was set; ``key`` stands before its keys, with a dot. InputError for what cannot be used."""

    @abstractmethod
    def settings(self) -> dict[str, Any]:
        """What makes the same part again, and needs no other file."""

    @classmethod
    @abstractmethod
    def known(cls, key: str) -> list[str]:
        """Every dotted key that can be set."""

    @classmethod
    @abstractmethod
    def help(cls, key: str) -> list[str]:
        """Lines on what can be set."""


def open_parts(config_type: Any) -> dict[str, type[OpenConfig]]:
    """Field -> type of the open parts of a config, which may be a dataclass or one with its values."""
    kind = config_type if isinstance(config_type, type) else type(config_type)
    hints = typing.get_type_hints(kind) if dataclasses.is_dataclass(kind) else {}
    return {name: hint for name, hint in hints.items() if is_open(hint)}


def schema(config_type: Any) -> DictConfig:
    """The dataclass, or one with values of its own, as OmegaConf sees it: open to overrides even where it is frozen."""
    parts = open_parts(config_type)
    node = OmegaConf.structured(_with_trees(config_type, parts) if parts else config_type)
    assert isinstance(node, DictConfig)
    _release(node)
    for name in parts:
        OmegaConf.set_struct(node[name], value=False)
    return node


def _with_trees(config_type: type, parts: Mapping[str, type[OpenConfig]]) -> type:
    """The dataclass with a tree of plain values in the place of each open part."""
    trees: list[Any] = [(name, dict[str, Any], dataclasses.field(default_factory=dict)) for name in parts]
    stands_for = {"STANDS_FOR": config_type}
    return dataclasses.make_dataclass(
        config_type.__name__, trees, bases=(config_type,), namespace=stands_for, frozen=True
    )


def _release(node: DictConfig) -> None:
    OmegaConf.set_readonly(node, None)
    for key in map(str, node):
        if not OmegaConf.is_missing(node, key) and not OmegaConf.is_interpolation(node, key):
            child = node[key]
            if isinstance(child, DictConfig):
                _release(child)


def build(node: DictConfig, path: str = "") -> Any:
    """The dataclass with the composed values; lists arrive as tuples where the field is a tuple.

    Raises InputError for a key that the dataclass does not have or a value that it refuses, and OmegaConf's errors for
    a value that is missing or cannot be resolved. ``path`` is the node's own key, with a dot behind it.
    """
    kind = type_of(node)
    if not dataclasses.is_dataclass(kind):
        return {key: _value(node[key], Any, path=f"{path}{key}.") for key in map(str, node)}
    hints = typing.get_type_hints(kind)
    values = {}
    for key in map(str, node):
        if key not in hints:
            value = node[key]
            plain = OmegaConf.to_container(value) if isinstance(value, DictConfig | ListConfig) else value
            given = value if isinstance(value, str) else shown(plain)
            raise InputError(no_such_key(path + key, f"{path}{key}={given}", [path + name for name in hints]))
        values[key] = _value(node[key], hints[key], path=f"{path}{key}.")
    try:
        return kind(**values)
    except ValueError as error:
        raise InputError(f"{path.rstrip('.') or 'the config'}: {error}") from error


def type_of(node: DictConfig) -> type | None:
    """The dataclass that the node holds the values of; None where there is none."""
    seen = OmegaConf.get_type(node)
    return getattr(seen, "STANDS_FOR", seen)


def _value(value: Any, hint: Any, *, path: str) -> Any:
    if is_open(hint):
        return hint.from_settings(plain_tree(value), key=path)
    if isinstance(value, DictConfig) and (hint is Any or typing.get_origin(hint) is dict):
        return build(value, path)  # settings by name, each of a type of its own
    part = group_type(hint)
    if isinstance(value, DictConfig) and part is not None:
        kind = type_of(value)
        if kind is not None and not issubclass(kind, part):
            raise InputError(f"{path.rstrip('.')} must be {words(hint)}, got another group of keys")
        return build(value, path)
    plain = OmegaConf.to_container(value, resolve=True) if isinstance(value, DictConfig | ListConfig) else value
    found = typed_value(hint, plain, key=path.rstrip("."))
    for number in found if isinstance(found, tuple) else (found,):
        if isinstance(number, float) and math.isinf(number):
            raise InputError(f"{path.rstrip('.')} must be a finite number, got {number}")
    return found


def check_given(node: DictConfig, arguments: Sequence[str]) -> None:
    """InputError for an argument ``key=number`` of which OmegaConf would make true or false."""
    texts = OmegaConf.to_container(arguments, resolve=False) if isinstance(arguments, ListConfig) else arguments
    for argument in OverridesParser.create().parse_overrides(list(map(str, typing.cast(Any, texts)))):
        *groups, name = argument.key_or_group.lstrip("+").split(".")
        parent = OmegaConf.select(node, ".".join(groups)) if groups else node
        if isinstance(parent, DictConfig) and not argument.is_delete() and not argument.is_sweep_override():
            _check_truth(parent, name, argument.value(), key=argument.key_or_group)


def _check_truth(parent: DictConfig, name: str, value: Any, *, key: str) -> None:
    kind = type_of(parent)
    hint = typing.get_type_hints(kind).get(name) if dataclasses.is_dataclass(kind) else None
    if isinstance(value, dict) and hint is not None and not is_open(hint):
        child = OmegaConf.select(parent, name)
        for inner, item in value.items() if isinstance(child, DictConfig) else ():
            _check_truth(child, str(inner), item, key=f"{key}.{inner}")
    elif hint is bool and isinstance(value, int | float) and not isinstance(value, bool):
        raise InputError(f"{key} must be {words(hint)}, got {shown(value)}")


def is_open(hint: Any) -> bool:
    """Whether a field of this type is an :class:`OpenConfig`."""
    return isinstance(hint, type) and issubclass(hint, OpenConfig)


def plain_tree(node: DictConfig) -> dict[str, Any]:
    """The node as plain values under text keys; an Enum is its name."""
    tree = OmegaConf.to_container(node, resolve=True, enum_to_str=True)
    assert isinstance(tree, dict)
    return {str(key): value for key, value in tree.items()}


def whole_text(node: DictConfig, built: Any) -> str:
    """The composed config as YAML, from which the config ``built`` can be built again without any other file."""
    content = plain_tree(node)
    parts = {name: getattr(built, name).settings() for name in open_parts(type(built))}
    return OmegaConf.to_yaml(OmegaConf.create(content | parts))
