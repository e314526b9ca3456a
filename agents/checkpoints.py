"""A training that was killed goes on as if it had not been: all that its next iteration depends on, in one file.

That is the networks, the optimizer, the random generators, what greedy play has earned so far, the extras of a learner
(``agents.learner``; for DQN every transition that it remembers), and how many sales each row of the batch has played.
The last suffices to open the right sales again: a checkpoint is written where all rows open one, and a sale is a
function of its seed and its number. PPO's rollouts are made of whole sales, so it writes before every iteration. A
learner with extras, which take a while to write, does so at most a twentieth of its time. The file is whole or absent,
and holds arrays and JSON, no code. Left out: what TensorBoard would have shown of the update before the stop.
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
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.callbacks import BaseCallback

from agents.callbacks import BestNetwork, CurvePoint
from agents.learner import Extras
from flashsim.envs.sb3 import FlashSaleVecEnv
from flashsim.envs.vector import SaleBatch, consecutive_seeds
from flashsim.errors import InputError
from flashsim.files import check_format, json_in, read_bytes, write_bytes
from flashsim.tensor_files import MOST_TENSORS

FORMAT_VERSION = 6  # raised whenever a training that goes on would learn otherwise than before
FORMAT_CHANGES = "6 has updates in compiled code"
_FACTS = "facts"  # JSON, as bytes
_AGAIN = "start the training again: python -m experiments.train"
_PAUSE = 19.0  # times as long as the last checkpoint with extras took, until the next: a twentieth of the time


class Checkpoints(BaseCallback):
    """Keeps the checkpoint at ``path`` up to date; the first of the callbacks, so that others follow it.

    ``facts`` are JSON: what a training that goes on with it must share.
    """

    def __init__(self, path: Path, best: BestNetwork, *, facts: Mapping[str, Any], extras: Extras | None) -> None:
        super().__init__()
        self.path, self.best, self.facts, self.extras = path, best, facts, extras
        self._next = 0.0  # moment before which none is due

    def _on_rollout_start(self) -> None:
        if self.model.num_timesteps % _steps_of_sales(self.model) == 0 and time.monotonic() >= self._next:
            started = time.monotonic()
            write_bytes(self.path, checkpoint_bytes(self.model, self.best, facts=self.facts, extras=self.extras))
            pause = 0.0 if self.extras is None else _PAUSE
            self._next = time.monotonic() + pause * (time.monotonic() - started)

    def _on_step(self) -> bool:
        return True


def checkpoint_bytes(
    model: BaseAlgorithm, best: BestNetwork, *, facts: Mapping[str, Any], extras: Extras | None
) -> bytes:
    """The state between two iterations, where all sales open, as a safetensors file."""
    _, keys, place, has_normal, normal = np.random.get_state(legacy=True)  # noqa: NPY002  (SB3 draws from it)
    tensors = {f"policy.{name}": values for name, values in model.policy.state_dict().items()}
    for number, entries in model.policy.optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{number}.{name}": values for name, values in entries.items()}
    tensors |= {"chance.torch": torch.get_rng_state(), "chance.numpy": torch.from_numpy(np.array(keys, np.int64))}
    if model.device.type == "cuda":
        tensors["chance.cuda"] = torch.cuda.get_rng_state(model.device)
    tensors |= {f"best.{name}": values for name, values in best.best.items()}
    content = {
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
    if extras is not None:
        more_tensors, more_content = extras.keep(model)
        tensors, content = tensors | more_tensors, content | more_content
    tensors[_FACTS] = torch.frombuffer(bytearray(json.dumps(content).encode()), dtype=torch.uint8)
    return save_tensors(tensors)


def read_checkpoint(path: Path) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """Arrays and JSON of a checkpoint; InputError when there is none, or it is of another version."""
    try:
        tensors = load_tensors(read_bytes(path, most=MOST_TENSORS, advice=_AGAIN))
        content = json_in(bytes(tensors.pop(_FACTS).numpy()))
        if not isinstance(content, dict):
            raise ValueError("its facts are no object")
    except InputError as error:
        raise InputError(str(error).replace("cannot read", "cannot read the checkpoint", 1)) from error
    except (SafetensorError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise InputError(f"{path} is not a checkpoint ({error}); {_AGAIN}") from error
    check_format(path, content.get("format_version"), known=FORMAT_VERSION, changes=FORMAT_CHANGES, make_anew=_AGAIN)
    return tensors, content


def go_on(
    path: Path,
    model: BaseAlgorithm,
    best: BestNetwork,
    *,
    facts: Mapping[str, Any],
    extras: Extras | None,
    first_seed: int,
) -> None:
    """Put a new ``model`` and ``best`` where the checkpoint was written; ``first_seed`` is that of row 0 of the batch.

    InputError when the two trainings differ in their ``facts``, or the file is not what such a training writes.
    """
    tensors, content = read_checkpoint(path)
    _check_shared(path, content.get("shared"), json.loads(json.dumps(facts)))
    try:
        _take_over(tensors, content, model, best)
        if extras is not None:
            extras.restore(model, tensors, content)
        _take_over_chance(tensors, content, model)
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise InputError(f"{path} is not a checkpoint of this training ({error}); {_AGAIN}") from error
    _open_sales(model, first_seed)


def _take_over(
    tensors: dict[str, torch.Tensor], content: dict[str, Any], model: BaseAlgorithm, best: BestNetwork
) -> None:
    """Networks, optimizer, and what was counted and kept."""

    def below(prefix: str) -> dict[str, torch.Tensor]:
        return {name.removeprefix(prefix): values for name, values in tensors.items() if name.startswith(prefix)}

    model.policy.load_state_dict(below("policy."))
    optimizer = model.policy.optimizer
    state: dict[int, dict[str, torch.Tensor]] = {}
    for name, values in below("optimizer.").items():
        number, _, key = name.partition(".")
        state.setdefault(int(number), {})[key] = values
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
    best.curve[:] = [CurvePoint(**point) for point in content["curve"]]
    best.best = below("best.")
    best.next = content["next"]
    _sales(model).multipliers[:] = content["multipliers"]
    model.num_timesteps, model._n_updates = content["steps"], content["updates"]
    model._current_progress_remaining = content["progress_left"]
    model.ep_info_buffer = deque(content["episodes"], maxlen=model._stats_window_size)
    model.ep_success_buffer = deque(maxlen=model._stats_window_size)


def _take_over_chance(tensors: dict[str, torch.Tensor], content: dict[str, Any], model: BaseAlgorithm) -> None:
    """The random generators; the last, for making a model and what it is given draw from them."""
    keys = tensors["chance.numpy"].numpy().astype(np.uint32)
    np.random.set_state(("MT19937", keys, *content["numpy"]))  # noqa: NPY002
    torch.set_rng_state(tensors["chance.torch"])
    if model.device.type == "cuda":
        torch.cuda.set_rng_state(tensors["chance.cuda"], model.device)


def _steps_of_sales(model: BaseAlgorithm) -> int:
    """Steps in which every row of the batch plays one sale."""
    sales = _sales(model)
    return sales.sales * (sales.sale.all_ticks // sales.codec.config.every)


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
    model._last_episode_starts = np.ones(sales.sales, np.bool_)


def _check_shared(path: Path, then: Any, now: Any, key: str = "") -> None:
    """InputError at the first value that differs."""
    if isinstance(then, dict) and isinstance(now, dict):
        for name in dict.fromkeys([*then, *now]):
            _check_shared(path, then.get(name), now.get(name), f"{key}.{name}".lstrip("."))
    elif then != now:
        raise InputError(f"{path}: {key} was {then!r} and is {now!r} now; bring back what it was, or {_AGAIN}")
