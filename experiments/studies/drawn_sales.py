"""Reference sales that nobody tuned for: menu sales and joint sales drawn at random, as the content of table files.

A draw fixes the length, a menu of prices, how demand runs over the sale and how it answers to depth, then scales demand
so that stock (and servers) are neither idle nor hopeless: expected demand in the middle of the menu is between about
half and three times the stock. Every third sale has few units over many periods, where one sale tells least of what a
decision was worth. Left out: menus of one price, prices that no one pays, lags above 3.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

KINDS = ("menu", "joint", "few units")


def draw_sale(number: int, *, seed: int) -> dict[str, Any]:
    """Arguments of ``menu_sale`` or ``joint_sale`` (rates, prices, stock, …); kinds take turns by ``number``."""
    rng = np.random.default_rng((seed, number))
    kind = sale_kind(number)
    if kind == "joint" or (kind == "few units" and rng.random() < 0.25):
        return _joint(rng, is_scarce=kind == "few units")
    return _menu(rng, is_scarce=kind == "few units")


def sale_kind(number: int) -> str:
    """The kind of sale ``number``, one of ``KINDS``."""
    return KINDS[number % len(KINDS)]


def _menu(rng: np.random.Generator, *, is_scarce: bool) -> dict[str, Any]:
    ticks = int(rng.integers(60, 121) if is_scarce else rng.integers(8, 61))
    stock = int(rng.integers(1, 9) if is_scarce else rng.integers(10, 151))
    prices, depths = _prices(rng)
    rates = _rates(rng, ticks, depths)
    middle = rates[:, len(depths) // 2].sum()
    rates *= stock * float(np.exp(rng.uniform(np.log(0.5), np.log(3.0)))) / middle
    salvage = float(rng.choice([0.0, 0.0, rng.uniform(0.05, 0.4)])) * float(prices.min())
    return {"rates": _table(rates), "prices": prices.tolist(), "stock": stock, "salvage": round(salvage, 2)}


def _joint(rng: np.random.Generator, *, is_scarce: bool) -> dict[str, Any]:
    sale = _menu(rng, is_scarce=is_scarce)
    ticks = int(rng.integers(40, 81) if is_scarce else rng.integers(6, 31))
    rates = np.array(sale["rates"])
    rates = rates[np.linspace(0, len(rates) - 1, ticks).round().astype(np.int64)] * (len(rates) / ticks)
    most = int(rng.integers(2, 7))
    price, peak = float(np.median(sale["prices"])), float(rates[:, rates.shape[1] // 2].max())
    mu = round(max(1.0, peak / most * rng.uniform(0.7, 1.8)), 1)
    units = rates[:, rates.shape[1] // 2].mean() / (mu * most)  # share of all servers that mean demand keeps busy
    return {
        **sale,
        "rates": _table(rates),
        "max_servers": most,
        "mu": mu,
        "start_servers": int(rng.integers(0, most + 1)),
        "server_cost": round(float(mu * price * min(units, 1.0) * rng.uniform(0.05, 0.4)), 2),
        "penalty": round(price * rng.uniform(0.0, 0.6), 2),
        "step": int(rng.integers(1, 3)),
        "lag": int(rng.integers(0, 4)),
    }


def _prices(rng: np.random.Generator) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Prices and their depths, list price first."""
    choices = int(rng.integers(2, 8))
    steps = rng.uniform(0.5, 1.5, choices - 1).cumsum()
    depths = np.concatenate([[0.0], steps / steps[-1] * rng.uniform(0.2, 0.7)]).round(3)
    return (float(np.exp(rng.uniform(np.log(5.0), np.log(300.0)))) * (1.0 - depths)).round(2), depths


def _rates(rng: np.random.Generator, ticks: int, depths: NDArray[np.float64]) -> NDArray[np.float64]:
    """Expected buyers (tick, price) up to a factor: a course of the sale, and an elasticity that may drift."""
    time = np.linspace(0.0, 1.0, ticks)
    courses: dict[str, Callable[[], NDArray[np.float64]]] = {
        "even": lambda: np.ones(ticks),
        "fading": lambda: np.exp(-time * rng.uniform(0.5, 3.0)),
        "rising": lambda: 0.2 + time * rng.uniform(0.5, 2.0),
        "rush": lambda: 0.3 + 3.0 * np.exp(-0.5 * ((time - rng.uniform(0.1, 0.9)) / rng.uniform(0.05, 0.25)) ** 2),
        "uneven": lambda: rng.gamma(2.0, 0.5, ticks) + 0.05,
    }
    course = courses[str(rng.choice(list(courses)))]()
    first, last = rng.uniform(1.0, 6.0, 2)
    slope = first + (last - first) * time if rng.random() < 0.5 else np.full(ticks, first)
    return course[:, None] * np.exp(slope[:, None] * depths)


def _table(rates: NDArray[np.float64]) -> list[list[float]]:
    return [[round(float(rate), 5) for rate in row] for row in rates]
