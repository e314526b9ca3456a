"""What a learner with a replay memory carries from step to step: for its checkpoints.

That is every transition that it remembers, and how far its exploration has fallen.
"""

from collections.abc import Mapping
from typing import Any

import torch
from numpy.typing import NDArray
from stable_baselines3.common.buffers import ReplayBuffer
from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm

from agents.learner import Extras

_ARRAYS = ("observations", "next_observations", "actions", "rewards", "dones", "timeouts")
_FACTS = "dqn"  # their key in a checkpoint


def _memory(model: OffPolicyAlgorithm) -> ReplayBuffer:
    assert model.replay_buffer is not None
    return model.replay_buffer


def _remembered(model: OffPolicyAlgorithm) -> dict[str, NDArray[Any]]:
    """What the replay buffer holds so far, (vector step, sale, …): views."""
    memory = _memory(model)
    return {f"memory.{name}": getattr(memory, name)[: None if memory.full else memory.pos] for name in _ARRAYS}


def _keep(model: Any) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    memory = _memory(model)
    facts = {
        "full": memory.full,
        "place": memory.pos,
        "calls": model._n_calls,
        "exploration": model.exploration_rate,
        "sales": model._episode_num,
        "chance": model.action_space.np_random.bit_generator.state,
    }
    return {name: torch.from_numpy(values) for name, values in _remembered(model).items()}, {_FACTS: facts}


def _restore(model: Any, tensors: Mapping[str, torch.Tensor], facts: Mapping[str, Any]) -> None:
    memory, own = _memory(model), facts[_FACTS]
    memory.full, memory.pos = bool(own["full"]), int(own["place"])
    for name, kept in _remembered(model).items():
        values = tensors[name].numpy()
        if kept.shape != values.shape or kept.dtype != values.dtype:
            raise ValueError(f"{name}: expected {kept.shape} of {kept.dtype}, got {values.shape}")
        kept[:] = values
    model._n_calls, model.exploration_rate = own["calls"], own["exploration"]
    model._episode_num = own["sales"]
    model.action_space.np_random.bit_generator.state = own["chance"]


REPLAY_MEMORY = Extras(_keep, _restore)
