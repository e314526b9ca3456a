"""Rollouts on disk: one safetensors file a policy, so that a report can be written again without playing again."""

import json
from collections.abc import Sequence
from pathlib import Path

from safetensors.numpy import save as save_tensors

from flashsim.errors import InputError
from flashsim.evaluation.rollout import Rollout
from flashsim.files import UNSTATED_FORMAT, check_format, json_in, replace_folder, write_bytes
from flashsim.tensor_files import read_tensor_file

FORMAT_VERSION = 2
FORMAT_CHANGES = "2 added units refused, net lost sales, visits dismissed at the close, and limits of the sale"
EVALUATE_AGAIN = "evaluate again: python -m experiments.evaluate, or experiments.run"
"""How an evaluation is made anew."""
_GROUPS = ("totals", "products", "profile", "losses", "course")
"""The last two, and when products sold out, are empty in what was played before they were kept."""


def save_rollouts(rollouts: Sequence[Rollout], folder: Path) -> None:
    """Write ``rollouts`` to ``folder``, in order; the folder is replaced as a whole."""
    with replace_folder(folder, ours=("*.safetensors",)) as temporary:
        for place, rollout in enumerate(rollouts):
            arrays = {"seeds": rollout.seeds, "members": rollout.members}
            for group in _GROUPS:
                arrays |= {f"{group}/{name}": array for name, array in getattr(rollout, group).items()}
            facts = {"format_version": FORMAT_VERSION, "policy": rollout.policy, "steps": rollout.steps}
            data = save_tensors(arrays, metadata={"rollout": json.dumps(facts)})
            write_bytes(temporary / f"{place:04d}.safetensors", data)


def load_rollouts(folder: Path) -> list[Rollout]:
    """Read what :func:`save_rollouts` wrote.

    InputError when nothing is there, or a file is damaged or of another version.
    """
    paths = sorted(folder.glob("*.safetensors"))
    if not paths:
        raise InputError(f"{folder} holds no rollouts; give the folder of a finished evaluation")
    return [_load(path) for path in paths]


def _load(path: Path) -> Rollout:
    arrays, metadata = read_tensor_file(path, what="a complete rollout", advice="evaluate again")
    try:
        facts = dict(json_in(metadata["rollout"]))
    except (KeyError, TypeError, ValueError) as error:
        raise _incomplete(path, error) from error
    check_format(
        path,
        facts.get("format_version", UNSTATED_FORMAT),
        known=FORMAT_VERSION,
        changes=FORMAT_CHANGES,
        make_anew=EVALUATE_AGAIN,
    )
    groups = {
        group: {name.removeprefix(f"{group}/"): a for name, a in arrays.items() if name.startswith(f"{group}/")}
        for group in _GROUPS
    }
    try:
        return Rollout(facts["policy"], arrays["seeds"], arrays["members"], **groups, steps=int(facts["steps"]))
    except (KeyError, TypeError, ValueError) as error:
        raise _incomplete(path, error) from error


def _incomplete(path: Path, error: Exception) -> InputError:
    return InputError(f"{path} is not a complete rollout ({error}); evaluate again")
