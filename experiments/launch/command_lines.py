"""Text as settings of a program: a line that is printed works when somebody pastes it into a shell, whatever folders
are called, and text that a file holds is never taken for a reference to another setting.
"""

import re
import shlex
from collections.abc import Mapping
from typing import Any

from hydra.core.override_parser.types import Quote, QuotedString

_PLAIN = re.compile(r"/?[A-Za-z][\w.-]*(/[\w.-]+)+", re.ASCII)
"""A path that neither a shell nor Hydra could take for anything else, such as a number or null."""


def command_line(module: str, **settings: str) -> str:
    """The line of a shell that starts the program ``module`` with settings that are text."""
    return shlex.join(["python", "-m", module, *(f"{key}={_value(text)}" for key, text in settings.items())])


def _value(text: str) -> str:
    """``text`` as Hydra reads it on a command line."""
    return text if _PLAIN.fullmatch(text) else QuotedString(literal(text), Quote.single).with_quotes()


def literal(tree: Any) -> Any:
    """A tree of plain values whose text OmegaConf leaves as it is: ``${`` refers to nothing."""
    if isinstance(tree, Mapping):
        return {name: literal(value) for name, value in tree.items()}
    if isinstance(tree, list):
        return [literal(value) for value in tree]
    if isinstance(tree, str):
        return re.sub(r"(\\*)\$\{", lambda found: f"{found[1] * 2}\\${{", tree)
    return tree
