"""Days on which a product was surely not on sale are told and not taken as days without demand."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from flashsim.data.shop_tables import CheckedTables
from tests.data.made_shop import read_shop, write_tables
from tests.models.demand.made_shops import learn

DAYS = pd.date_range("2026-01-05", periods=200)


def shop_of(folder: Path, sold: np.ndarray, *, other: float = 20.0, seed: int = 0) -> CheckedTables:
    """A shop of product A, which sold ``sold``, and of B, which sold every day; days without a sale have a row."""
    generator = np.random.default_rng(seed)
    units = {"A": sold, "B": np.maximum(generator.poisson(other, DAYS.size), 1)}
    tables = [
        pd.DataFrame({"date": DAYS.strftime("%Y-%m-%d"), "product_id": name, "sales": each, "price": 5.0})
        for name, each in units.items()
    ]
    return read_shop(write_tables(folder, sales_data=pd.concat(tables, ignore_index=True)))


def rows_of(shop: CheckedTables) -> int:
    assert shop.sales is not None
    return int((shop.sales["product_id"] == "A").sum())


@pytest.mark.parametrize("where", [slice(-14, None), slice(100, 130), slice(-40, -34), slice(0, 20)])
def test_a_long_stretch_without_a_sale_of_a_product_that_sells_daily_is_no_demand(tmp_path: Path, where: slice) -> None:
    sold = np.random.default_rng(1).poisson(30.0, DAYS.size)
    sold[where] = 0
    shop = shop_of(tmp_path, sold)
    gone = DAYS.size - len(np.delete(sold, where))
    assert rows_of(shop) == DAYS.size - gone
    assert any("not on sale: A (" in note and str(DAYS[where][0].date()) in note for note in shop.notes)
    assert shop.sales is not None
    found = learn(shop.sales)
    assert found.level[:, 0].mean() == pytest.approx(30.0, rel=0.15)


@pytest.mark.parametrize("every", [2, 5, 10])
def test_a_product_that_sells_much_on_few_days_keeps_its_days_without_a_sale(tmp_path: Path, every: int) -> None:
    generator = np.random.default_rng(every)
    sold = np.where(generator.random(DAYS.size) < 1.0 / every, 100, 0)
    shop = shop_of(tmp_path, sold)
    assert rows_of(shop) == DAYS.size
    assert not any("not on sale" in note for note in shop.notes)


@pytest.mark.parametrize("weekly", [(6,), (5, 6)])
def test_closed_days_of_each_week_stay_days_without_a_sale(tmp_path: Path, weekly: tuple[int, ...]) -> None:
    sold = np.where(np.isin(DAYS.day_of_week, weekly), 0, 25)
    assert rows_of(shop_of(tmp_path, sold)) == DAYS.size


def test_a_product_that_ended_is_told(tmp_path: Path) -> None:
    rows = [
        f"o{day:%m%d}{sku},{day:%Y-%m-%d} 10:00,{sku},2,5.00"
        for day in DAYS
        for sku in "AB"
        if sku == "B" or day < DAYS[-12]
    ]
    (tmp_path / "orders.csv").write_text("\n".join(["order_id,date,sku,qty,price", *rows]) + "\n")
    shop = read_shop(tmp_path)
    assert any(f"A (12 days after {DAYS[-13].date()})" in note for note in shop.notes)
