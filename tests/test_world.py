"""A World is checked in full when made and when loaded, and its file format is frozen."""

import dataclasses
import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from flashsim.errors import InputError
from flashsim.files import sha256
from flashsim.world import ARRAY_AXES, World

MEMBERS, SEGMENTS, PRODUCTS, DEPTHS = 3, 2, 4, 5


def world_fields() -> dict[str, Any]:
    depth = np.linspace(0.0, 0.4, DEPTHS)
    level = np.linspace(0.01, 0.02, MEMBERS * SEGMENTS * PRODUCTS).reshape(MEMBERS, SEGMENTS, PRODUCTS, 1, 1)
    return {
        "name": "toy",
        "product_ids": ("a", "b", "c", "d"),
        "product_names": ("A", "B", "C", "D"),
        "product_groups": ("x", "x", "y", "y"),
        "segment_names": ("deal seekers", "others"),
        "list_price": np.array([1.0, 2.0, 3.0, 4.0]),
        "unit_cost": np.array([0.7, 1.4, 2.1, 2.8]),
        "depth_grid": depth,
        "units_per_minute": level * np.exp(3.0 * depth)[:, None] * np.ones(24),
        "display_effect": np.full((MEMBERS, PRODUCTS), 0.4),
        "mailer_effect": np.full((MEMBERS, PRODUCTS), 0.2),
        "weekday_factor": np.ones((MEMBERS, 7)),
        "frailty_common_variance": np.full(MEMBERS, 0.1),
        "frailty_product_variance": np.full((MEMBERS, PRODUCTS), 0.2),
        "conversion_at_list": np.full(MEMBERS, 0.03),
        "traffic_share": np.full(MEMBERS, 0.5),
        "population": 200.0,
        "training_members": (0, 1),
        "heldout_members": (2,),
        "provenance": {"list_price": "made up", "scores": {"wape": 0.5}, "rows": [["kept", 3]]},
    }


def make_world(**changes: Any) -> World:
    return World(**(world_fields() | changes))


def changed(field: str, index: Any, value: float) -> dict[str, Any]:
    array = np.array(world_fields()[field])
    array[index] = value
    return {field: array}


def test_a_saved_world_loads_back_equal(tmp_path: Path) -> None:
    world = make_world()
    world.save(tmp_path / "world")
    loaded = World.load(tmp_path / "world")
    assert loaded.fingerprint() == world.fingerprint()
    for field in ARRAY_AXES:
        np.testing.assert_array_equal(getattr(loaded, field), getattr(world, field))
    assert loaded.training_members == (0, 1)
    assert loaded.product_names == world.product_names


