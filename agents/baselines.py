"""What a good team does today: policies without learning, on the same observations as the learners.

* best fixed: a depth for each product, searched by simulation;
* ladder: 15, 30, 45 % off in the three thirds of the sale;
* run-out price: each product at the menu price at which its stock lasts just to the end, by forecast and what was
  learned of its level.

Each comes with the operations that suit it best: the utilization at which a target-tracking scaler aims (servers for
the larger of present and forecast visits, the rule that cloud providers offer), whether its pushes are sent, evenly
spread, and how long it stays at list price while the servers ordered at the opening boot. All of this is searched on
the training members, as learners train on them.

Source: Gallego & van Ryzin (1994), Management Science 40(8), for fixed and run-out prices.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

from flashsim.envs.rules import Dashboard
from flashsim.envs.spaces import ActionCodec, ActionConfig, Orders
from flashsim.evaluation.rollout import play
from flashsim.plan import Plan
from flashsim.sim.state import HOLD, PUSH
from flashsim.sim.streams import TRAINING_DOMAIN

LADDER = (0.15, 0.30, 0.45)


def dashboard_of(plan: Plan) -> Dashboard:
    """What reads the observations of ``plan``."""
    return ActionCodec(plan, ActionConfig()).dashboard


class EvenPushes:
    """Sends the budgeted pushes in the middle of equal parts of the sale; waves are released as planned."""

    def __init__(self, plan: Plan) -> None:
        self.dashboard, self.budget = dashboard_of(plan), plan.tables.traffic.push_budget

    def order(self, observation: NDArray[np.float32]) -> NDArray[np.int64]:
        """PUSH or HOLD (sale,)."""
        past = 1.0 - self.dashboard.share(observation, "time_left")
        left = self.dashboard.share(observation, "pushes_left") * self.budget
        due = (self.budget - left + 0.5) / max(1, self.budget)
        return np.where((past >= due - 1e-6) & (left > 0.5), PUSH, HOLD)


@dataclass(frozen=True)
class Operations:
    """How a rule is run beside its prices."""

    target: float = 0.7
    """Utilization that the scaler aims at; 0.7 is what cloud providers use in their examples."""
    pushes: bool = False
    """Whether the budgeted pushes are sent."""
    opening_ticks: int = 0
    """Ticks at list price before the rule begins, while the servers ordered at the opening boot."""


OPERATIONS = tuple(
    Operations(target, pushes, opening_ticks)
    for target in (0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
    for pushes in (False, True)
    for opening_ticks in (0, 3, 5)
)
"""What is searched."""


class RulePolicy:
    """A pricing rule with its operations. It reads the observation only."""

    def __init__(
        self,
        name: str,
        plan: Plan,
        price: Callable[[NDArray[np.float32]], NDArray[np.int64]],
        *,
        operations: Operations,
    ) -> None:
        """``price`` gives menu indices (sale, product) for observations."""
        self.name, self.price = name, price
        config = ActionConfig(scaler_targets=(operations.target,))
        self.action = asdict(config)
        self._codec = ActionCodec(plan, config)
        self._pushes = EvenPushes(plan) if operations.pushes else None
        self._first_cap = plan.admission_caps[0]
        self._opening_share = (operations.opening_ticks - 0.5) / plan.ticks

    def act(self, observation: NDArray[np.float32]) -> NDArray[np.int64]:
        """Actions (sale, head)."""
        menu = self.price(observation)
        past = 1.0 - self._codec.dashboard.share(observation, "time_left")
        menu[past < self._opening_share] = 0
        hold = np.full(menu.shape[0], HOLD, np.int64)
        timing = hold if self._pushes is None else self._pushes.order(observation)
        doors = np.full(menu.shape[0], self._first_cap)
        return self._codec.encode(Orders(menu, timing, np.zeros_like(hold), doors))


Rule = Callable[[Plan, Operations], RulePolicy]


def fixed(plan: Plan, menu: Sequence[int], *, operations: Operations, name: str = "fixed") -> RulePolicy:
    """The menu index ``menu`` (product,) for the whole sale."""
    row = np.array(menu, np.int64)
    return RulePolicy(name, plan, lambda seen: np.tile(row, (seen.shape[0], 1)), operations=operations)


def list_price(plan: Plan, operations: Operations = Operations()) -> RulePolicy:
    """No discount at all."""
    return fixed(plan, [0] * plan.products, operations=operations, name="list price")


def ladder(plan: Plan, operations: Operations = Operations()) -> RulePolicy:
    """15, 30, 45 % off in the three thirds of the sale, at the nearest depths of the menu."""
    board = dashboard_of(plan)
    steps = np.stack([np.abs(plan.depths - depth).argmin(axis=1) for depth in LADDER])

    def price(observation: NDArray[np.float32]) -> NDArray[np.int64]:
        past = 1.0 - board.share(observation, "time_left")
        third = np.minimum((past * len(LADDER) + 1e-6).astype(np.int64), len(LADDER) - 1)
        return steps[third]

    return RulePolicy("ladder 15/30/45", plan, price, operations=operations)


def run_out_price(plan: Plan, operations: Operations = Operations()) -> RulePolicy:
    """Each product at the menu index at which its stock runs out just at the end, by forecast and learned level."""
    return RulePolicy("run-out price", plan, dashboard_of(plan).run_out, operations=operations)


class Trials:
    """Mean profit of rules on common sales of the training members; counts the simulated ticks."""

    def __init__(self, plan: Plan, *, seed: int, progress: Callable[[int], object] = lambda _ticks: None) -> None:
        self.plan, self.seed, self.progress = plan.with_members(plan.training_members), seed, progress
        self.ticks = 0

    def profit(self, policy: RulePolicy, *, sales: int) -> float:
        """Mean profit of a sale, currency."""
        played = play(self.plan, policy, sales=sales, seed=self.seed, domain=TRAINING_DOMAIN)
        self.ticks += played.steps
        self.progress(played.steps)
        return float(played.totals["profit"].mean())


@dataclass(frozen=True)
class FixedSearch:
    """What the search for the best fixed policy found."""

    menu: tuple[int, ...]
    """Menu index of each product."""
    operations: Operations
    ticks: int
    """Simulated ticks spent."""


def search_fixed(
    plan: Plan, *, ticks: int, seed: int, sales: int = 128, progress: Callable[[int], object] = lambda _ticks: None
) -> FixedSearch:
    """Best fixed depth per product with its operations on the training members, by coordinate search on common sales.

    Every uniform depth is tried with all operations first; then one product, or the operations, are changed at a time,
    for the better only, until ``ticks`` simulated ticks are spent. When a whole round changes nothing, the search goes
    on with twice the sales. All candidates of a round meet the same sales.
    """
    trials, known = Trials(plan, seed=seed, progress=progress), {}

    def best(candidates: list[tuple[tuple[int, ...], Operations]]) -> tuple[tuple[int, ...], Operations]:
        for candidate in candidates:
            if candidate not in known:
                rule = fixed(trials.plan, candidate[0], operations=candidate[1])
                known[candidate] = trials.profit(rule, sales=sales)
        return max(candidates, key=known.__getitem__)

    found = best([((k,) * plan.products, how) for k in range(plan.menu) for how in OPERATIONS])
    while trials.ticks < ticks:
        before = found
        for product in range(plan.products):
            menu = found[0]
            found = best([((*menu[:product], k, *menu[product + 1 :]), found[1]) for k in range(plan.menu)])
        found = best([(found[0], how) for how in OPERATIONS])
        if found == before:
            sales *= 2
            known.clear()
    return FixedSearch(*found, trials.ticks)


def best_fixed(plan: Plan, found: FixedSearch) -> RulePolicy:
    """The policy that :func:`search_fixed` found."""
    return fixed(plan, found.menu, operations=found.operations, name="best fixed")


def best_operations(
    plan: Plan,
    rule: Rule,
    *,
    seed: int,
    sales: int = 1_024,
    progress: Callable[[int], object] = lambda _ticks: None,
) -> Operations:
    """Operations with which ``rule`` earns most on the training members, on common sales."""
    trials = Trials(plan, seed=seed, progress=progress)
    return max(OPERATIONS, key=lambda how: trials.profit(rule(trials.plan, how), sales=sales))


DESCRIPTIONS = {
    "best fixed": "one depth per product for the whole sale, searched by simulation on the training worlds",
    "ladder 15/30/45": "15, 30, 45 % off in the three thirds of the sale",
    "run-out price": "each product at the price at which its stock, as far as known, lasts just to the end",
    "list price": "no discount",
}
"""One line on each baseline, for reports."""
