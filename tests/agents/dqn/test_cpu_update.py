"""The compiled update of a Q-network has torch's gradients and takes the steps that torch takes."""

from copy import deepcopy
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional

from agents.compiled import q_update
from agents.dqn.mean_values import MeanDQN
from agents.flat_adam import FlatAdam, flattened
from agents.plain_layers import are_plain, network_of, weights_of
from agents.settings import Device
from agents.training import make_model
from flashsim.reference import menu_sale
from tests.agents.tiny import OFF_POLICY, dqn, small_sale

SIZES = {"one tile": (5, (8,), 3, 64), "odd sizes, in two tiles": (7, (13, 6), 11, 303), "one value": (4, (9,), 1, 33)}


def layers(features: int, hidden: tuple[int, ...], actions: int, *, seed: int) -> torch.nn.Sequential:
    torch.manual_seed(seed)
    modules: list[torch.nn.Module] = []
    for width in hidden:
        modules += [torch.nn.Linear(features, width), torch.nn.ReLU()]
        features = width
    return torch.nn.Sequential(*modules, torch.nn.Linear(features, actions)).double()


@pytest.mark.parametrize("squares", [True, False], ids=["squares", "huber"])
@pytest.mark.parametrize("sizes", SIZES.values(), ids=SIZES)
def test_gradients_in_double_precision_are_those_of_torch(
    sizes: tuple[int, tuple[int, ...], int, int], squares: bool
) -> None:
    features, hidden, actions, many = sizes
    own, target = layers(features, hidden, actions, seed=0), layers(features, hidden, actions, seed=1)
    random = np.random.default_rng(2)
    seen, following = random.normal(size=(2, many, features))
    ends, rewards = (random.random(many) < 0.3).astype(float), 2.0 * random.normal(size=many)
    batch = q_update.Transitions(
        seen, random.integers(actions, size=many), following, ends, rewards, np.full(many, 0.9)
    )
    chosen, seen_then, seen_next, ended, earned, discounts = (
        torch.from_numpy(column)
        for column in (batch.actions, batch.observations, batch.following, batch.ends, batch.rewards, batch.discounts)
    )
    with torch.no_grad():
        wanted = earned + (1.0 - ended) * discounts * target(seen_next).max(dim=1).values
    value = own(seen_then).gather(1, chosen[:, None])[:, 0]
    loss = (functional.mse_loss if squares else functional.smooth_l1_loss)(value, wanted)
    expected = torch.autograd.grad(loss, list(own.parameters()))
    weights = list(own.parameters())
    optimizer = FlatAdam(weights, lr=1e-3, betas=(0.9, 0.999), eps=1e-8)
    network = network_of(list(own), weights, is_rectified=True)
    found = q_update.add_gradient(
        network,
        weights_of(optimizer),
        flattened(list(target.parameters())).numpy(),
        batch,
        random.permutation(many),
        np.ones(features),
        squares,
        q_update.make_scratch(network, np.dtype(np.float64)),
    )
    assert found == pytest.approx(float(loss.detach()), rel=1e-9)
    for parameter, gradient in zip(weights, expected, strict=True):
        assert parameter.grad is not None
        assert (parameter.grad - gradient).abs().max() <= 1e-6 * gradient.abs().max() + 1e-12


def learned(*, is_fused: bool, **changes: Any) -> MeanDQN:
    sale = menu_sale(rates=[(0.4, 0.8)] * 6, prices=(10.0, 8.0), stock=3).compile()
    model = make_model(sale, dqn(**(OFF_POLICY | {"device": Device.cpu} | changes)), seed=0, scale=10.0)
    assert isinstance(model, MeanDQN)
    assert model.fused is not None
    if not is_fused:
        model.fused = None
    model.learn(600)
    return model


@pytest.mark.parametrize("n_steps", [1, 3])
def test_a_training_goes_the_way_of_torch(n_steps: int) -> None:
    """The same transitions, and weights that differ by rounding."""
    one, other = (learned(is_fused=is_fused, n_steps=n_steps, average_share=0.1) for is_fused in (True, False))
    assert one._n_updates == other._n_updates > 10
    for name, values in one.policy.state_dict().items():
        torch.testing.assert_close(values, other.policy.state_dict()[name], rtol=1e-3, atol=1e-4)


def test_equal_seeds_give_equal_bits() -> None:
    one, other = learned(is_fused=True), learned(is_fused=True)
    assert all(torch.equal(*both) for both in zip(one.policy.parameters(), other.policy.parameters(), strict=True))


def test_sums_of_heads_are_left_to_torch() -> None:
    model = make_model(small_sale(), dqn(), seed=0, scale=1.0)
    assert isinstance(model, MeanDQN)
    assert model.fused is None
    assert not are_plain(list(model.q_net.q_net), torch.nn.ReLU)
    assert are_plain(list(deepcopy(learned(is_fused=True).q_net.q_net)), torch.nn.ReLU)
