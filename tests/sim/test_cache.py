"""Compiled code is kept, found again, and forgotten when a source that it may come from changes."""

import os
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numba
import numpy as np
import pytest

from flashsim.reference import g0
from flashsim.sim.cache import _make_own, bound, compiled_code_of
from flashsim.sim.clock import advance_clock
from flashsim.sim.engine import Batch, step_tiles


def folder_for(*places: Path) -> str:
    with compiled_code_of(*places) as folder:
        return str(folder)


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


MODULE = """
from pathlib import Path
from flashsim.sim.cache import announce_compiling, compiled, compiled_code_of
with compiled_code_of(Path(__file__)):
    @compiled
    def add(a, b):
        return a + b
announce_compiling(add)
announce_compiling(add)
print(add(1, 2))
"""


COMPILING = "flashsim: compiling the simulator, about a minute, once\n"
COMPILING_EACH_TIME = "flashsim: compiling the simulator, about a minute\n"


def said_by(checkout: Path, cache: Path, *, source: str = MODULE) -> str:
    """What a program that lies in ``checkout`` says on standard error when it adds 1 and 2."""
    checkout.mkdir(exist_ok=True)
    (checkout / "adding.py").write_text(source)
    environment = os.environ | {"NUMBA_CACHE_DIR": str(cache)}
    command = [sys.executable, str(checkout / "adding.py")]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert done.stdout == "3\n"
    return done.stderr


def test_compiling_is_announced_once_and_only_where_nothing_is_cached(tmp_path: Path) -> None:
    assert said_by(tmp_path, tmp_path / "cache") == COMPILING
    assert said_by(tmp_path, tmp_path / "cache") == ""


