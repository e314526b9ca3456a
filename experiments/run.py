"""The main job: a World of shop data, a simulated sale, trained policies, a paired comparison and a report.

    python -m experiments.run        # the World in the package, default scenario; minutes, see the README
    python -m experiments.run world.calibrate=true
    python -m experiments.run world.folder=WORLD scenario.stock_cover=1.2 evaluation.sales=2000
    python -m experiments.run scenario=seckill trainings=3
    python -m experiments.run 'learners=[ppo,maskable_ppo,dqn]' learners.dqn.steps=500000
    python -m experiments.run 'learners={ppo: {layers: [128, 128]}}'
    python -m experiments.run +learners@learners.wide=ppo learners.wide.name=wide 'learners.wide.layers=[256,256]'

``learners`` are any number of learners by name, PPO and DQN by default: in brackets by name alone, in braces with what
differs from their settings. The last line adds one more PPO under another name. Learners train in processes of their
own while the baselines are searched in this one.
"""

from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from typing import Any

from agents.dqn.settings import DQNConfig
from agents.learners import SETTINGS
from agents.settings import AgentConfig
from experiments.launch.entry import dated, entry
from experiments.launch.outputs import RunFolder
from experiments.pipeline.compare import (
    EvaluationConfig,
    check_names,
    compare_learners,
    evaluate,
    report,
    sale_context,
    world_context,
)
from experiments.pipeline.decisions import with_practice
from experiments.pipeline.head_start import compile_simulator
from experiments.pipeline.prepare import (
    DESCRIPTIONS,
    RIVALS,
    ScenarioConfig,
    TrainingPool,
    check_closure,
    cores,
    is_reference,
    make_rivals,
    obtain_scenario,
    say,
    searching_baselines,
    train_agent,
    training_row,
)
from experiments.pipeline.training_progress import showing_trainings
from experiments.pipeline.worlds import WorldConfig, obtain_world
from flashsim.errors import InputError
from flashsim.evaluation.decision import DecisionRule
from flashsim.planning import DEFAULT_FIELD, Workers, check_field
from flashsim.policies.bundle import NetworkPolicy, Policy
from flashsim.rules import RUN_OUT_PRICE
from flashsim.scenarios.compiled import CompiledSale
from flashsim.sim.parameters import check_whole

CLOSURE_FAILS = "Closure fails: the simulated sale does not sell what the World says."
LEARNERS = {**SETTINGS, "dqn": DQNConfig(buffer=300_000)}


@dataclass(frozen=True)
class RunConfig:
    """Everything that one run depends on."""

    seed: int = 0
    """Of the first training; calibration and evaluation have their own."""
    trainings: int = 1
    """Of each learner, with this seed and those that follow; what holds over them goes to ``trainings.csv``."""
    world: WorldConfig = field(default_factory=WorldConfig)
    scenario: ScenarioConfig = field(default_factory=ScenarioConfig)
    learners: dict[str, Any] = field(default_factory=dict)
    """Settings (an AgentConfig) of each by its name; conf/run.yaml chooses PPO and DQN."""
    baselines: tuple[str, ...] = DEFAULT_FIELD
    """Rivals by name; scheduled scaler, LinUCB and Thompson sampling play on request."""
    search_ticks: int = 15_000_000
    """Simulated ticks that the search for the best fixed policy compares, at least; no fewer than a learner's."""
    closure_sales: int = 1_024
    """Sales at each depth on which it is checked that the simulated sale sells what the World says."""
    evaluation: EvaluationConfig = field(default_factory=EvaluationConfig)
    decision: DecisionRule = field(default_factory=DecisionRule)
    """By what the sale is judged; it is fixed before anything is played."""
    output: str = dated("run")

    def __post_init__(self) -> None:
        check_whole("trainings", self.trainings, 1, 1_000)
        check_whole("closure_sales", self.closure_sales, 2, 10**9)
        check_field(self.baselines, RIVALS)
        with_practice(self.baselines, self.decision)
        if not self.learners:
            raise InputError(f"learners: expected at least one of {', '.join(LEARNERS)}, as in learners=[ppo,dqn]")
        for name, settings in self.learners.items():
            if not isinstance(settings, AgentConfig):
                raise InputError(f"learners.{name}: nobody knows this learner; choose from {', '.join(LEARNERS)}")


