"""Programs stopped at random moments, and what they leave: ``python -m tests.hostile.kills rounds=60 seed=0``.

Each round starts a program as people do, sends one signal (SIGKILL, SIGINT or SIGTERM, to the process or to its whole
group, as Ctrl-C does) at a random moment, and looks at what remains. Then the work is done again: by the very line that
the program printed, in a shell; else, for a training that left a checkpoint, by ``resume=``; else by the same command
in another folder. In half of the rounds that go on it is stopped once more. The end must equal that of a run that
nobody disturbed, to the last byte, times aside.
"""

import itertools
import json
import os
import random
import re
import shlex
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from experiments.launch.command_lines import command_line
from flashsim.files import sha256
from flashsim.tensor_files import read_tensor_file
from tests.data.made_shop import make_sales, write_tables
from tests.experiments.programs import FEW_SALES, SMALL_SALE, TINY, prefixed, small_world

ROOT = Path(__file__).resolve().parents[2]
PPO = (*TINY[1:], "steps=40000", "rollout_steps=2400", "batch_size=600")
DQN = (*TINY[1:], "steps=6000", "sales=8", "learning_starts=500", "buffer=4000")
RUN_DQN = (*TINY, "assisted=false", "sales=8", "learning_starts=50", "buffer=1000")
RUN_PPO = (*TINY[1:], "steps=1300", "assisted=false", "rollout_steps=260", "batch_size=130")
ON_WORLD = ("world.folder=../world", *SMALL_SALE)
WORK: dict[str, tuple[str, ...]] = {
    "train": ("train", "scenario=j1_lag1", "agent=tensor_ppo", *prefixed("agent", PPO)),
    "train of PPO": ("train", *ON_WORLD, "agent=ppo", "agent.assisted=false", *prefixed("agent", PPO)),
    "train of DQN": ("train", "scenario=j1_lag1", "agent=dqn", *prefixed("agent", DQN)),
    "calibrate": ("calibrate", "data=csv", "world.folder=../world", "data.folder=../shop"),
    "run": (
        *("run", *ON_WORLD, *FEW_SALES, "search_ticks=12000", "closure_sales=32", "evaluation.bounded_sales=4"),
        *("baselines=[best fixed]", *prefixed("learners.ppo", RUN_PPO), *prefixed("learners.dqn", RUN_DQN)),
    ),
}
"""What is started, by name; with the World and the tables beside the folder in which it runs."""
OUTPUT = "it's out, [1]=$x"
"""A folder whose name a shell and Hydra would both take apart."""
TIMES = ("timings.json", "run.json", "config.yaml", "tensorboard", "sb3.zip", "beside.json")
"""Files that hold times, names of folders, or checksums of those that do."""
ENDED = {signal.SIGKILL: (-9,), signal.SIGINT: (130, -2), signal.SIGTERM: (143, -15)}
"""Exit codes; below 0 by the signal itself, which a shell tells as the same."""
PATIENCE_S = 60.0


class Ended(NamedTuple):
    """How a started program ended."""

    code: int
    told: str
    """Standard output and error."""
    seconds: float
    left: tuple[int, ...]
    """Processes of its group that are still there a while later."""


@dataclass(frozen=True)
class Blow:
    """One signal at one moment."""

    number: signal.Signals
    after_s: float
    to_group: bool
    at_work: bool
    """Whether the time begins when the program has written its first file, and not when it starts."""


