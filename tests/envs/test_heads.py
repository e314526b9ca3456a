"""An action is what its heads make of it: a head takes part by its class and its line in the registry alone."""

import ast
from collections.abc import Mapping
from dataclasses import fields, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from flashsim.envs import actions
from flashsim.envs.actions import ActionCodec, ActionConfig
from flashsim.envs.dashboard import Dashboard
from flashsim.envs.heads import HEADS, Head
from flashsim.envs.heads.head import HeadConfig, Rows, nearest
from flashsim.envs.reward import RewardConfig
from flashsim.envs.vector import SaleBatch
from flashsim.errors import InputError
from flashsim.policies.guardrails import Rails
from flashsim.scenarios.compiled import CompiledSale
from flashsim.sim.state import Decisions, SaleState
from tests.made_policies import random_network, random_observations
from tests.worlds import make_scenario

ROOT = Path(__file__).resolve().parents[2]


@cache
def the_sale() -> CompiledSale:
    return make_scenario().compile()


class LastMinutes(Head):
    """A cap of 1, or of a half or a quarter, a half in the first ticks of the sale alone. It may not be a quarter."""

    name, decision = "last_minutes", "cap"
    caps = np.array([1.0, 0.5, 0.25])

    def __init__(self, sale: CompiledSale, config: HeadConfig, dashboard: Dashboard) -> None:
        super().__init__(sale, config, dashboard)
        self.sizes = (self.caps.size,)

    @staticmethod
    def check(config: Any, *, every: int) -> None:
        if every == 7:
            raise InputError("action every: 7 ticks are too many for last_minutes")

    def meaning(self) -> Any:
        return self.caps.tolist()

    def default(self, sales: int) -> NDArray[np.float64]:
        return np.full(sales, 1.0)

    def decode(
        self,
        chosen: NDArray[np.int64] | None,
        observation: NDArray[np.float32],
        decided: Mapping[str, NDArray[Any]],
        *,
        is_first: bool,
    ) -> NDArray[np.float64]:
        return self.default(len(observation)) if chosen is None else self.caps[chosen[:, 0]]

    def keep_guard_rails(self, decision: NDArray[Any], observation: NDArray[np.float32]) -> NDArray[Any]:
        return np.maximum(decision, 0.5)

    def encode(self, decisions: Decisions) -> NDArray[np.int64]:
        return nearest(self.caps, decisions.cap)[:, None]

    def feasible(self, state: SaleState, rows: Rows) -> NDArray[np.bool_]:
        return np.stack([rows(state.tick) >= 0, rows(state.tick) < 2, rows(state.tick) < 0], axis=1)

    def rails(self) -> list[dict[str, Any]]:
        return [{"choices": 3, "values": [0.0, 0.0, 2.0], "most": "max_discount", "spent": {"time_left": 1}}]


@pytest.fixture
def last_minutes(monkeypatch: pytest.MonkeyPatch) -> None:
    """The registry with another head in place of that of admission."""
    heads = {name: LastMinutes if name == "admission" else head for name, head in HEADS.items()}
    monkeypatch.setattr(actions, "HEADS", {head.name: head for head in heads.values()})


BOTH = ActionConfig(heads=("discount",), per_product=False)


@pytest.mark.usefixtures("last_minutes")
@pytest.mark.parametrize("is_flat", [False, True])
def test_a_registered_head_takes_part_in_all_that_is_done_with_an_action(is_flat: bool) -> None:
    action = replace(BOTH, heads=("discount", "last_minutes"), flat=is_flat)
    batch = SaleBatch(the_sale(), 4, action=action, reward=RewardConfig(), domain=0)
    codec = batch.codec
    assert codec.sizes.tolist() == [6, 3]
    assert codec.meanings()["last_minutes"] == [1.0, 0.5, 0.25]
    batch.seed(np.arange(4, dtype=np.uint64))
    wanted = codec.defaults(4)._replace(cap=np.array([1.0, 0.5, 0.25, 0.5]))
    decided = codec.decode(codec.encode(wanted), batch.observe())
    assert decided.cap.tolist() == [1.0, 0.5, 0.5, 0.5]  # a quarter is cut
    for _ in range(3):
        caps = batch.masks().reshape(4, 6, 3)[0, 0] if is_flat else batch.masks()[0, 6:]
        assert caps.tolist() == [True, batch.batch.state.tick[0, 0] < 2, False]
        batch.step(codec.encode(wanted))
        assert batch.batch.rows(batch.batch.decisions.cap).tolist() == [1.0, 0.5, 0.5, 0.5]


@pytest.mark.usefixtures("last_minutes")
def test_a_policy_keeps_to_what_a_registered_head_says_of_its_choices() -> None:
    policy = random_network(the_sale(), action=replace(BOTH, heads=("discount", "last_minutes")), is_masked=True)
    seen = random_observations(the_sale(), 500)
    seen[250:, 0] = 0.0  # time_left
    chosen = policy.act(seen)[:, 1]
    assert set(chosen[:250]) == {0, 1}
    assert set(chosen[250:]) == {0}


@pytest.mark.usefixtures("last_minutes")
def test_a_registered_head_is_known_by_its_name_checks_its_config_and_may_be_left_out() -> None:
    with pytest.raises(InputError, match="unknown 'admission'; choose from discount, timing, capacity, last_minutes"):
        replace(BOTH, heads=("admission",))
    with pytest.raises(InputError, match="too many for last_minutes"):
        replace(BOTH, every=7)
    codec = ActionCodec(the_sale(), BOTH)
    assert codec.decode(np.zeros((2, 1), np.int64), random_observations(the_sale(), 2)).cap.tolist() == [1.0, 1.0]


def test_each_field_of_the_decisions_is_set_by_one_head() -> None:
    assert sorted(head.decision for head in HEADS.values()) == sorted(Decisions._fields)
    assert [head.name for head in HEADS.values()] == list(HEADS)


def test_decisions_by_default_are_what_is_done_where_heads_are_left_out() -> None:
    observation = random_observations(the_sale(), 5)
    for name in ("discount", "timing", "capacity"):
        codec = ActionCodec(the_sale(), ActionConfig(heads=(name,)))
        decided = codec.decode(codec.encode(codec.defaults(5)), observation)
        for seen, expected in zip(decided, codec.defaults(5), strict=True):
            np.testing.assert_array_equal(seen, expected)


def test_the_rails_of_an_action_have_its_columns() -> None:
    for action in (ActionConfig(), ActionConfig(around_run_out=2, scaler_targets=(0.5, 0.7), per_product=False)):
        codec = ActionCodec(the_sale(), action)
        assert Rails(**codec.rails(is_masked=True)).sizes == codec.head_sizes


OPEN_TO_HEADS = (
    "flashsim/envs/actions.py",
    "flashsim/envs/vector.py",
    "flashsim/policies/bundle.py",
    "flashsim/policies/guardrails.py",
)


@pytest.mark.parametrize("file", OPEN_TO_HEADS)
def test_what_handles_all_actions_names_no_head(file: str) -> None:
    """Nor what it decides, nor the fields of its config: a new head leaves these files as they are."""
    shared = {field.name for field in fields(HeadConfig)} | {"every", "flat"}
    own = {*HEADS} | {head.decision for head in HEADS.values()}
    own |= {field.name for field in fields(ActionConfig)} - shared
    words = set()
    for node in ast.walk(ast.parse((ROOT / file).read_text(encoding="utf-8"))):
        if isinstance(node, ast.Attribute):
            words.add(node.attr)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            words.add(node.value)
    assert words & own == set()
