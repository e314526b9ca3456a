"""Maskable PPO with compiled updates learns what that of sb3-contrib learns."""

from typing import Any

import sb3_contrib
import torch
from stable_baselines3.common.logger import Logger
from torch.distributions import Distribution

from agents.ppo.maskable_ppo import MaskablePPO
from flashsim.envs.actions import ActionConfig
from flashsim.envs.sb3 import make_sb3
from tests.agents.tiny import small_sale


def learned(algorithm: Any, **changes: Any) -> Any:
    Distribution.set_default_validate_args(False)
    env = make_sb3(small_sale(), num_envs=16, seed=5, action=ActionConfig(per_product=False), reward_scale=30.0)
    settings: dict[str, Any] = {"n_steps": 12, "batch_size": 40, "n_epochs": 3, "ent_coef": 0.01, "seed": 3}
    settings |= {"policy_kwargs": {"net_arch": {"pi": [16, 16], "vf": [16]}}, "device": "cpu"}
    model = algorithm("MlpPolicy", env, **(settings | changes))
    model.set_logger(Logger(None, []))
    model.learn(3 * 12 * 16)
    return model


def test_updates_are_those_of_its_parent() -> None:
    """Three rollouts of three epochs; a minibatch is smaller than the others; rounding apart."""
    ours, theirs = learned(MaskablePPO), learned(sb3_contrib.MaskablePPO)
    assert ours.fused is not None
    assert ours._n_updates == theirs._n_updates
    for mine, other in zip(ours.policy.parameters(), theirs.policy.parameters(), strict=True):
        torch.testing.assert_close(mine, other, rtol=1e-3, atol=1e-4)
    logged, expected = ours.logger.name_to_value, theirs.logger.name_to_value
    for name in ("loss", "value_loss", "entropy_loss", "approx_kl", "clip_fraction", "explained_variance"):
        assert abs(logged[f"train/{name}"] - expected[f"train/{name}"]) < 1e-3 * (1.0 + abs(expected[f"train/{name}"]))


def test_what_compiled_code_leaves_out_is_left_to_its_parent() -> None:
    assert learned(MaskablePPO, target_kl=0.1).fused is None
