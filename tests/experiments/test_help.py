"""All programs are listed, and each tells its settings quickly: without the packages that only its work needs."""

import subprocess
import sys
from pathlib import Path

import pytest

from experiments.__main__ import programs

ROOT = Path(__file__).resolve().parents[2]
HEAVY = ("torch", "scipy.stats", "matplotlib", "cryptography")
LISTED = dict(programs())
HELP = f"""\
import os, runpy, sys, tempfile
import experiments.pipeline.compare, experiments.pipeline.worlds

def show_help(program):
    sys.argv = [program, "--help"]
    try:
        runpy.run_module(program, run_name="__main__", alter_sys=True)
    except SystemExit as ended:
        assert not ended.code, ended.code
    imported = [name for name in {HEAVY!r} if name in sys.modules]
    assert not imported, f"--help imports {{imported}}"

for program in sys.argv[1:]:
    sys.stdout.flush()
    child = os.fork()
    if not child:
        show_help(program)
        sys.exit()
    print(f"\\0{{program}}\\0{{os.waitpid(child, 0)[1]}}\\0", flush=True)
"""
"""Each program in a process of its own; all begin with what most programs import, so that it is imported once."""


@pytest.fixture(scope="module")
def shown() -> dict[str, tuple[str, int]]:
    """Program -> what it prints with ``--help``, and its exit status."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", HELP, *LISTED],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=True,
        cwd=ROOT,
    )
    texts, names, statuses = (done.stdout.split("\0")[place::3] for place in range(3))
    return {name: (text, int(status)) for text, name, status in zip(texts, names, statuses, strict=False)}


def test_the_list_names_every_program_with_the_first_line_of_its_docstring() -> None:
    command = [sys.executable, "-c", "import runpy, sys; runpy.run_module('experiments', run_name='__main__'); "
               "assert 'hydra' not in sys.modules and 'numpy' not in sys.modules"]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
    lines = done.stdout.splitlines()
    assert len([line for line in lines if line.startswith("python -m ")]) == len(LISTED)
    assert any(line.startswith("Exit codes: ") for line in lines)
    assert any(line.startswith("python -m experiments.train ") and "Train one agent" in line for line in lines)
    assert all(line.endswith((".", "?")) for line in LISTED.values()), LISTED


def test_every_entry_point_is_in_the_list() -> None:
    files = (path for path in (ROOT / "experiments").rglob("*.py") if "\n@entry(" in path.read_text(encoding="utf-8"))
    modules = {".".join(path.relative_to(ROOT).with_suffix("").parts) for path in files}
    assert modules | {"experiments.ship_world"} == LISTED.keys()


@pytest.mark.parametrize("program", LISTED)
def test_help_imports_nothing_heavy(program: str, shown: dict[str, tuple[str, int]]) -> None:
    text, status = shown[program]
    assert status == 0, text
    assert LISTED[program] in text
