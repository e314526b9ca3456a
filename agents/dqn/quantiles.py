"""QR-DQN of sb3-contrib: Q-learning of quantiles of what an action will earn. Its record.

The network puts out quantiles z_i(s, a), i = 1 … N, and is greedy in their mean. A mean of linear outputs is linear, so
that the exported policy is a plain network with N times fewer outputs:

    Q(s, a) = 1/N Σ_i z_i(s, a) = (1/N Σ_i w_i,a)·h(s) + 1/N Σ_i b_i,a

Left out: sums of values of heads (``agents.dqn.summed_heads``), for quantiles of a sum are no sums of quantiles.

Source: Dabney et al. (2018), "Distributional reinforcement learning with quantile regression", AAAI, arXiv:1710.10044.
"""

from collections.abc import Sequence
from typing import Any

import torch
from sb3_contrib import QRDQN
from torch.nn import functional

from agents.dqn.algorithm import q_learning_arguments
from agents.dqn.replay_memory import REPLAY_MEMORY
from agents.dqn.settings import QRDQNConfig
from agents.learner import GreedyNetwork, Learner
from agents.start.imitation import Demonstration, first_values, fit
from flashsim.envs.sb3 import FlashSaleVecEnv


def _arguments(config: QRDQNConfig, env: FlashSaleVecEnv) -> dict[str, Any]:
    common = q_learning_arguments(config, env)
    return common | {"policy_kwargs": {**common["policy_kwargs"], "n_quantiles": config.quantiles}}


def _first_layers(model: QRDQN) -> Sequence[torch.nn.Linear]:
    return [model.quantile_net.quantile_net[0], model.quantile_net_target.quantile_net[0]]  # type: ignore[list-item]


def _network(model: QRDQN) -> GreedyNetwork:
    """The last layer is the mean over quantiles."""
    *hidden, last = model.quantile_net.quantile_net
    assert isinstance(last, torch.nn.Linear)
    actions = last.out_features // model.n_quantiles
    # Not initialized: that would draw random numbers.
    mean: torch.nn.Linear = torch.nn.utils.skip_init(  # type: ignore[no-untyped-call]
        torch.nn.Linear, last.in_features, actions, device=str(last.weight.device)
    )
    with torch.no_grad():
        mean.weight.copy_(last.weight.view(model.n_quantiles, actions, -1).mean(dim=0))
        mean.bias.copy_(last.bias.view(model.n_quantiles, actions).mean(dim=0))
    return GreedyNetwork([*hidden, mean])


def _start(model: QRDQN, shown: Demonstration[QRDQNConfig]) -> None:
    """Let all quantiles of the rule's choice be 0, and those of others a ``margin`` less for each head that differs."""
    margin = shown.config.margin
    if not margin:
        return
    values = first_values(shown, margin=margin, device=model.device).repeat(1, model.n_quantiles)
    network = model.quantile_net.quantile_net
    fit(network, shown, loss=lambda outputs, chosen: functional.mse_loss(outputs, values[chosen[:, 0]]))
    model.quantile_net_target.load_state_dict(model.quantile_net.state_dict())


def _finish(model: QRDQN) -> None:
    """Let SB3 choose the class of the memory, for it warns of the one that it chose when it loads the model again."""
    model.replay_buffer_class = None


QRDQN_LEARNER: Learner[QRDQNConfig, QRDQN] = Learner(
    algorithm=QRDQN,
    arguments=_arguments,
    sales_at_once=lambda config, _sale: config.sales,
    first_layers=_first_layers,
    network=_network,
    start=_start,
    finish=_finish,
    scales_by_lead=True,
    log_interval=lambda config: config.sales,
    extras=REPLAY_MEMORY,
)
