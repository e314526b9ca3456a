"""What programs make of input that somebody made to do harm: bundles, Worlds, tables and mappings."""

import hashlib
import json
import os
import struct
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from safetensors.numpy import load, save

from experiments.pipeline.prepare import ScenarioConfig
from flashsim.envs.vector import FlashSaleVectorEnv
from flashsim.errors import InputError
from flashsim.files import json_text
from flashsim.policies.bundle import BESIDE_FILE, CARD_FILE, WEIGHTS_FILE, _seal, load_policy, save_policy
from flashsim.scenarios import grocery_evening
from flashsim.settings import no_such_key
from flashsim.world import World
from tests.data.made_shop import make_sales, write_tables
from tests.experiments.programs import Start, files, small_world, starter
from tests.made_policies import random_network, random_observations
from tests.worlds import make_world


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    sale = grocery_evening(small_world()).compile()
    save_policy(random_network(sale), tmp_path / "bundle", probes=random_observations(sale, 8), beside={"a.zip": b"a"})
    return tmp_path / "bundle"


def sentence_of(bundle: Path) -> str:
    """The sentence with which the bundle is refused; empty where it loads."""
    try:
        load_policy(bundle)
    except InputError as refused:
        return str(refused)
    return ""


def resealed(bundle: Path, change: dict[str, Any]) -> None:
    """Change the card as somebody would who can seal it again."""
    card = json.loads((bundle / CARD_FILE).read_text()) | change
    card.pop("seal")
    (bundle / CARD_FILE).write_text(json_text(card | {"seal": _seal(card)}))


def test_a_bundle_of_another_type_of_number_is_refused(bundle: Path) -> None:
    whole = (bundle / WEIGHTS_FILE).read_bytes()
    size = struct.unpack("<Q", whole[:8])[0]
    header = json.loads(whole[8 : 8 + size])
    for dtype in ("BF16", "F8_E4M3", "F4"):
        header["weight_0"]["dtype"] = dtype
        text = json.dumps(header).encode()
        data = struct.pack("<Q", len(text)) + text + whole[8 + size :]
        (bundle / WEIGHTS_FILE).write_bytes(data)
        digest = {"sha256": hashlib.sha256(data).hexdigest()}
        resealed(bundle, digest)
        with pytest.raises(InputError, match="which numpy does not have"):
            load_policy(bundle)


@pytest.mark.parametrize("name", [CARD_FILE, WEIGHTS_FILE, BESIDE_FILE, "a.zip"])
def test_a_bundle_with_a_pipe_or_a_device_is_refused_at_once(bundle: Path, name: str) -> None:
    makers: list[Callable[[Path], object]] = [os.mkfifo, lambda path: path.symlink_to("/dev/zero")]
    for make in makers:
        (bundle / name).unlink()
        make(bundle / name)
        with pytest.raises(InputError, match=r"it is a (pipe|device)"):
            load_policy(bundle)


@pytest.mark.parametrize("name", ["x" * 300, "zero\0byte", "..", ""])
def test_a_bundle_that_names_a_file_that_cannot_be_is_refused_or_does_without(bundle: Path, name: str) -> None:
    record = {name: "0"}
    (bundle / BESIDE_FILE).write_text(json_text({"files": record, "seal": _seal(record)}))
    sentence = sentence_of(bundle)  # the files beside may be absent
    assert sentence == "" if name.strip(".") else "cannot read" in sentence


@pytest.mark.parametrize(
    "change",
    [
        {"layers": 10**15},
        {"layers": "two"},
        {"layers": -1},
        {"head_sizes": 5},
        {"head_sizes": [10**19]},
        {"head_sizes": [[]]},
        {"observation": 3},
        {"observation": [[1]]},
        {"activation": []},
        {"action": 1},
        {"action": {"flat": "yes"}},
        {"action": {"no": 1}},
        {"training": []},
        {"choices": 5},
        {"rails": {}},
        {"rails": []},
        {"name": {}},
        {"sha256": None},
        {"format_version": 10**19},
        {"format_version": [1]},
    ],
)
def test_a_card_that_makes_no_sense_is_refused_in_a_sentence(bundle: Path, change: dict[str, Any]) -> None:
    resealed(bundle, change)
    assert len(sentence_of(bundle)) < 1000


