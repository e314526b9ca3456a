"""Groups of which several options are chosen, each by its name: a field that is a dict of settings.

    learners=[ppo,qrdqn]  learners.ppo.steps=9000
    'learners={ppo: {steps: 9000}, qrdqn: {}}'

Both lines say the same: which options there are, and what differs in them. Hydra knows the first form. It would merge
the second into the options that are chosen by default, and lets a repeated name pass; so before Hydra reads the
arguments, the second form is written as the first, and a repeated name is refused.
"""

import typing
from collections.abc import Iterator, Sequence

import yaml

from flashsim.errors import InputError


def groups_of_several(config_type: type) -> list[str]:
    """The fields of a config that hold several options by name."""
    return [name for name, hint in typing.get_type_hints(config_type).items() if typing.get_origin(hint) is dict]


def spelled_out(arguments: Sequence[str], groups: Sequence[str]) -> list[str]:
    """``arguments`` of a command line with groups in the first form; InputError for a name that is given twice."""
    return [one for argument in arguments for one in _spelled_out(argument, groups)]


def _spelled_out(argument: str, groups: Sequence[str]) -> Iterator[str]:
    group, _, text = argument.partition("=")
    added, _, name = group.removeprefix("+").partition(".")
    if group.startswith("+") and added in groups and name and "." not in name:
        raise InputError(f"{group}: name all that there shall be, as in {added}=[ppo,{name}]")
    node = _flow(text) if group in groups else None
    if not isinstance(node, yaml.MappingNode | yaml.SequenceNode):
        yield argument
        return
    is_mapping = isinstance(node, yaml.MappingNode)
    names = [str((item[0] if is_mapping else item).value) for item in node.value]
    for name in names:
        if names.count(name) > 1:
            raise InputError(f"{group}: two of them are called {name!r}; name each once")
    for name, item in zip(names, node.value, strict=True):  # first, so that a wrong key is found in its own settings
        if is_mapping and item[1].value:
            yield f"{group}.{name}={text[item[1].start_mark.index : item[1].end_mark.index]}"
    yield f"{group}=[{','.join(names)}]"


def _flow(text: str) -> yaml.Node | None:
    """A list or mapping in brackets as YAML reads it; None for what Hydra is to read or refuse itself."""
    if not text.startswith(("[", "{")):
        return None
    try:
        return yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.YAMLError:
        return None
