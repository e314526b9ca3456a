"""What a learner can be told: the settings that PPO and DQN share, and those of each, with their reasons.

One config serves every sale: whole sales as rollouts, no discounting, a learning rate that falls, large batches.

Source: Schulman et al. (2017), arXiv:1707.06347; Mnih et al. (2015), Nature 518; settings as measured in the README.
"""

import enum
from dataclasses import dataclass, field, replace

from flashsim.envs.actions import ActionConfig
from flashsim.envs.features import feature_set
from flashsim.envs.heads import HEADS
from flashsim.envs.reward import ConstraintConfig, RewardConfig
from flashsim.errors import InputError
from flashsim.scenarios.compiled import CompiledSale
from flashsim.sim.parameters import check_range, check_whole

SCALER_TARGETS = (0.4, 0.5, 0.6, 0.7, 0.8)
_MANY = 10**12


class Device(enum.Enum):
    """Where a network lives; auto takes cuda when there is one."""

    auto = "auto"
    cpu = "cpu"
    cuda = "cuda"


@dataclass(frozen=True)
class AgentConfig:
    """What PPO and DQN have in common."""

    name: str = "agent"
    """Display name."""
    device: Device = Device.auto
    """auto, cpu or cuda; cuda that is absent is refused, never replaced."""
    torch_threads: int = 1
    """Threads of torch on the cpu; small networks gain nothing from more."""
    steps: int = 1_500_000
    """Decisions of training, at least: PPO ends with a whole rollout, DQN with a step of all its sales."""
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
    """Ticks from the opening in which an assisted agent steers around list price instead; null: those of its rule."""
    planned_calls: tuple[str, ...] | None = None
    """Calls (push, reorder, release) that an assisted agent can leave to its rule; null: those of its rule."""
    scaler: str | None = None
    """Which scaler an assisted agent steers: tracking or scheduled; null: that of its rule."""
    scaler_targets: tuple[float, ...] = ()
    """Utilizations that an assisted agent can set; (): a sixth and a third around that of its rule."""
    paired: bool = True
    """An assisted agent learns from what a sale earns above its twin, which meets the same people and is run by a good
    rule (``agents.start.paired_rewards``)."""
    decide_every: int = 5
    """Ticks between decisions of an assisted agent: what a price does in one minute drowns in chance. A sale whose
    length it does not divide is decided every tick."""

    observation: str = "engineered"
    """What its networks see: raw (what is counted), basic (and what is learned during the sale) or engineered (all: and
    what joins these with the forecast); see ``flashsim.envs.features``."""
    max_discount: float = 1.0
    """Guard-rail, share: no deeper discount, neither in training nor of the exported policy."""
    min_servers: int = 0
    """Guard-rail: no order leaves fewer servers; 0: the minimum of the sale alone."""
    reward: RewardConfig = field(default_factory=RewardConfig)
    """What it learns to earn, and what the network to keep is chosen by; conf/reward holds others than profit."""

    def __post_init__(self) -> None:
        if not self.name or self.name.startswith(".") or set(self.name) & set("/\\"):
            raise InputError(f"name must be the name of a folder, without slashes, got {self.name!r}")
        for name in ("torch_threads", "steps", "evaluations", "decide_every", "steps_around"):
            check_whole(name, getattr(self, name), 1, _MANY)
        check_whole("evaluation_sales", self.evaluation_sales, 2, _MANY)
        check_range("learning_rate", self.learning_rate, 0.0, 1.0)
        check_range("final_rate", self.final_rate, 0.0, 1.0)
        check_range("gamma", self.gamma, 0.0, 1.0)
        if self.opening_ticks is not None:
            check_whole("opening_ticks", self.opening_ticks, 0, _MANY)
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
        every = self.decide_every if sale.ticks % self.decide_every == 0 else 1
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