def start(command: str, *, folder: Path, blow: Blow | None = None) -> Ended:
    """Run a line of a shell in ``folder``, in a process group of its own, and strike it with ``blow``."""
    folder.mkdir(exist_ok=True)
    log = folder / "log.txt"
    paths = {"PYTHONPATH": str(ROOT), "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    started = time.monotonic()
    with log.open("wb") as told:
        process = subprocess.Popen(
            ["bash", "-c", f"exec env --default-signal=INT {command}"],  # what runs behind a shell ignores it
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=told,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            env={**os.environ, **paths, "PYTHONWARNINGS": "ignore"},
        )
        try:
            if blow is not None:
                _strike(process, blow, folder)
            code = process.wait(None if blow is None else PATIENCE_S)
        finally:
            left = _still_there(process.pid, seconds=5.0)
            if left:
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    return Ended(code, log.read_text(errors="replace"), time.monotonic() - started, left)


def _strike(process: subprocess.Popen[bytes], blow: Blow, folder: Path) -> None:
    """Send the signal when its moment has come, unless the process has ended by then."""
    before = set(folder.rglob("*"))
    while blow.at_work and process.poll() is None and not _wrote_results(set(folder.rglob("*")) - before):
        time.sleep(0.05)
    try:
        process.wait(blow.after_s)
    except subprocess.TimeoutExpired:
        (os.killpg if blow.to_group else os.kill)(process.pid, blow.number)


def _wrote_results(paths: set[Path]) -> bool:
    """Whether there is more among the paths than a program writes when it starts."""
    return any(path.is_file() and path.name not in ("config.yaml", "run.json", "log.txt") for path in paths)


def _still_there(group: int, *, seconds: float) -> tuple[int, ...]:
    """The processes of a group, zombies aside, once ``seconds`` have passed or none is left."""
    until = time.monotonic() + seconds
    while (found := tuple(_members(group))) and time.monotonic() < until:
        time.sleep(0.05)
    return found


def _members(group: int) -> list[int]:
    listed = subprocess.run(["ps", "-eo", "pid=,pgid=,stat="], capture_output=True, text=True, check=True).stdout
    rows = [line.split() for line in listed.splitlines()]
    return [int(pid) for pid, its_group, state in rows if int(its_group) == group and not state.startswith("Z")]


def command_of(name: str, output: str) -> str:
    """The line that starts the work called ``name``."""
    program, *arguments = WORK[name]
    return f"{command_line(f'experiments.{program}', output=output)} {shlex.join(arguments)}"


def results(folder: Path) -> dict[str, str]:
    """File -> checksum of all that must be equal, hidden files and checkpoints aside."""
    return {
        name: sha256(path)
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not set((name := str(path.relative_to(folder))).split("/")) & set(TIMES)
        if not is_in_work(path, folder)
    }


def is_in_work(path: Path, folder: Path) -> bool:
    """Whether a file is a checkpoint or under a name, hidden, that no reader takes for a result."""
    return path.name.endswith(".checkpoint.safetensors") or any(
        part.startswith(".") for part in path.relative_to(folder).parts
    )


def faults_on_disk(folder: Path, whole: dict[str, str]) -> list[str]:
    """What is wrong with the files that a stopped program left: half of one, or another than at the end."""
    faults = []
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        if not path.is_file() or any(part.startswith(".") for part in path.relative_to(folder).parts):
            continue
        if why := _unreadable(path):
            faults.append(f"{name} is no whole file: {why}")
        elif name in whole and name != "evaluation.json" and sha256(path) != whole[name]:
            faults.append(f"{name} differs from that of an undisturbed run")
    if whole and (folder / "run.json").exists() and json.loads((folder / "run.json").read_text())["finished"]:
        faults += [f"it says that it is finished and has no {name}" for name in whole if not (folder / name).exists()]
    return faults


def _unreadable(path: Path) -> str:
    try:
        if path.suffix == ".json":
            json.loads(path.read_text())
        elif path.suffix == ".csv":
            pd.read_csv(path)
        elif path.suffix == ".safetensors":
            read_tensor_file(path, what="whole", advice="")
    except ValueError as error:
        return str(error)
    return ""


def hidden_files(folder: Path) -> list[str]:
    """Files under a temporary name."""
    return [str(path.relative_to(folder)) for path in folder.rglob(".*")]


def faults_of_the_end(ended: Ended, blow: Blow) -> list[str]:
    """What is wrong with how a program ended."""
    faults = [f"processes that did not end: {ended.left}"] if ended.left else []
    if ended.code not in (0, *ENDED[blow.number]):
        faults.append(f"exit code {ended.code}")
    if "Traceback" in ended.told or "Exception ignored" in ended.told:
        faults.append("a traceback")
    return faults


@dataclass
class Round:
    """One piece of work, stopped and done again."""

    name: str
    folder: Path
    whole: dict[str, str]
    whole_s: float
    """Of the work undisturbed, at most."""
    chance: random.Random
    stops: int = 0
    """How often a signal came before the work had ended."""

    def play(self) -> tuple[str, list[str]]:
        """What was done, in words, and what was wrong."""
        told, faults, command, goes_on = [], [], command_of(self.name, OUTPUT), False
        for number in range(3):
            blow = self._blow(number)
            here = self.folder if goes_on else self.folder / str(number)
            before = set(self._outputs(here))
            ended = start(command, folder=here, blow=blow)
            made = [path for path in self._outputs(here) if path not in before]
            if blow is not None:
                to = "group" if blow.to_group else "process"
                of = " of work" if blow.at_work else ""
                told.append(f"{blow.number.name} to the {to} after {blow.after_s:.2f} s{of}, code {ended.code}")
                faults += [f"{fault}\n{ended.told}" for fault in faults_of_the_end(ended, blow)]
            faults += [fault for path in made for fault in faults_on_disk(path, self.whole)]
            if ended.code == 0 and blow is not None:
                self.whole_s = min(self.whole_s, ended.seconds)
            if ended.code == 0 or blow is None:
                return "; ".join(told), faults + self._faults_when_done(ended, made)
            self.stops += 1
            if blow.number != signal.SIGKILL:
                faults += [f"hidden file left: {name}" for path in made for name in hidden_files(path)]
            command, goes_on, self.folder = self._next(ended, made, command, here)
            told.append("goes on" if goes_on else "again")
        raise AssertionError("the last is never stopped")

    def _blow(self, number: int) -> Blow | None:
        if number == 2 or (number == 1 and self.chance.random() < 0.5):
            return None
        number_of = self.chance.choice([signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
        at_work = self.chance.random() < 0.6
        longest = 0.5 * self.whole_s if at_work else self.whole_s
        return Blow(number_of, self.chance.uniform(0.0, longest), self.chance.random() < 0.5, at_work)

    def _outputs(self, here: Path) -> list[Path]:
        return sorted(path.parent for path in here.rglob("run.json"))

    def _next(self, ended: Ended, made: list[Path], command: str, here: Path) -> tuple[str, bool, Path]:
        """The line to do the work by, whether it goes on in the same place, and the folder of its folders."""
        printed = re.search(r"^go on with: (.*)$", ended.told, re.MULTILINE)
        if printed:
            return printed[1], True, here
        kept = [path for path in made if list(path.glob("*.checkpoint.safetensors"))]
        if kept:
            return command_line("experiments.train", resume=str(kept[0].relative_to(here))), True, here
        if "resume=" in command:
            return command, True, here  # it was stopped before it kept a checkpoint of its own
        return command, False, self.folder

    def _faults_when_done(self, ended: Ended, made: list[Path]) -> list[str]:
        if ended.code != 0:
            return [f"done again it ended with {ended.code}\n{ended.told}"]
        if len(made) != 1:
            return [f"it made {len(made)} folders"]
        found = results(made[0])
        names = sorted(set(found) | set(self.whole))
        return [f"{name} differs at the end" for name in names if found.get(name) != self.whole.get(name)]


def prepare(folder: Path, names: list[str]) -> dict[str, tuple[dict[str, str], float]]:
    """Results and seconds of the undisturbed work of each name; the World and the tables are made first."""
    small_world().save(folder / "world")
    write_tables(folder / "shop", sales_data=make_sales(60))
    whole = {}
    for name in names:
        place = folder / f"whole {name}"
        start(command_of(name, OUTPUT), folder=folder / f"first {name}")  # compiles, which takes a minute
        ended = start(command_of(name, OUTPUT), folder=place)
        if ended.code != 0:
            raise RuntimeError(f"{name} undisturbed ended with {ended.code}: {ended.told}")
        whole[name] = (results(place / OUTPUT), ended.seconds)
        print(f"{name}: {ended.seconds:.1f} s, {len(whole[name][0])} files", flush=True)
    return whole


def campaign(folder: Path, *, rounds: int, seed: int, names: list[str]) -> list[str]:
    """What was wrong in ``rounds`` rounds, one name after the other; those in which every signal came too late do not
    count."""
    whole = prepare(folder, names)
    wrong: list[str] = []
    stopped = 0
    for number in itertools.count():
        if stopped == rounds:
            return wrong
        name = names[number % len(names)]
        files, seconds = whole[name]
        place = folder / f"round {number}"
        place.mkdir()
        (place / "world").symlink_to(folder / "world")
        (place / "shop").symlink_to(folder / "shop")
        one = Round(name, place, files, seconds, random.Random(f"{seed} {number}"))
        told, faults = one.play()
        whole[name], stopped = (files, one.whole_s), stopped + (one.stops > 0)
        print(f"{number} {name}: {told}{''.join(f'{chr(10)}  WRONG: {fault}' for fault in faults)}", flush=True)
        wrong += [f"round {number}, {name}: {told}: {fault}" for fault in faults]
    raise AssertionError("it counts without an end")


def main() -> None:
    """Run a campaign in a new folder below the one given, and end with 1 if anything was wrong."""
    given = dict(argument.split("=", 1) for argument in sys.argv[1:])
    names = given.get("names", ",".join(WORK)).split(",")
    with tempfile.TemporaryDirectory(dir=given.get("folder")) as folder:
        wrong = campaign(Path(folder), rounds=int(given.get("rounds", 60)), seed=int(given.get("seed", 0)), names=names)
    print(f"{len(wrong)} faults")
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
