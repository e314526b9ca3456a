"""What a mapping says of orders beyond names: preset, stores, currencies, repeats."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final

from flashsim.data.orders.presets import PRESETS
from flashsim.errors import InputError
from flashsim.settings import nearest
from flashsim.shown import brief

ORDER_COLUMNS: Final = (
    *("date", "product_id", "quantity", "price", "total", "order_id", "list_price", "discount", "customer", "status"),
    *("cancelled", "kind", "test", "refunded_quantity", "refunded_amount", "store", "currency"),
    *("order_discount", "order_subtotal", "order_total"),
    *("product_name", "product_group"),
)
"""What a line may hold. Needed are date, product_id, and price (of a unit) or total (of the line)."""
NUMBER_COLUMNS: Final = (
    *("quantity", "price", "total", "list_price", "discount", "refunded_quantity", "refunded_amount"),
    *("order_discount", "order_subtotal", "order_total"),
)
OPTION_KEYS: Final = (
    *("preset", "stores", "currencies", "rates", "repeats", "of_order", "of_line", "discounts", "not_sold"),
)
AMOUNTS: Final = ("total", "discount", "refunded_amount")
"""Columns that may hold amounts of orders."""
DISCOUNTS: Final = ("apart", "whole", "included")
ALL: Final = "all"


@dataclass(frozen=True)
class OrderOptions:
    """How orders are read."""

    preset: str | None = None
    """Shop system whose names of columns are known; None: names that stand for themselves, and those of the mapping."""
    stores: tuple[str, ...] = ()
    """Stores that are taken, added up; ``all`` takes every one. None: a file of several stores is refused."""
    currencies: tuple[str, ...] = ()
    """Currencies whose lines are taken; none: a file of several currencies is refused."""
    rates: Mapping[str, float] = field(default_factory=lambda: MappingProxyType({}))
    """Units of the shop's currency for one unit of another: lines in it are converted, not left out."""
    repeats: str | None = None
    """``drop`` or ``keep`` lines that equal another in every column of the file; None: drop them where an order number
    or a time of day tells lines apart, else keep them."""
    of_order: tuple[str, ...] = ()
    """Of ``AMOUNTS`` those that hold amounts of whole orders; None: as their cells show."""
    of_line: tuple[str, ...] = ()
    """Of ``AMOUNTS`` those that hold amounts of lines."""
    discounts: str | None = None
    """Discounts of orders come off on top of those of lines (``apart``), hold them (``whole``), or are off the prices
    already (``included``); None: as the subtotals show."""
    not_sold: tuple[str, ...] = ()
    """Words of a status with which nothing was sold, beyond those that are known."""


def read_options(facts: Mapping[str, Any], *, what: str) -> OrderOptions:
    """The options in a mapping; InputError for a value that cannot be used."""
    repeats = facts.get("repeats")
    if repeats not in (None, "keep", "drop"):
        raise InputError(f"{what}.repeats: expected keep or drop, got {brief(repeats)}; correct it")
    rates = facts.get("rates") or {}
    if not isinstance(rates, Mapping):
        raise InputError(f"{what}.rates: expected currencies and rates, got {brief(rates)}; write {{EUR: 1.08}}")
    for code, rate in rates.items():
        if isinstance(rate, bool) or not isinstance(rate, int | float) or not 0.0 < rate < float("inf"):
            raise InputError(f"{what}.rates.{code}: expected a number above 0, got {brief(rate)}; correct it")
    discounts = facts.get("discounts")
    if discounts not in (None, *DISCOUNTS):
        raise InputError(f"{what}.discounts: expected {', '.join(DISCOUNTS)}, got {brief(discounts)}; correct it")
    amounts = {key: _names(facts.get(key), what=f"{what}.{key}") for key in ("of_order", "of_line")}
    for key, names in amounts.items():
        for name in names:
            if name not in AMOUNTS or (key == "of_line" and name in amounts["of_order"]):
                raise InputError(f"{what}.{key}: expected some of {', '.join(AMOUNTS)}, got {brief(name)}; correct it")
    return OrderOptions(
        **amounts,
        discounts=discounts,
        not_sold=_names(facts.get("not_sold"), what=f"{what}.not_sold"),
        preset=None if facts.get("preset") is None else check_preset(facts["preset"], what=f"{what}.preset"),
        stores=_names(facts.get("stores"), what=f"{what}.stores"),
        currencies=tuple(code.upper() for code in _names(facts.get("currencies"), what=f"{what}.currencies")),
        rates={str(code).upper(): float(rate) for code, rate in rates.items()},
        repeats=repeats,
    )


def check_preset(name: object, *, what: str) -> str:
    """A preset's name; InputError for one that is not known."""
    if not isinstance(name, str) or name.lower() not in PRESETS:
        near = nearest(name.lower(), tuple(PRESETS)) if isinstance(name, str) else None
        hint = f"did you mean {near!r}?" if near else f"known are {', '.join(PRESETS)}"
        raise InputError(f"{what}: there is no preset {brief(name)}; {hint}")
    return name.lower()


def _names(raw: object, *, what: str) -> tuple[str, ...]:
    if raw is None:
        return ()
    given = list(raw) if isinstance(raw, list | tuple) else [raw]
    names = tuple(str(name).strip() for name in given if isinstance(name, str | int) and not isinstance(name, bool))
    if len(names) != len(given) or not all(names):
        raise InputError(f"{what}: expected a name or a list of names, got {brief(raw)}; correct it")
    return names
