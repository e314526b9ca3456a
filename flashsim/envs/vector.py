"""The env itself: many sales stepped side by side, as a Gymnasium VectorEnv; the single env and SB3's are its views."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray

from flashsim.envs.actions import ActionCodec, ActionConfig
from flashsim.envs.arguments import (
    WithSaleSpec,
    as_compiled,
    autoreset_mode_of,
    check_options,
    check_reward_scale,
    check_sale_of_id,
    config_of,
)
from flashsim.envs.features import observation_space
from flashsim.envs.infos import LedgerBlock, TickFacts, facts_of_tick
from flashsim.envs.observation import forget_tiles, make_observation_scratch, observe_tiles, pass_tick, view_of
from flashsim.envs.operator_memory import make_memory
from flashsim.envs.reward import ConstraintConfig, RateRewards, RewardConfig, RewardConfigArguments
from flashsim.errors import InputError
from flashsim.scenarios.compiled import Compilable, CompiledSale
from flashsim.sim.cache import announce_compiling, bound
from flashsim.sim.engine import Batch
from flashsim.sim.failures import FEED_FREEZES
from flashsim.sim.parameters import SEED_LIMIT, as_arguments, check_seed, check_whole
from flashsim.sim.state import Decisions
from flashsim.sim.streams import TRAINING_DOMAIN

NOT_OPEN = "step: no sale is open; call reset first"


class SaleBatch:
    """Simulated sales with what the operator sees and earns; restarts each sale that ends."""

    def __init__(
        self,
        sale: CompiledSale,
        sales: int,
        *,
        action: ActionConfig,
        reward: RewardConfig,
        domain: int,
        threads: int = 1,
        constraints: ConstraintConfig | None = None,
    ) -> None:
        self.sale, self.codec = sale, ActionCodec(sale, action)
        self.batch = Batch(sale.tables, sales, domain=domain, threads=threads)
        self.sales = sales
        batch = self.batch
        self.memory = make_memory(batch.tiles, sale.products, batch.lanes)
        self._weights = as_arguments(reward, RewardConfigArguments)
        self._reward = np.zeros((batch.tiles, batch.lanes))
        has_rates = reward.conversion != 0.0 or reward.revenue_conversion_gain != 0.0
        self._rates = RateRewards(reward, sales) if has_rates else None
        self.constraints = constraints or ConstraintConfig()
        if (self.constraints.latency_p95_s or 0.0) >= sale.tables.servers.timeout_s:
            raise InputError(
                f"constraints latency_p95_s must be below the time-out of {sale.tables.servers.timeout_s:g} s, after "
                f"which visits count as errors, got {self.constraints.latency_p95_s!r}"
            )
        self.excess_names = tuple(f"{name}_excess" for name in self.constraints.names)
        bounded = len(self.excess_names)
        self.multipliers = np.zeros(bounded)  # constraint; taken off the reward for each unit of excess
        self.excess = np.zeros((bounded, sales))  # constraint, sale; of the last tick
        self.decision_excess = np.zeros((bounded, sales))
        self.observation_space = observation_space(sale)
        (width,) = self.observation_space.shape
        self._observation = np.zeros((batch.tiles * batch.lanes, width), np.float32)
        self._is_reread = self.codec.reads_observation or bool(sale.tables.failures.ticks[FEED_FREEZES] > 0)
        self._scratch = [make_observation_scratch(width, batch.lanes) for _ in batch.scratch]
        self._view = view_of(sale)
        self._episodes = np.zeros(sales, np.uint64)
        self._pass: Callable[..., None] | None = None
        self._observe: Callable[..., None] | None = None
        announce_compiling(pass_tick)
        self.listeners: list[Callable[[SaleBatch, NDArray[np.float64], NDArray[np.bool_]], object]] = []
        self._is_open = False
        self._block = LedgerBlock(batch.ledger)
        batch.ledger = self._block.ledger

    def __getstate__(self) -> dict[str, Any]:
        """What a copy is made of: everything but the compiled functions, which are bound anew."""
        return self.__dict__ | {"_pass": None, "_observe": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Take over ``state``, in which each array was copied alone: the ledger is one block again."""
        self.__dict__.update(state)
        self._block = LedgerBlock(self.batch.ledger)
        self.batch.ledger = self._block.ledger

    def seed(self, seeds: NDArray[np.uint64], episodes: int = 0) -> None:
        """Open new sales: row i is episode ``episodes`` of seed ``seeds[i]``."""
        self.assign(seeds, episodes)
        self.open(np.ones(self.sales, np.bool_))

    def assign(self, seeds: NDArray[np.uint64], episodes: int = 0) -> None:
        """Name the sales that open next: row i is episode ``episodes`` of seed ``seeds[i]``."""
        self.batch.fill(self.batch.seed, seeds)
        self._episodes[:] = episodes

    def assign_rows(self, rows: NDArray[np.bool_], seeds: NDArray[np.uint64]) -> None:
        """Name the sales that open next in ``rows`` (sale,): the first episode of ``seeds`` (sale,)."""
        present = self.batch.rows(self.batch.seed)
        self.batch.fill(self.batch.seed, np.where(rows, seeds, present))
        self._episodes[rows] = 0

    def open_again(self, rows: NDArray[np.bool_]) -> None:
        """Open the present episode in ``rows`` (sale,) from its start."""
        self._episodes[rows] -= np.uint64(1)
        self.open(rows)

    def open(self, rows: NDArray[np.bool_]) -> None:
        """Open the next episode in ``rows`` (sale,)."""
        batch, self._is_open = self.batch, True
        batch.fill(batch.episode, self._episodes)
        marks = batch.open(rows)
        forget_tiles(self.memory, marks, self.sale.tables.servers.unloaded_latency_s)
        if self._rates is not None:
            self._rates.open(rows)
        self._episodes[rows] += np.uint64(1)

    def observe(self) -> NDArray[np.float32]:
        """Fresh observations (sale, feature) of the present state."""
        batch, seen = self.batch, (self._view, self.batch.state, self.memory)
        out = self._page()
        if self._observe is None:
            self._observe = bound(observe_tiles, (*seen, self._scratch[0], out, 0, batch.tiles))
        run = self._observe
        batch.each(lambda part, first, last: run(*seen, self._scratch[part], out, first, last))
        return self.seen()

    def seen(self) -> NDArray[np.float32]:
        """The observations (sale, feature) that the last step or :meth:`observe` left behind: the caller's own."""
        rows = self._observation[: self.sales]
        return rows.copy() if self._is_reread else rows

    def _page(self) -> NDArray[np.float32]:
        """Where the next observations are written: a new array, but over the last ones where those are still needed."""
        if not self._is_reread:
            self._observation = np.empty_like(self._observation)
        return self._observation

    def step(self, actions: NDArray[Any]) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        """Let the ticks of one decision pass; returns reward (sale,) and whether the sale ended (sale,).

        Does not restart. ``listeners`` are called after each tick. InputError before any sale was opened.
        """
        if not self._is_open:
            raise InputError(NOT_OPEN)
        checked = self.codec.check(actions, self.sales)
        total = np.zeros(self.sales)
        closed = np.zeros(self.sales, np.bool_)
        if self.excess_names:
            self.decision_excess[:] = 0.0
        for tick in range(self.codec.config.every):
            decisions = self.codec.decode(checked, self._observation[: self.sales], is_first=tick == 0)
            reward, closed = self._step(decisions)
            if self.excess_names:
                self._bound(reward)
            if self._rates is not None:
                reward += self._rates.of_tick(self.batch.ledger, self.batch.rows)
            total += reward
            for listener in self.listeners:
                listener(self, reward, closed)
        return total, closed

    def _step(self, decisions: Decisions) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        """Let one tick pass; reward and whether the sale ended, (sale,)."""
        batch = self.batch
        for target, decided in zip(batch.decisions, decisions, strict=True):
            batch.fill(target, decided)
        batch.check_open()
        self.make_ready()
        before, after, run = self._before_tick(), (self._reward, self._page()), self._pass
        assert run is not None
        batch.each(
            lambda part, first, last: run(*before, batch.scratch[part], self._scratch[part], *after, first, last)
        )
        return batch.rows(self._reward).copy(), batch.rows(batch.ledger.is_closed).copy()

    def make_ready(self) -> None:
        """Have the compiled code of a tick, which the first step would otherwise wait for."""
        if self._pass is None:
            parts = (self.batch.scratch[0], self._scratch[0], self._reward, self._observation)
            self._pass = bound(pass_tick, (*self._before_tick(), *parts, 0, self.batch.tiles))

    def _before_tick(self) -> tuple[Any, ...]:
        """What a tick is passed first."""
        batch = self.batch
        return self._view, self._weights, batch.decisions, batch.state, batch.ledger, self.memory

    def _bound(self, reward: NDArray[np.float64]) -> None:
        """Note what the last tick adds to the constraints, and take what it costs off ``reward`` (sale,)."""
        unloaded = self.sale.tables.servers.unloaded_latency_s
        self.excess = self.constraints.excess(self.batch.ledger, self.batch.rows, unloaded_latency_s=unloaded)
        self.decision_excess += self.excess
        reward -= self.multipliers @ self.excess

    def masks(self) -> NDArray[np.bool_]:
        """Feasible choices now (see ``ActionCodec.masks``)."""
        return self.codec.masks(self.batch.state, self.batch.rows)

    @property
    def ledger_block(self) -> LedgerBlock:
        """Where the facts of the last tick stand."""
        return self._block

    def facts(self) -> TickFacts:
        """A copy of the ledgers of the last tick, to be read later."""
        return TickFacts(self._block, self.sales)

    def excess_by_name(self) -> dict[str, NDArray[np.float64]]:
        """``…_excess`` (sale,) of each constraint in use, of the last decision; a copy."""
        return dict(zip(self.excess_names, self.decision_excess.copy(), strict=True))


