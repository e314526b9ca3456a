"""What greedy play earns after how much CPU time of a training, the time of the evaluations left out."""

import time
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from stable_baselines3.common.callbacks import BaseCallback

from agents.export import network_policy
from agents.learner import GreedyNetwork
from flashsim.envs.actions import ActionConfig
from flashsim.evaluation.rollout import play
from flashsim.scenarios.compiled import CompiledSale

EVALUATION_SEED = 2**61
_BETWEEN = 4_096
"""Decisions between two evaluations, at least; PPO is evaluated after each of its rollouts, which are longer."""


class TimedGreedy(BaseCallback):
    """Notes what greedy play earns after how much CPU time of training; ends the training at a return or a time."""

    def __init__(
        self,
        sale: CompiledSale,
        action: ActionConfig,
        *,
        network: Callable[[Any], GreedyNetwork],
        sales: int,
        enough: float,
        most_cpu_s: float,
    ) -> None:
        super().__init__()
        self.sale, self.action, self.sales, self.network = sale, asdict(action), sales, network
        self.enough, self.most_cpu_s = enough, most_cpu_s
        self.curve: list[dict[str, float]] = []
        self._spent = 0.0  # CPU seconds of evaluations
        self._next = 0  # decisions before the next evaluation

    def _on_training_start(self) -> None:
        self._started = time.process_time()

    def _on_rollout_start(self) -> None:
        if self.num_timesteps >= self._next:
            self.measure()
            self._next = self.num_timesteps + _BETWEEN

    def _on_step(self) -> bool:
        last = self.curve[-1]
        return last["profit"] < self.enough and last["cpu_s"] < self.most_cpu_s

    def measure(self) -> None:
        """Play greedily, off the clock."""
        before = time.process_time()
        network = self.network(self.model)
        policy = network_policy(network, self.sale, name="candidate", action=self.action, training={})
        profit = play(self.sale, policy, sales=self.sales, seed=EVALUATION_SEED).totals["profit"].mean()
        cpu_s = before - self._started - self._spent
        self.curve.append({"steps": self.model.num_timesteps, "cpu_s": cpu_s, "profit": float(profit)})
        self._spent += time.process_time() - before
