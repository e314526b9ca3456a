"""A training of PPO that was killed goes on as if it had not been: all that its next iteration depends on, in one file.

That is the networks, the optimizer, the generators of chance, what greedy play has earned so far, and how many sales
each row of the batch has played. The last suffices to open the right sales again: a rollout is made of whole sales, and
a sale is a function of its seed and its number. The file is written before every iteration, whole or not at all, and
holds arrays and JSON, no code. Left out: DQN, whose memory would have to be written with it, and what TensorBoard would
have shown of the update before the stop.
"""

import json
from collections import deque
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from stable_baselines3 import PPO
from stable_baselines3.common.callbacks import BaseCallback

from agents.callbacks import BestNetwork, CurvePoint
from flashsim.envs.sb3 import FlashSaleVecEnv
from flashsim.envs.vector import consecutive_seeds
from flashsim.errors import InputError
from flashsim.files import write_bytes

FORMAT_VERSION = 1
_FACTS = "facts"  # JSON, as bytes
_AGAIN = "start the training again"


class Checkpoints(BaseCallback):
    """Writes the checkpoint to ``path`` before every iteration; the first of the callbacks, so that others follow it.

    ``facts`` are JSON: what a training that goes on with it must share.
    """

    def __init__(self, path: Path, best: BestNetwork, *, facts: Mapping[str, Any]) -> None:
        super().__init__()
        self.path, self.best, self.facts = path, best, facts

    def _on_rollout_start(self) -> None:
        assert isinstance(self.model, PPO)
        write_bytes(self.path, checkpoint_bytes(self.model, self.best, facts=self.facts))

    def _on_step(self) -> bool:
        return True


def checkpoint_bytes(model: PPO, best: BestNetwork, *, facts: Mapping[str, Any]) -> bytes:
    """The state between two iterations as a safetensors file."""
    _, keys, place, has_normal, normal = np.random.get_state(legacy=True)  # noqa: NPY002  (SB3 draws from it)
    tensors = {f"policy.{name}": values for name, values in model.policy.state_dict().items()}
    for number, entries in model.policy.optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{number}.{name}": values for name, values in entries.items()}
    tensors |= {"chance.torch": torch.get_rng_state(), "chance.numpy": torch.from_numpy(np.array(keys, np.int64))}
    if model.device.type == "cuda":
        tensors["chance.cuda"] = torch.cuda.get_rng_state(model.device)
    if best.best is not None:
        tensors |= {f"best.{name}": values for name, values in best.best[1].items()}
    told = {
        "format_version": FORMAT_VERSION,
        "shared": facts,
        "numpy": [place, has_normal, normal],
        "steps": model.num_timesteps,
        "updates": model._n_updates,
        "progress_left": model._current_progress_remaining,
        "episodes": [{key: float(episode[key]) for key in ("r", "l")} for episode in model.ep_info_buffer or ()],
        "curve": [asdict(point) for point in best.curve],
        "best": None if best.best is None else best.best[0],
        "next": best.next,
    }
    tensors[_FACTS] = torch.frombuffer(bytearray(json.dumps(told).encode()), dtype=torch.uint8)
    return save_tensors({name: values.detach().cpu().contiguous().clone() for name, values in tensors.items()})


def read_checkpoint(path: Path) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """Arrays and facts of a checkpoint; InputError when there is none, or it is of another version."""
    try:
        tensors = load_tensors(path.read_bytes())
        told = json.loads(bytes(tensors.pop(_FACTS).numpy()))
    except OSError as error:
        raise InputError(f"cannot read the checkpoint {path}: {error.strerror}; {_AGAIN}") from error
    except (SafetensorError, KeyError, ValueError) as error:
        raise InputError(f"{path} is not a checkpoint ({error}); {_AGAIN}") from error
    if told.get("format_version") != FORMAT_VERSION:
        seen = told.get("format_version")
        raise InputError(f"{path} has format version {seen!r}, this flashsim reads {FORMAT_VERSION}; {_AGAIN}")
    return tensors, told


def go_on(path: Path, model: PPO, best: BestNetwork, *, facts: Mapping[str, Any], first_seed: int) -> None:
    """Put a new ``model`` and ``best`` where the checkpoint was written; ``first_seed`` is that of row 0 of the batch.

    InputError when the two trainings differ in their ``facts``.
    """
    tensors, told = read_checkpoint(path)
    _check_shared(path, told["shared"], json.loads(json.dumps(facts)))

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
    best.best = None if told["best"] is None else (told["best"], below("best."))
    best.next = told["next"]
    model.num_timesteps, model._n_updates = told["steps"], told["updates"]
    model._current_progress_remaining = told["progress_left"]
    model.ep_info_buffer = deque(told["episodes"], maxlen=model._stats_window_size)
    model.ep_success_buffer = deque(maxlen=model._stats_window_size)
    _open_sales(model, first_seed)
    keys = tensors["chance.numpy"].numpy().astype(np.uint32)
    np.random.set_state(("MT19937", keys, *told["numpy"]))  # noqa: NPY002
    torch.set_rng_state(tensors["chance.torch"])
    if model.device.type == "cuda":
        torch.cuda.set_rng_state(tensors["chance.cuda"], model.device)


def _open_sales(model: PPO, first_seed: int) -> None:
    """Open the sales that follow those played."""
    env = model.get_env()
    assert isinstance(env, FlashSaleVecEnv)
    played = model.num_timesteps // (model.n_steps * env.num_envs)
    env.sales.seed(consecutive_seeds(first_seed, env.num_envs), episodes=played)
    model._last_obs = env.sales.observe()
    model._last_episode_starts = np.ones(env.num_envs, np.bool_)


def _check_shared(path: Path, then: Any, now: Any, key: str = "") -> None:
    """InputError at the first value that differs."""
    if isinstance(then, dict) and isinstance(now, dict):
        for name in dict.fromkeys([*then, *now]):
            _check_shared(path, then.get(name), now.get(name), f"{key}.{name}".lstrip("."))
    elif then != now:
        raise InputError(f"{path}: {key} was {then!r} and is {now!r} now; bring back what it was, or {_AGAIN}")
