"""What tests of the real programs share: a small World on disk, small trainings, and a way to start a program here."""

import importlib
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from flashsim.rules import rules
from flashsim.world import World
from tests.worlds import make_world

TINY = ("steps=600", "evaluations=2", "evaluation_sales=16", "layers=[8]", "device=cpu", "imitation_updates=50")
TINY_PPO = (*TINY, "rollout_steps=240", "batch_size=120")
TINY_DQN = (*TINY, "sales=8", "learning_starts=50", "buffer=1000")
SMALL_SALE = ("scenario.ticks=65",)
FEW_SALES = ("evaluation.sales=30", "evaluation.resamples=200")


class Ended(NamedTuple):
    """How a program ended."""

    code: int
    stdout: str
    stderr: str


Start = Callable[..., Ended]


def starter(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], folder: Path) -> Start:
    """Start programs in this process and in ``folder``, as the command line would: arguments, exit code, output."""
    monkeypatch.chdir(folder)
    monkeypatch.setenv("HYDRA_FULL_ERROR", "0")  # so that what a program sets is taken back
    monkeypatch.setattr(rules, "TARGETS", (0.7,))  # a search takes a second

    def start(program: str, *arguments: str) -> Ended:
        main = importlib.import_module(f"experiments.{program}").main
        monkeypatch.setattr(sys, "argv", [program, *arguments])
        capsys.readouterr()
        try:
            main()
        except SystemExit as ended:
            return Ended(int(ended.code or 0), *capsys.readouterr())
        return Ended(0, *capsys.readouterr())

    return start


def small_world() -> World:
    """Two products, six members, three of them held out."""
    return make_world(products=2, members=6, training_members=(0, 1, 2), heldout_members=(3, 4, 5))


def prefixed(prefix: str, arguments: tuple[str, ...]) -> list[str]:
    """The arguments below one key of a config."""
    return [f"{prefix}.{argument}" for argument in arguments]


def files(folder: Path) -> set[str]:
    """Every file below the folder, relative to it."""
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
