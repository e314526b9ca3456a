"""Bundles: what was saved decides as it did, in any batch, and whatever was changed, cut or lost is refused."""

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from safetensors.numpy import load as load_tensors
from safetensors.numpy import save as save_tensors

import flashsim
from flashsim.envs.actions import ActionConfig
from flashsim.errors import InputError
from flashsim.evaluation.rollout import check_policy
from flashsim.policies.bundle import (
    BESIDE_FILE,
    CARD_FILE,
    WEIGHTS_FILE,
    NetworkPolicy,
    _seal,
    load_policy,
    save_policy,
)
from flashsim.reference import g0, g1
from flashsim.scenarios.compiled import CompiledSale
from tests.made_policies import random_network, random_observations
from tests.worlds import make_scenario, make_world

FLAT = ActionConfig(flat=True, per_product=False)


@cache
def the_sale() -> CompiledSale:
    return make_scenario(make_world(products=2)).compile()


@pytest.fixture
def policy() -> NetworkPolicy:
    return random_network(the_sale(), layers=(8, 8))


@pytest.fixture
def bundle(policy: NetworkPolicy, tmp_path: Path) -> Path:
    save_policy(policy, tmp_path / "bundle", probes=random_observations(the_sale(), 20))
    return tmp_path / "bundle"


def refusal(folder: Path) -> str:
    """The one sentence with which a bundle is refused."""
    with pytest.raises(InputError) as caught:
        load_policy(folder)
    sentence = str(caught.value)
    assert "\n" not in sentence
    assert ";" in sentence  # what was wrong; what to do
    return sentence


@pytest.mark.parametrize("action", [ActionConfig(), FLAT, ActionConfig(heads=("discount",))])
@pytest.mark.parametrize("activation", ["tanh", "relu"])
def test_what_is_loaded_is_what_was_saved(action: ActionConfig, activation: str, tmp_path: Path) -> None:
    policy = random_network(the_sale(), action=action, activation=activation)
    save_policy(policy, tmp_path / "bundle", probes=random_observations(the_sale(), 64))
    loaded = load_policy(tmp_path / "bundle")
    seen = random_observations(the_sale(), 500, seed=1)
    np.testing.assert_array_equal(loaded.act(seen), policy.act(seen))
    np.testing.assert_array_equal(loaded.outputs(seen), policy.outputs(seen))
    for name in ("name", "head_sizes", "observation", "activation", "training"):
        assert getattr(loaded, name) == getattr(policy, name)
    assert ActionConfig(**loaded.action) == ActionConfig(**policy.action)
    assert sorted(path.name for path in (tmp_path / "bundle").iterdir()) == [CARD_FILE, WEIGHTS_FILE]


def test_saving_again_replaces_the_bundle_and_writes_the_same_bytes(policy: NetworkPolicy, tmp_path: Path) -> None:
    probes = random_observations(the_sale(), 8)
    for _ in range(2):
        save_policy(policy, tmp_path / "one", probes=probes)
    save_policy(policy, tmp_path / "two", probes=probes)
    for name in (CARD_FILE, WEIGHTS_FILE):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["one", "two"]


@pytest.mark.parametrize("layers", [(64, 64), (7,), (3, 130)])
@pytest.mark.parametrize("activation", ["tanh", "relu"])
def test_scores_do_not_depend_on_the_batch_or_its_layout(layers: tuple[int, ...], activation: str) -> None:
    policy = random_network(the_sale(), layers=layers, activation=activation)
    seen = random_observations(the_sale(), 1_000)
    scores = policy.outputs(seen)
    for rows in (1, 2, 7, 64, 999):
        for first in (0, 1, 1_000 - rows):
            part = slice(first, first + rows)
            np.testing.assert_array_equal(policy.outputs(seen[part]), scores[part])
    layouts: list[NDArray[Any]] = [np.asfortranarray(seen), np.repeat(seen, 2, axis=1)[:, ::2], seen.astype(np.float64)]
    for layout in layouts:
        np.testing.assert_array_equal(policy.outputs(layout), scores)


