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
import runpy, sys
sys.argv = [sys.argv[1], "--help"]
try:
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
except SystemExit as ended:
    assert not ended.code, ended.code
imported = [name for name in {HEAVY!r} if name in sys.modules]
assert not imported, f"--help imports {{imported}}"
"""


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
def test_help_imports_nothing_heavy(program: str) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", HELP, program], capture_output=True, text=True, check=False, cwd=ROOT
    )
    assert done.returncode == 0, done.stderr
    assert LISTED[program] in done.stdout
