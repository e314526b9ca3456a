"""What an agent sees: one table of features. The space of observations, the names and groups of its columns, and the
column numbers with which compiled code writes them all come from it.

A **group** holds features that follow from the same quantity, so that they are varied together. A **set** says what it
takes to have a feature, each set within the next:

    raw         what is counted or decided: time, stock, servers, the last tick, budgets
    basic       and what is learned during the sale: levels of demand, pace, servers in force later
    engineered  and what joins these with the forecast: load and visitors ahead, cover, run-out price (all features)

To add a feature, add a row here and the line in ``flashsim.envs.observation`` that writes its column.
"""

from collections import namedtuple
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any, Final, NamedTuple

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from flashsim.errors import InputError
from flashsim.scenarios.compiled import CompiledSale

FEATURE_SETS: Final = ("raw", "basic", "engineered")
_RAW, _BASIC, _ENGINEERED = FEATURE_SETS
_SALE, _AHEAD, _PRODUCT = "sale", "ahead", "product"  # once a sale, once for each lookahead, once for each product
_NAMES: Final = {_SALE: "{column}", _AHEAD: "{column}_in_{ahead}", _PRODUCT: "product_{product}_{column}"}
_AT_PRICE: Final = "_at_{price}"
_THEN: Final = "{ahead} ticks ahead with all at price index {price}"
_SHARE, _RATIO = "share", "x/(1+x)"


@dataclass(frozen=True)
class Feature:
    """One column of the observation; all features lie in [0, 1]."""

    name: str
    unit: str
    meaning: str
    group: str
    first_set: str
    """The smallest set that holds it."""


class _Row(NamedTuple):
    column: str
    unit: str
    group: str
    first_set: str
    meaning: str


class _Section(NamedTuple):
    """Rows that repeat together: for each lookahead or product, and for each price if ``per_price``."""

    of: str
    rows: tuple[_Row, ...]
    per_price: bool = False  # all rows at one price, then all at the next
    where: str = "always"  # past: not in reference sales, which remember nothing; before: with ticks before the opening

    def is_in(self, sale: CompiledSale) -> bool:
        """Whether ``sale`` has these rows."""
        return {"always": True, "past": not sale.is_reference, "before": sale.pre_opening > 0}[self.where]


_LOAD = "load of the last tick"
TABLE: Final = (
    _Section(
        _SALE,
        (
            _Row("time_left", _SHARE, "time", _RAW, "share of the ticks to come"),
            _Row("servers_ordered", _SHARE, "servers", _RAW, "level last ordered, over the most allowed"),
        ),
    ),
    _Section(
        _SALE,
        (_Row("to_opening", _SHARE, "time", _RAW, "ticks until the doors open, of those before the opening"),),
        where="before",
    ),
    _Section(
        _SALE,
        (
            _Row("level", _RATIO, "visitors", _BASIC, "learned level of demand over the forecast, all products"),
            _Row("load", _RATIO, _LOAD, _RAW, "visits of the last tick over what the servers ordered can do in a tick"),
            _Row("utilization", _SHARE, _LOAD, _RAW, "of the servers, last tick"),
            _Row("latency", _SHARE, _LOAD, _RAW, "mean latency of the last tick over the time-out, at most 1"),
            _Row("backlog", _RATIO, _LOAD, _RAW, "visits waiting over what the servers ordered can do in a tick"),
            _Row(
                "room", _RATIO, _LOAD, _RAW, "people in the waiting room over what the servers ordered can do in a tick"
            ),
            _Row("pushes_left", _SHARE, "pushes", _RAW, "of the budget"),
            _Row("goodwill", _SHARE, "pushes", _RAW, "what is left of the last push"),
            _Row("waves_left", _SHARE, "supply", _RAW, "of the planned releases"),
            _Row("lots_left", _SHARE, "supply", _RAW, "of those that the supplier holds"),
            _Row("lots_coming", _SHARE, "supply", _RAW, "ordered and not yet here, of those that the supplier held"),
        ),
        where="past",
    ),
    _Section(_AHEAD, (_Row("servers", _SHARE, "servers", _BASIC, "in force {ahead} ticks ahead as ordered by now"),)),
    _Section(
        _AHEAD,
        (
            _Row("load", _RATIO, "visitors", _ENGINEERED, f"forecast visitors over capacity, {_THEN}"),
            _Row("visitors", _RATIO, "visitors", _ENGINEERED, f"forecast visitors over the first tick's, {_THEN}"),
        ),
        per_price=True,
    ),
    _Section(
        _PRODUCT,
        (_Row("cover", _RATIO, "stock", _ENGINEERED, "stock over forecast demand to the end at price index {price}"),),
        per_price=True,
    ),
    _Section(
        _PRODUCT,
        (
            _Row(
                "run_out",
                _SHARE,
                "stock",
                _ENGINEERED,
                "price index at which the stock runs out just at the end, over the largest",
            ),
            _Row("stock", _SHARE, "stock", _RAW, "units not in carts or sold, of those planned and all lots"),
            _Row("available", _SHARE, "stock", _RAW, "units on sale, of those planned and all lots"),
        ),
    ),
    _Section(
        _PRODUCT,
        (
            _Row("level", _RATIO, "demand of products", _BASIC, "learned level of its demand over the forecast"),
            _Row("pace", _RATIO, "stock", _BASIC, "stock over what goes until the end at the present pace"),
            _Row("price", _SHARE, "prices shown", _RAW, "price index of the last tick, over the largest"),
        ),
        where="past",
    ),
)


