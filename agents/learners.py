"""PPO and DQN of Stable-Baselines3 on the native batch of sales.

One config serves every sale: whole sales as rollouts, rewards divided by the spread of a random policy's return,
features that an expert would compute, large batches. Greedy play on separate training sales decides which network is
kept.

Source: Schulman et al. (2017), arXiv:1707.06347; Mnih et al. (2015), Nature 518; settings as measured in the README.
"""

import enum
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import stable_baselines3
import torch
from stable_baselines3 import DQN, PPO
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.logger import configure
from torch.distributions import Distribution

from agents.callbacks import BestNetwork, CurvePoint, EntropySchedule, SaleMetrics
from agents.export import network_policy
from flashsim.envs.sb3 import FlashSaleVecEnv, make_sb3
from flashsim.envs.spaces import ActionConfig
from flashsim.errors import InputError
from flashsim.plan import Plan
from flashsim.policy import NetworkPolicy
from flashsim.sim.parameters import check_range, check_whole

SEEDS_PER_RUN = 2**32  # training seed j starts at j·2^32
_SELECTION = 2**31  # sales that choose the network to keep
STEPS_AROUND = 2
SCALER_TARGETS = (0.5, 0.6, 0.7, 0.8, 0.9)
_MANY = 10**12
_SCALE = 2**30  # sales that measure the spread of a random policy's return


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
    steps: int = 2_000_000
    """Decisions of training."""
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
    heads: tuple[str, ...] = ("discount", "timing", "capacity")
    """What it decides: any of discount, timing, capacity."""
    per_product: bool = False
    """A discount (or step around the run-out price) for each product; false: one for all."""
    assisted: bool = True
    """The discount head steers around the run-out price and the capacity head sets the target of the scaler, instead of
    naming prices and servers. Reference sales have no past to learn from and are never assisted."""

    decide_every: int = 5
    """Ticks between decisions of an assisted agent: what a price does in one minute drowns in chance. A sale whose
    length it does not divide is decided every tick."""

    def __post_init__(self) -> None:
        if not self.name or self.name.startswith(".") or set(self.name) & set("/\\"):
            raise InputError(f"name must be the name of a folder, without slashes, got {self.name!r}")
        for name in ("torch_threads", "steps", "evaluations", "decide_every"):
            check_whole(name, getattr(self, name), 1, _MANY)
        check_whole("evaluation_sales", self.evaluation_sales, 2, _MANY)
        check_range("learning_rate", self.learning_rate, 0.0, 1.0)
        check_range("final_rate", self.final_rate, 0.0, 1.0)
        check_range("gamma", self.gamma, 0.0, 1.0)
        if not self.layers:
            raise InputError(f"layers must name at least one width, got {self.layers!r}")
        for width in self.layers:
            check_whole("layers", width, 1, 100_000)

    def action(self, plan: Plan) -> ActionConfig:
        """The actions that this agent takes in ``plan``."""
        plain = ActionConfig(heads=self.heads, per_product=self.per_product, flat=self.flat)
        if plan.is_reference or not self.assisted:
            return plain
        every = self.decide_every if plan.ticks % self.decide_every == 0 else 1
        return replace(plain, around_run_out=STEPS_AROUND, scaler_targets=SCALER_TARGETS, every=every)

    def simulated_ticks(self, plan: Plan) -> int:
        """Ticks that the training simulates."""
        return self.steps * self.action(plan).every

    @property
    def flat(self) -> bool:
        """Whether the algorithm needs one Discrete over all combinations."""
        return False


@dataclass(frozen=True)
class PPOConfig(AgentConfig):
    """Proximal policy optimization."""

    name: str = "PPO"
    rollout_steps: int = 16_384
    """Env steps of a rollout, about; a rollout is made of whole sales."""
    batch_size: int = 4_096
    epochs: int = 4
    gae_lambda: float = 0.95
    clip_range: float = 0.2
    entropy: float = 0.01
    """Falls linearly to 0 at ``entropy_until`` of the training."""
    entropy_until: float = 0.8

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("rollout_steps", "batch_size", "epochs"):
            check_whole(name, getattr(self, name), 1, _MANY)
        check_range("gae_lambda", self.gae_lambda, 0.0, 1.0)
        check_range("clip_range", self.clip_range, 1e-6, 1e6)
        check_range("entropy", self.entropy, 0.0, 1e6)
        check_range("entropy_until", self.entropy_until, 1e-6, 1.0)


