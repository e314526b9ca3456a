"""Agents trained without a part: which settings differ, the table, and the program from end to end."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from agents.dqn.settings import DQNConfig
from agents.ppo.settings import PPOConfig
from experiments.studies.ablation import VARIANTS, WHOLE, AblationConfig, ablation_rows, ablation_table, settings_of
from flashsim.evaluation.trainings import over_trainings
from flashsim.policies.bundle import load_policy
from tests.experiments.programs import SMALL_SALE, TINY_PPO, Start, files, prefixed, small_world, starter

SETTINGS = ("scenario=grocery_evening", "world.folder=world", *SMALL_SALE, *prefixed("agent", TINY_PPO))


@pytest.fixture
def start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Start:
    return starter(monkeypatch, capsys, tmp_path)


def test_a_variant_differs_in_what_its_name_says() -> None:
    for agent, start_key in ((PPOConfig(), "head_start"), (DQNConfig(), "margin")):
        named = settings_of(agent, tuple(VARIANTS), trainings=2)
        assert list(named) == [WHOLE, *VARIANTS]
        differ = {
            name: {key for key in vars(agent) if getattr(both[0], key) != getattr(agent, key)} - {"name"}
            for name, both in named.items()
        }
        assert differ == {
            WHOLE: set(),
            "basic observation": {"observation"},
            "raw observation": {"observation"},
            "no head start": {start_key},
            "no twins": {"paired"},
            "no rules": {"assisted"},
        }
        assert len({one.name for both in named.values() for one in both}) == 2 * len(named)


def test_leads_are_paired_by_training_and_sale() -> None:
    random = np.random.default_rng(0)
    members = np.repeat(np.arange(4), 10)
    rule, whole = random.normal(100.0, 50.0, 40), random.normal(120.0, 50.0, (3, 40))
    less = whole - 7.0
    config = AblationConfig(resamples=200, sales_seed=3)
    table = ablation_table({WHOLE: whole, "raw observation": less}, rule, members, config)
    rows = {str(row["variant"]): row for row in table.to_dict("records")}
    ends = ("over_whole", "over_whole_low", "over_whole_high")
    assert [rows[WHOLE][end] for end in ends] == [0.0, 0.0, 0.0]
    found = rows["raw observation"]
    np.testing.assert_allclose([found[end] for end in ends], -7.0)
    expected = over_trainings(less - rule, members, confidence=0.95, resamples=200, seed=3)
    assert (found["over_rule"], found["over_rule_low"], found["over_rule_high"]) == tuple(expected)
    assert found["profit"] == pytest.approx(less.mean())
    told = {row["variant"]: row["over the whole agent"] for row in ablation_rows(table, sales=40)}
    assert told == {
        WHOLE: "+0.0 (without width: no spread in 40 sales)",
        "raw observation": "-7.0 (without width: no spread in 40 sales)",
    }


def test_every_variant_is_trained_and_told(start: Start, tmp_path: Path) -> None:
    small_world().save(tmp_path / "world")
    ended = start(
        "studies.ablation", *SETTINGS, "trainings=2", "variants=[no twins]", "sales=24", "resamples=200", "output=one"
    )
    assert ended.code == 0, ended.stderr
    table = pd.read_csv(tmp_path / "one" / "ablation.csv")
    assert table["variant"].tolist() == [WHOLE, "no twins"]
    assert (table["over_rule_low"] <= table["over_rule"]).all()
    assert (table["over_rule"] <= table["over_rule_high"]).all()
    assert (tmp_path / "one" / "ablation.png").read_bytes().startswith(b"\x89PNG")
    names = ("ppo whole 1", "ppo whole 2", "ppo no twins 1", "ppo no twins 2")
    seeds = [load_policy(tmp_path / "one" / "policies" / name).training["seed"] for name in names]
    assert seeds == [0, 1, 0, 1]
    assert "no twins" in ended.stdout


def test_too_few_steps_of_one_variant_are_refused_before_anything_is_searched(start: Start, tmp_path: Path) -> None:
    """Without rules an agent decides in every tick, so four rollouts of whole sales are more decisions."""
    small_world().save(tmp_path / "world")
    few = ("agent.rollout_steps=null", "agent.batch_size=null", "agent.steps=1200")
    before = files(tmp_path)
    ended = start("studies.ablation", *SETTINGS, *few, "variants=[no rules]", "output=refused")
    assert ended.code == 2, ended.stdout
    assert "steps must be at least 5440 for PPO no rules 1 on 'grocery_evening', got 1200" in ended.stderr
    assert files(tmp_path) == before


def test_what_cannot_be_told_apart_is_refused(start: Start, tmp_path: Path) -> None:
    for arguments, words in (
        (["variants=[no luck]"], "variants: expected any of basic observation"),
        (["variants=[]"], "variants: expected different names, at least one"),
        (["variants=[no twins,no twins]"], "variants: expected different names"),
        (["scenario=g0"], "'g0' has no members to hold out"),
        (["trainings=0"], "trainings"),
    ):
        ended = start("studies.ablation", *arguments, "output=refused")
        assert ended.code == 2, ended.stdout
        assert words in ended.stderr
        assert not (tmp_path / "refused").exists()
