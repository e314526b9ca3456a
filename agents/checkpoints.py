"""A training that was killed goes on as if it had not been: all that its next iteration depends on, in one file.

That is the networks, the optimizer, the generators of chance, what greedy play has earned so far, of DQN its target
network and every transition that it remembers, and how many sales each row of the batch has played. The last suffices
to open the right sales again: a checkpoint is written where all rows open one, and a sale is a function of its seed and
its number. PPO's rollouts are made of whole sales, so it writes before every iteration. DQN, whose memory takes a while
to write, does so at most a twentieth of its time. The file is whole or absent, and holds arrays and JSON, no code. Left
out: what TensorBoard would have shown of the update before the stop.
"""

import json
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from stable_baselines3 import DQN
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.buffers import ReplayBuffer
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.on_policy_algorithm import OnPolicyAlgorithm

from agents.callbacks import BestNetwork, CurvePoint
from flashsim.envs.sb3 import FlashSaleVecEnv
from flashsim.envs.vector import SaleBatch, consecutive_seeds
from flashsim.errors import InputError
from flashsim.files import check_format, json_in, read_bytes, write_bytes
from flashsim.tensor_files import MOST_TENSORS

FORMAT_VERSION = 4  # raised whenever a training that goes on would learn otherwise than before
_FACTS = "facts"  # JSON, as bytes
_AGAIN = "start the training again: python -m experiments.train"
_MEMORY = ("observations", "next_observations", "actions", "rewards", "dones", "timeouts")
_PAUSE = 19.0  # times as long as DQN's last checkpoint took, until the next: a twentieth of the time goes into them


class Checkpoints(BaseCallback):
    """Keeps the checkpoint at ``path`` up to date; the first of the callbacks, so that others follow it.

    ``facts`` are JSON: what a training that goes on with it must share.
    """

    def __init__(self, path: Path, best: BestNetwork, *, facts: Mapping[str, Any]) -> None:
        super().__init__()
        self.path, self.best, self.facts = path, best, facts
        self._next = 0.0  # moment before which none is due

    def _on_rollout_start(self) -> None:
        if self.model.num_timesteps % _steps_of_sales(self.model) == 0 and time.monotonic() >= self._next:
            started = time.monotonic()
            write_bytes(self.path, checkpoint_bytes(self.model, self.best, facts=self.facts))
            pause = _PAUSE if isinstance(self.model, DQN) else 0.0
            self._next = time.monotonic() + pause * (time.monotonic() - started)

    def _on_step(self) -> bool:
        return True


def checkpoint_bytes(model: BaseAlgorithm, best: BestNetwork, *, facts: Mapping[str, Any]) -> bytes:
    """The state between two iterations, where all sales open, as a safetensors file."""
    _, keys, place, has_normal, normal = np.random.get_state(legacy=True)  # noqa: NPY002  (SB3 draws from it)
    tensors = {f"policy.{name}": values for name, values in model.policy.state_dict().items()}
    for number, entries in model.policy.optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{number}.{name}": values for name, values in entries.items()}
    tensors |= {"chance.torch": torch.get_rng_state(), "chance.numpy": torch.from_numpy(np.array(keys, np.int64))}
    if model.device.type == "cuda":
        tensors["chance.cuda"] = torch.cuda.get_rng_state(model.device)
    tensors |= {f"best.{name}": values for name, values in best.best.items()}
    told = {
        "format_version": FORMAT_VERSION,
        "shared": facts,
        "numpy": [place, has_normal, normal],
        "steps": model.num_timesteps,
        "updates": model._n_updates,
        "progress_left": model._current_progress_remaining,
        "episodes": [{key: float(episode[key]) for key in ("r", "l")} for episode in model.ep_info_buffer or ()],
        "curve": [asdict(point) for point in best.curve],
        "multipliers": _sales(model).multipliers.tolist(),
        "next": best.next,
    }
    # Copies, for safetensors takes no two views of one memory.
    tensors = {name: values.detach().cpu().contiguous().clone() for name, values in tensors.items()}
    if isinstance(model, DQN):
        tensors |= {f"memory.{name}": torch.from_numpy(values) for name, values in _remembered(model).items()}
        told["dqn"] = {
            "full": _memory(model).full,
            "place": _memory(model).pos,
            "calls": model._n_calls,
            "exploration": model.exploration_rate,
            "sales": model._episode_num,
            "chance": model.action_space.np_random.bit_generator.state,
        }
    tensors[_FACTS] = torch.frombuffer(bytearray(json.dumps(told).encode()), dtype=torch.uint8)
    return save_tensors(tensors)


