"""The single env: a vector env with one row, and what Gymnasium expects around it."""

from collections.abc import Mapping, Sequence
from typing import Any

import gymnasium
import numpy as np
from numpy.typing import NDArray

from flashsim.envs.actions import ActionConfig
from flashsim.envs.arguments import WithSaleSpec, check_options, check_reward_scale, check_sale_of_id
from flashsim.envs.infos import CostsOfTick, LedgerOfTick
from flashsim.envs.reward import ConstraintConfig, RewardConfig
from flashsim.envs.vector import NOT_OPEN, make_batch
from flashsim.errors import InputError
from flashsim.scenarios.compiled import Compilable, CompiledSale
from flashsim.sim.parameters import SEED_LIMIT, check_seed
from flashsim.sim.streams import TRAINING_DOMAIN


class FlashSaleEnv(WithSaleSpec, gymnasium.Env[NDArray[Any], Any]):
    """A timed sale, minute by minute.

    Story: stock was bought for a sale of some hours. A deeper discount brings more buyers and more visitors; visitors
    need servers, which take minutes to boot; slow answers lose buyers. Nobody knows beforehand how strong the demand
    will be.

    Action: MultiDiscrete of the chosen heads (``flashsim.envs.heads``): discount, a price index for each product (or
    one for all); timing, hold, release the next wave, push, order a lot (or close); capacity, a change in the number of
    servers; admission, a cap on the people let in from the waiting room. What is not feasible now is projected to the
    nearest that is, and counted.

    Observation: Box in [0, 1]; ``flashsim.envs.features.observation_table(sale)`` lists name, unit and meaning of each
    column.

    Reward: profit of the tick in the World's currency (``RewardConfig``): revenue, cost of goods, servers, lost visits;
    at the close the cost and the salvage of what is left.

    Start: a world member and the frailties of the evening are drawn; all stock that is due is released in the first
    tick.

    End: terminated when the last tick has passed or the sale was closed; never truncated.

    Info: ``action_mask``, and after a step ``cost`` and ``ledger``, the facts of the last tick, by name
    (``flashsim.envs.infos``).

    Arguments: scenario (a Scenario, a reference sale, or a CompiledSale; the name of a scenario or of a reference sale,
    such as "seckill" or "g1"; the path of a file of one; none for the grocery evening. What has no World of its own is
    on the one that comes with the package), action (ActionConfig), reward (RewardConfig), members ("training",
    "heldout" or numbers), domain (training or evaluation streams), constraints (ConstraintConfig, whose excess is then
    in ``info["cost"]``), reward_scale (rewards are divided by it). Configs may be given as mappings of their fields.

    Ids: ``flashsim/FlashSale-v0`` takes any scenario. Each named one has an id of its own, such as
    ``flashsim/Seckill-v0`` or ``flashsim/G1-v0``.

    Versions: v0.
    """

    metadata = {"render_modes": []}  # noqa: RUF012  (as Gymnasium has it)

    def __init__(
        self,
        scenario: Compilable | CompiledSale | str | None = None,
        *,
        action: ActionConfig | Mapping[str, Any] | None = None,
        reward: RewardConfig | Mapping[str, Any] | None = None,
        members: str | Sequence[int] = "training",
        domain: int = TRAINING_DOMAIN,
        constraints: ConstraintConfig | Mapping[str, Any] | None = None,
        reward_scale: float = 1.0,
    ) -> None:
        self.reward_scale = check_reward_scale(reward_scale)
        self.sales = make_batch(
            scenario, 1, action=action, reward=reward, constraints=constraints, members=members, domain=domain
        )
        self.observation_space = self.sales.observation_space
        self.action_space = self.sales.codec.space
        self._is_open = False
        self._has_seed = False

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.float32], dict[str, Any]]:
        """Open a sale: with a seed its first episode, without one the next episode of the present seed."""
        check_options(options)
        super().reset(seed=seed)
        if seed is not None or not self._has_seed:
            first = seed if seed is not None else int(self.np_random.integers(SEED_LIMIT // 2))
            self.sales.seed(np.array([check_seed(first)], np.uint64))
            self._has_seed = True
        else:
            self.sales.open(np.ones(1, np.bool_))
        self._is_open = True
        return self.sales.observe()[0], {"action_mask": self.sales.masks()[0]}

    def step(self, action: Any) -> tuple[NDArray[np.float32], float, bool, bool, dict[str, Any]]:
        """Let one tick pass."""
        if not self._is_open:
            raise InputError(NOT_OPEN)
        reward, closed = self.sales.step(np.asarray(action)[None])
        self._is_open = not closed[0]
        facts = self.sales.facts()
        costs, ledger = CostsOfTick(facts, 0, self.sales.excess_by_name()), LedgerOfTick(facts, 0)
        info = {"cost": costs, "ledger": ledger, "action_mask": self.sales.masks()[0]}
        return self.sales.seen()[0], float(reward[0]) / self.reward_scale, bool(closed[0]), False, info

    def action_masks(self) -> NDArray[np.bool_]:
        """Feasible choices now, for sb3-contrib's maskable algorithms."""
        return self.sales.masks()[0]


def env_of(sale: str, **arguments: Any) -> FlashSaleEnv:
    """The single env of a named sale, for the id that names it."""
    check_sale_of_id(sale, arguments)
    return FlashSaleEnv(sale, **arguments)
