"""Settings of learners that estimate the value of every action: DQN and QR-DQN, with their reasons.

Source: Mnih et al. (2015), Nature 518; Dabney et al. (2018), AAAI, arXiv:1710.10044; settings as measured in the
README.
"""

from dataclasses import dataclass, replace
from typing import Self

from agents.settings import MANY, AgentConfig
from flashsim.errors import InputError
from flashsim.sim.parameters import check_range, check_whole

RULE_N_STEPS, RULE_EXPLORATION = 6, 0.3
TARGET_SHARE, RULE_TARGET_SHARE = 0.1, 0.02
AVERAGE_SHARE = 0.01


@dataclass(frozen=True)
class QLearningConfig(AgentConfig):
    """What learners that estimate the value of every action of a flat menu have in common."""

    sales: int = 256
    """Sales stepped side by side."""
    batch_size: int = 512
    gradient_steps: int = 4
    """Updates after each vector step."""
    n_steps: int | None = None
    """Rewards that an update sums before it trusts a value; null: 1, and 6 for an agent that starts at a rule, whose
    orders of servers pay two or three decisions later."""
    buffer: int = 500_000
    """Transitions remembered."""
    learning_starts: int = 10_000
    target_interval: int = 1
    """Vector steps between updates of the target network."""
    target_share: float | None = None
    """How far an update moves the target network towards the network; null: .1, and .02 for an agent that starts at a
    rule. A value reaches back one tick each time that the target has followed, so that at .02 those of a sale of a
    hundred ticks are still on their way when the training ends (7 units, 108 ticks: 95.0 against 99.5 % of the optimum
    at the end). Whole copies every 100 steps let the last policies of G1 swing by five points."""
    exploration_initial: float | None = None
    """Share of random actions when the training begins; null: 1, and .3 for an agent that starts at a rule."""
    exploration_final: float = 0.05
    exploration_until: float = 0.3
    """Share of the training in which exploration falls to its final share."""
    margin: float = 0.1
    """How much less an assisted agent first expects for each head that differs from its rule's choice, scaled as its
    rewards; 0: it knows nothing of the rule."""

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("sales", "batch_size", "gradient_steps", "target_interval"):
            check_whole(name, getattr(self, name), 1, MANY)
        check_whole("buffer", self.buffer, self.sales, MANY)
        if self.steps < self.sales:
            raise InputError(
                f"steps must be at least sales, {self.sales}, which it steps side by side, got {self.steps}; raise it"
            )
        check_whole("learning_starts", self.learning_starts, 0, MANY)
        if self.learning_starts >= self.steps:
            raise InputError(
                f"learning_starts must be less than steps, {self.steps}, got {self.learning_starts}; it would not learn"
            )
        if self.target_share is not None:
            check_range("target_share", self.target_share, 1e-6, 1.0)
        check_range("margin", self.margin, 0.0, 1e6)
        if self.n_steps is not None:
            check_whole("n_steps", self.n_steps, 1, 10_000)
        if self.exploration_initial is not None:
            check_range("exploration_initial", self.exploration_initial, 0.0, 1.0)
        check_range("exploration_final", self.exploration_final, 0.0, 1.0)
        check_range("exploration_until", self.exploration_until, 1e-6, 1.0)

    @property
    def flat(self) -> bool:
        """Values are of whole actions."""
        return True

    def starting_at_rule(self) -> Self:
        """It explores less, for it knows where to begin, and sums more rewards."""
        n_steps, exploration, share = self.n_steps, self.exploration_initial, self.target_share
        return replace(
            self,
            n_steps=RULE_N_STEPS if n_steps is None else n_steps,
            exploration_initial=RULE_EXPLORATION if exploration is None else exploration,
            target_share=RULE_TARGET_SHARE if share is None else share,
        )


@dataclass(frozen=True)
class DQNConfig(QLearningConfig):
    """Deep Q-learning: the mean of what an action will earn."""

    name: str = "DQN"
    squares_errors: bool | None = None
    """Whether it learns the mean of what an action will earn (``agents.dqn.mean_values``), instead of minimizing
    Huber's loss, by which rare sales of a unit count too little; null: yes, and no for an agent that starts at a rule,
    for a few sales, those that collapse, have leads far beyond all others."""
    average_share: float | None = None
    """How far a vector step moves the average that is played and exported towards the network
    (``agents.dqn.mean_values``); 1: the network itself is; null: .01, a hundred vector steps, and 1 for an agent that
    starts at a rule, which was not measured with averages."""
    summed: bool = True
    """Whether an assisted agent learns a value for each choice of each head, to be added up
    (``agents.dqn.summed_heads``), instead of one for each whole action."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.average_share is not None:
            check_range("average_share", self.average_share, 1e-6, 1.0)

    def starting_at_rule(self) -> Self:
        """Also, sales that collapse do not count more than others, and the network itself plays."""
        squares, share = self.squares_errors, self.average_share
        return replace(
            super().starting_at_rule(),
            squares_errors=False if squares is None else squares,
            average_share=1.0 if share is None else share,
        )


@dataclass(frozen=True)
class QRDQNConfig(QLearningConfig):
    """Quantile regression: the distribution of what an action will earn. It acts on the mean."""

    name: str = "QRDQN"
    steps: int = 1_000_000
    target_share: float | None = RULE_TARGET_SHARE
    """.1 was not measured with quantiles."""
    quantiles: int = 32
    """Of the distribution, equally likely; more cost time in proportion."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_whole("quantiles", self.quantiles, 1, 10_000)
