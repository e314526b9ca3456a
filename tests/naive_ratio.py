"""How many times a naive sale the simulator is: the slow reference and the engine, side by side, on the same sale.

python -m tests.naive_ratio

The slow reference (tests/reference_sale.py) is the sale as one would first write it: plain Python, one person and one
unit at a time. A step is one tick of one sale of ``experiments.benchmarks.sale``, every part on, under the same random
orders, by one thread; observations and rewards are left out on both sides. Cases run in turn; medians are printed.
"""

from collections.abc import Callable, Sequence
from itertools import count, cycle

import numpy as np

from experiments.benchmarks.sale import PRODUCTS, SEGMENTS, make_sale
from experiments.benchmarks.stopwatch import measure
from flashsim.scenarios.compiled import CompiledSale
from flashsim.sim.engine import Batch
from flashsim.sim.state import HOLD, PUSH, RELEASE, REORDER
from tests.reference_sale import Decision, play

NAIVE = "naive sale"
SALES = (1, 4_096)
TICKS_A_TURN = 16  # of the clock


def random_orders(sale: CompiledSale) -> list[Decision]:
    """Orders for every tick, drawn once: any prices, mostly nothing else."""
    rng, orders = np.random.default_rng(0), []
    for _ in range(sale.ticks):
        price_index = tuple(int(index) for index in rng.integers(0, sale.price_levels, sale.products))
        timing = int(rng.choice([HOLD, HOLD, HOLD, RELEASE, PUSH, REORDER]))
        cap = float(rng.choice(sale.admission_caps))
        orders.append(Decision(price_index, timing, int(rng.choice(sale.server_changes)), cap))
    return orders


def naive_case(sale: CompiledSale, orders: Sequence[Decision]) -> Callable[[], int]:
    """Ticks of one whole sale of the slow reference."""
    seeds = count()

    def run() -> int:
        play(sale.tables, orders, seed=next(seeds))
        return len(orders)

    return run


def engine_case(sale: CompiledSale, orders: Sequence[Decision], *, sales: int) -> Callable[[], int]:
    """Ticks of ``sales`` sales of the engine, together; sales that end open again."""
    batch, everyone = Batch(sale.tables, sales, domain=0), np.ones(sales, np.bool_)
    batch.fill(batch.seed, np.arange(sales, dtype=np.uint64))
    batch.open(everyone)
    upcoming = cycle(orders)

    def run() -> int:
        for _ in range(TICKS_A_TURN):
            now = next(upcoming)
            batch.decisions.price_index[:] = np.array(now.price_index)[:, None]
            batch.decisions.timing[:], batch.decisions.change[:], batch.decisions.cap[:] = now[1:]
            batch.step()
            if batch.ledger.is_closed.any():
                batch.open(everyone)
        return TICKS_A_TURN * sales

    return run


def ratio_table(sale: CompiledSale, *, sales: Sequence[int], seconds: float, repeats: int) -> str:
    """Steps a second of every case, and how many times the naive sale's that is; one line each."""
    orders = random_orders(sale)
    cases = {NAIVE: naive_case(sale, orders)}
    cases |= {f"engine, sales: {number:,}": engine_case(sale, orders, sales=number) for number in sales}
    speeds = measure(cases, seconds=seconds, repeats=repeats)
    naive = speeds[NAIVE]
    lines = [f"{'':22} {'steps/CPU s':>12} {'steps/s':>12} {'x naive, CPU':>13} {'x naive, wall':>14} {'load':>6}"]
    for name, speed in speeds.items():
        cpu, wall = speed.per_cpu_second / naive.per_cpu_second, speed.per_second / naive.per_second
        rates = f"{speed.per_cpu_second:12,.0f} {speed.per_second:12,.0f}"
        lines.append(f"{name:22} {rates} {cpu:13,.0f} {wall:14,.0f} {speed.load:6.2f}")
    return "\n".join(lines)


if __name__ == "__main__":
    print(f"{PRODUCTS} products × {SEGMENTS} segments, one thread")
    print(ratio_table(make_sale(), sales=SALES, seconds=1.0, repeats=7))
