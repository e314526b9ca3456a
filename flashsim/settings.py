"""Settings as people write them, read into frozen dataclasses by the type hints of their fields.

A tree of settings is what YAML and a command line hold: mappings, lists, numbers, text and null. It names what shall
differ and leaves out the rest, at any depth. :func:`typed` checks keys and types, :func:`combined` puts the tree over
the values of a dataclass, whose own checks then see all values at once, and :func:`plain` is the way back.
"""

import dataclasses
import datetime as dt
import difflib
import enum
import math
import numbers
import types
import typing
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from flashsim.errors import InputError
from flashsim.shown import brief, is_writable

Settings = Mapping[str, Any]
"""A tree of settings. A field that is a dataclass is a mapping with some of its fields."""
LARGEST_NUMBER = 10**15
"""Numbers beyond it are typing errors, and few computers tell two neighbours apart."""
LARGEST_SEED = 2**63 - 1
_LONGEST_NAME = 200
NO_SETTING = {"is_setting": False}
"""Metadata of a field that nobody sets by writing it."""


def typed(kind: type, settings: Any, *, key: str = "", known: Sequence[str] = ()) -> dict[str, Any]:
    """``settings`` of the dataclass ``kind`` with each value in its declared type: lists are tuples, numbers floats.

    Raises InputError for an unknown key, with the nearest of ``known`` (by default all that ``kind`` has), and for a
    value of another type. ``key`` is what people write before the keys, with a dot behind it.
    """
    if not isinstance(settings, Mapping):
        raise InputError(_ill_typed(key.rstrip("."), kind, settings))
    hints, known = hints_of(kind), known or keys(kind, key)
    out = {}
    for name, value in settings.items():
        if name not in hints:
            raise InputError(no_such_key(f"{key}{name}", f"{key}{name}={shown(value).strip(chr(39))}", known))
        out[name] = typed_value(hints[name], value, key=f"{key}{name}", known=known)
    return out


def combined(kind: type, settings: Settings, *, base: Settings, key: str = "") -> Any:
    """The dataclass ``kind`` with typed ``settings`` over the values ``base`` of its fields.

    Raises InputError, which names the part, for a value that the dataclass refuses or a field that has none.
    """
    values, hints = dict(base), hints_of(kind)
    for name, value in settings.items():
        part = group_type(hints[name])
        if part is not None and isinstance(value, Mapping):
            values[name] = combined(part, value, base=fields_of(base.get(name)), key=f"{key}{name}.")
        else:
            values[name] = value
    for field in dataclasses.fields(kind):
        if field.name not in values and field.default is field.default_factory is dataclasses.MISSING:
            raise InputError(f"{key}{field.name} is missing; give it: {words(hints[field.name])}")
    try:
        return kind(**values)
    except InputError as error:
        raise InputError(f"{key.rstrip('.')}: {error}" if key else str(error)) from error


def hints_of(kind: type) -> dict[str, Any]:
    """Field -> type of what can be set in the dataclass ``kind``: all but the fields with ``NO_SETTING``."""
    hints = typing.get_type_hints(kind)
    return {field.name: hints[field.name] for field in dataclasses.fields(kind) if field.metadata != NO_SETTING}


def fields_of(value: Any) -> dict[str, Any]:
    """Field -> value of a dataclass; of None nothing."""
    return {} if value is None else {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}


def overlaid(lower: Settings, upper: Settings) -> dict[str, Any]:
    """The tree ``lower`` with what ``upper`` names instead."""
    out = dict(lower)
    for name, value in upper.items():
        below = out.get(name)
        both = isinstance(value, Mapping) and isinstance(below, Mapping)
        out[name] = overlaid(below, value) if both and below is not None else value
    return out


