"""A small bundle that asks for a large memory or much time is refused, and a large one is replayed in blocks."""

import tracemalloc
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from flashsim.errors import InputError
from flashsim.policies.bundle import NetworkPolicy, _decides, save_policy
from flashsim.policies.guardrails import Rails
from flashsim.policies.probes import MOST_PROBES
from tests.policies.test_bundle import change_tensors, refusal

LARGEST_MENU = 10_000


def network(columns: list[int], *, is_flat: bool, **changes: Any) -> NetworkPolicy:
    """It sees one number, and its heads have ``columns`` choices."""
    sizes = (int(np.prod(columns, dtype=np.int64)),) if is_flat else tuple(columns)
    policy = NetworkPolicy(
        name="large",
        action={"flat": is_flat},
        head_sizes=sizes,
        observation=("time_left",),
        weights=(np.ones((sum(sizes), 1), np.float32),),
        biases=(np.zeros(sum(sizes), np.float32),),
        activation="tanh",
        training={},
        rails=Rails(columns=[{"choices": size} for size in columns], is_masked=False),  # type: ignore[arg-type]
        choices={},
    )
    return replace(policy, **changes)


@pytest.mark.parametrize("columns", [[LARGEST_MENU], [10] * 4])
def test_many_probes_of_many_choices_take_little_memory(columns: list[int]) -> None:
    """All at once they would take 400 MB and more."""
    policy = network(columns, is_flat=len(columns) > 1)
    probes = np.zeros((10_000, 1), np.float32)
    expected = np.repeat(policy.act(probes[:1]), len(probes), axis=0)
    tracemalloc.start()
    assert _decides(policy, probes, expected)
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert most < 100 * 2**20
    expected[-1] += 1
    assert not _decides(policy, probes, expected)
    assert not _decides(policy, probes, expected[:-1])


def test_more_probes_than_a_bundle_holds_are_refused(tmp_path: Path) -> None:
    """Though observations of no feature take no room in a file."""
    policy = network([2], is_flat=False, observation=(), weights=(np.zeros((2, 0), np.float32),))
    save_policy(policy, tmp_path / "bundle", probes=np.zeros((1, 0), np.float32))
    probes = np.zeros((10**12, 0), np.float32)
    change_tensors(tmp_path / "bundle", lambda tensors: tensors.update(probe_observations=probes))
    assert f"has {10**12} probes, expected at most {MOST_PROBES}" in refusal(tmp_path / "bundle")
    with pytest.raises(InputError, match=f"expected at most {MOST_PROBES}"):
        save_policy(policy, tmp_path / "other", probes=np.zeros((MOST_PROBES + 1, 0), np.float32))


@pytest.mark.parametrize("columns", [[3, *[1] * 99], [2] * 14, [LARGEST_MENU + 1]])
def test_more_combinations_than_a_flat_action_has_are_refused(columns: list[int]) -> None:
    with pytest.raises(InputError, match=r"expected at most 10000 combinations of at most 64 columns.*; export"):
        network(columns, is_flat=True)


def test_more_columns_than_an_action_has_are_refused() -> None:
    with pytest.raises(InputError, match="expected at most 1000 columns of an action, got 1001; decide for all"):
        network([1] * 1001, is_flat=False)


@pytest.mark.parametrize("name", ["two\nlines", "\x1b[2J", "\u202eturned", ""])
def test_a_name_that_writes_more_than_a_name_is_refused(name: str) -> None:
    for changes in ({"name": name}, {"observation": (name,)}):
        with pytest.raises(InputError, match="name: expected text in one line") as caught:
            network([2], is_flat=False, **changes)
        assert str(caught.value).isprintable()


def test_a_refusal_of_rails_repeats_one_number_alone() -> None:
    values = [*[0.1] * 50_000, "x" * 10**6]
    with pytest.raises(InputError, match="expected numbers, got 'xxx") as caught:
        Rails(columns=[{"choices": 50_001, "values": values, "most": "max_discount"}], is_masked=False)  # type: ignore[arg-type]
    assert len(str(caught.value)) < 200
