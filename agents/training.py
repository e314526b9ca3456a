"""A training, the same for every learner: from settings to a network, and what became of it.

One config serves every sale: rewards divided by their spread (``agents.start.reward_scale``), features that an expert
would compute, large batches. Greedy play on separate training sales decides which network is kept. What differs from
one algorithm to another stands in its record (``agents.learner``).
"""

import enum
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import stable_baselines3
import torch
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.logger import configure
from torch.distributions import Distribution

from agents.callbacks import BestNetwork, CurvePoint, FiniteRewards, SaleMetrics
from agents.checkpoints import Checkpoints, go_on
from agents.export import network_policy
from agents.feature_sets import show_only
from agents.learners import learner_of
from agents.settings import SEEDS_PER_RUN, AgentConfig, Device, falling
from agents.start.imitation import Demonstration, starting_rule, steering
from agents.start.paired_rewards import PairedSales, rule_limits
from agents.start.reward_scale import lead_spread, random_spread
from flashsim.envs.sb3 import FlashSaleVecEnv
from flashsim.envs.vector import SaleBatch
from flashsim.errors import InputError, LearningError
from flashsim.policies.bundle import NetworkPolicy
from flashsim.rules import Operations, RulePolicy, run_out_price
from flashsim.scenarios.compiled import CompiledSale
from flashsim.sim.parameters import check_seed
from flashsim.sim.streams import TRAINING_DOMAIN

_SELECTION = 2**31  # sales that choose the network to keep
_SHOWN = 2**29  # sales on which an agent is shown its rule
_SCALE = 2**30  # sales that measure how much sales vary
_NO_CHANGE = 1e-8  # of a weight; about the least by which 32 bits can change one of .1


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
        network = learner_of(self.config).network(self.model)
        return network_policy(network, self.sale, name=self.config.name, action=action, training=self.facts())

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
        **({"menu": list(sale.menu_notes)} if sale.menu_notes else {}),
        "rule": None if rule is None else asdict(rule.operations),
        "versions": {"stable_baselines3": stable_baselines3.__version__, "torch": torch.__version__},
    }


