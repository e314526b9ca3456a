"""A campaign of bad input through the real programs, seeded and bounded: each ends in one sentence, soon, and leaves
nothing.

Overrides go through the parser and ``main`` of ``experiments.train``, which ends where it would read its World.
Bundles, Worlds, scenario files and tables are whole ones in which something was changed.
"""

import json
import random
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from flashsim.data.shop_folder import ShopMapping
from flashsim.data.shop_tables import read_shop_tables
from flashsim.errors import InputError
from flashsim.keys import PRIVATE_FILE, PUBLIC_FILE, make_keys
from flashsim.policies.bundle import SIGNED_AS, load_policy, save_policy
from flashsim.scenarios import grocery_evening
from flashsim.scenarios.files import read_scenario, write_scenario
from flashsim.signatures import Trust, sign_folder
from flashsim.world import World
from tests.data.made_shop import make_sales, write_tables
from tests.experiments.programs import Start, files, small_world, starter
from tests.made_policies import random_network, random_observations

pytestmark = pytest.mark.slow
OVERRIDES, MUTATED_FILES, MUTATED_TABLES = 3_000, 1_000, 1_000
LONGEST_S = 10.0
KEYS = (
    *("seed", "output", "resume", "world", "world.folder", "world.quick", "world.seed", "world.view", "agent"),
    *("agent.steps", "agent.layers", "agent.name", "agent.scaler_targets", "agent.gamma", "agent.device"),
    *(
        "agent.heads",
        "agent.per_product",
        "agent.reward",
        "agent.reward.profit",
        "agent.planned_calls",
        "agent.nothing",
    ),
    *("scenario", "scenario.ticks", "scenario.waves", "scenario.depths", "scenario.servers", "scenario.servers.lag"),
    *(
        "scenario.calendar.rushes",
        "scenario.failures.payment.start",
        "scenario.base",
        "scenario.table",
        "scenario.story",
    ),
    *("agent.nothing", "scenario.table", "reward", "experiment", "hydra", "", "seed.seed", "a.b.c.d"),
)
VALUES = (
    *("", "null", "true", "5", "-1", "1.5", "1e300", "nan", "-inf", "9" * 30, "9" * 400, "x", "[]", "[[]]", "{}"),
    *("[1,2]", "[a,[b]]", "{a:1}", "{a:{b:[1]}}", "${seed}", "${output}", "${agent}", "${nothing}", "${now:%Y}", "???"),
    *("'a b'", "'秒杀'", "秒杀", "..", "nowhere/x", "'\x1b[2J'", "'\u202e'", "'\udcff'", "x" * 300, "'a\0b'"),
    *("[" * 40 + "]" * 40, "1,2", "glob(*)", "range(0,3)", "choice(1,2)", "int(x)", "str([1])", "nowhere.yaml", "g1"),
    *("[0,0.1]", "[[0,1.0]]", "[{start:0}]", "[null]", "\\", "'", "\t", "=", "a=b", "~x"),
)
PIECES = (b"", b"\0", b"\xff\xfe", b"[" * 2000, b"9" * 400, b'"\\ud800"', b"NaN", b"null", b"-1", b"=")
CELLS = (
    *(
        b"9999-12-31",
        b"0001-01-01",
        b"=1+1",
        b"-0",
        b"1e400",
        b"9" * 400,
        b"",
        b'"',
        b'"a\nb"',
        b"\xff",
        b"nan",
        b"-inf",
    ),
    b"\x1b[2J",
)
PREFIXES = ("", "", "", "", "+", "++", "~", "@")


@contextmanager
def at_most(seconds: float) -> Iterator[None]:
    started = time.monotonic()
    yield
    assert time.monotonic() - started < seconds


def test_bad_overrides_end_in_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    chance = random.Random(1)
    start = starter(monkeypatch, capsys, tmp_path)
    for _ in range(OVERRIDES):
        given = [
            f"{chance.choice(PREFIXES)}{chance.choice(KEYS)}={chance.choice(VALUES)}"
            for _ in range(chance.choice([1, 1, 2]))
        ]
        with at_most(LONGEST_S):
            ended = start("train", "output=out", "world.folder=nowhere", *given)
        assert (ended.code, ended.stderr.count("\n")) == (2, 1), (given, ended)
        assert "\x1b" not in ended.stderr
        assert files(tmp_path) == set(), given


