"""What a bundle says of itself is what it does, or it is refused, also where somebody changed it and sealed it anew."""

import hashlib
import json
import random
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from safetensors.numpy import load as load_tensors
from safetensors.numpy import save as save_tensors

from flashsim.envs.actions import ActionCodec, ActionConfig
from flashsim.errors import InputError
from flashsim.evaluation.rollout import action_config, check_policy, play
from flashsim.files import json_text
from flashsim.policies.bundle import (
    CARD_FILE,
    WEIGHTS_FILE,
    NetworkPolicy,
    _policy_of,
    _seal,
    load_policy,
    save_policy,
)
from flashsim.scenarios.compiled import CompiledSale
from flashsim.sim.servers import ServerParams
from tests.made_policies import random_network, random_observations
from tests.worlds import make_scenario, make_world

KINDS = {
    "free": ActionConfig(),
    "on rails": ActionConfig(max_discount=0.3, min_servers=5),
    "one for all, flat": ActionConfig(flat=True, per_product=False, max_discount=0.3, min_servers=5),
    "around": ActionConfig(around_run_out=2, max_discount=0.3, min_servers=5),
    "targets": ActionConfig(around_run_out=2, scaler_targets=(0.5, 0.9), max_discount=0.3, min_servers=5),
}

VALUES: list[Any] = [0, 0.05, 0.1, 0.3, 1, 1.0, 2, 5, 6, 12, -1, "", "time_left", None, [], {}, True, False]


@cache
def the_sale() -> CompiledSale:
    return make_scenario(
        make_world(products=2), servers=ServerParams(start_servers=6, max_servers=12), admission_caps=(1.0, 0.8)
    ).compile()


@cache
def met() -> NDArray[np.float32]:
    """Observations that are drawn at random."""
    return random_observations(the_sale(), 500, seed=9)


def exported(folder: Path, kind: str, *, is_masked: bool = False) -> NetworkPolicy:
    policy = random_network(the_sale(), action=KINDS[kind], is_masked=is_masked)
    save_policy(policy, folder, probes=random_observations(the_sale(), 16))
    return policy


def resealed(folder: Path, change: Callable[[dict[str, Any]], object], *, replayed: bool) -> None:
    """Change the card and make its checksums fit again; ``replayed``: the actions of the probes, too."""
    card = json.loads((folder / CARD_FILE).read_text())
    change(card)
    card.pop("seal", None)
    if replayed:
        tensors = load_tensors((folder / WEIGHTS_FILE).read_bytes())
        with suppress(KeyError, TypeError, ValueError, AttributeError):
            probes = tensors["probe_observations"]
            tensors["probe_actions"] = _policy_of(card, tensors).act(probes)
        data = save_tensors(tensors)
        (folder / WEIGHTS_FILE).write_bytes(data)
        card["sha256"] = hashlib.sha256(data).hexdigest()
    (folder / CARD_FILE).write_text(json_text(card | {"seal": _seal(card)}))


def assert_claims_are_kept(policy: NetworkPolicy) -> None:
    """By what it chooses, and by what is ordered in its name."""
    action = action_config(policy)
    codec = ActionCodec(the_sale(), action)
    chosen = policy.act(met())
    orders = codec.decode(codec.check(chosen, len(met())), met())
    prices = orders.price_index[..., None]
    if action.flat:
        chosen = np.stack(np.unravel_index(chosen, codec.sizes), axis=1)
    if not action.around_run_out and "discount" in codec.meanings():  # the menu that a choice names
        columns = the_sale().products if action.per_product else 1
        prices = np.concatenate([prices, np.broadcast_to(chosen[:, :columns], orders.price_index.shape)[..., None]], 2)
    depth = np.take_along_axis(the_sale().depths[None], prices, axis=2)
    assert depth.max() <= action.max_discount + 1e-9
    if action.min_servers == 0:
        return  # nothing is claimed
    had = np.rint(met()[:, codec.dashboard.columns["servers_ordered"]] * 12).astype(np.int64)
    asked = np.minimum(action.min_servers, had + max(the_sale().server_changes))
    assert (had + orders.change >= asked).all()
    if not action.scaler_targets and "capacity" in codec.meanings():  # the step that was chosen, before the codec's cut
        heads = list(codec.meanings())  # only the first has several columns
        steps = np.array(the_sale().server_changes)[chosen[:, heads.index("capacity") - len(heads)]]
        assert (had + steps >= asked).all()


@pytest.mark.parametrize("kind", ["free", "on rails", "one for all, flat"])
def test_a_bundle_that_claims_a_smaller_discount_is_refused_or_keeps_to_it(tmp_path: Path, kind: str) -> None:
    def claim(card: dict[str, Any]) -> None:
        card["action"]["max_discount"] = 0.05

    exported(tmp_path / "bundle", kind)
    resealed(tmp_path / "bundle", claim, replayed=False)
    with pytest.raises(InputError, match="its probes differ"):
        load_policy(tmp_path / "bundle")
    resealed(tmp_path / "bundle", claim, replayed=True)
    policy = load_policy(tmp_path / "bundle")
    check_policy(the_sale(), policy)
    assert_claims_are_kept(policy)
    assert policy.decide(met()).is_guarded.any()
    assert play(the_sale(), policy, sales=8, seed=0).profile["depth"].max() == 0.0


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("replayed", [False, True])
def test_whatever_is_changed_is_refused_or_kept(tmp_path: Path, kind: str, replayed: bool) -> None:
    """Leaves of the card, of all but how it was made."""
    chance = random.Random(kind)
    exported(tmp_path / "bundle", kind, is_masked=kind == "free")
    whole = {path.name: path.read_bytes() for path in (tmp_path / "bundle").iterdir()}
    leaves = [leaf for leaf in _leaves(json.loads(whole[CARD_FILE])) if leaf[0] not in ("training", "seal", "sha256")]
    loaded = 0
    for leaf in chance.sample(leaves, 50):
        for name, content in whole.items():
            (tmp_path / "bundle" / name).write_bytes(content)
        resealed(tmp_path / "bundle", partial(_set, leaf=leaf, value=chance.choice(VALUES)), replayed=replayed)
        try:
            policy = load_policy(tmp_path / "bundle")
            check_policy(the_sale(), policy)
        except InputError:
            continue
        loaded += 1
        assert_claims_are_kept(policy)
    assert 0 < loaded < 50