@dataclass(frozen=True)
class PPOConfig(AgentConfig):
    """Proximal policy optimization."""

    name: str = "PPO"
    steps_around: int = 100  # the whole menu: what it tries first stays near its rule
    rollout_steps: int | None = None
    """Env steps of a rollout, about, which is made of whole sales; null: 16 384, and 8 192 for an agent with twins:
    they take so much of the chance away that it learns more from twice as many updates."""
    batch_size: int | None = None
    """Env steps of a minibatch, about; null: an eighth of a rollout."""
    epochs: int = 8
    gae_lambda: float = 0.95
    clip_range: float = 0.2
    entropy: float = 0.01
    """Falls linearly to 0 at ``entropy_until`` of the training."""
    entropy_until: float = 0.8
    head_start: float = 0.6
    """An assisted agent's first policy chooses as the rule of ``agents.start.imitation`` does with this probability,
    head by head; 0: it starts at chance."""
    constraints: ConstraintConfig = field(default_factory=ConstraintConfig)
    """Marks that its sales shall keep on the whole; their multipliers are learned beside the policy."""
    multiplier_rate: float = 0.3
    """How far the multipliers move after a rollout, for an excess as large as its spread under a random policy."""

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("rollout_steps", "batch_size", "epochs"):
            if getattr(self, name) is not None:
                check_whole(name, getattr(self, name), 1, _MANY)
        check_range("gae_lambda", self.gae_lambda, 0.0, 1.0)
        check_range("clip_range", self.clip_range, 1e-6, 1e6)
        check_range("entropy", self.entropy, 0.0, 1e6)
        check_range("head_start", self.head_start, 0.0, 0.999)
        check_range("entropy_until", self.entropy_until, 1e-6, 1.0)
        check_range("multiplier_rate", self.multiplier_rate, 0.0, 1e6)


@dataclass(frozen=True)
class TensorPPOConfig(PPOConfig):
    """Proximal policy optimization with rollouts that stay on the device."""

    name: str = "TensorPPO"


@dataclass(frozen=True)
class MaskablePPOConfig(PPOConfig):
    """Proximal policy optimization that never tries what is not feasible. Source: Huang & Ontañón (2022),
    arXiv:2006.14171."""

    name: str = "MaskablePPO"


@dataclass(frozen=True)
class DQNConfig(AgentConfig):
    """Deep Q-learning on a flat action menu."""

    name: str = "DQN"
    steps: int = 1_000_000
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
    target_share: float = 0.02
    """How far an update moves the target network towards the network. A little at every step: whole copies every 100
    steps let the last policies of G1 swing by five points, and values reach back one tick a copy."""
    exploration_initial: float | None = None
    """Share of random actions when the training begins; null: 1, and .3 for an agent that starts at a rule."""
    exploration_final: float = 0.05
    exploration_until: float = 0.3
    """Share of the training in which exploration falls to its final share."""
    summed: bool = True
    """Whether an assisted agent learns a value for each choice of each head, to be added up
    (``agents.dqn.summed_heads``), instead of one for each whole action."""
    margin: float = 0.1
    """How much less an assisted agent first expects for each head that differs from its rule's choice, scaled as its
    rewards; 0: it knows nothing of the rule."""

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("sales", "batch_size", "gradient_steps", "target_interval"):
            check_whole(name, getattr(self, name), 1, _MANY)
        check_whole("buffer", self.buffer, self.sales, _MANY)
        check_whole("learning_starts", self.learning_starts, 0, _MANY)
        if self.learning_starts >= self.steps:
            raise InputError(
                f"learning_starts must be less than steps, {self.steps}, got {self.learning_starts}; it would not learn"
            )
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
        """Q-values are of whole actions."""
        return True


AGENTS: dict[str, type[AgentConfig]] = {
    "ppo": PPOConfig,
    "tensor_ppo": TensorPPOConfig,
    "maskable_ppo": MaskablePPOConfig,
    "dqn": DQNConfig,
}
"""Name -> settings of every agent that can be trained."""