def plain(value: Any) -> Any:
    """A value as YAML holds it: mappings, lists, numbers, text and null."""
    if dataclasses.is_dataclass(value):
        return {name: plain(getattr(value, name)) for name in hints_of(type(value))}
    if isinstance(value, Mapping):
        return {name: plain(item) for name, item in value.items()}
    if isinstance(value, tuple | list):
        return [plain(item) for item in value]
    if isinstance(value, numbers.Real) and not isinstance(value, bool | int | float):  # of numpy
        return int(value) if isinstance(value, numbers.Integral) else float(value)
    return value


def keys(kind: type, key: str = "") -> list[str]:
    """Every dotted key of the dataclass ``kind`` and of the dataclasses below it."""
    own = [f"{key}{name}" for name in hints_of(kind)]
    return own + [f"{part}.{name}" for part, below in parts(kind, key) for name in hints_of(below)]


def parts(kind: type, key: str = "") -> Iterator[tuple[str, type]]:
    """Dotted key and dataclass of every field of ``kind`` that is a dataclass, at any depth."""
    for name, hint in hints_of(kind).items():
        part = group_type(hint)
        if part is not None:
            yield f"{key}{name}", part
            yield from parts(part, f"{key}{name}.")


def group_type(hint: Any) -> type | None:
    """The dataclass that a field of this type holds, or may hold beside None; None for all other types."""
    return next((kind for kind in _choices(hint) if isinstance(kind, type) and dataclasses.is_dataclass(kind)), None)


def admits_null(hint: Any) -> bool:
    """Whether None is a value of this type."""
    return type(None) in _choices(hint)


def _choices(hint: Any) -> tuple[Any, ...]:
    return typing.get_args(hint) if typing.get_origin(hint) in (typing.Union, types.UnionType) else (hint,)


_UNFIT = object()


def typed_value(hint: Any, value: Any, *, key: str, known: Sequence[str] = ()) -> Any:
    """``value`` in the type ``hint``: the border that every setting passes.

    InputError, which names ``key``, for a value of another type, a number that is none or beyond ``LARGEST_NUMBER``,
    and text that cannot be written.
    """
    part = group_type(hint)
    if part is not None and isinstance(value, Mapping):
        return typed(part, value, key=f"{key}.", known=known)
    for choice in _choices(hint):
        found = _fitting(choice, value, key=key)
        if found is not _UNFIT:
            return found
    raise InputError(_ill_typed(key, hint, value))


def _fitting(hint: Any, value: Any, *, key: str) -> Any:
    """``value`` as ``hint``, or ``_UNFIT``; InputError for an item of a list that does not fit."""
    if typing.get_origin(hint) is tuple:
        return _tuple(typing.get_args(hint), value, key=key) if isinstance(value, list | tuple) else _UNFIT
    if hint is type(None):
        return value if value is None else _UNFIT
    is_number = isinstance(value, numbers.Real) and not isinstance(value, bool)
    if hint is int:
        return _bounded(value, key=key) if is_number and isinstance(value, numbers.Integral) else _UNFIT
    if hint is float:
        number = value if is_number else _written_number(value)
        return number if number is _UNFIT else float(_bounded(number, key=key))
    if hint is str and is_number and isinstance(value, numbers.Integral):
        return str(_bounded(value, key=key))  # an id of digits
    if hint is str and isinstance(value, dt.date):
        return value.isoformat()  # YAML reads 2026-12-31 as a day
    if isinstance(value, str) and not is_writable(value):
        raise InputError(f"{key} must be text that can be written, got {brief(value)}")
    return value if isinstance(value, hint) else _UNFIT


def _bounded(number: Any, *, key: str) -> Any:
    """The number, as Python counts; InputError for one that nothing here could count with."""
    if isinstance(number, numbers.Integral):
        most = LARGEST_SEED if key.rpartition(".")[2].startswith("seed") else LARGEST_NUMBER
        if abs(int(number)) <= most:
            return int(number)
    elif abs(number) <= LARGEST_NUMBER or abs(number) == math.inf:  # what may be without end says so itself
        return number
    raise InputError(f"{key} must be a number within {LARGEST_NUMBER:g}, got {brief(number)}")


