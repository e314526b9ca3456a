"""PPO, with and without masks, and DQN of Stable-Baselines3 on the native batch of sales.

One config serves every sale: whole sales as rollouts, rewards divided by their spread (``agents.start.reward_scale``),
features that an expert would compute, large batches. Greedy play on separate training sales decides which network is
kept.

Source: Schulman et al. (2017), arXiv:1707.06347; Mnih et al. (2015), Nature 518.
"""

import enum
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import stable_baselines3
import torch
from sb3_contrib import MaskablePPO
from stable_baselines3 import DQN, PPO
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.logger import configure
from torch.distributions import Distribution

from agents.callbacks import BestNetwork, CurvePoint, EntropySchedule, FiniteRewards, SaleMetrics
from agents.checkpoints import Checkpoints, go_on
from agents.dqn.summed_heads import stock_again, sum_heads
from agents.export import network_policy
from agents.feature_sets import show_only
from agents.ppo.lagrangian import Lagrangian
from agents.ppo.tensor_ppo import TensorPPO
from agents.settings import AgentConfig, Device, DQNConfig, MaskablePPOConfig, PPOConfig, TensorPPOConfig
from agents.start.imitation import imitate, prefer, steering, usual_run
from agents.start.paired_rewards import PairedSales, usual_limits
from agents.start.reward_scale import Spread, lead_spread, random_spread
from flashsim.envs.reward import ConstraintConfig
from flashsim.envs.sb3 import FlashSaleVecEnv
from flashsim.envs.vector import SaleBatch
from flashsim.errors import InputError
from flashsim.policies.bundle import NetworkPolicy
from flashsim.rules import Operations, RulePolicy, run_out_price
from flashsim.scenarios.compiled import CompiledSale
from flashsim.sim.parameters import check_seed
from flashsim.sim.streams import TRAINING_DOMAIN

SEEDS_PER_RUN = 2**32  # training seed j starts at j·2^32
_SELECTION = 2**31  # sales that choose the network to keep
_SHOWN = 2**29  # sales on which an agent is shown its rule
_ROLLOUT, _PARTS = 16_384, 8  # env steps, minibatches
_SCALE = 2**30  # sales that measure how much sales vary


@dataclass(frozen=True)
class Trained:
    """A trained model and how it got there."""

    model: BaseAlgorithm
    reward_scale: float
    curve: tuple[CurvePoint, ...]
    kept: CurvePoint
    """Of the curve, when the network was as it was kept."""
    config: AgentConfig
    seed: int
    sale: CompiledSale
    rule: RulePolicy | None
    """At which it started."""

    def policy(self) -> NetworkPolicy:
        """The greedy policy, ready to be played or exported."""
        action = _plain(asdict(self.config.action(self.sale)))
        return network_policy(self.model, self.sale, name=self.config.name, action=action, training=self.facts())

    def facts(self) -> dict[str, Any]:
        """JSON for the card of a bundle."""
        facts = training_facts(
            self.model, self.sale, self.config, seed=self.seed, scale=self.reward_scale, rule=self.rule
        )
        return facts | {"curve": [point.row() for point in self.curve], "kept": self.kept.row()}


def training_facts(
    model: BaseAlgorithm, sale: CompiledSale, config: AgentConfig, *, seed: int, scale: float, rule: RulePolicy | None
) -> dict[str, Any]:
    """What determines a training, as JSON."""
    return {
        "algorithm": type(model).__name__,
        "config": _plain(asdict(config)),
        "seed": seed,
        "reward_scale": scale,
        "device": model.device.type,
        "scenario": sale.name,
        "rule": None if rule is None else asdict(rule.operations),
        "versions": {"stable_baselines3": stable_baselines3.__version__, "torch": torch.__version__},
    }


