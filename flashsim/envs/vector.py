"""The env itself: many sales stepped side by side, as a Gymnasium VectorEnv; the single env and SB3's are its views."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray

from flashsim.envs.actions import ActionCodec, ActionConfig
from flashsim.envs.features import observation_space
from flashsim.envs.observation import forget_tiles, make_observation_scratch, observe_tiles, pass_tick, view_of
from flashsim.envs.operator_memory import make_memory
from flashsim.envs.reward import ConstraintConfig, RateRewards, RewardConfig, RewardConfigArguments, constraint_costs
from flashsim.errors import InputError
from flashsim.scenarios import scenario_named
from flashsim.scenarios.compiled import Compilable, CompiledSale
from flashsim.shown import brief
from flashsim.sim.cache import announce_compiling, bound
from flashsim.sim.engine import Batch
from flashsim.sim.failures import FEED_FREEZES
from flashsim.sim.parameters import SEED_LIMIT, as_arguments, check_seed
from flashsim.sim.state import Decisions
from flashsim.sim.streams import TRAINING_DOMAIN
from flashsim.world import shipped_world


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
        bounded = len(self.constraints.names)
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

    def __getstate__(self) -> dict[str, Any]:
        """What a copy is made of: everything but the compiled functions, which are bound anew."""
        return self.__dict__ | {"_pass": None, "_observe": None}

    def seed(self, seeds: NDArray[np.uint64], episodes: int = 0) -> None:
        """Open new sales: row i is episode ``episodes`` of seed ``seeds[i]``."""
        self.assign(seeds, episodes)
        self.open(np.ones(self.sales, np.bool_))

    def assign(self, seeds: NDArray[np.uint64], episodes: int = 0) -> None:
        """Name the sales that open next: row i is episode ``episodes`` of seed ``seeds[i]``."""
        self.batch.fill(self.batch.seed, seeds)
        self._episodes[:] = episodes

    def open(self, rows: NDArray[np.bool_]) -> None:
        """Open the next episode in ``rows`` (sale,)."""
        batch = self.batch
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

        Does not restart. ``listeners`` are called after each tick.
        """
        checked = self.codec.check(actions, self.sales)
        total = np.zeros(self.sales)
        closed = np.zeros(self.sales, np.bool_)
        self.decision_excess[:] = 0.0
        for tick in range(self.codec.config.every):
            decisions = self.codec.decode(checked, self._observation[: self.sales], is_first=tick == 0)
            reward, closed = self._step(decisions)
            if self.constraints.names:
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
        before = (self._view, self._weights, batch.decisions, batch.state, batch.ledger, self.memory)
        after = (self._reward, self._page())
        if self._pass is None:
            self._pass = bound(pass_tick, (*before, batch.scratch[0], self._scratch[0], *after, 0, batch.tiles))
        run = self._pass
        batch.each(
            lambda part, first, last: run(*before, batch.scratch[part], self._scratch[part], *after, first, last)
        )
        return batch.rows(self._reward).copy(), batch.rows(batch.ledger.is_closed).copy()

    def _bound(self, reward: NDArray[np.float64]) -> None:
        """Note what the last tick adds to the constraints, and take what it costs off ``reward`` (sale,)."""
        unloaded = self.sale.tables.servers.unloaded_latency_s
        self.excess = self.constraints.excess(self.batch.ledger, self.batch.rows, unloaded_latency_s=unloaded)
        self.decision_excess += self.excess
        reward -= self.multipliers @ self.excess

    def masks(self) -> NDArray[np.bool_]:
        """Feasible choices now (see ``ActionCodec.masks``)."""
        return self.codec.masks(self.batch.state, self.batch.rows)

    def costs(self) -> dict[str, NDArray[np.float64]]:
        """Costs of the last tick (see ``reward.constraint_costs``), and ``…_excess`` of each constraint in use,
        summed over the ticks of the decision (see ``reward.ConstraintConfig``)."""
        excess = zip((f"{name}_excess" for name in self.constraints.names), self.decision_excess.copy(), strict=True)
        return constraint_costs(self.batch.ledger, self.batch.rows) | dict(excess)