class _Column(NamedTuple):
    section: _Section
    row: _Row
    each: int  # ticks ahead, or product
    price: int


def _columns(sale: CompiledSale) -> Iterator[_Column]:
    """The rows of the table, repeated, in the order of the columns."""
    for of, repeats in ((_SALE, (0,)), (_AHEAD, sale.lookahead), (_PRODUCT, range(sale.products))):
        sections = [part for part in TABLE if part.of == of and part.is_in(sale)]
        for each, section in product(repeats, sections):
            for price in range(sale.price_levels) if section.per_price else (0,):
                yield from (_Column(section, row, each, price) for row in section.rows)


def observation_table(sale: CompiledSale) -> list[Feature]:
    """The columns of the observation, in order."""
    table = []
    for section, row, each, price in _columns(sale):
        numbers = {"column": row.column, "ahead": each, "product": each, "price": price}
        name = (_NAMES[section.of] + (_AT_PRICE if section.per_price else "")).format(**numbers)
        table.append(Feature(name, row.unit, row.meaning.format(**numbers), row.group, row.first_set))
    return table


def observation_space(sale: CompiledSale) -> spaces.Box:
    """Box of the observation."""
    return spaces.Box(0.0, 1.0, (sum(1 for _ in _columns(sale)),), np.float32)


def feature_groups(table: Sequence[Feature]) -> dict[str, NDArray[np.intp]]:
    """Columns of each group, groups in the order in which ``table`` first mentions them."""
    groups: dict[str, list[int]] = {}
    for column, feature in enumerate(table):
        groups.setdefault(feature.group, []).append(column)
    return {group: np.array(columns, np.intp) for group, columns in groups.items()}


def feature_set(table: Sequence[Feature], chosen: str) -> tuple[str, ...]:
    """Names of the features that the set ``chosen`` holds, in their order; InputError for an unknown set."""
    if chosen not in FEATURE_SETS:
        raise InputError(f"observation: expected one of {', '.join(FEATURE_SETS)}, got {chosen!r}")
    last = FEATURE_SETS.index(chosen)
    return tuple(feature.name for feature in table if FEATURE_SETS.index(feature.first_set) <= last)


def _rows(of: str) -> list[str]:
    return [row.column for section in TABLE if section.of == of for row in section.rows]


def _columns_type(name: str, fields: list[str]) -> Any:
    return namedtuple(name, fields, module=__name__)  # numba pickles it by that name


_STRIDES = ("repeat", "next_price")
SaleColumns = _columns_type("SaleColumns", _rows(_SALE))
AheadColumns = _columns_type("AheadColumns", [*_rows(_AHEAD), *_STRIDES])
ProductColumns = _columns_type("ProductColumns", [*_rows(_PRODUCT), *_STRIDES])


class ObservationColumns(NamedTuple):
    """Column numbers, for compiled code: each field of a part is a row of the table, -1 where the sale lacks it.

    Rows that repeat give the column of the first lookahead or product, and of the first price; ``repeat`` columns on
    stands the next lookahead or product, ``next_price`` columns on the next price.
    """

    sale: Any  # SaleColumns
    ahead: Any  # AheadColumns
    product: Any  # ProductColumns


def observation_columns(sale: CompiledSale) -> ObservationColumns:
    """Where the features of ``sale`` stand."""
    return ObservationColumns(
        SaleColumns(**_first_columns(sale, _SALE)),
        AheadColumns(**_first_columns(sale, _AHEAD), **_strides(sale, _AHEAD, len(sale.lookahead))),
        ProductColumns(**_first_columns(sale, _PRODUCT), **_strides(sale, _PRODUCT, sale.products)),
    )


def _first_columns(sale: CompiledSale, of: str) -> dict[str, int]:
    first = dict.fromkeys(_rows(of), -1)
    for number, column in enumerate(_columns(sale)):
        if column.section.of == of and first[column.row.column] < 0:
            first[column.row.column] = number
    return first


def _strides(sale: CompiledSale, of: str, repeats: int) -> dict[str, int]:
    """Columns from one lookahead or product to the next, and from one price to the next."""
    columns = sum(column.section.of == of for column in _columns(sale))
    prices = sum(len(section.rows) for section in TABLE if section.of == of and section.per_price)
    return {"repeat": columns // max(1, repeats), "next_price": prices}
