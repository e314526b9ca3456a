"""The table of learners: one record each, found by its settings and by its algorithm."""

import subprocess
import sys

import pytest

from agents.learners import LEARNERS, SETTINGS, learner_of, settings_for
from agents.settings import AgentConfig
from flashsim.errors import InputError


@pytest.mark.parametrize("name", LEARNERS)
def test_a_record_is_found_by_settings_and_by_the_name_of_its_algorithm(name: str) -> None:
    record = LEARNERS[name].record()
    assert learner_of(SETTINGS[name]()) is record
    assert settings_for(record.algorithm.__name__) is SETTINGS[name]


def test_no_two_learners_share_an_algorithm_or_settings_or_a_display_name() -> None:
    algorithms = [registered.record().algorithm for registered in LEARNERS.values()]
    names = [kind().name.lower() for kind in SETTINGS.values()]
    for column in (algorithms, names, list(SETTINGS.values())):
        assert len(set(column)) == len(LEARNERS)


def test_what_no_learner_has_is_refused() -> None:
    assert settings_for("A2C") is None
    with pytest.raises(InputError, match=r"agent: expected the settings of a learner \(PPOConfig, .*, got AgentConfig"):
        learner_of(AgentConfig())


def test_the_table_and_all_settings_do_without_torch() -> None:
    code = (
        "import sys, agents.learners\nprint([name for name in ('torch', 'stable_baselines3') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