def train(
    sale: CompiledSale,
    config: AgentConfig,
    *,
    seed: int,
    operations: Operations | None = None,
    log_folder: Path | None = None,
    progress: Callable[[int], object] = lambda _steps: None,
    checkpoint: Path | None = None,
    resume: Path | None = None,
) -> Trained:
    """Train on the training members of ``sale``; the same seed gives the same network at one thread count.

    ``progress`` receives env steps. The training keeps a ``checkpoint`` of itself, and goes on from ``resume``, which
    such a one left behind, to the same network and curve as without the stop.
    An assisted agent starts at the run-out price with ``operations``; None: with those that :func:`starting_rule`
    finds. InputError when cuda is requested and absent, no learner has such a config, ``resume`` does not fit, the
    steps are too few to learn from, or no update changed a weight.
    """
    check_training(config, seed=seed)
    check_steps(config, sale)
    learner = learner_of(config)
    torch.set_num_threads(config.torch_threads)
    Distribution.set_default_validate_args(False)
    first = seed * SEEDS_PER_RUN
    rule = _rule_of(sale, config, operations)
    if rule is not None:
        config = steering(config, rule)
    action, constraints = config.action(sale), learner.constraints(config)
    spread = random_spread(sale, action, seed=first + _SCALE, reward=config.reward, constraints=constraints)
    scale = spread.reward
    if rule is not None and config.paired and learner.scales_by_lead:
        scale = lead_spread(sale, rule, action, reward=config.reward, seed=first + _SCALE)
    model = make_model(sale, config, seed=first, scale=scale, rule=rule, is_resumed=resume is not None)
    best = BestNetwork(
        sale,
        action,
        every=max(1, config.steps // config.evaluations),
        sales=config.evaluation_sales,
        seed=first + _SELECTION,
        spread=spread,
        reward=config.reward,
        constraints=constraints,
        network=learner.network,
        guardrails=config.guardrails,
        rule=rule,
    )
    callbacks = [FiniteRewards(), SaleMetrics(sale, progress), best, *learner.schedules(config, spread)]
    facts = training_facts(model, sale, config, seed=seed, scale=scale, rule=rule)
    untrained = _trainable_weights(model)  # of a training that goes on, too, unless it was fitted to a rule
    if resume is not None:
        go_on(resume, model, best, facts=facts, extras=learner.extras, first_seed=first)
    if log_folder is not None:  # now that nothing is refused any more
        model.set_logger(configure(str(log_folder), ["tensorboard"]))
    if checkpoint is not None:
        callbacks.insert(0, Checkpoints(checkpoint, best, facts=facts, extras=learner.extras))
    _learn(model, config, callbacks, untrained=untrained, is_resumed=resume is not None)
    best.restore()
    learner.finish(model)
    return Trained(model, scale, tuple(best.curve), best.kept, config, seed, sale, rule)


def _learn(
    model: BaseAlgorithm,
    config: AgentConfig,
    callbacks: list[BaseCallback],
    *,
    untrained: torch.Tensor,
    is_resumed: bool,
) -> None:
    """Learn for the steps that are left; LearningError when ``untrained`` weights are as they were."""
    left, interval = config.steps - model.num_timesteps, learner_of(config).log_interval(config)
    model.learn(left, callback=callbacks, log_interval=interval, reset_num_timesteps=not is_resumed)
    if torch.allclose(untrained, _trainable_weights(model), rtol=0.0, atol=_NO_CHANGE):
        raise LearningError(
            f"the training changed no weight: {model._n_updates} updates in {model.num_timesteps} decisions at a "
            f"learning_rate that fell from {config.learning_rate:g}; raise learning_rate or steps"
        )


def _trainable_weights(model: BaseAlgorithm) -> torch.Tensor:
    """A copy of the weights that its optimizer moves, one after the other."""
    groups = model.policy.optimizer.param_groups
    return torch.cat([weights.detach().reshape(-1) for group in groups for weights in group["params"]]).clone()


def _rule_of(sale: CompiledSale, config: AgentConfig, operations: Operations | None) -> RulePolicy | None:
    """The rule at which an assisted agent starts, with ``operations`` if there are any; else None."""
    if not config.is_assisted(sale):
        return None
    return starting_rule(sale) if operations is None else run_out_price(sale, operations)


def check_training(config: AgentConfig, *, seed: int) -> None:
    """InputError unless :func:`train` can train with ``config`` here."""
    learner_of(config)
    check_seed(seed, bits=30)
    torch_device(config.device)


def check_steps(config: AgentConfig, sale: CompiledSale) -> None:
    """InputError where ``config`` asks for too few steps to learn from on ``sale``."""
    learner_of(config).sales_at_once(config.starting_at_rule() if config.is_assisted(sale) else config, sale)


def torch_device(device: Device) -> str:
    """The device that torch shall use; InputError when cuda is requested and absent."""
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

    If assisted, it starts from ``rule``; None: from that of :func:`starting_rule`. One that is resumed is not fitted to
    it, for its weights are those of a checkpoint.
    """
    learner = learner_of(config)
    rule = _rule_of(sale, config, None) if rule is None else rule
    if rule is not None:
        config = steering(config, rule)
    env = _training_env(sale, config, rule, seed=seed, scale=scale)
    model: BaseAlgorithm = learner.algorithm(
        "MlpPolicy",
        env,
        learning_rate=falling(config.learning_rate, config.final_rate),
        gamma=config.gamma,
        device=torch_device(config.device),
        seed=seed // SEEDS_PER_RUN,
        **learner.arguments(config, env),
    )
    show_only(learner.first_layers(model), sale, config.observation)
    learner.prepare(model, config)
    if rule is not None and not is_resumed:
        learner.start(model, Demonstration(sale, config, rule, seed=seed + _SHOWN))
    env.seed(seed)  # SB3 has given it the small seed of the network
    return model


def _training_env(
    sale: CompiledSale, config: AgentConfig, rule: RulePolicy | None, *, seed: int, scale: float
) -> FlashSaleVecEnv:
    learner = learner_of(config)
    kind: Callable[..., SaleBatch] = SaleBatch
    members = sale.with_members(sale.training_members)
    if rule is not None and config.paired:
        limits = rule_limits(members, rule, reward=config.reward, seed=seed + _SCALE)
        kind = partial(PairedSales, rule=rule, limits=limits)
    batch = kind(
        members,
        learner.sales_at_once(config, sale),
        action=config.action(sale),
        reward=config.reward,
        domain=TRAINING_DOMAIN,
        constraints=learner.constraints(config),
    )
    return FlashSaleVecEnv(batch, seed=seed, reward_scale=scale)


def _plain(value: Any) -> Any:
    """``value`` as JSON knows it."""
    if isinstance(value, dict):
        return {key: _plain(entry) for key, entry in value.items()}
    if isinstance(value, tuple | list):
        return [_plain(entry) for entry in value]
    return value.value if isinstance(value, enum.Enum) else value
