"""Reference sales by name, and sales that a user brings in a file."""

import inspect
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from flashsim.errors import InputError
from flashsim.files import read_json
from flashsim.reference.sales import JointSale, MenuSale, ReferenceSale, joint_sale, menu_sale
from flashsim.settings import names_hint
from flashsim.shown import brief


def g0() -> MenuSale:
    """Two periods, one unit, two prices: a sale that can be solved by hand."""
    return menu_sale(rates=[[0.5, 1.0]] * 2, prices=[10.0, 8.0], stock=1, name="g0")


def g1() -> MenuSale:
    """24 periods, 40 units, list price 100, discounts 0 to 50 %, log-linear response of slope 4."""
    depths = np.arange(6) / 10.0
    return menu_sale(rates=np.tile(np.exp(4.0 * depths), (24, 1)), prices=100.0 * (1.0 - depths), stock=40, name="g1")


def g3() -> MenuSale:
    """30 periods, 75 units, list price 50: in each period fewer people come, and they react more to the price."""
    period, depths = np.arange(30.0)[:, None], np.array([0.0, 0.15, 0.30, 0.45, 0.60])
    slope = 0.5 + 4.5 * period / 29.0
    rates = 3.0 * np.exp(-period / 20.0) * np.exp(slope * depths)
    return menu_sale(rates=rates, prices=50.0 * (1.0 - depths), stock=75, name="g3")


def j1(lag: int = 0) -> JointSale:
    """Eight periods with a rush in the middle, 40 units, three prices, and up to four servers that start ``lag``
    periods after the order."""
    depths = np.array([0.0, 0.2, 0.4])
    base = np.array([1.0, 1.0, 4.0, 6.0, 3.0, 1.0, 1.0, 1.0])
    return joint_sale(
        rates=base[:, None] * np.exp(3.0 * depths),
        prices=10.0 * (1.0 - depths),
        stock=40,
        max_servers=4,
        mu=3.0,
        start_servers=1,
        server_cost=4.0,
        penalty=4.0,
        step=1,
        lag=lag,
        name=f"j1_lag{lag}" if lag else "j1",
    )


REFERENCE_SALES: dict[str, Callable[[], ReferenceSale]] = {
    "g0": g0,
    "g1": g1,
    "g3": g3,
    "j1": j1,
    "j1_lag1": lambda: j1(1),
    "j1_lag2": lambda: j1(2),
}
"""Every named reference sale."""


def table_file(path: Path | str) -> ReferenceSale:
    """Read the sale in a JSON file. Its keys are the arguments of :func:`joint_sale` or, without servers, of
    :func:`menu_sale`; the file gives the name.

    InputError on a file without such an object. It names an unknown key with the nearest known one, a missing key, or a
    value out of range.
    """
    path = Path(path)
    content = read_json(path)
    if not isinstance(content, Mapping):
        raise InputError(f"{path}: expected a JSON object with the keys of a sale, got {type(content).__name__}")
    menu_keys, joint_keys = _keys(menu_sale), _keys(joint_sale)
    for key in content:
        if key not in joint_keys:
            raise InputError(f"{path}: unknown key {brief(key)}; {names_hint(key, joint_keys)}")
    is_joint = any(key not in menu_keys for key in content)
    keys = joint_keys if is_joint else menu_keys
    missing = [key for key, is_needed in keys.items() if is_needed and key not in content]
    if missing:
        kind = "joint" if is_joint else "menu"
        raise InputError(
            f"{path}: a {kind} sale needs the key {missing[0]!r}, got {', '.join(content) or 'none'}; add it"
        )
    try:
        return joint_sale(**content, name=path.stem) if is_joint else menu_sale(**content, name=path.stem)
    except InputError as error:
        raise InputError(f"{path}: {error}") from error


def _keys(make: Callable[..., ReferenceSale]) -> dict[str, bool]:
    """The keys of a file for ``make``, and whether each is required."""
    parameters = inspect.signature(make).parameters.values()
    return {p.name: p.default is inspect.Parameter.empty for p in parameters if p.name != "name"}