def test_saving_replaces_an_earlier_world_and_is_repeatable_to_the_byte(tmp_path: Path) -> None:
    make_world(name="earlier").save(tmp_path / "a")
    make_world().save(tmp_path / "a")
    make_world().save(tmp_path / "b")
    for name in ("world.safetensors", "world.json"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a", "b"]


def test_saving_into_a_folder_of_other_files_is_refused_and_leaves_them(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(InputError, match=r"thesis\.tex"):
        make_world().save(tmp_path)
    assert (tmp_path / "thesis.tex").read_text() == "years of work"


def test_saving_below_a_file_is_refused_in_words(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot write"):
        make_world().save(tmp_path / "file" / "world")


def test_the_file_format_is_frozen(tmp_path: Path) -> None:
    """A change here is a change of format: raise FORMAT_VERSION and say so in the changelog."""
    make_world().save(tmp_path / "world")
    arrays = load_file(tmp_path / "world" / "world.safetensors")
    assert {field: (str(array.dtype), array.shape) for field, array in arrays.items()} == {
        "list_price": ("float64", (4,)),
        "unit_cost": ("float64", (4,)),
        "depth_grid": ("float64", (5,)),
        "units_per_minute": ("float32", (3, 2, 4, 5, 24)),
        "display_effect": ("float64", (3, 4)),
        "mailer_effect": ("float64", (3, 4)),
        "weekday_factor": ("float64", (3, 7)),
        "frailty_common_variance": ("float64", (3,)),
        "frailty_product_variance": ("float64", (3, 4)),
        "conversion_at_list": ("float64", (3,)),
        "traffic_share": ("float64", (3,)),
    }
    facts = json.loads((tmp_path / "world" / "world.json").read_text())
    assert facts["format_version"] == 2
    assert {key: type(value).__name__ for key, value in facts.items()} == {
        "format_version": "int",
        "sha256": "str",
        "fingerprint": "str",
        "name": "str",
        "currency": "str",
        "product_ids": "list",
        "product_names": "list",
        "product_groups": "list",
        "segment_names": "list",
        "population": "float",
        "supported_depth": "float",
        "service_rate": "float",
        "unloaded_latency_s": "float",
        "rush_amplitude": "float",
        "rush_ramp_minutes": "float",
        "rush_hold_minutes": "float",
        "rush_decay_minutes": "float",
        "buyer_value": "float",
        "training_members": "list",
        "heldout_members": "list",
        "provenance": "dict",
    }
    assert sorted(p.name for p in (tmp_path / "world").iterdir()) == ["world.json", "world.safetensors"]


@pytest.mark.parametrize("name", ["world.safetensors", "world.json"])
@pytest.mark.parametrize("keep", [0.0, 0.5, 0.99])
def test_a_truncated_file_is_refused(tmp_path: Path, name: str, keep: float) -> None:
    make_world().save(tmp_path / "world")
    path = tmp_path / "world" / name
    data = path.read_bytes()
    path.write_bytes(data[: int(keep * len(data))])
    with pytest.raises(InputError, match=name):
        World.load(tmp_path / "world")


def test_one_flipped_bit_in_the_arrays_is_refused(tmp_path: Path) -> None:
    make_world().save(tmp_path / "world")
    path = tmp_path / "world" / "world.safetensors"
    data = bytearray(path.read_bytes())
    data[-5] ^= 1
    path.write_bytes(bytes(data))
    with pytest.raises(InputError, match="SHA-256"):
        World.load(tmp_path / "world")


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("population", 400.0, "was changed after it was written"),
        ("population", None, "population: expected a number, got None"),
        ("population", float("inf"), "population"),
        ("provenance", {"scores": "excellent"}, "was changed after it was written"),
        ("provenance", [], "provenance: expected a dict"),
        ("heldout_members", [1], "disjoint"),
        ("training_members", 3, "must be a list, got 3"),
        ("product_ids", [1, 2, 3, 4], "product_ids: expected a non-empty text, got 1"),
        ("format_version", 1, r"format version 1, this flashsim reads 2 \(2 added service_rate, .*; calibrate again"),
        ("service_rate", 0.0, r"service_rate: expected values in \(0, 1e9\], got 0.0"),
        ("rush_decay_minutes", 0.0, "rush_decay_minutes: .* got 0.0"),
        ("buyer_value", -1.0, "buyer_value: .* got -1.0"),
        ("sha256", "0" * 64, "SHA-256"),
    ],
)
def test_changed_facts_are_refused(tmp_path: Path, key: str, value: object, words: str) -> None:
    make_world().save(tmp_path / "world")
    path = tmp_path / "world" / "world.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {key: value}))
    with pytest.raises(InputError, match=words):
        World.load(tmp_path / "world")


def test_missing_files_and_keys_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"world\.json"):
        World.load(tmp_path / "nowhere")
    make_world().save(tmp_path / "world")
    path = tmp_path / "world" / "world.json"
    facts = json.loads(path.read_text())
    del facts["currency"]
    path.write_text(json.dumps(facts))
    with pytest.raises(InputError, match="lacks 'currency'"):
        World.load(tmp_path / "world")
    path.write_text("[]")
    with pytest.raises(InputError, match="expected an object, got list"):
        World.load(tmp_path / "world")
    make_world().save(tmp_path / "whole")
    (tmp_path / "whole" / "world.safetensors").unlink()
    with pytest.raises(InputError, match=r"world\.safetensors"):
        World.load(tmp_path / "whole")


