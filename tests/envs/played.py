"""Sales played with random orders and recorded in full; also a program, to compare one process with another."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flashsim.envs.actions import ActionConfig
from flashsim.envs.reward import RewardConfig
from flashsim.envs.vector import SaleBatch
from flashsim.scenarios.compiled import CompiledSale
from flashsim.sim.choice import ChoiceParams
from flashsim.sim.inventory import StockParams
from flashsim.sim.servers import ServerParams
from flashsim.sim.waiting_room import OPEN
from tests.random_sales import random_actions
from tests.worlds import make_scenario, make_world

EVERY_ORDER = ActionConfig(timing=("hold", "release", "push", "close", "reorder"))


def orders(sale: CompiledSale, seeds: Sequence[int], ticks: int) -> NDArray[np.int64]:
    """Random orders (tick, sale, head) that depend on the seed of their sale alone; few sales close early."""
    sizes = SaleBatch(sale, 1, action=EVERY_ORDER, reward=RewardConfig(), domain=0).codec.sizes
    drawn = [random_actions(sizes, ticks, np.random.default_rng(seed)) for seed in seeds]
    actions = np.stack(drawn, axis=1)
    timing = actions[..., sale.products]
    timing[(timing == 3) & (np.arange(ticks)[:, None] % 7 != 6)] = 0
    return actions


def play(sale: CompiledSale, seeds: Sequence[int], *, ticks: int, threads: int = 1) -> dict[str, NDArray[np.generic]]:
    """Observation, reward and every entry of the ledger as (tick, sale, …); sales that end start again."""
    sales = SaleBatch(sale, len(seeds), action=EVERY_ORDER, reward=RewardConfig(), domain=0, threads=threads)
    sales.seed(np.array(seeds, np.uint64))
    record: dict[str, list[NDArray[np.generic]]] = {"observation": [sales.observe()], "reward": []}
    for actions in orders(sale, seeds, ticks):
        reward, closed = sales.step(actions)
        record["reward"].append(reward)
        for name, field in sales.batch.ledger._asdict().items():
            record.setdefault(name, []).append(sales.batch.rows(field).copy())
        sales.open(closed)
        record["observation"].append(sales.observe())
    return {name: np.array(path) for name, path in record.items()}


def small_sale(products: int = 2) -> CompiledSale:
    """A crowded sale of 8 ticks with every part on: its servers are too few, its stock runs out."""
    servers = ServerParams(
        start_servers=3,
        max_servers=6,
        lag=2,
        drain_ticks=1,
        service_rate=20.0,
        timeout_s=30.0,
        queue_limit=30,
        retry_share=0.5,
        collapse_load=3.0,
    )
    world = make_world(products=products, population=40.0 / products, conversion_at_list=np.full(3, 0.4))
    return make_scenario(
        world,
        ticks=8,
        waves=((0, 0.6), (4, 0.4)),
        servers=servers,
        stock_cover=0.5,
        choice=ChoiceParams(watch_share=0.3, another_unit=0.3, limit=3),
        carts=StockParams(lots=1, lead_time=2),
        admission_caps=(OPEN, 1.5, 0.7),
    ).compile()


if __name__ == "__main__":
    with np.errstate(over="ignore"):  # the hash multiplies modulo 2^64
        arrays: dict[str, Any] = play(small_sale(), [3, 4, 5], ticks=10)
    np.savez(Path(sys.argv[1]), **arrays)
