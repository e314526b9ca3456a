"""Settings that all learners share, with their reasons; those of one learner alone lie beside it (``agents.ppo``,
``agents.dqn``).

One config serves every sale: no discounting, a learning rate that falls, large batches. This module and the settings of
each learner import no torch, so that ``--help`` is quick.

Words: an *assisted* agent starts at a *rule*, the run-out price, and decides how far to deviate from it. The *twin* of
a sale is the same sale (same people, same chance) run by that rule. The *lead* of a sale is what it earns above its
twin.
"""

import enum
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Self

from flashsim.envs.actions import ActionConfig
from flashsim.envs.features import feature_set
from flashsim.envs.heads import HEADS
from flashsim.envs.reward import RewardConfig
from flashsim.errors import InputError
from flashsim.scenarios.compiled import CompiledSale
from flashsim.sim.parameters import check_range, check_whole

SCALER_TARGETS = (0.4, 0.5, 0.6, 0.7, 0.8)
SEEDS_PER_RUN = 2**32  # training seed j starts at j·2^32
MANY = 10**12


def falling(start: float, final: float) -> Callable[[float], float]:
    """A schedule as Stable-Baselines3 takes it: from ``start`` linearly to the share ``final`` of it."""
    # The last rollout begins before the end of the training and is learned from a little after it.
    return lambda left: start * max(0.0, final + (1.0 - final) * left)


class Device(enum.Enum):
    """Where a network lives; auto takes cuda when there is one."""

    auto = "auto"
    cpu = "cpu"
    cuda = "cuda"


