"""Sixty programs stopped at random moments lose nothing; tests.hostile.kills tells what is looked at."""

from pathlib import Path

import pytest

from tests.hostile.kills import WORK, campaign

ROUNDS = 60


@pytest.mark.slow
def test_nothing_complete_is_lost_at_a_signal_and_the_work_ends_as_if_undisturbed(tmp_path: Path) -> None:
    wrong = campaign(tmp_path, rounds=ROUNDS, seed=0, names=list(WORK))
    assert not wrong, "\n".join(wrong)