@pytest.mark.parametrize("place", range(6))
@pytest.mark.parametrize("value", [None, [], "x", -1, 10**19, {}, [[[]]]])
def test_rails_that_make_no_sense_are_refused_in_a_sentence(bundle: Path, place: int, value: object) -> None:
    rails = json.loads((bundle / CARD_FILE).read_text())["rails"]
    key = list(rails)[place % len(rails)]
    resealed(bundle, {"rails": rails | {key: value}})
    assert len(sentence_of(bundle)) < 1000


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("population", 1e300),
        ("buyer_value", 1e300),
        ("list_price", 1e308),
        ("unit_cost", 1e308),
        ("units_per_minute", 3e38),
        ("frailty_common_variance", 1e308),
        ("display_effect", 1e308),
        ("mailer_effect", -1e308),
    ],
)
def test_a_world_with_numbers_that_no_shop_has_is_refused(field: str, value: float) -> None:
    world = make_world()
    old = getattr(world, field)
    changes: dict[str, Any] = {field: value if isinstance(old, float) else np.full_like(old, value)}
    with pytest.raises(InputError, match=field):
        replace(world, **changes)


def test_a_world_without_held_out_members_is_refused_when_it_is_read(tmp_path: Path) -> None:
    make_world(members=1).save(tmp_path / "world")
    with pytest.raises(InputError, match="holds out no member"):
        World.load(tmp_path / "world")


@pytest.mark.parametrize("name", ["world.json", "world.safetensors"])
def test_a_world_of_pipes_and_bombs_is_refused_at_once(tmp_path: Path, name: str) -> None:
    makers: list[Callable[[Path], object]] = [
        os.mkfifo,
        lambda path: path.symlink_to("/dev/zero"),
        lambda path: path.write_text("[" * 10**6),
    ]
    for make in makers:
        make_world().save(tmp_path / "world")
        (tmp_path / "world" / name).unlink()
        make(tmp_path / "world" / name)
        with pytest.raises(InputError):
            World.load(tmp_path / "world")
        (tmp_path / "world" / name).unlink()


def test_a_world_of_another_type_of_number_is_refused(tmp_path: Path) -> None:
    world = make_world()
    world.save(tmp_path / "world")
    path = tmp_path / "world" / "world.safetensors"
    arrays = load(path.read_bytes())
    data = save(arrays | {"list_price": arrays["list_price"].astype(np.float16)})
    path.write_bytes(data.replace(b'"F16"', b'"BF16"'))
    facts = json.loads((tmp_path / "world" / "world.json").read_text())
    facts["sha256"] = hashlib.sha256(path.read_bytes()).hexdigest()
    (tmp_path / "world" / "world.json").write_text(json.dumps(facts))
    with pytest.raises(InputError, match="is not a safetensors file"):
        World.load(tmp_path / "world")


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Start:
    """Starts programs in a folder with a shop's tables."""
    make_world(products=2, members=2, product_ids=("b0", "b1")).save(tmp_path / "base")
    write_tables(tmp_path / "shop", sales_data=make_sales(60))
    return starter(monkeypatch, capsys, tmp_path)


CALIBRATE = ("calibrate", "data=csv", "world.folder=base", "data.folder=shop", "output=out")


def refusal(start: Start, *arguments: str) -> str:
    before = files(Path())
    ended = start(*CALIBRATE, *arguments)
    assert ended.code == 2, ended
    assert ended.stderr.count("\n") == 1
    assert len(ended.stderr) < 2_500
    assert files(Path()) - before <= {"out/quarantine.csv", "out/config.yaml", "out/run.json", "out/timings.json"}
    return ended.stderr


