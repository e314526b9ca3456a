"""The compiled update of PPO has torch's gradients, takes Adam's steps, and gives equal bits to equal inputs."""

from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from gymnasium import spaces
from numpy.typing import NDArray
from stable_baselines3.common.policies import ActorCriticPolicy
from torch.distributions import Distribution

from agents.compiled import ppo_update
from agents.compiled.networks import write_tanh
from agents.flat_adam import FlatAdam
from agents.ppo.cpu_update import FEASIBLE, CpuUpdate, can_be_fused
from agents.ppo.tensor_rollout import Samples

SETTINGS: dict[str, Any] = {"clip_range": 0.2, "ent_coef": 0.05, "vf_coef": 0.5, "normalizes": True}
LONGEST = 0.5  # gradient


class Case(NamedTuple):
    """Sizes of networks and minibatch."""

    features: int
    heads: tuple[int, ...]
    policy: tuple[int, ...]
    value: tuple[int, ...]
    decisions: int
    masked: bool = False


CASES = {
    "as it is by default": Case(146, (13, 4, 5), (64, 64), (64, 64), 1_032),
    "one tile": Case(9, (3, 2), (8, 8), (8, 8), 64),
    "odd sizes, in two tiles": Case(7, (5, 1, 3), (13, 6, 11), (9,), 303),
    "one choice": Case(5, (4,), (16,), (16,), 33),
    "no hidden layer": Case(6, (3, 3), (), (), 50),
    "two decisions": Case(6, (3,), (5, 5), (7, 7), 2),
    "masks": Case(11, (6, 4), (12, 12), (12, 12), 270, masked=True),
}


def network(case: Case, *, seed: int = 0) -> ActorCriticPolicy:
    """A policy with weights large enough to matter in each layer."""
    Distribution.set_default_validate_args(False)
    torch.manual_seed(seed)
    arch = {"pi": list(case.policy), "vf": list(case.value)}
    space = spaces.Box(-9.0, 9.0, (case.features,))
    policy = ActorCriticPolicy(space, spaces.MultiDiscrete(list(case.heads)), lambda _: 1e-3, net_arch=arch)
    with torch.no_grad():
        for parameter in policy.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape))
    return policy


def rollout(case: Case, dtype: Any, *, seed: int = 1) -> ppo_update.Decisions:
    """Decisions whose ratios lie on both sides of both bounds."""
    random = np.random.default_rng(seed)
    many = case.decisions
    masks = FEASIBLE
    actions = np.stack([random.integers(size, size=many) for size in case.heads], axis=1)
    if case.masked:
        masks = random.random((many, sum(case.heads))) < 0.6
        taken = actions + np.concatenate([[0], np.cumsum(case.heads)[:-1]])
        masks[np.arange(many)[:, None], taken] = True
    log_probs = -np.log(case.heads).sum() + 0.6 * random.normal(size=many)
    floats = (random.normal(size=(many, case.features)), log_probs, *(3.0 * random.normal(size=(2, many)) + 1.0))
    observations, log_probs, advantages, returns = (array.astype(dtype) for array in floats)
    return ppo_update.Decisions(observations, actions, masks, log_probs, advantages, returns)


def loss_by_torch(policy: ActorCriticPolicy, case: Case, data: ppo_update.Decisions) -> torch.Tensor:
    """The loss of the whole rollout as one minibatch, as Stable-Baselines3 writes it."""
    seen, actions, _, log_probs, advantages, returns = (torch.from_numpy(column) for column in data)
    hidden, of_value = policy.mlp_extractor(seen)
    scores = policy.action_net(hidden)
    if case.masked:
        scores = torch.where(torch.from_numpy(data.masks), scores, torch.tensor(-1e8, dtype=scores.dtype))
    parts = [torch.log_softmax(part, dim=1) for part in torch.split(scores, list(case.heads), dim=1)]
    log_prob = sum(part.gather(1, action[:, None])[:, 0] for part, action in zip(parts, actions.T, strict=True))
    entropy = sum(-(part.exp() * part).sum(dim=1) for part in parts)
    standard = (advantages - advantages.mean()) / (advantages.std() + 1e-8)
    ratio = torch.exp(log_prob - log_probs)
    clipped = torch.clamp(ratio, 1.0 - SETTINGS["clip_range"], 1.0 + SETTINGS["clip_range"])
    gain = torch.min(standard * ratio, standard * clipped).mean()
    error = (policy.value_net(of_value).flatten() - returns).square().mean()
    assert isinstance(entropy, torch.Tensor)
    return -gain - SETTINGS["ent_coef"] * entropy.mean() + SETTINGS["vf_coef"] * error


