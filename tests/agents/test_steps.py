"""A training plays the steps it is asked for, learns from them, or says why it cannot."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st

from agents.dqn.settings import DQNConfig, QRDQNConfig
from agents.learners import learner_of
from agents.ppo.settings import FEWEST_ROLLOUTS, MaskablePPOConfig, PPOConfig, TensorPPOConfig
from agents.settings import AgentConfig, Device, falling
from agents.training import train
from flashsim.errors import InputError
from flashsim.reference import REFERENCE_SALES, g0, g1, menu_sale
from flashsim.scenarios.compiled import CompiledSale
from tests.agents.test_checkpoints import left_behind
from tests.agents.tiny import CONFIGS, train_small

SHORT: dict[str, Any] = {"evaluations": 1, "evaluation_sales": 2, "device": Device.cpu}
TRAININGS: list[AgentConfig] = [
    PPOConfig(steps=2_000, **SHORT),
    TensorPPOConfig(steps=20_000, **SHORT),
    MaskablePPOConfig(steps=5_000, **SHORT),
    DQNConfig(steps=12_000, **SHORT),
    QRDQNConfig(steps=10_300, **SHORT),
]


@pytest.mark.parametrize("config", TRAININGS, ids=lambda config: config.name)
def test_a_training_plays_its_steps_and_at_most_one_of_all_sales_more(config: AgentConfig) -> None:
    """PPO was asked for fewer than one of its usual rollouts, 16 320 decisions here."""
    model = train(g1().compile(), config, seed=0).model
    assert 0 <= model.num_timesteps - config.steps < model.n_envs


@given(
    steps=st.integers(1, 3_000_000),
    rollout=st.sampled_from([None, 100, 2_000, 8_192]),
    batch=st.sampled_from([None, 64, 2_048]),
    ticks=st.integers(1, 250),
)
@example(steps=50_000, rollout=None, batch=None, ticks=89)
@example(steps=50_000, rollout=None, batch=None, ticks=249)
def test_rollouts_fit_the_steps(steps: int, rollout: int | None, batch: int | None, ticks: int) -> None:
    config = PPOConfig(steps=steps, rollout_steps=rollout, batch_size=batch)
    sale, (_, parts) = _sale_of(ticks), config.rollout()
    try:
        sales = learner_of(config).sales_at_once(config, sale)
    except InputError:
        assert steps < FEWEST_ROLLOUTS * 2 * parts * ticks
        return
    whole = sales * ticks
    played = -(-steps // whole) * whole
    assert whole % parts == 0
    assert whole // parts >= 2
    assert played >= (FEWEST_ROLLOUTS - 1) * whole  # rounding up the sales of four may leave three
    more = played - steps
    assert more < whole
    assert more <= 0.02 * steps or more < played // whole * parts * ticks


def _sale_of(ticks: int) -> CompiledSale:
    return menu_sale(rates=[[1.0, 2.0]] * ticks, prices=[2.0, 1.0], stock=3).compile()


def test_usual_trainings_keep_their_rollouts() -> None:
    """What whole rollouts of the size set play beyond the steps is a half percent."""
    found = {name: learner_of(PPOConfig()).sales_at_once(PPOConfig(), make().compile()) for name, make in USUAL.items()}
    assert found == {"g1": 680, "g3": 544, "j1": 2_048, "j1_lag1": 2_048, "j1_lag2": 2_048}


USUAL = {name: make for name, make in REFERENCE_SALES.items() if name != "g0"}


def test_the_first_update_has_most_of_the_learning_rate() -> None:
    config = PPOConfig(steps=2_000, **SHORT)
    rates = falling(config.learning_rate, config.final_rate)
    first = learner_of(config).sales_at_once(config, g1().compile()) * 24 / config.steps
    assert rates(1.0 - first) > 0.7 * config.learning_rate
    assert rates(-0.5) == 0.0  # never up the loss


@pytest.mark.parametrize(
    "config", [PPOConfig(), TensorPPOConfig(), MaskablePPOConfig()], ids=lambda config: config.name
)
def test_too_few_steps_for_an_update_are_refused_with_the_least(config: AgentConfig) -> None:
    with pytest.raises(InputError, match=rf"steps must be at least 192 for {config.name} on 'g1', got 191: .*raise it"):
        train(g1().compile(), replace(config, steps=191), seed=0)
    least = replace(config, steps=64, **SHORT)  # two decisions a sale: eight sales fill as many minibatches
    assert train(g0().compile(), least, seed=0).model.num_timesteps == 64
    with pytest.raises(InputError, match=r"steps must be at least sales, 256, .*got 255"):
        DQNConfig(steps=255, learning_starts=0)


@pytest.mark.parametrize("algorithm", CONFIGS)
def test_a_training_that_changes_no_weight_is_refused(algorithm: str, tmp_path: Path) -> None:
    words = (
        r"the training changed no weight: \d+ updates in \d+ decisions at a learning_rate that fell from 1e-30; raise"
    )
    config = replace(CONFIGS[algorithm], learning_rate=1e-30)
    with pytest.raises(InputError, match=words):
        train_small(config, seed=0)
    if algorithm != "ppo":
        return
    plain = replace(config, assisted=False)
    with pytest.raises(InputError, match=words):
        train_small(plain, seed=0, resume=left_behind(tmp_path, plain))


def test_a_training_that_was_over_when_it_was_stopped_goes_on_to_its_network(tmp_path: Path) -> None:
    """Its checkpoint is of the last rollout, from which on no weight changes any more: the rate has fallen to zero."""
    config = replace(CONFIGS["ppo"], final_rate=0.0, assisted=False)
    path = left_behind(tmp_path, config, steps=config.steps - 1)
    whole, parted = train_small(config, seed=0), train_small(config, seed=0, resume=path)
    assert parted.curve == whole.curve
    assert all(map(torch.equal, whole.model.policy.parameters(), parted.model.policy.parameters()))