def changed(data: bytes, chance: random.Random) -> bytes:
    """Bytes with one to three changes: flipped, cut, doubled, replaced."""
    for _ in range(chance.randint(1, 3)):
        place, end = sorted(chance.randrange(len(data) + 1) for _ in range(2))
        piece = chance.choice(
            [b"", b"\0", b"\xff\xfe", b"[" * 2000, b"9" * 400, b'"\\ud800"', b"NaN", b"null", b"-1", b"="]
        )
        data = chance.choice(
            [
                data[:place],
                data[:place] + piece + data[place:],
                data[:place] + piece + data[min(end, place + 8) :],
                data[:end] + data[place:end] + data[end:],
                data[:place] + bytes([chance.randrange(256)]) + data[place + 1 :],
            ]
        )
    return data


def changed_json(data: bytes, chance: random.Random) -> bytes:
    """JSON in which one value has become another."""
    tree = json.loads(data)
    node = tree
    while True:
        key = chance.choice(list(node)) if isinstance(node, dict) else chance.randrange(len(node))
        if isinstance(node[key], dict | list) and node[key] and chance.random() < 0.7:
            node = node[key]
            continue
        node[key] = chance.choice([None, [], {}, "", -1, 10**30, 1e300, "x" * 1000, True, [[[]]], "\x1b", 0, 1.5])
        return json.dumps(tree).encode()


def test_mutated_files_end_in_one_sentence_or_load(tmp_path: Path) -> None:
    chance = random.Random(2)
    world = small_world()
    world.save(tmp_path / "world")
    scenario = grocery_evening(world)
    sale = scenario.compile()
    save_policy(random_network(sale), tmp_path / "bundle", probes=random_observations(sale, 8), beside={"a.zip": b"a"})
    shutil.copytree(tmp_path / "bundle", tmp_path / "signed")
    make_keys(tmp_path / "keys")
    sign_folder(tmp_path / "signed", SIGNED_AS, tmp_path / "keys" / PRIVATE_FILE)
    trust = Trust([tmp_path / "keys" / PUBLIC_FILE])
    write_scenario(tmp_path / "scenario.yaml", scenario)
    readers: dict[str, Callable[[], object]] = {
        "world/world.json": lambda: World.load(tmp_path / "world"),
        "world/world.safetensors": lambda: World.load(tmp_path / "world"),
        "bundle/card.json": lambda: load_policy(tmp_path / "bundle"),
        "bundle/beside.json": lambda: load_policy(tmp_path / "bundle"),
        "bundle/policy.safetensors": lambda: load_policy(tmp_path / "bundle"),
        "signed/signature.json": lambda: load_policy(tmp_path / "signed", trust=trust),
        "signed/card.json": lambda: load_policy(tmp_path / "signed", trust=trust),
        "keys/public_key.pem": lambda: load_policy(tmp_path / "signed", trust=trust),
        "scenario.yaml": lambda: read_scenario(tmp_path / "scenario.yaml", world),
    }
    before = files(tmp_path)
    for _ in range(MUTATED_FILES):
        name, read = chance.choice(list(readers.items()))
        whole = (tmp_path / name).read_bytes()
        is_tree = name.endswith(".json") and chance.random() < 0.5
        (tmp_path / name).write_bytes((changed_json if is_tree else changed)(whole, chance))
        with at_most(LONGEST_S), suppress(InputError):
            read()
        (tmp_path / name).write_bytes(whole)
    assert files(tmp_path) == before


def test_mutated_tables_end_in_one_sentence_or_make_a_world(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    chance = random.Random(3)
    small_world().save(tmp_path / "base")
    write_tables(tmp_path / "shop", sales_data=make_sales(30))
    start: Start = starter(monkeypatch, capsys, tmp_path)
    path = tmp_path / "shop" / "sales_data.csv"
    whole = path.read_bytes()
    for number in range(MUTATED_TABLES):
        if chance.random() < 0.5:
            lines = [line.split(b",") for line in whole.splitlines()]
            for _ in range(chance.choice([1, 3, 200])):
                line = chance.choice(lines)
                line[chance.randrange(len(line))] = chance.choice(CELLS)
            path.write_bytes(b"\n".join(b",".join(line) for line in lines))
        else:
            path.write_bytes(changed(whole, chance))
        if number % 10:  # nine of ten are only read, which takes a fiftieth of the time
            with at_most(LONGEST_S), suppress(InputError):
                read_shop_tables(
                    tmp_path / "shop", ShopMapping(), most_quarantined=0.5, quarantine_file=tmp_path / "out" / "q.csv"
                )
            continue
        with at_most(LONGEST_S):
            ended = start("calibrate", "data=csv", "world.folder=base", "data.folder=shop", f"output=out/{number}")
        assert ended.code in (0, 2), (number, ended)
        assert ended.code == 0 or ended.stderr.count("\n") == 1, (number, ended)
    assert {name.partition("/")[0] for name in files(tmp_path)} <= {"base", "shop", "out"}
