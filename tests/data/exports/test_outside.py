"""Tables are read from the shop's folder alone: a name or a link that leads out of it is refused."""

from pathlib import Path
from typing import Any

import pytest

from flashsim.errors import InputError
from tests.data.made_shop import make_sales, read_shop, write_tables

SECRET = "root:x:0:0:secret"


def outside(tmp_path: Path) -> Path:
    path = tmp_path / "outside.csv"
    path.write_text(f"{SECRET},b\n1,2\n")
    return path


@pytest.mark.parametrize("table", ["orders", "sales_data", "traffic_data"])
@pytest.mark.parametrize("name", ["../outside.csv", "inner/../../outside.csv", "ABSOLUTE", "link.csv"])
def test_a_mapping_names_files_of_the_folder_alone(tmp_path: Path, table: str, name: str) -> None:
    folder = write_tables(tmp_path / "shop", **({} if table == "sales_data" else {"sales_data": make_sales(40)}))
    secret = outside(tmp_path)
    (folder / "inner").mkdir()
    (folder / "link.csv").symlink_to(secret)
    mapping: dict[str, Any] = {table: {"file": str(secret) if name == "ABSOLUTE" else name}}
    with pytest.raises(InputError, match=r"leads out of .*copy the file into it") as refused:
        read_shop(folder, mapping)
    assert SECRET not in str(refused.value)


@pytest.mark.parametrize(
    ("link", "mapping"),
    [
        ("orders.csv", None),
        ("sales_data.csv", None),
        ("bestellungen_1.csv", {"orders": {"file": "bestellungen_*.csv"}}),
        ("export.csv", {"orders": {"preset": "shopify"}}),
    ],
)
def test_a_link_that_leads_out_of_the_folder_is_refused_unread(tmp_path: Path, link: str, mapping: Any) -> None:
    folder = tmp_path / "shop"
    folder.mkdir()
    (folder / link).symlink_to(outside(tmp_path))
    with pytest.raises(InputError, match="is a link that leads out of") as refused:
        read_shop(folder, mapping)
    assert SECRET not in str(refused.value)


def test_links_within_the_folder_and_a_linked_folder_are_read(tmp_path: Path) -> None:
    folder = write_tables(tmp_path / "shop", days=make_sales(40))
    (folder / "sales_data.csv").symlink_to("days.csv")
    (tmp_path / "linked").symlink_to(folder)
    sales = read_shop(tmp_path / "linked").sales
    assert sales is not None
    assert len(sales) == 120
