"""Settings that nobody could mean, for every program and every key: a seeded stream of command lines.

Each line begins with settings that end its program before any work (a World, tables or an evaluation that are nowhere),
and goes on with one to three that are wrong, or right in no place: keys of the program, some misspelled, with values of
every kind.
"""

import importlib
import random
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from experiments.launch.config import open_parts, schema
from experiments.launch.refusals import _keys

NOWHERE = ("output=out", "world.folder=nowhere", "world.data=nowhere")
PROGRAMS = {
    "train": ("TrainConfig", NOWHERE),
    "run": ("RunConfig", NOWHERE),
    "calibrate": ("CalibrateConfig", ("output=out", "data=csv", "data.folder=nowhere", "world.data=nowhere")),
    "evaluate": ("EvaluateConfig", (*NOWHERE, "bundles=[nowhere]")),
    "play": ("PlayConfig", (*NOWHERE, "bundle=nowhere")),
    "report": ("ReportConfig", ("output=out", "evaluation=nowhere")),
}
"""Config and first settings of each program."""
MORE_KEYS = {
    "train": (
        *("agent", "reward", "experiment", "agent.learning_rate", "agent.layers", "agent.buffer", "agent.clip_range"),
        *("agent.constraints", "agent.constraints.latency_p95_s", "agent.rollout_steps", "agent.reward.profit"),
    ),
    "run": (
        "learners",
        "learners.ppo",
        "learners.ppo.layers",
        "learners.ppo.reward",
        "learners.dqn.buffer",
        "learners.x",
    ),
    "calibrate": ("data", "data.mapping", "data.most_quarantined", "latency", "latency.servers", "latency.ticks"),
}
"""Those that a choice adds."""
ANYWHERE = (
    "",
    "hydra",
    "hydra.job",
    "hydra.mode",
    "hydra.sweep",
    "defaults",
    "seed.seed",
    "a.b.c.d",
    "nothing",
    "output",
)
VALUES = (
    *("", "null", "true", "5", "-1", "0", "1.5", "1e300", "-1e300", "nan", "-inf", "inf", "9" * 30, "9" * 400, "1_0"),
    *(
        "x",
        "[]",
        "[[]]",
        "{}",
        "[1,2]",
        "[a,[b]]",
        "{a:1}",
        "{a:{b:[1]}}",
        "{nothing:1}",
        "[5]",
        "['5']",
        "'5'",
        "[-1]",
    ),
    *("[nan]", "[true]", "[1e300]", "[null]", "[[0,1.0]]", "[0,0.1]", "[{start:0}]", "[{}]", "[[[[1]]]]", "yes", "on"),
    *(
        "${seed}",
        "${output}",
        "${agent}",
        "${nothing}",
        "${now:%Y}",
        "${oc.env:HOME}",
        "${",
        "???",
        "${oc.env:NOTHING}",
    ),
    *(
        "'a b'",
        "'秒杀'",
        "秒杀",
        "..",
        "nowhere/x",
        "/",
        "'\x1b[2J'",
        "'\u202e'",
        "'\udcff'",
        "x" * 300,
        "'a\0b'",
        "'\n'",
    ),
    *("[" * 40 + "]" * 40, "1,2", "glob(*)", "range(0,3)", "choice(1,2)", "int(x)", "str([1])", "nowhere.yaml", "g1"),
    *(
        "interval(0,1)",
        "sort(1,2)",
        "shuffle(1)",
        "float(nan)",
        "bool(5)",
        "json_str({a:1})",
        "grocery_evenin",
        "j1_lag",
    ),
    *("\\", "'", "\t", "=", "a=b", "~x", "!x", "&x", "*x", "0x10", "0b1", "1e3", "1e-400", "2026-11-11", "12:30", "-0"),
)
PREFIXES = ("", "", "", "", "", "", "", "+", "++", "~", "@")
FLAGS = ("-m", "--multirun", "--package=x", "--resolve", "--config-name=nothing", "--config-dir=nothing", "--run")


class Line(NamedTuple):
    """One start of a program."""

    program: str
    arguments: tuple[str, ...]


def lines(count: int, *, seed: int, programs: Sequence[str] = tuple(PROGRAMS)) -> Iterator[Line]:
    """``count`` command lines; the same seed gives the same."""
    chance = random.Random(seed)
    keys = {program: keys_of(program) for program in programs}
    for _ in range(count):
        program = chance.choice(programs)
        bad = tuple(_override(chance, keys[program]) for _ in range(chance.choice([1, 1, 1, 2, 3])))
        flag = (chance.choice(FLAGS),) if chance.random() < 0.03 else ()
        yield Line(program, (*flag, *PROGRAMS[program][1], *bad))


def keys_of(program: str) -> list[str]:
    """Every dotted key of a program, and some that it has with other choices or not at all."""
    kind = getattr(importlib.import_module(f"experiments.{program}"), PROGRAMS[program][0])
    known = [*_keys(schema(kind)), *MORE_KEYS.get(program, ()), *ANYWHERE]
    for name, part in open_parts(kind).items():
        known += [*part.known(f"{name}."), *part.known(f"{name}.")]
    return known


def _override(chance: random.Random, keys: Sequence[str]) -> str:
    key = chance.choice(keys)
    if key and chance.random() < 0.1:
        place = chance.randrange(len(key))
        key = chance.choice(
            [key[:place] + key[place + 1 :], key[:place] + "x" + key[place:], f"{key}.{key}", key.upper()]
        )
    return f"{chance.choice(PREFIXES)}{key}={chance.choice(VALUES)}"
