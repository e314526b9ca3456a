"""Agents that see less: their networks cannot tell what hidden columns hold, and train as if these were 0."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from agents.export import export, network_policy
from agents.learners import learner_of
from agents.ppo.tensor_ppo import TensorPPO
from agents.settings import AgentConfig
from agents.training import make_model, train
from flashsim.envs.features import feature_set, observation_table
from flashsim.envs.sb3 import FlashSaleVecEnv
from flashsim.errors import InputError
from flashsim.evaluation.limits.exact import exact_value
from flashsim.policies.bundle import load_policy
from flashsim.reference import g0
from flashsim.scenarios.compiled import CompiledSale
from tests.agents.tiny import CONFIGS, ppo, small_sale
from tests.made_policies import random_observations


def hidden_columns(sale: CompiledSale, chosen: str) -> NDArray[np.intp]:
    table = observation_table(sale)
    seen = set(feature_set(table, chosen))
    return np.array([column for column, feature in enumerate(table) if feature.name not in seen], np.intp)


@pytest.mark.parametrize("algorithm", CONFIGS)
def test_a_bundle_sees_the_columns_of_its_training_alone(algorithm: str, tmp_path: Path) -> None:
    sale = small_sale()
    config = replace(CONFIGS[algorithm], observation="basic", steps=1_200, evaluations=1)
    trained = train(sale, config, seed=0)
    export(trained.policy(), trained.model, tmp_path / "bundle", sale=sale, seed=0)
    policy = load_policy(tmp_path / "bundle")
    assert policy.training["config"]["observation"] == "basic"
    hidden = hidden_columns(sale, "basic")
    used = np.flatnonzero(np.abs(policy.weights[0]).sum(axis=0))
    np.testing.assert_array_equal(np.sort(np.concatenate([hidden, used])), np.arange(len(policy.observation)))
    observation, other = random_observations(sale, 500), random_observations(sale, 500, seed=1)
    changed = observation.copy()
    changed[:, hidden] = other[:, hidden]
    np.testing.assert_array_equal(policy.outputs(changed), policy.outputs(observation))
    if not policy.rails.can_act(policy.action):
        predicted, _ = trained.model.predict(changed, deterministic=True)
        assert (predicted == policy.act(observation)).mean() > 0.99  # ties aside


def test_training_is_the_same_as_on_observations_without_the_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    sale = small_sale()
    hidden = hidden_columns(sale, "raw")

    def learned(config: AgentConfig) -> dict[str, Any]:
        model = make_model(sale, config, seed=0, scale=10.0)
        model.learn(1_500)
        return {name: values.numpy().copy() for name, values in model.policy.state_dict().items()}

    blind = learned(ppo(observation="raw", head_start=0.0))

    def without(method: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any) -> Any:
            found = method(*arguments)
            (found[0] if isinstance(found, tuple) else found)[:, hidden] = 0.0
            return found

        return call

    for kind, name in ((FlashSaleVecEnv, "reset"), (TensorPPO, "_pass_tick")):
        monkeypatch.setattr(kind, name, without(getattr(kind, name)))
    masked = learned(ppo(head_start=0.0))
    for name, values in blind.items():
        if values.ndim == 2 and values.shape[1] == len(observation_table(sale)):
            assert not values[:, hidden].any()
            kept, expected = (np.delete(weights, hidden, axis=1) for weights in (values, masked[name]))
        else:
            kept, expected = values, masked[name]
        np.testing.assert_allclose(kept, expected, rtol=1e-4, atol=1e-6)


def test_a_head_start_shows_no_more_than_is_to_be_seen() -> None:
    sale = small_sale()
    hidden = hidden_columns(sale, "raw")
    weights = make_model(sale, ppo(observation="raw"), seed=0, scale=10.0).policy.state_dict()
    first = weights["mlp_extractor.policy_net.0.weight"].numpy()
    fresh = make_model(sale, ppo(observation="raw", head_start=0.0), seed=0, scale=10.0).policy.state_dict()
    assert not first[:, hidden].any()
    assert not np.allclose(first, fresh["mlp_extractor.policy_net.0.weight"].numpy())


def test_a_reference_sale_is_learned_from_raw_observations() -> None:
    reference = g0()
    sale = reference.compile()
    config = ppo(observation="raw")
    model = make_model(sale, config, seed=0, scale=1.0)
    policy = network_policy(
        learner_of(config).network(model), sale, name="raw", action={"heads": ("discount",)}, training={}
    )
    assert policy.observation == tuple(feature.name for feature in observation_table(sale))
    used = {policy.observation[column] for column in np.flatnonzero(np.abs(policy.weights[0]).sum(axis=0))}
    assert used == {"time_left", "servers_ordered", "product_0_stock", "product_0_available"}
    assert np.isfinite(exact_value(reference, policy))


def test_an_unknown_set_is_refused() -> None:
    with pytest.raises(InputError, match="observation: expected one of raw, basic, engineered, got 'cooked'"):
        ppo(observation="cooked")
