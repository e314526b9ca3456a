"""Policies: what turns observations into actions, and the bundle in which a trained one travels.

A bundle is a folder with ``policy.safetensors`` (weights and probes) and ``card.json`` (what it is, for which
observations and actions, how it was trained). Loading it runs no code and needs neither torch nor the training library:
the network is evaluated with numpy. At load the checksums are compared and the probes (observations with the actions
the trainer chose) are replayed, so a bundle that loads decides as it was exported. ``signature.json``, which may lie
beside, says who vouches for it (``flashsim.signatures``).

A bundle carries guard-rails: a deepest discount and a least number of servers that its choices keep to, whatever the
network prefers. :meth:`NetworkPolicy.decide` says where they changed a choice. (Where a choice is a step around the
run-out price, or a target of a scaler, the codec of the actions cuts what it orders.)
"""

import hashlib
import json
import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save as save_tensors

from flashsim.errors import InputError
from flashsim.files import (
    MOST_JSON,
    check_format,
    is_there,
    json_of,
    json_text,
    read_bytes,
    replace_folder,
    sha256,
    write_bytes,
    write_json,
)
from flashsim.policies.guardrails import Rails
from flashsim.policies.probes import MOST_PROBES, railed_cases
from flashsim.shown import brief, visible
from flashsim.signatures import ANYBODY, SIGNATURE_FILE, Kind, Trust, check_signature
from flashsim.tensor_files import read_tensors

FORMAT_VERSION: Final = 5
FORMAT_CHANGES: Final = "5 has its guard-rails in one place, and 4 calls the choices of each head choices"
"""What an older bundle says otherwise."""
_BLOCK: Final = 2**22  # numbers of the widest layer that are held at a time while probes are replayed
WEIGHTS_FILE: Final = "policy.safetensors"
CARD_FILE: Final = "card.json"
BESIDE_FILE: Final = "beside.json"  # checksums of the files that go along
_CARD_KEYS: Final = frozenset(
    (
        "format_version",
        "name",
        "action",
        "head_sizes",
        "observation",
        "activation",
        "layers",
        "rails",
        "choices",
        "training",
        "sha256",
        "seal",
    )
)
ACTIVATIONS: Final[dict[str, Callable[[NDArray[np.float32]], NDArray[np.float32]]]] = {
    "tanh": np.tanh,
    "relu": lambda x: np.maximum(x, np.float32(0.0)),
}


class Policy(Protocol):
    """Anything that plays a sale. It sees observations only, so it knows what an operator could know."""

    @property
    def name(self) -> str:
        """Display name."""
        ...

    @property
    def action(self) -> Mapping[str, Any]:
        """Arguments of the ``ActionConfig`` whose space its actions lie in."""
        ...

    def act(self, observation: NDArray[np.float32]) -> NDArray[np.int64]:
        """Actions (sale, head), or (sale,) if flat, for observations (sale, feature)."""
        ...


class Decision(NamedTuple):
    """What a policy chose, and where a guard-rail chose otherwise than the network."""

    actions: NDArray[np.int64]  # sale, head; (sale,) if flat
    guarded: NDArray[np.bool_]  # of the same shape: where a guard-rail changed the choice

    @property
    def is_guarded(self) -> NDArray[np.bool_]:
        """Sales (sale,) in which a guard-rail changed a choice."""
        by_choice = self.guarded.reshape(len(self.guarded), -1)
        return np.logical_or.reduce(by_choice, axis=1)


