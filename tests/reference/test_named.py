"""Reference sales by name and from files."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from flashsim.errors import InputError
from flashsim.reference import REFERENCE_SALES, JointSale, MenuSale, g1, j1, solve, table_file

MENU: dict[str, Any] = {"rates": [[0.5, 1.0], [0.5, 1.0]], "prices": [10, 8], "stock": 1}
JOINT: dict[str, Any] = MENU | {
    "max_servers": 2,
    "mu": 2.5,
    "start_servers": 1,
    "server_cost": 1,
    "penalty": 0.5,
    "step": 1,
    "lag": 1,
}


def write(folder: Path, content: object) -> Path:
    path = folder / "mine.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return path


@pytest.mark.parametrize("name", REFERENCE_SALES)
def test_a_named_sale_bears_its_name(name: str) -> None:
    sale = REFERENCE_SALES[name]()
    assert sale.name == sale.compile().name == name


def test_a_file_with_the_numbers_of_a_named_sale_is_that_sale(tmp_path: Path) -> None:
    menu, joint = g1(), j1(2)
    read = table_file(write(tmp_path, {"rates": menu.rates.tolist(), "prices": menu.prices.tolist(), "stock": 40}))
    assert isinstance(read, MenuSale)
    assert read.name == "mine"
    assert solve(read).value == solve(menu).value
    numbers = {key: getattr(joint, key) for key in JOINT} | {"salvage": 0.0}
    numbers |= {"rates": joint.rates.tolist(), "prices": joint.prices.tolist()}
    read = table_file(str(write(tmp_path, numbers)))
    assert isinstance(read, JointSale)
    assert solve(read).value == solve(joint).value
    np.testing.assert_array_equal(read.rates, joint.rates)


def without(content: dict[str, Any], key: str) -> dict[str, Any]:
    return {name: value for name, value in content.items() if name != key}


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (MENU | {"price": [1]}, "unknown key 'price'; did you mean 'prices'?"),
        (JOINT | {"max_server": 3}, "unknown key 'max_server'; did you mean 'max_servers'?"),
        (without(MENU, "stock"), "a menu sale needs the key 'stock', got rates, prices; add it"),
        (without(JOINT, "mu"), "a joint sale needs the key 'mu'"),
        (MENU | {"lag": 1}, "a joint sale needs the key 'max_servers'"),
        ({}, "a menu sale needs the key 'rates', got none"),
        (MENU | {"rates": [[0.5, float("nan")]]}, "rates: .*nan"),
        (MENU | {"rates": [[0.5, float("-inf")]]}, "rates: .*-inf"),
        (MENU | {"rates": [[0.5, 1.0], [0.5]]}, "rates: .*rows of one length"),
        (MENU | {"rates": "many"}, "rates: .*'many'"),
        (MENU | {"rates": [[0.5, None]]}, "rates: .*None"),
        (MENU | {"prices": {"a": 1}}, "prices: .*'a'"),
        (MENU | {"stock": None}, "stock must be a whole number of units, got None"),
        (JOINT | {"mu": float("nan")}, "mu must be between .*, got nan"),
        (JOINT | {"penalty": "1"}, "penalty must be a number, got '1'"),
        (JOINT | {"start_servers": 3}, "start_servers must be between 0 and 2, got 3"),
        ([MENU], "expected a JSON object with the keys of a sale, got list"),
        ("{", "not valid JSON"),
    ],
)
def test_a_file_that_is_no_sale_is_refused_with_its_name_and_key(tmp_path: Path, content: object, words: str) -> None:
    with pytest.raises(InputError, match=rf"mine\.json.*{words.replace('?', '[?]')}"):
        table_file(write(tmp_path, content))


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"cannot read .*none\.json"):
        table_file(tmp_path / "none.json")
