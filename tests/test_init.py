"""`import flashsim` is light, registers the env, and its example runs."""

import json
import subprocess
import sys

import flashsim

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