def test_scores_are_those_of_the_network() -> None:
    """Against float64 matrix products."""
    policy = random_network(the_sale())
    seen = random_observations(the_sale(), 50)
    values = seen.astype(np.float64)
    for weight, bias in zip(policy.weights[:-1], policy.biases[:-1], strict=True):
        values = np.tanh(values @ weight.T.astype(np.float64) + bias)
    values = values @ policy.weights[-1].T.astype(np.float64) + policy.biases[-1]
    np.testing.assert_allclose(policy.outputs(seen), values, atol=1e-4)
    best = [values[:, first:last].argmax(axis=1) for first, last in _heads(policy)]
    assert (policy.act(seen) == np.stack(best, axis=1)).mean() > 0.99


def _heads(policy: NetworkPolicy) -> list[tuple[int, int]]:
    ends = np.cumsum(policy.head_sizes)
    return [(int(end - size), int(end)) for end, size in zip(ends, policy.head_sizes, strict=True)]


def test_a_changed_byte_of_the_card_is_refused(bundle: Path) -> None:
    """Also of white space, and where 1.5 is spelled 15e-1: nothing but what was written loads."""
    path = bundle / CARD_FILE
    whole = path.read_bytes()
    for place in [*range(0, len(whole), 3), *(place for place, byte in enumerate(whole) if byte in b"0123456789")]:
        change = (0x01, 0x20)[place % 2]
        path.write_bytes(whole[:place] + bytes([whole[place] ^ change]) + whole[place + 1 :])
        refusal(bundle)
    path.write_text(json.dumps(json.loads(whole), indent=8))
    assert "was changed" in refusal(bundle)


def test_a_changed_byte_of_a_file_beside_is_refused_and_its_absence_is_not(
    policy: NetworkPolicy, tmp_path: Path
) -> None:
    folder, content = tmp_path / "bundle", bytes(range(200))
    save_policy(policy, folder, probes=random_observations(the_sale(), 8), beside={"policy.onnx": content})
    load_policy(folder)
    for place in range(0, 200, 7):
        changed = bytearray(content)
        changed[place] ^= 0x10
        (folder / "policy.onnx").write_bytes(bytes(changed))
        assert "policy.onnx was changed" in refusal(folder)
    (folder / "policy.onnx").unlink()
    load_policy(folder)
    checksums = (folder / BESIDE_FILE).read_bytes()
    for place in range(len(checksums)):
        (folder / BESIDE_FILE).write_bytes(
            checksums[:place] + bytes([checksums[place] ^ 0x01]) + checksums[place + 1 :]
        )
        assert BESIDE_FILE in refusal(folder)


def test_a_changed_byte_of_the_weights_is_refused(bundle: Path) -> None:
    path = bundle / WEIGHTS_FILE
    whole = path.read_bytes()
    for place in sorted({*range(0, len(whole), 11), len(whole) - 1}):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0x01]) + whole[place + 1 :])
        assert "SHA-256" in refusal(bundle)


