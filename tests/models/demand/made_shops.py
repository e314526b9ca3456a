"""Generated shops whose truth is known: kinds of histories that make levels and responses hard to tell.

    python -m tests.models.demand.made_shops [SEEDS]      # the table of docs/own_data.md, 10 seeds

Each kind and seed makes one product, an elasticity between -3.5 and -1 (0 where the kind says so) and about 50 units a
day. The true level is the mean demand of an average weekday at list price over the last 28 days.
"""

import sys
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Final, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from flashsim.models.demand.daily_totals import ShopDemand, learn_demand

Array = NDArray[np.float64]
FIRST_DAY: Final = "2025-01-06"  # a Monday
WEEKDAY: Final = np.array([0.85, 0.85, 0.9, 1.0, 1.15, 1.25, 1.0])
SEEDS: Final = 10
LEVEL_TOLERANCE: Final = 0.1


@dataclass(frozen=True)
class Shop:
    """One product's history before anybody buys: by day the level, the price and what else moves it."""

    days: int
    level: Array  # day; units of an average weekday at list price
    price: Array  # day
    elasticity: float
    list_price: float = 10.0
    weekday: Array = field(default_factory=lambda: WEEKDAY / WEEKDAY.mean())
    overdispersion: float = 0.03
    stock_cover: float | None = None
    """Stock of a day over its mean demand at list price; None: plenty."""
    refunded: float = 0.0
    told: bool = False
    """Whether the table tells the list price."""


class Truth(NamedTuple):
    """A table as the reader hands it on, and what is true of it."""

    sales: pd.DataFrame
    level: float
    elasticity: float
    list_price: float


def promotions(days: int, generator: np.random.Generator, *, every: int = 21, length: int = 3) -> Array:
    """Share of the list price asked on each day: cuts of 15 to 40 % for ``length`` days about every ``every``."""
    ratio, day = np.ones(days), int(generator.integers(3, every))
    while day < days:
        ratio[day : day + length] = 1.0 - generator.choice([0.15, 0.2, 0.3, 0.4])
        day += every + int(generator.integers(-2, 3))
    return ratio


def _steady(g: np.random.Generator, b: float) -> Shop:
    return Shop(180, np.full(180, 50.0), 10.0 * promotions(180, g), b)


def _growth(g: np.random.Generator, b: float) -> Shop:
    level = 20.0 * 4.0 ** (np.arange(365) / 364)
    return Shop(365, level, 10.0 * promotions(365, g, length=2), b)


def _decline(g: np.random.Generator, b: float) -> Shop:
    level = 160.0 * 0.25 ** (np.arange(365) / 364)
    return Shop(365, level, 10.0 * promotions(365, g), b)


def _season(g: np.random.Generator, b: float) -> Shop:
    level = 50.0 * np.exp(0.5 * np.cos(2.0 * np.pi * (np.arange(730) - g.integers(365)) / 365.25))
    return Shop(730, level, 10.0 * promotions(730, g), b)


def _cut_in_a_trend(g: np.random.Generator, _: float) -> Shop:
    level = 24.0 * 3.0 ** (np.arange(365) / 364)
    cut = int(g.integers(150, 300))
    price = np.where(np.arange(365) < cut, 10.0, 8.0)
    return Shop(365, level, price, 0.0, list_price=8.0)


def _raise_in_a_trend(g: np.random.Generator, b: float) -> Shop:
    level = 80.0 * 0.5 ** (np.arange(365) / 364)
    price = np.where(np.arange(365) < int(g.integers(150, 300)), 10.0, 12.0)
    return Shop(365, level, price, b, list_price=12.0)


def _averages(g: np.random.Generator, b: float) -> Shop:
    price = 10.0 * promotions(180, g) * np.exp(0.008 * g.standard_normal(180))
    return Shop(180, np.full(180, 50.0), price, b)


def _one_price(_: np.random.Generator, b: float) -> Shop:
    return Shop(120, np.full(120, 50.0), np.full(120, 10.0), b)


def _refunds(g: np.random.Generator, b: float) -> Shop:
    return replace(_steady(g, b), refunded=0.06)


