"""How many servers there are: more or fewer, or the utilization at which a scaler aims."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flashsim.envs.dashboard import Dashboard
from flashsim.envs.heads.head import Head, HeadConfig, Rows, Target, nearest
from flashsim.envs.scalers import MOST_UTILIZATION, SCALERS
from flashsim.errors import InputError
from flashsim.scenarios.compiled import CompiledSale
from flashsim.sim.parameters import check_whole
from flashsim.sim.state import Decisions, SaleState


@dataclass(frozen=True)
class CapacityConfig(HeadConfig):
    """How the capacity head orders servers."""

    scaler_targets: tuple[float, ...] = ()
    """(): the capacity head names a change of servers. Else it names the utilization, one of these, at which the scaler
    aims."""
    scaler: str = "tracking"
    """Which scaler aims at them: tracking, which follows what is seen, or scheduled, which plans by the forecast."""
    min_servers: int = 0
    """Guard-rail: orders never bring the servers below it, and up to it as fast as the menu of changes goes; 0: the
    minimum of the sale alone."""


class Capacity(Head):
    """Servers more or fewer, in the first tick of a decision; a scaler orders in every tick.

    Without it the servers stay as they are, or the scaler aims at the first target. It must come after the head of
    discounts, for a scaler reads the prices that are about to be set.
    """

    name, decision, acts_before_opening = "capacity", "change", True

    def __init__(self, sale: CompiledSale, config: CapacityConfig, dashboard: Dashboard) -> None:
        super().__init__(sale, config, dashboard)
        servers = sale.tables.servers
        self._least = max(int(servers.min_servers), config.min_servers)
        if self._least > servers.max_servers:
            raise InputError(
                f"action min_servers: {sale.name!r} has at most {servers.max_servers} servers, "
                f"got {config.min_servers}; lower it"
            )
        self._changes = np.array(sale.server_changes, np.int64)
        self._rising_changes = np.sort(self._changes)
        self._targets = np.array(config.scaler_targets)
        self._scaler = SCALERS[config.scaler](dashboard) if config.scaler_targets else None
        self._levels, self._feasible_from = self._feasible_by_level()
        self.sizes = (len(config.scaler_targets) or len(sale.server_changes),)

    @staticmethod
    def check(config: CapacityConfig, *, every: int) -> None:
        check_whole("action min_servers", config.min_servers, 0, 10**9)
        for target in config.scaler_targets:
            if not 0.0 < target <= MOST_UTILIZATION:
                raise InputError(f"action scaler_targets must be above 0 and at most 2, got {target!r}")
        if config.scaler not in SCALERS:
            raise InputError(f"action scaler: unknown {config.scaler!r}; choose from {', '.join(SCALERS)}")

    @property
    def reads_observation(self) -> bool:
        return self._scaler is not None or self.config.min_servers > 0

    def meaning(self) -> Any:
        """Changes, or targets of the scaler."""
        return self._changes.tolist() if self._scaler is None else list(self.config.scaler_targets)

    def default(self, sales: int) -> NDArray[np.int64]:
        return np.zeros(sales, np.int64)

    def decode(
        self,
        chosen: NDArray[np.int64] | None,
        observation: NDArray[np.float32],
        decided: Mapping[str, NDArray[Any]],
        *,
        is_first: bool,
    ) -> NDArray[np.int64]:
        if self._scaler is not None:
            places = np.zeros(len(observation), np.int64) if chosen is None else chosen[:, 0]
            return self._scaler.change(observation, decided["price_index"], self._targets[places])
        if chosen is None or not is_first:
            return self.default(len(observation))
        return self._changes[chosen[:, 0]]

    def keep_guard_rails(self, decision: NDArray[Any], observation: NDArray[np.float32]) -> NDArray[Any]:
        """The least change that brings the minimum, or the largest there is, where ``decision`` is below it."""
        if not self.config.min_servers:
            return decision
        missing = self._least - self.dashboard.servers_ordered(observation)
        places = np.minimum(np.searchsorted(self._rising_changes, missing), self._rising_changes.size - 1)
        return np.maximum(decision, self._rising_changes[places])

    def encode(self, decisions: Decisions) -> NDArray[np.int64]:
        """Of a scaler, the first target."""
        if self._scaler is not None:
            return np.zeros((decisions.change.size, 1), np.int64)
        return nearest(self._changes, decisions.change)[:, None]

    def encode_steered(
        self, decisions: Decisions, observation: NDArray[np.float32], *, target: Target
    ) -> NDArray[np.int64]:
        """Of a scaler, the utilization nearest to ``target``."""
        choices = super().encode_steered(decisions, observation, target=target)
        if self._scaler is not None:
            choices[:] = np.abs(np.subtract.outer(target, self._targets)).argmin(axis=-1)[..., None]
        return choices

    def feasible(self, state: SaleState, rows: Rows) -> NDArray[np.bool_] | None:
        """Changes that leave neither too few servers nor too many, and the largest where none does."""
        if self._scaler is not None:
            return None  # targets are always feasible
        level = np.searchsorted(self._levels, rows(state.servers.ordered), side="right")
        return self._feasible_from.take(level, axis=0)

    def rails(self) -> list[dict[str, Any]]:
        (rails,) = super().rails()
        if self._scaler is not None:
            return [rails]
        servers = self.sale.tables.servers
        return [
            rails
            | {
                "level": "servers_ordered",
                "changes": self._changes.tolist(),
                "level_range": [int(servers.min_servers), int(servers.max_servers)],
                "least": "min_servers",
            }
        ]

    def _feasible_by_level(self) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """Levels of servers from which other changes are feasible, ascending, and those changes (level, choice): below
        the first level, then from each on."""
        servers = self.sale.tables.servers
        levels = np.unique([self._least - self._changes, servers.max_servers + 1 - self._changes])
        after = np.concatenate([levels[:1] - 1, levels])[:, None] + self._changes
        feasible = (after >= self._least) & (after <= servers.max_servers)
        feasible |= (after == after.max(axis=1, keepdims=True)) & ~feasible.any(axis=1, keepdims=True)
        return levels, feasible
