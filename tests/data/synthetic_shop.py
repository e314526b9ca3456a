"""A small shop whose demand is known: three stores, two groups of products, and every trap of real till data."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

TIME_ZONE = "America/New_York"
FIRST_DAY = pd.Timestamp("2017-01-01")  # a Sunday: the first week is one day long
SLOPES = {101: 3.0, 102: 2.5, 103: 2.0, 104: 1.5, 201: 3.5, 202: 2.0, 203: 1.0, 204: 2.5}
DISPLAY_EFFECT = 0.4
LIST_PRICE = 2.0
WEIGHED, FUEL, UNKNOWN = 301, 401, 999
STORES = (1, 2, 3)
HOUSEHOLDS = 60


@dataclass(frozen=True)
class Shop:
    """Tables as a data package would carry them."""

    transactions: pd.DataFrame
    products: pd.DataFrame
    promotions: pd.DataFrame

    def save(self, folder: Path) -> Path:
        """Write the three Parquet files that flashsim reads."""
        folder.mkdir(parents=True, exist_ok=True)
        for name in ("transactions", "products", "promotions"):
            getattr(self, name).to_parquet(folder / f"{name}.parquet", index=False)
        return folder


def make_shop(*, seed: int = 0, weeks: int = 36, units_per_day: float = 2.0) -> Shop:
    """``weeks`` whole weeks after a first Sunday; daily units of each product and store are Poisson."""
    generator = np.random.default_rng(seed)
    days = 1 + 7 * weeks
    products = list(SLOPES)
    depth = generator.choice([0.0, 0.0, 0.1, 0.2, 0.3, 0.4], size=(len(products), weeks + 1))
    shown = (depth[:, :, None] > 0.15) & (generator.random((len(products), weeks + 1, len(STORES))) < 0.5)
    columns: list[pd.DataFrame] = []
    for i, product in enumerate(products):
        week = np.minimum((np.arange(days) + 6) // 7, weeks)
        rate = units_per_day * np.exp(SLOPES[product] * depth[i, week][:, None] + DISPLAY_EFFECT * shown[i, week] - 0.3)
        counts = generator.poisson(rate)
        day, store = np.nonzero(counts)
        repeated = np.repeat(np.arange(day.size), counts[day, store])
        columns.append(
            pd.DataFrame({"product_id": product, "day": day[repeated], "store_id": np.array(STORES)[store[repeated]]})
        )
    lines = pd.concat(columns, ignore_index=True)
    week = (lines["day"].to_numpy() + 6) // 7
    place = pd.Series(np.arange(len(products)), index=products)
    regular = np.full(len(lines), LIST_PRICE)
    discount = np.round(regular * depth[place.loc[lines["product_id"]].to_numpy(), week], 2)
    lines = lines.assign(
        quantity=1,
        sales_value=regular - discount,
        retail_disc=discount,
        coupon_match_disc=0.0,
        week=week + 1,
        household_id=generator.integers(1, HOUSEHOLDS + 1, len(lines)),
        hour=generator.choice([9, 12, 17, 17, 18, 20], len(lines)),
    )
    lines = pd.concat([lines, _odd_lines(generator, days)], ignore_index=True)
    return Shop(_stamped(lines), _products(products), _promotions(products, shown))


def _odd_lines(generator: np.random.Generator, days: int) -> pd.DataFrame:
    """Fuel, a weighed product, an unknown product, quantity 0 and a line without value."""
    count = 120
    weighed = np.round(generator.uniform(0.5, 6.0, count), 2)
    blocks = [
        {"product_id": WEIGHED, "quantity": 1, "sales_value": weighed},
        {"product_id": FUEL, "quantity": 9000, "sales_value": np.full(count, 25.0)},
        {"product_id": UNKNOWN, "quantity": 1, "sales_value": np.full(count, 1.0)},
        {"product_id": 101, "quantity": 0, "sales_value": np.full(count, 2.0)},
        {"product_id": 102, "quantity": 1, "sales_value": np.zeros(count)},
    ]
    day = generator.integers(1, days, count)
    shared = {"day": day, "week": (day + 6) // 7 + 1, "store_id": 1, "household_id": 1, "hour": 12}
    return pd.concat(
        [pd.DataFrame(block | shared | {"retail_disc": 0.0, "coupon_match_disc": 0.0}) for block in blocks]
    )


def _stamped(lines: pd.DataFrame) -> pd.DataFrame:
    local = FIRST_DAY + pd.to_timedelta(lines["day"], unit="D") + pd.to_timedelta(lines["hour"], unit="h")
    utc = local.dt.tz_localize(TIME_ZONE).dt.tz_convert("UTC").dt.tz_localize(None).astype("datetime64[ns]")
    return lines.drop(columns=["day", "hour"]).assign(
        transaction_timestamp=utc, basket_id=np.arange(len(lines)), coupon_disc=0.0
    )


def _products(products: list[int]) -> pd.DataFrame:
    records: list[tuple[int, str, str, str, str | None]] = [
        (product, "GROCERY", "COOKIES" if product < 200 else "JUICES", f"THING {product}", "12 OZ")
        for product in products
    ]
    records.append((WEIGHED, "PRODUCE", "APPLES", "APPLES BULK", "40 LB"))
    records.append((FUEL, "FUEL", "COUPON/MISC ITEMS", "GASOLINE-REG UNLEADED", None))
    return pd.DataFrame(
        records, columns=["product_id", "department", "product_category", "product_type", "package_size"]
    )


def _promotions(products: list[int], shown: np.ndarray) -> pd.DataFrame:
    product, week, store = np.nonzero(shown)
    table = pd.DataFrame(
        {
            "product_id": np.array(products)[product],
            "store_id": np.array(STORES)[store],
            "display_location": "5",
            "mailer_location": "0",
            "week": week + 1,
        }
    )
    return pd.concat([table, table.head(7)], ignore_index=True)