@dataclass(frozen=True, eq=False)
class NetworkPolicy:
    """A fully connected network whose largest output decides, head by head."""

    name: str
    action: Mapping[str, Any]
    """Arguments of the ``ActionConfig`` that it decides by; its guard-rails stand here, and only here."""
    head_sizes: tuple[int, ...]
    """Choices of each head; one number if the action is flat."""
    observation: tuple[str, ...]
    """Names of the features it was trained on, in order."""
    weights: tuple[NDArray[np.float32], ...]
    """Of each layer, (output, input)."""
    biases: tuple[NDArray[np.float32], ...]
    """Of each layer, (output,)."""
    activation: str
    """Between layers: tanh or relu."""
    training: Mapping[str, Any]
    """How it was made: algorithm, config, seeds, versions, curve, metrics; JSON. Nothing verifies it."""
    rails: Rails
    """What rules its choices out at the limits of ``action``; compared with those of the sale before it plays."""
    choices: Mapping[str, Any]
    """What the choices of each head stand for: ``ActionCodec.meanings``; compared likewise."""

    def __post_init__(self) -> None:
        _check_names(self.name, *self.observation)
        if self.activation not in ACTIVATIONS:
            raise InputError(f"activation: expected one of {', '.join(ACTIVATIONS)}, got {brief(self.activation)}")
        if not self.weights or not all(type(size) is int and size >= 1 for size in self.head_sizes):
            seen = f"{len(self.weights)} and {brief(self.head_sizes)}"
            raise InputError(f"expected layers and head_sizes of at least 1, got {seen}; export the policy again")
        width = len(self.observation)
        for layer, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            if weight.dtype != np.float32 or bias.dtype != np.float32:
                raise InputError(
                    f"layer {layer}: expected float32, got {weight.dtype} and {bias.dtype}; export the policy again"
                )
            if weight.ndim != 2 or weight.shape[1] != width or bias.shape != weight.shape[:1]:
                raise InputError(
                    f"layer {layer}: expected weights (outputs, {width}) and biases (outputs,), "
                    f"got {weight.shape} and {bias.shape}; export the policy again"
                )
            if not (np.isfinite(weight).all() and np.isfinite(bias).all()):
                raise InputError(
                    f"layer {layer}: expected finite weights, got NaN or infinity; export the policy again"
                )
            width = weight.shape[0]
        if width != sum(self.head_sizes):
            raise InputError(f"head_sizes: expected {width} outputs in all, got {sum(self.head_sizes)}; export again")
        is_flat = self.action.get("flat", False)
        if is_flat:
            self.rails.check_flat()
        sizes = (math.prod(self.rails.sizes),) if is_flat else self.rails.sizes
        if sizes != self.head_sizes:
            raise InputError(
                f"rails: expected heads of {_in_brief(self.head_sizes)} choices, got {_in_brief(sizes)}; export again"
            )
        self.rails.check_limits(self.action)
        unseen = sorted(self.rails.features - set(self.observation))
        if unseen:
            raise InputError(
                f"rails: need the feature {brief(unseen[0])}, which the policy does not see; export it again"
            )

    def outputs(self, observation: NDArray[np.float32]) -> NDArray[np.float32]:
        """Scores (sale, output) of every choice of every head.

        Each is summed in a fixed order (BLAS changes its order with the size of a batch, einsum with the layout in
        memory), so the same observation gets the same scores to the last bit in any batch.
        """
        values = np.ascontiguousarray(observation, np.float32)
        squash = ACTIVATIONS[self.activation]
        with np.errstate(over="ignore", invalid="ignore"):
            for weight, bias in zip(self.weights[:-1], self.biases[:-1], strict=True):
                values = squash(_affine(values, weight, bias))
            return _affine(values, self.weights[-1], self.biases[-1])

    def act(self, observation: NDArray[np.float32]) -> NDArray[np.int64]:
        """The best choice of each head that keeps to the guard-rails."""
        return self.decide(observation).actions

    def decide(self, observation: NDArray[np.float32]) -> Decision:
        """The best choice of each head that keeps to the guard-rails, and where those acted.

        InputError unless ``observation`` is (sale, feature) and finite.
        """
        seen = np.asarray(observation, np.float32)
        width = len(self.observation)
        if seen.ndim != 2 or seen.shape[1] != width:
            one = "; of one sale give observation[None]" if seen.shape == (width,) else ""
            raise InputError(f"observation: expected (sale, {width}), got {seen.shape}{one}")
        if not np.isfinite(seen).all():
            row, column = np.argwhere(~np.isfinite(seen))[0]
            raise InputError(
                f"observation: expected finite numbers, got {seen[row, column]} for {self.observation[column]!r} "
                f"of sale {row}; mend what observes it"
            )

        def shown(feature: str) -> NDArray[np.float64]:
            return seen[:, self.observation.index(feature)].astype(np.float64)

        scores, sales = self.outputs(seen), len(seen)
        preferred = self._best(scores, self.rails.feasible(shown, sales))
        if not self.rails.can_act(self.action):
            return Decision(preferred, np.zeros((sales, *preferred.shape[1:]), np.bool_))
        actions = self._best(scores, self.rails.allowed(self.action, shown, sales))
        return Decision(actions, actions != preferred)

    def _best(self, scores: NDArray[np.float32], allowed: NDArray[np.bool_]) -> NDArray[np.int64]:
        """The allowed choices of largest score, by head, or the combination if flat.

        Finite weights may overflow to scores that are infinite or NaN. Those become finite, for one of minus infinity
        would be no better than what is ruled out.
        """
        scores = np.nan_to_num(scores)
        ends = np.cumsum(self.rails.sizes)[:-1]
        if self.action.get("flat", False):
            combinations = np.unravel_index(np.arange(scores.shape[1]), self.rails.sizes)
            heads = np.split(allowed, ends, axis=1)
            together = np.ones(scores.shape, np.bool_)
            for head, choice in zip(heads, combinations, strict=True):
                together &= head[:, choice]
            return np.where(together, scores, -np.inf).argmax(axis=1)
        kept = np.split(np.where(allowed, scores, -np.inf), ends, axis=1)
        return np.stack([part.argmax(axis=1) for part in kept], axis=1)