def make_batch(
    scenario: Compilable | CompiledSale | str | None,
    sales: int,
    *,
    action: ActionConfig | Mapping[str, Any] | None,
    reward: RewardConfig | Mapping[str, Any] | None,
    constraints: ConstraintConfig | Mapping[str, Any] | None,
    members: str | Sequence[int],
    domain: int,
    threads: int = 1,
) -> SaleBatch:
    """The batch behind a view, from the view's arguments."""
    return SaleBatch(
        as_compiled(scenario, members),
        sales,
        action=config_of(ActionConfig, action, name="action"),
        reward=config_of(RewardConfig, reward, name="reward"),
        domain=domain,
        threads=threads,
        constraints=config_of(ConstraintConfig, constraints, name="constraints"),
    )


def consecutive_seeds(first: int, count: int) -> NDArray[np.uint64]:
    """Seeds first … first + count - 1: env i has seed first + i."""
    return np.uint64(check_seed(first)) + np.arange(count, dtype=np.uint64)


class FlashSaleVectorEnv(WithSaleSpec, VectorEnv[NDArray[np.float32], NDArray[Any], NDArray[Any]]):
    """Native vector env: ``num_envs`` sales in one engine. ``FlashSaleEnv`` describes the sale and the arguments.

    ``reset(seed=s)`` gives env i the seed s + i; its path does not depend on ``num_envs``. ``reset`` with the option
    ``reset_mask`` (bool, (sale,)) opens the sales of the mask alone. Observations are fresh copies.

    Three arguments are its own. ``autoreset_mode``: SAME_STEP, the default, opens a new sale in the step in which one
    ends, and ``final_obs`` and ``final_info`` hold the end of the old one; ``cost`` and ``ledger`` are of the tick that
    passed. NEXT_STEP opens it in the step after, which ignores the action of that row and earns 0. DISABLED leaves it
    to ``reset_mask``. ``max_episode_steps``: steps after which a sale that goes on is truncated. ``threads``: of the
    engine.
    """

    metadata = {"render_modes": [], "autoreset_mode": AutoresetMode.SAME_STEP}  # noqa: RUF012  (as Gymnasium has it)

    def __init__(
        self,
        scenario: Compilable | CompiledSale | str | None = None,
        *,
        num_envs: int = 1,
        action: ActionConfig | Mapping[str, Any] | None = None,
        reward: RewardConfig | Mapping[str, Any] | None = None,
        members: str | Sequence[int] = "training",
        domain: int = TRAINING_DOMAIN,
        threads: int = 1,
        constraints: ConstraintConfig | Mapping[str, Any] | None = None,
        reward_scale: float = 1.0,
        autoreset_mode: AutoresetMode | str = AutoresetMode.SAME_STEP,
        max_episode_steps: int | None = None,
    ) -> None:
        self.reward_scale = check_reward_scale(reward_scale)
        self.autoreset_mode = autoreset_mode_of(autoreset_mode)
        self.metadata = type(self).metadata | {"autoreset_mode": self.autoreset_mode}
        if max_episode_steps is not None:
            check_whole("max_episode_steps", max_episode_steps, 1, 2**31)
        self._max_steps = max_episode_steps
        self.sales = make_batch(
            scenario,
            num_envs,
            action=action,
            reward=reward,
            constraints=constraints,
            members=members,
            domain=domain,
            threads=threads,
        )
        self.num_envs = num_envs
        self.single_observation_space = self.sales.observation_space
        self.single_action_space = self.sales.codec.space
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self._has_seed = False
        self._steps = np.zeros(num_envs, np.int64)  # of the sale that is open
        self._ended = np.zeros(num_envs, np.bool_)  # sales that ended and were not opened again

    def reset(
        self, *, seed: int | list[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.float32], dict[str, Any]]:
        """Open new sales: with a seed its first episode, without one the next episode of the present seed."""
        check_options(options, ("reset_mask",))
        rows = self._reset_rows((options or {}).get("reset_mask"))
        if isinstance(seed, list):
            seeds = np.array([check_seed(s) for s in seed], np.uint64)
            if seeds.size != self.num_envs:
                raise InputError(f"seed: expected {self.num_envs} numbers, got {seeds.size}")
            self.sales.assign_rows(rows, seeds)
        elif seed is not None or not self._has_seed:
            first = check_seed(seed if seed is not None else int(self.np_random.integers(SEED_LIMIT // 2)))
            self.sales.assign_rows(rows, consecutive_seeds(first, self.num_envs))
        self.sales.open(rows)
        self._has_seed = True
        self._steps[rows], self._ended[rows] = 0, False
        masks = {"action_mask": self.sales.masks(), "_action_mask": np.ones(self.num_envs, np.bool_)}
        return self.sales.observe(), masks

    def _reset_rows(self, mask: Any) -> NDArray[np.bool_]:
        """The rows of the option ``reset_mask``, all without one; InputError when it does not fit."""
        rows = np.ones(self.num_envs, np.bool_)
        if mask is None:
            return rows
        if not isinstance(mask, np.ndarray) or mask.shape != rows.shape or mask.dtype != np.bool_ or not mask.any():
            raise InputError(f"reset_mask: expected a bool array ({self.num_envs},) with a True in it, got {mask!r}")
        if not (self._has_seed or mask.all()):
            raise InputError("reset_mask: the first reset opens all sales; leave it out")
        return mask

    def step(
        self, actions: NDArray[Any]
    ) -> tuple[NDArray[np.float32], NDArray[np.float64], NDArray[np.bool_], NDArray[np.bool_], dict[str, Any]]:
        """Let the ticks of one decision pass in all sales that are open, and open others as ``autoreset_mode`` says."""
        opened = self._ended
        has_opened = bool(np.count_nonzero(opened))  # for few sales much quicker than any()
        if has_opened:
            if self.autoreset_mode is AutoresetMode.DISABLED:
                row = int(np.flatnonzero(opened)[0])
                raise InputError(f"step: sale {row} has ended; open it with reset(options={{'reset_mask': …}}) first")
            self.sales.open(opened)  # the engine steps all rows; these are opened again below
        reward, terminated = self.sales.step(actions)
        facts, excess, played = self.sales.facts(), self.sales.excess_by_name(), ~opened
        if has_opened:
            self.sales.open_again(opened)
            reward[opened], terminated[opened], self._steps[opened] = 0.0, False, -1
            self.sales.observe()
        truncated = np.zeros(self.num_envs, np.bool_)
        if self._max_steps is not None:
            self._steps += 1
            truncated = (self._steps >= self._max_steps) & ~terminated
        observation, ended = self.sales.seen(), terminated | truncated
        info = facts_of_tick(facts, played, excess)
        if self.autoreset_mode is not AutoresetMode.SAME_STEP:
            self._ended = ended
        elif np.count_nonzero(ended):
            info |= self._final(observation, ended, facts_of_tick(facts, ended, excess))
            self.sales.open(ended)
            self._steps[ended] = 0
            observation = self.sales.observe()
        if self.reward_scale != 1.0:
            reward /= self.reward_scale
        info["action_mask"], info["_action_mask"] = self.sales.masks(), np.ones(self.num_envs, np.bool_)
        return observation, reward, terminated, truncated, info

    def _final(
        self, observation: NDArray[np.float32], ended: NDArray[np.bool_], info: dict[str, Any]
    ) -> dict[str, Any]:
        """What Gymnasium keeps of the sales that ended, before others open in their rows; ``info`` is theirs."""
        final = np.full(self.num_envs, None, dtype=object)
        for row in np.flatnonzero(ended):
            final[row] = observation[row]
        masks = np.where(ended[:, None], self.sales.masks(), False)  # noqa: FBT003  (a value, not a flag)
        info |= {"action_mask": masks, "_action_mask": ended.copy()}
        return {"final_obs": final, "_final_obs": ended.copy(), "final_info": info, "_final_info": ended.copy()}

    def action_masks(self) -> NDArray[np.bool_]:
        """Feasible choices now, (sale, choice)."""
        return self.sales.masks()


def vector_env_of(sale: str, **arguments: Any) -> FlashSaleVectorEnv:
    """The vector env of a named sale, for the id that names it."""
    check_sale_of_id(sale, arguments)
    return FlashSaleVectorEnv(sale, **arguments)
