"""A learner is one record: all that training, export and checkpoints need to know of an algorithm.

They ask the record and never which algorithm it is; ``agents.learners`` is the table of all records. Functions that a
record leaves out do nothing.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, NamedTuple, TypeVar

import torch
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.callbacks import BaseCallback

from agents.settings import AgentConfig
from agents.start.imitation import Demonstration
from agents.start.reward_scale import Spread
from flashsim.envs.reward import ConstraintConfig
from flashsim.envs.sb3 import FlashSaleVecEnv
from flashsim.scenarios.compiled import CompiledSale

Config = TypeVar("Config", bound=AgentConfig)
Model = TypeVar("Model", bound=BaseAlgorithm)


class GreedyNetwork(NamedTuple):
    """The greedy policy of a model as a plain network: of every head, the choice with the largest output."""

    modules: Sequence[torch.nn.Module]
    """Linear layers with one kind of activation between them, in their order."""
    is_masked: bool = False
    """Whether the model never takes what is not feasible: the exported policy then masks it, too."""


class Extras(NamedTuple):
    """What a model carries from step to step beside networks, optimizer and sales, for a checkpoint."""

    keep: Callable[[Any], tuple[dict[str, torch.Tensor], dict[str, Any]]]
    """Model -> arrays and JSON by name; a checkpoint has them beside its own."""
    restore: Callable[[Any, Mapping[str, torch.Tensor], Mapping[str, Any]], None]
    """Put arrays and JSON of a checkpoint into a new model; KeyError or ValueError where they do not fit."""


@dataclass(frozen=True)
class Learner(Generic[Config, Model]):
    """One algorithm that can be trained; ``Config`` are its settings."""

    algorithm: type[Model]
    """Made like one of Stable-Baselines3; no two learners have the same."""
    arguments: Callable[[Config, FlashSaleVecEnv], dict[str, Any]]
    """What the algorithm is made with, beside policy, env, learning rate, gamma, device and seed."""
    sales_at_once: Callable[[Config, CompiledSale], int]
    """Sales stepped side by side."""
    first_layers: Callable[[Model], Sequence[torch.nn.Linear]]
    """Those that read observations, of all its networks."""
    network: Callable[[Model], GreedyNetwork]
    """What is evaluated, exported, and kept of a training."""
    start: Callable[[Model, Demonstration[Config]], None]
    """Fit a fresh model to a rule, where its settings ask for that."""
    prepare: Callable[[Model, Config], None] = lambda _model, _config: None
    """Change a fresh model before it is fitted or learns."""
    finish: Callable[[Model], None] = lambda _model: None
    """Change a trained model, with the network to keep, into one that Stable-Baselines3 can load by itself."""
    constraints: Callable[[Config], ConstraintConfig] = lambda _config: ConstraintConfig()
    """Bounds that it learns to keep."""
    schedules: Callable[[Config, Spread], list[BaseCallback]] = lambda _config, _spread: []
    """What moves while it learns, beside the learning rate."""
    scales_by_lead: bool = False
    """Whether rewards that are leads are divided by the spread of leads (``agents.start.reward_scale``)."""
    log_interval: Callable[[Config], int] = lambda _config: 1
    """``log_interval`` of ``learn``: rollouts, or episodes of an algorithm with a memory."""
    extras: Extras | None = None
    """For its checkpoints; None: nothing."""