def train(
    sale: CompiledSale,
    config: AgentConfig,
    *,
    seed: int,
    usual: Operations | None = None,
    log_folder: Path | None = None,
    progress: Callable[[int], object] = lambda _steps: None,
    checkpoint: Path | None = None,
    resume: Path | None = None,
) -> Trained:
    """Train on the training members of ``sale``; the same seed gives the same network at one thread count.

    ``progress`` is told of env steps. The training keeps a ``checkpoint`` of itself, and goes on from ``resume``, which
    such a one left behind, to the same network and curve as without the stop.
    An assisted agent starts at the run-out price with the operations ``usual``; None: with those that
    :func:`usual_run` finds. InputError when cuda is asked for and absent, the config fits no algorithm, or ``resume``
    does not fit.
    """
    check_training(config, seed=seed)
    torch.set_num_threads(config.torch_threads)
    Distribution.set_default_validate_args(False)
    first = seed * SEEDS_PER_RUN
    rule = _starting_rule(sale, config, usual)
    if rule is not None:
        config = steering(config, rule)
    action = config.action(sale)
    constraints = _constraints(config)
    spread = random_spread(sale, action, seed=first + _SCALE, reward=config.reward, constraints=constraints)
    scale = spread.reward
    if rule is not None and config.paired and isinstance(config, DQNConfig):
        scale = lead_spread(sale, rule, action, reward=config.reward, seed=first + _SCALE)
    model = make_model(sale, config, seed=first, scale=scale, rule=rule, is_resumed=resume is not None)
    if log_folder is not None:
        model.set_logger(configure(str(log_folder), ["tensorboard"]))
    best = BestNetwork(
        sale,
        action,
        every=max(1, config.steps // config.evaluations),
        sales=config.evaluation_sales,
        seed=first + _SELECTION,
        spread=spread,
        reward=config.reward,
        constraints=constraints,
        usual=rule,
    )
    callbacks = [FiniteRewards(), SaleMetrics(sale, progress), best, *_schedules(config, spread)]
    facts = training_facts(model, sale, config, seed=seed, scale=scale, rule=rule)
    if resume is not None:
        go_on(resume, model, best, facts=facts, first_seed=first)
    if checkpoint is not None:
        callbacks.insert(0, Checkpoints(checkpoint, best, facts=facts))
    _learn(model, config, callbacks, is_new=resume is None)
    best.restore()
    if isinstance(model, DQN):
        stock_again(model)
    return Trained(model, scale, tuple(best.curve), best.kept, config, seed, sale, rule)


def _learn(model: BaseAlgorithm, config: AgentConfig, callbacks: list[BaseCallback], *, is_new: bool) -> None:
    """Learn until the steps of ``config`` are done; the log is written after each rollout, or batch of DQN's sales."""
    every = config.sales if isinstance(config, DQNConfig) else 1
    left = config.steps - model.num_timesteps
    model.learn(left, callback=callbacks, log_interval=every, reset_num_timesteps=is_new)


def _starting_rule(sale: CompiledSale, config: AgentConfig, usual: Operations | None) -> RulePolicy | None:
    """The rule at which an assisted agent starts, with the operations ``usual`` if there are any; else None."""
    if not config.is_assisted(sale):
        return None
    return usual_run(sale) if usual is None else run_out_price(sale, usual)


def _schedules(config: AgentConfig, spread: Spread) -> list[BaseCallback]:
    """What moves entropy and multipliers of PPO's while it learns."""
    if not isinstance(config, PPOConfig):
        return []
    entropy = EntropySchedule(config.entropy, until=config.entropy_until)
    bounded = bool(config.constraints.names)
    return [entropy, Lagrangian(spread, rate=config.multiplier_rate)] if bounded else [entropy]


def check_training(config: AgentConfig, *, seed: int) -> None:
    """InputError unless :func:`train` can train with ``config`` here."""
    if not isinstance(config, PPOConfig | DQNConfig):
        raise InputError(f"agent: expected PPOConfig or DQNConfig, got {type(config).__name__}")
    check_seed(seed, bits=30)
    torch_device(config.device)


def torch_device(device: Device) -> str:
    """The device that torch shall use; InputError when cuda is asked for and absent."""
    if device is Device.cuda and not torch.cuda.is_available():
        raise InputError("device: cuda was asked for and there is no CUDA device here; use device=cpu or device=auto")
    return "cuda" if device is not Device.cpu and torch.cuda.is_available() else "cpu"


def make_model(
    sale: CompiledSale,
    config: AgentConfig,
    *,
    seed: int,
    scale: float,
    rule: RulePolicy | None = None,
    is_resumed: bool = False,
) -> BaseAlgorithm:
    """The algorithm that ``config`` is of, on sales that begin with ``seed``.

    If assisted, it starts from ``rule``; None: from that of :func:`usual_run`. One that is resumed is not fitted to it,
    for its weights are those of a checkpoint.
    """
    rule = _starting_rule(sale, config, None) if rule is None else rule
    if rule is not None:
        config = steering(config, rule)
    makers: dict[type, Callable[..., BaseAlgorithm]] = {
        PPOConfig: _make_ppo,
        TensorPPOConfig: _make_ppo,
        MaskablePPOConfig: _make_ppo,
        DQNConfig: _make_dqn,
    }
    env = _training_env(sale, config, rule, seed=seed, scale=scale)
    model = makers[type(config)](sale, config, env, seed=seed, device=torch_device(config.device))
    show_only(model, sale, config.observation)
    if isinstance(model, DQN) and isinstance(config, DQNConfig) and config.is_assisted(sale) and config.summed:
        sum_heads(model, env.sales.codec.sizes.tolist())
    if rule is not None and not is_resumed:
        _start_at(rule, model, sale, config, seed=seed + _SHOWN)
    env.seed(seed)  # SB3 has given it the small seed of the network
    return model


def _start_at(rule: RulePolicy, model: BaseAlgorithm, sale: CompiledSale, config: AgentConfig, *, seed: int) -> None:
    """Fit the network of ``model`` to ``rule``, if ``config`` asks for it."""
    action = config.action(sale)
    if isinstance(config, DQNConfig) and config.margin:
        assert isinstance(model, DQN)
        prefer(model, sale, rule, action=action, margin=config.margin, seed=seed)
    if isinstance(config, PPOConfig) and config.head_start:
        assert isinstance(model, PPO | MaskablePPO)
        imitate(model, sale, rule, action=action, share=config.head_start, seed=seed)


def _falling(start: float, final: float) -> Callable[[float], float]:
    # The last rollout may begin before the end of the training and be learned from after it, where nothing is left.
    return lambda left: start * max(0.0, final + (1.0 - final) * left)


def _rollout(config: PPOConfig) -> tuple[int, int]:
    """Env steps of a rollout, about, and its parts, all of one size."""
    steps = _ROLLOUT if config.rollout_steps is None else config.rollout_steps
    return steps, _PARTS if config.batch_size is None else max(1, round(steps / config.batch_size))


def _sales_at_once(sale: CompiledSale, config: AgentConfig) -> int:
    """Sales stepped side by side; PPO's are a rollout."""
    assert isinstance(config, PPOConfig | DQNConfig)
    if isinstance(config, DQNConfig):
        return config.sales
    decisions, (steps, parts) = sale.ticks // config.action(sale).every, _rollout(config)
    return parts * max(1, round(steps / (decisions * parts)))


def _make_ppo(sale: CompiledSale, config: PPOConfig, env: FlashSaleVecEnv, *, seed: int, device: str) -> BaseAlgorithm:
    decisions = sale.ticks // config.action(sale).every
    algorithms = {PPOConfig: PPO, TensorPPOConfig: TensorPPO, MaskablePPOConfig: MaskablePPO}
    return algorithms[type(config)](
        "MlpPolicy",
        env,
        learning_rate=_falling(config.learning_rate, config.final_rate),
        n_steps=decisions,
        batch_size=env.num_envs * decisions // _rollout(config)[1],
        n_epochs=config.epochs,
        gamma=config.gamma,
        gae_lambda=config.gae_lambda,
        clip_range=config.clip_range,
        ent_coef=config.entropy,
        policy_kwargs={"net_arch": {"pi": list(config.layers), "vf": list(config.layers)}},
        device=device,
        seed=seed // SEEDS_PER_RUN,
    )


def _training_env(
    sale: CompiledSale, config: AgentConfig, rule: RulePolicy | None, *, seed: int, scale: float
) -> FlashSaleVecEnv:
    kind: Callable[..., SaleBatch] = SaleBatch
    members = sale.with_members(sale.training_members)
    if rule is not None and config.paired:
        limits = usual_limits(members, rule, reward=config.reward, seed=seed + _SCALE)
        kind = partial(PairedSales, usual=rule, limits=limits)
    batch = kind(
        members,
        _sales_at_once(sale, config),
        action=config.action(sale),
        reward=config.reward,
        domain=TRAINING_DOMAIN,
        constraints=_constraints(config),
    )
    return FlashSaleVecEnv(batch, seed=seed, reward_scale=scale)


def _constraints(config: AgentConfig) -> ConstraintConfig:
    return config.constraints if isinstance(config, PPOConfig) else ConstraintConfig()


def _make_dqn(_sale: CompiledSale, config: DQNConfig, env: FlashSaleVecEnv, *, seed: int, device: str) -> DQN:
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
        n_steps=1 if config.n_steps is None else config.n_steps,
        target_update_interval=config.target_interval * config.sales,
        tau=config.target_share,
        exploration_fraction=config.exploration_until,
        exploration_initial_eps=1.0 if config.exploration_initial is None else config.exploration_initial,
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
