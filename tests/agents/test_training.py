"""Training: repeatable to the last bit, kept at its best, on training sales alone, and visible in business terms."""

import functools
import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator  # type: ignore[import-untyped]

from agents.callbacks import CurvePoint
from agents.dqn.settings import DQNConfig
from agents.export import export
from agents.ppo.entropy import EntropySchedule
from agents.ppo.settings import PPOConfig, TensorPPOConfig
from agents.settings import SEEDS_PER_RUN, AgentConfig, Device
from agents.start.paired_rewards import PairedSales
from agents.training import Trained, torch_device, train
from flashsim.envs.reward import RewardConfig
from flashsim.envs.vector import SaleBatch
from flashsim.errors import InputError
from flashsim.evaluation.limits.exact import exact_value
from flashsim.evaluation.rollout import play
from flashsim.planning import SEARCH_SEED
from flashsim.policies.bundle import load_policy
from flashsim.reference import REFERENCE_SALES, solve
from flashsim.sim.streams import TRAINING_DOMAIN
from tests.agents.tiny import CONFIGS, dqn, ppo, small_sale, tensor_ppo, train_small, trained

ALGORITHMS = list(CONFIGS)


def parameters(result: Trained) -> Mapping[str, torch.Tensor]:
    return result.model.policy.state_dict()


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_equal_seeds_give_the_same_network_to_the_last_bit(algorithm: str) -> None:
    one = trained(algorithm)
    torch.manual_seed(99)  # what ran before must not matter
    other = train(small_sale(), CONFIGS[algorithm], seed=0)  # and whoever searched the rule
    assert one.curve == other.curve
    assert one.reward_scale == other.reward_scale
    for name, values in parameters(one).items():
        assert torch.equal(values, parameters(other)[name]), name


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_other_seeds_give_other_networks(algorithm: str) -> None:
    one, other = trained(algorithm), trained(algorithm, seed=1)
    assert one.curve != other.curve
    least = 0.01  # of a learner that is paid for its lead, where few sales of the small one earn other than their twins
    assert one.reward_scale != other.reward_scale or one.reward_scale == least
    assert any(not torch.equal(values, parameters(other)[name]) for name, values in parameters(one).items())


