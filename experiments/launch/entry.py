"""How a program starts: ``python -m experiments.train agent=dqn seed=3 output=outputs/train/dqn``.

A program is a frozen dataclass, the one place where its default values are written, and a function of it::

    @dataclass(frozen=True)
    class TrainConfig:
        seed: int = 0
        agent: AgentConfig = field(default_factory=AgentConfig)
        output: str = dated("train")

    @entry("train", TrainConfig, options={"agent": {"ppo": PPOConfig, "dqn": DQNConfig}})
    def main(config: TrainConfig, folder: RunFolder) -> None:
        folder.record(seeds=[config.seed], data={"world": world.fingerprint()})
        with folder.timed("training"):
            ...

    if __name__ == "__main__":
        main()

and ``conf/train.yaml``, which holds only what differs from the dataclass and begins with
``defaults: [program, agent: ppo, _self_]``. An option of a group is a file (``conf/reward/revenue.yaml``) or, through
``options``, a dataclass that extends the field's type; a file may start from such a one (``defaults: [ppo, _self_]``).
Of a group whose field is a dict, several options are chosen by name (``experiments.launch.several``), and an option may
be a dataclass with values of its own. A field of an ``OpenConfig`` (``scenario``) checks its own keys, at any depth;
``scenario=NAME`` sets the key that it calls its choice.

The file of a program is quick to import, so that ``--help`` is: what is heavy (torch, scipy.stats, matplotlib) is
imported inside the functions that work with it.

What cannot be used (an unknown key, an ill-typed value, an InputError from anywhere) ends as one sentence on standard
error and exit code 2, and leaves no folder behind that holds no results. So do a full disk, an output folder that is
taken away, and a helper that the system ends. Ctrl-C ends with 130, SIGTERM like it with 143, a pipe that nobody reads
any more with 141; any other exception is a fault of ours and keeps its traceback. ``-m`` sweeps, each job in a folder
of its own below ``output``.
"""

import functools
import inspect
import os
import shlex
import signal
import sys
import textwrap
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import hydra
from hydra.core.config_store import ConfigStore
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from experiments.launch.config import OpenConfig, build, check_given, open_parts, schema, whole_text
from experiments.launch.endings import (
    Terminated,
    Unheard,
    end,
    signals_as_exceptions,
    system_faults_as_input_errors,
    visible_output,
)
from experiments.launch.outputs import RunFolder, start_run
from experiments.launch.refusals import Given, check_arguments, explain
from experiments.launch.several import groups_of_several, spelled_out
from experiments.launch.sweeps import CALLBACK, sweeps_in_own_folders
from flashsim.errors import InputError
from flashsim.shown import brief, visible

Config = TypeVar("Config")

CONF = Path(__file__).resolve().parents[2] / "conf"
FROM_JOB = "raised by job"
LONGEST_SENTENCE = 2_000
LONGEST_ARGUMENT = 20_000
"""Characters of one argument; Hydra would read a longer one for minutes."""


def dated(program: str) -> str:
    """Default of a config's ``output``: a folder named after the moment of the start."""
    return f"outputs/{program}/${{now:%Y-%m-%d_%H-%M-%S-%f}}"


def entry(
    name: str,
    config_type: type[Config],
    *,
    options: Mapping[str, Mapping[str, Any]] | None = None,
    conf: Path = CONF,
) -> Callable[[Callable[[Config, RunFolder], None]], Callable[[], None]]:
    """Make a program of a function; see the module's docstring. The function itself stays at ``main.__wrapped__``."""

    def decorate(function: Callable[[Config, RunFolder], None]) -> Callable[[], None]:
        @functools.wraps(function)
        def main() -> None:
            groups = options or {}
            module = function.__globals__["__spec__"].name
            docstring = function.__globals__["__doc__"] or name
            story = help_text(name, config_type, docstring, module=module, options=groups, conf=conf)
            store_schemas(name, config_type, options=groups, story=story)
            try:
                with signals_as_exceptions(), visible_output(), choices_written_out(config_type):
                    run_with_hydra(name, function, config_type, module=module, conf=conf)
            except InputError as error:
                end(2, f"error: {one_line(str(error))}")
            except Terminated:
                end(128 + signal.SIGTERM, "terminated")
            except Unheard:
                end(128 + signal.SIGPIPE)
            except KeyboardInterrupt:
                end(128 + signal.SIGINT, "interrupted")

        return main

    return decorate


def one_line(sentence: str) -> str:
    """The sentence on one line of bounded length, without characters that play tricks on a terminal."""
    line = visible(" ".join(sentence.split()))
    return line if len(line) <= LONGEST_SENTENCE else f"{line[:LONGEST_SENTENCE]}…"


@contextmanager
def choices_written_out(config_type: type) -> Iterator[None]:
    """Within the block ``PART=VALUE`` on the command line reads ``PART.choice=VALUE``, for each open part, and groups
    of which several options are chosen are spelled out.

    Hydra reads the command line from ``sys.argv`` alone.
    """
    given, parts = sys.argv, open_parts(config_type)
    arguments = spelled_out(given[1:], groups_of_several(config_type))
    sys.argv = [given[0], *(_written_out(argument, parts) for argument in arguments)]
    try:
        yield
    finally:
        sys.argv = given


def _written_out(argument: str, parts: Mapping[str, type[OpenConfig]]) -> str:
    name, is_setting, value = argument.partition("=")
    if name in parts and is_setting and not value.startswith("{"):
        return f"{name}.{parts[name].choice}={value}"
    return argument


