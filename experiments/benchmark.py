"""Measure speed, memory and starts, beside a library of queues.

``python -m tests.naive_ratio`` measures beside a naive sale.

python -m experiments.benchmark
python -m experiments.benchmark training     # see experiments.benchmarks.training

Leaves ``speed.csv`` (steps a second), ``scaling.csv`` (cost by products and segments), ``benchmark.json`` and
``benchmark.png``. A step of the sale is one tick with about 95 draws at 8 products and 6 segments, every part on,
observation and reward included, and restarts of the sales that end; a customer of Ciw passes one M/M/c queue.
"""

import importlib
import importlib.util
import io
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gymnasium
import numpy as np
import pandas as pd

from experiments.benchmarks.footprint import megabytes_of_sales, start_seconds, state_bytes
from experiments.benchmarks.sale import PRODUCTS, SEGMENTS, make_sale
from experiments.benchmarks.stopwatch import measure
from experiments.launch.entry import dated, entry
from experiments.launch.outputs import RunFolder, machine
from flashsim.envs.vector import FlashSaleVectorEnv
from flashsim.errors import InputError
from flashsim.files import write_bytes, write_json, write_table
from flashsim.scenarios.compiled import CompiledSale

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SINGLE, QUEUE = "gymnasium.make", "Ciw, customers"
STEPS_A_TURN = 1_024  # of the clock


@dataclass(frozen=True)
class BenchmarkConfig:
    """What is measured; the defaults end within about three minutes on two cores."""

    sales: tuple[int, ...] = (1, 16, 256, 4_096, 16_384)
    threads: tuple[int, ...] = (1, 2)
    products: tuple[int, ...] = (4, 8, 16)
    segments: tuple[int, ...] = (3, 6, 12)
    """The cost of a step is compared for each of ``products`` with each of ``segments``."""
    cell_sales: int = 1_024
    """Sales of a batch in that comparison."""
    seconds: float = 0.2
    """Of one measurement."""
    repeats: int = 7
    """Measurements of each case, all cases in turn; the median counts."""
    memory_sales: int = 16_384
    """Sales played to measure memory; 0 leaves it out."""
    memory_chunk: int = 4_096
    """Sales played at a time."""
    measures_starts: bool = True
    """Whether to compile everything anew in an empty folder, about a minute, and to start again from it."""
    output: str = dated("benchmark")

    def __post_init__(self) -> None:
        for name in ("sales", "threads", "products", "segments"):
            values = np.array(getattr(self, name))
            if values.size == 0 or values.min() < 1:
                raise InputError(f"{name}: expected numbers of at least 1, got {getattr(self, name)!r}")
        if len(set(self.products)) < 2:
            raise InputError(f"products: expected at least two different numbers, got {self.products!r}")
        if self.repeats < 1 or not self.seconds > 0.0:
            raise InputError(f"repeats and seconds must be above 0, got {self.repeats!r} and {self.seconds!r}")


