"""Planning on the simulator: at every decision, what a good rule would do is improved on imagined sales.

At a decision the planner imagines the rest of the sale S times over (``agents.imagined_sales``). The neutral plan is to
go on as the rule; every other candidate does one thing otherwise in this decision (prices a step up or down, another
utilization, a push now or none, other doors) and goes on as the rule thereafter. All candidates meet the same S
imagined sales. With J_s(u) what sale s earns from now on with the first action u,

    lead(u) = mean_s [J_s(u) - J_s(u')],    taken if lead(u) > MARGIN · sd_s [J_s(u) - J_s(u')] / √S,

one head after another, where u' is the action found so far, at first the rule's; of several choices of a head that
pass, the one of the largest lead is taken. All is planned anew at the next decision. So chance alone seldom turns the
planner from its rule, and where the rule's action is best, it is kept.

The budget counts simulated ticks a decision, never seconds, and all of it goes into S; as the sale gets shorter, S
grows. A budget that does not give every candidate ``LEAST_SCENARIOS`` at the opening is refused.

Source: the rollout algorithm, Bertsekas (2017), Dynamic Programming and Optimal Control, vol. I, section 6.4 (the rule
is the base policy; imagined sales that are set to the observation are its open-loop feedback control); one head after
another, Bertsekas (2021), "Multiagent reinforcement learning: rollout and policy iteration", IEEE/CAA J. Autom. Sinica
8(2); common random numbers, Glasserman & Yao (1992), Management Science 38(6). Left out: plans that differ from the
rule for longer than one decision, fewer servers than the rule's, and what a later decision will improve in its turn.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agents.baselines import Operations, Outlook, RulePolicy
from agents.head_start import InOwnActions, targets_around
from agents.imagined_sales import IMAGINED_SEED, imagine
from flashsim.envs.reward import RewardConfig
from flashsim.envs.spaces import ActionCodec, ActionConfig
from flashsim.envs.vector import SaleBatch, consecutive_seeds
from flashsim.errors import InputError
from flashsim.plan import Plan
from flashsim.sim.parameters import check_whole
from flashsim.sim.streams import TRAINING_DOMAIN

DESCRIPTIONS = {"MPC": "the run-out price, improved at every decision on imagined sales, as far as its budget goes"}
"""One line on each planner, for reports."""

LEAST_SCENARIOS = 8
MARGIN = 2.0  # standard errors
STEPS = 1  # around the run-out price, in a scenario
SIXTHS = (5, 6)  # of the rule's utilization: what a thinner pool loses in a rare collapse, few sales do not show
DECISIONS = 12  # of a scenario; a reference sale is planned in every tick
_MOST_ROWS = 16_384  # imagined side by side


@dataclass(frozen=True, eq=False)
class Planner:
    """A rule improved by rollouts on the simulator ("MPC")."""

    plan: Plan
    rule: RulePolicy
    """What it goes on as by default."""
    budget: int
    """Simulated ticks a decision, at most."""
    name: str = "MPC"
    action: dict[str, Any] = field(init=False)

    def __post_init__(self) -> None:
        check_budget(self.plan, self.budget)
        object.__setattr__(self, "action", asdict(planned_actions(self.plan, self.rule.operations)))

    def act(self, observation: NDArray[np.float32]) -> NDArray[np.int64]:
        """Actions (sale, head)."""
        if not len(observation):
            raise InputError("observation: expected at least one row, got none")
        config = ActionConfig(**self.action)
        # A frozen screen shows a tick between two decisions: planned as from the decision before.
        ticks = Outlook(self.plan).tick(observation) // config.every * config.every
        codec = ActionCodec(self.plan, config)
        chosen = np.zeros((ticks.size, codec.sizes.size), np.int64)
        for tick in np.unique(ticks):
            rows = np.flatnonzero(ticks == tick)
            scenarios = self.budget // (_candidates(codec) * int(self.plan.ticks - tick))
            width = max(1, _MOST_ROWS // scenarios)
            for start in range(0, rows.size, width):
                part = rows[start : start + width]
                chosen[part] = self._improve(observation[part], int(tick), scenarios, codec.sizes)
        return chosen

    def _improve(
        self, observation: NDArray[np.float32], tick: int, scenarios: int, sizes: NDArray[np.int64]
    ) -> NDArray[np.int64]:
        """The action (sale, head) found for each row of ``observation``, all at ``tick``."""
        sales = observation.shape[0]
        earned = self._rollouts(observation, tick, scenarios)
        player = InOwnActions(self.plan, self.rule, ActionConfig(**self.action))
        best = player.act(observation)
        best_earned = earned(best)
        for head, size in enumerate(sizes):
            found, found_earned, most = best, best_earned, np.zeros(sales)
            for turn in range(1, size):
                other = best.copy()
                other[:, head] = (other[:, head] + turn) % size
                other_earned = earned(other)
                gain = other_earned - best_earned
                lead, error = gain.mean(axis=1), gain.std(axis=1, ddof=1) / np.sqrt(scenarios)
                is_taken = (lead > most) & (lead > MARGIN * error)
                found = np.where(is_taken[:, None], other, found)
                found_earned = np.where(is_taken[:, None], other_earned, found_earned)
                most = np.where(is_taken, lead, most)
            best, best_earned = found, found_earned
        return best

    def _rollouts(
        self, observation: NDArray[np.float32], tick: int, scenarios: int
    ) -> Callable[[NDArray[np.int64]], NDArray[np.float64]]:
        """A function from first actions (sale, head) to what each imagined sale then earns (sale, scenario)."""
        plan, config = self.plan.with_members(self.plan.training_members), ActionConfig(**self.action)
        sales, player = observation.shape[0], InOwnActions(plan, self.rule, config)
        batch = SaleBatch(plan, sales * scenarios, action=config, reward=RewardConfig(), domain=TRAINING_DOMAIN)
        seeds = consecutive_seeds(IMAGINED_SEED + tick * scenarios, scenarios)  # others at each decision
        seen = np.repeat(observation, scenarios, axis=0)

        def earned(first: NDArray[np.int64]) -> NDArray[np.float64]:
            batch.seed(np.tile(seeds, sales))
            imagine(batch, seen, tick)
            batch.observe()
            total = batch.step(np.repeat(first, scenarios, axis=0))[0]
            for _ in range(tick + config.every, plan.ticks, config.every):
                total += batch.step(player.act(batch.seen()))[0]
            return total.reshape(sales, scenarios)

        return earned


def check_budget(plan: Plan, budget: int) -> None:
    """InputError unless ``budget`` gives every candidate ``LEAST_SCENARIOS`` at the opening, whatever the rule."""
    check_whole("planner budget", budget, 1, 10**12)
    config = planned_actions(plan, Operations(pushes=True, lots=True, early_waves=True))
    least = LEAST_SCENARIOS * _candidates(ActionCodec(plan, config)) * plan.ticks
    if budget < least:
        raise InputError(
            f"planner budget: {plan.name!r} takes at least {least} simulated ticks a decision, to play every candidate "
            f"on {LEAST_SCENARIOS} imagined sales, got {budget}; raise it"
        )


def planned_actions(plan: Plan, operations: Operations) -> ActionConfig:
    """The actions of a planner: in a scenario those of an assisted agent around the rule's, else the plain ones."""
    if plan.is_reference:
        return ActionConfig()
    return ActionConfig(
        per_product=False,
        around_run_out=STEPS,
        opening_ticks=operations.opening_ticks,
        timing=("planned", *ActionConfig().timing),
        planned_calls=operations.calls,
        scaler=operations.scaler,
        scaler_targets=targets_around(operations.target, SIXTHS),
        every=next(n for n in range(1, plan.ticks + 1) if plan.ticks % n == 0 and plan.ticks // n <= DECISIONS),
    )


def _candidates(codec: ActionCodec) -> int:
    """Actions that are compared at a decision."""
    return 1 + int((codec.sizes - 1).sum())