@pytest.mark.parametrize("file", [CARD_FILE, WEIGHTS_FILE])
def test_truncated_longer_and_missing_files_are_refused(bundle: Path, file: str) -> None:
    path = bundle / file
    whole = path.read_bytes()
    for size in (0, 1, 8, len(whole) // 2, len(whole) - 2):
        path.write_bytes(whole[:size])
        assert file in refusal(bundle)
    path.write_bytes(whole + b"x")
    assert file in refusal(bundle)
    path.unlink()
    assert "No such file" in refusal(bundle)
    path.mkdir()
    assert "Is a directory" in refusal(bundle)


def test_a_folder_that_is_no_bundle_is_refused(tmp_path: Path) -> None:
    assert "No such file" in refusal(tmp_path / "nowhere")
    (tmp_path / CARD_FILE).write_text("[]")
    assert "not the card of a policy bundle" in refusal(tmp_path)
    (tmp_path / CARD_FILE).write_text("{}")
    assert "not the card of a policy bundle" in refusal(tmp_path)
    (tmp_path / CARD_FILE).write_bytes(b"\xff\xfe\x00")
    assert "not valid JSON" in refusal(tmp_path)


def change_card(bundle: Path, change: Callable[[dict[str, Any]], Any], *, reseal: bool = False) -> None:
    card = json.loads((bundle / CARD_FILE).read_text())
    change(card)
    if reseal:
        card["seal"] = _seal({key: value for key, value in card.items() if key != "seal"})
    (bundle / CARD_FILE).write_text(json.dumps(card, indent=1, sort_keys=True, ensure_ascii=False) + "\n")


def change_tensors(bundle: Path, change: Callable[[dict[str, NDArray[Any]]], Any]) -> None:
    """Change weights or probes and make every checksum fit again."""
    tensors = {name: array.copy() for name, array in load_tensors((bundle / WEIGHTS_FILE).read_bytes()).items()}
    change(tensors)
    data = save_tensors(tensors)
    (bundle / WEIGHTS_FILE).write_bytes(data)
    change_card(bundle, lambda card: card.update(sha256=hashlib.sha256(data).hexdigest()), reseal=True)


def test_another_version_is_refused_with_both_numbers(bundle: Path) -> None:
    change_card(bundle, lambda card: [card.update(format_version=1), card.pop("rails"), card.pop("choices")])
    sentence = refusal(bundle)
    assert "format version 1" in sentence
    assert "reads 5" in sentence


@pytest.mark.parametrize(
    "change",
    [
        lambda card: card["training"].update(seed=99),
        lambda card: card["training"].update(seed=float("nan")),
        lambda card: card.update(seal=None),
        lambda card: card.update(name="another"),
    ],
)
def test_a_changed_card_is_refused(bundle: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    change_card(bundle, change)
    assert "was changed" in refusal(bundle)


@pytest.mark.parametrize(
    "change",
    [
        lambda card: card.pop("training"),
        lambda card: card.update(more=1),
        lambda card: card.update(layers=7),
        lambda card: card.update(layers=0),
        lambda card: card.update(layers=-1),
        lambda card: card.update(layers="3"),
        lambda card: card.update(layers=True),
        lambda card: card.update(action=[1]),
        lambda card: card.update(head_sizes=[1]),
        lambda card: card.update(head_sizes=["a"]),
        lambda card: card.update(head_sizes=None),
        lambda card: card.update(head_sizes=[]),
        lambda card: card.update(head_sizes=[-1, *card["head_sizes"], 1]),
        lambda card: card.update(observation=["time_left"]),
        lambda card: card.update(observation=3),
        lambda card: card.update(activation="sine"),
        lambda card: card.update(training="none"),
        lambda card: card.update(training=None),
        lambda card: card.update(sha256=5),
        lambda card: card.update(price_index=3),
        lambda card: card.update(rails=None),
        lambda card: card["rails"].update(columns="abcd"),
        lambda card: card["rails"]["columns"][0].update(values=None),
        lambda card: card["rails"]["columns"][2].update(spent=None),
        lambda card: card["rails"].update(more=1),
    ],
)
def test_a_card_that_describes_no_policy_is_refused(bundle: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    """Though its checksum fits: whoever wrote it made a mistake."""
    change_card(bundle, change, reseal=True)
    refusal(bundle)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda t: t["weight_0"].__setitem__((0, 0), np.nan), "finite"),
        (lambda t: t["bias_2"].__setitem__(0, np.inf), "finite"),
        (lambda t: t.pop("weight_1"), "weight_1"),
        (lambda t: t.pop("probe_actions"), "probe_actions"),
        (lambda t: t.update(weight_0=t["weight_0"][:, :-1].copy()), "layer 0"),
        (lambda t: t.update(weight_0=t["weight_0"].astype(np.float64)), "float32"),
        (lambda t: t.update(bias_0=np.zeros(8, np.int64)), "float32"),
        (lambda t: t["probe_actions"].__iadd__(1), "probes differ"),
        (lambda t: t.update(probe_actions=t["probe_actions"][:-1].copy()), "probes differ"),
        (lambda t: t.update(probe_observations=t["probe_observations"][:, 1:].copy()), "probe_observations"),
        (lambda t: t.update(probe_observations=t["probe_observations"][0].copy()), "probe_observations"),
        (lambda t: t.update(probe_observations=t["probe_observations"][:0], probe_actions=np.zeros((0, 4))), "probe"),
        (lambda t: t["weight_2"].__imul__(-1.0), "probes differ"),
    ],
)
def test_weights_and_probes_that_do_not_belong_together_are_refused(
    bundle: Path, change: Callable[[dict[str, NDArray[Any]]], Any], words: str
) -> None:
    change_tensors(bundle, change)
    assert words in refusal(bundle)