@dataclass(frozen=True)
class AgentConfig:
    """What all learners have in common."""

    name: str = "agent"
    """Display name."""
    device: Device = Device.auto
    """auto, cpu or cuda; cuda that is absent is refused, never replaced."""
    torch_threads: int = 1
    """Threads of torch on the cpu; small networks gain nothing from more."""
    steps: int = 1_500_000
    """Decisions of training: it ends with the whole rollout of PPO, or the step of all sales of DQN, that reaches them.
    Rollouts, which are whole sales and fill minibatches of one size, are made to fit: PPO plays at most 2 % more, or in
    each rollout fewer sales more than it has minibatches, eight; never a rollout more."""
    learning_rate: float = 1e-3
    """At the start; falls linearly to ``final_rate`` of itself."""
    final_rate: float = 0.02
    gamma: float = 1.0
    """No discounting: a sale is short and its profit counts as a whole."""
    layers: tuple[int, ...] = (64, 64)
    """Hidden layers of each network."""
    evaluations: int = 15
    """How often greedy play on separate training sales is measured; the best network is kept."""
    evaluation_sales: int = 512
    heads: tuple[str, ...] = tuple(HEADS)
    """What it decides: any of discount, timing, capacity, admission."""
    per_product: bool = False
    """A discount (or step around the run-out price) for each product; false: one for all."""
    assisted: bool = True
    """The discount head steers around the run-out price and the capacity head sets the target of the scaler, instead of
    naming prices and servers. Reference sales have no past to learn from and are never assisted."""
    steps_around: int = 2
    """Steps up and down from the run-out price that an assisted agent can take, on the menu of prices, at most."""
    opening_ticks: int | None = None
    """Ticks from the opening in which an assisted agent steers around list price instead; null: as many as its rule."""
    planned_calls: tuple[str, ...] | None = None
    """Calls (push, reorder, release) that an assisted agent can leave to its rule; null: all that its rule makes."""
    scaler: str | None = None
    """Which scaler an assisted agent steers: tracking or scheduled; null: that of its rule."""
    scaler_targets: tuple[float, ...] = ()
    """Utilizations that an assisted agent can set; (): a sixth and a third around that of its rule."""
    paired: bool = True
    """An assisted agent learns from the lead of each sale: what it earns above its twin
    (``agents.start.paired_rewards``)."""
    imitation_updates: int = 1_000
    """Minibatches of its rule's choices to which the first network of an assisted agent is fitted
    (``agents.start.imitation``)."""
    decide_every: int = 5
    """Ticks between decisions of an assisted agent: what a price does in one minute drowns in chance. A sale whose
    length, or time before the opening, it does not divide is decided every tick."""

    observation: str = "engineered"
    """What its networks see: raw (what is counted), basic (and what is learned during the sale) or engineered (all: and
    what joins these with the forecast); see ``flashsim.envs.features``."""
    max_discount: float = 1.0
    """Guard-rail, share: no deeper discount, neither in training nor of the exported policy."""
    min_servers: int = 0
    """Guard-rail: no order leaves fewer servers; 0: the minimum of the sale alone."""
    reward: RewardConfig = field(default_factory=RewardConfig)
    """What it learns to earn, and what the network to keep is chosen by; conf/reward holds others than profit."""
    guardrails: dict[str, float] = field(default_factory=dict)
    """KPI -> limit that the network to keep shall not be beyond; the main job takes those of its decision."""

    def __post_init__(self) -> None:
        if not self.name or self.name.startswith(".") or set(self.name) & set("/\\"):
            raise InputError(f"name must be the name of a folder, without slashes, got {self.name!r}")
        for name in ("torch_threads", "steps", "evaluations", "decide_every", "steps_around", "imitation_updates"):
            check_whole(name, getattr(self, name), 1, MANY)
        check_whole("evaluation_sales", self.evaluation_sales, 2, MANY)
        check_range("learning_rate", self.learning_rate, 0.0, 1.0)
        check_range("final_rate", self.final_rate, 0.0, 1.0)
        check_range("gamma", self.gamma, 0.0, 1.0)
        if self.opening_ticks is not None:
            check_whole("opening_ticks", self.opening_ticks, 0, MANY)
        feature_set((), self.observation)
        if not self.layers:
            raise InputError(f"layers must name at least one width, got {self.layers!r}")
        for width in self.layers:
            check_whole("layers", width, 1, 100_000)
        self._assisted_action(around=0, every=1)  # refuses what no sale could offer

    def action(self, sale: CompiledSale) -> ActionConfig:
        """The actions that this agent takes in ``sale``."""
        if not self.is_assisted(sale):
            return self._plain_action()
        every = self.decide_every if sale.longest_decision % self.decide_every == 0 else 1
        return self._assisted_action(around=min(self.steps_around, sale.price_levels - 1), every=every)

    def _plain_action(self) -> ActionConfig:
        return ActionConfig(
            heads=self.heads,
            per_product=self.per_product,
            flat=self.flat,
            max_discount=self.max_discount,
            min_servers=self.min_servers,
        )

    def _assisted_action(self, *, around: int, every: int) -> ActionConfig:
        plain = self._plain_action()
        return replace(
            plain,
            around_run_out=around,
            opening_ticks=self.opening_ticks or 0,
            timing=("planned", *plain.timing),
            planned_calls=self.planned_calls or (),
            scaler_targets=self.scaler_targets or SCALER_TARGETS,
            scaler=self.scaler or "tracking",
            every=every,
        )

    def is_assisted(self, sale: CompiledSale) -> bool:
        """Whether this agent steers around rules in ``sale``."""
        return self.assisted and not sale.is_reference

    def is_paired(self, sale: CompiledSale) -> bool:
        """Whether this agent learns from sales and their twins in ``sale``."""
        return self.paired and self.is_assisted(sale)

    def simulated_ticks(self, sale: CompiledSale) -> int:
        """Ticks that the training simulates, those of twins included."""
        return self.steps * self.action(sale).every * (2 if self.is_paired(sale) else 1)

    @property
    def flat(self) -> bool:
        """Whether the algorithm needs one Discrete over all combinations."""
        return False

    def starting_at_rule(self) -> Self:
        """These settings for an agent that starts at a rule: a learner fills in what its null leaves open."""
        return self
