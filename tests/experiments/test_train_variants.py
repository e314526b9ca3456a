"""What a researcher types for other learners, rewards and constraints, and what the curve and the card then tell."""

import json
from pathlib import Path

import pandas as pd
import pytest

from flashsim.policies.bundle import load_policy
from tests.experiments.programs import SMALL_SALE, TINY_PPO, Start, prefixed, small_world, starter

PLAIN = ["steps", "profit", "standard_error"]


@pytest.fixture
def start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Start:
    return starter(monkeypatch, capsys, tmp_path)


def test_a_masked_ppo_keeps_marks_and_guard_rails(start: Start, tmp_path: Path) -> None:
    small_world().save(tmp_path / "world")
    ended = start(
        "train",
        "agent=maskable_ppo",
        "scenario=grocery_evening",
        "world.folder=world",
        *SMALL_SALE,
        *prefixed("agent", TINY_PPO),
        "agent.constraints.error_share=0.01",
        "agent.constraints.latency_p95_s=2",
        "agent.max_discount=0.3",
        "agent.min_servers=4",
        "output=train",
    )
    assert ended.code == 0, ended.stderr
    curve = pd.read_csv(tmp_path / "train" / "curves" / "maskableppo.csv")
    names = [f"{name}_{what}" for what in ("excess", "multiplier") for name in ("latency_p95_s", "error_share")]
    assert list(curve) == [*PLAIN, "lead", "lead_error", *names]
    policy = load_policy(tmp_path / "train" / "policies" / "maskableppo")
    assert policy.rails.is_masked
    assert (policy.action["max_discount"], policy.action["min_servers"]) == (0.3, 4)
    assert policy.training["config"]["constraints"] == {"latency_p95_s": 2.0, "error_share": 0.01, "margin": None}


@pytest.mark.parametrize("reward", ["revenue", "conversion", "revenue_conversion_gain"])
def test_another_reward_is_learned_and_told(start: Start, tmp_path: Path, reward: str) -> None:
    arguments = ("agent=ppo", f"reward={reward}", "agent.gamma=0.95", "scenario=g0", *prefixed("agent", TINY_PPO))
    assert start("train", *arguments, "output=train").code == 0
    curve = pd.read_csv(tmp_path / "train" / "curves" / "ppo.csv")
    assert list(curve) == [*PLAIN, "reward"]
    weights = json.loads((tmp_path / "train" / "policies" / "ppo" / "card.json").read_text())["training"]["config"]
    wanted = {"revenue": 0.0, "goods_cost": 0.0, "server_cost": 0.0, "penalty": 0.0, "salvage": 0.0}
    wanted |= {"conversion": 0.0, "revenue_conversion_gain": 0.0, reward: 1.0}
    assert weights["reward"] == wanted


def test_unknown_variants_are_refused(start: Start) -> None:
    for argument, words in (
        ("reward=profits", "there is no option reward=profits"),
        ("agent.constraints.error_share=2", "constraints error_share must be between 0 and 1, got 2"),
        ("agent.max_discount=2", "max_discount must be between 0 and 1, got 2"),
    ):
        ended = start("train", "scenario=g0", argument, "output=refused")
        assert ended.code == 2
        assert words in ended.stderr