def sure_lead(point: CurvePoint) -> float:
    """What it earns above the rule, less the standard error of that."""
    assert point.lead is not None
    assert point.lead_error is not None
    return point.lead - point.lead_error


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_the_network_that_earned_most_on_the_selection_sales_is_kept(algorithm: str) -> None:
    result = trained(algorithm)
    sale = small_sale().with_members(small_sale().training_members)
    played = play(sale, result.policy(), sales=32, seed=SEEDS_PER_RUN // 2, domain=TRAINING_DOMAIN)
    best = max(result.curve, key=sure_lead)
    assert float(played.totals["profit"].mean()) == best.profit
    assert result.kept == best
    assert result.facts()["kept"] == best.row()
    assert best.standard_error == pytest.approx(played.totals["profit"].std(ddof=1) / math.sqrt(32), rel=1e-12)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_the_curve_covers_the_training(algorithm: str) -> None:
    steps = [point.steps for point in trained(algorithm).curve]
    assert steps == sorted(set(steps))
    assert len(steps) >= 4
    assert steps[-1] >= CONFIGS[algorithm].steps
    assert steps[-1] == trained(algorithm).model.num_timesteps


def test_a_twin_that_earns_no_number_ends_the_training(monkeypatch: pytest.MonkeyPatch) -> None:
    """As a sale does; of the difference SB3's own learners ask nothing."""
    whole = PairedSales.__init__

    def broken(self: PairedSales, *arguments: Any, **named: Any) -> None:
        whole(self, *arguments, **named)
        weights: Any = self.twins._weights
        self.twins._weights = weights._replace(revenue=np.nan)

    monkeypatch.setattr(PairedSales, "__init__", broken)
    with pytest.raises(InputError, match="reward: expected finite numbers, got nan"):
        train_small(ppo(), seed=0)


def test_a_trained_policy_earns_more_than_chance() -> None:
    """Even a tiny budget teaches something: the best network against uniformly random orders."""
    sale = small_sale().with_members(small_sale().training_members)
    action = CONFIGS["ppo"].action(small_sale())
    rng = np.random.default_rng(0)

    class Chance:
        def __init__(self) -> None:
            self.name, self.action = "chance", trained("ppo").policy().action
            self.sizes = SaleBatch(sale, 1, action=action, reward=RewardConfig(), domain=0).codec.sizes

        def act(self, observation: NDArray[np.float32]) -> NDArray[np.int64]:
            return rng.integers(self.sizes, size=(observation.shape[0], self.sizes.size))

    learned = play(sale, trained("ppo").policy(), sales=400, seed=0).totals["profit"]
    chance = play(sale, Chance(), sales=400, seed=0).totals["profit"]
    gain = learned - chance
    assert gain.mean() > 4.0 * gain.std() / math.sqrt(gain.size)


def test_entropy_falls_to_nothing_at_the_time_given() -> None:
    schedule = EntropySchedule(0.02, until=0.5)
    seen = []
    for done in (0.0, 0.25, 0.5, 0.9, 1.0):
        schedule.model = SimpleNamespace(_current_progress_remaining=1.0 - done, ent_coef=None)  # type: ignore[assignment]
        schedule._on_rollout_start()
        seen.append(schedule.model.ent_coef)  # type: ignore[attr-defined]
    assert seen == pytest.approx([0.02, 0.01, 0.0, 0.0, 0.0])
    assert trained("ppo").model.ent_coef == 0.0  # type: ignore[attr-defined]


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_training_meets_training_members_in_seeds_of_its_own(algorithm: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """No evaluation sale: another domain. Training seed 3 lies from 3·2^32 to 4·2^32, the search of its rule beyond."""
    met: list[tuple[int, set[int]]] = []
    batches: list[SaleBatch] = []
    original = SaleBatch.assign

    def assign(self: SaleBatch, seeds: NDArray[np.uint64], episodes: int = 0) -> None:
        original(self, seeds, episodes)
        met.extend((int(one), set(self.sale.tables.members.tolist())) for one in seeds)
        batches.append(self)

    monkeypatch.setattr(SaleBatch, "assign", assign)
    train(small_sale(), replace(CONFIGS[algorithm], steps=600), seed=3)
    assert {int(batch.batch.domain) for batch in batches} == {TRAINING_DOMAIN}
    assert all(3 * SEEDS_PER_RUN <= one < 4 * SEEDS_PER_RUN or one >= SEARCH_SEED for one, _ in met)
    assert all(members == {0, 1} for _, members in met)
    # learning and twins, showing the rule, scaling, selecting, search of the rule: each in a part of its own
    first = np.array([*(3 * SEEDS_PER_RUN + np.array([0, 2**29, 2**30, 2**31])), SEARCH_SEED], np.uint64)
    parts = [np.searchsorted(first, batch.batch.rows(batch.batch.seed), side="right") for batch in batches]
    assert all(np.unique(part).size == 1 for part in parts)
    assert {int(part[0]) for part in parts} == {1, 2, 3, 4, 5}


@functools.cache
def _events(folder: Path) -> EventAccumulator:
    events = EventAccumulator(str(folder), size_guidance={"scalars": 0})
    events.Reload()
    return events


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_tensorboard_shows_return_and_business_quantities(algorithm: str, tmp_path: Path) -> None:
    counted: list[int] = []
    result = train_small(CONFIGS[algorithm], seed=0, log_folder=tmp_path, progress=counted.append)
    assert sum(counted) == result.model.num_timesteps
    events = _events(tmp_path)
    scalars = {tag: np.array([event.value for event in events.Scalars(tag)]) for tag in events.Tags()["scalars"]}
    wanted = {"rollout/ep_rew_mean", "greedy/profit", "sale/profit", "sale/revenue", "sale/sell_through"}
    wanted |= {
        "service/slow_tick_latency_p95_s",
        "service/error_share",
        "sale/server_cost",
        "sale/salvage",
        "sale/penalty",
    }
    wanted |= {f"{name}/quarter_{part}" for name in ("depth", "servers") for part in (1, 2, 3, 4)}
    assert wanted <= set(scalars)
    for tag in wanted:
        assert np.isfinite(scalars[tag]).all(), tag
    for tag in ("sale/sell_through", "service/error_share", *(f"depth/quarter_{part}" for part in (1, 2, 3, 4))):
        assert (scalars[tag] >= 0.0).all(), tag
        assert (scalars[tag] <= 1.0).all(), tag
    parts = {"revenue": 1.0, "salvage": 1.0, "goods_cost": -1.0, "server_cost": -1.0, "penalty": -1.0}
    profit = sum(sign * scalars[f"sale/{name}"] for name, sign in parts.items())
    np.testing.assert_allclose(scalars["sale/profit"], profit, rtol=1e-4, atol=1e-2)
    assert [event.step for event in events.Scalars("sale/profit")][-1] <= result.model.num_timesteps
    shown = np.array([event.value for event in events.Scalars("greedy/profit")], np.float32)
    np.testing.assert_array_equal(shown, np.array([point.profit for point in result.curve], np.float32))
    assert [event.step for event in events.Scalars("greedy/profit")] == [point.steps for point in result.curve]
    for tag in events.Tags()["scalars"]:
        steps = [event.step for event in events.Scalars(tag)]
        assert len(set(steps)) == len(steps), tag  # one point a moment
    assert trained(algorithm).curve == result.curve  # what is written changes nothing


def test_ppo_shows_profits_as_large_as_its_returns(tmp_path: Path) -> None:
    """Whole sales as rollouts: without twins, SB3's return is the profit, in currency; each a mean of its own sales."""
    train_small(ppo(steps=1_500, paired=False), seed=0, log_folder=tmp_path)
    events = _events(tmp_path)
    profit = {event.step: event.value for event in events.Scalars("sale/profit")}
    first = events.Scalars("rollout/ep_rew_mean")[0]
    revenue = {event.step: event.value for event in events.Scalars("sale/revenue")}[first.step]
    assert profit[first.step] == pytest.approx(first.value, abs=0.05 * revenue)


@pytest.mark.parametrize("config", [ppo(device=Device.cuda), tensor_ppo(device=Device.cuda), dqn(device=Device.cuda)])
def test_cuda_that_is_absent_is_refused(config: AgentConfig, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(InputError, match="cuda was asked for and there is no CUDA device here; use device=cpu"):
        train_small(config, seed=0, log_folder=tmp_path / "log")
    assert not (tmp_path / "log").exists()


def test_auto_takes_cuda_where_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    for is_there, expected in ((False, "cpu"), (True, "cuda")):
        monkeypatch.setattr(torch.cuda, "is_available", lambda is_there=is_there: is_there)
        assert torch_device(Device.auto) == expected
        assert torch_device(Device.cpu) == "cpu"


def test_a_config_of_no_algorithm_is_refused() -> None:
    with pytest.raises(InputError, match=r"expected the settings of a learner .*, got AgentConfig"):
        train_small(AgentConfig(), seed=0)


@pytest.mark.gpu
def test_a_policy_trained_on_cuda_runs_everywhere(tmp_path: Path) -> None:
    for config in (ppo(device=Device.cuda), tensor_ppo(device=Device.cuda), dqn(device=Device.cuda)):
        result = train_small(config, seed=0)
        export(result.policy(), result.model, tmp_path / config.name, sale=small_sale(), seed=1)
        assert load_policy(tmp_path / config.name).name == config.name


@pytest.mark.slow
@pytest.mark.parametrize("config", [PPOConfig(), TensorPPOConfig()], ids=["ppo", "tensor_ppo"])
@pytest.mark.parametrize(("name", "least"), [("g1", 3383.0), ("j1_lag1", 180.7)])
def test_ppo_as_it_is_by_default_is_near_the_optimum(config: PPOConfig, name: str, least: float) -> None:
    """99.5 % of G1's and 98.5 % of J1's with lag 1, greedy and evaluated exactly; about a minute each."""
    sale = REFERENCE_SALES[name]()
    result = train(sale.compile(), replace(config, device=Device.cpu), seed=0)
    assert least <= exact_value(sale, result.policy()) <= solve(sale).value * (1.0 + 1e-12)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "least"), [("g1", 3366.0), ("j1_lag1", 0.98 * 183.4590)])
def test_dqn_as_it_is_by_default_is_near_the_optimum(name: str, least: float) -> None:
    """99 % of G1's and 98 % of J1's with lag 1, greedy and evaluated exactly; about a minute each."""
    sale = REFERENCE_SALES[name]()
    result = train(sale.compile(), DQNConfig(device=Device.cpu), seed=0)
    assert least <= exact_value(sale, result.policy()) <= solve(sale).value * (1.0 + 1e-12)
