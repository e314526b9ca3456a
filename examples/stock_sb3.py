"""PPO of Stable-Baselines3 as it comes, trained on many sales at once.

    python examples/stock_sb3.py

``make_sb3`` gives a native ``VecEnv``: one engine steps all sales, without a Python loop over envs. The optimum of the
sale played here, g1, is known. Only the learning rate, the discount factor and the batch differ from the defaults.
"""

from dataclasses import asdict

import numpy as np
import torch
from numpy.typing import NDArray
from stable_baselines3 import PPO

import flashsim
from flashsim.evaluation.limits.exact import exact_value
from flashsim.reference import evaluate_exactly, g1, hold, solve

STEPS = 20_000


class Trained:
    """An SB3 model as a flashsim policy that takes the likeliest action."""

    name = "stock PPO"
    action = asdict(flashsim.ActionConfig())

    def __init__(self, model: PPO) -> None:
        self.model = model

    def act(self, observation: NDArray[np.float32]) -> NDArray[np.int64]:
        """Actions (sale, head)."""
        return np.asarray(self.model.predict(observation, deterministic=True)[0], np.int64)


def main() -> None:
    """Train, and value the policy before and after, exactly."""
    torch.set_num_threads(1)
    sale = g1()
    sales = flashsim.make_sb3(sale, num_envs=20, seed=0, reward_scale=100.0)
    model = PPO("MlpPolicy", sales, n_steps=24, batch_size=240, learning_rate=3e-3, gamma=1.0, seed=0, device="cpu")
    optimum = solve(sale).value
    held = max(evaluate_exactly(sale, hold(sale, index)) for index in range(sale.prices.size))
    before = exact_value(sale, Trained(model))
    model.learn(STEPS)
    after = exact_value(sale, Trained(model))
    print(f"best price held for the whole sale: {held / optimum:.2%} of the optimum")
    print(f"stock PPO, before training: {before / optimum:.2%}; after {STEPS} steps: {after / optimum:.2%}")


if __name__ == "__main__":
    main()
