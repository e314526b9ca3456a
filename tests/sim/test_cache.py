"""Compiled code is kept, found again, and forgotten when a source that it may come from changes."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numba
import numpy as np
import pytest

from flashsim.reference import g0
from flashsim.sim.cache import bound, compiled_code_of
from flashsim.sim.engine import Batch, step_tiles


def folder_for(*places: Path) -> str:
    config: Any = numba.config
    with compiled_code_of(*places):
        return str(config.CACHE_DIR)


def test_an_edit_in_any_source_gives_the_cache_another_name(tmp_path: Path) -> None:
    for name in ("first.py", "second.py"):
        (tmp_path / name).write_text("x = 1\n")
    before = folder_for(tmp_path)
    assert folder_for(tmp_path) == before
    (tmp_path / "second.py").write_text("x = 2\n")
    after = folder_for(tmp_path)
    assert after != before
    (tmp_path / "second.py").write_text("x = 1\n")
    assert folder_for(tmp_path) == before


def test_a_place_can_be_a_single_source(tmp_path: Path) -> None:
    folder, single = tmp_path / "sim", tmp_path / "plan.py"
    folder.mkdir()
    single.write_text("x = 1\n")
    before = folder_for(single, folder)
    assert Path(before).name.startswith("sim-")
    single.write_text("x = 2\n")
    assert folder_for(single, folder) != before


def test_the_cache_goes_where_the_environment_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "mine"))
    assert folder_for(tmp_path).startswith(str(tmp_path / "mine"))


def test_the_setting_of_other_code_is_left_as_it_was(tmp_path: Path) -> None:
    config: Any = numba.config
    before = config.CACHE_DIR
    folder_for(tmp_path)
    assert before == config.CACHE_DIR
    with pytest.raises(RuntimeError), compiled_code_of(tmp_path):
        raise RuntimeError
    assert before == config.CACHE_DIR


MODULE = """
from pathlib import Path
from flashsim.sim.cache import announce_compiling, compiled, compiled_code_of
with compiled_code_of(Path(__file__)):
    @compiled
    def add(a, b):
        return a + b
announce_compiling(add)
announce_compiling(add)
add(1, 2)
"""


def test_compiling_is_announced_once_and_only_where_nothing_is_cached(tmp_path: Path) -> None:
    (tmp_path / "adding.py").write_text(MODULE)
    environment = os.environ | {"NUMBA_CACHE_DIR": str(tmp_path / "cache")}
    command = [sys.executable, str(tmp_path / "adding.py")]
    said = [subprocess.run(command, env=environment, capture_output=True, text=True, check=True) for _ in range(2)]
    assert [done.stdout for done in said] == ["", ""]
    assert said[0].stderr == "flashsim: compiling the simulator, about a minute, once\n"
    assert said[1].stderr == ""


def test_a_bound_function_is_the_compiled_one_for_the_types_of_its_arguments() -> None:
    batch = Batch(g0().compile().tables, 1, domain=0)
    batch.open(np.ones(1, np.bool_))
    arguments = (batch.tables, batch.state, batch.decisions, batch.ledger, batch.scratch[0], 0, 1)
    step = bound(step_tiles, arguments)
    known = len(step_tiles.signatures)
    step(*arguments)
    step(*arguments)
    assert batch.state.tick[0, 0] == 2
    assert len(step_tiles.signatures) == known
    assert step is not step_tiles


def test_without_compilation_a_function_is_bound_to_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    config: Any = numba.config
    monkeypatch.setattr(config, "DISABLE_JIT", True)
    assert bound(abs, (1,)) is abs


SECOND_START = """
import numpy as np
from flashsim.reference import g0
from flashsim.sim.engine import Batch, open_tiles, step_tiles
batch = Batch(g0().compile().tables, 1, domain=0)
batch.open(np.ones(1, np.bool_))
batch.step()
assert step_tiles.stats.cache_hits and open_tiles.stats.cache_hits, "compiled anew"
"""


def test_a_second_process_compiles_nothing_anew() -> None:
    """The first process is this one: it fills the cache, should that be empty."""
    batch = Batch(g0().compile().tables, 1, domain=0)
    batch.open(np.ones(1, np.bool_))
    batch.step()
    done = subprocess.run(
        [sys.executable, "-c", SECOND_START], env=os.environ.copy(), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