@entry("run", RunConfig, options={"learners": LEARNERS})
def main(config: RunConfig, folder: RunFolder) -> None:
    """Run all stages, then print where the report is, and the decision."""
    from agents.training import check_training

    if is_reference(config.scenario):
        raise InputError(f"scenario: {config.scenario.name!r} has no members to hold out; use experiments.train for it")
    trained = _trainings(config)
    check_names([settings.name for settings, _ in trained])
    for settings, seed in trained:
        check_training(settings, seed=seed)
    world = obtain_world(config.world, folder)
    scenario = obtain_scenario(config.scenario, world, folder)
    sale = scenario.compile()
    _check_lengths(config, sale)
    folder.record(
        seeds={
            "training": config.seed,
            "calibration": config.world.seed,
            "evaluation": config.evaluation.seed,
        },
        data={"world": world.fingerprint(), "tables": world.provenance.get("data", {})},
    )
    say(
        f"{sale.name}: {sale.products} products, {sale.minutes:g} minutes, {len(sale.training_members)} training worlds"
    )
    with TrainingPool(len(trained)) as pool:
        with folder.timed("closure"):
            compile_simulator(sale, pool, [settings for settings, _ in trained])
            is_closed = check_closure(scenario, sales=config.closure_sales, folder=folder.path)
        with folder.timed("training"):
            policies = make_policies(sale, config, folder, pool=pool)
    learners = [settings.name for settings, _ in trained]
    context: dict[str, Any] = {
        **world_context(world, sale),
        **sale_context(sale, sales=config.evaluation.sales),
        "policy_notes": DESCRIPTIONS | dict.fromkeys(learners, "learned on the training worlds"),
        "training": [training_row(settings, seed=seed) for settings, seed in trained],
        "provenance": folder.provenance(),
    }
    if not is_closed:
        context["notices"] = [CLOSURE_FAILS, *context["notices"]]
    say(f"playing {config.evaluation.sales:,} sales with {len(policies)} policies")
    with folder.timed("evaluation"):
        evaluate(
            scenario,
            policies,
            config.evaluation,
            rule=config.decision,
            learners=learners,
            context=context,
            folder=folder.path,
        )
    for table in compare_learners(folder.path, learners, config.evaluation):
        print(f"\n{table}")
    with folder.timed("report"):
        comparison = report(folder.path, folder.path)
    print(f"\nReport: {folder.path / 'report.html'}\n{comparison}", flush=True)


def _trainings(config: RunConfig) -> list[tuple[AgentConfig, int]]:
    """Settings and seed of each training of each learner; where a learner has several, their names are numbered."""
    several = config.trainings > 1

    def guarded(settings: AgentConfig) -> AgentConfig:
        return settings if settings.guardrails else replace(settings, guardrails=config.decision.guardrails)

    return [
        (
            replace(guarded(settings), name=f"{settings.name}-{number + 1}" if several else settings.name),
            config.seed + number,
        )
        for settings in config.learners.values()
        for number in range(config.trainings)
    ]


def _check_lengths(config: RunConfig, sale: CompiledSale) -> None:
    """InputError where a learner has too few steps to learn from, or more than the baselines are searched for."""
    from agents.training import check_steps

    for settings in config.learners.values():
        check_steps(settings, sale)
    most = max(settings.simulated_ticks(sale) for settings in config.learners.values())
    if config.search_ticks < most:
        raise InputError(
            f"search_ticks must be at least what a learner trains on, {most}, got {config.search_ticks}; "
            "baselines shall know as much as learners"
        )


def make_policies(sale: CompiledSale, config: RunConfig, folder: RunFolder, *, pool: TrainingPool) -> list[Policy]:
    """Learners in processes of ``pool``, once the rule is found at which they start; other baselines meanwhile."""
    trainings = _trainings(config)
    is_assisted = any(settings.is_assisted(sale) for settings, _ in trainings)
    baselines_named = with_practice(config.baselines, config.decision)
    names = dict.fromkeys((RUN_OUT_PRICE, *baselines_named) if is_assisted else baselines_named)
    limits = config.decision.guardrails
    learning: list[Future[NetworkPolicy]] = []

    def searchers() -> Workers:
        """Learners come first: they take longer, and what they leave is enough for the search."""
        busy = sum(not job.done() for job in learning)
        return Workers(max(1, cores() - busy), is_patient=busy > 0)

    with (
        showing_trainings([settings for settings, _ in trainings], pool.steps),
        searching_baselines(sale, list(names), ticks=config.search_ticks, limits=limits, workers=searchers) as rivals,
    ):
        operations = rivals.run_out_price.operations if is_assisted else None
        learning += [
            pool.submit(
                train_agent, sale, settings, seed=seed, folder=folder.path, operations=operations, number=number
            )
            for number, (settings, seed) in enumerate(trainings)
        ]
        baselines = make_rivals(rivals, baselines_named, folder=folder.path)
    return [*(job.result() for job in learning), *baselines]


if __name__ == "__main__":
    main()