@dataclass(frozen=True)
class DQNConfig(AgentConfig):
    """Deep Q-learning on a flat action menu."""

    name: str = "DQN"
    steps: int = 600_000
    sales: int = 256
    """Sales stepped side by side."""
    batch_size: int = 512
    gradient_steps: int = 4
    """Updates after each vector step."""
    buffer: int = 300_000
    """Transitions remembered."""
    learning_starts: int = 10_000
    target_interval: int = 100
    """Vector steps between copies to the target network."""
    exploration_final: float = 0.05
    exploration_until: float = 0.3
    """Share of the training in which exploration falls from 1."""

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("sales", "batch_size", "gradient_steps", "target_interval"):
            check_whole(name, getattr(self, name), 1, _MANY)
        check_whole("buffer", self.buffer, self.sales, _MANY)
        check_whole("learning_starts", self.learning_starts, 0, _MANY)
        check_range("exploration_final", self.exploration_final, 0.0, 1.0)
        check_range("exploration_until", self.exploration_until, 1e-6, 1.0)

    @property
    def flat(self) -> bool:
        """Q-values are of whole actions."""
        return True


@dataclass(frozen=True)
class Trained:
    """A trained model and how it got there."""

    model: BaseAlgorithm
    reward_scale: float
    curve: tuple[CurvePoint, ...]
    config: AgentConfig
    seed: int
    plan: Plan

    def policy(self) -> NetworkPolicy:
        """The greedy policy, ready to be played or exported."""
        action = _plain(asdict(self.config.action(self.plan)))
        return network_policy(self.model, self.plan, name=self.config.name, action=action, training=self.facts())

    def facts(self) -> dict[str, Any]:
        """JSON for the card of a bundle."""
        return {
            "algorithm": type(self.model).__name__,
            "config": _plain(asdict(self.config)),
            "seed": self.seed,
            "reward_scale": self.reward_scale,
            "scenario": self.plan.name,
            "versions": {"stable_baselines3": stable_baselines3.__version__, "torch": torch.__version__},
            "curve": [asdict(point) for point in self.curve],
        }


