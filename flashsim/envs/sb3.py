"""The native VecEnv of Stable-Baselines3: the same batch, without a Python loop over envs.

Only this module of the library imports Stable-Baselines3 (and with it torch).
"""

import functools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from stable_baselines3.common.vec_env.base_vec_env import VecEnv, VecEnvIndices

from flashsim.envs.actions import ActionConfig
from flashsim.envs.arguments import check_options, check_reward_scale
from flashsim.envs.infos import LedgerOfTick
from flashsim.envs.reward import ConstraintConfig, RewardConfig
from flashsim.envs.vector import SaleBatch, consecutive_seeds, make_batch
from flashsim.errors import InputError
from flashsim.scenarios.compiled import Compilable, CompiledSale
from flashsim.sim.parameters import check_seed
from flashsim.sim.streams import TRAINING_DOMAIN


class FlashSaleVecEnv(VecEnv):
    """Sales as a VecEnv; env i starts at seed ``first seed + i``. Rewards are divided by ``reward_scale``.

    An info holds the ``ledger`` of its sale in the tick that passed (``flashsim.envs.infos``). That of a finished sale
    holds ``episode`` statistics, too, in unscaled reward, as SB3's monitors write them.
    """

    def __init__(self, sales: SaleBatch, *, seed: int, reward_scale: float = 1.0) -> None:
        self.sales, self.reward_scale = sales, check_reward_scale(reward_scale)
        self.render_mode = None  # SB3 asks for it
        self._actions: NDArray[Any] = np.zeros(0)
        self._first_seed: int | None = check_seed(seed)
        self._returns = np.zeros(sales.sales)
        self._lengths = np.zeros(sales.sales, np.int64)
        super().__init__(sales.sales, sales.observation_space, sales.codec.space)

    def reset(self) -> NDArray[np.float32]:
        """Open new sales."""
        for options in self._options:
            check_options(options)
        if self._first_seed is not None:
            self.sales.seed(consecutive_seeds(self._first_seed, self.num_envs))
            self._first_seed = None
        else:
            self.sales.open(np.ones(self.num_envs, np.bool_))
        self._returns[:] = 0.0
        self._lengths[:] = 0
        return self.sales.observe()

    def step_async(self, actions: NDArray[Any]) -> None:
        """Keep the actions for :meth:`step_wait`."""
        self._actions = actions

    def step_wait(self) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.bool_], list[dict[str, Any]]]:
        """Let one tick pass and restart the sales that ended."""
        reward, closed = self.sales.step(self._actions)
        self._returns += reward
        self._lengths += 1
        facts = self.sales.facts()
        infos: list[dict[str, Any]] = [{"ledger": LedgerOfTick(facts, row)} for row in range(self.num_envs)]
        observation = self.sales.seen()
        if np.count_nonzero(closed):  # for few sales much quicker than any()
            for row in np.flatnonzero(closed):
                episode = {"r": float(self._returns[row]), "l": int(self._lengths[row])}
                infos[row] |= {
                    "terminal_observation": observation[row],
                    "episode": episode,
                    "TimeLimit.truncated": False,
                }
            self._returns[closed] = 0.0
            self._lengths[closed] = 0
            self.sales.open(closed)
            observation = self.sales.observe()
        return observation, (reward / self.reward_scale).astype(np.float32), closed, infos

    def seed(self, seed: int | None = None) -> Sequence[int | None]:
        """Seed of the next reset: env i gets ``seed + i``."""
        if seed is not None:
            self._first_seed = check_seed(seed)
        return [None if seed is None else seed + row for row in range(self.num_envs)]

    def action_masks(self) -> NDArray[np.bool_]:
        """Feasible choices now, for sb3-contrib's maskable algorithms."""
        return self.sales.masks()

    def _masks_of(self, row: int) -> NDArray[np.bool_]:
        return self.action_masks()[row]

    def close(self) -> None:
        """Nothing is held open."""

    def get_attr(self, attr_name: str, indices: VecEnvIndices = None) -> list[Any]:
        """The attribute of the batch, once for each index; of ``action_masks`` the method of each row."""
        if attr_name == "action_masks":
            return [functools.partial(self._masks_of, row) for row in self._get_indices(indices)]
        return [getattr(self, attr_name) for _ in self._get_indices(indices)]

    def set_attr(self, attr_name: str, value: Any, indices: VecEnvIndices = None) -> None:
        """Refused: rows have no attributes of their own."""
        raise InputError(
            f"set_attr({attr_name!r}): sales of a batch have no attributes of their own; make another batch"
        )

    def env_method(self, method_name: str, *args: Any, indices: VecEnvIndices = None, **kwargs: Any) -> list[Any]:
        """Result of ``action_masks`` row by row; other methods do not exist."""
        if method_name != "action_masks":
            raise InputError(f"env_method: sales of a batch have no method {method_name!r}")
        masks = self.action_masks()
        return [masks[row] for row in self._get_indices(indices)]

    def env_is_wrapped(self, wrapper_class: type, indices: VecEnvIndices = None) -> list[bool]:
        """Never: rows are not wrapped."""
        return [False for _ in self._get_indices(indices)]


def make_sb3(
    scenario: Compilable | CompiledSale | str | None = None,
    *,
    num_envs: int,
    seed: int = 0,
    action: ActionConfig | Mapping[str, Any] | None = None,
    reward: RewardConfig | Mapping[str, Any] | None = None,
    members: str | Sequence[int] = "training",
    domain: int = TRAINING_DOMAIN,
    reward_scale: float = 1.0,
    threads: int = 1,
    constraints: ConstraintConfig | Mapping[str, Any] | None = None,
) -> FlashSaleVecEnv:
    """A native VecEnv of ``num_envs`` sales of ``scenario``; arguments as for ``FlashSaleVectorEnv``."""
    sales = make_batch(
        scenario,
        num_envs,
        action=action,
        reward=reward,
        constraints=constraints,
        members=members,
        domain=domain,
        threads=threads,
    )
    return FlashSaleVecEnv(sales, seed=seed, reward_scale=reward_scale)