def read_checkpoint(path: Path) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """Arrays and facts of a checkpoint; InputError when there is none, or it is of another version."""
    try:
        tensors = load_tensors(read_bytes(path, most=MOST_TENSORS, advice=_AGAIN))
        told = json_in(bytes(tensors.pop(_FACTS).numpy()))
        if not isinstance(told, dict):
            raise ValueError("its facts are no object")
    except InputError as error:
        raise InputError(str(error).replace("cannot read", "cannot read the checkpoint", 1)) from error
    except (SafetensorError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise InputError(f"{path} is not a checkpoint ({error}); {_AGAIN}") from error
    check_format(path, told.get("format_version"), known=FORMAT_VERSION, make_anew=_AGAIN)
    return tensors, told


def go_on(path: Path, model: BaseAlgorithm, best: BestNetwork, *, facts: Mapping[str, Any], first_seed: int) -> None:
    """Put a new ``model`` and ``best`` where the checkpoint was written; ``first_seed`` is that of row 0 of the batch.

    InputError when the two trainings differ in their ``facts``, or the file is not what such a training writes.
    """
    tensors, told = read_checkpoint(path)
    _check_shared(path, told.get("shared"), json.loads(json.dumps(facts)))
    try:
        _take_over(tensors, told, model, best)
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise InputError(f"{path} is not a checkpoint of this training ({error}); {_AGAIN}") from error
    _open_sales(model, first_seed)


def _take_over(tensors: dict[str, torch.Tensor], told: dict[str, Any], model: BaseAlgorithm, best: BestNetwork) -> None:
    def below(prefix: str) -> dict[str, torch.Tensor]:
        return {name.removeprefix(prefix): values for name, values in tensors.items() if name.startswith(prefix)}

    model.policy.load_state_dict(below("policy."))
    optimizer = model.policy.optimizer
    state: dict[int, dict[str, torch.Tensor]] = {}
    for name, values in below("optimizer.").items():
        number, _, key = name.partition(".")
        state.setdefault(int(number), {})[key] = values
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
    best.curve[:] = [CurvePoint(**point) for point in told["curve"]]
    best.best = below("best.")
    best.next = told["next"]
    _sales(model).multipliers[:] = told["multipliers"]
    model.num_timesteps, model._n_updates = told["steps"], told["updates"]
    model._current_progress_remaining = told["progress_left"]
    model.ep_info_buffer = deque(told["episodes"], maxlen=model._stats_window_size)
    model.ep_success_buffer = deque(maxlen=model._stats_window_size)
    if isinstance(model, DQN):
        _remember(model, {name: values.numpy() for name, values in below("memory.").items()}, told["dqn"])
    keys = tensors["chance.numpy"].numpy().astype(np.uint32)
    np.random.set_state(("MT19937", keys, *told["numpy"]))  # noqa: NPY002
    torch.set_rng_state(tensors["chance.torch"])
    if model.device.type == "cuda":
        torch.cuda.set_rng_state(tensors["chance.cuda"], model.device)


def _memory(model: DQN) -> ReplayBuffer:
    assert model.replay_buffer is not None
    return model.replay_buffer


def _remembered(model: DQN) -> dict[str, NDArray[Any]]:
    """What the replay buffer holds so far, (vector step, sale, …): views."""
    memory = _memory(model)
    return {name: getattr(memory, name)[: None if memory.full else memory.pos] for name in _MEMORY}


def _remember(model: DQN, arrays: dict[str, NDArray[Any]], told: dict[str, Any]) -> None:
    """Fill the replay buffer and set what else DQN carries from step to step; ValueError where shapes differ."""
    memory = _memory(model)
    memory.full, memory.pos = bool(told["full"]), int(told["place"])
    for name, own in _remembered(model).items():
        if own.shape != arrays[name].shape or own.dtype != arrays[name].dtype:
            raise ValueError(f"memory.{name}: expected {own.shape} of {own.dtype}, got {arrays[name].shape}")
        own[:] = arrays[name]
    model._n_calls, model.exploration_rate = told["calls"], told["exploration"]
    model._episode_num = told["sales"]
    model.action_space.np_random.bit_generator.state = told["chance"]


def _steps_of_sales(model: BaseAlgorithm) -> int:
    """Steps in which every row of the batch plays one sale."""
    sales = _sales(model)
    return sales.sales * (sales.sale.ticks // sales.codec.config.every)


def _sales(model: BaseAlgorithm) -> SaleBatch:
    env = model.get_env()
    assert isinstance(env, FlashSaleVecEnv)
    return env.sales


def _open_sales(model: BaseAlgorithm, first_seed: int) -> None:
    """Open the sales that follow those played."""
    sales = _sales(model)
    played = model.num_timesteps // _steps_of_sales(model)
    sales.seed(consecutive_seeds(first_seed, sales.sales), episodes=played)
    model._last_obs = sales.observe()
    if isinstance(model, OnPolicyAlgorithm):
        model._last_episode_starts = np.ones(sales.sales, np.bool_)


def _check_shared(path: Path, then: Any, now: Any, key: str = "") -> None:
    """InputError at the first value that differs."""
    if isinstance(then, dict) and isinstance(now, dict):
        for name in dict.fromkeys([*then, *now]):
            _check_shared(path, then.get(name), now.get(name), f"{key}.{name}".lstrip("."))
    elif then != now:
        raise InputError(f"{path}: {key} was {then!r} and is {now!r} now; bring back what it was, or {_AGAIN}")