def _short_promotions(g: np.random.Generator, b: float) -> Shop:
    return Shop(200, np.full(200, 50.0), 10.0 * promotions(200, g, every=14, length=1), b)


def _long_promotion(g: np.random.Generator, b: float) -> Shop:
    price, start = np.full(300, 10.0), int(g.integers(60, 150))
    price[start : start + 60] = 7.5
    return Shop(300, 50.0 * 1.6 ** (np.arange(300) / 299), price, b)


def _weekdays(g: np.random.Generator, b: float) -> Shop:
    weekday = np.array([0.4, 0.5, 0.7, 0.8, 1.4, 2.2, 1.0])
    return replace(_steady(g, b), weekday=weekday / weekday.mean())


def _stock_outs(g: np.random.Generator, b: float) -> Shop:
    return replace(_steady(g, b), stock_cover=1.6)


def _sparse(g: np.random.Generator, b: float) -> Shop:
    return Shop(365, np.full(365, 0.8), 10.0 * promotions(365, g), b)


def _level_shift(g: np.random.Generator, b: float) -> Shop:
    shift = int(g.integers(120, 280))
    level = np.where(np.arange(330) < shift, 40.0, 40.0 * g.choice([0.5, 2.0]))
    return Shop(330, level, 10.0 * promotions(330, g), b)


def _several_stores(g: np.random.Generator, b: float) -> Shop:
    opened = int(g.integers(100, 220))
    level = np.where(np.arange(300) < opened, 28.0 + 12.0, 28.0 + 12.0 + 20.0)
    return Shop(300, level, 10.0 * promotions(300, g), b, overdispersion=0.1)


def _restless(g: np.random.Generator, b: float) -> Shop:
    walk: Array = np.repeat(np.cumsum(0.08 * g.standard_normal(53)), 7)[:365]
    level: Array = 50.0 * np.exp(walk - float(walk[-28:].mean()))
    return Shop(365, level, 10.0 * promotions(365, g), b, overdispersion=0.25)


def _list_price_raised(g: np.random.Generator, b: float) -> Shop:
    usual = np.where(np.arange(365) < 130, 9.0, np.where(np.arange(365) < 250, 9.5, 10.0))
    ratio = promotions(365, g)
    level = np.full(365, 50.0)
    return Shop(365, level, usual * ratio, b)


def _mostly_promoted(g: np.random.Generator, b: float) -> Shop:
    price = np.where(np.arange(210) % 14 < 5, 10.0, np.repeat(g.choice([7.0, 8.0], size=15), 14))
    return Shop(210, np.full(210, 50.0), price, b)


def _lately_cut(g: np.random.Generator, b: float) -> Shop:
    price = 10.0 * promotions(240, g)
    price[-40:] = 8.0
    return Shop(240, 50.0 * 0.8**b * np.ones(240), price, b, list_price=8.0)


def _doubled_lately(g: np.random.Generator, b: float) -> Shop:
    level = np.where(np.arange(200) < 200 - int(g.integers(10, 25)), 50.0, 100.0)
    return Shop(200, level, 10.0 * promotions(200, g), b)


def _told_list_price(g: np.random.Generator, b: float) -> Shop:
    price = 10.0 * np.repeat(g.choice([0.7, 0.8, 0.9], size=45), 4)
    return Shop(180, np.full(180, 50.0), price, b, told=True)


KINDS: Final[dict[str, Callable[[np.random.Generator, float], Shop]]] = {
    "steady": _steady,
    "growth, times 4 in a year": _growth,
    "decline to a quarter": _decline,
    "season, two years": _season,
    "price cut once in a trend, no response": _cut_in_a_trend,
    "price raised once in a decline": _raise_in_a_trend,
    "averages as prices": _averages,
    "one price only": _one_price,
    "refunds netted": _refunds,
    "promotions of a day": _short_promotions,
    "one promotion of two months, growing": _long_promotion,
    "strong weekdays": _weekdays,
    "stock-outs": _stock_outs,
    "sparse, 0.8 units a day": _sparse,
    "level shift": _level_shift,
    "several stores, one new": _several_stores,
    "level wanders": _restless,
    "list price raised twice": _list_price_raised,
    "promoted two days in three": _mostly_promoted,
    "price cut six weeks ago": _lately_cut,
    "doubled some weeks ago": _doubled_lately,
    "always promoted, list price told": _told_list_price,
}