def train(
    plan: Plan,
    config: AgentConfig,
    *,
    seed: int,
    log_folder: Path | None = None,
    progress: Callable[[int], object] = lambda _steps: None,
) -> Trained:
    """Train on the training members of ``plan``; the same seed gives the same network at one thread count.

    ``progress`` is told of env steps. InputError when cuda is asked for and absent, or the config fits no algorithm.
    """
    check_training(config, seed=seed)
    makers: dict[type, Callable[..., BaseAlgorithm]] = {PPOConfig: _make_ppo, DQNConfig: _make_dqn}
    device = torch_device(config.device)
    torch.set_num_threads(config.torch_threads)
    Distribution.set_default_validate_args(False)
    first = seed * SEEDS_PER_RUN
    action = config.action(plan)
    scale = reward_scale(plan, action, seed=first + _SCALE)
    model = makers[type(config)](plan, config, seed=first, scale=scale, device=device)
    env = model.get_env()
    assert env is not None
    env.seed(first)  # SB3 has given it the small seed of the network
    if log_folder is not None:
        model.set_logger(configure(str(log_folder), ["tensorboard"]))
    every = max(1, config.steps // config.evaluations)
    best = BestNetwork(plan, action, every=every, sales=config.evaluation_sales, seed=first + _SELECTION)
    callbacks = [SaleMetrics(plan, progress), best]
    if isinstance(config, PPOConfig):
        callbacks.append(EntropySchedule(config.entropy, until=config.entropy_until))
    model.learn(config.steps, callback=callbacks, log_interval=1)
    best.restore()
    return Trained(model, scale, tuple(best.curve), config, seed, plan)


def check_training(config: AgentConfig, *, seed: int) -> None:
    """InputError unless :func:`train` can train with ``config`` here."""
    if not isinstance(config, PPOConfig | DQNConfig):
        raise InputError(f"agent: expected PPOConfig or DQNConfig, got {type(config).__name__}")
    check_whole("seed", seed, 0, 2**30 - 1)
    torch_device(config.device)


def torch_device(device: Device) -> str:
    """The device that torch shall use; InputError when cuda is asked for and absent."""
    if device is Device.cuda and not torch.cuda.is_available():
        raise InputError("device: cuda was asked for and there is no CUDA device here; use device=cpu or device=auto")
    return "cuda" if device is not Device.cpu and torch.cuda.is_available() else "cpu"


def reward_scale(plan: Plan, action: ActionConfig, *, seed: int, sales: int = 512) -> float:
    """Standard deviation of a sale's reward under uniformly random actions; at least a cent."""
    rng = np.random.default_rng(seed)
    env = make_sb3(plan, num_envs=sales, seed=seed, action=action, members=plan.training_members)
    env.reset()
    returns = np.zeros(sales)
    is_open = np.ones(sales, np.bool_)
    sizes = env.sales.codec.head_sizes
    while is_open.any():
        drawn = rng.integers(sizes, size=(sales, len(sizes)))
        _, reward, closed, _ = env.step(drawn[:, 0] if action.flat else drawn)
        returns += reward * is_open
        is_open &= ~closed
    return max(float(returns.std()), 0.01)


def _falling(start: float, final: float) -> Callable[[float], float]:
    return lambda left: start * (final + (1.0 - final) * left)


def _make_ppo(plan: Plan, config: PPOConfig, *, seed: int, scale: float, device: str) -> PPO:
    decisions = plan.ticks // config.action(plan).every
    minibatches = max(1, round(config.rollout_steps / config.batch_size))
    sales = minibatches * max(1, round(config.rollout_steps / (decisions * minibatches)))  # minibatches of equal size
    env = make_sb3(
        plan, num_envs=sales, seed=seed, action=config.action(plan), members=plan.training_members, reward_scale=scale
    )
    return PPO(
        "MlpPolicy",
        env,
        learning_rate=_falling(config.learning_rate, config.final_rate),
        n_steps=decisions,
        batch_size=sales * decisions // minibatches,
        n_epochs=config.epochs,
        gamma=config.gamma,
        gae_lambda=config.gae_lambda,
        clip_range=config.clip_range,
        ent_coef=config.entropy,
        policy_kwargs={"net_arch": {"pi": list(config.layers), "vf": list(config.layers)}},
        device=device,
        seed=seed // SEEDS_PER_RUN,
    )


def _make_dqn(plan: Plan, config: DQNConfig, *, seed: int, scale: float, device: str) -> DQN:
    env: FlashSaleVecEnv = make_sb3(
        plan,
        num_envs=config.sales,
        seed=seed,
        action=config.action(plan),
        members=plan.training_members,
        reward_scale=scale,
    )
    return DQN(
        "MlpPolicy",
        env,
        learning_rate=_falling(config.learning_rate, config.final_rate),
        buffer_size=config.buffer,
        learning_starts=config.learning_starts,
        batch_size=config.batch_size,
        gamma=config.gamma,
        train_freq=1,
        gradient_steps=config.gradient_steps,
        target_update_interval=config.target_interval * config.sales,
        exploration_fraction=config.exploration_until,
        exploration_final_eps=config.exploration_final,
        policy_kwargs={"net_arch": list(config.layers)},
        device=device,
        seed=seed // SEEDS_PER_RUN,
    )


def _plain(value: Any) -> Any:
    """``value`` as JSON knows it."""
    if isinstance(value, dict):
        return {key: _plain(entry) for key, entry in value.items()}
    if isinstance(value, tuple | list):
        return [_plain(entry) for entry in value]
    return value.value if isinstance(value, enum.Enum) else value
