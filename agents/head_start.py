"""Where an assisted agent starts: at the rule that a good team would use, instead of at chance.

The rule is the run-out price with the operations that suit it best on the training members. It is played in the agent's
own actions, the nearest that it has at each of its decisions, and the first policy is fitted to what it did: of every
head, the rule's choice shall have the probability p, and the others share the rest,

    min_θ  - Σ_k q_k log π_θ(k | seen),    q_k = p for the rule's choice, (1 - p)/(K - 1) for the others.

What the agent adds is learned from there. Left out: a value function to begin with.

Source: behavioural cloning, Pomerleau (1989), NIPS 1; smoothed labels, Szegedy et al. (2016), arXiv:1512.00567.
"""

import numpy as np
import torch
from gymnasium import spaces
from numpy.typing import NDArray
from sb3_contrib import MaskablePPO
from stable_baselines3 import PPO
from torch.nn import functional

from agents.baselines import RulePolicy, best_operations, run_out_price
from flashsim.envs.reward import RewardConfig
from flashsim.envs.spaces import MOST_UTILIZATION, ActionCodec, ActionConfig
from flashsim.envs.vector import SaleBatch, consecutive_seeds
from flashsim.plan import Plan
from flashsim.sim.streams import TRAINING_DOMAIN

SEARCH_SALES = 512
SHOWN_SALES = 512
_EPOCHS, _BATCH, _RATE = 40, 1_024, 2e-3


def usual_run(plan: Plan, *, seed: int) -> RulePolicy:
    """How a good team would run ``plan``, found on training members and sales from ``seed`` on."""
    return run_out_price(plan, best_operations(plan, run_out_price, seed=seed, sales=SEARCH_SALES))


def targets_around(target: float) -> tuple[float, ...]:
    """Utilizations a sixth and a third above and below ``target``, no more than a scaler can aim at."""
    return tuple(dict.fromkeys(min(MOST_UTILIZATION, round(target * sixths / 6, 4)) for sixths in (4, 5, 6, 7, 8)))


class InOwnActions:
    """What ``rule`` does, in the nearest actions of another space."""

    def __init__(self, plan: Plan, rule: RulePolicy, action: ActionConfig) -> None:
        self.rule, self._theirs = rule, ActionCodec(plan, ActionConfig(**rule.action))
        self._own = ActionCodec(plan, action)

    def act(self, observation: NDArray[np.float32]) -> NDArray[np.int64]:
        """Actions (sale, head), or (sale,) if flat."""
        orders = self._theirs.decode(self.rule.act(observation), observation)
        return self._own.encode_steered(orders, observation, target=self.rule.operations.target)


def imitate(
    model: PPO | MaskablePPO, plan: Plan, rule: RulePolicy, *, action: ActionConfig, share: float, seed: int
) -> None:
    """Let the policy of ``model`` choose as ``rule`` with probability ``share``, head by head; sales from ``seed``."""
    seen, chosen = _shown(plan.with_members(plan.training_members), rule, action, seed=seed)
    device, space = model.device, model.action_space
    assert isinstance(space, spaces.MultiDiscrete | spaces.Discrete)
    sizes = [int(size) for size in space.nvec] if isinstance(space, spaces.MultiDiscrete) else [int(space.n)]
    observations = torch.from_numpy(seen).to(device)
    wanted = [
        functional.one_hot(torch.from_numpy(column).to(device), size) * (share - (1.0 - share) / max(1, size - 1))
        + (1.0 - share) / max(1, size - 1)
        for column, size in zip(chosen.reshape(len(chosen), -1).T.copy(), sizes, strict=True)
    ]
    network = torch.nn.Sequential(model.policy.mlp_extractor.policy_net, model.policy.action_net)
    optimizer = torch.optim.Adam(network.parameters(), lr=_RATE)
    random = torch.Generator().manual_seed(seed % 2**63)
    for _ in range(_EPOCHS):
        for rows in torch.split(torch.randperm(len(seen), generator=random), _BATCH):
            part = rows.to(device)
            scores = torch.split(network(observations[part]), sizes, dim=1)
            loss = sum(functional.cross_entropy(s, q[part]) for s, q in zip(scores, wanted, strict=True))
            assert isinstance(loss, torch.Tensor)
            optimizer.zero_grad(set_to_none=False)  # gradients may be views of one vector (agents.flat_adam)
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()


def _shown(
    plan: Plan, rule: RulePolicy, action: ActionConfig, *, seed: int
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Observations (decision, feature) and what the rule does there in the agent's actions (decision, …)."""
    batch = SaleBatch(plan, SHOWN_SALES, action=action, reward=RewardConfig(), domain=TRAINING_DOMAIN)
    batch.seed(consecutive_seeds(seed, SHOWN_SALES))
    player = InOwnActions(plan, rule, action)
    seen, chosen = [batch.observe()], []
    for _ in range(plan.ticks // action.every):
        chosen.append(player.act(seen[-1]))
        batch.step(chosen[-1])
        seen.append(batch.seen())
    return np.concatenate(seen[:-1]), np.concatenate(chosen)
