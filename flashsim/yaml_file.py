"""YAML that people write, read as values: no code, no key twice, no reference to another place of the file.

A refusal names the line and never repeats what stands there, for the file may be another than was meant.
"""

from collections.abc import Hashable
from pathlib import Path
from typing import Any, Final

import yaml

from flashsim.errors import InputError
from flashsim.files import MIB, check_tree, read_bytes
from flashsim.shown import brief

MOST_YAML: Final = MIB
"""Bytes; people write less."""


def read_yaml(path: Path) -> Any:
    """The content of a YAML file; InputError, which does not name the file, when it cannot be used."""
    try:
        text = read_bytes(path, most=MOST_YAML).decode("utf-8")
    except InputError as error:
        raise InputError(str(error).replace(f"cannot read {path}", "cannot be read", 1)) from error
    except UnicodeDecodeError as error:
        raise InputError("is not text in UTF-8; save it as such") from error
    try:
        value = yaml.load(text, _Loader)
        check_tree(_plain(value))
    except yaml.MarkedYAMLError as error:
        line = 0 if error.problem_mark is None else error.problem_mark.line + 1
        raise InputError(f"is not YAML, line {line}: {_problem(error)}; mend it") from error
    except RecursionError as error:
        raise InputError("is nested too deeply; mend it") from error
    except (yaml.YAMLError, ValueError) as error:  # ValueError: a date that no calendar has, a number of many digits
        if isinstance(error, InputError):
            raise
        raise InputError(f"cannot be used: {' '.join(str(error).split())}; mend it") from error
    return value


class _Loader(yaml.SafeLoader):
    """Refuses a key that is given twice, of which YAML would take the last, and references, which can multiply."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.events.AliasEvent):
            line = self.peek_event().start_mark.line + 1
            raise InputError(f"refers to another place (*), line {line}; write the value itself")
        return super().compose_node(parent, index)

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Hashable, Any]:
        names = [key.value for key, _ in node.value if isinstance(key.value, str)]
        seen: set[str] = set()
        for name in names:
            if name in seen:
                raise InputError(
                    f"{brief(name)[1:-1]} is given twice, line {node.start_mark.line + 1} and below; keep one"
                )
            seen.add(name)
        return dict(super().construct_mapping(node, deep=deep))


def _plain(value: Any) -> Any:
    """The tree with keys as text, as :func:`flashsim.files.check_tree` walks it."""
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list | tuple | set) else value


def _problem(error: yaml.MarkedYAMLError) -> str:
    """What is wrong, without words of the file; PyYAML puts them into quotes, as it does with signs that it expects."""
    words = str(error.problem)
    return words if words.startswith("expected") else words.partition(" '")[0]
