"""PPO on the device: its parent's arithmetic, one copy each way a step, no reads in the update, a plain checkpoint."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from stable_baselines3 import PPO
from stable_baselines3.common.buffers import RolloutBuffer
from stable_baselines3.common.logger import KVWriter, Logger
from stable_baselines3.common.vec_env import DummyVecEnv
from torch.distributions import Distribution

from agents.ppo.tensor_ppo import MEASURED, TensorPPO
from agents.ppo.tensor_rollout import TensorRollout
from agents.start.reward_scale import Spread
from flashsim.envs.actions import ActionConfig
from flashsim.envs.sb3 import FlashSaleVecEnv, make_sb3
from flashsim.envs.single import FlashSaleEnv
from flashsim.envs.vector import SaleBatch
from flashsim.errors import InputError
from flashsim.sim.state import Decisions
from tests.agents.refused_traffic import CountedCopies, RefusedTraffic, TrafficError
from tests.agents.tiny import dqn, ppo, small_sale, tensor_ppo, train_small

STEPS = 12  # no divisor of the 20 ticks of the small plan, so that rollouts begin and end within sales
SALES = 16


def make(algorithm: type[PPO], *, flat: bool = False, device: str = "cpu", sales: int = SALES, **changes: Any) -> PPO:
    """A learner on the small plan; its logger writes nowhere."""
    Distribution.set_default_validate_args(False)
    env = make_sb3(
        small_sale(), num_envs=sales, seed=5, action=ActionConfig(per_product=False, flat=flat), reward_scale=30.0
    )
    settings: dict[str, Any] = {"n_steps": STEPS, "batch_size": 48, "n_epochs": 3, "ent_coef": 0.01, "gamma": 0.97}
    settings |= {"policy_kwargs": {"net_arch": {"pi": [16, 16], "vf": [16, 16]}}, "seed": 3, "device": device}
    model = algorithm("MlpPolicy", env, **(settings | changes))
    model.set_logger(Logger(None, []))
    return model


class Kept(KVWriter):
    """Keeps what is logged."""

    def __init__(self) -> None:
        self.rows: list[dict[str, Any]] = []

    def write(self, key_values: dict[str, Any], key_excluded: Any, step: int = 0) -> None:
        self.rows.append(dict(key_values))

    def close(self) -> None:
        """Nothing is open."""


def learned(algorithm: type[PPO], *, iterations: int = 1, flat: bool = False, log: Kept | None = None) -> PPO:
    """A learner after some rollouts and updates. Made anew each time: making one seeds what all draw from."""
    model = make(algorithm, flat=flat)
    model.set_logger(Logger(None, [] if log is None else [log]))
    return model.learn(iterations * STEPS * SALES)


@pytest.mark.parametrize("flat", [False, True], ids=["heads", "flat"])
def test_updates_are_those_of_its_parent(flat: bool) -> None:
    """Equal seeds give equal rollouts and minibatches; three iterations of three epochs differ by rounding alone."""
    logs = [Kept(), Kept()]
    before = [parameter.detach().clone() for parameter in make(TensorPPO, flat=flat).policy.parameters()]
    ours, theirs = (
        learned(algorithm, iterations=3, flat=flat, log=log)
        for algorithm, log in zip((TensorPPO, PPO), logs, strict=True)
    )
    for mine, other, start in zip(ours.policy.parameters(), theirs.policy.parameters(), before, strict=True):
        assert not torch.equal(mine, start)
        torch.testing.assert_close(mine, other, rtol=1e-3, atol=1e-4)
    for row, expected in zip(logs[0].rows[1:], logs[1].rows[1:], strict=True):  # the first knows of no update yet
        for name in MEASURED:
            assert row[f"train/{name}"] == pytest.approx(expected[f"train/{name}"], rel=1e-2, abs=1e-4), name
        assert row["rollout/ep_len_mean"] == expected["rollout/ep_len_mean"] == 20.0
        assert row["train/n_updates"] == expected["train/n_updates"]


def test_one_update_from_one_rollout_gives_the_same_parameters() -> None:
    ours, theirs = learned(TensorPPO), learned(PPO)
    for mine, other in zip(ours.policy.parameters(), theirs.policy.parameters(), strict=True):
        torch.testing.assert_close(mine, other, rtol=1e-4, atol=1e-6)


def test_advantages_are_those_of_the_stock_buffer_to_the_last_bit() -> None:
    model = make(PPO)
    stock = RolloutBuffer(
        STEPS, model.observation_space, model.action_space, "cpu", gae_lambda=0.9, gamma=0.97, n_envs=SALES
    )
    assert model.observation_space.shape is not None
    (features,) = model.observation_space.shape
    rollout = TensorRollout(STEPS, SALES, features=features, action_shape=(3,), device=torch.device("cpu"))
    rng = np.random.default_rng(0)
    seen = np.zeros((SALES, features), np.float32)
    closed = np.ones(SALES, np.bool_)
    rollout.receive(0, seen, reward=np.zeros(SALES, np.float32), closed=closed)
    for step in range(STEPS):
        values, log_probs = torch.from_numpy(rng.normal(size=(2, SALES)).astype(np.float32))
        actions = torch.from_numpy(rng.integers(3, size=(SALES, 3)))
        rewards = rng.normal(size=SALES).astype(np.float32)
        stock.add(seen, actions.numpy(), rewards, closed, values, log_probs)
        rollout.decide(step, actions, values=values[:, None], log_probs=log_probs)
        closed = rng.random(SALES) < 0.2
        rollout.receive(step + 1, seen, reward=rewards, closed=closed)
    last = torch.from_numpy(rng.normal(size=(SALES, 1)).astype(np.float32))
    stock.compute_returns_and_advantage(last, closed)
    advantages = rollout.advantages(last, gamma=0.97, gae_lambda=0.9)
    np.testing.assert_array_equal(advantages.numpy(), stock.advantages)
    samples = rollout.samples(advantages)
    np.testing.assert_array_equal(samples.returns.numpy(), stock.swap_and_flatten(stock.returns)[:, 0])


def test_the_update_reads_nothing_from_the_device() -> None:
    """Its parent's update does, so the refusal is no empty one."""
    model = learned(TensorPPO)
    before = [parameter.detach().clone() for parameter in model.policy.parameters()]
    with RefusedTraffic():
        model.train()
    after = model.policy.parameters()
    assert any(not torch.equal(one, other) for one, other in zip(before, after, strict=True))
    parent = learned(PPO)
    with RefusedTraffic(), pytest.raises(TrafficError, match="_local_scalar_dense"):
        parent.train()


