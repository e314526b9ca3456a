"""Typed configs: from a dataclass to what Hydra composes, and back to the dataclass.

OmegaConf checks keys and types against the dataclass; this module lets it take frozen ones, gives tuples back as tuples
and refuses keys added with ``+``. A field of an :class:`OpenConfig` is a tree of settings that checks itself, so that
what was not set differs from every value.
"""

import dataclasses
import typing
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar, Self

from omegaconf import DictConfig, ListConfig, OmegaConf

from flashsim.errors import InputError
from flashsim.settings import no_such_key


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
    return {name: hint for name, hint in hints.items() if isinstance(hint, type) and issubclass(hint, OpenConfig)}


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
            raise InputError(no_such_key(path + key, f"{path}{key}={node[key]}", [path + name for name in hints]))
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
    if isinstance(hint, type) and issubclass(hint, OpenConfig):
        return hint.from_settings(plain_tree(value), key=path)
    if isinstance(value, DictConfig):
        return build(value, path)
    if isinstance(value, ListConfig):
        items = OmegaConf.to_container(value, resolve=True)
        is_tuple = any(typing.get_origin(choice) is tuple for choice in (hint, *typing.get_args(hint)))
        return _tuples(items) if is_tuple else items
    return value


def _tuples(value: Any) -> Any:
    return tuple(map(_tuples, value)) if isinstance(value, list) else value


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