def make_shop(kind: str, seed: int) -> Truth:
    """The table and truth of one kind and seed."""
    generator = np.random.default_rng((list(KINDS).index(kind), seed))
    shop = KINDS[kind](generator, float(generator.uniform(-3.5, -1.0)))
    dates = pd.date_range(FIRST_DAY, periods=shop.days)
    price = np.round(shop.price, 2)
    base = shop.level * shop.weekday[dates.day_of_week]
    mean = base * (price / shop.list_price) ** shop.elasticity
    shape = 1.0 / shop.overdispersion
    demand = generator.poisson(mean * generator.gamma(shape, 1.0 / shape, size=shop.days)).astype(np.float64)
    sold_out = np.zeros(shop.days, dtype=bool)
    if shop.stock_cover is not None:
        stock = np.maximum(generator.poisson(shop.stock_cover * shop.level), 1)
        sold_out, demand = demand >= stock, np.minimum(demand, stock)
    back = generator.binomial(demand.astype(np.int64), shop.refunded)
    late = np.roll(back, 4)
    late[:4] = 0
    sales = pd.DataFrame(
        {
            "date": dates,
            "product_id": "p",
            "sales": np.maximum(demand - late, 0.0),
            "price": price,
            "sold_out": sold_out,
        }
    )
    if shop.told:
        sales["list_price"] = shop.list_price
    keep = ~(sold_out & (demand == 0.0))
    level = float(shop.level[-28:].mean() * (1.0 - shop.refunded))
    return Truth(sales[keep].reset_index(drop=True), level, shop.elasticity, shop.list_price)


class Score(NamedTuple):
    """How one shop was learned."""

    level_error: float
    """Relative."""
    level_sd: float
    """Standard error of a level that is told by the filter's days alone, relative."""
    covers: bool
    is_wrong_sign: bool
    is_own: bool
    is_identified: bool
    width: float
    list_price_error: float


def score(kind: str, seed: int) -> Score:
    """Learn a shop and compare."""
    truth = make_shop(kind, seed)
    found = learn(truth.sales)
    told = found.evidence[0]
    error = float(found.level.mean() / truth.level - 1.0)
    alpha = float(np.mean([part.alpha[0] for part in found.spread]))
    return Score(
        error,
        float(np.sqrt((1.0 + alpha * truth.level) / (20.0 * truth.level))),
        told.low <= truth.elasticity <= told.high,
        told.is_identified and truth.elasticity > -0.05,
        not told.why_not,
        told.is_identified,
        told.high - told.low,
        float(found.list_price[0] / truth.list_price - 1.0),
    )


def learn(sales: pd.DataFrame) -> ShopDemand:
    """Twelve members, as the shipped World has them."""
    return learn_demand(sales, members=12, generator=np.random.default_rng(0), progress=lambda done, total: None)


def main(seeds: int) -> None:
    """Print the table."""
    everything: list[Score] = []
    print("| shop | level within 10 % | largest error | interval covers | its width | identified |")
    print("|---|---|---|---|---|---|")
    for kind in KINDS:
        scores = [score(kind, seed) for seed in range(seeds)]
        everything += scores
        cells = [
            kind,
            f"{sum(abs(s.level_error) <= LEVEL_TOLERANCE for s in scores)} of {seeds}",
            f"{max((s.level_error for s in scores), key=abs):+.0%}",
            f"{sum(s.covers for s in scores)} of {seeds}",
            f"{np.mean([s.width for s in scores]):.1f}",
            f"{sum(s.is_identified for s in scores)} of {seeds}",
        ]
        print(f"| {' | '.join(cells)} |", flush=True)
    near = np.mean([abs(s.level_error) <= LEVEL_TOLERANCE for s in everything])
    covers, wrong = np.mean([s.covers for s in everything]), sum(s.is_wrong_sign for s in everything)
    print(f"level within 10 %: {near:.1%}; interval covers: {covers:.1%}; confident wrong signs: {wrong}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else SEEDS)
