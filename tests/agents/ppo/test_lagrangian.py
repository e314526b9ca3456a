"""Multipliers: they find the saddle where it is known, and bring a sale to its mark that would miss it by far."""

import functools
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator  # type: ignore[import-untyped]

from agents.ppo.lagrangian import ascend
from agents.ppo.settings import TensorPPOConfig
from agents.start.reward_scale import Spread
from agents.training import Trained, train
from flashsim.envs.reward import ConstraintConfig
from flashsim.errors import InputError
from flashsim.evaluation.kpis import find_kpi
from flashsim.evaluation.rollout import play
from flashsim.scenarios.compiled import CompiledSale
from flashsim.sim.servers import ServerParams
from tests.agents.tiny import small_sale, tensor_ppo, train_small
from tests.worlds import make_scenario, make_world


@pytest.mark.parametrize(("reward", "excess"), [(1.0, 1.0), (250.0, 1.0), (1.0, 40.0)])
def test_the_saddle_of_a_concave_problem_is_found(reward: float, excess: float) -> None:
    """Largest -(p - 1)² with p ≤ 0.3: p = 0.3 and λ = 1.4, whatever the units of reward and excess."""
    p, multipliers = 0.9, np.zeros(1)
    spread = Spread(reward, np.array([excess]))
    for _ in range(2_000):
        price = multipliers[0] * excess / reward  # in units in which both spreads are 1
        p += 0.05 * (-2.0 * (p - 1.0) - price)
        multipliers = ascend(multipliers, np.array([(p - 0.3) * excess]), spread=spread, rate=0.05)
    assert p == pytest.approx(0.3, abs=1e-6)
    assert multipliers[0] == pytest.approx(1.4 * reward / excess, rel=1e-6)


def test_a_mark_that_is_kept_anyway_costs_nothing() -> None:
    """Largest -(p - 1)² with p ≤ 2: the multiplier never leaves zero."""
    multipliers = ascend(np.zeros(2), np.array([-1.0, 0.5]), spread=Spread(1.0, np.ones(2)), rate=0.1)
    np.testing.assert_allclose(multipliers, [0.0, 0.05])


def crowded_sale() -> CompiledSale:
    """Servers cost so much that errors are cheaper than the servers that would prevent them."""
    servers = ServerParams(start_servers=3, max_servers=12, cost=3.0, lag=1)
    return make_scenario(make_world(products=2, population=2.0), servers=servers).compile()


@functools.cache
def crowded(constraints: ConstraintConfig, *, log: Path | None = None) -> Trained:
    """A training on it of some seconds."""
    config = tensor_ppo(
        assisted=False,
        heads=("discount", "capacity"),
        steps=61_440,  # 24 rollouts
        rollout_steps=2_560,
        batch_size=640,
        constraints=constraints,
    )
    return train(crowded_sale(), config, seed=0, log_folder=log)


@pytest.mark.parametrize(
    ("constraint", "kpi", "mark"), [("error_share", "error_share", 0.02), ("latency_p95_s", "p95_latency_s", 2.0)]
)
def test_with_the_constraint_the_mark_is_kept_and_without_it_is_not(
    constraint: str, kpi: str, mark: float, tmp_path: Path
) -> None:
    sale = crowded_sale().with_members(crowded_sale().training_members)
    free, bound = crowded(ConstraintConfig()), crowded(ConstraintConfig(**{constraint: mark}), log=tmp_path)
    unbound, kept_to = (
        find_kpi(kpi).value(play(sale, result.policy(), sales=512, seed=7).totals) for result in (free, bound)
    )
    assert unbound.mean() > 3.0 * mark
    assert kept_to.mean() <= mark + 4.0 * kept_to.std() / math.sqrt(kept_to.size)  # it was kept on other sales
    kept = [point.profit for point in bound.curve if point.excess[constraint] <= 0.0]
    profit = play(sale, bound.policy(), sales=512, seed=7).totals["profit"]
    assert profit.mean() == pytest.approx(max(kept), abs=8.0 * profit.std() / math.sqrt(profit.size))
    last = bound.curve[-1]
    assert last.multipliers[constraint] > 0.0
    assert set(last.row()) == {
        "steps",
        "profit",
        "standard_error",
        f"{constraint}_excess",
        f"{constraint}_multiplier",
    }
    events = EventAccumulator(str(tmp_path), size_guidance={"scalars": 0})
    events.Reload()
    logged = [event.value for event in events.Scalars(f"constraints/{constraint}_multiplier")]
    assert len(logged) >= 10
    assert min(logged) >= 0.0
    assert max(logged) > 0.0
    assert events.Scalars(f"constraints/{constraint}_excess")


def test_a_training_under_constraints_is_taken_up(tmp_path: Path) -> None:
    config: TensorPPOConfig = tensor_ppo(constraints=ConstraintConfig(error_share=0.0, margin=0.9))
    left = 1_300

    def progress(done: int) -> None:
        nonlocal left
        left -= done
        if left < 0:
            raise KeyboardInterrupt

    whole = train_small(config, seed=0)
    with pytest.raises(KeyboardInterrupt):
        train_small(config, seed=0, checkpoint=tmp_path / "checkpoint", progress=progress)
    parted = train_small(config, seed=0, resume=tmp_path / "checkpoint")
    assert parted.curve == whole.curve
    assert whole.curve[-1].multipliers["margin"] > 0.0
    with pytest.raises(InputError, match=r"config\.constraints\.margin was 0\.9 and is 0\.8 now"):
        train(
            small_sale(),
            replace(config, constraints=ConstraintConfig(error_share=0.0, margin=0.8)),
            seed=0,
            resume=tmp_path / "checkpoint",
        )
