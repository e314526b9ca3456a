"""Trainings that take a second: a small sale, small networks, few steps. Made once and shared by the tests."""

import functools
from typing import Any

from agents.dqn.settings import DQNConfig, QRDQNConfig
from agents.ppo.settings import MaskablePPOConfig, PPOConfig, TensorPPOConfig
from agents.settings import AgentConfig, Device
from agents.start.imitation import starting_rule
from agents.training import Trained, train
from flashsim.rules import Operations
from flashsim.scenarios.compiled import CompiledSale
from tests.worlds import make_scenario, make_world

CHECKED: dict[str, Any] = {
    "evaluations": 4,
    "evaluation_sales": 32,
    "layers": (16, 16),
    "device": Device.cpu,
    "decide_every": 5,
    "imitation_updates": 100,
}


ON_POLICY: dict[str, Any] = {"steps": 3_000, "rollout_steps": 512, "batch_size": 128, "epochs": 4}


def ppo(**changes: Any) -> PPOConfig:
    """Some six rollouts."""
    return PPOConfig(**({**CHECKED, **ON_POLICY} | changes))


def tensor_ppo(**changes: Any) -> TensorPPOConfig:
    """The same with rollouts on the device."""
    return TensorPPOConfig(**({**CHECKED, **ON_POLICY} | changes))


def maskable_ppo(**changes: Any) -> MaskablePPOConfig:
    """The same, never trying what is not feasible."""
    return MaskablePPOConfig(**({**CHECKED, **ON_POLICY} | changes))


OFF_POLICY: dict[str, Any] = {"steps": 3_000, "sales": 16, "buffer": 2_000, "learning_starts": 200}
OFF_POLICY |= {"batch_size": 64, "gradient_steps": 1}


def dqn(**changes: Any) -> DQNConfig:
    """Some hundred vector steps."""
    return DQNConfig(**({**CHECKED, **OFF_POLICY} | changes))


def qrdqn(**changes: Any) -> QRDQNConfig:
    """The same with a few quantiles."""
    return QRDQNConfig(**({**CHECKED, **OFF_POLICY, "quantiles": 6} | changes))


CONFIGS: dict[str, AgentConfig] = {
    "ppo": ppo(),
    "tensor_ppo": tensor_ppo(),
    "maskable_ppo": maskable_ppo(),
    "dqn": dqn(),
    "qrdqn": qrdqn(),
}


@functools.cache
def small_sale() -> CompiledSale:
    """Two products, 20 ticks, two training members and one that is held out."""
    return make_scenario(make_world(products=2, population=4.0)).compile()


@functools.cache
def rule_operations() -> Operations:
    """Those of the rule at which agents start there."""
    return starting_rule(small_sale()).operations


def train_small(config: AgentConfig, *, seed: int = 0, **options: Any) -> Trained:
    """A training on that plan; ``options`` are those of ``train``. The rule is searched once for all of them."""
    return train(small_sale(), config, seed=seed, operations=rule_operations(), **options)


@functools.cache
def trained(algorithm: str, seed: int = 0) -> Trained:
    """A training with the tiny config of ``algorithm``."""
    return train_small(CONFIGS[algorithm], seed=seed)
