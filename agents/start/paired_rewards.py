"""Sales that are paid for their lead: what they earn above their twin, the same sale run by a rule.

The profit of a sale varies with who comes, how strong demand is this evening, and the member of the World: far more
than with any one decision. Its twin is opened on the same seed, so it meets the same member, frailties and people
(streams are counter-based), and is run by a rule. What the twin earns does not depend on what the learner does. So
subtracting it is subtracting a baseline that knows the future: the gradient keeps its mean and loses most of its
variance.

    r'_t = r_t - r_t(rule; same seed),    E[∇ log π · Σ r'] = E[∇ log π · Σ r]

A sale whose twin collapses would be paid for nothing that it did, and a few such sales outweigh all that is to be
learned. So the rewards of twins in a tick are cut at quantiles of what the rule earns in that tick
(:func:`rule_limits`); a baseline may be anything that does not depend on the learner.

Left out: multipliers of constraints are charged to the learner's sale alone (the same argument holds).

Source: Mao et al. (2019), "Variance reduction for reinforcement learning in input-driven environments",
arXiv:1807.02264; common random numbers as in Glasserman & Yao (1992), Management Science 38(6).
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from flashsim.envs.actions import ActionConfig
from flashsim.envs.reward import ConstraintConfig, RewardConfig
from flashsim.envs.vector import SaleBatch, consecutive_seeds
from flashsim.errors import InputError
from flashsim.evaluation.rollout import action_config
from flashsim.policies.bundle import Policy
from flashsim.scenarios.compiled import CompiledSale
from flashsim.sim.streams import TRAINING_DOMAIN

_SALES = 2_048
_TAILS = (0.01, 0.99)


def rule_limits(sale: CompiledSale, rule: Policy, *, reward: RewardConfig, seed: int) -> NDArray[np.float64]:
    """1st and 99th percentile of what sales run by ``rule`` earn in each tick, (2, tick), currency; ticks before the
    opening come first."""
    batch = SaleBatch(sale, _SALES, action=action_config(rule), reward=reward, domain=TRAINING_DOMAIN)
    batch.seed(consecutive_seeds(seed, _SALES))
    batch.observe()
    earned = [batch.step(rule.act(batch.seen()))[0] for _ in range(sale.all_ticks)]
    return np.quantile(earned, _TAILS, axis=1)


class PairedSales(SaleBatch):
    """A :class:`SaleBatch` whose reward is that of each sale less that of its twin; its listeners see the former."""

    def __init__(
        self,
        sale: CompiledSale,
        sales: int,
        *,
        rule: Policy,
        action: ActionConfig,
        reward: RewardConfig,
        domain: int,
        constraints: ConstraintConfig | None = None,
        limits: NDArray[np.float64] | None = None,
    ) -> None:
        """``rule`` runs the twins and decides in every tick; else as for a SaleBatch on one thread.

        Twins' rewards are cut at ``limits`` (2, tick), currency; None: not at all.
        """
        if "close" in action.timing:
            raise InputError("action timing: a sale that is closed early has no twin of its length; leave close out")
        super().__init__(sale, sales, action=action, reward=reward, domain=domain, constraints=constraints)
        self.rule = rule
        self.twins = SaleBatch(sale, sales, action=action_config(rule), reward=reward, domain=domain)
        self.limits = np.array([[-np.inf], [np.inf]]).repeat(sale.all_ticks, axis=1) if limits is None else limits

    def assign(self, seeds: NDArray[np.uint64], episodes: int = 0) -> None:
        """Name the sales that open next, and their twins with them."""
        super().assign(seeds, episodes)
        self.twins.assign(seeds, episodes)

    def open(self, rows: NDArray[np.bool_]) -> None:
        """Open the next episode in ``rows`` (sale,), and in those of their twins."""
        super().open(rows)
        self.twins.open(rows)
        self.twins.observe()

    def step(self, actions: NDArray[Any]) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        """Let the ticks of one decision pass; returns what each sale earned above its twin, and whether it ended."""
        reward, closed = super().step(actions)
        for _ in range(self.codec.config.every):
            low, high = self.limits[:, self.sale.pre_opening + self.twins.batch.rows(self.twins.batch.state.tick)]
            reward -= np.clip(self.twins.step(self.rule.act(self.twins.seen()))[0], low, high)
        return reward, closed
