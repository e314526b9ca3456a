"""A program small enough to start many times: its config has every kind of field that an entry point may have."""

import enum
import multiprocessing
import os
import signal
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from experiments.launch.entry import dated, entry
from experiments.launch.outputs import RunFolder
from flashsim.errors import InputError
from flashsim.files import write_text


class Device(enum.Enum):
    auto = "auto"
    cpu = "cpu"


@dataclass(frozen=True)
class ToyScenario:
    stock: int = 3
    menu: tuple[float, ...] = (0.0, 0.1)

    def __post_init__(self) -> None:
        if self.stock < 0:
            raise ValueError(f"stock must be >= 0, got {self.stock}")


@dataclass(frozen=True)
class ToyAgent:
    gamma: float = 0.99
    device: Device = Device.auto


@dataclass(frozen=True)
class ToyPPO(ToyAgent):
    clip_range: float = 0.2


@dataclass(frozen=True)
class ToyDQN(ToyAgent):
    exploration: float = 0.1


@dataclass(frozen=True)
class ToyConfig:
    seed: int = 0
    then: str = ""
    limit: float | None = None
    is_quick: bool = False
    scenario: ToyScenario = field(default_factory=ToyScenario)
    agent: ToyAgent = field(default_factory=ToyAgent)
    output: str = dated("toy")


class ToyError(Exception):
    """An exception that is nobody's input."""


def wait_with_a_helper(folder: Path) -> None:
    """Wait for a process that sleeps for a minute, as a run waits for its trainings."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        write_text(folder / "helper.txt", str(pool.submit(os.getpid).result()))
        sleeping = pool.submit(time.sleep, 60.0)
        try:
            sleeping.result()
        except KeyboardInterrupt:
            print("cleaned up", file=sys.stderr)
            raise


@entry("toy", ToyConfig, options={"agent": {"ppo": ToyPPO, "dqn": ToyDQN}}, conf=Path(__file__).parent / "toy_conf")
def main(config: ToyConfig, folder: RunFolder) -> None:
    folder.record(seeds=[config.seed], data={"world": "checksum"})
    with folder.timed("toy"):
        if config.then == "refuse":
            raise InputError("the World is truncated:\n got 3 bytes; make it again")
        if config.then == "refuse late":
            write_text(folder.path / "table.csv", "a,b")
            raise InputError("the report cannot be written; choose another folder")
        if config.then == "fail":
            raise ToyError("a fault of ours")
        if config.then == "print":
            print("evil \x1b[2J\u202e\tname")
        if config.then == "write much":
            write_text(folder.path / "much.csv", "a" * 100_000)
        if config.then == "write much elsewhere":
            (folder.path / "elsewhere.bin").write_bytes(bytes(100_000))
        if config.then == "lose the folder":
            folder.path.rename("gone")
            (folder.path / "elsewhere.bin").write_bytes(b"")
        if config.then == "close the folder":
            (folder.path / "closed" / "elsewhere.bin").mkdir(parents=True)
            (folder.path / "closed" / "elsewhere.bin").write_bytes(b"")
        if config.then == "wait with a helper":
            wait_with_a_helper(folder.path)
        if config.then == "interrupt":
            signal.signal(signal.SIGINT, signal.default_int_handler)  # shells ignore it for what they run behind
            os.kill(os.getpid(), signal.SIGINT)
    write_text(folder.path / "config.txt", repr(config))


if __name__ == "__main__":
    main()