@pytest.mark.parametrize("flat", [False, True], ids=["heads", "flat"])
def test_the_update_runs_where_tensors_have_no_values(flat: bool) -> None:
    model = make(TensorPPO, flat=flat, device="meta")
    with RefusedTraffic():
        model.train()
    assert isinstance(model, TensorPPO)
    assert {tensor.device.type for tensor in (*model.policy.parameters(), model.measured) if tensor is not None} == {
        "meta"
    }
    assert model.policy.optimizer.updates == 3 * STEPS * SALES // 48  # type: ignore[attr-defined]


def test_a_vector_step_copies_once_out_and_once_in() -> None:
    model = make(TensorPPO)
    assert isinstance(model, TensorPPO)
    rollout = model.rollout
    ours = {rollout._incoming.data_ptr(), rollout._outgoing.data_ptr()}
    traffic = CountedCopies(lambda target, source: bool({target.data_ptr(), source.data_ptr()} & ours))
    with traffic:
        model.learn(STEPS * SALES)
    assert traffic.count == 2 * STEPS + 1  # and what the sales showed at their start


def test_more_sales_cost_no_more_python() -> None:
    calls = {}
    for sales in (16, 64):
        model = make(TensorPPO, sales=sales, batch_size=STEPS * sales)
        model.learn(STEPS * sales)  # whatever happens only once
        count = 0

        def count_call(_frame: object, event: str, _argument: object) -> None:
            nonlocal count
            count += event in ("call", "c_call")

        sys.setprofile(count_call)
        model.learn(3 * STEPS * sales, reset_num_timesteps=False)
        sys.setprofile(None)
        calls[sales] = count
    assert calls[64] == pytest.approx(calls[16], rel=0.02)


