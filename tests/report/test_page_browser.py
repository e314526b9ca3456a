"""The page in a real browser: it draws, shows the verdict, and asks the network for nothing."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from flashsim.evaluation import compare
from flashsim.report import write_report
from tests.evaluation.made_rollouts import make_rollout

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
QUIET = [
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update", "--disable-extensions"),
]


@pytest.mark.skipif(CHROMIUM is None, reason="no chromium on PATH (on Debian: apt-get install chromium)")
def test_page_opens_offline_and_shows_the_verdict(tmp_path: Path) -> None:
    rollouts = [make_rollout("PPO", effect=50.0), make_rollout("fixed depth")]
    comparison = compare(rollouts, learners=["PPO"], baselines=["fixed depth"], resamples=500)
    path = write_report(tmp_path / "report", comparison)
    command = [str(CHROMIUM), *QUIET, f"--user-data-dir={tmp_path / 'profile'}", "--virtual-time-budget=2000"]
    command += ["--host-resolver-rules=MAP * ~NOTFOUND", "--dump-dom", path.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    dom = done.stdout
    verdict = re.search(r'<section id="verdict".*?</section>', dom, flags=re.DOTALL)
    assert verdict is not None
    shown = " ".join(re.sub(r"<[^>]+>", "", verdict[0]).split())
    assert str(comparison) in shown
    assert "https:" not in dom
    assert "http:" not in dom
    assert dom.count("<img") == 5
    assert "Content Security Policy" not in done.stderr
