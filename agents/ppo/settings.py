"""Settings of PPO and its variants, with their reasons.

Source: Schulman et al. (2017), arXiv:1707.06347; settings as measured in the README.
"""

from dataclasses import dataclass, field, replace
from typing import Self

from agents.settings import MANY, AgentConfig
from flashsim.envs.reward import ConstraintConfig
from flashsim.sim.parameters import check_range, check_whole

ROLLOUT_STEPS, PAIRED_ROLLOUT_STEPS = 16_384, 8_192
MINIBATCHES = 8
FEWEST_ROLLOUTS = 4  # in a training: the learning rate falls from one to the next, and is all but gone at the last


@dataclass(frozen=True)
class PPOConfig(AgentConfig):
    """Proximal policy optimization."""

    name: str = "PPO"
    steps_around: int = 100  # the whole menu: what it tries first stays near its rule
    rollout_steps: int | None = None
    """Env steps of a rollout, about, which is made of whole sales; null: 16 384, and 8 192 for an agent that learns
    from leads: these vary so little by chance that it learns more from twice as many updates. Never more than a quarter
    of ``steps``."""
    batch_size: int | None = None
    """Env steps of a minibatch, about; null: an eighth of a rollout."""
    epochs: int = 8
    gae_lambda: float = 0.95
    clip_range: float = 0.2
    entropy: float = 0.01
    """Falls linearly to 0 at ``entropy_until`` of the training."""
    entropy_until: float = 0.8
    head_start: float = 0.6
    """An assisted agent's first policy makes the choice of its rule (``agents.start.imitation``) with this probability,
    head by head; 0: it starts at chance."""
    constraints: ConstraintConfig = field(default_factory=ConstraintConfig)
    """Bounds that its sales keep on average; their multipliers are learned beside the policy."""
    multiplier_rate: float = 0.3
    """How far the multipliers move after a rollout, for an excess as large as its spread under a random policy."""

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("rollout_steps", "batch_size", "epochs"):
            if getattr(self, name) is not None:
                check_whole(name, getattr(self, name), 1, MANY)
        check_range("gae_lambda", self.gae_lambda, 0.0, 1.0)
        check_range("clip_range", self.clip_range, 1e-6, 1e6)
        check_range("entropy", self.entropy, 0.0, 1e6)
        check_range("head_start", self.head_start, 0.0, 0.999)
        check_range("entropy_until", self.entropy_until, 1e-6, 1.0)
        check_range("multiplier_rate", self.multiplier_rate, 0.0, 1e6)

    def starting_at_rule(self) -> Self:
        """Shorter rollouts where it learns from leads."""
        if not self.paired or self.rollout_steps is not None:
            return self
        return replace(self, rollout_steps=PAIRED_ROLLOUT_STEPS)

    def rollout(self) -> tuple[int, int]:
        """Env steps of a rollout, about, and its minibatches, all of one size."""
        steps = ROLLOUT_STEPS if self.rollout_steps is None else self.rollout_steps
        return steps, MINIBATCHES if self.batch_size is None else max(1, round(steps / self.batch_size))


@dataclass(frozen=True)
class TensorPPOConfig(PPOConfig):
    """The same under the name of its class: ``agent=ppo`` trains with rollouts that stay on the device, too."""

    name: str = "TensorPPO"


@dataclass(frozen=True)
class MaskablePPOConfig(PPOConfig):
    """Proximal policy optimization that never tries what is not feasible. Source: Huang & Ontañón (2022),
    arXiv:2006.14171."""

    name: str = "MaskablePPO"