@pytest.mark.parametrize("fault", ["missing", "dtype"])
def test_arrays_of_another_name_or_type_are_refused_though_the_checksum_fits(tmp_path: Path, fault: str) -> None:
    make_world().save(tmp_path / "world")
    arrays_path, facts_path = tmp_path / "world" / "world.safetensors", tmp_path / "world" / "world.json"
    arrays = dict(load_file(arrays_path))
    if fault == "missing":
        del arrays["list_price"]
    else:
        arrays["list_price"] = arrays["list_price"].astype(np.float32)
    save_file(arrays, arrays_path)
    facts_path.write_text(json.dumps(json.loads(facts_path.read_text()) | {"sha256": sha256(arrays_path)}))
    with pytest.raises(InputError, match="list_price"):
        World.load(tmp_path / "world")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"list_price": np.ones(3)}, r"list_price: expected \(4,\), got \(3,\)"),
        ({"list_price": ["a", "b", "c", "d"]}, "list_price: expected an array of float64"),
        ({"units_per_minute": np.ones((3, 2, 4, 5, 23))}, r"expected \(3, 2, 4, 5, 24\), got \(3, 2, 4, 5, 23\)"),
        (changed("list_price", 1, 0.0), r"list_price: expected values in \(0, 1e9\], got 0.0"),
        (changed("unit_cost", 1, -1.0), "unit_cost: .* got -1.0"),
        (changed("unit_cost", 1, np.nan), "unit_cost: expected finite numbers, got nan"),
        (changed("units_per_minute", (0, 0, 0, 0, 0), -0.1), "units_per_minute: .* got -0.1"),
        (changed("units_per_minute", (0, 0, 0, 1, 0), 0.0), "never to fall with depth"),
        (changed("depth_grid", 0, 0.01), "depth_grid: expected depths ascending from 0"),
        (changed("depth_grid", 2, 0.1), "depth_grid: expected depths ascending from 0"),
        (changed("weekday_factor", (0, 0), 2.0), "weekday_factor: expected a mean of 1"),
        (changed("conversion_at_list", 0, 1.0), r"conversion_at_list: expected values in \(0, 1\), got 1.0"),
        (changed("traffic_share", 0, 1.1), "traffic_share: .* got 1.1"),
        (changed("frailty_common_variance", 0, -0.1), "frailty_common_variance: .* got -0.1"),
        ({"population": 0.0}, "population: .* got 0.0"),
        ({"population": "many"}, "population: expected a number, got 'many'"),
        ({"supported_depth": 1.0}, "supported_depth: .* got 1.0"),
        ({"name": ""}, "name: expected a non-empty text"),
        (
            {"name": "Shop\n· world is signed by the key 0123"},
            r"name: expected a name in one line .*, got 'Shop\\n· ",
        ),
        ({"currency": "\x1b[2J"}, "currency: expected a name in one line"),
        ({"segment_names": ("a", "\u202eb")}, r"segment_names: .*, got '\\u202eb'"),
        ({"product_ids": ("a", "b", "a", "d")}, "product_ids: expected unique names, got 'a' 2 times"),
        ({"product_names": ("A",)}, "product_names: expected 4 names, got 1"),
        ({"training_members": ()}, "training_members: expected at least one"),
        ({"training_members": (0, 3)}, "members: expected integers in 0 … 2, got 3"),
        ({"heldout_members": (1, 2)}, "disjoint, got 1 twice"),
        ({"provenance": {"x": np.float64("nan")}}, "provenance: expected plain finite JSON"),
        ({"provenance": {"x": object()}}, "provenance: expected plain finite JSON"),
    ],
)
def test_a_wrong_value_is_refused_in_words(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        make_world(**changes)


def test_a_world_keeps_its_own_read_only_copies() -> None:
    prices = np.array([1.0, 2.0, 3.0, 4.0])
    world = make_world(list_price=prices)
    prices[0] = 99.0
    assert world.list_price[0] == 1.0
    with pytest.raises(ValueError, match="read-only"):
        world.list_price[0] = 99.0


def test_every_field_counts_in_the_fingerprint() -> None:
    world = make_world()
    changes: list[dict[str, Any]] = [
        {"name": "other"},
        {"currency": "EUR"},
        {"product_groups": ("x", "y", "y", "y")},
        {"population": 201.0},
        {"supported_depth": 0.4},
        {"service_rate": 30.0},
        {"rush_hold_minutes": 0.0},
        {"training_members": (0,)},
        {"provenance": {}},
        changed("list_price", 0, 1.5),
        changed("units_per_minute", (2, 1, 3, 4, 23), 1.0),
    ]
    prints = {make_world(**change).fingerprint() for change in changes} | {world.fingerprint()}
    assert len(prints) == len(changes) + 1
    assert make_world().fingerprint() == world.fingerprint()


def test_a_world_survives_pickling_and_replace() -> None:
    world = make_world()
    assert pickle.loads(pickle.dumps(world)).fingerprint() == world.fingerprint()
    assert dataclasses.replace(world, population=7.0).population == 7.0


def test_units_between_the_nodes_keep_what_an_hour_sells_and_meet_the_nodes_of_depth() -> None:
    busy = np.where((np.arange(24) >= 9) & (np.arange(24) < 12), 20.0, 1.0)
    world = make_world(units_per_minute=world_fields()["units_per_minute"] * busy)
    minutes = np.arange(1440) + 0.5
    units = world.units_at(world.depth_grid, minutes)
    assert units.shape == (MEMBERS, SEGMENTS, PRODUCTS, DEPTHS, 1440)
    by_hour = units.reshape(*units.shape[:-1], 24, 60).mean(axis=-1)
    np.testing.assert_allclose(by_hour, world.units_per_minute, atol=5e-4 * world.units_per_minute.max())
    some = world.units_at([0.0, 0.2], minutes, products=[2, 0])
    np.testing.assert_allclose(some, units[:, :, [2, 0]][..., [0, 2], :], rtol=1e-12, atol=1e-15)
