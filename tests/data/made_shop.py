"""A made shop's own tables, whose demand is known: by product a level, a price response, promotions and weekdays."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from flashsim.data.shop_folder import read_mapping
from flashsim.data.shop_tables import CheckedTables, read_shop_tables

ELASTICITY = -2.5
PROMOTION = 0.3
WEEKDAY = np.array([0.8, 0.8, 0.9, 1.0, 1.2, 1.3, 1.0])
FIRST_DAY = "2026-01-05"  # a Monday
LEVEL = 20.0
LIST_PRICES = (5.0, 8.0, 11.0)


def make_sales(
    days: int = 112, *, seed: int = 0, first: str = FIRST_DAY, level: float = LEVEL, products: int = 3
) -> pd.DataFrame:
    """One row a product and day; the last product is never discounted, every shelf runs empty on some days."""
    generator = np.random.default_rng(seed)
    dates = pd.date_range(first, periods=days)
    tables = []
    for product in range(products):
        depth = np.repeat(generator.choice([0.0, 0.0, 0.1, 0.2, 0.3, 0.4], size=days // 3 + 1), 3)[:days]
        depth = depth if product < products - 1 else 0.0 * depth
        promoted = (depth > 0.0) ^ (generator.random(days) < 0.2)
        price = np.round(LIST_PRICES[product] * (1.0 - depth), 2)
        mean = level_of(product, level) * WEEKDAY[dates.day_of_week] * (price / LIST_PRICES[product]) ** ELASTICITY
        demand = generator.poisson(mean * np.exp(PROMOTION * promoted))
        stock = generator.poisson(1.6 * mean.mean(), size=days)
        tables.append(
            pd.DataFrame(
                {
                    "date": dates.strftime("%Y-%m-%d"),
                    "product_id": f"p{product}",
                    "sales": np.minimum(demand, stock),
                    "price": price,
                    "promotion": promoted.astype(int),
                    "stock_out": (demand >= stock).astype(int),
                }
            )
        )
    return pd.concat(tables, ignore_index=True)


def level_of(product: int, level: float = LEVEL) -> float:
    """Units on an average day at list price."""
    return level * (1.0 + 0.3 * product)


def make_traffic(days: int = 35, *, seed: int = 1, first: str = FIRST_DAY, busiest_hour: int = 20) -> pd.DataFrame:
    """Visits every ten minutes; most at ``busiest_hour``."""
    stamps = pd.date_range(first, periods=days * 144, freq="10min")
    rate = 60.0 * (1.0 + 0.8 * np.cos(2.0 * np.pi * (stamps.hour - busiest_hour) / 24.0))
    visits = np.random.default_rng(seed).poisson(rate)
    return pd.DataFrame({"date": stamps.strftime("%Y-%m-%d %H:%M"), "visits": visits})


def make_behavior(days: int = 84, *, events: int = 12_000, seed: int = 2) -> pd.DataFrame:
    """Events of 400 people, of whom the first 120 buy on deal; a quarter of all events are purchases."""
    generator = np.random.default_rng(seed)
    sales = make_sales(days)
    depth = 1.0 - sales["price"] / sales.groupby("product_id")["price"].transform("max")
    place, user = generator.integers(len(sales), size=events), generator.integers(400, size=events)
    chance = np.where(user < 120, 0.05 + 1.2 * depth.to_numpy()[place], 0.2)
    hour = 17 + generator.integers(4, size=events)
    return pd.DataFrame(
        {
            "user_id": user,
            "timestamp": [
                f"{day} {h:02d}:{m:02d}:{s:02d}"
                for day, h, m, s in zip(
                    sales["date"].to_numpy()[place], hour, *generator.integers(60, size=(2, events)), strict=True
                )
            ],
            "item_id": sales["product_id"].to_numpy()[place],
            "behavior": np.where(generator.random(events) < chance, "buy", "view"),
        }
    )


def write_tables(folder: Path, **tables: pd.DataFrame) -> Path:
    """Write each table as CSV; returns the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, table in tables.items():
        table.to_csv(folder / f"{name}.csv", index=False)
    return folder


def read_shop(folder: Path, mapping: Any = None, *, most: float = 0.05, **settings: Any) -> CheckedTables:
    """The checked tables of ``folder``; ``mapping`` is the content of a YAML file."""
    return read_shop_tables(
        folder,
        read_mapping(mapping, source="map.yaml"),
        most_quarantined=most,
        quarantine_file=folder / "out" / "quarantine.csv",
        **settings,
    )
