"""Exports: numpy, ONNX and Stable-Baselines3 decide alike, and the zip can be trained on where `agents` is unknown."""

import io
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from numpy.typing import NDArray
from sb3_contrib import MaskablePPO
from stable_baselines3 import PPO
from stable_baselines3.common.base_class import BaseAlgorithm

from agents.export import ONNX_FILE, PROBES, ZIP_FILE, collect_probes, export, network_policy, onnx_bytes
from agents.learners import LEARNERS
from agents.settings import AgentConfig
from agents.training import Trained, train
from flashsim.envs.sb3 import make_sb3
from flashsim.errors import InputError
from flashsim.evaluation.rollout import check_policy, play
from flashsim.policies.bundle import BESIDE_FILE, CARD_FILE, WEIGHTS_FILE, NetworkPolicy, load_policy
from flashsim.reference import g0
from flashsim.rules import Operations
from flashsim.scenarios import SCENARIOS, scenario_named
from flashsim.world import shipped_world
from tests.agents.tiny import dqn, ppo, small_sale, train_small, trained
from tests.made_policies import random_network, random_observations

ALGORITHMS = {
    "ppo": "PPO",
    "tensor_ppo": "TensorPPO",
    "maskable_ppo": "MaskablePPO",
    "dqn": "MeanDQN",
    "qrdqn": "QRDQN",
}


def observations() -> NDArray[np.float32]:
    """Points of the whole space, and what sales really show."""
    seen = [random_observations(small_sale(), 10_000)]
    network = trained("ppo").policy()
    seen += [collect_probes(small_sale(), network, seed=seed) for seed in range(40)]
    return np.concatenate(seen)


