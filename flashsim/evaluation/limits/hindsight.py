"""The best plan known for a sale that has been: what it could have earned had everything been known.

Streams are counter-based, so a sale can be played again, to the same people, as often as one likes. A plan names an
action of every head for each of some blocks of ticks: a step around the run-out price of each product, a utilization
for the scaler, pushes, doors (in a reference sale: price indices and changes of servers). Candidates of one sale are
played side by side, the best is kept and changed at random, sale by sale: a change gives one head one choice for some
blocks in a row.

What is found is a lower bound on the hindsight optimum of the sale, and the larger of it and of what any policy has
earned in that sale is *the best hindsight plan known*. It uses luck that nobody can foresee: no policy need reach it,
and it may exceed the relaxation of ``bounds``, which holds for policies that see the past only.

Source: evolution strategies as in Rechenberg (1973), Evolutionsstrategie; Raiffa & Schlaifer (1961), Applied
Statistical Decision Theory, for the value of perfect information.
"""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from flashsim.envs.actions import ActionConfig
from flashsim.envs.reward import RewardConfig
from flashsim.envs.vector import SaleBatch, consecutive_seeds
from flashsim.scenarios.compiled import CompiledSale
from flashsim.sim.streams import EVALUATION_DOMAIN

TARGETS = (0.6, 0.4, 0.8)
MOST_BLOCKS = 24
STEPS = 3  # around the run-out price
SHORT = 36  # ticks; a shorter sale is planned tick by tick
ROUNDS = 12
_MOST_CHANGES = 4  # of a child


def best_plans(
    sale: CompiledSale,
    *,
    sales: int,
    seed: int,
    rounds: int = ROUNDS,
    children: int = 16,
    domain: int = EVALUATION_DOMAIN,
    threads: int = 1,
    progress: Callable[[int], object] = lambda _ticks: None,
) -> NDArray[np.float64]:
    """Reward (sale,) of the best plan found for each of the sales that ``rollout.play`` plays with these arguments.

    Costs sales · children · rounds · ticks simulated steps; more rounds never find less, and what is found for a sale
    depends neither on those beside it nor on the ``threads`` of the engine.
    """
    longest = sale.longest_decision
    every = next((n for n in range(1, longest) if longest % n == 0 and _is_coarse(sale.ticks, n)), longest)
    action = ActionConfig(every=every)
    if not sale.is_reference:
        action = replace(action, scaler_targets=TARGETS, around_run_out=STEPS)
    batch = SaleBatch(sale, sales * children, action=action, reward=RewardConfig(), domain=domain, threads=threads)
    seeds, sizes = np.repeat(consecutive_seeds(seed, sales), children), batch.codec.sizes
    shape = (children, sale.all_ticks // every, sizes.size)
    random = np.random.default_rng(0)  # the same for every sale: they differ in what each keeps
    plans = np.repeat(_held(batch, children, blocks=shape[1])[None], sales, axis=0)  # sale, child, block, head
    kept, best = plans[:, 0], np.full(sales, -np.inf)
    for _ in range(rounds):
        batch.seed(seeds)
        batch.observe()
        earned = np.zeros(sales * children)
        for block in range(shape[1]):
            reward, _ = batch.step(plans[:, :, block].reshape(sales * children, sizes.size))
            earned += reward
            progress(every)
        by_sale = earned.reshape(sales, children)
        winner = by_sale.argmax(axis=1)
        top = by_sale[np.arange(sales), winner]
        is_better = top > best
        best = np.where(is_better, top, best)
        kept = np.where(is_better[:, None, None], plans[np.arange(sales), winner], kept)
        is_changed, choices = _changes(shape, sizes, random)
        plans = np.where(is_changed, choices, kept[:, None])
    return best


def _changes(
    shape: tuple[int, int, int], sizes: NDArray[np.int64], random: np.random.Generator
) -> tuple[NDArray[np.bool_], NDArray[np.int64]]:
    """Where each child differs from what was kept, and what it chooses there; both (child, block, head)."""
    children, blocks, heads = shape
    is_changed, choices = np.zeros(shape, np.bool_), np.zeros(shape, np.int64)
    for child in range(children):
        for _ in range(1 + child % _MOST_CHANGES):
            head, ends = random.integers(heads), np.sort(random.integers(0, blocks + 1, 2))
            span = slice(ends[0], max(ends[1], ends[0] + 1))
            is_changed[child, span, head] = True
            choices[child, span, head] = random.integers(sizes[head])
    return is_changed, choices


def _is_coarse(ticks: int, every: int) -> bool:
    return ticks <= SHORT or ticks // every <= MOST_BLOCKS


def _held(batch: SaleBatch, children: int, *, blocks: int) -> NDArray[np.int64]:
    """Plans (child, block, head) that hold one price, or one step around the run-out price, after the other."""
    sale = batch.sale
    count = sale.price_levels if sale.is_reference else 2 * STEPS + 1
    price_index = np.repeat((np.arange(children) % count)[:, None], sale.products, axis=1)
    heads = batch.codec.encode(batch.codec.defaults(children)._replace(price_index=price_index))
    return np.repeat(heads[:, None], blocks, axis=1)