def as_compiled(scenario: Compilable | CompiledSale | str | None, members: str | Sequence[int]) -> CompiledSale:
    """The compiled sale of ``scenario`` on sales that draw ``members``: "training", "heldout" or their numbers.

    None is the grocery evening, and a name that scenario, on the World that comes with the package.
    """
    if scenario is None or isinstance(scenario, str):
        scenario = scenario_named("grocery_evening" if scenario is None else scenario, shipped_world())
    if not isinstance(scenario, CompiledSale) and not hasattr(scenario, "compile"):
        raise InputError(f"scenario: expected a name, a Scenario or a sale, got {brief(scenario)}")
    sale = scenario if isinstance(scenario, CompiledSale) else scenario.compile()
    if isinstance(members, str):
        sets = {"training": sale.training_members, "heldout": sale.heldout_members}
        if members not in sets:
            raise InputError(f"members: expected 'training', 'heldout' or numbers, got {members!r}")
        return sale.with_members(sets[members])
    return sale.with_members(tuple(members))


def consecutive_seeds(first: int, count: int) -> NDArray[np.uint64]:
    """Seeds first … first + count - 1: env i has seed first + i."""
    return np.uint64(check_seed(first)) + np.arange(count, dtype=np.uint64)


class FlashSaleVectorEnv(VectorEnv[NDArray[np.float32], NDArray[Any], NDArray[Any]]):
    """Native vector env: ``num_envs`` sales in one engine, SAME_STEP autoreset. ``FlashSaleEnv`` describes the sale.

    ``reset(seed=s)`` gives env i the seed s + i; its path does not depend on ``num_envs``. Observations are fresh
    copies.
    """

    metadata = {"render_modes": [], "autoreset_mode": AutoresetMode.SAME_STEP}  # noqa: RUF012  (as Gymnasium has it)

    def __init__(
        self,
        scenario: Compilable | CompiledSale | str | None = None,
        *,
        num_envs: int = 1,
        action: ActionConfig | None = None,
        reward: RewardConfig | None = None,
        members: str | Sequence[int] = "training",
        domain: int = TRAINING_DOMAIN,
        threads: int = 1,
        constraints: ConstraintConfig | None = None,
    ) -> None:
        self.sales = SaleBatch(
            as_compiled(scenario, members),
            num_envs,
            action=action or ActionConfig(),
            reward=reward or RewardConfig(),
            domain=domain,
            threads=threads,
            constraints=constraints,
        )
        self.num_envs = num_envs
        self.single_observation_space = self.sales.observation_space
        self.single_action_space = self.sales.codec.space
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self._first_seed: int | None = None

    def reset(
        self, *, seed: int | list[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.float32], dict[str, Any]]:
        """Open new sales: with a seed its first episode, without one the next episode of the present seed."""
        if isinstance(seed, list):
            seeds = np.array([check_seed(s) for s in seed], np.uint64)
            if seeds.size != self.num_envs:
                raise InputError(f"seed: expected {self.num_envs} numbers, got {seeds.size}")
            self.sales.seed(seeds)
        elif seed is not None or self._first_seed is None:
            first = check_seed(seed if seed is not None else int(self.np_random.integers(SEED_LIMIT // 2)))
            self.sales.seed(consecutive_seeds(first, self.num_envs))
            self._first_seed = first
        else:
            self.sales.open(np.ones(self.num_envs, np.bool_))
        self._first_seed = self._first_seed or 0
        return self.sales.observe(), {"action_mask": self.sales.masks()}

    def step(
        self, actions: NDArray[Any]
    ) -> tuple[NDArray[np.float32], NDArray[np.float64], NDArray[np.bool_], NDArray[np.bool_], dict[str, Any]]:
        """Let one tick pass; where a sale ends, ``info["final_obs"]`` is its last observation and a new one opens."""
        reward, closed = self.sales.step(actions)
        info: dict[str, Any] = {"cost": self.sales.costs()}
        observation = self.sales.seen()
        if closed.any():
            final = np.full(self.num_envs, None, dtype=object)
            for row in np.flatnonzero(closed):
                final[row] = observation[row]
            info |= {"final_obs": final, "_final_obs": closed.copy()}
            self.sales.open(closed)
            observation = self.sales.observe()
        info["action_mask"] = self.sales.masks()
        return observation, reward, closed, np.zeros(self.num_envs, np.bool_), info
