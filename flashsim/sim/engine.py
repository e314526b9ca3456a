"""Batches of sales: tiles of up to 128 lanes, stepped one after another or by a stated number of threads.

A batch of n sales becomes ⌈n/128⌉ tiles of equal width; lanes beyond the n-th are sales of their own that nobody reads.
As every draw is addressed by its sale and tick, row i of a batch equals that sale run alone, whatever the width or
threads.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from flashsim.errors import InputError
from flashsim.sim import sale
from flashsim.sim.cache import compiled
from flashsim.sim.ledger import Ledger, ledger_tile, make_ledger
from flashsim.sim.state import (
    Decisions,
    SaleState,
    SaleTables,
    Scratch,
    decisions_tile,
    make_decisions,
    make_scratch,
    make_state,
    sale_tile,
)

WIDEST_TILE = 128
Number = TypeVar("Number", bound=np.generic)


@compiled
def step_tiles(
    tables: SaleTables,
    state: SaleState,
    decisions: Decisions,
    ledger: Ledger,
    scratch: Scratch,
    first: int,
    last: int,
) -> None:
    """Step the tiles first .. last - 1."""
    for tile in range(first, last):
        sale.step_sale(
            tables, sale_tile(state, tile), decisions_tile(decisions, tile), ledger_tile(ledger, tile), scratch
        )


@compiled
def open_tiles(
    tables: SaleTables,
    state: SaleState,
    opening: NDArray[np.bool_],
    seed: NDArray[np.uint64],
    domain: np.uint64,
    episode: NDArray[np.uint64],
    scratch: Scratch,
) -> None:
    """Open the sales marked in ``opening`` (tile, lane)."""
    for tile in range(opening.shape[0]):
        if np.any(opening[tile]):
            view = sale_tile(state, tile)
            sale.open_sales(tables, view, opening[tile], seed[tile], domain, episode[tile], scratch)


class Batch:
    """``sales`` simulations of one compiled sale, side by side.

    ``decisions`` is to be filled before each :meth:`step`, ``ledger`` holds the facts after it; both have axes tile, …,
    lane. :meth:`rows` turns such an array into one whose first axis is the sale.
    """

    def __init__(self, tables: SaleTables, sales: int, *, domain: int, threads: int = 1) -> None:
        for name, number in (("the number of sales", sales), ("threads", threads)):
            if isinstance(number, bool) or not isinstance(number, int | np.integer) or number < 1:
                raise InputError(f"{name} must be a whole number and at least 1, got {number!r}")
        self.tables, self.sales, self.domain = tables, sales, np.uint64(domain)
        self.tiles = -(-sales // WIDEST_TILE)
        self.lanes = -(-sales // self.tiles)
        self.products = tables.rate.shape[2]
        self.state = make_state(tables, self.tiles, self.lanes)
        self.ledger = make_ledger(self.tiles, self.lanes, products=self.products)
        self.decisions = make_decisions(self.products, self.tiles, self.lanes)
        self.seed = np.zeros((self.tiles, self.lanes), np.uint64)
        self.episode = np.zeros((self.tiles, self.lanes), np.uint64)
        threads = min(threads, self.tiles)
        self._bounds = [self.tiles * part // threads for part in range(threads + 1)]
        self.scratch = [make_scratch(tables, self.lanes) for _ in range(threads)]
        self._pool: ThreadPoolExecutor | None = None

    def __getstate__(self) -> dict[str, Any]:
        """What a copy is made of: everything but the running threads."""
        return self.__dict__ | {"_pool": None}

    def rows(self, array: NDArray[Number]) -> NDArray[Number]:
        """``array`` (tile, …, lane) with the sale as its first axis; (sale, …), a view where that is possible."""
        if array.ndim > 2:
            array = array.transpose(0, array.ndim - 1, *range(1, array.ndim - 1))
        return array.reshape(self.tiles * self.lanes, *array.shape[2:])[: self.sales]

    def fill(self, target: NDArray[Any], rows: NDArray[Any]) -> None:
        """Write ``rows`` (sale, …) into ``target`` (tile, …, lane); lanes that nobody reads become 0."""
        if self.tiles == 1 and rows.ndim <= 2:  # the usual case, in a third of the time; all lanes are read
            target[0] = rows.T
            return
        if self.sales < self.tiles * self.lanes:
            padded = np.zeros((self.tiles * self.lanes, *rows.shape[1:]), target.dtype)
            padded[: self.sales] = rows
            rows = padded
        shaped = rows.reshape(self.tiles, self.lanes, *rows.shape[1:])
        target[...] = shaped.transpose(0, *range(2, shaped.ndim), 1)

    def open(self, opening: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Open new sales in the rows of ``opening`` (sale,) with the present ``seed`` and ``episode``.

        Returns the same marks as (tile, lane); where all rows open, the lanes that nobody reads open too.
        """
        marks = np.zeros((self.tiles, self.lanes), np.bool_)
        self.fill(marks, opening)
        unread = marks.reshape(-1)[self.sales :]
        unread[:] = self.ledger.is_closed.reshape(-1)[self.sales :] | opening.all()
        open_tiles(self.tables, self.state, marks, self.seed, self.domain, self.episode, self.scratch[0])
        self.ledger.is_closed[marks] = False
        return marks

    def step(self) -> None:
        """Let one tick pass in all sales; RuntimeError where one has ended and was not opened again."""
        self.check_open()
        self.each(
            lambda part, first, last: step_tiles(
                self.tables, self.state, self.decisions, self.ledger, self.scratch[part], first, last
            )
        )

    def check_open(self) -> None:
        """RuntimeError where a sale has ended and was not opened again."""
        if np.count_nonzero(self.ledger.is_closed):  # for few sales much quicker than any()
            raise RuntimeError("a sale has ended: open it again before the next step")

    def each(self, work: Callable[[int, int, int], None]) -> None:
        """Call ``work(part, first, last)`` for each thread's part of the tiles; its scratch is ``scratch[part]``.

        The first part is the caller's own.
        """
        if len(self.scratch) == 1:
            work(0, 0, self.tiles)
            return
        own, *others = zip(range(len(self.scratch)), self._bounds[:-1], self._bounds[1:], strict=True)
        if others and self._pool is None:
            self._pool = ThreadPoolExecutor(len(others))
        pending = [self._pool.submit(work, *part) for part in others] if self._pool else []
        work(*own)
        for done in pending:
            done.result()