def test_a_second_checkout_of_the_same_sources_compiles_nothing_and_one_of_others_everything(tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    assert said_by(tmp_path / "first", cache) == COMPILING
    kept = {path.name: path.stat().st_mtime_ns for path in cache.rglob("*.nbc")}
    assert said_by(tmp_path / "second", cache) == ""
    assert {path.name: path.stat().st_mtime_ns for path in cache.rglob("*.nbc")} == kept
    assert said_by(tmp_path / "third", cache, source=MODULE + "\n") == COMPILING


@pytest.mark.parametrize("ending", [".nbi", ".nbc"])
@pytest.mark.parametrize("damage", [lambda whole: whole[: len(whole) // 2], lambda _: b"", lambda _: b"no pickle"])
def test_code_that_was_kept_by_halves_is_compiled_anew_and_kept_again(
    tmp_path: Path, ending: str, damage: Callable[[bytes], bytes]
) -> None:
    cache = tmp_path / "cache"
    said_by(tmp_path, cache)
    for path in cache.rglob(f"*{ending}"):
        path.write_bytes(damage(path.read_bytes()))
    assert "cannot be read" in said_by(tmp_path, cache)
    assert said_by(tmp_path, cache) == ""


def test_two_programs_that_compile_at_once_both_work(tmp_path: Path) -> None:
    with ThreadPoolExecutor(2) as pool:
        both = [pool.submit(said_by, tmp_path / name, tmp_path / "cache") for name in ("first", "second")]
        assert {job.result() for job in both} <= {COMPILING, ""}
    assert said_by(tmp_path / "first", tmp_path / "cache") == ""


def test_code_is_not_kept_where_others_could_put_theirs(tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    said_by(tmp_path, cache)
    (folder,) = (path for path in cache.iterdir() if path.name.startswith("adding"))
    folder.chmod(0o777)
    said = said_by(tmp_path, cache)
    assert f"compiled code is not kept in {folder} (others may write in {folder}); set NUMBA_CACHE_DIR" in said
    folder.chmod(0o700)
    elsewhere = tmp_path / "elsewhere"
    folder.rename(elsewhere)
    folder.symlink_to(elsewhere)
    assert f"{folder} is no folder" in said_by(tmp_path, cache)


@pytest.mark.parametrize("mode", [0o777, 0o2777])
def test_code_is_not_kept_where_others_could_put_another_folder_in_its_place(tmp_path: Path, mode: int) -> None:
    cache = tmp_path / "shared" / "mine" / "cache"
    assert said_by(tmp_path, cache) == COMPILING
    (tmp_path / "shared").chmod(mode)
    said = said_by(tmp_path, cache)
    assert f"(others may write in {tmp_path / 'shared'}); set NUMBA_CACHE_DIR" in said
    assert said.endswith(COMPILING_EACH_TIME)
    (tmp_path / "link").symlink_to(cache)
    assert "others may write" in said_by(tmp_path, tmp_path / "link")


def test_code_is_kept_below_a_folder_for_all_whose_entries_are_their_owners_alone(tmp_path: Path) -> None:
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared").chmod(0o1777)
    assert said_by(tmp_path, tmp_path / "shared" / "cache") == COMPILING
    assert said_by(tmp_path, tmp_path / "shared" / "cache") == ""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder to another user")
def test_code_is_not_kept_in_a_folder_of_another_user(tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    assert said_by(tmp_path, cache) == COMPILING
    (folder,) = cache.iterdir()
    os.chown(folder, 1, -1)
    assert f"(others may write in {folder})" in said_by(tmp_path, cache)


def test_code_that_others_may_have_put_there_since_the_import_is_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    change = "import os; os.environ['OPEN'] and next(Path(os.environ['NUMBA_CACHE_DIR']).iterdir()).chmod(0o777)"
    source, cache = MODULE.replace("print(add(1, 2))", f"{change}\nprint(add(1, 2))"), tmp_path / "cache"
    monkeypatch.setenv("OPEN", "")
    assert said_by(tmp_path, cache, source=source) == COMPILING
    (kept,) = cache.rglob("*.nbc")
    kept.write_bytes(b"no pickle")
    monkeypatch.setenv("OPEN", "yes")
    said = said_by(tmp_path, cache, source=source)
    assert "cannot be read" not in said
    assert "cannot be kept" in said


def test_folders_that_are_made_for_code_are_the_user_s_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NUMBA_CACHE_DIR", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home" / ".cache"))
    before = os.umask(0o002)
    try:
        folder = Path(folder_for(tmp_path))
        assert list(tmp_path.iterdir()) == []  # an import alone makes no folder
        _make_own(folder)
    finally:
        os.umask(before)
    made = [folder, *folder.parents][:4]
    assert made[-1] == tmp_path / "home"
    assert [oct(path.stat().st_mode & 0o777) for path in made] == ["0o700"] * 4


def test_where_nothing_can_be_kept_it_works_and_says_why(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    said = said_by(tmp_path, tmp_path / "file")
    assert "compiled code is not kept in" in said
    assert f"{tmp_path / 'file'} is no folder" in said
    assert said.endswith(COMPILING_EACH_TIME)


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


CALLS = """
from pathlib import Path
import numpy as np
from flashsim.sim.cache import compiled, compiled_code_of
with compiled_code_of(Path(__file__)):
    @compiled
    def write_sum(values, out):
        for place in range(out.shape[0]):
            out[place] = values[place] + place
    @compiled
    def fill(values, out):
        rows = values[0]
        if out[0, 0] > 0.0:
            rows = values[1]
        write_sum(rows, out[0])
        for place in range(2):
            row = out[place]
            if place > 0:
                write_sum(values[place], row)
out = np.zeros((2, 3))
fill(np.array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]), out)
assert out.tolist() == [[1.0, 3.0, 5.0], [4.0, 6.0, 8.0]], out
(made,) = fill.overloads.values()
assert not write_sum.signatures, "made to be called from Python, which nobody did"
text = made.library.get_llvm_str()
assert sum("write_sum" in line for line in text.splitlines() if line.startswith("define")) == 1, text
assert "NRT" not in text
print(3)
"""


def test_what_compiled_code_calls_is_compiled_once_with_what_python_calls(tmp_path: Path) -> None:
    assert said_by(tmp_path, tmp_path / "cache", source=CALLS) == ""
    (kept,) = (tmp_path / "cache").rglob("*.nbi")
    assert kept.name.startswith("adding.fill")


def test_a_second_process_compiles_nothing_anew() -> None:
    """The first process is this one: it fills the cache, should that be empty."""
    batch = Batch(g0().compile().tables, 1, domain=0)
    batch.open(np.ones(1, np.bool_))
    batch.step()
    done = subprocess.run(
        [sys.executable, "-c", SECOND_START], env=os.environ.copy(), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_python_cannot_call_what_compiled_code_alone_calls() -> None:
    """Numba would jump to an address that is none; also once the code exists, as it does after a step."""
    batch = Batch(g0().compile().tables, 1, domain=0)
    batch.open(np.ones(1, np.bool_))
    batch.step()
    for _ in range(2):
        with pytest.raises(TypeError, match="advance_clock is called by compiled code alone"):
            advance_clock(batch.state.tick)
