"""The benchmark: what it leaves behind, and that the naive env which it compares with simulates the same sale."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from gymnasium.utils.env_checker import check_env
from numpy.typing import NDArray

from experiments.benchmark import NAIVE, SINGLE, BenchmarkConfig, main
from experiments.benchmarks.naive_env import NaiveSale
from experiments.benchmarks.sale import make_world
from experiments.launch.outputs import start_run
from flashsim.envs.actions import ActionCodec, ActionConfig
from flashsim.envs.vector import FlashSaleVectorEnv
from flashsim.errors import InputError
from flashsim.files import read_json
from flashsim.reference import g1
from flashsim.scenarios import Calendar, Failures, Outage, Rush, flaky_platform, shopping_festival
from flashsim.scenarios.compiled import CompiledSale
from flashsim.sim.failures import FEED_FREEZES

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


def eventful_sale() -> CompiledSale:
    """Half an hour in which every part is on, servers are too few, and everything that can fail does."""
    sale = shopping_festival(make_world(products=2, segments=2))
    return replace(
        sale,
        ticks=30,
        calendar=Calendar(2.0, (Rush(0, 2.0, 3.0),)),
        waves=((0, 0.5), (15, 0.5)),
        servers=replace(sale.servers, service_rate=10.0, start_servers=3, max_servers=9, queue_limit=5),
        carts=replace(sale.carts, lead_time=6),
        server_changes=(-2, 0, 2),
        failures=Failures(pool=Outage(None, 4), payment=Outage(14, 3), traffic=Outage(20, 2), traffic_factor=3.0),
    ).compile()


def test_the_naive_env_is_an_env_and_opens_with_what_the_simulator_shows() -> None:
    check_env(NaiveSale(eventful_sale()), skip_render_check=True)
    sale = eventful_sale()
    naive = NaiveSale(sale)
    seen, _ = FlashSaleVectorEnv(sale).reset(seed=0)
    np.testing.assert_array_equal(naive.reset(seed=0)[0], seen[0])


def played_fast(sale: CompiledSale, orders: NDArray[np.int64], *, sales: int) -> NDArray[np.float64]:
    """Reward and observation (sale, tick, 1 + feature) under the same orders (tick, head) in every sale."""
    env, rows = FlashSaleVectorEnv(sale, num_envs=sales), []
    env.reset(seed=0)
    for order in orders:
        seen, reward, *_, info = env.step(np.tile(order, (sales, 1)))
        seen = np.stack(info["final_obs"]) if "final_obs" in info else seen
        rows.append(np.column_stack([reward, seen]))
    return np.stack(rows, axis=1)


def played_naively(sale: CompiledSale, orders: NDArray[np.int64], *, sales: int) -> NDArray[np.float64]:
    """Likewise, one sale after another."""
    env, rows = NaiveSale(sale), []
    for reference in range(sales):
        env.reset(seed=reference)
        rows.append([np.concatenate([[step[1]], step[0]]) for step in (env.step(order) for order in orders)])
    return np.array(rows)


def standard_errors_apart(first: NDArray[np.float64], second: NDArray[np.float64]) -> NDArray[np.float64]:
    """Differences of means (axis 0), if both samples come from one distribution."""
    error = np.concatenate([first, second]).std(axis=0) * np.sqrt(1.0 / len(first) + 1.0 / len(second))
    return np.abs(first.mean(axis=0) - second.mean(axis=0)) / np.maximum(error, 1e-6)


def test_the_naive_env_simulates_the_same_sale() -> None:
    """Means and variances of the reward and of every column seen, tick by tick, within five standard errors."""
    sale = eventful_sale()
    space = ActionCodec(sale, ActionConfig()).space
    space.seed(0)
    orders = np.array([space.sample() for _ in range(sale.ticks)])
    fast, naive = played_fast(sale, orders, sales=2_000), played_naively(sale, orders, sales=200)
    center = fast.mean(axis=0)
    assert (standard_errors_apart(fast, naive) <= 5.0).all()
    assert (standard_errors_apart((fast - center) ** 2, (naive - center) ** 2) <= 5.0).all()


def test_the_naive_env_shows_what_it_showed_while_the_screen_is_frozen() -> None:
    sale = flaky_platform(make_world(products=2, segments=2)).compile()
    naive = NaiveSale(sale)
    naive.reset(seed=0)
    hold = ActionCodec(sale, ActionConfig()).sizes * 0
    for tick in range(sale.ticks):
        before = naive.screen
        seen = naive.step(hold)[0]
        assert np.array_equal(seen, before) == naive.outages.fails(FEED_FREEZES, tick)


def test_the_naive_env_refuses_the_queue_of_a_reference_sale() -> None:
    with pytest.raises(InputError, match="ticks of many services"):
        NaiveSale(g1().compile())
