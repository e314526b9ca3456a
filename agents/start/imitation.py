"""Where an assisted agent starts: at the rule that a good team would use, instead of at chance.

The rule is the run-out price with the operations that suit it best on the training members, in every training the same:
that which comparisons call the run-out price. It is played in the agent's own actions, the nearest that it has at each
of its decisions, and the first policy is fitted to what it did: of every head, the rule's choice shall have the
probability p, and the others share the rest,

    min_θ  - Σ_k q_k log π_θ(k | seen),    q_k = p for the rule's choice, (1 - p)/(K - 1) for the others.

Of Q-values, the rule's choice shall have 0, which is what it earns above itself (``agents.start.paired_rewards``), and
others a margin less for each head in which they differ. What the agent adds is learned from there. Left out: a value
function of PPO's to begin with.

Source: behavioural cloning, Pomerleau (1989), NIPS 1; smoothed labels, Szegedy et al. (2016), arXiv:1512.00567;
a margin for Q-values as in Hester et al. (2018), "Deep Q-learning from demonstrations", AAAI, arXiv:1704.03732.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from numpy.typing import NDArray
from sb3_contrib import MaskablePPO
from stable_baselines3 import DQN, PPO
from torch.nn import functional

from agents.settings import AgentConfig, DQNConfig, PPOConfig
from flashsim.envs.actions import ActionCodec, ActionConfig
from flashsim.envs.reward import RewardConfig
from flashsim.envs.scalers import MOST_UTILIZATION
from flashsim.envs.vector import SaleBatch, consecutive_seeds
from flashsim.planning import SEARCH_SEED, Field
from flashsim.rules import RulePolicy
from flashsim.scenarios.compiled import CompiledSale
from flashsim.sim.streams import TRAINING_DOMAIN

SHOWN_SALES = 512
_ROLLOUT = 8_192
_N_STEPS, _EXPLORATION = 6, 0.3
_UPDATES, _BATCH, _RATE = 1_000, 1_024, 2e-3


def usual_run(sale: CompiledSale) -> RulePolicy:
    """How a good team would run ``sale``: the run-out price, as it is searched for every comparison."""
    return Field(sale, ticks=1, seed=SEARCH_SEED).run_out_price


def steering(config: AgentConfig, rule: RulePolicy) -> AgentConfig:
    """``config`` with what it leaves open for an agent that starts at ``rule``.

    That is the opening, the calls and the scaler of the rule, at utilizations a sixth and a third above and below the
    rule's, no more than a scaler can aim at; how long PPO's rollouts are if it has twins, and how DQN explores and
    learns from there. An agent without the timing or the capacity head leaves calls or the utilization to the rule.
    """
    opening, calls = config.opening_ticks, config.planned_calls
    sixths = (4, 5, 6, 7, 8) if "capacity" in config.heads else (6,)
    changes: dict[str, Any] = {
        "opening_ticks": rule.operations.opening_ticks if opening is None else opening,
        "planned_calls": rule.operations.calls if calls is None else calls,
        "scaler": config.scaler or rule.operations.scaler,
        "scaler_targets": config.scaler_targets or targets_around(rule.operations.target, sixths),
    }
    if isinstance(config, PPOConfig) and config.paired:
        changes["rollout_steps"] = _ROLLOUT if config.rollout_steps is None else config.rollout_steps
    if isinstance(config, DQNConfig):
        changes["n_steps"] = _N_STEPS if config.n_steps is None else config.n_steps
        start = config.exploration_initial
        changes["exploration_initial"] = _EXPLORATION if start is None else start
    return replace(config, **changes)


def targets_around(target: float, sixths: Sequence[int]) -> tuple[float, ...]:
    """So many sixths of the utilization ``target``, no more than a scaler can aim at."""
    return tuple(dict.fromkeys(min(MOST_UTILIZATION, round(target * part / 6, 4)) for part in sixths))


class InOwnActions:
    """What ``rule`` does, in the nearest actions of another space."""

    def __init__(self, sale: CompiledSale, rule: RulePolicy, action: ActionConfig) -> None:
        self.rule, self._theirs = rule, ActionCodec(sale, ActionConfig(**rule.action))
        self._own = ActionCodec(sale, action)

    def act(self, observation: NDArray[np.float32]) -> NDArray[np.int64]:
        """Actions (sale, head), or (sale,) if flat."""
        orders = self._theirs.decode(self.rule.act(observation), observation)
        return self._own.encode_steered(orders, observation, target=self.rule.operations.target)


def imitate(
    model: PPO | MaskablePPO, sale: CompiledSale, rule: RulePolicy, *, action: ActionConfig, share: float, seed: int
) -> None:
    """Let the policy of ``model`` choose as ``rule`` with probability ``share``, head by head; sales from ``seed``."""
    space = model.action_space
    assert isinstance(space, spaces.MultiDiscrete | spaces.Discrete)
    sizes = [int(size) for size in space.nvec] if isinstance(space, spaces.MultiDiscrete) else [int(space.n)]

    def loss(scores: torch.Tensor, chosen: torch.Tensor) -> torch.Tensor:
        total = torch.zeros((), device=scores.device)
        for part, column in zip(torch.split(scores, sizes, dim=1), chosen.T, strict=True):
            rest = (1.0 - share) / max(1, part.shape[1] - 1)
            total += functional.cross_entropy(part, functional.one_hot(column, part.shape[1]) * (share - rest) + rest)
        return total

    network = torch.nn.Sequential(model.policy.mlp_extractor.policy_net, model.policy.action_net)
    _fit(network, sale, rule, action=action, loss=loss, seed=seed)


def prefer(model: DQN, sale: CompiledSale, rule: RulePolicy, *, action: ActionConfig, margin: float, seed: int) -> None:
    """Let the Q-values of ``model`` be 0 for what ``rule`` does, and a ``margin`` less for each head that differs.

    Sales from ``seed`` on.
    """
    sizes = ActionCodec(sale, action).sizes
    heads = np.unravel_index(np.arange(np.prod(sizes)), sizes)
    differ = sum((choice[:, None] != choice).astype(np.int8) for choice in heads)  # action, action; heads
    apart = torch.as_tensor(differ, device=model.device)

    def loss(values: torch.Tensor, chosen: torch.Tensor) -> torch.Tensor:
        return functional.mse_loss(values, -margin * apart[chosen[:, 0]])

    _fit(model.q_net.q_net, sale, rule, action=action, loss=loss, seed=seed)
    model.q_net_target.load_state_dict(model.q_net.state_dict())


def _fit(
    network: torch.nn.Module,
    sale: CompiledSale,
    rule: RulePolicy,
    *,
    action: ActionConfig,
    loss: Callable[[torch.Tensor, torch.Tensor], torch.Tensor],
    seed: int,
) -> None:
    """Fit ``network`` to what ``rule`` does on training members; ``loss`` takes its output and actions (row, head)."""
    seen, chosen = _shown(sale.with_members(sale.training_members), rule, action, seed=seed)
    device = next(network.parameters()).device
    observations = torch.from_numpy(seen).to(device)
    choices = torch.from_numpy(chosen.reshape(len(chosen), -1)).to(device)
    optimizer = torch.optim.Adam(network.parameters(), lr=_RATE)
    random = torch.Generator().manual_seed(seed % 2**63)
    for _ in range(_UPDATES):
        part = torch.randint(len(seen), (_BATCH,), generator=random).to(device)
        optimizer.zero_grad(set_to_none=False)  # gradients may be views of one vector (agents.ppo.flat_adam)
        loss(network(observations[part]), choices[part]).backward()  # type: ignore[no-untyped-call]
        optimizer.step()


def _shown(
    sale: CompiledSale, rule: RulePolicy, action: ActionConfig, *, seed: int
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Observations (decision, feature) and what the rule does there in the agent's actions (decision, …)."""
    batch = SaleBatch(sale, SHOWN_SALES, action=action, reward=RewardConfig(), domain=TRAINING_DOMAIN)
    batch.seed(consecutive_seeds(seed, SHOWN_SALES))
    player = InOwnActions(sale, rule, action)
    seen, chosen = [batch.observe()], []
    for _ in range(sale.ticks // action.every):
        chosen.append(player.act(seen[-1]))
        batch.step(chosen[-1])
        seen.append(batch.seen())
    return np.concatenate(seen[:-1]), np.concatenate(chosen)
