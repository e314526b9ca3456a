"""Adam on one vector is torch's Adam: the same path, and a state that goes from one to the other."""

from collections.abc import Callable
from copy import deepcopy

import pytest
import torch

from agents.flat_adam import FlatAdam


def network() -> torch.nn.Sequential:
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Linear(5, 7), torch.nn.Tanh(), torch.nn.Linear(7, 3))


def stock(own: torch.nn.Module) -> torch.optim.Optimizer:
    return torch.optim.Adam(own.parameters(), lr=3e-3, betas=(0.9, 0.999), eps=1e-5)


def flat(own: torch.nn.Module) -> FlatAdam:
    return FlatAdam(own.parameters(), lr=3e-3, betas=(0.9, 0.999), eps=1e-5)


def learn(own: torch.nn.Module, optimizer: torch.optim.Optimizer, *, steps: int, seed: int = 1) -> None:
    generator = torch.Generator().manual_seed(seed)
    for _ in range(steps):
        optimizer.zero_grad()
        inputs = torch.randn((11, 5), generator=generator)
        (own(inputs) - inputs[:, :3].square()).square().mean().backward()
        optimizer.step()


def assert_alike(one: torch.nn.Module, other: torch.nn.Module) -> None:
    for mine, theirs in zip(one.parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-5, atol=1e-6)


def test_it_goes_the_way_of_torchs_adam() -> None:
    one, other = network(), network()
    learn(one, flat(one), steps=50)
    learn(other, stock(other), steps=50)
    assert_alike(one, other)
    assert not torch.equal(next(one.parameters()), next(network().parameters()))


def test_a_changed_learning_rate_counts_from_the_next_step_on() -> None:
    one, other = network(), network()
    pairs: list[tuple[torch.nn.Module, torch.optim.Optimizer]] = [(one, flat(one)), (other, stock(other))]
    for own, optimizer in pairs:
        learn(own, optimizer, steps=5)
        optimizer.param_groups[0]["lr"] = 1e-4
        learn(own, optimizer, steps=5)
    assert_alike(one, other)


@pytest.mark.parametrize("begins_flat", [True, False])
def test_a_training_goes_on_with_the_state_of_the_other(begins_flat: bool) -> None:
    whole, parted = network(), network()
    learn(whole, stock(whole), steps=20)
    makers: list[Callable[[torch.nn.Module], torch.optim.Optimizer]] = [flat, stock]
    first, second = (make(parted) for make in (makers if begins_flat else makers[::-1]))
    inputs = torch.Generator().manual_seed(1)

    def step(optimizer: torch.optim.Optimizer) -> None:
        optimizer.zero_grad()
        batch = torch.randn((11, 5), generator=inputs)
        (parted(batch) - batch[:, :3].square()).square().mean().backward()
        optimizer.step()

    for _ in range(10):
        step(first)
    second.load_state_dict(deepcopy(first.state_dict()))
    for parameter, view in zip(parted.parameters(), _gradients(second, parted), strict=True):
        parameter.grad = view
    for _ in range(10):
        step(second)
    assert_alike(whole, parted)


def _gradients(optimizer: torch.optim.Optimizer, own: torch.nn.Module) -> list[torch.Tensor | None]:
    """Where ``optimizer`` looks for the gradients of ``own``, which another one may have taken over since."""
    if not isinstance(optimizer, FlatAdam):
        return [None for _ in own.parameters()]
    parts = torch.split(optimizer.gradient, [parameter.numel() for parameter in own.parameters()])
    return [part.view(parameter.shape) for part, parameter in zip(parts, own.parameters(), strict=True)]


def test_a_long_gradient_is_clipped_as_torch_does_and_a_short_one_is_left() -> None:
    for most in (0.01, 1e6):
        one, other = network(), network()
        optimizer = flat(one)
        for own in (one, other):
            own(torch.ones(1, 5)).sum().backward()
        optimizer.clip(most)
        torch.nn.utils.clip_grad_norm_(other.parameters(), most)
        for mine, theirs in zip(one.parameters(), other.parameters(), strict=True):
            assert mine.grad is not None
            torch.testing.assert_close(mine.grad, theirs.grad)


def test_a_state_with_what_it_leaves_out_is_refused() -> None:
    own = network()
    state = torch.optim.Adam(own.parameters(), weight_decay=0.1).state_dict()
    with pytest.raises(ValueError, match=r"weight_decay: expected none, got 0\.1"):
        flat(own).load_state_dict(state)