def compiled(policy: ActorCriticPolicy) -> CpuUpdate:
    return CpuUpdate(policy, FlatAdam(policy.parameters(), lr=1e-3, betas=(0.9, 0.999), eps=1e-5))


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_gradients_in_double_precision_are_those_of_torch(case: Case) -> None:
    policy = network(case).double()
    data, sums = rollout(case, np.float64), np.zeros(ppo_update.MEASURED)
    loss = loss_by_torch(policy, case, data)
    expected = torch.autograd.grad(loss, list(policy.parameters()))
    update = compiled(policy)
    ppo_update.add_gradient(
        update.policy,
        update.value,
        update.heads,
        update.weights,
        data,
        np.random.default_rng(2).permutation(case.decisions),
        np.ones(case.features),
        ppo_update.LossSettings(**SETTINGS),
        update.scratch,
        np.zeros(2),
        sums,
    )
    for parameter, wanted in zip(policy.parameters(), expected, strict=True):
        assert parameter.grad is not None
        error = (parameter.grad - wanted).abs().max()
        assert error <= 1e-6 * wanted.abs().max() + 1e-12
    assert sums[0] + SETTINGS["ent_coef"] * sums[2] + SETTINGS["vf_coef"] * sums[1] == pytest.approx(
        float(loss.detach()), rel=1e-6
    )
    assert case.decisions < 10 or 0.1 < sums[3] < 0.9  # of both kinds of ratio there are many


def learn(case: Case, policy: ActorCriticPolicy, order: NDArray[np.int64]) -> CpuUpdate:
    """Learn the rollout in minibatches of 100."""
    update, data = compiled(policy), rollout(case, np.float32)
    nothing = torch.zeros(0)
    columns = {name: torch.from_numpy(column) for name, column in data._asdict().items() if name != "masks"}
    update.learn(
        Samples(**columns, values=nothing), order, batch_size=100, masks=data.masks, max_grad_norm=LONGEST, **SETTINGS
    )
    return update


def test_steps_are_those_of_torch_with_its_adam_and_its_clipping() -> None:
    case = CASES["odd sizes, in two tiles"]
    order = np.stack([np.random.default_rng(seed).permutation(case.decisions) for seed in range(3)])
    one, other = network(case), network(case)
    update, data = learn(case, one, order), rollout(case, np.float32)
    optimizer = torch.optim.Adam(other.parameters(), lr=1e-3, eps=1e-5)
    for epoch in order:
        for first in range(0, case.decisions, 100):
            rows = epoch[first : first + 100]
            part = ppo_update.Decisions(
                *(column if name == "masks" else column[rows] for name, column in data._asdict().items())
            )
            optimizer.zero_grad()
            loss_by_torch(other, case, part).backward()  # type: ignore[no-untyped-call]
            torch.nn.utils.clip_grad_norm_(other.parameters(), LONGEST)
            optimizer.step()
    for mine, theirs in zip(one.parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-4, atol=1e-5)
    assert update.optimizer.updates == 12


@pytest.mark.parametrize("case", [CASES["masks"], CASES["as it is by default"]], ids=["masks", "default"])
def test_equal_rollouts_give_equal_bits(case: Case) -> None:
    order = np.random.default_rng(0).permutation(case.decisions)[None]
    one, other = network(case), network(case)
    first, second = learn(case, one, order), learn(case, other, order)
    for name in ("values", "mean", "square"):
        assert torch.equal(getattr(first.optimizer, name), getattr(second.optimizer, name))


def test_tanh_errs_by_less_than_the_numbers_of_a_training_can_tell() -> None:
    x = np.concatenate([np.linspace(-12.0, 12.0, 200_001), [0.0, np.inf, -np.inf, 1e-8]])
    for dtype, inside, beyond in ((np.float64, 5e-11, 4e-8), (np.float32, 5e-7, 5e-7)):
        y = x.astype(dtype)
        expected = np.tanh(y.astype(np.float64))
        write_tanh(y)
        error, is_far = np.abs(y - expected), np.abs(x) > 9.0
        assert error[~is_far].max() <= inside
        assert error[is_far].max() <= beyond


def test_weights_that_are_no_numbers_stay_none() -> None:
    """What has gone wrong is seen, as with torch."""
    x = np.array([np.nan, 1.0], np.float32)
    write_tanh(x)
    assert np.isnan(x[0])


def test_other_networks_are_left_to_torch() -> None:
    assert can_be_fused(network(CASES["one tile"]))
    space = spaces.Box(-9.0, 9.0, (4,))
    rectified = ActorCriticPolicy(space, spaces.Discrete(3), lambda _: 1e-3, activation_fn=torch.nn.ReLU)
    continuous = ActorCriticPolicy(space, spaces.Box(-1.0, 1.0, (2,)), lambda _: 1e-3)
    assert not can_be_fused(rectified)
    assert not can_be_fused(continuous)
