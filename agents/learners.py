"""All learners by name, and the way from settings to the record of their learner.

A learner is registered here once, and every program that trains knows it. Settings are imported at once and records
only when a training begins: they bring torch, which ``--help`` does without.
"""

import importlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from agents.dqn.settings import DQNConfig, QRDQNConfig
from agents.ppo.settings import MaskablePPOConfig, PPOConfig, TensorPPOConfig
from agents.settings import AgentConfig
from flashsim.errors import InputError

if TYPE_CHECKING:
    from agents.learner import Learner


@dataclass(frozen=True)
class Registered:
    """A row of the table."""

    settings: type[AgentConfig]
    place: str
    """Of its record: ``module:name``."""

    def record(self) -> "Learner[Any, Any]":
        """Load the record."""
        module, _, name = self.place.partition(":")
        learner: Learner[Any, Any] = getattr(importlib.import_module(module), name)
        return learner


LEARNERS: dict[str, Registered] = {
    "ppo": Registered(PPOConfig, "agents.ppo.algorithm:PPO_LEARNER"),
    "tensor_ppo": Registered(TensorPPOConfig, "agents.ppo.algorithm:TENSOR_PPO_LEARNER"),
    "maskable_ppo": Registered(MaskablePPOConfig, "agents.ppo.algorithm:MASKABLE_PPO_LEARNER"),
    "dqn": Registered(DQNConfig, "agents.dqn.algorithm:DQN_LEARNER"),
    "qrdqn": Registered(QRDQNConfig, "agents.dqn.quantiles:QRDQN_LEARNER"),
}
SETTINGS: dict[str, type[AgentConfig]] = {name: registered.settings for name, registered in LEARNERS.items()}
"""Name -> settings of every learner."""


def learner_of(config: AgentConfig) -> "Learner[Any, Any]":
    """The record of the learner that ``config`` is for; InputError where there is none."""
    for registered in LEARNERS.values():
        if type(config) is registered.settings:
            return registered.record()
    known = ", ".join(kind.__name__ for kind in SETTINGS.values())
    raise InputError(f"agent: expected the settings of a learner ({known}), got {type(config).__name__}")


def settings_for(algorithm: str) -> type[AgentConfig] | None:
    """The settings of the learner whose algorithm has this name, as checkpoints and cards tell it; None: no learner."""
    found = (one.settings for one in LEARNERS.values() if one.record().algorithm.__name__ == algorithm)
    return next(found, None)