def _leaves(node: Any) -> list[tuple[Any, ...]]:
    keys = list(node) if isinstance(node, dict) else range(len(node)) if isinstance(node, list) else []
    return [(key, *rest) for key in keys for rest in _leaves(node[key])] or [()]


def _set(node: Any, leaf: tuple[Any, ...], value: object) -> None:
    for key in leaf[:-1]:
        node = node[key]
    node[leaf[-1]] = value


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("size", [3e38, -3e38])
def test_scores_that_overflow_keep_to_the_rails_and_are_counted(tmp_path: Path, kind: str, size: float) -> None:
    """All of a column are infinite or none is a number, though every weight is finite."""
    calm = random_network(the_sale(), action=KINDS[kind], layers=(4,), activation="relu")
    wild = replace(
        calm,
        weights=(calm.weights[0], np.full_like(calm.weights[1], size)),
        biases=(np.full_like(calm.biases[0], 20.0), np.full_like(calm.biases[1], size)),
    )
    save_policy(wild, tmp_path / "bundle", probes=met()[:16])
    policy = load_policy(tmp_path / "bundle")
    assert np.isinf(policy.outputs(met())).all()
    assert_claims_are_kept(policy)
    decision = policy.decide(met())
    if policy.rails.can_act(policy.action):
        free = replace(policy, action=dict(policy.action) | {"max_discount": 1.0, "min_servers": 0})
        np.testing.assert_array_equal(decision.guarded, decision.actions != free.decide(met()).actions)
        assert decision.is_guarded.any()


def test_probes_of_any_size_are_replayed_without_a_warning(tmp_path: Path) -> None:
    policy = random_network(the_sale(), action=KINDS["on rails"], is_masked=True)
    probes = np.concatenate([np.full((1, met().shape[1]), size, np.float32) for size in (3e38, -3e38, 0.0)])
    save_policy(policy, tmp_path / "bundle", probes=probes)
    assert len(load_policy(tmp_path / "bundle").act(probes)) == 3


def test_probes_hold_cases_of_each_guard_rail(tmp_path: Path) -> None:
    """Though none of the observations that were met broke it, and they are replayed at the load."""
    policy = random_network(the_sale(), action=KINDS["on rails"])
    kept = met()[~policy.decide(met()).is_guarded][:4]
    save_policy(policy, tmp_path / "bundle", probes=kept)
    tensors = load_tensors((tmp_path / "bundle" / WEIGHTS_FILE).read_bytes())
    guarded = policy.decide(tensors["probe_observations"]).guarded
    assert not guarded[:4].any()
    assert guarded.sum(axis=0)[[0, 1, 3]].min() >= 16  # both discounts and the servers

    def lose(card: dict[str, Any]) -> None:
        card["action"] |= {"max_discount": 1.0, "min_servers": 0}

    resealed(tmp_path / "bundle", lose, replayed=False)
    with pytest.raises(InputError, match="its probes differ"):
        load_policy(tmp_path / "bundle")


def test_a_network_that_keeps_to_its_rails_by_itself_is_saved_without_cases(tmp_path: Path) -> None:
    """It prefers no discount and four servers more, whatever it sees."""
    policy = random_network(the_sale(), action=KINDS["on rails"])
    heads = [np.zeros(size, np.float32) for size in policy.head_sizes]
    for head, choice in zip(heads, (0, 0, 0, len(the_sale().server_changes) - 1, 0), strict=True):
        head[choice] = 1.0
    calm = replace(
        policy, weights=tuple(0 * w for w in policy.weights), biases=(*policy.biases[:-1], np.concatenate(heads))
    )
    assert not calm.decide(met()).is_guarded.any()
    save_policy(calm, tmp_path / "bundle", probes=met()[:4])
    tensors = load_tensors((tmp_path / "bundle" / WEIGHTS_FILE).read_bytes())
    np.testing.assert_array_equal(tensors["probe_observations"], met()[:4])
    assert len(load_policy(tmp_path / "bundle").act(met())) == len(met())


def test_a_masked_policy_whose_rail_and_mask_leave_nothing_keeps_to_its_rail() -> None:
    """At 11 of 12 servers, all of which are asked for, no step fits: the step is up, not down."""
    policy = random_network(the_sale(), action=ActionConfig(min_servers=12), is_masked=True)
    seen = met().copy()
    seen[:, policy.observation.index("servers_ordered")] = 11 / 12
    changes = np.array(the_sale().server_changes)[policy.act(seen)[:, -2]]
    assert changes.min() > 0


def test_a_bundle_that_hides_what_its_choices_are_is_refused() -> None:
    policy = random_network(the_sale())
    for head in policy.choices:
        rest = {name: meaning for name, meaning in policy.choices.items() if name != head}
        with pytest.raises(InputError, match=f"chose its {head} from None"):
            check_policy(the_sale(), replace(policy, choices=rest))