def test_a_policy_that_cannot_be_written_leaves_nothing(policy: NetworkPolicy, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot write"):
        save_policy(policy, tmp_path / "file" / "bundle", probes=random_observations(the_sale(), 2))
    with pytest.raises(ValueError, match="not JSON compliant"):
        save_policy(
            replace(policy, training={"x": float("nan")}), tmp_path / "b", probes=random_observations(the_sale(), 2)
        )
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_policy_of_another_sale_is_refused_with_what_differs() -> None:
    policy = random_network(the_sale())
    check_policy(the_sale(), policy)
    three = make_scenario(make_world(products=3)).compile()
    with pytest.raises(InputError, match=r"trained on \d+ features, the sale 'small_sale' has \d+ .*one more or less"):
        check_policy(three, policy)
    with pytest.raises(InputError, match=r"first difference: 'servers_in_4' for 'servers_in_5'"):
        check_policy(make_scenario(make_world(products=2), lookahead=(0, 4, 15)).compile(), policy)
    with pytest.raises(InputError, match="trained on"):
        check_policy(g1().compile(), policy)
    with pytest.raises(InputError, match=r"chose its capacity from \[-4, .*\], the sale 'small_sale' offers \[-3, "):
        check_policy(replace(the_sale(), server_changes=(-3, -1, 0, 1, 3)), policy)
    with pytest.raises(InputError, match=r"chose its discount from .*, the sale 'small_sale' offers"):
        check_policy(replace(the_sale(), depths=the_sale().depths * 0.5), policy)
    fewer = replace(the_sale(), server_changes=(-1, 0, 1))
    with pytest.raises(InputError, match=r"chooses among \(6, 6, 3, 5\), the sale 'small_sale' offers \(6, 6, 3, 3\)"):
        check_policy(fewer, policy)


def test_observations_that_are_none_are_refused() -> None:
    policy = random_network(the_sale())
    seen = random_observations(the_sale(), 3)
    width = seen.shape[1]
    with pytest.raises(
        InputError, match=rf"expected \(sale, {width}\), got \({width},\); of one sale give observation"
    ):
        policy.act(seen[0])
    with pytest.raises(InputError, match=rf"expected \(sale, {width}\), got \(3, {width - 1}\)$"):
        policy.act(seen[:, 1:])
    seen[1, 4] = np.nan
    with pytest.raises(InputError, match=f"got nan for '{policy.observation[4]}' of sale 1"):
        policy.act(seen)


def test_actions_that_this_version_does_not_know_are_refused() -> None:
    policy = random_network(the_sale())
    with pytest.raises(InputError, match=r"has an action of .*'curvature': 2.*knows heads, per_product"):
        check_policy(the_sale(), replace(policy, action=dict(policy.action) | {"curvature": 2}))
    with pytest.raises(InputError, match="unknown 'wheel'"):
        check_policy(the_sale(), replace(policy, action=dict(policy.action) | {"heads": ["wheel"]}))


def test_a_bundle_loads_without_torch_or_the_training_library(bundle: Path) -> None:
    code = (
        "import json, sys, numpy, flashsim\n"
        "policy = flashsim.load_policy(sys.argv[1])\n"
        "policy.act(numpy.zeros((3, len(policy.observation)), numpy.float32))\n"
        "print(json.dumps(sorted(sys.modules)))"
    )
    path = os.environ | {"PYTHONPATH": str(Path(__file__).resolve().parents[2])}
    done = subprocess.run(
        [sys.executable, "-c", code, bundle], capture_output=True, text=True, check=True, cwd="/", env=path
    )
    loaded = {name.partition(".")[0] for name in json.loads(done.stdout)}
    assert not loaded & {"torch", "stable_baselines3", "onnx", "agents", "experiments", "pickle5", "pandas"}


def test_load_policy_is_a_public_name() -> None:
    assert flashsim.load_policy is load_policy


def test_greedy_choices_of_a_reference_sale_are_menu_indices() -> None:
    sale = g0().compile()
    policy = random_network(sale)
    assert set(policy.act(random_observations(sale, 200)).ravel()) <= {0, 1}
