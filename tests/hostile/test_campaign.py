"""A campaign of bad input through the real programs, seeded and bounded: each ends in one sentence, soon, and leaves
nothing.

Overrides (``tests.hostile.overrides``) go through the parser and ``main`` of six programs, which end where they would
read their World, and some through the real command.
Bundles, Worlds, scenario files and tables are whole ones in which something was changed.
"""

import json
import os
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save

from agents.checkpoints import FORMAT_VERSION
from agents.ppo.settings import PPOConfig
from experiments.launch.config import build, schema, whole_text
from experiments.launch.outputs import start_run
from experiments.train import TrainConfig, stopped_config
from flashsim.data.shop_folder import ShopMapping
from flashsim.data.shop_tables import read_shop_tables
from flashsim.errors import InputError
from flashsim.files import write_bytes
from flashsim.keys import PRIVATE_FILE, PUBLIC_FILE, make_keys
from flashsim.policies.bundle import SIGNED_AS, load_policy, save_policy
from flashsim.scenarios import grocery_evening
from flashsim.scenarios.files import read_scenario, write_scenario
from flashsim.signatures import Trust, sign_folder
from flashsim.world import World
from tests.data.made_shop import make_sales, write_tables
from tests.experiments.programs import Ended, Start, files, small_world, starter
from tests.hostile.overrides import Line, lines
from tests.made_policies import random_network, random_observations

pytestmark = pytest.mark.slow
ROOT = Path(__file__).resolve().parents[2]
SHARE = float(os.environ.get("FLASHSIM_CAMPAIGN", "1"))
"""Of the whole campaign; a tenth takes minutes."""
OVERRIDES, COMMANDS, MUTATED_FILES, MUTATED_TABLES = (round(SHARE * count) for count in (3_000, 100, 1_000, 1_000))
LONGEST_S = 10.0
LONGEST_START_S = 120.0
"""Of a process, most of it imports; a guard against hangs, on machines that have other work as well."""
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
STRANGE = ("Traceback", "None", "object at 0x", "<class", "Error:", "\x1b", "\u202e", "invalid literal")
"""What no sentence to people holds."""


@contextmanager
def at_most(seconds: float) -> Iterator[None]:
    started = time.monotonic()
    yield
    assert time.monotonic() - started < seconds


@pytest.fixture
def sandbox(tmp_path: Path) -> Iterator[Path]:
    """An empty folder to work in, beside files that nobody may touch."""
    for name in ("home/notes.txt", "nowhere.yaml", "x/1.csv"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(f"mine: {name}")
    (tmp_path / "work").mkdir()
    before = traces(tmp_path)
    yield tmp_path / "work"
    assert traces(tmp_path) == before


def traces(folder: Path) -> dict[str, tuple[int, str]]:
    """Path -> moment of the last change and content of all below the folder, that of ``work`` aside."""
    return {
        str(path): (path.stat().st_mtime_ns, path.read_text() if path.is_file() else "")
        for path in folder.rglob("*")
        if path.name != "work" and "work" not in path.relative_to(folder).parts
    }


def faults_of(line: Line, ended: Ended, left: set[str]) -> list[str]:
    """What is wrong with a refusal: it is one sentence with exit code 2 and leaves nothing; Hydra tells in a line of
    its own which job of a sweep it was."""
    *jobs, sentence = ended.stderr.splitlines() or [""]
    faults = [f"exit code {ended.code}"] if ended.code != 2 else []
    if not sentence.startswith("error: ") or len(sentence) > 2_100:
        faults.append("no sentence")
    if jobs and not (len(jobs) == 1 and jobs[0].startswith("Error executing job")):
        faults.append("more than a sentence")
    faults += [f"it says {word}" for word in STRANGE if word in sentence and word not in str(line.arguments)]
    faults += [f"it left {name}" for name in left]
    return [f"{fault}: {line} {ended.stderr}" for fault in faults]


def test_bad_overrides_end_in_one_sentence(
    sandbox: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    start = starter(monkeypatch, capsys, sandbox)
    faults = []
    for line in lines(OVERRIDES, seed=1):
        with at_most(LONGEST_S):
            ended = start(line.program, *line.arguments)
        faults += faults_of(line, ended, set(map(str, sandbox.iterdir())))
        for path in sandbox.iterdir():
            shutil.rmtree(path)
    assert not faults, "\n".join(faults)


def test_bad_overrides_end_in_one_sentence_of_the_real_command(
    sandbox: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    caches = str(tmp_path_factory.mktemp("caches"))  # of numba and matplotlib
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "HOME": str(sandbox.parent / "home")}
    environment |= {"XDG_CACHE_HOME": caches, "XDG_CONFIG_HOME": caches}
    environment |= {"PYTHONDONTWRITEBYTECODE": "1", "PYTHONUTF8": "1"}
    faults = []
    for line in lines(COMMANDS, seed=2):
        if any("\0" in argument for argument in line.arguments):
            continue  # no system hands it on
        command = [sys.executable, "-m", f"experiments.{line.program}", *line.arguments]
        done = subprocess.run(
            [argument.encode(errors="surrogateescape") for argument in command],
            cwd=sandbox,
            env=environment,
            capture_output=True,
            timeout=LONGEST_START_S,
            check=False,
        )
        ended = Ended(done.returncode, done.stdout.decode(), done.stderr.decode())
        faults += faults_of(line, ended, set(map(str, sandbox.iterdir())))
    assert not faults, "\n".join(faults)


def changed(data: bytes, chance: random.Random) -> bytes:
    """Bytes with one to three changes: flipped, cut, doubled, replaced."""
    for _ in range(chance.randint(1, 3)):
        place, end = sorted(chance.randrange(len(data) + 1) for _ in range(2))
        piece = chance.choice(PIECES)
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


def leave_stopped_training(folder: Path, *, start_of: Path) -> None:
    """What a training of PPO leaves that was stopped, as far as it is read before the networks are."""
    node = schema(TrainConfig)
    node.agent = schema(PPOConfig)
    node.world.folder, node.output = str(start_of / "world"), "stopped"
    start_run(folder, config=whole_text(node, build(node)), command="python -m experiments.train")
    facts = {"format_version": FORMAT_VERSION, "shared": {"algorithm": "PPO"}}
    tensors = {"facts": np.frombuffer(json.dumps(facts).encode(), np.uint8)}
    write_bytes(folder / "ppo.checkpoint.safetensors", save(tensors))


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
    leave_stopped_training(tmp_path / "stopped", start_of=tmp_path)
    resume = TrainConfig(agent=PPOConfig(), resume="stopped")
    readers: dict[str, Callable[[], object]] = {
        "stopped/config.yaml": lambda: stopped_config(tmp_path / "stopped", resume),
        "stopped/run.json": lambda: stopped_config(tmp_path / "stopped", resume),
        "stopped/ppo.checkpoint.safetensors": lambda: stopped_config(tmp_path / "stopped", resume),
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