def vector_case(sale: CompiledSale, *, sales: int, threads: int) -> Callable[[], int]:
    """Steps of a batch with random actions."""
    env = FlashSaleVectorEnv(sale, num_envs=sales, threads=threads)
    env.reset(seed=0)
    env.action_space.seed(0)
    actions = [env.action_space.sample() for _ in range(8)]
    turns = max(1, STEPS_A_TURN // sales)

    def run() -> int:
        for turn in range(turns):
            env.step(actions[turn % len(actions)])
        return turns * sales

    return run


def single_case(env: gymnasium.Env[Any, Any]) -> Callable[[], int]:
    """Steps of one env with random actions, until its sale ends."""
    env.action_space.seed(0)
    actions = [env.action_space.sample() for _ in range(8)]

    def run() -> int:
        env.reset(seed=0)
        steps, is_over = 0, False
        while not is_over:
            is_over = bool(env.step(actions[steps % len(actions)])[2])
            steps += 1
        return steps

    return run


def queue_case() -> Callable[[], int]:
    """Customers of an M/M/10 queue of utilization 0.8 in Ciw."""
    ciw = importlib.import_module("ciw")
    network = ciw.create_network(
        arrival_distributions=[ciw.dists.Exponential(8.0)],
        service_distributions=[ciw.dists.Exponential(1.0)],
        number_of_servers=[10],
    )

    def run() -> int:
        ciw.seed(0)
        simulation = ciw.Simulation(network)
        simulation.simulate_until_max_time(60.0)
        return len(simulation.get_all_records())

    return run


def speed_table(config: BenchmarkConfig) -> pd.DataFrame:
    """Speed of every case, one row each."""
    sale = make_sale()
    cases = {
        f"sales: {sales:,}, threads: {threads}": vector_case(sale, sales=sales, threads=threads)
        for sales in config.sales
        for threads in config.threads
    }
    cases[SINGLE] = single_case(gymnasium.make("flashsim/FlashSale-v0", scenario=sale))
    if importlib.util.find_spec("ciw") is None:
        print("Ciw is not installed: its row is left out; install flashsim[dev] to see it.", flush=True)
    else:
        cases[QUEUE] = queue_case()
    speeds = measure(cases, seconds=config.seconds, repeats=config.repeats)
    return pd.DataFrame([{"case": name, **asdict(speed)} for name, speed in speeds.items()])


def scaling_table(config: BenchmarkConfig) -> tuple[pd.DataFrame, dict[str, float]]:
    """Microseconds of CPU a step by products and segments, and a plane through them.

    The plane is fixed + products + segments + products × segments, by least squares; ``fitted`` is what it says.
    """
    sizes = [(products, segments) for products in config.products for segments in config.segments]
    cases = {
        f"{products} × {segments}": vector_case(make_sale(products, segments), sales=config.cell_sales, threads=1)
        for products, segments in sizes
    }
    speeds = measure(cases, seconds=config.seconds, repeats=config.repeats)
    products, segments = np.array(sizes, np.float64).T
    cost = np.array([1e6 / speed.per_cpu_second for speed in speeds.values()])
    terms = np.column_stack([np.ones_like(cost), products, segments, products * segments])
    plane = np.linalg.lstsq(terms, cost)[0]
    fitted = terms @ plane
    r_squared = 1.0 - ((cost - fitted) ** 2).sum() / ((cost - cost.mean()) ** 2).sum()
    table = pd.DataFrame({"products × segments": list(cases), "cells": (products * segments).astype(int)})
    table = table.assign(microseconds_cpu=cost, fitted=fitted)
    names = ("microseconds_fixed", "microseconds_a_product", "microseconds_a_segment", "microseconds_a_cell")
    return table, dict(zip(names, plane.tolist(), strict=True)) | {"r_squared": r_squared}


def figure(speed: pd.DataFrame, scaling: pd.DataFrame, plane: dict[str, float], config: BenchmarkConfig) -> "Figure":
    """Left: steps a second by sales and threads. Right: cost by products × segments."""
    from matplotlib.figure import Figure

    drawing = Figure(figsize=(10.0, 4.0), layout="constrained")
    left, right = drawing.subplots(1, 2)
    wall = speed.set_index("case")["per_second"]
    batches = wall.to_numpy()[: len(config.sales) * len(config.threads)].reshape(len(config.sales), -1)
    for column, threads in enumerate(config.threads):
        left.plot(config.sales, batches[:, column], "o-", label=f"batch, threads: {threads}")
    left.axhline(wall[SINGLE], linestyle="--", color="0.4", label=SINGLE)
    left.set(xscale="log", yscale="log", xlabel="sales in the batch", ylabel="steps a second")
    left.legend(frameon=False)
    right.plot(scaling["cells"], scaling["microseconds_cpu"], "o", label="measured")
    right.plot(scaling["cells"], scaling["fitted"], "_", color="0.4", label=f"plane, R² = {plane['r_squared']:.3f}")
    right.set(xlabel="products × segments", ylabel="CPU time a step, µs", ylim=(0.0, None))
    right.legend(frameon=False)
    drawing.suptitle(machine()["processor"])
    return drawing


@entry("benchmark", BenchmarkConfig)
def main(config: BenchmarkConfig, folder: RunFolder) -> None:
    """Measure, print and save."""
    speed = speed_table(config)
    scaling, plane = scaling_table(config)
    facts: dict[str, Any] = {"state_bytes_a_sale": state_bytes()}
    if config.memory_sales:
        name = f"megabytes_of_{config.memory_sales}_sales_by_{config.memory_chunk}"
        facts[name] = megabytes_of_sales(config.memory_sales, chunk=config.memory_chunk)
    if config.measures_starts:
        facts |= {f"seconds_of_{name}": seconds for name, seconds in start_seconds().items()}
    _save(folder.path, speed, scaling, plane, facts, config)
    print(f"\n{machine()['processor']}, {machine()['cpu_count']} cores; {PRODUCTS} products × {SEGMENTS} segments\n")
    print(speed.to_string(index=False, float_format=lambda value: f"{value:,.4g}" if value < 100 else f"{value:,.0f}"))
    print(f"\n{scaling.to_string(index=False, float_format='{:.2f}'.format)}")
    print(", ".join(f"{name} {value:.4g}" for name, value in plane.items()))
    print("\n".join(f"{name.replace('_', ' ')}: {value:,.1f}" for name, value in facts.items()))
    print(f"\nResults: {folder.path}", flush=True)


def _save(
    path: Path,
    speed: pd.DataFrame,
    scaling: pd.DataFrame,
    plane: dict[str, float],
    facts: dict[str, Any],
    config: BenchmarkConfig,
) -> None:
    write_table(path / "speed.csv", speed)
    write_table(path / "scaling.csv", scaling)
    results = {
        "machine": machine(),
        "speed": speed.to_dict("records"),
        "scaling": scaling.to_dict("records"),
        "plane": plane,
        **facts,
    }
    write_json(path / "benchmark.json", results)
    picture = io.BytesIO()
    figure(speed, scaling, plane, config).savefig(picture, format="png", dpi=120)
    write_bytes(path / "benchmark.png", picture.getvalue())


if __name__ == "__main__":
    if sys.argv[1:2] == ["training"]:
        from experiments.benchmarks import training as benchmark_training

        sys.argv.pop(1)
        benchmark_training.main()
    else:
        main()
