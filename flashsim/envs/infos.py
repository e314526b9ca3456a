"""What the infos of the env hold beside what Gymnasium and Stable-Baselines3 put there.

    action_mask   the feasible choices now
    cost          costs of the last tick by name (``flashsim.envs.reward``)
    ledger        the facts of the last tick by name (``flashsim.sim.ledger.Ledger``)

Both are dicts: for one sale a name has a number, or an array (product); for many sales an array (sale, …). Each step
copies all facts at once, as one block of memory, and a dict is filled from the copy when it is first read: that costs a
step little, and what an info holds does not change afterwards.
"""

import functools
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from flashsim.envs.reward import constraint_costs
from flashsim.sim.ledger import Ledger

_ALIGNMENT = 16  # bytes


class FieldPlace(NamedTuple):
    """Where a field of the ledger stands in the block."""

    start: int
    stop: int
    dtype: np.dtype[Any]
    shape: tuple[int, ...]


class LedgerBlock:
    """A ledger whose arrays are parts of one block of memory, so that one copy takes them all."""

    def __init__(self, ledger: Ledger) -> None:
        """A block with the values of ``ledger``."""
        self.places, stop = {}, 0
        for name, field in ledger._asdict().items():
            start = -(-stop // _ALIGNMENT) * _ALIGNMENT
            stop = start + field.nbytes
            self.places[name] = FieldPlace(start, stop, field.dtype, field.shape)
        self.memory = np.zeros(stop, np.uint8)
        self.ledger = Ledger(**{name: field_of(self.memory, place) for name, place in self.places.items()})
        for target, field in zip(self.ledger, ledger, strict=True):
            target[...] = field


class LedgerSums:
    """Sums over ticks of the facts in a block, laid out like it, so that one addition takes many of them."""

    def __init__(self, block: LedgerBlock) -> None:
        memory = np.zeros_like(block.memory)
        self.sums = Ledger(**{name: field_of(memory, place) for name, place in block.places.items()})
        """Whether a sale is closed is not summed."""
        runs: list[FieldPlace] = []
        for place in block.places.values():
            start = runs.pop().start if runs and runs[-1].dtype == place.dtype else place.start
            runs.append(FieldPlace(start, place.stop, place.dtype, (-1,)))
        self._parts = [(field_of(memory, run), field_of(block.memory, run)) for run in runs if run.dtype != np.bool_]

    def add(self) -> None:
        """Add the facts of the tick that passed."""
        for total, facts in self._parts:
            np.add(total, facts, out=total)


def field_of(memory: NDArray[np.uint8], place: FieldPlace) -> NDArray[Any]:
    """The array at ``place``, a view."""
    return memory[place.start : place.stop].view(place.dtype).reshape(place.shape)


class TickFacts:
    """A copy of the facts of one tick of all sales of a batch."""

    __slots__ = ("_memory", "_places", "sales")

    def __init__(self, block: LedgerBlock, sales: int) -> None:
        self._memory, self._places, self.sales = block.memory.copy(), block.places, sales

    def __getitem__(self, name: str, /) -> NDArray[Any]:
        """The amounts (sale,) of that name, summed over products."""
        place = self._places[name]
        amounts = field_of(self._memory, place)
        if len(place.shape) > 2:
            amounts = amounts.sum(axis=1)
        return amounts.reshape(-1)[: self.sales]

    def of_row(self, row: int) -> dict[str, Any]:
        """The facts of one sale: numbers and arrays (product)."""
        tile, lane = divmod(row, self._places["is_closed"].shape[-1])
        found = {}
        for name, place in self._places.items():
            fact = field_of(self._memory, place)[tile, ..., lane]
            found[name] = fact.copy() if len(place.shape) > 2 else fact.item()
        return found

    def of_rows(self, mask: NDArray[np.bool_]) -> dict[str, NDArray[Any]]:
        """The facts (sale, …) of those in ``mask``; 0 in other rows."""
        found = {}
        for name, place in self._places.items():
            rows = np.moveaxis(field_of(self._memory, place), -1, 1).reshape(-1, *place.shape[1:-1])[: self.sales]
            found[name] = np.where(mask.reshape(-1, *[1] * (rows.ndim - 1)), rows, rows.dtype.type(0))
        return found


class FactsByName(dict[str, Any]):
    """Facts of many sales by name, each (sale, …), of which those in ``mask`` count.

    ``facts["_name"]`` is the mask of ``facts["name"]``, as in Gymnasium's infos; masks are found, but not listed.
    """

    def __init__(self, facts: Mapping[str, NDArray[Any]], mask: NDArray[np.bool_]) -> None:
        super().__init__(facts)
        self._mask = mask

    def __missing__(self, name: str) -> NDArray[np.bool_]:
        return _mask_named(self, name, self._mask)


class LedgerOfTick(dict[str, Any]):
    """The ledger of a tick, of one row or of the rows of a mask (then as in :class:`FactsByName`).

    A dict that is filled when it is first read. Its copies, pickled ones too, are filled.
    """

    __slots__ = ("_facts", "_where")

    def __init__(self, facts: TickFacts, where: "int | NDArray[np.bool_]") -> None:
        self._facts: TickFacts | None = facts
        self._where = where

    def fill(self) -> None:
        """Read the facts, once."""
        facts, self._facts = self._facts, None
        if facts is not None:
            self.update(self._read(facts))

    def _read(self, facts: TickFacts) -> dict[str, Any]:
        where = self._where
        return facts.of_row(where) if isinstance(where, int) else facts.of_rows(where)

    def __missing__(self, name: str) -> NDArray[np.bool_]:
        return _mask_named(self, name, None if isinstance(self._where, int) else self._where)

    def __reduce__(self) -> tuple[Any, ...]:
        if isinstance(self._where, int):
            return dict, (dict(self),)
        return FactsByName, (dict(self), self._where)


class CostsOfTick(LedgerOfTick):
    """The costs of a tick: the same kind of dict."""

    __slots__ = ("_excess",)

    def __init__(
        self, facts: TickFacts, where: "int | NDArray[np.bool_]", excess: Mapping[str, NDArray[np.float64]]
    ) -> None:
        """``excess``: what constraints add, (sale,)."""
        super().__init__(facts, where)
        self._excess = excess

    def _read(self, facts: TickFacts) -> dict[str, Any]:
        costs, where = constraint_costs(facts) | dict(self._excess), self._where
        if isinstance(where, int):
            return {name: float(cost[where]) for name, cost in costs.items()}
        return {name: np.where(where, cost, 0.0) for name, cost in costs.items()}


def facts_of_tick(
    facts: TickFacts, rows: NDArray[np.bool_], excess: Mapping[str, NDArray[np.float64]]
) -> dict[str, Any]:
    """Costs and ledger of a tick, of ``rows`` (sale,), with the masks that Gymnasium puts beside them."""
    costs, ledger = CostsOfTick(facts, rows, excess), LedgerOfTick(facts, rows)
    return {"cost": costs, "_cost": rows.copy(), "ledger": ledger, "_ledger": rows.copy()}


def _mask_named(facts: dict[str, Any], name: str, mask: NDArray[np.bool_] | None) -> NDArray[np.bool_]:
    if mask is None or not name.startswith("_") or name[1:] not in facts:
        raise KeyError(name)
    return mask.copy()


def _filled_first(name: str) -> Any:
    """The method ``name`` of dict, of a ledger that is filled before."""
    method = getattr(dict, name)

    @functools.wraps(method)
    def filled(self: LedgerOfTick, *arguments: Any, **named: Any) -> Any:
        self.fill()
        return method(self, *arguments, **named)

    return filled


for _name in (
    *("__contains__", "__delitem__", "__eq__", "__getitem__", "__ior__", "__iter__", "__len__", "__ne__"),
    *("__or__", "__repr__", "__reversed__", "__ror__", "__setitem__", "clear", "copy", "get", "items", "keys", "pop"),
    *("popitem", "setdefault", "values"),
):
    setattr(LedgerOfTick, _name, _filled_first(_name))
