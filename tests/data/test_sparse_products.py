"""Products that hardly sold leave a table that their days without a sale would swell, and are named."""

from pathlib import Path

import numpy as np
import pandas as pd

from flashsim.data.shop_tables import CheckedTables
from tests.data.made_shop import read_shop, write_tables


def read(folder: Path, sales: pd.DataFrame) -> CheckedTables:
    return read_shop(write_tables(folder, sales_data=sales))


def sparse_shop(products: int, *, days: int = 360) -> pd.DataFrame:
    """One product that sells every day, and ``products`` that sold on their first, some, and their last day."""
    dates = pd.date_range("2025-01-01", periods=days).strftime("%Y-%m-%d")
    daily = pd.DataFrame({"date": dates, "product_id": "daily", "sales": 5, "price": 10.0})
    generator = np.random.default_rng(0)
    rare = [
        pd.DataFrame({"date": dates[place], "product_id": f"rare{number:03d}", "sales": 1, "price": 3.0})
        for number in range(products)
        for place in [np.sort(generator.choice(days, size=4, replace=False))]
    ]
    return pd.concat([daily, *rare], ignore_index=True)


def test_a_table_of_many_sparse_products_keeps_those_that_sold_and_names_the_others(tmp_path: Path) -> None:
    own = read(tmp_path, sparse_shop(300))
    assert own.sales is not None
    assert own.sales["product_id"].unique().tolist() == ["daily"]
    dropped = {row["what"]: row["rows"] for row in own.account.rows()}
    assert dropped["dropped: of products sold on fewer than 10 days, in a table of many"] == 1200
    (note,) = [words for words in own.notes if "left out" in words]
    assert note.startswith("sales_data: 300 products sold on fewer than 10 days, left out: rare000, rare001")
    assert note.endswith("and 290 more.")


def test_a_few_sparse_products_keep_their_days_without_a_sale(tmp_path: Path) -> None:
    own = read(tmp_path, sparse_shop(5))
    assert own.sales is not None
    assert own.sales["product_id"].nunique() == 6
    assert (own.sales["sales"] == 0.0).sum() > 500


def test_a_table_of_sparse_products_alone_keeps_them(tmp_path: Path) -> None:
    sales = sparse_shop(300)
    own = read(tmp_path, sales[sales["product_id"] != "daily"])
    assert own.sales is not None
    assert own.sales["product_id"].nunique() == 300