def help_text(
    name: str, config_type: type, docstring: str, *, module: str, options: Mapping[str, Mapping[str, Any]], conf: Path
) -> str:
    """What ``--help`` prints before all settings: the docstring of the program, its groups and its open parts."""
    defaults = OmegaConf.select(OmegaConf.load(conf / f"{name}.yaml"), "defaults") or []
    lines, parts = [inspect.cleandoc(docstring), ""], open_parts(config_type)
    groups = [(str(group), item[group]) for item in defaults if isinstance(item, DictConfig) for group in item]
    for group, chosen in ((group, chosen) for group, chosen in groups if group not in parts):
        files = {path.relative_to(conf / group).with_suffix("").as_posix() for path in (conf / group).rglob("*.yaml")}
        value = "[NAME,…]" if OmegaConf.is_list(chosen) else "NAME"
        lines.append(f"{group}={value}: {', '.join(sorted(files | options.get(group, {}).keys()))}")
    for part, kind in parts.items():
        lines += [
            textwrap.fill(line, 120, subsequent_indent="    ", break_on_hyphens=False) for line in kind.help(part)
        ]
    lines += [
        "",
        f"All settings, KEY=VALUE, and what they are by default (explained in {module.replace('.', '/')}.py):",
        "",
    ]
    return "\n".join(lines).replace("$", "$$")


def store_schemas(name: str, config_type: type, *, options: Mapping[str, Mapping[str, Any]], story: str) -> None:
    """Tell Hydra the types and defaults of the program that is about to start, and to write and log nothing itself.

    ``story`` is what ``--help`` prints before the settings.
    """
    quiet = {
        "output_subdir": None,
        "run": {"dir": "."},
        "sweep": {"dir": "${output}", "subdir": "${hydra.job.num}"},
        "job": {"chdir": False, "name": name},
        "callbacks": {"own_folder": CALLBACK},
        "help": {"template": f"{story}\n$CONFIG"},
    }
    no_logging = [{"override /hydra/job_logging": "none"}, {"override /hydra/hydra_logging": "none"}]
    store = ConfigStore.instance()
    for group in [name for name, node in store.repo.items() if isinstance(node, dict) and name != "hydra"]:
        del store.repo[group]  # those of another program that was started in this process
    store.store(name="schema", node=schema(config_type))
    store.store(name="program", node={"defaults": ["schema", *no_logging, "_self_"], "hydra": quiet})
    for group, types in options.items():
        for option, option_type in types.items():
            package = f"{group}.{option}" if group in groups_of_several(config_type) else None
            store.store(group=group, name=option, node=schema(option_type), package=package)


def run_with_hydra(
    name: str, function: Callable[[Any, RunFolder], None], config_type: type, *, module: str, conf: Path
) -> None:
    """Run ``function`` once, or for each job of a sweep; config errors are raised as InputError."""
    failures: list[Exception] = []
    given = Given(sys.argv[1:], conf, name)

    def job(config: DictConfig) -> None:
        try:
            run_job(function, config, module=module, given=given)
        except Exception as error:
            job = HydraConfig.get()
            if job.mode == RunMode.MULTIRUN:
                # A note, for a launcher may bring the exception from another process.
                error.add_note(f"{FROM_JOB} {job.job.num}: {shlex.join(job.overrides.task)}")
                raise
            failures.append(error)  # raised below: of exceptions from here Hydra would print a line of its own

    for argument in given.arguments:
        if len(argument) > LONGEST_ARGUMENT:
            raise InputError(f"the argument {brief(argument)} has {len(argument):,} characters; write it shorter")
    os.environ["HYDRA_FULL_ERROR"] = "1"  # hand us the exception instead of printing it
    try:
        check_arguments(given, groups=_groups(conf), several=groups_of_several(config_type))
        with sweeps_in_own_folders():
            hydra.main(version_base="1.3", config_path=str(conf), config_name=name)(job)()
    except Exception as error:
        if any(note.startswith(FROM_JOB) for note in getattr(error, "__notes__", ())):
            raise
        _raise_as_input_error(error, given)
    if failures:
        raise failures[0]


def _groups(conf: Path) -> set[str]:
    """The groups of which an option can be chosen: those of files and those of the program."""
    stored = {group for group, options in ConfigStore.instance().repo.items() if isinstance(options, dict)}
    return stored | {path.name for path in conf.iterdir() if path.is_dir()}


def run_job(function: Callable[[Any, RunFolder], None], config: DictConfig, *, module: str, given: Given) -> None:
    """Build the typed config, open the run's folder, run, and close the folder."""
    try:
        check_given(config, HydraConfig.get().overrides.task)
        typed = build(config)
        text = whole_text(config, typed)
    except OmegaConfBaseException as error:
        _raise_as_input_error(error, given)
    job = HydraConfig.get()
    target = Path(config.output)
    if job.mode == RunMode.MULTIRUN:
        target /= str(job.job.num)
    command = shlex.join(["python", "-m", module, *job.overrides.task])
    folder = start_run(target, config=text, command=command)
    try:
        with system_faults_as_input_errors(folder.path):
            function(typed, folder)
            folder.finish()
    except InputError:
        folder.remove_if_without_results()
        raise


def _raise_as_input_error(error: Exception, given: Given) -> NoReturn:
    sentence = explain(error, given)
    if sentence is None:
        raise error
    raise InputError(sentence) from error
