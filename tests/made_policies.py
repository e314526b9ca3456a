"""Policies made by hand for tests: networks with random weights, orders by table, orders at random."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flashsim.envs.actions import ActionCodec, ActionConfig
from flashsim.envs.features import observation_table
from flashsim.policies.bundle import NetworkPolicy
from flashsim.policies.guardrails import Rails
from flashsim.reference import JointPolicy
from flashsim.scenarios.compiled import CompiledSale

DISCOUNT = {"heads": ("discount",)}


def random_network(
    sale: CompiledSale,
    *,
    action: ActionConfig | None = None,
    layers: tuple[int, ...] = (16, 16),
    activation: str = "tanh",
    seed: int = 0,
    training: Mapping[str, Any] | None = None,
    is_masked: bool = False,
) -> NetworkPolicy:
    """A network for ``sale`` with normal weights, so that its choices vary from observation to observation."""
    rng = np.random.default_rng(seed)
    codec = ActionCodec(sale, action or ActionConfig())
    rails = Rails(**codec.rails(is_masked=is_masked))
    names = tuple(feature.name for feature in observation_table(sale))
    widths = [len(names), *layers, sum(codec.head_sizes)]
    shapes = list(zip(widths[1:], widths[:-1], strict=True))
    return NetworkPolicy(
        name="random network",
        action=asdict(codec.config),
        head_sizes=codec.head_sizes,
        observation=names,
        weights=tuple(rng.normal(0.0, 1.0, shape).astype(np.float32) for shape in shapes),
        biases=tuple(rng.normal(0.0, 0.3, shape[0]).astype(np.float32) for shape in shapes),
        activation=activation,
        training=training or {"algorithm": "none", "seed": seed, "curve": [{"steps": 10, "profit": 1.5}]},
        rails=rails,
        choices=codec.meanings(),
    )


def random_observations(sale: CompiledSale, count: int, *, seed: int = 0) -> NDArray[np.float32]:
    """Points of the observation space (count, feature)."""
    return np.random.default_rng(seed).random((count, len(observation_table(sale))), dtype=np.float32)


@dataclass(frozen=True)
class TablePolicy:
    """Plays a reference sale by a table (tick, stock) -> price index."""

    sale: CompiledSale
    table: NDArray[np.int64]
    name: str = "table"
    action: Mapping[str, Any] = field(default_factory=lambda: DISCOUNT)

    def act(self, observation: NDArray[np.float32]) -> NDArray[np.int64]:
        names = [feature.name for feature in observation_table(self.sale)]
        seen = {name: observation[:, names.index(name)].astype(np.float64) for name in ("time_left", "product_0_stock")}
        tick = np.rint((1.0 - seen["time_left"]) * self.sale.ticks).astype(np.int64)
        stock = np.rint(seen["product_0_stock"] * self.sale.stock[0]).astype(np.int64)
        return self.table[tick, stock][:, None]


@dataclass(frozen=True)
class JointTablePolicy:
    """Plays a joint sale by tables (tick, stock, levels), which it finds its place in by what it observes."""

    sale: CompiledSale
    table: JointPolicy
    name: str = "joint table"
    action: Mapping[str, Any] = field(default_factory=lambda: {"heads": ("discount", "capacity")})

    def act(self, observation: NDArray[np.float32]) -> NDArray[np.int64]:
        columns = {feature.name: column for column, feature in enumerate(observation_table(self.sale))}
        servers = self.sale.tables.servers
        levels = [f"servers_in_{ahead}" for ahead in range(servers.lag)] or ["servers_ordered"]
        scales = {"time_left": self.sale.ticks, "product_0_stock": int(self.sale.stock[0])}
        scales |= dict.fromkeys(levels, servers.max_servers)
        left, *place = (np.rint(observation[:, columns[n]] * float(s)).astype(np.int64) for n, s in scales.items())
        state = (self.sale.ticks - left, *place)
        price_index, change = self.table.price_index[state], self.table.change[state]
        codec = ActionCodec(self.sale, ActionConfig(**self.action))
        return codec.encode(codec.defaults(price_index.size)._replace(price_index=price_index[:, None], change=change))


@dataclass(frozen=True)
class BusyPolicy:
    """Orders that depend on the observation in no sensible way; may close a sale early."""

    sale: CompiledSale
    name: str = "busy"
    action: Mapping[str, Any] = field(default_factory=lambda: {"timing": ("hold", "release", "push", "close")})
    closes: bool = True

    def act(self, observation: NDArray[np.float32]) -> NDArray[np.int64]:
        sizes = ActionCodec(self.sale, ActionConfig(**self.action)).sizes
        noise = (observation.astype(np.float64) * 1e4).astype(np.int64)
        heads = np.stack(
            [noise[:, 3 * place : 3 * place + 40].sum(axis=1) % size for place, size in enumerate(sizes)], 1
        )
        late = observation[:, 0] < 0.6
        is_closing = heads[:, -2] == 3
        may_close = late & (noise.sum(axis=1) % 5 == 0) & self.closes
        heads[:, -2] = np.where(is_closing & ~may_close, 0, heads[:, -2])
        return heads