def clear(policy: NetworkPolicy, seen: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Where the two best choices of every head are further apart than rounding."""
    parts = np.split(policy.outputs(seen), np.cumsum(policy.head_sizes)[:-1], axis=1)
    tops = [np.sort(part, axis=1)[:, -2:] for part in parts]
    return np.all([top[:, 1] - top[:, 0] > 1e-5 for top in tops], axis=0)


def chosen_by(model: BaseAlgorithm, policy: NetworkPolicy, seen: NDArray[np.float32]) -> NDArray[np.int64]:
    """What the model itself decides; a masked one receives what is feasible."""
    if not isinstance(model, MaskablePPO):
        return np.asarray(model.predict(seen, deterministic=True)[0])
    columns = {name: place for place, name in enumerate(policy.observation)}
    masks = policy.rails.feasible(lambda name: seen[:, columns[name]].astype(np.float64), len(seen))
    return np.asarray(model.predict(seen, deterministic=True, action_masks=masks)[0])


def shaken(result: Trained) -> Trained:
    """The same with noise on all weights: a network trained for seconds may choose one action everywhere."""
    noise = torch.Generator().manual_seed(0)
    memory = io.BytesIO()
    result.model.save(memory)
    model = type(result.model).load(memory, device="cpu")
    with torch.no_grad():
        for weights in model.policy.parameters():
            weights.add_(0.5 * torch.randn(weights.shape, generator=noise))
    return replace(result, model=model)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_the_exported_policy_decides_as_the_model_does(algorithm: str) -> None:
    """Ties aside, on ten thousand observations of the whole space and on those of sales."""
    result = shaken(trained(algorithm))
    policy = result.policy()
    seen = observations()
    assert len(seen) >= 10_000
    chosen = chosen_by(result.model, policy, seen)
    sure = clear(policy, seen)
    assert sure.mean() > 0.99
    np.testing.assert_array_equal(policy.act(seen)[sure], chosen[sure])
    assert len(np.unique(chosen, axis=0)) > 1


@pytest.mark.parametrize("algorithm", ["ppo", "dqn", "qrdqn"])
def test_onnx_gives_the_same_scores(algorithm: str) -> None:
    policy = trained(algorithm).policy()
    session = onnxruntime.InferenceSession(onnx_bytes(policy), providers=["CPUExecutionProvider"])
    for seen in (observations(), observations()[:1]):
        (scores,) = session.run(["scores"], {"observation": seen})
        np.testing.assert_allclose(scores, policy.outputs(seen), rtol=1e-5, atol=1e-5)


def test_a_masked_policy_decides_as_its_model_does_along_sales() -> None:
    """The model receives the masks of the sale, the policy its observations alone."""
    result = trained("maskable_ppo")
    assert isinstance(result.model, MaskablePPO)
    policy = result.policy()
    env = make_sb3(small_sale(), num_envs=64, seed=11, action=result.config.action(small_sale()))
    seen: NDArray[np.float32] = env.reset()
    for _ in range(small_sale().ticks // env.sales.codec.config.every):
        chosen, _ = result.model.predict(seen, deterministic=True, action_masks=env.action_masks())
        sure = clear(policy, seen)
        np.testing.assert_array_equal(policy.act(seen)[sure], chosen[sure])
        seen = np.asarray(env.step(chosen)[0])


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_an_exported_folder_holds_everything_and_loads(algorithm: str, tmp_path: Path) -> None:
    result = trained(algorithm)
    policy = result.policy()
    export(policy, result.model, tmp_path / "bundle", sale=small_sale(), seed=5)
    names = sorted(path.name for path in (tmp_path / "bundle").iterdir())
    assert names == sorted([BESIDE_FILE, CARD_FILE, WEIGHTS_FILE, ONNX_FILE, ZIP_FILE])
    loaded = load_policy(tmp_path / "bundle")
    np.testing.assert_array_equal(loaded.act(observations()), policy.act(observations()))
    card = json.loads((tmp_path / "bundle" / CARD_FILE).read_text())
    assert card["training"]["algorithm"] == ALGORITHMS[algorithm]
    assert card["rails"]["is_masked"] == (algorithm == "maskable_ppo")
    assert card["choices"]["discount"] == small_sale().depths.tolist()
    assert card["training"]["config"]["device"] == "cpu"
    assert [point["steps"] for point in card["training"]["curve"]] == [point.steps for point in result.curve]
    assert "agents" not in json.dumps(card)  # nothing on disk refers to the checkout


@pytest.mark.parametrize("name", SCENARIOS)
def test_a_policy_of_every_scenario_is_exported_loaded_and_played(name: str, tmp_path: Path) -> None:
    """Whatever their heads decide on, also without a cap of admission."""
    sale = scenario_named(name, shipped_world()).compile()
    operations = Operations(pushes=True, lots=True, early_waves=True)
    result = train(sale, ppo(steps=600), seed=0, operations=operations)
    export(result.policy(), result.model, tmp_path / "bundle", sale=sale, seed=5)
    policy = load_policy(tmp_path / "bundle")
    check_policy(sale, policy)
    assert policy.choices == result.policy().choices
    totals = play(sale, policy, sales=4, seed=0).totals
    np.testing.assert_array_equal(totals["profit"], play(sale, result.policy(), sales=4, seed=0).totals["profit"])


def test_the_zips_can_be_trained_on_in_a_process_without_agents(tmp_path: Path) -> None:
    seen = observations()[:300]
    np.save(tmp_path / "seen.npy", seen)
    for name in ALGORITHMS:
        result = trained(name)
        export(result.policy(), result.model, tmp_path / name, sale=small_sale(), seed=5)
    code = (
        "import sys, numpy\n"
        "sys.modules['agents'] = sys.modules['experiments'] = None\n"
        "from sb3_contrib import QRDQN, MaskablePPO\n"
        "from stable_baselines3 import DQN, PPO\n"
        "kinds = {'ppo': PPO, 'tensor_ppo': PPO, 'maskable_ppo': MaskablePPO, 'dqn': DQN, 'qrdqn': QRDQN}\n"
        "for name, algorithm in kinds.items():\n"
        f"    model = algorithm.load(f'{{name}}/{ZIP_FILE}', device='cpu')\n"
        "    model.lr_schedule(0.5)\n"
        "    chosen, _ = model.predict(numpy.load('seen.npy'), deterministic=True)\n"
        "    numpy.save(f'{name}.npy', chosen)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    for name in ALGORITHMS:
        expected, _ = trained(name).model.predict(seen, deterministic=True)
        np.testing.assert_array_equal(np.load(tmp_path / f"{name}.npy"), expected)


def test_a_loaded_zip_goes_on_training(tmp_path: Path) -> None:
    result = trained("ppo")
    result.model.save(tmp_path / ZIP_FILE)
    env = make_sb3(small_sale(), num_envs=4, action=result.config.action(small_sale()))
    model = PPO.load(tmp_path / ZIP_FILE, env=env, device="cpu", n_steps=4, batch_size=16)
    before = [parameter.detach().clone() for parameter in model.policy.parameters()]
    model.learn(16)
    after = list(model.policy.parameters())
    assert any(not torch.equal(one, other) for one, other in zip(before, after, strict=True))


def test_probes_are_what_the_policy_meets_from_start_to_end() -> None:
    policy = trained("dqn").policy()
    probes = collect_probes(small_sale(), policy, seed=3)
    place = policy.observation.index("time_left")
    assert probes.shape == (len(probes), len(policy.observation))
    assert probes[0, place] == 1.0
    assert probes[-1, place] < 0.3
    assert len(collect_probes(small_sale(), random_network(small_sale()), seed=3)) == PROBES


def test_probes_of_a_sale_of_few_ticks_are_fewer() -> None:
    sale = g0().compile()
    assert collect_probes(sale, random_network(sale), seed=0).shape[0] == 8  # four sales of two ticks


def test_a_network_of_other_layers_is_refused() -> None:
    env = make_sb3(small_sale(), num_envs=2)
    elu = PPO("MlpPolicy", env, n_steps=8, batch_size=16, device="cpu", policy_kwargs={"activation_fn": torch.nn.ELU})
    with pytest.raises(InputError, match="one kind of activation"):
        network_policy(LEARNERS["ppo"].record().network(elu), small_sale(), name="elu", action={}, training={})


def test_guard_rails_of_the_config_go_into_the_bundle(tmp_path: Path) -> None:
    """And hold in training: no sale saw a deeper discount or fewer servers than they allow."""
    result = train_small(ppo(steps=600, max_discount=0.2, min_servers=5, assisted=False), seed=0)
    export(result.policy(), result.model, tmp_path / "bundle", sale=small_sale(), seed=5)
    card = json.loads((tmp_path / "bundle" / CARD_FILE).read_text())
    discount, *_, capacity = card["rails"]["columns"]
    assert (discount["most"], capacity["least"]) == ("max_discount", "min_servers")
    assert discount["values"] == small_sale().depths[0].tolist()
    assert (card["action"]["max_discount"], card["action"]["min_servers"]) == (0.2, 5)
    policy = load_policy(tmp_path / "bundle")
    allowed = int((small_sale().depths[0] <= 0.2).sum())
    chosen = policy.act(observations())
    assert chosen[:, 0].max() < allowed < small_sale().price_levels
    profile = play(small_sale(), policy, sales=16, seed=0).profile
    assert profile["depth"].max() <= 0.2
    assert profile["servers_online"].min() >= 5.0


@pytest.mark.parametrize("config", [ppo(layers=(8,)), dqn(layers=(8, 4, 6))])
def test_networks_of_any_depth_are_exported(config: AgentConfig) -> None:
    result = train_small(replace(config, steps=300), seed=0)
    policy = result.policy()
    chosen, _ = result.model.predict(random_observations(small_sale(), 200), deterministic=True)
    seen = random_observations(small_sale(), 200)
    sure = clear(policy, seen)
    np.testing.assert_array_equal(policy.act(seen)[sure], chosen[sure])