@pytest.mark.parametrize("stamp", ["9999-12-31", "0001-01-01", "9999-12-31T23:59:59Z", "9999999999", "2026-99-99"])
def test_a_date_that_no_clock_shows_is_quarantined(shop: Start, tmp_path: Path, stamp: str) -> None:
    table = make_sales(60).astype({"date": object})
    table.loc[7, "date"] = stamp
    write_tables(tmp_path / "shop", sales_data=table)
    ended = shop(*CALIBRATE)
    assert ended.code == 0, ended.stderr
    told = pd.read_csv(tmp_path / "out" / "quarantine.csv", dtype=str)
    assert told[["row", "column", "value"]].to_numpy().tolist() == [["9", "date", stamp]]


def test_a_table_of_many_columns_is_refused_at_once(shop: Start, tmp_path: Path) -> None:
    (tmp_path / "shop" / "sales_data.csv").write_text(
        ",".join(f"c{number}" for number in range(100_000)) + "\n" + "1," * 99_999 + "1\n"
    )
    assert "a row of more than 1,500 columns" in refusal(shop)


@pytest.mark.parametrize("content", ["root:x:0:0:secret:/root:/bin/sh\n", "a: secret: b", "- secret", "!secret x"])
def test_a_file_that_is_no_mapping_is_not_told(shop: Start, tmp_path: Path, content: str) -> None:
    (tmp_path / "passwd").write_text(content)
    sentence = refusal(shop, "data.mapping=passwd")
    assert "secret" not in sentence
    assert "passwd" in sentence


@pytest.mark.parametrize("name", ["sales_data.csv", "mapping.yaml"])
def test_a_pipe_among_the_tables_is_not_waited_for(shop: Start, tmp_path: Path, name: str) -> None:
    (tmp_path / "shop" / "sales_data.csv").unlink()
    os.mkfifo(tmp_path / "shop" / name)
    assert "error: " in refusal(shop, f"data.mapping=shop/{name}" if name == "mapping.yaml" else "world.seed=1")


@pytest.mark.parametrize("text", ["sales_data: {file: " + "x" * 300 + ".csv}", 'sales_data: {file: "a\\0b.csv"}'])
def test_a_mapping_that_names_a_file_that_cannot_be_is_refused(shop: Start, tmp_path: Path, text: str) -> None:
    (tmp_path / "mapping.yaml").write_text(text)
    assert "does not exist" in refusal(shop, "data.mapping=mapping.yaml")


@pytest.mark.parametrize("count", [1.5, "2", True, None, 0])
def test_a_number_of_envs_that_is_none_is_refused(count: object) -> None:
    with pytest.raises(InputError, match="the number of sales must be a whole number"):
        FlashSaleVectorEnv(grocery_evening(make_world()), num_envs=count)  # type: ignore[arg-type]


@pytest.mark.parametrize("scenario", [5, 1.5, ["g1"], {"name": "g1"}])
def test_a_scenario_that_is_none_is_refused(scenario: object) -> None:
    with pytest.raises(InputError, match="scenario: expected a name, a Scenario or a sale"):
        FlashSaleVectorEnv(scenario, num_envs=1)  # type: ignore[arg-type]


@pytest.mark.parametrize("settings", [{"nothing": None}, {"servers": {"nothing": None}}, {"Ticks": None}])
def test_a_key_that_is_none_is_refused_when_it_is_null_too(settings: dict[str, Any]) -> None:
    with pytest.raises(InputError, match="there is no key scenario"):
        ScenarioConfig.from_settings(settings, key="scenario.")


def test_a_key_in_capitals_is_a_near_one_and_a_list_of_keys_is_short() -> None:
    known = ["seed", "scenario.ticks", *(f"scenario.servers.key{number}" for number in range(100))]
    assert no_such_key("SCENARIO.TICKS", "SCENARIO.TICKS=5", known).endswith("did you mean scenario.ticks?")
    assert no_such_key("zz.yy", "zz.yy=5", known).endswith("choose from seed, scenario")
    assert len(no_such_key("z" * 5000, "z" * 5000 + "=1", known)) < 600
    assert no_such_key("latency.rounds", "latency.rounds=3", []).endswith("latency has no settings")
