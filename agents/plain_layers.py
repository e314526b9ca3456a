"""Networks of torch on the cpu as compiled code sees them (``agents.compiled``): places in one vector of weights."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn.utils import parametrize

from agents.compiled.networks import AdamSettings, Network, Weights
from agents.flat_adam import FlatAdam


def are_plain(modules: Sequence[torch.nn.Module], activation: type[torch.nn.Module]) -> bool:
    """Whether they are linear layers with a bias, ``activation`` between them, and nothing written as a product."""
    layers, between = modules[::2], modules[1::2]
    is_known = all(
        isinstance(layer, torch.nn.Linear) and layer.bias is not None and not parametrize.is_parametrized(layer)
        for layer in layers
    )
    return len(modules) % 2 == 1 and is_known and all(type(module) is activation for module in between)


def network_of(
    modules: Sequence[torch.nn.Module], parameters: Sequence[torch.nn.Parameter], *, is_rectified: bool
) -> Network:
    """Where the linear layers of ``modules`` lie in the vector of all ``parameters``."""
    layers = [module for module in modules if isinstance(module, torch.nn.Linear)]
    sizes = [parameter.numel() for parameter in parameters]
    places: dict[torch.Tensor, int] = dict(zip(parameters, np.cumsum([0, *sizes[:-1]]).tolist(), strict=True))
    return Network(
        np.array([layers[0].in_features, *(layer.out_features for layer in layers)], np.int64),
        np.array([places[layer.weight] for layer in layers], np.int64),
        np.array([places[layer.bias] for layer in layers], np.int64),
        is_rectified=is_rectified,
    )


def weights_of(optimizer: FlatAdam) -> Weights:
    """The vectors of ``optimizer``, in the same memory."""
    vectors = (optimizer.values, optimizer.gradient, optimizer.mean, optimizer.square)
    return Weights(*(vector.numpy() for vector in vectors))


def settings_of(optimizer: FlatAdam, *, max_grad_norm: float) -> AdamSettings:
    """The settings of ``optimizer`` as they are now, and the longest norm of a gradient."""
    group = optimizer.param_groups[0]
    first, second = group["betas"]
    return AdamSettings(group["lr"], first, second, group["eps"], max_grad_norm)


def shown_to(first: torch.nn.Module) -> NDArray[np.floating]:
    """1 for each feature that a network with this ``first`` layer sees, else 0 (``agents.feature_sets.show_only``)."""
    assert isinstance(first, torch.nn.Linear)
    shown = getattr(first, "shown", None)
    ones: NDArray[np.floating] = first.weight.new_ones(first.in_features).numpy() if shown is None else shown.numpy()
    return ones