def _written_number(value: Any) -> Any:
    """A number that YAML or a command line took for text: 1e3, .inf."""
    try:
        return float(value.replace(".inf", "inf").replace(".nan", "nan"))
    except (AttributeError, ValueError):
        return _UNFIT


def _tuple(items: tuple[Any, ...], values: Sequence[Any], *, key: str) -> Any:
    hints = [items[0]] * len(values) if items[-1] is Ellipsis else list(items)
    if len(hints) != len(values):
        return _UNFIT
    return tuple(
        _item(hint, value, key=f"{key}[{k}]") for k, (hint, value) in enumerate(zip(hints, values, strict=True))
    )


def _item(hint: Any, value: Any, *, key: str) -> Any:
    part = group_type(hint)
    if part is not None and isinstance(value, Mapping):  # whole, for there is nothing that it could differ from
        return combined(part, typed(part, value, key=f"{key}."), base={}, key=f"{key}.")
    return typed_value(hint, value, key=key, known=())


def no_such_key(key: str, given: str, known: Sequence[str]) -> str:
    """One sentence on a key that nobody knows, as it was ``given``, with the nearest of those that are ``known``."""
    near = nearest(key, known)
    group = key.rpartition(".")[0]
    beside = [name for name in known if name.rpartition(".")[0] == group]
    choices = beside or list(dict.fromkeys(name.partition(".")[0] for name in known))
    several = f"choose from {', '.join(choices)}" if known else f"{group or 'it'} has no settings"
    hint = f"did you mean {near}?" if near else several
    return f"there is no key {_cut(key)} (in {_cut(given)}); {hint}"


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST_NAME else f"{text[:_LONGEST_NAME]}…"


def nearest(word: str, choices: Iterable[str], *, cutoff: float = 0.6) -> str | None:
    """The choice most likely meant, judged as a whole and by what follows its last dot, and whether letters are large
    or small does not matter; None when none is near."""

    word = word[:_LONGEST_NAME].lower()  # the time to compare grows with the square

    def closeness(choice: str) -> float:
        choice = choice.lower()
        pairs = [(word, choice), (word.rpartition(".")[2], choice.rpartition(".")[2])]
        return sum(difflib.SequenceMatcher(None, *pair).ratio() for pair in pairs) / 2

    best = max(choices, key=closeness, default=None)
    return best if best is not None and closeness(best) >= cutoff else None


def names_hint(word: object, known: Iterable[str]) -> str:
    """What to say of a name that nobody knows: the nearest one, if one is near, and all there are."""
    names = list(known)
    near = nearest(str(word), names)
    return (f"did you mean {near!r}? Known: " if near else "known: ") + ", ".join(names)


def words(hint: Any) -> str:
    """What a type asks of a person who types a value."""
    simple = {float: "a number", int: "a whole number", bool: "true or false", str: "text", type(None): "null"}
    if hint in simple:
        return simple[hint]
    if len(_choices(hint)) > 1:
        return " or ".join(map(words, _choices(hint)))
    if typing.get_origin(hint) in (tuple, list):
        items = typing.get_args(hint)
        if items[-1] is Ellipsis or len(items) == 1:
            return f"a list, each item {words(items[0])}"
        return f"a list of {' and '.join(map(words, items))}"
    if isinstance(hint, type) and issubclass(hint, enum.Enum):
        return f"one of {', '.join(hint.__members__)}"
    if dataclasses.is_dataclass(hint):
        return f"a group of the keys {', '.join(field.name for field in dataclasses.fields(hint))}"
    return getattr(hint, "__name__", str(hint))


def _ill_typed(key: str, hint: Any, value: Any) -> str:
    return f"{key or 'the settings'} must be {words(hint)}, got {shown(value)}"


def shown(value: Any) -> str:
    """A setting as people write it, in YAML or on a command line, and as briefly as a sentence repeats it."""
    written = {None: "null", True: "true", False: "false"}
    return written[value] if value is None or isinstance(value, bool) else brief(value)