def _check_names(*names: str) -> None:
    for name in names:
        if not isinstance(name, str) or not name or visible(name) != name:
            raise InputError(f"name: expected text in one line that can be seen, got {brief(name)}; export it again")


def _affine(values: NDArray[np.float32], weight: NDArray[np.float32], bias: NDArray[np.float32]) -> NDArray[np.float32]:
    product: NDArray[np.float32] = np.einsum("si,oi->so", values, weight)
    return product + bias


def save_policy(
    policy: NetworkPolicy, folder: Path, *, probes: NDArray[np.float32], beside: Mapping[str, bytes] | None = None
) -> None:
    """Write a bundle, whole or not at all; ``probes`` are observations whose actions are replayed at every load.

    Cases in which its guard-rails act are added to them (``flashsim.policies.probes``).
    ``beside`` are files by name that go along for other readers; loading needs none, and refuses those that changed.
    """
    others = dict(beside or {})
    probes = np.ascontiguousarray(probes, np.float32)
    if policy.rails.can_act(policy.action):
        cases = railed_cases(lambda seen: policy.decide(seen).guarded.reshape(len(seen), -1), probes)
        probes = np.concatenate([probes, cases])
    if len(probes) > MOST_PROBES:
        raise InputError(f"probes: expected at most {MOST_PROBES}, with those that are added, got {len(probes)}")
    tensors: dict[str, NDArray[Any]] = {f"weight_{i}": np.ascontiguousarray(w) for i, w in enumerate(policy.weights)}
    tensors |= {f"bias_{i}": np.ascontiguousarray(b) for i, b in enumerate(policy.biases)}
    tensors |= {"probe_observations": probes, "probe_actions": policy.act(probes)}
    data = save_tensors(tensors)
    card = {
        "format_version": FORMAT_VERSION,
        "name": policy.name,
        "action": dict(policy.action),
        "head_sizes": list(policy.head_sizes),
        "observation": list(policy.observation),
        "activation": policy.activation,
        "layers": len(policy.weights),
        "training": dict(policy.training),
        "rails": asdict(policy.rails),
        "choices": dict(policy.choices),
        "sha256": hashlib.sha256(data).hexdigest(),
    }
    with replace_folder(
        Path(folder), ours=(WEIGHTS_FILE, CARD_FILE, BESIDE_FILE, SIGNATURE_FILE, *others)
    ) as temporary:
        for name, content in {WEIGHTS_FILE: data, **others}.items():
            write_bytes(temporary / name, content)
        if others:
            files = {name: hashlib.sha256(content).hexdigest() for name, content in others.items()}
            write_json(temporary / BESIDE_FILE, {"files": files, "seal": _seal(files)})
        write_json(temporary / CARD_FILE, card | {"seal": _seal(card)})


def load_policy(folder: Path | str, *, trust: Trust = ANYBODY) -> NetworkPolicy:
    """Read a bundle; InputError when a file is missing, truncated, changed, of another version or decides otherwise,
    and when its signature is wrong or not of those that ``trust`` asks for.

    One byte that changed is enough, also of the files beside that are not read; those may be absent, unless they were
    signed.
    """
    folder = Path(folder)
    data = read_bytes(folder / CARD_FILE, most=MOST_JSON)
    check_signature(folder, SIGNED_AS, trust, read={CARD_FILE: data})
    card = _card_in(data, folder / CARD_FILE)
    _check_beside(folder)
    tensors = read_tensors(folder / WEIGHTS_FILE, sha256=card["sha256"], advice="restore it or export the policy again")
    try:
        policy = _policy_of(card, tensors)
        probes, expected = tensors["probe_observations"], tensors["probe_actions"]
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InputError(f"{folder} is not a complete policy bundle ({error}); export the policy again") from error
    if probes.ndim != 2 or probes.shape[0] == 0 or probes.shape[1] != len(policy.observation):
        expected_shape = f"(at least 1, {len(policy.observation)})"
        raise InputError(
            f"{folder} has probe_observations of shape {probes.shape}, expected {expected_shape}; export it again"
        )
    if len(probes) > MOST_PROBES:
        raise InputError(f"{folder} has {len(probes)} probes, expected at most {MOST_PROBES}; export it again")
    if not _decides(policy, probes, expected):
        raise InputError(f"{folder} does not decide as it was exported: its probes differ; export the policy again")
    return policy


