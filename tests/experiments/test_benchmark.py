"""The benchmark: what it leaves behind, and that the naive env which it compares with simulates the same sale."""

import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from gymnasium.utils.env_checker import check_env
from numpy.typing import NDArray

from experiments.benchmark import NAIVE, SINGLE, BenchmarkConfig, main
from experiments.benchmark_sale import make_plan
from experiments.naive_env import NaiveSale
from experiments.outputs import start_run
from flashsim.envs.spaces import ActionCodec, ActionConfig
from flashsim.envs.vector import FlashSaleVectorEnv
from flashsim.errors import InputError
from flashsim.files import read_json
from flashsim.plan import Plan

QUICK = BenchmarkConfig(
    sales=(1, 16),
    threads=(1, 2),
    products=(1, 2),
    segments=(1, 2),
    cell_sales=16,
    seconds=0.01,
    repeats=2,
    memory_sales=32,
    memory_chunk=16,
    measures_starts=False,
)


def test_a_quick_run_leaves_tables_and_a_figure(tmp_path: Path) -> None:
    main.__wrapped__(QUICK, start_run(tmp_path / "run", config="", command=""))  # type: ignore[attr-defined]
    speed = pd.read_csv(tmp_path / "run" / "speed.csv")
    scaling = pd.read_csv(tmp_path / "run" / "scaling.csv")
    results = read_json(tmp_path / "run" / "benchmark.json")
    assert set(speed["case"]) >= {"sales: 1, threads: 1", "sales: 16, threads: 2", SINGLE, NAIVE}
    figures = [*speed["per_second"], *speed["per_cpu_second"], *scaling["microseconds_cpu"]]
    figures += [results["state_bytes_a_sale"], results["megabytes_of_32_sales_by_16"]]
    assert all(math.isfinite(figure) and figure > 0.0 for figure in figures)
    assert scaling["cells"].tolist() == [1, 2, 2, 4]
    assert results["machine"]["processor"]
    assert (tmp_path / "run" / "benchmark.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("changes", [{"sales": ()}, {"products": (8, 8)}, {"threads": (0,)}, {"repeats": 0}])
def test_what_cannot_be_measured_is_refused(changes: dict[str, object]) -> None:
    with pytest.raises(InputError, match=next(iter(changes))):
        BenchmarkConfig(**changes)  # type: ignore[arg-type]


def test_the_naive_env_is_an_env_and_opens_with_what_the_simulator_shows() -> None:
    plan = make_plan(products=2, segments=2)
    naive = NaiveSale(plan)
    check_env(naive, skip_render_check=True)
    seen, _ = FlashSaleVectorEnv(plan).reset(seed=0)
    np.testing.assert_array_equal(naive.reset(seed=0)[0], seen[0])


def played_fast(plan: Plan, orders: NDArray[np.int64], *, sales: int) -> NDArray[np.float64]:
    """Reward and last observation (sale, 1 + feature) after the same orders (tick, head) in every sale."""
    env = FlashSaleVectorEnv(plan, num_envs=sales)
    env.reset(seed=0)
    earned = np.zeros(sales)
    for order in orders:
        seen, reward, *_ = env.step(np.tile(order, (sales, 1)))
        earned += reward
    return np.column_stack([earned, seen])


def played_naively(plan: Plan, orders: NDArray[np.int64], *, sales: int) -> NDArray[np.float64]:
    """Likewise, one sale after another."""
    env, rows = NaiveSale(plan), []
    for sale in range(sales):
        env.reset(seed=sale)
        steps = [env.step(order) for order in orders]
        rows.append([sum(step[1] for step in steps), *steps[-1][0]])
    return np.array(rows)


def test_the_naive_env_simulates_the_same_sale() -> None:
    """Means over sales of the reward and of every column seen after 40 ticks, within five standard errors."""
    plan = make_plan(products=2, segments=2)
    space = ActionCodec(plan, ActionConfig()).space
    space.seed(0)
    orders = np.array([space.sample() for _ in range(40)])
    fast, naive = played_fast(plan, orders, sales=2_000), played_naively(plan, orders, sales=400)
    error = np.sqrt(fast.var(axis=0) / len(fast) + naive.var(axis=0) / len(naive))
    assert (np.abs(fast.mean(axis=0) - naive.mean(axis=0)) <= 5.0 * error + 1e-6).all()