def test_a_process_without_our_code_loads_the_checkpoint(tmp_path: Path) -> None:
    model = train_small(tensor_ppo(steps=600), seed=0).model
    model.save(tmp_path / "model.zip")
    env = model.get_env()
    assert isinstance(env, FlashSaleVecEnv)
    np.save(tmp_path / "seen.npy", env.reset())
    code = (
        "import sys\n"
        "import numpy\n"
        "from stable_baselines3 import PPO\n"
        "model = PPO.load('model.zip', device='cpu')\n"
        "assert not {name.partition('.')[0] for name in sys.modules} & {'agents', 'flashsim', 'experiments'}\n"
        "chosen, _ = model.predict(numpy.load('seen.npy'), deterministic=True)\n"
        "numpy.save('chosen.npy', chosen)\n"
        "print(type(model.policy.optimizer).__name__, int(model.policy.optimizer.state_dict()['state'][0]['step']))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    updates = model.policy.optimizer.updates  # type: ignore[attr-defined]
    assert done.stdout.split() == ["Adam", str(updates)]
    expected, _ = model.predict(np.load(tmp_path / "seen.npy"), deterministic=True)
    np.testing.assert_array_equal(np.load(tmp_path / "chosen.npy"), expected)


@pytest.mark.parametrize("goes_on_with", [PPO, TensorPPO])
def test_a_checkpoint_goes_on_as_either(tmp_path: Path, goes_on_with: type[PPO]) -> None:
    model = learned(TensorPPO)
    model.save(tmp_path / "model.zip")
    loaded = goes_on_with.load(tmp_path / "model.zip", env=make(PPO).get_env(), device="cpu")
    loaded.learn(STEPS * SALES, reset_num_timesteps=False)
    assert loaded.num_timesteps == 2 * STEPS * SALES
    before, after = model.policy.parameters(), loaded.policy.parameters()
    assert any(not torch.equal(one, other) for one, other in zip(before, after, strict=True))


@pytest.mark.parametrize("config", [ppo(), tensor_ppo(), dqn()], ids=["ppo", "tensor_ppo", "dqn"])
@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("is_scaled", [False, True], ids=["at once", "while it learns"])
def test_a_reward_that_is_no_number_ends_the_training(
    config: Any, value: float, is_scaled: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = SaleBatch._step

    def broken(self: SaleBatch, orders: Decisions) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        reward, closed = original(self, orders)
        reward[3] = value
        return reward, closed

    if is_scaled:
        monkeypatch.setattr("agents.training.random_spread", lambda *_, **__: Spread(1.0, np.zeros(0)))
    monkeypatch.setattr(SaleBatch, "_step", broken)
    with pytest.raises(InputError, match=rf"reward: expected finite numbers, got {value} for sale 3 of the batch"):
        train_small(config, seed=0)


def test_what_it_does_not_do_is_refused() -> None:
    with pytest.raises(InputError, match="target_kl, use_sde and clip_range_vf are not supported"):
        make(TensorPPO, target_kl=0.1)
    single = DummyVecEnv([lambda: FlashSaleEnv(small_sale(), action=ActionConfig(per_product=False))])
    model = TensorPPO("MlpPolicy", single, n_steps=8, batch_size=8, device="cpu")
    with pytest.raises(InputError, match="expected a batch of sales from make_sb3, got DummyVecEnv"):
        model.learn(8)


@pytest.mark.gpu
def test_on_cuda_only_actions_and_what_the_sales_show_cross() -> None:
    model = make(TensorPPO, device="cuda")
    traffic = CountedCopies(lambda target, source: target.device != source.device)
    with traffic:
        model.collect_rollouts(*_collecting(model))
    assert traffic.count == 2 * STEPS + 2  # and the start, and the order of the minibatches
    with RefusedTraffic():
        model.train()


def _collecting(model: PPO) -> tuple[Any, ...]:
    """Arguments of ``collect_rollouts`` for a learner that is about to begin."""
    _, callback = model._setup_learn(STEPS * SALES, None)
    callback.on_training_start(locals(), globals())
    return model.get_env(), callback, model.rollout_buffer, STEPS