def _decides(policy: NetworkPolicy, probes: NDArray[np.float32], expected: NDArray[Any]) -> bool:
    """Whether the policy answers every probe as expected; in blocks, so that memory is a few times that of the file."""
    if len(expected) != len(probes):
        return False
    rows = max(1, _BLOCK // max(len(bias) for bias in policy.biases))
    return all(
        np.array_equal(policy.act(probes[first : first + rows]), expected[first : first + rows])
        for first in range(0, len(probes), rows)
    )


def _in_brief(sizes: tuple[int, ...]) -> str:
    return str(sizes) if len(sizes) <= 8 else brief(sizes)


def _policy_of(card: Mapping[str, Any], tensors: Mapping[str, NDArray[Any]]) -> NetworkPolicy:
    return NetworkPolicy(
        name=str(card["name"]),
        action=dict(card["action"]),
        head_sizes=tuple(card["head_sizes"]),
        observation=tuple(card["observation"]),
        weights=tuple(tensors[f"weight_{i}"] for i in range(card["layers"])),
        biases=tuple(tensors[f"bias_{i}"] for i in range(card["layers"])),
        activation=str(card["activation"]),
        training=dict(card["training"]),
        rails=Rails(**card["rails"]),
        choices=dict(card["choices"]),
    )


def _card_in(data: bytes, path: Path) -> dict[str, Any]:
    card = json_of(data, path)
    if isinstance(card, dict) and "format_version" in card:  # before its keys, which may be others
        again = "train the policy again: python -m experiments.train"
        check_format(path, card["format_version"], known=FORMAT_VERSION, changes=FORMAT_CHANGES, make_anew=again)
    if not isinstance(card, dict) or set(card) != _CARD_KEYS:
        odd = sorted(_CARD_KEYS ^ set(card))[:1] if isinstance(card, dict) else [type(card).__name__]
        raise InputError(f"{path} is not the card of a policy bundle (see {odd[0]!r}); export the policy again")
    if not _is_as_written(data, card):
        raise InputError(f"{path} was changed after it was written; restore it or export the policy again")
    return card


def _check_beside(folder: Path) -> None:
    """InputError when one of the files beside changed. Their checksums are not in the card, for of two equal trainings
    the cards are equal, and the zips are not: they hold the moment of the start."""
    for name, digest in _beside(folder).items():
        other = folder / Path(name).name
        if is_there(other) and sha256(other) != digest:
            raise InputError(f"{other} was changed after it was written; restore it, remove it or export again")


def _beside(folder: Path) -> dict[str, str]:
    """SHA-256 of the files beside, by name; InputError when the record of them changed."""
    path = folder / BESIDE_FILE
    if not is_there(path):
        return {}
    data = read_bytes(path, most=MOST_JSON)
    record = json_of(data, path)
    is_whole = isinstance(record, dict) and set(record) == {"files", "seal"} and isinstance(record["files"], dict)
    if not is_whole or _seal(record["files"]) != record["seal"] or data != json_text(record).encode():
        raise InputError(f"{path} was changed after it was written; restore it, remove it or export again")
    return dict(record["files"])


def _own_files(folder: Path) -> set[str]:
    return {WEIGHTS_FILE, CARD_FILE, BESIDE_FILE, *_beside(folder)}


def _is_as_written(data: bytes, card: dict[str, Any]) -> bool:
    """Whether the content fits its seal, and ``data``, the file, is that content to the last byte."""
    content = {key: value for key, value in card.items() if key != "seal"}
    try:
        return _seal(content) == card["seal"] and data == json_text(card).encode()
    except ValueError:  # NaN, which no card is written with
        return False


def _seal(content: Mapping[str, Any]) -> str:
    """SHA-256 over the content of a card, or of the checksums of the files beside."""
    text = json.dumps(content, sort_keys=True, ensure_ascii=False, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


SIGNED_AS: Final = Kind("policy bundle", FORMAT_VERSION, _own_files)
