"""Notebooks and examples run as they stand, in an interpreter of their own, and print what they promise."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SCRIPTS = sorted(path.relative_to(ROOT) for folder in ("examples", "notebooks") for path in ROOT.glob(f"{folder}/*.py"))


def printed_by(script: str) -> str:
    """What ``script`` prints; it must end well, without a warning, and needs no screen."""
    kept = {name: value for name, value in os.environ.items() if name != "DISPLAY"}
    done = subprocess.run(
        [sys.executable, "-W", "error", script],
        cwd=ROOT,
        env=kept | {"PYTHONPATH": str(ROOT), "MPLBACKEND": "Agg"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def share_after(words: str, text: str) -> float:
    """The percentage that follows ``words`` in ``text``."""
    found = re.search(re.escape(words) + r"[^%]*?([\d.]+)%", text)
    assert found is not None, text
    return float(found[1])


def test_the_first_notebook_shows_a_ledger_a_verdict_and_intervals() -> None:
    text = printed_by("notebooks/first_sale.py")
    assert re.search(r"^revenue +[\d.]+$", text, flags=re.MULTILINE)
    assert "Run it with run-out price: its lead over human team in profit is" in text
    difference, low, high = map(
        float, re.findall(r"^profit +([-\d.]+) +(-inf|[-\d.]+) +(inf|[-\d.]+)$", text, re.MULTILINE)[0]
    )
    assert low < difference < high


def test_notebooks_are_percent_scripts_that_begin_with_a_heading() -> None:
    for script in ROOT.glob("notebooks/*.py"):
        cells = re.split(r"^# %%", script.read_text(encoding="utf-8"), flags=re.MULTILINE)
        assert cells[0] == "", f"{script.name} has text before its first cell"
        assert cells[1].startswith(' [markdown]\n"""\n# ')
        assert len(cells) > 3


def test_a_policy_of_ones_own_is_compared_with_rules() -> None:
    text = printed_by("examples/own_policy.py")
    assert "last hour: " in text
    assert "95 % interval" in text


def test_a_scenario_of_ones_own_is_played_and_a_wrong_one_refused() -> None:
    text = printed_by("examples/own_scenario.py")
    assert "quick servers: " in text
    assert "refused: lag must be between 0 and" in text


@pytest.mark.slow
def test_stock_sb3_learns_more_than_the_best_price_held() -> None:
    text = printed_by("examples/stock_sb3.py")
    assert share_after("steps: ", text) > share_after("best price held for the whole sale: ", text)


@pytest.mark.slow
def test_ppo_in_a_single_file_comes_near_the_optimum() -> None:
    text = printed_by("examples/ppo_single_file.py")
    assert share_after("single-file PPO: ", text) > 99.0


def test_every_example_and_notebook_has_a_test_and_is_short() -> None:
    tests = Path(__file__).read_text(encoding="utf-8")
    for script in SCRIPTS:
        assert f'printed_by("{script.as_posix()}")' in tests
        assert len((ROOT / script).read_text(encoding="utf-8").splitlines()) <= 200, script
