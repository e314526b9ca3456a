"""Where an assisted agent starts: at the rule that a good team would use, instead of at chance.

The rule is the run-out price with the operations that suit it best on the training members, in every training the same:
what comparisons call the run-out price. It plays sales in the agent's own actions (at each decision, the nearest that
the agent has), and the first network is fitted to its choices.

A policy learns to make the rule's choice in every head with probability p; the other choices share the rest:

    min_θ  - Σ_k q_k log π_θ(k | seen),    q_k = p for the rule's choice, (1 - p)/(K - 1) for the others.

A network of values learns the value 0 for the rule's choice, which is the lead of the rule over itself
(``agents.start.paired_rewards``), and a margin less for each head in which another action differs. What the agent adds
is learned from there. Left out: a first value function of PPO.

Source: behavioural cloning, Pomerleau (1989), NIPS 1; smoothed labels, Szegedy et al. (2016), arXiv:1512.00567;
a margin for Q-values as in Hester et al. (2018), "Deep Q-learning from demonstrations", AAAI, arXiv:1704.03732.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Generic, NamedTuple, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from agents.settings import AgentConfig
from flashsim.envs.actions import ActionCodec, ActionConfig
from flashsim.envs.reward import RewardConfig
from flashsim.envs.scalers import MOST_UTILIZATION
from flashsim.envs.vector import SaleBatch, consecutive_seeds
from flashsim.planning import SEARCH_SEED, Field
from flashsim.rules import RulePolicy
from flashsim.scenarios.compiled import CompiledSale
from flashsim.sim.streams import TRAINING_DOMAIN

SHOWN_SALES = 512
_BATCH, _RATE = 1_024, 2e-3

Config = TypeVar("Config", bound=AgentConfig)
Loss = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
"""From what a network puts out (row, output) and the choices of the rule (row, head), or (row, 1) if flat."""


class Demonstration(NamedTuple, Generic[Config]):
    """What a fresh model is shown: how ``rule`` runs sales that begin with ``seed``."""

    sale: CompiledSale
    config: Config
    rule: RulePolicy
    seed: int


def starting_rule(sale: CompiledSale) -> RulePolicy:
    """How a good team would run ``sale``: the run-out price, as it is searched for every comparison."""
    return Field(sale, ticks=1, seed=SEARCH_SEED).run_out_price


def steering(config: AgentConfig, rule: RulePolicy) -> AgentConfig:
    """``config`` with what it leaves open for an agent that starts at ``rule``.

    That is the opening, the calls and the scaler of the rule, at utilizations a sixth and a third above and below the
    rule's, no more than a scaler can aim at; and what the learner itself leaves open (``starting_at_rule``). An agent
    without the timing or the capacity head leaves calls or the utilization to the rule.
    """
    opening, calls = config.opening_ticks, config.planned_calls
    sixths = (4, 5, 6, 7, 8) if "capacity" in config.heads else (6,)
    changes: dict[str, Any] = {
        "opening_ticks": rule.operations.opening_ticks if opening is None else opening,
        "planned_calls": rule.operations.calls if calls is None else calls,
        "scaler": config.scaler or rule.operations.scaler,
        "scaler_targets": config.scaler_targets or targets_around(rule.operations.target, sixths),
    }
    return replace(config.starting_at_rule(), **changes)


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


def choices_loss(sizes: list[int], *, share: float) -> Loss:
    """Loss of a policy over heads of ``sizes`` that shall choose as the rule with probability ``share``."""

    def loss(scores: torch.Tensor, chosen: torch.Tensor) -> torch.Tensor:
        total = torch.zeros((), device=scores.device)
        for part, column in zip(torch.split(scores, sizes, dim=1), chosen.T, strict=True):
            rest = (1.0 - share) / max(1, part.shape[1] - 1)
            total += functional.cross_entropy(part, functional.one_hot(column, part.shape[1]) * (share - rest) + rest)
        return total

    return loss


def first_values(shown: Demonstration[Any], *, margin: float, device: torch.device) -> torch.Tensor:
    """Values (rule's action, action) to begin with: 0 for the rule's, a ``margin`` less for each head that differs."""
    sizes = ActionCodec(shown.sale, shown.config.action(shown.sale)).sizes
    heads = np.unravel_index(np.arange(np.prod(sizes)), sizes)
    differ = sum((choice[:, None] != choice).astype(np.int8) for choice in heads)  # action, action; heads
    return -margin * torch.as_tensor(differ, device=device)


def fit(network: torch.nn.Module, shown: Demonstration[Any], *, loss: Loss) -> None:
    """Fit ``network`` to what the rule does on training members."""
    seen, chosen = _played(shown)
    device = next(network.parameters()).device
    observations = torch.from_numpy(seen).to(device)
    choices = torch.from_numpy(chosen.reshape(len(chosen), -1)).to(device)
    optimizer = torch.optim.Adam(network.parameters(), lr=_RATE)
    random = torch.Generator().manual_seed(shown.seed % 2**63)
    for _ in range(shown.config.imitation_updates):
        part = torch.randint(len(seen), (_BATCH,), generator=random).to(device)
        optimizer.zero_grad(set_to_none=False)  # gradients may be views of one vector (agents.flat_adam)
        loss(network(observations[part]), choices[part]).backward()  # type: ignore[no-untyped-call]
        optimizer.step()


def _played(shown: Demonstration[Any]) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Observations (decision, feature) and what the rule does there in the agent's actions (decision, …)."""
    sale, action = shown.sale.with_members(shown.sale.training_members), shown.config.action(shown.sale)
    batch = SaleBatch(sale, SHOWN_SALES, action=action, reward=RewardConfig(), domain=TRAINING_DOMAIN)
    batch.seed(consecutive_seeds(shown.seed, SHOWN_SALES))
    player = InOwnActions(sale, shown.rule, action)
    seen, chosen = [batch.observe()], []
    for _ in range(sale.all_ticks // action.every):
        chosen.append(player.act(seen[-1]))
        batch.step(chosen[-1])
        seen.append(batch.seen())
    return np.concatenate(seen[:-1]), np.concatenate(chosen)
